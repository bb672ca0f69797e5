//! What has been learned, for operators: as it is told by `/admin/health`, `/api/status` and the metrics.

use super::breaker::Phase;
use super::limits::{Counted, Figure, Key};
use super::{ModelHealth, ProviderHealth, locked};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// A model of a provider that was asked within the last hour. Times in milliseconds, from now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub provider: String,
    pub model: String,
    pub breaker: BreakerState,
    /// Until a probe is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_for_ms: Option<u64>,
    /// In the breaker's window, failures included.
    pub attempts: u32,
    pub failures: u32,
    /// Average time to the first byte, if it is known.
    pub latency_ms: Option<u64>,
    pub is_slow: bool,
    /// In the order of the configuration; one where none is needed.
    pub keys: Vec<KeyReport>,
    /// What is left of the provider's retry budget, which its models share.
    pub retries_left: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    Closed,
    /// One request finds out, or is to.
    HalfOpen,
    Open,
}

/// What is known of a key. The key itself is not told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyReport {
    /// Its place, from 1.
    pub number: usize,
    /// It was refused, and is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_for_ms: Option<u64>,
    /// It has nothing left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent_for_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Left>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Left>,
}

/// What the provider last told of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Left {
    pub remaining: Option<u64>,
    pub limit: Option<u64>,
}

impl Report {
    pub(super) fn of(provider: &ProviderHealth, model: &ModelHealth, now: Instant) -> Self {
        let retries_left = locked(&provider.state).budget.left(now);
        let mut state = locked(&model.state);
        let phase = state.breaker.phase(now);
        let (attempts, failures) = state.breaker.counts(now);
        Self {
            provider: provider.id.clone(),
            model: model.id.clone(),
            breaker: BreakerState::from(phase),
            open_for_ms: if let Phase::Open { until } = phase { Some(milliseconds_until(until, now)) } else { None },
            attempts,
            failures,
            latency_ms: state.latency.iter().find_map(|latency| latency.average(now)).map(milliseconds),
            is_slow: state.latency.iter().any(|latency| latency.is_slow(now)),
            keys: state.keys.iter().enumerate().map(|(place, key)| KeyReport::of(place + 1, key, now)).collect(),
            retries_left,
        }
    }
}

impl From<Phase> for BreakerState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Closed => Self::Closed,
            Phase::ProbeDue | Phase::Probing { .. } => Self::HalfOpen,
            Phase::Open { .. } => Self::Open,
        }
    }
}

impl KeyReport {
    fn of(number: usize, key: &Key, now: Instant) -> Self {
        Self {
            number,
            limited_for_ms: key.limited_until(now).map(|until| milliseconds_until(until, now)),
            spent_for_ms: key.spent_until(now).map(|until| milliseconds_until(until, now)),
            requests: key.figure(Counted::Requests, now).map(Left::from),
            tokens: key.figure(Counted::Tokens, now).or(key.figure(Counted::InputTokens, now)).map(Left::from),
        }
    }
}

impl From<Figure> for Left {
    fn from(figure: Figure) -> Self {
        Self { remaining: figure.remaining, limit: figure.limit }
    }
}

fn milliseconds_until(until: Instant, now: Instant) -> u64 {
    milliseconds(until.saturating_duration_since(now))
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
