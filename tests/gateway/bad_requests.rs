//! Bad input: a clear 4xx that names the field, in the dialect of the route, and nothing is sent.

use crate::support::{Setup, Simulator, chat_body, header, json};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_the_field_named_and_nothing_is_sent() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("MAX_QUERY_CHARS", "1000").start();
    let before = simulator.count("openai", "requests").await;
    let table = [
        ("/api/query", json!({"query": ""}), 400, "query"),
        ("/api/query", json!({"query": "x".repeat(1001)}), 400, "query"),
        ("/api/query", json!({"query": "x", "model": "nobody"}), 404, "model"),
        ("/api/query", json!({"query": "x", "task_type": "poetry"}), 400, "task_type"),
        ("/api/query", json!({"query": "x", "request_id": "a b"}), 400, "request_id"),
        ("/v1/gateway/query", json!({"query": "x", "max_tokens": "many"}), 400, "max_tokens"),
        ("/api/parallel", json!({"query": "x", "models": []}), 400, "models"),
        ("/v1/chat/completions", json!({"model": "openai"}), 400, "messages"),
        ("/v1/chat/completions", chat_body("nobody", "x", false), 404, "model"),
        ("/v1/chat/completions", json!({"model": "openai", "messages": [{"role": "user", "content": 5}]}), 400, "messages[0].content"),
    ];
    for (path, body, status, field) in table {
        let response = gateway.post(path).json(&body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path} {body}");
        assert_eq!(header(&response, "x-gateway-error-origin").as_deref(), Some("gateway"));
        let id = header(&response, "x-request-id").unwrap();
        let answer = json(response).await;
        let message = if path.starts_with("/v1/chat") { &answer["error"]["message"] } else { &answer["error"] };
        assert!(message.as_str().unwrap().contains(field), "{path} {body}: {answer}");
        if path.starts_with("/v1/chat") {
            assert_eq!((&answer["error"]["param"], &answer["error"]["type"]), (&json!(field), &json!("invalid_request_error")));
        } else {
            assert!(answer["code"].is_string() && answer["request_id"] == json!(id), "{answer}");
        }
    }
    assert_eq!(simulator.count("openai", "requests").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_checked_before_they_are_read() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("MAX_BODY_BYTES", "2000").start();
    let send =
        |body: Vec<u8>, content_type: &'static str| gateway.post("/api/query").header("content-type", content_type).body(body).send();
    let code = |answer: Value| answer["code"].as_str().unwrap().to_owned();
    for (body, content_type, status, expected) in [
        (b"{\"query\"".to_vec(), "application/json", 400, "invalid_json"),
        (b"[1]".to_vec(), "application/json", 400, "invalid_json"),
        (b"\xff\xfe".to_vec(), "application/json", 400, "invalid_json"),
        (b"query=x".to_vec(), "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (format!("{{\"query\":{}1{}}}", "[".repeat(500), "]".repeat(500)).into_bytes(), "application/json", 400, "invalid_json"),
        (vec![b' '; 2001], "application/json", 413, "body_too_large"),
    ] {
        let response = send(body, content_type).await.unwrap();
        assert_eq!((response.status().as_u16(), code(json(response).await).as_str()), (status, expected));
    }
    let unannounced = reqwest::Body::wrap_stream(futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100]))));
    let response = gateway.post("/api/query").header("content-type", "application/json").body(unannounced).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_id_is_refused() {
    let gateway = Setup::bare().start();
    for bad in ["a b", "ä", &"x".repeat(129)] {
        let response = gateway.post("/api/query").header("x-request-id", bad.as_bytes()).json(&json!({"query": "x"})).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 400, "{bad}");
        let answer = json(response).await;
        assert!(answer["error"].as_str().unwrap().contains("x-request-id"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_says_so_in_the_dialect_of_its_place() {
    let gateway = Setup::bare().start();
    let response = gateway.get("/v1/nothing").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 404);
    assert_eq!(json(response).await["error"]["code"], "not_found");
    let response = gateway.get("/api/query").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 405);
    assert_eq!(json(response).await["code"], "method_not_allowed");
}
