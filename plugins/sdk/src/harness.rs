//! Drives an adapter natively: what an adapter's own tests are written with.
//!
//! [`frames`] cuts a recorded stream as the host does; [`run_stream`] feeds it to a decoder; [`gather`] makes the answer of the events, which
//! must be what `decode` gives of the same answer sent whole; [`check_order`] holds events against the contract's order, [`check_stream`] any
//! stream against what every decoder owes, [`check_encoded`] a request against what every adapter owes.

use crate::types::{
    ChatEvent, ChatRequest, ChatResponse, Choice, Failure, FailureKind, Finish, FinishReason, Frame, Header, HttpRequest, HttpResponse,
    Media, MediaSource, Message, Native, Part, PartBody, PartKind, Role, Sampling, Segment, ToolCall,
};
use crate::{Chat, GuestDecoder, dropped};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

impl ChatRequest {
    /// A request of these messages that says nothing else.
    pub fn new(model: &str, messages: Vec<Message>) -> Self {
        Self {
            model: model.to_owned(),
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
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: &str) -> Self {
        Self::of(role, vec![Part::new(PartBody::Text(text.to_owned()))])
    }

    /// A message of these parts.
    pub fn of(role: Role, parts: Vec<Part>) -> Self {
        Self { role, name: None, parts, extras: Vec::new() }
    }
}

impl Part {
    /// A part with nothing beside its body.
    pub fn new(body: PartBody) -> Self {
        Self { body, replay: None, cache: None, citations: Vec::new(), extras: Vec::new() }
    }
}

/// A whole answer.
pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
    HttpResponse { status, headers: owned(headers), body: body.as_bytes().to_vec() }
}

/// Headers, owned.
pub fn owned(headers: &[(&str, &str)]) -> Vec<Header> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The body as text; a blob stands in it as `<blob:7>`.
pub fn body_text(request: &HttpRequest) -> String {
    request
        .body
        .iter()
        .map(|segment| match segment {
            Segment::Text(text) => text.clone(),
            Segment::BlobBase64(id) | Segment::BlobText(id) => format!("<blob:{id}>"),
        })
        .collect()
}

/// The frames of a recorded SSE body. Lines that are no SSE field come joined as one last frame, as from the host.
pub fn frames(body: &str) -> Vec<Frame> {
    let mut frames = Vec::new();
    let (mut event, mut data) = (None, Vec::new());
    let mut unframed = Vec::new();
    for line in body.lines().chain([""]) {
        match line.split_once(':') {
            _ if line.is_empty() => {
                let name = event.take();
                if !data.is_empty() {
                    frames.push(Frame { event: name, data: std::mem::take(&mut data).join("\n") });
                }
            }
            Some(("data", value)) => data.push(value.strip_prefix(' ').unwrap_or(value)),
            Some(("event", value)) => event = Some(value.trim_start().to_owned()),
            Some(("" | "id" | "retry", _)) => {}
            _ => unframed.push(line),
        }
    }
    if !unframed.is_empty() {
        frames.push(Frame { event: None, data: unframed.join("\n") });
    }
    frames
}

/// All events of a stream, `frames_per_push` at a time.
pub fn run_stream<A: Chat>(context: &str, frames: &[Frame], frames_per_push: usize) -> Vec<ChatEvent> {
    let decoder = A::Decoder::new(context.to_owned(), Vec::new());
    let mut events: Vec<ChatEvent> = frames.chunks(frames_per_push.max(1)).flat_map(|some| decoder.push(some.to_vec())).collect();
    events.extend(decoder.finish());
    events
}

/// The answer that the events add up to.
///
/// # Errors
/// The stream's failure.
pub fn gather(events: &[ChatEvent]) -> Result<ChatResponse, Failure> {
    let mut answer = ChatResponse { id: None, model: None, choices: Vec::new(), usage: None, extras: Vec::new() };
    let mut choices: BTreeMap<u32, Choice> = BTreeMap::new();
    for event in events {
        match event {
            ChatEvent::Started(start) => {
                answer.id = start.id.clone().or(answer.id);
                answer.model = start.model.clone().or(answer.model);
                start.extras.iter().for_each(|native| merge(&mut answer.extras, native));
            }
            ChatEvent::PartOpened(opening) => {
                choice(&mut choices, opening.choice).parts.push(Part::new(opened(&opening.kind)));
            }
            ChatEvent::PartGrew(growth) => {
                let choice = choice(&mut choices, growth.choice);
                if let Some(logprobs) = &growth.logprobs {
                    choice.logprobs = Some(match choice.logprobs.take() {
                        Some(before) => format!("{},{}", &before[..before.len() - 1], &logprobs[1..]),
                        None => logprobs.clone(),
                    });
                }
                if let Some(part) = choice.parts.get_mut(growth.part as usize) {
                    grow(&mut part.body, &growth.text, growth.media.as_deref());
                }
            }
            ChatEvent::PartCited(cited) => {
                if let Some(part) = choice(&mut choices, cited.choice).parts.get_mut(cited.part as usize) {
                    part.citations.push(cited.citation.clone());
                }
            }
            ChatEvent::PartClosed(closing) => {
                if let Some(part) = choice(&mut choices, closing.choice).parts.get_mut(closing.part as usize) {
                    part.replay.clone_from(&closing.replay);
                    part.extras.clone_from(&closing.extras);
                }
            }
            ChatEvent::Finished(finished) => choice(&mut choices, finished.choice).finish = finished.finish.clone(),
            ChatEvent::Usage(usage) => answer.usage = Some(usage.clone()),
            ChatEvent::Ended => {}
            ChatEvent::Failed(failure) => return Err(failure.clone()),
        }
    }
    answer.choices = choices.into_values().collect();
    Ok(answer)
}

/// An object of a dialect that is told again replaces field by field.
fn merge(extras: &mut Vec<Native>, told: &Native) {
    let object = |json: &str| serde_json::from_str::<Map<String, Value>>(json).ok();
    let Some(before) = extras.iter_mut().find(|before| before.dialect == told.dialect) else {
        extras.push(told.clone());
        return;
    };
    before.value = match (object(&before.value), object(&told.value)) {
        (Some(mut fields), Some(again)) => {
            fields.extend(again);
            Value::Object(fields).to_string()
        }
        _ => told.value.clone(),
    };
}

fn choice(choices: &mut BTreeMap<u32, Choice>, index: u32) -> &mut Choice {
    choices.entry(index).or_insert_with(|| Choice {
        index,
        parts: Vec::new(),
        finish: Finish { reason: FinishReason::Other, raw: None, stop_sequence: None, extras: Vec::new() },
        logprobs: None,
    })
}

fn opened(kind: &PartKind) -> PartBody {
    match kind {
        PartKind::Text => PartBody::Text(String::new()),
        PartKind::Refusal => PartBody::Refusal(String::new()),
        PartKind::Thinking => PartBody::Thinking(String::new()),
        PartKind::ToolCall(call) => PartBody::ToolCall(ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: String::new(),
            free_form: call.free_form,
        }),
        PartKind::Image(media) => PartBody::Image(media.clone()),
        PartKind::Audio(media) => PartBody::Audio(media.clone()),
        PartKind::Video(media) => PartBody::Video(media.clone()),
        PartKind::Other(native) => PartBody::Other(native.clone()),
    }
}

fn grow(body: &mut PartBody, text: &str, media: Option<&str>) {
    match body {
        PartBody::Text(grown) | PartBody::Refusal(grown) | PartBody::Thinking(grown) => grown.push_str(text),
        PartBody::ToolCall(call) => call.arguments.push_str(text),
        PartBody::Image(grown) | PartBody::Audio(grown) | PartBody::Video(grown) => grow_media(grown, text, media),
        PartBody::Document(_) | PartBody::ToolResult(_) | PartBody::Other(_) => {}
    }
}

fn grow_media(grown: &mut Media, text: &str, media: Option<&str>) {
    if !text.is_empty() {
        grown.transcript.get_or_insert_default().push_str(text);
    }
    if let (MediaSource::Base64(base64), Some(media)) = (&mut grown.source, media) {
        base64.push_str(media);
    }
}

/// Holds a complete stream's events against the order that the contract demands.
///
/// # Errors
/// The first breach, in words.
pub fn check_order(events: &[ChatEvent]) -> Result<(), String> {
    let mut opened: BTreeMap<u32, u32> = BTreeMap::new();
    let mut open: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut finished: BTreeSet<u32> = BTreeSet::new();
    for (at, event) in events.iter().enumerate() {
        let breach = |what: &str| Err(format!("event {at} ({event:?}): {what}"));
        let over = at > 0 && matches!(events[at - 1], ChatEvent::Ended | ChatEvent::Failed(_));
        if over {
            return breach("comes after the end");
        }
        match event {
            ChatEvent::Failed(_) => {}
            ChatEvent::Started(_) => {}
            _ if at == 0 => return breach("comes before `started`"),
            ChatEvent::PartOpened(opening) => {
                let next = opened.entry(opening.choice).or_default();
                if opening.part != *next {
                    return breach(&format!("part {next} is next"));
                }
                if finished.contains(&opening.choice) {
                    return breach("its choice is finished");
                }
                *next += 1;
                open.insert((opening.choice, opening.part));
            }
            ChatEvent::PartGrew(growth) if !open.contains(&(growth.choice, growth.part)) => return breach("the part is not open"),
            ChatEvent::PartCited(cited) if !open.contains(&(cited.choice, cited.part)) => return breach("the part is not open"),
            ChatEvent::PartClosed(closing) => {
                if !open.remove(&(closing.choice, closing.part)) {
                    return breach("the part is not open");
                }
            }
            ChatEvent::Finished(finish) => {
                if open.iter().any(|(choice, _)| *choice == finish.choice) {
                    return breach("the choice has open parts");
                }
                if !finished.insert(finish.choice) {
                    return breach("the choice is finished already");
                }
            }
            ChatEvent::Ended if !open.is_empty() => return breach("parts are open"),
            ChatEvent::PartGrew(_) | ChatEvent::PartCited(_) | ChatEvent::Usage(_) | ChatEvent::Ended => {}
        }
    }
    match events.last() {
        Some(ChatEvent::Ended | ChatEvent::Failed(_)) => Ok(()),
        _ => Err("the stream neither ended nor failed".to_owned()),
    }
}

/// The events of a stream, whatever is in it: in the contract's order, and the same in however many pieces it came.
///
/// # Errors
/// The first breach, in words.
pub fn check_stream<A: Chat>(context: &str, frames: &[Frame]) -> Result<Vec<ChatEvent>, String> {
    let events = run_stream::<A>(context, frames, 1);
    check_order(&events)?;
    for frames_per_push in [2, 3, usize::MAX] {
        if run_stream::<A>(context, frames, frames_per_push) != events {
            return Err(format!("{frames_per_push} frames at a time give other events than one"));
        }
    }
    Ok(events)
}

/// What an adapter made of a request: sound HTTP whose body, with the media in it, is JSON that says nothing twice; or a failure that is the
/// request's.
///
/// # Errors
/// The first breach, in words.
pub fn check_encoded(outcome: &Result<HttpRequest, Failure>) -> Result<(), String> {
    let request = match outcome {
        Ok(request) => request,
        Err(Failure { kind: FailureKind::InvalidRequest | FailureKind::Unsupported | FailureKind::RequestTooLarge, .. }) => return Ok(()),
        Err(failure) => return Err(format!("a failure that is not the request's: {failure:?}")),
    };
    if !request.path.starts_with('/') || request.path.contains(['?', ' ']) {
        return Err(format!("the path {:?}", request.path));
    }
    let spliced = request.body.iter().map(|segment| match segment {
        Segment::Text(text) => text.as_str(),
        Segment::BlobBase64(_) => "AA+/",
        Segment::BlobText(_) => "line \\n \\\"quoted\\\"",
    });
    let body: String = spliced.collect();
    serde_json::from_str::<Unambiguous>(&body).map_err(|error| format!("the body: {error}: {body}"))?;
    if dropped::once(request.dropped.clone()) == request.dropped {
        Ok(())
    } else {
        Err(format!("dropped parameters told twice: {:?}", request.dropped))
    }
}

/// Any JSON in which no object has a field twice.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, _)) = fields.next_entry::<String, Self>()? {
            if let Some(again) = names.replace(name) {
                return Err(serde::de::Error::custom(format!("the field {again:?} stands twice")));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Framing, HttpMethod};

    fn encoded(body: &str) -> Result<HttpRequest, Failure> {
        Ok(HttpRequest {
            method: HttpMethod::Post,
            path: "/x".into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: vec![Segment::Text(body.into()), Segment::BlobText(1), Segment::Text("\"}".into())],
            framing: Framing::Whole,
            dropped: Vec::new(),
            context: String::new(),
            extras: Vec::new(),
        })
    }

    #[test]
    fn a_body_must_be_json_that_says_nothing_twice() {
        assert_eq!(check_encoded(&encoded("{\"b\":[1.5,-1,null,true],\"a\":\"")), Ok(()));
        assert!(check_encoded(&encoded("{\"a\":1,\"a\":\"")).is_err());
        assert!(check_encoded(&encoded("{\"a\":[{\"b\":1,\"b\":2}],\"c\":\"")).is_err());
        assert!(check_encoded(&encoded("[\"")).is_err());
        assert!(check_encoded(&Err(Failure::malformed("x"))).is_err());
    }
}
