//! What `/messages` refuses in a conversation: roles, blocks, tool calls without results, thinking that was changed.

use super::models::Model;
use super::transcript::{Thought, Transcript};
use super::{Version, invalid};
use crate::simulate::prompt::{is_set, list_at, str_at};
use crate::simulate::wire::Problem;
use serde_json::Value;

const MAX_MESSAGES: usize = 100_000;

pub(super) fn check(model: Model<'_>, version: Version, body: &Value) -> Result<(), Problem> {
    let messages = list_at(body, "messages");
    let Some(last) = messages.last() else {
        return Err(invalid("messages: at least one message is required"));
    };
    if messages.len() > MAX_MESSAGES {
        return Err(invalid(format!("messages: at most {MAX_MESSAGES} messages are allowed")));
    }
    let mut transcript = Transcript::new(model);
    for (index, message) in messages.iter().enumerate() {
        let previous = index.checked_sub(1).map(|previous| &messages[previous]);
        check_role(model, message, previous)?;
        check_content(index, message, index + 1 == messages.len())?;
        let turn = Turn { index, message, version, model, transcript: &transcript };
        list_at(message, "content").iter().enumerate().try_for_each(|(block, value)| turn.check_block(block, value))?;
        transcript.push(message);
    }
    if str_at(last, "role") == "assistant" && model.refuses_prefill() {
        return Err(invalid("This model does not support assistant message prefill. The conversation must end with a user message."));
    }
    check_calls(messages)
}

fn check_role(model: Model<'_>, message: &Value, previous: Option<&Value>) -> Result<(), Problem> {
    match str_at(message, "role") {
        "user" | "assistant" => Ok(()),
        "system" if !model.takes_system_messages() => Err(invalid(
            "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.",
        )),
        "system" if previous.is_some_and(|previous| str_at(previous, "role") == "user") => Ok(()),
        "system" => Err(invalid("messages: a system message must follow a user message")),
        other => Err(invalid(format!("messages: Unexpected role \"{other}\". Allowed roles are \"user\" or \"assistant\"."))),
    }
}

fn check_content(index: usize, message: &Value, is_last: bool) -> Result<(), Problem> {
    let is_empty = match message.get("content") {
        None | Some(Value::Null) => return Err(invalid(format!("messages.{index}.content: Field required"))),
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(blocks)) => blocks.is_empty(),
        Some(_) => return Err(invalid(format!("messages.{index}.content: Input should be a valid list"))),
    };
    let may_be_empty = is_last && str_at(message, "role") == "assistant";
    if is_empty && !may_be_empty {
        return Err(invalid(format!(
            "messages.{index}: all messages must have non-empty content except for the optional final assistant message"
        )));
    }
    Ok(())
}

/// One message, with what its blocks are judged by.
struct Turn<'a> {
    index: usize,
    message: &'a Value,
    version: Version,
    model: Model<'a>,
    /// Of the messages before it.
    transcript: &'a Transcript,
}

impl Turn<'_> {
    fn check_block(&self, index: usize, block: &Value) -> Result<(), Problem> {
        let place = format!("messages.{}.content.{index}", self.index);
        let is_user = str_at(self.message, "role") == "user";
        match str_at(block, "type") {
            "text" => self.check_text(block, is_user),
            "image" => check_source(block, &place, &["base64", "url", "file"]),
            "document" if !is_user && self.version >= Version::October2026 => {
                Err(invalid(format!("{place}: document blocks are not permitted in assistant messages")))
            }
            "document" => check_source(block, &place, &["base64", "text", "url", "file", "content"]),
            "tool_use" => check_call(block, &place),
            "tool_result" if !is_user => Err(invalid(format!("{place}: `tool_result` blocks can only be in user messages"))),
            "tool_result" if str_at(block, "tool_use_id").is_empty() => {
                Err(invalid(format!("{place}.tool_result.tool_use_id: Field required")))
            }
            "tool_result" => Ok(()),
            "thinking" | "redacted_thinking" if is_user => {
                Err(invalid(format!("{place}: `thinking` blocks can only be in assistant messages")))
            }
            "thinking" => self.check_seal(&place, block),
            "redacted_thinking" => self.check_hidden(&place, block),
            "" => Err(invalid(format!("{place}.type: Field required"))),
            kind if is_server_block(kind) => Ok(()),
            other => Err(invalid(format!("{place}: Input tag '{other}' found using 'type' does not match any of the expected tags"))),
        }
    }

    fn check_text(&self, block: &Value, is_user: bool) -> Result<(), Problem> {
        if str_at(block, "text").is_empty() {
            return Err(invalid("messages: text content blocks must be non-empty"));
        }
        if is_user && self.version >= Version::October2026 && !list_at(block, "citations").is_empty() {
            return Err(invalid("messages: citations are not permitted on text blocks in user messages"));
        }
        Ok(())
    }

    fn check_seal(&self, place: &str, block: &Value) -> Result<(), Problem> {
        if !is_set(block, "signature") {
            return Err(invalid(format!("{place}.thinking.signature: Field required")));
        }
        if self.is_own(Some(str_at(block, "thinking")), str_at(block, "signature")) {
            return Ok(());
        }
        Err(invalid(format!("{place}: Invalid `signature` in `thinking` block")))
    }

    fn check_hidden(&self, place: &str, block: &Value) -> Result<(), Problem> {
        if self.is_own(None, str_at(block, "data")) {
            return Ok(());
        }
        Err(invalid(format!("{place}: Invalid `data` in `redacted_thinking` block")))
    }

    fn is_own(&self, text: Option<&str>, seal: &str) -> bool {
        Thought { model: self.model, transcript: &self.transcript.digest(), text }.holds(seal)
    }
}

/// Of tools that run at Anthropic: taken as they come.
fn is_server_block(kind: &str) -> bool {
    kind == "server_tool_use" || kind.ends_with("_tool_result") || matches!(kind, "search_result" | "container_upload" | "mcp_tool_use")
}

fn check_source(block: &Value, place: &str, kinds: &[&str]) -> Result<(), Problem> {
    let source = block.get("source").unwrap_or(&Value::Null);
    let kind = str_at(source, "type");
    if !kinds.contains(&kind) {
        return Err(invalid(format!(
            "{place}.{}.source: Input tag '{kind}' found using 'type' does not match any of the expected tags",
            str_at(block, "type")
        )));
    }
    let is_image = str_at(block, "type") == "image";
    let media_type = str_at(source, "media_type");
    if kind == "base64" && is_image && !matches!(media_type, "image/jpeg" | "image/png" | "image/gif" | "image/webp") {
        return Err(invalid(format!(
            "{place}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
        )));
    }
    Ok(())
}

fn check_call(block: &Value, place: &str) -> Result<(), Problem> {
    let id = str_at(block, "id");
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        return Err(invalid(format!("{place}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")));
    }
    if !block.get("input").is_some_and(Value::is_object) {
        return Err(invalid(format!("{place}.tool_use.input: Input should be a valid dictionary")));
    }
    Ok(())
}

/// A turn as the server sees it: neighbouring messages of one role are one.
struct Merged<'a> {
    first: usize,
    role: &'a str,
    blocks: Vec<&'a Value>,
    has_plain_text: bool,
}

fn merged(messages: &[Value]) -> Vec<Merged<'_>> {
    let mut turns: Vec<Merged<'_>> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = str_at(message, "role");
        if turns.last().is_none_or(|turn| turn.role != role) {
            turns.push(Merged { first: index, role, blocks: Vec::new(), has_plain_text: false });
        }
        if let Some(turn) = turns.last_mut() {
            // A plain string is a text block: results behind it are no longer first.
            turn.has_plain_text |= turn.blocks.is_empty() && message.get("content").is_some_and(Value::is_string);
            turn.blocks.extend(list_at(message, "content"));
        }
    }
    turns
}

fn check_calls(messages: &[Value]) -> Result<(), Problem> {
    let turns = merged(messages);
    let mut seen: Vec<&str> = Vec::new();
    for (place, turn) in turns.iter().enumerate() {
        let calls = ids(turn, "tool_use", "id");
        if let Some(repeated) = calls.iter().find(|id| seen.contains(id)) {
            return Err(invalid(format!("messages.{}: `tool_use` ids must be unique: {repeated}", turn.first)));
        }
        seen.extend(&calls);
        let results = turns.get(place + 1).map(leading_results).unwrap_or_default();
        let unanswered: Vec<&str> = calls.iter().copied().filter(|id| !results.contains(id)).collect();
        if !unanswered.is_empty() {
            return Err(invalid(format!(
                "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
                turn.first,
                unanswered.join(", ")
            )));
        }
        let asked = place.checked_sub(1).map(|previous| ids(&turns[previous], "tool_use", "id")).unwrap_or_default();
        if let Some(stray) = ids(turn, "tool_result", "tool_use_id").into_iter().find(|id| !asked.contains(id)) {
            return Err(invalid(format!(
                "messages.{}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {stray}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
                turn.first
            )));
        }
    }
    Ok(())
}

fn ids<'a>(turn: &Merged<'a>, kind: &str, member: &str) -> Vec<&'a str> {
    turn.blocks.iter().filter(|block| str_at(block, "type") == kind).map(|block| str_at(block, member)).collect()
}

/// The results that stand first in a turn: others do not count as answers.
fn leading_results<'a>(turn: &Merged<'a>) -> Vec<&'a str> {
    if turn.has_plain_text {
        return Vec::new();
    }
    let leading = turn.blocks.iter().take_while(|block| str_at(block, "type") == "tool_result");
    leading.map(|block| str_at(block, "tool_use_id")).collect()
}
