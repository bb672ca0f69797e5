//! Which faults hit the next request: scripts, and the counting of `times`. Bounded, whatever is sent.

use super::faults::{Faults, Mistake};
use super::provider::Provider;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Queued per provider.
const MAX_QUEUED: usize = 1000;
/// Texts with `times` whose hits are counted; beyond that the oldest one begins anew.
const MAX_COUNTED: usize = 1024;

#[derive(Default)]
pub(super) struct Scripts {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queued: HashMap<Provider, VecDeque<String>>,
    hits: HashMap<String, u32>,
    /// In the order in which they were first seen.
    counted: VecDeque<String>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Mistake(#[from] Mistake),
    #[error("simulator: at most {MAX_QUEUED} faults can be queued for a provider")]
    Full,
}

impl Scripts {
    /// Queues `faults` behind those that wait, all or none. Gives how many wait now.
    pub fn queue(&self, provider: Provider, faults: Vec<String>) -> Result<usize, Refused> {
        for text in &faults {
            Faults::parse(text)?;
        }
        let mut state = self.lock();
        let queue = state.queued.entry(provider).or_default();
        if queue.len() + faults.len() > MAX_QUEUED {
            return Err(Refused::Full);
        }
        queue.extend(faults);
        Ok(queue.len())
    }

    /// Forgets what is queued, and how often `times` has hit.
    pub fn clear(&self) {
        *self.lock() = State::default();
    }

    /// The next fault of the script, if there is one.
    pub fn next(&self, provider: Provider) -> Option<String> {
        self.lock().queued.get_mut(&provider)?.pop_front()
    }

    /// Reads a fault text and counts it. A text that has hit as often as its `times` says is no fault any more.
    ///
    /// # Errors
    /// When the text is not of the grammar.
    pub fn apply(&self, provider: Provider, text: &str) -> Result<Faults, Mistake> {
        let faults = Faults::parse(text)?;
        match faults.times {
            Some(times) if !self.lock().hit(format!("{} {text}", provider.name()), times) => Ok(Faults::default()),
            _ => Ok(faults),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether this is still one of the first `times` hits.
    fn hit(&mut self, key: String, times: u32) -> bool {
        if !self.hits.contains_key(&key) {
            if self.counted.len() == MAX_COUNTED
                && let Some(oldest) = self.counted.pop_front()
            {
                self.hits.remove(&oldest);
            }
            self.counted.push_back(key.clone());
        }
        let hits = self.hits.entry(key).or_insert(0);
        *hits = hits.saturating_add(1);
        *hits <= times
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_hits_so_often_per_text_and_provider() {
        let scripts = Scripts::default();
        let hits = |provider, text: &str| scripts.apply(provider, text).unwrap() != Faults::default();
        assert_eq!([(); 4].map(|()| hits(Provider::Openai, "times=2;status=500")), [true, true, false, false]);
        assert!(hits(Provider::Openai, "times=2;status=500;label=b"));
        assert!(hits(Provider::Gemini, "times=2;status=500"));
        scripts.clear();
        assert!(hits(Provider::Openai, "times=2;status=500"));
    }

    #[test]
    fn the_tables_stay_small() {
        let scripts = Scripts::default();
        for n in 0..5000 {
            scripts.apply(Provider::Openai, &format!("times=1;status=500;label={n}")).unwrap();
        }
        let state = scripts.lock();
        assert_eq!((state.hits.len(), state.counted.len()), (MAX_COUNTED, MAX_COUNTED));
        drop(state);
        assert_eq!(scripts.queue(Provider::Openai, vec![String::new(); MAX_QUEUED]).unwrap(), MAX_QUEUED);
        assert!(matches!(scripts.queue(Provider::Openai, vec![String::new()]), Err(Refused::Full)));
        assert_eq!(scripts.queue(Provider::Gemini, vec![String::new()]).unwrap(), 1);
    }

    #[test]
    fn a_script_with_a_mistake_queues_nothing() {
        let scripts = Scripts::default();
        assert!(scripts.queue(Provider::Openai, vec!["status=500".to_owned(), "nonsense".to_owned()]).is_err());
        assert_eq!(scripts.next(Provider::Openai), None);
    }
}
