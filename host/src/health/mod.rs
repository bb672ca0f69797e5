//! What has been learned about upstreams from asking them: whether they fail, how fast they answer, how much they still take.
//!
//! Owns: circuit breaker, latency, rate limits and retry budget of each provider instance and model, as state machines that are told the time. It outlives reloads
//! of plugins and configuration. Not here: who is asked (`plan`), what is done after a failure (`attempt`).

use crate::config::BreakerPolicy;
use crate::domain::ErrorKind;
use std::time::Duration;
use tokio::time::Instant;

/// A key by a number that says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(u64);

impl KeyId {
    pub fn of(_key: &str) -> Self {
        Self(0)
    }
}

/// Whom it is about: a model of a provider instance, with the keys that it can be asked with (none, where it needs none).
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub provider: &'a str,
    pub model: &'a str,
    pub keys: &'a [KeyId],
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
    /// By what it said of its limits, it has nothing left until then, but has refused nothing: it is asked after all others.
    Spent {
        until: Instant,
    },
    /// It refused further requests until then, with every key.
    Limited {
        until: Instant,
    },
    /// It failed too often.
    Open {
        until: Instant,
    },
}

/// What has been learned.
#[derive(Debug)]
pub struct Health {}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Requests,
    Tokens,
    InputTokens,
    OutputTokens,
}

/// What a provider's headers tell of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldLimit {
    pub counted: Counted,
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    /// Until it is full again.
    pub reset: Option<Duration>,
}

/// Why it is not asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Limited { until: Instant },
    Open { until: Instant },
}

/// Leave to ask once. Dropped without a word (the caller left), it counts for nothing, and a probe's place is free again.
#[derive(Debug)]
pub struct Pass {
    /// Place of the key to use in `Subject::keys`.
    pub key: Option<usize>,
}

impl Health {
    pub fn new(_retry_budget: f64) -> Self {
        Self {}
    }

    /// From now on.
    pub fn set_breaker(&self, _policy: BreakerPolicy) {}

    pub fn standing(&self, _subject: Subject<'_>, _now: Instant) -> Standing {
        Standing { availability: Availability::Ready, is_slow: false, latency: None }
    }

    /// # Errors
    /// When it is to be left alone.
    pub fn admit(&self, subject: Subject<'_>, _now: Instant) -> Result<Pass, Refusal> {
        Ok(Pass { key: (!subject.keys.is_empty()).then_some(0) })
    }

    pub fn wants_limits(&self, _subject: Subject<'_>, _key: Option<usize>, _now: Instant) -> bool {
        false
    }

    pub fn limits(&self, _subject: Subject<'_>, _key: Option<usize>, _limits: &[ToldLimit], _now: Instant) {}

    /// An answer that had begun broke off: counts as a failure.
    pub fn broke_off(&self, _provider: &str, _model: &str, _kind: ErrorKind, _now: Instant) {}

    /// Takes a retry (or a hedge) out of the provider's budget, if there is one left.
    pub fn may_retry(&self, _provider: &str, _now: Instant) -> bool {
        true
    }
}

impl Pass {
    /// It began to answer after this time.
    pub fn succeeded(self, _first_byte: Duration, _now: Instant) {}

    /// It failed, and asked (or was known) to be left alone for a time.
    pub fn failed(self, _kind: ErrorKind, _leave_alone: Option<Duration>, _now: Instant) {}
}
