//! Reads what Gemini answers, in chunks or whole.
//!
//! Gemini has no terminal sign: a stream is complete when every choice has its finish reason and the connection closes. The reason may come
//! twice, or before the last part, so a choice is finished only with the connection.
//! A thought signature belongs to the text before it. A streamed answer sends it alone, on an empty text at the end, where a whole one has it on
//! the text itself: both give one text with one `replay`.

use crate::answer::{self, Candidate, FunctionCall, GenerateContentResponse, Part, PromptFeedback, compact, native};
use crate::citations;
use crate::context::{CUSTOM_ARGUMENT, Context};
use crate::failure;
use crate::usage::UsageMetadata;
use llm_gateway_adapter::harness::gather;
use llm_gateway_adapter::serde_json::{self, Value, json, value::RawValue};
use llm_gateway_adapter::stream::{self, Events, Flow, PartId, StreamDecoder};
use llm_gateway_adapter::types::{
    ChatResponse, Failure, Finish, FinishReason, Frame, Header, HttpResponse, MediaSource, Native, PartGrowth, PartKind, Replay, Usage,
};
use std::collections::BTreeMap;

/// The decoder of one stream.
#[derive(Debug)]
pub struct GeminiStream(Answer);

impl StreamDecoder for GeminiStream {
    fn new(context: String, _headers: Vec<Header>) -> Self {
        Self(Answer::new(&context))
    }

    fn frame(&mut self, frame: Frame, events: &mut Events) {
        if let Err(failure) = self.0.chunk(&frame.data, events) {
            events.fail(failure);
        }
    }

    fn connection_ended(&mut self, events: &mut Events) {
        match self.0.ending() {
            Ending::Complete => {
                self.0.finish(events);
                events.end();
            }
            Ending::Cut => events.fail(Failure::cut_stream()),
        }
    }
}

/// An answer that came whole: a stream of one chunk, or of all its chunks in a JSON array, which is how Gemini streams without `alt=sse`.
///
/// # Errors
/// The provider's, if the body is an error, and `malformed`.
pub fn decode_whole(response: &HttpResponse, context: &str) -> Result<ChatResponse, Failure> {
    let body = std::str::from_utf8(&response.body).map_err(|_| Failure::malformed("Gemini's answer is not UTF-8"))?;
    let (mut answer, mut events) = (Answer::new(context), Events::default());
    match serde_json::from_str::<Vec<&RawValue>>(body) {
        Ok(chunks) => chunks.into_iter().try_for_each(|chunk| answer.chunk(chunk.get(), &mut events))?,
        Err(_) => answer.chunk(body, &mut events)?,
    }
    answer.finish(&mut events);
    let answer = gather(&events.take())?;
    if answer.choices.is_empty() {
        return Err(Failure::malformed("Gemini's answer has no candidate, and no reason why"));
    }
    Ok(answer)
}

/// What has been read of an answer.
#[derive(Debug)]
struct Answer {
    context: Context,
    started: Option<Start>,
    usage: Option<Usage>,
    choices: Vec<Choice>,
    blocked: Option<Blocked>,
}

#[derive(Debug, Clone, PartialEq)]
struct Start {
    id: Option<String>,
    model: Option<String>,
    service_tier: Option<String>,
}

/// The prompt was refused.
#[derive(Debug)]
struct Blocked {
    reason: String,
    feedback: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Complete,
    Cut,
}

impl Answer {
    fn new(context: &str) -> Self {
        Self { context: Context::parse(context), started: None, usage: None, choices: Vec::new(), blocked: None }
    }

    fn chunk(&mut self, data: &str, events: &mut Events) -> Result<(), Failure> {
        let response: GenerateContentResponse = match serde_json::from_str(data) {
            Ok(response) => response,
            Err(error) => return Err(failure::of_text(data).unwrap_or_else(|| unreadable(&error))),
        };
        if response.error.is_some() {
            return Err(failure::of_text(data).unwrap_or_else(|| Failure::malformed("Gemini sent an error that can't be read")));
        }
        self.start(&response, events);
        for candidate in response.candidates.unwrap_or_default() {
            let choice = choice_of(&mut self.choices, candidate.index.unwrap_or_default());
            choice.candidate(candidate, &self.context, events)?;
        }
        if let Some(feedback) = response.prompt_feedback {
            self.prompt_feedback(feedback);
        }
        if let Some(usage) = response.usage_metadata.as_ref().and_then(UsageMetadata::counts)
            && self.usage.as_ref() != Some(&usage)
        {
            events.usage(usage.clone());
            self.usage = Some(usage);
        }
        Ok(())
    }

    /// Says again only what is new: every chunk repeats it.
    fn start(&mut self, response: &GenerateContentResponse, events: &mut Events) {
        let before = self.started.as_ref();
        let id = response.response_id.as_ref().or(before.and_then(|start| start.id.as_ref()));
        let model = response.model_version.as_ref().or(before.and_then(|start| start.model.as_ref()));
        let told = response.usage_metadata.as_ref().and_then(|usage| usage.service_tier.as_ref());
        let service_tier = told.or(before.and_then(|start| start.service_tier.as_ref()));
        let start = Start { id: id.cloned(), model: model.cloned(), service_tier: service_tier.cloned() };
        if before != Some(&start) {
            let tier = start.service_tier.as_ref().map(|tier| native(json!({ "serviceTier": tier }).to_string()));
            events.start(start.id.clone(), start.model.clone(), tier.into_iter().collect());
            self.started = Some(start);
        }
    }

    fn prompt_feedback(&mut self, feedback: &RawValue) {
        if let Ok(PromptFeedback { block_reason: Some(reason) }) = serde_json::from_str(feedback.get()) {
            self.blocked = Some(Blocked { reason, feedback: compact(feedback).into_owned() });
        }
    }

    /// Whether a stream may end here. Its choices without a reason were cut.
    fn ending(&self) -> Ending {
        let finished = self.choices.iter().all(|choice| choice.finish_reason.is_some());
        if finished && (!self.choices.is_empty() || self.blocked.is_some()) { Ending::Complete } else { Ending::Cut }
    }

    fn finish(&self, events: &mut Events) {
        match (&self.blocked, self.choices.as_slice()) {
            (Some(blocked), []) => events.finish(0, blocked.finish()),
            (_, choices) => choices.iter().for_each(|choice| choice.finish(events)),
        }
    }
}

impl Blocked {
    fn finish(&self) -> Finish {
        Finish {
            reason: FinishReason::ContentFilter,
            raw: Some(self.reason.clone()),
            stop_sequence: None,
            extras: vec![native(format!(r#"{{"promptFeedback":{}}}"#, self.feedback))],
        }
    }
}

/// What has been read of one candidate.
#[derive(Debug, Default)]
struct Choice {
    index: u32,
    /// Of the open text part, for what Gemini later says of places in it.
    text: String,
    /// Of the open text or thinking part, which it completes.
    signature: Option<String>,
    sound: Option<Sound>,
    finish_reason: Option<String>,
    /// By name; the latest of each counts.
    further_fields: BTreeMap<&'static str, String>,
}

/// An open part of audio, to which more of its type is appended.
#[derive(Debug)]
struct Sound {
    part: PartId,
    media_type: Option<String>,
}

fn choice_of(choices: &mut Vec<Choice>, index: u32) -> &mut Choice {
    let at = choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
        choices.push(Choice { index, ..Choice::default() });
        choices.len() - 1
    });
    &mut choices[at]
}

impl Choice {
    fn candidate(&mut self, candidate: Candidate, context: &Context, events: &mut Events) -> Result<(), Failure> {
        for (name, value) in candidate.further_fields() {
            self.further_fields.insert(name, compact(value).into_owned());
        }
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        for raw in parts {
            self.part(raw, context, events)?;
        }
        if let Some(logprobs) = candidate.logprobs_result.and_then(|result| result.to_json()) {
            self.logprobs(logprobs, events);
        }
        if candidate.finish_reason.is_some() {
            self.finish_reason = candidate.finish_reason;
            self.cite(events);
            self.close(events);
        }
        Ok(())
    }

    fn part(&mut self, raw: &RawValue, context: &Context, events: &mut Events) -> Result<(), Failure> {
        let part: Part = serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))?;
        let is_thought = part.thought == Some(true);
        match part {
            Part { function_call: Some(call), thought_signature, .. } => self.function_call(call, thought_signature, context, events)?,
            Part { text: Some(text), thought_signature, .. } => {
                self.flow(if is_thought { Flow::Thinking } else { Flow::Text }, &text, thought_signature, events);
            }
            // A picture that is only thought of is not the answer.
            Part { inline_data: Some(blob), thought_signature, .. } if !is_thought => match blob.into_kind() {
                Some(kind) => self.media(kind, thought_signature, events),
                None => self.other(raw, events),
            },
            _ => self.other(raw, events),
        }
        Ok(())
    }

    fn flow(&mut self, flow: Flow, text: &str, signature: Option<String>, events: &mut Events) {
        if text.is_empty() && signature.is_none() {
            return;
        }
        let is_another = events.current_flow(self.index).is_some_and(|current| current != flow);
        if is_another || self.signature.is_some() || self.sound.is_some() {
            self.close(events);
        }
        let part = events.flowing(self.index, flow);
        events.grow(part, text);
        self.text.push_str(text);
        self.signature = signature;
    }

    fn function_call(
        &mut self,
        call: FunctionCall,
        signature: Option<String>,
        context: &Context,
        events: &mut Events,
    ) -> Result<(), Failure> {
        let name = match call.name {
            Some(name) if call.partial_args.is_none() && call.will_continue != Some(true) => name,
            _ => return Err(Failure::malformed("Gemini sent a function call in pieces, which it was not asked for")),
        };
        self.close(events);
        let args = call.args.map_or("{}".into(), compact);
        let is_custom = context.is_custom(&name);
        let free_text = is_custom.then(|| free_text(&args)).flatten();
        let part = events.open_tool_call(self.index, call.id.unwrap_or_default(), name, is_custom);
        events.grow(part, free_text.as_deref().unwrap_or(&args));
        events.close(part, signature.map(replay), Vec::new());
        Ok(())
    }

    fn media(&mut self, kind: PartKind, signature: Option<String>, events: &mut Events) {
        if let (PartKind::Audio(more), Some(sound)) = (&kind, &self.sound)
            && sound.media_type == more.media_type
            && let MediaSource::Base64(data) = &more.source
        {
            let media = Some(data.clone());
            events.grow_with(sound.part, PartGrowth { choice: 0, part: 0, text: String::new(), media, logprobs: None });
            return;
        }
        self.close(events);
        let sound_type = match &kind {
            PartKind::Audio(media) => Some(media.media_type.clone()),
            _ => None,
        };
        let part = events.open(self.index, kind);
        match sound_type {
            Some(media_type) => self.sound = Some(Sound { part, media_type }),
            None => events.close(part, signature.map(replay), Vec::new()),
        }
    }

    /// A part of a kind that has no canonical name, as it came, its signature with it.
    fn other(&mut self, raw: &RawValue, events: &mut Events) {
        self.close(events);
        let part = events.open(self.index, PartKind::Other(native(compact(raw).into_owned())));
        events.close(part, None, Vec::new());
    }

    fn logprobs(&self, logprobs: String, events: &mut Events) {
        if events.current_flow(self.index) == Some(Flow::Text) {
            let part = events.flowing(self.index, Flow::Text);
            let logprobs = Some(logprobs);
            events.grow_with(part, PartGrowth { choice: 0, part: 0, text: String::new(), media: None, logprobs });
        }
    }

    /// Gives the open text its citations.
    fn cite(&self, events: &mut Events) {
        if events.current_flow(self.index) != Some(Flow::Text) {
            return;
        }
        let grounding = self.further_fields.get("groundingMetadata").map(|metadata| citations::grounding(metadata, &self.text));
        let recitation = self.further_fields.get("citationMetadata").map(|metadata| citations::recitation(metadata, &self.text));
        for citation in grounding.into_iter().chain(recitation).flatten() {
            let part = events.flowing(self.index, Flow::Text);
            events.cite(part, citation);
        }
    }

    /// Closes the open part, if there is one.
    fn close(&mut self, events: &mut Events) {
        events.close_flow(self.index, self.signature.take().map(replay));
        self.text.clear();
        if let Some(sound) = self.sound.take() {
            events.close(sound.part, None, Vec::new());
        }
    }

    fn finish(&self, events: &mut Events) {
        let by_word = self.finish_reason.as_deref().map_or(FinishReason::Other, answer::finish_reason);
        let finish = Finish {
            reason: stream::finish_reason(by_word, events.called_a_tool(self.index)),
            raw: self.finish_reason.clone(),
            stop_sequence: None,
            extras: self.extras(),
        };
        events.finish(self.index, finish);
    }

    fn extras(&self) -> Vec<Native> {
        if self.further_fields.is_empty() {
            return Vec::new();
        }
        let fields: Vec<String> = self.further_fields.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        vec![native(format!("{{{}}}", fields.join(",")))]
    }
}

fn replay(signature: String) -> Replay {
    Replay { data: signature, model: None }
}

/// What the model gave a custom tool; absent if it is not in the form that was asked of it.
fn free_text(args: &str) -> Option<String> {
    let mut args: Value = serde_json::from_str(args).ok()?;
    match args.get_mut(CUSTOM_ARGUMENT)?.take() {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::malformed(format!("Gemini's answer can't be read: {error}"))
}
