//! What the adapter says of itself.

#![allow(clippy::unwrap_used)]

use adapter_claude::Claude;
use llm_gateway_adapter::Manifest;

#[test]
fn the_adapter_says_what_it_is() {
    let info = Claude::describe();
    assert_eq!((info.id.as_str(), info.base_url.as_str()), ("claude", "https://api.anthropic.com/v1"));
    let credential = info.credential.unwrap();
    assert_eq!((credential.variable.as_str(), credential.header.as_str(), credential.prefix.as_str()), ("CLAUDE_API_KEY", "x-api-key", ""));
    let mut tasks: Vec<String> = info.models.iter().flat_map(|model| &model.suited_to).map(|task| format!("{task:?}")).collect();
    tasks.sort();
    tasks.dedup();
    assert_eq!(tasks.len(), 5);
    let mut ids: Vec<&String> = info.models.iter().flat_map(|model| model.aliases.iter().chain([&model.id])).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all);
    assert!(info.models.iter().all(|model| model.max_output.is_some() && model.price.is_none()));
}
