//! A request that was let in: who it is from, and what comes with that.

use crate::access::Caller;
use crate::cache::Wish;
use crate::ledger::Ledger;
use crate::money::Usd;
use crate::quota::{Quota, Visit};
use std::fmt;
use std::sync::Arc;

/// Where requests are written down and counted.
pub struct Books {
    pub ledger: Arc<Ledger>,
    pub quota: Arc<Quota>,
    /// Whether prompts and answers are logged.
    pub log_prompts: bool,
    /// Whether they are kept in the ledger.
    pub contents: bool,
}

/// What is known of who sent a request.
#[derive(Debug)]
pub struct Entry {
    pub caller: Caller,
    /// Its place among the requests at once of the caller's key.
    pub visit: Option<Visit>,
    /// What the caller wants of the cache.
    pub wish: Wish,
    /// What it may cost at most.
    pub max_cost: Option<Usd>,
    /// Whether nothing may be answered that can't be written down.
    pub is_ledger_required: bool,
    pub books: Arc<Books>,
}

impl Entry {
    /// For one of the requests that it is made of, which have its place together.
    pub(super) fn part(&self) -> Self {
        Self { caller: self.caller.clone(), visit: None, books: Arc::clone(&self.books), ..*self }
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}
