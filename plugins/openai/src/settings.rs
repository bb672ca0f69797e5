//! What an operator can set, for servers that speak OpenAI's format but differ in details.

use llm_gateway_adapter::settings::get;
use llm_gateway_adapter::types::{Failure, Setting, SettingInfo};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointSetting {
    Auto,
    Chat,
    Responses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokensField {
    MaxCompletionTokens,
    MaxTokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeveloperRole {
    Developer,
    System,
}

/// The field of an assistant message in which earlier reasoning is sent back on the chat endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningField {
    None,
    ReasoningContent,
    Reasoning,
}

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub endpoint: EndpointSetting,
    pub max_tokens_field: MaxTokensField,
    pub developer_role: DeveloperRole,
    pub reasoning_field: ReasoningField,
}

impl Settings {
    /// # Errors
    /// A value that the setting does not have.
    pub fn read(settings: &[Setting]) -> Result<Self, Failure> {
        Ok(Self {
            endpoint: match get(settings, "endpoint") {
                None | Some("auto") => EndpointSetting::Auto,
                Some("chat") => EndpointSetting::Chat,
                Some("responses") => EndpointSetting::Responses,
                Some(value) => return Err(wrong("endpoint", value, "auto, chat or responses")),
            },
            max_tokens_field: match get(settings, "max-tokens-field") {
                None | Some("max_completion_tokens") => MaxTokensField::MaxCompletionTokens,
                Some("max_tokens") => MaxTokensField::MaxTokens,
                Some(value) => return Err(wrong("max-tokens-field", value, "max_completion_tokens or max_tokens")),
            },
            developer_role: match get(settings, "developer-role") {
                None | Some("developer") => DeveloperRole::Developer,
                Some("system") => DeveloperRole::System,
                Some(value) => return Err(wrong("developer-role", value, "developer or system")),
            },
            reasoning_field: match get(settings, "reasoning-field") {
                None | Some("none") => ReasoningField::None,
                Some("reasoning_content") => ReasoningField::ReasoningContent,
                Some("reasoning") => ReasoningField::Reasoning,
                Some(value) => return Err(wrong("reasoning-field", value, "none, reasoning_content or reasoning")),
            },
        })
    }
}

fn wrong(name: &str, value: &str, known: &str) -> Failure {
    Failure::invalid(Some(&format!("settings.{name}")), format!("the setting `{name}` is `{value}`; it can be {known}"))
}

/// For `describe`.
pub fn all() -> Vec<SettingInfo> {
    let about = |name: &str, description: &str| SettingInfo { name: name.to_owned(), description: description.to_owned() };
    vec![
        about(
            "endpoint",
            "The endpoint for chat: `auto` (by model and request, the default), `chat` (/chat/completions) or `responses` (/responses). \
             Set `chat` for servers that have only that one.",
        ),
        about(
            "max-tokens-field",
            "The field for the output limit on /chat/completions: `max_completion_tokens` (the default) or `max_tokens` (older compatible \
             servers).",
        ),
        about(
            "developer-role",
            "The role that developer messages are sent with: `developer` (the default) or `system` (compatible servers, whose chat \
             templates seldom know the other).",
        ),
        about(
            "reasoning-field",
            "The field in which the server's own earlier reasoning is sent back on /chat/completions: `none` (the default), \
             `reasoning_content` or `reasoning`.",
        ),
    ]
}
