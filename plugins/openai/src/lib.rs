//! The adapter for OpenAI and for servers that speak its wire format (Ollama, vLLM).
//!
//! OpenAI has two chat endpoints. [`endpoint`] picks one by model and request, and `context` carries the choice to the decoder, so
//! a caller never notices. The modules come in pairs, `chat_*` for `/chat/completions` and `responses_*` for `/responses`:
//! `*_request`, `*_messages` or `*_input`, and `*_parts` encode, `*_answer` reads what came whole, `*_stream` what came in pieces.
//!
//! What differs from model to model is in [`families`], and nowhere else.
//! [`embeddings`], [`tokens`], [`models`] and [`limits`] are the optional interfaces of those names.

mod chat_answer;
mod chat_messages;
mod chat_parts;
mod chat_request;
mod chat_stream;
mod citations;
mod embeddings;
mod encoding;
mod endpoint;
mod extras;
mod failure;
mod families;
mod formats;
mod limits;
mod manifest;
mod media;
mod models;
mod reasoning;
mod replay;
mod responses_answer;
mod responses_input;
mod responses_parts;
mod responses_request;
mod responses_stream;
mod settings;
mod stream;
mod strict;
mod text;
mod tokens;
mod tools;
mod usage;

use crate::encoding::Encoding;
use crate::endpoint::{Context, Endpoint};
use llm_gateway_adapter::embeddings::{EmbeddingRequest, EmbeddingResponse};
use llm_gateway_adapter::estimate::{self, Tokenizer};
use llm_gateway_adapter::limits::RateLimit;
use llm_gateway_adapter::models::Page;
use llm_gateway_adapter::stream::Decoding;
use llm_gateway_adapter::types::{ChatRequest, ChatResponse, Failure, Header, HttpRequest, HttpResponse, ProviderInfo, Setting};

/// The adapter.
#[derive(Debug)]
pub struct OpenAi;

impl llm_gateway_adapter::Manifest for OpenAi {
    fn describe() -> ProviderInfo {
        manifest::describe()
    }
}

impl llm_gateway_adapter::Chat for OpenAi {
    type Decoder = Decoding<stream::Stream>;

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        let encoding = Encoding::new(&request)?;
        match encoding.endpoint {
            Endpoint::Chat => chat_request::encode(encoding),
            Endpoint::Responses => responses_request::encode(encoding),
        }
    }

    fn decode(response: HttpResponse, context: String) -> Result<ChatResponse, Failure> {
        if !(200..300).contains(&response.status) {
            return Err(failure::of_response(&response));
        }
        match Context::parse(&context) {
            Context::Chat { audio_type } => chat_answer::decode(&response, audio_type.as_deref()),
            Context::Responses => responses_answer::decode(&response),
        }
    }
}

impl llm_gateway_adapter::Models for OpenAi {
    fn encode(_position: Option<String>, _settings: Vec<Setting>) -> Result<HttpRequest, Failure> {
        Ok(models::encode())
    }

    fn decode(response: HttpResponse, _context: String) -> Result<Page, Failure> {
        models::decode(&response)
    }
}

impl llm_gateway_adapter::Embeddings for OpenAi {
    fn encode(request: EmbeddingRequest) -> Result<HttpRequest, Failure> {
        embeddings::encode(&request)
    }

    fn decode(response: HttpResponse, context: String) -> Result<EmbeddingResponse, Failure> {
        embeddings::decode(&response, &context)
    }
}

impl llm_gateway_adapter::Tokens for OpenAi {
    fn estimate(request: ChatRequest) -> u32 {
        estimate::tokens(&request, Tokenizer::OpenAi)
    }

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        tokens::encode(&request)
    }

    fn decode(response: HttpResponse, _context: String) -> Result<u32, Failure> {
        tokens::decode(&response)
    }
}

impl llm_gateway_adapter::Limits for OpenAi {
    fn read(headers: Vec<Header>) -> Vec<RateLimit> {
        limits::read(&headers)
    }
}

#[cfg(feature = "component")]
llm_gateway_adapter::export!(OpenAi: embeddings, tokens, models, limits);
