//! Streams: the same however their bytes are cut, and never a short success.

use crate::support::{ADAPTERS, Setup, Simulator, Streamed, chat_body, header};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_the_same_however_its_bytes_are_cut() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for (provider, model) in
        [("openai", "gpt-5.4"), ("gemini", "gemini-3.8-flash"), ("mistral", "mistral-medium-3-5"), ("claude", "claude-sonnet-5-5")]
    {
        let text = "Tell me of größe 🎉 and 漢字";
        let expected = Streamed::read(gateway.chat(chat_body(&format!("{provider}/{model}"), text, true)).await).await;
        assert!(expected.done && expected.text.contains("größe 🎉 and 漢字"), "{provider}: {expected:?}");
        let cuts = ["chunk-bytes=1".to_owned(), "chunk-bytes=7".to_owned()];
        let random = (0..10).map(|seed| format!("split=seed:{seed}"));
        for cut in cuts.into_iter().chain(random) {
            let cut_stream = Streamed::read(gateway.chat(chat_body(&format!("{provider}/{model}--{cut}"), text, true)).await).await;
            assert_eq!(cut_stream, expected, "{provider}: {cut}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_ends_in_an_error_and_never_as_done() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("IDLE_TIMEOUT", "300").start();
    for provider in ADAPTERS {
        for fault in ["cut-after=4", "no-end", "error-after=4", "stall-after=4"] {
            simulator.script(provider, &[fault]).await;
            let response = gateway.chat(chat_body(provider, "Hello", true)).await;
            assert_eq!(response.status(), 200, "{provider} {fault}: the answer had begun");
            let id = header(&response, "x-request-id").unwrap();
            let streamed = Streamed::read(response).await;
            assert!(!streamed.done && streamed.error.is_some() && !streamed.text.is_empty(), "{provider} {fault}: {streamed:?}");
            let record = gateway.process.wait_for_record("request", |line| line["request_id"] == id);
            assert!(record["error_type"].is_string() && record["status"] != 200, "{provider} {fault}: {record}");
            let attempt = gateway.process.wait_for_record("attempt", |line| line["request_id"] == id);
            assert!(attempt["error_type"].is_string(), "{provider} {fault}: {attempt}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_before_it_begins_is_tried_again() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for provider in ADAPTERS {
        simulator.script(provider, &["status=503", "cut-after=0"]).await;
        let response = gateway.chat(chat_body(provider, "Hello", true)).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-gateway-attempts").as_deref()), (200, Some("3")), "{provider}");
        assert!(Streamed::read(response).await.done, "{provider}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_upstream_request_along() {
    let simulator = Simulator::paced(20);
    let gateway = Setup::simulated(&simulator).start();
    for provider in ADAPTERS {
        let before = simulator.count(provider, "cancelled").await;
        let mut response = gateway.chat(chat_body(provider, "Hello", true)).await;
        response.chunk().await.unwrap().expect("it has begun");
        drop(response);
        let end = std::time::Instant::now() + crate::support::PATIENCE;
        while simulator.count(provider, "cancelled").await == before {
            assert!(std::time::Instant::now() < end, "{provider}: the upstream request went on");
            tokio::task::yield_now().await;
        }
    }
    // A whole answer that nobody waits for any more.
    simulator.script("openai", &["delay-ms=60000"]).await;
    let left = tokio::time::timeout(std::time::Duration::from_millis(500), gateway.chat(chat_body("openai", "Hello", false))).await;
    assert!(left.is_err());
    let record = gateway.process.wait_for_record("request", |line| line["stream"] == false && line["error_type"] == "cancelled");
    assert_eq!(record["status"], 499);
}

/// Longer than many a proxy waits for a first byte. Until a model speaks, its provider has the time that it has for its first byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_of_a_model_that_thinks_for_long_is_kept_waiting_by_pings() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("IDLE_TIMEOUT", "500").start();
    let pause = "stall-after=1;stall-ms=21000";
    simulator.script("claude", &[pause, pause]).await;
    let ask = async |wire: &str| {
        let body =
            serde_json::json!({"model": "claude", "max_tokens": 1000, "stream": true, "messages": [{"role": "user", "content": "Hello"}]});
        let response = gateway.post(wire).json(&body).send().await.unwrap();
        assert_eq!(header(&response, "x-gateway-attempts").as_deref(), Some("1"), "{wire}");
        response.text().await.unwrap()
    };
    let (chat, messages) = tokio::join!(ask("/v1/chat/completions"), ask("/v1/messages"));
    assert!(chat.split("simulated").next().unwrap().contains(": ping\n\n") && chat.contains("[DONE]"), "{chat}");
    // One comes with every beginning.
    let pings = messages.split("simulated").next().unwrap().matches("event: ping\n").count();
    assert!(pings >= 2 && messages.contains("event: message_stop\n"), "{messages}");
}
