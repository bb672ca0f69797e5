//! Answers: the shape that whole ones and a stream's chunks share, and whole ones as the contract wants them.
//!
//! What a provider adds, or writes in another type than its schema says, is no reason to fail: whatever may come in several shapes is
//! kept as raw JSON and looked at when it is needed. [`Sink`] is what makes a whole answer and the same one streamed the same parts.

use crate::chunks::Seal;
use crate::custom::{self, CustomTools};
use crate::failure;
use crate::report::DIALECT;
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::stream::{finish_reason, has_tool_call};
use llm_gateway_adapter::types::{
    self, ChatResponse, Citation, Failure, Finish, FinishReason, HttpResponse, Native, Part, PartBody, Usage,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A string, borrowed where the JSON has no escapes in it.
#[derive(Debug, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// `chat.completion` and `chat.completion.chunk`.
#[derive(Debug, Deserialize)]
pub struct Completion<'a> {
    #[serde(borrow)]
    object: Option<Text<'a>>,
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub model: Option<Text<'a>>,
    #[serde(borrow)]
    pub choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    pub usage: Option<UsageInfo<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

impl Completion<'_> {
    /// Failures also come with status 200 and in the middle of a stream.
    pub fn is_error(&self) -> bool {
        let says_so = self.object.as_ref().is_some_and(|object| object.0.eq_ignore_ascii_case("error"));
        says_so || self.error.is_some() || self.choices.is_none() && (self.message.is_some() || self.detail.is_some())
    }
}

#[derive(Debug, Deserialize)]
pub struct Choice<'a> {
    #[serde(default)]
    pub index: u32,
    #[serde(borrow, alias = "delta")]
    pub message: Option<AssistantMessage<'a>>,
    #[serde(borrow)]
    pub finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// The array of tokens, if there is any token in it.
    pub fn token_logprobs(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Logprobs<'a> {
            #[serde(borrow)]
            content: Option<&'a RawValue>,
        }
        let raw = self.logprobs?;
        let array = if raw.get().starts_with('[') { raw } else { serde_json::from_str::<Logprobs>(raw.get()).ok()?.content? };
        let tokens = array.get().strip_prefix('[')?.strip_suffix(']')?;
        (!tokens.trim().is_empty()).then(|| array.get().to_owned())
    }
}

#[derive(Debug, Deserialize)]
pub struct AssistantMessage<'a> {
    /// A string, a list of chunks, or null.
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Debug, Deserialize)]
pub struct ToolCall<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    pub index: Option<u32>,
    #[serde(borrow)]
    function: Option<FunctionCall<'a>>,
}

#[derive(Debug, Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    /// A string of JSON, or the object itself.
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl ToolCall<'_> {
    /// Empty where there is none; some answers say `"null"`.
    pub fn id(&self) -> &str {
        self.id.as_ref().map(|id| id.0.as_ref()).filter(|id| *id != "null").unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.function.as_ref().and_then(|function| function.name.as_ref()).map(|name| name.0.as_ref()).unwrap_or_default()
    }

    pub fn arguments(&self) -> Cow<'_, str> {
        match self.function.as_ref().and_then(|function| function.arguments) {
            Some(raw) => string(raw).unwrap_or(Cow::Borrowed(raw.get())),
            None => Cow::Borrowed(""),
        }
    }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text>(raw.get()).ok().map(|text| text.0)
}

// ---- usage ---------------------------------------------------------------------------------------------------------

#[derive(Debug, Deserialize)]
pub struct UsageInfo<'a> {
    #[serde(borrow)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    num_cached_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_tokens_details: Option<TokenDetails<'a>>,
    #[serde(borrow)]
    completion_tokens_details: Option<TokenDetails<'a>>,
    #[serde(borrow)]
    prompt_audio_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    pub service_tier: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct TokenDetails<'a> {
    #[serde(borrow)]
    cached_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_tokens: Option<&'a RawValue>,
}

impl UsageInfo<'_> {
    /// Absent if the provider told no count at all.
    pub fn to_usage(&self) -> Option<Usage> {
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| count(details.cached_tokens));
        let audio_seconds = count(self.prompt_audio_seconds);
        let usage = Usage {
            input: count(self.prompt_tokens),
            cache_read: cached.or_else(|| count(self.num_cached_tokens)),
            cache_write: None,
            output: count(self.completion_tokens),
            reasoning: self.completion_tokens_details.as_ref().and_then(|details| count(details.reasoning_tokens)),
            details: audio_seconds.map(|seconds| ("prompt_audio_seconds".to_owned(), seconds)).into_iter().collect(),
        };
        let told = usage.input.or(usage.output).or(usage.cache_read).or(usage.reasoning).or(audio_seconds);
        told.map(|_| usage)
    }

    /// What has no canonical name.
    pub fn extras(&self) -> Vec<Native> {
        let fields = self.service_tier.map(|tier| format!(r#"{{"service_tier":{}}}"#, tier.get()));
        fields.map(|value| Native { dialect: DIALECT.to_owned(), value }).into_iter().collect()
    }
}

fn count(raw: Option<&RawValue>) -> Option<u32> {
    raw?.get().parse().ok()
}

// ---- content -------------------------------------------------------------------------------------------------------

/// Takes the content of an answer in the order that it comes in. Neighbours of one kind belong together: a stream can't tell where one
/// chunk ends and the next of its kind begins, so a whole answer must not either.
pub trait Sink {
    fn text(&mut self, text: Cow<'_, str>);
    fn thinking(&mut self, text: &str, seal: Seal);
    /// What the text since the last reference rests on.
    fn reference(&mut self, chunk: &RawValue);
    /// A chunk of a kind that has no canonical name.
    fn other(&mut self, chunk: &RawValue);
}

#[derive(Deserialize)]
struct ContentChunk<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    /// A list of chunks; some servers write a string.
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    signature: Option<String>,
    closed: Option<bool>,
}

/// Hands on what `content` holds: a string, a list of chunks, or nothing.
pub fn read_content(content: &RawValue, sink: &mut impl Sink) {
    if let Some(text) = string(content) {
        return sink.text(text);
    }
    let Ok(chunks) = serde_json::from_str::<Vec<&RawValue>>(content.get()) else { return };
    for raw in chunks {
        read_chunk(raw, sink);
    }
}

fn read_chunk(raw: &RawValue, sink: &mut impl Sink) {
    let Ok(chunk) = serde_json::from_str::<ContentChunk>(raw.get()) else { return sink.other(raw) };
    let kind = chunk.r#type.as_ref().map(|kind| kind.0.as_ref());
    match (kind, chunk.text, chunk.thinking) {
        (Some("text") | None, Some(text), _) => sink.text(text.0),
        (Some("thinking"), _, Some(thinking)) => {
            sink.thinking(&thinking_text(thinking), Seal { signature: chunk.signature, closed: chunk.closed });
        }
        (Some("reference"), ..) => sink.reference(raw),
        _ => sink.other(raw),
    }
}

fn thinking_text(raw: &RawValue) -> Cow<'_, str> {
    if let Some(text) = string(raw) {
        return text;
    }
    let chunks = serde_json::from_str::<Vec<&RawValue>>(raw.get()).unwrap_or_default();
    let texts = chunks.into_iter().filter_map(|chunk| serde_json::from_str::<ContentChunk>(chunk.get()).ok()?.text);
    Cow::Owned(texts.map(|text| text.0).collect())
}

/// A reference as the contract's citation; the numbers in it count the sources that the caller gave, in its own order.
pub fn citation(chunk: &RawValue, span: (u32, u32)) -> Citation {
    Citation {
        url: None,
        title: None,
        quote: None,
        span: (span.0 < span.1).then_some(span),
        native: Native { dialect: DIALECT.to_owned(), value: chunk.get().to_owned() },
    }
}

pub fn native_chunk(chunk: &RawValue) -> Native {
    Native { dialect: DIALECT.to_owned(), value: chunk.get().to_owned() }
}

/// Characters in a text, as spans count them.
pub fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

// ---- whole answers -------------------------------------------------------------------------------------------------

pub fn decode(response: &HttpResponse, context: &str) -> Result<ChatResponse, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let Ok(completion) = serde_json::from_slice::<Completion>(&response.body) else {
        return Err(Failure::malformed(unreadable_body(response.status, &response.body)));
    };
    if completion.is_error() {
        return Err(failure::in_answer(&response.body));
    }
    let choices = completion.choices.unwrap_or_default();
    if choices.is_empty() {
        return Err(Failure::malformed("the provider's answer holds no choice"));
    }
    let custom = CustomTools::from_context(context);
    Ok(ChatResponse {
        id: completion.id.map(|id| id.0.into_owned()),
        model: completion.model.map(|model| model.0.into_owned()),
        choices: choices.iter().map(|choice| whole_choice(choice, &custom)).collect(),
        usage: completion.usage.as_ref().and_then(UsageInfo::to_usage),
        extras: completion.usage.as_ref().map(UsageInfo::extras).unwrap_or_default(),
    })
}

fn whole_choice(choice: &Choice<'_>, custom: &CustomTools) -> types::Choice {
    let mut list = PartList::default();
    if let Some(content) = choice.message.as_ref().and_then(|message| message.content) {
        read_content(content, &mut list);
    }
    let calls = choice.message.iter().filter_map(|message| message.tool_calls.as_ref()).flatten();
    list.parts.extend(calls.map(|call| Part::new(PartBody::ToolCall(whole_call(call, custom)))));
    let mut whole = types::Choice {
        index: choice.index,
        parts: list.parts,
        finish: finish(choice.finish_reason.as_ref().map(|reason| reason.0.as_ref()), false),
        logprobs: choice.token_logprobs(),
    };
    whole.finish.reason = finish_reason(whole.finish.reason, has_tool_call(&whole));
    whole
}

fn whole_call(call: &ToolCall<'_>, custom: &CustomTools) -> types::ToolCall {
    let free_form = custom.contains(call.name());
    let arguments = call.arguments();
    types::ToolCall {
        id: call.id().to_owned(),
        name: call.name().to_owned(),
        arguments: if free_form { custom::unwrap(&arguments) } else { arguments.into_owned() },
        free_form,
    }
}

/// How a choice ended, by Mistral's word for it.
pub fn finish(raw: Option<&str>, called_a_tool: bool) -> Finish {
    let by_provider = match raw {
        Some("stop") => FinishReason::Stop,
        Some("length" | "model_length") => FinishReason::Length,
        Some("tool_calls") => FinishReason::ToolCalls,
        Some("error") => FinishReason::Error,
        _ => FinishReason::Other,
    };
    Finish { reason: finish_reason(by_provider, called_a_tool), raw: raw.map(str::to_owned), stop_sequence: None, extras: Vec::new() }
}

/// The parts of one choice of a whole answer.
#[derive(Default)]
struct PartList {
    parts: Vec<Part>,
    /// Up to where the last text is cited.
    cited: u32,
}

impl PartList {
    fn last_text(&mut self) -> &mut Part {
        if !matches!(self.parts.last(), Some(Part { body: PartBody::Text(_), .. })) {
            self.cited = 0;
            self.parts.push(Part::new(PartBody::Text(String::new())));
        }
        let end = self.parts.len() - 1;
        &mut self.parts[end]
    }
}

impl Sink for PartList {
    fn text(&mut self, text: Cow<'_, str>) {
        if text.is_empty() {
            return;
        }
        match &mut self.last_text().body {
            PartBody::Text(before) if before.is_empty() => *before = text.into_owned(),
            PartBody::Text(before) => before.push_str(&text),
            _ => {}
        }
    }

    fn thinking(&mut self, text: &str, seal: Seal) {
        if let Some(Part { body: PartBody::Thinking(before), replay: Some(replay), .. }) = self.parts.last_mut() {
            before.push_str(text);
            let mut whole = Seal::from_replay(replay);
            whole.update(seal);
            *replay = whole.into_replay();
            return;
        }
        self.parts.push(Part { replay: Some(seal.into_replay()), ..Part::new(PartBody::Thinking(text.to_owned())) });
    }

    fn reference(&mut self, chunk: &RawValue) {
        let from = self.cited;
        let part = self.last_text();
        let to = if let PartBody::Text(text) = &part.body { characters(text) } else { 0 };
        let from = from.min(to);
        part.citations.push(citation(chunk, (from, to)));
        self.cited = to;
    }

    fn other(&mut self, chunk: &RawValue) {
        self.parts.push(Part::new(PartBody::Other(native_chunk(chunk))));
    }
}
