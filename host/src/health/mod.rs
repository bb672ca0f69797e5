//! What has been learned about upstreams from asking them: whether they fail, how fast they answer, how much they still take.
//!
//! Owns: circuit breaker, latency, rate limits and retry budget of each provider instance and model, as state machines that are told the time. It outlives reloads
//! of plugins and configuration. Not here: who is asked (`plan`), what is done after a failure (`attempt`).
//!
//! Models are callers' text, so what is kept of them is bounded, and forgotten after an hour without use. No lock is held across an await.

mod breaker;
mod budget;
mod latency;
mod limits;
mod report;
mod window;

pub use limits::{Counted, ToldLimit};
pub use report::{BreakerState, KeyReport, Left, Report};

use crate::config::BreakerPolicy;
use crate::domain::ErrorKind;
use breaker::{Breaker, Change, Phase, Ticket, Verdict};
use budget::Budget;
use latency::Latency;
use limits::{Keys, Supply, counted_keys};
use moka::sync::Cache;
use std::cmp::Reverse;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

const MAX_PROVIDERS: u64 = 1000;
const MAX_MODELS_OF_A_PROVIDER: u64 = 1000;
/// Of a model's name. Longer ones are no models.
const MAX_NAME_BYTES: usize = 200;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// For how long a key that its provider does not accept is not asked with, if there are others.
const ASIDE_FOR: Duration = Duration::from_secs(60);
/// A key that was refused for its limit, and not told for how long, while there are others.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Of a provider for whose answers many wait, until no more do.
const SHORTEST_SILENCE: Duration = Duration::from_secs(2);
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
const MAX_REPORTS: usize = 200;

/// A key by a number that says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(u64);

impl KeyId {
    pub fn of(key: &str) -> Self {
        static SEED: OnceLock<RandomState> = OnceLock::new();
        Self(SEED.get_or_init(RandomState::new).hash_one(key))
    }
}

/// Whom it is about: a model of a provider instance, with the keys that it can be asked with (none, where it needs none).
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub provider: &'a str,
    pub model: &'a str,
    pub keys: &'a [KeyId],
    pub kind: Kind,
}

/// What is asked for: what takes a second for one kind is slow for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stream,
    Whole,
    /// Counts of tokens, embeddings: how long they take says nothing of answers.
    Other,
}

/// How a model of a provider stands now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    pub availability: Availability,
    /// Far slower than it usually is.
    pub is_slow: bool,
    /// Moving average of the time until it begins to answer. Absent: not known (any more).
    pub latency: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    Ready,
    /// It was left alone for long enough: one request is to find out.
    ProbeDue,
    /// By what it said of its limits it has nothing left until then, or it accepts none of its keys: it is asked after all others.
    Spent {
        until: Instant,
    },
    /// It refused further requests until then, with every key.
    Limited {
        until: Instant,
    },
    /// It failed too often, or so many wait for it that no more should.
    Open {
        until: Instant,
    },
}

/// What has been learned.
#[derive(Debug)]
pub struct Health {
    providers: Cache<String, Arc<ProviderHealth>>,
    breaker: Arc<RwLock<BreakerPolicy>>,
    retry_budget: f64,
    crowd: usize,
}

/// Why it is not asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Limited { until: Instant },
    Open { until: Instant },
}

/// Leave to ask once. Dropped without a word, it is neither a success nor a failure, and a probe's place is free again; where the request was sent and nothing has come, it says how long an answer takes at least.
#[derive(Debug)]
#[must_use]
pub struct Pass {
    /// Place of the key to use in `Subject::keys`.
    pub key: Option<usize>,
    key_id: KeyId,
    has_other_keys: bool,
    kind: Kind,
    sent: OnceLock<Instant>,
    heard: OnceLock<()>,
    /// Whether it is known how it went.
    told: bool,
    ticket: Ticket,
    provider: Arc<ProviderHealth>,
    model: Arc<ModelHealth>,
}

#[derive(Debug)]
struct ProviderHealth {
    id: String,
    models: Cache<String, Arc<ModelHealth>>,
    breaker: Arc<RwLock<BreakerPolicy>>,
    /// Locked before a model's, where both are.
    state: Mutex<ProviderState>,
}

#[derive(Debug)]
struct ProviderState {
    budget: Budget,
    /// Keys that it did not accept, and until when they are not asked with.
    aside: Vec<(KeyId, Instant)>,
    /// Requests that wait for an answer.
    out: usize,
    /// Since when so many wait that it matters, and nothing has come.
    silent_since: Option<Instant>,
}

#[derive(Debug)]
struct ModelHealth {
    id: String,
    state: Mutex<ModelState>,
}

#[derive(Debug)]
struct ModelState {
    breaker: Breaker,
    /// Of streams, and of whole answers.
    latency: [Latency; 2],
    keys: Keys,
}

impl Health {
    /// `retry_budget`: retries of a provider as a share of its successes, 0 to 1. `crowd`: requests that may wait for a provider of which nothing is heard, so that
    /// one that hangs does not take the turns of all others.
    pub fn new(retry_budget: f64, crowd: usize) -> Self {
        let providers = Cache::builder().max_capacity(MAX_PROVIDERS).time_to_idle(FORGOTTEN_AFTER).build();
        Self { providers, breaker: Arc::default(), retry_budget, crowd: crowd.max(1) }
    }

    /// From now on.
    pub fn set_breaker(&self, policy: BreakerPolicy) {
        *self.breaker.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Takes nothing: no probe's place, no key's turn.
    pub fn standing(&self, subject: Subject<'_>, now: Instant) -> Standing {
        let known = self.providers.get(subject.provider).and_then(|provider| Some((provider.known_model(subject.model)?, provider)));
        let Some((model, provider)) = known else {
            return Standing { availability: Availability::Ready, is_slow: false, latency: None };
        };
        let shared = locked(&provider.state);
        let mut state = locked(&model.state);
        state.keys.set(counted_keys(subject.keys));
        let supply = state.keys.supply(|id| shared.aside_until(id, now), now);
        let is_crowded = self.is_crowded(&shared, &state, now).then_some(now + provider.policy().open);
        let availability = match (is_crowded.or(state.breaker.refuses_until(now)), supply) {
            (Some(until), _) => Availability::Open { until },
            (None, Supply::Limited { until }) => Availability::Limited { until },
            (None, _) if state.breaker.phase(now) == Phase::ProbeDue => Availability::ProbeDue,
            (None, Supply::Spent { until }) => Availability::Spent { until },
            (None, Supply::Plenty) => Availability::Ready,
        };
        let latency = state.latency(subject.kind);
        Standing {
            availability,
            is_slow: latency.as_ref().is_some_and(|latency| latency.is_slow(now)),
            latency: latency.and_then(|latency| latency.average(now)),
        }
    }

    /// Leave to ask, and with which key.
    ///
    /// # Errors
    /// When it is to be left alone.
    pub fn admit(&self, subject: Subject<'_>, now: Instant) -> Result<Pass, Refusal> {
        let provider = self.provider(subject.provider, now);
        let model = provider.model(subject.model, now);
        let policy = provider.policy();
        let keys = counted_keys(subject.keys);
        let mut shared = locked(&provider.state);
        let mut state = locked(&model.state);
        if self.is_crowded(&shared, &state, now) {
            return Err(Refusal::Open { until: now + policy.open });
        }
        if let Some(until) = state.breaker.refuses_until(now) {
            return Err(Refusal::Open { until });
        }
        state.keys.set(keys);
        // Before the breaker's ticket: a probe's is not to be spent where there is no key to ask with.
        let place = state.keys.take(|id| shared.is_aside(id, now), now).map_err(|until| Refusal::Limited { until })?;
        let ticket = state.breaker.admit(&policy, now).ok_or(Refusal::Open { until: now })?;
        if let Some(latency) = state.latency(subject.kind) {
            latency.asked(now);
        }
        shared.out += 1;
        if shared.out >= self.crowd {
            shared.silent_since.get_or_insert(now);
        }
        drop((shared, state));
        Ok(Pass {
            kind: subject.kind,
            sent: OnceLock::new(),
            heard: OnceLock::new(),
            told: false,
            key: subject.keys.get(place).map(|_| place),
            key_id: keys.get(place).copied().unwrap_or(KeyId(0)),
            has_other_keys: keys.len() > 1,
            ticket,
            provider,
            model,
        })
    }

    /// Whether it would be refused now.
    pub fn refuses(&self, subject: Subject<'_>, now: Instant) -> Option<Refusal> {
        match self.standing(subject, now).availability {
            Availability::Limited { until } => Some(Refusal::Limited { until }),
            Availability::Open { until } => Some(Refusal::Open { until }),
            Availability::Ready | Availability::ProbeDue | Availability::Spent { .. } => None,
        }
    }

    /// Takes a retry (or a hedge) out of the provider's budget, if there is one left.
    pub fn may_retry(&self, provider: &str, now: Instant) -> bool {
        locked(&self.provider(provider, now).state).budget.take(now)
    }

    /// An answer that had begun, and counted as one, broke off: one failure more.
    pub fn broke_off(&self, provider: &str, model: &str, kind: ErrorKind, now: Instant) {
        let provider = self.provider(provider, now);
        let model = provider.model(model, now);
        if verdict(kind) == Some(Verdict::Failed) {
            let policy = provider.policy();
            let change = locked(&model.state).breaker.broke_off(&policy, now);
            log_change((&provider, &model), change, &policy);
        }
    }

    /// Whether the limits that an answer tells are worth a look: reading them costs a call of the plugin. If they are, this counts as the look.
    /// `key`: the place that the pass gave.
    pub fn wants_limits(&self, subject: Subject<'_>, key: Option<usize>, now: Instant) -> bool {
        self.with_key(subject, key, |keys, id| keys.look(id, now)).unwrap_or(false)
    }

    /// Takes what an answer told of rate limits. `key`: the place that the pass gave.
    pub fn limits(&self, subject: Subject<'_>, key: Option<usize>, limits: &[ToldLimit], now: Instant) {
        self.with_key(subject, key, |keys, id| keys.told(id, limits, now));
    }

    /// The state of all models that were asked lately, sorted by name; of more than 200, those that fail or are asked most.
    pub fn report(&self, now: Instant) -> Vec<Report> {
        let mut reports = Vec::new();
        for (_, provider) in &self.providers {
            reports.extend(provider.models.iter().map(|(_, model)| Report::of(&provider, &model, now)));
        }
        reports.sort_by_key(|report| (report.breaker == BreakerState::Closed, Reverse(report.attempts)));
        reports.truncate(MAX_REPORTS);
        reports.sort_by(|a, b| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)));
        reports
    }

    /// Forgets everything, as at the start: for an operator who knows better. Requests under way do not count any more.
    pub fn forget(&self) {
        self.providers.invalidate_all();
    }

    /// Whether so many wait for an answer of a provider, and nothing has come for so long, that no more should wait: their turns are others' too. Where there are no others, all
    /// turns are its own.
    fn is_crowded(&self, provider: &ProviderState, model: &ModelState, now: Instant) -> bool {
        let Some(since) = provider.silent_since.filter(|_| provider.out >= self.crowd) else { return false };
        now.saturating_duration_since(since) >= model.patience(now) && self.providers.entry_count() > 1
    }

    fn provider(&self, id: &str, now: Instant) -> Arc<ProviderHealth> {
        self.providers.get_with_by_ref(id, || Arc::new(ProviderHealth::new(id, Arc::clone(&self.breaker), self.retry_budget, now)))
    }

    fn with_key<T>(&self, subject: Subject<'_>, key: Option<usize>, act: impl FnOnce(&mut Keys, KeyId) -> T) -> Option<T> {
        let id = counted_keys(subject.keys).get(key.unwrap_or(0))?;
        let model = self.providers.get(subject.provider)?.known_model(subject.model)?;
        let mut state = locked(&model.state);
        Some(act(&mut state.keys, *id))
    }
}

impl Pass {
    /// The request goes out.
    pub fn sent(&self, now: Instant) {
        let _ = self.sent.set(now);
    }

    /// The head of an answer has come, whatever follows.
    pub fn heard(&self) {
        let _ = self.heard.set(());
        locked(&self.provider.state).silent_since = None;
    }

    /// It began to answer after this time.
    pub fn succeeded(mut self, first_byte: Duration, now: Instant) {
        self.told = true;
        let mut shared = locked(&self.provider.state);
        shared.budget.succeeded(now);
        shared.silent_since = None;
        drop(shared);
        self.record(Verdict::Answered, Some(first_byte), now);
    }

    /// It failed, and asked (or was known) to be left alone for a time. What failed before anything was sent is no failure of the provider's: then the pass is dropped.
    pub fn failed(mut self, kind: ErrorKind, leave_alone: Option<Duration>, now: Instant) {
        self.told = true;
        let verdict = verdict(kind);
        if let Some(verdict) = verdict {
            self.record(verdict, None, now);
        }
        if verdict == Some(Verdict::Answered) {
            locked(&self.provider.state).silent_since = None;
        }
        match (kind, leave_alone) {
            (ErrorKind::RateLimited, Some(wait)) => self.limit_key(wait, now),
            // Nobody knows for how long; there are others meanwhile.
            (ErrorKind::RateLimited, None) if self.has_other_keys => self.limit_key(A_MOMENT, now),
            // A permission may be of one model alone.
            (ErrorKind::Authentication | ErrorKind::QuotaExhausted, _) => self.put_key_aside(kind, now),
            _ => {}
        }
    }

    /// `first_byte`: of an answer.
    fn record(&self, verdict: Verdict, first_byte: Option<Duration>, now: Instant) {
        let policy = self.provider.policy();
        let mut state = locked(&self.model.state);
        match (state.latency(self.kind), first_byte) {
            (Some(latency), Some(first_byte)) => latency.add(first_byte, now),
            (Some(latency), None) => latency.failed(),
            (None, _) => {}
        }
        let change = state.breaker.record(self.ticket, verdict, &policy, now);
        drop(state);
        log_change((&self.provider, &self.model), change, &policy);
    }

    /// For this model only: limits differ from model to model.
    fn limit_key(&self, wait: Duration, now: Instant) {
        let limited = locked(&self.model.state).keys.limit(self.key_id, wait, now);
        if let Some(wait) = limited {
            self.log_aside(ErrorKind::RateLimited, wait);
        }
    }

    /// For all of the provider's models. Where no key is left the provider is asked after all others, but is asked, so that its own words reach the caller.
    fn put_key_aside(&self, kind: ErrorKind, now: Instant) {
        if locked(&self.provider.state).put_aside(self.key_id, now) {
            self.log_aside(kind, ASIDE_FOR);
        }
    }

    fn log_aside(&self, kind: ErrorKind, wait: Duration) {
        let (provider, model) = (self.provider.id.as_str(), self.model.id.as_str());
        let number = self.key.map(|place| place + 1);
        tracing::warn!(provider, model, key = number, reason = kind.as_str(), for_ms = report::milliseconds(wait), "key put aside");
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut shared = locked(&self.provider.state);
        shared.out = shared.out.saturating_sub(1);
        drop(shared);
        if self.told {
            return;
        }
        let mut state = locked(&self.model.state);
        state.breaker.release(self.ticket);
        // Who gives up on a provider that hangs says at least how long it took.
        let waiting = self.sent.get().filter(|_| self.heard.get().is_none());
        if let (Some(sent), Some(latency)) = (waiting, state.latency(self.kind)) {
            let now = Instant::now();
            latency.longer_than(now.saturating_duration_since(*sent), now);
        }
    }
}

impl ProviderHealth {
    fn new(id: &str, breaker: Arc<RwLock<BreakerPolicy>>, retry_budget: f64, now: Instant) -> Self {
        let models = Cache::builder().max_capacity(MAX_MODELS_OF_A_PROVIDER).time_to_idle(FORGOTTEN_AFTER).build();
        let state = ProviderState { budget: Budget::new(retry_budget, now), aside: Vec::new(), out: 0, silent_since: None };
        Self { id: id.to_owned(), models, breaker, state: Mutex::new(state) }
    }

    fn policy(&self) -> BreakerPolicy {
        *self.breaker.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn model(&self, name: &str, now: Instant) -> Arc<ModelHealth> {
        let id = kept_name(name);
        self.models.get_with_by_ref(id, || Arc::new(ModelHealth::new(id, &self.policy(), now)))
    }

    fn known_model(&self, name: &str) -> Option<Arc<ModelHealth>> {
        self.models.get(kept_name(name))
    }
}

impl ProviderState {
    fn aside_until(&self, id: KeyId, now: Instant) -> Option<Instant> {
        self.aside.iter().find(|(aside, until)| *aside == id && now < *until).map(|(_, until)| *until)
    }

    fn is_aside(&self, id: KeyId, now: Instant) -> bool {
        self.aside_until(id, now).is_some()
    }

    /// Whether that is news.
    fn put_aside(&mut self, id: KeyId, now: Instant) -> bool {
        self.aside.retain(|(_, until)| now < *until);
        let is_news = !self.is_aside(id, now);
        if is_news {
            self.aside.push((id, now + ASIDE_FOR));
        }
        is_news
    }
}

impl ModelHealth {
    fn new(id: &str, policy: &BreakerPolicy, now: Instant) -> Self {
        let state =
            ModelState { breaker: Breaker::new(policy, now), latency: [Latency::new(now), Latency::new(now)], keys: Keys::default() };
        Self { id: id.to_owned(), state: Mutex::new(state) }
    }
}

fn log_change((provider, model): (&ProviderHealth, &ModelHealth), change: Option<Change>, policy: &BreakerPolicy) {
    let (provider, model) = (provider.id.as_str(), model.id.as_str());
    let for_ms = report::milliseconds(policy.open);
    match change {
        Some(Change::Opened { attempts, failures }) => tracing::warn!(provider, model, attempts, failures, for_ms, "breaker opened"),
        Some(Change::ProbeFailed) => tracing::warn!(provider, model, for_ms, "breaker probe failed"),
        Some(Change::Closed) => tracing::info!(provider, model, "breaker closed"),
        None => {}
    }
}

impl ModelState {
    fn latency(&mut self, kind: Kind) -> Option<&mut Latency> {
        let [streams, wholes] = &mut self.latency;
        match kind {
            Kind::Stream => Some(streams),
            Kind::Whole => Some(wholes),
            Kind::Other => None,
        }
    }

    /// For how long silence is nothing unusual.
    fn patience(&self, now: Instant) -> Duration {
        let usually = self.latency.iter().filter_map(|latency| latency.average(now)).max();
        usually.map_or(LONGEST_SILENCE, |usually| (3 * usually).clamp(SHORTEST_SILENCE, LONGEST_SILENCE))
    }
}

fn kept_name(model: &str) -> &str {
    &model[..model.floor_char_boundary(MAX_NAME_BYTES)]
}

/// What a failure tells of the provider. An answer that refuses the request, or its key, shows that the provider works.
fn verdict(kind: ErrorKind) -> Option<Verdict> {
    match kind {
        ErrorKind::Provider
        | ErrorKind::Overloaded
        | ErrorKind::Timeout
        | ErrorKind::Malformed
        | ErrorKind::Unreachable
        | ErrorKind::Plugin => Some(Verdict::Failed),
        ErrorKind::InvalidRequest
        | ErrorKind::ModelNotFound
        | ErrorKind::Unsupported
        | ErrorKind::ContextLength
        | ErrorKind::RequestTooLarge
        | ErrorKind::ContentRefused
        | ErrorKind::Authentication
        | ErrorKind::Permission
        | ErrorKind::NotFound
        | ErrorKind::RateLimited
        | ErrorKind::QuotaExhausted => Some(Verdict::Answered),
        ErrorKind::Unavailable | ErrorKind::Cancelled | ErrorKind::BudgetExceeded => None,
    }
}

/// What a panic left is no worse than what is learned otherwise.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn subject(keys: &[KeyId]) -> Subject<'_> {
        Subject { provider: "openai", model: "gpt", keys, kind: Kind::Stream }
    }

    fn fail(health: &Health, kind: ErrorKind, now: Instant) {
        health.admit(subject(&[]), now).unwrap().failed(kind, None, now);
    }

    /// One that has just opened.
    fn opened(now: Instant) -> Health {
        let health = Health::new(0.2, 1000);
        health.set_breaker(BreakerPolicy { min_requests: 5, ..BreakerPolicy::default() });
        (0..5).for_each(|_| fail(&health, ErrorKind::Unreachable, now));
        health
    }

    #[test]
    fn what_was_never_asked_is_ready_and_leaves_no_trace() {
        let health = Health::new(0.2, 1000);
        let now = Instant::now();
        let standing = health.standing(subject(&[]), now);
        assert_eq!(standing, Standing { availability: Availability::Ready, is_slow: false, latency: None });
        assert_eq!(health.report(now), []);
    }

    #[test]
    fn a_breaker_opens_probes_and_closes() {
        let now = Instant::now();
        let health = opened(now);
        let until = now + 5 * SECOND;
        assert_eq!(health.admit(subject(&[]), now).unwrap_err(), Refusal::Open { until });
        assert_eq!(health.standing(subject(&[]), now).availability, Availability::Open { until });
        assert_eq!(health.standing(subject(&[]), until).availability, Availability::ProbeDue);
        let probe = health.admit(subject(&[]), until).unwrap();
        assert!(matches!(health.admit(subject(&[]), until), Err(Refusal::Open { .. })));
        drop(probe);
        let probe = health.admit(subject(&[]), until).unwrap();
        probe.succeeded(SECOND, until);
        assert_eq!(health.standing(subject(&[]), until).availability, Availability::Ready);
        // Another model of the provider has a breaker of its own.
        assert!(opened(now).admit(Subject { model: "other", ..subject(&[]) }, now).is_ok());
    }

    #[test]
    fn a_change_of_the_policy_counts_at_once() {
        let health = Health::new(0.2, 1000);
        let now = Instant::now();
        (0..10).for_each(|_| fail(&health, ErrorKind::Timeout, now));
        assert!(health.admit(subject(&[]), now).is_ok());
        health.set_breaker(BreakerPolicy { min_requests: 5, ..BreakerPolicy::default() });
        fail(&health, ErrorKind::Timeout, now);
        assert!(health.admit(subject(&[]), now).is_err());
    }

    #[test]
    fn refusals_of_the_request_do_not_open_it_and_are_no_measure_of_speed() {
        let health = Health::new(0.0, 1000);
        let now = Instant::now();
        (0..100).for_each(|_| fail(&health, ErrorKind::InvalidRequest, now));
        let standing = health.standing(subject(&[]), now);
        assert_eq!((standing.availability, standing.latency), (Availability::Ready, None));
    }

    #[test]
    fn a_key_that_is_added_can_be_asked_with_at_once() {
        let health = Health::new(0.2, 1000);
        let now = Instant::now();
        let keys = [KeyId::of("limited"), KeyId::of("new")];
        health.admit(subject(&keys[..1]), now).unwrap().failed(ErrorKind::RateLimited, Some(SECOND), now);
        assert_eq!(health.standing(subject(&keys), now).availability, Availability::Ready);
        assert_eq!(health.admit(subject(&keys), now).unwrap().key, Some(1));
    }

    #[test]
    fn a_single_limited_key_refuses_until_its_reset() {
        let health = Health::new(0.2, 1000);
        let now = Instant::now();
        for keys in [&[][..], &[KeyId::of("one")]] {
            let subject = Subject { model: if keys.is_empty() { "keyless" } else { "keyed" }, ..subject(keys) };
            let pass = health.admit(subject, now).unwrap();
            assert_eq!(pass.key, (!keys.is_empty()).then_some(0));
            pass.failed(ErrorKind::RateLimited, Some(SECOND), now);
            let until = now + SECOND;
            assert_eq!(health.admit(subject, now).unwrap_err(), Refusal::Limited { until });
            assert_eq!(health.standing(subject, now).availability, Availability::Limited { until });
            assert!(health.admit(subject, until).is_ok());
        }
    }

    #[test]
    fn a_key_that_is_not_accepted_is_put_aside_for_all_models_if_there_is_another() {
        let health = Health::new(0.2, 1000);
        let now = Instant::now();
        let keys = [KeyId::of("expired"), KeyId::of("good")];
        health.admit(subject(&keys), now).unwrap().failed(ErrorKind::Authentication, None, now);
        for model in ["gpt", "other"] {
            let subject = Subject { model, ..subject(&keys) };
            let used: Vec<_> = (0..3).map(|_| health.admit(subject, now).unwrap().key.unwrap()).collect();
            assert_eq!(used, [1, 1, 1], "{model}");
        }
        let used: Vec<_> = (0..2).map(|_| health.admit(subject(&keys), now + ASIDE_FOR).unwrap().key.unwrap()).collect();
        assert_eq!(used, [0, 1]);
        let only = &keys[..1];
        health.admit(subject(only), now).unwrap().failed(ErrorKind::Authentication, None, now);
        assert_eq!(health.admit(subject(only), now).unwrap().key, Some(0));
    }

    #[test]
    fn a_provider_that_hangs_does_not_take_the_turns_of_others() {
        let health = Health::new(0.2, 3);
        let now = Instant::now();
        let other = Subject { provider: "claude", ..subject(&[]) };
        let mut waiting: Vec<Pass> = (0..5).map(|_| health.admit(subject(&[]), now).unwrap()).collect();
        let later = now + LONGEST_SILENCE;
        assert!(health.admit(subject(&[]), later).is_ok(), "alone it has all turns");
        drop(health.admit(other, later));
        health.providers.run_pending_tasks();
        assert!(matches!(health.admit(subject(&[]), later), Err(Refusal::Open { .. })));
        assert!(matches!(health.refuses(subject(&[]), later), Some(Refusal::Open { .. })));
        assert!(health.admit(other, later).is_ok());
        waiting[0].heard();
        assert!(health.admit(subject(&[]), later).is_ok(), "it answers, if slowly");
        waiting.pop().unwrap().succeeded(SECOND, later);
        assert!(health.admit(subject(&[]), later + SECOND).is_ok());
    }

    #[test]
    fn who_gives_up_before_anything_was_sent_or_after_an_answer_began_says_nothing_of_its_speed() {
        let health = Health::new(0.2, 1000);
        let now = Instant::now();
        let before = now.checked_sub(60 * SECOND).unwrap();
        drop(health.admit(subject(&[]), before).unwrap());
        let begun = health.admit(subject(&[]), before).unwrap();
        begun.sent(before);
        begun.heard();
        drop(begun);
        health.admit(subject(&[]), now).unwrap().succeeded(SECOND, now);
        assert_eq!(health.standing(subject(&[]), now).latency, Some(SECOND));
        let hanging = health.admit(subject(&[]), before).unwrap();
        hanging.sent(before);
        drop(hanging);
        assert!(health.standing(subject(&[]), now).latency.unwrap() > SECOND);
    }

    #[test]
    fn told_limits_make_a_model_spent() {
        let health = Health::new(0.2, 1000);
        let now = Instant::now();
        let keys = [KeyId::of("one")];
        assert!(!health.wants_limits(subject(&keys), Some(0), now), "nobody asked yet");
        drop(health.admit(subject(&keys), now));
        assert!(health.wants_limits(subject(&keys), Some(0), now));
        let told = ToldLimit { counted: Counted::Tokens, remaining: Some(0), limit: Some(100), reset: Some(SECOND) };
        health.limits(subject(&keys), Some(0), &[told], now);
        assert_eq!(health.standing(subject(&keys), now).availability, Availability::Spent { until: now + SECOND });
        assert_eq!(health.admit(subject(&keys), now).unwrap().key, Some(0));
    }

    #[test]
    fn what_is_forgotten_counts_no_more() {
        let now = Instant::now();
        let health = opened(now);
        assert!(health.admit(subject(&[]), now).is_err());
        health.forget();
        assert!(health.admit(subject(&[]), now).is_ok());
    }

    #[test]
    fn the_report_says_how_each_model_stands_and_no_key() {
        let now = Instant::now();
        let health = opened(now);
        let keys = [KeyId::of("one")];
        let other = Subject { provider: "claude", ..subject(&keys) };
        health.admit(other, now).unwrap().succeeded(SECOND, now);
        health.admit(other, now).unwrap().failed(ErrorKind::RateLimited, Some(SECOND), now);
        let report = serde_json::to_value(health.report(now)).unwrap();
        let expected = serde_json::json!([
            {"provider": "claude", "model": "gpt", "breaker": "closed", "attempts": 2, "failures": 0, "latency_ms": 1000, "is_slow": false,
                "keys": [{"number": 1, "limited_for_ms": 1000}], "retries_left": 21},
            {"provider": "openai", "model": "gpt", "breaker": "open", "open_for_ms": 5000, "attempts": 5, "failures": 5, "latency_ms": null,
                "is_slow": false, "keys": [{"number": 1}], "retries_left": 20},
        ]);
        assert_eq!(report, expected);
    }

    #[test]
    fn names_that_callers_invent_do_not_fill_the_memory() {
        let health = Health::new(0.2, 1000);
        let now = Instant::now();
        let long = "x".repeat(1 << 20);
        for i in 0..5000 {
            let model = format!("{i}{long}");
            drop(health.admit(Subject { model: &model[..300], ..subject(&[]) }, now));
        }
        let provider = health.provider("openai", now);
        provider.models.run_pending_tasks();
        assert!(provider.models.entry_count() <= MAX_MODELS_OF_A_PROVIDER);
        assert!(provider.models.iter().all(|(name, _)| name.len() <= MAX_NAME_BYTES));
        assert_eq!(health.report(now).len(), MAX_REPORTS);
    }
}
