//! What openai-python 3 demands of a stream, and a little more.

use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// An item as a client puts it together.
#[derive(Debug, Default)]
struct Seen {
    added: Value,
    parts: usize,
    joined: String,
    done: Option<Value>,
}

/// Reads a stream to its end; gives the response of its last event.
///
/// # Panics
/// When the stream breaks a rule.
pub fn client(events: &[Value]) -> Value {
    let mut items: Vec<Seen> = Vec::new();
    let mut ids = HashSet::new();
    for (at, event) in events.iter().enumerate() {
        let kind = event["type"].as_str().unwrap();
        assert_eq!(event["sequence_number"], at, "{event}");
        let is_last = at + 1 == events.len();
        match (at, kind) {
            (0, "response.created") | (1, "response.in_progress") => {}
            (_, "response.completed" | "response.incomplete" | "response.failed") => assert!(is_last, "{event} is followed by another"),
            (at, "error") => assert_eq!(at + 2, events.len(), "{event} is followed by more than the end"),
            (_, "response.output_item.added") => {
                assert_eq!(event["output_index"], items.len(), "items begin in order");
                // A provider's own item has the id that it came with, if any.
                assert!(event["item"]["id"].as_str().is_none_or(|id| ids.insert(id.to_owned())), "an id is used twice");
                items.push(Seen { added: event["item"].clone(), ..Seen::default() });
            }
            _ => of_item(event, kind, &mut items),
        }
        assert_eq!(kind.starts_with("response.") && event["response"].is_object(), at < 2 || is_last, "{event}");
    }
    let last = events.last().unwrap()["response"].clone();
    assert_eq!(last["id"], events[0]["response"]["id"]);
    let status: HashMap<&str, &str> =
        [("response.completed", "completed"), ("response.incomplete", "incomplete"), ("response.failed", "failed")].into();
    assert_eq!(last["status"], status[events.last().unwrap()["type"].as_str().unwrap()]);
    if !events.iter().any(|event| event["type"] == "error") {
        let done: Vec<Value> = items.into_iter().map(|item| item.done.unwrap()).collect();
        assert_eq!(last["output"], Value::from(done), "the last event says what the items' own have said");
    }
    last
}

fn of_item(event: &Value, kind: &str, items: &mut [Seen]) {
    let item = &mut items[usize::try_from(event["output_index"].as_u64().unwrap()).unwrap()];
    assert!(item.done.is_none(), "{event} comes after its item is done");
    if let Some(id) = event.get("item_id") {
        assert_eq!(*id, item.added["id"]);
    }
    match kind {
        "response.content_part.added" | "response.reasoning_summary_part.added" => item.parts += 1,
        "response.output_text.delta" | "response.refusal.delta" | "response.reasoning_summary_text.delta" => {
            assert_eq!(item.parts, 1, "{event} comes before its part");
            item.joined.push_str(event["delta"].as_str().unwrap());
        }
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            item.joined.push_str(event["delta"].as_str().unwrap());
        }
        "response.output_text.done" | "response.reasoning_summary_text.done" => assert_eq!(event["text"], item.joined),
        "response.refusal.done" => assert_eq!(event["refusal"], item.joined),
        "response.function_call_arguments.done" => assert_eq!(event["arguments"], item.joined),
        "response.custom_tool_call_input.done" => assert_eq!(event["input"], item.joined),
        "response.output_text.annotation.added" | "response.content_part.done" | "response.reasoning_summary_part.done" => {}
        "response.output_item.done" => {
            for identity in ["type", "id", "call_id"] {
                assert_eq!(event["item"][identity], item.added[identity], "{identity}");
            }
            item.done = Some(event["item"].clone());
        }
        other => unreachable!("an event of type {other}"),
    }
}
