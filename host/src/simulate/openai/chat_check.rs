//! What `/chat/completions` refuses.

use super::models::{self, Model};
use super::tools::{check_effort, check_name, check_sampling, check_service_tier, check_strict_schema};
use super::{INVALID_REQUEST, check_range, empty_array, invalid_value, missing, unsupported_parameter};
use crate::simulate::prompt::{is_set, list_at, str_at};
use crate::simulate::wire::Problem;
use serde_json::Value;

const FIELDS: [&str; 38] = [
    "model",
    "messages",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "n",
    "stop",
    "seed",
    "reasoning_effort",
    "verbosity",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "stream",
    "stream_options",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "user",
    "metadata",
    "store",
    "service_tier",
    "functions",
    "function_call",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "moderation",
    "user_location",
];
const MAX_STOPS: usize = 4;
/// The API takes 128; so many copies of a text serve nobody.
const MAX_ALTERNATIVES: f64 = 8.0;

pub(super) fn check(body: &Value) -> Result<Model<'_>, Problem> {
    check_fields(body)?;
    let model = check_model(body)?;
    let effort = body.get("reasoning_effort").and_then(Value::as_str);
    if let Some(effort) = effort {
        check_effort(model, effort, "reasoning_effort")?;
    }
    check_limits(model, body)?;
    check_sampling(model, body, effort)?;
    check_service_tier(body, &["auto", "default", "flex", "scale", "priority", "fast"])?;
    check_range(body, "n", 1.0, MAX_ALTERNATIVES)?;
    if is_set(body, "stream_options") && body.get("stream") != Some(&Value::Bool(true)) {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Problem::new(400, INVALID_REQUEST, message).param("stream_options"));
    }
    check_tools(model, body, effort)?;
    check_messages(body)?;
    check_format(body)?;
    Ok(model)
}

fn check_fields(body: &Value) -> Result<(), Problem> {
    match body.as_object().and_then(|body| body.keys().find(|key| !FIELDS.contains(&key.as_str()))) {
        Some(unknown) => Err(Problem::new(400, INVALID_REQUEST, format!("Unrecognized request argument supplied: {unknown}"))),
        None => Ok(()),
    }
}

fn check_model(body: &Value) -> Result<Model<'_>, Problem> {
    let name = str_at(body, "model");
    if name.is_empty() {
        return Err(Problem::new(400, INVALID_REQUEST, "you must provide a model parameter"));
    }
    if name.contains(char::is_whitespace) {
        return Err(Problem::new(400, INVALID_REQUEST, "invalid model ID"));
    }
    Model::known(name).ok_or_else(|| models::not_found(name))
}

fn check_limits(model: Model<'_>, body: &Value) -> Result<(), Problem> {
    if model.reasons() {
        if is_set(body, "max_tokens") {
            let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
            return Err(Problem::new(400, INVALID_REQUEST, message).param("max_tokens").code("unsupported_parameter"));
        }
        const REFUSED: [&str; 4] = ["stop", "presence_penalty", "frequency_penalty", "logit_bias"];
        if let Some(param) = REFUSED.iter().find(|param| is_set(body, param)) {
            return Err(unsupported_parameter(param));
        }
    }
    for param in ["max_tokens", "max_completion_tokens"] {
        check_range(body, param, 1.0, f64::MAX)?;
    }
    check_range(body, "presence_penalty", -2.0, 2.0)?;
    check_range(body, "frequency_penalty", -2.0, 2.0)?;
    let stops = list_at(body, "stop").len();
    if stops > MAX_STOPS {
        let message = format!(
            "Invalid 'stop': array too long. Expected an array with maximum length {MAX_STOPS}, but got an array with length {stops} instead."
        );
        return Err(Problem::new(400, INVALID_REQUEST, message).param("stop").code("array_above_max_length"));
    }
    Ok(())
}

fn check_tools(model: Model<'_>, body: &Value, effort: Option<&str>) -> Result<(), Problem> {
    if !is_set(body, "tools") {
        let only_with_tools = ["tool_choice", "parallel_tool_calls"].into_iter().find(|param| is_set(body, param));
        return match only_with_tools {
            Some(param) => {
                let message = format!("Invalid value for '{param}': '{param}' is only allowed when 'tools' are specified.");
                Err(Problem::new(400, INVALID_REQUEST, message).param(param))
            }
            None => Ok(()),
        };
    }
    let tools = list_at(body, "tools");
    if tools.is_empty() {
        return Err(empty_array("tools"));
    }
    for (index, tool) in tools.iter().enumerate() {
        check_tool(index, tool)?;
    }
    if model.refuses_chat_tools(effort) && tools.iter().any(|tool| str_at(tool, "type") == "function") {
        let message = format!(
            "Function tools with reasoning_effort are not supported for {} in /v1/chat/completions. Please use /v1/responses instead.",
            model.name
        );
        return Err(Problem::new(400, INVALID_REQUEST, message).param("reasoning_effort"));
    }
    let named = body.pointer("/tool_choice/function/name").and_then(Value::as_str);
    if let Some(named) = named
        && !tools.iter().any(|tool| tool.pointer("/function/name").and_then(Value::as_str) == Some(named))
    {
        let message = format!("Tool choice '{named}' not found in 'tools' parameter.");
        return Err(Problem::new(400, INVALID_REQUEST, message).param("tool_choice"));
    }
    Ok(())
}

fn check_tool(index: usize, tool: &Value) -> Result<(), Problem> {
    match str_at(tool, "type") {
        "function" => {
            let function = tool.get("function").ok_or_else(|| missing(&format!("tools[{index}].function")))?;
            check_name(str_at(function, "name"), &format!("tools[{index}].function.name"))?;
            match (function.get("strict"), function.get("parameters")) {
                (Some(Value::Bool(true)), Some(schema)) => {
                    let what = format!("function '{}'", str_at(function, "name"));
                    check_strict_schema(schema, &what, &format!("tools[{index}].function.parameters"))
                }
                _ => Ok(()),
            }
        }
        "custom" => {
            let custom = tool.get("custom").ok_or_else(|| missing(&format!("tools[{index}].custom")))?;
            check_name(str_at(custom, "name"), &format!("tools[{index}].custom.name"))
        }
        "" => Err(missing(&format!("tools[{index}].type"))),
        other => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'function' and 'custom'.");
            Err(invalid_value(&format!("tools[{index}].type"), message))
        }
    }
}

fn check_messages(body: &Value) -> Result<(), Problem> {
    if !body.get("messages").is_some_and(Value::is_array) {
        return Err(missing("messages"));
    }
    let messages = list_at(body, "messages");
    if messages.is_empty() {
        return Err(empty_array("messages"));
    }
    let mut unanswered: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = str_at(message, "role");
        if role == "tool" {
            answer_call(index, message, &mut unanswered)?;
        } else if !unanswered.is_empty() {
            return Err(not_answered(index, &unanswered));
        }
        check_message(index, message, role)?;
        if role == "assistant" {
            unanswered = list_at(message, "tool_calls").iter().map(|call| str_at(call, "id")).collect();
        }
    }
    if unanswered.is_empty() { Ok(()) } else { Err(not_answered(messages.len(), &unanswered)) }
}

fn answer_call(index: usize, message: &Value, unanswered: &mut Vec<&str>) -> Result<(), Problem> {
    let id = str_at(message, "tool_call_id");
    match unanswered.iter().position(|unanswered| *unanswered == id) {
        Some(call) => {
            unanswered.remove(call);
            Ok(())
        }
        None => {
            let message = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
            Err(Problem::new(400, INVALID_REQUEST, message).param(format!("messages.[{index}].role")))
        }
    }
}

fn not_answered(index: usize, ids: &[&str]) -> Problem {
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        ids.join(", ")
    );
    Problem::new(400, INVALID_REQUEST, message).param(format!("messages.[{index}].role"))
}

fn check_message(index: usize, message: &Value, role: &str) -> Result<(), Problem> {
    let parts: &[&str] = match role {
        "system" | "developer" | "tool" => &["text"],
        "user" => &["text", "image_url", "input_audio", "file"],
        "assistant" => &["text", "refusal"],
        "function" => &[],
        other => {
            let message = format!(
                "Invalid value: '{other}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
            );
            return Err(invalid_value(&format!("messages[{index}].role"), message));
        }
    };
    let stands_for_content = |member: &&str| role == "assistant" && is_set(message, member);
    if !is_set(message, "content") && !["tool_calls", "function_call", "refusal"].iter().any(stands_for_content) {
        let message = format!("Invalid value for 'content': expected a string, got null. (messages.[{index}].content)");
        return Err(Problem::new(400, INVALID_REQUEST, message).param(format!("messages.[{index}].content")));
    }
    for (part_index, part) in list_at(message, "content").iter().enumerate() {
        let kind = str_at(part, "type");
        let param = format!("messages[{index}].content[{part_index}]");
        if !parts.contains(&kind) {
            let supported = parts.iter().map(|part| format!("'{part}'")).collect::<Vec<_>>().join(", ");
            return Err(invalid_value(&format!("{param}.type"), format!("Invalid value: '{kind}'. Supported values are: {supported}.")));
        }
        check_part(kind, part, &param)?;
    }
    for (call_index, call) in list_at(message, "tool_calls").iter().enumerate() {
        if str_at(call, "type") == "function" && !call.pointer("/function/arguments").is_some_and(Value::is_string) {
            let param = format!("messages[{index}].tool_calls[{call_index}].function.arguments");
            let message = format!("Invalid type for '{param}': expected a string.");
            return Err(Problem::new(400, INVALID_REQUEST, message).param(param).code("invalid_type"));
        }
    }
    Ok(())
}

fn check_part(kind: &str, part: &Value, param: &str) -> Result<(), Problem> {
    let file = part.pointer("/file/file_data").and_then(Value::as_str);
    if let Some(file) = file.filter(|file| kind == "file" && !file.starts_with("data:application/pdf;base64,")) {
        let param = format!("{param}.file.file_data");
        let media_type = file.strip_prefix("data:").and_then(|file| file.split(';').next()).unwrap_or("none");
        let message = format!(
            "Invalid file data: '{param}'. Expected a base64-encoded data URL with an application/pdf MIME type (e.g. 'data:application/pdf;base64,SGVsbG8sIFdvcmxkIQ=='), but got unsupported MIME type '{media_type}'."
        );
        return Err(invalid_value(&param, message));
    }
    let needed = match kind {
        "text" => "/text",
        "image_url" => "/image_url/url",
        "input_audio" => "/input_audio/data",
        _ => return Ok(()),
    };
    match part.pointer(needed) {
        Some(Value::String(_)) => Ok(()),
        _ => Err(missing(&format!("{param}{}", needed.replace('/', ".")))),
    }
}

fn check_format(body: &Value) -> Result<(), Problem> {
    let Some(format) = body.get("response_format").filter(|format| !format.is_null()) else { return Ok(()) };
    match str_at(format, "type") {
        "text" => Ok(()),
        "json_object" => {
            let words = body.get("messages").map(Value::to_string).unwrap_or_default().to_lowercase();
            if words.contains("json") {
                return Ok(());
            }
            let message = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.";
            Err(Problem::new(400, INVALID_REQUEST, message).param("messages"))
        }
        "json_schema" => {
            let schema = format.get("json_schema").ok_or_else(|| missing("response_format.json_schema"))?;
            check_name(str_at(schema, "name"), "response_format.json_schema.name")?;
            match (schema.get("strict"), schema.get("schema")) {
                (Some(Value::Bool(true)), Some(inner)) => {
                    check_strict_schema(inner, &format!("response_format '{}'", str_at(schema, "name")), "response_format")
                }
                _ => Ok(()),
            }
        }
        other => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'json_object', 'json_schema', and 'text'.");
            Err(invalid_value("response_format.type", message))
        }
    }
}
