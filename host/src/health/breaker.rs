//! The circuit breaker of one model of one provider: whether it fails so often that it is better left alone. Pure: it is told the time.
//!
//! Closed, it counts answers and failures in a sliding window. When too many of them are failures it opens, and nobody asks. After a while one request, the probe, is let through; an
//! answer closes the breaker with an empty window, a failure opens it again.
//!
//! Each change of state begins an era, and a ticket is worth something only in the era that it is from: a request that began before the breaker opened says nothing of how things stand after.

use super::window::Window;
use crate::config::BreakerPolicy;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    era: u64,
    attempts: Window,
    failures: Window,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    /// A probe is due from then on.
    Open {
        until: Instant,
    },
    Probing {
        /// When it was due.
        since: Instant,
        /// When one more is due: an upstream that hangs would else keep its breaker open long after it has come back.
        again: Instant,
    },
}

/// How it stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    ProbeDue,
    /// One more is due then.
    Probing {
        again: Instant,
    },
}

/// By which the outcome of a request is matched to the era in which it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// What a request tells of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Also by a refusal of the request itself.
    Answered,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// With so many attempts and failures in the window.
    Opened {
        attempts: u32,
        failures: u32,
    },
    ProbeFailed,
    Closed,
}

impl Breaker {
    pub(super) fn new(policy: &BreakerPolicy, now: Instant) -> Self {
        Self { state: State::Closed, era: 0, attempts: Window::new(policy.window, now), failures: Window::new(policy.window, now) }
    }

    pub(super) fn phase(&self, now: Instant) -> Phase {
        match self.state {
            State::Closed => Phase::Closed,
            State::Open { until } if now < until => Phase::Open { until },
            State::Open { .. } => Phase::ProbeDue,
            State::Probing { again, .. } if now < again => Phase::Probing { again },
            State::Probing { .. } => Phase::ProbeDue,
        }
    }

    /// Until when it refuses, if it does.
    pub(super) fn refuses_until(&self, now: Instant) -> Option<Instant> {
        match self.phase(now) {
            Phase::Closed | Phase::ProbeDue => None,
            Phase::Open { until } | Phase::Probing { again: until } => Some(until),
        }
    }

    /// A ticket for who may ask, or none. One that is given while a probe is due is the probe's.
    pub(super) fn admit(&mut self, policy: &BreakerPolicy, now: Instant) -> Option<Ticket> {
        match (self.phase(now), self.state) {
            (Phase::ProbeDue, State::Open { until }) => self.enter(State::Probing { since: until, again: now + policy.open }),
            // Of several probes the first answer counts, so the era stays.
            (Phase::ProbeDue, State::Probing { since, .. }) => self.state = State::Probing { since, again: now + policy.open },
            (Phase::Closed, _) => {}
            _ => return None,
        }
        Some(Ticket(self.era))
    }

    /// An answer that is counted already broke off: it failed after all.
    pub(super) fn broke_off(&mut self, policy: &BreakerPolicy, now: Instant) -> Option<Change> {
        if self.phase(now) != Phase::Closed {
            return None;
        }
        self.failures.add(now);
        self.open_if_too_many(policy, now)
    }

    /// Takes a ticket back from who can say nothing.
    pub(super) fn release(&mut self, ticket: Ticket) {
        if let State::Probing { since, .. } = self.state
            && ticket.0 == self.era
        {
            // Another probe may be out still, whose answer counts.
            self.state = State::Probing { since, again: since };
        }
    }

    pub(super) fn record(&mut self, ticket: Ticket, verdict: Verdict, policy: &BreakerPolicy, now: Instant) -> Option<Change> {
        if ticket.0 != self.era {
            return None;
        }
        match (self.state, verdict) {
            (State::Open { .. }, _) => None,
            (State::Closed, _) => {
                self.count(verdict, policy, now);
                if verdict == Verdict::Failed { self.open_if_too_many(policy, now) } else { None }
            }
            (State::Probing { .. }, Verdict::Failed) => Some(self.open(Change::ProbeFailed, policy, now)),
            (State::Probing { .. }, Verdict::Answered) => {
                self.enter(State::Closed);
                self.clear(policy, now);
                Some(Change::Closed)
            }
        }
    }

    fn open_if_too_many(&mut self, policy: &BreakerPolicy, now: Instant) -> Option<Change> {
        let (attempts, failures) = self.counts(now);
        let is_too_much = attempts >= policy.min_requests && f64::from(failures) >= policy.failure_ratio * f64::from(attempts);
        is_too_much.then(|| self.open(Change::Opened { attempts, failures }, policy, now))
    }

    /// Attempts in the window, and how many of them failed.
    pub(super) fn counts(&mut self, now: Instant) -> (u32, u32) {
        (self.attempts.total(now), self.failures.total(now))
    }

    fn count(&mut self, verdict: Verdict, policy: &BreakerPolicy, now: Instant) {
        if !self.attempts.spans(policy.window) {
            self.clear(policy, now);
        }
        self.attempts.add(now);
        if verdict == Verdict::Failed {
            self.failures.add(now);
        }
    }

    fn open(&mut self, change: Change, policy: &BreakerPolicy, now: Instant) -> Change {
        self.enter(State::Open { until: now + policy.open });
        change
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }

    fn clear(&mut self, policy: &BreakerPolicy, now: Instant) {
        self.attempts = Window::new(policy.window, now);
        self.failures = Window::new(policy.window, now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    const POLICY: BreakerPolicy =
        BreakerPolicy { window: Duration::from_secs(10), min_requests: 10, failure_ratio: 0.5, open: Duration::from_secs(5) };

    fn ask(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> Option<Change> {
        let ticket = breaker.admit(&POLICY, now).unwrap();
        breaker.record(ticket, verdict, &POLICY, now)
    }

    /// One that has just opened.
    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(&POLICY, now);
        let changes: Vec<_> = (0..10).filter_map(|_| ask(&mut breaker, Verdict::Failed, now)).collect();
        assert_eq!(changes, [Change::Opened { attempts: 10, failures: 10 }]);
        breaker
    }

    #[test]
    fn it_opens_at_the_ratio_and_not_below_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(&POLICY, now);
        for _ in 0..6 {
            assert_eq!(ask(&mut breaker, Verdict::Answered, now), None);
        }
        for _ in 0..5 {
            assert_eq!(ask(&mut breaker, Verdict::Failed, now), None);
        }
        assert_eq!(ask(&mut breaker, Verdict::Failed, now), Some(Change::Opened { attempts: 12, failures: 6 }));
        assert_eq!(breaker.admit(&POLICY, now), None);
    }

    #[test]
    fn few_requests_conclude_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::new(&POLICY, now);
        for _ in 0..9 {
            assert_eq!(ask(&mut breaker, Verdict::Failed, now), None);
        }
        // What is out of the window is forgotten.
        assert_eq!(ask(&mut breaker, Verdict::Failed, now + POLICY.window), None);
    }

    #[test]
    fn one_probe_at_a_time_and_its_answer_closes_with_an_empty_window() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(&POLICY, now + Duration::from_millis(4999)), None);
        let later = now + POLICY.open;
        let probe = breaker.admit(&POLICY, later).unwrap();
        assert_eq!(breaker.admit(&POLICY, later), None);
        assert_eq!(breaker.record(probe, Verdict::Answered, &POLICY, later), Some(Change::Closed));
        assert_eq!((breaker.phase(later), breaker.counts(later)), (Phase::Closed, (0, 0)));
    }

    #[test]
    fn a_failed_probe_opens_it_again() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + POLICY.open;
        assert_eq!(ask(&mut breaker, Verdict::Failed, later), Some(Change::ProbeFailed));
        assert_eq!(breaker.phase(later), Phase::Open { until: later + POLICY.open });
    }

    #[test]
    fn a_probe_that_says_nothing_frees_its_place() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + POLICY.open;
        let probe = breaker.admit(&POLICY, later).unwrap();
        breaker.release(probe);
        assert_eq!(breaker.phase(later), Phase::ProbeDue);
        let second = breaker.admit(&POLICY, later).unwrap();
        assert_eq!(breaker.admit(&POLICY, later), None);
        assert_eq!(breaker.record(second, Verdict::Answered, &POLICY, later), Some(Change::Closed));
    }

    #[test]
    fn answers_that_break_off_open_it_like_failures() {
        let now = Instant::now();
        let mut breaker = Breaker::new(&POLICY, now);
        (0..10).for_each(|_| assert_eq!(ask(&mut breaker, Verdict::Answered, now), None));
        let changes: Vec<_> = (0..5).filter_map(|_| breaker.broke_off(&POLICY, now)).collect();
        assert_eq!(changes, [Change::Opened { attempts: 10, failures: 5 }]);
        assert_eq!(breaker.broke_off(&POLICY, now), None);
    }

    #[test]
    fn a_probe_that_hangs_does_not_keep_another_from_finding_out() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + POLICY.open;
        let hanging = breaker.admit(&POLICY, later).unwrap();
        assert_eq!(breaker.admit(&POLICY, later), None);
        let second = breaker.admit(&POLICY, later + POLICY.open).unwrap();
        assert_eq!(breaker.record(second, Verdict::Answered, &POLICY, later + POLICY.open), Some(Change::Closed));
        assert_eq!(breaker.record(hanging, Verdict::Failed, &POLICY, later + POLICY.open), None);
    }

    #[test]
    fn requests_from_before_it_opened_do_not_matter_after() {
        let now = Instant::now();
        let mut breaker = Breaker::new(&POLICY, now);
        let early = breaker.admit(&POLICY, now).unwrap();
        for _ in 0..10 {
            ask(&mut breaker, Verdict::Failed, now);
        }
        let later = now + POLICY.open;
        let probe = breaker.admit(&POLICY, later).unwrap();
        assert_eq!(breaker.record(early, Verdict::Answered, &POLICY, later), None);
        breaker.release(early);
        assert!(matches!(breaker.phase(later), Phase::Probing { .. }));
        breaker.record(probe, Verdict::Answered, &POLICY, later);
        assert_eq!(breaker.record(early, Verdict::Failed, &POLICY, later), None);
        assert_eq!(breaker.counts(later), (0, 0));
    }
}
