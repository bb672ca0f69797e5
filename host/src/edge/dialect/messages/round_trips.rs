//! What holds for any answer: a stream obeys the SDKs' rules, tells the same as the whole answer, and what the caller sends back as history is what
//! was said, replays and all.

#![allow(clippy::unwrap_used)]

use super::{MessagesRenderer, client, own, parse};
use crate::contract::{
    ChatEvent, ChatResponse, Choice, ChoiceFinish, Citation, Finish, FinishReason, Media, MediaSource, Native, Part, PartBody, PartGrowth,
    Replay, StreamStart, ToolCall, Usage,
};
use crate::domain::{events_of, part};
use crate::edge::dialect::{Head, Render};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn renderer() -> MessagesRenderer {
    MessagesRenderer::new(Head { id: "msg_1".into(), created: 7, model: "m".into() })
}

fn streamed(events: &[ChatEvent]) -> client::Read {
    let mut renderer = renderer();
    let mut out = Vec::new();
    events.iter().for_each(|event| renderer.event(event, &mut out));
    client::read(&out)
}

fn whole(answer: &ChatResponse) -> Value {
    serde_json::from_slice(&renderer().whole(answer)).unwrap()
}

fn answer(parts: Vec<Part>) -> ChatResponse {
    let finish = Finish { reason: FinishReason::Stop, raw: None, stop_sequence: None, extras: Vec::new() };
    let usage = Usage { input: Some(9), cache_read: Some(2), cache_write: None, output: Some(3), reasoning: None, details: Vec::new() };
    ChatResponse {
        id: None,
        model: None,
        choices: vec![Choice { index: 0, parts, finish, logprobs: None }],
        usage: Some(usage),
        extras: vec![own(&json!({"container": {"id": "c"}, "service_tier": "standard"}))],
    }
}

// ---- any part ----

fn replay() -> impl Strategy<Value = Option<Replay>> {
    prop::option::of("[a-z;]{0,6}".prop_map(|data| Replay { data: format!("gw1;p;{data}"), model: None }))
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-zé🙂 \n\"{]{1,12}"]
}

fn citation() -> impl Strategy<Value = Citation> {
    let page = json!({"type": "page_location", "cited_text": "q", "document_index": 0, "document_title": "D"});
    let own_one = Citation { url: None, title: Some("D".into()), quote: Some("q".into()), span: None, native: own(&page) };
    let native = Native { dialect: "gemini".into(), value: "{}".into() };
    let foreign = Citation { url: Some("https://x.test".into()), title: None, quote: None, span: Some((0, 1)), native };
    let without_url = Citation { url: None, ..foreign.clone() };
    prop_oneof![Just(own_one), Just(foreign), Just(without_url)]
}

fn arguments() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec!["", " ", "{}", "{\"a\": 1.0}", " {\"é\":[\"🙂\",null],\"b\":{}}", "[1]", "plain", "\"x\"", "5 }"]);
    text.prop_map(str::to_owned)
}

fn any_part() -> impl Strategy<Value = Part> {
    let redacted = vec![own(&json!({"type": "redacted_thinking"}))];
    let picture = Media { source: MediaSource::Base64("AAAA".into()), media_type: None, name: None, detail: None, transcript: None };
    prop_oneof![
        (words(), vec(citation(), 0..3), replay()).prop_map(|(text, citations, replay)| Part {
            citations,
            replay,
            ..part(PartBody::Text(text))
        }),
        (words(), replay()).prop_map(|(text, replay)| Part { replay, ..part(PartBody::Refusal(text)) }),
        (words(), replay()).prop_map(|(text, replay)| Part { replay, ..part(PartBody::Thinking(text)) }),
        replay().prop_map(move |replay| Part { replay, extras: redacted.clone(), ..part(PartBody::Thinking(String::new())) }),
        (arguments(), any::<bool>(), replay()).prop_map(|(arguments, free_form, replay)| {
            Part { replay, ..part(PartBody::ToolCall(ToolCall { id: "c".into(), name: "f".into(), arguments, free_form })) }
        }),
        replay().prop_map(|replay| {
            let search = own(&json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}));
            Part { replay, ..part(PartBody::Other(search)) }
        }),
        Just(part(PartBody::Other(own(&json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}))))),
        Just(part(PartBody::Other(Native { dialect: "gemini".into(), value: "{\"type\":\"x\"}".into() }))),
        Just(part(PartBody::Image(picture))),
    ]
}

// ---- any order of telling them ----

/// The events of an answer, its parts told side by side as `turns` say, each growth cut into characters.
fn interleaved(answer: ChatResponse, turns: &[u8]) -> Vec<ChatEvent> {
    let (mut lanes, mut rest): (Vec<Vec<ChatEvent>>, Vec<ChatEvent>) = (Vec::new(), Vec::new());
    for event in events_of(answer) {
        match event {
            ChatEvent::PartOpened(_) => lanes.push(vec![event]),
            ChatEvent::PartGrew(growth) => lanes.last_mut().unwrap().extend(cut(&growth)),
            ChatEvent::PartCited(_) | ChatEvent::PartClosed(_) => lanes.last_mut().unwrap().push(event),
            other => rest.push(other),
        }
    }
    lanes.iter_mut().for_each(|lane| lane.reverse());
    let mut events = vec![rest.remove(0)];
    let mut opened = 0;
    for turn in turns.iter().copied().chain((0..=u8::MAX).flat_map(|turn| [turn; 40])) {
        // One more than those that are open may take its turn: parts are opened in order.
        let lane = usize::from(turn) % (opened + 1).min(lanes.len().max(1));
        if let Some(event) = lanes.get_mut(lane).and_then(Vec::pop) {
            opened = opened.max(lane + 1);
            events.push(event);
        }
    }
    events.extend(rest);
    events
}

fn cut(growth: &PartGrowth) -> impl Iterator<Item = ChatEvent> {
    let one = |text: char| ChatEvent::PartGrew(PartGrowth { text: text.into(), media: None, logprobs: None, ..*growth });
    growth.text.chars().map(one)
}

// ---- what comes back ----

/// What of a part the caller is shown and sends back.
fn expected(part: &Part) -> Option<Part> {
    let is_own = |citation: &&Citation| citation.native.dialect == super::DIALECT;
    let is_cited = part.citations.iter().any(|citation| is_own(&citation) || citation.url.is_some());
    let says_nothing = |text: &str| text.is_empty() && part.replay.is_none();
    let body = match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) if says_nothing(text) && !is_cited => return None,
        PartBody::Text(text) | PartBody::Refusal(text) => PartBody::Text(text.clone()),
        PartBody::Thinking(text) if says_nothing(text) => return None,
        PartBody::ToolCall(call) => PartBody::ToolCall(ToolCall { arguments: as_object(call), free_form: false, ..call.clone() }),
        PartBody::Other(native) if native.dialect != super::DIALECT => return None,
        PartBody::Thinking(_) | PartBody::Other(_) => part.body.clone(),
        PartBody::Image(picture) => PartBody::Text(super::answer::notice("image", picture)),
        _ => return None,
    };
    let citations = part.citations.iter().filter(is_own).cloned().collect();
    Some(Part { body, replay: part.replay.clone(), cache: None, citations, extras: Vec::new() })
}

fn as_object(call: &ToolCall) -> String {
    match serde_json::from_str::<Value>(&call.arguments) {
        _ if call.free_form => json!({"input": call.arguments}).to_string(),
        Ok(object @ Value::Object(_)) => object.to_string(),
        _ if call.arguments.trim().is_empty() => "{}".to_owned(),
        _ => json!({"arguments": call.arguments}).to_string(),
    }
}

fn sent_back(content: &Value) -> Vec<Part> {
    let history =
        json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}, {"role": "user", "content": "go on"}]);
    let body = json!({"model": "m", "max_tokens": 9, "messages": history}).to_string();
    parse(body.as_bytes(), None).unwrap().request.messages.remove(1).parts
}

/// JSON of the words that requests are made of, put together in any way.
fn any_request() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "type",
        "text",
        "image",
        "document",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "source",
        "content",
        "role",
        "user",
        "assistant",
        "system",
        "messages",
        "tools",
        "tool_choice",
        "cache_control",
        "citations",
        "data",
        "base64",
        "name",
        "id",
        "input",
        "signature",
        "gw1;x",
        "prev:gw1;x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        word.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let fields = vec((word.clone(), inner.clone()), 0..6);
        let object = fields.prop_map(|fields| Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
        prop_oneof![object, vec(inner, 0..4).prop_map(Value::Array)]
    })
}

proptest! {
    #[test]
    fn any_json_is_a_request_or_names_what_is_wrong(messages in any_request(), tools in any_request(), choice in any_request()) {
        let body = json!({"max_tokens": 9, "messages": messages, "tools": tools, "tool_choice": choice});
        if let Err(bad) = parse(body.to_string().as_bytes(), None) {
            prop_assert!(bad.param.is_some());
        }
        let said = json!({"max_tokens": 9, "messages": [{"role": "assistant", "content": messages}, {"role": "user", "content": [tools, choice]}]});
        if let Err(bad) = parse(said.to_string().as_bytes(), None) {
            prop_assert!(bad.param.is_some());
        }
    }

    #[test]
    fn a_stream_tells_the_same_as_the_whole_answer(parts in vec(any_part(), 0..6), turns in vec(any::<u8>(), 0..60)) {
        let answer = answer(parts);
        let read = streamed(&interleaved(answer.clone(), &turns));
        prop_assert_eq!(read.message, whole(&answer));
    }

    #[test]
    fn what_was_answered_comes_back_as_history(parts in vec(any_part(), 0..6)) {
        let content = whole(&answer(parts.clone()))["content"].take();
        let expected: Vec<Part> = parts.iter().filter_map(expected).collect();
        prop_assert_eq!(sent_back(&content), expected);
    }

    #[test]
    fn events_in_any_order_make_a_stream_that_clients_can_read(order in vec((any::<prop::sample::Index>(), 0..3_u32), 0..40), parts in vec(any_part(), 1..5)) {
        let told = events_of(answer(parts));
        let mut events: Vec<ChatEvent> = order.iter().map(|(index, choice)| of_choice(index.get(&told).clone(), choice / 2)).collect();
        events.push(ChatEvent::Ended);
        streamed(&events);
    }
}

fn of_choice(event: ChatEvent, choice: u32) -> ChatEvent {
    match event {
        ChatEvent::PartOpened(mut opening) => {
            opening.choice = choice;
            ChatEvent::PartOpened(opening)
        }
        ChatEvent::PartGrew(mut growth) => {
            growth.choice = choice;
            ChatEvent::PartGrew(growth)
        }
        ChatEvent::Finished(finished) => ChatEvent::Finished(ChoiceFinish { choice, ..finished }),
        ChatEvent::Ended => ChatEvent::Started(StreamStart { id: None, model: None, extras: Vec::new() }),
        other => other,
    }
}
