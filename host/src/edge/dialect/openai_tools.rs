//! Tools and the choice among them, as both of OpenAI's dialects write them.
//!
//! Responses writes a tool flat, Chat puts it into a field of its type's name, and clients of either mix them up: what names a tool is taken in both
//! forms.

use crate::contract::{CustomTool, FunctionTool, Grammar, ToolChoice, ToolMode};
use crate::edge::BadRequest;
use crate::edge::dialect::openai::{cache_breakpoint, extras, schema};
use crate::edge::json::Fields;
use serde_json::{Map, Value};

/// A function. Where a tool holds it in a field, more may stand `beside` it.
///
/// # Errors
/// The field at fault.
pub fn function(dialect: &str, mut fields: Fields, beside: Option<Fields>) -> Result<FunctionTool, BadRequest> {
    let name = fields.required_string("name")?;
    let description = fields.string("description")?;
    let parameters = schema(&mut fields, "parameters")?;
    let strict = fields.bool("strict")?;
    let mut cache = cache_breakpoint(&mut fields)?;
    let mut rest = fields.rest();
    if let Some(mut beside) = beside {
        cache = cache.or(cache_breakpoint(&mut beside)?);
        rest.extend(beside.rest());
    }
    Ok(FunctionTool { name, description, parameters, strict, cache, extras: extras(dialect, rest) })
}

/// # Errors
/// The field at fault.
pub fn custom(dialect: &str, mut fields: Fields) -> Result<CustomTool, BadRequest> {
    Ok(CustomTool {
        name: fields.required_string("name")?,
        description: fields.string("description")?,
        grammar: grammar(&mut fields)?,
        extras: extras(dialect, fields.rest()),
    })
}

fn grammar(tool: &mut Fields) -> Result<Option<Grammar>, BadRequest> {
    let Some(mut format) = tool.object("format")? else { return Ok(None) };
    match format.required_string("type")?.as_str() {
        "text" => Ok(None),
        "grammar" => {
            let mut told = format.object("grammar")?.unwrap_or(format);
            Ok(Some(Grammar { syntax: told.required_string("syntax")?, definition: told.required_string("definition")? }))
        }
        _ => Err(format.wrong("type", "must be text or grammar")),
    }
}

const MODES: [(&str, ToolMode); 2] = [("auto", ToolMode::Auto), ("required", ToolMode::Required)];

/// `tool_choice`, if it is one among functions and custom tools. One of the provider's own tools has no canonical name and becomes an extra.
///
/// # Errors
/// It is no choice at all.
pub fn tool_choice(fields: &mut Fields, extras: &mut Map<String, Value>) -> Result<Option<ToolChoice>, BadRequest> {
    let Some(value) = fields.value("tool_choice") else { return Ok(None) };
    let choice = match (value.as_str(), value["type"].as_str()) {
        (_, Some("allowed_tools")) => allowed(Fields::of_value(fields.path("tool_choice"), value.clone())?)?,
        (None, Some(kind)) if kind != "function" && kind != "custom" => None,
        _ => {
            let forms = "must be none, auto, required, or an object that names a function, a custom tool or allowed_tools";
            Some(plain(&value).ok_or_else(|| fields.wrong("tool_choice", forms))?)
        }
    };
    if choice.is_none() {
        extras.insert("tool_choice".to_owned(), value);
    }
    Ok(choice)
}

/// A choice in a word, or of the one tool that it names.
pub fn plain(choice: &Value) -> Option<ToolChoice> {
    let (mode, only) = match choice.as_str() {
        Some("none") => (ToolMode::None, Vec::new()),
        Some("auto") => (ToolMode::Auto, Vec::new()),
        Some("required" | "any") => (ToolMode::Required, Vec::new()),
        Some(_) => return None,
        None => (ToolMode::Required, vec![named(choice)?]),
    };
    Some(ToolChoice { mode, only })
}

/// None if one of them is a tool of the provider's own.
fn allowed(mut choice: Fields) -> Result<Option<ToolChoice>, BadRequest> {
    let mut told = choice.object("allowed_tools")?.unwrap_or(choice);
    let mode = told.word("mode", &MODES)?.unwrap_or(ToolMode::Auto);
    let tools = told.list("tools")?.ok_or_else(|| told.wrong("tools", "is required and must be a list"))?;
    let Some(only) = tools.iter().map(named).collect::<Option<Vec<_>>>() else { return Ok(None) };
    // To the canonical request, an empty list is all of them.
    let mode = if only.is_empty() { ToolMode::None } else { mode };
    Ok(Some(ToolChoice { mode, only }))
}

/// The name of a function or a custom tool, which some clients call neither.
fn named(tool: &Value) -> Option<String> {
    let within = match tool["type"].as_str() {
        Some(kind @ ("function" | "custom")) => &tool[kind],
        Some(_) => return None,
        None => &tool["function"],
    };
    within["name"].as_str().or(tool["name"].as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::of_value(String::new(), value).unwrap()
    }

    fn chosen(choice: &Value) -> Result<(Option<ToolChoice>, Map<String, Value>), BadRequest> {
        let mut extras = Map::new();
        Ok((tool_choice(&mut fields(json!({ "tool_choice": choice })), &mut extras)?, extras))
    }

    /// A list of allowed tools in either dialect's form.
    fn both_forms(allowed: &Value) -> [Value; 2] {
        let mut flat = allowed.clone();
        flat["type"] = json!("allowed_tools");
        [flat, json!({"type": "allowed_tools", "allowed_tools": allowed})]
    }

    #[test]
    fn who_allows_no_tool_gets_none() {
        for choice in both_forms(&json!({"mode": "auto", "tools": []})) {
            assert_eq!(chosen(&choice).unwrap(), (Some(ToolChoice { mode: ToolMode::None, only: Vec::new() }), Map::new()), "{choice}");
        }
    }

    #[test]
    fn a_mode_that_is_none_and_a_list_that_is_missing_are_refused_by_name() {
        for (allowed, field) in [(json!({"mode": "most", "tools": []}), "mode"), (json!({"mode": "auto"}), "tools")] {
            let named = both_forms(&allowed).map(|choice| chosen(&choice).unwrap_err().param.unwrap());
            assert_eq!(named, [format!("tool_choice.{field}"), format!("tool_choice.allowed_tools.{field}")]);
        }
    }

    #[test]
    fn a_list_with_a_tool_of_the_providers_own_goes_along_as_it_came() {
        for choice in both_forms(&json!({"mode": "auto", "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]})) {
            assert_eq!(chosen(&choice).unwrap(), (None, Map::from_iter([("tool_choice".to_owned(), choice)])));
        }
    }

    #[test]
    fn a_grammar_is_taken_flat_and_in_a_field_of_its_own() {
        let told = json!({"syntax": "lark", "definition": "start: \"a\""});
        let mut flat = told.clone();
        flat["type"] = json!("grammar");
        for format in [flat, json!({"type": "grammar", "grammar": told})] {
            let tool = custom("d", fields(json!({"name": "c", "format": format}))).unwrap();
            assert_eq!(tool.grammar, Some(Grammar { syntax: "lark".into(), definition: "start: \"a\"".into() }));
        }
    }
}
