//! A stream of `/responses`: typed events about output items, the last of which holds the whole answer.
//!
//! Deltas are what is told. The `*.done` events repeat it, and are used for what only they have: encrypted reasoning, citations that
//! were not announced, and text of servers that send no deltas. There is no `[DONE]`; exactly one terminal event is the end.

use crate::citations;
use crate::endpoint::Endpoint;
use crate::failure;
use crate::responses_answer::{CallItem, CallKind, OutputItem, OutputMessage, Reasoning, Response};
use crate::text::{Text, elements, said};
use llm_gateway_adapter::stream::{Events, PartId};
use llm_gateway_adapter::types::{Citation, Frame, PartBody, PartGrowth, PartKind};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ResponseEvent<'a> {
    #[serde(borrow)]
    response: Response<'a>,
}

#[derive(Deserialize)]
struct ItemEvent<'a> {
    #[serde(default)]
    output_index: u32,
    #[serde(borrow)]
    item: &'a RawValue,
}

/// Of a text, a refusal, a call's arguments, or reasoning.
#[derive(Deserialize)]
struct DeltaEvent<'a> {
    #[serde(default)]
    output_index: u32,
    #[serde(default)]
    content_index: u32,
    #[serde(default)]
    summary_index: u32,
    #[serde(borrow)]
    delta: Text<'a>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AnnotationEvent<'a> {
    #[serde(default)]
    output_index: u32,
    #[serde(default)]
    content_index: u32,
    #[serde(borrow)]
    annotation: &'a RawValue,
}

#[derive(Debug, Default)]
pub struct ResponsesStream {
    started: bool,
    items: Vec<OpenItem>,
    /// Items that the stream itself has told of, open or not.
    told_items: usize,
}

/// What of an item has been opened. Which of the three it is follows from its type.
#[derive(Debug, Default)]
struct OpenItem {
    output_index: u32,
    texts: Vec<OpenText>,
    reasoning: Option<OpenReasoning>,
    call: Option<OpenCall>,
}

#[derive(Debug)]
struct OpenText {
    content_index: u32,
    part: PartId,
    citations: usize,
}

#[derive(Debug)]
struct OpenReasoning {
    part: PartId,
    /// The paragraph that is being written.
    paragraph: u32,
}

#[derive(Debug)]
struct OpenCall {
    part: PartId,
    has_grown: bool,
}

impl ResponsesStream {
    pub fn frame(&mut self, frame: &Frame, events: &mut Events) {
        let data = frame.data.trim();
        // Some servers end with the chat endpoint's sign. It proves nothing here.
        if data.is_empty() || data == "[DONE]" {
            return;
        }
        let Ok(typed) = serde_json::from_str::<Typed<'_>>(data) else {
            return events.fail(failure::in_frame(data));
        };
        let kind = typed.kind.as_deref().or(frame.event.as_deref()).unwrap_or_default();
        if self.event(kind, data, events).is_err() {
            events.fail(failure::unreadable_frame(data));
        }
    }

    /// Events of other types are passed over: the provider adds some within a version.
    fn event(&mut self, kind: &str, data: &str, events: &mut Events) -> serde_json::Result<()> {
        match kind {
            "response.output_text.delta" => self.text_delta(serde_json::from_str(data)?, &PartKind::Text, events),
            "response.refusal.delta" => self.text_delta(serde_json::from_str(data)?, &PartKind::Refusal, events),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.call_delta(&serde_json::from_str(data)?, events);
            }
            "response.reasoning_summary_text.delta" => {
                let delta: DeltaEvent<'_> = serde_json::from_str(data)?;
                self.reasoning_delta(&delta, delta.summary_index, events);
            }
            "response.reasoning_text.delta" => {
                let delta: DeltaEvent<'_> = serde_json::from_str(data)?;
                self.reasoning_delta(&delta, delta.content_index, events);
            }
            "response.output_text.annotation.added" => self.annotation(&serde_json::from_str(data)?, events),
            "response.output_item.added" => {
                let event: ItemEvent<'_> = serde_json::from_str(data)?;
                self.item_added(event.output_index, &OutputItem::read(event.item), events);
            }
            "response.output_item.done" => {
                let event: ItemEvent<'_> = serde_json::from_str(data)?;
                self.item_done(event.output_index, OutputItem::read(event.item), events);
            }
            "response.created" => self.start(serde_json::from_str::<ResponseEvent<'_>>(data)?.response, events),
            "response.completed" | "response.incomplete" | "response.cancelled" | "response.failed" => {
                self.end(serde_json::from_str::<ResponseEvent<'_>>(data)?.response, events);
            }
            "error" => events.fail(failure::in_frame(data)),
            // Without a type: an error in a form of its own, or nothing that is known.
            "" => {
                if let Some(failure) = failure::in_success(data, &[]) {
                    events.fail(failure);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, response: Response<'_>, events: &mut Events) {
        self.started = true;
        events.start(said(response.id), said(response.model), Vec::new());
    }

    /// A server may leave out `response.created`; `started` comes first all the same.
    fn ensure_started(&mut self, events: &mut Events) {
        if !std::mem::replace(&mut self.started, true) {
            events.start(None, None, Vec::new());
        }
    }

    /// The item; one that was not announced is begun.
    fn item(&mut self, output_index: u32) -> &mut OpenItem {
        let at = self.items.iter().position(|item| item.output_index == output_index).unwrap_or_else(|| {
            self.told_items += 1;
            self.items.push(OpenItem { output_index, ..OpenItem::default() });
            self.items.len() - 1
        });
        &mut self.items[at]
    }

    fn item_added(&mut self, output_index: u32, item: &OutputItem<'_>, events: &mut Events) {
        self.ensure_started(events);
        let open = self.item(output_index);
        match item {
            OutputItem::FunctionCall(call) => open.open_call(call, CallKind::Function, events),
            OutputItem::CustomToolCall(call) => open.open_call(call, CallKind::Custom, events),
            // These are opened when there is something to show, or when they are complete.
            OutputItem::Message(_) | OutputItem::Reasoning(_) | OutputItem::Other(_) => {}
        }
    }

    fn text_delta(&mut self, event: DeltaEvent<'_>, kind: &PartKind, events: &mut Events) {
        self.ensure_started(events);
        let part = self.item(event.output_index).text(event.content_index, kind, events).part;
        let logprobs = elements(event.logprobs).map(|elements| format!("[{elements}]"));
        if !event.delta.is_empty() || logprobs.is_some() {
            let text = event.delta.into_owned();
            events.grow_with(part, PartGrowth { choice: part.choice, part: part.part, text, media: None, logprobs });
        }
    }

    fn annotation(&mut self, event: &AnnotationEvent<'_>, events: &mut Events) {
        self.ensure_started(events);
        let text = self.item(event.output_index).text(event.content_index, &PartKind::Text, events);
        text.cite(citations::of_annotation(event.annotation, Endpoint::Responses), events);
    }

    fn call_delta(&mut self, event: &DeltaEvent<'_>, events: &mut Events) {
        if let Some(call) = &mut self.item(event.output_index).call {
            call.has_grown |= !event.delta.is_empty();
            events.grow(call.part, &event.delta);
        }
    }

    fn reasoning_delta(&mut self, event: &DeltaEvent<'_>, paragraph: u32, events: &mut Events) {
        self.ensure_started(events);
        let item = self.item(event.output_index);
        let open = item.reasoning.get_or_insert_with(|| OpenReasoning { part: events.open(0, PartKind::Thinking), paragraph });
        if std::mem::replace(&mut open.paragraph, paragraph) != paragraph {
            events.grow(open.part, "\n\n");
        }
        events.grow(open.part, &event.delta);
    }

    fn item_done(&mut self, output_index: u32, item: OutputItem<'_>, events: &mut Events) {
        self.item_added(output_index, &item, events);
        let open = std::mem::take(self.item(output_index));
        self.items.retain(|item| item.output_index != output_index);
        match item {
            OutputItem::Message(message) => open.close_message(&message, events),
            OutputItem::Reasoning(reasoning) => open.close_reasoning(&reasoning, events),
            OutputItem::FunctionCall(call) | OutputItem::CustomToolCall(call) => open.close_call(&call, events),
            OutputItem::Other(native) => {
                let part = events.open(0, PartKind::Other(native));
                events.close(part, None, Vec::new());
            }
        }
    }

    fn end(&mut self, mut response: Response<'_>, events: &mut Events) {
        if self.told_items == 0 {
            for (output_index, item) in (0..).zip(response.output.take().into_iter().flatten()) {
                self.item_done(output_index, OutputItem::read(item), events);
            }
        }
        self.started = true;
        let extras = response.extras();
        let (usage, failure, finish) = (response.usage(), response.failure(&[]), response.finish(events.called_a_tool(0)));
        events.start(said(response.id), said(response.model), extras);
        if let Some(usage) = usage {
            events.usage(usage);
        }
        match failure {
            Some(failure) => events.fail(failure),
            None => {
                events.finish(0, finish);
                events.end();
            }
        }
    }
}

impl OpenItem {
    fn open_call(&mut self, call: &CallItem<'_>, kind: CallKind, events: &mut Events) {
        self.call.get_or_insert_with(|| OpenCall {
            part: events.open_tool_call(0, &*call.call_id, &*call.name, kind == CallKind::Custom),
            has_grown: false,
        });
    }

    fn text(&mut self, content_index: u32, kind: &PartKind, events: &mut Events) -> &mut OpenText {
        let at = self.texts.iter().position(|text| text.content_index == content_index).unwrap_or_else(|| {
            self.texts.push(OpenText { content_index, part: events.open(0, kind.clone()), citations: 0 });
            self.texts.len() - 1
        });
        &mut self.texts[at]
    }

    /// Tells what no delta has told, and closes the message's texts.
    fn close_message(mut self, message: &OutputMessage<'_>, events: &mut Events) {
        for (content_index, content) in (0..).zip(&message.content) {
            let was_open = self.texts.iter().any(|text| text.content_index == content_index);
            if !was_open && let Some(body) = content.body() {
                self.tell_whole(content_index, body, content.logprobs(), events);
            }
            if let Some(text) = self.texts.iter_mut().find(|text| text.content_index == content_index) {
                for citation in content.citations().skip(text.citations) {
                    text.cite(citation, events);
                }
            }
        }
        for text in &self.texts {
            events.close(text.part, message.replay(), message.extras());
        }
    }

    fn tell_whole(&mut self, content_index: u32, body: PartBody, logprobs: Option<&str>, events: &mut Events) {
        let (kind, text) = match body {
            PartBody::Refusal(text) => (PartKind::Refusal, text),
            PartBody::Text(text) => (PartKind::Text, text),
            _ => return,
        };
        let part = self.text(content_index, &kind, events).part;
        let logprobs = logprobs.map(|elements| format!("[{elements}]"));
        events.grow_with(part, PartGrowth { choice: part.choice, part: part.part, text, media: None, logprobs });
    }

    fn close_reasoning(self, reasoning: &Reasoning<'_>, events: &mut Events) {
        let part = match self.reasoning {
            Some(open) => open.part,
            None if reasoning.is_empty() => return,
            None => {
                let part = events.open(0, PartKind::Thinking);
                events.grow(part, &reasoning.text());
                part
            }
        };
        events.close(part, reasoning.replay(), Vec::new());
    }

    fn close_call(self, call: &CallItem<'_>, events: &mut Events) {
        if let Some(open) = self.call {
            if !open.has_grown {
                events.grow(open.part, call.arguments());
            }
            events.close(open.part, None, call.extras());
        }
    }
}

impl OpenText {
    fn cite(&mut self, citation: Citation, events: &mut Events) {
        self.citations += 1;
        events.cite(self.part, citation);
    }
}
