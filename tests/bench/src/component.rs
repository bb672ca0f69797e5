//! What it costs that an adapter is a sandboxed component: the same small chat through the adapter's `.wasm`, run by the gateway's own plugin runtime, and
//! through the same code compiled natively.
//!
//! A request takes two instances from the pool, one to encode and one to decode; both are in the component's times. Between two requests there is a
//! pause in which the pool makes new ones, as there is while a provider thinks. What the machine spends on making and dropping instances beside the
//! requests is measured apart, without pauses, as processor time.

use crate::exchange::{self, QUESTION, SYSTEM, UPSTREAM_MODEL};
use crate::process;
use crate::push;
use crate::stats::median;
use adapter_openai::OpenAi;
use anyhow::{Context, anyhow};
use llm_gateway::app::{COMPILE_LIMITS, PLUGIN_LIMITS};
use llm_gateway::contract;
use llm_gateway::domain::{chat_request, part};
use llm_gateway::plugin::{self, CallError, Host, Registry, Settings, Version};
use llm_gateway_adapter::{Chat, harness, types};
use serde::Serialize;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const ADAPTER: &str = "openai";
/// The pool makes an instance in some ten microseconds, on another thread.
const PAUSE: Duration = Duration::from_micros(200);

/// One step, in microseconds at the median.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    pub component_us: f64,
    pub native_us: f64,
}

impl Cost {
    pub fn added_us(&self) -> f64 {
        self.component_us - self.native_us
    }

    pub(crate) fn of(component: &[f64], native: &[f64]) -> Self {
        Self { component_us: median(component), native_us: median(native) }
    }
}

/// The steps of a request.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Costs {
    pub encode: Cost,
    pub decode: Cost,
    /// Both, for one request.
    pub request: Cost,
    /// One frame of a stream through its decoder.
    pub push: Cost,
    /// Processor time of one request's encode and decode, with all that is done for their instances beside them.
    pub request_cpu_us: f64,
}

/// What is measured, and where its compiled code is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    pub plugins: &'a Path,
    pub compiled: &'a Path,
    /// Of each part.
    pub duration: Duration,
}

impl Bench<'_> {
    /// # Errors
    /// When the adapter does not load, or does not do its work.
    pub async fn measure(&self) -> anyhow::Result<Costs> {
        let stop = CancellationToken::new();
        let (version, watcher) = self.load(stop.clone()).await?;
        // On a worker's thread, as the gateway's requests are: from elsewhere each wake-up of the pool's task would cost more.
        let component = tokio::spawn(paced(Arc::clone(&version), self.duration)).await??;
        let request_cpu_us = tokio::spawn(unpaced(Arc::clone(&version), self.duration)).await??;
        let native = native(self.duration)?;
        let push = push::measure(version, self.duration).await?;
        stop.cancel();
        watcher.await?;
        Ok(Costs {
            encode: Cost::of(&component.encode, &native.encode),
            decode: Cost::of(&component.decode, &native.decode),
            request: Cost::of(&component.request(), &native.request()),
            push,
            request_cpu_us,
        })
    }

    /// The way that the gateway loads it: read, validated, compiled or taken from the cache.
    async fn load(&self, stop: CancellationToken) -> anyhow::Result<(Arc<Version>, tokio::task::JoinHandle<()>)> {
        let host = Host::start(Settings { limits: PLUGIN_LIMITS, compile: COMPILE_LIMITS, cache_folder: self.compiled.to_owned() })?;
        let found = Arc::new(Mutex::new(None));
        let publish = {
            let found = Arc::clone(&found);
            move |active: &plugin::Active| *found.lock().unwrap_or_else(PoisonError::into_inner) = active.get(ADAPTER).cloned()
        };
        let registry = Arc::new(Registry::new(host, self.plugins, publish)?);
        let watcher = plugin::watch(registry, stop).await;
        let version = found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((version.with_context(|| format!("{} holds no adapter `{ADAPTER}` that loads", self.plugins.display()))?, watcher))
    }
}

/// Of each request, in microseconds.
#[derive(Default)]
struct Times {
    encode: Vec<f64>,
    decode: Vec<f64>,
}

impl Times {
    fn push(&mut self, encode: Duration, decode: Duration) {
        self.encode.push(microseconds(encode));
        self.decode.push(microseconds(decode));
    }

    fn request(&self) -> Vec<f64> {
        self.encode.iter().zip(&self.decode).map(|(encode, decode)| encode + decode).collect()
    }
}

pub(crate) fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

async fn paced(version: Arc<Version>, duration: Duration) -> anyhow::Result<Times> {
    let (request, answer) = (Arc::new(component_request()), exchange::whole_answer());
    let mut times = Times::default();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let began = Instant::now();
        let encoded = version.encode(Arc::clone(&request)).await.map_err(explain)?;
        let encode = began.elapsed();
        pause().await;
        let response = component_response(&answer);
        let began = Instant::now();
        black_box(version.decode(response, encoded.context).await.map_err(explain)?);
        times.push(encode, began.elapsed());
        pause().await;
    }
    Ok(times)
}

/// Busy, so that the processor neither sleeps nor slows down.
async fn pause() {
    let end = Instant::now() + PAUSE;
    while Instant::now() < end {
        tokio::task::yield_now().await;
    }
}

async fn unpaced(version: Arc<Version>, duration: Duration) -> anyhow::Result<f64> {
    let this = std::process::id();
    let (request, answer) = (Arc::new(component_request()), exchange::whole_answer());
    let before = process::cpu_time(this)?;
    let end = Instant::now() + duration;
    let mut requests = 0.0;
    while Instant::now() < end {
        let encoded = version.encode(Arc::clone(&request)).await.map_err(explain)?;
        black_box(version.decode(component_response(&answer), encoded.context).await.map_err(explain)?);
        requests += 1.0;
    }
    Ok(microseconds(process::cpu_time(this)?.saturating_sub(before)) / requests)
}

fn native(duration: Duration) -> anyhow::Result<Times> {
    let answer = exchange::whole_answer();
    let mut times = Times::default();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let request = native_request();
        let began = Instant::now();
        let encoded = OpenAi::encode(request).map_err(|failure| anyhow!("encode: {}", failure.message))?;
        let encode = began.elapsed();
        let response = harness::response(200, &[("content-type", "application/json")], &answer);
        let began = Instant::now();
        black_box(OpenAi::decode(response, encoded.context).map_err(|failure| anyhow!("decode: {}", failure.message))?);
        times.push(encode, began.elapsed());
    }
    Ok(times)
}

fn component_request() -> contract::ChatRequest {
    let message = |role, text: &str| contract::Message {
        role,
        name: None,
        parts: vec![part(contract::PartBody::Text(text.to_owned()))],
        extras: Vec::new(),
    };
    let messages = vec![message(contract::Role::System, SYSTEM), message(contract::Role::User, QUESTION)];
    contract::ChatRequest { max_output: Some(200), ..chat_request(UPSTREAM_MODEL.to_owned(), messages) }
}

fn component_response(answer: &str) -> contract::HttpResponse {
    contract::HttpResponse {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: answer.as_bytes().to_vec(),
    }
}

fn native_request() -> types::ChatRequest {
    let messages = vec![types::Message::text(types::Role::System, SYSTEM), types::Message::text(types::Role::User, QUESTION)];
    types::ChatRequest { max_output: Some(200), ..types::ChatRequest::new(UPSTREAM_MODEL, messages) }
}

fn explain(error: CallError) -> anyhow::Error {
    match error {
        CallError::Failure(failure) => anyhow!("the adapter fails: {}", failure.message),
        CallError::Fault(fault) => anyhow!("the plugin broke: {fault}"),
    }
}
