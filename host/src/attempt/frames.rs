//! Cuts a streamed body into frames: SSE events or NDJSON lines. Pure: bytes in, frames out.
//!
//! Bytes may be cut anywhere, within a character or between CR and LF. Not an SSE library's work, because the contract wants what they throw
//! away: lines that are no SSE field (the bare JSON error that Gemini appends) come joined as one last frame.

use crate::contract::{Frame, Framing};

/// A frame may be this big: images come whole in one.
const MAX_FRAME_BYTES: usize = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one event of the provider's stream has more than {} MiB", MAX_FRAME_BYTES >> 20)]
pub struct FrameTooLarge;

/// Cuts one body.
#[derive(Debug)]
pub struct Splitter {
    framing: Framing,
    /// Of the line that is not complete yet.
    line: Vec<u8>,
    after_cr: bool,
    first_line: bool,
    event: Option<String>,
    data: Option<String>,
    unframed: String,
}

impl Splitter {
    /// `framing` is one of the two that have frames.
    pub fn new(framing: Framing) -> Self {
        Self { framing, line: Vec::new(), after_cr: false, first_line: true, event: None, data: None, unframed: String::new() }
    }

    /// Takes the next bytes, and appends the frames that they complete.
    ///
    /// # Errors
    /// When a frame gets too big.
    pub fn push(&mut self, mut bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), FrameTooLarge> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.line.extend_from_slice(bytes);
                return self.check_size();
            };
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.take_line(&bytes[..end], frames);
            } else {
                self.line.extend_from_slice(&bytes[..end]);
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, frames);
            }
            self.check_size()?;
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    /// The body is over: what is left of it.
    pub fn finish(mut self, frames: &mut Vec<Frame>) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, frames);
        }
        self.dispatch(frames);
        if !self.unframed.is_empty() {
            frames.push(Frame { event: None, data: self.unframed });
        }
    }

    fn check_size(&self) -> Result<(), FrameTooLarge> {
        let size = self.line.len() + self.data.as_ref().map_or(0, String::len) + self.unframed.len();
        if size > MAX_FRAME_BYTES { Err(FrameTooLarge) } else { Ok(()) }
    }

    fn take_line(&mut self, line: &[u8], frames: &mut Vec<Frame>) {
        let line = if std::mem::take(&mut self.first_line) { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let line = String::from_utf8_lossy(line);
        match self.framing {
            Framing::Ndjson if line.trim().is_empty() => {}
            Framing::Ndjson => frames.push(Frame { event: None, data: line.into_owned() }),
            Framing::Sse | Framing::Whole => self.take_field(&line, frames),
        }
    }

    fn take_field(&mut self, line: &str, frames: &mut Vec<Frame>) {
        if line.is_empty() {
            return self.dispatch(frames);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => self.event = Some(value.to_owned()),
            // A comment, and two fields that are for reconnecting.
            "" | "id" | "retry" => {}
            _ => {
                if !self.unframed.is_empty() {
                    self.unframed.push('\n');
                }
                self.unframed.push_str(line);
            }
        }
    }

    fn dispatch(&mut self, frames: &mut Vec<Frame>) {
        let event = self.event.take();
        if let Some(data) = self.data.take() {
            frames.push(Frame { event, data });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn split(framing: Framing, pieces: &[&[u8]]) -> Vec<(Option<String>, String)> {
        let mut splitter = Splitter::new(framing);
        let mut frames = Vec::new();
        for piece in pieces {
            splitter.push(piece, &mut frames).unwrap();
        }
        splitter.finish(&mut frames);
        frames.into_iter().map(|frame| (frame.event, frame.data)).collect()
    }

    const BODY: &str = "\u{feff}event: a\r\ndata: {\"t\":\"größe 🎉\"}\r\n\r\n: ping\n\ndata: one\ndata: two\n\nid: 7\nretry: 5\nevent: nothing\n\ndata:[DONE]\n\n";

    #[test]
    fn events_comments_and_line_ends_are_told_apart() {
        let frames = split(Framing::Sse, &[BODY.as_bytes()]);
        assert_eq!(frames, [(Some("a".into()), "{\"t\":\"größe 🎉\"}".into()), (None, "one\ntwo".into()), (None, "[DONE]".into())]);
    }

    #[test]
    fn any_cut_gives_the_same_frames() {
        let whole = split(Framing::Sse, &[BODY.as_bytes()]);
        for at in 0..=BODY.len() {
            let (before, after) = BODY.as_bytes().split_at(at);
            assert_eq!(split(Framing::Sse, &[before, after]), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = BODY.as_bytes().chunks(1).collect();
        assert_eq!(split(Framing::Sse, &bytes), whole);
    }

    #[test]
    fn a_bare_json_tail_comes_as_one_last_frame() {
        let body = "data: {\"a\":1}\r\n\r\n{\n  \"error\": {\n    \"code\": 503\n  }\n}\n";
        let frames = split(Framing::Sse, &[body.as_bytes()]);
        assert_eq!(frames.len(), 2);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&frames[1].1).unwrap()["error"]["code"], 503);
    }

    #[test]
    fn an_event_without_its_blank_line_is_given_at_the_end() {
        assert_eq!(split(Framing::Sse, &[b"data: x"]), [(None, "x".into())]);
    }

    #[test]
    fn ndjson_is_a_frame_a_line() {
        assert_eq!(split(Framing::Ndjson, &[b"{\"a\":1}\r\n\n{\"b\"", b":2}"]), [(None, "{\"a\":1}".into()), (None, "{\"b\":2}".into())]);
    }

    #[test]
    fn a_frame_without_end_is_refused() {
        let mut splitter = Splitter::new(Framing::Sse);
        let piece = vec![b'x'; 1 << 20];
        let mut frames = Vec::new();
        let refused = (0..100).any(|_| splitter.push(&piece, &mut frames).is_err());
        assert!(refused);
    }
}
