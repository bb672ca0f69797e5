//! Connections: accepting, bounding and ending them. What is served is a router that it is given.
//!
//! On hyper-util's builder rather than `axum::serve`, which sets no timeout for a request's head. Every connection has a permit, so their number is bounded; the next waits
//! in the kernel's queue.
//!
//! Nobody holds a connection by doing nothing: a head has its time, a client that takes nothing of its answer has `WRITE_TIMEOUT`, and the kernel asks for signs of life from
//! one that is silent. A connection that ends drops its requests' bodies and answers, and with an answer goes the request upstream.

mod patience;

use crate::config::ServerConfig;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3);
/// For what comes of a body that was refused: all of a small one is here already.
const DRAIN: Duration = Duration::from_millis(2);
/// For what a refused client still sends: it may never see the answer on a connection that closes before.
const LINGER: Duration = Duration::from_millis(500);
/// After the machine had no file handle left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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

/// Serves until `stop`, then lets what is under way finish for the grace period at most.
pub async fn serve(listener: TcpListener, router: Router, config: &ServerConfig, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    let builder = builder(config.header_read_timeout);
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok(permit) = permit else { break };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, builder.clone(), router.clone(), &graceful, config);
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
    // What the kernel has accepted already is not lost either.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        connections.spawn(connection(stream, peer, builder.clone(), router.clone(), &graceful, config));
    }
    drop(listener);
    if tokio::time::timeout(config.shutdown_grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            grace_ms = config.shutdown_grace.as_millis(),
            "requests were still under way at the end of SHUTDOWN_GRACE and are cut off"
        );
    }
    connections.shutdown().await;
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
async fn respond(request: hyper::Request<Incoming>, peer: SocketAddr, router: Router, patience: Duration) -> Result<Response, Infallible> {
    let one_way = request.version() <= Version::HTTP_11;
    // Who waits to be told to send its body has not sent it.
    let sends = !request.headers().contains_key(header::EXPECT);
    let (given_up, rest) = oneshot::channel();
    let mut request = request.map(|body| Body::new(Watched { body: Some(body), given_up: Some(given_up) }));
    request.extensions_mut().insert(Peer(peer));
    let mut response = router.oneshot(request).await?;
    if one_way && is_unread(rest, sends).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(if one_way { response } else { patience::bounded(response, patience) })
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

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    builder: Builder<TokioExecutor>,
    router: Router,
    graceful: &GracefulShutdown,
    config: &ServerConfig,
) -> impl Future<Output = ()> + Send + 'static {
    if let Err(error) = set_options(&stream, config.write_timeout) {
        tracing::debug!(%error, "a connection's options could not be set");
    }
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(config.write_timeout));
    let (head_timeout, patience) = (config.header_read_timeout, config.write_timeout);
    let spoke = Arc::new(AtomicBool::new(false));
    let service = {
        let spoke = Arc::clone(&spoke);
        service_fn(move |request: hyper::Request<Incoming>| {
            spoke.store(true, Ordering::Relaxed);
            respond(request, peer, router.clone(), patience)
        })
    };
    let served = graceful.watch(builder.serve_connection(TokioIo::new(Box::pin(stream)), service).into_owned());
    async move {
        let mut served = std::pin::pin!(served);
        // hyper's own timeout begins only when it knows the protocol, for which a client may let it wait for ever.
        tokio::select! {
            _ = served.as_mut() => return,
            () = tokio::time::sleep(head_timeout) => {}
        }
        if spoke.load(Ordering::Relaxed) {
            // A connection that breaks is the client's affair.
            let _ = served.await;
        }
    }
}
