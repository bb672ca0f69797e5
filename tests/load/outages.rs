//! Redis and Postgres die and come back in mid-load: no request fails for it, every answer is the one to its own question, and afterwards every request is in the
//! ledger once.

use crate::servers::{Postgres, Redis};
use crate::support::{Gateway, Setup, Simulator, chat_body, header, json, until};
use serde_json::json as object;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CLIENTS: usize = 8;
/// Of each of the states that the servers are in.
const PHASE: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(5);
/// An answer takes milliseconds; who waits for a dead server waits for seconds.
const SLOWEST: Duration = Duration::from_secs(2);
/// Questions that are asked again and again, beside those that are asked once.
const COMMON: usize = 20;

#[derive(Default)]
struct Seen {
    ids: BTreeSet<String>,
    hits: u64,
    slowest: Duration,
}

async fn ask_on(number: usize, gateway: Arc<Gateway>, over: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    for request in 0_usize.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let words =
            if request.is_multiple_of(2) { format!("common-{}-", request / 2 % COMMON) } else { format!("own-{number}-{request}-") };
        let id = format!("client-{number}-{request}");
        let mut body = chat_body("openai/gpt-4.1", &format!("Say {words} again"), false);
        body["temperature"] = object!(0);
        let began = Instant::now();
        let response = gateway.post("/v1/chat/completions").header("x-request-id", &id).json(&body).send().await.unwrap();
        let (status, cache) = (response.status(), header(&response, "x-gateway-cache"));
        let answer = json(response).await;
        assert_eq!(status, 200, "{id}: {answer}");
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(text.contains(&words), "{id} asked for {words} and got {text}");
        seen.slowest = seen.slowest.max(began.elapsed());
        seen.hits += u64::from(cache.as_deref() == Some("hit"));
        seen.ids.insert(id);
        tokio::time::sleep(PAUSE).await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_and_nothing_is_lost_while_redis_and_postgres_come_and_go() {
    let _alone = crate::ALONE.lock().await;
    let simulator = Simulator::start();
    let (mut redis, mut postgres) = (Redis::start(), Postgres::start());
    let setup = Setup::simulated(&simulator).env("CACHE_ENABLED", "true").env("REDIS_URL", &redis.url());
    let gateway = Arc::new(setup.env("DATABASE_URL", &postgres.url()).start());
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(ask_on(number, Arc::clone(&gateway), Arc::clone(&over)));
    }
    let phase = async |what: &str| {
        println!("{what}");
        tokio::time::sleep(PHASE).await;
    };
    phase("both are well").await;
    redis.kill();
    phase("without Redis").await;
    tokio::task::block_in_place(|| redis.restart());
    postgres.kill();
    phase("without Postgres").await;
    redis.kill();
    phase("without both").await;
    tokio::task::block_in_place(|| {
        postgres.restart();
        redis.restart();
    });
    phase("both are back").await;
    tokio::task::block_in_place(|| postgres.stop());
    phase("without Postgres, which has stopped in good order").await;
    tokio::task::block_in_place(|| postgres.restart());
    over.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    for client in clients.join_all().await {
        seen.ids.extend(client.ids);
        seen.hits += client.hits;
        seen.slowest = seen.slowest.max(client.slowest);
    }
    println!("{} answers, {} of them from the cache, the slowest in {:?}", seen.ids.len(), seen.hits, seen.slowest);
    assert!(seen.hits > 0 && seen.slowest < SLOWEST, "{:?}", seen.slowest);

    until("rows are missing", async || gateway.usage("").await["requests"].as_u64() == Some(seen.ids.len() as u64)).await;
    let mut counts = BTreeMap::<String, usize>::new();
    for row in gateway.rows("").await {
        *counts.entry(row["request_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(counts.keys().collect::<BTreeSet<_>>(), seen.ids.iter().collect::<BTreeSet<_>>());
    assert!(counts.values().all(|count| *count == 1), "some are there twice");
    assert_eq!(gateway.counted("llm_gateway_ledger_lost_total").await, 0.0);
    assert_eq!(gateway.process.errors(), [""; 0], "nothing panicked");
}
