//! Counting tokens: what is sent, and what is made of the answer.
#![allow(clippy::unwrap_used)]

use adapter_claude::Claude;
use llm_gateway_adapter::Tokens;
use llm_gateway_adapter::harness::{body_text, response};
use llm_gateway_adapter::types::{ChatRequest, Effort, FailureKind, Framing, Message, Native, Reasoning, Role};
use serde_json::{Value, json};

#[test]
fn a_prompt_is_counted_without_what_only_says_how_to_answer() {
    let messages = vec![Message::text(Role::System, "Be brief."), Message::text(Role::User, "2+2?")];
    let own = r#"{"service_tier":"auto","anthropic-beta":"a,b"}"#;
    let request = ChatRequest {
        max_output: Some(90_000),
        stream: true,
        stop: vec!["x".into()],
        user: Some("u".into()),
        reasoning: Some(Reasoning { enabled: None, effort: Some(Effort::High), budget: None, visible: None }),
        extras: vec![Native { dialect: "anthropic-messages".into(), value: own.into() }],
        ..ChatRequest::new("claude-sonnet-4-6", messages)
    };
    let sent = <Claude as Tokens>::encode(request).unwrap();
    assert_eq!((sent.path.as_str(), sent.framing), ("/messages/count_tokens", Framing::Whole));
    assert!(sent.headers.contains(&("anthropic-beta".into(), "a,b".into())));
    let body: Value = serde_json::from_str(&body_text(&sent)).unwrap();
    let expected = json!({"model": "claude-sonnet-4-6", "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}],
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
    assert_eq!(body, expected);
}

#[test]
fn the_count_is_read() {
    let count = |status, body: &str| <Claude as Tokens>::decode(response(status, &[], body), String::new());
    assert_eq!(count(200, r#"{"input_tokens":11}"#).unwrap(), 11);
    assert_eq!(count(200, "{}").unwrap_err().kind, FailureKind::Malformed);
    assert_eq!(count(529, "").unwrap_err().kind, FailureKind::Overloaded);
}

#[test]
fn newer_models_make_more_tokens_of_the_same_text() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let estimate = |model: &str| Claude::estimate(ChatRequest::new(model, vec![Message::text(Role::User, &text)]));
    assert!(estimate("claude-opus-4-8") > estimate("claude-haiku-4-5"));
}
