//! Secrets of gateway keys: `gw-`, 8 characters of the key's id, `-`, and 32 random bytes in URL-safe base64.
//!
//! Owns: their form, their making, and how one is recognized. The id says where to look; the rest is compared by its SHA-256 in constant time. A slow hash would add nothing: these are
//! 256 bits of chance and not a password, which could be guessed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::seq::IndexedRandom;
use rand::{CryptoRng, RngExt};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

const PREFIX: &[u8] = b"gw-";
const ID_PREFIX: &str = "key_";
const SHORT_ID_BYTES: usize = 8;
const RANDOM_BYTES: usize = 32;
/// Of these bytes in base64.
const RANDOM_CHARS: usize = 43;
const ID_CHARS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// What a key's id, `key_…`, and its secrets have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ShortId([u8; SHORT_ID_BYTES]);

/// The SHA-256 of a secret. It can't be compared but with a secret, in constant time.
#[derive(Clone)]
pub(super) struct Hash([u8; 32]);

impl ShortId {
    pub(super) fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(std::array::from_fn(|_| ID_CHARS.choose(rng).copied().unwrap_or(b'0')))
    }

    /// Of a key's public id.
    pub(super) fn of_id(id: &str) -> Option<Self> {
        Self::of_bytes(id.strip_prefix(ID_PREFIX)?.as_bytes())
    }

    /// Of a secret.
    pub(super) fn of_secret(secret: &[u8]) -> Option<Self> {
        let (short, rest) = secret.strip_prefix(PREFIX)?.split_at_checked(SHORT_ID_BYTES)?;
        let random = rest.strip_prefix(b"-")?;
        let is_whole = random.len() == RANDOM_CHARS && random.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        if is_whole { Self::of_bytes(short) } else { None }
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let short: [u8; SHORT_ID_BYTES] = bytes.try_into().ok()?;
        short.iter().all(|byte| ID_CHARS.contains(byte)).then_some(Self(short))
    }

    /// `key_…`.
    pub(super) fn id(self) -> String {
        format!("{ID_PREFIX}{self}")
    }

    pub(super) fn new_secret(self, rng: &mut impl CryptoRng) -> SecretString {
        let random: [u8; RANDOM_BYTES] = rng.random();
        SecretString::from(format!("gw-{self}-{}", URL_SAFE_NO_PAD.encode(random)))
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

impl Hash {
    pub(super) fn of(secret: &SecretString) -> Self {
        Self(sha256(secret.expose_secret().as_bytes()))
    }

    /// As it was stored.
    pub(super) fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_of(&self, digest: &[u8; 32]) -> bool {
        self.0.as_slice().ct_eq(digest.as_slice()).into()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

/// What a [`Hash`] is held against.
pub(super) fn sha256(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Whether it means to be a gateway key, well or badly written.
pub(super) fn looks_like_one(value: &[u8]) -> bool {
    value.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_says_whose_it_is_and_is_known_by_its_hash() {
        let short = ShortId::generate(&mut rand::rng());
        let (secret, other) = (short.new_secret(&mut rand::rng()), short.new_secret(&mut rand::rng()));
        let text = secret.expose_secret();
        assert_eq!(ShortId::of_secret(text.as_bytes()), Some(short));
        assert_eq!(ShortId::of_id(&short.id()), Some(short));
        let hash = Hash::of(&secret);
        assert!(hash.is_of(&sha256(text.as_bytes())) && !hash.is_of(&sha256(other.expose_secret().as_bytes())));
        assert!(Hash::stored(hash.as_bytes()).unwrap().is_of(&sha256(text.as_bytes())));
        assert!(!format!("{secret:?} {hash:?}").contains(text), "a secret is not shown");
    }

    #[test]
    fn what_is_cut_or_has_other_characters_is_none() {
        let secret = ShortId::generate(&mut rand::rng()).new_secret(&mut rand::rng());
        let text = secret.expose_secret();
        for wrong in
            [&text[..text.len() - 1], &format!("{text}A"), &text.replace("gw-", "gv-"), &text.to_uppercase(), "gw-", "gw-abcdefgh-", ""]
        {
            assert_eq!(ShortId::of_secret(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes: Vec<u8>, id: String) {
            let _ = ShortId::of_secret(&bytes);
            let _ = ShortId::of_secret(&[PREFIX, &bytes].concat());
            let _ = ShortId::of_id(&id);
            let _ = Hash::stored(&bytes);
        }
    }
}
