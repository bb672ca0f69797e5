//! Connections: accepting, bounding and ending them. What is served is a router that it is given.
//!
//! On hyper-util's builder rather than `axum::serve`, which sets no timeout for a request's head. Every connection has a permit, so their number is bounded; the next waits
//! in the kernel's queue.

use crate::config::ServerConfig;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const MAX_HEADERS: usize = 100;
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_STREAMS_PER_CONNECTION: u32 = 256;
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
                let connection = connection(stream, peer, builder.clone(), router.clone(), &graceful, config.header_read_timeout);
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
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// A body that is not read to its end closes the connection; the client is told, so that it does not send its next request there.
async fn respond(request: hyper::Request<Incoming>, peer: SocketAddr, router: Router) -> Result<Response, Infallible> {
    let one_way = request.version() <= Version::HTTP_11;
    let read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let mut request = request.map(|body| Body::new(Watched { body, read: Arc::clone(&read) }));
    request.extensions_mut().insert(Peer(peer));
    let mut response = router.oneshot(request).await?;
    if one_way && !read.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A request's body, of which it is known whether it was read to its end.
struct Watched {
    body: Incoming,
    read: Arc<AtomicBool>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.read.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    builder: Builder<TokioExecutor>,
    router: Router,
    graceful: &GracefulShutdown,
    head_timeout: Duration,
) -> impl Future<Output = ()> + Send + 'static {
    // Without it each streamed piece waits some 40 ms for the one before to be acknowledged.
    let _ = stream.set_nodelay(true);
    let spoke = Arc::new(AtomicBool::new(false));
    let service = {
        let spoke = Arc::clone(&spoke);
        service_fn(move |request: hyper::Request<Incoming>| {
            spoke.store(true, Ordering::Relaxed);
            respond(request, peer, router.clone())
        })
    };
    let served = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
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
