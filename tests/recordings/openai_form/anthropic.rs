//! Anthropic's Messages.

use super::{call, data_url, elements, file_part, filled, image_part, put, renamed, schema_format, text_part, tool, tool_turn, turn};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

pub fn chat_form(request: &Map<String, Value>) -> Map<String, Value> {
    let mut chat = renamed(request, &[("max_tokens", "max_tokens"), ("stop_sequences", "stop")]);
    // To an unknown model it was none, and the error is about the model.
    chat.retain(|_, value| *value != 0);
    let field = |name: &str| request.get(name).unwrap_or(&Value::Null);
    let system = elements(field("system")).map(|block| text_part(&block["text"])).collect();
    let messages = turn("system", system, Vec::new()).into_iter().chain(elements(field("messages")).flat_map(messages));
    chat.insert("messages".to_owned(), messages.collect());
    // Tools that Anthropic runs itself have a type.
    let own = elements(field("tools")).filter(|tool| tool.get("type").is_none());
    let tools = filled(own.map(|own| tool(&own["name"], &own["description"], own["input_schema"].clone())).collect());
    let choice = match field("tool_choice")["type"].as_str() {
        Some("any") => Some(json!("required")),
        Some(mode @ ("auto" | "none")) => Some(json!(mode)),
        _ => None,
    };
    put(&mut chat, "tool_choice", choice.filter(|_| tools.is_some()));
    put(&mut chat, "tools", tools);
    put(&mut chat, "response_format", field("output_config").pointer("/format/schema").map(schema_format));
    chat
}

/// A message may hold several results of tools, each of which is a message of its own here.
fn messages(message: &Value) -> Vec<Value> {
    let role = message["role"].as_str().unwrap_or("user");
    if message["content"].is_string() {
        return vec![message.clone()];
    }
    let blocks = || elements(&message["content"]);
    let results = blocks().filter(|block| block["type"] == "tool_result").map(result);
    let calls = blocks().filter(|block| block["type"] == "tool_use").map(|block| call(&block["id"], &block["name"], &block["input"]));
    results.chain(turn(role, blocks().filter_map(part).collect(), calls.collect())).collect()
}

fn result(block: &Value) -> Value {
    let content = match &block["content"] {
        Value::Array(parts) => parts.iter().filter_map(part).collect(),
        text => text.clone(),
    };
    tool_turn(&block["tool_use_id"], content)
}

/// A document by URL has no form.
fn part(block: &Value) -> Option<Value> {
    let source = &block["source"];
    let is_text = source["type"] == "text";
    let data = || {
        let data = source["data"].as_str()?;
        Some(data_url(source["media_type"].as_str()?, &if is_text { STANDARD.encode(data) } else { data.to_owned() }))
    };
    match block["type"].as_str()? {
        "text" => Some(text_part(&block["text"])),
        "image" => Some(image_part(source["url"].as_str().map(str::to_owned).or_else(data)?)),
        "document" => Some(file_part("document", &data()?)),
        _ => None,
    }
}
