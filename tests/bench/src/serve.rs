//! How the upstream and the proxy listen: a free loopback port, HTTP/1.1 with keep-alive, no delay. Each runs in a process of its own, says its address
//! on stdout, and ends when its stdin does, so it never outlives the process that started it.

use anyhow::Context;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::net::Ipv4Addr;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Serves until stdin ends.
///
/// # Errors
/// When no port can be had.
pub async fn serve<F, A, B, E>(answer: F) -> anyhow::Result<()>
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no loopback port can be had")?;
    println!("{}", listener.local_addr()?);
    let mut connections = JoinSet::new();
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 64];
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("a connection can't be accepted")?;
                connections.spawn(connection(stream, answer.clone()));
            }
            read = stdin.read(&mut ignored) => if !matches!(read, Ok(1..)) { return Ok(()) },
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection<F, A, B, E>(stream: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Send,
    A: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    // Without it each piece of a stream waits some 40 ms for the one before to be acknowledged.
    let _ = stream.set_nodelay(true);
    // A connection that breaks shows at its client.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}
