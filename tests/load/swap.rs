//! Replacing an adapter under load: no request fails, no answer is mixed, and the new build takes over within a second.

use crate::support::{Gateway, Setup, Simulator, Streamed, chat_body, fixture_bytes, json, place};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const IN_FLIGHT: usize = 64;
const SWAPS: usize = 20;
/// Swaps after which both builds have been under load, and memory is at its level.
const WARM: usize = 6;

/// The tags in an answer's text: one, unless it was mixed.
fn tags(text: &str) -> BTreeSet<String> {
    text.split('<').skip(1).filter_map(|piece| piece.split_once('>')).map(|(tag, _)| tag.to_owned()).collect()
}

async fn ask(gateway: &Gateway, stream: bool) -> String {
    let response = gateway.chat(chat_body("openai/gpt-5.4", "Hello", stream)).await;
    assert_eq!(response.status(), 200);
    let text = if stream {
        let streamed = Streamed::read(response).await;
        assert!(streamed.done && streamed.error.is_none(), "{streamed:?}");
        streamed.text
    } else {
        json(response).await["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let tags = tags(&text);
    assert_eq!(tags.len(), 1, "an answer of one build: {text}");
    tags.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_swapped_under_load_without_a_failed_or_mixed_answer() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::paced(10);
    let setup = Setup::bare().provider("openai", &simulator.base_url("openai")).env("MAX_RETRIES", "0");
    let builds = [fixture_bytes("tagged", "aaaa"), fixture_bytes("tagged", "bbbb")];
    place(&setup.plugins(), "openai.wasm", &builds[0]);
    let gateway = Arc::new(setup.start());
    // Both builds compiled, and the memory that the load needs in place.
    place(&gateway.plugins(), "openai.wasm", &builds[1]);
    gateway.wait_for_event("openai.wasm", "replaced");

    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..IN_FLIGHT)
        .map(|number| {
            let (gateway, stop, answered) = (Arc::clone(&gateway), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    ask(&gateway, number % 2 == 0).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while answered.load(Ordering::Relaxed) < IN_FLIGHT {
        tokio::task::yield_now().await;
    }
    let mut memory = 0;
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    for swap in 0..SWAPS {
        if swap == WARM {
            memory = gateway.process.memory_bytes();
        }
        let due = began + Duration::from_millis(500) * swap as u32;
        tokio::time::sleep_until(due.into()).await;
        let (tag, bytes) = if swap % 2 == 0 { ("aaaa", &builds[0]) } else { ("bbbb", &builds[1]) };
        let placed = Instant::now();
        place(&gateway.plugins(), "openai.wasm", bytes);
        while ask(&gateway, false).await != tag {
            assert!(placed.elapsed() < Duration::from_secs(1), "new requests see the new build within a second");
        }
        slowest = slowest.max(placed.elapsed());
    }
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request failed, no answer was mixed");
    }
    let grown = gateway.process.memory_bytes().saturating_sub(memory);
    println!(
        "{SWAPS} swaps in {took:?}, {} answers, slowest takeover {slowest:?}, memory grew by {} KiB",
        answered.load(Ordering::Relaxed),
        grown >> 10
    );
    assert!(grown < 16 << 20, "memory grew by {} MiB", grown >> 20);
    let plugin = gateway.plugin("openai").await.unwrap();
    assert_eq!((&plugin["in_flight"], &plugin["traps"]), (&serde_json::json!(0), &serde_json::json!(0)), "{plugin}");
}
