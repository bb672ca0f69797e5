//! Whole answers.

use adapter_mistral::Mistral;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::*;
use serde_json::{Value, json};

fn decoded(body: &Value) -> ChatResponse {
    Mistral::decode(response(200, &[], &body.to_string()), String::new()).unwrap()
}

fn parts(message: Value) -> Vec<Part> {
    decoded(&json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})).choices.remove(0).parts
}

fn sealed(text: &str, data: &str) -> Part {
    Part { replay: Some(Replay { data: data.to_owned(), model: None }), ..Part::new(PartBody::Thinking(text.to_owned())) }
}

#[test]
fn content_comes_as_a_string_a_list_or_not_at_all() {
    let text = |text: &str| Part::new(PartBody::Text(text.to_owned()));
    assert_eq!(parts(json!({"content": "a\nb"})), [text("a\nb")]);
    assert_eq!(parts(json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})), [text("ab")]);
    for nothing in [json!({"content": null}), json!({"content": ""}), json!({}), json!({"content": 5}), json!({"content": []})] {
        assert_eq!(parts(nothing.clone()), [], "{nothing}");
    }
}

#[test]
fn thinking_keeps_what_it_takes_to_send_it_back() {
    let plain = json!({"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]});
    let signed = json!({"type": "thinking", "thinking": "c", "signature": "s", "closed": false});
    assert_eq!(parts(json!({"content": [plain]})), [sealed("ab", "")]);
    assert_eq!(parts(json!({"content": [signed]})), [sealed("c", r#"{"signature":"s","closed":false}"#)]);
}

#[test]
fn references_cite_the_text_before_them() {
    let reference = json!({"type": "reference", "reference_ids": [2, 3]});
    let content = json!([{"type": "text", "text": "Zürich"}, reference, {"type": "text", "text": " is big"}, reference]);
    let parts = parts(json!({"content": content}));
    assert_eq!(parts.len(), 1);
    let spans: Vec<_> = parts[0].citations.iter().map(|citation| citation.span).collect();
    assert_eq!(spans, [Some((0, 6)), Some((6, 13))]);
    assert_eq!(parts[0].citations[0].native, Native { dialect: "mistral".to_owned(), value: reference.to_string() });
}

#[test]
fn chunks_of_an_unknown_kind_are_kept() {
    let chunk = json!({"type": "hologram", "light": [1]});
    assert_eq!(
        parts(json!({"content": [chunk]})),
        [Part::new(PartBody::Other(Native { dialect: "mistral".to_owned(), value: chunk.to_string() }))]
    );
}

#[test]
fn tool_calls_come_with_arguments_as_text_or_as_an_object() {
    let calls = json!([
        {"id": "aWsimsWMh", "function": {"name": "a", "arguments": "{\"x\": 1}"}},
        {"id": "null", "function": {"name": "b", "arguments": {"y": 2}}, "index": 1, "type": "function"}
    ]);
    let answer = decoded(&json!({"choices": [{"message": {"content": "", "tool_calls": calls}, "finish_reason": "stop"}]}));
    let call = |id: &str, name: &str, arguments: &str| {
        Part::new(PartBody::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            free_form: false,
        }))
    };
    assert_eq!(answer.choices[0].parts, [call("aWsimsWMh", "a", r#"{"x": 1}"#), call("", "b", r#"{"y":2}"#)]);
    assert_eq!(answer.choices[0].finish.reason, FinishReason::ToolCalls);
}

#[test]
fn a_custom_tools_call_is_free_text_again() {
    let call = |arguments: &str| {
        let calls = json!([{"id": "aWsimsWMh", "function": {"name": "shell", "arguments": arguments}}]);
        let body = json!({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]});
        let answer = Mistral::decode(response(200, &[], &body.to_string()), r#"["shell"]"#.to_owned()).unwrap();
        match &answer.choices[0].parts[0].body {
            PartBody::ToolCall(call) => (call.arguments.clone(), call.free_form),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(call(r#"{"input":"ls -l"}"#), ("ls -l".to_owned(), true));
    assert_eq!(call("ls -l"), ("ls -l".to_owned(), true));
}

#[test]
fn finish_reasons_have_their_meaning() {
    for (raw, reason) in [
        (json!("stop"), FinishReason::Stop),
        (json!("length"), FinishReason::Length),
        (json!("model_length"), FinishReason::Length),
        (json!("tool_calls"), FinishReason::ToolCalls),
        (json!("error"), FinishReason::Error),
        (json!("new_word"), FinishReason::Other),
        (Value::Null, FinishReason::Other),
    ] {
        let answer = decoded(&json!({"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": raw}]}));
        let finish = &answer.choices[0].finish;
        assert_eq!((finish.reason, finish.raw.as_deref()), (reason, raw.as_str()), "{raw}");
    }
}

#[test]
fn usage_tells_only_what_mistral_told() {
    let usage = |usage: Value| decoded(&json!({"choices": [{"message": {"content": "a"}}], "usage": usage})).usage;
    let counts = Usage { input: Some(9), cache_read: None, cache_write: None, output: Some(2), reasoning: None, details: Vec::new() };
    assert_eq!(usage(json!({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})), Some(counts.clone()));
    let cached = json!({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 0}, "num_cached_tokens": 4});
    assert_eq!(usage(cached), Some(Usage { cache_read: Some(0), ..counts.clone() }));
    let audio = json!({"prompt_tokens": 9, "completion_tokens": 2, "num_cached_tokens": 4, "prompt_audio_seconds": 12});
    let details = vec![("prompt_audio_seconds".to_owned(), 12)];
    assert_eq!(usage(audio), Some(Usage { cache_read: Some(4), details, ..counts.clone() }));
    let odd = json!({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": null, "prompt_audio_seconds": {}});
    assert_eq!(usage(odd), Some(counts));
    assert_eq!(usage(json!({})), None);
    assert_eq!(usage(Value::Null), None);
}

#[test]
fn several_choices_keep_their_places_and_logprobs_their_array() {
    let tokens = json!([{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]);
    let answer = decoded(&json!({
        "id": "c1", "model": "m", "usage": {"prompt_tokens": 1, "service_tier": "standard"},
        "choices": [
            {"index": 0, "message": {"content": "a"}, "finish_reason": "stop", "logprobs": {"content": tokens}},
            {"index": 1, "message": {"content": "b"}, "finish_reason": "stop", "logprobs": null}
        ]
    }));
    assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (Some("c1"), Some("m")));
    assert_eq!(answer.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(answer.choices[0].logprobs, Some(tokens.to_string()));
    assert_eq!(answer.choices[1].logprobs, None);
    assert_eq!(answer.extras, [Native { dialect: "mistral".to_owned(), value: r#"{"service_tier":"standard"}"#.to_owned() }]);
}
