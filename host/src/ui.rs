//! The web UI's files, embedded in the binary.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{Embed, EmbeddedFile};

/// What `npm run build` made of `ui/`.
#[derive(Embed)]
#[folder = "../ui/dist"]
#[allow_missing = true]
struct Files;

/// The page may load and ask nothing but its own origin.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(file)).route("/assets/{*path}", get(file)).route("/favicon.svg", get(file))
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    match Files::get(path) {
        Some(file) => send(path, &file, &headers),
        None if path == "index.html" => {
            (StatusCode::NOT_FOUND, "This build of the gateway has no web page: run `make build`, which makes it. The API is here.")
                .into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn send(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{hash}\"");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
    let mut response = Response::new(if known { Body::empty() } else { Body::from(file.data.clone()) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    // Vite puts a hash into the names of what is in assets.
    let caching = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let answer = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, file.metadata.mimetype()),
        (header::ETAG, etag.as_str()),
        (header::CACHE_CONTROL, caching),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.insert(name, value);
        }
    }
    response
}
