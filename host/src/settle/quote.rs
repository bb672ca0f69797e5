//! What a request would come to, for who asks without sending it. Nothing is set aside.

use super::Account;
use super::purse::{Fit, LEAST_OUTPUT, LEAST_UNASKED, Worst, worst_chat};
use super::tariff::Tariff;
use crate::attempt::Allowance;
use crate::config::UnpricedModels;
use crate::contract::ChatRequest;
use crate::domain::looks_elsewhere;
use crate::money::Usd;
use crate::plan::Plan;
use crate::price::ModelPrice;
use std::sync::Arc;

/// Estimates, all of them.
#[derive(Debug, Clone)]
pub struct Quote {
    pub input_tokens: u64,
    /// What is likely.
    pub output_tokens: u64,
    /// Of these. Absent: the model has no known price.
    pub cost: Option<Usd>,
    /// The most that it can be.
    pub max_cost: Option<Usd>,
    /// Absent: the caller sets no cap.
    pub cap: Option<Verdict>,
    /// Absent: the caller's key has none.
    pub budget: Option<Verdict>,
    /// What it would be sent with. Absent: it would be refused.
    pub allowance: Option<Allowance>,
}

/// Whether it fits into a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The cap, or what is left of the budget.
    pub limit: Usd,
    /// Absent: nobody knows what it costs.
    pub fit: Option<Fit>,
}

impl Quote {
    /// Of the candidate that would be asked first.
    pub async fn of(plan: &Plan, request: &Arc<ChatRequest>, account: &Account) -> Self {
        let (candidate, tariff) = (&plan.first, Tariff::of(plan));
        let worst = worst_chat(request, candidate).await;
        let price = tariff.price(&candidate.provider.id, None, &candidate.model).and_then(|price| price.for_request(request));
        let allows_unpriced = tariff.rules().unpriced_models == UnpricedModels::Allow;
        // What the provider does elsewhere on its own has no bound.
        let bounded = price.as_ref().filter(|_| allows_unpriced || !looks_elsewhere(request));
        let verdict = |worst: &Worst, limit: Usd, least: u64| {
            let by_price = |price: &Arc<ModelPrice>| worst.fit(price, limit, least);
            Verdict { limit, fit: bounded.map(by_price).or(allows_unpriced.then_some(Fit::Fits)) }
        };
        let cap = account.max_cost().map(|cap| verdict(&worst, cap, LEAST_OUTPUT));
        let capped = cap.map_or(Some(worst), |verdict| worst.within(verdict.fit));
        let left = account.standing().and_then(|standing| standing.budget).map(|(left, _)| left);
        let budget = left.map(|left| verdict(&capped.unwrap_or(worst), left, if worst.is_asked { worst.output } else { LEAST_UNASKED }));
        let afforded = capped.and_then(|worst| budget.map_or(Some(worst), |verdict| worst.within(verdict.fit)));
        let output_tokens = worst.usual_output.saturating_mul(worst.choices);
        Self {
            input_tokens: worst.input.tokens,
            output_tokens,
            cost: price.as_ref().map(|price| price.cost_of_text(worst.input.tokens, output_tokens).total()),
            max_cost: bounded.map(|price| worst.at_most(price)),
            cap,
            budget,
            allowance: match (cap, budget) {
                // What limits nothing changes nothing.
                (None, None) => Some(Allowance::default()),
                _ => afforded.map(|worst| worst.allowance()),
            },
        }
    }
}
