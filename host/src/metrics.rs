//! What is counted for Prometheus, and the text of a scrape.
//!
//! Owns: names, labels and meaning of all metrics. Not here: when a request or an attempt is counted (`settle`), how a model stands (`health`).
//!
//! What happens is counted by the recorder of this process; what is a state is read when it is asked for, so that nothing stale is told. Labels are bounded: a route is a pattern, a provider
//! is configured, and a model that its adapter does not list, which is a caller's text, is `other`.

use crate::admission::Admission;
use crate::attempt::{Attempt, Why};
use crate::health::{BreakerState, Report};
use crate::provider::Snapshot;
use crate::state::App;
use ::metrics::{counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
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

const BREAKER_STATE: &str = "llm_gateway_breaker_state";
const REQUESTS_IN_FLIGHT: &str = "llm_gateway_requests_in_flight";
const ATTEMPTS_IN_FLIGHT: &str = "llm_gateway_attempts_in_flight";
const QUEUE_LENGTH: &str = "llm_gateway_queue_length";
const BODY_BYTES: &str = "llm_gateway_body_bytes";

/// Of all histograms, in seconds: from a cache's answer to a model that thinks for long.
const BUCKETS: [f64; 14] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// What was measured is kept one by one until then.
const SUMMED_EVERY: Duration = Duration::from_secs(5);
/// In place of a model that no adapter lists.
const OTHER: &str = "other";

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

/// Counts an attempt that is over. `before`: the same request's attempt before it.
pub fn attempt(attempt: &Attempt, before: Option<&Attempt>) {
    let provider = || attempt.provider.clone();
    let model = || if attempt.is_listed { attempt.model.clone() } else { OTHER.to_owned() };
    let outcome = attempt.error.as_ref().map_or("ok", |(kind, _)| kind.as_str());
    counter!(ATTEMPTS, "provider" => provider(), "model" => model(), "outcome" => outcome).increment(1);
    histogram!(ATTEMPT_DURATION, "provider" => provider(), "model" => model()).record(attempt.duration);
    if let Some(first_byte) = attempt.first_byte {
        histogram!(FIRST_BYTE, "provider" => provider(), "model" => model()).record(first_byte);
    }
    match (attempt.why, before) {
        (Why::Retry | Why::OtherKey, _) => counter!(RETRIES, "provider" => provider()).increment(1),
        (Why::Fallback, Some(before)) => counter!(FALLBACKS, "provider" => before.provider.clone()).increment(1),
        (Why::Hedge, _) => counter!(HEDGES, "provider" => provider()).increment(1),
        (Why::First | Why::Fallback, _) => {}
    }
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

/// The text of a scrape.
pub fn render(app: &App) -> String {
    let mut text = recorded().render();
    write_in_flight(&mut text, &app.admission);
    write_breakers(&mut text, &app.gateway.providers.load(), &app.gateway.driver.health.report(Instant::now()));
    text
}

fn recorded() -> &'static PrometheusHandle {
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

/// What is under way.
fn write_in_flight(text: &mut String, admission: &Admission) {
    write_gauge(text, REQUESTS_IN_FLIGHT, "Requests under way.", [(String::new(), admission.requests())]);
    write_gauge(text, ATTEMPTS_IN_FLIGHT, "Upstream calls under way, streams included.", [(String::new(), admission.attempts())]);
    write_gauge(text, QUEUE_LENGTH, "Attempts that wait for their turn.", [(String::new(), admission.waiting())]);
    write_gauge(text, BODY_BYTES, "Bytes of the bodies of all requests under way.", [(String::new(), admission.body_bytes())]);
}

/// Of several models that are `other`, the worst counts.
fn write_breakers(text: &mut String, snapshot: &Snapshot, reports: &[Report]) {
    let mut states: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for report in reports {
        let is_listed = snapshot.provider(&report.provider).is_some_and(|provider| provider.model(&report.model).is_some());
        let model = if is_listed { report.model.as_str() } else { OTHER };
        let worst = states.entry((&report.provider, model)).or_default();
        *worst = (*worst).max(breaker_number(report.breaker));
    }
    let series = states.into_iter().map(|((provider, model), state)| {
        let labels = format!("{{provider=\"{}\",model=\"{}\"}}", escaped(provider), escaped(model));
        (labels, state)
    });
    write_gauge(text, BREAKER_STATE, "Circuit breakers: 0 closed, 1 half-open, 2 open.", series);
}

fn breaker_number(state: BreakerState) -> usize {
    match state {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
    }
}

/// `series`: labels as they are written, and the value.
fn write_gauge(text: &mut String, name: &str, help: &str, series: impl IntoIterator<Item = (String, usize)>) {
    // A String takes everything.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in series {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

/// An adapter may name its models as it likes.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::attempt::Observer;
    use crate::config::AdmissionConfig;
    use crate::domain::{CallContext, ErrorKind, RequestId};
    use crate::settle::{Account, Ending};

    /// What is counted meanwhile, by series.
    fn scraped(act: impl FnOnce()) -> BTreeMap<String, f64> {
        let recorder = recorder();
        ::metrics::with_local_recorder(&recorder, act);
        parsed(&recorder.handle().render())
    }

    fn parsed(text: &str) -> BTreeMap<String, f64> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
    }

    fn account() -> Account {
        let id = RequestId::generate();
        Account::open(CallContext { id, route: "/api/query", started: std::time::Instant::now(), deadline: None, session: None })
    }

    fn attempted(provider: &str, model: &str, error: Option<ErrorKind>) -> Attempt {
        Attempt {
            provider: provider.to_owned(),
            model: model.to_owned(),
            is_listed: !model.starts_with("made-up"),
            plugin_version: String::new(),
            simulated: false,
            status: None,
            error: error.map(|kind| (kind, String::new())),
            duration: Duration::from_millis(1500),
            waited: Duration::from_millis(200),
            first_byte: error.is_none().then_some(Duration::from_millis(200)),
            elsewhere: Duration::ZERO,
            is_streaming: false,
            backoff: Duration::ZERO,
            why: Why::First,
            key: None,
            limits_reset: None,
            provider_request_id: None,
        }
    }

    fn make(account: &mut Account, attempt: Attempt) {
        account.began(&attempt);
        account.ended(attempt);
    }

    #[test]
    fn a_request_is_counted_with_its_attempts() {
        let series = scraped(|| {
            let mut account = account();
            make(&mut account, attempted("openai", "gpt", Some(ErrorKind::Overloaded)));
            make(&mut account, Attempt { why: Why::Retry, ..attempted("openai", "gpt", Some(ErrorKind::Overloaded)) });
            make(&mut account, Attempt { why: Why::Fallback, ..attempted("claude", "opus", None) });
            account.close(Ending { status: 200, error: None });
        });
        for (name, value) in [
            (r#"llm_gateway_requests_total{route="/api/query",status="200"}"#, 1.0),
            (r#"llm_gateway_attempts_total{provider="openai",model="gpt",outcome="overloaded"}"#, 2.0),
            (r#"llm_gateway_attempts_total{provider="claude",model="opus",outcome="ok"}"#, 1.0),
            (r#"llm_gateway_retries_total{provider="openai"}"#, 1.0),
            (r#"llm_gateway_fallbacks_total{provider="openai"}"#, 1.0),
            (r#"llm_gateway_attempt_duration_seconds_count{provider="openai",model="gpt"}"#, 2.0),
            (r#"llm_gateway_attempt_duration_seconds_bucket{provider="openai",model="gpt",le="1"}"#, 0.0),
            (r#"llm_gateway_attempt_duration_seconds_bucket{provider="openai",model="gpt",le="2.5"}"#, 2.0),
            (r#"llm_gateway_first_byte_seconds_sum{provider="claude",model="opus"}"#, 0.2),
        ] {
            assert_eq!(series.get(name), Some(&value), "{name} in {series:#?}");
        }
        assert!(!series.contains_key(r#"llm_gateway_first_byte_seconds_count{provider="openai",model="gpt"}"#));
    }

    #[test]
    fn who_leaves_is_counted_once() {
        let series = scraped(|| {
            let mut account = account();
            account.began(&attempted("openai", "gpt", None));
            drop(account);
        });
        assert_eq!(series[r#"llm_gateway_requests_total{route="/api/query",status="499"}"#], 1.0);
        assert_eq!(series[r#"llm_gateway_attempts_total{provider="openai",model="gpt",outcome="cancelled"}"#], 1.0);
    }

    #[test]
    fn models_that_callers_made_up_are_one() {
        let series = scraped(|| {
            for i in 0..100 {
                attempt(&attempted("openai", &format!("made-up-{i}"), None), None);
            }
        });
        assert_eq!(series[r#"llm_gateway_attempts_total{provider="openai",model="other",outcome="ok"}"#], 100.0);
    }

    #[test]
    fn states_are_told_as_they_are_now() {
        let report = |model: &str, breaker| Report {
            provider: "o\"1".into(),
            model: model.into(),
            breaker,
            open_for_ms: None,
            attempts: 0,
            failures: 0,
            latency_ms: None,
            is_slow: false,
            keys: Vec::new(),
            retries_left: 0,
        };
        let reports = [report("made-up-1", BreakerState::Open), report("made-up-2", BreakerState::Closed)];
        let mut text = String::new();
        write_breakers(&mut text, &Snapshot::default(), &reports);
        let config = AdmissionConfig { max_concurrency: 2, max_queue: 2, queue_timeout: Duration::from_secs(1), body_memory: 1000 };
        let admission = Admission::new(config);
        let _place = admission.enter(admission.room()).unwrap();
        let _turns = [admission.try_turn().unwrap(), admission.try_turn().unwrap()];
        write_in_flight(&mut text, &admission);
        let series = parsed(&text);
        assert_eq!(series[r#"llm_gateway_breaker_state{provider="o\"1",model="other"}"#], 2.0);
        let in_flight = [REQUESTS_IN_FLIGHT, ATTEMPTS_IN_FLIGHT, QUEUE_LENGTH].map(|name| series[name]);
        assert_eq!(in_flight, [1.0, 2.0, 0.0]);
    }
}
