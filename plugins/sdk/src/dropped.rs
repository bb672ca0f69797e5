//! What of a request a provider is not sent, for the caller to be told: which parts may be left out, and that each is told once.
//!
//! What a provider can't take, and why, is the adapter's to know.

use crate::types::{Dropped, Failure, FailureKind, Part, PartBody, Role};
use std::collections::BTreeSet;

/// The reason to report for a part that is left out because this provider can't take it. It may be if the assistant made it and it is media or
/// a block of another dialect's own: another provider answered there, and the conversation must be able to go on here. What a user or the system
/// says, the answer rests on.
///
/// # Errors
/// The failure, for any other part, and for one that makes no sense to any provider.
pub fn left_out(role: Role, part: &Part, failure: Failure) -> Result<String, Failure> {
    let is_made =
        matches!(part.body, PartBody::Other(_) | PartBody::Image(_) | PartBody::Audio(_) | PartBody::Video(_) | PartBody::Document(_));
    if role == Role::Assistant && is_made && failure.kind == FailureKind::Unsupported {
        Ok(format!("left out of the assistant's message: {}", failure.message))
    } else {
        Err(failure)
    }
}

/// Each entry once, in the order in which they came: what is true of several images in one part is said once of the part.
pub fn once(mut dropped: Vec<Dropped>) -> Vec<Dropped> {
    let mut told = BTreeSet::new();
    dropped.retain(|entry| told.insert((entry.parameter.clone(), entry.reason.clone())));
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Native;

    fn block() -> Part {
        Part::new(PartBody::Other(Native { dialect: "gemini".into(), value: "{}".into() }))
    }

    #[test]
    fn only_what_the_assistant_made_and_this_provider_lacks_is_left_out() {
        let lacked = || Failure::unsupported("messages[0].parts[0]", "no such block");
        let nonsense = || Failure::invalid(Some("messages[0].parts[0]"), "not JSON");
        let text = Part::new(PartBody::Text("a".into()));
        assert_eq!(left_out(Role::Assistant, &block(), lacked()), Ok("left out of the assistant's message: no such block".to_owned()));
        for role in [Role::System, Role::Developer, Role::User, Role::Tool] {
            assert_eq!(left_out(role, &block(), lacked()), Err(lacked()), "{role:?}");
        }
        assert_eq!(left_out(Role::Assistant, &text, lacked()), Err(lacked()));
        assert_eq!(left_out(Role::Assistant, &block(), nonsense()), Err(nonsense()));
    }

    #[test]
    fn what_was_said_twice_is_told_once_in_its_first_place() {
        let entry = |parameter: &str, reason: &str| Dropped { parameter: parameter.into(), reason: reason.into() };
        let said = vec![entry("a", "x"), entry("b", "x"), entry("a", "x"), entry("a", "y")];
        assert_eq!(once(said), [entry("a", "x"), entry("b", "x"), entry("a", "y")]);
    }
}
