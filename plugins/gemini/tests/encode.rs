//! What Gemini is sent, field by field.
#![allow(clippy::unwrap_used, clippy::panic)]

use adapter_gemini::Gemini;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::body_text;
use llm_gateway_adapter::serde_json::{Value, from_str, json};
use llm_gateway_adapter::types::*;

const MODEL: &str = "gemini-3.8-flash";

fn encode(request: ChatRequest) -> HttpRequest {
    Gemini::encode(request).unwrap()
}

fn body(request: ChatRequest) -> Value {
    from_str(&body_text(&encode(request))).unwrap()
}

fn dropped(request: ChatRequest) -> Vec<String> {
    encode(request).dropped.into_iter().map(|dropped| dropped.parameter).collect()
}

fn refused(request: ChatRequest) -> (FailureKind, Option<String>) {
    let failure = Gemini::encode(request).unwrap_err();
    (failure.kind, failure.parameter)
}

fn ask() -> ChatRequest {
    ChatRequest::new(MODEL, vec![Message::text(Role::User, "2+2?")])
}

fn conversation(messages: Vec<Message>) -> ChatRequest {
    ChatRequest::new(MODEL, messages)
}

fn user(part: PartBody) -> ChatRequest {
    conversation(vec![Message::of(Role::User, vec![Part::new(part)])])
}

fn call(id: &str, arguments: &str) -> Part {
    let call = ToolCall { id: id.into(), name: "weather".into(), arguments: arguments.into(), free_form: false };
    Part::new(PartBody::ToolCall(call))
}

fn signed(part: Part, signature: &str, model: &str) -> Part {
    Part { replay: Some(Replay { data: signature.into(), model: Some(model.into()) }), ..part }
}

fn result(id: &str, text: &str) -> Part {
    result_of(id, vec![ToolResultPart::Text(text.into())])
}

fn result_of(id: &str, content: Vec<ToolResultPart>) -> Part {
    let result = ToolResult { call_id: id.into(), name: "weather".into(), content, is_error: false };
    Part::new(PartBody::ToolResult(result))
}

fn media(source: MediaSource, media_type: Option<&str>) -> Media {
    Media { source, media_type: media_type.map(str::to_owned), name: None, detail: None, transcript: None }
}

fn blob(id: u32) -> MediaSource {
    MediaSource::Blob(Blob { id, size: 9 })
}

fn native(dialect: &str, value: Value) -> Native {
    Native { dialect: dialect.into(), value: value.to_string() }
}

fn function(name: &str, parameters: Option<Value>) -> FunctionTool {
    FunctionTool {
        name: name.into(),
        description: None,
        parameters: parameters.map(|schema| schema.to_string()),
        strict: None,
        cache: None,
        extras: vec![],
    }
}

fn with_tools(tools: Vec<Tool>, choice: Option<(ToolMode, &[&str])>) -> ChatRequest {
    let tool_choice = choice.map(|(mode, only)| ToolChoice { mode, only: only.iter().map(|name| (*name).to_owned()).collect() });
    ChatRequest { tools, tool_choice, ..ask() }
}

#[test]
fn a_question_is_one_turn() {
    let request = encode(ChatRequest { max_output: Some(50), ..ask() });
    assert_eq!((request.path.as_str(), request.query.len()), ("/models/gemini-3.8-flash:generateContent", 0));
    assert!(matches!((request.method, request.framing), (HttpMethod::Post, Framing::Whole)));
    assert_eq!((request.context.as_str(), request.dropped.len()), ("", 0));
    assert_eq!(
        body_text(&request),
        r#"{"contents":[{"role":"user","parts":[{"text":"2+2?"}]}],"generationConfig":{"maxOutputTokens":50}}"#
    );
}

#[test]
fn a_stream_is_asked_for_as_server_sent_events() {
    let request = encode(ChatRequest { stream: true, ..ask() });
    assert_eq!(request.path, "/models/gemini-3.8-flash:streamGenerateContent");
    assert_eq!(request.query, [("alt".to_owned(), "sse".to_owned())]);
    assert!(matches!(request.framing, Framing::Sse));
}

#[test]
fn a_model_that_cuts_whole_answers_is_streamed() {
    for (model, method) in [
        ("gemini-4-argon", "streamGenerateContent"),
        ("gemini-9-new", "streamGenerateContent"),
        ("gemini-3.8-flash", "generateContent"),
        ("gemma-4-31b-it", "generateContent"),
    ] {
        let request = encode(ChatRequest { model: model.into(), ..ask() });
        assert!(request.path.ends_with(&format!(":{method}")), "{model}: {}", request.path);
    }
}

#[test]
fn logprobs_are_asked_for_without_a_stream() {
    for stream in [true, false] {
        let request = encode(ChatRequest { logprobs: Some(2), stream, ..ask() });
        assert!(matches!(request.framing, Framing::Whole));
        assert!(body_text(&request).contains(r#""responseLogprobs":true,"logprobs":2"#));
    }
    let chosen_alone = body(ChatRequest { logprobs: Some(0), ..ask() });
    assert_eq!(chosen_alone["generationConfig"], json!({"responseLogprobs": true}));
    assert_eq!(dropped(ChatRequest { model: "gemini-3.1-pro-preview".into(), logprobs: Some(1), ..ask() }), ["logprobs"]);
}

#[test]
fn a_models_name_can_not_leave_its_place_in_the_path() {
    for (model, path) in [
        ("models/gemini-3.8-flash", "/models/gemini-3.8-flash:generateContent"),
        ("tunedModels/mine", "/tunedModels/mine:generateContent"),
        ("a:countTokens?x", "/models/a%3AcountTokens%3Fx:generateContent"),
        ("../files/1", "/models/..%2Ffiles%2F1:generateContent"),
    ] {
        assert_eq!(encode(ChatRequest { model: model.into(), ..ask() }).path, path);
    }
}

#[test]
fn sampling_and_limits_have_their_names() {
    let request = ChatRequest {
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            presence_penalty: Some(0.1),
            frequency_penalty: Some(0.2),
            seed: Some(-7),
            logit_bias: vec![],
        },
        stop: vec!["END".into()],
        choices: Some(2),
        model: "gemini-2.0-flash".into(),
        ..ask()
    };
    assert_eq!(
        body(request)["generationConfig"],
        json!({"temperature": 0.5, "topP": 0.9, "topK": 40, "candidateCount": 2, "stopSequences": ["END"],
            "presencePenalty": 0.1, "frequencyPenalty": 0.2, "seed": -7})
    );
}

#[test]
fn what_only_tunes_and_can_not_be_sent_is_reported() {
    let request = ChatRequest {
        sampling: Sampling {
            presence_penalty: Some(0.1),
            frequency_penalty: Some(0.0),
            seed: Some(1 << 40),
            logit_bias: vec![(1, 1.0)],
            ..ask().sampling
        },
        stop: ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec(),
        parallel_tool_calls: Some(false),
        user: Some("u".into()),
        metadata: vec![("k".into(), "v".into())],
        ..ask()
    };
    let sent = body(request.clone());
    assert_eq!(sent["generationConfig"], json!({"stopSequences": ["a", "b", "c", "d", "e"]}));
    let expected =
        ["sampling.presence-penalty", "stop[5]", "sampling.seed", "parallel-tool-calls", "sampling.logit-bias", "user", "metadata"];
    let mut lost = dropped(request);
    lost.sort();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(lost, expected);
}

#[test]
fn reasoning_reaches_the_thinking_config() {
    let reasoning = Reasoning { enabled: None, effort: Some(Effort::Low), budget: None, visible: Some(true) };
    let sent = body(ChatRequest { reasoning: Some(reasoning), ..ask() });
    assert_eq!(sent["generationConfig"]["thinkingConfig"], json!({"includeThoughts": true, "thinkingLevel": "LOW"}));
}

#[test]
fn instructions_lead_and_late_ones_are_the_users_text() {
    let request = conversation(vec![
        Message::text(Role::System, "a"),
        Message::text(Role::Developer, "b"),
        Message::text(Role::User, "c"),
        Message::text(Role::System, "d"),
        Message::text(Role::User, ""),
    ]);
    let sent = body(request.clone());
    assert_eq!(sent["systemInstruction"], json!({"parts": [{"text": "a"}, {"text": "b"}]}));
    assert_eq!(sent["contents"], json!([{"role": "user", "parts": [{"text": "c"}, {"text": "d"}]}]));
    assert_eq!(dropped(request), ["messages[3].role"]);
}

#[test]
fn instructions_alone_become_the_turn() {
    let request = conversation(vec![Message::text(Role::System, "greet")]);
    let sent = body(request);
    assert_eq!(sent["contents"], json!([{"role": "user", "parts": [{"text": "greet"}]}]));
    assert!(sent.get("systemInstruction").is_none());
}

#[test]
fn turns_alternate_and_begin_with_the_user() {
    let request =
        conversation(vec![Message::text(Role::Assistant, "hi"), Message::text(Role::Assistant, "there"), Message::text(Role::User, "yes")]);
    assert_eq!(
        body(request)["contents"],
        json!([{"role": "user", "parts": [{"text": "."}]}, {"role": "model", "parts": [{"text": "hi"}, {"text": "there"}]},
            {"role": "user", "parts": [{"text": "yes"}]}])
    );
}

#[test]
fn nothing_to_answer_is_refused() {
    assert_eq!(refused(conversation(vec![])), (FailureKind::InvalidRequest, Some("messages".into())));
    assert_eq!(refused(conversation(vec![Message::text(Role::User, "")])), (FailureKind::InvalidRequest, Some("messages".into())));
}

#[test]
fn a_tool_round_returns_signatures_and_orders_its_answers() {
    let request = conversation(vec![
        Message::text(Role::User, "Oslo and Rome?"),
        Message::of(
            Role::Assistant,
            vec![
                Part::new(PartBody::Thinking("hm".into())),
                signed(Part::new(PartBody::Text("Let me see.".into())), "sT", MODEL),
                signed(call("1", r#"{"city":"Oslo"}"#), "s1", MODEL),
                call("2", ""),
            ],
        ),
        Message::of(Role::Tool, vec![result("2", "20 C")]),
        Message::of(Role::Tool, vec![result("1", "4 C")]),
        Message::text(Role::User, "well?"),
    ]);
    assert_eq!(
        body(request.clone())["contents"],
        json!([
            {"role": "user", "parts": [{"text": "Oslo and Rome?"}]},
            {"role": "model", "parts": [
                {"text": "Let me see.", "thoughtSignature": "sT"},
                {"functionCall": {"id": "1", "name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "s1"},
                {"functionCall": {"id": "2", "name": "weather", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "1", "name": "weather", "response": {"output": "4 C"}}},
                {"functionResponse": {"id": "2", "name": "weather", "response": {"output": "20 C"}}},
                {"text": "well?"}]},
        ])
    );
    assert!(dropped(request).is_empty());
}

#[test]
fn each_step_of_another_models_carries_the_placeholder_on_its_first_call() {
    let history = |model: &str| {
        let messages = vec![
            Message::text(Role::User, "Oslo?"),
            Message::of(Role::Assistant, vec![signed(call("1", "{}"), "s1", "gemini-3.5-flash"), call("2", "{}")]),
            Message::of(Role::Tool, vec![result("1", "4 C"), result("2", "5 C")]),
            Message::of(Role::Assistant, vec![call("3", "{}")]),
            Message::of(Role::Tool, vec![result("3", "6 C")]),
        ];
        body(ChatRequest::new(model, messages))
    };
    let placeholder = json!("skip_thought_signature_validator");
    let sent = history(MODEL);
    assert_eq!(sent["contents"][1]["parts"][0]["thoughtSignature"], placeholder);
    assert_eq!(sent["contents"][1]["parts"][1].get("thoughtSignature"), None);
    assert_eq!(sent["contents"][3]["parts"][0]["thoughtSignature"], placeholder);
    assert_eq!(history("gemini-3.5-flash")["contents"][1]["parts"][0]["thoughtSignature"], json!("s1"));
    assert_eq!(history("gemini-2.5-flash")["contents"][1]["parts"][0].get("thoughtSignature"), None);
}

#[test]
fn thinking_returns_only_with_this_models_signature() {
    let thinking = || Part::new(PartBody::Thinking("hm".into()));
    let history = |part: Part| {
        let messages = vec![Message::text(Role::User, "a"), Message::of(Role::Assistant, vec![part]), Message::text(Role::User, "b")];
        body(conversation(messages))["contents"].clone()
    };
    assert_eq!(history(signed(thinking(), "s", MODEL))[1]["parts"], json!([{"text": "hm", "thought": true, "thoughtSignature": "s"}]));
    let without = json!([{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}]);
    assert_eq!(history(thinking()), without);
    assert_eq!(history(signed(thinking(), "s", "gemini-3.5-flash")), without);
    assert_eq!(
        history(signed(Part::new(PartBody::Text(String::new())), "s", MODEL))[1]["parts"],
        json!([{"text": "", "thoughtSignature": "s"}])
    );
}

#[test]
fn an_error_of_a_tool_is_told_as_such() {
    let result = ToolResult {
        call_id: "1".into(),
        name: "weather".into(),
        content: vec![ToolResultPart::Text("no".into()), ToolResultPart::Text("net".into())],
        is_error: true,
    };
    let messages = vec![
        Message::text(Role::User, "a"),
        Message::of(Role::Assistant, vec![call("1", "{}")]),
        Message::of(Role::Tool, vec![Part::new(PartBody::ToolResult(result))]),
    ];
    assert_eq!(body(conversation(messages))["contents"][2]["parts"][0]["functionResponse"]["response"], json!({"error": "no\nnet"}));
}

#[test]
fn media_of_a_result_stands_in_it_or_beside_it() {
    let history = |model: &str, source: MediaSource| {
        let image = ToolResultPart::Image(media(source, Some("image/png")));
        let messages = vec![
            Message::text(Role::User, "a"),
            Message::of(Role::Assistant, vec![call("1", "{}")]),
            Message::of(Role::Tool, vec![result_of("1", vec![image])]),
        ];
        ChatRequest::new(model, messages)
    };
    let inside = history(MODEL, blob(7));
    let png = json!({"inlineData": {"mimeType": "image/png", "data": "<blob:7>"}});
    assert_eq!(body(inside.clone())["contents"][2]["parts"][0]["functionResponse"]["parts"], json!([png]));
    assert!(dropped(inside).is_empty());
    for (model, source) in [("gemini-2.5-flash", blob(7)), (MODEL, MediaSource::Url("https://a/b.png".into()))] {
        let beside = history(model, source);
        let parts = body(beside.clone())["contents"][2]["parts"].clone();
        assert_eq!(parts[0]["functionResponse"], json!({"id": "1", "name": "weather", "response": {"output": ""}}), "{model}");
        assert!(parts[1].get("inlineData").or(parts[1].get("fileData")).is_some(), "{model}");
        assert_eq!(dropped(beside), ["messages[2].parts[0]"], "{model}");
    }
}

#[test]
fn arguments_that_are_no_object_stand_in_one() {
    for (arguments, sent, lost) in
        [(" {\"a\": 1.0} ", json!({"a": 1.0}), false), ("[1]", json!({"input": "[1]"}), true), ("{\"a\"", json!({"input": "{\"a\""}), true)]
    {
        let request = conversation(vec![
            Message::text(Role::User, "a"),
            Message::of(Role::Assistant, vec![call("1", arguments)]),
            Message::of(Role::Tool, vec![result("1", "x")]),
        ]);
        assert_eq!(body(request.clone())["contents"][1]["parts"][0]["functionCall"]["args"], sent, "{arguments}");
        assert_eq!(!dropped(request).is_empty(), lost, "{arguments}");
    }
}

#[test]
fn media_goes_as_bytes_or_as_an_address() {
    for (part, expected) in [
        (PartBody::Image(media(blob(7), Some("image/png"))), json!({"inlineData": {"mimeType": "image/png", "data": "<blob:7>"}})),
        (PartBody::Audio(media(blob(7), Some("audio/wav"))), json!({"inlineData": {"mimeType": "audio/wav", "data": "<blob:7>"}})),
        (
            PartBody::Document(media(blob(7), Some("application/json"))),
            json!({"inlineData": {"mimeType": "text/plain", "data": "<blob:7>"}}),
        ),
        (
            PartBody::Video(media(MediaSource::Url("https://a/b.MP4?c=d".into()), None)),
            json!({"fileData": {"mimeType": "video/mp4", "fileUri": "https://a/b.MP4?c=d"}}),
        ),
        (
            PartBody::Video(media(MediaSource::Url("https://www.youtube.com/watch?v=1".into()), None)),
            json!({"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}}),
        ),
        (
            PartBody::Document(media(MediaSource::File(native("gemini", json!("files/abc"))), Some("application/pdf"))),
            json!({"fileData": {"mimeType": "application/pdf",
                "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}}),
        ),
        (
            PartBody::Document(media(MediaSource::File(native("gemini", json!({"fileUri": "gs://x", "mimeType": "text/csv"}))), None)),
            json!({"fileData": {"mimeType": "text/csv", "fileUri": "gs://x"}}),
        ),
    ] {
        assert_eq!(body(user(part.clone()))["contents"][0]["parts"], json!([expected]), "{part:?}");
    }
}

#[test]
fn media_that_gemini_can_not_take_is_refused() {
    let place = Some("messages[0].parts[0]".to_owned());
    let other_file = media(MediaSource::File(native("openai-chat", json!("file-1"))), None);
    assert_eq!(refused(user(PartBody::Document(other_file))), (FailureKind::Unsupported, place.clone()));
    let untyped = PartBody::Image(media(blob(1), None));
    assert_eq!(refused(user(untyped)), (FailureKind::InvalidRequest, Some("messages[0].parts[0].media-type".into())));
    let foreign = PartBody::Other(native("anthropic-messages", json!({"type": "search_result"})));
    assert_eq!(refused(user(foreign)), (FailureKind::Unsupported, place));
}

#[test]
fn what_another_provider_made_in_the_assistants_turn_is_left_out_and_reported() {
    let made = || {
        [
            Part::new(PartBody::Other(native("anthropic-messages", json!({"type": "server_tool_use"})))),
            Part::new(PartBody::Image(media(MediaSource::File(native("openai-responses", json!("file-1"))), None))),
            Part::new(PartBody::Audio(media(MediaSource::Url("http://example.com/a.wav".into()), Some("audio/wav")))),
        ]
    };
    let left_out = ["messages[1].parts[0]", "messages[1].parts[1]", "messages[1].parts[2]"];
    let after = |last: Vec<Part>| {
        let answer = Message::of(Role::Assistant, made().into_iter().chain(last).collect());
        conversation(vec![Message::text(Role::User, "Hi"), answer, Message::text(Role::User, "And?")])
    };
    let taken = Part::new(PartBody::Image(media(blob(1), Some("image/png"))));
    let said = after(vec![Part::new(PartBody::Text("Found.".into())), taken]);
    let parts = json!([{"text": "Found."}, {"inlineData": {"mimeType": "image/png", "data": "<blob:1>"}}]);
    assert_eq!(body(said.clone())["contents"][1], json!({"role": "model", "parts": parts}));
    assert_eq!(dropped(said.clone()), left_out);
    assert!(encode(said).dropped.iter().all(|dropped| dropped.reason.starts_with("left out")));
    let silent = after(vec![]);
    assert_eq!(body(silent.clone())["contents"], json!([{"role": "user", "parts": [{"text": "Hi"}, {"text": "And?"}]}]));
    assert_eq!(dropped(silent), left_out);
    let [block, ..] = made();
    let instruction = conversation(vec![Message::of(Role::System, vec![block]), Message::text(Role::User, "Hi")]);
    assert_eq!(refused(instruction), (FailureKind::Unsupported, Some("messages[0].parts[0]".into())));
}

#[test]
fn what_is_true_of_several_media_of_a_result_is_reported_once() {
    let linked = || ToolResultPart::Image(media(MediaSource::Url("https://example.com/a.png".into()), Some("image/png")));
    let turn =
        vec![Message::of(Role::Assistant, vec![call("a", "{}")]), Message::of(Role::Tool, vec![result_of("a", vec![linked(), linked()])])];
    let told = dropped(conversation([vec![Message::text(Role::User, "Hi")], turn].concat()));
    assert_eq!(told, ["messages[2].parts[0]"]);
}

#[test]
fn the_detail_of_an_image_is_its_resolution() {
    let image = || Media { detail: Some("low".into()), ..media(blob(1), Some("image/png")) };
    let sent = body(user(PartBody::Image(image())));
    assert_eq!(sent["contents"][0]["parts"][0]["mediaResolution"], json!({"level": "MEDIA_RESOLUTION_LOW"}));
    let older = ChatRequest { model: "gemini-2.5-flash".into(), ..user(PartBody::Image(image())) };
    assert_eq!(dropped(older), ["messages[0].parts[0].detail"]);
}

#[test]
fn native_parts_and_fields_go_as_they_are() {
    let part = PartBody::Other(native("gemini", json!({"executableCode": {"language": "PYTHON", "code": "1"}})));
    assert_eq!(body(user(part))["contents"][0]["parts"], json!([{"executableCode": {"language": "PYTHON", "code": "1"}}]));
    let part = Part {
        extras: vec![native("gemini", json!({"video_metadata": {"fps": 2}})), native("openai-chat", json!({"x": 1}))],
        ..Part::new(PartBody::Video(media(blob(3), Some("video/mp4"))))
    };
    let request = conversation(vec![Message::of(Role::User, vec![part])]);
    assert_eq!(
        body(request.clone())["contents"][0]["parts"],
        json!([{"inlineData": {"mimeType": "video/mp4", "data": "<blob:3>"}, "videoMetadata": {"fps": 2}}])
    );
    assert_eq!(dropped(request), ["messages[0].parts[0].extras.x"]);
}

#[test]
fn the_callers_own_dialect_is_known_or_reported() {
    let request = ChatRequest {
        max_output: Some(9),
        extras: vec![
            native("gemini", json!({"safetySettings": [], "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}})),
            native("openai-chat", json!({"service_tier": "flex", "verbosity": "low"})),
            native("llm-gateway", json!({"later": 1})),
        ],
        ..ask()
    };
    let sent = body(request.clone());
    assert_eq!(sent["generationConfig"], json!({"maxOutputTokens": 9, "mediaResolution": "MEDIA_RESOLUTION_LOW"}));
    assert_eq!((&sent["safetySettings"], &sent["serviceTier"]), (&json!([]), &json!("flex")));
    assert_eq!(dropped(request), ["extras.verbosity"]);
}

#[test]
fn formats_of_the_answer() {
    let format = |format| body(ChatRequest { response_format: Some(format), ..ask() })["generationConfig"].clone();
    assert_eq!(format(ResponseFormat::Text), json!({}));
    assert_eq!(format(ResponseFormat::JsonObject), json!({"responseMimeType": "application/json"}));
    let schema = JsonSchema { name: "n".into(), description: None, schema: r#"{"type":"object","$defs":{}}"#.into(), strict: Some(true) };
    assert_eq!(
        format(ResponseFormat::JsonSchema(schema.clone())),
        json!({"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}})
    );
    let choice = native("gemini", json!({"responseMimeType": "text/x.enum", "responseSchema": {"enum": ["a"]}}));
    assert_eq!(format(ResponseFormat::Other(choice)), json!({"responseMimeType": "text/x.enum", "responseSchema": {"enum": ["a"]}}));
    let refused = |format| refused(ChatRequest { response_format: Some(format), ..ask() });
    let grammar = native("openai-chat", json!({"type": "grammar"}));
    assert_eq!(refused(ResponseFormat::Other(grammar)), (FailureKind::Unsupported, Some("response-format".into())));
    let broken = JsonSchema { schema: "{".into(), ..schema };
    assert_eq!(refused(ResponseFormat::JsonSchema(broken)), (FailureKind::InvalidRequest, Some("response-format.schema".into())));
}

#[test]
fn tools_keep_their_schema() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": false});
    let mut weather = function("weather", Some(schema.clone()));
    weather.description = Some("Tells it".into());
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let search = native("gemini", json!({"googleSearch": {}}));
    let tools = vec![
        Tool::Function(weather),
        Tool::Other(search),
        Tool::Function(function("now", Some(nothing))),
        Tool::Function(function("any", Some(json!({"type": "object"})))),
    ];
    let sent = body(with_tools(tools, None));
    assert_eq!(
        sent["tools"],
        json!([
            {"functionDeclarations": [{"name": "weather", "description": "Tells it", "parametersJsonSchema": schema}, {"name": "now"}, {"name": "any"}]},
            {"googleSearch": {}}
        ])
    );
    assert!(sent.get("toolConfig").is_none());
}

#[test]
fn the_choice_of_a_tool_has_its_mode() {
    let tool = || Tool::Function(function("weather", None));
    let strict = || Tool::Function(FunctionTool { strict: Some(true), ..function("weather", None) });
    for (tool, choice, expected) in [
        (tool(), (ToolMode::Auto, &[][..]), json!(null)),
        (tool(), (ToolMode::None, &["weather"][..]), json!({"mode": "NONE"})),
        (tool(), (ToolMode::Required, &[][..]), json!({"mode": "ANY"})),
        (tool(), (ToolMode::Required, &["weather"][..]), json!({"mode": "ANY", "allowedFunctionNames": ["weather"]})),
        (tool(), (ToolMode::Auto, &["weather"][..]), json!({"mode": "VALIDATED", "allowedFunctionNames": ["weather"]})),
        (strict(), (ToolMode::Auto, &[][..]), json!({"mode": "VALIDATED"})),
    ] {
        assert_eq!(body(with_tools(vec![tool], Some(choice)))["toolConfig"]["functionCallingConfig"], expected, "{choice:?}");
    }
}

#[test]
fn a_choice_among_geminis_own_tools_is_reported() {
    let search = Tool::Other(native("gemini", json!({"googleSearch": {}})));
    assert_eq!(dropped(with_tools(vec![search], Some((ToolMode::Required, &[])))), ["tool-choice"]);
}

#[test]
fn a_custom_tool_is_a_function_of_one_text() {
    let custom = CustomTool {
        name: "sql".into(),
        description: Some("Runs it".into()),
        grammar: Some(Grammar { syntax: "regex".into(), definition: "SELECT .*".into() }),
        extras: vec![],
    };
    let mut request = with_tools(vec![Tool::Custom(custom)], None);
    request.messages.push(Message::of(
        Role::Assistant,
        vec![Part::new(PartBody::ToolCall(ToolCall { id: "1".into(), name: "sql".into(), arguments: "SELECT 1".into(), free_form: true }))],
    ));
    let encoded = encode(request);
    let sent: Value = from_str(&body_text(&encoded)).unwrap();
    let declaration = &sent["tools"][0]["functionDeclarations"][0];
    assert_eq!(declaration["parametersJsonSchema"]["required"], json!(["input"]));
    assert!(declaration["description"].as_str().unwrap().ends_with("SELECT .*"));
    assert_eq!(sent["contents"][1]["parts"][0]["functionCall"]["args"], json!({"input": "SELECT 1"}));
    assert_eq!(encoded.context, r#"{"custom_tools":["sql"]}"#);
    assert_eq!(encoded.dropped[0].parameter, "tools[0].grammar");
}

#[test]
fn another_providers_tool_is_unsupported() {
    let tool = Tool::Other(native("anthropic-messages", json!({"type": "web_search_20250305"})));
    assert_eq!(refused(with_tools(vec![tool], None)), (FailureKind::Unsupported, Some("tools[0]".into())));
    let broken = Tool::Function(FunctionTool { parameters: Some("{".into()), ..function("f", None) });
    assert_eq!(refused(with_tools(vec![broken], None)), (FailureKind::InvalidRequest, Some("tools[0].parameters".into())));
}

#[test]
fn breakpoints_and_names_are_reported() {
    let part = Part { cache: Some(CacheBreakpoint { lifetime: None }), ..Part::new(PartBody::Text("a".into())) };
    let message = Message { name: Some("Ann".into()), ..Message::of(Role::User, vec![part]) };
    assert_eq!(dropped(conversation(vec![message])), ["messages[0].name", "messages[0].parts[0].cache"]);
}

#[test]
fn what_gemini_does_not_fetch_itself_is_named() {
    let at = |url: &str| {
        let media = Media {
            source: MediaSource::Url(url.into()),
            media_type: Some("image/png".into()),
            name: None,
            detail: None,
            transcript: None,
        };
        let message = Message::of(Role::User, vec![Part::new(PartBody::Text("Look:".into())), Part::new(PartBody::Image(media))]);
        Gemini::encode(ChatRequest::new(MODEL, vec![message]))
    };
    assert!(at("https://example.com/a.png").is_ok());
    let refused = at("http://example.com/a.png").unwrap_err();
    assert_eq!((refused.kind, refused.parameter.as_deref()), (FailureKind::Unsupported, Some("messages[0].parts[1]")));
}

#[test]
fn a_beginning_of_the_answer_is_sent_and_reported() {
    let request = conversation(vec![Message::text(Role::User, "Count."), Message::text(Role::Assistant, "1, 2,")]);
    assert_eq!(body(request.clone())["contents"][1], json!({"role": "model", "parts": [{"text": "1, 2,"}]}));
    assert_eq!(dropped(request), ["messages[1]"]);
}

#[test]
fn another_models_thinking_is_reported() {
    let thought = signed(Part::new(PartBody::Thinking("hm".into())), "s", "gemini-3.5-flash");
    let messages = vec![
        Message::text(Role::User, "a"),
        Message::of(Role::Assistant, vec![thought, Part::new(PartBody::Text("b".into()))]),
        Message::text(Role::User, "c"),
    ];
    assert_eq!(dropped(conversation(messages)), ["messages[1].parts[0]"]);
}
