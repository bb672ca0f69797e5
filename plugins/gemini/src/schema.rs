//! JSON Schemas as Gemini takes them: `parametersJsonSchema` and `responseJsonSchema`.
//!
//! References are written out, for Gemini takes nothing beside one. What it has no word for is said in words that it has (`const`, exclusive
//! bounds of integers), else in the description, and reported. A schema in which there is nothing of the kind goes as it came.

use crate::losses::Losses;
use llm_gateway_adapter::schema::{self, Unresolved};
use llm_gateway_adapter::serde_json::value::{RawValue, to_raw_value};
use llm_gateway_adapter::serde_json::{self, Map, Value, json};
use llm_gateway_adapter::types::Failure;
use std::borrow::Cow;

/// Constraints that Gemini has no word for.
const UNKNOWN: [&str; 15] = [
    "pattern",
    "minLength",
    "maxLength",
    "multipleOf",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "contains",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
    "if",
];
/// Further words in which there is something to do.
const WORDS: [&str; 10] =
    ["$ref", "$schema", "$defs", "definitions", "const", "exclusiveMinimum", "exclusiveMaximum", "allOf", "then", "else"];
/// Objects of the schema when its references are written out, and levels of it.
const MOST_PARTS: usize = 5000;
const MOST_LEVELS: usize = 96;

/// # Errors
/// `invalid-request` for what is no schema or an absurd one, `unsupported` for one that contains itself.
pub fn fit<'a>(text: &'a str, path: &str, losses: &mut Losses) -> Result<Cow<'a, RawValue>, Failure> {
    let raw = schema::read(text, path)?;
    if !WORDS.iter().chain(&UNKNOWN).any(|word| raw.get().contains(&format!("\"{word}\""))) {
        return Ok(Cow::Borrowed(raw));
    }
    let unreadable = |error: serde_json::Error| Failure::invalid(Some(path), format!("the schema can't be read: {error}"));
    let root: Value = serde_json::from_str(raw.get()).map_err(unreadable)?;
    if schema::is_recursive(&root) {
        return Err(Failure::unsupported(path, "Gemini takes no schema that contains itself"));
    }
    let mut fitting = Fitting { root: &root, path, losses, parts: 0, levels: 0 };
    let fitted = fitting.schema(&root, "")?;
    to_raw_value(&fitted).map(Cow::Owned).map_err(unreadable)
}

struct Fitting<'a> {
    root: &'a Value,
    path: &'a str,
    losses: &'a mut Losses,
    parts: usize,
    levels: usize,
}

impl Fitting<'_> {
    /// `at` leads to the schema within the whole: `.properties.city`.
    fn schema(&mut self, schema: &Value, at: &str) -> Result<Value, Failure> {
        let Value::Object(fields) = schema else { return Ok(schema.clone()) };
        self.parts += 1;
        self.levels += 1;
        if self.parts > MOST_PARTS || self.levels > MOST_LEVELS {
            return Err(Failure::invalid(Some(self.path), "the schema is too large with its references written out"));
        }
        let mut fitted = Map::new();
        for (word, value) in self.written_out(fields)? {
            let value = self.value(&word, value, at)?;
            fitted.insert(word, value);
        }
        for word in ["$schema", "$defs", "definitions"] {
            fitted.shift_remove(word);
        }
        in_known_words(&mut fitted);
        self.describe_the_unknown(&mut fitted, at);
        self.levels -= 1;
        Ok(Value::Object(fitted))
    }

    /// The schema, or what it refers to with its own fields over it.
    fn written_out(&self, fields: &Map<String, Value>) -> Result<Map<String, Value>, Failure> {
        let Some(reference) = schema::reference(fields) else { return Ok(fields.clone()) };
        let target = schema::follow(self.root, reference).map_err(|why| {
            let reason = match why {
                Unresolved::Elsewhere => "leads to nothing in the schema",
                Unresolved::Circle => "leads back to itself",
            };
            Failure::invalid(Some(self.path), format!("the schema's reference `{reference}` {reason}"))
        })?;
        let mut written_out = target.clone();
        written_out.extend(fields.iter().filter(|(word, _)| *word != "$ref").map(|(word, value)| (word.clone(), value.clone())));
        Ok(written_out)
    }

    /// The schemas within a field of a schema.
    fn value(&mut self, word: &str, value: Value, at: &str) -> Result<Value, Failure> {
        match (word, value) {
            ("properties", Value::Object(named)) => {
                let fitted = named.into_iter().map(|(name, schema)| {
                    let fitted = self.schema(&schema, &format!("{at}.{word}.{name}"))?;
                    Ok((name, fitted))
                });
                Ok(Value::Object(fitted.collect::<Result<_, Failure>>()?))
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                let fitted = schemas.iter().enumerate().map(|(index, schema)| self.schema(schema, &format!("{at}.{word}[{index}]")));
                Ok(Value::Array(fitted.collect::<Result<_, _>>()?))
            }
            ("items" | "additionalProperties", schema) => self.schema(&schema, &format!("{at}.{word}")),
            (_, value) => Ok(value),
        }
    }

    fn describe_the_unknown(&mut self, schema: &mut Map<String, Value>, at: &str) {
        let mut words = Vec::new();
        for word in UNKNOWN.into_iter().chain(["exclusiveMinimum", "exclusiveMaximum", "then", "else"]) {
            if let Some(value) = schema.shift_remove(word) {
                self.losses.add(format!("{}{at}.{word}", self.path), "Gemini takes no such constraint; it stands in the description");
                words.push(format!("{word}: {value}"));
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
}

/// What can be said without a loss in words that Gemini knows.
fn in_known_words(schema: &mut Map<String, Value>) {
    if let Some(value) = schema.shift_remove("const") {
        schema.insert("enum".to_owned(), json!([value]));
    }
    if schema.get("type").is_some_and(|kind| kind == "integer") {
        for (exclusive, inclusive, step) in [("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)] {
            let bound = schema.get(exclusive).and_then(Value::as_i64).and_then(|bound| bound.checked_add(step));
            if let Some(bound) = bound.filter(|_| !schema.contains_key(inclusive)) {
                schema.shift_remove(exclusive);
                schema.insert(inclusive.to_owned(), json!(bound));
            }
        }
    }
    // One schema of which all hold is that schema.
    if let Some(Value::Array(all)) = schema.get("allOf")
        && let [Value::Object(only)] = all.as_slice()
        && only.keys().all(|word| !schema.contains_key(word))
    {
        let only = only.clone();
        schema.shift_remove("allOf");
        schema.extend(only);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use llm_gateway_adapter::types::FailureKind;

    fn fitted(schema: &Value) -> (Value, Vec<String>) {
        let mut losses = Losses::default();
        let text = schema.to_string();
        let fitted = fit(&text, "s", &mut losses).unwrap();
        let lost = losses.into_list().into_iter().map(|dropped| dropped.parameter).collect();
        (serde_json::from_str(fitted.get()).unwrap(), lost)
    }

    #[test]
    fn references_are_written_out_and_what_stands_beside_them_stays() {
        let schema = json!({"$schema": "x", "type": "object", "properties": {
            "home": {"$ref": "#/$defs/address", "description": "Where they live"}, "work": {"anyOf": [{"$ref": "#/$defs/address"}, {"type": "null"}]},
        }, "$defs": {"address": {"type": "object", "description": "An address", "properties": {"city": {"type": ["string", "null"]}}}}});
        let properties = json!({"city": {"type": ["string", "null"]}});
        let expected = json!({"type": "object", "properties": {
            "home": {"type": "object", "description": "Where they live", "properties": properties},
            "work": {"anyOf": [{"type": "object", "description": "An address", "properties": properties}, {"type": "null"}]},
        }});
        assert_eq!(fitted(&schema), (expected, vec![]));
    }

    #[test]
    fn what_gemini_has_no_word_for_is_said_in_others() {
        let schema = json!({"type": "object", "properties": {
            "kind": {"const": "a"},
            "count": {"type": "integer", "exclusiveMinimum": 0},
            "share": {"type": "number", "exclusiveMaximum": 1, "description": "Of all"},
            "code": {"type": "string", "pattern": "^[A-Z]$", "maxLength": 1},
            "one": {"allOf": [{"type": "string"}]},
            "pattern": {"type": "string"},
        }});
        let expected = json!({"type": "object", "properties": {
            "kind": {"enum": ["a"]},
            "count": {"type": "integer", "minimum": 1},
            "share": {"type": "number", "description": "Of all\n\n{exclusiveMaximum: 1}"},
            "code": {"type": "string", "description": "{pattern: \"^[A-Z]$\", maxLength: 1}"},
            "one": {"type": "string"},
            "pattern": {"type": "string"},
        }});
        let lost = ["s.properties.share.exclusiveMaximum", "s.properties.code.pattern", "s.properties.code.maxLength"];
        assert_eq!(fitted(&schema), (expected, lost.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_schema_that_fits_goes_as_it_came() {
        let text = r#"{ "type":"object", "properties":{"a":{"type":["string","null"],"enum":["x"]}}, "additionalProperties":false }"#;
        assert_eq!(fit(text, "s", &mut Losses::default()).unwrap().get(), text);
    }

    #[test]
    fn what_can_not_be_written_out_is_refused() {
        let refused = |schema: Value| {
            let failure = fit(&schema.to_string(), "s", &mut Losses::default()).unwrap_err();
            (failure.kind, failure.parameter.unwrap())
        };
        let tree = json!({"type": "object", "properties": {"child": {"$ref": "#"}}});
        assert_eq!(refused(tree), (FailureKind::Unsupported, "s".to_owned()));
        let nowhere = json!({"type": "object", "properties": {"child": {"$ref": "#/$defs/x"}}});
        assert_eq!(refused(nowhere), (FailureKind::InvalidRequest, "s".to_owned()));
        let doubling = |at: usize| json!({"type": "object", "properties": {"a": {"$ref": format!("#/$defs/d{}", at + 1)}, "b": {"$ref": format!("#/$defs/d{}", at + 1)}}});
        let mut defs: Map<String, Value> = (0..30).map(|at| (format!("d{at}"), doubling(at))).collect();
        defs.insert("d30".to_owned(), json!({"type": "string"}));
        assert_eq!(refused(json!({"$ref": "#/$defs/d0", "$defs": defs})), (FailureKind::InvalidRequest, "s".to_owned()));
    }
}
