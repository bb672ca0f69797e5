//! One request, parsed: what is asked, of whom, with which media.

use super::{Blobs, RequestId};
use crate::contract::{ChatRequest, Task};
use std::sync::Arc;
use std::time::Instant;

/// A caller's request, whatever dialect it came in.
#[derive(Debug, Clone)]
pub struct Call {
    pub context: CallContext,
    pub target: Target,
    /// `model`, `settings` and `stream` are set for each attempt.
    pub request: ChatRequest,
    pub blobs: Blobs,
}

/// What is known of a request before its body is read.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub id: RequestId,
    /// The route's pattern: `/v1/chat/completions`.
    pub route: &'static str,
    pub started: Instant,
    /// When the caller stops waiting, if it said so.
    pub deadline: Option<Instant>,
    /// By which the caller's requests stay together: `x-gateway-session`.
    pub session: Option<Arc<str>>,
}

/// What the caller said of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nothing: the gateway chooses, for the task if one is named.
    Any(Option<Task>),
    /// A provider, as on the query routes, perhaps with one of its models.
    Provider { provider: String, model: Option<String>, task: Option<Task> },
    /// `provider/model`, a bare model id, a provider or an alias.
    Name(String),
}
