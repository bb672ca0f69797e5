//! A request's `instructions` and `input`: items of one list, which become messages.
//!
//! What the assistant wrote without interruption (reasoning, messages, calls) is one message of its parts, in order; results that follow each
//! other are one message too. Ids that items had in an answer of ours are ours: they say nothing to a provider and go no further.

use super::DIALECT;
use super::content::{self, parts};
use super::output::own_fields;
use super::turn::{self, Kept};
use crate::contract::{Message, Part, PartBody, Replay, Role, ToolCall, ToolResult};
use crate::domain::{Blobs, part, replay};
use crate::edge::BadRequest;
use crate::edge::dialect::calls::Calls;
use crate::edge::dialect::{media, openai};
use crate::edge::json::Fields;
use serde_json::{Map, Value};

/// Begins the id of an image that was given by a provider of another dialect, and is none of OpenAI's own.
pub const IMAGE_ID: &str = "ig_gw_";

/// # Errors
/// The field at fault.
pub fn messages(fields: &mut Fields, blobs: &mut Blobs) -> Result<Vec<Message>, BadRequest> {
    let mut conversation = Conversation { messages: Vec::new(), calls: Calls::default(), turn: None, begun: 0, blobs };
    if let Some(instructions) = fields.string("instructions")?.filter(|text| !text.is_empty()) {
        conversation.add(Role::System, vec![part(PartBody::Text(instructions))]);
    }
    match fields.value("input") {
        None => return Err(fields.wrong("input", "is required and must be a string or a list of items")),
        Some(Value::String(text)) => {
            let said = (!text.is_empty()).then(|| part(PartBody::Text(text)));
            conversation.add(Role::User, said.into_iter().collect());
        }
        Some(Value::Array(items)) if items.is_empty() => return Err(fields.wrong("input", "must hold at least one item")),
        Some(Value::Array(items)) => {
            for (at, item) in items.into_iter().enumerate() {
                conversation.item(Fields::of_value(format!("input[{at}]"), item)?)?;
            }
        }
        Some(_) => return Err(fields.wrong("input", "must be a string or a list of items")),
    }
    conversation.end_turn();
    Ok(conversation.messages)
}

const ROLES: [(&str, Role); 4] =
    [("user", Role::User), ("assistant", Role::Assistant), ("system", Role::System), ("developer", Role::Developer)];

struct Conversation<'b> {
    messages: Vec<Message>,
    calls: Calls,
    /// What the turns of the last message kept of its calls, to be given back when all of its items are there.
    turn: Option<Vec<Kept>>,
    /// Parts of the last message that belong to earlier answers.
    begun: usize,
    blobs: &'b mut Blobs,
}

impl Conversation<'_> {
    fn item(&mut self, mut fields: Fields) -> Result<(), BadRequest> {
        let kind = match fields.string("type")? {
            Some(kind) => kind,
            None if fields.peek("role").is_some() => "message".to_owned(),
            None => "item_reference".to_owned(),
        };
        match kind.as_str() {
            "message" => self.message(fields),
            "reasoning" => self.reasoning(fields),
            "function_call" => self.call(fields, Argument::Json),
            "custom_tool_call" => self.call(fields, Argument::Text),
            "function_call_output" | "custom_tool_call_output" => self.output(fields),
            "image_generation_call" if is_ours(&fields) => self.image(fields),
            "item_reference" => Err(fields.wrong(
                "type",
                "is missing or `item_reference`, and the gateway keeps no items that could be referred to: send the item itself",
            )),
            _ => {
                self.other(&kind, fields);
                Ok(())
            }
        }
    }

    fn add(&mut self, role: Role, parts: Vec<Part>) {
        self.end_turn();
        self.messages.push(Message { role, name: None, parts, extras: Vec::new() });
    }

    /// Adds to the last message if it is of the role, else to a new one.
    fn join(&mut self, role: Role, parts: impl IntoIterator<Item = Part>) {
        if self.messages.last().is_none_or(|last| last.role != role) {
            self.add(role, Vec::new());
        }
        if let Some(last) = self.messages.last_mut() {
            last.parts.extend(parts);
        }
    }

    fn end_turn(&mut self) {
        self.begun = 0;
        let Some(kept) = self.turn.take() else { return };
        if let Some(message) = self.messages.last_mut() {
            turn::restore_calls(&mut message.parts, kept);
        }
        // Of a turn that kept nothing else, nothing was found.
        self.messages.pop_if(|message| message.parts.is_empty());
    }

    /// A turn stands behind its parts, and the next one counts its own from there; calls may be moved behind it.
    fn give_back(&mut self, encrypted: &str) {
        if let Some(message) = self.messages.last_mut() {
            let of_calls = turn::restore(&mut message.parts, self.begun, encrypted);
            self.turn.get_or_insert_default().extend(of_calls);
            self.begun = message.parts.len();
        }
    }

    fn message(&mut self, mut fields: Fields) -> Result<(), BadRequest> {
        let role = fields.word("role", &ROLES)?.ok_or_else(|| fields.wrong("role", "is required"))?;
        let mut parts = parts(&mut fields, "content", self.blobs)?;
        let phase = fields.string("phase")?;
        discard(&mut fields);
        if role != Role::Assistant {
            self.add(role, parts);
            if let Some(message) = self.messages.last_mut() {
                message.extras = openai::extras(DIALECT, fields.rest());
            }
            return Ok(());
        }
        if let Some(phase) = phase {
            for part in &mut parts {
                let mut own = own_fields(&part.extras, &[]);
                own.insert("phase".to_owned(), Value::from(phase.as_str()));
                part.extras = openai::extras(DIALECT, own);
            }
        }
        if !parts.is_empty() {
            self.join(Role::Assistant, parts);
        }
        Ok(())
    }

    /// What was encrypted elsewhere goes back to its provider as it is, under the id that it had there.
    fn reasoning(&mut self, mut fields: Fields) -> Result<(), BadRequest> {
        let summary = fields.peek("summary").filter(|summary| summary.as_array().is_some_and(|texts| texts.len() > 1)).cloned();
        let mut paragraphs = Vec::new();
        for name in ["summary", "content"] {
            let path = fields.path(name);
            for (at, value) in fields.list(name)?.unwrap_or_default().into_iter().enumerate() {
                paragraphs.push(Fields::of_value(format!("{path}[{at}]"), value)?.required_string("text")?);
            }
        }
        let text = paragraphs.join("\n\n");
        let mut thought = part(PartBody::Thinking(text));
        match fields.string("encrypted_content")? {
            Some(encrypted) if turn::is_turn(&encrypted) => {
                self.join(Role::Assistant, None);
                self.give_back(&encrypted);
                return Ok(());
            }
            Some(encrypted) if replay::is_sealed(&encrypted) => thought.replay = Some(Replay { data: encrypted, model: None }),
            Some(encrypted) => {
                let mut own = Map::new();
                own.extend(fields.value("id").map(|id| ("id".to_owned(), id)));
                own.insert("encrypted_content".to_owned(), Value::from(encrypted));
                // As one text it would not be what was encrypted.
                own.extend(summary.map(|summary| ("summary".to_owned(), summary)));
                thought.extras = openai::extras(DIALECT, own);
            }
            None if matches!(&thought.body, PartBody::Thinking(text) if text.is_empty()) => return Ok(()),
            None => {}
        }
        self.join(Role::Assistant, Some(thought));
        Ok(())
    }

    fn call(&mut self, mut fields: Fields, argument: Argument) -> Result<(), BadRequest> {
        let id = fields.required_string("call_id")?;
        let name = fields.required_string("name")?;
        let (field, free_form) = match argument {
            Argument::Json => ("arguments", false),
            Argument::Text => ("input", true),
        };
        let arguments = openai::called_with(&mut fields, field)?;
        discard(&mut fields);
        self.calls.add(&id, &name);
        let call = PartBody::ToolCall(ToolCall { id, name, arguments, free_form });
        self.join(Role::Assistant, Some(Part { extras: openai::extras(DIALECT, fields.rest()), ..part(call) }));
        Ok(())
    }

    fn output(&mut self, mut fields: Fields) -> Result<(), BadRequest> {
        let call_id = fields.required_string("call_id")?;
        let Some(name) = self.calls.name_of(&call_id).map(str::to_owned) else {
            return Err(fields.wrong(
                "call_id",
                "answers no call in the items above; the gateway keeps no state between requests: send the call's item too",
            ));
        };
        let parts = parts(&mut fields, "output", self.blobs)?;
        let cache = parts.iter().rev().find_map(|part| part.cache);
        let content = parts.into_iter().filter_map(content::in_result).collect();
        discard(&mut fields);
        let result = PartBody::ToolResult(ToolResult { call_id, name, content, is_error: false });
        self.join(Role::Tool, Some(Part { cache, extras: openai::extras(DIALECT, fields.rest()), ..part(result) }));
        Ok(())
    }

    fn image(&mut self, mut fields: Fields) -> Result<(), BadRequest> {
        let format = fields.string("output_format")?.unwrap_or_else(|| "png".to_owned());
        let source = media::by_base64(&fields.required_string("result")?, self.blobs).map_err(|wrong| fields.wrong("result", wrong))?;
        self.join(Role::Assistant, Some(part(PartBody::Image(media::media(source, Some(format!("image/{format}")))))));
        Ok(())
    }

    /// An item of OpenAI's own kind, as it is.
    fn other(&mut self, kind: &str, fields: Fields) {
        if !is_said_to_the_model(kind)
            && let Some(call_id) = fields.peek("call_id").and_then(Value::as_str)
        {
            self.calls.add(call_id, fields.peek("name").and_then(Value::as_str).unwrap_or(kind));
        }
        let item = part(PartBody::Other(openai::native(DIALECT, kind, fields)));
        if is_said_to_the_model(kind) {
            self.add(Role::User, vec![item]);
        } else {
            self.join(Role::Assistant, Some(item));
        }
    }
}

/// In which form a call has its arguments.
#[derive(Debug, Clone, Copy)]
enum Argument {
    Json,
    Text,
}

fn is_said_to_the_model(kind: &str) -> bool {
    kind.ends_with("_output")
        || matches!(kind, "mcp_approval_response" | "additional_tools" | "configuration_update" | "compaction_trigger")
}

fn is_ours(image: &Fields) -> bool {
    image.peek("id").and_then(Value::as_str).is_some_and(|id| id.starts_with(IMAGE_ID))
}

/// What an item says of itself in an answer, and means nothing in a request.
fn discard(item: &mut Fields) {
    for name in ["id", "status"] {
        item.value(name);
    }
}
