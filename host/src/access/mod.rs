//! Who calls: gateway keys, and what each may do.
//!
//! Owns: keys and how they are known again, callers without one, the ring of all keys that a request is looked up in. Not here: what of its limits a key has used (`quota`), keys over
//! HTTP (`admin`).
//! The ring is in memory, so a request asks no database: one that is down takes nothing from keys that were read before. What others change in it is read within about a second.

mod caller;
mod key;
mod ring;
mod secret;
mod store;

pub use caller::{AccessError, Caller, DEFAULT_TENANT};
pub use key::{ANY_TENANT, Budget, GatewayKey, KeyChanges, KeyLimits, Set, is_tenant};
pub use store::{KeyCursor, StoreError};

use crate::database::Database;
use crate::events::{Event, EventKind, Events};
use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use ring::{Held, Ring};
use secrecy::SecretString;
use secret::{Hash, ShortId};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Keys that there may be, revoked ones too: all are in memory.
const MAX_KEYS: usize = 100_000;
/// How often it is looked whether others changed keys.
const PAUSE: Duration = Duration::from_secs(1);
/// Where clients send a key, beside `Authorization: Bearer`: Anthropic's, Google's, Azure's.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "x-goog-api-key", "api-key"];

/// Tells callers by their keys.
#[derive(Debug)]
pub struct Access {
    allow_anonymous: bool,
    /// Who has no key; also the tenant of those whose key has none of its own.
    anonymous: Caller,
    ring: ArcSwap<Ring>,
    store: Store,
    /// Held by who reads or changes keys and then replaces the ring, so that nothing older replaces something newer.
    turn: Mutex<()>,
    events: Arc<Events>,
}

/// A key with the one chance to see its secret.
#[derive(Debug)]
pub struct NewKey {
    pub key: Arc<GatewayKey>,
    pub secret: SecretString,
    /// Until when the secret before counts too. Absent: no longer, or there was none.
    pub former_until: Option<Timestamp>,
}

/// Why a key is not made, changed or shown. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("there is no gateway key `{0}`; GET /admin/keys lists them")]
    Unknown(String),
    #[error("the gateway key `{0}` was revoked, which can't be undone; make a new one with POST /admin/keys")]
    Revoked(Arc<str>),
    #[error("there are {MAX_KEYS} gateway keys, revoked ones included, which is as many as there can be")]
    TooMany,
    #[error("another gateway key has the id that chance gave this one; ask again")]
    Taken,
    #[error("the gateway keys can't be read or written now; see the gateway's log, and GET /admin/keys before trying again")]
    Store(#[from] StoreError),
}

impl Access {
    /// Reads the keys. With a database that does not answer it starts without them; `follow` reads them later.
    pub async fn start(database: Database, allow_anonymous: bool, events: Arc<Events>) -> Self {
        let access = Self {
            allow_anonymous,
            anonymous: Caller::default(),
            ring: ArcSwap::default(),
            store: Store::new(database),
            turn: Mutex::new(()),
            events,
        };
        if let Err(error) = access.refresh().await {
            tracing::warn!(%error, "the gateway keys can't be read; callers with one are refused until they can");
        }
        access
    }

    /// Keeps up with what others change in the database, until `stop`. A database that is down is said once, and what was known stays.
    pub async fn follow(&self, stop: CancellationToken) {
        let mut pauses = tokio::time::interval(PAUSE);
        pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_up = self.ring.load().version().is_some();
        loop {
            let refreshed = async {
                pauses.tick().await;
                self.refresh().await
            };
            let refreshed = tokio::select! {
                () = stop.cancelled() => return,
                refreshed = refreshed => refreshed,
            };
            match &refreshed {
                Err(error) if is_up => tracing::warn!(%error, "the gateway keys can't be read; those that are known still count"),
                Ok(()) if !is_up => tracing::info!("the gateway keys can be read again"),
                Ok(()) | Err(_) => {}
            }
            is_up = refreshed.is_ok();
        }
    }

    /// Who sent a request with these headers. What means to be a gateway key has to be one that counts, also where callers without are let in: a revoked key is not nobody's. Other keys
    /// say nothing, as official clients always send some.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Caller, AccessError> {
        match given_key(headers) {
            Some(secret) => Ok(self.caller(self.ring.load().find(secret, Timestamp::now())?)),
            None if self.allow_anonymous => Ok(self.anonymous.clone()),
            None => Err(AccessError::NoKey),
        }
    }

    fn caller(&self, key: &Arc<GatewayKey>) -> Caller {
        let tenant = if &*key.tenant == ANY_TENANT { &self.anonymous.tenant } else { &key.tenant };
        Caller { tenant: Arc::clone(tenant), key: Some(Arc::clone(key)) }
    }

    /// One line for the operator on who is let in. `host`: where the gateway listens.
    pub fn describe(&self, host: IpAddr) -> String {
        let anonymous = match (self.allow_anonymous, host.is_loopback()) {
            (true, true) => format!("are answered: only this machine reaches HOST {host} (ALLOW_ANONYMOUS=false asks for keys here too)"),
            (true, false) => format!("are answered from wherever HOST {host} is reached: ALLOW_ANONYMOUS is true"),
            (false, true) => "are refused: ALLOW_ANONYMOUS is false".to_owned(),
            (false, false) => {
                format!("are refused: other machines reach HOST {host} (ALLOW_ANONYMOUS=true lets callers in without a key)")
            }
        };
        let keys = match self.usable_keys() {
            Some(usable) => format!("{usable} gateway keys can be used"),
            None => "the gateway keys can't be read yet".to_owned(),
        };
        format!("callers without a gateway key {anonymous}; {keys}")
    }

    /// How many keys can be used now. Absent: they were never read.
    pub fn usable_keys(&self) -> Option<usize> {
        let ring = self.ring.load();
        ring.version().map(|_| ring.usable(Timestamp::now()))
    }

    /// Makes a key. `tenant`: a name, or [`ANY_TENANT`].
    ///
    /// # Errors
    /// Why there is none.
    pub async fn create(&self, tenant: &str, settings: KeyChanges) -> Result<NewKey, KeyError> {
        if self.ring.load().len() >= MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        let (short, secret) = {
            let mut rng = rand::rng();
            let short = ShortId::generate(&mut rng);
            (short, short.new_secret(&mut rng))
        };
        let mut key = GatewayKey {
            id: short.id().into(),
            tenant: tenant.into(),
            name: None,
            models: Vec::new(),
            limits: KeyLimits::default(),
            created_at: Timestamp::now(),
            expires_at: None,
            revoked_at: None,
        };
        settings.apply(&mut key);
        let id = Arc::clone(&key.id);
        let held = Held { short, key: Arc::new(key), hash: Hash::of(&secret), former: None };
        let held = self.write(&id, EventKind::KeyCreated, |stored| stored.map_or(Ok(held), |_| Err(KeyError::Taken))).await?;
        Ok(NewKey { key: held.key, secret, former_until: None })
    }

    /// Changes a key that was not revoked.
    ///
    /// # Errors
    /// Why it is as it was.
    pub async fn update(&self, id: &str, changes: KeyChanges) -> Result<Arc<GatewayKey>, KeyError> {
        let change = |held: &mut Held| changes.apply(Arc::make_mut(&mut held.key));
        Ok(self.change(id, EventKind::KeyChanged, change).await?.key)
    }

    /// Gives a key a new secret. The one before counts for a time of `grace` more, one before that no longer.
    ///
    /// # Errors
    /// Why it is as it was.
    pub async fn rotate(&self, id: &str, grace: Duration) -> Result<NewKey, KeyError> {
        let short = ShortId::of_id(id).ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
        let secret = short.new_secret(&mut rand::rng());
        let until = Timestamp::now().checked_add(grace).ok().filter(|_| !grace.is_zero());
        let hash = Hash::of(&secret);
        let change = |held: &mut Held| {
            let former = std::mem::replace(&mut held.hash, hash);
            held.former = until.map(|until| (former, until));
        };
        let held = self.change(id, EventKind::KeyRotated, change).await?;
        Ok(NewKey { key: held.key, secret, former_until: held.former.map(|(_, until)| until) })
    }

    /// Revokes a key for good. One that is revoked stays as it is.
    ///
    /// # Errors
    /// When there is no such key, or it can't be written.
    pub async fn revoke(&self, id: &str) -> Result<Arc<GatewayKey>, KeyError> {
        let change = |held: &mut Held| Arc::make_mut(&mut held.key).revoked_at = Some(Timestamp::now());
        match self.change(id, EventKind::KeyRevoked, change).await {
            Ok(held) => Ok(held.key),
            Err(KeyError::Revoked(_)) => self.get(id).await,
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// When there is no such key, or it can't be read.
    pub async fn get(&self, id: &str) -> Result<Arc<GatewayKey>, KeyError> {
        let held = self.store.one(id).await?.ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
        Ok(held.key)
    }

    /// Keys, the newest first, of one tenant or all, and where the list goes on if it does.
    ///
    /// # Errors
    /// When they can't be read.
    pub async fn list(
        &self,
        tenant: Option<&str>,
        after: Option<&KeyCursor>,
        limit: u32,
    ) -> Result<(Vec<Arc<GatewayKey>>, Option<KeyCursor>), KeyError> {
        let mut page = self.store.page(tenant, after, limit.saturating_add(1)).await?;
        let has_more = page.len() > limit as usize;
        page.truncate(limit as usize);
        let next = page.last().filter(|_| has_more).map(|held| KeyCursor::after(&held.key));
        Ok((page.into_iter().map(|held| held.key).collect(), next))
    }

    async fn change(&self, id: &str, kind: EventKind, change: impl FnOnce(&mut Held)) -> Result<Held, KeyError> {
        let change = |stored: Option<Held>| match stored {
            None => Err(KeyError::Unknown(id.to_owned())),
            Some(held) if held.key.revoked_at.is_some() => Err(KeyError::Revoked(Arc::clone(&held.key.id))),
            Some(mut held) => {
                change(&mut held);
                Ok(held)
            }
        };
        self.write(id, kind, change).await
    }

    /// Has a change written, and then counts it at once.
    async fn write(
        &self,
        id: &str,
        kind: EventKind,
        change: impl FnOnce(Option<Held>) -> Result<Held, KeyError>,
    ) -> Result<Held, KeyError> {
        let _turn = self.turn.lock().await;
        let held = self.store.change(id, change).await??;
        let ring = self.ring.load();
        self.ring.store(Arc::new(ring.with([(held.short, Some(held.clone()))], ring.version())));
        self.events.say(Event::of_key(kind, id));
        Ok(held)
    }

    /// Brings the ring to what the database says.
    async fn refresh(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let newest = self.store.newest().await?;
        let ring = self.ring.load_full();
        let next = match ring.version() {
            Some(known) if known == newest => return Ok(()),
            Some(known) if known < newest => ring.with(self.store.since(known).await?, Some(newest)),
            // The first time, or another database was put in its place.
            Some(_) | None => Ring::default().with(self.store.since(0).await?, Some(newest)),
        };
        self.ring.store(Arc::new(next));
        Ok(())
    }
}

/// What means to be a gateway key.
fn given_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
    let others = KEY_HEADERS.into_iter().flat_map(|name| headers.get_all(name)).map(|value| value.as_bytes());
    bearers.chain(others).find(|value| secret::looks_like_one(value))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests;
