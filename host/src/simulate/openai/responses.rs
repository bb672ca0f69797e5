//! `/responses`: reads a request into a prompt, and builds the response object. Its stream is in `responses_stream`.

use super::responses_check::{self, REASONING};
use super::{responses_stream, tools};
use crate::simulate::prompt::{Format, Media, Prompt, Thinking, ToolChoice, is_set, list_at, str_at};
use crate::simulate::reply::{Content, Finish, Reply, ToolCall, compose};
use crate::simulate::wire::{Answer, Call, Problem, Streamed};
use crate::simulate::{clock, logprob};
use serde_json::{Value, json};

pub(super) fn answer(call: &Call, body: &Value) -> Result<Answer, Problem> {
    responses_check::check(body)?;
    let prompt = read(body);
    let reply = compose("openai", &prompt, &call.shaping);
    let response = Response { call, body, prompt: &prompt, reply: &reply, created: clock::now() };
    if body.get("stream") == Some(&Value::Bool(true)) {
        let frames = responses_stream::frames(&response);
        return Ok(Answer::Stream(Streamed {
            content_type: "text/event-stream; charset=utf-8",
            frames,
            failure: responses_stream::failure,
        }));
    }
    Ok(Answer::pretty(&response.object(response.outcome(), response.output())))
}

pub(super) fn count(body: &Value) -> Result<Answer, Problem> {
    responses_check::check(body)?;
    Ok(Answer::pretty(&json!({"object": "response.input_tokens", "input_tokens": read(body).input_tokens()})))
}

fn read(body: &Value) -> Prompt {
    let effort = body.pointer("/reasoning/effort").and_then(Value::as_str).unwrap_or_default();
    let asks_to_think = is_set(body, "reasoning") && effort != "none";
    let mut prompt = Prompt {
        model: str_at(body, "model").to_owned(),
        max_output: body.get("max_output_tokens").and_then(Value::as_u64),
        choice: read_choice(body),
        max_calls: (body.get("parallel_tool_calls") == Some(&Value::Bool(false))).then_some(1),
        format: read_format(body),
        logprobs: includes(body, "message.output_text.logprobs")
            .then(|| body.get("top_logprobs").and_then(Value::as_u64).unwrap_or(0) as usize),
        thinking: if asks_to_think { Thinking::On } else { Thinking::Off },
        ..Prompt::default()
    };
    prompt.context(str_at(body, "instructions"));
    for tool in list_at(body, "tools").iter().filter(|tool| str_at(tool, "type") == "function") {
        prompt.tool(str_at(tool, "name"), str_at(tool, "description"), tool.get("parameters").filter(|schema| schema.is_object()));
    }
    match body.get("input") {
        Some(Value::String(text)) => {
            prompt.begin_user();
            prompt.user_text(text);
        }
        _ => list_at(body, "input").iter().for_each(|item| read_item(&mut prompt, item)),
    }
    prompt
}

fn includes(body: &Value, wanted: &str) -> bool {
    list_at(body, "include").iter().any(|included| included == wanted)
}

fn read_item(prompt: &mut Prompt, item: &Value) {
    match (str_at(item, "type"), str_at(item, "role")) {
        ("" | "message", "user") => {
            prompt.begin_user();
            read_user(prompt, item);
        }
        ("function_call", _) => {
            prompt.begin_other();
            prompt.context(str_at(item, "arguments"));
        }
        ("function_call_output", _) => {
            prompt.messages += 1;
            prompt.tool_result(output_text(item));
        }
        ("reasoning", _) => prompt.messages += 1,
        _ => {
            prompt.begin_other();
            prompt.context(str_at(item, "content"));
            list_at(item, "content").iter().for_each(|part| prompt.context(str_at(part, "text")));
        }
    }
}

fn read_user(prompt: &mut Prompt, item: &Value) {
    prompt.user_text(str_at(item, "content"));
    for part in list_at(item, "content") {
        match str_at(part, "type") {
            "input_text" => prompt.user_text(str_at(part, "text")),
            "input_image" => prompt.media(Media::at_url("an image", str_at(part, "image_url"))),
            "input_file" => prompt.media(Media::at_url("a document", str_at(part, "file_data"))),
            _ => {}
        }
    }
}

fn output_text(item: &Value) -> String {
    let parts = list_at(item, "output").iter().map(|part| str_at(part, "text"));
    std::iter::once(str_at(item, "output")).chain(parts).collect()
}

fn read_choice(body: &Value) -> ToolChoice {
    match body.get("tool_choice") {
        Some(Value::String(mode)) if mode == "none" => ToolChoice::Never,
        Some(Value::String(mode)) if mode == "required" => ToolChoice::Required,
        Some(choice) if str_at(choice, "type") == "function" => ToolChoice::Named(str_at(choice, "name").to_owned()),
        Some(choice) if str_at(choice, "mode") == "required" => ToolChoice::Required,
        _ => ToolChoice::Auto,
    }
}

fn read_format(body: &Value) -> Format {
    let format = body.pointer("/text/format").unwrap_or(&Value::Null);
    match str_at(format, "type") {
        "json_object" => Format::Json,
        "json_schema" => Format::Schema(format.get("schema").cloned().unwrap_or(Value::Null)),
        _ => Format::Text,
    }
}

/// One answer of `/responses`.
pub(super) struct Response<'a> {
    pub call: &'a Call,
    pub body: &'a Value,
    pub prompt: &'a Prompt,
    pub reply: &'a Reply,
    created: u64,
}

/// How a response stands.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete(&'static str),
}

impl Response<'_> {
    pub fn outcome(&self) -> Status {
        match self.reply.finish {
            Finish::Length => Status::Incomplete("max_output_tokens"),
            Finish::Filtered => Status::Incomplete("content_filter"),
            Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls => Status::Completed,
        }
    }

    /// The items, complete, in the order in which they are streamed.
    pub fn output(&self) -> Vec<Value> {
        let reasoning = self.reply.thinking.as_deref().map(|thinking| self.reasoning_item(thinking));
        let said = match &self.reply.content {
            // Thinking can take all the room there is: then there is no message.
            Content::Text(text) if text.is_empty() => Vec::new(),
            Content::Text(text) => vec![self.message_item(text)],
            Content::Calls(calls) => calls.iter().enumerate().map(|(index, call)| self.call_item(index, call)).collect(),
        };
        reasoning.into_iter().chain(said).collect()
    }

    fn reasoning_item(&self, thinking: &str) -> Value {
        let summary = match self.summary_asked() {
            true => json!([{"type": "summary_text", "text": thinking}]),
            false => json!([]),
        };
        let mut item = json!({"id": self.item_id("rs", 0), "type": "reasoning", "summary": summary});
        if includes(self.body, "reasoning.encrypted_content") {
            item["encrypted_content"] = json!(REASONING.encrypt(self.call.ids.nonce("reasoning")));
        }
        item
    }

    fn summary_asked(&self) -> bool {
        self.body.pointer("/reasoning/summary").is_some_and(|summary| !summary.is_null())
    }

    fn message_item(&self, text: &str) -> Value {
        let status = if self.outcome() == Status::Completed { "completed" } else { "incomplete" };
        let part = json!({"type": "output_text", "annotations": [], "logprobs": self.logprobs(text), "text": text});
        json!({"id": self.item_id("msg", 0), "type": "message", "status": status, "content": [part], "role": "assistant"})
    }

    pub fn logprobs(&self, text: &str) -> Value {
        self.prompt.logprobs.map_or_else(|| json!([]), |alternatives| logprob::openai(text, alternatives))
    }

    fn call_item(&self, index: usize, call: &ToolCall) -> Value {
        json!({
            "id": self.item_id("fc", index),
            "type": "function_call",
            "status": "completed",
            "arguments": call.arguments_json(),
            "call_id": format!("call_{}", self.call.ids.base62(&format!("call {index}"), 24)),
            "name": call.name,
        })
    }

    fn item_id(&self, kind: &str, index: usize) -> String {
        format!("{kind}_{}", self.call.ids.hex(&format!("{kind} {index}"), 50))
    }

    pub fn object(&self, status: Status, output: Vec<Value>) -> Value {
        let said = |key: &str, default: Value| self.body.get(key).filter(|value| !value.is_null()).cloned().unwrap_or(default);
        let (word, reason) = match status {
            Status::InProgress => ("in_progress", Value::Null),
            Status::Completed => ("completed", Value::Null),
            Status::Incomplete(reason) => ("incomplete", json!({"reason": reason})),
        };
        let ended = status != Status::InProgress;
        json!({
            "id": format!("resp_{}", self.call.ids.hex("response", 50)),
            "object": "response",
            "created_at": self.created,
            "status": word,
            "background": false,
            "completed_at": if status == Status::Completed { json!(self.created) } else { Value::Null },
            "error": null,
            "frequency_penalty": 0.0,
            "incomplete_details": reason,
            "instructions": said("instructions", Value::Null),
            "max_output_tokens": said("max_output_tokens", Value::Null),
            "max_tool_calls": null,
            "model": self.prompt.model,
            "output": output,
            "parallel_tool_calls": said("parallel_tool_calls", json!(true)),
            "presence_penalty": 0.0,
            "previous_response_id": null,
            "prompt_cache_key": said("prompt_cache_key", Value::Null),
            "reasoning": {
                "effort": self.body.pointer("/reasoning/effort"),
                "summary": self.body.pointer("/reasoning/summary"),
            },
            "safety_identifier": said("safety_identifier", Value::Null),
            "service_tier": if ended { tools::tier_used(self.body) } else { "auto" },
            "store": said("store", json!(true)),
            "temperature": said("temperature", json!(1.0)),
            "text": {
                "format": self.body.pointer("/text/format").cloned().unwrap_or_else(|| json!({"type": "text"})),
                "verbosity": self.body.pointer("/text/verbosity").cloned().unwrap_or_else(|| json!("medium")),
            },
            "tool_choice": said("tool_choice", json!("auto")),
            "tools": said("tools", json!([])),
            "top_logprobs": said("top_logprobs", json!(0)),
            "top_p": said("top_p", json!(1.0)),
            "truncation": said("truncation", json!("disabled")),
            "usage": if ended { self.usage() } else { Value::Null },
            "user": said("user", Value::Null),
            "metadata": said("metadata", json!({})),
        })
    }

    /// Null where a fault says that nothing is told.
    fn usage(&self) -> Value {
        if self.call.shaping.no_usage {
            return Value::Null;
        }
        let usage = self.reply.usage;
        json!({
            "input_tokens": usage.input,
            "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": usage.cached},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.thinking},
            "total_tokens": usage.total(),
        })
    }
}
