//! Errors of OpenAI's, in every shape that the wire reference names.

use adapter_openai::OpenAi;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::{Failure, FailureKind, Retry};

/// Both endpoints have the same errors.
fn failure(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
    let chat = <OpenAi as Chat>::decode(response(status, headers, body), String::new()).unwrap_err();
    let responses = <OpenAi as Chat>::decode(response(status, headers, body), "responses".into()).unwrap_err();
    assert_eq!(chat, responses);
    chat
}

fn error(message: &str, kind: &str, code: &str) -> String {
    format!(r#"{{"error":{{"message":"{message}","type":"{kind}","param":null,"code":{code}}}}}"#)
}

#[test]
fn statuses_codes_and_words_make_the_kind() {
    use FailureKind::*;
    for (status, message, kind, code, expected, retry) in [
        (400, "no", "invalid_request_error", "null", InvalidRequest, Retry::Never),
        (400, "no", "invalid_request_error", r#""unsupported_parameter""#, Unsupported, Retry::Never),
        (400, "no", "invalid_request_error", r#""unsupported_value""#, Unsupported, Retry::Never),
        (400, "no", "invalid_request_error", r#""context_length_exceeded""#, ContextLength, Retry::Never),
        (400, "no", "invalid_request_error", r#""invalid_json_schema""#, InvalidRequest, Retry::Never),
        (400, "no", "invalid_request_error", r#""string_above_max_length""#, RequestTooLarge, Retry::Never),
        (400, "no", "invalid_request_error", r#""content_policy_violation""#, ContentRefused, Retry::Never),
        (
            400,
            "Function tools with reasoning_effort are not supported for gpt-5.6-sol",
            "invalid_request_error",
            "null",
            Unsupported,
            Retry::Never,
        ),
        (400, "invalid model ID", "invalid_request_error", "null", NotFound, Retry::Never),
        (401, "no", "invalid_request_error", r#""invalid_api_key""#, Authentication, Retry::Never),
        (401, "You have insufficient permissions for this operation.", "invalid_request_error", "null", Permission, Retry::Never),
        (403, "no", "x", r#""unsupported_country_region_territory""#, Permission, Retry::Never),
        (404, "no", "invalid_request_error", r#""model_not_found""#, NotFound, Retry::Never),
        (408, "no", "x", "null", Timeout, Retry::Backoff),
        (409, "no", "x", "null", Provider, Retry::Backoff),
        (413, "no", "x", "null", RequestTooLarge, Retry::Never),
        (429, "Rate limit reached", "requests", r#""rate_limit_exceeded""#, RateLimited, Retry::Backoff),
        (429, "Request too large for gpt-5.4", "tokens", r#""rate_limit_exceeded""#, RequestTooLarge, Retry::Never),
        (429, "slow", "rate_limit_error", r#""slow_down""#, RateLimited, Retry::Backoff),
        (429, "pay", "insufficient_quota", r#""insufficient_quota""#, QuotaExhausted, Retry::Never),
        (429, "pay", "insufficient_quota", r#""project_spend_limit_exceeded""#, QuotaExhausted, Retry::Never),
        (429, "pay", "x", r#""credit_balance_exhausted""#, QuotaExhausted, Retry::Never),
        (500, "no", "server_error", "null", Provider, Retry::Backoff),
        (502, "no", "server_error", "null", Provider, Retry::Backoff),
        (503, "no", "server_error", r#""slow_down""#, Overloaded, Retry::Backoff),
        (503, "no", "service_unavailable_error", r#""server_is_overloaded""#, Overloaded, Retry::Backoff),
        (504, "no", "x", "null", Timeout, Retry::Backoff),
    ] {
        let failure = failure(status, &[], &error(message, kind, code));
        assert_eq!((failure.kind, failure.retry), (expected, retry), "{status} {message} {kind} {code}");
        assert_eq!((failure.message.as_str(), failure.provider_type.as_deref()), (message, Some(kind)));
    }
}

#[test]
fn the_contracts_example() {
    let failure = failure(
        429,
        &[("retry-after", "2")],
        r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#,
    );
    assert_eq!(
        failure,
        Failure {
            provider_type: Some("requests".into()),
            provider_code: Some("rate_limit_exceeded".into()),
            retry: Retry::After(2000),
            ..Failure::new(FailureKind::RateLimited, "Rate limit reached")
        }
    );
}

#[test]
fn headers_rule_over_words_when_to_retry() {
    let body = error("Rate limit reached. Please try again in 6.57s. Visit ..", "tokens", r#""rate_limit_exceeded""#);
    assert_eq!(failure(429, &[], &body).retry, Retry::After(6570));
    assert_eq!(failure(429, &[("retry-after-ms", "20")], &body).retry, Retry::After(20));
    assert_eq!(failure(429, &[("x-should-retry", "false")], &body).retry, Retry::Never);
    assert_eq!(failure(400, &[("x-should-retry", "true")], &error("no", "x", "null")).retry, Retry::Backoff);
    let minutes = error("Please try again in 1m30s.", "tokens", "null");
    assert_eq!(failure(429, &[], &minutes).retry, Retry::After(90_000));
}

#[test]
fn the_field_at_fault_is_named_in_the_contracts_terms() {
    for (param, expected) in [
        ("max_tokens", "max-output"),
        ("temperature", "sampling.temperature"),
        ("reasoning_effort", "reasoning.effort"),
        ("reasoning.effort", "reasoning.effort"),
        ("tools[2].function.parameters", "tools[2].parameters"),
        ("tools[2].parameters", "tools[2].parameters"),
        ("text.format.schema", "response-format.schema"),
        ("messages[0].content[1].file.file_data", "messages[0].content[1].file.file_data"),
    ] {
        let body = format!(r#"{{"error":{{"message":"no","type":"invalid_request_error","param":"{param}"}}}}"#);
        assert_eq!(failure(400, &[], &body).parameter.as_deref(), Some(expected), "{param}");
    }
}

#[test]
fn a_body_that_is_no_json_is_quoted() {
    let html = failure(502, &[], &format!("<html>{}</html>", "x".repeat(1000)));
    assert_eq!((html.kind, &html.retry), (FailureKind::Provider, &Retry::Backoff));
    assert!(html.message.starts_with("the provider answered with status 502: <html>xxx") && html.message.len() < 600, "{}", html.message);
    assert_eq!(failure(500, &[], "").message, "the provider answered with status 500 and no body");
    assert_eq!(failure(403, &[], "[]").kind, FailureKind::Permission);
}

#[test]
fn a_code_that_is_a_number_or_a_message_that_is_missing_is_no_obstacle() {
    let failure = failure(400, &[], r#"[{"error":{"type":"x","code":1500}}]"#);
    assert_eq!((failure.provider_code.as_deref(), failure.message.as_str()), (Some("1500"), "1500"));
}
