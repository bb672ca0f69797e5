//! The conversation in the order that Mistral enforces (wire reference 3.2).
//!
//! System messages lead; neighbours of one role become one message; after a `tool` message comes an assistant's; a last message of the
//! assistant is marked as the beginning of the answer. Tool-call ids are made to fit. How one part is written is in `chunks`.

use crate::chunks::{self, Place, Workshop};
use crate::custom;
use crate::families::Thinking;
use crate::wire::{Content, ContentChunk, Extended, FunctionCall, Message, Role, ToolCall};
use llm_gateway_adapter::dropped;
use llm_gateway_adapter::types::{self, ChatRequest, Failure, Part, PartBody, ToolResult, ToolResultPart};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Said for the assistant between a tool's result and a user's words, where Mistral wants to hear it.
const BRIDGE: &str = "I have the result.";

/// Mistral writes JSON mode only for prompts that ask for JSON.
const ASK_FOR_JSON: &str = "Answer with a JSON object.";

/// The request's messages.
pub fn conversation<'a>(request: &'a ChatRequest, workshop: &mut Workshop) -> Result<Vec<Message<'a>>, Failure> {
    if request.messages.is_empty() {
        return Err(Failure::invalid(Some("messages"), "there must be at least one message"));
    }
    let mut conversation = Conversation {
        messages: Vec::with_capacity(request.messages.len()),
        model: &request.model,
        thinking: Thinking::of(&request.model),
        workshop,
    };
    let leading = leading_system_messages(&request.messages);
    for (index, message) in request.messages.iter().enumerate() {
        let role = match message.role {
            types::Role::Assistant => Role::Assistant,
            types::Role::Tool => Role::Tool,
            types::Role::System | types::Role::Developer if index < leading => Role::System,
            types::Role::System | types::Role::Developer => {
                let path = format!("messages[{index}].role");
                conversation.workshop.report.add(path, "Mistral takes system messages only before all others; sent as the user's");
                Role::User
            }
            types::Role::User => Role::User,
        };
        conversation.add(index, role, message)?;
    }
    let messages = conversation.finish();
    if messages.is_empty() {
        return Err(Failure::invalid(Some("messages"), "nothing in the messages can be sent to Mistral"));
    }
    Ok(messages)
}

/// How many messages at the head are the system's. None, if there are no others: Mistral answers only a user.
fn leading_system_messages(messages: &[types::Message]) -> usize {
    messages.iter().position(|message| !matches!(message.role, types::Role::System | types::Role::Developer)).unwrap_or(0)
}

/// Asks for JSON in the prompt, if nobody has yet.
pub fn ask_for_json(request: &ChatRequest, messages: &mut Vec<Message<'_>>) {
    if request.messages.iter().any(speaks_of_json) {
        return;
    }
    if messages.first().is_none_or(|first| first.role != Role::System) {
        messages.insert(0, Message::of(Role::System));
    }
    let chunk = ContentChunk::Text { text: Cow::Borrowed(ASK_FOR_JSON) };
    messages[0].content.get_or_insert_default().0.push(Extended::Plain(chunk));
}

fn speaks_of_json(message: &types::Message) -> bool {
    message.parts.iter().any(|part| match &part.body {
        PartBody::Text(text) => text.as_bytes().windows(4).any(|four| four.eq_ignore_ascii_case(b"json")),
        _ => false,
    })
}

struct Conversation<'a, 'w> {
    messages: Vec<Message<'a>>,
    model: &'a str,
    thinking: Thinking,
    workshop: &'w mut Workshop,
}

impl<'a> Conversation<'a, '_> {
    fn add(&mut self, index: usize, role: Role, message: &'a types::Message) -> Result<(), Failure> {
        if message.name.is_some() {
            self.workshop.report.add(format!("messages[{index}].name"), "Mistral takes no names of participants");
        }
        for (part, content) in message.parts.iter().enumerate() {
            let place = Place { message: index, part };
            self.report_of(content, place);
            if let Err(failure) = self.part(role, content, place) {
                let reason = dropped::left_out(message.role, content, failure)?;
                self.workshop.report.add(place.path(), reason);
            }
        }
        let extras = own_message_fields(self.workshop.report.own_fields(&message.extras, || format!("messages[{index}].extras"))?);
        if !extras.is_empty() {
            self.last(role).extras.extend(extras);
        }
        Ok(())
    }

    /// What of a part Mistral takes from nobody.
    fn report_of(&mut self, part: &Part, place: Place) {
        if part.cache.is_some() {
            self.workshop.report.add(place.path_of("cache"), "Mistral caches by `prompt_cache_key` alone");
        }
        if !part.citations.is_empty() {
            self.workshop.report.add(place.path_of("citations"), "Mistral takes no citations back");
        }
    }

    fn part(&mut self, role: Role, part: &'a Part, place: Place) -> Result<(), Failure> {
        let chunk = match (&part.body, role) {
            (PartBody::ToolResult(result), _) => {
                let extras = self.part_fields(part, place)?;
                return self.tool_result(result, extras, place);
            }
            (PartBody::ToolCall(call), Role::Assistant) => {
                let extras = self.part_fields(part, place)?;
                self.last(role).tool_calls.push(Extended::new(tool_call(call), extras));
                return Ok(());
            }
            (PartBody::Text(text), Role::Assistant) if text.is_empty() => return Ok(()),
            (PartBody::Thinking(text), Role::Assistant) => match &part.replay {
                Some(replay) if chunks::is_sealed_by_another(replay, self.model) => {
                    self.workshop.report.add(place.path(), "another model's thinking, which is sealed to it");
                    return Ok(());
                }
                Some(replay) if self.thinking != Thinking::Never => chunks::thinking(text, replay),
                // Another provider's, or for a model that would not understand it.
                _ => return Ok(()),
            },
            (PartBody::Refusal(text), Role::Assistant) | (PartBody::Text(text), Role::Assistant | Role::System | Role::User) => {
                ContentChunk::Text { text: Cow::Borrowed(text) }
            }
            (PartBody::Other(native), Role::Assistant | Role::System | Role::User) => chunks::native(native, place)?,
            (PartBody::Image(image), Role::User) => self.workshop.image(image, place)?,
            (PartBody::Audio(audio), Role::User) => self.workshop.audio(audio, place)?,
            (PartBody::Document(document), Role::User) => self.workshop.document(document, place)?,
            (PartBody::Video(_), Role::User) => return Err(Failure::unsupported(&place.path(), "Mistral takes no video")),
            (PartBody::Image(_) | PartBody::Audio(_) | PartBody::Document(_) | PartBody::Video(_), Role::Assistant | Role::System) => {
                return Err(Failure::unsupported(&place.path(), "Mistral takes media only from users and tools"));
            }
            (_, Role::Tool) => return Err(Failure::invalid(Some(&place.path()), "a tool message holds only tool results")),
            (PartBody::ToolCall(_) | PartBody::Thinking(_) | PartBody::Refusal(_), Role::User | Role::System) => {
                return Err(Failure::invalid(Some(&place.path()), "only the assistant calls tools, thinks or refuses"));
            }
        };
        let extras = self.part_fields(part, place)?;
        self.last(role).content.get_or_insert_default().0.push(Extended::new(chunk, extras));
        Ok(())
    }

    fn part_fields(&mut self, part: &Part, place: Place) -> Result<Map<String, Value>, Failure> {
        self.workshop.report.own_fields(&part.extras, || place.path_of("extras"))
    }

    fn tool_result(&mut self, result: &'a ToolResult, extras: Map<String, Value>, place: Place) -> Result<(), Failure> {
        let mut content = Content::default();
        for part in &result.content {
            content.0.push(Extended::Plain(match part {
                ToolResultPart::Text(text) => ContentChunk::Text { text: Cow::Borrowed(text) },
                ToolResultPart::Image(image) => self.workshop.image(image, place)?,
                ToolResultPart::Audio(audio) => self.workshop.audio(audio, place)?,
                ToolResultPart::Document(document) => self.workshop.document(document, place)?,
                ToolResultPart::Other(native) => chunks::native(native, place)?,
                ToolResultPart::Video(_) => return Err(Failure::unsupported(&place.path(), "Mistral takes no video")),
            }));
        }
        if result.is_error {
            mark_as_error(&mut content);
        }
        let mut message = Message::of(Role::Tool);
        message.tool_call_id = Some(tool_call_id(&result.call_id));
        message.name = (!result.name.is_empty()).then_some(result.name.as_str());
        message.content = Some(content);
        message.extras = own_message_fields(extras);
        self.messages.push(message);
        Ok(())
    }

    /// The message that what comes next from this role belongs to.
    fn last(&mut self, role: Role) -> &mut Message<'a> {
        let last = self.messages.last().map(|message| message.role);
        if last == Some(Role::Tool) && role == Role::User {
            let mut bridge = Message::of(Role::Assistant);
            bridge.content = Some(Content(vec![Extended::Plain(ContentChunk::Text { text: Cow::Borrowed(BRIDGE) })]));
            self.messages.push(bridge);
        }
        if last != Some(role) {
            self.messages.push(Message::of(role));
        }
        let end = self.messages.len() - 1;
        &mut self.messages[end]
    }

    fn finish(mut self) -> Vec<Message<'a>> {
        if let Some(last) = self.messages.last_mut() {
            last.prefix = last.role == Role::Assistant && last.tool_calls.is_empty();
        }
        self.messages
    }
}

/// Without those that the adapter writes itself: no field may stand in a message twice.
fn own_message_fields(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.retain(|field, _| !matches!(field.as_str(), "role" | "content" | "tool_calls" | "tool_call_id" | "name" | "prefix"));
    fields
}

/// Mistral has no flag for it, so the text says it.
fn mark_as_error(content: &mut Content<'_>) {
    match content.0.first_mut() {
        Some(Extended::Plain(ContentChunk::Text { text })) => *text = Cow::Owned(format!("Error: {text}")),
        _ => content.0.insert(0, Extended::Plain(ContentChunk::Text { text: Cow::Borrowed("Error:") })),
    }
}

fn tool_call(call: &types::ToolCall) -> ToolCall<'_> {
    let arguments = match call.arguments.as_str() {
        text if call.free_form => Cow::Owned(custom::wrap(text)),
        "" => Cow::Borrowed("{}"),
        text => Cow::Borrowed(text),
    };
    ToolCall { id: tool_call_id(&call.id), r#type: "function", function: FunctionCall { name: &call.name, arguments } }
}

const ID_LENGTH: usize = 9;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Mistral demands `^[A-Za-z0-9]{9}$`. Any other id becomes a hash of itself, the same in the call and in its result.
pub fn tool_call_id(id: &str) -> Cow<'_, str> {
    if id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Cow::Borrowed(id);
    }
    let mut hash = fnv1a(id.as_bytes());
    Cow::Owned(
        (0..ID_LENGTH)
            .map(|_| {
                let digit = BASE62[(hash % 62) as usize];
                hash /= 62;
                char::from(digit)
            })
            .collect(),
    )
}

/// FNV-1a, with the finalizer of MurmurHash3, as the low digits of FNV alone differ too little between ids that differ in one place.
fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
