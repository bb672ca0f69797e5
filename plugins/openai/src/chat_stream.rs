//! A stream of `/chat/completions`: chunks, then `[DONE]`.
//!
//! Pieces of a tool call are known by `index`, and calls may come side by side, so each stays open until its choice is finished. The usage
//! chunk comes after the finish reasons; only `[DONE]` is the end.

use crate::chat_answer::{AnswerExtras, Logprobs, arguments_text, audio_ending, audio_media, finish, reasoning_text};
use crate::citations;
use crate::endpoint::Endpoint;
use crate::failure;
use crate::replay;
use crate::text::{Text, said};
use crate::usage::CompletionUsage;
use llm_gateway_adapter::stream::{Events, Flow, PartId};
use llm_gateway_adapter::types::{Failure, Frame, PartGrowth, PartKind};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Stands for the `index` of the one call that the form before `tool_calls` has.
const LEGACY_CALL: u32 = u32::MAX;

#[derive(Deserialize)]
struct ChatCompletionChunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<ChunkChoice<'a>>>,
    usage: Option<CompletionUsage>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow)]
    system_fingerprint: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    logprobs: Option<Logprobs<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<AudioDelta<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCallDelta<'a>>>,
    #[serde(borrow)]
    function_call: Option<FunctionDelta<'a>>,
    #[serde(borrow)]
    annotations: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct AudioDelta<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    transcript: Option<Text<'a>>,
    expires_at: Option<u64>,
}

#[derive(Deserialize)]
struct ToolCallDelta<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<FunctionDelta<'a>>,
    #[serde(borrow)]
    custom: Option<CustomDelta<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CustomDelta<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Debug)]
pub struct ChatStream {
    audio_type: Option<String>,
    told: Told,
    choices: Vec<ChoiceState>,
}

/// What `started` has said so far; a chunk that lacks a field takes nothing back.
#[derive(Debug, Default)]
struct Told {
    started: bool,
    id: Option<String>,
    model: Option<String>,
    service_tier: Option<String>,
    system_fingerprint: Option<String>,
}

#[derive(Debug, Default)]
struct ChoiceState {
    index: u32,
    calls: Vec<Call>,
    audio: Option<Audio>,
    finished: bool,
}

#[derive(Debug, Default)]
struct Call {
    index: u32,
    id: String,
    /// None until its name is known.
    part: Option<PartId>,
    /// Arguments that came before the name.
    early: String,
}

#[derive(Debug)]
struct Audio {
    part: PartId,
    id: Option<String>,
    expires_at: Option<u64>,
}

impl ChatStream {
    pub fn new(audio_type: Option<String>) -> Self {
        Self { audio_type, told: Told::default(), choices: Vec::new() }
    }

    pub fn frame(&mut self, frame: &Frame, events: &mut Events) {
        match frame.data.trim() {
            "" => {}
            "[DONE]" => self.done(events),
            data => match serde_json::from_str::<ChatCompletionChunk<'_>>(data) {
                Ok(chunk) if is_chunk(&chunk) => self.chunk(chunk, events),
                Ok(_) => fail_if_error(data, events),
                Err(_) => events.fail(failure::in_frame(data)),
            },
        }
    }

    fn done(&mut self, events: &mut Events) {
        if self.choices.is_empty() {
            return events.fail(Failure::malformed("the provider's stream ended without an answer in it"));
        }
        for at in 0..self.choices.len() {
            self.finish(at, None, events);
        }
        events.end();
    }

    fn chunk(&mut self, chunk: ChatCompletionChunk<'_>, events: &mut Events) {
        self.told.tell(&chunk, events);
        for choice in chunk.choices.into_iter().flatten() {
            self.choice(choice, events);
        }
        if let Some(usage) = chunk.usage {
            events.usage(usage.into());
        }
    }

    fn choice(&mut self, choice: ChunkChoice<'_>, events: &mut Events) {
        let at = self.state_of(choice.index);
        if self.choices[at].finished {
            return;
        }
        let logprobs = choice.logprobs.and_then(Logprobs::into_array);
        if let Some(delta) = choice.delta {
            self.delta(at, delta, logprobs, events);
        }
        if let Some(reason) = choice.finish_reason {
            self.finish(at, Some(&reason), events);
        }
    }

    fn state_of(&mut self, index: u32) -> usize {
        self.choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            self.choices.push(ChoiceState { index, ..ChoiceState::default() });
            self.choices.len() - 1
        })
    }

    fn delta(&mut self, at: usize, delta: Delta<'_>, logprobs: Option<String>, events: &mut Events) {
        let state = &mut self.choices[at];
        let choice = state.index;
        if let Some(thinking) = reasoning_text(delta.reasoning_content, delta.reasoning) {
            events.flow(choice, Flow::Thinking, &thinking);
        }
        let text = delta.content.filter(|text| !text.is_empty());
        if text.is_some() || logprobs.is_some() {
            end_thinking(choice, events);
            let part = events.flowing(choice, Flow::Text);
            let text = text.map(Text::into_owned).unwrap_or_default();
            events.grow_with(part, PartGrowth { choice, part: part.part, text, media: None, logprobs });
        }
        for annotation in delta.annotations.into_iter().flatten() {
            end_thinking(choice, events);
            let part = events.flowing(choice, Flow::Text);
            events.cite(part, citations::of_annotation(annotation, Endpoint::Chat));
        }
        if let Some(refusal) = said(delta.refusal) {
            end_thinking(choice, events);
            events.flow(choice, Flow::Refusal, &refusal);
        }
        if let Some(audio) = delta.audio {
            state.audio_delta(audio, self.audio_type.as_deref(), events);
        }
        for call in delta.tool_calls.into_iter().flatten() {
            state.call_delta(call, events);
        }
        if let Some(function) = delta.function_call {
            state.call_delta(ToolCallDelta { index: LEGACY_CALL, id: None, function: Some(function), custom: None }, events);
        }
    }

    fn finish(&mut self, at: usize, raw: Option<&str>, events: &mut Events) {
        let state = &mut self.choices[at];
        if std::mem::replace(&mut state.finished, true) {
            return;
        }
        end_thinking(state.index, events);
        state.open_nameless_calls(events);
        if let Some(audio) = state.audio.take() {
            let (replay, extras) = audio_ending(audio.id.as_deref(), audio.expires_at);
            events.close(audio.part, replay, extras);
        }
        let called_a_tool = events.called_a_tool(state.index);
        events.finish(state.index, finish(raw, called_a_tool));
    }
}

/// An object without any of a chunk's marks is an error of some form.
fn is_chunk(chunk: &ChatCompletionChunk<'_>) -> bool {
    let is_error = chunk.error.is_some_and(|error| error.get() != "null") || chunk.object.is_some_and(|object| object.get() == "\"error\"");
    !is_error && (chunk.id.is_some() || chunk.choices.is_some() || chunk.usage.is_some() || chunk.object.is_some())
}

/// What is neither a chunk nor an error is of a kind yet unknown, and passed over.
fn fail_if_error(data: &str, events: &mut Events) {
    if let Some(failure) = failure::in_success(data, &[]) {
        events.fail(failure);
    }
}

/// A compatible server's open reasoning is marked as its own.
fn end_thinking(choice: u32, events: &mut Events) {
    if events.current_flow(choice) == Some(Flow::Thinking) {
        events.close_flow(choice, Some(replay::own()));
    }
}

impl Told {
    fn tell(&mut self, chunk: &ChatCompletionChunk<'_>, events: &mut Events) {
        let fields = [
            (&mut self.id, &chunk.id),
            (&mut self.model, &chunk.model),
            (&mut self.service_tier, &chunk.service_tier),
            (&mut self.system_fingerprint, &chunk.system_fingerprint),
        ];
        let mut news = !std::mem::replace(&mut self.started, true);
        for (told, field) in fields {
            news |= update(told, field.as_deref());
        }
        if news {
            let extras =
                AnswerExtras { service_tier: self.service_tier.as_deref(), system_fingerprint: self.system_fingerprint.as_deref() };
            events.start(self.id.clone(), self.model.clone(), extras.into_natives());
        }
    }
}

/// Whether the field says something new.
fn update(told: &mut Option<String>, field: Option<&str>) -> bool {
    match field {
        Some(text) if !text.is_empty() && told.as_deref() != Some(text) => {
            *told = Some(text.to_owned());
            true
        }
        _ => false,
    }
}

impl ChoiceState {
    fn audio_delta(&mut self, delta: AudioDelta<'_>, audio_type: Option<&str>, events: &mut Events) {
        end_thinking(self.index, events);
        let index = self.index;
        let audio = self.audio.get_or_insert_with(|| Audio {
            part: events.open(index, PartKind::Audio(audio_media(audio_type))),
            id: None,
            expires_at: None,
        });
        audio.id = said(delta.id).or(audio.id.take());
        audio.expires_at = delta.expires_at.or(audio.expires_at);
        let (text, media) = (said(delta.transcript).unwrap_or_default(), said(delta.data));
        if !text.is_empty() || media.is_some() {
            let part = audio.part;
            events.grow_with(part, PartGrowth { choice: part.choice, part: part.part, text, media, logprobs: None });
        }
    }

    fn call_delta(&mut self, delta: ToolCallDelta<'_>, events: &mut Events) {
        let (name, arguments, free_form) = match (delta.function, delta.custom) {
            (Some(function), _) => (function.name, function.arguments, false),
            (None, Some(custom)) => (custom.name, custom.input, true),
            (None, None) => (None, None, false),
        };
        let (id, name) = (said(delta.id), said(name));
        let at = self.call_of(delta.index, id.as_deref(), name.as_deref());
        let (choice, call) = (self.index, &mut self.calls[at]);
        call.id = id.unwrap_or_else(|| std::mem::take(&mut call.id));
        let arguments = arguments_text(arguments);
        match (call.part, name) {
            (Some(part), _) => events.grow(part, &arguments),
            (None, None) => call.early.push_str(&arguments),
            (None, Some(name)) => {
                end_thinking(choice, events);
                let part = events.open_tool_call(choice, call.id.clone(), name, free_form);
                call.part = Some(part);
                events.grow(part, &std::mem::take(&mut call.early));
                events.grow(part, &arguments);
            }
        }
    }

    /// The call that a piece belongs to: the last of its index. Servers that give every call the index 0 begin a new one with another id
    /// and another name's announcement.
    fn call_of(&mut self, index: u32, id: Option<&str>, name: Option<&str>) -> usize {
        let found = self.calls.iter().rposition(|call| call.index == index);
        let begins_anew = |call: &Call| name.is_some() && call.part.is_some() && id.is_some_and(|id| id != call.id);
        match found {
            Some(at) if !begins_anew(&self.calls[at]) => at,
            _ => {
                self.calls.push(Call { index, ..Call::default() });
                self.calls.len() - 1
            }
        }
    }

    fn open_nameless_calls(&mut self, events: &mut Events) {
        for call in self.calls.iter_mut().filter(|call| call.part.is_none()) {
            let part = events.open_tool_call(self.index, call.id.clone(), "", false);
            events.grow(part, &call.early);
            call.part = Some(part);
        }
    }
}
