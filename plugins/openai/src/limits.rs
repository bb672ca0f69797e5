//! Rate limits in the headers of OpenAI's answers (wire reference 1.10): `x-ratelimit-remaining-tokens`.

use llm_gateway_adapter::limits::{Counted, RateLimit};
use llm_gateway_adapter::rate_limits;
use llm_gateway_adapter::types::Header;

/// The last word of the headers, and what is counted. A project has a limit of its own beside the organisation's.
const LIMITS: [(&str, Counted); 3] = [("requests", Counted::Requests), ("tokens", Counted::Tokens), ("project-tokens", Counted::Tokens)];

pub fn read(headers: &[Header]) -> Vec<RateLimit> {
    let read = |(last, counted)| rate_limits::read(headers, counted, None, |word| format!("x-ratelimit-{word}-{last}"));
    LIMITS.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_gateway_adapter::harness::owned;
    use llm_gateway_adapter::limits::Reset;

    #[test]
    fn requests_and_tokens_are_read() {
        let headers = owned(&[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "499"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-limit-tokens", "200000"),
            ("x-ratelimit-remaining-tokens", "199963"),
            ("x-ratelimit-reset-tokens", "1h4m48.907s"),
        ]);
        let limit = |counted, limit, remaining, reset| RateLimit {
            counted,
            window: None,
            limit: Some(limit),
            remaining: Some(remaining),
            reset: Some(Reset::After(reset)),
        };
        let expected = [limit(Counted::Requests, 500, 499, 120), limit(Counted::Tokens, 200_000, 199_963, 3_888_907)];
        assert_eq!(read(&headers), expected);
        assert_eq!(read(&[]), []);
    }
}
