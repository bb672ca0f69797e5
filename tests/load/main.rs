//! The gateway under load, with times that are measured: one test at a time, and none beside them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod loops;
#[path = "../gateway/support.rs"]
#[allow(dead_code, reason = "shared with the other tests, which use all of it")]
mod support;
mod swap;

/// Held by the test that runs.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
