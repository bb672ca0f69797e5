//! The routes for callers.

mod compatible;
mod cost_estimate;
mod query;
mod status;

use super::answer;
use super::dialect::Dialect;
use super::{ApiError, BadRequest};
use crate::domain::{CallContext, RequestId};
use crate::settle::Account;
use crate::state::App;
use axum::Router;
use axum::extract::Extension;
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use std::sync::Arc;

type Context = Extension<CallContext>;

/// Every route for callers.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/query", post(query::query_v0))
        .route("/api/parallel", post(query::parallel))
        .route("/api/status", get(status::status))
        .route("/api/health", get(status::health))
        .route("/v1/gateway/query", post(query::query_v1))
        .route("/v1/gateway/cost-estimate", post(cost_estimate::cost_estimate))
        .route("/v1/chat/completions", post(compatible::chat_completions))
        .route("/v1/responses", post(compatible::responses))
        .route("/v1/messages", post(compatible::messages))
        .route("/v1/messages/count_tokens", post(compatible::count_tokens))
        .route("/v1/embeddings", post(compatible::embed))
        .route("/v1/models", get(compatible::list_models))
        .route("/v1/models/{*model}", get(compatible::model))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(status::readyz))
        .route("/metrics", get(status::metrics))
}

/// The id that a caller gives its request in the body.
fn own_id(id: Option<&str>) -> Result<Option<RequestId>, BadRequest> {
    id.map(RequestId::parse).transpose().map_err(|error| BadRequest::field("request_id", format!("is not valid: {error}")))
}

/// What no route takes.
pub async fn not_found(Extension(context): Context, uri: Uri) -> Response {
    answer::refuse(Account::open(context), &ApiError::not_found(uri.path()), Dialect::of_path(uri.path()))
}

/// A route that is there, but not for this method.
pub async fn method_not_allowed(Extension(context): Context, method: Method, uri: Uri) -> Response {
    answer::refuse(Account::open(context), &ApiError::method_not_allowed(method.as_str(), uri.path()), Dialect::of_path(uri.path()))
}
