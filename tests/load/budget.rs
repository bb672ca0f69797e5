//! A thousand requests at once against a budget for a hundred: not a picodollar more is spent than it allows, whichever of the gateways that share it they come to.

use crate::servers::{Postgres, Redis};
use crate::support::{Gateway, Key, Setup, Simulator, header, json, until};
use reqwest::RequestBuilder;
use serde_json::{Value, json as object};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const REQUESTS: usize = 1000;
const FITTING: i64 = 100;
const PICOS: f64 = 1e12;

/// Its words are a token each, of which the simulator, which counts by their length, sees no more: no answer costs more than the worst case.
fn body() -> Value {
    object!({"model": "openai/gpt-5.4", "query": "a b c d e f g h i j k l m n o p", "max_tokens": 20})
}

fn ask(gateway: &Gateway, key: &Key) -> RequestBuilder {
    gateway.post("/v1/gateway/query").bearer_auth(&key.secret).json(&body())
}

/// What such a request costs at most, in picodollars.
async fn worst_case(gateway: &Gateway) -> i64 {
    let mut body = body();
    body["dry_run"] = object!(true);
    let shown = json(gateway.gateway_query(body).await).await;
    let worst = shown["estimate"]["max_cost_usd"].as_f64().unwrap_or_else(|| panic!("{shown}"));
    (worst * PICOS).round() as i64
}

/// All at once, in turns to each of the gateways that share the key. Gives how many were answered.
async fn race(gateways: &[Arc<Gateway>], key: &Key, budget: i64) -> usize {
    let (start, key) = (Arc::new(Barrier::new(REQUESTS)), Arc::new(key.clone()));
    let mut requests = JoinSet::new();
    for number in 0..REQUESTS {
        let (start, key, gateway) = (Arc::clone(&start), Arc::clone(&key), Arc::clone(&gateways[number % gateways.len()]));
        requests.spawn(async move {
            start.wait().await;
            let response = ask(&gateway, &key).send().await.unwrap();
            let origin = header(&response, "x-gateway-error-origin");
            (response.status().as_u16(), origin, response.text().await.unwrap())
        });
    }
    let mut statuses = BTreeMap::<u16, usize>::new();
    while let Some(answer) = requests.join_next().await {
        let (status, origin, said) = answer.unwrap();
        if status == 402 {
            let limit = (budget as f64 / PICOS).to_string();
            assert!(origin.as_deref() == Some("gateway") && said.contains(&limit), "no {limit} in {said}");
        }
        *statuses.entry(status).or_default() += 1;
    }
    println!("{statuses:?}");
    let count = |status| statuses.get(&status).copied().unwrap_or(0);
    assert_eq!(count(200) + count(402), REQUESTS, "{statuses:?}");
    count(200)
}

/// In picodollars.
async fn spent(gateway: &Gateway, key: &Key) -> i64 {
    let usage = gateway.usage(&format!("key_id={}", key.id)).await;
    (usage["cost_usd"].as_f64().unwrap_or_else(|| panic!("{usage}")) * PICOS).round() as i64
}

async fn check(gateways: &[Arc<Gateway>], simulator: &Simulator) {
    let first = &gateways[0];
    let budget = worst_case(first).await * FITTING;
    let key = first.key(object!({"tenant": "acme", "budget_usd": budget as f64 / PICOS})).await;
    for gateway in gateways {
        // Costs nothing.
        until("it does not know the key", async || {
            gateway.get("/v1/models").bearer_auth(&key.secret).send().await.unwrap().status() == 200
        })
        .await;
    }
    let before = simulator.count("openai", "requests").await;
    let answered = race(gateways, &key, budget).await;
    assert_eq!(simulator.count("openai", "requests").await - before, answered as u64, "who is refused is not asked for");
    let all = gateways.len();
    until("rows are missing", async || first.rows(&format!("key_id={}", key.id)).await.len() == REQUESTS).await;
    let rows = first.rows(&format!("key_id={}&status=200", key.id)).await;
    let by_rows: f64 = rows.iter().map(|row| row["cost_usd"].as_f64().unwrap() * PICOS).sum();
    let spent = spent(first, &key).await;
    println!("{all} gateways: {answered} answered for {spent} of {budget} picodollars");
    assert_eq!((rows.len(), by_rows.round() as i64), (answered, spent));
    assert!(spent <= budget, "{spent} of {budget}");
    assert!(answered >= FITTING as usize, "{answered} were answered, {FITTING} must fit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_spend_no_more_than_there_is() {
    let _alone = crate::ALONE.lock().await;
    crate::raise_file_limit();
    let simulator = Simulator::start();
    check(&[Arc::new(Setup::simulated(&simulator).start())], &simulator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_that_share_a_budget_spend_no_more_than_there_is() {
    let _alone = crate::ALONE.lock().await;
    crate::raise_file_limit();
    let simulator = Simulator::start();
    let (redis, postgres) = (Redis::start(), Postgres::start());
    let start = || {
        let setup = Setup::simulated(&simulator).env("REDIS_URL", &redis.url()).env("DATABASE_URL", &postgres.url());
        Arc::new(setup.start())
    };
    check(&[start(), start()], &simulator).await;
}
