//! Paths in the canonical request, put into a Chat caller's words.

/// What the caller calls a field that an adapter names by its path in `chat-request`: `sampling.top-p` is `top_p`, `tools[1].parameters.$ref` is
/// `tools[1].function.parameters.$ref`. What is no such path is a provider's own word, and stays.
pub fn caller_parameter(path: &str) -> String {
    let (field, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    match (field, rest.strip_prefix('.')) {
        ("sampling", Some(name)) => name.replace('-', "_"),
        ("extras", Some(name)) => name.to_owned(),
        ("max-output", _) => "max_completion_tokens".to_owned(),
        ("choices", None) => "n".to_owned(),
        ("reasoning", _) => "reasoning_effort".to_owned(),
        ("user", None) => "safety_identifier".to_owned(),
        ("tool-choice", _) => "tool_choice".to_owned(),
        ("parallel-tool-calls", _) => "parallel_tool_calls".to_owned(),
        ("response-format", None) => "response_format".to_owned(),
        ("response-format", Some(field)) => format!("response_format.json_schema.{field}"),
        ("messages", _) => format!("messages{}", of_message(rest)),
        ("tools", _) => format!("tools{}", of_tool(rest)),
        _ => path.to_owned(),
    }
}

/// The index, and what follows it.
fn indexed(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(']').map_or(rest.len(), |at| at + 1))
}

fn of_message(rest: &str) -> String {
    let (index, field) = indexed(rest);
    let Some(part) = field.strip_prefix(".parts") else {
        return format!("{index}{}", without_extras(field));
    };
    let (part, field) = indexed(part);
    match field {
        // A tool's result is a message of its own.
        _ if field.starts_with(".content[") => format!("{index}{field}"),
        ".cache" => format!("{index}.content{part}.prompt_cache_breakpoint"),
        _ => format!("{index}.content{part}{}", without_extras(field)),
    }
}

fn of_tool(rest: &str) -> String {
    let (index, field) = indexed(rest);
    match field {
        "" => index.to_owned(),
        ".cache" => format!("{index}.cache_control"),
        _ if field.starts_with(".grammar") => format!("{index}.custom.format{field}"),
        _ => format!("{index}.function{}", without_extras(field)),
    }
}

fn without_extras(field: &str) -> &str {
    field.strip_prefix(".extras").filter(|rest| rest.starts_with('.')).unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths_become_the_callers_words() {
        for (path, word) in [
            ("sampling.top-p", "top_p"),
            ("sampling.seed", "seed"),
            ("sampling.logit-bias", "logit_bias"),
            ("max-output", "max_completion_tokens"),
            ("choices", "n"),
            ("stop", "stop"),
            ("logprobs", "logprobs"),
            ("reasoning", "reasoning_effort"),
            ("reasoning.budget", "reasoning_effort"),
            ("user", "safety_identifier"),
            ("metadata", "metadata"),
            ("extras.verbosity", "verbosity"),
            ("extras.my-field.a", "my-field.a"),
            ("tool-choice", "tool_choice"),
            ("tool-choice.only", "tool_choice"),
            ("parallel-tool-calls", "parallel_tool_calls"),
            ("response-format", "response_format"),
            ("response-format.schema.properties.a-b", "response_format.json_schema.schema.properties.a-b"),
            ("messages", "messages"),
            ("messages[2]", "messages[2]"),
            ("messages[2].name", "messages[2].name"),
            ("messages[2].extras.weight", "messages[2].weight"),
            ("messages[2].parts[0]", "messages[2].content[0]"),
            ("messages[2].parts[0].extras.caller", "messages[2].content[0].caller"),
            ("messages[2].parts[0].cache", "messages[2].content[0].prompt_cache_breakpoint"),
            ("messages[2].parts[0].content[1]", "messages[2].content[1]"),
            ("tools", "tools"),
            ("tools[1]", "tools[1]"),
            ("tools[1].parameters.$ref", "tools[1].function.parameters.$ref"),
            ("tools[1].strict", "tools[1].function.strict"),
            ("tools[1].extras.x", "tools[1].function.x"),
            ("tools[1].grammar", "tools[1].custom.format.grammar"),
            ("tools[1].cache", "tools[1].cache_control"),
            ("generationConfig.top-k", "generationConfig.top-k"),
            ("", ""),
        ] {
            assert_eq!(caller_parameter(path), word, "{path}");
        }
    }
}
