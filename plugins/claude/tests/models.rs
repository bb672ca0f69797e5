//! The list of models.

#![allow(clippy::unwrap_used, clippy::panic)]

use adapter_claude::Claude;
use llm_gateway_adapter::Models;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::Capabilities;
use serde_json::json;

#[test]
fn models_are_listed_page_by_page() {
    let first = Claude::encode(None, Vec::new()).unwrap();
    assert_eq!((first.path.as_str(), first.query.len()), ("/models", 1));
    let second = Claude::encode(Some("claude-x".into()), Vec::new()).unwrap();
    assert_eq!(second.query[1], ("after_id".to_owned(), "claude-x".to_owned()));
    let body = json!({"data": [
        {"type": "model", "id": "claude-haiku-4-5-20251001", "display_name": "Claude Haiku 4.5", "lifecycle": "deprecated",
            "max_input_tokens": 200_000, "max_tokens": 64_000, "retires_at": "2027-10-01T00:00:00Z",
            "capabilities": {"image_input": {"supported": true}, "pdf_input": {"supported": false}, "thinking": {"supported": true}}},
        {"type": "model", "id": "claude-2", "lifecycle": "retired"},
        {"type": "model", "id": "claude-new"}
    ], "has_more": true, "last_id": "claude-new"});
    let page = Claude::decode(response(200, &[], &body.to_string()), String::new()).unwrap();
    assert_eq!(page.next.as_deref(), Some("claude-new"));
    let [old, new] = page.models.as_slice() else { panic!("{:?}", page.models) };
    assert_eq!((old.context_window, old.max_output, old.retires.as_deref()), (Some(200_000), Some(64_000), Some("2027-10-01")));
    let has = |capability: Capabilities| old.capabilities.unwrap() & capability == capability;
    assert!(has(Capabilities::IMAGE_INPUT) && has(Capabilities::REASONING) && has(Capabilities::PREFILL));
    assert!(!has(Capabilities::DOCUMENT_INPUT));
    assert_eq!((new.id.as_str(), new.capabilities, new.context_window), ("claude-new", None, None));
}

#[test]
fn a_list_that_is_none_is_a_failure() {
    for (status, body) in [(200, "{}"), (200, "<html>"), (401, ""), (200, "{\"error\":{\"type\":\"api_error\"}}")] {
        assert!(Claude::decode(response(status, &[], body), String::new()).is_err(), "{status} {body}");
    }
}
