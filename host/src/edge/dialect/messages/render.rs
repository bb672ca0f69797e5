//! Answers as this dialect's clients want them, whole or as events.
//!
//! The events are what the SDKs insist on: every one with its name; `message_start` once and first, with counts that are numbers; blocks as `stream`
//! tells them; one `message_delta` with the reason and all of the usage, once both are known; `message_stop` only after a complete answer.

use super::answer::{self, Message};
use super::stream::Blocks;
use super::{own_fields, usage};
use crate::contract::{ChatEvent, ChatResponse, Finish, FinishReason, Usage};
use crate::edge::dialect::sse::send;
use crate::edge::dialect::{Head, Render};
use serde_json::{Map, Value, json};
use std::mem;

/// Renders one answer, whole or its events.
#[derive(Debug)]
pub struct MessagesRenderer {
    head: Head,
    state: State,
    blocks: Blocks,
    /// The answer's fields in this dialect's words that have not been told yet.
    fields: Map<String, Value>,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Begun,
    Over,
}

impl Render for MessagesRenderer {
    fn whole(&mut self, answer: &ChatResponse) -> Vec<u8> {
        answer::whole(&self.head, answer)
    }

    fn event(&mut self, event: &ChatEvent, out: &mut Vec<u8>) {
        if self.state == State::Over {
            return;
        }
        match event {
            // What is known of usage follows, and belongs into the first event.
            ChatEvent::Started(start) => return self.fields.extend(own_fields(&start.extras)),
            ChatEvent::PartOpened(opening) if opening.choice == 0 => self.blocks.open(opening),
            ChatEvent::PartGrew(growth) if growth.choice == 0 => self.blocks.grow(growth),
            ChatEvent::PartCited(cited) if cited.choice == 0 => self.blocks.cite(cited),
            ChatEvent::PartClosed(closing) if closing.choice == 0 => self.blocks.close(closing),
            ChatEvent::Finished(finished) if finished.choice == 0 => self.finish = Some(finished.finish.clone()),
            ChatEvent::Usage(usage) => self.usage = Some(usage.clone()),
            ChatEvent::Ended => self.blocks.close_all(),
            // Other choices have no place here, and the host tells a failure itself.
            _ => return,
        }
        self.begin(out);
        self.blocks.tell(out);
        if *event == ChatEvent::Ended {
            self.end(out);
        }
    }

    fn broken(&self) -> Option<String> {
        let too_many = "the provider's answer has too many parts open at once to be told one after the other";
        self.blocks.are_too_many().then(|| too_many.to_owned())
    }

    /// No `message_stop` follows.
    fn failure(&mut self, body: &Value, out: &mut Vec<u8>) {
        self.state = State::Over;
        send(out, "error", body);
    }

    fn ping(&self, out: &mut Vec<u8>) {
        send(out, "ping", &json!({"type": "ping"}));
    }
}

impl MessagesRenderer {
    pub fn new(head: Head) -> Self {
        Self { head, state: State::Waiting, blocks: Blocks::default(), fields: Map::new(), usage: None, finish: None }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Waiting {
            return;
        }
        self.state = State::Begun;
        let message = Message::begun(&self.head, mem::take(&mut self.fields), self.usage.as_ref());
        send(out, "message_start", &json!({"type": "message_start", "message": message}));
        self.ping(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.state = State::Over;
        let finish = self.finish.take().unwrap_or_else(unsaid);
        let mut fields = mem::take(&mut self.fields);
        let usage = usage::body(self.usage.as_ref(), usage::take_fields(&mut fields));
        let mut delta = own_fields(&finish.extras);
        delta.extend(fields.shift_remove("container").map(|container| ("container".to_owned(), container)));
        delta.insert("stop_reason".to_owned(), json!(answer::stop_reason(&finish)));
        delta.insert("stop_sequence".to_owned(), json!(answer::stop_sequence(&finish)));
        for (name, value) in [("type", json!("message_delta")), ("delta", Value::Object(delta)), ("usage", usage)] {
            fields.insert(name.to_owned(), value);
        }
        send(out, "message_delta", &fields);
        send(out, "message_stop", &json!({"type": "message_stop"}));
    }
}

fn unsaid() -> Finish {
    Finish { reason: FinishReason::Other, raw: None, stop_sequence: None, extras: Vec::new() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{client, own};
    use super::*;
    use crate::contract::{
        ChoiceFinish, Media, MediaSource, PartClosing, PartGrowth, PartKind, PartOpening, Replay, StreamStart, ToolCallOpening,
    };

    fn opened(part: u32, kind: PartKind) -> ChatEvent {
        ChatEvent::PartOpened(PartOpening { choice: 0, part, kind })
    }

    fn call(part: u32, id: &str) -> ChatEvent {
        opened(part, PartKind::ToolCall(ToolCallOpening { id: id.into(), name: "f".into(), free_form: false }))
    }

    fn grew(part: u32, text: &str) -> ChatEvent {
        ChatEvent::PartGrew(PartGrowth { choice: 0, part, text: text.into(), media: None, logprobs: None })
    }

    fn closed(part: u32, replay: Option<&str>) -> ChatEvent {
        let replay = replay.map(|data| Replay { data: data.to_owned(), model: None });
        ChatEvent::PartClosed(PartClosing { choice: 0, part, replay, extras: Vec::new() })
    }

    fn started(extras: Value) -> ChatEvent {
        ChatEvent::Started(StreamStart { id: None, model: None, extras: vec![own(&extras)] })
    }

    fn finished(reason: FinishReason) -> ChatEvent {
        ChatEvent::Finished(ChoiceFinish { choice: 0, finish: Finish { reason, ..unsaid() } })
    }

    fn usage(input: u32, output: u32) -> ChatEvent {
        ChatEvent::Usage(Usage {
            input: Some(input),
            cache_read: Some(2),
            cache_write: None,
            output: Some(output),
            reasoning: None,
            details: Vec::new(),
        })
    }

    fn renderer() -> MessagesRenderer {
        MessagesRenderer::new(Head { id: "msg_1".into(), created: 7, model: "m".into() })
    }

    fn told(events: &[ChatEvent]) -> String {
        let mut renderer = renderer();
        let mut out = Vec::new();
        events.iter().for_each(|event| renderer.event(event, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_stream_is_told_in_anthropics_events() {
        let stream = told(&[
            started(json!({})),
            usage(10, 1),
            opened(0, PartKind::Thinking),
            grew(0, "hm"),
            closed(0, Some("gw1;x")),
            call(1, "toolu_1"),
            grew(1, "{\"a\""),
            grew(1, ":1}"),
            closed(1, None),
            finished(FinishReason::ToolCalls),
            usage(10, 7),
            ChatEvent::Ended,
        ]);
        let counts = |output: u32| {
            format!(r#""usage":{{"input_tokens":8,"cache_creation_input_tokens":0,"cache_read_input_tokens":2,"output_tokens":{output}}}"#)
        };
        let datas = [
            format!(
                r#"{{"message":{{"content":[],"id":"msg_1","model":"m","role":"assistant","stop_reason":null,"stop_sequence":null,"type":"message",{}}},"type":"message_start"}}"#,
                counts(1)
            ),
            r#"{"type":"ping"}"#.to_owned(),
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#.to_owned(),
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#.to_owned(),
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"gw1;x"}}"#.to_owned(),
            r#"{"type":"content_block_stop","index":0}"#.to_owned(),
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#
                .to_owned(),
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#.to_owned(),
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":":1}"}}"#.to_owned(),
            r#"{"type":"content_block_stop","index":1}"#.to_owned(),
            format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"tool_use","stop_sequence":null}},{}}}"#, counts(7)),
            r#"{"type":"message_stop"}"#.to_owned(),
        ];
        let told: Vec<(&str, Value)> = stream
            .split_terminator("\n\n")
            .map(|event| event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap())
            .map(|(name, data)| (name, serde_json::from_str(data).unwrap()))
            .collect();
        let expected: Vec<Value> = datas.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
        let expected: Vec<(&str, Value)> = expected.iter().map(|data| (data["type"].as_str().unwrap(), data.clone())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn of_an_image_a_text_says_that_it_was_left_out_and_its_replay_follows() {
        let image = Media {
            source: MediaSource::Base64(String::new()),
            media_type: Some("image/png".into()),
            name: None,
            detail: None,
            transcript: None,
        };
        let read = client::read(told(&[opened(0, PartKind::Image(image)), closed(0, Some("gw1;x")), ChatEvent::Ended]).as_bytes());
        let said = json!({"type": "text", "text": "[image/png image left out: Anthropic's wire has no block for it]"});
        assert_eq!(read.message["content"], json!([said, {"type": "redacted_thinking", "data": "text:gw1;x"}]));
    }

    #[test]
    fn calls_that_grow_side_by_side_are_told_one_after_the_other() {
        let read = client::read(
            told(&[
                call(0, "a"),
                call(1, "b"),
                grew(1, "{\"y\":"),
                grew(0, "{\"x\":1}"),
                grew(1, "2}"),
                closed(1, None),
                closed(0, None),
                ChatEvent::Ended,
            ])
            .as_bytes(),
        );
        let inputs: Vec<&Value> = read.message["content"].as_array().unwrap().iter().map(|block| &block["input"]).collect();
        assert_eq!(inputs, [&json!({"x": 1}), &json!({"y": 2})]);
    }

    #[test]
    fn arguments_that_are_no_object_are_put_into_one_at_the_end() {
        for (arguments, input) in [("ls", json!({"arguments": "ls"})), (" ", json!({})), (" {\"a\":1}", json!({"a": 1}))] {
            let mut events = vec![call(0, "a")];
            events.extend(arguments.chars().map(|text| grew(0, text.encode_utf8(&mut [0; 4]))));
            events.extend([closed(0, None), ChatEvent::Ended]);
            assert_eq!(client::read(told(&events).as_bytes()).message["content"][0]["input"], input, "{arguments}");
        }
    }

    #[test]
    fn the_reason_and_the_usage_wait_for_the_end() {
        let stream = told(&[opened(0, PartKind::Text), grew(0, "hi"), finished(FinishReason::Length)]);
        assert!(!stream.contains("message_delta") && !stream.contains("content_block_stop"), "{stream}");
        let read = client::read(
            told(&[opened(0, PartKind::Text), grew(0, "hi"), finished(FinishReason::Length), usage(10, 7), ChatEvent::Ended]).as_bytes(),
        );
        assert_eq!((&read.message["stop_reason"], &read.message["usage"]["input_tokens"]), (&json!("max_tokens"), &json!(8)));
    }

    #[test]
    fn fields_that_come_late_are_told_at_the_end() {
        let read = client::read(
            told(&[
                started(json!({"service_tier": "standard"})),
                usage(10, 1),
                started(json!({"container": {"id": "c"}, "context_management": {"applied_edits": []}, "iterations": []})),
                ChatEvent::Ended,
            ])
            .as_bytes(),
        );
        let message = &read.message;
        assert_eq!((&message["container"]["id"], &message["context_management"]["applied_edits"]), (&json!("c"), &json!([])));
        assert_eq!((&message["usage"]["service_tier"], &message["usage"]["iterations"]), (&json!("standard"), &json!([])));
    }

    #[test]
    fn an_answer_without_a_word_is_a_message_without_blocks() {
        let events = [opened(0, PartKind::Text), closed(0, None), finished(FinishReason::ContentFilter), ChatEvent::Ended];
        let read = client::read(told(&events).as_bytes());
        assert_eq!((&read.message["content"], &read.message["stop_reason"]), (&json!([]), &json!("refusal")));
        assert_eq!(read.events, ["message_start", "ping", "message_delta", "message_stop"]);
    }

    #[test]
    fn a_failure_is_the_last_event() {
        let mut renderer = renderer();
        let mut out = Vec::new();
        let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}, "request_id": "r"});
        for event in [opened(0, PartKind::Text), grew(0, "hi")] {
            renderer.event(&event, &mut out);
        }
        renderer.failure(&error, &mut out);
        renderer.event(&ChatEvent::Ended, &mut out);
        assert_eq!(client::read(&out).error, Some(error));
    }

    #[test]
    fn parts_that_wait_without_end_break_it() {
        let megabyte = "x".repeat(1 << 20);
        let mut renderer = renderer();
        for event in [opened(0, PartKind::Text), opened(1, PartKind::Text)] {
            renderer.event(&event, &mut Vec::new());
        }
        for _ in 0..64 {
            assert_eq!(renderer.broken(), None);
            renderer.event(&grew(1, &megabyte), &mut Vec::new());
        }
        renderer.event(&grew(1, &megabyte), &mut Vec::new());
        assert!(renderer.broken().unwrap().contains("too many parts"));
    }

    #[test]
    fn a_ping_has_its_name() {
        let mut out = Vec::new();
        renderer().ping(&mut out);
        assert_eq!(out, b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }
}
