//! `system` and `messages` as canonical messages.
//!
//! A message of the user that mixes tool results with other content becomes several, in the same order: canonical tool results have messages of
//! their own.

use super::blocks::{BlockReader, Shared};
use super::{Places, extras};
use crate::contract::{Message, Native, Part, PartBody, Role};
use crate::domain::part;
use crate::edge::BadRequest;
use crate::edge::json::Fields;
use serde_json::Value;

const ROLES: [(&str, Role); 3] = [("user", Role::User), ("assistant", Role::Assistant), ("system", Role::System)];

/// # Errors
/// The field at fault.
pub fn parse(fields: &mut Fields, shared: &mut Shared, places: &mut Places) -> Result<Vec<Message>, BadRequest> {
    let mut conversation = Conversation { messages: Vec::new(), places };
    let system = content(fields, "system", Role::System, shared)?.unwrap_or_default();
    if !system.is_empty() {
        conversation.say(Role::System, None, system, Vec::new());
    }
    let told = fields.list("messages")?.ok_or_else(|| fields.wrong("messages", "is required and must be a list"))?;
    if told.is_empty() {
        return Err(fields.wrong("messages", "must hold at least one message"));
    }
    for (at, value) in told.into_iter().enumerate() {
        conversation.read(at, Fields::of_value(format!("messages[{at}]"), value)?, shared)?;
    }
    Ok(conversation.messages)
}

/// A part, and the block that it was.
type Numbered = (usize, Part);

struct Conversation<'a> {
    messages: Vec<Message>,
    places: &'a mut Places,
}

impl Conversation<'_> {
    fn read(&mut self, at: usize, mut fields: Fields, shared: &mut Shared) -> Result<(), BadRequest> {
        let role = fields.word("role", &ROLES)?.ok_or_else(|| fields.wrong("role", "is required"))?;
        let content = content(&mut fields, "content", role, shared)?.ok_or_else(|| fields.wrong("content", "is required"))?;
        if content.is_empty() && role != Role::Assistant {
            return Err(fields.wrong("content", "must not be empty"));
        }
        let mut further = extras(fields.rest());
        if role != Role::User {
            self.say(role, Some(at), content, further);
            return Ok(());
        }
        for run in by_speaker(content) {
            let role = if run.first().is_some_and(is_result) { Role::Tool } else { Role::User };
            self.say(role, Some(at), run, std::mem::take(&mut further));
        }
        Ok(())
    }

    fn say(&mut self, role: Role, at: Option<usize>, content: Vec<Numbered>, extras: Vec<Native>) {
        let (blocks, parts) = content.into_iter().unzip();
        self.places.add(at, blocks);
        self.messages.push(Message { role, name: None, parts, extras });
    }
}

/// Results of tools, and what the user says, each in runs.
fn by_speaker(content: Vec<Numbered>) -> Vec<Vec<Numbered>> {
    let mut runs: Vec<Vec<Numbered>> = Vec::new();
    for part in content {
        match runs.last_mut() {
            Some(run) if run.first().is_some_and(|first| is_result(first) == is_result(&part)) => run.push(part),
            _ => runs.push(vec![part]),
        }
    }
    runs
}

fn is_result((_, part): &Numbered) -> bool {
    matches!(part.body, PartBody::ToolResult(_))
}

/// A string or a list of blocks.
fn content(fields: &mut Fields, name: &str, role: Role, shared: &mut Shared) -> Result<Option<Vec<Numbered>>, BadRequest> {
    match fields.value(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(Some(Vec::new())),
        Some(Value::String(text)) => Ok(Some(vec![(0, part(PartBody::Text(text)))])),
        Some(Value::Array(blocks)) => {
            let path = fields.path(name);
            let mut reader = BlockReader::new(role, shared);
            let mut numbers = Vec::with_capacity(blocks.len());
            for (at, block) in blocks.into_iter().enumerate() {
                // A carrier of a replay is no part.
                if reader.read(format!("{path}[{at}]"), block)? > numbers.len() {
                    numbers.push(at);
                }
            }
            Ok(Some(numbers.into_iter().zip(reader.parts()).collect()))
        }
        Some(_) => Err(fields.wrong(name, "must be a string or a list of blocks")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::CacheBreakpoint;
    use serde_json::json;

    fn read(body: Value) -> Result<Vec<Message>, BadRequest> {
        parse(&mut Fields::of_value(String::new(), body).unwrap(), &mut Shared::default(), &mut Places::default())
    }

    fn said(role: Role, text: &str) -> Message {
        Message { role, name: None, parts: vec![part(PartBody::Text(text.into()))], extras: Vec::new() }
    }

    #[test]
    fn system_is_the_first_message() {
        let hi = json!([{"role": "user", "content": "hi"}]);
        assert_eq!(
            read(json!({"system": "Be brief.", "messages": hi})).unwrap(),
            [said(Role::System, "Be brief."), said(Role::User, "hi")]
        );
        let blocks = json!([{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}}]);
        let read_blocks = read(json!({"system": blocks, "messages": hi})).unwrap();
        let caches: Vec<_> = read_blocks[0].parts.iter().map(|part| part.cache).collect();
        assert_eq!(caches, [None, Some(CacheBreakpoint { lifetime: None })]);
        for nothing in [json!(null), json!(""), json!([])] {
            assert_eq!(read(json!({"system": nothing, "messages": hi})).unwrap(), [said(Role::User, "hi")]);
        }
    }

    #[test]
    fn tool_results_and_the_users_words_become_messages_of_their_own_in_order() {
        let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "x"});
        let text = json!({"type": "text", "text": "and?"});
        let read = read(json!({"messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}, {"type": "tool_use", "id": "b", "name": "g", "input": {}}]},
            {"role": "user", "content": [text, result("a"), result("b"), text], "further": 1}
        ]}))
        .unwrap();
        let shape: Vec<(Role, usize, usize)> =
            read.iter().map(|message| (message.role, message.parts.len(), message.extras.len())).collect();
        assert_eq!(shape, [(Role::Assistant, 2, 0), (Role::User, 1, 1), (Role::Tool, 2, 0), (Role::User, 1, 0)]);
        let PartBody::ToolResult(second) = &read[2].parts[1].body else { unreachable!() };
        assert_eq!((second.call_id.as_str(), second.name.as_str()), ("b", "g"));
    }

    #[test]
    fn an_instruction_may_stand_among_the_messages() {
        let read = read(json!({"messages": [{"role": "user", "content": "hi"}, {"role": "system", "content": "Be brief."}]})).unwrap();
        assert_eq!(read, [said(Role::User, "hi"), said(Role::System, "Be brief.")]);
    }

    #[test]
    fn only_the_assistant_may_say_nothing() {
        let empty = |role: &str, content: Value| read(json!({"messages": [{"role": role, "content": content}]}));
        assert!(empty("assistant", json!([])).unwrap()[0].parts.is_empty());
        for (role, content) in
            [("user", json!("")), ("user", json!([])), ("user", json!(null)), ("assistant", json!(null)), ("user", json!(5))]
        {
            assert_eq!(empty(role, content).unwrap_err().param.unwrap(), "messages[0].content");
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (body, field) in [
            (json!({}), "messages"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": {}}), "messages"),
            (json!({"messages": ["hi"]}), "messages[0]"),
            (json!({"messages": [{"content": "hi"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "tool", "content": "hi"}]}), "messages[0].role"),
            (json!({"system": 5, "messages": []}), "system"),
            (json!({"system": [{"type": "text"}], "messages": []}), "system[0].text"),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().param.unwrap(), field, "{body}");
        }
    }
}
