//! Whatever is asked, an adapter sends sound JSON or says what of the request can't be sent.
#![no_main]

use adapter_claude::Claude;
use adapter_gemini::Gemini;
use adapter_mistral::Mistral;
use adapter_openai::OpenAi;
use llm_gateway_adapter::generate::{Asked, Source};
use llm_gateway_adapter::harness::check_encoded;
use llm_gateway_adapter::{Chat, Embeddings, Tokens};

fn chat<A: Chat + Tokens>(bytes: &[u8], dialect: &str, models: &[&str]) {
    let request = || Source::new(bytes).request(Asked { models, dialect });
    check_encoded(&<A as Chat>::encode(request())).unwrap();
    check_encoded(&<A as Tokens>::encode(request())).unwrap();
    <A as Tokens>::estimate(request());
}

fn embeddings<A: Embeddings>(bytes: &[u8], dialect: &str, models: &[&str]) {
    check_encoded(&A::encode(Source::new(bytes).embedding_request(Asked { models, dialect }))).unwrap();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    chat::<OpenAi>(bytes, "openai-responses", &["gpt-5.6-sol", "gpt-6-astra", "gpt-4o", "gpt-audio", "llama3.3:70b"]);
    chat::<Gemini>(bytes, "gemini", &["gemini-3.8-flash", "gemini-4-argon", "gemini-2.5-flash", "gemma-4-31b-it", "tunedModels/x"]);
    chat::<Mistral>(bytes, "mistral", &["mistral-medium-3-5", "mistral-large-4", "magistral-medium-2507", "codestral-2508"]);
    chat::<Claude>(
        bytes,
        "anthropic-messages",
        &["claude-sonnet-5-5", "claude-opus-5", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-3-5-haiku-20241022"],
    );
    embeddings::<OpenAi>(bytes, "openai-responses", &["text-embedding-3-small", "text-embedding-ada-002"]);
    embeddings::<Gemini>(bytes, "gemini", &["gemini-embedding-001", "gemini-embedding-2"]);
    embeddings::<Mistral>(bytes, "mistral", &["mistral-embed", "codestral-embed"]);
});
