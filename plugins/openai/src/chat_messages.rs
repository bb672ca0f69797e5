//! The conversation as `messages` of `/chat/completions`.
//!
//! Each tool result is a message of its own and holds text alone: other media in it follows in a user message after the results, because a
//! tool message must come right after the call. Reasoning has no place here, unless a compatible server is known to take its own back.

use crate::chat_parts::{self, Content, ContentBody, ContentPart, result_content, text_part};
use crate::encoding::{Encoding, Entry, json};
use crate::endpoint::Endpoint;
use crate::replay;
use crate::settings::{DeveloperRole, ReasoningField};
use llm_gateway_adapter::types::{Failure, Message, Native, Part, PartBody, ResponseFormat, Role, ToolCall as Call, ToolResult};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;

#[derive(Debug, Default, Serialize)]
pub struct ChatMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<AudioReference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct AudioReference<'a> {
    id: &'a str,
}

#[derive(Debug, Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    #[serde(flatten)]
    call: CallBody<'a>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CallBody<'a> {
    Function { function: FunctionCall<'a> },
    Custom { custom: CustomCall<'a> },
}

#[derive(Debug, Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Debug, Serialize)]
struct CustomCall<'a> {
    name: &'a str,
    input: &'a str,
}

/// # Errors
/// A part that the endpoint can't take in any form.
pub fn encode<'a>(encoding: &mut Encoding<'a>) -> Result<Vec<ChatMessage<'a>>, Failure> {
    let request = encoding.request;
    let mut conversation = Conversation { encoding, messages: Vec::with_capacity(request.messages.len() + 1), result_media: Vec::new() };
    conversation.ask_for_json();
    for (at, message) in request.messages.iter().enumerate() {
        let path = format!("messages[{at}]");
        match message.role {
            Role::Assistant => conversation.assistant(&path, message)?,
            Role::Tool => conversation.spoken(&path, "user", message)?,
            Role::System => conversation.spoken(&path, "system", message)?,
            Role::User => conversation.spoken(&path, "user", message)?,
            Role::Developer => {
                let role = match conversation.encoding.settings.developer_role {
                    DeveloperRole::Developer => "developer",
                    DeveloperRole::System => "system",
                };
                conversation.spoken(&path, role, message)?;
            }
        }
    }
    conversation.flush_result_media();
    Ok(conversation.messages)
}

struct Conversation<'e, 'a> {
    encoding: &'e mut Encoding<'a>,
    messages: Vec<ChatMessage<'a>>,
    /// Media out of tool results, until the last result of the turn has been written.
    result_media: Vec<Entry<'a, ContentPart<'a>>>,
}

impl<'a> Conversation<'_, 'a> {
    fn ask_for_json(&mut self) {
        if matches!(self.encoding.request.response_format, Some(ResponseFormat::JsonObject)) && self.encoding.lacks_the_word_json() {
            let reason = "the provider demands the word JSON in the messages; a system message asks for it";
            self.encoding.dropped.report("response-format", reason);
            let content = Some(Content::Text(Cow::Borrowed("Answer with a JSON object.")));
            self.messages.push(ChatMessage { role: "system", content, ..ChatMessage::default() });
        }
    }

    fn flush_result_media(&mut self) {
        if !self.result_media.is_empty() {
            let content = Some(Content::Parts(std::mem::take(&mut self.result_media)));
            self.messages.push(ChatMessage { role: "user", content, ..ChatMessage::default() });
        }
    }

    /// A message of anyone but the assistant: tool results first, each on its own, then the rest as one message.
    fn spoken(&mut self, path: &str, role: &'static str, message: &'a Message) -> Result<(), Failure> {
        let mut parts = Vec::new();
        for (at, part) in message.parts.iter().enumerate() {
            let path = format!("{path}.parts[{at}]");
            match &part.body {
                PartBody::ToolResult(result) => self.tool_result(&path, part, result)?,
                _ => parts.push((path, part)),
            }
        }
        if parts.is_empty() && message.role == Role::Tool {
            return Ok(());
        }
        self.flush_result_media();
        let content = chat_parts::content(self.encoding, &parts)?;
        let extras = self.further_fields(path, &message.extras)?;
        self.messages.push(ChatMessage { role, name: message.name.as_deref(), content: Some(content), extras, ..ChatMessage::default() });
        Ok(())
    }

    /// The caller's own fields of a message, but for those that are written here.
    fn further_fields(&mut self, path: &str, natives: &[Native]) -> Result<Map<String, Value>, Failure> {
        let mut extras = self.encoding.own_fields(path, natives)?;
        for own in ["role", "name", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "tool_call_id"] {
            extras.shift_remove(own);
        }
        Ok(extras)
    }

    fn tool_result(&mut self, path: &str, part: &'a Part, result: &'a ToolResult) -> Result<(), Failure> {
        let mut texts = Vec::new();
        // There is no flag for it on the wire.
        texts.extend(result.is_error.then_some(Cow::Borrowed("Error:")));
        for (at, content) in result.content.iter().enumerate() {
            let path = format!("{path}.content[{at}]");
            match chat_parts::result_part(self.encoding, &path, content)? {
                Entry::Known(ContentPart { body: ContentBody::Text { text }, .. }) => texts.push(text),
                other => self.result_media.push(other),
            }
        }
        let breakpoint = if texts.is_empty() {
            self.encoding.no_breakpoint(path, part.cache);
            None
        } else {
            self.encoding.breakpoint(path, part.cache)
        };
        let message = ChatMessage {
            role: "tool",
            content: Some(result_content(texts, breakpoint)),
            tool_call_id: Some(&result.call_id),
            extras: self.further_fields(path, &part.extras)?,
            ..ChatMessage::default()
        };
        self.messages.push(message);
        Ok(())
    }

    fn assistant(&mut self, path: &str, message: &'a Message) -> Result<(), Failure> {
        self.flush_result_media();
        let mut written = Turn::default();
        for (at, part) in message.parts.iter().enumerate() {
            let path = format!("{path}.parts[{at}]");
            if let Err(failure) = self.assistant_part(&path, part, &mut written) {
                self.encoding.leave_out(path, part, failure)?;
            }
        }
        let field = self.encoding.settings.reasoning_field;
        let thinking = |wanted: ReasoningField| (field == wanted).then_some(written.thinking).flatten();
        let (reasoning_content, reasoning) = (thinking(ReasoningField::ReasoningContent), thinking(ReasoningField::Reasoning));
        let mut extras = self.further_fields(path, &message.extras)?;
        // A sound that the caller refers to itself (`{"id": …}`) is no part, and goes along unless there is one.
        if written.audio.is_some() {
            extras.shift_remove("audio");
        }
        let message = ChatMessage {
            role: "assistant",
            name: message.name.as_deref(),
            reasoning_content,
            reasoning,
            content: written.content(),
            refusal: written.refusal,
            audio: written.audio,
            tool_calls: written.tool_calls,
            extras,
            ..ChatMessage::default()
        };
        if !message.is_empty() {
            self.messages.push(message);
        }
        Ok(())
    }

    fn assistant_part(&mut self, path: &str, part: &'a Part, written: &mut Turn<'a>) -> Result<(), Failure> {
        self.encoding.no_breakpoint(path, part.cache);
        match &part.body {
            PartBody::Text(text) => {
                self.report_extras(path, &part.extras)?;
                written.texts.push(Cow::Borrowed(text.as_str()));
            }
            PartBody::Refusal(text) => {
                self.report_extras(path, &part.extras)?;
                match written.refusal {
                    None => written.refusal = Some(text),
                    Some(_) => written.texts.push(Cow::Borrowed(text.as_str())),
                }
            }
            PartBody::Thinking(text) => self.thinking(path, part, text, written),
            PartBody::ToolCall(call) => {
                let extras = self.encoding.own_fields(path, &part.extras)?;
                written.tool_calls.push(tool_call(call, extras));
            }
            PartBody::Audio(audio) => match (replay::audio_id(part.replay.as_ref()), audio.transcript.as_deref()) {
                (Some(id), _) => written.audio = Some(AudioReference { id }),
                (None, Some(transcript)) => {
                    self.encoding.dropped.report(path, "another's sound; its transcript was sent");
                    written.texts.push(Cow::Borrowed(transcript));
                }
                (None, None) => return Err(Failure::unsupported(path, "the provider takes no sound of the assistant's but its own")),
            },
            PartBody::Other(native) if native.dialect == Endpoint::Chat.dialect() => written.natives.push(json(path, &native.value)?),
            PartBody::Other(native) => return Err(Failure::unsupported(path, format!("a part of {} alone", native.dialect))),
            PartBody::ToolResult(result) => self.tool_result(path, part, result)?,
            PartBody::Image(_) | PartBody::Video(_) | PartBody::Document(_) => {
                return Err(Failure::unsupported(path, "the provider takes no media of the assistant's"));
            }
        }
        Ok(())
    }

    /// The provider knows no further fields of what the assistant said.
    fn report_extras(&mut self, path: &str, natives: &[Native]) -> Result<(), Failure> {
        for name in self.encoding.own_fields(path, natives)?.keys() {
            self.encoding.dropped.report(format!("{path}.extras.{name}"), "a text of the assistant's has no such field");
        }
        Ok(())
    }

    fn thinking(&mut self, path: &str, part: &'a Part, text: &'a str, written: &mut Turn<'a>) {
        match &part.replay {
            // Another's; left out without a word.
            None => {}
            Some(replay) if replay.data.is_empty() && self.encoding.settings.reasoning_field != ReasoningField::None => {
                written.thinking = Some(text);
            }
            Some(replay) if replay.data.is_empty() => {}
            Some(_) => self.encoding.dropped.report(path, "the chat endpoint has no place for reasoning"),
        }
    }
}

/// What the parts of one assistant message come to.
#[derive(Default)]
struct Turn<'a> {
    texts: Vec<Cow<'a, str>>,
    natives: Vec<&'a RawValue>,
    refusal: Option<&'a str>,
    thinking: Option<&'a str>,
    audio: Option<AudioReference<'a>>,
    tool_calls: Vec<ToolCall<'a>>,
}

impl<'a> Turn<'a> {
    fn content(&mut self) -> Option<Content<'a>> {
        let mut texts = std::mem::take(&mut self.texts);
        let natives = std::mem::take(&mut self.natives);
        match (texts.len(), natives.is_empty()) {
            (0, true) => None,
            (1, true) => texts.pop().map(Content::Text),
            _ => Some(Content::Parts(texts.into_iter().map(text_part).chain(natives.into_iter().map(Entry::Native)).collect())),
        }
    }
}

impl ChatMessage<'_> {
    fn is_empty(&self) -> bool {
        self.content.is_none()
            && self.refusal.is_none()
            && self.audio.is_none()
            && self.tool_calls.is_empty()
            && !self.extras.contains_key("audio")
    }
}

fn tool_call<'a>(call: &'a Call, mut extras: Map<String, Value>) -> ToolCall<'a> {
    for own in ["id", "type", "function", "custom", "index"] {
        extras.shift_remove(own);
    }
    let body = if call.free_form {
        CallBody::Custom { custom: CustomCall { name: &call.name, input: &call.arguments } }
    } else {
        CallBody::Function { function: FunctionCall { name: &call.name, arguments: arguments(&call.arguments) } }
    };
    ToolCall { id: &call.id, call: body, extras }
}

/// No arguments are an empty object.
pub fn arguments(arguments: &str) -> &str {
    if arguments.trim().is_empty() { "{}" } else { arguments }
}
