//! A whole answer of `/responses`, and the output items that its streams consist of too.
//!
//! Messages, reasoning and calls become parts; every other item (a search, a code run, a compaction) is passed on as it came, to be
//! sent back as it is.

use crate::citations;
use crate::endpoint::Endpoint;
use crate::failure;
use crate::replay;
use crate::text::{Text, compact, elements, said};
use crate::usage::{self, ResponseUsage};
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::stream::finish_reason;
use llm_gateway_adapter::types::{
    ChatResponse, Choice, Citation, Failure, FailureKind, Finish, FinishReason, Header, HttpResponse, Native, Part, PartBody, Replay,
    Retry, ToolCall, Usage,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub struct Response<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub model: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    incomplete_details: Option<IncompleteDetails<'a>>,
    #[serde(borrow)]
    pub output: Option<Vec<&'a RawValue>>,
    usage: Option<ResponseUsage>,
    #[serde(borrow)]
    tool_usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct IncompleteDetails<'a> {
    #[serde(borrow)]
    reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Default, Deserialize)]
pub struct OutputMessage<'a> {
    #[serde(borrow)]
    phase: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub content: Vec<OutputContent<'a>>,
}

#[derive(Deserialize)]
pub struct OutputContent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    annotations: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

/// As it comes, and as it is sent back.
#[derive(Deserialize, Serialize)]
pub struct Reasoning<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    summary: Vec<ReasoningText<'a>>,
    /// Of open models, whose reasoning is not summed up.
    #[serde(borrow, skip_serializing_if = "has_no_element")]
    content: Option<Vec<ReasoningText<'a>>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    encrypted_content: Option<Text<'a>>,
}

fn has_no_element(list: &Option<Vec<ReasoningText<'_>>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

#[derive(Deserialize, Serialize)]
struct ReasoningText<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Text<'a>,
}

/// A `function_call`, or a `custom_tool_call`, whose argument is `input`.
#[derive(Deserialize)]
pub struct CallItem<'a> {
    #[serde(borrow, default)]
    pub call_id: Text<'a>,
    #[serde(borrow, default)]
    pub name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Text<'a>>,
    caller: Option<Value>,
    namespace: Option<Value>,
}

pub enum OutputItem<'a> {
    Message(OutputMessage<'a>),
    Reasoning(Reasoning<'a>),
    FunctionCall(CallItem<'a>),
    CustomToolCall(CallItem<'a>),
    /// Of any other type, or of an unknown shape.
    Other(Native),
}

impl<'a> OutputItem<'a> {
    pub fn read(item: &'a RawValue) -> Self {
        let json = item.get();
        let kind = serde_json::from_str::<Typed<'_>>(json).map(|typed| typed.kind);
        let known = match kind.as_deref() {
            Ok("message") => serde_json::from_str(json).map(Self::Message).ok(),
            Ok("reasoning") => serde_json::from_str(json).map(Self::Reasoning).ok(),
            Ok("function_call") => serde_json::from_str(json).map(Self::FunctionCall).ok(),
            Ok("custom_tool_call") => serde_json::from_str(json).map(Self::CustomToolCall).ok(),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other(Native { dialect: Endpoint::Responses.dialect().to_owned(), value: compact(item) }))
    }

    fn add_to(self, parts: &mut Vec<Part>, logprobs: &mut Vec<String>) {
        match self {
            Self::Message(message) => {
                for content in &message.content {
                    logprobs.extend(content.logprobs().map(str::to_owned));
                    parts.extend(content.body().map(|body| Part {
                        replay: message.replay(),
                        extras: message.extras(),
                        citations: content.citations().collect(),
                        ..Part::new(body)
                    }));
                }
            }
            Self::Reasoning(reasoning) if reasoning.is_empty() => {}
            Self::Reasoning(reasoning) => {
                parts.push(Part { replay: reasoning.replay(), ..Part::new(PartBody::Thinking(reasoning.text())) });
            }
            Self::FunctionCall(call) => parts.push(call.into_part(CallKind::Function)),
            Self::CustomToolCall(call) => parts.push(call.into_part(CallKind::Custom)),
            Self::Other(native) => parts.push(Part::new(PartBody::Other(native))),
        }
    }
}

impl OutputMessage<'_> {
    pub fn replay(&self) -> Option<Replay> {
        replay::of_phase(self.phase.as_deref())
    }

    /// The phase again, for callers of the same dialect.
    pub fn extras(&self) -> Vec<Native> {
        let fields = self.phase.as_deref().map(|phase| ("phase", Value::from(phase)));
        natives(fields)
    }
}

impl OutputContent<'_> {
    /// Whole, as a part. None for content that is empty or of an unknown type.
    pub fn body(&self) -> Option<PartBody> {
        let owned = |text: &Option<Text<'_>>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
        match &*self.kind {
            "output_text" => owned(&self.text).map(PartBody::Text),
            "refusal" => owned(&self.refusal).map(PartBody::Refusal),
            _ => None,
        }
    }

    pub fn citations(&self) -> impl Iterator<Item = Citation> {
        self.annotations.iter().flatten().map(|annotation| citations::of_annotation(annotation, Endpoint::Responses))
    }

    /// The elements of the array, if there are any.
    pub fn logprobs(&self) -> Option<&str> {
        elements(self.logprobs)
    }
}

impl Reasoning<'_> {
    /// Neither readable nor good for anything.
    pub fn is_empty(&self) -> bool {
        self.encrypted_content.is_none() && self.texts().all(|text| text.is_empty())
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.summary.iter().chain(self.content.iter().flatten()).map(|paragraph| &*paragraph.text)
    }

    /// Its paragraphs, set apart by an empty line.
    pub fn text(&self) -> String {
        self.texts().collect::<Vec<_>>().join("\n\n")
    }

    /// The item without its state. Unless it is encrypted it can't be sent back: the provider has not stored it.
    pub fn replay(&self) -> Option<Replay> {
        self.encrypted_content.as_ref()?;
        replay::of_reasoning(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    Function,
    Custom,
}

impl CallItem<'_> {
    /// The complete arguments.
    pub fn arguments(&self) -> &str {
        self.arguments.as_deref().or(self.input.as_deref()).unwrap_or_default()
    }

    pub fn extras(&self) -> Vec<Native> {
        let fields = [("caller", &self.caller), ("namespace", &self.namespace)];
        natives(fields.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))))
    }

    fn into_part(self, kind: CallKind) -> Part {
        let extras = self.extras();
        let arguments = self.arguments().to_owned();
        let free_form = kind == CallKind::Custom;
        let call = ToolCall { id: self.call_id.into_owned(), name: self.name.into_owned(), arguments, free_form };
        Part { extras, ..Part::new(PartBody::ToolCall(call)) }
    }
}

fn natives<'n>(fields: impl IntoIterator<Item = (&'n str, Value)>) -> Vec<Native> {
    let fields: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if fields.is_empty() {
        return Vec::new();
    }
    vec![Native { dialect: Endpoint::Responses.dialect().to_owned(), value: Value::Object(fields).to_string() }]
}

impl Response<'_> {
    /// `response.failed`, or a body whose status is that.
    pub fn failure(&self, headers: &[Header]) -> Option<Failure> {
        let failed = self.status.as_deref() == Some("failed");
        let error = self.error.filter(|error| error.get() != "null");
        if !failed && error.is_none() {
            return None;
        }
        let said = error.and_then(|error| failure::in_success(&format!(r#"{{"error":{}}}"#, error.get()), headers));
        Some(said.unwrap_or_else(|| {
            let message = "the provider reported that the answer failed, without saying why";
            Failure { retry: Retry::Backoff, ..Failure::new(FailureKind::Provider, message) }
        }))
    }

    pub fn finish(&self, called_a_tool: bool) -> Finish {
        let status = self.status.as_deref();
        let detail = self.incomplete_details.as_ref().and_then(|details| details.reason.as_deref());
        let reason = match (status, detail) {
            (Some("completed"), _) => FinishReason::Stop,
            (Some("incomplete"), Some("max_output_tokens")) => FinishReason::Length,
            (Some("incomplete"), Some("content_filter")) => FinishReason::ContentFilter,
            (Some("failed"), _) => FinishReason::Error,
            _ => FinishReason::Other,
        };
        let raw = status.map(|status| detail.map_or_else(|| status.to_owned(), |detail| format!("{status}:{detail}")));
        Finish { reason: finish_reason(reason, called_a_tool), raw, stop_sequence: None, extras: Vec::new() }
    }

    pub fn usage(&mut self) -> Option<Usage> {
        let tools = self.tool_usage.and_then(|tools| serde_json::from_str(tools.get()).ok());
        self.usage.take().map(|usage| usage::of_response(usage, tools))
    }

    pub fn extras(&self) -> Vec<Native> {
        natives(self.service_tier.as_deref().map(|tier| ("service_tier", Value::from(tier))))
    }
}

/// # Errors
/// An error that came with status 200, or a body that is no answer.
pub fn decode(response: &HttpResponse) -> Result<ChatResponse, Failure> {
    let text = str::from_utf8(&response.body).unwrap_or_default();
    let unreadable = || Failure::malformed(unreadable_body(response.status, &response.body));
    let Ok(mut answer) = serde_json::from_str::<Response<'_>>(text) else {
        return Err(failure::in_success(text, &response.headers).unwrap_or_else(unreadable));
    };
    if let Some(failure) = answer.failure(&response.headers) {
        return Err(failure);
    }
    let output = answer.output.take().ok_or_else(|| failure::in_success(text, &response.headers).unwrap_or_else(unreadable))?;
    let (mut parts, mut logprobs) = (Vec::new(), Vec::new());
    for item in output {
        OutputItem::read(item).add_to(&mut parts, &mut logprobs);
    }
    let called_a_tool = parts.iter().any(|part| matches!(part.body, PartBody::ToolCall(_)));
    let choice = Choice {
        index: 0,
        parts,
        finish: answer.finish(called_a_tool),
        logprobs: (!logprobs.is_empty()).then(|| format!("[{}]", logprobs.join(","))),
    };
    Ok(ChatResponse {
        usage: answer.usage(),
        extras: answer.extras(),
        id: said(answer.id),
        model: said(answer.model),
        choices: vec![choice],
    })
}
