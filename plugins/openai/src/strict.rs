//! Schemas that a model is held to (`strict`), and what OpenAI asks of them: closed objects of which every property is required, and no words that
//! it does not enforce (wire reference 1.4).
//!
//! An object that leaves open whether it is closed is closed. What can't be had in this form is sent all the same, and the model is not held to
//! it, which is reported: a request that fails would help nobody.

use crate::encoding::Encoding;
use llm_gateway_adapter::schema;
use llm_gateway_adapter::types::Failure;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Words of which any makes a strict schema a 400.
const REFUSED: [&str; 11] = [
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "unevaluatedProperties",
    "propertyNames",
];

/// A schema as it is sent, and whether the model is held to it.
pub struct Fitted<'a> {
    pub schema: Cow<'a, RawValue>,
    pub strict: Option<bool>,
}

/// `path` is that of the schema's owner, `field` the schema's name there.
///
/// # Errors
/// `invalid-request` for what is no schema or an absurd one.
pub fn fit<'a>(encoding: &mut Encoding<'a>, path: &str, field: &str, text: &'a str, strict: Option<bool>) -> Result<Fitted<'a>, Failure> {
    let raw = schema::read(text, &format!("{path}.{field}"))?;
    // Other servers have rules of their own.
    if strict != Some(true) || !encoding.model.is_known() {
        return Ok(Fitted { schema: Cow::Borrowed(raw), strict });
    }
    let asked: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let mut closed = asked.clone();
    match close(&mut closed) {
        Ok(()) if closed == asked => Ok(Fitted { schema: Cow::Borrowed(raw), strict }),
        Ok(()) => {
            let closed = to_raw_value(&closed).map_err(|error| Failure::invalid(Some(path), error.to_string()))?;
            Ok(Fitted { schema: Cow::Owned(closed), strict })
        }
        Err(reason) => {
            encoding.dropped.report(format!("{path}.strict"), format!("{reason}; the schema was sent without it"));
            Ok(Fitted { schema: Cow::Borrowed(raw), strict: Some(false) })
        }
    }
}

/// Closes every object that says nothing of further fields.
fn close(schema: &mut Value) -> Result<(), &'static str> {
    let Value::Object(fields) = schema else { return Ok(()) };
    if REFUSED.iter().any(|word| fields.contains_key(*word)) {
        return Err("a strict schema takes none of allOf, oneOf, not, if, dependentRequired, patternProperties and the like");
    }
    if is_object(fields) {
        close_object(fields)?;
    }
    for (word, value) in fields.iter_mut() {
        match (word.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => named.values_mut().try_for_each(close)?,
            ("anyOf" | "prefixItems", Value::Array(schemas)) => schemas.iter_mut().try_for_each(close)?,
            ("items", schema) => close(schema)?,
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

fn close_object(schema: &mut Map<String, Value>) -> Result<(), &'static str> {
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut names = schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name);
    if !names.all(|name| required.iter().any(|required| required == name)) {
        return Err("a strict schema requires every property");
    }
    match schema.get("additionalProperties") {
        None if schema.contains_key("properties") => {
            schema.insert("additionalProperties".to_owned(), Value::Bool(false));
            Ok(())
        }
        Some(Value::Bool(false)) => Ok(()),
        _ => Err("the objects of a strict schema have no further fields"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_that_say_nothing_of_further_fields_are_closed() {
        let mut schema = json!({"type": "object", "properties": {"a": {"type": ["object", "null"], "properties": {}}}, "required": ["a"]});
        assert_eq!(close(&mut schema), Ok(()));
        let expected = json!({"type": "object", "properties": {
            "a": {"type": ["object", "null"], "properties": {}, "additionalProperties": false}
        }, "required": ["a"], "additionalProperties": false});
        assert_eq!(schema, expected);
    }

    #[test]
    fn what_strict_schemas_can_not_say_is_found_at_any_depth() {
        for schema in [
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            json!({"type": "object"}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"anyOf": [{"type": "array", "items": {"allOf": []}}]}),
            json!({"$defs": {"a": {"properties": {"b": {}}}}}),
        ] {
            assert!(close(&mut schema.clone()).is_err(), "{schema}");
        }
    }
}
