//! Editing `gateway.toml` under load: no request is lost, and each edit counts within a second.

use crate::support::{Gateway, Setup, Simulator, Streamed, chat_body, header, place};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 64;
const RELOADS: usize = 20;

/// An alias that leads to one provider.
fn edit(folder: &std::path::Path, target: &str) {
    place(folder, "gateway.toml", format!("[aliases]\nfast = \"{target}\"\n").as_bytes());
}

/// Which provider answers.
async fn ask(gateway: &Gateway, stream: bool) -> String {
    let response = gateway.chat(chat_body("fast", "Hello", stream)).await;
    assert_eq!(response.status(), 200);
    let provider = header(&response, "x-gateway-provider").unwrap();
    if stream {
        let streamed = Streamed::read(response).await;
        assert!(streamed.done && streamed.error.is_none(), "{streamed:?}");
    }
    provider
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_edited_under_load_without_a_lost_request() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::paced(10);
    let setup = Setup::simulated(&simulator).env("MAX_RETRIES", "0");
    let targets = [("openai", "openai/gpt-5.4"), ("mistral", "mistral/mistral-small-2603")];
    edit(setup.folder(), targets[0].1);
    let gateway = Arc::new(setup.start());
    let stop = Arc::new(AtomicBool::new(false));
    let client = |number: usize| {
        let (gateway, stop) = (Arc::clone(&gateway), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let provider = ask(&gateway, number.is_multiple_of(2)).await;
                assert!(targets.iter().any(|(known, _)| *known == provider), "{provider}");
            }
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let mut slowest = Duration::ZERO;
    for reload in 1..=RELOADS {
        let (provider, target) = targets[reload % 2];
        let edited = Instant::now();
        edit(gateway.folder(), target);
        while ask(&gateway, false).await != provider {
            assert!(edited.elapsed() < Duration::from_secs(1), "an edit counts within a second");
        }
        slowest = slowest.max(edited.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request was lost");
    }
    println!("{RELOADS} edits, the slowest counted after {slowest:?}");
}
