//! How a key stands, as headers of an answer.

use super::{Left, Standing};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// In whose words. The budget is told in ours to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderStyle {
    OpenAi,
    Anthropic,
}

/// Only of the limits that there are.
pub fn headers(standing: &Standing, style: HeaderStyle, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    let (requests, tokens) = match style {
        HeaderStyle::OpenAi => (
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        ),
        HeaderStyle::Anthropic => (
            ["anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"],
            ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"],
        ),
    };
    for (names, left) in [(requests, standing.requests), (tokens, standing.tokens)] {
        let Some(Left { limit, remaining, reset }) = left else { continue };
        let reset = match style {
            HeaderStyle::OpenAi => duration(reset),
            HeaderStyle::Anthropic => instant(now, reset),
        };
        headers.extend(names.into_iter().zip([limit.to_string(), remaining.to_string(), reset]));
    }
    if let Some((left, reset)) = standing.budget {
        headers.push(("x-gateway-budget-remaining-usd", left.to_string()));
        headers.extend(reset.map(|reset| ("x-gateway-budget-reset", instant(now, reset))));
    }
    headers
}

/// As OpenAI writes them, which is as Go does: `20ms`, `8.64s`, `6m0s`, `1h0m30s`. Rounded up.
fn duration(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    if millis > 0 && millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes, seconds, rest) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60, millis % 1000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

/// RFC 3339, to the second after it.
fn instant(now: Timestamp, wait: Duration) -> String {
    let at = now.saturating_add(SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX);
    let seconds = at.as_second().saturating_add(i64::from(at.subsec_nanosecond() > 0));
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::money::Usd;

    #[test]
    fn durations_are_written_as_openai_writes_them() {
        for (millis, text) in [
            (0, "0s"),
            (20, "20ms"),
            (999, "999ms"),
            (1000, "1s"),
            (8640, "8.64s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (3_630_005, "1h0m30.005s"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(duration(Duration::from_micros(1)), "1ms");
    }

    #[test]
    fn each_dialect_has_its_own_words() {
        let now = "2026-05-31T18:00:00.5Z".parse().unwrap();
        let standing = Standing {
            requests: Some(Left { limit: 60, remaining: 59, reset: Duration::from_secs(1) }),
            tokens: Some(Left { limit: 1000, remaining: 0, reset: Duration::from_secs(60) }),
            budget: Some((Usd::from_f64(0.25).unwrap(), Some(Duration::from_millis(500)))),
        };
        let text = |style| headers(&standing, style, now).into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
        assert_eq!(
            text(HeaderStyle::OpenAi),
            "x-ratelimit-limit-requests: 60\nx-ratelimit-remaining-requests: 59\nx-ratelimit-reset-requests: 1s\n\
             x-ratelimit-limit-tokens: 1000\nx-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 1m0s\n\
             x-gateway-budget-remaining-usd: 0.25\nx-gateway-budget-reset: 2026-05-31T18:00:01Z\n"
        );
        assert_eq!(
            text(HeaderStyle::Anthropic),
            "anthropic-ratelimit-requests-limit: 60\nanthropic-ratelimit-requests-remaining: 59\nanthropic-ratelimit-requests-reset: 2026-05-31T18:00:02Z\n\
             anthropic-ratelimit-tokens-limit: 1000\nanthropic-ratelimit-tokens-remaining: 0\nanthropic-ratelimit-tokens-reset: 2026-05-31T18:01:01Z\n\
             x-gateway-budget-remaining-usd: 0.25\nx-gateway-budget-reset: 2026-05-31T18:00:01Z\n"
        );
        assert_eq!(headers(&Standing::default(), HeaderStyle::OpenAi, now), []);
    }
}
