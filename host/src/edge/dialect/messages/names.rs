//! Paths in the canonical request, put into a Messages caller's words.

/// What the caller calls a field that begins with a canonical path. The first that fits counts.
const NAMES: [(&str, &str); 14] = [
    ("sampling.", ""),
    ("extras.", ""),
    ("max-output", "max_tokens"),
    ("stop", "stop_sequences"),
    ("reasoning.effort", "output_config.effort"),
    ("reasoning.budget", "thinking.budget_tokens"),
    ("reasoning.visible", "thinking.display"),
    ("reasoning.enabled", "thinking.type"),
    ("reasoning", "thinking"),
    ("response-format", "output_config.format"),
    ("parallel-tool-calls", "tool_choice.disable_parallel_tool_use"),
    ("tool-choice.only", "tool_choice.name"),
    ("tool-choice.mode", "tool_choice.type"),
    ("user", "metadata.user_id"),
];

/// What the caller calls a field that an adapter names by its path in `chat-request`: `max-output` is `max_tokens`, `sampling.top-p` is `top_p`.
/// Messages are split on the way in, so that their numbers say nothing without the request's [`Places`].
pub fn caller_parameter(path: &str) -> String {
    let known = NAMES.iter().find_map(|(canonical, own)| {
        let rest = path.strip_prefix(canonical)?;
        let ends = canonical.ends_with('.') || rest.is_empty() || rest.starts_with(['.', '[']);
        ends.then(|| format!("{own}{rest}"))
    });
    let path = known.unwrap_or_else(|| path.to_owned());
    if path.starts_with("messages[") {
        return "messages".to_owned();
    }
    path.replace('-', "_").replace(".parameters", ".input_schema").replace(".cache", ".cache_control")
}

/// Where the canonical messages of one request stood in the caller's.
#[derive(Debug, Default)]
pub struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    /// Absent: in `system`.
    message: Option<usize>,
    /// The block that each part was.
    blocks: Vec<usize>,
}

impl Places {
    /// That of the next canonical message.
    pub fn add(&mut self, message: Option<usize>, blocks: Vec<usize>) {
        self.0.push(Place { message, blocks });
    }

    /// As [`caller_parameter`], with the caller's own numbers of messages and blocks: `messages[2].parts[0].cache` is
    /// `messages[1].content[3].cache_control`.
    pub fn parameter(&self, path: &str) -> String {
        self.in_conversation(path).unwrap_or_else(|| caller_parameter(path))
    }

    fn in_conversation(&self, path: &str) -> Option<String> {
        let (message, rest) = numbered(path, "messages[")?;
        let place = self.0.get(message)?;
        let (block, rest) = match numbered(rest, ".parts[") {
            Some((part, rest)) => (format!("[{}]", place.blocks.get(part)?), rest),
            None => (String::new(), rest),
        };
        let rest = rest.replacen(".extras.", ".", 1).replacen(".cache", ".cache_control", 1).replacen(".arguments", ".input", 1);
        Some(match (place.message, block.as_str()) {
            (None, block) => format!("system{block}{rest}"),
            (Some(message), "") => format!("messages[{message}]{rest}"),
            (Some(message), block) => format!("messages[{message}].content{block}{rest}"),
        })
    }
}

/// The number behind a beginning, and what follows its bracket.
fn numbered<'a>(path: &'a str, beginning: &str) -> Option<(usize, &'a str)> {
    let (number, rest) = path.strip_prefix(beginning)?.split_once(']')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths_become_the_callers_words() {
        for (path, word) in [
            ("sampling.top-p", "top_p"),
            ("max-output", "max_tokens"),
            ("stop[1]", "stop_sequences[1]"),
            ("extras.mcp_servers", "mcp_servers"),
            ("reasoning.effort", "output_config.effort"),
            ("reasoning", "thinking"),
            ("response-format.schema.properties.a", "output_config.format.schema.properties.a"),
            ("tool-choice", "tool_choice"),
            ("parallel-tool-calls", "tool_choice.disable_parallel_tool_use"),
            ("tools[1].parameters.$ref", "tools[1].input_schema.$ref"),
            ("user", "metadata.user_id"),
            ("messages[2].parts[0]", "messages"),
        ] {
            assert_eq!(caller_parameter(path), word, "{path}");
        }
    }

    #[test]
    fn a_place_in_the_conversation_is_named_as_the_caller_numbered_it() {
        let mut places = Places::default();
        places.add(None, vec![0]);
        places.add(Some(0), vec![0]);
        places.add(Some(1), vec![1, 2]);
        places.add(Some(1), vec![3]);
        for (path, word) in [
            ("messages[0].parts[0].cache", "system[0].cache_control"),
            ("messages[2].parts[1]", "messages[1].content[2]"),
            ("messages[3].parts[0].extras.context", "messages[1].content[3].context"),
            ("messages[3].parts[0].arguments", "messages[1].content[3].input"),
            ("messages[3].role", "messages[1].role"),
            ("messages[4].parts[0]", "messages"),
            ("messages[3].parts[9]", "messages"),
            ("messages", "messages"),
            ("max-output", "max_tokens"),
        ] {
            assert_eq!(places.parameter(path), word, "{path}");
        }
    }
}
