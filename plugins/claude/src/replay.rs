//! Thinking that must come back to the provider unchanged: what its `replay` holds.
//!
//! The data is `signature:` and the signature of a thinking block, whose text is the part's own, or `redacted:` and the data of a
//! redacted one. Of a conversation that began elsewhere, a caller has the same from Claude itself: it then stands among the part's own fields.

use crate::DIALECT;
use crate::draft::CONTRACT;
use crate::{families, serde_json};
use llm_gateway_adapter::types::{Native, Part, Replay};
use serde::Deserialize;
use std::borrow::Cow;

const SIGNATURE: &str = "signature:";
const REDACTED: &str = "redacted:";

/// The seal of a thinking block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal<'a> {
    Signature(Cow<'a, str>),
    Redacted(Cow<'a, str>),
}

impl<'a> Seal<'a> {
    pub fn read(replay: &'a Replay) -> Option<Self> {
        let data = replay.data.as_str();
        let signature = data.strip_prefix(SIGNATURE).map(|signature| Seal::Signature(Cow::Borrowed(signature)));
        signature.or_else(|| data.strip_prefix(REDACTED).map(|data| Seal::Redacted(Cow::Borrowed(data))))
    }

    /// What the caller has from Claude: `{"signature": ..}` or `{"data": ..}`. Gateways write empty signatures for what others thought.
    pub fn told(extras: &[Native]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Told {
            signature: Option<String>,
            data: Option<String>,
        }
        let own = extras.iter().filter(|native| native.dialect == DIALECT);
        own.filter_map(|native| serde_json::from_str::<Told>(&native.value).ok()).find_map(|told| {
            let said = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Cow::Owned);
            said(told.signature).map(Seal::Signature).or_else(|| said(told.data).map(Seal::Redacted))
        })
    }

    /// The host adds the model.
    pub fn replay(self) -> Replay {
        let data = match self {
            Self::Signature(signature) => [SIGNATURE, &signature].concat(),
            Self::Redacted(data) => [REDACTED, &data].concat(),
        };
        Replay { data, model: None }
    }
}

/// Why `model` does not take this thinking back, if it does not. From Fable 5.1 and the 5.5 models on, thinking is bound to the model that
/// thought it and to the conversation before it.
pub fn unwelcome(part: &Part, model: &str) -> Option<&'static str> {
    let binds = families::of(model).binds_thinking;
    match part.replay.as_ref().and_then(|replay| replay.model.as_deref()) {
        Some(thinker) if thinker != model && (binds || families::of(thinker).binds_thinking) => {
            Some("this thinking is bound to the model that thought it")
        }
        _ if binds && has_changed_history(&part.extras) => Some("this thinking is bound to the conversation before it, which was changed"),
        _ => None,
    }
}

/// Whether the host found that the conversation before the part is not the one that it was said after.
fn has_changed_history(extras: &[Native]) -> bool {
    #[derive(Deserialize)]
    struct Flags {
        #[serde(default)]
        history_changed: bool,
    }
    let flags = extras.iter().filter(|native| native.dialect == CONTRACT);
    flags.filter_map(|native| serde_json::from_str::<Flags>(&native.value).ok()).any(|flags| flags.history_changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_gateway_adapter::types::PartBody;

    #[test]
    fn a_seal_is_read_as_it_was_written() {
        for seal in [Seal::Signature("EqQB==".into()), Seal::Redacted("Ab==".into()), Seal::Signature("".into())] {
            assert_eq!(Seal::read(&seal.clone().replay()), Some(seal));
        }
        assert_eq!(Seal::read(&Replay { data: "something else".into(), model: None }), None);
    }

    fn thinking(thinker: Option<&str>, flags: &str) -> Part {
        let extras = vec![Native { dialect: CONTRACT.into(), value: flags.into() }];
        let replay = Some(Replay { data: String::new(), model: thinker.map(str::to_owned) });
        Part { replay, extras, ..Part::new(PartBody::Thinking(String::new())) }
    }

    #[test]
    fn bound_thinking_goes_back_to_its_own_model_only() {
        let is_welcome = |thinker, model| unwelcome(&thinking(thinker, "{}"), model).is_none();
        assert!(is_welcome(Some("claude-opus-5-5"), "claude-opus-5-5"));
        assert!(!is_welcome(Some("claude-opus-5-5"), "claude-opus-4-8"));
        assert!(!is_welcome(Some("claude-opus-4-8"), "claude-opus-5-5"));
        assert!(is_welcome(Some("claude-opus-4-8"), "claude-opus-4-7"));
        assert!(is_welcome(None, "claude-opus-5-5"));
    }

    #[test]
    fn bound_thinking_does_not_go_back_after_another_conversation() {
        let is_welcome = |flags, model| unwelcome(&thinking(Some(model), flags), model).is_none();
        for model in ["claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"] {
            assert!(!is_welcome(r#"{"history_changed":true}"#, model), "{model}");
            assert!(is_welcome(r#"{"history_changed":false,"new":1}"#, model), "{model}");
        }
        for model in ["claude-opus-5", "claude-sonnet-5", "claude-opus-4-8", "claude-haiku-4-5"] {
            assert!(is_welcome(r#"{"history_changed":true}"#, model), "{model}");
        }
    }
}
