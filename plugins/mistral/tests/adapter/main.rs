//! The adapter as the host drives it: requests by their JSON, answers, streams and errors by what the contract makes of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod embeddings;
mod failures;
mod manifest;
mod properties;
mod recorded;
mod requests;
mod streams;
