//! `:batchEmbedContents` (wire reference 2.9), for one input as for many.
//!
//! Gemini's first embedding model does not scale a shortened vector to length 1, which callers rely on (a dot product for a cosine): that is
//! done here, for all models, as to do it twice changes nothing.

use crate::DIALECT;
use crate::extras;
use crate::failure;
use crate::losses::Losses;
use crate::media::{self, MediaPart};
use crate::request;
use llm_gateway_adapter::body::{self, Media};
use llm_gateway_adapter::embeddings::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse};
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::serde_json::{self, Map, Value};
use llm_gateway_adapter::types::{Failure, Framing, HttpMethod, HttpRequest, HttpResponse};
use llm_gateway_adapter::vectors;
use serde::{Deserialize, Serialize};

/// Fields that the adapter writes itself.
const TAKEN: [&str; 5] = ["model", "content", "outputDimensionality", "output_dimensionality", "requests"];

/// Takes text alone; later ones also images, sounds and films.
const TEXT_ONLY: &str = "gemini-embedding-001";

#[derive(Serialize)]
struct BatchEmbedContents<'a> {
    requests: Vec<EmbedContent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmbedContent<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
    /// `taskType`, `title`
    #[serde(flatten)]
    extras: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Parts {
        parts: [Part<'a>; 1],
    },
    /// As the caller wrote it: `{"parts":[..]}`.
    Native(Map<String, Value>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Text { text: &'a str },
    Media(MediaPart<'a>),
}

/// # Errors
/// `unsupported` for tokens, and for media where the model takes none; the input is named.
pub fn encode(request: &EmbeddingRequest) -> Result<HttpRequest, Failure> {
    if request.inputs.is_empty() {
        return Err(Failure::invalid(Some("inputs"), "there is nothing to embed"));
    }
    let (mut losses, mut bodies) = (Losses::default(), Media::default());
    if request.user.is_some() {
        losses.add("user", "Gemini takes no user");
    }
    let mut extras = extras::own(&request.extras, "extras", &mut losses)?.unwrap_or_default();
    extras.retain(|name, _| !TAKEN.contains(&name.as_str()));
    let model = request::resource(&request.model);
    let mut requests = Vec::with_capacity(request.inputs.len());
    for (at, input) in request.inputs.iter().enumerate() {
        let content = content(&request.model, input, &format!("inputs[{at}]"), &mut bodies)?;
        requests.push(EmbedContent { model: &model, content, output_dimensionality: request.dimensions, extras: &extras });
    }
    Ok(HttpRequest {
        method: HttpMethod::Post,
        path: request::path(&request.model, "batchEmbedContents"),
        query: Vec::new(),
        headers: body::json_headers(),
        body: bodies.segments(&BatchEmbedContents { requests })?,
        framing: Framing::Whole,
        dropped: losses.into_list(),
        context: vectors::context(request.inputs.len()),
        extras: Vec::new(),
    })
}

fn content<'a>(model: &str, input: &'a EmbeddingInput, path: &str, bodies: &mut Media) -> Result<Content<'a>, Failure> {
    let part = match input {
        EmbeddingInput::Text(text) => Part::Text { text },
        EmbeddingInput::Tokens(_) => return Err(Failure::unsupported(path, "Gemini embeds text, not tokens")),
        EmbeddingInput::Media(_) if model.ends_with(TEXT_ONLY) => return Err(Failure::unsupported(path, "this model embeds only text")),
        EmbeddingInput::Media(media) => Part::Media(media::part(media, path, bodies)?),
        EmbeddingInput::Other(native) if native.dialect == DIALECT => return Ok(Content::Native(extras::object(native, path)?)),
        EmbeddingInput::Other(native) => {
            return Err(Failure::unsupported(path, format!("Gemini can't embed this input of the dialect `{}`", native.dialect)));
        }
    };
    Ok(Content::Parts { parts: [part] })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchEmbedContentsResponse {
    embeddings: Vec<ContentEmbedding>,
    usage_metadata: Option<EmbeddingUsage>,
}

#[derive(Deserialize)]
struct ContentEmbedding {
    values: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EmbeddingUsage {
    prompt_token_count: Option<u32>,
}

/// # Errors
/// The provider's, or `malformed`.
pub fn decode(response: &HttpResponse, context: &str) -> Result<EmbeddingResponse, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let body: BatchEmbedContentsResponse = serde_json::from_slice(&response.body).map_err(|_| {
        let text = String::from_utf8_lossy(&response.body);
        failure::of_text(&text).unwrap_or_else(|| Failure::malformed(unreadable_body(response.status, &response.body)))
    })?;
    let answer = EmbeddingResponse {
        model: None,
        vectors: body.embeddings.into_iter().map(|embedding| vectors::to_unit_length(embedding.values)).collect(),
        usage: body.usage_metadata.map(|usage| vectors::usage(usage.prompt_token_count)),
        extras: Vec::new(),
    };
    vectors::check_count(&answer, context)?;
    Ok(answer)
}
