//! What a request may spend: its own cap, and what is left of its key's budget and tokens.
//!
//! Owns: the worst case of each attempt, set aside before it is made; the output cap that keeps it within the limit. Not here: counting what keys use (`quota`), prices (`price`).
//!
//! The worst case of an attempt is all of the prompt, at its dearest, and all of the output that the model may give. Every attempt of a request counts against the same cap: what failed
//! ones are billed, what is under way, and the next one.

use super::tariff::{Bill, Tariff};
use crate::access::GatewayKey;
use crate::attempt::{Allowance, Attempt, Unaffordable};
use crate::config::UnpricedModels;
use crate::contract::ChatRequest;
use crate::contract::embeddings::EmbeddingRequest;
use crate::domain::{ErrorKind, looks_elsewhere};
use crate::money::Usd;
use crate::plan::Candidate;
use crate::price::{self, ModelPrice};
use crate::quota::{Amount, Exceeded, Limit, Quota, Reservation};
use crate::tokens::{self, Estimate};
use std::sync::Arc;
use uuid::Uuid;

/// Output below which an answer is of no use: what some providers take at least.
pub(super) const LEAST_OUTPUT: u64 = 16;
/// Likewise, where the caller sets no limit of its own and its budget would have to.
pub(super) const LEAST_UNASKED: u64 = 1024;
/// Of a model that is not known to have a limit.
const ASSUMED_MOST: u64 = 16_384;
/// What an answer is taken to have where the caller sets no limit: for tokens per minute, of which the rest is settled after.
const USUAL_OUTPUT: u64 = 1000;

/// What is asked, as far as its price depends on it.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Chat(Arc<ChatRequest>),
    Embeddings(Arc<EmbeddingRequest>),
}

#[derive(Debug)]
pub(super) struct Purse {
    /// Of this request.
    cap: Option<Usd>,
    key: Option<(Arc<Quota>, Arc<GatewayKey>)>,
    asked: Asked,
    /// By attempts that are over.
    spent: Amount,
    /// Set aside for those under way.
    under_way: Vec<(String, String, Amount)>,
    reservation: Option<Reservation>,
}

/// What an attempt may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worst {
    pub input: Estimate,
    /// Tokens of each answer.
    pub output: u64,
    /// Of these, what is likely.
    pub usual_output: u64,
    pub choices: u64,
    /// Whether the caller said how long an answer may be.
    pub is_asked: bool,
    /// Whether the provider itself holds to `output`, unless it is told less.
    pub is_held: bool,
}

/// Whether an attempt fits into a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Fits,
    /// With so many tokens of each answer.
    Lowered(u64),
    /// Even the least answer costs so much.
    TooDear(Usd),
}

impl Worst {
    pub fn at_most(&self, price: &ModelPrice) -> Usd {
        price.at_most(self.input.ceiling, self.output.saturating_mul(self.choices))
    }

    /// `least`: output below which it is of no use.
    pub fn fit(&self, price: &ModelPrice, limit: Usd, least: u64) -> Fit {
        if self.at_most(price) <= limit {
            return Fit::Fits;
        }
        let least = least.min(self.output);
        let within = price.output_within(self.input.ceiling, limit).map(|output| output / self.choices.max(1));
        match within {
            Some(output) if output >= least && self.output > 0 => Fit::Lowered(output.min(self.output)),
            _ => Fit::TooDear(price.at_most(self.input.ceiling, least.saturating_mul(self.choices))),
        }
    }

    fn lowered(self, output: u64) -> Self {
        Self { output, is_held: false, ..self }
    }

    /// So that it fits. Absent: it does not.
    pub(super) fn within(self, fit: Option<Fit>) -> Option<Self> {
        match fit? {
            Fit::Fits => Some(self),
            Fit::Lowered(output) => Some(self.lowered(output)),
            Fit::TooDear(_) => None,
        }
    }

    pub(super) fn allowance(&self) -> Allowance {
        let told = !self.is_held && self.output > 0;
        Allowance { max_output: told.then(|| u32::try_from(self.output).unwrap_or(u32::MAX)) }
    }
}

impl Asked {
    /// A price with the rates that this can meet. Absent: nobody says what such a request costs.
    fn narrowed(&self, price: &Arc<ModelPrice>) -> Option<Arc<ModelPrice>> {
        match self {
            Self::Chat(request) => price.for_request(request),
            Self::Embeddings(_) => Some(Arc::clone(price)),
        }
    }

    fn looks_elsewhere(&self) -> bool {
        matches!(self, Self::Chat(request) if looks_elsewhere(request))
    }

    /// The most that a candidate can be asked for.
    pub(super) async fn worst(&self, candidate: &Candidate) -> Worst {
        match self {
            Self::Chat(request) => worst_chat(request, candidate).await,
            Self::Embeddings(request) => {
                let input = tokens::of_inputs(&candidate.provider, &candidate.model, request).await;
                Worst { input, output: 0, usual_output: 0, choices: 1, is_asked: true, is_held: true }
            }
        }
    }
}

pub(super) async fn worst_chat(request: &Arc<ChatRequest>, candidate: &Candidate) -> Worst {
    let input = tokens::of_chat(&candidate.provider, &candidate.model, request).await;
    let asked = request.max_output.map(u64::from);
    let most = candidate.provider.model(&candidate.model).and_then(|model| model.max_output).map(u64::from);
    let output = match asked.or(most).unwrap_or(ASSUMED_MOST) {
        0 => 0,
        output => output.max(LEAST_OUTPUT),
    };
    Worst {
        input,
        output,
        usual_output: asked.unwrap_or(USUAL_OUTPUT).min(output),
        choices: request.choices.unwrap_or(1).max(1).into(),
        is_asked: asked.is_some(),
        is_held: asked.is_some() || most.is_some(),
    }
}

impl Purse {
    /// Absent: there is nothing that limits the request.
    pub(super) fn of(cap: Option<Usd>, key: Option<&Arc<GatewayKey>>, quota: &Arc<Quota>, asked: impl FnOnce() -> Asked) -> Option<Self> {
        let is_limited = |key: &&Arc<GatewayKey>| key.limits.tpm.is_some() || key.limits.budget.is_limited();
        let key = key.filter(is_limited).map(|key| (Arc::clone(quota), Arc::clone(key)));
        if cap.is_none() && key.is_none() {
            return None;
        }
        Some(Self { cap, key, asked: asked(), spent: Amount::default(), under_way: Vec::new(), reservation: None })
    }

    pub(super) async fn afford(&mut self, candidate: &Candidate, tariff: &Tariff) -> Result<Allowance, Unaffordable> {
        let price = tariff.price(&candidate.provider.id, None, &candidate.model).and_then(|price| self.asked.narrowed(&price));
        let limits_money = self.cap.is_some() || self.key.as_ref().is_some_and(|(_, key)| key.limits.budget.is_limited());
        if limits_money && tariff.rules().unpriced_models == UnpricedModels::Refuse {
            if price.is_none() {
                return Err(unpriced(candidate));
            }
            if self.asked.looks_elsewhere() {
                return Err(unbounded());
            }
        }
        let mut worst = self.asked.worst(candidate).await;
        if let (Some(cap), Some(price)) = (self.cap, price.as_deref()) {
            worst = self.within_cap(worst, cap, price, candidate)?;
        }
        let amount = self.set_aside(&mut worst, price.as_deref()).await?;
        self.under_way.push((candidate.provider.id.clone(), candidate.model.clone(), amount));
        Ok(worst.allowance())
    }

    fn within_cap(&self, worst: Worst, cap: Usd, price: &ModelPrice, candidate: &Candidate) -> Result<Worst, Unaffordable> {
        let taken = self.taken().usd;
        match worst.fit(price, cap.saturating_sub(taken), LEAST_OUTPUT) {
            Fit::Fits => Ok(worst),
            Fit::Lowered(output) => Ok(worst.lowered(output)),
            Fit::TooDear(needed) => Err(too_dear(candidate, cap, taken, needed)),
        }
    }

    /// Of the key's budget and tokens, if it has such limits. What a caller does not ask for by itself is lowered to what is left.
    async fn set_aside(&mut self, worst: &mut Worst, price: Option<&ModelPrice>) -> Result<Amount, Unaffordable> {
        let amount = amount(worst, price);
        let Err(exceeded) = self.reserve(amount).await else { return Ok(amount) };
        let (Limit::Budget, false, Some(price)) = (exceeded.limit, worst.is_asked, price) else { return Err(exceeded.into()) };
        match worst.fit(price, self.left(), LEAST_UNASKED) {
            Fit::Lowered(output) => {
                *worst = worst.lowered(output);
                let amount = self::amount(worst, Some(price));
                self.reserve(amount).await?;
                Ok(amount)
            }
            Fit::Fits | Fit::TooDear(_) => Err(exceeded.into()),
        }
    }

    /// What of the key's budget this request may still take.
    fn left(&self) -> Usd {
        let Some((quota, key)) = &self.key else { return Usd::MAX };
        let (left, _) = quota.standing(key).budget.unwrap_or((Usd::MAX, None));
        let own = self.reservation.as_ref().map_or(Usd::ZERO, |reservation| reservation.reserved().usd);
        (left + own).saturating_sub(self.taken().usd)
    }

    async fn reserve(&mut self, amount: Amount) -> Result<(), Exceeded> {
        let Some((quota, key)) = &self.key else { return Ok(()) };
        let all = self.taken().plus(amount);
        match &mut self.reservation {
            Some(reservation) => reservation.raise(all).await,
            None => {
                self.reservation = Some(quota.reserve(key, all).await?);
                Ok(())
            }
        }
    }

    /// By what is over and what is under way.
    fn taken(&self) -> Amount {
        self.under_way.iter().fold(self.spent, |sum, (_, _, amount)| sum.plus(*amount))
    }

    /// An attempt is over.
    pub(super) fn ended(&mut self, attempt: &Attempt, bill: &Bill) {
        self.give_back(&attempt.provider, &attempt.model);
        self.spent = self.spent.plus(used(bill));
    }

    /// None is made after all.
    pub(super) fn not_asked(&mut self, candidate: &Candidate) {
        self.give_back(&candidate.provider.id, &candidate.model);
    }

    fn give_back(&mut self, provider: &str, model: &str) {
        let at = self
            .under_way
            .iter()
            .rposition(|(its_provider, its_model, _)| (its_provider.as_str(), its_model.as_str()) == (provider, model));
        at.map(|at| self.under_way.swap_remove(at));
    }

    pub(super) fn reservation_id(&self) -> Option<Uuid> {
        self.reservation.as_ref().map(Reservation::id)
    }

    /// The request is over, and all that it was billed is known.
    pub(super) fn settle(self, bills: &[Bill]) {
        if let Some(reservation) = self.reservation {
            reservation.settle(bills.iter().map(used).fold(Amount::default(), Amount::plus));
        }
    }
}

fn amount(worst: &Worst, price: Option<&ModelPrice>) -> Amount {
    let usual = worst.usual_output.min(worst.output).saturating_mul(worst.choices);
    Amount { tokens: worst.input.tokens.saturating_add(usual), usd: price.map_or(Usd::ZERO, |price| worst.at_most(price)) }
}

/// What has no price counts as nothing: it was refused, or the operator allows it.
fn used(bill: &Bill) -> Amount {
    let count = |count: Option<u32>| u64::from(count.unwrap_or(0));
    let tokens = bill.usage.as_ref().map_or(0, |usage| count(usage.input) + count(usage.output));
    Amount { tokens, usd: bill.cost.map_or(Usd::ZERO, |cost| cost.total()) }
}

fn unpriced(candidate: &Candidate) -> Unaffordable {
    let message = format!(
        "no limit on money can be kept: {}; or set unpriced_models = \"allow\" in gateway.toml",
        price::unknown(&candidate.provider, &candidate.model)
    );
    Unaffordable { kind: ErrorKind::BudgetExceeded, message, retry_after: None }
}

fn unbounded() -> Unaffordable {
    let message = "no limit on money can be kept while the provider runs tools of its own or adds to the prompt what it keeps: leave those out (web search, code \
                   execution, MCP servers, earlier responses), or `max_cost_usd` and the key's budget; or set unpriced_models = \"allow\" in gateway.toml";
    Unaffordable { kind: ErrorKind::BudgetExceeded, message: message.to_owned(), retry_after: None }
}

fn too_dear(candidate: &Candidate, cap: Usd, taken: Usd, needed: Usd) -> Unaffordable {
    let before = if taken.is_zero() { String::new() } else { format!(", of which earlier attempts took ${taken}") };
    let message = format!(
        "`max_cost_usd` is ${cap}{before}, and {}/{} may cost ${needed} even with the shortest answer: raise it, or send a shorter prompt",
        candidate.provider.id, candidate.model
    );
    Unaffordable { kind: ErrorKind::BudgetExceeded, message, retry_after: None }
}

impl From<Exceeded> for Unaffordable {
    fn from(exceeded: Exceeded) -> Self {
        let kind = match exceeded.limit {
            Limit::Budget => ErrorKind::BudgetExceeded,
            Limit::Requests | Limit::Tokens | Limit::Concurrency => ErrorKind::RateLimited,
        };
        Self { kind, message: exceeded.message, retry_after: exceeded.retry_after }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::access::{Budget, KeyLimits};
    use crate::config::{Rules, Timeouts};
    use crate::contract::{Message, Native, PartBody, Role, Tool};
    use crate::domain::{chat_request, part};
    use crate::health::Kind;
    use crate::plan::tests::provider;
    use crate::price::{Cost, PriceSource, Rates};
    use crate::settle::tests::attempted;
    use jiff::Timestamp;
    use proptest::prelude::*;

    /// A dollar for a million tokens in, ten for a million out.
    fn price() -> ModelPrice {
        ModelPrice::new(PriceSource::GatewayToml, Rates::of_text(1_000_000, 10_000_000), Vec::new())
    }

    fn worst(ceiling: u64, output: u64, choices: u64) -> Worst {
        Worst { input: Estimate { tokens: ceiling, ceiling }, output, usual_output: output, choices, is_asked: true, is_held: true }
    }

    fn usd(amount: f64) -> Usd {
        Usd::from_f64(amount).unwrap()
    }

    #[test]
    fn an_answer_is_shortened_until_it_can_be_paid() {
        let worst = worst(1000, 1000, 1);
        assert_eq!(worst.at_most(&price()), usd(0.011));
        assert_eq!(worst.fit(&price(), usd(0.011), LEAST_OUTPUT), Fit::Fits);
        assert_eq!(worst.fit(&price(), usd(0.002), LEAST_OUTPUT), Fit::Lowered(100));
        assert_eq!(worst.fit(&price(), usd(0.00115), LEAST_OUTPUT), Fit::TooDear(usd(0.00116)));
        assert_eq!(worst.fit(&price(), usd(0.0005), LEAST_OUTPUT), Fit::TooDear(usd(0.00116)));
    }

    #[test]
    fn who_asks_for_little_gets_it_or_nothing() {
        assert_eq!(worst(1000, 5, 1).fit(&price(), usd(0.00104), LEAST_OUTPUT), Fit::TooDear(usd(0.00105)));
        assert_eq!(worst(1000, 0, 1).fit(&price(), usd(0.001), LEAST_OUTPUT), Fit::Fits);
        assert_eq!(worst(1000, 0, 1).fit(&price(), usd(0.0009), LEAST_OUTPUT), Fit::TooDear(usd(0.001)));
    }

    proptest! {
        #[test]
        fn what_is_lowered_never_passes_the_limit(ceiling in 0..2_000_000_u64, output in 0..200_000_u64, choices in 1..8_u64, limit in 0..5_000_000_000_000_i64) {
            let (worst, limit) = (worst(ceiling, output, choices), Usd::from_picos(limit));
            match worst.fit(&price(), limit, LEAST_OUTPUT) {
                Fit::Fits => prop_assert!(worst.at_most(&price()) <= limit),
                Fit::Lowered(lowered) => {
                    prop_assert!(lowered < output && lowered >= LEAST_OUTPUT.min(output));
                    prop_assert!(worst.lowered(lowered).at_most(&price()) <= limit);
                }
                Fit::TooDear(needed) => prop_assert!(needed > limit),
            }
        }
    }

    fn candidate() -> Candidate {
        Candidate { provider: provider("acme"), model: "m".into(), timeouts: Timeouts::default(), kind: Kind::Whole }
    }

    fn tariff(rules: Rules) -> Tariff {
        Tariff::new(Arc::new(rules), vec![candidate().provider])
    }

    fn priced() -> Tariff {
        tariff(Rules { prices: [("acme/m".to_owned(), Arc::new(price()))].into(), ..Rules::default() })
    }

    fn asked(max_output: Option<u32>) -> Asked {
        let message = Message { role: Role::User, name: None, parts: vec![part(PartBody::Text("Hello".into()))], extras: Vec::new() };
        let mut request = chat_request(String::new(), vec![message]);
        request.max_output = max_output;
        Asked::Chat(Arc::new(request))
    }

    fn key(budget: f64) -> Arc<GatewayKey> {
        let limits = KeyLimits { budget: Budget { total: Some(usd(budget)), ..Budget::default() }, ..KeyLimits::default() };
        Arc::new(GatewayKey {
            id: "key_1".into(),
            tenant: "t".into(),
            name: None,
            models: Vec::new(),
            limits,
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
        })
    }

    fn bill(dollars: f64) -> Bill {
        Bill { usage: None, cost: Some(Cost { input_usd: usd(dollars), ..Cost::default() }) }
    }

    #[tokio::test]
    async fn all_attempts_count_against_one_cap() {
        let quota = Arc::new(Quota::default());
        let mut purse = Purse::of(Some(usd(0.01)), None, &quota, || asked(Some(600))).unwrap();
        assert_eq!(purse.afford(&candidate(), &priced()).await, Ok(Allowance::default()));
        let failed = attempted("acme", "m", Some(ErrorKind::Timeout));
        purse.ended(&failed, &bill(0.005));
        let lowered = purse.afford(&candidate(), &priced()).await.unwrap().max_output.unwrap();
        assert!((490..500).contains(&lowered), "{lowered}: half of the cap is left, less the prompt");
        purse.ended(&failed, &bill(0.005));
        let refused = purse.afford(&candidate(), &priced()).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::BudgetExceeded);
        assert!(refused.message.contains("$0.01") && refused.message.contains("earlier attempts"), "{}", refused.message);
    }

    #[tokio::test]
    async fn what_is_under_way_is_not_spent_twice() {
        let quota = Arc::new(Quota::default());
        let mut purse = Purse::of(Some(usd(0.01)), None, &quota, || asked(Some(600))).unwrap();
        purse.afford(&candidate(), &priced()).await.unwrap();
        let beside = purse.afford(&candidate(), &priced()).await.unwrap().max_output.unwrap();
        assert!(beside < 400, "{beside}: a hedge has what the first one leaves");
    }

    #[tokio::test]
    async fn a_budget_gives_what_is_left_to_who_does_not_say_how_much() {
        let (quota, key) = (Arc::new(Quota::default()), key(0.05));
        let mut open = Purse::of(None, Some(&key), &quota, || asked(None)).unwrap();
        let given = open.afford(&candidate(), &priced()).await.unwrap().max_output.unwrap();
        assert!((4990..5000).contains(&given), "{given}");
        open.settle(&[bill(0.045)]);
        let mut exact = Purse::of(None, Some(&key), &quota, || asked(Some(1000))).unwrap();
        assert_eq!(exact.afford(&candidate(), &priced()).await.unwrap_err().kind, ErrorKind::BudgetExceeded);
        let mut small = Purse::of(None, Some(&key), &quota, || asked(Some(100))).unwrap();
        assert_eq!(small.afford(&candidate(), &priced()).await, Ok(Allowance::default()));
    }

    #[tokio::test]
    async fn where_money_is_limited_a_model_has_a_price_or_is_not_asked() {
        let quota = Arc::new(Quota::default());
        let mut purse = Purse::of(Some(usd(1.0)), None, &quota, || asked(None)).unwrap();
        let refused = purse.afford(&candidate(), &tariff(Rules::default())).await.unwrap_err();
        assert!(refused.kind == ErrorKind::BudgetExceeded && refused.message.contains("acme/m"), "{}", refused.message);
        let allowed = tariff(Rules { unpriced_models: UnpricedModels::Allow, ..Rules::default() });
        assert!(purse.afford(&candidate(), &allowed).await.is_ok());
        assert!(Purse::of(None, None, &quota, || asked(None)).is_none());
    }

    #[tokio::test]
    async fn where_money_is_limited_the_provider_does_not_look_elsewhere() {
        let quota = Arc::new(Quota::default());
        let Asked::Chat(request) = asked(Some(16)) else { unreachable!() };
        let mut request = ChatRequest::clone(&request);
        request.tools.push(Tool::Other(Native { dialect: "d".into(), value: r#"{"type":"web_search"}"#.into() }));
        let mut purse = Purse::of(Some(usd(1.0)), None, &quota, || Asked::Chat(Arc::new(request))).unwrap();
        let refused = purse.afford(&candidate(), &priced()).await.unwrap_err();
        assert!(refused.kind == ErrorKind::BudgetExceeded && refused.message.contains("web search"), "{}", refused.message);
        let allowed = Rules { unpriced_models: UnpricedModels::Allow, prices: priced().rules().prices.clone(), ..Rules::default() };
        assert!(purse.afford(&candidate(), &tariff(allowed)).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_can_be_as_long_as_the_least_that_providers_take() {
        for (max_output, most) in [(0, 0), (1, LEAST_OUTPUT), (100, 100)] {
            assert_eq!(asked(Some(max_output)).worst(&candidate()).await.output, most);
        }
    }
}
