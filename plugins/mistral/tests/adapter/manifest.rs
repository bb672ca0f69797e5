//! What the adapter says of itself and of the models.

use adapter_mistral::Mistral;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::*;
use llm_gateway_adapter::{Manifest, Models};
use std::collections::BTreeSet;

#[test]
fn every_task_has_a_model_and_no_name_stands_for_two() {
    let info = Mistral::describe();
    for task in [Task::TextGeneration, Task::Summarization, Task::SentimentAnalysis, Task::QuestionAnswering, Task::Other] {
        assert!(info.models.iter().any(|model| model.suited_to.contains(&task)), "{task:?}");
    }
    let names: Vec<&String> = info.models.iter().flat_map(|model| model.aliases.iter().chain([&model.id])).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert_eq!(info.version.split('+').next(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_list_names_each_model_once() {
    let body = r#"{"object":"list","data":[
        {"id":"mistral-small-2603","capabilities":{"completion_chat":true,"function_calling":true,"vision":true,"reasoning":true,"new":1},
         "max_context_length":262144,"aliases":["mistral-small-latest"],"deprecation":null},
        {"id":"mistral-small-latest","capabilities":{"completion_chat":true},"aliases":["mistral-small-2603"]},
        {"id":"mistral-medium-2508","aliases":[],"deprecation":"2026-08-31T12:00:00Z"},
        {"id":"mistral-embed","capabilities":{"completion_chat":false},"aliases":null}]}"#;
    let page = <Mistral as Models>::decode(response(200, &[], body), String::new()).unwrap();
    let ids: Vec<&str> = page.models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["mistral-small-2603", "mistral-medium-2508", "mistral-embed"]);
    let small = &page.models[0];
    assert_eq!((small.context_window, small.aliases.as_slice()), (Some(262_144), ["mistral-small-latest".to_owned()].as_slice()));
    let offered = small.capabilities.unwrap();
    let has = |capability: Capabilities| (offered | capability).bits() == offered.bits();
    assert!(has(Capabilities::CHAT) && has(Capabilities::REASONING) && has(Capabilities::IMAGE_INPUT) && !has(Capabilities::AUDIO_INPUT));
    assert_eq!(page.models[1].retires.as_deref(), Some("2026-08-31"));
    assert_eq!(page.models[1].capabilities, None);
    assert_eq!(page.models[2].capabilities, Some(Capabilities::EMBEDDINGS));
    assert_eq!(page.next, None);
}

#[test]
fn models_that_only_embed_come_last_and_suit_no_task() {
    let models = Mistral::describe().models;
    let first = models.iter().position(|model| model.capabilities == Some(Capabilities::EMBEDDINGS)).unwrap();
    let (chatting, embedding) = models.split_at(first);
    assert!(!chatting.is_empty() && chatting.iter().all(|model| model.capabilities.unwrap() & Capabilities::CHAT == Capabilities::CHAT));
    assert!(embedding.iter().all(|model| model.capabilities == Some(Capabilities::EMBEDDINGS) && model.suited_to.is_empty()));
}

#[test]
fn a_refused_list_is_a_failure() {
    let refused = <Mistral as Models>::decode(response(401, &[], r#"{"detail":"Unauthorized"}"#), String::new());
    assert_eq!(refused.unwrap_err().kind, FailureKind::Authentication);
    let broken = <Mistral as Models>::decode(response(200, &[], "[]"), String::new());
    assert_eq!(broken.unwrap_err().kind, FailureKind::Malformed);
}
