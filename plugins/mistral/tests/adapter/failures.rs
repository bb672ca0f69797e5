//! Errors in each shape that Mistral has been seen to use.

use adapter_mistral::Mistral;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::*;

fn failed(status: u16, body: &str) -> Failure {
    failed_with(status, &[], body)
}

fn failed_with(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
    Mistral::decode(response(status, headers, body), String::new()).unwrap_err()
}

#[test]
fn the_plain_shape_tells_type_and_code() {
    let failure = failed(
        400,
        r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500","raw_status_code":400}"#,
    );
    assert_eq!(
        failure,
        Failure {
            provider_type: Some("invalid_model".to_owned()),
            provider_code: Some("1500".to_owned()),
            ..Failure::new(FailureKind::NotFound, "Invalid model: x")
        }
    );
}

#[test]
fn validation_errors_become_sentences_and_name_the_field() {
    let list = r#"[{"type":"less_than_equal","loc":["body","temperature"],"msg":"Input should be at most 1.5","input":9},
        {"type":"enum","loc":["body","tools","list[Tool]",0,"type"],"msg":"Input should be 'function'","input":"x"}]"#;
    let sentences = "temperature: Input should be at most 1.5; tools[0].type: Input should be 'function'";
    for body in [
        format!(r#"{{"detail":{list}}}"#),
        format!(r#"{{"object":"error","message":{{"detail":{list}}},"type":"invalid_request_error","code":null}}"#),
        format!(r#"{{"object":"Error","message":{list}}}"#),
    ] {
        let failure = failed(422, &body);
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::InvalidRequest, sentences), "{body}");
        assert_eq!(failure.parameter.as_deref(), Some("sampling.temperature"), "{body}");
        assert_eq!(failure.retry, Retry::Never, "{body}");
    }
}

#[test]
fn other_shapes_still_give_their_words() {
    for (status, body, kind, message) in [
        (401, r#"{"detail":"Unauthorized"}"#, FailureKind::Authentication, "Unauthorized"),
        (401, r#"{"message":"Unauthorized","request_id":"r"}"#, FailureKind::Authentication, "Unauthorized"),
        (429, r#"{"message":"Requests rate limit exceeded"}"#, FailureKind::RateLimited, "Requests rate limit exceeded"),
        (502, "<html>Bad gateway</html>", FailureKind::Provider, "the provider answered with status 502: <html>Bad gateway</html>"),
        (500, "", FailureKind::Provider, "the provider answered with status 500 and no body"),
        (400, r#"{"error":{"message":"no"}}"#, FailureKind::InvalidRequest, "no"),
        (400, r#"{"message":{"odd":1}}"#, FailureKind::InvalidRequest, r#"{"odd":1}"#),
        (400, "[]", FailureKind::InvalidRequest, "the provider answered with status 400: []"),
    ] {
        let failure = failed(status, body);
        assert_eq!((failure.kind, failure.message.as_str()), (kind, message), "{status} {body}");
    }
}

#[test]
fn kinds_and_retries_follow_status_code_and_words() {
    let long = r#"{"message":"Prompt contains 300000 tokens, too large for model with 131072 maximum context length","code":"3051"}"#;
    for (status, body, kind, retry) in [
        (400, long, FailureKind::ContextLength, Retry::Never),
        (400, r#"{"message":"Audio input is not enabled for this model","code":"3051"}"#, FailureKind::Unsupported, Retry::Never),
        (
            400,
            r#"{"message":"Expected last role User","type":"invalid_request_message_order","code":"3230"}"#,
            FailureKind::InvalidRequest,
            Retry::Never,
        ),
        (402, "{}", FailureKind::QuotaExhausted, Retry::Never),
        (403, r#"{"message":"Forbidden"}"#, FailureKind::Permission, Retry::Never),
        (403, r#"{"message":"Blocked by a Guardrail"}"#, FailureKind::ContentRefused, Retry::Never),
        (404, "", FailureKind::NotFound, Retry::Never),
        (408, "", FailureKind::Timeout, Retry::Never),
        (413, "", FailureKind::RequestTooLarge, Retry::Never),
        (422, r#"{"detail":[{"loc":["body","top_k"],"msg":"Extra inputs are not permitted"}]}"#, FailureKind::Unsupported, Retry::Never),
        (429, r#"{"message":"Service tier capacity exceeded for this model.","code":"3505"}"#, FailureKind::Overloaded, Retry::Backoff),
        (500, "", FailureKind::Provider, Retry::Backoff),
        (503, "", FailureKind::Overloaded, Retry::Backoff),
        (504, "", FailureKind::Timeout, Retry::Backoff),
    ] {
        let failure = failed(status, body);
        assert_eq!((failure.kind, &failure.retry), (kind, &retry), "{status} {body}");
    }
}

#[test]
fn retry_after_is_obeyed_where_a_retry_makes_sense() {
    let headers = [("retry-after", "2")];
    assert_eq!(failed_with(429, &headers, "{}").retry, Retry::After(2_000));
    assert_eq!(failed_with(401, &headers, "{}").retry, Retry::Never);
}

#[test]
fn an_error_within_status_200_is_a_failure() {
    let failure = failed(200, r#"{"object":"error","message":"slow down","type":"rate_limited","code":"1300","raw_status_code":429}"#);
    assert_eq!((failure.kind, failure.retry), (FailureKind::RateLimited, Retry::Backoff));
    for body in ["", "<html>", "{}", r#"{"choices":[]}"#, "null", r#"{"choices":5}"#] {
        assert_eq!(failed(200, body).kind, FailureKind::Malformed, "{body}");
    }
}

#[test]
fn a_field_at_fault_is_named_in_the_contracts_words() {
    for (loc, parameter) in [
        (r#"["body","messages",3,"user","content"]"#, "messages"),
        (r#"["body","tool_choice"]"#, "tool-choice"),
        (r#"["body","response_format","json_schema","name"]"#, "response-format.json_schema.name"),
        (r#"["body","novelty"]"#, "novelty"),
    ] {
        let failure = failed(422, &format!(r#"{{"detail":[{{"loc":{loc},"msg":"bad"}}]}}"#));
        assert_eq!(failure.parameter.as_deref(), Some(parameter));
    }
    assert_eq!(failed(400, r#"{"message":"bad","param":"max_tokens"}"#).parameter.as_deref(), Some("max-output"));
}
