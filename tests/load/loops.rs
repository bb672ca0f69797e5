//! A healthy provider beside plugins that loop.

use crate::support::{Gateway, Setup, Simulator, chat_body, fixture_bytes, place};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn start(simulator: &Simulator) -> Gateway {
    let setup = Setup::simulated(simulator).provider("hostile", &simulator.base_url("openai")).env("MAX_RETRIES", "0");
    place(&setup.plugins(), "hostile.wasm", &fixture_bytes("hostile", "hostile"));
    setup.start()
}

/// Four loops at all times, one after the other on each of four clients, for as long as a healthy provider is measured.
#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_provider_keeps_its_latency_while_plugins_loop() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::start();
    let gateway = Arc::new(start(&simulator));
    for _ in 0..20 {
        gateway.chat(chat_body("openai", "Hello", false)).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = ["encode-loop", "decode-loop", "encode-loop", "decode-loop"]
        .into_iter()
        .map(|model| {
            let (gateway, stop) = (Arc::clone(&gateway), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    let response = gateway.chat(chat_body(&format!("hostile/{model}"), "Hello", false)).await;
                    assert!(matches!(response.status().as_u16(), 502 | 503), "{}", response.status());
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut latencies = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        let began = Instant::now();
        let response = gateway.chat(chat_body("openai", "Hello", false)).await;
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap();
        latencies.push(began.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    for looping in loops {
        assert!(looping.await.unwrap() > 0, "every loop ran");
    }
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    println!("{} requests, p50 {:?}, p99 {p99:?}", latencies.len(), latencies[latencies.len() / 2]);
    assert!(p99 < Duration::from_millis(20), "p99 {p99:?} of {} requests", latencies.len());
}
