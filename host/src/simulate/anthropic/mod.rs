//! Anthropic: `/messages`, `/messages/count_tokens`, `/models`.
//!
//! Owns: the key and the version header, the error body, the headers, the routes. Not here: what a model takes (`models`), what is refused
//! (`check`, `turns`), what thinking is bound to (`transcript`), the answers (`messages`).

mod check;
mod messages;
mod models;
mod transcript;
mod turns;

use super::clock;
use super::faults::{RetryHint, ToldLimits};
use super::id::ExchangeId;
use super::wire::{Answer, Body, Call, Failure, INVALID_KEY, Problem, Wire, set};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub(super) struct Anthropic;

const INVALID_REQUEST: &str = "invalid_request_error";
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

impl Wire for Anthropic {
    fn authorise(&self, call: &Call) -> Result<(), Problem> {
        let refused = |message| Err(Problem::new(401, "authentication_error", message));
        match (call.header("x-api-key"), call.bearer()) {
            (Some(INVALID_KEY), _) => refused("invalid x-api-key"),
            (None, Some(INVALID_KEY)) => refused("invalid bearer token"),
            (None, None) => refused("x-api-key header is required"),
            _ => Ok(()),
        }
    }

    fn answer(&self, call: &Call) -> Result<Answer, Problem> {
        if call.body_bytes > MAX_BODY_BYTES {
            return Err(Problem::new(413, "request_too_large", "Request exceeds the maximum size"));
        }
        let version = Version::of(call)?;
        match (&call.method, call.path.as_str()) {
            (&Method::POST, "messages") => messages::answer(call, version, json_body(call)?),
            (&Method::POST, "messages/count_tokens") => messages::count(version, json_body(call)?),
            (&Method::GET, "models") => models::list(call),
            (&Method::GET, path) if path.starts_with("models/") => models::show(&path["models/".len()..]),
            (_, "messages" | "messages/count_tokens" | "models") => Err(Problem::new(405, INVALID_REQUEST, "Method Not Allowed")),
            _ => Err(Problem::new(404, "not_found_error", "Not Found")),
        }
    }

    fn error_body(&self, problem: &Problem, exchange: &ExchangeId) -> String {
        let mut body = error(problem);
        body["request_id"] = json!(request_id(exchange));
        body.to_string()
    }

    fn outage(&self, status: u16, code: Option<&str>) -> Problem {
        let problem = usual_outage(status);
        match code {
            Some(code) => coded(problem, code),
            None => problem,
        }
    }

    fn set_headers(&self, headers: &mut HeaderMap, exchange: &ExchangeId, status: StatusCode) {
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("request-id", request_id(exchange));
        let limited = status == StatusCode::TOO_MANY_REQUESTS;
        let reset = clock::rfc3339(clock::now() + 60);
        set("anthropic-ratelimit-requests-limit", "20000".to_owned());
        set("anthropic-ratelimit-requests-remaining", if limited { "0" } else { "19999" }.to_owned());
        set("anthropic-ratelimit-requests-reset", reset.clone());
        set("anthropic-ratelimit-input-tokens-limit", "10000000".to_owned());
        set("anthropic-ratelimit-input-tokens-remaining", "9999000".to_owned());
        set("anthropic-ratelimit-input-tokens-reset", reset.clone());
        set("anthropic-ratelimit-output-tokens-limit", "2000000".to_owned());
        set("anthropic-ratelimit-output-tokens-remaining", "1999000".to_owned());
        set("anthropic-ratelimit-output-tokens-reset", reset.clone());
        set("anthropic-ratelimit-tokens-limit", "12000000".to_owned());
        set("anthropic-ratelimit-tokens-remaining", "11998000".to_owned());
        set("anthropic-ratelimit-tokens-reset", reset);
        if status.is_client_error() || status.is_server_error() {
            let retryable = limited || status.is_server_error() || status == StatusCode::CONFLICT;
            set("x-should-retry", retryable.to_string());
        }
    }

    fn set_limits(&self, headers: &mut HeaderMap, limits: ToldLimits) {
        if let Some(remaining) = limits.remaining {
            set(headers, "anthropic-ratelimit-requests-remaining", remaining);
        }
        if let Some(reset) = limits.reset {
            set(headers, "anthropic-ratelimit-requests-reset", clock::rfc3339(clock::after(reset)));
        }
    }
}

/// The API's version, which decides what is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    June2023,
    October2026,
}

impl Version {
    fn of(call: &Call) -> Result<Self, Problem> {
        match call.header("anthropic-version") {
            Some("2023-06-01" | "2023-01-01") => Ok(Self::June2023),
            Some("2026-10-21") => Ok(Self::October2026),
            Some(other) => Err(invalid(format!("anthropic-version: \"{other}\" is not a valid version"))),
            None => Err(invalid("anthropic-version: header is required")),
        }
    }
}

fn request_id(exchange: &ExchangeId) -> String {
    format!("req_{}", &exchange.hex()[..24])
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(400, INVALID_REQUEST, message)
}

fn error(problem: &Problem) -> Value {
    let mut error = json!({"type": problem.kind, "message": problem.message});
    if let Some(code) = &problem.code {
        error["details"] = json!({"error_code": code});
    }
    json!({"type": "error", "error": error})
}

fn usual_outage(status: u16) -> Problem {
    match status {
        401 => Problem::new(401, "authentication_error", "invalid x-api-key"),
        402 => Problem::new(402, "billing_error", "Your credit balance is too low to access the Anthropic API."),
        403 => Problem::new(403, "permission_error", "Your API key does not have permission to use the specified resource."),
        404 => Problem::new(404, "not_found_error", "Not Found"),
        409 => Problem::new(409, "conflict_error", "The request conflicts with another one."),
        413 => Problem::new(413, "request_too_large", "Request exceeds the maximum size"),
        429 => Problem {
            retry: RetryHint::Seconds(1),
            ..Problem::new(
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 20,000 requests per minute.",
            )
        },
        504 => Problem::new(504, "timeout_error", "The request timed out."),
        529 => Problem::new(529, "overloaded_error", "Overloaded"),
        500.. => Problem::new(status, "api_error", "Internal server error"),
        _ => Problem::new(status, INVALID_REQUEST, "The request could not be processed."),
    }
}

fn coded(problem: Problem, code: &str) -> Problem {
    let problem = problem.code(code);
    match code {
        "enforced_spend_limit_reached" | "contract_spend_limit_reached" => {
            Problem { message: "You have reached your specified API usage limits.".to_owned(), retry: RetryHint::None, ..problem }
        }
        _ => problem,
    }
}

fn json_body(call: &Call) -> Result<&Value, Problem> {
    match &call.body {
        Body::Json(body @ Value::Object(_)) => Ok(body),
        Body::Malformed(reason) => Err(invalid(format!("The request body is not valid JSON: {reason}"))),
        Body::None | Body::Json(_) => Err(invalid("The request body is not valid JSON: expected an object")),
    }
}

fn failure(_after: usize) -> Failure {
    let body = error(&Problem::new(529, "overloaded_error", "Overloaded")).to_string();
    Failure { framed: format!("event: error\ndata: {body}\n\n"), raw: body }
}
