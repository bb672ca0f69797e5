//! Where sealed replays stand in a message.
//!
//! | the replay of | stands in |
//! |---|---|
//! | thinking | its `signature`; of redacted thinking, its `data` |
//! | a text | one more citation of its block: a `char_location` of no characters whose `file_id` it is |
//! | a text without words | a `redacted_thinking` block in its place, whose `data` is `text:` and the replay |
//! | a tool call, a block of another kind | a `redacted_thinking` block right behind it, whose `data` is `prev:` and the replay |
//!
//! All of it stands behind what it belongs to, for in a stream a replay is known only when its part is over. A text has it in its own block, so
//! that the first and the last block of an answer are the ones that clients look for there.
//!
//! A signature or data that is no sealed replay is a conversation's that began elsewhere: it stays what it is, in this dialect's words.

use crate::domain::replay;
use serde_json::{Value, json};

const OF_PREVIOUS: &str = "prev:";
const OF_EMPTY_TEXT: &str = "text:";

/// What the `data` of a `redacted_thinking` block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data<'a> {
    /// The replay of thinking without words.
    OfThinking(&'a str),
    /// Of the block before.
    OfPrevious(&'a str),
    OfEmptyText(&'a str),
    /// None of this gateway's making.
    Foreign,
}

impl<'a> Data<'a> {
    pub fn read(data: &'a str) -> Self {
        let sealed_behind = |prefix| data.strip_prefix(prefix).filter(|rest| replay::is_sealed(rest));
        if replay::is_sealed(data) {
            return Self::OfThinking(data);
        }
        if let Some(sealed) = sealed_behind(OF_PREVIOUS) {
            return Self::OfPrevious(sealed);
        }
        sealed_behind(OF_EMPTY_TEXT).map_or(Self::Foreign, Self::OfEmptyText)
    }
}

pub fn redacted(data: &str) -> Value {
    json!({"type": "redacted_thinking", "data": data})
}

/// The block behind a block that has a replay and no place for it.
pub fn behind(sealed: &str) -> Value {
    redacted(&[OF_PREVIOUS, sealed].concat())
}

/// The block that stands for a text without words.
pub fn empty_text(sealed: &str) -> Value {
    redacted(&[OF_EMPTY_TEXT, sealed].concat())
}

/// The citation that carries a text's replay.
pub fn citation(sealed: &str) -> Value {
    json!({
        "type": "char_location", "cited_text": "", "document_index": 0, "document_title": null, "start_char_index": 0, "end_char_index": 0,
        "file_id": sealed,
    })
}

/// The replay that a citation carries, if it does.
pub fn of_citation(citation: &Value) -> Option<&str> {
    citation["file_id"].as_str().filter(|sealed| replay::is_sealed(sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_told_apart_by_what_it_begins_with() {
        for (data, meaning) in [
            ("gw1;x", Data::OfThinking("gw1;x")),
            ("prev:gw1;x", Data::OfPrevious("gw1;x")),
            ("text:gw1;x", Data::OfEmptyText("gw1;x")),
            ("prev:EqoB", Data::Foreign),
            ("EqoB", Data::Foreign),
            ("", Data::Foreign),
        ] {
            assert_eq!(Data::read(data), meaning, "{data}");
        }
    }

    #[test]
    fn only_a_citation_with_a_sealed_replay_carries_one() {
        assert_eq!(of_citation(&citation("gw1;x")), Some("gw1;x"));
        for other in [json!({"type": "char_location", "file_id": "file_1"}), json!({"type": "page_location"}), json!("gw1;x")] {
            assert_eq!(of_citation(&other), None, "{other}");
        }
    }
}
