//! Reads a request's JSON body within its limit.

use super::BadRequest;
use crate::config::RequestLimits;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::time::Duration;

/// Parsing more takes a millisecond or more.
const BIG_BYTES: usize = 256 << 10;
/// For what a refused client still sends.
const LINGER: Duration = Duration::from_millis(500);

/// # Errors
/// 415 for another content type, 413 for a body over the limit, 408 for one that takes too long, 400 for one that broke off.
pub async fn read_json(request: Request<Body>, limits: &RequestLimits) -> Result<Bytes, BadRequest> {
    if let Err(wrong) = check_content_type(request.headers()) {
        discard(request.into_body()).await;
        return Err(wrong);
    }
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = request.into_body();
    let read = async {
        match announced {
            Some(length) if length > limits.body_bytes => Err(too_large(limits.body_bytes)),
            _ => collect(&mut body, announced.unwrap_or(0), limits.body_bytes).await,
        }
    };
    let read = tokio::time::timeout(limits.body_read_timeout, read).await.unwrap_or_else(|_| Err(too_slow(limits.body_read_timeout)));
    if read.is_err() {
        discard(body).await;
    }
    read
}

async fn collect(body: &mut Body, expected: usize, max_bytes: usize) -> Result<Bytes, BadRequest> {
    let mut whole = BytesMut::with_capacity(expected.min(BIG_BYTES));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| broke_off())?.into_data() else { continue };
        if whole.len() + data.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads on for a moment: a client that is still sending when the connection closes may never see the answer.
async fn discard(mut body: Body) {
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

fn broke_off() -> BadRequest {
    BadRequest {
        status: StatusCode::BAD_REQUEST,
        code: "invalid_request",
        param: None,
        message: "the body broke off before it was complete".to_owned(),
    }
}

/// Parses a body, away from other requests' thread if it is big.
///
/// # Errors
/// Those of the parser.
pub async fn parse<T, F>(body: Bytes, parser: F) -> Result<T, BadRequest>
where
    T: Send + 'static,
    F: FnOnce(&[u8]) -> Result<T, BadRequest> + Send + 'static,
{
    if body.len() < BIG_BYTES {
        return parser(&body);
    }
    let parsed = tokio::task::spawn_blocking(move || parser(&body)).await;
    parsed.unwrap_or_else(|_| Err(BadRequest::field("body", "could not be parsed")))
}

fn too_slow(limit: Duration) -> BadRequest {
    BadRequest {
        status: StatusCode::REQUEST_TIMEOUT,
        code: "body_too_slow",
        param: None,
        message: format!("the body was not there within {} ms (BODY_READ_TIMEOUT)", limit.as_millis()),
    }
}

/// A missing type is taken for JSON, as bare clients send it.
fn check_content_type(headers: &HeaderMap) -> Result<(), BadRequest> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(BadRequest {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code: "unsupported_media_type",
        param: Some("content-type".to_owned()),
        message: "the header `content-type` must be `application/json`".to_owned(),
    })
}

fn too_large(max_bytes: usize) -> BadRequest {
    BadRequest {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "body_too_large",
        param: None,
        message: format!("the body has more than {max_bytes} bytes: send less, or raise MAX_BODY_BYTES"),
    }
}
