//! What is counted for Prometheus, by the recorder of this process.
//!
//! Owns: names, labels and meaning of what happens and is counted. Not here: when that is (`settle` and others), what is a state and read when it is asked for (`scrape`).
//!
//! Labels are bounded: a route is a pattern, a provider is configured, and a model that its adapter does not list, which is a caller's text, is `other`.

use ::metrics::{counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const REQUESTS: &str = "llm_gateway_requests_total";
const ATTEMPTS: &str = "llm_gateway_attempts_total";
const ATTEMPT_DURATION: &str = "llm_gateway_attempt_duration_seconds";
const FIRST_BYTE: &str = "llm_gateway_first_byte_seconds";
const RETRIES: &str = "llm_gateway_retries_total";
const FALLBACKS: &str = "llm_gateway_fallbacks_total";
const HEDGES: &str = "llm_gateway_hedges_total";
const REFUSED: &str = "llm_gateway_refused_total";
const CONFIG_RELOADS: &str = "llm_gateway_config_reloads_total";
const PLUGIN_FAULTS: &str = "llm_gateway_plugin_faults_total";

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
    describe_counter!(RETRIES, "Upstream calls that tried the same model again.");
    describe_counter!(FALLBACKS, "Upstream calls that went elsewhere after this provider's model had failed.");
    describe_counter!(HEDGES, "Upstream calls that were made beside one that was slow to answer.");
    describe_counter!(REFUSED, "Requests that the gateway had no room for.");
    describe_counter!(CONFIG_RELOADS, "Changes of the configuration file, applied or refused.");
    describe_counter!(PLUGIN_FAULTS, "Calls of a plugin that failed by its own fault.");
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
