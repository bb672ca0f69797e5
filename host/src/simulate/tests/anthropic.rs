//! Anthropic's wire format.

use super::{post, refused, request, send, simulator, with};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

const MESSAGES: &str = "/claude/v1/messages";

fn ask(user: &str) -> Value {
    json!({"model": "claude-opus-4-6", "max_tokens": 1000, "messages": [{"role": "user", "content": user}]})
}

fn tools() -> Value {
    json!([
        {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
        {"name": "clock", "input_schema": {"type": "object"}},
    ])
}

#[tokio::test]
async fn a_whole_answer_has_the_shape_of_a_message() {
    let got = post(MESSAGES, ask("Hello")).await;
    let body = got.json();
    let text = body["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("[simulated claude/claude-opus-4-6] You said: \"Hello\"."), "{text}");
    assert_eq!((&body["type"], &body["role"], &body["stop_reason"]), (&json!("message"), &json!("assistant"), &json!("end_turn")));
    assert_eq!(body["usage"]["output_tokens"], text.len().div_ceil(4));
    assert!(got.header("request-id").starts_with("req_") && got.header("anthropic-ratelimit-tokens-reset").ends_with('Z'));
}

#[tokio::test]
async fn a_stream_tells_its_whole_story_in_order() {
    let got = post(MESSAGES, with(&ask("Hello"), json!({"stream": true}))).await;
    let named: Vec<&str> = got.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let events = got.events();
    assert_eq!(named, events.iter().map(|event| event["type"].as_str().unwrap()).collect::<Vec<_>>());
    let mut story = named.clone();
    story.dedup();
    assert_eq!(
        story,
        ["message_start", "content_block_start", "ping", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
    );
    let whole = post(MESSAGES, ask("Hello")).await.json();
    assert_eq!(got.joined("/delta/text"), whole["content"][0]["text"].as_str().unwrap());
    let delta = &events[events.len() - 2];
    assert_eq!(delta["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
    assert_eq!((&events[0]["message"]["content"], &events[0]["message"]["stop_reason"]), (&json!([]), &Value::Null));
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], whole["usage"]["input_tokens"]);
}

#[tokio::test]
async fn thinking_comes_first_and_must_come_back_unchanged() {
    let base = with(&ask("Hello"), json!({"thinking": {"type": "adaptive"}}));
    let whole = post(MESSAGES, base.clone()).await.json();
    assert_eq!((&whole["content"][0]["type"], &whole["content"][1]["type"]), (&json!("thinking"), &json!("text")));
    assert!(whole["usage"]["output_tokens_details"]["thinking_tokens"].as_u64().unwrap() > 0);
    let streamed = post(MESSAGES, with(&base, json!({"stream": true}))).await;
    assert_eq!(streamed.joined("/delta/thinking"), whole["content"][0]["thinking"].as_str().unwrap());

    let mut next = base.clone();
    next["messages"]
        .as_array_mut()
        .unwrap()
        .extend([json!({"role": "assistant", "content": whole["content"]}), json!({"role": "user", "content": "and?"})]);
    assert_eq!(post(MESSAGES, next.clone()).await.status, 200);
    next["messages"][1]["content"][0]["thinking"] = json!("changed");
    refused(MESSAGES, next, 400, "messages.1.content.0: Invalid `signature` in `thinking` block").await;
}

#[tokio::test]
async fn newer_models_leave_the_thinking_out_and_bind_it() {
    let on = |model: &str| with(&ask("Hello"), json!({"model": model, "thinking": {"type": "adaptive"}}));
    let content = post(MESSAGES, on("claude-opus-5-5")).await.said("/content");
    assert_eq!((&content[0]["thinking"], content[0]["signature"].as_str().unwrap().len() > 40), (&json!(""), true));
    let next = |model: &str| {
        let mut next = on(model);
        next["messages"]
            .as_array_mut()
            .unwrap()
            .extend([json!({"role": "assistant", "content": content}), json!({"role": "user", "content": "and?"})]);
        next
    };
    assert_eq!(post(MESSAGES, next("claude-opus-5-5")).await.status, 200);
    refused(MESSAGES, next("claude-haiku-5-5"), 400, "Invalid `signature` in `thinking` block").await;
}

/// A request that goes on after an answer.
fn following(request: &Value, content: &Value, next: Value) -> Value {
    let mut following = request.clone();
    let turns = [json!({"role": "assistant", "content": content}), json!({"role": "user", "content": next})];
    following["messages"].as_array_mut().unwrap().extend(turns);
    following
}

#[tokio::test]
async fn bound_thinking_holds_after_the_same_words_alone() {
    for (model, bound) in [("claude-sonnet-5-5", true), ("claude-fable-5-2", true), ("claude-opus-5", false), ("claude-opus-4-6", false)] {
        let base = with(&ask("Hello"), json!({"model": model, "thinking": {"type": "adaptive", "display": "summarized"}}));
        let content = post(MESSAGES, base.clone()).await.said("/content");
        let mut next = following(&base, &content, json!("and?"));
        // The same words in another form, and marked for the cache.
        next["messages"][0]["content"] = json!([{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}]);
        assert_eq!(post(MESSAGES, next.clone()).await.status, 200, "{model}");
        next["messages"][0]["content"] = json!("Good evening");
        assert_eq!(post(MESSAGES, next).await.status.as_u16(), if bound { 400 } else { 200 }, "{model}");
    }
}

#[tokio::test]
async fn hidden_thinking_comes_whole_and_must_come_back_unchanged() {
    let base = with(&ask("Hello"), json!({"model": "claude-sonnet-5-5--redacted", "thinking": {"type": "adaptive"}}));
    let content = post(MESSAGES, base.clone()).await.said("/content");
    assert_eq!((&content[0]["type"], content[0].get("thinking"), &content[1]["type"]), (&json!("redacted_thinking"), None, &json!("text")));
    let streamed = post(MESSAGES, with(&base, json!({"stream": true}))).await.events();
    assert!(
        streamed[1]["content_block"]["data"].as_str().unwrap().len() > 40
            && !streamed.iter().any(|event| event["delta"]["type"] == "thinking_delta")
    );
    let mut next = following(&base, &content, json!("and?"));
    assert_eq!(post(MESSAGES, next.clone()).await.status, 200);
    next["messages"][1]["content"][0]["data"] = json!("AAAA");
    refused(MESSAGES, next, 400, "messages.1.content.0: Invalid `data` in `redacted_thinking` block").await;
}

#[tokio::test]
async fn with_a_budget_a_tool_loop_goes_on_from_its_thinking() {
    let budget =
        json!({"model": "claude-opus-4-5", "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": tools()});
    let base = with(&ask("use a tool"), budget);
    let content = post(MESSAGES, base.clone()).await.said("/content");
    let result = json!([{"type": "tool_result", "tool_use_id": content[1]["id"], "content": "4 C"}]);
    assert_eq!(post(MESSAGES, following(&base, &content, result.clone())).await.status, 200);
    let without = following(&base, &json!([content[1]]), result);
    refused(MESSAGES, without.clone(), 400, "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`")
        .await;
    assert_eq!(post(MESSAGES, with(&without, json!({"thinking": null}))).await.status, 200);
}

#[tokio::test]
async fn what_is_marked_is_written_to_the_cache_or_read_from_it() {
    let count = |usage: &Value, member: &str| usage[member].as_u64().unwrap();
    let plain = post(MESSAGES, with(&ask("Hello"), json!({"system": "Be brief."}))).await.said("/usage");
    let marked = json!([{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]);
    let base = with(&ask("Hello"), json!({"system": marked}));
    let first = post(MESSAGES, base.clone()).await.said("/usage");
    let written = count(&first, "cache_creation_input_tokens");
    assert_eq!((written, count(&first, "input_tokens") + written), (3, count(&plain, "input_tokens")));
    let later = with(&base, json!({"model": "claude-opus-4-6--cached=2", "stream": true}));
    let events = post(MESSAGES, later).await.events();
    for usage in [&events[0]["message"]["usage"], &events[events.len() - 2]["usage"]] {
        assert_eq!((count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")), (2, 1));
        assert_eq!(count(usage, "input_tokens") + 3, count(&plain, "input_tokens"));
    }
}

#[tokio::test]
async fn tools_are_called_streamed_and_whole_alike_and_their_results_are_quoted() {
    let base = with(&ask("use two tools"), json!({"tools": tools()}));
    let whole = post(MESSAGES, base.clone()).await.json();
    let calls = whole["content"].as_array().unwrap();
    assert_eq!(
        (&calls[0]["input"], &calls[1]["name"], &whole["stop_reason"]),
        (&json!({"city": "Oslo"}), &json!("clock"), &json!("tool_use"))
    );
    let streamed = post(MESSAGES, with(&base, json!({"stream": true}))).await;
    let fragments: String = streamed
        .events()
        .iter()
        .filter(|event| event["index"] == 0)
        .filter_map(|event| event.pointer("/delta/partial_json")?.as_str().map(str::to_owned))
        .collect();
    assert_eq!(fragments, "{\"city\":\"Oslo\"}");

    let result =
        |call: &Value| json!({"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "so it is"}]});
    let continued = |last: Vec<Value>| {
        let mut next = base.clone();
        next["messages"]
            .as_array_mut()
            .unwrap()
            .extend([json!({"role": "assistant", "content": calls}), json!({"role": "user", "content": last})]);
        next
    };
    let got = post(MESSAGES, continued(vec![result(&calls[0]), result(&calls[1])])).await;
    let text = got.said("/content/0/text");
    assert!(text.as_str().unwrap_or(&got.body).contains("\"so it is\". \"so it is\"."), "{text}");
    let words = "`tool_use` ids were found without `tool_result` blocks immediately after";
    refused(MESSAGES, continued(vec![result(&calls[0])]), 400, words).await;
    refused(MESSAGES, continued(vec![json!({"type": "text", "text": "x"}), result(&calls[0]), result(&calls[1])]), 400, words).await;
}

#[tokio::test]
async fn stop_reasons_are_named() {
    let body = post(MESSAGES, with(&ask("Hello"), json!({"stop_sequences": ["You"]}))).await.json();
    assert_eq!((&body["stop_reason"], &body["stop_sequence"]), (&json!("stop_sequence"), &json!("You")));
    let body = post(MESSAGES, with(&ask("Hello"), json!({"max_tokens": 2}))).await.json();
    assert_eq!((&body["stop_reason"], &body["content"][0]["text"]), (&json!("max_tokens"), &json!("[simulat")));
}

#[tokio::test]
async fn anthropic_refuses_what_anthropic_refuses() {
    let image = json!([{"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": "AA=="}}]);
    let open_schema = json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}});
    for (more, status, words) in [
        (json!({"max_tokens": null}), 400, "max_tokens: Field required"),
        (json!({"model": "gpt-5.4"}), 404, "model: gpt-5.4"),
        (json!({"n": 2}), 400, "n: Extra inputs are not permitted"),
        (json!({"messages": []}), 400, "messages: at least one message is required"),
        (json!({"messages": [{"role": "system", "content": "x"}]}), 400, "Unexpected role \\\"system\\\""),
        (json!({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}), 400, "text content blocks must be non-empty"),
        (json!({"messages": [{"role": "user", "content": image}]}), 400, "image.source.base64.media_type"),
        (
            json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}),
            400,
            "does not support assistant message prefill",
        ),
        (json!({"model": "claude-opus-4-7", "temperature": 0.5}), 400, "`temperature` is not supported on this model"),
        (json!({"temperature": 0.5, "top_p": 0.5}), 400, "cannot both be specified"),
        (json!({"stop_sequences": [" "]}), 400, "must contain non-whitespace"),
        (json!({"model": "claude-opus-5-5", "thinking": {"type": "disabled"}}), 400, "thinking.type: 'disabled' is not supported"),
        (json!({"model": "claude-opus-4-5", "thinking": {"type": "enabled", "budget_tokens": 5}}), 400, "greater than or equal to 1024"),
        (
            json!({"model": "claude-sonnet-5-5", "tools": tools(), "tool_choice": {"type": "any"}}),
            400,
            "tool_choice: 'any' is not supported",
        ),
        (json!({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}), 400, "tools.0.custom.name"),
        (open_schema, 400, "'additionalProperties' must be explicitly set to false"),
    ] {
        refused(MESSAGES, with(&ask("x"), more), status, words).await;
    }
}

#[tokio::test]
async fn keys_and_versions_are_checked() {
    let simulator = simulator();
    for (key, version, body, status, words) in [
        (None, Some("2023-06-01"), ask("x"), 401, "x-api-key header is required"),
        (Some("invalid"), Some("2023-06-01"), ask("x"), 401, "invalid x-api-key"),
        (Some("k"), None, ask("x"), 400, "anthropic-version: header is required"),
        (Some("k"), Some("2026-10-21"), with(&ask("x"), json!({"temperature": 1})), 400, "temperature: Extra inputs are not permitted"),
    ] {
        let mut builder = Request::post(MESSAGES);
        for (name, value) in [("x-api-key", key), ("anthropic-version", version)] {
            if let Some(value) = value {
                builder = builder.header(name, value);
            }
        }
        let got = send(&simulator, builder.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(got.status.as_u16(), status, "{}", got.body);
        assert!(got.said("/error/message").as_str().unwrap().contains(words), "{}", got.body);
        assert_eq!((got.header("x-should-retry"), got.said("/request_id")), ("false", json!(got.header("request-id"))));
    }
    let bearer = Request::post(MESSAGES).header("authorization", "Bearer k").header("anthropic-version", "2026-10-21");
    assert_eq!(send(&simulator, bearer.body(Body::from(ask("x").to_string())).unwrap()).await.status, 200);
}

#[tokio::test]
async fn tokens_are_counted_as_they_are_billed_and_models_are_paged() {
    let simulator = simulator();
    let body = with(&ask("Hello"), json!({"tools": tools(), "system": "Be brief."}));
    let counted = send(&simulator, request("/claude/v1/messages/count_tokens", &with(&body, json!({"max_tokens": null}))))
        .await
        .said("/input_tokens");
    assert_eq!(counted, send(&simulator, request(MESSAGES, &body)).await.said("/usage/input_tokens"));
    refused("/claude/v1/messages/count_tokens", body, 400, "max_tokens: Extra inputs are not permitted").await;

    let page = |query: &str| {
        Request::get(format!("/claude/v1/models?{query}"))
            .header("x-api-key", "k")
            .header("anthropic-version", "2023-06-01")
            .body(Body::empty())
            .unwrap()
    };
    let first = send(&simulator, page("limit=3")).await.json();
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (3, &json!(true)));
    let rest = send(&simulator, page(&format!("limit=1000&after_id={}", first["last_id"].as_str().unwrap()))).await.json();
    assert_eq!(rest["has_more"], json!(false));
    assert_ne!(rest["first_id"], first["last_id"]);
}
