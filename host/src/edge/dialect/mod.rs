//! The callers' wire formats. Each parses into the one canonical request and renders the canonical answer, event by event or whole.
//!
//! Pure: bytes in, values out. Routes, headers and bodies are `edge`'s.
//!
//! An opaque `replay` is carried by a dialect as it is, both ways: what it says, and to whom it may go back, is `domain::replay`'s.

mod calls;
pub mod chat;
pub mod cost_estimate;
pub mod embeddings;
mod media;
pub mod messages;
mod openai;
mod openai_tools;
pub mod query;
pub mod responses;
mod sse;

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
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl Dialect {
    pub fn of_path(path: &str) -> Self {
        match path.strip_prefix("/v1/").map(|rest| rest.split('/').next().unwrap_or(rest)) {
            Some("messages") => Self::Messages,
            Some("responses") => Self::Responses,
            Some("gateway") | None => Self::Query,
            Some(_) => Self::Chat,
        }
    }

    /// What an answer's id begins with.
    pub fn id_prefix(self) -> &'static str {
        match self {
            Self::Query => "",
            Self::Chat => "chatcmpl-",
            Self::Responses => "resp_",
            Self::Messages => "msg_",
        }
    }

    /// What the caller calls a field that is named by its path in `chat-request`.
    pub fn parameter(self, path: &str) -> String {
        match self {
            Self::Query | Self::Chat => chat::caller_parameter(path),
            Self::Responses => responses::caller_parameter(path),
            Self::Messages => messages::caller_parameter(path),
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
    Responses(Box<responses::ResponsesForm>),
    Messages(messages::Places),
}

impl Form {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Chat(_) => Dialect::Chat,
            Self::Responses(_) => Dialect::Responses,
            Self::Messages(_) => Dialect::Messages,
        }
    }

    /// As [`Dialect::parameter`], and with the numbers of messages as this request had them.
    pub fn parameter(&self, path: &str) -> String {
        match self {
            Self::Messages(places) => places.parameter(path),
            Self::Chat(_) | Self::Responses(_) => self.dialect().parameter(path),
        }
    }

    /// The renderer of one answer.
    pub fn renderer(self, head: Head) -> Box<dyn Render> {
        match self {
            Self::Chat(form) => Box::new(chat::ChatRenderer::new(head, form)),
            Self::Responses(form) => Box::new(responses::ResponsesRenderer::new(head, *form)),
            Self::Messages(_) => Box::new(messages::MessagesRenderer::new(head)),
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

    /// Why the events so far can't be told in this dialect, if they can't. The stream is then to fail.
    fn broken(&self) -> Option<String> {
        None
    }

    /// Appends the sign that the stream has failed; nothing follows it. `body` is what the dialect answers such an error with when nothing was streamed.
    fn failure(&mut self, body: &Value, out: &mut Vec<u8>);

    /// Appends what keeps an idle connection open and means nothing.
    fn ping(&self, out: &mut Vec<u8>);

    /// After an answer, and once: the skeletons (`chat::turn`) of its messages that have tool calls and something that the caller may not send back,
    /// each with the ids of its calls.
    fn turns(&mut self) -> Vec<(Vec<String>, String)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_dialect() {
        for (path, dialect) in [
            ("/api/query", Dialect::Query),
            ("/v1/gateway/query", Dialect::Query),
            ("/v1/chat/completions", Dialect::Chat),
            ("/v1/models", Dialect::Chat),
            ("/v1/responses", Dialect::Responses),
            ("/v1/responses/resp_1", Dialect::Responses),
            ("/v1/responses2", Dialect::Chat),
            ("/v1/messages/count_tokens", Dialect::Messages),
        ] {
            assert_eq!(Dialect::of_path(path), dialect, "{path}");
        }
    }
}
