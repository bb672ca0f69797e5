//! What one model of one provider still takes, by key: who refused until when, who has said that nothing is left, and which key's turn it is. Pure: it is told the time.

use super::KeyId;
use std::time::Duration;
use tokio::time::Instant;

/// What counts where no key is needed.
const NO_KEY: &[KeyId] = &[KeyId(0)];
/// No wait that a provider tells is believed beyond it.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Between two looks at what a key has left, while there is plenty.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Less than this part of a limit is not plenty.
const SCARCE: u64 = 10;

/// What a rate limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Requests,
    Tokens,
    InputTokens,
    OutputTokens,
}

/// One rate limit, as a provider's answer told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldLimit {
    pub counted: Counted,
    pub remaining: Option<u64>,
    pub limit: Option<u64>,
    /// Until `remaining` is more again.
    pub reset: Option<Duration>,
}

/// The keys of a subject.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// In the order of `Subject::keys`.
    keys: Vec<Key>,
    /// Place of the one that is next.
    turn: usize,
}

/// What is known of one key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: KeyId,
    limited_until: Option<Instant>,
    /// By what is counted.
    told: [Option<Figure>; 4],
    looked_at: Option<Instant>,
}

/// A rate limit as it was last told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) remaining: Option<u64>,
    pub(super) limit: Option<u64>,
    /// It says nothing from then on.
    until: Option<Instant>,
}

/// How a model stands by its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    Plenty,
    /// No key has anything left until then, by what was told, or none is accepted.
    Spent {
        until: Instant,
    },
    /// Each key was refused until then.
    Limited {
        until: Instant,
    },
}

/// Which key is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    place: usize,
    spent_until: Option<Instant>,
}

impl Counted {
    fn place(self) -> usize {
        self as usize
    }
}

/// The keys that are counted by: where there is none, one that has no name.
pub(super) fn counted_keys(keys: &[KeyId]) -> &[KeyId] {
    if keys.is_empty() { NO_KEY } else { keys }
}

impl Keys {
    /// From now on these. What is known of those that stay is kept.
    pub(super) fn set(&mut self, ids: &[KeyId]) {
        if !self.keys.iter().map(|key| &key.id).eq(ids) {
            let known = |id: &KeyId| self.keys.iter().find(|key| key.id == *id).cloned();
            self.keys = ids.iter().map(|id| known(id).unwrap_or_else(|| Key::new(*id))).collect();
        }
    }

    /// `aside_until`: when a key that is put aside is so no more.
    pub(super) fn supply(&self, aside_until: impl Fn(KeyId) -> Option<Instant>, now: Instant) -> Supply {
        let choice = match self.choose(|id| aside_until(id).is_some(), now) {
            Ok(choice) => choice,
            Err(until) => return Supply::Limited { until },
        };
        let aside = self.keys.get(choice.place).and_then(|key| aside_until(key.id));
        choice.spent_until.max(aside).map_or(Supply::Plenty, |until| Supply::Spent { until })
    }

    /// Place of the key to ask with. They take turns: those that are put aside only when all are, those that have nothing left after all others.
    ///
    /// # Errors
    /// The earliest time at which one can be asked with, when all were refused.
    pub(super) fn take(&mut self, is_aside: impl Fn(KeyId) -> bool, now: Instant) -> Result<usize, Instant> {
        let choice = self.choose(is_aside, now)?;
        self.turn = choice.place + 1;
        Ok(choice.place)
    }

    fn choose(&self, is_aside: impl Fn(KeyId) -> bool, now: Instant) -> Result<Choice, Instant> {
        let all_aside = self.keys.iter().all(|key| is_aside(key.id));
        let in_turn = self.keys.iter().enumerate().cycle().skip(self.turn % self.keys.len().max(1)).take(self.keys.len());
        let usable = in_turn.filter(|(_, key)| all_aside || !is_aside(key.id));
        let free = usable.clone().filter(|(_, key)| key.limited_until(now).is_none());
        let choices = free.map(|(place, key)| Choice { place, spent_until: key.spent_until(now) });
        // None sorts first, and of equals the first in turn is taken.
        let best = choices.min_by_key(|choice| choice.spent_until);
        best.ok_or_else(|| usable.filter_map(|(_, key)| key.limited_until(now)).min().unwrap_or(now))
    }

    /// A key was refused: it is left alone for a time. Gives that time, as far as it is believed, or nothing if it was known.
    pub(super) fn limit(&mut self, id: KeyId, wait: Duration, now: Instant) -> Option<Duration> {
        let key = self.keys.iter_mut().find(|key| key.id == id)?;
        let wait = wait.min(LONGEST_WAIT);
        let was_limited = key.limited_until(now);
        key.limited_until = was_limited.max(Some(now + wait));
        (was_limited.is_none() && !wait.is_zero()).then_some(wait)
    }

    /// Takes what a provider told. Of what it counts, later figures replace earlier ones; of several of one kind told at once (a minute's and a day's) the scarcest counts.
    pub(super) fn told(&mut self, id: KeyId, limits: &[ToldLimit], now: Instant) {
        let Some(key) = self.keys.iter_mut().find(|key| key.id == id) else { return };
        for limit in limits {
            key.told[limit.counted.place()] = None;
        }
        for limit in limits {
            let figure = Figure::told(limit, now);
            let slot = &mut key.told[limit.counted.place()];
            if slot.is_none_or(|known| figure.is_scarcer_than(&known)) {
                *slot = Some(figure);
            }
        }
    }

    /// Whether it is time to look at what a key has left. If it is, this counts as the look.
    pub(super) fn look(&mut self, id: KeyId, now: Instant) -> bool {
        let Some(key) = self.keys.iter_mut().find(|key| key.id == id) else { return false };
        let is_due = key.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_EVERY);
        if is_due || key.is_scarce(now) {
            key.looked_at = Some(now);
            return true;
        }
        false
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

impl Key {
    fn new(id: KeyId) -> Self {
        Self { id, limited_until: None, told: [None; 4], looked_at: None }
    }

    pub(super) fn limited_until(&self, now: Instant) -> Option<Instant> {
        self.limited_until.filter(|until| now < *until)
    }

    pub(super) fn spent_until(&self, now: Instant) -> Option<Instant> {
        let spent = self.figures(now).filter(|figure| figure.remaining == Some(0));
        spent.filter_map(|figure| figure.until).max()
    }

    pub(super) fn figure(&self, counted: Counted, now: Instant) -> Option<Figure> {
        self.told[counted.place()].filter(|figure| figure.until.is_none_or(|until| now < until))
    }

    fn figures(&self, now: Instant) -> impl Iterator<Item = &Figure> {
        self.told.iter().flatten().filter(move |figure| figure.until.is_none_or(|until| now < until))
    }

    fn is_scarce(&self, now: Instant) -> bool {
        self.figures(now).any(|figure| match (figure.remaining, figure.limit) {
            (Some(remaining), Some(limit)) => remaining.saturating_mul(SCARCE) < limit,
            _ => false,
        })
    }
}

impl Figure {
    fn told(limit: &ToldLimit, now: Instant) -> Self {
        let until = limit.reset.map(|reset| now + reset.min(LONGEST_WAIT));
        Self { remaining: limit.remaining, limit: limit.limit, until }
    }

    /// Or is so for longer.
    fn is_scarcer_than(&self, other: &Self) -> bool {
        let (own, others) = (self.share(), other.share());
        own < others || own == others && self.until > other.until
    }

    /// Of the limit, what is left.
    fn share(&self) -> f64 {
        match (self.remaining, self.limit) {
            (Some(0), _) => 0.0,
            (Some(remaining), Some(limit)) => remaining as f64 / limit as f64,
            _ => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: KeyId = KeyId(1);
    const B: KeyId = KeyId(2);
    const C: KeyId = KeyId(3);
    const SECOND: Duration = Duration::from_secs(1);

    fn keys(ids: &[KeyId]) -> (Keys, Instant) {
        let mut keys = Keys::default();
        keys.set(ids);
        (keys, Instant::now())
    }

    fn taken<const N: usize>(keys: &mut Keys, now: Instant) -> [usize; N] {
        std::array::from_fn(|_| keys.take(|_| false, now).unwrap())
    }

    fn requests(remaining: u64, limit: u64, reset: Duration) -> ToldLimit {
        ToldLimit { counted: Counted::Requests, remaining: Some(remaining), limit: Some(limit), reset: Some(reset) }
    }

    #[test]
    fn keys_take_turns() {
        let (mut keys, now) = keys(&[A, B, C]);
        assert_eq!(taken(&mut keys, now), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn a_refused_key_is_skipped_until_its_time() {
        let (mut keys, now) = keys(&[A, B, C]);
        assert_eq!(keys.limit(B, SECOND, now), Some(SECOND));
        assert_eq!(keys.limit(B, SECOND, now), None);
        assert_eq!(taken(&mut keys, now), [0, 2, 0]);
        assert_eq!(taken(&mut keys, now + SECOND), [1, 2, 0]);
    }

    #[test]
    fn when_all_were_refused_it_says_when_the_first_is_free() {
        let (mut keys, now) = keys(&[A, B]);
        keys.limit(A, 3 * SECOND, now);
        keys.limit(B, 2 * SECOND, now);
        assert_eq!(keys.take(|_| false, now), Err(now + 2 * SECOND));
        assert_eq!(keys.supply(|_| None, now), Supply::Limited { until: now + 2 * SECOND });
        assert_eq!(taken(&mut keys, now + 2 * SECOND), [1, 1]);
    }

    #[test]
    fn no_wait_is_believed_beyond_an_hour() {
        let (mut keys, now) = keys(&[A]);
        keys.limit(A, Duration::MAX, now);
        assert_eq!(keys.take(|_| false, now), Err(now + LONGEST_WAIT));
    }

    #[test]
    fn keys_aside_are_used_only_when_all_are() {
        let (mut keys, now) = keys(&[A, B]);
        let taken: Vec<_> = (0..3).map(|_| keys.take(|id| id == A, now).unwrap()).collect();
        assert_eq!(taken, [1, 1, 1]);
        let taken: Vec<_> = (0..4).map(|_| keys.take(|_| true, now).unwrap()).collect();
        assert_eq!(taken, [0, 1, 0, 1]);
        // One that would be refused for its key is no way out for one that has to wait.
        keys.limit(B, SECOND, now);
        assert_eq!(keys.take(|id| id == A, now), Err(now + SECOND));
    }

    #[test]
    fn a_spent_key_comes_after_the_others_until_its_reset() {
        let (mut keys, now) = keys(&[A, B]);
        keys.told(A, &[requests(0, 60, SECOND)], now);
        assert_eq!(taken(&mut keys, now), [1, 1]);
        keys.told(B, &[requests(0, 60, 5 * SECOND)], now);
        assert_eq!(keys.supply(|_| None, now), Supply::Spent { until: now + SECOND });
        assert_eq!(taken(&mut keys, now), [0, 0]);
        assert_eq!(keys.supply(|_| None, now + SECOND), Supply::Plenty);
    }

    #[test]
    fn later_figures_replace_earlier_ones_and_the_scarcest_of_one_answer_counts() {
        let (mut keys, now) = keys(&[A]);
        keys.told(
            A,
            &[requests(900, 1000, 90 * SECOND), requests(0, 10, SECOND), requests(0, 50, 2 * SECOND), requests(5, 10, SECOND)],
            now,
        );
        assert_eq!(keys.supply(|_| None, now), Supply::Spent { until: now + 2 * SECOND });
        keys.told(A, &[requests(9, 10, SECOND)], now);
        assert_eq!(keys.supply(|_| None, now), Supply::Plenty);
    }

    #[test]
    fn limits_are_looked_at_seldom_while_there_is_plenty() {
        let (mut keys, now) = keys(&[A]);
        let soon = now + Duration::from_millis(100);
        assert!(keys.look(A, now));
        assert!(!keys.look(A, soon));
        assert!(keys.look(A, now + LOOK_EVERY));
        keys.told(A, &[requests(9, 100, SECOND)], now + LOOK_EVERY);
        assert!(keys.look(A, now + LOOK_EVERY));
        assert!(keys.look(A, now + LOOK_EVERY));
    }

    #[test]
    fn what_is_known_of_a_key_outlives_a_change_of_the_others() {
        let (mut keys, now) = keys(&[A, B]);
        keys.limit(B, SECOND, now);
        keys.set(&[B, C]);
        assert_eq!(taken(&mut keys, now), [1, 1]);
    }
}
