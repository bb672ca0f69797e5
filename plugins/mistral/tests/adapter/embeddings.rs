//! Embeddings, and the lack of a count.

use adapter_mistral::Mistral;
use llm_gateway_adapter::embeddings::{EmbeddingInput, EmbeddingRequest};
use llm_gateway_adapter::harness::{body_text, response};
use llm_gateway_adapter::types::*;
use llm_gateway_adapter::{Embeddings, Tokens};
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
fn texts_are_asked_for_in_base64_in_mistrals_own_words() {
    let own = Native { dialect: "mistral".into(), value: r#"{"output_dtype":"int8","metadata":{"a":1}}"#.into() };
    let asked = EmbeddingRequest {
        dimensions: Some(256),
        user: Some("u1".into()),
        extras: vec![own],
        ..request("codestral-embed", vec![text("a")])
    };
    let sent = <Mistral as Embeddings>::encode(asked).unwrap();
    let expected =
        json!({"model": "codestral-embed", "input": ["a"], "output_dimension": 256, "encoding_format": "base64", "metadata": {"a": 1}});
    assert_eq!((sent.path.as_str(), json(&sent)), ("/embeddings", expected));
    assert_eq!(sent.dropped.iter().map(|dropped| dropped.parameter.as_str()).collect::<Vec<_>>(), ["user"]);
}

#[test]
fn what_can_not_be_embedded_is_named() {
    let refused = <Mistral as Embeddings>::encode(request("mistral-embed", vec![text("a"), EmbeddingInput::Tokens(vec![1])])).unwrap_err();
    assert_eq!((refused.kind, refused.parameter.as_deref()), (FailureKind::Unsupported, Some("inputs[1]")));
    let shorter = EmbeddingRequest { dimensions: Some(256), ..request("mistral-embed", vec![text("a")]) };
    let refused = <Mistral as Embeddings>::encode(shorter).unwrap_err();
    assert_eq!((refused.kind, refused.parameter.as_deref()), (FailureKind::Unsupported, Some("dimensions")));
    assert_eq!(<Mistral as Embeddings>::encode(request("m", vec![])).unwrap_err().kind, FailureKind::InvalidRequest);
}

#[test]
fn a_bad_answer_is_a_failure_in_mistrals_words_if_there_are_any() {
    let decode = |status, body: &str| <Mistral as Embeddings>::decode(response(status, &[], body), "1".into());
    assert_eq!(decode(200, r#"{"data":[{"index":0,"embedding":[0.5]}]}"#).unwrap().vectors, [[0.5]]);
    let unknown = r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#;
    assert_eq!(decode(400, unknown).unwrap_err().kind, FailureKind::NotFound);
    assert_eq!(decode(200, unknown).unwrap_err().kind, FailureKind::NotFound);
    assert_eq!(decode(200, r#"{"data":[]}"#).unwrap_err().kind, FailureKind::Malformed);
}

#[test]
fn tokens_are_estimated_and_not_counted() {
    let ask = || ChatRequest::new("mistral-large-4", vec![Message::text(Role::User, "How many tokens is this?")]);
    assert!((8..14).contains(&Mistral::estimate(ask())), "{}", Mistral::estimate(ask()));
    assert_eq!(<Mistral as Tokens>::encode(ask()).unwrap_err().kind, FailureKind::Unsupported);
}
