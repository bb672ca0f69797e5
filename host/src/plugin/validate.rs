//! What a file must be before it takes traffic: a component of this contract, with no import but what is granted, that describes itself
//! sensibly and translates a first small chat.
//!
//! A pure function of the bytes, as far as a stranger's code can be. Whether its id is free is the registry's to say.

use super::compile::CompileError;
use super::exports::Exports;
use super::instance::{Guest, Instance, Shared};
use super::version::{Found, Version};
use super::{CallError, Fault, Host};
use crate::contract::{ChatRequest, HttpResponse, Message, Part, PartBody, ProviderInfo, Role};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};

const CONTRACT: &str = "llm-gateway:provider/";
/// The version of the contract that this host was built with. It runs every adapter of the same major version.
const CONTRACT_MAJOR: &str = "1";
/// WASI packages that toolchains link in. They are there, with nothing behind them.
const WASI: [&str; 5] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];
const NETWORK: [&str; 2] = ["wasi:sockets/", "wasi:http/"];

/// Calls of one version that are in the slow lane at the same time; further ones wait for a place.
const SLOW_CALLS: usize = 8;

/// Far above what any provider has.
const MAX_MODELS: usize = 2_000;

/// The first bytes of every WebAssembly file, and of those which are components.
const MAGIC: &[u8] = b"\0asm";
const COMPONENT_LAYER: [u8; 4] = [0x0d, 0x00, 0x01, 0x00];

#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("the file is empty")]
    Empty,
    #[error("the file is not WebAssembly")]
    NotWasm,
    #[error("the file is a core module, not a component: build it for wasm32-wasip2, or wrap it with `wasm-tools component new`")]
    CoreModule,
    #[error("{0}")]
    Compile(#[from] CompileError),
    #[error("it imports {0}: an adapter has no network, the gateway sends its requests")]
    ImportsNetwork(String),
    #[error("it imports {0}, which the gateway does not give to adapters")]
    ImportsUnknown(String),
    #[error("it is not an adapter: it does not export {CONTRACT}{0}")]
    NotAnAdapter(&'static str),
    #[error("it is built against version {0} of the contract; this gateway runs {CONTRACT_MAJOR}.x")]
    ContractVersion(String),
    #[error("it does not fit the contract: {0}")]
    Misfit(String),
    #[error("describe() failed: {0}")]
    Describe(Fault),
    #[error("describe() gives {field} `{value}`: {rule}")]
    Description { field: &'static str, value: String, rule: &'static str },
    #[error("a first {step} failed: {reason}")]
    Smoke { step: &'static str, reason: String },
}

impl Rejection {
    /// Whether the same bytes may pass another time: the machine was at fault, or too busy.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Compile(error) => matches!(error, CompileError::OutOfTime(_) | CompileError::Died { .. } | CompileError::Io(_)),
            Self::Describe(fault) => matches!(fault, Fault::NoRoom | Fault::TooManySlow | Fault::OutOfTime { .. }),
            _ => false,
        }
    }
}

/// Makes a version of a file's bytes.
pub(super) async fn validate(host: &Host, wasm: &[u8]) -> Result<Version, Rejection> {
    check_header(wasm)?;
    let started = Instant::now();
    let sha256 = sha256_hex(wasm);
    let engine = &host.runtime.engine;
    let component = host.compiler.component(engine, wasm, &sha256).await?;
    check_imports(engine, &component)?;
    let (contract_version, interfaces) = check_exports(engine, &component)?;
    let misfit = |error: wasmtime::Error| Rejection::Misfit(error.root_cause().to_string());
    let pre = host.runtime.linker.instantiate_pre(&component).map_err(misfit)?;
    let exports =
        Exports::find(&component, CONTRACT, &contract_version).ok_or_else(|| Rejection::Misfit("a function of it is missing".into()))?;
    let compile_time = started.elapsed();
    let shared = Shared {
        engine: engine.clone(),
        lane: Arc::clone(&host.lane),
        limits: host.limits,
        plugin: Arc::from(&sha256[..12]),
        memory: Arc::clone(&host.memory),
        exports: Arc::new(exports),
        slow: Arc::new(Semaphore::new(SLOW_CALLS)),
    };
    let info = describe(&shared, &pre).await?;
    let shared = Shared { plugin: Arc::from(info.id.as_str()), ..shared };
    let found = Found { info, sha256, size_bytes: wasm.len() as u64, compile_time, contract_version, interfaces };
    let version = Version::new(found, pre, shared);
    smoke(&version).await?;
    Ok(version)
}

fn check_header(wasm: &[u8]) -> Result<(), Rejection> {
    match (wasm.get(..4), wasm.get(4..8)) {
        (None, _) if wasm.is_empty() => Err(Rejection::Empty),
        (Some(MAGIC), Some(layer)) if layer == COMPONENT_LAYER => Ok(()),
        (Some(MAGIC), _) => Err(Rejection::CoreModule),
        _ => Err(Rejection::NotWasm),
    }
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), Rejection> {
    for (name, _) in component.component_type().imports(engine) {
        if NETWORK.iter().any(|network| name.starts_with(network)) {
            return Err(Rejection::ImportsNetwork(name.to_owned()));
        }
        if let Some((interface, version)) = name.strip_prefix(CONTRACT).and_then(|rest| rest.split_once('@')) {
            check_contract_version(version)?;
            if ["types", "diagnostics"].contains(&interface) {
                continue;
            }
        }
        if !WASI.iter().any(|granted| name.starts_with(granted)) {
            return Err(Rejection::ImportsUnknown(name.to_owned()));
        }
    }
    Ok(())
}

/// The contract's version, and the optional interfaces that are exported.
fn check_exports(engine: &Engine, component: &Component) -> Result<(String, Vec<String>), Rejection> {
    let mut exports: Vec<(String, String)> = Vec::new();
    for (name, _) in component.component_type().exports(engine) {
        if let Some((interface, version)) = name.strip_prefix(CONTRACT).and_then(|rest| rest.split_once('@')) {
            exports.push((interface.to_owned(), version.to_owned()));
        }
    }
    for required in ["manifest", "chat"] {
        if !exports.iter().any(|(interface, _)| interface == required) {
            return Err(Rejection::NotAnAdapter(required));
        }
    }
    let version = exports.iter().find(|(interface, _)| interface == "chat").map(|(_, version)| version.clone()).unwrap_or_default();
    check_contract_version(&version)?;
    let optional = exports.into_iter().map(|(interface, _)| interface).filter(|name| name != "manifest" && name != "chat").collect();
    Ok((version, optional))
}

fn check_contract_version(version: &str) -> Result<(), Rejection> {
    match version.split('.').next() {
        Some(CONTRACT_MAJOR) => Ok(()),
        _ => Err(Rejection::ContractVersion(version.to_owned())),
    }
}

async fn describe(shared: &Shared, pre: &InstancePre<Guest>) -> Result<ProviderInfo, Rejection> {
    let mut instance = Instance::new(shared.clone(), pre.clone()).await.map_err(Rejection::Describe)?;
    instance.check_types().map_err(|error| Rejection::Misfit(error.root_cause().to_string()))?;
    let (_used, info) = instance.invoke(shared.exports.describe, ()).await;
    let info = info.map_err(Rejection::Describe)?;
    check_description(&info)?;
    Ok(info)
}

fn check_description(info: &ProviderInfo) -> Result<(), Rejection> {
    let wrong = |field, value: &str, rule| Err(Rejection::Description { field, value: value.chars().take(80).collect(), rule });
    if !crate::domain::is_provider_id(&info.id) {
        return wrong("id", &info.id, "it must be like [a-z][a-z0-9-]{0,31}");
    }
    if info.name.trim().is_empty() || info.name.len() > 100 {
        return wrong("name", &info.name, "it must have 1 to 100 bytes");
    }
    if info.version.is_empty() || info.version.len() > 64 || !info.version.bytes().all(|b| b.is_ascii_graphic()) {
        return wrong("version", &info.version, "it must be a semantic version");
    }
    if info.base_url.ends_with('/') || !crate::outbound::is_base_url(&info.base_url) {
        return wrong("base-url", &info.base_url, "it must be an http or https URL without query, user or slash at the end");
    }
    if info.fixed_headers.len() > crate::outbound::MAX_HEADERS || info.models.len() > MAX_MODELS {
        return wrong("fixed-headers or models", "", "there are too many of them");
    }
    for (name, value) in &info.fixed_headers {
        if crate::outbound::header(name, value).is_err() {
            return wrong("fixed-headers", name, "an adapter can't set this header");
        }
    }
    if let Some(credential) = &info.credential {
        if !credential.variable.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
            return wrong("credential.variable", &credential.variable, "it must be the name of an environment variable in capitals");
        }
        if !crate::outbound::takes_credential(&credential.header, &credential.prefix) {
            return wrong("credential.header", &credential.header, "a key can't be sent in it");
        }
    }
    if let Some(model) = info.models.iter().find(|model| model.id.is_empty() || model.id.len() > 256) {
        return wrong("models", &model.id, "a model's id has 1 to 256 bytes");
    }
    Ok(())
}

/// One small chat through `encode`, whole and as a stream, and an answer that is none through `decode`.
async fn smoke(version: &Version) -> Result<(), Rejection> {
    let model = version.info.models.first().map_or("any", |model| model.id.as_str());
    let failed = |step| move |error: CallError| Rejection::Smoke { step, reason: reason(error) };
    for (step, stream) in [("encode", false), ("encode of a stream", true)] {
        let request = version.encode(Arc::new(first_chat(model, stream))).await.map_err(failed(step))?;
        crate::outbound::check(&request).map_err(|broken| Rejection::Smoke { step, reason: broken.to_string() })?;
    }
    let nothing = HttpResponse { status: 500, headers: Vec::new(), body: Vec::new() };
    match version.decode(nothing, String::new()).await {
        Err(CallError::Failure(_)) => Ok(()),
        Err(CallError::Fault(fault)) => Err(Rejection::Smoke { step: "decode", reason: fault.to_string() }),
        Ok(_) => Err(Rejection::Smoke { step: "decode", reason: "it took an empty answer with status 500 for a success".into() }),
    }
}

fn reason(error: CallError) -> String {
    match error {
        CallError::Failure(failure) => failure.message.chars().take(500).collect(),
        CallError::Fault(fault) => fault.to_string(),
    }
}

fn first_chat(model: &str, stream: bool) -> ChatRequest {
    let part = Part { body: PartBody::Text("Hello".to_owned()), replay: None, cache: None, citations: Vec::new(), extras: Vec::new() };
    let message = Message { role: Role::User, name: None, parts: vec![part], extras: Vec::new() };
    ChatRequest { stream, ..crate::domain::chat_request(model.to_owned(), vec![message]) }
}

pub(super) fn sha256_hex(wasm: &[u8]) -> String {
    Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect()
}
