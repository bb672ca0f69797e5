//! What a Responses caller may send, and is sent.
#![allow(clippy::unwrap_used)]

mod answer;
mod properties;
mod request;
mod round_trip;
mod sdk;
mod stream;

use super::{DIALECT, ResponsesForm, ResponsesRenderer, parse};
use crate::contract::{ChatEvent, ChatResponse, Choice, Citation, Finish, FinishReason, Native, Part, PartBody, Replay, ToolCall, Usage};
use crate::domain::{events_of, part};
use crate::edge::dialect::{Form, Head, Parsed, Render};
use serde_json::{Value, json};

fn parsed(body: &Value) -> Parsed {
    parse(body.to_string().as_bytes()).unwrap()
}

fn renderer(request: &Value) -> ResponsesRenderer {
    let Form::Responses(form) = parsed(request).form else { unreachable!() };
    let form: ResponsesForm = *form;
    ResponsesRenderer::new(Head { id: "resp_1".into(), created: 7, model: "m".into() }, form)
}

fn hello() -> Value {
    json!({"model": "m", "input": "hi"})
}

fn finish(reason: FinishReason) -> Finish {
    Finish { reason, raw: Some("word".into()), stop_sequence: None, extras: Vec::new() }
}

fn answer(parts: Vec<Part>, reason: FinishReason) -> ChatResponse {
    ChatResponse {
        id: Some("resp_1".into()),
        model: Some("m".into()),
        choices: vec![Choice { index: 0, parts, finish: finish(reason), logprobs: None }],
        usage: Some(Usage {
            input: Some(9),
            cache_read: Some(2),
            cache_write: None,
            output: Some(5),
            reasoning: Some(3),
            details: Vec::new(),
        }),
        extras: Vec::new(),
    }
}

fn text(text: &str) -> Part {
    part(PartBody::Text(text.into()))
}

fn thinking(text: &str) -> Part {
    part(PartBody::Thinking(text.into()))
}

fn call(id: &str, arguments: &str) -> Part {
    part(PartBody::ToolCall(ToolCall { id: id.into(), name: "weather".into(), arguments: arguments.into(), free_form: false }))
}

fn sealed(part: Part, data: &str) -> Part {
    Part { replay: Some(Replay { data: format!("gw1;p;m;h;{data}"), model: None }), ..part }
}

fn own(value: Value) -> Native {
    Native { dialect: DIALECT.into(), value: value.to_string() }
}

fn whole(answer: &ChatResponse) -> Value {
    serde_json::from_slice(&renderer(&hello()).whole(answer)).unwrap()
}

/// The events that a caller is sent, each with its name checked against its type.
fn sent(events: &[ChatEvent]) -> Vec<Value> {
    let mut renderer = renderer(&hello());
    let mut out = Vec::new();
    events.iter().for_each(|event| renderer.event(event, &mut out));
    read(&out)
}

fn read(out: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(out).unwrap();
    let events = text.split_terminator("\n\n").filter(|event| !event.starts_with(':'));
    let event = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
        data
    };
    events.map(event).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}
