//! Gemini's `generateContent`.

use super::{call, data_url, elements, file_part, filled, image_part, put, renamed, schema_format, text_part, tool, tool_turn, turn};
use serde_json::{Map, Value, json};

pub fn chat_form(request: &Map<String, Value>) -> Map<String, Value> {
    let field = |name: &str| request.get(name).unwrap_or(&Value::Null);
    let config = field("generationConfig").as_object().cloned().unwrap_or_default();
    let names = [("maxOutputTokens", "max_completion_tokens"), ("stopSequences", "stop"), ("seed", "seed"), ("temperature", "temperature")];
    let mut chat = renamed(&config, &names);
    put(&mut chat, "response_format", response_format(&config));
    if config.get("responseLogprobs") == Some(&json!(true)) {
        chat.extend([("logprobs".to_owned(), json!(true))].into_iter().chain(renamed(&config, &[("logprobs", "top_logprobs")])));
    }
    let system = turn("system", parts(field("systemInstruction")), Vec::new());
    chat.insert("messages".to_owned(), system.into_iter().chain(elements(field("contents")).flat_map(messages)).collect());
    let declared = elements(field("tools")).flat_map(|tool| elements(&tool["functionDeclarations"]));
    let tools = filled(declared.map(|own| tool(&own["name"], &own["description"], plain_schema(&own["parameters"]))).collect());
    let choice = match field("toolConfig").pointer("/functionCallingConfig/mode").and_then(Value::as_str) {
        Some("ANY") => Some(json!("required")),
        Some("NONE") => Some(json!("none")),
        _ => None,
    };
    put(&mut chat, "tool_choice", choice.filter(|_| tools.is_some()));
    put(&mut chat, "tools", tools);
    chat
}

fn response_format(config: &Map<String, Value>) -> Option<Value> {
    let schema = config.get("responseSchema").map(|schema| schema_format(&plain_schema(schema)));
    schema.or_else(|| (config.get("responseMimeType")? == "application/json").then(|| json!({"type": "json_object"})))
}

/// Gemini's own schemas write their types in capitals.
fn plain_schema(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => Value::Object(fields.iter().map(|(name, value)| (name.clone(), plain_field(name, value))).collect()),
        Value::Array(list) => list.iter().map(plain_schema).collect(),
        other => other.clone(),
    }
}

fn plain_field(name: &str, value: &Value) -> Value {
    match value {
        Value::String(kind) if name == "type" => json!(kind.to_lowercase()),
        _ => plain_schema(value),
    }
}

/// A content may hold several results of tools, each of which is a message of its own here.
fn messages(content: &Value) -> Vec<Value> {
    let role = if content["role"] == "model" { "assistant" } else { "user" };
    let called = |kind: &'static str| elements(&content["parts"]).filter_map(move |part| part.get(kind));
    let results = called("functionResponse").map(|result| tool_turn(&id(result), json!(result["response"].to_string())));
    let calls = called("functionCall").map(|own| call(&id(own), &own["name"], &own["args"]));
    results.chain(turn(role, parts(content), calls.collect())).collect()
}

/// Calls and results find each other by name.
fn id(called: &Value) -> Value {
    json!(format!("call_{}", called["name"].as_str().unwrap_or_default()))
}

fn parts(content: &Value) -> Vec<Value> {
    elements(&content["parts"]).filter_map(part).collect()
}

/// Films have no form, nor have sounds and documents by URL, nor thoughts.
fn part(part: &Value) -> Option<Value> {
    if let Some(text) = part.get("text") {
        return (part["thought"] != true).then(|| text_part(text));
    }
    let media = part.get("inlineData").or_else(|| part.get("fileData"))?;
    let media_type = media["mimeType"].as_str()?;
    // Gemini takes both alphabets of base64, data URLs have but one.
    let data = media["data"].as_str().map(|data| data.replace('-', "+").replace('_', "/"));
    let data = data.as_deref();
    match media_type.split_once('/')? {
        ("image", _) => {
            Some(image_part(data.map(|data| data_url(media_type, data)).or_else(|| Some(media["fileUri"].as_str()?.to_owned()))?))
        }
        ("audio", kind) => {
            let format = if kind == "mpeg" { "mp3" } else { kind };
            Some(json!({"type": "input_audio", "input_audio": {"data": data?, "format": format}}))
        }
        ("application", "pdf") => Some(file_part("document.pdf", &data_url(media_type, data?))),
        _ => None,
    }
}
