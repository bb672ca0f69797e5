//! The adapter for Google's Gemini API, `generateContent`.
//!
//! `request` encodes, with `contents` for the conversation, `media`, `tools`, `schema` and `thinking` for their parts of it. `answer` has the
//! types of what Gemini says; `stream` turns them into events. An answer that came whole is read as a stream of one chunk, so both ways
//! give the same parts.
//!
//! What differs from model to model is in `families`, and nowhere else.
//! `embeddings`, `tokens` and `models` are the optional interfaces of those names. Gemini says nothing of rate limits in its headers.
//! Not here: files, explicit caches (a caller can name one in the native field `cachedContent`).

mod answer;
mod citations;
mod contents;
mod context;
mod embeddings;
mod extras;
mod failure;
mod families;
mod losses;
mod manifest;
mod media;
mod models;
mod request;
mod schema;
mod stream;
mod thinking;
mod tokens;
mod tools;
mod usage;

use llm_gateway_adapter::embeddings::{EmbeddingRequest, EmbeddingResponse};
use llm_gateway_adapter::estimate::{self, Tokenizer};
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

impl llm_gateway_adapter::Embeddings for Gemini {
    fn encode(request: EmbeddingRequest) -> Result<HttpRequest, Failure> {
        embeddings::encode(&request)
    }

    fn decode(response: HttpResponse, context: String) -> Result<EmbeddingResponse, Failure> {
        embeddings::decode(&response, &context)
    }
}

impl llm_gateway_adapter::Tokens for Gemini {
    fn estimate(request: ChatRequest) -> u32 {
        estimate::tokens(&request, Tokenizer::Gemini)
    }

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        request::encode_count(&request)
    }

    fn decode(response: HttpResponse, _context: String) -> Result<u32, Failure> {
        tokens::decode(&response)
    }
}

llm_gateway_adapter::export!(Gemini: embeddings, tokens, models);
