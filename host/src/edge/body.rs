//! Reads a request's JSON body within its limits, and takes the request's place in the gateway.
//!
//! A full gateway refuses before it reads, and so does one that does not know the caller. A body has no place while it comes, so slow ones keep nobody out; what it has in memory counts from the first byte.

use super::dialect::Dialect;
use super::{ApiError, BadRequest, entry, json};
use crate::admission::{Overloaded, Room};
use crate::config::RequestLimits;
use crate::settle::Account;
use crate::state::App;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::time::Duration;

/// Parsing more takes a millisecond or more.
const BIG_BYTES: usize = 256 << 10;
/// The least that a body takes of memory.
const FIRST_BYTES: usize = 4 << 10;

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
enum Unread {
    Bad(BadRequest),
    NoRoom(Overloaded),
}

impl From<BadRequest> for Unread {
    fn from(bad: BadRequest) -> Self {
        Self::Bad(bad)
    }
}

/// A request's body. The account has the request's place from then on.
///
/// # Errors
/// 401, 402, 403 and 429 for a caller who may not, 503 for a gateway that is full, 415 for another content type or an encoding, 413 for a body over the limit, 408 for one that takes too long, 400 for one that broke off.
pub async fn receive(app: &App, account: &mut Account, request: Request<Body>) -> Result<Bytes, ApiError> {
    let dialect = Dialect::of_path(request.uri().path());
    let full = |error| ApiError::overloaded(error, dialect);
    app.admission.check().map_err(full)?;
    entry::let_in(app, account, request.headers()).await?;
    let mut room = app.admission.room();
    let body = read_json(request, &app.limits, &mut room).await.map_err(|error| match error {
        Unread::Bad(bad) => bad.into(),
        Unread::NoRoom(error) => full(error),
    })?;
    account.admitted(app.admission.enter(room).map_err(full)?);
    Ok(body)
}

/// The body of an operator's request, which takes no place among those of callers.
///
/// # Errors
/// Those of [`receive`].
pub async fn receive_for_operator(app: &App, request: Request<Body>) -> Result<Bytes, ApiError> {
    read_json(request, &app.limits, &mut app.admission.room()).await.map_err(|error| match error {
        Unread::Bad(bad) => bad.into(),
        Unread::NoRoom(error) => ApiError::overloaded(error, Dialect::Query),
    })
}

async fn read_json(request: Request<Body>, limits: &RequestLimits, room: &mut Room) -> Result<Bytes, Unread> {
    check_content_type(request.headers())?;
    check_content_encoding(request.headers())?;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limits.body_bytes) {
        return Err(too_large(limits.body_bytes).into());
    }
    let read = collect(request.into_body(), announced, limits, room);
    tokio::time::timeout(limits.body_read_timeout, read).await.unwrap_or_else(|_| Err(too_slow(limits.body_read_timeout).into()))
}

async fn collect(mut body: Body, announced: Option<usize>, limits: &RequestLimits, room: &mut Room) -> Result<Bytes, Unread> {
    let mut whole = Vec::new();
    loop {
        let frame = tokio::time::timeout(limits.body_idle_timeout, body.frame()).await.map_err(|_| stopped(limits.body_idle_timeout))?;
        let Some(frame) = frame else { return Ok(Bytes::from(whole)) };
        let Ok(data) = frame.map_err(|_| broke_off())?.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > limits.body_bytes {
            return Err(too_large(limits.body_bytes).into());
        }
        if length > whole.capacity() {
            let capacity = length.max(whole.capacity() * 2).max(FIRST_BYTES).min(announced.unwrap_or(limits.body_bytes).max(length));
            room.grow_to(capacity).map_err(Unread::NoRoom)?;
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&data);
    }
}

fn broke_off() -> BadRequest {
    BadRequest {
        status: StatusCode::BAD_REQUEST,
        code: "invalid_request",
        param: None,
        message: "the body broke off before it was complete".to_owned(),
    }
}

/// Parses a body, away from other requests' thread if it is big. The request keeps its place until that is done, also if the caller leaves before.
///
/// # Errors
/// Those of the parser, and 503 when there is no room for the values of a big body.
pub async fn parse<T, F>(account: &mut Account, body: Bytes, parser: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce(&[u8]) -> Result<T, BadRequest> + Send + 'static,
{
    if body.len() < BIG_BYTES {
        return Ok(parser(&body)?);
    }
    let mut place = account.take_place();
    let away = tokio::task::spawn_blocking(move || {
        let values = body.len() + json::count_values(&body) * json::VALUE_BYTES;
        let room = place.as_mut().map_or(Ok(()), |place| place.grow_to(values));
        let parsed = room.map(|()| parser(&body));
        (parsed, place)
    });
    let Ok((parsed, place)) = away.await else { return Err(BadRequest::field("body", "could not be parsed").into()) };
    place.into_iter().for_each(|place| account.admitted(place));
    Ok(parsed.map_err(|error| ApiError::overloaded(error, Dialect::of_path(account.context().route)))??)
}

fn too_slow(limit: Duration) -> BadRequest {
    slow(format!("the body was not there within {} ms (BODY_READ_TIMEOUT)", limit.as_millis()))
}

fn stopped(limit: Duration) -> BadRequest {
    slow(format!("nothing of the body came for {} ms (BODY_IDLE_TIMEOUT)", limit.as_millis()))
}

fn slow(message: String) -> BadRequest {
    BadRequest { status: StatusCode::REQUEST_TIMEOUT, code: "body_too_slow", param: None, message }
}

/// A missing type is taken for JSON, as bare clients send it.
fn check_content_type(headers: &HeaderMap) -> Result<(), BadRequest> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(unsupported("content-type", "the header `content-type` must be `application/json`"))
}

/// Nothing is decompressed: what a small body may become has no bound.
fn check_content_encoding(headers: &HeaderMap) -> Result<(), BadRequest> {
    let is_identity = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_identity) {
        return Ok(());
    }
    Err(unsupported("content-encoding", "compressed bodies are not taken: send the body without `content-encoding`"))
}

fn unsupported(param: &str, message: &str) -> BadRequest {
    BadRequest {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code: "unsupported_media_type",
        param: Some(param.to_owned()),
        message: message.to_owned(),
    }
}

fn too_large(max_bytes: usize) -> BadRequest {
    BadRequest {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "body_too_large",
        param: None,
        message: format!("the body has more than {max_bytes} bytes: send less, or raise MAX_BODY_BYTES"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::admission::Admission;
    use crate::config::AdmissionConfig;
    use futures_util::stream;
    use std::convert::Infallible;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: RequestLimits = RequestLimits {
        body_bytes: 20_000,
        query_chars: 1,
        body_read_timeout: Duration::from_secs(60),
        body_idle_timeout: Duration::from_secs(10),
    };

    fn admission(body_memory: usize) -> Admission {
        Admission::new(AdmissionConfig { max_concurrency: 1, max_queue: 0, queue_timeout: SECOND, body_memory })
    }

    /// Pieces of that length, with a pause before each.
    fn request(pieces: usize, length: usize, pause: Duration) -> Request<Body> {
        let body = stream::unfold(0, move |sent| async move {
            tokio::time::sleep(pause).await;
            (sent < pieces).then(|| (Ok::<_, Infallible>(vec![b'x'; length]), sent + 1))
        });
        Request::new(Body::from_stream(body))
    }

    fn bad(result: Result<Bytes, Unread>) -> BadRequest {
        match result.unwrap_err() {
            Unread::Bad(bad) => bad,
            Unread::NoRoom(error) => unreachable!("{error}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_its_time_but_not_stop() {
        let admission = admission(20_000);
        let body = read_json(request(5, 1, 9 * SECOND), &LIMITS, &mut admission.room()).await.unwrap();
        assert_eq!(&body[..], b"xxxxx");
        let stopped = bad(read_json(request(5, 1, 11 * SECOND), &LIMITS, &mut admission.room()).await);
        assert_eq!(stopped.status, StatusCode::REQUEST_TIMEOUT);
        assert!(stopped.message.contains("BODY_IDLE_TIMEOUT"), "{}", stopped.message);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_ended_in_time_and_gives_its_memory_back() {
        let admission = admission(20_000);
        let began = tokio::time::Instant::now();
        let dripped = bad(read_json(request(1000, 1, SECOND), &LIMITS, &mut admission.room()).await);
        assert_eq!((dripped.status, began.elapsed()), (StatusCode::REQUEST_TIMEOUT, 60 * SECOND));
        assert!(dripped.message.contains("BODY_READ_TIMEOUT"), "{}", dripped.message);
        assert_eq!(admission.body_bytes(), 0);
    }

    #[tokio::test]
    async fn a_body_takes_memory_for_what_came_of_it_and_never_more_than_its_limit() {
        let admission = admission(50_000);
        let mut rooms = [admission.room(), admission.room(), admission.room()];
        for (room, (pieces, expected)) in rooms.iter_mut().zip([(1, FIRST_BYTES), (200, 20_000), (51, 2 * FIRST_BYTES)]) {
            let before = admission.body_bytes();
            let body = read_json(request(pieces, 100, Duration::ZERO), &LIMITS, room).await.unwrap();
            assert_eq!((body.len(), admission.body_bytes() - before), (pieces * 100, expected));
        }
        let refused = read_json(request(200, 100, Duration::ZERO), &LIMITS, &mut admission.room()).await.unwrap_err();
        assert_eq!(refused, Unread::NoRoom(Overloaded::Bodies(50_000)));
        drop(rooms);
        assert_eq!(admission.body_bytes(), 0);
        assert_eq!(
            bad(read_json(request(201, 100, Duration::ZERO), &LIMITS, &mut admission.room()).await).status,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }

    #[tokio::test]
    async fn what_is_only_announced_takes_no_memory() {
        let admission = admission(20_000);
        let mut request = request(1, 100, Duration::ZERO);
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("20000"));
        let mut room = admission.room();
        read_json(request, &LIMITS, &mut room).await.unwrap();
        assert_eq!(admission.body_bytes(), FIRST_BYTES);
    }

    #[tokio::test]
    async fn compressed_bodies_are_refused_unread() {
        let admission = admission(20_000);
        for (encoding, refused) in [("gzip", true), ("br", true), ("identity, gzip", true), ("identity", false), (" Identity ", false)] {
            let mut request = request(1, 1, Duration::ZERO);
            request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            let read = read_json(request, &LIMITS, &mut admission.room()).await;
            assert_eq!(read.is_err(), refused, "{encoding}");
            if refused {
                let bad = bad(read);
                assert_eq!((bad.status.as_u16(), bad.param.as_deref()), (415, Some("content-encoding")));
            }
        }
    }
}
