//! What an answer says that has no canonical name and is of this dialect: shown where the provider said it.

use crate::contract::{Citation, Media, MediaSource, Native};
use crate::edge::dialect::chat::DIALECT;
use crate::edge::dialect::chat::body::{AudioBody, ImageBody, Link};
use crate::edge::dialect::openai;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Fields that an answer, or a chunk of it, sets itself.
const OF_ANSWER: [&str; 6] = ["id", "object", "created", "model", "choices", "usage"];
const OF_CHOICE: [&str; 5] = ["index", "message", "delta", "logprobs", "finish_reason"];
/// `system_fingerprint`, `service_tier` and the like.
pub fn of_answer(extras: &[Native]) -> Map<String, Value> {
    openai::answer_fields(DIALECT, extras, &OF_ANSWER)
}

/// `content_filter_results` and the like.
pub fn of_choice(extras: &[Native]) -> Map<String, Value> {
    openai::own_fields(DIALECT, extras, &OF_CHOICE)
}

/// A citation as an annotation of the message's content: OpenAI's own as it came, others if they have a URL.
///
/// `part`: where the citation's part stands in the content, from and to (excluded), in characters.
pub fn annotation(citation: &Citation, part: (usize, usize)) -> Option<Map<String, Value>> {
    if citation.native.dialect == DIALECT {
        return openai::object(&citation.native);
    }
    let (from, to) = citation.span.map_or(part, |(from, to)| (part.0 + size(from), part.0 + size(to)));
    let (url, title) = (citation.url.as_deref()?, citation.title.as_deref().unwrap_or_default());
    let body = json!({"start_index": from, "end_index": to, "title": title, "url": url});
    Some(Map::from_iter([("type".to_owned(), Value::from("url_citation")), ("url_citation".to_owned(), body)]))
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// An image of an answer, if it is in the answer or on the web.
pub fn image(media: &Media, index: usize) -> Option<ImageBody<'_>> {
    let link = match &media.source {
        MediaSource::Base64(base64) => data_link(media.media_type.as_deref().map(Cow::Borrowed), Cow::Borrowed(base64))?,
        MediaSource::Url(url) => Link::Url(Cow::Borrowed(url)),
        MediaSource::Blob(_) | MediaSource::File(_) => return None,
    };
    Some(ImageBody::of(link, index))
}

/// The same, of an image that is not needed any more.
pub fn owned_image(media: Media, index: usize) -> Option<ImageBody<'static>> {
    let link = match media.source {
        MediaSource::Base64(base64) => data_link(media.media_type.map(Cow::Owned), Cow::Owned(base64))?,
        MediaSource::Url(url) => Link::Url(Cow::Owned(url)),
        MediaSource::Blob(_) | MediaSource::File(_) => return None,
    };
    Some(ImageBody::of(link, index))
}

fn data_link<'a>(media_type: Option<Cow<'a, str>>, base64: Cow<'a, str>) -> Option<Link<'a>> {
    let media_type = media_type.unwrap_or(Cow::Borrowed("image/png"));
    (!base64.is_empty()).then_some(Link::Data { media_type, base64 })
}

/// How a sound is referred to later, and until when. The dialect's types demand both.
///
/// `number`: of the part, for a sound that its provider gave no name.
pub fn audio_ending(extras: &[Native], number: usize) -> AudioBody<'static> {
    #[derive(Deserialize)]
    struct Extras {
        audio: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        id: Option<String>,
        expires_at: Option<u64>,
    }
    let own = extras.iter().filter(|native| native.dialect == DIALECT);
    let named = own.filter_map(|native| serde_json::from_str::<Extras>(&native.value).ok()).next();
    let (id, expires_at) = named.map_or((None, None), |extras| (extras.audio.id, extras.audio.expires_at));
    let id = id.unwrap_or_else(|| format!("audio_{number}"));
    AudioBody { id: Some(id), expires_at: Some(expires_at.unwrap_or(0)), ..AudioBody::default() }
}
