//! What the gateway says of itself: whether it lives, whether it can answer, which providers it has and how they do.

use crate::config::LedgerMode;
use crate::health::Report;
use crate::provider::{Provider, State};
use crate::scrape;
use crate::state::App;
use axum::Json;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::time::Instant;

pub(super) async fn status(Shared(app): Shared<Arc<App>>) -> Response {
    let snapshot = app.gateway.providers.load();
    let reports = app.gateway.driver.health.report(Instant::now());
    let providers: Map<String, Value> =
        snapshot.providers.iter().map(|provider| (provider.id.clone(), provider_status(provider, &reports))).collect();
    let available = snapshot.providers.iter().any(|provider| provider.ready().is_some());
    Json(json!({
        "status": if available { "ok" } else { "unavailable" },
        "version": env!("CARGO_PKG_VERSION"),
        "demo": app.demo,
        "providers": providers,
    }))
    .into_response()
}

fn provider_status(provider: &Provider, reports: &[Report]) -> Value {
    let reason = match &provider.state {
        State::Ready(_) => None,
        State::Unavailable { reason, .. } => Some(reason),
    };
    let models: Vec<&str> = provider.models().iter().map(|model| model.id.as_str()).collect();
    json!({
        "available": reason.is_none(),
        "reason": reason,
        "simulated": provider.ready().is_some_and(|ready| ready.simulated),
        "name": provider.version().map(|version| version.info.name.as_str()),
        "plugin_version": provider.version().map(|version| version.info.version.as_str()),
        "models": models,
        "default_model": provider.default_model(None),
        "health": health_of(provider, reports),
    })
}

/// Of the models that were asked lately. Here anybody may look, so what is told of keys, and names that callers made up, are left to `/admin/health`.
fn health_of(provider: &Provider, reports: &[Report]) -> Vec<Value> {
    let own = reports.iter().filter(|report| report.provider == provider.id && provider.model(&report.model).is_some());
    let told = own.map(|report| {
        json!({
            "model": report.model,
            "breaker": report.breaker,
            "open_for_ms": report.open_for_ms,
            "attempts": report.attempts,
            "failures": report.failures,
            "latency_ms": report.latency_ms,
            "is_slow": report.is_slow,
        })
    });
    told.collect()
}

/// For Prometheus, in its text format.
pub(super) async fn metrics(Shared(app): Shared<Arc<App>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], scrape::render(&app)).into_response()
}

pub(super) async fn health(Shared(app): Shared<Arc<App>>) -> Response {
    let uptime = Timestamp::now().duration_since(app.started_at).as_secs();
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "uptime_seconds": uptime, "demo": app.demo})).into_response()
}

pub(super) async fn readyz(Shared(app): Shared<Arc<App>>) -> Response {
    if app.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    if app.gateway.providers.load().providers.iter().all(|provider| provider.ready().is_none()) {
        return (StatusCode::SERVICE_UNAVAILABLE, "no provider is available; GET /api/status says why").into_response();
    }
    let is_required = app.gateway.providers.load().rules.ledger == LedgerMode::Required;
    if is_required && app.gateway.books.ledger.is_writable().is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the ledger can't be written, and gateway.toml requires it; the log says why")
            .into_response();
    }
    "ready".into_response()
}
