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

/// Decides. `retries` is how often this candidate was tried again already, `left` the time that is left for the request.
pub fn next(policy: &RetryPolicy, advice: Advice, retries: u32, left: Duration, rng: &mut impl Rng) -> Next {
    let otherwise = if advice.elsewhere { Next::Fallback } else { Next::GiveUp };
    if retries >= policy.max_retries {
        return otherwise;
    }
    let after = match advice.again {
        Again::Never => return otherwise,
        Again::AfterBackoff => backoff(policy, retries, rng),
        Again::After(wait) if wait > policy.max_backoff => return otherwise,
        Again::After(wait) => later(policy, wait, rng),
    };
    if after < left { Next::Retry { after } } else { otherwise }
}

/// How long to wait when nobody may be asked now: for the first of those that refused, if it is worth it. `refused`: for how long yet, of each; absent where it is not to
/// be waited for. `waits`: how often was waited already.
pub fn wait_for(
    policy: &RetryPolicy,
    refused: impl Iterator<Item = Option<Duration>>,
    waits: u32,
    left: Duration,
    rng: &mut impl Rng,
) -> Option<Duration> {
    let first = refused.flatten().min().filter(|wait| *wait <= policy.max_backoff && waits < policy.max_retries)?;
    Some(later(policy, first, rng)).filter(|wait| *wait < left)
}

/// Everyone who was refused is told the same delay, so only more is added: nobody comes early, and not all at once.
fn later(policy: &RetryPolicy, wait: Duration, rng: &mut impl Rng) -> Duration {
    wait + wait.max(policy.initial_backoff).mul_f64(policy.jitter * rng.random::<f64>())
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

    const HOUR: Duration = Duration::from_secs(3600);

    fn decide(again: Again, retries: u32) -> Next {
        next(&POLICY, Advice { again, elsewhere: true }, retries, HOUR, &mut SmallRng::seed_from_u64(1))
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
    fn backoffs_fill_the_range_of_the_jitter_evenly_and_fall_together_no_more_than_by_chance() {
        let mut rng = SmallRng::seed_from_u64(20);
        let mut waits: Vec<f64> = (0..10_000).map(|_| backoff(&POLICY, 1, &mut rng).as_secs_f64()).collect();
        waits.sort_by(f64::total_cmp);
        assert!(waits[0] >= 1.8 && waits[9999] <= 2.2, "{} to {}", waits[0], waits[9999]);
        // Kolmogorov-Smirnov against the even distribution: at 10,000 samples its distance is over 0.0195 once in a thousand.
        let distance = waits.iter().enumerate().map(|(at, wait)| ((wait - 1.8) / 0.4 - at as f64 / 10_000.0).abs()).fold(0.0, f64::max);
        assert!(distance < 0.0195, "{distance}");
        // 400 ms for 10,000: 25 in each millisecond on average, and Poisson's tail says that 60 do not happen.
        let mut in_one_millisecond = [0; 401];
        waits.iter().for_each(|wait| in_one_millisecond[((wait - 1.8) * 1000.0) as usize] += 1);
        assert!(in_one_millisecond.iter().all(|count| *count < 60), "{in_one_millisecond:?}");
    }

    #[test]
    fn those_who_were_told_the_same_delay_do_not_come_back_at_once() {
        let mut rng = SmallRng::seed_from_u64(21);
        let mut waits: Vec<u128> = (0..10_000).map(|_| later(&POLICY, 2 * Duration::from_secs(1), &mut rng).as_micros()).collect();
        waits.sort_unstable();
        assert!(waits[0] >= 2_000_000 && waits[9999] <= 2_200_000);
        waits.dedup();
        assert!(waits.len() > 9000, "{} different of 10,000", waits.len());
    }

    #[test]
    fn what_has_no_time_left_is_not_waited_for() {
        let left = Duration::from_millis(800);
        let advice = Advice { again: Again::AfterBackoff, elsewhere: true };
        assert_eq!(next(&POLICY, advice, 0, left, &mut SmallRng::seed_from_u64(1)), Next::Fallback);
        let refused = [None, Some(Duration::from_secs(5)), Some(Duration::from_millis(500))];
        let wait = |refused: &[Option<Duration>], left| {
            wait_for(&POLICY, refused.iter().copied(), 0, left, &mut SmallRng::seed_from_u64(1)).map(|wait| wait.as_millis())
        };
        assert!(wait(&refused, left).is_some_and(|wait| (500..=600).contains(&wait)), "the first that takes requests again");
        assert_eq!(wait(&refused, Duration::from_millis(400)), None);
        assert_eq!(wait(&[None], HOUR), None, "what failed too often is not waited for");
        assert_eq!(wait(&[Some(HOUR)], HOUR), None, "longer than MAX_BACKOFF");
    }

    #[test]
    fn retries_end_and_what_cannot_succeed_is_not_retried() {
        assert_eq!(decide(Again::AfterBackoff, 3), Next::Fallback);
        assert_eq!(decide(Again::Never, 0), Next::Fallback);
        let hopeless = Advice { again: Again::Never, elsewhere: false };
        assert_eq!(next(&POLICY, hopeless, 0, HOUR, &mut SmallRng::seed_from_u64(1)), Next::GiveUp);
    }
}
