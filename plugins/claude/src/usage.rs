//! Tokens. Claude counts what came from its cache, and what went there, apart from `input_tokens`; the contract's `input` is all three.

use crate::serde_json;
use crate::wire::Fields;
use llm_gateway_adapter::types;
use serde::Deserialize;
use serde_json::value::RawValue;

/// `usage` of a message. In a stream it is told in pieces, each cumulative.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Usage {
    input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    cache_creation: Option<CacheCreation>,
    output_tokens: Option<u32>,
    output_tokens_details: Option<OutputTokensDetails>,
    server_tool_use: Option<Fields>,
    /// `service_tier`, `inference_geo`, `iterations` and what else comes.
    #[serde(flatten)]
    pub rest: Fields,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u32>,
    ephemeral_1h_input_tokens: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct OutputTokensDetails {
    thinking_tokens: Option<u32>,
}

impl Usage {
    /// Nothing if the provider's counts are of a shape that makes no sense.
    pub fn read(json: &RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }

    /// What is told later replaces what was told, field by field.
    pub fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation.take());
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details.take());
        self.server_tool_use = later.server_tool_use.or(self.server_tool_use.take());
        self.rest.extend(later.rest.into_iter().filter(|(_, value)| !value.is_null()));
    }

    pub fn canonical(&self) -> types::Usage {
        let cache_read = self.cache_read_input_tokens;
        let cache_write = self.cache_creation_input_tokens.or_else(|| self.cache_creation.as_ref()?.total());
        types::Usage {
            input: self
                .input_tokens
                .map(|tokens| tokens.saturating_add(cache_read.unwrap_or_default()).saturating_add(cache_write.unwrap_or_default())),
            cache_read,
            cache_write,
            output: self.output_tokens,
            reasoning: self.output_tokens_details.as_ref().and_then(|details| details.thinking_tokens),
            details: self.details(),
        }
    }

    fn details(&self) -> Vec<(String, u32)> {
        let one_hour = self.cache_creation.as_ref().and_then(|creation| creation.ephemeral_1h_input_tokens).filter(|tokens| *tokens > 0);
        let tools = self.server_tool_use.iter().flatten().filter_map(|(name, count)| {
            let count = count.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0)?;
            let name = match name.as_str() {
                "web_search_requests" => "web-searches",
                "code_execution_requests" => "code-runs",
                other => other,
            };
            Some((name.to_owned(), count))
        });
        one_hour.map(|tokens| ("cache-write-1h".to_owned(), tokens)).into_iter().chain(tools).collect()
    }
}

impl CacheCreation {
    fn total(&self) -> Option<u32> {
        match (self.ephemeral_5m_input_tokens, self.ephemeral_1h_input_tokens) {
            (None, None) => None,
            (short, long) => Some(short.unwrap_or_default().saturating_add(long.unwrap_or_default())),
        }
    }
}
