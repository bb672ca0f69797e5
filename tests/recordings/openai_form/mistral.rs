//! Mistral's form is nearly OpenAI's.

use super::{elements, filled, image_part, put, renamed};
use serde_json::{Map, Value, json};

pub fn chat_form(request: &Map<String, Value>) -> Map<String, Value> {
    let mut chat = renamed(
        request,
        &[("max_tokens", "max_tokens"), ("random_seed", "seed"), ("stop", "stop"), ("response_format", "response_format")],
    );
    let tools = elements(&request.get("tools").cloned().unwrap_or_default()).filter(|tool| tool["type"] == "function").cloned().collect();
    let tools = filled(tools);
    put(&mut chat, "tool_choice", request.get("tool_choice").filter(|_| tools.is_some()).cloned());
    put(&mut chat, "tools", tools);
    let messages = elements(&request["messages"]).map(message).collect();
    chat.insert("messages".to_owned(), messages);
    chat
}

fn message(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(parts) = message["content"].as_array() {
        message["content"] = parts.iter().filter_map(part).collect();
    }
    message
}

/// A document by URL has no form.
fn part(part: &Value) -> Option<Value> {
    match part["type"].as_str()? {
        "image_url" => Some(image_part(part["image_url"]["url"].as_str()?)),
        "input_audio" => Some(json!({"type": "input_audio", "input_audio": {"data": part["input_audio"], "format": "mp3"}})),
        "text" => Some(part.clone()),
        _ => None,
    }
}
