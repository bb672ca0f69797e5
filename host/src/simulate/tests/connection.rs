//! What shows only on a connection, or in what the simulator remembers of it.

use super::{Got, request, send, simulator};
use crate::simulate::base_url;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn get(simulator: &Router, path: &str) -> Got {
    send(simulator, Request::get(path).body(Body::empty()).unwrap()).await
}

/// Serves on loopback until the test ends.
async fn listening(simulator: Router) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, simulator).await });
    address
}

/// A raw request for a streamed answer with that fault.
async fn asked(address: std::net::SocketAddr, fault: &str) -> TcpStream {
    let body = json!({"model": "gpt-5.4", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let head = format!(
        "POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\nx-simulate: {fault}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is cut may end with a reset: what came before counts.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn stats_become(simulator: &Router, expected: Value) {
    let mut stats = Value::Null;
    for _ in 0..200 {
        stats = get(simulator, "/simulator/stats").await.said("/openai");
        stats.as_object_mut().unwrap().shift_remove("by_key");
        if stats == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{stats} never became {expected}");
}

#[test]
fn base_urls_carry_the_api_version() {
    assert_eq!(base_url("http://127.0.0.1:9", "openai").as_deref(), Some("http://127.0.0.1:9/openai/v1"));
    assert_eq!(base_url("http://127.0.0.1:9/", "gemini").as_deref(), Some("http://127.0.0.1:9/gemini/v1beta"));
    assert_eq!(base_url("http://127.0.0.1:9", "mistral").as_deref(), Some("http://127.0.0.1:9/mistral/v1"));
    assert_eq!(base_url("http://127.0.0.1:9", "claude").as_deref(), Some("http://127.0.0.1:9/claude/v1"));
    assert_eq!(base_url("http://127.0.0.1:9", "acme"), None);
}

#[tokio::test]
async fn a_stream_ends_on_the_wire_as_http_says_and_a_cut_one_does_not() {
    let simulator = simulator();
    let address = listening(simulator.clone()).await;
    let good = read_to_end(asked(address, "").await).await;
    assert!(good.starts_with("HTTP/1.1 200 OK") && good.ends_with("0\r\n\r\n"), "{good}");
    for fault in ["cut-after=2", "cut-after=0"] {
        let cut = read_to_end(asked(address, fault).await).await;
        assert!(cut.starts_with("HTTP/1.1 200 OK") && !cut.ends_with("0\r\n\r\n"), "{fault}: {cut}");
    }
    let cut = read_to_end(asked(address, "cut-after=2").await).await;
    assert_eq!(cut.matches("data: ").count(), 2);
    stats_become(&simulator, json!({"requests": 4, "cancelled": 0, "open": 0})).await;
}

#[tokio::test]
async fn a_reset_connection_carries_no_byte_of_an_answer() {
    let simulator = simulator();
    let address = listening(simulator.clone()).await;
    assert_eq!(read_to_end(asked(address, "reset").await).await, "");
    stats_become(&simulator, json!({"requests": 1, "cancelled": 0, "open": 0})).await;
}

#[tokio::test]
async fn keys_are_counted_by_their_ends_and_only_so_many() {
    let simulator = simulator();
    for n in 0..200 {
        let mut request = request("/claude/v1/messages", &json!({}));
        request.headers_mut().insert("x-api-key", axum::http::HeaderValue::try_from(format!("secret-key-{:04}", n % 100)).unwrap());
        send(&simulator, request).await;
    }
    let by_key = get(&simulator, "/simulator/stats").await.said("/claude/by_key");
    assert_eq!((by_key.as_object().unwrap().len(), &by_key["0007"]), (64, &json!(2)));
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let simulator = simulator();
    let address = listening(simulator.clone()).await;
    let mut stream = asked(address, "stall-after=2").await;
    let mut some = [0; 200];
    stream.read_exact(&mut some).await.unwrap();
    stats_become(&simulator, json!({"requests": 1, "cancelled": 0, "open": 1})).await;
    drop(stream);
    stats_become(&simulator, json!({"requests": 1, "cancelled": 1, "open": 0})).await;
    let waiting = asked(address, "delay-ms=600000").await;
    stats_become(&simulator, json!({"requests": 2, "cancelled": 1, "open": 1})).await;
    drop(waiting);
    stats_become(&simulator, json!({"requests": 2, "cancelled": 2, "open": 0})).await;
    let seen = get(&simulator, "/simulator/requests").await.json();
    assert_eq!((&seen["cancelled"], &seen["requests"][0]["cancelled"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn requests_are_remembered_without_their_credentials() {
    let simulator = simulator();
    for n in 0..150 {
        let mut request = request(
            "/gemini/v1beta/models/gemini-3.8-flash:generateContent?key=secret&n=1",
            &json!({"contents": [{"parts": [{"text": n.to_string()}]}]}),
        );
        request.headers_mut().insert("x-goog-api-key", axum::http::HeaderValue::from_static("secret"));
        send(&simulator, request).await;
    }
    let got = get(&simulator, "/simulator/requests").await;
    assert!(!got.body.contains("secret"));
    let requests = got.said("/requests");
    assert_eq!(requests.as_array().unwrap().len(), 100);
    let last = &requests[99];
    assert_eq!(
        (&last["method"], &last["query"], &last["headers"]["x-goog-api-key"]),
        (&json!("POST"), &json!("key=[redacted]&n=1"), &json!("[redacted]"))
    );
    assert_eq!((&last["body"]["contents"][0]["parts"][0]["text"], &last["cancelled"]), (&json!("149"), &json!(false)));
    let stats = get(&simulator, "/simulator/stats").await;
    assert_eq!(stats.said("/gemini"), json!({"requests": 150, "cancelled": 0, "open": 0, "by_key": {"cret": 150}}));
    assert!(!stats.body.contains("secret"));
}

#[tokio::test]
async fn a_large_body_is_answered_and_not_kept() {
    let simulator = simulator();
    let body = json!({"model": "gpt-5.4", "messages": [{"role": "user", "content": "x".repeat(1_000_000)}]});
    assert_eq!(send(&simulator, request("/openai/v1/chat/completions", &body)).await.status.as_u16(), 200);
    let seen = get(&simulator, "/simulator/requests").await.said("/requests/0");
    assert_eq!((&seen["body"], seen["body_bytes"].as_u64().unwrap() > 1_000_000), (&Value::Null, true));
    let huge = Request::post("/openai/v1/chat/completions")
        .header("authorization", "Bearer k")
        .body(Body::from(vec![b' '; 64 * 1024 * 1024 + 1]))
        .unwrap();
    assert_eq!(send(&simulator, huge).await.status.as_u16(), 413);
}

#[tokio::test]
async fn no_input_makes_it_panic() {
    let simulator = simulator();
    let bodies = [
        "",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "{\"model\":5,\"messages\":{}}",
        "{\"model\":\"--\",\"messages\":[null,1,[],{}],\"input\":[null,{}],\"contents\":[null,{\"parts\":[null]}]}",
        "\u{0}",
        "{\"model\":\"gpt-5.4\",\"messages\":[{\"role\":\"user\",\"content\":[null,5,{\"type\":\"image_url\"}]}],\"tools\":[null],\"n\":1e99}",
    ];
    let paths = [
        "chat/completions",
        "responses",
        "responses/input_tokens",
        "embeddings",
        "messages",
        "messages/count_tokens",
        "models",
        "models/",
        "models/%",
        "models/x%ff:generateContent",
        "models/gemini-3:generateContent",
        "models/gemini-3:countTokens",
        "models/gemini-embedding-001:batchEmbedContents",
        "%00",
    ];
    for base in ["/openai/v1", "/gemini/v1beta", "/mistral/v1", "/claude/v1"] {
        for (path, body) in paths.iter().flat_map(|path| bodies.iter().map(move |body| (path, body))) {
            let builder = Request::post(format!("{base}/{path}"))
                .header("authorization", "Bearer k")
                .header("x-goog-api-key", "k")
                .header("anthropic-version", "2023-06-01");
            let got = send(&simulator, builder.body(Body::from(*body)).unwrap()).await;
            assert!(got.status.as_u16() >= 200 && got.header("x-simulated") == "true", "{base}/{path} {body}");
        }
    }
}
