//! Embeddings: what is asked of the provider, and what is made of its answers.

use crate::support::native;
use adapter_openai::OpenAi;
use llm_gateway_adapter::Embeddings;
use llm_gateway_adapter::embeddings::{EmbeddingInput, EmbeddingRequest};
use llm_gateway_adapter::harness::{body_text, response};
use llm_gateway_adapter::types::{FailureKind, HttpRequest, Media, MediaSource};
use serde_json::{Value, json};

fn request(model: &str, inputs: Vec<EmbeddingInput>) -> EmbeddingRequest {
    EmbeddingRequest { model: model.into(), inputs, dimensions: None, user: None, settings: vec![], extras: vec![] }
}

fn text(text: &str) -> EmbeddingInput {
    EmbeddingInput::Text(text.into())
}

fn json(request: &HttpRequest) -> Value {
    serde_json::from_str(&body_text(request)).unwrap()
}

#[test]
fn texts_are_asked_for_in_base64_with_all_that_the_provider_takes() {
    let extras = vec![native("openai-chat", r#"{"encoding_format":"float","new":1}"#), native("gemini", r#"{"taskType":"CLUSTERING"}"#)];
    let asked = EmbeddingRequest {
        dimensions: Some(256),
        user: Some("u1".into()),
        extras,
        ..request("text-embedding-3-small", vec![text("a"), text("b")])
    };
    let sent = <OpenAi as Embeddings>::encode(asked).unwrap();
    assert_eq!(sent.path, "/embeddings");
    let expected = json!({"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 256, "encoding_format": "base64", "user": "u1", "new": 1});
    assert_eq!(json(&sent), expected);
    assert_eq!(sent.dropped.iter().map(|dropped| dropped.parameter.as_str()).collect::<Vec<_>>(), ["extras.taskType"]);
}

#[test]
fn tokens_are_taken_but_not_beside_texts() {
    let tokens = EmbeddingInput::Tokens(vec![1, 2]);
    let sent = <OpenAi as Embeddings>::encode(request("text-embedding-3-small", vec![tokens.clone()])).unwrap();
    assert_eq!(json(&sent)["input"], json!([[1, 2]]));
    let refused = <OpenAi as Embeddings>::encode(request("text-embedding-3-small", vec![text("a"), tokens])).unwrap_err();
    assert_eq!((refused.kind, refused.parameter.as_deref()), (FailureKind::Unsupported, Some("inputs[1]")));
}

#[test]
fn what_can_not_be_embedded_is_named() {
    let image = Media { source: MediaSource::Url("https://a/b.png".into()), media_type: None, name: None, detail: None, transcript: None };
    let refused = <OpenAi as Embeddings>::encode(request("m", vec![text("a"), EmbeddingInput::Media(image)])).unwrap_err();
    assert_eq!((refused.kind, refused.parameter.as_deref()), (FailureKind::Unsupported, Some("inputs[1]")));
    let nothing = <OpenAi as Embeddings>::encode(request("m", vec![])).unwrap_err();
    assert_eq!((nothing.kind, nothing.parameter.as_deref()), (FailureKind::InvalidRequest, Some("inputs")));
}

#[test]
fn a_model_of_one_length_is_asked_for_no_other() {
    let asked = |dimensions| EmbeddingRequest { dimensions: Some(dimensions), ..request("text-embedding-ada-002", vec![text("a")]) };
    assert_eq!(json(&<OpenAi as Embeddings>::encode(asked(1536)).unwrap()).get("dimensions"), None);
    let refused = <OpenAi as Embeddings>::encode(asked(256)).unwrap_err();
    assert_eq!((refused.kind, refused.parameter.as_deref()), (FailureKind::Unsupported, Some("dimensions")));
}

#[test]
fn an_answer_has_one_vector_for_each_input() {
    let context = <OpenAi as Embeddings>::encode(request("m", vec![text("a"), text("b")])).unwrap().context;
    let one = r#"{"data":[{"index":0,"embedding":[1]}]}"#;
    let short = <OpenAi as Embeddings>::decode(response(200, &[], one), context.clone()).unwrap_err();
    assert_eq!(short.kind, FailureKind::Malformed);
    let refused =
        response(429, &[("retry-after", "2")], r#"{"error":{"message":"Slow down","type":"requests","code":"rate_limit_exceeded"}}"#);
    assert_eq!(<OpenAi as Embeddings>::decode(refused, context.clone()).unwrap_err().kind, FailureKind::RateLimited);
    let hidden = response(200, &[], r#"{"error":{"message":"The server had an error","type":"server_error"}}"#);
    assert_eq!(<OpenAi as Embeddings>::decode(hidden, context).unwrap_err().kind, FailureKind::Provider);
}
