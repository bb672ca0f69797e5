//! Where answers are kept: in this process, and where there is one, in the Redis that several gateways share.
//!
//! Owns: for how long they are kept, how much of them there is. Not here: which answers, and who is given them.
//!
//! An answer is looked for in Redis when it is not here, and then kept here no longer than there. It is written there off the way of the request that it answers. What Redis does not do,
//! or gives back wrong, is a miss. One that is asked for anew replaces what Redis has; what other gateways have of the old one is given until its time is over.

use super::{Fingerprint, Kept, KeptAnswer, wire};
use crate::contract::{ChatResponse, Part};
use crate::shared::Redis;
use jiff::Timestamp;
use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use redis::Script;
use std::io;
use std::mem::size_of;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// One answer takes no more of the memory than this part of it.
const LARGEST_PART: u64 = 16;
/// What is larger is not worth the way to Redis.
const LARGEST_SHARED: usize = 1 << 20;
/// Answers on their way to Redis. More are not written.
const WRITES: usize = 32;
/// An answer and for how long it is still to be kept, in one step.
const FETCH: &str = "
local size = redis.call('STRLEN', KEYS[1])
if size == 0 or size > tonumber(ARGV[1]) then return false end
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}";

pub(super) struct Store {
    local: Cache<Fingerprint, Entry>,
    /// Bytes of the largest answer that is kept.
    largest: u64,
    shared: Option<SharedStore>,
}

struct SharedStore {
    redis: Redis,
    fetch: Script,
    writes: Arc<Semaphore>,
}

#[derive(Clone)]
struct Entry {
    kept: Arc<Kept>,
    ttl: Duration,
    expires_at: Timestamp,
    bytes: u32,
}

/// An entry's own time. (`Store::get` goes by the clock on the wall besides.)
struct Ttl;

impl Expiry<Fingerprint, Entry> for Ttl {
    fn expire_after_create(&self, _: &Fingerprint, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(&self, _: &Fingerprint, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.ttl)
    }
}

impl Store {
    pub(super) fn new(max_bytes: u64, redis: Option<Redis>) -> Self {
        // By least use, for then an answer that was just kept is there.
        let local = Cache::builder().eviction_policy(EvictionPolicy::lru()).max_capacity(max_bytes);
        let local = local.weigher(|_, entry: &Entry| entry.bytes).expire_after(Ttl).build();
        let shared = redis.map(|redis| SharedStore { redis, fetch: Script::new(FETCH), writes: Arc::new(Semaphore::new(WRITES)) });
        Self { local, largest: max_bytes / LARGEST_PART, shared }
    }

    /// In this process.
    pub(super) fn get(&self, fingerprint: Fingerprint, now: Timestamp) -> Option<Arc<Kept>> {
        self.local.get(&fingerprint).filter(|entry| now < entry.expires_at).map(|entry| entry.kept)
    }

    /// Here or in Redis.
    pub(super) async fn fetch(&self, fingerprint: Fingerprint) -> Option<Arc<Kept>> {
        if let Some(kept) = self.get(fingerprint, Timestamp::now()) {
            return Some(kept);
        }
        let (kept, ttl) = self.shared.as_ref()?.fetch(fingerprint).await?;
        let kept = Arc::new(kept);
        self.put_local(fingerprint, &kept, ttl);
        Some(kept)
    }

    /// One that is too large is not kept. Redis is written to later, if it can be.
    pub(super) fn put(&self, fingerprint: Fingerprint, kept: &Arc<Kept>, ttl: Duration) {
        if self.put_local(fingerprint, kept, ttl)
            && let Some(shared) = &self.shared
        {
            shared.put(fingerprint, Arc::clone(kept), ttl);
        }
    }

    pub(super) fn largest(&self) -> u64 {
        self.largest
    }

    pub(super) fn entries(&self) -> u64 {
        self.local.entry_count()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.local.weighted_size()
    }

    /// Whether it is not too large.
    fn put_local(&self, fingerprint: Fingerprint, kept: &Arc<Kept>, ttl: Duration) -> bool {
        let bytes = size(kept);
        if bytes as u64 > self.largest {
            return false;
        }
        let expires_at = Timestamp::now().checked_add(ttl).unwrap_or(Timestamp::MAX);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.local.insert(fingerprint, Entry { kept: Arc::clone(kept), ttl, expires_at, bytes });
        true
    }
}

impl SharedStore {
    /// With the time for which it is still kept there.
    async fn fetch(&self, fingerprint: Fingerprint) -> Option<(Kept, Duration)> {
        let mut fetch = self.fetch.key(fingerprint.key());
        let found: Option<(Vec<u8>, i64)> = self.redis.invoke_soon(fetch.arg(LARGEST_SHARED)).await.ok()?;
        let (bytes, ttl_ms) = found?;
        let ttl = u64::try_from(ttl_ms).ok().filter(|ttl| *ttl > 0)?;
        Some((wire::read(fingerprint, &bytes)?, Duration::from_millis(ttl)))
    }

    fn put(&self, fingerprint: Fingerprint, kept: Arc<Kept>, ttl: Duration) {
        let (Ok(runtime), Ok(place)) = (tokio::runtime::Handle::try_current(), Arc::clone(&self.writes).try_acquire_owned()) else {
            return;
        };
        let redis = self.redis.clone();
        runtime.spawn(async move {
            let _place = place;
            let Some(bytes) = wire::written(fingerprint, &kept).filter(|bytes| bytes.len() <= LARGEST_SHARED) else { return };
            let mut set = redis::cmd("SET");
            set.arg(fingerprint.key()).arg(bytes).arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            // Redis says itself that it is down.
            let _: Result<(), _> = redis.query(&set).await;
        });
    }
}

/// About what an answer takes in memory.
fn size(kept: &Kept) -> usize {
    size_of::<Kept>()
        + match &kept.answer {
            KeptAnswer::Chat(answer) => {
                written_size(answer) + size_of::<Part>() * answer.choices.iter().map(|it| it.parts.len()).sum::<usize>()
            }
            KeptAnswer::Embeddings(answer) => {
                answer.vectors.iter().map(|vector| size_of_val(vector.as_slice()) + size_of_val(vector)).sum()
            }
        }
}

fn written_size(answer: &ChatResponse) -> usize {
    let mut counted = Counted(0);
    // What can't be written has no size, and is not kept.
    serde_json::to_writer(&mut counted, answer).map_or(usize::MAX >> 1, |()| counted.0)
}

struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{answer, fingerprint, kept};
    use super::*;
    use crate::contract::embeddings::EmbeddingResponse;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_answer_is_kept_for_its_time() {
        let store = Store::new(1 << 20, None);
        let now = Timestamp::now();
        store.put(fingerprint("a"), &kept("one"), MINUTE);
        assert_eq!(store.get(fingerprint("a"), now + MINUTE / 2), Some(kept("one")));
        assert_eq!(store.get(fingerprint("a"), now + MINUTE * 2), None);
        assert_eq!(store.get(fingerprint("b"), now), None);
        store.put(fingerprint("a"), &kept("two"), MINUTE * 3);
        assert_eq!(store.get(fingerprint("a"), now + MINUTE * 2), Some(kept("two")));
    }

    #[test]
    fn memory_is_bounded() {
        let store = Store::new(1 << 20, None);
        let text = "x".repeat(16 << 10);
        for number in 0..200 {
            store.put(fingerprint(&number.to_string()), &kept(&text), MINUTE);
        }
        store.local.run_pending_tasks();
        assert!(store.bytes() <= 1 << 20 && store.bytes() > 1 << 19, "{}", store.bytes());
        assert!(store.get(fingerprint("199"), Timestamp::now()).is_some());
        assert!((30..64).contains(&store.entries()), "{}", store.entries());
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_kept() {
        let store = Store::new(1 << 20, None);
        let large = EmbeddingResponse { model: None, vectors: vec![vec![0.5; 8192]; 3], usage: None, extras: Vec::new() };
        let large = Kept { answer: KeptAnswer::Embeddings(large), ..(*kept("a")).clone() };
        store.put(fingerprint("a"), &Arc::new(large), MINUTE);
        store.put(fingerprint("b"), &kept(&"x".repeat(65 << 10)), MINUTE);
        assert_eq!([fingerprint("a"), fingerprint("b")].map(|of| store.get(of, Timestamp::now())), [None, None]);
    }

    #[test]
    fn many_small_parts_weigh_what_they_take() {
        let mut many = answer("a");
        many.choices[0].parts = vec![many.choices[0].parts[0].clone(); 1000];
        let many = Kept { answer: KeptAnswer::Chat(many), ..(*kept("a")).clone() };
        assert!(size(&many) > 1000 * size_of::<Part>());
    }
}
