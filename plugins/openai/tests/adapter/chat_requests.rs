//! Requests to `/chat/completions`.

use crate::support::*;
use llm_gateway_adapter::body::json_headers;
use llm_gateway_adapter::types::{
    CacheBreakpoint, ChatRequest, CustomTool, Effort, FailureKind, Framing, FunctionTool, Grammar, HttpMethod, JsonSchema, Media,
    MediaSource, Message, Part, PartBody, Reasoning, ResponseFormat, Role, Sampling, Segment, Tool, ToolChoice, ToolMode, ToolResultPart,
};
use serde_json::{Value, json};

fn messages(request: ChatRequest) -> Value {
    body(&encode(request))["messages"].clone()
}

fn part(body: PartBody) -> Part {
    Part::new(body)
}

#[test]
fn the_contracts_example() {
    let request = encode(ChatRequest { max_output: Some(50), ..asking("gpt-5.4") });
    let expected = r#"{"model":"gpt-5.4","messages":[{"role":"user","content":"2+2?"}],"max_completion_tokens":50}"#;
    assert_eq!(request.body, [Segment::Text(expected.into())]);
    assert_eq!((request.method, request.path.as_str(), request.framing), (HttpMethod::Post, "/chat/completions", Framing::Whole));
    assert_eq!((request.headers, request.query, request.context.as_str()), (json_headers(), vec![], ""));
    assert!(request.dropped.is_empty());
}

#[test]
fn roles_and_names_are_kept() {
    let named = Message { name: Some("Ada".into()), ..Message::text(Role::User, "Hi") };
    let request = conversation(
        "gpt-4o",
        vec![
            Message::text(Role::System, "Be brief."),
            Message::text(Role::Developer, "Be kind."),
            named,
            Message::text(Role::Assistant, "Hello"),
            user(vec![text("a"), text("b")]),
        ],
    );
    assert_eq!(
        messages(request),
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "name": "Ada", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ])
    );
}

#[test]
fn every_tuning_parameter_has_its_field() {
    let sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: None,
        presence_penalty: Some(0.1),
        frequency_penalty: Some(-0.1),
        seed: Some(7),
        logit_bias: vec![(50256, -100.0)],
    };
    let request = encode(ChatRequest {
        sampling,
        max_output: Some(99),
        stop: vec!["END".into()],
        choices: Some(2),
        logprobs: Some(3),
        user: Some("u1".into()),
        metadata: vec![("team".into(), "a".into())],
        stream: true,
        ..asking("gpt-4o")
    });
    assert_eq!(
        body(&request),
        json!({
            "model": "gpt-4o", "messages": [{"role": "user", "content": "2+2?"}], "max_completion_tokens": 99,
            "temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.1, "frequency_penalty": -0.1, "seed": 7, "logit_bias": {"50256": -100.0},
            "logprobs": true, "top_logprobs": 3, "stop": ["END"], "n": 2, "safety_identifier": "u1", "metadata": {"team": "a"},
            "stream": true, "stream_options": {"include_usage": true},
        })
    );
    assert_eq!(request.framing, Framing::Sse);
    assert!(request.dropped.is_empty());
}

#[test]
fn a_reasoning_model_is_spared_what_it_refuses() {
    let sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(40),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.1),
        seed: Some(7),
        logit_bias: vec![(1, 1.0)],
    };
    let request = encode(ChatRequest { sampling, stop: vec!["END".into()], logprobs: Some(0), ..asking("gpt-5.6-terra") });
    assert_eq!(body(&request), json!({"model": "gpt-5.6-terra", "messages": [{"role": "user", "content": "2+2?"}], "seed": 7}));
    let mut names = dropped(&request);
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "logprobs",
            "sampling.frequency-penalty",
            "sampling.logit-bias",
            "sampling.presence-penalty",
            "sampling.temperature",
            "sampling.top-k",
            "sampling.top-p",
            "stop"
        ]
    );
}

#[test]
fn a_model_that_is_not_to_reason_takes_sampling() {
    let mut request = asking("gpt-5.6-terra");
    request.sampling.temperature = Some(0.5);
    request.reasoning = Some(Reasoning { enabled: Some(false), ..no_reasoning_wish() });
    let sent = body(&encode(request));
    assert_eq!((&sent["temperature"], &sent["reasoning_effort"]), (&json!(0.5), &json!("none")));
    let mut by_default = asking("gpt-5.4");
    by_default.sampling.temperature = Some(0.5);
    assert_eq!(body(&encode(by_default))["temperature"], 0.5);
}

#[test]
fn efforts_are_what_the_model_takes() {
    let effort = |effort| Reasoning { effort: Some(effort), ..no_reasoning_wish() };
    let budget = |tokens| Reasoning { budget: Some(tokens), ..no_reasoning_wish() };
    let enabled = |enabled| Reasoning { enabled: Some(enabled), ..no_reasoning_wish() };
    for (model, reasoning, sent, reported) in [
        ("gpt-5", effort(Effort::High), json!("high"), vec![]),
        ("gpt-5", effort(Effort::None), json!("minimal"), vec!["reasoning.effort"]),
        ("o3", effort(Effort::ExtraHigh), json!("high"), vec!["reasoning.effort"]),
        ("gpt-5.4", effort(Effort::ExtraHigh), json!("xhigh"), vec![]),
        ("gpt-5.4", budget(4000), json!("medium"), vec!["reasoning.budget"]),
        ("gpt-5.4", enabled(true), json!("medium"), vec![]),
        ("gpt-5.6-sol", enabled(true), Value::Null, vec![]),
        ("gpt-6-astra", enabled(false), json!("low"), vec!["reasoning.enabled"]),
        ("gpt-4o", effort(Effort::High), Value::Null, vec!["reasoning.effort"]),
        ("gpt-4o", enabled(false), Value::Null, vec![]),
        ("gpt-oss-120b", effort(Effort::High), json!("high"), vec![]),
    ] {
        let request = encode(ChatRequest { reasoning: Some(reasoning), ..asking(model) });
        assert_eq!((&body(&request)["reasoning_effort"], dropped(&request)), (&sent, reported), "{model}, {sent}");
    }
}

#[test]
fn reasoning_that_can_not_be_shown_is_reported() {
    let reasoning = Some(Reasoning { visible: Some(true), ..no_reasoning_wish() });
    assert_eq!(dropped(&encode(ChatRequest { reasoning, choices: Some(2), ..asking("gpt-5.4") })), ["reasoning.visible"]);
}

#[test]
fn response_formats() {
    let format = |format| {
        body(&encode(ChatRequest { response_format: Some(format), ..conversation("gpt-4o", vec![user(vec![text("In JSON!")])]) }))["response_format"].clone()
    };
    let schema =
        JsonSchema { name: "my answer".into(), description: Some("d".into()), schema: r#"{"type":"string"}"#.into(), strict: Some(true) };
    assert_eq!(format(ResponseFormat::Text), json!({"type": "text"}));
    assert_eq!(format(ResponseFormat::JsonObject), json!({"type": "json_object"}));
    assert_eq!(
        format(ResponseFormat::JsonSchema(schema)),
        json!({"type": "json_schema", "json_schema": {"name": "my_answer", "description": "d", "schema": {"type": "string"}, "strict": true}})
    );
    assert_eq!(format(ResponseFormat::Other(native("openai-chat", r#"{"type":"grammar"}"#))), json!({"type": "grammar"}));
    let foreign = ChatRequest { response_format: Some(ResponseFormat::Other(native("gemini", "{}"))), ..asking("gpt-4o") };
    assert_eq!(refusal(foreign).kind, FailureKind::Unsupported);
    let broken = JsonSchema { name: "x".into(), description: None, schema: "{".into(), strict: None };
    let failure = refusal(ChatRequest { response_format: Some(ResponseFormat::JsonSchema(broken)), ..asking("gpt-4o") });
    assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::InvalidRequest, Some("response-format.schema")));
}

#[test]
fn json_mode_has_the_word_that_the_provider_demands() {
    let request = encode(ChatRequest { response_format: Some(ResponseFormat::JsonObject), ..asking("gpt-4o") });
    assert_eq!(body(&request)["messages"][0], json!({"role": "system", "content": "Answer with a JSON object."}));
    assert_eq!(dropped(&request), ["response-format"]);
}

#[test]
fn tools_and_the_choice_among_them() {
    let grammar = Some(Grammar { syntax: "regex".into(), definition: "SELECT .+".into() });
    let custom = Tool::Custom(CustomTool { name: "sql".into(), description: None, grammar, extras: vec![] });
    let choose = |mode, only: &[&str]| {
        let tools = vec![weather_tool(), custom.clone()];
        let tool_choice = Some(ToolChoice { mode, only: only.iter().map(|name| (*name).to_owned()).collect() });
        body(&encode(ChatRequest { tools, tool_choice, parallel_tool_calls: Some(false), ..asking("gpt-4o") }))
    };
    let sent = choose(ToolMode::Auto, &[]);
    assert_eq!(
        sent["tools"],
        json!([
            {"type": "function", "function": {
                "name": "weather", "description": "Weather of a city", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            }},
            {"type": "custom", "custom": {"name": "sql", "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "SELECT .+"}}}},
        ])
    );
    assert_eq!((&sent["tool_choice"], &sent["parallel_tool_calls"]), (&json!("auto"), &json!(false)));
    assert_eq!(choose(ToolMode::None, &["weather"])["tool_choice"], "none");
    assert_eq!(choose(ToolMode::Required, &[])["tool_choice"], "required");
    assert_eq!(choose(ToolMode::Required, &["weather"])["tool_choice"], json!({"type": "function", "function": {"name": "weather"}}));
    assert_eq!(choose(ToolMode::Required, &["sql"])["tool_choice"], json!({"type": "custom", "custom": {"name": "sql"}}));
    assert_eq!(
        choose(ToolMode::Auto, &["weather", "sql"])["tool_choice"],
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
            {"type": "function", "function": {"name": "weather"}}, {"type": "custom", "custom": {"name": "sql"}},
        ]}})
    );
}

#[test]
fn a_choice_without_tools_is_left_out_and_reported() {
    let tool_choice = Some(ToolChoice { mode: ToolMode::Required, only: vec![] });
    let request = encode(ChatRequest { tool_choice, parallel_tool_calls: Some(true), ..asking("gpt-4o") });
    assert_eq!(body(&request), json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "2+2?"}]}));
    assert_eq!(dropped(&request), ["tool-choice", "parallel-tool-calls"]);
}

#[test]
fn a_tool_of_another_provider_is_unsupported() {
    let tools = vec![weather_tool(), Tool::Other(native("gemini", r#"{"googleSearch":{}}"#))];
    let failure = refusal(ChatRequest { tools, ..asking("gpt-4o") });
    assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::Unsupported, Some("tools[1]")));
}

#[test]
fn calls_and_their_results() {
    let failed = PartBody::ToolResult(llm_gateway_adapter::types::ToolResult {
        call_id: "c2".into(),
        name: "weather".into(),
        content: vec![result_text("no such city")],
        is_error: true,
    });
    let request = conversation(
        "gpt-4o",
        vec![
            assistant(vec![
                text("Let me see."),
                call("c1", "weather", r#"{"city":"Oslo"}"#),
                call("c2", "weather", ""),
                custom_call("c3", "sql", "SELECT 1"),
            ]),
            Message::of(Role::Tool, vec![result_part("c1", vec![result_text("Sun")]), part(failed)]),
            result("c3", vec![]),
        ],
    );
    assert_eq!(
        messages(request),
        json!([
            {"role": "assistant", "content": "Let me see.", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}},
                {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                {"id": "c3", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "Sun"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "Error:"}, {"type": "text", "text": "no such city"}]},
            {"role": "tool", "tool_call_id": "c3", "content": ""},
        ])
    );
}

#[test]
fn an_image_in_a_result_follows_the_last_result_of_its_turn() {
    let request = conversation(
        "qwen3-vl",
        vec![
            assistant(vec![call("c1", "look", "{}"), call("c2", "look", "{}")]),
            result("c1", vec![result_text("see"), ToolResultPart::Image(blob(7, "image/png"))]),
            result("c2", vec![result_text("nothing")]),
        ],
    );
    let sent = messages(request);
    assert_eq!(sent[1], json!({"role": "tool", "tool_call_id": "c1", "content": "see"}));
    assert_eq!(sent[2], json!({"role": "tool", "tool_call_id": "c2", "content": "nothing"}));
    assert_eq!(
        sent[3],
        json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,<blob:7>"}}]})
    );
}

#[test]
fn media_by_blob_url_and_file() {
    let detailed = Media { detail: Some("low".into()), ..url("https://a.b/c.png", "image/png") };
    let named = Media { name: Some("notes.md".into()), ..blob(4, "text/markdown; charset=utf-8") };
    let request = conversation(
        "gpt-4o",
        vec![user(vec![
            part(PartBody::Image(blob(1, "image/jpeg"))),
            part(PartBody::Image(detailed)),
            part(PartBody::Document(blob(3, "application/pdf"))),
            part(PartBody::Document(named)),
            part(PartBody::Document(media(MediaSource::File(native("openai-chat", "\"file-9\"")), "application/pdf"))),
        ])],
    );
    assert_eq!(
        messages(request)[0]["content"],
        json!([
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,<blob:1>"}},
            {"type": "image_url", "image_url": {"url": "https://a.b/c.png", "detail": "low"}},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,<blob:3>"}},
            {"type": "text", "text": "notes.md:\n\n<blob:4>"},
            {"type": "file", "file": {"file_id": "file-9"}},
        ])
    );
    let sound = conversation("gpt-audio", vec![user(vec![part(PartBody::Audio(blob(2, "audio/mpeg")))])]);
    assert_eq!(messages(sound)[0]["content"], json!([{"type": "input_audio", "input_audio": {"data": "<blob:2>", "format": "mp3"}}]));
}

#[test]
fn a_blob_is_a_segment_of_its_own() {
    let request = encode(conversation("gpt-4o", vec![user(vec![part(PartBody::Image(blob(7, "image/png")))])]));
    assert!(matches!(request.body.as_slice(), [Segment::Text(_), Segment::BlobBase64(7), Segment::Text(_)]), "{:?}", request.body);
}

#[test]
fn parts_that_nobody_there_can_take_are_unsupported() {
    let foreign_file = media(MediaSource::File(native("gemini", "\"files/1\"")), "image/png");
    for body in [
        PartBody::Video(blob(1, "video/mp4")),
        PartBody::Audio(blob(1, "audio/flac")),
        PartBody::Audio(url("https://a.b/c.wav", "audio/wav")),
        PartBody::Image(foreign_file),
        PartBody::Other(native("anthropic-messages", "{}")),
    ] {
        let failure = refusal(conversation("gpt-audio", vec![user(vec![text("x"), part(body.clone())])]));
        assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::Unsupported, Some("messages[0].parts[1]")), "{body:?}");
    }
}

#[test]
fn what_another_provider_made_in_the_assistants_turn_is_left_out_and_reported() {
    let made = || {
        [
            PartBody::Other(native("anthropic-messages", r#"{"type":"server_tool_use"}"#)),
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
        let request = encode(conversation("gpt-4o", vec![user(vec![text("Hi")]), answer, user(vec![text("And?")])]));
        assert_eq!(body(&request)["messages"], sent);
        assert_eq!(dropped(&request), left_out);
        assert!(request.dropped.iter().all(|dropped| dropped.reason.starts_with("left out")), "{:?}", request.dropped);
    }
    let [block, ..] = made();
    let failure = refusal(conversation("gpt-4o", vec![Message::of(Role::System, vec![part(block)]), user(vec![text("Hi")])]));
    assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::Unsupported, Some("messages[0].parts[0]")));
}

#[test]
fn earlier_answers_come_back() {
    let sound = Media { transcript: Some("Hi.".into()), ..media(MediaSource::Base64(String::new()), "audio/mpeg") };
    let mut own_sound = part(PartBody::Audio(sound.clone()));
    own_sound.replay = replay(r#"{"audio_id":"audio_1"}"#);
    let extras = vec![native("openai-chat", r#"{"audio":{"id":"audio_2"}}"#)];
    let request = encode(conversation(
        "gpt-audio",
        vec![
            assistant(vec![part(PartBody::Thinking("another's".into())), part(PartBody::Refusal("No.".into()))]),
            Message { extras: extras.clone(), ..assistant(vec![own_sound]) },
            Message { extras, ..assistant(vec![]) },
            assistant(vec![part(PartBody::Audio(sound))]),
            assistant(vec![part(PartBody::Thinking("another's".into()))]),
            user(vec![text("Go on.")]),
        ],
    ));
    assert_eq!(
        body(&request)["messages"],
        json!([
            {"role": "assistant", "refusal": "No."},
            {"role": "assistant", "audio": {"id": "audio_1"}},
            {"role": "assistant", "audio": {"id": "audio_2"}},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "Go on."},
        ])
    );
    assert_eq!(dropped(&request), ["messages[3].parts[0]"]);
}

#[test]
fn a_last_message_of_the_assistant_is_reported_as_not_gone_on_with() {
    let request = encode(conversation("gpt-4o", vec![user(vec![text("Hi")]), assistant(vec![text("Dear ")])]));
    assert_eq!(dropped(&request), ["messages[1]"]);
}

#[test]
fn breakpoints_go_to_models_that_have_them() {
    let cached = |lifetime| Part { cache: Some(CacheBreakpoint { lifetime }), ..text("long") };
    let request =
        |model| encode(conversation(model, vec![Message::of(Role::System, vec![cached(None)]), user(vec![cached(Some(86_400))])]));
    let new = request("gpt-5.6-luna");
    assert_eq!(
        body(&new)["messages"],
        json!([
            {"role": "system", "content": [{"type": "text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
            {"role": "user", "content": [{"type": "text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}]},
        ])
    );
    assert!(new.dropped.is_empty());
    assert_eq!(dropped(&request("gpt-5.4")), ["messages[0].parts[0].cache", "messages[1].parts[0].cache"]);
}

#[test]
fn only_the_last_four_breakpoints_are_sent() {
    let cached = || Part { cache: Some(CacheBreakpoint { lifetime: None }), ..text("long") };
    let request = encode(conversation("gpt-5.6-luna", vec![user(vec![cached(), cached(), cached(), cached(), cached()])]));
    assert_eq!(dropped(&request), ["messages[0].parts[0].cache"]);
    let content = &body(&request)["messages"][0]["content"];
    let marked = content.as_array().unwrap().iter().filter(|part| part.get("prompt_cache_breakpoint").is_some()).count();
    assert_eq!(marked, 4);
}

#[test]
fn extras_of_either_dialect_are_passed_on_or_reported() {
    let extras = vec![
        native(
            "openai-chat",
            r#"{"service_tier":"flex","modalities":["text"],"openai-beta":"x=1","model":"other","stream_options":{"include_obfuscation":false}}"#,
        ),
        native("openai-responses", r#"{"text":{"verbosity":"low"},"prompt_cache_key":"k","truncation":"auto"}"#),
        native("gemini", r#"{"safetySettings":[]}"#),
        native("llm-gateway", r#"{"later":1}"#),
    ];
    let settings = vec![("endpoint".to_owned(), "chat".to_owned())];
    let request = encode(ChatRequest { extras, settings, stream: true, ..asking("gpt-4o") });
    assert_eq!(
        body(&request),
        json!({
            "model": "gpt-4o", "messages": [{"role": "user", "content": "2+2?"}], "stream": true,
            "stream_options": {"include_obfuscation": false, "include_usage": true},
            "service_tier": "flex", "modalities": ["text"], "verbosity": "low", "prompt_cache_key": "k",
        })
    );
    assert_eq!(dropped(&request), ["extras.truncation", "extras.safetySettings", "extras.model"]);
    assert!(request.headers.contains(&("openai-beta".to_owned(), "x=1".to_owned())));
}

#[test]
fn extras_of_messages_parts_and_tools_are_passed_on() {
    let mut request = asking("gpt-4o");
    request.messages[0].extras = vec![native("openai-chat", r#"{"weight":1}"#)];
    request.messages[0].parts[0].extras = vec![native("openai-chat", r#"{"x":2}"#), native("anthropic-messages", r#"{"y":3}"#)];
    let request = encode(request);
    assert_eq!(body(&request)["messages"][0], json!({"role": "user", "content": [{"type": "text", "text": "2+2?", "x": 2}], "weight": 1}));
    assert_eq!(dropped(&request), ["messages[0].parts[0].extras.y"]);
}

#[test]
fn the_format_of_a_sound_is_remembered_for_the_answer() {
    let extras = vec![native("openai-chat", r#"{"modalities":["text","audio"],"audio":{"voice":"alloy","format":"mp3"}}"#)];
    assert_eq!(encode(ChatRequest { extras, ..asking("gpt-audio") }).context, "audio/mpeg");
}

#[test]
fn a_schema_that_can_not_be_strict_is_sent_without_it_and_reported() {
    let optional = r#"{"type":"object","properties":{"city":{"type":"string"}}}"#;
    let held = |schema: &str| {
        let tool = FunctionTool {
            name: "f".into(),
            description: None,
            parameters: Some(schema.into()),
            strict: Some(true),
            cache: None,
            extras: vec![],
        };
        encode(ChatRequest { tools: vec![Tool::Function(tool)], ..asking("gpt-4o") })
    };
    let sent = held(optional);
    assert_eq!(body(&sent)["tools"][0]["function"]["strict"], false);
    assert_eq!(body(&sent)["tools"][0]["function"]["parameters"].to_string(), optional);
    assert_eq!(dropped(&sent), ["tools[0].strict"]);
    let sent = held(r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#);
    assert_eq!(body(&sent)["tools"][0]["function"]["strict"], true);
    assert_eq!(body(&sent)["tools"][0]["function"]["parameters"]["additionalProperties"], false);
    assert_eq!(dropped(&sent), Vec::<&str>::new());
}

#[test]
fn more_than_four_stop_sequences_are_reported() {
    let stop: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    let sent = encode(ChatRequest { stop: stop.clone(), ..asking("gpt-4o") });
    assert_eq!((&body(&sent)["stop"], dropped(&sent)), (&json!(["a", "b", "c", "d"]), vec!["stop[4]"]));
    assert_eq!(body(&encode(ChatRequest { stop, ..asking("llama3.3:70b") }))["stop"].as_array().unwrap().len(), 5);
}

#[test]
fn what_the_provider_does_not_fetch_itself_is_named() {
    let pdf = PartBody::Document(url("https://example.com/a.pdf", "application/pdf"));
    let sound = PartBody::Audio(url("https://example.com/a.wav", "audio/wav"));
    for (model, body) in [("gpt-audio", pdf), ("gpt-audio", sound.clone()), ("gpt-5.6-sol", sound)] {
        let failure = refusal(conversation(model, vec![user(vec![text("Look:"), Part::new(body)])]));
        assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::Unsupported, Some("messages[0].parts[1]")), "{model}");
    }
}

#[test]
fn an_absurd_schema_is_the_callers_mistake() {
    let wide: Vec<String> = (0..10_000).map(|at| format!("\"p{at}\":{{}}")).collect();
    let deep = format!("{}1{}", "{\"items\":".repeat(10_000), "}".repeat(10_000));
    for schema in [format!("{{\"properties\":{{{}}}}}", wide.join(",")), deep, r##"{"$ref":"#"}"##.to_owned()] {
        for endpoint in ["chat", "responses"] {
            let format =
                ResponseFormat::JsonSchema(JsonSchema { name: "n".into(), description: None, schema: schema.clone(), strict: Some(true) });
            let settings = vec![("endpoint".to_owned(), endpoint.to_owned())];
            let failure = refusal(ChatRequest { response_format: Some(format), settings, ..asking("gpt-4o") });
            let named = (failure.kind, failure.parameter.as_deref());
            assert_eq!(named, (FailureKind::InvalidRequest, Some("response-format.schema")));
        }
    }
}
