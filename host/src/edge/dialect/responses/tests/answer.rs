//! Whole answers.

use super::*;
use crate::contract::{Media, MediaSource};

#[test]
fn an_answer_has_the_keys_that_clients_demand_and_says_the_request_again() {
    let tools = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": false}]);
    let request = json!({"model": "m", "input": "hi", "instructions": "Be brief.", "tools": tools, "tool_choice": "required", "temperature": 0.5,
        "metadata": {"a": "b"}, "reasoning": {"effort": "low"}, "text": {"verbosity": "low"}, "store": true, "user": "u"});
    let body = renderer(&request).whole(&answer(vec![call("c1", "")], FinishReason::ToolCalls));
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!({"id": "resp_1", "object": "response", "created_at": 7, "status": "completed", "error": null, "incomplete_details": null, "model": "m",
            "output": [{"type": "function_call", "id": "fc_1_0", "call_id": "c1", "name": "weather", "arguments": "{}", "status": "completed"}],
            "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0}, "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 14},
            "instructions": "Be brief.", "tools": tools, "tool_choice": "required", "parallel_tool_calls": true, "temperature": 0.5, "top_p": null,
            "max_output_tokens": null, "metadata": {"a": "b"}, "reasoning": {"effort": "low", "summary": null}, "user": "u",
            "text": {"verbosity": "low", "format": {"type": "text"}}, "truncation": "disabled", "top_logprobs": 0, "background": false,
            "previous_response_id": null, "store": false})
    );
}

#[test]
fn each_part_is_an_item() {
    let search = json!({"type": "web_search_call", "id": "ws_1"});
    let shell = ToolCall { id: "c2".into(), name: "shell".into(), arguments: "ls".into(), free_form: true };
    let image = Media {
        source: MediaSource::Base64("AAAA".into()),
        media_type: Some("image/webp".into()),
        name: None,
        detail: None,
        transcript: None,
    };
    let parts = vec![
        sealed(thinking("hm"), "1"),
        part(PartBody::Other(own(search.clone()))),
        text("so"),
        part(PartBody::Refusal("no".into())),
        part(PartBody::ToolCall(shell)),
        part(PartBody::Image(image)),
        text(""),
        thinking(""),
        part(PartBody::Other(Native { dialect: "gemini".into(), value: "{}".into() })),
    ];
    let message =
        |id: &str, content: Value| json!({"type": "message", "id": id, "role": "assistant", "status": "completed", "content": [content]});
    assert_eq!(
        whole(&answer(parts, FinishReason::Stop))["output"],
        json!([
            {"type": "reasoning", "id": "rs_1_0", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gw1;p;m;h;1", "status": "completed"},
            search,
            message("msg_1_2", json!({"type": "output_text", "text": "so", "annotations": [], "logprobs": []})),
            message("msg_1_3", json!({"type": "refusal", "refusal": "no"})),
            {"type": "custom_tool_call", "id": "ctc_1_4", "call_id": "c2", "name": "shell", "input": "ls", "status": "completed"},
            {"type": "image_generation_call", "id": "ig_gw_1_5", "status": "completed", "result": "AAAA", "output_format": "webp"}
        ])
    );
}

#[test]
fn an_answer_that_was_cut_or_went_wrong_says_so() {
    for (reason, status, details, error) in [
        (FinishReason::Length, "incomplete", json!({"reason": "max_output_tokens"}), Value::Null),
        (FinishReason::ContentFilter, "incomplete", json!({"reason": "content_filter"}), Value::Null),
        (FinishReason::Other, "completed", Value::Null, Value::Null),
        (
            FinishReason::Error,
            "failed",
            Value::Null,
            json!({"code": "server_error", "message": "the provider reported that the answer went wrong: word"}),
        ),
    ] {
        let body = whole(&answer(vec![text("x")], reason));
        assert_eq!((&body["status"], &body["incomplete_details"], &body["error"]), (&json!(status), &details, &error));
    }
}

#[test]
fn only_the_last_item_of_an_answer_that_was_cut_is_incomplete() {
    for (reason, last) in
        [(FinishReason::Length, "incomplete"), (FinishReason::ContentFilter, "incomplete"), (FinishReason::ToolCalls, "completed")]
    {
        let told = answer(vec![text("so"), sealed(call("c1", "{\"a\":"), "1"), text("")], reason);
        let streamed = sent(&events_of(told.clone())).pop().unwrap()["response"].clone();
        for body in [whole(&told), streamed] {
            let stages: Vec<&Value> = body["output"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
            assert_eq!(stages, ["completed", last, "completed"], "the last carries the turn");
        }
    }
}

#[test]
fn citations_become_annotations() {
    let citation = |dialect: &str, url: Option<&str>, span| Citation {
        url: url.map(str::to_owned),
        title: None,
        quote: None,
        span,
        native: Native { dialect: dialect.into(), value: r#"{"type":"file_citation","file_id":"f"}"#.into() },
    };
    let citations = vec![
        citation(DIALECT, None, None),
        citation("gemini", Some("https://a"), Some((1, 3))),
        citation("gemini", Some("https://b"), None),
        citation("anthropic-messages", None, None),
    ];
    let body = whole(&answer(vec![Part { citations, ..text("größe") }], FinishReason::Stop));
    assert_eq!(
        body["output"][0]["content"][0]["annotations"],
        json!([
            {"type": "file_citation", "file_id": "f"},
            {"type": "url_citation", "start_index": 1, "end_index": 3, "title": "https://a", "url": "https://a"},
            {"type": "url_citation", "start_index": 0, "end_index": 5, "title": "https://b", "url": "https://b"}
        ])
    );
}

#[test]
fn what_the_provider_adds_in_this_dialect_is_shown() {
    let mut told = answer(vec![Part { extras: vec![own(json!({"phase": "commentary"}))], ..text("x") }], FinishReason::Stop);
    told.extras = vec![own(json!({"service_tier": "priority", "id": "theirs"}))];
    told.choices[0].logprobs = Some(r#"[{"token":"x","logprob":-0.5,"bytes":[120],"top_logprobs":[]}]"#.into());
    told.usage.as_mut().unwrap().details = vec![("estimated".into(), 1)];
    let body = whole(&told);
    assert_eq!((&body["service_tier"], &body["id"], &body["usage"]["estimated"]), (&json!("priority"), &json!("resp_1"), &json!(true)));
    assert_eq!(
        (&body["output"][0]["phase"], &body["output"][0]["content"][0]["logprobs"][0]["token"]),
        (&json!("commentary"), &json!("x"))
    );
}
