//! Adapters that misbehave: one request is lost at most, nobody else notices, memory stays bounded.

use crate::support::{Gateway, Setup, Simulator, Streamed, chat_body, fixture_bytes, header, json, place};

fn start(simulator: &Simulator) -> Gateway {
    let setup = Setup::simulated(simulator).provider("hostile", &simulator.base_url("openai")).env("MAX_RETRIES", "0");
    place(&setup.plugins(), "hostile.wasm", &fixture_bytes("hostile", "hostile"));
    setup.start()
}

/// Resident memory may grow by what one answer of the allowed size needs, and its copies; an attack wants gigabytes.
const GROWTH_BYTES: u64 = 500 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_broken_plugin_fails_as_its_fault_and_nothing_else_does() {
    let simulator = Simulator::start();
    let gateway = start(&simulator);
    assert_eq!(gateway.chat(chat_body("hostile/fine", "Hello", false)).await.status(), 200);
    let memory = gateway.process.memory_bytes();
    for model in [
        "encode-loop",
        "encode-allocate",
        "encode-trap",
        "encode-huge",
        "encode-deep-stack",
        "other-host",
        "other-url",
        "other-path",
        "line-break",
        "own-key",
        "own-host",
        "cookie",
        "no-such-blob",
        "decode-loop",
        "decode-allocate",
        "decode-trap",
        "decode-huge",
    ] {
        let response = gateway.chat(chat_body(&format!("hostile/{model}"), "Hello", false)).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-gateway-error-origin").as_deref()), (502, Some("gateway")), "{model}");
        let error = json(response).await;
        assert_eq!(error["error"]["code"], "plugin", "{model}: {error}");
        assert!(error["error"]["message"].as_str().unwrap().contains("plugin"), "{model}: {error}");
        assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 200, "after {model}");
    }
    assert!(gateway.plugin("hostile").await.unwrap()["traps"].as_u64().unwrap() >= 17);
    let grown = gateway.process.memory_bytes().saturating_sub(memory);
    assert!(grown < GROWTH_BYTES, "memory grew by {} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_decoder_breaks_ends_in_an_error() {
    let simulator = Simulator::start();
    let gateway = start(&simulator);
    let memory = gateway.process.memory_bytes();
    let fine = Streamed::read(gateway.chat(chat_body("hostile/fine", "Hello", true)).await).await;
    assert!(fine.done && fine.text.starts_with("begun "), "{fine:?}");
    for model in ["stream-loop", "stream-allocate", "stream-trap", "stream-huge", "stream-million", "stream-silent-end"] {
        let response = gateway.chat(chat_body(&format!("hostile/{model}"), "Hello", true)).await;
        assert_eq!(response.status(), 200, "{model}: it had begun");
        let streamed = Streamed::read(response).await;
        assert!(!streamed.done && streamed.text == "begun ", "{model}: {streamed:?}");
        assert_eq!(streamed.error.unwrap()["code"], "plugin", "{model}");
        assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 200, "after {model}");
    }
    let grown = gateway.process.memory_bytes().saturating_sub(memory);
    assert!(grown < GROWTH_BYTES, "memory grew by {} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_logs_is_bounded() {
    let simulator = Simulator::start();
    let gateway = start(&simulator);
    assert_eq!(gateway.chat(chat_body("hostile/log-flood", "Hello", false)).await.status(), 200);
    gateway.process.wait_for_record("request", |line| line["provider"] == "hostile");
    let lines: Vec<String> = gateway.process.lines().into_iter().filter(|line| line.contains("flood flood")).collect();
    assert!((1..=20).contains(&lines.len()) && lines.iter().all(|line| line.len() < 2000), "{} lines", lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_plugin_is_fallen_back_from_where_the_gateway_chose_it() {
    let simulator = Simulator::start();
    let setup = Setup::bare().provider("openai", &simulator.base_url("openai")).provider("mistral", &simulator.base_url("mistral"));
    // By this name it is asked first, for a model at whose answer it traps.
    place(&setup.plugins(), "openai.wasm", &fixture_bytes("hostile", "openai"));
    setup.copy_adapter("mistral");
    let gateway = setup.start();
    let response = gateway.query(serde_json::json!({"query": "Hello"})).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-gateway-fallback-from").as_deref()), (200, Some("openai")));
    assert_eq!(header(&response, "x-gateway-attempts").as_deref(), Some("2"), "a plugin that broke on a request is not asked again");
}
