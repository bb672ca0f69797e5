//! Ids in the providers' forms, drawn from the request so that they repeat with it.

use sha2::{Digest, Sha256};

/// Draws the ids of one answer.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    seed: [u8; 32],
}

impl Ids {
    pub fn of(request: &[u8]) -> Self {
        Self { seed: Sha256::digest(request).into() }
    }

    /// `len` characters of `[A-Za-z0-9]`. `purpose` keeps the ids of one answer apart.
    pub fn base62(&self, purpose: &str, len: usize) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        self.bytes(purpose, len).iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
    }

    /// `len` hexadecimal digits.
    pub fn hex(&self, purpose: &str, len: usize) -> String {
        const ALPHABET: &[u8; 16] = b"0123456789abcdef";
        self.bytes(purpose, len).iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
    }

    /// Eight bytes for a seal.
    pub fn nonce(&self, purpose: &str) -> [u8; 8] {
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&self.bytes(purpose, 8));
        nonce
    }

    fn bytes(&self, purpose: &str, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len.next_multiple_of(32));
        for block in 0u32.. {
            if bytes.len() >= len {
                break;
            }
            let digest = Sha256::new().chain_update(self.seed).chain_update(block.to_be_bytes()).chain_update(purpose).finalize();
            bytes.extend_from_slice(&digest);
        }
        bytes.truncate(len);
        bytes
    }
}

/// Names one HTTP exchange. Unlike every other id it differs each time, as it must to be of use in a log.
#[derive(Debug, Clone)]
pub(super) struct ExchangeId(u128);

impl ExchangeId {
    pub fn new() -> Self {
        Self(rand::random())
    }

    pub fn hex(&self) -> String {
        format!("{:032x}", self.0)
    }

    pub fn uuid(&self) -> String {
        let hex = self.hex();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_repeat_with_the_request_and_differ_by_purpose() {
        let ids = Ids::of(b"one");
        assert_eq!(ids.base62("call 0", 24), Ids::of(b"one").base62("call 0", 24));
        assert_ne!(ids.base62("call 0", 24), ids.base62("call 1", 24));
        assert_ne!(ids.base62("call 0", 24), Ids::of(b"two").base62("call 0", 24));
        assert_eq!(ids.hex("x", 50).len(), 50);
    }
}
