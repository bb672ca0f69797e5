//! An LLM gateway whose provider adapters are hot-swappable WebAssembly components.
pub mod contract;
pub mod domain;
pub mod outbound;
pub mod plugin;
