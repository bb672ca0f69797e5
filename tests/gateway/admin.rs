//! The admin API: who may use it, and what it tells.

use crate::support::{Setup, Simulator, fixture_bytes, json, place};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_told_with_everything_about_them() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let plugin = gateway.plugin("openai").await.unwrap();
    for field in ["file", "name", "version", "sha256", "size_bytes", "compile_ms", "loaded_at", "in_flight", "traps", "earlier_versions"] {
        assert!(!plugin[field].is_null(), "{field}: {plugin}");
    }
    assert_eq!(
        (&plugin["state"], &plugin["contract_version"], &plugin["last_rejection"]),
        (&json!("active"), &json!("1.0.0"), &json!(null))
    );
    assert!(plugin["interfaces"].as_array().unwrap().contains(&json!("models")));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_only_who_has_it_is_answered() {
    let gateway = Setup::bare().env("ADMIN_KEY", "the-key").start();
    assert_eq!(gateway.get("/admin/plugins").send().await.unwrap().status(), 401);
    assert_eq!(gateway.get("/admin/plugins").bearer_auth("the-kez").send().await.unwrap().status(), 401);
    assert_eq!(gateway.get("/admin/plugins").bearer_auth("the-key").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_only_who_comes_straight_from_this_machine_is_answered() {
    let gateway = Setup::bare().start();
    assert_eq!(gateway.get("/admin/plugins").send().await.unwrap().status(), 200);
    for (name, value) in [("x-forwarded-for", "10.0.0.1"), ("host", "evil.example"), ("origin", "https://evil.example")] {
        let response = gateway.post("/admin/plugins/openai/reload").header(name, value).send().await.unwrap();
        assert_eq!(response.status(), 401, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_rolled_back_and_reloaded() {
    let simulator = Simulator::start();
    let setup = Setup::bare().provider("openai", &simulator.base_url("openai"));
    place(&setup.plugins(), "openai.wasm", &fixture_bytes("tagged", "aaaa"));
    let gateway = setup.start();
    let post = |path: &'static str| gateway.post(path).send();
    assert_eq!(post("/admin/plugins/openai/rollback").await.unwrap().status(), 409, "there is nothing earlier");
    assert_eq!(post("/admin/plugins/nobody/reload").await.unwrap().status(), 404);
    place(&gateway.plugins(), "openai.wasm", &fixture_bytes("tagged", "bbbb"));
    gateway.wait_for_event("openai.wasm", "replaced");
    assert!(gateway.plugin("openai").await.unwrap()["version"].as_str().unwrap().ends_with("+bbbb"));
    assert_eq!(post("/admin/plugins/openai/rollback").await.unwrap().status(), 200);
    let plugin = gateway.plugin("openai").await.unwrap();
    assert!(plugin["version"].as_str().unwrap().ends_with("+aaaa") && plugin["state"] == "rolled_back", "{plugin}");
    let reloaded = json(post("/admin/plugins/openai/reload").await.unwrap()).await;
    assert_eq!(reloaded["changed"], true);
    assert!(gateway.plugin("openai").await.unwrap()["version"].as_str().unwrap().ends_with("+bbbb"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_past_and_what_comes() {
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator);
    let gateway = setup.start();
    let mut events = gateway.get("/admin/events").send().await.unwrap();
    let mut text = String::new();
    let mut read_until = async |what: &str| {
        while !text.contains(what) {
            let chunk = tokio::time::timeout(crate::support::PATIENCE, events.chunk())
                .await
                .expect("it comes in time")
                .unwrap()
                .expect("the feed goes on");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    for file in ["openai.wasm", "gemini.wasm", "mistral.wasm", "claude.wasm"] {
        read_until(file).await;
    }
    std::fs::write(gateway.plugins().join("bad.wasm"), "no wasm").unwrap();
    read_until("event: rejected").await;
    std::fs::remove_file(gateway.plugins().join("claude.wasm")).unwrap();
    read_until("event: removed").await;
    // The feed of who only listens does not hold up a stop.
    gateway.process.signal(rustix::process::Signal::TERM);
    let rest = tokio::time::timeout(std::time::Duration::from_secs(10), async { while let Ok(Some(_)) = events.chunk().await {} }).await;
    assert!(rest.is_ok(), "the feed ends when the gateway stops");
}
