//! One part of a message as a content chunk.
//!
//! Owns what Mistral takes of images, documents, sounds and thinking, and in what form. Not here: which message a part belongs to
//! (`messages`).

use crate::report::{DIALECT, Report};
use crate::wire::{ContentChunk, ImageUrl, TextChunk};
use llm_gateway_adapter::body;
use llm_gateway_adapter::types::{Failure, Media, MediaSource, Native, Replay};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Where in the request a part stands; its path is only written when there is something to say.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub message: usize,
    pub part: usize,
}

impl Place {
    pub fn path(self) -> String {
        format!("messages[{}].parts[{}]", self.message, self.part)
    }

    pub fn path_of(self, field: &str) -> String {
        format!("messages[{}].parts[{}].{field}", self.message, self.part)
    }
}

/// What chunks are built with: the blobs so far, and what the caller has to be told.
#[derive(Debug, Default)]
pub struct Workshop {
    pub media: body::Media,
    pub report: Report,
}

impl Workshop {
    pub fn image<'a>(&mut self, image: &'a Media, place: Place) -> Result<ContentChunk<'a>, Failure> {
        let detail = self.detail(image, place);
        Ok(match file_id(image, place)? {
            Some(file_id) => ContentChunk::File { file_id },
            None => ContentChunk::ImageUrl { image_url: ImageUrl { url: self.url(image, place)?, detail } },
        })
    }

    fn detail<'a>(&mut self, image: &'a Media, place: Place) -> Option<&'a str> {
        match image.detail.as_deref() {
            Some("original") => {
                self.report.add(place.path_of("detail"), "Mistral knows low, auto and high; sent as high");
                Some("high")
            }
            detail => detail,
        }
    }

    /// A text file goes as text, as Mistral has no other place for it.
    pub fn document<'a>(&mut self, document: &'a Media, place: Place) -> Result<ContentChunk<'a>, Failure> {
        if let Some(file_id) = file_id(document, place)? {
            return Ok(ContentChunk::File { file_id });
        }
        if let (MediaSource::Blob(blob), true) = (&document.source, is_text(document)) {
            return Ok(ContentChunk::Text { text: Cow::Owned(self.media.text(blob)) });
        }
        if matches!(&document.source, MediaSource::Url(url) if url.starts_with("http:")) {
            return Err(Failure::unsupported(&place.path(), "Mistral fetches documents by HTTPS alone"));
        }
        Ok(ContentChunk::DocumentUrl { document_url: self.url(document, place)?, document_name: document.name.as_deref() })
    }

    pub fn audio<'a>(&mut self, audio: &'a Media, place: Place) -> Result<ContentChunk<'a>, Failure> {
        if let Some(file_id) = file_id(audio, place)? {
            return Ok(ContentChunk::File { file_id });
        }
        let input_audio = match &audio.source {
            MediaSource::Blob(blob) => Cow::Owned(self.media.base64(blob)),
            MediaSource::Url(text) | MediaSource::Base64(text) => Cow::Borrowed(text.as_str()),
            MediaSource::File(_) => return Err(foreign_file(place)),
        };
        Ok(ContentChunk::InputAudio { input_audio })
    }

    /// The medium's URL, or a data URL with its bytes.
    fn url<'a>(&mut self, media: &'a Media, place: Place) -> Result<Cow<'a, str>, Failure> {
        let base64 = match &media.source {
            MediaSource::Url(url) => return Ok(Cow::Borrowed(url)),
            MediaSource::File(_) => return Err(foreign_file(place)),
            MediaSource::Blob(blob) => Cow::Owned(self.media.base64(blob)),
            MediaSource::Base64(base64) => Cow::Borrowed(base64.as_str()),
        };
        let Some(media_type) = &media.media_type else {
            return Err(Failure::invalid(Some(&place.path_of("media-type")), "Mistral needs to be told the media type of inline data"));
        };
        Ok(Cow::Owned(format!("data:{media_type};base64,{base64}")))
    }
}

/// The id of a file that lies at Mistral.
fn file_id(media: &Media, place: Place) -> Result<Option<Cow<'_, str>>, Failure> {
    match &media.source {
        MediaSource::File(file) if file.dialect == DIALECT => {
            Ok(Some(serde_json::from_str::<String>(&file.value).map_or_else(|_| Cow::Borrowed(file.value.as_str()), Cow::Owned)))
        }
        MediaSource::File(_) => Err(foreign_file(place)),
        _ => Ok(None),
    }
}

fn foreign_file(place: Place) -> Failure {
    Failure::unsupported(&place.path(), "the file lies at another provider")
}

fn is_text(document: &Media) -> bool {
    document.media_type.as_deref().is_some_and(|media_type| {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        essence.starts_with("text/") || matches!(essence, "application/json" | "application/xml" | "application/yaml")
    })
}

/// A block in Mistral's own words.
pub fn native(native: &Native, place: Place) -> Result<ContentChunk<'static>, Failure> {
    if native.dialect != DIALECT {
        return Err(Failure::unsupported(&place.path(), format!("Mistral has no counterpart of this `{}` block", native.dialect)));
    }
    crate::report::object(native, || place.path()).map(ContentChunk::Native)
}

/// What a thinking chunk carries beside its text. It is the `replay` of a thinking part; empty data where there is nothing.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
}

impl Seal {
    /// What a later piece of the same block says counts.
    pub fn update(&mut self, later: Self) {
        self.signature = later.signature.or(self.signature.take());
        self.closed = later.closed.or(self.closed);
    }

    pub fn into_replay(self) -> Replay {
        let data = if self == Self::default() { String::new() } else { serde_json::to_string(&self).unwrap_or_default() };
        Replay { data, model: None }
    }

    pub fn from_replay(replay: &Replay) -> Self {
        serde_json::from_str(&replay.data).unwrap_or_default()
    }
}

/// Whether another model has put its signature to the thinking. Open thinking is text, and any model may read it.
pub fn is_sealed_by_another(replay: &Replay, model: &str) -> bool {
    replay.model.as_deref().is_some_and(|thinker| thinker != model) && Seal::from_replay(replay).signature.is_some()
}

/// The model's own thinking, as it came.
pub fn thinking<'a>(text: &'a str, replay: &Replay) -> ContentChunk<'a> {
    let Seal { signature, closed } = Seal::from_replay(replay);
    ContentChunk::Thinking { thinking: [TextChunk(text)], signature, closed }
}
