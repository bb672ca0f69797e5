//! What is counted for Prometheus, by the recorder of this process.
//!
//! Owns: names, labels and meaning of what happens and is counted. Not here: when that is (`settle` and others), what is a state and read when it is asked for (`scrape`).
//!
//! Labels are bounded: a route is a pattern, a provider is configured, and a model that its adapter does not list, which is a caller's text, is `other`.

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const REQUESTS: &str = "llm_gateway_requests_total";
const ATTEMPTS: &str = "llm_gateway_attempts_total";
const ATTEMPT_DURATION: &str = "llm_gateway_attempt_duration_seconds";
const FIRST_BYTE: &str = "llm_gateway_first_byte_seconds";
const TOKENS: &str = "llm_gateway_tokens_total";
const COST: &str = "llm_gateway_cost_usd_total";
const UNPRICED: &str = "llm_gateway_unpriced_attempts_total";
const RETRIES: &str = "llm_gateway_retries_total";
const FALLBACKS: &str = "llm_gateway_fallbacks_total";
const HEDGES: &str = "llm_gateway_hedges_total";
const REFUSED: &str = "llm_gateway_refused_total";
const CACHE_REQUESTS: &str = "llm_gateway_cache_requests_total";
const CONFIG_RELOADS: &str = "llm_gateway_config_reloads_total";
const SETTLEMENTS_LOST: &str = "llm_gateway_quota_settlements_lost_total";
const PLUGIN_FAULTS: &str = "llm_gateway_plugin_faults_total";
const LEDGER_WRITTEN: &str = "llm_gateway_ledger_written_total";
const LEDGER_LOST: &str = "llm_gateway_ledger_lost_total";
const LEDGER_WRITE_ERRORS: &str = "llm_gateway_ledger_write_errors_total";

/// Of all histograms, in seconds: from a cache's answer to a model that thinks for long.
const BUCKETS: [f64; 14] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// What was measured is kept one by one until then.
const SUMMED_EVERY: Duration = Duration::from_secs(5);
/// In place of a model that no adapter lists.
pub const OTHER: &str = "other";

/// How a reload of the configuration went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    Applied,
    Refused,
}

/// Counts a request that is over. `status`: what the caller was sent.
pub fn request(route: &'static str, status: u16) {
    counter!(REQUESTS, "route" => route, "status" => status.to_string()).increment(1);
}

/// An attempt that is over, as it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Attempted<'a> {
    pub provider: &'a str,
    /// Absent: its adapter does not list it.
    pub model: Option<&'a str>,
    /// `ok`, or the kind of error.
    pub outcome: &'static str,
    pub duration: Duration,
    /// Until it began to answer, if it did.
    pub first_byte: Option<Duration>,
}

pub fn attempt(it: &Attempted<'_>) {
    let provider = || it.provider.to_owned();
    let model = || it.model.unwrap_or(OTHER).to_owned();
    counter!(ATTEMPTS, "provider" => provider(), "model" => model(), "outcome" => it.outcome).increment(1);
    histogram!(ATTEMPT_DURATION, "provider" => provider(), "model" => model()).record(it.duration);
    if let Some(first_byte) = it.first_byte {
        histogram!(FIRST_BYTE, "provider" => provider(), "model" => model()).record(first_byte);
    }
}

/// What an attempt used.
#[derive(Debug, Clone, Copy)]
pub struct Used<'a> {
    pub provider: &'a str,
    /// Absent: its adapter does not list it.
    pub model: Option<&'a str>,
    /// By kind. Absent: nobody said.
    pub tokens: [(&'static str, Option<u64>); 5],
    /// In US dollars. Absent: it has no known price.
    pub cost: Option<f64>,
}

pub fn used(it: &Used<'_>) {
    let provider = || it.provider.to_owned();
    let model = || it.model.unwrap_or(OTHER).to_owned();
    for (kind, count) in it.tokens {
        if let Some(count) = count.filter(|count| *count > 0) {
            counter!(TOKENS, "provider" => provider(), "model" => model(), "kind" => kind).increment(count);
        }
    }
    match it.cost {
        Some(cost) => gauge!(COST, "provider" => provider(), "model" => model()).increment(cost),
        None => counter!(UNPRICED, "provider" => provider(), "model" => model()).increment(1),
    }
}

/// Counts an attempt that was a retry.
pub fn retry(provider: &str) {
    counter!(RETRIES, "provider" => provider.to_owned()).increment(1);
}

/// Counts an attempt that was made because this provider's model had failed.
pub fn fallback(from: &str) {
    counter!(FALLBACKS, "provider" => from.to_owned()).increment(1);
}

/// Counts an attempt that was made beside one that was slow.
pub fn hedge(provider: &str) {
    counter!(HEDGES, "provider" => provider.to_owned()).increment(1);
}

/// Counts a request that the gateway had no room for.
pub fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// What the cache had for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    Hit,
    Miss,
    /// It was not asked.
    Off,
    /// The answer to an equal request that was under way.
    Shared,
}

pub fn cache_request(outcome: CacheOutcome) {
    let outcome = match outcome {
        CacheOutcome::Hit => "hit",
        CacheOutcome::Miss => "miss",
        CacheOutcome::Off => "off",
        CacheOutcome::Shared => "shared",
    };
    counter!(CACHE_REQUESTS, "outcome" => outcome).increment(1);
}

pub fn config_reload(outcome: Reload) {
    let outcome = match outcome {
        Reload::Applied => "applied",
        Reload::Refused => "refused",
    };
    counter!(CONFIG_RELOADS, "outcome" => outcome).increment(1);
}

/// Counts a call of a plugin that failed by its own fault.
pub fn plugin_fault(plugin: &str) {
    counter!(PLUGIN_FAULTS, "plugin" => plugin.to_owned()).increment(1);
}

/// Counts requests that came into the ledger's database.
pub fn ledger_written(requests: u64) {
    counter!(LEDGER_WRITTEN).increment(requests);
}

/// Counts requests that are not in the ledger, and will not be.
pub fn ledger_lost(requests: u64) {
    counter!(LEDGER_LOST).increment(requests);
}

/// Counts a batch that the ledger's database did not take; it is tried again.
pub fn ledger_write_error() {
    counter!(LEDGER_WRITE_ERRORS).increment(1);
}

/// Counts a settlement, or the end of a request, that Redis will not be told of, because too many wait for it.
pub fn settlement_lost() {
    counter!(SETTLEMENTS_LOST).increment(1);
}

/// Records what is counted in this process until it is to stop: what comes before is not counted.
pub async fn record(stop: CancellationToken) {
    let recorded = recorded();
    let mut ticks = tokio::time::interval(SUMMED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        recorded.run_upkeep();
    }
}

/// What is counted in this process.
pub fn recorded() -> &'static PrometheusHandle {
    static RECORDED: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let recorder = recorder();
        let handle = recorder.handle();
        // Refused only where there is one already, and nobody else sets one.
        let _ = ::metrics::set_global_recorder(recorder);
        handle
    })
}

fn recorder() -> PrometheusRecorder {
    // Refused only where there is no bucket.
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    ::metrics::with_local_recorder(&recorder, describe);
    recorder
}

fn describe() {
    describe_counter!(REQUESTS, "Requests that are over, by what the caller was sent; 499: the caller left.");
    describe_counter!(ATTEMPTS, "Upstream calls that are over; outcome: ok, or the kind of error.");
    describe_histogram!(ATTEMPT_DURATION, "Upstream calls from their beginning to the last byte.");
    describe_histogram!(FIRST_BYTE, "Upstream calls from sending to the head of the answer.");
    describe_counter!(TOKENS, "Tokens by kind; cache_read and cache_write are part of input, reasoning of output.");
    describe_gauge!(COST, "What attempts cost, in US dollars. Only grows.");
    describe_counter!(UNPRICED, "Attempts of which nobody knows what they cost.");
    describe_counter!(RETRIES, "Upstream calls that tried the same model again.");
    describe_counter!(FALLBACKS, "Upstream calls that went elsewhere after this provider's model had failed.");
    describe_counter!(HEDGES, "Upstream calls that were made beside one that was slow to answer.");
    describe_counter!(REFUSED, "Requests that the gateway had no room for.");
    describe_counter!(CACHE_REQUESTS, "Requests by what the cache had; shared: the answer to an equal request that was under way.");
    describe_counter!(CONFIG_RELOADS, "Changes of the configuration file, applied or refused.");
    describe_counter!(SETTLEMENTS_LOST, "Settlements and ends of requests that Redis was not told of, because too many waited for it.");
    describe_counter!(PLUGIN_FAULTS, "Calls of a plugin that failed by its own fault.");
    describe_counter!(LEDGER_WRITTEN, "Requests that came into the ledger's database.");
    describe_counter!(
        LEDGER_LOST,
        "Requests that are not in the ledger and will not be: the disk was full or failed, or the journal was damaged."
    );
    describe_counter!(LEDGER_WRITE_ERRORS, "Batches that the ledger's database did not take; each is tried again.");
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;

    /// What is counted meanwhile, by series.
    pub(crate) fn counted(act: impl FnOnce()) -> BTreeMap<String, f64> {
        let recorder = recorder();
        ::metrics::with_local_recorder(&recorder, act);
        parsed(&recorder.handle().render())
    }

    /// A text that Prometheus reads, by series.
    pub(crate) fn parsed(text: &str) -> BTreeMap<String, f64> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
    }
}
