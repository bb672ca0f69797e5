//! Typed failures, and what a provider's headers say of retrying.
//!
//! Which status or code means what is the adapter's to know; here are the parts that all providers share.

use crate::types::{Failure, FailureKind, Header, Retry};

/// How much of a body that is not the provider's JSON goes into a message.
const BODY_EXCERPT_BYTES: usize = 500;

impl Failure {
    /// A failure that is not to be retried, with nothing else known of it.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            provider_type: None,
            provider_code: None,
            parameter: None,
            retry: Retry::Never,
            extras: Vec::new(),
        }
    }

    /// The caller's mistake. `parameter` is a path in `chat-request`.
    pub fn invalid(parameter: Option<&str>, message: impl Into<String>) -> Self {
        Self { parameter: parameter.map(str::to_owned), ..Self::new(FailureKind::InvalidRequest, message) }
    }

    /// What this provider can't do, where another may. `parameter` is a path in `chat-request`.
    pub fn unsupported(parameter: &str, message: impl Into<String>) -> Self {
        Self { parameter: Some(parameter.to_owned()), ..Self::new(FailureKind::Unsupported, message) }
    }

    /// An answer that makes no sense. The next one may, so it is worth another try.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self { retry: Retry::Backoff, ..Self::new(FailureKind::Malformed, message) }
    }

    /// The stream ended without the provider's sign of completion.
    pub fn cut_stream() -> Self {
        Self::malformed("the provider's stream ended before the answer was complete")
    }
}

/// The header's value; names are in lower case.
pub fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// What the headers say of retrying, over what the status alone says (`by_status`): `x-should-retry`, then `retry-after-ms`, then
/// `retry-after` in seconds, with a fraction, or as an HTTP date. A failure that can't be mended stays so whatever delay is given.
pub fn retry_advice(headers: &[Header], by_status: Retry) -> Retry {
    let retry = match (header(headers, "x-should-retry"), by_status) {
        (Some("false"), _) => Retry::Never,
        (Some("true"), Retry::Never) => Retry::Backoff,
        (_, by_status) => by_status,
    };
    if matches!(retry, Retry::Never) {
        return retry;
    }
    if let Some(delay) = header(headers, "retry-after-ms").and_then(|text| milliseconds(text, 1.0)) {
        return Retry::After(delay);
    }
    match header(headers, "retry-after") {
        Some(text) => milliseconds(text, 1000.0).map_or_else(|| Retry::At(text.to_owned()), Retry::After),
        None => retry,
    }
}

fn milliseconds(text: &str, unit_ms: f64) -> Option<u32> {
    let count: f64 = text.trim().parse().ok()?;
    (count.is_finite() && count >= 0.0).then_some((count * unit_ms).ceil() as u32)
}

/// A duration as Go and proto3 JSON write it (`6m0s`, `1h2m3.4s`, `17ms`, `34.07s`), in milliseconds, rounded up.
pub fn duration_ms(text: &str) -> Option<u32> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let count: f64 = rest[..number_end].parse().ok()?;
        let unit_end = rest[number_end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| number_end + at);
        total += count
            * match &rest[number_end..unit_end] {
                "h" => 3_600_000.0,
                "m" => 60_000.0,
                "s" => 1000.0,
                "ms" => 1.0,
                "us" | "µs" => 0.001,
                "ns" => 0.000_001,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    Some(total.ceil() as u32)
}

/// What to say of a body that is not the provider's JSON (a proxy's HTML, nothing at all): its status and beginning.
pub fn unreadable_body(status: u16, body: &[u8]) -> String {
    let excerpt = String::from_utf8_lossy(&body[..body.len().min(BODY_EXCERPT_BYTES)]);
    match excerpt.trim() {
        "" => format!("the provider answered with status {status} and no body"),
        text => format!("the provider answered with status {status}: {text}"),
    }
}

/// The kind that a status stands for when the body says nothing narrower, and whether to retry it. `by_status(529)` is overloaded.
pub fn by_status(status: u16) -> (FailureKind, Retry) {
    match status {
        401 => (FailureKind::Authentication, Retry::Never),
        402 => (FailureKind::QuotaExhausted, Retry::Never),
        403 => (FailureKind::Permission, Retry::Never),
        404 => (FailureKind::NotFound, Retry::Never),
        408 => (FailureKind::Timeout, Retry::Backoff),
        409 => (FailureKind::Provider, Retry::Backoff),
        413 => (FailureKind::RequestTooLarge, Retry::Never),
        429 => (FailureKind::RateLimited, Retry::Backoff),
        504 => (FailureKind::Timeout, Retry::Backoff),
        503 | 529 => (FailureKind::Overloaded, Retry::Backoff),
        400..=499 => (FailureKind::InvalidRequest, Retry::Never),
        _ => (FailureKind::Provider, Retry::Backoff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(headers: &[(&str, &str)], by_status: Retry) -> Retry {
        let headers: Vec<Header> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        retry_advice(&headers, by_status)
    }

    #[test]
    fn retry_headers_are_read_in_their_order() {
        assert_eq!(advice(&[("retry-after", "2")], Retry::Backoff), Retry::After(2000));
        assert_eq!(advice(&[("retry-after", "0.5"), ("retry-after-ms", "20.2")], Retry::Backoff), Retry::After(21));
        assert_eq!(advice(&[("retry-after", "2")], Retry::Never), Retry::Never);
        assert_eq!(advice(&[("x-should-retry", "true")], Retry::Never), Retry::Backoff);
        assert_eq!(advice(&[("x-should-retry", "false"), ("retry-after", "2")], Retry::Backoff), Retry::Never);
        let date = "Tue, 24 Nov 2026 10:00:00 GMT";
        assert_eq!(advice(&[("retry-after", date)], Retry::Backoff), Retry::At(date.to_owned()));
    }

    #[test]
    fn durations_in_go_and_proto_form() {
        for (text, expected) in [
            ("6m0s", Some(360_000)),
            ("1h2m3.4s", Some(3_723_400)),
            ("17ms", Some(17)),
            ("34.07s", Some(34_070)),
            ("", None),
            ("5", None),
            ("x", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
    }
}
