//! Tokens in this dialect's words: `input_tokens` is what neither came from the provider's cache nor went there.

use crate::contract::Usage;
use crate::domain::estimate::is_estimated;
use serde_json::{Map, Value, json};

/// Fields of an answer that stand in its usage; adapters tell them with the answer's others.
const FIELDS: [&str; 5] = ["service_tier", "speed", "inference_geo", "iterations", "fallback_credit"];

/// What the dialect calls a count of the contract's `details`, in `server_tool_use`.
const SERVER_TOOLS: [(&str, &str); 3] =
    [("web-searches", "web_search_requests"), ("web_fetch_requests", "web_fetch_requests"), ("code-runs", "code_execution_requests")];

/// Moves those of an answer's fields that stand in its usage out of it.
pub fn take_fields(answer: &mut Map<String, Value>) -> Map<String, Value> {
    FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), answer.shift_remove(*name)?))).collect()
}

/// The dialect's types demand numbers: a count that the provider did not give is 0 here. The log keeps the difference.
pub fn body(usage: Option<&Usage>, further: Map<String, Value>) -> Value {
    const UNSAID: &Usage = &Usage { input: None, cache_read: None, cache_write: None, output: None, reasoning: None, details: Vec::new() };
    let usage = usage.unwrap_or(UNSAID);
    let (read, written) = (usage.cache_read.unwrap_or(0), usage.cache_write.unwrap_or(0));
    let mut body = json!({
        "input_tokens": usage.input.unwrap_or(0).saturating_sub(read).saturating_sub(written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output.unwrap_or(0),
    });
    if let Some(for_an_hour) = count(usage, "cache-write-1h") {
        body["cache_creation"] = json!({
            "ephemeral_5m_input_tokens": written.saturating_sub(for_an_hour),
            "ephemeral_1h_input_tokens": for_an_hour,
        });
    }
    if let Some(thinking) = usage.reasoning {
        body["output_tokens_details"] = json!({ "thinking_tokens": thinking });
    }
    for (name, word) in SERVER_TOOLS {
        if let Some(count) = count(usage, name) {
            body["server_tool_use"][word] = json!(count);
        }
    }
    if is_estimated(usage) {
        body["estimated"] = json!(true);
    }
    for (name, value) in further {
        body[name] = value;
    }
    body
}

fn count(usage: &Usage, name: &str) -> Option<u32> {
    usage.details.iter().find(|(each, _)| each == name).map(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(details: &[(&str, u32)]) -> Usage {
        Usage {
            input: Some(100),
            cache_read: Some(60),
            cache_write: Some(30),
            output: Some(7),
            reasoning: Some(5),
            details: details.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    #[test]
    fn input_excludes_the_cache() {
        assert_eq!(
            body(Some(&usage(&[("cache-write-1h", 10), ("web-searches", 2)])), Map::new()),
            json!({
                "input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 60, "output_tokens": 7,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
                "output_tokens_details": {"thinking_tokens": 5}, "server_tool_use": {"web_search_requests": 2},
            })
        );
    }

    #[test]
    fn every_count_is_a_number_even_if_nothing_is_known() {
        let nothing = json!({"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0});
        assert_eq!(body(None, Map::new()), nothing);
    }

    #[test]
    fn an_estimate_says_so() {
        assert_eq!(body(Some(&usage(&[("estimated", 1)])), Map::new())["estimated"], json!(true));
        assert_eq!(body(Some(&usage(&[])), Map::new()).get("estimated"), None);
    }

    #[test]
    fn the_providers_own_fields_of_usage_stand_there() {
        let mut fields = Map::from_iter([("service_tier".to_owned(), json!("priority")), ("container".to_owned(), json!({"id": "c"}))]);
        let taken = take_fields(&mut fields);
        assert_eq!(body(None, taken)["service_tier"], json!("priority"));
        assert_eq!(Value::Object(fields), json!({"container": {"id": "c"}}));
    }
}
