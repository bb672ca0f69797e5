//! What `:generateContent` refuses, beyond unknown fields.

use super::invalid;
use super::models::Model;
use crate::simulate::prompt::{is_set, list_at, str_at};
use crate::simulate::seal::Bound;
use crate::simulate::wire::Problem;
use serde_json::Value;

/// Stands in for the signature of a call that another provider made.
const SKIP_VALIDATION: &str = "skip_thought_signature_validator";
const MAX_STOPS: usize = 5;
const MAX_FUNCTIONS: usize = 512;
const MAX_NAME_BYTES: usize = 128;

pub(super) fn check(model: Model<'_>, request: &Value) -> Result<(), Problem> {
    let contents = list_at(request, "contents");
    if contents.is_empty() {
        return Err(invalid("* GenerateContentRequest.contents: contents is not specified\n"));
    }
    contents.iter().enumerate().try_for_each(|(index, content)| check_content(index, content))?;
    check_turns(contents)?;
    check_signatures(model, contents)?;
    check_tools(request)?;
    check_config(model, request.get("generationConfig").unwrap_or(&Value::Null))?;
    if is_set(request, "cachedContent") && ["systemInstruction", "tools", "toolConfig"].iter().any(|field| is_set(request, field)) {
        return Err(invalid(
            "CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config.",
        ));
    }
    Ok(())
}

fn check_content(index: usize, content: &Value) -> Result<(), Problem> {
    if !matches!(str_at(content, "role"), "" | "user" | "model") {
        return Err(invalid("Please use a valid role: user, model."));
    }
    let parts = list_at(content, "parts");
    if parts.is_empty() {
        return Err(invalid(format!("* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.\n")));
    }
    parts.iter().enumerate().try_for_each(|(part_index, part)| check_part(part, &format!("contents[{index}].parts[{part_index}]")))
}

fn check_part(part: &Value, place: &str) -> Result<(), Problem> {
    const DATA: [&str; 9] = [
        "text",
        "inlineData",
        "fileData",
        "functionCall",
        "functionResponse",
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
    ];
    let kinds = DATA.iter().filter(|kind| is_set(part, kind)).count();
    if kinds == 0 {
        let message = format!("* GenerateContentRequest.{place}.data: required oneof field 'data' must have one initialized field\n");
        return Err(invalid(message));
    }
    if kinds > 1 {
        return Err(invalid(format!("Invalid value at '{place}' (oneof), oneof field 'data' is already set.")));
    }
    if let Some(call) = part.get("functionCall") {
        check_function(call, "args", &format!("{place}.function_call"))?;
    }
    if let Some(response) = part.get("functionResponse") {
        check_function(response, "response", &format!("{place}.function_response"))?;
        if !is_set(response, "response") {
            return Err(invalid(format!("* GenerateContentRequest.{place}.function_response.response: response must be specified.\n")));
        }
    }
    Ok(())
}

fn check_function(function: &Value, payload: &str, place: &str) -> Result<(), Problem> {
    if str_at(function, "name").is_empty() {
        return Err(invalid(format!("* GenerateContentRequest.{place}.name: Name cannot be empty.\n")));
    }
    match function.get(payload) {
        None | Some(Value::Null | Value::Object(_)) => Ok(()),
        Some(other) => Err(invalid(format!("Invalid value at '{place}.{payload}' (type.googleapis.com/google.protobuf.Struct), {other}"))),
    }
}

fn count(content: &Value, kind: &str) -> usize {
    list_at(content, "parts").iter().filter(|part| is_set(part, kind)).count()
}

/// Calls come after the user, and each is answered in the next turn.
fn check_turns(contents: &[Value]) -> Result<(), Problem> {
    let mut previous: Option<&Value> = None;
    for content in contents {
        let calls = count(content, "functionCall");
        let answers = count(content, "functionResponse");
        if calls > 0 && previous.is_none_or(|previous| str_at(previous, "role") == "model") {
            return Err(invalid(
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
            ));
        }
        let asked = previous.map_or(0, |previous| count(previous, "functionCall"));
        if asked != answers {
            return Err(invalid(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
            ));
        }
        previous = Some(content);
    }
    Ok(())
}

fn check_signatures(model: Model<'_>, contents: &[Value]) -> Result<(), Problem> {
    if !model.signs() {
        return Ok(());
    }
    let spoken = |content: &Value| str_at(content, "role") != "model" && count(content, "functionResponse") == 0;
    let current_turn = contents.iter().rposition(spoken).unwrap_or(0);
    for (index, content) in contents.iter().enumerate().filter(|(_, content)| str_at(content, "role") == "model") {
        let mut first_call = true;
        for part in list_at(content, "parts") {
            let signature = str_at(part, "thoughtSignature");
            let is_call = is_set(part, "functionCall");
            if is_call && first_call && signature.is_empty() && index > current_turn {
                let message = format!(
                    "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:{}` , position {}. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
                    part.pointer("/functionCall/name").and_then(Value::as_str).unwrap_or_default(),
                    index + 1,
                );
                return Err(invalid(message));
            }
            first_call &= !is_call;
            check_signature(model, part, signature)?;
        }
    }
    Ok(())
}

fn check_signature(model: Model<'_>, part: &Value, signature: &str) -> Result<(), Problem> {
    let accepted = signature.is_empty() || signature == SKIP_VALIDATION || Bound(&bound(model.name, part)).holds_as_proto_bytes(signature);
    if accepted { Ok(()) } else { Err(invalid("Corrupted thought signature.")) }
}

/// What a part's signature is bound to: the model, and the name of a call. Not the text, which a client may have joined from many pieces.
pub(super) fn bound<'a>(model: &'a str, part: &'a Value) -> [&'a str; 3] {
    let subject = part.pointer("/functionCall/name").and_then(Value::as_str);
    ["gemini", model, subject.unwrap_or("text")]
}

fn check_tools(request: &Value) -> Result<(), Problem> {
    let functions: Vec<_> = list_at(request, "tools").iter().flat_map(|tool| list_at(tool, "functionDeclarations")).collect();
    if functions.len() > MAX_FUNCTIONS {
        return Err(invalid(format!("* GenerateContentRequest.tools: at most {MAX_FUNCTIONS} function declarations are supported.\n")));
    }
    for (index, function) in functions.iter().enumerate() {
        let place = format!("GenerateContentRequest.tools[0].function_declarations[{index}]");
        if !valid_name(str_at(function, "name")) {
            return Err(invalid(format!(
                "* {place}.name: Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of {MAX_NAME_BYTES}.\n"
            )));
        }
        if is_set(function, "parameters") && is_set(function, "parametersJsonSchema") {
            return Err(invalid(format!("* {place}: only one of parameters and parameters_json_schema can be set.\n")));
        }
    }
    let calling = request.pointer("/toolConfig/functionCallingConfig").unwrap_or(&Value::Null);
    if !list_at(calling, "allowedFunctionNames").is_empty() && !matches!(str_at(calling, "mode"), "ANY" | "VALIDATED") {
        return Err(invalid("Function calling config is set without mode ANY or VALIDATED: allowed_function_names cannot be set."));
    }
    Ok(())
}

fn valid_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts && name.len() <= MAX_NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

fn check_config(model: Model<'_>, config: &Value) -> Result<(), Problem> {
    let number = |field: &str| config.get(field).and_then(Value::as_f64);
    if number("temperature").is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(invalid("* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n"));
    }
    if number("topP").is_some_and(|top_p| !(0.0..=1.0).contains(&top_p)) {
        return Err(invalid("* GenerateContentRequest.generation_config.top_p: top_p must be in the range [0.0, 1.0].\n"));
    }
    if number("maxOutputTokens").is_some_and(|limit| limit < 1.0) {
        return Err(invalid("* GenerateContentRequest.generation_config.max_output_tokens: max_output_tokens must be positive.\n"));
    }
    if number("candidateCount").is_some_and(|count| count != 1.0) {
        return Err(invalid("Multiple candidates is not enabled for this model"));
    }
    if list_at(config, "stopSequences").len() > MAX_STOPS {
        return Err(invalid(format!("* GenerateContentRequest.generation_config.stop_sequences: at most {MAX_STOPS} stop sequences.\n")));
    }
    if !model.takes_penalties() && ["presencePenalty", "frequencyPenalty"].iter().any(|field| is_set(config, field)) {
        return Err(invalid(format!("Penalty is not enabled for models/{}", model.name)));
    }
    let asks_logprobs = config.get("responseLogprobs") == Some(&Value::Bool(true));
    if !model.gives_logprobs() && (asks_logprobs || is_set(config, "logprobs")) {
        return Err(invalid("Logprobs is not enabled for this model"));
    }
    if !asks_logprobs && is_set(config, "logprobs") {
        return Err(invalid("response_logprobs must be set to true to use logprobs."));
    }
    check_format(config)?;
    check_thinking(model, config.get("thinkingConfig").unwrap_or(&Value::Null))
}

fn check_format(config: &Value) -> Result<(), Problem> {
    let schemas = ["responseSchema", "responseJsonSchema"].into_iter().filter(|field| is_set(config, field)).count();
    let mime_type = str_at(config, "responseMimeType");
    if schemas > 1 {
        return Err(invalid(
            "* GenerateContentRequest.generation_config: only one of response_schema and response_json_schema can be set.\n",
        ));
    }
    if schemas == 1 && !matches!(mime_type, "application/json" | "text/x.enum") {
        return Err(invalid(
            "* GenerateContentRequest.generation_config.response_schema: response_schema requires response_mime_type application/json.\n",
        ));
    }
    if !matches!(mime_type, "" | "text/plain" | "application/json" | "text/x.enum") {
        return Err(invalid(format!(
            "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`, not `{mime_type}`.\n"
        )));
    }
    Ok(())
}

fn check_thinking(model: Model<'_>, thinking: &Value) -> Result<(), Problem> {
    let level = str_at(thinking, "thinkingLevel");
    let budget = thinking.get("thinkingBudget").and_then(Value::as_i64);
    if !level.is_empty() && budget.is_some() {
        return Err(invalid("You can only set only one of thinking budget and thinking level."));
    }
    if !level.is_empty() && !model.takes_thinking_level() {
        return Err(invalid("Thinking level is not supported for this model."));
    }
    if !matches!(level.to_ascii_uppercase().as_str(), "" | "MINIMAL" | "LOW" | "MEDIUM" | "HIGH" | "XHIGH") {
        return Err(invalid(format!(
            "Invalid value at 'generation_config.thinking_config.thinking_level' (type.googleapis.com/google.ai.generativelanguage.v1beta.ThinkingConfig.ThinkingLevel), \"{level}\""
        )));
    }
    if budget == Some(0) && !model.can_stop_thinking() {
        return Err(invalid("Budget 0 is invalid. This model only works in thinking mode."));
    }
    if budget.is_some_and(|budget| budget < -1) {
        return Err(invalid("The thinking budget is out of range."));
    }
    Ok(())
}
