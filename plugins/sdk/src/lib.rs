//! What an adapter for the LLM gateway is written with.
//!
//! An adapter is a type that implements [`Manifest`] and [`Chat`] and, where its provider offers them, [`Embeddings`], [`Tokens`],
//! [`Models`] and [`Limits`]. [`export!`] makes a component of it. The contract itself, every record with its meaning and its units, is
//! `wit/provider.wit`; the types in [`types`] are its records, word for word.
//!
//! - [`body`]: JSON bodies with media that the host splices in.
//! - [`failure`]: typed failures, retry advice from headers.
//! - [`dropped`]: what of a request may be left out, and is told.
//! - [`stream`]: turns what a provider's stream says into the contract's events; keeps track of open parts.
//! - [`vectors`], [`rate_limits`]: what several providers share of embeddings and of rate-limit headers.
//! - [`estimate`]: how many tokens a prompt is likely to be.
//! - [`schema`]: refuses absurd JSON Schemas, follows references.
//! - [`harness`], [`recording`]: drive an adapter natively, in ordinary `#[test]`s, on hand-written and on recorded traffic.
//! - [`generate`]: requests and streams that nobody would send, for property tests and fuzzers.
//!
//! Not here: HTTP, keys, SSE parsing, retries. The host does those.

pub mod body;
pub mod dropped;
pub mod estimate;
pub mod failure;
pub mod generate;
pub mod harness;
pub mod rate_limits;
pub mod recording;
pub mod samples;
pub mod schema;
pub mod settings;
pub mod stream;
pub mod vectors;

pub use serde_json;

#[doc(hidden)]
#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code, unused_qualifications, missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "llm-gateway:provider/adapter",
        pub_export_macro: true,
        default_bindings_module: "llm_gateway_adapter::bindings",
        additional_derives: [PartialEq],
        generate_unused_types: true,
    });
}

/// Generates the bindings of one optional interface. They share the types of [`bindings`].
macro_rules! optional_interface {
    ($module:ident, $inline:literal) => {
        #[doc(hidden)]
        #[allow(clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code, unused_qualifications, missing_docs)]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $inline,
                with: { "llm-gateway:provider/types@1.0.0": crate::bindings::llm_gateway::provider::types },
                pub_export_macro: true,
                additional_derives: [PartialEq],
                type_section_suffix: $inline,
            });
        }
    };
}
optional_interface!(embeddings_bindings, "package llm-gateway:sdk; world embeddings { export llm-gateway:provider/embeddings@1.0.0; }");
optional_interface!(tokens_bindings, "package llm-gateway:sdk; world tokens { export llm-gateway:provider/tokens@1.0.0; }");
optional_interface!(models_bindings, "package llm-gateway:sdk; world models { export llm-gateway:provider/models@1.0.0; }");
optional_interface!(limits_bindings, "package llm-gateway:sdk; world limits { export llm-gateway:provider/limits@1.0.0; }");

pub use bindings::exports::llm_gateway::provider::chat::{Guest as Chat, GuestDecoder};
pub use bindings::exports::llm_gateway::provider::manifest::Guest as Manifest;
pub use bindings::llm_gateway::provider::types;
pub use embeddings_bindings::exports::llm_gateway::provider::embeddings::{self, Guest as Embeddings};
pub use limits_bindings::exports::llm_gateway::provider::limits::{self, Guest as Limits};
pub use models_bindings::exports::llm_gateway::provider::models::{self, Guest as Models};
pub use tokens_bindings::exports::llm_gateway::provider::tokens::{self, Guest as Tokens};

/// Makes a component of an adapter: `export!(Acme)`, or with optional interfaces `export!(Acme: embeddings, models)`.
///
/// Those left out must not be named: the host finds out at load time what an adapter has.
#[macro_export]
macro_rules! export {
    ($adapter:ident $(: $($optional:ident),+)?) => {
        #[cfg(target_arch = "wasm32")]
        mod exported_component {
            use super::$adapter;
            $crate::bindings::export!($adapter with_types_in $crate::bindings);
            $($($crate::export_optional!($optional $adapter);)+)?
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! export_optional {
    (embeddings $adapter:ident) => {
        $crate::embeddings_bindings::export!($adapter with_types_in $crate::embeddings_bindings);
    };
    (tokens $adapter:ident) => {
        $crate::tokens_bindings::export!($adapter with_types_in $crate::tokens_bindings);
    };
    (models $adapter:ident) => {
        $crate::models_bindings::export!($adapter with_types_in $crate::models_bindings);
    };
    (limits $adapter:ident) => {
        $crate::limits_bindings::export!($adapter with_types_in $crate::limits_bindings);
    };
}

pub use bindings::llm_gateway::provider::diagnostics::Level;

/// Writes a line to the gateway's log, for the adapter's author. Never put a prompt in it. Does nothing outside a component.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    bindings::llm_gateway::provider::diagnostics::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, message);
}
