//! What a key has spent and what is set aside of its budgets, in whole picodollars. Pure: it is told the time.
//!
//! A day and a month are of UTC. Money counts in those in which it was set aside; once one of them is over, nobody asks for it any more, so only the present ones are kept.

use super::Spent;
use crate::access::Budget;
use crate::money::Usd;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use std::time::Duration;

const DAY: i64 = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Day,
    Month,
    Total,
}

/// The days of Unix time and the months since the year 0 that an instant is in. The third is all of time.
pub(super) type Numbers = [i64; 3];

/// A key's sums.
#[derive(Debug)]
pub(super) struct Books {
    pages: [Page; 3],
    /// Whether what they say is spent is all that was.
    is_current: bool,
}

/// One day, one month, or all of time.
#[derive(Debug, Clone, Copy, Default)]
struct Page {
    number: i64,
    spent: i64,
    reserved: i64,
    /// By other gateways that share the budget.
    reserved_elsewhere: i64,
}

/// What is set aside for one request, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) picos: i64,
    pub(super) numbers: Numbers,
}

/// Of one day, one month, or all of time, as a store that several gateways share tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) number: i64,
    pub(super) spent: i64,
    /// What is spent, and what is reserved by all.
    pub(super) committed: i64,
}

/// A budget that does not have what was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) span: Span,
    pub(super) limit: i64,
    pub(super) spent: i64,
    pub(super) reserved: i64,
    pub(super) wanted: i64,
}

impl Span {
    pub(super) const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    fn limit(self, budget: &Budget) -> Option<i64> {
        match self {
            Self::Day => budget.day,
            Self::Month => budget.month,
            Self::Total => budget.total,
        }
        .map(Usd::picos)
    }

    /// When the next one begins.
    pub(super) fn ends(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Day => Timestamp::from_second((now.as_second().div_euclid(DAY) + 1) * DAY).ok(),
            Self::Month => {
                let date: Date = Offset::UTC.to_datetime(now).date();
                Offset::UTC.to_timestamp(date.last_of_month().tomorrow().ok()?.at(0, 0, 0, 0)).ok()
            }
            Self::Total => None,
        }
    }
}

impl Short {
    /// As a shared store tells it.
    pub(super) fn told(span: Span, budget: &Budget, told: &[Told; 3], wanted: i64) -> Self {
        let [day, month, total] = told;
        let Told { spent, committed, .. } = match span {
            Span::Day => day,
            Span::Month => month,
            Span::Total => total,
        };
        Self { span, limit: span.limit(budget).unwrap_or(0), spent: *spent, reserved: committed.saturating_sub(*spent), wanted }
    }
}

/// The limits in whole picodollars, of a day, a month and all of time.
pub(super) fn limits(budget: &Budget) -> [Option<i64>; 3] {
    Span::ALL.map(|span| span.limit(budget))
}

pub(super) fn numbers(now: Timestamp) -> Numbers {
    let date = Offset::UTC.to_datetime(now).date();
    [now.as_second().div_euclid(DAY), i64::from(date.year()) * 12 + i64::from(date.month()) - 1, 0]
}

impl Books {
    pub(super) fn new(spent: Spent, now: Timestamp) -> Self {
        let spent = [spent.day, spent.month, spent.total];
        let numbers = numbers(now);
        let pages = std::array::from_fn(|at| Page { number: numbers[at], spent: spent[at].picos(), ..Page::default() });
        Self { pages, is_current: true }
    }

    pub(super) fn is_current(&self) -> bool {
        self.is_current
    }

    /// From now on something may be spent that is not told. What is set aside stays so.
    pub(super) fn forget(&mut self) {
        self.is_current = false;
    }

    /// Begins again with what the ledger says is spent, as of `now`, beside what is set aside. What was settled last may be missing there.
    pub(super) fn renew(&mut self, spent: Spent, now: Timestamp) {
        let fresh = Self::new(spent, now);
        self.turn_to(fresh.pages.map(|page| page.number));
        for (page, fresh) in self.pages.iter_mut().zip(fresh.pages) {
            if page.number == fresh.number {
                page.spent = page.spent.max(fresh.spent);
                page.reserved_elsewhere = 0;
            }
        }
        self.is_current = true;
    }

    /// What a shared store says, which no request of this process has a part in yet.
    pub(super) fn of(told: &[Told; 3]) -> Self {
        let mut books = Self { pages: [Page::default(); 3], is_current: true };
        books.mirror(told);
        books
    }

    /// Sets an amount aside.
    pub(super) fn hold(&mut self, budget: &Budget, picos: i64, now: Timestamp) -> Result<Held, Short> {
        self.turn_to(numbers(now));
        let mut held = Held { picos: 0, numbers: self.pages.map(|page| page.number) };
        self.raise(&mut held, budget, picos).map(|()| held)
    }

    /// Sets more aside, so that it is `to` in all.
    pub(super) fn raise(&mut self, held: &mut Held, budget: &Budget, to: i64) -> Result<(), Short> {
        let wanted = to.saturating_sub(held.picos).max(0);
        for ((page, span), number) in self.pages.iter().zip(Span::ALL).zip(held.numbers) {
            if let Some(limit) = span.limit(budget).filter(|_| page.number == number)
                && page.committed().saturating_add(wanted) > limit
            {
                let reserved = page.committed().saturating_sub(page.spent);
                return Err(Short { span, limit, spent: page.spent, reserved, wanted });
            }
        }
        self.reserve(held, wanted);
        Ok(())
    }

    /// Counts what was used in place of what was set aside.
    pub(super) fn settle(&mut self, held: Held, used: i64) {
        for (page, number) in self.pages.iter_mut().zip(held.numbers) {
            if page.number == number {
                page.reserved = page.reserved.saturating_sub(held.picos).max(0);
                page.spent = page.spent.saturating_add(used);
            }
        }
    }

    /// Takes over what a shared store says, which has set an amount more aside.
    pub(super) fn join(&mut self, held: &mut Held, more: i64, told: &[Told; 3]) {
        self.turn_to(told.map(|told| told.number));
        self.reserve(held, more);
        self.mirror(told);
    }

    /// Takes over what a shared store says.
    pub(super) fn mirror(&mut self, told: &[Told; 3]) {
        self.turn_to(told.map(|told| told.number));
        self.is_current = true;
        for (page, told) in self.pages.iter_mut().zip(told) {
            if page.number == told.number {
                page.spent = told.spent;
                page.reserved_elsewhere = told.committed.saturating_sub(told.spent).saturating_sub(page.reserved).max(0);
            }
        }
    }

    /// What is left of the narrowest budget, and when it begins anew. Absent: that is not known, or there is no budget.
    pub(super) fn narrowest(&self, budget: &Budget, now: Timestamp) -> Option<(Usd, Option<Duration>)> {
        let numbers = numbers(now);
        let left = self.pages.iter().zip(Span::ALL).zip(numbers).filter_map(|((page, span), number)| {
            // One that is over has been used by nobody yet.
            let committed = if number > page.number { 0 } else { page.committed() };
            span.limit(budget).map(|limit| (limit.saturating_sub(committed).max(0), span))
        });
        let (picos, span) = left.min_by_key(|(picos, _)| *picos).filter(|_| self.is_current)?;
        Some((Usd::from_picos(picos), span.ends(now).and_then(|end| end.duration_since(now).try_into().ok())))
    }

    /// Begins those that are new. Never an earlier one: a clock that was set back does not give money back.
    fn turn_to(&mut self, numbers: Numbers) {
        for (page, number) in self.pages.iter_mut().zip(numbers) {
            if number > page.number {
                *page = Page { number, ..Page::default() };
            }
        }
    }

    fn reserve(&mut self, held: &mut Held, picos: i64) {
        for (page, number) in self.pages.iter_mut().zip(held.numbers) {
            if page.number == number {
                page.reserved = page.reserved.saturating_add(picos);
            }
        }
        held.picos = held.picos.saturating_add(picos);
    }
}

impl Page {
    fn committed(&self) -> i64 {
        self.spent.saturating_add(self.reserved).saturating_add(self.reserved_elsewhere)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn budget(day: i64, month: i64, total: i64) -> Budget {
        let usd = |picos| Some(Usd::from_picos(picos));
        Budget { day: usd(day), month: usd(month), total: usd(total) }
    }

    fn books(now: Timestamp) -> Books {
        Books::new(Spent::default(), now)
    }

    #[test]
    fn days_and_months_are_of_utc() {
        assert_eq!(numbers(at("1970-01-01T23:59:59Z")), [0, 1970 * 12, 0]);
        assert_eq!(numbers(at("1970-02-01T00:00:00Z")), [31, 1970 * 12 + 1, 0]);
        let now = at("2028-02-28T22:00:00Z");
        let ends = Span::ALL.map(|span| span.ends(now).map(|end| end.to_string()));
        assert_eq!(ends, [Some("2028-02-29T00:00:00Z".to_owned()), Some("2028-03-01T00:00:00Z".to_owned()), None]);
        assert_eq!(Span::Month.ends(at("2028-12-31T23:59:59Z")), Some(at("2029-01-01T00:00:00Z")));
    }

    #[test]
    fn the_budget_that_is_short_is_named_with_its_figures() {
        let now = at("2026-05-01T12:00:00Z");
        let mut books = books(now);
        let held = books.hold(&budget(100, 1000, 1000), 60, now).unwrap();
        books.settle(held, 50);
        books.hold(&budget(100, 1000, 1000), 20, now).unwrap();
        let short = books.hold(&budget(100, 1000, 1000), 31, now).unwrap_err();
        assert_eq!(short, Short { span: Span::Day, limit: 100, spent: 50, reserved: 20, wanted: 31 });
        assert!(books.hold(&budget(100, 1000, 1000), 30, now).is_ok());
    }

    #[test]
    fn a_lower_limit_counts_at_once_and_a_higher_one_too() {
        let now = at("2026-05-01T12:00:00Z");
        let mut books = books(now);
        books.hold(&budget(100, 100, 100), 60, now).unwrap();
        assert_eq!(books.hold(&budget(50, 100, 100), 1, now).unwrap_err().span, Span::Day);
        assert!(books.hold(&budget(200, 200, 200), 140, now).is_ok());
    }

    #[test]
    fn money_counts_on_the_day_on_which_it_was_set_aside() {
        let (today, tomorrow) = (at("2026-05-31T23:59:00Z"), at("2026-06-01T00:01:00Z"));
        let limits = budget(100, 100, 1000);
        let mut books = books(today);
        let held = books.hold(&limits, 100, today).unwrap();
        let mut next = books.hold(&limits, 100, tomorrow).unwrap();
        books.settle(held, 80);
        assert!(books.raise(&mut next, &limits, 101).is_err());
        books.settle(next, 0);
        assert!(books.hold(&limits, 100, tomorrow).is_ok());
        // Of all: 80 are spent, and 100 reserved.
        assert_eq!(books.hold(&budget(9999, 9999, 200), 21, tomorrow).unwrap_err().span, Span::Total);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_money_back() {
        let limits = budget(100, 1000, 1000);
        let now = at("2026-05-02T00:00:01Z");
        let mut books = books(now);
        books.hold(&limits, 100, now).unwrap();
        assert!(books.hold(&limits, 1, at("2026-05-01T23:59:59Z")).is_err());
        assert!(books.hold(&limits, 1, now).is_err());
    }

    #[test]
    fn what_others_hold_is_not_free() {
        let now = at("2026-05-02T12:00:00Z");
        let limits = budget(100, 1000, 1000);
        let mut books = books(now);
        let mut held = Held { picos: 0, numbers: numbers(now) };
        let told = numbers(now).map(|number| Told { number, spent: 10, committed: 70 });
        books.join(&mut held, 20, &told);
        assert_eq!(held.picos, 20);
        assert_eq!(books.narrowest(&limits, now).unwrap().0, Usd::from_picos(30));
        books.settle(held, 5);
        assert_eq!(books.narrowest(&limits, now).unwrap().0, Usd::from_picos(45));
        let short = books.hold(&limits, 46, now).unwrap_err();
        assert_eq!((short.spent, short.reserved), (15, 40));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Hold(i64),
        Raise(usize, i64),
        Settle(usize, u8),
        /// The caller says nothing more: all of it counts.
        Drop(usize),
        Hours(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..400_i64).prop_map(Step::Hold),
            2 => (any::<usize>(), 0..600_i64).prop_map(|(which, to)| Step::Raise(which, to)),
            3 => (any::<usize>(), 0..=100_u8).prop_map(|(which, percent)| Step::Settle(which, percent)),
            1 => any::<usize>().prop_map(Step::Drop),
            1 => (1..40_i64).prop_map(Step::Hours),
        ]
    }

    proptest! {
        #[test]
        fn no_budget_is_ever_passed_and_what_is_spent_is_the_sum_of_what_was_settled(steps in prop::collection::vec(step(), 1..200)) {
            let limits = budget(1000, 3000, 20_000);
            let mut now = at("2026-05-20T12:00:00Z");
            let mut books = books(now);
            let mut open: Vec<Held> = Vec::new();
            let mut settled: Vec<(Numbers, i64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Hold(picos) => open.extend(books.hold(&limits, picos, now)),
                    Step::Raise(which, to) if !open.is_empty() => {
                        let at = which % open.len();
                        let _ = books.raise(&mut open[at], &limits, to);
                    }
                    Step::Settle(which, percent) if !open.is_empty() => {
                        let held = open.swap_remove(which % open.len());
                        let used = held.picos * i64::from(percent) / 100;
                        books.settle(held, used);
                        settled.push((held.numbers, used));
                    }
                    Step::Drop(which) if !open.is_empty() => {
                        let held = open.swap_remove(which % open.len());
                        books.settle(held, held.picos);
                        settled.push((held.numbers, held.picos));
                    }
                    Step::Hours(hours) => now += jiff::SignedDuration::from_hours(hours),
                    _ => {}
                }
                for (at, page) in books.pages.iter().enumerate() {
                    let spent: i64 = settled.iter().filter(|(numbers, _)| numbers[at] == page.number).map(|(_, used)| used).sum();
                    let reserved: i64 = open.iter().filter(|held| held.numbers[at] == page.number).map(|held| held.picos).sum();
                    prop_assert_eq!((page.spent, page.reserved), (spent, reserved));
                    prop_assert!(page.committed() <= Span::ALL[at].limit(&limits).unwrap());
                }
            }
        }
    }
}
