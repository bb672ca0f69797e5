//! Custom tools: Mistral has only functions, so a tool whose argument is free text is sent as a function with one string.
//!
//! Owns both directions: `encode` wraps, and the names go through the request's `context`, so that the decoders know whose arguments to
//! unwrap. A grammar can't be enforced this way; it goes into the description, and the caller is told.

use llm_gateway_adapter::types::{CustomTool, Tool};
use serde::{Deserialize, Serialize};

/// Schema of the one argument.
pub const PARAMETERS: &str = r#"{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as free text"}},"required":["input"],"additionalProperties":false}"#;

#[derive(Serialize, Deserialize)]
struct Arguments<T> {
    input: T,
}

/// Free text as the function's arguments: `{"input":"ls -l"}`.
pub fn wrap(text: &str) -> String {
    serde_json::to_string(&Arguments { input: text }).unwrap_or_default()
}

/// The free text in the function's arguments. A model that did not keep to the schema is taken at its word.
pub fn unwrap(arguments: &str) -> String {
    serde_json::from_str::<Arguments<String>>(arguments).map_or_else(|_| arguments.to_owned(), |arguments| arguments.input)
}

/// The description, with the grammar where there is one.
pub fn description(tool: &CustomTool) -> Option<String> {
    let Some(grammar) = &tool.grammar else { return tool.description.clone() };
    let described = tool.description.as_deref().unwrap_or_default();
    Some(format!("{described}\n\nThe input must follow this {} grammar:\n{}", grammar.syntax, grammar.definition).trim_start().to_owned())
}

/// The names of a request's custom tools.
#[derive(Debug, Default, PartialEq)]
pub struct CustomTools(Vec<String>);

impl CustomTools {
    pub fn of(tools: &[Tool]) -> Self {
        Self(tools.iter().filter_map(|tool| if let Tool::Custom(custom) = tool { Some(custom.name.clone()) } else { None }).collect())
    }

    /// For `HttpRequest::context`; empty if there are none.
    pub fn to_context(&self) -> String {
        if self.0.is_empty() { String::new() } else { serde_json::to_string(&self.0).unwrap_or_default() }
    }

    pub fn from_context(context: &str) -> Self {
        Self(serde_json::from_str(context).unwrap_or_default())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|custom| custom == name)
    }
}
