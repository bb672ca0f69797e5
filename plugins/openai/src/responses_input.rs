//! The conversation as `input` of `/responses`: messages, calls, results and reasoning are items of one list.
//!
//! A reasoning item is sent back as it came, before the item that it led to. One that nothing follows is refused by the provider, so it is
//! left out; likewise one that another model wrote.

use crate::chat_messages::arguments;
use crate::citations::annotations;
use crate::encoding::{Encoding, Entry, json};
use crate::endpoint::Endpoint;
use crate::replay;
use crate::responses_parts::{self, Content, ContentBody, ContentPart, entry, is_content, output_of};
use llm_gateway_adapter::types::{Failure, Media, Message, Part, PartBody, ResponseFormat, Role, ToolCall as Call, ToolResult};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Item<'a> {
    Message(InputMessage<'a>),
    Call(CallItem<'a>),
    Reasoning(ReasoningItem<'a>),
    Native(&'a RawValue),
}

#[derive(Debug, Serialize)]
pub struct InputMessage<'a> {
    role: &'static str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Cow<'a, str>>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
pub struct CallItem<'a> {
    #[serde(flatten)]
    body: CallBody<'a>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CallBody<'a> {
    FunctionCall { call_id: &'a str, name: &'a str, arguments: &'a str },
    CustomToolCall { call_id: &'a str, name: &'a str, input: &'a str },
    FunctionCallOutput { call_id: &'a str, output: Content<'a> },
    CustomToolCallOutput { call_id: &'a str, output: Content<'a> },
}

/// A reasoning item, as it came.
#[derive(Debug)]
pub struct ReasoningItem<'a> {
    item: Cow<'a, RawValue>,
    /// Of its part, should it have to be left out.
    path: String,
}

impl Serialize for ReasoningItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.item.serialize(serializer)
    }
}

/// # Errors
/// A part that the endpoint can't take in any form.
pub fn encode<'a>(encoding: &mut Encoding<'a>) -> Result<Vec<Item<'a>>, Failure> {
    let request = encoding.request;
    let free_form = custom_calls(&request.messages);
    let mut input = Input { encoding, items: Vec::with_capacity(request.messages.len() + 1), free_form };
    input.ask_for_json();
    for (at, message) in request.messages.iter().enumerate() {
        let path = format!("messages[{at}]");
        match message.role {
            Role::Assistant => input.assistant(&path, message)?,
            Role::System => input.spoken(&path, "system", message)?,
            Role::Developer => input.spoken(&path, "developer", message)?,
            Role::User | Role::Tool => input.spoken(&path, "user", message)?,
        }
    }
    input.drop_unfollowed_reasoning();
    Ok(input.items)
}

/// Ids of the calls that went to custom tools: their results are items of another type.
fn custom_calls(messages: &[Message]) -> HashSet<&str> {
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| if let PartBody::ToolCall(call) = &part.body { Some(call) } else { None })
        .filter(|call| call.free_form)
        .map(|call| call.id.as_str())
        .collect()
}

struct Input<'e, 'a> {
    encoding: &'e mut Encoding<'a>,
    items: Vec<Item<'a>>,
    free_form: HashSet<&'a str>,
}

impl<'a> Input<'_, 'a> {
    fn ask_for_json(&mut self) {
        if matches!(self.encoding.request.response_format, Some(ResponseFormat::JsonObject)) && self.encoding.lacks_the_word_json() {
            let reason = "the provider demands the word JSON in the messages; a system message asks for it";
            self.encoding.dropped.report("response-format", reason);
            let content = Content::Text(Cow::Borrowed("Answer with a JSON object."));
            self.items.push(Item::Message(InputMessage { role: "system", content, phase: None, extras: Map::new() }));
        }
    }

    fn drop_unfollowed_reasoning(&mut self) {
        while let Some(Item::Reasoning(reasoning)) = self.items.pop_if(|item| matches!(item, Item::Reasoning(_))) {
            self.encoding.dropped.report(reasoning.path, "nothing follows the reasoning, and the provider refuses it alone");
        }
    }

    /// A message of anyone but the assistant: tool results first, each an item of its own, then the rest as one message.
    fn spoken(&mut self, path: &str, role: &'static str, message: &'a Message) -> Result<(), Failure> {
        self.drop_unfollowed_reasoning();
        let mut parts = Vec::new();
        for (at, part) in message.parts.iter().enumerate() {
            let path = format!("{path}.parts[{at}]");
            match &part.body {
                PartBody::ToolResult(result) => self.tool_result(&path, part, result)?,
                PartBody::Other(native) if native.dialect == Endpoint::Responses.dialect() && !is_content(&native.value) => {
                    self.items.push(Item::Native(json(&path, &native.value)?));
                }
                _ => parts.push((path, part)),
            }
        }
        if parts.is_empty() && !message.parts.is_empty() {
            return Ok(());
        }
        self.report_name(path, message);
        let content = responses_parts::content(self.encoding, &parts)?;
        let extras = self.message_extras(path, message)?;
        self.items.push(Item::Message(InputMessage { role, content, phase: None, extras }));
        Ok(())
    }

    fn report_name(&mut self, path: &str, message: &Message) {
        if message.name.is_some() {
            self.encoding.dropped.report(format!("{path}.name"), "the responses endpoint has no such field");
        }
    }

    /// What the assistant said is many items, and none of them is the message.
    fn report_fields(&mut self, path: &str, message: &Message) -> Result<(), Failure> {
        for name in self.encoding.own_fields(path, &message.extras)?.keys() {
            self.encoding.dropped.report(format!("{path}.extras.{name}"), "the responses endpoint has no such field");
        }
        Ok(())
    }

    fn message_extras(&mut self, path: &str, message: &'a Message) -> Result<Map<String, Value>, Failure> {
        let mut extras = self.encoding.own_fields(path, &message.extras)?;
        for own in ["role", "content", "phase"] {
            extras.shift_remove(own);
        }
        Ok(extras)
    }

    fn tool_result(&mut self, path: &str, part: &'a Part, result: &'a ToolResult) -> Result<(), Failure> {
        self.drop_unfollowed_reasoning();
        let mut output = Vec::new();
        // There is no flag for it on the wire.
        output.extend(result.is_error.then_some(ContentBody::InputText { text: Cow::Borrowed("Error:") }).map(entry));
        for (at, content) in result.content.iter().enumerate() {
            output.push(responses_parts::result_part(self.encoding, &format!("{path}.content[{at}]"), content)?);
        }
        let breakpoint = match output.last() {
            Some(Entry::Known(_)) => self.encoding.breakpoint(path, part.cache),
            Some(Entry::Native(_)) | None => {
                self.encoding.no_breakpoint(path, part.cache);
                None
            }
        };
        let output = output_of(output, breakpoint);
        let mut extras = self.encoding.own_fields(path, &part.extras)?;
        for own in ["type", "call_id", "output"] {
            extras.shift_remove(own);
        }
        let call_id = result.call_id.as_str();
        let body = if self.free_form.contains(call_id) {
            CallBody::CustomToolCallOutput { call_id, output }
        } else {
            CallBody::FunctionCallOutput { call_id, output }
        };
        self.items.push(Item::Call(CallItem { body, extras }));
        Ok(())
    }

    /// Texts of one phase that follow each other are one message; all else is an item of its own.
    fn assistant(&mut self, path: &str, message: &'a Message) -> Result<(), Failure> {
        self.report_name(path, message);
        self.report_fields(path, message)?;
        let mut said = Said::default();
        for (at, part) in message.parts.iter().enumerate() {
            let path = format!("{path}.parts[{at}]");
            self.encoding.no_breakpoint(&path, part.cache);
            match &part.body {
                PartBody::Text(text) => self.say(&path, part, ContentBody::OutputText { text, annotations: Vec::new() }, &mut said)?,
                PartBody::Refusal(refusal) => self.say(&path, part, ContentBody::Refusal { refusal }, &mut said)?,
                _ => {
                    self.items.extend(said.take());
                    if let Err(failure) = self.assistant_item(&path, part) {
                        self.encoding.leave_out(path, part, failure)?;
                    }
                }
            }
        }
        self.items.extend(said.take());
        Ok(())
    }

    fn say(&mut self, path: &str, part: &'a Part, body: ContentBody<'a>, said: &mut Said<'a>) -> Result<(), Failure> {
        let mut extras = self.encoding.own_fields(path, &part.extras)?;
        let phase = match (replay::phase(part.replay.as_ref()), extras.shift_remove("phase")) {
            (Some(phase), _) => Some(Cow::Borrowed(phase)),
            (None, Some(Value::String(phase))) => Some(Cow::Owned(phase)),
            (None, _) => None,
        };
        for own in ["type", "text", "refusal", "annotations", "logprobs"] {
            extras.shift_remove(own);
        }
        let body = match body {
            ContentBody::OutputText { text, .. } => {
                ContentBody::OutputText { text, annotations: annotations(&part.citations, Endpoint::Responses) }
            }
            other => other,
        };
        if said.phase != phase {
            self.items.extend(said.take());
        }
        said.phase = phase;
        said.parts.push(ContentPart { body, prompt_cache_breakpoint: None, extras });
        Ok(())
    }

    fn assistant_item(&mut self, path: &str, part: &'a Part) -> Result<(), Failure> {
        match &part.body {
            PartBody::Thinking(_) => self.reasoning(path.to_owned(), part),
            PartBody::ToolCall(call) => {
                let extras = self.encoding.own_fields(path, &part.extras)?;
                self.items.push(call_item(call, extras));
            }
            PartBody::Audio(Media { transcript: Some(transcript), .. }) => {
                self.encoding.dropped.report(path, "the responses endpoint takes no audio; its transcript was sent");
                let content = Content::Text(Cow::Borrowed(transcript));
                self.items.push(Item::Message(InputMessage { role: "assistant", content, phase: None, extras: Map::new() }));
            }
            PartBody::Other(native) if native.dialect == Endpoint::Responses.dialect() => {
                self.items.push(Item::Native(json(path, &native.value)?));
            }
            PartBody::Other(native) => return Err(Failure::unsupported(path, format!("a part of {} alone", native.dialect))),
            PartBody::ToolResult(result) => self.tool_result(path, part, result)?,
            _ => return Err(Failure::unsupported(path, "the provider takes no media of the assistant's")),
        }
        Ok(())
    }

    fn reasoning(&mut self, path: String, part: &'a Part) {
        let item = replay::reasoning(part.replay.as_ref()).map(Cow::Borrowed).or_else(|| replay::told_reasoning(part).map(Cow::Owned));
        let Some(item) = item else { return };
        let model = part.replay.as_ref().and_then(|replay| replay.model.as_deref());
        if model.is_some_and(|model| model != self.encoding.request.model) {
            self.encoding.dropped.report(path, "another model's reasoning");
        } else {
            self.items.push(Item::Reasoning(ReasoningItem { item, path }));
        }
    }
}

/// What the assistant said, until something else or another phase follows.
#[derive(Default)]
struct Said<'a> {
    phase: Option<Cow<'a, str>>,
    parts: Vec<ContentPart<'a>>,
}

impl<'a> Said<'a> {
    fn take(&mut self) -> Option<Item<'a>> {
        let (phase, mut parts) = (self.phase.take(), std::mem::take(&mut self.parts));
        let content = match parts.as_mut_slice() {
            [] => return None,
            [ContentPart { body: ContentBody::OutputText { text, annotations }, extras, .. }]
                if annotations.is_empty() && extras.is_empty() =>
            {
                Content::Text(Cow::Borrowed(text))
            }
            _ => Content::Parts(parts.into_iter().map(Entry::Known).collect()),
        };
        Some(Item::Message(InputMessage { role: "assistant", content, phase, extras: Map::new() }))
    }
}

fn call_item<'a>(call: &'a Call, mut extras: Map<String, Value>) -> Item<'a> {
    for own in ["type", "id", "call_id", "name", "arguments", "input", "status"] {
        extras.shift_remove(own);
    }
    let (call_id, name) = (call.id.as_str(), call.name.as_str());
    let body = if call.free_form {
        CallBody::CustomToolCall { call_id, name, input: &call.arguments }
    } else {
        CallBody::FunctionCall { call_id, name, arguments: arguments(&call.arguments) }
    };
    Item::Call(CallItem { body, extras })
}
