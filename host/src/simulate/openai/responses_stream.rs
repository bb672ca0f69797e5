//! The events of a streamed response.
//!
//! Each output item goes from `output_item.added` to `output_item.done`; deltas, which are many, are written without building JSON values.

use super::responses::{Response, Status};
use super::{SERVER_ERROR, obfuscation};
use crate::simulate::frames::Frames;
use crate::simulate::prompt::str_at;
use crate::simulate::text::pieces;
use crate::simulate::wire::Failure;
use serde_json::{Value, json};

pub(super) fn frames(response: &Response<'_>) -> Frames {
    let obfuscates = response.body.pointer("/stream_options/include_obfuscation") != Some(&Value::Bool(false));
    let mut events = Events { frames: Frames::default(), obfuscates, response };
    let started = response.object(Status::InProgress, Vec::new());
    events.event("response.created", json!({"response": started}));
    events.event("response.in_progress", json!({"response": started}));
    let output = response.output();
    for (index, item) in output.iter().enumerate() {
        events.item(Item { index, item });
    }
    let status = response.outcome();
    let ending = match status {
        Status::Incomplete(_) => "response.incomplete",
        Status::Completed | Status::InProgress => "response.completed",
    };
    events.frames.mark_finish();
    events.frames.mark_terminal();
    events.event(ending, json!({"response": response.object(status, output)}));
    events.frames
}

pub(super) fn failure(after: usize) -> Failure {
    let error = json!({"type": "server_error", "code": "server_error", "message": SERVER_ERROR, "param": null});
    let event = json!({"type": "error", "sequence_number": after, "error": error});
    Failure { framed: format!("event: error\ndata: {event}\n\n"), raw: json!({"error": error}).to_string() }
}

/// A complete output item and its place.
#[derive(Clone, Copy)]
struct Item<'a> {
    index: usize,
    item: &'a Value,
}

impl Item<'_> {
    fn id(&self) -> &str {
        str_at(self.item, "id")
    }

    /// As it is when it begins: the same identity, nothing in it yet.
    fn begun(&self, emptied: &str, nothing: Value) -> Value {
        let mut item = self.item.clone();
        item[emptied] = nothing;
        if item.get("status").is_some() {
            item["status"] = json!("in_progress");
        }
        if let Some(members) = item.as_object_mut() {
            members.remove("encrypted_content");
        }
        item
    }
}

const TEXT_DELTA: &str = "response.output_text.delta";

struct Events<'a> {
    frames: Frames,
    obfuscates: bool,
    response: &'a Response<'a>,
}

impl Events<'_> {
    fn event(&mut self, kind: &str, fields: Value) {
        let number = self.frames.len();
        let mut event = json!({"type": kind});
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
            event.insert("sequence_number".to_owned(), json!(number));
        }
        self.frames.push(|writer| {
            writer.raw("event: ");
            writer.raw(kind);
            writer.raw("\ndata: ");
            writer.json(&event);
            writer.raw("\n\n");
        });
    }

    fn item(&mut self, item: Item<'_>) {
        match str_at(item.item, "type") {
            "reasoning" => self.reasoning(item),
            "function_call" => self.call(item),
            _ => self.message(item),
        }
        self.event("response.output_item.done", json!({"item": item.item, "output_index": item.index}));
    }

    fn added(&mut self, item: Item<'_>, begun: Value) {
        self.event("response.output_item.added", json!({"item": begun, "output_index": item.index}));
    }

    fn reasoning(&mut self, item: Item<'_>) {
        self.added(item, item.begun("summary", json!([])));
        let Some(summary) = item.item.pointer("/summary/0/text").and_then(Value::as_str) else { return };
        let place = |fields: Value| with(fields, json!({"item_id": item.id(), "output_index": item.index, "summary_index": 0}));
        self.event("response.reasoning_summary_part.added", place(json!({"part": {"type": "summary_text", "text": ""}})));
        self.deltas(&Deltas { kind: "response.reasoning_summary_text.delta", before: "", place: ",\"summary_index\":0", item }, summary);
        self.event("response.reasoning_summary_text.done", place(json!({"text": summary})));
        self.event("response.reasoning_summary_part.done", place(json!({"part": {"type": "summary_text", "text": summary}})));
    }

    fn call(&mut self, item: Item<'_>) {
        self.added(item, item.begun("arguments", json!("")));
        let arguments = str_at(item.item, "arguments");
        self.deltas(&Deltas { kind: "response.function_call_arguments.delta", before: "", place: "", item }, arguments);
        let done = json!({"arguments": arguments, "item_id": item.id(), "output_index": item.index});
        self.event("response.function_call_arguments.done", done);
    }

    fn message(&mut self, item: Item<'_>) {
        self.added(item, item.begun("content", json!([])));
        let text = item.item.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
        let place = |fields: Value| with(json!({"content_index": 0, "item_id": item.id(), "output_index": item.index}), fields);
        let nothing = json!({"type": "output_text", "annotations": [], "logprobs": [], "text": ""});
        self.event("response.content_part.added", place(json!({"part": nothing})));
        self.deltas(&Deltas { kind: TEXT_DELTA, before: "\"content_index\":0,", place: "", item }, text);
        self.event("response.output_text.done", place(json!({"logprobs": self.response.logprobs(text), "text": text})));
        self.event("response.content_part.done", place(json!({"part": item.item["content"][0]})));
    }

    fn deltas(&mut self, deltas: &Deltas<'_>, text: &str) {
        // Only the answer itself is cut into a wanted number of chunks.
        let is_text = deltas.kind == TEXT_DELTA;
        let chunks = self.response.call.shaping.chunks.filter(|_| is_text);
        for piece in pieces(text, 1, chunks) {
            let number = self.frames.len() as u64;
            let obfuscates = self.obfuscates;
            let logprobs = is_text.then(|| self.response.logprobs(piece));
            self.frames.push(|writer| {
                for raw in ["event: ", deltas.kind, "\ndata: {\"type\":\"", deltas.kind, "\",", deltas.before, "\"delta\":"] {
                    writer.raw(raw);
                }
                writer.string(piece);
                writer.raw(",\"item_id\":\"");
                writer.raw(deltas.item.id());
                writer.raw("\"");
                if obfuscates {
                    writer.raw(",\"obfuscation\":\"");
                    writer.raw(obfuscation(piece));
                    writer.raw("\"");
                }
                writer.raw(",\"output_index\":");
                writer.number(deltas.item.index as u64);
                writer.raw(",\"sequence_number\":");
                writer.number(number);
                writer.raw(deltas.place);
                if let Some(logprobs) = &logprobs {
                    writer.raw(",\"logprobs\":");
                    writer.json(logprobs);
                }
                writer.raw("}\n\n");
            });
        }
    }
}

/// What all deltas of one text have in common.
struct Deltas<'a> {
    kind: &'static str,
    /// Members before and behind those that every delta has.
    before: &'static str,
    place: &'static str,
    item: Item<'a>,
}

fn with(mut fields: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    fields
}
