//! Every recorded embedding, sent through the gateway in OpenAI's form and asked for as numbers and as base64.

use crate::client::Answer;
use crate::expected::{compare_error, same};
use crate::playback::Playback;
use crate::recorded::Recording;
use crate::support::{Gateway, json};
use crate::through::{path, start_gateway};
use crate::{PROVIDERS, Provider, recordings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::iter::once;

/// The recorded request in OpenAI's form; a plain one where only the answer was recorded.
fn embeddings_request(provider: Provider, recording: &Recording, encoding: &str) -> Value {
    let recorded = recording.json["request"]["body"].as_object().cloned().unwrap_or_default();
    let is_gemini = provider.folder == "gemini";
    let mut request = if is_gemini { of_gemini(&recorded) } else { recorded };
    let answered = recording.json["expected"]["model"].as_str().unwrap_or_default();
    let model = request.get("model").and_then(Value::as_str).unwrap_or(answered);
    request.insert("model".to_owned(), json!(format!("{}/{model}", provider.adapter)));
    request.insert("encoding_format".to_owned(), json!(encoding));
    // The answer that stands alone has two vectors.
    request.entry("input").or_insert_with(|| json!(["Hello", "world"]));
    Value::Object(request)
}

/// One text for each request of the batch.
fn of_gemini(recorded: &Map<String, Value>) -> Map<String, Value> {
    let requests = recorded["requests"].as_array().unwrap();
    let text = |request: &Value| {
        let parts = request.pointer("/content/parts").and_then(Value::as_array).unwrap();
        parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
    };
    let model = requests[0]["model"].as_str().unwrap().trim_start_matches("models/");
    let mut request = Map::from_iter([
        ("model".to_owned(), json!(model)),
        ("input".to_owned(), requests.iter().map(|request| json!(text(request))).collect()),
    ]);
    request.extend(requests[0].get("outputDimensionality").map(|dimensions| ("dimensions".to_owned(), dimensions.clone())));
    request
}

fn vector(embedding: &Value) -> Result<Vec<f32>, String> {
    match embedding {
        Value::String(base64) => {
            let bytes = STANDARD.decode(base64).map_err(|error| error.to_string())?;
            Ok(bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect())
        }
        numbers => serde_json::from_value(numbers.clone()).map_err(|error| error.to_string()),
    }
}

fn compare(answer: &Value, encoding: &str, expected: &Value) -> Result<(), String> {
    let data = answer["data"].as_array().ok_or_else(|| format!("expected embeddings, got {answer}"))?;
    if data.iter().any(|entry| entry["embedding"].is_string() != (encoding == "base64")) {
        return Err(format!("not all is {encoding}"));
    }
    let indexes: Vec<&Value> = data.iter().map(|entry| &entry["index"]).collect();
    same("indexes", &json!(indexes), &(0..data.len()).map(Value::from).collect())?;
    same("n_embeddings", &json!(data.len()), &expected["n_embeddings"])?;
    let vectors = data.iter().map(|entry| vector(&entry["embedding"])).collect::<Result<Vec<_>, _>>()?;
    if vectors.iter().any(|vector| json!(vector.len()) != expected["embedding_dims"]) {
        return Err(format!(
            "embedding_dims: expected {}, got {:?}",
            expected["embedding_dims"],
            vectors.iter().map(Vec::len).collect::<Vec<_>>()
        ));
    }
    let first: Vec<f32> = serde_json::from_value(expected["embedding_first"].clone()).map_err(|error| error.to_string())?;
    same("embedding_first", &json!(vectors[0][..first.len()]), &json!(first))?;
    if !expected["model"].is_null() {
        same("model", &answer["model"], &expected["model"])?;
    }
    let input = expected["usage"]["input_total"].as_u64();
    let counted = ["prompt_tokens", "total_tokens"].into_iter().zip(once(input).cycle());
    counted.filter_map(|(name, count)| Some((name, count?))).try_for_each(|(name, count)| same(name, &answer["usage"][name], &json!(count)))
}

async fn check(gateway: &Gateway, playback: &Playback, provider: Provider, recording: &Recording) -> Result<(), String> {
    let expected = &recording.json["expected"];
    for encoding in ["float", "base64"] {
        playback.put_on(provider, recording.response.clone());
        let request = embeddings_request(provider, recording, encoding);
        let response = gateway.post("/v1/embeddings").json(&request).send().await.unwrap();
        if expected["kind"] == "error" {
            compare_error(&Answer::read(response).await?, &expected["error"])?;
        } else {
            compare(&json(response).await, encoding, expected).map_err(|difference| format!("{encoding}: {difference}"))?;
        }
        same("asked of the provider", &json!(playback.asked(provider)), &json!([path(recording)]))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_embedding_reaches_an_openai_client_in_both_encodings() {
    if crate::RECORDINGS.is_none() {
        return;
    }
    let playback = Playback::start().await;
    let gateway = start_gateway(&playback);
    let mut complaints = Vec::new();
    for provider in PROVIDERS {
        let embeddings =
            recordings(provider.folder).unwrap_or_default().into_iter().filter(|(_, recording)| recording.endpoint() == "embeddings");
        for (name, recording) in embeddings {
            let result = check(&gateway, &playback, provider, &recording).await;
            complaints.extend(result.err().map(|difference| format!("{}/{name}: {difference}", provider.folder)));
        }
    }
    assert!(complaints.is_empty(), "{} differ:\n{}", complaints.len(), complaints.join("\n"));
}
