//! One attempt at counting a prompt: by the provider, or where it does not count, as well as the gateway can.

use super::chat::address;
use super::failure::AttemptError;
use super::replays::Replays;
use super::{Allowance, Attempt, Exchange, Target};
use crate::contract::{ChatRequest, FailureKind};
use crate::domain::{Blobs, Call};
use crate::plan::Candidate;
use crate::plugin::CallError;
use crate::tokens;
use std::sync::Arc;

/// How many tokens a prompt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub tokens: u32,
    /// Whether it was not the provider who counted.
    pub estimated: bool,
}

#[derive(Clone)]
pub(super) struct CountExchange {
    request: Arc<ChatRequest>,
    replays: Replays,
    blobs: Blobs,
}

impl CountExchange {
    pub(super) fn new(call: Call) -> Self {
        let mut request = call.request;
        let replays = Replays::take(&mut request);
        Self { request: Arc::new(request), replays, blobs: call.blobs }
    }

    async fn estimate(&self, candidate: &Candidate) -> Counted {
        let estimate = tokens::of_chat(&candidate.provider, &candidate.model, &self.request).await;
        Counted { tokens: u32::try_from(estimate.tokens).unwrap_or(u32::MAX), estimated: true }
    }
}

impl Exchange for CountExchange {
    type Answer = Counted;

    fn address(&mut self, candidate: &Candidate, _allowance: Allowance) {
        address(Arc::make_mut(&mut self.request), &self.replays, candidate);
    }

    async fn run(&mut self, target: &Target<'_>, attempt: &mut Attempt) -> Result<Counted, AttemptError> {
        let version = target.ready()?.version.enter();
        let mut encoded = match version.encode_count(Arc::clone(&self.request)).await {
            Err(CallError::Failure(failure)) if failure.kind == FailureKind::Unsupported => {
                return Ok(self.estimate(target.candidate).await);
            }
            encoded => encoded.map_err(AttemptError::of_encode)?,
        };
        let context = std::mem::take(&mut encoded.context);
        let reply = target.send(&version, encoded, &self.blobs, attempt).await?;
        let tokens = target.read(&version, reply, attempt, async |response| version.decode_count(response, context).await).await?;
        Ok(Counted { tokens, estimated: false })
    }
}
