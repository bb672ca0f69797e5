//! The parts of a streamed answer as content blocks, one at a time and counted without gaps, as SDKs demand.
//!
//! Canonical parts may be open several at once. The first is told as it grows, the others wait for their turn, within a bound. A block begins with
//! its first words, so that a part without any is none.

use super::{answer, carriers, citations};
use crate::contract::{PartCitation, PartClosing, PartGrowth, PartKind, PartOpening, ToolCallOpening};
use crate::edge::dialect::sse::send;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::mem;

/// What may wait to be told, in bytes: as much as a large answer has.
const MAX_WAITING: usize = 64 << 20;
/// Of a part without a word.
const PART_BYTES: usize = size_of::<Told>();

#[derive(Debug, Serialize)]
struct DeltaEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u32,
    delta: Delta<'a>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: &'a str },
    #[serde(rename = "citations_delta")]
    Citation { citation: &'a Value },
}

/// The blocks of one answer.
#[derive(Debug, Default)]
pub struct Blocks {
    /// Number of the first part that is not over.
    first: u32,
    parts: VecDeque<Told>,
    /// Bytes that came for other parts than the first, since there were any.
    waiting: usize,
    line: Line,
}

impl Blocks {
    /// A part that is opened out of order is nobody's to tell.
    pub fn open(&mut self, opening: &PartOpening) {
        if usize::try_from(opening.part.wrapping_sub(self.first)) == Ok(self.parts.len()) {
            self.wait(opening.part, PART_BYTES);
            self.parts.push_back(Told::new(&opening.kind));
        }
    }

    pub fn grow(&mut self, growth: &PartGrowth) {
        self.wait(growth.part, growth.text.len());
        if let Some(told) = self.part(growth.part) {
            told.text.push_str(&growth.text);
        }
    }

    pub fn cite(&mut self, cited: &PartCitation) {
        self.wait(cited.part, PART_BYTES.saturating_add(cited.citation.native.value.len()));
        if let Some(told) = self.part(cited.part) {
            told.citations.extend(citations::shown(&cited.citation));
        }
    }

    pub fn close(&mut self, closing: &PartClosing) {
        if let Some(told) = self.part(closing.part) {
            told.closing.get_or_insert_with(|| closing.clone());
        }
    }

    /// Closes what an adapter left open.
    pub fn close_all(&mut self) {
        for (told, part) in self.parts.iter_mut().zip(self.first..) {
            told.closing.get_or_insert(PartClosing { choice: 0, part, replay: None, extras: Vec::new() });
        }
    }

    /// Appends what can be told by now.
    pub fn tell(&mut self, out: &mut Vec<u8>) {
        while let Some(told) = self.parts.front_mut()
            && told.tell(&mut self.line, out)
        {
            self.parts.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        if self.parts.len() < 2 {
            self.waiting = 0;
        }
    }

    /// Whether more waits than may.
    pub fn are_too_many(&self) -> bool {
        let held_by_first = self.parts.front().map_or(0, |told| told.text.len());
        self.waiting.saturating_add(held_by_first) > MAX_WAITING
    }

    fn wait(&mut self, part: u32, bytes: usize) {
        if part != self.first {
            self.waiting = self.waiting.saturating_add(bytes);
        }
    }

    fn part(&mut self, number: u32) -> Option<&mut Told> {
        self.parts.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

/// The line of blocks that the caller sees.
#[derive(Debug, Default)]
struct Line {
    /// Of the open block, else of the next.
    index: u32,
    is_open: bool,
}

impl Line {
    fn start(&mut self, out: &mut Vec<u8>, block: &Value) {
        send(out, "content_block_start", &json!({"type": "content_block_start", "index": self.index, "content_block": block}));
        self.is_open = true;
    }

    /// Unless it is open already.
    fn ensure_open(&mut self, out: &mut Vec<u8>, block: impl FnOnce() -> Value) {
        if !self.is_open {
            self.start(out, &block());
        }
    }

    fn delta(&self, out: &mut Vec<u8>, delta: Delta<'_>) {
        send(out, "content_block_delta", &DeltaEvent { kind: "content_block_delta", index: self.index, delta });
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        send(out, "content_block_stop", &json!({"type": "content_block_stop", "index": self.index}));
        self.is_open = false;
        self.index = self.index.wrapping_add(1);
    }

    fn whole(&mut self, out: &mut Vec<u8>, block: &Value) {
        self.start(out, block);
        self.stop(out);
    }
}

/// A part, with what of it has not been told yet.
#[derive(Debug)]
struct Told {
    kind: Kind,
    text: String,
    citations: Vec<Value>,
    closing: Option<PartClosing>,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking,
    Call {
        opening: ToolCallOpening,
        is_object: bool,
    },
    Other(Value),
    /// Of which only this is said.
    LeftOut(String),
    Hidden,
}

impl Told {
    fn new(kind: &PartKind) -> Self {
        let kind = match kind {
            PartKind::Text | PartKind::Refusal => Kind::Text,
            PartKind::Thinking => Kind::Thinking,
            PartKind::ToolCall(opening) => Kind::Call { opening: opening.clone(), is_object: false },
            PartKind::Other(native) => answer::shown(native).map_or(Kind::Hidden, Kind::Other),
            PartKind::Image(media) => Kind::LeftOut(answer::notice("image", media)),
            PartKind::Audio(media) => Kind::LeftOut(answer::notice("sound", media)),
            PartKind::Video(media) => Kind::LeftOut(answer::notice("video", media)),
        };
        Self { kind, text: String::new(), citations: Vec::new(), closing: None }
    }

    /// Tells what is new. Whether the part is over.
    fn tell(&mut self, line: &mut Line, out: &mut Vec<u8>) -> bool {
        let text = mem::take(&mut self.text);
        match &mut self.kind {
            Kind::Hidden => return true,
            Kind::Text => tell_text(&text, &mem::take(&mut self.citations), line, out),
            Kind::Thinking if !text.is_empty() => {
                line.ensure_open(out, || empty_thinking(""));
                line.delta(out, Delta::Thinking { thinking: &text });
            }
            Kind::Call { opening, is_object } => {
                line.ensure_open(out, || json!({"type": "tool_use", "id": opening.id, "name": opening.name, "input": {}}));
                // Fragments must be an object's from the first on: what is none waits to be put into one.
                *is_object |= !opening.free_form && text.trim_start().starts_with('{');
                if !*is_object {
                    self.text = text;
                } else if !text.is_empty() {
                    line.delta(out, Delta::Input { partial_json: &text });
                }
            }
            Kind::Thinking | Kind::Other(_) | Kind::LeftOut(_) => {}
        }
        let Some(closing) = self.closing.take() else { return false };
        self.end(&closing, line, out);
        true
    }

    fn end(&mut self, closing: &PartClosing, line: &mut Line, out: &mut Vec<u8>) {
        let sealed = closing.replay.as_ref().map(|replay| replay.data.as_str());
        match &self.kind {
            Kind::Text => end_text(sealed, line, out),
            Kind::Thinking => end_thinking(closing, sealed, line, out),
            Kind::Call { opening, is_object } => {
                if !is_object && (opening.free_form || !self.text.trim().is_empty()) {
                    line.delta(out, Delta::Input { partial_json: &answer::wrapped(&self.text, opening.free_form) });
                }
                line.stop(out);
            }
            Kind::Other(block) => tell_other(block, line, out),
            Kind::LeftOut(notice) => {
                tell_text(notice, &[], line, out);
                line.stop(out);
                end_text(sealed, line, out);
            }
            Kind::Hidden => {}
        }
        if let (Kind::Call { .. } | Kind::Other(_), Some(sealed)) = (&self.kind, sealed) {
            line.whole(out, &carriers::behind(sealed));
        }
    }
}

fn tell_text(text: &str, citations: &[Value], line: &mut Line, out: &mut Vec<u8>) {
    if text.is_empty() && citations.is_empty() {
        return;
    }
    line.ensure_open(out, || json!({"type": "text", "text": ""}));
    if !text.is_empty() {
        line.delta(out, Delta::Text { text });
    }
    for citation in citations {
        line.delta(out, Delta::Citation { citation });
    }
}

fn end_text(sealed: Option<&str>, line: &mut Line, out: &mut Vec<u8>) {
    match sealed {
        Some(sealed) if line.is_open => line.delta(out, Delta::Citation { citation: &carriers::citation(sealed) }),
        Some(sealed) => line.whole(out, &carriers::empty_text(sealed)),
        None => {}
    }
    if line.is_open {
        line.stop(out);
    }
}

fn empty_thinking(signature: &str) -> Value {
    json!({"type": "thinking", "thinking": "", "signature": signature})
}

fn end_thinking(closing: &PartClosing, sealed: Option<&str>, line: &mut Line, out: &mut Vec<u8>) {
    if !line.is_open {
        match answer::thinking_block(&closing.extras, "", sealed) {
            None => return,
            Some(block) if block["type"] == "thinking" => line.start(out, &empty_thinking("")),
            Some(redacted) => return line.whole(out, &redacted),
        }
    }
    if let Some(signature) = sealed {
        line.delta(out, Delta::Signature { signature });
    }
    line.stop(out);
}

/// Clients read the input of the provider's own tools, too, from the deltas.
fn tell_other(block: &Value, line: &mut Line, out: &mut Vec<u8>) {
    let is_call = matches!(block["type"].as_str(), Some("server_tool_use" | "mcp_tool_use"));
    if !is_call || !block["input"].is_object() {
        return line.whole(out, block);
    }
    let mut begun = block.clone();
    let input = mem::replace(&mut begun["input"], json!({})).to_string();
    line.start(out, &begun);
    line.delta(out, Delta::Input { partial_json: &input });
    line.stop(out);
}
