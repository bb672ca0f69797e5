//! HTTP out: sends what an adapter encoded, and reads what comes back within the timeouts and size limits.
//!
//! The only place that a credential is put on a request. Redirects are not followed: they would carry the key elsewhere. Dropping a reply closes or
//! resets its connection, which is how a provider learns that nobody waits any more.

use super::Target;
use super::drive::Until;
use super::failure::{AttemptError, UpstreamError};
use super::fetch::MediaFetcher;
use crate::config::{MediaConfig, Timeouts};
use crate::contract::{HttpRequest, HttpResponse};
use crate::domain::Blobs;
use crate::outbound::{self, BodyError, Broken};
use crate::plugin::Fault;
use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use reqwest::{Client, Response, redirect};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// The clients, by how long they wait for a connection: of all timeouts, this one a client has for all of its requests.
#[derive(Debug)]
pub struct Upstream {
    clients: ArcSwap<BTreeMap<Duration, Clients>>,
    /// For callers' media, by the rules that were last asked for.
    media: ArcSwapOption<MediaFetcher>,
    /// Of an answer.
    answer_bytes: usize,
}

#[derive(Debug, Clone)]
struct Clients {
    /// For providers on other machines, by the proxy that the environment names.
    remote: Client,
    /// For those on this machine, which no proxy can reach.
    local: Client,
}

/// Different waits for a connection that are kept; only rules name them.
const MAX_CLIENTS: usize = 64;

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Reply {
    response: Response,
    timeouts: Timeouts,
    answer_bytes: usize,
    end: End,
    /// Time spent waiting for the provider so far.
    pub waited: Duration,
    /// Time since the last bytes.
    quiet: Duration,
}

/// When the time for all of an answer is over, and what is said then.
#[derive(Debug)]
struct End {
    at: Instant,
    error: UpstreamError,
}

impl End {
    fn of(by_total: Instant, total: Duration, until: Until) -> Self {
        if until.at < by_total {
            return Self { at: until.at, error: UpstreamError::Late(until.error) };
        }
        Self { at: by_total, error: UpstreamError::TotalTimeout(total) }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }
}

/// How far an answer has come: a model may think for long before it begins to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Beginning,
    Begun,
}

/// What reading on gave.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    End,
    /// Nothing has come, and more may.
    Quiet,
}

impl Upstream {
    pub fn new(answer_bytes: usize) -> Self {
        install_tls();
        Self { clients: ArcSwap::default(), media: ArcSwapOption::empty(), answer_bytes }
    }

    /// What fetches media by these rules.
    pub(super) fn media_fetcher(&self, config: MediaConfig) -> Result<Arc<MediaFetcher>, AttemptError> {
        if let Some(fetcher) = self.media.load_full().filter(|fetcher| *fetcher.config() == config) {
            return Ok(fetcher);
        }
        let made = MediaFetcher::new(config).map_err(|error| AttemptError::Upstream(UpstreamError::Broken(root_cause(&error))))?;
        let made = Arc::new(made);
        self.media.store(Some(Arc::clone(&made)));
        Ok(made)
    }

    fn clients(&self, connect_timeout: Duration) -> Result<Clients, AttemptError> {
        if let Some(clients) = self.clients.load().get(&connect_timeout) {
            return Ok(clients.clone());
        }
        let made = Clients::new(connect_timeout).map_err(|error| AttemptError::Upstream(UpstreamError::Broken(root_cause(&error))))?;
        self.clients.rcu(|clients| {
            let mut clients = BTreeMap::clone(clients);
            if clients.len() >= MAX_CLIENTS {
                clients.clear();
            }
            clients.entry(connect_timeout).or_insert_with(|| made.clone());
            clients
        });
        Ok(made)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&self, target: &Target<'_>, request: HttpRequest, blobs: &Blobs) -> Result<Reply, AttemptError> {
        let (ready, timeouts) = (target.ready()?, target.candidate.timeouts);
        let broken = |broken: Broken| AttemptError::Plugin(Fault::BrokeContract(broken.to_string()));
        let url = outbound::url(&ready.base_url, &request).map_err(broken)?;
        let mut headers = ready.fixed_headers.clone();
        headers.extend(outbound::headers(&request).map_err(broken)?);
        if let Some(credential) = target.credential {
            headers.insert(credential.header.clone(), credential.value().clone());
        }
        let clients = self.clients(timeouts.connect)?;
        let client = if is_local(&url) { &clients.local } else { &clients.remote };
        let mut builder = client.request(outbound::method(&request), url).headers(headers);
        if !request.body.is_empty() {
            builder = builder.body(outbound::body(request.body, blobs).map_err(|error| match error {
                BodyError::Broken(error) => broken(error),
                BodyError::NotText(_) => AttemptError::MediaNotText,
            })?);
        }
        let began = Instant::now();
        let end = End::of(began + timeouts.total, timeouts.total, target.until);
        let outcome = tokio::time::timeout_at(end.at.min(began + timeouts.first_byte), builder.send()).await;
        let error = match outcome {
            Ok(Ok(response)) if is_compressed(&response) => UpstreamError::Compressed,
            Ok(Ok(response)) => {
                let waited = began.elapsed();
                return Ok(Reply { response, timeouts, answer_bytes: self.answer_bytes, end, waited, quiet: Duration::ZERO });
            }
            Ok(Err(error)) => explain(&error, &timeouts),
            Err(_) if end.is_over() => end.error,
            Err(_) => UpstreamError::FirstByteTimeout(timeouts.first_byte),
        };
        Err(AttemptError::Upstream(error))
    }
}

impl Clients {
    fn new(connect_timeout: Duration) -> Result<Self, reqwest::Error> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("llm-gateway/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .referer(false)
                .connect_timeout(connect_timeout)
                .tcp_nodelay(true)
                .pool_max_idle_per_host(512)
                .pool_idle_timeout(Duration::from_secs(60))
        };
        Ok(Self { remote: builder().build()?, local: builder().no_proxy().build()? })
    }
}

/// No client asks for it, and nothing is decompressed: what a small answer may become has no bound.
fn is_compressed(response: &Response) -> bool {
    let encodings = response.headers().get_all(reqwest::header::CONTENT_ENCODING);
    encodings.iter().any(|encoding| !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

fn explain(error: &reqwest::Error, timeouts: &Timeouts) -> UpstreamError {
    if error.is_connect() && error.is_timeout() {
        return UpstreamError::ConnectTimeout(timeouts.connect);
    }
    if error.is_connect() { UpstreamError::Unreachable(root_cause(error)) } else { UpstreamError::Broken(root_cause(error)) }
}

/// Chooses the process's TLS implementation, which an HTTP client needs even for plain HTTP.
pub fn install_tls() {
    // Only fails where one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The innermost cause: it names neither URL nor header.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) { "the request failed".to_owned() } else { cause.to_string() }
}

impl Reply {
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The limit on an answer.
    pub(super) fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// A header's value, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All headers whose value is UTF-8, names in lower case.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let text = |value: &reqwest::header::HeaderValue| std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned);
        self.response.headers().iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect()
    }

    /// The next bytes; nothing when the body is over.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match self.piece(self.timeouts.idle, Stage::Begun).await? {
            Piece::Bytes(bytes) => Ok(Some(bytes)),
            Piece::End => Ok(None),
            Piece::Quiet => Err(UpstreamError::IdleTimeout(self.timeouts.idle)),
        }
    }

    /// As above, but no longer than `patience`, after which it may be asked again: nothing is lost.
    pub(super) async fn piece(&mut self, patience: Duration, stage: Stage) -> Result<Piece, UpstreamError> {
        let began = Instant::now();
        // Also of a stream whose next piece is always ready, to a caller who takes little at a time.
        if self.end.is_over() {
            return Err(self.end.error.clone());
        }
        let limit = match stage {
            Stage::Beginning => self.timeouts.first_byte.max(self.timeouts.idle),
            Stage::Begun => self.timeouts.idle,
        };
        let left = limit.saturating_sub(self.quiet);
        // What drips for ever is never quiet.
        let of_all = self.end.at.saturating_duration_since(began);
        let outcome = tokio::time::timeout(patience.min(left).min(of_all), self.response.chunk()).await;
        let elapsed = began.elapsed();
        self.waited += elapsed;
        match outcome {
            Err(_elapsed) if self.end.is_over() => Err(self.end.error.clone()),
            Err(_elapsed) if patience < left => {
                self.quiet += elapsed;
                Ok(Piece::Quiet)
            }
            Err(_elapsed) => Err(UpstreamError::IdleTimeout(limit)),
            Ok(Err(error)) => Err(UpstreamError::Broken(root_cause(&error))),
            Ok(Ok(chunk)) => {
                self.quiet = Duration::ZERO;
                Ok(chunk.map_or(Piece::End, Piece::Bytes))
            }
        }
    }

    /// Reads what is left of a body of which no more is wanted, for a moment, so that its connection can be used again.
    pub(super) async fn drain(mut self) {
        let rest = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        let _ = tokio::time::timeout(Duration::from_millis(10), rest).await;
    }

    /// The whole body. Gives the time waited too, for the reply is used up.
    pub(super) async fn whole(mut self) -> (Duration, Result<HttpResponse, UpstreamError>) {
        let mut response = HttpResponse { status: self.status(), headers: self.headers(), body: Vec::new() };
        loop {
            match self.chunk().await {
                Ok(Some(chunk)) if response.body.len() + chunk.len() > self.answer_bytes => {
                    return (self.waited, Err(UpstreamError::TooLarge(self.answer_bytes)));
                }
                Ok(Some(chunk)) => response.body.extend_from_slice(&chunk),
                Ok(None) => return (self.waited, Ok(response)),
                Err(error) => return (self.waited, Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    const SECOND: Duration = Duration::from_secs(1);

    fn reply(chunks: Vec<(Duration, &'static str)>) -> Reply {
        let body = stream::unfold(chunks.into_iter(), |mut chunks| async move {
            let (after, chunk) = chunks.next()?;
            tokio::time::sleep(after).await;
            Some((Ok::<_, Infallible>(Bytes::from(chunk)), chunks))
        });
        let response = Response::from(axum::http::Response::new(reqwest::Body::wrap_stream(body)));
        let timeouts = Timeouts { first_byte: SECOND, idle: 60 * SECOND, ..Timeouts::default() };
        let end = End { at: Instant::now() + timeouts.total, error: UpstreamError::TotalTimeout(timeouts.total) };
        Reply { response, timeouts, answer_bytes: 100, end, waited: Duration::ZERO, quiet: Duration::ZERO }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_provider_is_noticed_before_it_is_given_up_and_nothing_is_lost() {
        let mut reply = reply(vec![(25 * SECOND, "late"), (55 * SECOND, "later"), (61 * SECOND, "too late")]);
        let mut seen = Vec::new();
        let error = loop {
            match reply.piece(10 * SECOND, Stage::Begun).await {
                Ok(Piece::Quiet) => seen.push("quiet".to_owned()),
                Ok(Piece::Bytes(bytes)) => seen.push(String::from_utf8(bytes.to_vec()).unwrap()),
                Ok(Piece::End) => unreachable!("the body does not end"),
                Err(error) => break error,
            }
        };
        let counted: Vec<(&str, usize)> = seen.chunk_by(|a, b| a == b).map(|same| (same[0].as_str(), same.len())).collect();
        assert_eq!(counted, [("quiet", 2), ("late", 1), ("quiet", 5), ("later", 1), ("quiet", 5)]);
        assert_eq!(error, UpstreamError::IdleTimeout(60 * SECOND));
    }
}
