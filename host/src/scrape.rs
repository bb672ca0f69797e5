//! The text of a scrape by Prometheus: what was counted (`metrics`), and how things stand now.
//!
//! Owns: names and meaning of the states. A state is read when it is asked for, so that nothing stale is told.

use crate::admission::Admission;
use crate::health::{BreakerState, Report};
use crate::metrics::{OTHER, recorded};
use crate::provider::Snapshot;
use crate::state::App;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tokio::time::Instant;

const BREAKER_STATE: &str = "llm_gateway_breaker_state";
const MODEL_SLOW: &str = "llm_gateway_model_slow";
const REQUESTS_IN_FLIGHT: &str = "llm_gateway_requests_in_flight";
const ATTEMPTS_IN_FLIGHT: &str = "llm_gateway_attempts_in_flight";
const QUEUE_LENGTH: &str = "llm_gateway_queue_length";
const BODY_BYTES: &str = "llm_gateway_body_bytes";
const LEDGER_PENDING: &str = "llm_gateway_ledger_pending_bytes";
const QUOTA_UNSENT: &str = "llm_gateway_quota_unsent";
const CACHE_ENTRIES: &str = "llm_gateway_cache_entries";
const CACHE_BYTES: &str = "llm_gateway_cache_bytes";
const CACHE_SAVED: &str = "llm_gateway_cache_saved_usd_total";
const GATEWAY_KEYS: &str = "llm_gateway_keys";

/// The text of a scrape.
pub fn render(app: &App) -> String {
    let mut text = recorded().render();
    write_in_flight(&mut text, &app.admission);
    write_kept(&mut text, app);
    write_health(&mut text, &app.gateway.providers.load(), &app.gateway.driver.health.report(Instant::now()));
    text
}

/// What is under way.
fn write_in_flight(text: &mut String, admission: &Admission) {
    write_gauge(text, REQUESTS_IN_FLIGHT, "Requests under way.", [(String::new(), admission.requests())]);
    write_gauge(text, ATTEMPTS_IN_FLIGHT, "Upstream calls under way, streams included.", [(String::new(), admission.attempts())]);
    write_gauge(text, QUEUE_LENGTH, "Attempts that wait for their turn.", [(String::new(), admission.waiting())]);
    write_gauge(text, BODY_BYTES, "Bytes of the bodies of all requests under way.", [(String::new(), admission.body_bytes())]);
}

/// What waits to be written down, and what is kept.
fn write_kept(text: &mut String, app: &App) {
    let books = &app.gateway.books;
    let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    write_gauge(text, LEDGER_PENDING, "Bytes of rows that wait for the database.", [(String::new(), whole(books.ledger.pending_bytes()))]);
    write_gauge(text, QUOTA_UNSENT, "Settlements and ends of requests that wait for Redis.", [(String::new(), books.quota.unsent())]);
    write_gauge(text, CACHE_ENTRIES, "Answers in this process's cache.", [(String::new(), whole(app.gateway.cache.entries()))]);
    write_gauge(text, CACHE_BYTES, "Bytes of them.", [(String::new(), whole(app.gateway.cache.bytes()))]);
    if let Some(keys) = app.access.usable_keys() {
        write_gauge(text, GATEWAY_KEYS, "Gateway keys that are neither revoked nor expired.", [(String::new(), keys)]);
    }
    let saved = app.gateway.cache.saved();
    // A String takes everything.
    let _ = writeln!(
        text,
        "# HELP {CACHE_SAVED} What answers from the cache had cost, in US dollars.\n# TYPE {CACHE_SAVED} counter\n{CACHE_SAVED} {saved}"
    );
}

/// Of several models that are `other`, the worst counts.
fn write_health(text: &mut String, snapshot: &Snapshot, reports: &[Report]) {
    let mut states: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for report in reports {
        let is_listed = snapshot.provider(&report.provider).is_some_and(|provider| provider.model(&report.model).is_some());
        let model = if is_listed { report.model.as_str() } else { OTHER };
        let (breaker, slow) = states.entry((&report.provider, model)).or_default();
        *breaker = (*breaker).max(breaker_number(report.breaker));
        *slow = (*slow).max(usize::from(report.is_slow));
    }
    let labelled = |((provider, model), state): (&(&str, &str), usize)| {
        (format!("{{provider=\"{}\",model=\"{}\"}}", escaped(provider), escaped(model)), state)
    };
    let breakers = states.iter().map(|(of, (breaker, _))| labelled((of, *breaker)));
    write_gauge(text, BREAKER_STATE, "Circuit breakers: 0 closed, 1 half-open, 2 open.", breakers);
    let slow = states.iter().map(|(of, (_, slow))| labelled((of, *slow)));
    write_gauge(text, MODEL_SLOW, "Whether a model is far slower than usual, and asked after others.", slow);
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
    use crate::config::AdmissionConfig;
    use crate::metrics::tests::parsed;
    use std::time::Duration;

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
        write_health(&mut text, &Snapshot::default(), &reports);
        let config = AdmissionConfig { max_concurrency: 2, max_queue: 2, queue_timeout: Duration::from_secs(1), body_memory: 1000 };
        let admission = Admission::new(config);
        let _place = admission.enter(admission.room()).unwrap();
        let _turns = [admission.try_turn().unwrap(), admission.try_turn().unwrap()];
        write_in_flight(&mut text, &admission);
        let series = parsed(&text);
        assert_eq!(series[r#"llm_gateway_breaker_state{provider="o\"1",model="other"}"#], 2.0);
        assert_eq!(series[r#"llm_gateway_model_slow{provider="o\"1",model="other"}"#], 0.0);
        let in_flight = [REQUESTS_IN_FLIGHT, ATTEMPTS_IN_FLIGHT, QUEUE_LENGTH].map(|name| series[name]);
        assert_eq!(in_flight, [1.0, 2.0, 0.0]);
    }
}
