//! `thinking` and `output_config`: whether and how hard to think, and the form of the answer.
//!
//! In this dialect an effort alone turns no thinking on: it rules the whole answer, and the model thinks or rests as it does by default.
//! Canonically an effort implies that the model is to reason, so a field of the contract's own says that here it does not.

use super::own;
use crate::contract::{ChatRequest, Effort, JsonSchema, Native, Reasoning, ResponseFormat};
use crate::edge::BadRequest;
use crate::edge::json::Fields;
use serde_json::{Map, Value};

const EFFORTS: [(&str, Effort); 5] =
    [("low", Effort::Low), ("medium", Effort::Medium), ("high", Effort::High), ("xhigh", Effort::ExtraHigh), ("max", Effort::Maximum)];
const DISPLAYS: [(&str, bool); 2] = [("summarized", true), ("omitted", false)];
/// A schema must have a name, and here it has none.
const SCHEMA_NAME: &str = "answer";

/// Reads both. Gives what has no canonical form, under its own name.
///
/// # Errors
/// The field at fault.
pub fn parse(fields: &mut Fields, request: &mut ChatRequest) -> Result<Map<String, Value>, BadRequest> {
    let mut further = Map::new();
    let mut reasoning = thinking(fields, &mut further)?;
    if let Some(mut config) = fields.object("output_config")? {
        if let Some(effort) = config.word("effort", &EFFORTS)? {
            if reasoning.is_none() && !further.contains_key("thinking") {
                request.extras.push(effort_alone());
            }
            reasoning.get_or_insert(NOTHING).effort = Some(effort);
        }
        let told = config.value("format");
        request.response_format = told.clone().map(|told| format(config.path("format"), told)).transpose()?;
        let mut rest = config.rest();
        rest.extend(told.filter(says_more).map(|told| ("format".to_owned(), told)));
        if !rest.is_empty() {
            further.insert("output_config".to_owned(), Value::Object(rest));
        }
    }
    request.reasoning = reasoning;
    Ok(further)
}

const NOTHING: Reasoning = Reasoning { enabled: None, effort: None, budget: None, visible: None };

fn effort_alone() -> Native {
    Native { dialect: "llm-gateway".to_owned(), value: r#"{"reasoning":{"effort-enables":false}}"#.to_owned() }
}

/// `between_tools` is a model's word for the least that it can do, which adapters know. A kind that nobody here knows goes along as it is,
/// and so does one that says more than has a canonical form.
fn thinking(fields: &mut Fields, further: &mut Map<String, Value>) -> Result<Option<Reasoning>, BadRequest> {
    let Some(told) = fields.value("thinking") else { return Ok(None) };
    let mut thinking = Fields::of_value(fields.path("thinking"), told.clone())?;
    let (enabled, budget) = match thinking.required_string("type")?.as_str() {
        "adaptive" => (true, None),
        "enabled" => {
            let budget = thinking.integer("budget_tokens", 1, u32::MAX)?;
            (true, Some(budget.ok_or_else(|| thinking.wrong("budget_tokens", "is required"))?))
        }
        "disabled" | "between_tools" => (false, None),
        _ => {
            further.insert("thinking".to_owned(), told);
            return Ok(None);
        }
    };
    let visible = thinking.word("display", &DISPLAYS)?;
    if !thinking.rest().is_empty() {
        further.insert("thinking".to_owned(), told);
    }
    Ok(Some(Reasoning { enabled: Some(enabled), budget, visible, ..NOTHING }))
}

/// Whether a schema has fields beside it that have no canonical form.
fn says_more(format: &Value) -> bool {
    let known = |name: &str| matches!(name, "type" | "schema");
    format["type"] == "json_schema" && format.as_object().is_some_and(|fields| fields.keys().any(|name| !known(name)))
}

fn format(path: String, told: Value) -> Result<ResponseFormat, BadRequest> {
    if told["type"].as_str().is_some_and(|kind| kind != "json_schema") {
        return Ok(ResponseFormat::Other(own(&told)));
    }
    let mut fields = Fields::of_value(path, told)?;
    fields.required_string("type")?;
    match fields.value("schema") {
        Some(schema @ Value::Object(_)) => Ok(ResponseFormat::JsonSchema(JsonSchema {
            name: SCHEMA_NAME.to_owned(),
            description: None,
            schema: schema.to_string(),
            strict: None,
        })),
        _ => Err(fields.wrong("schema", "is required and must be an object")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::chat_request;
    use serde_json::json;

    fn read(body: Value) -> Result<(ChatRequest, Map<String, Value>), BadRequest> {
        let mut request = chat_request(String::new(), Vec::new());
        let further = parse(&mut Fields::of_value(String::new(), body)?, &mut request)?;
        Ok((request, further))
    }

    #[test]
    fn each_way_to_think_has_its_canonical_form() {
        const ON: Reasoning = Reasoning { enabled: Some(true), ..NOTHING };
        const OFF: Reasoning = Reasoning { enabled: Some(false), ..NOTHING };
        for (told, reasoning) in [
            (json!({"thinking": {"type": "adaptive"}}), ON),
            (json!({"thinking": {"type": "adaptive", "display": "summarized"}}), Reasoning { visible: Some(true), ..ON }),
            (json!({"thinking": {"type": "adaptive", "display": "omitted"}}), Reasoning { visible: Some(false), ..ON }),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 5000}}), Reasoning { budget: Some(5000), ..ON }),
            (json!({"thinking": {"type": "disabled"}}), OFF),
            (
                json!({"thinking": {"type": "between_tools"}, "output_config": {"effort": "max"}}),
                Reasoning { effort: Some(Effort::Maximum), ..OFF },
            ),
            (
                json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}),
                Reasoning { effort: Some(Effort::ExtraHigh), ..ON },
            ),
        ] {
            let (request, further) = read(told.clone()).unwrap();
            assert_eq!((request.reasoning, further.len(), request.extras), (Some(reasoning), 0, Vec::new()), "{told}");
        }
    }

    #[test]
    fn an_effort_alone_does_not_turn_thinking_on() {
        let (request, _) = read(json!({"output_config": {"effort": "low"}})).unwrap();
        assert_eq!(request.reasoning, Some(Reasoning { effort: Some(Effort::Low), ..NOTHING }));
        assert_eq!(request.extras, [effort_alone()]);
    }

    #[test]
    fn what_nobody_knows_goes_along() {
        let (request, further) =
            read(json!({"thinking": {"type": "deep"}, "output_config": {"effort": "low", "task_budget": {"total": 5}}})).unwrap();
        assert_eq!(Value::Object(further), json!({"thinking": {"type": "deep"}, "output_config": {"task_budget": {"total": 5}}}));
        assert_eq!((request.reasoning.unwrap().enabled, request.extras), (None, Vec::new()));
    }

    #[test]
    fn what_says_more_goes_along_whole() {
        let told = json!({
            "thinking": {"type": "adaptive", "style": "terse"},
            "output_config": {"format": {"type": "json_schema", "schema": {}, "strict": false}}
        });
        let (request, further) = read(told.clone()).unwrap();
        assert_eq!(Value::Object(further), told);
        assert_eq!(request.reasoning.unwrap().enabled, Some(true));
        assert!(matches!(request.response_format, Some(ResponseFormat::JsonSchema(_))));
    }

    #[test]
    fn a_schema_rules_the_form_of_the_answer() {
        let schema = json!({"type": "object", "properties": {}, "additionalProperties": false, "default": null});
        let (request, _) = read(json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}})).unwrap();
        let Some(ResponseFormat::JsonSchema(format)) = request.response_format else { unreachable!() };
        assert_eq!((format.schema, request.reasoning), (schema.to_string(), None));
        let (request, _) = read(json!({"output_config": {"format": {"type": "regex", "pattern": "a*"}}})).unwrap();
        assert_eq!(request.response_format, Some(ResponseFormat::Other(own(&json!({"type": "regex", "pattern": "a*"})))));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (body, field) in [
            (json!({"thinking": true}), "thinking"),
            (json!({"thinking": {}}), "thinking.type"),
            (json!({"thinking": {"type": "enabled"}}), "thinking.budget_tokens"),
            (json!({"thinking": {"type": "adaptive", "display": "all"}}), "thinking.display"),
            (json!({"output_config": {"effort": "most"}}), "output_config.effort"),
            (json!({"output_config": {"format": {"type": "json_schema"}}}), "output_config.format.schema"),
            (json!({"output_config": {"format": "json"}}), "output_config.format"),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().param.unwrap(), field, "{body}");
        }
    }
}
