//! Files in the plugins folder that are no good: one clear event each, the old version serves on, nothing else is affected.

use crate::support::{Gateway, Setup, Simulator, adapter_bytes, chat_body, fixture_bytes, header, place};
use serde_json::Value;

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A component that exports an empty interface of this name.
fn exporting(name: &str) -> Vec<u8> {
    wat(&format!("(component (component $c) (instance $i (instantiate $c)) (export \"{name}\" (instance $i)))"))
}

/// What is no adapter, and what is said of it.
fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = adapter_bytes("openai");
    vec![
        ("truncated", good[..good.len() / 2].to_vec(), "does not compile"),
        ("empty", Vec::new(), "empty"),
        ("text", b"not WebAssembly at all".to_vec(), "not WebAssembly"),
        ("core module", wat("(module)"), "core module"),
        ("another world", wat("(component)"), "does not export"),
        ("half an adapter", exporting("llm-gateway:provider/chat@1.0.0"), "does not export"),
        (
            "unknown contract version",
            wat("(component (component $c) (instance $i (instantiate $c)) (export \"llm-gateway:provider/chat@9.0.0\" (instance $i)) \
                 (export \"llm-gateway:provider/manifest@9.0.0\" (instance $i)))"),
            "version 9.0.0",
        ),
        ("network", wat("(component (import \"wasi:sockets/tcp@0.2.0\" (instance)))"), "network"),
        ("http", wat("(component (import \"wasi:http/outgoing-handler@0.2.0\" (instance)))"), "network"),
        ("unknown import", wat("(component (import \"acme:secrets/store@1.0.0\" (instance)))"), "acme:secrets"),
        ("describe traps", fixture_bytes("hostile", "trap"), "describe() failed"),
        ("describe loops", fixture_bytes("hostile", "loop"), "describe() failed"),
        ("another id", fixture_bytes("hostile", "somebody"), "describes itself as `somebody`"),
        ("no id", fixture_bytes("hostile", "Not An Id"), "describe() gives id"),
    ]
}

async fn serves(gateway: &Gateway) -> bool {
    let response = gateway.chat(chat_body("openai", "Hello", false)).await;
    response.status() == 200 && header(&response, "x-gateway-provider").as_deref() == Some("openai")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_rejected_with_its_reason_and_the_old_version_serves_on() {
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator);
    let gateway = setup.start();
    let before = gateway.plugin("openai").await.unwrap();
    let others: Vec<Value> = [gateway.plugin("gemini").await.unwrap(), gateway.plugin("claude").await.unwrap()].into();
    for (name, bytes, reason) in bad_files() {
        let known = gateway.process.records("plugin rejected").len();
        place(&gateway.plugins(), "openai.wasm", &bytes);
        let end = std::time::Instant::now() + crate::support::PATIENCE;
        while gateway.process.records("plugin rejected").len() == known {
            assert!(std::time::Instant::now() < end, "{name}: it is rejected");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let event = gateway.process.records("plugin rejected").pop().unwrap();
        assert!(event["file"] == "openai.wasm" && event["reason"].as_str().unwrap().contains(reason), "{name}: {event}");
        let plugin = gateway.plugin("openai").await.unwrap();
        assert!(plugin["last_rejection"]["reason"].as_str().unwrap().contains(reason), "{name}: {plugin}");
        assert_eq!((&plugin["sha256"], &plugin["state"]), (&before["sha256"], &before["state"]), "{name}: the old version is active");
        assert!(serves(&gateway).await, "{name}");
        assert_eq!(gateway.process.records("plugin rejected").len(), known + 1, "{name}: one event");
    }
    assert_eq!([gateway.plugin("gemini").await.unwrap(), gateway.plugin("claude").await.unwrap()], *others);
    place(&gateway.plugins(), "openai.wasm", &fixture_bytes("tagged", "good"));
    gateway.wait_for_event("openai.wasm", "replaced");
    assert!(gateway.plugin("openai").await.unwrap()["last_rejection"].is_null(), "a good file clears what was said");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_slowly_is_loaded_once_it_is_whole() {
    let simulator = Simulator::start();
    let setup = Setup::bare().provider("openai", &simulator.base_url("openai"));
    let gateway = setup.start();
    let bytes = adapter_bytes("openai");
    let path = gateway.plugins().join("openai.wasm");
    std::fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
    gateway.wait_for_event("openai.wasm", "rejected");
    assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 503);
    std::fs::write(&path, &bytes).unwrap();
    gateway.wait_for_event("openai.wasm", "loaded");
    assert!(serves(&gateway).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_out_of_the_folder_is_not_followed() {
    let gateway = Setup::bare().start();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("openai.wasm");
    std::fs::write(&target, adapter_bytes("openai")).unwrap();
    std::os::unix::fs::symlink(&target, gateway.plugins().join("openai.wasm")).unwrap();
    let event = gateway.wait_for_event("openai.wasm", "rejected");
    assert!(event["reason"].as_str().unwrap().contains("link"), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_whose_file_is_deleted_is_gone_and_comes_back_with_it() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    std::fs::remove_file(gateway.plugins().join("openai.wasm")).unwrap();
    gateway.wait_for_event("openai.wasm", "removed");
    let response = gateway.chat(chat_body("openai", "Hello", false)).await;
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("openai.wasm"));
    assert_eq!(gateway.chat(chat_body("claude", "Hello", false)).await.status(), 200);
    place(&gateway.plugins(), "openai.wasm", &adapter_bytes("openai"));
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    while !serves(&gateway).await {
        assert!(std::time::Instant::now() < end, "it came back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_with_one_id_do_not_fight() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    place(&gateway.plugins(), "second.wasm", &fixture_bytes("tagged", "aaaa"));
    let event = gateway.wait_for_event("second.wasm", "rejected");
    assert!(event["reason"].as_str().unwrap().contains("openai.wasm"), "{event}");
    assert!(serves(&gateway).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_partys_adapter_takes_traffic_without_a_restart() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).provider("hostile", &simulator.base_url("openai")).start();
    assert_eq!(gateway.chat(chat_body("hostile/fine", "Hello", false)).await.status(), 404);
    place(&gateway.plugins(), "third.wasm", &fixture_bytes("hostile", "hostile"));
    gateway.wait_for_event("third.wasm", "loaded");
    let response = gateway.chat(chat_body("hostile/fine", "Hello", false)).await;
    assert_eq!(response.status(), 200);
    assert!(response.text().await.unwrap().contains("fine"));
    let sent = simulator.last_request("openai").await;
    assert!(sent.to_string().contains("authorization"), "the host has added the key: {sent}");
}
