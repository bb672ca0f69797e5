//! So much per minute. Pure: it is told the time.
//!
//! A leaky bucket as a meter (the same as a token bucket or GCRA, seen from the other side; Anthropic documents its own limits as token buckets): what was used drains evenly, a whole limit in a
//! minute, and what is wanted must fit above what has not drained yet. So a burst is at most the limit, and nobody has to wait for a minute to turn. It keeps what was used and not what is left:
//! another limit counts at once, and what was used stays used.

use super::Left;
use std::time::Duration;
use tokio::time::Instant;

/// In one of what is counted. At a limit of n per minute n of them drain in a microsecond, so whole numbers are enough.
const TICKS: u128 = 60_000_000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    /// In ticks, as of `at`.
    used: u128,
    at: Instant,
}

/// There is not as much left as was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) limit: u64,
    pub(super) left: u64,
    pub(super) wanted: u64,
    /// Until there is. Absent: it is more than there ever is.
    pub(super) wait: Option<Duration>,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { used: 0, at: now }
    }

    pub(super) fn take(&mut self, limit: u64, wanted: u64, now: Instant) -> Result<(), Full> {
        self.drain(limit, now);
        let used = self.used.saturating_add(ticks(wanted));
        if used > ticks(limit) {
            return Err(self.full(limit, wanted, now));
        }
        self.used = used;
        Ok(())
    }

    /// Puts the true number in place of one that was taken. It may be more than there was: then the next ones wait.
    pub(super) fn correct(&mut self, limit: u64, taken: u64, used: u64, now: Instant) {
        self.drain(limit, now);
        self.used = self.used.saturating_sub(ticks(taken.saturating_sub(used))).saturating_add(ticks(used.saturating_sub(taken)));
    }

    /// What another one, which several gateways share, says was used.
    pub(super) fn mirror(&mut self, used: f64, now: Instant) {
        // A cast saturates, and makes nothing of what is no number.
        *self = Self { used: (used * TICKS as f64) as u128, at: now };
    }

    pub(super) fn full(&self, limit: u64, wanted: u64, now: Instant) -> Full {
        let over = self.used_at(limit, now).saturating_add(ticks(wanted)).saturating_sub(ticks(limit));
        let wait = (wanted <= limit && limit > 0).then(|| time_to_drain(over, limit));
        Full { limit, left: self.left(limit, now).remaining, wanted, wait }
    }

    pub(super) fn left(&self, limit: u64, now: Instant) -> Left {
        let used = self.used_at(limit, now);
        let remaining = ticks(limit).saturating_sub(used) / TICKS;
        Left { limit, remaining: u64::try_from(remaining).unwrap_or(u64::MAX), reset: time_to_drain(used, limit) }
    }

    fn drain(&mut self, limit: u64, now: Instant) {
        self.used = self.used_at(limit, now);
        // To the microsecond, so that no part of one is lost by looking often.
        self.at += Duration::from_micros(micros(self.at, now));
    }

    fn used_at(&self, limit: u64, now: Instant) -> u128 {
        self.used.saturating_sub(u128::from(micros(self.at, now)) * u128::from(limit))
    }
}

fn ticks(count: u64) -> u128 {
    u128::from(count) * TICKS
}

fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

fn time_to_drain(used: u128, limit: u64) -> Duration {
    Duration::from_micros(u64::try_from(used.div_ceil(u128::from(limit.max(1)))).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_at_most_the_limit_and_then_one_comes_back_at_a_time() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!((0..100).filter(|_| meter.take(30, 1, start).is_ok()).count(), 30);
        assert_eq!(meter.take(30, 1, start), Err(Full { limit: 30, left: 0, wanted: 1, wait: Some(2 * SECOND) }));
        assert_eq!(meter.left(30, start), Left { limit: 30, remaining: 0, reset: 60 * SECOND });
        assert!(meter.take(30, 1, start + 2 * SECOND - Duration::from_micros(1)).is_err());
        assert!(meter.take(30, 1, start + 2 * SECOND).is_ok());
        assert_eq!(meter.left(30, start + 62 * SECOND).remaining, 30);
    }

    #[test]
    fn what_was_used_beyond_the_limit_is_waited_for() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.take(600, 500, start).unwrap();
        meter.correct(600, 500, 1200, start);
        assert_eq!(meter.take(600, 10, start).unwrap_err().wait, Some(61 * SECOND));
        meter.correct(600, 1200, 0, start);
        assert_eq!(meter.left(600, start).remaining, 600);
    }

    #[test]
    fn more_than_the_whole_limit_is_not_waited_for() {
        let now = Instant::now();
        assert_eq!(Meter::new(now).take(10, 11, now), Err(Full { limit: 10, left: 10, wanted: 11, wait: None }));
        assert_eq!(Meter::new(now).take(0, 1, now).unwrap_err().wait, None);
    }

    #[test]
    fn another_limit_counts_at_once() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        meter.take(100, 50, now).unwrap();
        assert_eq!((meter.left(20, now).remaining, meter.left(100, now).remaining, meter.left(1000, now).remaining), (0, 50, 950));
        assert!(meter.take(20, 1, now).is_err());
    }

    proptest! {
        #[test]
        fn waiting_as_long_as_it_says_is_enough_and_no_shorter(limit in 1..10_000_u64, used in 0..20_000_u64, wanted in 1..10_000_u64, often in 1..20_u32) {
            prop_assume!(wanted <= limit);
            let start = Instant::now();
            let mut meter = Meter::new(start);
            meter.correct(limit, 0, used, start);
            if let Err(Full { wait: Some(wait), .. }) = meter.take(limit, wanted, start) {
                // Looking meanwhile changes nothing.
                for part in 1..=often {
                    meter.drain(limit, start + wait * part / (often + 1));
                }
                prop_assert!(meter.take(limit, wanted, start + wait - Duration::from_micros(1)).is_err());
                prop_assert!(meter.take(limit, wanted, start + wait).is_ok());
            }
        }
    }
}
