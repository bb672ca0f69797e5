//! The body of `POST /chat/completions`.

use crate::chat_messages::{self, ChatMessage};
use crate::encoding::{Encoding, Entry};
use crate::endpoint::{Context, Endpoint};
use crate::extras::Extras;
use crate::formats::{self, ChatFormat};
use crate::media::output_audio_type;
use crate::reasoning;
use crate::settings::MaxTokensField;
use crate::tools::{self, ChatTool};
use llm_gateway_adapter::types::{Effort, Failure, HttpRequest};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// More stop sequences are a 400.
const STOPS: usize = 4;

#[derive(Debug, Serialize)]
struct ChatCompletionRequest<'a> {
    model: &'a str,
    messages: Vec<ChatMessage<'a>>,
    #[serde(flatten)]
    limit: Limit,
    #[serde(flatten)]
    sampling: Sampling,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Entry<'a, ChatFormat<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Entry<'a, ChatTool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(flatten)]
    about: About<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Map<String, Value>>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Default, Serialize)]
struct Limit {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Sampling {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit_bias: Option<BTreeMap<u32, f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
}

/// Whom and what the request is for. Compatible servers know `user` alone.
#[derive(Debug, Serialize)]
struct About<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<&'a str, &'a str>>,
}

/// Fields that are set above, and that extras must not say again.
const ALWAYS_SET: &[&str] = &["model", "messages", "stream"];
const SET_WHEN_ASKED: &[&str] = &[
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "stop",
    "n",
    "reasoning_effort",
    "response_format",
    "parallel_tool_calls",
];

/// # Errors
/// What the endpoint can't take in any form.
pub fn encode(mut encoding: Encoding<'_>) -> Result<HttpRequest, Failure> {
    let request = encoding.request;
    let mut extras = Extras::read(request, Endpoint::Chat, &mut encoding.dropped)?;
    let headers = std::mem::take(&mut extras.headers);
    let audio_type = extras.get("audio").and_then(|audio| audio.get("format")?.as_str()).map(output_audio_type);
    let effort = reasoning::effort(&mut encoding);
    encoding.report_prefill();
    report_hidden_reasoning(&mut encoding);
    let stop_refused = (!encoding.model.family.stop_sequences).then_some("the model takes no stop sequences");
    let about = about(&encoding);
    let body = ChatCompletionRequest {
        model: &request.model,
        messages: chat_messages::encode(&mut encoding)?,
        limit: limit(&encoding),
        sampling: sampling(&mut encoding, effort),
        stop: encoding.unless(stop_refused, "stop", some_of(&request.stop)).map(|stop| most_stops(stop, &mut encoding)).unwrap_or_default(),
        n: request.choices.filter(|choices| *choices != 1),
        reasoning_effort: effort.map(reasoning::word),
        response_format: formats::for_chat(&mut encoding)?,
        tools: tools::for_chat(&mut encoding)?,
        tool_choice: tools::choice(&mut encoding),
        parallel_tool_calls: tools::parallel(&mut encoding),
        stream: request.stream.then_some(true),
        stream_options: stream_options(&mut extras, request.stream),
        extras: rest(extras, &about, &mut encoding),
        about,
    };
    encoding.finish(&body, Context::Chat { audio_type }, headers)
}

fn report_hidden_reasoning(encoding: &mut Encoding<'_>) {
    let wanted = encoding.request.reasoning.as_ref().is_some_and(|reasoning| reasoning.visible == Some(true));
    if wanted && encoding.model.is_known_to_reason() {
        encoding.dropped.report("reasoning.visible", "the chat endpoint does not show reasoning");
    }
}

/// Those that the provider takes. Other servers may take more.
fn most_stops<'a>(stop: &'a [String], encoding: &mut Encoding<'_>) -> &'a [String] {
    if !encoding.model.is_known() {
        return stop;
    }
    for index in STOPS..stop.len() {
        encoding.dropped.report(format!("stop[{index}]"), "the provider takes four stop sequences");
    }
    &stop[..stop.len().min(STOPS)]
}

fn some_of(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}

fn limit(encoding: &Encoding<'_>) -> Limit {
    let limit = encoding.request.max_output;
    match encoding.settings.max_tokens_field {
        MaxTokensField::MaxCompletionTokens => Limit { max_completion_tokens: limit, max_tokens: None },
        MaxTokensField::MaxTokens => Limit { max_completion_tokens: None, max_tokens: limit },
    }
}

fn sampling(encoding: &mut Encoding<'_>, effort: Option<Effort>) -> Sampling {
    let asked = &encoding.request.sampling;
    let logprobs = encoding.request.logprobs;
    let refused = encoding.sampling_refused(effort);
    let penalties = encoding.penalties_refused();
    let bias = (!asked.logit_bias.is_empty()).then(|| asked.logit_bias.iter().copied().collect());
    encoding.unless(Some("the provider has no such field"), "sampling.top-k", asked.top_k);
    let logprobs = encoding.unless(refused, "logprobs", logprobs);
    Sampling {
        temperature: encoding.unless(refused, "sampling.temperature", asked.temperature),
        top_p: encoding.unless(refused, "sampling.top-p", asked.top_p),
        presence_penalty: encoding.unless(penalties, "sampling.presence-penalty", asked.presence_penalty),
        frequency_penalty: encoding.unless(penalties, "sampling.frequency-penalty", asked.frequency_penalty),
        seed: asked.seed,
        logit_bias: encoding.unless(penalties, "sampling.logit-bias", bias),
        logprobs: logprobs.map(|_| true),
        top_logprobs: logprobs.filter(|alternatives| *alternatives > 0),
    }
}

fn about<'a>(encoding: &Encoding<'a>) -> About<'a> {
    let request = encoding.request;
    let user = request.user.as_deref();
    let (safety_identifier, user) = if encoding.model.is_known() { (user, None) } else { (None, user) };
    About { safety_identifier, user, metadata: metadata(&request.metadata) }
}

pub fn metadata(pairs: &[(String, String)]) -> Option<BTreeMap<&str, &str>> {
    (!pairs.is_empty()).then(|| pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect())
}

/// Usage is always asked for: the gateway counts with it, whether the caller wants to see it or not.
fn stream_options(extras: &mut Extras, stream: bool) -> Option<Map<String, Value>> {
    let mut options = extras.take_object("stream_options");
    options.insert("include_usage".to_owned(), Value::Bool(true));
    stream.then_some(options)
}

fn rest(extras: Extras, about: &About<'_>, encoding: &mut Encoding<'_>) -> Map<String, Value> {
    let mut set: Vec<&str> = [ALWAYS_SET, SET_WHEN_ASKED].concat();
    let tools = &encoding.request.tools;
    set.extend((!tools.is_empty()).then_some("tools"));
    // A choice that has no canonical form (one of the provider's own tools) comes as the caller's own field.
    set.extend((encoding.request.tool_choice.is_some() && !tools.is_empty()).then_some("tool_choice"));
    set.extend(about.safety_identifier.map(|_| "safety_identifier"));
    set.extend(about.user.map(|_| "user"));
    set.extend(about.metadata.as_ref().map(|_| "metadata"));
    extras.rest(&set, &mut encoding.dropped)
}
