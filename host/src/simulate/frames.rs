//! The frames of a stream, ready to be sent: one buffer and where each frame ends.
//!
//! One allocation for a whole stream and no copy when it is sent: this is also what stands behind benchmarks.

use bytes::Bytes;
use std::fmt::Write;

#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    finish: Option<usize>,
    terminal: Option<usize>,
}

impl Frames {
    pub fn push(&mut self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        write(&mut FrameWriter { bytes: &mut self.bytes });
        self.ends.push(self.bytes.len());
    }

    pub fn text(&mut self, frame: &str) {
        self.push(|writer| writer.raw(frame));
    }

    /// The next frame says why the answer ended.
    pub fn mark_finish(&mut self) {
        self.finish.get_or_insert(self.ends.len());
    }

    /// The next frame is the sign by which a client knows that nothing is missing.
    pub fn mark_terminal(&mut self) {
        self.terminal.get_or_insert(self.ends.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Keeps the first `count` frames.
    pub fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    pub fn drop_terminal(&mut self) {
        if let Some(terminal) = self.terminal {
            self.truncate(terminal);
        }
    }

    pub fn drop_finish(&mut self) {
        if let Some(finish) = self.finish.or(self.terminal) {
            self.truncate(finish);
        }
    }

    pub fn into_parts(self) -> (Bytes, Vec<usize>) {
        (self.bytes.into(), self.ends)
    }
}

/// Writes one frame.
pub(super) struct FrameWriter<'a> {
    bytes: &'a mut Vec<u8>,
}

impl FrameWriter<'_> {
    pub fn raw(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// As a JSON string, quotes included.
    pub fn string(&mut self, text: &str) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *self.bytes, text);
    }

    pub fn json(&mut self, value: &serde_json::Value) {
        let _ = serde_json::to_writer(&mut *self.bytes, value);
    }

    pub fn number(&mut self, number: u64) {
        let _ = write!(self, "{number}");
    }
}

impl Write for FrameWriter<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.raw(text);
        Ok(())
    }
}
