//! Answers over HTTP/2 that are cut when the client takes nothing of them for too long.
//!
//! Such a client may keep one stream's window shut and answer the connection's pings, so the connection's own timeout sees nothing of it.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc;

/// The same answer, whose body is dropped when nobody takes of it for that long.
pub(super) fn bounded(response: Response, patience: Duration) -> Response {
    let (mut head, body) = response.into_parts();
    if body.is_end_stream() {
        return Response::from_parts(head, body);
    }
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(hand_over(body, sender, patience));
    Response::from_parts(head, Body::new(HandedOver(receiver)))
}

enum Piece {
    Frame(Result<Frame<Bytes>, axum::Error>),
    /// Said, so that what was cut is not taken for whole.
    End,
}

async fn hand_over(mut body: Body, sender: mpsc::Sender<Piece>, patience: Duration) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // The client has left.
            () = sender.closed() => return,
        };
        let is_last = frame.is_none();
        let sent = tokio::time::timeout(patience, sender.send(frame.map_or(Piece::End, Piece::Frame))).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

struct HandedOver(mpsc::Receiver<Piece>);

impl hyper::body::Body for HandedOver {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Poll::Ready(match ready!(self.0.poll_recv(context)) {
            Some(Piece::Frame(frame)) => Some(frame),
            Some(Piece::End) => None,
            None => Some(Err(axum::Error::new(std::io::Error::from(std::io::ErrorKind::TimedOut)))),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    const SECOND: Duration = Duration::from_secs(1);

    fn pieces(count: usize) -> Response {
        Response::new(Body::from_stream(stream::iter((0..count).map(|_| Ok::<_, Infallible>(Bytes::from_static(b"piece"))))))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_in_time_comes_whole() {
        let mut body = bounded(pieces(5), SECOND).into_body();
        let mut taken = 0;
        while let Some(frame) = body.frame().await {
            taken += frame.unwrap().into_data().unwrap().len();
            tokio::time::sleep(SECOND / 2).await;
        }
        assert_eq!(taken, 25);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_cut_and_not_taken_for_whole() {
        let mut body = bounded(pieces(5), SECOND).into_body();
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::sleep(10 * SECOND).await;
        let rest: Vec<bool> = [body.frame().await, body.frame().await].into_iter().map(|frame| frame.unwrap().is_ok()).collect();
        assert_eq!(rest, [true, false]);
    }
}
