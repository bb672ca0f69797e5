//! Requests to `/responses`.

use crate::support::*;
use llm_gateway_adapter::types::{
    CacheBreakpoint, ChatRequest, Citation, CustomTool, Effort, FailureKind, Grammar, JsonSchema, MediaSource, Message, Part, PartBody,
    Reasoning, Replay, ResponseFormat, Role, Sampling, Tool, ToolChoice, ToolMode, ToolResultPart,
};
use serde_json::{Value, json};

fn part(body: PartBody) -> Part {
    Part::new(body)
}

fn on_responses(request: ChatRequest) -> ChatRequest {
    ChatRequest { settings: vec![("endpoint".into(), "responses".into())], ..request }
}

fn input(request: ChatRequest) -> Value {
    body(&encode(on_responses(request)))["input"].clone()
}

fn thinking(data: &str) -> Part {
    Part { replay: replay(data), ..part(PartBody::Thinking("hm".into())) }
}

const REASONING: &str = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}"#;

#[test]
fn a_request_with_a_tool_is_stateless_and_asks_for_encrypted_reasoning() {
    let request = encode(ChatRequest { tools: vec![weather_tool()], max_output: Some(50), stream: true, ..asking("gpt-5.6-terra") });
    assert_eq!(
        body(&request),
        json!({
            "model": "gpt-5.6-terra", "input": [{"role": "user", "content": "2+2?"}], "store": false,
            "include": ["reasoning.encrypted_content"], "max_output_tokens": 50,
            "tools": [{
                "type": "function", "name": "weather", "description": "Weather of a city",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": false,
            }],
            "stream": true,
        })
    );
    assert!(request.dropped.is_empty());
}

#[test]
fn what_the_endpoint_has_no_field_for_is_reported() {
    let sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(1),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.1),
        seed: Some(7),
        logit_bias: vec![(1, 1.0)],
    };
    let request =
        ChatRequest { sampling, stop: vec!["x".into()], choices: Some(2), logprobs: Some(2), max_output: Some(5), ..asking("gpt-4o") };
    let request = encode(on_responses(request));
    assert_eq!(
        body(&request),
        json!({
            "model": "gpt-4o", "input": [{"role": "user", "content": "2+2?"}], "store": false, "include": ["message.output_text.logprobs"],
            "max_output_tokens": 16, "temperature": 0.5, "top_p": 0.9, "top_logprobs": 2,
        })
    );
    let mut names = dropped(&request);
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "choices",
            "max-output",
            "sampling.frequency-penalty",
            "sampling.logit-bias",
            "sampling.presence-penalty",
            "sampling.seed",
            "sampling.top-k",
            "stop"
        ]
    );
}

#[test]
fn reasoning_and_text_are_merged_with_the_callers_own_fields() {
    let extras = vec![
        native(
            "openai-responses",
            r#"{"reasoning":{"context":"all_turns","summary":"detailed"},"text":{"verbosity":"low"},"include":["x"],"truncation":"auto"}"#,
        ),
        native("openai-chat", r#"{"stream_options":{"include_usage":true},"prediction":{}}"#),
    ];
    let reasoning = Some(Reasoning { effort: Some(Effort::Maximum), visible: Some(true), ..no_reasoning_wish() });
    let schema = JsonSchema { name: "a".into(), description: None, schema: r#"{"type":"string"}"#.into(), strict: Some(true) };
    let request = ChatRequest { extras, reasoning, response_format: Some(ResponseFormat::JsonSchema(schema)), ..asking("gpt-5.6-sol") };
    let request = encode(request);
    assert_eq!(
        body(&request),
        json!({
            "model": "gpt-5.6-sol", "input": [{"role": "user", "content": "2+2?"}], "store": false,
            "include": ["x", "reasoning.encrypted_content"],
            "reasoning": {"context": "all_turns", "summary": "detailed", "effort": "max"},
            "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "string"}, "strict": true}, "verbosity": "low"},
            "truncation": "auto",
        })
    );
    assert_eq!(dropped(&request), ["extras.prediction"]);
}

#[test]
fn a_chat_callers_fields_are_translated() {
    let extras = vec![native("openai-chat", r#"{"verbosity":"high","service_tier":"flex","store":true}"#)];
    let sent = body(&encode(ChatRequest { extras, tools: vec![weather_tool()], ..asking("gpt-5.4") }));
    assert_eq!((&sent["text"], &sent["service_tier"], &sent["store"]), (&json!({"verbosity": "high"}), &json!("flex"), &json!(true)));
}

#[test]
fn a_summary_is_asked_for_when_reasoning_is_to_be_seen() {
    let reasoning = Some(Reasoning { visible: Some(true), ..no_reasoning_wish() });
    assert_eq!(body(&encode(ChatRequest { reasoning, ..asking("gpt-5.4") }))["reasoning"], json!({"summary": "auto"}));
}

#[test]
fn a_conversation_is_a_list_of_items() {
    let request = conversation(
        "gpt-5.4",
        vec![
            Message::text(Role::Developer, "Be brief."),
            user(vec![text("Weather?")]),
            assistant(vec![thinking(REASONING), text("Let me see."), call("c1", "weather", r#"{"city":"Oslo"}"#)]),
            result("c1", vec![result_text("Sun")]),
            user(vec![text("Thanks"), text("!")]),
        ],
    );
    assert_eq!(
        input(request),
        json!([
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"role": "assistant", "content": "Let me see."},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\":\"Oslo\"}"},
            {"type": "function_call_output", "call_id": "c1", "output": "Sun"},
            {"role": "user", "content": [{"type": "input_text", "text": "Thanks"}, {"type": "input_text", "text": "!"}]},
        ])
    );
}

#[test]
fn reasoning_that_would_be_refused_is_left_out() {
    let of_another_model = Part { replay: Some(Replay { data: REASONING.into(), model: Some("gpt-5".into()) }), ..thinking("") };
    let request = encode(on_responses(conversation(
        "gpt-5.4",
        vec![
            assistant(vec![of_another_model, part(PartBody::Thinking("another provider's".into())), text("Hi"), thinking(REASONING)]),
            user(vec![text("Go on")]),
        ],
    )));
    assert_eq!(body(&request)["input"], json!([{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Go on"}]));
    assert_eq!(dropped(&request), ["messages[0].parts[0]", "messages[0].parts[3]"]);
}

#[test]
fn reasoning_may_be_followed_in_the_next_message_of_the_assistant() {
    let request =
        conversation("gpt-5.4", vec![assistant(vec![thinking(REASONING)]), assistant(vec![text("Hi")]), user(vec![text("Go on")])]);
    assert_eq!(input(request)[0]["type"], "reasoning");
}

#[test]
fn phases_and_citations_come_back_with_their_text() {
    let phased = |phase: &str, body: &str| Part { replay: replay(&format!(r#"{{"phase":"{phase}"}}"#)), ..text(body) };
    let annotation = r#"{"type":"url_citation","url":"https://a.b","title":"A","start_index":0,"end_index":1}"#;
    let mut cited = phased("final_answer", "Done");
    cited.citations = vec![Citation { url: None, title: None, quote: None, span: None, native: native("openai-responses", annotation) }];
    let request =
        conversation("gpt-5.4", vec![assistant(vec![phased("commentary", "Looking"), cited, part(PartBody::Refusal("no".into()))])]);
    assert_eq!(
        input(request),
        json!([
            {"role": "assistant", "content": "Looking", "phase": "commentary"},
            {"role": "assistant", "phase": "final_answer", "content": [
                {"type": "output_text", "text": "Done", "annotations": [serde_json::from_str::<Value>(annotation).unwrap()]},
            ]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ])
    );
}

#[test]
fn custom_calls_and_media_in_results() {
    let request = conversation(
        "gpt-5.4",
        vec![
            assistant(vec![custom_call("c1", "sql", "SELECT 1"), call("c2", "look", "")]),
            Message::of(
                Role::Tool,
                vec![
                    result_part("c1", vec![result_text("1")]),
                    result_part(
                        "c2",
                        vec![
                            result_text("see"),
                            ToolResultPart::Image(blob(7, "image/png")),
                            ToolResultPart::Document(blob(8, "application/pdf")),
                        ],
                    ),
                ],
            ),
        ],
    );
    assert_eq!(
        input(request),
        json!([
            {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "SELECT 1"},
            {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
            {"type": "function_call_output", "call_id": "c2", "output": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "data:image/png;base64,<blob:7>"},
                {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,<blob:8>"},
            ]},
        ])
    );
}

#[test]
fn media_by_blob_url_and_file() {
    let request = conversation(
        "gpt-5.4",
        vec![user(vec![
            part(PartBody::Image(url("https://a.b/c.png", "image/png"))),
            part(PartBody::Image(media(MediaSource::File(native("openai-responses", "\"file-1\"")), "image/png"))),
            part(PartBody::Document(url("https://a.b/c.pdf", "application/pdf"))),
            part(PartBody::Document(blob(3, "application/vnd.ms-excel"))),
            part(PartBody::Document(blob(4, "text/plain"))),
        ])],
    );
    assert_eq!(
        input(request)[0]["content"],
        json!([
            {"type": "input_image", "image_url": "https://a.b/c.png"},
            {"type": "input_image", "file_id": "file-1"},
            {"type": "input_file", "file_url": "https://a.b/c.pdf"},
            {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/vnd.ms-excel;base64,<blob:3>"},
            {"type": "input_text", "text": "<blob:4>"},
        ])
    );
    let sound = on_responses(conversation("gpt-5.4", vec![user(vec![part(PartBody::Audio(blob(1, "audio/wav")))])]));
    assert_eq!(refusal(sound).kind, FailureKind::Unsupported);
}

#[test]
fn what_another_provider_made_in_the_assistants_turn_is_left_out_and_reported() {
    let made = || {
        [
            PartBody::Other(native("gemini", r#"{"executableCode":{}}"#)),
            PartBody::Image(blob(1, "image/png")),
            PartBody::Audio(blob(2, "audio/wav")),
            PartBody::Video(blob(3, "video/mp4")),
            PartBody::Document(blob(4, "application/pdf")),
        ]
    };
    let left_out = ["messages[1].parts[0]", "messages[1].parts[1]", "messages[1].parts[2]", "messages[1].parts[3]", "messages[1].parts[4]"];
    let (hi, and) = (json!({"role": "user", "content": "Hi"}), json!({"role": "user", "content": "And?"}));
    let found = json!({"role": "assistant", "content": "Found."});
    for (last, sent) in [(Some(text("Found.")), json!([hi, found, and])), (None, json!([hi, and]))] {
        let answer = assistant(made().map(part).into_iter().chain(last).collect());
        let messages = vec![user(vec![text("Hi")]), answer, user(vec![text("And?")])];
        let request = encode(on_responses(conversation("gpt-5.4", messages)));
        assert_eq!(body(&request)["input"], sent);
        assert_eq!(dropped(&request), left_out);
        assert!(request.dropped.iter().all(|dropped| dropped.reason.starts_with("left out")), "{:?}", request.dropped);
    }
    let [block, ..] = made();
    let instructed = conversation("gpt-5.4", vec![Message::of(Role::System, vec![part(block)]), user(vec![text("Hi")])]);
    let failure = refusal(on_responses(instructed));
    assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::Unsupported, Some("messages[0].parts[0]")));
}

#[test]
fn items_of_the_endpoints_own_kind_stand_where_they_stood() {
    let search = r#"{"type":"web_search_call","id":"ws_1","status":"completed"}"#;
    let approval = r#"{"type":"mcp_approval_response","approve":true}"#;
    let request = conversation(
        "gpt-5.4",
        vec![
            assistant(vec![part(PartBody::Other(native("openai-responses", search))), text("Found")]),
            user(vec![part(PartBody::Other(native("openai-responses", approval)))]),
        ],
    );
    let item = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(input(request), json!([item(search), {"role": "assistant", "content": "Found"}, item(approval)]));
}

#[test]
fn tools_are_flat_and_complete() {
    let bare = Tool::Function(llm_gateway_adapter::types::FunctionTool {
        name: "now".into(),
        description: None,
        parameters: None,
        strict: Some(true),
        cache: None,
        extras: vec![native("openai-responses", r#"{"defer_loading":true}"#)],
    });
    let grammar = Some(Grammar { syntax: "lark".into(), definition: "start: x".into() });
    let custom = Tool::Custom(CustomTool { name: "sql".into(), description: Some("d".into()), grammar, extras: vec![] });
    let search = Tool::Other(native("openai-responses", r#"{"type":"web_search"}"#));
    let tool_choice = Some(ToolChoice { mode: ToolMode::Required, only: vec!["now".into(), "sql".into()] });
    let sent = body(&encode(ChatRequest { tools: vec![bare, custom, search], tool_choice, ..asking("gpt-5.4") }));
    assert_eq!(
        sent["tools"],
        json!([
            {
                "type": "function", "name": "now", "parameters": {"type": "object", "properties": {}, "additionalProperties": false}, "strict": true,
                "defer_loading": true
            },
            {"type": "custom", "name": "sql", "description": "d", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
            {"type": "web_search"},
        ])
    );
    assert_eq!(
        sent["tool_choice"],
        json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}, {"type": "custom", "name": "sql"}]})
    );
}

#[test]
fn a_choice_of_the_providers_own_tool_is_the_callers_field() {
    let tools = vec![Tool::Other(native("openai-responses", r#"{"type":"web_search"}"#))];
    let extras = vec![native("openai-responses", r#"{"tool_choice":{"type":"web_search"}}"#)];
    assert_eq!(body(&encode(ChatRequest { tools, extras, ..asking("gpt-5.4") }))["tool_choice"], json!({"type": "web_search"}));
}

#[test]
fn a_calls_own_fields_come_back() {
    let mut from_program = call("c1", "weather", "{}");
    from_program.extras = vec![native("openai-responses", r#"{"caller":{"type":"program","caller_id":"p1"}}"#)];
    let request = conversation("gpt-5.6-sol", vec![assistant(vec![from_program])]);
    assert_eq!(input(request)[0]["caller"], json!({"type": "program", "caller_id": "p1"}));
}

#[test]
fn breakpoints_stand_only_in_the_input() {
    let cached = |body| Part { cache: Some(CacheBreakpoint { lifetime: Some(300) }), ..part(body) };
    let mut outcome = result_part("c1", vec![result_text("Sun")]);
    outcome.cache = Some(CacheBreakpoint { lifetime: None });
    let messages = vec![
        user(vec![cached(PartBody::Text("long".into()))]),
        assistant(vec![cached(PartBody::Text("hm".into())), call("c1", "weather", "{}")]),
        Message::of(Role::Tool, vec![outcome]),
    ];
    let request = encode(on_responses(conversation("gpt-5.6-sol", messages)));
    let sent = body(&request);
    assert_eq!(
        sent["input"][0]["content"],
        json!([{"type": "input_text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}])
    );
    assert_eq!(sent["input"][3]["output"], json!([{"type": "input_text", "text": "Sun", "prompt_cache_breakpoint": {"mode": "explicit"}}]));
    assert_eq!(dropped(&request), ["messages[1].parts[0].cache"]);
}

#[test]
fn reasoning_that_a_caller_has_from_openai_itself_goes_back_as_it_is() {
    let thought = |text: &str, fields: &str| {
        let extras = vec![native("openai-responses", fields)];
        Part { extras, ..Part::new(PartBody::Thinking(text.into())) }
    };
    let conversation = |model: &str| {
        let parts =
            vec![thought("Hm.", r#"{"id":"rs_1","encrypted_content":"gAAA"}"#), thought("Another's.", r#"{"id":"rs_2"}"#), text("4")];
        conversation(model, vec![user(vec![text("2+2?")]), assistant(parts), user(vec![text("+1?")])])
    };
    let sent = encode(conversation("gpt-5.6-sol"));
    assert_eq!(sent.path, "/responses");
    let item =
        json!({"id": "rs_1", "encrypted_content": "gAAA", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]});
    assert_eq!(body(&sent)["input"][1], item);
    assert_eq!(body(&sent)["input"].as_array().unwrap().len(), 4);
    assert_eq!(dropped(&sent), Vec::<&str>::new());
    // A server of another kind did not write it.
    assert_eq!(encode(conversation("llama3.3:70b")).path, "/chat/completions");
}
