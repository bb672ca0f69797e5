//! Embeddings and counts of tokens: what is sent, and what is made of the answers.
#![allow(clippy::unwrap_used)]

use adapter_gemini::Gemini;
use llm_gateway_adapter::embeddings::{EmbeddingInput, EmbeddingRequest};
use llm_gateway_adapter::harness::{body_text, response};
use llm_gateway_adapter::serde_json::{self, Value, json};
use llm_gateway_adapter::types::{Blob, ChatRequest, FailureKind, Framing, HttpRequest, Media, MediaSource, Message, Native, Role};
use llm_gateway_adapter::{Embeddings, Tokens};

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
fn each_input_is_a_request_of_the_batch() {
    let own = Native { dialect: "gemini".into(), value: r#"{"taskType":"RETRIEVAL_DOCUMENT","title":"T"}"#.into() };
    let asked =
        EmbeddingRequest { dimensions: Some(768), extras: vec![own], ..request("gemini-embedding-001", vec![text("a"), text("b")]) };
    let sent = <Gemini as Embeddings>::encode(asked).unwrap();
    let each = |text: &str| {
        json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, "outputDimensionality": 768,
            "taskType": "RETRIEVAL_DOCUMENT", "title": "T"})
    };
    assert_eq!(
        (sent.path.as_str(), json(&sent)),
        ("/models/gemini-embedding-001:batchEmbedContents", json!({"requests": [each("a"), each("b")]}))
    );
}

#[test]
fn media_are_embedded_by_models_that_take_them_and_tokens_by_none() {
    let media = Media {
        source: MediaSource::Blob(Blob { id: 7, size: 10 }),
        media_type: Some("image/png".into()),
        name: None,
        detail: None,
        transcript: None,
    };
    let image = EmbeddingInput::Media(media);
    let sent = <Gemini as Embeddings>::encode(request("gemini-embedding-2", vec![image.clone()])).unwrap();
    assert_eq!(json(&sent)["requests"][0]["content"]["parts"], json!([{"inlineData": {"mimeType": "image/png", "data": "<blob:7>"}}]));
    for (model, input) in [("gemini-embedding-001", image), ("gemini-embedding-2", EmbeddingInput::Tokens(vec![1]))] {
        let refused = <Gemini as Embeddings>::encode(request(model, vec![input])).unwrap_err();
        assert_eq!((refused.kind, refused.parameter.as_deref()), (FailureKind::Unsupported, Some("inputs[0]")));
    }
}

#[test]
fn shortened_vectors_are_scaled_to_length_one() {
    let body = r#"{"embeddings":[{"values":[3,4]},{"values":[1,0]}],"usageMetadata":{"promptTokenCount":4}}"#;
    let answer = <Gemini as Embeddings>::decode(response(200, &[], body), "2".into()).unwrap();
    assert_eq!(answer.vectors, [[0.6, 0.8], [1.0, 0.0]]);
    assert_eq!(answer.usage.and_then(|usage| usage.input), Some(4));
    let short = <Gemini as Embeddings>::decode(response(200, &[], body), "3".into()).unwrap_err();
    assert_eq!(short.kind, FailureKind::Malformed);
    let refused =
        <Gemini as Embeddings>::decode(response(404, &[], r#"{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}"#), "3".into());
    assert_eq!(refused.unwrap_err().kind, FailureKind::NotFound);
}

#[test]
fn the_whole_request_is_counted() {
    let messages = vec![Message::text(Role::System, "Be brief."), Message::text(Role::User, "2+2?")];
    let own = Native { dialect: "gemini".into(), value: r#"{"cachedContent":"cachedContents/1"}"#.into() };
    let sent = <Gemini as Tokens>::encode(ChatRequest { stream: true, extras: vec![own], ..ChatRequest::new("gemini-4-argon", messages) })
        .unwrap();
    assert_eq!((sent.path.as_str(), sent.framing), ("/models/gemini-4-argon:countTokens", Framing::Whole));
    let counted = &json(&sent)["generateContentRequest"];
    assert_eq!(counted["model"], "models/gemini-4-argon");
    assert_eq!(counted["systemInstruction"], json!({"parts": [{"text": "Be brief."}]}));
    assert_eq!(counted["contents"], json!([{"role": "user", "parts": [{"text": "2+2?"}]}]));
    assert_eq!(counted["cachedContent"], "cachedContents/1");
}

#[test]
fn the_count_is_read() {
    let count = |status, body: &str| <Gemini as Tokens>::decode(response(status, &[], body), String::new());
    assert_eq!(count(200, r#"{"totalTokens":31,"promptTokensDetails":[]}"#).unwrap(), 31);
    assert_eq!(count(200, "{}").unwrap_err().kind, FailureKind::Malformed);
    assert_eq!(count(503, "").unwrap_err().kind, FailureKind::Overloaded);
}
