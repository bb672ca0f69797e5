//! The HTTP face for callers: routes, bodies, request ids, headers. What a body says is its dialect's to know.
//!
//! Owns: the way from a request to a call and from an answer to a response, in which an account is opened first and closed last.

mod answer;
mod bad_request;
mod body;
pub mod dialect;
mod error;
mod json;
mod models;
mod routes;
mod turns;

pub use bad_request::BadRequest;
pub use error::ApiError;
pub use routes::{method_not_allowed, not_found, router};
pub use turns::Turns;

use crate::domain::{CallContext, RequestId};
use crate::settle::Account;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{HeaderName, HeaderValue, Request};
use axum::middleware::Next;
use axum::response::Response;
use dialect::Dialect;
use std::time::Instant;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives every request its id, and every answer the header that says it. A caller's id that is none is refused: an id that is silently replaced is
/// of no use to who sent it.
pub async fn identify(mut request: Request<Body>, next: Next) -> Response {
    let started = Instant::now();
    let own = request.headers().get(REQUEST_ID).map(|value| RequestId::parse(value.to_str().unwrap_or_default()));
    let route = request.extensions().get::<MatchedPath>().map(|path| intern(path.as_str())).unwrap_or("(none)");
    let (id, wrong) = match own {
        None => (RequestId::generate(), None),
        Some(Ok(id)) => (id, None),
        Some(Err(error)) => (RequestId::generate(), Some(error)),
    };
    let mut response = match wrong {
        Some(error) => {
            let bad = BadRequest::field("x-request-id", format!("is not valid: {error}"));
            let context = CallContext { id: id.clone(), route, started, deadline: None, session: None };
            answer::refuse(Account::open(context), &ApiError::from(bad), Dialect::of_path(request.uri().path()))
        }
        None => {
            request.extensions_mut().insert(CallContext { id: id.clone(), route, started, deadline: None, session: None });
            next.run(request).await
        }
    };
    if !response.headers().contains_key(REQUEST_ID)
        && let Ok(value) = HeaderValue::from_str(id.as_str())
    {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The routes whose requests are logged, as constants: a log field is never a caller's text.
const LOGGED_ROUTES: [&str; 8] = [
    "/api/query",
    "/api/parallel",
    "/v1/gateway/query",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
];

fn intern(route: &str) -> &'static str {
    LOGGED_ROUTES.into_iter().find(|known| *known == route).unwrap_or("(other)")
}
