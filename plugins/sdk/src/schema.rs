//! JSON Schemas of callers, as far as every adapter must look at them.
//!
//! Owns: refusing what is no schema or an absurd one, before anything walks through it, and following references. What of a schema a provider
//! takes is its adapter's to know.

use crate::types::Failure;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Levels of JSON in JSON. Schemas of real tools have ten or twenty.
const MAX_DEPTH: usize = 96;
/// Objects, of which each property is one. OpenAI takes as many properties.
const MAX_OBJECTS: usize = 5000;
/// References from one to the next; more of them are a circle, or might as well be.
const MAX_HOPS: usize = 32;

/// The schema as it came, if it is one.
///
/// # Errors
/// `invalid-request`, for what is no JSON object, is nested too deep, has too many parts, or has references that lead to themselves.
pub fn read<'a>(text: &'a str, path: &str) -> Result<&'a RawValue, Failure> {
    let invalid = |reason: String| Failure::invalid(Some(path), reason);
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| invalid(format!("the schema is not JSON: {error}")))?;
    if !raw.get().starts_with('{') {
        return Err(invalid("a schema is a JSON object".to_owned()));
    }
    measure(raw.get()).map_err(|reason| invalid(reason.to_owned()))?;
    if raw.get().contains("\"$ref\"") {
        let root: Value = serde_json::from_str(raw.get()).map_err(|error| invalid(format!("the schema can't be read: {error}")))?;
        check_references(&root, &root)
            .map_err(|reference| invalid(format!("the schema's reference `{reference}` leads back to itself")))?;
    }
    Ok(raw)
}

/// Looks at brackets alone: it must be quick, and need no stack, whatever it is given.
fn measure(json: &str) -> Result<(), &'static str> {
    let (mut depth, mut objects) = (0_usize, 0_usize);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => {
                depth += 1;
                objects += usize::from(byte == b'{');
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err("the schema is nested too deep (96 levels are taken)");
        }
        if objects > MAX_OBJECTS {
            return Err("the schema has too many parts (5000 are taken)");
        }
    }
    Ok(())
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => _ = bytes.next(),
            _ => {}
        }
    }
}

/// References may lead into the schema that they stand in (a tree), but not from one to the next without end.
fn check_references<'a>(root: &'a Value, schema: &'a Value) -> Result<(), &'a str> {
    match schema {
        Value::Array(schemas) => schemas.iter().try_for_each(|schema| check_references(root, schema)),
        Value::Object(fields) => {
            if let Some(reference) = reference(fields)
                && follow(root, reference) == Err(Unresolved::Circle)
            {
                return Err(reference);
            }
            fields.values().try_for_each(|schema| check_references(root, schema))
        }
        _ => Ok(()),
    }
}

/// `#/$defs/address`, if the schema is a reference.
pub fn reference(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("$ref")?.as_str()
}

/// Why a reference leads to no schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// Not in this schema.
    Elsewhere,
    Circle,
}

/// The schema that a reference leads to, over further references if it must. `root` is the whole schema.
///
/// # Errors
/// Where there is none.
pub fn follow<'a>(root: &'a Value, reference: &str) -> Result<&'a Map<String, Value>, Unresolved> {
    let mut reference = reference;
    for _ in 0..MAX_HOPS {
        let pointer = reference.strip_prefix('#').ok_or(Unresolved::Elsewhere)?;
        let target = root.pointer(pointer).and_then(Value::as_object).ok_or(Unresolved::Elsewhere)?;
        match self::reference(target) {
            Some(next) => reference = next,
            None => return Ok(target),
        }
    }
    Err(Unresolved::Circle)
}

/// Whether the schema has a part that contains itself, by reference. (One in which references lead on and on counts as such.)
pub fn is_recursive(root: &Value) -> bool {
    Walk { root, open: Vec::new(), ended: Vec::new(), depth: 0 }.leads_back(root)
}

struct Walk<'a> {
    root: &'a Value,
    /// References that the walk stands behind.
    open: Vec<&'a str>,
    /// References that were found to end.
    ended: Vec<&'a str>,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn leads_back(&mut self, schema: &'a Value) -> bool {
        if self.depth > 2 * MAX_DEPTH {
            return true;
        }
        self.depth += 1;
        let found = match schema {
            Value::Array(schemas) => schemas.iter().any(|schema| self.leads_back(schema)),
            Value::Object(fields) => {
                reference(fields).is_some_and(|reference| self.is_back(reference)) || fields.values().any(|schema| self.leads_back(schema))
            }
            _ => false,
        };
        self.depth -= 1;
        found
    }

    fn is_back(&mut self, reference: &'a str) -> bool {
        // `#` is the schema itself.
        if reference == "#" || self.open.contains(&reference) {
            return true;
        }
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let Some(target) = target.filter(|_| !self.ended.contains(&reference)) else { return false };
        self.open.push(reference);
        let found = self.leads_back(target);
        self.open.pop();
        self.ended.push(reference);
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::FailureKind;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn refused(text: &str) -> String {
        let failure = read(text, "tools[0].parameters").unwrap_err();
        assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::InvalidRequest, Some("tools[0].parameters")));
        failure.message
    }

    #[test]
    fn absurd_schemas_are_refused_at_once() {
        let began = Instant::now();
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert!(refused(&deep).contains("nested too deep"));
        let wide: Vec<String> = (0..10_000).map(|at| format!("\"p{at}\":{{\"type\":\"string\"}}")).collect();
        assert!(refused(&format!("{{\"type\":\"object\",\"properties\":{{{}}}}}", wide.join(","))).contains("too many parts"));
        let chain: Vec<String> = (0..2000).map(|at| format!("\"d{at}\":{{\"$ref\":\"#/$defs/d{}\"}}", (at + 1) % 2000)).collect();
        assert!(refused(&format!("{{\"$defs\":{{{}}}}}", chain.join(","))).contains("leads back to itself"));
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for text in ["", "{", "[]", "null", "7", "\"a\""] {
            refused(text);
        }
        assert!(refused(r##"{"$ref":"#"}"##).contains("`#` leads back to itself"));
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let text = json!({"description": "[{\"\\".repeat(10_000)}).to_string();
        assert_eq!(read(&text, "s").unwrap().get(), text);
    }

    #[test]
    fn a_tree_is_a_schema_and_recursive() {
        let tree = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"left": {"$ref": "#/$defs/node"}}}}});
        assert!(read(&tree.to_string(), "s").is_ok());
        assert!(is_recursive(&tree));
        let address =
            json!({"properties": {"home": {"$ref": "#/$defs/a"}, "work": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}});
        assert!(!is_recursive(&address));
    }

    #[test]
    fn a_reference_is_followed_to_its_end() {
        let root = json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "string"}}});
        assert_eq!(follow(&root, "#/$defs/a"), Ok(json!({"type": "string"}).as_object().unwrap()));
        assert_eq!(follow(&root, "#/$defs/c"), Err(Unresolved::Elsewhere));
        assert_eq!(follow(&root, "https://example.com/schema"), Err(Unresolved::Elsewhere));
    }
}
