//! What OpenAI's models are, and what each takes.

use super::INVALID_REQUEST;
use crate::simulate::wire::{Answer, Problem};
use serde_json::{Value, json};

const LISTED: [(&str, Option<&str>); 18] = [
    ("gpt-6-astra", None),
    ("gpt-6.2-astra", None),
    ("gpt-6.1-sol", None),
    ("gpt-6.2-sol", None),
    ("gpt-6.1-terra", None),
    ("gpt-6-sol", None),
    ("gpt-6-luna", None),
    ("gpt-5.6-sol", None),
    ("gpt-5.6-terra", None),
    ("gpt-5.6-luna", None),
    ("gpt-5.5", None),
    ("gpt-5.4", None),
    ("gpt-5.4-mini", None),
    ("gpt-5.2", None),
    ("gpt-5.1", Some("2027-04-01")),
    ("gpt-4.1", Some("2027-01-14")),
    ("text-embedding-3-small", None),
    ("text-embedding-3-large", None),
];
const PREFIXES: [&str; 5] = ["gpt-", "chatgpt-", "o1", "o3", "o4"];
const CREATED: u64 = 1_791_800_000;

pub(super) fn list() -> Answer {
    let data: Vec<Value> = LISTED.iter().map(|(id, shutdown)| entry(id, *shutdown)).collect();
    Answer::pretty(&json!({"object": "list", "data": data}))
}

pub(super) fn show(id: &str) -> Result<Answer, Problem> {
    let known = LISTED.iter().find(|(listed, _)| *listed == id);
    known.map(|(id, shutdown)| Answer::pretty(&entry(id, *shutdown))).ok_or_else(|| not_found(id))
}

fn entry(id: &str, shutdown: Option<&str>) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "system", "shutdown_date": shutdown})
}

pub(super) fn not_found(model: &str) -> Problem {
    let message = format!("The model `{model}` does not exist or you do not have access to it.");
    Problem::new(404, INVALID_REQUEST, message).code("model_not_found")
}

/// A chat model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'a> {
    pub name: &'a str,
    /// 5.6 is (5, 6). The o-series stands before all of these.
    version: (u32, u32),
    flavour: &'a str,
    o_series: bool,
}

impl<'a> Model<'a> {
    pub fn known(name: &'a str) -> Option<Self> {
        let well_formed = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
        if !well_formed || !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            return None;
        }
        let Some(rest) = name.strip_prefix("gpt-") else {
            return Some(Self { name, version: (0, 0), flavour: "", o_series: !name.starts_with("chatgpt-") });
        };
        let (number, flavour) = rest.split_once('-').unwrap_or((rest, ""));
        let mut digits = number.split('.').map(|digits| digits.parse().unwrap_or(0));
        let version = (digits.next().unwrap_or(0), digits.next().unwrap_or(0));
        Some(Self { name, version, flavour, o_series: false })
    }

    /// They refuse `max_tokens`, `stop` and sampling.
    pub fn reasons(&self) -> bool {
        self.o_series || self.version >= (5, 0)
    }

    fn is_astra_class(&self) -> bool {
        self.version >= (6, 1) || (self.version >= (6, 0) && self.flavour.starts_with("astra"))
    }

    pub fn efforts(&self) -> &'static [&'static str] {
        match self.version {
            _ if self.o_series => &["low", "medium", "high"],
            version if version < (5, 0) => &[],
            version if version < (5, 1) => &["minimal", "low", "medium", "high"],
            version if version < (5, 2) => &["none", "low", "medium", "high"],
            _ if self.is_astra_class() => &["low", "medium", "high", "xhigh"],
            _ => &["none", "low", "medium", "high", "xhigh"],
        }
    }

    /// Beyond [`Self::efforts`], on `/responses` alone.
    pub fn takes_max_effort(&self) -> bool {
        self.version >= (5, 6)
    }

    /// Whether function tools are refused on `/chat/completions` at that effort.
    pub fn refuses_chat_tools(&self, effort: Option<&str>) -> bool {
        match self.version {
            version if version < (5, 2) => false,
            version if version < (5, 6) => effort.is_some_and(|effort| effort != "none"),
            _ if self.is_astra_class() => true,
            _ => effort != Some("none"),
        }
    }
}

pub(super) fn embedding_dimensions(model: &str) -> Option<usize> {
    match model {
        "text-embedding-3-small" | "text-embedding-ada-002" => Some(1536),
        "text-embedding-3-large" => Some(3072),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tools_on_chat_follow_the_models_generation() {
        for (model, effort, refused) in [
            ("gpt-4.1", None, false),
            ("gpt-5.1", Some("high"), false),
            ("gpt-5.4-mini", None, false),
            ("gpt-5.4-mini", Some("low"), true),
            ("gpt-5.4-mini", Some("none"), false),
            ("gpt-5.6-sol", None, true),
            ("gpt-5.6-sol", Some("none"), false),
            ("gpt-6-luna", None, true),
            ("gpt-6-luna", Some("none"), false),
            ("gpt-6-astra", Some("none"), true),
            ("gpt-6.1-sol", Some("none"), true),
        ] {
            assert_eq!(Model::known(model).unwrap().refuses_chat_tools(effort), refused, "{model} {effort:?}");
        }
    }

    #[test]
    fn a_model_is_known_by_its_prefix() {
        for (name, known) in
            [("gpt-99", true), ("o3-mini", true), ("claude-opus-5", false), ("", false), ("gpt- 5", false), ("gpt-5..", true)]
        {
            assert_eq!(Model::known(name).is_some(), known, "{name}");
        }
        assert!(!Model::known("gpt-4o").unwrap().reasons());
        assert!(Model::known("o3").unwrap().reasons());
    }
}
