//! What was tried for a request, in one sentence for its caller. Pure.

use super::{Attempt, LeftAlone};
use crate::domain::ErrorKind;
use std::fmt::Write;
use std::time::Duration;

/// Candidates that are told of; more nobody reads.
const MAX_TOLD: usize = 5;

/// Who was asked how often and failed how, who was not asked, and what the caller can do. `told`: the failure that the caller is told, and when to come back. Nothing where one attempt failed, whose own words say it all.
pub fn sentence(attempts: &[Attempt], left_alone: &[LeftAlone], told: (ErrorKind, Option<Duration>)) -> Option<String> {
    if attempts.len() < 2 && (attempts.is_empty() || left_alone.is_empty()) {
        return None;
    }
    let mut each: Vec<String> = attempts.chunk_by(same_failure).map(asked).collect();
    each.extend(left_alone.iter().map(LeftAlone::to_string));
    let more = each.len().saturating_sub(MAX_TOLD);
    each.truncate(MAX_TOLD);
    let mut sentence = each.join("; ");
    if more > 0 {
        let _ = write!(sentence, "; and {more} more");
    }
    let _ = write!(sentence, "; {}", what_to_do(told));
    Some(sentence)
}

fn same_failure(a: &Attempt, b: &Attempt) -> bool {
    (&a.provider, &a.model, a.status, kind(a)) == (&b.provider, &b.model, b.status, kind(b))
}

fn kind(attempt: &Attempt) -> Option<ErrorKind> {
    attempt.error.as_ref().map(|(kind, _)| *kind)
}

/// `openai/gpt-5.4 was asked 3 times: 503, overloaded`
fn asked(same: &[Attempt]) -> String {
    let Some(first) = same.first() else { return String::new() };
    let times = match same.len() {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    let status = first.status.map(|status| format!("{status}, ")).unwrap_or_default();
    let kind = kind(first).map_or("answered", ErrorKind::as_str).replace('_', " ");
    format!("{}/{} was asked {times}: {status}{kind}", first.provider, first.model)
}

fn what_to_do((kind, retry_after): (ErrorKind, Option<Duration>)) -> String {
    let when = retry_after.map_or("later".to_owned(), |wait| format!("in {:.0} s", wait.as_secs_f64().ceil().max(1.0)));
    match kind {
        ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::QuotaExhausted => {
            "the gateway's operator has to look at that provider's key".to_owned()
        }
        ErrorKind::RateLimited
        | ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::Unreachable
        | ErrorKind::Timeout
        | ErrorKind::Provider
        | ErrorKind::Malformed
        | ErrorKind::Plugin => format!("try again {when}, or name another model"),
        _ => "change the request, or name another model".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Why;
    use super::*;

    fn attempt(model: &str, status: Option<u16>, kind: ErrorKind) -> Attempt {
        Attempt {
            provider: "acme".to_owned(),
            model: model.to_owned(),
            is_listed: true,
            plugin_version: String::new(),
            simulated: false,
            status,
            error: Some((kind, "no".to_owned())),
            duration: Duration::ZERO,
            waited: Duration::ZERO,
            elsewhere: Duration::ZERO,
            is_streaming: false,
            backoff: Duration::ZERO,
            why: Why::First,
            key: None,
            first_byte: None,
            limits_reset: None,
            provider_request_id: None,
            meter: std::sync::Arc::default(),
            used: None,
        }
    }

    #[test]
    fn one_sentence_says_who_was_asked_who_was_not_and_what_to_do() {
        let one = attempt("rocket", Some(503), ErrorKind::Overloaded);
        assert_eq!(sentence(std::slice::from_ref(&one), &[], (ErrorKind::Overloaded, None)), None);
        let attempts = [one.clone(), one, attempt("sled", None, ErrorKind::Unreachable)];
        let left_alone = LeftAlone { provider: "acme".into(), model: "kite".into(), is_limited: false, wait: Duration::from_millis(3200) };
        assert_eq!(
            sentence(&attempts, &[left_alone], (ErrorKind::Overloaded, Some(Duration::from_millis(1500)))).as_deref(),
            Some(
                "acme/rocket was asked 2 times: 503, overloaded; acme/sled was asked once: unreachable; acme/kite fails or does not answer, and is left \
                 alone for another 3.2 s; try again in 2 s, or name another model"
            )
        );
    }
}
