//! Answers: a message of Claude's, whole, and its pieces as a stream has them too.

use crate::replay::Seal;
use crate::tools::{self, CustomTools};
use crate::usage::Usage;
use crate::wire::Fields;
use crate::{DIALECT, failure, serde_json};
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::stream::finish_reason;
use llm_gateway_adapter::types::{
    self, ChatResponse, Choice, Failure, Finish, FinishReason, HttpResponse, Native, Part, PartBody, ToolCall,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// `Message` of the provider's reference. In a stream, `message_start` has one without content.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    pub id: Option<String>,
    pub model: Option<String>,
    #[serde(borrow)]
    content: Option<Vec<&'a RawValue>>,
    #[serde(flatten)]
    pub stop: Stop,
    #[serde(borrow)]
    pub usage: Option<&'a RawValue>,
    #[serde(flatten)]
    rest: Fields,
}

/// Why the model stopped. In a stream, `message_delta.delta` has it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Stop {
    pub stop_reason: Option<String>,
    pub stop_sequence: Option<String>,
    pub stop_details: Option<Value>,
}

#[derive(Debug)]
pub enum ContentBlock<'a> {
    Text(TextBlock<'a>),
    Thinking(ThinkingBlock<'a>),
    RedactedThinking(RedactedThinkingBlock<'a>),
    ToolUse(ToolUseBlock<'a>),
    /// Of a kind that the contract has no name for, or not of the shape that its kind should have.
    Other(&'a RawValue),
}

#[derive(Debug, Deserialize)]
pub struct TextBlock<'a> {
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    #[serde(borrow)]
    pub citations: Option<Vec<&'a RawValue>>,
    #[serde(flatten)]
    pub rest: Fields,
}

#[derive(Debug, Deserialize)]
pub struct ThinkingBlock<'a> {
    #[serde(borrow)]
    pub thinking: Cow<'a, str>,
    pub signature: Option<String>,
    #[serde(flatten)]
    pub rest: Fields,
}

#[derive(Debug, Deserialize)]
pub struct RedactedThinkingBlock<'a> {
    #[serde(borrow)]
    pub data: Cow<'a, str>,
    #[serde(flatten)]
    pub rest: Fields,
}

#[derive(Debug, Deserialize)]
pub struct ToolUseBlock<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(flatten)]
    pub rest: Fields,
}

#[derive(Debug, Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// What the locations of all kinds of citation have in common.
#[derive(Debug, Deserialize)]
struct Location {
    url: Option<String>,
    title: Option<String>,
    document_title: Option<String>,
    cited_text: Option<String>,
    /// Of a search result that the caller gave: its URL.
    source: Option<String>,
}

/// # Errors
/// The provider's failure, or `malformed` for a body that is no message.
pub fn decode(response: &HttpResponse, context: &str) -> Result<ChatResponse, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    match serde_json::from_slice::<Message>(&response.body) {
        Ok(message) if message.kind.as_deref() == Some("message") || message.content.is_some() => {
            Ok(message.whole(&CustomTools::read(context)))
        }
        _ => {
            Err(failure::in_success(&response.body).unwrap_or_else(|| Failure::malformed(unreadable_body(response.status, &response.body))))
        }
    }
}

impl Message<'_> {
    fn whole(mut self, custom_tools: &CustomTools) -> ChatResponse {
        let parts: Vec<Part> =
            self.content.take().unwrap_or_default().into_iter().filter_map(|block| part(ContentBlock::read(block), custom_tools)).collect();
        let called_a_tool = parts.iter().any(|part| matches!(part.body, PartBody::ToolCall(_)));
        let usage = self.usage.and_then(Usage::read);
        let extras = self.extras(usage.as_ref());
        ChatResponse {
            id: self.id,
            model: self.model,
            choices: vec![Choice { index: 0, parts, finish: self.stop.finish(called_a_tool), logprobs: None }],
            usage: usage.as_ref().map(Usage::canonical),
            extras,
        }
    }

    /// Fields without a canonical name, those of `usage` (`service_tier`) included.
    pub fn extras(&mut self, usage: Option<&Usage>) -> Vec<Native> {
        let mut fields = std::mem::take(&mut self.rest);
        fields.shift_remove("role");
        fields.extend(usage.iter().flat_map(|usage| usage.rest.clone()));
        natives(fields)
    }
}

impl<'a> ContentBlock<'a> {
    pub fn read(block: &'a RawValue) -> Self {
        fn of<'a, T: Deserialize<'a>>(block: &'a RawValue) -> Option<T> {
            serde_json::from_str(block.get()).ok()
        }
        let kind: Option<Typed> = of(block);
        let known = match kind.as_ref().map(|typed| &*typed.kind) {
            Some("text") => of(block).map(ContentBlock::Text),
            Some("thinking") => of(block).map(ContentBlock::Thinking),
            Some("redacted_thinking") => of(block).map(ContentBlock::RedactedThinking),
            Some("tool_use") => of(block).map(ContentBlock::ToolUse),
            _ => None,
        };
        known.unwrap_or(ContentBlock::Other(block))
    }
}

/// Nothing for a text without words.
fn part(block: ContentBlock, custom_tools: &CustomTools) -> Option<Part> {
    let new = |body, rest| Part { body, replay: None, cache: None, citations: Vec::new(), extras: natives(rest) };
    Some(match block {
        ContentBlock::Text(block) => {
            let citations: Vec<_> = block.citations.unwrap_or_default().into_iter().map(citation).collect();
            if block.text.is_empty() && citations.is_empty() {
                return None;
            }
            Part { citations, ..new(PartBody::Text(block.text.into_owned()), block.rest) }
        }
        ContentBlock::Thinking(block) => {
            let replay = block
                .signature
                .as_deref()
                .filter(|signature| !signature.is_empty())
                .map(|signature| Seal::Signature(signature.into()).replay());
            Part { replay, ..new(PartBody::Thinking(block.thinking.into_owned()), block.rest) }
        }
        ContentBlock::RedactedThinking(block) => {
            let replay = Some(Seal::Redacted((*block.data).into()).replay());
            Part { replay, extras: typed_natives(block.rest), ..new(PartBody::Thinking(String::new()), Fields::new()) }
        }
        ContentBlock::ToolUse(block) => {
            let free_form = custom_tools.contains(&block.name);
            let input = block.input.map_or("{}", RawValue::get);
            let arguments = if free_form { tools::free_text(input) } else { input.to_owned() };
            let call = ToolCall { id: block.id.into_owned(), name: block.name.into_owned(), arguments, free_form };
            new(PartBody::ToolCall(call), block.rest)
        }
        ContentBlock::Other(block) => new(PartBody::Other(native(block.get().to_owned())), Fields::new()),
    })
}

pub fn citation(json: &RawValue) -> types::Citation {
    let nothing = Location { url: None, title: None, document_title: None, cited_text: None, source: None };
    let location = serde_json::from_str(json.get()).unwrap_or(nothing);
    types::Citation {
        url: location.url.or(location.source),
        title: location.title.or(location.document_title),
        quote: location.cited_text,
        // Claude cuts its text into blocks, so that a citation is for the whole of one.
        span: None,
        native: native(json.get().to_owned()),
    }
}

impl Stop {
    pub fn finish(self, called_a_tool: bool) -> Finish {
        let reason = match self.stop_reason.as_deref() {
            Some("end_turn" | "stop_sequence") => FinishReason::Stop,
            Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
            Some("tool_use") => FinishReason::ToolCalls,
            Some("refusal") => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        };
        let details = self.stop_details.filter(|details| !details.is_null());
        Finish {
            reason: finish_reason(reason, called_a_tool),
            raw: self.stop_reason,
            stop_sequence: self.stop_sequence,
            extras: natives(details.map(|details| ("stop_details".to_owned(), details)).into_iter().collect()),
        }
    }
}

pub fn native(value: String) -> Native {
    Native { dialect: DIALECT.to_owned(), value }
}

/// The fields as `extras`: what says nothing, and the type that the contract says itself, aside.
pub fn natives(mut fields: Fields) -> Vec<Native> {
    fields.shift_remove("type");
    typed_natives(fields)
}

/// As [`natives`], with the type, by which redacted thinking is told from thinking that is not shown.
pub fn typed_natives(mut fields: Fields) -> Vec<Native> {
    fields.retain(|_, value| !value.is_null());
    if fields.is_empty() { Vec::new() } else { vec![native(Value::Object(fields).to_string())] }
}
