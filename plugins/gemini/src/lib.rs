//! The adapter for Google's Gemini API, `generateContent`.
//!
//! `request` encodes, with `contents` for the conversation, `media`, `tools` and `thinking` for their parts of it. `answer` has the
//! types of what Gemini says; `stream` turns them into events. An answer that came whole is read as a stream of one chunk, so both ways
//! give the same parts.
//!
//! What differs from model to model is in `families`, and nowhere else.
//! Not here: embeddings, token counting, files, explicit caches (a caller can name one in the native field `cachedContent`).

mod answer;
mod citations;
mod contents;
mod context;
mod extras;
mod failure;
mod families;
mod losses;
mod manifest;
mod media;
mod models;
mod request;
mod stream;
mod thinking;
mod tools;
mod usage;

use llm_gateway_adapter::models::Page;
use llm_gateway_adapter::stream::Decoding;
use llm_gateway_adapter::types::{ChatRequest, ChatResponse, Failure, HttpRequest, HttpResponse, ProviderInfo, Setting};

/// The dialect of native values, and the provider's id.
const DIALECT: &str = "gemini";

/// The adapter.
#[derive(Debug)]
pub struct Gemini;

impl llm_gateway_adapter::Manifest for Gemini {
    fn describe() -> ProviderInfo {
        manifest::describe()
    }
}

impl llm_gateway_adapter::Chat for Gemini {
    type Decoder = Decoding<stream::GeminiStream>;

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        request::encode(&request)
    }

    fn decode(response: HttpResponse, context: String) -> Result<ChatResponse, Failure> {
        if !(200..300).contains(&response.status) {
            return Err(failure::of_response(&response));
        }
        stream::decode_whole(&response, &context)
    }
}

impl llm_gateway_adapter::Models for Gemini {
    fn encode(position: Option<String>, _settings: Vec<Setting>) -> Result<HttpRequest, Failure> {
        Ok(models::encode(position))
    }

    fn decode(response: HttpResponse, _context: String) -> Result<Page, Failure> {
        models::decode(&response)
    }
}

llm_gateway_adapter::export!(Gemini: models);
