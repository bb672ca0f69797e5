//! Token counts of both endpoints, in the contract's terms.
//!
//! Both count cached tokens within the input and reasoning within the output, as the contract does (wire reference 1.8), so nothing is
//! added or taken away.

use llm_gateway_adapter::types::Usage;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct CompletionUsage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    prompt_tokens_details: Option<PromptTokensDetails>,
    completion_tokens_details: Option<CompletionTokensDetails>,
}

#[derive(Debug, Default, Deserialize)]
struct PromptTokensDetails {
    cached_tokens: Option<u32>,
    cache_write_tokens: Option<u32>,
    audio_tokens: Option<u32>,
    image_tokens: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
struct CompletionTokensDetails {
    reasoning_tokens: Option<u32>,
    audio_tokens: Option<u32>,
    accepted_prediction_tokens: Option<u32>,
    rejected_prediction_tokens: Option<u32>,
}

impl From<CompletionUsage> for Usage {
    fn from(usage: CompletionUsage) -> Self {
        let prompt = usage.prompt_tokens_details.unwrap_or_default();
        let completion = usage.completion_tokens_details.unwrap_or_default();
        Self {
            input: usage.prompt_tokens,
            cache_read: prompt.cached_tokens,
            cache_write: prompt.cache_write_tokens,
            output: usage.completion_tokens,
            reasoning: completion.reasoning_tokens,
            details: details([
                ("input-audio", prompt.audio_tokens),
                ("input-image", prompt.image_tokens),
                ("output-audio", completion.audio_tokens),
                ("accepted_prediction_tokens", completion.accepted_prediction_tokens),
                ("rejected_prediction_tokens", completion.rejected_prediction_tokens),
            ]),
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct ResponseUsage {
    input_tokens: Option<u32>,
    input_tokens_details: Option<InputTokensDetails>,
    output_tokens: Option<u32>,
    output_tokens_details: Option<OutputTokensDetails>,
}

#[derive(Debug, Default, Deserialize)]
struct InputTokensDetails {
    cached_tokens: Option<u32>,
    cache_write_tokens: Option<u32>,
    cache_write_tokens_details: Option<CacheWriteTokensDetails>,
}

#[derive(Debug, Default, Deserialize)]
struct CacheWriteTokensDetails {
    ttl_30m_tokens: Option<u32>,
    ttl_12h_tokens: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
struct OutputTokensDetails {
    reasoning_tokens: Option<u32>,
}

/// What the provider's own tools did, beside `usage`.
#[derive(Debug, Default, Deserialize)]
pub struct ToolUsage {
    web_search: Option<WebSearchUsage>,
}

#[derive(Debug, Deserialize)]
struct WebSearchUsage {
    num_requests: Option<u32>,
}

/// Usage of an answer from `/responses`.
pub fn of_response(usage: ResponseUsage, tools: Option<ToolUsage>) -> Usage {
    let input = usage.input_tokens_details.unwrap_or_default();
    let written = input.cache_write_tokens_details.unwrap_or_default();
    let searches = tools.unwrap_or_default().web_search.and_then(|search| search.num_requests);
    Usage {
        input: usage.input_tokens,
        cache_read: input.cached_tokens,
        cache_write: input.cache_write_tokens,
        output: usage.output_tokens,
        reasoning: usage.output_tokens_details.unwrap_or_default().reasoning_tokens,
        details: details([
            ("ttl_30m_tokens", written.ttl_30m_tokens),
            ("ttl_12h_tokens", written.ttl_12h_tokens),
            ("web-searches", searches),
        ]),
    }
}

/// Those that count something: a zero costs nothing.
fn details<const N: usize>(counts: [(&str, Option<u32>); N]) -> Vec<(String, u32)> {
    let told = counts.into_iter().filter_map(|(name, count)| Some((name, count.filter(|count| *count > 0)?)));
    told.map(|(name, count)| (name.to_owned(), count)).collect()
}
