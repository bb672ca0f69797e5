//! Counting tokens: the request is that of `/responses`, without what only says how to answer.

use crate::support::{asking, body, weather_tool};
use adapter_openai::OpenAi;
use llm_gateway_adapter::Tokens;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::{ChatRequest, FailureKind, Framing};
use serde_json::json;

#[test]
fn a_prompt_is_counted_with_its_tools_and_nothing_else() {
    let request = ChatRequest { tools: vec![weather_tool()], max_output: Some(50), stream: true, ..asking("gpt-4o") };
    let sent = <OpenAi as Tokens>::encode(request).unwrap();
    assert_eq!((sent.path.as_str(), sent.framing), ("/responses/input_tokens", Framing::Whole));
    let counted = body(&sent);
    assert_eq!(counted["input"], json!([{"role": "user", "content": "2+2?"}]));
    assert_eq!(counted["tools"][0]["name"], "weather");
    assert_eq!(counted.as_object().unwrap().keys().collect::<Vec<_>>(), ["model", "input", "tools"]);
}

#[test]
fn the_count_is_read() {
    let count = |status, body: &str| <OpenAi as Tokens>::decode(response(status, &[], body), String::new());
    assert_eq!(count(200, r#"{"object":"response.input_tokens","input_tokens":11}"#).unwrap(), 11);
    assert_eq!(count(200, "{}").unwrap_err().kind, FailureKind::Malformed);
    assert_eq!(count(404, "").unwrap_err().kind, FailureKind::NotFound);
}

#[test]
fn a_server_that_has_only_the_chat_endpoint_counts_nothing() {
    let request = ChatRequest { settings: vec![("endpoint".into(), "chat".into())], ..asking("llama") };
    assert_eq!(<OpenAi as Tokens>::encode(request).unwrap_err().kind, FailureKind::Unsupported);
}
