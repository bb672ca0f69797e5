//! In which order models are asked: by the route's strategy or by what keeps requests together, then by how each stands. Pure.

use super::needs::StickyKey;
use crate::config::{Sticky, Strategy};
use crate::contract::ModelInfo;
use crate::health::{Availability, Standing};
use crate::money::Usd;
use crate::provider::Provider;
use rand::{Rng, RngExt};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A model that can be asked, with all that its place depends on.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) provider: &'a Arc<Provider>,
    /// As it is asked for.
    pub(super) model: &'a str,
    /// What its adapter knows of it.
    pub(super) info: Option<&'a ModelInfo>,
    /// As it stands in its list, counted from 1.
    pub(super) number: usize,
    pub(super) weight: u32,
    pub(super) standing: Standing,
    /// Of the request at hand. Absent: not known, or of no matter.
    pub(super) cost: Option<Usd>,
}

/// What the order goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Strategy(Strategy),
    Sticky(Sticky, StickyKey),
}

/// Why a place is where it is, its availability aside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rank {
    /// The caller named it.
    Named,
    Listed,
    Drawn {
        /// The weights of all.
        of: u64,
    },
    Latency,
    Cost,
    Kept(Sticky),
}

#[derive(Debug, Clone)]
pub(super) struct Ranked<'a> {
    pub(super) place: Place<'a>,
    pub(super) rank: Rank,
    /// Whether it would be first if all stood well.
    pub(super) leads: bool,
}

/// All of them, the one to ask first in front.
pub(super) fn ranked<'a>(mut places: Vec<Place<'a>>, by: By, rng: &mut dyn Rng) -> Vec<Ranked<'a>> {
    let rank = match by {
        By::Strategy(Strategy::Ordered) => Rank::Listed,
        By::Strategy(Strategy::Weighted) => {
            places = race(places, |_| rng.random());
            Rank::Drawn { of: places.iter().map(|place| u64::from(place.weight)).sum() }
        }
        By::Strategy(Strategy::LeastLatency) => {
            places.sort_by_key(|place| place.standing.latency.unwrap_or(Duration::ZERO));
            Rank::Latency
        }
        By::Strategy(Strategy::Cheapest) => {
            places.sort_by_key(|place| (place.cost.is_none(), place.cost));
            Rank::Cost
        }
        By::Sticky(sticky, key) => {
            places = race(places, |place| lot(&key, place));
            Rank::Kept(sticky)
        }
    };
    let mut ranked: Vec<Ranked<'_>> = places.into_iter().enumerate().map(|(at, place)| Ranked { place, rank, leads: at == 0 }).collect();
    ranked.sort_by_key(|ranked| reluctance(&ranked.place.standing));
    ranked
}

/// Sorts by `-ln(lot) / weight`, the lot being uniform in (0, 1).
///
/// With lots of chance, it is a draw without replacement in proportion to the weights (Efraimidis and Spirakis, "Weighted random sampling with a reservoir",
/// 2006). With lots of a key and a place, it is weighted rendezvous hashing (Resch, "New hashing algorithms for data storage", 2015): when a
/// place goes, only its own keys move.
fn race<'a>(places: Vec<Place<'a>>, mut lot: impl FnMut(&Place<'a>) -> u64) -> Vec<Place<'a>> {
    let finish = |place: &Place<'a>, lot| -uniform(lot).ln() / f64::from(place.weight);
    let mut raced: Vec<(f64, Place<'_>)> = places.into_iter().map(|place| (finish(&place, lot(&place)), place)).collect();
    raced.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    raced.into_iter().map(|(_, place)| place).collect()
}

/// In (0, 1), both ends left out.
fn uniform(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// The same in every process, now and later.
fn lot(key: &StickyKey, place: &Place<'_>) -> u64 {
    let digest = Sha256::new().chain_update(key).chain_update(&place.provider.id).chain_update("/").chain_update(place.model).finalize();
    digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// The less, the sooner it is asked. One that a probe is due of stays in its place: a single request finds out. Those that are to be left alone stay in
/// the plan, for when there is nobody else.
fn reluctance(standing: &Standing) -> (u8, Option<Instant>) {
    match standing.availability {
        Availability::Ready if standing.is_slow => (1, None),
        Availability::Ready | Availability::ProbeDue => (0, None),
        Availability::Spent { .. } => (2, None),
        Availability::Limited { until } | Availability::Open { until } => (3, Some(until)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::provider::State;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    pub(crate) const WELL: Standing = Standing { availability: Availability::Ready, is_slow: false, latency: None };

    pub(crate) fn provider(id: &str) -> Arc<Provider> {
        Arc::new(Provider { id: id.to_owned(), state: State::Unavailable { reason: "none in tests".to_owned(), version: None } })
    }

    pub(crate) fn place(provider: &Arc<Provider>, number: usize) -> Place<'_> {
        Place { provider, model: "m", info: None, number, weight: 1, standing: WELL, cost: None }
    }

    fn ids(ranked: &[Ranked<'_>]) -> Vec<String> {
        ranked.iter().map(|ranked| ranked.place.provider.id.clone()).collect()
    }

    fn order(places: &[Place<'_>], by: By) -> Vec<String> {
        ids(&ranked(places.to_vec(), by, &mut SmallRng::seed_from_u64(7)))
    }

    /// Places of providers named a, b, c …
    fn providers(count: u8) -> Vec<Arc<Provider>> {
        (0..count).map(|at| provider(&char::from(b'a' + at).to_string())).collect()
    }

    fn places(providers: &[Arc<Provider>]) -> Vec<Place<'_>> {
        (1..).zip(providers).map(|(number, provider)| place(provider, number)).collect()
    }

    #[test]
    fn the_first_is_drawn_in_proportion_to_the_weights_and_so_is_the_next() {
        let providers = providers(3);
        let mut places = places(&providers);
        for (place, weight) in places.iter_mut().zip([6, 3, 1]) {
            place.weight = weight;
        }
        let mut rng = SmallRng::seed_from_u64(1);
        let (mut first, mut second_after_a) = ([0; 3], [0; 3]);
        for _ in 0..10_000 {
            let drawn = ranked(places.clone(), By::Strategy(Strategy::Weighted), &mut rng);
            first[drawn[0].place.number - 1] += 1;
            if drawn[0].place.number == 1 {
                second_after_a[drawn[1].place.number - 1] += 1;
            }
        }
        // Five standard deviations of a share p of 10,000 are at most 250.
        for (count, expected) in first.into_iter().zip([6000, 3000, 1000]) {
            assert!(i32::abs_diff(count, expected) < 250, "{first:?}");
        }
        let share = f64::from(second_after_a[1]) / f64::from(first[0]);
        assert!((share - 0.75).abs() < 0.03, "{second_after_a:?}");
    }

    #[test]
    fn the_fastest_goes_first_after_those_of_which_nothing_is_known() {
        let providers = providers(4);
        let mut places = places(&providers);
        for (place, latency) in places.iter_mut().zip([Some(300), Some(200), None, Some(200)]) {
            place.standing.latency = latency.map(Duration::from_millis);
        }
        assert_eq!(order(&places, By::Strategy(Strategy::LeastLatency)), ["c", "b", "d", "a"]);
    }

    #[test]
    fn the_cheapest_goes_first_and_what_has_no_price_last() {
        let providers = providers(3);
        let mut places = places(&providers);
        for (place, cost) in places.iter_mut().zip([None, Some(2), Some(1)]) {
            place.cost = cost.map(Usd::from_picos);
        }
        assert_eq!(order(&places, By::Strategy(Strategy::Cheapest)), ["c", "b", "a"]);
    }

    #[test]
    fn availability_comes_before_every_order() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let providers = providers(7);
        let mut places = places(&providers);
        let standings = [
            Availability::Open { until: at(9) },
            Availability::Limited { until: at(2) },
            Availability::Spent { until: at(1) },
            Availability::Ready,
            Availability::ProbeDue,
            Availability::Ready,
            Availability::Open { until: at(3) },
        ];
        for (place, availability) in places.iter_mut().zip(standings) {
            place.standing.availability = availability;
        }
        places[3].standing.is_slow = true;
        let ranked = ranked(places, By::Strategy(Strategy::Ordered), &mut SmallRng::seed_from_u64(7));
        assert_eq!(ids(&ranked), ["e", "f", "d", "c", "b", "g", "a"]);
        assert!(ranked[6].leads, "it would be first if it stood well");
    }

    fn sticky(key: u32) -> By {
        By::Sticky(Sticky::Session, Sha256::digest(key.to_be_bytes()).into())
    }

    #[test]
    fn when_a_target_goes_only_its_own_keys_move_and_to_their_next() {
        let providers = providers(4);
        let all = places(&providers);
        let without: Vec<Place<'_>> = all.iter().filter(|place| place.provider.id != "b").cloned().collect();
        let mut moved = 0;
        for key in 0..1000 {
            let before = order(&all, sticky(key));
            let after = order(&without, sticky(key));
            let expected: Vec<String> = before.iter().filter(|id| *id != "b").cloned().collect();
            assert_eq!(after, expected);
            moved += u32::from(before[0] == "b");
        }
        assert!((150..350).contains(&moved), "{moved}");
    }

    #[test]
    fn keys_are_spread_in_proportion_to_the_weights() {
        let providers = providers(2);
        let mut places = places(&providers);
        places[0].weight = 3;
        let firsts = (0..10_000).filter(|key| order(&places, sticky(*key))[0] == "a").count();
        assert!(firsts.abs_diff(7500) < 250, "{firsts}");
    }

    #[test]
    fn a_key_stays_where_it_is_from_one_start_to_the_next() {
        let providers = providers(4);
        let firsts: String = (0..8).map(|key| order(&places(&providers), sticky(key)).swap_remove(0)).collect();
        assert_eq!(firsts, "daacbdad");
    }
}
