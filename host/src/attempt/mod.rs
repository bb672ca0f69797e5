//! From a plan to an answer: asks one candidate after the other until one answers.
//!
//! Owns: the loop, retries, the way of one attempt (encode, credential, HTTP, frames, decode). Not here: who the candidates are (`plan`), what is
//! done with the answer (`settle`, `edge`). Runs inside the caller's future: when the caller leaves, so does the request upstream.
//!
//! A stream counts as answered once its first part has begun; until then it is tried again and falls back like any request.

mod failure;
mod frames;
mod retry;
mod stream;
mod upstream;

pub use failure::{AttemptError, Origin, UpstreamError};
pub use frames::{FrameTooLarge, Splitter};
pub use stream::EventStream;
pub use upstream::{Upstream, install_tls};

use crate::config::RetryPolicy;
use crate::contract::{ChatEvent, ChatRequest, ChatResponse, Dropped, Framing, HttpResponse, PartBody, PartKind};
use crate::domain::{Blobs, Call, ErrorKind, Gathered};
use crate::plan::{Candidate, Plan};
use crate::plugin::{CallError, Fault, InFlight};
use crate::provider::Ready;
use jiff::Timestamp;
use retry::Next;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

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

/// An answer, and what had to be left out of the request for it.
pub struct Answered {
    pub answer: Answer,
    pub dropped: Vec<Dropped>,
}

pub enum Answer {
    Whole(ChatResponse),
    Stream(Box<EventStream>),
}

/// Asks the candidates of a plan.
///
/// # Errors
/// Why the last attempt failed.
pub async fn drive(
    upstream: &Upstream,
    policy: &RetryPolicy,
    plan: Plan,
    call: Call,
    observer: &mut impl Observer,
) -> Result<Answered, AttemptError> {
    let mut candidates = plan.rest.into_iter();
    let mut candidate = plan.first;
    let mut request = Arc::new(call.request);
    let mut retries = 0;
    let mut backoff = Duration::ZERO;
    loop {
        address(&mut request, &candidate);
        let mut attempt = Attempt::new(&candidate, backoff);
        observer.began(&attempt);
        let result = one(upstream, &candidate, &request, &call.blobs, &mut attempt).await;
        observer.ended(attempt);
        let error = match result {
            Ok(answered) => return Ok(answered),
            Err(error) => error,
        };
        let next = retry::next(policy, error.advice(Timestamp::now()), retries, &mut rand::rng());
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

/// Puts into the request what differs from candidate to candidate.
fn address(request: &mut Arc<ChatRequest>, candidate: &Candidate) {
    let settings = candidate.provider.ready().map(|ready| ready.settings.clone()).unwrap_or_default();
    let request = Arc::make_mut(request);
    request.model.clone_from(&candidate.model);
    request.settings = settings;
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
            backoff,
            provider_request_id: None,
        }
    }
}

/// One attempt, with its account.
async fn one(
    upstream: &Upstream,
    candidate: &Candidate,
    request: &Arc<ChatRequest>,
    blobs: &Blobs,
    attempt: &mut Attempt,
) -> Result<Answered, AttemptError> {
    let began = Instant::now();
    let result = match candidate.provider.ready() {
        Some(ready) => exchange(upstream, ready, request, blobs, attempt).await,
        // A plan holds only providers that are ready.
        None => Err(AttemptError::Plugin(Fault::NoRoom)),
    };
    let result = result.map_err(|error| error.tamed(candidate.provider.ready().and_then(Ready::key)));
    attempt.duration = began.elapsed();
    if let Err(error) = &result {
        attempt.status = attempt.status.or(error.status());
        attempt.error = Some((error.kind(), error.message()));
    }
    result
}

async fn exchange(
    upstream: &Upstream,
    ready: &Ready,
    request: &Arc<ChatRequest>,
    blobs: &Blobs,
    attempt: &mut Attempt,
) -> Result<Answered, AttemptError> {
    let version = ready.version.enter();
    let mut encoded = version.encode(Arc::clone(request)).await.map_err(AttemptError::of_encode)?;
    let dropped = std::mem::take(&mut encoded.dropped);
    let context = std::mem::take(&mut encoded.context);
    let framing = encoded.framing;
    let sent = upstream.send(ready, encoded, blobs).await;
    let reply = sent.inspect_err(|error| {
        if matches!(error, AttemptError::Plugin(_)) {
            version.count_fault();
        }
    })?;
    attempt.status = Some(reply.status());
    attempt.waited = reply.waited;
    attempt.provider_request_id =
        version.info.request_id_header.as_deref().and_then(|name| reply.header(name)).map(|id| id.chars().take(200).collect());
    if is_stream(&reply, framing) {
        let decoder = version.decoder(context, reply.headers()).await.map_err(AttemptError::Plugin)?;
        let mut stream = EventStream::new(reply, framing, decoder, version, ready.key());
        let begun = stream.begin().await;
        attempt.waited = stream.waited();
        begun?;
        return Ok(Answered { answer: answer_of(stream, request.stream, attempt).await?, dropped });
    }
    let (waited, whole) = reply.whole().await;
    attempt.waited = waited;
    let answer = decode(&version, whole.map_err(AttemptError::Upstream)?, context).await?;
    Ok(Answered { answer: Answer::Whole(answer), dropped })
}

/// A stream for a caller who wants one; for another, what it adds up to.
async fn answer_of(mut stream: EventStream, wanted: bool, attempt: &mut Attempt) -> Result<Answer, AttemptError> {
    if wanted {
        return Ok(Answer::Stream(Box::new(stream)));
    }
    let mut gathered = Gathered::default();
    let mut disorder = None;
    while let Some(events) = stream.next().await.inspect_err(|_| attempt.waited = stream.waited())? {
        disorder = events.into_iter().find_map(|event| gathered.add(event).err());
        if disorder.is_some() {
            break;
        }
    }
    attempt.waited = stream.waited();
    let broken = |reason: String| AttemptError::Plugin(Fault::BrokeContract(reason));
    match disorder {
        Some(disorder) => Err(broken(disorder.to_string())),
        None => gathered.complete().map(Answer::Whole).ok_or_else(|| broken("its decoder did not end the stream".into())),
    }
}

async fn decode(version: &InFlight, response: HttpResponse, context: String) -> Result<ChatResponse, AttemptError> {
    let status = response.status;
    let success = (200..300).contains(&status);
    let decoded = version.decode(response, context).await;
    let mut answer = decoded.map_err(|error| AttemptError::of_decode(error, status))?;
    if !success {
        version.count_fault();
        let reason = format!("its decode() took an answer with status {status} for a success");
        return Err(AttemptError::of_decode(CallError::Fault(Fault::BrokeContract(reason)), status));
    }
    for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let PartBody::ToolCall(call) = &mut part.body {
            supply(&mut call.id);
        }
    }
    Ok(answer)
}

/// Whether the body is the stream that was asked for: a 2xx that says nothing else of itself.
fn is_stream(reply: &upstream::Reply, framing: Framing) -> bool {
    let content_type = reply.header("content-type").unwrap_or_default();
    let fits = match framing {
        Framing::Whole => false,
        Framing::Sse => content_type.is_empty() || content_type.starts_with("text/event-stream"),
        Framing::Ndjson => !content_type.starts_with("text/html"),
    };
    fits && (200..300).contains(&reply.status())
}

/// Gives a tool call an id where the provider gave none.
fn supply_id(event: &mut ChatEvent) {
    if let ChatEvent::PartOpened(opening) = event
        && let PartKind::ToolCall(call) = &mut opening.kind
    {
        supply(&mut call.id);
    }
}

fn supply(id: &mut String) {
    if id.is_empty() {
        *id = format!("call_{}", Uuid::now_v7().simple());
    }
}
