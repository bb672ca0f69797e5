//! What must come back to the parts of an answer and has no place in their items.
//!
//! A reasoning item carries its own replay, as `encrypted_content`. No other item has such a field, and in a stream a part's replay is
//! known only when the part has long been shown. So the replays of all other parts stand together in one more reasoning item, without
//! text, at the end of the answer: `gw1turn;` and a JSON list that says of each whose it is. A call is found again by its id; any other part
//! by its place in the turn, if it still has its length. What is not found was changed by the caller, and its replay is dropped.
//!
//! Not here: what a replay says (`domain::replay`).

use super::output::phase;
use crate::contract::{Part, PartBody, Replay};
use crate::domain::part;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "gw1turn;";
/// Replays in one turn: far above what a provider gives.
const MAX_KEPT: usize = 1000;

/// Whether an item's `encrypted_content` is of this kind.
pub fn is_turn(encrypted: &str) -> bool {
    encrypted.starts_with(PREFIX)
}

/// What was kept of one part.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Parts before it that come back, with an item or by this list.
    at: usize,
    of: Owner,
    /// Sealed.
    replay: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Owner {
    /// A call, by its id.
    Call(String),
    /// A text of so many characters. Of none: a part that has no item and is put back.
    Text(usize),
    Other,
}

impl Owner {
    /// None for thinking, whose replay is in its own item.
    fn of(body: &PartBody) -> Option<Self> {
        match body {
            PartBody::Thinking(_) => None,
            PartBody::ToolCall(call) => Some(Self::Call(call.id.clone())),
            PartBody::Text(text) | PartBody::Refusal(text) => Some(Self::Text(text.chars().count())),
            _ => Some(Self::Other),
        }
    }
}

impl Kept {
    fn of(at: usize, part: &Part) -> Option<Self> {
        // OpenAI's replay of a text is its phase, which the message itself says.
        let replay = part.replay.as_ref().filter(|_| phase(part).is_none())?;
        Some(Self { at, of: Owner::of(&part.body)?, replay: replay.data.clone() })
    }
}

/// Whether a part without an item is put back by the list.
pub fn puts_back(part: &Part) -> bool {
    matches!(Kept::of(0, part), Some(Kept { of: Owner::Text(0), .. }))
}

/// The turn's `encrypted_content`, made of the parts that come back; none if nothing has to be kept.
pub fn of_parts<'p>(parts: impl Iterator<Item = &'p Part>) -> Option<String> {
    let kept: Vec<Kept> = parts.enumerate().filter_map(|(at, part)| Kept::of(at, part)).take(MAX_KEPT).collect();
    if kept.is_empty() {
        return None;
    }
    Some(format!("{PREFIX}{}", serde_json::to_string(&kept).ok()?))
}

/// Gives the parts of a turn, which begins at `begun`, back what was kept of them. Gives what was kept of calls, which may come later.
pub fn restore(parts: &mut Vec<Part>, begun: usize, encrypted: &str) -> Vec<Kept> {
    let list = encrypted.strip_prefix(PREFIX).unwrap_or_default();
    let kept: Vec<Kept> = serde_json::from_str(list).unwrap_or_default();
    let mut of_calls = Vec::new();
    for kept in kept.into_iter().take(MAX_KEPT) {
        let at = begun.saturating_add(kept.at);
        if kept.of == Owner::Text(0) {
            parts.insert(at.min(parts.len()), part(PartBody::Text(String::new())));
        }
        if matches!(kept.of, Owner::Call(_)) {
            of_calls.push(kept);
        } else if let Some(owner) = parts.get_mut(at).filter(|part| Owner::of(&part.body).as_ref() == Some(&kept.of)) {
            owner.replay = Some(Replay { data: kept.replay, model: None });
        }
    }
    of_calls
}

/// Gives calls back what was kept of them, wherever they are.
pub fn restore_calls(parts: &mut [Part], kept: Vec<Kept>) {
    for Kept { of, replay, .. } in kept {
        let Owner::Call(id) = of else { continue };
        if let Some(call) = parts.iter_mut().find(|part| matches!(&part.body, PartBody::ToolCall(call) if call.id == id)) {
            call.replay = Some(Replay { data: replay, model: None });
        }
    }
}
