//! `tools` and `tool_choice`.
//!
//! A tool with a `type` of its own is the provider's, and kept as it came; so is a choice that forces one, for the canonical choice names only
//! the caller's tools.

use super::blocks::cache_control;
use super::{extras, own};
use crate::contract::{ChatRequest, FunctionTool, Tool, ToolChoice, ToolMode};
use crate::edge::BadRequest;
use crate::edge::json::Fields;
use serde_json::{Map, Value, json};

/// Reads both. Gives the choice under its own name if it says what has no canonical form.
///
/// # Errors
/// The field at fault.
pub fn parse(fields: &mut Fields, request: &mut ChatRequest) -> Result<Map<String, Value>, BadRequest> {
    let path = fields.path("tools");
    for (at, value) in fields.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(tool(format!("{path}[{at}]"), value)?);
    }
    let Some(told) = fields.value("tool_choice") else { return Ok(Map::new()) };
    let mut choice = Fields::of_value(fields.path("tool_choice"), told.clone())?;
    if choice.bool("disable_parallel_tool_use")? == Some(true) {
        request.parallel_tool_calls = Some(false);
    }
    let (mode, only) = match choice.required_string("type")?.as_str() {
        "auto" => (ToolMode::Auto, Vec::new()),
        "any" => (ToolMode::Required, Vec::new()),
        "none" => (ToolMode::None, Vec::new()),
        "tool" => {
            let name = choice.required_string("name")?;
            match request.tools.iter().find(|tool| is_named(tool, &name)) {
                Some(Tool::Other(_)) => return Ok(Map::from_iter([("tool_choice".to_owned(), told)])),
                Some(_) => (ToolMode::Required, vec![name]),
                None => return Err(choice.wrong("name", "names none of `tools`")),
            }
        }
        _ => return Err(choice.wrong("type", "must be auto, any, tool or none")),
    };
    request.tool_choice = Some(ToolChoice { mode, only });
    let says_more = !choice.rest().is_empty();
    Ok(says_more.then(|| ("tool_choice".to_owned(), told)).into_iter().collect())
}

fn is_named(tool: &Tool, name: &str) -> bool {
    match tool {
        Tool::Function(tool) => tool.name == name,
        Tool::Custom(tool) => tool.name == name,
        Tool::Other(native) => serde_json::from_str::<Value>(&native.value).is_ok_and(|tool| tool["name"] == json!(name)),
    }
}

fn tool(path: String, value: Value) -> Result<Tool, BadRequest> {
    if value.get("type").is_some_and(|kind| !kind.is_null() && kind != "custom") {
        return Ok(Tool::Other(own(&value)));
    }
    let mut fields = Fields::of_value(path, value)?;
    fields.value("type");
    let name = fields.required_string("name")?;
    let mut further = Map::new();
    let cache = cache_control(&mut fields, &mut further)?;
    let parameters = match fields.value("input_schema") {
        Some(schema @ Value::Object(_)) => schema.to_string(),
        _ => return Err(fields.wrong("input_schema", "is required and must be an object")),
    };
    let (description, strict) = (fields.string("description")?, fields.bool("strict")?);
    further.extend(fields.rest());
    Ok(Tool::Function(FunctionTool { name, description, parameters: Some(parameters), strict, cache, extras: extras(further) }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::CacheBreakpoint;
    use crate::domain::chat_request;

    fn read(body: Value) -> Result<(ChatRequest, Map<String, Value>), BadRequest> {
        let mut request = chat_request(String::new(), Vec::new());
        let further = parse(&mut Fields::of_value(String::new(), body)?, &mut request)?;
        Ok((request, further))
    }

    #[test]
    fn a_tool_keeps_all_that_is_said_of_it() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "default": null});
        let (request, _) = read(json!({"tools": [
            {"name": "weather", "description": "d", "input_schema": schema, "strict": true, "eager_input_streaming": true, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "custom", "name": "bare", "input_schema": {}}
        ]}))
        .unwrap();
        let Tool::Function(weather) = &request.tools[0] else { unreachable!() };
        assert_eq!(
            *weather,
            FunctionTool {
                name: "weather".into(),
                description: Some("d".into()),
                parameters: Some(schema.to_string()),
                strict: Some(true),
                cache: Some(CacheBreakpoint { lifetime: Some(3600) }),
                extras: vec![own(&json!({"eager_input_streaming": true}))],
            }
        );
        assert!(matches!(&request.tools[1], Tool::Function(bare) if bare.name == "bare" && bare.parameters.as_deref() == Some("{}")));
    }

    #[test]
    fn a_tool_of_the_providers_own_stays_as_it_came() {
        let search = json!({"type": "web_search_20260209", "name": "web_search", "max_uses": 3, "cache_control": {"type": "ephemeral"}});
        let (request, _) = read(json!({"tools": [search]})).unwrap();
        assert_eq!(request.tools, [Tool::Other(own(&search))]);
    }

    #[test]
    fn each_choice_has_its_canonical_form() {
        let tools = json!([{"name": "f", "input_schema": {}}, {"type": "web_search_20260209", "name": "web_search"}]);
        for (choice, mode, only, parallel) in [
            (json!({"type": "auto"}), ToolMode::Auto, vec![], None),
            (json!({"type": "any", "disable_parallel_tool_use": true}), ToolMode::Required, vec![], Some(false)),
            (json!({"type": "none"}), ToolMode::None, vec![], None),
            (json!({"type": "tool", "name": "f", "disable_parallel_tool_use": false}), ToolMode::Required, vec!["f".to_owned()], None),
        ] {
            let (request, further) = read(json!({"tools": tools, "tool_choice": choice})).unwrap();
            assert_eq!(request.tool_choice, Some(ToolChoice { mode, only }), "{choice}");
            assert_eq!((request.parallel_tool_calls, further.len()), (parallel, 0), "{choice}");
        }
        let more = json!({"type": "auto", "among": ["f"]});
        let (request, further) = read(json!({"tools": tools, "tool_choice": more})).unwrap();
        assert_eq!(
            (request.tool_choice.map(|choice| choice.mode), Value::Object(further)),
            (Some(ToolMode::Auto), json!({ "tool_choice": more }))
        );
        let forced = json!({"type": "tool", "name": "web_search"});
        let (request, further) = read(json!({"tools": tools, "tool_choice": forced})).unwrap();
        assert_eq!((request.tool_choice, Value::Object(further)), (None, json!({ "tool_choice": forced })));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (body, field) in [
            (json!({"tools": {}}), "tools"),
            (json!({"tools": ["f"]}), "tools[0]"),
            (json!({"tools": [{"input_schema": {}}]}), "tools[0].name"),
            (json!({"tools": [{"name": "f"}]}), "tools[0].input_schema"),
            (json!({"tool_choice": "auto"}), "tool_choice"),
            (json!({"tool_choice": {"type": "required"}}), "tool_choice.type"),
            (json!({"tool_choice": {"type": "tool", "name": "g"}}), "tool_choice.name"),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().param.unwrap().trim_start_matches('.'), field, "{body}");
        }
    }
}
