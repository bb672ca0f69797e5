//! Chooses the candidates for a request and their order.
//!
//! Owns: what a caller's `model` means (`names`), what a request demands (`needs`), in which order models are asked (`order`), the same in words (`explain`).
//! Not here: calling anyone (`attempt`), what is known of upstreams (`health`). Pure: time and chance are arguments.
//!
//! A caller who names a model gets that one or an error, however it stands; only a route, or a caller who leaves the choice to the gateway, has further
//! candidates to fall back to. Of these, models that are known not to take the request and providers that can't be asked at all are left out; those that
//! only are to be left alone for a while come last.

mod explain;
mod names;
mod needs;
mod order;

pub use explain::{ExplainedPlace, Explanation, Verdict};
pub use needs::Needs;

use crate::config::{Rules, Strategy, Timeouts};
use crate::domain::Target;
use crate::health::{Health, Kind, Subject};
use crate::money::Usd;
use crate::price;
use crate::provider::{Provider, Snapshot, State};
use explain::{LeftOut, Why};
use names::{Choice, Meaning, Origin, Wish};
use needs::Demands;
use order::{By, Place, Rank, Ranked};
use rand::Rng;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Who is asked, and for which model.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub provider: Arc<Provider>,
    pub model: String,
    pub timeouts: Timeouts,
    /// What it is asked for.
    pub kind: Kind,
}

/// Candidates in the order in which they are tried. Never empty.
#[derive(Debug, Clone)]
pub struct Plan {
    pub first: Candidate,
    pub rest: Vec<Candidate>,
    /// Of several, who would be asked first if all stood well: provider and model.
    pub preferred: Option<(String, String)>,
    /// By which it was made, and by which it is carried out.
    pub rules: Arc<Rules>,
    /// The name of the route that it is, if it is one.
    pub route: Option<String>,
    /// Of each candidate, where the route says so.
    pub max_retries: Option<u32>,
    pub hedge_after: Option<Duration>,
    /// For all of it.
    pub request_timeout: Duration,
}

impl Plan {
    /// Without the candidates that a key may not ask. Absent: it may ask none.
    pub fn permitted(mut self, may_ask: impl Fn(&Candidate) -> bool) -> Option<Self> {
        self.rest.retain(&may_ask);
        if !may_ask(&self.first) {
            if self.rest.is_empty() {
                return None;
            }
            self.first = self.rest.remove(0);
        }
        let is_left =
            |(provider, model): &(String, String)| self.candidates().any(|one| (&one.provider.id, &one.model) == (provider, model));
        if !self.preferred.as_ref().is_some_and(is_left) {
            let first = || (self.first.provider.id.clone(), self.first.model.clone());
            self.preferred = (!self.rest.is_empty()).then(first);
        }
        Some(self)
    }

    /// In the order in which they are asked.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// A model whose price is asked for.
#[derive(Debug, Clone)]
pub struct Priced {
    pub provider: Arc<Provider>,
    pub model: String,
    /// Which may have a price of their own for it.
    pub rules: Arc<Rules>,
}

/// What a choice depends on beside the request.
pub struct Conditions<'a> {
    pub health: &'a Health,
    pub now: Instant,
    /// For prices, which have dates.
    pub wall: SystemTime,
    pub rng: &'a mut dyn Rng,
}

/// Why no candidate was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("`model`: there is no model `{name}`; {hint}")]
    UnknownModel { name: String, hint: String },
    #[error("`model`: `{name}` is offered by several providers: write one of {}", .choices.join(", "))]
    AmbiguousModel { name: String, choices: Vec<String> },
    #[error("provider `{provider}` is not available: {reason}")]
    Unavailable { provider: String, reason: String },
    #[error("no provider is available: {0}")]
    NoneAvailable(String),
    #[error("`model`: the gateway key `{key}` may not ask for `{asked}`; it may ask for {models}")]
    NotAllowed { key: String, asked: String, models: String },
    #[error("no model of {route} can take this request: {reasons}")]
    NoneCapable { route: String, reasons: String },
}

/// Who is asked and who is not, before it becomes a plan or an explanation.
struct Decision<'a> {
    /// Absent: one model was named.
    origin: Option<Origin<'a>>,
    first: Ranked<'a>,
    rest: Vec<Ranked<'a>>,
    left_out: Vec<LeftOut<'a>>,
    kind: Kind,
}

/// # Errors
/// When the target names nothing, or nothing that can be asked now.
pub fn choose(snapshot: &Snapshot, target: &Target, needs: &Needs<'_>, conditions: &mut Conditions<'_>) -> Result<Plan, PlanError> {
    Ok(decide(snapshot, target, needs, conditions)?.plan(&snapshot.rules))
}

/// The same, and in words.
///
/// # Errors
/// As `choose`.
pub fn explain(
    snapshot: &Snapshot,
    target: &Target,
    needs: &Needs<'_>,
    conditions: &mut Conditions<'_>,
) -> Result<(Plan, Explanation), PlanError> {
    let decision = decide(snapshot, target, needs, conditions)?;
    let explanation = decision.explanation(conditions.now);
    Ok((decision.plan(&snapshot.rules), explanation))
}

/// The model that would be asked first or, where nobody can be asked, that is named first: a price needs no key.
///
/// # Errors
/// When the target names nothing, or nobody whose plugin is loaded.
pub fn priced(snapshot: &Snapshot, target: &Target, needs: &Needs<'_>, conditions: &mut Conditions<'_>) -> Result<Priced, PlanError> {
    let priced = |provider: &Arc<Provider>, model: &str| Priced {
        provider: Arc::clone(provider),
        model: model.to_owned(),
        rules: Arc::clone(&snapshot.rules),
    };
    let error = match decide(snapshot, target, needs, conditions) {
        Ok(Decision { first, .. }) => return Ok(priced(first.place.provider, first.place.model)),
        Err(error) => error,
    };
    let wishes = match names::meaning(snapshot, target)? {
        Meaning::One { provider, model, task } => vec![(Some(provider), model, task)],
        Meaning::Several(choice) => choice.wishes.iter().map(|wish| (snapshot.provider(wish.provider), wish.model, choice.task)).collect(),
    };
    let mut named = wishes.into_iter().filter_map(|(provider, model, task)| {
        let provider = provider?;
        Some(priced(provider, model.or_else(|| provider.default_model(task))?))
    });
    named.next().ok_or(error)
}

fn decide<'a>(
    snapshot: &'a Snapshot,
    target: &'a Target,
    needs: &Needs<'_>,
    conditions: &mut Conditions<'_>,
) -> Result<Decision<'a>, PlanError> {
    let choice = match names::meaning(snapshot, target)? {
        Meaning::One { provider, model, task } => {
            // Of a provider alone, a model that can take the request, if it has one.
            let fitting = || needs.demands().preferred(provider.models(), task).map(|model| model.id.as_str());
            let place = named(provider, model.or_else(fitting), needs.kind(), conditions)?;
            let first = Ranked { place, rank: Rank::Named, leads: true };
            return Ok(Decision { origin: None, first, rest: Vec::new(), left_out: Vec::new(), kind: needs.kind() });
        }
        Meaning::Several(choice) => choice,
    };
    let demands = needs.demands();
    let demands = if snapshot.rules.media.is_some() { demands.with_fetching() } else { demands };
    let (mut places, mut left_out) = (Vec::new(), Vec::new());
    for (number, wish) in (1..).zip(&choice.wishes) {
        match fulfil(snapshot, *wish, &choice, &demands, conditions) {
            // A provider without a model may come to one that is named as well.
            Ok(place) if places.iter().any(|known: &Place<'_>| (&known.provider.id, known.model) == (&place.provider.id, place.model)) => {}
            Ok(place) => places.push(Place { number, weight: wish.weight, ..place }),
            Err(without) => left_out.push(without),
        }
    }
    let by = by(choice.origin, needs);
    if by == By::Strategy(Strategy::Cheapest) {
        for place in &mut places {
            place.cost = cost(&snapshot.rules, place, &demands, conditions.wall);
        }
    }
    let mut ranked = order::ranked(places, by, conditions.rng).into_iter();
    match ranked.next() {
        Some(first) => Ok(Decision { origin: Some(choice.origin), first, rest: ranked.collect(), left_out, kind: needs.kind() }),
        None => Err(none_left(choice.origin, &left_out)),
    }
}

fn named<'a>(provider: &'a Arc<Provider>, model: Option<&'a str>, kind: Kind, conditions: &Conditions<'_>) -> Result<Place<'a>, PlanError> {
    place(provider, model, kind, conditions).map_err(|reason| match provider.state {
        State::Ready(_) => PlanError::UnknownModel { name: provider.id.clone(), hint: reason },
        State::Unavailable { .. } => PlanError::Unavailable { provider: provider.id.clone(), reason },
    })
}

/// What the order goes by: what keeps requests together, where the route wants that and the caller gives it.
fn by(origin: Origin<'_>, needs: &Needs<'_>) -> By {
    match origin {
        Origin::Route { route, .. } => {
            let kept = route.sticky.and_then(|sticky| Some(By::Sticky(sticky, needs.sticky_key(sticky)?)));
            kept.unwrap_or(By::Strategy(route.strategy))
        }
        Origin::Task(_) | Origin::BuiltIn => By::Strategy(Strategy::Ordered),
    }
}

/// The place of what is wished for, or why it has none.
fn fulfil<'a>(
    snapshot: &'a Snapshot,
    wish: Wish<'a>,
    choice: &Choice<'a>,
    demands: &Demands,
    conditions: &Conditions<'_>,
) -> Result<Place<'a>, LeftOut<'a>> {
    let left_out = |model, why| LeftOut { provider: wish.provider, model, why };
    let Some(provider) = snapshot.provider(wish.provider) else {
        let reason = "there is no such provider: add it to the configuration, or its plugin to the plugins folder".to_owned();
        return Err(left_out(wish.model, Why::Unavailable(reason)));
    };
    let model = wish.model.or_else(|| demands.preferred(provider.models(), choice.task).map(|model| model.id.as_str()));
    if let Some(unfit) = model.and_then(|model| demands.unfit(provider.model(model)?)) {
        return Err(left_out(model, Why::Unfit(unfit)));
    }
    place(provider, model, demands.kind, conditions).map_err(|reason| left_out(model, Why::Unavailable(reason)))
}

/// # Errors
/// Why it can't be asked.
fn place<'a>(provider: &'a Arc<Provider>, model: Option<&'a str>, kind: Kind, conditions: &Conditions<'_>) -> Result<Place<'a>, String> {
    if let State::Unavailable { reason, .. } = &provider.state {
        return Err(reason.clone());
    }
    let model = model.ok_or("its plugin names no model, so name one: `provider/model`")?;
    let subject = Subject { provider: &provider.id, model, keys: provider.key_ids(), kind };
    let standing = conditions.health.standing(subject, conditions.now);
    Ok(Place { provider, model, info: provider.model(model), number: 1, weight: 1, standing, cost: None })
}

fn cost(rules: &Rules, place: &Place<'_>, demands: &Demands, at: SystemTime) -> Option<Usd> {
    let price = price::of_provider(rules, place.provider, place.model, at)?;
    Some(demands.cost(&price, place.info))
}

/// Why nobody is left: nobody could, or those who could are not there.
fn none_left(origin: Origin<'_>, left_out: &[LeftOut<'_>]) -> PlanError {
    let reasons = left_out.iter().map(LeftOut::told).collect::<Vec<_>>().join("; ");
    if left_out.is_empty() {
        return PlanError::NoneAvailable("none is configured".to_owned());
    }
    if left_out.iter().any(|left_out| matches!(left_out.why, Why::Unavailable(_))) {
        return PlanError::NoneAvailable(reasons);
    }
    let route = match origin {
        Origin::Route { name, .. } => format!("route `{name}`"),
        Origin::Task(word) => format!("the list for `{word}`"),
        Origin::BuiltIn => "the available providers".to_owned(),
    };
    PlanError::NoneCapable { route, reasons }
}

impl Decision<'_> {
    fn plan(self, rules: &Arc<Rules>) -> Plan {
        let route = match self.origin {
            Some(Origin::Route { name, route }) => Some((name, route)),
            Some(Origin::Task(_) | Origin::BuiltIn) | None => None,
        };
        let of_route = route.map(|(_, route)| route.timeouts).unwrap_or_default();
        let several = !self.rest.is_empty();
        let leader = std::iter::once(&self.first).chain(&self.rest).find(|ranked| ranked.leads).filter(|_| several);
        let preferred = leader.map(|ranked| (ranked.place.provider.id.clone(), ranked.place.model.to_owned()));
        let candidate = |ranked: Ranked<'_>| Candidate {
            provider: Arc::clone(ranked.place.provider),
            model: ranked.place.model.to_owned(),
            timeouts: timeouts_of(rules, &ranked.place).with(&of_route),
            kind: self.kind,
        };
        let first = candidate(self.first);
        let rest: Vec<Candidate> = self.rest.into_iter().map(candidate).collect();
        Plan {
            first,
            rest,
            preferred,
            rules: Arc::clone(rules),
            route: route.map(|(name, _)| name.to_owned()),
            max_retries: route.and_then(|(_, route)| route.max_retries),
            hedge_after: route.and_then(|(_, route)| route.hedge_after),
            request_timeout: rules.timeouts.with(&of_route).request,
        }
    }

    fn explanation(&self, now: Instant) -> Explanation {
        let fallbacks = self.rest.iter().map(|ranked| ranked.explained(Verdict::Fallback, now));
        let left_out = self.left_out.iter().map(LeftOut::explained);
        let (route, strategy) = match self.origin {
            Some(Origin::Route { name, route }) => (Some(name.to_owned()), Some(route.strategy)),
            Some(Origin::Task(_) | Origin::BuiltIn) => (None, Some(Strategy::Ordered)),
            None => (None, None),
        };
        Explanation {
            route,
            strategy: strategy.map(explain::strategy_word),
            places: std::iter::once(self.first.explained(Verdict::AskedFirst, now)).chain(fallbacks).chain(left_out).collect(),
        }
    }
}

/// A model's own, by the name that is asked for or by its id.
fn timeouts_of(rules: &Rules, place: &Place<'_>) -> Timeouts {
    let of = |model: &str| rules.models.get(&format!("{}/{model}", place.provider.id));
    let own = if rules.models.is_empty() { None } else { of(place.model).or_else(|| of(&place.info?.id)) };
    own.map_or(rules.timeouts, |own| rules.timeouts.with(own))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::needs::Unfit;
    use super::order::tests::place;
    pub(crate) use super::order::tests::provider;
    use super::*;
    use crate::config::{Route, RouteTarget, Sticky, TimeoutOverrides};
    use crate::contract::{Capabilities, ChatRequest};
    use crate::domain::chat_request;
    use crate::health::Availability;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn route() -> Route {
        let target = |provider: &str| RouteTarget { provider: provider.into(), model: Some("m".into()), weight: 1 };
        let timeouts = TimeoutOverrides { idle: Some(Duration::from_secs(7)), ..TimeoutOverrides::default() };
        let targets = vec![target("acme"), target("gone")];
        Route { targets, strategy: Strategy::Weighted, sticky: Some(Sticky::User), timeouts, max_retries: Some(1), hedge_after: None }
    }

    fn chosen(target: Target) -> PlanError {
        let mut rules = Rules::default();
        rules.routes.insert("fast".into(), route());
        let snapshot = Snapshot { providers: vec![provider("acme"), provider("beta")], rules: Arc::new(rules) };
        let (health, mut rng) = (Health::new(0.2, 1000), SmallRng::seed_from_u64(1));
        let mut conditions = Conditions { health: &health, now: Instant::now(), wall: SystemTime::UNIX_EPOCH, rng: &mut rng };
        choose(&snapshot, &target, &Needs::of_chat(&request(), None), &mut conditions).unwrap_err()
    }

    fn request() -> ChatRequest {
        chat_request(String::new(), Vec::new())
    }

    #[test]
    fn where_nobody_can_be_asked_everybody_is_named_with_the_reason() {
        assert_eq!(chosen(Target::Any(None)).to_string(), "no provider is available: acme: none in tests; beta: none in tests");
        let message = chosen(Target::Name("fast".into())).to_string();
        assert!(message.contains("acme/m: none in tests; gone/m: there is no such provider"), "{message}");
        assert_eq!(chosen(Target::Name("acme/m".into())).to_string(), "provider `acme` is not available: none in tests");
    }

    #[test]
    fn where_nobody_can_take_it_everybody_is_named_with_the_reason() {
        let unfit = |provider, why| LeftOut { provider, model: Some("m"), why };
        let route = route();
        let origin = Origin::Route { name: "fast", route: &route };
        let lacks = Why::Unfit(Unfit::Lacks(Capabilities::IMAGE_INPUT));
        let error = none_left(origin, &[unfit("acme", lacks.clone())]);
        assert_eq!(error.to_string(), "no model of route `fast` can take this request: acme/m: can't take images");
        // The one that is not there might have.
        let error = none_left(origin, &[unfit("acme", lacks), unfit("beta", Why::Unavailable("it has no key".into()))]);
        assert!(matches!(error, PlanError::NoneAvailable(_)));
        assert!(matches!(none_left(Origin::BuiltIn, &[]), PlanError::NoneAvailable(_)));
    }

    fn decision<'a>(origin: Option<Origin<'a>>, first: Place<'a>, rest: Vec<Place<'a>>) -> Decision<'a> {
        let ranked = |place| Ranked { place, rank: Rank::Listed, leads: false };
        let rest = rest.into_iter().map(ranked).collect();
        Decision { origin, first: ranked(first), rest, left_out: Vec::new(), kind: Kind::Whole }
    }

    #[test]
    fn a_models_limits_go_before_the_general_ones_and_a_routes_before_both() {
        let (acme, beta) = (provider("acme"), provider("beta"));
        let seconds = Duration::from_secs;
        let mut rules = Rules::default();
        let own = TimeoutOverrides { idle: Some(seconds(3)), total: Some(seconds(4)), ..Default::default() };
        rules.models.insert("acme/m".into(), own);
        let (rules, route) = (Arc::new(rules), route());
        let origin = Some(Origin::Route { name: "fast", route: &route });

        let plan = decision(origin, place(&acme, 1), vec![place(&beta, 2)]).plan(&rules);
        assert_eq!((plan.first.timeouts.idle, plan.first.timeouts.total), (seconds(7), seconds(4)));
        assert_eq!(plan.rest[0].timeouts, Timeouts { idle: seconds(7), ..rules.timeouts });
        assert_eq!((plan.route.as_deref(), plan.max_retries, plan.hedge_after), (Some("fast"), Some(1), None));
        assert_eq!(plan.request_timeout, rules.timeouts.request);

        let plan = decision(None, place(&acme, 1), Vec::new()).plan(&rules);
        assert_eq!((plan.first.timeouts.idle, plan.request_timeout, plan.route), (seconds(3), rules.timeouts.request, None));
    }

    #[test]
    fn a_route_is_sticky_only_where_the_caller_gives_what_it_sticks_by() {
        let route = route();
        let origin = Origin::Route { name: "fast", route: &route };
        let mut request = request();
        assert_eq!(by(origin, &Needs::of_chat(&request, Some("s"))), By::Strategy(Strategy::Weighted));
        request.user = Some("ann".into());
        assert!(matches!(by(origin, &Needs::of_chat(&request, None)), By::Sticky(Sticky::User, _)));
    }

    #[test]
    fn an_explanation_has_every_place_with_its_verdict() {
        let (acme, beta, route) = (provider("acme"), provider("beta"), route());
        let origin = Some(Origin::Route { name: "fast", route: &route });
        let now = Instant::now();
        let mut open = place(&beta, 1);
        open.standing.availability = Availability::Open { until: now + Duration::from_millis(3200) };
        let mut decision = decision(origin, place(&acme, 2), vec![open]);
        decision.left_out.push(LeftOut { provider: "gone", model: None, why: Why::Unavailable("it has no key: set GONE_API_KEY".into()) });
        let explanation = decision.explanation(now);
        assert_eq!((explanation.route.as_deref(), explanation.strategy), (Some("fast"), Some("weighted")));
        let told = explanation.places.iter().map(|place| (place.provider.as_str(), place.verdict.as_str(), place.reason.as_str()));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                ("acme", "asked_first", "number 2 in the list"),
                ("beta", "fallback", "first in the list; its breaker is open for 3.2 s"),
                ("gone", "left_out", "it has no key: set GONE_API_KEY"),
            ]
        );
    }
}
