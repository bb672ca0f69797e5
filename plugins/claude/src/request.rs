//! A canonical request into `POST /messages`.
//!
//! Owns the body's top level: output limit, sampling, stop sequences, the caller's own fields, headers. The conversation, tools, thinking
//! and the output format have modules of their own.

use crate::draft::{ApiVersion, Draft};
use crate::families::SamplingRule;
use crate::messages;
use crate::thinking::{self, Mode};
use crate::tools::{self, CustomTools};
use crate::wire::{ContentBlock, Fields, MessageCountTokensParams, MessageCreateParams, Metadata, OutputConfig, OutputFormat};
use crate::{format, serde_json};
use llm_gateway_adapter::body::json_headers;
use llm_gateway_adapter::types::{ChatRequest, Failure, Framing, Header, HttpMethod, HttpRequest, Sampling, Setting};
use llm_gateway_adapter::{dropped, settings};
use serde_json::Value;
use std::mem;

/// Setting: the output limit to send when neither the caller nor the table knows one.
pub const DEFAULT_MAX_OUTPUT: &str = "default-max-output";
pub const MAX_OUTPUT_UNLESS_SET: u32 = 8192;

/// Above this, the provider's SDKs refuse to wait for a whole answer: it may take longer than ten minutes, and idle connections are cut.
const MAX_WHOLE_OUTPUT: u32 = 21_333;

/// Headers that travel among the caller's fields.
const BETA: &str = "anthropic-beta";
const VERSION: &str = ApiVersion::SETTING;

/// Fields that the adapter writes itself.
const TAKEN: [&str; 11] =
    ["model", "max_tokens", "system", "messages", "tools", "temperature", "top_p", "top_k", "stop_sequences", "stream", VERSION];

/// Fields of the caller's own that `/messages/count_tokens` takes. It refuses all that tells only how to answer.
const COUNTED: [&str; 3] = ["tool_choice", "thinking", "cache_control"];

/// # Errors
/// `unsupported` for what Claude can't be sent, `invalid-request` for what makes no sense.
pub fn encode(request: &ChatRequest) -> Result<HttpRequest, Failure> {
    let mut draft = Draft::new(request);
    let mut extras = draft.own_fields(&request.extras, &TAKEN, "extras");
    let headers = headers(request, &mut extras);
    let body = body(request, extras, &mut draft)?;
    Ok(HttpRequest {
        method: HttpMethod::Post,
        path: "/messages".to_owned(),
        query: Vec::new(),
        headers,
        framing: if body.stream { Framing::Sse } else { Framing::Whole },
        body: draft.media.segments(&body)?,
        dropped: dropped::once(draft.dropped),
        context: CustomTools::context(request),
        extras: Vec::new(),
    })
}

/// The request that counts the prompt of a chat request.
///
/// # Errors
/// Those of [`encode`].
pub fn encode_count(request: &ChatRequest) -> Result<HttpRequest, Failure> {
    let mut draft = Draft::new(request);
    let mut extras = draft.own_fields(&request.extras, &TAKEN, "extras");
    let headers = headers(request, &mut extras);
    let MessageCreateParams { model, system, messages, tools, tool_choice, thinking, output_config, mut extras, .. } =
        body(request, extras, &mut draft)?;
    extras.retain(|name, _| COUNTED.contains(&name.as_str()));
    let body = MessageCountTokensParams { model, system, messages, tools, tool_choice, thinking, output_config, extras };
    Ok(HttpRequest {
        method: HttpMethod::Post,
        path: "/messages/count_tokens".to_owned(),
        query: Vec::new(),
        headers,
        framing: Framing::Whole,
        body: draft.media.segments(&body)?,
        dropped: dropped::once(draft.dropped),
        context: String::new(),
        extras: Vec::new(),
    })
}

fn body<'a>(request: &'a ChatRequest, mut extras: Fields, draft: &mut Draft) -> Result<MessageCreateParams<'a>, Failure> {
    let max_tokens = max_tokens(request, draft)?;
    // Tools stand before the conversation in the prompt, so their cache breakpoints count first.
    let tools = tools::translate(request, draft)?;
    let mut conversation = messages::translate(request, draft)?;
    let thinking = thinking::translate(request, max_tokens, &conversation, draft);
    let mode = own_mode(&extras).unwrap_or(thinking.mode());
    let tool_choice = match tools::own_choice(&mut extras, mode, draft) {
        tools::OwnChoice::Unsaid => tools::choice(request, &tools, mode, draft),
        tools::OwnChoice::Stands | tools::OwnChoice::Refused => None,
    };
    let format = format::translate(request.response_format.as_ref(), draft)?;
    let sampling = sampling(&request.sampling, mode, draft);
    report_what_has_no_field(request, draft);
    let instructions = mem::take(&mut draft.instructions);
    conversation.system.extend(instructions.into_iter().map(|words| ContentBlock::plain(words.into())));
    Ok(MessageCreateParams {
        model: &request.model,
        max_tokens,
        system: conversation.system,
        messages: conversation.messages,
        tools,
        tool_choice,
        thinking: thinking.config.filter(|_| !extras.contains_key("thinking")),
        output_config: output_config(thinking.effort, format, &mut extras),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        stop_sequences: stop_sequences(request, draft),
        metadata: metadata(request, &mut extras),
        stream: request.stream || max_tokens > MAX_WHOLE_OUTPUT,
        extras,
    })
}

/// `max_tokens` is required: the model's own maximum where the caller says nothing.
fn max_tokens(request: &ChatRequest, draft: &Draft) -> Result<u32, Failure> {
    match (request.max_output.or(draft.family.max_output), settings::get(&request.settings, DEFAULT_MAX_OUTPUT)) {
        (Some(tokens), _) => Ok(tokens),
        (None, None) => Ok(MAX_OUTPUT_UNLESS_SET),
        (None, Some(set)) => set
            .trim()
            .parse()
            .map_err(|_| Failure::unsupported("settings", format!("the setting {DEFAULT_MAX_OUTPUT} is not a number of tokens: {set}"))),
    }
}

fn headers(request: &ChatRequest, extras: &mut Fields) -> Vec<Header> {
    let mut headers = json_headers();
    headers.extend(version_header(&request.settings));
    let betas = match extras.shift_remove(BETA) {
        Some(Value::String(betas)) => betas,
        Some(Value::Array(betas)) => betas.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        _ => String::new(),
    };
    if !betas.is_empty() {
        headers.push((BETA.to_owned(), betas));
    }
    headers
}

/// Over the fixed header, where the operator set another version.
pub fn version_header(settings: &[Setting]) -> Option<Header> {
    settings::get(settings, VERSION).map(|version| (VERSION.to_owned(), version.to_owned()))
}

/// What the caller's own `thinking` says, which stands over the canonical one.
fn own_mode(extras: &Fields) -> Option<Mode> {
    extras.get("thinking").map(|own| match own["type"].as_str() {
        Some("enabled") => Mode::Budget,
        Some("adaptive") => Mode::Adaptive,
        _ => Mode::NotAsked,
    })
}

/// The caller's own fields stand where both say something.
fn output_config<'a>(effort: Option<&'static str>, format: Option<OutputFormat<'a>>, extras: &mut Fields) -> OutputConfig<'a> {
    let own = take_object(extras, "output_config");
    OutputConfig {
        effort: effort.filter(|_| !own.contains_key("effort")),
        format: format.filter(|_| !own.contains_key("format")),
        extras: own,
    }
}

fn metadata<'a>(request: &'a ChatRequest, extras: &mut Fields) -> Metadata<'a> {
    let own = take_object(extras, "metadata");
    Metadata { user_id: request.user.as_deref().filter(|_| !own.contains_key("user_id")), extras: own }
}

fn take_object(extras: &mut Fields, name: &str) -> Fields {
    match extras.shift_remove(name) {
        Some(Value::Object(fields)) => fields,
        _ => Fields::new(),
    }
}

#[derive(Default)]
struct Sampled {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
}

/// What may stand beside thinking: a temperature of 1, a `top_p` of 0.95 or more, no `top_k`.
fn sampling(asked: &Sampling, mode: Mode, draft: &mut Draft) -> Sampled {
    let rule = if draft.api == ApiVersion::Autumn2026 { SamplingRule::Nothing } else { draft.family.sampling };
    // 1 is what the provider takes anyway.
    let temperature = asked.temperature.filter(|temperature| *temperature != 1.0);
    let top_p = asked.top_p.filter(|top_p| *top_p != 1.0);
    if rule == SamplingRule::Nothing {
        let reason = "this model takes no sampling parameters";
        draft.drop_if(temperature.is_some(), "sampling.temperature", reason);
        draft.drop_if(top_p.is_some(), "sampling.top-p", reason);
        draft.drop_if(asked.top_k.is_some(), "sampling.top-k", reason);
        return Sampled::default();
    }
    if mode != Mode::NotAsked {
        let reason = "this model takes it only without thinking";
        draft.drop_if(temperature.is_some(), "sampling.temperature", reason);
        draft.drop_if(top_p.is_some_and(|top_p| top_p < 0.95), "sampling.top-p", reason);
        draft.drop_if(asked.top_k.is_some(), "sampling.top-k", reason);
        return Sampled { top_p: top_p.filter(|top_p| *top_p >= 0.95), ..Sampled::default() };
    }
    draft.drop_if(temperature.is_some_and(|temperature| temperature > 1.0), "sampling.temperature", "Claude takes up to 1, which was sent");
    let either = rule == SamplingRule::TemperatureOrTopP && temperature.is_some();
    draft.drop_if(either && top_p.is_some(), "sampling.top-p", "this model takes temperature or top-p, not both");
    Sampled { temperature: temperature.map(|temperature| temperature.min(1.0)), top_p: top_p.filter(|_| !either), top_k: asked.top_k }
}

fn report_what_has_no_field(request: &ChatRequest, draft: &mut Draft) {
    let reason = "Claude has no such parameter";
    let set = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    draft.drop_if(set(request.sampling.presence_penalty), "sampling.presence-penalty", reason);
    draft.drop_if(set(request.sampling.frequency_penalty), "sampling.frequency-penalty", reason);
    draft.drop_if(request.sampling.seed.is_some(), "sampling.seed", reason);
    draft.drop_if(!request.sampling.logit_bias.is_empty(), "sampling.logit-bias", reason);
    draft.drop_if(request.logprobs.is_some(), "logprobs", reason);
    draft.drop_if(request.choices.is_some_and(|choices| choices > 1), "choices", "Claude gives one answer");
    draft.drop_if(!request.metadata.is_empty(), "metadata", reason);
}

fn stop_sequences<'a>(request: &'a ChatRequest, draft: &mut Draft) -> Vec<&'a str> {
    let mut taken = Vec::with_capacity(request.stop.len());
    for (index, stop) in request.stop.iter().enumerate() {
        if stop.trim().is_empty() {
            draft.drop(format_args!("stop[{index}]"), "Claude takes no stop sequence of white space");
        } else {
            taken.push(stop.as_str());
        }
    }
    taken
}
