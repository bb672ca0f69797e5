//! What a request asks, in words that all four wire formats share.
//!
//! Owns: the small part of a request that decides the answer. Not here: reading a wire format or checking it; each provider's module does
//! that and fills a `Prompt`.

use super::text;
use serde_json::Value;

/// For an image or a page, whatever its size: what Gemini charges for a small one.
const MEDIA_TOKENS: u64 = 258;
/// For the marks around a message.
const MESSAGE_TOKENS: u64 = 3;

#[derive(Debug, Default)]
pub(super) struct Prompt {
    pub model: String,
    /// All text of the last message that the user wrote.
    pub last_user: String,
    /// Of the tools called last, if the conversation ends with them.
    pub tool_results: Vec<String>,
    pub tools: Vec<Tool>,
    pub choice: ToolChoice,
    /// In one answer.
    pub max_calls: Option<usize>,
    /// In the user's last message.
    pub media: Vec<Media>,
    pub max_output: Option<u64>,
    pub stop: Vec<String>,
    pub format: Format,
    /// Alternatives for each token, where log probabilities are asked for.
    pub logprobs: Option<usize>,
    pub thinking: Thinking,
    /// Alternative answers asked for; 0 and 1 are one.
    pub alternatives: usize,
    /// Bytes of text in the whole request.
    pub text_bytes: usize,
    pub messages: u64,
    pub media_count: u64,
    /// Tokens up to the last place that the request marks for the cache.
    pub marked: u64,
}

#[derive(Debug)]
pub(super) struct Tool {
    pub name: String,
    pub schema: Value,
}

#[derive(Debug, Default, PartialEq)]
pub(super) enum ToolChoice {
    #[default]
    Auto,
    Never,
    Required,
    Named(String),
}

#[derive(Debug, Clone)]
pub(super) struct Media {
    /// With its article: `an image`.
    pub kind: &'static str,
    /// Absent for media that the request only refers to.
    pub bytes: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) enum Format {
    #[default]
    Text,
    Json,
    Schema(Value),
}

#[derive(Debug, Default, PartialEq)]
pub(super) enum Thinking {
    #[default]
    Off,
    On,
}

impl Media {
    pub fn inline(kind: &'static str, base64: &str) -> Self {
        let data = base64.trim_end_matches('=');
        Self { kind, bytes: Some(data.len() * 3 / 4) }
    }

    /// A `data:` URL, or a reference to somewhere else.
    pub fn at_url(kind: &'static str, url: &str) -> Self {
        match url.strip_prefix("data:").and_then(|rest| rest.split_once(',')) {
            Some((_, data)) => Self::inline(kind, data),
            None => Self { kind, bytes: None },
        }
    }
}

impl Prompt {
    pub fn input_tokens(&self) -> u64 {
        text::tokens(self.text_bytes) + self.messages * MESSAGE_TOKENS + self.media_count * MEDIA_TOKENS
    }

    /// Marks what was read so far for the provider's cache.
    pub fn mark_for_cache(&mut self) {
        self.marked = self.input_tokens();
    }

    /// Begins a message of the user: what it says is what gets answered.
    pub fn begin_user(&mut self) {
        self.last_user.clear();
        self.media.clear();
        self.tool_results.clear();
        self.messages += 1;
    }

    /// Begins a message of anyone else.
    pub fn begin_other(&mut self) {
        self.tool_results.clear();
        self.messages += 1;
    }

    pub fn user_text(&mut self, text: &str) {
        if !self.last_user.is_empty() {
            self.last_user.push('\n');
        }
        self.last_user.push_str(text);
        self.text_bytes += text.len();
    }

    /// Text that is counted and not answered: instructions, earlier turns.
    pub fn context(&mut self, text: &str) {
        self.text_bytes += text.len();
    }

    pub fn tool_result(&mut self, text: String) {
        self.text_bytes += text.len();
        self.tool_results.push(text);
    }

    pub fn media(&mut self, media: Media) {
        self.media.push(media);
        self.media_count += 1;
    }

    /// What a tool costs is its name, description and schema as JSON.
    pub fn tool(&mut self, name: &str, description: &str, schema: Option<&Value>) {
        let schema = schema.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        self.text_bytes += name.len() + description.len() + schema.to_string().len();
        self.tools.push(Tool { name: name.to_owned(), schema });
    }
}

/// A member that is text, or "" where it is missing or something else.
pub(super) fn str_at<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a member that is a list; none where it is missing or something else.
pub(super) fn list_at<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether a member is there and not null.
pub(super) fn is_set(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(|member| !member.is_null())
}

/// Texts of a `stop` that is one string or a list of them.
pub(super) fn stops_at(value: &Value, key: &str) -> Vec<String> {
    match value.get(key) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
