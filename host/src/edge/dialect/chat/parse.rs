//! A Chat Completions request as the canonical one. What has no canonical name goes along as `extras` of this dialect.

use crate::contract::{ChatRequest, Reasoning};
use crate::domain::{Blobs, Target, chat_request};
use crate::edge::BadRequest;
use crate::edge::dialect::chat::messages::messages;
use crate::edge::dialect::chat::tools::{response_format, tools};
use crate::edge::dialect::chat::{ChatForm, DIALECT};
use crate::edge::dialect::{Form, Parsed, openai};
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
    let mut extras = Map::new();
    let calls = tools(&mut fields, &mut request, &mut extras)?;
    request.response_format = response_format(&mut fields)?;
    request.reasoning = reasoning(&mut fields)?;
    request.user = openai::user(&mut fields)?;
    request.metadata = openai::metadata(&mut fields)?;
    extras.extend(fields.rest());
    // What the gateway does anyway.
    if extras.get("store") == Some(&Value::Bool(false)) {
        extras.shift_remove("store");
    }
    request.extras = openai::extras(DIALECT, extras);
    Ok(Parsed { target, request, blobs, form: Form::Chat(ChatForm { include_usage, calls }) })
}

/// OpenAI's own word for it, and two forms that other gateways take: `reasoning` as an object, and Anthropic's `thinking`.
fn reasoning(fields: &mut Fields) -> Result<Option<Reasoning>, BadRequest> {
    let nothing = Reasoning { enabled: None, effort: None, budget: None, visible: None };
    let mut told = Reasoning { effort: fields.word("reasoning_effort", &openai::EFFORTS)?, ..nothing };
    if let Some(mut reasoning) = fields.object("reasoning")? {
        told.enabled = reasoning.bool("enabled")?;
        told.effort = told.effort.or(reasoning.word("effort", &openai::EFFORTS)?);
        told.budget = reasoning.integer("max_tokens", 0, u32::MAX)?;
        let summary = reasoning.string("summary")?.map(|_| true);
        told.visible = reasoning.bool("exclude")?.map(|exclude| !exclude).or(summary);
    }
    if let Some(mut thinking) = fields.object("thinking")? {
        told.enabled = thinking.word("type", &[("enabled", true), ("adaptive", true), ("disabled", false)])?.or(told.enabled);
        told.budget = thinking.integer("budget_tokens", 0, u32::MAX)?.or(told.budget);
        told.visible = thinking.word("display", &[("summarized", true), ("omitted", false)])?.or(told.visible);
    }
    Ok(Some(told).filter(|told| *told != nothing))
}

pub fn required_object(fields: &mut Fields, name: &str) -> Result<Fields, BadRequest> {
    fields.object(name)?.ok_or_else(|| fields.wrong(name, "is required and must be an object"))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{CacheBreakpoint, Effort, Part, PartBody, Role, Tool, ToolMode, ToolResultPart};
    use crate::domain::part;
    use crate::edge::dialect::chat::CallForm;
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
                matches!(call.form, Form::Chat(ChatForm { include_usage: true, calls: CallForm::ToolCalls }))
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

    /// What is said of a lone user's request.
    fn asked(fields: Value) -> ChatRequest {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        parsed(body).request
    }

    fn parts_of(message: Value) -> Vec<Part> {
        parsed(json!({"model": "m", "messages": [message]})).request.messages[0].parts.clone()
    }

    #[test]
    fn functions_of_the_old_form_are_tools_answered_in_the_old_form() {
        let call = parsed(json!({"model": "m", "functions": [{"name": "f", "parameters": {"type": "object", "default": null}}],
        "function_call": {"name": "f"}, "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "4"}
        ]}));
        assert!(matches!(call.form, Form::Chat(ChatForm { calls: CallForm::FunctionCall, .. })));
        assert_eq!(call.request.parallel_tool_calls, Some(false));
        let choice = call.request.tool_choice.unwrap();
        assert_eq!((choice.mode, choice.only), (ToolMode::Required, vec!["f".to_owned()]));
        let Tool::Function(tool) = &call.request.tools[0] else { unreachable!() };
        assert_eq!(tool.parameters.as_deref(), Some(r#"{"type":"object","default":null}"#));
        let (PartBody::ToolCall(call), PartBody::ToolResult(result)) =
            (&call.request.messages[1].parts[0].body, &call.request.messages[2].parts[0].body)
        else {
            unreachable!()
        };
        assert_eq!(call.id, result.call_id);
    }

    #[test]
    fn every_form_of_reasoning_is_understood() {
        for (fields, enabled, effort, budget, visible) in [
            (json!({"reasoning_effort": "none"}), None, Some(Effort::None), None, None),
            (json!({"reasoning": {"effort": "low", "exclude": true}}), None, Some(Effort::Low), None, Some(false)),
            (json!({"reasoning": {"enabled": true, "max_tokens": 900}}), Some(true), None, Some(900), None),
            (json!({"reasoning_effort": "high", "reasoning": {"effort": "low"}}), None, Some(Effort::High), None, None),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 2048}}), Some(true), None, Some(2048), None),
            (json!({"thinking": {"type": "disabled"}}), Some(false), None, None, None),
            (json!({"thinking": {"type": "adaptive", "display": "omitted"}}), Some(true), None, None, Some(false)),
            (json!({"thinking": {"type": "adaptive", "display": "summarized"}}), Some(true), None, None, Some(true)),
            (json!({"reasoning": {"summary": "auto"}}), None, None, None, Some(true)),
            (json!({"reasoning": {"summary": "auto", "exclude": true}}), None, None, None, Some(false)),
        ] {
            assert_eq!(asked(fields.clone()).reasoning, Some(Reasoning { enabled, effort, budget, visible }), "{fields}");
        }
        assert_eq!(asked(json!({"reasoning": {}})).reasoning, None);
    }

    #[test]
    fn every_choice_of_tools_is_understood() {
        for (choice, mode, only) in [
            (json!("none"), ToolMode::None, vec![]),
            (json!("required"), ToolMode::Required, vec![]),
            (json!({"type": "custom", "custom": {"name": "c"}}), ToolMode::Required, vec!["c"]),
            (
                json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "a"}}, {"type": "function", "name": "b"}]}}),
                ToolMode::Auto,
                vec!["a", "b"],
            ),
            (json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}), ToolMode::None, vec![]),
        ] {
            let told = asked(json!({"tool_choice": choice})).tool_choice.unwrap();
            assert_eq!((told.mode, told.only), (mode, only.into_iter().map(str::to_owned).collect()), "{choice}");
        }
        let request = asked(json!({"tool_choice": {"type": "web_search"}}));
        assert_eq!((request.tool_choice, request.extras[0].value.as_str()), (None, r#"{"tool_choice":{"type":"web_search"}}"#));
    }

    #[test]
    fn cache_breakpoints_are_understood_wherever_clients_write_them() {
        let lifetime = |part: &Part| part.cache.map(|cache| cache.lifetime);
        for (message, expected) in [
            (
                json!({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}),
                Some(3600),
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}]}),
                Some(1800),
            ),
            (json!({"role": "system", "content": "a", "cache_control": {"type": "ephemeral"}}), None),
            (
                json!({"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "a", "cache_control": {"ttl": "5m"}}]}),
                Some(300),
            ),
        ] {
            assert_eq!(parts_of(message.clone()).iter().map(lifetime).collect::<Vec<_>>(), [Some(expected)], "{message}");
        }
        let request =
            asked(json!({"tools": [{"type": "function", "function": {"name": "f", "x": 1}, "cache_control": {"type": "ephemeral"}}]}));
        let Tool::Function(tool) = &request.tools[0] else { unreachable!() };
        assert_eq!((tool.cache, tool.extras[0].value.as_str()), (Some(CacheBreakpoint { lifetime: None }), r#"{"x":1}"#));
    }

    #[test]
    fn empty_content_is_taken_as_openai_takes_it() {
        for message in [
            json!({"role": "user", "content": ""}),
            json!({"role": "assistant", "content": null, "tool_calls": []}),
            json!({"role": "assistant", "content": "", "refusal": null, "audio": null, "function_call": null, "annotations": []}),
            json!({"role": "assistant"}),
        ] {
            let request = parsed(json!({"model": "m", "messages": [message]})).request;
            assert_eq!((request.messages[0].parts.len(), request.messages[0].extras.len()), (0, 0), "{message}");
        }
    }

    #[test]
    fn an_answer_that_is_sent_back_as_it_came_leaves_nothing_unknown() {
        let request = parsed(json!({"model": "m", "store": false, "messages": [{"role": "assistant", "content": "a", "refusal": null, "reasoning_content": "hm",
            "annotations": [{"type": "url_citation"}],
            "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}, "index": 0}],
            "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "not json"}}]}]}))
        .request;
        let message = &request.messages[0];
        assert!(message.extras.is_empty() && request.extras.is_empty() && message.parts.iter().all(|part| part.extras.is_empty()));
        let [thinking, text, image, call] = message.parts.as_slice() else { unreachable!() };
        assert!(matches!((&thinking.body, &text.body, &image.body), (PartBody::Thinking(_), PartBody::Text(_), PartBody::Image(_))));
        assert!(matches!(&call.body, PartBody::ToolCall(call) if call.arguments == "not json"));
        assert_eq!(message.role, Role::Assistant);
    }

    #[test]
    fn a_sound_of_the_assistants_comes_back_with_its_replay_or_by_its_id_alone() {
        let said = json!({"role": "assistant", "content": "a", "audio": {"id": "au", "data": "AAAA", "expires_at": 5, "transcript": "hi"}});
        let message = parsed(json!({"model": "m", "messages": [said]})).request.messages.swap_remove(0);
        assert_eq!((message.parts.len(), message.extras[0].value.as_str()), (1, r#"{"audio":{"id":"au"}}"#));
        let mut carried = said;
        carried["reasoning_details"] =
            json!([{"format": "other"}, {"format": "llm-gateway-v1", "data": r#"[{"audio":"hi","replay":"gw1;x"},{"text":1}]"#}]);
        let message = parsed(json!({"model": "m", "messages": [carried]})).request.messages.swap_remove(0);
        let PartBody::Audio(sound) = &message.parts[0].body else { unreachable!() };
        assert_eq!((sound.transcript.as_deref(), message.parts[0].replay.as_ref().unwrap().data.as_str()), (Some("hi"), "gw1;x"));
        assert_eq!(message.extras[0].value, r#"{"reasoning_details":[{"format":"other"}]}"#);
    }

    #[test]
    fn files_and_films_are_taken_by_url() {
        let parts = parts_of(json!({"role": "user", "content": [
            {"type": "file", "file": {"file_url": "https://example.com/a.pdf", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}},
            {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
        ]}));
        assert!(matches!(&parts[0].body, PartBody::Document(file) if file.name.as_deref() == Some("a.pdf")));
        assert!(matches!(&parts[1].body, PartBody::Document(file) if file.media_type.as_deref() == Some("application/pdf")));
        assert!(matches!(&parts[2].body, PartBody::Video(_)));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let user = json!([{"role": "user", "content": "x"}]);
        for (body, field) in [
            (json!({"model": "m"}), "messages"),
            (json!({"model": "m", "messages": []}), "messages"),
            (json!({"model": "", "messages": user}), "model"),
            (json!({"model": "m", "messages": [{"role": "robot", "content": "x"}]}), "messages[0].role"),
            (json!({"model": "m", "messages": [{"role": "user"}]}), "messages[0].content"),
            (json!({"model": "m", "messages": [{"role": "user", "content": []}]}), "messages[0].content"),
            (json!({"model": "m", "messages": [{"role": "tool", "content": "x"}]}), "messages[0].tool_call_id"),
            (json!({"model": "m", "messages": [{"role": "function", "name": "f", "content": "x"}]}), "messages[0].name"),
            (
                json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"ttl": "soon"}}]}]}),
                "messages[0].content[0].cache_control.ttl",
            ),
            (json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "video"}]}]}), "messages[0].content[0].type"),
            (
                json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]}),
                "messages[0].content[0].image_url.url",
            ),
            (json!({"model": "m", "messages": user, "temperature": "hot"}), "temperature"),
            (json!({"model": "m", "messages": user, "stream_options": {}}), "stream_options"),
            (json!({"model": "m", "messages": user, "tools": [{"type": "function"}]}), "tools[0].function"),
            (
                json!({"model": "m", "messages": user, "tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}),
                "tools[0].function.parameters",
            ),
            (json!({"model": "m", "messages": user, "tool_choice": {"type": "function"}}), "tool_choice"),
            (
                json!({"model": "m", "messages": user, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "most", "tools": []}}}),
                "tool_choice.allowed_tools.mode",
            ),
            (json!({"model": "m", "messages": user, "function_call": "maybe"}), "function_call"),
            (json!({"model": "m", "messages": user, "reasoning": {"effort": "huge"}}), "reasoning.effort"),
            (json!({"model": "m", "messages": user, "response_format": {"type": "xml"}}), "response_format.type"),
        ] {
            assert_eq!(wrong_field(body.clone()), field, "{body}");
        }
    }
}
