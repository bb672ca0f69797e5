//! Requests and streams that no caller and no provider would send, made of bytes: for property tests and fuzzers.
//!
//! The same bytes make the same thing, and fewer bytes a smaller one, so that what fails can be made small. It is the wording that is odd (empty
//! and huge texts, JSON that is none, fields of every dialect, marks of the adapter's own), not the shape: that is the contract's. Half of the requests
//! are milder, of one provider's own words and with each part where it belongs, so that not all of them are refused at the first part.

use crate::embeddings::{EmbeddingInput, EmbeddingRequest};
use crate::types::{
    Blob, CacheBreakpoint, ChatRequest, Citation, CustomTool, Effort, Frame, FunctionTool, Grammar, JsonSchema, Media, MediaSource,
    Message, Native, Part, PartBody, Reasoning, Replay, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice, ToolMode, ToolResult,
    ToolResultPart,
};
use serde_json::{Map, Value, json};

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "json",
    "Hello there.",
    "\n",
    "\u{0}",
    "\"\\",
    "日本語",
    "😀",
    "e\u{301}",
    "\u{2028}",
    "{",
    "{}",
    "null",
    "call_1",
    "abcDEF123",
    "weather",
    "a b",
    "data:image/png;base64,AAAA",
    "data:,x",
    "https://example.com/a.png?b=c",
    "image/png",
    "application/pdf",
    "text/plain; charset=utf-8",
    "audio/wav",
    "files/1",
    "\u{fdd0}b7\u{fdd1}",
    "\u{fdd0}",
    "signature:x",
    "redacted:x",
    "low",
    "auto",
    "../../x",
    "ü:ö",
];
const JSON: &[&str] = &[
    "{}",
    "",
    "null",
    "[]",
    "{",
    "\"id\"",
    "[[[[[[[[[[]]]]]]]]]]",
    "{\"type\":\"object\",\"properties\":{}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/a\"}},\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\"}}}",
    "{\"type\":[\"object\",\"null\"],\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":0}},\"required\":[\"a\"]}",
    "{\"$ref\":\"#\"}",
    "{\"history_changed\":true}",
    "{\"encrypted_content\":\"x\",\"id\":\"rs_1\"}",
    "{\"signature\":\"x\"}",
];
const SCHEMAS: &[&str] = &[
    "{}",
    "{\"type\":\"object\",\"properties\":{}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/a\",\"title\":\"A\"}},\"$defs\":{\"a\":{\"const\":1}}}",
    "{\"anyOf\":[{\"properties\":{\"a\":{\"minLength\":1}},\"required\":[\"a\"]},{\"properties\":{\"b\":{}}}]}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"exclusiveMinimum\":0}},\"required\":[\"a\"],\"additionalProperties\":false}",
    "{\"type\":\"object\",\"properties\":{\"child\":{\"$ref\":\"#\"}}}",
];
/// Names that mean something in some dialect.
const FIELDS: &[&str] = &[
    "type",
    "text",
    "role",
    "content",
    "id",
    "name",
    "model",
    "messages",
    "input",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "reasoning",
    "store",
    "include",
    "metadata",
    "output_config",
    "format",
    "generationConfig",
    "thinkingConfig",
    "functionCall",
    "functionResponse",
    "parts",
    "thought",
    "thoughtSignature",
    "signature",
    "data",
    "cache_control",
    "citations",
    "title",
    "prefix",
    "phase",
    "summary",
    "encrypted_content",
    "properties",
    "items",
    "$ref",
    "index",
    "delta",
    "arguments",
    "service_tier",
    "anthropic-beta",
    "openai-beta",
    "verbosity",
    "usage",
    "error",
    "message",
];
const DIALECTS: &[&str] = &["openai-chat", "openai-responses", "anthropic-messages", "gemini", "mistral", "llm-gateway", "acme"];
const MAX_DEPTH: usize = 4;

/// Bytes that decide; when they are used up, every decision is the first.
pub struct Source<'a> {
    bytes: &'a [u8],
    /// The dialect of everything native, and everything in its place.
    mild: Option<&'a str>,
}

/// Which models are asked, and the dialect that they speak.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub models: &'a [&'a str],
    pub dialect: &'a str,
}

impl<'a> Source<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, mild: None }
    }

    fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        usize::from(*first) % bound.max(1)
    }

    fn pick<T: Copy>(&mut self, from: &[T], otherwise: T) -> T {
        let at = self.below(from.len());
        from.get(at).copied().unwrap_or(otherwise)
    }

    /// Whether one in `of` has come up.
    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(3).then(|| make(self))
    }

    fn list<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        match self.below(20) {
            18 => "x".repeat(self.below(256) * 40),
            19 => self.list(8, |source| char::from(source.below(256) as u8)).into_iter().collect(),
            _ => self.pick(TEXTS, "").to_owned(),
        }
    }

    fn number(&mut self) -> u32 {
        self.pick(&[0, 1, 2, 16, 1024, 30_000, u32::MAX], 0)
    }

    fn float(&mut self) -> f64 {
        self.pick(&[0.0, 1.0, -1.0, 0.5, 2.0, 1e300, f64::NAN, f64::INFINITY], 0.0)
    }

    fn json(&mut self) -> String {
        if self.one_in(3) { self.value(0).to_string() } else { self.pick(JSON, "{}").to_owned() }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth < MAX_DEPTH { 7 } else { 5 }) {
            0 => Value::Null,
            1 => json!(self.one_in(2)),
            2 => json!(self.number()),
            3 => json!(self.text()),
            4 => json!(self.float()),
            5 => Value::Array(self.list(3, |source| source.value(depth + 1))),
            _ => Value::Object(self.object(depth)),
        }
    }

    fn object(&mut self, depth: usize) -> Map<String, Value> {
        self.list(4, |source| (source.pick(FIELDS, "type").to_owned(), source.value(depth + 1))).into_iter().collect()
    }

    fn dialect(&mut self) -> String {
        let any = self.pick(DIALECTS, "acme");
        self.mild.unwrap_or(any).to_owned()
    }

    fn native(&mut self) -> Native {
        let value = if self.mild.is_some() { Value::Object(self.object(1)).to_string() } else { self.json() };
        Native { dialect: self.dialect(), value }
    }

    /// Of a tool or a schema.
    fn name(&mut self) -> String {
        if self.mild.is_some() { self.pick(&["weather", "f", "a_b"], "f").to_owned() } else { self.text() }
    }

    fn schema(&mut self) -> String {
        let mild = self.pick(SCHEMAS, "{}");
        if self.mild.is_some() { mild.to_owned() } else { self.json() }
    }

    /// Objects, as lists `extras` hold.
    fn extras(&mut self) -> Vec<Native> {
        self.list(2, |source| {
            let odd = source.one_in(8) && source.mild.is_none();
            let value = if odd { source.json() } else { Value::Object(source.object(1)).to_string() };
            Native { dialect: if source.one_in(2) { source.pick(DIALECTS, "acme").to_owned() } else { source.dialect() }, value }
        })
    }

    fn media(&mut self) -> Media {
        if self.mild.is_some() {
            return self.picture();
        }
        let source = match self.below(4) {
            0 => MediaSource::Blob(Blob { id: self.number(), size: self.number() }),
            1 => MediaSource::Url(self.text()),
            2 => MediaSource::File(self.native()),
            _ => MediaSource::Base64("AAAA".to_owned()),
        };
        Media {
            source,
            media_type: self.maybe(Self::text),
            name: self.maybe(Self::text),
            detail: self.maybe(Self::text),
            transcript: self.maybe(Self::text),
        }
    }

    /// What nearly every provider takes.
    fn picture(&mut self) -> Media {
        let source = match self.below(3) {
            0 => MediaSource::Blob(Blob { id: self.number(), size: self.number() }),
            1 => MediaSource::Url("https://example.com/a.png".to_owned()),
            _ => MediaSource::Base64("AAAA".to_owned()),
        };
        Media { source, media_type: Some("image/png".to_owned()), name: self.maybe(Self::text), detail: None, transcript: None }
    }

    /// A part that a message of this role may have.
    fn body_of(&mut self, role: Role) -> PartBody {
        if self.mild.is_none() {
            return self.body();
        }
        match (role, self.below(6)) {
            (Role::Assistant, 0) => PartBody::Thinking(self.text()),
            (Role::Assistant, 1) => PartBody::Refusal(self.text()),
            (Role::Assistant, 2 | 3) => PartBody::ToolCall(self.call()),
            (Role::User, 0 | 1) => PartBody::Image(self.picture()),
            (Role::Assistant | Role::User, 4) => PartBody::Other(self.native()),
            (Role::Tool, _) => PartBody::ToolResult(ToolResult {
                call_id: self.text(),
                name: self.name(),
                content: self.list(3, |source| ToolResultPart::Text(source.text())),
                is_error: self.one_in(3),
            }),
            _ => PartBody::Text(self.text()),
        }
    }

    fn call(&mut self) -> ToolCall {
        ToolCall { id: self.text(), name: self.name(), arguments: self.json(), free_form: self.one_in(4) }
    }

    fn body(&mut self) -> PartBody {
        match self.below(11) {
            0 | 1 => PartBody::Text(self.text()),
            2 => PartBody::Refusal(self.text()),
            3 => PartBody::Thinking(self.text()),
            4 => PartBody::Image(self.media()),
            5 => PartBody::Audio(self.media()),
            6 => PartBody::Video(self.media()),
            7 => PartBody::Document(self.media()),
            8 => PartBody::ToolCall(self.call()),
            9 => PartBody::ToolResult(ToolResult {
                call_id: self.text(),
                name: self.text(),
                content: self.list(3, Self::result_part),
                is_error: self.one_in(3),
            }),
            _ => PartBody::Other(self.native()),
        }
    }

    fn result_part(&mut self) -> ToolResultPart {
        match self.below(6) {
            0 => ToolResultPart::Text(self.text()),
            1 => ToolResultPart::Image(self.media()),
            2 => ToolResultPart::Audio(self.media()),
            3 => ToolResultPart::Video(self.media()),
            4 => ToolResultPart::Document(self.media()),
            _ => ToolResultPart::Other(self.native()),
        }
    }

    fn cache(&mut self) -> Option<CacheBreakpoint> {
        self.maybe(|source| CacheBreakpoint { lifetime: source.maybe(Self::number) })
    }

    fn part(&mut self, role: Role, models: &[&str]) -> Part {
        Part {
            body: self.body_of(role),
            replay: self.maybe(|source| Replay {
                data: if source.one_in(2) { source.json() } else { source.text() },
                model: source.maybe(|source| source.pick(models, "m").to_owned()),
            }),
            cache: self.cache(),
            citations: self.list(1, |source| Citation {
                url: source.maybe(Self::text),
                title: source.maybe(Self::text),
                quote: source.maybe(Self::text),
                span: source.maybe(|source| (source.number(), source.number())),
                native: source.native(),
            }),
            extras: self.extras(),
        }
    }

    fn message(&mut self, models: &[&str]) -> Message {
        let roles = [Role::User, Role::Assistant, Role::Tool, Role::System, Role::Developer];
        let role = self.pick(&roles, Role::User);
        Message { role, name: self.maybe(Self::text), parts: self.list(4, |source| source.part(role, models)), extras: self.extras() }
    }

    fn tool(&mut self) -> Tool {
        match self.below(4) {
            0 | 1 => Tool::Function(FunctionTool {
                name: self.name(),
                description: self.maybe(Self::text),
                parameters: self.maybe(Self::schema),
                strict: self.maybe(|source| source.one_in(2)),
                cache: self.cache(),
                extras: self.extras(),
            }),
            2 => Tool::Custom(CustomTool {
                name: self.name(),
                description: self.maybe(Self::text),
                grammar: self.maybe(|source| Grammar { syntax: source.text(), definition: source.text() }),
                extras: self.extras(),
            }),
            _ => Tool::Other(self.native()),
        }
    }

    fn format(&mut self) -> ResponseFormat {
        match self.below(4) {
            0 => ResponseFormat::Text,
            1 => ResponseFormat::JsonObject,
            2 => ResponseFormat::JsonSchema(JsonSchema {
                name: self.text(),
                description: self.maybe(Self::text),
                schema: self.schema(),
                strict: self.maybe(|source| source.one_in(2)),
            }),
            _ => ResponseFormat::Other(self.native()),
        }
    }

    fn reasoning(&mut self) -> Reasoning {
        let efforts = [Effort::None, Effort::Minimal, Effort::Low, Effort::Medium, Effort::High, Effort::ExtraHigh, Effort::Maximum];
        Reasoning {
            enabled: self.maybe(|source| source.one_in(2)),
            effort: self.maybe(|source| source.pick(&efforts, Effort::None)),
            budget: self.maybe(Self::number),
            visible: self.maybe(|source| source.one_in(2)),
        }
    }

    fn tool_choice(&mut self) -> ToolChoice {
        ToolChoice {
            mode: self.pick(&[ToolMode::Auto, ToolMode::None, ToolMode::Required], ToolMode::Auto),
            only: self.list(2, Self::name),
        }
    }

    /// A chat request for one of these models.
    pub fn request(&mut self, asked: Asked<'a>) -> ChatRequest {
        let models = asked.models;
        self.mild = self.one_in(2).then_some(asked.dialect);
        ChatRequest {
            model: self.pick(models, "m").to_owned(),
            messages: self.list(5, |source| source.message(models)),
            tools: self.list(3, Self::tool),
            tool_choice: self.maybe(Self::tool_choice),
            parallel_tool_calls: self.maybe(|source| source.one_in(2)),
            response_format: self.maybe(Self::format),
            sampling: Sampling {
                temperature: self.maybe(Self::float),
                top_p: self.maybe(Self::float),
                top_k: self.maybe(Self::number),
                presence_penalty: self.maybe(Self::float),
                frequency_penalty: self.maybe(Self::float),
                seed: self.maybe(|source| source.pick(&[0, -1, i64::MIN, i64::MAX], 0)),
                logit_bias: self.list(2, |source| (source.number(), source.float())),
            },
            max_output: self.maybe(Self::number),
            stop: self.list(7, Self::text),
            choices: self.maybe(Self::number),
            logprobs: self.maybe(Self::number),
            reasoning: self.maybe(Self::reasoning),
            user: self.maybe(Self::text),
            metadata: self.list(2, |source| (source.text(), source.text())),
            stream: self.one_in(2),
            settings: Vec::new(),
            extras: self.extras(),
        }
    }

    /// A request for embeddings from one of these models.
    pub fn embedding_request(&mut self, asked: Asked<'a>) -> EmbeddingRequest {
        self.mild = self.one_in(2).then_some(asked.dialect);
        let kinds = if self.mild.is_some() { 2 } else { 5 };
        EmbeddingRequest {
            model: self.pick(asked.models, "m").to_owned(),
            inputs: self.list(4, |source| match source.below(kinds) {
                0 | 1 => EmbeddingInput::Text(source.text()),
                2 => EmbeddingInput::Tokens(source.list(3, Self::number)),
                3 => EmbeddingInput::Media(source.media()),
                _ => EmbeddingInput::Other(source.native()),
            }),
            dimensions: self.maybe(Self::number),
            user: self.maybe(Self::text),
            settings: Vec::new(),
            extras: self.extras(),
        }
    }

    /// A stream like this one, but for frames that are gone, repeated, in another place or not as they were.
    pub fn stream_like(&mut self, frames: &[Frame]) -> Vec<Frame> {
        let mut stream = Vec::new();
        for frame in frames {
            match self.below(8) {
                5 => {}
                6 => stream.extend([frame.clone(), self.frame_like(frame)]),
                7 => stream.push(self.frame_like(frame)),
                _ => stream.push(frame.clone()),
            }
            if self.one_in(16) {
                stream.reverse();
            }
        }
        stream
    }

    fn frame_like(&mut self, frame: &Frame) -> Frame {
        let data = match serde_json::from_str::<Value>(&frame.data) {
            Ok(mut value) if !self.one_in(8) => {
                self.change(&mut value);
                value.to_string()
            }
            _ => self.json(),
        };
        Frame { event: if self.one_in(8) { None } else { frame.event.clone() }, data }
    }

    /// Puts something else in one place of the value.
    fn change(&mut self, value: &mut Value) {
        let inside = match value {
            Value::Array(values) => {
                let at = self.below(values.len());
                values.get_mut(at)
            }
            Value::Object(fields) => {
                let at = self.below(fields.len());
                fields.values_mut().nth(at)
            }
            _ => None,
        };
        match inside {
            Some(inside) if !self.one_in(6) => self.change(inside),
            _ => *value = self.value(MAX_DEPTH - 1),
        }
    }
}
