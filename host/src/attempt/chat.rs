//! One attempt at a chat: encode, send, and read the answer whole or as a stream, whichever way the adapter chose.
//!
//! A stream counts as answered once its first part has begun; until then it is tried again and falls back like any request.

use super::failure::AttemptError;
use super::replays::{Replays, Sealer};
use super::stream::EventStream;
use super::upstream::Reply;
use super::{Allowance, Attempt, Exchange, Meter, Target, fetch};
use crate::contract::{
    Capabilities, ChatEvent, ChatRequest, ChatResponse, Dropped, FinishReason, Framing, HttpRequest, PartBody, PartKind,
};
use crate::domain::estimate::{self, Prompt};
use crate::domain::{Blobs, Call, Gathered};
use crate::plan::Candidate;
use crate::plugin::{CallError, InFlight};
use crate::provider::Credential;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// An answer, and what had to be left out of the request for it.
pub struct Answered {
    pub answer: Answer,
    pub dropped: Vec<Dropped>,
}

pub enum Answer {
    Whole(ChatResponse),
    Stream(Box<EventStream>),
}

/// A chat on its way to an answer.
#[derive(Clone)]
pub(super) struct ChatExchange {
    request: Arc<ChatRequest>,
    replays: Replays,
    blobs: Blobs,
    prompt: Prompt,
    /// The caller's.
    max_output: Option<u32>,
}

impl ChatExchange {
    pub(super) fn new(call: Call) -> Self {
        let mut request = call.request;
        let replays = Replays::take(&mut request);
        let (prompt, max_output) = (Prompt::of(&request), request.max_output);
        Self { request: Arc::new(request), replays, blobs: call.blobs, prompt, max_output }
    }
}

/// Puts into a chat request what differs from candidate to candidate.
pub(super) fn address(request: &mut ChatRequest, replays: &Replays, candidate: &Candidate) {
    request.model.clone_from(&candidate.model);
    request.settings = candidate.provider.ready().map(|ready| ready.settings.clone()).unwrap_or_default();
    replays.give(&candidate.provider.id, request);
}

impl Exchange for ChatExchange {
    type Answer = Answered;

    fn address(&mut self, candidate: &Candidate, allowance: Allowance) {
        let request = Arc::make_mut(&mut self.request);
        request.max_output = allowance.max_output.or(self.max_output);
        address(request, &self.replays, candidate);
    }

    async fn run(&mut self, target: &Target<'_>, attempt: &mut Attempt) -> Result<Answered, AttemptError> {
        attempt.meter.expect(self.prompt, self.request.max_output);
        let version = target.ready()?.version.enter();
        let mut encoded = self.encode(target, &version, attempt).await?;
        let dropped = target.dropped(&mut encoded)?;
        let context = std::mem::take(&mut encoded.context);
        let framing = encoded.framing;
        let reply = target.send(&version, encoded, &self.blobs, attempt).await?;
        if is_stream(&reply, framing) {
            let answer = self.read_stream(target, version, (reply, framing, context), attempt).await?;
            attempt.is_streaming = matches!(answer, Answer::Stream(_));
            return Ok(Answered { answer, dropped });
        }
        let mut answer = target.read(&version, reply, attempt, async |response| version.decode(response, context).await).await?;
        if let Some(finish) = answer.choices.iter().map(|choice| &choice.finish).find(|finish| finish.reason == FinishReason::Error) {
            attempt.used.clone_from(&answer.usage);
            return Err(AttemptError::of_finish(finish, attempt.status));
        }
        self.complete(target, &mut answer);
        Ok(Answered { answer: Answer::Whole(answer), dropped })
    }
}

impl ChatExchange {
    /// As it is addressed.
    pub(super) fn request(&self) -> Arc<ChatRequest> {
        Arc::clone(&self.request)
    }

    /// Media that the provider does not fetch is fetched first, or when the adapter says so, if the operator allows it.
    async fn encode(&mut self, target: &Target<'_>, version: &InFlight, attempt: &mut Attempt) -> Result<HttpRequest, AttemptError> {
        let known = version.model(&target.candidate.model).and_then(|model| model.capabilities);
        if known.is_some_and(|can| !can.contains(Capabilities::MEDIA_BY_URL)) {
            self.fetch_media(target, attempt).await?;
        }
        match version.encode(Arc::clone(&self.request)).await {
            Err(CallError::Failure(failure)) if target.rules.media.is_some() && fetch::names_url(&self.request.messages, &failure) => {
                self.fetch_media(target, attempt).await?;
                version.encode(Arc::clone(&self.request)).await.map_err(AttemptError::of_encode)
            }
            encoded => encoded.map_err(AttemptError::of_encode),
        }
    }

    /// Does nothing where the operator does not allow it.
    async fn fetch_media(&mut self, target: &Target<'_>, attempt: &mut Attempt) -> Result<(), AttemptError> {
        let Some(config) = target.rules.media else { return Ok(()) };
        let fetcher = target.driver.upstream.media_fetcher(config)?;
        let began = Instant::now();
        let request = Arc::make_mut(&mut self.request);
        let fetched = fetcher.fetch_all(&mut request.messages, &mut self.blobs).await;
        attempt.elsewhere += began.elapsed();
        fetched.map_err(AttemptError::Media)
    }

    async fn read_stream(
        &self,
        target: &Target<'_>,
        version: InFlight,
        (reply, framing, context): (Reply, Framing, String),
        attempt: &mut Attempt,
    ) -> Result<Answer, AttemptError> {
        let decoder = version.decoder(context, reply.headers()).await.map_err(AttemptError::Plugin)?;
        let finishing = Finishing { sealer: self.sealer(target), prompt: self.prompt, meter: Arc::clone(&attempt.meter) };
        let mut stream = EventStream::new(reply, framing, decoder, version, finishing, target.credential.and_then(Credential::key));
        let begun = stream.begin().await;
        attempt.waited = stream.waited();
        attempt.first_byte = Some(stream.waited());
        begun?;
        if self.request.stream {
            return Ok(Answer::Stream(Box::new(stream)));
        }
        let gathered = gather(&mut stream).await;
        attempt.waited = stream.waited();
        gathered.map(Answer::Whole)
    }

    fn sealer(&self, target: &Target<'_>) -> Sealer {
        self.replays.sealer(&target.candidate.provider.id, &self.request.model)
    }

    /// Puts in what a provider leaves to the host.
    fn complete(&self, target: &Target<'_>, answer: &mut ChatResponse) {
        let parts = || answer.choices.iter().flat_map(|choice| &choice.parts);
        if parts().any(|part| part.replay.is_some()) {
            self.sealer(target).seal_answer(answer);
        }
        for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            if let PartBody::ToolCall(call) = &mut part.body {
                supply(&mut call.id);
            }
        }
        if !estimate::is_told(answer.usage.as_ref()) {
            answer.usage = Some(self.prompt.usage_of(answer));
        }
    }
}

/// What the host adds to a stream's events.
#[derive(Debug)]
pub(super) struct Finishing {
    sealer: Sealer,
    /// For usage, should the provider not tell.
    prompt: Prompt,
    /// Of what comes.
    meter: Arc<Meter>,
}

impl Finishing {
    pub(super) fn finish(&self, event: &mut ChatEvent) {
        self.meter.output(|output| output.add(event));
        self.sealer.seal_event(event);
        if let ChatEvent::PartOpened(opening) = event
            && let PartKind::ToolCall(call) = &mut opening.kind
        {
            supply(&mut call.id);
        }
    }

    /// Usage of a stream that told none.
    pub(super) fn usage(&self) -> Option<ChatEvent> {
        self.meter.output(|output| (!output.usage_was_told()).then(|| ChatEvent::Usage(self.prompt.usage_with(output))))
    }
}

/// What a stream adds up to, for a caller who wants it whole.
async fn gather(stream: &mut EventStream) -> Result<ChatResponse, AttemptError> {
    let mut gathered = Gathered::default();
    while let Some(events) = stream.next().await? {
        for event in events {
            gathered.add(event).map_err(|disorder| stream.broke_contract(disorder.to_string()))?;
        }
    }
    gathered.complete().ok_or_else(|| stream.broke_contract("its decoder did not end the stream".into()))
}

/// Whether the body is the stream that was asked for: a 2xx that says nothing else of itself.
fn is_stream(reply: &Reply, framing: Framing) -> bool {
    let content_type = reply.header("content-type").unwrap_or_default();
    let fits = match framing {
        Framing::Whole => false,
        Framing::Sse => content_type.is_empty() || content_type.starts_with("text/event-stream"),
        Framing::Ndjson => !content_type.starts_with("text/html"),
    };
    fits && (200..300).contains(&reply.status())
}

/// Gives a tool call an id where the provider gave none.
fn supply(id: &mut String) {
    if id.is_empty() {
        *id = format!("call_{}", Uuid::now_v7().simple());
    }
}
