//! How long an answer takes that is there already.

use crate::support::{Setup, Simulator, chat_body, header, number};
use serde_json::json as object;

const HITS: usize = 200;
/// At the median, from the route to the answer. What is built without optimisation proves nothing.
const BOUND_US: f64 = if cfg!(debug_assertions) { 50_000.0 } else { 1000.0 };

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_takes_less_than_a_millisecond() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("CACHE_ENABLED", "true").start();
    for stream in [false, true] {
        let mut body = chat_body("openai/gpt-4.1", &format!("Tell me of caches, {}", "in many words ".repeat(100)), stream);
        body["temperature"] = object!(0);
        let mut took = Vec::new();
        for request in 0..=HITS {
            let response = gateway.chat(body.clone()).await;
            let expected = if request == 0 && !stream { "miss" } else { "hit" };
            assert_eq!(header(&response, "x-gateway-cache").as_deref(), Some(expected));
            if request > 0 {
                took.push(number(&response, "x-gateway-overhead-us"));
            }
            response.bytes().await.unwrap();
        }
        took.sort_by(f64::total_cmp);
        let (median, slow) = (took[HITS / 2], took[HITS * 99 / 100]);
        println!("a hit, streamed: {stream}: {median} µs at the median, {slow} µs at p99");
        assert!(median < BOUND_US, "{median} µs");
    }
    assert_eq!(simulator.count("openai", "requests").await, 1);
}
