//! What attempts are billed.
//!
//! Owns: whose price counts for an attempt, and what it comes to. Not here: prices (`price`), what may be spent (`purse`).

use crate::attempt::Attempt;
use crate::config::Rules;
use crate::contract::Usage;
use crate::ledger::TokenCounts;
use crate::money::Usd;
use crate::plan::Plan;
use crate::price::{self, Cost, ModelPrice, ServiceTier};
use crate::provider::Provider;
use std::sync::Arc;
use std::time::SystemTime;

/// By which a request's attempts are billed: the rules and providers that its plan was made of.
#[derive(Debug, Clone)]
pub(super) struct Tariff {
    rules: Arc<Rules>,
    providers: Vec<Arc<Provider>>,
}

/// What an answer says of itself that its price goes by.
#[derive(Debug, Clone, Default)]
pub(super) struct Answered {
    pub(super) model: Option<String>,
    /// Absent: the standard, or it does not say.
    pub(super) tier: Option<ServiceTier>,
}

/// What one attempt used and cost.
#[derive(Debug, Clone)]
pub(super) struct Bill {
    pub(super) usage: Option<Usage>,
    /// Absent: it has no known price.
    pub(super) cost: Option<Cost>,
}

impl Bill {
    pub(super) fn free() -> Self {
        Self { usage: None, cost: Some(Cost::default()) }
    }
}

impl Tariff {
    pub(super) fn of(plan: &Plan) -> Self {
        Self::new(Arc::clone(&plan.rules), plan.candidates().map(|candidate| Arc::clone(&candidate.provider)).collect())
    }

    pub(super) fn new(rules: Arc<Rules>, providers: Vec<Arc<Provider>>) -> Self {
        Self { rules, providers }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// `answered`: the model in the answer, which is the one that is billed.
    pub(super) fn price(&self, provider: &str, answered: Option<&str>, asked: &str) -> Option<Arc<ModelPrice>> {
        let provider = self.providers.iter().find(|known| known.id == provider)?;
        price::of_answered(&self.rules, provider, answered, asked, SystemTime::now())
    }

    /// What was not billed at all costs nothing, whether or not there is a price.
    pub(super) fn bill(&self, attempt: &Attempt, answered: &Answered, usage: Option<Usage>) -> Bill {
        let price = || self.price(&attempt.provider, answered.model.as_deref(), &attempt.model);
        let cost = match &usage {
            None => Some(Cost::default()),
            Some(usage) => price().and_then(|price| price.in_tier(answered.tier)).map(|price| price.cost(usage)),
        };
        Bill { usage, cost }
    }
}

/// What all of them cost. Absent: of one it is not known.
pub(super) fn total(bills: &[Bill]) -> Option<Usd> {
    bills.iter().map(|bill| bill.cost.map(|cost| cost.total())).sum()
}

/// What all of them used.
pub(super) fn tokens(bills: &[Bill]) -> TokenCounts {
    bills.iter().filter_map(|bill| bill.usage.as_ref()).map(TokenCounts::of).fold(TokenCounts::default(), TokenCounts::plus)
}
