//! Anthropic's Messages, as its SDKs and coding agents speak it: `POST /v1/messages` and `/v1/messages/count_tokens`.
//!
//! Owns: the request as the canonical one (`parse`, and by meaning `conversation`, `blocks`, `sources`, `tools`, `reasoning`), the answer whole or as
//! events (`render`, `stream`, `answer`, `usage`), what goes both ways (`carriers`, `citations`), and the caller's names of fields (`names`). Not
//! here: routes and headers, errors (`edge::error`), what a sealed replay says (`domain::replay`).

mod answer;
mod blocks;
mod carriers;
mod citations;
#[cfg(test)]
mod client;
mod conversation;
mod names;
mod parse;
mod reasoning;
mod render;
#[cfg(test)]
mod round_trips;
mod sources;
mod stream;
mod tools;
mod usage;

use crate::contract::Native;
use serde_json::{Map, Value};

pub use names::{Places, caller_parameter};
pub use parse::{parse, parse_count};
pub use render::MessagesRenderer;

/// The name of this dialect in the contract.
pub const DIALECT: &str = "anthropic-messages";

/// A value in this dialect's words.
fn own(value: &Value) -> Native {
    Native { dialect: DIALECT.to_owned(), value: value.to_string() }
}

/// Fields as `extras`.
fn extras(fields: Map<String, Value>) -> Vec<Native> {
    if fields.is_empty() { Vec::new() } else { vec![own(&Value::Object(fields))] }
}

/// What an answer's `extras` say in this dialect's words.
fn own_fields(extras: &[Native]) -> Map<String, Value> {
    let own = extras.iter().filter(|native| native.dialect == DIALECT);
    own.flat_map(|native| serde_json::from_str::<Map<String, Value>>(&native.value).unwrap_or_default()).collect()
}
