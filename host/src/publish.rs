//! Puts a new snapshot in place when plugins or rules change.
//!
//! Owns: the last of both, so that a change of one keeps the other. Not here: what a snapshot is made of (`provider`), who notices a change (`plugin`, `config`).

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
    last: Mutex<(Arc<Rules>, Active)>,
}

impl<E: Env> Publisher<E> {
    /// Publishes a first snapshot, in which no plugin is loaded yet: the providers are known all the same, as unavailable.
    pub fn new(providers: Arc<ArcSwap<Snapshot>>, health: Arc<Health>, env: E, simulator: Simulator, rules: Rules) -> Self {
        let publisher = Self { providers, health, env, simulator, last: Mutex::new((Arc::new(Rules::default()), Active::new())) };
        publisher.rules(rules);
        publisher
    }

    /// From now on with these plugins.
    pub fn plugins(&self, active: &Active) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.1.clone_from(active);
        self.publish(&last);
    }

    /// From now on by these rules.
    pub fn rules(&self, rules: Rules) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.health.set_breaker(rules.breaker);
        last.0 = Arc::new(rules);
        self.publish(&last);
    }

    fn publish(&self, (rules, active): &(Arc<Rules>, Active)) {
        self.providers.store(Arc::new(Snapshot::build(Arc::clone(rules), active, &self.env, |id| (self.simulator)(id))));
    }

    pub fn env(&self) -> &E {
        &self.env
    }
}
