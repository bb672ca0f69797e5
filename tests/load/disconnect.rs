//! Clients that leave in mid-stream, a thousand at once: each takes its request upstream along, and nothing is left of them.

use crate::support::{ADAPTERS, Gateway, PATIENCE, Setup, Simulator, chat_body};
use futures_util::{StreamExt, stream};
use reqwest::Response;
use std::time::{Duration, Instant};

const CLIENTS: usize = 1000;
const BEGINNING_AT_ONCE: usize = 32;
/// Rounds until memory is at the level that so many at once need, and rounds after them, over which the chance of a single one evens out.
const WARM: usize = 20;
const FURTHER: usize = 10;
/// Over those: some 2 KiB of each client. The level itself goes up and down by half of it.
const MAX_GROWTH_BYTES: u64 = 24 << 20;

/// Every client's stream has begun, and goes no further.
async fn all_in_mid_stream(gateway: &Gateway) -> Vec<Response> {
    let begin = |number: usize| async move {
        let provider = ADAPTERS[number % ADAPTERS.len()];
        let mut response = gateway.chat(chat_body(provider, "Hello", true)).await;
        assert_eq!(response.status(), 200);
        response.chunk().await.unwrap().expect("it has begun");
        response
    };
    stream::iter(0..CLIENTS).map(begin).buffer_unordered(BEGINNING_AT_ONCE).collect().await
}

async fn total(simulator: &Simulator, what: &str) -> u64 {
    let mut total = 0;
    for provider in ADAPTERS {
        total += simulator.count(provider, what).await;
    }
    total
}

/// What is still under way in the gateway, by its plugins and its gauges.
async fn under_way(gateway: &Gateway) -> Vec<(String, f64)> {
    let mut counts = Vec::new();
    for adapter in ADAPTERS {
        let plugin = gateway.plugin(adapter).await.unwrap();
        counts.push((adapter.to_owned(), plugin["in_flight"].as_f64().unwrap()));
    }
    for gauge in ["llm_gateway_requests_in_flight", "llm_gateway_attempts_in_flight"] {
        counts.push((gauge.to_owned(), gateway.gauge(gauge).await));
    }
    counts
}

async fn round(gateway: &Gateway, simulator: &Simulator) {
    let before = total(simulator, "cancelled").await;
    let clients = all_in_mid_stream(gateway).await;
    assert_eq!(total(simulator, "open").await, CLIENTS as u64);
    let left = Instant::now();
    drop(clients);
    loop {
        let cancelled = total(simulator, "cancelled").await - before;
        let counts = under_way(gateway).await;
        if cancelled == CLIENTS as u64 && counts.iter().all(|(_, count)| *count == 0.0) {
            break;
        }
        assert!(left.elapsed() < PATIENCE, "{cancelled} of {CLIENTS} were given up; under way: {counts:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{CLIENTS} requests given up within {:?}", left.elapsed());
    assert_eq!(total(simulator, "open").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_leave_and_nothing_stays_of_them() {
    let _alone = crate::ALONE.lock().await;
    crate::raise_file_limit();
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("IDLE_TIMEOUT", "600000").start();
    for provider in ADAPTERS {
        simulator.outage(provider, "stall-after=5").await;
    }
    for _ in 0..WARM {
        round(&gateway, &simulator).await;
    }
    let memory = gateway.process.memory_bytes();
    for _ in 0..FURTHER {
        round(&gateway, &simulator).await;
    }
    let grown = gateway.process.memory_bytes().saturating_sub(memory);
    println!("memory: {} MiB, then {} KiB more", memory >> 20, grown >> 10);
    assert!(grown < MAX_GROWTH_BYTES, "memory grew by {} MiB", grown >> 20);
    simulator.recover().await;
    assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 200);
    assert_eq!(gateway.process.errors(), [""; 0], "nothing panicked");
}
