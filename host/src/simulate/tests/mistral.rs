//! Mistral's wire format.

use super::{post, refused, send, simulator, with};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

const CHAT: &str = "/mistral/v1/chat/completions";

fn ask(user: &str) -> Value {
    json!({"model": "mistral-medium-3-5", "messages": [{"role": "user", "content": user}]})
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

#[tokio::test]
async fn streamed_and_whole_answers_say_the_same_and_count_the_same() {
    let whole = post(CHAT, ask("Hello")).await;
    let streamed = post(CHAT, with(&ask("Hello"), json!({"stream": true}))).await;
    let text = whole.said("/choices/0/message/content");
    assert!(text.as_str().unwrap().starts_with("[simulated mistral/mistral-medium-3-5] You said"), "{text}");
    assert_eq!(streamed.joined("/choices/0/delta/content"), text.as_str().unwrap());
    let events = streamed.events();
    let (last, earlier) = events.split_last().unwrap();
    assert_eq!((&last["choices"][0]["finish_reason"], &last["usage"]), (&json!("stop"), &whole.said("/usage")));
    assert!(earlier.iter().all(|chunk| chunk.get("usage").is_none()));
    assert!(streamed.body.ends_with("data: [DONE]\n\n"));
    assert!(!whole.header("mistral-correlation-id").is_empty() && whole.header("x-ratelimit-limit-req-minute") == "360");
}

#[tokio::test]
async fn thinking_makes_the_content_a_list() {
    let base = with(&ask("Hello"), json!({"reasoning_effort": "high"}));
    let content = post(CHAT, base.clone()).await.said("/choices/0/message/content");
    assert_eq!((&content[0]["type"], &content[1]["type"]), (&json!("thinking"), &json!("text")));
    let streamed = post(CHAT, with(&base, json!({"stream": true}))).await;
    assert_eq!(streamed.joined("/choices/0/delta/content/0/thinking/0/text"), content[0]["thinking"][0]["text"].as_str().unwrap());
    assert_eq!(streamed.joined("/choices/0/delta/content"), content[1]["text"].as_str().unwrap());

    let mut next = base.clone();
    next["messages"]
        .as_array_mut()
        .unwrap()
        .extend([json!({"role": "assistant", "content": content}), json!({"role": "user", "content": "and?"})]);
    assert_eq!(post(CHAT, next.clone()).await.status, 200);
    next["messages"][1]["content"][0]["thinking"][0]["text"] = json!("changed");
    refused(CHAT, next, 400, "Invalid signature in thinking chunk").await;
}

#[tokio::test]
async fn a_call_comes_whole_with_an_id_of_nine_characters() {
    let base = with(&ask("use a tool"), json!({"tools": tools()}));
    let whole = post(CHAT, base.clone()).await;
    let call = whole.said("/choices/0/message/tool_calls/0");
    assert_eq!((call["id"].as_str().unwrap().len(), &call["function"]["arguments"]), (9, &json!("{\"city\":\"Oslo\"}")));
    let streamed = post(CHAT, with(&base, json!({"stream": true}))).await.events();
    let last = streamed.last().unwrap();
    assert_eq!(
        (&last["choices"][0]["finish_reason"], &last["choices"][0]["delta"]["tool_calls"][0]["function"]),
        (&json!("tool_calls"), &call["function"])
    );

    let mut next = base.clone();
    let messages = next["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": "", "tool_calls": [call]}));
    messages.push(json!({"role": "tool", "tool_call_id": call["id"], "name": "weather", "content": "4 C"}));
    let text = post(CHAT, next.clone()).await.said("/choices/0/message/content");
    assert!(text.as_str().unwrap().contains("\"4 C\""), "{text}");
    next["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": "thanks"}));
    refused(CHAT, next, 400, "Unexpected role 'user' after role 'tool'").await;
}

#[tokio::test]
async fn mistral_refuses_what_mistral_refuses() {
    let call = |id: &str| json!({"role": "assistant", "content": "", "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let user = json!({"role": "user", "content": "x"});
    for (more, status, words) in [
        (
            json!({"seed": 1}),
            422,
            "{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"seed\"],\"msg\":\"Extra inputs are not permitted\",\"input\":1}]}",
        ),
        (json!({"stream_options": {}}), 422, "extra_forbidden"),
        (json!({"messages": [{"role": "user", "name": "n", "content": "x"}]}), 422, "\"loc\":[\"body\",\"messages\",0,\"name\"]"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]}), 422, "cache_control"),
        (json!({"messages": [{"role": "developer", "content": "x"}]}), 422, "union_tag_invalid"),
        (json!({"messages": null}), 422, "\"type\":\"missing\""),
        (json!({"tools": []}), 422, "too_short"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
            422,
            "\"loc\":[\"body\",\"tools\",0,\"function\",\"parameters\"]",
        ),
        (
            json!({"model": "gpt-5.4"}),
            400,
            "\"message\":\"Invalid model: gpt-5.4\",\"type\":\"invalid_model\",\"param\":null,\"code\":\"1500\"",
        ),
        (json!({"reasoning_effort": "low"}), 400, "is not supported for this model"),
        (
            json!({"messages": [user, call("call_12345"), result("call_12345")]}),
            400,
            "Tool call id was call_12345 but must be a-z, A-Z, 0-9, with a length of 9.",
        ),
        (json!({"messages": [user, call("abcdefghi")]}), 400, "\"code\":\"3230\""),
        (json!({"messages": [user, {"role": "assistant", "content": "x"}]}), 400, "Expected last role User or Tool"),
    ] {
        refused(CHAT, with(&ask("x"), more), status, words).await;
    }
    let prefix = json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "prefix": true}]});
    assert_eq!(post(CHAT, with(&ask("x"), prefix)).await.status, 200);
    let keyless = Request::post(CHAT).body(Body::from(ask("x").to_string())).unwrap();
    let got = send(&simulator(), keyless).await;
    assert_eq!((got.status.as_u16(), got.body.as_str()), (401, "{\"detail\":\"Unauthorized\"}"));
}

#[tokio::test]
async fn embeddings_and_models_are_there() {
    let embedded = post("/mistral/v1/embeddings", json!({"model": "mistral-embed", "input": ["a", "b"]})).await;
    assert_eq!(embedded.said("/data/1/embedding").as_array().unwrap().len(), 1024);
    refused("/mistral/v1/embeddings", json!({"model": "mistral-embed", "input": "a", "dimensions": 4}), 422, "extra_forbidden").await;
    let list = Request::get("/mistral/v1/models").header("authorization", "Bearer k").body(Body::empty()).unwrap();
    let list = send(&simulator(), list).await.json();
    let medium: Vec<_> = list["data"].as_array().unwrap().iter().filter(|model| model["name"] == "mistral-medium-3-5").collect();
    assert_eq!(medium.len(), 3);
}
