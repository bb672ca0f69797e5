//! Images and documents: where their bytes are. What a source says beside is one of the block's `further` fields.

use super::own;
use crate::contract::{Media, MediaSource};
use crate::domain::Blobs;
use crate::edge::BadRequest;
use crate::edge::dialect::media;
use crate::edge::json::Fields;
use bytes::Bytes;
use serde_json::{Map, Value};

/// The media type of a `text` source.
const PLAIN: &str = "text/plain";

/// An image's `source`.
///
/// # Errors
/// The field at fault.
pub fn image(block: &mut Fields, blobs: &mut Blobs, further: &mut Map<String, Value>) -> Result<Media, BadRequest> {
    let mut source = required(block)?;
    let media = match source.required_string("type")?.as_str() {
        "base64" => base64(&mut source, blobs)?,
        "url" => url(&mut source, blobs)?,
        "file" => file(&mut source)?,
        other => return Err(source.wrong("type", format!("is `{other}`; of an image it must be base64, url or file"))),
    };
    keep_rest(source, further);
    Ok(media)
}

/// A document's `source`, but for one of content blocks, which no medium can hold.
///
/// # Errors
/// The field at fault.
pub fn document(block: &mut Fields, blobs: &mut Blobs, further: &mut Map<String, Value>) -> Result<Media, BadRequest> {
    let mut source = required(block)?;
    let media = match source.required_string("type")?.as_str() {
        "base64" => base64(&mut source, blobs)?,
        "text" => text(&mut source, blobs)?,
        "url" => url(&mut source, blobs)?,
        "file" => file(&mut source)?,
        other => return Err(source.wrong("type", format!("is `{other}`; of a document it must be base64, text, url, file or content"))),
    };
    keep_rest(source, further);
    Ok(Media { name: block.string("title")?, ..media })
}

fn keep_rest(source: Fields, further: &mut Map<String, Value>) {
    let rest = source.rest();
    if !rest.is_empty() {
        further.insert("source".to_owned(), Value::Object(rest));
    }
}

/// Whether a document is made of content blocks.
pub fn is_of_blocks(document: &Value) -> bool {
    document["source"]["type"] == "content"
}

fn required(block: &mut Fields) -> Result<Fields, BadRequest> {
    block.object("source")?.ok_or_else(|| block.wrong("source", "is required and must be an object"))
}

fn base64(source: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let media_type = source.required_string("media_type")?;
    let data = source.required_string("data")?;
    let bytes = media::by_base64(&data, blobs).map_err(|wrong| source.wrong("data", wrong))?;
    Ok(media::media(bytes, Some(media_type)))
}

/// Always told as plain text, which is all that there is.
fn text(source: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let text = source.required_string("data")?;
    source.value("media_type");
    let blob = blobs.add(Bytes::from(text)).map_err(|error| source.wrong("data", error.to_string()))?;
    Ok(media::media(MediaSource::Blob(blob), Some(PLAIN.to_owned())))
}

fn url(source: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let url = source.required_string("url")?;
    media::by_url(url, blobs).map_err(|wrong| source.wrong("url", wrong))
}

fn file(source: &mut Fields) -> Result<Media, BadRequest> {
    let id = source.required_string("file_id")?;
    Ok(media::media(MediaSource::File(own(&Value::from(id))), None))
}
