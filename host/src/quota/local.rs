//! What one key has used, as this process knows it. Pure: it is told the time.
//!
//! Alone it decides. Beside a store that several gateways share it follows what that says (`join`, `mirror`), and decides while the store is down.

use super::budget::{Books, Held, Told};
use super::refusal::Refusal;
use super::window::Meter;
use super::{Amount, Spent, Standing};
use crate::access::KeyLimits;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Counts {
    requests: Meter,
    tokens: Meter,
    at_once: u32,
    /// Absent: the ledger has not been asked yet.
    pub(super) books: Option<Books>,
    /// When a shared store was last told to forget them.
    forgotten: Option<Instant>,
    /// When it was last asked for.
    pub(super) touched: Instant,
}

/// Both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) wall: Timestamp,
}

/// What is to be set aside for a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) from: Amount,
    pub(super) to: Amount,
}

impl Now {
    pub(super) fn read() -> Self {
        Self { instant: Instant::now(), wall: Timestamp::now() }
    }
}

impl Wanted {
    pub(super) fn more_tokens(&self) -> u64 {
        self.to.tokens.saturating_sub(self.from.tokens)
    }

    pub(super) fn more_picos(&self) -> i64 {
        self.to.usd.picos().saturating_sub(self.from.usd.picos())
    }
}

impl Counts {
    pub(super) fn new(now: Instant) -> Self {
        Self { requests: Meter::new(now), tokens: Meter::new(now), at_once: 0, books: None, forgotten: None, touched: now }
    }

    /// Lets requests in, all or none, which count among those at once until their `end`.
    pub(super) fn enter(&mut self, limits: &KeyLimits, count: u32, now: Instant) -> Result<(), Refusal> {
        if let Some(limit) = limits.concurrency.filter(|limit| self.at_once.saturating_add(count) > *limit) {
            return Err(Refusal::Concurrency { limit, wanted: count });
        }
        if let Some(limit) = limits.rpm {
            self.requests.take(limit.into(), count.into(), now).map_err(Refusal::Requests)?;
        }
        self.begin(count);
        Ok(())
    }

    /// The requests of this minute that a shared store says are used.
    pub(super) fn mirror_requests(&mut self, used: f64, now: Instant) {
        self.requests.mirror(used, now);
    }

    pub(super) fn refusal_of_requests(&self, limit: u32, count: u32, now: Instant) -> Refusal {
        Refusal::Requests(self.requests.full(limit.into(), count.into(), now))
    }

    /// A shared store decides about requests, or has let them in.
    pub(super) fn begin(&mut self, count: u32) {
        self.at_once = self.at_once.saturating_add(count);
    }

    pub(super) fn end(&mut self) {
        self.at_once = self.at_once.saturating_sub(1);
    }

    /// Whether it is known what is spent.
    pub(super) fn knows_spent(&self) -> bool {
        self.books.as_ref().is_some_and(Books::is_current)
    }

    /// The ledger was asked at `now` what is spent. What was known before it answered stays.
    pub(super) fn seed(&mut self, spent: Spent, now: Timestamp) {
        match &mut self.books {
            Some(books) if books.is_current() => {}
            Some(books) => books.renew(spent, now),
            None => self.books = Some(Books::new(spent, now)),
        }
    }

    /// The key has no budget, so what is spent is not counted. Answers whether a shared store is to be told to forget it too: at once, and after `again` once more, for another gateway may not have
    /// heard of it yet, and told it something since.
    pub(super) fn forget_money(&mut self, again: Option<Duration>, now: Instant) -> bool {
        let knew = self.knows_spent();
        if let Some(books) = &mut self.books {
            books.forget();
        }
        let is_over = |at: Instant| again.is_some_and(|again| now.saturating_duration_since(at) >= again);
        let is_due = knew || self.forgotten.is_none_or(is_over);
        if is_due {
            self.forgotten = Some(now);
        }
        is_due
    }

    /// Sets more aside. `held`: what is of money so far.
    pub(super) fn reserve(&mut self, limits: &KeyLimits, wanted: Wanted, held: &mut Option<Held>, now: Now) -> Result<(), Refusal> {
        if let Some(limit) = limits.tpm {
            self.tokens.take(limit, wanted.more_tokens(), now.instant).map_err(Refusal::Tokens)?;
        }
        let Some(books) = self.books.as_mut().filter(|_| limits.budget.is_limited()) else { return Ok(()) };
        let to = wanted.to.usd.picos();
        let money = match held {
            Some(held) => books.raise(held, &limits.budget, to),
            None => books.hold(&limits.budget, to, now.wall).map(|new| *held = Some(new)),
        };
        money.map_err(|short| {
            if let Some(limit) = limits.tpm {
                self.tokens.correct(limit, wanted.more_tokens(), 0, now.instant);
            }
            Refusal::Budget(short)
        })
    }

    /// More was set aside by a shared store, which tells how things stand.
    pub(super) fn join_money(&mut self, wanted: Wanted, held: &mut Option<Held>, told: &[Told; 3]) {
        let books = self.books.get_or_insert_with(|| Books::of(told));
        let held = held.get_or_insert(Held { picos: 0, numbers: told.map(|told| told.number) });
        books.join(held, wanted.more_picos(), told);
    }

    /// What a shared store says is spent and reserved.
    pub(super) fn mirror_money(&mut self, told: &[Told; 3]) {
        self.books.get_or_insert_with(|| Books::of(told)).mirror(told);
    }

    /// The tokens of this minute that a shared store says are used.
    pub(super) fn mirror_tokens(&mut self, used: f64, now: Instant) {
        self.tokens.mirror(used, now);
    }

    pub(super) fn refusal_of_tokens(&self, limit: u64, wanted: Wanted, now: Instant) -> Refusal {
        Refusal::Tokens(self.tokens.full(limit, wanted.more_tokens(), now))
    }

    /// Counts what was used in place of what was set aside.
    pub(super) fn settle(&mut self, limits: &KeyLimits, reserved: Amount, held: Option<Held>, used: Amount, now: Instant) {
        if let Some(limit) = limits.tpm {
            self.tokens.correct(limit, reserved.tokens, used.tokens, now);
        }
        if let (Some(books), Some(held)) = (&mut self.books, held) {
            books.settle(held, used.usd.picos());
        }
    }

    pub(super) fn standing(&self, limits: &KeyLimits, now: Now) -> Standing {
        Standing {
            requests: limits.rpm.map(|limit| self.requests.left(limit.into(), now.instant)),
            tokens: limits.tpm.map(|limit| self.tokens.left(limit, now.instant)),
            budget: self.books.as_ref().and_then(|books| books.narrowest(&limits.budget, now.wall)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::access::Budget;
    use crate::money::Usd;

    fn now() -> Now {
        Now { instant: Instant::now(), wall: "2026-05-20T12:00:00Z".parse().unwrap() }
    }

    fn amount(tokens: u64, picos: i64) -> Amount {
        Amount { tokens, usd: Usd::from_picos(picos) }
    }

    fn wanted(tokens: u64, picos: i64) -> Wanted {
        Wanted { from: Amount::default(), to: amount(tokens, picos) }
    }

    #[test]
    fn a_request_that_is_refused_uses_nothing() {
        let now = now();
        let limits = KeyLimits { rpm: Some(2), concurrency: Some(1), ..KeyLimits::default() };
        let mut counts = Counts::new(now.instant);
        counts.enter(&limits, 1, now.instant).unwrap();
        assert!(matches!(counts.enter(&limits, 1, now.instant), Err(Refusal::Concurrency { limit: 1, wanted: 1 })));
        counts.end();
        counts.enter(&limits, 1, now.instant).unwrap();
        counts.end();
        assert!(matches!(counts.enter(&limits, 1, now.instant), Err(Refusal::Requests(_))));
        counts.enter(&limits, 1, now.instant + Duration::from_secs(30)).unwrap();
    }

    #[test]
    fn tokens_are_not_used_where_money_is_short() {
        let now = now();
        let limits =
            KeyLimits { tpm: Some(100), budget: Budget { day: Some(Usd::from_picos(10)), ..Budget::default() }, ..KeyLimits::default() };
        let mut counts = Counts::new(now.instant);
        counts.books = Some(Books::new(Spent::default(), now.wall));
        let mut held = None;
        assert!(matches!(counts.reserve(&limits, wanted(60, 11), &mut held, now), Err(Refusal::Budget(_))));
        assert_eq!((counts.standing(&limits, now).tokens.unwrap().remaining, held), (100, None));
        assert!(matches!(counts.reserve(&limits, wanted(101, 1), &mut held, now), Err(Refusal::Tokens(_))));
        counts.reserve(&limits, wanted(60, 10), &mut held, now).unwrap();
        assert_eq!(counts.standing(&limits, now).budget.unwrap(), (Usd::ZERO, Some(Duration::from_secs(12 * 3600))));
        counts.settle(&limits, amount(60, 10), held, amount(10, 4), now.instant);
        assert_eq!(counts.standing(&limits, now).tokens.unwrap().remaining, 90);
        assert_eq!(counts.standing(&limits, now).budget.unwrap().0, Usd::from_picos(6));
    }

    #[test]
    fn a_shared_store_is_told_to_forget_at_once_and_then_from_time_to_time() {
        let now = now();
        let mut counts = Counts::new(now.instant);
        let at = |second| now.instant + Duration::from_secs(second);
        let again = Some(Duration::from_secs(10));
        assert_eq!([0, 1, 9, 10, 11].map(|second| counts.forget_money(again, at(second))), [true, false, false, true, false]);
        assert!(!counts.forget_money(None, at(30)));
        counts.seed(Spent::default(), now.wall);
        assert!(counts.forget_money(None, at(31)));
        assert!(!counts.knows_spent());
    }
}
