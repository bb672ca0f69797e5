//! The gateway's own simple form: one question, one answer. `/api/query`, `/api/parallel`, `/v1/gateway/query`.

use crate::contract::{ChatRequest, ChatResponse, Message, PartBody, Role, Task, Usage};
use crate::domain::{Target, TaskType, chat_request, part};
use crate::edge::BadRequest;
use crate::edge::json::{Fields, MAX_MODEL_BYTES};
use crate::plan::{Explanation, Verdict};
use serde::Serialize;

/// Models that one parallel query may name.
const MAX_PARALLEL: usize = 16;

/// A parsed question.
#[derive(Debug, Clone)]
pub struct Question {
    pub target: Target,
    pub request: ChatRequest,
    /// The caller's own id, in the body.
    pub request_id: Option<String>,
    /// Whether it is only to be said how it would go.
    pub dry_run: bool,
}

/// A question to several models.
#[derive(Debug, Clone)]
pub struct ParallelQuestion {
    /// Absent: every provider that is available.
    pub targets: Option<Vec<Target>>,
    pub request: ChatRequest,
    pub request_id: Option<String>,
}

/// Of the query's text.
#[derive(Debug, Clone, Copy)]
pub struct QueryLimits {
    pub query_chars: usize,
}

/// # Errors
/// The field at fault.
pub fn parse(body: &[u8], limits: QueryLimits) -> Result<Question, BadRequest> {
    let mut fields = Fields::of_body(body)?;
    let model = fields.model("model")?;
    let model_version = fields.model("model_version")?;
    let task = task(&mut fields)?;
    if model.is_none() && model_version.is_some() {
        return Err(fields.wrong("model", "is required where `model_version` is given"));
    }
    let target = match model {
        None => Target::Any(task),
        Some(model) => target(model, model_version, task),
    };
    let dry_run = fields.bool("dry_run")?.unwrap_or(false);
    let (request, request_id) = question(fields, limits)?;
    Ok(Question { target, request, request_id, dry_run })
}

/// The complaint about a dry run on a route that has none.
pub fn no_dry_run() -> BadRequest {
    BadRequest::field("dry_run", "is not for this route: use /v1/gateway/query")
}

/// # Errors
/// The field at fault.
pub fn parse_parallel(body: &[u8], limits: QueryLimits) -> Result<ParallelQuestion, BadRequest> {
    let mut fields = Fields::of_body(body)?;
    let task = task(&mut fields)?;
    let models = fields.list("models")?;
    if models.as_ref().is_some_and(|models| models.is_empty() || models.len() > MAX_PARALLEL) {
        return Err(fields.wrong("models", format!("must name 1 to {MAX_PARALLEL} models")));
    }
    let targets = models
        .map(|models| {
            (0..)
                .zip(models)
                .map(|(at, model): (usize, _)| {
                    let name = format!("models[{at}]");
                    let model = model.as_str().map(str::to_owned).ok_or_else(|| fields.wrong(&name, "must be a string"))?;
                    if model.is_empty() || model.len() > MAX_MODEL_BYTES {
                        return Err(fields.wrong(&name, format!("must have 1 to {MAX_MODEL_BYTES} bytes")));
                    }
                    Ok(target(model, None, task))
                })
                .collect::<Result<Vec<_>, _>>()
        })
        .transpose()?;
    if fields.bool("dry_run")?.unwrap_or(false) {
        return Err(no_dry_run());
    }
    let (request, request_id) = question(fields, limits)?;
    Ok(ParallelQuestion { targets, request, request_id })
}

fn task(fields: &mut Fields) -> Result<Option<Task>, BadRequest> {
    fields.word("task_type", &TaskType::WORDS)
}

fn target(model: String, version: Option<String>, task: Option<Task>) -> Target {
    match version {
        Some(version) => Target::Provider { provider: model, model: Some(version), task },
        None if model.contains('/') => Target::Name(model),
        None => Target::Provider { provider: model, model: None, task },
    }
}

fn question(mut fields: Fields, limits: QueryLimits) -> Result<(ChatRequest, Option<String>), BadRequest> {
    let query = fields.required_string("query")?;
    if query.trim().is_empty() {
        return Err(fields.wrong("query", "must not be empty"));
    }
    if query.len() > limits.query_chars && query.chars().count() > limits.query_chars {
        return Err(fields.wrong("query", format!("must have at most {} characters", limits.query_chars)));
    }
    if fields.value("max_cost_usd").is_some_and(|value| value != serde_json::Value::Bool(false)) {
        return Err(fields.wrong("max_cost_usd", "is not supported by this version of the gateway; leave it out"));
    }
    let mut messages = Vec::new();
    if let Some(system) = fields.string("system")?.filter(|system| !system.is_empty()) {
        messages.push(message(Role::System, system));
    }
    messages.push(message(Role::User, query));
    let mut request = chat_request(String::new(), messages);
    request.max_output = fields.integer("max_tokens", 1, u32::MAX)?;
    request.sampling.temperature = fields.number("temperature", 0.0, 2.0)?;
    let request_id = fields.string("request_id")?;
    Ok((request, request_id))
}

fn message(role: Role, text: String) -> Message {
    Message { role, name: None, parts: vec![part(PartBody::Text(text))], extras: Vec::new() }
}

/// The text of an answer's first choice.
pub fn text_of(answer: &ChatResponse) -> String {
    let parts = answer.choices.first().map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let texts = parts.iter().filter_map(|part| match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Token counts, in the words of the query routes. Absent: the provider did not say.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Tokens {
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
    pub total_tokens: Option<u32>,
    /// The same as `total_tokens`, for old clients.
    pub num_tokens: Option<u32>,
}

impl Tokens {
    pub fn of(usage: Option<&Usage>) -> Self {
        let Some(usage) = usage else { return Self::default() };
        let total = match (usage.input, usage.output) {
            (Some(input), Some(output)) => Some(input.saturating_add(output)),
            _ => None,
        };
        Self { input_tokens: usage.input, output_tokens: usage.output, total_tokens: total, num_tokens: total }
    }
}

/// An answer on `/api/query`, and each of `/api/parallel`.
#[derive(Debug, Serialize)]
pub struct AnswerV0 {
    pub response: String,
    /// The provider that answered.
    pub model: String,
    pub model_version: String,
    pub response_time_ms: u64,
    pub timestamp: String,
    pub cached: bool,
    #[serde(flatten)]
    pub tokens: Tokens,
    pub num_retries: usize,
    pub request_id: String,
    /// The provider that was asked first, where another answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<&'static str>,
}

/// An answer on `/v1/gateway/query`.
#[derive(Debug, Serialize)]
pub struct AnswerV1 {
    pub request_id: String,
    pub response: String,
    pub model: String,
    pub model_version: String,
    pub cached: bool,
    pub response_time_ms: u64,
    #[serde(flatten)]
    pub tokens: Tokens,
    /// Absent prices are null, never 0.
    pub cost_usd: Option<f64>,
    pub tenant: String,
    pub attempts: Vec<AttemptV1>,
    pub dry_run: bool,
    /// Of a dry run.
    #[serde(flatten)]
    pub plan: Option<PlanV1>,
}

/// How a request would go, as a dry run tells it.
#[derive(Debug, Serialize)]
pub struct PlanV1 {
    pub route: Option<String>,
    pub strategy: Option<&'static str>,
    pub plan: Vec<PlaceV1>,
}

/// One place in it.
#[derive(Debug, Serialize)]
pub struct PlaceV1 {
    /// Counted from 1. Null: it is left out.
    pub place: Option<usize>,
    pub provider: String,
    pub model: Option<String>,
    pub verdict: &'static str,
    pub reason: String,
}

impl From<Explanation> for PlanV1 {
    fn from(explanation: Explanation) -> Self {
        let places = (1..).zip(explanation.places).map(|(number, place)| PlaceV1 {
            place: (place.verdict != Verdict::LeftOut).then_some(number),
            provider: place.provider,
            model: place.model,
            verdict: place.verdict.as_str(),
            reason: place.reason,
        });
        Self { route: explanation.route, strategy: explanation.strategy, plan: places.collect() }
    }
}

/// One attempt, as told on `/v1/gateway/query`.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptV1 {
    pub provider: String,
    pub model: String,
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why it was made: `first`, `retry`, `other_key`, `fallback`, `hedge`.
    pub reason: &'static str,
    pub duration_ms: u64,
    /// Waited before it.
    pub backoff_ms: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIMITS: QueryLimits = QueryLimits { query_chars: 10 };

    fn wrong_field(body: &str) -> String {
        parse(body.as_bytes(), LIMITS).unwrap_err().param.unwrap()
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (body, field) in [
            (r#"{}"#, "query"),
            (r#"{"query":" \n "}"#, "query"),
            (r#"{"query":"12345678901"}"#, "query"),
            (r#"{"query":5}"#, "query"),
            (r#"{"query":"x","task_type":"poetry"}"#, "task_type"),
            (r#"{"query":"x","max_tokens":0}"#, "max_tokens"),
            (r#"{"query":"x","temperature":3}"#, "temperature"),
            (r#"{"query":"x","model":""}"#, "model"),
            (r#"{"query":"x","model_version":"y"}"#, "model"),
            (r#"{"query":"x","dry_run":"yes"}"#, "dry_run"),
            (r#"{"query":"x","max_cost_usd":1}"#, "max_cost_usd"),
        ] {
            assert_eq!(wrong_field(body), field, "{body}");
        }
        assert_eq!(parse_parallel(br#"{"query":"x","dry_run":true}"#, LIMITS).unwrap_err().param.unwrap(), "dry_run");
        assert_eq!(parse_parallel(br#"{"query":"x","models":["a",1]}"#, LIMITS).unwrap_err().param.unwrap(), "models[1]");
        assert_eq!(parse_parallel(br#"{"query":"x","models":[]}"#, LIMITS).unwrap_err().param.unwrap(), "models");
    }

    #[test]
    fn a_dry_run_is_asked_for_by_a_flag() {
        let dry_run = |body: &str| parse(body.as_bytes(), LIMITS).unwrap().dry_run;
        assert!(dry_run(r#"{"query":"x","dry_run":true}"#));
        assert!(!dry_run(r#"{"query":"x","dry_run":false}"#) && !dry_run(r#"{"query":"x"}"#));
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        assert!(parse("{\"query\":\"äöüäöüäöüä\"}".as_bytes(), LIMITS).is_ok());
    }

    #[test]
    fn a_model_is_a_provider_with_or_without_version_or_a_name() {
        let target = |body: &str| parse(body.as_bytes(), LIMITS).unwrap().target;
        assert_eq!(target(r#"{"query":"x","task_type":"summarization"}"#), Target::Any(Some(Task::Summarization)));
        let openai = |model: Option<&str>| Target::Provider { provider: "openai".into(), model: model.map(str::to_owned), task: None };
        assert_eq!(target(r#"{"query":"x","model":"openai"}"#), openai(None));
        assert_eq!(target(r#"{"query":"x","model":"openai","model_version":"gpt-5.4"}"#), openai(Some("gpt-5.4")));
        assert_eq!(target(r#"{"query":"x","model":"openai/gpt-5.4"}"#), Target::Name("openai/gpt-5.4".into()));
    }
}
