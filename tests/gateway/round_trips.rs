//! Nothing that a provider can carry is lost on the way: a canonical request, written by a built adapter and read again by the host's dialect of the same
//! wire, says the same, and is written the same.
//!
//! Owns: the property and the three wires that exist on both sides. The requests are in `requests`; what a wire writes differently and means the same, in
//! `normal` and `reasoning`; what an adapter reports of a request, in `reported`.

mod normal;
mod reasoning;
mod reported;
mod requests;

use crate::recorded::load;
use llm_gateway::contract::{ChatRequest, Header, HttpRequest};
use llm_gateway::domain::Blobs;
use llm_gateway::edge::dialect::{Parsed, chat, messages, responses};
use llm_gateway::outbound;
use llm_gateway::plugin::{Active, CallError, Registry};
use normal::difference;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use requests::{Asked, any_request};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;

/// A wire that an adapter writes and a dialect of the host's reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Chat,
    Responses,
    Messages,
}

impl Wire {
    fn adapter(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "openai",
            Self::Messages => "claude",
        }
    }

    fn dialect(self) -> &'static str {
        match self {
            Self::Chat => chat::DIALECT,
            Self::Responses => responses::DIALECT,
            Self::Messages => messages::DIALECT,
        }
    }

    /// One of each family that takes something other than the rest.
    fn models(self) -> &'static [&'static str] {
        match self {
            Self::Chat | Self::Responses => &["gpt-4.1", "o4-mini", "gpt-5", "gpt-5.4", "gpt-5.6-sol", "gpt-6-astra", "llama3.3:70b"],
            Self::Messages => &[
                "claude-fable-5-1",
                "claude-sonnet-5-5",
                "claude-haiku-5-5",
                "claude-opus-5",
                "claude-opus-4-8",
                "claude-sonnet-4-6",
                "claude-haiku-4-5",
                "claude-3-5-haiku-20241022",
            ],
        }
    }

    /// The endpoint is said, so that every model and every request goes over the wire in question.
    fn settings(self) -> Vec<(String, String)> {
        let endpoint = match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => return Vec::new(),
        };
        vec![("endpoint".to_owned(), endpoint.to_owned())]
    }

    /// # Panics
    /// When the dialect refuses what the adapter wrote.
    fn parse(self, body: &[u8], headers: &[Header]) -> Parsed {
        let beta = headers.iter().find(|(name, _)| name == "anthropic-beta").map(|(_, value)| value.as_str());
        let parsed = match self {
            Self::Chat => chat::parse(body),
            Self::Responses => responses::parse(body),
            Self::Messages => messages::parse(body, beta),
        };
        parsed.unwrap_or_else(|error| panic!("{error:?} in {}", String::from_utf8_lossy(body)))
    }
}

struct Host {
    runtime: Runtime,
    active: Active,
    _registry: Arc<Registry>,
}

static HOST: LazyLock<Host> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (active, registry, _) = runtime.block_on(load());
    Host { runtime, active, _registry: registry }
});

/// What the adapter makes of a request. None: it refuses it, and says so.
fn encoded(wire: Wire, request: &ChatRequest) -> Option<HttpRequest> {
    let written = HOST.runtime.block_on(HOST.active[wire.adapter()].encode(Arc::new(request.clone())));
    match written {
        Ok(written) => Some(written),
        Err(CallError::Failure(_)) => None,
        Err(CallError::Fault(fault)) => panic!("{fault}"),
    }
}

fn body(written: &HttpRequest, blobs: &Blobs) -> Value {
    serde_json::from_slice(&outbound::body(written.body.clone(), blobs).unwrap()).unwrap()
}

/// A body without what means the same in two forms: a lone text with nothing beside it is a text or a list of one (a document that was written out), and
/// what the assistant said is one message of `/responses` or several (where thinking was left out in between).
fn plain(value: Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut joined: Vec<Value> = Vec::with_capacity(values.len());
            for mut value in values {
                match joined.last_mut().filter(|last| is_said_on(last, &value)) {
                    Some(last) => texts(last).append(texts(&mut value)),
                    None => joined.push(value),
                }
            }
            let mut parts: Vec<Value> = joined.into_iter().map(plain).collect();
            match parts.as_mut_slice() {
                [lone] if is_lone_text(lone) => lone["text"].take(),
                _ => Value::Array(parts),
            }
        }
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, plain(value))).collect()),
        value => value,
    }
}

fn is_lone_text(part: &Value) -> bool {
    part.as_object().is_some_and(|fields| fields.len() == 2) && (part["type"] == "text" || part["type"] == "input_text")
}

/// Whether an item goes on with the assistant's message before it, and neither says more than its content.
fn is_said_on(before: &Value, item: &Value) -> bool {
    let says_no_more = |name: &String| matches!(name.as_str(), "role" | "content" | "phase");
    let is_plain = |item: &Value| item["role"] == "assistant" && item.as_object().is_some_and(|fields| fields.keys().all(says_no_more));
    is_plain(before) && is_plain(item) && !before["content"].is_null() && !item["content"].is_null() && before["phase"] == item["phase"]
}

/// A message's content as a list.
fn texts(message: &mut Value) -> &mut Vec<Value> {
    let content = &mut message["content"];
    if content.is_string() {
        *content = json!([{"type": "output_text", "text": content.take(), "annotations": []}]);
    }
    content.as_array_mut().unwrap()
}

fn check(wire: Wire, asked: &Asked) -> Result<(), TestCaseError> {
    let Some(written) = encoded(wire, &asked.request) else { return Err(TestCaseError::reject("refused")) };
    let first = body(&written, &asked.blobs);
    let parsed = wire.parse(first.to_string().as_bytes(), &written.headers);
    // What the host sets for each attempt.
    let (model, settings) = (asked.request.model.clone(), asked.request.settings.clone());
    let read = Asked { request: ChatRequest { model, settings, ..parsed.request }, blobs: parsed.blobs };
    let again = encoded(wire, &read.request).ok_or_else(|| TestCaseError::fail(format!("refused when read again: {first}")))?;
    prop_assert_eq!((&again.path, &again.headers, again.framing), (&written.path, &written.headers, written.framing));
    let second = body(&again, &read.blobs);
    prop_assert!(
        plain(second.clone()) == plain(first.clone()),
        "written again, the body differs:\n  {first}\n  {second}\nreported: {:?}",
        written.dropped
    );
    match difference(wire, asked, &read, &written.dropped) {
        None => Ok(()),
        Some(difference) => Err(TestCaseError::fail(format!("{difference}\nin {first}\nreported: {:?}", written.dropped))),
    }
}

fn nothing_is_lost(wire: Wire) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config).run(&any_request(wire), |asked| check(wire, &asked)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn nothing_is_lost_over_openais_chat() {
    nothing_is_lost(Wire::Chat);
}

#[test]
fn nothing_is_lost_over_openais_responses() {
    nothing_is_lost(Wire::Responses);
}

#[test]
fn nothing_is_lost_over_anthropics_messages() {
    nothing_is_lost(Wire::Messages);
}
