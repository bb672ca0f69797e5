//! Gemini: `:generateContent`, `:streamGenerateContent`, `:countTokens`, `:embedContent`, `:batchEmbedContents`, `/models`.
//!
//! Owns: the key, the error body, the routes. Not here: which fields there are (`fields`), what is refused (`check`), the answers (`content`,
//! `embeddings`). The API is proto3 JSON: `fields` turns snake_case into camelCase first, so that the rest knows one spelling.

mod check;
mod content;
mod embeddings;
mod fields;
mod models;

use super::faults::{RetryHint, ToldLimits};
use super::id::ExchangeId;
use super::wire::{Answer, Body, Call, Failure, HintPlace, INVALID_KEY, Problem, Wire};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub(super) struct Gemini;

const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";

impl Wire for Gemini {
    fn authorise(&self, call: &Call) -> Result<(), Problem> {
        let key = call.header("x-goog-api-key").or_else(|| call.query_value("key").filter(|key| !key.is_empty()));
        match key {
            Some(INVALID_KEY) => Err(bad_key()),
            Some(_) => Ok(()),
            None => Err(Problem::new(
                403,
                "PERMISSION_DENIED",
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
            )),
        }
    }

    fn answer(&self, call: &Call) -> Result<Answer, Problem> {
        if call.method == Method::GET {
            return match call.path.as_str() {
                "models" => Ok(models::list(call)),
                path => path.strip_prefix("models/").map_or_else(|| Err(no_such_url()), models::show),
            };
        }
        let (model, method) = call.path.strip_prefix("models/").and_then(|path| path.rsplit_once(':')).ok_or_else(no_such_url)?;
        if call.method != Method::POST {
            return Err(no_such_url());
        }
        let body = json_body(call)?;
        match method {
            "generateContent" => content::answer(call, model, body),
            "streamGenerateContent" => content::stream(call, model, body),
            "countTokens" => content::count(model, body),
            "embedContent" => embeddings::one(model, body),
            "batchEmbedContents" => embeddings::batch(model, body),
            _ => Err(no_such_url()),
        }
    }

    fn error_body(&self, problem: &Problem, _exchange: &ExchangeId) -> String {
        if problem.kind == NO_SUCH_URL {
            return problem.message.clone();
        }
        super::wire::pretty(&error(problem))
    }

    fn outage(&self, status: u16, code: Option<&str>) -> Problem {
        match code {
            Some(code) => coded(status, code),
            None => usual_outage(status),
        }
    }

    /// Gemini has neither a request id nor rate limits in its headers.
    fn set_headers(&self, headers: &mut HeaderMap, _exchange: &ExchangeId, _status: StatusCode) {
        headers.insert("server", HeaderValue::from_static("scaffolding on HTTPServer2"));
        headers.insert("server-timing", HeaderValue::from_static("gfet4t7; dur=42"));
    }

    fn set_limits(&self, _headers: &mut HeaderMap, _limits: ToldLimits) {}

    fn retry_hint_place(&self) -> HintPlace {
        HintPlace::Body
    }
}

fn bad_key() -> Problem {
    const MESSAGE: &str = "API key not valid. Please pass a valid API key.";
    Problem::new(400, INVALID_ARGUMENT, MESSAGE).details(json!([
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com"}},
        {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US", "message": MESSAGE},
    ]))
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(400, INVALID_ARGUMENT, message)
}

fn error(problem: &Problem) -> Value {
    let mut details = problem.details.clone().unwrap_or_else(|| json!([]));
    let delay = match problem.retry {
        RetryHint::None => None,
        RetryHint::Seconds(seconds) | RetryHint::Date(seconds) => Some(format!("{seconds}s")),
        RetryHint::Milliseconds(milliseconds) => Some(format!("{}s", milliseconds as f64 / 1000.0)),
    };
    let mut message = problem.message.clone();
    if let Some(delay) = &delay {
        message.push_str(&format!("\nPlease retry in {delay}."));
        if let Some(details) = details.as_array_mut() {
            details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
        }
    }
    let mut error = json!({"code": problem.status, "message": message, "status": problem.kind});
    if details.as_array().is_some_and(|details| !details.is_empty()) {
        error["details"] = details;
    }
    json!({"error": error})
}

fn usual_outage(status: u16) -> Problem {
    match status {
        401 => Problem::new(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
        402 => Problem::new(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
        403 => Problem::new(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."),
        404 => Problem::new(404, "NOT_FOUND", "Requested entity was not found."),
        429 => quota("GenerateRequestsPerMinutePerProjectPerModel", RetryHint::Seconds(1)),
        500 => Problem::new(
            500,
            "INTERNAL",
            "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
        ),
        504 => Problem::new(504, "DEADLINE_EXCEEDED", "The request timed out. Please try again."),
        501.. => Problem::new(status, "UNAVAILABLE", OVERLOADED),
        _ => Problem::new(status, INVALID_ARGUMENT, "Request contains an invalid argument."),
    }
}

const OVERLOADED: &str = "The model is overloaded. Please try again later.";

/// `code` is a quota's id, an `ErrorInfo` reason, or a status in capitals.
fn coded(status: u16, code: &str) -> Problem {
    if code == "API_KEY_INVALID" {
        return Problem { status, ..bad_key() };
    }
    if status == 429 && code != "RESOURCE_EXHAUSTED" {
        let retry = if code.contains("PerDay") { RetryHint::None } else { RetryHint::Seconds(1) };
        return quota(code, retry);
    }
    Problem { kind: code.to_owned().into(), ..usual_outage(status) }
}

fn quota(id: &str, retry: RetryHint) -> Problem {
    const METRIC: &str = "generativelanguage.googleapis.com/generate_content_requests";
    let message = format!(
        "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: {METRIC}, limit: 10"
    );
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": METRIC, "quotaId": id, "quotaDimensions": {"location": "global"}, "quotaValue": "10"}],
    }]);
    Problem { retry, ..Problem::new(429, "RESOURCE_EXHAUSTED", message).details(details) }
}

/// Marks the problem whose body is Google's HTML page.
const NO_SUCH_URL: &str = "no such url";

fn no_such_url() -> Problem {
    const PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 404 (Not Found)!!1</title>\n  <p><b>404.</b> <ins>That's an error.</ins>\n  <p>The requested URL was not found on this server.  <ins>That's all we know.</ins>\n";
    Problem::new(404, NO_SUCH_URL, PAGE)
}

fn json_body(call: &Call) -> Result<&Value, Problem> {
    match &call.body {
        Body::Json(body @ Value::Object(_)) => Ok(body),
        Body::None => Err(invalid("Request body is empty.")),
        Body::Malformed(reason) => Err(invalid(format!("Invalid JSON payload received. {reason}"))),
        Body::Json(_) => Err(invalid("Invalid JSON payload received. Unknown name \"\": Root element must be a message.")),
    }
}

fn overloaded() -> Value {
    error(&Problem::new(503, "UNAVAILABLE", OVERLOADED))
}

fn sse_failure(_after: usize) -> Failure {
    let body = overloaded();
    Failure { framed: format!("data: {body}\r\n\r\n"), raw: super::wire::pretty(&body) }
}

fn array_failure(after: usize) -> Failure {
    let body = overloaded();
    let opening = if after == 0 { "[" } else { "\n,\r\n" };
    Failure { framed: format!("{opening}{body}\n]"), raw: super::wire::pretty(&body) }
}
