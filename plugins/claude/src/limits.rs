//! Rate limits in the headers of Claude's answers (wire reference 4.8): `anthropic-ratelimit-input-tokens-remaining`.

use llm_gateway_adapter::limits::{Counted, RateLimit};
use llm_gateway_adapter::rate_limits;
use llm_gateway_adapter::types::Header;

/// The headers without their last word, and what is counted. A priority tier has limits of its own.
const LIMITS: [(&str, Counted); 6] = [
    ("anthropic-ratelimit-requests", Counted::Requests),
    ("anthropic-ratelimit-tokens", Counted::Tokens),
    ("anthropic-ratelimit-input-tokens", Counted::InputTokens),
    ("anthropic-ratelimit-output-tokens", Counted::OutputTokens),
    ("anthropic-priority-input-tokens", Counted::InputTokens),
    ("anthropic-priority-output-tokens", Counted::OutputTokens),
];

pub fn read(headers: &[Header]) -> Vec<RateLimit> {
    let read = |(first, counted)| rate_limits::read(headers, counted, None, |word| format!("{first}-{word}"));
    LIMITS.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_gateway_adapter::harness::owned;
    use llm_gateway_adapter::limits::Reset;

    #[test]
    fn each_count_has_its_limit_and_the_time_when_it_is_full_again() {
        let headers = owned(&[
            ("anthropic-ratelimit-requests-limit", "4000"),
            ("anthropic-ratelimit-requests-remaining", "3999"),
            ("anthropic-ratelimit-requests-reset", "2026-07-04T20:11:07Z"),
            ("anthropic-ratelimit-output-tokens-limit", "800000"),
            ("anthropic-ratelimit-output-tokens-remaining", "800000"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-07-04T20:11:09Z"),
        ]);
        let limit = |counted, limit, remaining, reset: &str| RateLimit {
            counted,
            window: None,
            limit: Some(limit),
            remaining: Some(remaining),
            reset: Some(Reset::At(reset.to_owned())),
        };
        let expected = [
            limit(Counted::Requests, 4000, 3999, "2026-07-04T20:11:07Z"),
            limit(Counted::OutputTokens, 800_000, 800_000, "2026-07-04T20:11:09Z"),
        ];
        assert_eq!(read(&headers), expected);
    }
}
