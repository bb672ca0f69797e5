//! Errors in Claude's terms: `{"type":"error","error":{"type","message","details"},"request_id"}`, before an answer or in the middle of one.
//!
//! The type says most. Some of what a caller or the router must know stands only in the code (`details.error_code`), and some only in the
//! words of an `invalid_request_error`: a spent limit, a prompt too long, a model that can't.

use crate::answer::natives;
use crate::serde_json;
use crate::wire::Fields;
use llm_gateway_adapter::failure::{by_status, retry_advice, unreadable_body};
use llm_gateway_adapter::types::{Failure, FailureKind, HttpResponse, Retry};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: ErrorObject,
    request_id: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ErrorObject {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    details: Option<Value>,
}

/// What an `invalid_request_error` means by its words, where it is not plainly the caller's mistake. The first that is found counts.
const BY_WORDS: [(&str, FailureKind); 13] = [
    ("prompt is too long", FailureKind::ContextLength),
    ("exceed context limit", FailureKind::ContextLength),
    ("exceeds the context window", FailureKind::ContextLength),
    ("credit balance is too low", FailureKind::QuotaExhausted),
    ("usage limits", FailureKind::QuotaExhausted),
    ("spend limit", FailureKind::QuotaExhausted),
    ("content filtering policy", FailureKind::ContentRefused),
    ("image exceeds", FailureKind::RequestTooLarge),
    ("PDF pages", FailureKind::RequestTooLarge),
    ("many-image requests", FailureKind::RequestTooLarge),
    ("not supported", FailureKind::Unsupported),
    ("does not support", FailureKind::Unsupported),
    ("not available for this model", FailureKind::Unsupported),
];

/// The provider's fields by the contract's paths.
const PARAMETERS: [(&str, &str); 14] = [
    ("model", "model"),
    ("max_tokens", "max-output"),
    ("system", "messages"),
    ("temperature", "sampling.temperature"),
    ("top_p", "sampling.top-p"),
    ("top_k", "sampling.top-k"),
    ("stop_sequences", "stop"),
    ("thinking", "reasoning"),
    ("output_config.effort", "reasoning.effort"),
    ("output_config.format.schema", "response-format.schema"),
    ("output_config.format", "response-format"),
    ("tool_choice", "tool-choice"),
    ("metadata.user_id", "user"),
    ("tools", "tools"),
];

/// Of an answer whose status is not 2xx.
pub fn of_response(response: &HttpResponse) -> Failure {
    let failure = match serde_json::from_slice::<ErrorBody>(&response.body) {
        Ok(body) => body.failure(response.status),
        Err(_) => {
            let (kind, retry) = by_status(response.status);
            Failure { retry, ..Failure::new(kind, unreadable_body(response.status, &response.body)) }
        }
    };
    // Waiting does not bring money back, whatever the headers say.
    let retry = if failure.kind == FailureKind::QuotaExhausted { Retry::Never } else { retry_advice(&response.headers, failure.retry) };
    Failure { retry, ..failure }
}

/// An error in an answer that had begun well. The headers of a 200 say nothing of retrying.
pub fn in_success(body: &[u8]) -> Option<Failure> {
    const UNSAID: u16 = 500;
    serde_json::from_slice::<ErrorBody>(body).ok().map(|body| body.failure(UNSAID))
}

impl ErrorBody {
    fn failure(self, status: u16) -> Failure {
        let ErrorObject { kind, message, details } = self.error;
        let message = message.unwrap_or_else(|| "the provider reported an error without a message".to_owned());
        let code = details.as_ref().and_then(|details| details["error_code"].as_str()).map(str::to_owned);
        let (failure_kind, retry) = meaning(kind.as_deref(), code.as_deref(), &message, status);
        let mut extras = Fields::new();
        extras.extend(details.map(|details| ("details".to_owned(), details)));
        extras.extend(self.request_id.map(|id| ("request_id".to_owned(), id)));
        Failure {
            kind: failure_kind,
            parameter: parameter(&message),
            message,
            provider_type: kind,
            provider_code: code,
            retry,
            extras: natives(extras),
        }
    }
}

fn meaning(kind: Option<&str>, code: Option<&str>, message: &str, status: u16) -> (FailureKind, Retry) {
    if code.is_some_and(|code| code.contains("spend_limit")) {
        return (FailureKind::QuotaExhausted, Retry::Never);
    }
    match kind {
        Some("invalid_request_error") => (by_words(message), Retry::Never),
        Some("authentication_error") => (FailureKind::Authentication, Retry::Never),
        Some("billing_error") => (FailureKind::QuotaExhausted, Retry::Never),
        Some("permission_error") => (FailureKind::Permission, Retry::Never),
        Some("not_found_error") => (FailureKind::NotFound, Retry::Never),
        Some("request_too_large") => (FailureKind::RequestTooLarge, Retry::Never),
        Some("conflict_error" | "api_error") => (FailureKind::Provider, Retry::Backoff),
        Some("rate_limit_error") => (FailureKind::RateLimited, Retry::Backoff),
        Some("timeout_error") => (FailureKind::Timeout, Retry::Backoff),
        Some("overloaded_error") => (FailureKind::Overloaded, Retry::Backoff),
        _ => by_status(status),
    }
}

fn by_words(message: &str) -> FailureKind {
    BY_WORDS.iter().find(|(words, _)| message.contains(words)).map_or(FailureKind::InvalidRequest, |(_, kind)| *kind)
}

/// Messages begin with the field at fault: `max_tokens: 200000 > 64000, which is the maximum`. Turns were joined on the way out, so a path
/// into `messages` can't be led back to the caller's: the provider's words stand.
fn parameter(message: &str) -> Option<String> {
    let (path, _) = message.split_once(": ")?;
    let is_path = !path.is_empty() && path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'[' | b']' | b'$'));
    if !is_path {
        return None;
    }
    let known = PARAMETERS.iter().find_map(|(theirs, ours)| {
        let rest = path.strip_prefix(theirs)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{ours}{}", own_path(rest)))
    });
    Some(known.unwrap_or_else(|| path.to_owned()))
}

/// `.0.name` as `[0].name`.
fn own_path(path: &str) -> String {
    let mut own = String::with_capacity(path.len() + 2);
    for segment in path.split('.').skip(1) {
        if segment.bytes().all(|b| b.is_ascii_digit()) {
            own.push_str(&format!("[{segment}]"));
        } else {
            own.push('.');
            own.push_str(segment);
        }
    }
    own
}
