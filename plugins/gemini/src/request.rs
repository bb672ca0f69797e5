//! A chat request as the body of `:generateContent` or `:streamGenerateContent`.
//!
//! Owns: the choice between the two, sampling, limits, output formats. The conversation is in [`contents`].
//! Gemini refuses unknown fields, so only its own native ones are passed on.

use crate::DIALECT;
use crate::contents::{self, Content};
use crate::context::Context;
use crate::extras;
use crate::families::{self, Family, Logprobs};
use crate::losses::Losses;
use crate::schema;
use crate::thinking::{self, ThinkingConfig};
use crate::tools::{self, ToolConfig, ToolEntry};
use llm_gateway_adapter::body::{self, Media};
use llm_gateway_adapter::serde_json::value::RawValue;
use llm_gateway_adapter::serde_json::{self, Map, Value};
use llm_gateway_adapter::types::{ChatRequest, Failure, Framing, HttpMethod, HttpRequest, Native, ResponseFormat, Sampling, Segment};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// More are a 400.
const MOST_STOP_SEQUENCES: usize = 5;

/// Alternatives per token; more are a 400.
const MOST_LOGPROBS: u32 = 20;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerateContentRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u32>,
    #[serde(flatten)]
    response: ResponseConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Cow<'a, RawValue>>,
}

/// # Errors
/// `invalid-request` or `unsupported`, with the field named.
pub fn encode(request: &ChatRequest) -> Result<HttpRequest, Failure> {
    let draft = Draft::of(request)?;
    let method = method(request, families::of(model_name(&request.model)), &draft.body.generation_config);
    Ok(HttpRequest {
        method: HttpMethod::Post,
        path: path(&request.model, method.name),
        query: method.query,
        headers: body::json_headers(),
        framing: method.framing,
        body: segments(draft.body, draft.native, draft.media)?,
        dropped: draft.losses.into_list(),
        context: Context::of(request).to_text(),
        extras: Vec::new(),
    })
}

/// The request for `:countTokens`, which counts what `encode` would send, system instruction and tools included.
///
/// # Errors
/// Those of [`encode`].
pub fn encode_count(request: &ChatRequest) -> Result<HttpRequest, Failure> {
    let draft = Draft::of(request)?;
    let mut counted = Map::from_iter([("model".to_owned(), Value::from(resource(&request.model)))]);
    counted.extend(whole(draft.body, draft.native)?);
    let body = Map::from_iter([("generateContentRequest".to_owned(), Value::Object(counted))]);
    Ok(HttpRequest {
        method: HttpMethod::Post,
        path: path(&request.model, "countTokens"),
        query: Vec::new(),
        headers: body::json_headers(),
        framing: Framing::Whole,
        body: draft.media.segments(&body)?,
        dropped: draft.losses.into_list(),
        context: String::new(),
        extras: Vec::new(),
    })
}

/// A request on its way into Gemini's words.
struct Draft<'a> {
    body: GenerateContentRequest<'a>,
    /// Gemini's own fields, as in [`ExtraFields`].
    native: Vec<Map<String, Value>>,
    media: Media,
    losses: Losses,
}

impl<'a> Draft<'a> {
    fn of(request: &'a ChatRequest) -> Result<Self, Failure> {
        let family = families::of(model_name(&request.model));
        let (mut losses, mut media) = (Losses::default(), Media::default());
        let extra = extra_fields(request, &mut losses)?;
        let prompt = contents::write(request, family, &mut media, &mut losses)?;
        let body = GenerateContentRequest {
            system_instruction: prompt.system_instruction,
            contents: prompt.contents,
            tools: tools::entries(&request.tools, &mut losses)?,
            tool_config: tools::config(request, &mut losses),
            generation_config: generation_config(request, family, &mut losses)?,
            service_tier: extra.service_tier,
        };
        report_the_rest(request, &mut losses);
        Ok(Self { body, native: extra.native, media, losses })
    }
}

struct Method {
    name: &'static str,
    query: Vec<(String, String)>,
    framing: Framing,
}

/// A stream where the caller wants one or the whole answer might be cut, but `LogProbs is not supported in streaming mode`.
fn method(request: &ChatRequest, family: &Family, config: &GenerationConfig) -> Method {
    let stream = (request.stream || family.cuts_whole_answers()) && config.response_logprobs.is_none();
    if stream {
        // Without it, the stream is one JSON array.
        let query = vec![("alt".to_owned(), "sse".to_owned())];
        Method { name: "streamGenerateContent", query, framing: Framing::Sse }
    } else {
        Method { name: "generateContent", query: Vec::new(), framing: Framing::Whole }
    }
}

fn model_name(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

fn collection_and_name(model: &str) -> (&'static str, &str) {
    match model.strip_prefix("tunedModels/") {
        Some(tuned) => ("tunedModels", tuned),
        None => ("models", model_name(model)),
    }
}

/// The model as bodies name it: `models/gemini-3.8-flash`.
pub fn resource(model: &str) -> String {
    let (collection, name) = collection_and_name(model);
    format!("{collection}/{name}")
}

/// `/models/gemini-3.8-flash:countTokens`
pub fn path(model: &str, method: &str) -> String {
    let (collection, name) = collection_and_name(model);
    // A colon would begin another method's name.
    format!("/{collection}/{}:{method}", body::path_segment(name).replace(':', "%3A"))
}

fn segments(body: GenerateContentRequest, native: Vec<Map<String, Value>>, media: Media) -> Result<Vec<Segment>, Failure> {
    if native.is_empty() {
        return media.segments(&body);
    }
    media.segments(&whole(body, native)?)
}

/// The body with Gemini's own fields written over it.
fn whole(body: GenerateContentRequest, native: Vec<Map<String, Value>>) -> Result<Map<String, Value>, Failure> {
    let value = serde_json::to_value(body).map_err(|error| Failure::invalid(None, error.to_string()))?;
    let Value::Object(mut whole) = value else { return Ok(Map::new()) };
    for fields in native {
        extras::merge(&mut whole, fields);
    }
    Ok(whole)
}

/// What the caller gave beside the canonical fields.
#[derive(Default)]
struct ExtraFields {
    service_tier: Option<&'static str>,
    /// Gemini's own, each to be written over the body and those before it.
    native: Vec<Map<String, Value>>,
}

fn extra_fields(request: &ChatRequest, losses: &mut Losses) -> Result<ExtraFields, Failure> {
    let mut fields = ExtraFields::default();
    if let Some(ResponseFormat::Other(format)) = &request.response_format {
        fields.native.push(native_format(format)?);
    }
    for extra in &request.extras {
        if extra.dialect == DIALECT {
            fields.native.push(extras::object(extra, "extras")?);
        } else {
            fields.service_tier = fields.service_tier.or(service_tier(extra, losses));
            extras::report(extra, "extras", &["service_tier"], losses);
        }
    }
    Ok(fields)
}

/// `{"responseMimeType":"text/x.enum","responseSchema":{..}}`
fn native_format(format: &Native) -> Result<Map<String, Value>, Failure> {
    if format.dialect != DIALECT {
        return Err(Failure::unsupported("response-format", format!("Gemini has no format like this one of `{}`", format.dialect)));
    }
    let config = extras::object(format, "response-format")?;
    Ok(Map::from_iter([("generationConfig".to_owned(), Value::Object(config))]))
}

/// The others' `service_tier`, which means the same there.
fn service_tier(extra: &Native, losses: &mut Losses) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Tiered<'a> {
        #[serde(borrow)]
        service_tier: Option<Cow<'a, str>>,
    }
    let tiered: Tiered = serde_json::from_str(&extra.value).ok()?;
    match tiered.service_tier?.as_ref() {
        "flex" => Some("flex"),
        "priority" => Some("priority"),
        "default" | "standard" | "standard_only" => Some("standard"),
        "auto" => None,
        other => {
            losses.add("extras.service_tier", format!("Gemini has no service tier like `{other}`"));
            None
        }
    }
}

fn generation_config<'a>(request: &'a ChatRequest, family: &Family, losses: &mut Losses) -> Result<GenerationConfig<'a>, Failure> {
    let sampling = &request.sampling;
    let (presence_penalty, frequency_penalty) = penalties(sampling, family, losses);
    let (response_logprobs, logprobs) = logprobs(request.logprobs, family, losses);
    Ok(GenerationConfig {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        candidate_count: request.choices.filter(|count| *count != 1),
        max_output_tokens: request.max_output,
        stop_sequences: stop_sequences(&request.stop, losses),
        presence_penalty,
        frequency_penalty,
        seed: seed(sampling.seed, losses),
        response_logprobs,
        logprobs,
        response: response_config(request.response_format.as_ref(), losses)?,
        thinking_config: request.reasoning.as_ref().and_then(|reasoning| thinking::config(reasoning, family, losses)),
    })
}

fn stop_sequences<'a>(stop: &'a [String], losses: &mut Losses) -> &'a [String] {
    for index in MOST_STOP_SEQUENCES..stop.len() {
        losses.add(format!("stop[{index}]"), "Gemini takes five stop sequences");
    }
    &stop[..stop.len().min(MOST_STOP_SEQUENCES)]
}

fn penalties(sampling: &Sampling, family: &Family, losses: &mut Losses) -> (Option<f64>, Option<f64>) {
    let (presence, frequency) = (sampling.presence_penalty, sampling.frequency_penalty);
    if family.takes_penalties() {
        return (presence, frequency);
    }
    for (name, penalty) in [("presence-penalty", presence), ("frequency-penalty", frequency)] {
        if penalty.is_some_and(|penalty| penalty != 0.0) {
            losses.add(format!("sampling.{name}"), "this model takes no penalties");
        }
    }
    (None, None)
}

fn seed(seed: Option<i64>, losses: &mut Losses) -> Option<i32> {
    let seed = seed?;
    let taken = i32::try_from(seed).ok();
    if taken.is_none() {
        losses.add("sampling.seed", "Gemini takes a seed of 32 bits");
    }
    taken
}

fn logprobs(wanted: Option<u32>, family: &Family, losses: &mut Losses) -> (Option<bool>, Option<u32>) {
    let Some(alternatives) = wanted else { return (None, None) };
    if family.logprobs == Logprobs::Refused {
        losses.add("logprobs", "this model gives no logprobs");
        return (None, None);
    }
    if alternatives > MOST_LOGPROBS {
        losses.add("logprobs", format!("Gemini gives {MOST_LOGPROBS} alternatives at most"));
    }
    (Some(true), Some(alternatives.min(MOST_LOGPROBS)).filter(|count| *count > 0))
}

fn response_config<'a>(format: Option<&'a ResponseFormat>, losses: &mut Losses) -> Result<ResponseConfig<'a>, Failure> {
    let mut config = ResponseConfig::default();
    match format {
        None | Some(ResponseFormat::Text | ResponseFormat::Other(_)) => {}
        Some(ResponseFormat::JsonObject) => config.response_mime_type = Some("application/json"),
        Some(ResponseFormat::JsonSchema(schema)) => {
            if schema.description.is_some() {
                losses.add("response-format.description", "Gemini takes the schema alone");
            }
            config.response_mime_type = Some("application/json");
            config.response_json_schema = Some(schema::fit(&schema.schema, "response-format.schema", losses)?);
        }
    }
    Ok(config)
}

fn report_the_rest(request: &ChatRequest, losses: &mut Losses) {
    if !request.sampling.logit_bias.is_empty() {
        losses.add("sampling.logit-bias", "Gemini takes no biases");
    }
    if request.user.is_some() {
        losses.add("user", "Gemini takes no user");
    }
    if !request.metadata.is_empty() {
        losses.add("metadata", "Gemini takes no metadata");
    }
}
