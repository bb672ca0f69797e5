//! The gateway under more than it takes: it refuses at once, keeps answering for itself, and nobody holds it by doing little.

use crate::support::{Gateway, PATIENCE, Setup, Simulator, chat_body, header, json};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// With a place it is a 404, for it names no model that there is.
async fn probe(gateway: &Gateway) -> reqwest::Response {
    gateway.chat(chat_body("nobody", "x", false)).await
}

fn connect(gateway: &Gateway) -> TcpStream {
    let connection = TcpStream::connect(gateway.url.trim_start_matches("http://")).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// A connection on which a request was begun.
fn begin(gateway: &Gateway, body_bytes: usize, headers: &str) -> TcpStream {
    let mut connection = connect(gateway);
    write!(connection, "POST /api/query HTTP/1.1\r\nhost: x\r\ncontent-length: {body_bytes}\r\n{headers}\r\n").unwrap();
    connection
}

/// What is answered before the connection is quiet or closed.
fn answer(connection: &mut TcpStream) -> String {
    let mut bytes = [0; 8192];
    let length = connection.read(&mut bytes).expect("an answer comes");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_gateway_refuses_at_once_and_serves_again_later() {
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator).env("MAX_CONCURRENCY", "2").env("MAX_QUEUE", "2");
    let gateway = setup.env("QUEUE_TIMEOUT", "600000").start();
    let slow = chat_body("openai/gpt-5.4--delay-ms=60000", "Hello", false);
    let mut under_way = JoinSet::new();
    for _ in 0..4 {
        under_way.spawn(gateway.post("/v1/chat/completions").json(&slow).send());
    }
    gateway.wait_for_gauge("llm_gateway_requests_in_flight", 4.0).await;

    let refused = probe(&gateway).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after").as_deref()), (503, Some("1")));
    assert_eq!(header(&refused, "connection"), None, "a small body is read, so the connection is good for the next try");
    let unread = answer(&mut begin(&gateway, 1_000_000, ""));
    assert!(unread.starts_with("HTTP/1.1 503"), "it waits for no body: {unread}");

    for (path, status, code) in [
        ("/api/query", 503, "/code"),
        ("/api/parallel", 503, "/code"),
        ("/v1/gateway/query", 503, "/code"),
        ("/v1/responses", 503, "/error/code"),
        ("/v1/embeddings", 503, "/error/code"),
        ("/v1/messages", 529, "/error/type"),
        ("/v1/messages/count_tokens", 529, "/error/type"),
    ] {
        let refused = gateway.post(path).json(&json!({})).send().await.unwrap();
        assert_eq!((refused.status().as_u16(), header(&refused, "retry-after").as_deref()), (status, Some("1")), "{path}");
        let body = json(refused).await;
        assert!(body.pointer(code).and_then(Value::as_str).is_some_and(|code| code.starts_with("overloaded")), "{path}: {body}");
        assert!(body.to_string().contains("MAX_CONCURRENCY"), "{path}: {body}");
    }
    for path in ["/healthz", "/readyz", "/api/health", "/api/status", "/v1/models", "/admin/plugins", "/"] {
        assert_eq!(gateway.get(path).send().await.unwrap().status(), 200, "{path}");
    }
    let record = gateway.process.wait_for_record("request", |line| line["status"] == 529);
    assert_eq!((&record["error_type"], &record["attempts"]), (&json!("overloaded"), &json!(0)));

    drop(under_way);
    let end = Instant::now() + PATIENCE;
    while probe(&gateway).await.status() != 404 {
        assert!(Instant::now() < end, "the places of those who left are not given back");
    }
    assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_cut_off_and_its_upstream_request_with_it() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("WRITE_TIMEOUT", "500").env("MAX_CONCURRENCY", "1").env("MAX_QUEUE", "0").start();
    let body = chat_body("openai/gpt-5.4--text-bytes=16000000;chunks=2000", "Hello", true).to_string();
    let mut connection = connect(&gateway);
    write!(connection, "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let record = gateway.process.wait_for_record("request", |line| line["stream"] == true);
    assert_eq!((&record["status"], &record["error_type"]), (&json!(499), &json!("cancelled")), "{record}");
    let end = Instant::now() + PATIENCE;
    while simulator.count("openai", "cancelled").await == 0 {
        assert!(Instant::now() < end, "the upstream request went on");
    }
    assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 200, "its place is free");
}

/// An answer that is smaller than what the gateway holds for a connection is out of its hands at once, but not with the client.
#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_takes_nothing_of_a_whole_answer_keeps_its_place_for_a_while_only() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("WRITE_TIMEOUT", "2000").env("MAX_CONCURRENCY", "1").env("MAX_QUEUE", "0").start();
    let client = reqwest::Client::builder().http2_prior_knowledge().http2_initial_stream_window_size(0).build().unwrap();
    let body = chat_body("openai", "Hello", false);
    let untaken = client.post(format!("{}/v1/chat/completions", gateway.url)).json(&body).send().await.unwrap();
    assert_eq!(untaken.status(), 200);
    gateway.wait_for_gauge("llm_gateway_requests_in_flight", 1.0).await;
    let end = Instant::now() + PATIENCE;
    while gateway.gauge("llm_gateway_requests_in_flight").await > 0.0 {
        assert!(Instant::now() < end, "its place is not given back");
    }
    assert_eq!(gateway.chat(body).await.status(), 200);
    assert!(untaken.bytes().await.is_err(), "its connection is cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_ended_in_time_and_holds_no_place() {
    let simulator = Simulator::start();
    let setup = Setup::simulated(&simulator).env("MAX_CONCURRENCY", "1").env("MAX_QUEUE", "0");
    let gateway = setup.env("BODY_READ_TIMEOUT", "1500").env("BODY_IDLE_TIMEOUT", "1000").start();
    let mut silent = begin(&gateway, 100, "");
    let mut dripping = begin(&gateway, 100, "");
    let mut writer = dripping.try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        // Ends with the connection.
        while writer.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    silent.write_all(b"x").unwrap();
    // Both are being read: room for all of a body is taken with its first byte. Had one come later, a full gateway would have refused it.
    gateway.wait_for_gauge("llm_gateway_body_bytes", 200.0).await;
    assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 200);
    let said = answer(&mut silent);
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("BODY_IDLE_TIMEOUT"), "{said}");
    let said = answer(&mut dripping);
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("BODY_READ_TIMEOUT"), "{said}");
    drip.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_refused() {
    let gateway = Setup::bare().start();
    // A gigabyte of zeros, were it decompressed.
    let response = gateway.post("/api/query").header("content-encoding", "gzip").body(vec![0x1f; 1000]).send().await.unwrap();
    assert_eq!(response.status(), 415);
    let answer = json(response).await;
    assert!(answer["error"].as_str().unwrap().contains("content-encoding"), "{answer}");
}

/// On a connection that is closed too early the answer is lost.
#[test]
fn a_client_that_is_refused_while_it_still_sends_gets_its_answer() {
    let gateway = Setup::bare().start();
    let mut connection = begin(&gateway, 4_000_000, "content-encoding: gzip\r\nconnection: close\r\n");
    connection.write_all(&vec![0; 4_000_000]).expect("the rest of the body is taken");
    let mut said = String::new();
    connection.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 415"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_bound_together() {
    let gateway = Setup::bare().env("MAX_BODY_BYTES", "100000").env("MAX_BODY_MEMORY", "100000").start();
    let mut half = begin(&gateway, 100_000, "");
    half.write_all(&[b' '; 90_000]).unwrap();
    let end = Instant::now() + PATIENCE;
    let refused = loop {
        let response = gateway.query(json!({"query": "x".repeat(50_000)})).await;
        if response.status() == 503 && header(&response, "retry-after").is_some() {
            let answer = json(response).await;
            if answer["code"] == "overloaded" {
                break answer;
            }
        }
        assert!(Instant::now() < end, "it is never full");
    };
    assert!(refused["error"].as_str().unwrap().contains("MAX_BODY_MEMORY"), "{refused}");
    drop(half);
    while json(gateway.query(json!({"query": "x".repeat(50_000)})).await).await["code"] == "overloaded" {
        assert!(Instant::now() < end, "the memory is not given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_many_takes_memory_for_each() {
    let gateway = Setup::bare().env("MAX_BODY_BYTES", "100000").env("MAX_BODY_MEMORY", "100000").start();
    for (models, code) in [(1, None), (16, Some("overloaded"))] {
        let body = json!({"query": "x".repeat(50_000), "models": vec!["openai"; models]});
        let answer = json(gateway.post("/api/parallel").json(&body).send().await.unwrap()).await;
        assert_eq!(answer["code"].as_str(), code, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_take_memory_too() {
    let gateway = Setup::bare().env("MAX_BODY_BYTES", "1000000").env("MAX_BODY_MEMORY", "1000000").start();
    let values = json!({"messages": vec![0; 200_000]});
    let answer = json(gateway.post("/v1/chat/completions").json(&values).send().await.unwrap()).await;
    assert_eq!(answer["error"]["code"], "overloaded", "{answer}");
    let text = json!({"messages": ",".repeat(400_000)});
    let answer = json(gateway.post("/v1/chat/completions").json(&text).send().await.unwrap()).await;
    assert_eq!(answer["error"]["code"], "invalid_request", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_under_thousands_of_slow_bodies() {
    let simulator = Simulator::start();
    let connections = open_files().saturating_sub(500).min(2000);
    assert!(connections >= 100, "too few files may be open: {connections}");
    let gateway = Setup::simulated(&simulator).env("BODY_IDLE_TIMEOUT", "60000").start();
    assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 200);
    let before = gateway.process.memory_bytes();
    let mut slow: Vec<TcpStream> = (0..connections).map(|_| begin(&gateway, 10_000_000, "")).collect();
    slow.iter_mut().for_each(|connection| connection.write_all(b" ").unwrap());
    gateway.wait_for_gauge("llm_gateway_body_bytes", connections as f64).await;
    assert_eq!(gateway.chat(chat_body("openai", "Hello", false)).await.status(), 200);
    let grown = gateway.process.memory_bytes().saturating_sub(before);
    assert!(grown < connections * (64 << 10), "{connections} slow bodies took {} MiB", grown >> 20);
}

/// As many files as this process, and those that it starts, may open.
fn open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
