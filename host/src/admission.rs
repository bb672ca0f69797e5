//! How much the gateway takes on at once: places for requests, turns for attempts, room for bodies. Past these it refuses at once.
//!
//! Owns: the three bounds. Not here: what a refused caller is told (`edge`), connections (`server`).
//!
//! A request has a place from when its body is there until the last byte of its answer. A turn is had only while a provider is asked, so a request that waits before a retry keeps nobody
//! from asking. Room is taken for bytes that have come, not for those that were announced: else a few callers who announce much and send nothing would shut everybody else out.

use crate::config::AdmissionConfig;
use crate::metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The gateway has no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overloaded {
    #[error("the gateway has as many requests as it takes ({0}: MAX_CONCURRENCY and MAX_QUEUE): try again shortly")]
    Full(usize),
    #[error("the request did not get its turn within {} ms (QUEUE_TIMEOUT): try again shortly", .0.as_millis())]
    Queued(Duration),
    #[error("the bodies of other requests take all of the memory that there is for them ({0} bytes: MAX_BODY_MEMORY): try again shortly")]
    Bodies(usize),
}

impl Overloaded {
    /// What there was no room for.
    fn counted(self) -> Self {
        metrics::refused(match self {
            Self::Full(_) => "places",
            Self::Queued(_) => "turns",
            Self::Bodies(_) => "bodies",
        });
        self
    }
}

#[derive(Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// In bytes.
    room: Arc<Semaphore>,
    waiting: AtomicUsize,
    config: AdmissionConfig,
}

/// One request's leave to be in the gateway, with the memory of its body.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    body: Room,
}

/// One attempt's leave to be under way.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// The memory of one request's body.
#[derive(Debug)]
pub struct Room {
    semaphore: Arc<Semaphore>,
    /// Of all bodies, for the refusal.
    whole: usize,
    taken: Option<OwnedSemaphorePermit>,
}

/// Counted as waiting until it is dropped, which it is also when the caller leaves.
struct Waiting<'a>(&'a AtomicUsize);

impl Admission {
    pub fn new(config: AdmissionConfig) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places(&config))),
            turns: Arc::new(Semaphore::new(config.max_concurrency)),
            room: Arc::new(Semaphore::new(config.body_memory)),
            waiting: AtomicUsize::new(0),
            config,
        }
    }

    /// Whether a request that comes now would be refused: asked before its body is read.
    ///
    /// # Errors
    /// When it would be.
    pub fn check(&self) -> Result<(), Overloaded> {
        if self.places.available_permits() == 0 { Err(self.full()) } else { Ok(()) }
    }

    /// Takes a place for a request whose body is there. Never waits.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(&self, body: Room) -> Result<Place, Overloaded> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.full())?;
        Ok(Place { _permit: permit, body })
    }

    /// Waits for a turn, first come, first served.
    ///
    /// # Errors
    /// When it takes longer than the queue's timeout.
    pub async fn turn(&self) -> Result<Turn, Overloaded> {
        if let Some(turn) = self.try_turn() {
            return Ok(turn);
        }
        let _waiting = Waiting::among(&self.waiting);
        let late = || Overloaded::Queued(self.config.queue_timeout).counted();
        let turn = tokio::time::timeout(self.config.queue_timeout, Arc::clone(&self.turns).acquire_owned()).await;
        let permit = turn.map_err(|_| late())?.map_err(|_| late())?;
        Ok(Turn { _permit: permit })
    }

    /// A turn, if there is one now that nobody waits for.
    pub fn try_turn(&self) -> Option<Turn> {
        let permit = Arc::clone(&self.turns).try_acquire_owned().ok()?;
        Some(Turn { _permit: permit })
    }

    /// For a body, of which nothing has come yet.
    pub fn room(&self) -> Room {
        Room { semaphore: Arc::clone(&self.room), whole: self.config.body_memory, taken: None }
    }

    /// Requests that have a place now.
    pub fn requests(&self) -> usize {
        places(&self.config).saturating_sub(self.places.available_permits())
    }

    /// Attempts that have a turn now.
    pub fn attempts(&self) -> usize {
        self.config.max_concurrency.saturating_sub(self.turns.available_permits())
    }

    /// Attempts that wait for a turn now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Bytes of all bodies now.
    pub fn body_bytes(&self) -> usize {
        self.config.body_memory.saturating_sub(self.room.available_permits())
    }

    fn full(&self) -> Overloaded {
        Overloaded::Full(places(&self.config)).counted()
    }
}

impl Place {
    /// Makes room for what is made of the body, if that takes more than it.
    ///
    /// # Errors
    /// When there is not so much.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Overloaded> {
        self.body.grow_to(bytes)
    }
}

impl Room {
    /// Makes it as big as this many bytes, if it is smaller.
    ///
    /// # Errors
    /// When there is not so much; then it stays as it is.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Overloaded> {
        let more = bytes.saturating_sub(self.bytes());
        if more == 0 {
            return Ok(());
        }
        let full = || Overloaded::Bodies(self.whole).counted();
        let more = u32::try_from(more).map_err(|_| full())?;
        let permit = Arc::clone(&self.semaphore).try_acquire_many_owned(more).map_err(|_| full())?;
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

impl<'a> Waiting<'a> {
    fn among(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn places(config: &AdmissionConfig) -> usize {
    config.max_concurrency + config.max_queue
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::FutureExt;

    const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

    fn admission() -> Admission {
        Admission::new(AdmissionConfig { max_concurrency: 1, max_queue: 2, queue_timeout: QUEUE_TIMEOUT, body_memory: 1000 })
    }

    #[test]
    fn there_are_places_for_what_is_under_way_and_what_waits_and_no_more() {
        let admission = admission();
        let places: Vec<Place> = (0..3).map(|_| admission.enter(admission.room()).unwrap()).collect();
        assert_eq!(admission.enter(admission.room()).unwrap_err(), Overloaded::Full(3));
        assert_eq!(admission.check().unwrap_err(), Overloaded::Full(3));
        assert_eq!(admission.requests(), 3);
        drop(places);
        assert!(admission.check().is_ok() && admission.enter(admission.room()).is_ok());
        assert_eq!(admission.requests(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_the_order_in_which_they_were_asked_for() {
        let admission = admission();
        let turn = admission.turn().await.unwrap();
        let mut first = Box::pin(admission.turn());
        let mut second = Box::pin(admission.turn());
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert_eq!((admission.attempts(), admission.waiting()), (1, 2));
        drop(turn);
        assert!(admission.try_turn().is_none(), "others were there before");
        assert!(second.as_mut().now_or_never().is_none());
        let turn = first.await.unwrap();
        assert!(second.as_mut().now_or_never().is_none());
        drop(turn);
        second.await.unwrap();
        assert_eq!((admission.attempts(), admission.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_turn_longer_than_the_queue_allows() {
        let admission = admission();
        let _turn = admission.try_turn().unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(admission.turn().await.unwrap_err(), Overloaded::Queued(QUEUE_TIMEOUT));
        assert_eq!((began.elapsed(), admission.waiting()), (QUEUE_TIMEOUT, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_waits_no_more_and_takes_no_turn() {
        let admission = admission();
        let turn = admission.try_turn().unwrap();
        let mut left = Box::pin(admission.turn());
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        assert_eq!(admission.waiting(), 0);
        drop(turn);
        assert!(admission.try_turn().is_some());
    }

    #[test]
    fn bodies_share_their_memory_and_give_it_back() {
        let admission = admission();
        let (mut one, mut other) = (admission.room(), admission.room());
        one.grow_to(600).unwrap();
        one.grow_to(500).unwrap();
        assert_eq!(admission.body_bytes(), 600);
        assert_eq!(other.grow_to(401).unwrap_err(), Overloaded::Bodies(1000));
        other.grow_to(400).unwrap();
        assert_eq!(one.grow_to(601).unwrap_err(), Overloaded::Bodies(1000));
        assert_eq!(admission.body_bytes(), 1000, "what was refused took nothing");
        drop(other);
        let place = admission.enter(one).unwrap();
        assert_eq!(admission.body_bytes(), 600);
        drop(place);
        assert_eq!(admission.body_bytes(), 0);
    }
}
