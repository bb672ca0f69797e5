//! What an answer says again of its request.

use crate::edge::json::Fields;
use serde_json::{Map, Value, json};

/// The request's fields as the caller wrote them, under the names that the answer has them.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponsesForm {
    /// Every field of an answer that is the request's, with its default where the caller said nothing.
    pub(super) said: Map<String, Value>,
}

/// Fields of a request that its answer always has, and their defaults.
fn defaults() -> [(&'static str, Value); 12] {
    [
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", json!(true)),
        ("reasoning", json!({"effort": null, "summary": null})),
        ("temperature", Value::Null),
        ("text", json!({"format": {"type": "text"}})),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("top_logprobs", json!(0)),
        ("top_p", Value::Null),
        ("truncation", json!("disabled")),
    ]
}

/// Those that it has only where the caller said them.
const OPTIONAL: [&str; 5] = ["max_tool_calls", "prompt_cache_key", "safety_identifier", "service_tier", "user"];

impl ResponsesForm {
    /// Of a request that nothing was read from yet.
    pub fn of(request: &Fields) -> Self {
        let mut said = Map::new();
        for (name, default) in defaults() {
            said.insert(name.to_owned(), completed(request.peek(name), default));
        }
        for name in OPTIONAL {
            said.extend(request.peek(name).map(|value| (name.to_owned(), value.clone())));
        }
        // Nothing is kept, whatever the caller allowed.
        for (name, value) in [("background", json!(false)), ("previous_response_id", Value::Null), ("store", json!(false))] {
            said.insert(name.to_owned(), value);
        }
        Self { said }
    }
}

/// What the caller said; of an object, with the default's fields where it said nothing of them.
fn completed(told: Option<&Value>, default: Value) -> Value {
    match (told.cloned(), default) {
        (Some(Value::Object(mut told)), Value::Object(default)) => {
            for (name, value) in default {
                told.entry(name).or_insert(value);
            }
            Value::Object(told)
        }
        (told, default) => told.unwrap_or(default),
    }
}
