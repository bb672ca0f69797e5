//! Paths in the canonical request, put into a Responses caller's words.

/// What the caller calls a field that an adapter names by its path in `chat-request`: `sampling.top-p` is `top_p`, `max-output` is
/// `max_output_tokens`. A path in `messages` is `input` alone: items were joined into messages, so its numbers are not the caller's.
pub fn caller_parameter(path: &str) -> String {
    let path = ["sampling.", "extras."].iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or(path);
    let (field, below) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    match field {
        "messages" => "input".to_owned(),
        "max-output" => "max_output_tokens".to_owned(),
        "response-format" => format!("text.format{below}"),
        "logprobs" => "top_logprobs".to_owned(),
        "user" => "safety_identifier".to_owned(),
        "choices" => "n".to_owned(),
        "reasoning" => match below {
            ".enabled" | ".budget" => "reasoning.effort".to_owned(),
            ".visible" => "reasoning.summary".to_owned(),
            below => format!("reasoning{below}"),
        },
        "tools" if below.ends_with("].cache") => format!("tools{below}_control"),
        field => format!("{}{}", field.replace('-', "_"), below.replace(".extras.", ".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths_become_the_callers_words() {
        for (path, word) in [
            ("sampling.top-p", "top_p"),
            ("max-output", "max_output_tokens"),
            ("parallel-tool-calls", "parallel_tool_calls"),
            ("tool-choice", "tool_choice"),
            ("tools[1].parameters.$ref", "tools[1].parameters.$ref"),
            ("tools[1].cache", "tools[1].cache_control"),
            ("tools[1].extras.defer_loading", "tools[1].defer_loading"),
            ("response-format.schema", "text.format.schema"),
            ("reasoning.budget", "reasoning.effort"),
            ("reasoning.visible", "reasoning.summary"),
            ("extras.truncation", "truncation"),
            ("extras.text.verbosity", "text.verbosity"),
            ("messages[2].parts[0].cache", "input"),
            ("user", "safety_identifier"),
        ] {
            assert_eq!(caller_parameter(path), word, "{path}");
        }
    }
}
