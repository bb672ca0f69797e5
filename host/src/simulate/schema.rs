//! Makes a value that fits a JSON schema: tool arguments and structured answers.
//!
//! Owns: a small reading of JSON Schema and of Gemini's OpenAPI subset (types in capitals). Deterministic, and bounded in depth and size
//! whatever the schema says. Not here: validating. `pattern` and `not` are not looked at.

use serde_json::{Map, Value, json};
use std::cell::Cell;

const MAX_DEPTH: usize = 12;
const MAX_ITEMS: u64 = 32;
const MAX_STRING: u64 = 4096;
/// Values in one sample: a schema that refers to itself twice grows with every step down.
const MAX_VALUES: usize = 5000;

/// A value for `schema`. `name` is what the value is for (a property's name) and colours strings.
pub(super) fn sample(schema: &Value, name: &str) -> Value {
    Sampler { root: schema, left: Cell::new(MAX_VALUES) }.value(schema, name, 0)
}

/// Like [`sample`], but an object in any case: what a tool call or a JSON answer must be.
pub(super) fn sample_object(schema: &Value) -> Map<String, Value> {
    match sample(schema, "") {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

struct Sampler<'a> {
    root: &'a Value,
    left: Cell<usize>,
}

impl Sampler<'_> {
    fn value(&self, schema: &Value, name: &str, depth: usize) -> Value {
        if depth > MAX_DEPTH || self.left.get() == 0 {
            return Value::Null;
        }
        self.left.set(self.left.get() - 1);
        for fixed in ["const", "default", "example"] {
            if let Some(value) = schema.get(fixed) {
                return value.clone();
            }
        }
        if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|choices| choices.first()) {
            return first.clone();
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|reference| self.target(reference)) {
            return self.value(target, name, depth + 1);
        }
        for union in ["anyOf", "any_of", "oneOf"] {
            if let Some(first) = schema.get(union).and_then(Value::as_array).and_then(|choices| choices.first()) {
                return self.value(first, name, depth + 1);
            }
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(parts, name, depth);
        }
        match type_of(schema).as_str() {
            "object" => Value::Object(self.object(schema, depth)),
            "array" => self.array(schema, name, depth),
            "integer" => json!(number(schema) as i64),
            "number" => json!(number(schema)),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => json!(string(schema, name)),
        }
    }

    fn target(&self, reference: &str) -> Option<&Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }

    fn all_of(&self, parts: &[Value], name: &str, depth: usize) -> Value {
        let mut merged = Map::new();
        for part in parts {
            match self.value(part, name, depth + 1) {
                Value::Object(object) => merged.extend(object),
                other => return other,
            }
        }
        Value::Object(merged)
    }

    /// The required properties; all of them where the schema requires none, since a model would hardly answer with nothing.
    fn object(&self, schema: &Value, depth: usize) -> Map<String, Value> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Map::new() };
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let wanted = properties.iter().filter(|(name, _)| required.is_empty() || required.contains(&name.as_str()));
        wanted.map(|(name, property)| (name.clone(), self.value(property, name, depth + 1))).collect()
    }

    fn array(&self, schema: &Value, name: &str, depth: usize) -> Value {
        let least = bound(schema, "minItems").unwrap_or(1).min(MAX_ITEMS);
        let count = bound(schema, "maxItems").map_or(least, |most| least.min(most));
        let no_items = Value::Object(Map::new());
        let items = schema.get("items").unwrap_or(&no_items);
        Value::Array((0..count).map(|_| self.value(items, name, depth + 1)).collect())
    }
}

/// In small letters; of several types the first that is not null.
fn type_of(schema: &Value) -> String {
    let named = match schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| !name.eq_ignore_ascii_case("null")),
        _ => None,
    };
    let implied = if schema.get("properties").is_some() { "object" } else { "string" };
    named.unwrap_or(implied).to_ascii_lowercase()
}

fn number(schema: &Value) -> f64 {
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    let least = limit("minimum").or_else(|| limit("exclusiveMinimum").map(|below| below + 1.0));
    let most = limit("maximum").or_else(|| limit("exclusiveMaximum").map(|above| above - 1.0));
    let wanted = least.map_or(42.0, |least| least.max(42.0));
    most.map_or(wanted, |most| most.min(wanted))
}

fn string(schema: &Value, name: &str) -> String {
    let wanted = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-01-02T03:04:05Z".to_owned(),
        Some("date") => "2026-01-02".to_owned(),
        Some("time") => "03:04:05Z".to_owned(),
        Some("email") => "someone@example.com".to_owned(),
        Some("uri") => "https://example.com/".to_owned(),
        Some("uuid") => "01234567-89ab-4def-8123-456789abcdef".to_owned(),
        _ => plausible(name),
    };
    let least = bound(schema, "minLength").unwrap_or(0).min(MAX_STRING) as usize;
    let most = bound(schema, "maxLength").unwrap_or(MAX_STRING).max(least as u64) as usize;
    let padding = least.saturating_sub(wanted.chars().count());
    wanted.chars().chain(std::iter::repeat_n('x', padding)).take(most).collect()
}

fn plausible(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let known =
        [("city", "Oslo"), ("location", "Oslo"), ("country", "Norway"), ("language", "en"), ("timezone", "Europe/Oslo"), ("name", "Ada")];
    match known.iter().find(|(word, _)| lower.contains(word)) {
        Some((_, value)) => (*value).to_owned(),
        None if name.is_empty() => "example".to_owned(),
        None => format!("example {name}"),
    }
}

/// A count, which Gemini may also write as a string.
fn bound(schema: &Value, key: &str) -> Option<u64> {
    let value = schema.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_schemas() {
        for (schema, expected) in [
            (
                json!({"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city"]}),
                json!({"city":"Oslo"}),
            ),
            (json!({"type":"OBJECT","properties":{"is_fruit":{"type":"BOOLEAN"}}}), json!({"is_fruit":true})),
            (json!({"type":"object","properties":{"unit":{"enum":["C","F"]}}}), json!({"unit":"C"})),
            (json!({"type":"array","items":{"type":["null","number"],"maximum":3},"minItems":2}), json!([3.0, 3.0])),
            (json!({"$ref":"#/$defs/a","$defs":{"a":{"const":7}}}), json!(7)),
            (json!({"anyOf":[{"type":"integer","minimum":50},{"type":"null"}]}), json!(50)),
            (json!({"type":"string","minLength":12,"maxLength":12}), json!("examplexxxxx")),
            (json!({}), json!("example")),
        ] {
            assert_eq!(sample(&schema, ""), expected, "{schema}");
        }
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let schema = json!({"type":"object","properties":{"next":{"$ref":"#"}},"required":["next"]});
        assert!(sample(&schema, "").to_string().len() < 1000);
        let wide = json!({"type":"array","minItems":1_000_000,"items":{"type":"array","minItems":1_000_000,"items":{"type":"string"}}});
        assert!(sample(&wide, "").to_string().len() < 100_000);
    }
}
