//! Images, sounds, films and documents of a request: `inlineData` for bytes, `fileData` for what Gemini fetches or has.
//!
//! Gemini makes no difference between kinds of media: the media type says it all, so it must be known.

use crate::DIALECT;
use llm_gateway_adapter::body::Media as Bodies;
use llm_gateway_adapter::serde_json::{self, Value};
use llm_gateway_adapter::types::{Failure, Media, MediaSource, Native};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Display;

/// The endpoint's own files, as the ids that it gives for them are turned into addresses.
const FILES: &str = "https://generativelanguage.googleapis.com/v1beta/";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaPart<'a> {
    InlineData(InlineData<'a>),
    FileData(FileData<'a>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InlineData<'a> {
    mime_type: Cow<'a, str>,
    data: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'a, str>>,
    file_uri: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub struct MediaResolution {
    level: &'static str,
}

impl MediaResolution {
    /// What is nearest to the caller's `detail`; `auto` needs no word.
    pub fn of(detail: &str) -> Option<Self> {
        let level = match detail {
            "low" => "MEDIA_RESOLUTION_LOW",
            "medium" => "MEDIA_RESOLUTION_MEDIUM",
            "high" => "MEDIA_RESOLUTION_HIGH",
            "original" => "MEDIA_RESOLUTION_ULTRA_HIGH",
            _ => return None,
        };
        Some(Self { level })
    }
}

/// `place` names the part in the request.
///
/// # Errors
/// `invalid-request` for bytes of an unknown type, `unsupported` for another provider's file.
pub fn part<'a>(media: &'a Media, place: impl Display + Copy, bodies: &mut Bodies) -> Result<MediaPart<'a>, Failure> {
    match &media.source {
        MediaSource::Blob(blob) => inline(media, place, bodies.base64(blob).into()),
        MediaSource::Base64(data) => inline(media, place, data.into()),
        MediaSource::Url(url) if url.starts_with("http:") => {
            Err(Failure::unsupported(&place.to_string(), "Gemini fetches media by HTTPS alone"))
        }
        MediaSource::Url(url) => {
            Ok(MediaPart::FileData(FileData { mime_type: media_type(media, url).map(as_taken), file_uri: url.into() }))
        }
        MediaSource::File(file) => own_file(media, file, place),
    }
}

fn inline<'a>(media: &'a Media, place: impl Display + Copy, data: Cow<'a, str>) -> Result<MediaPart<'a>, Failure> {
    let name = media.name.as_deref().unwrap_or_default();
    let mime_type = media_type(media, name)
        .ok_or_else(|| Failure::invalid(Some(&format!("{place}.media-type")), "Gemini must be told the media type of this part"))?;
    Ok(MediaPart::InlineData(InlineData { mime_type: as_taken(mime_type), data }))
}

/// A file's id (`files/abc`), its address, or Gemini's own `fileData` object.
fn own_file<'a>(media: &'a Media, file: &'a Native, place: impl Display + Copy) -> Result<MediaPart<'a>, Failure> {
    let unknown = || Failure::unsupported(&place.to_string(), "Gemini has no such file");
    if file.dialect != DIALECT {
        return Err(unknown());
    }
    let value: Value = serde_json::from_str(&file.value).map_err(|_| unknown())?;
    let uri = value.as_str().or_else(|| value["fileUri"].as_str()).ok_or_else(unknown)?;
    let file_uri = if uri.starts_with("files/") { format!("{FILES}{uri}") } else { uri.to_owned() };
    let told = value["mimeType"].as_str().map(|told| Cow::Owned(told.to_owned()));
    let mime_type = media.media_type.as_deref().map(Cow::Borrowed).or(told);
    Ok(MediaPart::FileData(FileData { mime_type, file_uri: file_uri.into() }))
}

/// As the caller said, else by the ending of the name or address.
fn media_type<'a>(media: &'a Media, name: &str) -> Option<Cow<'a, str>> {
    media.media_type.as_deref().or_else(|| by_ending(name)).map(Cow::Borrowed)
}

fn by_ending(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit_once('.')?;
    let known = match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "txt" | "md" | "csv" | "json" | "xml" | "yaml" | "yml" => "text/plain",
        "html" | "htm" => "text/html",
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "aac" => "audio/aac",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "m4a" => "audio/m4a",
        "mp4" => "video/mp4",
        "mov" => "video/mov",
        "webm" => "video/webm",
        "mpg" | "mpeg" => "video/mpeg",
        _ => return None,
    };
    Some(known)
}

/// Gemini reads text of any kind, but knows only `text/*` as such.
fn as_taken(media_type: Cow<'_, str>) -> Cow<'_, str> {
    match media_type.split(';').next() {
        Some("application/json" | "application/xml" | "application/yaml" | "application/x-yaml" | "application/x-ndjson") => {
            "text/plain".into()
        }
        _ => media_type,
    }
}
