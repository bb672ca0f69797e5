//! What a provider wants back unchanged (a thought signature, encrypted reasoning), on its way through the caller.
//!
//! Owns: the sealed form that callers carry, which says whose it is and after which conversation it was said; what of a conversation counts for that.
//! Not here: in which field a dialect carries it (`edge::dialect`), when it is sealed and opened (`attempt`).
//!
//! Sealed: `gw1;<provider>;<history>;<bytes of model>;<model><data>`. It is neither a secret nor a proof: what comes back changed is the provider's to refuse.

use crate::contract::{MediaSource, Message, PartBody, Role, ToolResultPart};
use sha2::{Digest, Sha256};
use std::fmt;

/// What a sealed replay begins with.
const PREFIX: &str = "gw1;";
/// Of a digest; enough that an edited conversation is seen.
const HISTORY_BYTES: usize = 8;

/// Whether a text is a sealed replay, and not a provider's own that never went through this gateway.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Who said something, and after which conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The provider instance: `claude`.
    pub provider: String,
    /// The model that was asked.
    pub model: String,
    pub history: History,
}

impl Origin {
    /// A replay's data as callers carry it.
    pub fn seal(&self, data: &str) -> String {
        format!("{PREFIX}{};{};{};{}{data}", self.provider, self.history, self.model.len(), self.model)
    }
}

/// A sealed replay's origin and data. Absent: it is none, or was changed.
pub fn open(sealed: &str) -> Option<(Origin, &str)> {
    let mut fields = sealed.strip_prefix(PREFIX)?.splitn(4, ';');
    let (provider, history, bytes, rest) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (model, data) = rest.split_at_checked(bytes.parse().ok()?)?;
    Some((Origin { provider: provider.to_owned(), model: model.to_owned(), history: History::parse(history)? }, data))
}

/// Stands for the turns of a conversation: two with the same words have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History([u8; HISTORY_BYTES]);

impl History {
    fn parse(hex: &str) -> Option<Self> {
        let number = u64::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 2 * HISTORY_BYTES)?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// Reads a conversation message by message.
///
/// Instructions and thinking do not count: clients change the one and drop the other, and neither makes it another conversation. Nor do the ids of
/// calls and the borders between texts, which not every dialect keeps.
#[derive(Debug, Default)]
pub struct HistoryReader(Sha256);

impl HistoryReader {
    /// What was read so far.
    pub fn so_far(&self) -> History {
        let digest = self.0.clone().finalize();
        let mut bytes = [0; HISTORY_BYTES];
        bytes.copy_from_slice(&digest[..HISTORY_BYTES]);
        History(bytes)
    }

    pub fn read(&mut self, message: &Message) {
        let role: &[u8] = match message.role {
            Role::System | Role::Developer => return,
            Role::User => b"\0user\0",
            Role::Assistant => b"\0assistant\0",
            Role::Tool => b"\0tool\0",
        };
        self.0.update(role);
        message.parts.iter().for_each(|part| self.read_part(&part.body));
    }

    fn read_part(&mut self, body: &PartBody) {
        match body {
            PartBody::Text(text) | PartBody::Refusal(text) => self.0.update(text),
            PartBody::Image(media) | PartBody::Audio(media) | PartBody::Video(media) | PartBody::Document(media) => {
                self.read_source(&media.source);
            }
            PartBody::ToolCall(call) => {
                for text in ["\0call\0", &call.name, "\0", &call.arguments] {
                    self.0.update(text);
                }
            }
            PartBody::ToolResult(result) => {
                self.0.update(b"\0result\0");
                for part in &result.content {
                    match part {
                        ToolResultPart::Text(text) => self.0.update(text),
                        ToolResultPart::Image(media)
                        | ToolResultPart::Audio(media)
                        | ToolResultPart::Video(media)
                        | ToolResultPart::Document(media) => self.read_source(&media.source),
                        ToolResultPart::Other(_) => {}
                    }
                }
            }
            PartBody::Thinking(_) | PartBody::Other(_) => {}
        }
    }

    /// The bytes of media are not read: there may be many.
    fn read_source(&mut self, source: &MediaSource) {
        self.0.update(b"\0media\0");
        match source {
            MediaSource::Blob(blob) => self.0.update(blob.size.to_be_bytes()),
            MediaSource::Url(text) | MediaSource::Base64(text) => self.0.update(text),
            MediaSource::File(native) => self.0.update(&native.value),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::part;

    fn history_of(messages: &[Message]) -> History {
        let mut reader = HistoryReader::default();
        messages.iter().for_each(|message| reader.read(message));
        reader.so_far()
    }

    fn said(role: Role, texts: &[&str]) -> Message {
        let parts = texts.iter().map(|text| part(PartBody::Text((*text).to_owned()))).collect();
        Message { role, name: None, parts, extras: Vec::new() }
    }

    #[test]
    fn what_was_sealed_opens_to_itself() {
        let history = history_of(&[said(Role::User, &["hi"])]);
        let origin = Origin { provider: "claude".into(), model: "a;b/ü".into(), history };
        for data in ["", "x;y;z", "{\"a\":\"ü\"}"] {
            let sealed = origin.seal(data);
            assert!(is_sealed(&sealed));
            assert_eq!(open(&sealed), Some((origin.clone(), data)));
        }
    }

    #[test]
    fn what_is_not_sealed_does_not_open() {
        for text in ["", "gw1;", "gw1;claude;00;1;m", "gw1;claude;0123456789abcdef;9;m", "gw1;claude;0123456789abcdef;1;ü", "EqoBCkgIARAB"]
        {
            assert_eq!(open(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_is_said_counts_for_the_history() {
        let plain = history_of(&[said(Role::User, &["hello"]), said(Role::Assistant, &["ok"])]);
        let mut thought = said(Role::Assistant, &["o", "k"]);
        thought.parts.insert(0, part(PartBody::Thinking("hm".into())));
        let same = [said(Role::System, &["Be brief."]), said(Role::User, &["hel", "lo"]), thought];
        assert_eq!(history_of(&same), plain);
        assert_ne!(history_of(&[said(Role::User, &["hello!"]), said(Role::Assistant, &["ok"])]), plain);
        assert_ne!(history_of(&[said(Role::User, &["hellook"])]), plain);
    }
}
