//! What an attempt has used so far: known while it runs, also to whoever only has a copy of it, for an attempt may end by being dropped.
//!
//! Owns: what the provider has said so far, and the estimate of what it did not say. Not here: what is estimated of a text (`domain::estimate`), what that costs (`settle`).

use crate::contract::Usage;
use crate::domain::estimate::{Output, Prompt};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a model writes in a second, about: of an answer of which nothing was seen.
const TOKENS_PER_SECOND: f64 = 60.0;

/// Shared by all copies of an attempt.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Reading>);

#[derive(Debug, Default)]
struct Reading {
    expected: Option<Expected>,
    /// Absent: the provider can't have it yet.
    sent: Option<Instant>,
    output: Output,
}

/// What is known of a request before it is answered.
#[derive(Debug, Clone, Copy)]
struct Expected {
    prompt: Prompt,
    /// Tokens that the answer can have. Absent: as many as the model gives.
    most: Option<u32>,
}

impl Meter {
    pub(super) fn expect(&self, prompt: Prompt, most: Option<u32>) {
        self.reading().expected = Some(Expected { prompt, most });
    }

    /// From now on the provider has it, or may have it.
    pub(super) fn sent(&self) {
        self.reading().sent.get_or_insert_with(Instant::now);
    }

    /// As of an attempt that was sent.
    #[cfg(test)]
    pub(crate) fn begin_for_test(&self, prompt: Prompt) {
        self.expect(prompt, None);
        self.sent();
    }

    pub(crate) fn output<T>(&self, read: impl FnOnce(&mut Output) -> T) -> T {
        read(&mut self.reading().output)
    }

    /// As the provider has said it until now, and of the rest an estimate, which is marked. Absent: it was not sent, or is nothing that is billed.
    pub fn used(&self) -> Option<Usage> {
        let reading = self.reading();
        let (expected, sent) = (reading.expected?, reading.sent?);
        Some(if reading.output.is_empty() { expected.unseen(sent.elapsed()) } else { reading.output.broken_off(expected.prompt) })
    }

    /// What a panic left is no worse than what is known otherwise.
    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    /// A provider that says nothing may have written all the while.
    fn unseen(self, elapsed: Duration) -> Usage {
        let most = self.most.map_or(f64::INFINITY, f64::from);
        self.prompt.usage((elapsed.as_secs_f64() * TOKENS_PER_SECOND).min(most))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{ChatEvent, PartGrowth};
    use crate::domain::chat_request;
    use crate::domain::estimate::is_estimated;

    fn prompt() -> Prompt {
        Prompt::of(&chat_request(String::new(), Vec::new()))
    }

    #[test]
    fn what_was_not_sent_is_not_billed() {
        let meter = Meter::default();
        meter.expect(prompt(), None);
        assert_eq!(meter.used(), None);
        meter.sent();
        assert!(is_estimated(&meter.used().unwrap()));
    }

    #[test]
    fn an_answer_of_which_nothing_was_seen_is_taken_to_grow_with_time_up_to_its_limit() {
        let of = |seconds, most| Expected { prompt: prompt(), most }.unseen(Duration::from_secs(seconds)).output;
        assert_eq!([of(0, None), of(2, None), of(2, Some(50)), of(2, Some(0))], [Some(0), Some(120), Some(50), Some(0)]);
    }

    #[test]
    fn of_a_stream_counts_what_came() {
        let meter = Meter::default();
        meter.expect(prompt(), Some(1000));
        meter.sent();
        let text = "word ".repeat(50);
        meter.output(|output| output.add(&ChatEvent::PartGrew(PartGrowth { choice: 0, part: 0, text, media: None, logprobs: None })));
        let used = meter.used().unwrap();
        assert!(is_estimated(&used) && (40..70).contains(&used.output.unwrap()), "{used:?}");
    }
}
