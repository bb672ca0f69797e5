//! What Mistral's models are.

use super::detail;
use crate::simulate::wire::{Answer, Problem};
use serde_json::{Value, json};

/// Each with its aliases, which are entries of their own too.
const LISTED: [(&str, &[&str]); 9] = [
    ("mistral-large-4", &["mistral-large-4-0"]),
    ("mistral-medium-3-5", &["mistral-medium-2604", "mistral-medium-latest"]),
    ("mistral-small-2603", &["mistral-small-latest"]),
    ("ministral-3b-latest", &[]),
    ("ministral-8b-latest", &[]),
    ("ministral-14b-latest", &[]),
    ("codestral-latest", &[]),
    ("mistral-embed", &[]),
    ("codestral-embed", &[]),
];
const PREFIXES: [&str; 9] =
    ["mistral-", "ministral-", "codestral-", "devstral-", "magistral-", "pixtral-", "voxtral-", "open-mistral-", "open-mixtral-"];
const CREATED: u64 = 1_791_800_000;

pub(super) fn list() -> Answer {
    let named =
        LISTED.iter().flat_map(|model| std::iter::once(model.0).chain(model.1.iter().copied()).map(move |name| entry(name, *model)));
    Answer::json(&json!({"object": "list", "data": named.collect::<Vec<_>>()}))
}

pub(super) fn show(name: &str) -> Result<Answer, Problem> {
    let model = LISTED.iter().find(|(id, aliases)| *id == name || aliases.contains(&name));
    model.map(|model| Answer::json(&entry(name, *model))).ok_or_else(|| detail(404, json!(format!("Model {name} not found"))))
}

fn entry(name: &str, (id, aliases): (&str, &[&str])) -> Value {
    let others: Vec<&str> = std::iter::once(id).chain(aliases.iter().copied()).filter(|other| *other != name).collect();
    let chats = !id.ends_with("-embed");
    json!({
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "mistralai",
        "capabilities": {
            "completion_chat": chats,
            "function_calling": chats,
            "reasoning": id.starts_with("mistral-"),
            "completion_fim": id.starts_with("codestral-"),
            "fine_tuning": false,
            "vision": chats,
            "audio": false,
        },
        "name": id,
        "description": "A simulated model",
        "max_context_length": if id == "mistral-large-4" { 1_048_576 } else { 262_144 },
        "aliases": others,
        "deprecation": null,
        "default_model_temperature": 0.3,
        "type": "base",
    })
}

pub(super) fn is_known(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !name.contains(char::is_whitespace)
}

pub(super) fn invalid_model(name: &str) -> Problem {
    Problem::new(400, "invalid_model", format!("Invalid model: {name}")).code("1500")
}

/// Whether a model thinks whatever is asked.
pub(super) fn always_thinks(name: &str) -> bool {
    name.starts_with("magistral-")
}

/// The efforts that a model takes.
pub(super) fn efforts(name: &str) -> &'static [&'static str] {
    match name {
        name if name.starts_with("mistral-large-4") => &["none", "low", "medium", "high", "xhigh"],
        name if name.starts_with("mistral-small") || name.starts_with("mistral-medium") => &["none", "high"],
        _ => &[],
    }
}
