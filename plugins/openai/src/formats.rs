//! The form of the answer: text, any JSON object, or JSON of a schema.

use crate::encoding::{Encoding, Entry, json};
use crate::strict::{self, Fitted};
use llm_gateway_adapter::types::{Failure, JsonSchema, ResponseFormat};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The longest name of a schema.
const NAME_BYTES: usize = 64;

/// `response_format` of `/chat/completions`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChatFormat<'a> {
    Text,
    JsonObject,
    JsonSchema { json_schema: Schema<'a> },
}

/// `text.format` of `/responses`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TextFormat<'a> {
    Text,
    JsonObject,
    JsonSchema(Schema<'a>),
}

#[derive(Debug, Serialize)]
pub struct Schema<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// # Errors
/// A schema that is no JSON, or a format of another provider's.
pub fn for_chat<'a>(encoding: &mut Encoding<'a>) -> Result<Option<Entry<'a, ChatFormat<'a>>>, Failure> {
    of(encoding, |format| match format {
        Format::Text => ChatFormat::Text,
        Format::JsonObject => ChatFormat::JsonObject,
        Format::Schema(json_schema) => ChatFormat::JsonSchema { json_schema },
    })
}

/// # Errors
/// A schema that is no JSON, or a format of another provider's.
pub fn for_responses<'a>(encoding: &mut Encoding<'a>) -> Result<Option<Entry<'a, TextFormat<'a>>>, Failure> {
    of(encoding, |format| match format {
        Format::Text => TextFormat::Text,
        Format::JsonObject => TextFormat::JsonObject,
        Format::Schema(schema) => TextFormat::JsonSchema(schema),
    })
}

enum Format<'a> {
    Text,
    JsonObject,
    Schema(Schema<'a>),
}

fn of<'a, T>(encoding: &mut Encoding<'a>, write: impl Fn(Format<'a>) -> T) -> Result<Option<Entry<'a, T>>, Failure> {
    let Some(format) = &encoding.request.response_format else { return Ok(None) };
    Ok(Some(match format {
        ResponseFormat::Text => Entry::Known(write(Format::Text)),
        ResponseFormat::JsonObject => Entry::Known(write(Format::JsonObject)),
        ResponseFormat::JsonSchema(schema) => Entry::Known(write(Format::Schema(self::schema(encoding, schema)?))),
        ResponseFormat::Other(native) if native.dialect == encoding.endpoint.dialect() => {
            Entry::Native(json("response-format", &native.value)?)
        }
        ResponseFormat::Other(native) => {
            return Err(Failure::unsupported("response-format", format!("the format is one of {} alone", native.dialect)));
        }
    }))
}

fn schema<'a>(encoding: &mut Encoding<'a>, format: &'a JsonSchema) -> Result<Schema<'a>, Failure> {
    let Fitted { schema, strict } = strict::fit(encoding, "response-format", "schema", &format.schema, format.strict)?;
    Ok(Schema { name: name(&format.name), description: format.description.as_deref(), schema, strict })
}

/// The provider takes `[A-Za-z0-9_-]{1,64}`. The name only labels the schema, so it is made to fit.
fn name(name: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() {
        Cow::Borrowed("response")
    } else if name.len() <= NAME_BYTES && name.chars().all(fits) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.chars().take(NAME_BYTES).map(|c| if fits(c) { c } else { '_' }).collect())
    }
}
