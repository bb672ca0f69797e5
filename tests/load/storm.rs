//! An upstream that is dead while the load goes on: hardly more is sent to it than came, the other one answers, and it is used again soon after it is well.

use crate::support::{Gateway, Setup, Simulator, chat_body, header, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const PER_SECOND: u64 = 500;
const STORM: Duration = Duration::from_secs(6);
const OPEN: Duration = Duration::from_millis(500);
/// For a probe's way, on a busy machine.
const SLACK: Duration = Duration::from_millis(1500);

/// Status and provider of an answer.
async fn ask(gateway: &Gateway) -> (u16, Option<String>) {
    let response = gateway.chat(chat_body("main", "Hello", false)).await;
    let told = (response.status().as_u16(), header(&response, "x-gateway-provider"));
    response.bytes().await.unwrap();
    told
}

async fn breaker(gateway: &Gateway) -> Option<String> {
    let status = json(gateway.get("/api/status").send().await.unwrap()).await;
    let health = status["providers"]["openai"]["health"].as_array()?;
    health.iter().find(|entry| entry["model"] == "gpt-5.4")?["breaker"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_upstream_is_spared_replaced_and_used_again_when_it_is_well() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::start();
    let toml =
        format!("[breaker]\nopen_ms = {}\n[routes.main]\ntargets = [\"openai/gpt-5.4\", \"mistral/mistral-large-4\"]\n", OPEN.as_millis());
    let gateway = Arc::new(Setup::simulated(&simulator).config(&toml).env("MAX_RETRIES", "3").start());
    for _ in 0..20 {
        assert_eq!(ask(&gateway).await, (200, Some("openai".to_owned())));
    }
    simulator.outage("openai", "status=500").await;
    let before = simulator.count("openai", "requests").await;

    let mut requests = JoinSet::new();
    let mut was_open = false;
    let mut due = tokio::time::interval(Duration::from_secs(1) / PER_SECOND as u32);
    let arrivals = PER_SECOND * STORM.as_secs();
    let began = Instant::now();
    for number in 0..arrivals {
        due.tick().await;
        let asking = Arc::clone(&gateway);
        requests.spawn(async move { ask(&asking).await });
        if number % PER_SECOND == PER_SECOND - 1 {
            was_open |= breaker(&gateway).await.is_some_and(|state| state != "closed");
        }
    }
    let mut answers = BTreeMap::<_, u64>::new();
    while let Some(answer) = requests.join_next().await {
        *answers.entry(answer.unwrap()).or_default() += 1;
    }
    let took = began.elapsed();
    let sent = simulator.count("openai", "requests").await - before;
    let arrived = requests_that_went_there(&gateway);
    let extra = sent.saturating_sub(arrived);
    println!("{arrivals} requests in {took:?}: {answers:?}; {sent} sent to the dead upstream by {arrived} of them");
    assert!(was_open, "the breaker never opened");
    assert!(extra * 5 <= arrivals, "{extra} more were sent than came");
    assert!(sent * 5 <= arrivals, "an open breaker lets hardly any through: {sent}");
    let by_fallback = answers.get(&(200, Some("mistral".to_owned()))).copied().unwrap_or(0);
    assert!(by_fallback * 1000 >= arrivals * 999, "{answers:?}");

    simulator.recover().await;
    let well = Instant::now();
    while ask(&gateway).await != (200, Some("openai".to_owned())) {
        assert!(well.elapsed() < OPEN + SLACK, "it is well, and still not used");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("used again after {:?}", well.elapsed());
    assert_eq!(breaker(&gateway).await.as_deref(), Some("closed"));
}

/// How many requests were sent to the dead upstream at least once.
fn requests_that_went_there(gateway: &Gateway) -> u64 {
    let attempts = gateway.process.records("attempt");
    let failed = attempts.iter().filter(|attempt| attempt["provider"] == "openai" && attempt["status"] == 500);
    failed.filter_map(|attempt| attempt["request_id"].as_str()).collect::<BTreeSet<_>>().len() as u64
}
