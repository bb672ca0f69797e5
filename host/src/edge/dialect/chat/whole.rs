//! A whole answer as a Chat completion.

use crate::contract::{ChatResponse, Choice, FinishReason, Media, MediaSource, Part, PartBody};
use crate::edge::dialect::Head;
use crate::edge::dialect::chat::CallForm;
use crate::edge::dialect::chat::body::{AudioBody, CallBody, DetailBody, FunctionBody, LogprobsBody, MessageBody, UsageBody};
use crate::edge::dialect::chat::extras;
use crate::edge::dialect::chat::turn::Turn;
use crate::edge::dialect::openai::arguments;
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Debug, Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<CompletionChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct CompletionChoice<'a> {
    index: u32,
    message: MessageBody<'a>,
    logprobs: Option<LogprobsBody<'a>>,
    finish_reason: &'static str,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

/// A choice's skeleton with the ids of its calls, where it has both.
pub type KeptTurn = (Vec<String>, String);

/// The completion, and the skeletons of its messages.
pub fn completion(head: &Head, calls: CallForm, answer: &ChatResponse) -> (Vec<u8>, Vec<KeptTurn>) {
    let turns: Vec<Turn> = answer.choices.iter().map(|choice| Turn::of(shown(choice, calls))).collect();
    let texts: Vec<Option<String>> = turns.iter().map(Turn::to_text).collect();
    let choices = answer.choices.iter().zip(&texts).map(|(choice, turn)| choice_body(choice, calls, turn.as_deref()));
    let body = Completion {
        id: &head.id,
        object: "chat.completion",
        created: head.created,
        model: &head.model,
        choices: choices.collect(),
        usage: answer.usage.as_ref().map(UsageBody::of),
        extras: extras::of_answer(&answer.extras),
    };
    // Strings and numbers in structs: there is nothing in them that JSON can't hold.
    let out = serde_json::to_vec(&body).unwrap_or_default();
    let kept = turns.iter().zip(texts).filter_map(|(turn, text)| kept(turn, text?));
    (out, kept.collect())
}

/// A skeleton that is found again by the calls that it belongs to, if there are any.
pub fn kept(turn: &Turn, text: String) -> Option<KeptTurn> {
    let ids = turn.call_ids();
    (!ids.is_empty()).then_some((ids, text))
}

/// The parts without the calls that the form of the answer has no room for.
fn shown(choice: &Choice, calls: CallForm) -> impl Iterator<Item = &Part> {
    let mut seen = 0;
    choice.parts.iter().filter(move |part| {
        seen += usize::from(matches!(part.body, PartBody::ToolCall(_)));
        !matches!(part.body, PartBody::ToolCall(_)) || calls.has_room_for(seen - 1)
    })
}

pub fn finish_word(reason: FinishReason, calls: CallForm) -> &'static str {
    match (reason, calls) {
        (FinishReason::Length, _) => "length",
        (FinishReason::ToolCalls, CallForm::ToolCalls) => "tool_calls",
        (FinishReason::ToolCalls, CallForm::FunctionCall) => "function_call",
        (FinishReason::ContentFilter, _) => "content_filter",
        (FinishReason::Stop | FinishReason::Error | FinishReason::Other, _) => "stop",
    }
}

fn choice_body<'a>(choice: &'a Choice, calls: CallForm, turn: Option<&'a str>) -> CompletionChoice<'a> {
    let mut message =
        MessageBody { role: "assistant", reasoning_details: turn.map(|turn| [DetailBody::of(turn)]), ..MessageBody::default() };
    let mut chars = 0;
    for (number, part) in choice.parts.iter().enumerate() {
        add(&mut message, part, number, calls, &mut chars);
    }
    message.reasoning_content = message.reasoning_content.filter(|text| !text.is_empty());
    CompletionChoice {
        index: choice.index,
        message,
        logprobs: LogprobsBody::of(choice.logprobs.as_deref()),
        finish_reason: finish_word(choice.finish.reason, calls),
        extras: extras::of_choice(&choice.finish.extras),
    }
}

/// `chars`: of the content so far.
fn add<'a>(message: &mut MessageBody<'a>, part: &'a Part, number: usize, calls: CallForm, chars: &mut usize) {
    match &part.body {
        PartBody::Text(text) => {
            let from = std::mem::replace(chars, *chars + text.chars().count());
            message.content.get_or_insert_default().push_str(text);
            let annotations = part.citations.iter().filter_map(|citation| extras::annotation(citation, (from, *chars)));
            message.annotations.extend(annotations.map(Value::Object));
        }
        PartBody::Refusal(text) => message.refusal.get_or_insert_default().push_str(text),
        PartBody::Thinking(text) => message.reasoning_content.get_or_insert_default().push_str(text),
        PartBody::Image(media) => message.images.extend(extras::image(media, message.images.len())),
        PartBody::Audio(media) if message.audio.is_none() => message.audio = Some(audio(media, part, number)),
        PartBody::ToolCall(call) => match calls {
            CallForm::ToolCalls => message.tool_calls.push(CallBody::whole(call)),
            CallForm::FunctionCall => {
                message.function_call.get_or_insert(FunctionBody { name: Some(&call.name), arguments: arguments(&call.arguments) });
            }
        },
        PartBody::Audio(_) | PartBody::Video(_) | PartBody::Document(_) | PartBody::ToolResult(_) | PartBody::Other(_) => {}
    }
}

fn audio<'a>(media: &'a Media, part: &Part, number: usize) -> AudioBody<'a> {
    let data = if let MediaSource::Base64(base64) = &media.source { base64.as_str() } else { "" };
    AudioBody {
        data: Some(data),
        transcript: Some(media.transcript.as_deref().unwrap_or_default()),
        ..extras::audio_ending(&part.extras, number)
    }
}
