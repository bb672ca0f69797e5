//! The gateway as its users meet it: real processes over loopback, the built adapters, the simulator behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod admin;
mod bad_files;
mod bad_requests;
mod components;
mod fault_table;
mod faults;
mod hostile;
mod lifecycle;
mod logs;
mod overload;
#[path = "../support/recorded.rs"]
mod recorded;
mod reload;
mod resilience;
mod round_trips;
mod routes;
mod streams;
mod support;
mod wires;
