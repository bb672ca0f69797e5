//! What happened to plugins, the configuration and gateway keys: a bounded history, and a live feed of the same.

use jiff::Timestamp;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// Events kept for listing; the same number may wait for a slow listener, who then misses the oldest.
const KEPT: usize = 256;

/// One thing that happened to a plugin file, to the configuration file or to a gateway key.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Counts up from 1 in the life of the process.
    pub id: u64,
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The provider id that a plugin serves, where it is known.
    pub plugin: Option<String>,
    /// The file's name in its folder.
    pub file: Option<String>,
    /// The gateway key's id.
    pub key: Option<String>,
    pub version: Option<String>,
    pub sha256: Option<String>,
    /// Why, of a rejection.
    pub reason: Option<String>,
}

fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Loaded,
    Replaced,
    Rejected,
    RolledBack,
    Removed,
    ConfigLoaded,
    ConfigRejected,
    ConfigRemoved,
    KeyCreated,
    KeyChanged,
    KeyRotated,
    KeyRevoked,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Replaced => "replaced",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolled_back",
            Self::Removed => "removed",
            Self::ConfigLoaded => "config_loaded",
            Self::ConfigRejected => "config_rejected",
            Self::ConfigRemoved => "config_removed",
            Self::KeyCreated => "key_created",
            Self::KeyChanged => "key_changed",
            Self::KeyRotated => "key_rotated",
            Self::KeyRevoked => "key_revoked",
        }
    }
}

impl Event {
    /// `id`: the key's, which says nothing of its secret.
    pub(crate) fn of_key(kind: EventKind, id: &str) -> Self {
        let key = Some(id.to_owned());
        Self { id: 0, at: Timestamp::now(), kind, plugin: None, file: None, key, version: None, sha256: None, reason: None }
    }
}

/// The history and its listeners.
#[derive(Debug)]
pub struct Events {
    history: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { history: Mutex::default(), live: broadcast::Sender::new(KEPT) }
    }
}

impl Events {
    /// Records an event, logs it, and tells the listeners. `event.id` is set here.
    pub(crate) fn say(&self, mut event: Event) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        event.id = history.back().map_or(1, |last| last.id + 1);
        let Event { kind, plugin, file, key, version, reason, .. } = &event;
        match kind {
            EventKind::Rejected => tracing::warn!(plugin, file, reason, "plugin rejected"),
            EventKind::ConfigRejected => tracing::warn!(file, reason, "configuration rejected"),
            EventKind::ConfigLoaded => tracing::info!(file, "configuration loaded"),
            EventKind::ConfigRemoved => tracing::info!(file, "configuration removed"),
            EventKind::KeyCreated | EventKind::KeyChanged | EventKind::KeyRotated | EventKind::KeyRevoked => {
                tracing::info!(key, "gateway {}", kind.as_str().replace('_', " "))
            }
            EventKind::Loaded | EventKind::Replaced | EventKind::RolledBack | EventKind::Removed => {
                tracing::info!(plugin, file, version, "plugin {}", kind.as_str().replace('_', " "))
            }
        }
        history.push_back(event.clone());
        if history.len() > KEPT {
            history.pop_front();
        }
        let _ = self.live.send(event);
    }

    /// What is kept after event `after`, oldest first, and all that comes from now on: nothing between the two is missed.
    pub fn since(&self, after: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        // An id from before a restart says nothing of this history.
        let after = if history.back().is_some_and(|last| after > last.id) { 0 } else { after };
        (history.iter().filter(|event| event.id > after).cloned().collect(), self.live.subscribe())
    }
}
