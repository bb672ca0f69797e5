//! A provider's stream, read through its plugin's decoder, as canonical events.
//!
//! Owns: frames, the decoder's instance, the version that the stream began with (it finishes on it), what ends it. Dropped, it closes the
//! connection to the provider at once.

use super::chat::Finishing;
use super::failure::{AttemptError, Origin, UpstreamError};
use super::frames::Splitter;
use super::upstream::{Piece, Reply, Stage};
use crate::admission::Turn;
use crate::contract::{ChatEvent, FinishReason, Frame, Framing, StreamStart};
use crate::domain;
use crate::health::Health;
use crate::plan::Candidate;
use crate::plugin::{Decoder, Fault, InFlight};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events of one piece of a stream. A piece has some ten kilobytes, and a frame seldom gives more than three.
const MAX_EVENTS_PER_CHUNK: usize = 20_000;
/// After this, a caller who sees nothing is told that there is still something to wait for.
const QUIET: Duration = Duration::from_secs(10);
/// Events that may come before an answer begins.
const MAX_EVENTS_BEFORE: usize = 1000;

/// The events of one answer, as they come.
pub struct EventStream {
    reply: Option<Reply>,
    splitter: Option<Splitter>,
    decoder: Decoder,
    version: InFlight,
    finishing: Finishing,
    stage: Stage,
    /// What of the limit on all events is left, in bytes: a caller who can be shown one part at a time may have to be shown the others at the end.
    room: usize,
    max_bytes: usize,
    /// What was read while it was decided whether this stream is an answer.
    held: Vec<ChatEvent>,
    /// What ended the stream, told after the events that came before it.
    failed: Option<AttemptError>,
    waited: Duration,
    status: u16,
    /// To be kept out of what is told of a failure.
    key: Option<String>,
    /// Of a stream that is handed on.
    held_for: Option<Held>,
}

/// What a stream that is handed on keeps until it is over.
#[derive(Debug)]
struct Held {
    _turn: Turn,
    health: Arc<Health>,
    provider: String,
    model: String,
}

impl EventStream {
    pub(super) fn new(
        reply: Reply,
        framing: Framing,
        decoder: Decoder,
        version: InFlight,
        finishing: Finishing,
        key: Option<&str>,
    ) -> Self {
        let (waited, status, max_bytes) = (reply.waited, reply.status(), reply.answer_bytes());
        Self {
            reply: Some(reply),
            splitter: Some(Splitter::new(framing)),
            decoder,
            version,
            finishing,
            stage: Stage::Beginning,
            room: max_bytes,
            max_bytes,
            held: Vec::new(),
            failed: None,
            waited,
            status,
            key: key.map(str::to_owned),
            held_for: None,
        }
    }

    /// Hands the stream on: it keeps its turn until it is over, and should it break off, that is told to who keeps count.
    pub(super) fn hold(&mut self, turn: Turn, health: Arc<Health>, candidate: &Candidate) {
        let (provider, model) = (candidate.provider.id.clone(), candidate.model.clone());
        self.held_for = Some(Held { _turn: turn, health, provider, model });
    }

    /// Time spent waiting for the provider so far.
    pub fn waited(&self) -> Duration {
        self.reply.as_ref().map_or(self.waited, |reply| reply.waited)
    }

    /// Reads until the answer has begun: until then a failure is like any other, and another attempt may follow.
    ///
    /// A provider that says that it has begun and then thinks for long has answered too: the caller is told, and kept waiting.
    pub(super) async fn begin(&mut self) -> Result<(), AttemptError> {
        let began = Instant::now();
        let mut held = Vec::new();
        while let Some(events) = self.read().await? {
            if !held.is_empty() && events.is_empty() && began.elapsed() >= QUIET {
                break;
            }
            held.extend(events);
            if held.len() > MAX_EVENTS_PER_CHUNK + MAX_EVENTS_BEFORE {
                self.fault(Fault::BrokeContract("its decoder gives events without beginning an answer".into()));
            }
            if held.iter().any(begins_answer) {
                break;
            }
        }
        // Nothing has gone out yet: what fails with its first words has failed before them.
        if self.failed.is_some() {
            return self.read().await.map(drop);
        }
        self.held = held;
        Ok(())
    }

    /// What the first event told of the answer, once it has begun.
    pub fn start(&self) -> Option<&StreamStart> {
        self.held.iter().find_map(|event| if let ChatEvent::Started(start) = event { Some(start) } else { None })
    }

    /// The plugin's fault that shows in what it gave.
    pub(super) fn broke_contract(&self, reason: String) -> AttemptError {
        self.version.count_fault();
        AttemptError::Plugin(Fault::BrokeContract(reason))
    }

    /// The next events; none of them when nothing came that means anything; nothing after the end. After an error there is nothing more.
    ///
    /// # Errors
    /// When the provider fails in mid-stream, the stream is cut or stalls, or the plugin breaks.
    pub async fn next(&mut self) -> Result<Option<Vec<ChatEvent>>, AttemptError> {
        if !self.held.is_empty() {
            return Ok(Some(std::mem::take(&mut self.held)));
        }
        self.read().await
    }

    async fn read(&mut self) -> Result<Option<Vec<ChatEvent>>, AttemptError> {
        if self.failed.is_none() && self.splitter.is_some() {
            let mut events = self.step().await;
            if events.iter().any(begins_answer) {
                self.stage = Stage::Begun;
            }
            if let Some(ended) = events.iter().position(|event| matches!(event, ChatEvent::Ended)) {
                events.truncate(ended + 1);
                // Before the end: what comes after it is not read.
                if let Some(usage) = self.finishing.usage() {
                    events.insert(ended, usage);
                }
                self.splitter = None;
                self.failed = None;
            }
            if self.splitter.is_none() {
                self.let_go();
            }
            if !events.is_empty() || (self.failed.is_none() && self.splitter.is_some()) {
                return Ok(Some(events));
            }
        }
        match self.failed.take() {
            Some(error) => {
                self.stop();
                if let Some(held) = self.held_for.take().filter(|_| error.origin() == Origin::Provider) {
                    held.health.broke_off(&held.provider, &held.model, error.kind(), tokio::time::Instant::now());
                }
                Err(error.tamed(self.key.as_deref()))
            }
            None => Ok(None),
        }
    }

    /// The connection of a stream that is over is of use again when its last bytes are read, for which nobody waits.
    fn let_go(&mut self) {
        if let Some(reply) = self.reply.take_if(|_| self.failed.is_none()) {
            self.waited = reply.waited;
            tokio::spawn(reply.drain());
        }
    }

    /// Nothing more is read; the connection is closed.
    fn stop(&mut self) {
        self.splitter = None;
        self.waited = self.waited();
        self.reply = None;
    }

    /// Reads one piece of the body, if one comes. What it fails by is kept in `failed`.
    async fn step(&mut self) -> Vec<ChatEvent> {
        let (Some(reply), Some(splitter)) = (self.reply.as_mut(), self.splitter.as_mut()) else { return Vec::new() };
        let mut frames = Vec::new();
        match reply.piece(QUIET, self.stage).await {
            Ok(Piece::Quiet) => Vec::new(),
            Ok(Piece::Bytes(chunk)) => {
                let fits = splitter.push(&chunk, &mut frames);
                let events = self.push(frames).await;
                if let Err(too_large) = fits {
                    self.failed.get_or_insert(AttemptError::Upstream(UpstreamError::Broken(too_large.to_string())));
                }
                events
            }
            Ok(Piece::End) => self.body_ended(None).await,
            Err(error) => self.body_ended(Some(error)).await,
        }
    }

    async fn body_ended(&mut self, cut: Option<UpstreamError>) -> Vec<ChatEvent> {
        let mut frames = Vec::new();
        // Half a frame at a place where the body was cut means nothing.
        if let Some(splitter) = self.splitter.take().filter(|_| cut.is_none()) {
            splitter.finish(&mut frames);
        }
        let mut events = self.push(frames).await;
        if self.failed.is_some() || events.iter().any(|event| matches!(event, ChatEvent::Ended)) {
            return events;
        }
        // What is known of why the body ended says more than the decoder's verdict on that.
        if let Some(error) = cut {
            self.failed = Some(AttemptError::Upstream(error));
            return events;
        }
        let last = self.decoder.finish().await;
        events.extend(self.checked(last));
        if self.failed.is_none() && !matches!(events.last(), Some(ChatEvent::Ended)) {
            self.fault(Fault::BrokeContract("its decoder neither ended nor failed the stream".into()));
        }
        events
    }

    async fn push(&mut self, frames: Vec<Frame>) -> Vec<ChatEvent> {
        if frames.is_empty() {
            return Vec::new();
        }
        let events = self.decoder.push(frames).await;
        self.checked(events)
    }

    /// Events within bounds, up to a failure, which is kept.
    fn checked(&mut self, events: Result<Vec<ChatEvent>, Fault>) -> Vec<ChatEvent> {
        let mut events = match events {
            Ok(events) if events.len() <= MAX_EVENTS_PER_CHUNK => events,
            Ok(events) => {
                self.fault(Fault::BrokeContract(format!("its decoder made {} events of one piece of a stream", events.len())));
                return Vec::new();
            }
            Err(fault) => {
                self.fault(fault);
                return Vec::new();
            }
        };
        if let Some(at) = events.iter().position(fails) {
            self.failed = events.drain(at..).next().and_then(|event| self.failure(event));
        }
        events.iter_mut().for_each(|event| self.finishing.finish(event));
        self.room = self.room.saturating_sub(events.iter().map(domain::size).sum());
        if self.room == 0 {
            self.failed.get_or_insert(AttemptError::Upstream(UpstreamError::TooLarge(self.max_bytes)));
        }
        events
    }

    fn failure(&self, event: ChatEvent) -> Option<AttemptError> {
        match event {
            ChatEvent::Failed(failure) => Some(AttemptError::Provider { failure: Box::new(failure), status: self.status }),
            ChatEvent::Finished(finished) => Some(AttemptError::of_finish(&finished.finish, Some(self.status))),
            _ => None,
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.version.count_fault();
        self.failed = Some(AttemptError::Plugin(fault));
    }
}

/// Whether an answer has failed: all of it, or one of its choices.
fn fails(event: &ChatEvent) -> bool {
    match event {
        ChatEvent::Failed(_) => true,
        ChatEvent::Finished(finished) => finished.finish.reason == FinishReason::Error,
        _ => false,
    }
}

/// Whether the caller is to be shown something.
fn begins_answer(event: &ChatEvent) -> bool {
    !matches!(event, ChatEvent::Started(_) | ChatEvent::Usage(_))
}
