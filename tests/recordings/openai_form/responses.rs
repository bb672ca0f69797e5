//! OpenAI's Responses.

use super::{elements, filled, image_part, message, put, renamed, text_part, tool, turn};
use serde_json::{Map, Value, json};

pub fn chat_form(request: &Map<String, Value>) -> Map<String, Value> {
    let names = [
        ("max_output_tokens", "max_completion_tokens"),
        ("parallel_tool_calls", "parallel_tool_calls"),
        ("service_tier", "service_tier"),
        ("store", "store"),
        ("top_logprobs", "top_logprobs"),
    ];
    let mut chat = renamed(request, &names);
    let logprobs = chat.contains_key("top_logprobs").then_some(json!(true));
    put(&mut chat, "logprobs", logprobs);
    let field = |name: &str| request.get(name).unwrap_or(&Value::Null);
    put(&mut chat, "reasoning_effort", field("reasoning").get("effort").cloned());
    put(&mut chat, "response_format", field("text").get("format").map(response_format));
    let functions = elements(field("tools")).filter(|tool| tool["type"] == "function");
    let tools = filled(functions.map(|own| tool(&own["name"], &own["description"], own["parameters"].clone())).collect());
    put(&mut chat, "tool_choice", request.get("tool_choice").filter(|_| tools.is_some()).cloned());
    put(&mut chat, "tools", tools);
    match field("input") {
        Value::String(_) => chat.extend([message("user", field("input").clone())]),
        items => put(&mut chat, "messages", Some(elements(items).flat_map(messages).collect())),
    }
    chat
}

fn response_format(format: &Value) -> Value {
    let mut inner = format.as_object().cloned().unwrap_or_default();
    match inner.remove("type") {
        Some(kind) if kind == "json_schema" => json!({"type": kind, "json_schema": inner}),
        kind => json!({"type": kind}),
    }
}

/// A result whose call is kept by the server gets one here. Reasoning has no form.
fn messages(item: &Value) -> Vec<Value> {
    match item["type"].as_str() {
        None | Some("message") if item["content"].is_string() => vec![json!({"role": item["role"], "content": item["content"]})],
        None | Some("message") => {
            let role = item["role"].as_str().unwrap_or("user");
            turn(role, elements(&item["content"]).filter_map(part).collect(), Vec::new()).into_iter().collect()
        }
        Some("function_call_output") => {
            let call = super::call(&item["call_id"], &json!("lookup"), &json!({}));
            turn("assistant", Vec::new(), vec![call])
                .into_iter()
                .chain([super::tool_turn(&item["call_id"], item["output"].clone())])
                .collect()
        }
        Some(_) => Vec::new(),
    }
}

fn part(part: &Value) -> Option<Value> {
    match part["type"].as_str()? {
        "input_text" | "output_text" => Some(text_part(&part["text"])),
        "input_image" => Some(image_part(part["image_url"].as_str()?)),
        "input_file" => Some(super::file_part(part["filename"].as_str()?, part["file_data"].as_str()?)),
        _ => None,
    }
}
