//! What holds for any answer, any events and any request: checked with generated ones.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::{CallForm, ChatForm, ChatRenderer, parse, restore, turn_of};
use crate::contract::{
    ChatEvent, ChatResponse, Choice, ChoiceFinish, Citation, Finish, FinishReason, Media, MediaSource, Native, Part, PartBody,
    PartCitation, PartClosing, PartGrowth, PartKind, PartOpening, Replay, StreamStart, ToolCall, ToolCallOpening, Usage,
};
use crate::domain::{events_of, part};
use crate::edge::dialect::{Head, Render};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn renderer(calls: CallForm) -> ChatRenderer {
    let head = Head { id: "chatcmpl-1".into(), created: 7, model: "m".into() };
    ChatRenderer::new(head, ChatForm { include_usage: true, calls })
}

// ---- answers ----

fn replay() -> impl Strategy<Value = Option<Replay>> {
    proptest::option::of("gw1;.{0,12}").prop_map(|data| data.map(|data| Replay { data, model: None }))
}

fn call() -> impl Strategy<Value = PartBody> {
    let text = ("[a-z]{1,3}", ".{1,12}", any::<bool>());
    text.prop_map(|(name, arguments, free_form)| PartBody::ToolCall(ToolCall { id: String::new(), name, arguments, free_form }))
}

fn answer_part() -> impl Strategy<Value = Part> {
    let body = prop_oneof![
        ".{1,12}".prop_map(PartBody::Text),
        ".{1,12}".prop_map(PartBody::Refusal),
        ".{1,12}".prop_map(PartBody::Thinking),
        call(),
        call(),
        "[a-z\"\\\\]{0,6}"
            .prop_map(|x| PartBody::Other(Native { dialect: "anthropic-messages".into(), value: json!({ "x": x }).to_string() })),
    ];
    prop_oneof![
        9 => (body, replay()).prop_map(|(body, replay)| Part { replay, ..part(body) }),
        1 => Just(Part { replay: Some(Replay { data: "gw1;".into(), model: None }), ..part(PartBody::Text(String::new())) }),
    ]
}

/// Calls have ids of their own.
fn answer_parts() -> impl Strategy<Value = Vec<Part>> {
    vec(answer_part(), 0..8).prop_map(|mut parts| {
        for (number, part) in parts.iter_mut().enumerate() {
            if let PartBody::ToolCall(call) = &mut part.body {
                call.id = format!("c{number}");
            }
        }
        parts
    })
}

fn answer(parts: Vec<Part>) -> ChatResponse {
    let finish = Finish { reason: FinishReason::Stop, raw: None, stop_sequence: None, extras: Vec::new() };
    let choices = vec![Choice { index: 0, parts, finish, logprobs: None }];
    ChatResponse { id: None, model: None, choices, usage: None, extras: Vec::new() }
}

/// The parts of a message that comes back as history.
fn sent_back(message: Value) -> Vec<Part> {
    let body = json!({"model": "m", "messages": [message]}).to_string();
    parse(body.as_bytes()).unwrap().request.messages.swap_remove(0).parts
}

/// What is left of a message that needs no skeleton: one part of each kind of text, in Chat's own order.
fn in_chats_order(parts: &[Part]) -> Vec<Part> {
    let joined = |text_of: fn(&PartBody) -> Option<&str>| parts.iter().filter_map(|part| text_of(&part.body)).collect::<String>();
    let texts = [
        PartBody::Thinking(joined(|body| if let PartBody::Thinking(text) = body { Some(text) } else { None })),
        PartBody::Text(joined(|body| if let PartBody::Text(text) = body { Some(text) } else { None })),
        PartBody::Refusal(joined(|body| if let PartBody::Refusal(text) = body { Some(text) } else { None })),
    ];
    let is_empty =
        |body: &PartBody| matches!(body, PartBody::Thinking(text) | PartBody::Text(text) | PartBody::Refusal(text) if text.is_empty());
    let calls = parts.iter().filter(|part| matches!(part.body, PartBody::ToolCall(_))).cloned();
    texts.into_iter().filter(|body| !is_empty(body)).map(part).chain(calls).collect()
}

// ---- streams ----

/// Adds a delta as OpenAI's Python SDK does.
fn accumulate(message: &mut Map<String, Value>, delta: &Map<String, Value>) -> Result<(), String> {
    for (name, more) in delta {
        match (message.get_mut(name), more) {
            (None | Some(Value::Null), _) => {
                message.insert(name.clone(), more.clone());
            }
            (Some(_), _) if name == "index" || name == "type" => {
                message.insert(name.clone(), more.clone());
            }
            (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
            (Some(Value::Object(object)), Value::Object(more)) => accumulate(object, more)?,
            (Some(Value::Array(list)), Value::Array(more)) => {
                for entry in more {
                    let index = entry["index"].as_u64().ok_or(format!("an entry of {name} without an index"))?;
                    let index = usize::try_from(index).unwrap();
                    let known = list.len();
                    match (list.get_mut(index), entry) {
                        (Some(Value::Object(object)), Value::Object(entry)) => accumulate(object, entry)?,
                        (None, entry) if index == known => list.push(entry.clone()),
                        _ => return Err(format!("entry {index} of {name} leaves a gap")),
                    }
                }
            }
            (Some(before), more) => return Err(format!("{name}: {more} after {before}")),
        }
    }
    Ok(())
}

/// A choice as an SDK puts it together.
#[derive(Default)]
struct Seen {
    message: Map<String, Value>,
    finished: bool,
}

/// Reads a stream and checks on the way what SDKs insist on.
fn read(out: &[u8]) -> Result<Vec<(u64, Seen)>, String> {
    let text = str::from_utf8(out).map_err(|error| error.to_string())?;
    let body = text.strip_suffix("data: [DONE]\n\n").ok_or("no [DONE]")?;
    let mut choices: Vec<(u64, Seen)> = Vec::new();
    for data in body.split_terminator("\n\n") {
        let data = data.strip_prefix("data: ").ok_or("a line without data")?;
        let chunk: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        for choice in chunk["choices"].as_array().ok_or("no choices")? {
            let index = choice["index"].as_u64().ok_or("no index")?;
            if !choices.iter().any(|(known, _)| *known == index) {
                choices.push((index, Seen::default()));
            }
            let (_, seen) = choices.iter_mut().find(|(known, _)| *known == index).ok_or("no such choice")?;
            read_choice(seen, choice)?;
        }
    }
    Ok(choices)
}

fn read_choice(seen: &mut Seen, choice: &Value) -> Result<(), String> {
    let delta = choice["delta"].as_object().ok_or("no delta")?;
    if delta.contains_key("role") != seen.message.is_empty() || seen.finished {
        return Err(format!("the role is told first and once, and nothing after the finish: {choice}"));
    }
    for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let body = if call.get("custom").is_some() { "custom" } else { "function" };
        let names = [call.get("id"), call.get("type"), call[body].get("name")].iter().flatten().count();
        let index = call["index"].as_u64().map_or(0, |index| usize::try_from(index).unwrap());
        let known = seen.message.get("tool_calls").and_then(Value::as_array).map_or(0, Vec::len);
        if names != if index == known { 3 } else { 0 } {
            return Err(format!("a call names itself with its first piece: {call}"));
        }
    }
    seen.finished = choice["finish_reason"].is_string();
    accumulate(&mut seen.message, delta)
}

fn media() -> Media {
    Media { source: MediaSource::Base64(String::new()), media_type: None, name: None, detail: None, transcript: None }
}

fn part_kind() -> impl Strategy<Value = PartKind> {
    prop_oneof![
        Just(PartKind::Text),
        Just(PartKind::Refusal),
        Just(PartKind::Thinking),
        any::<bool>().prop_map(|free_form| PartKind::ToolCall(ToolCallOpening { id: "c".into(), name: "f".into(), free_form })),
        Just(PartKind::Image(media())),
        Just(PartKind::Audio(media())),
        Just(PartKind::Video(media())),
        Just(PartKind::Other(Native { dialect: "gemini".into(), value: "{}".into() })),
    ]
}

fn extras() -> impl Strategy<Value = Vec<Native>> {
    let value = prop_oneof![Just("{\"a\":1}"), Just("{\"id\":2,\"index\":[]}"), Just("not json"), Just("[]")];
    vec(value.prop_map(|value| Native { dialect: "openai-chat".into(), value: value.into() }), 0..2)
}

fn event() -> impl Strategy<Value = ChatEvent> {
    let (choice, number) = (prop_oneof![9 => 0..3u32, 1 => any::<u32>()], prop_oneof![9 => 0..5u32, 1 => any::<u32>()]);
    let at = (choice, number);
    prop_oneof![
        4 => (at.clone(), part_kind()).prop_map(|((choice, part), kind)| ChatEvent::PartOpened(PartOpening { choice, part, kind })),
        4 => (at.clone(), ".{0,4}", proptest::option::of("AAAA"), proptest::option::of("\\[\\]|x")).prop_map(
            |((choice, part), text, media, logprobs)| ChatEvent::PartGrew(PartGrowth { choice, part, text, media, logprobs })
        ),
        2 => (at.clone(), replay(), extras())
            .prop_map(|((choice, part), replay, extras)| ChatEvent::PartClosed(PartClosing { choice, part, replay, extras })),
        1 => (at.clone(), extras()).prop_map(|((choice, part), extras)| {
            let native = extras.into_iter().next().unwrap_or(Native { dialect: "x".into(), value: "{}".into() });
            let citation = Citation { url: Some("u".into()), title: None, quote: None, span: Some((u32::MAX, 0)), native };
            ChatEvent::PartCited(PartCitation { choice, part, citation })
        }),
        1 => (at, extras()).prop_map(|((choice, _), extras)| {
            let finish = Finish { reason: FinishReason::Stop, raw: None, stop_sequence: None, extras };
            ChatEvent::Finished(ChoiceFinish { choice, finish })
        }),
        1 => extras().prop_map(|extras| ChatEvent::Started(StreamStart { id: None, model: None, extras })),
        1 => Just(ChatEvent::Usage(Usage {
            input: Some(u32::MAX),
            cache_read: None,
            cache_write: None,
            output: Some(1),
            reasoning: None,
            details: Vec::new(),
        })),
    ]
}

// ---- requests ----

/// JSON in the words of this dialect, in any order and of any type.
fn babble() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(vec![
        "model",
        "messages",
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "input_audio",
        "data",
        "format",
        "file",
        "file_data",
        "user",
        "assistant",
        "tool",
        "function",
        "function_call",
        "tool_calls",
        "tool_call_id",
        "id",
        "name",
        "arguments",
        "tools",
        "tool_choice",
        "parameters",
        "reasoning_details",
        "llm-gateway-v1",
        "reasoning",
        "thinking",
        "effort",
        "stop",
        "seed",
        "logit_bias",
        "stream",
        "stream_options",
        "response_format",
        "json_schema",
        "schema",
        "images",
        "audio",
        "cache_control",
        "ttl",
        "1h",
        "metadata",
        "[{\"text\":1}]",
        "data:image/png;base64,AAAA",
        "none",
        "allowed_tools",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((word.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

fn request() -> impl Strategy<Value = Value> {
    let role = proptest::sample::select(vec!["system", "user", "assistant", "tool", "function"]);
    let message = (role, babble(), babble()).prop_map(|(role, content, more)| {
        let mut message = more.as_object().cloned().unwrap_or_default();
        message.insert("role".to_owned(), Value::from(role));
        message.insert("content".to_owned(), if content.is_array() { content } else { Value::from("a") });
        Value::Object(message)
    });
    (vec(message, 0..3), babble()).prop_map(|(messages, more)| {
        let mut request = more.as_object().cloned().unwrap_or_default();
        request.insert("messages".to_owned(), Value::Array(messages));
        Value::Object(request)
    })
}

/// What a message says in Chat's own fields: texts, refusals, ids of calls, and how many images.
fn said(parts: &[Part]) -> (String, String, Vec<&str>, usize) {
    let (mut texts, mut refusals, mut calls, mut images) = (String::new(), String::new(), Vec::new(), 0);
    for part in parts {
        match &part.body {
            PartBody::Text(text) => texts.push_str(text),
            PartBody::Refusal(text) => refusals.push_str(text),
            PartBody::ToolCall(call) => calls.push(call.id.as_str()),
            PartBody::Image(_) => images += 1,
            _ => {}
        }
    }
    calls.sort_unstable();
    (texts, refusals, calls, images)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_answer_that_comes_back_has_the_same_parts(parts in answer_parts()) {
        let expected = if turn_of(&parts).is_some() { parts.clone() } else { in_chats_order(&parts) };
        let whole: Value = serde_json::from_slice(&renderer(CallForm::ToolCalls).whole(&answer(parts))).unwrap();
        prop_assert_eq!(sent_back(whole["choices"][0]["message"].clone()), expected);
    }

    #[test]
    fn a_streamed_answer_that_comes_back_has_the_same_parts(parts in answer_parts()) {
        let expected = if turn_of(&parts).is_some() { parts.clone() } else { in_chats_order(&parts) };
        let (mut renderer, mut out) = (renderer(CallForm::ToolCalls), Vec::new());
        events_of(answer(parts)).iter().for_each(|event| renderer.event(event, &mut out));
        let mut seen = read(&out).map_err(TestCaseError::fail)?;
        prop_assert_eq!(sent_back(Value::Object(seen.swap_remove(0).1.message)), expected);
    }

    #[test]
    fn any_events_make_a_stream_that_sdks_can_read(events in vec(event(), 0..40), legacy in any::<bool>()) {
        let (mut renderer, mut out) = (renderer(if legacy { CallForm::FunctionCall } else { CallForm::ToolCalls }), Vec::new());
        events.iter().for_each(|event| renderer.event(event, &mut out));
        renderer.event(&ChatEvent::Ended, &mut out);
        let seen = read(&out).map_err(TestCaseError::fail)?;
        prop_assert!(seen.iter().all(|(_, choice)| choice.finished));
    }

    #[test]
    fn no_bytes_and_no_json_break_the_parser(bytes in vec(any::<u8>(), 0..64), babble in babble(), request in request()) {
        for body in [bytes, babble.to_string().into_bytes(), request.to_string().into_bytes()] {
            if let Err(error) = parse(&body) {
                prop_assert!(error.status.is_client_error() && !error.message.is_empty());
            }
        }
    }

    #[test]
    fn a_skeleton_of_another_message_takes_away_nothing_that_was_said(parts in answer_parts(), other in answer_parts(), noise in ".{0,20}") {
        for turn in [turn_of(&other).unwrap_or_default(), noise] {
            let mut restored = parts.clone();
            prop_assert!(restore(&mut restored, &turn) || restored == parts);
            prop_assert_eq!(said(&restored), said(&parts));
        }
    }
}
