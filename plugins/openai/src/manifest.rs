//! What the adapter says of itself, and the models that it knows.
//!
//! Models and shutdown dates: wire reference 1.12. Windows and output limits: OpenAI's model pages. Prices are the host's to know.

use crate::families::{Model, Reasons};
use crate::settings;
use llm_gateway_adapter::types::{Capabilities, Credential, ModelInfo, ProviderInfo, Task};

/// A model of the list.
struct Known {
    id: &'static str,
    name: &'static str,
    /// Context window and greatest output, in tokens, where they are known.
    tokens: Option<(u32, u32)>,
    retires: Option<&'static str>,
    suited_to: &'static [Task],
}

const fn model(id: &'static str, name: &'static str, tokens: Option<(u32, u32)>) -> Known {
    Known { id, name, tokens, retires: None, suited_to: &[] }
}

const LARGE: Option<(u32, u32)> = Some((1_050_000, 128_000));
const MIDDLE: Option<(u32, u32)> = Some((400_000, 128_000));

/// The preferred one first: current, general, and not the dearest.
const MODELS: &[Known] = &[
    Known { suited_to: &[Task::TextGeneration, Task::QuestionAnswering, Task::Other], ..model("gpt-5.6-terra", "GPT-5.6 Terra", LARGE) },
    Known { suited_to: &[Task::Summarization, Task::SentimentAnalysis], ..model("gpt-5.6-luna", "GPT-5.6 Luna", LARGE) },
    model("gpt-5.6-sol", "GPT-5.6 Sol", LARGE),
    model("gpt-6-luna", "GPT-6 Luna", None),
    Known { suited_to: &[Task::Other], ..model("gpt-6-sol", "GPT-6 Sol", None) },
    model("gpt-6.1-terra", "GPT-6.1 Terra", None),
    model("gpt-6.1-sol", "GPT-6.1 Sol", None),
    model("gpt-6.2-sol", "GPT-6.2 Sol", None),
    model("gpt-6-astra", "GPT-6 Astra", LARGE),
    model("gpt-6.2-astra", "GPT-6.2 Astra", LARGE),
    model("gpt-5.5", "GPT-5.5", LARGE),
    model("gpt-5.4", "GPT-5.4", LARGE),
    model("gpt-5.4-mini", "GPT-5.4 mini", MIDDLE),
    Known { retires: Some("2027-04-01"), ..model("gpt-5.4-nano", "GPT-5.4 nano", MIDDLE) },
    model("gpt-5.2", "GPT-5.2", MIDDLE),
    Known { retires: Some("2027-04-01"), ..model("gpt-5.1", "GPT-5.1", MIDDLE) },
    Known { retires: Some("2026-12-11"), ..model("gpt-5", "GPT-5", MIDDLE) },
    Known { retires: Some("2026-12-11"), ..model("gpt-5-mini", "GPT-5 mini", MIDDLE) },
    Known { retires: Some("2026-12-11"), ..model("gpt-5-nano", "GPT-5 nano", MIDDLE) },
    Known { retires: Some("2026-12-11"), ..model("o3", "o3", Some((200_000, 100_000))) },
    Known { retires: Some("2027-01-14"), ..model("gpt-4.1", "GPT-4.1", Some((1_047_576, 32_768))) },
    Known { retires: Some("2027-01-14"), ..model("gpt-4.1-mini", "GPT-4.1 mini", Some((1_047_576, 32_768))) },
    Known { retires: Some("2027-01-14"), ..model("gpt-4o", "GPT-4o", Some((128_000, 16_384))) },
    Known { retires: Some("2027-01-14"), ..model("gpt-4o-mini", "GPT-4o mini", Some((128_000, 16_384))) },
    model("gpt-audio", "GPT Audio", Some((128_000, 16_384))),
];

/// They stand after all that chat, so that none is a provider's default. Id and name.
const EMBEDDING_MODELS: [(&str, &str); 3] = [
    ("text-embedding-3-small", "Text Embedding 3 small"),
    ("text-embedding-3-large", "Text Embedding 3 large"),
    ("text-embedding-ada-002", "Text Embedding Ada 002"),
];
/// Tokens of one input.
const EMBEDDING_WINDOW: u32 = 8192;

pub fn describe() -> ProviderInfo {
    ProviderInfo {
        id: "openai".to_owned(),
        name: "OpenAI".to_owned(),
        version: version(),
        base_url: "https://api.openai.com/v1".to_owned(),
        credential: Some(Credential {
            variable: "OPENAI_API_KEY".to_owned(),
            header: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }),
        fixed_headers: Vec::new(),
        request_id_header: Some("x-request-id".to_owned()),
        settings: settings::all(),
        models: MODELS.iter().map(info).chain(EMBEDDING_MODELS.into_iter().map(embedding_info)).collect(),
        extras: Vec::new(),
    }
}

/// A build may be tagged, to tell two builds of one version apart.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("LLM_GATEWAY_ADAPTER_TAG") {
        Some(tag) if !tag.is_empty() => format!("{version}+{tag}"),
        _ => version.to_owned(),
    }
}

fn info(known: &Known) -> ModelInfo {
    ModelInfo {
        id: known.id.to_owned(),
        name: Some(known.name.to_owned()),
        aliases: Vec::new(),
        context_window: known.tokens.map(|(window, _)| window),
        max_output: known.tokens.map(|(_, output)| output),
        capabilities: Some(capabilities(known.id)),
        price: None,
        suited_to: known.suited_to.to_vec(),
        retires: known.retires.map(str::to_owned),
        extras: Vec::new(),
    }
}

fn embedding_info((id, name): (&'static str, &'static str)) -> ModelInfo {
    let window = Some((EMBEDDING_WINDOW, 0));
    ModelInfo { max_output: None, capabilities: Some(Capabilities::EMBEDDINGS), ..info(&model(id, name, window)) }
}

fn capabilities(id: &str) -> Capabilities {
    let all =
        Capabilities::CHAT | Capabilities::STREAMING | Capabilities::TOOLS | Capabilities::PARALLEL_TOOLS | Capabilities::SEVERAL_CHOICES;
    if id.starts_with("gpt-audio") {
        return all | Capabilities::SAMPLING | Capabilities::STOP_SEQUENCES | Capabilities::AUDIO_INPUT | Capabilities::AUDIO_OUTPUT;
    }
    let seeing = all
        | Capabilities::JSON_OBJECT
        | Capabilities::JSON_SCHEMA
        | Capabilities::IMAGE_INPUT
        | Capabilities::DOCUMENT_INPUT
        | Capabilities::MEDIA_BY_URL;
    let family = Model::of(id).family;
    let with_breakpoints = if family.breakpoints { seeing | Capabilities::CACHE_BREAKPOINTS } else { seeing };
    match family.reasons {
        Reasons::Yes { .. } if id.starts_with('o') => with_breakpoints | Capabilities::REASONING,
        Reasons::Yes { .. } => with_breakpoints | Capabilities::REASONING | Capabilities::CUSTOM_TOOLS,
        _ => with_breakpoints | Capabilities::SAMPLING | Capabilities::STOP_SEQUENCES | Capabilities::LOGPROBS,
    }
}
