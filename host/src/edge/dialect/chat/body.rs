//! The wire's own types: what a completion and a chunk are made of.

use crate::contract::{ToolCall, Usage};
use crate::edge::dialect::openai::{Tokens, arguments};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// The name of the carrier's form, in `reasoning_details`.
pub const CARRIER_FORMAT: &str = "llm-gateway-v1";

#[derive(Debug, Default, Serialize)]
pub struct MessageBody<'a> {
    pub role: &'static str,
    pub content: Option<String>,
    pub refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_details: Option<[DetailBody<'a>; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioBody<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<CallBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionBody<'a>>,
}

#[derive(Debug, Default, Serialize)]
pub struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_details: Option<[DetailBody<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<[Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<[ImageBody<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<[CallBody<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionBody<'a>>,
}

/// One choice of a chunk.
#[derive(Debug, Serialize)]
pub struct ChunkChoice<'a> {
    pub index: u32,
    pub delta: Delta<'a>,
    pub logprobs: Option<LogprobsBody<'a>>,
    pub finish_reason: Option<&'static str>,
    #[serde(flatten)]
    pub extras: Map<String, Value>,
}

/// What Chat has no field for, in the one that clients keep: `turn` is its text.
#[derive(Debug, Serialize)]
pub struct DetailBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    format: &'static str,
    index: u32,
    data: &'a str,
}

impl<'a> DetailBody<'a> {
    pub fn of(turn: &'a str) -> Self {
        Self { kind: "reasoning.encrypted", format: CARRIER_FORMAT, index: 0, data: turn }
    }
}

#[derive(Debug, Serialize)]
pub struct CallBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomBody<'a>>,
}

#[derive(Debug, Serialize)]
pub struct FunctionBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    pub arguments: &'a str,
}

#[derive(Debug, Serialize)]
pub struct CustomBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    pub input: &'a str,
}

impl<'a> CallBody<'a> {
    pub fn whole(call: &'a ToolCall) -> Self {
        let text = if call.free_form { &call.arguments } else { arguments(&call.arguments) };
        Self { index: None, ..Self::opening(0, &call.id, Some(&call.name), call.free_form).with_text(text) }
    }

    /// The first piece of a call.
    pub fn opening(index: usize, id: &'a str, name: Option<&'a str>, free_form: bool) -> Self {
        let kind = Some(if free_form { "custom" } else { "function" });
        let (function, custom) =
            if free_form { (None, Some(CustomBody { name, input: "" })) } else { (Some(FunctionBody { name, arguments: "" }), None) };
        Self { index: Some(index), id: Some(id), kind, function, custom }
    }

    /// A later piece of a call.
    pub fn piece(index: usize, free_form: bool, text: &'a str) -> Self {
        Self { id: None, kind: None, ..Self::opening(index, "", None, free_form).with_text(text) }
    }

    fn with_text(mut self, text: &'a str) -> Self {
        if let Some(function) = &mut self.function {
            function.arguments = text;
        }
        if let Some(custom) = &mut self.custom {
            custom.input = text;
        }
        self
    }
}

/// An image in an answer: there is no official field, and this is the one that gateways have agreed on.
#[derive(Debug, Serialize)]
pub struct ImageBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    image_url: ImageUrl<'a>,
    index: usize,
}

#[derive(Debug, Serialize)]
struct ImageUrl<'a> {
    #[serde(serialize_with = "as_text")]
    url: Link<'a>,
}

/// Where an image is.
#[derive(Debug)]
pub enum Link<'a> {
    Url(Cow<'a, str>),
    Data { media_type: Cow<'a, str>, base64: Cow<'a, str> },
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Data { media_type, base64 } => write!(f, "data:{media_type};base64,{base64}"),
        }
    }
}

fn as_text<S: serde::Serializer>(link: &Link<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(link)
}

impl<'a> ImageBody<'a> {
    pub fn of(url: Link<'a>, index: usize) -> Self {
        Self { kind: "image_url", image_url: ImageUrl { url }, index }
    }
}

/// A sound, whole or a piece of it. Clients join the pieces' texts and add up their numbers, so each is said once.
#[derive(Debug, Default, Serialize)]
pub struct AudioBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a str>,
    /// Seconds of Unix time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct LogprobsBody<'a> {
    content: &'a RawValue,
    refusal: Option<()>,
}

impl<'a> LogprobsBody<'a> {
    pub fn of(logprobs: Option<&'a str>) -> Option<Self> {
        Some(Self { content: serde_json::from_str(logprobs?).ok()?, refusal: None })
    }
}

#[derive(Debug, Serialize)]
pub struct UsageBody {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated: Option<bool>,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_tokens: Option<u32>,
}

#[derive(Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_prediction_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_prediction_tokens: Option<u32>,
}

impl UsageBody {
    pub fn of(usage: &Usage) -> Self {
        let tokens = Tokens::of(usage);
        let detail = |wanted: &str| usage.details.iter().find(|(name, _)| name == wanted).map(|(_, count)| *count);
        Self {
            prompt_tokens: tokens.input,
            completion_tokens: tokens.output,
            total_tokens: tokens.total,
            prompt_tokens_details: PromptDetails {
                cached_tokens: tokens.cached,
                cache_write_tokens: usage.cache_write,
                audio_tokens: detail("input-audio"),
                image_tokens: detail("input-image"),
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: tokens.reasoning,
                audio_tokens: detail("output-audio"),
                accepted_prediction_tokens: detail("accepted_prediction_tokens"),
                rejected_prediction_tokens: detail("rejected_prediction_tokens"),
            },
            estimated: tokens.estimated,
        }
    }
}
