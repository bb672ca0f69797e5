//! The line that every request goes along, from a parsed call to an answer. Read this first.
//!
//! The HTTP edge parses a dialect into a [`Call`] before, and renders the answer in the same dialect after. Each step is a module with a narrow type
//! in and out; they meet only here.

use crate::attempt::{self, Answered, AttemptError, Upstream};
use crate::config::RetryPolicy;
use crate::domain::Call;
use crate::plan::{self, PlanError};
use crate::provider::Snapshot;
use crate::settle::Account;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// What requests are answered with.
pub struct Gateway {
    /// Replaced whole when a plugin comes, goes or is replaced.
    pub providers: Arc<ArcSwap<Snapshot>>,
    pub upstream: Upstream,
    pub retry: RetryPolicy,
    pub log_prompts: bool,
}

/// Why a call was not answered.
#[derive(Debug, Clone)]
pub enum CallFailure {
    Plan(PlanError),
    Attempt(AttemptError),
}

/// Answers one call. The account says what happened on the way; who renders the answer closes it.
///
/// # Errors
/// Why nobody answered.
pub async fn answer(gateway: &Gateway, account: &mut Account, call: Call) -> Result<Answered, CallFailure> {
    account.asked(&call.request, gateway.log_prompts);
    let plan = plan::choose(&gateway.providers.load(), &call.target).map_err(CallFailure::Plan)?;
    attempt::drive(&gateway.upstream, &gateway.retry, plan, call, account).await.map_err(CallFailure::Attempt)
}
