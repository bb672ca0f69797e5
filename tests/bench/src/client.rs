//! One caller's connection: asks, times the answer, and takes nothing for an answer that is none.

use crate::exchange::{Ask, PATH, STREAM_END};
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// A keep-alive connection. Dropped, it is closed.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    _driver: AbortOnDropHandle<()>,
}

/// When an answer came.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// The first bytes of its body.
    pub first: Instant,
    pub last: Instant,
}

impl Connection {
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("nobody answers on {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // What breaks a connection is told to whoever waits for an answer on it.
            let _ = connection.await;
        });
        Ok(Self { sender, host: HeaderValue::from_str(&address.to_string())?, _driver: AbortOnDropHandle::new(driver) })
    }

    /// Asks and reads the answer to its end.
    ///
    /// # Errors
    /// When the answer is not a complete 200.
    pub async fn ask(&mut self, ask: Ask, body: &Bytes) -> anyhow::Result<Answered> {
        let mut incoming = self.begin(body).await?;
        let mut first = None;
        let mut tail = Tail::default();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.context("the answer was cut")?.into_data() {
                first.get_or_insert_with(Instant::now);
                tail.push(&data);
            }
        }
        let first = first.context("the answer is empty")?;
        ensure!(tail.ends(ask), "the answer ends with {:?}", tail.text());
        Ok(Answered { first, last: Instant::now() })
    }

    /// Asks for a stream, waits for its first piece and leaves it open, until the body is dropped.
    ///
    /// # Errors
    /// When no stream begins.
    pub async fn hold(&mut self) -> anyhow::Result<Incoming> {
        let mut incoming = self.begin(&Ask::Held.body()).await?;
        incoming.frame().await.context("the stream is empty")?.context("the stream was cut")?;
        Ok(incoming)
    }

    /// The whole answer's text.
    ///
    /// # Errors
    /// When the answer is not a 200.
    pub async fn text(&mut self, ask: Ask) -> anyhow::Result<String> {
        read(self.begin(&ask.body()).await?).await
    }

    /// What a path says to GET.
    ///
    /// # Errors
    /// When it does not answer with 200.
    pub async fn get(&mut self, path: &'static str) -> anyhow::Result<String> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        let status = response.status();
        let text = read(response.into_body()).await?;
        ensure!(status == StatusCode::OK, "{path} answered {status}: {text}");
        Ok(text)
    }

    async fn begin(&mut self, body: &Bytes) -> anyhow::Result<Incoming> {
        let response = self.send(Method::POST, PATH, body.clone()).await?;
        let status = response.status();
        if status != StatusCode::OK {
            bail!("answered {status}: {}", read(response.into_body()).await.unwrap_or_default());
        }
        Ok(response.into_body())
    }

    async fn send(&mut self, method: Method, path: &'static str, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_static(path);
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(self.sender.send_request(request).await?)
    }
}

async fn read(body: Incoming) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned())
}

/// The last bytes of a body, whatever the pieces that it came in.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, data: &[u8]) {
        self.0.extend_from_slice(&data[data.len().saturating_sub(STREAM_END.len())..]);
        let surplus = self.0.len().saturating_sub(STREAM_END.len());
        self.0.drain(..surplus);
    }

    fn ends(&self, ask: Ask) -> bool {
        match ask {
            Ask::Whole => self.0.ends_with(b"}"),
            Ask::Stream | Ask::Held => self.0 == STREAM_END,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_stream_is_known_however_it_is_cut() {
        for cut in 0..STREAM_END.len() {
            let mut tail = Tail::default();
            let (left, right) = STREAM_END.split_at(cut);
            for piece in [b"data: {\"a\":1}\n\n".as_slice(), left, right] {
                tail.push(piece);
            }
            assert!(tail.ends(Ask::Stream), "cut at {cut}");
        }
    }

    #[test]
    fn a_stream_that_stops_early_has_no_end() {
        let mut tail = Tail::default();
        tail.push(b"data: {\"a\":1}\n\n");
        assert!(!tail.ends(Ask::Stream));
    }
}
