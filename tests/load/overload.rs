//! How soon a full gateway refuses.

use crate::support::{Setup, Simulator, chat_body};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const PROBES: usize = 101;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_gateway_refuses_within_milliseconds() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("MAX_CONCURRENCY", "2").env("MAX_QUEUE", "0").start();
    let slow = chat_body("openai/gpt-5.4--delay-ms=60000", "Hello", false);
    let mut under_way = JoinSet::new();
    for _ in 0..2 {
        under_way.spawn(gateway.post("/v1/chat/completions").json(&slow).send());
    }
    gateway.wait_for_gauge("llm_gateway_requests_in_flight", 2.0).await;
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        let began = Instant::now();
        let refused = gateway.chat(chat_body("openai", "Hello", false)).await;
        times.push(began.elapsed());
        assert_eq!(refused.status(), 503);
    }
    times.sort_unstable();
    let median = times[PROBES / 2];
    println!("refused within {median:?}, {:?} at most", times[PROBES - 1]);
    assert!(median < Duration::from_millis(10), "{times:?}");
}
