//! Embeddings, as OpenAI's wire format lists them: Mistral and compatible servers write the same.
//!
//! Owns: reading the list, in whichever of the two ways a vector is written, and scaling a vector to length 1. Not here: requests and errors,
//! which each provider has of its own.

use crate::embeddings::EmbeddingResponse;
use crate::failure::unreadable_body;
use crate::types::{Failure, Usage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How far from 1 the length of a vector may be that is meant to have it.
const ROUNDING: f64 = 1e-3;

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<Entry<'a>>,
    model: Option<String>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    index: Option<usize>,
    /// A list of numbers, or the base64 of little-endian 32-bit floats.
    #[serde(borrow)]
    embedding: &'a RawValue,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u32>,
}

/// The vectors of a 2xx body, in the order of the inputs. `context` is what [`context`] gave for the request; without it, their number is not
/// checked.
///
/// # Errors
/// `malformed`, for anything but one readable vector for each input.
pub fn read(body: &[u8], context: &str) -> Result<EmbeddingResponse, Failure> {
    let mut list: List<'_> = serde_json::from_slice(body).map_err(|_| Failure::malformed(unreadable_body(200, body)))?;
    let placed = list.data.iter().all(|entry| entry.index.is_some());
    if placed {
        list.data.sort_by_key(|entry| entry.index);
    }
    let vectors = list.data.iter().enumerate().map(|(at, entry)| {
        vector(entry.embedding).ok_or_else(|| Failure::malformed(format!("`data[{at}].embedding` of the provider's answer is no vector")))
    });
    let answer = EmbeddingResponse {
        model: list.model,
        vectors: vectors.collect::<Result<_, _>>()?,
        usage: list.usage.map(|counts| usage(counts.prompt_tokens)),
        extras: Vec::new(),
    };
    check_count(&answer, context)?;
    Ok(answer)
}

/// What `decode` is to know of a request: the number of its inputs.
pub fn context(inputs: usize) -> String {
    inputs.to_string()
}

/// # Errors
/// `malformed` if there is not one vector for each input that `context` speaks of.
pub fn check_count(answer: &EmbeddingResponse, context: &str) -> Result<(), Failure> {
    match context.parse::<usize>() {
        Ok(inputs) if inputs != answer.vectors.len() => {
            Err(Failure::malformed(format!("the provider gave {} vectors for {inputs} inputs", answer.vectors.len())))
        }
        _ => Ok(()),
    }
}

/// Embeddings have an input and no output.
pub fn usage(input: Option<u32>) -> Usage {
    Usage { input, cache_read: None, cache_write: None, output: None, reasoning: None, details: Vec::new() }
}

fn vector(json: &RawValue) -> Option<Vec<f32>> {
    let json = json.get();
    let numbers: Vec<f32> = if json.starts_with('"') {
        let bytes = STANDARD.decode(serde_json::from_str::<String>(json).ok()?).ok()?;
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return None;
        }
        floats.iter().copied().map(f32::from_le_bytes).collect()
    } else {
        serde_json::from_str(json).ok()?
    };
    numbers.iter().all(|number| number.is_finite()).then_some(numbers)
}

/// The vector at length 1. One that has it but for rounding stays as the provider gave it, and so does one of no length.
pub fn to_unit_length(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if length == 0.0 || (length - 1.0).abs() < ROUNDING {
        return vector;
    }
    vector.into_iter().map(|number| (f64::from(number) / length) as f32).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::FailureKind;

    #[test]
    fn numbers_and_base64_are_the_same_vector_and_stand_in_the_order_of_the_inputs() {
        let body = br#"{"data":[{"index":1,"embedding":[1.5,-2.0]},{"index":0,"embedding":"AADAPwAAAMA="}],"model":"m","usage":{"prompt_tokens":3}}"#;
        let answer = read(body, &context(2)).unwrap();
        assert_eq!(answer.vectors, [[1.5, -2.0], [1.5, -2.0]]);
        assert_eq!((answer.model.as_deref(), answer.usage), (Some("m"), Some(usage(Some(3)))));
        let moved = br#"{"data":[{"index":1,"embedding":[1]},{"index":0,"embedding":[0]}]}"#;
        assert_eq!(read(moved, "").unwrap().vectors, [[0.0], [1.0]]);
        let unnumbered = br#"{"data":[{"embedding":[1]},{"embedding":[0]}]}"#;
        assert_eq!(read(unnumbered, "").unwrap().vectors, [[1.0], [0.0]]);
    }

    #[test]
    fn what_is_no_vector_for_each_input_is_malformed() {
        for body in [
            r#"{"data":[]}"#,
            r#"{"data":[{"embedding":"AAA="}]}"#,
            r#"{"data":[{"embedding":"AADAfw=="}]}"#,
            r#"{"data":[{"embedding":[1e99]}]}"#,
            r#"{"data":[{"embedding":null}]}"#,
            "<html>",
            "",
        ] {
            assert_eq!(read(body.as_bytes(), "1").unwrap_err().kind, FailureKind::Malformed, "{body}");
        }
    }

    #[test]
    fn a_vector_is_scaled_to_length_one() {
        assert_eq!(to_unit_length(vec![3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(to_unit_length(vec![0.6001, 0.8]), [0.6001, 0.8]);
        assert_eq!(to_unit_length(vec![0.0]), [0.0]);
    }
}
