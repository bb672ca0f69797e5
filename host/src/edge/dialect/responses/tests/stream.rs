//! Streams.

use super::*;
use crate::contract::{PartClosing, PartGrowth, PartKind, PartOpening, ToolCallOpening};

pub fn opened(part: u32, kind: PartKind) -> ChatEvent {
    ChatEvent::PartOpened(PartOpening { choice: 0, part, kind })
}

pub fn opened_call(part: u32, id: &str) -> ChatEvent {
    opened(part, PartKind::ToolCall(ToolCallOpening { id: id.into(), name: "weather".into(), free_form: false }))
}

pub fn grew(part: u32, text: &str) -> ChatEvent {
    ChatEvent::PartGrew(PartGrowth { choice: 0, part, text: text.into(), media: None, logprobs: None })
}

pub fn closed(part: u32) -> ChatEvent {
    ChatEvent::PartClosed(PartClosing { choice: 0, part, replay: None, extras: Vec::new() })
}

#[test]
fn a_text_is_told_in_the_order_that_sdks_demand() {
    let events = sent(&events_of(answer(vec![text("hello")], FinishReason::Stop)));
    assert_eq!(
        types(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    assert_eq!((&events[0]["response"]["status"], &events[0]["response"]["output"]), (&json!("in_progress"), &json!([])));
    let added = json!({"type": "message", "id": "msg_1_0", "role": "assistant", "status": "in_progress", "content": []});
    assert_eq!(events[2], json!({"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": added}));
    assert_eq!(
        events[4],
        json!({"type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_1_0", "output_index": 0, "content_index": 0,
            "delta": "hello", "logprobs": []})
    );
    assert_eq!(events[8]["response"], whole(&answer(vec![text("hello")], FinishReason::Stop)));
}

#[test]
fn reasoning_and_calls_have_events_of_their_own() {
    let shell = ToolCall { id: "c2".into(), name: "shell".into(), arguments: "ls".into(), free_form: true };
    let parts = vec![sealed(thinking("hm"), "1"), call("c1", ""), part(PartBody::ToolCall(shell)), part(PartBody::Refusal("no".into()))];
    let events = sent(&events_of(answer(parts, FinishReason::ToolCalls)));
    let of = |index: u64| {
        let events: Vec<Value> = events.iter().filter(|event| event["output_index"] == index).cloned().collect();
        types(&events).iter().map(|kind| kind.strip_prefix("response.").unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        of(0),
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done"
        ]
    );
    assert_eq!(of(1), ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]);
    assert_eq!(of(2), ["output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done"]);
    assert_eq!(
        of(3),
        ["output_item.added", "content_part.added", "refusal.delta", "refusal.done", "content_part.done", "output_item.done"]
    );
    let arguments = events.iter().find(|event| event["type"] == "response.function_call_arguments.delta").unwrap();
    assert_eq!(arguments["delta"], "{}");
}

#[test]
fn parallel_calls_keep_their_places() {
    let events = sent(&[
        opened_call(0, "a"),
        opened_call(1, "b"),
        grew(1, "[1"),
        grew(0, "[0]"),
        grew(1, "]"),
        closed(1),
        closed(0),
        ChatEvent::Ended,
    ]);
    let deltas: Vec<(u64, &str)> = events
        .iter()
        .filter(|event| event["type"] == "response.function_call_arguments.delta")
        .map(|event| (event["output_index"].as_u64().unwrap(), event["delta"].as_str().unwrap()))
        .collect();
    assert_eq!(deltas, [(1, "[1"), (0, "[0]"), (1, "]")]);
    let output = &events.last().unwrap()["response"]["output"];
    let call = |at: usize| (output[at]["call_id"].as_str().unwrap(), output[at]["arguments"].as_str().unwrap());
    assert_eq!((call(0), call(1)), (("a", "[0]"), ("b", "[1]")));
}

#[test]
fn a_part_in_which_nothing_came_is_not_shown() {
    let events = sent(&[opened(0, PartKind::Text), closed(0), opened_call(1, "a"), closed(1), ChatEvent::Ended]);
    let added: Vec<&Value> = events.iter().filter(|event| event["type"] == "response.output_item.added").collect();
    assert_eq!((added.len(), &added[0]["item"]["type"], &added[0]["output_index"]), (1, &json!("function_call"), &json!(0)));
}

#[test]
fn replays_of_what_is_no_reasoning_come_last_in_an_item_of_their_own() {
    let parts = vec![sealed(text("so"), "1"), sealed(call("c1", "{}"), "2"), sealed(text(""), "3")];
    let events = sent(&events_of(answer(parts, FinishReason::ToolCalls)));
    let kinds: Vec<&str> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| event["item"]["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["message", "function_call", "reasoning"]);
    let last = &events.last().unwrap()["response"]["output"][2];
    assert_eq!((&last["summary"], last["encrypted_content"].as_str().unwrap().starts_with("gw1turn;")), (&json!([]), true));
}

#[test]
fn an_answer_that_was_cut_ends_as_incomplete() {
    let events = sent(&events_of(answer(vec![text("hel")], FinishReason::Length)));
    assert_eq!(types(&events).last(), Some(&"response.incomplete"));
}

#[test]
fn an_item_ends_when_the_next_one_shows_something() {
    let mut renderer = renderer(&hello());
    let mut told = |event: ChatEvent| {
        let mut out = Vec::new();
        renderer.event(&event, &mut out);
        types(&read(&out)).contains(&"response.output_item.done")
    };
    for event in [opened(0, PartKind::Text), grew(0, "x"), closed(0), opened(1, PartKind::Text)] {
        assert!(!told(event));
    }
    assert!(told(grew(1, "y")));
}

#[test]
fn a_failure_in_mid_stream_is_an_error_and_nothing_follows() {
    let mut renderer = renderer(&hello());
    let mut out = Vec::new();
    for event in [opened(0, PartKind::Text), grew(0, "hel")] {
        renderer.event(&event, &mut out);
    }
    renderer.ping(&mut out);
    renderer.failure(&json!({"error": {"message": "overloaded", "type": "server_error", "param": null, "code": "overloaded"}}), &mut out);
    renderer.event(&ChatEvent::Ended, &mut out);
    assert!(str::from_utf8(&out).unwrap().contains(": ping\n\n"));
    let events = read(&out);
    let [.., error, failed] = events.as_slice() else { unreachable!() };
    assert_eq!(
        *error,
        json!({"type": "error", "sequence_number": 5, "code": "overloaded", "message": "overloaded", "param": null,
            "error": {"message": "overloaded", "type": "server_error", "param": null, "code": "overloaded"}})
    );
    assert_eq!(failed["type"], "response.failed");
    assert_eq!(failed["response"]["error"], json!({"code": "overloaded", "message": "overloaded"}));
    assert_eq!(failed["response"]["output"][0]["status"], "incomplete");
    assert_eq!(failed["response"]["output"][0]["content"][0]["text"], "hel");
}

#[test]
fn an_item_that_was_over_before_a_failure_is_complete() {
    let mut renderer = renderer(&hello());
    let mut out = Vec::new();
    for event in [opened_call(0, "a"), grew(0, "{}"), closed(0)] {
        renderer.event(&event, &mut out);
    }
    renderer.failure(&json!({"error": {"message": "overloaded", "code": "overloaded"}}), &mut out);
    let events = read(&out);
    let [.., done, _, failed] = events.as_slice() else { unreachable!() };
    assert_eq!((&done["type"], &done["item"]["status"]), (&json!("response.output_item.done"), &json!("completed")));
    assert_eq!(failed["response"]["output"], json!([done["item"]]));
}

#[test]
fn events_that_do_not_follow_break_it_and_are_not_told() {
    let mut renderer = renderer(&hello());
    let mut out = Vec::new();
    for event in [opened(0, PartKind::Text), grew(0, "x")] {
        renderer.event(&event, &mut out);
    }
    assert_eq!(renderer.broken(), None);
    let told = out.len();
    for event in [opened(7, PartKind::Text), grew(0, "y"), ChatEvent::Ended] {
        renderer.event(&event, &mut out);
    }
    assert_eq!(out.len(), told);
    assert!(renderer.broken().unwrap().contains("out of order"));
}

#[test]
fn json_with_lines_does_not_break_an_event() {
    let native = Native { dialect: DIALECT.into(), value: "{\n\"type\": \"web_search_call\",\r\n\n\"id\": \"a\\nb\"}".into() };
    let events = sent(&events_of(answer(vec![part(PartBody::Other(native))], FinishReason::Stop)));
    assert_eq!(events[2]["item"], json!({"type": "web_search_call", "id": "a\nb"}));
}
