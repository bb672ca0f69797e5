//! Rate limits, from the headers of an answer to who keeps them (`health`), by way of the adapter that reads them.

use super::Target;
use super::drive::subject;
use super::failure::until;
use super::upstream::Reply;
use crate::contract::Header;
use crate::contract::limits::{Counted, RateLimit, Reset};
use crate::health::{Health, ToldLimit};
use crate::plan::Candidate;
use crate::plugin::Version;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Learns what an answer tells. Of a refused one the time is given when a limit that is used up is full again; of any other it is learned off the request's way, and
/// only now and then, for an adapter's call costs more than it is worth at every answer.
pub(super) async fn learn(target: &Target<'_>, version: &Arc<Version>, reply: &Reply) -> Option<Duration> {
    if !version.reads_limits() {
        return None;
    }
    let (health, candidate, key) = (&target.driver.health, target.candidate, target.pass.key);
    if reply.status() == 429 {
        return read(health, version, (candidate, key), reply.headers()).await;
    }
    if health.wants_limits(subject(candidate), key, Instant::now()) {
        let (health, version, candidate, headers) = (Arc::clone(health), Arc::clone(version), candidate.clone(), reply.headers());
        tokio::spawn(async move { read(&health, &version, (&candidate, key), headers).await });
    }
    None
}

async fn read(health: &Health, version: &Version, (candidate, key): (&Candidate, Option<usize>), headers: Vec<Header>) -> Option<Duration> {
    let told: Vec<ToldLimit> = version.rate_limits(headers).await.into_iter().map(|limit| told(&limit, Timestamp::now())).collect();
    health.limits(subject(candidate), key, &told, Instant::now());
    told.iter().filter(|limit| limit.remaining == Some(0)).filter_map(|limit| limit.reset).max()
}

fn told(limit: &RateLimit, now: Timestamp) -> ToldLimit {
    let reset = limit.reset.as_ref().and_then(|reset| match reset {
        Reset::After(ms) => Some(Duration::from_millis(u64::from(*ms))),
        Reset::At(at) => until(at, now),
    });
    ToldLimit { counted: counted(limit.counted), limit: limit.limit, remaining: limit.remaining, reset }
}

fn counted(counted: Counted) -> crate::health::Counted {
    match counted {
        Counted::Requests => crate::health::Counted::Requests,
        Counted::Tokens => crate::health::Counted::Tokens,
        Counted::InputTokens => crate::health::Counted::InputTokens,
        Counted::OutputTokens => crate::health::Counted::OutputTokens,
    }
}
