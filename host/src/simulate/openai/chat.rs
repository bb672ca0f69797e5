//! `/chat/completions`: reads a request into a prompt, and writes a reply as one body or as chunks.

use super::{chat_check, chat_failure, obfuscation, tools};
use crate::simulate::frames::{FrameWriter, Frames};
use crate::simulate::prompt::{Format, Media, Prompt, Thinking, ToolChoice, is_set, list_at, stops_at, str_at};
use crate::simulate::reply::{Content, Finish, Reply, ToolCall, compose};
use crate::simulate::text::pieces;
use crate::simulate::wire::{Answer, Call, Problem, Streamed};
use crate::simulate::{clock, logprob};
use serde_json::{Value, json};

pub(super) fn answer(call: &Call, body: &Value) -> Result<Answer, Problem> {
    chat_check::check(body)?;
    let prompt = read(body);
    let reply = compose("openai", &prompt, &call.shaping);
    let completion = Completion { call, body, prompt: &prompt, reply: &reply, created: clock::now() };
    if body.get("stream") == Some(&Value::Bool(true)) {
        let frames = completion.stream();
        return Ok(Answer::Stream(Streamed { content_type: "text/event-stream; charset=utf-8", frames, failure: chat_failure }));
    }
    Ok(Answer::pretty(&completion.whole()))
}

fn read(body: &Value) -> Prompt {
    let count = |key: &str| body.get(key).and_then(Value::as_u64);
    let effort = str_at(body, "reasoning_effort");
    let mut prompt = Prompt {
        model: str_at(body, "model").to_owned(),
        max_output: count("max_completion_tokens").or_else(|| count("max_tokens")),
        stop: stops_at(body, "stop"),
        choice: read_choice(body),
        max_calls: (body.get("parallel_tool_calls") == Some(&Value::Bool(false))).then_some(1),
        format: read_format(body),
        logprobs: (body.get("logprobs") == Some(&Value::Bool(true))).then(|| count("top_logprobs").unwrap_or(0) as usize),
        thinking: if effort.is_empty() || effort == "none" { Thinking::Off } else { Thinking::On },
        alternatives: count("n").unwrap_or(1) as usize,
        ..Prompt::default()
    };
    for tool in list_at(body, "tools") {
        let function = tool.get("function").unwrap_or(&Value::Null);
        if !function.is_null() {
            prompt.tool(str_at(function, "name"), str_at(function, "description"), function.get("parameters"));
        }
    }
    list_at(body, "messages").iter().for_each(|message| read_message(&mut prompt, message));
    prompt
}

fn read_message(prompt: &mut Prompt, message: &Value) {
    match str_at(message, "role") {
        "user" => {
            prompt.begin_user();
            read_user(prompt, message);
        }
        "tool" => {
            prompt.messages += 1;
            prompt.tool_result(joined_text(message));
        }
        _ => {
            prompt.begin_other();
            prompt.context(&joined_text(message));
            for call in list_at(message, "tool_calls") {
                prompt.context(call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default());
            }
        }
    }
}

fn read_user(prompt: &mut Prompt, message: &Value) {
    prompt.user_text(str_at(message, "content"));
    for part in list_at(message, "content") {
        let member = |path: &str| part.pointer(path).and_then(Value::as_str).unwrap_or_default();
        match str_at(part, "type") {
            "text" => prompt.user_text(str_at(part, "text")),
            "image_url" => prompt.media(Media::at_url("an image", member("/image_url/url"))),
            "input_audio" => prompt.media(Media::inline("a sound", member("/input_audio/data"))),
            "file" => prompt.media(Media::at_url("a document", member("/file/file_data"))),
            _ => {}
        }
    }
}

fn joined_text(message: &Value) -> String {
    let parts = list_at(message, "content").iter().map(|part| str_at(part, "text"));
    std::iter::once(str_at(message, "content")).chain(parts).collect()
}

fn read_choice(body: &Value) -> ToolChoice {
    match body.get("tool_choice") {
        Some(Value::String(mode)) if mode == "none" => ToolChoice::Never,
        Some(Value::String(mode)) if mode == "required" => ToolChoice::Required,
        Some(choice @ Value::Object(_)) => match choice.pointer("/function/name").and_then(Value::as_str) {
            Some(name) => ToolChoice::Named(name.to_owned()),
            None if choice.pointer("/allowed_tools/mode").is_some_and(|mode| mode == "required") => ToolChoice::Required,
            None => ToolChoice::Auto,
        },
        _ => ToolChoice::Auto,
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
    body: &'a Value,
    prompt: &'a Prompt,
    reply: &'a Reply,
    created: u64,
}

impl Completion<'_> {
    fn id(&self) -> String {
        format!("chatcmpl-{}", self.call.ids.base62("completion", 29))
    }

    fn alternatives(&self) -> usize {
        self.prompt.alternatives.max(1)
    }

    fn finish(&self) -> &'static str {
        match self.reply.finish {
            Finish::Stop | Finish::StopSequence(_) => "stop",
            Finish::Length => "length",
            // A call that was forced by name ends like a text.
            Finish::ToolCalls if matches!(self.prompt.choice, ToolChoice::Named(_)) => "stop",
            Finish::ToolCalls => "tool_calls",
            Finish::Filtered => "content_filter",
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
            "completion_tokens": output,
            "total_tokens": usage.input + output,
            "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage.thinking * self.alternatives() as u64,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }

    fn call_id(&self, index: usize) -> String {
        format!("call_{}", self.call.ids.base62(&format!("call {index}"), 24))
    }

    fn tool_call(&self, index: usize, call: &ToolCall) -> Value {
        json!({"id": self.call_id(index), "type": "function", "function": {"name": call.name, "arguments": call.arguments_json()}})
    }

    fn whole(&self) -> Value {
        let mut message = json!({"role": "assistant", "content": null, "refusal": null, "annotations": []});
        match &self.reply.content {
            Content::Text(text) => message["content"] = json!(text),
            Content::Calls(calls) => {
                message["tool_calls"] = calls.iter().enumerate().map(|(index, call)| self.tool_call(index, call)).collect();
            }
        }
        let logprobs = match &self.reply.content {
            Content::Text(text) => self.logprobs(text),
            Content::Calls(_) => Value::Null,
        };
        let choice = |index| json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": self.finish()});
        json!({
            "id": self.id(),
            "object": "chat.completion",
            "created": self.created,
            "model": self.prompt.model,
            "choices": (0..self.alternatives()).map(choice).collect::<Vec<_>>(),
            "usage": self.usage(),
            "service_tier": tools::tier_used(self.body),
            "system_fingerprint": null,
        })
    }

    fn logprobs(&self, text: &str) -> Value {
        match self.prompt.logprobs {
            Some(alternatives) => json!({"content": logprob::openai(text, alternatives), "refusal": null}),
            None => Value::Null,
        }
    }

    fn stream(&self) -> Frames {
        let options = self.body.get("stream_options").unwrap_or(&Value::Null);
        let asks = |name: &str| is_set(options, name).then(|| options.get(name) == Some(&Value::Bool(true)));
        let usage_asked = asks("include_usage").unwrap_or(false);
        let head = format!(
            "data: {{\"id\":\"{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},\"service_tier\":{},\"system_fingerprint\":null,\"choices\":[",
            self.id(),
            self.created,
            json!(self.prompt.model),
            json!(tools::tier_used(self.body)),
        );
        let tail = if usage_asked { "],\"usage\":null" } else { "]" };
        let mut chunks = Chunks { frames: Frames::default(), head, tail, obfuscates: asks("include_obfuscation").unwrap_or(true) };
        for index in 0..self.alternatives() {
            self.stream_choice(index, &mut chunks);
        }
        if usage_asked && !self.call.shaping.no_usage {
            chunks.usage(&self.usage());
        }
        chunks.frames.mark_terminal();
        chunks.frames.text("data: [DONE]\n\n");
        chunks.frames
    }

    fn stream_choice(&self, index: usize, chunks: &mut Chunks) {
        match &self.reply.content {
            Content::Text(text) => {
                chunks.delta(index, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}");
                for piece in pieces(text, 1, self.call.shaping.chunks) {
                    chunks.content(index, piece, &self.logprobs(piece));
                }
            }
            Content::Calls(calls) => {
                for (call_index, call) in calls.iter().enumerate() {
                    self.stream_call(index, call_index, call, chunks);
                }
            }
        }
        chunks.finish(index, self.finish());
    }

    fn stream_call(&self, index: usize, call_index: usize, call: &ToolCall, chunks: &mut Chunks) {
        let opening = json!([{"index": call_index, "id": self.call_id(call_index), "type": "function", "function": {"name": call.name, "arguments": ""}}]);
        // The role stands on the first delta of a choice alone.
        match call_index {
            0 => chunks.delta(index, &format!("{{\"role\":\"assistant\",\"content\":null,\"tool_calls\":{opening},\"refusal\":null}}")),
            _ => chunks.delta(index, &format!("{{\"tool_calls\":{opening}}}")),
        }
        for piece in pieces(&call.arguments_json(), 1, None) {
            chunks.arguments(index, call_index, piece);
        }
    }
}

/// What stands around a delta.
struct Around<'a> {
    logprobs: &'a Value,
    /// As JSON.
    finish: &'a str,
    /// The text whose length the obfuscation hides.
    hidden: &'a str,
}

const NOTHING: Around<'_> = Around { logprobs: &Value::Null, finish: "null", hidden: "" };

/// Writes chunks that differ in their delta alone.
struct Chunks {
    frames: Frames,
    head: String,
    tail: &'static str,
    obfuscates: bool,
}

impl Chunks {
    fn delta(&mut self, index: usize, delta: &str) {
        self.chunk(index, Around { hidden: delta, ..NOTHING }, |writer| writer.raw(delta));
    }

    fn content(&mut self, index: usize, piece: &str, logprobs: &Value) {
        self.chunk(index, Around { hidden: piece, logprobs, ..NOTHING }, |writer| {
            writer.raw("{\"content\":");
            writer.string(piece);
            writer.raw("}");
        });
    }

    fn arguments(&mut self, index: usize, call_index: usize, piece: &str) {
        self.chunk(index, Around { hidden: piece, ..NOTHING }, |writer| {
            writer.raw("{\"tool_calls\":[{\"index\":");
            writer.number(call_index as u64);
            writer.raw(",\"function\":{\"arguments\":");
            writer.string(piece);
            writer.raw("}}]}");
        });
    }

    fn finish(&mut self, index: usize, reason: &str) {
        self.frames.mark_finish();
        self.chunk(index, Around { finish: &format!("\"{reason}\""), ..NOTHING }, |writer| writer.raw("{}"));
    }

    fn usage(&mut self, usage: &Value) {
        let Self { frames, head, .. } = self;
        frames.push(|writer| {
            writer.raw(head);
            writer.raw("],\"usage\":");
            writer.json(usage);
            writer.raw("}\n\n");
        });
    }

    fn chunk(&mut self, index: usize, around: Around<'_>, delta: impl FnOnce(&mut FrameWriter<'_>)) {
        let Self { frames, head, tail, obfuscates } = self;
        frames.push(|writer| {
            writer.raw(head);
            writer.raw("{\"index\":");
            writer.number(index as u64);
            writer.raw(",\"delta\":");
            delta(writer);
            writer.raw(",\"logprobs\":");
            writer.json(around.logprobs);
            writer.raw(",\"finish_reason\":");
            writer.raw(around.finish);
            writer.raw("}");
            writer.raw(tail);
            if *obfuscates {
                writer.raw(",\"obfuscation\":\"");
                writer.raw(obfuscation(around.hidden));
                writer.raw("\"");
            }
            writer.raw("}\n\n");
        });
    }
}
