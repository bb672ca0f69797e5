//! The contract's own types, generated from `wit/provider.wit`. They are the gateway's canonical model: what a dialect parses into, what an
//! adapter is given, what is rendered back.
//!
//! One definition for both sides of the sandbox means no conversion layer to keep true, and no copy between the two. When a version 2
//! comes, its types live beside these and are converted into them in `plugin`.
//!
//! Not here: calling an adapter (`plugin`), and what the host knows of a request beyond the contract (`domain`).

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[allow(unused_qualifications, clippy::all, reason = "generated code; the documentation is the WIT's")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "llm-gateway:provider/adapter",
        exports: { default: async },
        additional_derives: [PartialEq, Clone, serde::Serialize, serde::Deserialize],
    });
}

/// The optional interfaces, of which a component may have any. They share the types above.
#[allow(unused_qualifications, clippy::all, reason = "generated code; the documentation is the WIT's")]
mod embeddings_bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package host:optional; world with-embeddings { export llm-gateway:provider/embeddings@1.0.0; }",
        world: "host:optional/with-embeddings",
        exports: { default: async },
        with: { "llm-gateway:provider/types@1.0.0": super::bindings::llm_gateway::provider::types },
        additional_derives: [PartialEq, Clone, serde::Serialize, serde::Deserialize],
    });
}

#[allow(unused_qualifications, clippy::all, reason = "generated code; the documentation is the WIT's")]
mod tokens_bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package host:optional; world with-tokens { export llm-gateway:provider/tokens@1.0.0; }",
        world: "host:optional/with-tokens",
        exports: { default: async },
        with: { "llm-gateway:provider/types@1.0.0": super::bindings::llm_gateway::provider::types },
        additional_derives: [PartialEq, Clone],
    });
}

#[allow(unused_qualifications, clippy::all, reason = "generated code; the documentation is the WIT's")]
mod limits_bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package host:optional; world with-limits { export llm-gateway:provider/limits@1.0.0; }",
        world: "host:optional/with-limits",
        exports: { default: async },
        with: { "llm-gateway:provider/types@1.0.0": super::bindings::llm_gateway::provider::types },
        additional_derives: [PartialEq, Clone],
    });
}

pub use bindings::llm_gateway::provider::types::*;

const NOT_WRITTEN: &str = "what an adapter says of itself is not written down";

/// Requests and answers are written and read again, and have none of these; the derives above are of all types or of none.
impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(NOT_WRITTEN))
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(NOT_WRITTEN))
    }
}

/// Text embeddings.
pub mod embeddings {
    pub use super::embeddings_bindings::exports::llm_gateway::provider::embeddings::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse};
}

/// Rate limits, as a provider tells them in its headers.
pub mod limits {
    pub use super::limits_bindings::exports::llm_gateway::provider::limits::{Counted, RateLimit, Reset};
}

/// The generated interface to a component. Only `plugin` uses it.
pub(crate) mod guest {
    pub(crate) use super::bindings::Adapter;
    pub(crate) use super::bindings::llm_gateway::provider::{diagnostics, types};
    pub(crate) use super::embeddings_bindings::WithEmbeddings;
    pub(crate) use super::limits_bindings::WithLimits;
    pub(crate) use super::tokens_bindings::WithTokens;
}
