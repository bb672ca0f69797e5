//! Images and documents. Claude takes no sound and no video.

use crate::DIALECT;
use crate::draft::Draft;
use crate::messages::At;
use crate::serde_json;
use crate::wire::{Content, Source};
use llm_gateway_adapter::types::{Blob, Failure, Media, MediaSource};
use std::borrow::Cow;

const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
const PDF: &str = "application/pdf";
const PLAIN: &str = "text/plain";
/// Text by another name; sent as plain text.
const TEXTS: [&str; 6] =
    ["application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript", "application/toml"];

/// # Errors
/// `unsupported` for a kind of image that Claude does not take.
pub fn image<'a>(image: &'a Media, at: At, draft: &mut Draft) -> Result<Content<'a>, Failure> {
    if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
        draft.drop(format_args!("{at}.detail"), "Claude knows no detail of images");
    }
    if let Some(source) = remote(image, at)? {
        return Ok(Content::Image { source });
    }
    let (media_type, bytes) = bytes(image, at)?;
    if !IMAGES.contains(&media_type) {
        return Err(Failure::unsupported(&at.to_string(), format!("Claude takes JPEG, PNG, GIF and WebP images, not {media_type}")));
    }
    Ok(Content::Image { source: Source::Base64 { media_type, data: bytes.base64(draft) } })
}

/// # Errors
/// `unsupported` for a document that is neither PDF nor text.
pub fn document<'a>(document: &'a Media, at: At, draft: &mut Draft) -> Result<Content<'a>, Failure> {
    let title = document.name.as_deref();
    let media_type = document.media_type.as_deref().map(essence);
    if matches!(&document.source, MediaSource::Url(url) if !url.starts_with("data:")) && media_type.is_some_and(|kind| kind != PDF) {
        return Err(Failure::unsupported(&at.to_string(), "Claude fetches only PDF documents itself"));
    }
    if let Some(source) = remote(document, at)? {
        return Ok(Content::Document { source, title });
    }
    let source = match (&document.source, media_type) {
        (MediaSource::Blob(blob), Some(text)) if is_text(text) => Source::Text { media_type: PLAIN, data: draft.media.text(blob) },
        _ => match bytes(document, at)? {
            (PDF, bytes) => Source::Base64 { media_type: PDF, data: bytes.base64(draft) },
            (other, _) => {
                return Err(Failure::unsupported(&at.to_string(), format!("Claude takes PDF and text documents, not {other}")));
            }
        },
    };
    Ok(Content::Document { source, title })
}

pub fn no_sound(at: At) -> Failure {
    Failure::unsupported(&at.to_string(), "Claude takes no audio")
}

pub fn no_video(at: At) -> Failure {
    Failure::unsupported(&at.to_string(), "Claude takes no video")
}

/// A source that the provider has, or fetches.
fn remote(media: &Media, at: At) -> Result<Option<Source<'_>>, Failure> {
    match &media.source {
        MediaSource::Url(url) if url.starts_with("http:") => {
            Err(Failure::unsupported(&at.to_string(), "Claude fetches media by HTTPS alone"))
        }
        MediaSource::Url(url) if !url.starts_with("data:") => Ok(Some(Source::Url { url })),
        MediaSource::File(file) if file.dialect == DIALECT => match serde_json::from_str(&file.value) {
            Ok(file_id) => Ok(Some(Source::File { file_id: Cow::Owned(file_id) })),
            Err(_) => Err(Failure::invalid(Some(&at.to_string()), "the file's id is not a JSON string")),
        },
        MediaSource::File(_) => Err(Failure::unsupported(&at.to_string(), "the file is another provider's")),
        MediaSource::Url(_) | MediaSource::Blob(_) | MediaSource::Base64(_) => Ok(None),
    }
}

/// Where the bytes are. A blob gets its place in the body only when it is certain to be sent.
enum Bytes<'a> {
    Blob(&'a Blob),
    Base64(&'a str),
}

impl<'a> Bytes<'a> {
    /// The bytes in base64, or what stands for them.
    fn base64(self, draft: &mut Draft) -> Cow<'a, str> {
        match self {
            Self::Blob(blob) => Cow::Owned(draft.media.base64(blob)),
            Self::Base64(base64) => Cow::Borrowed(base64),
        }
    }
}

/// The media type, and the bytes.
fn bytes(media: &Media, at: At) -> Result<(&str, Bytes<'_>), Failure> {
    let (told, bytes) = match &media.source {
        MediaSource::Blob(blob) => (None, Bytes::Blob(blob)),
        MediaSource::Base64(base64) => (None, Bytes::Base64(base64)),
        MediaSource::Url(url) => data_url(url)
            .map(|(kind, data)| (Some(kind), Bytes::Base64(data)))
            .ok_or_else(|| Failure::unsupported(&at.to_string(), "Claude takes data URLs in base64 only"))?,
        MediaSource::File(_) => (None, Bytes::Base64("")),
    };
    match told.or(media.media_type.as_deref()).map(essence) {
        Some(media_type) => Ok((media_type, bytes)),
        None => Err(Failure::invalid(Some(&at.to_string()), "the media type is missing")),
    }
}

/// `data:image/png;base64,AAAA`
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (kind, data) = url.strip_prefix("data:")?.split_once(',')?;
    Some((kind.strip_suffix(";base64")?, data))
}

/// `text/plain; charset=utf-8` without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") || TEXTS.contains(&media_type)
}
