//! Gemini's errors, `google.rpc.Status`, as typed failures.
//!
//! Read as loose JSON: an error must be told whatever its shape. It may be wrapped in an array, come with status 200 in the middle of a
//! stream, or be a proxy's HTML.

use llm_gateway_adapter::failure::{by_status, duration_ms, retry_advice, unreadable_body};
use llm_gateway_adapter::serde_json::{self, Value};
use llm_gateway_adapter::types::{Failure, FailureKind, Header, HttpResponse, Retry};

/// The failure that an answer stands for.
pub fn of_response(response: &HttpResponse) -> Failure {
    let body = std::str::from_utf8(&response.body).unwrap_or_default();
    match Status::find(body) {
        Some(status) => status.failure(Some(response.status), &response.headers),
        None => {
            let (kind, retry) = by_status(response.status);
            let retry = retry_advice(&response.headers, retry);
            Failure { retry, ..Failure::new(kind, unreadable_body(response.status, &response.body)) }
        }
    }
}

/// The failure that stands in the text of an answer with status 200, if one does.
pub fn of_text(text: &str) -> Option<Failure> {
    Some(Status::find(text)?.failure(None, &[]))
}

/// `{"code":429,"message":"..","status":"RESOURCE_EXHAUSTED","details":[..]}`
struct Status(Value);

impl Status {
    fn find(text: &str) -> Option<Self> {
        let mut body: Value = serde_json::from_str(text).ok()?;
        let first = if body.is_array() { body.get_mut(0)? } else { &mut body };
        let mut error = first.get_mut("error")?.take();
        if let Value::String(message) = error {
            error = serde_json::json!({ "message": message });
        }
        error.is_object().then_some(Self(error))
    }

    fn failure(&self, http_status: Option<u16>, headers: &[Header]) -> Failure {
        let status = http_status.or_else(|| self.code()).unwrap_or_else(|| http_status_of(self.name()));
        let (kind, retry) = self.kind(status);
        let message = match self.message() {
            "" => format!("Gemini answered with the error {status} {}", self.name()),
            words => words.to_owned(),
        };
        Failure {
            kind,
            message,
            provider_type: Some(self.name().to_owned()).filter(|name| !name.is_empty()),
            provider_code: self.reason().map(str::to_owned).or_else(|| self.code().map(|code| code.to_string())),
            parameter: self.detail("fieldViolations").and_then(|violations| violations[0]["field"].as_str()).map(parameter),
            retry: self.retry(retry_advice(headers, retry)),
            extras: Vec::new(),
        }
    }

    fn kind(&self, status: u16) -> (FailureKind, Retry) {
        let message = self.message();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let never = |kind| (kind, Retry::Never);
        match status {
            400 if self.reason().is_some_and(|reason| reason.starts_with("API_KEY")) || says(&["API key not valid", "API key expired"]) => {
                never(FailureKind::Authentication)
            }
            // The region, or billing.
            400 if self.name() == "FAILED_PRECONDITION" => never(FailureKind::Permission),
            400 if says(&["exceeds the maximum number of tokens"]) => never(FailureKind::ContextLength),
            400 if says(&["payload size exceeds"]) => never(FailureKind::RequestTooLarge),
            400 if says(&["unexpected model name format"]) => never(FailureKind::NotFound),
            400 if says(&["not enabled", "not supported", "does not support", "doesn't support"]) => never(FailureKind::Unsupported),
            402 => never(FailureKind::QuotaExhausted),
            429 if self.is_used_up() => never(FailureKind::QuotaExhausted),
            499 => (FailureKind::Provider, Retry::Backoff),
            _ => by_status(status),
        }
    }

    /// A day's quota, a quota of nothing, or credit: waiting some seconds does not help.
    fn is_used_up(&self) -> bool {
        let violations = self.detail("violations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_daily = violations.iter().filter_map(|violation| violation["quotaId"].as_str()).any(|id| id.contains("PerDay"));
        let message = self.message();
        let is_none = message.split("limit: 0").skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.'));
        is_daily || is_none || message.contains("credits are depleted")
    }

    /// In the headers Gemini seldom says when; `RetryInfo` does, or the message.
    fn retry(&self, by_headers: Retry) -> Retry {
        if by_headers != Retry::Backoff {
            return by_headers;
        }
        let told = self.detail("retryDelay").and_then(Value::as_str);
        let said = || {
            let (_, rest) = self.message().split_once("retry in ")?;
            rest.split(|c: char| c.is_whitespace()).next().map(|delay| delay.trim_end_matches(['.', ',']))
        };
        told.or_else(said).and_then(duration_ms).map_or(Retry::Backoff, Retry::After)
    }

    fn message(&self) -> &str {
        self.0["message"].as_str().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.0["status"].as_str().unwrap_or_default()
    }

    fn code(&self) -> Option<u16> {
        let code = &self.0["code"];
        code.as_u64().or_else(|| code.as_str()?.parse().ok()).and_then(|code| u16::try_from(code).ok())
    }

    /// `API_KEY_INVALID`
    fn reason(&self) -> Option<&str> {
        self.detail("reason")?.as_str()
    }

    /// The field of this name in the first of the details that has one.
    fn detail(&self, field: &str) -> Option<&Value> {
        self.0["details"].as_array()?.iter().find_map(|detail| detail.get(field))
    }
}

/// Google's own table, `google/rpc/code.proto`.
fn http_status_of(name: &str) -> u16 {
    match name {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => 400,
        "UNAUTHENTICATED" => 401,
        "PERMISSION_DENIED" => 403,
        "NOT_FOUND" => 404,
        "RESOURCE_EXHAUSTED" => 429,
        "CANCELLED" => 499,
        "UNAVAILABLE" => 503,
        "DEADLINE_EXCEEDED" => 504,
        _ => 500,
    }
}

/// A field of Gemini's as a path in `chat-request`, where there is one for it.
fn parameter(field: &str) -> String {
    let canonical = match field.strip_prefix("generation_config.").or_else(|| field.strip_prefix("generationConfig.")).unwrap_or(field) {
        "temperature" => "sampling.temperature",
        "top_p" | "topP" => "sampling.top-p",
        "top_k" | "topK" => "sampling.top-k",
        "seed" => "sampling.seed",
        "presence_penalty" | "presencePenalty" => "sampling.presence-penalty",
        "frequency_penalty" | "frequencyPenalty" => "sampling.frequency-penalty",
        "max_output_tokens" | "maxOutputTokens" => "max-output",
        "stop_sequences" | "stopSequences" => "stop",
        "candidate_count" | "candidateCount" => "choices",
        "logprobs" | "response_logprobs" | "responseLogprobs" => "logprobs",
        "thinking_config.thinking_budget" | "thinkingConfig.thinkingBudget" => "reasoning.budget",
        "thinking_config.thinking_level" | "thinkingConfig.thinkingLevel" => "reasoning.effort",
        _ => field,
    };
    canonical.to_owned()
}
