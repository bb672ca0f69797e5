//! Chooses the candidates for a request and their order.
//!
//! Owns: what a caller's `model` means, aliases, task types. Not here: calling anyone (`attempt`). Pure.
//!
//! A caller who names a model gets that one or an error; only a caller who leaves the choice to the gateway has further candidates to fall
//! back to.

use crate::config::{Rules, Timeouts};
use crate::contract::Task;
use crate::domain::Target;
use crate::provider::{Provider, Snapshot, State};
use std::sync::Arc;
use std::time::Duration;

/// Who is asked, and for which model.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub provider: Arc<Provider>,
    pub model: String,
    pub timeouts: Timeouts,
}

/// Candidates in the order in which they are tried. Never empty.
#[derive(Debug, Clone)]
pub struct Plan {
    pub first: Candidate,
    pub rest: Vec<Candidate>,
    /// By which it was made, and by which it is carried out.
    pub rules: Arc<Rules>,
    /// The name of the route that it is, if it is one.
    pub route: Option<String>,
    /// Of each candidate, where the route says so.
    pub max_retries: Option<u32>,
    pub hedge_after: Option<Duration>,
    /// For all of it.
    pub request_timeout: Duration,
}

/// Why no candidate was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("`model`: there is no model `{name}`; {hint}")]
    UnknownModel { name: String, hint: String },
    #[error("`model`: `{name}` is offered by several providers: write one of {}", .choices.join(", "))]
    AmbiguousModel { name: String, choices: Vec<String> },
    #[error("provider `{provider}` is not available: {reason}")]
    Unavailable { provider: String, reason: String },
    #[error("no provider is available: {0}")]
    NoneAvailable(String),
}

/// # Errors
/// When the target names nothing, or nothing that can be asked now.
pub fn choose(snapshot: &Snapshot, target: &Target) -> Result<Plan, PlanError> {
    match target {
        Target::Any(task) => any(snapshot, *task),
        // On the query routes an alias, or a model's own id, stands where a provider usually does.
        Target::Provider { provider, model: None, .. } if snapshot.provider(provider).is_none() => named(snapshot, provider),
        Target::Provider { provider, model, task } => of_provider(snapshot, provider, model.as_deref(), *task),
        Target::Name(name) => named(snapshot, name),
    }
}

fn any(snapshot: &Snapshot, task: Option<Task>) -> Result<Plan, PlanError> {
    let mut candidates = snapshot.providers.iter().filter(|provider| provider.ready().is_some()).filter_map(|provider| {
        let model = provider.default_model(task)?.to_owned();
        Some(Candidate { provider: Arc::clone(provider), model, timeouts: snapshot.rules.timeouts })
    });
    match candidates.next() {
        Some(first) => Ok(plan(snapshot, first, candidates.collect())),
        None => Err(PlanError::NoneAvailable(why_none(snapshot))),
    }
}

fn plan(snapshot: &Snapshot, first: Candidate, rest: Vec<Candidate>) -> Plan {
    let rules = Arc::clone(&snapshot.rules);
    let request_timeout = rules.timeouts.request;
    Plan { first, rest, rules, route: None, max_retries: None, hedge_after: None, request_timeout }
}

fn why_none(snapshot: &Snapshot) -> String {
    let reasons: Vec<String> = snapshot
        .providers
        .iter()
        .filter_map(|provider| match &provider.state {
            State::Unavailable { reason, .. } => Some(format!("{}: {reason}", provider.id)),
            State::Ready(_) => None,
        })
        .collect();
    if reasons.is_empty() { "none is configured".to_owned() } else { reasons.join("; ") }
}

fn of_provider(snapshot: &Snapshot, id: &str, model: Option<&str>, task: Option<Task>) -> Result<Plan, PlanError> {
    let unknown = || PlanError::UnknownModel { name: id.to_owned(), hint: format!("the providers are {}", provider_ids(snapshot)) };
    let provider = snapshot.provider(id).ok_or_else(unknown)?;
    if let State::Unavailable { reason, .. } = &provider.state {
        return Err(PlanError::Unavailable { provider: id.to_owned(), reason: reason.clone() });
    }
    let model = model.or_else(|| provider.default_model(task)).ok_or_else(|| PlanError::UnknownModel {
        name: id.to_owned(),
        hint: "its plugin names no model, so name one: `provider/model`".to_owned(),
    })?;
    let candidate = Candidate { provider: Arc::clone(provider), model: model.to_owned(), timeouts: snapshot.rules.timeouts };
    Ok(plan(snapshot, candidate, Vec::new()))
}

fn named(snapshot: &Snapshot, name: &str) -> Result<Plan, PlanError> {
    if let Some(target) = snapshot.rules.aliases.get(name) {
        return with_slash(snapshot, target).unwrap_or_else(|| bare(snapshot, target));
    }
    with_slash(snapshot, name).unwrap_or_else(|| bare(snapshot, name))
}

/// `provider/model`, if what stands before the first slash is a provider. (A model's own id may have slashes too.)
fn with_slash(snapshot: &Snapshot, name: &str) -> Option<Result<Plan, PlanError>> {
    let (id, model) = name.split_once('/')?;
    snapshot.provider(id)?;
    Some(if model.is_empty() { of_provider(snapshot, id, None, None) } else { of_provider(snapshot, id, Some(model), None) })
}

/// A provider's id, or the id of a model that just one provider knows.
fn bare(snapshot: &Snapshot, name: &str) -> Result<Plan, PlanError> {
    if snapshot.provider(name).is_some() {
        return of_provider(snapshot, name, None, None);
    }
    match knowing(snapshot, name).as_slice() {
        [] => Err(PlanError::UnknownModel {
            name: name.to_owned(),
            hint: format!(
                "GET /v1/models lists those that are known, and any other model of {} is written `provider/model`",
                provider_ids(snapshot)
            ),
        }),
        [one] => of_provider(snapshot, &one.id, Some(name), None),
        several => Err(PlanError::AmbiguousModel {
            name: name.to_owned(),
            choices: several.iter().map(|provider| format!("`{}/{name}`", provider.id)).collect(),
        }),
    }
}

/// The providers that know a model: only those that can be asked, if any can; and of a plugin's several instances the one that has its name.
fn knowing<'a>(snapshot: &'a Snapshot, model: &str) -> Vec<&'a Arc<Provider>> {
    let mut knowing: Vec<&Arc<Provider>> = snapshot.providers.iter().filter(|provider| provider.knows_model(model)).collect();
    for preferred in [|provider: &Provider| provider.ready().is_some(), Provider::is_its_plugins_namesake] {
        if knowing.iter().any(|provider| preferred(provider)) {
            knowing.retain(|provider| preferred(provider));
        }
    }
    knowing
}

fn provider_ids(snapshot: &Snapshot) -> String {
    snapshot.providers.iter().map(|provider| provider.id.as_str()).collect::<Vec<_>>().join(", ")
}
