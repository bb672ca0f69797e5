//! One instance of an adapter, for one call or one stream, and the limits that it runs in.
//!
//! Owns: what a plugin is given (a log, and a WASI with nothing behind it), its time, memory, output and log limits, the calls of the
//! contract. Not here: where instances come from (`pool`), which thread a long call runs on (`lane`).
//!
//! Clocks stand still and random numbers repeat: an adapter's functions are pure, whatever its toolchain links in.

use super::exports::{Exports, Finish, NewDecoder, Push};
use super::lane::{BoxFuture, Lane};
use super::{CallError, Fault, Limits};
use crate::contract::guest::{Adapter, WithEmbeddings, WithLimits, WithTokens, diagnostics, types};
use crate::contract::{ChatEvent, Failure, Frame, Header};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, ResourceAny, ResourceTable, TypedFunc};
use wasmtime::{Engine, ResourceLimiter, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

/// A slice ends at the second tick after it began, so that a call which begins just before a tick is not cut at once.
pub(super) const TICKS_PER_SLICE: u64 = 2;
/// Log lines that one call may write, and the length of each.
const LOG_LINES_PER_CALL: u32 = 20;
const LOG_LINE_BYTES: usize = 1024;
/// Handles to host resources that a plugin may hold. The contract needs none; WASI's streams take a few.
const MAX_RESOURCES: usize = 256;

/// What the host keeps for one instance.
pub(crate) struct Guest {
    wasi: WasiCtx,
    resources: ResourceTable,
    memory: MemoryUse,
    plugin: Arc<str>,
    slices_left: u32,
    log_lines_left: u32,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl types::Host for Guest {}

impl diagnostics::Host for Guest {
    fn log(&mut self, level: diagnostics::Level, message: String) {
        let Some(left) = self.log_lines_left.checked_sub(1) else { return };
        self.log_lines_left = left;
        let plugin = &*self.plugin;
        let message = cut(&message, LOG_LINE_BYTES);
        match level {
            diagnostics::Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
            diagnostics::Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
            diagnostics::Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
            // An adapter's trouble is not the gateway's: nobody needs to be woken by a plugin's word.
            diagnostics::Level::Error => tracing::warn!(target: "plugin", plugin, "{message}"),
        }
        if left == 0 {
            tracing::warn!(target: "plugin", plugin, "wrote more than {LOG_LINES_PER_CALL} lines in one call; the rest is left out");
        }
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// What all instances of the process hold in linear memory, in bytes.
#[derive(Debug, Default)]
pub(super) struct MemoryBudget(AtomicUsize);

/// Of the budget; above it no memory grows. Some thousand honest instances fit.
const ALL_INSTANCES_BYTES: usize = 4 << 30;
/// Per table; a JavaScript component's has some thousand.
const MAX_TABLE_ELEMENTS: usize = 20_000;

/// What one instance holds, over all of its memories. Gives it back when dropped.
struct MemoryUse {
    held: usize,
    limit: usize,
    budget: Arc<MemoryBudget>,
}

impl ResourceLimiter for MemoryUse {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if self.held.saturating_add(more) > self.limit {
            return Ok(false);
        }
        let before = self.budget.0.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > ALL_INSTANCES_BYTES {
            self.budget.0.fetch_sub(more, Ordering::Relaxed);
            return Ok(false);
        }
        self.held += more;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

impl Drop for MemoryUse {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.held, Ordering::Relaxed);
    }
}

struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        0
    }
}

fn wasi() -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.wall_clock(StoppedClock)
        .monotonic_clock(StoppedClock)
        .secure_random(SmallRng::seed_from_u64(0))
        .insecure_random(SmallRng::seed_from_u64(0))
        .insecure_random_seed(0)
        .max_random_size(4096)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    wasi.build()
}

/// A plugin's instance that has not been called yet.
pub(crate) struct Instance {
    store: Store<Guest>,
    component: wasmtime::component::Instance,
    shared: Shared,
}

/// What all instances of one version share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(super) engine: Engine,
    pub(super) lane: Arc<Lane>,
    pub(super) limits: Limits,
    pub(super) plugin: Arc<str>,
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) exports: Arc<Exports>,
    /// Calls of this version that are in the slow lane.
    pub(super) slow: Arc<Semaphore>,
}

impl Instance {
    /// # Errors
    /// When the pool of memories is used up, or the component's start traps.
    pub(super) async fn new(shared: Shared, pre: InstancePre<Guest>) -> Result<Self, Fault> {
        let guest = Guest {
            wasi: wasi(),
            resources: resources(),
            memory: MemoryUse { held: 0, limit: shared.limits.memory_bytes, budget: Arc::clone(&shared.memory) },
            plugin: Arc::clone(&shared.plugin),
            slices_left: 0,
            log_lines_left: 0,
        };
        let mut store = Store::new(&shared.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_max_component_handles(MAX_RESOURCES);
        store.epoch_deadline_callback(|mut context| {
            let guest = context.data_mut();
            match guest.slices_left.checked_sub(1) {
                Some(left) => {
                    guest.slices_left = left;
                    Ok(UpdateDeadline::Yield(TICKS_PER_SLICE))
                }
                None => Err(wasmtime::Error::from(OutOfTime)),
            }
        });
        arm(&mut store, &shared.limits);
        let lane = Arc::clone(&shared.lane);
        let (wall, slow) = (shared.limits.call_wall(), Arc::clone(&shared.slow));
        lane.run(wall, slow, async move {
            match pre.instantiate_async(&mut store).await {
                Ok(component) => Ok(Self { store, component, shared }),
                Err(error) => Err(fault(&error, &shared.limits)),
            }
        })
        .await?
    }

    /// Whether every function has the contract's types.
    pub(super) fn check_types(&mut self) -> wasmtime::Result<()> {
        Adapter::new(&mut self.store, &self.component)?;
        if self.shared.exports.embeddings.is_some() {
            WithEmbeddings::new(&mut self.store, &self.component)?;
        }
        if self.shared.exports.tokens.is_some() {
            WithTokens::new(&mut self.store, &self.component)?;
        }
        if self.shared.exports.read_limits.is_some() {
            WithLimits::new(&mut self.store, &self.component)?;
        }
        Ok(())
    }

    /// Calls one function, which `check_types` has found to take and give this. The used instance comes back to be thrown away off the request path.
    pub(super) async fn invoke<P, R>(self, function: ComponentExportIndex, arguments: P) -> (Option<Self>, Result<R, Fault>)
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Lift + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        self.call(move |it| {
            Box::pin(async move {
                let function: TypedFunc<P, (R,)> = it.component.get_typed_func(&mut it.store, function)?;
                Ok(function.call_async(&mut it.store, arguments).await?.0)
            })
        })
        .await
    }

    /// As `invoke`, of a function that may say that it can't be done.
    pub(super) async fn try_invoke<P, R>(self, function: ComponentExportIndex, arguments: P) -> (Option<Self>, Result<R, CallError>)
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Lift + Send + Sync + 'static,
    {
        let (used, result) = self.invoke::<P, Result<R, Failure>>(function, arguments).await;
        (used, flatten(result))
    }

    /// Constructs the decoder of one stream; the instance lives as long as it does.
    pub(super) async fn decoder(self, context: String, headers: Vec<Header>) -> Result<Decoder, Fault> {
        let call = self.call(|it| {
            Box::pin(async move {
                let exports = Arc::clone(&it.shared.exports);
                let new: NewDecoder<'_> = it.component.get_typed_func(&mut it.store, &exports.new_decoder)?;
                let push = it.component.get_typed_func(&mut it.store, &exports.push)?;
                let finish = it.component.get_typed_func(&mut it.store, &exports.finish)?;
                let (handle,) = new.call_async(&mut it.store, (&context, &headers)).await?;
                Ok((handle, push, finish))
            })
        });
        match call.await {
            (_, Err(fault)) => Err(fault),
            (Some(instance), Ok((handle, push, finish))) => Ok(Decoder { instance: Some(instance), handle, push, finish }),
            (None, Ok(_)) => Err(Fault::lost_instance()),
        }
    }

    /// Runs one call within the limits. An instance that failed is not handed back.
    async fn call<T, F>(self, call: F) -> (Option<Self>, Result<T, Fault>)
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Self) -> BoxFuture<'a, wasmtime::Result<T>> + Send + 'static,
    {
        let lane = Arc::clone(&self.shared.lane);
        let (wall, slow) = (self.shared.limits.call_wall(), Arc::clone(&self.shared.slow));
        let mut instance = self;
        let outcome = lane
            .run(wall, slow, async move {
                arm(&mut instance.store, &instance.shared.limits);
                match call(&mut instance).await {
                    Ok(value) => (Some(instance), Ok(value)),
                    Err(error) => (None, Err(fault(&error, &instance.shared.limits))),
                }
            })
            .await;
        outcome.unwrap_or_else(|fault| (None, Err(fault)))
    }
}

/// Reads one stream. Once it has failed it fails at every further call.
pub struct Decoder {
    instance: Option<Instance>,
    handle: ResourceAny,
    push: Push<'static>,
    finish: Finish,
}

impl Decoder {
    /// `decoder.push`.
    pub async fn push(&mut self, frames: Vec<Frame>) -> Result<Vec<ChatEvent>, Fault> {
        let (push, handle) = (self.push, self.handle);
        // The function's type names the lifetime of what it is given.
        self.step(move |it| {
            Box::pin(async move {
                let push: Push<'_> = push;
                Ok(push.call_async(&mut it.store, (handle, &frames)).await?.0)
            })
        })
        .await
    }

    /// `decoder.finish`.
    pub async fn finish(&mut self) -> Result<Vec<ChatEvent>, Fault> {
        let (finish, handle) = (self.finish, self.handle);
        self.step(move |it| Box::pin(async move { Ok(finish.call_async(&mut it.store, (handle,)).await?.0) })).await
    }

    async fn step<F>(&mut self, call: F) -> Result<Vec<ChatEvent>, Fault>
    where
        F: for<'a> FnOnce(&'a mut Instance) -> BoxFuture<'a, wasmtime::Result<Vec<ChatEvent>>> + Send + 'static,
    {
        let instance = self.instance.take().ok_or_else(Fault::lost_instance)?;
        let (instance, events) = instance.call(call).await;
        self.instance = instance;
        events
    }
}

/// Gives the instance the time, output and log of one call.
fn arm(store: &mut Store<Guest>, limits: &Limits) {
    store.set_epoch_deadline(TICKS_PER_SLICE);
    store.set_hostcall_fuel(limits.output_bytes);
    let guest = store.data_mut();
    guest.slices_left = limits.slices();
    guest.log_lines_left = LOG_LINES_PER_CALL;
}

fn resources() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_RESOURCES);
    table
}

#[derive(Debug, thiserror::Error)]
#[error("out of time")]
struct OutOfTime;

fn flatten<T>(result: Result<Result<T, Failure>, Fault>) -> Result<T, CallError> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(CallError::Failure(Box::new(failure))),
        Err(fault) => Err(CallError::Fault(fault)),
    }
}

/// What went wrong, in the gateway's words. wasmtime tells limits and traps apart only by the type of an error in the chain.
fn fault(error: &wasmtime::Error, limits: &Limits) -> Fault {
    if error.is::<OutOfTime>() {
        return Fault::OutOfTime { limit: limits.call_time };
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Fault::NoRoom;
    }
    let reason = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    if reason.contains("fuel") {
        return Fault::TooMuchOutput { limit_bytes: limits.output_bytes };
    }
    Fault::Trap(cut(&reason, LOG_LINE_BYTES).to_owned())
}
