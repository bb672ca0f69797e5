//! An answer told as events, and events of a whole answer. Both tell the same parts, so a caller gets the same whichever way the
//! adapter chose.

use crate::contract::{
    ChatEvent, ChatRequest, ChatResponse, Choice, ChoiceFinish, Failure, Finish, FinishReason, Media, MediaSource, Message, Native, Part,
    PartBody, PartCitation, PartClosing, PartGrowth, PartKind, PartOpening, Sampling, StreamStart, ToolCall, ToolCallOpening,
};

/// Choices and parts that one answer may have: far above what a provider gives, and a bound on what a plugin can make the host keep.
const MAX_CHOICES: usize = 1024;
const MAX_PARTS: usize = 100_000;
/// What a gathered answer may weigh: some large images.
const MAX_ANSWER_BYTES: usize = 128 << 20;
/// How often an answer may begin again; each time costs a look at all of its extras.
const MAX_STARTS: usize = 1000;

/// A request of these messages that says nothing else.
pub fn chat_request(model: String, messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        model,
        messages,
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        response_format: None,
        sampling: Sampling {
            temperature: None,
            top_p: None,
            top_k: None,
            presence_penalty: None,
            frequency_penalty: None,
            seed: None,
            logit_bias: Vec::new(),
        },
        max_output: None,
        stop: Vec::new(),
        choices: None,
        logprobs: None,
        reasoning: None,
        user: None,
        metadata: Vec::new(),
        stream: false,
        settings: Vec::new(),
        extras: Vec::new(),
    }
}

/// A part with nothing beside its body.
pub fn part(body: PartBody) -> Part {
    Part { body, replay: None, cache: None, citations: Vec::new(), extras: Vec::new() }
}

/// An answer that is being gathered from its events.
#[derive(Debug, Default)]
pub struct Gathered {
    answer: Option<ChatResponse>,
    ended: bool,
    /// Bytes of text, media and the like that were gathered.
    bytes: usize,
    starts: usize,
}

/// Events that add up to nothing that could be an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disorder {
    #[error("the adapter's events name a part that was not opened")]
    NoSuchPart,
    #[error("the adapter's events open parts out of order")]
    PartOutOfOrder,
    #[error("the adapter's events add up to too much")]
    TooMuch,
}

impl Gathered {
    /// Adds one event. `Ok(Some(failure))` is the stream's own failure.
    ///
    /// # Errors
    /// When the event does not follow from those before it.
    pub fn add(&mut self, event: ChatEvent) -> Result<Option<Failure>, Disorder> {
        self.bytes = self.bytes.saturating_add(size(&event));
        self.starts += usize::from(matches!(event, ChatEvent::Started(_)));
        if self.bytes > MAX_ANSWER_BYTES || self.starts > MAX_STARTS {
            return Err(Disorder::TooMuch);
        }
        let answer =
            self.answer.get_or_insert_with(|| ChatResponse { id: None, model: None, choices: Vec::new(), usage: None, extras: Vec::new() });
        match event {
            ChatEvent::Started(start) => {
                answer.id = start.id.or(answer.id.take());
                answer.model = start.model.or(answer.model.take());
                merge_extras(&mut answer.extras, start.extras);
            }
            ChatEvent::PartOpened(opening) => {
                let parts = &mut choice(&mut answer.choices, opening.choice)?.parts;
                match usize::try_from(opening.part) {
                    Ok(number) if number == parts.len() && number < MAX_PARTS => parts.push(part(opened(opening.kind))),
                    Ok(number) if number >= MAX_PARTS => return Err(Disorder::TooMuch),
                    _ => return Err(Disorder::PartOutOfOrder),
                }
            }
            ChatEvent::PartGrew(growth) => {
                let choice = choice(&mut answer.choices, growth.choice)?;
                if let Some(logprobs) = growth.logprobs {
                    append_logprobs(&mut choice.logprobs, &logprobs);
                }
                grow(&mut open_part(choice, growth.part)?.body, &growth.text, growth.media.as_deref());
            }
            ChatEvent::PartCited(cited) => {
                open_part(choice(&mut answer.choices, cited.choice)?, cited.part)?.citations.push(cited.citation)
            }
            ChatEvent::PartClosed(closing) => {
                let part = open_part(choice(&mut answer.choices, closing.choice)?, closing.part)?;
                part.replay = closing.replay;
                part.extras = closing.extras;
            }
            ChatEvent::Finished(finished) => choice(&mut answer.choices, finished.choice)?.finish = finished.finish,
            ChatEvent::Usage(usage) => answer.usage = Some(usage),
            ChatEvent::Ended => self.ended = true,
            ChatEvent::Failed(failure) => return Ok(Some(failure)),
        }
        Ok(None)
    }

    /// What the events so far tell of the answer; choices in the order in which they began.
    pub fn so_far(&self) -> Option<&ChatResponse> {
        self.answer.as_ref()
    }

    /// The answer, if the events told of a complete one.
    pub fn complete(self) -> Option<ChatResponse> {
        let mut answer = self.answer.filter(|_| self.ended)?;
        answer.choices.sort_by_key(|choice| choice.index);
        Some(answer)
    }
}

/// About what an event takes in memory, in bytes.
pub fn size(event: &ChatEvent) -> usize {
    const EVENT: usize = 64;
    let natives = |extras: &[Native]| extras.iter().map(|native| native.value.len() + native.dialect.len()).sum::<usize>();
    EVENT
        + match event {
            ChatEvent::Started(start) => natives(&start.extras),
            ChatEvent::PartGrew(grew) => {
                grew.text.len() + grew.media.as_ref().map_or(0, String::len) + grew.logprobs.as_ref().map_or(0, String::len)
            }
            ChatEvent::PartOpened(opening) => match &opening.kind {
                PartKind::ToolCall(call) => call.name.len() + call.id.len(),
                PartKind::Other(native) => native.value.len(),
                PartKind::Image(media) | PartKind::Audio(media) | PartKind::Video(media) => match &media.source {
                    MediaSource::Base64(text) | MediaSource::Url(text) => text.len(),
                    MediaSource::Blob(_) | MediaSource::File(_) => 0,
                },
                PartKind::Text | PartKind::Refusal | PartKind::Thinking => 0,
            },
            ChatEvent::PartCited(cited) => cited.citation.native.value.len() + cited.citation.quote.as_ref().map_or(0, String::len),
            ChatEvent::PartClosed(closing) => natives(&closing.extras) + closing.replay.as_ref().map_or(0, |replay| replay.data.len()),
            ChatEvent::Finished(finished) => natives(&finished.finish.extras),
            ChatEvent::Usage(_) | ChatEvent::Ended | ChatEvent::Failed(_) => 0,
        }
}

fn choice(choices: &mut Vec<Choice>, index: u32) -> Result<&mut Choice, Disorder> {
    let at = match choices.iter().position(|choice| choice.index == index) {
        Some(at) => at,
        None if choices.len() >= MAX_CHOICES => return Err(Disorder::TooMuch),
        None => {
            let finish = Finish { reason: FinishReason::Other, raw: None, stop_sequence: None, extras: Vec::new() };
            choices.push(Choice { index, parts: Vec::new(), finish, logprobs: None });
            choices.len() - 1
        }
    };
    choices.get_mut(at).ok_or(Disorder::TooMuch)
}

fn open_part(choice: &mut Choice, number: u32) -> Result<&mut Part, Disorder> {
    usize::try_from(number).ok().and_then(|number| choice.parts.get_mut(number)).ok_or(Disorder::NoSuchPart)
}

/// An object of a dialect that is told again replaces field by field.
fn merge_extras(told: &mut Vec<Native>, again: Vec<Native>) {
    for native in again {
        match told.iter_mut().find(|before| before.dialect == native.dialect) {
            Some(before) => before.value = merged(&before.value, &native.value).unwrap_or(native.value),
            None => told.push(native),
        }
    }
}

fn merged(before: &str, after: &str) -> Option<String> {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(before).ok()?;
    object.extend(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(after).ok()?);
    serde_json::to_string(&object).ok()
}

/// Appends a JSON array to another, in place.
fn append_logprobs(before: &mut Option<String>, more: &str) {
    let Some(joined) = before.as_mut().filter(|joined| joined.ends_with(']') && joined.as_str() != "[]") else {
        *before = Some(more.trim().to_owned());
        return;
    };
    let inner = more.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default().trim();
    if !inner.is_empty() {
        joined.pop();
        joined.push(',');
        joined.push_str(inner);
        joined.push(']');
    }
}

fn opened(kind: PartKind) -> PartBody {
    match kind {
        PartKind::Text => PartBody::Text(String::new()),
        PartKind::Refusal => PartBody::Refusal(String::new()),
        PartKind::Thinking => PartBody::Thinking(String::new()),
        PartKind::ToolCall(call) => {
            PartBody::ToolCall(ToolCall { id: call.id, name: call.name, arguments: String::new(), free_form: call.free_form })
        }
        PartKind::Image(media) => PartBody::Image(media),
        PartKind::Audio(media) => PartBody::Audio(media),
        PartKind::Video(media) => PartBody::Video(media),
        PartKind::Other(native) => PartBody::Other(native),
    }
}

fn grow(body: &mut PartBody, text: &str, more: Option<&str>) {
    match body {
        PartBody::Text(grown) | PartBody::Refusal(grown) | PartBody::Thinking(grown) => grown.push_str(text),
        PartBody::ToolCall(call) => call.arguments.push_str(text),
        PartBody::Image(media) | PartBody::Audio(media) | PartBody::Video(media) => {
            if !text.is_empty() {
                media.transcript.get_or_insert_default().push_str(text);
            }
            if let (MediaSource::Base64(base64), Some(more)) = (&mut media.source, more) {
                base64.push_str(more);
            }
        }
        PartBody::Document(_) | PartBody::ToolResult(_) | PartBody::Other(_) => {}
    }
}

/// A whole answer as the events that tell it.
pub fn events_of(answer: ChatResponse) -> Vec<ChatEvent> {
    let mut events = vec![ChatEvent::Started(StreamStart { id: answer.id, model: answer.model, extras: answer.extras })];
    for choice in answer.choices {
        let mut logprobs = choice.logprobs;
        for (number, part) in (0..).zip(choice.parts) {
            tell_part(&mut events, choice.index, number, part, &mut logprobs);
        }
        events.push(ChatEvent::Finished(ChoiceFinish { choice: choice.index, finish: choice.finish }));
    }
    events.extend(answer.usage.map(ChatEvent::Usage));
    events.push(ChatEvent::Ended);
    events
}

/// `logprobs` goes with the first text.
fn tell_part(events: &mut Vec<ChatEvent>, choice: u32, number: u32, part: Part, logprobs: &mut Option<String>) {
    let (kind, text, media) = match part.body {
        PartBody::Text(text) => (PartKind::Text, text, None),
        PartBody::Refusal(text) => (PartKind::Refusal, text, None),
        PartBody::Thinking(text) => (PartKind::Thinking, text, None),
        PartBody::ToolCall(call) => {
            (PartKind::ToolCall(ToolCallOpening { id: call.id, name: call.name, free_form: call.free_form }), call.arguments, None)
        }
        PartBody::Image(media) => tell_media(media, PartKind::Image),
        PartBody::Audio(media) => tell_media(media, PartKind::Audio),
        PartBody::Video(media) => tell_media(media, PartKind::Video),
        PartBody::Other(native) => (PartKind::Other(native), String::new(), None),
        // No answer has these.
        PartBody::Document(_) | PartBody::ToolResult(_) => {
            (PartKind::Other(Native { dialect: "llm-gateway".to_owned(), value: "{}".to_owned() }), String::new(), None)
        }
    };
    let logprobs = if matches!(kind, PartKind::Text) { logprobs.take() } else { None };
    events.push(ChatEvent::PartOpened(PartOpening { choice, part: number, kind }));
    if !text.is_empty() || media.is_some() || logprobs.is_some() {
        events.push(ChatEvent::PartGrew(PartGrowth { choice, part: number, text, media, logprobs }));
    }
    events.extend(part.citations.into_iter().map(|citation| ChatEvent::PartCited(PartCitation { choice, part: number, citation })));
    events.push(ChatEvent::PartClosed(PartClosing { choice, part: number, replay: part.replay, extras: part.extras }));
}

fn tell_media(mut media: Media, kind: fn(Media) -> PartKind) -> (PartKind, String, Option<String>) {
    let transcript = media.transcript.take().unwrap_or_default();
    let bytes = match &mut media.source {
        MediaSource::Base64(base64) => Some(std::mem::take(base64)),
        _ => None,
    };
    (kind(media), transcript, bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::Usage;

    fn answer() -> ChatResponse {
        let call = ToolCall { id: "c1".into(), name: "weather".into(), arguments: "{}".into(), free_form: false };
        let sound = Media {
            source: MediaSource::Base64("AAAA".into()),
            media_type: Some("audio/wav".into()),
            name: None,
            detail: None,
            transcript: Some("hi".into()),
        };
        ChatResponse {
            id: Some("a1".into()),
            model: Some("m".into()),
            choices: vec![Choice {
                index: 0,
                parts: vec![
                    part(PartBody::Thinking("hm".into())),
                    part(PartBody::Text("hello".into())),
                    part(PartBody::ToolCall(call)),
                    part(PartBody::Audio(sound)),
                ],
                finish: Finish { reason: FinishReason::ToolCalls, raw: Some("tool_use".into()), stop_sequence: None, extras: Vec::new() },
                logprobs: Some("[{\"token\":\"hello\"}]".into()),
            }],
            usage: Some(Usage {
                input: Some(3),
                cache_read: None,
                cache_write: None,
                output: Some(4),
                reasoning: None,
                details: Vec::new(),
            }),
            extras: vec![Native { dialect: "openai-chat".into(), value: "{\"service_tier\":\"default\"}".into() }],
        }
    }

    #[test]
    fn a_whole_answer_told_as_events_adds_up_to_itself() {
        let mut gathered = Gathered::default();
        for event in events_of(answer()) {
            assert_eq!(gathered.add(event), Ok(None));
        }
        assert_eq!(gathered.complete().unwrap(), answer());
    }

    #[test]
    fn without_an_end_there_is_no_answer() {
        let mut gathered = Gathered::default();
        for event in events_of(answer()).into_iter().filter(|event| *event != ChatEvent::Ended) {
            gathered.add(event).unwrap();
        }
        assert_eq!(gathered.complete(), None);
    }

    #[test]
    fn events_that_do_not_follow_are_refused() {
        let grew = ChatEvent::PartGrew(PartGrowth { choice: 0, part: 4_000_000_000, text: "x".into(), media: None, logprobs: None });
        assert_eq!(Gathered::default().add(grew), Err(Disorder::NoSuchPart));
        let opened = ChatEvent::PartOpened(PartOpening { choice: 0, part: 1, kind: PartKind::Text });
        assert_eq!(Gathered::default().add(opened), Err(Disorder::PartOutOfOrder));
    }
}
