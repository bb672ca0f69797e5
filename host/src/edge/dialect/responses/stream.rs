//! The answer, whole or as typed events.
//!
//! An item begins when there is something to show in it, but in the order in which parts were opened. Its end waits until another part shows
//! something, for the last item of an answer that was cut is not complete. The last event holds the whole response, so all of the answer is
//! gathered here, within the bounds that any gathered answer has.

use super::ResponsesForm;
use super::output::{Annotation, Content, Logprobs, OutputItem, Stage, SummaryPart, annotations, content, is_shown, turn_of};
use super::render::{Envelope, ErrorBody, Response, Status, choice, cut_part};
use crate::contract::{ChatEvent, ChatResponse, Part, PartBody, PartGrowth};
use crate::domain::{Disorder, Gathered};
use crate::edge::dialect::openai::arguments;
use crate::edge::dialect::{Head, Render, sse};
use serde::Serialize;
use serde_json::Value;

/// Renders one answer, whole or its events.
#[derive(Debug)]
pub struct ResponsesRenderer {
    envelope: Envelope,
    gathered: Gathered,
    /// By the part's number.
    places: Vec<Place>,
    /// The last part that was opened, if it has no item yet.
    waiting: Option<usize>,
    /// Parts that were closed and may yet be what the answer was cut in.
    held: Vec<usize>,
    /// The last part in which there is something to show.
    last_shown: Option<usize>,
    /// The part that the logprobs are told at.
    first_text: Option<usize>,
    /// Items so far.
    items: usize,
    phase: Phase,
    /// Why the events can't be told any further.
    broken: Option<Disorder>,
    writer: Writer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Running,
    Over,
}

/// Where in the stream a part is.
#[derive(Debug)]
enum Place {
    /// Opened, with nothing in it to show.
    Waiting,
    Hidden,
    Open(OpenItem),
    /// Closed, which has not been told.
    Held(OpenItem),
    Done,
}

#[derive(Debug)]
struct OpenItem {
    output_index: usize,
    /// None of an item of the provider's, whose id is its own.
    id: Option<String>,
    /// Whether its reasoning's summary has begun.
    has_summary: bool,
}

impl Render for ResponsesRenderer {
    fn whole(&mut self, answer: &ChatResponse) -> Vec<u8> {
        let turn = choice(answer).and_then(turn_of);
        let cut = choice(answer).and_then(cut_part);
        let shown = |number, part: &Part| is_shown(part).then_some(stage(number, cut));
        // Strings and numbers in structs: there is nothing in them that JSON can't hold.
        serde_json::to_vec(&self.envelope.ended(answer, &shown, turn.as_deref())).unwrap_or_default()
    }

    fn event(&mut self, event: &ChatEvent, out: &mut Vec<u8>) {
        let over = self.phase == Phase::Over || self.broken.is_some();
        if over || matches!(event, ChatEvent::Failed(_)) || !self.is_of_interest(event) {
            return;
        }
        self.begin(out);
        if let Err(disorder) = self.gathered.add(event.clone()) {
            self.broken = Some(disorder);
            return;
        }
        match event {
            ChatEvent::PartOpened(_) => self.open(out),
            ChatEvent::PartGrew(growth) => self.grow(growth, out),
            ChatEvent::PartClosed(closing) => self.close(number(closing.part), out),
            ChatEvent::Ended => self.end(out),
            ChatEvent::Started(_) | ChatEvent::Finished(_) | ChatEvent::PartCited(_) | ChatEvent::Usage(_) | ChatEvent::Failed(_) => {}
        }
    }

    fn broken(&self) -> Option<String> {
        self.broken.map(|disorder| disorder.to_string())
    }

    /// Clients look for one of the two: SDKs raise the error of the first event, others wait for the second.
    fn failure(&mut self, body: &Value, out: &mut Vec<u8>) {
        if self.phase == Phase::Over {
            return;
        }
        self.begin(out);
        self.release(usize::MAX, None, out);
        let error = &body["error"];
        let told = |name: &str| error[name].as_str().map(str::to_owned);
        let message = told("message").unwrap_or_default();
        let event = ErrorEvent { code: &error["code"], message: &message, param: &error["param"], error };
        self.writer.write(out, "error", &event);
        let error = ErrorBody { code: told("code").unwrap_or_else(|| "server_error".to_owned()), message: message.clone() };
        let stage = |number: usize, _: &Part| match self.places.get(number)? {
            Place::Open(_) | Place::Held(_) => Some(Stage::Incomplete),
            Place::Done => Some(Stage::Completed),
            Place::Waiting | Place::Hidden => None,
        };
        let response = self.envelope.failed(self.gathered.so_far(), &stage, error);
        self.writer.write(out, "response.failed", &Told { response: Some(response), ..Told::default() });
        self.phase = Phase::Over;
    }

    fn ping(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": ping\n\n");
    }
}

fn number(part: u32) -> usize {
    usize::try_from(part).unwrap_or(usize::MAX)
}

/// How far a part of an answer that is over is, if it was cut in the part `cut`.
fn stage(number: usize, cut: Option<usize>) -> Stage {
    if cut == Some(number) { Stage::Incomplete } else { Stage::Completed }
}

fn part(gathered: &Gathered, number: usize) -> Option<&Part> {
    choice(gathered.so_far()?)?.parts.get(number)
}

impl ResponsesRenderer {
    pub fn new(head: Head, form: ResponsesForm) -> Self {
        Self {
            envelope: Envelope::new(head, form),
            gathered: Gathered::default(),
            places: Vec::new(),
            waiting: None,
            held: Vec::new(),
            last_shown: None,
            first_text: None,
            items: 0,
            phase: Phase::Fresh,
            broken: None,
            writer: Writer::default(),
        }
    }

    /// Not of another choice, and not of a part that is complete.
    fn is_of_interest(&self, event: &ChatEvent) -> bool {
        let (choice, part) = match event {
            ChatEvent::PartOpened(opening) => (opening.choice, None),
            ChatEvent::PartGrew(growth) => (growth.choice, Some(growth.part)),
            ChatEvent::PartCited(cited) => (cited.choice, Some(cited.part)),
            ChatEvent::PartClosed(closing) => (closing.choice, Some(closing.part)),
            ChatEvent::Finished(finished) => (finished.choice, None),
            ChatEvent::Started(_) | ChatEvent::Usage(_) | ChatEvent::Ended | ChatEvent::Failed(_) => return true,
        };
        choice == 0 && !part.is_some_and(|part| matches!(self.places.get(number(part)), Some(Place::Done | Place::Held(_) | Place::Hidden)))
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.phase != Phase::Fresh {
            return;
        }
        self.phase = Phase::Running;
        for kind in ["response.created", "response.in_progress"] {
            self.writer.write(out, kind, &Told { response: Some(self.envelope.begun()), ..Told::default() });
        }
    }

    /// The part that was just opened. A text or a thought waits for its first words; but never behind another part.
    fn open(&mut self, out: &mut Vec<u8>) {
        if let Some(waiting) = self.waiting.take() {
            self.begin_item(waiting, out);
        }
        let opened = self.places.len();
        let Some(part) = part(&self.gathered, opened) else { return };
        if matches!(part.body, PartBody::Text(_)) {
            self.first_text.get_or_insert(opened);
        }
        if matches!(part.body, PartBody::Text(_) | PartBody::Refusal(_) | PartBody::Thinking(_)) {
            self.places.push(Place::Waiting);
            self.waiting = Some(opened);
        } else if is_shown(part) {
            self.places.push(Place::Waiting);
            self.begin_item(opened, out);
        } else {
            self.places.push(Place::Hidden);
        }
    }

    fn begin_item(&mut self, number: usize, out: &mut Vec<u8>) {
        self.note_shown(number, out);
        let (Some(part), Some(place)) = (part(&self.gathered, number), self.places.get_mut(number)) else { return };
        if self.waiting == Some(number) {
            self.waiting = None;
        }
        let output_index = self.items;
        self.items += 1;
        let open = OpenItem { output_index, id: self.envelope.items.id(number, &part.body), has_summary: false };
        let item = self.envelope.items.item(number, part, Stage::InProgress, None);
        self.writer.write(out, "response.output_item.added", &Told { item, ..Told::in_output(output_index) });
        let empty = match part.body {
            PartBody::Text(_) => Some(Content::Text { text: "", annotations: Vec::new(), logprobs: Logprobs::of(None) }),
            PartBody::Refusal(_) => Some(Content::Refusal { refusal: "" }),
            _ => None,
        };
        if let Some(empty) = empty {
            self.writer.write(out, "response.content_part.added", &Told { part: Some(Piece::Content(empty)), ..Told::content(&open) });
        }
        *place = Place::Open(open);
    }

    fn grow(&mut self, growth: &PartGrowth, out: &mut Vec<u8>) {
        let number = number(growth.part);
        if matches!(self.places.get(number), Some(Place::Waiting)) && !growth.text.is_empty() {
            self.begin_item(number, out);
        }
        self.note_shown(number, out);
        let (Some(Place::Open(open)), Some(part)) = (self.places.get_mut(number), part(&self.gathered, number)) else { return };
        let delta = Some(growth.text.as_str());
        let (kind, told) = match &part.body {
            PartBody::Text(_) if growth.logprobs.is_some() || !growth.text.is_empty() => {
                let logprobs = Some(Logprobs::of(growth.logprobs.as_deref()));
                ("response.output_text.delta", Told { delta, logprobs, ..Told::content(open) })
            }
            _ if growth.text.is_empty() => return,
            PartBody::Refusal(_) => ("response.refusal.delta", Told { delta, ..Told::content(open) }),
            PartBody::Thinking(_) => {
                if !std::mem::replace(&mut open.has_summary, true) {
                    let piece = Some(Piece::Summary(SummaryPart { text: "" }));
                    self.writer.write(out, "response.reasoning_summary_part.added", &Told { part: piece, ..Told::summary(open) });
                }
                ("response.reasoning_summary_text.delta", Told { delta, ..Told::summary(open) })
            }
            PartBody::ToolCall(call) if call.free_form => ("response.custom_tool_call_input.delta", Told { delta, ..Told::item(open) }),
            PartBody::ToolCall(_) => ("response.function_call_arguments.delta", Told { delta, ..Told::item(open) }),
            _ => return,
        };
        self.writer.write(out, kind, &told);
    }

    fn close(&mut self, number: usize, out: &mut Vec<u8>) {
        if matches!(self.places.get(number), Some(Place::Waiting)) && part(&self.gathered, number).is_some_and(is_shown) {
            self.begin_item(number, out);
        }
        if self.waiting == Some(number) {
            self.waiting = None;
        }
        let Some(place) = self.places.get_mut(number) else { return };
        match std::mem::replace(place, Place::Hidden) {
            Place::Open(open) => {
                *place = Place::Held(open);
                self.held.push(number);
            }
            Place::Waiting | Place::Hidden => {}
            over => *place = over,
        }
        self.note_shown(number, out);
        self.release(self.last_shown.unwrap_or(0), None, out);
    }

    /// Whether the part is the last in which there is something. What was closed before it is complete then.
    fn note_shown(&mut self, number: usize, out: &mut Vec<u8>) {
        if self.last_shown.is_none_or(|last| last < number) && part(&self.gathered, number).is_some_and(is_shown) {
            self.last_shown = Some(number);
            self.release(number, None, out);
        }
    }

    /// Ends the items of held parts before this one.
    fn release(&mut self, before: usize, cut: Option<usize>, out: &mut Vec<u8>) {
        for number in self.held.extract_if(.., |number| *number < before).collect::<Vec<_>>() {
            if let Some(place) = self.places.get_mut(number)
                && let Place::Held(open) = std::mem::replace(place, Place::Done)
            {
                self.end_item(number, &open, stage(number, cut), out);
            }
        }
    }

    fn end_item(&mut self, number: usize, open: &OpenItem, stage: Stage, out: &mut Vec<u8>) {
        let Some(choice) = self.gathered.so_far().and_then(choice) else { return };
        let Some(part) = choice.parts.get(number) else { return };
        let logprobs = choice.logprobs.as_deref().filter(|_| self.first_text == Some(number));
        let writer = &mut self.writer;
        match &part.body {
            PartBody::Text(text) => {
                for (at, annotation) in annotations(part).into_iter().enumerate() {
                    let told = Told { annotation_index: Some(at), annotation: Some(annotation), ..Told::content(open) };
                    writer.write(out, "response.output_text.annotation.added", &told);
                }
                let told = Told { text: Some(text), logprobs: Some(Logprobs::of(logprobs)), ..Told::content(open) };
                writer.write(out, "response.output_text.done", &told);
            }
            PartBody::Refusal(refusal) => {
                writer.write(out, "response.refusal.done", &Told { refusal: Some(refusal), ..Told::content(open) });
            }
            PartBody::Thinking(text) if !text.is_empty() => {
                writer.write(out, "response.reasoning_summary_text.done", &Told { text: Some(text), ..Told::summary(open) });
                let piece = Some(Piece::Summary(SummaryPart { text }));
                writer.write(out, "response.reasoning_summary_part.done", &Told { part: piece, ..Told::summary(open) });
            }
            PartBody::ToolCall(call) if call.free_form => {
                writer.write(out, "response.custom_tool_call_input.done", &Told { input: Some(&call.arguments), ..Told::item(open) });
            }
            PartBody::ToolCall(call) => {
                let arguments = Some(arguments(&call.arguments));
                if call.arguments.is_empty() {
                    writer.write(out, "response.function_call_arguments.delta", &Told { delta: arguments, ..Told::item(open) });
                }
                writer.write(out, "response.function_call_arguments.done", &Told { arguments, ..Told::item(open) });
            }
            _ => {}
        }
        if let Some(content) = content(&part.body, part, logprobs) {
            writer.write(out, "response.content_part.done", &Told { part: Some(Piece::Content(content)), ..Told::content(open) });
        }
        let item = self.envelope.items.item(number, part, stage, logprobs);
        writer.write(out, "response.output_item.done", &Told { item, ..Told::in_output(open.output_index) });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        // What an adapter left open is over now.
        (0..self.places.len()).for_each(|number| self.close(number, out));
        let cut = self.gathered.so_far().and_then(choice).and_then(cut_part);
        self.release(usize::MAX, cut, out);
        self.phase = Phase::Over;
        let Some(answer) = self.gathered.so_far() else { return };
        let turn = choice(answer).and_then(turn_of);
        if let (Some(turn), Some(choice)) = (&turn, choice(answer)) {
            for (kind, stage) in [("response.output_item.added", Stage::InProgress), ("response.output_item.done", Stage::Completed)] {
                let item = Some(self.envelope.items.turn(choice.parts.len(), turn, stage));
                self.writer.write(out, kind, &Told { item, ..Told::in_output(self.items) });
            }
        }
        let shown = |number: usize, _: &Part| matches!(self.places.get(number), Some(Place::Done)).then_some(stage(number, cut));
        let response = self.envelope.ended(answer, &shown, turn.as_deref());
        let kind = match response.status {
            Status::Incomplete => "response.incomplete",
            Status::Failed => "response.failed",
            Status::Completed | Status::InProgress => "response.completed",
        };
        self.writer.write(out, kind, &Told { response: Some(response), ..Told::default() });
    }
}

// ---- events ----

/// What events tell; each has some of it.
#[derive(Debug, Default, Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<OutputItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Piece<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation: Option<Annotation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs<'a>>,
}

impl<'a> Told<'a> {
    fn in_output(output_index: usize) -> Self {
        Self { output_index: Some(output_index), ..Self::default() }
    }

    fn item(open: &'a OpenItem) -> Self {
        Self { item_id: open.id.as_deref(), ..Self::in_output(open.output_index) }
    }

    fn content(open: &'a OpenItem) -> Self {
        Self { content_index: Some(0), ..Self::item(open) }
    }

    fn summary(open: &'a OpenItem) -> Self {
        Self { summary_index: Some(0), ..Self::item(open) }
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Piece<'a> {
    Content(Content<'a>),
    Summary(SummaryPart<'a>),
}

/// Flat, as it is documented, and nested, as it is sent: only the nested one makes SDKs raise.
#[derive(Debug, Serialize)]
struct ErrorEvent<'a> {
    code: &'a Value,
    message: &'a str,
    param: &'a Value,
    error: &'a Value,
}

#[derive(Debug, Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    told: &'a T,
}

/// Writes events, and counts them.
#[derive(Debug, Default)]
struct Writer {
    sequence_number: u64,
}

impl Writer {
    fn write(&mut self, out: &mut Vec<u8>, kind: &str, told: &impl Serialize) {
        sse::send(out, kind, &Event { kind, sequence_number: self.sequence_number, told });
        self.sequence_number += 1;
    }
}
