//! Signatures that a provider puts on its thinking and checks when they come back.
//!
//! A seal is self-contained: a nonce and a digest over the nonce and whatever it is bound to. So the simulator keeps no state and still
//! knows its own seals, tells them from changed or foreign ones, and can bind them to a model or to the text that they stand beside.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use sha2::{Digest, Sha256};

const NONCE_BYTES: usize = 8;
/// OpenAI's encrypted content is a Fernet token, whose version byte and clock make all begin alike.
const FERNET_PREFIX: &str = "gAAAAABq";

/// What a seal is valid for. The order counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'a>(pub &'a [&'a str]);

impl Bound<'_> {
    /// In ordinary base64: Gemini, Mistral, Anthropic.
    pub fn seal(self, nonce: [u8; NONCE_BYTES]) -> String {
        STANDARD.encode(self.sealed(nonce))
    }

    pub fn holds(self, seal: &str) -> bool {
        STANDARD.decode(seal).is_ok_and(|sealed| self.matches(&sealed))
    }

    /// Like [`Self::holds`], where the seal is bytes in proto3 JSON: those are read in either alphabet, padded or not, and Google's own
    /// client sends them back in the one that it did not get them in.
    pub fn holds_as_proto_bytes(self, seal: &str) -> bool {
        let unpadded = seal.trim_end_matches('=').replace('-', "+").replace('_', "/");
        STANDARD_NO_PAD.decode(unpadded).is_ok_and(|sealed| self.matches(&sealed))
    }

    /// In OpenAI's form.
    pub fn encrypt(self, nonce: [u8; NONCE_BYTES]) -> String {
        format!("{FERNET_PREFIX}{}", URL_SAFE.encode(self.sealed(nonce)))
    }

    pub fn decrypts(self, content: &str) -> bool {
        let Some(token) = content.strip_prefix(FERNET_PREFIX) else { return false };
        URL_SAFE.decode(token).is_ok_and(|sealed| self.matches(&sealed))
    }

    /// The nonce, then two digests: real seals are longer than one.
    fn sealed(self, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let mut hash = Sha256::new().chain_update("llm-gateway simulator").chain_update(nonce);
        for part in self.0 {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let first = hash.finalize();
        let second = Sha256::digest(first);
        [nonce.as_slice(), first.as_slice(), second.as_slice()].concat()
    }

    fn matches(self, sealed: &[u8]) -> bool {
        let Some((nonce, _)) = sealed.split_first_chunk::<NONCE_BYTES>() else { return false };
        self.sealed(*nonce) == sealed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_what_it_is_bound_to_alone() {
        let seal = Bound(&["claude-opus-5-5", "a thought"]).seal([7; 8]);
        assert!(Bound(&["claude-opus-5-5", "a thought"]).holds(&seal));
        assert!(!Bound(&["claude-opus-5-5", "another thought"]).holds(&seal));
        assert!(!Bound(&["claude-opus-5-5a", " thought"]).holds(&seal));
        for foreign in ["", "AAAA", "not base64!", "skip_thought_signature_validator"] {
            assert!(!Bound(&["claude-opus-5-5", "a thought"]).holds(foreign), "{foreign}");
        }
    }

    #[test]
    fn bytes_in_proto_json_hold_in_either_alphabet() {
        let bound = Bound(&["gemini"]);
        let seal = (0..=255).map(|nonce| bound.seal([nonce; 8])).find(|seal| seal.contains('+') && seal.contains('/')).unwrap_or_default();
        let url_safe = seal.replace('+', "-").replace('/', "_");
        assert!(bound.holds_as_proto_bytes(&seal) && bound.holds_as_proto_bytes(&url_safe));
        assert!(bound.holds_as_proto_bytes(url_safe.trim_end_matches('=')) && !bound.holds(&url_safe));
        assert!(!bound.holds_as_proto_bytes(&url_safe[4..]) && !bound.holds_as_proto_bytes(""));
    }

    #[test]
    fn encrypted_content_is_known_again() {
        let content = Bound(&["openai"]).encrypt([1; 8]);
        assert!(content.starts_with("gAAAAAB") && Bound(&["openai"]).decrypts(&content));
        assert!(!Bound(&["openai"]).decrypts(&content.replace("gAAAAAB", "gAAAAAC")));
        assert!(!Bound(&["openai"]).decrypts("gAAAAABqzz"));
    }
}
