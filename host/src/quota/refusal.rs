//! Why a request is refused, in the words that its caller reads.

use super::budget::{Short, Span};
use super::window::Full;
use super::{Exceeded, Limit};
use crate::access::GatewayKey;
use crate::money::Usd;
use jiff::Timestamp;
use std::time::Duration;

/// When to come back where other requests have to end first, which nobody knows.
const SOON: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Requests(Full),
    Tokens(Full),
    Concurrency {
        limit: u32,
        wanted: u32,
    },
    Budget(Short),
    /// What was spent can't be read from the ledger.
    Unknown,
}

impl Refusal {
    pub(super) fn tell(self, key: &GatewayKey, now: Timestamp) -> Exceeded {
        let id = &key.id;
        match self {
            Self::Requests(Full { limit, left, wanted, wait }) => {
                let were = if wanted == 1 { "was" } else { "were" };
                let message = format!(
                    "gateway key `{id}` may send {limit} requests per minute: {left} are left, {wanted} {were} wanted; {}",
                    again(wait)
                );
                Exceeded { limit: Limit::Requests, message, retry_after: wait }
            }
            Self::Tokens(Full { limit, left, wanted, wait }) => {
                let message = format!(
                    "gateway key `{id}` may use {limit} tokens per minute: {left} are left, {wanted} were wanted (the prompt, and the most that may be answered); {}",
                    match wait {
                        Some(_) => again(wait),
                        None =>
                            "waiting does not help: lower `max_tokens`, shorten the prompt, or ask an operator to raise `tpm`".to_owned(),
                    }
                );
                Exceeded { limit: Limit::Tokens, message, retry_after: wait }
            }
            Self::Concurrency { limit, wanted } => {
                let retry_after = (wanted <= limit).then_some(SOON);
                let when = if retry_after.is_some() { "there is when others have ended" } else { "there never is" };
                let message =
                    format!("gateway key `{id}` may have {limit} requests at once, and there is no room for {wanted} more; {when}");
                Exceeded { limit: Limit::Concurrency, message, retry_after }
            }
            Self::Budget(short) => short.tell(id, now),
            Self::Unknown => {
                let message = format!(
                    "what gateway key `{id}` has spent of its budget can't be read from the ledger now, so it may spend nothing; try again in a moment"
                );
                Exceeded { limit: Limit::Budget, message, retry_after: Some(SOON) }
            }
        }
    }
}

impl Short {
    fn tell(self, id: &str, now: Timestamp) -> Exceeded {
        let Self { span, limit, spent, reserved, wanted } = self;
        let left = limit.saturating_sub(spent).saturating_sub(reserved).max(0);
        let [limit_usd, spent_usd, reserved_usd, wanted_usd, left_usd] = [limit, spent, reserved, wanted, left].map(Usd::from_picos);
        let of = match span {
            Span::Day => "a day (UTC)",
            Span::Month => "a month (UTC)",
            Span::Total => "all time",
        };
        let (when, retry_after) = if wanted > limit {
            ("it never has as much: lower `max_tokens`, or ask an operator to raise it".to_owned(), None)
        } else if spent.saturating_add(wanted) <= limit {
            ("there may be enough when one of these has ended".to_owned(), Some(SOON))
        } else if let Some(end) = span.ends(now) {
            (format!("it begins anew at {end}"), end.duration_since(now).try_into().ok())
        } else {
            ("it does not begin anew: lower `max_tokens`, or ask an operator to raise it".to_owned(), None)
        };
        let message = format!(
            "this request may cost ${wanted_usd}, and gateway key `{id}` has ${left_usd} left of its budget of ${limit_usd} for {of}: ${spent_usd} is spent, ${reserved_usd} is reserved for requests that are being answered; {when}"
        );
        Exceeded { limit: Limit::Budget, message, retry_after }
    }
}

fn again(wait: Option<Duration>) -> String {
    match wait {
        // Rounded up: who comes back earlier is refused again.
        Some(wait) => format!("there is enough again in {} s", wait.as_millis().div_ceil(1000).max(1)),
        None => "there never is enough".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::quota::tests::key;

    fn tell(refusal: Refusal) -> Exceeded {
        refusal.tell(&key("k1", |_| {}), "2026-05-31T18:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_refusal_says_what_is_left_what_was_wanted_and_when_there_is_more() {
        let wait = Some(Duration::from_millis(1500));
        for (refusal, limit, retry_after, said) in [
            (
                Refusal::Requests(Full { limit: 60, left: 0, wanted: 1, wait }),
                Limit::Requests,
                wait,
                "60 requests per minute: 0 are left, 1 was wanted; there is enough again in 2 s",
            ),
            (
                Refusal::Tokens(Full { limit: 100, left: 40, wanted: 90, wait }),
                Limit::Tokens,
                wait,
                "100 tokens per minute: 40 are left, 90 were wanted",
            ),
            (Refusal::Tokens(Full { limit: 100, left: 100, wanted: 101, wait: None }), Limit::Tokens, None, "waiting does not help"),
            (
                Refusal::Requests(Full { limit: 6, left: 5, wanted: 7, wait: None }),
                Limit::Requests,
                None,
                "6 requests per minute: 5 are left, 7 were wanted; there never is enough",
            ),
            (Refusal::Concurrency { limit: 4, wanted: 1 }, Limit::Concurrency, Some(SOON), "4 requests at once"),
            (Refusal::Concurrency { limit: 4, wanted: 5 }, Limit::Concurrency, None, "no room for 5 more; there never is"),
            (Refusal::Unknown, Limit::Budget, Some(SOON), "can't be read from the ledger"),
        ] {
            let exceeded = tell(refusal);
            assert_eq!((exceeded.limit, exceeded.retry_after), (limit, retry_after));
            assert!(exceeded.message.contains(said) && exceeded.message.contains("`k1`"), "{exceeded}");
        }
    }

    #[test]
    fn a_budget_says_when_to_come_back() {
        let cent = 10_000_000_000;
        let short = Short { span: Span::Month, limit: 100 * cent, spent: 90 * cent, reserved: 8 * cent, wanted: 20 * cent };
        let told = tell(Refusal::Budget(short));
        assert_eq!(told.retry_after, Some(Duration::from_secs(6 * 3600)));
        assert_eq!(
            told.message,
            "this request may cost $0.2, and gateway key `k1` has $0.02 left of its budget of $1 for a month (UTC): $0.9 is spent, $0.08 is reserved for requests that are being answered; it begins anew at 2026-06-01T00:00:00Z"
        );
        assert_eq!(tell(Refusal::Budget(Short { span: Span::Total, ..short })).retry_after, None);
        // Others hold it, and may give it back.
        assert_eq!(tell(Refusal::Budget(Short { wanted: 5 * cent, ..short })).retry_after, Some(SOON));
        assert_eq!(tell(Refusal::Budget(Short { wanted: 101 * cent, ..short })).retry_after, None);
    }
}
