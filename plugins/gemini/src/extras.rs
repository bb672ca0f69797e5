//! Native values: Gemini's own go into the body as they are, those of other dialects are reported.

use crate::DIALECT;
use crate::losses::Losses;
use llm_gateway_adapter::serde_json::{self, Map, Value};
use llm_gateway_adapter::types::{Failure, Native};

/// The contract's own dialect: what an adapter does not know there, it ignores.
const CONTRACT: &str = "llm-gateway";

/// Takes the fields of Gemini's dialect out of `extras`; reports all others, as `path.name`.
///
/// # Errors
/// `invalid-request` if Gemini's value is no object.
pub fn own(extras: &[Native], path: &str, losses: &mut Losses) -> Result<Option<Map<String, Value>>, Failure> {
    let mut own: Option<Map<String, Value>> = None;
    for native in extras {
        if native.dialect == DIALECT {
            own.get_or_insert_default().append(&mut object(native, path)?);
        } else {
            report(native, path, &[], losses);
        }
    }
    Ok(own)
}

/// # Errors
/// `invalid-request` if the value is no object.
pub fn object(native: &Native, path: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(&native.value)
        .map_err(|error| Failure::invalid(Some(path), format!("a native value of `{DIALECT}` must be a JSON object: {error}")))
}

/// Reports the fields of another dialect, but for those that the adapter knows the meaning of.
pub fn report(native: &Native, path: &str, known: &[&str], losses: &mut Losses) {
    if native.dialect == CONTRACT {
        return;
    }
    let fields: Map<String, Value> = serde_json::from_str(&native.value).unwrap_or_default();
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        losses.add(format!("{path}.{name}"), format!("Gemini has no such field (it is of the dialect `{}`)", native.dialect));
    }
}

/// Writes native fields over what the adapter made, object by object. Gemini also reads snake_case; a field in both spellings would be a 400.
pub fn merge(into: &mut Map<String, Value>, fields: Map<String, Value>) {
    for (name, value) in fields {
        let name = camel_case(&name);
        match (into.get_mut(&name), value) {
            (Some(Value::Object(inner)), Value::Object(fields)) => merge(inner, fields),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut joined = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        joined.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        joined.push_str(letters.as_str());
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_gateway_adapter::serde_json::json;

    #[test]
    fn native_fields_join_the_adapters_own() {
        let mut body = json!({"generationConfig": {"temperature": 1.0}, "contents": []});
        let extras = json!({"generation_config": {"media_resolution": "MEDIA_RESOLUTION_LOW"}, "labels": {"my_team": "a"}});
        if let (Value::Object(body), Value::Object(extras)) = (&mut body, extras) {
            merge(body, extras);
        }
        let expected = json!({"generationConfig": {"temperature": 1.0, "mediaResolution": "MEDIA_RESOLUTION_LOW"}, "contents": [],
            "labels": {"my_team": "a"}});
        assert_eq!(body, expected);
    }
}
