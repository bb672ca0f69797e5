//! Models: those that are known without asking (wire reference 3.6), and the list that Mistral gives.
//!
//! A model that is in neither is passed on all the same.

use crate::answer::Text;
use crate::failure;
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::models::Page;
use llm_gateway_adapter::types::{Capabilities, Failure, Framing, HttpMethod, HttpRequest, HttpResponse, ModelInfo, Task};
use serde::Deserialize;
use std::collections::BTreeSet;

// ---- known models --------------------------------------------------------------------------------------------------

struct Known {
    id: &'static str,
    name: &'static str,
    aliases: &'static [&'static str],
    context_window: u32,
    max_output: Option<u32>,
    capabilities: &'static [&'static [Capabilities]],
    suited_to: &'static [Task],
}

/// What the API offers with every chat model.
const CHAT: &[Capabilities] = &[
    Capabilities::CHAT,
    Capabilities::STREAMING,
    Capabilities::JSON_OBJECT,
    Capabilities::JSON_SCHEMA,
    Capabilities::SAMPLING,
    Capabilities::STOP_SEQUENCES,
    Capabilities::LOGPROBS,
    Capabilities::SEVERAL_CHOICES,
    Capabilities::MEDIA_BY_URL,
    Capabilities::PREFILL,
];
/// Custom tools are sent as functions.
const TOOLS: &[Capabilities] = &[Capabilities::TOOLS, Capabilities::PARALLEL_TOOLS, Capabilities::CUSTOM_TOOLS];
const VISION: &[Capabilities] = &[Capabilities::IMAGE_INPUT, Capabilities::DOCUMENT_INPUT];
const REASONING: &[Capabilities] = &[Capabilities::REASONING];
const AUDIO: &[Capabilities] = &[Capabilities::AUDIO_INPUT];
const EMBEDDINGS: &[Capabilities] = &[Capabilities::EMBEDDINGS];

fn union<'a>(sets: impl IntoIterator<Item = &'a &'static [Capabilities]>) -> Capabilities {
    sets.into_iter().copied().flatten().fold(Capabilities::empty(), |all, one| all | *one)
}

/// The preferred one first.
const KNOWN: &[Known] = &[
    Known {
        id: "mistral-medium-3-5",
        name: "Mistral Medium 3.5",
        aliases: &["mistral-medium-latest", "mistral-medium-2604", "mistral-medium-3.5", "mistral-medium"],
        context_window: 262_144,
        max_output: None,
        capabilities: &[CHAT, TOOLS, VISION, REASONING],
        suited_to: &[Task::TextGeneration, Task::QuestionAnswering, Task::Other],
    },
    Known {
        id: "mistral-small-2603",
        name: "Mistral Small 4",
        aliases: &["mistral-small-latest"],
        context_window: 262_144,
        max_output: None,
        capabilities: &[CHAT, TOOLS, VISION, REASONING],
        suited_to: &[Task::Summarization, Task::Other],
    },
    Known {
        id: "ministral-8b-2512",
        name: "Ministral 3 8B",
        aliases: &["ministral-8b-latest"],
        context_window: 262_144,
        max_output: None,
        capabilities: &[CHAT, TOOLS, VISION],
        suited_to: &[Task::SentimentAnalysis],
    },
    Known {
        id: "mistral-large-4",
        name: "Mistral Large 4",
        aliases: &["mistral-large-4-0"],
        context_window: 1_000_000,
        max_output: Some(262_144),
        capabilities: &[CHAT, TOOLS, VISION, REASONING],
        suited_to: &[],
    },
    Known {
        id: "mistral-large-2512",
        name: "Mistral Large 3",
        aliases: &["mistral-large-latest"],
        context_window: 262_144,
        max_output: None,
        capabilities: &[CHAT, TOOLS, VISION],
        suited_to: &[],
    },
    Known {
        id: "ministral-14b-2512",
        name: "Ministral 3 14B",
        aliases: &["ministral-14b-latest"],
        context_window: 262_144,
        max_output: None,
        capabilities: &[CHAT, TOOLS, VISION],
        suited_to: &[],
    },
    Known {
        id: "ministral-3b-2512",
        name: "Ministral 3 3B",
        aliases: &["ministral-3b-latest"],
        context_window: 131_072,
        max_output: None,
        capabilities: &[CHAT, TOOLS, VISION],
        suited_to: &[],
    },
    Known {
        id: "codestral-2508",
        name: "Codestral",
        aliases: &["codestral-latest"],
        context_window: 256_000,
        max_output: None,
        capabilities: &[CHAT, TOOLS],
        suited_to: &[],
    },
    Known {
        id: "voxtral-small-2507",
        name: "Voxtral Small",
        aliases: &["voxtral-small-latest"],
        context_window: 32_768,
        max_output: None,
        capabilities: &[CHAT, TOOLS, AUDIO],
        suited_to: &[],
    },
    // After all that chat, so that none of them is the provider's default.
    Known {
        id: "mistral-embed",
        name: "Mistral Embed",
        aliases: &["mistral-embed-2312"],
        context_window: 8192,
        max_output: None,
        capabilities: &[EMBEDDINGS],
        suited_to: &[],
    },
    Known {
        id: "codestral-embed",
        name: "Codestral Embed",
        aliases: &["codestral-embed-2505"],
        context_window: 8192,
        max_output: None,
        capabilities: &[EMBEDDINGS],
        suited_to: &[],
    },
];

pub fn known() -> Vec<ModelInfo> {
    KNOWN
        .iter()
        .map(|known| ModelInfo {
            id: known.id.to_owned(),
            name: Some(known.name.to_owned()),
            aliases: known.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            context_window: Some(known.context_window),
            max_output: known.max_output,
            capabilities: Some(union(known.capabilities)),
            price: None,
            suited_to: known.suited_to.to_vec(),
            retires: None,
            extras: Vec::new(),
        })
        .collect()
}

// ---- GET /models ---------------------------------------------------------------------------------------------------

pub fn encode() -> HttpRequest {
    HttpRequest {
        method: HttpMethod::Get,
        path: "/models".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        framing: Framing::Whole,
        dropped: Vec::new(),
        context: String::new(),
        extras: Vec::new(),
    }
}

#[derive(Deserialize)]
struct ModelList<'a> {
    #[serde(borrow)]
    data: Vec<ModelCard<'a>>,
}

#[derive(Deserialize)]
struct ModelCard<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    capabilities: Option<ModelCapabilities>,
    max_context_length: Option<u32>,
    #[serde(borrow)]
    aliases: Option<Vec<Text<'a>>>,
    /// An RFC 3339 time.
    #[serde(borrow)]
    deprecation: Option<Text<'a>>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(default)]
struct ModelCapabilities {
    completion_chat: bool,
    function_calling: bool,
    vision: bool,
    reasoning: bool,
    audio: bool,
}

impl ModelCapabilities {
    /// What serves no chat offers nothing that the gateway asks for.
    fn canonical(self) -> Capabilities {
        if !self.completion_chat {
            return Capabilities::empty();
        }
        let offered =
            [(true, CHAT), (self.function_calling, TOOLS), (self.vision, VISION), (self.reasoning, REASONING), (self.audio, AUDIO)];
        union(offered.iter().filter(|(has, _)| *has).map(|(_, set)| set))
    }
}

pub fn decode(response: &HttpResponse) -> Result<Page, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let list: ModelList =
        serde_json::from_slice(&response.body).map_err(|_| Failure::malformed(unreadable_body(response.status, &response.body)))?;
    // Each alias has an entry of its own, which names the others in turn.
    let mut seen = BTreeSet::new();
    let mut models = Vec::new();
    for card in list.data {
        if !seen.contains(card.id.0.as_ref()) {
            let model = card.into_model();
            seen.extend(model.aliases.iter().cloned().chain([model.id.clone()]));
            models.push(model);
        }
    }
    Ok(Page { models, next: None })
}

impl ModelCard<'_> {
    fn into_model(self) -> ModelInfo {
        // No flag says it, but the name does.
        let embeds = self.id.0.contains("embed");
        ModelInfo {
            id: self.id.0.into_owned(),
            name: None,
            aliases: self.aliases.into_iter().flatten().map(|alias| alias.0.into_owned()).collect(),
            context_window: self.max_context_length,
            max_output: None,
            capabilities: if embeds { Some(Capabilities::EMBEDDINGS) } else { self.capabilities.map(ModelCapabilities::canonical) },
            price: None,
            suited_to: Vec::new(),
            retires: self.deprecation.and_then(|time| time.0.get(..10).map(str::to_owned)),
            extras: Vec::new(),
        }
    }
}
