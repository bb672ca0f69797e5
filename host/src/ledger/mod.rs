//! The ledger: one row of every request and one of each of its attempts, kept.
//!
//! Owns: what a row says; the journal that it is in before the caller has its answer; its way from there into the database. Not here: when a request is over (`settle`), the
//! database's connection and schema (`database`), how rows are asked for over HTTP (`admin`).

mod journal;
pub mod read;
mod spent;
mod store;
mod writer;

pub use spent::LedgerSums;

use crate::config::LedgerConfig;
use crate::contract::Usage;
use crate::database::Database;
use crate::domain::estimate;
use crate::money::Usd;
use journal::Journal;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::Store;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use writer::{Progress, Writer};

/// An hour, in which and in whose multiples sums are kept.
pub const HOUR_US: i64 = 3_600_000_000;
/// The columns of sums, beside those of amounts.
const SUMMED: [&str; 12] = [
    "requests",
    "failed",
    "cache_hits",
    "attempts",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "estimated",
    "unpriced",
    "latency_us",
];
/// Of these, in picodollars.
const AMOUNTS: [&str; 2] = ["cost", "saved"];
/// How long the start waits for a Postgres to take what is in the journal. The rest is moved while requests are answered.
const REPLAY_PATIENCE: Duration = Duration::from_secs(5);
/// How long who reads waits for rows on their way.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// One request that is over, as it is in the journal: amounts are whole picodollars there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestRow {
    /// The gateway's own, in order of time (version 7): the caller's `request_id` need not be unique.
    pub id: Uuid,
    pub request_id: String,
    /// When it began, in microseconds of Unix time.
    pub at: i64,
    /// The route's pattern: `/v1/chat/completions`.
    pub route: String,
    pub tenant: String,
    /// Of the gateway key. Absent: the caller had none.
    pub key_id: Option<String>,
    /// The reservation of the key's budget that this settles, where there is one that outlives the process.
    pub reservation: Option<Uuid>,
    pub stream: bool,
    /// What the caller was sent; 499: it left before.
    pub status: u16,
    /// `ErrorKind::as_str`.
    pub error_type: Option<String>,
    pub error: Option<String>,
    /// Who answered, or was asked last. Absent: nobody was.
    pub provider: Option<String>,
    /// The model in the answer, or that was asked. Of a cached answer: that was asked for it.
    pub model: Option<String>,
    /// What the caller's `model` named.
    pub asked_model: Option<String>,
    pub plugin_version: Option<String>,
    pub simulated: bool,
    /// Of all attempts.
    pub tokens: TokenCounts,
    /// Of all attempts. Absent: something of it has no known price.
    #[serde(with = "picos")]
    pub cost: Option<Usd>,
    /// What a cached answer had cost.
    #[serde(with = "picos")]
    pub saved: Option<Usd>,
    /// `hit`, `miss` or `off`.
    pub cache: String,
    pub latency_us: u64,
    pub upstream_us: u64,
    pub gateway_us: u64,
    pub finish_reason: Option<String>,
    pub attempts: Vec<AttemptRow>,
    /// Only where the operator wants them kept.
    pub prompt: Option<String>,
    pub answer: Option<String>,
}

/// One upstream call that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    pub provider: String,
    pub model: String,
    /// Whether the adapter lists the model.
    #[serde(default = "is_listed_unless_said")]
    pub is_listed: bool,
    pub plugin_version: String,
    pub simulated: bool,
    /// What the provider answered, if it did.
    pub status: Option<u16>,
    pub error_type: Option<String>,
    pub error: Option<String>,
    /// `first`, `retry`, `other_key`, `fallback`, `hedge`.
    pub reason: String,
    pub tokens: TokenCounts,
    #[serde(with = "picos")]
    pub cost: Option<Usd>,
    pub duration_us: u64,
    pub upstream_us: u64,
    pub backoff_us: u64,
    pub provider_request_id: Option<String>,
}

/// What was used. Absent: nobody said and nothing was estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCounts {
    /// All of the prompt, cached tokens included.
    pub input: Option<u64>,
    /// Of `input`.
    pub cache_read: Option<u64>,
    /// Of `input`.
    pub cache_write: Option<u64>,
    /// All that the model wrote, reasoning included.
    pub output: Option<u64>,
    /// Of `output`.
    pub reasoning: Option<u64>,
    /// Whether any of it was not told by the provider.
    pub estimated: bool,
}

impl TokenCounts {
    pub fn of(usage: &Usage) -> Self {
        let count = |count: Option<u32>| count.map(u64::from);
        Self {
            input: count(usage.input),
            cache_read: count(usage.cache_read),
            cache_write: count(usage.cache_write),
            output: count(usage.output),
            reasoning: count(usage.reasoning),
            estimated: estimate::is_estimated(usage),
        }
    }

    /// As metrics name them.
    pub fn by_kind(&self) -> [(&'static str, Option<u64>); 5] {
        [
            ("input", self.input),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("output", self.output),
            ("reasoning", self.reasoning),
        ]
    }

    /// Of two attempts. What neither knows stays unknown.
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (one, other) => one.or(other),
        };
        Self {
            input: sum(self.input, other.input),
            cache_read: sum(self.cache_read, other.cache_read),
            cache_write: sum(self.cache_write, other.cache_write),
            output: sum(self.output, other.output),
            reasoning: sum(self.reasoning, other.reasoning),
            estimated: self.estimated || other.estimated,
        }
    }
}

fn is_listed_unless_said() -> bool {
    true
}

/// Writes rows down.
#[derive(Debug)]
pub struct Ledger {
    way: Way,
    database: Database,
    writer: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

/// A ledger that has its journal and has moved nothing of it.
#[derive(Debug)]
pub struct Opened {
    way: Way,
    database: Database,
    config: LedgerConfig,
}

/// Of rows from the journal into the database, for who waits for them.
#[derive(Debug, Clone)]
struct Way {
    journal: Arc<Journal>,
    progress: watch::Sender<Progress>,
    /// Wakes the writer.
    wake: Arc<Notify>,
}

/// A row could not be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger can't be written: {0}")]
pub struct LedgerDown(pub String);

/// A row of an earlier process, with the reservation that it settles. One row may be told more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    pub key_id: String,
    pub reservation: Uuid,
    /// Of the attempts whose price is known.
    pub cost: Usd,
    pub tokens: TokenCounts,
    /// When the request began, in microseconds of Unix time.
    pub at: i64,
    /// When it came into the database, in the same: now, or where it was there before, about when it was over.
    pub in_sums_at: i64,
}

impl Ledger {
    /// Takes the journal in `data_dir`.
    ///
    /// # Errors
    /// One sentence for the operator: the folder can't be used, or another process has it.
    pub fn open(data_dir: &Path, config: LedgerConfig, database: Database) -> anyhow::Result<Opened> {
        let journal = Arc::new(Journal::open(&data_dir.join("journal"), config.journal_bytes)?);
        Ok(Opened { way: Way { journal, progress: watch::Sender::default(), wake: Arc::default() }, database, config })
    }

    /// What is written down, by gateway key.
    pub fn sums(&self) -> LedgerSums {
        LedgerSums { way: self.way.clone(), database: self.database.clone() }
    }

    /// Writes a row into the journal. Once it returns, the row outlives the process.
    ///
    /// # Errors
    /// When it can't be written; that is logged and counted already.
    pub fn record(&self, row: &RequestRow) -> Result<(), LedgerDown> {
        let mut line = serde_json::to_vec(row).map_err(|error| LedgerDown(error.to_string()))?;
        line.push(b'\n');
        self.way.journal.append(&line)
    }

    /// Whether rows can be written down now, as far as is known.
    ///
    /// # Errors
    /// Why they can't, or could not when it was tried last.
    pub fn is_writable(&self) -> Result<(), LedgerDown> {
        self.way.journal.is_writable()
    }

    /// Bytes of the rows that wait for the database.
    pub fn pending_bytes(&self) -> u64 {
        self.way.journal.pending()
    }

    /// Waits until what was recorded is in the database: not for long, and not while that is down.
    pub async fn flushed(&self) {
        self.way.flushed().await;
    }

    /// Moves what is left into the database within a few seconds. What comes later is replayed at the next start.
    pub async fn close(&self) {
        self.stop.cancel();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut writer) = writer
            && timeout(CLOSE_PATIENCE, &mut writer).await.is_err()
        {
            writer.abort();
        }
    }
}

impl Opened {
    /// See [`Ledger::sums`].
    pub fn sums(&self) -> LedgerSums {
        LedgerSums { way: self.way.clone(), database: self.database.clone() }
    }

    /// Moves what an earlier process left into the database, and goes on doing so with what comes. `on_replayed` is told of an earlier process's reservations, also later if the database
    /// is down now; it must not wait.
    pub async fn start(self, on_replayed: impl Fn(Replayed) + Send + Sync + 'static) -> Ledger {
        let Self { way, database, config } = self;
        let stop = CancellationToken::new();
        if way.journal.pending() > 0 {
            tracing::info!(pending_bytes = way.journal.pending(), "requests of an earlier run are brought into the ledger's database");
        }
        let writer = tokio::spawn(Writer::new(way.clone(), Store::new(&database), config, Box::new(on_replayed)).run(stop.clone()));
        match database {
            // Budgets begin with what is in it.
            Database::Sqlite { .. } => way.replayed().await,
            Database::Postgres(_) => drop(timeout(REPLAY_PATIENCE, way.replayed()).await),
        }
        Ledger { way, database, writer: Mutex::new(Some(writer)), stop }
    }
}

impl Way {
    /// Waits until what was recorded is in the database: not for long, and not while that is down.
    async fn flushed(&self) {
        let recorded = self.journal.written();
        self.wake.notify_one();
        let mut progress = self.progress.subscribe();
        let _ = timeout(FLUSH_PATIENCE, progress.wait_for(|progress| progress.is_down || progress.taken >= recorded)).await;
    }

    /// Waits until what earlier processes left is in the database, or that is down.
    async fn replayed(&self) {
        let _ = self.progress.subscribe().wait_for(|progress| progress.is_down || progress.as_of.is_some()).await;
    }

    /// Whether what the database lacks was recorded within a time.
    fn lacks_only(&self, recent: Duration) -> bool {
        self.journal.pending() == 0 || self.progress.borrow().as_of.is_some_and(|as_of| as_of.elapsed() < recent)
    }
}

/// Also where it is dropped without being closed.
impl Drop for Ledger {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Replayed {
    /// `new_at`: when it came into the database, if it was not there before.
    fn of(row: &RequestRow, new_at: Option<i64>) -> Option<Self> {
        let RequestRow { tokens, at, .. } = *row;
        let cost = row.attempts.iter().filter_map(|attempt| attempt.cost).sum();
        let over_at = at.saturating_add_unsigned(row.latency_us);
        Some(Self { key_id: row.key_id.clone()?, reservation: row.reservation?, cost, tokens, at, in_sums_at: new_at.unwrap_or(over_at) })
    }
}

/// Amounts as whole picodollars, for in JSON numbers that are fractions some get lost.
mod picos {
    use crate::money::Usd;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(amount: &Option<Usd>, serializer: S) -> Result<S::Ok, S::Error> {
        amount.map(Usd::picos).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Usd>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Usd::from_picos))
    }
}

#[cfg(test)]
mod tests;
