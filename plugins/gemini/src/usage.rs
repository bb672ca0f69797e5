//! `usageMetadata` as the contract's five counts.
//!
//! Gemini counts thoughts beside the answer, and what its own tools read beside the prompt; the contract has both inside.

use llm_gateway_adapter::types::Usage;
use serde::Deserialize;

/// Cumulative in a stream: the last one counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageMetadata {
    prompt_token_count: Option<i64>,
    /// Of the prompt.
    cached_content_token_count: Option<i64>,
    candidates_token_count: Option<i64>,
    thoughts_token_count: Option<i64>,
    tool_use_prompt_token_count: Option<i64>,
    total_token_count: Option<i64>,
    prompt_tokens_details: Option<Vec<ModalityTokenCount>>,
    candidates_tokens_details: Option<Vec<ModalityTokenCount>>,
    pub service_tier: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModalityTokenCount {
    modality: Option<String>,
    token_count: Option<i64>,
}

impl UsageMetadata {
    /// Absent if it counts nothing.
    pub fn counts(&self) -> Option<Usage> {
        let [prompt, tools] = [self.prompt_token_count, self.tool_use_prompt_token_count].map(count);
        let [candidates, thoughts] = [self.candidates_token_count, self.thoughts_token_count].map(count);
        let usage = Usage {
            input: prompt.map(|prompt| prompt.saturating_add(tools.unwrap_or_default())),
            cache_read: count(self.cached_content_token_count),
            cache_write: None,
            output: candidates.or(thoughts).map(|_| candidates.unwrap_or_default().saturating_add(thoughts.unwrap_or_default())),
            reasoning: thoughts,
            details: self.details(),
        };
        let silent = usage.input.or(usage.cache_read).or(usage.output).is_none() && usage.details.is_empty();
        (!silent).then_some(usage)
    }

    fn details(&self) -> Vec<(String, u32)> {
        let mut details = Vec::new();
        by_modality("input", self.prompt_tokens_details.as_deref(), &mut details);
        by_modality("output", self.candidates_tokens_details.as_deref(), &mut details);
        let mut add = |name: &str, value| details.extend(count(value).map(|count| (name.to_owned(), count)));
        add("toolUsePromptTokenCount", self.tool_use_prompt_token_count);
        if self.prompt_token_count.is_none() {
            // Seen with media by URL: without the prompt's count, the total is all that tells of the input.
            add("totalTokenCount", self.total_token_count);
        }
        details
    }
}

fn by_modality(direction: &str, counts: Option<&[ModalityTokenCount]>, details: &mut Vec<(String, u32)>) {
    for modality in counts.unwrap_or_default() {
        match (modality.modality.as_deref(), count(modality.token_count)) {
            (None | Some("TEXT" | "MODALITY_UNSPECIFIED"), _) | (_, None) => {}
            (Some(name), Some(tokens)) => details.push((format!("{direction}-{}", name.to_ascii_lowercase()), tokens)),
        }
    }
}

fn count(value: Option<i64>) -> Option<u32> {
    u32::try_from(value?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use llm_gateway_adapter::serde_json::{self, json};

    fn counts(value: serde_json::Value) -> Option<Usage> {
        serde_json::from_value::<UsageMetadata>(value).unwrap().counts()
    }

    #[test]
    fn thoughts_are_output_and_tool_reading_is_input() {
        let usage = counts(json!({"promptTokenCount": 13, "cachedContentTokenCount": 5, "candidatesTokenCount": 148,
            "thoughtsTokenCount": 200, "toolUsePromptTokenCount": 253, "totalTokenCount": 614,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 10}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 100}]}))
        .unwrap();
        assert_eq!((usage.input, usage.cache_read, usage.cache_write), (Some(266), Some(5), None));
        assert_eq!((usage.output, usage.reasoning), (Some(348), Some(200)));
        let details = [("input-audio", 10), ("output-image", 100), ("toolUsePromptTokenCount", 253)];
        assert_eq!(usage.details, details.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn what_is_not_said_stays_absent() {
        let usage = counts(json!({"promptTokenCount": 9, "totalTokenCount": 9})).unwrap();
        assert_eq!((usage.input, usage.output, usage.reasoning, usage.cache_read), (Some(9), None, None, None));
        let usage = counts(json!({"candidatesTokenCount": 1, "thoughtsTokenCount": 153, "totalTokenCount": 450})).unwrap();
        assert_eq!((usage.input, usage.output), (None, Some(154)));
        assert_eq!(usage.details, [("totalTokenCount".to_owned(), 450)]);
        assert_eq!(counts(json!({"trafficType": "ON_DEMAND"})), None);
        assert_eq!(counts(json!({"promptTokenCount": -1})), None);
    }
}
