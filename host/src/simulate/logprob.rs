//! How sure a model was of its words: made from the text, and the same each time.
//!
//! Owns: cutting a text into tokens, and their log probabilities. A provider's module writes them down in its own form.

use super::text::pieces;
use serde_json::{Value, json};

/// One token that was said, or might have been.
#[derive(Debug, PartialEq)]
pub(super) struct Token {
    pub text: String,
    /// Natural logarithm, below zero.
    pub logprob: f64,
}

/// A token with the likeliest ones at its place, itself the first, as many as were asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Chosen {
    pub token: Token,
    pub top: Vec<Token>,
}

pub(super) fn of(text: &str, alternatives: usize) -> impl Iterator<Item = Chosen> {
    pieces(text, 1, None).into_iter().map(move |piece| {
        let likeliest = -0.0625 * (1 + piece.len() % 4) as f64;
        let at = |rank: usize| Token {
            text: if rank == 0 { piece.to_owned() } else { format!("{piece}{rank}") },
            logprob: likeliest - rank as f64,
        };
        Chosen { token: at(0), top: (0..alternatives).map(at).collect() }
    })
}

/// OpenAI's form, on both of its endpoints.
pub(super) fn openai(text: &str, alternatives: usize) -> Value {
    let form = |token: &Token| json!({"token": token.text, "logprob": token.logprob, "bytes": token.text.as_bytes()});
    of(text, alternatives)
        .map(|chosen| {
            let mut entry = form(&chosen.token);
            entry["top_logprobs"] = chosen.top.iter().map(form).collect();
            entry
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_join_to_the_text_and_the_likeliest_is_what_was_said() {
        let chosen: Vec<Chosen> = of("one two three", 2).collect();
        assert_eq!(chosen.iter().map(|chosen| chosen.token.text.as_str()).collect::<String>(), "one two three");
        for Chosen { token, top } in &chosen {
            assert_eq!((top.len(), &top[0]), (2, token));
            assert!(token.logprob < 0.0 && top[1].logprob < token.logprob);
        }
        assert!(of("one", 0).all(|chosen| chosen.top.is_empty()));
    }
}
