//! `gateway.toml` edited while the gateway serves: a good edit counts, a bad one changes nothing. (How soon, and under load: `tests/load`.)
//!
//! What answers tells which edit it was by: an alias that moves from one provider to another.

use crate::support::{Gateway, PATIENCE, Setup, Simulator, chat_body, header, json, place};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

fn alias(target: &str) -> String {
    format!("[aliases]\nfast = \"{target}\"\n")
}

const OPENAI: &str = "openai/gpt-5.4";
const MISTRAL: &str = "mistral/mistral-small-2603";

fn edit(folder: &Path, text: &str) {
    place(folder, "gateway.toml", text.as_bytes());
}

/// Which provider the alias leads to.
async fn asked(gateway: &Gateway) -> String {
    let response = gateway.chat(chat_body("fast", "Hello", false)).await;
    assert_eq!(response.status(), 200, "no request is dropped");
    header(&response, "x-gateway-provider").unwrap()
}

/// Asks until the alias leads to this provider.
async fn until_asked(gateway: &Gateway, provider: &str) {
    let end = Instant::now() + PATIENCE;
    while asked(gateway).await != provider {
        assert!(Instant::now() < end, "the edit does not count");
    }
}

async fn config(gateway: &Gateway) -> Value {
    json(gateway.get("/admin/config").send().await.unwrap()).await
}

async fn until_state(gateway: &Gateway, state: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let config = config(gateway).await;
        if config["state"] == state {
            return config;
        }
        assert!(Instant::now() < end, "{config}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_edit_counts_without_a_dropped_request() {
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator);
    edit(setup.folder(), &alias(OPENAI));
    let gateway = setup.start();
    assert_eq!(asked(&gateway).await, "openai");
    edit(gateway.folder(), &alias(MISTRAL));
    until_asked(&gateway, "mistral").await;
    let config = config(&gateway).await;
    assert_eq!((&config["state"], &config["aliases"], &config["rejection"]), (&json!("loaded"), &json!({"fast": MISTRAL}), &json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_is_refused_with_its_line_and_what_was_serves_on() {
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator);
    edit(setup.folder(), &alias(OPENAI));
    let gateway = setup.start();
    edit(gateway.folder(), &format!("{}\n[routes.support]\ntargets = [\"claude\", \"claude\"]\n", alias(MISTRAL)));
    let record = gateway.process.wait_for_record("configuration rejected", |_| true);
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("gateway.toml: line 5: routes.support.targets[1]: `claude` is there twice"), "{reason}");
    let config = until_state(&gateway, "rejected").await;
    assert_eq!((&config["rejection"]["reason"], &config["aliases"]), (&json!(reason), &json!({"fast": OPENAI})));
    assert_eq!(asked(&gateway).await, "openai", "nothing of it counts");
    let refused = gateway.post("/admin/config/reload").send().await.unwrap();
    assert_eq!(refused.status(), 409);
    assert!(json(refused).await["error"].as_str().unwrap().contains("line 5"));
    assert_eq!(gateway.process.records("configuration rejected").len(), 1, "it is told once");
    edit(gateway.folder(), &alias(MISTRAL));
    until_asked(&gateway, "mistral").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_come_and_go() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    assert_eq!(config(&gateway).await["state"], "absent");
    edit(gateway.folder(), &alias(OPENAI));
    until_state(&gateway, "loaded").await;
    assert_eq!(asked(&gateway).await, "openai");
    std::fs::remove_file(gateway.folder().join("gateway.toml")).unwrap();
    let config = until_state(&gateway, "absent").await;
    assert_eq!(config["aliases"], json!({}));
    gateway.process.wait_for_record("configuration removed", |line| line["file"] == "gateway.toml");
    assert_eq!(gateway.chat(chat_body("fast", "Hello", false)).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_file_that_vanishes_changes_nothing() {
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator).env("CONFIG_FILE", "named.toml");
    place(setup.folder(), "named.toml", alias(OPENAI).as_bytes());
    let gateway = setup.start();
    std::fs::remove_file(gateway.folder().join("named.toml")).unwrap();
    let config = until_state(&gateway, "rejected").await;
    assert!(config["rejection"]["reason"].as_str().unwrap().contains("named.toml"), "{config}");
    assert_eq!(asked(&gateway).await, "openai");
}

/// As Kubernetes replaces the files of a ConfigMap: a link to a folder is pointed elsewhere, and the file's own name stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_elsewhere_is_an_edit() {
    use std::os::unix::fs::symlink;
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator);
    for (version, target) in [("v1", OPENAI), ("v2", MISTRAL)] {
        std::fs::create_dir(setup.folder().join(version)).unwrap();
        edit(&setup.folder().join(version), &alias(target));
    }
    symlink("v1", setup.folder().join("..data")).unwrap();
    symlink("..data/gateway.toml", setup.folder().join("gateway.toml")).unwrap();
    let gateway = setup.start();
    assert_eq!(asked(&gateway).await, "openai");
    symlink("v2", gateway.folder().join("..data_new")).unwrap();
    std::fs::rename(gateway.folder().join("..data_new"), gateway.folder().join("..data")).unwrap();
    until_asked(&gateway, "mistral").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_rules_and_no_secret() {
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator).env("EU_KEY", "secret-eu-key");
    let text = r#"
[providers.openai-eu]
plugin = "openai"
key_envs = ["EU_KEY", "EU_KEY_2"]
headers = { x-team = "secret-header" }
[routes.support]
targets = ["openai/gpt-5.4", { target = "openai-eu/gpt-5.4", weight = 3 }]
strategy = "weighted"
[tasks]
summarization = ["mistral"]
"#;
    edit(setup.folder(), text);
    let gateway = setup.start();
    let config = config(&gateway).await;
    let route = &config["routes"]["support"];
    assert_eq!((&route["strategy"], &route["targets"][1]), (&json!("weighted"), &json!({"target": "openai-eu/gpt-5.4", "weight": 3})));
    assert_eq!(config["tasks"], json!({"summarization": ["mistral"]}));
    assert!(config["notices"][0].as_str().unwrap().contains("EU_KEY_2"), "{config}");
    assert!(!config.to_string().contains("secret"), "{config}");
    gateway.process.wait_for("a warning", |line| (line.contains("EU_KEY_2") && line.contains("WARN")).then_some(()));
    let unchanged = json(gateway.post("/admin/config/reload").send().await.unwrap()).await;
    assert_eq!(unchanged, json!({"changed": false}));
    let mut events = gateway.get("/admin/events").send().await.unwrap();
    let mut told = String::new();
    while !told.contains("event: config_loaded") {
        let chunk = tokio::time::timeout(PATIENCE, events.chunk()).await.expect("it comes in time").unwrap().expect("the feed goes on");
        told.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}
