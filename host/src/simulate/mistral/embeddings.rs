//! Mistral's `/embeddings`.

use super::{models, validation};
use crate::simulate::prompt::str_at;
use crate::simulate::shape::{self, Shape};
use crate::simulate::wire::{Answer, Call, Problem};
use crate::simulate::{embedding, text};
use serde_json::{Value, json};

const FIELDS: Shape = Shape::Object(&[
    ("model", Shape::Any),
    ("input", Shape::Any),
    ("output_dimension", Shape::Any),
    ("output_dtype", Shape::Any),
    ("encoding_format", Shape::Any),
    ("metadata", Shape::Any),
]);

pub(super) fn answer(call: &Call, body: &Value) -> Result<Answer, Problem> {
    if let Some(path) = shape::unknown(FIELDS, body) {
        return Err(super::check::extra_forbidden(&path, body));
    }
    let model = str_at(body, "model");
    let dimensions = dimensions(model, body)?;
    let inputs = inputs(body.get("input").unwrap_or(&Value::Null))?;
    let encode = match str_at(body, "encoding_format") {
        "" | "float" => embedding::floats,
        "base64" => embedding::base64,
        _ => return Err(validation("enum", json!(["body", "encoding_format"]), "Input should be 'float' or 'base64'")),
    };
    let data = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| json!({"object": "embedding", "embedding": encode(&embedding::vector(input, dimensions)), "index": index}));
    let data: Vec<Value> = data.collect();
    let tokens: u64 = inputs.iter().map(|input| text::tokens(input.len())).sum();
    Ok(Answer::json(&json!({
        "id": call.ids.hex("embeddings", 32),
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
    })))
}

fn dimensions(model: &str, body: &Value) -> Result<usize, Problem> {
    let (native, most) = match model {
        "mistral-embed" => (1024, 1024),
        name if name.starts_with("codestral-embed") => (1536, 3072),
        name => return Err(models::invalid_model(name)),
    };
    match body.get("output_dimension").filter(|wanted| !wanted.is_null()) {
        None => Ok(native),
        Some(_) if native == most => {
            Err(Problem::new(400, "invalid_request_invalid_args", "This model does not support output_dimension").code("3051"))
        }
        Some(wanted) => match wanted.as_u64().map(|wanted| wanted as usize) {
            Some(wanted) if (1..=most).contains(&wanted) => Ok(wanted),
            _ => Err(validation(
                "less_than_equal",
                json!(["body", "output_dimension"]),
                format!("Input should be less than or equal to {most}"),
            )),
        },
    }
}

fn inputs(input: &Value) -> Result<Vec<&str>, Problem> {
    let inputs: Option<Vec<&str>> = match input {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    };
    match inputs {
        Some(inputs) if !inputs.is_empty() => Ok(inputs),
        _ => Err(validation("string_type", json!(["body", "input"]), "Input should be a valid string")),
    }
}
