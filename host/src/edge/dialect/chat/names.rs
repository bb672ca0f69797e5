//! Paths in the canonical request, put into a Chat caller's words.

/// What the caller calls a field that an adapter names by its path in `chat-request`: `sampling.top-p` is `top_p`, `max-output` is
/// `max_completion_tokens`.
pub fn caller_parameter(path: &str) -> String {
    let path = path.replace('-', "_");
    let bare = ["sampling.", "extras."].iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or(&path);
    match bare {
        "max_output" => "max_completion_tokens".to_owned(),
        "choices" => "n".to_owned(),
        "reasoning" | "reasoning.effort" | "reasoning.enabled" | "reasoning.budget" | "reasoning.visible" => "reasoning_effort".to_owned(),
        "user" => "safety_identifier".to_owned(),
        other => other.replace(".parts[", ".content["),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths_become_the_callers_words() {
        for (path, word) in [
            ("sampling.top-p", "top_p"),
            ("sampling.seed", "seed"),
            ("max-output", "max_completion_tokens"),
            ("extras.verbosity", "verbosity"),
            ("messages[2].parts[0]", "messages[2].content[0]"),
            ("parallel-tool-calls", "parallel_tool_calls"),
        ] {
            assert_eq!(caller_parameter(path), word);
        }
    }
}
