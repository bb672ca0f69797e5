//! The line that every request goes along, from a parsed call to an answer. Read this first.
//!
//! The HTTP edge parses a dialect into a [`Call`] before, and renders the answer in the same dialect after. Each step is a module with a narrow type
//! in and out; they meet only here.

use crate::attempt::{Answered, AttemptError, Counted, Driver, Embedded};
use crate::contract::embeddings::EmbeddingRequest;
use crate::domain::{Call, Target};
use crate::plan::{self, Conditions, Explanation, Needs, PlanError};
use crate::provider::Snapshot;
use crate::settle::Account;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::Instant;

/// What requests are answered with.
pub struct Gateway {
    /// Replaced whole when a plugin comes, goes or is replaced.
    pub providers: Arc<ArcSwap<Snapshot>>,
    pub driver: Driver,
    pub log_prompts: bool,
}

/// Why a call was not answered.
#[derive(Debug, Clone)]
pub enum CallFailure {
    Plan(PlanError),
    /// With what was tried, in one sentence, where that was more than one attempt.
    Attempt(AttemptError, Option<String>),
}

/// Answers one call. The account says what happened on the way; who renders the answer closes it.
///
/// # Errors
/// Why nobody answered.
pub async fn answer(gateway: &Gateway, account: &mut Account, call: Call) -> Result<Answered, CallFailure> {
    account.asked(&call.request, gateway.log_prompts);
    let needs = Needs::of_chat(&call.request, call.context.session.as_deref());
    let plan = decide(gateway, plan::choose, &call.target, &needs)?;
    account.planned(&plan);
    gateway.driver.chat(plan, call, account).await.map_err(|error| failed(error, account))
}

/// Says how a call would go, and asks nobody.
///
/// # Errors
/// Why nobody would be asked.
pub fn explain(gateway: &Gateway, account: &mut Account, call: &Call) -> Result<Explanation, CallFailure> {
    account.asked(&call.request, gateway.log_prompts);
    let needs = Needs::of_chat(&call.request, call.context.session.as_deref());
    decide(gateway, plan::explain, &call.target, &needs)
}

/// Counts the tokens of a prompt, as the model that it is meant for counts them.
///
/// # Errors
/// Why nobody counted.
pub async fn count(gateway: &Gateway, account: &mut Account, call: Call) -> Result<Counted, CallFailure> {
    let needs = Needs::of_count(&call.request, call.context.session.as_deref());
    let plan = decide(gateway, plan::choose, &call.target, &needs)?;
    account.planned(&plan);
    gateway.driver.count(plan, call, account).await.map_err(|error| failed(error, account))
}

/// Embeds texts.
///
/// # Errors
/// Why nobody answered.
pub async fn embed(gateway: &Gateway, account: &mut Account, target: &Target, request: EmbeddingRequest) -> Result<Embedded, CallFailure> {
    let context = account.context().clone();
    let needs = Needs::of_embeddings(&request, context.session.as_deref());
    let plan = decide(gateway, plan::choose, target, &needs)?;
    account.planned(&plan);
    let embedded = gateway.driver.embed(plan, &context, request, account).await.map_err(|error| failed(error, account))?;
    account.embedded(&embedded.answer);
    Ok(embedded)
}

type Decide<T> = fn(&Snapshot, &Target, &Needs<'_>, &mut Conditions<'_>) -> Result<T, PlanError>;

/// Has a plan made by what holds now.
fn decide<T>(gateway: &Gateway, decide: Decide<T>, target: &Target, needs: &Needs<'_>) -> Result<T, CallFailure> {
    let mut rng = rand::rng();
    let mut conditions = Conditions { health: &gateway.driver.health, now: Instant::now(), wall: SystemTime::now(), rng: &mut rng };
    decide(&gateway.providers.load(), target, needs, &mut conditions).map_err(CallFailure::Plan)
}

fn failed(error: AttemptError, account: &Account) -> CallFailure {
    let told = account.history((error.kind(), error.retry_after(Timestamp::now())));
    CallFailure::Attempt(error, told)
}
