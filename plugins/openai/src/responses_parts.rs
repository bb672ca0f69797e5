//! What a message of `/responses`, or a tool's output there, contains: text, images and files.

use crate::encoding::{Encoding, Entry, PromptCacheBreakpoint, json};
use crate::endpoint::Endpoint;
use crate::media::{self, Source};
use llm_gateway_adapter::types::{Failure, Media, Part, PartBody, ToolResultPart};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Entry<'a, ContentPart<'a>>>),
}

#[derive(Debug, Serialize)]
pub struct ContentPart<'a> {
    #[serde(flatten)]
    pub body: ContentBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_cache_breakpoint: Option<PromptCacheBreakpoint>,
    #[serde(flatten)]
    pub extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBody<'a> {
    InputText { text: Cow<'a, str> },
    InputImage(InputImage<'a>),
    InputFile(InputFile<'a>),
    OutputText { text: &'a str, annotations: Vec<&'a RawValue> },
    Refusal { refusal: &'a str },
}

#[derive(Debug, Default, Serialize)]
pub struct InputImage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Debug, Default, Serialize)]
pub struct InputFile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<String>,
}

pub fn content<'a>(encoding: &mut Encoding<'a>, parts: &[(String, &'a Part)]) -> Result<Content<'a>, Failure> {
    match parts {
        [] => Ok(Content::Text(Cow::Borrowed(""))),
        [(_, Part { body: PartBody::Text(text), cache: None, extras, .. })] if extras.is_empty() => Ok(Content::Text(Cow::Borrowed(text))),
        parts => Ok(Content::Parts(parts.iter().map(|(path, part)| content_part(encoding, path, part)).collect::<Result<_, _>>()?)),
    }
}

fn content_part<'a>(encoding: &mut Encoding<'a>, path: &str, part: &'a Part) -> Result<Entry<'a, ContentPart<'a>>, Failure> {
    let body = match &part.body {
        PartBody::Text(text) => ContentBody::InputText { text: Cow::Borrowed(text) },
        PartBody::Image(image) => image_part(encoding, path, image)?,
        PartBody::Document(document) => document_part(encoding, path, document)?,
        PartBody::Other(native) if native.dialect == Endpoint::Responses.dialect() => {
            return Ok(Entry::Native(json(path, &native.value)?));
        }
        PartBody::Other(native) => return Err(Failure::unsupported(path, format!("a part of {} alone", native.dialect))),
        PartBody::Audio(_) => return Err(Failure::unsupported(path, "the responses endpoint takes no audio")),
        PartBody::Video(_) => return Err(Failure::unsupported(path, "the provider takes no videos")),
        PartBody::Refusal(_) | PartBody::Thinking(_) | PartBody::ToolCall(_) | PartBody::ToolResult(_) => {
            return Err(Failure::invalid(Some(path), "only the assistant has such a part"));
        }
    };
    let prompt_cache_breakpoint = encoding.breakpoint(path, part.cache);
    let mut extras = encoding.own_fields(path, &part.extras)?;
    for own in ["type", "text", "image_url", "detail", "file_id", "file_url", "file_data", "filename", "prompt_cache_breakpoint"] {
        extras.shift_remove(own);
    }
    Ok(Entry::Known(ContentPart { body, prompt_cache_breakpoint, extras }))
}

fn image_part<'a>(encoding: &mut Encoding<'a>, path: &str, image: &'a Media) -> Result<ContentBody<'a>, Failure> {
    let detail = image.detail.as_deref();
    Ok(ContentBody::InputImage(match media::source(encoding, path, image)? {
        Source::Base64(base64) => {
            let url = media::data_url(image, "image/png", &base64);
            InputImage { image_url: Some(Cow::Owned(url)), file_id: None, detail }
        }
        Source::Url(url) => InputImage { image_url: Some(Cow::Borrowed(url)), file_id: None, detail },
        Source::File(id) => InputImage { image_url: None, file_id: Some(id), detail },
    }))
}

fn document_part<'a>(encoding: &mut Encoding<'a>, path: &str, document: &'a Media) -> Result<ContentBody<'a>, Failure> {
    if let Some(text) = media::as_text(encoding, document) {
        return Ok(ContentBody::InputText { text: Cow::Owned(text) });
    }
    Ok(ContentBody::InputFile(match media::source(encoding, path, document)? {
        Source::Base64(base64) => InputFile {
            filename: Some(media::file_name(document)),
            file_data: Some(media::data_url(document, "application/pdf", &base64)),
            ..InputFile::default()
        },
        // The provider takes a name only with the bytes.
        Source::Url(url) => InputFile { file_url: Some(url), ..InputFile::default() },
        Source::File(id) => InputFile { file_id: Some(id), ..InputFile::default() },
    }))
}

pub fn result_part<'a>(encoding: &mut Encoding<'a>, path: &str, part: &'a ToolResultPart) -> Result<Entry<'a, ContentPart<'a>>, Failure> {
    Ok(entry(match part {
        ToolResultPart::Text(text) => ContentBody::InputText { text: Cow::Borrowed(text) },
        ToolResultPart::Image(image) => image_part(encoding, path, image)?,
        ToolResultPart::Document(document) => document_part(encoding, path, document)?,
        ToolResultPart::Audio(_) => return Err(Failure::unsupported(path, "the responses endpoint takes no audio")),
        ToolResultPart::Video(_) => return Err(Failure::unsupported(path, "the provider takes no videos")),
        ToolResultPart::Other(native) if native.dialect == Endpoint::Responses.dialect() => {
            return Ok(Entry::Native(json(path, &native.value)?));
        }
        ToolResultPart::Other(native) => return Err(Failure::unsupported(path, format!("a part of {} alone", native.dialect))),
    }))
}

pub fn entry(body: ContentBody<'_>) -> Entry<'_, ContentPart<'_>> {
    Entry::Known(ContentPart { body, prompt_cache_breakpoint: None, extras: Map::new() })
}

/// One plain text is written as a string. A breakpoint stands at the last part.
pub fn output_of<'a>(mut output: Vec<Entry<'a, ContentPart<'a>>>, breakpoint: Option<PromptCacheBreakpoint>) -> Content<'a> {
    if let (Some(breakpoint), Some(Entry::Known(last))) = (breakpoint, output.last_mut()) {
        last.prompt_cache_breakpoint = Some(breakpoint);
    }
    match output.as_mut_slice() {
        [] => Content::Text(Cow::Borrowed("")),
        [Entry::Known(ContentPart { body: ContentBody::InputText { text }, prompt_cache_breakpoint: None, .. })] => {
            Content::Text(std::mem::take(text))
        }
        _ => Content::Parts(output),
    }
}

/// Whether a native of a user's message is content (`input_text`) rather than an item (`mcp_approval_response`).
pub fn is_content(native: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Typed<'_>>(native).is_ok_and(|typed| typed.kind.starts_with("input_"))
}
