//! The messages of a request.

use crate::contract::{Media, Message, Part, PartBody, Role, ToolCall, ToolResult, ToolResultPart};
use crate::domain::{Blobs, part};
use crate::edge::BadRequest;
use crate::edge::dialect::calls::Calls;
use crate::edge::dialect::chat::DIALECT;
use crate::edge::dialect::chat::body::CARRIER_FORMAT;
use crate::edge::dialect::chat::parse::required_object;
use crate::edge::dialect::chat::turn::restore;
use crate::edge::dialect::{media, openai};
use crate::edge::json::Fields;
use serde_json::{Map, Value, json};

pub fn messages(fields: &mut Fields, blobs: &mut Blobs) -> Result<Vec<Message>, BadRequest> {
    let values = fields.list("messages")?.ok_or_else(|| fields.wrong("messages", "is required and must be a list"))?;
    if values.is_empty() {
        return Err(fields.wrong("messages", "must hold at least one message"));
    }
    let mut messages = Vec::with_capacity(values.len());
    let mut calls = Calls::default();
    for (at, value) in values.into_iter().enumerate() {
        let fields = Fields::of_value(format!("messages[{at}]"), value)?;
        messages.push(message(fields, blobs, &mut calls)?);
    }
    Ok(messages)
}

const ROLES: [(&str, Role); 6] = [
    ("system", Role::System),
    ("developer", Role::Developer),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("tool", Role::Tool),
    ("function", Role::Tool),
];

fn message(mut fields: Fields, blobs: &mut Blobs, calls: &mut Calls) -> Result<Message, BadRequest> {
    let role = fields.word("role", &ROLES)?.ok_or_else(|| fields.wrong("role", "is required"))?;
    let name = fields.string("name")?;
    let content = content(&mut fields, blobs)?;
    let (name, mut parts, mut foreign) = match role {
        Role::Assistant => {
            let (parts, foreign) = assistant(&mut fields, content, blobs, calls)?;
            (name, parts, foreign)
        }
        Role::Tool => (None, vec![tool_result(&mut fields, name, content.into_parts(), calls)?], Map::new()),
        Role::System | Role::Developer | Role::User => match content {
            Content::Text(parts) => (name, parts, Map::new()),
            Content::Parts(parts) if !parts.is_empty() => (name, parts, Map::new()),
            Content::Absent | Content::Parts(_) => return Err(fields.wrong("content", "is required and must have something in it")),
        },
    };
    // Some clients write it beside a content that is a string.
    if let (Some(last), Some(cache)) = (parts.last_mut(), openai::cache_breakpoint(&mut fields)?) {
        last.cache = last.cache.or(Some(cache));
    }
    foreign.extend(fields.rest());
    // A message of a tool's is its one result.
    if let (Role::Tool, Some(result)) = (role, parts.last_mut()) {
        result.extras = openai::extras(DIALECT, std::mem::take(&mut foreign));
    }
    Ok(Message { role, name, parts, extras: openai::extras(DIALECT, foreign) })
}

/// How a message's content was written.
enum Content {
    Absent,
    /// One part, or none of an empty string.
    Text(Vec<Part>),
    Parts(Vec<Part>),
}

impl Content {
    fn into_parts(self) -> Vec<Part> {
        match self {
            Self::Absent => Vec::new(),
            Self::Text(parts) | Self::Parts(parts) => parts,
        }
    }
}

fn content(fields: &mut Fields, blobs: &mut Blobs) -> Result<Content, BadRequest> {
    match fields.value("content") {
        None => Ok(Content::Absent),
        Some(Value::String(text)) if text.is_empty() => Ok(Content::Text(Vec::new())),
        Some(Value::String(text)) => Ok(Content::Text(vec![part(PartBody::Text(text))])),
        Some(Value::Array(values)) => {
            let path = fields.path("content");
            let part = |(at, value)| content_part(Fields::of_value(format!("{path}[{at}]"), value)?, blobs);
            Ok(Content::Parts(values.into_iter().enumerate().map(part).collect::<Result<_, _>>()?))
        }
        Some(_) => Err(fields.wrong("content", "must be a string or a list of parts")),
    }
}

fn content_part(mut fields: Fields, blobs: &mut Blobs) -> Result<Part, BadRequest> {
    let kind = fields.required_string("type")?;
    let body = match kind.as_str() {
        "text" => PartBody::Text(fields.required_string("text")?),
        "refusal" => PartBody::Refusal(fields.required_string("refusal")?),
        "image_url" => PartBody::Image(linked(&mut fields, "image_url", blobs)?),
        "video_url" => PartBody::Video(linked(&mut fields, "video_url", blobs)?),
        "input_audio" => PartBody::Audio(openai::audio(&mut fields, blobs)?),
        "file" => PartBody::Document(file(&mut fields, blobs)?),
        other => {
            let known = "text, refusal, image_url, video_url, input_audio and file";
            return Err(fields.wrong("type", format!("is `{other}`; known are {known}")));
        }
    };
    let cache = openai::cache_breakpoint(&mut fields)?;
    Ok(Part { cache, extras: openai::extras(DIALECT, fields.rest()), ..part(body) })
}

fn linked(fields: &mut Fields, name: &str, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let mut linked = match fields.value(name) {
        // Some clients send the bare URL.
        Some(Value::String(url)) => Fields::of_value(fields.path(name), json!({ "url": url }))?,
        Some(value) => Fields::of_value(fields.path(name), value)?,
        None => return Err(fields.wrong(name, "is required")),
    };
    let url = linked.required_string("url")?;
    let detail = linked.string("detail")?;
    let media = media::by_url(url, blobs).map_err(|wrong| linked.wrong("url", wrong))?;
    Ok(Media { detail, ..media })
}

fn file(fields: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let mut file = required_object(fields, "file")?;
    let name = file.string("filename")?;
    if let Some(id) = file.string("file_id")? {
        return Ok(Media { name, ..media::media(openai::file(DIALECT, id), None) });
    }
    // OpenAI takes files by URL at its other endpoint alone; other gateways take one in either field.
    let (field, url) = match file.string("file_url")? {
        Some(url) => ("file_url", url),
        None => ("file_data", file.required_string("file_data")?),
    };
    let document = media::by_url(url, blobs).map_err(|wrong| file.wrong(field, wrong))?;
    Ok(Media { name, ..document })
}

// ---- what the assistant said ----

/// The parts, and the fields that are another's.
fn assistant(
    fields: &mut Fields,
    content: Content,
    blobs: &mut Blobs,
    calls: &mut Calls,
) -> Result<(Vec<Part>, Map<String, Value>), BadRequest> {
    let (turn, mut foreign) = carried(fields)?;
    let mut parts = Vec::new();
    for name in ["reasoning_content", "reasoning"] {
        // Without a replay it is left out by the adapters.
        let thought = fields.string(name)?.filter(|thought| !thought.is_empty() && parts.is_empty());
        parts.extend(thought.map(|thought| part(PartBody::Thinking(thought))));
    }
    parts.extend(content.into_parts());
    let refusal = fields.string("refusal")?.filter(|refusal| !refusal.is_empty());
    parts.extend(refusal.map(|refusal| part(PartBody::Refusal(refusal))));
    images(fields, &mut parts, blobs)?;
    tool_calls(fields, &mut parts, calls)?;
    // It tells of an answer, and no request has it.
    fields.value("annotations");
    let sound = sound_id(fields)?;
    let told = parts.len();
    // Only a skeleton knows where in the message a sound belongs.
    parts.extend(sound.clone().map(|id| part(PartBody::Audio(media::media(openai::file(DIALECT, id), None)))));
    if !turn.is_some_and(|turn| restore(&mut parts, &turn)) {
        parts.truncate(told);
        foreign.extend(sound.map(|id| ("audio".to_owned(), json!({ "id": id }))));
    }
    Ok((parts, foreign))
}

/// The text of this gateway's own carrier, if the message has one.
fn carried(fields: &mut Fields) -> Result<(Option<String>, Map<String, Value>), BadRequest> {
    let (own, others): (Vec<Value>, Vec<Value>) =
        fields.list("reasoning_details")?.unwrap_or_default().into_iter().partition(|detail| detail["format"] == CARRIER_FORMAT);
    let mut foreign = Map::new();
    if !others.is_empty() {
        foreign.insert("reasoning_details".to_owned(), Value::Array(others));
    }
    Ok((own.iter().find_map(|detail| detail["data"].as_str()).map(str::to_owned), foreign))
}

fn images(fields: &mut Fields, parts: &mut Vec<Part>, blobs: &mut Blobs) -> Result<(), BadRequest> {
    let path = fields.path("images");
    for (at, value) in fields.list("images")?.unwrap_or_default().into_iter().enumerate() {
        let mut image = Fields::of_value(format!("{path}[{at}]"), value)?;
        parts.push(part(PartBody::Image(linked(&mut image, "image_url", blobs)?)));
    }
    Ok(())
}

/// A sound that the assistant made comes back by its id.
fn sound_id(fields: &mut Fields) -> Result<Option<String>, BadRequest> {
    fields.object("audio")?.map(|mut audio| audio.required_string("id")).transpose()
}

fn tool_calls(fields: &mut Fields, parts: &mut Vec<Part>, calls: &mut Calls) -> Result<(), BadRequest> {
    let path = fields.path("tool_calls");
    for (at, value) in fields.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
        parts.push(tool_call(Fields::of_value(format!("{path}[{at}]"), value)?, calls)?);
    }
    if let Some(mut call) = fields.object("function_call")? {
        let name = call.required_string("name")?;
        let arguments = openai::called_with(&mut call, "arguments")?;
        let id = format!("call_{}", calls.len());
        calls.add(&id, &name);
        parts.push(part(PartBody::ToolCall(ToolCall { id, name, arguments, free_form: false })));
    }
    Ok(())
}

fn tool_call(mut fields: Fields, calls: &mut Calls) -> Result<Part, BadRequest> {
    let id = fields.required_string("id")?;
    let free_form = fields.string("type")?.as_deref() == Some("custom");
    let mut called = required_object(&mut fields, if free_form { "custom" } else { "function" })?;
    let name = called.required_string("name")?;
    let arguments = openai::called_with(&mut called, if free_form { "input" } else { "arguments" })?;
    calls.add(&id, &name);
    // Left over from the pieces of a stream.
    fields.value("index");
    let cache = openai::cache_breakpoint(&mut fields)?;
    Ok(Part {
        cache,
        extras: openai::extras(DIALECT, fields.rest()),
        ..part(PartBody::ToolCall(ToolCall { id, name, arguments, free_form }))
    })
}

// ---- what tools said ----

fn tool_result(fields: &mut Fields, name: Option<String>, content: Vec<Part>, calls: &Calls) -> Result<Part, BadRequest> {
    let call_id = match (fields.string("tool_call_id")?, &name) {
        (Some(id), _) => id,
        (None, Some(name)) => {
            calls.last_of(name).map(str::to_owned).ok_or_else(|| fields.wrong("name", format!("answers no call of `{name}` above")))?
        }
        (None, None) => return Err(fields.wrong("tool_call_id", "is required")),
    };
    let name = name.or_else(|| calls.name_of(&call_id).map(str::to_owned)).unwrap_or_default();
    let cache = content.iter().rev().find_map(|part| part.cache);
    let content = content.into_iter().enumerate().map(|(at, part)| match part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => Ok(ToolResultPart::Text(text)),
        PartBody::Image(media) => Ok(ToolResultPart::Image(media)),
        PartBody::Audio(media) => Ok(ToolResultPart::Audio(media)),
        PartBody::Video(media) => Ok(ToolResultPart::Video(media)),
        PartBody::Document(media) => Ok(ToolResultPart::Document(media)),
        _ => Err(fields.wrong(&format!("content[{at}]"), "is of a kind that no tool result can have")),
    });
    let content = content.collect::<Result<Vec<_>, _>>()?;
    Ok(Part { cache, ..part(PartBody::ToolResult(ToolResult { call_id, name, content, is_error: false })) })
}
