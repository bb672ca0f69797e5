//! Adapter for Mistral's chat completions.
//!
//! Mistral's wire looks like OpenAI's and is not: unknown fields are refused, the order of messages is enforced, tool-call ids have nine
//! characters, and content is a list as soon as the model has thought.
//!
//! - `request`, `messages`, `chunks`, `wire`: the request, from the parameters down to one content chunk, and its schema
//! - `answer`, `stream`: whole answers, and streams of the same shape
//! - `embeddings`, `models`, `limits`: the optional interfaces of those names; prompts are only estimated, as Mistral counts none
//! - `failure`: errors · `families`: what differs between models
//! - `custom`: custom tools as functions · `settings`, `report`: what operators set, what callers are told

mod answer;
mod chunks;
mod custom;
mod embeddings;
mod failure;
mod families;
mod limits;
mod messages;
mod models;
mod report;
mod request;
mod settings;
mod stream;
mod wire;

use llm_gateway_adapter::embeddings::{EmbeddingRequest, EmbeddingResponse};
use llm_gateway_adapter::estimate::{self, Tokenizer};
use llm_gateway_adapter::limits::RateLimit;
use llm_gateway_adapter::models::Page;
use llm_gateway_adapter::stream::Decoding;
use llm_gateway_adapter::types::{
    ChatRequest, ChatResponse, Credential, Failure, FailureKind, Header, HttpRequest, HttpResponse, ProviderInfo, Setting,
};
use llm_gateway_adapter::{Chat, Embeddings, Limits, Manifest, Models, Tokens};

/// The adapter.
pub struct Mistral;

llm_gateway_adapter::export!(Mistral: embeddings, tokens, models, limits);

impl Manifest for Mistral {
    fn describe() -> ProviderInfo {
        ProviderInfo {
            id: "mistral".to_owned(),
            name: "Mistral".to_owned(),
            version: version(),
            base_url: "https://api.mistral.ai/v1".to_owned(),
            credential: Some(Credential {
                variable: "MISTRAL_API_KEY".to_owned(),
                header: "authorization".to_owned(),
                prefix: "Bearer ".to_owned(),
            }),
            fixed_headers: Vec::new(),
            request_id_header: Some("mistral-correlation-id".to_owned()),
            settings: settings::described(),
            models: models::known(),
            extras: Vec::new(),
        }
    }
}

/// The crate's version. A build may carry a tag, so that two builds of one version can be told apart.
fn version() -> String {
    match option_env!("LLM_GATEWAY_ADAPTER_TAG") {
        Some(tag) => concat!(env!("CARGO_PKG_VERSION"), "+").to_owned() + tag,
        None => env!("CARGO_PKG_VERSION").to_owned(),
    }
}

impl Chat for Mistral {
    type Decoder = Decoding<stream::MistralStream>;

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        request::encode(&request)
    }

    fn decode(response: HttpResponse, context: String) -> Result<ChatResponse, Failure> {
        answer::decode(&response, &context)
    }
}

impl Models for Mistral {
    fn encode(_: Option<String>, _: Vec<Setting>) -> Result<HttpRequest, Failure> {
        Ok(models::encode())
    }

    fn decode(response: HttpResponse, _: String) -> Result<Page, Failure> {
        models::decode(&response)
    }
}

impl Embeddings for Mistral {
    fn encode(request: EmbeddingRequest) -> Result<HttpRequest, Failure> {
        embeddings::encode(&request)
    }

    fn decode(response: HttpResponse, context: String) -> Result<EmbeddingResponse, Failure> {
        embeddings::decode(&response, &context)
    }
}

impl Tokens for Mistral {
    fn estimate(request: ChatRequest) -> u32 {
        estimate::tokens(&request, Tokenizer::Mistral)
    }

    fn encode(_: ChatRequest) -> Result<HttpRequest, Failure> {
        Err(no_count())
    }

    fn decode(_: HttpResponse, _: String) -> Result<u32, Failure> {
        Err(no_count())
    }
}

fn no_count() -> Failure {
    Failure::new(FailureKind::Unsupported, "Mistral has no endpoint that counts tokens")
}

impl Limits for Mistral {
    fn read(headers: Vec<Header>) -> Vec<RateLimit> {
        limits::read(&headers)
    }
}
