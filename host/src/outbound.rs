//! What an adapter may ask the host to send, and the request that comes of it. Pure.
//!
//! An adapter is a stranger's code. Whatever it returns, the request goes to the base URL that is configured, below its path, with no header
//! that carries a credential, names a host or rules the connection. Anything else is the plugin's fault, and nothing is sent.

use crate::contract::{HttpMethod, HttpRequest, Segment};
use crate::domain::Blobs;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// Headers that are the host's alone.
const FORBIDDEN: [&str; 21] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-api-key",
    "x-goog-api-key",
    "x-http-method-override",
];
/// Of those, the ones that a provider may take its key in.
const FOR_CREDENTIALS: [&str; 3] = ["authorization", "x-api-key", "x-goog-api-key"];
pub const MAX_HEADERS: usize = 64;
/// Above what any provider takes. An adapter may name one image any number of times.
const MAX_BODY_BYTES: usize = 256 << 20;
const MAX_CONTEXT_BYTES: usize = 64 << 10;

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("the adapter's path `{0}` is not a plain path below the base URL")]
    Path(String),
    #[error("the header `{0}` is not a valid header")]
    InvalidHeader(String),
    #[error("the header `{0}` is the gateway's alone to set")]
    ForbiddenHeader(String),
    #[error("the adapter set more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    #[error("the adapter's context has more than {} KiB", MAX_CONTEXT_BYTES >> 10)]
    Context,
    #[error("the adapter's body names media {0}, which the request does not have")]
    UnknownBlob(u32),
    #[error("the adapter's body has more than {} MiB", MAX_BODY_BYTES >> 20)]
    BodyTooLarge,
}

/// A text document that is not UTF-8, where the provider takes only text. The caller's mistake, not the plugin's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a text document is not valid UTF-8")]
pub struct NotText;

/// `http` or `https`, with a host, and nothing that a base URL has no use for.
pub fn is_base_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

/// A header of an adapter's.
///
/// # Errors
/// When it is malformed (a line break in it, say) or not the adapter's to set.
pub fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Broken> {
    let invalid = || Broken::InvalidHeader(name.escape_default().take(80).collect());
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    if FORBIDDEN.contains(&header.as_str()) || header.as_str().starts_with("x-forwarded-") {
        return Err(Broken::ForbiddenHeader(header.to_string()));
    }
    Ok((header, HeaderValue::from_str(value).map_err(|_| invalid())?))
}

/// Whether a provider's key may be sent in this header, with this before it.
pub fn takes_credential(name: &str, prefix: &str) -> bool {
    let visible = prefix.len() <= 64 && prefix.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let name = name.to_ascii_lowercase();
    visible && (FOR_CREDENTIALS.contains(&name.as_str()) || header(&name, "x").is_ok())
}

/// Whether a request could be sent as it is, media aside.
///
/// # Errors
/// The rule that it breaks.
pub fn check(request: &HttpRequest) -> Result<(), Broken> {
    check_path(&request.path)?;
    headers(request)?;
    if request.context.len() > MAX_CONTEXT_BYTES { Err(Broken::Context) } else { Ok(()) }
}

fn check_path(path: &str) -> Result<(), Broken> {
    let plain = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\' | b'"' | b'<' | b'>'))
        && percent_decode_str(path)
            .collect::<Vec<u8>>()
            // Split after decoding: whoever is in between may decode before splitting.
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .all(|segment| segment != b"." && segment != b".." && !segment.contains(&b'\0'));
    if plain { Ok(()) } else { Err(Broken::Path(path.chars().take(120).collect())) }
}

/// Where the request goes.
///
/// # Errors
/// When the path would leave the base URL.
pub fn url(base: &Url, request: &HttpRequest) -> Result<Url, Broken> {
    check_path(&request.path)?;
    let mut url = base.clone();
    let path = format!("{}{}", base.path().trim_end_matches('/'), request.path);
    url.set_path(&path);
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(request.query.iter().map(|(name, value)| (name, value)));
    }
    // What was checked above must still hold of what is sent, however the URL was normalised.
    let within = url.origin() == base.origin() && url.path().starts_with(base.path().trim_end_matches('/'));
    if within { Ok(url) } else { Err(Broken::Path(request.path.chars().take(120).collect())) }
}

/// The adapter's headers.
///
/// # Errors
/// When one is malformed or not its to set.
pub fn headers(request: &HttpRequest) -> Result<HeaderMap, Broken> {
    if request.headers.len() > MAX_HEADERS {
        return Err(Broken::TooManyHeaders);
    }
    request.headers.iter().map(|(name, value)| header(name, value)).collect()
}

pub fn method(request: &HttpRequest) -> Method {
    match request.method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
    }
}

/// Why no body can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error(transparent)]
    NotText(#[from] NotText),
}

/// The body, with the media written in. One text segment, the usual case, is not copied.
///
/// # Errors
/// When it names media that there is none of, or text media is not text.
pub fn body(segments: Vec<Segment>, blobs: &Blobs) -> Result<Bytes, BodyError> {
    match <[Segment; 1]>::try_from(segments) {
        Ok([Segment::Text(text)]) => Ok(Bytes::from(text)),
        Ok(one) => join(&one, blobs),
        Err(segments) => join(&segments, blobs),
    }
}

fn join(segments: &[Segment], blobs: &Blobs) -> Result<Bytes, BodyError> {
    let blob = |id: u32| blobs.get(id).ok_or(Broken::UnknownBlob(id));
    let mut size: usize = 0;
    for segment in segments {
        size = size.saturating_add(match segment {
            Segment::Text(text) => text.len(),
            Segment::BlobBase64(id) => blob(*id)?.len().div_ceil(3) * 4,
            Segment::BlobText(id) => blob(*id)?.len(),
        });
    }
    if size > MAX_BODY_BYTES {
        return Err(Broken::BodyTooLarge.into());
    }
    let mut body = String::with_capacity(size);
    for segment in segments {
        match segment {
            Segment::Text(text) => body.push_str(text),
            Segment::BlobBase64(id) => STANDARD.encode_string(blob(*id)?, &mut body),
            Segment::BlobText(id) => push_json_text(&mut body, std::str::from_utf8(blob(*id)?).map_err(|_| NotText)?),
        }
    }
    Ok(Bytes::from(body))
}

/// As it stands between the quotes of a JSON string.
fn push_json_text(body: &mut String, text: &str) {
    let quoted = serde_json::Value::from(text).to_string();
    body.push_str(&quoted[1..quoted.len() - 1]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::Framing;

    fn request(path: &str) -> HttpRequest {
        HttpRequest {
            method: HttpMethod::Post,
            path: path.to_owned(),
            query: vec![("alt".into(), "sse".into())],
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Whole,
            dropped: Vec::new(),
            context: String::new(),
            extras: Vec::new(),
        }
    }

    #[test]
    fn a_path_stays_below_the_base_url() {
        let base = Url::parse("https://api.example.com/v1").unwrap();
        let sent = url(&base, &request("/models/gemini-4:generate%2Fx")).unwrap();
        assert_eq!(sent.as_str(), "https://api.example.com/v1/models/gemini-4:generate%2Fx?alt=sse");
        for path in [
            "",
            "chat",
            "//evil.example/x",
            "/../admin",
            "/a/%2e%2E/b",
            "/a/./b",
            "/a\\..\\b",
            "/a%2f..%2fb",
            "/a%5C..%5Cb",
            "/a?x=1",
            "/a#b",
            "/a b",
            "/ä",
            "@evil/x",
            "/a\r\nHost: b",
        ] {
            assert!(url(&base, &request(path)).is_err(), "{path:?}");
        }
    }

    #[test]
    fn credentials_hosts_and_connection_headers_are_the_hosts() {
        for name in ["Authorization", "host", "Cookie", "content-length", "Transfer-Encoding", "x-api-key", "X-Forwarded-For", "connection"]
        {
            assert!(matches!(header(name, "x"), Err(Broken::ForbiddenHeader(_))), "{name}");
        }
        for (name, value) in [("a b", "x"), ("x", "a\r\nb: c"), ("", "x"), ("x\n", "y")] {
            assert!(matches!(header(name, value), Err(Broken::InvalidHeader(_))), "{name:?}");
        }
        assert!(header("anthropic-beta", "a,b").is_ok());
    }

    #[test]
    fn media_is_written_into_the_body() {
        let mut blobs = Blobs::default();
        let image = blobs.add(Bytes::from_static(b"\x89PNG")).unwrap();
        let note = blobs.add(Bytes::from_static("say \"hi\"\n".as_bytes())).unwrap();
        let segments = vec![
            Segment::Text("{\"a\":\"".into()),
            Segment::BlobBase64(image.id),
            Segment::Text("\",\"b\":\"".into()),
            Segment::BlobText(note.id),
            Segment::Text("\"}".into()),
        ];
        assert_eq!(body(segments, &blobs).unwrap(), r#"{"a":"iVBORw==","b":"say \"hi\"\n"}"#.as_bytes());
        assert_eq!(body(vec![Segment::BlobBase64(9)], &blobs), Err(BodyError::Broken(Broken::UnknownBlob(9))));
    }

    #[test]
    fn a_body_that_repeats_its_media_without_end_is_refused() {
        let mut blobs = Blobs::default();
        let image = blobs.add(Bytes::from(vec![0; 1 << 20])).unwrap();
        let segments = (0..1_000_000).map(|_| Segment::BlobBase64(image.id)).collect();
        assert_eq!(body(segments, &blobs), Err(BodyError::Broken(Broken::BodyTooLarge)));
    }

    #[test]
    fn a_key_goes_into_no_header_that_rules_the_connection() {
        for (name, good) in
            [("Authorization", true), ("x-api-key", true), ("api-key", true), ("host", false), ("transfer-encoding", false), ("a b", false)]
        {
            assert_eq!(takes_credential(name, "Bearer "), good, "{name}");
        }
        assert!(!takes_credential("authorization", "a\r\nb: "));
    }

    #[test]
    fn base_urls() {
        for good in ["https://api.openai.com/v1", "http://127.0.0.1:8081/openai/v1"] {
            assert!(is_base_url(good), "{good}");
        }
        for bad in ["", "api.openai.com", "ftp://x/y", "https://user:pw@x/", "https://x/?key=1", "file:///etc/passwd"] {
            assert!(!is_base_url(bad), "{bad}");
        }
    }
}
