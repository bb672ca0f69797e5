//! A plan in words, for who asks how a request would go without sending it: every place with its reason.

use super::needs::Unfit;
use super::order::{Rank, Ranked};
use crate::config::{Sticky, Strategy};
use crate::health::{Availability, Standing};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::Instant;

/// How a request would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The name of the route that it goes by, if by one.
    pub route: Option<String>,
    /// Absent where one model was named.
    pub strategy: Option<&'static str>,
    /// Who is asked, in that order; then who is not. The first one always is.
    pub places: Vec<ExplainedPlace>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedPlace {
    pub provider: String,
    /// Absent: it has none to ask.
    pub model: Option<String>,
    pub verdict: Verdict,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    AskedFirst,
    Fallback,
    LeftOut,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AskedFirst => "asked_first",
            Self::Fallback => "fallback",
            Self::LeftOut => "left_out",
        }
    }
}

/// A wish that can't come true.
#[derive(Debug, Clone)]
pub(super) struct LeftOut<'a> {
    pub(super) provider: &'a str,
    pub(super) model: Option<&'a str>,
    pub(super) why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("{0}")]
    Unfit(Unfit),
    #[error("{0}")]
    Unavailable(String),
}

impl LeftOut<'_> {
    /// Who and why, in a few words.
    pub(super) fn told(&self) -> String {
        match self.model {
            Some(model) => format!("{}/{model}: {}", self.provider, self.why),
            None => format!("{}: {}", self.provider, self.why),
        }
    }

    pub(super) fn explained(&self) -> ExplainedPlace {
        ExplainedPlace {
            provider: self.provider.to_owned(),
            model: self.model.map(str::to_owned),
            verdict: Verdict::LeftOut,
            reason: self.why.to_string(),
        }
    }
}

impl Ranked<'_> {
    /// `verdict`: as its place in the order has it.
    pub(super) fn explained(&self, verdict: Verdict, now: Instant) -> ExplainedPlace {
        ExplainedPlace {
            provider: self.place.provider.id.clone(),
            model: Some(self.place.model.to_owned()),
            verdict,
            reason: self.reason(now),
        }
    }

    fn reason(&self, now: Instant) -> String {
        let place = &self.place;
        let mut reason = match self.rank {
            Rank::Named => "named by the caller".to_owned(),
            Rank::Listed if place.number == 1 => "first in the list".to_owned(),
            Rank::Listed => format!("number {} in the list", place.number),
            Rank::Drawn { of } => {
                let drawn = if self.leads { "drawn" } else { "drawn later" };
                format!("weight {} of {of}, {drawn}", place.weight)
            }
            Rank::Latency => match place.standing.latency {
                Some(latency) => format!("{} ms on average{}", latency.as_millis(), self.least()),
                None => "its latency is not known yet, so it is tried".to_owned(),
            },
            Rank::Cost => match place.cost {
                Some(cost) => format!("about ${} for this request{}", dollars(cost.to_f64()), self.least()),
                None => "its price is not known".to_owned(),
            },
            Rank::Kept(sticky) if self.leads => format!("kept by {}", keeper(sticky)),
            Rank::Kept(sticky) => format!("next in turn for {}", keeper(sticky)),
        };
        if let Some(standing) = standing(&place.standing, now) {
            // Writing to a string does not fail.
            let _ = write!(reason, "; {standing}");
        }
        reason
    }

    fn least(&self) -> &'static str {
        if self.leads { ", the least" } else { "" }
    }
}

pub(super) fn strategy_word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Ordered => "ordered",
        Strategy::Weighted => "weighted",
        Strategy::LeastLatency => "least_latency",
        Strategy::Cheapest => "cheapest",
    }
}

fn keeper(sticky: Sticky) -> &'static str {
    match sticky {
        Sticky::Session => "its session",
        Sticky::User => "its user",
        Sticky::Conversation => "its conversation",
    }
}

/// What moves it, or would keep it from being asked.
fn standing(standing: &Standing, now: Instant) -> Option<String> {
    let left = |until: Instant| seconds(until.saturating_duration_since(now));
    Some(match standing.availability {
        Availability::Ready if standing.is_slow => "far slower than usual, so after the others".to_owned(),
        Availability::Ready => return None,
        Availability::ProbeDue => "its breaker lets one request through to find out".to_owned(),
        Availability::Spent { until } => format!("its rate limit is used up for {} s", left(until)),
        Availability::Limited { until } => format!("it takes no requests for {} s", left(until)),
        Availability::Open { until } => format!("its breaker is open for {} s", left(until)),
    })
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

/// Two digits that say something.
fn dollars(amount: f64) -> String {
    if amount <= 0.0 || !amount.is_finite() {
        return "0".to_owned();
    }
    let decimals = (1.0 - amount.log10().floor()).clamp(2.0, 12.0) as usize;
    format!("{amount:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Usd;
    use crate::plan::order::tests::{WELL, place, provider};

    #[test]
    fn every_place_has_a_reason_in_words() {
        let acme = provider("acme");
        let mut place = place(&acme, 2);
        place.weight = 3;
        let known = Standing { latency: Some(Duration::from_millis(410)), ..WELL };
        for (rank, leads, standing, cost, reason) in [
            (Rank::Named, true, WELL, None, "named by the caller"),
            (Rank::Listed, true, WELL, None, "number 2 in the list"),
            (Rank::Drawn { of: 4 }, true, WELL, None, "weight 3 of 4, drawn"),
            (Rank::Latency, true, known, None, "410 ms on average, the least"),
            (Rank::Latency, false, known, None, "410 ms on average"),
            (Rank::Latency, true, WELL, None, "its latency is not known yet, so it is tried"),
            (Rank::Cost, true, WELL, Some(1_234_000_000), "about $0.0012 for this request, the least"),
            (Rank::Cost, false, WELL, Some(12_500_000_000_000), "about $12.50 for this request"),
            (Rank::Cost, false, WELL, None, "its price is not known"),
            (Rank::Kept(Sticky::Session), true, WELL, None, "kept by its session"),
        ] {
            let cost = cost.map(Usd::from_picos);
            let place = super::super::order::Place { standing, cost, ..place.clone() };
            assert_eq!(Ranked { place, rank, leads }.reason(Instant::now()), reason);
        }
    }

    #[test]
    fn how_it_stands_is_told_with_the_time_that_is_left() {
        let now = Instant::now();
        let until = now + Duration::from_millis(3210);
        for (availability, words) in [
            (Availability::Open { until }, "its breaker is open for 3.2 s"),
            (Availability::Limited { until }, "it takes no requests for 3.2 s"),
            (Availability::Spent { until }, "its rate limit is used up for 3.2 s"),
            (Availability::ProbeDue, "its breaker lets one request through to find out"),
        ] {
            assert_eq!(standing(&Standing { availability, ..WELL }, now).as_deref(), Some(words));
        }
        assert_eq!(standing(&Standing { is_slow: true, ..WELL }, now).as_deref(), Some("far slower than usual, so after the others"));
        assert_eq!(standing(&WELL, now), None);
    }
}
