//! Rules that hold for whatever an adapter tells.

use super::round_trip::sent_back;
use super::stream::{closed, grew, opened};
use super::*;
use crate::contract::{ChoiceFinish, PartCitation, PartClosing, PartGrowth, PartKind, PartOpening, ToolCallOpening};
use crate::domain::Gathered;
use proptest::collection::vec;
use proptest::prelude::*;

/// A part as it is told.
#[derive(Debug, Clone)]
struct Spoken {
    kind: PartKind,
    pieces: Vec<String>,
    replay: Option<Replay>,
    extras: Vec<Native>,
    cited: bool,
}

fn kind() -> impl Strategy<Value = PartKind> {
    let call = |free_form| PartKind::ToolCall(ToolCallOpening { id: String::new(), name: "weather".into(), free_form });
    prop_oneof![
        Just(PartKind::Text),
        Just(PartKind::Refusal),
        Just(PartKind::Thinking),
        Just(call(false)),
        Just(call(true)),
        Just(PartKind::Other(own(json!({"type": "web_search_call"})))),
        Just(PartKind::Other(Native { dialect: "gemini".into(), value: "{}".into() })),
    ]
}

fn spoken() -> impl Strategy<Value = Spoken> {
    let replay = proptest::option::of("[a-z]{0,5}".prop_map(|data| Replay { data: format!("gw1;p;m;h;{data}"), model: None }));
    (kind(), vec("[aé\\PC]{0,3}", 0..4), replay, any::<bool>(), any::<bool>()).prop_map(|(kind, pieces, replay, phased, cited)| {
        let is_text = matches!(kind, PartKind::Text);
        let extras = if phased && is_text { vec![own(json!({"phase": "commentary"}))] } else { Vec::new() };
        Spoken { kind, pieces, replay, extras, cited: cited && is_text }
    })
}

/// Parts are told as `order` has it: each number chooses among the parts that are open, or opens the next. The first also chooses the end.
fn told(mut parts: Vec<Spoken>, order: &[usize]) -> Vec<ChatEvent> {
    let reason = if order.first().is_some_and(|first| first % 2 == 1) { FinishReason::Length } else { FinishReason::Stop };
    for (number, part) in parts.iter_mut().enumerate() {
        match &mut part.kind {
            PartKind::ToolCall(call) => call.id = format!("call_{number}"),
            PartKind::Other(native) if native.dialect == DIALECT => {
                native.value = json!({"type": "web_search_call", "id": format!("ws_{number}")}).to_string();
            }
            _ => {}
        }
    }
    let mut events = Vec::new();
    let mut unopened = parts.into_iter().enumerate();
    let mut open: Vec<(u32, Spoken)> = Vec::new();
    let mut order = order.iter().copied().cycle();
    loop {
        let choice = order.next().unwrap_or(0) % (open.len() + 1);
        if choice == open.len()
            && let Some((number, part)) = unopened.next()
        {
            let number = u32::try_from(number).unwrap();
            events.push(opened(number, part.kind.clone()));
            open.push((number, part));
            continue;
        }
        let Some(at) = open.len().checked_sub(1).map(|last| choice.min(last)) else { break };
        let (number, part) = &mut open[at];
        if part.pieces.is_empty() || matches!(part.kind, PartKind::Other(_)) {
            let (number, part) = open.remove(at);
            if part.cited {
                let native = own(json!({"type": "url_citation", "url": "https://a"}));
                let citation = Citation { url: Some("https://a".into()), title: None, quote: None, span: None, native };
                events.push(ChatEvent::PartCited(PartCitation { choice: 0, part: number, citation }));
            }
            events.push(ChatEvent::PartClosed(PartClosing { choice: 0, part: number, replay: part.replay, extras: part.extras }));
        } else {
            events.push(grew(*number, &part.pieces.remove(0)));
        }
    }
    events.push(ChatEvent::Finished(ChoiceFinish { choice: 0, finish: finish(reason) }));
    events.push(ChatEvent::Ended);
    events
}

fn gathered(events: &[ChatEvent]) -> ChatResponse {
    let mut gathered = Gathered::default();
    for event in events {
        gathered.add(event.clone()).unwrap();
    }
    gathered.complete().unwrap()
}

/// A text or a thought that still was empty when the next part began has an item in the stream alone, and nothing in it.
fn without_empty(response: &Value) -> Value {
    let mut response = response.clone();
    let is_empty = |item: &Value| {
        let content = &item["content"][0];
        content["text"] == "" || content["refusal"] == "" || item["summary"] == json!([]) && item["encrypted_content"].is_null()
    };
    response["output"].as_array_mut().unwrap().retain(|item| !is_empty(item));
    response
}

/// What of a part can come back.
fn can_come_back(part: &Part) -> Option<Part> {
    let is_own = |native: &Native| native.dialect == DIALECT;
    let phased = !part.extras.is_empty();
    match &part.body {
        PartBody::Other(native) if !is_own(native) => None,
        PartBody::Text(text) if text.is_empty() => {
            let kept = part.replay.clone().filter(|_| !phased)?;
            Some(Part { replay: Some(kept), ..super::text("") })
        }
        // Put back as a text: nothing was said in either.
        PartBody::Refusal(text) if text.is_empty() => Some(Part { replay: Some(part.replay.clone()?), ..super::text("") }),
        PartBody::Thinking(text) if text.is_empty() && part.replay.is_none() => None,
        // An empty argument is shown as an empty object.
        PartBody::ToolCall(call) if call.arguments.is_empty() && !call.free_form => {
            let call = ToolCall { arguments: "{}".into(), ..call.clone() };
            Some(Part { body: PartBody::ToolCall(call), ..part.clone() })
        }
        PartBody::Text(_) if phased => Some(Part { replay: None, ..part.clone() }),
        _ => Some(part.clone()),
    }
}

fn any_event() -> impl Strategy<Value = ChatEvent> {
    let piece = ("[a-z]{0,2}", 0u32..4, 0u32..2, proptest::option::of(Just("[{}]".to_owned())));
    prop_oneof![
        (kind(), 0u32..4, 0u32..2).prop_map(|(kind, part, choice)| ChatEvent::PartOpened(PartOpening { choice, part, kind })),
        piece.prop_map(|(text, part, choice, logprobs)| ChatEvent::PartGrew(PartGrowth { choice, part, text, media: None, logprobs })),
        (0u32..4).prop_map(closed),
        Just(ChatEvent::Finished(ChoiceFinish { choice: 0, finish: finish(FinishReason::Length) })),
        Just(ChatEvent::Ended),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_obeys_the_rules_of_clients_and_ends_with_what_the_whole_answer_says(
        parts in vec(spoken(), 0..6), order in vec(0usize..8, 1..12)
    ) {
        let events = told(parts, &order);
        let last = sdk::client(&sent(&events));
        prop_assert_eq!(without_empty(&last), whole(&gathered(&events)));
    }

    #[test]
    fn an_answer_comes_back_as_it_was(parts in vec(spoken(), 0..6), order in vec(0usize..8, 1..12)) {
        let events = told(parts, &order);
        let response = gathered(&events);
        let parts = response.choices.first().map(|choice| choice.parts.clone()).unwrap_or_default();
        let expected: Vec<Part> = parts.iter().filter_map(can_come_back).collect();
        let streamed = sent(&events).pop().unwrap();
        prop_assert_eq!(sent_back(&whole(&response)["output"]), expected.clone());
        prop_assert_eq!(sent_back(&streamed["response"]["output"]), expected);
    }

    #[test]
    fn disorder_breaks_no_rule(events in vec(any_event(), 0..20)) {
        let sent = sent(&events);
        let ended = sent.last().is_some_and(|event| {
            matches!(event["type"].as_str(), Some("response.completed" | "response.incomplete" | "response.failed"))
        });
        if ended {
            sdk::client(&sent);
        }
    }

    #[test]
    fn any_bytes_are_a_request_or_a_mistake(body in "\\PC*") {
        let _ = parse(body.as_bytes());
    }

    #[test]
    fn any_item_is_taken_or_named(
        kind in "message|reasoning|function_call|function_call_output|image_generation_call|x_output|item_reference",
        value in prop_oneof![Just(Value::Null), Just(json!("a")), Just(json!([{"type": "input_text"}])), Just(json!({})), Just(json!(5))],
        fields in vec("role|content|summary|encrypted_content|call_id|name|arguments|output|result|id|phase|type", 0..5)
    ) {
        let mut item = json!({"type": kind});
        for field in fields {
            item[field] = value.clone();
        }
        if let Err(error) = parse(json!({"model": "m", "input": [item]}).to_string().as_bytes()) {
            prop_assert!(error.param.unwrap().starts_with("input[0]"));
        }
    }
}
