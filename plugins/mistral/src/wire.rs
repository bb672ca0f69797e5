//! The request as Mistral's `POST /chat/completions` takes it, under the names of its own schema.
//!
//! Mistral refuses a request for any field that it does not know, at any depth (422 `extra_forbidden`), so nothing is written here that
//! the caller did not ask for.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub struct ChatCompletionRequest<'a> {
    pub model: &'a str,
    pub messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_seed: Option<i64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "as_object")]
    pub metadata: &'a [(String, String)],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Extended<Tool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "is_false")]
    pub stream: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn as_object<S: Serializer>(pairs: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    // A name that stands twice would make an object with a field twice.
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)).collect::<BTreeMap<_, _>>())
}

/// A piece of the request, with what the caller adds to it in Mistral's own words.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Extended<T> {
    Plain(T),
    Merged(Value),
}

impl<T: Serialize> Extended<T> {
    /// `fields` come over those of the same name.
    pub fn new(base: T, fields: Map<String, Value>) -> Self {
        if fields.is_empty() {
            return Self::Plain(base);
        }
        match serde_json::to_value(&base) {
            Ok(Value::Object(mut merged)) => {
                merged.extend(fields);
                Self::Merged(Value::Object(merged))
            }
            _ => Self::Plain(base),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Debug, Serialize)]
pub struct Message<'a> {
    pub role: Role,
    /// Only an assistant's may be absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Extended<ToolCall<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    pub prefix: bool,
    #[serde(flatten)]
    pub extras: Map<String, Value>,
}

impl Message<'_> {
    pub fn of(role: Role) -> Self {
        Self { role, content: None, tool_calls: Vec::new(), tool_call_id: None, name: None, prefix: false, extras: Map::new() }
    }
}

/// A lone text is written as a string, anything else as a list of chunks.
#[derive(Debug, Default)]
pub struct Content<'a>(pub Vec<Extended<ContentChunk<'a>>>);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_str(""),
            [Extended::Plain(ContentChunk::Text { text })] => serializer.serialize_str(text),
            chunks => serializer.collect_seq(chunks),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentChunk<'a> {
    Text {
        text: Cow<'a, str>,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    DocumentUrl {
        document_url: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        document_name: Option<&'a str>,
    },
    /// Base64 or a URL: a string, not OpenAI's object.
    InputAudio {
        input_audio: Cow<'a, str>,
    },
    File {
        file_id: Cow<'a, str>,
    },
    Thinking {
        thinking: [TextChunk<'a>; 1],
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        closed: Option<bool>,
    },
    /// As the caller wrote it.
    #[serde(untagged)]
    Native(Map<String, Value>),
}

/// A text chunk where nothing else can stand.
#[derive(Debug)]
pub struct TextChunk<'a>(pub &'a str);

impl Serialize for TextChunk<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut chunk = serializer.serialize_map(Some(2))?;
        chunk.serialize_entry("type", "text")?;
        chunk.serialize_entry("text", self.0)?;
        chunk.end()
    }
}

#[derive(Debug, Serialize)]
pub struct ImageUrl<'a> {
    pub url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct ToolCall<'a> {
    pub id: Cow<'a, str>,
    pub r#type: &'static str,
    pub function: FunctionCall<'a>,
}

#[derive(Debug, Serialize)]
pub struct FunctionCall<'a> {
    pub name: &'a str,
    pub arguments: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Tool<'a> {
    Function {
        r#type: &'static str,
        function: Function<'a>,
    },
    /// As the caller wrote it.
    Native(&'a RawValue),
}

#[derive(Debug, Serialize)]
pub struct Function<'a> {
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    pub parameters: &'a RawValue,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ToolChoice<'a> {
    Mode(&'static str),
    Function { r#type: &'static str, function: FunctionName<'a> },
}

#[derive(Debug, Serialize)]
pub struct FunctionName<'a> {
    pub name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat<'a> {
    JsonObject,
    JsonSchema {
        json_schema: JsonSchema<'a>,
    },
    /// As the caller wrote it.
    #[serde(untagged)]
    Native(&'a RawValue),
}

#[derive(Debug, Serialize)]
pub struct JsonSchema<'a> {
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    pub schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}
