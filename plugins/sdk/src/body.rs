//! JSON bodies, and media in them.
//!
//! An adapter builds its body as any serde value. Where the caller's media belongs, it writes the string that [`Media::base64`] or
//! [`Media::text`] gives; [`Media::segments`] then cuts the JSON there, so that the host writes the bytes and they never enter the sandbox.

use crate::types::{Blob, Failure, Header, Segment};
use serde::Serialize;

/// U+FDD0 and U+FDD1 are noncharacters: no provider's text has them, and JSON writes them as they are.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';

/// The media of one request, while its body is built.
#[derive(Debug, Default)]
pub struct Media {
    marks: usize,
}

impl Media {
    /// Stands for the blob's bytes in base64, in any JSON string: `format!("data:image/png;base64,{}", media.base64(&blob))`.
    pub fn base64(&mut self, blob: &Blob) -> String {
        self.mark('b', blob)
    }

    /// Stands for the blob as text, in a JSON string. The host fails the request if it is not UTF-8.
    pub fn text(&mut self, blob: &Blob) -> String {
        self.mark('t', blob)
    }

    fn mark(&mut self, how: char, blob: &Blob) -> String {
        self.marks += 1;
        format!("{OPEN}{how}{}{CLOSE}", blob.id)
    }

    /// The body as segments: JSON text, and blobs where they were marked.
    ///
    /// # Errors
    /// `invalid-request` if the caller's own text holds such a mark, which would be taken for media.
    pub fn segments(self, body: &impl Serialize) -> Result<Vec<Segment>, Failure> {
        let json = serde_json::to_string(body)
            .map_err(|error| Failure::invalid(None, format!("the request can't be written as JSON: {error}")))?;
        if self.marks == 0 {
            return Ok(vec![Segment::Text(json)]);
        }
        let mut segments = Vec::with_capacity(self.marks * 2 + 1);
        let mut pieces = json.split(OPEN);
        segments.extend(pieces.next().map(|first| Segment::Text(first.to_owned())));
        for piece in pieces {
            let (blob, rest) = cut_mark(piece)
                .ok_or_else(|| Failure::invalid(None, "the text has a noncharacter (U+FDD0) that the gateway can't pass on"))?;
            segments.push(blob);
            segments.push(Segment::Text(rest.to_owned()));
        }
        if segments.len() != self.marks * 2 + 1 {
            return Err(Failure::invalid(None, "the text has a noncharacter (U+FDD0) that the gateway can't pass on"));
        }
        Ok(segments)
    }
}

/// `b7\u{fdd1}rest` as its blob and the rest.
fn cut_mark(piece: &str) -> Option<(Segment, &str)> {
    let (mark, rest) = piece.split_once(CLOSE)?;
    let segment = match mark.split_at_checked(1)? {
        ("b", id) => Segment::BlobBase64(id.parse().ok()?),
        ("t", id) => Segment::BlobText(id.parse().ok()?),
        _ => return None,
    };
    Some((segment, rest))
}

/// The only header most JSON requests need.
pub fn json_headers() -> Vec<Header> {
    vec![("content-type".to_owned(), "application/json".to_owned())]
}

/// Percent-encodes one path segment, so that a model id can't reach another path: `a/b` is `a%2Fb`.
pub fn path_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn blob(id: u32) -> Blob {
        Blob { id, size: 1 }
    }

    #[test]
    fn json_is_cut_where_media_stands() {
        let mut media = Media::default();
        let body = json!({"a": format!("data:image/png;base64,{}", media.base64(&blob(7))), "b": media.text(&blob(8))});
        assert_eq!(
            media.segments(&body).unwrap(),
            [
                Segment::Text("{\"a\":\"data:image/png;base64,".into()),
                Segment::BlobBase64(7),
                Segment::Text("\",\"b\":\"".into()),
                Segment::BlobText(8),
                Segment::Text("\"}".into())
            ]
        );
    }

    #[test]
    fn a_mark_in_the_callers_text_is_refused() {
        let mut media = Media::default();
        let body = json!({"a": media.base64(&blob(7)), "b": "\u{fdd0}b9\u{fdd1}"});
        assert!(media.segments(&body).is_err());
    }

    #[test]
    fn a_model_id_stays_within_its_path_segment() {
        assert_eq!(path_segment("ft:gpt-5.4/../x?y"), "ft:gpt-5.4%2F..%2Fx%3Fy");
    }
}
