//! How much the gateway takes on at once: places for requests, turns for attempts, room for bodies. Past these it refuses at once.
//!
//! Owns: the three bounds. Not here: what a refused caller is told (`edge`), connections (`server`).

use crate::config::AdmissionConfig;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The gateway has no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overloaded {
    #[error("the gateway has as many requests as it takes ({0}: MAX_CONCURRENCY and MAX_QUEUE)")]
    Full(usize),
    #[error("the request did not get its turn within {0} ms (QUEUE_TIMEOUT)")]
    Queued(u128),
}

#[derive(Debug)]
pub struct Admission {
    turns: Arc<Semaphore>,
    config: AdmissionConfig,
}

/// One attempt's leave to be under way.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(config: AdmissionConfig) -> Self {
        Self { turns: Arc::new(Semaphore::new(config.max_concurrency)), config }
    }

    /// Waits for a turn, first come, first served.
    ///
    /// # Errors
    /// When it takes longer than the queue's timeout.
    pub async fn turn(&self) -> Result<Turn, Overloaded> {
        let late = Overloaded::Queued(self.config.queue_timeout.as_millis());
        let turn = tokio::time::timeout(self.config.queue_timeout, Arc::clone(&self.turns).acquire_owned()).await;
        let permit = turn.map_err(|_| late)?.map_err(|_| late)?;
        Ok(Turn { _permit: permit })
    }

    /// A turn, if there is one now.
    pub fn try_turn(&self) -> Option<Turn> {
        let permit = Arc::clone(&self.turns).try_acquire_owned().ok()?;
        Some(Turn { _permit: permit })
    }
}
