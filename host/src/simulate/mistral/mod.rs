//! Mistral: `/chat/completions`, `/embeddings`, `/models`. There is no endpoint that counts tokens.
//!
//! Owns: the key, the error bodies, the headers, the routes, the models. Not here: what is refused (`check`), the answers (`chat`,
//! `embeddings`). Mistral's errors have several shapes: a `Problem` with details is one of the validator's, which has no other members.

mod chat;
mod check;
mod embeddings;
mod models;

use super::faults::ToldLimits;
use super::id::ExchangeId;
use super::wire::{Answer, Body, Call, Failure, INVALID_KEY, Problem, Wire, set};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub(super) struct Mistral;

impl Wire for Mistral {
    fn authorise(&self, call: &Call) -> Result<(), Problem> {
        match call.bearer() {
            None | Some(INVALID_KEY) => Err(detail(401, json!("Unauthorized"))),
            Some(_) => Ok(()),
        }
    }

    fn answer(&self, call: &Call) -> Result<Answer, Problem> {
        match (&call.method, call.path.as_str()) {
            (&Method::POST, "chat/completions") => chat::answer(call, json_body(call)?),
            (&Method::POST, "embeddings") => embeddings::answer(call, json_body(call)?),
            (&Method::GET, "models") => Ok(models::list()),
            (&Method::GET, path) if path.starts_with("models/") => models::show(&path["models/".len()..]),
            (_, "chat/completions" | "embeddings" | "models") => Err(detail(405, json!("Method Not Allowed"))),
            _ => Err(detail(404, json!("Not Found"))),
        }
    }

    fn error_body(&self, problem: &Problem, exchange: &ExchangeId) -> String {
        match &problem.details {
            Some(details) => json!({"detail": details}).to_string(),
            None if problem.kind == GATEWAY => json!({"message": problem.message, "request_id": exchange.hex()}).to_string(),
            None => error(problem).to_string(),
        }
    }

    fn outage(&self, status: u16, code: Option<&str>) -> Problem {
        let problem = usual_outage(status);
        match code {
            Some("service_tier_capacity_exceeded") => {
                let message = "Service tier capacity exceeded for this model.";
                Problem { code: None, ..Problem::new(status, "service_tier_capacity_exceeded", message) }
            }
            Some(code) => Problem { details: None, ..problem }.code(code),
            None => problem,
        }
    }

    fn set_headers(&self, headers: &mut HeaderMap, exchange: &ExchangeId, status: StatusCode) {
        for (name, value) in [("mistral-correlation-id", exchange.uuid()), ("x-kong-request-id", exchange.hex())] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        let limited = status == StatusCode::TOO_MANY_REQUESTS;
        for (name, value) in [
            ("x-ratelimit-limit-req-minute", "360"),
            ("x-ratelimit-remaining-req-minute", if limited { "0" } else { "359" }),
            ("x-ratelimit-limit-tokens-minute", "2000000"),
            ("x-ratelimit-remaining-tokens-minute", "1999850"),
            ("x-ratelimit-tokens-query-cost", "150"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }

    /// Mistral's limits are by the minute, and it does not say when that is over.
    fn set_limits(&self, headers: &mut HeaderMap, limits: ToldLimits) {
        if let Some(remaining) = limits.remaining {
            set(headers, "x-ratelimit-remaining-req-minute", remaining);
        }
    }
}

/// Marks what Mistral's API gateway says, not its models.
const GATEWAY: &str = "gateway";

fn error(problem: &Problem) -> Value {
    json!({
        "object": "error",
        "message": problem.message,
        "type": problem.kind,
        "param": problem.param,
        "code": problem.code,
        "raw_status_code": problem.status,
    })
}

/// The validator's shape.
fn detail(status: u16, detail: Value) -> Problem {
    Problem::new(status, "validation", "").details(detail)
}

fn usual_outage(status: u16) -> Problem {
    match status {
        401 => detail(401, json!("Unauthorized")),
        402 => Problem::new(402, GATEWAY, "You have exceeded your free tier. Please add a payment method."),
        403 => Problem::new(403, "guardrail_violation", "The request was blocked by a guardrail."),
        404 => detail(404, json!("Not Found")),
        429 => Problem::new(429, "rate_limited", "Rate limit exceeded").code("1300"),
        502 | 504 => Problem::new(status, GATEWAY, "The upstream server is timing out"),
        500.. => Problem::new(status, "internal_server_error", "Service unavailable.").code("1000"),
        _ => Problem::new(status, "invalid_request_invalid_args", "The request could not be processed.").code("3051"),
    }
}

fn json_body(call: &Call) -> Result<&Value, Problem> {
    match &call.body {
        Body::Json(body @ Value::Object(_)) => Ok(body),
        Body::Malformed(reason) => Err(validation("json_invalid", json!(["body", 0]), format!("JSON decode error: {reason}"))),
        Body::None => Err(validation("missing", json!(["body"]), "Field required")),
        Body::Json(_) => {
            Err(validation("model_attributes_type", json!(["body"]), "Input should be a valid dictionary or object to extract fields from"))
        }
    }
}

fn validation(kind: &str, place: Value, message: impl Into<String>) -> Problem {
    detail(422, json!([{"type": kind, "loc": place, "msg": message.into(), "input": null}]))
}

fn failure(_after: usize) -> Failure {
    let body = error(&Problem::new(503, "internal_server_error", "Service unavailable.").code("1000")).to_string();
    Failure { framed: format!("data: {body}\n\n"), raw: body }
}
