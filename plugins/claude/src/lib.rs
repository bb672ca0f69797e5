//! The adapter for Anthropic's Claude: the Messages API.
//!
//! - `request` encodes, with `messages` (the conversation), `media`, `tools`, `roots` (their schemas), `thinking` and `format` (output formats); `wire` has the shapes
//!   of the body, `draft` what they share.
//! - `answer` decodes whole answers, `stream` streams; both read `usage` and `replay` (thinking that must come back unchanged).
//! - `tokens` counts prompts, `limits` reads rate limits, `models` lists models: the optional interfaces of those names.
//! - `failure` types errors, `families` is the table of what one model takes and another refuses.
//!
//! Not here: the key, retries, SSE framing. The host does those.

mod answer;
mod draft;
mod failure;
mod families;
mod format;
mod limits;
mod media;
mod messages;
mod models;
mod replay;
mod request;
mod roots;
mod stream;
mod thinking;
mod tokens;
mod tools;
mod usage;
mod wire;

use draft::ApiVersion;
use llm_gateway_adapter::estimate;
use llm_gateway_adapter::limits::RateLimit;
use llm_gateway_adapter::models::Page;
use llm_gateway_adapter::serde_json;
use llm_gateway_adapter::stream::Decoding;
use llm_gateway_adapter::types::{
    ChatRequest, ChatResponse, Credential, Failure, Header, HttpRequest, HttpResponse, ProviderInfo, Setting, SettingInfo,
};
use llm_gateway_adapter::{Chat, Limits, Manifest, Models, Tokens};
use serde_json::value::RawValue;

/// The wire format that this adapter speaks, as the contract names it.
const DIALECT: &str = "anthropic-messages";

/// The adapter.
#[derive(Debug)]
pub struct Claude;

impl Manifest for Claude {
    fn describe() -> ProviderInfo {
        ProviderInfo {
            id: "claude".to_owned(),
            name: "Anthropic Claude".to_owned(),
            version: version(),
            base_url: "https://api.anthropic.com/v1".to_owned(),
            credential: Some(Credential { variable: "CLAUDE_API_KEY".to_owned(), header: "x-api-key".to_owned(), prefix: String::new() }),
            fixed_headers: vec![(ApiVersion::SETTING.to_owned(), "2023-06-01".to_owned())],
            request_id_header: Some("request-id".to_owned()),
            settings: settings(),
            models: models::known(),
            extras: Vec::new(),
        }
    }
}

/// A tagged build says so: `0.1.0+tag`.
fn version() -> String {
    match option_env!("LLM_GATEWAY_ADAPTER_TAG") {
        Some(tag) if !tag.is_empty() => format!("{}+{tag}", env!("CARGO_PKG_VERSION")),
        _ => env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn settings() -> Vec<SettingInfo> {
    vec![
        SettingInfo {
            name: ApiVersion::SETTING.to_owned(),
            description: "Version of the API: 2023-06-01 (default) or 2026-10-21, which takes no sampling parameters on any model"
                .to_owned(),
        },
        SettingInfo {
            name: request::DEFAULT_MAX_OUTPUT.to_owned(),
            description: format!(
                "Output limit in tokens for a model that the adapter does not know, where the caller gives none (default {})",
                request::MAX_OUTPUT_UNLESS_SET
            ),
        },
    ]
}

impl Chat for Claude {
    type Decoder = Decoding<stream::MessageStream>;

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        request::encode(&request)
    }

    fn decode(response: HttpResponse, context: String) -> Result<ChatResponse, Failure> {
        answer::decode(&response, &context)
    }
}

impl Models for Claude {
    fn encode(position: Option<String>, settings: Vec<Setting>) -> Result<HttpRequest, Failure> {
        models::encode(position.as_deref(), &settings)
    }

    fn decode(response: HttpResponse, _context: String) -> Result<Page, Failure> {
        models::decode(&response)
    }
}

impl Tokens for Claude {
    fn estimate(request: ChatRequest) -> u32 {
        estimate::tokens(&request, families::of(&request.model).tokenizer)
    }

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        tokens::encode(&request)
    }

    fn decode(response: HttpResponse, _context: String) -> Result<u32, Failure> {
        tokens::decode(&response)
    }
}

impl Limits for Claude {
    fn read(headers: Vec<Header>) -> Vec<RateLimit> {
        limits::read(&headers)
    }
}

/// JSON of the caller's, to be written as it is. `path` names it in the request.
fn raw<'a>(json: &'a str, path: &str) -> Result<&'a RawValue, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::invalid(Some(path), format!("not valid JSON: {error}")))
}

llm_gateway_adapter::export!(Claude: tokens, models, limits);
