//! Output formats: `output_config.format`, or an instruction where the model can't be held to one.
//!
//! Structured outputs take closed objects only (`additionalProperties: false`) and no bounds on numbers and lengths. A schema is closed where
//! it leaves that open; bounds go into descriptions, and are reported. A schema whose objects may have any field can't be closed without
//! changing what it means, nor one that contains itself be compiled: it becomes an instruction. So does plain JSON, which Claude has no mode for.

use crate::draft::Draft;
use crate::wire::{JsonOutputFormat, OutputFormat};
use crate::{DIALECT, raw};
use llm_gateway_adapter::schema;
use llm_gateway_adapter::serde_json::{self, Map, Value, json};
use llm_gateway_adapter::types::{Failure, JsonSchema, ResponseFormat};

const SCHEMA: &str = "response-format.schema";

/// Not taken anywhere in a schema. `minItems` is taken up to 1.
const BOUNDS: [&str; 11] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];

/// # Errors
/// `unsupported` for another dialect's own format, `invalid-request` for a schema that is no JSON.
pub fn translate<'a>(format: Option<&'a ResponseFormat>, draft: &mut Draft) -> Result<Option<OutputFormat<'a>>, Failure> {
    match format {
        None | Some(ResponseFormat::Text) => Ok(None),
        Some(ResponseFormat::JsonObject) => {
            draft.drop("response-format", "Claude has no plain JSON mode; it was instructed to answer with a JSON object");
            draft.instructions.push("Answer with one JSON object and nothing else: no other words, no code fence.".to_owned());
            Ok(None)
        }
        Some(ResponseFormat::JsonSchema(schema)) => schema_format(schema, draft),
        Some(ResponseFormat::Other(native)) if native.dialect == DIALECT => {
            Ok(Some(OutputFormat::Native(raw(&native.value, "response-format")?)))
        }
        Some(ResponseFormat::Other(_)) => Err(Failure::unsupported("response-format", "Claude has no such output format")),
    }
}

fn schema_format<'a>(format: &JsonSchema, draft: &mut Draft) -> Result<Option<OutputFormat<'a>>, Failure> {
    let unreadable = |error| Failure::invalid(Some(SCHEMA), format!("the schema can't be read: {error}"));
    let mut schema: Value = serde_json::from_str(schema::read(&format.schema, SCHEMA)?.get()).map_err(unreadable)?;
    let mut bounds = Vec::new();
    let can_be_held = draft.family.structured_outputs && !schema::is_recursive(&schema) && close(&mut schema, SCHEMA, &mut bounds).is_ok();
    if !can_be_held {
        let reason = "this model can't be held to that schema; it was instructed to follow it";
        draft.drop("response-format", reason);
        draft.instructions.push(format!(
            "Answer with one JSON value that conforms to this JSON Schema, and nothing else: no other words, no code fence.\n{}",
            format.schema
        ));
        return Ok(None);
    }
    report(bounds, draft);
    if let (Some(description), Some(object)) = (&format.description, schema.as_object_mut()) {
        object.entry("description").or_insert_with(|| json!(description));
    }
    Ok(Some(OutputFormat::Schema(JsonOutputFormat { schema })))
}

pub fn report(bounds: Vec<String>, draft: &mut Draft) {
    for bound in bounds {
        draft.drop(bound, "Claude takes no bounds in a schema; it stands in the description");
    }
}

/// An object of the schema may have fields that it does not name.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenObject;

/// Closes every object of the schema and moves bounds into descriptions; their paths are added to `bounds`.
///
/// # Errors
/// When an object is open by its author's wish.
pub fn close(schema: &mut Value, path: &str, bounds: &mut Vec<String>) -> Result<(), OpenObject> {
    let Value::Object(object) = schema else { return Ok(()) };
    move_bounds(object, path, bounds);
    if is_object(object) {
        match object.get("additionalProperties") {
            Some(Value::Bool(false)) => {}
            None if object.contains_key("properties") => {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            _ => return Err(OpenObject),
        }
    }
    for (keyword, value) in object.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                for (name, schema) in named {
                    close(schema, &format!("{path}.{keyword}.{name}"), bounds)?;
                }
            }
            ("anyOf" | "allOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                for (index, schema) in schemas.iter_mut().enumerate() {
                    close(schema, &format!("{path}.{keyword}[{index}]"), bounds)?;
                }
            }
            ("items", schema) => close(schema, &format!("{path}.items"), bounds)?,
            _ => {}
        }
    }
    Ok(())
}

fn is_object(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => schema.contains_key("properties"),
    }
}

fn move_bounds(schema: &mut Map<String, Value>, path: &str, bounds: &mut Vec<String>) {
    let mut words = Vec::new();
    for bound in BOUNDS {
        let taken = bound == "minItems" && schema.get(bound).and_then(Value::as_u64).is_some_and(|least| least <= 1);
        if taken {
            continue;
        }
        if let Some(value) = schema.get(bound).filter(|value| value.is_number()) {
            words.push(format!("{bound}: {value}"));
            schema.shift_remove(bound);
            bounds.push(format!("{path}.{bound}"));
        }
    }
    if words.is_empty() {
        return;
    }
    let words = format!("{{{}}}", words.join(", "));
    let description = match schema.get("description").and_then(Value::as_str) {
        Some(description) => format!("{description}\n\n{words}"),
        None => words,
    };
    schema.insert("description".to_owned(), Value::String(description));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_at_any_depth_and_bounds_become_words() {
        let mut schema = json!({
            "type": "object",
            "properties": {
                "age": {"type": "integer", "minimum": 0, "maximum": 150, "description": "In years"},
                "tags": {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "object", "properties": {}}, {"type": "null"}]}}
            },
            "$defs": {"minimum": {"type": "string", "maxLength": 5}}
        });
        let mut bounds = Vec::new();
        assert_eq!(close(&mut schema, "s", &mut bounds), Ok(()));
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "properties": {
                    "age": {"type": "integer", "description": "In years\n\n{minimum: 0, maximum: 150}"},
                    "tags": {"type": "array", "minItems": 1, "items": {
                        "anyOf": [{"type": "object", "properties": {}, "additionalProperties": false}, {"type": "null"}]
                    }}
                },
                "$defs": {"minimum": {"type": "string", "description": "{maxLength: 5}"}},
                "additionalProperties": false
            })
        );
        assert_eq!(bounds, ["s.properties.age.minimum", "s.properties.age.maximum", "s.$defs.minimum.maxLength"]);
    }

    #[test]
    fn an_object_that_is_open_by_wish_can_not_be_closed() {
        for schema in [
            json!({"type": "object"}),
            json!({"type": "object", "properties": {}, "additionalProperties": true}),
            json!({"type": "object", "properties": {"a": {"type": ["object", "null"], "additionalProperties": {"type": "string"}}}}),
        ] {
            assert_eq!(close(&mut schema.clone(), "s", &mut Vec::new()), Err(OpenObject), "{schema}");
        }
    }
}
