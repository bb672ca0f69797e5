//! A request's tools and the choice among them.

use super::DIALECT;
use crate::contract::{CustomTool, FunctionTool, Grammar, Tool, ToolChoice, ToolMode};
use crate::edge::BadRequest;
use crate::edge::dialect::openai;
use crate::edge::json::Fields;
use serde_json::{Map, Value};

/// Functions and custom tools; any other is one that the provider runs itself, for adapters of this dialect.
///
/// # Errors
/// The field at fault.
pub fn tools(fields: &mut Fields) -> Result<Vec<Tool>, BadRequest> {
    let values = fields.list("tools")?.unwrap_or_default().into_iter().enumerate();
    values.map(|(at, value)| tool(Fields::of_value(format!("tools[{at}]"), value)?)).collect()
}

fn tool(mut fields: Fields) -> Result<Tool, BadRequest> {
    match fields.required_string("type")?.as_str() {
        "function" => Ok(Tool::Function(FunctionTool {
            name: fields.required_string("name")?,
            description: fields.string("description")?,
            parameters: openai::schema(&mut fields, "parameters")?,
            strict: fields.bool("strict")?,
            cache: None,
            extras: openai::extras(DIALECT, fields.rest()),
        })),
        "custom" => Ok(Tool::Custom(CustomTool {
            name: fields.required_string("name")?,
            description: fields.string("description")?,
            grammar: grammar(&mut fields)?,
            extras: openai::extras(DIALECT, fields.rest()),
        })),
        other => Ok(Tool::Other(openai::native(DIALECT, other, fields))),
    }
}

fn grammar(tool: &mut Fields) -> Result<Option<Grammar>, BadRequest> {
    let Some(mut format) = tool.object("format")? else { return Ok(None) };
    match format.required_string("type")?.as_str() {
        "text" => Ok(None),
        "grammar" => Ok(Some(Grammar { syntax: format.required_string("syntax")?, definition: format.required_string("definition")? })),
        _ => Err(format.wrong("type", "must be text or grammar")),
    }
}

/// The choice, if it is one among functions and custom tools. One of the provider's own tools has no canonical name and becomes an extra.
///
/// # Errors
/// It is no choice at all.
pub fn choice(fields: &mut Fields, extras: &mut Map<String, Value>) -> Result<Option<ToolChoice>, BadRequest> {
    let Some(value) = fields.value("tool_choice") else { return Ok(None) };
    let plain = |mode| Ok(Some(ToolChoice { mode, only: Vec::new() }));
    match value.as_str() {
        Some("none") => return plain(ToolMode::None),
        Some("auto") => return plain(ToolMode::Auto),
        Some("required") => return plain(ToolMode::Required),
        _ => {}
    }
    if !value["type"].is_string() {
        return Err(fields.wrong("tool_choice", "must be none, auto, required, or an object with a `type`"));
    }
    let choice = named(&value).map(|name| ToolChoice { mode: ToolMode::Required, only: vec![name] }).or_else(|| allowed(&value));
    if choice.is_none() {
        extras.insert("tool_choice".to_owned(), value);
    }
    Ok(choice)
}

fn named(tool: &Value) -> Option<String> {
    matches!(tool["type"].as_str(), Some("function" | "custom")).then_some(())?;
    tool["name"].as_str().map(str::to_owned)
}

fn allowed(choice: &Value) -> Option<ToolChoice> {
    (choice["type"] == "allowed_tools").then_some(())?;
    let mode = if choice["mode"] == "required" { ToolMode::Required } else { ToolMode::Auto };
    let only = choice["tools"].as_array()?.iter().map(named).collect::<Option<Vec<_>>>()?;
    // An empty list would mean all.
    (!only.is_empty()).then_some(ToolChoice { mode, only })
}
