//! Tools, the choice among them, and the answer's format.

use crate::contract::{ChatRequest, ResponseFormat, Tool};
use crate::edge::BadRequest;
use crate::edge::dialect::chat::parse::required_object;
use crate::edge::dialect::chat::{CallForm, DIALECT};
use crate::edge::dialect::openai::{json_schema, native};
use crate::edge::dialect::openai_tools::{custom, function, plain, tool_choice};
use crate::edge::json::Fields;
use serde_json::{Map, Value};

/// Reads what a request says of tools. `extras`: for a choice with no canonical form, of a tool that the provider runs itself.
pub fn tools(fields: &mut Fields, request: &mut ChatRequest, extras: &mut Map<String, Value>) -> Result<CallForm, BadRequest> {
    let path = fields.path("tools");
    for (at, value) in fields.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(tool(Fields::of_value(format!("{path}[{at}]"), value)?)?);
    }
    let path = fields.path("functions");
    let functions = fields.list("functions")?.unwrap_or_default();
    let form = if request.tools.is_empty() && !functions.is_empty() { CallForm::FunctionCall } else { CallForm::ToolCalls };
    for (at, value) in functions.into_iter().enumerate() {
        request.tools.push(Tool::Function(function(DIALECT, Fields::of_value(format!("{path}[{at}]"), value)?, None)?));
    }
    // The old form has no room for a second call.
    let one_call = (form == CallForm::FunctionCall).then_some(false);
    request.parallel_tool_calls = fields.bool("parallel_tool_calls")?.or(one_call);
    let old_choice = fields.value("function_call");
    let is_new = fields.peek("tool_choice").is_some();
    request.tool_choice = tool_choice(fields, extras)?;
    if let Some(choice) = old_choice.filter(|_| !is_new) {
        let wrong = || fields.wrong("function_call", "must be none, auto, or {\"name\": …}");
        request.tool_choice = Some(plain(&choice).ok_or_else(wrong)?);
    }
    Ok(form)
}

fn tool(mut fields: Fields) -> Result<Tool, BadRequest> {
    match fields.required_string("type")?.as_str() {
        "function" => {
            let inner = required_object(&mut fields, "function")?;
            Ok(Tool::Function(function(DIALECT, inner, Some(fields))?))
        }
        "custom" => Ok(Tool::Custom(custom(DIALECT, required_object(&mut fields, "custom")?)?)),
        other => Ok(Tool::Other(native(DIALECT, other, fields))),
    }
}

pub fn response_format(fields: &mut Fields) -> Result<Option<ResponseFormat>, BadRequest> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(None) };
    match format.required_string("type")?.as_str() {
        "text" => Ok(Some(ResponseFormat::Text)),
        "json_object" => Ok(Some(ResponseFormat::JsonObject)),
        "json_schema" => Ok(Some(ResponseFormat::JsonSchema(json_schema(required_object(&mut format, "json_schema")?)?))),
        _ => Err(format.wrong("type", "must be text, json_object or json_schema")),
    }
}
