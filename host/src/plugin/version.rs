//! One build of an adapter: its code, its description, its instances, and how it has done so far.

use super::exports::Exports;
use super::instance::{Decoder, Guest, Shared};
use super::pool::Pool;
use super::{CallError, Fault};
use crate::contract::embeddings::{EmbeddingRequest, EmbeddingResponse};
use crate::contract::limits::RateLimit;
use crate::contract::{ChatRequest, ChatResponse, Failure, FailureKind, Header, HttpRequest, HttpResponse, ModelInfo, ProviderInfo, Retry};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};

/// A validated adapter that can take requests.
pub struct Version {
    pub info: ProviderInfo,
    /// Of the component's bytes, in hex.
    pub sha256: String,
    pub size_bytes: u64,
    /// How long it took until it could be instantiated, from the cache or by compiling.
    pub compile_time: Duration,
    pub loaded_at: Timestamp,
    /// The contract that it was built against: `1.0.0`.
    pub contract_version: String,
    /// Optional interfaces that it exports: `embeddings`.
    pub interfaces: Vec<String>,
    pool: Pool,
    in_flight: AtomicU64,
    traps: AtomicU64,
}

/// What validation finds out about a file beside its code.
pub(super) struct Found {
    pub(super) info: ProviderInfo,
    pub(super) sha256: String,
    pub(super) size_bytes: u64,
    pub(super) compile_time: Duration,
    pub(super) contract_version: String,
    pub(super) interfaces: Vec<String>,
}

impl Version {
    pub(super) fn new(found: Found, pre: InstancePre<Guest>, shared: Shared) -> Self {
        Self {
            info: found.info,
            sha256: found.sha256,
            size_bytes: found.size_bytes,
            compile_time: found.compile_time,
            loaded_at: Timestamp::now(),
            contract_version: found.contract_version,
            interfaces: found.interfaces,
            pool: Pool::new(pre, shared),
            in_flight: AtomicU64::new(0),
            traps: AtomicU64::new(0),
        }
    }

    /// A model that it knows, by id or alias.
    pub fn model(&self, name: &str) -> Option<&ModelInfo> {
        self.info.models.iter().find(|model| model.id == name || model.aliases.iter().any(|alias| alias == name))
    }

    /// The request that the adapter's provider expects.
    ///
    /// # Errors
    /// The adapter's own failure, or the plugin's fault.
    pub async fn encode(&self, request: Arc<ChatRequest>) -> Result<HttpRequest, CallError> {
        self.invoke("chat", |exports| Some(exports.encode), (request,)).await
    }

    /// The answer that came whole.
    ///
    /// # Errors
    /// The provider's failure as the adapter reads it, or the plugin's fault.
    pub async fn decode(&self, response: HttpResponse, context: String) -> Result<ChatResponse, CallError> {
        self.invoke("chat", |exports| Some(exports.decode), (response, context)).await
    }

    /// The request for embeddings.
    ///
    /// # Errors
    /// As `encode`; `unsupported` where the adapter has none.
    pub async fn encode_embeddings(&self, request: Arc<EmbeddingRequest>) -> Result<HttpRequest, CallError> {
        self.invoke("embeddings", |exports| Some(exports.embeddings?.encode), (request,)).await
    }

    /// The embeddings that came.
    ///
    /// # Errors
    /// As `decode`.
    pub async fn decode_embeddings(&self, response: HttpResponse, context: String) -> Result<EmbeddingResponse, CallError> {
        self.invoke("embeddings", |exports| Some(exports.embeddings?.decode), (response, context)).await
    }

    /// The request that has the provider count a prompt.
    ///
    /// # Errors
    /// As `encode`; `unsupported` where the provider does not count, or the adapter can't ask it.
    pub async fn encode_count(&self, request: Arc<ChatRequest>) -> Result<HttpRequest, CallError> {
        self.invoke("token counts", |exports| Some(exports.tokens?.encode), (request,)).await
    }

    /// The provider's count, in tokens.
    ///
    /// # Errors
    /// As `decode`.
    pub async fn decode_count(&self, response: HttpResponse, context: String) -> Result<u32, CallError> {
        self.invoke("token counts", |exports| Some(exports.tokens?.decode), (response, context)).await
    }

    /// The adapter's own estimate of a prompt, in tokens. Absent: it makes none.
    pub async fn estimate(&self, request: Arc<ChatRequest>) -> Option<u32> {
        let function = self.pool.exports().tokens?.estimate;
        let instance = self.counted(self.pool.take().await).ok()?;
        let (used, result) = instance.invoke(function, (request,)).await;
        self.pool.retire(used);
        self.counted(result).ok()
    }

    /// Whether the adapter reads rate limits.
    pub fn reads_limits(&self) -> bool {
        self.pool.exports().read_limits.is_some()
    }

    /// What an answer's headers say of rate limits; nothing where the adapter reads none.
    pub async fn rate_limits(&self, headers: Vec<Header>) -> Vec<RateLimit> {
        let Some(function) = self.pool.exports().read_limits else { return Vec::new() };
        let Ok(instance) = self.counted(self.pool.take().await) else { return Vec::new() };
        let (used, result) = instance.invoke(function, (headers,)).await;
        self.pool.retire(used);
        self.counted(result).unwrap_or_default()
    }

    /// Calls one function of a fresh instance; `unsupported` where the adapter does not export it. `what`: what it is for, for people.
    async fn invoke<P, R>(&self, what: &str, function: fn(&Exports) -> Option<ComponentExportIndex>, arguments: P) -> Result<R, CallError>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Lift + Send + Sync + 'static,
    {
        let function = function(self.pool.exports()).ok_or_else(|| CallError::Failure(Box::new(self.not_offered(what))))?;
        let instance = self.counted(self.pool.take().await)?;
        let (used, result) = instance.try_invoke(function, arguments).await;
        self.pool.retire(used);
        self.counted_call(result)
    }

    fn not_offered(&self, what: &str) -> Failure {
        Failure {
            kind: FailureKind::Unsupported,
            message: format!("{} has no {what}: ask another provider", self.info.name),
            provider_type: None,
            provider_code: None,
            parameter: Some("model".to_owned()),
            retry: Retry::Never,
            extras: Vec::new(),
        }
    }

    /// A reader for one stream.
    pub async fn decoder(&self, context: String, headers: Vec<Header>) -> Result<Decoder, Fault> {
        let instance = self.counted(self.pool.take().await)?;
        self.pool.retire(None);
        self.counted(instance.decoder(context, headers).await)
    }

    /// Counts a fault that shows outside of a call: a bad request it made, a stream's decoder that trapped.
    pub(crate) fn count_fault(&self) {
        self.traps.fetch_add(1, Ordering::Relaxed);
        crate::metrics::plugin_fault(&self.info.id);
    }

    fn counted<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        if matches!(&result, Err(fault) if *fault != Fault::NoRoom) {
            self.count_fault();
        }
        result
    }

    fn counted_call<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        match result {
            Err(CallError::Fault(fault)) => Ok(self.counted(Err(fault))?),
            other => other,
        }
    }

    /// Makes instances ahead of requests.
    pub(super) fn warm(&self) {
        self.pool.warm();
    }

    /// Gives the ready instances back.
    pub(super) fn cool(&self) {
        self.pool.cool();
    }

    /// Requests and streams that are on this version now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How often a call of this version failed by its own fault.
    pub fn traps(&self) -> u64 {
        self.traps.load(Ordering::Relaxed)
    }

    /// Counts a request as being on this version, until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Version").field("id", &self.info.id).field("version", &self.info.version).field("sha256", &self.sha256).finish()
    }
}

/// A request on its version.
#[derive(Debug)]
pub struct InFlight(Arc<Version>);

impl std::ops::Deref for InFlight {
    type Target = Version;
    fn deref(&self) -> &Version {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
