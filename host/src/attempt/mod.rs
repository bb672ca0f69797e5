//! From a plan to an answer: asks one candidate after the other until one answers.
//!
//! Owns: the loop (`drive`), retries, the way of one attempt (encode, credential, HTTP, frames, decode). Not here: who the candidates are (`plan`), what is
//! done with the answer (`settle`, `edge`). Runs inside the caller's future: when the caller leaves, so does the request upstream.
//!
//! What is asked of a candidate is an [`Exchange`]: `chat`, `embed` or `count`. Read `chat` first.

mod chat;
mod count;
mod drive;
mod embed;
mod failure;
mod fetch;
mod frames;
mod history;
mod limits;
mod meter;
mod preview;
mod replays;
mod retry;
mod stream;
mod upstream;

pub use chat::{Answer, Answered};
pub use count::Counted;
pub use drive::time_left;
pub use embed::Embedded;
pub use failure::{AttemptError, Late, LeftAlone, Origin, Unaffordable, UpstreamError, dropped_message};
pub use fetch::FetchError;
pub use frames::{FrameTooLarge, Splitter};
pub use history::sentence as history;
pub use meter::Meter;
pub use preview::Preview;
pub use stream::EventStream;
pub use upstream::{Upstream, install_tls};

use crate::admission::Admission;
use crate::config::{RetryPolicy, Rules, UnsupportedParams};
use crate::contract::embeddings::EmbeddingRequest;
use crate::contract::{Dropped, HttpRequest, HttpResponse, Usage};
use crate::domain::{Blobs, Call, CallContext, ErrorKind};
use crate::health::{Health, Pass};
use crate::plan::{Candidate, Plan};
use crate::plugin::{CallError, Fault, InFlight};
use crate::provider::Credential;
use drive::Until;
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
    /// Whether its adapter lists the model: one that it does not is the caller's text.
    pub is_listed: bool,
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
    pub why: Why,
    /// Which of the provider's keys it had, from 1, where it has several.
    pub key: Option<usize>,
    /// From the sending to the first byte of the answer, or of a stream's first part.
    pub first_byte: Option<Duration>,
    /// When a limit that is used up is full again, as the provider's headers say.
    pub limits_reset: Option<Duration>,
    /// The provider's own id of the request.
    pub provider_request_id: Option<String>,
    pub meter: Arc<Meter>,
    /// What a failed one used. Absent: it is not billed.
    pub used: Option<Usage>,
}

/// Why an attempt was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    First,
    Retry,
    /// The key before it was refused.
    OtherKey,
    Fallback,
    /// The one before it was slow to answer.
    Hedge,
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::OtherKey => "other_key",
            Self::Fallback => "fallback",
            Self::Hedge => "hedge",
        }
    }
}

/// What an attempt may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Tokens of each answer. Absent: what the request says.
    pub max_output: Option<u32>,
}

/// Is asked before attempts and told of them as they happen. Two may be under way at once.
pub trait Observer: Send {
    /// Sets aside what it may cost at most to ask a candidate.
    ///
    /// # Errors
    /// When the caller may not spend so much.
    fn afford(&mut self, _candidate: &Candidate) -> impl Future<Output = Result<Allowance, Unaffordable>> + Send {
        std::future::ready(Ok(Allowance::default()))
    }

    /// A candidate for which something was set aside is not asked after all.
    fn not_asked(&mut self, _candidate: &Candidate) {}

    fn began(&mut self, attempt: &Attempt);
    fn ended(&mut self, attempt: Attempt);
    /// A candidate that was not asked.
    fn left_alone(&mut self, candidate: &LeftAlone);
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
        let context = call.context.clone();
        let driven = self.drive(plan, &context, chat::ChatExchange::new(call), observer).await?;
        let mut answered = driven.answer;
        if let Answer::Stream(stream) = &mut answered.answer {
            stream.hold(driven.turn, Arc::clone(&self.health), &driven.candidate);
        }
        Ok(answered)
    }

    /// Has a candidate of a plan embed texts.
    ///
    /// # Errors
    /// As `chat`.
    pub async fn embed(
        &self,
        plan: Plan,
        context: &CallContext,
        request: EmbeddingRequest,
        observer: &mut impl Observer,
    ) -> Result<Embedded, AttemptError> {
        Ok(self.drive(plan, context, embed::EmbedExchange::new(request), observer).await?.answer)
    }

    /// Counts a prompt's tokens as a candidate of a plan counts them.
    ///
    /// # Errors
    /// As `chat`.
    pub async fn count(&self, plan: Plan, call: Call, observer: &mut impl Observer) -> Result<Counted, AttemptError> {
        let context = call.context.clone();
        Ok(self.drive(plan, &context, count::CountExchange::new(call), observer).await?.answer)
    }
}

/// What one attempt does with a candidate.
trait Exchange: Clone + Send {
    type Answer: Send;

    /// Puts into the request what differs from candidate to candidate.
    fn address(&mut self, candidate: &Candidate, allowance: Allowance);

    /// Asks once. What is learned on the way is noted in `attempt`, also where it fails.
    fn run(&mut self, target: &Target<'_>, attempt: &mut Attempt) -> impl Future<Output = Result<Self::Answer, AttemptError>> + Send;
}

/// Whom an attempt asks, and with what.
struct Target<'a> {
    driver: &'a Driver,
    rules: &'a Rules,
    candidate: &'a Candidate,
    credential: Option<&'a Credential>,
    /// Leave to ask, with the credential's place among the provider's.
    pass: &'a Pass,
    until: Until,
}

impl Target<'_> {
    /// As `dropped`.
    fn dropped(&self, encoded: &mut HttpRequest) -> Result<Vec<Dropped>, AttemptError> {
        dropped(self.rules, encoded)
    }

    /// Sends what an adapter encoded. A request that can't be sent is the plugin's fault.
    async fn send(&self, version: &InFlight, request: HttpRequest, blobs: &Blobs, attempt: &mut Attempt) -> Result<Reply, AttemptError> {
        let began = Instant::now();
        self.pass.sent(tokio::time::Instant::now());
        attempt.meter.sent();
        let sent = self.driver.upstream.send(self, request, blobs).await;
        attempt.waited = began.elapsed();
        let reply = sent.inspect_err(|error| {
            if matches!(error, AttemptError::Plugin(_)) {
                version.count_fault();
            }
        })?;
        self.pass.heard();
        attempt.status = Some(reply.status());
        attempt.first_byte = Some(reply.waited);
        attempt.limits_reset = limits::learn(self, &self.ready()?.version, &reply).await;
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

/// What an adapter left out of a request, if the operator allows that anything is. As many as anybody reads: names may be the caller's own.
fn dropped(rules: &Rules, encoded: &mut HttpRequest) -> Result<Vec<Dropped>, AttemptError> {
    let mut dropped = std::mem::take(&mut encoded.dropped);
    dropped.truncate(MAX_DROPPED);
    for text in dropped.iter_mut().flat_map(|dropped| [&mut dropped.parameter, &mut dropped.reason]) {
        text.truncate(text.floor_char_boundary(MAX_DROPPED_BYTES));
    }
    match rules.unsupported_params {
        UnsupportedParams::Reject if !dropped.is_empty() => Err(AttemptError::Dropped(dropped)),
        UnsupportedParams::Reject | UnsupportedParams::Drop => Ok(dropped),
    }
}

impl Attempt {
    fn new(candidate: &Candidate, why: Why, key: Option<usize>, backoff: Duration) -> Self {
        let ready = candidate.provider.ready();
        let has_several = ready.is_some_and(|ready| ready.credentials.len() > 1);
        Self {
            provider: candidate.provider.id.clone(),
            model: candidate.model.clone(),
            is_listed: candidate.provider.model(&candidate.model).is_some(),
            plugin_version: ready.map(|ready| ready.version.info.version.clone()).unwrap_or_default(),
            simulated: ready.is_some_and(|ready| ready.simulated),
            status: None,
            error: None,
            duration: Duration::ZERO,
            waited: Duration::ZERO,
            elsewhere: Duration::ZERO,
            is_streaming: false,
            backoff,
            why,
            key: key.filter(|_| has_several).map(|key| key + 1),
            first_byte: None,
            limits_reset: None,
            provider_request_id: None,
            meter: Arc::default(),
            used: None,
        }
    }

    /// Whether its provider may have billed it though it failed, if it had it: it did not refuse it.
    fn may_be_billed(&self, error: &AttemptError) -> bool {
        let refused = self.status.is_some_and(|status| !(200..300).contains(&status));
        let unreachable = matches!(error, AttemptError::Upstream(UpstreamError::Unreachable(_) | UpstreamError::ConnectTimeout(_)));
        !refused && !unreachable
    }

    /// Another one answered first.
    fn lost(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self.used = self.meter.used();
        self.error = Some((ErrorKind::Cancelled, "another candidate answered first".to_owned()));
        self
    }
}
