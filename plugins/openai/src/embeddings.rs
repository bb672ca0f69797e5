//! `POST /embeddings` (wire reference 1.11). How an answer lists its vectors is in the SDK.

use crate::encoding::Dropped;
use crate::endpoint::Endpoint;
use crate::extras::{CONTRACT, object};
use crate::failure;
use llm_gateway_adapter::body::json_headers;
use llm_gateway_adapter::embeddings::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse};
use llm_gateway_adapter::types::{Failure, Framing, HttpMethod, HttpRequest, HttpResponse, Segment};
use llm_gateway_adapter::vectors;
use serde::Serialize;
use serde_json::{Map, Value};

/// Its vectors have one length, and it refuses the field.
const FIXED: (&str, u32) = ("text-embedding-ada-002", 1536);

/// Fields that the adapter writes itself. How vectors are written is between it and the provider.
const TAKEN: [&str; 5] = ["model", "input", "dimensions", "encoding_format", "user"];

#[derive(Serialize)]
struct CreateEmbedding<'a> {
    model: &'a str,
    input: Input<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    /// A third of the bytes that numbers take.
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Texts(Vec<&'a str>),
    Tokens(Vec<&'a [u32]>),
}

/// # Errors
/// `unsupported` for media and for texts beside tokens, with the input named.
pub fn encode(request: &EmbeddingRequest) -> Result<HttpRequest, Failure> {
    let mut dropped = Dropped::default();
    let body = CreateEmbedding {
        model: &request.model,
        input: input(&request.inputs)?,
        dimensions: dimensions(request)?,
        encoding_format: "base64",
        user: request.user.as_deref(),
        extras: extras(request, &mut dropped)?,
    };
    let json = serde_json::to_string(&body).map_err(|error| Failure::invalid(None, error.to_string()))?;
    Ok(HttpRequest {
        method: HttpMethod::Post,
        path: "/embeddings".to_owned(),
        query: Vec::new(),
        headers: json_headers(),
        body: vec![Segment::Text(json)],
        framing: Framing::Whole,
        dropped: dropped.into_list(),
        context: vectors::context(request.inputs.len()),
        extras: Vec::new(),
    })
}

fn input(inputs: &[EmbeddingInput]) -> Result<Input<'_>, Failure> {
    let (mut texts, mut tokens) = (Vec::new(), Vec::new());
    for (at, input) in inputs.iter().enumerate() {
        match input {
            EmbeddingInput::Text(text) => texts.push(text.as_str()),
            EmbeddingInput::Tokens(ids) => tokens.push(ids.as_slice()),
            EmbeddingInput::Media(_) | EmbeddingInput::Other(_) => {
                return Err(Failure::unsupported(&format!("inputs[{at}]"), "the provider embeds only text and tokens"));
            }
        }
        if !texts.is_empty() && !tokens.is_empty() {
            return Err(Failure::unsupported(&format!("inputs[{at}]"), "the provider takes texts or tokens in one request, not both"));
        }
    }
    match (texts.is_empty(), tokens.is_empty()) {
        (true, true) => Err(Failure::invalid(Some("inputs"), "there is nothing to embed")),
        (_, true) => Ok(Input::Texts(texts)),
        (_, false) => Ok(Input::Tokens(tokens)),
    }
}

fn dimensions(request: &EmbeddingRequest) -> Result<Option<u32>, Failure> {
    let (model, length) = FIXED;
    match request.dimensions {
        Some(asked) if request.model == model && asked != length => {
            Err(Failure::unsupported("dimensions", format!("vectors of {model} have {length} dimensions")))
        }
        asked => Ok(asked.filter(|_| request.model != model)),
    }
}

fn extras(request: &EmbeddingRequest, dropped: &mut Dropped) -> Result<Map<String, Value>, Failure> {
    let mut own = Map::new();
    for native in request.extras.iter().filter(|native| native.dialect != CONTRACT) {
        let mut fields = object("extras", native)?;
        fields.retain(|name, _| !TAKEN.contains(&name.as_str()));
        if native.dialect == Endpoint::Chat.dialect() {
            own.extend(fields);
        } else {
            for name in fields.keys() {
                dropped.report(format!("extras.{name}"), format!("it is a field of {}", native.dialect));
            }
        }
    }
    Ok(own)
}

/// # Errors
/// The provider's error, or `malformed`.
pub fn decode(response: &HttpResponse, context: &str) -> Result<EmbeddingResponse, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    vectors::read(&response.body, context).map_err(|malformed| {
        let body = String::from_utf8_lossy(&response.body);
        failure::in_success(&body, &response.headers).unwrap_or(malformed)
    })
}
