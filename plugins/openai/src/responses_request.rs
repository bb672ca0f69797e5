//! The body of `POST /responses`, in stateless use: nothing is stored there, and reasoning comes back encrypted.

use crate::chat_request::metadata;
use crate::encoding::{Encoding, Entry};
use crate::endpoint::{Context, Endpoint};
use crate::extras::Extras;
use crate::formats::{self, TextFormat};
use crate::reasoning;
use crate::responses_input::{self, Item};
use crate::tools::{self, ResponsesTool};
use llm_gateway_adapter::types::{Effort, Failure, Framing, Header, HttpRequest};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The endpoint refuses a lower limit.
const LEAST_OUTPUT_TOKENS: u32 = 16;
const ENCRYPTED_REASONING: &str = "reasoning.encrypted_content";
const LOGPROBS: &str = "message.output_text.logprobs";

#[derive(Debug, Serialize)]
struct CreateResponse<'a> {
    model: &'a str,
    input: Vec<Item<'a>>,
    store: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    reasoning: Map<String, Value>,
    #[serde(skip_serializing_if = "TextConfig::is_empty")]
    text: TextConfig<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Entry<'a, ResponsesTool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    stream_options: Map<String, Value>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct TextConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Entry<'a, TextFormat<'a>>>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

impl TextConfig<'_> {
    fn is_empty(&self) -> bool {
        self.format.is_none() && self.extras.is_empty()
    }
}

/// Fields that are set above, and that extras must not say again.
const SET: &[&str] = &["model", "input", "max_output_tokens", "temperature", "top_p", "top_logprobs", "parallel_tool_calls", "stream"];

/// # Errors
/// What the endpoint can't take in any form.
pub fn encode(mut encoding: Encoding<'_>) -> Result<HttpRequest, Failure> {
    let (body, headers) = body(&mut encoding)?;
    encoding.finish(&body, Context::Responses, headers)
}

/// What of a request is counted: `POST /responses/input_tokens` takes these fields and refuses others.
#[derive(Debug, Serialize)]
struct CountInputTokens<'a> {
    model: &'a str,
    input: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    reasoning: Map<String, Value>,
    #[serde(skip_serializing_if = "TextConfig::is_empty")]
    text: TextConfig<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Entry<'a, ResponsesTool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
}

/// The request that counts what the request's prompt would take, whichever endpoint it would go to.
///
/// # Errors
/// What the endpoint can't take in any form.
pub fn encode_count(mut encoding: Encoding<'_>) -> Result<HttpRequest, Failure> {
    encoding.endpoint = Endpoint::Responses;
    let (body, headers) = body(&mut encoding)?;
    let CreateResponse { model, input, reasoning, text, tools, tool_choice, parallel_tool_calls, .. } = body;
    let counted = CountInputTokens { model, input, reasoning, text, tools, tool_choice, parallel_tool_calls };
    let request = encoding.finish(&counted, Context::Responses, headers)?;
    Ok(HttpRequest { path: "/responses/input_tokens".to_owned(), framing: Framing::Whole, context: String::new(), ..request })
}

fn body<'a>(encoding: &mut Encoding<'a>) -> Result<(CreateResponse<'a>, Vec<Header>), Failure> {
    let request = encoding.request;
    let mut extras = Extras::read(request, Endpoint::Responses, &mut encoding.dropped)?;
    let headers = std::mem::take(&mut extras.headers);
    let effort = reasoning::effort(encoding);
    encoding.report_prefill();
    report_missing_fields(encoding);
    let sampling = encoding.sampling_refused(effort);
    let top_logprobs = encoding.unless(sampling, "logprobs", request.logprobs);
    let body = CreateResponse {
        model: &request.model,
        input: responses_input::encode(encoding)?,
        // The default is to store.
        store: extras.take("store").filter(Value::is_boolean).unwrap_or(json!(false)),
        include: include(&mut extras, encoding, top_logprobs),
        max_output_tokens: limit(encoding),
        temperature: encoding.unless(sampling, "sampling.temperature", request.sampling.temperature),
        top_p: encoding.unless(sampling, "sampling.top-p", request.sampling.top_p),
        top_logprobs,
        reasoning: reasoning_config(&mut extras, encoding, effort),
        text: text_config(&mut extras, encoding)?,
        tools: tools::for_responses(encoding)?,
        tool_choice: tools::choice(encoding),
        parallel_tool_calls: tools::parallel(encoding),
        safety_identifier: request.user.as_deref(),
        metadata: metadata(&request.metadata),
        stream: request.stream.then_some(true),
        stream_options: stream_options(&mut extras, request.stream),
        extras: rest(extras, encoding),
    };
    Ok((body, headers))
}

fn report_missing_fields(encoding: &mut Encoding<'_>) {
    let request = encoding.request;
    let asked = &request.sampling;
    let missing = [
        ("sampling.top-k", asked.top_k.is_some()),
        ("sampling.presence-penalty", asked.presence_penalty.is_some()),
        ("sampling.frequency-penalty", asked.frequency_penalty.is_some()),
        ("sampling.seed", asked.seed.is_some()),
        ("sampling.logit-bias", !asked.logit_bias.is_empty()),
        ("stop", !request.stop.is_empty()),
        ("choices", request.choices.is_some_and(|choices| choices > 1)),
    ];
    for (parameter, _) in missing.into_iter().filter(|(_, asked)| *asked) {
        encoding.dropped.report(parameter, "the responses endpoint has no such field");
    }
}

fn limit(encoding: &mut Encoding<'_>) -> Option<u32> {
    let limit = encoding.request.max_output?;
    if limit < LEAST_OUTPUT_TOKENS {
        encoding.dropped.report("max-output", format!("sent as {LEAST_OUTPUT_TOKENS}, the least that the provider takes"));
    }
    Some(limit.max(LEAST_OUTPUT_TOKENS))
}

/// Encrypted reasoning is asked for wherever there may be any: without it, nothing could be sent back.
fn include(extras: &mut Extras, encoding: &Encoding<'_>, top_logprobs: Option<u32>) -> Vec<Value> {
    let mut include = match extras.take("include") {
        Some(Value::Array(include)) => include,
        _ => Vec::new(),
    };
    let reasons = encoding.model.is_known_to_reason() || !encoding.model.is_known();
    let ours = [reasons.then_some(ENCRYPTED_REASONING), top_logprobs.map(|_| LOGPROBS)];
    for name in ours.into_iter().flatten().map(Value::from) {
        if !include.contains(&name) {
            include.push(name);
        }
    }
    include
}

fn reasoning_config(extras: &mut Extras, encoding: &Encoding<'_>, effort: Option<Effort>) -> Map<String, Value> {
    let mut config = extras.take_object("reasoning");
    if let Some(effort) = effort {
        config.insert("effort".to_owned(), json!(reasoning::word(effort)));
    }
    let visible = encoding.request.reasoning.as_ref().is_some_and(|reasoning| reasoning.visible == Some(true));
    if visible && encoding.model.is_known_to_reason() && !config.contains_key("summary") {
        config.insert("summary".to_owned(), json!("auto"));
    }
    config
}

fn text_config<'a>(extras: &mut Extras, encoding: &mut Encoding<'a>) -> Result<TextConfig<'a>, Failure> {
    let mut config = extras.take_object("text");
    let format = formats::for_responses(encoding)?;
    if format.is_some() && config.shift_remove("format").is_some() {
        encoding.dropped.report("extras.text.format", "the request says it in a field of its own");
    }
    Ok(TextConfig { format, extras: config })
}

/// Usage comes unasked here, and asking for it is refused.
fn stream_options(extras: &mut Extras, stream: bool) -> Map<String, Value> {
    let mut options = extras.take_object("stream_options");
    options.shift_remove("include_usage");
    if stream { options } else { Map::new() }
}

fn rest(extras: Extras, encoding: &mut Encoding<'_>) -> Map<String, Value> {
    let request = encoding.request;
    let mut set = SET.to_vec();
    set.extend((!request.tools.is_empty()).then_some("tools"));
    // A choice that has no canonical form (one of the provider's own tools) comes as the caller's own field.
    set.extend((request.tool_choice.is_some() && !request.tools.is_empty()).then_some("tool_choice"));
    set.extend(request.user.is_some().then_some("safety_identifier"));
    set.extend((!request.metadata.is_empty()).then_some("metadata"));
    extras.rest(&set, &mut encoding.dropped)
}
