//! A server that answers each provider's requests with the recording that is on, whatever they ask, and remembers where they went.

use crate::recorded::random_cuts;
use crate::{PROVIDERS, Provider};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use futures_util::stream;
use llm_gateway::contract::HttpResponse;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

pub struct Playback {
    origin: String,
    tapes: Arc<Tapes>,
}

/// By adapter.
type Tapes = BTreeMap<&'static str, Mutex<Tape>>;

#[derive(Default)]
struct Tape {
    response: Option<HttpResponse>,
    /// Of what was asked since it was put on: path and query.
    asked: Vec<String>,
    played: u64,
}

impl Playback {
    /// Listens until the test ends.
    pub async fn start() -> Self {
        let tapes: Arc<Tapes> = Arc::new(PROVIDERS.iter().map(|provider| (provider.adapter, Mutex::default())).collect());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(play).with_state(Arc::clone(&tapes));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, tapes }
    }

    pub fn base_url(&self, provider: Provider) -> String {
        format!("{}/{}", self.origin, provider.adapter)
    }

    /// Answers a provider's requests with this from now on.
    pub fn put_on(&self, provider: Provider, response: HttpResponse) {
        let mut tape = self.tapes[provider.adapter].lock().unwrap();
        tape.response = Some(response);
        tape.asked.clear();
    }

    /// Path and query, below the base URL, of what a provider was asked since the recording was put on.
    pub fn asked(&self, provider: Provider) -> Vec<String> {
        self.tapes[provider.adapter].lock().unwrap().asked.clone()
    }
}

/// The whole request is read first, as a provider would.
async fn play(State(tapes): State<Arc<Tapes>>, uri: Uri, _body: Bytes) -> Response {
    let whole = uri.path_and_query().map(|whole| whole.as_str()).unwrap_or_default();
    let (adapter, path) = whole.trim_start_matches('/').split_once('/').unwrap();
    let (response, played) = {
        let mut tape = tapes[adapter].lock().unwrap();
        tape.asked.push(format!("/{path}"));
        tape.played += 1;
        (tape.response.clone().unwrap(), tape.played)
    };
    let mut answer = Response::builder().status(response.status);
    for (name, value) in response.headers {
        answer = answer.header(name, value);
    }
    answer.body(in_pieces(response.body, played)).unwrap()
}

/// A body that comes in pieces of random length, which TCP does not put together again.
fn in_pieces(body: Vec<u8>, seed: u64) -> Body {
    let mut body = Bytes::from(body);
    let mut begin = 0;
    let mut pieces: VecDeque<Bytes> = VecDeque::new();
    for cut in random_cuts(seed, body.len()) {
        pieces.push_back(body.split_to(cut - begin));
        begin = cut;
    }
    pieces.push_back(body);
    pieces.retain(|piece| !piece.is_empty());
    Body::from_stream(stream::unfold(pieces, |mut pieces| async {
        // While this waits, the server writes what it has.
        tokio::task::yield_now().await;
        let piece = pieces.pop_front()?;
        Some((Ok::<_, Infallible>(piece), pieces))
    }))
}
