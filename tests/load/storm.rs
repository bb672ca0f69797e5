//! An upstream that is dead while the load goes on: hardly more is sent to it than came, the other one answers, and it is used again soon after it is well.
//! What spares it is the breaker, and where that stays closed the retry budget.

use crate::support::{Gateway, Setup, Simulator, chat_body, header, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const STORM: Duration = Duration::from_secs(6);
/// Retries in ten seconds that are always allowed.
const FREE_RETRIES: u64 = 20;
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

/// A route whose first target dies after a few answers.
async fn with_a_dead_upstream(simulator: &Simulator, breaker: &str) -> Arc<Gateway> {
    let toml = format!("[breaker]\n{breaker}\n[routes.main]\ntargets = [\"openai/gpt-5.4\", \"mistral/mistral-large-4\"]\n");
    let gateway = Arc::new(Setup::simulated(simulator).config(&toml).env("MAX_RETRIES", "3").start());
    for _ in 0..20 {
        assert_eq!(ask(&gateway).await, (200, Some("openai".to_owned())));
    }
    simulator.outage("openai", "status=500").await;
    gateway
}

/// What a storm came to.
struct Storm {
    was_open: bool,
    arrivals: u64,
    /// To the dead upstream.
    sent: u64,
    took: Duration,
}

impl Storm {
    /// # Panics
    /// When the other upstream does not answer in its place.
    async fn blow(gateway: &Arc<Gateway>, simulator: &Simulator, per_second: u64) -> Self {
        let arrivals = per_second * STORM.as_secs();
        let before = simulator.count("openai", "requests").await;
        let mut requests = JoinSet::new();
        let mut was_open = false;
        let mut due = tokio::time::interval(Duration::from_secs(1) / per_second as u32);
        let began = Instant::now();
        for number in 0..arrivals {
            due.tick().await;
            let asking = Arc::clone(gateway);
            requests.spawn(async move { ask(&asking).await });
            if number % per_second == per_second - 1 {
                was_open |= breaker(gateway).await.is_some_and(|state| state != "closed");
            }
        }
        let mut answers = BTreeMap::<_, u64>::new();
        while let Some(answer) = requests.join_next().await {
            *answers.entry(answer.unwrap()).or_default() += 1;
        }
        let took = began.elapsed();
        let sent = simulator.count("openai", "requests").await - before;
        println!("{arrivals} requests in {took:?}: {answers:?}; {sent} sent to the dead upstream");
        let by_fallback = answers.get(&(200, Some("mistral".to_owned()))).copied().unwrap_or(0);
        assert!(by_fallback * 1000 >= arrivals * 999, "{answers:?}");
        Self { was_open, arrivals, sent, took }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_upstream_is_spared_replaced_and_used_again_when_it_is_well() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::start();
    let gateway = with_a_dead_upstream(&simulator, &format!("open_ms = {}", OPEN.as_millis())).await;
    let storm = Storm::blow(&gateway, &simulator, 500).await;
    assert!(storm.was_open, "the breaker never opened");
    assert!(storm.sent * 5 <= storm.arrivals, "an open breaker lets hardly any through: {}", storm.sent);

    simulator.recover().await;
    let well = Instant::now();
    while ask(&gateway).await != (200, Some("openai".to_owned())) {
        assert!(well.elapsed() < OPEN + SLACK, "it is well, and still not used");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("used again after {:?}", well.elapsed());
    assert_eq!(breaker(&gateway).await.as_deref(), Some("closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_add_no_more_than_their_budget_to_a_dead_upstream() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::start();
    let gateway = with_a_dead_upstream(&simulator, "min_requests = 1000000").await;
    let storm = Storm::blow(&gateway, &simulator, 150).await;
    assert!(!storm.was_open, "the breaker does not take part");
    let (arrivals, sent) = (storm.arrivals, storm.sent);
    assert!(sent * 100 >= arrivals * 99, "nearly each request goes there first: {sent} of {arrivals}");
    let extra = sent.saturating_sub(arrivals);
    let free = FREE_RETRIES * (storm.took.as_secs() / 10 + 1);
    assert!(extra * 5 <= arrivals + free * 5, "{extra} retries of {arrivals} requests, {free} of them free");
}
