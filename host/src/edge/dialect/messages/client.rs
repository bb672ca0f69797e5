//! A client for tests: reads a stream as the SDKs do, and insists on all that any of them insists on.

#![allow(clippy::expect_used, clippy::panic)]

use serde_json::{Map, Value, json};

/// What a stream came to.
#[derive(Debug, Default)]
pub struct Read {
    /// The message, gathered; `null` before its start.
    pub message: Value,
    /// Names of all events, in order.
    pub events: Vec<String>,
    /// The body of the event `error`, with which the stream ended.
    pub error: Option<Value>,
}

/// Reads a stream that ended, one way or the other.
///
/// # Panics
/// When it breaks a rule.
pub fn read(stream: &[u8]) -> Read {
    let mut reader = Reader::default();
    let text = std::str::from_utf8(stream).expect("UTF-8");
    for event in text.split_terminator("\n\n") {
        let (name, data) = event.strip_prefix("event: ").expect("a name first").split_once("\ndata: ").expect("data next");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(data["type"], name);
        assert!(!reader.is_over, "{name} after the end");
        reader.read.events.push(name.to_owned());
        reader.event(name, data);
    }
    assert!(reader.is_over, "cut short");
    reader.read
}

#[derive(Debug, Default)]
struct Reader {
    read: Read,
    open: Option<OpenBlock>,
    has_delta: bool,
    is_over: bool,
}

#[derive(Debug)]
struct OpenBlock {
    block: Value,
    input: String,
    is_signed: bool,
}

impl Reader {
    fn event(&mut self, name: &str, data: Value) {
        if matches!(name, "ping" | "error") {
            self.is_over = name == "error";
            self.read.error = self.is_over.then_some(data);
            return;
        }
        assert_eq!(self.read.message.is_null(), name == "message_start", "message_start is first, and once");
        assert!(!self.has_delta || name == "message_stop", "{name} after message_delta");
        match name {
            "message_start" => self.start(&data["message"]),
            "content_block_start" => {
                assert!(self.open.is_none(), "one block at a time");
                assert_eq!(data["index"], json!(self.content().len()), "counted without gaps");
                self.open = Some(OpenBlock { block: data["content_block"].clone(), input: String::new(), is_signed: false });
            }
            "content_block_delta" => {
                assert_eq!(data["index"], json!(self.content().len()));
                self.open.as_mut().expect("a block to grow").grow(&data["delta"]);
            }
            "content_block_stop" => {
                assert_eq!(data["index"], json!(self.content().len()));
                let block = self.open.take().expect("a block to stop").complete();
                self.content().push(block);
            }
            "message_delta" => self.end(data),
            "message_stop" => {
                assert!(self.has_delta);
                self.is_over = true;
            }
            other => panic!("unknown event {other}"),
        }
    }

    fn start(&mut self, message: &Value) {
        assert_eq!((&message["content"], &message["stop_reason"], &message["stop_sequence"]), (&json!([]), &Value::Null, &Value::Null));
        assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
        assert_counts(&message["usage"]);
        self.read.message = message.clone();
    }

    fn end(&mut self, mut data: Value) {
        assert!(self.open.is_none(), "every block is over");
        assert!(data["delta"]["stop_reason"].is_string());
        assert_counts(&data["usage"]);
        self.has_delta = true;
        let message = self.read.message.as_object_mut().expect("a message");
        let fields = |value: Value| if let Value::Object(fields) = value { fields } else { Map::new() };
        message.extend(fields(data["delta"].take()));
        if let Some(Value::Object(usage)) = message.get_mut("usage") {
            usage.extend(fields(data["usage"].take()));
        }
        let further = fields(data).into_iter().filter(|(name, _)| !matches!(name.as_str(), "type" | "delta" | "usage"));
        message.extend(further);
    }

    fn content(&mut self) -> &mut Vec<Value> {
        self.read.message["content"].as_array_mut().expect("content")
    }
}

impl OpenBlock {
    fn grow(&mut self, delta: &Value) {
        let text = |name: &str| delta[name].as_str().expect("text").to_owned();
        let kind = self.block["type"].as_str().expect("a type").to_owned();
        match (delta["type"].as_str().expect("a type"), kind.as_str()) {
            ("text_delta", "text") => self.append("text", &text("text")),
            ("thinking_delta", "thinking") => self.append("thinking", &text("thinking")),
            ("citations_delta", "text") => match self.block.get_mut("citations") {
                Some(Value::Array(citations)) => citations.push(delta["citation"].clone()),
                _ => self.block["citations"] = json!([delta["citation"]]),
            },
            ("signature_delta", "thinking") => {
                assert!(!self.is_signed, "signed once");
                self.is_signed = true;
                self.block["signature"] = delta["signature"].clone();
            }
            ("input_json_delta", "tool_use" | "server_tool_use") => {
                assert_eq!(self.block["input"], json!({}));
                self.input.push_str(&text("partial_json"));
            }
            (delta, block) => panic!("{delta} in a block of {block}"),
        }
    }

    fn append(&mut self, name: &str, more: &str) {
        assert!(!more.is_empty(), "an empty delta");
        let so_far = self.block[name].as_str().expect("text").to_owned();
        self.block[name] = json!(so_far + more);
    }

    /// Input that is no JSON in the end began as an object, at least.
    fn complete(mut self) -> Value {
        if !self.input.is_empty() {
            assert!(self.input.trim_start().starts_with('{'), "{}", self.input);
            self.block["input"] = serde_json::from_str(&self.input).unwrap_or(Value::String(self.input));
        }
        self.block
    }
}

fn assert_counts(usage: &Value) {
    for count in ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"] {
        assert!(usage[count].is_u64(), "{count} of {usage}");
    }
}
