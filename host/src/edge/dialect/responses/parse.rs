//! A Responses request as the canonical one. What has no canonical name goes along as `extras` of this dialect.

use super::{DIALECT, ResponsesForm, items, tools};
use crate::contract::{ChatRequest, Reasoning, ResponseFormat};
use crate::domain::{Blobs, Target, chat_request};
use crate::edge::BadRequest;
use crate::edge::dialect::{Form, Parsed, openai, openai_tools};
use crate::edge::json::Fields;
use serde_json::{Map, Value, json};

/// # Errors
/// The field at fault.
pub fn parse(body: &[u8]) -> Result<Parsed, BadRequest> {
    let mut fields = Fields::of_body(body)?;
    let form = Form::Responses(Box::new(ResponsesForm::of(&fields)));
    refuse_state(&mut fields)?;
    let target = fields.model("model")?.map_or(Target::Any(None), Target::Name);
    let mut blobs = Blobs::default();
    let messages = items::messages(&mut fields, &mut blobs)?;
    let mut request = chat_request(String::new(), messages);
    let mut extras = Map::new();
    stream(&mut fields, &mut request, &mut extras)?;
    request.max_output = fields.integer("max_output_tokens", 1, u32::MAX)?;
    request.sampling.temperature = fields.number("temperature", 0.0, 2.0)?;
    request.sampling.top_p = fields.number("top_p", 0.0, 1.0)?;
    request.logprobs = logprobs(&mut fields, &mut extras)?;
    request.parallel_tool_calls = fields.bool("parallel_tool_calls")?;
    request.tools = tools::tools(&mut fields)?;
    request.tool_choice = openai_tools::tool_choice(&mut fields, &mut extras)?;
    request.response_format = text(&mut fields, &mut extras)?;
    request.reasoning = reasoning(&mut fields, &mut extras)?;
    request.user = openai::user(&mut fields)?;
    request.metadata = openai::metadata(&mut fields)?;
    // The default says nothing, and need not be reported by who doesn't know it.
    extras.extend(fields.value("truncation").filter(|truncation| truncation != "disabled").map(|value| ("truncation".to_owned(), value)));
    extras.extend(fields.rest());
    request.extras = openai::extras(DIALECT, extras);
    Ok(Parsed { target, request, blobs, form })
}

/// Fields that mean something only to a server that keeps answers, and what to do instead.
const STATE: [(&str, &str); 4] = [
    ("previous_response_id", "send the conversation so far as items of `input`, the answer's `output` items included"),
    ("conversation", "send the conversation so far as items of `input`"),
    ("prompt", "send what the stored prompt says as `instructions` and `input`"),
    ("background", "ask for the answer itself, or for a stream"),
];

fn refuse_state(fields: &mut Fields) -> Result<(), BadRequest> {
    for (name, instead) in STATE {
        if fields.value(name).is_some_and(|value| value != false) {
            return Err(fields.wrong(name, format!("is not possible here, for the gateway keeps no state between requests: {instead}")));
        }
    }
    // Whether it is allowed to: it does not.
    fields.bool("store")?;
    Ok(())
}

fn stream(fields: &mut Fields, request: &mut ChatRequest, extras: &mut Map<String, Value>) -> Result<(), BadRequest> {
    request.stream = fields.bool("stream")?.unwrap_or(false);
    let Some(mut options) = fields.object("stream_options")? else { return Ok(()) };
    if !request.stream {
        return Err(fields.wrong("stream_options", "is only allowed when `stream` is true"));
    }
    // Nothing is added to our streams to hide lengths.
    options.bool("include_obfuscation")?;
    put(extras, "stream_options", options.rest());
    Ok(())
}

fn put(extras: &mut Map<String, Value>, name: &str, object: Map<String, Value>) {
    if !object.is_empty() {
        extras.insert(name.to_owned(), Value::Object(object));
    }
}

/// Always included, or told by a canonical field.
const INCLUDED: [&str; 2] = ["reasoning.encrypted_content", LOGPROBS];
const LOGPROBS: &str = "message.output_text.logprobs";

fn logprobs(fields: &mut Fields, extras: &mut Map<String, Value>) -> Result<Option<u32>, BadRequest> {
    let alternatives = fields.integer("top_logprobs", 0, 20)?;
    let mut include = fields.list("include")?.unwrap_or_default();
    if include.iter().any(|name| !name.is_string()) {
        return Err(fields.wrong("include", "must be a list of strings"));
    }
    let included = include.iter().any(|name| name == LOGPROBS);
    include.retain(|name| !INCLUDED.iter().any(|known| name == known));
    if !include.is_empty() {
        extras.insert("include".to_owned(), Value::Array(include));
    }
    Ok(alternatives.or(included.then_some(0)))
}

fn text(fields: &mut Fields, extras: &mut Map<String, Value>) -> Result<Option<ResponseFormat>, BadRequest> {
    let Some(mut text) = fields.object("text")? else { return Ok(None) };
    let format = text.object("format")?.map(format).transpose()?;
    put(extras, "text", text.rest());
    Ok(format)
}

fn format(mut format: Fields) -> Result<ResponseFormat, BadRequest> {
    match format.required_string("type")?.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::JsonObject),
        "json_schema" => Ok(ResponseFormat::JsonSchema(openai::json_schema(format)?)),
        other => Ok(ResponseFormat::Other(openai::native(DIALECT, other, format))),
    }
}

fn reasoning(fields: &mut Fields, extras: &mut Map<String, Value>) -> Result<Option<Reasoning>, BadRequest> {
    let Some(mut told) = fields.object("reasoning")? else { return Ok(None) };
    let effort = told.word("effort", &openai::EFFORTS)?;
    let old_summary = told.string("generate_summary")?;
    let summary = told.string("summary")?.or(old_summary);
    let visible = summary.is_some().then_some(true);
    let mut rest = told.rest();
    // `auto` is what to show it means; the others also say how.
    if let Some(summary) = summary.filter(|summary| summary != "auto") {
        rest.insert("summary".to_owned(), json!(summary));
    }
    put(extras, "reasoning", rest);
    Ok((effort.is_some() || visible.is_some()).then_some(Reasoning { enabled: None, effort, budget: None, visible }))
}
