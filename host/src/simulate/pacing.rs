//! How fast a stream flows. Pure: says how long to wait, waits for nothing.

use std::time::Duration;

/// The pauses of a streamed answer. A whole answer waits for `first_token` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Before the first chunk.
    pub first_token: Duration,
    /// Between two chunks, give or take a quarter.
    pub per_chunk: Duration,
}

impl Pacing {
    /// No pauses, and no timer in the path.
    pub const NONE: Self = Self { first_token: Duration::ZERO, per_chunk: Duration::ZERO };

    /// How long to wait before the chunk of that number. `None` instead of a wait of zero: a timer costs even when it fires at once.
    pub(super) fn pause_before(&self, chunk: usize) -> Option<Duration> {
        let pause = if chunk == 0 { self.first_token } else { self.per_chunk * uneven_percent(chunk) / 100 };
        (!pause.is_zero()).then_some(pause)
    }
}

impl Default for Pacing {
    /// Like a quick model on a good day.
    fn default() -> Self {
        Self { first_token: Duration::from_millis(150), per_chunk: Duration::from_millis(20) }
    }
}

/// 75 to 125, the same for the same chunk: a stream that ticks like a clock hides timing mistakes and looks dead.
fn uneven_percent(chunk: usize) -> u32 {
    const SPREAD: u32 = 51;
    let scrambled = (chunk as u32).wrapping_mul(2_654_435_761) >> 16;
    75 + scrambled % SPREAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pacing_means_no_timer() {
        assert!((0..100).all(|chunk| Pacing::NONE.pause_before(chunk).is_none()));
    }

    #[test]
    fn pauses_vary_by_a_quarter_at_most_and_repeat() {
        let pacing = Pacing { first_token: Duration::from_millis(7), per_chunk: Duration::from_millis(100) };
        assert_eq!(pacing.pause_before(0), Some(Duration::from_millis(7)));
        let pauses: Vec<_> = (1..200).filter_map(|chunk| pacing.pause_before(chunk)).collect();
        assert!(pauses.iter().all(|pause| (75..=125).contains(&pause.as_millis())), "{pauses:?}");
        assert!(pauses.iter().any(|pause| pause != &pauses[0]));
        assert_eq!(pacing.pause_before(5), pacing.pause_before(5));
    }
}
