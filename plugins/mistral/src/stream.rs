//! A stream of `chat.completion.chunk`s as the contract's events.
//!
//! Owns: which tool call a piece belongs to, when a call is complete, thinking's replay, and what counts as an end: only `[DONE]`. What a
//! chunk holds is read by `answer`, the same way as a whole answer.

use crate::answer::{self, Choice, Completion, Sink, ToolCall, UsageInfo, read_content};
use crate::chunks::Seal;
use crate::custom::{self, CustomTools};
use crate::failure;
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::stream::{Events, Flow, PartId, StreamDecoder};
use llm_gateway_adapter::types::{Failure, Frame, Header, PartGrowth, PartKind};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;

const DONE: &str = "[DONE]";

/// Reads one stream.
pub struct MistralStream {
    custom: CustomTools,
    started: bool,
    id: Option<String>,
    model: Option<String>,
    service_tier: Option<String>,
    choices: Vec<ChoiceState>,
}

#[derive(Default)]
struct ChoiceState {
    index: u32,
    calls: Vec<Call>,
    /// Of the thinking that is flowing.
    seal: Seal,
    /// Characters of the text that is flowing, and up to where they are cited.
    characters: u32,
    cited: u32,
    finished: bool,
}

struct Call {
    index: u32,
    id: String,
    part: PartId,
    /// All that has come of them: a free-form call's are shown only when complete.
    arguments: String,
    free_form: bool,
    closed: bool,
}

impl StreamDecoder for MistralStream {
    fn new(context: String, _: Vec<Header>) -> Self {
        Self { custom: CustomTools::from_context(&context), started: false, id: None, model: None, service_tier: None, choices: Vec::new() }
    }

    fn frame(&mut self, frame: Frame, events: &mut Events) {
        match frame.data.trim() {
            "" => {}
            DONE => self.done(events),
            data => match serde_json::from_str::<Completion>(data) {
                Ok(chunk) if chunk.is_error() || frame.event.as_deref() == Some("error") => {
                    events.fail(failure::in_answer(data.as_bytes()))
                }
                Ok(chunk) => self.chunk(&chunk, events),
                Err(_) => events.fail(Failure::malformed(unreadable_body(200, data.as_bytes()))),
            },
        }
    }

    fn connection_ended(&mut self, events: &mut Events) {
        events.fail(Failure::cut_stream());
    }
}

impl MistralStream {
    fn done(&mut self, events: &mut Events) {
        if self.choices.is_empty() {
            return events.fail(Failure::malformed("the provider's answer holds no choice"));
        }
        for choice in self.choices.iter_mut().filter(|choice| !choice.finished) {
            choice.finish(None, events);
        }
        events.end();
    }

    fn chunk(&mut self, chunk: &Completion<'_>, events: &mut Events) {
        let choices = chunk.choices.as_deref().unwrap_or_default();
        if choices.is_empty() && chunk.usage.is_none() {
            return;
        }
        self.start(chunk, events);
        for choice in choices {
            self.choice(choice, events);
        }
        if let Some(usage) = chunk.usage.as_ref().and_then(UsageInfo::to_usage) {
            events.usage(usage);
        }
    }

    /// Says what is new of the answer as a whole.
    fn start(&mut self, chunk: &Completion<'_>, events: &mut Events) {
        let id = chunk.id.as_ref().map(|id| id.0.as_ref());
        let model = chunk.model.as_ref().map(|model| model.0.as_ref());
        let tier = chunk.usage.as_ref().and_then(|usage| usage.service_tier).map(RawValue::get);
        let news = id.is_some() && id != self.id.as_deref() || model.is_some() && model != self.model.as_deref();
        let tier_news = tier.is_some() && tier != self.service_tier.as_deref();
        if self.started && !news && !tier_news {
            return;
        }
        self.started = true;
        self.id = id.map(str::to_owned).or(self.id.take());
        self.model = model.map(str::to_owned).or(self.model.take());
        let extras = if tier_news { chunk.usage.as_ref().map(UsageInfo::extras).unwrap_or_default() } else { Vec::new() };
        self.service_tier = tier.map(str::to_owned).or(self.service_tier.take());
        events.start(self.id.clone(), self.model.clone(), extras);
    }

    fn choice(&mut self, choice: &Choice<'_>, events: &mut Events) {
        let at = self.choices.iter().position(|state| state.index == choice.index).unwrap_or_else(|| {
            self.choices.push(ChoiceState { index: choice.index, ..ChoiceState::default() });
            self.choices.len() - 1
        });
        let state = &mut self.choices[at];
        if state.finished {
            return;
        }
        if let Some(delta) = &choice.message {
            if let Some(content) = delta.content {
                read_content(content, &mut Delta { state: &mut *state, events: &mut *events });
            }
            for call in delta.tool_calls.iter().flatten() {
                state.tool_call(call, &self.custom, events);
            }
        }
        if let Some(logprobs) = choice.token_logprobs() {
            state.logprobs(logprobs, events);
        }
        if let Some(reason) = &choice.finish_reason {
            state.finish(Some(&reason.0), events);
        }
    }
}

impl ChoiceState {
    /// Closes what flows; thinking with what it takes to send it back.
    fn close_flow(&mut self, events: &mut Events) {
        let seal = std::mem::take(&mut self.seal);
        let replay = (events.current_flow(self.index) == Some(Flow::Thinking)).then(|| seal.into_replay());
        events.close_flow(self.index, replay);
    }

    /// The flowing part of this kind, after what flowed of another kind is closed.
    fn flowing(&mut self, flow: Flow, events: &mut Events) -> PartId {
        if events.current_flow(self.index) != Some(flow) {
            self.close_flow(events);
            (self.characters, self.cited) = (0, 0);
        }
        events.flowing(self.index, flow)
    }

    /// Pieces of one call have its `index`, but whole calls in one delta may all say 0: then the ids tell them apart, or that one
    /// has a name where the arguments of the other have begun.
    fn tool_call(&mut self, piece: &ToolCall<'_>, custom: &CustomTools, events: &mut Events) {
        let index = piece.index.unwrap_or(0);
        let same = self.calls.iter().rposition(|call| call.index == index).filter(|at| {
            let call = &self.calls[*at];
            match piece.id() {
                "" => piece.name().is_empty() || call.arguments.is_empty(),
                id => call.id == id,
            }
        });
        let at = same.unwrap_or_else(|| self.open_call(index, piece, custom, events));
        let arguments = piece.arguments();
        let call = &mut self.calls[at];
        if call.closed && !arguments.is_empty() {
            return events.fail(Failure::malformed("the provider went on with a tool call that was complete"));
        }
        call.arguments.push_str(&arguments);
        if !call.free_form {
            events.grow(call.part, &arguments);
        }
    }

    fn open_call(&mut self, index: u32, piece: &ToolCall<'_>, custom: &CustomTools, events: &mut Events) -> usize {
        self.close_flow(events);
        self.close_calls(|call| serde_json::from_str::<IgnoredAny>(&call.arguments).is_ok(), events);
        let free_form = custom.contains(piece.name());
        let part = events.open_tool_call(self.index, piece.id(), piece.name(), free_form);
        self.calls.push(Call { index, id: piece.id().to_owned(), part, arguments: String::new(), free_form, closed: false });
        self.calls.len() - 1
    }

    fn close_calls(&mut self, complete: impl Fn(&Call) -> bool, events: &mut Events) {
        for call in self.calls.iter_mut().filter(|call| !call.closed && complete(call)) {
            if call.free_form {
                events.grow(call.part, &custom::unwrap(&call.arguments));
            }
            events.close(call.part, None, Vec::new());
            call.closed = true;
        }
    }

    /// They belong to the choice, but the contract hands them over with a part.
    fn logprobs(&mut self, logprobs: String, events: &mut Events) {
        let open_call = self.calls.iter().rfind(|call| !call.closed).map(|call| call.part);
        let part = match (events.current_flow(self.index), open_call) {
            (Some(flow), _) => events.flowing(self.index, flow),
            (None, Some(call)) => call,
            (None, None) => self.flowing(Flow::Text, events),
        };
        events.grow_with(
            part,
            PartGrowth { choice: self.index, part: part.part, text: String::new(), media: None, logprobs: Some(logprobs) },
        );
    }

    fn finish(&mut self, raw: Option<&str>, events: &mut Events) {
        self.close_flow(events);
        self.close_calls(|_| true, events);
        self.finished = true;
        let called_a_tool = events.called_a_tool(self.index);
        events.finish(self.index, answer::finish(raw, called_a_tool));
    }
}

/// Takes the content of one delta.
struct Delta<'s> {
    state: &'s mut ChoiceState,
    events: &'s mut Events,
}

impl Sink for Delta<'_> {
    fn text(&mut self, text: Cow<'_, str>) {
        if !text.is_empty() {
            let part = self.state.flowing(Flow::Text, self.events);
            self.state.characters = self.state.characters.saturating_add(answer::characters(&text));
            self.events.grow(part, &text);
        }
    }

    fn thinking(&mut self, text: &str, seal: Seal) {
        let part = self.state.flowing(Flow::Thinking, self.events);
        self.state.seal.update(seal);
        self.events.grow(part, text);
    }

    fn reference(&mut self, chunk: &RawValue) {
        let part = self.state.flowing(Flow::Text, self.events);
        self.events.cite(part, answer::citation(chunk, (self.state.cited, self.state.characters)));
        self.state.cited = self.state.characters;
    }

    fn other(&mut self, chunk: &RawValue) {
        self.state.close_flow(self.events);
        let part = self.events.open(self.state.index, PartKind::Other(answer::native_chunk(chunk)));
        self.events.close(part, None, Vec::new());
    }
}
