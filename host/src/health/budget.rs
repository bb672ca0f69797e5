//! How much a provider is retried: as a share of what it answers. Pure: it is told the time.

use super::window::Window;
use std::time::Duration;
use tokio::time::Instant;

const SPAN: Duration = Duration::from_secs(10);
/// Retries in a span that need no success before them, so that a few requests to a provider are retried at all.
const ALWAYS: f64 = 20.0;

/// Retries in the last ten seconds stay under 20 + share × successes in the last ten seconds.
///
/// The consequence: to a provider that answers, retries add at most that share to its load; to one that is down, at most two requests a second, however many callers
/// there are, once the successes from before the outage are ten seconds old.
#[derive(Debug)]
pub(super) struct Budget {
    share: f64,
    successes: Window,
    retries: Window,
}

impl Budget {
    pub(super) fn new(share: f64, now: Instant) -> Self {
        Self { share, successes: Window::new(SPAN, now), retries: Window::new(SPAN, now) }
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.successes.add(now);
    }

    /// Takes one retry, if there is one left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_left = self.left(now) > 0;
        if is_left {
            self.retries.add(now);
        }
        is_left
    }

    /// Retries that can be taken now.
    pub(super) fn left(&mut self, now: Instant) -> u32 {
        let allowed = ALWAYS + self.share * f64::from(self.successes.total(now));
        // A conversion of a float saturates.
        (allowed - f64::from(self.retries.total(now))).ceil() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests at 500 a second of which each may be tried four times. How many were sent in all.
    fn load(budget: &mut Budget, from: Instant, seconds: u64, succeeds: impl Fn(u64) -> bool) -> u64 {
        let mut sent = 0;
        for request in 0..500 * seconds {
            let now = from + Duration::from_millis(2 * request);
            for attempt in 0..4 {
                if attempt > 0 && !budget.take(now) {
                    break;
                }
                sent += 1;
                if succeeds(request) {
                    budget.succeeded(now);
                    break;
                }
            }
        }
        sent
    }

    #[test]
    fn an_outage_at_full_load_adds_a_fifth_at_most() {
        let start = Instant::now();
        let mut budget = Budget::new(0.2, start);
        assert_eq!(load(&mut budget, start, 30, |_| true), 15_000);
        let outage = load(&mut budget, start + Duration::from_secs(30), 60, |_| false);
        assert!((30_000..=36_000).contains(&outage), "{outage}");
        // Once the last successes are forgotten, it is two a second.
        let later = load(&mut budget, start + Duration::from_secs(90), 60, |_| false);
        assert!(later <= 30_000 + 150, "{later}");
    }

    #[test]
    fn a_provider_that_fails_in_part_is_retried_within_the_share() {
        let start = Instant::now();
        let mut budget = Budget::new(0.2, start);
        let sent = load(&mut budget, start, 60, |request| request % 2 == 0);
        assert!((30_000..=36_000).contains(&sent), "{sent}");
    }

    #[test]
    fn a_few_retries_need_no_success() {
        let now = Instant::now();
        let mut budget = Budget::new(0.0, now);
        assert_eq!((0..100).filter(|_| budget.take(now)).count(), 20);
        assert!(budget.take(now + SPAN));
    }
}
