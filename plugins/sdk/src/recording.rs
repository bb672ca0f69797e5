//! Recorded provider traffic: decodes it with an adapter and holds the result against what is known of it. For an adapter's own tests.
//!
//! A recording is one JSON object: `endpoint` (`chat`, `chat-stream`, …), `response` (`status`, `headers`, and `body` or `body_base64`) and `expected`,
//! whose `kind` is `message` (`text`, `thinking`, `refusal`, `tool_calls`, `finish_reason`, `finish_reason_raw`, `usage`, `model`, `n_choices`) or `error` (`error`:
//! `status`, `type`, `code`, `message`), `embeddings` (`n_embeddings`, `embedding_dims`, `embedding_first`, `usage`, `model`) or `count-tokens` (`input_tokens`). A field that is absent is not compared, but for a count of usage: absent there means that the adapter must not
//! give one. Further right values are listed in `finish_reason_also`, and in `usage_also` by the count's name: `{"input_total": [82]}`.

use crate::embeddings::EmbeddingResponse;
use crate::harness::{check_order, frames, gather, run_stream};
use crate::types::{ChatEvent, ChatResponse, Choice, Failure, FinishReason, HttpResponse, PartBody, Usage};
use crate::{Chat, Embeddings, Tokens};
use serde_json::{Map, Value, json};

/// One recorded interaction.
#[derive(Debug)]
pub struct Recording {
    /// The whole object, for what an adapter's test wants to know beside (`request`, `features`).
    pub json: Value,
    pub endpoint: String,
    pub response: HttpResponse,
    pub expected: Value,
}

impl Recording {
    /// # Errors
    /// What the text lacks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let response = &json["response"];
        let headers = response["headers"].as_object().into_iter().flatten();
        Ok(Self {
            endpoint: json["endpoint"].as_str().ok_or("no endpoint")?.to_owned(),
            response: HttpResponse {
                status: response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).ok_or("no status")?,
                headers: headers.filter_map(|(name, value)| Some((name.to_lowercase(), value.as_str()?.to_owned()))).collect(),
                body: response["body"].as_str().ok_or("no text body")?.as_bytes().to_vec(),
            },
            expected: json["expected"].clone(),
            json,
        })
    }

    fn is_stream(&self) -> bool {
        self.endpoint.ends_with("-stream") && (200..300).contains(&self.response.status)
    }
}

/// Decodes a recording as the host would, whole and (if it is a stream) a frame at a time, and compares. `context` is what the adapter's `encode`
/// would have given.
///
/// # Errors
/// The first difference, in words.
pub fn check<A: Chat>(recording: &Recording, context: &str) -> Result<(), String> {
    if !recording.is_stream() {
        return compare(&A::decode(recording.response.clone(), context.to_owned()), &recording.expected);
    }
    let body = std::str::from_utf8(&recording.response.body).map_err(|error| error.to_string())?;
    let frames = frames(body);
    for frames_per_push in [usize::MAX, 1] {
        let events = run_stream::<A>(context, &frames, frames_per_push);
        check_order(&events)?;
        if recording.expected["truncated"] == json!(true) {
            let failed = matches!(events.last(), Some(ChatEvent::Failed(_)));
            return if failed { Ok(()) } else { Err("a truncated stream did not end as failed".to_owned()) };
        }
        compare(&gather(&events), &recording.expected)?;
    }
    Ok(())
}

/// As [`check`], for a recording of `embeddings`.
///
/// # Errors
/// The first difference, in words.
pub fn check_embeddings<A: Embeddings>(recording: &Recording, context: &str) -> Result<(), String> {
    let outcome = A::decode(recording.response.clone(), context.to_owned());
    match (&outcome, recording.expected["kind"].as_str()) {
        (Ok(answer), Some("embeddings")) => compare_embeddings(answer, &recording.expected),
        (Err(failure), Some("error")) => compare_failure(failure, &recording.expected["error"]),
        (outcome, kind) => Err(format!("expected {kind:?}, got {outcome:?}")),
    }
}

/// As [`check`], for a recording of `count-tokens`.
///
/// # Errors
/// The first difference, in words.
pub fn check_count<A: Tokens>(recording: &Recording) -> Result<(), String> {
    match (A::decode(recording.response.clone(), String::new()), recording.expected["kind"].as_str()) {
        (Ok(tokens), Some("count-tokens")) => same("input_tokens", &json!(tokens), &recording.expected["input_tokens"]),
        (Err(failure), Some("error")) => compare_failure(&failure, &recording.expected["error"]),
        (outcome, kind) => Err(format!("expected {kind:?}, got {outcome:?}")),
    }
}

fn compare_embeddings(answer: &EmbeddingResponse, expected: &Value) -> Result<(), String> {
    let first = answer.vectors.first().map(Vec::as_slice).unwrap_or_default();
    same("n_embeddings", &json!(answer.vectors.len()), &expected["n_embeddings"])?;
    same("embedding_dims", &json!(first.len()), &expected["embedding_dims"])?;
    let beginning = expected["embedding_first"].as_array().into_iter().flatten().filter_map(Value::as_f64);
    for (at, (found, told)) in first.iter().zip(beginning).enumerate() {
        if (f64::from(*found) - told).abs() > 1e-6 {
            return Err(format!("embedding_first[{at}]: expected {told}, got {found}"));
        }
    }
    if !expected["model"].is_null() {
        same("model", &json!(answer.model), &expected["model"])?;
    }
    if expected["usage"].is_null() { Ok(()) } else { compare_usage(answer.usage.as_ref(), expected) }
}

/// Holds an answer, or a failure, against `expected`.
///
/// # Errors
/// The first difference, in words.
pub fn compare(outcome: &Result<ChatResponse, Failure>, expected: &Value) -> Result<(), String> {
    match (outcome, expected["kind"].as_str()) {
        (Ok(answer), Some("message")) => compare_message(answer, expected),
        (Err(failure), Some("error")) => compare_failure(failure, &expected["error"]),
        (outcome, kind) => Err(format!("expected {kind:?}, got {outcome:?}")),
    }
}

fn compare_failure(failure: &Failure, expected: &Value) -> Result<(), String> {
    same("error.message", &json!(failure.message), &expected["message"])?;
    same("error.type", &json!(failure.provider_type), &expected["type"])?;
    same("error.code", &json!(failure.provider_code), &expected["code"])
}

fn compare_message(answer: &ChatResponse, expected: &Value) -> Result<(), String> {
    let choice = answer.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let joined = |pick: fn(&PartBody) -> Option<&str>| parts.iter().filter_map(|part| pick(&part.body)).collect::<String>();
    same("text", &json!(joined(|body| if let PartBody::Text(text) = body { Some(text) } else { None })), &expected["text"])?;
    same("thinking", &json!(joined(|body| if let PartBody::Thinking(text) = body { Some(text) } else { None })), &expected["thinking"])?;
    same("refusal", &json!(joined(|body| if let PartBody::Refusal(text) = body { Some(text) } else { None })), &expected["refusal"])?;
    let calls: Vec<Value> = parts.iter().filter_map(|part| call(&part.body)).collect();
    same("tool_calls", &json!(calls), &expected["tool_calls"])?;
    same("n_choices", &json!(answer.choices.len()), &expected["n_choices"])?;
    same("model", &json!(answer.model), &expected["model"])?;
    if let Some(choice) = choice {
        compare_finish(choice, expected)?;
    }
    compare_usage(answer.usage.as_ref(), expected)
}

fn call(body: &PartBody) -> Option<Value> {
    let PartBody::ToolCall(call) = body else { return None };
    let arguments = match call.arguments.as_str() {
        "" if !call.free_form => json!({}),
        text => serde_json::from_str(text).ok().filter(|_| !call.free_form).unwrap_or_else(|| json!(text)),
    };
    Some(json!({"name": call.name, "arguments": arguments}))
}

fn compare_finish(choice: &Choice, expected: &Value) -> Result<(), String> {
    let word = match choice.finish.reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool-calls",
        FinishReason::ContentFilter => "content-filter",
        FinishReason::Error => "error",
        FinishReason::Other => "other",
    };
    same("finish_reason_raw", &json!(choice.finish.raw), &expected["finish_reason_raw"])?;
    if lists(&expected["finish_reason_also"], &json!(word)) {
        return Ok(());
    }
    same("finish_reason", &json!(word), &expected["finish_reason"])
}

fn compare_usage(usage: Option<&Usage>, expected: &Value) -> Result<(), String> {
    let mut counts = Map::new();
    if let Some(usage) = usage {
        let told = [
            ("input_total", usage.input),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("output_total", usage.output),
            ("reasoning", usage.reasoning),
        ];
        counts.extend(told.into_iter().filter_map(|(name, count)| Some((name.to_owned(), json!(count?)))));
    }
    for (name, found) in &mut counts {
        // As right as the expected value, which then stands for it.
        if lists(&expected["usage_also"][name], found) {
            found.clone_from(&expected["usage"][name]);
        }
    }
    same("usage", &Value::Object(counts), &expected["usage"])
}

fn lists(also: &Value, found: &Value) -> bool {
    also.as_array().is_some_and(|values| values.contains(found))
}

fn same(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if expected.is_null() || found == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {expected}, got {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: Option<u32>) -> Usage {
        Usage { input, cache_read: None, cache_write: None, output: Some(5), reasoning: None, details: Vec::new() }
    }

    #[test]
    fn a_count_may_be_any_of_those_listed() {
        let expected = json!({"usage": {"input_total": 9, "output_total": 5}, "usage_also": {"input_total": [82]}});
        for (input, is_right) in [(Some(9), true), (Some(82), true), (Some(10), false), (None, false)] {
            assert_eq!(compare_usage(Some(&usage(input)), &expected).is_ok(), is_right, "{input:?}");
        }
    }

    #[test]
    fn a_count_that_the_provider_did_not_give_must_be_absent() {
        let expected = json!({"usage": {"output_total": 5}});
        assert!(compare_usage(Some(&usage(None)), &expected).is_ok());
        assert!(compare_usage(Some(&usage(Some(0))), &expected).is_err());
    }
}
