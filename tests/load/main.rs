//! The gateway under load, with times that are measured: one test at a time, and none beside them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod budget;
mod cached;
mod disconnect;
mod kills;
mod loops;
mod outages;
mod overload;
mod reload;
#[path = "../support/servers.rs"]
#[allow(dead_code, reason = "shared with the other tests, which use all of it")]
mod servers;
mod shutdown;
mod soak;
mod storm;
#[path = "../gateway/support.rs"]
#[allow(dead_code, reason = "shared with the other tests, which use all of it")]
mod support;
mod swap;

/// Held by the test that runs.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A thousand clients need more open files than a process has at first on many a machine. Processes that are started afterwards have as many.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
