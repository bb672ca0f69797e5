//! A simulator of the four providers: it speaks their wire formats over HTTP, is as strict as they are, and fails on command.
//!
//! Owns: the answers of OpenAI, Gemini, Mistral and Anthropic as a client sees them, the faults, the pace, and a log of what was asked.
//! Not here: anything of the gateway. The simulator knows no other module, so that a mistake in the gateway can't hide in both.
//! Whoever serves the router chooses the address; it is meant for loopback, since it takes any key.
//!
//! A request's way: `serve` reads it and chooses its faults (`faults`, `script`), the provider's module checks it and reads it as a
//! `Prompt`, `reply` decides what is said, the provider's module writes that down as one body or as `Frames`, and `transmit` sends it at
//! the pace asked for. Words are a function of the request: the same request gets the same answer, streamed or whole. What does change are
//! the clock (`created`, rate-limit resets) and the request id.
//!
//! Every answer carries `x-simulated: true`.

mod anthropic;
mod clock;
mod embedding;
mod faults;
mod frames;
mod gemini;
mod id;
mod journal;
mod logprob;
mod mistral;
mod openai;
mod pacing;
mod prompt;
mod provider;
mod reply;
mod schema;
mod script;
mod seal;
mod serve;
mod shape;
mod text;
mod transmit;
mod wire;

#[cfg(test)]
mod tests;

pub use pacing::Pacing;

use provider::Provider;

/// How the simulator behaves where a request does not say otherwise.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub pacing: Pacing,
}

/// All four providers below one origin, and `/simulator/{script,requests,stats}`. Each call makes a simulator of its own.
pub fn router(settings: Settings) -> axum::Router {
    serve::router(settings)
}

/// The base URL of a provider (`openai`, `gemini`, `mistral`, `claude`) at a simulator that listens on `origin`.
pub fn base_url(origin: &str, provider: &str) -> Option<String> {
    let provider = Provider::named(provider)?;
    Some(format!("{}{}", origin.trim_end_matches('/'), provider.base_path()))
}
