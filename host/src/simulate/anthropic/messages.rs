//! `/messages` and `/messages/count_tokens`: reads a request into a prompt, and writes a reply as one body or as events.

use super::models::Model;
use super::transcript::{Thought, Transcript};
use super::{Version, check, failure};
use crate::simulate::frames::{FrameWriter, Frames};
use crate::simulate::prompt::{Format, Media, Prompt, Thinking, ToolChoice, is_set, list_at, str_at};
use crate::simulate::reply::{Content, Finish, Reply, ToolCall, compose};
use crate::simulate::text::pieces;
use crate::simulate::wire::{Answer, Call, Problem, Streamed};
use serde_json::{Value, json};

pub(super) fn answer(call: &Call, version: Version, body: &Value) -> Result<Answer, Problem> {
    let model = check::check_message(version, body)?;
    let prompt = read(body);
    let reply = compose("claude", &prompt, &call.shaping);
    let display = match body.pointer("/thinking/display").and_then(Value::as_str) {
        Some("omitted") => Display::Omitted,
        None if model.omits_thinking() => Display::Omitted,
        _ => Display::Shown,
    };
    let transcript = Transcript::of(model, list_at(body, "messages"));
    let message = Message { call, model, reply: &reply, display, transcript: transcript.digest() };
    if body.get("stream") == Some(&Value::Bool(true)) {
        let frames = message.stream();
        return Ok(Answer::Stream(Streamed { content_type: "text/event-stream; charset=utf-8", frames, failure }));
    }
    Ok(Answer::json(&message.whole()))
}

pub(super) fn count(version: Version, body: &Value) -> Result<Answer, Problem> {
    check::check_count(version, body)?;
    Ok(Answer::json(&json!({"input_tokens": read(body).input_tokens()})))
}

fn read(body: &Value) -> Prompt {
    let thinks = matches!(body.pointer("/thinking/type").and_then(Value::as_str), Some("adaptive" | "enabled" | "between_tools"));
    let one_call = body.pointer("/tool_choice/disable_parallel_tool_use") == Some(&Value::Bool(true));
    let mut prompt = Prompt {
        model: str_at(body, "model").to_owned(),
        max_output: body.get("max_tokens").and_then(Value::as_u64),
        stop: list_at(body, "stop_sequences").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        choice: read_choice(body),
        max_calls: one_call.then_some(1),
        format: body.pointer("/output_config/format/schema").map_or(Format::Text, |schema| Format::Schema(schema.clone())),
        thinking: if thinks { Thinking::On } else { Thinking::Off },
        ..Prompt::default()
    };
    for tool in list_at(body, "tools").iter().filter(|tool| matches!(str_at(tool, "type"), "" | "custom")) {
        prompt.tool(str_at(tool, "name"), str_at(tool, "description"), tool.get("input_schema"));
        mark(&mut prompt, tool);
    }
    prompt.context(str_at(body, "system"));
    for block in list_at(body, "system") {
        prompt.context(str_at(block, "text"));
        mark(&mut prompt, block);
    }
    list_at(body, "messages").iter().for_each(|message| read_message(&mut prompt, message));
    mark(&mut prompt, body);
    prompt
}

/// What stands at or before a `cache_control` is to be cached.
fn mark(prompt: &mut Prompt, place: &Value) {
    if is_set(place, "cache_control") {
        prompt.mark_for_cache();
    }
}

fn read_choice(body: &Value) -> ToolChoice {
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    match str_at(choice, "type") {
        "none" => ToolChoice::Never,
        "any" => ToolChoice::Required,
        "tool" => ToolChoice::Named(str_at(choice, "name").to_owned()),
        _ => ToolChoice::Auto,
    }
}

fn read_message(prompt: &mut Prompt, message: &Value) {
    let blocks = list_at(message, "content");
    if str_at(message, "role") != "user" {
        prompt.begin_other();
        prompt.context(str_at(message, "content"));
        for block in blocks {
            prompt.context(str_at(block, "text"));
            prompt.context(&block.get("input").map(Value::to_string).unwrap_or_default());
            mark(prompt, block);
        }
        return;
    }
    // Text behind tool results is a remark on them, not a new question.
    if blocks.iter().any(|block| str_at(block, "type") == "tool_result") {
        prompt.messages += 1;
    } else {
        prompt.begin_user();
    }
    prompt.user_text(str_at(message, "content"));
    blocks.iter().for_each(|block| read_user_block(prompt, block));
}

fn read_user_block(prompt: &mut Prompt, block: &Value) {
    match str_at(block, "type") {
        "text" => prompt.user_text(str_at(block, "text")),
        "image" => prompt.media(read_source("an image", block)),
        "document" => prompt.media(read_source("a document", block)),
        "tool_result" => {
            let parts = list_at(block, "content").iter().map(|part| str_at(part, "text"));
            let text: String = std::iter::once(str_at(block, "content")).chain(parts).collect();
            let is_error = block.get("is_error") == Some(&Value::Bool(true));
            prompt.tool_result(if is_error { format!("error: {text}") } else { text });
        }
        _ => {}
    }
    mark(prompt, block);
}

fn read_source(kind: &'static str, block: &Value) -> Media {
    let source = block.get("source").unwrap_or(&Value::Null);
    match str_at(source, "type") {
        "base64" => Media::inline(kind, str_at(source, "data")),
        "text" => Media { kind, bytes: Some(str_at(source, "data").len()) },
        _ => Media { kind, bytes: None },
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Display {
    Shown,
    /// The thinking is empty; its signature alone is there.
    Omitted,
}

struct Message<'a> {
    call: &'a Call,
    model: Model<'a>,
    reply: &'a Reply,
    display: Display,
    /// Of the conversation that is answered.
    transcript: String,
}

impl Message<'_> {
    fn stop_reason(&self) -> &'static str {
        match self.reply.finish {
            Finish::Stop => "end_turn",
            Finish::StopSequence(_) => "stop_sequence",
            Finish::Length => "max_tokens",
            Finish::ToolCalls => "tool_use",
            Finish::Filtered => "refusal",
        }
    }

    fn stop_sequence(&self) -> Option<&str> {
        match &self.reply.finish {
            Finish::StopSequence(stop) => Some(stop),
            _ => None,
        }
    }

    fn stop_details(&self) -> Value {
        match self.reply.finish {
            Finish::Filtered => json!({"type": "refusal", "category": null, "explanation": "The simulator was asked to refuse."}),
            _ => Value::Null,
        }
    }

    fn thinking(&self) -> Option<&str> {
        let thinking = self.reply.thinking.as_deref()?;
        Some(if self.display == Display::Omitted { "" } else { thinking })
    }

    fn thought<'b>(&'b self, text: Option<&'b str>) -> Thought<'b> {
        Thought { model: self.model, transcript: &self.transcript, text }
    }

    fn signature(&self, thinking: &str) -> String {
        self.thought(Some(thinking)).seal(self.call.ids.nonce("thinking"))
    }

    fn call_id(&self, index: usize) -> String {
        format!("toolu_01{}", self.call.ids.base62(&format!("call {index}"), 22))
    }

    fn head(&self, content: Vec<Value>) -> Value {
        json!({
            "model": self.model.name,
            "id": format!("msg_01{}", self.call.ids.base62("message", 22)),
            "type": "message",
            "role": "assistant",
            "content": content,
        })
    }

    fn usage(&self, output: u64) -> Value {
        let usage = self.reply.usage;
        json!({
            "input_tokens": self.uncached(),
            "cache_creation_input_tokens": usage.written,
            "cache_read_input_tokens": usage.cached,
            "cache_creation": {"ephemeral_5m_input_tokens": usage.written, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output,
            "service_tier": "standard",
            "inference_geo": "global",
        })
    }

    /// What is neither read from the cache nor written to it.
    fn uncached(&self) -> u64 {
        let usage = self.reply.usage;
        usage.input.saturating_sub(usage.cached + usage.written)
    }

    fn with_thinking_tokens(&self, mut usage: Value) -> Value {
        if self.reply.usage.thinking > 0 {
            usage["output_tokens_details"] = json!({"thinking_tokens": self.reply.usage.thinking});
        }
        usage
    }

    fn content(&self) -> Vec<Value> {
        let thinking = self.thinking().map(|thinking| self.thinking_block(thinking));
        let said = match &self.reply.content {
            Content::Text(text) if text.is_empty() => Vec::new(),
            Content::Text(text) => vec![json!({"type": "text", "text": text})],
            Content::Calls(calls) => calls.iter().enumerate().map(|(index, call)| self.tool_use(index, call)).collect(),
        };
        thinking.into_iter().chain(said).collect()
    }

    fn thinking_block(&self, thinking: &str) -> Value {
        if self.call.shaping.redacted {
            return json!({"type": "redacted_thinking", "data": self.thought(None).seal(self.call.ids.nonce("thinking"))});
        }
        json!({"type": "thinking", "thinking": thinking, "signature": self.signature(thinking)})
    }

    fn tool_use(&self, index: usize, call: &ToolCall) -> Value {
        json!({"type": "tool_use", "id": self.call_id(index), "name": call.name, "input": call.arguments, "caller": {"type": "direct"}})
    }

    fn whole(&self) -> Value {
        let mut message = self.head(self.content());
        message["stop_reason"] = json!(self.stop_reason());
        message["stop_sequence"] = json!(self.stop_sequence());
        message["stop_details"] = self.stop_details();
        if !self.call.shaping.no_usage {
            message["usage"] = self.with_thinking_tokens(self.usage(self.reply.usage.output));
        }
        message
    }

    fn stream(&self) -> Frames {
        let mut events = Events::default();
        let mut started = self.head(Vec::new());
        for (member, value) in [("stop_reason", Value::Null), ("stop_sequence", Value::Null), ("stop_details", Value::Null)] {
            started[member] = value;
        }
        // What is out when the stream begins is a guess, and small.
        if !self.call.shaping.no_usage {
            started["usage"] = self.usage(self.reply.usage.output.min(1));
        }
        events.value("message_start", &json!({"type": "message_start", "message": started}));
        for (index, block) in self.content().iter().enumerate() {
            self.stream_block(index, block, &mut events);
        }
        let delta = json!({"stop_reason": self.stop_reason(), "stop_sequence": self.stop_sequence(), "stop_details": self.stop_details()});
        let mut ending = json!({"type": "message_delta", "delta": delta});
        if !self.call.shaping.no_usage {
            ending["usage"] = self.with_thinking_tokens(json!({
                "input_tokens": self.uncached(),
                "cache_creation_input_tokens": self.reply.usage.written,
                "cache_read_input_tokens": self.reply.usage.cached,
                "output_tokens": self.reply.usage.output,
            }));
        }
        events.frames.mark_finish();
        events.value("message_delta", &ending);
        events.frames.mark_terminal();
        events.value("message_stop", &json!({"type": "message_stop"}));
        events.frames
    }

    fn stream_block(&self, index: usize, block: &Value, events: &mut Events) {
        let start = |events: &mut Events, opened: Value| {
            events.value("content_block_start", &json!({"type": "content_block_start", "index": index, "content_block": opened}));
            if index == 0 {
                events.frames.text("event: ping\ndata: {\"type\": \"ping\"}\n\n");
            }
        };
        match str_at(block, "type") {
            "thinking" => {
                start(events, json!({"type": "thinking", "thinking": "", "signature": ""}));
                for piece in pieces(str_at(block, "thinking"), 2, None) {
                    events.delta(index, &THINKING, piece);
                }
                events.delta(index, &SIGNATURE, str_at(block, "signature"));
            }
            // Comes whole.
            "redacted_thinking" => start(events, block.clone()),
            "tool_use" => {
                let mut opened = block.clone();
                opened["input"] = json!({});
                start(events, opened);
                events.delta(index, &INPUT, "");
                let input = block.get("input").map(Value::to_string).unwrap_or_default();
                for piece in pieces(&input, 1, None) {
                    events.delta(index, &INPUT, piece);
                }
            }
            _ => {
                start(events, json!({"type": "text", "text": ""}));
                for piece in pieces(str_at(block, "text"), 2, self.call.shaping.chunks) {
                    events.delta(index, &TEXT, piece);
                }
            }
        }
        events.value("content_block_stop", &json!({"type": "content_block_stop", "index": index}));
    }
}

/// A kind of delta, and the name of its only member.
struct Delta {
    kind: &'static str,
    member: &'static str,
}

const TEXT: Delta = Delta { kind: "text_delta", member: "text" };
const INPUT: Delta = Delta { kind: "input_json_delta", member: "partial_json" };
const THINKING: Delta = Delta { kind: "thinking_delta", member: "thinking" };
const SIGNATURE: Delta = Delta { kind: "signature_delta", member: "signature" };

#[derive(Default)]
struct Events {
    frames: Frames,
}

impl Events {
    fn value(&mut self, kind: &str, event: &Value) {
        let json = event.to_string();
        let open = json.strip_suffix('}').unwrap_or(&json);
        self.event(kind, |writer| writer.raw(open));
    }

    fn delta(&mut self, index: usize, delta: &Delta, piece: &str) {
        self.event("content_block_delta", |writer| {
            writer.raw("{\"type\":\"content_block_delta\",\"index\":");
            writer.number(index as u64);
            for raw in [",\"delta\":{\"type\":\"", delta.kind, "\",\"", delta.member, "\":"] {
                writer.raw(raw);
            }
            writer.string(piece);
            writer.raw("}");
        });
    }

    /// `open` writes the JSON without its last brace: the API pads events with spaces before it.
    fn event(&mut self, kind: &str, open: impl FnOnce(&mut FrameWriter<'_>)) {
        const PADDING: &str = "               ";
        let padding = self.frames.len() * 7 % (PADDING.len() + 1);
        self.frames.push(|writer| {
            writer.raw("event: ");
            writer.raw(kind);
            writer.raw("\ndata: ");
            open(writer);
            writer.raw(&PADDING[..padding]);
            writer.raw("}\n\n");
        });
    }
}
