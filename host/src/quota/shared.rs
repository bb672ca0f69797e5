//! The same counts in Redis, for several gateways.
//!
//! Owns: the scripts (each is atomic, and one round trip), what they are given and answer, and what is sent afterwards: settlements and requests that have ended, which nobody waits for, and
//! which wait themselves while Redis is down. Not here: when Redis is asked, and what is done where it does not answer (`mod`).
//!
//! Every name of a key begins with `gw:{<gateway key>}:`, so that a gateway key's data lies together. Nothing of it stays for ever.

use super::Holder;
use super::budget::{Numbers, Span, Told, limits};
use super::local::Wanted;
use crate::access::{Budget, KeyLimits};
use crate::metrics;
use crate::shared::{Redis, RedisDown};
use futures_util::future::join_all;
use jiff::Timestamp;
use redis::{FromRedisValue, Script, ScriptInvocation};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

/// After which a killed gateway's requests count no more among those at once. A living one renews it.
const VISIT_LEASE: Duration = Duration::from_secs(60);
const RENEWED_EVERY: Duration = Duration::from_secs(20);
/// After which what a killed gateway had set aside is given back.
const MONEY_LEASE: Duration = Duration::from_secs(2 * 3600);
/// A key's money is forgotten when it was not used for so long, and read from the ledger when it is used again. No lease may be longer.
const KEPT: Duration = Duration::from_secs(2 * 3600 + 600);
/// By then a request that was settled is in the ledger.
const LEDGER_DELAY: Duration = Duration::from_secs(5);
/// What was used of a minute's tokens is told within that, or not at all: after an outage they would hold up the minutes that follow.
const TOKENS_COUNT: Duration = Duration::from_secs(5);

/// Settlements and ends of requests that wait for Redis. Beyond it they are lost to Redis, and said to be: the ledger has the money, and the leases run out.
const OUTBOX: usize = 65_536;
/// How many of them are on their way at once.
const BATCH: usize = 64;
/// How many scripts are that requests wait for. More wait here, where Redis's time to answer does not count yet: a burst of requests is no outage of Redis.
const AT_ONCE: usize = 64;
/// After one that did not go.
const PAUSE: Duration = Duration::from_millis(250);

static ENTER: LazyLock<Script> = LazyLock::new(|| script(include_str!("lua/enter.lua")));
static RESERVE: LazyLock<Script> = LazyLock::new(|| script(include_str!("lua/reserve.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| script(include_str!("lua/renew.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| script(include_str!("lua/settle.lua")));

#[derive(Debug)]
pub(super) struct Shared {
    redis: Redis,
    turns: Semaphore,
    visits: Arc<Visits>,
    outbox: mpsc::Sender<Message>,
    unsent: watch::Sender<usize>,
}

/// The requests that this process is answering, with the gateway key of each: no more than there are requests.
#[derive(Debug, Default)]
struct Visits(Mutex<HashMap<Uuid, Arc<str>>>);

/// What is sent afterwards.
#[derive(Debug)]
pub(super) enum Matter {
    Leave(Uuid),
    Settle(Settlement),
    /// The key has no budget any more.
    Forget,
}

#[derive(Debug)]
struct Message {
    holder: Arc<Holder>,
    matter: Matter,
}

#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) id: Uuid,
    pub(super) settled_at: Timestamp,
    /// Absent: money was not limited.
    pub(super) picos: Option<i64>,
    /// The day and the month that it counts in, where Redis does not know.
    pub(super) numbers: Numbers,
    /// More than were set aside.
    pub(super) more_tokens: i64,
    pub(super) tpm: Option<u64>,
}

/// How a script answered that lets requests in. With the requests of this minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Entered {
    Yes(f64),
    NoRequests(f64),
    NoConcurrency,
}

/// What is to be set aside, for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) id: Uuid,
    pub(super) limits: &'a KeyLimits,
    pub(super) wanted: Wanted,
    pub(super) numbers: Numbers,
}

/// How a script answered that sets aside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reserved {
    Yes(Sums),
    NoTokens(Sums),
    NoMoney(Span, Sums),
    /// What is spent has to be read from the ledger first.
    Unseeded,
}

/// How a key stands in Redis. Absent: it has no such limit, or was not looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    /// Of this minute.
    pub(super) tokens: Option<f64>,
    pub(super) money: Option<[Told; 3]>,
}

/// What became of a message.
enum Sent {
    Done,
    /// Once more, later.
    NotYet,
}

impl Shared {
    /// Begins the tasks that send and renew. They end when this was dropped and all is sent, or Redis is down then.
    pub(super) fn start(redis: Redis) -> Self {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let unsent = watch::Sender::new(0);
        let visits = Arc::<Visits>::default();
        tokio::spawn(send_all(redis.clone(), messages, unsent.clone()));
        tokio::spawn(renew_all(redis.clone(), Arc::downgrade(&visits)));
        Self { redis, turns: Semaphore::new(AT_ONCE), visits, outbox, unsent }
    }

    pub(super) async fn enter(&self, key_id: &str, visits: &[Uuid], limits: &KeyLimits) -> Result<Entered, RedisDown> {
        let mut call = ENTER.prepare_invoke();
        call.key(name(key_id, "rpm")).key(name(key_id, "visits"));
        call.arg(optional(limits.rpm)).arg(optional(limits.concurrency)).arg(millis(VISIT_LEASE));
        for visit in visits {
            call.arg(visit.to_string());
        }
        let (verdict, requests): (String, f64) = self.invoke(&call).await?;
        match verdict.as_str() {
            "ok" => {
                if limits.concurrency.is_some() {
                    let key_id: Arc<str> = key_id.into();
                    self.visits.lock().extend(visits.iter().map(|visit| (*visit, Arc::clone(&key_id))));
                }
                Ok(Entered::Yes(requests))
            }
            "requests" => Ok(Entered::NoRequests(requests)),
            "concurrency" => Ok(Entered::NoConcurrency),
            other => Err(unexpected(other)),
        }
    }

    pub(super) fn leave(&self, holder: &Arc<Holder>, visit: Uuid) {
        self.visits.lock().remove(&visit);
        self.send(holder, Matter::Leave(visit));
    }

    /// `seed`: what is spent of day, month and all, in picodollars, where Redis has said that it does not know.
    pub(super) async fn reserve(&self, key_id: &str, ask: &Ask<'_>, seed: Option<[i64; 3]>) -> Result<Reserved, RedisDown> {
        let Ask { id, limits: KeyLimits { tpm, budget, .. }, wanted, numbers: [day, month, _] } = *ask;
        let mut call = RESERVE.prepare_invoke();
        call.key(name(key_id, "tpm")).key(name(key_id, "money")).key(name(key_id, "leases"));
        call.arg(id.to_string()).arg(wanted.more_tokens()).arg(optional(*tpm)).arg(optional(picos(budget, wanted)));
        for limit in limits(budget) {
            call.arg(optional(limit));
        }
        call.arg(day).arg(month).arg(millis(MONEY_LEASE)).arg(millis(KEPT));
        for spent in seed.map_or([None; 3], |spent| spent.map(Some)) {
            call.arg(optional(spent));
        }
        let answer: Vec<String> = self.invoke(&call).await?;
        let verdict = answer.first().map_or("", String::as_str);
        match verdict {
            "ok" => Ok(Reserved::Yes(sums(&answer)?)),
            "tokens" => Ok(Reserved::NoTokens(sums(&answer)?)),
            "d" => Ok(Reserved::NoMoney(Span::Day, sums(&answer)?)),
            "m" => Ok(Reserved::NoMoney(Span::Month, sums(&answer)?)),
            "t" => Ok(Reserved::NoMoney(Span::Total, sums(&answer)?)),
            "unseeded" => Ok(Reserved::Unseeded),
            other => Err(unexpected(other)),
        }
    }

    async fn invoke<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, RedisDown> {
        // Never closed.
        let _turn = self.turns.acquire().await;
        self.redis.invoke(call).await
    }

    #[cfg(test)]
    pub(super) async fn renew(&self) -> Result<(), RedisDown> {
        self.visits.renew(&self.redis).await
    }

    /// Sends a message when Redis can be asked. Never waits.
    pub(super) fn send(&self, holder: &Arc<Holder>, matter: Matter) {
        self.unsent.send_modify(|count| *count += 1);
        holder.unsent.send_modify(|count| *count += 1);
        if self.outbox.try_send(Message { holder: Arc::clone(holder), matter }).is_err() {
            sent(holder, &self.unsent);
            metrics::settlement_lost();
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::error!(
                    "{OUTBOX} messages wait for Redis, and no more are kept: budgets that are shared lack what they would have said"
                )
            });
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.redis.is_up()
    }

    pub(super) fn unsent(&self) -> usize {
        *self.unsent.borrow()
    }

    /// Waits until all is sent.
    pub(super) async fn all_sent(&self) {
        // It can't fail: the sender is here.
        let _ = self.unsent.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Visits {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self, redis: &Redis) -> Result<(), RedisDown> {
        let mut by_key: HashMap<Arc<str>, Vec<String>> = HashMap::new();
        for (visit, key_id) in self.lock().iter() {
            by_key.entry(Arc::clone(key_id)).or_default().push(visit.to_string());
        }
        for (key_id, visits) in by_key {
            let mut call = RENEW.prepare_invoke();
            call.key(name(&key_id, "visits")).arg(millis(VISIT_LEASE)).arg(visits);
            redis.invoke::<()>(&call).await?;
        }
        Ok(())
    }
}

impl Matter {
    async fn send(&self, redis: &Redis, holder: &Holder) -> Result<Sent, RedisDown> {
        let key_id = &*holder.key_id;
        match self {
            Self::Leave(visit) => redis.query::<()>(redis::cmd("ZREM").arg(name(key_id, "visits")).arg(visit.to_string())).await?,
            Self::Forget => redis.query::<()>(redis::cmd("DEL").arg(name(key_id, "money")).arg(name(key_id, "leases"))).await?,
            Self::Settle(settlement) => return settlement.send(redis, holder).await,
        }
        Ok(Sent::Done)
    }

    /// Whether it may be done twice, which can't be told from not at all where Redis did not answer.
    fn is_repeatable(&self) -> bool {
        match self {
            Self::Leave(_) | Self::Forget => true,
            // A minute's tokens are not worth it.
            Self::Settle(settlement) => settlement.picos.is_some(),
        }
    }
}

impl Settlement {
    async fn send(&self, redis: &Redis, holder: &Holder) -> Result<Sent, RedisDown> {
        let age = Timestamp::now().duration_since(self.settled_at).unsigned_abs();
        let [day, month, _] = self.numbers;
        let key_id = &*holder.key_id;
        let mut call = SETTLE.prepare_invoke();
        call.key(name(key_id, "tpm"))
            .key(name(key_id, "money"))
            .key(name(key_id, "leases"))
            .key(name(key_id, &format!("settled:{}", self.id)));
        call.arg(self.id.to_string()).arg(optional(made_in_redis(self.id))).arg(self.settled_at.as_millisecond());
        call.arg(optional(self.picos)).arg(day).arg(month).arg(self.more_tokens).arg(optional(self.tpm.filter(|_| age < TOKENS_COUNT)));
        call.arg(millis(LEDGER_DELAY)).arg(millis(KEPT));
        let answer: Vec<String> = redis.invoke(&call).await?;
        if answer.first().is_some_and(|verdict| verdict == "unseeded") {
            // When Redis is told what the ledger says, this may be missing there, or not. Later on it is not.
            let missing = self.picos != Some(0) && age < LEDGER_DELAY;
            return Ok(if missing { Sent::NotYet } else { Sent::Done });
        }
        holder.mirror(&sums(&answer)?);
        Ok(Sent::Done)
    }
}

/// Sends messages, in no order within a batch: they don't depend on one another.
async fn send_all(redis: Redis, mut messages: mpsc::Receiver<Message>, unsent: watch::Sender<usize>) {
    let mut batch: Vec<Message> = Vec::with_capacity(BATCH);
    loop {
        if batch.is_empty() {
            if messages.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
        } else {
            tokio::time::sleep(PAUSE).await;
            while batch.len() < 2 * BATCH
                && let Ok(message) = messages.try_recv()
            {
                batch.push(message);
            }
        }
        let outcomes = join_all(batch.iter().map(|message| message.matter.send(&redis, &message.holder))).await;
        let mut is_down = false;
        let mut outcomes = outcomes.into_iter();
        batch.retain(|message| {
            let again = match outcomes.next() {
                Some(Ok(Sent::NotYet)) => true,
                Some(Err(_)) => {
                    is_down = true;
                    message.matter.is_repeatable()
                }
                Some(Ok(Sent::Done)) | None => false,
            };
            if !again {
                sent(&message.holder, &unsent);
            }
            again
        });
        if is_down && messages.is_closed() {
            return;
        }
    }
}

async fn renew_all(redis: Redis, visits: Weak<Visits>) {
    let mut ticks = tokio::time::interval(RENEWED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(visits) = visits.upgrade() else { return };
        // While Redis is down there is nothing to renew.
        let _ = visits.renew(&redis).await;
    }
}

fn sent(holder: &Holder, unsent: &watch::Sender<usize>) {
    holder.unsent.send_modify(|count| *count = count.saturating_sub(1));
    unsent.send_modify(|count| *count = count.saturating_sub(1));
}

/// When, in milliseconds of Unix time. Absent: Redis was down.
fn made_in_redis(id: Uuid) -> Option<u64> {
    let (seconds, nanos) = id.get_timestamp().filter(|_| super::is_known_to_redis(id))?.to_unix();
    Some(seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000)))
}

fn script(code: &str) -> Script {
    Script::new(&format!("{}{code}", include_str!("lua/common.lua")))
}

fn name(key_id: &str, what: &str) -> String {
    format!("gw:{{{key_id}}}:{what}")
}

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn picos(budget: &Budget, wanted: Wanted) -> Option<i64> {
    budget.is_limited().then(|| wanted.to.usd.picos())
}

/// Of an answer: verdict, tokens, then number, spent and committed of each span.
fn sums(answer: &[String]) -> Result<Sums, RedisDown> {
    let whole = |text: &String| text.parse::<i64>().map_err(|_| unexpected(text));
    let told = |texts: &[String]| match texts {
        [number, spent, committed] => Ok(Told { number: whole(number)?, spent: whole(spent)?, committed: whole(committed)? }),
        _ => Err(unexpected("too few sums")),
    };
    let tokens = answer.get(1).and_then(|tokens| tokens.parse().ok());
    let money = match answer.get(2..) {
        Some(rest) if rest.len() == 9 => Some([told(&rest[..3])?, told(&rest[3..6])?, told(&rest[6..])?]),
        _ => None,
    };
    Ok(Sums { tokens, money })
}

fn unexpected(answer: &str) -> RedisDown {
    RedisDown(format!("a script of the gateway answered `{answer}`; is the data of another program under `gw:`?"))
}
