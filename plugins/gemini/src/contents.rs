//! The conversation as Gemini wants it: `systemInstruction`, then turns of `user` and `model` that alternate and begin with `user`.
//!
//! Owns: joining messages into turns, thought signatures of the history, the order of function responses.
//! A signature stands on the part that it came with, byte for byte. Where a step's first function call has none of this model's, another
//! model wrote it, and Google's placeholder stands there instead.

use crate::DIALECT;
use crate::context::CUSTOM_ARGUMENT;
use crate::extras;
use crate::families::Family;
use crate::losses::Losses;
use crate::media::{self, FileData, InlineData, MediaPart, MediaResolution};
use llm_gateway_adapter::body::Media as Bodies;
use llm_gateway_adapter::dropped;
use llm_gateway_adapter::serde_json::value::{RawValue, to_raw_value};
use llm_gateway_adapter::serde_json::{self, Map, Value, json};
use llm_gateway_adapter::types::{
    ChatRequest, Failure, Media, MediaSource, Message, Native, Part, PartBody, Replay, Role, ToolCall, ToolResult, ToolResultPart,
};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

/// Google's own word for a function call that has no signature because another model made it.
const FOREIGN_CALL: &str = "skip_thought_signature_validator";

/// Opens a conversation that the caller began with the model's turn.
const OPENING: &str = ".";

#[derive(Debug, Serialize)]
pub struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Speaker>,
    parts: Vec<ContentPart<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Model,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ContentPart<'a> {
    Made(MadePart<'a>),
    /// With fields that the caller gave in Gemini's own words.
    Native(Value),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MadePart<'a> {
    #[serde(flatten)]
    data: Data<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_resolution: Option<MediaResolution>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Data<'a> {
    Text(&'a str),
    InlineData(InlineData<'a>),
    FileData(FileData<'a>),
    FunctionCall(FunctionCall<'a>),
    FunctionResponse(FunctionResponse<'a>),
}

#[derive(Debug, Serialize)]
struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    args: Cow<'a, RawValue>,
}

#[derive(Debug, Serialize)]
struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    response: FunctionOutput<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<FunctionResponsePart<'a>>,
}

/// Gemini wants an object; these are the names that it knows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum FunctionOutput<'a> {
    Output(Cow<'a, str>),
    Error(Cow<'a, str>),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum FunctionResponsePart<'a> {
    Media(MediaPart<'a>),
    Native(Value),
}

/// Where a part stands in the caller's request.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    message: usize,
    part: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages[{}].parts[{}]", self.message, self.part)
    }
}

/// What of a request is the prompt.
#[derive(Debug)]
pub struct Prompt<'a> {
    pub system_instruction: Option<Content<'a>>,
    pub contents: Vec<Content<'a>>,
}

/// # Errors
/// `invalid-request` or `unsupported`, with the part named.
pub fn write<'a>(
    request: &'a ChatRequest,
    family: &'static Family,
    bodies: &mut Bodies,
    losses: &mut Losses,
) -> Result<Prompt<'a>, Failure> {
    let mut writer = Writer { model: &request.model, family, bodies, losses, contents: Vec::new() };
    let leading = request.messages.iter().take_while(|message| is_system(message.role)).count();
    // Gemini answers turns. Where there is none, the instruction is one.
    let leading = if leading == request.messages.len() { 0 } else { leading };
    let system_instruction = writer.system_instruction(&request.messages[..leading])?;
    for (index, message) in request.messages.iter().enumerate().skip(leading) {
        writer.message(index, message)?;
    }
    if let [.., last] = request.messages.as_slice()
        && last.role == Role::Assistant
        && last.parts.last().is_some_and(|part| matches!(part.body, PartBody::Text(_)))
    {
        let path = format!("messages[{}]", request.messages.len() - 1);
        writer.losses.add(path, "Gemini answers after it, and need not go on with it");
    }
    let contents = writer.finish()?;
    Ok(Prompt { system_instruction, contents })
}

fn is_system(role: Role) -> bool {
    matches!(role, Role::System | Role::Developer)
}

struct Writer<'a, 'w> {
    model: &'a str,
    family: &'static Family,
    bodies: &'w mut Bodies,
    losses: &'w mut Losses,
    contents: Vec<Content<'a>>,
}

impl<'a> Writer<'a, '_> {
    fn system_instruction(&mut self, messages: &'a [Message]) -> Result<Option<Content<'a>>, Failure> {
        let mut parts = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            self.parts(index, message, &mut parts)?;
            if !parts.iter().all(ContentPart::is_text) {
                return Err(Failure::unsupported(&format!("messages[{index}]"), "Gemini's system instruction takes text alone"));
            }
        }
        Ok((!parts.is_empty()).then_some(Content { role: None, parts }))
    }

    fn message(&mut self, index: usize, message: &'a Message) -> Result<(), Failure> {
        if is_system(message.role) {
            self.losses
                .add(format!("messages[{index}].role"), "Gemini takes instructions only at the beginning; it stands as the user's text");
        }
        let speaker = if message.role == Role::Assistant { Speaker::Model } else { Speaker::User };
        let mut parts = Vec::new();
        self.parts(index, message, &mut parts)?;
        match self.contents.last_mut() {
            _ if parts.is_empty() => {}
            Some(turn) if turn.role == Some(speaker) => turn.parts.append(&mut parts),
            _ => self.contents.push(Content { role: Some(speaker), parts }),
        }
        Ok(())
    }

    fn parts(&mut self, index: usize, message: &'a Message, parts: &mut Vec<ContentPart<'a>>) -> Result<(), Failure> {
        if message.name.is_some() {
            self.losses.add(format!("messages[{index}].name"), "Gemini has no names of participants");
        }
        for native in &message.extras {
            extras::report(native, &format!("messages[{index}].extras"), &[], self.losses);
        }
        for (number, part) in message.parts.iter().enumerate() {
            let place = Place { message: index, part: number };
            if let Err(failure) = self.part(part, place, parts) {
                self.losses.add(place.to_string(), dropped::left_out(message.role, part, failure)?);
            }
        }
        Ok(())
    }

    fn part(&mut self, part: &'a Part, place: Place, parts: &mut Vec<ContentPart<'a>>) -> Result<(), Failure> {
        if part.cache.is_some() {
            self.losses.add(format!("{place}.cache"), "Gemini caches on its own; it takes no breakpoints");
        }
        let signature = self.own_signature(part.replay.as_ref());
        let made = match &part.body {
            // Gemini refuses a part with nothing in it.
            PartBody::Text(text) | PartBody::Refusal(text) if text.is_empty() && signature.is_none() => return Ok(()),
            PartBody::Text(text) | PartBody::Refusal(text) => MadePart::of(Data::Text(text)),
            PartBody::Thinking(_) if signature.is_none() => {
                if part.replay.as_ref().is_some_and(|replay| !replay.data.is_empty()) {
                    self.losses.add(place.to_string(), "another model's thinking");
                }
                return Ok(());
            }
            PartBody::Thinking(text) => MadePart { thought: Some(true), ..MadePart::of(Data::Text(text)) },
            PartBody::Image(media) | PartBody::Audio(media) | PartBody::Video(media) | PartBody::Document(media) => {
                self.media(media, place)?
            }
            PartBody::ToolCall(call) => self.function_call(call, place),
            PartBody::ToolResult(result) => return self.function_response(result, place, parts),
            PartBody::Other(native) => {
                parts.push(ContentPart::Native(Value::Object(own_object(native, place)?)));
                return Ok(());
            }
        };
        let made = MadePart { thought_signature: signature, ..made };
        let path = format!("{place}.extras");
        parts.push(match extras::own(&part.extras, &path, self.losses)? {
            Some(fields) => made.with(fields)?,
            None => ContentPart::Made(made),
        });
        Ok(())
    }

    /// The part's signature, if this model gave it: another's would be refused as corrupted.
    fn own_signature(&self, replay: Option<&'a Replay>) -> Option<&'a str> {
        let replay = replay?;
        let own = replay.model.as_deref().is_none_or(|model| model == self.model);
        (own && !replay.data.is_empty()).then_some(replay.data.as_str())
    }

    fn media(&mut self, media: &'a Media, place: Place) -> Result<MadePart<'a>, Failure> {
        let data = match media::part(media, place, self.bodies)? {
            MediaPart::InlineData(data) => Data::InlineData(data),
            MediaPart::FileData(data) => Data::FileData(data),
        };
        if media.name.is_some() {
            self.losses.add(format!("{place}.name"), "Gemini takes no file names");
        }
        let resolution = media.detail.as_deref().and_then(MediaResolution::of);
        if resolution.is_some() && !self.family.takes_media_resolution() {
            self.losses.add(format!("{place}.detail"), "this model takes no resolution for a single part");
            return Ok(MadePart::of(data));
        }
        Ok(MadePart { media_resolution: resolution, ..MadePart::of(data) })
    }

    fn function_call(&mut self, call: &'a ToolCall, place: Place) -> MadePart<'a> {
        let args = arguments(call).unwrap_or_else(|| {
            self.losses.add(format!("{place}.arguments"), "they are no JSON object; they stand in one, as text");
            wrapped(&call.arguments)
        });
        MadePart::of(Data::FunctionCall(FunctionCall { id: &call.id, name: &call.name, args }))
    }

    /// The response, and beside it what can't stand in it.
    fn function_response(&mut self, result: &'a ToolResult, place: Place, parts: &mut Vec<ContentPart<'a>>) -> Result<(), Failure> {
        if result.name.is_empty() {
            return Err(Failure::invalid(Some(&place.to_string()), "a tool result must belong to a tool call of the conversation"));
        }
        let (mut texts, mut inside, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        for content in &result.content {
            match content {
                ToolResultPart::Text(text) => texts.push(text.as_str()),
                ToolResultPart::Other(native) => inside.push(FunctionResponsePart::Native(Value::Object(own_object(native, place)?))),
                ToolResultPart::Image(media)
                | ToolResultPart::Audio(media)
                | ToolResultPart::Video(media)
                | ToolResultPart::Document(media)
                    if self.family.takes_media_in_results() && is_inline(media) =>
                {
                    inside.push(FunctionResponsePart::Media(media::part(media, place, self.bodies)?));
                }
                ToolResultPart::Image(media)
                | ToolResultPart::Audio(media)
                | ToolResultPart::Video(media)
                | ToolResultPart::Document(media) => {
                    self.losses.add(place.to_string(), "Gemini can't take this media in a function's response; it stands beside it");
                    beside.push(ContentPart::Made(self.media(media, place)?));
                }
            }
        }
        let text = match texts.as_slice() {
            [text] => Cow::Borrowed(*text),
            texts => Cow::Owned(texts.join("\n")),
        };
        let response = if result.is_error { FunctionOutput::Error(text) } else { FunctionOutput::Output(text) };
        let response = FunctionResponse { id: &result.call_id, name: &result.name, response, parts: inside };
        parts.push(ContentPart::Made(MadePart::of(Data::FunctionResponse(response))));
        parts.append(&mut beside);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Content<'a>>, Failure> {
        let Some(first) = self.contents.first() else {
            return Err(Failure::invalid(Some("messages"), "there is nothing in the messages for Gemini to answer"));
        };
        if first.role == Some(Speaker::Model) {
            self.losses.add("messages", "Gemini wants the user to begin; a turn of one full stop stands before the first message");
            self.contents
                .insert(0, Content { role: Some(Speaker::User), parts: vec![ContentPart::Made(MadePart::of(Data::Text(OPENING)))] });
        }
        if self.family.checks_signatures() {
            self.contents.iter_mut().for_each(sign_foreign_step);
        }
        for at in 1..self.contents.len() {
            let (before, answer) = self.contents.split_at_mut(at);
            if let (Some(calls), Some(responses)) = (before.last(), answer.first_mut()) {
                put_in_call_order(calls, responses);
            }
        }
        Ok(self.contents)
    }
}

/// Only the first call of a step is checked: parallel ones have no signature of their own.
fn sign_foreign_step(turn: &mut Content) {
    match turn.parts.iter_mut().find(|part| part.call_id().is_some()) {
        Some(ContentPart::Made(part)) => {
            part.thought_signature.get_or_insert(FOREIGN_CALL);
        }
        Some(ContentPart::Native(part)) if part.get("thoughtSignature").is_none() => part["thoughtSignature"] = FOREIGN_CALL.into(),
        Some(ContentPart::Native(_)) | None => {}
    }
}

/// Responses come first in their turn, and as their calls came.
fn put_in_call_order(calls: &Content, responses: &mut Content) {
    let order: Vec<&str> = calls.parts.iter().filter_map(ContentPart::call_id).collect();
    if !order.is_empty() {
        responses.parts.sort_by_key(|part| match part.response_id() {
            Some(id) => order.iter().position(|call| *call == id).unwrap_or(order.len()),
            None => usize::MAX,
        });
    }
}

impl<'a> MadePart<'a> {
    fn of(data: Data<'a>) -> Self {
        Self { data, thought: None, thought_signature: None, media_resolution: None }
    }

    fn with(self, fields: Map<String, Value>) -> Result<ContentPart<'a>, Failure> {
        let mut value = serde_json::to_value(self).map_err(|error| Failure::invalid(None, error.to_string()))?;
        if let Value::Object(part) = &mut value {
            extras::merge(part, fields);
        }
        Ok(ContentPart::Native(value))
    }
}

impl ContentPart<'_> {
    fn is_text(&self) -> bool {
        match self {
            Self::Made(part) => matches!(part.data, Data::Text(_)),
            Self::Native(part) => part.get("text").is_some(),
        }
    }

    fn call_id(&self) -> Option<&str> {
        match self {
            Self::Made(MadePart { data: Data::FunctionCall(call), .. }) => Some(call.id),
            Self::Made(_) => None,
            Self::Native(part) => part.get("functionCall").map(|call| call["id"].as_str().unwrap_or_default()),
        }
    }

    fn response_id(&self) -> Option<&str> {
        match self {
            Self::Made(MadePart { data: Data::FunctionResponse(response), .. }) => Some(response.id),
            Self::Made(_) => None,
            Self::Native(part) => part.get("functionResponse").map(|response| response["id"].as_str().unwrap_or_default()),
        }
    }
}

fn own_object(native: &Native, place: Place) -> Result<Map<String, Value>, Failure> {
    if native.dialect == DIALECT {
        return extras::object(native, &place.to_string());
    }
    Err(Failure::unsupported(&place.to_string(), format!("Gemini has no part like this one of the dialect `{}`", native.dialect)))
}

fn is_inline(media: &Media) -> bool {
    matches!(media.source, MediaSource::Blob(_) | MediaSource::Base64(_))
}

/// Absent if they are no JSON object.
fn arguments(call: &ToolCall) -> Option<Cow<'_, RawValue>> {
    if call.free_form {
        return Some(wrapped(&call.arguments));
    }
    let text = call.arguments.trim();
    let text = if text.is_empty() { "{}" } else { text };
    let value: &RawValue = serde_json::from_str(text).ok()?;
    value.get().starts_with('{').then_some(Cow::Borrowed(value))
}

fn wrapped(text: &str) -> Cow<'_, RawValue> {
    to_raw_value(&json!({ CUSTOM_ARGUMENT: text })).map_or_else(|_| Cow::Borrowed(RawValue::NULL), Cow::Owned)
}
