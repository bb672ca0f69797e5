//! Answers that were given before.
//!
//! Owns: which requests are the same (`fingerprint`), what callers say of the cache (`wish`), which requests may be answered so (`policy`), what is kept, where and for how long
//! (`store`, in the form of `wire`), and that of equal requests at the same time one goes upstream (`flight`). Not here: how an answer is rendered (`edge`), what it costs (`price`).
//!
//! The cache is an aid: whatever of it fails, a request is a miss.

mod fingerprint;
mod flight;
mod policy;
mod store;
mod wire;
mod wish;

pub use fingerprint::Fingerprint;
pub use policy::{Asker, Policy, Use, is_keepable};
pub use wish::Wish;

use crate::config::{CacheConfig, CacheRules};
use crate::contract::embeddings::EmbeddingResponse;
use crate::contract::{ChatResponse, Dropped};
use crate::metrics::{self, CacheOutcome};
use crate::money::Usd;
use crate::shared::Redis;
use flight::{Boarded, Flights, Lead};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use store::Store;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum KeptAnswer {
    Chat(ChatResponse),
    Embeddings(#[serde(with = "wire::embeddings")] EmbeddingResponse),
}

/// An answer, with what its headers and its books need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub answer: KeptAnswer,
    pub provider: String,
    /// The model that was asked.
    pub model: String,
    pub plugin_version: String,
    pub simulated: bool,
    pub dropped: Vec<Dropped>,
    /// What it had cost.
    pub cost: Option<Usd>,
    #[serde(with = "wire::timestamp")]
    pub stored_at: Timestamp,
}

impl Kept {
    /// For how long it has been kept.
    pub fn age(&self, now: Timestamp) -> Duration {
        // Another gateway's clock may be ahead.
        Duration::try_from(now.duration_since(self.stored_at)).unwrap_or_default()
    }
}

pub enum Looked {
    Hit(Arc<Kept>),
    /// There is none that will do. Who has the ticket asks for all who want the same. Absent: the answer is not to be kept, or (`Wish::only_if_cached`) nobody is to be
    /// asked; then 504, as RFC 9111 has it.
    Miss(Option<Ticket>),
}

/// Leave to ask for an answer that others may be waiting for. Dropped, the next of them has it.
#[must_use]
pub struct Ticket {
    cache: AnswerCache,
    fingerprint: Fingerprint,
    ttl: Duration,
    /// Absent: nobody waits for it.
    lead: Option<Lead>,
}

impl Ticket {
    /// Gives the answer to those who wait, and to those who come.
    pub fn keep(mut self, kept: Kept) {
        let kept = Arc::new(kept);
        self.cache.0.store.put(self.fingerprint, &kept, self.ttl);
        if let Some(lead) = self.lead.take() {
            lead.give(kept);
        }
    }

    /// Bytes of the largest answer that is kept.
    pub fn largest(&self) -> u64 {
        self.cache.0.store.largest()
    }

    /// There is an answer, and it is not for others: those who wait ask each for itself, at the same time.
    pub fn release(mut self) {
        if let Some(lead) = self.lead.take() {
            lead.call_off();
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// The answers that are kept. Clones share them.
#[derive(Clone)]
pub struct AnswerCache(Arc<Inner>);

struct Inner {
    config: CacheConfig,
    store: Store,
    flights: Arc<Flights>,
    saved_picos: AtomicI64,
}

impl AnswerCache {
    pub fn new(config: CacheConfig, redis: Option<Redis>) -> Self {
        let store = Store::new(config.max_bytes, redis.filter(|_| config.enabled));
        Self(Arc::new(Inner { config, store, flights: Arc::default(), saved_picos: AtomicI64::new(0) }))
    }

    /// By which requests use it.
    pub fn policy(&self, rules: &CacheRules) -> Policy {
        Policy { by: rules.policy, enabled: self.0.config.enabled }
    }

    /// Finds an answer, as far as the request may use one. While another caller's equal request is under way, waits for what becomes of it, up to `patience`.
    ///
    /// Who wants a fresh answer (`Wish::refresh`) waits for nobody, and nobody for it: meanwhile others get what is kept.
    ///
    /// Tells too for how long it waited for another.
    pub async fn look(&self, fingerprint: Fingerprint, wish: &Wish, used: Use, patience: Duration) -> (Looked, Duration) {
        let mut waited = Duration::ZERO;
        let (looked, outcome) = self.find(fingerprint, wish, (used, patience), &mut waited).await;
        metrics::cache_request(outcome);
        if let Looked::Hit(kept) = &looked {
            let cost = kept.cost.map_or(0, Usd::picos);
            // Above nine million dollars it stays there.
            let _ = self.0.saved_picos.try_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_add(cost));
        }
        (looked, waited)
    }

    /// Whether there is an answer that will do, for those who only want to know.
    pub async fn has(&self, fingerprint: Fingerprint, wish: &Wish) -> bool {
        self.kept(fingerprint, wish).await.is_some()
    }

    /// In this process.
    pub fn entries(&self) -> u64 {
        self.0.store.entries()
    }

    /// About what the answers in this process take in memory.
    pub fn bytes(&self) -> u64 {
        self.0.store.bytes()
    }

    /// What the answers that were given again would have cost, since the start.
    pub fn saved(&self) -> Usd {
        Usd::from_picos(self.0.saved_picos.load(Ordering::Relaxed))
    }

    async fn find(
        &self,
        fingerprint: Fingerprint,
        wish: &Wish,
        (used, patience): (Use, Duration),
        waited: &mut Duration,
    ) -> (Looked, CacheOutcome) {
        let hit = |kept| (Looked::Hit(kept), CacheOutcome::Hit);
        let miss = |lead| {
            let ttl = wish.ttl.unwrap_or(self.0.config.ttl);
            let ticket = used.keep.then(|| Ticket { cache: self.clone(), fingerprint, ttl, lead });
            (Looked::Miss(ticket), CacheOutcome::Miss)
        };
        if !used.read {
            return miss(None);
        }
        if let Some(kept) = self.0.store.get(fingerprint, Timestamp::now()).filter(|kept| wish.takes(kept, Timestamp::now())) {
            return hit(kept);
        }
        if !used.keep {
            return self.kept(fingerprint, wish).await.map_or_else(|| miss(None), hit);
        }
        let began = Instant::now();
        let boarded = self.0.flights.board(fingerprint, patience).await;
        *waited = began.elapsed();
        match boarded {
            Boarded::Given(kept) => (Looked::Hit(kept), CacheOutcome::Shared),
            Boarded::Alone => miss(None),
            // It may have come in the moment before, or be in Redis.
            Boarded::Lead(lead) => match self.kept(fingerprint, wish).await {
                Some(kept) => hit(kept),
                None => miss(Some(lead)),
            },
        }
    }

    /// Here or in Redis.
    async fn kept(&self, fingerprint: Fingerprint, wish: &Wish) -> Option<Arc<Kept>> {
        self.0.store.fetch(fingerprint).await.filter(|kept| wish.takes(kept, Timestamp::now()))
    }
}

/// Without the answers.
impl fmt::Debug for AnswerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerCache").field("config", &self.0.config).field("entries", &self.entries()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::config::CachePolicy;
    use crate::contract::{Choice, Finish, FinishReason, PartBody};
    use crate::domain::part;
    use crate::metrics::tests::counted;
    use crate::shared::tests::{Server, up};
    use futures_util::FutureExt;
    use futures_util::future::{join_all, poll_immediate};
    use redis::Cmd;

    const PATIENCE: Duration = Duration::from_secs(60);

    pub(super) fn fingerprint(name: &str) -> Fingerprint {
        Fingerprint::of_test(name)
    }

    pub(super) fn answer(text: &str) -> ChatResponse {
        let finish = Finish { reason: FinishReason::Stop, raw: None, stop_sequence: None, extras: Vec::new() };
        let choice = Choice { index: 0, parts: vec![part(PartBody::Text(text.into()))], finish, logprobs: None };
        ChatResponse { id: None, model: Some("m-1".into()), choices: vec![choice], usage: None, extras: Vec::new() }
    }

    /// Equal for equal texts.
    pub(super) fn kept(text: &str) -> Arc<Kept> {
        Arc::new(Kept {
            answer: KeptAnswer::Chat(answer(text)),
            provider: "acme".into(),
            model: "m".into(),
            plugin_version: "1.0.0".into(),
            simulated: false,
            dropped: vec![Dropped { parameter: "sampling.seed".into(), reason: "unknown".into() }],
            cost: Usd::from_f64(0.25),
            stored_at: Timestamp::from_second(1_800_000_000).unwrap(),
        })
    }

    fn fresh(text: &str) -> Kept {
        Kept { stored_at: Timestamp::now(), ..(*kept(text)).clone() }
    }

    fn cache(redis: Option<Redis>) -> AnswerCache {
        AnswerCache::new(CacheConfig { enabled: true, ttl: Duration::from_secs(300), max_bytes: 64 << 20 }, redis)
    }

    /// As where all answers are kept.
    async fn look(cache: &AnswerCache, wish: &Wish) -> Looked {
        look_for("a", cache, wish).await
    }

    async fn look_for(name: &str, cache: &AnswerCache, wish: &Wish) -> Looked {
        let rules = CacheRules { policy: CachePolicy::All, ..CacheRules::default() };
        cache.look(fingerprint(name), wish, cache.policy(&rules).of_embeddings(wish), PATIENCE).await.0
    }

    fn text(looked: Looked) -> Option<String> {
        let Looked::Hit(kept) = looked else { return None };
        let KeptAnswer::Chat(answer) = &kept.answer else { return None };
        match &answer.choices[0].parts[0].body {
            PartBody::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn ticket(looked: Looked) -> Ticket {
        match looked {
            Looked::Miss(ticket) => ticket.unwrap(),
            Looked::Hit(_) => panic!("no ticket"),
        }
    }

    #[tokio::test]
    async fn what_was_kept_is_given_again_and_what_it_saved_is_counted() {
        let cache = cache(None);
        ticket(look(&cache, &Wish::default()).await).keep(fresh("one"));
        for _ in 0..2 {
            assert_eq!(text(look(&cache, &Wish::default()).await).unwrap(), "one");
        }
        assert_eq!(cache.saved(), Usd::from_f64(0.5).unwrap());
        assert!(cache.has(fingerprint("a"), &Wish::default()).await);
        assert!(!cache.has(fingerprint("b"), &Wish::default()).await);
    }

    #[tokio::test]
    async fn wishes_are_granted() {
        let cache = cache(None);
        let only = Wish { only_if_cached: true, ..Wish::default() };
        assert!(matches!(look(&cache, &only).await, Looked::Miss(None)));
        ticket(look(&cache, &Wish::default()).await).keep(Kept { stored_at: Timestamp::now() - PATIENCE, ..fresh("old") });
        assert_eq!(text(look(&cache, &only).await).unwrap(), "old");
        let young = Wish { max_age: Some(Duration::from_secs(30)), ..Wish::default() };
        drop(ticket(look(&cache, &young).await));
        // Nobody waits for one who wants a fresh answer, nor it for others.
        let refresh = Wish { refresh: true, ..Wish::default() };
        let (one, other) = (ticket(look(&cache, &refresh).await), ticket(look(&cache, &refresh).await));
        assert_eq!(text(look(&cache, &Wish::default()).await).unwrap(), "old");
        one.keep(fresh("new"));
        drop(other);
        assert_eq!(text(look(&cache, &young).await).unwrap(), "new");
    }

    #[tokio::test]
    async fn a_caller_says_for_how_long_its_answer_is_kept() {
        let cache = cache(None);
        let brief = Wish { ttl: Some(Duration::ZERO), ..Wish::default() };
        ticket(look(&cache, &brief).await).keep(fresh("one"));
        assert!(matches!(look(&cache, &Wish::default()).await, Looked::Miss(_)));
    }

    #[tokio::test]
    async fn of_a_hundred_equal_requests_one_is_asked() {
        let cache = cache(None);
        let leader = ticket(look(&cache, &Wish::default()).await);
        let wish = Wish::default();
        let mut others: Vec<_> = (0..99).map(|_| Box::pin(look(&cache, &wish))).collect();
        for other in &mut others {
            assert!(poll_immediate(other).await.is_none());
        }
        leader.keep(fresh("one"));
        assert!(join_all(others).await.into_iter().all(|looked| text(looked).as_deref() == Some("one")));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_kept_holds_nobody() {
        let cache = cache(None);
        let leader = ticket(look(&cache, &Wish::default()).await);
        let wish = Wish::default();
        let mut others: Vec<_> = (0..9).map(|_| Box::pin(look(&cache, &wish))).collect();
        for other in &mut others {
            assert!(poll_immediate(other).await.is_none());
        }
        leader.release();
        let tickets: Vec<Ticket> = join_all(others).await.into_iter().map(ticket).collect();
        assert_eq!(tickets.len(), 9);
    }

    #[tokio::test]
    async fn a_request_that_is_answered_already_waits_for_nothing() {
        let cache = cache(None);
        ticket(look(&cache, &Wish::default()).await).keep(fresh("one"));
        assert_eq!(text(poll_immediate(look(&cache, &Wish::default())).await.unwrap()).unwrap(), "one");
    }

    /// Two gateways with one Redis.
    async fn two(server: &Server) -> ([AnswerCache; 2], Redis) {
        let redis = Redis::connect(&server.url()).unwrap();
        up(&redis).await;
        ([cache(Some(redis.clone())), cache(Some(redis.clone()))], redis)
    }

    fn get() -> Cmd {
        let mut get = redis::cmd("GET");
        get.arg(fingerprint("a").key());
        get
    }

    /// Until what was written off the request's way is there.
    async fn written(redis: &Redis) {
        let waiting = async { while redis.query::<Option<Vec<u8>>>(&get()).await.unwrap().is_none() {} };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    #[tokio::test]
    async fn what_one_gateway_keeps_others_give() {
        let server = Server::start();
        let ([one, other], redis) = two(&server).await;
        let wish = Wish { ttl: Some(Duration::from_secs(2)), ..Wish::default() };
        ticket(look(&one, &wish).await).keep(fresh("one"));
        written(&redis).await;
        assert_eq!(text(look(&other, &Wish::default()).await).unwrap(), "one");
        // No longer than it is in Redis, whatever the time of this one.
        let later = Timestamp::now() + Duration::from_secs(3);
        assert_eq!(other.0.store.get(fingerprint("a"), later), None);
        assert!(other.0.store.get(fingerprint("a"), Timestamp::now()).is_some());
    }

    #[tokio::test]
    async fn without_redis_a_gateway_goes_on_by_itself() {
        let mut server = Server::start();
        let ([one, other], redis) = two(&server).await;
        ticket(look(&one, &Wish::default()).await).keep(fresh("one"));
        written(&redis).await;
        server.stop();
        assert_eq!(text(look(&one, &Wish::default()).await).unwrap(), "one");
        let missed = ticket(look(&other, &Wish::default()).await);
        missed.keep(fresh("two"));
        assert_eq!(text(look(&other, &Wish::default()).await).unwrap(), "two");
        // From then on nobody waits for it.
        drop(ticket(look_for("b", &other, &Wish::default()).now_or_never().unwrap()));
    }

    #[tokio::test]
    async fn what_is_wrong_in_redis_is_a_miss() {
        let server = Server::start();
        let ([one, _], redis) = two(&server).await;
        let set = |value: &[u8]| {
            let mut set = redis::cmd("SET");
            set.arg(fingerprint("a").key()).arg(value).arg("PX").arg(60_000);
            set
        };
        let another = wire::written(fingerprint("b"), &kept("another's")).unwrap();
        for value in [b"" as &[u8], b"\xff\x00", b"{}", &another, &vec![b' '; 2 << 20]] {
            let (): () = redis.query(&set(value)).await.unwrap();
            drop(ticket(look(&one, &Wish::default()).await));
        }
        let (): () = redis.query(redis::cmd("DEL").arg(fingerprint("a").key())).await.unwrap();
        let (): () = redis.query(redis::cmd("LPUSH").arg(fingerprint("a").key()).arg("x")).await.unwrap();
        drop(ticket(look(&one, &Wish::default()).await));
        // One that would be kept for ever is not of a gateway.
        let (): () = redis.query(redis::cmd("DEL").arg(fingerprint("a").key())).await.unwrap();
        let own = wire::written(fingerprint("a"), &kept("a")).unwrap();
        let (): () = redis.query(redis::cmd("SET").arg(fingerprint("a").key()).arg(own)).await.unwrap();
        drop(ticket(look(&one, &Wish::default()).await));
        assert!(redis.is_up());
    }

    #[tokio::test]
    async fn outcomes_are_counted() {
        let series = counted(|| {
            let cache = cache(None);
            ticket(look(&cache, &Wish::default()).now_or_never().unwrap()).keep(fresh("one"));
            assert!(look(&cache, &Wish::default()).now_or_never().is_some());
        });
        assert_eq!(series[r#"llm_gateway_cache_requests_total{outcome="hit"}"#], 1.0);
        assert_eq!(series[r#"llm_gateway_cache_requests_total{outcome="miss"}"#], 1.0);
    }
}
