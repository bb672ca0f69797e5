//! The canonical answer as a Chat completion, whole or as chunks.
//!
//! Order and keys are what OpenAI's SDKs insist on: the role once and first, tool calls counted from 0 without gaps, `id`, `type` and `name` only
//! on a call's first piece, a finish reason for every choice, usage only if asked for, `[DONE]` only after a complete answer.

use crate::contract::{
    ChatEvent, ChatResponse, Choice, FinishReason, PartBody, PartClosing, PartGrowth, PartKind, PartOpening, ToolCall, Usage,
};
use crate::edge::dialect::{Head, Render};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// `n` is at most this.
const MAX_CHOICES: u32 = 128;

/// What the caller said of the form of the answer.
#[derive(Debug, Clone, Copy)]
pub struct ChatForm {
    /// Whether the stream ends with a chunk of usage.
    pub include_usage: bool,
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<CompletionChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
}

#[derive(Debug, Serialize)]
struct CompletionChoice<'a> {
    index: u32,
    message: MessageBody<'a>,
    logprobs: Option<LogprobsBody<'a>>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct MessageBody<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallBody<'a>>,
}

#[derive(Debug, Serialize)]
struct CallBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<FunctionBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<CustomBody<'a>>,
}

#[derive(Debug, Serialize)]
struct FunctionBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Debug, Serialize)]
struct CustomBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    input: &'a str,
}

#[derive(Debug, Serialize)]
struct LogprobsBody<'a> {
    content: &'a RawValue,
    refusal: Option<()>,
}

#[derive(Debug, Serialize)]
struct UsageBody {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u32>,
}

#[derive(Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u32,
}

/// The dialect's types demand numbers: a count that the provider did not give is 0 here. The log keeps the difference.
fn usage_body(usage: &Usage) -> UsageBody {
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    UsageBody {
        prompt_tokens: input,
        completion_tokens: output,
        total_tokens: input.saturating_add(output),
        prompt_tokens_details: PromptDetails { cached_tokens: usage.cache_read.unwrap_or(0), cache_write_tokens: usage.cache_write },
        completion_tokens_details: CompletionDetails { reasoning_tokens: usage.reasoning.unwrap_or(0) },
    }
}

fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Stop | FinishReason::Error | FinishReason::Other => "stop",
    }
}

fn logprobs_body(logprobs: Option<&str>) -> Option<LogprobsBody<'_>> {
    Some(LogprobsBody { content: serde_json::from_str(logprobs?).ok()?, refusal: None })
}

/// `{}` for none: what a client parses must be JSON.
fn call_body(call: &ToolCall) -> CallBody<'_> {
    let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
    let (function, custom) = if call.free_form {
        (None, Some(CustomBody { name: Some(&call.name), input: &call.arguments }))
    } else {
        (Some(FunctionBody { name: Some(&call.name), arguments }), None)
    };
    CallBody { index: None, id: Some(&call.id), kind: Some(kind_word(call.free_form)), function, custom }
}

fn kind_word(free_form: bool) -> &'static str {
    if free_form { "custom" } else { "function" }
}

fn completion(head: &Head, answer: &ChatResponse) -> Vec<u8> {
    let body = Completion {
        id: &head.id,
        object: "chat.completion",
        created: head.created,
        model: &head.model,
        choices: answer.choices.iter().map(choice_body).collect(),
        usage: answer.usage.as_ref().map(usage_body),
    };
    to_json(&body)
}

fn choice_body(choice: &Choice) -> CompletionChoice<'_> {
    let mut message = MessageBody { role: "assistant", content: None, refusal: None, reasoning_content: None, tool_calls: Vec::new() };
    for part in &choice.parts {
        match &part.body {
            PartBody::Text(text) => message.content.get_or_insert_default().push_str(text),
            PartBody::Refusal(text) => message.refusal.get_or_insert_default().push_str(text),
            PartBody::Thinking(text) => message.reasoning_content.get_or_insert_default().push_str(text),
            PartBody::ToolCall(call) => message.tool_calls.push(call_body(call)),
            _ => {}
        }
    }
    message.reasoning_content = message.reasoning_content.filter(|text| !text.is_empty());
    CompletionChoice {
        index: choice.index,
        message,
        logprobs: logprobs_body(choice.logprobs.as_deref()),
        finish_reason: finish_word(choice.finish.reason),
    }
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    // Strings and numbers in structs: there is nothing in them that JSON can't hold.
    serde_json::to_vec(body).unwrap_or_default()
}

// ---- streams ----

#[derive(Debug, Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageBody>>,
}

#[derive(Debug, Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<LogprobsBody<'a>>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallBody<'a>; 1]>,
}

/// Renders one answer, whole or its events as chunks.
#[derive(Debug)]
pub struct ChatRenderer {
    head: Head,
    form: ChatForm,
    choices: Vec<ChoiceState>,
    usage: Option<Usage>,
}

#[derive(Debug)]
struct ChoiceState {
    index: u32,
    /// By the part's number.
    parts: Vec<Shown>,
    calls: usize,
}

/// How a part's growth is shown.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Text,
    Refusal,
    Thinking,
    Call { index: usize, free_form: bool, empty: bool },
    Not,
}

impl Render for ChatRenderer {
    fn whole(&mut self, answer: &ChatResponse) -> Vec<u8> {
        completion(&self.head, answer)
    }

    fn event(&mut self, event: &ChatEvent, out: &mut Vec<u8>) {
        match event {
            ChatEvent::PartOpened(opening) => self.open(opening, out),
            ChatEvent::PartGrew(growth) => self.grow(growth, out),
            ChatEvent::PartClosed(closing) => self.close(closing, out),
            ChatEvent::Finished(finished) if finished.choice < MAX_CHOICES => {
                self.choice(finished.choice, out);
                self.chunk(out, finished.choice, Delta::default(), Some(finish_word(finished.finish.reason)), None);
            }
            ChatEvent::Usage(usage) => self.usage = Some(usage.clone()),
            ChatEvent::Ended => self.end(out),
            ChatEvent::Started(_) | ChatEvent::Finished(_) | ChatEvent::PartCited(_) | ChatEvent::Failed(_) => {}
        }
    }

    /// No `[DONE]` follows.
    fn failure(&mut self, body: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("data: {body}\n\n").as_bytes());
    }

    fn ping(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": ping\n\n");
    }
}

impl ChatRenderer {
    pub fn new(head: Head, form: ChatForm) -> Self {
        Self { head, form, choices: Vec::new(), usage: None }
    }

    fn open(&mut self, opening: &PartOpening, out: &mut Vec<u8>) {
        if opening.choice >= MAX_CHOICES {
            return;
        }
        let choice = self.choice(opening.choice, out);
        let shown = match &opening.kind {
            PartKind::Text => Shown::Text,
            PartKind::Refusal => Shown::Refusal,
            PartKind::Thinking => Shown::Thinking,
            PartKind::ToolCall(call) => {
                choice.calls += 1;
                Shown::Call { index: choice.calls - 1, free_form: call.free_form, empty: true }
            }
            PartKind::Image(_) | PartKind::Audio(_) | PartKind::Video(_) | PartKind::Other(_) => Shown::Not,
        };
        choice.parts.push(shown);
        if let (PartKind::ToolCall(call), Shown::Call { index, .. }) = (&opening.kind, shown) {
            let empty = ToolCall { id: call.id.clone(), name: call.name.clone(), arguments: String::new(), free_form: call.free_form };
            let mut body = CallBody { index: Some(index), ..call_body(&empty) };
            if let Some(function) = &mut body.function {
                function.arguments = "";
            }
            self.chunk(out, opening.choice, Delta { tool_calls: Some([body]), ..Delta::default() }, None, None);
        }
    }

    fn grow(&mut self, growth: &PartGrowth, out: &mut Vec<u8>) {
        let Some(shown) = self.shown(growth.choice, growth.part) else { return };
        if let Shown::Call { empty, .. } = shown {
            *empty = *empty && growth.text.is_empty();
        }
        let text = growth.text.as_str();
        let delta = match *shown {
            Shown::Text => Delta { content: Some(text), ..Delta::default() },
            Shown::Refusal => Delta { refusal: Some(text), ..Delta::default() },
            Shown::Thinking => Delta { reasoning_content: Some(text), ..Delta::default() },
            Shown::Call { index, free_form, .. } => call_delta(index, free_form, text),
            Shown::Not => return,
        };
        self.chunk(out, growth.choice, delta, None, logprobs_body(growth.logprobs.as_deref()));
    }

    fn close(&mut self, closing: &PartClosing, out: &mut Vec<u8>) {
        if let Some(Shown::Call { index, free_form: false, empty: true }) = self.shown(closing.choice, closing.part).copied() {
            self.chunk(out, closing.choice, call_delta(index, false, "{}"), None, None);
        }
    }

    fn shown(&mut self, choice: u32, part: u32) -> Option<&mut Shown> {
        let choice = self.choices.iter_mut().find(|state| state.index == choice)?;
        choice.parts.get_mut(usize::try_from(part).ok()?)
    }

    /// The choice's state; its role is told when it is new.
    fn choice(&mut self, index: u32, out: &mut Vec<u8>) -> &mut ChoiceState {
        let at = match self.choices.iter().position(|choice| choice.index == index) {
            Some(at) => at,
            None => {
                self.choices.push(ChoiceState { index, parts: Vec::new(), calls: 0 });
                self.chunk(out, index, Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }, None, None);
                self.choices.len() - 1
            }
        };
        &mut self.choices[at]
    }

    fn chunk(&self, out: &mut Vec<u8>, index: u32, delta: Delta<'_>, finish: Option<&'static str>, logprobs: Option<LogprobsBody<'_>>) {
        let choice = ChunkChoice { index, delta, logprobs, finish_reason: finish };
        self.write(out, &[choice], self.form.include_usage.then_some(None));
    }

    fn end(&self, out: &mut Vec<u8>) {
        if let Some(usage) = self.usage.as_ref().filter(|_| self.form.include_usage) {
            self.write(out, &[], Some(Some(usage_body(usage))));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn write(&self, out: &mut Vec<u8>, choices: &[ChunkChoice<'_>], usage: Option<Option<UsageBody>>) {
        let chunk = Chunk {
            id: &self.head.id,
            object: "chat.completion.chunk",
            created: self.head.created,
            model: &self.head.model,
            choices,
            usage,
        };
        out.extend_from_slice(b"data: ");
        // Writing into memory does not fail.
        let _ = serde_json::to_writer(&mut *out, &chunk);
        out.extend_from_slice(b"\n\n");
    }
}

fn call_delta(index: usize, free_form: bool, text: &str) -> Delta<'_> {
    let (function, custom) = if free_form {
        (None, Some(CustomBody { name: None, input: text }))
    } else {
        (Some(FunctionBody { name: None, arguments: text }), None)
    };
    Delta { tool_calls: Some([CallBody { index: Some(index), id: None, kind: None, function, custom }]), ..Delta::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::Finish;
    use crate::domain::{events_of, part};
    use serde_json::json;

    fn head() -> Head {
        Head { id: "chatcmpl-1".into(), created: 7, model: "m".into() }
    }

    fn answer(parts: Vec<PartBody>, reason: FinishReason) -> ChatResponse {
        ChatResponse {
            id: None,
            model: None,
            choices: vec![Choice {
                index: 0,
                parts: parts.into_iter().map(part).collect(),
                finish: Finish { reason, raw: None, stop_sequence: None, extras: Vec::new() },
                logprobs: None,
            }],
            usage: Some(Usage {
                input: Some(9),
                cache_read: Some(2),
                cache_write: None,
                output: Some(3),
                reasoning: None,
                details: Vec::new(),
            }),
            extras: Vec::new(),
        }
    }

    fn call(id: &str, arguments: &str) -> PartBody {
        PartBody::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), free_form: false })
    }

    fn chunks(answer: ChatResponse, include_usage: bool) -> Vec<Value> {
        let mut renderer = ChatRenderer::new(head(), ChatForm { include_usage });
        let mut out = Vec::new();
        events_of(answer).iter().for_each(|event| renderer.event(event, &mut out));
        let text = String::from_utf8(out).unwrap();
        let datas = text.split("\n\n").filter(|data| !data.is_empty()).map(|data| data.strip_prefix("data: ").unwrap());
        datas.map(|data| if data == "[DONE]" { json!("[DONE]") } else { serde_json::from_str(data).unwrap() }).collect()
    }

    #[test]
    fn a_whole_answer_has_every_key() {
        let body = completion(&head(), &answer(vec![PartBody::Thinking("hm".into()), call("c1", "")], FinishReason::ToolCalls));
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "refusal": null, "reasoning_content": "hm",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, "logprobs": null, "finish_reason": "tool_calls"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 2},
                    "completion_tokens_details": {"reasoning_tokens": 0}}})
        );
    }

    #[test]
    fn a_stream_tells_the_role_once_and_ends_with_done() {
        let chunks = chunks(answer(vec![PartBody::Text("hello".into())], FinishReason::Stop), false);
        let deltas: Vec<&Value> = chunks.iter().filter(|chunk| chunk.is_object()).map(|chunk| &chunk["choices"][0]["delta"]).collect();
        assert_eq!(deltas, [&json!({"role": "assistant", "content": ""}), &json!({"content": "hello"}), &json!({})]);
        assert_eq!(chunks[2]["choices"][0]["finish_reason"], "stop");
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
        assert_eq!(chunks.last().unwrap(), "[DONE]");
    }

    #[test]
    fn usage_comes_last_and_only_if_asked_for() {
        let chunks = chunks(answer(vec![PartBody::Text("hello".into())], FinishReason::Stop), true);
        let usage = &chunks[chunks.len() - 2];
        assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(12)));
        assert!(
            chunks[..chunks.len() - 2].iter().all(|chunk| chunk["usage"].is_null() && chunk.as_object().unwrap().contains_key("usage"))
        );
    }

    #[test]
    fn tool_calls_are_counted_and_name_themselves_once() {
        let chunks = chunks(answer(vec![call("a", "{\"x\":1}"), call("b", "")], FinishReason::ToolCalls), false);
        let pieces: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0)).collect();
        assert_eq!(
            pieces,
            [
                &json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
                &json!({"index": 0, "function": {"arguments": "{\"x\":1}"}}),
                &json!({"index": 1, "id": "b", "type": "function", "function": {"name": "f", "arguments": ""}}),
                &json!({"index": 1, "function": {"arguments": "{}"}}),
            ]
        );
    }
}
