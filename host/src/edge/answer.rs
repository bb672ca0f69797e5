//! Turns what the pipeline gives into a response, and closes the account when the last byte of it is known.

use super::dialect::Dialect;
use super::dialect::chat::{self, ChatStream, Head};
use super::error::ApiError;
use crate::attempt::{Answer, Answered, EventStream};
use crate::contract::{ChatEvent, ChatResponse, Dropped};
use crate::domain::events_of;
use crate::settle::{Account, Ending};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use std::convert::Infallible;

const MAX_HEADER_BYTES: usize = 1000;

/// An error, told and booked.
pub fn refuse(account: Account, error: &ApiError, dialect: Dialect) -> Response {
    let mut response = error.response(dialect, &account.context().id);
    let account = with_headers(account, &[], response.headers_mut());
    account.close(Ending { status: error.status.as_u16(), error: Some((error.kind, &error.message)) });
    response
}

/// A JSON body, told and booked.
pub fn reply(account: Account, dropped: &[Dropped], body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let account = with_headers(account, dropped, response.headers_mut());
    account.close(Ending { status: 200, error: None });
    response
}

/// A Chat completion, whole or streamed, as the caller asked.
pub fn chat_completion(mut account: Account, answered: Answered, options: ChatOptions) -> Response {
    let Answered { answer, dropped } = answered;
    match (answer, options.stream) {
        (Answer::Whole(answer), false) => {
            account.answered(&answer);
            let body = chat::completion(&head(&account, answer.id.as_deref(), answer.model.as_deref()), &answer);
            reply(account, &dropped, body)
        }
        (Answer::Whole(answer), true) => chat_stream(account, &dropped, Source::told(answer), options),
        (Answer::Stream(stream), _) => chat_stream(account, &dropped, Source::Live(stream), options),
    }
}

/// What the caller said of the form of the answer.
#[derive(Debug, Clone, Copy)]
pub struct ChatOptions {
    pub stream: bool,
    pub include_usage: bool,
}

fn head(account: &Account, id: Option<&str>, model: Option<&str>) -> Head {
    let own = || format!("chatcmpl-{}", account.context().id.as_str());
    let asked = account.last().map(|attempt| attempt.model.as_str()).unwrap_or_default();
    Head {
        id: id.filter(|id| id.starts_with("chatcmpl-")).map_or_else(own, str::to_owned),
        created: Timestamp::now().as_second(),
        model: model.unwrap_or(asked).to_owned(),
    }
}

/// Where events come from: the provider's stream, or an answer that came whole.
enum Source {
    Live(Box<EventStream>),
    Told(Option<Vec<ChatEvent>>),
}

impl Source {
    fn told(answer: ChatResponse) -> Self {
        Self::Told(Some(events_of(answer)))
    }

    async fn next(&mut self) -> Result<Option<Vec<ChatEvent>>, ApiError> {
        match self {
            Self::Told(events) => Ok(events.take()),
            Self::Live(stream) => stream.next().await.map_err(|error| ApiError::from(&error)),
        }
    }
}

/// A stream on its way to the caller. Dropped early, the account says that the caller left, and the provider's connection is closed.
struct Rendering {
    source: Source,
    account: Option<Account>,
    /// Absent until the first events have told the answer's id and model.
    stream: Option<ChatStream>,
    include_usage: bool,
}

fn chat_stream(account: Account, dropped: &[Dropped], source: Source, options: ChatOptions) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Asks proxies of the nginx kind not to hold back what is streamed.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let account = with_headers(account, dropped, &mut headers);
    let rendering = Rendering { source, account: Some(account), stream: None, include_usage: options.include_usage };
    let body = stream::unfold(rendering, |mut rendering| async move {
        let bytes = rendering.next().await?;
        Some((Ok::<_, Infallible>(bytes), rendering))
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.headers_mut() = headers;
    response
}

impl Rendering {
    /// The next bytes for the caller, never empty.
    async fn next(&mut self) -> Option<Bytes> {
        self.account.as_ref()?;
        loop {
            let mut out = Vec::new();
            match self.source.next().await {
                Ok(Some(events)) => self.render(&events, &mut out),
                Ok(None) => {
                    self.close(None);
                    return None;
                }
                Err(error) => {
                    self.fail(&error, &mut out);
                    return Some(Bytes::from(out));
                }
            }
            if !out.is_empty() {
                return Some(Bytes::from(out));
            }
        }
    }

    fn render(&mut self, events: &[ChatEvent], out: &mut Vec<u8>) {
        let Some(account) = &mut self.account else { return };
        let stream = self.stream.get_or_insert_with(|| {
            let start = events.iter().find_map(|event| if let ChatEvent::Started(start) = event { Some(start) } else { None });
            let (id, model) = start.map_or((None, None), |start| (start.id.as_deref(), start.model.as_deref()));
            ChatStream::new(head(account, id, model), self.include_usage)
        });
        for event in events {
            account.event(event);
            stream.render(event, out);
        }
    }

    /// The dialect's error in mid-stream; no `[DONE]` follows it.
    fn fail(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        let Some(account) = &self.account else { return };
        let body = error.body(Dialect::Chat, &account.context().id);
        out.extend_from_slice(format!("data: {body}\n\n").as_bytes());
        self.close(Some(error));
    }

    fn close(&mut self, error: Option<&ApiError>) {
        let Some(mut account) = self.account.take() else { return };
        if let Source::Live(stream) = &self.source {
            account.streamed(stream.waited());
        }
        // 200 went out with the head; the error's own status says more in the books.
        let status = error.map_or(StatusCode::OK, |error| error.status);
        account.close(Ending { status: status.as_u16(), error: error.map(|error| (error.kind, error.message.as_str())) });
    }
}

/// What every answer's headers say of the way it came.
fn with_headers(mut account: Account, dropped: &[Dropped], headers: &mut HeaderMap) -> Account {
    let overhead = account.overhead();
    put(headers, "x-request-id", account.context().id.as_str());
    put(headers, "x-gateway-cache", "off");
    put(headers, "x-gateway-overhead-us", &overhead.as_micros().to_string());
    if let Some(last) = account.last() {
        put(headers, "x-gateway-provider", &last.provider);
        put(headers, "x-gateway-model", &last.model);
        put(headers, "x-gateway-attempts", &account.attempts().len().to_string());
        if last.simulated {
            put(headers, "x-gateway-simulated", "true");
        }
    }
    if let Some(first) = account.fallback_from() {
        put(headers, "x-gateway-fallback-from", first);
    }
    if !dropped.is_empty() {
        let names: Vec<String> = dropped.iter().map(|dropped| chat::caller_parameter(&dropped.parameter)).collect();
        put(headers, "x-gateway-dropped-params", &names.join(", "));
    }
    account
}

/// A caller's or an adapter's text may be no header; then it is left out.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = &value[..value.floor_char_boundary(MAX_HEADER_BYTES)];
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
