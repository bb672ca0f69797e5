//! What a key may use: requests and tokens per minute, requests at once, money. Who is refused is told how much is left and when to come back, and nobody is asked.

use crate::support::{Gateway, Key, Setup, Simulator, chat_body, header, json, number, until};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json as object};

const MODEL: &str = "openai/gpt-5.4";

fn chat_as(gateway: &Gateway, key: &Key, body: &Value) -> RequestBuilder {
    gateway.post("/v1/chat/completions").bearer_auth(&key.secret).json(body)
}

fn hello(max_tokens: u32) -> Value {
    let mut body = chat_body(MODEL, "Hello", false);
    body["max_tokens"] = object!(max_tokens);
    body
}

/// Seconds to wait, between 1 and a minute.
fn retry_after(response: &Response) -> f64 {
    let seconds = number(response, "retry-after");
    assert!((1.0..=60.0).contains(&seconds), "{seconds}");
    seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_per_minute_are_counted_and_told_in_the_callers_dialect() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let key = gateway.key(object!({"tenant": "acme", "rpm": 3})).await;
    for left in [2.0, 1.0, 0.0] {
        let response = chat_as(&gateway, &key, &hello(10)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(number(&response, "x-ratelimit-limit-requests"), 3.0);
        assert_eq!(number(&response, "x-ratelimit-remaining-requests"), left);
        assert!(header(&response, "x-ratelimit-reset-requests").is_some());
    }
    let refused = chat_as(&gateway, &key, &hello(10)).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "x-gateway-error-origin").as_deref(), Some("gateway"));
    assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 0.0);
    retry_after(&refused);
    let error = json(refused).await;
    assert!(error["error"]["message"].as_str().unwrap().contains('3'), "{error}");

    let messages = object!({"model": "claude", "messages": hello(1)["messages"], "max_tokens": 10});
    let refused = gateway.post("/v1/messages").header("x-api-key", &key.secret).json(&messages).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), number(&refused, "anthropic-ratelimit-requests-limit")), (429, 3.0));
    retry_after(&refused);
    assert_eq!(json(refused).await["error"]["type"], "rate_limit_error");

    assert_eq!(simulator.count("openai", "requests").await + simulator.count("claude", "requests").await, 3);
    assert_eq!(gateway.chat(hello(10)).await.status(), 200, "another caller is not concerned");
    let refusals = gateway.rows(&format!("key_id={}&status=429", key.id)).await;
    assert!(refusals.len() == 2 && refusals.iter().all(|row| row["cost_usd"].as_f64() == Some(0.0)), "{refusals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_reserved_before_and_settled_after() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let key = gateway.key(object!({"tenant": "acme", "tpm": 1000})).await;
    let never = chat_as(&gateway, &key, &hello(2000)).send().await.unwrap();
    assert_eq!((never.status().as_u16(), header(&never, "retry-after")), (429, None), "it does not fit into any minute");
    assert!(json(never).await["error"]["message"].as_str().unwrap().contains("1000"));
    // Each reserves more than half of the minute and uses a few: they fit one after the other.
    for _ in 0..5 {
        let response = chat_as(&gateway, &key, &hello(600)).send().await.unwrap();
        assert_eq!((response.status().as_u16(), number(&response, "x-ratelimit-limit-tokens")), (200, 1000.0));
    }
    simulator.script("openai", &["delay-ms=60000"]).await;
    let slow = tokio::spawn(chat_as(&gateway, &key, &hello(600)).send());
    until("the slow one is not there", async || simulator.count("openai", "open").await == 1).await;
    let refused = chat_as(&gateway, &key, &hello(600)).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    retry_after(&refused);
    slow.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_at_once_than_the_key_may() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let key = gateway.key(object!({"tenant": "acme", "concurrency": 1})).await;
    simulator.script("openai", &["stall-after=3"]).await;
    let mut streaming = chat_as(&gateway, &key, &chat_body(MODEL, "Hello", true)).send().await.unwrap();
    streaming.chunk().await.unwrap().expect("it has begun");
    let refused = chat_as(&gateway, &key, &hello(10)).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    retry_after(&refused);
    drop(streaming);
    until("its place is not given back", async || chat_as(&gateway, &key, &hello(10)).send().await.unwrap().status() == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_used_up_is_told_with_its_figures() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let key = gateway.key(object!({"tenant": "acme", "budget_usd": {"day": 0.01, "total": 0.001}})).await;
    let body = hello(50);
    let first = chat_as(&gateway, &key, &body).send().await.unwrap();
    assert_eq!(first.status(), 200);
    let cost = number(&first, "x-gateway-cost-usd");
    assert!(cost > 0.0 && number(&first, "x-gateway-budget-remaining-usd") <= 0.001);
    let mut spent = cost;
    let refused = loop {
        let response = chat_as(&gateway, &key, &body).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
        spent += number(&response, "x-gateway-cost-usd");
        assert!(spent <= 0.001, "{spent}");
    };
    assert_eq!((refused.status().as_u16(), header(&refused, "x-gateway-error-origin").as_deref()), (402, Some("gateway")));
    assert_eq!(header(&refused, "retry-after"), None, "a total does not begin anew");
    let error = json(refused).await;
    assert!(error["error"]["message"].as_str().unwrap().contains("0.001"), "{error}");
    let asked = simulator.count("openai", "requests").await;
    assert_eq!(chat_as(&gateway, &key, &body).send().await.unwrap().status(), 402);
    assert_eq!(simulator.count("openai", "requests").await, asked, "nobody was asked");
    let usage = gateway.usage(&format!("key_id={}", key.id)).await;
    assert!((usage["cost_usd"].as_f64().unwrap() - spent).abs() < 1e-12, "{usage}");

    let raised = gateway.client.patch(format!("{}/admin/keys/{}", gateway.url, key.id)).json(&object!({"budget_usd": {"total": 1}}));
    assert_eq!(raised.send().await.unwrap().status(), 200);
    assert_eq!(chat_as(&gateway, &key, &body).send().await.unwrap().status(), 200, "a new limit counts at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_still_used_up_after_a_kill() {
    let simulator = Simulator::start();
    let mut gateway = Setup::simulated(&simulator).start();
    let key = gateway.key(object!({"tenant": "acme", "budget_usd": 0.001})).await;
    let body = hello(50);
    until("it is never used up", async || chat_as(&gateway, &key, &body).send().await.unwrap().status() == 402).await;
    gateway.kill_and_restart();
    assert_eq!(chat_as(&gateway, &key, &body).send().await.unwrap().status(), 402);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_price_is_not_for_a_budget_unless_the_operator_says_so() {
    let simulator = Simulator::start();
    for (toml, status) in [("", 402), ("unpriced_models = \"allow\"\n", 200)] {
        let gateway = Setup::simulated(&simulator).config(toml).start();
        let key = gateway.key(object!({"tenant": "acme", "budget_usd": 100})).await;
        let mut body = hello(50);
        body["model"] = object!("openai/gpt-99-new");
        let response = chat_as(&gateway, &key, &body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        if status == 402 {
            assert!(json(response).await["error"]["message"].as_str().unwrap().contains("price"));
        } else {
            let row = gateway.row(&header(&response, "x-request-id").unwrap()).await;
            assert_eq!((header(&response, "x-gateway-cost-usd"), &row["cost_usd"]), (None, &Value::Null), "never 0");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_is_billed_and_marked_as_estimated() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("MAX_RETRIES", "0").start();
    let key = gateway.key(object!({"tenant": "acme", "budget_usd": 1})).await;
    simulator.script("openai", &["cut-after=6"]).await;
    let response = chat_as(&gateway, &key, &chat_body(MODEL, "Tell me a long story of many words", true)).send().await.unwrap();
    let id = header(&response, "x-request-id").unwrap();
    let _ = response.bytes().await;
    let row = gateway.row(&id).await;
    assert!(row["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0) && row["tokens_estimated"] == true, "{row}");

    // Likewise where the caller leaves.
    simulator.script("openai", &["stall-after=6"]).await;
    let mut response = chat_as(&gateway, &key, &chat_body(MODEL, "Tell me another", true)).send().await.unwrap();
    let id = header(&response, "x-request-id").unwrap();
    response.chunk().await.unwrap().expect("it has begun");
    drop(response);
    until("it is not in the ledger", async || !gateway.rows(&format!("request_id={id}")).await.is_empty()).await;
    let row = gateway.row(&id).await;
    assert!(row["status"] == 499 && row["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0) && row["tokens_estimated"] == true, "{row}");
}
