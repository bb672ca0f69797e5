//! Fetches media by URL for providers that don't, where the operator allows it.
//!
//! Owns: what is fetched and from where: http and https, public addresses only, within limits of size, time and type. The address that is checked is
//! the one that is connected to, also after a redirect, so that no name can point elsewhere in between. Not here: when it is needed (`chat`).

use crate::config::MediaConfig;
use crate::contract::{Blob, Failure, FailureKind, Media, MediaSource, Message, PartBody, ToolResultPart};
use crate::domain::{Blobs, TooManyBlobs};
use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, header, redirect};
use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Semaphore;
use url::{Host, Url};

const MAX_REDIRECTS: usize = 3;
/// What one request may have fetched, all in all.
const MAX_FETCHES: usize = 20;
const MAX_BYTES: usize = 64 << 20;
/// Requests that media are fetched for at the same time; others wait, within their time.
const MAX_REQUESTS: usize = 16;
/// Types that some provider takes as media or as a document.
const TYPES: [&str; 5] = ["image/", "audio/", "video/", "text/", "application/pdf"];

/// Why a medium was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}`: the media there could not be fetched: {reason}")]
pub struct FetchError {
    /// A path in `chat-request`: `messages[0].parts[1]`.
    pub part: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("its URL is not an http or https URL without user and password")]
    Url,
    #[error("its host is no public address")]
    NotPublic,
    #[error("its host can't be reached")]
    Unreachable,
    #[error("its host answered with status {0}")]
    Status(u16),
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
    #[error("it did not come in time")]
    TooSlow,
    #[error("its type `{0}` is none of an image, sound, video, text or PDF")]
    Type(String),
    #[error("the request names more than {MAX_FETCHES} media by URL")]
    TooMany,
    #[error("{0}")]
    Blobs(String),
}

impl From<TooManyBlobs> for Reason {
    fn from(error: TooManyBlobs) -> Self {
        Self::Blobs(error.to_string())
    }
}

/// Fetches media within the operator's limits.
#[derive(Debug)]
pub struct MediaFetcher {
    client: Client,
    config: MediaConfig,
    places: Semaphore,
}

/// Whether a failure is about media that are named by URL.
pub(super) fn names_url(messages: &[Message], failure: &Failure) -> bool {
    let place = || {
        let rest = failure.parameter.as_deref()?.strip_prefix("messages[")?;
        let (message, rest) = rest.split_once("].parts[")?;
        Some((message.parse::<usize>().ok()?, rest.split_once(']')?.0.parse::<usize>().ok()?))
    };
    let part = place().and_then(|(message, part)| messages.get(message)?.parts.get(part));
    failure.kind == FailureKind::Unsupported
        && part.is_some_and(|part| media_in(&part.body).any(|media| matches!(media.source, MediaSource::Url(_))))
}

impl MediaFetcher {
    /// By which it fetches.
    pub(super) fn config(&self) -> &MediaConfig {
        &self.config
    }

    /// # Errors
    /// When the TLS library does not start.
    pub fn new(config: MediaConfig) -> Result<Self, reqwest::Error> {
        super::install_tls();
        let private = config.private_addresses;
        let redirects = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > MAX_REDIRECTS || !may_ask(attempt.url(), private) { attempt.stop() } else { attempt.follow() }
        });
        let client = Client::builder()
            .user_agent(concat!("llm-gateway/", env!("CARGO_PKG_VERSION")))
            .redirect(redirects)
            .referer(false)
            // A proxy would look up the name itself.
            .no_proxy()
            .dns_resolver(Arc::new(PublicOnly { private }))
            .timeout(config.timeout)
            .build()?;
        Ok(Self { client, config, places: Semaphore::new(MAX_REQUESTS) })
    }

    /// Puts a blob in the place of every URL of media. The time limit is for all of them.
    ///
    /// # Errors
    /// The first that could not be fetched.
    pub(super) async fn fetch_all(&self, messages: &mut [Message], blobs: &mut Blobs) -> Result<(), FetchError> {
        let mut at = String::new();
        let fetching = self.fetch_each(messages, blobs, &mut at);
        let fetched = tokio::time::timeout(self.config.timeout, fetching).await;
        fetched.unwrap_or(Err(FetchError { part: at, reason: Reason::TooSlow }))
    }

    /// `place`: the part that is being fetched.
    async fn fetch_each(&self, messages: &mut [Message], blobs: &mut Blobs, place: &mut String) -> Result<(), FetchError> {
        let mut fetched: HashMap<String, (String, Blob)> = HashMap::new();
        let mut room = MAX_BYTES;
        let mut permit = None;
        for (at, message) in messages.iter_mut().enumerate() {
            for (number, part) in message.parts.iter_mut().enumerate() {
                for media in media_of(&mut part.body) {
                    let MediaSource::Url(url) = &media.source else { continue };
                    *place = format!("messages[{at}].parts[{number}]");
                    let failed = |reason| FetchError { part: place.clone(), reason };
                    let (media_type, blob) = match fetched.get(url) {
                        Some(known) => known.clone(),
                        None if fetched.len() >= MAX_FETCHES => return Err(failed(Reason::TooMany)),
                        None => {
                            if permit.is_none() {
                                permit = self.places.acquire().await.ok();
                            }
                            let (media_type, bytes) = self.fetch(url, room).await.map_err(failed)?;
                            room = room.saturating_sub(bytes.len());
                            let blob = blobs.add(bytes).map_err(|error| failed(error.into()))?;
                            fetched.insert(url.clone(), (media_type.clone(), blob));
                            (media_type, blob)
                        }
                    };
                    media.source = MediaSource::Blob(blob);
                    media.media_type.get_or_insert(media_type);
                }
            }
        }
        Ok(())
    }

    async fn fetch(&self, url: &str, room: usize) -> Result<(String, Bytes), Reason> {
        let url = Url::parse(url).map_err(|_| Reason::Url)?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(Reason::Url);
        }
        if !may_ask(&url, self.config.private_addresses) {
            return Err(Reason::NotPublic);
        }
        let response = self.client.get(url).send().await.map_err(|error| explain(&error))?;
        if !response.status().is_success() {
            return Err(Reason::Status(response.status().as_u16()));
        }
        let media_type = media_type(&response)?;
        Ok((media_type, read(response, self.config.max_bytes.min(room)).await?))
    }
}

async fn read(mut response: Response, max_bytes: usize) -> Result<Bytes, Reason> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
        if bytes.len() + chunk.len() > max_bytes {
            return Err(Reason::TooLarge(max_bytes));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn media_in(body: &PartBody) -> impl Iterator<Item = &Media> {
    let own = match body {
        PartBody::Image(media) | PartBody::Audio(media) | PartBody::Video(media) | PartBody::Document(media) => Some(media),
        _ => None,
    };
    let content: &[ToolResultPart] = if let PartBody::ToolResult(result) = body { &result.content } else { &[] };
    let of_result = content.iter().filter_map(|part| match part {
        ToolResultPart::Image(media) | ToolResultPart::Audio(media) | ToolResultPart::Video(media) | ToolResultPart::Document(media) => {
            Some(media)
        }
        ToolResultPart::Text(_) | ToolResultPart::Other(_) => None,
    });
    own.into_iter().chain(of_result)
}

fn media_of(body: &mut PartBody) -> Vec<&mut Media> {
    match body {
        PartBody::Image(media) | PartBody::Audio(media) | PartBody::Video(media) | PartBody::Document(media) => vec![media],
        PartBody::ToolResult(result) => {
            let media = result.content.iter_mut().filter_map(|part| match part {
                ToolResultPart::Image(media)
                | ToolResultPart::Audio(media)
                | ToolResultPart::Video(media)
                | ToolResultPart::Document(media) => Some(media),
                ToolResultPart::Text(_) | ToolResultPart::Other(_) => None,
            });
            media.collect()
        }
        _ => Vec::new(),
    }
}

fn media_type(response: &Response) -> Result<String, Reason> {
    let told = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = told.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if TYPES.iter().any(|known| essence.starts_with(known)) { Ok(essence) } else { Err(Reason::Type(essence.chars().take(80).collect())) }
}

/// Names that are not addresses are for the resolver to judge.
fn may_ask(url: &Url, private: bool) -> bool {
    matches!(url.scheme(), "http" | "https")
        && match url.host() {
            Some(Host::Ipv4(ip)) => private || is_public(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => private || is_public(IpAddr::V6(ip)),
            Some(Host::Domain(_)) => true,
            None => false,
        }
}

fn explain(error: &reqwest::Error) -> Reason {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<NotPublic>() {
            return Reason::NotPublic;
        }
        cause = inner.source();
    }
    if error.is_timeout() { Reason::TooSlow } else { Reason::Unreachable }
}

#[derive(Debug, thiserror::Error)]
#[error("no public address")]
struct NotPublic;

/// Looks up names, and gives only addresses that may be asked.
struct PublicOnly {
    private: bool,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let asked: Vec<SocketAddr> = found.filter(|address| private || is_public(address.ip())).collect();
            if asked.is_empty() {
                return Err(Box::from(NotPublic));
            }
            Ok(Box::new(asked.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is reachable by everyone (IANA's special-purpose registries): none of this machine, of a private network, of a cloud's metadata.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match embedded_v4(ip) {
            Some(ip) => is_public_v4(ip),
            // Global unicast, without what is for documentation and for tunnels.
            None => {
                let segments = ip.segments();
                segments[0] & 0xE000 == 0x2000
                    && !(segments[0] == 0x2001 && (segments[1] < 0x0200 || segments[1] == 0x0DB8))
                    && segments[0] != 0x3FFF
            }
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = match a {
        0 | 10 | 127 | 224.. => true,
        100 => b & 0xC0 == 64,
        169 => b == 254,
        172 => b & 0xF0 == 16,
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        198 => b & 0xFE == 18 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => false,
    };
    !special
}

/// The IPv4 address that an IPv6 one stands for: mapped, translated (NAT64), 6to4.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => ip.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::Role;
    use crate::domain::part;
    use axum::Router;
    use axum::response::{IntoResponse, Redirect};
    use axum::routing::get;
    use std::time::Duration;

    #[test]
    fn only_addresses_for_everyone_are_public() {
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    fn config(private_addresses: bool) -> MediaConfig {
        MediaConfig { max_bytes: 1000, timeout: Duration::from_millis(300), private_addresses }
    }

    /// A server of media, and its origin.
    async fn serve() -> String {
        let image = || async { ([("content-type", "image/png")], "png").into_response() };
        let router = Router::new()
            .route("/image.png", get(image))
            .route("/big", get(|| async { ([("content-type", "image/png")], "x".repeat(2000)) }))
            .route("/page", get(|| async { ([("content-type", "application/x-secret")], "x") }))
            .route("/slow", get(|| async { std::future::pending::<()>().await }))
            .route("/moved", get(|| async { Redirect::temporary("/image.png") }))
            .route("/loop", get(|| async { Redirect::temporary("/loop") }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        origin
    }

    async fn fetch(url: &str, private_addresses: bool) -> Result<(Media, Bytes), String> {
        let media = Media { source: MediaSource::Url(url.to_owned()), media_type: None, name: None, detail: None, transcript: None };
        let mut messages = [Message { role: Role::User, name: None, parts: vec![part(PartBody::Image(media))], extras: Vec::new() }];
        let mut blobs = Blobs::default();
        let fetcher = MediaFetcher::new(config(private_addresses)).unwrap();
        fetcher.fetch_all(&mut messages, &mut blobs).await.map_err(|error| error.to_string())?;
        let PartBody::Image(media) = messages[0].parts.remove(0).body else { unreachable!("an image stays one") };
        Ok((media, blobs.get(0).unwrap().clone()))
    }

    #[tokio::test]
    async fn an_image_by_url_becomes_a_blob() {
        let origin = serve().await;
        for path in ["image.png", "moved"] {
            let (media, bytes) = fetch(&format!("{origin}/{path}"), true).await.unwrap();
            assert_eq!((media.media_type.as_deref(), &bytes[..]), (Some("image/png"), &b"png"[..]));
        }
    }

    #[tokio::test]
    async fn what_is_out_of_bounds_is_refused_with_the_part_and_the_reason() {
        let origin = serve().await;
        for (path, reason) in [
            ("big", "more than 1000 bytes"),
            ("page", "application/x-secret"),
            ("nothing", "status 404"),
            ("slow", "did not come in time"),
            ("loop", "status 307"),
        ] {
            let error = fetch(&format!("{origin}/{path}"), true).await.unwrap_err();
            assert!(error.contains(reason) && error.contains("`messages[0].parts[0]`"), "{error}");
        }
    }

    #[tokio::test]
    async fn this_machine_is_not_asked_under_any_of_its_names() {
        let origin = serve().await;
        let port = origin.rsplit(':').next().unwrap().to_owned();
        for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let error = fetch(&format!("http://{host}:{port}/image.png"), false).await.unwrap_err();
            assert!(error.contains("no public address"), "{host}: {error}");
        }
        assert!(fetch(&format!("http://u:p@127.0.0.1:{port}/image.png"), true).await.unwrap_err().contains("http or https URL"));
    }
}
