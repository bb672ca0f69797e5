//! Images, sounds and files in a request.

use crate::encoding::Encoding;
use crate::endpoint::Endpoint;
use llm_gateway_adapter::types::{Failure, Media, MediaSource, Native};

/// Where the provider gets the bytes from.
#[derive(Debug)]
pub enum Source<'a> {
    /// Base64, or the mark that the host puts it in place of.
    Base64(String),
    Url(&'a str),
    /// Id of a file that OpenAI has.
    File(String),
}

/// # Errors
/// `unsupported` for a file of another provider.
pub fn source<'a>(encoding: &mut Encoding<'_>, path: &str, media: &'a Media) -> Result<Source<'a>, Failure> {
    Ok(match &media.source {
        MediaSource::Blob(blob) => Source::Base64(encoding.media.base64(blob)),
        MediaSource::Base64(base64) => Source::Base64(base64.clone()),
        MediaSource::Url(url) => Source::Url(url),
        MediaSource::File(file) => Source::File(file_id(path, file)?),
    })
}

fn file_id(path: &str, file: &Native) -> Result<String, Failure> {
    if file.dialect != Endpoint::Chat.dialect() && file.dialect != Endpoint::Responses.dialect() {
        return Err(Failure::unsupported(path, format!("the file is kept by another provider ({})", file.dialect)));
    }
    serde_json::from_str(&file.value).map_err(|_| Failure::invalid(Some(path), "the file's id is not a JSON string"))
}

/// Its media type without parameters, if it is known.
pub fn kind(media: &Media) -> Option<&str> {
    media.media_type.as_deref().map(|kind| kind.split(';').next().unwrap_or(kind).trim())
}

/// Whether it is text that a model reads as well from the prompt itself.
pub fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") || matches!(kind, "application/json" | "application/xml" | "application/yaml" | "application/x-yaml")
}

/// A data URL; `otherwise` is the type of media that does not tell its own.
pub fn data_url(media: &Media, otherwise: &str, base64: &str) -> String {
    format!("data:{};base64,{base64}", kind(media).unwrap_or(otherwise))
}

/// A text document as a text for the prompt, under its name. `None` if it is no text, or not at hand.
pub fn as_text(encoding: &mut Encoding<'_>, document: &Media) -> Option<String> {
    let MediaSource::Blob(blob) = &document.source else { return None };
    kind(document).filter(|kind| is_text(kind))?;
    let text = encoding.media.text(blob);
    Some(match &document.name {
        Some(name) => format!("{name}:\n\n{text}"),
        None => text,
    })
}

/// The provider wants every file to have a name.
pub fn file_name(document: &Media) -> &str {
    document.name.as_deref().unwrap_or("document.pdf")
}

/// OpenAI's word for the format of a sound that it takes.
pub fn input_audio_format(audio: &Media) -> Option<&'static str> {
    match kind(audio)? {
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}

/// The media type of the sound that `audio.format` asks for.
pub fn output_audio_type(format: &str) -> String {
    match format {
        "mp3" => "audio/mpeg".to_owned(),
        "pcm16" => "audio/pcm".to_owned(),
        other => format!("audio/{other}"),
    }
}
