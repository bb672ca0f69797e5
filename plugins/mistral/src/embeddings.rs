//! `POST /embeddings` (wire reference 3.6). How an answer lists its vectors is in the SDK.

use crate::failure;
use crate::report::Report;
use llm_gateway_adapter::body::json_headers;
use llm_gateway_adapter::embeddings::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse};
use llm_gateway_adapter::types::{Failure, Framing, HttpMethod, HttpRequest, HttpResponse, Segment};
use llm_gateway_adapter::vectors;
use serde::Serialize;
use serde_json::{Map, Value};

/// Its vectors have one length, and it refuses the field.
const FIXED: (&str, u32) = ("mistral-embed", 1024);

/// Fields that the adapter writes itself. Vectors of another type than floats are none to the gateway.
const TAKEN: [&str; 7] = ["model", "input", "dimensions", "output_dimension", "output_dtype", "encoding_format", "user"];

#[derive(Serialize)]
struct EmbeddingBody<'a> {
    model: &'a str,
    input: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
    /// A third of the bytes that numbers take.
    encoding_format: &'static str,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

/// # Errors
/// `unsupported` for anything but text, with the input named.
pub fn encode(request: &EmbeddingRequest) -> Result<HttpRequest, Failure> {
    let mut report = Report::default();
    if request.user.is_some() {
        report.add("user", "Mistral has no such field");
    }
    let mut extras = report.own_fields(&request.extras, || "extras".to_owned())?;
    extras.retain(|name, _| !TAKEN.contains(&name.as_str()));
    let body = EmbeddingBody {
        model: &request.model,
        input: texts(&request.inputs)?,
        output_dimension: dimensions(request)?,
        encoding_format: "base64",
        extras,
    };
    let json = serde_json::to_string(&body).map_err(|error| Failure::invalid(None, error.to_string()))?;
    Ok(HttpRequest {
        method: HttpMethod::Post,
        path: "/embeddings".to_owned(),
        query: Vec::new(),
        headers: json_headers(),
        body: vec![Segment::Text(json)],
        framing: Framing::Whole,
        dropped: report.into_dropped(),
        context: vectors::context(request.inputs.len()),
        extras: Vec::new(),
    })
}

fn texts(inputs: &[EmbeddingInput]) -> Result<Vec<&str>, Failure> {
    if inputs.is_empty() {
        return Err(Failure::invalid(Some("inputs"), "there is nothing to embed"));
    }
    let texts = inputs.iter().enumerate().map(|(at, input)| match input {
        EmbeddingInput::Text(text) => Ok(text.as_str()),
        EmbeddingInput::Tokens(_) => Err(Failure::unsupported(&format!("inputs[{at}]"), "Mistral embeds text, not tokens")),
        EmbeddingInput::Media(_) | EmbeddingInput::Other(_) => {
            Err(Failure::unsupported(&format!("inputs[{at}]"), "Mistral embeds only text"))
        }
    });
    texts.collect()
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

/// # Errors
/// The provider's error, or `malformed`.
pub fn decode(response: &HttpResponse, context: &str) -> Result<EmbeddingResponse, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    vectors::read(&response.body, context).map_err(|malformed| match failure::in_answer(&response.body) {
        error if error.provider_type.is_some() || error.provider_code.is_some() => error,
        _ => malformed,
    })
}
