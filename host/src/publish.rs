//! Puts a new snapshot in place when plugins or rules change.
//!
//! Owns: the last of both, so that a change of one keeps the other; telling once of a provider that another name hides. Not here: what a snapshot is made of (`provider`), who notices a change (`plugin`, `config`).

use crate::config::{Env, Rules};
use crate::health::Health;
use crate::plugin::Active;
use crate::provider::Snapshot;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};

type Simulator = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The one place that snapshots come from.
pub struct Publisher<E> {
    providers: Arc<ArcSwap<Snapshot>>,
    health: Arc<Health>,
    env: E,
    /// The base URL at which a provider without a key is simulated, if it is.
    simulator: Simulator,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    rules: Arc<Rules>,
    active: Active,
    /// Providers of which was told that a name hides them.
    hidden: Vec<String>,
}

impl<E: Env> Publisher<E> {
    /// Publishes a first snapshot, in which no plugin is loaded yet: the providers are known all the same, as unavailable.
    pub fn new(providers: Arc<ArcSwap<Snapshot>>, health: Arc<Health>, env: E, simulator: Simulator, rules: Arc<Rules>) -> Self {
        let publisher = Self { providers, health, env, simulator, last: Mutex::default() };
        publisher.rules(rules);
        publisher
    }

    /// From now on with these plugins.
    pub fn plugins(&self, active: &Active) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.active.clone_from(active);
        self.publish(&mut last);
    }

    /// From now on by these rules.
    pub fn rules(&self, rules: Arc<Rules>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.health.set_breaker(rules.breaker);
        last.rules = rules;
        self.publish(&mut last);
    }

    fn publish(&self, last: &mut Last) {
        let snapshot = Snapshot::build(Arc::clone(&last.rules), &last.active, &self.env, |id| (self.simulator)(id));
        let hidden = hidden(&snapshot);
        for provider in hidden.iter().filter(|provider| !last.hidden.contains(provider)) {
            tracing::warn!(provider, "a route or an alias in gateway.toml has this provider's name and hides it: rename it");
        }
        last.hidden = hidden;
        self.providers.store(Arc::new(snapshot));
    }

    pub fn env(&self) -> &E {
        &self.env
    }
}

/// Providers whose name means something else. (The configuration is refused where it knows of the provider: these came with the plugins.)
fn hidden(snapshot: &Snapshot) -> Vec<String> {
    let rules = &snapshot.rules;
    let ids = snapshot.providers.iter().map(|provider| &provider.id);
    ids.filter(|id| rules.routes.contains_key(*id) || rules.aliases.contains_key(*id)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Provider, State};

    #[test]
    fn a_provider_whose_name_means_something_else_is_hidden() {
        let provider = |id: &str| Arc::new(Provider { id: id.into(), state: State::Unavailable { reason: String::new(), version: None } });
        let aliases = [("acme".to_owned(), "openai/x".to_owned()), ("fast".to_owned(), "acme/m".to_owned())];
        let rules = Rules { aliases: aliases.into(), ..Rules::default() };
        let snapshot = Snapshot { providers: vec![provider("openai"), provider("acme")], rules: Arc::new(rules) };
        assert_eq!(hidden(&snapshot), ["acme"]);
    }
}
