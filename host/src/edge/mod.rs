//! The HTTP face for callers: routes, bodies, request ids, headers. What a body says is its dialect's to know.
//!
//! Owns: the way from a request to a call and from an answer to a response, in which an account is opened first and closed last.

mod answer;
mod bad_request;
mod body;
pub mod dialect;
mod entry;
mod error;
pub(crate) mod json;
mod limits;
mod models;
mod routes;
mod turns;

pub use bad_request::BadRequest;
pub(crate) use body::receive_for_operator;
pub use error::ApiError;
pub use routes::{method_not_allowed, not_found, router};
pub use turns::Turns;

use crate::domain::{CallContext, RequestId};
use crate::settle::Account;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use axum::middleware::Next;
use axum::response::Response;
use dialect::Dialect;
use std::time::{Duration, Instant};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long the caller waits, from when the request came.
const TIMEOUT: HeaderName = HeaderName::from_static("x-gateway-timeout-ms");
const MAX_TIMEOUT_MS: u64 = 86_400_000;
/// What keeps requests together for routes that are sticky.
const SESSION: HeaderName = HeaderName::from_static("x-gateway-session");
const MAX_SESSION_BYTES: usize = 200;

/// Gives every request its id and every answer the header that says it, and reads what else the caller says of itself in headers. A value that is none is refused: one that is
/// silently replaced or ignored is of no use to who sent it.
pub async fn identify(mut request: Request<Body>, next: Next) -> Response {
    let (context, wrong) = context(&request);
    let id = context.id.clone();
    let mut response = match wrong {
        Some(bad) => answer::refuse(Account::open(context), &ApiError::from(bad), Dialect::of_path(request.uri().path())),
        None => {
            request.extensions_mut().insert(context);
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

/// What is known of a request by its head, and what is wrong with it.
fn context(request: &Request<Body>) -> (CallContext, Option<BadRequest>) {
    let route = request.extensions().get::<MatchedPath>().map(|path| intern(path.as_str())).unwrap_or("(none)");
    let mut context = CallContext { id: RequestId::generate(), route, started: Instant::now(), deadline: None, session: None };
    let wrong = read_headers(request.headers(), &mut context).err();
    (context, wrong)
}

fn read_headers(headers: &HeaderMap, context: &mut CallContext) -> Result<(), BadRequest> {
    // A value that is no text has no meaning either.
    let value = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(id) = value(&REQUEST_ID) {
        context.id = RequestId::parse(id).map_err(|error| BadRequest::field(REQUEST_ID.as_str(), format!("is not valid: {error}")))?;
    }
    if let Some(timeout) = value(&TIMEOUT) {
        let milliseconds = timeout.parse().ok().filter(|milliseconds| (1..=MAX_TIMEOUT_MS).contains(milliseconds));
        let wrong = || BadRequest::field(TIMEOUT.as_str(), format!("must be a whole number of milliseconds from 1 to {MAX_TIMEOUT_MS}"));
        context.deadline = Some(context.started + Duration::from_millis(milliseconds.ok_or_else(wrong)?));
    }
    if let Some(session) = value(&SESSION) {
        if session.is_empty() || session.len() > MAX_SESSION_BYTES || !session.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadRequest::field(SESSION.as_str(), format!("must have 1 to {MAX_SESSION_BYTES} visible ASCII characters")));
        }
        context.session = Some(session.into());
    }
    Ok(())
}

/// The routes whose requests are logged, as constants: a log field is never a caller's text.
const LOGGED_ROUTES: [&str; 9] = [
    "/api/query",
    "/api/parallel",
    "/v1/gateway/query",
    "/v1/gateway/cost-estimate",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
];

fn intern(route: &str) -> &'static str {
    LOGGED_ROUTES.into_iter().find(|known| *known == route).unwrap_or("(other)")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(name: &str, value: &[u8]) -> (CallContext, Option<BadRequest>) {
        context(&Request::builder().header(name, value).body(Body::empty()).unwrap())
    }

    #[test]
    fn a_caller_says_how_long_it_waits_and_what_belongs_together() {
        let (context, wrong) = read("x-gateway-timeout-ms", b"1500");
        assert_eq!((context.deadline.unwrap() - context.started, wrong), (Duration::from_millis(1500), None));
        let (context, wrong) = read("x-gateway-session", b"user-17/chat");
        assert_eq!((context.session.as_deref(), wrong), (Some("user-17/chat"), None));
        let (context, _) = read("accept", b"*/*");
        assert!(context.deadline.is_none() && context.session.is_none());
    }

    #[test]
    fn a_header_without_sense_is_refused_by_its_name() {
        let long = "x".repeat(201);
        for (name, values) in [
            ("x-request-id", ["a b", "", "\u{e4}", &long]),
            ("x-gateway-timeout-ms", ["0", "-1", "1.5", "86400001"]),
            ("x-gateway-session", ["", "a b", "\u{e4}", &long]),
        ] {
            for value in values {
                let bad = read(name, value.as_bytes()).1.unwrap();
                assert!(bad.status == 400 && bad.param.as_deref() == Some(name) && bad.message.contains(name), "{name}: {value}: {bad:?}");
            }
        }
    }
}
