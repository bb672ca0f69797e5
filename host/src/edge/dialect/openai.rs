//! Fields and words that mean the same in both of OpenAI's dialects.
//!
//! Not here: what Chat and Responses write differently, which is most of it.

use crate::contract::{CacheBreakpoint, Effort, Native};
use crate::edge::BadRequest;
use crate::edge::json::Fields;
use serde_json::{Map, Value};

/// OpenAI's words for how much a model is to reason.
pub const EFFORTS: [(&str, Effort); 7] = [
    ("none", Effort::None),
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::ExtraHigh),
    ("max", Effort::Maximum),
];

/// The lifetimes of a cache breakpoint that have a word, in seconds.
const LIFETIMES: [(&str, u32); 2] = [("30m", 30 * 60), ("12h", 12 * 60 * 60)];

/// The end user: `safety_identifier`, or the older `user`.
///
/// # Errors
/// One of them is no string.
pub fn user(fields: &mut Fields) -> Result<Option<String>, BadRequest> {
    let old = fields.string("user")?;
    Ok(fields.string("safety_identifier")?.or(old))
}

/// # Errors
/// It does not map names to strings.
pub fn metadata(fields: &mut Fields) -> Result<Vec<(String, String)>, BadRequest> {
    let Some(metadata) = fields.object("metadata")? else { return Ok(Vec::new()) };
    let pairs = metadata.rest().into_iter().map(|(name, value)| match value {
        Value::String(value) => Ok((name, value)),
        _ => Err(fields.wrong("metadata", "must map names to strings")),
    });
    pairs.collect()
}

/// `prompt_cache_breakpoint` of a part.
///
/// # Errors
/// It is no object, or its lifetime is unknown.
pub fn cache_breakpoint(part: &mut Fields) -> Result<Option<CacheBreakpoint>, BadRequest> {
    let Some(mut breakpoint) = part.object("prompt_cache_breakpoint")? else { return Ok(None) };
    Ok(Some(CacheBreakpoint { lifetime: breakpoint.word("ttl", &LIFETIMES)? }))
}

/// A JSON Schema, as it is: in a schema, `null` is not the same as nothing.
///
/// # Errors
/// It is no object.
pub fn schema(fields: &mut Fields, name: &str) -> Result<Option<String>, BadRequest> {
    match fields.value(name) {
        None => Ok(None),
        Some(schema @ Value::Object(_)) => Ok(Some(schema.to_string())),
        Some(_) => Err(fields.wrong(name, "must be an object")),
    }
}

/// An object of a type that has no canonical name, as it came; its `type` was read.
pub fn native(dialect: &str, kind: &str, fields: Fields) -> Native {
    let mut whole = Map::new();
    whole.insert("type".to_owned(), Value::from(kind));
    whole.extend(fields.unread());
    Native { dialect: dialect.to_owned(), value: Value::Object(whole).to_string() }
}

/// What nobody knew of an object, as extras of a dialect; none if there was nothing.
pub fn extras(dialect: &str, fields: Map<String, Value>) -> Vec<Native> {
    if fields.is_empty() {
        return Vec::new();
    }
    vec![Native { dialect: dialect.to_owned(), value: Value::Object(fields).to_string() }]
}
