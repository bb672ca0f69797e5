//! OpenAI's embeddings, as its clients speak them: `/v1/embeddings`. Format: chapter 1.11.
//!
//! Both of OpenAI's SDKs ask for base64 unless told otherwise, and decode it, so the caller's wish for the vectors' encoding is kept apart from the
//! request: providers are asked for numbers in their own way.

use super::chat::DIALECT;
use super::openai::{self, Tokens};
use crate::contract::embeddings::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse};
use crate::domain::Target;
use crate::edge::BadRequest;
use crate::edge::json::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

/// Inputs of one request.
const MAX_INPUTS: usize = 2048;

/// A parsed request for embeddings.
#[derive(Debug)]
pub struct EmbeddingCall {
    pub target: Target,
    /// `model` and `settings` are set later.
    pub request: EmbeddingRequest,
    pub encoding: Encoding,
}

/// How the caller wants vectors written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A list of numbers.
    Float,
    /// The numbers as 32-bit floats, little-endian, in base64.
    Base64,
}

const ENCODINGS: [(&str, Encoding); 2] = [("float", Encoding::Float), ("base64", Encoding::Base64)];

/// What the caller calls a field that an adapter names by its path in `embedding-request`: `inputs[3]` is `input[3]`.
pub fn caller_parameter(path: &str) -> String {
    let path = path.strip_prefix("extras.").unwrap_or(path);
    path.strip_prefix("inputs").map_or_else(|| path.to_owned(), |rest| format!("input{rest}"))
}

/// # Errors
/// The field at fault.
pub fn parse(body: &[u8]) -> Result<EmbeddingCall, BadRequest> {
    let mut fields = Fields::of_body(body)?;
    let model = fields.model("model")?.ok_or_else(|| fields.wrong("model", "is required and must be a string"))?;
    let input = fields.value("input").ok_or_else(|| fields.wrong("input", "is required"))?;
    let inputs = inputs(input).map_err(|(path, wrong)| fields.wrong(&path, wrong))?;
    let dimensions = fields.integer("dimensions", 1, u32::MAX)?;
    let encoding = fields.word("encoding_format", &ENCODINGS)?.unwrap_or(Encoding::Float);
    let user = openai::user(&mut fields)?;
    let extras = openai::extras(DIALECT, fields.rest());
    let request = EmbeddingRequest { model: String::new(), inputs, dimensions, user, settings: Vec::new(), extras };
    Ok(EmbeddingCall { target: Target::Name(model), request, encoding })
}

/// A field's path, and what is wrong with it.
type Wrong = (String, String);

fn inputs(input: Value) -> Result<Vec<EmbeddingInput>, Wrong> {
    let all = || "input".to_owned();
    match input {
        Value::String(_) => Ok(vec![one(all(), input)?]),
        Value::Array(values) if values.is_empty() => Err((all(), "must not be empty".to_owned())),
        // A list of numbers is one input.
        Value::Array(values) if values.first().is_some_and(Value::is_number) => Ok(vec![one(all(), Value::Array(values))?]),
        Value::Array(values) if values.len() > MAX_INPUTS => {
            Err((all(), format!("has {} inputs, and one request takes at most {MAX_INPUTS}: send several", values.len())))
        }
        Value::Array(values) => values.into_iter().enumerate().map(|(at, value)| one(format!("input[{at}]"), value)).collect(),
        _ => Err((all(), "must be a string, a list of strings, or token ids".to_owned())),
    }
}

fn one(path: String, value: Value) -> Result<EmbeddingInput, Wrong> {
    match value {
        Value::String(text) if text.is_empty() => Err((path, "must not be empty".to_owned())),
        Value::String(text) => Ok(EmbeddingInput::Text(text)),
        Value::Array(ids) if ids.is_empty() => Err((path, "must not be empty".to_owned())),
        Value::Array(ids) => {
            let token = |(at, id): (usize, &Value)| {
                let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
                id.ok_or_else(|| (format!("{path}[{at}]"), "must be a token id: a whole number".to_owned()))
            };
            Ok(EmbeddingInput::Tokens(ids.iter().enumerate().map(token).collect::<Result<_, _>>()?))
        }
        _ => Err((path, "must be a string or a list of token ids".to_owned())),
    }
}

#[derive(Debug, Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    usage: UsageBody,
}

#[derive(Debug, Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct UsageBody {
    prompt_tokens: u32,
    total_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated: Option<bool>,
}

/// The answer, as JSON. `asked`: the model's name, where the provider does not say which one answered.
pub fn render(answer: &EmbeddingResponse, asked: &str, encoding: Encoding) -> Vec<u8> {
    let data = answer.vectors.iter().enumerate();
    let list = List {
        object: "list",
        data: data.map(|(index, vector)| Embedding { object: "embedding", index, embedding: written(vector, encoding) }).collect(),
        model: answer.model.as_deref().unwrap_or(asked),
        usage: usage(answer),
    };
    // Strings and numbers in structs: there is nothing in them that JSON can't hold.
    serde_json::to_vec(&list).unwrap_or_default()
}

fn written(vector: &[f32], encoding: Encoding) -> Vector<'_> {
    match encoding {
        Encoding::Float => Vector::Float(vector),
        Encoding::Base64 => Vector::Base64(STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())),
    }
}

/// The dialect's types demand numbers: what the provider did not count is 0 here.
fn usage(answer: &EmbeddingResponse) -> UsageBody {
    let tokens = answer.usage.as_ref().map(Tokens::of).unwrap_or_default();
    UsageBody { prompt_tokens: tokens.input, total_tokens: tokens.total, estimated: tokens.estimated }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{Native, Usage};
    use serde_json::json;

    fn asked(input: Value) -> EmbeddingCall {
        parse(json!({"model": "m", "input": input}).to_string().as_bytes()).unwrap()
    }

    fn answer() -> EmbeddingResponse {
        let usage = Usage { input: Some(5), cache_read: None, cache_write: None, output: None, reasoning: None, details: Vec::new() };
        EmbeddingResponse { model: None, vectors: vec![vec![0.1, -2.5], vec![1.0]], usage: Some(usage), extras: Vec::new() }
    }

    #[test]
    fn every_form_of_input_is_understood() {
        let text = |text: &str| EmbeddingInput::Text(text.into());
        for (input, inputs) in [
            (json!("a"), vec![text("a")]),
            (json!(["a", "b"]), vec![text("a"), text("b")]),
            (json!([1, 2]), vec![EmbeddingInput::Tokens(vec![1, 2])]),
            (json!([[1], [2, 3]]), vec![EmbeddingInput::Tokens(vec![1]), EmbeddingInput::Tokens(vec![2, 3])]),
        ] {
            assert_eq!(asked(input.clone()).request.inputs, inputs, "{input}");
        }
    }

    #[test]
    fn the_other_fields_find_their_place() {
        let body = json!({"model": "openai/e", "input": "a", "dimensions": 256, "encoding_format": "base64", "user": "u", "task": "query"});
        let call = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!((call.target, call.encoding), (Target::Name("openai/e".into()), Encoding::Base64));
        assert_eq!((call.request.dimensions, call.request.user.as_deref()), (Some(256), Some("u")));
        assert_eq!(call.request.extras, [Native { dialect: "openai-chat".into(), value: r#"{"task":"query"}"#.into() }]);
        assert_eq!(asked(json!("a")).encoding, Encoding::Float);
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (body, field) in [
            (json!({"input": "a"}), "model"),
            (json!({"model": "m"}), "input"),
            (json!({"model": "m", "input": ""}), "input"),
            (json!({"model": "m", "input": []}), "input"),
            (json!({"model": "m", "input": {}}), "input"),
            (json!({"model": "m", "input": ["a", ""]}), "input[1]"),
            (json!({"model": "m", "input": ["a", 1]}), "input[1]"),
            (json!({"model": "m", "input": [[1], []]}), "input[1]"),
            (json!({"model": "m", "input": [1, "a"]}), "input[1]"),
            (json!({"model": "m", "input": [[1, -1]]}), "input[0][1]"),
            (json!({"model": "m", "input": vec!["a"; MAX_INPUTS + 1]}), "input"),
            (json!({"model": "m", "input": "a", "dimensions": 0}), "dimensions"),
            (json!({"model": "m", "input": "a", "encoding_format": "hex"}), "encoding_format"),
        ] {
            assert_eq!(parse(body.to_string().as_bytes()).unwrap_err().param.as_deref(), Some(field));
        }
    }

    #[test]
    fn vectors_are_written_as_numbers() {
        let body: Value = serde_json::from_slice(&render(&answer(), "m", Encoding::Float)).unwrap();
        assert_eq!(
            body,
            json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5}, "data": [
                {"object": "embedding", "index": 0, "embedding": [0.1, -2.5]}, {"object": "embedding", "index": 1, "embedding": [1.0]}]})
        );
    }

    #[test]
    fn vectors_are_written_as_base64_of_little_endian_floats() {
        let body: Value = serde_json::from_slice(&render(&answer(), "m", Encoding::Base64)).unwrap();
        let bytes = STANDARD.decode(body["data"][0]["embedding"].as_str().unwrap()).unwrap();
        assert_eq!(bytes, [0.1f32.to_le_bytes(), (-2.5f32).to_le_bytes()].concat());
    }
}
