//! Sends an answer: at its pace, with the faults of its delivery, and with an eye on the client.
//!
//! Owns: the response body. The plan of what goes out is made beforehand (`Plan`, pure); the body only follows it. Without pauses and faults
//! nothing in here waits, so a stream leaves as fast as the connection takes it.

use super::faults::{Delivery, ErrorAfter, NoEnd, Split, Stall};
use super::frames::Frames;
use super::journal::Visit;
use super::pacing::Pacing;
use super::wire::Streamed;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io;
use std::time::Duration;

/// Random pieces have 1 to so many bytes: SSE records are longer, so most are cut.
const MAX_RANDOM_PIECE: usize = 40;

/// The bytes of a body and how they go out.
pub(super) struct Plan {
    bytes: Bytes,
    /// Where each frame ends.
    ends: Vec<usize>,
    stall: Option<Stall>,
    breaks: bool,
    split: Option<Split>,
    drip: Duration,
    pacing: Pacing,
    /// What `content-length` says, for a whole body.
    pub length: Option<usize>,
}

impl Plan {
    pub fn stream(streamed: Streamed, delivery: &Delivery, pacing: Pacing) -> Self {
        let mut frames = streamed.frames;
        match delivery.no_end {
            Some(NoEnd::Terminal) => frames.drop_terminal(),
            Some(NoEnd::Finish) => frames.drop_finish(),
            None => {}
        }
        match delivery.error_after {
            Some(ErrorAfter::Framed(count)) => fail(&mut frames, count, |count| (streamed.failure)(count).framed),
            Some(ErrorAfter::Raw(count)) => fail(&mut frames, count, |count| (streamed.failure)(count).raw),
            None => {}
        }
        let (bytes, ends) = frames.into_parts();
        Self { bytes, ends, stall: None, breaks: false, split: None, drip: Duration::ZERO, pacing, length: None }.with(delivery)
    }

    /// A whole body has no frames; to be cut or stalled after `n`, it is divided into `n + 1` parts.
    pub fn whole(body: Bytes, delivery: &Delivery) -> Self {
        let after = delivery.cut_after.into_iter().chain(delivery.stall.map(|stall| stall.after)).max();
        let parts = after.map_or(1, |after| after + 1).min(body.len().max(1));
        let ends = (1..=parts).map(|part| part * body.len() / parts).collect();
        let length = Some(body.len());
        let pacing = Pacing::NONE;
        let mut plan =
            Self { bytes: body, ends, stall: None, breaks: false, split: None, drip: Duration::ZERO, pacing, length }.with(delivery);
        if delivery.truncate && !plan.breaks {
            plan.length = Some(plan.bytes.len());
        }
        plan
    }

    fn with(mut self, delivery: &Delivery) -> Self {
        if delivery.truncate {
            self.keep_bytes(self.bytes.len() / 2);
        }
        if let Some(count) = delivery.cut_after {
            self.breaks = true;
            self.ends.truncate(count);
            self.keep_bytes(self.ends.last().copied().unwrap_or(0));
        }
        self.stall = delivery.stall;
        self.split = delivery.split;
        self.drip = delivery.drip;
        self
    }

    fn keep_bytes(&mut self, count: usize) {
        self.bytes.truncate(count);
        self.ends.retain(|end| *end < count);
        self.ends.push(count);
    }

    /// Whether the body can be handed over at once.
    fn is_plain(&self) -> bool {
        self.length.is_some() && self.stall.is_none() && !self.breaks && self.split.is_none()
    }

    /// The body. `visit` ends with it.
    pub fn into_body(self, mut visit: Visit) -> Body {
        if self.is_plain() {
            visit.answered();
            return Body::from(self.bytes);
        }
        let random = match self.split {
            Some(Split::Random { seed }) => Some(StdRng::seed_from_u64(seed)),
            _ => None,
        };
        let sending = Sending { plan: self, sent: 0, frame: 0, stalled: false, random, visit };
        Body::from_stream(stream::unfold(Some(sending), |sending| async move {
            let mut sending = sending?;
            match sending.next().await? {
                Ok(piece) => Some((Ok(piece), Some(sending))),
                Err(broken) => Some((Err(broken), None)),
            }
        }))
    }
}

fn fail(frames: &mut Frames, count: usize, failure: impl FnOnce(usize) -> String) {
    frames.truncate(count);
    let after = frames.len();
    frames.text(&failure(after));
}

/// A body that fails before it begins: the server closes the connection with the head still unsent.
pub(super) fn reset(mut visit: Visit) -> Body {
    visit.answered();
    Body::from_stream(stream::once(async { Err::<Bytes, _>(aborted()) }))
}

/// A body on its way.
struct Sending {
    plan: Plan,
    /// Bytes that are out.
    sent: usize,
    /// The frame that comes next.
    frame: usize,
    stalled: bool,
    random: Option<StdRng>,
    visit: Visit,
}

impl Sending {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.stall().await;
        if self.sent == self.plan.bytes.len() {
            return self.end().await;
        }
        self.pause().await;
        let end = self.next_end();
        let piece = self.plan.bytes.slice(self.sent..end);
        self.sent = end;
        while self.plan.ends.get(self.frame).is_some_and(|frame_end| *frame_end <= end) {
            self.frame += 1;
        }
        let last = end == self.plan.bytes.len();
        if last && !self.plan.breaks && !self.stall_is_ahead() {
            // A server that counts bytes does not ask again after the last one.
            self.visit.answered();
        }
        Some(Ok(piece))
    }

    async fn end(&mut self) -> Option<io::Result<Bytes>> {
        // That the connection breaks is the simulator's doing, not the client's.
        self.visit.answered();
        if !self.plan.breaks {
            return None;
        }
        flush().await;
        Some(Err(aborted()))
    }

    fn stall_is_ahead(&self) -> bool {
        !self.stalled && self.plan.stall.is_some()
    }

    async fn stall(&mut self) {
        let Some(stall) = self.plan.stall else { return };
        let all_sent = self.sent == self.plan.bytes.len();
        if !self.stalled && (self.frame >= stall.after || all_sent) {
            self.stalled = true;
            tokio::time::sleep(stall.pause).await;
        }
    }

    async fn pause(&mut self) {
        match self.plan.split {
            // Pieces of a frame have no pace of their own.
            Some(_) if self.sent > 0 && self.plan.drip.is_zero() => flush().await,
            Some(_) if self.sent > 0 => tokio::time::sleep(self.plan.drip).await,
            _ => wait(self.plan.pacing.pause_before(self.frame)).await,
        }
    }

    fn next_end(&mut self) -> usize {
        let frame_end = self.plan.ends.get(self.frame).copied().unwrap_or(self.plan.bytes.len());
        let length = match (self.plan.split, &mut self.random) {
            (Some(Split::Every(length)), _) => length,
            (Some(Split::Random { .. }), Some(random)) => random.random_range(1..=MAX_RANDOM_PIECE),
            _ => return frame_end,
        };
        let end = self.sent.saturating_add(length).min(self.plan.bytes.len());
        // A stall falls on the end of a frame, wherever the pieces are cut.
        match self.plan.stall {
            Some(stall) if !self.stalled && stall.after > self.frame => {
                let before_stall = self.plan.ends.get(stall.after - 1).copied().unwrap_or(usize::MAX);
                end.min(before_stall)
            }
            _ => end,
        }
    }
}

fn aborted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the simulator cuts the connection")
}

/// Lets the connection write out what it holds: a body that is not ready makes the server flush.
async fn flush() {
    tokio::task::yield_now().await;
}

pub(super) async fn wait(pause: Option<Duration>) {
    if let Some(pause) = pause {
        tokio::time::sleep(pause).await;
    }
}
