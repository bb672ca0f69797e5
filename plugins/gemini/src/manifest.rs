//! What the adapter says of itself, and the models that it knows.

use crate::DIALECT;
use crate::families::{self, Logprobs, Thinking};
use llm_gateway_adapter::types::{Capabilities, Credential, ModelInfo, ProviderInfo, Task};

/// Of every Gemini that chats, as `GET /models` says.
const WINDOW: u32 = 1_048_576;
const MOST_OUTPUT: u32 = 65_536;

/// The preferred one first: current, for everything, and quick. The dearest needs a paid key, and is never chosen unasked.
const MODELS: &[(&str, &str, &[Task])] = &[
    ("gemini-3.8-flash", "Gemini 3.8 Flash", &[Task::TextGeneration, Task::QuestionAnswering, Task::Other]),
    ("gemini-3.1-flash-lite", "Gemini 3.1 Flash-Lite", &[Task::Summarization, Task::SentimentAnalysis]),
    ("gemini-4-argon", "Gemini 4 Argon", &[]),
    ("gemini-3.7-flash", "Gemini 3.7 Flash", &[]),
    ("gemini-3.6-flash", "Gemini 3.6 Flash", &[]),
    ("gemini-3.5-flash", "Gemini 3.5 Flash", &[]),
    ("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite", &[]),
    ("gemini-3.1-pro-preview", "Gemini 3.1 Pro Preview", &[]),
    ("gemini-flash-latest", "Gemini Flash Latest", &[]),
    ("gemini-flash-lite-latest", "Gemini Flash-Lite Latest", &[]),
    ("gemini-pro-latest", "Gemini Pro Latest", &[]),
    ("gemini-2.5-pro", "Gemini 2.5 Pro", &[]),
    ("gemini-2.5-flash", "Gemini 2.5 Flash", &[]),
    ("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", &[]),
];

/// They stand after all that chat, so that none is the provider's default. Id, name, and tokens of one input.
const EMBEDDING_MODELS: [(&str, &str, u32); 2] =
    [("gemini-embedding-2", "Gemini Embedding 2", 8192), ("gemini-embedding-001", "Gemini Embedding 001", 2048)];

pub fn describe() -> ProviderInfo {
    ProviderInfo {
        id: DIALECT.to_owned(),
        name: "Google Gemini".to_owned(),
        version: version(),
        base_url: "https://generativelanguage.googleapis.com/v1beta".to_owned(),
        credential: Some(Credential { variable: "GEMINI_API_KEY".to_owned(), header: "x-goog-api-key".to_owned(), prefix: String::new() }),
        fixed_headers: Vec::new(),
        // Gemini names an answer in its body alone.
        request_id_header: None,
        settings: Vec::new(),
        models: MODELS
            .iter()
            .map(|(id, name, tasks)| known_model(id, name, tasks))
            .chain(EMBEDDING_MODELS.into_iter().map(embedding_model))
            .collect(),
        extras: Vec::new(),
    }
}

/// A build can be marked apart from others of the same version.
fn version() -> String {
    match option_env!("LLM_GATEWAY_ADAPTER_TAG") {
        Some(tag) if !tag.is_empty() => format!("{}+{tag}", env!("CARGO_PKG_VERSION")),
        _ => env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn known_model(id: &str, name: &str, tasks: &[Task]) -> ModelInfo {
    ModelInfo {
        id: id.to_owned(),
        name: Some(name.to_owned()),
        aliases: Vec::new(),
        context_window: Some(WINDOW),
        max_output: Some(MOST_OUTPUT),
        capabilities: Some(capabilities(id)),
        price: None,
        suited_to: tasks.to_vec(),
        retires: None,
        extras: Vec::new(),
    }
}

fn embedding_model((id, name, window): (&str, &str, u32)) -> ModelInfo {
    ModelInfo { context_window: Some(window), max_output: None, capabilities: Some(Capabilities::EMBEDDINGS), ..known_model(id, name, &[]) }
}

/// Several choices are left out: many models refuse `candidateCount`.
fn capabilities(model: &str) -> Capabilities {
    let family = families::of(model);
    let mut capabilities = Capabilities::CHAT
        | Capabilities::STREAMING
        | Capabilities::TOOLS
        | Capabilities::PARALLEL_TOOLS
        | Capabilities::CUSTOM_TOOLS
        | Capabilities::JSON_OBJECT
        | Capabilities::JSON_SCHEMA
        | Capabilities::IMAGE_INPUT
        | Capabilities::AUDIO_INPUT
        | Capabilities::VIDEO_INPUT
        | Capabilities::DOCUMENT_INPUT
        | Capabilities::MEDIA_BY_URL
        | Capabilities::SAMPLING
        | Capabilities::STOP_SEQUENCES;
    if !matches!(family.thinking, Thinking::Absent) {
        capabilities = capabilities | Capabilities::REASONING;
    }
    if family.logprobs == Logprobs::Possible {
        capabilities = capabilities | Capabilities::LOGPROBS;
    }
    capabilities
}

/// The model, if it is one of those above.
pub fn find(id: &str) -> Option<ModelInfo> {
    let embedding = || EMBEDDING_MODELS.into_iter().find(|(known, ..)| *known == id).map(embedding_model);
    MODELS.iter().find(|(known, ..)| *known == id).map(|(id, name, tasks)| known_model(id, name, tasks)).or_else(embedding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_finds_a_model_for_each_task() {
        let models = describe().models;
        for task in [Task::TextGeneration, Task::Summarization, Task::SentimentAnalysis, Task::QuestionAnswering, Task::Other] {
            assert!(models.iter().any(|model| model.suited_to.contains(&task)), "{task:?}");
        }
    }

    #[test]
    fn models_that_only_embed_come_last_and_suit_no_task() {
        let models = describe().models;
        let first = models.iter().position(|model| model.capabilities == Some(Capabilities::EMBEDDINGS));
        let (chatting, embedding) = models.split_at(first.unwrap_or_default());
        assert!(
            !chatting.is_empty()
                && chatting.iter().all(|model| model.capabilities.is_some_and(|can| can & Capabilities::CHAT == Capabilities::CHAT))
        );
        assert!(embedding.iter().all(|model| model.capabilities == Some(Capabilities::EMBEDDINGS) && model.suited_to.is_empty()));
    }
}
