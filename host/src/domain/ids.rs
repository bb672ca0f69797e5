//! Ids and small words of a request.

use crate::contract::Task;
use std::fmt;
use uuid::Uuid;

const MAX_LEN: usize = 128;

/// Names one request in logs, answers and support tickets: the caller's own if it is valid, else a UUID of version 7 (so that they sort by
/// time).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

#[derive(Debug, thiserror::Error)]
#[error("a request id has 1 to {MAX_LEN} characters, each a letter, a digit or one of `._:/+=@-`")]
pub struct InvalidRequestId;

impl RequestId {
    /// A new one.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The caller's.
    ///
    /// # Errors
    /// When it is too long or has characters that don't belong in a header or a log line.
    pub fn parse(text: &str) -> Result<Self, InvalidRequestId> {
        let valid = (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/+=@-".contains(&b));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidRequestId) }
    }

    /// The id of one of several requests that a request is made of: `abc.2`.
    pub fn part(&self, number: usize) -> Self {
        Self(format!("{}.{number}", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text can name a provider: `[a-z][a-z0-9-]{0,31}`, as the contract says.
pub fn is_provider_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && text.len() <= 32
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// What a caller who names no model wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskType(pub Task);

impl TaskType {
    /// Every word for a task, as callers write it.
    pub const WORDS: [(&'static str, Task); 5] = [
        ("text_generation", Task::TextGeneration),
        ("summarization", Task::Summarization),
        ("sentiment_analysis", Task::SentimentAnalysis),
        ("question_answering", Task::QuestionAnswering),
        ("other", Task::Other),
    ];

    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, task)| Self(*task))
    }

    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, task)| *task == self.0).map_or("other", |(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn request_ids_are_bounded_in_length_and_alphabet() {
        for good in ["a", "req-1:2/x", &"a".repeat(128), RequestId::generate().as_str()] {
            assert_eq!(RequestId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\nb", "ä", &"a".repeat(129), "a\"b"] {
            assert!(RequestId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
