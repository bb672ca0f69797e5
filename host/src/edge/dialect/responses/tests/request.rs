//! Requests.

use super::*;
use crate::contract::{
    CacheBreakpoint, Effort, JsonSchema, MediaSource, Message, Reasoning, ResponseFormat, Role, Tool, ToolChoice, ToolMode, ToolResult,
    ToolResultPart,
};
use crate::domain::Target;

fn messages(input: Value) -> Vec<Message> {
    parsed(&json!({"model": "m", "input": input})).request.messages
}

fn extras(request: &Value) -> Value {
    parsed(request).request.extras.first().map_or(Value::Null, |native| serde_json::from_str(&native.value).unwrap())
}

#[test]
fn parameters_find_their_canonical_place() {
    let call = parsed(&json!({
        "model": "openai/gpt-6-sol", "instructions": "Be brief.", "input": "Hi", "max_output_tokens": 50, "temperature": 0.5, "top_p": 0.9,
        "top_logprobs": 2, "parallel_tool_calls": false, "safety_identifier": "s", "user": "u", "metadata": {"a": "b"}, "stream": true,
        "reasoning": {"effort": "xhigh", "summary": "auto"}, "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "store": true, "include": ["reasoning.encrypted_content"]
    }));
    assert_eq!(call.target, Target::Name("openai/gpt-6-sol".into()));
    let request = call.request;
    let said: Vec<(Role, &Part)> = request.messages.iter().map(|message| (message.role, &message.parts[0])).collect();
    assert_eq!(said, [(Role::System, &text("Be brief.")), (Role::User, &text("Hi"))]);
    assert_eq!((request.max_output, request.logprobs, request.parallel_tool_calls, request.stream), (Some(50), Some(2), Some(false), true));
    assert_eq!((request.sampling.temperature, request.sampling.top_p), (Some(0.5), Some(0.9)));
    assert_eq!((request.user.as_deref(), request.metadata), (Some("s"), vec![("a".to_owned(), "b".to_owned())]));
    let visible = Reasoning { enabled: None, effort: Some(Effort::ExtraHigh), budget: None, visible: Some(true) };
    assert_eq!(request.reasoning, Some(visible));
    let schema = JsonSchema { name: "n".into(), description: None, schema: r#"{"type":"object"}"#.into(), strict: Some(true) };
    assert_eq!(request.response_format, Some(ResponseFormat::JsonSchema(schema)));
    // Nothing is left that another provider would have to be said to have dropped.
    assert_eq!(request.extras, []);
}

#[test]
fn what_has_no_canonical_name_goes_along() {
    let request = json!({
        "model": "m", "input": "x", "truncation": "auto", "service_tier": "flex", "reasoning": {"summary": "detailed", "context": "all"},
        "text": {"verbosity": "low"}, "include": ["web_search_call.action.sources", "message.output_text.logprobs"], "brand_new": [1]
    });
    assert_eq!(
        extras(&request),
        json!({"include": ["web_search_call.action.sources"], "text": {"verbosity": "low"}, "reasoning": {"summary": "detailed", "context": "all"},
            "truncation": "auto", "service_tier": "flex", "brand_new": [1]})
    );
    assert_eq!(parsed(&request).request.logprobs, Some(0));
    assert_eq!(extras(&json!({"model": "m", "input": "x", "truncation": "disabled", "store": false, "background": false})), Value::Null);
}

#[test]
fn tools_are_flat() {
    let request = parsed(&json!({"model": "m", "input": "x", "tools": [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true, "defer_loading": true},
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "start: \"a\""}},
        {"type": "web_search", "search_context_size": "low"}
    ]}))
    .request;
    let [Tool::Function(function), Tool::Custom(custom), Tool::Other(search)] = request.tools.as_slice() else { unreachable!() };
    assert_eq!((function.name.as_str(), function.strict, function.parameters.as_deref()), ("f", Some(true), Some(r#"{"type":"object"}"#)));
    assert_eq!(function.extras, [own(json!({"defer_loading": true}))]);
    assert_eq!(custom.grammar.as_ref().unwrap().syntax, "lark");
    let search: Value = serde_json::from_str(&search.value).unwrap();
    assert_eq!(search, json!({"type": "web_search", "search_context_size": "low"}));
}

#[test]
fn a_choice_among_tools_is_canonical_unless_it_is_of_the_providers_own() {
    let choice = |mode, only: &[&str]| Some(ToolChoice { mode, only: only.iter().map(|&name| name.to_owned()).collect() });
    let function = |name: &str| json!({"type": "function", "name": name});
    for (told, expected, left) in [
        (json!("none"), choice(ToolMode::None, &[]), Value::Null),
        (json!("required"), choice(ToolMode::Required, &[]), Value::Null),
        (function("f"), choice(ToolMode::Required, &["f"]), Value::Null),
        (json!({"type": "custom", "name": "c"}), choice(ToolMode::Required, &["c"]), Value::Null),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [function("f"), function("g")]}),
            choice(ToolMode::Auto, &["f", "g"]),
            Value::Null,
        ),
        (json!({"type": "web_search"}), None, json!({"tool_choice": {"type": "web_search"}})),
    ] {
        let request = json!({"model": "m", "input": "x", "tool_choice": told});
        assert_eq!((parsed(&request).request.tool_choice, extras(&request)), (expected, left), "{request}");
    }
}

#[test]
fn content_of_every_kind_is_taken() {
    let call = parsed(&json!({"model": "m", "input": [{"role": "user", "content": [
        {"type": "input_text", "text": "look", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "low"},
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf", "filename": "a.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "input_hologram", "x": 1}
    ]}]}));
    let parts = &call.request.messages[0].parts;
    assert_eq!(parts[0].cache, Some(CacheBreakpoint { lifetime: Some(43_200) }));
    let PartBody::Image(image) = &parts[1].body else { unreachable!() };
    assert_eq!((image.media_type.as_deref(), image.detail.as_deref()), (Some("image/png"), Some("low")));
    assert_eq!(call.blobs.get(0).unwrap().as_ref(), b"\x89PNG");
    let PartBody::Image(kept) = &parts[2].body else { unreachable!() };
    assert_eq!(kept.source, MediaSource::File(own(json!("file_1"))));
    let PartBody::Document(linked) = &parts[3].body else { unreachable!() };
    assert_eq!((&linked.source, linked.name.as_deref()), (&MediaSource::Url("https://example.com/a.pdf".into()), Some("a.pdf")));
    assert!(matches!(&parts[4].body, PartBody::Document(file) if file.media_type.as_deref() == Some("application/pdf")));
    assert!(matches!(&parts[5].body, PartBody::Audio(sound) if sound.media_type.as_deref() == Some("audio/wav")));
    assert!(matches!(&parts[6].body, PartBody::Other(native) if native.dialect == DIALECT));
}

#[test]
fn what_the_assistant_wrote_in_one_go_is_one_message_and_so_are_results() {
    let said = messages(json!([
        {"role": "user", "content": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "so", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": "{}", "status": "completed"},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "shell", "input": "ls"},
        {"type": "function_call_output", "call_id": "c1", "output": "4 C"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a.txt"}]},
        {"role": "assistant", "content": "Fine."}
    ]));
    let shell = ToolCall { id: "c2".into(), name: "shell".into(), arguments: "ls".into(), free_form: true };
    assert_eq!(said[1].parts, [thinking("a\n\nb"), text("so"), call("c1", "{}"), part(PartBody::ToolCall(shell))]);
    let result = |id: &str, name: &str, text: &str| {
        let content = vec![ToolResultPart::Text(text.into())];
        part(PartBody::ToolResult(ToolResult { call_id: id.into(), name: name.into(), content, is_error: false }))
    };
    assert_eq!(said[2].parts, [result("c1", "weather", "4 C"), result("c2", "shell", "a.txt")]);
    assert_eq!(said.iter().map(|message| message.role).collect::<Vec<_>>(), [Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
}

#[test]
fn a_call_of_openais_own_may_be_answered() {
    let shell = json!({"type": "local_shell_call", "id": "lsh_1", "call_id": "c1", "action": {"type": "exec", "command": ["ls"]}});
    let said = messages(json!([shell, {"type": "function_call_output", "call_id": "c1", "output": "a.txt"}]));
    assert_eq!(said[0].parts, [part(PartBody::Other(own(shell)))]);
    assert!(matches!(&said[1].parts[0].body, PartBody::ToolResult(result) if result.name == "local_shell_call"));
}

#[test]
fn a_result_may_have_parts_and_a_breakpoint() {
    let said = messages(json!([
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "id": "fc_9", "call_id": "c1", "caller": {"type": "direct"}, "output": [
            {"type": "input_image", "image_url": "https://example.com/a.png"},
            {"type": "input_text", "text": "4 C", "prompt_cache_breakpoint": {"mode": "explicit"}}
        ]}
    ]));
    let part = &said[1].parts[0];
    let PartBody::ToolResult(result) = &part.body else { unreachable!() };
    assert!(matches!(result.content.as_slice(), [ToolResultPart::Image(_), ToolResultPart::Text(text)] if text == "4 C"));
    assert_eq!((part.cache, &part.extras), (Some(CacheBreakpoint { lifetime: None }), &vec![own(json!({"caller": {"type": "direct"}}))]));
}

#[test]
fn reasoning_that_was_encrypted_elsewhere_keeps_its_id() {
    let said = messages(json!([
        {"role": "user", "content": "x"},
        {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "gAAA"},
        {"type": "reasoning", "id": "rs_ours", "summary": [], "encrypted_content": "gw1;openai;m;h;{}"},
        {"role": "assistant", "content": "Fine."}
    ]));
    assert_eq!(said[1].parts[0].extras, [own(json!({"id": "rs_theirs", "encrypted_content": "gAAA"}))]);
    assert_eq!((&said[1].parts[0].replay, &said[1].parts[0].body), (&None, &PartBody::Thinking(String::new())));
    assert_eq!(said[1].parts[1].replay, Some(Replay { data: "gw1;openai;m;h;{}".into(), model: None }));
    assert_eq!(said[1].parts[1].extras, []);
}

#[test]
fn items_of_openais_own_kinds_go_along_as_they_came() {
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": null});
    let approval = json!({"type": "mcp_approval_response", "approval_request_id": "a", "approve": true});
    let said = messages(
        json!([{"role": "user", "content": "x"}, search, {"role": "assistant", "content": "Found.", "phase": "final_answer"}, approval]),
    );
    assert_eq!(said[1].parts[0], part(PartBody::Other(own(search))));
    assert_eq!(said[1].parts[1].extras, [own(json!({"phase": "final_answer"}))]);
    assert_eq!((said[2].role, &said[2].parts[0]), (Role::User, &part(PartBody::Other(own(approval)))));
}

#[test]
fn an_empty_text_says_nothing() {
    let said = messages(json!([{"role": "user", "content": ""}, {"role": "assistant", "content": ""}, {"role": "user", "content": "x"}]));
    assert_eq!(said.iter().map(|message| message.parts.len()).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn what_needs_state_is_refused_with_the_reason() {
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!({"id": "conv_1"})),
        ("prompt", json!({"id": "pmpt_1"})),
        ("background", json!(true)),
    ] {
        let mut request = hello();
        request[field] = value;
        let error = parse(request.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(field)));
        assert!(error.message.contains("keeps no state"), "{}", error.message);
    }
}

#[test]
fn the_field_at_fault_is_named() {
    for (request, field) in [
        (json!({"model": "m"}), "input"),
        (json!({"model": "m", "input": []}), "input"),
        (json!({"model": "m", "input": 5}), "input"),
        (json!({"model": "", "input": "x"}), "model"),
        (json!({"model": "m", "input": ["x"]}), "input[0]"),
        (json!({"model": "m", "input": [{"role": "robot", "content": "x"}]}), "input[0].role"),
        (json!({"model": "m", "input": [{"role": "user"}]}), "input[0].content"),
        (json!({"model": "m", "input": [{"role": "user", "content": [{"type": "hat"}]}]}), "input[0].content[0].type"),
        (json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image"}]}]}), "input[0].content[0].image_url"),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x"}]}]}),
            "input[0].content[0].image_url",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_file", "file_data": "?"}]}]}),
            "input[0].content[0].file_data",
        ),
        (json!({"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}]}), "input[0].type"),
        (json!({"model": "m", "input": [{"id": "msg_1"}]}), "input[0].type"),
        (json!({"model": "m", "input": [{"type": "function_call_output", "call_id": "c9", "output": "x"}]}), "input[0].call_id"),
        (json!({"model": "m", "input": [{"type": "function_call", "call_id": "c9"}]}), "input[0].name"),
        (json!({"model": "m", "input": [{"type": "reasoning", "summary": [{}]}]}), "input[0].summary[0].text"),
        (json!({"model": "m", "input": "x", "temperature": 3}), "temperature"),
        (json!({"model": "m", "input": "x", "stream_options": {}}), "stream_options"),
        (json!({"model": "m", "input": "x", "tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"model": "m", "input": "x", "tools": [{"type": "custom", "name": "c", "format": {"type": "x"}}]}), "tools[0].format.type"),
        (json!({"model": "m", "input": "x", "tool_choice": "sometimes"}), "tool_choice"),
        (json!({"model": "m", "input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}), "text.format.schema"),
        (json!({"model": "m", "input": "x", "reasoning": {"effort": "heroic"}}), "reasoning.effort"),
        (json!({"model": "m", "input": "x", "include": [1]}), "include"),
        (json!({"model": "m", "input": "x", "metadata": {"a": 1}}), "metadata"),
    ] {
        assert_eq!(parse(request.to_string().as_bytes()).unwrap_err().param.as_deref(), Some(field), "{request}");
    }
}
