//! What the adapter says of itself, and the list of models.

use adapter_openai::OpenAi;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::{Capabilities, FailureKind, HttpMethod, Task};
use llm_gateway_adapter::{Manifest, Models};
use std::collections::HashSet;

#[test]
fn it_introduces_itself() {
    let info = OpenAi::describe();
    let credential = info.credential.unwrap();
    assert_eq!((info.id.as_str(), info.base_url.as_str()), ("openai", "https://api.openai.com/v1"));
    assert_eq!(
        (credential.variable.as_str(), credential.header.as_str(), credential.prefix.as_str()),
        ("OPENAI_API_KEY", "authorization", "Bearer ")
    );
    assert!(info.version.starts_with(env!("CARGO_PKG_VERSION")), "{}", info.version);
    assert_eq!(info.request_id_header.as_deref(), Some("x-request-id"));
}

#[test]
fn every_task_has_a_model_and_no_model_stands_twice() {
    let models = OpenAi::describe().models;
    for task in [Task::TextGeneration, Task::Summarization, Task::SentimentAnalysis, Task::QuestionAnswering, Task::Other] {
        assert!(models.iter().any(|model| model.suited_to.contains(&task)), "{task:?}");
    }
    let ids: HashSet<&str> = models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids.len(), models.len());
    assert!(models[0].suited_to.contains(&Task::TextGeneration) && models[0].retires.is_none());
}

#[test]
fn models_that_only_embed_come_last_and_suit_no_task() {
    let models = OpenAi::describe().models;
    let first = models.iter().position(|model| model.capabilities == Some(Capabilities::EMBEDDINGS)).unwrap();
    let (chatting, embedding) = models.split_at(first);
    assert!(!chatting.is_empty() && chatting.iter().all(|model| model.capabilities.unwrap() & Capabilities::CHAT == Capabilities::CHAT));
    assert!(embedding.iter().all(|model| model.capabilities == Some(Capabilities::EMBEDDINGS) && model.suited_to.is_empty()));
}

#[test]
fn capabilities_follow_the_family() {
    let models = OpenAi::describe().models;
    let of = |id: &str| models.iter().find(|model| model.id == id).unwrap().capabilities.unwrap();
    let has = |id: &str, wanted: Capabilities| of(id) & wanted == wanted;
    assert!(has("gpt-5.6-terra", Capabilities::REASONING | Capabilities::CACHE_BREAKPOINTS | Capabilities::TOOLS));
    for refused in [Capabilities::SAMPLING, Capabilities::STOP_SEQUENCES, Capabilities::PREFILL] {
        assert!(!has("gpt-5.6-terra", refused), "{refused:?}");
    }
    assert!(has("gpt-4o", Capabilities::SAMPLING | Capabilities::LOGPROBS) && !has("gpt-4o", Capabilities::REASONING));
    assert!(has("gpt-audio", Capabilities::AUDIO_OUTPUT) && !has("gpt-audio", Capabilities::IMAGE_INPUT));
}

#[test]
fn the_list_of_models_is_one_page() {
    let request = <OpenAi as Models>::encode(None, vec![]).unwrap();
    assert_eq!((request.method, request.path.as_str()), (HttpMethod::Get, "/models"));
    let body = r#"{"object":"list","data":[{"id":"gpt-5","object":"model","created":1754425777,"owned_by":"system","shutdown_date":"2026-12-11"},{"id":"gpt-6-sol","object":"model","created":2,"owned_by":"system"}]}"#;
    let page = <OpenAi as Models>::decode(response(200, &[], body), String::new()).unwrap();
    let said: Vec<_> = page.models.iter().map(|model| (model.id.as_str(), model.retires.as_deref())).collect();
    assert_eq!(said, [("gpt-5", Some("2026-12-11")), ("gpt-6-sol", None)]);
    assert_eq!(page.models[1].extras[0].value, r#"{"created":2,"owned_by":"system"}"#);
    assert_eq!(page.next, None);
}

#[test]
fn a_list_that_is_none_is_a_failure() {
    let failure = |status, body| <OpenAi as Models>::decode(response(status, &[], body), String::new()).unwrap_err();
    assert_eq!(failure(401, r#"{"error":{"message":"no","code":"invalid_api_key"}}"#).kind, FailureKind::Authentication);
    assert_eq!(failure(200, "<html>").kind, FailureKind::Malformed);
}
