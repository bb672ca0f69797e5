//! Gemini's errors as typed failures.
#![allow(clippy::unwrap_used, clippy::panic)]

use adapter_gemini::Gemini;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::serde_json::{Value, json};
use llm_gateway_adapter::types::{Failure, FailureKind, Retry};

fn failure(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
    Gemini::decode(response(status, headers, body), String::new()).unwrap_err()
}

fn told(code: u16, status: &str, message: &str, details: Value) -> Failure {
    let body = json!({"error": {"code": code, "message": message, "status": status, "details": details}});
    failure(code, &[], &body.to_string())
}

#[test]
fn each_error_has_its_kind_and_advice() {
    use FailureKind::*;
    for (code, status, message, kind, retry) in [
        (400, "INVALID_ARGUMENT", "Invalid value at 'contents[0]'", InvalidRequest, Retry::Never),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", Authentication, Retry::Never),
        (400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", Authentication, Retry::Never),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            ContextLength,
            Retry::Never,
        ),
        (400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes.", RequestTooLarge, Retry::Never),
        (400, "INVALID_ARGUMENT", "Logprobs is not enabled for this model", Unsupported, Retry::Never),
        (400, "INVALID_ARGUMENT", "* GenerateContentRequest.model: unexpected model name format\n", NotFound, Retry::Never),
        (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", Permission, Retry::Never),
        (401, "UNAUTHENTICATED", "Request had invalid credentials", Authentication, Retry::Never),
        (402, "RESOURCE_EXHAUSTED", "Your credits are used up", QuotaExhausted, Retry::Never),
        (403, "PERMISSION_DENIED", "Your API key was reported as leaked.", Permission, Retry::Never),
        (404, "NOT_FOUND", "models/x is not found", NotFound, Retry::Never),
        (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", RateLimited, Retry::Backoff),
        (429, "RESOURCE_EXHAUSTED", "Quota exceeded, limit: 10. Please retry in 34.07s.", RateLimited, Retry::After(34_070)),
        (429, "RESOURCE_EXHAUSTED", "Quota exceeded, limit: 0, model: x. Please retry in 3s.", QuotaExhausted, Retry::Never),
        (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", QuotaExhausted, Retry::Never),
        (500, "INTERNAL", "An internal error has occurred.", Provider, Retry::Backoff),
        (503, "UNAVAILABLE", "The model is overloaded.", Overloaded, Retry::Backoff),
        (504, "DEADLINE_EXCEEDED", "Deadline expired.", Timeout, Retry::Backoff),
    ] {
        let failure = told(code, status, message, json!([]));
        assert_eq!((failure.kind, &failure.retry), (kind, &retry), "{message}");
        assert_eq!((failure.message.as_str(), failure.provider_type.as_deref()), (message, Some(status)));
        assert_eq!(failure.provider_code, Some(code.to_string()), "{message}");
    }
}

#[test]
fn a_bad_key_is_known_by_its_reason() {
    let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]);
    let failure = told(400, "INVALID_ARGUMENT", "Bad key", details);
    assert_eq!((failure.kind, failure.provider_code.as_deref()), (FailureKind::Authentication, Some("API_KEY_INVALID")));
}

#[test]
fn quotas_say_when_or_never() {
    let quota = |id: &str| {
        let violations = json!([{"quotaMetric": "m", "quotaId": id}]);
        json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}])
    };
    let a_minutes = told(429, "RESOURCE_EXHAUSTED", "Quota", quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"));
    assert_eq!((a_minutes.kind, a_minutes.retry), (FailureKind::RateLimited, Retry::After(34_400)));
    let a_days = told(429, "RESOURCE_EXHAUSTED", "Quota", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"));
    assert_eq!((a_days.kind, a_days.retry), (FailureKind::QuotaExhausted, Retry::Never));
}

#[test]
fn a_retry_header_counts_before_the_body() {
    let body = json!({"error": {"code": 429, "message": "Please retry in 9s", "status": "RESOURCE_EXHAUSTED"}}).to_string();
    assert_eq!(failure(429, &[("retry-after", "2")], &body).retry, Retry::After(2000));
}

#[test]
fn the_field_at_fault_is_named() {
    let violation = |field: &str| json!([{"fieldViolations": [{"field": field, "description": "d"}]}]);
    for (field, parameter) in [
        ("generation_config.temperature", "sampling.temperature"),
        ("generationConfig.maxOutputTokens", "max-output"),
        ("contents[0].parts", "contents[0].parts"),
    ] {
        assert_eq!(told(400, "INVALID_ARGUMENT", "m", violation(field)).parameter.as_deref(), Some(parameter));
    }
}

#[test]
fn errors_of_other_shapes_are_told_too() {
    let wrapped = failure(429, &[], r#"[{"error":{"code":429,"message":"Slow down","status":"RESOURCE_EXHAUSTED"}}]"#);
    assert_eq!((wrapped.kind, wrapped.message.as_str()), (FailureKind::RateLimited, "Slow down"));
    let plain = failure(401, &[], r#"{"error":"invalid_grant"}"#);
    assert_eq!((plain.kind, plain.message.as_str()), (FailureKind::Authentication, "invalid_grant"));
    let html = failure(502, &[], "<html>Bad Gateway</html>");
    assert_eq!((html.kind, html.retry), (FailureKind::Provider, Retry::Backoff));
    assert!(html.message.contains("502") && html.message.contains("Bad Gateway"));
    for body in ["", "null", "[]", "[7]", "{}", r#"{"error":null}"#, r#"{"error":[]}"#, r#"{"error":{"code":"x","details":{}}}"#] {
        assert_eq!(failure(503, &[], body).kind, FailureKind::Overloaded, "{body}");
    }
}

#[test]
fn an_error_with_status_200_is_a_failure() {
    let body = json!({"error": {"message": "Try later", "status": "RESOURCE_EXHAUSTED"}}).to_string();
    assert_eq!(failure(200, &[], &body).kind, FailureKind::RateLimited);
}
