//! A recorded request in the form of OpenAI's Chat Completions, as a caller of the gateway would have sent it. What that form has no word for is left out.

mod anthropic;
mod gemini;
mod mistral;
mod responses;

use crate::Provider;
use crate::recorded::Recording;
use serde_json::{Map, Value, json};

/// The request for a recorded chat. Where only the answer was recorded, it is a plain one of the model that answered.
pub fn chat_request(provider: Provider, recording: &Recording) -> Value {
    let is_stream = recording.endpoint().ends_with("-stream");
    let recorded = &recording.json["request"]["body"];
    let mut request = match recorded.as_object() {
        None => Map::from_iter([message("user", json!("Hello"))]),
        Some(recorded) if recording.endpoint().starts_with("responses") => responses::chat_form(recorded),
        Some(recorded) => match provider.folder {
            "gemini" => gemini::chat_form(recorded),
            "mistral" => mistral::chat_form(recorded),
            "anthropic" => anthropic::chat_form(recorded),
            _ => own_form(recorded),
        },
    };
    let mut model = model(recording);
    if provider.folder == "openai" {
        choose_endpoint(recording, &mut model, &mut request);
    }
    request.insert("model".to_owned(), json!(format!("{}/{model}", provider.adapter)));
    request.insert("stream".to_owned(), json!(is_stream));
    if is_stream {
        request.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    Value::Object(request)
}

/// OpenAI's own, without the films and sounds that were sent as files: the adapter refuses those itself, as OpenAI did.
fn own_form(recorded: &Map<String, Value>) -> Map<String, Value> {
    let mut request = recorded.clone();
    for message in request["messages"].as_array_mut().into_iter().flatten() {
        if let Some(parts) = message["content"].as_array_mut() {
            let is_pdf = |file: &Value| file["file_data"].as_str().is_some_and(|data| data.starts_with("data:application/pdf"));
            parts.retain(|part| part["type"] != "file" || is_pdf(&part["file"]));
        }
    }
    request
}

fn message(role: &str, content: Value) -> (String, Value) {
    ("messages".to_owned(), json!([{"role": role, "content": content}]))
}

/// The model that was asked: it stands in the body, or as `/v1beta/models/{model}:generateContent` in the path. Else the one that answered.
fn model(recording: &Recording) -> String {
    let request = &recording.json["request"];
    let in_path = || request["path"].as_str()?.rsplit_once("/models/")?.1.split([':', '?']).next();
    let model = request["body"]["model"].as_str().or_else(in_path).or_else(|| recording.json["expected"]["model"].as_str());
    model.unwrap_or("gpt-5.6-sol").replace("%20", " ")
}

/// OpenAI's adapter chooses the endpoint by model and content: gives it a request for which it is the recorded one.
fn choose_endpoint(recording: &Recording, model: &mut String, request: &mut Map<String, Value>) {
    let has_tools = request.contains_key("tools");
    if !recording.endpoint().starts_with("responses") {
        if has_tools && model.starts_with("gpt-5") {
            *model = "gpt-4.1".to_owned();
        }
        return;
    }
    if !model.starts_with("gpt-5") {
        *model = "gpt-5.6-sol".to_owned();
    }
    if !has_tools {
        request.insert("reasoning_effort".to_owned(), json!("max"));
    }
}

/// The fields that are there, under other names.
fn renamed(fields: &Map<String, Value>, names: &[(&str, &str)]) -> Map<String, Value> {
    let found = names.iter().filter_map(|(from, to)| Some(((*to).to_owned(), fields.get(*from).filter(|value| !value.is_null())?.clone())));
    found.collect()
}

/// Adds a field that is there.
fn put(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    fields.extend(value.map(|value| (name.to_owned(), value)));
}

/// A list that is there and not empty.
fn filled(list: Vec<Value>) -> Option<Value> {
    (!list.is_empty()).then(|| Value::Array(list))
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text_part(text: &Value) -> Value {
    json!({"type": "text", "text": text})
}

fn image_part(url: impl Into<String>) -> Value {
    json!({"type": "image_url", "image_url": {"url": url.into()}})
}

fn file_part(name: &str, data_url: &str) -> Value {
    json!({"type": "file", "file": {"filename": name, "file_data": data_url}})
}

fn data_url(media_type: &str, base64: &str) -> String {
    format!("data:{media_type};base64,{base64}")
}

fn tool(name: &Value, description: &Value, parameters: Value) -> Value {
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}})
}

fn call(id: &Value, name: &Value, arguments: &Value) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}})
}

fn schema_format(schema: &Value) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "response", "schema": schema}})
}

/// What a message of the user or the model adds up to: nothing, if nothing of it has a form.
fn turn(role: &str, parts: Vec<Value>, calls: Vec<Value>) -> Option<Value> {
    let mut message = Map::from_iter([("role".to_owned(), json!(role))]);
    put(&mut message, "content", filled(parts));
    put(&mut message, "tool_calls", filled(calls));
    (message.len() > 1).then_some(Value::Object(message))
}

fn tool_turn(id: &Value, content: Value) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content})
}
