//! What thinking blocks are bound to: their model and the conversation before them, on the models that bind them at all.
//!
//! Owns: the digest of a conversation, and the seals of shown and hidden thinking. Only words count, not how they are put into blocks and
//! messages, nor where the cache is marked: an adapter may write the same conversation in another way.

use super::models::Model;
use crate::simulate::prompt::{list_at, str_at};
use crate::simulate::seal::Bound;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A conversation, read message by message.
pub(super) struct Transcript {
    /// None on models that do not care.
    words: Option<Sha256>,
}

impl Transcript {
    pub fn new(model: Model<'_>) -> Self {
        Self { words: model.binds_thinking().then(Sha256::new) }
    }

    pub fn of(model: Model<'_>, messages: &[Value]) -> Self {
        let mut transcript = Self::new(model);
        messages.iter().for_each(|message| transcript.push(message));
        transcript
    }

    pub fn push(&mut self, message: &Value) {
        self.text(str_at(message, "content"));
        for block in list_at(message, "content") {
            self.text(str_at(block, "text"));
            self.text(str_at(block, "id"));
            self.text(str_at(block, "tool_use_id"));
            self.text(str_at(block, "content"));
            list_at(block, "content").iter().for_each(|part| self.text(str_at(part, "text")));
            for member in ["input", "source"] {
                self.text(&block.get(member).map(Value::to_string).unwrap_or_default());
            }
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(words) = &mut self.words
            && !text.is_empty()
        {
            words.update((text.len() as u64).to_be_bytes());
            words.update(text);
        }
    }

    /// Of what was read so far; empty on models that do not care.
    pub fn digest(&self) -> String {
        self.words.clone().map(|words| words.finalize().iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default()
    }
}

/// Thinking that is sealed, or comes back with its seal.
pub(super) struct Thought<'a> {
    pub model: Model<'a>,
    /// Digest of the conversation before it.
    pub transcript: &'a str,
    /// Absent where it is hidden.
    pub text: Option<&'a str>,
}

impl Thought<'_> {
    pub fn seal(&self, nonce: [u8; 8]) -> String {
        Bound(&self.bounds()).seal(nonce)
    }

    pub fn holds(&self, seal: &str) -> bool {
        Bound(&self.bounds()).holds(seal)
    }

    fn bounds(&self) -> [&str; 4] {
        let kind = if self.text.is_some() { "anthropic" } else { "anthropic hidden" };
        let model = if self.model.binds_thinking() { self.model.name } else { "any model" };
        [kind, model, self.transcript, self.text.unwrap_or_default()]
    }
}
