//! Gateway keys: made, used as official clients send them, limited to models and tenants, rotated, revoked, and never shown again.

use crate::servers::Postgres;
use crate::support::{Gateway, PATIENCE, Setup, Simulator, chat_body, client, header, json, until};
use reqwest::Response;
use serde_json::{Value, json as object};
use std::time::Duration;

async fn ask_with(gateway: &Gateway, secret: &str) -> Response {
    gateway.post("/v1/chat/completions").bearer_auth(secret).json(&chat_body("openai", "Hello", false)).send().await.unwrap()
}

async fn status_with(gateway: &Gateway, secret: &str) -> u16 {
    ask_with(gateway, secret).await.status().as_u16()
}

async fn told(response: Response, status: u16, words: &str) {
    let (got, body) = (response.status().as_u16(), response.text().await.unwrap());
    assert!(got == status && body.contains(words), "expected {status} with `{words}`, got {got}: {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_known_in_every_form() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("ALLOW_ANONYMOUS", "false").start();
    told(gateway.chat(chat_body("openai", "Hello", false)).await, 401, "/admin/keys").await;
    let made = gateway.post("/admin/keys").json(&object!({"tenant": "acme", "name": "Acme's first"})).send().await.unwrap();
    assert_eq!((made.status().as_u16(), header(&made, "cache-control").as_deref()), (201, Some("no-store")));
    let made = json(made).await;
    let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(secret.starts_with("gw-") && made["tenant"] == "acme" && made["name"] == "Acme's first", "{made}");

    let body = chat_body("openai", "Hello", false);
    let post = |path: &str| gateway.post(path);
    for request in [
        post("/v1/chat/completions").bearer_auth(secret).json(&body),
        post("/v1/responses").bearer_auth(secret).json(&object!({"model": "openai", "input": "Hello"})),
        post("/v1/messages")
            .header("x-api-key", secret)
            .json(&object!({"model": "claude", "messages": body["messages"], "max_tokens": 10})),
        post("/v1/messages").bearer_auth(secret).json(&object!({"model": "claude", "messages": body["messages"], "max_tokens": 10})),
        post("/v1/embeddings").bearer_auth(secret).json(&object!({"model": "openai/text-embedding-3-small", "input": "Hello"})),
        post("/api/query").bearer_auth(secret).json(&object!({"model": "openai", "query": "Hello"})),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let row = gateway.row(&header(&response, "x-request-id").unwrap()).await;
        assert_eq!((&row["tenant"], &row["key_id"]), (&object!("acme"), &object!(id)));
    }
    assert_eq!(gateway.get("/v1/models").bearer_auth(secret).send().await.unwrap().status(), 200);
    let unknown = format!("{}x", &secret[..secret.len() - 1]);
    told(ask_with(&gateway, &unknown).await, 401, "not known").await;
    told(ask_with(&gateway, "sk-something-else").await, 401, "key").await;

    for path in ["/admin/keys".to_owned(), format!("/admin/keys/{id}"), "/admin/requests".to_owned(), "/admin/config".to_owned()] {
        let shown = gateway.get(&path).send().await.unwrap().text().await.unwrap();
        assert!(!shown.contains(secret), "{path}");
    }
    assert!(gateway.process.lines().iter().all(|line| !line.contains(secret)), "it is logged");
    let stored = std::fs::read(gateway.folder().join("data/gateway.db")).unwrap();
    assert!(!stored.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "it is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_over_is_refused_also_where_anybody_is_answered() {
    let simulator = Simulator::start();
    let mut gateway = Setup::simulated(&simulator).start();
    let key = gateway.key(object!({"tenant": "acme"})).await;
    assert_eq!(status_with(&gateway, &key.secret).await, 200);
    for _ in 0..2 {
        let revoked = gateway.client.delete(format!("{}/admin/keys/{}", gateway.url, key.id)).send().await.unwrap();
        assert!(revoked.status().is_success());
    }
    told(ask_with(&gateway, &key.secret).await, 401, "revoked").await;
    assert_eq!(status_with(&gateway, "sk-what-an-sdk-sends").await, 200, "anybody is answered");

    let soon = jiff::Timestamp::now() + Duration::from_millis(1500);
    let passing = gateway.key(object!({"tenant": "acme", "expires_at": soon.to_string()})).await;
    assert_eq!(status_with(&gateway, &passing.secret).await, 200);
    until("it does not expire", async || status_with(&gateway, &passing.secret).await == 401).await;
    told(ask_with(&gateway, &passing.secret).await, 401, "expired").await;

    let kept = gateway.key(object!({"tenant": "acme"})).await;
    gateway.kill_and_restart();
    assert_eq!(status_with(&gateway, &kept.secret).await, 200, "what was acknowledged is kept");
    told(ask_with(&gateway, &key.secret).await, 401, "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_has_a_new_secret_and_the_old_one_for_its_grace() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let key = gateway.key(object!({"tenant": "acme"})).await;
    let rotate = async |body: Value| {
        let rotated = json(gateway.post(&format!("/admin/keys/{}/rotate", key.id)).json(&body).send().await.unwrap()).await;
        assert_eq!(rotated["id"].as_str(), Some(key.id.as_str()), "{rotated}");
        rotated["key"].as_str().unwrap().to_owned()
    };
    let second = rotate(object!({})).await;
    assert_eq!((status_with(&gateway, &key.secret).await, status_with(&gateway, &second).await), (401, 200));
    let third = rotate(object!({"grace_seconds": 3600})).await;
    assert_eq!((status_with(&gateway, &second).await, status_with(&gateway, &third).await), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_for_its_models_and_its_tenant() {
    let simulator = Simulator::start();
    let toml = "[routes.main]\ntargets = [\"mistral/mistral-large-4\", \"gemini/gemini-3.8-flash\"]\n";
    let gateway = Setup::simulated(&simulator).config(toml).start();
    let models = object!(["openai/gpt-5.4", "claude", "main"]);
    let key = gateway.key(object!({"tenant": "acme", "models": models})).await;
    for (model, status) in [
        ("openai/gpt-5.4", 200),
        ("gpt-5.4", 200),
        ("openai/gpt-5.4-mini", 403),
        ("claude/claude-haiku-5-5", 200),
        ("main", 200),
        ("mistral/mistral-large-4", 403),
        ("gemini", 403),
    ] {
        let response =
            gateway.post("/v1/chat/completions").bearer_auth(&key.secret).json(&chat_body(model, "Hello", false)).send().await.unwrap();
        told(response, status, "").await;
    }
    let every = gateway.key(object!({"tenant": "*"})).await;
    for (secret, tenant, status) in [
        (Some(&key.secret), "acme", 200),
        (Some(&key.secret), "umbrella", 403),
        (Some(&every.secret), "umbrella", 200),
        (Some(&every.secret), "Not A Tenant", 403),
        (None, "default", 200),
        (None, "acme", 403),
    ] {
        let mut request = gateway.post("/v1/gateway/query").json(&object!({"model": "openai/gpt-5.4", "query": "Hello", "tenant": tenant}));
        if let Some(secret) = secret {
            request = request.bearer_auth(secret);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{tenant}");
        let answer = json(response).await;
        if status == 200 {
            assert_eq!(answer["tenant"].as_str(), Some(tenant));
        } else {
            assert!(answer["error"].as_str().unwrap().contains("tenant"), "{answer}");
        }
    }
    let counted: Vec<Value> = gateway.rows("tenant=umbrella").await;
    assert_eq!((counted.len(), &counted[0]["key_id"]), (1, &object!(every.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_key_can_be_is_named_and_changes_nothing() {
    let gateway = Setup::bare().start();
    for (body, named) in [
        (object!({}), "tenant"),
        (object!({"tenant": "A B"}), "tenant"),
        (object!({"tenant": "acme", "rpm": -1}), "rpm"),
        (object!({"tenant": "acme", "tpm": "many"}), "tpm"),
        (object!({"tenant": "acme", "budget_usd": -5}), "budget_usd"),
        (object!({"tenant": "acme", "budget_usd": {"week": 5}}), "week"),
        (object!({"tenant": "acme", "expires_at": "2001-01-01T00:00:00Z"}), "expires_at"),
        (object!({"tenant": "acme", "models": "openai"}), "models"),
        (object!({"tenant": "acme", "secret": "mine"}), "secret"),
    ] {
        told(gateway.post("/admin/keys").json(&body).send().await.unwrap(), 400, named).await;
    }
    let listed = json(gateway.get("/admin/keys").send().await.unwrap()).await;
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(0), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_on_one_database_know_each_others_keys() {
    let simulator = Simulator::start();
    let postgres = Postgres::start();
    let start = || Setup::simulated(&simulator).env("DATABASE_URL", &postgres.url()).env("ALLOW_ANONYMOUS", "false").start();
    let (one, other) = (start(), start());
    let key = one.key(object!({"tenant": "acme"})).await;
    until("the other does not know it", async || status_with(&other, &key.secret).await == 200).await;
    assert!(other.client.delete(format!("{}/admin/keys/{}", other.url, key.id)).send().await.unwrap().status().is_success());
    assert_eq!(status_with(&other, &key.secret).await, 401);
    until("the first still takes it", async || status_with(&one, &key.secret).await == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_all_can_reach_answers_only_callers_with_a_key_and_says_so() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("HOST", "0.0.0.0").env("ADMIN_KEY", "the-admin-key").start();
    let port = gateway.url.rsplit_once(':').unwrap().1;
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    gateway.process.wait_for("word on callers without a key", |line| line.contains("ALLOW_ANONYMOUS").then_some(()));
    let ask = || client().post(url("/v1/chat/completions")).timeout(PATIENCE).json(&chat_body("openai", "Hello", false));
    told(ask().send().await.unwrap(), 401, "ALLOW_ANONYMOUS").await;
    told(ask().bearer_auth("the-admin-key").send().await.unwrap(), 401, "key").await;
    let made = client().post(url("/admin/keys")).bearer_auth("the-admin-key").json(&object!({"tenant": "acme"})).send().await.unwrap();
    let secret = json(made).await["key"].as_str().unwrap().to_owned();
    assert_eq!(ask().bearer_auth(secret).send().await.unwrap().status(), 200);
    assert_eq!(client().get(url("/healthz")).send().await.unwrap().status(), 200, "health is no secret");

    let open = Setup::simulated(&simulator).env("HOST", "0.0.0.0").env("ALLOW_ANONYMOUS", "true").start();
    open.process.wait_for("word on callers without a key", |line| line.contains("ALLOW_ANONYMOUS").then_some(()));
    let port = open.url.rsplit_once(':').unwrap().1;
    let anybody = client().post(format!("http://127.0.0.1:{port}/v1/chat/completions")).json(&chat_body("openai", "Hello", false));
    assert_eq!(anybody.send().await.unwrap().status(), 200);
}
