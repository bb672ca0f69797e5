//! The callers' wire formats. Each parses into the one canonical request and renders the canonical answer, event by event or whole.
//!
//! Pure: bytes in, values out. Routes, headers and bodies are `edge`'s.
//!
//! An opaque `replay` is carried by a dialect as it is, both ways: what it says, and to whom it may go back, is `domain::replay`'s.

mod calls;
pub mod chat;
mod media;
pub mod query;

use crate::contract::{ChatEvent, ChatRequest, ChatResponse};
use crate::domain::{Blobs, Target};
use serde_json::Value;

/// How a route speaks; what else it says, it says so too: its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The gateway's own: `/api`, `/v1/gateway`, `/admin` and all that is no API of a provider's.
    Query,
    /// OpenAI's: Chat Completions, and what has no dialect of its own below `/v1`.
    Chat,
}

impl Dialect {
    pub fn of_path(path: &str) -> Self {
        if path.starts_with("/v1/") && !path.starts_with("/v1/gateway/") { Self::Chat } else { Self::Query }
    }

    /// What an answer's id begins with.
    pub fn id_prefix(self) -> &'static str {
        match self {
            Self::Query => "",
            Self::Chat => "chatcmpl-",
        }
    }

    /// What the caller calls a field that is named by its path in `chat-request`.
    pub fn parameter(self, path: &str) -> String {
        match self {
            Self::Query | Self::Chat => chat::caller_parameter(path),
        }
    }
}

/// A parsed chat request of a dialect.
#[derive(Debug)]
pub struct Parsed {
    pub target: Target,
    /// With `stream` as the caller said; `model` and `settings` are set later.
    pub request: ChatRequest,
    pub blobs: Blobs,
    pub form: Form,
}

/// What a caller's request says of the form of its answer.
#[derive(Debug)]
pub enum Form {
    Chat(chat::ChatForm),
}

impl Form {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Chat(_) => Dialect::Chat,
        }
    }

    /// The renderer of one answer.
    pub fn renderer(self, head: Head) -> Box<dyn Render> {
        match self {
            Self::Chat(form) => Box::new(chat::ChatRenderer::new(head, form)),
        }
    }
}

/// What stands at the head of every piece of one answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// With the dialect's prefix.
    pub id: String,
    /// Seconds of Unix time.
    pub created: i64,
    pub model: String,
}

/// Renders one answer to its caller: whole, or event by event.
pub trait Render: Send {
    /// A whole answer, as JSON.
    fn whole(&mut self, answer: &ChatResponse) -> Vec<u8>;

    /// Appends what an event means to the caller, if it means anything.
    fn event(&mut self, event: &ChatEvent, out: &mut Vec<u8>);

    /// Appends the sign that the stream has failed; nothing follows it. `body` is what the dialect answers such an error with when nothing was streamed.
    fn failure(&mut self, body: &Value, out: &mut Vec<u8>);

    /// Appends what keeps an idle connection open and means nothing.
    fn ping(&self, out: &mut Vec<u8>);
}
