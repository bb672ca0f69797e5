//! The configuration for operators: how the file stands, and the rules that count.
//!
//! Shows nothing that came from the environment.

use crate::config::{MediaConfig, Route, RouteTarget, Rules, TimeoutOverrides};
use crate::domain::CallContext;
use crate::edge::ApiError;
use crate::edge::dialect::Dialect;
use crate::price::ModelPrice;
use crate::state::App;
use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn config(State(app): State<Arc<App>>) -> Json<Value> {
    let report = app.config.report();
    let rejection = report.rejection.map(|(at, reason)| json!({"at": at.to_string(), "reason": reason}));
    let mut shown = json!({
        "file": app.config.path().display().to_string(),
        "state": report.state,
        "loaded_at": report.loaded_at.to_string(),
        "rejection": rejection,
    });
    if let Some(shown) = shown.as_object_mut() {
        shown.extend(rules(&report.rules));
    }
    Json(shown)
}

pub(super) async fn reload(State(app): State<Arc<App>>, Extension(context): Extension<CallContext>) -> Response {
    match app.config.reload().await {
        Ok(changed) => Json(json!({ "changed": changed })).into_response(),
        Err(reason) => ApiError::conflict(format!("the configuration was not reloaded: {reason}")).response(Dialect::Query, &context.id),
    }
}

fn rules(rules: &Rules) -> Map<String, Value> {
    let breaker = json!({
        "window_ms": milliseconds(rules.breaker.window),
        "min_requests": rules.breaker.min_requests,
        "failure_ratio": rules.breaker.failure_ratio,
        "open_ms": milliseconds(rules.breaker.open),
    });
    let fields = [
        ("routes", by_name(&rules.routes, route)),
        ("aliases", json!(rules.aliases)),
        ("tasks", by_name(&rules.tasks, |listed| listed.iter().map(RouteTarget::to_string).collect())),
        ("models", by_name(&rules.models, |timeouts| json!({"timeouts": overrides(timeouts)}))),
        ("prices", by_name(&rules.prices, |price| self::price(price))),
        ("breaker", breaker),
        ("unsupported_params", json!(rules.unsupported_params)),
        ("cache", json!({"policy": rules.cache.policy, "scope": rules.cache.scope})),
        ("ledger", json!(rules.ledger)),
        ("unpriced_models", json!(rules.unpriced_models)),
        ("media", rules.media.as_ref().map_or(Value::Null, media)),
        ("notices", json!(rules.notices)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn by_name<K: ToString, T>(all: &BTreeMap<K, T>, show: impl Fn(&T) -> Value) -> Value {
    all.iter().map(|(name, value)| (name.to_string(), show(value))).collect()
}

fn route(route: &Route) -> Value {
    let targets = route.targets.iter().map(|target| json!({"target": target.to_string(), "weight": target.weight}));
    json!({
        "strategy": route.strategy,
        "targets": targets.collect::<Vec<_>>(),
        "sticky": route.sticky,
        "max_retries": route.max_retries,
        "hedge_after_ms": route.hedge_after.map(milliseconds),
        "timeouts": overrides(&route.timeouts),
    })
}

/// Those that are set.
fn overrides(timeouts: &TimeoutOverrides) -> Value {
    let fields = [
        ("connect_ms", timeouts.connect),
        ("first_byte_ms", timeouts.first_byte),
        ("idle_ms", timeouts.idle),
        ("total_ms", timeouts.total),
        ("request_ms", timeouts.request),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(milliseconds(value?))))).collect()
}

/// In US dollars per million tokens, each of them as it counts.
fn price(price: &ModelPrice) -> Value {
    let dollars = |rate: u64| rate as f64 / 1e6;
    let shown = price.all_rates().map(|(above, rates)| {
        json!({
            "above_input_tokens": above,
            "input": dollars(rates.input),
            "output": dollars(rates.output),
            "cache_read": dollars(rates.cache_read),
            "cache_write": dollars(rates.cache_write),
            "cache_write_1h": dollars(rates.cache_write_1h),
        })
    });
    shown.collect()
}

fn media(media: &MediaConfig) -> Value {
    json!({
        "max_bytes": media.max_bytes,
        "timeout_ms": milliseconds(media.timeout),
        "private_addresses": media.private_addresses,
    })
}

/// No setting is longer than a day.
fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
