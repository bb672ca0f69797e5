//! What is expected of a recording, in the terms of OpenAI's Chat Completions.

use crate::client::{Answer, Call, Choice};
use crate::recorded::lists;
use serde_json::{Value, json};

/// Holds what a client got against what is expected.
///
/// # Errors
/// The first difference, in words.
pub fn compare(answer: &Answer, expected: &Value) -> Result<(), String> {
    match expected["kind"].as_str() {
        Some("message") if expected["truncated"] == true => compare_cut(answer),
        Some("message") => compare_message(answer, expected),
        Some("error") => compare_error(answer, &expected["error"]),
        kind => Err(format!("nothing is known of the kind {kind:?}")),
    }
}

/// An answer that was cut is an error, in the stream if it has begun, and never complete.
///
/// # Errors
/// What the client took it for.
pub fn compare_cut(answer: &Answer) -> Result<(), String> {
    if answer.done || answer.error.is_none() {
        return Err(format!("an answer that was cut is taken for a whole one: {answer:?}"));
    }
    same("origin of the error", &json!(answer.origin.as_deref().unwrap_or("provider")), &json!("provider"))
}

fn compare_message(answer: &Answer, expected: &Value) -> Result<(), String> {
    if let Some(error) = &answer.error {
        return Err(format!("expected an answer, got {} of {:?}: {error}", answer.status, answer.origin));
    }
    if !answer.done {
        return Err("the stream ends without [DONE]".to_owned());
    }
    let choice = answer.choices.first().ok_or("no choice")?;
    same("role", &json!(choice.role), &json!("assistant"))?;
    said("text", &json!(choice.text), &expected["text"])?;
    said("thinking", &json!(choice.thinking), &expected["thinking"])?;
    said("refusal", &json!(choice.refusal), &expected["refusal"])?;
    said("model", &json!(answer.model), &expected["model"])?;
    said("n_choices", &json!(answer.choices.len()), &expected["n_choices"])?;
    said("tool_calls", &Value::from_iter(choice.calls.iter().map(call)), &expected["tool_calls"])?;
    if choice.calls.iter().any(|call| call.id.is_empty()) {
        return Err("a call without id".to_owned());
    }
    compare_finish(choice, expected)?;
    compare_usage(answer.usage.as_ref(), expected)
}

fn call(call: &Call) -> Value {
    let parsed = serde_json::from_str(&call.input).ok().filter(|_| !call.free_form);
    json!({"name": call.name, "arguments": parsed.unwrap_or_else(|| json!(call.input))})
}

fn compare_finish(choice: &Choice, expected: &Value) -> Result<(), String> {
    let Some(finish) = choice.finish.as_deref() else { return Err("no finish_reason".to_owned()) };
    let also = expected["finish_reason_also"].as_array().into_iter().flatten();
    if also.filter_map(Value::as_str).any(|word| finish_word(word) == finish) {
        return Ok(());
    }
    match expected["finish_reason"].as_str() {
        Some(word) => same("finish_reason", &json!(finish), &json!(finish_word(word))),
        None => Ok(()),
    }
}

/// The dialect's word for a reason; it has none for an answer that ended in another way.
fn finish_word(word: &str) -> &str {
    match word {
        "tool-calls" => "tool_calls",
        "content-filter" => "content_filter",
        "length" => "length",
        _ => "stop",
    }
}

/// The dialect wants a number where the provider gave none: it is 0.
fn compare_usage(usage: Option<&Value>, expected: &Value) -> Result<(), String> {
    let usage = usage.ok_or("no usage")?;
    if expected["usage"].is_null() {
        return Ok(());
    }
    let counts = [
        ("input_total", "/prompt_tokens"),
        ("output_total", "/completion_tokens"),
        ("cache_read", "/prompt_tokens_details/cached_tokens"),
        ("cache_write", "/prompt_tokens_details/cache_write_tokens"),
        ("reasoning", "/completion_tokens_details/reasoning_tokens"),
    ];
    for (name, place) in counts {
        let found = json!(usage.pointer(place).and_then(Value::as_u64).unwrap_or(0));
        if !lists(&expected["usage_also"][name], &found) {
            same(&format!("usage.{name}"), &found, &json!(expected["usage"][name].as_u64().unwrap_or(0)))?;
        }
    }
    let sum = ["prompt_tokens", "completion_tokens"].iter().filter_map(|name| usage[name].as_u64()).sum::<u64>();
    same("usage.total_tokens", &usage["total_tokens"], &json!(sum))
}

/// Holds an error that a client got against the provider's.
///
/// # Errors
/// The first difference, in words.
pub fn compare_error(answer: &Answer, expected: &Value) -> Result<(), String> {
    let error = answer.error.as_ref().ok_or_else(|| format!("expected an error, got {answer:?}"))?;
    said("error.message", &error["message"], &expected["message"])?;
    // A rate limit has OpenAI's word for it, whoever set it: its clients act on that.
    let code = if status(expected) == 429 && error["code"] != "insufficient_quota" {
        &json!("rate_limit_exceeded")
    } else {
        expected.get("code").unwrap_or(&expected["type"])
    };
    said("error.code", &error["code"], code)?;
    if answer.status == 200 {
        return if answer.done { Err("[DONE] after an error".to_owned()) } else { Ok(()) };
    }
    same("origin of the error", &json!(answer.origin), &json!("provider"))?;
    same("status", &json!(answer.status), &json!(status(expected)))
}

/// What a caller is told for a provider's error. Providers use one status for what callers must tell apart.
fn status(expected: &Value) -> u64 {
    let message = expected["message"].as_str().unwrap_or_default().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match expected["status"].as_u64().unwrap_or_default() {
        400 if says(&["invalid model", "model name", "does not exist"]) => 404,
        400 if says(&["api key"]) => 401,
        401 if says(&["permission"]) => 403,
        // In a stream, before there was any of the answer.
        200 if says(&["quota"]) => 429,
        same => same,
    }
}

/// As `same`, where the provider said something.
fn said(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if expected.is_null() { Ok(()) } else { same(what, found, expected) }
}

pub fn same(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected}, got {found}")) }
}
