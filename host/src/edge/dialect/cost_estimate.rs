//! What is asked of `/v1/gateway/cost-estimate`, in the words of the query routes, and how it is answered.

use super::query::{self, QueryLimits};
use crate::contract::ChatRequest;
use crate::domain::{Target, chat_request};
use crate::edge::BadRequest;
use crate::edge::json::{Fields, MAX_MODEL_BYTES};
use crate::money::Usd;
use crate::price::{Cost, PriceSource};
use serde::Serialize;
use serde_json::Value;

/// Models that one question may name.
const MAX_MODELS: usize = 16;

/// A question for what a prompt would cost.
#[derive(Debug, Clone)]
pub struct CostQuestion {
    /// Never empty.
    pub targets: Vec<Target>,
    /// Whether `model` is a list, and so is the answer.
    pub is_list: bool,
    /// Without messages where the prompt's length is given.
    pub request: ChatRequest,
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
    /// The caller's own id, in the body.
    pub request_id: Option<String>,
}

/// # Errors
/// The field at fault.
pub fn parse(body: &[u8], limits: QueryLimits) -> Result<CostQuestion, BadRequest> {
    let mut fields = Fields::of_body(body)?;
    let (targets, is_list) = targets(&mut fields)?;
    let output_tokens = fields.integer("output_tokens", 0, u32::MAX)?;
    let input_tokens = fields.integer("input_tokens", 0, u32::MAX)?;
    let (request, request_id) = match input_tokens {
        None if fields.peek("query").is_none() => return Err(fields.wrong("query", "is required, or `input_tokens` in its place")),
        None => {
            let (request, request_id, _) = query::question(fields, limits)?;
            (request, request_id)
        }
        Some(_) => {
            if fields.peek("query").is_some() || fields.peek("system").is_some() {
                return Err(fields.wrong("input_tokens", "stands in place of `query` and `system`: leave out the one or the other"));
            }
            let mut request = chat_request(String::new(), Vec::new());
            request.max_output = fields.integer("max_tokens", 1, u32::MAX)?;
            (request, fields.string("request_id")?)
        }
    };
    Ok(CostQuestion { targets, is_list, request, input_tokens, output_tokens, request_id })
}

fn targets(fields: &mut Fields) -> Result<(Vec<Target>, bool), BadRequest> {
    let task = query::task(fields)?;
    if !matches!(fields.peek("model"), Some(Value::Array(_))) {
        return Ok((vec![query::one_target(fields, task)?], false));
    }
    if fields.model("model_version")?.is_some() {
        return Err(fields.wrong("model_version", "is not for a list of models: write `provider/model`"));
    }
    let models = fields.list("model")?.unwrap_or_default();
    if !(1..=MAX_MODELS).contains(&models.len()) {
        return Err(fields.wrong("model", format!("must name 1 to {MAX_MODELS} models")));
    }
    let named = (0..).zip(models).map(|(at, model): (usize, Value)| match model {
        Value::String(model) if (1..=MAX_MODEL_BYTES).contains(&model.len()) => Ok(query::target(model, None, task)),
        _ => Err(fields.wrong(&format!("model[{at}]"), format!("must be a string of 1 to {MAX_MODEL_BYTES} bytes"))),
    });
    Ok((named.collect::<Result<_, _>>()?, true))
}

/// What a prompt would cost, or why nobody knows.
#[derive(Debug, Serialize)]
pub struct EstimateV1 {
    /// The provider.
    pub model: String,
    pub model_version: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Whether the caller said nothing of the output's length.
    pub output_tokens_assumed: bool,
    /// Null: not known. Never 0 for that.
    pub estimated_cost_usd: Option<Usd>,
    pub price_per_input_token: Option<f64>,
    pub price_per_output_token: Option<f64>,
    pub breakdown: Option<Cost>,
    pub price_source: Option<PriceSource>,
    /// The day whose prices these are.
    pub price_date: Option<String>,
    /// Always true: nobody was asked.
    pub estimated: bool,
    /// Why there is no cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One of several models for which there is no estimate.
#[derive(Debug, Serialize)]
pub struct NoEstimateV1 {
    /// As the caller wrote it.
    pub model: String,
    pub error: String,
    pub code: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIMITS: QueryLimits = QueryLimits { query_chars: 10 };

    fn asked(body: &str) -> CostQuestion {
        parse(body.as_bytes(), LIMITS).unwrap()
    }

    #[test]
    fn a_prompt_is_given_as_text_or_by_its_length() {
        let question = asked(r#"{"model":"openai/gpt-5.4","query":"Hello","system":"Hi","max_tokens":5}"#);
        assert_eq!((question.input_tokens, question.request.messages.len(), question.request.max_output), (None, 2, Some(5)));
        let question = asked(r#"{"input_tokens":0,"output_tokens":7,"request_id":"r"}"#);
        assert_eq!((question.input_tokens, question.output_tokens, question.request_id.as_deref()), (Some(0), Some(7), Some("r")));
        assert_eq!((question.targets, question.is_list), (vec![Target::Any(None)], false));
    }

    #[test]
    fn a_list_of_models_is_answered_by_a_list() {
        let question = asked(r#"{"model":["openai","claude/claude-opus-5"],"input_tokens":1}"#);
        let openai = Target::Provider { provider: "openai".into(), model: None, task: None };
        assert_eq!((question.targets, question.is_list), (vec![openai, Target::Name("claude/claude-opus-5".into())], true));
        assert!(asked(r#"{"model":["openai"],"input_tokens":1}"#).is_list);
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let many = format!(r#"{{"model":[{}"x"],"input_tokens":1}}"#, r#""x","#.repeat(16));
        for (body, field) in [
            ("{}", "query"),
            (r#"{"query":" "}"#, "query"),
            (r#"{"query":"12345678901"}"#, "query"),
            (r#"{"query":"x","input_tokens":1}"#, "input_tokens"),
            (r#"{"input_tokens":-1}"#, "input_tokens"),
            (r#"{"input_tokens":1,"output_tokens":"many"}"#, "output_tokens"),
            (r#"{"input_tokens":1,"model":[]}"#, "model"),
            (many.as_str(), "model"),
            (r#"{"input_tokens":1,"model":["a",""]}"#, "model[1]"),
            (r#"{"input_tokens":1,"model":["a"],"model_version":"b"}"#, "model_version"),
            (r#"{"input_tokens":1,"model_version":"b"}"#, "model"),
            (r#"{"input_tokens":1,"max_tokens":0}"#, "max_tokens"),
        ] {
            assert_eq!(parse(body.as_bytes(), LIMITS).unwrap_err().param.as_deref(), Some(field), "{body}");
        }
    }
}
