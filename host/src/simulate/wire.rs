//! What the simulator needs of a provider, and the words they share: call, answer, problem.

use super::faults::{RetryHint, Shaping, ToldLimits};
use super::frames::Frames;
use super::id::{ExchangeId, Ids};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;
use std::borrow::Cow;

/// One provider's side of the wire.
pub(super) trait Wire: Sync {
    /// # Errors
    /// The provider's own refusal of a missing or wrong key.
    fn authorise(&self, call: &Call) -> Result<(), Problem>;

    /// # Errors
    /// The provider's own refusal of a request that it does not take.
    fn answer(&self, call: &Call) -> Result<Answer, Problem>;

    /// The error body in the provider's form.
    fn error_body(&self, problem: &Problem, exchange: &ExchangeId) -> String;

    /// The problem that a provider has at that status, with `code` in place of its usual code.
    fn outage(&self, status: u16, code: Option<&str>) -> Problem;

    /// Sets the headers that every answer of the provider has.
    fn set_headers(&self, headers: &mut HeaderMap, exchange: &ExchangeId, status: StatusCode);

    /// Sets what the headers say of the limit on requests, as far as the provider says that at all.
    fn set_limits(&self, headers: &mut HeaderMap, limits: ToldLimits);

    /// Where a hint to retry later belongs: in headers, or (Gemini) in the error body alone.
    fn retry_hint_place(&self) -> HintPlace {
        HintPlace::Headers
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HintPlace {
    Headers,
    Body,
}

/// One request, read.
pub(super) struct Call {
    pub method: Method,
    /// Below the base URL, percent-decoded, without a slash at the front: `chat/completions`.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Body,
    pub body_bytes: usize,
    pub shaping: Shaping,
    pub ids: Ids,
}

pub(super) enum Body {
    None,
    Json(Value),
    /// What is wrong with it.
    Malformed(String),
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
    }

    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").map(str::trim).filter(|key| !key.is_empty())
    }

    /// The key that the request bears, in whichever of the providers' headers.
    pub fn key(&self) -> Option<&str> {
        self.bearer().or_else(|| self.header("x-api-key")).or_else(|| self.header("x-goog-api-key"))
    }

    /// As text, not decoded: no provider's parameters need it.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// What is sent when all is well.
pub(super) enum Answer {
    Whole { content_type: &'static str, body: String },
    Stream(Streamed),
}

impl Answer {
    pub fn json(body: &Value) -> Self {
        Self::Whole { content_type: "application/json", body: body.to_string() }
    }

    pub fn pretty(body: &Value) -> Self {
        Self::Whole { content_type: "application/json", body: pretty(body) }
    }
}

/// Indented by two, with a newline at the end.
pub(super) fn pretty(body: &Value) -> String {
    let mut text = serde_json::to_string_pretty(body).unwrap_or_default();
    text.push('\n');
    text
}

pub(super) struct Streamed {
    pub content_type: &'static str,
    pub frames: Frames,
    /// The provider's error inside a stream, after that many frames.
    pub failure: fn(usize) -> Failure,
}

pub(super) struct Failure {
    pub framed: String,
    pub raw: String,
}

/// For a header that says a number or a time.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: impl ToString) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(name, value);
    }
}

/// The key that each provider refuses; every other one is right.
pub(super) const INVALID_KEY: &str = "invalid";

/// A refusal, in words from which each provider makes its error body.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub status: u16,
    /// Gemini's `status`, the others' `type`.
    pub kind: Cow<'static, str>,
    pub message: String,
    pub param: Option<String>,
    pub code: Option<String>,
    /// Further members in the provider's own form.
    pub details: Option<Value>,
    pub retry: RetryHint,
}

impl Problem {
    pub fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind: kind.into(), message: message.into(), param: None, code: None, details: None, retry: RetryHint::None }
    }

    pub fn param(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub fn code(self, code: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    pub fn details(self, details: Value) -> Self {
        Self { details: Some(details), ..self }
    }
}
