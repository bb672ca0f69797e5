//! Turns of the assistant whose replays a Chat client may not bring back, kept by the ids of their tool calls.
//!
//! Most clients send a tool call back by its id and drop fields that they do not know, the carrier of replays (`dialect::chat`) among them. Within a
//! tool loop providers demand them, so a turn with tool calls is kept here for a while: in memory, as an aid only, for the carrier needs no memory.

use crate::contract::{Message, PartBody, Role};
use crate::domain::replay::{History, HistoryReader};
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
pub struct Turns(Cache<Key, Arc<Kept>>);

/// A tenant and the id of a call.
type Key = (Arc<str>, String);

#[derive(Debug)]
struct Kept {
    turn: String,
    /// The conversation that it was said in. Who does not hold it gets nothing, whatever ids a provider gives to its calls.
    history: History,
}

impl Default for Turns {
    fn default() -> Self {
        let weigh = |(tenant, id): &Key, kept: &Arc<Kept>| u32::try_from(tenant.len() + id.len() + kept.turn.len()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(MAX_BYTES).weigher(weigh).time_to_live(KEPT_FOR).build())
    }
}

impl Turns {
    /// Keeps a turn under each of its calls' ids: a client may send back some of them only.
    pub(super) fn keep(&self, tenant: &Arc<str>, call_ids: Vec<String>, turn: String) {
        if turn.len() > MAX_TURN_BYTES {
            return;
        }
        let Some(history) = chat::history_of(&turn) else { return };
        let kept = Arc::new(Kept { turn, history });
        for id in call_ids {
            self.0.insert((Arc::clone(tenant), id), Arc::clone(&kept));
        }
    }

    /// Gives the assistant's messages of a conversation back what they lost.
    pub(super) fn restore(&self, tenant: &Arc<str>, messages: &mut [Message]) {
        let found: Vec<Option<Arc<Kept>>> = messages.iter().map(|message| self.of(tenant, message)).collect();
        if found.iter().all(Option::is_none) {
            return;
        }
        let mut before = HistoryReader::default();
        for (message, kept) in messages.iter_mut().zip(found) {
            // A conversation stands in one place only, so a turn is put back once at most.
            if let Some(kept) = kept.filter(|kept| kept.history == before.so_far()) {
                chat::restore(&mut message.parts, &kept.turn);
            }
            before.read(message);
        }
    }

    fn of(&self, tenant: &Arc<str>, message: &Message) -> Option<Arc<Kept>> {
        if message.role != Role::Assistant || message.parts.iter().any(|part| part.replay.is_some()) {
            return None;
        }
        let calls = message.parts.iter().filter_map(|part| match &part.body {
            PartBody::ToolCall(call) => Some(call.id.clone()),
            _ => None,
        });
        calls.filter_map(|id| self.0.get(&(Arc::clone(tenant), id))).next()
    }
}
