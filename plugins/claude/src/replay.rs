//! Thinking that must come back to the provider unchanged: what its `replay` holds.
//!
//! The data is `signature:` and the signature of a thinking block, whose text is the part's own, or `redacted:` and the data of a
//! redacted one.

use crate::families;
use llm_gateway_adapter::types::Replay;

const SIGNATURE: &str = "signature:";
const REDACTED: &str = "redacted:";

/// The seal of a thinking block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal<'a> {
    Signature(&'a str),
    Redacted(&'a str),
}

impl<'a> Seal<'a> {
    pub fn read(replay: &'a Replay) -> Option<Self> {
        let data = replay.data.as_str();
        let signature = data.strip_prefix(SIGNATURE).map(Seal::Signature);
        signature.or_else(|| data.strip_prefix(REDACTED).map(Seal::Redacted))
    }

    /// The host adds the model.
    pub fn replay(self) -> Replay {
        let data = match self {
            Self::Signature(signature) => [SIGNATURE, signature].concat(),
            Self::Redacted(data) => [REDACTED, data].concat(),
        };
        Replay { data, model: None }
    }
}

/// Whether `model` takes this thinking back. From Fable 5.1 and the 5.5 models on, it is bound to the model that thought it.
pub fn is_welcome(replay: &Replay, model: &str) -> bool {
    match replay.model.as_deref() {
        Some(thinker) if thinker != model => !families::of(thinker).binds_thinking && !families::of(model).binds_thinking,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_read_as_it_was_written() {
        for seal in [Seal::Signature("EqQB=="), Seal::Redacted("Ab=="), Seal::Signature("")] {
            assert_eq!(Seal::read(&seal.replay()), Some(seal));
        }
        assert_eq!(Seal::read(&Replay { data: "something else".into(), model: None }), None);
    }

    #[test]
    fn bound_thinking_goes_back_to_its_own_model_only() {
        let replay = |model: &str| Replay { data: String::new(), model: Some(model.to_owned()) };
        assert!(is_welcome(&replay("claude-opus-5-5"), "claude-opus-5-5"));
        assert!(!is_welcome(&replay("claude-opus-5-5"), "claude-opus-4-8"));
        assert!(!is_welcome(&replay("claude-opus-4-8"), "claude-opus-5-5"));
        assert!(is_welcome(&replay("claude-opus-4-8"), "claude-opus-4-7"));
        assert!(is_welcome(&Replay { data: String::new(), model: None }, "claude-opus-5-5"));
    }
}
