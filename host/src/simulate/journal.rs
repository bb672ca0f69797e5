//! Remembers what was asked, and whether the client stayed to the end.
//!
//! Owns: the last requests, the counts per provider, and the guard that notices a client who leaves. Bounded: so many requests, and of each
//! so much of the body. Credentials are hidden before anything is kept; keys are counted by their last four characters.

use super::clock;
use super::provider::Provider;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const MAX_REQUESTS: usize = 100;
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Keys of a provider that are counted.
const MAX_KEYS: usize = 64;
const KEY_END_CHARACTERS: usize = 4;
const REDACTED: &str = "[redacted]";
const CREDENTIALS: [&str; 6] = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization"];

#[derive(Default)]
pub(super) struct Journal {
    requests: Mutex<VecDeque<Arc<Entry>>>,
    counts: [Counts; Provider::ALL.len()],
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    cancelled: AtomicU64,
    open: AtomicU64,
    by_key: Mutex<BTreeMap<String, u64>>,
}

struct Entry {
    at: u64,
    provider: Provider,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    body_bytes: usize,
    fault: String,
    end: AtomicU8,
}

const OPEN: u8 = 0;
const ANSWERED: u8 = 1;
const CANCELLED: u8 = 2;

impl Journal {
    /// Writes a request down. The visit must live as long as its answer is on the way.
    pub fn open(self: &Arc<Self>, provider: Provider, parts: &Parts, seen: Seen<'_>) -> Visit {
        let kept = seen.body.len().min(MAX_BODY_BYTES);
        let entry = Arc::new(Entry {
            at: clock::now(),
            provider,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: redacted_query(parts.uri.query().unwrap_or_default()),
            headers: redacted_headers(&parts.headers),
            // A copy, so that a large request is not kept alive by its beginning.
            body: if kept == seen.body.len() { Bytes::copy_from_slice(seen.body) } else { Bytes::new() },
            body_bytes: seen.body.len(),
            fault: seen.fault.to_owned(),
            end: AtomicU8::new(OPEN),
        });
        let counts = &self.counts[provider as usize];
        counts.requests.fetch_add(1, Ordering::Relaxed);
        counts.open.fetch_add(1, Ordering::Relaxed);
        if let Some(key) = seen.key {
            counts.count_key(key);
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == MAX_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(Arc::clone(&entry));
        drop(requests);
        Visit { journal: Arc::clone(self), entry, answered: false }
    }

    /// The last requests, the oldest first.
    pub fn requests(&self) -> Value {
        let requests: Vec<_> = self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        let cancelled = requests.iter().filter(|entry| entry.end.load(Ordering::Relaxed) == CANCELLED).count();
        json!({"requests": requests.iter().map(|entry| entry.to_json()).collect::<Vec<_>>(), "cancelled": cancelled})
    }

    pub fn stats(&self) -> Value {
        let count = |provider: Provider| {
            let counts = &self.counts[provider as usize];
            let by_key = counts.by_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let [requests, cancelled, open] =
                [&counts.requests, &counts.cancelled, &counts.open].map(|count| count.load(Ordering::Relaxed));
            (provider.name().to_owned(), json!({"requests": requests, "cancelled": cancelled, "open": open, "by_key": by_key}))
        };
        Value::Object(Provider::ALL.into_iter().map(count).collect())
    }
}

impl Counts {
    fn count_key(&self, key: &str) {
        let end: String = key.chars().skip(key.chars().count().saturating_sub(KEY_END_CHARACTERS)).collect();
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if by_key.len() < MAX_KEYS || by_key.contains_key(&end) {
            *by_key.entry(end).or_insert(0) += 1;
        }
    }
}

/// What is noted beside the request line and the headers.
pub(super) struct Seen<'a> {
    pub body: &'a [u8],
    pub key: Option<&'a str>,
    /// The fault text that was chosen.
    pub fault: &'a str,
}

impl Entry {
    fn to_json(&self) -> Value {
        let headers: Map<String, Value> = self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "at": clock::rfc3339(self.at),
            "provider": self.provider.name(),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": headers,
            "body": self.body_json(),
            "body_bytes": self.body_bytes,
            "fault": self.fault,
            "cancelled": self.end.load(Ordering::Relaxed) == CANCELLED,
            "open": self.end.load(Ordering::Relaxed) == OPEN,
        })
    }

    /// Null for a body that is no JSON, or too large to be kept.
    fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// One request while it is answered. Dropped before [`Visit::answered`] it counts as cancelled: nobody waited for the end.
pub(super) struct Visit {
    journal: Arc<Journal>,
    entry: Arc<Entry>,
    answered: bool,
}

impl Visit {
    /// The last byte is out.
    pub fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let counts = &self.journal.counts[self.entry.provider as usize];
        counts.open.fetch_sub(1, Ordering::Relaxed);
        if self.answered {
            self.entry.end.store(ANSWERED, Ordering::Relaxed);
        } else {
            self.entry.end.store(CANCELLED, Ordering::Relaxed);
            counts.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn redacted_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = |name: &str, value: &[u8]| match CREDENTIALS.contains(&name) {
        true => REDACTED.to_owned(),
        false => String::from_utf8_lossy(value).into_owned(),
    };
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), shown(name.as_str(), value.as_bytes()))).collect()
}

fn redacted_query(query: &str) -> String {
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name @ "key", _)) => format!("{name}={REDACTED}"),
        _ => pair.to_owned(),
    });
    shown.collect::<Vec<_>>().join("&")
}
