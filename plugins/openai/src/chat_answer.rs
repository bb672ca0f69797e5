//! A whole answer of `/chat/completions`.

use crate::citations;
use crate::endpoint::Endpoint;
use crate::failure;
use crate::replay;
use crate::text::{Text, elements, said, string_in};
use crate::usage::CompletionUsage;
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::stream::finish_reason;
use llm_gateway_adapter::types::{
    ChatResponse, Choice, Failure, Finish, FinishReason, HttpResponse, Media, MediaSource, Native, Part, PartBody, Replay, ToolCall,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct ChatCompletion<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<CompletionChoice<'a>>>,
    usage: Option<CompletionUsage>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow)]
    system_fingerprint: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CompletionChoice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    message: Option<CompletionMessage<'a>>,
    #[serde(borrow)]
    logprobs: Option<Logprobs<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct CompletionMessage<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    /// Compatible servers' name for open reasoning, and below it the newer one; some send both alike.
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<CompletionAudio<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CompletionToolCall<'a>>>,
    /// The form before `tool_calls`.
    #[serde(borrow)]
    function_call: Option<CompletionFunction<'a>>,
    #[serde(borrow)]
    annotations: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct CompletionAudio<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    transcript: Option<Text<'a>>,
    expires_at: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionToolCall<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<CompletionFunction<'a>>,
    #[serde(borrow)]
    custom: Option<CompletionCustom<'a>>,
}

#[derive(Deserialize)]
struct CompletionFunction<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CompletionCustom<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub struct Logprobs<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Logprobs<'_> {
    /// As a JSON array, unless it has no elements.
    pub fn into_array(self) -> Option<String> {
        elements(self.content).map(|elements| format!("[{elements}]"))
    }
}

/// # Errors
/// An error that came with status 200, or a body that is no answer.
pub fn decode(response: &HttpResponse, audio_type: Option<&str>) -> Result<ChatResponse, Failure> {
    let answer = serde_json::from_slice::<ChatCompletion<'_>>(&response.body).ok().filter(ChatCompletion::is_answer);
    let Some(answer) = answer else {
        let text = str::from_utf8(&response.body).unwrap_or_default();
        let error = failure::in_success(text, &response.headers);
        return Err(error.unwrap_or_else(|| Failure::malformed(unreadable_body(response.status, &response.body))));
    };
    Ok(ChatResponse {
        id: said(answer.id),
        model: said(answer.model),
        choices: answer.choices.into_iter().flatten().map(|choice| choice.into_choice(audio_type)).collect(),
        usage: answer.usage.map(Into::into),
        extras: AnswerExtras { service_tier: answer.service_tier.as_deref(), system_fingerprint: answer.system_fingerprint.as_deref() }
            .into_natives(),
    })
}

impl ChatCompletion<'_> {
    fn is_answer(&self) -> bool {
        let has_error = self.error.is_some_and(|error| error.get() != "null");
        !has_error && self.choices.as_ref().is_some_and(|choices| !choices.is_empty())
    }
}

/// Fields of an answer that have no canonical name.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct AnswerExtras<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<&'a str>,
}

impl AnswerExtras<'_> {
    pub fn into_natives(self) -> Vec<Native> {
        if self.service_tier.is_none() && self.system_fingerprint.is_none() {
            return Vec::new();
        }
        native(&self).into_iter().collect()
    }
}

fn native(value: &impl Serialize) -> Option<Native> {
    Some(Native { dialect: Endpoint::Chat.dialect().to_owned(), value: serde_json::to_string(value).ok()? })
}

impl CompletionChoice<'_> {
    fn into_choice(self, audio_type: Option<&str>) -> Choice {
        let parts = self.message.unwrap_or_default().into_parts(audio_type);
        let called_a_tool = parts.iter().any(|part| matches!(part.body, PartBody::ToolCall(_)));
        Choice {
            index: self.index,
            parts,
            finish: finish(self.finish_reason.as_deref(), called_a_tool),
            logprobs: self.logprobs.and_then(Logprobs::into_array),
        }
    }
}

impl CompletionMessage<'_> {
    fn into_parts(self, audio_type: Option<&str>) -> Vec<Part> {
        let mut parts = Vec::new();
        if let Some(thinking) = reasoning_text(self.reasoning_content, self.reasoning) {
            parts.push(Part { replay: Some(replay::own()), ..Part::new(PartBody::Thinking(thinking.into_owned())) });
        }
        if let Some(text) = said(self.content) {
            let annotations = self.annotations.unwrap_or_default();
            let citations = annotations.into_iter().map(|annotation| citations::of_annotation(annotation, Endpoint::Chat)).collect();
            parts.push(Part { citations, ..Part::new(PartBody::Text(text)) });
        }
        parts.extend(said(self.refusal).map(|refusal| Part::new(PartBody::Refusal(refusal))));
        parts.extend(self.audio.map(|audio| audio.into_part(audio_type)));
        parts.extend(self.tool_calls.unwrap_or_default().into_iter().map(CompletionToolCall::into_part));
        parts.extend(self.function_call.map(|function| function.into_part(String::new())));
        parts
    }
}

/// Open reasoning, under either of its names.
pub fn reasoning_text<'a>(reasoning_content: Option<&'a RawValue>, reasoning: Option<&'a RawValue>) -> Option<Text<'a>> {
    [reasoning_content, reasoning].into_iter().find_map(|field| string_in(field).filter(|text| !text.is_empty()))
}

/// A tool call's arguments; an object, as some servers write them, becomes its text.
pub fn arguments_text(arguments: Option<&RawValue>) -> String {
    match (string_in(arguments), arguments) {
        (Some(text), _) => text.into_owned(),
        (None, Some(value)) if value.get() != "null" => value.get().to_owned(),
        (None, _) => String::new(),
    }
}

impl CompletionToolCall<'_> {
    fn into_part(self) -> Part {
        let id = self.id.map(Text::into_owned).unwrap_or_default();
        match (self.function, self.custom) {
            (None, Some(custom)) => Part::new(PartBody::ToolCall(ToolCall {
                id,
                name: custom.name.map(Text::into_owned).unwrap_or_default(),
                arguments: custom.input.map(Text::into_owned).unwrap_or_default(),
                free_form: true,
            })),
            (function, _) => function.unwrap_or(CompletionFunction { name: None, arguments: None }).into_part(id),
        }
    }
}

impl CompletionFunction<'_> {
    fn into_part(self, id: String) -> Part {
        let name = self.name.map(Text::into_owned).unwrap_or_default();
        Part::new(PartBody::ToolCall(ToolCall { id, name, arguments: arguments_text(self.arguments), free_form: false }))
    }
}

impl CompletionAudio<'_> {
    fn into_part(self, audio_type: Option<&str>) -> Part {
        let (replay, extras) = audio_ending(self.id.as_deref(), self.expires_at);
        let mut media = audio_media(audio_type);
        media.source = MediaSource::Base64(self.data.map(Text::into_owned).unwrap_or_default());
        media.transcript = said(self.transcript);
        Part { replay, extras, ..Part::new(PartBody::Audio(media)) }
    }
}

/// A sound of which nothing is known yet but its type.
pub fn audio_media(audio_type: Option<&str>) -> Media {
    let source = MediaSource::Base64(String::new());
    Media { source, media_type: audio_type.map(str::to_owned), name: None, detail: None, transcript: None }
}

/// What is said of a sound when it is complete: how to refer to it, and until when.
pub fn audio_ending(id: Option<&str>, expires_at: Option<u64>) -> (Option<Replay>, Vec<Native>) {
    #[derive(Serialize)]
    struct Extras<'a> {
        audio: AudioExtras<'a>,
    }
    #[derive(Serialize)]
    struct AudioExtras<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
    }
    let extras = native(&Extras { audio: AudioExtras { id, expires_at } });
    (id.and_then(replay::of_audio), extras.into_iter().filter(|_| id.is_some() || expires_at.is_some()).collect())
}

/// The finish of a choice, by the provider's word for it.
pub fn finish(raw: Option<&str>, called_a_tool: bool) -> Finish {
    let reason = match raw {
        Some("stop") => FinishReason::Stop,
        Some("length") => FinishReason::Length,
        Some("tool_calls" | "function_call") => FinishReason::ToolCalls,
        Some("content_filter") => FinishReason::ContentFilter,
        Some("error") => FinishReason::Error,
        _ => FinishReason::Other,
    };
    Finish { reason: finish_reason(reason, called_a_tool), raw: raw.map(str::to_owned), stop_sequence: None, extras: Vec::new() }
}
