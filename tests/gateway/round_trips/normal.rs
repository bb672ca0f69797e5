//! What of two requests is the same on a wire, although it is not written the same: each rule with its reason. What no rule names must be equal.

use super::Wire;
use super::reasoning::lost_reasoning;
use super::reported::Reported;
use super::requests::{Asked, media_in};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use llm_gateway::contract::{
    ChatRequest, Dropped, FunctionTool, Media, MediaSource, Message, Native, Part, PartBody, ResponseFormat, Role, Tool, ToolMode,
    ToolResultPart,
};
use llm_gateway::domain::part;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

/// The first thing that was asked and not reported, and is not in what was read. None: nothing was lost.
pub fn difference(wire: Wire, asked: &Asked, read: &Asked, dropped: &[Dropped]) -> Option<String> {
    let reported = Reported(dropped);
    let (mut asked, mut read) = (with_media(asked), with_media(read));
    let only = asked.tool_choice.as_ref().map(|choice| choice.only.clone()).unwrap_or_default();
    reported.forget(&mut asked, &mut read);
    if wire == Wire::Messages && !only.is_empty() {
        // There is no list of those that may be called: they are all that the model gets to see.
        asked.tools.retain(|tool| name_of(tool).is_none_or(|name| only.iter().any(|only| only == name)));
    }
    if wire == Wire::Messages {
        // The one value that an adapter makes up, because the provider demands it.
        asked.max_output = asked.max_output.or(read.max_output);
    }
    if let Some(lost) = lost_reasoning(wire, &asked, &read, &reported) {
        return Some(lost);
    }
    let said = said(wire, &asked);
    let mut heard = self::said(wire, &read);
    // What the model does not take as a field, it was told to do.
    if reported.has("response-format") || reported.has("tool-choice") {
        heard.retain(|heard| heard.role != Role::System || said.contains(heard));
    }
    let (asked, read) = (fields(wire, asked), fields(wire, read));
    differing("messages", &said, &heard)
        .or_else(|| differing("tools", &asked.tools, &read.tools))
        .or_else(|| differing("tool-choice", &asked.tool_choice, &read.tool_choice))
        .or_else(|| differing("parallel-tool-calls", &asked.parallel_tool_calls, &read.parallel_tool_calls))
        .or_else(|| differing("response-format", &asked.response_format, &read.response_format))
        .or_else(|| differing("sampling", &asked.sampling, &read.sampling))
        .or_else(|| differing("max-output", &asked.max_output, &read.max_output))
        .or_else(|| differing("stop", &asked.stop, &read.stop))
        .or_else(|| differing("choices", &asked.choices, &read.choices))
        .or_else(|| differing("logprobs", &asked.logprobs, &read.logprobs))
        .or_else(|| differing("user", &asked.user, &read.user))
        .or_else(|| differing("metadata", &asked.metadata, &read.metadata))
        .or_else(|| differing("stream", &asked.stream, &read.stream))
        .or_else(|| differing("extras", &asked.extras, &read.extras))
}

fn differing<T: PartialEq + Debug>(field: &str, asked: &T, read: &T) -> Option<String> {
    (asked != read).then(|| format!("{field}:\n  asked {asked:?}\n  read  {read:?}"))
}

/// Blobs have other numbers on the other side.
fn with_media(asked: &Asked) -> ChatRequest {
    let mut request = asked.request.clone();
    for media in request.messages.iter_mut().flat_map(|message| &mut message.parts).flat_map(|part| media_in(&mut part.body)) {
        if let MediaSource::Blob(blob) = &media.source {
            media.source = MediaSource::Base64(STANDARD.encode(asked.blobs.get(blob.id).unwrap()));
        }
    }
    request
}

// ---- what was said ----

/// One part, and who said it. Neighbours of one role are joined or set apart as the wire demands, so messages are not compared.
#[derive(Debug, PartialEq)]
struct Said {
    role: Role,
    name: Option<String>,
    /// Of the message.
    extras: Vec<Native>,
    part: Part,
}

fn said(wire: Wire, request: &ChatRequest) -> Vec<Said> {
    let lead = request.messages.iter().take_while(|message| matches!(message.role, Role::System | Role::Developer)).count();
    let mut all = Vec::new();
    let mut held_back = Vec::new();
    for (at, message) in request.messages.iter().enumerate() {
        if message.role != Role::Tool {
            all.append(&mut held_back);
        }
        let role = role(wire, message.role, at < lead);
        let mut parts: Vec<Part> = message.parts.iter().filter_map(|part| written(wire, message, part, at < lead)).collect();
        if wire == Wire::Chat && message.role == Role::Assistant {
            in_fields(&mut parts);
        }
        if wire == Wire::Chat {
            held_back.extend(parts.iter_mut().flat_map(media_of_results).map(|part| speech(Role::User, part)));
        }
        let extras = natives(message.extras.clone());
        all.extend(parts.into_iter().map(|part| Said { name: message.name.clone(), extras: extras.clone(), ..speech(role, part) }));
    }
    all.append(&mut held_back);
    number_calls(&mut all);
    all
}

fn speech(role: Role, part: Part) -> Said {
    Said { role, name: None, extras: Vec::new(), part }
}

/// Anthropic knows no developer, and takes later instructions as the user's.
fn role(wire: Wire, role: Role, leads: bool) -> Role {
    match (wire, role) {
        (Wire::Messages, Role::System | Role::Developer) if leads => Role::System,
        (Wire::Messages, Role::System | Role::Developer) => Role::User,
        (_, role) => role,
    }
}

/// A part as it is on the wire. None: it is nothing there.
fn written(wire: Wire, message: &Message, said: &Part, leads: bool) -> Option<Part> {
    let mut part = said.clone();
    if let PartBody::Thinking(text) = &mut part.body {
        // OpenAI's and Anthropic's own data stand beside the part when they did not come through the gateway.
        let own = told_by_provider(wire, &part.extras, part.replay.take().map(|replay| replay.data))?;
        if own.contains_key("data") {
            text.clear();
        }
        return Some(Part { extras: vec![native(wire, own)], ..part });
    }
    if let (Wire::Responses, Some(replay)) = (wire, part.replay.take()) {
        part.extras.push(Native { dialect: wire.dialect().to_owned(), value: replay.data });
    }
    part.extras = natives(part.extras);
    part.body = match part.body {
        // Blank text is a 400 at Anthropic.
        PartBody::Text(text) | PartBody::Refusal(text) if wire == Wire::Messages && text.trim().is_empty() => return None,
        // What tells the words of a later instruction from the user's own.
        PartBody::Text(text) if wire == Wire::Messages && !leads && matches!(message.role, Role::System | Role::Developer) => {
            PartBody::Text(format!("<system>\n{text}\n</system>"))
        }
        // Anthropic's assistant says its refusals as text.
        PartBody::Refusal(text) if wire == Wire::Messages => PartBody::Text(text),
        PartBody::Image(image) => PartBody::Image(as_image(wire, image)),
        PartBody::Audio(audio) => PartBody::Audio(as_audio(audio)),
        PartBody::Document(document) => as_document(wire, document),
        PartBody::ToolCall(mut call) => {
            let (arguments, free_form) = arguments(wire, &call.arguments, call.free_form);
            (call.arguments, call.free_form) = (arguments, free_form);
            PartBody::ToolCall(call)
        }
        PartBody::ToolResult(mut result) => {
            // OpenAI has no flag for it.
            if result.is_error && wire != Wire::Messages {
                result.content.insert(0, ToolResultPart::Text("Error:".to_owned()));
                result.is_error = false;
            }
            result.content = result.content.into_iter().filter_map(|content| result_part(wire, content)).collect();
            PartBody::ToolResult(result)
        }
        PartBody::Other(own) => PartBody::Other(Native { value: canonical(&own.value), ..own }),
        body => body,
    };
    Some(part)
}

/// None: nothing of the provider's, and nobody wants such thinking back. What OpenAI's item says in words is the part's own text.
fn told_by_provider(wire: Wire, extras: &[Native], replay: Option<String>) -> Option<Map<String, Value>> {
    let own = || extras.iter().find(|native| native.dialect == wire.dialect()).map(|native| native.value.clone());
    match (wire, replay) {
        (Wire::Chat, _) => None,
        (Wire::Responses, replay) => {
            let mut item: Map<String, Value> = serde_json::from_str(&replay.or_else(own)?).ok()?;
            item.retain(|name, _| matches!(name.as_str(), "id" | "encrypted_content"));
            Some(item)
        }
        (Wire::Messages, None) => serde_json::from_str(&own()?).ok(),
        (Wire::Messages, Some(replay)) => {
            let (kind, seal) = replay.split_once(':')?;
            let field = if kind == "redacted" { "data" } else { kind };
            Some(Map::from_iter([(field.to_owned(), json!(seal))]))
        }
    }
}

/// Chat has a field for each kind of what the assistant said, and in this order; one refusal, and further ones as text.
fn in_fields(parts: &mut [Part]) {
    let mut refused = false;
    for part in parts.iter_mut() {
        if let PartBody::Refusal(text) = &part.body
            && std::mem::replace(&mut refused, true)
        {
            part.body = PartBody::Text(text.clone());
        }
    }
    parts.sort_by_key(|part| match part.body {
        PartBody::Text(_) => 0,
        PartBody::Refusal(_) => 1,
        _ => 2,
    });
}

/// Chat's tools say only text; what else they gave, the user shows after the last of them.
fn media_of_results(said: &mut Part) -> Vec<Part> {
    let PartBody::ToolResult(result) = &mut said.body else { return Vec::new() };
    let (texts, media) = std::mem::take(&mut result.content).into_iter().partition(|part| matches!(part, ToolResultPart::Text(_)));
    result.content = texts;
    media.into_iter().filter_map(body_of_result).map(part).collect()
}

fn body_of_result(part: ToolResultPart) -> Option<PartBody> {
    Some(match part {
        ToolResultPart::Text(text) => PartBody::Text(text),
        ToolResultPart::Image(media) => PartBody::Image(media),
        ToolResultPart::Audio(media) => PartBody::Audio(media),
        ToolResultPart::Document(media) => PartBody::Document(media),
        ToolResultPart::Video(_) | ToolResultPart::Other(_) => return None,
    })
}

fn result_part(wire: Wire, content: ToolResultPart) -> Option<ToolResultPart> {
    Some(match content {
        ToolResultPart::Text(text) if wire == Wire::Messages && text.trim().is_empty() => return None,
        ToolResultPart::Image(image) => ToolResultPart::Image(as_image(wire, image)),
        ToolResultPart::Document(document) => match as_document(wire, document) {
            PartBody::Document(document) => ToolResultPart::Document(document),
            PartBody::Text(text) => ToolResultPart::Text(text),
            _ => return None,
        },
        ToolResultPart::Other(own) => ToolResultPart::Other(Native { value: canonical(&own.value), ..own }),
        content => content,
    })
}

/// Ids are mapped where a provider restricts them; what counts is who answers whom.
fn number_calls(all: &mut [Said]) {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for said in all {
        let id = match &mut said.part.body {
            PartBody::ToolCall(call) => &mut call.id,
            PartBody::ToolResult(result) => &mut result.call_id,
            _ => continue,
        };
        let next = numbers.len();
        *id = numbers.entry(id.clone()).or_insert(next).to_string();
    }
}

/// No arguments are an empty object. Anthropic takes nothing but objects, so other text is wrapped in one, and their spacing is lost.
fn arguments(wire: Wire, arguments: &str, free_form: bool) -> (String, bool) {
    let text = if arguments.trim().is_empty() { "{}" } else { arguments };
    if wire != Wire::Messages {
        return (if free_form { arguments } else { text }.to_owned(), free_form);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) if !free_form => (Value::Object(object).to_string(), false),
        _ => (json!({ "input": arguments }).to_string(), false),
    }
}

// ---- media ----

/// `auto` is Anthropic's only detail.
fn as_image(wire: Wire, image: Media) -> Media {
    let detail = image.detail.filter(|detail| wire != Wire::Messages || detail != "auto");
    Media { detail, ..image }
}

/// OpenAI's word for the format.
fn as_audio(audio: Media) -> Media {
    let media_type = audio.media_type.map(|kind| if kind == "audio/mpeg" { "audio/mp3".to_owned() } else { kind });
    Media { media_type, ..audio }
}

/// Text is given to OpenAI as text, under its name; Anthropic knows one kind of text. OpenAI's files have a name, and files that are not sent have
/// none there.
fn as_document(wire: Wire, document: Media) -> PartBody {
    let is_text = document.media_type.as_deref().is_some_and(|kind| kind != "application/pdf");
    match (&document.source, wire) {
        (MediaSource::Base64(_), Wire::Messages) if is_text => {
            PartBody::Document(Media { media_type: Some("text/plain".to_owned()), ..document })
        }
        (MediaSource::Base64(base64), Wire::Chat | Wire::Responses) if is_text => {
            let text = String::from_utf8(STANDARD.decode(base64).unwrap()).unwrap();
            PartBody::Text(document.name.map_or(text.clone(), |name| format!("{name}:\n\n{text}")))
        }
        (MediaSource::Base64(_), Wire::Chat | Wire::Responses) => {
            PartBody::Document(Media { name: document.name.or(Some("document.pdf".to_owned())), ..document })
        }
        (_, Wire::Chat | Wire::Responses) => PartBody::Document(Media { name: None, ..document }),
        (_, Wire::Messages) => PartBody::Document(document),
    }
}

// ---- fields ----

fn fields(wire: Wire, mut request: ChatRequest) -> ChatRequest {
    // One answer is what is given anyway.
    request.choices = request.choices.filter(|choices| *choices != 1);
    request.sampling.logit_bias.sort_by_key(|(token, _)| *token);
    request.metadata.sort();
    tools(wire, &mut request);
    request.response_format = request.response_format.and_then(|format| response_format(wire, format));
    request.extras = natives(request.extras);
    if wire == Wire::Messages {
        let set = |value: &f64| *value != 1.0;
        request.sampling.temperature = request.sampling.temperature.filter(set);
        request.sampling.top_p = request.sampling.top_p.filter(set);
        let penalty = |penalty: Option<f64>| penalty.filter(|penalty| *penalty != 0.0);
        request.sampling.presence_penalty = penalty(request.sampling.presence_penalty);
        request.sampling.frequency_penalty = penalty(request.sampling.frequency_penalty);
        // The answer may take longer than a connection lives; the host gathers the stream.
        request.stream |= request.max_output.is_some_and(|tokens| tokens > 21_333);
    }
    request
}

fn tools(wire: Wire, request: &mut ChatRequest) {
    request.tools = std::mem::take(&mut request.tools).into_iter().map(|tool| as_tool(wire, tool)).collect();
    let Some(choice) = &mut request.tool_choice else { return with_tools(wire, request) };
    let is_named = wire != Wire::Messages || (choice.mode == ToolMode::Required && choice.only.len() == 1);
    if choice.mode == ToolMode::None || !is_named {
        choice.only.clear();
    }
    // Nothing is called at all.
    if choice.mode == ToolMode::None && wire == Wire::Messages {
        request.parallel_tool_calls = None;
    }
    with_tools(wire, request);
}

/// Without tools there is nothing to choose, and a choice is a 400. At Anthropic the default can be said only in the choice itself.
fn with_tools(wire: Wire, request: &mut ChatRequest) {
    if request.tools.is_empty() {
        request.tool_choice = None;
        request.parallel_tool_calls = None;
    }
    if wire == Wire::Messages {
        request.parallel_tool_calls = request.parallel_tool_calls.filter(|parallel| !parallel);
        request.tool_choice.take_if(|choice| choice.mode == ToolMode::Auto);
    }
}

fn name_of(tool: &Tool) -> Option<&str> {
    match tool {
        Tool::Function(tool) => Some(&tool.name),
        Tool::Custom(tool) => Some(&tool.name),
        Tool::Other(_) => None,
    }
}

fn as_tool(wire: Wire, tool: Tool) -> Tool {
    match tool {
        Tool::Function(tool) => Tool::Function(FunctionTool {
            parameters: match tool.parameters {
                // A schema is demanded.
                None if wire != Wire::Chat => Some(closed(r#"{"type":"object","properties":{}}"#)),
                schema => schema.as_deref().map(closed),
            },
            strict: strict(wire, tool.strict),
            extras: natives(tool.extras),
            ..tool
        }),
        // Anthropic has no tools that take text: one is a function of one text.
        Tool::Custom(tool) if wire == Wire::Messages => Tool::Function(FunctionTool {
            name: tool.name,
            description: tool.description,
            parameters: Some(closed(r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#)),
            strict: None,
            cache: None,
            extras: natives(tool.extras),
        }),
        Tool::Other(own) => Tool::Other(Native { value: canonical(&own.value), ..own }),
        tool => tool,
    }
}

/// Not to be held to a schema is Anthropic's default; on OpenAI's Responses it must be said.
fn strict(wire: Wire, strict: Option<bool>) -> Option<bool> {
    match wire {
        Wire::Chat => strict,
        Wire::Responses => strict.or(Some(false)),
        Wire::Messages => strict.filter(|strict| *strict),
    }
}

fn response_format(wire: Wire, format: ResponseFormat) -> Option<ResponseFormat> {
    match format {
        ResponseFormat::JsonSchema(mut format) => {
            format.schema = closed(&format.schema);
            if wire == Wire::Messages {
                // It has no name there, is always held to, and its description stands in the schema.
                let mut schema: Map<String, Value> = serde_json::from_str(&format.schema).unwrap();
                if let Some(description) = format.description.take() {
                    schema.entry("description").or_insert(json!(description));
                }
                format.schema = canonical(&Value::Object(schema).to_string());
                format.name.clear();
                format.strict = None;
            }
            Some(ResponseFormat::JsonSchema(format))
        }
        // Text is what Anthropic gives anyway.
        ResponseFormat::Text if wire == Wire::Messages => None,
        ResponseFormat::Other(own) => Some(ResponseFormat::Other(Native { value: canonical(&own.value), ..own })),
        format => Some(format),
    }
}

/// A schema that a model is held to is closed where it leaves that open.
fn closed(schema: &str) -> String {
    let mut schema: Value = serde_json::from_str(schema).unwrap();
    close(&mut schema);
    canonical(&schema.to_string())
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

/// The order of fields means nothing here.
fn canonical(json: &str) -> String {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields: BTreeMap<String, Value> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
                Value::Object(fields.into_iter().collect())
            }
            Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
            value => value,
        }
    }
    sorted(serde_json::from_str(json).unwrap()).to_string()
}

/// One object of each dialect. Those of a later contract mean nothing yet.
fn natives(natives: Vec<Native>) -> Vec<Native> {
    let mut by_dialect: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for native in natives.into_iter().filter(|native| native.dialect != "llm-gateway") {
        by_dialect.entry(native.dialect).or_default().extend(serde_json::from_str::<Map<String, Value>>(&native.value).unwrap());
    }
    by_dialect.into_iter().map(|(dialect, fields)| Native { dialect, value: canonical(&Value::Object(fields).to_string()) }).collect()
}

fn native(wire: Wire, fields: Map<String, Value>) -> Native {
    Native { dialect: wire.dialect().to_owned(), value: canonical(&Value::Object(fields).to_string()) }
}
