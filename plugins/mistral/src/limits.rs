//! Rate limits in the headers of Mistral's answers (wire reference 3.5): `x-ratelimit-remaining-tokens-5-minute`.
//!
//! The name says what is counted and over which time; which times there are differs from account to account.

use llm_gateway_adapter::limits::{Counted, RateLimit};
use llm_gateway_adapter::rate_limits;
use llm_gateway_adapter::types::Header;

const PREFIX: &str = "x-ratelimit-remaining-";

pub fn read(headers: &[Header]) -> Vec<RateLimit> {
    let named = headers.iter().filter_map(|(name, _)| name.strip_prefix(PREFIX));
    let read = |last: &str| {
        let (counted, window) = meaning(last)?;
        rate_limits::read(headers, counted, Some(window), |word| format!("x-ratelimit-{word}-{last}"))
    };
    named.filter_map(read).collect()
}

/// `req-60-second`, `tokens-minute`, `tokens-month`: what is counted, and the seconds over which it is.
fn meaning(last: &str) -> Option<(Counted, u32)> {
    let (counted, window) = last.split_once('-')?;
    let counted = match counted {
        "req" => Counted::Requests,
        "tokens" => Counted::Tokens,
        _ => return None,
    };
    let (times, unit) = window.split_once('-').unwrap_or(("1", window));
    let seconds: u32 = match unit {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        "month" => 30 * 86_400,
        _ => return None,
    };
    Some((counted, times.parse::<u32>().ok()?.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_gateway_adapter::harness::owned;

    #[test]
    fn windows_are_read_out_of_the_names() {
        let headers = owned(&[
            ("x-ratelimit-limit-req-60-second", "360"),
            ("x-ratelimit-remaining-req-60-second", "287"),
            ("x-ratelimit-limit-tokens-minute", "2000000"),
            ("x-ratelimit-remaining-tokens-minute", "1991950"),
            ("x-ratelimit-remaining-tokens-5-minute", "595468"),
            ("x-ratelimit-remaining-tokens-fortnight", "1"),
            ("x-ratelimit-tokens-query-cost", "50"),
        ]);
        let limit =
            |counted, window, limit, remaining| RateLimit { counted, window: Some(window), limit, remaining: Some(remaining), reset: None };
        let expected = [
            limit(Counted::Requests, 60, Some(360), 287),
            limit(Counted::Tokens, 60, Some(2_000_000), 1_991_950),
            limit(Counted::Tokens, 300, None, 595_468),
        ];
        assert_eq!(read(&headers), expected);
    }
}
