//! What a message of `/chat/completions` contains: text, images, sounds and files.

use crate::encoding::{Encoding, Entry, PromptCacheBreakpoint, json};
use crate::endpoint::Endpoint;
use crate::media::{self, Source};
use llm_gateway_adapter::types::{Failure, Media, Part, PartBody, ToolResultPart};
use serde::Serialize;
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
    prompt_cache_breakpoint: Option<PromptCacheBreakpoint>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBody<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
    InputAudio { input_audio: InputAudio },
    File { file: File<'a> },
}

#[derive(Debug, Serialize)]
pub struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct InputAudio {
    data: String,
    format: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum File<'a> {
    Data { filename: &'a str, file_data: String },
    Id { file_id: String },
}

/// One plain text is written as a string, which every server takes.
pub fn content<'a>(encoding: &mut Encoding<'a>, parts: &[(String, &'a Part)]) -> Result<Content<'a>, Failure> {
    match parts {
        [] => Ok(Content::Text(Cow::Borrowed(""))),
        [(_, Part { body: PartBody::Text(text), cache: None, extras, .. })] if extras.is_empty() => Ok(Content::Text(Cow::Borrowed(text))),
        parts => Ok(Content::Parts(parts.iter().map(|(path, part)| content_part(encoding, path, part)).collect::<Result<_, _>>()?)),
    }
}

fn content_part<'a>(encoding: &mut Encoding<'a>, path: &str, part: &'a Part) -> Result<Entry<'a, ContentPart<'a>>, Failure> {
    let body = match &part.body {
        PartBody::Text(text) => ContentBody::Text { text: Cow::Borrowed(text) },
        PartBody::Image(image) => image_part(encoding, path, image)?,
        PartBody::Audio(audio) => audio_part(encoding, path, audio)?,
        PartBody::Document(document) => document_part(encoding, path, document)?,
        PartBody::Other(native) if native.dialect == Endpoint::Chat.dialect() => return Ok(Entry::Native(json(path, &native.value)?)),
        PartBody::Other(native) => return Err(Failure::unsupported(path, format!("a part of {} alone", native.dialect))),
        PartBody::Video(_) => return Err(Failure::unsupported(path, "the provider takes no videos")),
        PartBody::Refusal(_) | PartBody::Thinking(_) | PartBody::ToolCall(_) | PartBody::ToolResult(_) => {
            return Err(Failure::invalid(Some(path), "only the assistant has such a part"));
        }
    };
    let prompt_cache_breakpoint = match part.body {
        PartBody::Audio(_) => {
            encoding.no_breakpoint(path, part.cache);
            None
        }
        _ => encoding.breakpoint(path, part.cache),
    };
    let mut extras = encoding.own_fields(path, &part.extras)?;
    for own in ["type", "text", "image_url", "input_audio", "file", "prompt_cache_breakpoint"] {
        extras.shift_remove(own);
    }
    Ok(Entry::Known(ContentPart { body, prompt_cache_breakpoint, extras }))
}

fn image_part<'a>(encoding: &mut Encoding<'a>, path: &str, image: &'a Media) -> Result<ContentBody<'a>, Failure> {
    let url = match media::source(encoding, path, image)? {
        Source::Base64(base64) => Cow::Owned(media::data_url(image, "image/png", &base64)),
        Source::Url(url) => Cow::Borrowed(url),
        Source::File(_) => return Err(Failure::unsupported(path, "the chat endpoint takes no images by file id")),
    };
    Ok(ContentBody::ImageUrl { image_url: ImageUrl { url, detail: image.detail.as_deref() } })
}

fn audio_part<'a>(encoding: &mut Encoding<'a>, path: &str, audio: &'a Media) -> Result<ContentBody<'a>, Failure> {
    let format = media::input_audio_format(audio).ok_or_else(|| Failure::unsupported(path, "the provider takes only WAV and MP3 audio"))?;
    match media::source(encoding, path, audio)? {
        Source::Base64(data) => Ok(ContentBody::InputAudio { input_audio: InputAudio { data, format } }),
        Source::Url(_) | Source::File(_) => Err(Failure::unsupported(path, "the provider takes audio only as bytes")),
    }
}

fn document_part<'a>(encoding: &mut Encoding<'a>, path: &str, document: &'a Media) -> Result<ContentBody<'a>, Failure> {
    if let Some(text) = media::as_text(encoding, document) {
        return Ok(ContentBody::Text { text: Cow::Owned(text) });
    }
    let file = match media::source(encoding, path, document)? {
        Source::File(file_id) => File::Id { file_id },
        Source::Url(_) => return Err(Failure::unsupported(path, "the chat endpoint takes no documents by URL")),
        Source::Base64(base64) if media::kind(document).is_none_or(|kind| kind == "application/pdf") => {
            File::Data { filename: media::file_name(document), file_data: media::data_url(document, "application/pdf", &base64) }
        }
        Source::Base64(_) => return Err(Failure::unsupported(path, "the chat endpoint takes only PDF and text documents")),
    };
    Ok(ContentBody::File { file })
}

pub fn result_part<'a>(encoding: &mut Encoding<'a>, path: &str, part: &'a ToolResultPart) -> Result<Entry<'a, ContentPart<'a>>, Failure> {
    let body = match part {
        ToolResultPart::Text(text) => ContentBody::Text { text: Cow::Borrowed(text) },
        ToolResultPart::Image(image) => image_part(encoding, path, image)?,
        ToolResultPart::Audio(audio) => audio_part(encoding, path, audio)?,
        ToolResultPart::Document(document) => document_part(encoding, path, document)?,
        ToolResultPart::Video(_) => return Err(Failure::unsupported(path, "the provider takes no videos")),
        ToolResultPart::Other(native) if native.dialect == Endpoint::Chat.dialect() => {
            return Ok(Entry::Native(json(path, &native.value)?));
        }
        ToolResultPart::Other(native) => return Err(Failure::unsupported(path, format!("a part of {} alone", native.dialect))),
    };
    Ok(Entry::Known(ContentPart { body, prompt_cache_breakpoint: None, extras: Map::new() }))
}

pub fn text_part(text: Cow<'_, str>) -> Entry<'_, ContentPart<'_>> {
    Entry::Known(ContentPart { body: ContentBody::Text { text }, prompt_cache_breakpoint: None, extras: Map::new() })
}

pub fn result_content(mut texts: Vec<Cow<'_, str>>, breakpoint: Option<PromptCacheBreakpoint>) -> Content<'_> {
    if texts.len() <= 1 && breakpoint.is_none() {
        return Content::Text(texts.pop().unwrap_or_default());
    }
    let last = texts.len().saturating_sub(1);
    let part = |(at, text)| {
        let prompt_cache_breakpoint = if at == last { breakpoint } else { None };
        Entry::Known(ContentPart { body: ContentBody::Text { text }, prompt_cache_breakpoint, extras: Map::new() })
    };
    Content::Parts(texts.into_iter().enumerate().map(part).collect())
}
