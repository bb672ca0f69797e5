//! How fast one model of one provider begins to answer, and whether that is far slower than usual. Pure: it is told the time.
//!
//! The average is a moving one, weighted by time as in Finagle's Peak EWMA (without the peak): of a sample that comes `dt` after the one before, the average takes
//! 1 - exp(-dt / τ), so that it speaks of the last τ, whether there was one request in it or a thousand. It begins as a plain mean, else its first sample would
//! outweigh the next hundreds.

use super::window::Window;
use std::time::Duration;
use tokio::time::Instant;

/// τ of the average that candidates are compared by.
const RECENT: Duration = Duration::from_secs(10);
/// τ of what is usual.
const USUAL: Duration = Duration::from_secs(600);
/// τ by which an average that nobody renews is believed less: a slow candidate is tried again some time.
const FADES: Duration = Duration::from_secs(60);
/// When nothing is left of it.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// Late is what takes so many times as long as usual,
const LATE_FACTOR: f64 = 3.0;
/// and this much longer.
const LATE_BY: Duration = Duration::from_millis(500);
/// In which it is looked at how many come late.
const LOOKED_AT: Duration = Duration::from_secs(10);
const MIN_SAMPLES: u32 = 10;
/// How long it is then taken for slow.
const SLOW_FOR: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Latency {
    recent: Average,
    usual: Average,
    samples: Window,
    late: Window,
    slow_until: Option<Instant>,
    /// Since when an answer is waited for of which nothing is known.
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Average {
    tau: Duration,
    samples: u32,
    seconds: f64,
    renewed: Instant,
    /// From when on it fades.
    believed: Instant,
}

impl Latency {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            recent: Average::new(RECENT, now),
            usual: Average::new(USUAL, now),
            samples: Window::new(LOOKED_AT, now),
            late: Window::new(LOOKED_AT, now),
            slow_until: None,
            asked: None,
        }
    }

    /// A request goes out. What has faded is found out by one request: until it is answered, others go by what was known.
    pub(super) fn asked(&mut self, now: Instant) {
        if self.is_known(now) {
            self.recent.believed = now;
        } else {
            self.asked = self.waited_since(now).or(Some(now));
        }
    }

    /// One came back with a failure, which says nothing of how fast an answer is.
    pub(super) fn failed(&mut self) {
        self.asked = None;
    }

    /// A request was given up after that time, without an answer: it would have taken longer.
    pub(super) fn longer_than(&mut self, waited: Duration, now: Instant) {
        if self.average(now).is_none_or(|average| waited > average) {
            self.add(waited, now);
        }
    }

    pub(super) fn add(&mut self, sample: Duration, now: Instant) {
        self.asked = None;
        self.recent.add(sample, now);
        self.usual.add(sample, now);
        if !self.is_slow(now) {
            self.look(sample, now);
        }
    }

    /// Whether more than half of the last ten seconds' answers began late: their median is compared, which a few outliers do not move.
    fn look(&mut self, sample: Duration, now: Instant) {
        self.samples.add(now);
        let late_after = (self.usual.seconds * LATE_FACTOR).max(self.usual.seconds + LATE_BY.as_secs_f64());
        if sample.as_secs_f64() > late_after {
            self.late.add(now);
        }
        let (samples, late) = (self.samples.total(now), self.late.total(now));
        if samples >= MIN_SAMPLES && late > samples / 2 {
            self.slow_until = Some(now + SLOW_FOR);
            self.samples = Window::new(LOOKED_AT, now);
            self.late = Window::new(LOOKED_AT, now);
        }
    }

    pub(super) fn is_slow(&self, now: Instant) -> bool {
        self.slow_until.is_some_and(|until| now < until)
    }

    /// The recent average, or what is still believed of it; of one that is not known, how long its first answer is waited for already.
    pub(super) fn average(&self, now: Instant) -> Option<Duration> {
        if !self.is_known(now) {
            return self.waited_since(now).map(|asked| now.saturating_duration_since(asked));
        }
        let age = now.saturating_duration_since(self.recent.believed);
        Some(Duration::from_secs_f64(self.recent.seconds * (-age.as_secs_f64() / FADES.as_secs_f64()).exp()))
    }

    fn waited_since(&self, now: Instant) -> Option<Instant> {
        self.asked.filter(|asked| now.saturating_duration_since(*asked) < FORGOTTEN)
    }

    fn is_known(&self, now: Instant) -> bool {
        self.recent.samples > 0 && now.saturating_duration_since(self.recent.believed) < FORGOTTEN
    }
}

impl Average {
    fn new(tau: Duration, now: Instant) -> Self {
        Self { tau, samples: 0, seconds: 0.0, renewed: now, believed: now }
    }

    fn add(&mut self, sample: Duration, now: Instant) {
        self.samples = self.samples.saturating_add(1);
        let since = now.saturating_duration_since(self.renewed).as_secs_f64();
        let weight = (1.0 - (-since / self.tau.as_secs_f64()).exp()).max(1.0 / f64::from(self.samples));
        self.seconds += (sample.as_secs_f64() - self.seconds) * weight;
        self.renewed = now;
        self.believed = now;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const USUALLY: Duration = Duration::from_millis(200);
    const LATE: Duration = Duration::from_secs(4);

    /// A minute of answers, ten a second, and when the last one was.
    fn usual() -> (Latency, Instant) {
        let start = Instant::now();
        let mut latency = Latency::new(start);
        (0..600).for_each(|i| latency.add(USUALLY, start + Duration::from_millis(100 * i)));
        (latency, start + Duration::from_millis(59_900))
    }

    #[test]
    fn one_request_finds_out_what_has_faded_and_others_go_by_what_was_known() {
        let (mut latency, now) = usual();
        let later = now + 2 * FADES;
        assert!(latency.average(later).unwrap() < USUALLY / 2);
        latency.asked(later);
        assert!(latency.average(later).unwrap() > USUALLY * 9 / 10);
        let much_later = later + FORGOTTEN;
        assert_eq!(latency.average(much_later), None);
        latency.asked(much_later);
        latency.asked(much_later + LATE);
        assert_eq!(latency.average(much_later + 2 * LATE), Some(2 * LATE), "it takes as long as it is waited for at least");
    }

    #[test]
    fn requests_that_are_given_up_make_it_slow() {
        let (mut latency, now) = usual();
        (0..20).for_each(|_| latency.longer_than(USUALLY / 2, now));
        assert!(!latency.is_slow(now), "who gives up early says nothing");
        let later = now + LOOKED_AT;
        (0..MIN_SAMPLES).for_each(|_| latency.longer_than(10 * LATE, later));
        assert!(latency.is_slow(later));
    }

    #[test]
    fn the_average_follows_what_is_measured() {
        let (mut latency, mut now) = usual();
        assert_eq!(latency.average(now).unwrap().as_millis(), 200);
        for _ in 0..300 {
            now += Duration::from_millis(100);
            latency.add(LATE, now);
        }
        let average = latency.average(now).unwrap().as_secs_f64();
        assert!((3.7..4.0).contains(&average), "{average}");
    }

    #[test]
    fn the_first_sample_weighs_no_more_than_the_others_at_any_rate() {
        let now = Instant::now();
        let mut latency = Latency::new(now);
        latency.add(LATE, now);
        (0..99).for_each(|_| latency.add(Duration::ZERO, now));
        assert_eq!(latency.average(now).unwrap().as_millis(), 40);
    }

    #[test]
    fn an_average_that_nobody_renews_fades_and_is_forgotten() {
        let (latency, now) = usual();
        let after = |seconds| latency.average(now + Duration::from_secs(seconds));
        let faded: Vec<u128> = [0, 60, 120].map(|seconds| after(seconds).unwrap().as_millis()).to_vec();
        assert_eq!(faded, [200, 73, 27]);
        assert_eq!(after(300), None);
        assert_eq!(Latency::new(now).average(now), None);
    }

    #[test]
    fn one_late_answer_is_no_outlier() {
        let (mut latency, now) = usual();
        latency.add(Duration::from_secs(600), now);
        assert!(!latency.is_slow(now));
        // Nor where there are few.
        let after = now + Duration::from_secs(60);
        latency.add(Duration::from_secs(600), after);
        assert!(!latency.is_slow(after));
    }

    #[test]
    fn what_is_late_as_a_rule_is_slow_for_a_while() {
        let (mut latency, now) = usual();
        let late = |latency: &mut Latency, from: Instant| (0..20).for_each(|i| latency.add(LATE, from + Duration::from_secs(i)));
        late(&mut latency, now + Duration::from_secs(1));
        let end = now + Duration::from_secs(20);
        assert!(latency.is_slow(end));
        assert!(!latency.is_slow(end + SLOW_FOR));
        // What was seen before is not held against it.
        latency.add(USUALLY, end + SLOW_FOR);
        assert!(!latency.is_slow(end + SLOW_FOR));
    }

    #[test]
    fn half_a_second_more_is_not_slow() {
        let (mut latency, now) = usual();
        (0..20).for_each(|_| latency.add(Duration::from_millis(690), now));
        assert!(!latency.is_slow(now));
    }
}
