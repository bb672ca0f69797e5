//! Connections: accepting, bounding and ending them. What is served is a router that it is given.
//!
//! On hyper-util's builder rather than `axum::serve`, which sets no timeout for a request's head. Every connection has a permit, so their number is bounded; the next waits
//! in the kernel's queue.
//!
//! Nobody holds a connection by doing nothing: a head has its time, a connection without a request has as long, a client that takes nothing of its answer has `WRITE_TIMEOUT`, and the
//! kernel asks for signs of life from one that is silent. A connection that ends drops its requests' bodies and answers, and with an answer goes the request upstream.
//!
//! Told to stop, it goes on for a moment, for those who could not know: connections are accepted and answered, and told that they close. Only then is the port given up.

mod patience;
mod requests;

use crate::config::ServerConfig;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use requests::Requests;
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const MAX_HEADERS: usize = 100;
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_STREAMS_PER_CONNECTION: u32 = 256;
/// What one stream, and one connection, may send before its bytes are taken.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What waits to be sent on one stream.
const MAX_SEND_BYTES: usize = 64 << 10;
/// What the kernel takes of a connection before it is sent, so that a slow reader has its answer wait here and not there.
const MAX_UNSENT_BYTES: u32 = 128 << 10;
/// A peer that is gone is known after 30 seconds. On Linux the time of TCP_USER_TIMEOUT counts here too, in place of the retries.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5)).with_retries(3);
/// For what comes of a body that was refused: all of a small one is here already.
const DRAIN: Duration = Duration::from_millis(2);
/// For what a refused client still sends: it may never see the answer on a connection that closes before.
const LINGER: Duration = Duration::from_millis(500);
/// After the machine had no file handle left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For who connects, or asks, before it can know that the gateway stops.
const LAST_CONNECTIONS: Duration = Duration::from_millis(100);
/// For the first request of a connection that was accepted before the port was given up.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Who is at the other end of the connection, in a request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Listens where the configuration says.
///
/// # Errors
/// One sentence for the operator.
pub async fn bind(config: &ServerConfig) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(config.host, config.port);
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("port {} on {} is in use: stop what listens there, or set PORT to another", config.port, config.host)
        }
        _ => anyhow::anyhow!("can't listen on {address}: {error}"),
    })
}

/// What all connections have in common.
struct Server {
    builder: Builder<TokioExecutor>,
    router: Router,
    head_timeout: Duration,
    write_timeout: Duration,
    /// Answers say that their connection closes.
    stop: CancellationToken,
    /// Connections take no further requests.
    closing: CancellationToken,
}

/// Serves until `stop`, then lets what is under way finish for the grace period at most.
pub async fn serve(listener: TcpListener, router: Router, config: &ServerConfig, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let server = Arc::new(Server {
        builder: builder(config.header_read_timeout),
        router,
        head_timeout: config.header_read_timeout,
        write_timeout: config.write_timeout,
        stop: stop.clone(),
        closing: CancellationToken::new(),
    });
    let mut connections = JoinSet::new();
    let mut enough = std::pin::pin!(async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_CONNECTIONS).await;
    });
    loop {
        let permit = tokio::select! {
            () = &mut enough => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = &mut enough => break,
            accepted = listener.accept() => accepted,
        };
        let Ok(permit) = permit else { break };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, Arc::clone(&server));
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    for (stream, peer) in accepted_by_the_kernel(listener) {
        connections.spawn(connection(stream, peer, Arc::clone(&server)));
    }
    server.closing.cancel();
    let all_over = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.shutdown_grace, all_over).await.is_err() {
        tracing::warn!(
            grace_ms = config.shutdown_grace.as_millis(),
            "requests were still under way at the end of SHUTDOWN_GRACE and are cut off"
        );
    }
    connections.shutdown().await;
}

/// Gives up the port, and what the kernel has accepted for it. Asks the kernel itself: the runtime learns of connections only now and then.
fn accepted_by_the_kernel(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).collect();
    drop(listener);
    let ready = |(stream, peer): (std::net::TcpStream, _)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    };
    accepted.into_iter().filter_map(ready).collect()
}

fn builder(header_read_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_read_timeout).max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(MAX_SEND_BYTES)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// A body that is not read to its end closes the connection; the client is told, so that it does not send its next request there.
async fn respond(
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    requests: Requests,
    server: Arc<Server>,
) -> Result<Response, Infallible> {
    let open = if request.version() <= Version::HTTP_11 {
        requests.has_spoken();
        None
    } else {
        Some(requests.begin())
    };
    // Who waits to be told to send its body has not sent it.
    let sends = !request.headers().contains_key(header::EXPECT);
    let (given_up, rest) = oneshot::channel();
    let mut request = request.map(|body| Body::new(Watched { body: Some(body), given_up: Some(given_up) }));
    request.extensions_mut().insert(Peer(peer));
    let mut response = server.router.clone().oneshot(request).await?;
    if let Some(open) = open {
        return Ok(patience::bounded(response, open, server.write_timeout));
    }
    if is_unread(rest, sends).await || server.stop.is_cancelled() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Whether something of a body is unread still. What a client goes on sending is then read for a while beside the answer, and thrown away.
async fn is_unread(mut rest: oneshot::Receiver<Incoming>, sends: bool) -> bool {
    let mut body = match rest.try_recv() {
        Ok(body) => body,
        // Whoever has the body may be reading it still.
        Err(error) => return error == oneshot::error::TryRecvError::Empty,
    };
    if !sends {
        return true;
    }
    if tokio::time::timeout(DRAIN, drain(&mut body)).await.is_ok() {
        return false;
    }
    // Ends with the connection if that is sooner.
    tokio::spawn(async move { tokio::time::timeout(LINGER, drain(&mut body)).await });
    true
}

async fn drain(body: &mut Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// A request's body, which is given up to the connection if it is dropped before its end.
struct Watched {
    body: Option<Incoming>,
    given_up: Option<oneshot::Sender<Incoming>>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Some(given_up)) = (unread, self.given_up.take()) {
            // Where nobody wants it any more, the connection is over.
            let _ = given_up.send(body);
        }
    }
}

/// Options of a connection that is without them as good, if less safe from clients that vanish.
fn set_options(stream: &TcpStream, write_timeout: Duration) -> std::io::Result<()> {
    // Without it each streamed piece waits some 40 ms for the one before to be acknowledged.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    #[cfg(target_os = "linux")]
    {
        // What is sent and not acknowledged, or not taken, for that long.
        socket.set_tcp_user_timeout(Some(write_timeout))?;
        socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES)?;
    }
    Ok(())
}

async fn connection(stream: TcpStream, peer: SocketAddr, server: Arc<Server>) {
    if let Err(error) = set_options(&stream, server.write_timeout) {
        tracing::debug!(%error, "a connection's options could not be set");
    }
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(server.write_timeout));
    let requests = Requests::default();
    let service = {
        let (requests, server) = (requests.clone(), Arc::clone(&server));
        service_fn(move |request| respond(request, peer, requests.clone(), Arc::clone(&server)))
    };
    let mut served = std::pin::pin!(server.builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
    // hyper's own timeout begins only when it knows the protocol, for which a client may let it wait for ever, and ends with HTTP/2.
    let enough = async {
        tokio::select! {
            () = requests.none_for(server.head_timeout) => {}
            () = server.closing.cancelled() => {
                let _ = tokio::time::timeout(LAST_REQUEST, requests.first()).await;
            }
        }
    };
    // A connection that breaks is the client's affair.
    tokio::select! {
        _ = served.as_mut() => return,
        () = requests.cut() => return,
        () = enough => served.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = served => {}
        () = requests.cut() => {}
        // Told to go, it stays.
        () = requests.none_for(server.head_timeout) => {}
        () = async {
            server.closing.cancelled().await;
            requests.none_for(LAST_REQUEST).await;
        } => {}
    }
}
