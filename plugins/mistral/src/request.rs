//! A chat request as the HTTP request that Mistral expects.
//!
//! Owns the parameters, the tools and the output format. The conversation is in `messages`, what differs between models in `families`.

use crate::chunks::Workshop;
use crate::custom::{self, CustomTools};
use crate::families::{self, Thinking};
use crate::messages;
use crate::report::{DIALECT, Report, object};
use crate::settings::Schema;
use crate::wire::{ChatCompletionRequest, Extended, Function, FunctionName, JsonSchema, ResponseFormat, Tool, ToolChoice};
use llm_gateway_adapter::body::json_headers;
use llm_gateway_adapter::schema as json_schema;
use llm_gateway_adapter::types::{
    self, ChatRequest, Effort, Failure, Framing, FunctionTool, HttpMethod, HttpRequest, Native, Reasoning, ToolMode,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// `parameters` is required, also of a function that takes none.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Fields that the gateway itself depends on.
const RESERVED: [&str; 3] = ["model", "messages", "stream"];

pub fn encode(request: &ChatRequest) -> Result<HttpRequest, Failure> {
    let mut workshop = Workshop::default();
    let body = body(request, &mut workshop)?;
    let extras = extra_fields(&request.extras, &mut workshop.report)?;
    Ok(HttpRequest {
        method: HttpMethod::Post,
        path: "/chat/completions".to_owned(),
        query: Vec::new(),
        headers: json_headers(),
        body: workshop.media.segments(&Extended::new(body, extras))?,
        framing: if request.stream { Framing::Sse } else { Framing::Whole },
        dropped: workshop.report.into_dropped(),
        context: CustomTools::of(&request.tools).to_context(),
        extras: Vec::new(),
    })
}

fn body<'a>(request: &'a ChatRequest, workshop: &mut Workshop) -> Result<ChatCompletionRequest<'a>, Failure> {
    let schema = Schema::of(&request.settings)?;
    let mut messages = messages::conversation(request, workshop)?;
    let response_format = response_format(request)?;
    if matches!(response_format, Some(ResponseFormat::JsonObject)) {
        messages::ask_for_json(request, &mut messages);
    }
    let report = &mut workshop.report;
    report_untaken(request, report);
    let tools = tools(request, report)?;
    let (reasoning_effort, prompt_mode) = reasoning(request, report);
    let logprobs = schema.extension(request.logprobs, "logprobs", report);
    let sampling = &request.sampling;
    Ok(ChatCompletionRequest {
        model: &request.model,
        messages,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: schema.extension(sampling.top_k, "sampling.top-k", report),
        max_tokens: request.max_output,
        stop: &request.stop,
        // The schema has no negative seeds.
        random_seed: sampling.seed.map(i64::saturating_abs),
        metadata: &request.metadata,
        response_format,
        tool_choice: tool_choice(request)?,
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| !tools.is_empty()),
        tools,
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        n: request.choices,
        logprobs: logprobs.map(|_| true),
        top_logprobs: logprobs.filter(|alternatives| *alternatives > 0),
        reasoning_effort,
        prompt_mode,
        stream: request.stream,
    })
}

fn report_untaken(request: &ChatRequest, report: &mut Report) {
    if !request.sampling.logit_bias.is_empty() {
        report.add("sampling.logit-bias", "Mistral has no such field");
    }
    if request.user.is_some() {
        report.add("user", "Mistral has no such field");
    }
}

fn response_format(request: &ChatRequest) -> Result<Option<ResponseFormat<'_>>, Failure> {
    let format = match request.response_format.as_ref() {
        None | Some(types::ResponseFormat::Text) => return Ok(None),
        Some(types::ResponseFormat::JsonObject) => ResponseFormat::JsonObject,
        Some(types::ResponseFormat::JsonSchema(schema)) => ResponseFormat::JsonSchema {
            json_schema: JsonSchema {
                name: &schema.name,
                description: schema.description.as_deref(),
                schema: json_schema::read(&schema.schema, "response-format.schema")?,
                strict: schema.strict,
            },
        },
        Some(types::ResponseFormat::Other(native)) if native.dialect == DIALECT => {
            ResponseFormat::Native(raw(&native.value, "response-format")?)
        }
        Some(types::ResponseFormat::Other(native)) => {
            return Err(Failure::unsupported("response-format", format!("Mistral has no counterpart of this `{}` format", native.dialect)));
        }
    };
    Ok(Some(format))
}

fn raw<'a>(json: &'a str, path: &str) -> Result<&'a RawValue, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::invalid(Some(path), format!("this is not JSON: {error}")))
}

// ---- tools ---------------------------------------------------------------------------------------------------------

fn tools<'a>(request: &'a ChatRequest, report: &mut Report) -> Result<Vec<Extended<Tool<'a>>>, Failure> {
    let allowed = allowed_names(request);
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        match tool {
            types::Tool::Function(function) if allowed.is_none_or(|names| names.contains(&function.name)) => {
                tools.push(function_tool(function, index, report)?);
            }
            types::Tool::Custom(custom) if allowed.is_none_or(|names| names.contains(&custom.name)) => {
                tools.push(custom_tool(custom, index, report)?);
            }
            types::Tool::Function(_) | types::Tool::Custom(_) => {}
            types::Tool::Other(native) => tools.push(Extended::Plain(native_tool(native, index)?)),
        }
    }
    Ok(tools)
}

/// Mistral can't be told to choose among some of the tools, so only those are sent. One alone can be named.
fn allowed_names(request: &ChatRequest) -> Option<&[String]> {
    let choice = request.tool_choice.as_ref()?;
    let named = matches!((choice.mode, choice.only.len()), (ToolMode::Required, 1));
    (!named && !choice.only.is_empty() && choice.mode != ToolMode::None).then_some(choice.only.as_slice())
}

fn function_tool<'a>(tool: &'a FunctionTool, index: usize, report: &mut Report) -> Result<Extended<Tool<'a>>, Failure> {
    if tool.cache.is_some() {
        report.add(format!("tools[{index}].cache"), "Mistral caches by `prompt_cache_key` alone");
    }
    let parameters = match &tool.parameters {
        Some(schema) => json_schema::read(schema, &format!("tools[{index}].parameters"))?,
        None => raw(NO_PARAMETERS, "tools")?,
    };
    let description = tool.description.as_deref().map(Cow::Borrowed);
    let function = Function { name: &tool.name, description, strict: tool.strict, parameters };
    let extras = report.own_fields(&tool.extras, || format!("tools[{index}].extras"))?;
    Ok(Extended::new(Tool::Function { r#type: "function", function }, extras))
}

fn custom_tool<'a>(tool: &'a types::CustomTool, index: usize, report: &mut Report) -> Result<Extended<Tool<'a>>, Failure> {
    if tool.grammar.is_some() {
        report.add(format!("tools[{index}].grammar"), "Mistral does not enforce grammars; it stands in the description");
    }
    let description = custom::description(tool).map(Cow::Owned);
    let function = Function { name: &tool.name, description, strict: None, parameters: raw(custom::PARAMETERS, "tools")? };
    let extras = report.own_fields(&tool.extras, || format!("tools[{index}].extras"))?;
    Ok(Extended::new(Tool::Function { r#type: "function", function }, extras))
}

fn native_tool(native: &Native, index: usize) -> Result<Tool<'_>, Failure> {
    let path = format!("tools[{index}]");
    if native.dialect != DIALECT {
        return Err(Failure::unsupported(&path, format!("Mistral has no counterpart of this `{}` tool", native.dialect)));
    }
    raw(&native.value, &path).map(Tool::Native)
}

fn tool_choice(request: &ChatRequest) -> Result<Option<ToolChoice<'_>>, Failure> {
    let Some(choice) = &request.tool_choice else { return Ok(None) };
    if let Some(unknown) = choice.only.iter().find(|name| !offers(request, name)) {
        return Err(Failure::invalid(Some("tool-choice.only"), format!("there is no tool `{unknown}`")));
    }
    Ok(match (choice.mode, choice.only.as_slice()) {
        (ToolMode::Auto | ToolMode::None, _) if request.tools.is_empty() => None,
        (ToolMode::Auto, _) => Some(ToolChoice::Mode("auto")),
        (ToolMode::None, _) => Some(ToolChoice::Mode("none")),
        (ToolMode::Required, _) if request.tools.is_empty() => {
            return Err(Failure::invalid(Some("tool-choice"), "a tool is required, but there are none"));
        }
        (ToolMode::Required, [name]) => Some(ToolChoice::Function { r#type: "function", function: FunctionName { name } }),
        (ToolMode::Required, _) => Some(ToolChoice::Mode("any")),
    })
}

fn offers(request: &ChatRequest, name: &str) -> bool {
    request.tools.iter().any(|tool| match tool {
        types::Tool::Function(function) => function.name == name,
        types::Tool::Custom(custom) => custom.name == name,
        types::Tool::Other(_) => false,
    })
}

// ---- reasoning -----------------------------------------------------------------------------------------------------

/// `reasoning_effort` and `prompt_mode`.
fn reasoning(request: &ChatRequest, report: &mut Report) -> (Option<&'static str>, Option<&'static str>) {
    let Some(reasoning) = &request.reasoning else { return (None, None) };
    if reasoning.visible == Some(false) {
        report.add("reasoning.visible", "Mistral always shows its thinking");
    }
    let thinking = Thinking::of(&request.model);
    let Some((field, wanted)) = wanted_effort(reasoning, thinking) else { return (None, None) };
    match thinking.nearest(wanted) {
        Some(effort) => {
            if effort != wanted || field == "reasoning.budget" && wanted != Effort::None {
                report.add(field, format!("sent as the effort `{}`", families::effort_word(effort)));
            }
            (Some(families::effort_word(effort)), None)
        }
        None if thinking == Thinking::Always => (None, always_thinking(field, wanted, report)),
        None => {
            if wanted != Effort::None {
                report.add(field, "this model does not reason");
            }
            (None, None)
        }
    }
}

fn always_thinking(field: &str, wanted: Effort, report: &mut Report) -> Option<&'static str> {
    if wanted == Effort::None {
        report.add(field, "this model always reasons");
        return None;
    }
    if field != "reasoning.enabled" {
        report.add(field, "this model reasons to its own measure");
    }
    Some("reasoning")
}

/// The effort that the caller's words come to, and which of them it was.
fn wanted_effort(reasoning: &Reasoning, thinking: Thinking) -> Option<(&'static str, Effort)> {
    if reasoning.enabled == Some(false) {
        return Some(("reasoning.enabled", Effort::None));
    }
    if let Some(effort) = reasoning.effort {
        return Some(("reasoning.effort", effort));
    }
    if let Some(tokens) = reasoning.budget {
        return Some(("reasoning.budget", families::effort_of_budget(tokens)));
    }
    // A graded model thinks anyway, and then chooses how much itself.
    (reasoning.enabled == Some(true) && thinking != Thinking::Graded).then_some(("reasoning.enabled", Effort::High))
}

// ---- extras --------------------------------------------------------------------------------------------------------

/// The caller's further fields: Mistral's own as they are, and of other dialects those that mean the same here.
fn extra_fields(extras: &[Native], report: &mut Report) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    for native in extras {
        let Some(meaning) = Meaning::in_dialect(&native.dialect) else { continue };
        for (name, value) in object(native, || "extras".to_owned())? {
            match meaning(&name, &value) {
                Meaning::Same => {
                    fields.insert(name, value);
                }
                Meaning::Moot => {}
                Meaning::None(reason) => report.add(format!("extras.{name}"), reason),
            }
        }
    }
    Ok(fields)
}

/// What a field of some dialect means to Mistral.
enum Meaning {
    Same,
    /// It asks for what Mistral does anyway.
    Moot,
    None(&'static str),
}

impl Meaning {
    /// Absent for fields of later versions of the contract, which are not for us.
    fn in_dialect(dialect: &str) -> Option<fn(&str, &Value) -> Self> {
        match dialect {
            "llm-gateway" => None,
            DIALECT => Some(Self::at_home),
            "openai-chat" | "openai-responses" => Some(Self::at_openai),
            _ => Some(|_, _| Self::None("Mistral has no such field")),
        }
    }

    fn at_home(name: &str, _: &Value) -> Self {
        if RESERVED.contains(&name) { Self::None("the gateway sets this field itself") } else { Self::Same }
    }

    fn at_openai(name: &str, value: &Value) -> Self {
        match (name, value) {
            ("service_tier", Value::String(tier)) if matches!(tier.as_str(), "auto" | "default") => Self::Moot,
            ("service_tier" | "prompt_cache_key", Value::String(_)) => Self::Same,
            ("prediction", prediction) if prediction["content"].is_string() => Self::Same,
            // Usage always comes, and nothing is stored.
            ("stream_options", _) | ("store", Value::Bool(false)) => Self::Moot,
            _ => Self::None("Mistral has no such field"),
        }
    }
}
