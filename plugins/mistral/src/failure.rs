//! Mistral's errors (wire reference 3.5). They come in at least four shapes, and any of them, a proxy's HTML or nothing at all must give a
//! typed failure.

use crate::answer::Text;
use llm_gateway_adapter::failure::{by_status, retry_advice, unreadable_body};
use llm_gateway_adapter::types::{Failure, FailureKind, Header, HttpResponse, Retry};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Every field that any of the shapes has.
#[derive(Deserialize, Default)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    /// A string, an object with `detail`, or a list.
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    /// A string, or a list of [`ValidationError`]s.
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    /// A string, a number or null.
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    param: Option<&'a RawValue>,
    #[serde(borrow)]
    raw_status_code: Option<&'a RawValue>,
}

/// What a 422 says of one field.
#[derive(Deserialize)]
struct ValidationError<'a> {
    #[serde(borrow, default)]
    loc: Vec<&'a RawValue>,
    #[serde(borrow)]
    msg: Option<Text<'a>>,
}

/// The failure that an answer with an error status stands for.
pub fn of_response(response: &HttpResponse) -> Failure {
    read(Some(response.status), &response.headers, &response.body)
}

/// An error that came with status 200, or in the middle of a stream.
pub fn in_answer(body: &[u8]) -> Failure {
    read(None, &[], body)
}

fn read(status: Option<u16>, headers: &[Header], body: &[u8]) -> Failure {
    let outer = serde_json::from_slice::<ErrorBody>(body).unwrap_or_default();
    let inner = outer.error.and_then(|error| serde_json::from_str::<ErrorBody>(error.get()).ok());
    let only_words = outer.error.filter(|_| inner.is_none());
    let error = inner.unwrap_or(outer);
    let told = error.message.or(error.detail).or(only_words);
    let status = status.or_else(|| error.raw_status_code?.get().parse().ok());
    let message = told.map(words).filter(|words| !words.is_empty()).unwrap_or_else(|| unreadable_body(status.unwrap_or(200), body));
    let provider_type = error.r#type.and_then(scalar);
    let provider_code = error.code.and_then(scalar);
    let (kind, retry) =
        Evidence { status, code: provider_code.as_deref(), type_name: provider_type.as_deref(), message: &message }.verdict();
    let parameter = error.param.and_then(scalar).map(|param| canonical(&param)).or_else(|| told.and_then(first_field));
    Failure { kind, message, provider_type, provider_code, parameter, retry: retry_advice(headers, retry), extras: Vec::new() }
}

// ---- what it is ----------------------------------------------------------------------------------------------------

/// What this model, or this server's schema, does not take. The last is said of a field that it does not know.
const UNSUPPORTED: [&str; 4] = ["not enabled for this model", "not supported", "does not support", "Extra inputs are not permitted"];

/// What the kind of a failure is known by.
struct Evidence<'a> {
    status: Option<u16>,
    code: Option<&'a str>,
    type_name: Option<&'a str>,
    message: &'a str,
}

impl Evidence<'_> {
    fn verdict(&self) -> (FailureKind, Retry) {
        let (by_status, retry) = self.by_status();
        match self.narrower(by_status) {
            Some(kind @ FailureKind::Overloaded) => (kind, Retry::Backoff),
            Some(kind) => (kind, Retry::Never),
            None => (by_status, retry),
        }
    }

    /// Of the 4xx, Mistral's own client repeats only 429.
    fn by_status(&self) -> (FailureKind, Retry) {
        let status = self.status.or(match self.code {
            Some("1300") => Some(429),
            _ => None,
        });
        match status {
            Some(status @ (408 | 409)) => (by_status(status).0, Retry::Never),
            Some(status) if status >= 400 => by_status(status),
            _ => (FailureKind::Provider, Retry::Backoff),
        }
    }

    /// Where type, code or words say more than the status.
    fn narrower(&self, by_status: FailureKind) -> Option<FailureKind> {
        let says = |words: &str| self.message.contains(words);
        if self.code == Some("1500") || self.type_name == Some("invalid_model") {
            return Some(FailureKind::NotFound);
        }
        if says("capacity exceeded") || self.type_name == Some("service_tier_capacity_exceeded") {
            return Some(FailureKind::Overloaded);
        }
        match by_status {
            FailureKind::Permission if self.speaks_of_guardrails() => Some(FailureKind::ContentRefused),
            FailureKind::InvalidRequest if says("too large for model with") || says("maximum context length") => {
                Some(FailureKind::ContextLength)
            }
            FailureKind::InvalidRequest if UNSUPPORTED.iter().any(|words| says(words)) => Some(FailureKind::Unsupported),
            _ => None,
        }
    }

    fn speaks_of_guardrails(&self) -> bool {
        let marks = ["guardrail", "moderation"];
        let message = self.message.to_ascii_lowercase();
        marks.iter().any(|mark| message.contains(mark) || self.type_name.is_some_and(|kind| kind.contains(mark)))
    }
}

// ---- what it says --------------------------------------------------------------------------------------------------

fn words(raw: &RawValue) -> String {
    if let Some(text) = scalar(raw) {
        return text;
    }
    match validation_errors(raw) {
        Some(errors) => errors.iter().map(ValidationError::sentence).collect::<Vec<_>>().join("; "),
        None => raw.get().to_owned(),
    }
}

/// A list of them, or `{"detail": [..]}`.
fn validation_errors(raw: &RawValue) -> Option<Vec<ValidationError<'_>>> {
    let wrapped = serde_json::from_str::<ErrorBody>(raw.get()).ok().and_then(|body| body.detail);
    let errors: Vec<ValidationError> = serde_json::from_str(wrapped.unwrap_or(raw).get()).ok()?;
    (!errors.is_empty() && errors.iter().all(|error| error.msg.is_some())).then_some(errors)
}

impl ValidationError<'_> {
    fn sentence(&self) -> String {
        let message = self.msg.as_ref().map(|msg| msg.0.as_ref()).unwrap_or_default();
        match self.path() {
            Some(path) => format!("{path}: {message}"),
            None => message.to_owned(),
        }
    }

    /// `["body","tools","list[Tool]",0,"type"]` as `tools[0].type`; which of several types was tried is left out.
    fn path(&self) -> Option<String> {
        let mut path = String::new();
        for step in &self.loc {
            match scalar(step) {
                Some(index) if step.get().starts_with(|first: char| first.is_ascii_digit()) => path.push_str(&format!("[{index}]")),
                Some(name) if name == "body" && path.is_empty() || name.contains('[') => {}
                Some(name) if path.is_empty() => path = name,
                Some(name) => path.push_str(&format!(".{name}")),
                None => {}
            }
        }
        (!path.is_empty()).then_some(path)
    }
}

fn first_field(raw: &RawValue) -> Option<String> {
    validation_errors(raw)?.first()?.path().map(|path| canonical(&path))
}

/// The field in the words of `chat-request`. Messages are renumbered on their way to Mistral, so of them only the field is named.
fn canonical(path: &str) -> String {
    let name_end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at(name_end);
    let renamed = match name {
        "messages" => return name.to_owned(),
        "temperature" => "sampling.temperature",
        "top_p" => "sampling.top-p",
        "top_k" => "sampling.top-k",
        "random_seed" => "sampling.seed",
        "presence_penalty" => "sampling.presence-penalty",
        "frequency_penalty" => "sampling.frequency-penalty",
        "max_tokens" => "max-output",
        "n" => "choices",
        "top_logprobs" => "logprobs",
        "response_format" => "response-format",
        "tool_choice" => "tool-choice",
        "parallel_tool_calls" => "parallel-tool-calls",
        "reasoning_effort" => "reasoning.effort",
        same => same,
    };
    format!("{renamed}{rest}")
}

/// A string or a number, as text.
fn scalar(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    text.starts_with(|first: char| first.is_ascii_digit() || first == '-').then(|| text.to_owned())
}
