//! Moves rows from the journal into the database, and old rows out of that.
//!
//! Owns: when that happens, and what follows when it fails. Not here: the files (`journal`), the statements (`store`).
//!
//! Nobody waits for it but who asks for it. A row that was written and not yet passed in the journal is written again, which changes nothing: so it may end anywhere.

use super::journal::{Batch, Journal, Reader};
use super::store::{Purge, Store, is_fault_of_rows};
use super::{Replayed, RequestRow, Way};
use crate::config::LedgerConfig;
use crate::metrics;
use jiff::Timestamp;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a row may wait for others to be written with.
const TICK: Duration = Duration::from_millis(100);
const SYNC_EVERY: Duration = Duration::from_secs(1);
const PURGE_EVERY: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR_MS: i64 = 3_600_000;
/// Of sums by the hour, where rows are kept for ever. Those by the day stay.
const HOURS_RETENTION: Duration = DAY.saturating_mul(400);
/// However short rows are kept: the days at the ends of a time that is asked for are read by the hour.
const SHORTEST_HOURS: Duration = DAY.saturating_mul(3);
/// Far above what a batch takes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For what is left at the end. The rest is replayed.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// Is told of a row of an earlier process.
pub(super) type OnReplayed = Box<dyn Fn(Replayed) + Send + Sync>;

pub(super) struct Writer {
    journal: Arc<Journal>,
    reader: Reader,
    store: Store,
    config: LedgerConfig,
    on_replayed: OnReplayed,
    progress: watch::Sender<Progress>,
    /// Somebody waits for rows.
    wake: Arc<Notify>,
    /// What is to be taken next for [`Progress::as_of`] to move.
    mark: Mark,
    outage: Option<Outage>,
    sync_at: Instant,
    purge_at: Instant,
    /// Of which there may be more to delete.
    purging: Vec<Purge>,
}

/// How far the writer is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Bytes of the journal that need no more to be done about.
    pub taken: u64,
    /// All rows that were recorded before it are in the database, those of earlier processes included. Absent: of those some wait.
    pub as_of: Option<Instant>,
    pub is_down: bool,
}

/// How much was recorded at a time.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    written: u64,
}

/// What became of rows.
#[derive(Debug, Default)]
struct Written {
    /// Those that were not in the database before.
    new: HashSet<Uuid>,
    /// How many it will never take.
    refused: u64,
}

/// The database can't be written.
#[derive(Debug, Clone, Copy)]
struct Outage {
    pause: Duration,
    until: Instant,
}

/// A batch could not be moved; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the journal can't be read: {0}")]
    Journal(#[from] std::io::Error),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer for {} seconds", WRITE_TIMEOUT.as_secs())]
    Timeout,
}

impl Writer {
    pub fn new(way: Way, store: Store, config: LedgerConfig, on_replayed: OnReplayed) -> Self {
        let now = Instant::now();
        let Way { journal, progress, wake } = way;
        Self {
            mark: Mark { at: now, written: journal.written() },
            journal,
            progress,
            wake,
            reader: Reader::default(),
            store,
            config,
            on_replayed,
            outage: None,
            sync_at: now,
            purge_at: now,
            purging: Vec::new(),
        }
    }

    /// Moves rows until it is to stop, and then those that are left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            let more = self.advance().await;
            self.keep_house().await;
            if !more {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = self.wake.notified() => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        let _ = timeout(LAST_WRITES, self.finish()).await;
        self.sync().await;
    }

    async fn finish(&mut self) {
        // Whatever the pause, this is the last try.
        while matches!(self.step().await, Ok(true)) {}
        self.journal.end_spent(Duration::ZERO);
        let _ = self.step().await;
        self.journal.delete_spent(Duration::ZERO);
    }

    /// One step, unless the database is down and left alone for a while. Tells whether there is more to do at once.
    async fn advance(&mut self) -> bool {
        if self.outage.is_some_and(|outage| Instant::now() < outage.until) {
            return false;
        }
        match self.step().await {
            Ok(more) => {
                if self.outage.take().is_some() {
                    tracing::warn!(pending_bytes = self.journal.pending(), "the ledger's database can be written again");
                }
                self.tell();
                more
            }
            Err(error) => {
                self.failed(&error);
                self.tell();
                false
            }
        }
    }

    /// Moves one batch. Tells whether there are more rows, most likely.
    async fn step(&mut self) -> Result<bool, WriteError> {
        if !self.journal.has_work() {
            return Ok(false);
        }
        let Some(batch) = self.read().await? else { return Ok(false) };
        let Written { new, refused } = self.write(&batch.rows).await?;
        // Not before, for what failed is read and written again.
        metrics::ledger_written(new.len() as u64);
        metrics::ledger_lost(refused + batch.unreadable);
        if batch.unreadable > 0 {
            tracing::error!(
                lines = batch.unreadable,
                "lines of the ledger's journal can't be read: a crash tore them, or the disk damaged them"
            );
        }
        if batch.is_replayed {
            let now = Timestamp::now().as_microsecond();
            let replayed = batch.rows.iter().filter_map(|row| Replayed::of(row, new.contains(&row.id).then_some(now)));
            replayed.for_each(&self.on_replayed);
        }
        // What is taken was told.
        self.reader.advance(&self.journal, &batch);
        Ok(batch.is_full() || batch.is_replayed)
    }

    /// Off the async workers: a batch is some megabytes of JSON.
    async fn read(&mut self) -> Result<Option<Batch>, WriteError> {
        let mut reader = std::mem::take(&mut self.reader);
        let journal = Arc::clone(&self.journal);
        let (reader, batch) = spawn_blocking(move || {
            let batch = reader.read(&journal);
            (reader, batch)
        })
        .await
        .map_err(std::io::Error::other)?;
        self.reader = reader;
        Ok(batch?)
    }

    /// Writes rows; those that the database will never take are given up.
    async fn write(&mut self, rows: &[RequestRow]) -> Result<Written, WriteError> {
        let mut written = Written::default();
        if rows.is_empty() {
            return Ok(written);
        }
        match self.write_all(rows).await {
            Err(WriteError::Database(error)) if is_fault_of_rows(&error) => {}
            other => return Ok(Written { new: other?, refused: 0 }),
        }
        for row in rows {
            match self.write_all(std::slice::from_ref(row)).await {
                Ok(ids) => written.new.extend(ids),
                Err(WriteError::Database(error)) if is_fault_of_rows(&error) => {
                    written.refused += 1;
                    tracing::error!(%error, request_id = row.request_id, "the ledger's database does not take a row, which is lost");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    async fn write_all(&mut self, rows: &[RequestRow]) -> Result<HashSet<Uuid>, WriteError> {
        Ok(timeout(WRITE_TIMEOUT, self.store.write(rows)).await.map_err(|_| WriteError::Timeout)??)
    }

    fn failed(&mut self, error: &WriteError) {
        metrics::ledger_write_error();
        if self.outage.is_none() {
            let pending_bytes = self.journal.pending();
            tracing::warn!(%error, pending_bytes, "the ledger's database can't be written: rows wait in the journal until it can");
        }
        let pause = self.outage.map_or(FIRST_PAUSE, |outage| (outage.pause * 2).min(LONGEST_PAUSE));
        self.outage = Some(Outage { pause, until: Instant::now() + pause });
    }

    fn tell(&mut self) {
        let taken = self.journal.written().saturating_sub(self.journal.pending());
        let mut as_of = self.progress.borrow().as_of;
        if taken >= self.mark.written {
            as_of = Some(self.mark.at);
            self.mark = Mark { at: Instant::now(), written: self.journal.written() };
        }
        self.progress.send_replace(Progress { taken, as_of, is_down: self.outage.is_some() });
    }

    /// What is to be done now and then.
    async fn keep_house(&mut self) {
        let now = Instant::now();
        if now >= self.sync_at {
            self.sync_at = now + SYNC_EVERY;
            self.journal.end_spent(Journal::SPENT_AGE);
            self.sync().await;
        }
        if now >= self.purge_at {
            self.purge_at = now + PURGE_EVERY;
            self.purging = self.purges();
        }
        if self.outage.is_none() {
            self.purge().await;
        }
    }

    /// Has the disk keep what was written, and looks whether it takes rows again.
    async fn sync(&self) {
        let journal = Arc::clone(&self.journal);
        let synced = spawn_blocking(move || {
            journal.probe();
            journal.delete_spent(Journal::KEPT);
            journal.sync()
        });
        if let Ok(Err(error)) = synced.await {
            tracing::error!(%error, "the disk of DATA_DIR does not keep the ledger's journal: what it holds may be lost with the power");
        }
    }

    /// What is too old by now.
    fn purges(&self) -> Vec<Purge> {
        let before = |age: Duration| Timestamp::now().as_millisecond().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let hours = self.config.retention.unwrap_or(HOURS_RETENTION).max(SHORTEST_HOURS);
        let purges = [
            self.config.retention.map(|age| Purge::Everything(first_id(before(age)))),
            self.config.contents_retention.map(|age| Purge::Contents(first_id(before(age)))),
            Some(Purge::Hours(before(hours).div_euclid(HOUR_MS))),
        ];
        purges.into_iter().flatten().collect()
    }

    /// Deletes some of what is too old, until there is no more of it.
    async fn purge(&mut self) {
        for purge in std::mem::take(&mut self.purging) {
            match timeout(WRITE_TIMEOUT, self.store.purge(purge)).await {
                Ok(Ok(true)) => self.purging.push(purge),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "what is old in the ledger can't be deleted; it is tried again in an hour"),
                Err(_) => tracing::warn!("deleting what is old in the ledger took too long; it is tried again in an hour"),
            }
        }
    }
}

/// Before all ids of version 7 that were made at a time or later, in milliseconds of Unix time.
fn first_id(at: i64) -> Uuid {
    let at = u128::try_from(at).unwrap_or(0);
    Uuid::from_u128(at << 80)
}
