//! Models: those that the adapter knows, and the provider's own list of them.

use crate::families::{self, Family, SamplingRule, ThinkingKind};
use crate::request::version_header;
use crate::wire::Fields;
use crate::{failure, serde_json};
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::models::Page;
use llm_gateway_adapter::types::{Capabilities, Failure, Framing, HttpMethod, HttpRequest, HttpResponse, ModelInfo, Setting, Task};
use serde::Deserialize;

/// The provider's own default is 20.
const PAGE_SIZE: &str = "1000";

/// Id, name, aliases, tasks; the preferred one first.
type Known = (&'static str, &'static str, &'static [&'static str], &'static [Task]);

const KNOWN: &[Known] = &[
    ("claude-sonnet-5-5", "Claude Sonnet 5.5", &[], &[Task::TextGeneration, Task::QuestionAnswering, Task::Other]),
    ("claude-haiku-5-5", "Claude Haiku 5.5", &[], &[Task::Summarization, Task::SentimentAnalysis]),
    ("claude-opus-5-5", "Claude Opus 5.5", &[], &[Task::Other]),
    ("claude-fable-5-2", "Claude Fable 5.2", &[], &[]),
    ("claude-fable-5-1", "Claude Fable 5.1", &[], &[]),
    ("claude-fable-5", "Claude Fable 5", &[], &[]),
    ("claude-opus-5", "Claude Opus 5", &[], &[]),
    ("claude-sonnet-5", "Claude Sonnet 5", &[], &[]),
    ("claude-opus-4-8", "Claude Opus 4.8", &[], &[]),
    ("claude-opus-4-7", "Claude Opus 4.7", &[], &[]),
    ("claude-opus-4-6", "Claude Opus 4.6", &[], &[]),
    ("claude-sonnet-4-6", "Claude Sonnet 4.6", &[], &[]),
    ("claude-opus-4-5", "Claude Opus 4.5", &["claude-opus-4-5-20251101"], &[]),
    ("claude-sonnet-4-5", "Claude Sonnet 4.5", &["claude-sonnet-4-5-20250929"], &[]),
    ("claude-haiku-4-5", "Claude Haiku 4.5", &["claude-haiku-4-5-20251001"], &[]),
];

pub fn known() -> Vec<ModelInfo> {
    let info = |(id, name, aliases, tasks): &Known| {
        let family = families::of(id);
        ModelInfo {
            id: (*id).to_owned(),
            name: Some((*name).to_owned()),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            context_window: Some(family.context_window),
            max_output: family.max_output,
            capabilities: Some(capabilities(family)),
            price: None,
            suited_to: tasks.to_vec(),
            retires: None,
            extras: Vec::new(),
        }
    };
    KNOWN.iter().map(info).collect()
}

/// What every model of a family does, through this adapter: custom tools and plain JSON are emulated.
fn capabilities(family: &Family) -> Capabilities {
    let everyone = Capabilities::CHAT
        | Capabilities::STREAMING
        | Capabilities::TOOLS
        | Capabilities::PARALLEL_TOOLS
        | Capabilities::CUSTOM_TOOLS
        | Capabilities::JSON_OBJECT
        | Capabilities::IMAGE_INPUT
        | Capabilities::DOCUMENT_INPUT
        | Capabilities::MEDIA_BY_URL
        | Capabilities::STOP_SEQUENCES
        | Capabilities::CACHE_BREAKPOINTS;
    let set = |has: bool, capability: Capabilities| if has { capability } else { Capabilities::empty() };
    everyone
        | set(family.structured_outputs, Capabilities::JSON_SCHEMA)
        | set(family.thinking != ThinkingKind::Never, Capabilities::REASONING)
        | set(family.sampling != SamplingRule::Nothing, Capabilities::SAMPLING)
        | set(family.prefill, Capabilities::PREFILL)
}

#[derive(Debug, Deserialize)]
struct ModelList {
    data: Vec<Model>,
    #[serde(default)]
    has_more: bool,
    last_id: Option<String>,
}

/// `ModelInfo` of the provider's reference. The newer fields are not in every version's answers.
#[derive(Debug, Deserialize)]
struct Model {
    id: String,
    display_name: Option<String>,
    lifecycle: Option<String>,
    max_input_tokens: Option<u32>,
    max_tokens: Option<u32>,
    capabilities: Option<Fields>,
    retires_at: Option<String>,
}

/// # Errors
/// Never; the contract leaves room for one.
pub fn encode(position: Option<&str>, settings: &[Setting]) -> Result<HttpRequest, Failure> {
    let mut query = vec![("limit".to_owned(), PAGE_SIZE.to_owned())];
    query.extend(position.map(|id| ("after_id".to_owned(), id.to_owned())));
    Ok(HttpRequest {
        method: HttpMethod::Get,
        path: "/models".to_owned(),
        query,
        headers: version_header(settings).into_iter().collect(),
        body: Vec::new(),
        framing: Framing::Whole,
        dropped: Vec::new(),
        context: String::new(),
        extras: Vec::new(),
    })
}

/// # Errors
/// The provider's failure, or `malformed` for a body that is no list.
pub fn decode(response: &HttpResponse) -> Result<Page, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let list: ModelList = serde_json::from_slice(&response.body).map_err(|_| {
        failure::in_success(&response.body).unwrap_or_else(|| Failure::malformed(unreadable_body(response.status, &response.body)))
    })?;
    let next = list.last_id.filter(|_| list.has_more);
    let offered = list.data.into_iter().filter(|model| model.lifecycle.as_deref() != Some("retired"));
    Ok(Page { models: offered.map(Model::info).collect(), next })
}

impl Model {
    fn info(self) -> ModelInfo {
        ModelInfo {
            name: self.display_name,
            aliases: Vec::new(),
            context_window: self.max_input_tokens,
            max_output: self.max_tokens,
            capabilities: self.capabilities.map(|told| told_of(&self.id, &told)),
            price: None,
            suited_to: Vec::new(),
            // A time, of which the date is asked.
            retires: self.retires_at.and_then(|time| time.get(..10).map(str::to_owned)),
            extras: Vec::new(),
            id: self.id,
        }
    }
}

/// The list's word on what it speaks of, the family's on the rest.
fn told_of(id: &str, told: &Fields) -> Capabilities {
    let mut capabilities = capabilities(families::of(id));
    for (name, capability) in [
        ("image_input", Capabilities::IMAGE_INPUT),
        ("pdf_input", Capabilities::DOCUMENT_INPUT),
        ("structured_outputs", Capabilities::JSON_SCHEMA),
        ("thinking", Capabilities::REASONING),
    ] {
        let with = capabilities | capability;
        match told.get(name).and_then(|told| told["supported"].as_bool()) {
            Some(true) => capabilities = with,
            Some(false) => capabilities = with ^ capability,
            None => {}
        }
    }
    capabilities
}
