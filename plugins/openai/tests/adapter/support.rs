//! Short ways to say what the tests say often.

use adapter_openai::OpenAi;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::{body_text, check_order, frames, gather, run_stream};
use llm_gateway_adapter::types::{
    Blob, ChatEvent, ChatRequest, ChatResponse, Failure, FunctionTool, HttpRequest, Media, MediaSource, Message, Native, Part, PartBody,
    Reasoning, Replay, Role, Tool, ToolCall, ToolResult, ToolResultPart,
};
use serde_json::Value;

pub fn asking(model: &str) -> ChatRequest {
    ChatRequest::new(model, vec![Message::text(Role::User, "2+2?")])
}

pub fn conversation(model: &str, messages: Vec<Message>) -> ChatRequest {
    ChatRequest::new(model, messages)
}

pub fn user(parts: Vec<Part>) -> Message {
    Message::of(Role::User, parts)
}

pub fn assistant(parts: Vec<Part>) -> Message {
    Message::of(Role::Assistant, parts)
}

pub fn text(text: &str) -> Part {
    Part::new(PartBody::Text(text.to_owned()))
}

pub fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::new(PartBody::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), free_form: false }))
}

pub fn custom_call(id: &str, name: &str, input: &str) -> Part {
    Part::new(PartBody::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: input.into(), free_form: true }))
}

pub fn result(id: &str, content: Vec<ToolResultPart>) -> Message {
    Message::of(Role::Tool, vec![result_part(id, content)])
}

pub fn result_part(id: &str, content: Vec<ToolResultPart>) -> Part {
    Part::new(PartBody::ToolResult(ToolResult { call_id: id.into(), name: "weather".into(), content, is_error: false }))
}

pub fn result_text(text: &str) -> ToolResultPart {
    ToolResultPart::Text(text.to_owned())
}

pub fn media(source: MediaSource, kind: &str) -> Media {
    Media { source, media_type: Some(kind.to_owned()), name: None, detail: None, transcript: None }
}

pub fn blob(id: u32, kind: &str) -> Media {
    media(MediaSource::Blob(Blob { id, size: 10 }), kind)
}

pub fn url(url: &str, kind: &str) -> Media {
    media(MediaSource::Url(url.to_owned()), kind)
}

pub fn weather_tool() -> Tool {
    Tool::Function(FunctionTool {
        name: "weather".into(),
        description: Some("Weather of a city".into()),
        parameters: Some(r#"{"type":"object","properties":{"city":{"type":"string"}}}"#.into()),
        strict: None,
        cache: None,
        extras: vec![],
    })
}

pub fn native(dialect: &str, value: &str) -> Native {
    Native { dialect: dialect.to_owned(), value: value.to_owned() }
}

pub fn replay(data: &str) -> Option<Replay> {
    Some(Replay { data: data.to_owned(), model: None })
}

pub fn no_reasoning_wish() -> Reasoning {
    Reasoning { enabled: None, effort: None, budget: None, visible: None }
}

pub fn encode(request: ChatRequest) -> HttpRequest {
    OpenAi::encode(request).unwrap()
}

pub fn refusal(request: ChatRequest) -> Failure {
    OpenAi::encode(request).unwrap_err()
}

pub fn body(request: &HttpRequest) -> Value {
    serde_json::from_str(&body_text(request)).unwrap()
}

/// Paths of what was dropped.
pub fn dropped(request: &HttpRequest) -> Vec<&str> {
    request.dropped.iter().map(|dropped| dropped.parameter.as_str()).collect()
}

pub fn decode(context: &str, answer: &str) -> ChatResponse {
    OpenAi::decode(llm_gateway_adapter::harness::response(200, &[], answer), context.to_owned()).unwrap()
}

/// The events of a stream, which must be the same however its frames come, and in the contract's order.
pub fn stream(context: &str, sse: &str) -> Vec<ChatEvent> {
    let frames = frames(sse);
    let events = run_stream::<OpenAi>(context, &frames, 1);
    assert_eq!(events, run_stream::<OpenAi>(context, &frames, usize::MAX));
    check_order(&events).unwrap();
    events
}

pub fn streamed(context: &str, sse: &str) -> ChatResponse {
    gather(&stream(context, sse)).unwrap()
}

/// The data of SSE events, one a line, with their framing.
pub fn sse(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("data: {line}\n\n")).collect()
}
