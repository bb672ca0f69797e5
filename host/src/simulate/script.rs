//! Which faults hit the next request: scripts, and the counting of `times`. Bounded, whatever is sent. Chance has a fixed seed, so that a run can be repeated.

use super::faults::{Faults, Mistake};
use super::provider::Provider;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Queued per provider and key, and of a standing script.
const MAX_QUEUED: usize = 1000;
/// Providers and keys that have scripts.
const MAX_SCRIPTED: usize = 256;
/// Texts with `times` whose hits are counted; beyond that the oldest one begins anew.
const MAX_COUNTED: usize = 1024;
const SEED: u64 = 7;

#[derive(Default)]
pub(super) struct Scripts {
    state: Mutex<State>,
}

struct State {
    queued: HashMap<Hit, VecDeque<String>>,
    standing: HashMap<Hit, Standing>,
    random: StdRng,
    hits: HashMap<String, u32>,
    /// In the order in which they were first seen.
    counted: VecDeque<String>,
}

/// Whose requests a script hits: all of a provider, or only those with a key.
type Hit = (Provider, Option<String>);

/// Faults that stay until they are cleared.
struct Standing {
    faults: Vec<String>,
    chance: f64,
}

/// Faults for a provider, or for one of its keys.
pub(super) struct Script {
    pub provider: Provider,
    pub key: Option<String>,
    pub faults: Vec<String>,
}

/// A request, as far as scripts tell requests apart.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub provider: Provider,
    pub key: Option<&'a str>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Mistake(#[from] Mistake),
    #[error("simulator: at most {MAX_QUEUED} faults can be queued for a provider or a key, and {MAX_SCRIPTED} of these can have faults")]
    Full,
    #[error("simulator: `chance` is from 0 to 1")]
    Chance,
}

impl Default for State {
    fn default() -> Self {
        Self {
            queued: HashMap::new(),
            standing: HashMap::new(),
            random: StdRng::seed_from_u64(SEED),
            hits: HashMap::new(),
            counted: VecDeque::new(),
        }
    }
}

impl Scripts {
    /// Queues faults behind those that wait, all or none. Gives how many wait now.
    pub fn queue(&self, script: Script) -> Result<usize, Refused> {
        script.check()?;
        let mut state = self.lock();
        if state.queued.len() == MAX_SCRIPTED {
            state.queued.retain(|_, queue| !queue.is_empty());
        }
        let room = state.queued.len() < MAX_SCRIPTED;
        let hit = (script.provider, script.key);
        if !room && !state.queued.contains_key(&hit) {
            return Err(Refused::Full);
        }
        let queue = state.queued.entry(hit).or_default();
        if queue.len() + script.faults.len() > MAX_QUEUED {
            return Err(Refused::Full);
        }
        queue.extend(script.faults);
        Ok(queue.len())
    }

    /// From now on one of the faults, drawn by chance, hits that share of the requests for which nothing is queued. It takes the place of what stood
    /// for them; no faults at all end it. Gives how many there are.
    pub fn stand(&self, script: Script, chance: f64) -> Result<usize, Refused> {
        script.check()?;
        if !(0.0..=1.0).contains(&chance) {
            return Err(Refused::Chance);
        }
        let mut state = self.lock();
        let (hit, faults) = ((script.provider, script.key), script.faults);
        let room = state.standing.len() < MAX_SCRIPTED || state.standing.contains_key(&hit);
        if faults.len() > MAX_QUEUED || !room {
            return Err(Refused::Full);
        }
        let count = faults.len();
        if count > 0 {
            state.standing.insert(hit, Standing { faults, chance });
        } else {
            state.standing.remove(&hit);
        }
        Ok(count)
    }

    /// Forgets every script, and how often `times` has hit.
    pub fn clear(&self) {
        *self.lock() = State::default();
    }

    /// The fault of a request by the scripts, if there is one: what is queued before what stands, what is for its key before what is for all.
    pub fn next(&self, asked: Asked<'_>) -> Option<String> {
        let state = &mut *self.lock();
        let hits = [asked.key.map(|key| (asked.provider, Some(key.to_owned()))), Some((asked.provider, None))];
        let mut hits = hits.iter().flatten();
        hits.clone()
            .find_map(|hit| state.queued.get_mut(hit)?.pop_front())
            .or_else(|| hits.find_map(|hit| state.standing.get(hit)?.draw(&mut state.random)))
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

impl Standing {
    fn draw(&self, random: &mut StdRng) -> Option<String> {
        if !random.random_bool(self.chance) {
            return None;
        }
        self.faults.get(random.random_range(0..self.faults.len().max(1))).cloned()
    }
}

impl Script {
    fn check(&self) -> Result<(), Mistake> {
        self.faults.iter().try_for_each(|text| Faults::parse(text).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn script(provider: Provider, key: Option<&str>, faults: &[&str]) -> Script {
        Script { provider, key: key.map(str::to_owned), faults: faults.iter().map(|&text| text.to_owned()).collect() }
    }

    fn next(scripts: &Scripts, key: &str) -> Option<String> {
        scripts.next(Asked { provider: Provider::Openai, key: Some(key) })
    }

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
            let key = n.to_string();
            let _ = scripts.queue(script(Provider::Mistral, Some(&key), &["status=500"]));
            let _ = scripts.stand(script(Provider::Mistral, Some(&key), &["status=500"]), 1.0);
        }
        let state = scripts.lock();
        assert_eq!((state.hits.len(), state.counted.len()), (MAX_COUNTED, MAX_COUNTED));
        assert_eq!((state.queued.len(), state.standing.len()), (MAX_SCRIPTED, MAX_SCRIPTED));
        drop(state);
        scripts.clear();
        assert_eq!(scripts.queue(script(Provider::Openai, None, &[""; MAX_QUEUED])).unwrap(), MAX_QUEUED);
        assert!(matches!(scripts.queue(script(Provider::Openai, None, &[""])), Err(Refused::Full)));
        assert_eq!(scripts.queue(script(Provider::Gemini, None, &[""])).unwrap(), 1);
    }

    #[test]
    fn a_script_with_a_mistake_queues_nothing() {
        let scripts = Scripts::default();
        assert!(scripts.queue(script(Provider::Openai, None, &["status=500", "nonsense"])).is_err());
        assert!(scripts.stand(script(Provider::Openai, None, &["status=500", "nonsense"]), 1.0).is_err());
        assert!(matches!(scripts.stand(script(Provider::Openai, None, &["status=500"]), 1.5), Err(Refused::Chance)));
        assert_eq!(next(&scripts, "a"), None);
    }

    #[test]
    fn what_is_queued_and_what_is_for_the_key_comes_first() {
        let scripts = Scripts::default();
        scripts.stand(script(Provider::Openai, None, &["label=all"]), 1.0).unwrap();
        scripts.stand(script(Provider::Openai, Some("a"), &["label=a"]), 1.0).unwrap();
        let refused = scripts.stand(script(Provider::Openai, Some("a"), &[""; MAX_QUEUED + 1]), 1.0);
        assert!(matches!(refused, Err(Refused::Full)), "and what stood stands on");
        scripts.queue(script(Provider::Openai, None, &["label=once"])).unwrap();
        assert_eq!(next(&scripts, "a").as_deref(), Some("label=once"));
        assert_eq!([next(&scripts, "a"), next(&scripts, "b")].map(Option::unwrap), ["label=a", "label=all"]);
        assert_eq!(scripts.next(Asked { provider: Provider::Gemini, key: Some("a") }), None);
        scripts.stand(script(Provider::Openai, Some("a"), &[]), 1.0).unwrap();
        assert_eq!(next(&scripts, "a").as_deref(), Some("label=all"), "no faults end what stands");
    }

    #[test]
    fn chance_hits_its_share_and_repeats() {
        let drawn = || {
            let scripts = Scripts::default();
            scripts.stand(script(Provider::Openai, None, &["label=a", "label=b"]), 0.2).unwrap();
            (0..10_000).map(|_| next(&scripts, "a")).collect::<Vec<_>>()
        };
        let first = drawn();
        for fault in ["label=a", "label=b"] {
            let hits = first.iter().flatten().filter(|text| *text == fault).count();
            assert!((850..1150).contains(&hits), "{fault} {hits}");
        }
        assert_eq!(first, drawn());
    }
}
