//! Turns what the pipeline gives into a response, and closes the account when the last byte of it is known.

use super::dialect::embeddings::Encoding;
use super::dialect::{self, Dialect, Form, Head, Render};
use super::error::ApiError;
use super::limits;
use super::turns::Turns;
use crate::admission::Place;
use crate::attempt::{Answer, Answered, AttemptError, Embedded, EventStream};
use crate::contract::{ChatEvent, ChatResponse, Dropped, StreamStart};
use crate::domain::{RequestId, events_of};
use crate::ledger::LedgerDown;
use crate::plugin::Fault;
use crate::settle::{Account, Ending};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use hyper::body::{Frame, SizeHint};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

const MAX_HEADER_BYTES: usize = 1000;
const MAX_PIECE_BYTES: usize = 64 << 10;
/// What is between caller and gateway often closes a connection that is idle for half a minute.
const PING_AFTER: Duration = Duration::from_secs(10);

/// An error, told and booked.
pub fn refuse(account: Account, error: &ApiError, dialect: Dialect) -> Response {
    let mut response = error.response(dialect, &account.context().id);
    let account = with_headers(account, Told::all(dialect), response.headers_mut());
    // What is refused need not be written down.
    let _ = account.close(Ending { status: error.status.as_u16(), error: Some((error.kind, &error.message)) });
    response
}

/// A JSON body, told and booked.
pub fn reply(mut account: Account, told: Told, body: Vec<u8>) -> Response {
    let (dialect, id) = (told.dialect, account.context().id.clone());
    let mut response = Response::new(holding(account.take_place(), body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let account = with_headers(account, told, response.headers_mut());
    match account.close(Ending { status: 200, error: None }) {
        Ok(()) => response,
        Err(error) => ApiError::of_ledger(&error).response(dialect, &id),
    }
}

/// A body that keeps its request's place until all but the last piece of it is out: a caller may take its time over many megabytes.
pub fn holding(place: Option<Place>, bytes: Vec<u8>) -> Body {
    Body::new(Holding { rest: Bytes::from(bytes), _place: place })
}

struct Holding {
    rest: Bytes,
    _place: Option<Place>,
}

impl hyper::body::Body for Holding {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((!self.rest.is_empty()).then(|| Ok(Frame::data(piece(&mut self.rest)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// The next piece for the connection, which holds what it was given until the caller takes it.
fn piece(rest: &mut Bytes) -> Bytes {
    rest.split_to(rest.len().min(MAX_PIECE_BYTES))
}

/// In which dialect an answer is told, and what of the request was left out, in its words.
#[derive(Debug)]
pub struct Told {
    pub dialect: Dialect,
    pub dropped: Vec<String>,
}

impl Told {
    /// `name`: what the caller calls a field that is named by its path in the canonical request.
    fn new(dialect: Dialect, dropped: &[Dropped], name: impl Fn(&str) -> String) -> Self {
        let mut told = Self::all(dialect);
        for parameter in dropped.iter().map(|dropped| header_word(&name(&dropped.parameter))) {
            if !told.dropped.contains(&parameter) {
                told.dropped.push(parameter);
            }
        }
        told
    }

    /// What was left out of a request of the simple form.
    pub fn of_query(dropped: &[Dropped]) -> Self {
        Self::new(Dialect::Query, dropped, |path| Dialect::Query.parameter(path))
    }

    /// Nothing was left out.
    pub fn all(dialect: Dialect) -> Self {
        Self { dialect, dropped: Vec::new() }
    }
}

/// A chat's answer, whole or streamed, as the caller asked.
pub fn chat(mut account: Account, answered: Answered, form: Form, turns: &Turns) -> Response {
    let Answered { answer, dropped } = answered;
    let told = Told::new(form.dialect(), &dropped, |path| form.parameter(path));
    match (answer, account.is_stream()) {
        (Answer::Whole(answer), false) => {
            account.answered(&answer);
            let head = head(&account, told.dialect, answer.id.as_deref(), answer.model.as_deref());
            let mut renderer = form.renderer(head);
            let body = renderer.whole(&answer);
            keep(turns, &account.caller().tenant, &mut *renderer);
            reply(account, told, body)
        }
        (Answer::Whole(answer), true) => {
            account.answered(&answer);
            chat_stream(account, told, Source::told(answer), form, turns)
        }
        (Answer::Stream(stream), _) => chat_stream(account, told, Source::Live(stream), form, turns),
    }
}

/// Embeddings, told and booked.
pub fn embeddings(account: Account, embedded: &Embedded, encoding: Encoding) -> Response {
    let asked = account.answered_by().map(|by| by.model.to_owned()).unwrap_or_default();
    let body = dialect::embeddings::render(&embedded.answer, &asked, encoding);
    reply(account, Told::new(Dialect::Chat, &embedded.dropped, dialect::embeddings::caller_parameter), body)
}

/// A name as it can stand in a list in a header; it may be the caller's own.
fn header_word(name: &str) -> String {
    const TO_ESCAPE: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%');
    utf8_percent_encode(name, TO_ESCAPE).to_string()
}

/// Keeps the turns that the caller may not bring back.
fn keep(turns: &Turns, tenant: &Arc<str>, renderer: &mut dyn Render) {
    for (call_ids, turn) in renderer.turns() {
        turns.keep(tenant, call_ids, turn);
    }
}

fn head(account: &Account, dialect: Dialect, id: Option<&str>, model: Option<&str>) -> Head {
    let prefix = dialect.id_prefix();
    let own = || format!("{prefix}{}", account.context().id.as_str());
    let asked = account.answered_by().map(|by| by.model).unwrap_or_default();
    Head {
        id: id.filter(|id| id.starts_with(prefix)).map_or_else(own, str::to_owned),
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

    /// What the first event tells of the answer.
    fn start(&self) -> Option<&StreamStart> {
        match self {
            Self::Told(events) => match events.as_ref()?.first()? {
                ChatEvent::Started(start) => Some(start),
                _ => None,
            },
            Self::Live(stream) => stream.start(),
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<ChatEvent>>, AttemptError> {
        match self {
            Self::Told(events) => Ok(events.take()),
            Self::Live(stream) => stream.next().await,
        }
    }
}

/// A stream on its way to the caller. Dropped early, the account says that the caller left, and the provider's connection is closed.
struct Rendering {
    source: Source,
    /// Closed with the last event.
    account: Option<Account>,
    /// The request's, from then on.
    place: Option<Place>,
    id: RequestId,
    /// Rendered and not sent.
    rest: Bytes,
    dialect: Dialect,
    renderer: Box<dyn Render>,
    turns: Turns,
    last_sent: Instant,
}

fn chat_stream(account: Account, told: Told, source: Source, form: Form, turns: &Turns) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Asks proxies of the nginx kind not to hold back what is streamed.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let dialect = told.dialect;
    let (id, model) = source.start().map_or((None, None), |start| (start.id.as_deref(), start.model.as_deref()));
    let renderer = form.renderer(head(&account, dialect, id, model));
    // A caller who has waited for long is told at once that there is an answer to come.
    let last_sent = account.context().started;
    let id = account.context().id.clone();
    let account = Some(with_headers(account, told, &mut headers));
    let rendering = Rendering { source, account, place: None, id, rest: Bytes::new(), dialect, renderer, turns: turns.clone(), last_sent };
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
        while self.rest.is_empty() {
            self.account.as_ref()?;
            self.rest = self.more().await.into();
        }
        Some(piece(&mut self.rest))
    }

    async fn more(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.source.next().await {
            Ok(Some(events)) => self.render(&events, &mut out),
            Ok(None) => {
                let _ = self.close(None);
                return out;
            }
            Err(error) => self.fail(&error, &mut out),
        }
        // What means nothing to the caller may come for as long as nothing does.
        if out.is_empty() && self.last_sent.elapsed() >= PING_AFTER {
            self.renderer.ping(&mut out);
        }
        if !out.is_empty() {
            self.last_sent = Instant::now();
        }
        out
    }

    fn render(&mut self, events: &[ChatEvent], out: &mut Vec<u8>) {
        for event in events {
            let Some(account) = &mut self.account else { return };
            account.event(event);
            let before = out.len();
            self.renderer.event(event, out);
            if let Some(reason) = self.renderer.broken() {
                return self.fail(&AttemptError::Plugin(Fault::BrokeContract(reason)), out);
            }
            // Before the caller has seen the end, and leaves or comes back with it.
            if matches!(event, ChatEvent::Ended) {
                keep(&self.turns, &account.caller().tenant, &mut *self.renderer);
                if let Err(error) = self.close(None) {
                    // The end is not told of what could not be written down.
                    out.truncate(before);
                    self.tell(&ApiError::of_ledger(&error), out);
                }
            }
        }
    }

    fn fail(&mut self, error: &AttemptError, out: &mut Vec<u8>) {
        let error = ApiError::of_attempt(error, self.dialect, &|path| self.dialect.parameter(path));
        self.tell(&error, out);
        // It has failed already.
        let _ = self.close(Some(&error));
    }

    fn tell(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        self.renderer.failure(&error.body(self.dialect, &self.id), out);
    }

    /// # Errors
    /// When it could not be written down, and nothing may be answered that isn't.
    fn close(&mut self, error: Option<&ApiError>) -> Result<(), LedgerDown> {
        let Some(mut account) = self.account.take() else { return Ok(()) };
        self.place = account.take_place();
        if let Source::Live(stream) = &self.source {
            account.streamed(stream.waited());
        }
        if error.is_some() {
            // Nobody waits for the rest of it.
            self.source = Source::Told(None);
        }
        // 200 went out with the head; the error's own status says more in the books.
        let status = error.map_or(StatusCode::OK, |error| error.status);
        account.close(Ending { status: status.as_u16(), error: error.map(|error| (error.kind, error.message.as_str())) })
    }
}

/// What every answer's headers say of the way it came.
fn with_headers(mut account: Account, told: Told, headers: &mut HeaderMap) -> Account {
    let overhead = account.overhead();
    put(headers, "x-request-id", account.context().id.as_str());
    if told.dialect == Dialect::Messages {
        // By this name Anthropic's clients look for it.
        put(headers, "request-id", account.context().id.as_str());
    }
    put(headers, "x-gateway-cache", account.cache_word());
    put(headers, "x-gateway-overhead-us", &overhead.as_micros().to_string());
    if let Some(by) = account.answered_by() {
        put(headers, "x-gateway-provider", by.provider);
        put(headers, "x-gateway-model", by.model);
        put(headers, "x-gateway-attempts", &account.attempts().len().to_string());
        if by.simulated {
            put(headers, "x-gateway-simulated", "true");
        }
    }
    if let Some(cost) = account.known_cost() {
        put(headers, "x-gateway-cost-usd", &cost.to_string());
    }
    if let Some(kept) = account.kept() {
        put(headers, "age", &kept.age(Timestamp::now()).as_secs().to_string());
        if let Some(saved) = kept.cost {
            put(headers, "x-gateway-cache-saved-usd", &saved.to_string());
        }
    }
    if let Some(standing) = account.standing() {
        for (name, value) in limits::headers(&standing, told.dialect) {
            put(headers, name, &value);
        }
    }
    if let Some(first) = account.fallback_from() {
        put(headers, "x-gateway-fallback-from", first);
    }
    if !told.dropped.is_empty() {
        let names = told.dropped.join(", ");
        put(headers, "x-gateway-dropped-params", &names);
        account.dropped(names);
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
