//! Counting a prompt: `POST /messages/count_tokens` (wire reference 4.9). What is counted is written by `request`.

use crate::{failure, request, serde_json};
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::types::{ChatRequest, Failure, HttpRequest, HttpResponse};
use serde::Deserialize;

#[derive(Deserialize)]
struct MessageTokensCount {
    input_tokens: u32,
}

/// # Errors
/// Those of a chat request's `encode`.
pub fn encode(request: &ChatRequest) -> Result<HttpRequest, Failure> {
    request::encode_count(request)
}

/// # Errors
/// The provider's failure, or `malformed`.
pub fn decode(response: &HttpResponse) -> Result<u32, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let body = serde_json::from_slice::<MessageTokensCount>(&response.body);
    body.map(|count| count.input_tokens).map_err(|_| {
        failure::in_success(&response.body).unwrap_or_else(|| Failure::malformed(unreadable_body(response.status, &response.body)))
    })
}
