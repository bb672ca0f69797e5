//! Gemini's `:embedContent` and `:batchEmbedContents`.

use super::models::{EMBEDDING_DIMENSIONS, Model};
use super::{fields, invalid};
use crate::simulate::embedding;
use crate::simulate::prompt::{list_at, str_at};
use crate::simulate::wire::{Answer, Problem};
use serde_json::{Value, json};

const MAX_BATCH: usize = 100;

pub(super) fn one(model: &str, body: &Value) -> Result<Answer, Problem> {
    Model::known(model, "embedContent")?;
    let request = fields::normalised(body, fields::EMBED)?;
    Ok(Answer::pretty(&json!({"embedding": embed(&request)?})))
}

pub(super) fn batch(model: &str, body: &Value) -> Result<Answer, Problem> {
    Model::known(model, "batchEmbedContents")?;
    let batch = fields::normalised(body, fields::EMBED_BATCH)?;
    let requests = list_at(&batch, "requests");
    if requests.is_empty() || requests.len() > MAX_BATCH {
        return Err(invalid(format!(
            "* BatchEmbedContentsRequest.requests: at least one and at most {MAX_BATCH} requests can be in one batch\n"
        )));
    }
    for (index, request) in requests.iter().enumerate() {
        if str_at(request, "model") != format!("models/{model}") {
            return Err(invalid(format!(
                "* BatchEmbedContentsRequest.requests[{index}].model: model is required and must be the model of the batch.\n"
            )));
        }
    }
    let embeddings: Vec<Value> = requests.iter().map(embed).collect::<Result<_, _>>()?;
    Ok(Answer::pretty(&json!({"embeddings": embeddings})))
}

fn embed(request: &Value) -> Result<Value, Problem> {
    let content = request.get("content").unwrap_or(&Value::Null);
    let parts = list_at(content, "parts");
    if parts.is_empty() {
        return Err(invalid("* EmbedContentRequest.content: content is required.\n"));
    }
    let text: String = parts.iter().map(|part| str_at(part, "text")).collect();
    let dimensions = match request.get("outputDimensionality").filter(|wanted| !wanted.is_null()) {
        None => EMBEDDING_DIMENSIONS,
        Some(wanted) => wanted
            .as_u64()
            .map(|wanted| wanted as usize)
            .filter(|wanted| (1..=EMBEDDING_DIMENSIONS).contains(wanted))
            .ok_or_else(|| invalid("* EmbedContentRequest.output_dimensionality: out of range.\n"))?,
    };
    // A shorter vector is the beginning of the whole one: its length is no longer one.
    let whole = embedding::vector(&text, EMBEDDING_DIMENSIONS);
    Ok(json!({"values": embedding::floats(&whole[..dimensions])}))
}
