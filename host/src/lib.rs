//! An LLM gateway whose provider adapters are hot-swappable WebAssembly components.
//!
//! A request's way is one straight line, and `pipeline` is that line: `edge` parses a dialect into a call, `plan` chooses whom to ask, `attempt` asks, `settle` keeps the
//! books, `edge` renders the answer.
//!
//! - `contract`: the types of `wit/provider.wit`, which are also the gateway's own model of a request and an answer
//! - `domain`: what the gateway knows beside that; `outbound`: what an adapter may ask to be sent
//! - `plugin`: the adapters' life and their sandbox; `provider`: which adapter speaks for whom, with which key
//! - `price`: what models cost
//! - `health`: what has been learned of providers from asking them; `metrics`: what is counted
//! - `edge`, `admin`, `ui`, `simulate`: the HTTP faces
//! - `watching`: that a folder changed; `events`: what came of it, for operators
//! - `config`, `telemetry`, `server`, `state`, `app`: how it starts, listens and stops

pub mod admin;
pub mod admission;
pub mod app;
pub mod attempt;
pub mod config;
pub mod contract;
pub mod domain;
pub mod edge;
pub mod events;
pub mod health;
pub mod metrics;
pub mod outbound;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod price;
pub mod provider;
pub mod publish;
pub mod scrape;
pub mod server;
pub mod settle;
pub mod simulate;
pub mod state;
pub mod telemetry;
pub mod ui;
pub mod watching;
