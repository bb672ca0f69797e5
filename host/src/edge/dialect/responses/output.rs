//! The items of an answer. Each shows one part, under an id made of the answer's and the part's number.
//!
//! Not shown: sound and video, blocks of other dialects, and texts and thoughts in which there is nothing.

use super::items::IMAGE_ID;
use super::{DIALECT, turn};
use crate::contract::{Choice, Citation, MediaSource, Native, Part, PartBody};
use crate::edge::dialect::openai::{self, arguments};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum OutputItem<'a> {
    Ours(Item<'a>),
    /// Of this dialect's own kind, as it came.
    Native(&'a RawValue),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item<'a> {
    Reasoning {
        id: String,
        summary: Vec<SummaryPart<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<&'a str>,
        status: Stage,
    },
    Message {
        id: String,
        role: &'static str,
        status: Stage,
        content: Vec<Content<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<String>,
    },
    FunctionCall {
        id: String,
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
        status: Stage,
        #[serde(flatten)]
        extras: Map<String, Value>,
    },
    CustomToolCall {
        id: String,
        call_id: &'a str,
        name: &'a str,
        input: &'a str,
        status: Stage,
        #[serde(flatten)]
        extras: Map<String, Value>,
    },
    ImageGenerationCall {
        id: String,
        status: Stage,
        result: Option<&'a str>,
        output_format: &'a str,
    },
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing of it has been told.
    InProgress,
    Completed,
    /// It was cut.
    Incomplete,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "summary_text")]
pub struct SummaryPart<'a> {
    pub text: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum Content<'a> {
    #[serde(rename = "output_text")]
    Text { text: &'a str, annotations: Vec<Annotation<'a>>, logprobs: Logprobs<'a> },
    #[serde(rename = "refusal")]
    Refusal { refusal: &'a str },
}

/// A JSON array, empty if there is none.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Logprobs<'a> {
    Told(&'a RawValue),
    None([(); 0]),
}

impl<'a> Logprobs<'a> {
    pub fn of(json: Option<&'a str>) -> Self {
        json.and_then(|json| serde_json::from_str(json).ok()).map_or(Self::None([]), Self::Told)
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Annotation<'a> {
    Native(&'a RawValue),
    Url(UrlCitation<'a>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "url_citation")]
pub struct UrlCitation<'a> {
    start_index: u32,
    end_index: u32,
    title: &'a str,
    url: &'a str,
}

/// What a text rests on, where this dialect can say it: a citation of another dialect needs a URL.
pub fn annotations(part: &Part) -> Vec<Annotation<'_>> {
    let PartBody::Text(text) = &part.body else { return Vec::new() };
    part.citations.iter().filter_map(|citation| annotation(citation, text)).collect()
}

fn annotation<'a>(citation: &'a Citation, text: &str) -> Option<Annotation<'a>> {
    if citation.native.dialect == DIALECT {
        return serde_json::from_str(&citation.native.value).ok().map(Annotation::Native);
    }
    let url = citation.url.as_deref()?;
    let (start_index, end_index) = citation.span.unwrap_or_else(|| (0, u32::try_from(text.chars().count()).unwrap_or(u32::MAX)));
    Some(Annotation::Url(UrlCitation { start_index, end_index, title: citation.title.as_deref().unwrap_or(url), url }))
}

/// Fields of this dialect that have no canonical name, without those that are `set` beside them.
pub fn own_fields(extras: &[Native], set: &[&str]) -> Map<String, Value> {
    openai::own_fields(DIALECT, extras, set)
}

/// Whether a message is a comment on the way or the answer itself, where the provider says.
pub fn phase(part: &Part) -> Option<String> {
    if !matches!(part.body, PartBody::Text(_) | PartBody::Refusal(_)) {
        return None;
    }
    match own_fields(&part.extras, &[]).shift_remove("phase") {
        Some(Value::String(phase)) => Some(phase),
        _ => None,
    }
}

/// Whether a part is shown, were it complete as it stands.
pub fn is_shown(part: &Part) -> bool {
    match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => !text.is_empty(),
        PartBody::Thinking(text) => !text.is_empty() || part.replay.is_some(),
        PartBody::ToolCall(_) => true,
        PartBody::Image(image) => matches!(image.source, MediaSource::Base64(_)),
        PartBody::Other(native) => native.dialect == DIALECT && serde_json::from_str::<Map<String, Value>>(&native.value).is_ok(),
        PartBody::Audio(_) | PartBody::Video(_) | PartBody::Document(_) | PartBody::ToolResult(_) => false,
    }
}

/// Makes the items of one answer.
#[derive(Debug)]
pub struct Items {
    /// The answer's id without its prefix.
    stem: String,
}

impl Items {
    /// Of an answer with this id.
    pub fn of(id: &str) -> Self {
        Self { stem: id.strip_prefix("resp_").unwrap_or(id).to_owned() }
    }

    /// The id of a part's item; none if the part is of a kind that has no item of ours.
    pub fn id(&self, number: usize, body: &PartBody) -> Option<String> {
        let prefix = match body {
            PartBody::Text(_) | PartBody::Refusal(_) => "msg_",
            PartBody::Thinking(_) => "rs_",
            PartBody::ToolCall(call) if call.free_form => "ctc_",
            PartBody::ToolCall(_) => "fc_",
            PartBody::Image(_) => IMAGE_ID,
            _ => return None,
        };
        Some(format!("{prefix}{}_{number}", self.stem))
    }

    /// A part's item. `logprobs` are of its text.
    pub fn item<'a>(&self, number: usize, part: &'a Part, stage: Stage, logprobs: Option<&'a str>) -> Option<OutputItem<'a>> {
        if let PartBody::Other(native) = &part.body {
            return serde_json::from_str(&native.value).ok().map(OutputItem::Native);
        }
        let id = self.id(number, &part.body)?;
        let told = stage != Stage::InProgress;
        Some(OutputItem::Ours(match &part.body {
            PartBody::Thinking(text) => Item::Reasoning {
                id,
                summary: (told && !text.is_empty()).then_some(SummaryPart { text }).into_iter().collect(),
                encrypted_content: part.replay.as_ref().filter(|_| told).map(|replay| replay.data.as_str()),
                status: stage,
            },
            PartBody::ToolCall(call) => {
                let (call_id, name) = (call.id.as_str(), call.name.as_str());
                let extras = own_fields(&part.extras, &["type", "id", "call_id", "name", "arguments", "input", "status"]);
                match (call.free_form, told) {
                    (true, told) => {
                        let input = if told { call.arguments.as_str() } else { "" };
                        Item::CustomToolCall { id, call_id, name, input, status: stage, extras }
                    }
                    (false, told) => {
                        let arguments = if told { arguments(&call.arguments) } else { "" };
                        Item::FunctionCall { id, call_id, name, arguments, status: stage, extras }
                    }
                }
            }
            PartBody::Image(image) => Item::ImageGenerationCall {
                id,
                status: stage,
                result: match &image.source {
                    MediaSource::Base64(base64) if told => Some(base64),
                    _ => None,
                },
                output_format: image.media_type.as_deref().and_then(|kind| kind.strip_prefix("image/")).unwrap_or("png"),
            },
            body => Item::Message {
                id,
                role: "assistant",
                status: stage,
                content: content(body, part, logprobs).filter(|_| told).into_iter().collect(),
                phase: phase(part),
            },
        }))
    }

    /// The answer's last item, in which the turn is kept that must come back.
    pub fn turn<'a>(&self, number: usize, turn: &'a str, stage: Stage) -> OutputItem<'a> {
        let encrypted_content = (stage != Stage::InProgress).then_some(turn);
        OutputItem::Ours(Item::Reasoning {
            id: format!("rs_{}_{number}", self.stem),
            summary: Vec::new(),
            encrypted_content,
            status: stage,
        })
    }
}

/// What a message says.
pub fn content<'a>(body: &'a PartBody, part: &'a Part, logprobs: Option<&'a str>) -> Option<Content<'a>> {
    match body {
        PartBody::Text(text) => Some(Content::Text { text, annotations: annotations(part), logprobs: Logprobs::of(logprobs) }),
        PartBody::Refusal(refusal) => Some(Content::Refusal { refusal }),
        _ => None,
    }
}

/// The part at which a choice's logprobs are told: its first text.
pub fn first_text(choice: &Choice) -> Option<usize> {
    choice.parts.iter().position(|part| matches!(part.body, PartBody::Text(_)))
}

/// What of a choice's parts must come back and is in no item.
pub fn turn_of(choice: &Choice) -> Option<String> {
    turn::of_parts(choice.parts.iter().filter(|part| is_shown(part) || turn::puts_back(part)))
}
