//! What gateway keys have used of what they may: requests and tokens per minute, requests at once, money.
//!
//! Owns: counting, reserving before a request is sent, settling after. Not here: which limits a key has (`access`), what a request costs (`price`), what becomes of one that is refused (`edge`).
//!
//! A budget is kept by reservation: the most that a request may cost is set aside before it is sent, in the day, the month and all of time at once, so what is spent and reserved together never
//! passes a limit. Settling puts what was used in its place, in the day in which it was set aside. A provider that bills more than the worst case is the only way past a limit; that is counted
//! in full, and warned of. What is spent at the start is read from the ledger (`Seeds`) when a key is first used; where there are many keys, one that was not used for an hour is forgotten, and read again.
//! A key whose budget is taken away spends uncounted, so what is spent is read again when it has one once more; requests that began in between and end after that are not in it.
//!
//! With Redis all gateways count as one. While it is down each goes on by itself, from what Redis last told it, and nothing is refused for it. Each gateway may then spend what it knew to be left:
//! together at most as many times that as there are gateways, and requests per minute and at once count by gateway. What was settled meanwhile is added when Redis is back, once for each reservation.
//! A Redis that has lost its data is told what the ledger says. What was reserved and not settled then, it does not know until it is settled, so a budget can be passed by that much, and a request
//! that ended in the last five seconds before may count twice, rather than not at all. What a killed gateway had reserved is given back after two hours, or settled before, when its journal is
//! replayed (`settle_late`).
//!
//! Whether a reservation was ever in Redis is in its id: of version 7 where it was, of version 4 where Redis was down. So it is known of a settlement that Redis knows nothing of whether it is the
//! second one, and no mark of each request has to be kept.

mod budget;
mod headers;
mod local;
mod refusal;
mod shared;
mod window;

#[cfg(test)]
mod tests;

pub use headers::{HeaderStyle, headers};

use crate::access::GatewayKey;
use crate::money::Usd;
use crate::shared::{Redis, RedisDown};
use budget::{Held, Short};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use local::{Counts, Now, Wanted};
use refusal::Refusal;
use shared::{Ask, Entered, Matter, Reserved, Settlement, Shared, Sums};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// A key that was not used for so long is forgotten.
const IDLE: Duration = Duration::from_secs(3600);
/// Below so many keys nobody looks.
const FEW: usize = 1024;
/// How long a refusal waits for settlements and ends of requests that are on their way to Redis, after which there may be enough.
const SETTLING: Duration = Duration::from_millis(250);
/// How often Redis is told to forget what a key has spent that has no budget.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// How long nobody asks the ledger for what a key has spent after it did not answer: who waited for that has waited enough.
const FAILURE_COUNTS: Duration = Duration::from_secs(1);

/// Tokens and money: what a request may use at most, or what it has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub tokens: u64,
    pub usd: Usd,
}

impl Amount {
    pub fn plus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), usd: self.usd + other.usd }
    }
}

/// What a key has spent in the present day and month (both of UTC), and at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    pub day: Usd,
    pub month: Usd,
    pub total: Usd,
}

/// Where what a key has spent is written down: the ledger.
pub trait Seeds: Send + Sync {
    /// What was spent with a key, as of now. What was settled more than five seconds ago is in it.
    ///
    /// # Errors
    /// When it can't be read. Then nothing is spent with the key.
    fn spent<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, anyhow::Result<Spent>>;
}

/// Which limit a key has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Requests,
    Tokens,
    Concurrency,
    Budget,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Exceeded {
    pub limit: Limit,
    /// Which limit, how much of it is left, how much was wanted, and when there is more.
    pub message: String,
    /// Absent: coming back does not help.
    pub retry_after: Option<Duration>,
}

/// How much is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub limit: u64,
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
}

/// How a key stands, for the headers of an answer. Absent: there is no such limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    pub requests: Option<Left>,
    pub tokens: Option<Left>,
    /// Of the narrowest budget: what is neither spent nor reserved, and when it begins anew, if it does.
    pub budget: Option<(Usd, Option<Duration>)>,
}

/// A request of a gateway that was killed, as its journal tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    pub key_id: Arc<str>,
    pub reservation: Uuid,
    pub used: Usd,
    /// When it began.
    pub at: Timestamp,
    /// Since when it is in the ledger.
    pub in_ledger_at: Timestamp,
}

/// What all keys have used.
pub struct Quota {
    backing: Arc<Backing>,
    holders: Mutex<Holders>,
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota").finish_non_exhaustive()
    }
}

/// A request that is being answered, or several. Dropped, they count no more among those at once.
#[derive(Debug, Default)]
#[must_use]
pub struct Visit {
    /// One for each. None: the key has no limit that they count against.
    _inside: Vec<Inside>,
}

/// What is set aside for a request. Dropped without being settled, all of it counts as used: what became of it is not known.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    id: Uuid,
    reserved: Amount,
    /// Absent: the key has no limit that it counts against.
    hold: Option<Hold>,
}

/// What stands behind this process's counts.
struct Backing {
    shared: Option<Shared>,
    seeds: Arc<dyn Seeds>,
}

#[derive(Debug, Default)]
struct Holders {
    by_key: HashMap<Arc<str>, Arc<Holder>>,
    /// With how many of them the idle ones are looked for.
    look_at: usize,
}

/// A key's counts.
#[derive(Debug)]
struct Holder {
    key_id: Arc<str>,
    counts: Mutex<Counts>,
    /// Held by the one that asks the ledger. When that last failed.
    seeding: tokio::sync::Mutex<Option<Instant>>,
    /// How many messages to Redis are on their way.
    unsent: watch::Sender<usize>,
}

#[derive(Debug)]
struct Inside {
    holder: Arc<Holder>,
    /// By which Redis knows it.
    shared: Option<(Arc<Backing>, Uuid)>,
}

#[derive(Debug, Clone)]
struct Hold {
    key: Arc<GatewayKey>,
    holder: Arc<Holder>,
    backing: Arc<Backing>,
    began: Timestamp,
    /// Absent: nothing of money yet, or no budget.
    money: Option<Held>,
}

/// For keys that nobody has used before.
struct NothingSpent;

impl Quota {
    /// With Redis it needs the runtime, for a task of its own.
    pub fn new(redis: Option<Redis>, seeds: Arc<dyn Seeds>) -> Self {
        let backing = Arc::new(Backing { shared: redis.map(Shared::start), seeds });
        Self { backing, holders: Mutex::default() }
    }

    /// Takes a request in: one more of this minute, and of those at once.
    ///
    /// # Errors
    /// When the key has no more of either.
    pub async fn enter(&self, key: &Arc<GatewayKey>) -> Result<Visit, Exceeded> {
        self.enter_many(key, 1).await
    }

    /// Takes several requests in, all or none.
    ///
    /// # Errors
    /// When the key has not as many more of either.
    pub async fn enter_many(&self, key: &Arc<GatewayKey>, count: u32) -> Result<Visit, Exceeded> {
        let limits = &key.limits;
        let now = Now::read();
        if !limits.budget.is_limited() {
            self.forget_money(&key.id, now.instant);
        }
        if count == 0 || limits.rpm.is_none() && limits.concurrency.is_none() {
            return Ok(Visit::default());
        }
        let holder = self.holder(&key.id, now.instant);
        if let Some(shared) = &self.backing.shared
            && let Ok(entered) = self.enter_shared(shared, key, count, &holder).await
        {
            return entered.map_err(|refusal| refusal.tell(key, now.wall));
        }
        holder.counts().enter(limits, count, now.instant).map_err(|refusal| refusal.tell(key, now.wall))?;
        Ok(Visit { _inside: (0..count).map(|_| Inside { holder: Arc::clone(&holder), shared: None }).collect() })
    }

    async fn enter_shared(
        &self,
        shared: &Shared,
        key: &GatewayKey,
        count: u32,
        holder: &Arc<Holder>,
    ) -> Result<Result<Visit, Refusal>, RedisDown> {
        let limits = &key.limits;
        let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
        // Before Redis has answered, for who gives up waiting may be in.
        holder.counts().begin(count);
        let known_as = |id: &Uuid| limits.concurrency.map(|_| (Arc::clone(&self.backing), *id));
        let mut inside: Vec<Inside> = ids.iter().map(|id| Inside { holder: Arc::clone(holder), shared: known_as(id) }).collect();
        let is_behind = holder.has_unsent();
        let mut entered = shared.enter(&key.id, &ids, limits).await?;
        if entered == Entered::NoConcurrency && is_behind {
            holder.told_all().await;
            entered = shared.enter(&key.id, &ids, limits).await?;
        }
        let refusal = match entered {
            Entered::Yes(requests) => {
                holder.counts().mirror_requests(requests, Instant::now());
                return Ok(Ok(Visit { _inside: inside }));
            }
            Entered::NoRequests(requests) => {
                let now = Instant::now();
                let mut counts = holder.counts();
                counts.mirror_requests(requests, now);
                counts.refusal_of_requests(limits.rpm.unwrap_or(0), count, now)
            }
            Entered::NoConcurrency => Refusal::Concurrency { limit: limits.concurrency.unwrap_or(0), wanted: count },
        };
        inside.iter_mut().for_each(|inside| inside.shared = None);
        Ok(Err(refusal))
    }

    /// Sets aside what a request may use at most.
    ///
    /// # Errors
    /// When that is more than is left.
    pub async fn reserve(&self, key: &Arc<GatewayKey>, amount: Amount) -> Result<Reservation, Exceeded> {
        if !key.limits.budget.is_limited() && key.limits.tpm.is_none() {
            return Ok(Reservation { id: Uuid::now_v7(), reserved: amount, hold: None });
        }
        let now = Now::read();
        let hold = Hold {
            key: Arc::clone(key),
            holder: self.holder(&key.id, now.instant),
            backing: Arc::clone(&self.backing),
            began: now.wall,
            money: None,
        };
        let wanted = Wanted { from: Amount::default(), to: amount };
        let mut reservation = Reservation { id: Uuid::now_v7(), reserved: Amount::default(), hold: Some(hold.clone()) };
        if let Some(shared) = &self.backing.shared {
            let id = reservation.id;
            if let Some(hold) = &mut reservation.hold
                && let Ok(reserved) = hold.raise_shared(shared, id, wanted).await
            {
                return reservation.made(reserved, amount, key);
            }
            // The one before is dropped, which gives back what Redis may have set aside before it failed.
            reservation = Reservation { id: unknown_to_redis(), reserved: Amount::default(), hold: Some(hold) };
        }
        let reserved = match &mut reservation.hold {
            Some(hold) => hold.raise_locally(wanted).await,
            None => Ok(()),
        };
        reservation.made(reserved, amount, key)
    }

    /// Counts a request of a killed gateway, if nobody has yet.
    pub fn settle_late(&self, late: &Late) {
        // This process alone begins with what the ledger says, which can't be read before all of these are in it.
        let Some(shared) = &self.backing.shared else { return };
        let holder = self.holder(&late.key_id, Instant::now());
        let settlement = Settlement {
            id: late.reservation,
            settled_at: late.in_ledger_at,
            picos: Some(late.used.picos()),
            numbers: budget::numbers(late.at),
            more_tokens: 0,
            tpm: None,
        };
        shared.send(&holder, Matter::Settle(settlement));
    }

    /// How a key stands now, by what this process knows.
    pub fn standing(&self, key: &GatewayKey) -> Standing {
        let holder = self.holders().by_key.get(&key.id).cloned();
        let now = Now::read();
        match holder {
            Some(holder) => holder.counts().standing(&key.limits, now),
            None => Counts::new(now.instant).standing(&key.limits, now),
        }
    }

    /// How many settlements and ends of requests wait for Redis.
    pub fn unsent(&self) -> usize {
        self.backing.shared.as_ref().map_or(0, Shared::unsent)
    }

    /// Waits until Redis has been told everything, or no longer than that. For when the gateway stops: what Redis was not told is given back after two hours, as if it had not been used.
    pub async fn flush(&self, patience: Duration) {
        if let Some(shared) = &self.backing.shared
            && timeout(patience, shared.all_sent()).await.is_err()
        {
            tracing::warn!(
                unsent = shared.unsent(),
                "Redis was not told what was spent last; budgets that are shared lack it until they are read from the ledger again"
            );
        }
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self, key_id: &Arc<str>, now: Instant) -> Arc<Holder> {
        let mut holders = self.holders();
        if let Some(holder) = holders.by_key.get(key_id) {
            holder.counts().touched = now;
            return Arc::clone(holder);
        }
        holders.forget_idle(now);
        let holder = Arc::new(Holder {
            key_id: Arc::clone(key_id),
            counts: Mutex::new(Counts::new(now)),
            seeding: tokio::sync::Mutex::default(),
            unsent: watch::Sender::new(0),
        });
        holders.by_key.insert(Arc::clone(key_id), Arc::clone(&holder));
        holder
    }

    /// A key without a budget spends uncounted, so what was counted before is wrong by the time it has one again.
    fn forget_money(&self, key_id: &Arc<str>, now: Instant) {
        let Some(shared) = &self.backing.shared else {
            let holder = self.holders().by_key.get(key_id).cloned();
            holder.map(|holder| holder.counts().forget_money(None, now));
            return;
        };
        // Also where this process has counted nothing: another may have.
        let holder = self.holder(key_id, now);
        // While Redis is down one waits to be told, and that is enough.
        let is_due = holder.counts().forget_money(shared.is_up().then_some(FORGET_EVERY), now);
        if is_due {
            shared.send(&holder, Matter::Forget);
        }
    }
}

impl Holders {
    /// Keys are as many as operators make; those that they made long ago need no room.
    fn forget_idle(&mut self, now: Instant) {
        if self.by_key.len() < self.look_at.max(FEW) {
            return;
        }
        // Nobody else has it: no request is on its way. Nobody gets it meanwhile, for that takes the lock that is held here.
        self.by_key.retain(|_, holder| Arc::strong_count(holder) > 1 || now.saturating_duration_since(holder.counts().touched) < IDLE);
        self.look_at = self.by_key.len().saturating_mul(2);
    }
}

impl Holder {
    /// Not to be held across an await.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over how things stand in Redis.
    fn mirror(&self, sums: &Sums) {
        let mut counts = self.counts();
        if let Some(tokens) = sums.tokens {
            counts.mirror_tokens(tokens, Instant::now());
        }
        if let Some(money) = &sums.money {
            counts.mirror_money(money);
        }
    }

    fn has_unsent(&self) -> bool {
        *self.unsent.borrow() > 0
    }

    /// Waits a little until Redis was told all that this process knows of the key.
    async fn told_all(&self) {
        let _ = timeout(SETTLING, self.unsent.subscribe().wait_for(|count| *count == 0)).await;
    }

    /// Reads from the ledger what is spent, if that is not known.
    async fn seed(&self, seeds: &dyn Seeds) -> Result<(), Refusal> {
        if self.counts().knows_spent() {
            return Ok(());
        }
        let mut turn = self.seeding.lock().await;
        if !self.counts().knows_spent() {
            // The time before it was read: a day that ends meanwhile is over, and not begun with what was spent in it.
            let now = Timestamp::now();
            let spent = self.ask(seeds, &mut turn).await?;
            self.counts().seed(spent, now);
        }
        Ok(())
    }

    /// `failed`: when it last did, under the lock of those who ask.
    async fn ask(&self, seeds: &dyn Seeds, failed: &mut Option<Instant>) -> Result<Spent, Refusal> {
        if failed.is_some_and(|at| at.elapsed() < FAILURE_COUNTS) {
            return Err(Refusal::Unknown);
        }
        seeds.spent(&self.key_id).await.map_err(|error| {
            *failed = Some(Instant::now());
            tracing::warn!(
                key = &*self.key_id,
                "what the gateway key has spent can't be read from the ledger, so it spends nothing: {error:#}"
            );
            Refusal::Unknown
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.holder.counts().end();
        if let Some((backing, visit)) = &self.shared
            && let Some(shared) = &backing.shared
        {
            shared.leave(&self.holder, *visit);
        }
    }
}

impl Reservation {
    /// By which other processes know it.
    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn reserved(&self) -> Amount {
        self.reserved
    }

    /// Sets more aside, so that it is this in all. Less is left as it is.
    ///
    /// # Errors
    /// When the rest is more than is left; what was set aside stays so.
    pub async fn raise(&mut self, to: Amount) -> Result<(), Exceeded> {
        let to = Amount { tokens: to.tokens.max(self.reserved.tokens), usd: to.usd.max(self.reserved.usd) };
        if to == self.reserved {
            return Ok(());
        }
        if let Some(hold) = &mut self.hold {
            let wanted = Wanted { from: self.reserved, to };
            hold.raise(self.id, wanted).await.map_err(|refusal| refusal.tell(&hold.key, Timestamp::now()))?;
        }
        self.reserved = to;
        Ok(())
    }

    /// Counts what was used, and gives the rest back.
    pub fn settle(mut self, used: Amount) {
        if let Some(hold) = self.hold.take() {
            hold.settle(self.id, self.reserved, used);
        }
    }

    /// Now that an answer is there. What was refused is not there to be settled.
    fn made(mut self, answer: Result<(), Refusal>, amount: Amount, key: &GatewayKey) -> Result<Self, Exceeded> {
        match answer {
            Ok(()) => {
                self.reserved = amount;
                Ok(self)
            }
            Err(refusal) => {
                self.hold = None;
                Err(refusal.tell(key, Timestamp::now()))
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            hold.settle(self.id, self.reserved, self.reserved);
        }
    }
}

impl Hold {
    async fn raise(&mut self, id: Uuid, wanted: Wanted) -> Result<(), Refusal> {
        let backing = Arc::clone(&self.backing);
        if let Some(shared) = backing.shared.as_ref().filter(|_| is_known_to_redis(id))
            && let Ok(raised) = self.raise_shared(shared, id, wanted).await
        {
            return raised;
        }
        self.raise_locally(wanted).await
    }

    async fn raise_locally(&mut self, wanted: Wanted) -> Result<(), Refusal> {
        let limits = &self.key.limits;
        if limits.budget.is_limited() {
            self.holder.seed(&*self.backing.seeds).await?;
        }
        self.holder.counts().reserve(limits, wanted, &mut self.money, Now::read())
    }

    async fn raise_shared(&mut self, shared: &Shared, id: Uuid, wanted: Wanted) -> Result<Result<(), Refusal>, RedisDown> {
        let limits = &self.key.limits;
        let numbers = self.money.map_or_else(|| budget::numbers(self.began), |held| held.numbers);
        let ask = Ask { id, limits, wanted, numbers };
        let mut seed = None;
        let mut turn: Option<tokio::sync::MutexGuard<'_, Option<Instant>>> = None;
        let mut may_wait = true;
        let answer = loop {
            // Before it is asked: when it answers, it may have been told.
            let is_behind = may_wait && self.holder.has_unsent();
            match shared.reserve(&self.key.id, &ask, seed).await? {
                Reserved::Unseeded if seed.is_none() => match &mut turn {
                    // Somebody else may be asking the ledger.
                    None => turn = Some(self.holder.seeding.lock().await),
                    Some(turn) => match self.holder.ask(&*self.backing.seeds, turn).await {
                        Ok(Spent { day, month, total }) => seed = Some([day, month, total].map(Usd::picos)),
                        Err(refusal) => return Ok(Err(refusal)),
                    },
                },
                Reserved::NoMoney(..) | Reserved::NoTokens(_) if is_behind => {
                    may_wait = false;
                    self.holder.told_all().await;
                }
                answer => break answer,
            }
        };
        match answer {
            Reserved::Yes(sums) => {
                let mut counts = self.holder.counts();
                if let Some(money) = &sums.money {
                    counts.join_money(wanted, &mut self.money, money);
                }
                drop(counts);
                self.holder.mirror(&sums);
                Ok(Ok(()))
            }
            Reserved::NoTokens(sums) => {
                self.holder.mirror(&sums);
                Ok(Err(self.holder.counts().refusal_of_tokens(limits.tpm.unwrap_or(0), wanted, Instant::now())))
            }
            Reserved::NoMoney(span, sums) => {
                self.holder.mirror(&sums);
                let short = sums.money.map(|money| Short::told(span, &limits.budget, &money, wanted.more_picos()));
                short.map(|short| Err(Refusal::Budget(short))).ok_or_else(|| RedisDown("a script told no sums".to_owned()))
            }
            Reserved::Unseeded => Err(RedisDown("it forgets what it is told".to_owned())),
        }
    }

    fn settle(self, id: Uuid, reserved: Amount, used: Amount) {
        let limits = &self.key.limits;
        let is_limited = limits.budget.is_limited();
        if is_limited && used.usd > reserved.usd {
            tracing::warn!(key = &*self.key.id, reserved = %reserved.usd, used = %used.usd, "a request cost more than the most that it was to cost; all of it counts");
        }
        self.holder.counts().settle(limits, reserved, self.money, used, Instant::now());
        let Some(shared) = &self.backing.shared else { return };
        // What was reserved while Redis was down, it has not counted.
        let counted = if is_known_to_redis(id) { reserved.tokens } else { 0 };
        let settlement = Settlement {
            id,
            settled_at: Timestamp::now(),
            picos: is_limited.then(|| used.usd.picos()),
            numbers: self.money.map_or_else(|| budget::numbers(self.began), |held| held.numbers),
            more_tokens: difference(used.tokens, counted),
            tpm: limits.tpm,
        };
        if is_limited || settlement.more_tokens != 0 {
            shared.send(&self.holder, Matter::Settle(settlement));
        }
    }
}

impl Default for Quota {
    /// For this process alone, and for keys that have spent nothing.
    fn default() -> Self {
        Self::new(None, Arc::new(NothingSpent))
    }
}

impl Seeds for NothingSpent {
    fn spent<'a>(&'a self, _key_id: &'a str) -> BoxFuture<'a, anyhow::Result<Spent>> {
        std::future::ready(Ok(Spent::default())).boxed()
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backing").field("shared", &self.shared).finish_non_exhaustive()
    }
}

fn unknown_to_redis() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

fn is_known_to_redis(id: Uuid) -> bool {
    id.get_version_num() == 7
}

/// How much more the first is than the second.
fn difference(a: u64, b: u64) -> i64 {
    let [a, b] = [a, b].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    a.saturating_sub(b)
}
