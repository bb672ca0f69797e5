//! The adapter, driven natively: what it sends, what it makes of answers and streams, whole and cut, good and broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chat_answers;
mod chat_requests;
mod compatible_servers;
mod counting;
mod embeddings;
mod endpoints;
mod failures;
mod fixtures;
mod manifest_and_models;
mod properties;
mod recordings;
mod responses_answers;
mod responses_requests;
mod robustness;
mod support;
