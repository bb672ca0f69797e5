//! Counting a prompt: `POST /responses/input_tokens` (wire reference 1.11). What is counted is written by `responses_request`.

use crate::encoding::Encoding;
use crate::failure;
use crate::responses_request;
use crate::settings::EndpointSetting;
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::types::{ChatRequest, Failure, FailureKind, HttpRequest, HttpResponse};
use serde::Deserialize;

#[derive(Deserialize)]
struct InputTokens {
    input_tokens: u32,
}

/// # Errors
/// `unsupported` at a server that is set to have `/chat/completions` alone, and for what `/responses` takes in no form.
pub fn encode(request: &ChatRequest) -> Result<HttpRequest, Failure> {
    let encoding = Encoding::new(request)?;
    if encoding.settings.endpoint == EndpointSetting::Chat {
        let reason =
            "tokens are counted by /responses/input_tokens, and the setting `endpoint` says that the server has only /chat/completions";
        return Err(Failure::new(FailureKind::Unsupported, reason));
    }
    responses_request::encode_count(encoding)
}

/// # Errors
/// The provider's error, or `malformed`.
pub fn decode(response: &HttpResponse) -> Result<u32, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let body = serde_json::from_slice::<InputTokens>(&response.body);
    body.map(|count| count.input_tokens).map_err(|_| {
        let text = String::from_utf8_lossy(&response.body);
        failure::in_success(&text, &response.headers)
            .unwrap_or_else(|| Failure::malformed(unreadable_body(response.status, &response.body)))
    })
}
