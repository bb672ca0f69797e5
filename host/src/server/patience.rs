//! Answers over HTTP/2 whose connection is cut when the client takes nothing of one of them for too long, as it is over HTTP/1.
//!
//! Such a client may keep one stream's window shut and answer the connection's pings, so the connection's own timeout sees nothing of it. hyper, which holds a piece until the
//! window opens, has no way to give up that stream alone.

use super::requests::Open;
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
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// The same answer, whose body is dropped, and the connection cut, when nobody takes of it for that long.
pub(super) fn bounded(response: Response, request: Open, patience: Duration) -> Response {
    let (mut head, body) = response.into_parts();
    if body.is_end_stream() {
        return Response::from_parts(head, body);
    }
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if hand_over(body, sender, patience).await.is_err() {
            request.cut_connection();
        }
    });
    Response::from_parts(head, Body::new(HandedOver(receiver)))
}

enum Piece {
    Frame(Result<Frame<Bytes>, axum::Error>),
    /// Said, so that what was cut is not taken for whole.
    End,
}

/// Fails when nobody takes for too long. Over when the last piece was taken too, of which the sign is that the other side is gone.
async fn hand_over(mut body: Body, sender: mpsc::Sender<Piece>, patience: Duration) -> Result<(), Elapsed> {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // The client has left.
            () = sender.closed() => return Ok(()),
        };
        let is_last = frame.is_none();
        if timeout(patience, sender.send(frame.map_or(Piece::End, Piece::Frame))).await?.is_err() {
            return Ok(());
        }
        if is_last {
            return timeout(patience, sender.closed()).await;
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
    use crate::server::requests::Requests;
    use futures_util::stream;
    use std::convert::Infallible;

    const SECOND: Duration = Duration::from_secs(1);

    fn pieces(count: usize) -> Response {
        Response::new(Body::from_stream(stream::iter((0..count).map(|_| Ok::<_, Infallible>(Bytes::from_static(b"piece"))))))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_in_time_comes_whole() {
        let requests = Requests::default();
        let mut body = bounded(pieces(5), requests.begin(), SECOND).into_body();
        let mut taken = 0;
        while let Some(frame) = body.frame().await {
            taken += frame.unwrap().into_data().unwrap().len();
            tokio::time::sleep(SECOND / 2).await;
        }
        assert_eq!(taken, 25);
        drop(body);
        assert!(timeout(10 * SECOND, requests.cut()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_cut_and_not_taken_for_whole() {
        let requests = Requests::default();
        let mut body = bounded(pieces(5), requests.begin(), SECOND).into_body();
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::sleep(10 * SECOND).await;
        let rest: Vec<bool> = [body.frame().await, body.frame().await].into_iter().map(|frame| frame.unwrap().is_ok()).collect();
        assert_eq!(rest, [true, false]);
        requests.cut().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_piece_that_goes_nowhere_is_waited_for_and_cut_too() {
        let requests = Requests::default();
        let mut body = bounded(pieces(1), requests.begin(), SECOND).into_body();
        assert!(body.frame().await.unwrap().is_ok());
        assert!(timeout(SECOND / 2, requests.none_for(Duration::ZERO)).await.is_err(), "the request is open still");
        requests.cut().await;
        requests.none_for(Duration::ZERO).await;
    }
}
