//! Faults of a provider: what the caller is told, with which status, after how many attempts.

use crate::support::{Setup, Simulator, chat_body, header, json};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn failures_keep_their_meaning_and_the_providers_words() {
    let simulator = Simulator::start();
    // More failures than a provider that is to be asked on may have.
    let gateway = Setup::simulated(&simulator).config("[breaker]\nmin_requests = 1000\n").start();
    for provider in crate::support::ADAPTERS {
        for (fault, status, attempts) in [
            ("status=400", 400, "1"),
            ("status=401", 401, "1"),
            ("status=403", 403, "1"),
            ("status=404", 404, "1"),
            ("status=500;times=99", 500, "4"),
            ("status=503;times=99", 503, "4"),
            ("html=502", 502, "4"),
            ("garbage", 502, "4"),
            ("truncate", 502, "4"),
        ] {
            // Each has its own status for being overloaded, which stays.
            let overloaded = provider == "claude" && status == 503;
            let (fault, status) = if overloaded { ("status=529;times=99", 529) } else { (fault, status) };
            simulator.script(provider, &[fault; 4]).await;
            let response = gateway.chat(chat_body(provider, "Hello", false)).await;
            // Mistral's 403 is its guardrail's: the request is refused for what is in it.
            let status = if provider == "mistral" && status == 403 { 400 } else { status };
            assert_eq!(response.status().as_u16(), status, "{provider} {fault}");
            assert_eq!(header(&response, "x-gateway-attempts").as_deref(), Some(attempts), "{provider} {fault}");
            assert_eq!(header(&response, "x-gateway-error-origin").as_deref(), Some("provider"), "{provider} {fault}");
            let error = json(response).await;
            assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{provider} {fault}: {error}");
            crate::support::client().delete(format!("{}/simulator/script", simulator.origin)).send().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_waited_for_in_every_form_and_passed_on_when_too_long() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for form in ["ms:50", "1", "date:1"] {
        simulator.script("openai", &[&format!("status=429;retry-after={form}")]).await;
        let response = gateway.query(json!({"query": "Hello", "model": "openai"})).await;
        assert_eq!(json(response).await["num_retries"], 1, "{form}");
    }
    simulator.script("openai", &["status=429;retry-after=100"]).await;
    let response = gateway.chat(chat_body("openai", "Hello", false)).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after").as_deref()), (429, Some("100")));
    assert_eq!(header(&response, "x-gateway-attempts").as_deref(), Some("1"), "longer than MAX_BACKOFF is not waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_not_retried_and_tells_the_client_so() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    simulator.script("openai", &["status=429;code=insufficient_quota"]).await;
    let response = gateway.chat(chat_body("openai", "Hello", false)).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-should-retry").as_deref()), (429, Some("false")));
    assert_eq!(json(response).await["error"]["code"], "insufficient_quota");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_there_or_silent_is_told_apart() {
    let setup = Setup::bare().provider("openai", "http://127.0.0.1:1/v1").env("MAX_RETRIES", "1");
    setup.copy_adapter("openai");
    let gateway = setup.start();
    let response = gateway.query(json!({"query": "Hello", "model": "openai"})).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-gateway-attempts").as_deref()), (502, Some("2")));
    let answer = json(response).await;
    assert_eq!(answer["error_type"], "unreachable");
    assert!(!answer["error"].as_str().unwrap().contains("127.0.0.1"), "no internal address is told: {answer}");

    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("MAX_RETRIES", "0").env("FIRST_BYTE_TIMEOUT", "200").start();
    simulator.script("openai", &["delay-ms=60000"]).await;
    let response = gateway.query(json!({"query": "Hello", "model": "openai"})).await;
    assert_eq!(response.status().as_u16(), 504);
    let answer = json(response).await;
    assert!(answer["error_type"] == "timeout" && answer["error"].as_str().unwrap().contains("FIRST_BYTE_TIMEOUT"), "{answer}");
}
