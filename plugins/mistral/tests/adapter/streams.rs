//! Streams: the same answer as whole, in the contract's order, however the frames come.

use adapter_mistral::Mistral;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::{check_order, gather, response, run_stream};
use llm_gateway_adapter::types::*;
use serde_json::{Value, json};

fn frame(data: &str) -> Frame {
    Frame { event: None, data: data.to_owned() }
}

fn done() -> Frame {
    frame("[DONE]")
}

fn delta(delta: Value, finish: Option<&str>) -> Frame {
    let choices = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    frame(&json!({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": choices}).to_string())
}

fn call(id: Option<&str>, index: Option<u32>, name: Option<&str>, arguments: &str) -> Value {
    json!({"id": id, "index": index, "function": {"name": name, "arguments": arguments}})
}

/// The events of the frames in one push, which must be those of one push for each.
fn events(context: &str, frames: &[Frame]) -> Vec<ChatEvent> {
    let events = run_stream::<Mistral>(context, frames, usize::MAX);
    assert_eq!(events, run_stream::<Mistral>(context, frames, 1));
    check_order(&events).unwrap();
    events
}

fn answer(frames: &[Frame]) -> ChatResponse {
    gather(&events("", frames)).unwrap()
}

fn failure(frames: &[Frame]) -> Failure {
    gather(&events("", frames)).unwrap_err()
}

fn whole(message: Value, finish: &str, more: Value) -> ChatResponse {
    let mut body = json!({"id": "c1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Mistral::decode(response(200, &[], &body.to_string()), String::new()).unwrap()
}

fn calls(answer: &ChatResponse) -> Vec<(&str, &str, &str)> {
    let parts = &answer.choices[0].parts;
    parts
        .iter()
        .filter_map(|part| match &part.body {
            PartBody::ToolCall(call) => Some((call.id.as_str(), call.name.as_str(), call.arguments.as_str())),
            _ => None,
        })
        .collect()
}

#[test]
fn the_smallest_stream_says_each_thing_once() {
    let text =
        events("", &[delta(json!({"role": "assistant", "content": ""}), None), delta(json!({"content": "4"}), Some("stop")), done()]);
    let kinds: Vec<String> =
        text.iter().map(|event| format!("{event:?}").split(['(', ' ']).next().unwrap().replace("ChatEvent::", "")).collect();
    assert_eq!(kinds, ["Started", "PartOpened", "PartGrew", "PartClosed", "Finished", "Ended"]);
}

#[test]
fn a_stream_gives_what_the_whole_answer_gives() {
    let thought = |text: &str| json!({"type": "thinking", "thinking": [{"type": "text", "text": text}]});
    let signed = json!({"type": "thinking", "thinking": [{"type": "text", "text": "m."}], "signature": "s", "closed": true});
    let reference = json!({"type": "reference", "reference_ids": [1]});
    let text = |text: &str| json!({"type": "text", "text": text});
    let arguments = r#"{"city": "Oslo"}"#;
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 8, "service_tier": "standard"});
    let last = json!({"id": "c1", "model": "m", "choices": [], "usage": usage});
    let streamed = answer(&[
        delta(json!({"role": "assistant", "content": ""}), None),
        delta(json!({"content": [thought("H")]}), None),
        delta(json!({"content": [signed, text("Für ")]}), None),
        delta(json!({"content": "Os"}), None),
        delta(json!({"content": "lo"}), None),
        delta(json!({"content": [reference, text(":")]}), None),
        delta(json!({"content": [{"type": "new", "a": 1}]}), None),
        delta(json!({"content": null, "tool_calls": [call(Some("aWsimsWMh"), None, Some("weather"), &arguments[..5])]}), None),
        delta(json!({"tool_calls": [call(None, None, Some(""), &arguments[5..])]}), None),
        delta(json!({"content": ""}), Some("tool_calls")),
        frame(&last.to_string()),
        done(),
    ]);
    let content = json!([thought("H"), signed, text("Für Oslo"), reference, text(":"), {"type": "new", "a": 1}]);
    let calls = json!([call(Some("aWsimsWMh"), None, Some("weather"), arguments)]);
    assert_eq!(streamed, whole(json!({"content": content, "tool_calls": calls}), "tool_calls", json!({"usage": usage})));
    assert_eq!(streamed.choices[0].parts.len(), 4);
}

#[test]
fn logprobs_of_a_stream_add_up() {
    let token = |token: &str| json!({"content": [{"token": token}]});
    let chunk = |text: &str, finish: Option<&str>, logprobs: Value| {
        let choices = json!([{"index": 0, "delta": {"content": text}, "finish_reason": finish, "logprobs": logprobs}]);
        frame(&json!({"id": "c1", "model": "m", "choices": choices}).to_string())
    };
    let streamed = answer(&[
        chunk("", None, json!({"content": []})),
        chunk("a", None, token("a")),
        chunk("b", None, token("b")),
        chunk("", Some("stop"), Value::Null),
        done(),
    ]);
    assert_eq!(streamed.choices[0].logprobs.as_deref(), Some(r#"[{"token":"a"},{"token":"b"}]"#));
}

#[test]
fn calls_in_one_delta_that_all_say_index_0_are_told_apart() {
    let two = json!([call(Some("aaaaaaaaa"), Some(0), Some("f"), "{}"), call(Some("bbbbbbbbb"), Some(0), Some("g"), "{}")]);
    assert_eq!(
        calls(&answer(&[delta(json!({"tool_calls": two}), Some("tool_calls")), done()])),
        [("aaaaaaaaa", "f", "{}"), ("bbbbbbbbb", "g", "{}")]
    );
    let nameless = json!([call(Some("null"), None, Some("f"), "{}"), call(None, None, Some("g"), "{}")]);
    assert_eq!(calls(&answer(&[delta(json!({"tool_calls": nameless}), Some("stop")), done()])), [("", "f", "{}"), ("", "g", "{}")]);
}

#[test]
fn pieces_of_two_calls_find_their_own() {
    let both = json!([call(Some("aaaaaaaaa"), Some(0), Some("f"), r#"{"x":"#), call(Some("bbbbbbbbb"), Some(1), Some("g"), "{}")]);
    let rest = json!([call(None, Some(0), None, "1}")]);
    let streamed = answer(&[delta(json!({"tool_calls": both}), None), delta(json!({"tool_calls": rest}), Some("tool_calls")), done()]);
    assert_eq!(calls(&streamed), [("aaaaaaaaa", "f", r#"{"x":1}"#), ("bbbbbbbbb", "g", "{}")]);
    assert_eq!(streamed.choices[0].finish.reason, FinishReason::ToolCalls);
}

#[test]
fn a_complete_call_is_closed_when_the_next_begins() {
    let first = json!([call(Some("aaaaaaaaa"), Some(0), Some("f"), "{}")]);
    let second = json!([call(Some("bbbbbbbbb"), Some(1), Some("g"), "{")]);
    let events = events("", &[delta(json!({"tool_calls": first}), None), delta(json!({"tool_calls": second}), None)]);
    let closed = events.iter().position(|event| matches!(event, ChatEvent::PartClosed(PartClosing { part: 0, .. })));
    let opened = events.iter().position(|event| matches!(event, ChatEvent::PartOpened(PartOpening { part: 1, .. })));
    assert!(closed.unwrap() < opened.unwrap(), "{events:?}");
}

#[test]
fn more_of_a_closed_call_fails_rather_than_being_lost() {
    let piece = |index, id, arguments| delta(json!({"tool_calls": [call(id, Some(index), Some("f"), arguments)]}), None);
    let late = [piece(0, Some("aaaaaaaaa"), "{}"), piece(1, Some("bbbbbbbbb"), "{}"), piece(0, Some("aaaaaaaaa"), "{}"), done()];
    assert_eq!(failure(&late).kind, FailureKind::Malformed);
}

#[test]
fn a_custom_tools_call_streams_its_text() {
    let pieces = [r#"{"input""#, r#": "a\n"#, r#"b"}"#];
    let mut frames = vec![delta(json!({"tool_calls": [call(Some("aaaaaaaaa"), Some(0), Some("shell"), pieces[0])]}), None)];
    frames.extend(pieces[1..].iter().map(|piece| delta(json!({"tool_calls": [call(None, Some(0), None, piece)]}), None)));
    frames.extend([delta(json!({}), Some("tool_calls")), done()]);
    let streamed = gather(&events(r#"["shell"]"#, &frames)).unwrap();
    assert_eq!(calls(&streamed), [("aaaaaaaaa", "shell", "a\nb")]);
}

#[test]
fn several_choices_stream_side_by_side() {
    let chunk = |index: u32, text: &str, finish: Option<&str>| {
        frame(&json!({"id": "c1", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]}).to_string())
    };
    let streamed =
        answer(&[chunk(1, "b", None), chunk(0, "a", Some("stop")), chunk(1, "c", Some("length")), chunk(0, "late", None), done()]);
    let texts: Vec<_> = streamed.choices.iter().map(|choice| (choice.index, &choice.parts[0].body, choice.finish.reason)).collect();
    assert_eq!(
        texts,
        [(0, &PartBody::Text("a".to_owned()), FinishReason::Stop), (1, &PartBody::Text("bc".to_owned()), FinishReason::Length)]
    );
}

#[test]
fn only_done_is_an_end() {
    let complete = delta(json!({"content": "a"}), Some("stop"));
    assert_eq!(failure(&[complete]).kind, FailureKind::Malformed);
    assert_eq!(failure(&[]).kind, FailureKind::Malformed);
    assert_eq!(failure(&[done()]).kind, FailureKind::Malformed);
    let without_reason = answer(&[delta(json!({"content": "a"}), None), done()]);
    assert_eq!(without_reason.choices[0].finish.reason, FinishReason::Other);
}

#[test]
fn nothing_is_said_after_the_end() {
    let late = [delta(json!({"content": "a"}), Some("stop")), done(), delta(json!({"content": "b"}), None), frame("rubbish")];
    assert_eq!(answer(&late).choices[0].parts, [Part::new(PartBody::Text("a".to_owned()))]);
}

#[test]
fn errors_end_a_stream_in_every_shape() {
    let begun = delta(json!({"content": "a"}), None);
    for (data, kind, message) in [
        (r#"{"object":"error","message":"busy","type":"rate_limited","code":1300}"#, FailureKind::RateLimited, "busy"),
        (r#"{"error":{"message":"broken","type":"server_error","code":null}}"#, FailureKind::Provider, "broken"),
        (r#"{"error":"broken"}"#, FailureKind::Provider, "broken"),
        (r#"{"detail":"Service tier capacity exceeded"}"#, FailureKind::Overloaded, "Service tier capacity exceeded"),
        ("<html>", FailureKind::Malformed, "the provider answered with status 200: <html>"),
    ] {
        let failure = failure(&[begun.clone(), frame(data), done()]);
        assert_eq!((failure.kind, failure.message.as_str()), (kind, message), "{data}");
        assert_eq!(failure.retry, Retry::Backoff, "{data}");
    }
    let named = Frame { event: Some("error".to_owned()), data: r#"{"message":"no"}"#.to_owned() };
    assert_eq!(failure(&[named]).message, "no");
}

#[test]
fn what_is_not_known_is_passed_over() {
    let padding = frame(r#"{"p":"abc"}"#);
    let streamed = answer(&[padding.clone(), frame(""), delta(json!({"content": "a", "new": [1]}), Some("stop")), padding, done()]);
    assert_eq!(streamed.choices[0].parts, [Part::new(PartBody::Text("a".to_owned()))]);
}

/// A small generator, so that a failing case can be run again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn any_mixture_of_frames_keeps_the_order_and_panics_never() {
    let kinds = [
        delta(json!({"content": "é"}), None),
        delta(json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]}), None),
        delta(json!({"content": [{"type": "reference"}, {"type": "x"}, 5, null]}), None),
        delta(json!({"tool_calls": [call(Some("aaaaaaaaa"), Some(0), Some("shell"), "{")]}), None),
        delta(json!({"tool_calls": [call(Some("bbbbbbbbb"), Some(1), Some("f"), "{}")]}), None),
        delta(json!({"tool_calls": [call(None, Some(0), None, "}")]}), None),
        delta(json!({"tool_calls": [{}]}), None),
        delta(json!(null), Some("stop")),
        frame(r#"{"choices":[{"index":4294967295,"delta":{"content":"z"},"logprobs":[1]}],"usage":{"prompt_tokens":-1}}"#),
        frame(r#"{"choices":[],"usage":{"prompt_tokens":1,"service_tier":{"a":1}}}"#),
        done(),
    ];
    for seed in 0..3_000 {
        let mut chance = Chance(seed);
        let frames: Vec<Frame> = (0..chance.below(12)).map(|_| kinds[chance.below(kinds.len())].clone()).collect();
        events(r#"["shell"]"#, &frames);
    }
}

#[test]
fn arbitrary_bytes_panic_never() {
    let seeds = [
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]}]}}],"usage":{"prompt_tokens":1}}"#,
        r#"{"object":"error","message":{"detail":[{"loc":["body",0,"x"],"msg":"m"}]},"code":1,"type":"t"}"#,
        r#"{"id":"c","choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}"#,
    ];
    for seed in 0..6_000 {
        let mut chance = Chance(seed);
        let mut bytes = seeds[chance.below(seeds.len())].as_bytes().to_vec();
        for _ in 0..=chance.below(4) {
            let at = chance.below(bytes.len());
            match chance.below(3) {
                0 => bytes[at] = b"{}[]\",:0n\\\xff\x00"[chance.below(12)],
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, b"{}[]\",:1"[chance.below(8)]),
            }
        }
        for status in [200, 400, 500] {
            let _ = Mistral::decode(HttpResponse { status, headers: Vec::new(), body: bytes.clone() }, "[".to_owned());
        }
        events("rubbish", &[frame(&String::from_utf8_lossy(&bytes)), done()]);
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = format!("{}1{}", r#"{"error":"#.repeat(200_000), "}".repeat(200_000));
    assert!(Mistral::decode(response(400, &[], &deep), String::new()).is_err());
    let list = format!(r#"{{"choices":[{{"message":{{"content":{}}}}}]}}"#, "[".repeat(100_000) + &"]".repeat(100_000));
    assert!(Mistral::decode(response(200, &[], &list), String::new()).is_ok());
}
