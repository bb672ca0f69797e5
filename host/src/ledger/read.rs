//! What is asked of the ledger: pages of requests, one request with its attempts, sums of usage.
//!
//! Owns: the questions as types, and the SQL that answers them. Not here: what they are called over HTTP (`admin`), how rows come to be (`ledger`).
//! - `requests`: rows by filter, newest first, a page at a time
//! - `usage`: sums by hour, day, tenant, key, provider and model
//! - `statement`: SQL with its values, run within a time on either database

mod requests;
mod statement;
mod usage;

#[cfg(test)]
mod bench;
#[cfg(test)]
pub(crate) mod fixture;

pub use requests::{AttemptRecord, Contents, Filter, Outcome, Page, PageOf, RequestRecord, Whole, request, requests};
pub use usage::{Group, Sums, Usage, UsageFilter, UsageRow, usage};

use std::time::Duration;

/// How long one answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Why the ledger gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the database needed longer than {} s for this: ask for a shorter time (`from`, `to`) or for less of it", TIME_LIMIT.as_secs())]
    TimedOut,
    #[error("the database can't be read now; the gateway's log says why. Try again")]
    Down,
}
