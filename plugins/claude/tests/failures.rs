//! What Claude's errors mean, in each shape that they come in.

#![allow(clippy::unwrap_used)]

use adapter_claude::Claude;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::response;
use llm_gateway_adapter::types::{Failure, FailureKind, Native, Retry};
use serde_json::{Value, json};

fn fields(extras: &[Native]) -> Value {
    extras.first().map_or(Value::Null, |native| serde_json::from_str(&native.value).unwrap())
}

fn fail(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
    Claude::decode(response(status, headers, body), String::new()).unwrap_err()
}

fn error(kind: &str, message: &str, code: Option<&str>) -> String {
    let mut error = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"});
    if let Some(code) = code {
        error["error"]["details"] = json!({"error_code": code});
    }
    error.to_string()
}

#[test]
fn each_error_type_has_its_kind() {
    for (status, kind, expected, retry) in [
        (400, "invalid_request_error", FailureKind::InvalidRequest, Retry::Never),
        (401, "authentication_error", FailureKind::Authentication, Retry::Never),
        (402, "billing_error", FailureKind::QuotaExhausted, Retry::Never),
        (403, "permission_error", FailureKind::Permission, Retry::Never),
        (404, "not_found_error", FailureKind::NotFound, Retry::Never),
        (409, "conflict_error", FailureKind::Provider, Retry::Backoff),
        (413, "request_too_large", FailureKind::RequestTooLarge, Retry::Never),
        (429, "rate_limit_error", FailureKind::RateLimited, Retry::Backoff),
        (500, "api_error", FailureKind::Provider, Retry::Backoff),
        (504, "timeout_error", FailureKind::Timeout, Retry::Backoff),
        (529, "overloaded_error", FailureKind::Overloaded, Retry::Backoff),
        (503, "added_later_error", FailureKind::Overloaded, Retry::Backoff),
    ] {
        let failure = fail(status, &[], &error(kind, "words", None));
        assert_eq!((failure.kind, failure.retry, failure.message.as_str()), (expected, retry, "words"), "{kind}");
        assert_eq!(failure.provider_type.as_deref(), Some(kind));
        assert_eq!(fields(&failure.extras), json!({"request_id": "req_1"}));
    }
}

#[test]
fn codes_and_words_say_what_the_type_does_not() {
    for (status, kind, message, code, expected) in [
        (429, "rate_limit_error", "Limit", Some("enforced_spend_limit_reached"), FailureKind::QuotaExhausted),
        (429, "rate_limit_error", "Limit", Some("contract_spend_limit_reached"), FailureKind::QuotaExhausted),
        (429, "rate_limit_error", "Slower", Some("ramp_limit_exceeded"), FailureKind::RateLimited),
        (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", None, FailureKind::ContextLength),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", None, FailureKind::QuotaExhausted),
        (400, "invalid_request_error", "Output blocked by content filtering policy", None, FailureKind::ContentRefused),
        (400, "invalid_request_error", "messages.0.content.0.image.source: image exceeds 5 MB maximum", None, FailureKind::RequestTooLarge),
        (400, "invalid_request_error", "thinking: adaptive thinking is not supported on this model", None, FailureKind::Unsupported),
    ] {
        let failure = fail(status, &[("retry-after", "9")], &error(kind, message, code));
        assert_eq!((failure.kind, failure.provider_code.as_deref()), (expected, code), "{message}");
        let waits = expected == FailureKind::RateLimited;
        assert_eq!(failure.retry, if waits { Retry::After(9000) } else { Retry::Never }, "{message}");
    }
}

#[test]
fn the_field_at_fault_is_named_in_the_contracts_words() {
    for (message, parameter) in [
        ("max_tokens: 200000 > 64000, which is the maximum", Some("max-output")),
        ("temperature: Extra inputs are not permitted", Some("sampling.temperature")),
        ("output_config.format.schema: For 'object' type", Some("response-format.schema")),
        ("tools.0.custom.name: String should match", Some("tools[0].custom.name")),
        ("messages.3.content.0.text: cannot be empty", Some("messages.3.content.0.text")),
        ("model: bad model", Some("model")),
        ("This is: not a path", None),
        ("No colon", None),
    ] {
        assert_eq!(fail(400, &[], &error("invalid_request_error", message, None)).parameter.as_deref(), parameter, "{message}");
    }
}

#[test]
fn a_body_of_any_other_shape_is_a_failure_by_its_status() {
    for (status, body, kind) in [
        (502, "<html>Bad gateway</html>", FailureKind::Provider),
        (529, "", FailureKind::Overloaded),
        (401, "[]", FailureKind::Authentication),
        (429, "{\"error\":\"slow down\"}", FailureKind::RateLimited),
        (200, "<html>Hello</html>", FailureKind::Malformed),
        (200, "{}", FailureKind::Malformed),
        (200, "", FailureKind::Malformed),
        (200, "{\"type\":\"message\",\"content\":7}", FailureKind::Malformed),
    ] {
        assert_eq!(fail(status, &[], body).kind, kind, "{status} {body}");
    }
    let hidden = fail(200, &[], &error("overloaded_error", "Overloaded", None));
    assert_eq!(hidden.kind, FailureKind::Overloaded);
    assert_eq!(fail(500, &[("x-should-retry", "false")], &error("api_error", "No", None)).retry, Retry::Never);
}
