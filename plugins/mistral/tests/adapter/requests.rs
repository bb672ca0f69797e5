//! What is sent to Mistral.

use adapter_mistral::Mistral;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::body_text;
use llm_gateway_adapter::types::*;
use serde_json::{Value, json};

const MODEL: &str = "mistral-medium-3-5";

fn part(body: PartBody) -> Part {
    Part::new(body)
}

fn asked(model: &str, parts: Vec<Part>) -> ChatRequest {
    ChatRequest::new(model, vec![Message::of(Role::User, parts)])
}

fn hello() -> ChatRequest {
    ChatRequest::new(MODEL, vec![Message::text(Role::User, "hi")])
}

fn sent(request: ChatRequest) -> HttpRequest {
    Mistral::encode(request).unwrap()
}

fn body(request: ChatRequest) -> Value {
    serde_json::from_str(&body_text(&sent(request))).unwrap()
}

fn dropped(request: &HttpRequest) -> Vec<&str> {
    request.dropped.iter().map(|dropped| dropped.parameter.as_str()).collect()
}

fn refused(request: ChatRequest) -> (FailureKind, Option<String>) {
    let failure = Mistral::encode(request).unwrap_err();
    (failure.kind, failure.parameter)
}

fn native(dialect: &str, value: Value) -> Native {
    Native { dialect: dialect.to_owned(), value: value.to_string() }
}

fn media(source: MediaSource, media_type: &str) -> Media {
    Media { source, media_type: Some(media_type.to_owned()), name: None, detail: None, transcript: None }
}

fn blob(media_type: &str) -> Media {
    media(MediaSource::Blob(Blob { id: 7, size: 3 }), media_type)
}

fn call(id: &str, arguments: &str) -> Part {
    part(PartBody::ToolCall(ToolCall { id: id.to_owned(), name: "weather".to_owned(), arguments: arguments.to_owned(), free_form: false }))
}

fn result(id: &str, content: Vec<ToolResultPart>) -> ToolResult {
    ToolResult { call_id: id.to_owned(), name: "weather".to_owned(), content, is_error: false }
}

fn results(result: ToolResult) -> Message {
    Message::of(Role::Tool, vec![part(PartBody::ToolResult(result))])
}

fn function(name: &str) -> FunctionTool {
    FunctionTool { name: name.to_owned(), description: None, parameters: None, strict: None, cache: None, extras: Vec::new() }
}

#[test]
fn a_plain_question_is_sent_as_small_as_it_can_be() {
    let request = sent(hello());
    assert_eq!(body_text(&request), r#"{"model":"mistral-medium-3-5","messages":[{"role":"user","content":"hi"}]}"#);
    assert_eq!((request.path.as_str(), request.framing, request.context.as_str()), ("/chat/completions", Framing::Whole, ""));
    assert!(request.dropped.is_empty());
}

#[test]
fn every_parameter_has_its_field() {
    let mut request = hello();
    request.sampling = Sampling {
        temperature: Some(0.3),
        top_p: Some(0.9),
        top_k: Some(40),
        presence_penalty: Some(0.5),
        frequency_penalty: Some(-0.5),
        seed: Some(-7),
        logit_bias: vec![(5, 1.0)],
    };
    request.max_output = Some(50);
    request.stop = vec!["END".to_owned()];
    request.choices = Some(2);
    request.logprobs = Some(3);
    request.user = Some("u1".to_owned());
    request.metadata = vec![("team".to_owned(), "a".to_owned())];
    request.stream = true;
    let http = sent(request.clone());
    assert_eq!(
        body(request),
        json!({
            "model": MODEL, "messages": [{"role": "user", "content": "hi"}], "temperature": 0.3, "top_p": 0.9, "top_k": 40, "max_tokens": 50,
            "stop": ["END"], "random_seed": 7, "metadata": {"team": "a"}, "presence_penalty": 0.5, "frequency_penalty": -0.5, "n": 2,
            "logprobs": true, "top_logprobs": 3, "stream": true
        })
    );
    assert_eq!(http.framing, Framing::Sse);
    assert_eq!(dropped(&http), ["sampling.logit-bias", "user"]);
}

#[test]
fn an_older_schema_is_spared_the_newer_fields() {
    let mut request = hello();
    request.sampling.top_k = Some(40);
    request.logprobs = Some(0);
    request.settings = vec![("schema".to_owned(), "2025".to_owned())];
    assert_eq!(dropped(&sent(request.clone())), ["logprobs", "sampling.top-k"]);
    assert_eq!(body(request.clone()), json!({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}));
    request.settings[0].1 = "1999".to_owned();
    assert_eq!(refused(request).1.as_deref(), Some("settings.schema"));
}

// ---- conversation --------------------------------------------------------------------------------------------------

#[test]
fn leading_system_messages_become_one_and_late_ones_the_users() {
    let request = ChatRequest::new(
        MODEL,
        vec![
            Message::text(Role::System, "Be brief."),
            Message::text(Role::Developer, "Be kind."),
            Message::text(Role::User, "hi"),
            Message::text(Role::Assistant, "Hello."),
            Message::text(Role::System, "Now in French."),
            Message::text(Role::User, "bye"),
        ],
    );
    assert_eq!(dropped(&sent(request.clone())), ["messages[4].role"]);
    assert_eq!(
        body(request)["messages"],
        json!([
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": [{"type": "text", "text": "Now in French."}, {"type": "text", "text": "bye"}]}
        ])
    );
}

#[test]
fn system_messages_alone_are_sent_as_a_users() {
    let request = ChatRequest::new(MODEL, vec![Message::text(Role::System, "Say hi.")]);
    assert_eq!(body(request)["messages"], json!([{"role": "user", "content": "Say hi."}]));
}

#[test]
fn a_last_message_of_the_assistant_is_gone_on_with() {
    let request = ChatRequest::new(MODEL, vec![Message::text(Role::User, "hi"), Message::text(Role::Assistant, "Well,")]);
    assert_eq!(body(request)["messages"][1], json!({"role": "assistant", "content": "Well,", "prefix": true}));
}

#[test]
fn a_tool_turn_keeps_the_order_that_mistral_enforces() {
    let request = ChatRequest::new(
        MODEL,
        vec![
            Message::text(Role::User, "Weather?"),
            Message::of(Role::Assistant, vec![call("toolu_01A", ""), call("aWsimsWMh", r#"{"city":"Oslo"}"#)]),
            Message::of(
                Role::Tool,
                vec![
                    part(PartBody::ToolResult(result("toolu_01A", vec![ToolResultPart::Text("4 C".to_owned())]))),
                    part(PartBody::ToolResult(ToolResult {
                        is_error: true,
                        ..result("aWsimsWMh", vec![ToolResultPart::Text("no".to_owned())])
                    })),
                ],
            ),
            Message::text(Role::User, "Thanks"),
        ],
    );
    let body = body(request);
    let messages = body["messages"].as_array().unwrap();
    let mapped = messages[1]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(mapped.len() == 9 && mapped.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{mapped}");
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "tool_calls": [
                {"id": mapped, "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                {"id": "aWsimsWMh", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}}]},
            {"role": "tool", "content": "4 C", "tool_call_id": mapped, "name": "weather"},
            {"role": "tool", "content": "Error: no", "tool_call_id": "aWsimsWMh", "name": "weather"},
            {"role": "assistant", "content": "I have the result."},
            {"role": "user", "content": "Thanks"}
        ])
    );
}

#[test]
fn foreign_tool_call_ids_stay_apart() {
    let ids: std::collections::BTreeSet<String> = (0..2_000)
        .map(|number| {
            let request = ChatRequest::new(
                MODEL,
                vec![Message::text(Role::User, "hi"), Message::of(Role::Assistant, vec![call(&format!("call_{number}"), "{}")])],
            );
            body(request)["messages"][1]["tool_calls"][0]["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 2_000);
}

#[test]
fn own_thinking_goes_back_as_it_came_and_foreign_thinking_stays_out() {
    let thought = |data: Option<&str>| Part {
        replay: data.map(|data| Replay { data: data.to_owned(), model: None }),
        ..part(PartBody::Thinking("Hm.".to_owned()))
    };
    let turn = |model: &str, thought: Part| {
        let mut answer = Message::text(Role::Assistant, "4");
        answer.parts.insert(0, thought);
        ChatRequest::new(model, vec![Message::text(Role::User, "2+2?"), answer, Message::text(Role::User, "Sure?")])
    };
    let chunk = |more: Value| {
        let mut chunk = json!({"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]});
        chunk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([chunk, {"type": "text", "text": "4"}])
    };
    let content = |request: ChatRequest| body(request)["messages"][1]["content"].clone();
    assert_eq!(content(turn(MODEL, thought(Some("")))), chunk(json!({})));
    let sealed = r#"{"signature":"c2ln","closed":false}"#;
    assert_eq!(content(turn(MODEL, thought(Some(sealed)))), chunk(json!({"signature": "c2ln", "closed": false})));
    assert_eq!(content(turn(MODEL, thought(None))), json!("4"));
    assert_eq!(content(turn("ministral-8b-2512", thought(Some("")))), json!("4"));
}

#[test]
fn an_assistant_who_only_thought_leaves_no_empty_message() {
    let thought = Message::of(Role::Assistant, vec![part(PartBody::Thinking("Hm.".to_owned())), part(PartBody::Text(String::new()))]);
    let request = ChatRequest::new(MODEL, vec![Message::text(Role::User, "a"), thought.clone(), Message::text(Role::User, "b")]);
    assert_eq!(
        body(request)["messages"],
        json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])
    );
    assert_eq!(refused(ChatRequest::new(MODEL, vec![thought])), (FailureKind::InvalidRequest, Some("messages".to_owned())));
    assert_eq!(refused(ChatRequest::new(MODEL, Vec::new())), (FailureKind::InvalidRequest, Some("messages".to_owned())));
}

#[test]
fn what_another_provider_made_in_the_assistants_turn_is_left_out_and_reported() {
    let made = || {
        [
            PartBody::Other(native("openai-responses", json!({"type": "web_search_call"}))),
            PartBody::Image(blob("image/png")),
            PartBody::Audio(blob("audio/wav")),
            PartBody::Video(blob("video/mp4")),
            PartBody::Document(blob("application/pdf")),
        ]
    };
    let left_out = ["messages[1].parts[0]", "messages[1].parts[1]", "messages[1].parts[2]", "messages[1].parts[3]", "messages[1].parts[4]"];
    let after = |last: Option<PartBody>| {
        let answer = Message::of(Role::Assistant, made().into_iter().chain(last).map(part).collect());
        ChatRequest::new(MODEL, vec![Message::text(Role::User, "Hi"), answer, Message::text(Role::User, "And?")])
    };
    let said = after(Some(PartBody::Text("Found.".to_owned())));
    assert_eq!(body(said.clone())["messages"][1], json!({"role": "assistant", "content": "Found."}));
    let said = sent(said);
    assert_eq!(dropped(&said), left_out);
    assert!(said.dropped.iter().all(|dropped| dropped.reason.starts_with("left out")), "{:?}", said.dropped);
    let silent = after(None);
    let joined = json!([{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "And?"}]}]);
    assert_eq!(body(silent.clone())["messages"], joined);
    assert_eq!(dropped(&sent(silent)), left_out);
    for body in &made()[..2] {
        let instruction = Message::of(Role::System, vec![part(body.clone())]);
        let request = ChatRequest::new(MODEL, vec![instruction, Message::text(Role::User, "Hi")]);
        assert_eq!(refused(request), (FailureKind::Unsupported, Some("messages[0].parts[0]".to_owned())), "{body:?}");
    }
}

#[test]
fn what_mistral_takes_from_nobody_is_reported() {
    let mut message = Message::text(Role::User, "hi");
    message.name = Some("Ann".to_owned());
    message.parts[0].cache = Some(CacheBreakpoint { lifetime: None });
    message.parts[0].extras = vec![native("anthropic-messages", json!({"caller": 1}))];
    message.extras = vec![native("openai-chat", json!({"mood": "good"}))];
    let request = sent(ChatRequest::new(MODEL, vec![message]));
    assert_eq!(
        dropped(&request),
        ["messages[0].name", "messages[0].parts[0].cache", "messages[0].parts[0].extras.caller", "messages[0].extras.mood"]
    );
}

// ---- media ---------------------------------------------------------------------------------------------------------

#[test]
fn media_have_their_chunks() {
    let url = |url: &str, media_type: &str| media(MediaSource::Url(url.to_owned()), media_type);
    let file = |dialect: &str| media(MediaSource::File(native(dialect, json!("file-1"))), "application/pdf");
    let detailed = |detail: &str| Media { detail: Some(detail.to_owned()), ..url("https://a/b.png", "image/png") };
    let named = Media { name: Some("a.pdf".to_owned()), ..blob("application/pdf") };
    for (body_part, expected) in [
        (PartBody::Image(url("https://a/b.png", "image/png")), json!({"type": "image_url", "image_url": {"url": "https://a/b.png"}})),
        (PartBody::Image(detailed("low")), json!({"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}})),
        (PartBody::Image(detailed("original")), json!({"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "high"}})),
        (PartBody::Image(blob("image/png")), json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,<blob:7>"}})),
        (
            PartBody::Document(named),
            json!({"type": "document_url", "document_url": "data:application/pdf;base64,<blob:7>", "document_name": "a.pdf"}),
        ),
        (PartBody::Document(url("https://a/b.pdf", "application/pdf")), json!({"type": "document_url", "document_url": "https://a/b.pdf"})),
        (PartBody::Document(file("mistral")), json!({"type": "file", "file_id": "file-1"})),
        (PartBody::Document(blob("text/markdown; charset=utf-8")), json!({"type": "text", "text": "<blob:7>"})),
        (PartBody::Audio(blob("audio/wav")), json!({"type": "input_audio", "input_audio": "<blob:7>"})),
        (PartBody::Audio(url("https://a/b.mp3", "audio/mp3")), json!({"type": "input_audio", "input_audio": "https://a/b.mp3"})),
        (PartBody::Other(native("mistral", json!({"type": "future", "a": 1}))), json!({"type": "future", "a": 1})),
    ] {
        let request = asked(MODEL, vec![part(PartBody::Text("look".to_owned())), part(body_part.clone())]);
        assert_eq!(body(request)["messages"][0]["content"][1], expected, "{body_part:?}");
    }
    for body_part in [
        PartBody::Document(file("openai-chat")),
        PartBody::Video(blob("video/mp4")),
        PartBody::Other(native("anthropic-messages", json!({"type": "container_upload"}))),
    ] {
        assert_eq!(refused(asked(MODEL, vec![part(body_part)])), (FailureKind::Unsupported, Some("messages[0].parts[0]".to_owned())));
    }
}

#[test]
fn a_blob_never_enters_the_text() {
    let request = sent(asked(MODEL, vec![part(PartBody::Image(blob("image/png")))]));
    let segments: Vec<bool> = request.body.iter().map(|segment| matches!(segment, Segment::BlobBase64(7))).collect();
    assert_eq!(segments, [false, true, false]);
}

#[test]
fn tool_results_may_hold_media() {
    let result = result("aWsimsWMh", vec![ToolResultPart::Text("map:".to_owned()), ToolResultPart::Image(blob("image/png"))]);
    let turn = vec![Message::text(Role::User, "?"), Message::of(Role::Assistant, vec![call("aWsimsWMh", "{}")]), results(result)];
    assert_eq!(
        body(ChatRequest::new(MODEL, turn))["messages"][2]["content"],
        json!([{"type": "text", "text": "map:"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,<blob:7>"}}])
    );
}

#[test]
fn further_fields_of_a_tool_result_are_reported_or_sent() {
    let mut message = results(result("aWsimsWMh", Vec::new()));
    message.parts[0].extras = vec![native("mistral", json!({"d": 4})), native("anthropic-messages", json!({"caller": 1}))];
    let turn = vec![Message::text(Role::User, "?"), Message::of(Role::Assistant, vec![call("aWsimsWMh", "{}")]), message];
    let request = ChatRequest::new(MODEL, turn);
    assert_eq!(dropped(&sent(request.clone())), ["messages[2].parts[0].extras.caller"]);
    let expected = json!({"role": "tool", "content": "", "tool_call_id": "aWsimsWMh", "name": "weather", "d": 4});
    assert_eq!(body(request)["messages"][2], expected);
}

#[test]
fn inline_data_of_an_unknown_type_is_refused() {
    let image = Media { media_type: None, ..blob("") };
    let expected = (FailureKind::InvalidRequest, Some("messages[0].parts[0].media-type".to_owned()));
    assert_eq!(refused(asked(MODEL, vec![part(PartBody::Image(image))])), expected);
}

// ---- tools ---------------------------------------------------------------------------------------------------------

#[test]
fn function_tools_always_have_parameters() {
    let mut request = hello();
    let mut described = function("add");
    described.description = Some("Adds".to_owned());
    described.parameters = Some(r#"{"type": "object"}"#.to_owned());
    described.strict = Some(true);
    request.tools = vec![Tool::Function(described), Tool::Function(function("now"))];
    request.parallel_tool_calls = Some(false);
    let body = body(request);
    assert_eq!(
        body["tools"],
        json!([
            {"type": "function", "function": {"name": "add", "description": "Adds", "strict": true, "parameters": {"type": "object"}}},
            {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
        ])
    );
    assert_eq!(body["parallel_tool_calls"], json!(false));
}

#[test]
fn tool_choices_have_their_words() {
    let named = json!({"type": "function", "function": {"name": "a"}});
    for (mode, only, choice, tools) in [
        (ToolMode::Auto, vec![], json!("auto"), 2),
        (ToolMode::None, vec![], json!("none"), 2),
        (ToolMode::None, vec!["a"], json!("none"), 2),
        (ToolMode::Required, vec![], json!("any"), 2),
        (ToolMode::Required, vec!["a"], named, 2),
        (ToolMode::Required, vec!["a", "b"], json!("any"), 2),
        (ToolMode::Auto, vec!["a"], json!("auto"), 1),
    ] {
        let mut request = hello();
        request.tools = vec![Tool::Function(function("a")), Tool::Function(function("b"))];
        request.tool_choice = Some(ToolChoice { mode, only: only.iter().map(|name| (*name).to_owned()).collect() });
        let body = body(request);
        assert_eq!((&body["tool_choice"], body["tools"].as_array().unwrap().len()), (&choice, tools), "{mode:?} {only:?}");
    }
    let mut request = hello();
    request.tool_choice = Some(ToolChoice { mode: ToolMode::Auto, only: vec!["x".to_owned()] });
    assert_eq!(refused(request), (FailureKind::InvalidRequest, Some("tool-choice.only".to_owned())));
}

#[test]
fn a_custom_tool_is_sent_as_a_function_of_one_string() {
    let mut request = hello();
    let grammar = Some(Grammar { syntax: "regex".to_owned(), definition: "ls.*".to_owned() });
    request.tools =
        vec![Tool::Custom(CustomTool { name: "shell".to_owned(), description: Some("Runs it".to_owned()), grammar, extras: Vec::new() })];
    let free = ToolCall { id: "aWsimsWMh".to_owned(), name: "shell".to_owned(), arguments: "echo \"hi\"".to_owned(), free_form: true };
    request.messages.push(Message::of(Role::Assistant, vec![part(PartBody::ToolCall(free))]));
    let http = sent(request.clone());
    assert_eq!(http.context, r#"["shell"]"#);
    assert_eq!(dropped(&http), ["tools[0].grammar"]);
    let body = body(request);
    assert_eq!(body["messages"][1]["tool_calls"][0]["function"]["arguments"], json!(r#"{"input":"echo \"hi\""}"#));
    let function = &body["tools"][0]["function"];
    assert_eq!(function["parameters"]["required"], json!(["input"]));
    assert_eq!(function["description"], json!("Runs it\n\nThe input must follow this regex grammar:\nls.*"));
}

#[test]
fn tools_of_another_dialect_are_unsupported() {
    let mut request = hello();
    request.tools = vec![Tool::Other(native("mistral", json!({"type": "web_search"})))];
    assert_eq!(body(request.clone())["tools"], json!([{"type": "web_search"}]));
    request.tools = vec![Tool::Other(native("anthropic-messages", json!({"type": "web_search_20260209"})))];
    assert_eq!(refused(request.clone()), (FailureKind::Unsupported, Some("tools[0]".to_owned())));
    request.tools = vec![Tool::Function(FunctionTool { parameters: Some("{".to_owned()), ..function("a") })];
    assert_eq!(refused(request), (FailureKind::InvalidRequest, Some("tools[0].parameters".to_owned())));
}

// ---- formats, reasoning, extras ------------------------------------------------------------------------------------

#[test]
fn output_formats_have_their_words() {
    let mut request = hello();
    request.response_format = Some(ResponseFormat::JsonSchema(JsonSchema {
        name: "fruit".to_owned(),
        description: None,
        schema: r#"{"type":"object"}"#.to_owned(),
        strict: Some(true),
    }));
    assert_eq!(
        body(request.clone())["response_format"],
        json!({"type": "json_schema", "json_schema": {"name": "fruit", "schema": {"type": "object"}, "strict": true}})
    );
    request.response_format = Some(ResponseFormat::Other(native("gemini", json!({}))));
    assert_eq!(refused(request), (FailureKind::Unsupported, Some("response-format".to_owned())));
}

#[test]
fn json_mode_asks_for_json_unless_the_prompt_does() {
    let mut request = hello();
    request.response_format = Some(ResponseFormat::JsonObject);
    let plain = body(request.clone());
    assert_eq!(plain["response_format"], json!({"type": "json_object"}));
    assert_eq!(plain["messages"][0], json!({"role": "system", "content": "Answer with a JSON object."}));
    request.messages = vec![Message::text(Role::User, "As Json, please")];
    assert_eq!(body(request)["messages"], json!([{"role": "user", "content": "As Json, please"}]));
}

#[test]
fn reasoning_is_sent_as_each_family_takes_it() {
    let none = Reasoning { enabled: None, effort: None, budget: None, visible: None };
    let effort = |effort| Reasoning { effort: Some(effort), ..none };
    let budget = |tokens| Reasoning { budget: Some(tokens), ..none };
    let enabled = |enabled| Reasoning { enabled: Some(enabled), ..none };
    let rows: [(&str, Reasoning, Value, Value, &[&str]); 17] = [
        ("mistral-medium-3-5", effort(Effort::High), json!("high"), Value::Null, &[]),
        ("mistral-medium-3-5", effort(Effort::None), json!("none"), Value::Null, &[]),
        ("mistral-medium-3-5", effort(Effort::Low), json!("high"), Value::Null, &["reasoning.effort"]),
        ("mistral-medium-3-5", enabled(true), json!("high"), Value::Null, &[]),
        ("mistral-medium-3-5", enabled(false), json!("none"), Value::Null, &[]),
        ("mistral-small-2603", budget(0), json!("none"), Value::Null, &[]),
        ("mistral-small-2603", budget(20_000), json!("high"), Value::Null, &["reasoning.budget"]),
        ("mistral-medium-2508", effort(Effort::High), Value::Null, Value::Null, &["reasoning.effort"]),
        ("mistral-large-4", effort(Effort::Medium), json!("medium"), Value::Null, &[]),
        ("mistral-large-4", effort(Effort::Maximum), json!("high"), Value::Null, &["reasoning.effort"]),
        ("mistral-large-4", enabled(true), Value::Null, Value::Null, &[]),
        ("magistral-medium-2509", effort(Effort::Low), Value::Null, json!("reasoning"), &["reasoning.effort"]),
        ("magistral-medium-2509", enabled(false), Value::Null, Value::Null, &["reasoning.enabled"]),
        ("ministral-8b-2512", effort(Effort::High), Value::Null, Value::Null, &["reasoning.effort"]),
        ("ministral-8b-2512", enabled(false), Value::Null, Value::Null, &[]),
        ("glm-5-2", effort(Effort::Maximum), json!("max"), Value::Null, &[]),
        ("glm-5-2", Reasoning { visible: Some(false), ..none }, Value::Null, Value::Null, &["reasoning.visible"]),
    ];
    for (model, reasoning, effort, mode, reported) in rows {
        let mut request = hello();
        request.model = model.to_owned();
        request.reasoning = Some(reasoning);
        let row = format!("{model} {reasoning:?}");
        assert_eq!(dropped(&sent(request.clone())), reported, "{row}");
        let body = body(request);
        assert_eq!((&body["reasoning_effort"], &body["prompt_mode"]), (&effort, &mode), "{row}");
    }
}

#[test]
fn extras_are_taken_by_their_dialect() {
    let mut request = hello();
    request.extras = vec![
        native("mistral", json!({"safe_prompt": true, "stream": true, "tool_choice": "auto"})),
        native(
            "openai-chat",
            json!({"service_tier": "auto", "prompt_cache_key": "k", "verbosity": "low", "stream_options": {"include_usage": true}}),
        ),
        native("anthropic-messages", json!({"anthropic-beta": "x"})),
        native("llm-gateway", json!({"new": 1})),
    ];
    assert_eq!(dropped(&sent(request.clone())), ["extras.stream", "extras.verbosity", "extras.anthropic-beta"]);
    assert_eq!(
        body(request.clone()),
        json!({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "safe_prompt": true, "tool_choice": "auto", "prompt_cache_key": "k"})
    );
    request.extras = vec![Native { dialect: "mistral".to_owned(), value: "[".to_owned() }];
    assert_eq!(refused(request), (FailureKind::InvalidRequest, Some("extras".to_owned())));
}

#[test]
fn own_fields_of_parts_messages_and_tools_stay_with_them() {
    let mut request = hello();
    request.messages[0].parts[0].extras = vec![native("mistral", json!({"a": 1}))];
    request.messages[0].extras = vec![native("mistral", json!({"b": 2, "role": "system"}))];
    request.tools = vec![Tool::Function(FunctionTool { extras: vec![native("mistral", json!({"c": 3}))], ..function("f") })];
    let body = body(request);
    assert_eq!(body["messages"], json!([{"role": "user", "content": [{"type": "text", "text": "hi", "a": 1}], "b": 2}]));
    assert_eq!(body["tools"][0]["c"], json!(3));
}

#[test]
fn thinking_that_another_model_has_signed_is_left_out_and_reported() {
    let thought = |model: &str| {
        let replay = Replay { data: r#"{"signature":"s"}"#.to_owned(), model: Some(model.to_owned()) };
        let parts = vec![Part { replay: Some(replay), ..part(PartBody::Thinking("Hm.".to_owned())) }, part(PartBody::Text("4".to_owned()))];
        let messages = vec![Message::text(Role::User, "2+2?"), Message::of(Role::Assistant, parts), Message::text(Role::User, "+1?")];
        Mistral::encode(ChatRequest::new("mistral-medium-3-5", messages)).unwrap()
    };
    assert_eq!(thought("mistral-medium-3-5").dropped, []);
    let dropped: Vec<String> = thought("mistral-small-2603").dropped.into_iter().map(|dropped| dropped.parameter).collect();
    assert_eq!(dropped, ["messages[1].parts[0]"]);
}

#[test]
fn what_is_no_schema_is_the_callers_mistake() {
    for schema in ["[]", "{", r##"{"properties":{"a":{"$ref":"#/properties/a"}}}"##] {
        let tool = FunctionTool {
            name: "f".to_owned(),
            description: None,
            parameters: Some(schema.to_owned()),
            strict: None,
            cache: None,
            extras: Vec::new(),
        };
        let request = ChatRequest {
            tools: vec![Tool::Function(tool)],
            ..ChatRequest::new("mistral-medium-3-5", vec![Message::text(Role::User, "a")])
        };
        let failure = Mistral::encode(request).unwrap_err();
        assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::InvalidRequest, Some("tools[0].parameters")), "{schema}");
    }
}
