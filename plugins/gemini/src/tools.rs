//! `tools` and `toolConfig`.

use crate::DIALECT;
use crate::context::CUSTOM_ARGUMENT;
use crate::extras;
use crate::losses::Losses;
use crate::schema;
use llm_gateway_adapter::serde_json::value::RawValue;
use llm_gateway_adapter::serde_json::{self, Map, Value, json};
use llm_gateway_adapter::types::{ChatRequest, CustomTool, Failure, FunctionTool, Tool, ToolMode};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ToolEntry<'a> {
    #[serde(rename_all = "camelCase")]
    Functions { function_declarations: Vec<Declaration<'a>> },
    /// One that Gemini runs itself: `{"googleSearch":{}}`.
    Native(Map<String, Value>),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Declaration<'a> {
    Made(FunctionDeclaration<'a>),
    Native(Value),
}

/// `parametersJsonSchema` takes JSON Schema as callers write it; `parameters`, its older form, takes only a part of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDeclaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Parameters<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Parameters<'a> {
    Schema(Cow<'a, RawValue>),
    FreeText(Value),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig<'a> {
    function_calling_config: FunctionCallingConfig<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionCallingConfig<'a> {
    mode: Mode,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    allowed_function_names: &'a [String],
}

/// `AUTO` is the default, and needs no word.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Mode {
    Any,
    None,
    /// As `AUTO`, with the arguments held to their schema; the only such mode that takes `allowedFunctionNames`.
    Validated,
}

/// # Errors
/// `unsupported` for a tool that another provider runs, `invalid-request` for a schema that is no JSON.
pub fn entries<'a>(tools: &'a [Tool], losses: &mut Losses) -> Result<Vec<ToolEntry<'a>>, Failure> {
    let (mut declarations, mut entries) = (Vec::new(), Vec::new());
    for (index, tool) in tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        match tool {
            Tool::Function(function) => declarations.push(declaration(function, &path, losses)?),
            Tool::Custom(custom) => declarations.push(Declaration::Made(stand_in(custom, &path, losses))),
            Tool::Other(native) if native.dialect == DIALECT => entries.push(ToolEntry::Native(extras::object(native, &path)?)),
            Tool::Other(native) => {
                return Err(Failure::unsupported(&path, format!("Gemini has no tool like this one of the dialect `{}`", native.dialect)));
            }
        }
    }
    if !declarations.is_empty() {
        entries.insert(0, ToolEntry::Functions { function_declarations: declarations });
    }
    Ok(entries)
}

fn declaration<'a>(function: &'a FunctionTool, path: &str, losses: &mut Losses) -> Result<Declaration<'a>, Failure> {
    if function.cache.is_some() {
        losses.add(format!("{path}.cache"), "Gemini caches on its own; it takes no breakpoints");
    }
    let schema = function.parameters.as_deref().map(|text| schema::fit(text, &format!("{path}.parameters"), losses)).transpose()?;
    let made = FunctionDeclaration {
        name: &function.name,
        description: function.description.as_deref().map(Cow::Borrowed),
        parameters_json_schema: schema.filter(|schema| !takes_nothing(schema)).map(Parameters::Schema),
    };
    let Some(fields) = extras::own(&function.extras, &format!("{path}.extras"), losses)? else {
        return Ok(Declaration::Made(made));
    };
    let mut value = serde_json::to_value(made).map_err(|error| Failure::invalid(Some(path), error.to_string()))?;
    if let Value::Object(declaration) = &mut value {
        extras::merge(declaration, fields);
    }
    Ok(Declaration::Native(value))
}

/// Gemini wants no schema for a function without parameters.
fn takes_nothing(schema: &RawValue) -> bool {
    let Ok(fields) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(schema.get()) else { return false };
    fields.iter().all(|(name, value)| match name.as_ref() {
        "properties" => value.get().chars().all(|c| c == '{' || c == '}' || c.is_whitespace()),
        "type" | "required" | "additionalProperties" | "$schema" | "title" | "description" => true,
        _ => false,
    }) && fields.get("additionalProperties").is_none_or(|value| value.get() == "false")
}

/// The function that stands for a custom tool. Its grammar can be told, but not enforced.
fn stand_in<'a>(custom: &'a CustomTool, path: &str, losses: &mut Losses) -> FunctionDeclaration<'a> {
    for native in &custom.extras {
        extras::report(native, &format!("{path}.extras"), &[], losses);
    }
    let mut description = custom.description.as_deref().map(Cow::Borrowed);
    if let Some(grammar) = &custom.grammar {
        losses.add(format!("{path}.grammar"), "Gemini can't enforce a grammar; it stands in the tool's description");
        let rule = format!("The input must match this {} grammar:\n{}", grammar.syntax, grammar.definition);
        description = Some(description.map_or(rule.clone(), |words| format!("{words}\n\n{rule}")).into());
    }
    let parameters = json!({"type": "object", "properties": {CUSTOM_ARGUMENT: {"type": "string"}}, "required": [CUSTOM_ARGUMENT]});
    FunctionDeclaration { name: &custom.name, description, parameters_json_schema: Some(Parameters::FreeText(parameters)) }
}

/// Absent where Gemini's default, `AUTO`, says the same.
pub fn config<'a>(request: &'a ChatRequest, losses: &mut Losses) -> Option<ToolConfig<'a>> {
    if request.parallel_tool_calls == Some(false) {
        losses.add("parallel-tool-calls", "Gemini can't be told to call one tool at a time");
    }
    if !request.tools.iter().any(|tool| !matches!(tool, Tool::Other(_))) {
        if request.tool_choice.as_ref().is_some_and(|choice| choice.mode != ToolMode::Auto) && !request.tools.is_empty() {
            losses.add("tool-choice", "Gemini takes a choice only among functions");
        }
        return None;
    }
    let strict = request.tools.iter().any(|tool| matches!(tool, Tool::Function(function) if function.strict == Some(true)));
    let choice = request.tool_choice.as_ref();
    let only = choice.map_or(&[][..], |choice| &choice.only);
    let mode = match choice.map_or(ToolMode::Auto, |choice| choice.mode) {
        ToolMode::None => Mode::None,
        ToolMode::Required => Mode::Any,
        ToolMode::Auto if strict || !only.is_empty() => Mode::Validated,
        ToolMode::Auto => return None,
    };
    let allowed_function_names = if matches!(mode, Mode::None) { &[] } else { only };
    Some(ToolConfig { function_calling_config: FunctionCallingConfig { mode, allowed_function_names } })
}
