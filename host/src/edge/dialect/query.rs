//! The gateway's own simple form: one question, one answer. `/api/query`, `/api/parallel`, `/v1/gateway/query`.

use super::Dialect;
use crate::attempt::Preview;
use crate::contract::{ChatRequest, ChatResponse, Message, PartBody, Role, Task, Usage};
use crate::domain::estimate::is_estimated;
use crate::domain::{Target, TaskType, chat_request, part};
use crate::edge::BadRequest;
use crate::edge::json::{Fields, MAX_MODEL_BYTES};
use crate::money::Usd;
use crate::pipeline::Rehearsal;
use crate::plan::{Explanation, Verdict};
use crate::settle::Fit;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

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
    pub spending: Spending,
}

/// Who pays for a question, and how much.
#[derive(Debug, Clone, Default)]
pub struct Spending {
    /// Absent: the caller's own.
    pub tenant: Option<String>,
    /// In US dollars.
    pub max_cost: Option<Usd>,
}

/// A question to several models.
#[derive(Debug, Clone)]
pub struct ParallelQuestion {
    /// Absent: every provider that is available.
    pub targets: Option<Vec<Target>>,
    pub request: ChatRequest,
    pub request_id: Option<String>,
    pub spending: Spending,
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
    let task = task(&mut fields)?;
    let target = one_target(&mut fields, task)?;
    let dry_run = fields.bool("dry_run")?.unwrap_or(false);
    let (request, request_id, spending) = question(fields, limits)?;
    Ok(Question { target, request, request_id, dry_run, spending })
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
    let (request, request_id, spending) = question(fields, limits)?;
    Ok(ParallelQuestion { targets, request, request_id, spending })
}

pub(super) fn task(fields: &mut Fields) -> Result<Option<Task>, BadRequest> {
    fields.word("task_type", &TaskType::WORDS)
}

/// Of `model` and `model_version`.
pub(super) fn one_target(fields: &mut Fields, task: Option<Task>) -> Result<Target, BadRequest> {
    let model = fields.model("model")?;
    let model_version = fields.model("model_version")?;
    match model {
        None if model_version.is_some() => Err(fields.wrong("model", "is required where `model_version` is given")),
        None => Ok(Target::Any(task)),
        Some(model) => Ok(target(model, model_version, task)),
    }
}

pub(super) fn target(model: String, version: Option<String>, task: Option<Task>) -> Target {
    match version {
        Some(version) => Target::Provider { provider: model, model: Some(version), task },
        None if model.contains('/') => Target::Name(model),
        None => Target::Provider { provider: model, model: None, task },
    }
}

pub(super) fn question(mut fields: Fields, limits: QueryLimits) -> Result<(ChatRequest, Option<String>, Spending), BadRequest> {
    let query = fields.required_string("query")?;
    if query.trim().is_empty() {
        return Err(fields.wrong("query", "must not be empty"));
    }
    if query.len() > limits.query_chars && query.chars().count() > limits.query_chars {
        return Err(fields.wrong("query", format!("must have at most {} characters", limits.query_chars)));
    }
    let max_cost = max_cost(&mut fields)?;
    let spending = Spending { tenant: fields.string("tenant")?, max_cost };
    let mut messages = Vec::new();
    if let Some(system) = fields.string("system")?.filter(|system| !system.is_empty()) {
        messages.push(message(Role::System, system));
    }
    messages.push(message(Role::User, query));
    let mut request = chat_request(String::new(), messages);
    request.max_output = fields.integer("max_tokens", 1, u32::MAX)?;
    request.sampling.temperature = fields.number("temperature", 0.0, 2.0)?;
    let request_id = fields.string("request_id")?;
    Ok((request, request_id, spending))
}

fn max_cost(fields: &mut Fields) -> Result<Option<Usd>, BadRequest> {
    let Some(value) = fields.value("max_cost_usd") else { return Ok(None) };
    let amount = value.as_f64().and_then(Usd::from_f64).filter(|amount| !amount.is_zero());
    amount.map(Some).ok_or_else(|| fields.wrong("max_cost_usd", format!("must be an amount of US dollars above 0, up to {}", Usd::MAX)))
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
    /// Of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u32>,
    /// Of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u32>,
    /// Of the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u32>,
    /// Whether the provider did not say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl Tokens {
    pub fn of(usage: Option<&Usage>) -> Self {
        let Some(usage) = usage else { return Self::default() };
        let total = match (usage.input, usage.output) {
            (Some(input), Some(output)) => Some(input.saturating_add(output)),
            _ => None,
        };
        Self {
            input_tokens: usage.input,
            output_tokens: usage.output,
            total_tokens: total,
            num_tokens: total,
            cache_read_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            reasoning_tokens: usage.reasoning,
            estimated: is_estimated(usage),
        }
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
    /// Of all attempts. Null: nobody knows; it is never 0 then.
    pub cost_usd: Option<Usd>,
    pub tenant: String,
    pub attempts: Vec<AttemptV1>,
    pub dry_run: bool,
    /// Of a dry run.
    #[serde(flatten)]
    pub rehearsal: Option<RehearsalV1>,
}

/// What a dry run tells beside.
#[derive(Debug, Serialize)]
pub struct RehearsalV1 {
    #[serde(flatten)]
    pub plan: PlanV1,
    pub estimate: EstimateV1,
    /// Null: the caller sets no cap.
    pub cap: Option<CapV1>,
    /// Null: the caller's key has none.
    pub budget: Option<BudgetV1>,
    pub cache: CacheV1,
    /// Null: it would be refused.
    pub upstream_request: Option<UpstreamRequestV1>,
    pub dropped: Vec<DroppedV1>,
}

#[derive(Debug, Serialize)]
pub struct EstimateV1 {
    pub input_tokens: u64,
    /// What is likely.
    pub output_tokens: u64,
    /// Of these. Null: the model has no known price.
    pub cost_usd: Option<Usd>,
    /// The most that it can be.
    pub max_cost_usd: Option<Usd>,
}

#[derive(Debug, Serialize)]
pub struct CapV1 {
    pub max_cost_usd: Usd,
    #[serde(flatten)]
    pub fit: FitV1,
}

/// As the cap, of what is left of a key's budget.
#[derive(Debug, Serialize)]
pub struct BudgetV1 {
    pub remaining_usd: Usd,
    #[serde(flatten)]
    pub fit: FitV1,
}

#[derive(Debug, Serialize)]
pub struct FitV1 {
    /// `fits`, `lowered` or `refused`.
    pub verdict: &'static str,
    /// To which the answer is limited so that it fits.
    pub max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct CacheV1 {
    /// `hit`, `miss` or `off`.
    pub outcome: &'static str,
}

/// What would be sent, without its secrets.
#[derive(Debug, Serialize)]
pub struct UpstreamRequestV1 {
    pub method: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    /// As it would be sent, if it is JSON; else as a text.
    pub body: Value,
}

#[derive(Debug, Serialize)]
pub struct DroppedV1 {
    pub parameter: String,
    pub reason: String,
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

impl From<Rehearsal> for RehearsalV1 {
    fn from(rehearsal: Rehearsal) -> Self {
        let Rehearsal { explanation, quote, cache, request } = rehearsal;
        let (upstream_request, dropped) = match request {
            Some(Preview { method, url, headers, body, dropped }) => {
                let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
                (Some(UpstreamRequestV1 { method, url, headers: headers.into_iter().collect(), body }), dropped)
            }
            None => (None, Vec::new()),
        };
        let parameter = |path: &str| Dialect::Query.parameter(path);
        let dropped = dropped.into_iter().map(|dropped| DroppedV1 { parameter: parameter(&dropped.parameter), reason: dropped.reason });
        Self {
            plan: explanation.into(),
            cap: quote.cap.map(|cap| CapV1 { max_cost_usd: cap.limit, fit: cap.fit.into() }),
            budget: quote.budget.map(|budget| BudgetV1 { remaining_usd: budget.limit, fit: budget.fit.into() }),
            estimate: EstimateV1 {
                input_tokens: quote.input_tokens,
                output_tokens: quote.output_tokens,
                cost_usd: quote.cost,
                max_cost_usd: quote.max_cost,
            },
            cache: CacheV1 { outcome: cache },
            upstream_request,
            dropped: dropped.collect(),
        }
    }
}

impl From<Option<Fit>> for FitV1 {
    fn from(fit: Option<Fit>) -> Self {
        let (verdict, max_output_tokens, reason) = match fit {
            Some(Fit::Fits) => ("fits", None, None),
            Some(Fit::Lowered(output)) => ("lowered", Some(output), None),
            Some(Fit::TooDear(needed)) => ("refused", None, Some(format!("even the shortest answer may cost ${needed}"))),
            None => ("refused", None, Some("nobody knows how much it may cost".to_owned())),
        };
        Self { verdict, max_output_tokens, reason }
    }
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
    /// Null: nobody knows; it is never 0 then.
    pub cost_usd: Option<Usd>,
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
            (r#"{"query":"x","max_cost_usd":-1}"#, "max_cost_usd"),
            (r#"{"query":"x","max_cost_usd":"1"}"#, "max_cost_usd"),
            (r#"{"query":"x","tenant":1}"#, "tenant"),
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
