//! Recorded answers of providers, decoded by the built components as the host does it, and held against what is known of them: whole, a byte at a time, and cut
//! at random places.

use crate::support::{ADAPTERS, Setup, Simulator};
use base64::Engine as _;
use llm_gateway::app::{COMPILE_LIMITS, PLUGIN_LIMITS};
use llm_gateway::attempt::Splitter;
use llm_gateway::contract::{ChatEvent, ChatResponse, Failure, FinishReason, Framing, HttpResponse, PartBody};
use llm_gateway::domain::Gathered;
use llm_gateway::plugin::{self, CallError, Registry, Settings, Version};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// The built adapters, loaded into this process. The gateway's own process has compiled them before.
pub async fn load() -> (plugin::Active, Arc<Registry>, CancellationToken) {
    let simulator = Simulator::start();
    Setup::simulated(&simulator).start();
    let settings =
        Settings { limits: PLUGIN_LIMITS, compile: COMPILE_LIMITS, cache_folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled") };
    let active = Arc::new(Mutex::new(plugin::Active::new()));
    let published = Arc::clone(&active);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let publish = move |now: &plugin::Active| *published.lock().unwrap() = now.clone();
    let registry = Arc::new(Registry::new(plugin::Host::start(settings).unwrap(), &folder, publish).unwrap());
    let stop = CancellationToken::new();
    plugin::watch(Arc::clone(&registry), stop.clone()).await;
    let active = active.lock().unwrap().clone();
    assert_eq!(active.len(), ADAPTERS.len(), "all adapters are loaded");
    (active, registry, stop)
}

/// One recorded interaction, or a fixture in the same form.
pub struct Recording {
    pub json: Value,
    pub response: HttpResponse,
}

impl Recording {
    /// Nothing where the recording has no answer.
    pub fn read(path: &Path) -> Option<Self> {
        let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let response = &json["response"];
        let body = match &response["body_base64"] {
            Value::String(base64) => base64::engine::general_purpose::STANDARD.decode(base64).unwrap(),
            _ => response["body"].as_str()?.as_bytes().to_vec(),
        };
        let headers = response["headers"].as_object().into_iter().flatten();
        let headers = headers.filter_map(|(name, value)| Some((name.to_lowercase(), value.as_str()?.to_owned())));
        let status = u16::try_from(response["status"].as_u64()?).unwrap();
        let response = HttpResponse { status, headers: headers.collect(), body };
        Some(Self { json, response })
    }

    /// What was asked: `chat`, `responses-stream`, `embeddings`, …
    pub fn endpoint(&self) -> &str {
        self.json["endpoint"].as_str().unwrap()
    }

    /// Whether the answer is one: an error seldom is.
    pub fn is_stream(&self) -> bool {
        self.endpoint().ends_with("-stream") && (200..300).contains(&self.response.status)
    }
}

pub type Outcome = Result<ChatResponse, Failure>;

/// A fault of the component is a panic.
pub async fn decode_whole(version: &Version, recording: &Recording, context: &str) -> Outcome {
    match version.decode(recording.response.clone(), context.to_owned()).await {
        Ok(answer) => Ok(answer),
        Err(CallError::Failure(failure)) => Err(*failure),
        Err(CallError::Fault(fault)) => panic!("{fault}"),
    }
}

/// Cuts the body at `cuts`, and decodes what the host's splitter makes of the pieces.
pub async fn decode_stream(version: &Version, recording: &Recording, context: &str, cuts: &[usize]) -> Outcome {
    let mut decoder = version.decoder(context.to_owned(), recording.response.headers.clone()).await.unwrap();
    let mut splitter = Splitter::new(Framing::Sse);
    let mut gathered = Gathered::default();
    let mut failure = None;
    let body = &recording.response.body;
    let ends = cuts.iter().copied().chain([body.len()]);
    let mut from = 0;
    let mut take = |events: Vec<ChatEvent>| failure = failure.take().or(events.into_iter().find_map(|event| gathered.add(event).unwrap()));
    for end in ends {
        let mut frames = Vec::new();
        splitter.push(&body[from..end], &mut frames).unwrap();
        from = end;
        if !frames.is_empty() {
            take(decoder.push(frames).await.unwrap());
        }
    }
    let mut frames = Vec::new();
    splitter.finish(&mut frames);
    take(decoder.push(frames).await.unwrap());
    take(decoder.finish().await.unwrap());
    match failure {
        Some(failure) => Err(failure),
        None => Ok(gathered.complete().expect("a stream ends or fails")),
    }
}

/// The outcome in the terms of `expected`.
fn view(outcome: &Outcome) -> Value {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(failure) => {
            return json!({"kind": "error", "error": {"type": failure.provider_type, "code": failure.provider_code, "message": failure.message}});
        }
    };
    let choice = answer.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let (mut text, mut thinking, mut refusal, mut calls) = (String::new(), String::new(), String::new(), Vec::new());
    for part in parts {
        match &part.body {
            PartBody::Text(more) => text.push_str(more),
            PartBody::Thinking(more) => thinking.push_str(more),
            PartBody::Refusal(more) => refusal.push_str(more),
            PartBody::ToolCall(call) => {
                let parsed = serde_json::from_str(&call.arguments).ok().filter(|_| !call.free_form);
                let empty = call.arguments.is_empty().then(|| json!({}));
                calls.push(json!({"name": call.name, "arguments": parsed.or(empty).unwrap_or_else(|| json!(call.arguments))}));
            }
            _ => {}
        }
    }
    json!({
        "kind": "message", "text": text, "thinking": thinking, "refusal": refusal, "tool_calls": calls, "model": answer.model, "n_choices": answer.choices.len(),
        "finish_reason": choice.map(|choice| finish_word(choice.finish.reason)), "finish_reason_raw": choice.and_then(|choice| choice.finish.raw.clone()),
        "usage": usage_view(answer),
    })
}

fn usage_view(answer: &ChatResponse) -> Value {
    let Some(usage) = &answer.usage else { return Value::Null };
    let counts = [
        ("input_total", usage.input),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("output_total", usage.output),
        ("reasoning", usage.reasoning),
    ];
    Value::Object(counts.into_iter().filter_map(|(name, count)| Some((name.to_owned(), json!(count?)))).collect::<Map<_, _>>())
}

fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool-calls",
        FinishReason::ContentFilter => "content-filter",
        FinishReason::Error => "error",
        FinishReason::Other => "other",
    }
}

/// The first field of `expected` that the outcome does not have.
fn difference(outcome: &Outcome, expected: &Value) -> Option<String> {
    let found = view(outcome);
    if found["kind"] != expected["kind"] {
        return Some(format!("expected {}, got {found}", expected["kind"]));
    }
    let fields = ["text", "thinking", "refusal", "tool_calls", "model", "n_choices", "finish_reason", "finish_reason_raw"];
    let differing = fields.into_iter().find(|field| {
        let wanted = &expected[field];
        !wanted.is_null() && *wanted != found[field] && !lists(&expected[format!("{field}_also")], &found[field])
    });
    let field = differing.map(|field| format!("{field}: expected {}, got {}", expected[field], found[field]));
    let in_error = ["type", "code", "message"].into_iter().find(|field| {
        let wanted = &expected["error"][field];
        !wanted.is_null() && wanted != &found["error"][field]
    });
    let error = || in_error.map(|field| format!("error.{field}: expected {}, got {}", expected["error"][field], found["error"][field]));
    field.or_else(|| usage_difference(&found["usage"], expected)).or_else(error)
}

/// A count that is not expected must not be given.
fn usage_difference(found: &Value, expected: &Value) -> Option<String> {
    let wanted = expected["usage"].as_object()?;
    let given = found.as_object().into_iter().flatten();
    let unexpected = given.clone().find(|(name, count)| wanted.get(*name) != Some(count) && !lists(&expected["usage_also"][*name], count));
    let missing = wanted.iter().find(|(name, _)| given.clone().all(|(other, _)| other != *name));
    unexpected.or(missing).map(|(name, _)| format!("usage.{name}: expected {}, got {found}", expected["usage"]))
}

/// Whether a value is among those that are as right as the expected one.
pub fn lists(also: &Value, found: &Value) -> bool {
    also.as_array().is_some_and(|values| values.contains(found))
}

/// Decodes a recording as the host does, and compares. `context` is what the adapter's `encode` would have given. A stream is decoded whole, cut at twenty random sets
/// of places, and (if it is not too long) after each byte: the result must not change.
///
/// # Errors
/// The first difference, in words.
pub async fn check(version: &Version, recording: &Recording, context: &str) -> Result<(), String> {
    let expected = &recording.json["expected"];
    if !recording.is_stream() {
        return difference(&decode_whole(version, recording, context).await, expected).map_or(Ok(()), Err);
    }
    let whole = decode_stream(version, recording, context, &[]).await;
    if expected["truncated"] == true {
        if whole.is_ok() {
            return Err("a truncated stream was taken for a whole one".into());
        }
    } else if let Some(difference) = difference(&whole, expected) {
        return Err(difference);
    }
    let body_bytes = recording.response.body.len();
    let mut all_cuts: Vec<Vec<usize>> = (0..20).map(|seed| random_cuts(seed, body_bytes)).collect();
    if body_bytes < 20_000 {
        all_cuts.push((1..body_bytes).collect());
    }
    for cuts in all_cuts {
        let cut = decode_stream(version, recording, context, &cuts).await;
        if view(&cut) != view(&whole) {
            return Err(format!("cut {} times: {} instead of {}", cuts.len(), view(&cut), view(&whole)));
        }
    }
    Ok(())
}

/// Places at which to cut a body, in order.
pub fn random_cuts(seed: u64, body_bytes: usize) -> Vec<usize> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut cuts: Vec<usize> = (0..rng.random_range(1..40)).map(|_| rng.random_range(0..=body_bytes)).collect();
    cuts.sort_unstable();
    cuts
}

/// The recordings of a folder, by name.
pub fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}
