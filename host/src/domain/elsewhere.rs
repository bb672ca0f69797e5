//! Whether a provider is told to look elsewhere for an answer: in the web, on somebody's server, in what it keeps. Nobody here knows what it finds there, or
//! how much.

use crate::contract::{ChatRequest, Native, Tool};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashMap;

/// Fields without a name of our own, of any dialect.
const FIELDS: [&str; 9] = [
    "web_search_options",
    "mcp_servers",
    "container",
    "tools",
    "previous_response_id",
    "conversation",
    "prompt",
    "cachedContent",
    "cached_content",
];
/// How the kinds of tools begin that providers only describe to their models: the caller runs them, as it does functions.
const RUN_BY_CALLERS: [&str; 6] = ["bash_", "text_editor_", "computer_", "memory_", "local_shell", "apply_patch"];

pub fn looks_elsewhere(request: &ChatRequest) -> bool {
    request.tools.iter().any(is_run_by_the_provider) || request.extras.iter().any(has_such_a_field)
}

fn is_run_by_the_provider(tool: &Tool) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    let Tool::Other(native) = tool else { return false };
    let kind = serde_json::from_str::<Kind>(&native.value).map(|kind| kind.r#type).unwrap_or_default();
    !RUN_BY_CALLERS.iter().any(|known| kind.starts_with(known))
}

fn has_such_a_field(extras: &Native) -> bool {
    let fields = serde_json::from_str::<HashMap<String, IgnoredAny>>(&extras.value).unwrap_or_default();
    FIELDS.iter().any(|field| fields.contains_key(*field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chat_request;

    fn native(value: &str) -> Native {
        Native { dialect: "d".into(), value: value.into() }
    }

    #[test]
    fn tools_that_the_provider_runs_are_told_from_those_that_callers_run() {
        for (tool, elsewhere) in [
            (r#"{"type":"web_search_20250305","name":"web_search","max_uses":5}"#, true),
            (r#"{"googleSearch":{}}"#, true),
            (r#"{"type":"mcp"}"#, true),
            (r#"{"type":"text_editor_20250728","name":"str_replace_based_edit_tool"}"#, false),
        ] {
            let mut request = chat_request("m".into(), Vec::new());
            request.tools.push(Tool::Other(native(tool)));
            assert_eq!(looks_elsewhere(&request), elsewhere, "{tool}");
        }
    }

    #[test]
    fn fields_can_say_so_too() {
        for (fields, elsewhere) in [(r#"{"mcp_servers":[]}"#, true), (r#"{"cachedContent":"c"}"#, true), (r#"{"verbosity":"low"}"#, false)]
        {
            let mut request = chat_request("m".into(), Vec::new());
            request.extras.push(native(fields));
            assert_eq!(looks_elsewhere(&request), elsewhere, "{fields}");
        }
    }
}
