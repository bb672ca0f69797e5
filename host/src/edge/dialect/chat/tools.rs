//! Tools, the choice among them, and the answer's format.

use crate::contract::{
    CacheBreakpoint, ChatRequest, CustomTool, FunctionTool, Grammar, JsonSchema, Native, ResponseFormat, Tool, ToolChoice, ToolMode,
};
use crate::edge::BadRequest;
use crate::edge::dialect::chat::parse::{breakpoint, native, required_object};
use crate::edge::dialect::chat::{CallForm, DIALECT};
use crate::edge::json::Fields;
use serde_json::{Map, Value};

/// What a request's tools say beyond the canonical request.
#[derive(Debug)]
pub struct Tools {
    pub form: CallForm,
    /// A choice with no canonical form: of a tool that the provider runs itself.
    pub foreign_choice: Option<Value>,
}

pub fn tools(fields: &mut Fields, request: &mut ChatRequest) -> Result<Tools, BadRequest> {
    let path = fields.path("tools");
    for (at, value) in fields.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(tool(format!("{path}[{at}]"), value)?);
    }
    let path = fields.path("functions");
    let functions = fields.list("functions")?.unwrap_or_default();
    let form = if request.tools.is_empty() && !functions.is_empty() { CallForm::FunctionCall } else { CallForm::ToolCalls };
    for (at, value) in functions.into_iter().enumerate() {
        let function = function(Fields::of_value(format!("{path}[{at}]"), value)?, Beside::default())?;
        request.tools.push(Tool::Function(function));
    }
    request.parallel_tool_calls = fields.bool("parallel_tool_calls")?;
    let foreign_choice = choice(fields, request)?;
    Ok(Tools { form, foreign_choice })
}

fn choice(fields: &mut Fields, request: &mut ChatRequest) -> Result<Option<Value>, BadRequest> {
    let old = fields.value("function_call");
    if let Some(choice) = fields.value("tool_choice") {
        let is_known = choice["type"].as_str().is_none_or(|kind| ["function", "custom", "allowed_tools"].contains(&kind));
        request.tool_choice = tool_choice(&choice);
        return match &request.tool_choice {
            None if is_known => {
                let forms = "must be none, auto, required, or an object that names a function, a custom tool or allowed_tools";
                Err(fields.wrong("tool_choice", forms))
            }
            None => Ok(Some(choice)),
            Some(_) => Ok(None),
        };
    }
    if let Some(choice) = old {
        let wrong = || fields.wrong("function_call", "must be none, auto, or {\"name\": …}");
        request.tool_choice = Some(tool_choice(&choice).ok_or_else(wrong)?);
    }
    Ok(None)
}

fn tool(path: String, value: Value) -> Result<Tool, BadRequest> {
    let mut fields = Fields::of_value(path, value)?;
    match fields.required_string("type")?.as_str() {
        "function" => {
            let inner = required_object(&mut fields, "function")?;
            let cache = breakpoint(&mut fields)?;
            Ok(Tool::Function(function(inner, Beside { cache, fields: fields.rest() })?))
        }
        "custom" => Ok(Tool::Custom(custom(required_object(&mut fields, "custom")?)?)),
        other => {
            let mut whole = fields.rest();
            whole.insert("type".to_owned(), Value::from(other));
            Ok(Tool::Other(Native { dialect: DIALECT.to_owned(), value: Value::Object(whole).to_string() }))
        }
    }
}

/// What stands beside a function in its tool.
#[derive(Debug, Default)]
struct Beside {
    cache: Option<CacheBreakpoint>,
    fields: Map<String, Value>,
}

fn function(mut fields: Fields, beside: Beside) -> Result<FunctionTool, BadRequest> {
    let name = fields.required_string("name")?;
    let description = fields.string("description")?;
    let parameters = schema(&mut fields, "parameters")?;
    let strict = fields.bool("strict")?;
    let cache = breakpoint(&mut fields)?.or(beside.cache);
    let mut rest = fields.rest();
    rest.extend(beside.fields);
    Ok(FunctionTool { name, description, parameters, strict, cache, extras: native(rest) })
}

/// A JSON Schema, as it is: in a schema, `null` is not the same as nothing.
fn schema(fields: &mut Fields, name: &str) -> Result<Option<String>, BadRequest> {
    match fields.value(name) {
        None => Ok(None),
        Some(schema @ Value::Object(_)) => Ok(Some(schema.to_string())),
        Some(_) => Err(fields.wrong(name, "must be an object")),
    }
}

fn custom(mut fields: Fields) -> Result<CustomTool, BadRequest> {
    let (name, description) = (fields.required_string("name")?, fields.string("description")?);
    let mut grammar = None;
    if let Some(mut format) = fields.object("format")?
        && format.string("type")?.as_deref() == Some("grammar")
    {
        let mut told = required_object(&mut format, "grammar")?;
        grammar = Some(Grammar { syntax: told.required_string("syntax")?, definition: told.required_string("definition")? });
    }
    Ok(CustomTool { name, description, grammar, extras: native(fields.rest()) })
}

fn tool_choice(value: &Value) -> Option<ToolChoice> {
    let choice = |mode, only| Some(ToolChoice { mode, only });
    let name_of = |object: &Value| object["name"].as_str().map(str::to_owned);
    match value.as_str() {
        Some("none") => return choice(ToolMode::None, Vec::new()),
        Some("auto") => return choice(ToolMode::Auto, Vec::new()),
        Some("required" | "any") => return choice(ToolMode::Required, Vec::new()),
        Some(_) => return None,
        None => {}
    }
    match value["type"].as_str() {
        Some("function") => choice(ToolMode::Required, vec![name_of(&value["function"])?]),
        Some("custom") => choice(ToolMode::Required, vec![name_of(&value["custom"])?]),
        Some("allowed_tools") => {
            let allowed = &value["allowed_tools"];
            let mode = if allowed["mode"] == "required" { ToolMode::Required } else { ToolMode::Auto };
            let named = |tool: &Value| name_of(&tool["function"]).or_else(|| name_of(&tool["custom"])).or_else(|| name_of(tool));
            let names = allowed["tools"].as_array()?.iter().map(named);
            choice(mode, names.collect::<Option<Vec<_>>>()?)
        }
        Some(_) => None,
        None => choice(ToolMode::Required, vec![name_of(value)?]),
    }
}

pub fn response_format(fields: &mut Fields) -> Result<Option<ResponseFormat>, BadRequest> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(None) };
    match format.required_string("type")?.as_str() {
        "text" => Ok(Some(ResponseFormat::Text)),
        "json_object" => Ok(Some(ResponseFormat::JsonObject)),
        "json_schema" => {
            let mut told = required_object(&mut format, "json_schema")?;
            Ok(Some(ResponseFormat::JsonSchema(JsonSchema {
                name: told.required_string("name")?,
                description: told.string("description")?,
                schema: schema(&mut told, "schema")?.ok_or_else(|| told.wrong("schema", "is required and must be an object"))?,
                strict: told.bool("strict")?,
            })))
        }
        _ => Err(format.wrong("type", "must be text, json_object or json_schema")),
    }
}
