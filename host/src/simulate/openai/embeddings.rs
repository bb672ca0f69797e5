//! OpenAI's `/embeddings`.

use super::{INVALID_REQUEST, empty_array, missing, models};
use crate::simulate::prompt::{is_set, str_at};
use crate::simulate::wire::{Answer, Problem};
use crate::simulate::{embedding, text};
use serde_json::{Value, json};

const MAX_INPUTS: usize = 2048;
const MAX_INPUT_TOKENS: u64 = 8192;
const MAX_SUM_TOKENS: u64 = 300_000;
const FIELDS: [&str; 5] = ["model", "input", "dimensions", "encoding_format", "user"];

struct Input {
    text: String,
    tokens: u64,
}

pub(super) fn answer(body: &Value) -> Result<Answer, Problem> {
    if let Some(unknown) = body.as_object().and_then(|body| body.keys().find(|key| !FIELDS.contains(&key.as_str()))) {
        return Err(Problem::new(400, INVALID_REQUEST, format!("Unrecognized request argument supplied: {unknown}")));
    }
    let model = str_at(body, "model");
    let native = models::embedding_dimensions(model).ok_or_else(|| models::not_found(model))?;
    let dimensions = dimensions(body, model, native)?;
    let inputs = inputs(body.get("input").unwrap_or(&Value::Null))?;
    let encode = match body.get("encoding_format").and_then(Value::as_str) {
        None | Some("float") => embedding::floats,
        Some("base64") => embedding::base64,
        Some(other) => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'float' and 'base64'.");
            return Err(super::invalid_value("encoding_format", message));
        }
    };
    let data = inputs.iter().enumerate().map(
        |(index, input)| json!({"object": "embedding", "index": index, "embedding": encode(&embedding::vector(&input.text, dimensions))}),
    );
    let data: Vec<Value> = data.collect();
    let tokens: u64 = inputs.iter().map(|input| input.tokens).sum();
    Ok(Answer::pretty(&json!({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})))
}

fn dimensions(body: &Value, model: &str, native: usize) -> Result<usize, Problem> {
    if !is_set(body, "dimensions") {
        return Ok(native);
    }
    if model == "text-embedding-ada-002" {
        return Err(Problem::new(400, INVALID_REQUEST, "This model does not support specifying dimensions.").param("dimensions"));
    }
    let wanted = body.get("dimensions").and_then(Value::as_u64).unwrap_or(0) as usize;
    if (1..=native).contains(&wanted) {
        return Ok(wanted);
    }
    let message = format!("Invalid 'dimensions': expected a value between 1 and {native}.");
    Err(Problem::new(400, INVALID_REQUEST, message).param("dimensions"))
}

fn inputs(input: &Value) -> Result<Vec<Input>, Problem> {
    let inputs = match input {
        Value::Null => return Err(missing("input")),
        Value::Array(items) if items.is_empty() => return Err(empty_array("input")),
        Value::Array(items) if items.iter().all(Value::is_u64) => vec![token_input(items)],
        Value::Array(items) => items.iter().map(one_input).collect::<Result<_, _>>()?,
        one => vec![one_input(one)?],
    };
    let sum: u64 = inputs.iter().map(|input| input.tokens).sum();
    if inputs.len() > MAX_INPUTS || sum > MAX_SUM_TOKENS || inputs.iter().any(|input| input.tokens > MAX_INPUT_TOKENS) {
        let message = format!(
            "This model's maximum context length is {MAX_INPUT_TOKENS} tokens; at most {MAX_INPUTS} inputs and {MAX_SUM_TOKENS} tokens in sum."
        );
        return Err(Problem::new(400, INVALID_REQUEST, message));
    }
    Ok(inputs)
}

fn one_input(input: &Value) -> Result<Input, Problem> {
    match input {
        Value::String(text) if !text.is_empty() => Ok(Input { tokens: text::tokens(text.len()), text: text.clone() }),
        Value::Array(tokens) if !tokens.is_empty() && tokens.iter().all(Value::is_u64) => Ok(token_input(tokens)),
        _ => Err(Problem::new(
            400,
            INVALID_REQUEST,
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
        )),
    }
}

fn token_input(tokens: &[Value]) -> Input {
    let ids: Vec<String> = tokens.iter().map(Value::to_string).collect();
    Input { text: ids.join(" "), tokens: tokens.len() as u64 }
}
