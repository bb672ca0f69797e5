//! The provider's part: as much of OpenAI's `/chat/completions` as the measured exchange needs, with no work behind it.

use crate::exchange::{self, Ask};
use crate::serve::serve;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Frames of a held stream that are sent: the role, and the first piece of text.
const HELD_AFTER: usize = 2;

/// Answers until stdin ends.
///
/// # Errors
/// When no port can be had.
pub async fn run() -> anyhow::Result<()> {
    let answers = Answers::new();
    serve(move |request| {
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(answers.answer(request).await) }
    })
    .await
}

/// Everything that is ever said, made once.
#[derive(Clone)]
struct Answers {
    whole: Arc<[Bytes]>,
    stream: Arc<[Bytes]>,
    nothing: Arc<[Bytes]>,
}

impl Answers {
    fn new() -> Self {
        let frames = exchange::stream_data().into_iter().map(|data| Bytes::from(format!("data: {data}\n\n")));
        Self { whole: Arc::new([Bytes::from(exchange::whole_answer())]), stream: frames.collect(), nothing: Arc::new([]) }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Script> {
        if request.method() != Method::POST || request.uri().path() != exchange::PATH {
            return refusal(StatusCode::NOT_FOUND, &self.nothing);
        }
        let Ok(body) = request.into_body().collect().await else {
            return refusal(StatusCode::BAD_REQUEST, &self.nothing);
        };
        let ask = Ask::of_body(&String::from_utf8_lossy(&body.to_bytes()));
        let (frames, content_type) = match ask {
            Ask::Whole => (&self.whole, "application/json"),
            Ask::Stream | Ask::Held => (&self.stream, "text/event-stream; charset=utf-8"),
        };
        let mut response = Response::new(Script::new(frames, ask));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert("x-request-id", HeaderValue::from_static("req_bench"));
        response
    }
}

fn refusal(status: StatusCode, nothing: &Arc<[Bytes]>) -> Response<Script> {
    let mut response = Response::new(Script::new(nothing, Ask::Whole));
    *response.status_mut() = status;
    response
}

/// A body that gives its frames one by one.
struct Script {
    frames: Arc<[Bytes]>,
    next: usize,
    ask: Ask,
    /// Whether what was given before has been sent, as far as the server is concerned.
    flushed: bool,
}

impl Script {
    fn new(frames: &Arc<[Bytes]>, ask: Ask) -> Self {
        Self { frames: Arc::clone(frames), next: 0, ask, flushed: true }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ask == Ask::Held && self.next == HELD_AFTER {
            // Nobody wakes this: it lasts until the connection is closed.
            return Poll::Pending;
        }
        // hyper sends what it has when a body has nothing for it; so each frame goes out alone, as a model's tokens do.
        if !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(frame) = self.frames.get(self.next).cloned() else { return Poll::Ready(None) };
        self.next += 1;
        self.flushed = self.ask == Ask::Whole;
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.next == self.frames.len()
    }

    fn size_hint(&self) -> SizeHint {
        match self.ask {
            Ask::Whole => SizeHint::with_exact(self.frames.iter().skip(self.next).map(|frame| frame.len() as u64).sum()),
            Ask::Stream | Ask::Held => SizeHint::default(),
        }
    }
}
