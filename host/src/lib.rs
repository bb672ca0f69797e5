//! An LLM gateway whose provider adapters are hot-swappable WebAssembly components.
//!
//! A request's way is one straight line, and `pipeline` is that line: `edge` parses a dialect into a call, `plan` chooses whom to ask, `attempt` asks, `settle` keeps the
//! books, `edge` renders the answer.
//!
//! - `contract`: the types of `wit/provider.wit`, which are also the gateway's own model of a request and an answer
//! - `domain`: what the gateway knows beside that; `outbound`: what an adapter may ask to be sent
//! - `plugin`: the adapters' life and their sandbox; `provider`: which adapter speaks for whom, with which key
//! - `money`, `price`, `tokens`: amounts, what models cost, how long a prompt is
//! - `access`, `quota`: who calls, and what is left of what each may use
//! - `cache`: answers that were given before; `ledger`: what happened, kept; `database`, `shared`: where it is kept, on this machine or for several gateways
//! - `health`: what has been learned of providers from asking them; `metrics`: what is counted
//! - `edge`, `admin`, `ui`, `simulate`: the HTTP faces
//! - `watching`: that a folder changed; `events`: what came of it, for operators
//! - `config`, `telemetry`, `server`, `state`, `app`: how it starts, listens and stops

pub mod access;
pub mod admin;
pub mod admission;
pub mod app;
pub mod attempt;
pub mod cache;
pub mod config;
pub mod contract;
pub mod database;
pub mod domain;
pub mod edge;
pub mod events;
pub mod health;
pub mod ledger;
pub mod metrics;
pub mod money;
pub mod outbound;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod price;
pub mod provider;
pub mod publish;
pub mod quota;
pub mod scrape;
pub mod server;
#[cfg(test)]
#[path = "../../tests/support/servers.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared with the tests that cross parts, which use all of it"
)]
mod servers;
pub mod settle;
pub mod shared;
pub mod simulate;
pub mod state;
pub mod telemetry;
pub mod tokens;
pub mod ui;
pub mod watching;
