//! The HTTP face for operators: plugins, the configuration, gateway keys, how providers do, and what happened.
//!
//! Owns: who may use it. With `ADMIN_KEY` set, whoever has it; without, only callers on this machine who came straight here: neither through a proxy nor from a page of
//! another origin in somebody's browser.

mod config;
mod csv;
mod keys;
mod parameters;
mod requests;
mod usage;

use crate::domain::CallContext;
use crate::edge::ApiError;
use crate::edge::dialect::Dialect;
use crate::events::Event;
use crate::plugin::{Action, FileReport, RegistryError, Version};
use crate::server::Peer;
use crate::state::App;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, Request, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt, stream};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// Every route for operators, behind the check of who asks.
pub fn router(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/admin/plugins", get(plugins))
        .route("/admin/plugins/{id}/reload", post(reload))
        .route("/admin/plugins/{id}/rollback", post(rollback))
        .route("/admin/config", get(config::config))
        .route("/admin/config/reload", post(config::reload))
        .route("/admin/events", get(events))
        .route("/admin/health", get(health))
        .route("/admin/health/reset", post(reset_health))
        .merge(keys::router())
        .route("/admin/requests", get(requests::list))
        .route("/admin/requests/export", get(requests::export))
        .route("/admin/requests/{request_id}", get(requests::one))
        .route("/admin/usage", get(usage::usage))
        .layer(from_fn_with_state(Arc::clone(app), authorize))
}

async fn authorize(State(app): State<Arc<App>>, request: Request<Body>, next: Next) -> Response {
    let refusal = match &app.admin_key {
        Some(key) if has_key(request.headers(), key.expose_secret()) => None,
        Some(_) => Some("the admin API needs the key that ADMIN_KEY is set to, as `Authorization: Bearer …`"),
        None if is_direct_and_local(&request) => None,
        None => Some("without ADMIN_KEY the admin API answers only on the gateway's own machine; set ADMIN_KEY to use it from here"),
    };
    let Some(message) = refusal else { return next.run(request).await };
    match request.extensions().get::<CallContext>() {
        Some(context) => ApiError::unauthorized(message).response(Dialect::Query, &context.id),
        None => axum::http::StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn has_key(headers: &HeaderMap, key: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(key.as_bytes())))
}

fn is_direct_and_local(request: &Request<Body>) -> bool {
    let headers = request.headers();
    let from_here = request.extensions().get::<Peer>().is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    let proxied = headers.contains_key("x-forwarded-for") || headers.contains_key(header::FORWARDED);
    let host =
        headers.get(header::HOST).and_then(|value| value.to_str().ok()).or(request.uri().authority().map(|authority| authority.as_str()));
    // A name that was pointed here by somebody's DNS is not this machine's own.
    let addressed = host.is_some_and(is_loopback_name);
    let foreign_page = headers.get(header::ORIGIN).is_some_and(|origin| !origin.to_str().is_ok_and(|origin| same_origin(origin, host)));
    from_here && !proxied && addressed && !foreign_page
}

fn is_loopback_name(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn same_origin(origin: &str, host: Option<&str>) -> bool {
    origin.strip_prefix("http://").or(origin.strip_prefix("https://")) == host
}

async fn plugins(State(app): State<Arc<App>>) -> Json<Value> {
    let plugins: Vec<Value> = app.registry.report().iter().map(plugin).collect();
    Json(json!({ "plugins": plugins }))
}

fn plugin(report: &FileReport) -> Value {
    let active = report.active.as_deref();
    let rejection = report.rejection.as_ref().map(|(at, reason)| json!({"at": at.to_string(), "reason": reason}));
    let stem = report.file.trim_end_matches(".wasm");
    let mut plugin = json!({
        "id": active.map_or(stem, |version| version.info.id.as_str()),
        "file": report.file,
        "state": report.state,
        "earlier_versions": report.earlier_versions,
        "last_rejection": rejection,
    });
    if let (Some(version), Some(plugin)) = (active, plugin.as_object_mut()) {
        plugin.extend(build(version));
    }
    plugin
}

/// What is known of one build.
fn build(version: &Version) -> serde_json::Map<String, Value> {
    let fields = [
        ("name", json!(version.info.name)),
        ("version", json!(version.info.version)),
        ("contract_version", json!(version.contract_version)),
        ("interfaces", json!(version.interfaces)),
        ("sha256", json!(version.sha256)),
        ("size_bytes", json!(version.size_bytes)),
        ("compile_ms", json!((version.compile_time.as_secs_f64() * 1e4).round() / 10.0)),
        ("loaded_at", json!(version.loaded_at.to_string())),
        ("in_flight", json!(version.in_flight())),
        ("traps", json!(version.traps())),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `{"health": […]}`, one [`Report`](crate::health::Report) for each model that was asked lately.
async fn health(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "health": app.gateway.driver.health.report(Instant::now()) }))
}

/// Closes every breaker and drops every limit.
async fn reset_health(State(app): State<Arc<App>>) -> Json<Value> {
    app.gateway.driver.health.forget();
    tracing::info!("what was learned of the providers' health is forgotten");
    Json(json!({ "reset": true }))
}

async fn reload(State(app): State<Arc<App>>, Extension(context): Extension<CallContext>, Path(id): Path<String>) -> Response {
    match app.registry.reload(&id).await {
        Ok(action) => Json(json!({"id": id, "changed": action == Action::Changed})).into_response(),
        Err(error) => refuse(&error, &context),
    }
}

async fn rollback(State(app): State<Arc<App>>, Extension(context): Extension<CallContext>, Path(id): Path<String>) -> Response {
    match app.registry.rollback(&id) {
        Ok(version) => Json(json!({"id": id, "version": version.info.version, "sha256": version.sha256})).into_response(),
        Err(error) => refuse(&error, &context),
    }
}

fn refuse(error: &RegistryError, context: &CallContext) -> Response {
    let message = error.to_string();
    let error = match error {
        RegistryError::Unknown(_) => ApiError::no_such_plugin(message),
        RegistryError::NothingEarlier(_) | RegistryError::Rejected { .. } | RegistryError::Folder { .. } => ApiError::conflict(message),
    };
    error.response(Dialect::Query, &context.id)
}

#[derive(Debug, Deserialize)]
struct EventsQuery {
    /// Id of the last event that is known.
    after: Option<u64>,
}

/// What is kept of the past, then what comes. `Last-Event-ID` (which a browser sends when it reconnects) or `after` leave out what is known.
async fn events(
    State(app): State<Arc<App>>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok()).or(query.after).unwrap_or(0);
    let (past, live) = app.registry.events().since(seen);
    // A stop of the gateway need not wait for who only listens.
    let events = stream::iter(past).chain(from_now_on(live)).take_until(app.stopping.clone().cancelled_owned());
    Sse::new(events.map(|event| Ok(sse_event(&event)))).keep_alive(KeepAlive::default())
}

fn from_now_on(live: broadcast::Receiver<Event>) -> impl Stream<Item = Event> {
    stream::unfold(live, |mut live| async move {
        loop {
            match live.recv().await {
                Ok(event) => return Some((event, live)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

fn sse_event(event: &Event) -> sse::Event {
    let named = sse::Event::default().id(event.id.to_string()).event(event.kind.as_str());
    named.json_data(event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_this_machine() {
        for (host, local) in [
            ("localhost:8080", true),
            ("127.0.0.1", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("10.0.0.1:8080", false),
        ] {
            assert_eq!(is_loopback_name(host), local, "{host}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_foreign() {
        assert!(same_origin("http://localhost:8080", Some("localhost:8080")));
        assert!(!same_origin("http://localhost:3000", Some("localhost:8080")));
        assert!(!same_origin("null", Some("localhost:8080")));
    }
}
