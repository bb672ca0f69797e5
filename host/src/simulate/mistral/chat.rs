//! Mistral's `/chat/completions`: reads a request into a prompt, and writes a reply as one body or as chunks.
//!
//! A streamed call comes whole, on the chunk that ends the answer; so do the tokens, unasked. A content is a list once the model thinks.

use super::check::{self, THINKING};
use super::{failure, models};
use crate::simulate::clock;
use crate::simulate::frames::Frames;
use crate::simulate::prompt::{Format, Media, Prompt, Thinking, ToolChoice, list_at, stops_at, str_at};
use crate::simulate::reply::{Content, Finish, Reply, ToolCall, compose};
use crate::simulate::seal::Bound;
use crate::simulate::text::pieces;
use crate::simulate::wire::{Answer, Call, Problem, Streamed};
use serde_json::{Value, json};

pub(super) fn answer(call: &Call, body: &Value) -> Result<Answer, Problem> {
    check::check(body)?;
    let prompt = read(body);
    let reply = compose("mistral", &prompt, &call.shaping);
    if reply.finish == Finish::Filtered {
        return Err(super::usual_outage(403));
    }
    let completion = Completion { call, prompt: &prompt, reply: &reply, created: clock::now() };
    if body.get("stream") == Some(&Value::Bool(true)) {
        let frames = completion.stream();
        return Ok(Answer::Stream(Streamed { content_type: "text/event-stream; charset=utf-8", frames, failure }));
    }
    Ok(Answer::json(&completion.whole()))
}

fn read(body: &Value) -> Prompt {
    let model = str_at(body, "model");
    let asks_to_think = !matches!(str_at(body, "reasoning_effort"), "" | "none") || str_at(body, "prompt_mode") == "reasoning";
    let mut prompt = Prompt {
        model: model.to_owned(),
        max_output: body.get("max_tokens").and_then(Value::as_u64),
        stop: stops_at(body, "stop"),
        choice: read_choice(body),
        max_calls: (body.get("parallel_tool_calls") == Some(&Value::Bool(false))).then_some(1),
        format: read_format(body),
        thinking: if asks_to_think || models::always_thinks(model) { Thinking::On } else { Thinking::Off },
        alternatives: body.get("n").and_then(Value::as_u64).unwrap_or(1) as usize,
        ..Prompt::default()
    };
    for function in list_at(body, "tools").iter().filter_map(|tool| tool.get("function")) {
        prompt.tool(str_at(function, "name"), str_at(function, "description"), function.get("parameters"));
    }
    list_at(body, "messages").iter().for_each(|message| read_message(&mut prompt, message));
    prompt
}

fn read_message(prompt: &mut Prompt, message: &Value) {
    match str_at(message, "role") {
        "user" => {
            prompt.begin_user();
            prompt.user_text(str_at(message, "content"));
            list_at(message, "content").iter().for_each(|chunk| read_user_chunk(prompt, chunk));
        }
        "tool" => {
            prompt.messages += 1;
            prompt.tool_result(joined_text(message));
        }
        _ => {
            prompt.begin_other();
            prompt.context(&joined_text(message));
            for call in list_at(message, "tool_calls") {
                prompt.context(&call.pointer("/function/arguments").map(Value::to_string).unwrap_or_default());
            }
        }
    }
}

fn read_user_chunk(prompt: &mut Prompt, chunk: &Value) {
    let url = |key: &str| match chunk.get(key) {
        Some(Value::String(url)) => url.clone(),
        Some(object) => str_at(object, "url").to_owned(),
        None => String::new(),
    };
    match str_at(chunk, "type") {
        "text" => prompt.user_text(str_at(chunk, "text")),
        "image_url" => prompt.media(Media::at_url("an image", &url("image_url"))),
        "document_url" => prompt.media(Media::at_url("a document", &url("document_url"))),
        "input_audio" => {
            let audio = str_at(chunk, "input_audio");
            let is_url = audio.starts_with("http://") || audio.starts_with("https://") || audio.starts_with("data:");
            prompt.media(if is_url { Media::at_url("a sound", audio) } else { Media::inline("a sound", audio) });
        }
        "file" => prompt.media(Media { kind: "a document", bytes: None }),
        _ => {}
    }
}

fn joined_text(message: &Value) -> String {
    let parts = list_at(message, "content").iter().map(|part| str_at(part, "text"));
    std::iter::once(str_at(message, "content")).chain(parts).collect()
}

fn read_choice(body: &Value) -> ToolChoice {
    match body.get("tool_choice") {
        Some(Value::String(mode)) if mode == "none" => ToolChoice::Never,
        Some(Value::String(mode)) if mode == "any" || mode == "required" => ToolChoice::Required,
        Some(choice) => match choice.pointer("/function/name").and_then(Value::as_str) {
            Some(name) => ToolChoice::Named(name.to_owned()),
            None => ToolChoice::Auto,
        },
        None => ToolChoice::Auto,
    }
}

fn read_format(body: &Value) -> Format {
    let format = body.get("response_format").unwrap_or(&Value::Null);
    match str_at(format, "type") {
        "json_object" => Format::Json,
        "json_schema" => Format::Schema(format.pointer("/json_schema/schema").cloned().unwrap_or(Value::Null)),
        _ => Format::Text,
    }
}

struct Completion<'a> {
    call: &'a Call,
    prompt: &'a Prompt,
    reply: &'a Reply,
    created: u64,
}

impl Completion<'_> {
    fn id(&self) -> String {
        self.call.ids.hex("completion", 32)
    }

    fn alternatives(&self) -> usize {
        self.prompt.alternatives.max(1)
    }

    fn finish(&self) -> &'static str {
        match self.reply.finish {
            // A filtered answer never gets here.
            Finish::Stop | Finish::StopSequence(_) | Finish::Filtered => "stop",
            Finish::Length => "length",
            Finish::ToolCalls => "tool_calls",
        }
    }

    /// Null where a fault says that nothing is told.
    fn usage(&self) -> Value {
        if self.call.shaping.no_usage {
            return Value::Null;
        }
        let usage = self.reply.usage;
        let output = usage.output * self.alternatives() as u64;
        json!({
            "prompt_tokens": usage.input,
            "total_tokens": usage.input + output,
            "completion_tokens": output,
            "num_cached_tokens": usage.cached,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
        })
    }

    fn tool_calls(&self, calls: &[ToolCall]) -> Value {
        let call = |(index, call): (usize, &ToolCall)| {
            json!({
                "id": self.call.ids.base62(&format!("call {index}"), 9),
                "function": {"name": call.name, "arguments": call.arguments_json()},
                "index": index,
            })
        };
        calls.iter().enumerate().map(call).collect()
    }

    fn signature(&self, thinking: &str) -> String {
        Bound(&[THINKING, thinking]).seal(self.call.ids.nonce("thinking"))
    }

    fn thinking_chunk(&self, thinking: &str) -> Value {
        json!({"type": "thinking", "thinking": [{"type": "text", "text": thinking}], "signature": self.signature(thinking), "closed": true})
    }

    fn whole(&self) -> Value {
        let (text, calls) = match &self.reply.content {
            Content::Text(text) => (text.as_str(), Value::Null),
            Content::Calls(calls) => ("", self.tool_calls(calls)),
        };
        let content = match self.reply.thinking.as_deref() {
            None => json!(text),
            Some(thinking) if text.is_empty() => json!([self.thinking_chunk(thinking)]),
            Some(thinking) => json!([self.thinking_chunk(thinking), {"type": "text", "text": text}]),
        };
        let message = json!({"role": "assistant", "tool_calls": calls, "content": content});
        let choice = |index| json!({"index": index, "finish_reason": self.finish(), "message": message});
        json!({
            "id": self.id(),
            "created": self.created,
            "model": self.prompt.model,
            "usage": self.usage(),
            "object": "chat.completion",
            "choices": (0..self.alternatives()).map(choice).collect::<Vec<_>>(),
        })
    }

    fn stream(&self) -> Frames {
        let head = format!(
            "data: {{\"id\":\"{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},\"choices\":[{{\"index\":",
            self.id(),
            self.created,
            json!(self.prompt.model),
        );
        let mut chunks = Chunks { frames: Frames::default(), head };
        for index in 0..self.alternatives() {
            self.stream_choice(index, &mut chunks);
        }
        chunks.frames.mark_terminal();
        chunks.frames.text("data: [DONE]\n\n");
        chunks.frames
    }

    fn stream_choice(&self, index: usize, chunks: &mut Chunks) {
        chunks.delta(index, &json!({"role": "assistant", "content": ""}));
        if let Some(thinking) = self.reply.thinking.as_deref() {
            for piece in pieces(thinking, 1, None) {
                chunks.delta(index, &json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]}));
            }
            let closing = json!({"type": "thinking", "thinking": [], "signature": self.signature(thinking), "closed": true});
            chunks.delta(index, &json!({"content": [closing]}));
        }
        let last = match &self.reply.content {
            Content::Text(text) => {
                for piece in pieces(text, 1, self.call.shaping.chunks) {
                    chunks.content(index, piece);
                }
                json!({"content": ""})
            }
            Content::Calls(calls) => json!({"tool_calls": self.tool_calls(calls)}),
        };
        let is_last_choice = index + 1 == self.alternatives();
        let usage = is_last_choice.then(|| self.usage()).filter(Value::is_object);
        chunks.finish(index, &Ending { delta: last, reason: self.finish(), usage });
    }
}

struct Ending {
    delta: Value,
    reason: &'static str,
    usage: Option<Value>,
}

/// Writes chunks that differ in their delta alone.
struct Chunks {
    frames: Frames,
    head: String,
}

impl Chunks {
    fn delta(&mut self, index: usize, delta: &Value) {
        let Self { frames, head } = self;
        frames.push(|writer| {
            writer.raw(head);
            writer.number(index as u64);
            writer.raw(",\"delta\":");
            writer.json(delta);
            writer.raw(",\"finish_reason\":null}]}\n\n");
        });
    }

    fn content(&mut self, index: usize, piece: &str) {
        let Self { frames, head } = self;
        frames.push(|writer| {
            writer.raw(head);
            writer.number(index as u64);
            writer.raw(",\"delta\":{\"content\":");
            writer.string(piece);
            writer.raw("},\"finish_reason\":null}]}\n\n");
        });
    }

    fn finish(&mut self, index: usize, ending: &Ending) {
        self.frames.mark_finish();
        let Self { frames, head } = self;
        frames.push(|writer| {
            writer.raw(head);
            writer.number(index as u64);
            writer.raw(",\"delta\":");
            writer.json(&ending.delta);
            writer.raw(",\"finish_reason\":\"");
            writer.raw(ending.reason);
            writer.raw("\"}]");
            if let Some(usage) = &ending.usage {
                writer.raw(",\"usage\":");
                writer.json(usage);
            }
            writer.raw("}\n\n");
        });
    }
}
