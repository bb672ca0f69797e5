//! The gateway is killed (`SIGKILL`) again and again in mid-load: what a client got in full is in the ledger exactly once.

use crate::support::{Gateway, Setup, Simulator, chat_body, client, json};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

const KILLS: u32 = 50;
const CLIENTS: usize = 8;
/// Of a gateway's life under load, each a little longer than the one before, so that it dies at many a point.
const SHORTEST_LIFE: Duration = Duration::from_millis(60);
const LONGER_BY: Duration = Duration::from_millis(3);
/// What a client does between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks one gateway after the other, wherever it is now. Gives the ids of the answers that came in full.
async fn ask_on(number: usize, at: watch::Receiver<String>, over: Arc<AtomicBool>) -> BTreeSet<String> {
    let client = client();
    let mut complete = BTreeSet::new();
    for request in 0_u32.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (url, id) = (at.borrow().clone(), format!("client-{number}-{request}"));
        let stream = request % 2 == 0;
        let body = chat_body(["openai/gpt-5.4", "claude/claude-sonnet-5-5"][request as usize / 2 % 2], &format!("Say {id}"), stream);
        let asked = client.post(format!("{url}/v1/chat/completions")).header("x-request-id", &id).json(&body);
        if let Ok(response) = asked.send().await
            && response.status() == 200
            && is_complete(response, stream).await
        {
            complete.insert(id);
        }
        tokio::time::sleep(PAUSE).await;
    }
    complete
}

/// Whether all of an answer came. Of a stream that is when clients stop reading: with its `[DONE]`.
async fn is_complete(mut response: reqwest::Response, stream: bool) -> bool {
    if !stream {
        return response.bytes().await.is_ok();
    }
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        if text.ends_with(b"data: [DONE]\n\n") {
            return true;
        }
    }
    false
}

/// The sums over rows, by the names that they have among the sums of `/admin/usage`.
fn sums(rows: &[Value]) -> BTreeMap<&'static str, f64> {
    let tokens = ["input_tokens", "output_tokens", "cost_usd"];
    let sum = |field: &str| rows.iter().filter_map(|row| row[field].as_f64()).sum();
    tokens.map(|field| (field, sum(field))).into_iter().chain([("requests", rows.len() as f64)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_that_came_in_full_is_in_the_ledger_once_after_fifty_kills() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::paced(1);
    let mut gateway = Setup::simulated(&simulator).start();
    let (moved, at) = watch::channel(gateway.url.clone());
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(ask_on(number, at.clone(), Arc::clone(&over)));
    }
    for kill in 0..KILLS {
        tokio::time::sleep(SHORTEST_LIFE + LONGER_BY * kill).await;
        tokio::task::block_in_place(|| gateway.kill_and_restart());
        moved.send_replace(gateway.url.clone());
    }
    tokio::time::sleep(SHORTEST_LIFE).await;
    over.store(true, Ordering::Relaxed);
    let complete: BTreeSet<String> = clients.join_all().await.into_iter().flatten().collect();
    check(&gateway, &complete).await;
    // What is in the database already is not put there a second time.
    gateway.kill_and_restart();
    check(&gateway, &complete).await;
}

async fn check(gateway: &Gateway, complete: &BTreeSet<String>) {
    let rows = gateway.rows("").await;
    let mut counts = BTreeMap::<&str, usize>::new();
    for row in &rows {
        *counts.entry(row["request_id"].as_str().unwrap()).or_default() += 1;
    }
    println!("{} answers came in full, {} requests are in the ledger", complete.len(), rows.len());
    assert!(complete.len() > KILLS as usize * 2, "too few to show anything: {}", complete.len());
    let missing: Vec<_> = complete.iter().filter(|id| !counts.contains_key(id.as_str())).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), complete.len());
    assert!(counts.values().all(|count| *count == 1), "some are there twice");
    for id in complete.iter().step_by(complete.len() / 20 + 1) {
        let request = json(gateway.get(&format!("/admin/requests/{id}")).send().await.unwrap()).await["request"].clone();
        assert!(request["status"] == 200 && request["attempts"].as_array().is_some_and(|attempts| attempts.len() == 1), "{request}");
        assert!(request["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0), "{request}");
    }
    let usage = gateway.usage("").await;
    for (field, sum) in sums(&rows) {
        let told = usage[field].as_f64().unwrap_or_else(|| panic!("no {field} in {usage}"));
        assert!((told - sum).abs() < 1e-9, "{field}: {told} is not {sum}");
    }
}
