//! The callers' wire formats. Each parses into the one canonical request and renders the canonical answer, event by event or whole.
//!
//! Pure: bytes in, values out. Routes, headers and bodies are `edge`'s.

pub mod chat;
pub mod query;

/// How a route speaks; what else it says, it says so too: its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The gateway's own: `/api`, `/v1/gateway`, `/admin` and all that is no API of a provider's.
    Query,
    /// OpenAI's.
    Chat,
}

impl Dialect {
    pub fn of_path(path: &str) -> Self {
        if path.starts_with("/v1/") && !path.starts_with("/v1/gateway/") { Self::Chat } else { Self::Query }
    }
}
