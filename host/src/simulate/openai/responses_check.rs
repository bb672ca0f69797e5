//! What `/responses` refuses.

use super::models::Model;
use super::tools::{check_effort, check_name, check_sampling, check_service_tier, check_strict_schema};
use super::{INVALID_REQUEST, empty_array, invalid_value, missing};
use crate::simulate::prompt::{is_set, list_at, str_at};
use crate::simulate::seal::Bound;
use crate::simulate::wire::Problem;
use serde_json::Value;

const FIELDS: [&str; 32] = [
    "model",
    "input",
    "instructions",
    "max_output_tokens",
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "reasoning",
    "include",
    "stream",
    "stream_options",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "store",
    "truncation",
    "top_logprobs",
    "previous_response_id",
    "conversation",
    "background",
    "prompt",
    "max_tool_calls",
    "context_management",
    "moderation",
    "extra_tools",
];
const MIN_OUTPUT_TOKENS: u64 = 16;
/// What all encrypted content is bound to: it is valid for the account, not for one model.
pub(super) const REASONING: Bound<'static> = Bound(&["openai", "reasoning"]);

pub(super) fn check(body: &Value) -> Result<Model<'_>, Problem> {
    if let Some(unknown) = body.as_object().and_then(|body| body.keys().find(|key| !FIELDS.contains(&key.as_str()))) {
        let message = format!("Unknown parameter: '{unknown}'.");
        return Err(Problem::new(400, INVALID_REQUEST, message).param(unknown.clone()).code("unknown_parameter"));
    }
    let model = check_model(body)?;
    if is_set(body, "previous_response_id") {
        let message = format!("Previous response with id '{}' not found.", str_at(body, "previous_response_id"));
        return Err(Problem::new(400, INVALID_REQUEST, message).param("previous_response_id").code("previous_response_not_found"));
    }
    check_output_limit(body)?;
    let effort = body.pointer("/reasoning/effort").and_then(Value::as_str);
    if let Some(effort) = effort.filter(|effort| *effort != "max" || !model.takes_max_effort()) {
        check_effort(model, effort, "reasoning.effort")?;
    }
    if model.reasons() && effort != Some("none") && is_set(body, "top_logprobs") {
        let message = "logprobs are not supported with reasoning models.";
        return Err(Problem::new(400, INVALID_REQUEST, message).param("top_logprobs").code("unsupported_parameter"));
    }
    check_sampling(model, body, effort)?;
    check_service_tier(body, &["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"])?;
    list_at(body, "tools").iter().enumerate().try_for_each(|(index, tool)| check_tool(index, tool))?;
    check_format(body)?;
    check_input(body)?;
    Ok(model)
}

fn check_model(body: &Value) -> Result<Model<'_>, Problem> {
    let name = str_at(body, "model");
    if name.is_empty() {
        return Err(missing("model"));
    }
    Model::known(name).ok_or_else(|| {
        let message = format!("The requested model '{name}' does not exist.");
        Problem::new(400, INVALID_REQUEST, message).param("model").code("model_not_found")
    })
}

fn check_output_limit(body: &Value) -> Result<(), Problem> {
    match body.get("max_output_tokens").filter(|limit| !limit.is_null()) {
        Some(limit) if limit.as_u64().is_none_or(|limit| limit < MIN_OUTPUT_TOKENS) => {
            let message = format!(
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {MIN_OUTPUT_TOKENS}, but got {limit} instead."
            );
            Err(Problem::new(400, INVALID_REQUEST, message).param("max_output_tokens").code("integer_below_min_value"))
        }
        _ => Ok(()),
    }
}

/// Hosted tools are taken and never called.
fn check_tool(index: usize, tool: &Value) -> Result<(), Problem> {
    match str_at(tool, "type") {
        "" => Err(missing(&format!("tools[{index}].type"))),
        "function" => {
            if !is_set(tool, "name") {
                return Err(missing(&format!("tools[{index}].name")));
            }
            check_name(str_at(tool, "name"), &format!("tools[{index}].name"))?;
            let param = format!("tools[{index}].parameters");
            let schema = tool.get("parameters").ok_or_else(|| missing(&param))?;
            if tool.get("strict") == Some(&Value::Bool(true)) {
                check_strict_schema(schema, &format!("function '{}'", str_at(tool, "name")), &param)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_format(body: &Value) -> Result<(), Problem> {
    let Some(format) = body.pointer("/text/format").filter(|format| !format.is_null()) else { return Ok(()) };
    match str_at(format, "type") {
        "text" => Ok(()),
        "json_object" => {
            let words = body.get("input").map(Value::to_string).unwrap_or_default().to_lowercase();
            if words.contains("json") {
                return Ok(());
            }
            let message = "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.";
            Err(Problem::new(400, INVALID_REQUEST, message).param("input"))
        }
        "json_schema" => {
            check_name(str_at(format, "name"), "text.format.name")?;
            let schema = format.get("schema").ok_or_else(|| missing("text.format.schema"))?;
            if format.get("strict") == Some(&Value::Bool(true)) {
                check_strict_schema(schema, &format!("response_format '{}'", str_at(format, "name")), "text.format.schema")?;
            }
            Ok(())
        }
        other => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'json_object', 'json_schema', and 'text'.");
            Err(invalid_value("text.format.type", message))
        }
    }
}

fn check_input(body: &Value) -> Result<(), Problem> {
    let items = match body.get("input") {
        None | Some(Value::Null) => return Err(missing("input")),
        Some(Value::String(_)) => return Ok(()),
        Some(Value::Array(items)) if items.is_empty() => return Err(empty_array("input")),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(invalid_value("input", "Invalid type for 'input': expected a string or an array.")),
    };
    let mut unanswered: Vec<&str> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match str_at(item, "type") {
            "" | "message" => check_message(index, item)?,
            "function_call" => unanswered.push(str_at(item, "call_id")),
            "function_call_output" => answer_call(item, &mut unanswered)?,
            "reasoning" => check_reasoning(item, body)?,
            _ => {}
        }
    }
    match unanswered.first() {
        Some(id) => Err(Problem::new(400, INVALID_REQUEST, format!("No tool output found for function call {id}.")).param("input")),
        None => Ok(()),
    }
}

fn answer_call(item: &Value, unanswered: &mut Vec<&str>) -> Result<(), Problem> {
    let id = str_at(item, "call_id");
    match unanswered.iter().position(|unanswered| *unanswered == id) {
        Some(call) => {
            unanswered.remove(call);
            Ok(())
        }
        None => {
            let message = format!("No tool call found for function call output with call_id {id}.");
            Err(Problem::new(400, INVALID_REQUEST, message).param("input"))
        }
    }
}

fn check_message(index: usize, item: &Value) -> Result<(), Problem> {
    let role = str_at(item, "role");
    let parts: &[&str] = match role {
        "user" | "system" | "developer" => &["input_text", "input_image", "input_file", "input_audio"],
        "assistant" => &["output_text", "refusal"],
        _ => {
            let message = format!("Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.");
            return Err(invalid_value(&format!("input[{index}].role"), message));
        }
    };
    for (part_index, part) in list_at(item, "content").iter().enumerate() {
        let kind = str_at(part, "type");
        if !parts.contains(&kind) {
            let supported = parts.iter().map(|part| format!("'{part}'")).collect::<Vec<_>>().join(", ");
            let message = format!("Invalid value: '{kind}'. Supported values are: {supported}.");
            return Err(invalid_value(&format!("input[{index}].content[{part_index}].type"), message));
        }
    }
    Ok(())
}

fn check_reasoning(item: &Value, body: &Value) -> Result<(), Problem> {
    let id = str_at(item, "id");
    if !is_set(item, "encrypted_content") {
        let message = format!(
            "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input."
        );
        let stored = body.get("store") != Some(&Value::Bool(false));
        let message = if stored { format!("Item with id '{id}' not found.") } else { message };
        return Err(Problem::new(404, INVALID_REQUEST, message).param("input"));
    }
    if REASONING.decrypts(str_at(item, "encrypted_content")) {
        return Ok(());
    }
    let message =
        format!("The encrypted content for item {id} could not be verified. Reason: Encrypted content could not be decrypted or parsed.");
    Err(Problem::new(400, INVALID_REQUEST, message).code("invalid_encrypted_content"))
}
