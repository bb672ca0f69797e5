//! Tools and the choice among them.
//!
//! Claude has no custom tools (free text as argument): one is sent as a function with a single text argument, and its calls are read back as
//! free text. [`CustomTools`] remembers which they are, from `encode` to the answer. A choice that the model refuses to be forced into
//! becomes an instruction.

use crate::draft::Draft;
use crate::families::ForcedTools;
use crate::format;
use crate::messages::At;
use crate::roots;
use crate::thinking::Mode;
use crate::wire::{Content, Fields, FunctionTool, Tool, ToolChoice};
use crate::{DIALECT, raw};
use llm_gateway_adapter::schema;
use llm_gateway_adapter::serde_json::value::{RawValue, to_raw_value};
use llm_gateway_adapter::serde_json::{self, Value};
use llm_gateway_adapter::types::{self, ChatRequest, CustomTool, Failure, ToolMode};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const NO_ARGUMENTS: &str = r#"{"type":"object","properties":{}}"#;
const FREE_TEXT: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;
const UNFORCED: &str = "this model can't be forced to call a tool; it was instructed to";
const MAX_NAME_BYTES: usize = 128;
/// Fields that the adapter writes itself.
const TAKEN: [&str; 5] = ["name", "description", "input_schema", "strict", "cache_control"];

/// # Errors
/// `unsupported` for another dialect's own tools, `invalid-request` for a schema that is no JSON.
pub fn translate<'a>(request: &'a ChatRequest, draft: &mut Draft) -> Result<Vec<Tool<'a>>, Failure> {
    let only = request.tool_choice.as_ref().map(|choice| choice.only.as_slice()).unwrap_or_default();
    let offered = |name: &String| only.is_empty() || only.contains(name);
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        match tool {
            types::Tool::Function(tool) if offered(&tool.name) => tools.push(function(tool, index, draft)?),
            types::Tool::Custom(tool) if offered(&tool.name) => tools.push(custom(tool, index, draft)?),
            // Claude knows no list of those that may be called: they are all that it gets to see.
            types::Tool::Function(_) | types::Tool::Custom(_) => {}
            types::Tool::Other(native) if native.dialect == DIALECT => {
                tools.push(Tool::Native(raw(&native.value, &format!("tools[{index}]"))?));
            }
            types::Tool::Other(_) => {
                return Err(Failure::unsupported(&format!("tools[{index}]"), "Claude has no such tool"));
            }
        }
    }
    Ok(tools)
}

fn function<'a>(tool: &'a types::FunctionTool, index: usize, draft: &mut Draft) -> Result<Tool<'a>, Failure> {
    check_name(&tool.name, index)?;
    let (input_schema, strict) = input_schema(tool, index, draft)?;
    Ok(Tool::Function(FunctionTool {
        name: &tool.name,
        description: tool.description.as_deref().map(Cow::Borrowed),
        input_schema,
        strict,
        cache_control: draft.cache_control(tool.cache.as_ref(), format_args!("tools[{index}]")),
        extras: draft.own_fields(&tool.extras, &TAKEN, format_args!("tools[{index}].extras")),
    }))
}

fn check_name(name: &str, index: usize) -> Result<(), Failure> {
    let valid = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_name_byte);
    if valid {
        return Ok(());
    }
    Err(Failure::unsupported(&format!("tools[{index}].name"), "Claude takes tool names of 1 to 128 letters, digits, `_` and `-`"))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The schema, and whether the model can be held to it.
fn input_schema<'a>(tool: &'a types::FunctionTool, index: usize, draft: &mut Draft) -> Result<(Cow<'a, RawValue>, bool), Failure> {
    let text = match tool.parameters.as_deref().map(str::trim) {
        None | Some("" | "{}" | "null") => NO_ARGUMENTS,
        Some(text) => text,
    };
    let path = format!("tools[{index}].parameters");
    let schema = roots::object_at_root(schema::read(text, &path)?, &path, draft)?;
    if tool.strict != Some(true) {
        return Ok((schema, false));
    }
    let mut closed: Value = serde_json::from_str(schema.get()).unwrap_or_default();
    let mut bounds = Vec::new();
    let can_be_held =
        draft.family.structured_outputs && !schema::is_recursive(&closed) && format::close(&mut closed, &path, &mut bounds).is_ok();
    match to_raw_value(&closed) {
        Ok(closed) if can_be_held => {
            format::report(bounds, draft);
            Ok((Cow::Owned(closed), true))
        }
        _ => {
            draft.drop(format_args!("tools[{index}].strict"), "this model can't be held to that schema");
            Ok((schema, false))
        }
    }
}

fn custom<'a>(tool: &'a CustomTool, index: usize, draft: &mut Draft) -> Result<Tool<'a>, Failure> {
    check_name(&tool.name, index)?;
    let mut description = tool.description.as_deref().map_or(Cow::Borrowed(""), Cow::Borrowed);
    if let Some(grammar) = &tool.grammar {
        draft.drop(format_args!("tools[{index}].grammar"), "Claude can't be held to a grammar; it stands in the description");
        let words = format!("\n\n`input` must follow this {} grammar:\n{}", grammar.syntax, grammar.definition);
        description.to_mut().push_str(&words);
    }
    Ok(Tool::Function(FunctionTool {
        name: &tool.name,
        description: Some(description).filter(|words| !words.is_empty()),
        input_schema: Cow::Borrowed(raw(FREE_TEXT, "tools")?),
        strict: false,
        cache_control: None,
        extras: draft.own_fields(&tool.extras, &TAKEN, format_args!("tools[{index}].extras")),
    }))
}

pub fn choice<'a>(request: &'a ChatRequest, tools: &[Tool], mode: Mode, draft: &mut Draft) -> Option<ToolChoice<'a>> {
    if tools.is_empty() {
        // A choice without tools is a 400.
        if request.tool_choice.as_ref().is_some_and(|choice| choice.mode == ToolMode::Required) {
            draft.drop("tool-choice", "there are no tools to choose from");
        }
        return None;
    }
    let disable_parallel_tool_use = request.parallel_tool_calls == Some(false);
    let auto = ToolChoice::Auto { disable_parallel_tool_use };
    let Some(asked) = &request.tool_choice else {
        return disable_parallel_tool_use.then_some(auto);
    };
    let forced = match (asked.mode, asked.only.as_slice()) {
        (ToolMode::None, _) => return Some(ToolChoice::None),
        (ToolMode::Auto, _) => return Some(auto),
        (ToolMode::Required, [name]) => ToolChoice::Tool { name, disable_parallel_tool_use },
        (ToolMode::Required, _) => ToolChoice::Any { disable_parallel_tool_use },
    };
    if may_force(mode, draft) {
        return Some(forced);
    }
    draft.drop("tool-choice", UNFORCED);
    draft.instructions.push(instruction(if let ToolChoice::Tool { name, .. } = forced { Some(name) } else { None }));
    Some(auto)
}

/// What the caller's own `tool_choice` does, which stands over the canonical one: it may name a tool that the provider runs itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnChoice {
    Unsaid,
    Stands,
    /// The model can't be forced: it became an instruction.
    Refused,
}

pub fn own_choice(extras: &mut Fields, mode: Mode, draft: &mut Draft) -> OwnChoice {
    let Some(own) = extras.get("tool_choice") else { return OwnChoice::Unsaid };
    let forced = matches!(own["type"].as_str(), Some("any" | "tool"));
    if !forced || may_force(mode, draft) {
        return OwnChoice::Stands;
    }
    let instruction = instruction(own["name"].as_str());
    draft.drop("extras.tool_choice", UNFORCED);
    draft.instructions.push(instruction);
    extras.shift_remove("tool_choice");
    OwnChoice::Refused
}

fn instruction(name: Option<&str>) -> String {
    match name {
        Some(name) => format!("Call the tool `{name}`; do not answer without calling it."),
        None => "Call one of the tools; do not answer without calling one.".to_owned(),
    }
}

fn may_force(mode: Mode, draft: &Draft) -> bool {
    match draft.family.forced_tools {
        ForcedTools::Taken => true,
        ForcedTools::NotWithThinkingBudget => mode != Mode::Budget,
        ForcedTools::Refused => false,
    }
}

/// A call of an earlier turn. Its arguments must be an object here: other text is wrapped in one.
///
/// # Errors
/// When the wrapped text can't be written as JSON.
pub fn tool_use<'a>(call: &'a types::ToolCall, at: At, draft: &mut Draft) -> Result<Content<'a>, Failure> {
    let text = call.arguments.trim();
    let object = match serde_json::from_str::<&RawValue>(if text.is_empty() { "{}" } else { text }) {
        Ok(json) if !call.free_form && json.get().starts_with('{') => Some(Cow::Borrowed(json)),
        _ => None,
    };
    let input = match object {
        Some(object) => object,
        None => {
            if !call.free_form {
                draft.drop(format_args!("{at}.arguments"), "Claude takes a JSON object; the text was sent as one");
            }
            let text = FreeText { input: Cow::Borrowed(&call.arguments) };
            Cow::Owned(to_raw_value(&text).map_err(|_| Failure::invalid(Some(&at.to_string()), "the arguments can't be written as JSON"))?)
        }
    };
    Ok(Content::ToolUse { id: tool_use_id(&call.id), name: &call.name, input })
}

/// Ids are letters, digits, `_` and `-`. Another provider's are replaced by one made of their hash, in call and result alike.
pub fn tool_use_id(id: &str) -> Cow<'_, str> {
    if !id.is_empty() && id.bytes().all(is_name_byte) {
        return Cow::Borrowed(id);
    }
    // FNV-1a.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Cow::Owned(format!("call_{hash:016x}"))
}

/// The argument of a custom tool, as the function that stands for it has it.
#[derive(Debug, Serialize, Deserialize)]
struct FreeText<'a> {
    #[serde(borrow)]
    input: Cow<'a, str>,
}

/// The custom tools of a request, by name. Travels as the request's `context`: a JSON array, or nothing.
#[derive(Debug, Default)]
pub struct CustomTools(Vec<String>);

impl CustomTools {
    pub fn read(context: &str) -> Self {
        Self(serde_json::from_str(context).unwrap_or_default())
    }

    pub fn context(request: &ChatRequest) -> String {
        let names: Vec<&str> = request
            .tools
            .iter()
            .filter_map(|tool| if let types::Tool::Custom(tool) = tool { Some(tool.name.as_str()) } else { None })
            .collect();
        if names.is_empty() { String::new() } else { serde_json::to_string(&names).unwrap_or_default() }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|custom| custom == name)
    }
}

/// What a call of a custom tool says. Input that is not of the shape asked for is given as it is.
pub fn free_text(input: &str) -> String {
    serde_json::from_str::<FreeText>(input).map_or_else(|_| input.to_owned(), |text| text.input.into_owned())
}
