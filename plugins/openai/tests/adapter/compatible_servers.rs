//! Servers that speak OpenAI's format with differences: Ollama, vLLM and their like.

use crate::support::*;
use adapter_openai::OpenAi;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::{ChatRequest, FailureKind, FinishReason, Message, Part, PartBody, Role};
use llm_gateway_adapter::{Chat, Models};
use serde_json::json;

fn with(name: &str, value: &str, request: ChatRequest) -> ChatRequest {
    ChatRequest { settings: vec![(name.to_owned(), value.to_owned())], ..request }
}

#[test]
fn settings_name_the_fields_that_a_server_knows() {
    let limited = ChatRequest { max_output: Some(9), user: Some("u".into()), ..asking("llama3.3:70b") };
    let sent = body(&encode(with("max-tokens-field", "max_tokens", limited)));
    assert_eq!((&sent["max_tokens"], &sent["max_completion_tokens"], &sent["user"]), (&json!(9), &json!(null), &json!("u")));
    let told = conversation("llama3.3:70b", vec![Message::text(Role::Developer, "Be brief.")]);
    assert_eq!(body(&encode(with("developer-role", "system", told)))["messages"][0]["role"], "system");
}

#[test]
fn open_reasoning_is_thinking_and_goes_back_where_that_is_set() {
    for field in ["reasoning_content", "reasoning"] {
        let whole =
            decode("", &format!(r#"{{"id":"c1","choices":[{{"message":{{"{field}":"hm","content":"4"}},"finish_reason":"stop"}}]}}"#));
        let cut = streamed(
            "",
            &sse(&[
                &format!(r#"{{"id":"c1","choices":[{{"index":0,"delta":{{"role":"assistant","{field}":"h"}}}}]}}"#),
                &format!(r#"{{"id":"c1","choices":[{{"index":0,"delta":{{"{field}":"m"}}}}]}}"#),
                r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"4"}}]}"#,
                r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                "[DONE]",
            ]),
        );
        assert_eq!(whole, cut, "{field}");
        assert_eq!(whole.choices[0].parts[0], Part { replay: replay(""), ..Part::new(PartBody::Thinking("hm".into())) });
        let again = conversation("deepseek", vec![assistant(whole.choices[0].parts.clone()), user(vec![text("And 3+3?")])]);
        assert_eq!(body(&encode(again.clone()))["messages"][0], json!({"role": "assistant", "content": "4"}));
        assert_eq!(
            body(&encode(with("reasoning-field", field, again)))["messages"][0],
            json!({"role": "assistant", "content": "4", field: "hm"})
        );
    }
}

#[test]
fn reasoning_under_both_names_is_told_once() {
    let answer =
        decode("", r#"{"choices":[{"message":{"reasoning_content":"hm","reasoning":"hm","content":"4"},"finish_reason":"stop"}]}"#);
    assert_eq!(answer.choices[0].parts.len(), 2);
}

#[test]
fn calls_that_all_have_index_0_are_kept_apart() {
    let answer = streamed(
        "",
        &sse(&[
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{\"x\":2}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(answer.choices[0].parts, [call("a", "f", r#"{"x":1}"#), call("b", "f", r#"{"x":2}"#)]);
    assert_eq!(answer.choices[0].finish.reason, FinishReason::ToolCalls);
}

#[test]
fn a_name_may_come_after_the_first_arguments_or_never() {
    let answer = streamed(
        "",
        &sse(&[
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"}"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(answer.choices[0].parts, [call("a", "f", "{}"), call("b", "", "{}")]);
}

#[test]
fn arguments_that_are_an_object_become_text() {
    let answer = decode("", r#"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}}]}}]}"#);
    assert_eq!(answer.choices[0].parts, [call("a", "f", r#"{"x":1}"#)]);
}

#[test]
fn the_call_before_there_were_tool_calls_is_one() {
    let whole = decode("", r#"{"choices":[{"message":{"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}]}"#);
    let cut = streamed(
        "",
        &sse(&[
            r#"{"choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":"{"}}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"function_call":{"arguments":"}"}},"finish_reason":"function_call"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(whole, cut);
    assert_eq!(whole.choices[0].parts, [call("", "f", "{}")]);
}

#[test]
fn errors_of_their_shapes_are_read() {
    let failure = |status, body: &str| <OpenAi as Chat>::decode(response(status, &[], body), String::new()).unwrap_err();
    let ollama = failure(404, r#"{"error":"model 'x' not found"}"#);
    assert_eq!((ollama.kind, ollama.message.as_str()), (FailureKind::NotFound, "model 'x' not found"));
    let vllm = failure(
        400,
        r#"{"object":"error","message":"This model's maximum context length is 10 tokens.","type":"BadRequestError","param":null,"code":400}"#,
    );
    assert_eq!(
        (vllm.kind, vllm.provider_type.as_deref(), vllm.provider_code.as_deref()),
        (FailureKind::ContextLength, Some("BadRequestError"), Some("400"))
    );
    assert_eq!(failure(422, r#"{"detail":"bad field"}"#).message, "bad field");
    assert_eq!(failure(422, r#"{"detail":[{"loc":["body"]}]}"#).message, r#"[{"loc":["body"]}]"#);
}

#[test]
fn a_list_of_models_needs_only_ids() {
    let page =
        <OpenAi as Models>::decode(response(200, &[], r#"{"data":[{"id":"a"},{"id":"b","object":"model"},{"id":"a"}]}"#), String::new());
    let ids: Vec<String> = page.unwrap().models.into_iter().map(|model| model.id).collect();
    assert_eq!(ids, ["a", "b"]);
}
