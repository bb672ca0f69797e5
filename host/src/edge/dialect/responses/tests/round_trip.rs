//! An answer, sent back as part of the next request.

use super::*;
use crate::contract::{Blob, Media, MediaSource, Role};

/// The assistant's parts after the answer's output came back as input.
pub fn sent_back(output: &Value) -> Vec<Part> {
    let mut input = vec![json!({"role": "user", "content": "hi"})];
    input.extend(output.as_array().unwrap().iter().cloned());
    let mut messages = parsed(&json!({"model": "m", "input": input})).request.messages;
    match messages.len() {
        1 => Vec::new(),
        2 if messages[1].role == Role::Assistant => messages.remove(1).parts,
        _ => unreachable!("{messages:?}"),
    }
}

#[test]
fn parts_come_back_with_their_replays() {
    let parts = vec![
        sealed(thinking("first\n\nsecond"), "1"),
        sealed(thinking(""), "2"),
        sealed(text("grüße"), "3"),
        text("more"),
        Part { extras: vec![own(json!({"namespace": "n"}))], ..call("c1", "{\"x\":1}") },
        sealed(call("c2", "not json"), "4"),
        sealed(part(PartBody::Other(own(json!({"type": "web_search_call", "id": "ws_1"})))), "5"),
        sealed(text(""), "6"),
    ];
    let output = whole(&answer(parts.clone(), FinishReason::ToolCalls))["output"].clone();
    assert_eq!(sent_back(&output), parts);
}

#[test]
fn a_phase_comes_back_with_its_message_and_needs_no_item_of_its_own() {
    let phased = Part { extras: vec![own(json!({"phase": "final_answer"}))], ..text("so") };
    let output = whole(&answer(vec![sealed(phased.clone(), "1")], FinishReason::Stop))["output"].clone();
    assert_eq!(output.as_array().unwrap().len(), 1);
    assert_eq!(sent_back(&output), [phased]);
}

#[test]
fn an_image_comes_back_as_one_unless_it_is_openais_own() {
    let media = |source| {
        let (media_type, name, detail, transcript) = (Some("image/webp".into()), None, None, None);
        PartBody::Image(Media { source, media_type, name, detail, transcript })
    };
    let theirs = part(PartBody::Other(own(json!({"type": "image_generation_call", "id": "ig_1", "result": "AAAA"}))));
    let image = sealed(part(media(MediaSource::Base64("AAAA".into()))), "1");
    let output = whole(&answer(vec![image.clone(), theirs.clone()], FinishReason::Stop))["output"].clone();
    let blob = media(MediaSource::Blob(Blob { id: 0, size: 3 }));
    assert_eq!(sent_back(&output), [Part { body: blob, ..image }, theirs]);
}

#[test]
fn what_the_caller_changed_loses_its_replay() {
    let mut output =
        whole(&answer(vec![sealed(text("so"), "1"), sealed(call("c1", "{}"), "2")], FinishReason::ToolCalls))["output"].clone();
    output[0]["content"][0]["text"] = json!("otherwise");
    let parts = sent_back(&output);
    assert_eq!((&parts[0].replay, parts[1].replay.is_some()), (&None, true));
}

#[test]
fn a_call_is_found_wherever_the_client_puts_it() {
    let output = whole(&answer(vec![text("so"), sealed(call("c1", "{}"), "1")], FinishReason::ToolCalls))["output"].clone();
    // Some clients keep calls apart and send them last.
    let moved = json!([output[0], output[2], output[1]]);
    assert_eq!(sent_back(&moved), [text("so"), sealed(call("c1", "{}"), "1")]);
}

#[test]
fn answers_that_follow_each_other_keep_what_is_theirs() {
    let first = vec![sealed(text("one"), "1"), sealed(text(""), "2"), text("more"), sealed(call("c1", "{}"), "3")];
    let second = vec![text("more"), sealed(text("two"), "4"), sealed(call("c2", "{}"), "5")];
    let output = |parts: &[Part]| whole(&answer(parts.to_vec(), FinishReason::Stop))["output"].as_array().unwrap().clone();
    let both = [output(&first), output(&second)].concat();
    assert_eq!(sent_back(&json!(both)), [first, second].concat());
}

#[test]
fn a_turn_of_which_nothing_else_came_back_is_dropped() {
    let output = whole(&answer(vec![sealed(call("c1", "{}"), "1")], FinishReason::ToolCalls))["output"].clone();
    assert_eq!(sent_back(&json!([output[1]])), []);
}
