//! Fields that have no canonical name: passed on to the endpoint whose dialect they are of, translated to the other where the
//! meaning is known, and reported otherwise.

use crate::encoding::Dropped;
use crate::endpoint::Endpoint;
use llm_gateway_adapter::types::{ChatRequest, Failure, Header, Native};
use serde_json::{Map, Value};

/// Fields of a later version of the contract. What is not known there is ignored.
pub const CONTRACT: &str = "llm-gateway";

/// Labels a text on `/responses`; nothing is lost where it can't be sent.
const PHASE: &str = "phase";

/// Fields that mean the same on both endpoints.
const SHARED: &[&str] = &[
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "text",
    "user",
];

/// Whether the request has extras of this endpoint in which the text occurs.
pub fn names(request: &ChatRequest, endpoint: Endpoint, text: &str) -> bool {
    request.extras.iter().any(|native| native.dialect == endpoint.dialect() && native.value.contains(text))
}

/// Whether there is a field that only `/responses` has.
pub fn has_fields_of_responses(request: &ChatRequest) -> bool {
    let own = request.extras.iter().filter(|native| native.dialect == Endpoint::Responses.dialect());
    own.filter_map(|native| serde_json::from_str::<Map<String, Value>>(&native.value).ok())
        .any(|fields| fields.keys().any(|name| !SHARED.contains(&name.as_str())))
}

/// The extras of one request.
#[derive(Debug, Default)]
pub struct Extras {
    fields: Map<String, Value>,
    pub headers: Vec<Header>,
}

impl Extras {
    /// # Errors
    /// Extras that are not a JSON object.
    pub fn read(request: &ChatRequest, endpoint: Endpoint, dropped: &mut Dropped) -> Result<Self, Failure> {
        let mut extras = Self::default();
        for native in &request.extras {
            extras.add(native, endpoint, dropped)?;
        }
        Ok(extras)
    }

    fn add(&mut self, native: &Native, endpoint: Endpoint, dropped: &mut Dropped) -> Result<(), Failure> {
        let other = match endpoint {
            Endpoint::Chat => Endpoint::Responses,
            Endpoint::Responses => Endpoint::Chat,
        };
        for (name, value) in object("extras", native)? {
            match native.dialect.as_str() {
                CONTRACT => {}
                dialect if dialect == endpoint.dialect() => self.insert(name, value),
                dialect if dialect == other.dialect() => {
                    if let Err(reason) = self.translate(&name, value, endpoint) {
                        dropped.report(format!("extras.{name}"), reason);
                    }
                }
                dialect => dropped.report(format!("extras.{name}"), format!("it is a field of {dialect}")),
            }
        }
        Ok(())
    }

    /// The caller's headers that change a request's meaning come as fields too.
    fn insert(&mut self, name: String, value: Value) {
        match value {
            Value::String(value) if name.starts_with("openai-") => self.headers.push((name, value)),
            value => {
                self.fields.insert(name, value);
            }
        }
    }

    fn translate(&mut self, name: &str, value: Value, endpoint: Endpoint) -> Result<(), &'static str> {
        match (endpoint, name) {
            (Endpoint::Responses, "verbosity") => self.set_in("text", "verbosity", value),
            (Endpoint::Chat, "text") => match value.get("verbosity") {
                Some(verbosity) => {
                    self.fields.insert("verbosity".to_owned(), verbosity.clone());
                }
                None => return Err("the chat endpoint has no such field"),
            },
            (_, name) if name.starts_with("openai-") || SHARED.contains(&name) => self.insert(name.to_owned(), value),
            (Endpoint::Chat, _) => return Err("the chat endpoint has no such field"),
            (Endpoint::Responses, _) => return Err("the responses endpoint has no such field"),
        }
        Ok(())
    }

    fn set_in(&mut self, name: &str, key: &str, value: Value) {
        let mut object = self.take_object(name);
        object.insert(key.to_owned(), value);
        self.fields.insert(name.to_owned(), Value::Object(object));
    }

    /// Takes out a field that is to be merged with what the request itself says.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.shift_remove(name)
    }

    /// Takes out a field that is an object; an empty one if it is anything else.
    pub fn take_object(&mut self, name: &str) -> Map<String, Value> {
        match self.take(name) {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// What is left, without the fields that the request itself sets (`set`): a JSON object must not say a thing twice.
    pub fn rest(mut self, set: &[&str], dropped: &mut Dropped) -> Map<String, Value> {
        for name in set {
            if self.take(name).is_some() {
                dropped.report(format!("extras.{name}"), "the request says it in a field of its own");
            }
        }
        self.fields
    }
}

/// The object that a native in a list `extras` is.
///
/// # Errors
/// It is none.
pub fn object(path: &str, native: &Native) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(&native.value)
        .map_err(|error| Failure::invalid(Some(path), format!("the extras of {} are not a JSON object: {error}", native.dialect)))
}

/// Fields of a message, a part or a tool that are of this endpoint's dialect; those of other providers are reported.
///
/// # Errors
/// Extras that are not a JSON object.
pub fn own_fields(path: &str, natives: &[Native], endpoint: Endpoint, dropped: &mut Dropped) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    for native in natives {
        match native.dialect.as_str() {
            CONTRACT => {}
            dialect if dialect == endpoint.dialect() => fields.extend(object(path, native)?),
            dialect => {
                for name in object(path, native)?.keys().filter(|name| *name != PHASE) {
                    dropped.report(format!("{path}.extras.{name}"), format!("it is a field of {dialect}"));
                }
            }
        }
    }
    Ok(fields)
}
