//! What Anthropic's models are, and what each takes.

use super::invalid;
use crate::simulate::wire::{Answer, Call, Problem};
use serde_json::{Value, json};

/// Name, name for people, date.
const LISTED: [(&str, &str, &str); 16] = [
    ("claude-opus-5-5", "Claude Opus 5.5", "2026-10-01"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5", "2026-10-01"),
    ("claude-haiku-5-5", "Claude Haiku 5.5", "2026-10-01"),
    ("claude-fable-5-2", "Claude Fable 5.2", "2026-09-15"),
    ("claude-fable-5-1", "Claude Fable 5.1", "2026-08-15"),
    ("claude-fable-5", "Claude Fable 5", "2026-07-15"),
    ("claude-opus-5", "Claude Opus 5", "2026-07-01"),
    ("claude-sonnet-5", "Claude Sonnet 5", "2026-07-01"),
    ("claude-opus-4-8", "Claude Opus 4.8", "2026-05-28"),
    ("claude-opus-4-7", "Claude Opus 4.7", "2026-04-14"),
    ("claude-opus-4-6", "Claude Opus 4.6", "2026-02-05"),
    ("claude-sonnet-4-6", "Claude Sonnet 4.6", "2026-02-17"),
    ("claude-opus-4-5", "Claude Opus 4.5", "2025-11-24"),
    ("claude-sonnet-4-5", "Claude Sonnet 4.5", "2025-09-29"),
    ("claude-haiku-4-5", "Claude Haiku 4.5", "2025-10-15"),
    ("claude-mythos-5", "Claude Mythos 5", "2026-07-15"),
];
const DEFAULT_PAGE: usize = 20;
const MAX_PAGE: usize = 1000;

pub(super) fn list(call: &Call) -> Result<Answer, Problem> {
    let limit = match call.query_value("limit") {
        None => DEFAULT_PAGE,
        Some(limit) => match limit.parse() {
            Ok(limit) if (1..=MAX_PAGE).contains(&limit) => limit,
            _ => return Err(invalid(format!("limit: Input should be between 1 and {MAX_PAGE}"))),
        },
    };
    let place = |id: &str| LISTED.iter().position(|(listed, ..)| *listed == id);
    let after = call.query_value("after_id").and_then(place).map_or(0, |place| place + 1);
    let before = call.query_value("before_id").and_then(place);
    let (start, end) = match before {
        Some(before) => (before.saturating_sub(limit), before),
        None => (after, (after + limit).min(LISTED.len())),
    };
    let page = &LISTED[start..end];
    let has_more = if before.is_some() { start > 0 } else { end < LISTED.len() };
    Ok(Answer::json(&json!({
        "data": page.iter().map(|model| entry(*model)).collect::<Vec<_>>(),
        "has_more": has_more,
        "first_id": page.first().map(|(id, ..)| id),
        "last_id": page.last().map(|(id, ..)| id),
    })))
}

pub(super) fn show(id: &str) -> Result<Answer, Problem> {
    let model = LISTED.iter().find(|(listed, ..)| *listed == id);
    model.map(|model| Answer::json(&entry(*model))).ok_or_else(|| not_found(id))
}

fn entry((id, display_name, date): (&str, &str, &str)) -> Value {
    let model = Model::known(id);
    let is = |supported: bool| json!({"supported": supported});
    let modern = model.as_ref().is_ok_and(|model| model.generation >= (4, 6));
    let is_large = model.as_ref().is_ok_and(|model| model.generation >= (5, 0));
    json!({
        "type": "model",
        "id": id,
        "display_name": display_name,
        "created_at": format!("{date}T00:00:00Z"),
        "lifecycle": "active",
        "max_input_tokens": if is_large { 1_000_000 } else { 200_000 },
        "max_tokens": if is_large { 128_000 } else { 64_000 },
        "capabilities": {
            "citations": is(true),
            "effort": {"supported": modern, "low": is(modern), "medium": is(modern), "high": is(modern), "max": is(modern)},
            "image_input": is(true),
            "pdf_input": is(true),
            "structured_outputs": is(modern),
            "thinking": {"supported": true, "types": {"enabled": is(!modern), "adaptive": is(modern)}},
        },
    })
}

pub(super) fn not_found(id: &str) -> Problem {
    Problem::new(404, "not_found_error", format!("model: {id}"))
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'a> {
    pub name: &'a str,
    pub family: Family,
    /// Opus 4.8 is (4, 8).
    pub generation: (u32, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Opus,
    Sonnet,
    Haiku,
    /// Mythos is the same line.
    Fable,
    Other,
}

impl<'a> Model<'a> {
    /// # Errors
    /// When it is none of Anthropic's.
    pub fn known(name: &'a str) -> Result<Self, Problem> {
        let rest = name.strip_prefix("claude-").filter(|rest| !rest.contains(char::is_whitespace)).ok_or_else(|| not_found(name))?;
        let family = match rest {
            rest if rest.contains("opus") => Family::Opus,
            rest if rest.contains("sonnet") => Family::Sonnet,
            rest if rest.contains("haiku") => Family::Haiku,
            rest if rest.contains("fable") || rest.contains("mythos") => Family::Fable,
            _ => Family::Other,
        };
        // A number of more digits is a date.
        let mut numbers = rest.split('-').filter(|part| part.len() <= 2).filter_map(|part| part.parse().ok());
        Ok(Self { name, family, generation: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) })
    }

    pub fn refuses_sampling(&self) -> bool {
        self.generation >= (4, 7)
    }

    pub fn refuses_prefill(&self) -> bool {
        self.generation >= (4, 6)
    }

    pub fn refuses_forced_tools(&self) -> bool {
        match self.family {
            Family::Fable => self.generation >= (5, 1),
            Family::Opus | Family::Sonnet => self.generation >= (5, 5),
            Family::Haiku | Family::Other => false,
        }
    }

    pub fn refuses_disabled_thinking(&self) -> bool {
        match self.family {
            Family::Fable => self.generation >= (5, 0),
            Family::Opus | Family::Sonnet => self.generation >= (5, 5),
            Family::Haiku | Family::Other => false,
        }
    }

    pub fn takes_thinking_budget(&self) -> bool {
        self.generation < (4, 7)
    }

    pub fn takes_adaptive_thinking(&self) -> bool {
        self.generation >= (4, 6)
    }

    pub fn takes_thinking_between_tools(&self) -> bool {
        self.family == Family::Sonnet && self.generation >= (5, 5)
    }

    pub fn takes_system_messages(&self) -> bool {
        match self.family {
            Family::Sonnet => self.generation > (5, 0),
            _ => self.generation >= (4, 8),
        }
    }

    /// Whether the thinking text is left out unless `display` asks for it.
    pub fn omits_thinking(&self) -> bool {
        matches!(self.family, Family::Opus | Family::Sonnet) && self.generation >= (5, 5)
    }

    /// Whether thinking blocks are valid for that model alone, and only after the conversation that they were thought after.
    pub fn binds_thinking(&self) -> bool {
        self.generation >= (5, 5) || (self.family == Family::Fable && self.generation >= (5, 1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_tells_family_and_generation() {
        for (name, family, generation) in [
            ("claude-opus-5-5", Family::Opus, (5, 5)),
            ("claude-sonnet-4-5-20250929", Family::Sonnet, (4, 5)),
            ("claude-3-5-haiku-20241022", Family::Haiku, (3, 5)),
            ("claude-opus-5", Family::Opus, (5, 0)),
            ("claude-mythos-preview", Family::Fable, (0, 0)),
        ] {
            let model = Model::known(name).unwrap();
            assert_eq!((model.family, model.generation), (family, generation), "{name}");
        }
        assert!(Model::known("gpt-5.4").is_err());
    }
}
