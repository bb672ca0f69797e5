//! The one mapping from the gateway's errors to HTTP: status, headers, and a body in the caller's dialect.

use super::dialect::query::AttemptV1;
use super::{BadRequest, dialect::Dialect};
use crate::access::{AccessError, KeyError};
use crate::admission::Overloaded;
use crate::attempt::{AttemptError, Origin, dropped_message};
use crate::contract::{Failure, Retry};
use crate::domain::{ErrorKind, RequestId};
use crate::ledger::LedgerDown;
use crate::pipeline::CallFailure;
use crate::plan::PlanError;
use crate::quota::{Exceeded, Limit};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// An error as a caller is told it.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: StatusCode,
    pub kind: ErrorKind,
    /// For programs; narrower than the kind where there is more to say.
    pub code: String,
    pub param: Option<String>,
    pub message: String,
    pub origin: Origin,
    pub retry_after: Option<Duration>,
    /// Set where a client that retries by the status alone would be wrong to.
    pub never_retry: bool,
    /// What was tried, for the query routes.
    pub attempts: Vec<AttemptV1>,
}

/// When to come back, of a gateway that has no room now.
const SOON: Duration = Duration::from_secs(1);

impl ApiError {
    fn of_gateway(status: StatusCode, kind: ErrorKind, message: String) -> Self {
        let code = kind.as_str().to_owned();
        Self {
            status,
            kind,
            code,
            param: None,
            message,
            origin: Origin::Gateway,
            retry_after: None,
            never_retry: false,
            attempts: Vec::new(),
        }
    }

    pub fn not_found(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        let message = format!("there is nothing at {path}; GET /api/status says what runs, and the README lists the routes");
        Self { code: "not_found".into(), ..Self::of_gateway(StatusCode::NOT_FOUND, ErrorKind::InvalidRequest, message) }
    }

    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        let message = format!("{path} does not take {method}");
        Self { code: "method_not_allowed".into(), ..Self::of_gateway(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::InvalidRequest, message) }
    }

    /// The gateway has no room now.
    pub fn overloaded(error: Overloaded, dialect: Dialect) -> Self {
        let status = status_of_attempt(ErrorKind::Overloaded, None, dialect);
        Self { retry_after: Some(SOON), ..Self::of_gateway(status, ErrorKind::Overloaded, error.to_string()) }
    }

    pub fn unauthorized(message: &str) -> Self {
        Self { code: "unauthorized".into(), ..Self::of_gateway(StatusCode::UNAUTHORIZED, ErrorKind::Authentication, message.to_owned()) }
    }

    /// A caller whose key has reached one of its limits.
    pub fn of_quota(error: &Exceeded) -> Self {
        let (status, kind, code) = match error.limit {
            Limit::Budget => (StatusCode::PAYMENT_REQUIRED, ErrorKind::BudgetExceeded, "budget_exceeded"),
            Limit::Requests | Limit::Tokens | Limit::Concurrency => {
                (StatusCode::TOO_MANY_REQUESTS, ErrorKind::RateLimited, "rate_limit_exceeded")
            }
        };
        let never_retry = error.retry_after.is_none();
        Self { code: code.into(), retry_after: error.retry_after, never_retry, ..Self::of_gateway(status, kind, error.to_string()) }
    }

    /// The gateway can't write down what it does, and must.
    pub fn of_ledger(error: &LedgerDown) -> Self {
        let message = format!("this gateway answers only what it can write down (`ledger = \"required\"` in gateway.toml), and {error}");
        Self { retry_after: Some(SOON), ..Self::of_gateway(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable, message) }
    }

    /// Only an answer that was given before was wanted, and there is none (RFC 9111, 5.2.1.7).
    pub fn not_cached() -> Self {
        let message = "there is no answer in the cache that fits, and `cache-control: only-if-cached` wants no other".to_owned();
        Self { code: "not_cached".into(), ..Self::of_gateway(StatusCode::GATEWAY_TIMEOUT, ErrorKind::Unavailable, message) }
    }

    /// An operator's request that can't be done as things stand.
    pub fn conflict(message: String) -> Self {
        Self { code: "conflict".into(), ..Self::of_gateway(StatusCode::CONFLICT, ErrorKind::InvalidRequest, message) }
    }

    pub fn no_such_plugin(message: String) -> Self {
        Self { code: "not_found".into(), ..Self::of_gateway(StatusCode::NOT_FOUND, ErrorKind::InvalidRequest, message) }
    }

    /// Why a caller is not let in.
    pub fn of_access(error: &AccessError) -> Self {
        let message = error.to_string();
        let unauthorized = |code: &str| Self { code: code.to_owned(), ..Self::unauthorized(&message) };
        match error {
            AccessError::NoKey => unauthorized("missing_gateway_key"),
            AccessError::Unknown => unauthorized("invalid_gateway_key"),
            AccessError::Expired(..) => unauthorized("expired_gateway_key"),
            AccessError::Revoked(_) => unauthorized("revoked_gateway_key"),
            AccessError::Tenant(_) => {
                let code = "tenant_not_allowed".to_owned();
                Self { code, param: Some("tenant".into()), ..Self::of_gateway(StatusCode::FORBIDDEN, ErrorKind::Permission, message) }
            }
            AccessError::Unavailable => Self::unavailable(message),
        }
    }

    /// Why a gateway key is not made, changed or shown. What is wrong with the database is the log's to tell.
    pub fn of_keys(error: &KeyError) -> Self {
        let message = error.to_string();
        match error {
            KeyError::Unknown(_) => Self::missing(message),
            KeyError::Revoked(_) | KeyError::TooMany | KeyError::Taken => Self::conflict(message),
            KeyError::Store(cause) => {
                tracing::error!(error = %cause, "gateway keys can't be read or written");
                Self::unavailable(message)
            }
        }
    }

    /// Something that an operator asked for by its id.
    pub fn missing(message: String) -> Self {
        Self { code: "not_found".into(), ..Self::of_gateway(StatusCode::NOT_FOUND, ErrorKind::NotFound, message) }
    }

    /// A part of the gateway that can't be used now.
    pub fn unavailable(message: String) -> Self {
        Self { retry_after: Some(SOON), ..Self::of_gateway(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable, message) }
    }

    fn of_plan(error: &PlanError) -> Self {
        let message = error.to_string();
        match error {
            PlanError::UnknownModel { .. } => {
                Self { param: Some("model".into()), ..Self::of_gateway(StatusCode::NOT_FOUND, ErrorKind::ModelNotFound, message) }
            }
            PlanError::AmbiguousModel { .. } => Self {
                param: Some("model".into()),
                code: "ambiguous_model".into(),
                ..Self::of_gateway(StatusCode::BAD_REQUEST, ErrorKind::InvalidRequest, message)
            },
            PlanError::NotAllowed { .. } => Self {
                param: Some("model".into()),
                code: "model_not_allowed".into(),
                ..Self::of_gateway(StatusCode::FORBIDDEN, ErrorKind::Permission, message)
            },
            PlanError::NoneCapable { .. } => Self::of_gateway(StatusCode::BAD_REQUEST, ErrorKind::Unsupported, message),
            PlanError::Unavailable { .. } | PlanError::NoneAvailable(_) => {
                Self::of_gateway(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable, message)
            }
        }
    }

    /// Why nobody answered. `name`: what the caller calls a field that is named by its path in the canonical request.
    pub fn of_call(failure: &CallFailure, dialect: Dialect, name: &dyn Fn(&str) -> String) -> Self {
        match failure {
            CallFailure::Plan(error) => Self::of_plan(error),
            CallFailure::NotCached => Self::not_cached(),
            CallFailure::Attempt(error, history) => {
                let mut told = Self::of_attempt(error, dialect, name);
                if let Some(history) = history {
                    told.message = format!("{} ({history})", told.message.trim_end_matches('.'));
                }
                told
            }
        }
    }

    /// As above, of an attempt.
    pub fn of_attempt(error: &AttemptError, dialect: Dialect, name: &dyn Fn(&str) -> String) -> Self {
        let kind = error.kind();
        let failure = error.failure();
        let retry_after = error.retry_after(Timestamp::now()).or((kind == ErrorKind::Overloaded).then_some(SOON));
        Self {
            status: status_of_attempt(kind, error.status(), dialect),
            kind,
            code: code(kind, failure, dialect),
            param: error.parameter().map(name),
            message: told(error, dialect, name),
            origin: error.origin(),
            retry_after,
            never_retry: failure.is_some_and(|failure| failure.retry == Retry::Never) || is_in_vain(error),
            attempts: Vec::new(),
        }
    }

    /// The error's body in a dialect.
    pub fn body(&self, dialect: Dialect, id: &RequestId) -> Value {
        match dialect {
            Dialect::Query => {
                let mut body =
                    json!({"error": self.message, "code": self.code, "error_type": self.kind.as_str(), "request_id": id.as_str()});
                if !self.attempts.is_empty() {
                    body["attempts"] = json!(self.attempts);
                }
                body
            }
            Dialect::Chat | Dialect::Responses => json!({"error": {
                "message": self.message, "type": self.openai_type(), "param": self.param, "code": self.code,
            }}),
            Dialect::Messages => json!({
                "type": "error", "error": {"type": self.anthropic_type(), "message": self.message}, "request_id": id.as_str(),
            }),
        }
    }

    /// OpenAI's words for kinds of errors.
    fn openai_type(&self) -> &'static str {
        match self.kind {
            ErrorKind::Authentication => "authentication_error",
            ErrorKind::Permission => "permission_error",
            ErrorKind::RateLimited => "rate_limit_error",
            ErrorKind::QuotaExhausted | ErrorKind::BudgetExceeded => "insufficient_quota",
            ErrorKind::InvalidRequest
            | ErrorKind::ModelNotFound
            | ErrorKind::Unsupported
            | ErrorKind::ContextLength
            | ErrorKind::RequestTooLarge
            | ErrorKind::ContentRefused
            | ErrorKind::NotFound => "invalid_request_error",
            ErrorKind::Overloaded
            | ErrorKind::Timeout
            | ErrorKind::Provider
            | ErrorKind::Malformed
            | ErrorKind::Unreachable
            | ErrorKind::Plugin
            | ErrorKind::Unavailable
            | ErrorKind::Cancelled => "server_error",
        }
    }

    /// Anthropic's words for kinds of errors. A spent quota is a 429 here, and keeps the word of that status.
    fn anthropic_type(&self) -> &'static str {
        match self.kind {
            ErrorKind::InvalidRequest if self.status == StatusCode::NOT_FOUND => "not_found_error",
            ErrorKind::InvalidRequest if self.status == StatusCode::CONFLICT => "conflict_error",
            ErrorKind::InvalidRequest | ErrorKind::Unsupported | ErrorKind::ContextLength | ErrorKind::ContentRefused => {
                "invalid_request_error"
            }
            ErrorKind::Authentication => "authentication_error",
            ErrorKind::Permission => "permission_error",
            ErrorKind::NotFound | ErrorKind::ModelNotFound => "not_found_error",
            ErrorKind::RequestTooLarge => "request_too_large",
            ErrorKind::RateLimited | ErrorKind::QuotaExhausted => "rate_limit_error",
            ErrorKind::BudgetExceeded => "billing_error",
            ErrorKind::Overloaded | ErrorKind::Unavailable => "overloaded_error",
            ErrorKind::Timeout => "timeout_error",
            ErrorKind::Provider if self.status == StatusCode::GATEWAY_TIMEOUT => "timeout_error",
            ErrorKind::Provider | ErrorKind::Malformed | ErrorKind::Unreachable | ErrorKind::Plugin | ErrorKind::Cancelled => "api_error",
        }
    }

    /// The whole answer.
    pub fn response(&self, dialect: Dialect, id: &RequestId) -> Response {
        let mut response = Response::new(Body::from(self.body(dialect, id).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-gateway-error-origin", HeaderValue::from_static(self.origin.as_str()));
        if self.status == StatusCode::UNAUTHORIZED && self.origin == Origin::Gateway {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000).min(86_400) as u32));
        }
        if self.never_retry && is_retried(self.status) {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }
}

/// OpenAI's clients act on its codes whoever answered; else the provider's own narrower word.
fn code(kind: ErrorKind, failure: Option<&Failure>, dialect: Dialect) -> String {
    let openai = match kind {
        ErrorKind::ContextLength => Some("context_length_exceeded"),
        ErrorKind::RateLimited => Some("rate_limit_exceeded"),
        ErrorKind::QuotaExhausted => Some("insufficient_quota"),
        _ => None,
    };
    let openai = openai.filter(|_| matches!(dialect, Dialect::Chat | Dialect::Responses));
    let own = || failure.and_then(|failure| failure.provider_code.as_deref().or(failure.provider_type.as_deref()));
    openai.or_else(own).unwrap_or(kind.as_str()).to_owned()
}

const TOO_LONG: &str = "prompt is too long";

/// What went wrong, with the field's name, which an adapter's words don't have.
fn told(error: &AttemptError, dialect: Dialect, name: &dyn Fn(&str) -> String) -> String {
    match (error, error.parameter()) {
        (AttemptError::Dropped(dropped), _) => dropped_message(dropped, name),
        (AttemptError::Encode(failure), Some(path)) => format!("`{}`: {}", name(path), failure.message),
        // By these words agents on Anthropic's wire know that they have to compact.
        (_, _) if error.kind() == ErrorKind::ContextLength && dialect == Dialect::Messages => {
            let message = error.message();
            if message.contains(TOO_LONG) { message } else { format!("{TOO_LONG}: {message}") }
        }
        _ => error.message(),
    }
}

/// Whether the caller's own limits will never allow it.
fn is_in_vain(error: &AttemptError) -> bool {
    matches!(error, AttemptError::Unaffordable(error) if error.retry_after.is_none())
}

/// Whether clients try again by the status alone, as OpenAI's and Anthropic's do.
fn is_retried(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429 | 500..)
}

/// A provider's own status stays where it says no less than the kind does.
fn status_of_attempt(kind: ErrorKind, provider: Option<u16>, dialect: Dialect) -> StatusCode {
    let own = provider.and_then(|status| StatusCode::from_u16(status).ok()).filter(|status| {
        matches!(
            (kind, status.as_u16()),
            (ErrorKind::InvalidRequest, 422) | (ErrorKind::Provider, 500 | 504) | (ErrorKind::Overloaded, 529)
        )
    });
    match (own, kind, dialect) {
        (Some(own), ..) => own,
        (None, ErrorKind::Overloaded, Dialect::Messages) => StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        (None, kind, _) => status_of(kind),
    }
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::Unsupported | ErrorKind::ContextLength | ErrorKind::ContentRefused => {
            StatusCode::BAD_REQUEST
        }
        ErrorKind::Authentication => StatusCode::UNAUTHORIZED,
        ErrorKind::Permission => StatusCode::FORBIDDEN,
        ErrorKind::NotFound | ErrorKind::ModelNotFound => StatusCode::NOT_FOUND,
        ErrorKind::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RateLimited | ErrorKind::QuotaExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::BudgetExceeded => StatusCode::PAYMENT_REQUIRED,
        ErrorKind::Overloaded | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Provider | ErrorKind::Malformed | ErrorKind::Unreachable | ErrorKind::Plugin | ErrorKind::Cancelled => {
            StatusCode::BAD_GATEWAY
        }
    }
}

impl From<BadRequest> for ApiError {
    fn from(bad: BadRequest) -> Self {
        let kind = if bad.status == StatusCode::PAYLOAD_TOO_LARGE { ErrorKind::RequestTooLarge } else { ErrorKind::InvalidRequest };
        Self { code: bad.code.to_owned(), param: bad.param, ..Self::of_gateway(bad.status, kind, bad.message) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(status: u16, kind: ErrorKind) -> ApiError {
        ApiError::of_gateway(StatusCode::from_u16(status).unwrap(), kind, "no".to_owned())
    }

    #[test]
    fn an_error_of_the_messages_dialect_names_its_type_and_its_request() {
        let body = error(400, ErrorKind::Unsupported).body(Dialect::Messages, &RequestId::parse("r-1").unwrap());
        assert_eq!(body, json!({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}, "request_id": "r-1"}));
    }

    #[test]
    fn a_caller_without_a_key_is_told_how_to_send_one() {
        let refusal = ApiError::of_access(&AccessError::NoKey).response(Dialect::Chat, &RequestId::parse("r-1").unwrap());
        assert_eq!((refusal.status().as_u16(), &refusal.headers()["www-authenticate"]), (401, &HeaderValue::from_static("Bearer")));
        let tenant = ApiError::of_access(&AccessError::Tenant("no".to_owned()));
        assert_eq!((tenant.status.as_u16(), tenant.param.as_deref()), (403, Some("tenant")));
        let unavailable = ApiError::of_access(&AccessError::Unavailable);
        assert_eq!((unavailable.status.as_u16(), unavailable.retry_after), (503, Some(SOON)));
    }

    #[test]
    fn each_kind_has_anthropics_word_for_it() {
        for (status, kind, word) in [
            (400, ErrorKind::InvalidRequest, "invalid_request_error"),
            (404, ErrorKind::InvalidRequest, "not_found_error"),
            (401, ErrorKind::Authentication, "authentication_error"),
            (403, ErrorKind::Permission, "permission_error"),
            (404, ErrorKind::ModelNotFound, "not_found_error"),
            (413, ErrorKind::RequestTooLarge, "request_too_large"),
            (429, ErrorKind::QuotaExhausted, "rate_limit_error"),
            (502, ErrorKind::Malformed, "api_error"),
            (504, ErrorKind::Timeout, "timeout_error"),
            (503, ErrorKind::Unavailable, "overloaded_error"),
        ] {
            assert_eq!(error(status, kind).anthropic_type(), word, "{kind:?}");
        }
    }
}
