//! Counting a prompt: `:countTokens` (wire reference 2.9). What is counted is written by `request`.

use crate::failure;
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::serde_json;
use llm_gateway_adapter::types::{Failure, HttpResponse};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CountTokensResponse {
    total_tokens: u32,
}

/// # Errors
/// The provider's, or `malformed`.
pub fn decode(response: &HttpResponse) -> Result<u32, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let body = serde_json::from_slice::<CountTokensResponse>(&response.body);
    body.map(|count| count.total_tokens).map_err(|_| {
        let text = String::from_utf8_lossy(&response.body);
        failure::of_text(&text).unwrap_or_else(|| Failure::malformed(unreadable_body(response.status, &response.body)))
    })
}
