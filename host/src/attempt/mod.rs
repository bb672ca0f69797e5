//! From a plan to an answer: asks one candidate after the other until one answers.
//!
//! Owns: the loop, retries, the way of one attempt (encode, credential, HTTP, frames, decode). Not here: who the candidates are (`plan`), what is
//! done with the answer (`settle`, `edge`). Runs inside the caller's future: when the caller leaves, so does the request upstream.
//!
//! What is asked of a candidate is an [`Exchange`]: `chat`, `embed` or `count`. Read `chat` first.

mod chat;
mod count;
mod embed;
mod failure;
mod fetch;
mod frames;
mod replays;
mod retry;
mod stream;
mod upstream;

pub use chat::{Answer, Answered};
pub use count::Counted;
pub use embed::Embedded;
pub use failure::{AttemptError, Origin, UpstreamError, dropped_message};
pub use fetch::FetchError;
pub use frames::{FrameTooLarge, Splitter};
pub use stream::EventStream;
pub use upstream::{Upstream, install_tls};

use crate::admission::Admission;
use crate::config::{RetryPolicy, Rules, UnsupportedParams};
use crate::contract::embeddings::EmbeddingRequest;
use crate::contract::{Dropped, HttpRequest, HttpResponse};
use crate::domain::{Blobs, Call, ErrorKind};
use crate::health::Health;
use crate::plan::{Candidate, Plan};
use crate::plugin::{CallError, Fault, InFlight};
use crate::provider::{Credential, Ready};
use jiff::Timestamp;
use retry::Next;
use std::sync::Arc;
use std::time::{Duration, Instant};
use upstream::Reply;

/// Of what an adapter says that it dropped: entries, and bytes of each text.
const MAX_DROPPED: usize = 50;
const MAX_DROPPED_BYTES: usize = 200;

/// One upstream call, as it is logged and told.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub provider: String,
    pub model: String,
    pub plugin_version: String,
    pub simulated: bool,
    /// What the provider answered, if it did.
    pub status: Option<u16>,
    pub error: Option<(ErrorKind, String)>,
    pub duration: Duration,
    /// Of `duration`, waiting for the provider.
    pub waited: Duration,
    /// Of `duration`, waiting for others: whoever has the caller's media.
    pub elsewhere: Duration,
    /// Whether it is not over yet: its answer is still being read.
    pub is_streaming: bool,
    /// Waited before this attempt.
    pub backoff: Duration,
    /// The provider's own id of the request.
    pub provider_request_id: Option<String>,
}

/// Is told of attempts as they happen.
pub trait Observer: Send {
    fn began(&mut self, attempt: &Attempt);
    fn ended(&mut self, attempt: Attempt);
}

/// What attempts are made with.
#[derive(Debug)]
pub struct Driver {
    pub upstream: Upstream,
    pub retry: RetryPolicy,
    pub health: Arc<Health>,
    pub admission: Arc<Admission>,
}

impl Driver {
    /// Has the candidates of a plan answer a chat.
    ///
    /// # Errors
    /// Why the last attempt failed.
    pub async fn chat(&self, plan: Plan, call: Call, observer: &mut impl Observer) -> Result<Answered, AttemptError> {
        self.drive(plan, chat::ChatExchange::new(call), observer).await
    }

    /// Has a candidate of a plan embed texts.
    ///
    /// # Errors
    /// As `chat`.
    pub async fn embed(&self, plan: Plan, request: EmbeddingRequest, observer: &mut impl Observer) -> Result<Embedded, AttemptError> {
        self.drive(plan, embed::EmbedExchange::new(request), observer).await
    }

    /// Counts a prompt's tokens as a candidate of a plan counts them.
    ///
    /// # Errors
    /// As `chat`.
    pub async fn count(&self, plan: Plan, call: Call, observer: &mut impl Observer) -> Result<Counted, AttemptError> {
        self.drive(plan, count::CountExchange::new(call), observer).await
    }

    async fn drive<E: Exchange>(&self, plan: Plan, mut exchange: E, observer: &mut impl Observer) -> Result<E::Answer, AttemptError> {
        let rules = plan.rules;
        let mut candidates = plan.rest.into_iter();
        let mut candidate = plan.first;
        let mut retries = 0;
        let mut backoff = Duration::ZERO;
        loop {
            exchange.address(&candidate);
            let mut attempt = Attempt::new(&candidate, backoff);
            observer.began(&attempt);
            let result = self.one(&rules, &candidate, &mut exchange, &mut attempt).await;
            observer.ended(attempt);
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let next = retry::next(&self.retry, error.advice(Timestamp::now()), retries, &mut rand::rng());
            match next {
                Next::Retry { after } => {
                    tokio::time::sleep(after).await;
                    (retries, backoff) = (retries + 1, after);
                }
                Next::Fallback => match candidates.next() {
                    Some(next) => (candidate, retries, backoff) = (next, 0, Duration::ZERO),
                    None => return Err(error),
                },
                Next::GiveUp => return Err(error),
            }
        }
    }

    /// One attempt, with its account.
    async fn one<E: Exchange>(
        &self,
        rules: &Rules,
        candidate: &Candidate,
        exchange: &mut E,
        attempt: &mut Attempt,
    ) -> Result<E::Answer, AttemptError> {
        let began = Instant::now();
        let credential = candidate.provider.ready().and_then(|ready| ready.credentials.first());
        let result = match candidate.provider.ready() {
            Some(ready) => exchange.run(&Target { driver: self, rules, candidate, ready, credential }, attempt).await,
            // A plan holds only providers that are ready.
            None => Err(AttemptError::Plugin(Fault::NoRoom)),
        };
        let result = result.map_err(|error| error.tamed(credential.and_then(Credential::key)));
        attempt.duration = began.elapsed();
        if let Err(error) = &result {
            attempt.status = attempt.status.or(error.status());
            attempt.error = Some((error.kind(), error.message()));
        }
        result
    }
}

/// What one attempt does with a candidate.
trait Exchange: Send {
    type Answer: Send;

    /// Puts into the request what differs from candidate to candidate.
    fn address(&mut self, candidate: &Candidate);

    /// Asks once. What is learned on the way is noted in `attempt`, also where it fails.
    fn run(&mut self, target: &Target<'_>, attempt: &mut Attempt) -> impl Future<Output = Result<Self::Answer, AttemptError>> + Send;
}

/// Whom an attempt asks, and with what.
struct Target<'a> {
    driver: &'a Driver,
    rules: &'a Rules,
    candidate: &'a Candidate,
    ready: &'a Ready,
    credential: Option<&'a Credential>,
}

impl Target<'_> {
    /// What an adapter left out of a request, if the operator allows that anything is. As many as anybody reads: names may be the caller's own.
    fn dropped(&self, encoded: &mut HttpRequest) -> Result<Vec<Dropped>, AttemptError> {
        let mut dropped = std::mem::take(&mut encoded.dropped);
        dropped.truncate(MAX_DROPPED);
        for text in dropped.iter_mut().flat_map(|dropped| [&mut dropped.parameter, &mut dropped.reason]) {
            text.truncate(text.floor_char_boundary(MAX_DROPPED_BYTES));
        }
        match self.rules.unsupported_params {
            UnsupportedParams::Reject if !dropped.is_empty() => Err(AttemptError::Dropped(dropped)),
            UnsupportedParams::Reject | UnsupportedParams::Drop => Ok(dropped),
        }
    }

    /// Sends what an adapter encoded. A request that can't be sent is the plugin's fault.
    async fn send(&self, version: &InFlight, request: HttpRequest, blobs: &Blobs, attempt: &mut Attempt) -> Result<Reply, AttemptError> {
        let sent = self.driver.upstream.send(self, request, blobs).await;
        let reply = sent.inspect_err(|error| {
            if matches!(error, AttemptError::Plugin(_)) {
                version.count_fault();
            }
        })?;
        attempt.status = Some(reply.status());
        attempt.waited = reply.waited;
        let header = version.info.request_id_header.as_deref();
        attempt.provider_request_id = header.and_then(|name| reply.header(name)).map(|id| id.chars().take(200).collect());
        Ok(reply)
    }

    /// Reads an answer that comes whole. An adapter that makes an answer of an error breaks the contract.
    async fn read<T>(
        &self,
        version: &InFlight,
        reply: Reply,
        attempt: &mut Attempt,
        decode: impl AsyncFnOnce(HttpResponse) -> Result<T, CallError>,
    ) -> Result<T, AttemptError> {
        let (waited, whole) = reply.whole().await;
        attempt.waited = waited;
        let response = whole.map_err(AttemptError::Upstream)?;
        let status = response.status;
        let answer = decode(response).await.map_err(|error| AttemptError::of_decode(error, status))?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        version.count_fault();
        let reason = format!("its decode() took an answer with status {status} for a success");
        Err(AttemptError::Plugin(Fault::BrokeContract(reason)))
    }
}

impl Attempt {
    fn new(candidate: &Candidate, backoff: Duration) -> Self {
        let ready = candidate.provider.ready();
        Self {
            provider: candidate.provider.id.clone(),
            model: candidate.model.clone(),
            plugin_version: ready.map(|ready| ready.version.info.version.clone()).unwrap_or_default(),
            simulated: ready.is_some_and(|ready| ready.simulated),
            status: None,
            error: None,
            duration: Duration::ZERO,
            waited: Duration::ZERO,
            elsewhere: Duration::ZERO,
            is_streaming: false,
            backoff,
            provider_request_id: None,
        }
    }
}
