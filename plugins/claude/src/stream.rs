//! Streams: what each event of Claude's means.
//!
//! Blocks come one after the other, each opened, grown and closed by its index. A block that the contract has no name for is kept until
//! it is complete; so are the arguments of a custom tool's call, which is free text only once its JSON is. `message_stop` alone is the
//! sign of completion.

use crate::answer::{self, ContentBlock, Message, Stop, natives, typed_natives};
use crate::replay::Seal;
use crate::tools::{self, CustomTools};
use crate::usage::Usage;
use crate::wire::Fields;
use crate::{failure, serde_json};
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::stream::{Events, PartId, StreamDecoder};
use llm_gateway_adapter::types::{Failure, Frame, Header, Native, PartKind, ToolCallOpening};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::mem;

/// Any event of the stream. Which fields it has depends on its type.
#[derive(Debug, Deserialize)]
struct StreamEvent<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    index: Option<u32>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// `content_block_delta.delta`
#[derive(Debug, Deserialize)]
struct Delta<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    thinking: Cow<'a, str>,
    #[serde(borrow, default)]
    signature: Cow<'a, str>,
    #[serde(borrow, default)]
    partial_json: Cow<'a, str>,
    #[serde(borrow)]
    citation: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct MessageDelta<'a> {
    delta: Option<DeltaOfMessage>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    /// `context_management` and the like.
    #[serde(flatten)]
    rest: Fields,
}

#[derive(Debug, Deserialize)]
struct DeltaOfMessage {
    #[serde(flatten)]
    stop: Stop,
    /// `container`
    #[serde(flatten)]
    rest: Fields,
}

/// `fallback`: another model goes on.
#[derive(Debug, Deserialize)]
struct Fallback {
    #[serde(rename = "type")]
    kind: String,
    to: Option<Model>,
}

#[derive(Debug, Deserialize)]
struct Model {
    model: Option<String>,
}

#[derive(Debug)]
pub struct MessageStream {
    custom_tools: CustomTools,
    started: bool,
    id: Option<String>,
    model: Option<String>,
    blocks: Vec<(u32, OpenBlock)>,
    usage: Option<Usage>,
    stop: Stop,
}

#[derive(Debug)]
enum OpenBlock {
    /// Opened with its first words.
    Text {
        part: Option<PartId>,
        extras: Vec<Native>,
    },
    Thinking {
        part: PartId,
        signature: String,
        extras: Vec<Native>,
    },
    RedactedThinking {
        part: PartId,
        data: String,
        extras: Vec<Native>,
    },
    /// `whole` is the input that came with the start, which stands if nothing else comes.
    ToolUse {
        part: PartId,
        whole: Option<String>,
        extras: Vec<Native>,
    },
    CustomCall {
        part: PartId,
        whole: Option<String>,
        json: String,
        extras: Vec<Native>,
    },
    Other {
        block: Fields,
        json: String,
    },
}

impl StreamDecoder for MessageStream {
    fn new(context: String, _headers: Vec<Header>) -> Self {
        Self {
            custom_tools: CustomTools::read(&context),
            started: false,
            id: None,
            model: None,
            blocks: Vec::new(),
            usage: None,
            stop: Stop::default(),
        }
    }

    fn frame(&mut self, frame: Frame, events: &mut Events) {
        let data = frame.data.trim();
        // Some servers that speak this format end as OpenAI does.
        if data.is_empty() || data == "[DONE]" {
            return;
        }
        let done = match serde_json::from_str::<StreamEvent>(data) {
            Ok(event) => self.event(&event, data, events),
            Err(_) => {
                Err(failure::in_success(data.as_bytes()).unwrap_or_else(|| Failure::malformed(unreadable_body(200, data.as_bytes()))))
            }
        };
        if let Err(failure) = done {
            events.fail(failure);
        }
    }

    fn connection_ended(&mut self, events: &mut Events) {
        for (_, block) in mem::take(&mut self.blocks) {
            block.close(events);
        }
        events.fail(Failure::cut_stream());
    }
}

impl MessageStream {
    fn event(&mut self, event: &StreamEvent, data: &str, events: &mut Events) -> Result<(), Failure> {
        match &*event.kind {
            "message_start" => self.start(read(event.message)?, events),
            "content_block_start" => {
                self.begin(events);
                self.open(index(event)?, read_block(event)?, events);
                Ok(())
            }
            "content_block_delta" => {
                self.begin(events);
                self.grow(index(event)?, event.delta.ok_or_else(incomplete)?, events)
            }
            "content_block_stop" => {
                self.close(index(event)?, events);
                Ok(())
            }
            "message_delta" => {
                self.begin(events);
                self.learn(serde_json::from_str(data).map_err(|_| incomplete())?, events);
                Ok(())
            }
            "message_stop" => {
                self.begin(events);
                self.finish(events);
                Ok(())
            }
            _ if event.error.is_some() => Err(failure::in_success(data.as_bytes()).unwrap_or_else(incomplete)),
            // `ping`, and what will be added.
            _ => Ok(()),
        }
    }

    /// A message begins. A repeated beginning of the same one changes nothing; that of another is a stream gone wrong.
    fn start(&mut self, mut message: Message, events: &mut Events) -> Result<(), Failure> {
        if self.started {
            return if message.id == self.id {
                Ok(())
            } else {
                Err(Failure::malformed("the provider began another message in the middle of one"))
            };
        }
        let usage = message.usage.and_then(Usage::read);
        self.started = true;
        self.id.clone_from(&message.id);
        self.model.clone_from(&message.model);
        let extras = message.extras(usage.as_ref());
        events.start(message.id, message.model, extras);
        self.stop = message.stop;
        self.tell_usage(usage, events);
        Ok(())
    }

    /// What the contract wants first, if the provider left its own first event out.
    fn begin(&mut self, events: &mut Events) {
        if !self.started {
            self.started = true;
            events.start(None, None, Vec::new());
        }
    }

    fn open(&mut self, index: u32, block: ContentBlock, events: &mut Events) {
        self.close(index, events);
        let mut cited = Vec::new();
        let mut words = Cow::Borrowed("");
        let opened = match block {
            ContentBlock::Text(block) => {
                words = block.text;
                cited = block.citations.unwrap_or_default();
                OpenBlock::Text { part: None, extras: natives(block.rest) }
            }
            ContentBlock::Thinking(block) => {
                let part = events.open(0, PartKind::Thinking);
                events.grow(part, &block.thinking);
                OpenBlock::Thinking { part, signature: block.signature.unwrap_or_default(), extras: natives(block.rest) }
            }
            ContentBlock::RedactedThinking(block) => OpenBlock::RedactedThinking {
                part: events.open(0, PartKind::Thinking),
                data: block.data.into_owned(),
                extras: typed_natives(block.rest),
            },
            ContentBlock::ToolUse(block) => {
                let free_form = self.custom_tools.contains(&block.name);
                let opening = ToolCallOpening { id: block.id.into_owned(), name: block.name.into_owned(), free_form };
                let part = events.open(0, PartKind::ToolCall(opening));
                let whole = Some(block.input.map_or("{}", RawValue::get).to_owned());
                let extras = natives(block.rest);
                if free_form {
                    OpenBlock::CustomCall { part, whole, json: String::new(), extras }
                } else {
                    OpenBlock::ToolUse { part, whole, extras }
                }
            }
            ContentBlock::Other(block) => {
                self.note_fallback(block, events);
                OpenBlock::Other { block: serde_json::from_str(block.get()).unwrap_or_default(), json: String::new() }
            }
        };
        self.blocks.push((index, opened));
        if let Some((_, OpenBlock::Text { part, .. })) = self.blocks.last_mut() {
            grow_text(part, &words, events);
            for citation in cited {
                cite(part, citation, events);
            }
        }
    }

    fn note_fallback(&mut self, block: &RawValue, events: &mut Events) {
        let fallback = serde_json::from_str::<Fallback>(block.get()).ok().filter(|block| block.kind == "fallback");
        if let Some(model) = fallback.and_then(|fallback| fallback.to?.model) {
            self.model = Some(model);
            events.start(self.id.clone(), self.model.clone(), Vec::new());
        }
    }

    fn grow(&mut self, index: u32, json: &RawValue, events: &mut Events) -> Result<(), Failure> {
        let block = self.blocks.iter_mut().find(|(open, _)| *open == index);
        let (_, block) = block.ok_or_else(|| Failure::malformed("the provider went on with a part that it had not begun"))?;
        if let OpenBlock::Other { block, json: input } = block {
            grow_other(block, input, json);
            return Ok(());
        }
        let delta: Delta = read(Some(json))?;
        match (&*delta.kind, block) {
            ("text_delta", OpenBlock::Text { part, .. }) => grow_text(part, &delta.text, events),
            ("citations_delta", OpenBlock::Text { part, .. }) => {
                if let Some(citation) = delta.citation {
                    cite(part, citation, events);
                }
            }
            ("thinking_delta", OpenBlock::Thinking { part, .. }) => events.grow(*part, &delta.thinking),
            ("signature_delta", OpenBlock::Thinking { signature, .. }) => *signature = delta.signature.into_owned(),
            ("input_json_delta", OpenBlock::ToolUse { part, whole, .. }) if !delta.partial_json.is_empty() => {
                *whole = None;
                events.grow(*part, &delta.partial_json);
            }
            ("input_json_delta", OpenBlock::CustomCall { whole, json, .. }) if !delta.partial_json.is_empty() => {
                *whole = None;
                json.push_str(&delta.partial_json);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, index: u32, events: &mut Events) {
        if let Some(at) = self.blocks.iter().position(|(open, _)| *open == index) {
            self.blocks.remove(at).1.close(events);
        }
    }

    /// What `message_delta` tells: it may come several times, and the last word counts.
    fn learn(&mut self, told: MessageDelta, events: &mut Events) {
        let usage = told.usage.and_then(Usage::read);
        let mut fields = told.rest;
        if let Some(delta) = told.delta {
            self.stop.stop_reason = delta.stop.stop_reason.or(self.stop.stop_reason.take());
            self.stop.stop_sequence = delta.stop.stop_sequence.or(self.stop.stop_sequence.take());
            self.stop.stop_details = delta.stop.stop_details.or(self.stop.stop_details.take());
            fields.extend(delta.rest);
        }
        fields.extend(usage.iter().flat_map(|usage| usage.rest.clone()));
        let extras = natives(fields);
        if !extras.is_empty() {
            events.start(self.id.clone(), self.model.clone(), extras);
        }
        self.tell_usage(usage, events);
    }

    fn tell_usage(&mut self, told: Option<Usage>, events: &mut Events) {
        if let Some(told) = told {
            let usage = self.usage.get_or_insert_default();
            usage.update(told);
            events.usage(usage.canonical());
        }
    }

    fn finish(&mut self, events: &mut Events) {
        for (_, block) in mem::take(&mut self.blocks) {
            block.close(events);
        }
        let called_a_tool = events.called_a_tool(0);
        events.finish(0, mem::take(&mut self.stop).finish(called_a_tool));
        events.end();
    }
}

impl OpenBlock {
    fn close(self, events: &mut Events) {
        match self {
            Self::Text { part: None, .. } => {}
            Self::Text { part: Some(part), extras } => events.close(part, None, extras),
            Self::Thinking { part, signature, extras } => {
                let replay = (!signature.is_empty()).then(|| Seal::Signature(signature.as_str().into()).replay());
                events.close(part, replay, extras);
            }
            Self::RedactedThinking { part, data, extras } => {
                events.close(part, Some(Seal::Redacted(data.as_str().into()).replay()), extras)
            }
            Self::ToolUse { part, whole, extras } => {
                events.grow(part, &whole.unwrap_or_default());
                events.close(part, None, extras);
            }
            Self::CustomCall { part, whole, json, extras } => {
                events.grow(part, &tools::free_text(whole.as_ref().unwrap_or(&json)));
                events.close(part, None, extras);
            }
            Self::Other { mut block, json } => {
                if !json.is_empty() {
                    block.insert("input".to_owned(), serde_json::from_str(&json).unwrap_or(Value::String(json)));
                }
                let part = events.open(0, PartKind::Other(answer::native(Value::Object(block).to_string())));
                events.close(part, None, Vec::new());
            }
        }
    }
}

fn opened_text(part: &mut Option<PartId>, events: &mut Events) -> PartId {
    *part.get_or_insert_with(|| events.open(0, PartKind::Text))
}

fn grow_text(part: &mut Option<PartId>, text: &str, events: &mut Events) {
    if !text.is_empty() {
        let part = opened_text(part, events);
        events.grow(part, text);
    }
}

fn cite(part: &mut Option<PartId>, citation: &RawValue, events: &mut Events) {
    let part = opened_text(part, events);
    events.cite(part, answer::citation(citation));
}

/// Grows a block of an unknown kind: input is joined, other text appended to the field of its name, a citation added, the rest replaced.
fn grow_other(block: &mut Fields, input: &mut String, delta: &RawValue) {
    let fields: Fields = serde_json::from_str(delta.get()).unwrap_or_default();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("type", _) => {}
            ("partial_json", Value::String(json)) => input.push_str(&json),
            ("citation", citation) => match block.get_mut("citations") {
                Some(Value::Array(citations)) => citations.push(citation),
                _ => _ = block.insert("citations".to_owned(), Value::Array(vec![citation])),
            },
            ("signature", signature) => _ = block.insert(name, signature),
            (_, Value::String(more)) => match block.get_mut(&name) {
                Some(Value::String(text)) => text.push_str(&more),
                _ => _ = block.insert(name, Value::String(more)),
            },
            (_, value) => _ = block.insert(name, value),
        }
    }
}

fn index(event: &StreamEvent) -> Result<u32, Failure> {
    event.index.ok_or_else(incomplete)
}

fn read_block<'a>(event: &StreamEvent<'a>) -> Result<ContentBlock<'a>, Failure> {
    event.content_block.map(ContentBlock::read).ok_or_else(incomplete)
}

fn read<'a, T: Deserialize<'a>>(json: Option<&'a RawValue>) -> Result<T, Failure> {
    json.and_then(|json| serde_json::from_str(json.get()).ok()).ok_or_else(incomplete)
}

fn incomplete() -> Failure {
    Failure::malformed("the provider's stream has an event that lacks what its type demands")
}
