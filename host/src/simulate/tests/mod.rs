//! The simulator as a client sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod anthropic;
mod connection;
mod faults;
mod gemini;
mod mistral;
mod openai;

use super::{Pacing, Settings, router};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// A simulator without pauses.
pub(super) fn simulator() -> Router {
    router(Settings { pacing: Pacing::NONE })
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The JSON of every `data:` line.
    pub fn events(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))).collect()
    }

    /// The strings that all events have at `pointer`, joined.
    pub fn joined(&self, pointer: &str) -> String {
        self.events().iter().filter_map(|event| event.pointer(pointer)?.as_str().map(str::to_owned)).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn said(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or(Value::Null)
    }
}

pub(super) async fn send(simulator: &Router, request: Request<Body>) -> Got {
    let response = simulator.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Got { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&bytes).into_owned() }
}

/// A request with the headers that every provider's client sends.
pub(super) fn request(path: &str, body: &Value) -> Request<Body> {
    let builder = Request::post(path).header("content-type", "application/json");
    let builder = match path.split('/').nth(1) {
        Some("gemini") => builder.header("x-goog-api-key", "k"),
        Some("claude") => builder.header("x-api-key", "k").header("anthropic-version", "2023-06-01"),
        _ => builder.header("authorization", "Bearer k"),
    };
    builder.body(Body::from(body.to_string())).unwrap()
}

pub(super) async fn post(path: &str, body: Value) -> Got {
    send(&simulator(), request(path, &body)).await
}

/// What is refused, and with which words.
pub(super) async fn refused(path: &str, body: Value, status: u16, words: &str) {
    let got = post(path, body.clone()).await;
    assert_eq!(got.status.as_u16(), status, "{body}\n{}", got.body);
    assert!(got.body.contains(words), "{body}\nsays {}\nnot {words}", got.body);
    assert_eq!(got.header("x-simulated"), "true");
}

/// `base` with the members of `more` over it; null takes a member away.
pub(super) fn with(base: &Value, more: Value) -> Value {
    let mut merged = base.clone();
    let members = merged.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => members.shift_remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    merged
}
