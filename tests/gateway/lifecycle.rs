//! Starting, stopping, and clients that take their time.

use crate::support::{PATIENCE, Setup, Simulator, Streamed, chat_body};
use rustix::process::Signal;
use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Starts a gateway that can't start; gives what it says.
fn refusal(setup: &Setup) -> String {
    let output = setup.command().output().unwrap();
    assert!(!output.status.success(), "it started");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim().lines().count(), 1, "one clear sentence: {said}");
    said
}

#[test]
fn what_prevents_a_start_is_said_in_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let bad_toml = Setup::bare();
    std::fs::write(bad_toml.folder().join("gateway.toml"), "[providers.local]\nbase_ur = 1\n").unwrap();
    let no_folder = Setup::bare().env("PLUGINS_DIR", "nowhere");
    let not_a_folder = Setup::bare().env("DATA_DIR", "/dev/null/data");
    for (setup, named) in [
        (Setup::bare().env("PORT", &port), port.as_str()),
        (Setup::bare().env("PORT", "eighty"), "PORT"),
        (Setup::bare().env("LOG_LEVEL", "loud"), "LOG_LEVEL"),
        (Setup::bare().env("OPENAI_BASE_URL", "nowhere"), "OPENAI_BASE_URL"),
        (bad_toml, "gateway.toml"),
        (no_folder, "nowhere"),
        (not_a_folder, "DATA_DIR"),
    ] {
        let said = refusal(&setup);
        assert!(said.contains(named), "{named}: {said}");
    }
}

#[test]
fn a_dotenv_file_is_read_and_the_environment_counts_more() {
    let setup = Setup::bare();
    std::fs::write(setup.folder().join(".env"), "HOST=nonsense\n").unwrap();
    assert!(refusal(&setup).contains("HOST"));
    let setup = setup.env("HOST", "127.0.0.1");
    setup.start();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_streams_finish_and_ends_with_success() {
    let simulator = Simulator::paced(20);
    let mut gateway = Setup::simulated(&simulator).start();
    let mut response = gateway.chat(chat_body("openai", "Hello", true)).await;
    let mut body = response.chunk().await.unwrap().unwrap().to_vec();
    gateway.process.signal(Signal::TERM);
    gateway.process.wait_for("stopping", |line| line.contains("stopping").then_some(()));
    let end = Instant::now() + PATIENCE;
    let client = crate::support::client();
    while client.get(format!("{}/healthz", gateway.url)).header("connection", "close").send().await.is_ok() {
        assert!(Instant::now() < end, "it still accepts");
    }
    while let Some(chunk) = response.chunk().await.unwrap() {
        body.extend_from_slice(&chunk);
    }
    assert!(Streamed::parse(std::str::from_utf8(&body).unwrap()).done);
    drop(response);
    assert!(gateway.process.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_within_the_grace_is_cut_off() {
    let simulator = Simulator::start();
    let mut gateway = Setup::simulated(&simulator).env("SHUTDOWN_GRACE", "300").start();
    simulator.script("openai", &["stall-after=3"]).await;
    let mut response = gateway.chat(chat_body("openai", "Hello", true)).await;
    response.chunk().await.unwrap();
    gateway.process.signal(Signal::TERM);
    assert!(gateway.process.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_clients_are_let_go() {
    let gateway = Setup::bare().env("HEADER_READ_TIMEOUT", "300").start();
    let address = gateway.url.trim_start_matches("http://").to_owned();
    for beginning in ["", "P", "PRI * HT", "POST /api/query HTTP/1.1\r\nhost: x\r\nx-slow:"] {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(10), connection.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{beginning:?} holds its connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_or_too_big_headers_are_refused() {
    let gateway = Setup::bare().start();
    let mut many = gateway.get("/healthz");
    for number in 0..200 {
        many = many.header(format!("x-{number}"), "x");
    }
    assert_eq!(many.send().await.unwrap().status(), 431);
    let big = gateway.get("/healthz").header("x-big", "x".repeat(200_000)).send().await;
    assert!(big.map_or(true, |response| response.status() == 431));
    assert_eq!(gateway.get("/healthz").send().await.unwrap().status(), 200);
}

/// A client that sends its next request on a connection which is about to close would lose it.
#[test]
fn an_answer_before_the_body_was_read_says_that_the_connection_closes() {
    let gateway = Setup::bare().start();
    for (head, closes) in [
        ("POST /no/such/path HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n", true),
        ("POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n", true),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", false),
        ("POST /no/such/path HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", false),
    ] {
        let mut connection = std::net::TcpStream::connect(gateway.url.trim_start_matches("http://")).unwrap();
        std::io::Write::write_all(&mut connection, head.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let length = connection.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).to_lowercase();
        assert_eq!(answer.contains("connection: close"), closes, "{head}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_past_the_limit_wait_their_turn() {
    let gateway = Setup::bare().env("MAX_CONNECTIONS", "2").env("HEADER_READ_TIMEOUT", "500").start();
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let idle = [TcpStream::connect(&address).await.unwrap(), TcpStream::connect(&address).await.unwrap()];
    assert_eq!(gateway.get("/healthz").send().await.unwrap().status(), 200, "once the idle ones are let go");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_http2_connection_is_let_go_for_others() {
    let gateway = Setup::bare().env("MAX_CONNECTIONS", "1").env("HEADER_READ_TIMEOUT", "300").start();
    let idle = reqwest::Client::builder().http2_prior_knowledge().pool_idle_timeout(None).build().unwrap();
    let url = format!("{}/healthz", gateway.url);
    idle.get(&url).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(gateway.get("/healthz").send().await.unwrap().status(), 200);
    assert_eq!(idle.get(&url).send().await.unwrap().status(), 200, "on another connection");
}

#[test]
fn a_second_start_is_ready_at_once() {
    let simulator = Simulator::start();
    Setup::simulated(&simulator).start();
    let setup = Setup::simulated(&simulator);
    // As long as the files are fresh, whoever writes them may not be done.
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    let gateway = setup.start();
    let mut answer = String::new();
    let mut connection = std::net::TcpStream::connect(gateway.url.trim_start_matches("http://")).unwrap();
    std::io::Write::write_all(&mut connection, b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
