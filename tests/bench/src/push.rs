//! One frame of a stream through the adapter's decoder, as component and native.
//!
//! The gateway's own decoder is not open to other crates, so the component is run here on wasmtime directly, with the settings that decide what
//! code is generated and how it is called as the gateway has them: interruption by epoch, asynchronous calls.

use crate::component::{Cost, microseconds};
use crate::exchange;
use adapter_openai::OpenAi;
use anyhow::anyhow;
use bindings::Adapter;
use bindings::exports::llm_gateway::provider::chat::Frame;
use llm_gateway_adapter::{Chat, GuestDecoder, types};
use std::hint::black_box;
use std::time::{Duration, Instant};
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

#[allow(unused_qualifications, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "llm-gateway:provider/adapter",
        exports: { default: async },
    });
}

/// Never reached: nothing here counts the epoch up.
const FOR_EVER: u64 = 1 << 40;

struct Guest {
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl bindings::llm_gateway::provider::types::Host for Guest {}

impl bindings::llm_gateway::provider::diagnostics::Host for Guest {
    fn log(&mut self, _level: bindings::llm_gateway::provider::diagnostics::Level, _message: String) {}
}

/// # Errors
/// When the adapter does not load, or traps.
pub async fn measure(wasm: &[u8], duration: Duration) -> anyhow::Result<Cost> {
    Ok(Cost::of(&component(wasm, duration).await?, &native(duration)))
}

async fn component(wasm: &[u8], duration: Duration) -> anyhow::Result<Vec<f64>> {
    let mut config = Config::new();
    config.epoch_interruption(true).concurrency_support(false);
    let broken = |error: wasmtime::Error| anyhow!("the adapter can't be run: {error:#}");
    let engine = Engine::new(&config).map_err(broken)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(broken)?;
    Adapter::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).map_err(broken)?;
    let component = Component::new(&engine, wasm).map_err(broken)?;
    let mut samples = Vec::new();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let mut store = Store::new(&engine, Guest { wasi: WasiCtx::builder().build(), resources: ResourceTable::new() });
        store.set_epoch_deadline(FOR_EVER);
        let adapter = Adapter::instantiate_async(&mut store, &component, &linker).await.map_err(broken)?;
        stream(&adapter, &mut store, &mut samples).await.map_err(broken)?;
    }
    Ok(samples)
}

async fn stream(adapter: &Adapter, store: &mut Store<Guest>, samples: &mut Vec<f64>) -> wasmtime::Result<()> {
    let decoder = adapter.llm_gateway_provider_chat().decoder();
    let handle = decoder.call_constructor(&mut *store, "", &[]).await?;
    for data in exchange::stream_data() {
        let frames = [Frame { event: None, data }];
        let began = Instant::now();
        black_box(decoder.call_push(&mut *store, handle, &frames).await?);
        samples.push(microseconds(began.elapsed()));
    }
    handle.resource_drop_async(store).await
}

fn native(duration: Duration) -> Vec<f64> {
    let mut samples = Vec::new();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let decoder = <OpenAi as Chat>::Decoder::new(String::new(), Vec::new());
        for data in exchange::stream_data() {
            let frames = vec![types::Frame { event: None, data }];
            let began = Instant::now();
            black_box(decoder.push(frames));
            samples.push(microseconds(began.elapsed()));
        }
    }
    samples
}
