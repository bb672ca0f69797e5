//! What can change while the gateway runs: `gateway.toml`, with what the environment says of providers.
//!
//! Owns: the checked values. Not here: how they are written (`file`), when they are read again (`watch`), what becomes of them (`provider`, `plan`).

use super::{MediaConfig, ProviderConfig, UnsupportedParams};
use crate::price::ModelPrice;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// All rules at one moment, replaced whole.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// By the name that callers use. A provider that is not here gets its settings from its own variables when its plugin is loaded.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// Further names for one `provider/model`.
    pub aliases: BTreeMap<String, String>,
    /// By the name that callers write as `model`.
    pub routes: BTreeMap<String, Route>,
    /// Who is asked when a caller leaves the choice to the gateway, by the task's word (`TaskType::as_str`; `other` where none is named). A task that is not
    /// here has the built-in order.
    pub tasks: BTreeMap<&'static str, Vec<RouteTarget>>,
    /// Where nothing narrower is said.
    pub timeouts: Timeouts,
    /// Time limits of single models, by `provider/model`. None is of a request, which may be tried with several.
    pub models: BTreeMap<String, TimeoutOverrides>,
    /// What single models cost, by `provider/model`, in place of what is known of them elsewhere.
    pub prices: BTreeMap<String, Arc<ModelPrice>>,
    pub unsupported_params: UnsupportedParams,
    /// Absent: the gateway fetches no media.
    pub media: Option<MediaConfig>,
    pub breaker: BreakerPolicy,
    pub cache: CacheRules,
    pub ledger: LedgerMode,
    pub unpriced_models: UnpricedModels,
    /// What an operator should know of them, a line each.
    pub notices: Vec<String>,
}

/// Several models behind one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Never empty, each one once.
    pub targets: Vec<RouteTarget>,
    pub strategy: Strategy,
    /// What keeps to one target, where the caller gives it.
    pub sticky: Option<Sticky>,
    pub timeouts: TimeoutOverrides,
    /// Retries of each target.
    pub max_retries: Option<u32>,
    /// A second target is asked beside the first one when that has not answered by then: of a stream its beginning counts, else the whole answer.
    pub hedge_after: Option<Duration>,
}

/// One place of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTarget {
    pub provider: String,
    /// Absent: the one that the provider's adapter prefers.
    pub model: Option<String>,
    /// At least 1. Only `Strategy::Weighted` and stickiness look at it.
    pub weight: u32,
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{}/{model}", self.provider),
            None => f.write_str(&self.provider),
        }
    }
}

/// In which order a route's targets are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// As they are written.
    #[default]
    Ordered,
    /// By chance, in proportion to their weights.
    Weighted,
    LeastLatency,
    /// By what the request at hand would cost.
    Cheapest,
}

/// What a caller gives by which requests stay together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// The header `x-gateway-session`.
    Session,
    /// The request's own `user`.
    User,
    /// The conversation's beginning, which a provider's prompt cache goes by too.
    Conversation,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection.
    pub connect: Duration,
    /// From then to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// One attempt, to the last byte of its answer.
    pub total: Duration,
    /// The request, with all of its attempts and the waits between them.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(900),
            request: Duration::from_secs(1800),
        }
    }
}

/// Of these, the ones that are set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeoutOverrides {
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub idle: Option<Duration>,
    pub total: Option<Duration>,
    pub request: Option<Duration>,
}

impl Timeouts {
    /// With what is set in place of its own.
    pub fn with(self, over: &TimeoutOverrides) -> Self {
        Self {
            connect: over.connect.unwrap_or(self.connect),
            first_byte: over.first_byte.unwrap_or(self.first_byte),
            idle: over.idle.unwrap_or(self.idle),
            total: over.total.unwrap_or(self.total),
            request: over.request.unwrap_or(self.request),
        }
    }
}

/// When a model of a provider is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerPolicy {
    /// Over which attempts are counted.
    pub window: Duration,
    /// Attempts in the window below which nothing is concluded.
    pub min_requests: u32,
    /// Share of failures in the window from which on it opens, 0 to 1.
    pub failure_ratio: f64,
    /// Until one request is let through to find out.
    pub open: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), min_requests: 20, failure_ratio: 0.5, open: Duration::from_secs(5) }
    }
}

/// Which answers are kept to be given again, and to whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheRules {
    pub policy: CachePolicy,
    pub scope: CacheScope,
}

/// Whose answers are kept, where the caller says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CachePolicy {
    /// All.
    All,
    /// Those of requests that ask for no chance: with a temperature of 0, or on the query routes without one; and embeddings.
    #[default]
    Deterministic,
    /// None.
    OptIn,
}

/// Who is given what was answered to whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheScope {
    /// Each tenant its own.
    #[default]
    Tenant,
    /// Everybody everything.
    Global,
}

/// What becomes of requests that can't be written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerMode {
    /// They are answered, and it is logged and counted that their rows are lost.
    #[default]
    BestEffort,
    /// They are refused.
    Required,
}

/// What becomes of requests to models without a known price where there is a limit on money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnpricedModels {
    #[default]
    Refuse,
    /// They count as nothing.
    Allow,
}
