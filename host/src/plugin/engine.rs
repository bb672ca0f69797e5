//! The one wasmtime engine of the process: how code is compiled, how instances are allocated, how time is told to running plugins.
//!
//! Owns: engine settings, the epoch's ticker, the linker that every adapter is instantiated with. Not here: compiling (`compile`), one
//! instance's limits (`instance`).
//!
//! The settings that decide what code is generated are the same for the process that serves and for the child that compiles
//! ([`code_settings`]); only the way instances are allocated differs, for the child allocates none.

use super::instance::Guest;
use crate::contract::guest::Adapter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// A running plugin is interrupted at the first tick after its slice is over. One millisecond: an honest call takes microseconds, and a
/// loop may hold a worker thread for two ticks (and what one host call or bulk instruction takes).
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Address space reserved per linear memory. Below 4 GiB every access of a plugin's would need a bounds check in code.
const MEMORY_RESERVATION: u64 = 4 << 30;

/// Instances at one time, over all plugins: each request in encode or decode, and each open stream, has one.
const MAX_INSTANCES: u32 = 4_000;

/// What decides the code that is generated. Anything set here must be the same where code is compiled and where it runs.
pub(super) fn code_settings() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .memory_reservation(MEMORY_RESERVATION)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8));
    config
}

/// An engine that can only compile.
pub(super) fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&code_settings())
}

/// The engine that adapters run on, with its ticker.
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Guest>,
    ticker: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Runtime {
    /// # Errors
    /// When the machine does not give the address space or the threads.
    pub(super) fn start(memory_bytes: usize) -> wasmtime::Result<Self> {
        let mut config = code_settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(memory_bytes)));
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        // Linked because ordinary toolchains expect it to be there; `instance` grants nothing through it.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Adapter::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let stop = Arc::new(AtomicBool::new(false));
        let ticker = {
            let (engine, stop) = (engine.clone(), Arc::clone(&stop));
            std::thread::Builder::new().name("plugin-ticker".into()).spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            })?
        };
        Ok(Self { engine, linker, ticker: Some(ticker), stop })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

/// The per-component limits fit the largest toolchain output that was tried: a Python component has 38 core instances, a JavaScript one
/// needs large tables.
fn pooling(memory_bytes: usize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MAX_INSTANCES)
        .total_core_instances(MAX_INSTANCES * 5)
        .total_memories(MAX_INSTANCES)
        .total_tables(MAX_INSTANCES * 3)
        .total_stacks(MAX_INSTANCES)
        .max_core_instances_per_component(80)
        .max_tables_per_component(80)
        .max_memories_per_component(4)
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(20_000)
        .max_memory_size(memory_bytes)
        .linear_memory_keep_resident(keep_resident_bytes())
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(64)
        .decommit_batch_size(1);
    pool
}

/// How much of a used memory is cleared by hand, instead of being given back to the kernel, whose page faults cost the next request more. Where the
/// kernel can say which pages were written (Linux 6.7), clearing costs only those.
fn keep_resident_bytes() -> usize {
    if PoolingAllocationConfig::is_pagemap_scan_available() { 4 << 20 } else { 256 << 10 }
}
