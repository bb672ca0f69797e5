//! Rate limits, as providers put them into the headers of their answers: a header for the limit, one for what remains, one for when it is
//! full again.
//!
//! What the headers are called is each adapter's to know.

use crate::failure::{duration_ms, header};
use crate::limits::{Counted, RateLimit, Reset};
use crate::types::Header;

/// One limit, if the headers speak of it. `name` makes a header's name of `limit`, `remaining` or `reset`; `window` is in seconds.
pub fn read(headers: &[Header], counted: Counted, window: Option<u32>, name: impl Fn(&str) -> String) -> Option<RateLimit> {
    let told = |word: &str| header(headers, &name(word)).map(str::trim);
    let limit = told("limit").and_then(|count| count.parse().ok());
    let remaining = told("remaining").and_then(|count| count.parse().ok());
    let reset = told("reset").and_then(reset);
    (limit.is_some() || remaining.is_some()).then_some(RateLimit { counted, window, limit, remaining, reset })
}

/// `6m0s` from now, or a time.
fn reset(text: &str) -> Option<Reset> {
    let is_time = text.len() >= "2026-11-24T10:00:00Z".len() && text.as_bytes().get(10) == Some(&b'T');
    if is_time { Some(Reset::At(text.to_owned())) } else { duration_ms(text).map(Reset::After) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::owned;

    #[test]
    fn a_limit_is_read_as_far_as_the_headers_tell_of_it() {
        let headers = owned(&[("x-limit", "60"), ("x-remaining", "59"), ("x-reset", "6m0s"), ("y-remaining", "7"), ("y-reset", "soon")]);
        let of = |letter: &'static str| read(&headers, Counted::Requests, Some(60), move |word| format!("{letter}-{word}"));
        let limit = RateLimit {
            counted: Counted::Requests,
            window: Some(60),
            limit: Some(60),
            remaining: Some(59),
            reset: Some(Reset::After(360_000)),
        };
        assert_eq!(of("x"), Some(limit.clone()));
        assert_eq!(of("y"), Some(RateLimit { limit: None, remaining: Some(7), reset: None, ..limit }));
        assert_eq!(of("z"), None);
    }

    #[test]
    fn a_reset_may_be_a_time() {
        assert_eq!(reset("2026-11-24T10:00:00Z"), Some(Reset::At("2026-11-24T10:00:00Z".to_owned())));
        assert_eq!(reset("12"), None);
    }
}
