//! A whole answer, and what streams have of it too: blocks, stop reasons, the message around them.
//!
//! Images and sounds have no block here: a text says that they were left out. Blocks of other dialects are not shown. A refusal is text. The input of a tool is an object in this
//! dialect: of arguments that are none it is `{"arguments": text}`, and of a tool that takes free text `{"input": text}`.

use super::{DIALECT, carriers, citations, own_fields, usage};
use crate::contract::{ChatResponse, Finish, FinishReason, Media, Native, Part, PartBody, ToolCall, Usage};
use crate::edge::dialect::Head;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Fields of a message that are written here, whatever an adapter says.
const TAKEN: [&str; 8] = ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"];

#[derive(Debug, Serialize)]
pub struct Message<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    #[serde(flatten)]
    fields: Map<String, Value>,
    usage: Value,
}

impl<'a> Message<'a> {
    /// One that has only begun. `fields` are the answer's own.
    pub fn begun(head: &'a Head, mut fields: Map<String, Value>, usage: Option<&Usage>) -> Self {
        let of_usage = usage::take_fields(&mut fields);
        fields.retain(|name, _| !TAKEN.contains(&name.as_str()));
        Self {
            id: &head.id,
            kind: "message",
            role: "assistant",
            model: &head.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            fields,
            usage: usage::body(usage, of_usage),
        }
    }
}

/// Only one choice can be told, and only one is ever asked for.
pub fn whole(head: &Head, answer: &ChatResponse) -> Vec<u8> {
    let mut fields = own_fields(&answer.extras);
    let choice = answer.choices.first();
    fields.extend(choice.iter().flat_map(|choice| own_fields(&choice.finish.extras)));
    let mut message = Message::begun(head, fields, answer.usage.as_ref());
    if let Some(choice) = choice {
        message.content = choice.parts.iter().flat_map(blocks).collect();
        message.stop_reason = Some(stop_reason(&choice.finish));
        message.stop_sequence = stop_sequence(&choice.finish);
    } else {
        message.stop_reason = Some("end_turn");
    }
    // Strings, numbers and JSON that was read before: there is nothing in it that JSON can't hold.
    serde_json::to_vec(&message).unwrap_or_default()
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Block<'a> {
    ToolUse(ToolUse<'a>),
    Any(Value),
}

#[derive(Debug, Serialize)]
pub struct ToolUse<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    name: &'a str,
    input: Cow<'a, RawValue>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

/// What the caller sees of a part: nothing, a block, or a block and its replay behind it.
fn blocks(part: &Part) -> Vec<Block<'_>> {
    let sealed = part.replay.as_ref().map(|replay| replay.data.as_str());
    let block = match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => return text_block(part, text, sealed).map(Block::Any).into_iter().collect(),
        PartBody::Thinking(text) => {
            return thinking_block(&part.extras, text, sealed).map(Block::Any).into_iter().collect();
        }
        PartBody::ToolCall(call) => {
            Block::ToolUse(ToolUse { kind: "tool_use", id: &call.id, name: &call.name, input: input(call), extras: further(&part.extras) })
        }
        PartBody::Other(native) => match shown(native) {
            Some(block) => Block::Any(block),
            None => return Vec::new(),
        },
        PartBody::Image(media) => return left_out(&notice("image", media), sealed),
        PartBody::Audio(media) => return left_out(&notice("sound", media), sealed),
        PartBody::Video(media) => return left_out(&notice("video", media), sealed),
        PartBody::Document(media) => return left_out(&notice("document", media), sealed),
        PartBody::ToolResult(_) => return Vec::new(),
    };
    let carrier = sealed.map(|sealed| Block::Any(carriers::behind(sealed)));
    [block].into_iter().chain(carrier).collect()
}

/// What is said in place of a medium.
pub fn notice(kind: &str, media: &Media) -> String {
    let media_type = media.media_type.as_deref().map(|told| format!("{told} ")).unwrap_or_default();
    format!("[{media_type}{kind} left out: Anthropic's wire has no block for it]")
}

/// The replay is not the notice's, and comes back without it.
fn left_out<'a>(notice: &str, sealed: Option<&str>) -> Vec<Block<'a>> {
    let text = json!({"type": "text", "text": notice});
    [text].into_iter().chain(sealed.map(carriers::empty_text)).map(Block::Any).collect()
}

fn text_block(part: &Part, text: &str, sealed: Option<&str>) -> Option<Value> {
    let mut citations: Vec<Value> = part.citations.iter().filter_map(citations::shown).collect();
    if text.is_empty() && citations.is_empty() {
        return sealed.map(carriers::empty_text);
    }
    citations.extend(sealed.map(carriers::citation));
    let mut block = json!({"type": "text", "text": text});
    if !citations.is_empty() {
        block["citations"] = Value::Array(citations);
    }
    for (name, value) in further(&part.extras) {
        block[name] = value;
    }
    Some(block)
}

/// Nothing for thinking that says nothing and carries nothing.
pub fn thinking_block(extras: &[Native], text: &str, sealed: Option<&str>) -> Option<Value> {
    match sealed {
        Some(sealed) if text.is_empty() && is_redacted(extras) => Some(carriers::redacted(sealed)),
        None if text.is_empty() => None,
        _ => Some(json!({"type": "thinking", "thinking": text, "signature": sealed.unwrap_or_default()})),
    }
}

/// An adapter of this dialect says so of a part by the type that its block had.
fn is_redacted(extras: &[Native]) -> bool {
    own_fields(extras).get("type").is_some_and(|kind| kind == "redacted_thinking")
}

/// Fields of a part that its block has beside its content.
fn further(extras: &[Native]) -> Map<String, Value> {
    let mut fields = own_fields(extras);
    fields.retain(|name, _| !matches!(name.as_str(), "type" | "id" | "name" | "input" | "text" | "citations"));
    fields
}

/// A block of this dialect's own, as it came.
pub fn shown(native: &Native) -> Option<Value> {
    if native.dialect != DIALECT {
        return None;
    }
    serde_json::from_str(&native.value).ok().filter(|block: &Value| block["type"].is_string())
}

fn input(call: &ToolCall) -> Cow<'_, RawValue> {
    let text = if call.arguments.trim().is_empty() && !call.free_form { "{}" } else { call.arguments.trim() };
    match serde_json::from_str::<&RawValue>(text) {
        Ok(object) if !call.free_form && text.starts_with('{') => Cow::Borrowed(object),
        _ => Cow::Owned(RawValue::from_string(wrapped(&call.arguments, call.free_form)).unwrap_or_default()),
    }
}

/// An object, as JSON, around arguments that are none.
pub fn wrapped(arguments: &str, free_form: bool) -> String {
    json!({ if free_form { "input" } else { "arguments" }: arguments }).to_string()
}

/// The provider's own word where it is one of this dialect's that says more than the canonical reason.
pub fn stop_reason(finish: &Finish) -> &'static str {
    match (finish.reason, finish.raw.as_deref()) {
        (FinishReason::Other, Some("pause_turn")) => "pause_turn",
        (FinishReason::Other, Some("compaction")) => "compaction",
        (FinishReason::Length, Some("model_context_window_exceeded")) => "model_context_window_exceeded",
        (FinishReason::Length, _) => "max_tokens",
        (FinishReason::ToolCalls, _) => "tool_use",
        (FinishReason::ContentFilter, _) => "refusal",
        (FinishReason::Stop, _) if finish.stop_sequence.is_some() => "stop_sequence",
        (FinishReason::Stop | FinishReason::Error | FinishReason::Other, _) => "end_turn",
    }
}

pub fn stop_sequence(finish: &Finish) -> Option<&str> {
    finish.stop_sequence.as_deref().filter(|_| finish.reason == FinishReason::Stop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::own;
    use super::*;
    use crate::contract::{Choice, MediaSource, Replay};
    use crate::domain::part;

    fn finish(reason: FinishReason, raw: &str, stop_sequence: Option<&str>) -> Finish {
        Finish { reason, raw: Some(raw.into()), stop_sequence: stop_sequence.map(str::to_owned), extras: Vec::new() }
    }

    fn call(arguments: &str, free_form: bool) -> Part {
        part(PartBody::ToolCall(ToolCall { id: "toolu_1".into(), name: "f".into(), arguments: arguments.into(), free_form }))
    }

    fn sealed(part: Part) -> Part {
        Part { replay: Some(Replay { data: "gw1;x".into(), model: None }), ..part }
    }

    fn shown_as(part: &Part) -> Value {
        serde_json::to_value(blocks(part)).unwrap()
    }

    #[test]
    fn a_whole_answer_has_every_key() {
        let details = Finish {
            extras: vec![own(&json!({"stop_details": {"type": "refusal"}}))],
            ..finish(FinishReason::ContentFilter, "refusal", None)
        };
        let answer = ChatResponse {
            id: None,
            model: None,
            choices: vec![Choice { index: 0, parts: vec![part(PartBody::Text("hi".into()))], finish: details, logprobs: None }],
            usage: None,
            extras: vec![own(&json!({"container": {"id": "c"}, "service_tier": "standard", "role": "robot"}))],
        };
        let head = Head { id: "msg_1".into(), created: 7, model: "m".into() };
        assert_eq!(
            serde_json::from_slice::<Value>(&whole(&head, &answer)).unwrap(),
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}],
                "stop_reason": "refusal", "stop_sequence": null, "stop_details": {"type": "refusal"}, "container": {"id": "c"},
                "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0, "service_tier": "standard"}
            })
        );
    }

    #[test]
    fn the_input_of_a_tool_is_always_an_object() {
        for (arguments, free_form, input) in [
            ("{\"a\":1.0}", false, json!({"a": 1.0})),
            ("", false, json!({})),
            (" {} ", false, json!({})),
            ("[1]", false, json!({"arguments": "[1]"})),
            ("{\"a\":", false, json!({"arguments": "{\"a\":"})),
            ("ls -la", true, json!({"input": "ls -la"})),
            ("{}", true, json!({"input": "{}"})),
            ("", true, json!({"input": ""})),
        ] {
            let expected = json!([{"type": "tool_use", "id": "toolu_1", "name": "f", "input": input}]);
            assert_eq!(shown_as(&call(arguments, free_form)), expected, "{arguments}");
        }
    }

    #[test]
    fn each_part_carries_its_replay_in_its_own_place() {
        let thought = |text: &str| part(PartBody::Thinking(text.into()));
        let redacted = Part { extras: vec![own(&json!({"type": "redacted_thinking"}))], ..thought("") };
        for (part, shown) in [
            (sealed(thought("hm")), json!([{"type": "thinking", "thinking": "hm", "signature": "gw1;x"}])),
            (thought("hm"), json!([{"type": "thinking", "thinking": "hm", "signature": ""}])),
            (sealed(thought("")), json!([{"type": "thinking", "thinking": "", "signature": "gw1;x"}])),
            (sealed(redacted), json!([{"type": "redacted_thinking", "data": "gw1;x"}])),
            (
                sealed(part(PartBody::Text("hi".into()))),
                json!([{"type": "text", "text": "hi", "citations": [carriers::citation("gw1;x")]}]),
            ),
            (sealed(part(PartBody::Text(String::new()))), json!([{"type": "redacted_thinking", "data": "text:gw1;x"}])),
            (
                sealed(call("{}", false)),
                json!([{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}, {"type": "redacted_thinking", "data": "prev:gw1;x"}]),
            ),
        ] {
            assert_eq!(shown_as(&part), shown);
        }
    }

    #[test]
    fn what_has_no_block_here_is_not_shown() {
        let foreign = Native { dialect: "gemini".into(), value: "{\"type\":\"x\"}".into() };
        for body in [PartBody::Text(String::new()), PartBody::Thinking(String::new()), PartBody::Other(foreign)] {
            assert_eq!(shown_as(&part(body)), json!([]));
        }
    }

    #[test]
    fn a_medium_is_not_left_out_without_a_word() {
        let medium = |media_type: Option<&str>| Media {
            source: MediaSource::Base64("AAAA".into()),
            media_type: media_type.map(str::to_owned),
            name: None,
            detail: None,
            transcript: None,
        };
        let image = sealed(part(PartBody::Image(medium(Some("image/png")))));
        let said = json!({"type": "text", "text": "[image/png image left out: Anthropic's wire has no block for it]"});
        assert_eq!(shown_as(&image), json!([said, carriers::empty_text("gw1;x")]));
        let said = json!({"type": "text", "text": "[sound left out: Anthropic's wire has no block for it]"});
        assert_eq!(shown_as(&part(PartBody::Audio(medium(None)))), json!([said]));
    }

    #[test]
    fn further_fields_of_a_block_are_shown() {
        let direct = Part { extras: vec![own(&json!({"caller": {"type": "direct"}}))], ..call("{}", false) };
        assert_eq!(shown_as(&direct)[0]["caller"], json!({"type": "direct"}));
    }

    #[test]
    fn every_reason_has_a_word() {
        use FinishReason::{ContentFilter, Error, Length, Other, Stop, ToolCalls};
        for (finish, word, sequence) in [
            (finish(Stop, "stop", None), "end_turn", None),
            (finish(Stop, "stop_sequence", Some("END")), "stop_sequence", Some("END")),
            (finish(Length, "length", Some("END")), "max_tokens", None),
            (finish(Length, "model_context_window_exceeded", None), "model_context_window_exceeded", None),
            (finish(ToolCalls, "stop", None), "tool_use", None),
            (finish(ContentFilter, "SAFETY", None), "refusal", None),
            (finish(Other, "pause_turn", None), "pause_turn", None),
            (finish(Other, "LANGUAGE", None), "end_turn", None),
            (finish(Error, "MALFORMED_FUNCTION_CALL", None), "end_turn", None),
        ] {
            assert_eq!((stop_reason(&finish), stop_sequence(&finish)), (word, sequence), "{finish:?}");
        }
    }
}
