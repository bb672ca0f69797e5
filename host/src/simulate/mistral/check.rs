//! What Mistral's `/chat/completions` refuses: above all, every field that it does not know.

use super::{detail, models, validation};
use crate::simulate::prompt::{is_set, list_at, str_at};
use crate::simulate::seal::Bound;
use crate::simulate::shape::{self, Member, Shape, Step};
use crate::simulate::wire::Problem;
use serde_json::{Value, json};

use Shape::{Any, List, Object, Tagged};

const CHUNK: Shape = Tagged(
    "type",
    &[
        ("text", &[("type", Any), ("text", Any)]),
        ("image_url", &[("type", Any), ("image_url", Object(&[("url", Any), ("detail", Any)]))]),
        ("document_url", &[("type", Any), ("document_url", Any), ("document_name", Any)]),
        ("input_audio", &[("type", Any), ("input_audio", Any)]),
        ("file", &[("type", Any), ("file_id", Any)]),
        ("reference", &[("type", Any), ("reference_ids", Any)]),
        ("thinking", &[("type", Any), ("thinking", Any), ("signature", Any), ("closed", Any)]),
    ],
);
const TOOL_CALL: Shape = Object(&[("id", Any), ("type", Any), ("index", Any), ("function", Object(&[("name", Any), ("arguments", Any)]))]);
const MESSAGE: Shape = Tagged(
    "role",
    &[
        ("system", &[("role", Any), ("content", List(&CHUNK))]),
        ("user", &[("role", Any), ("content", List(&CHUNK))]),
        ("assistant", &[("role", Any), ("content", List(&CHUNK)), ("tool_calls", List(&TOOL_CALL)), ("prefix", Any)]),
        ("tool", &[("role", Any), ("content", List(&CHUNK)), ("tool_call_id", Any), ("name", Any)]),
    ],
);
const FUNCTION: Shape = Object(&[("name", Any), ("description", Any), ("strict", Any), ("parameters", Any)]);
const TOOL: Shape = Object(&[("type", Any), ("function", FUNCTION)]);
const SCHEMA: Shape = Object(&[("name", Any), ("description", Any), ("schema", Any), ("strict", Any)]);
const FIELDS: &[Member] = &[
    ("model", Any),
    ("messages", List(&MESSAGE)),
    ("temperature", Any),
    ("top_p", Any),
    ("max_tokens", Any),
    ("stream", Any),
    ("stop", Any),
    ("random_seed", Any),
    ("metadata", Any),
    ("response_format", Object(&[("type", Any), ("json_schema", SCHEMA)])),
    ("tools", List(&TOOL)),
    ("tool_choice", Object(&[("type", Any), ("function", Object(&[("name", Any)]))])),
    ("presence_penalty", Any),
    ("frequency_penalty", Any),
    ("n", Any),
    ("prediction", Object(&[("type", Any), ("content", Any)])),
    ("parallel_tool_calls", Any),
    ("reasoning_effort", Any),
    ("prompt_mode", Any),
    ("prompt_cache_key", Any),
    ("service_tier", Any),
    ("safe_prompt", Any),
    ("guardrails", Any),
    ("top_k", Any),
    ("min_tokens", Any),
    ("repetition_penalty", Any),
    ("logprobs", Any),
    ("top_logprobs", Any),
    ("prompt_logprobs", Any),
    ("top_prompt_logprobs", Any),
];
const CALL_ID_LENGTH: usize = 9;
const MAX_ALTERNATIVES: u64 = 8;

pub(super) fn check(body: &Value) -> Result<(), Problem> {
    if let Some(path) = shape::unknown(Object(FIELDS), body) {
        return Err(extra_forbidden(&path, body));
    }
    for field in ["model", "messages"] {
        if !is_set(body, field) {
            return Err(validation("missing", json!(["body", field]), "Field required"));
        }
    }
    if !body.get("messages").is_some_and(Value::is_array) {
        return Err(validation("list_type", json!(["body", "messages"]), "Input should be a valid list"));
    }
    check_numbers(body)?;
    check_tools(body)?;
    list_at(body, "messages").iter().enumerate().try_for_each(|(index, message)| check_message(index, message))?;
    let model = str_at(body, "model");
    if !models::is_known(model) {
        return Err(models::invalid_model(model));
    }
    check_effort(model, str_at(body, "reasoning_effort"))?;
    check_order(list_at(body, "messages"))?;
    check_calls(list_at(body, "messages"))
}

pub(super) fn extra_forbidden(path: &[Step], body: &Value) -> Problem {
    let mut place = vec![json!("body")];
    let mut input = body;
    for step in path {
        match step {
            Step::Member(name) => {
                place.push(json!(name));
                input = input.get(name).unwrap_or(&Value::Null);
            }
            Step::Item(index) => {
                place.push(json!(index));
                input = input.get(index).unwrap_or(&Value::Null);
            }
        }
    }
    let message = "Extra inputs are not permitted";
    detail(422, json!([{"type": "extra_forbidden", "loc": place, "msg": message, "input": input}]))
}

fn check_numbers(body: &Value) -> Result<(), Problem> {
    for (field, least, most) in [
        ("temperature", 0.0, 1.5),
        ("top_p", 0.0, 1.0),
        ("max_tokens", 0.0, f64::MAX),
        ("presence_penalty", -2.0, 2.0),
        ("frequency_penalty", -2.0, 2.0),
        ("n", 1.0, MAX_ALTERNATIVES as f64),
    ] {
        let Some(value) = body.get(field).filter(|value| !value.is_null()) else { continue };
        let fault = match value.as_f64() {
            None => Some(("float_type", "Input should be a valid number".to_owned())),
            Some(number) if number < least => Some(("greater_than_equal", format!("Input should be greater than or equal to {least}"))),
            Some(number) if number > most => Some(("less_than_equal", format!("Input should be less than or equal to {most}"))),
            Some(_) => None,
        };
        if let Some((kind, message)) = fault {
            return Err(validation(kind, json!(["body", field]), message));
        }
    }
    Ok(())
}

fn check_tools(body: &Value) -> Result<(), Problem> {
    if body.get("tools").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        return Err(validation("too_short", json!(["body", "tools"]), "List should have at least 1 item after validation, not 0"));
    }
    for (index, tool) in list_at(body, "tools").iter().enumerate() {
        if !matches!(str_at(tool, "type"), "" | "function") {
            return Err(validation("enum", json!(["body", "tools", index, "type"]), "Input should be 'function'"));
        }
        let Some(function) = tool.get("function") else {
            return Err(validation("missing", json!(["body", "tools", index, "function"]), "Field required"));
        };
        if let Some(missing) = ["name", "parameters"].into_iter().find(|field| !is_set(function, field)) {
            return Err(validation("missing", json!(["body", "tools", index, "function", missing]), "Field required"));
        }
    }
    match body.get("tool_choice") {
        Some(Value::String(mode)) if !matches!(mode.as_str(), "auto" | "none" | "any" | "required") => {
            Err(validation("enum", json!(["body", "tool_choice"]), "Input should be 'auto', 'none', 'any' or 'required'"))
        }
        _ => Ok(()),
    }
}

fn check_message(index: usize, message: &Value) -> Result<(), Problem> {
    let place = |field: &str| json!(["body", "messages", index, field]);
    let role = str_at(message, "role");
    if !matches!(role, "system" | "user" | "assistant" | "tool") {
        let message =
            format!("Input tag '{role}' found using 'role' does not match any of the expected tags: 'assistant', 'system', 'tool', 'user'");
        return Err(validation("union_tag_invalid", json!(["body", "messages", index]), message));
    }
    if role != "assistant" && !is_set(message, "content") {
        return Err(validation("missing", place("content"), "Field required"));
    }
    for chunk in list_at(message, "content") {
        let kind = str_at(chunk, "type");
        if !matches!(kind, "text" | "image_url" | "document_url" | "input_audio" | "file" | "reference" | "thinking") {
            return Err(validation(
                "union_tag_invalid",
                place("content"),
                format!("Input tag '{kind}' found using 'type' does not match any of the expected tags"),
            ));
        }
        if kind == "input_audio" && !chunk.get("input_audio").is_some_and(Value::is_string) {
            return Err(validation("string_type", place("content"), "Input should be a valid string"));
        }
        let thinking: String = list_at(chunk, "thinking").iter().map(|part| str_at(part, "text")).collect();
        if is_set(chunk, "signature") && !Bound(&[THINKING, &thinking]).holds(str_at(chunk, "signature")) {
            return Err(Problem::new(400, "invalid_request_invalid_args", "Invalid signature in thinking chunk").code("3051"));
        }
    }
    Ok(())
}

/// What the signature of a thinking chunk is bound to, beside its text.
pub(super) const THINKING: &str = "mistral thinking";

fn check_effort(model: &str, effort: &str) -> Result<(), Problem> {
    if effort.is_empty() || models::efforts(model).contains(&effort) {
        return Ok(());
    }
    let message = format!("reasoning_effort `{effort}` is not supported for this model");
    Err(Problem::new(400, "invalid_request_invalid_args", message).code("3051"))
}

fn misplaced(message: String) -> Problem {
    Problem::new(400, "invalid_request_message_order", message).code("3230")
}

fn check_order(messages: &[Value]) -> Result<(), Problem> {
    for pair in messages.windows(2) {
        let [before, after] = [&pair[0], &pair[1]].map(|message| str_at(message, "role"));
        let after_calls = before == "assistant" && !list_at(&pair[0], "tool_calls").is_empty();
        let allowed = match (before, after) {
            ("tool", "assistant" | "tool") => true,
            ("tool", _) => false,
            (_, "tool") => after_calls,
            _ => !after_calls,
        };
        if !allowed {
            return Err(misplaced(format!("Unexpected role '{after}' after role '{before}'")));
        }
    }
    let Some(last) = messages.last() else {
        return Err(misplaced("Expected last role User or Tool (or Assistant with prefix True) for serving but got no message".to_owned()));
    };
    match str_at(last, "role") {
        "user" | "tool" => Ok(()),
        "assistant" if last.get("prefix") == Some(&Value::Bool(true)) => Ok(()),
        role => Err(misplaced(format!("Expected last role User or Tool (or Assistant with prefix True) for serving but got {role}"))),
    }
}

fn check_calls(messages: &[Value]) -> Result<(), Problem> {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        match str_at(message, "role") {
            "tool" => {
                let id = str_at(message, "tool_call_id");
                check_id(id)?;
                let Some(call) = open.iter().position(|open| *open == id) else {
                    return Err(misplaced(format!("Unexpected tool call id {id} in tool results")));
                };
                open.remove(call);
            }
            _ if !open.is_empty() => return Err(misplaced("Not the same number of function calls and responses".to_owned())),
            _ => {
                open = list_at(message, "tool_calls").iter().map(|call| str_at(call, "id")).collect();
                open.iter().try_for_each(|id| check_id(id))?;
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err(misplaced("Not the same number of function calls and responses".to_owned())) }
}

fn check_id(id: &str) -> Result<(), Problem> {
    if id.len() == CALL_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let message = format!("Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of {CALL_ID_LENGTH}.");
    Err(Problem::new(400, "invalid_function_call", message).code("3280"))
}
