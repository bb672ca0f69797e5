//! What the gateway is measured against: the least that a proxy can do. It takes a request, sends it on over a pooled connection and hands back what
//! comes. No routing, no log, no limits, no timeouts.

use crate::serve::serve;
use anyhow::Context;
use hyper::Uri;
use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;

/// Forwards to `upstream` until stdin ends.
///
/// # Errors
/// When no port can be had.
pub async fn run(upstream: SocketAddr) -> anyhow::Result<()> {
    let authority: Authority = upstream.to_string().parse().context("the upstream's address is none")?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    serve(move |request| forward(client.clone(), authority.clone(), request)).await
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    to: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Error> {
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    (target.scheme, target.authority) = (Some(Scheme::HTTP), Some(to));
    // Parts of a good URI with both set make one; were they to not, the client would refuse the empty one.
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    client.request(request).await
}
