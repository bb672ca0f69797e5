//! Checks that Chat and Responses share: function names, schemas, efforts, and sampling on models that reason.

use super::models::Model;
use super::{INVALID_REQUEST, check_range, invalid_value, unsupported_parameter};
use crate::simulate::prompt::{is_set, list_at, str_at};
use crate::simulate::wire::Problem;
use serde_json::Value;

const MAX_NAME_BYTES: usize = 64;

pub(super) fn check_name(name: &str, param: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(allowed) {
        return Ok(());
    }
    let message =
        format!("Invalid '{param}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.");
    Err(invalid_value(param, message))
}

/// `strict` promises something that only a closed schema can keep.
pub(super) fn check_strict_schema(schema: &Value, what: &str, param: &str) -> Result<(), Problem> {
    let Some(fault) = open_object(schema) else { return Ok(()) };
    let message = format!("Invalid schema for {what}: In context=(), {fault}");
    Err(Problem::new(400, INVALID_REQUEST, message).param(param).code("invalid_json_schema"))
}

fn open_object(schema: &Value) -> Option<String> {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Some("'additionalProperties' is required to be supplied and to be false.".to_owned());
        }
        let required = list_at(schema, "required");
        if let Some(optional) = properties.keys().find(|name| !required.iter().any(|required| required == name.as_str())) {
            return Some(format!(
                "'required' is required to be supplied and to be an array including every key in properties. Missing '{optional}'."
            ));
        }
        if let Some(fault) = properties.values().find_map(open_object) {
            return Some(fault);
        }
    }
    schema.get("items").and_then(open_object)
}

pub(super) fn check_effort(model: Model<'_>, effort: &str, param: &str) -> Result<(), Problem> {
    let efforts = model.efforts();
    if efforts.is_empty() {
        return Err(unsupported_parameter(param));
    }
    if efforts.contains(&effort) {
        return Ok(());
    }
    let supported = efforts.iter().map(|effort| format!("'{effort}'")).collect::<Vec<_>>().join(", ");
    let message = format!("Unsupported value: '{param}' does not support '{effort}' with this model. Supported values are: {supported}.");
    Err(Problem::new(400, INVALID_REQUEST, message).param(param).code("unsupported_value"))
}

/// A model that reasons takes sampling only while it is told not to.
pub(super) fn check_sampling(model: Model<'_>, body: &Value, effort: Option<&str>) -> Result<(), Problem> {
    const SAMPLING: [&str; 4] = ["temperature", "top_p", "logprobs", "top_logprobs"];
    if model.reasons()
        && effort != Some("none")
        && let Some(param) = SAMPLING.iter().find(|param| is_set(body, param))
    {
        return Err(unsupported_parameter(param));
    }
    check_range(body, "temperature", 0.0, 2.0)?;
    check_range(body, "top_p", 0.0, 1.0)?;
    check_range(body, "top_logprobs", 0.0, 20.0)
}

pub(super) fn check_service_tier(body: &Value, tiers: &[&str]) -> Result<(), Problem> {
    let tier = str_at(body, "service_tier");
    if tier.is_empty() || tiers.contains(&tier) {
        return Ok(());
    }
    let supported = tiers.iter().map(|tier| format!("'{tier}'")).collect::<Vec<_>>().join(", ");
    Err(invalid_value("service_tier", format!("Invalid value: '{tier}'. Supported values are: {supported}.")))
}

/// The tier that an answer names.
pub(super) fn tier_used(body: &Value) -> &str {
    match str_at(body, "service_tier") {
        "" | "auto" => "default",
        "fast" => "priority",
        tier => tier,
    }
}
