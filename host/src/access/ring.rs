//! All keys, as they are looked up for each request. Pure.
//!
//! Owns: telling a key by its secret, expiry, revocation, the grace of a replaced secret. Not here: where the keys come from (`store`), when the ring is replaced (`mod`).

use super::secret::{Hash, ShortId, sha256};
use super::{AccessError, GatewayKey};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// A key with what its secrets are known by.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) short: ShortId,
    pub(super) key: Arc<GatewayKey>,
    pub(super) hash: Hash,
    /// The one before, and until when it counts too.
    pub(super) former: Option<(Hash, Timestamp)>,
}

/// Keys as of some moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Ring {
    keys: HashMap<ShortId, Held>,
    /// The newest change that is in it, and all before. Absent: the keys were never read.
    version: Option<i64>,
}

/// What a key was changed to. Absent: it can't be read, and opens nothing.
pub(super) type Change = (ShortId, Option<Held>);

impl Ring {
    pub(super) fn version(&self) -> Option<i64> {
        self.version
    }

    /// How many there are, revoked ones too.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many can be used.
    pub(super) fn usable(&self, now: Timestamp) -> usize {
        self.keys.values().filter(|held| held.key.check(now).is_ok()).count()
    }

    /// With these changes. `version`: what it knows then.
    pub(super) fn with(&self, changes: impl IntoIterator<Item = Change>, version: Option<i64>) -> Self {
        let mut keys = self.keys.clone();
        for (short, held) in changes {
            match held {
                Some(held) => keys.insert(short, held),
                None => keys.remove(&short),
            };
        }
        Self { keys, version }
    }

    /// The key with a secret.
    ///
    /// # Errors
    /// When there is none, or it does not count now. Only who has the secret is told that.
    pub(super) fn find(&self, secret: &[u8], now: Timestamp) -> Result<&Arc<GatewayKey>, AccessError> {
        if self.version.is_none() {
            return Err(AccessError::Unavailable);
        }
        let held = ShortId::of_secret(secret).and_then(|short| self.keys.get(&short)).ok_or(AccessError::Unknown)?;
        let digest = sha256(secret);
        let is_former = || held.former.as_ref().is_some_and(|(hash, until)| now < *until && hash.is_of(&digest));
        if !held.hash.is_of(&digest) && !is_former() {
            return Err(AccessError::Unknown);
        }
        held.key.check(now)?;
        Ok(&held.key)
    }
}
