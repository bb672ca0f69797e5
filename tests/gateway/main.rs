//! The gateway as its users meet it: real processes over loopback, the built adapters, the simulator behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod admin;
mod bad_files;
mod bad_requests;
mod cache;
mod components;
mod cost;
mod cost_estimate;
mod disk;
mod fault_table;
mod faults;
mod hostile;
mod keys;
mod lifecycle;
mod limits;
mod logs;
mod overload;
#[path = "../support/recorded.rs"]
mod recorded;
mod reload;
mod resilience;
mod round_trips;
mod routes;
#[path = "../support/servers.rs"]
#[allow(dead_code, reason = "shared with the other tests, which use all of it")]
mod servers;
mod streams;
mod support;
mod tenants;
mod wires;
