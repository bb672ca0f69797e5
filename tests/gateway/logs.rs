//! What is logged of a request, and what never is.

use crate::support::{Setup, Simulator, chat_body, header};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_each_attempt_is_one_line_with_its_account() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    simulator.script("openai", &["status=503"]).await;
    let response = gateway.query(json!({"query": "Hello", "model": "openai", "request_id": "log-1"})).await;
    assert_eq!(header(&response, "x-request-id").as_deref(), Some("log-1"));
    let request = gateway.process.wait_for_record("request", |line| line["request_id"] == "log-1");
    assert_eq!(
        (&request["route"], &request["tenant"], &request["provider"], &request["status"]),
        (&json!("/api/query"), &json!("default"), &json!("openai"), &json!(200))
    );
    for field in [
        "model",
        "plugin_version",
        "latency_ms",
        "upstream_ms",
        "gateway_us",
        "input_tokens",
        "output_tokens",
        "attempts",
        "finish_reason",
        "timestamp",
        "level",
    ] {
        assert!(!request[field].is_null(), "{field}: {request}");
    }
    let attempts: Vec<_> = gateway.process.records("attempt").into_iter().filter(|line| line["request_id"] == "log-1").collect();
    assert_eq!(attempts.len(), 2);
    assert_eq!((&attempts[0]["status"], &attempts[0]["error_type"]), (&json!(503), &json!("overloaded")));
    assert!(attempts[1]["backoff_ms"].as_f64().unwrap() > 0.0 && attempts[1]["error_type"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_logged_too() {
    let gateway = Setup::bare().start();
    let response = gateway.query(json!({"query": ""})).await;
    let id = header(&response, "x-request-id").unwrap();
    let request = gateway.process.wait_for_record("request", |line| line["request_id"] == id);
    assert_eq!((&request["status"], &request["error_type"], &request["attempts"]), (&json!(400), &json!("invalid_request"), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_prompts_nor_keys_are_logged() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("LOG_LEVEL", "trace").env("ADMIN_KEY", "secret-admin-key").start();
    for provider in crate::support::ADAPTERS {
        for stream in [false, true] {
            let response = gateway.chat(chat_body(provider, "my private question", stream)).await;
            assert_eq!(response.status(), 200);
            response.text().await.unwrap();
        }
        simulator.script(provider, &["status=401"]).await;
        gateway.chat(chat_body(provider, "my private question", false)).await;
    }
    gateway.get("/admin/plugins").bearer_auth("secret-admin-key").send().await.unwrap();
    gateway.process.wait_for_record("request", |line| line["provider"] == "claude" && line["status"] == 401);
    let log = gateway.process.lines().join("\n");
    for secret in
        ["secret-openai-key", "secret-gemini-key", "secret-mistral-key", "secret-claude-key", "secret-admin-key", "private question"]
    {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_logged_where_a_setting_asks_for_them() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("LOG_PROMPTS", "true").start();
    for stream in [false, true] {
        gateway.chat(chat_body("openai", "my public question", stream)).await.text().await.unwrap();
        let line = gateway.process.wait_for_record("request", |line| line["stream"] == stream);
        assert!(
            line["prompt"].as_str().unwrap().contains("my public question")
                && line["response"].as_str().unwrap().contains("my public question"),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_is_honoured() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator)
        .env("LOG_LEVEL", "llm_gateway=warn,llm_gateway::app=info,llm_gateway=info,llm_gateway::attempt=off")
        .start();
    let response = gateway.query(json!({"query": "Hello", "model": "openai"})).await;
    let id = header(&response, "x-request-id").unwrap();
    gateway.process.wait_for_record("request", |line| line["request_id"] == id);
    assert!(gateway.process.records("attempt").is_empty());
}
