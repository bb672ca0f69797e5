//! What the decoder needs to know of the request: which functions stand for custom tools.
//!
//! Gemini has no tools with free text. One is sent as a function with a single string, [`CUSTOM_ARGUMENT`]; its calls are turned back.

use llm_gateway_adapter::serde_json;
use llm_gateway_adapter::types::{ChatRequest, Tool};
use serde::{Deserialize, Serialize};

/// The one argument of a function that stands for a custom tool.
pub const CUSTOM_ARGUMENT: &str = "input";

/// As JSON it is the contract's `context`; empty when there is nothing to know.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Context {
    #[serde(default)]
    custom_tools: Vec<String>,
}

impl Context {
    pub fn of(request: &ChatRequest) -> Self {
        let custom_tools = request.tools.iter().filter_map(|tool| match tool {
            Tool::Custom(custom) => Some(custom.name.clone()),
            Tool::Function(_) | Tool::Other(_) => None,
        });
        Self { custom_tools: custom_tools.collect() }
    }

    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub fn to_text(&self) -> String {
        if self.custom_tools.is_empty() { String::new() } else { serde_json::to_string(self).unwrap_or_default() }
    }

    pub fn is_custom(&self, tool: &str) -> bool {
        self.custom_tools.iter().any(|name| name == tool)
    }
}
