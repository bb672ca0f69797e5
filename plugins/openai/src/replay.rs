//! What of an answer must come back unchanged, in the form in which a part's `replay` carries it.
//!
//! Reasoning on `/responses` is the input item itself, ready to be sent. A text there has its message's phase, a sound on
//! `/chat/completions` its id. Of a conversation that began elsewhere, a caller has reasoning from OpenAI itself: its fields then stand among the
//! part's own. A compatible server's open reasoning has empty data: it need only be known for its own.

use crate::endpoint::Endpoint;
use llm_gateway_adapter::types::{Part, PartBody, Replay};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

/// The part is ours; there is nothing more to it.
pub fn own() -> Replay {
    Replay { data: String::new(), model: None }
}

fn of(value: &impl Serialize) -> Option<Replay> {
    Some(Replay { data: serde_json::to_string(value).ok()?, model: None })
}

#[derive(Serialize, Deserialize)]
struct Phase<'a> {
    phase: &'a str,
}

/// `commentary` or `final_answer`: OpenAI asks that it be kept on every assistant message.
pub fn of_phase(phase: Option<&str>) -> Option<Replay> {
    of(&Phase { phase: phase? })
}

pub fn phase(replay: Option<&Replay>) -> Option<&str> {
    serde_json::from_str::<Phase<'_>>(&replay?.data).ok().map(|found| found.phase)
}

#[derive(Serialize, Deserialize)]
struct AudioId<'a> {
    audio_id: &'a str,
}

pub fn of_audio(id: &str) -> Option<Replay> {
    of(&AudioId { audio_id: id })
}

pub fn audio_id(replay: Option<&Replay>) -> Option<&str> {
    serde_json::from_str::<AudioId<'_>>(&replay?.data).ok().map(|found| found.audio_id)
}

pub fn of_reasoning(item: &impl Serialize) -> Option<Replay> {
    of(item)
}

/// The reasoning item, if the replay is one.
pub fn reasoning(replay: Option<&Replay>) -> Option<&RawValue> {
    serde_json::from_str(&replay?.data).ok()
}

/// The reasoning item that a caller has from OpenAI itself: `{"id": .., "encrypted_content": ..}` beside a thinking part.
pub fn told_reasoning(part: &Part) -> Option<Box<RawValue>> {
    let (PartBody::Thinking(text), None) = (&part.body, &part.replay) else { return None };
    let own = part.extras.iter().filter(|native| native.dialect == Endpoint::Responses.dialect());
    let mut told = own.filter_map(|native| serde_json::from_str::<Map<String, Value>>(&native.value).ok());
    let mut fields =
        told.find(|fields| fields.get("encrypted_content").is_some_and(|content| content.as_str().is_some_and(|text| !text.is_empty())))?;
    fields.insert("type".to_owned(), json!("reasoning"));
    let summary = if text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": text}]) };
    fields.entry("summary").or_insert(summary);
    to_raw_value(&fields).ok()
}
