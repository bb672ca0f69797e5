//! What `/messages` refuses: fields, parameters, tools, thinking. The order of turns is in `turns`.

use super::models::Model;
use super::{Version, invalid, turns};
use crate::simulate::prompt::{is_set, list_at, str_at};
use crate::simulate::shape::{self, Shape, Step};
use crate::simulate::wire::Problem;
use serde_json::Value;

use Shape::{Any, Object};

const THINKING: Shape = Object(&[("type", Any), ("display", Any), ("budget_tokens", Any)]);
const OUTPUT: Shape = Object(&[("effort", Any), ("format", Object(&[("type", Any), ("schema", Any)])), ("task_budget", Any)]);
const CHOICE: Shape = Object(&[("type", Any), ("name", Any), ("disable_parallel_tool_use", Any)]);
const METADATA: Shape = Object(&[("user_id", Any)]);
const MESSAGES: Shape = Object(&[
    ("model", Any),
    ("max_tokens", Any),
    ("messages", Shape::List(&Object(&[("role", Any), ("content", Any)]))),
    ("system", Any),
    ("temperature", Any),
    ("top_p", Any),
    ("top_k", Any),
    ("stop_sequences", Any),
    ("stream", Any),
    ("thinking", THINKING),
    ("output_config", OUTPUT),
    ("tools", Any),
    ("tool_choice", CHOICE),
    ("cache_control", Any),
    ("metadata", METADATA),
    ("service_tier", Any),
    ("speed", Any),
    ("inference_geo", Any),
    ("container", Any),
    ("context_management", Any),
    ("mcp_servers", Any),
]);
const COUNT: Shape = Object(&[
    ("model", Any),
    ("messages", Shape::List(&Object(&[("role", Any), ("content", Any)]))),
    ("system", Any),
    ("thinking", THINKING),
    ("output_config", OUTPUT),
    ("tools", Any),
    ("tool_choice", CHOICE),
    ("cache_control", Any),
    ("context_management", Any),
    ("mcp_servers", Any),
    ("speed", Any),
]);
const MAX_CACHE_BREAKPOINTS: usize = 4;
const MIN_THINKING_BUDGET: u64 = 1024;
const MAX_NAME_BYTES: usize = 128;

pub(super) fn check_message(version: Version, body: &Value) -> Result<Model<'_>, Problem> {
    check_fields(MESSAGES, body)?;
    if !is_set(body, "max_tokens") {
        return Err(invalid("max_tokens: Field required"));
    }
    if body.get("max_tokens").and_then(Value::as_u64).is_none() {
        return Err(invalid("max_tokens: Input should be a valid integer"));
    }
    let model = check_common(version, body)?;
    check_sampling(model, version, body)?;
    check_thinking(model, body)?;
    if list_at(body, "stop_sequences").iter().any(|stop| stop.as_str().is_none_or(|stop| stop.trim().is_empty())) {
        return Err(invalid("stop_sequences: each stop sequence must contain non-whitespace"));
    }
    Ok(model)
}

pub(super) fn check_count(version: Version, body: &Value) -> Result<Model<'_>, Problem> {
    check_fields(COUNT, body)?;
    check_common(version, body)
}

fn check_fields(shape: Shape, body: &Value) -> Result<(), Problem> {
    let Some(path) = shape::unknown(shape, body) else { return Ok(()) };
    let steps = path.iter().map(|step| match step {
        Step::Member(name) => name.clone(),
        Step::Item(index) => index.to_string(),
    });
    Err(invalid(format!("{}: Extra inputs are not permitted", steps.collect::<Vec<_>>().join("."))))
}

fn check_common(version: Version, body: &Value) -> Result<Model<'_>, Problem> {
    for field in ["model", "messages"] {
        if !is_set(body, field) {
            return Err(invalid(format!("{field}: Field required")));
        }
    }
    let model = Model::known(str_at(body, "model"))?;
    check_system(body)?;
    check_tools(model, body)?;
    check_format(body)?;
    let breakpoints = cache_breakpoints(body);
    if breakpoints > MAX_CACHE_BREAKPOINTS {
        let message = format!("A maximum of {MAX_CACHE_BREAKPOINTS} blocks with cache_control may be provided. Found {breakpoints}.");
        return Err(invalid(message));
    }
    turns::check(model, version, body)?;
    Ok(model)
}

fn check_system(body: &Value) -> Result<(), Problem> {
    match body.get("system") {
        Some(Value::Array(blocks)) => blocks.iter().enumerate().try_for_each(|(index, block)| match str_at(block, "type") {
            "text" if !str_at(block, "text").is_empty() => Ok(()),
            "text" => Err(invalid("system: text content blocks must be non-empty")),
            other => Err(invalid(format!("system.{index}.type: Input should be 'text', not '{other}'"))),
        }),
        None | Some(Value::String(_) | Value::Null) => Ok(()),
        Some(_) => Err(invalid("system: Input should be a valid string or a valid list")),
    }
}

fn check_sampling(model: Model<'_>, version: Version, body: &Value) -> Result<(), Problem> {
    let set = ["temperature", "top_p", "top_k"].into_iter().find(|field| is_set(body, field));
    match set {
        Some(field) if version >= Version::October2026 => return Err(invalid(format!("{field}: Extra inputs are not permitted"))),
        Some(field) if model.refuses_sampling() && body.get(field).and_then(Value::as_f64) != Some(1.0) => {
            return Err(invalid(format!("`{field}` is not supported on this model; omit it.")));
        }
        _ => {}
    }
    if is_set(body, "temperature") && is_set(body, "top_p") {
        return Err(invalid("`temperature` and `top_p` cannot both be specified for this model. Please use only one."));
    }
    for field in ["temperature", "top_p"] {
        if body.get(field).and_then(Value::as_f64).is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            return Err(invalid(format!("{field}: range: 0..1")));
        }
    }
    Ok(())
}

fn check_thinking(model: Model<'_>, body: &Value) -> Result<(), Problem> {
    let Some(thinking) = body.get("thinking").filter(|thinking| !thinking.is_null()) else { return Ok(()) };
    let kind = str_at(thinking, "type");
    let accepted = match kind {
        "adaptive" => model.takes_adaptive_thinking(),
        "enabled" => model.takes_thinking_budget(),
        "disabled" => !model.refuses_disabled_thinking(),
        "between_tools" => model.takes_thinking_between_tools(),
        _ => false,
    };
    if !accepted {
        return Err(invalid(format!("thinking.type: '{kind}' is not supported on this model")));
    }
    if !matches!(str_at(thinking, "display"), "" | "summarized" | "omitted") {
        return Err(invalid("thinking.adaptive.display: Input should be 'summarized' or 'omitted'"));
    }
    if kind == "enabled" {
        check_budget(body, thinking)?;
    }
    Ok(())
}

fn check_budget(body: &Value, thinking: &Value) -> Result<(), Problem> {
    let Some(budget) = thinking.get("budget_tokens").and_then(Value::as_u64) else {
        return Err(invalid("thinking.enabled.budget_tokens: Field required"));
    };
    if budget < MIN_THINKING_BUDGET {
        return Err(invalid(format!("thinking.enabled.budget_tokens: Input should be greater than or equal to {MIN_THINKING_BUDGET}")));
    }
    if body.get("max_tokens").and_then(Value::as_u64).is_some_and(|limit| limit <= budget) {
        return Err(invalid(
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size",
        ));
    }
    if body.get("temperature").and_then(Value::as_f64).is_some_and(|temperature| temperature != 1.0) {
        return Err(invalid("`temperature` may only be set to 1 when thinking is enabled."));
    }
    if matches!(body.pointer("/tool_choice/type").and_then(Value::as_str), Some("any" | "tool")) {
        return Err(invalid("Thinking may not be enabled when tool_choice forces tool use."));
    }
    check_loop_begins_with_thinking(list_at(body, "messages"))
}

/// With a budget, a turn whose tools are answered now must begin with what was thought before the calls. Adaptive thinking does not ask for it.
fn check_loop_begins_with_thinking(messages: &[Value]) -> Result<(), Problem> {
    let [before @ .., turn, last] = messages else { return Ok(()) };
    if !list_at(last, "content").iter().any(|block| str_at(block, "type") == "tool_result") {
        return Ok(());
    }
    match list_at(turn, "content").first().map(|block| str_at(block, "type")) {
        None | Some("thinking" | "redacted_thinking") => Ok(()),
        Some(found) => Err(invalid(format!(
            "messages.{}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). To avoid this requirement, disable `thinking`.",
            before.len()
        ))),
    }
}

fn check_tools(model: Model<'_>, body: &Value) -> Result<(), Problem> {
    let tools = list_at(body, "tools");
    for (index, tool) in tools.iter().enumerate() {
        // A tool with another type is one of the server's own.
        if matches!(str_at(tool, "type"), "" | "custom") {
            check_tool(index, tool)?;
        }
    }
    let Some(choice) = body.get("tool_choice").filter(|choice| !choice.is_null()) else { return Ok(()) };
    let kind = str_at(choice, "type");
    if tools.is_empty() && kind != "none" {
        return Err(invalid("tool_choice: tool_choice may only be specified while providing tools."));
    }
    match kind {
        "auto" | "none" => Ok(()),
        "any" | "tool" if model.refuses_forced_tools() => {
            Err(invalid(format!("tool_choice: '{kind}' is not supported on this model. Use 'auto' or 'none'.")))
        }
        "any" => Ok(()),
        "tool" if tools.iter().any(|tool| str_at(tool, "name") == str_at(choice, "name")) => Ok(()),
        "tool" => Err(invalid(format!("Tool '{}' not found in provided tools", str_at(choice, "name")))),
        other => Err(invalid(format!(
            "tool_choice: Input tag '{other}' found using 'type' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'"
        ))),
    }
}

fn check_tool(index: usize, tool: &Value) -> Result<(), Problem> {
    let name = str_at(tool, "name");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(allowed) {
        return Err(invalid(format!("tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,{MAX_NAME_BYTES}}}$'")));
    }
    match tool.get("input_schema") {
        None | Some(Value::Null) => Err(invalid(format!("tools.{index}.custom.input_schema: Field required"))),
        Some(schema) if str_at(schema, "type") != "object" => {
            Err(invalid(format!("tools.{index}.custom.input_schema.type: Field required")))
        }
        Some(_) => Ok(()),
    }
}

fn check_format(body: &Value) -> Result<(), Problem> {
    let Some(format) = body.pointer("/output_config/format").filter(|format| !format.is_null()) else { return Ok(()) };
    if str_at(format, "type") != "json_schema" {
        return Err(invalid("output_config.format.type: Input should be 'json_schema'"));
    }
    match format.get("schema") {
        None | Some(Value::Null) => Err(invalid("output_config.format.schema: Field required")),
        Some(schema) if has_open_object(schema) => {
            Err(invalid("output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"))
        }
        Some(_) => Ok(()),
    }
}

fn has_open_object(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            let is_open = str_at(schema, "type") == "object" && schema.get("additionalProperties") != Some(&Value::Bool(false));
            is_open || members.values().any(has_open_object)
        }
        Value::Array(items) => items.iter().any(has_open_object),
        _ => false,
    }
}

/// On blocks, tools and the request itself, wherever they stand.
fn cache_breakpoints(body: &Value) -> usize {
    fn on(value: &Value) -> usize {
        usize::from(is_set(value, "cache_control"))
    }
    let blocks = |value: &Value, key: &str| list_at(value, key).iter().map(on).sum::<usize>();
    let messages: usize = list_at(body, "messages").iter().map(|message| blocks(message, "content")).sum();
    on(body) + blocks(body, "tools") + blocks(body, "system") + messages
}
