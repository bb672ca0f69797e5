//! Answers that are given again: which, to whom, for how long, and that equal requests at the same time are one upstream.

use crate::servers::Redis;
use crate::support::{Gateway, Setup, Simulator, Streamed, chat_body, fixture_bytes, header, json, number, place, until};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json as object};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// One that takes a temperature.
const MODEL: &str = "openai/gpt-4.1";

fn caching(simulator: &Simulator) -> Setup {
    Setup::simulated(simulator).env("CACHE_ENABLED", "true")
}

fn question(text: &str) -> Value {
    object!({"model": MODEL, "query": text, "max_tokens": 100})
}

/// A Chat request that asks for no chance.
fn exact_chat(text: &str, stream: bool) -> Value {
    let mut body = chat_body(MODEL, text, stream);
    body["temperature"] = object!(0);
    body
}

fn outcome(response: &Response) -> String {
    header(response, "x-gateway-cache").unwrap_or_else(|| panic!("no x-gateway-cache in {:?}", response.headers()))
}

/// Asks, expects an answer, reads it to its end, and says what the cache had to do with it.
async fn asked(request: RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    let (status, outcome) = (response.status(), outcome(&response));
    let body = response.text().await.unwrap();
    assert_eq!(status, 200, "{body}");
    outcome
}

async fn ask(gateway: &Gateway, body: &Value) -> String {
    asked(gateway.post("/v1/gateway/query").json(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_equal_requests_is_answered_from_the_cache_for_nothing() {
    let simulator = Simulator::start();
    let gateway = caching(&simulator).start();
    let messages = object!([{"role": "user", "content": "Hello"}]);
    for (path, body) in [
        ("/api/query", question("Hello by the first route")),
        ("/v1/gateway/query", question("Hello by the second route")),
        ("/v1/chat/completions", exact_chat("Hello", false)),
        ("/v1/responses", object!({"model": MODEL, "input": "Hello", "temperature": 0, "store": false, "max_output_tokens": 99})),
        ("/v1/messages", object!({"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 98})),
        ("/v1/embeddings", object!({"model": "openai/text-embedding-3-small", "input": "Hello"})),
    ] {
        let before = simulator.count("openai", "requests").await;
        let first = gateway.post(path).json(&body).send().await.unwrap();
        assert_eq!((first.status().as_u16(), outcome(&first).as_str()), (200, "miss"), "{path}");
        let (first_id, cost) = (header(&first, "x-request-id").unwrap(), number(&first, "x-gateway-cost-usd"));
        let first = json(first).await;
        let second = gateway.post(path).json(&body).send().await.unwrap();
        assert_eq!((second.status().as_u16(), outcome(&second).as_str()), (200, "hit"), "{path}");
        assert!(number(&second, "age") >= 0.0 && cost > 0.0, "{path}");
        assert_eq!((number(&second, "x-gateway-cost-usd"), number(&second, "x-gateway-cache-saved-usd")), (0.0, cost), "{path}");
        assert_eq!(header(&second, "x-gateway-provider").as_deref(), Some("openai"), "{path}");
        let second_id = header(&second, "x-request-id").unwrap();
        assert_ne!(first_id, second_id, "{path}");
        let second = json(second).await;
        for field in ["response", "choices", "content", "data"] {
            assert_eq!(first[field], second[field], "{path}: {field}");
        }
        // Parts of an output have ids, which are those of one response.
        assert_eq!(first["output"][0]["content"], second["output"][0]["content"], "{path}");
        if path.ends_with("/query") {
            assert_eq!((&first["cached"], &second["cached"]), (&object!(false), &object!(true)), "{path}");
        }
        if path == "/v1/gateway/query" {
            assert_eq!((&second["cost_usd"], second["attempts"].as_array().unwrap().len()), (&object!(0.0), 0), "{second}");
        }
        assert_eq!(simulator.count("openai", "requests").await, before + 1, "{path}");
        let (paid, given) = (gateway.row(&first_id).await, gateway.row(&second_id).await);
        assert_eq!((&paid["cache"], paid["cost_usd"].as_f64()), (&object!("miss"), Some(cost)), "{paid}");
        assert_eq!((&given["cache"], given["cost_usd"].as_f64(), given["saved_usd"].as_f64()), (&object!("hit"), Some(0.0), Some(cost)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_and_a_whole_answer_are_given_for_each_other() {
    let simulator = Simulator::start();
    let gateway = caching(&simulator).start();
    for stream_first in [false, true] {
        let text = format!("Tell me of größe 🎉 and 漢字, streamed first: {stream_first}");
        for (stream, expected) in [(stream_first, "miss"), (!stream_first, "hit"), (stream_first, "hit")] {
            let response = gateway.chat(exact_chat(&text, stream)).await;
            assert_eq!((response.status().as_u16(), outcome(&response).as_str()), (200, expected), "{stream}");
            response.bytes().await.unwrap();
        }
        let whole = json(gateway.chat(exact_chat(&text, false)).await).await;
        let response = gateway.chat(exact_chat(&text, true)).await;
        assert_eq!(header(&response, "content-type").as_deref(), Some("text/event-stream; charset=utf-8"));
        let streamed = Streamed::read(response).await;
        let choice = &whole["choices"][0];
        assert_eq!((choice["message"]["content"].as_str(), streamed.done), (Some(streamed.text.as_str()), true));
        assert_eq!((choice["finish_reason"].as_str(), Some(&whole["usage"])), (streamed.finish.as_deref(), streamed.usage.as_ref()));
    }
    assert_eq!(simulator.count("openai", "requests").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_equal_requests_at_once_are_one_upstream() {
    let simulator = Simulator::start();
    let gateway = Arc::new(caching(&simulator).start());
    simulator.script("openai", &["delay-ms=500"]).await;
    let mut asking = JoinSet::new();
    for number in 0..50 {
        let gateway = Arc::clone(&gateway);
        asking.spawn(async move {
            let response = gateway.chat(exact_chat("Hello", number % 2 == 0)).await;
            assert_eq!(response.status(), 200);
            let outcome = outcome(&response);
            response.bytes().await.unwrap();
            outcome
        });
    }
    let outcomes = asking.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "miss").count(), 1, "{outcomes:?}");
    assert_eq!(simulator.count("openai", "requests").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_or_fails_hands_over_to_the_next() {
    let simulator = Simulator::start();
    let gateway = Arc::new(caching(&simulator).env("MAX_RETRIES", "0").start());
    let spawn = |text: &'static str| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { gateway.gateway_query(question(text)).await.status().as_u16() })
    };
    simulator.script("openai", &["delay-ms=60000"]).await;
    let leader = spawn("Hello");
    until("the leader's request is not there", async || simulator.count("openai", "open").await == 1).await;
    let followers: Vec<_> = (0..3).map(|_| spawn("Hello")).collect();
    gateway.wait_for_gauge("llm_gateway_requests_in_flight", 4.0).await;
    assert_eq!(simulator.count("openai", "requests").await, 1, "they wait for it");
    leader.abort();
    for follower in followers {
        assert_eq!(follower.await.unwrap(), 200);
    }
    assert_eq!(simulator.count("openai", "requests").await, 2);

    simulator.script("openai", &["delay-ms=300;status=500"]).await;
    let asking: Vec<_> = (0..4).map(|_| spawn("Hello again")).collect();
    let mut statuses = Vec::new();
    for one in asking {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 500], "a failure is nobody else's");
    assert_eq!(simulator.count("openai", "requests").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_the_answer_misses() {
    let simulator = Simulator::start();
    let gateway = caching(&simulator).start();
    let (acme, umbrella) = (gateway.key(object!({"tenant": "acme"})).await, gateway.key(object!({"tenant": "umbrella"})).await);
    let ask = async |key: Option<&str>, body: &Value| {
        let mut request = gateway.post("/v1/gateway/query").json(body);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        asked(request).await
    };
    let changed = |field: &str, value: Value| {
        let mut body = question("Hello");
        body[field] = value;
        body
    };
    for (key, body) in [
        (None, question("Hello")),
        (None, question("Hello!")),
        (None, changed("max_tokens", object!(101))),
        (None, changed("temperature", object!(0))),
        (None, changed("system", object!("Be brief."))),
        (None, changed("model", object!("openai/gpt-4.1-mini"))),
        (Some(&*acme.secret), question("Hello")),
        (Some(&*umbrella.secret), question("Hello")),
    ] {
        assert_eq!(ask(key, &body).await, "miss", "{key:?} {body}");
        assert_eq!(ask(key, &body).await, "hit", "{key:?} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_the_adapter_misses() {
    let simulator = Simulator::start();
    let setup = Setup::bare().provider("openai", &simulator.base_url("openai")).env("CACHE_ENABLED", "true");
    place(&setup.plugins(), "openai.wasm", &fixture_bytes("tagged", "aaaa"));
    let gateway = setup.start();
    assert_eq!([ask(&gateway, &question("Hello")).await, ask(&gateway, &question("Hello")).await], ["miss", "hit"]);
    place(&gateway.plugins(), "openai.wasm", &fixture_bytes("tagged", "bbbb"));
    gateway.wait_for_event("openai.wasm", "replaced");
    assert_eq!([ask(&gateway, &question("Hello")).await, ask(&gateway, &question("Hello")).await], ["miss", "hit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_its_say() {
    let simulator = Simulator::start();
    let gateway = caching(&simulator).start();
    let with = async |name: &str, value: &str| {
        let request = gateway.post("/v1/gateway/query").header(name, value).json(&question("Hello"));
        asked(request).await
    };
    assert_eq!(with("cache-control", "no-store").await, "off");
    assert_eq!(with("x-gateway-cache", "off").await, "off");
    let none = gateway.post("/v1/gateway/query").header("cache-control", "only-if-cached").json(&question("Hello")).send().await.unwrap();
    assert_eq!(none.status(), 504, "nothing was kept");
    assert_eq!(simulator.count("openai", "requests").await, 2);
    assert_eq!(with("cache-control", "no-cache").await, "miss", "it is asked anew, and kept");
    assert_eq!(with("cache-control", "only-if-cached").await, "hit");
    assert_eq!(with("cache-control", "max-age=1000").await, "hit");
    assert_eq!(with("cache-control", "max-age=0").await, "miss");
    assert_eq!(with("cache-control", "max-age=nonsense").await, "hit", "what means nothing is nothing");
    assert_eq!(with("x-gateway-cache", "refresh").await, "miss");
    assert_eq!(with("x-gateway-cache", "off").await, "off");
    for (name, value) in [("x-gateway-cache", "perhaps"), ("x-gateway-cache-ttl", "soon")] {
        let refused = gateway.post("/v1/gateway/query").header(name, value).json(&question("Hello")).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{name}");
        assert!(json(refused).await["error"].as_str().unwrap().contains(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_for_its_time() {
    let simulator = Simulator::start();
    let gateway = caching(&simulator).start();
    let began = Instant::now();
    let first = gateway.post("/v1/gateway/query").header("x-gateway-cache-ttl", "1").json(&question("Hello"));
    assert_eq!(asked(first).await, "miss");
    until("it stays", async || ask(&gateway, &question("Hello")).await == "miss").await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());

    let gateway = caching(&simulator).env("CACHE_TTL", "1").start();
    assert_eq!(ask(&gateway, &question("Hello")).await, "miss");
    until("it stays", async || ask(&gateway, &question("Hello")).await == "miss").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn which_requests_it_is_for_is_the_operators_choice() {
    let simulator = Simulator::start();
    let chance = chat_body(MODEL, "Hello", false);
    let twice = async |gateway: &Gateway, body: &Value| {
        [asked(gateway.post("/v1/chat/completions").json(body)).await, asked(gateway.post("/v1/chat/completions").json(body)).await]
    };
    for (policy, by_chance, exact) in [
        ("deterministic", ["off", "off"], ["miss", "hit"]),
        ("all", ["miss", "hit"], ["miss", "hit"]),
        ("opt_in", ["off", "off"], ["off", "off"]),
    ] {
        let gateway = caching(&simulator).config(&format!("[cache]\npolicy = \"{policy}\"\n")).start();
        assert_eq!(twice(&gateway, &chance).await, by_chance, "{policy}");
        assert_eq!(twice(&gateway, &exact_chat("Hello", false)).await, exact, "{policy}");
        let opted = gateway.post("/v1/chat/completions").header("x-gateway-cache", "on").json(&chat_body(MODEL, "I opt in", false));
        assert_eq!([asked(opted.try_clone().unwrap()).await, asked(opted).await], ["miss", "hit"], "{policy}");
    }
    let gateway = Setup::simulated(&simulator).start();
    assert_eq!(twice(&gateway, &exact_chat("Hello", false)).await, ["off", "off"], "CACHE_ENABLED=false");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_share_it_through_redis_and_go_on_without() {
    let simulator = Simulator::start();
    let mut redis = Redis::start();
    let start = || caching(&simulator).env("REDIS_URL", &redis.url()).start();
    let (one, other) = (start(), start());
    assert_eq!(ask(&one, &question("Hello")).await, "miss");
    until("nothing is put into Redis", async || redis.size() > 0).await;
    assert_eq!(ask(&other, &question("Hello")).await, "hit");
    assert_eq!(simulator.count("openai", "requests").await, 1);
    redis.kill();
    for text in ["Hello", "Hello without Redis"] {
        ask(&one, &question(text)).await;
        assert_eq!(ask(&one, &question(text)).await, "hit", "{text}");
    }
}
