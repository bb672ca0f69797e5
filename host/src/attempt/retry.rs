//! What to do after a failed attempt: the same candidate again, the next one, or nothing. Pure: chance is an argument.

use crate::config::RetryPolicy;
use rand::{Rng, RngExt};
use std::time::Duration;

/// What a failure allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    pub again: Again,
    /// Whether another provider may succeed.
    pub elsewhere: bool,
}

/// Whether the same request to the same provider may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    Never,
    AfterBackoff,
    After(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Retry { after: Duration },
    Fallback,
    GiveUp,
}

/// Decides. `retries` is how often this candidate was tried again already.
pub fn next(policy: &RetryPolicy, advice: Advice, retries: u32, rng: &mut impl Rng) -> Next {
    let otherwise = if advice.elsewhere { Next::Fallback } else { Next::GiveUp };
    if retries >= policy.max_retries {
        return otherwise;
    }
    match advice.again {
        Again::Never => otherwise,
        Again::AfterBackoff => Next::Retry { after: backoff(policy, retries, rng) },
        Again::After(wait) if wait > policy.max_backoff => otherwise,
        // Everyone who was refused is told the same delay, so only more is added: nobody comes early, and not all at once.
        Again::After(wait) => Next::Retry { after: wait.mul_f64(1.0 + policy.jitter * rng.random::<f64>()) },
    }
}

/// `initial * factor^retries`, at most `max`, varied by the jitter in both directions.
fn backoff(policy: &RetryPolicy, retries: u32, rng: &mut impl Rng) -> Duration {
    let max = policy.max_backoff.as_secs_f64();
    let exponent = i32::try_from(retries).unwrap_or(i32::MAX);
    let base = (policy.initial_backoff.as_secs_f64() * policy.factor.powi(exponent)).min(max);
    let varied = base * (1.0 + policy.jitter * (2.0 * rng.random::<f64>() - 1.0));
    Duration::from_secs_f64(varied.clamp(0.0, max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const POLICY: RetryPolicy = RetryPolicy {
        max_retries: 3,
        initial_backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(30),
        factor: 2.0,
        jitter: 0.1,
        budget: 0.2,
    };

    fn decide(again: Again, retries: u32) -> Next {
        next(&POLICY, Advice { again, elsewhere: true }, retries, &mut SmallRng::seed_from_u64(1))
    }

    #[test]
    fn backoff_grows_by_the_factor_within_the_jitter() {
        let mut rng = SmallRng::seed_from_u64(7);
        for (retries, seconds) in [(0, 1.0), (1, 2.0), (2, 4.0), (4, 16.0)] {
            for _ in 0..200 {
                let wait = backoff(&POLICY, retries, &mut rng).as_secs_f64();
                assert!((seconds * 0.9..=seconds * 1.1).contains(&wait), "retry {retries}: {wait}");
            }
        }
        assert!(backoff(&POLICY, 1_000_000, &mut rng) <= POLICY.max_backoff);
    }

    #[test]
    fn a_provider_that_says_when_is_obeyed_and_never_early() {
        let Next::Retry { after } = decide(Again::After(Duration::from_secs(5)), 0) else { unreachable!() };
        assert!((5.0..=5.5).contains(&after.as_secs_f64()), "{after:?}");
        assert_eq!(decide(Again::After(Duration::from_secs(120)), 0), Next::Fallback);
    }

    #[test]
    fn retries_end_and_what_cannot_succeed_is_not_retried() {
        assert_eq!(decide(Again::AfterBackoff, 3), Next::Fallback);
        assert_eq!(decide(Again::Never, 0), Next::Fallback);
        let hopeless = Advice { again: Again::Never, elsewhere: false };
        assert_eq!(next(&POLICY, hopeless, 0, &mut SmallRng::seed_from_u64(1)), Next::GiveUp);
    }
}
