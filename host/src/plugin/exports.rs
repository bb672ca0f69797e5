//! Where a component's functions are, found once per version.
//!
//! The generated bindings look up and type-check all functions for every instance, which costs more than the rest of making one. An instance is made
//! for one call, so it looks up one function; that all of them fit is checked when the version is validated.

use crate::contract::{ChatEvent, Frame, Header};
use wasmtime::component::{Component, ComponentExportIndex, ResourceAny, TypedFunc};

/// The decoder's functions, by what they take and give.
pub(super) type NewDecoder<'a> = TypedFunc<(&'a str, &'a [Header]), (ResourceAny,)>;
pub(super) type Push<'a> = TypedFunc<(ResourceAny, &'a [Frame]), (Vec<ChatEvent>,)>;
pub(super) type Finish = TypedFunc<(ResourceAny,), (Vec<ChatEvent>,)>;

/// Places of the contract's functions in one component.
#[derive(Debug, Clone)]
pub(super) struct Exports {
    pub(super) describe: ComponentExportIndex,
    pub(super) encode: ComponentExportIndex,
    pub(super) decode: ComponentExportIndex,
    pub(super) new_decoder: ComponentExportIndex,
    pub(super) push: ComponentExportIndex,
    pub(super) finish: ComponentExportIndex,
    pub(super) embeddings: Option<EmbeddingsExports>,
    pub(super) tokens: Option<TokensExports>,
    /// Of the optional interface `limits`: `read`.
    pub(super) read_limits: Option<ComponentExportIndex>,
}

/// The optional interface `embeddings`.
#[derive(Debug, Clone, Copy)]
pub(super) struct EmbeddingsExports {
    pub(super) encode: ComponentExportIndex,
    pub(super) decode: ComponentExportIndex,
}

/// The optional interface `tokens`.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokensExports {
    pub(super) estimate: ComponentExportIndex,
    pub(super) encode: ComponentExportIndex,
    pub(super) decode: ComponentExportIndex,
}

impl Exports {
    /// Absent: one of them is not there. `contract` is what an interface's name begins with, `version` what follows the `@`.
    pub(super) fn find(component: &Component, contract: &str, version: &str) -> Option<Self> {
        let interface = |name: &str| component.get_export_index(None, &*format!("{contract}{name}@{version}"));
        let (manifest, chat) = (interface("manifest")?, interface("chat")?);
        let of = |interface: &ComponentExportIndex, name: &str| component.get_export_index(Some(interface), name);
        let of_chat = |name: &str| of(&chat, name);
        let embeddings =
            interface("embeddings").and_then(|at| Some(EmbeddingsExports { encode: of(&at, "encode")?, decode: of(&at, "decode")? }));
        let tokens = interface("tokens")
            .and_then(|at| Some(TokensExports { estimate: of(&at, "estimate")?, encode: of(&at, "encode")?, decode: of(&at, "decode")? }));
        Some(Self {
            describe: component.get_export_index(Some(&manifest), "describe")?,
            encode: of_chat("encode")?,
            decode: of_chat("decode")?,
            new_decoder: of_chat("[constructor]decoder")?,
            push: of_chat("[method]decoder.push")?,
            finish: of_chat("[method]decoder.finish")?,
            embeddings,
            tokens,
            read_limits: interface("limits").and_then(|at| of(&at, "read")),
        })
    }
}
