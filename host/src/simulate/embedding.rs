//! Embedding vectors: made from the text, of length one, alike for alike texts only by chance.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A unit vector for `text`.
pub(super) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let digest = Sha256::digest(text);
    let mut state = digest.iter().take(8).fold(0u64, |state, byte| state << 8 | u64::from(*byte)) | 1;
    let mut values: Vec<f32> = (0..dimensions)
        .map(|_| {
            // xorshift64: cheap, and never zero again after the seed.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    values.iter_mut().for_each(|value| *value /= length);
    values
}

/// As a list of numbers.
pub(super) fn floats(vector: &[f32]) -> Value {
    json!(vector)
}

/// As OpenAI and Mistral do on request: little-endian, in base64.
pub(super) fn base64(vector: &[f32]) -> Value {
    json!(STANDARD.encode(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_repeat_have_length_one_and_differ_by_text() {
        let one = vector("a", 1536);
        assert_eq!(one, vector("a", 1536));
        assert_ne!(one, vector("b", 1536));
        assert!((one.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-4);
    }
}
