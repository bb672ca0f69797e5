//! What a message, or a tool's output, contains: texts, images, files.

use super::DIALECT;
use crate::contract::{Citation, Media, Native, Part, PartBody, ToolResultPart};
use crate::domain::{Blobs, part};
use crate::edge::BadRequest;
use crate::edge::dialect::{media, openai};
use crate::edge::json::Fields;
use serde_json::{Value, json};

/// The parts of a field that holds a string or a list of parts. An empty text is none.
///
/// # Errors
/// The field at fault.
pub fn parts(fields: &mut Fields, name: &str, blobs: &mut Blobs) -> Result<Vec<Part>, BadRequest> {
    let path = fields.path(name);
    let values = match fields.value(name) {
        None => return Err(fields.wrong(name, "is required")),
        Some(Value::String(text)) => vec![json!({"type": "input_text", "text": text})],
        Some(Value::Array(values)) => values,
        Some(_) => return Err(fields.wrong(name, "must be a string or a list of parts")),
    };
    let parts = values.into_iter().enumerate().map(|(at, value)| content_part(Fields::of_value(format!("{path}[{at}]"), value)?, blobs));
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    parts.retain(|part| !matches!(&part.body, PartBody::Text(text) | PartBody::Refusal(text) if text.is_empty()));
    Ok(parts)
}

fn content_part(mut fields: Fields, blobs: &mut Blobs) -> Result<Part, BadRequest> {
    let kind = fields.required_string("type")?;
    let mut citations = Vec::new();
    let body = match kind.as_str() {
        "input_text" | "text" => PartBody::Text(fields.required_string("text")?),
        "output_text" => {
            citations = annotations(&mut fields)?;
            fields.value("logprobs");
            PartBody::Text(fields.required_string("text")?)
        }
        "refusal" => PartBody::Refusal(fields.required_string("refusal")?),
        "input_image" => PartBody::Image(image(&mut fields, blobs)?),
        "input_file" => PartBody::Document(file(&mut fields, blobs)?),
        "input_audio" => PartBody::Audio(openai::audio(&mut fields, blobs)?),
        // A kind of content that came later.
        other if other.starts_with("input_") => return Ok(part(PartBody::Other(openai::native(DIALECT, other, fields)))),
        other => {
            let known = "input_text, input_image, input_file, input_audio, output_text and refusal";
            return Err(fields.wrong("type", format!("is `{other}`; known are {known}")));
        }
    };
    let cache = openai::cache_breakpoint(&mut fields)?;
    Ok(Part { cache, citations, extras: openai::extras(DIALECT, fields.rest()), ..part(body) })
}

fn image(fields: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let detail = fields.string("detail")?;
    let image = match (fields.string("file_id")?, fields.string("image_url")?) {
        (_, Some(url)) => media::by_url(url, blobs).map_err(|wrong| fields.wrong("image_url", wrong))?,
        (Some(id), None) => media::media(openai::file(DIALECT, id), None),
        (None, None) => return Err(fields.wrong("image_url", "is required, or a `file_id`")),
    };
    Ok(Media { detail, ..image })
}

fn file(fields: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let name = fields.string("filename")?;
    let id = fields.string("file_id")?;
    let file = match (fields.string("file_data")?, fields.string("file_url")?, id) {
        (Some(data), _, _) => media::by_data_url(&data, blobs).map_err(|wrong| fields.wrong("file_data", wrong))?,
        (None, Some(url), _) => media::by_url(url, blobs).map_err(|wrong| fields.wrong("file_url", wrong))?,
        (None, None, Some(id)) => media::media(openai::file(DIALECT, id), None),
        (None, None, None) => return Err(fields.wrong("file_data", "is required, or a `file_url` or `file_id`")),
    };
    Ok(Media { name, ..file })
}

fn annotations(fields: &mut Fields) -> Result<Vec<Citation>, BadRequest> {
    Ok(fields.list("annotations")?.unwrap_or_default().iter().map(citation).collect())
}

fn citation(annotation: &Value) -> Citation {
    let text = |name: &str| annotation[name].as_str().map(str::to_owned);
    let index = |name: &str| annotation[name].as_u64().and_then(|index| u32::try_from(index).ok());
    Citation {
        url: text("url"),
        title: text("title").or_else(|| text("filename")),
        quote: None,
        span: index("start_index").zip(index("end_index")),
        native: Native { dialect: DIALECT.to_owned(), value: annotation.to_string() },
    }
}

/// A part as one of a tool's output; none of those that no tool gives.
pub fn in_result(part: Part) -> Option<ToolResultPart> {
    Some(match part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => ToolResultPart::Text(text),
        PartBody::Image(media) => ToolResultPart::Image(media),
        PartBody::Audio(media) => ToolResultPart::Audio(media),
        PartBody::Video(media) => ToolResultPart::Video(media),
        PartBody::Document(media) => ToolResultPart::Document(media),
        PartBody::Other(native) => ToolResultPart::Other(native),
        PartBody::Thinking(_) | PartBody::ToolCall(_) | PartBody::ToolResult(_) => return None,
    })
}
