//! Errors of OpenAI and of servers that imitate it, as typed failures.
//!
//! Sources: wire reference 1.10 (codes, retry), 9.10 and 9.20 (traps). An error may come with an error status, in a 200, or inside
//! a stream; its body may be `{"error": {..}}`, flat, a bare text or no JSON at all. Whatever it is, a failure is made of it.

use llm_gateway_adapter::failure::{by_status, duration_ms, retry_advice, unreadable_body};
use llm_gateway_adapter::types::{Failure, FailureKind, Header, HttpResponse, Retry};
use serde_json::Value;

const FRAME_EXCERPT_CHARS: usize = 200;

/// What an error says of itself.
#[derive(Debug, Default)]
struct ProviderError {
    message: String,
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
}

/// Where an error was found, as far as that tells what it means.
#[derive(Debug, Clone, Copy)]
struct Origin<'a> {
    /// None within a stream or a body of status 200.
    status: Option<u16>,
    headers: &'a [Header],
}

/// The failure of an answer that is not 2xx.
pub fn of_response(response: &HttpResponse) -> Failure {
    let origin = Origin { status: Some(response.status), headers: &response.headers };
    let body = serde_json::from_slice::<Value>(&response.body).ok();
    let error = body.as_ref().and_then(ProviderError::read);
    let message = || unreadable_body(response.status, &response.body);
    error.unwrap_or_else(|| ProviderError { message: message(), ..ProviderError::default() }).into_failure(origin)
}

/// The failure in a body, or an event, that came as a success. `None` if there is no error in it.
pub fn in_success(json: &str, headers: &[Header]) -> Option<Failure> {
    let value = serde_json::from_str::<Value>(json).ok()?;
    Some(ProviderError::read(&value)?.into_failure(Origin { status: None, headers }))
}

/// The failure that a frame is which is no event of a known shape: the error in it, or that it makes no sense.
pub fn in_frame(data: &str) -> Failure {
    in_success(data, &[]).unwrap_or_else(|| unreadable_frame(data))
}

pub fn unreadable_frame(data: &str) -> Failure {
    let beginning: String = data.chars().take(FRAME_EXCERPT_CHARS).collect();
    Failure::malformed(format!("the provider's stream has a frame that makes no sense: {beginning}"))
}

impl ProviderError {
    /// `{"error": {..}}`, `{"error": ".."}`, `{"message": ..}`, `{"detail": ..}`, or one of these in an array.
    fn read(body: &Value) -> Option<Self> {
        match body {
            Value::Array(bodies) => bodies.first().and_then(Self::read),
            Value::Object(fields) => match (fields.get("error"), fields.get("message"), fields.get("detail")) {
                (Some(error @ Value::Object(_)), ..) => Some(Self::of_fields(error)),
                (Some(Value::String(message)), ..) => Some(Self { message: message.clone(), ..Self::default() }),
                (_, Some(Value::String(_)), _) => Some(Self::of_fields(body)),
                (.., Some(Value::String(message))) => Some(Self { message: message.clone(), ..Self::default() }),
                (.., Some(details @ Value::Array(_))) => Some(Self { message: details.to_string(), ..Self::default() }),
                _ => None,
            },
            _ => None,
        }
    }

    /// The fields of an error object. The type of a flat error event is the event's own and says nothing.
    fn of_fields(error: &Value) -> Self {
        let field = |name: &str| match &error[name] {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let code = field("code");
        let message =
            field("message").or_else(|| code.clone()).unwrap_or_else(|| "the provider reported an error without words".to_owned());
        Self { message, kind: field("type").filter(|kind| kind != "error"), code, param: field("param") }
    }

    fn into_failure(self, origin: Origin<'_>) -> Failure {
        let (kind, retry) = self.classify(origin.status);
        let retry = match retry_advice(origin.headers, retry) {
            Retry::Backoff => self.delay_in_words().map_or(Retry::Backoff, Retry::After),
            other => other,
        };
        Failure {
            kind,
            parameter: self.param.as_deref().map(parameter),
            message: self.message,
            provider_type: self.kind,
            provider_code: self.code,
            retry,
            extras: Vec::new(),
        }
    }

    fn classify(&self, status: Option<u16>) -> (FailureKind, Retry) {
        if status == Some(503) {
            return by_status(503);
        }
        let words = [self.code.as_deref(), self.kind.as_deref()];
        let found = by_message(&self.message).or_else(|| words.into_iter().flatten().find_map(by_word));
        found.unwrap_or_else(|| match status {
            Some(status) => by_status(status),
            None if self.kind.as_deref() == Some("invalid_request_error") => (FailureKind::InvalidRequest, Retry::Never),
            None => (FailureKind::Provider, Retry::Backoff),
        })
    }

    /// `Please try again in 6.57s.`
    fn delay_in_words(&self) -> Option<u32> {
        let (_, rest) = self.message.split_once("try again in ")?;
        duration_ms(rest.split_whitespace().next()?.trim_end_matches(['.', ',']))
    }
}

/// What a code or a type means, whatever status it came with.
fn by_word(word: &str) -> Option<(FailureKind, Retry)> {
    Some(match word {
        "insufficient_quota"
        | "credit_balance_exhausted"
        | "organization_spend_limit_exceeded"
        | "project_spend_limit_exceeded"
        | "organization_usage_limit_exceeded" => (FailureKind::QuotaExhausted, Retry::Never),
        "context_length_exceeded" => (FailureKind::ContextLength, Retry::Never),
        "string_above_max_length" | "array_above_max_length" => (FailureKind::RequestTooLarge, Retry::Never),
        "unsupported_parameter" | "unsupported_value" | "unsupported_file" => (FailureKind::Unsupported, Retry::Never),
        "content_filter" | "content_policy_violation" | "invalid_prompt" | "moderation_blocked" => {
            (FailureKind::ContentRefused, Retry::Never)
        }
        "invalid_api_key" | "authentication_error" => (FailureKind::Authentication, Retry::Never),
        "permission_error" | "unsupported_country_region_territory" => (FailureKind::Permission, Retry::Never),
        "model_not_found" => (FailureKind::NotFound, Retry::Never),
        "rate_limit_exceeded" | "rate_limit_error" => (FailureKind::RateLimited, Retry::Backoff),
        "server_is_overloaded" | "service_unavailable_error" => (FailureKind::Overloaded, Retry::Backoff),
        "server_error" | "internal_error" => (FailureKind::Provider, Retry::Backoff),
        _ => return None,
    })
}

/// What only the message tells: a single request above the rate limit has the code of any other.
fn by_message(message: &str) -> Option<(FailureKind, Retry)> {
    const BY_WORDS: &[(&str, FailureKind)] = &[
        ("Request too large", FailureKind::RequestTooLarge),
        ("maximum context length", FailureKind::ContextLength),
        ("Function tools with reasoning_effort are not supported", FailureKind::Unsupported),
        ("is not supported with this model", FailureKind::Unsupported),
        ("This model does not support", FailureKind::Unsupported),
        ("insufficient permissions", FailureKind::Permission),
        ("invalid model ID", FailureKind::NotFound),
    ];
    BY_WORDS.iter().find(|(words, _)| message.contains(words)).map(|(_, kind)| (*kind, Retry::Never))
}

/// The field at fault, as a path in `chat-request`. Messages are rearranged on the way, so for those it is the provider's own path.
fn parameter(param: &str) -> String {
    match param {
        "max_tokens" | "max_completion_tokens" | "max_output_tokens" => "max-output",
        "temperature" => "sampling.temperature",
        "top_p" => "sampling.top-p",
        "presence_penalty" => "sampling.presence-penalty",
        "frequency_penalty" => "sampling.frequency-penalty",
        "seed" => "sampling.seed",
        "logit_bias" => "sampling.logit-bias",
        "n" => "choices",
        "logprobs" | "top_logprobs" => "logprobs",
        "reasoning_effort" | "reasoning.effort" => "reasoning.effort",
        "reasoning.summary" => "reasoning.visible",
        "response_format" | "text.format" => "response-format",
        "response_format.json_schema.schema" | "text.format.schema" => "response-format.schema",
        "response_format.json_schema.name" | "text.format.name" => "response-format.name",
        "tool_choice" => "tool-choice",
        "parallel_tool_calls" => "parallel-tool-calls",
        "safety_identifier" => "user",
        other => {
            return other
                .strip_prefix("tools[")
                .map_or_else(|| other.to_owned(), |tool| format!("tools[{}", tool.replace(".function.", ".")));
        }
    }
    .to_owned()
}
