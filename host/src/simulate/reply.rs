//! Decides what is said: the content, why it ends, and what it costs. Pure; knows no wire format.
//!
//! The one surprise: thinking shares the output limit, as it does at every provider, so a small limit can leave no room for an answer.

use super::faults::Shaping;
use super::prompt::{Format, Prompt, Thinking, ToolChoice};
use super::{schema, text};
use serde_json::{Map, Value, json};

const NO_LIMIT: u64 = u64::MAX;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub thinking: Option<String>,
    pub content: Content,
    pub finish: Finish,
    pub usage: Usage,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Text(String),
    Calls(Vec<ToolCall>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolCall {
    pub name: String,
    pub arguments: Map<String, Value>,
}

impl ToolCall {
    pub fn arguments_json(&self) -> String {
        serde_json::to_string(&self.arguments).unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Finish {
    Stop,
    /// At that stop sequence, which is not part of the text.
    StopSequence(String),
    Length,
    ToolCalls,
    /// The provider's filter blocked the answer.
    Filtered,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// All of it, cached or not.
    pub input: u64,
    /// Of `input`, read from the cache.
    pub cached: u64,
    /// Of `input`, written to the cache because the request marks it; only Anthropic tells.
    pub written: u64,
    /// All of it, thinking included.
    pub output: u64,
    pub thinking: u64,
}

impl Usage {
    pub fn total(&self) -> u64 {
        self.input + self.output
    }
}

pub(super) fn compose(provider: &str, prompt: &Prompt, shaping: &Shaping) -> Reply {
    // Who asks for a length gets it, whatever limit an adapter puts in on its own.
    let has_wanted_length = shaping.text_bytes.is_some() || shaping.chunks.is_some();
    let limit = prompt.max_output.filter(|_| !has_wanted_length).unwrap_or(NO_LIMIT);
    let thinking = (prompt.thinking == Thinking::On).then(|| text::within(&text::thinking(prompt), limit).to_owned());
    let thinking_tokens = thinking.as_deref().map_or(0, |thinking| text::tokens(thinking.len()));
    let (content, finish) = if shaping.blocked {
        (Content::Text(String::new()), Finish::Filtered)
    } else {
        say(provider, prompt, shaping, limit - thinking_tokens)
    };
    let input = prompt.input_tokens();
    let cached = shaping.cached.unwrap_or(0).min(input);
    let written = prompt.marked.saturating_sub(cached);
    let output = thinking_tokens + content_tokens(&content);
    Reply { thinking, content, finish, usage: Usage { input, cached, written, output, thinking: thinking_tokens } }
}

fn say(provider: &str, prompt: &Prompt, shaping: &Shaping, left: u64) -> (Content, Finish) {
    let calls = calls(prompt);
    if calls.is_empty() {
        return cut(words(provider, prompt, shaping), &prompt.stop, left);
    }
    let content = Content::Calls(calls);
    if content_tokens(&content) > left {
        return (Content::Text(String::new()), Finish::Length);
    }
    (content, Finish::ToolCalls)
}

fn words(provider: &str, prompt: &Prompt, shaping: &Shaping) -> String {
    match &prompt.format {
        Format::Text => text::answer(provider, prompt, shaping),
        Format::Json => json!({"simulated": true, "provider": provider, "model": prompt.model, "you_said": prompt.last_user}).to_string(),
        Format::Schema(wanted) => schema::sample(wanted, "").to_string(),
    }
}

/// Ends the text at the first stop sequence or at the limit, whichever comes first.
fn cut(mut text: String, stops: &[String], left: u64) -> (Content, Finish) {
    let stop =
        stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min_by_key(|(at, _)| *at);
    let mut finish = Finish::Stop;
    if let Some((at, stop)) = stop {
        text.truncate(at);
        finish = Finish::StopSequence(stop.clone());
    }
    let kept = text::within(&text, left).len();
    if kept < text.len() {
        text.truncate(kept);
        finish = Finish::Length;
    }
    (Content::Text(text), finish)
}

/// The calls that this prompt provokes. After tool results there are none, so that an agent's loop ends.
fn calls(prompt: &Prompt) -> Vec<ToolCall> {
    if !prompt.tool_results.is_empty() {
        return Vec::new();
    }
    let asked = prompt.last_user.to_lowercase();
    let count = if asked.contains("two tools") { 2 } else { 1 }.min(prompt.max_calls.unwrap_or(usize::MAX));
    let first = prompt.tools.iter().take(count);
    let chosen: Vec<_> = match &prompt.choice {
        ToolChoice::Never => Vec::new(),
        ToolChoice::Named(name) => prompt.tools.iter().filter(|tool| &tool.name == name).take(1).collect(),
        ToolChoice::Required => first.collect(),
        ToolChoice::Auto if asked.contains("tool") => first.collect(),
        ToolChoice::Auto => Vec::new(),
    };
    chosen.into_iter().map(|tool| ToolCall { name: tool.name.clone(), arguments: schema::sample_object(&tool.schema) }).collect()
}

fn content_tokens(content: &Content) -> u64 {
    match content {
        Content::Text(text) => text::tokens(text.len()),
        Content::Calls(calls) => calls.iter().map(|call| text::tokens(call.name.len() + call.arguments_json().len())).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(user: &str) -> Prompt {
        let mut prompt = Prompt { model: "m".to_owned(), ..Prompt::default() };
        prompt.begin_user();
        prompt.user_text(user);
        prompt
    }

    fn with_tools(user: &str) -> Prompt {
        let mut prompt = prompt(user);
        for name in ["weather", "clock", "mail"] {
            prompt.tool(name, "", Some(&json!({"type":"object","properties":{"city":{"type":"string"}}})));
        }
        prompt
    }

    fn called(prompt: &Prompt) -> Vec<String> {
        match compose("openai", prompt, &Shaping::default()).content {
            Content::Calls(calls) => calls.into_iter().map(|call| call.name).collect(),
            Content::Text(_) => Vec::new(),
        }
    }

    #[test]
    fn tools_are_called_when_the_text_or_the_choice_says_so() {
        assert_eq!(called(&with_tools("hello")), [""; 0]);
        assert_eq!(called(&with_tools("use a Tool")), ["weather"]);
        assert_eq!(called(&with_tools("use two tools")), ["weather", "clock"]);
        assert_eq!(called(&Prompt { max_calls: Some(1), ..with_tools("use two tools") }), ["weather"]);
        assert_eq!(called(&Prompt { choice: ToolChoice::Required, ..with_tools("hello") }), ["weather"]);
        assert_eq!(called(&Prompt { choice: ToolChoice::Named("mail".to_owned()), ..with_tools("hello") }), ["mail"]);
        assert_eq!(called(&Prompt { choice: ToolChoice::Never, ..with_tools("use a tool") }), [""; 0]);
        assert_eq!(called(&Prompt { tool_results: vec!["4 C".to_owned()], ..with_tools("use a tool") }), [""; 0]);
    }

    #[test]
    fn a_limit_cuts_the_text_and_is_met() {
        let reply = compose("openai", &Prompt { max_output: Some(5), ..prompt("hello") }, &Shaping::default());
        assert_eq!((reply.content, reply.finish), (Content::Text("[simulated openai/m]".to_owned()), Finish::Length));
        assert_eq!(reply.usage.output, 5);
    }

    #[test]
    fn the_first_stop_sequence_cuts_and_is_named() {
        let stop = vec!["said".to_owned(), "You".to_owned()];
        let reply = compose("openai", &Prompt { stop, ..prompt("hello") }, &Shaping::default());
        assert_eq!(reply.content, Content::Text("[simulated openai/m] ".to_owned()));
        assert_eq!(reply.finish, Finish::StopSequence("You".to_owned()));
    }

    #[test]
    fn thinking_uses_up_the_limit() {
        let reply = compose("openai", &Prompt { max_output: Some(3), thinking: Thinking::On, ..prompt("hello") }, &Shaping::default());
        assert_eq!((reply.content, reply.finish), (Content::Text(String::new()), Finish::Length));
        assert_eq!((reply.usage.output, reply.usage.thinking), (3, 3));
    }
}
