//! The plugin runtime: adapters as sandboxed WebAssembly components that come, go and are replaced while requests are served.
//!
//! Named by lifetime: [`Host`] lives as long as the process (engine, linker, compiler), [`Version`] as long as one build of an adapter is
//! asked or may be rolled back to, an instance for one call. [`Registry`] knows which version of which file is active.
//!
//! - `engine`: wasmtime's settings, the epoch's ticker        - `compile`: child process and cache on disk
//! - `instance`: one instance and its limits                  - `lane`: which thread a long call runs on
//! - `pool`: instances made ahead                             - `validate`: what a file must be before it takes traffic
//! - `exports`: where a component's functions are          - `registry`, `watch`: the folder
//!
//! Only this module knows wasmtime. Not here: HTTP, credentials, which provider uses which plugin (`provider`).

mod compile;
mod engine;
mod exports;
mod instance;
mod lane;
mod pool;
mod registry;
mod validate;
mod version;
mod watch;

pub use compile::{CHILD_COMMAND, CompileLimits, child as compile_child};
pub use instance::Decoder;
pub use registry::{Action, Active, FileReport, Registry, RegistryError, State};
pub use version::{InFlight, Version};
pub use watch::watch;

use crate::contract::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What one call of a plugin may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Time that the call may run, waiting excluded.
    pub call_time: Duration,
    /// What it may hand to the host: results, log lines.
    pub output_bytes: usize,
}

impl Limits {
    /// How often a call may go on after its slice of time is over.
    fn slices(&self) -> u32 {
        let slice = engine::TICK.as_micros() * u128::from(instance::TICKS_PER_SLICE);
        u32::try_from(self.call_time.as_micros() / slice).unwrap_or(u32::MAX).max(1)
    }

    /// When a call is given up by the clock on the wall: it shares the slow lane with others, and may block in a host call.
    fn call_wall(&self) -> Duration {
        self.call_time * 10
    }
}

/// A plugin that did not do what the contract demands. One request is lost, or goes elsewhere.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    #[error("it ran for longer than {} ms", .limit.as_millis())]
    OutOfTime { limit: Duration },
    #[error("it gave more than {} MiB of output", limit_bytes >> 20)]
    TooMuchOutput { limit_bytes: usize },
    #[error("it trapped: {0}")]
    Trap(String),
    /// It returned what the host can't act on: a path that leaves the base URL, a forbidden header, events in a wrong order.
    #[error("{0}")]
    BrokeContract(String),
    /// Too many of its calls take long at the same time.
    #[error("too many of its calls take long at once")]
    TooManySlow,
    /// Not the plugin's doing: all instances are in use.
    #[error("all plugin instances are in use")]
    NoRoom,
}

impl Fault {
    /// Whether the machine is to blame rather than the plugin.
    pub fn is_the_gateways(&self) -> bool {
        matches!(self, Self::TooManySlow | Self::NoRoom)
    }

    fn lost_instance() -> Self {
        Self::Trap("its instance is gone after an earlier fault".into())
    }
}

/// Why a call gave no result: the adapter says that it can't be done, or the plugin is at fault.
#[derive(Debug, Clone)]
pub enum CallError {
    Failure(Box<Failure>),
    Fault(Fault),
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Settings of the runtime.
#[derive(Debug, Clone)]
pub struct Settings {
    pub limits: Limits,
    pub compile: CompileLimits,
    /// Compiled code, private to this user.
    pub cache_folder: PathBuf,
}

/// What all plugins share.
pub struct Host {
    runtime: engine::Runtime,
    lane: Arc<lane::Lane>,
    compiler: compile::Compiler,
    memory: Arc<instance::MemoryBudget>,
    limits: Limits,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the plugin runtime can't start: {0}")]
    Engine(String),
    #[error("the cache for compiled plugins can't be used: {0}")]
    Cache(std::io::Error),
}

impl Host {
    /// # Errors
    /// When the engine does not start or the cache folder can't be made.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let runtime = engine::Runtime::start(settings.limits.memory_bytes).map_err(|error| StartError::Engine(error.to_string()))?;
        let lane = lane::Lane::start().map_err(|error| StartError::Engine(error.to_string()))?;
        let compiler = compile::Compiler::new(settings.cache_folder, settings.compile).map_err(StartError::Cache)?;
        Ok(Self { runtime, lane: Arc::new(lane), compiler, memory: Arc::default(), limits: settings.limits })
    }
}
