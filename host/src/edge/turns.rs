//! Turns of the assistant whose replays a Chat client may not bring back, kept by the ids of their tool calls.
//!
//! Most clients send a tool call back by its id and drop fields that they do not know, the carrier of replays (`dialect::chat`) among them. Within a
//! tool loop providers demand them, so a turn with tool calls is kept here for a while: in memory, as an aid only, for the carrier needs no memory.

use crate::contract::{Message, PartBody, Role};
use crate::edge::dialect::chat;
use moka::sync::Cache;
use std::sync::Arc;
use std::time::Duration;

/// Of all kept turns.
const MAX_BYTES: u64 = 64 << 20;
/// A larger turn is not kept.
const MAX_TURN_BYTES: usize = 1 << 20;
/// Longer than a tool runs.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// The turns that were said last.
#[derive(Debug, Clone)]
pub struct Turns(Cache<String, Arc<str>>);

impl Default for Turns {
    fn default() -> Self {
        let weigh = |id: &String, turn: &Arc<str>| u32::try_from(id.len() + turn.len()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(MAX_BYTES).weigher(weigh).time_to_live(KEPT_FOR).build())
    }
}

impl Turns {
    /// Keeps a turn under each of its calls' ids: a client may send back some of them only.
    pub(super) fn keep(&self, call_ids: Vec<String>, turn: String) {
        if turn.len() > MAX_TURN_BYTES {
            return;
        }
        let turn: Arc<str> = Arc::from(turn);
        for id in call_ids {
            self.0.insert(id, Arc::clone(&turn));
        }
    }

    /// Gives the assistant's messages of a conversation back what they lost.
    pub(super) fn restore(&self, messages: &mut [Message]) {
        for message in messages.iter_mut().filter(|message| message.role == Role::Assistant) {
            if message.parts.iter().any(|part| part.replay.is_some()) {
                continue;
            }
            let calls = message.parts.iter().filter_map(|part| match &part.body {
                PartBody::ToolCall(call) => Some(call.id.as_str()),
                _ => None,
            });
            if let Some(turn) = calls.filter_map(|id| self.0.get(id)).next() {
                chat::restore(&mut message.parts, &turn);
            }
        }
    }
}
