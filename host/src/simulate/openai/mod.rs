//! OpenAI: `/chat/completions`, `/responses`, `/responses/input_tokens`, `/embeddings`, `/models`.
//!
//! Owns: the key, the error body, the headers, the routes. Not here: what a model takes (`models`), the two chat formats (`chat`, `responses`).

mod chat;
mod chat_check;
mod embeddings;
mod models;
mod responses;
mod responses_check;
mod responses_stream;
mod tools;

use super::faults::{RetryHint, ToldLimits};
use super::id::ExchangeId;
use super::wire::{Answer, Body, Call, Failure, INVALID_KEY, Problem, Wire, set};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) struct Openai;

const INVALID_REQUEST: &str = "invalid_request_error";

impl Wire for Openai {
    fn authorise(&self, call: &Call) -> Result<(), Problem> {
        match call.bearer() {
            Some(INVALID_KEY) => Err(Problem::new(
                401,
                INVALID_REQUEST,
                "Incorrect API key provided: invalid. You can find your API key at https://platform.openai.com/account/api-keys.",
            )
            .code("invalid_api_key")),
            Some(_) => Ok(()),
            None => Err(Problem::new(
                401,
                INVALID_REQUEST,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )),
        }
    }

    fn answer(&self, call: &Call) -> Result<Answer, Problem> {
        match (&call.method, call.path.as_str()) {
            (&Method::POST, "chat/completions") => chat::answer(call, json_body(call)?),
            (&Method::POST, "responses") => responses::answer(call, json_body(call)?),
            (&Method::POST, "responses/input_tokens") => responses::count(json_body(call)?),
            (&Method::POST, "embeddings") => embeddings::answer(json_body(call)?),
            (&Method::GET, "models") => Ok(models::list()),
            (&Method::GET, path) if path.starts_with("models/") => models::show(&path["models/".len()..]),
            (method, path @ ("chat/completions" | "responses" | "responses/input_tokens" | "embeddings" | "models")) => {
                Err(wrong_method(method, path))
            }
            (method, path) => Err(Problem::new(404, INVALID_REQUEST, format!("Invalid URL ({method} /v1/{path})"))),
        }
    }

    fn error_body(&self, problem: &Problem, _exchange: &ExchangeId) -> String {
        super::wire::pretty(&error(problem))
    }

    fn outage(&self, status: u16, code: Option<&str>) -> Problem {
        let problem = usual_outage(status);
        match code {
            Some(code) => coded(problem, code),
            None => problem,
        }
    }

    fn set_headers(&self, headers: &mut HeaderMap, exchange: &ExchangeId, status: StatusCode) {
        if let Ok(id) = HeaderValue::try_from(format!("req_{}", exchange.hex())) {
            headers.insert("x-request-id", id);
        }
        headers.insert("openai-processing-ms", HeaderValue::from_static("42"));
        headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
        let limited = status == StatusCode::TOO_MANY_REQUESTS;
        for (name, value) in [
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-limit-tokens", "500000"),
            ("x-ratelimit-remaining-requests", if limited { "0" } else { "499" }),
            ("x-ratelimit-remaining-tokens", "499983"),
            ("x-ratelimit-reset-requests", if limited { "1s" } else { "120ms" }),
            ("x-ratelimit-reset-tokens", "2ms"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }

    fn set_limits(&self, headers: &mut HeaderMap, limits: ToldLimits) {
        if let Some(remaining) = limits.remaining {
            set(headers, "x-ratelimit-remaining-requests", remaining);
        }
        if let Some(reset) = limits.reset {
            set(headers, "x-ratelimit-reset-requests", go_duration(reset));
        }
    }
}

/// `500ms`, `1.5s`, `6m0s`.
fn go_duration(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs_f64() % 60.0);
    match (minutes, duration.as_secs()) {
        (0, 0) => format!("{}ms", duration.as_millis()),
        (0, _) => format!("{seconds}s"),
        _ => format!("{minutes}m{seconds}s"),
    }
}

fn error(problem: &Problem) -> Value {
    json!({"error": {"message": problem.message, "type": problem.kind, "param": problem.param, "code": problem.code}})
}

fn usual_outage(status: u16) -> Problem {
    match status {
        429 => Problem {
            retry: RetryHint::Seconds(1),
            ..Problem::new(
                429,
                "requests",
                "Rate limit reached for requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms. Visit https://platform.openai.com/account/rate-limits to learn more.",
            )
            .code("rate_limit_exceeded")
        },
        401 => Problem::new(401, INVALID_REQUEST, "Incorrect API key provided.").code("invalid_api_key"),
        403 => Problem::new(403, INVALID_REQUEST, "Country, region, or territory not supported").code("unsupported_country_region_territory"),
        404 => Problem::new(404, INVALID_REQUEST, "The model does not exist or you do not have access to it.").code("model_not_found"),
        503 => Problem::new(503, "service_unavailable_error", "The server is currently overloaded. Please try again later.")
            .code("server_is_overloaded"),
        500.. => Problem::new(status, "server_error", SERVER_ERROR).code("server_error"),
        _ => Problem::new(status, INVALID_REQUEST, "The request could not be processed."),
    }
}

const SERVER_ERROR: &str = "The server had an error while processing your request. Sorry about that!";
const QUOTA_CODES: [&str; 5] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
];

/// With the type and the words that go with a code.
fn coded(problem: Problem, code: &str) -> Problem {
    let problem = problem.code(code);
    match code {
        code if QUOTA_CODES.contains(&code) => Problem {
            kind: "insufficient_quota".into(),
            message: "You exceeded your current quota, please check your plan and billing details.".to_owned(),
            retry: RetryHint::None,
            ..problem
        },
        "request_too_large" => Problem {
            kind: "tokens".into(),
            message: "Request too large for this model on tokens per min (TPM): Limit 500000, Requested 600000.".to_owned(),
            code: Some("rate_limit_exceeded".to_owned()),
            retry: RetryHint::None,
            ..problem
        },
        "slow_down" => {
            Problem { kind: "rate_limit_error".into(), message: "Your traffic grew too fast. Please slow down.".to_owned(), ..problem }
        }
        "context_length_exceeded" => Problem {
            message: "Your input exceeds the context window of this model. Please adjust your input and try again.".to_owned(),
            ..problem
        },
        _ => problem,
    }
}

fn wrong_method(method: &Method, path: &str) -> Problem {
    let message = format!(
        "Not allowed to {method} on /v1/{path}. (HINT: Perhaps you meant to make your HTTP request using a different HTTP method?)"
    );
    Problem::new(405, INVALID_REQUEST, message)
}

fn json_body(call: &Call) -> Result<&Value, Problem> {
    match &call.body {
        Body::Json(body @ Value::Object(_)) => Ok(body),
        _ => Err(Problem::new(
            400,
            INVALID_REQUEST,
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
        )),
    }
}

fn chat_failure(_after: usize) -> Failure {
    let body = error(&Problem::new(500, "server_error", SERVER_ERROR).code("server_error")).to_string();
    Failure { framed: format!("data: {body}\n\n"), raw: body }
}

fn missing(param: &str) -> Problem {
    Problem::new(400, INVALID_REQUEST, format!("Missing required parameter: '{param}'.")).param(param).code("missing_required_parameter")
}

fn invalid_value(param: &str, message: impl Into<String>) -> Problem {
    Problem::new(400, INVALID_REQUEST, message).param(param).code("invalid_value")
}

fn unsupported_parameter(param: &str) -> Problem {
    let message = format!("Unsupported parameter: '{param}' is not supported with this model.");
    Problem::new(400, INVALID_REQUEST, message).param(param).code("unsupported_parameter")
}

/// Numbers outside of what the API documents.
fn check_range(body: &Value, param: &str, least: f64, most: f64) -> Result<(), Problem> {
    let Some(value) = body.get(param).filter(|value| !value.is_null()) else { return Ok(()) };
    let Some(number) = value.as_f64() else {
        let message = format!("Invalid type for '{param}': expected a number, but got {value} instead.");
        return Err(Problem::new(400, INVALID_REQUEST, message).param(param).code("invalid_type"));
    };
    let (side, limit, code) = match number {
        number if number > most => ("above maximum value. Expected a value <=", most, "decimal_above_max_value"),
        number if number < least => ("below minimum value. Expected a value >=", least, "decimal_below_min_value"),
        _ => return Ok(()),
    };
    let message = format!("Invalid '{param}': decimal {side} {limit}, but got {value} instead.");
    Err(Problem::new(400, INVALID_REQUEST, message).param(param).code(code))
}

fn empty_array(param: &str) -> Problem {
    let message = format!("Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead.");
    Problem::new(400, INVALID_REQUEST, message).param(param).code("empty_array")
}

/// Random-looking characters that hide a chunk's length. OpenAI pads what is short.
fn obfuscation(text: &str) -> &'static str {
    const PADDING: &str = "aZ3kQ9xW7bT1mR5v";
    &PADDING[text.len() % PADDING.len()..]
}
