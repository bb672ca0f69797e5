//! Schemas of tools: Claude wants an object at the root, with neither a reference nor a choice of schemas there.
//!
//! A reference is written out. Of a choice (`anyOf`, `oneOf`, `allOf`) the properties are put together; that they belong together in one way or
//! another can't be said, and is reported. Below the root Claude takes any schema.

use crate::draft::Draft;
use llm_gateway_adapter::schema;
use llm_gateway_adapter::serde_json::value::{RawValue, to_raw_value};
use llm_gateway_adapter::serde_json::{self, Map, Value, json};
use llm_gateway_adapter::types::Failure;
use std::borrow::Cow;
use std::collections::BTreeMap;

const CHOICES: [&str; 3] = ["anyOf", "oneOf", "allOf"];

/// # Errors
/// `invalid-request` for a schema that no object fits.
pub fn object_at_root<'a>(raw: &'a RawValue, path: &str, draft: &mut Draft) -> Result<Cow<'a, RawValue>, Failure> {
    if is_plain(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    let unreadable = |error| Failure::invalid(Some(path), format!("the schema can't be read: {error}"));
    let root: Value = serde_json::from_str(raw.get()).map_err(unreadable)?;
    let Value::Object(fields) = &root else { return Ok(Cow::Borrowed(raw)) };
    let mut object = written_out(&root, fields);
    for choice in CHOICES {
        if let Some(Value::Array(schemas)) = object.shift_remove(choice) {
            draft
                .drop(format_args!("{path}.{choice}"), "Claude takes no choice of schemas at the root; their properties were put together");
            put_together(&root, &mut object, &schemas, choice == "allOf");
        }
    }
    let fits_objects =
        object.get("type").is_none_or(|kind| kind == "object" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("object"))));
    if !fits_objects {
        return Err(Failure::invalid(Some(path), "the arguments of a function are an object; this schema fits none"));
    }
    object.insert("type".to_owned(), json!("object"));
    to_raw_value(&object).map(Cow::Owned).map_err(unreadable)
}

/// Looks at the root alone: most schemas need no more.
fn is_plain(raw: &RawValue) -> bool {
    let Ok(fields) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(raw.get()) else { return false };
    fields.get("type").is_some_and(|kind| kind.get() == "\"object\"")
        && !fields.contains_key("$ref")
        && CHOICES.iter().all(|choice| !fields.contains_key(*choice))
}

/// The schema, or what it refers to with its own fields over it. A reference that leads nowhere is left for the provider to refuse.
fn written_out(root: &Value, fields: &Map<String, Value>) -> Map<String, Value> {
    let target = schema::reference(fields).and_then(|reference| schema::follow(root, reference).ok());
    let Some(target) = target else { return fields.clone() };
    let mut written_out = target.clone();
    written_out.extend(fields.iter().filter(|(word, _)| *word != "$ref").map(|(word, value)| (word.clone(), value.clone())));
    written_out
}

/// Adds the properties of each schema. What is required is what all of them require, or if all hold, what any requires.
fn put_together(root: &Value, object: &mut Map<String, Value>, schemas: &[Value], all_hold: bool) {
    let branches: Vec<Map<String, Value>> = schemas.iter().filter_map(Value::as_object).map(|fields| written_out(root, fields)).collect();
    let required_by = |branch: &Map<String, Value>, name: &Value| {
        branch.get("required").and_then(Value::as_array).is_some_and(|required| required.contains(name))
    };
    let mut properties = take_object(object, "properties");
    let mut required = match object.shift_remove("required") {
        Some(Value::Array(required)) => required,
        _ => Vec::new(),
    };
    for branch in &branches {
        for (name, property) in branch.get("properties").and_then(Value::as_object).into_iter().flatten() {
            properties.entry(name.clone()).or_insert_with(|| property.clone());
            let name = json!(name);
            let is_required = if all_hold { required_by(branch, &name) } else { branches.iter().all(|branch| required_by(branch, &name)) };
            if is_required && !required.contains(&name) {
                required.push(name);
            }
        }
    }
    object.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".to_owned(), Value::Array(required));
    }
}

fn take_object(object: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match object.shift_remove(name) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use llm_gateway_adapter::types::{ChatRequest, FailureKind};

    fn rooted(schema: &Value) -> Result<(Value, Vec<String>), Failure> {
        let mut draft = Draft::new(&ChatRequest::new("claude-opus-5", Vec::new()));
        let text = schema.to_string();
        let raw: &RawValue = serde_json::from_str(&text).unwrap();
        let object = serde_json::from_str(object_at_root(raw, "s", &mut draft)?.get()).unwrap();
        Ok((object, draft.dropped.into_iter().map(|dropped| dropped.parameter).collect()))
    }

    #[test]
    fn an_object_stays_and_one_that_does_not_say_so_is_told_to() {
        let object = json!({"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}]}}});
        assert_eq!(rooted(&object).unwrap(), (object, vec![]));
        let silent = json!({"properties": {}, "type": ["object", "null"]});
        assert_eq!(rooted(&silent).unwrap(), (json!({"properties": {}, "type": "object"}), vec![]));
    }

    #[test]
    fn a_reference_at_the_root_is_written_out() {
        let schema = json!({"$ref": "#/$defs/args", "$defs": {"args": {"type": "object", "properties": {"a": {"type": "string"}}}}});
        let (object, dropped) = rooted(&schema).unwrap();
        assert_eq!((&object["type"], &object["properties"]["a"], object.get("$ref")), (&json!("object"), &json!({"type": "string"}), None));
        assert!(dropped.is_empty());
    }

    #[test]
    fn a_choice_at_the_root_becomes_one_object_and_is_reported() {
        let branch = |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}, "id": {"type": "integer"}}, "required": [name, "id"]});
        let properties = json!({"a": {"type": "string"}, "id": {"type": "integer"}, "b": {"type": "string"}});
        let either = rooted(&json!({"anyOf": [branch("a"), branch("b")]})).unwrap();
        let expected = json!({"properties": properties, "required": ["id"], "type": "object"});
        assert_eq!(either, (expected, vec!["s.anyOf".to_owned()]));
        let (both, _) = rooted(&json!({"allOf": [branch("a"), branch("b")]})).unwrap();
        assert_eq!(both["required"], json!(["a", "id", "b"]));
    }

    #[test]
    fn arguments_that_are_no_object_are_refused() {
        assert_eq!(rooted(&json!({"type": "string"})).unwrap_err().kind, FailureKind::InvalidRequest);
    }
}
