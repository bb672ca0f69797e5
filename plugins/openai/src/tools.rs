//! Tools and the choice among them. `/chat/completions` nests what `/responses` writes flat.

use crate::encoding::{Encoding, Entry, json};
use crate::endpoint::Endpoint;
use crate::strict;
use llm_gateway_adapter::types::{CustomTool, Failure, FunctionTool, Tool, ToolMode};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChatTool<'a> {
    Function { function: Function<'a> },
    Custom { custom: Custom<'a> },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponsesTool<'a> {
    Function(Function<'a>),
    Custom(Custom<'a>),
}

#[derive(Debug, Serialize)]
pub struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
pub struct Custom<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Value>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

/// # Errors
/// A schema that is no JSON, or a tool of another provider's.
pub fn for_chat<'a>(encoding: &mut Encoding<'a>) -> Result<Vec<Entry<'a, ChatTool<'a>>>, Failure> {
    each(encoding, |encoding, path, tool| {
        Ok(match tool {
            Declared::Function(tool) => ChatTool::Function { function: function(encoding, path, tool)? },
            Declared::Custom(tool) => ChatTool::Custom { custom: custom(encoding, path, tool)? },
        })
    })
}

/// # Errors
/// A schema that is no JSON, or a tool of another provider's.
pub fn for_responses<'a>(encoding: &mut Encoding<'a>) -> Result<Vec<Entry<'a, ResponsesTool<'a>>>, Failure> {
    each(encoding, |encoding, path, tool| {
        Ok(match tool {
            Declared::Function(tool) => {
                let function = function(encoding, path, tool)?;
                // Both keys are required here, and the default of `strict` is not that of the chat endpoint.
                let parameters = Some(match function.parameters {
                    Some(parameters) => parameters,
                    None => Cow::Borrowed(json(path, NO_PARAMETERS)?),
                });
                ResponsesTool::Function(Function { parameters, strict: Some(function.strict.unwrap_or(false)), ..function })
            }
            Declared::Custom(tool) => ResponsesTool::Custom(custom(encoding, path, tool)?),
        })
    })
}

const NO_PARAMETERS: &str = r#"{"type":"object","properties":{},"additionalProperties":false}"#;

enum Declared<'a> {
    Function(&'a FunctionTool),
    Custom(&'a CustomTool),
}

fn each<'a, T>(
    encoding: &mut Encoding<'a>,
    write: impl Fn(&mut Encoding<'a>, &str, Declared<'a>) -> Result<T, Failure>,
) -> Result<Vec<Entry<'a, T>>, Failure> {
    let request = encoding.request;
    let tools = request.tools.iter().enumerate().map(|(at, tool)| {
        let path = format!("tools[{at}]");
        Ok(match tool {
            Tool::Function(tool) => Entry::Known(write(encoding, &path, Declared::Function(tool))?),
            Tool::Custom(tool) => Entry::Known(write(encoding, &path, Declared::Custom(tool))?),
            Tool::Other(native) if native.dialect == encoding.endpoint.dialect() => Entry::Native(json(&path, &native.value)?),
            Tool::Other(native) => {
                return Err(Failure::unsupported(
                    &path,
                    format!("a tool of {} can't be given to {}", native.dialect, encoding.endpoint.dialect()),
                ));
            }
        })
    });
    tools.collect()
}

fn function<'a>(encoding: &mut Encoding<'a>, path: &str, tool: &'a FunctionTool) -> Result<Function<'a>, Failure> {
    encoding.no_breakpoint(path, tool.cache);
    let fitted = match tool.parameters.as_deref() {
        Some(schema) => Some(strict::fit(encoding, path, "parameters", schema, tool.strict)?),
        None => None,
    };
    let (parameters, strict) = fitted.map_or((None, tool.strict), |fitted| (Some(fitted.schema), fitted.strict));
    let mut extras = encoding.own_fields(path, &tool.extras)?;
    for own in ["type", "name", "description", "parameters", "strict"] {
        extras.shift_remove(own);
    }
    Ok(Function { name: &tool.name, description: tool.description.as_deref(), parameters, strict, extras })
}

fn custom<'a>(encoding: &mut Encoding<'a>, path: &str, tool: &'a CustomTool) -> Result<Custom<'a>, Failure> {
    let format = tool.grammar.as_ref().map(|grammar| match encoding.endpoint {
        Endpoint::Chat => json!({"type": "grammar", "grammar": {"syntax": grammar.syntax, "definition": grammar.definition}}),
        Endpoint::Responses => json!({"type": "grammar", "syntax": grammar.syntax, "definition": grammar.definition}),
    });
    let mut extras = encoding.own_fields(path, &tool.extras)?;
    for own in ["type", "name", "description"] {
        extras.shift_remove(own);
    }
    let told = extras.shift_remove("format");
    let format = format.or(told);
    Ok(Custom { name: &tool.name, description: tool.description.as_deref(), format, extras })
}

/// The choice, as the endpoint writes it. Without tools the provider refuses it.
pub fn choice(encoding: &mut Encoding<'_>) -> Option<Value> {
    let request = encoding.request;
    let choice = request.tool_choice.as_ref()?;
    if request.tools.is_empty() {
        if choice.mode == ToolMode::Required {
            encoding.dropped.report("tool-choice", "there are no tools to choose from");
        }
        return None;
    }
    Some(match (choice.mode, choice.only.as_slice()) {
        (ToolMode::None, _) => json!("none"),
        (ToolMode::Auto, []) => json!("auto"),
        (ToolMode::Required, []) => json!("required"),
        (ToolMode::Required, [name]) => named(encoding, name),
        (ToolMode::Auto, names) => allowed(encoding, "auto", names),
        (ToolMode::Required, names) => allowed(encoding, "required", names),
    })
}

fn named(encoding: &Encoding<'_>, name: &str) -> Value {
    let is_custom = encoding.request.tools.iter().any(|tool| matches!(tool, Tool::Custom(tool) if tool.name == name));
    match (encoding.endpoint, is_custom) {
        (Endpoint::Chat, false) => json!({"type": "function", "function": {"name": name}}),
        (Endpoint::Chat, true) => json!({"type": "custom", "custom": {"name": name}}),
        (Endpoint::Responses, false) => json!({"type": "function", "name": name}),
        (Endpoint::Responses, true) => json!({"type": "custom", "name": name}),
    }
}

fn allowed(encoding: &Encoding<'_>, mode: &str, names: &[String]) -> Value {
    let tools: Vec<Value> = names.iter().map(|name| named(encoding, name)).collect();
    match encoding.endpoint {
        Endpoint::Chat => json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}),
        Endpoint::Responses => json!({"type": "allowed_tools", "mode": mode, "tools": tools}),
    }
}

/// Only valid together with tools.
pub fn parallel(encoding: &mut Encoding<'_>) -> Option<bool> {
    let parallel = encoding.request.parallel_tool_calls;
    let refused = encoding.request.tools.is_empty().then_some("there are no tools to call");
    encoding.unless(refused, "parallel-tool-calls", parallel)
}
