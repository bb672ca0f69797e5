//! What would be sent to a candidate, for who asks without sending it.
//!
//! Owns: the request in its last form, its secrets left out. Nothing is sent, no media is fetched, and nobody is told of it.

use super::chat::ChatExchange;
use super::failure::AttemptError;
use super::{Allowance, Driver, Exchange};
use crate::contract::{Dropped, HttpRequest};
use crate::domain::{Blobs, Call};
use crate::outbound::{self, BodyError, Broken};
use crate::plan::Plan;
use crate::plugin::Fault;
use crate::provider::Ready;
use reqwest::header::HeaderMap;

/// In place of what nobody is to see.
const REDACTED: &str = "[redacted]";

/// A request as its provider would get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    pub method: String,
    pub url: String,
    /// In order of their names.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// What the provider can't take of the caller's request.
    pub dropped: Vec<Dropped>,
}

impl Driver {
    /// What the first candidate of a plan would be sent.
    ///
    /// # Errors
    /// Why a request of it can't be made.
    pub async fn preview(&self, plan: &Plan, call: Call, allowance: Allowance) -> Result<Preview, AttemptError> {
        let candidate = &plan.first;
        let ready = candidate.provider.ready().ok_or(AttemptError::Plugin(Fault::NoRoom))?;
        let blobs = call.blobs.clone();
        let mut exchange = ChatExchange::new(call);
        exchange.address(candidate, allowance);
        let mut encoded = ready.version.enter().encode(exchange.request()).await.map_err(AttemptError::of_encode)?;
        encoded.dropped = super::dropped(&plan.rules, &mut encoded)?;
        shown(ready, encoded, &blobs)
    }
}

fn shown(ready: &Ready, mut request: HttpRequest, blobs: &Blobs) -> Result<Preview, AttemptError> {
    let broken = |broken: Broken| AttemptError::Plugin(Fault::BrokeContract(broken.to_string()));
    let url = outbound::url(&ready.base_url, &request).map_err(broken)?;
    let mut headers = shown_headers(ready);
    let own = outbound::headers(&request).map_err(broken)?;
    headers.extend(own.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or(REDACTED).to_owned())));
    headers.sort();
    let segments = std::mem::take(&mut request.body);
    let body = outbound::body(segments, blobs).map_err(|error| match error {
        BodyError::Broken(error) => broken(error),
        BodyError::NotText(_) => AttemptError::MediaNotText,
    })?;
    Ok(Preview {
        method: outbound::method(&request).to_string(),
        url: url.to_string(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        dropped: request.dropped,
    })
}

/// Those that the host adds: the key, and what the adapter or the operator wants on every request. What an operator sets may be a secret.
fn shown_headers(ready: &Ready) -> Vec<(String, String)> {
    let adapters: HeaderMap =
        ready.version.info.fixed_headers.iter().filter_map(|(name, value)| outbound::header(name, value).ok()).collect();
    let fixed = ready.fixed_headers.iter().map(|(name, value)| {
        let is_adapters = adapters.get(name).is_some_and(|own| own.as_bytes() == value.as_bytes());
        let shown = value.to_str().ok().filter(|_| is_adapters).unwrap_or(REDACTED);
        (name.to_string(), shown.to_owned())
    });
    let credential = ready.credentials.first().map(|credential| (credential.header.to_string(), REDACTED.to_owned()));
    fixed.chain(credential).collect()
}
