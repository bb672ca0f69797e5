//! Fields and words that mean the same in both of OpenAI's dialects.
//!
//! Not here: tools (`openai_tools`), and what Chat and Responses write differently, which is most of it.

use crate::contract::{CacheBreakpoint, Effort, JsonSchema, Media, MediaSource, Native, Usage};
use crate::domain::Blobs;
use crate::domain::estimate::is_estimated;
use crate::edge::BadRequest;
use crate::edge::dialect::{chat, media, responses};
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

/// Where the caller wants the prompt cached: OpenAI's `prompt_cache_breakpoint`, or Anthropic's `cache_control`, as clients of Claude write it.
///
/// # Errors
/// It is no object, or its lifetime is none.
pub fn cache_breakpoint(fields: &mut Fields) -> Result<Option<CacheBreakpoint>, BadRequest> {
    let mut told = None;
    for name in ["prompt_cache_breakpoint", "cache_control"] {
        if let Some(mut breakpoint) = fields.object(name)? {
            let lifetime = match breakpoint.string("ttl")? {
                Some(ttl) => Some(seconds(&ttl).ok_or_else(|| breakpoint.wrong("ttl", "must be minutes or hours: 5m, 1h"))?),
                None => None,
            };
            told = Some(CacheBreakpoint { lifetime });
        }
    }
    Ok(told)
}

fn seconds(duration: &str) -> Option<u32> {
    let (count, unit) = match (duration.strip_suffix('m'), duration.strip_suffix('h')) {
        (Some(minutes), _) => (minutes, 60),
        (None, Some(hours)) => (hours, 3600),
        (None, None) => return None,
    };
    count.parse::<u32>().ok()?.checked_mul(unit)
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

/// The schema that an answer is to follow.
///
/// # Errors
/// The field at fault.
pub fn json_schema(mut fields: Fields) -> Result<JsonSchema, BadRequest> {
    Ok(JsonSchema {
        name: fields.required_string("name")?,
        description: fields.string("description")?,
        schema: schema(&mut fields, "schema")?.ok_or_else(|| fields.wrong("schema", "is required and must be an object"))?,
        strict: fields.bool("strict")?,
    })
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

/// `input_audio` of a part.
///
/// # Errors
/// The field at fault.
pub fn audio(part: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let mut audio = part.object("input_audio")?.ok_or_else(|| part.wrong("input_audio", "is required and must be an object"))?;
    let (data, format) = (audio.required_string("data")?, audio.required_string("format")?);
    let source = media::by_base64(&data, blobs).map_err(|wrong| audio.wrong("data", wrong))?;
    Ok(media::media(source, Some(format!("audio/{format}"))))
}

/// A file that the provider already has, by its id there.
pub fn file(dialect: &str, id: String) -> MediaSource {
    MediaSource::File(Native { dialect: dialect.to_owned(), value: Value::from(id).to_string() })
}

/// The arguments of a call that comes back, whatever they are: the model wrote them. Some clients send the object itself and not its text.
///
/// # Errors
/// They are neither.
pub fn called_with(call: &mut Fields, name: &str) -> Result<String, BadRequest> {
    match call.value(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(object @ Value::Object(_)) => Ok(object.to_string()),
        Some(_) => Err(call.wrong(name, "must be a string")),
    }
}

/// A call's arguments as they are shown; `{}` for none: what a client parses must be JSON.
pub fn arguments(told: &str) -> &str {
    if told.is_empty() { "{}" } else { told }
}

/// Fields of a dialect that have no canonical name, without those that are `set` beside them.
pub fn own_fields(dialect: &str, extras: &[Native], set: &[&str]) -> Map<String, Value> {
    let own = extras.iter().filter(|native| native.dialect == dialect).filter_map(object);
    own.flatten().filter(|(name, _)| !set.contains(&name.as_str())).collect()
}

/// Both of OpenAI's endpoints tell it, and which of them was asked is no concern of the caller's.
const TIER: &str = "service_tier";

/// The same of an answer, with what its other dialect says as well.
pub fn answer_fields(dialect: &str, extras: &[Native], set: &[&str]) -> Map<String, Value> {
    let mut fields = own_fields(dialect, extras, set);
    let either = extras.iter().filter(|native| [chat::DIALECT, responses::DIALECT].contains(&native.dialect.as_str()));
    if !fields.contains_key(TIER)
        && let Some(tier) = either.filter_map(object).find_map(|mut object| object.shift_remove(TIER))
    {
        fields.insert(TIER.to_owned(), tier);
    }
    fields
}

/// The object that extras are.
pub fn object(native: &Native) -> Option<Map<String, Value>> {
    serde_json::from_str(&native.value).ok()
}

/// Tokens as the dialects' types demand them: a count that the provider did not give is 0 here. The log keeps the difference.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokens {
    pub input: u32,
    pub cached: u32,
    pub output: u32,
    pub reasoning: u32,
    pub total: u32,
    /// True, or not said.
    pub estimated: Option<bool>,
}

impl Tokens {
    pub fn of(usage: &Usage) -> Self {
        let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
        Self {
            input,
            cached: usage.cache_read.unwrap_or(0),
            output,
            reasoning: usage.reasoning.unwrap_or(0),
            total: input.saturating_add(output),
            estimated: is_estimated(usage).then_some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn extra(dialect: &str, value: Value) -> Native {
        Native { dialect: dialect.to_owned(), value: value.to_string() }
    }

    #[test]
    fn the_service_tier_of_either_endpoint_is_told_by_both() {
        for (asked, answered) in [(chat::DIALECT, responses::DIALECT), (responses::DIALECT, chat::DIALECT)] {
            let theirs = extra(answered, json!({"service_tier": "flex", "x": 1}));
            assert_eq!(Value::Object(answer_fields(asked, &[theirs], &[])), json!({"service_tier": "flex"}), "{asked}");
            let both = [extra(answered, json!({"service_tier": "flex"})), extra(asked, json!({"service_tier": "priority", "id": "no"}))];
            assert_eq!(Value::Object(answer_fields(asked, &both, &["id"])), json!({"service_tier": "priority"}), "{asked}");
        }
    }
}
