//! Why an attempt failed, and what that allows. Pure.

use super::Attempt;
use super::fetch::FetchError;
use super::retry::{Advice, Again};
use crate::admission::Overloaded;
use crate::contract::{Dropped, Failure, FailureKind, Finish, Retry};
use crate::domain::ErrorKind;
use crate::plugin::{CallError, Fault};
use jiff::Timestamp;
use std::time::Duration;

/// A shorter one would be found in innocent words.
const SHORTEST_KEY: usize = 8;
const MAX_MESSAGE_BYTES: usize = 4096;

/// Why one attempt gave no answer.
#[derive(Debug, Clone)]
pub enum AttemptError {
    /// The adapter can't make a request of it.
    Encode(Box<Failure>),
    /// The provider failed, as its adapter reads it.
    Provider {
        failure: Box<Failure>,
        status: u16,
    },
    /// The plugin broke.
    Plugin(Fault),
    /// What the provider can't take of the request, where the operator does not want it left out.
    Dropped(Vec<Dropped>),
    /// The caller's media could not be fetched.
    Media(FetchError),
    /// The caller's text document is not text.
    MediaNotText,
    /// Nobody was asked: each had refused further requests for a time, or failed too often. Never empty.
    LeftAlone(Vec<LeftAlone>),
    /// Nobody was asked: the gateway had no turn for it.
    Overloaded(Overloaded),
    Unaffordable(Unaffordable),
    Upstream(UpstreamError),
}

/// The caller's own limits do not allow that a candidate is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unaffordable {
    pub kind: ErrorKind,
    /// With the figures.
    pub message: String,
    /// Absent: coming back does not help.
    pub retry_after: Option<Duration>,
}

/// Whose time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The caller's own, by `x-gateway-timeout-ms`.
    Caller(Duration),
    /// The rules', `REQUEST_TIMEOUT` or a route's own.
    Rules(Duration),
}

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller(limit) => {
                write!(f, "there was no complete answer within the caller's {} ms (x-gateway-timeout-ms)", limit.as_millis())
            }
            Self::Rules(limit) => {
                write!(f, "there was no complete answer within {} ms (REQUEST_TIMEOUT, or the route's request_ms)", limit.as_millis())
            }
        }
    }
}

/// A candidate that is not asked for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    pub provider: String,
    pub model: String,
    /// Whether it asked for that itself; else it failed too often.
    pub is_limited: bool,
    /// From now on.
    pub wait: Duration,
}

impl LeftAlone {
    /// How long it is worth waiting for: what failed too often is not waited for.
    pub(super) fn of(&self) -> Option<Duration> {
        self.is_limited.then_some(self.wait)
    }
}

impl std::fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { provider, model, is_limited, wait } = self;
        let why = if *is_limited { "refuses further requests (its rate limit)" } else { "fails or does not answer, and is left alone" };
        write!(f, "{provider}/{model} {why} for another {:.1} s", wait.as_secs_f64())
    }
}

/// Why there is no answer on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("the provider can't be reached: {0}")]
    Unreachable(String),
    #[error("no connection to the provider within {} ms (CONNECT_TIMEOUT)", .0.as_millis())]
    ConnectTimeout(Duration),
    #[error("the provider did not begin to answer within {} ms (FIRST_BYTE_TIMEOUT)", .0.as_millis())]
    FirstByteTimeout(Duration),
    #[error("the provider's answer stopped for {} ms (IDLE_TIMEOUT)", .0.as_millis())]
    IdleTimeout(Duration),
    #[error("the provider's answer was not complete within {} ms (TOTAL_TIMEOUT)", .0.as_millis())]
    TotalTimeout(Duration),
    #[error("{0}")]
    Late(Late),
    #[error("the connection to the provider broke: {0}")]
    Broken(String),
    #[error("the provider's answer has more than {0} bytes (MAX_ANSWER_BYTES)")]
    TooLarge(usize),
    #[error("the provider's answer is compressed, which was not asked for; a proxy in between may do it")]
    Compressed,
}

/// Who is to blame for an error, as `x-gateway-error-origin` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Gateway,
    Provider,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Provider => "provider",
        }
    }
}

/// In whose words the parameters are named is the caller's dialect's to say.
pub fn dropped_message(dropped: &[Dropped], name: impl Fn(&str) -> String) -> String {
    let each: Vec<String> = dropped.iter().map(|dropped| format!("`{}` ({})", name(&dropped.parameter), dropped.reason)).collect();
    format!("the provider can't take {}: leave it out, or ask for a model that can", each.join(", "))
}

impl AttemptError {
    pub(super) fn of_decode(error: CallError, status: u16) -> Self {
        match error {
            CallError::Failure(failure) => Self::Provider { failure, status },
            CallError::Fault(fault) => Self::Plugin(fault),
        }
    }

    /// An answer that its provider itself says went wrong (a malformed call): another try may go well.
    pub(super) fn of_finish(finish: &Finish, status: Option<u16>) -> Self {
        let word = finish.raw.as_deref().unwrap_or("error");
        let failure = Failure {
            kind: FailureKind::Malformed,
            message: format!("the provider says that its answer went wrong: {word}"),
            provider_type: None,
            provider_code: finish.raw.clone(),
            parameter: None,
            retry: Retry::Backoff,
            extras: Vec::new(),
        };
        Self::Provider { failure: Box::new(failure), status: status.unwrap_or_default() }
    }

    pub(super) fn of_encode(error: CallError) -> Self {
        match error {
            CallError::Failure(failure) => Self::Encode(failure),
            CallError::Fault(fault) => Self::Plugin(fault),
        }
    }

    /// The same without the key, should the provider have said it back, and no longer than anybody reads.
    pub fn tamed(mut self, key: Option<&str>) -> Self {
        if let Self::Encode(failure) | Self::Provider { failure, .. } = &mut self {
            let words =
                [Some(&mut failure.message), failure.provider_type.as_mut(), failure.provider_code.as_mut(), failure.parameter.as_mut()];
            for text in words.into_iter().flatten() {
                if let Some(key) = key.filter(|key| key.len() >= SHORTEST_KEY && text.contains(key)) {
                    *text = text.replace(key, "[key]");
                }
                text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
            }
        }
        self
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Encode(failure) | Self::Provider { failure, .. } => failure.kind.into(),
            Self::Plugin(Fault::NoRoom) => ErrorKind::Overloaded,
            Self::Plugin(_) => ErrorKind::Plugin,
            Self::Dropped(_) => ErrorKind::Unsupported,
            Self::MediaNotText | Self::Media(_) => ErrorKind::InvalidRequest,
            Self::Overloaded(_) => ErrorKind::Overloaded,
            Self::LeftAlone(all) if all.iter().any(|one| one.is_limited) => ErrorKind::RateLimited,
            Self::LeftAlone(_) => ErrorKind::Unavailable,
            Self::Unaffordable(error) => error.kind,
            Self::Upstream(error) => match error {
                UpstreamError::Unreachable(_) => ErrorKind::Unreachable,
                UpstreamError::ConnectTimeout(_)
                | UpstreamError::FirstByteTimeout(_)
                | UpstreamError::IdleTimeout(_)
                | UpstreamError::TotalTimeout(_)
                | UpstreamError::Late(_) => ErrorKind::Timeout,
                UpstreamError::Broken(_) | UpstreamError::TooLarge(_) | UpstreamError::Compressed => ErrorKind::Malformed,
            },
        }
    }

    pub fn origin(&self) -> Origin {
        match self {
            Self::Encode(_)
            | Self::Plugin(_)
            | Self::Dropped(_)
            | Self::Media(_)
            | Self::MediaNotText
            | Self::LeftAlone(_)
            | Self::Overloaded(_)
            | Self::Unaffordable(_)
            | Self::Upstream(UpstreamError::Late(_)) => Origin::Gateway,
            Self::Provider { .. } | Self::Upstream(_) => Origin::Provider,
        }
    }

    /// What the provider's own status was, if it answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Provider { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Encode(failure) | Self::Provider { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// The field at fault: a path in `chat-request`, or the provider's words.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Encode(failure) | Self::Provider { failure, .. } => failure.parameter.as_deref(),
            Self::Dropped(dropped) => dropped.first().map(|dropped| dropped.parameter.as_str()),
            Self::Media(error) => Some(&error.part),
            Self::Plugin(_) | Self::MediaNotText | Self::LeftAlone(_) | Self::Overloaded(_) | Self::Unaffordable(_) | Self::Upstream(_) => {
                None
            }
        }
    }

    /// For people: what went wrong.
    pub fn message(&self) -> String {
        match self {
            Self::Encode(failure) | Self::Provider { failure, .. } => failure.message.clone(),
            Self::Plugin(Fault::NoRoom) => Fault::NoRoom.to_string(),
            Self::Plugin(fault) => format!("the provider's plugin failed: {fault}"),
            Self::Dropped(dropped) => dropped_message(dropped, str::to_owned),
            Self::Media(error) => error.to_string(),
            Self::MediaNotText => "a text document is not valid UTF-8: send it as text, or in a format that the provider reads".to_owned(),
            Self::LeftAlone(all) => all.iter().map(LeftAlone::to_string).collect::<Vec<_>>().join("; "),
            Self::Overloaded(error) => error.to_string(),
            Self::Unaffordable(error) => error.to_string(),
            Self::Upstream(error) => error.to_string(),
        }
    }

    /// Whether it says something of the provider, or its plugin.
    pub(super) fn is_the_upstreams(&self, attempt: &Attempt) -> bool {
        match self {
            // One that breaks on a caller's request says nothing of others' requests.
            Self::Plugin(_) if attempt.status.is_none() => false,
            Self::Plugin(fault) => !fault.is_the_gateways(),
            _ => self.origin() == Origin::Provider,
        }
    }

    /// Whether another key may not have it.
    pub(super) fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Provider { .. })
            && matches!(self.kind(), ErrorKind::RateLimited | ErrorKind::QuotaExhausted | ErrorKind::Authentication | ErrorKind::Permission)
    }

    /// Whether the same request may succeed some time.
    pub(super) fn may_pass(&self) -> bool {
        self.advice(Timestamp::now(), None).again != Again::Never
    }

    /// What the provider said of when to come back.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        if let Self::LeftAlone(all) = self {
            return all.iter().map(|one| one.wait).min();
        }
        if let Self::Unaffordable(error) = self {
            return error.retry_after;
        }
        match self.failure().map(|failure| &failure.retry)? {
            Retry::After(ms) => Some(Duration::from_millis(u64::from(*ms))),
            Retry::At(at) => until(at, now),
            Retry::Never | Retry::Backoff => None,
        }
    }

    /// `reset`: when a limit that is used up is full again, where the provider's headers say so.
    pub(super) fn advice(&self, now: Timestamp, reset: Option<Duration>) -> Advice {
        match self {
            Self::Encode(failure) => Advice { again: Again::Never, elsewhere: elsewhere(failure.kind) },
            Self::Provider { failure, .. } => {
                let again = match (again(&failure.retry, now), reset) {
                    (Again::AfterBackoff, Some(reset)) if failure.kind == FailureKind::RateLimited => Again::After(reset),
                    (again, _) => again,
                };
                Advice { again, elsewhere: elsewhere(failure.kind) }
            }
            // A plugin that broke on a request breaks on it again.
            Self::Plugin(_) => Advice { again: Again::Never, elsewhere: true },
            Self::MediaNotText | Self::Dropped(_) => Advice { again: Again::Never, elsewhere: true },
            // Another provider may fetch it itself, or be cheaper.
            Self::Media(_) | Self::Unaffordable(_) => Advice { again: Again::Never, elsewhere: true },
            // Nobody waits for it any more.
            Self::Upstream(UpstreamError::Late(_)) => Advice { again: Again::Never, elsewhere: false },
            Self::LeftAlone(_) | Self::Overloaded(_) => Advice { again: Again::AfterBackoff, elsewhere: false },
            Self::Upstream(UpstreamError::TooLarge(_) | UpstreamError::Compressed) => Advice { again: Again::Never, elsewhere: true },
            Self::Upstream(_) => Advice { again: Again::AfterBackoff, elsewhere: true },
        }
    }
}

/// Whether another provider may succeed where this one failed so.
fn elsewhere(kind: FailureKind) -> bool {
    !matches!(kind, FailureKind::InvalidRequest | FailureKind::ContentRefused)
}

fn again(retry: &Retry, now: Timestamp) -> Again {
    match retry {
        Retry::Never => Again::Never,
        Retry::Backoff => Again::AfterBackoff,
        // At once, or a time that has been: by a clock that is not ours all who were refused would come back together.
        Retry::After(0) => Again::AfterBackoff,
        Retry::After(ms) => Again::After(Duration::from_millis(u64::from(*ms))),
        Retry::At(at) => until(at, now).filter(|wait| !wait.is_zero()).map_or(Again::AfterBackoff, Again::After),
    }
}

/// How long until an RFC 3339 time or an HTTP date. A past one is now.
pub(super) fn until(at: &str, now: Timestamp) -> Option<Duration> {
    let at = at.trim();
    let moment = at.parse::<Timestamp>().ok().or_else(|| Timestamp::try_from(httpdate::parse_http_date(at).ok()?).ok())?;
    Some(Duration::try_from(moment.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_that_the_provider_says_back_is_taken_out() {
        let failure = Failure {
            kind: FailureKind::Authentication,
            message: format!("Incorrect API key provided: sk-secret-1. {}", "ä".repeat(5000)),
            provider_type: None,
            provider_code: None,
            parameter: None,
            retry: Retry::Never,
            extras: Vec::new(),
        };
        let message = AttemptError::Provider { failure: Box::new(failure), status: 401 }.tamed(Some("sk-secret-1")).message();
        assert!(message.starts_with("Incorrect API key provided: [key].") && message.len() <= MAX_MESSAGE_BYTES);
    }

    #[test]
    fn both_forms_of_a_date_give_the_time_until_then() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        for (at, seconds) in [
            ("2026-11-24T10:00:07Z", Some(7)),
            ("Tue, 24 Nov 2026 10:00:03 GMT", Some(3)),
            ("2020-01-01T00:00:00Z", Some(0)),
            ("soon", None),
        ] {
            assert_eq!(until(at, now).map(|wait| wait.as_secs()), seconds, "{at}");
        }
    }
}
