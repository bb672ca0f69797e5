//! An answer whenever one can be had: keys that take turns, deadlines, routes, hedges, breakers.

use crate::support::{Gateway, Setup, Simulator, Streamed, chat_body, header, json, until};
use reqwest::Response;
use serde_json::{Value, json as object};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const OPENAI: &str = "openai/gpt-5.4";
const MISTRAL: &str = "mistral/mistral-large-4";

/// A gateway whose openai has these keys, by their last four characters.
fn with_keys(simulator: &Simulator, keys: &[&str]) -> Gateway {
    let variable = |key: &str| format!("KEY_{}", key.to_uppercase());
    let variables: Vec<String> = keys.iter().map(|key| variable(key)).collect();
    let toml = format!("[providers.openai]\nkey_envs = {variables:?}\n");
    let mut setup = Setup::bare().config(&toml).env("OPENAI_BASE_URL", &simulator.base_url("openai"));
    setup.copy_adapter("openai");
    for key in keys {
        setup = setup.env(&variable(key), &secret(key));
    }
    setup.start()
}

fn secret(key: &str) -> String {
    format!("secret-openai-{key}")
}

/// A route `main` over openai and mistral, with further lines.
fn with_route(simulator: &Simulator, lines: &str) -> Setup {
    Setup::simulated(simulator).config(&format!("[routes.main]\ntargets = [\"{OPENAI}\", \"{MISTRAL}\"]\n{lines}\n"))
}

async fn ask(gateway: &Gateway, model: &str) -> Response {
    gateway.chat(chat_body(model, "Hello", false)).await
}

/// An answer on the gateway's own route, with its attempts.
async fn query(gateway: &Gateway, model: &str) -> Value {
    json(gateway.post("/v1/gateway/query").json(&object!({"model": model, "query": "Hello"})).send().await.unwrap()).await
}

/// Of an answer with attempts: each one's provider, error and reason.
fn attempts(answer: &Value) -> Vec<(&str, Option<&str>, &str)> {
    let attempts = answer["attempts"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let word = |attempt: &'_ Value, field: &str| attempt[field].as_str().map(str::to_owned);
    assert!(attempts.iter().all(|attempt| word(attempt, "reason").is_some()), "{answer}");
    attempts
        .iter()
        .map(|attempt| (attempt["provider"].as_str().unwrap(), attempt["error_type"].as_str(), attempt["reason"].as_str().unwrap()))
        .collect()
}

async fn provider_of(gateway: &Gateway, model: &str) -> String {
    let response = ask(gateway, model).await;
    assert_eq!(response.status(), 200, "{model}");
    header(&response, "x-gateway-provider").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys_take_turns() {
    let simulator = Simulator::start();
    let gateway = with_keys(&simulator, &["aaaa", "bbbb", "cccc"]);
    for _ in 0..30 {
        assert_eq!(ask(&gateway, OPENAI).await.status(), 200);
    }
    for key in ["aaaa", "bbbb", "cccc"] {
        assert_eq!(simulator.count_of_key("openai", key).await, 10, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_key_is_left_alone_until_its_reset() {
    const RESET: Duration = Duration::from_secs(3);
    let simulator = Simulator::start();
    let gateway = with_keys(&simulator, &["aaaa", "bbbb"]);
    simulator.post_script(object!({"provider": "openai", "key": secret("aaaa"), "faults": ["status=429;retry-after=3"]})).await;
    let began = Instant::now();
    let refused = async || {
        let answer = query(&gateway, OPENAI).await;
        let attempts = attempts(&answer);
        assert!(attempts.last().unwrap().1.is_none(), "{answer}");
        attempts.len() > 1
    };
    // The other key answers at once, without a wait.
    until("the key was never asked", refused).await;
    assert_eq!(simulator.count_of_key("openai", "aaaa").await, 1);
    let mut asked = 0;
    while began.elapsed() < RESET / 2 {
        assert_eq!(ask(&gateway, OPENAI).await.status(), 200);
        asked += 1;
    }
    assert!(asked > 0 && simulator.count_of_key("openai", "aaaa").await == 1, "{asked} requests, and none with the limited key");
    until("the key stays unused", async || {
        ask(&gateway, OPENAI).await;
        simulator.count_of_key("openai", "aaaa").await > 1
    })
    .await;
    assert!(began.elapsed() >= RESET, "it was asked after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_gives_way_to_the_other() {
    let simulator = Simulator::start();
    let gateway = with_keys(&simulator, &["aaaa", "bbbb"]);
    simulator.post_script(object!({"provider": "openai", "key": secret("aaaa"), "faults": ["status=401"], "always": true})).await;
    let mut refused = 0;
    for _ in 0..10 {
        let answer = query(&gateway, OPENAI).await;
        match attempts(&answer).as_slice() {
            [("openai", None, "first")] => {}
            [("openai", Some("authentication"), "first"), ("openai", None, "other_key")] => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, simulator.count_of_key("openai", "aaaa").await), (1, 1), "it is put aside");
    let log = gateway.process.lines().join("\n");
    assert!(!log.contains(&secret("aaaa")) && !log.contains(&secret("bbbb")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_nothing_left_is_asked_last() {
    let simulator = Simulator::start();
    let gateway = with_keys(&simulator, &["aaaa", "bbbb"]);
    simulator.post_script(object!({"provider": "openai", "key": secret("aaaa"), "faults": ["remaining=0;reset-ms=60000"]})).await;
    until("the key was never asked", async || {
        ask(&gateway, OPENAI).await;
        simulator.count_of_key("openai", "aaaa").await == 1
    })
    .await;
    for _ in 0..10 {
        assert_eq!(ask(&gateway, OPENAI).await.status(), 200);
    }
    assert_eq!(simulator.count_of_key("openai", "aaaa").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_deadline_is_kept_whatever_could_still_be_tried() {
    const DEADLINE: Duration = Duration::from_millis(600);
    let simulator = Simulator::start();
    let once = Setup::simulated(&simulator).start();
    let often = Setup::simulated(&simulator).env("FIRST_BYTE_TIMEOUT", "150").env("MAX_RETRIES", "20").start();
    simulator.outage("openai", "delay-ms=60000").await;
    for gateway in [&once, &often] {
        for stream in [false, true] {
            let began = Instant::now();
            let request = gateway.post("/v1/chat/completions").header("x-gateway-timeout-ms", DEADLINE.as_millis().to_string());
            let response = request.json(&chat_body(OPENAI, "Hello", stream)).send().await.unwrap();
            let took = began.elapsed();
            let id = header(&response, "x-request-id").unwrap();
            assert_eq!(response.status(), 504, "{}", response.text().await.unwrap());
            assert!(took >= DEADLINE / 2 && took < DEADLINE + Duration::from_secs(2), "{took:?}");
            let (request, attempts) = gateway.logged(&id);
            assert_eq!(request["error_type"], "timeout");
            assert!(attempts.iter().all(|attempt| attempt["error_type"] == "timeout"), "{attempts:?}");
        }
    }
    until("the requests upstream go on", async || simulator.count("openai", "open").await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_longer_than_the_time_left_is_not_begun() {
    let simulator = Simulator::start();
    let gateway = with_route(&simulator, "").env("MAX_BACKOFF", "60000").start();
    simulator.script("openai", &["status=429;retry-after=30"]).await;
    let began = Instant::now();
    let request = gateway.post("/v1/gateway/query").header("x-gateway-timeout-ms", "20000");
    let answer = json(request.json(&object!({"model": "main", "query": "Hello"})).send().await.unwrap()).await;
    assert_eq!(attempts(&answer), [("openai", Some("rate_limited"), "first"), ("mistral", None, "fallback")]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// A picture of one point.
const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_only_to_models_that_can_take_it() {
    let simulator = Simulator::start();
    let (blind, seeing) = {
        let gateway = Setup::simulated(&simulator).start();
        let models = json(gateway.get("/v1/models").send().await.unwrap()).await;
        let can = |model: &Value, word: &str| model["capabilities"].as_array().is_some_and(|words| words.contains(&object!(word)));
        let chats = models["data"].as_array().unwrap().iter().filter(|model| can(model, "chat"));
        let (seeing, blind): (Vec<_>, Vec<_>) = chats.partition(|model| can(model, "image_input"));
        let id = |models: &[&Value]| models.first().unwrap_or_else(|| panic!("there are both kinds"))["id"].as_str().unwrap().to_owned();
        (id(&blind), id(&seeing))
    };
    let toml = format!("[routes.main]\ntargets = [\"{blind}\", \"{seeing}\"]\n[routes.none]\ntargets = [\"{blind}\"]\n");
    let gateway = Setup::simulated(&simulator).config(&toml).start();
    let model_of = |response: &Response| {
        format!("{}/{}", header(response, "x-gateway-provider").unwrap(), header(response, "x-gateway-model").unwrap())
    };
    let plain = ask(&gateway, "main").await;
    assert_eq!((plain.status().as_u16(), model_of(&plain)), (200, blind.clone()));
    let picture = |model: &str| {
        let parts = object!([{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PNG}}]);
        object!({"model": model, "messages": [{"role": "user", "content": parts}]})
    };
    let seen = gateway.chat(picture("main")).await;
    assert_eq!((seen.status().as_u16(), model_of(&seen)), (200, seeing));
    assert_eq!(header(&seen, "x-gateway-attempts").as_deref(), Some("1"), "the other one was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stays_where_it_is() {
    let simulator = Simulator::start();
    let gateway = with_route(&simulator, "strategy = \"weighted\"\nsticky = \"session\"").start();
    let mut providers = BTreeSet::new();
    for session in 0..30 {
        let mut of_session = BTreeSet::new();
        for _ in 0..4 {
            let request = gateway.post("/v1/chat/completions").header("x-gateway-session", format!("session-{session}"));
            let response = request.json(&chat_body("main", "Hello", false)).send().await.unwrap();
            of_session.insert(header(&response, "x-gateway-provider").unwrap());
        }
        assert_eq!(of_session.len(), 1, "session {session}: {of_session:?}");
        providers.extend(of_session);
    }
    assert_eq!(providers.len(), 2, "sessions are spread");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_shares() {
    let simulator = Simulator::start();
    let toml = format!(
        "[routes.main]\nstrategy = \"weighted\"\ntargets = [{{ target = \"{OPENAI}\", weight = 3 }}, {{ target = \"{MISTRAL}\", weight = 1 }}]\n"
    );
    let gateway = Setup::simulated(&simulator).config(&toml).start();
    let mut counts = BTreeMap::new();
    for _ in 0..300 {
        *counts.entry(provider_of(&gateway, "main").await).or_insert(0) += 1;
    }
    // 225, and five standard deviations.
    assert!((187..=263).contains(&counts["openai"]), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn least_latency_prefers_the_faster() {
    let simulator = Simulator::start();
    let gateway = with_route(&simulator, "strategy = \"least_latency\"").start();
    simulator.outage("openai", "delay-ms=400").await;
    for _ in 0..5 {
        ask(&gateway, "main").await;
    }
    let mut quick = 0;
    for _ in 0..40 {
        quick += usize::from(provider_of(&gateway, "main").await == "mistral");
    }
    assert!(quick >= 36, "{quick} of 40 went to the faster one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_first_target_is_overtaken_by_a_hedge_and_its_request_is_given_up() {
    let simulator = Simulator::start();
    let gateway = with_route(&simulator, "hedge_after_ms = 300").start();
    // The first answers of each plugin take longer.
    for model in [OPENAI, MISTRAL] {
        ask(&gateway, model).await;
    }
    // A quick one is not hedged.
    assert_eq!(attempts(&query(&gateway, "main").await), [("openai", None, "first")]);
    simulator.outage("openai", "delay-ms=60000").await;
    for stream in [false, true] {
        let (cancelled, began) = (simulator.count("openai", "cancelled").await, Instant::now());
        if stream {
            let response = gateway.chat(chat_body("main", "Hello", true)).await;
            assert_eq!((response.status().as_u16(), header(&response, "x-gateway-provider").as_deref()), (200, Some("mistral")));
            assert!(Streamed::read(response).await.done);
        } else {
            let answer = query(&gateway, "main").await;
            assert!(attempts(&answer).contains(&("mistral", None, "hedge")), "{answer}");
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        until("the slow request goes on", async || simulator.count("openai", "cancelled").await == cancelled + 1).await;
    }
    assert_eq!(simulator.count("openai", "open").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_plan_and_asks_nobody() {
    let simulator = Simulator::start();
    let gateway = with_route(&simulator, "").start();
    let request = object!({"model": "main", "query": "Hello", "dry_run": true});
    let response = gateway.post("/v1/gateway/query").json(&request).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let answer = json(response).await;
    assert_eq!(answer["dry_run"], true);
    let plan = answer["plan"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let targets: Vec<_> =
        plan.iter().map(|place| format!("{}/{}", place["provider"].as_str().unwrap(), place["model"].as_str().unwrap())).collect();
    assert_eq!(targets, [OPENAI, MISTRAL]);
    for place in plan {
        assert!(["verdict", "reason"].iter().all(|field| place[field].as_str().is_some_and(|text| !text.is_empty())), "{place}");
    }
    assert_eq!((simulator.count("openai", "requests").await, simulator.count("mistral", "requests").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_refuses_at_once_says_when_and_lets_one_probe_through() {
    let simulator = Simulator::start();
    let toml = "[breaker]\nmin_requests = 5\nopen_ms = 1500\n";
    let gateway = Setup::simulated(&simulator).config(toml).env("MAX_RETRIES", "0").start();
    simulator.outage("openai", "status=500").await;
    for _ in 0..5 {
        assert_eq!(ask(&gateway, OPENAI).await.status(), 500);
    }
    let (opened, sent) = (Instant::now(), simulator.count("openai", "requests").await);
    let response = ask(&gateway, OPENAI).await;
    assert_eq!(response.status(), 503);
    assert!(header(&response, "retry-after").is_some_and(|wait| ["1", "2"].contains(&wait.as_str())));
    assert_eq!(json(response).await["error"]["code"], "unavailable");
    assert_eq!(breaker(&gateway, "openai", "gpt-5.4").await, "open");
    let report = gateway.get("/admin/health").send().await.unwrap().text().await.unwrap();
    assert!(report.contains("gpt-5.4") && report.contains("open"), "{report}");
    assert_eq!(ask(&gateway, "openai/gpt-5.6-sol").await.status(), 500, "another model is not concerned");
    assert_eq!(simulator.count("openai", "requests").await, sent + 1, "nothing was sent to the open one");

    simulator.recover().await;
    until("it stays open", async || ask(&gateway, OPENAI).await.status() == 200).await;
    assert!(opened.elapsed() >= Duration::from_millis(1000), "it was probed after {:?}", opened.elapsed());
    assert_eq!(breaker(&gateway, "openai", "gpt-5.4").await, "closed");
}

/// How a model's breaker stands, as the status says.
async fn breaker(gateway: &Gateway, provider: &str, model: &str) -> String {
    let status = json(gateway.get("/api/status").send().await.unwrap()).await;
    let health = status["providers"][provider]["health"].as_array().unwrap_or_else(|| panic!("{status}"));
    let of_model = health.iter().find(|entry| entry["model"] == model).unwrap_or_else(|| panic!("{status}"));
    of_model["breaker"].as_str().unwrap().to_owned()
}
