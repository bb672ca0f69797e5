//! SIGTERM in mid-load: who has connected is answered, and who comes later is refused.

use crate::support::{PATIENCE, Setup, Simulator, chat_body};
use rustix::process::Signal;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CLIENTS: usize = 64;
/// Answers before the signal.
const WARM: usize = 500;

/// One request on a connection of its own: whether it was answered, or else refused.
async fn ask(address: &str) -> std::io::Result<bool> {
    let mut connection = match TcpStream::connect(address).await {
        Ok(connection) => connection,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(false),
        Err(error) => return Err(error),
    };
    let body = chat_body("openai", "Hello", false).to_string();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}", body.len());
    connection.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Err(ErrorKind::UnexpectedEof.into()) };
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "not whole: {answer}");
    Ok(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_no_request() {
    let _alone = crate::ALONE.lock().await;
    crate::raise_file_limit();
    let simulator = Simulator::start();
    let mut gateway = Setup::simulated(&simulator).start();
    let address: Arc<str> = gateway.url.trim_start_matches("http://").into();
    let answered = Arc::new(AtomicUsize::new(0));
    let client = |_| {
        let (address, answered) = (Arc::clone(&address), Arc::clone(&answered));
        tokio::spawn(async move {
            while ask(&address).await? {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, std::io::Error>(())
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let end = Instant::now() + PATIENCE;
    while answered.load(Ordering::Relaxed) < WARM {
        assert!(Instant::now() < end, "too few are answered");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.process.signal(Signal::TERM);
    let mut lost = Vec::new();
    for client in clients {
        lost.extend(client.await.expect("no answer is wrong").err());
    }
    println!("{} requests answered, lost: {lost:?}", answered.load(Ordering::Relaxed));
    // What the kernel accepts between a last look for it and the end of the port is out of reach.
    assert!(lost.len() <= 1, "{lost:?}");
    assert!(gateway.process.wait().success());
}
