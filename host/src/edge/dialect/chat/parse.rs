//! A Chat Completions request as the canonical one. What has no canonical name goes along as `extras` of this dialect.

use super::{ChatForm, DIALECT};
use crate::contract::{
    ChatRequest, CustomTool, Effort, FunctionTool, Grammar, JsonSchema, Media, MediaSource, Message, Native, Part, PartBody, Reasoning,
    ResponseFormat, Role, Tool, ToolCall, ToolChoice, ToolMode, ToolResult, ToolResultPart,
};
use crate::domain::{Blobs, Target, chat_request, part};
use crate::edge::BadRequest;
use crate::edge::dialect::calls::Calls;
use crate::edge::dialect::{Form, Parsed, media};
use crate::edge::json::Fields;
use serde_json::{Map, Value};

/// # Errors
/// The field at fault.
pub fn parse(body: &[u8]) -> Result<Parsed, BadRequest> {
    let mut fields = Fields::of_body(body)?;
    let target = fields.model("model")?.map_or(Target::Any(None), Target::Name);
    let mut blobs = Blobs::default();
    let messages = messages(&mut fields, &mut blobs)?;
    let mut request = chat_request(String::new(), messages);
    let include_usage = stream(&mut fields, &mut request)?;
    limits(&mut fields, &mut request)?;
    sampling(&mut fields, &mut request)?;
    tools(&mut fields, &mut request)?;
    request.response_format = response_format(&mut fields)?;
    request.reasoning = fields.word("reasoning_effort", &EFFORTS)?.map(|effort| Reasoning {
        enabled: None,
        effort: Some(effort),
        budget: None,
        visible: None,
    });
    let old_user = fields.string("user")?;
    request.user = fields.string("safety_identifier")?.or(old_user);
    request.metadata = metadata(&mut fields)?;
    request.extras = native(fields.rest());
    Ok(Parsed { target, request, blobs, form: Form::Chat(ChatForm { include_usage }) })
}

const EFFORTS: [(&str, Effort); 7] = [
    ("none", Effort::None),
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::ExtraHigh),
    ("max", Effort::Maximum),
];

fn native(fields: Map<String, Value>) -> Vec<Native> {
    if fields.is_empty() {
        return Vec::new();
    }
    vec![Native { dialect: DIALECT.to_owned(), value: Value::Object(fields).to_string() }]
}

fn stream(fields: &mut Fields, request: &mut ChatRequest) -> Result<bool, BadRequest> {
    request.stream = fields.bool("stream")?.unwrap_or(false);
    let Some(mut options) = fields.object("stream_options")? else { return Ok(false) };
    if !request.stream {
        return Err(fields.wrong("stream_options", "is only allowed when `stream` is true"));
    }
    Ok(options.bool("include_usage")?.unwrap_or(false))
}

fn limits(fields: &mut Fields, request: &mut ChatRequest) -> Result<(), BadRequest> {
    let deprecated = fields.integer("max_tokens", 1, u32::MAX)?;
    request.max_output = fields.integer("max_completion_tokens", 1, u32::MAX)?.or(deprecated);
    request.choices = fields.integer("n", 1, 128)?;
    request.stop = match fields.value("stop") {
        None => Vec::new(),
        Some(Value::String(stop)) => vec![stop],
        Some(Value::Array(stops)) => strings(stops).ok_or_else(|| fields.wrong("stop", "must be a string or a list of strings"))?,
        Some(_) => return Err(fields.wrong("stop", "must be a string or a list of strings")),
    };
    let alternatives = fields.integer("top_logprobs", 0, 20)?;
    request.logprobs = match fields.bool("logprobs")? {
        Some(true) => Some(alternatives.unwrap_or(0)),
        _ if alternatives.is_some() => return Err(fields.wrong("top_logprobs", "needs `logprobs` to be true")),
        _ => None,
    };
    Ok(())
}

fn strings(values: Vec<Value>) -> Option<Vec<String>> {
    values.into_iter().map(|value| if let Value::String(text) = value { Some(text) } else { None }).collect()
}

fn sampling(fields: &mut Fields, request: &mut ChatRequest) -> Result<(), BadRequest> {
    let sampling = &mut request.sampling;
    sampling.temperature = fields.number("temperature", 0.0, 2.0)?;
    sampling.top_p = fields.number("top_p", 0.0, 1.0)?;
    sampling.top_k = fields.integer("top_k", 0, u32::MAX)?;
    sampling.presence_penalty = fields.number("presence_penalty", -2.0, 2.0)?;
    sampling.frequency_penalty = fields.number("frequency_penalty", -2.0, 2.0)?;
    sampling.seed = match fields.value("seed") {
        None => None,
        Some(seed) => Some(seed.as_i64().ok_or_else(|| fields.wrong("seed", "must be a whole number of 64 bits"))?),
    };
    if let Some(bias) = fields.object("logit_bias")? {
        for (token, bias) in bias.rest() {
            let entry = token.parse().ok().zip(bias.as_f64());
            sampling.logit_bias.push(entry.ok_or_else(|| fields.wrong("logit_bias", "must map token ids to numbers"))?);
        }
    }
    Ok(())
}

fn metadata(fields: &mut Fields) -> Result<Vec<(String, String)>, BadRequest> {
    let Some(metadata) = fields.object("metadata")? else { return Ok(Vec::new()) };
    let pairs = metadata.rest().into_iter().map(|(name, value)| match value {
        Value::String(value) => Ok((name, value)),
        _ => Err(fields.wrong("metadata", "must map names to strings")),
    });
    pairs.collect()
}

// ---- messages ----

fn messages(fields: &mut Fields, blobs: &mut Blobs) -> Result<Vec<Message>, BadRequest> {
    let values = fields.list("messages")?.ok_or_else(|| fields.wrong("messages", "is required and must be a list"))?;
    if values.is_empty() {
        return Err(fields.wrong("messages", "must hold at least one message"));
    }
    let mut messages = Vec::with_capacity(values.len());
    let mut calls = Calls::default();
    for (at, value) in values.into_iter().enumerate() {
        let fields = Fields::of_value(format!("messages[{at}]"), value)?;
        messages.push(message(fields, blobs, &mut calls)?);
    }
    Ok(messages)
}

const ROLES: [(&str, Role); 6] = [
    ("system", Role::System),
    ("developer", Role::Developer),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("tool", Role::Tool),
    ("function", Role::Tool),
];

fn message(mut fields: Fields, blobs: &mut Blobs, calls: &mut Calls) -> Result<Message, BadRequest> {
    let role = fields.word("role", &ROLES)?.ok_or_else(|| fields.wrong("role", "is required"))?;
    let name = fields.string("name")?;
    let content = content(&mut fields, blobs)?;
    let (name, parts) = match role {
        Role::Assistant => (name, assistant_parts(&mut fields, content, calls)?),
        Role::Tool => (None, vec![tool_result(&mut fields, name, content, calls)?]),
        Role::System | Role::Developer | Role::User if content.is_empty() => return Err(fields.wrong("content", "must not be empty")),
        Role::System | Role::Developer | Role::User => (name, content),
    };
    Ok(Message { role, name, parts, extras: native(fields.rest()) })
}

fn content(fields: &mut Fields, blobs: &mut Blobs) -> Result<Vec<Part>, BadRequest> {
    match fields.value("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![part(PartBody::Text(text))]),
        Some(Value::Array(values)) => {
            let path = fields.path("content");
            let parts =
                values.into_iter().enumerate().map(|(at, value)| content_part(Fields::of_value(format!("{path}[{at}]"), value)?, blobs));
            parts.collect()
        }
        Some(_) => Err(fields.wrong("content", "must be a string or a list of parts")),
    }
}

fn content_part(mut fields: Fields, blobs: &mut Blobs) -> Result<Part, BadRequest> {
    let kind = fields.required_string("type")?;
    let body = match kind.as_str() {
        "text" => PartBody::Text(fields.required_string("text")?),
        "refusal" => PartBody::Refusal(fields.required_string("refusal")?),
        "image_url" => PartBody::Image(image(&mut fields, blobs)?),
        "input_audio" => PartBody::Audio(audio(&mut fields, blobs)?),
        "file" => PartBody::Document(file(&mut fields, blobs)?),
        other => return Err(fields.wrong("type", format!("is `{other}`; known are text, refusal, image_url, input_audio and file"))),
    };
    Ok(Part { extras: native(fields.rest()), ..part(body) })
}

fn required_object(fields: &mut Fields, name: &str) -> Result<Fields, BadRequest> {
    fields.object(name)?.ok_or_else(|| fields.wrong(name, "is required and must be an object"))
}

fn image(fields: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let mut image = match fields.value("image_url") {
        // Some clients send the bare URL.
        Some(Value::String(url)) => Fields::of_value(fields.path("image_url"), serde_json::json!({ "url": url }))?,
        Some(value) => Fields::of_value(fields.path("image_url"), value)?,
        None => return Err(fields.wrong("image_url", "is required")),
    };
    let url = image.required_string("url")?;
    let detail = image.string("detail")?;
    let image = media::by_url(url, blobs).map_err(|wrong| image.wrong("url", wrong))?;
    Ok(Media { detail, ..image })
}

fn audio(fields: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let mut audio = required_object(fields, "input_audio")?;
    let data = audio.required_string("data")?;
    let format = audio.required_string("format")?;
    let source = media::by_base64(&data, blobs).map_err(|wrong| audio.wrong("data", wrong))?;
    Ok(media::media(source, Some(format!("audio/{format}"))))
}

fn file(fields: &mut Fields, blobs: &mut Blobs) -> Result<Media, BadRequest> {
    let mut file = required_object(fields, "file")?;
    let name = file.string("filename")?;
    if let Some(id) = file.string("file_id")? {
        let source = MediaSource::File(Native { dialect: DIALECT.to_owned(), value: Value::from(id).to_string() });
        return Ok(Media { name, ..media::media(source, None) });
    }
    let data = file.required_string("file_data")?;
    let document = media::by_data_url(&data, blobs).map_err(|wrong| file.wrong("file_data", wrong))?;
    Ok(Media { name, ..document })
}

fn assistant_parts(fields: &mut Fields, mut parts: Vec<Part>, calls: &mut Calls) -> Result<Vec<Part>, BadRequest> {
    // Another provider's thinking has no replay here, and without one it is left out by the adapters.
    if let Some(thought) = fields.string("reasoning_content")?.filter(|thought| !thought.is_empty()) {
        parts.insert(0, part(PartBody::Thinking(thought)));
    }
    if let Some(refusal) = fields.string("refusal")? {
        parts.push(part(PartBody::Refusal(refusal)));
    }
    let path = fields.path("tool_calls");
    for (at, value) in fields.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
        parts.push(tool_call(Fields::of_value(format!("{path}[{at}]"), value)?, calls)?);
    }
    if let Some(mut call) = fields.object("function_call")? {
        let name = call.required_string("name")?;
        let arguments = call.string("arguments")?.unwrap_or_default();
        let id = format!("call_{}", calls.len());
        calls.add(&id, &name);
        parts.push(part(PartBody::ToolCall(ToolCall { id, name, arguments, free_form: false })));
    }
    Ok(parts)
}

fn tool_call(mut fields: Fields, calls: &mut Calls) -> Result<Part, BadRequest> {
    let id = fields.required_string("id")?;
    let free_form = fields.string("type")?.as_deref() == Some("custom");
    let mut called = required_object(&mut fields, if free_form { "custom" } else { "function" })?;
    let name = called.required_string("name")?;
    let arguments = called.string(if free_form { "input" } else { "arguments" })?.unwrap_or_default();
    calls.add(&id, &name);
    Ok(Part { extras: native(fields.rest()), ..part(PartBody::ToolCall(ToolCall { id, name, arguments, free_form })) })
}

fn tool_result(fields: &mut Fields, name: Option<String>, content: Vec<Part>, calls: &Calls) -> Result<Part, BadRequest> {
    let call_id = match (fields.string("tool_call_id")?, &name) {
        (Some(id), _) => id,
        (None, Some(name)) => {
            calls.last_of(name).map(str::to_owned).ok_or_else(|| fields.wrong("name", format!("answers no call of `{name}` above")))?
        }
        (None, None) => return Err(fields.wrong("tool_call_id", "is required")),
    };
    let name = name.or_else(|| calls.name_of(&call_id).map(str::to_owned)).unwrap_or_default();
    let content = content.into_iter().map(|part| match part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => Ok(ToolResultPart::Text(text)),
        PartBody::Image(media) => Ok(ToolResultPart::Image(media)),
        PartBody::Audio(media) => Ok(ToolResultPart::Audio(media)),
        PartBody::Document(media) => Ok(ToolResultPart::Document(media)),
        _ => Err(fields.wrong("content", "has a part that no tool result can have")),
    });
    let content = content.collect::<Result<Vec<_>, _>>()?;
    Ok(part(PartBody::ToolResult(ToolResult { call_id, name, content, is_error: false })))
}

// ---- tools and formats ----

fn tools(fields: &mut Fields, request: &mut ChatRequest) -> Result<(), BadRequest> {
    let path = fields.path("tools");
    for (at, value) in fields.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(tool(format!("{path}[{at}]"), value)?);
    }
    let path = fields.path("functions");
    for (at, value) in fields.list("functions")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(Tool::Function(function(Fields::of_value(format!("{path}[{at}]"), value)?, Vec::new())?));
    }
    request.parallel_tool_calls = fields.bool("parallel_tool_calls")?;
    request.tool_choice = match fields.value("tool_choice") {
        Some(choice) => Some(tool_choice(choice).ok_or_else(|| {
            fields.wrong("tool_choice", "must be none, auto, required, or an object that names a function, a custom tool or allowed_tools")
        })?),
        None => match fields.value("function_call") {
            Some(choice) => Some(tool_choice(choice).ok_or_else(|| fields.wrong("function_call", "must be none, auto, or {\"name\": …}"))?),
            None => None,
        },
    };
    Ok(())
}

fn tool(path: String, value: Value) -> Result<Tool, BadRequest> {
    let mut fields = Fields::of_value(path, value)?;
    match fields.required_string("type")?.as_str() {
        "function" => {
            let inner = required_object(&mut fields, "function")?;
            Ok(Tool::Function(function(inner, native(fields.rest()))?))
        }
        "custom" => Ok(Tool::Custom(custom(required_object(&mut fields, "custom")?)?)),
        other => {
            let mut whole = fields.rest();
            whole.insert("type".to_owned(), Value::from(other));
            Ok(Tool::Other(Native { dialect: DIALECT.to_owned(), value: Value::Object(whole).to_string() }))
        }
    }
}

fn function(mut fields: Fields, extras: Vec<Native>) -> Result<FunctionTool, BadRequest> {
    Ok(FunctionTool {
        name: fields.required_string("name")?,
        description: fields.string("description")?,
        parameters: fields.object("parameters")?.map(|schema| Value::Object(schema.rest()).to_string()),
        strict: fields.bool("strict")?,
        cache: None,
        extras,
    })
}

fn custom(mut fields: Fields) -> Result<CustomTool, BadRequest> {
    let (name, description) = (fields.required_string("name")?, fields.string("description")?);
    let mut grammar = None;
    if let Some(mut format) = fields.object("format")?
        && format.string("type")?.as_deref() == Some("grammar")
    {
        let mut told = required_object(&mut format, "grammar")?;
        grammar = Some(Grammar { syntax: told.required_string("syntax")?, definition: told.required_string("definition")? });
    }
    Ok(CustomTool { name, description, grammar, extras: native(fields.rest()) })
}

fn tool_choice(value: Value) -> Option<ToolChoice> {
    let choice = |mode, only| Some(ToolChoice { mode, only });
    let name_of = |object: &Value| object["name"].as_str().map(str::to_owned);
    match value.as_str() {
        Some("none") => return choice(ToolMode::None, Vec::new()),
        Some("auto") => return choice(ToolMode::Auto, Vec::new()),
        Some("required") => return choice(ToolMode::Required, Vec::new()),
        Some(_) => return None,
        None => {}
    }
    match value["type"].as_str() {
        Some("function") => choice(ToolMode::Required, vec![name_of(&value["function"])?]),
        Some("custom") => choice(ToolMode::Required, vec![name_of(&value["custom"])?]),
        Some("allowed_tools") => {
            let allowed = &value["allowed_tools"];
            let mode = if allowed["mode"] == "required" { ToolMode::Required } else { ToolMode::Auto };
            let names = allowed["tools"].as_array()?.iter().map(|tool| name_of(&tool["function"]).or_else(|| name_of(&tool["custom"])));
            choice(mode, names.collect::<Option<Vec<_>>>()?)
        }
        Some(_) => None,
        None => choice(ToolMode::Required, vec![name_of(&value)?]),
    }
}

fn response_format(fields: &mut Fields) -> Result<Option<ResponseFormat>, BadRequest> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(None) };
    match format.required_string("type")?.as_str() {
        "text" => Ok(Some(ResponseFormat::Text)),
        "json_object" => Ok(Some(ResponseFormat::JsonObject)),
        "json_schema" => {
            let mut schema = required_object(&mut format, "json_schema")?;
            Ok(Some(ResponseFormat::JsonSchema(JsonSchema {
                name: schema.required_string("name")?,
                description: schema.string("description")?,
                schema: Value::Object(required_object(&mut schema, "schema")?.rest()).to_string(),
                strict: schema.bool("strict")?,
            })))
        }
        _ => Err(format.wrong("type", "must be text, json_object or json_schema")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn parsed(body: Value) -> Parsed {
        parse(body.to_string().as_bytes()).unwrap()
    }

    fn wrong_field(body: Value) -> String {
        parse(body.to_string().as_bytes()).unwrap_err().param.unwrap()
    }

    #[test]
    fn parameters_find_their_canonical_place() {
        let call = parsed(json!({
            "model": "openai/gpt-5.4", "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
            "max_tokens": 5, "max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": -3, "stop": "END", "n": 2, "logprobs": true,
            "reasoning_effort": "xhigh", "user": "u", "metadata": {"a": "b"}, "stream": true, "stream_options": {"include_usage": true},
            "response_format": {"type": "json_object"}, "logit_bias": {"50": -100}, "service_tier": "flex"
        }));
        assert_eq!(call.target, Target::Name("openai/gpt-5.4".into()));
        let request = call.request;
        assert_eq!(
            (
                request.max_output,
                request.choices,
                request.logprobs,
                request.stream,
                matches!(call.form, Form::Chat(ChatForm { include_usage: true }))
            ),
            (Some(7), Some(2), Some(0), true, true)
        );
        assert_eq!(
            (request.sampling.temperature, request.sampling.seed, request.sampling.logit_bias),
            (Some(0.5), Some(-3), vec![(50, -100.0)])
        );
        assert_eq!((request.stop, request.user), (vec!["END".to_owned()], Some("u".to_owned())));
        assert_eq!(request.reasoning.unwrap().effort, Some(Effort::ExtraHigh));
        assert_eq!(request.extras[0].value, r#"{"service_tier":"flex"}"#);
        assert_eq!(request.messages[1].parts, [part(PartBody::Text("Hi".into()))]);
    }

    #[test]
    fn a_tool_result_gets_the_name_of_its_call() {
        let call = parsed(json!({"model": "m", "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "4 C"}
        ]}));
        let PartBody::ToolResult(result) = &call.request.messages[2].parts[0].body else { unreachable!() };
        assert_eq!((result.name.as_str(), result.content.as_slice()), ("weather", [ToolResultPart::Text("4 C".into())].as_slice()));
    }

    #[test]
    fn media_becomes_a_blob() {
        let call = parsed(json!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
        ]}]}));
        let PartBody::Image(image) = &call.request.messages[0].parts[0].body else { unreachable!() };
        assert_eq!(image.media_type.as_deref(), Some("image/png"));
        assert_eq!(call.blobs.get(0).unwrap().as_ref(), b"\x89PNG");
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let user = json!([{"role": "user", "content": "x"}]);
        for (body, field) in [
            (json!({"model": "m"}), "messages"),
            (json!({"model": "m", "messages": []}), "messages"),
            (json!({"model": "", "messages": user}), "model"),
            (json!({"model": "m", "messages": [{"role": "robot", "content": "x"}]}), "messages[0].role"),
            (json!({"model": "m", "messages": [{"role": "user", "content": ""}]}), "messages[0].content"),
            (json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "video"}]}]}), "messages[0].content[0].type"),
            (
                json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]}),
                "messages[0].content[0].image_url.url",
            ),
            (json!({"model": "m", "messages": user, "temperature": "hot"}), "temperature"),
            (json!({"model": "m", "messages": user, "stream_options": {}}), "stream_options"),
            (json!({"model": "m", "messages": user, "tools": [{"type": "function"}]}), "tools[0].function"),
            (json!({"model": "m", "messages": user, "response_format": {"type": "xml"}}), "response_format.type"),
        ] {
            assert_eq!(wrong_field(body.clone()), field, "{body}");
        }
    }
}
