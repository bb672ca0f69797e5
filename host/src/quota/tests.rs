//! Quota as its callers use it: alone, and on a real Redis.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::access::{Budget, KeyLimits};
use crate::shared::tests::{Server, up};
use futures_util::future::join_all;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) fn key(id: &str, change: impl FnOnce(&mut KeyLimits)) -> Arc<GatewayKey> {
    let mut limits = KeyLimits::default();
    change(&mut limits);
    Arc::new(GatewayKey {
        id: id.into(),
        tenant: "t".into(),
        name: None,
        models: Vec::new(),
        limits,
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
        revoked_at: None,
    })
}

fn picos(picos: i64) -> Amount {
    Amount { tokens: 0, usd: Usd::from_picos(picos) }
}

fn tokens(tokens: u64) -> Amount {
    Amount { tokens, usd: Usd::ZERO }
}

fn total(limit: i64) -> Arc<GatewayKey> {
    key("k", |limits| limits.budget.total = Some(Usd::from_picos(limit)))
}

fn left(quota: &Quota, key: &GatewayKey) -> i64 {
    quota.standing(key).budget.unwrap().0.picos()
}

/// What the ledger says, and how often it was asked.
#[derive(Default)]
struct Ledger {
    spent: Mutex<i64>,
    asked: AtomicUsize,
    is_broken: bool,
}

impl Seeds for Ledger {
    fn spent<'a>(&'a self, _key_id: &'a str) -> BoxFuture<'a, anyhow::Result<Spent>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let usd = Usd::from_picos(*self.spent.lock().unwrap());
        let answer = if self.is_broken { Err(anyhow::anyhow!("disk")) } else { Ok(Spent { day: usd, month: usd, total: usd }) };
        async move {
            tokio::task::yield_now().await;
            answer
        }
        .boxed()
    }
}

async fn all<T>(quotas: &[&Quota], key: &Arc<GatewayKey>, count: usize, each: impl AsyncFn(&Quota, &Arc<GatewayKey>) -> T) -> Vec<T> {
    join_all((0..count).map(|number| each(quotas[number % quotas.len()], key))).await
}

#[tokio::test]
async fn a_budget_for_a_hundred_lets_a_hundred_of_a_thousand_through() {
    let quota = Quota::default();
    let key = total(100 * 7 + 6);
    let got = all(&[&quota], &key, 1000, async |quota, key| quota.reserve(key, picos(7)).await).await;
    let (passed, refused): (Vec<_>, Vec<_>) = got.into_iter().partition(Result::is_ok);
    assert_eq!((passed.len(), refused.len(), left(&quota, &key)), (100, 900, 6));
    passed.into_iter().for_each(|reservation| reservation.unwrap().settle(picos(3)));
    assert_eq!(left(&quota, &key), 706 - 300);
}

#[tokio::test]
async fn threads_that_reserve_at_once_dont_pass_a_budget() {
    let quota = Arc::new(Quota::default());
    let key = total(100);
    let passed: Arc<AtomicUsize> = Arc::default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..125 {
                    if let Some(Ok(reservation)) = quota.reserve(&key, picos(1)).now_or_never() {
                        passed.fetch_add(1, Ordering::SeqCst);
                        reservation.settle(picos(1));
                    }
                    std::thread::yield_now();
                }
            });
        }
    });
    // Who has to wait for another one's look into the ledger gives up here, so not quite a thousand tried.
    assert_eq!((passed.load(Ordering::SeqCst), left(&quota, &key)), (100, 0));
}

#[test]
fn requests_of_any_thread_may_use_it() {
    fn sendable<T: Send>(_: T) {}
    let (quota, key) = (Quota::default(), total(1));
    sendable(quota.enter(&key));
    sendable(quota.reserve(&key, picos(1)));
    sendable(async {
        let mut reservation = quota.reserve(&key, picos(1)).await.unwrap();
        reservation.raise(picos(1)).await
    });
}

#[tokio::test]
async fn a_reservation_that_nobody_settles_counts_in_full() {
    let quota = Quota::default();
    let key = total(100);
    drop(quota.reserve(&key, picos(60)).await.unwrap());
    let mut reservation = quota.reserve(&key, picos(10)).await.unwrap();
    reservation.raise(picos(41)).await.unwrap_err();
    reservation.raise(picos(40)).await.unwrap();
    reservation.raise(picos(5)).await.unwrap();
    assert_eq!((reservation.reserved(), left(&quota, &key)), (picos(40), 0));
    // More than the worst case: it was billed.
    reservation.settle(picos(50));
    assert_eq!(quota.reserve(&key, picos(0)).await.unwrap_err().limit, Limit::Budget);
}

#[tokio::test]
async fn a_limit_that_is_changed_counts_at_once_and_what_was_used_stays() {
    let quota = Quota::default();
    let generous = key("k", |limits| (limits.budget.day, limits.rpm, limits.tpm) = (Some(Usd::from_picos(100)), Some(10), Some(100)));
    let tight = key("k", |limits| (limits.budget.day, limits.rpm, limits.tpm) = (Some(Usd::from_picos(50)), Some(2), Some(50)));
    for _ in 0..2 {
        drop(quota.enter(&generous).await.unwrap());
    }
    quota
        .reserve(&generous, Amount { tokens: 50, usd: Usd::from_picos(50) })
        .await
        .unwrap()
        .settle(Amount { tokens: 50, usd: Usd::from_picos(50) });
    assert_eq!(quota.enter(&tight).await.unwrap_err().limit, Limit::Requests);
    assert_eq!(quota.reserve(&tight, tokens(20)).await.unwrap_err().limit, Limit::Tokens);
    assert_eq!(quota.reserve(&tight, picos(1)).await.unwrap_err().limit, Limit::Budget);
    assert!(
        quota.enter(&generous).await.is_ok() && quota.reserve(&generous, Amount { tokens: 50, usd: Usd::from_picos(50) }).await.is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn requests_and_tokens_come_back_with_time() {
    let quota = Quota::default();
    let key = key("k", |limits| (limits.rpm, limits.tpm) = (Some(60), Some(600)));
    for _ in 0..60 {
        drop(quota.enter(&key).await.unwrap());
    }
    let refused = quota.enter(&key).await.unwrap_err();
    assert_eq!((refused.limit, refused.retry_after), (Limit::Requests, Some(Duration::from_secs(1))));
    tokio::time::advance(Duration::from_secs(1)).await;
    drop(quota.enter(&key).await.unwrap());

    quota.reserve(&key, tokens(600)).await.unwrap().settle(tokens(610));
    let refused = quota.reserve(&key, tokens(10)).await.unwrap_err();
    assert_eq!((refused.limit, refused.retry_after), (Limit::Tokens, Some(Duration::from_secs(2))));
    tokio::time::advance(Duration::from_secs(2)).await;
    quota.reserve(&key, tokens(10)).await.unwrap().settle(tokens(0));
    assert_eq!(quota.standing(&key).tokens.unwrap().remaining, 10);
    assert_eq!(quota.reserve(&key, tokens(601)).await.unwrap_err().retry_after, None);
}

#[tokio::test]
async fn requests_at_once_are_counted_until_they_are_dropped() {
    let quota = Quota::default();
    let key = key("k", |limits| limits.concurrency = Some(2));
    let visits = [quota.enter(&key).await.unwrap(), quota.enter(&key).await.unwrap()];
    assert_eq!(quota.enter(&key).await.unwrap_err().limit, Limit::Concurrency);
    drop(visits);
    assert!(quota.enter(&key).await.is_ok());
}

#[tokio::test]
async fn the_ledger_is_asked_once_and_what_it_says_is_spent() {
    let ledger = Arc::new(Ledger { spent: Mutex::new(60), ..Ledger::default() });
    let quota = Quota::new(None, ledger.clone());
    let key = total(100);
    let got = all(&[&quota], &key, 50, async |quota, key| quota.reserve(key, picos(1)).await).await;
    assert_eq!((got.iter().filter(|got| got.is_ok()).count(), ledger.asked.load(Ordering::SeqCst)), (40, 1));
}

#[tokio::test]
async fn nothing_is_spent_while_it_is_not_known_what_was() {
    let quota = Quota::new(None, Arc::new(Ledger { is_broken: true, ..Ledger::default() }));
    let refused = quota.reserve(&total(100), picos(1)).await.unwrap_err();
    assert_eq!((refused.limit, refused.retry_after.is_some()), (Limit::Budget, true));
    assert!(!refused.message.contains("disk"), "{refused}");
}

#[tokio::test]
async fn a_key_without_limits_leaves_no_trace() {
    let quota = Quota::default();
    let key = key("k", |_| {});
    drop(quota.enter(&key).await.unwrap());
    quota.reserve(&key, picos(10)).await.unwrap().settle(picos(1_000));
    assert_eq!((quota.standing(&key), quota.holders().by_key.len()), (Standing::default(), 0));
}

#[tokio::test]
async fn a_budget_that_is_taken_away_and_given_again_is_read_again() {
    let ledger = Arc::new(Ledger::default());
    let quota = Quota::new(None, ledger.clone());
    let limited = total(100);
    quota.reserve(&limited, picos(10)).await.unwrap().settle(picos(10));
    let open = quota.reserve(&limited, picos(5)).await.unwrap();
    drop(quota.enter(&key("k", |_| {})).await.unwrap());
    assert_eq!(quota.standing(&limited).budget, None);
    *ledger.spent.lock().unwrap() = 60;
    // What was set aside before is still being used.
    quota.reserve(&limited, picos(36)).await.unwrap_err();
    let all_of_it = quota.reserve(&limited, picos(35)).await.unwrap();
    open.settle(picos(5));
    quota.reserve(&limited, picos(1)).await.unwrap_err();
    drop(all_of_it);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_the_ledger_share_its_failure() {
    let ledger = Arc::new(Ledger { is_broken: true, ..Ledger::default() });
    let quota = Quota::new(None, ledger.clone());
    let ask = async || {
        let got = all(&[&quota], &total(100), 50, async |quota, key| quota.reserve(key, picos(1)).await).await;
        assert!(got.iter().all(Result::is_err));
        ledger.asked.load(Ordering::SeqCst)
    };
    assert_eq!((ask().await, ask().await), (1, 1));
    tokio::time::advance(FAILURE_COUNTS).await;
    assert_eq!(ask().await, 2);
}

#[tokio::test]
async fn several_requests_enter_together_or_not_at_all() {
    let quota = Quota::default();
    let key = key("k", |limits| (limits.rpm, limits.concurrency) = (Some(10), Some(4)));
    let one = quota.enter(&key).await.unwrap();
    let refused = quota.enter_many(&key, 4).await.unwrap_err();
    assert_eq!((refused.limit, refused.retry_after.is_some()), (Limit::Concurrency, true));
    assert_eq!(quota.enter_many(&key, 5).await.unwrap_err().retry_after, None);
    let three = quota.enter_many(&key, 3).await.unwrap();
    assert_eq!(quota.enter(&key).await.unwrap_err().limit, Limit::Concurrency);
    drop((one, three));
    drop(quota.enter_many(&key, 4).await.unwrap());
    assert_eq!(quota.enter_many(&key, 3).await.unwrap_err().limit, Limit::Requests);
    drop(quota.enter_many(&key, 2).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_uses_are_forgotten() {
    let quota = Quota::default();
    let named = |number: usize| key(&format!("k{number}"), |limits| limits.rpm = Some(1));
    let visit = quota.enter(&named(0)).await.unwrap();
    for number in 1..FEW {
        drop(quota.enter(&named(number)).await.unwrap());
    }
    tokio::time::advance(IDLE).await;
    drop(quota.enter(&named(FEW)).await.unwrap());
    // The first one's request is still being answered.
    assert_eq!(quota.holders().by_key.len(), 2);
    drop(visit);
}

// With Redis.

struct Replicas {
    server: Server,
    redis: [Redis; 2],
    quotas: [Quota; 2],
    ledger: Arc<Ledger>,
}

impl Replicas {
    async fn start() -> Self {
        let server = Server::start();
        let redis = [0, 1].map(|_| Redis::connect(&server.url()).unwrap());
        let ledger = Arc::new(Ledger::default());
        let quotas = [0, 1].map(|number: usize| Quota::new(Some(redis[number].clone()), ledger.clone()));
        let replicas = Self { server, redis, quotas, ledger };
        replicas.up().await;
        replicas
    }

    async fn up(&self) {
        for redis in &self.redis {
            up(redis).await;
        }
    }

    fn both(&self) -> [&Quota; 2] {
        [&self.quotas[0], &self.quotas[1]]
    }

    async fn settled(&self) {
        for quota in &self.quotas {
            timeout(Duration::from_secs(20), quota.backing.shared.as_ref().unwrap().all_sent()).await.unwrap();
        }
    }

    async fn query<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        self.redis[0].query(&command).await.unwrap()
    }

    /// Spent, and spent and reserved.
    async fn sums(&self) -> (String, String) {
        self.query(&["HMGET", "gw:{k}:money", "t:s", "t:c"]).await
    }

    /// It goes away, and both notice.
    async fn stop(&mut self) {
        self.server.stop();
        for redis in &self.redis {
            let _ = redis.query::<()>(&redis::cmd("PING")).await;
            assert!(!redis.is_up());
        }
    }

    async fn start_again(&mut self) {
        self.server.start_again();
        self.up().await;
    }

    /// Restarted with its data.
    async fn save(&self) {
        self.query::<()>(&["SAVE"]).await;
    }
}

fn text(picos: i64) -> String {
    picos.to_string()
}

#[tokio::test]
async fn two_gateways_let_a_hundred_of_a_thousand_through() {
    let it = Replicas::start().await;
    let key = total(100 * 7 + 6);
    let got = all(&it.both(), &key, 1000, async |quota, key| quota.reserve(key, picos(7)).await).await;
    let passed: Vec<_> = got.into_iter().flatten().collect();
    assert_eq!((passed.len(), it.sums().await), (100, (text(0), text(700))));
    // Each asks once at most, and only the first one's answer counts.
    assert!((1..=2).contains(&it.ledger.asked.load(Ordering::SeqCst)));
    passed.into_iter().for_each(|reservation| reservation.settle(picos(3)));
    it.settled().await;
    assert_eq!(it.sums().await, (text(300), text(300)));
    // What each has heard last is the same.
    for quota in it.both() {
        quota.reserve(&key, picos(0)).await.unwrap().settle(picos(0));
        assert_eq!(left(quota, &key), 406);
    }
}

#[tokio::test]
async fn sums_are_exact_beyond_what_a_double_holds() {
    let it = Replicas::start().await;
    let [a, b] = it.both();
    let edge = 1_i64 << 53;
    let limit = edge + 3;
    let key = total(limit);
    a.reserve(&key, picos(edge)).await.unwrap().settle(picos(edge));
    for number in 0..3 {
        b.reserve(&key, picos(1)).await.unwrap().settle(picos(1));
        it.settled().await;
        assert_eq!(it.sums().await, (text(edge + number + 1), text(edge + number + 1)));
    }
    let refused = a.reserve(&key, picos(1)).await.unwrap_err();
    assert_eq!(refused.limit, Limit::Budget);
    assert!(refused.message.contains("$9007.199254740995 is spent"), "{refused}");
    assert_eq!(left(a, &key), 0);
}

#[tokio::test]
async fn a_sum_that_redis_cant_hold_is_more_than_any_budget() {
    let it = Replicas::start().await;
    let most = Usd::MAX.picos();
    let key = total(most);
    let all_of_it = it.quotas[0].reserve(&key, picos(most)).await.unwrap();
    for quota in it.both() {
        assert_eq!(quota.reserve(&key, picos(most)).await.unwrap_err().limit, Limit::Budget);
    }
    assert_eq!(it.sums().await, (text(0), text(most)));
    all_of_it.settle(picos(1));
    it.settled().await;
    assert_eq!(it.sums().await, (text(1), text(1)));
}

#[tokio::test]
async fn in_redis_too_money_counts_on_the_day_on_which_it_was_set_aside() {
    let it = Replicas::start().await;
    let key = key("k", |limits| (limits.budget.day, limits.budget.total) = (Some(Usd::from_picos(100)), Some(Usd::from_picos(1000))));
    let yesterday = it.quotas[0].reserve(&key, picos(90)).await.unwrap();
    // As if it had been made a day earlier.
    let [day, month, _] = budget::numbers(Timestamp::now());
    let (record, number) = (format!("r:{}", yesterday.id()), text(day - 1));
    let _: i64 = it.query(&["HSET", "gw:{k}:money", "d", &number, &record, &format!("90:{number}:{month}")]).await;

    let today = it.quotas[1].reserve(&key, picos(99)).await.unwrap();
    assert_eq!(it.quotas[0].reserve(&key, picos(2)).await.unwrap_err().limit, Limit::Budget);
    yesterday.settle(picos(80));
    it.settled().await;
    let of_day: (String, String) = it.query(&["HMGET", "gw:{k}:money", "d:s", "d:c"]).await;
    assert_eq!((of_day, it.sums().await), ((text(0), text(99)), (text(80), text(179))));
    drop(today);
}

#[tokio::test]
async fn windows_and_places_are_shared() {
    let it = Replicas::start().await;
    let key = key("k", |limits| (limits.rpm, limits.tpm, limits.concurrency) = (Some(100), Some(1000), Some(10)));
    let got = all(&it.both(), &key, 50, async |quota, key| quota.enter(key).await).await;
    let visits: Vec<_> = got.iter().flatten().collect();
    assert_eq!(visits.len(), 10);
    drop(got);
    it.settled().await;
    let mut passed = 10;
    let refused = loop {
        match it.quotas[passed % 2].enter(&key).await {
            Ok(visit) => drop(visit),
            Err(refused) => break refused,
        }
        passed += 1;
        it.settled().await;
    };
    // One comes back every 600 ms.
    assert!(refused.limit == Limit::Requests && (100..200).contains(&passed), "{passed}");

    let reservation = it.quotas[0].reserve(&key, tokens(1000)).await.unwrap();
    let refused = it.quotas[1].reserve(&key, tokens(500)).await.unwrap_err();
    assert_eq!(refused.limit, Limit::Tokens);
    assert!(refused.retry_after.unwrap() > Duration::from_secs(20));
    reservation.settle(tokens(100));
    // Also where Redis has not been told yet, by the one that knows.
    it.quotas[0].reserve(&key, tokens(800)).await.unwrap().settle(tokens(0));
    it.settled().await;
    assert!(it.quotas[1].standing(&key).tokens.unwrap().remaining < 600);
    it.quotas[1].reserve(&key, tokens(850)).await.unwrap().settle(tokens(850));
}

#[tokio::test]
async fn a_refusal_waits_for_what_is_being_given_back() {
    let it = Replicas::start().await;
    let key = total(100);
    for spent in 0..50 {
        it.quotas[0].reserve(&key, picos(100 - spent)).await.unwrap().settle(picos(1));
    }
    let one_at_a_time = self::key("k", |limits| limits.concurrency = Some(1));
    for _ in 0..50 {
        drop(it.quotas[0].enter(&one_at_a_time).await.unwrap());
    }
}

#[tokio::test]
async fn a_place_is_kept_as_long_as_its_gateway_lives() {
    let it = Replicas::start().await;
    let key = key("k", |limits| limits.concurrency = Some(1));
    let [a, b] = it.both();
    let visit = a.enter(&key).await.unwrap();
    let members: Vec<String> = it.query(&["ZRANGE", "gw:{k}:visits", "0", "-1"]).await;
    let age = async || it.query::<i64>(&["ZADD", "gw:{k}:visits", "1", &members[0]]).await;

    age().await;
    a.backing.shared.as_ref().unwrap().renew().await.unwrap();
    assert_eq!(b.enter(&key).await.unwrap_err().limit, Limit::Concurrency);
    // Nobody renews it.
    age().await;
    drop(b.enter(&key).await.unwrap());
    drop(visit);
}

#[tokio::test]
async fn more_is_set_aside_for_the_same_request_and_a_drop_counts_in_full() {
    let it = Replicas::start().await;
    let key = total(100);
    let [a, b] = it.both();
    let mut reservation = a.reserve(&key, picos(10)).await.unwrap();
    let other = b.reserve(&key, picos(50)).await.unwrap();
    reservation.raise(picos(50)).await.unwrap();
    reservation.raise(picos(51)).await.unwrap_err();
    assert_eq!(it.sums().await, (text(0), text(100)));
    drop(reservation);
    other.settle(picos(70));
    it.settled().await;
    assert_eq!(it.sums().await, (text(120), text(120)));
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_nothing_set_aside() {
    let it = Replicas::start().await;
    let key = key("k", |limits| (limits.budget.total, limits.concurrency) = (Some(Usd::from_picos(100)), Some(1)));
    let quota = &it.quotas[0];
    quota.reserve(&key, picos(10)).await.unwrap().settle(picos(0));
    it.settled().await;
    it.server.pause();
    tokio::select! {
        biased;
        _ = quota.reserve(&key, picos(100)) => panic!("it is paused"),
        _ = quota.enter(&key) => panic!("it is paused"),
        () = tokio::time::sleep(Duration::from_millis(30)) => {}
    }
    it.server.go_on();
    it.up().await;
    it.settled().await;
    assert_eq!(it.sums().await, (text(0), text(0)));
    assert!(quota.enter(&key).await.is_ok());
}

#[tokio::test]
async fn an_outage_refuses_nobody_and_what_was_spent_is_told_afterwards() {
    let mut it = Replicas::start().await;
    let key =
        key("k", |limits| (limits.budget, limits.rpm) = (Budget { total: Some(Usd::from_picos(100)), ..Budget::default() }, Some(1000)));
    it.quotas[0].reserve(&key, picos(20)).await.unwrap().settle(picos(20));
    it.settled().await;
    let mut across = it.quotas[1].reserve(&key, picos(10)).await.unwrap();
    it.save().await;
    it.stop().await;

    // The second one has heard of the 20 and holds 10; the first has heard of 20.
    across.raise(picos(15)).await.unwrap();
    across.settle(picos(12));
    assert_eq!(it.quotas[1].reserve(&key, picos(69)).await.unwrap_err().limit, Limit::Budget);
    let of_outage = it.quotas[1].reserve(&key, picos(30)).await.unwrap();
    it.quotas[0].reserve(&key, picos(5)).await.unwrap().settle(picos(4));
    drop(it.quotas[0].enter(&key).await.unwrap());
    assert!(it.quotas[0].unsent() > 0);

    it.start_again().await;
    it.settled().await;
    assert_eq!(it.sums().await, (text(36), text(36)));
    of_outage.settle(picos(25));
    it.settled().await;
    assert_eq!(it.sums().await, (text(61), text(61)));
    it.quotas[0].reserve(&key, picos(40)).await.unwrap_err();
    it.quotas[0].reserve(&key, picos(39)).await.unwrap().settle(picos(39));
}

#[tokio::test]
async fn a_redis_that_lost_its_data_is_told_what_the_ledger_says() {
    let mut it = Replicas::start().await;
    let key = total(100);
    it.quotas[0].reserve(&key, picos(20)).await.unwrap().settle(picos(20));
    let in_flight = it.quotas[1].reserve(&key, picos(10)).await.unwrap();
    it.settled().await;
    it.stop().await;
    *it.ledger.spent.lock().unwrap() = 20;
    it.start_again().await;

    let next = it.quotas[0].reserve(&key, picos(70)).await.unwrap();
    assert_eq!(it.sums().await, (text(20), text(90)));
    in_flight.settle(picos(9));
    next.settle(picos(50));
    it.settled().await;
    assert_eq!(it.sums().await, (text(79), text(79)));
}

#[tokio::test]
async fn a_journal_that_is_replayed_counts_once() {
    let it = Replicas::start().await;
    let key = total(100);
    let [a, b] = it.both();
    let reservation = a.reserve(&key, picos(0)).await.unwrap();
    let first = reservation.id();
    reservation.settle(picos(0));
    let late = |id, used| Late {
        key_id: "k".into(),
        reservation: id,
        used: Usd::from_picos(used),
        at: Timestamp::now(),
        in_ledger_at: Timestamp::now(),
    };

    // Settled by the one that was killed, which its journal does not say.
    let settled = a.reserve(&key, picos(10)).await.unwrap();
    let known = late(settled.id(), 5);
    settled.settle(picos(5));
    it.settled().await;
    b.settle_late(&known);
    b.settle_late(&known);
    it.settled().await;
    assert_eq!(it.sums().await, (text(5), text(5)));

    // The first of all, which was made before Redis was told what the ledger says.
    let first = late(first, 5);
    b.settle_late(&first);
    it.settled().await;
    assert_eq!(it.sums().await, (text(5), text(5)));

    // Killed before.
    let killed = a.reserve(&key, picos(10)).await.unwrap();
    let unknown = late(killed.id(), 6);
    std::mem::forget(killed);
    b.settle_late(&unknown);
    b.settle_late(&unknown);
    it.settled().await;
    assert_eq!(it.sums().await, (text(11), text(11)));

    // Reserved while Redis was down.
    let elsewhere = late(unknown_to_redis(), 7);
    b.settle_late(&elsewhere);
    it.settled().await;
    a.settle_late(&elsewhere);
    it.settled().await;
    assert_eq!(it.sums().await, (text(18), text(18)));
}

#[tokio::test]
async fn what_a_killed_gateway_had_set_aside_comes_back_and_can_still_be_settled() {
    let it = Replicas::start().await;
    let key = total(100);
    let [a, b] = it.both();
    let killed = a.reserve(&key, picos(90)).await.unwrap();
    let id = killed.id();
    std::mem::forget(killed);
    b.reserve(&key, picos(20)).await.unwrap_err();
    // Two hours later.
    let _: () = it.query(&["ZADD", "gw:{k}:leases", "1", &id.to_string()]).await;
    b.reserve(&key, picos(20)).await.unwrap().settle(picos(20));
    b.settle_late(&Late {
        key_id: "k".into(),
        reservation: id,
        used: Usd::from_picos(60),
        at: Timestamp::now(),
        in_ledger_at: Timestamp::now(),
    });
    it.settled().await;
    assert_eq!(it.sums().await, (text(80), text(80)));
}

#[tokio::test]
async fn nothing_stays_in_redis_for_ever() {
    let it = Replicas::start().await;
    let key = key("k", |limits| {
        (limits.budget.day, limits.rpm, limits.tpm, limits.concurrency) = (Some(Usd::from_picos(100)), Some(10), Some(10), Some(10));
    });
    let _visit = it.quotas[0].enter(&key).await.unwrap();
    let _reservation = it.quotas[0].reserve(&key, Amount { tokens: 1, usd: Usd::from_picos(1) }).await.unwrap();
    it.quotas[0].settle_late(&Late {
        key_id: "k".into(),
        reservation: unknown_to_redis(),
        used: Usd::ZERO,
        at: Timestamp::now(),
        in_ledger_at: Timestamp::now(),
    });
    it.settled().await;
    let names: Vec<String> = it.query(&["KEYS", "*"]).await;
    assert_eq!(names.len(), 6, "{names:?}");
    for name in names {
        let ttl: i64 = it.query(&["PTTL", &name]).await;
        assert!(name.starts_with("gw:{k}:") && (1..=86_400_000).contains(&ttl), "{name} {ttl}");
    }
}

#[tokio::test]
async fn a_budget_that_is_taken_away_is_forgotten_in_redis_too() {
    let it = Replicas::start().await;
    it.quotas[0].reserve(&total(100), picos(10)).await.unwrap().settle(picos(10));
    it.settled().await;
    // By a gateway that has counted nothing of it.
    drop(it.quotas[1].enter(&key("k", |_| {})).await.unwrap());
    it.settled().await;
    *it.ledger.spent.lock().unwrap() = 60;
    it.quotas[0].reserve(&total(100), picos(41)).await.unwrap_err();
    drop(it.quotas[1].reserve(&total(100), picos(40)).await.unwrap());
}

#[tokio::test]
async fn with_redis_too_those_who_wait_for_the_ledger_share_its_failure() {
    let it = Replicas::start().await;
    let ledger = Arc::new(Ledger { is_broken: true, ..Ledger::default() });
    let quota = Quota::new(Some(it.redis[0].clone()), ledger.clone());
    let got = all(&[&quota], &total(100), 20, async |quota, key| quota.reserve(key, picos(1)).await).await;
    assert!(got.iter().all(Result::is_err));
    assert_eq!(ledger.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn in_redis_too_several_requests_enter_together_or_not_at_all() {
    let it = Replicas::start().await;
    let [a, b] = it.both();
    let key = key("k", |limits| (limits.rpm, limits.concurrency) = (Some(10), Some(4)));
    let three = a.enter_many(&key, 3).await.unwrap();
    assert_eq!(b.enter_many(&key, 2).await.unwrap_err().limit, Limit::Concurrency);
    let one = b.enter(&key).await.unwrap();
    let places: i64 = it.query(&["ZCARD", "gw:{k}:visits"]).await;
    assert_eq!(places, 4);
    drop((three, one));
    it.settled().await;
    drop(b.enter_many(&key, 4).await.unwrap());
    it.settled().await;
    assert_eq!(a.enter_many(&key, 4).await.unwrap_err().limit, Limit::Requests);
    drop(a.enter_many(&key, 2).await.unwrap());
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(usize, i64),
    Raise(usize, i64),
    Settle(usize, i64),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, 0..400_i64).prop_map(|(replica, picos)| Step::Reserve(replica, picos)),
        2 => (any::<usize>(), 0..600_i64).prop_map(|(which, to)| Step::Raise(which, to)),
        3 => (any::<usize>(), 0..=100_i64).prop_map(|(which, percent)| Step::Settle(which, percent)),
        1 => any::<usize>().prop_map(Step::Drop),
    ]
}

#[test]
fn in_redis_no_budget_is_ever_passed_and_what_is_spent_is_the_sum_of_what_was_settled() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let it = runtime.block_on(Replicas::start());
    let limit = 1000;
    let key = total(limit);
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..60))| {
        runtime.block_on(async {
            it.query::<()>(&["FLUSHALL"]).await;
            let mut open: Vec<Reservation> = Vec::new();
            let mut spent = 0;
            for step in steps {
                match step {
                    Step::Reserve(replica, amount) => open.extend(it.quotas[replica].reserve(&key, picos(amount)).await),
                    Step::Raise(which, to) if !open.is_empty() => {
                        let at = which % open.len();
                        let _ = open[at].raise(picos(to)).await;
                    }
                    Step::Settle(which, percent) if !open.is_empty() => {
                        let reservation = open.swap_remove(which % open.len());
                        let used = reservation.reserved().usd.picos() * percent / 100;
                        reservation.settle(picos(used));
                        spent += used;
                    }
                    Step::Drop(which) if !open.is_empty() => spent += open.swap_remove(which % open.len()).reserved().usd.picos(),
                    _ => {}
                }
                it.settled().await;
                let reserved: i64 = open.iter().map(|reservation| reservation.reserved().usd.picos()).sum();
                let known: i64 = it.query(&["EXISTS", "gw:{k}:money"]).await;
                if known == 1 {
                    assert_eq!(it.sums().await, (text(spent), text(spent + reserved)));
                }
                assert!(spent + reserved <= limit);
            }
            open.clear();
            it.settled().await;
        });
    });
}
