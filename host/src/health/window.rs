//! Counts what happened in the last so many seconds. Pure: it is told the time.

use std::time::Duration;
use tokio::time::Instant;

const BUCKETS: usize = 10;

/// Events of a span of time, to a tenth of it: what is counted reaches back nine tenths of the span at least, and all of it at most.
#[derive(Debug)]
pub(super) struct Window {
    width: Duration,
    /// Of the first bucket.
    began: Instant,
    /// The newest first.
    buckets: [u32; BUCKETS],
}

impl Window {
    pub(super) fn new(span: Duration, now: Instant) -> Self {
        Self { width: width(span), began: now, buckets: [0; BUCKETS] }
    }

    pub(super) fn spans(&self, span: Duration) -> bool {
        self.width == width(span)
    }

    pub(super) fn add(&mut self, now: Instant) {
        self.advance(now);
        self.buckets[0] = self.buckets[0].saturating_add(1);
    }

    pub(super) fn total(&mut self, now: Instant) -> u32 {
        self.advance(now);
        self.buckets.iter().fold(0, |sum: u32, count| sum.saturating_add(*count))
    }

    fn advance(&mut self, now: Instant) {
        while now.saturating_duration_since(self.began) >= self.width {
            if self.buckets == [0; BUCKETS] {
                self.began = now;
                return;
            }
            self.buckets.rotate_right(1);
            self.buckets[0] = 0;
            self.began += self.width;
        }
    }
}

fn width(span: Duration) -> Duration {
    (span / BUCKETS as u32).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_span_no_longer_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(Duration::from_secs(10), start);
        window.add(at(0));
        window.add(at(5));
        assert_eq!(window.total(at(9)), 2);
        assert_eq!(window.total(at(10)), 1);
        assert_eq!(window.total(at(15)), 0);
        window.add(at(100_000));
        assert_eq!(window.total(at(100_001)), 1);
    }
}
