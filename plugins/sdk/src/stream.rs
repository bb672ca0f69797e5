//! Turns what a provider's stream says into the contract's events.
//!
//! Owns: numbering parts, closing the open part when another begins, saying each thing once, silence after the end. What a frame means is
//! the adapter's to know.

use crate::types::{
    ChatEvent, Choice, ChoiceFinish, Citation, Failure, Finish, Frame, Header, Native, PartBody, PartCitation, PartClosing, PartGrowth,
    PartKind, PartOpening, Replay, StreamStart, ToolCallOpening, Usage,
};
use std::cell::RefCell;

/// What an adapter implements to read a stream; [`Decoding`] makes the contract's `decoder` of it.
pub trait StreamDecoder: Sized + 'static {
    /// `context` is what `encode` gave; `headers` are those of the answer.
    fn new(context: String, headers: Vec<Header>) -> Self;
    /// One frame, in order. Not called again once the events have ended.
    fn frame(&mut self, frame: Frame, events: &mut Events);
    /// The connection has ended before [`Events::end`] or [`Events::fail`] was said: say which it is.
    fn connection_ended(&mut self, events: &mut Events);
}

/// The contract's `decoder`, made of a [`StreamDecoder`]: `type Decoder = Decoding<AcmeStream>;`
pub struct Decoding<D>(RefCell<(D, Events)>);

impl<D: StreamDecoder> crate::GuestDecoder for Decoding<D> {
    fn new(context: String, headers: Vec<Header>) -> Self {
        Self(RefCell::new((D::new(context, headers), Events::default())))
    }

    fn push(&self, frames: Vec<Frame>) -> Vec<ChatEvent> {
        let (decoder, events) = &mut *self.0.borrow_mut();
        for frame in frames {
            if events.over {
                break;
            }
            decoder.frame(frame, events);
        }
        std::mem::take(&mut events.pending)
    }

    fn finish(&self) -> Vec<ChatEvent> {
        let (decoder, events) = &mut *self.0.borrow_mut();
        if !events.over {
            decoder.connection_ended(events);
        }
        if !events.over {
            events.fail(Failure::cut_stream());
        }
        std::mem::take(&mut events.pending)
    }
}

/// The events of one stream, as they come about.
#[derive(Debug, Default)]
pub struct Events {
    pending: Vec<ChatEvent>,
    choices: Vec<ChoiceState>,
    started: Option<(Option<String>, Option<String>)>,
    over: bool,
}

#[derive(Debug, Default)]
struct ChoiceState {
    index: u32,
    next_part: u32,
    open: Vec<OpenPart>,
    finished: bool,
    called_a_tool: bool,
}

#[derive(Debug)]
struct OpenPart {
    number: u32,
    flow: Option<Flow>,
}

/// Kinds of part whose text simply comes, one after the other, without a provider's saying where one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Text,
    Thinking,
    Refusal,
}

/// Names an open part, for [`Events::grow`] and [`Events::close`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartId {
    pub choice: u32,
    pub part: u32,
}

impl Events {
    /// The stream has begun. Said again, it tells only what is new: another id or model, or extras.
    pub fn start(&mut self, id: Option<String>, model: Option<String>, extras: Vec<Native>) {
        let told = (id, model);
        if self.started.as_ref() == Some(&told) && extras.is_empty() {
            return;
        }
        let (id, model) = told.clone();
        self.started = Some(told);
        self.say(ChatEvent::Started(StreamStart { id, model, extras }));
    }

    /// More of the flowing part of this kind; opens it, and closes what was open, if another kind was flowing. Nothing is done for an empty
    /// text.
    pub fn flow(&mut self, choice: u32, flow: Flow, text: &str) {
        if !text.is_empty() {
            let part = self.flowing(choice, flow);
            self.grow(part, text);
        }
    }

    /// The flowing part of this kind, opened if need be.
    pub fn flowing(&mut self, choice: u32, flow: Flow) -> PartId {
        if let Some(open) = self.choice(choice).open.iter().find(|open| open.flow == Some(flow)) {
            return PartId { choice, part: open.number };
        }
        self.close_flow(choice, None);
        let kind = match flow {
            Flow::Text => PartKind::Text,
            Flow::Thinking => PartKind::Thinking,
            Flow::Refusal => PartKind::Refusal,
        };
        self.open_part(choice, kind, Some(flow))
    }

    /// What is flowing in this choice, if anything is.
    pub fn current_flow(&mut self, choice: u32) -> Option<Flow> {
        self.choice(choice).open.iter().find_map(|open| open.flow)
    }

    /// Closes the flowing part of the choice, if there is one.
    pub fn close_flow(&mut self, choice: u32, replay: Option<Replay>) {
        let open = self.choice(choice).open.iter().find(|open| open.flow.is_some()).map(|open| open.number);
        if let Some(part) = open {
            self.close(PartId { choice, part }, replay, Vec::new());
        }
    }

    /// Opens a part that the provider numbers itself. What was flowing is closed; other such parts stay open.
    pub fn open(&mut self, choice: u32, kind: PartKind) -> PartId {
        self.close_flow(choice, None);
        self.open_part(choice, kind, None)
    }

    /// Opens a tool call.
    pub fn open_tool_call(&mut self, choice: u32, id: impl Into<String>, name: impl Into<String>, free_form: bool) -> PartId {
        self.open(choice, PartKind::ToolCall(ToolCallOpening { id: id.into(), name: name.into(), free_form }))
    }

    fn open_part(&mut self, choice: u32, kind: PartKind, flow: Option<Flow>) -> PartId {
        let state = self.choice(choice);
        let part = state.next_part;
        state.next_part += 1;
        state.called_a_tool |= matches!(kind, PartKind::ToolCall(_));
        state.open.push(OpenPart { number: part, flow });
        self.say(ChatEvent::PartOpened(PartOpening { choice, part, kind }));
        PartId { choice, part }
    }

    /// Appends to a part. Nothing is said of an empty text.
    pub fn grow(&mut self, part: PartId, text: &str) {
        if !text.is_empty() {
            self.grow_with(part, PartGrowth { choice: part.choice, part: part.part, text: text.to_owned(), media: None, logprobs: None });
        }
    }

    /// Appends media, logprobs or both to a part. `growth.choice` and `growth.part` are set here.
    pub fn grow_with(&mut self, part: PartId, growth: PartGrowth) {
        self.say(ChatEvent::PartGrew(PartGrowth { choice: part.choice, part: part.part, ..growth }));
    }

    /// A citation for a part.
    pub fn cite(&mut self, part: PartId, citation: Citation) {
        self.say(ChatEvent::PartCited(PartCitation { choice: part.choice, part: part.part, citation }));
    }

    /// Closes a part. One that is not open is left alone.
    pub fn close(&mut self, part: PartId, replay: Option<Replay>, extras: Vec<Native>) {
        let open = &mut self.choice(part.choice).open;
        let before = open.len();
        open.retain(|open| open.number != part.part);
        if open.len() < before {
            self.say(ChatEvent::PartClosed(PartClosing { choice: part.choice, part: part.part, replay, extras }));
        }
    }

    /// Whether the choice has had a tool call.
    pub fn called_a_tool(&mut self, choice: u32) -> bool {
        self.choice(choice).called_a_tool
    }

    /// Finishes a choice, once; its open parts are closed.
    pub fn finish(&mut self, choice: u32, finish: Finish) {
        if self.choice(choice).finished {
            return;
        }
        self.choice(choice).finished = true;
        self.close_parts(choice);
        self.say(ChatEvent::Finished(ChoiceFinish { choice, finish }));
    }

    /// Whether there is a choice and every one has been finished.
    pub fn all_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished)
    }

    /// All that is known of usage so far.
    pub fn usage(&mut self, usage: Usage) {
        self.say(ChatEvent::Usage(usage));
    }

    /// The provider's sign of completion was seen. Nothing is said after it.
    pub fn end(&mut self) {
        self.close_all();
        self.say(ChatEvent::Ended);
        self.over = true;
    }

    /// The stream failed. Nothing is said after it.
    pub fn fail(&mut self, failure: Failure) {
        self.close_all();
        self.say(ChatEvent::Failed(failure));
        self.over = true;
    }

    /// What has been said since the last time: for an adapter that reads a whole answer as it reads a stream.
    pub fn take(&mut self) -> Vec<ChatEvent> {
        std::mem::take(&mut self.pending)
    }

    fn close_all(&mut self) {
        for choice in self.choices.iter().map(|choice| choice.index).collect::<Vec<_>>() {
            self.close_parts(choice);
        }
    }

    fn close_parts(&mut self, choice: u32) {
        for open in std::mem::take(&mut self.choice(choice).open) {
            self.say(ChatEvent::PartClosed(PartClosing { choice, part: open.number, replay: None, extras: Vec::new() }));
        }
    }

    fn choice(&mut self, index: u32) -> &mut ChoiceState {
        let at = self.choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            self.choices.push(ChoiceState { index, ..ChoiceState::default() });
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }

    fn say(&mut self, event: ChatEvent) {
        if !self.over {
            self.pending.push(event);
        }
    }
}

/// The finish reason by the contract's rule: `tool-calls` whenever the choice has a tool call, unless the answer was cut.
pub fn finish_reason(by_provider: crate::types::FinishReason, called_a_tool: bool) -> crate::types::FinishReason {
    use crate::types::FinishReason;
    match by_provider {
        FinishReason::Stop | FinishReason::Other if called_a_tool => FinishReason::ToolCalls,
        other => other,
    }
}

/// Whether a choice that came whole has a tool call.
pub fn has_tool_call(choice: &Choice) -> bool {
    choice.parts.iter().any(|part| matches!(part.body, PartBody::ToolCall(_)))
}
