//! What is sent for a canonical request.

#![allow(clippy::unwrap_used, clippy::panic)]

use adapter_claude::Claude;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::body_text;
use llm_gateway_adapter::types::{
    Blob, CacheBreakpoint, ChatRequest, Citation, CustomTool, Effort, Failure, FailureKind, Framing, FunctionTool, Grammar, HttpRequest,
    JsonSchema, Media, MediaSource, Message, Native, Part, PartBody, Reasoning, Replay, ResponseFormat, Role, Tool, ToolCall, ToolChoice,
    ToolMode, ToolResult, ToolResultPart,
};
use serde_json::{Value, json};

const SONNET: &str = "claude-sonnet-5-5";
const HAIKU_4_5: &str = "claude-haiku-4-5";

fn ask(model: &str, text: &str) -> ChatRequest {
    ChatRequest { max_output: Some(1000), ..ChatRequest::new(model, vec![Message::text(Role::User, text)]) }
}

fn talk(model: &str, messages: Vec<Message>) -> ChatRequest {
    ChatRequest { max_output: Some(1000), ..ChatRequest::new(model, messages) }
}

fn encode(request: ChatRequest) -> HttpRequest {
    Claude::encode(request).unwrap()
}

fn refused(request: ChatRequest) -> Failure {
    Claude::encode(request).unwrap_err()
}

fn body(request: &HttpRequest) -> Value {
    serde_json::from_str(&body_text(request)).unwrap()
}

fn dropped(request: &HttpRequest) -> Vec<&str> {
    request.dropped.iter().map(|dropped| dropped.parameter.as_str()).collect()
}

fn own(value: Value) -> Native {
    Native { dialect: "anthropic-messages".into(), value: value.to_string() }
}

fn foreign(value: Value) -> Native {
    Native { dialect: "openai-chat".into(), value: value.to_string() }
}

fn text(words: &str) -> Part {
    Part::new(PartBody::Text(words.into()))
}

fn image(source: MediaSource, media_type: Option<&str>) -> Media {
    Media { source, media_type: media_type.map(str::to_owned), name: None, detail: None, transcript: None }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::new(PartBody::ToolCall(ToolCall { id: id.into(), name: "weather".into(), arguments: arguments.into(), free_form: false }))
}

fn result(id: &str, content: Vec<ToolResultPart>, is_error: bool) -> Part {
    Part::new(PartBody::ToolResult(ToolResult { call_id: id.into(), name: "weather".into(), content, is_error }))
}

fn function(name: &str, parameters: Value) -> FunctionTool {
    FunctionTool {
        name: name.into(),
        description: None,
        parameters: Some(parameters.to_string()),
        strict: None,
        cache: None,
        extras: Vec::new(),
    }
}

fn with_tools(model: &str, tools: Vec<Tool>, tool_choice: Option<ToolChoice>) -> ChatRequest {
    ChatRequest { tools, tool_choice, ..ask(model, "Weather in Oslo?") }
}

fn weather() -> Tool {
    Tool::Function(function("weather", json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})))
}

fn required(only: &[&str]) -> Option<ToolChoice> {
    Some(ToolChoice { mode: ToolMode::Required, only: only.iter().map(|name| (*name).to_owned()).collect() })
}

#[test]
fn a_question_is_a_post_to_messages() {
    let request = encode(ask(SONNET, "2+2?"));
    assert_eq!(request.path, "/messages");
    assert_eq!(request.headers, [("content-type".to_owned(), "application/json".to_owned())]);
    assert_eq!((request.framing, request.context.as_str()), (Framing::Whole, ""));
    assert_eq!(
        body_text(&request),
        r#"{"model":"claude-sonnet-5-5","max_tokens":1000,"messages":[{"role":"user","content":[{"type":"text","text":"2+2?"}]}]}"#
    );
    assert!(request.dropped.is_empty());
}

#[test]
fn a_stream_is_asked_for_by_the_caller_or_for_a_long_answer() {
    let asked = encode(ChatRequest { stream: true, ..ask(SONNET, "2+2?") });
    let of_length = |model: &str, max_output| encode(ChatRequest { max_output, ..ask(model, "2+2?") });
    for request in [asked, of_length(SONNET, Some(21_334)), of_length(SONNET, None)] {
        assert_eq!((request.framing, &body(&request)["stream"]), (Framing::Sse, &json!(true)));
    }
    for request in [of_length(SONNET, Some(21_333)), of_length("claude-3-5-haiku-20241022", None), of_length("my-deployment", None)] {
        assert_eq!((request.framing, &body(&request)["stream"]), (Framing::Whole, &Value::Null));
    }
}

#[test]
fn without_a_limit_the_models_own_is_sent_or_the_operators() {
    let unlimited = |model: &str, settings: &[(&str, &str)]| {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Claude::encode(ChatRequest { max_output: None, settings, ..ask(model, "Hi") })
    };
    let sent = |model: &str, settings: &[(&str, &str)]| body(&unlimited(model, settings).unwrap())["max_tokens"].clone();
    assert_eq!(sent(SONNET, &[("default-max-output", "5")]), json!(128_000));
    assert_eq!(sent(HAIKU_4_5, &[]), json!(64_000));
    assert_eq!(sent("my-deployment", &[]), json!(8192));
    assert_eq!(sent("my-deployment", &[("default-max-output", "5000")]), json!(5000));
    assert_eq!(unlimited("my-deployment", &[("default-max-output", "many")]).unwrap_err().kind, FailureKind::Unsupported);
}

#[test]
fn leading_system_messages_are_the_system_prompt_and_later_ones_the_users_text() {
    let request = encode(talk(
        SONNET,
        vec![
            Message::text(Role::System, "Be brief."),
            Message::text(Role::Developer, "Be kind."),
            Message::text(Role::User, "Hi"),
            Message::text(Role::Assistant, "Hello"),
            Message::text(Role::System, "Now in French."),
            Message::text(Role::User, "Who are you?"),
        ],
    ));
    let body = body(&request);
    assert_eq!(body["system"], json!([{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]));
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
            {"role": "user", "content": [
                {"type": "text", "text": "<system>\nNow in French.\n</system>"},
                {"type": "text", "text": "Who are you?"}
            ]}
        ])
    );
    assert_eq!(dropped(&request), ["messages[4].role"]);
}

#[test]
fn tool_results_come_first_in_the_turn_after_their_calls() {
    let request = encode(talk(
        SONNET,
        vec![
            Message::text(Role::User, "Weather?"),
            Message::of(Role::Assistant, vec![text("Let me look."), call("a.1", "{\"city\": \"Oslo\"}"), call("b", "")]),
            Message::text(Role::User, "Hurry."),
            Message::of(Role::Tool, vec![result("a.1", vec![ToolResultPart::Text("rain".into())], false)]),
            Message::of(Role::Tool, vec![result("b", vec![ToolResultPart::Text(" ".into())], true)]),
        ],
    ));
    let body = body(&request);
    let id = body["messages"][1]["content"][1]["id"].as_str().unwrap();
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{id}");
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": id, "name": "weather", "input": {"city": "Oslo"}},
            {"type": "tool_use", "id": "b", "name": "weather", "input": {}}
        ])
    );
    assert_eq!(
        body["messages"][2],
        json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": "rain"}]},
            {"type": "tool_result", "tool_use_id": "b", "is_error": true},
            {"type": "text", "text": "Hurry."}
        ]})
    );
}

#[test]
fn arguments_that_are_no_object_are_wrapped_in_one() {
    for arguments in ["[1]", "{\"city\": \"Os", "plain words"] {
        let request = encode(talk(
            SONNET,
            vec![
                Message::text(Role::User, "Hi"),
                Message::of(Role::Assistant, vec![call("a", arguments)]),
                Message::of(Role::Tool, vec![result("a", vec![], false)]),
            ],
        ));
        assert_eq!(body(&request)["messages"][1]["content"][0]["input"], json!({"input": arguments}), "{arguments}");
        assert_eq!(dropped(&request), ["messages[1].parts[0].arguments"]);
    }
}

#[test]
fn blank_text_is_left_out_and_nothing_at_all_is_refused() {
    let request =
        encode(talk(SONNET, vec![Message::text(Role::User, " \n"), Message::text(Role::Assistant, ""), Message::text(Role::User, "Hi")]));
    assert_eq!(body(&request)["messages"], json!([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]));
    assert_eq!(refused(talk(SONNET, vec![Message::text(Role::System, "Be brief.")])).kind, FailureKind::Unsupported);
}

#[test]
fn media_are_sent_by_blob_url_data_url_and_file() {
    let blob = |id| MediaSource::Blob(Blob { id, size: 3 });
    let pdf = Media { name: Some("a.pdf".into()), ..image(blob(2), Some("application/pdf")) };
    let request = encode(talk(
        SONNET,
        vec![Message::of(
            Role::User,
            vec![
                Part::new(PartBody::Image(image(blob(1), Some("image/png")))),
                Part::new(PartBody::Image(image(MediaSource::Url("https://x.test/a.png".into()), None))),
                Part::new(PartBody::Image(image(MediaSource::Url("data:image/gif;base64,R0lG".into()), None))),
                Part::new(PartBody::Image(image(MediaSource::File(own(json!("file_1"))), None))),
                Part { extras: vec![own(json!({"citations": {"enabled": true}}))], ..Part::new(PartBody::Document(pdf)) },
                Part::new(PartBody::Document(image(blob(3), Some("text/markdown; charset=utf-8")))),
                Part::new(PartBody::Document(image(MediaSource::Url("https://x.test/a.pdf".into()), None))),
            ],
        )],
    ));
    assert_eq!(
        body(&request)["messages"][0]["content"],
        json!([
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "<blob:1>"}},
            {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lG"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "<blob:2>"}, "title": "a.pdf",
                "citations": {"enabled": true}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "<blob:3>"}},
            {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}
        ])
    );
}

#[test]
fn what_can_be_neither_sent_nor_emulated_is_refused_by_name() {
    let blob = || MediaSource::Blob(Blob { id: 1, size: 3 });
    for (role, part) in [
        (Role::User, PartBody::Audio(image(blob(), Some("audio/wav")))),
        (Role::User, PartBody::Video(image(blob(), Some("video/mp4")))),
        (Role::User, PartBody::Image(image(blob(), Some("image/bmp")))),
        (Role::User, PartBody::Image(image(MediaSource::File(foreign(json!("file-1"))), None))),
        (Role::User, PartBody::Document(image(blob(), Some("application/zip")))),
        (Role::User, PartBody::Other(foreign(json!({"type": "input_thing"})))),
        (Role::System, PartBody::Image(image(blob(), Some("image/png")))),
        (Role::System, PartBody::Other(foreign(json!({"type": "input_thing"})))),
    ] {
        let failure =
            refused(talk(SONNET, vec![Message::text(Role::User, "Hi"), Message::of(role, vec![text("See"), Part::new(part.clone())])]));
        assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::Unsupported, Some("messages[1].parts[1]")), "{part:?}");
    }
}

#[test]
fn what_another_provider_made_in_the_assistants_turn_is_left_out_and_reported() {
    let blob = |media_type| image(MediaSource::Blob(Blob { id: 1, size: 3 }), Some(media_type));
    let made = || {
        vec![
            PartBody::Other(Native { dialect: "openai-responses".into(), value: r#"{"type":"web_search_call"}"#.into() }),
            PartBody::Image(blob("image/png")),
            PartBody::Audio(blob("audio/wav")),
            PartBody::Video(blob("video/mp4")),
            PartBody::Document(blob("application/zip")),
        ]
    };
    let left_out = ["messages[1].parts[0]", "messages[1].parts[1]", "messages[1].parts[2]", "messages[1].parts[3]", "messages[1].parts[4]"];
    let after = |last: Option<Part>| {
        let parts = made().into_iter().map(Part::new).chain(last).collect();
        let messages = vec![Message::text(Role::User, "Hi"), Message::of(Role::Assistant, parts), Message::text(Role::User, "And?")];
        encode(talk(SONNET, messages))
    };
    let said = after(Some(text("Found.")));
    assert_eq!(body(&said)["messages"][1], json!({"role": "assistant", "content": [{"type": "text", "text": "Found."}]}));
    assert_eq!(dropped(&said), left_out);
    assert!(said.dropped.iter().all(|dropped| dropped.reason.starts_with("left out")), "{:?}", said.dropped);
    let silent = after(None);
    let joined = json!([{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "And?"}]}]);
    assert_eq!(body(&silent)["messages"], joined);
    assert_eq!(dropped(&silent), left_out);
}

#[test]
fn what_is_true_of_several_images_of_a_result_is_reported_once() {
    let shot = |id| {
        let media = image(MediaSource::Blob(Blob { id, size: 3 }), Some("image/png"));
        ToolResultPart::Image(Media { detail: Some("high".into()), ..media })
    };
    let parts = vec![result("a", vec![shot(1), shot(2)], false)];
    let request = encode(talk(SONNET, vec![Message::of(Role::Assistant, vec![call("a", "{}")]), Message::of(Role::Tool, parts)]));
    assert_eq!(dropped(&request), ["messages[1].parts[0].detail"]);
}

#[test]
fn tool_results_may_hold_images() {
    let shot = ToolResultPart::Image(image(MediaSource::Blob(Blob { id: 9, size: 3 }), Some("image/png")));
    let found = ToolResultPart::Other(own(json!({"type": "search_result", "source": "s", "title": "t", "content": []})));
    let request = encode(talk(
        SONNET,
        vec![Message::of(Role::Assistant, vec![call("a", "{}")]), Message::of(Role::Tool, vec![result("a", vec![shot, found], false)])],
    ));
    assert_eq!(
        body(&request)["messages"][1]["content"][0]["content"],
        json!([
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "<blob:9>"}},
            {"type": "search_result", "source": "s", "title": "t", "content": []}
        ])
    );
}

#[test]
fn thinking_goes_back_with_its_seal_to_the_model_that_thought_it() {
    let thought = |words: &str, data: &str, model: &str| Part {
        replay: Some(Replay { data: data.into(), model: Some(model.into()) }),
        ..Part::new(PartBody::Thinking(words.into()))
    };
    let messages = || {
        vec![
            Message::text(Role::User, "Hi"),
            Message::of(
                Role::Assistant,
                vec![
                    thought("Hm.", "signature:EqQB", SONNET),
                    Part { extras: vec![own(json!({"type": "redacted_thinking"}))], ..thought("", "redacted:EuYB", SONNET) },
                    thought("", "signature:Omit", SONNET),
                    Part::new(PartBody::Thinking("another provider's".into())),
                    text("Hello"),
                ],
            ),
            Message::text(Role::User, "And?"),
        ]
    };
    let same = encode(talk(SONNET, messages()));
    assert_eq!(
        body(&same)["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "EuYB"},
            {"type": "thinking", "thinking": "", "signature": "Omit"},
            {"type": "text", "text": "Hello"}
        ])
    );
    assert!(same.dropped.is_empty());
    let other = encode(talk("claude-opus-5-5", messages()));
    assert_eq!(body(&other)["messages"][1]["content"], json!([{"type": "text", "text": "Hello"}]));
    assert_eq!(dropped(&other), ["messages[1].parts[0]", "messages[1].parts[1]", "messages[1].parts[2]"]);
}

#[test]
fn thinking_that_a_caller_has_from_claude_itself_goes_back_as_it_is() {
    let thought = |words: &str, fields: Value| Part { extras: vec![own(fields)], ..Part::new(PartBody::Thinking(words.into())) };
    let parts = vec![
        thought("Hm.", json!({"signature": "EqQB", "new": 1})),
        thought("", json!({"type": "redacted_thinking", "data": "EuYB"})),
        thought("Another's.", json!({"signature": ""})),
        text("4"),
    ];
    let messages = vec![Message::text(Role::User, "2+2?"), Message::of(Role::Assistant, parts), Message::text(Role::User, "+1?")];
    let sent = encode(talk(SONNET, messages));
    let expected = json!([
        {"type": "thinking", "thinking": "Hm.", "signature": "EqQB", "new": 1},
        {"type": "redacted_thinking", "data": "EuYB"},
        {"type": "text", "text": "4"},
    ]);
    assert_eq!(body(&sent)["messages"][1]["content"], expected);
    assert_eq!(dropped(&sent), Vec::<&str>::new());
}

#[test]
fn thinking_bound_to_a_conversation_that_was_changed_is_left_out() {
    let conversation = |model: &str| {
        let flag = Native { dialect: "llm-gateway".into(), value: r#"{"history_changed":true}"#.into() };
        let replay = Some(Replay { data: "signature:EqQB".into(), model: Some(model.into()) });
        let thought = Part { replay, extras: vec![flag], ..Part::new(PartBody::Thinking("Hm.".into())) };
        let answer = Message::of(Role::Assistant, vec![thought, text("4")]);
        talk(model, vec![Message::text(Role::User, "2+2?"), answer, Message::text(Role::User, "+1?")])
    };
    let bound = encode(conversation(SONNET));
    assert_eq!(body(&bound)["messages"][1]["content"], json!([{"type": "text", "text": "4"}]));
    assert_eq!(dropped(&bound), ["messages[1].parts[0]"]);
    let free = encode(conversation("claude-opus-4-8"));
    assert_eq!(body(&free)["messages"][1]["content"][0]["signature"], "EqQB");
    assert_eq!(dropped(&free), Vec::<&str>::new());
}

#[test]
fn a_turn_that_goes_on_without_its_thinking_turns_a_thinking_budget_off() {
    let messages = |thought: Vec<Part>| {
        vec![
            Message::text(Role::User, "Hi"),
            Message::of(Role::Assistant, thought.into_iter().chain([call("a", "{}")]).collect()),
            Message::of(Role::Tool, vec![result("a", vec![ToolResultPart::Text("rain".into())], false)]),
        ]
    };
    let ask = |messages| {
        let reasoning = Some(Reasoning { enabled: Some(true), effort: None, budget: Some(2000), visible: None });
        encode(ChatRequest { reasoning, max_output: Some(8000), ..talk(HAIKU_4_5, messages) })
    };
    let seal = Some(Replay { data: "signature:EqQB".into(), model: None });
    let with = ask(messages(vec![Part { replay: seal, ..Part::new(PartBody::Thinking("Hm.".into())) }]));
    assert_eq!(body(&with)["thinking"], json!({"type": "enabled", "budget_tokens": 2000}));
    let prefill = vec![Message::text(Role::User, "Count."), Message::text(Role::Assistant, "1,")];
    for without in [ask(messages(vec![])), ask(prefill)] {
        assert_eq!(body(&without)["thinking"], Value::Null);
        assert_eq!(dropped(&without), ["reasoning"]);
    }
    let by_effort = Some(Reasoning { enabled: None, effort: Some(Effort::High), budget: None, visible: None });
    let without = encode(ChatRequest { reasoning: by_effort, max_output: Some(8000), ..talk(HAIKU_4_5, messages(vec![])) });
    assert_eq!((&body(&without)["thinking"], dropped(&without)), (&Value::Null, vec!["reasoning.effort"]));
}

#[test]
fn a_last_message_of_the_assistant_is_prefill_where_that_is_taken() {
    let messages = || vec![Message::text(Role::User, "Count."), Message::text(Role::Assistant, "1, 2, ")];
    let old = encode(talk(HAIKU_4_5, messages()));
    assert_eq!(body(&old)["messages"][1]["content"], json!([{"type": "text", "text": "1, 2,"}]));
    let new = encode(talk(SONNET, messages()));
    assert_eq!(body(&new)["messages"].as_array().unwrap().len(), 3);
    assert_eq!(body(&new)["messages"][2]["role"], json!("user"));
    assert_eq!(dropped(&new), ["messages"]);
}

#[test]
fn a_paused_turn_goes_back_as_it_came() {
    let block = json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}});
    let request = encode(talk(
        SONNET,
        vec![Message::text(Role::User, "Hi"), Message::of(Role::Assistant, vec![Part::new(PartBody::Other(own(block.clone())))])],
    ));
    assert_eq!(body(&request)["messages"][1]["content"], json!([block]));
    assert!(request.dropped.is_empty());
}

#[test]
fn sampling_is_sent_where_the_model_takes_it() {
    let sample = |model: &str, version: Option<&str>, reasoning| {
        let mut request = ask(model, "Hi");
        request.sampling.temperature = Some(1.5);
        request.sampling.top_p = Some(0.9);
        request.sampling.top_k = Some(40);
        request.settings = version.map(|version| ("anthropic-version".to_owned(), version.to_owned())).into_iter().collect();
        request.reasoning = reasoning;
        request.max_output = Some(8000);
        let request = encode(request);
        let body = body(&request);
        let dropped: Vec<String> = dropped(&request).into_iter().map(str::to_owned).collect();
        (json!([body["temperature"], body["top_p"], body["top_k"]]), dropped, request.headers.len())
    };
    let all = ["sampling.temperature", "sampling.top-p", "sampling.top-k"].map(str::to_owned).to_vec();
    let first_two = all[..2].to_vec();
    let on = Some(Reasoning { enabled: Some(true), effort: None, budget: None, visible: None });
    assert_eq!(sample(SONNET, None, None), (json!([null, null, null]), all.clone(), 1));
    assert_eq!(sample(HAIKU_4_5, None, None), (json!([1.0, null, 40]), first_two, 1));
    assert_eq!(sample("claude-3-5-haiku-20241022", None, None), (json!([1.0, 0.9, 40]), all[..1].to_vec(), 1));
    assert_eq!(sample(HAIKU_4_5, Some("2026-10-21"), None), (json!([null, null, null]), all.clone(), 2));
    assert_eq!(sample(HAIKU_4_5, None, on), (json!([null, null, null]), all, 1));
}

#[test]
fn parameters_that_claude_lacks_are_reported() {
    let mut request = ask(SONNET, "Hi");
    request.sampling.seed = Some(1);
    request.sampling.presence_penalty = Some(0.5);
    request.sampling.frequency_penalty = Some(0.0);
    request.sampling.logit_bias = vec![(1, 2.0)];
    request.sampling.temperature = Some(1.0);
    request.logprobs = Some(0);
    request.choices = Some(2);
    request.metadata = vec![("a".into(), "b".into())];
    request.user = Some("u1".into());
    request.stop = vec!["END".into(), "\n".into()];
    let request = encode(request);
    assert_eq!(
        dropped(&request),
        ["sampling.presence-penalty", "sampling.seed", "sampling.logit-bias", "logprobs", "choices", "metadata", "stop[1]"]
    );
    assert_eq!(body(&request)["stop_sequences"], json!(["END"]));
    assert_eq!(body(&request)["metadata"], json!({"user_id": "u1"}));
}

#[test]
fn functions_keep_their_schema_as_the_caller_wrote_it() {
    let mut plain = function("weather", json!({}));
    plain.parameters = Some("{\"type\":\"object\", \"properties\":{\"n\":{\"type\":\"number\",\"maximum\":1e2}}}".into());
    plain.description = Some("Tells the weather.".into());
    plain.extras = vec![own(json!({"eager_input_streaming": true}))];
    let mut bare = function("now", json!({}));
    bare.parameters = None;
    let server = own(json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}));
    let request = encode(with_tools(SONNET, vec![Tool::Function(plain), Tool::Function(bare), Tool::Other(server)], None));
    let text = body_text(&request);
    assert!(text.contains("{\"type\":\"object\", \"properties\":{\"n\":{\"type\":\"number\",\"maximum\":1e2}}}"), "{text}");
    assert_eq!(body(&request)["tools"][0]["eager_input_streaming"], json!(true));
    assert_eq!(
        body(&request)["tools"].as_array().unwrap()[1..],
        [
            json!({"name": "now", "input_schema": {"type": "object", "properties": {}}}),
            json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 3})
        ]
    );
    assert_eq!(body(&request)["tool_choice"], Value::Null);
}

#[test]
fn strict_tools_are_closed_or_reported() {
    let strict = |parameters: Value| {
        let tool = FunctionTool { strict: Some(true), ..function("f", parameters) };
        encode(with_tools(SONNET, vec![Tool::Function(tool)], None))
    };
    let closed = strict(json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}));
    assert_eq!(
        body(&closed)["tools"][0],
        json!({"name": "f", "strict": true, "input_schema": {"type": "object",
            "properties": {"n": {"type": "integer", "description": "{minimum: 1}"}}, "additionalProperties": false}})
    );
    assert_eq!(dropped(&closed), ["tools[0].parameters.properties.n.minimum"]);
    let open = strict(json!({"type": "object", "additionalProperties": true}));
    assert_eq!(body(&open)["tools"][0]["strict"], Value::Null);
    assert_eq!(dropped(&open), ["tools[0].strict"]);
}

#[test]
fn tools_of_other_dialects_and_unfit_names_are_refused() {
    let other = refused(with_tools(SONNET, vec![weather(), Tool::Other(foreign(json!({"type": "web_search"})))], None));
    assert_eq!((other.kind, other.parameter.as_deref()), (FailureKind::Unsupported, Some("tools[1]")));
    let named = refused(with_tools(SONNET, vec![Tool::Function(function("a.b", json!({})))], None));
    assert_eq!((named.kind, named.parameter.as_deref()), (FailureKind::Unsupported, Some("tools[0].name")));
    let broken = FunctionTool { parameters: Some("{".into()), ..function("f", json!({})) };
    let broken = refused(with_tools(SONNET, vec![Tool::Function(broken)], None));
    assert_eq!((broken.kind, broken.parameter.as_deref()), (FailureKind::InvalidRequest, Some("tools[0].parameters")));
}

#[test]
fn a_custom_tool_is_a_function_of_one_text() {
    let grammar = Some(Grammar { syntax: "regex".into(), definition: "ls.*".into() });
    let tool = CustomTool { name: "shell".into(), description: Some("Runs.".into()), grammar, extras: Vec::new() };
    let mut request = with_tools(SONNET, vec![weather(), Tool::Custom(tool)], None);
    let earlier = ToolCall { id: "a".into(), name: "shell".into(), arguments: "ls \"x\"".into(), free_form: true };
    request.messages.insert(0, Message::of(Role::Assistant, vec![Part::new(PartBody::ToolCall(earlier))]));
    request.messages.insert(1, Message::of(Role::Tool, vec![result("a", vec![], false)]));
    let request = encode(request);
    assert_eq!(request.context, "[\"shell\"]");
    assert_eq!(
        body(&request)["tools"][1]["input_schema"],
        json!({"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"], "additionalProperties": false})
    );
    assert_eq!(body(&request)["messages"][0]["content"][0]["input"], json!({"input": "ls \"x\""}));
    assert_eq!(dropped(&request), ["tools[1].grammar"]);
}

#[test]
fn a_choice_is_forced_where_the_model_takes_that_and_asked_for_elsewhere() {
    let two = || vec![weather(), Tool::Function(function("now", json!({"type": "object"})))];
    for (model, only, choice, forced) in [
        ("claude-opus-5", vec![], json!({"type": "any"}), true),
        ("claude-opus-5", vec!["weather"], json!({"type": "tool", "name": "weather"}), true),
        ("claude-haiku-5-5", vec![], json!({"type": "any"}), true),
        ("claude-sonnet-5-5", vec![], json!({"type": "auto"}), false),
        ("claude-opus-5-5", vec!["weather"], json!({"type": "auto"}), false),
        ("claude-fable-5-1", vec![], json!({"type": "auto"}), false),
    ] {
        let request = encode(with_tools(model, two(), required(&only)));
        let body = body(&request);
        assert_eq!((&body["tool_choice"], body["system"].is_null()), (&choice, forced), "{model} {only:?}");
        assert_eq!(dropped(&request).contains(&"tool-choice"), !forced, "{model} {only:?}");
        assert_eq!(body["tools"].as_array().unwrap().len(), if only.is_empty() { 2 } else { 1 });
    }
    let budgeted = ChatRequest {
        reasoning: Some(Reasoning { enabled: None, effort: None, budget: Some(2000), visible: None }),
        max_output: Some(8000),
        ..with_tools(HAIKU_4_5, two(), required(&[]))
    };
    assert_eq!(body(&encode(budgeted))["tool_choice"], json!({"type": "auto"}));
}

#[test]
fn parallel_calls_are_turned_off_beside_the_choice() {
    let ask = |choice: Option<ToolMode>, tools| {
        let choice = choice.map(|mode| ToolChoice { mode, only: Vec::new() });
        body(&encode(ChatRequest { parallel_tool_calls: Some(false), ..with_tools("claude-opus-5", tools, choice) }))["tool_choice"].clone()
    };
    assert_eq!(ask(None, vec![weather()]), json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(ask(Some(ToolMode::Required), vec![weather()]), json!({"type": "any", "disable_parallel_tool_use": true}));
    assert_eq!(ask(Some(ToolMode::None), vec![weather()]), json!({"type": "none"}));
    assert_eq!(ask(None, vec![]), Value::Null);
    assert_eq!(dropped(&encode(with_tools(SONNET, vec![], required(&[])))), ["tool-choice"]);
}

#[test]
fn output_formats_are_sent_or_asked_for() {
    let schema = |schema: Value| {
        let schema = JsonSchema { name: "n".into(), description: None, schema: schema.to_string(), strict: Some(true) };
        Some(ResponseFormat::JsonSchema(schema))
    };
    let ask = |model: &str, response_format| encode(ChatRequest { response_format, ..ask(model, "Hi") });
    let closed = ask(SONNET, schema(json!({"type": "object", "properties": {"a": {"type": "string"}}})));
    assert_eq!(
        body(&closed)["output_config"],
        json!({"format": {"type": "json_schema", "schema":
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}}})
    );
    assert!(closed.dropped.is_empty());
    for request in [
        ask(SONNET, Some(ResponseFormat::JsonObject)),
        ask(SONNET, schema(json!({"type": "object"}))),
        ask("claude-3-5-haiku-20241022", schema(json!({"type": "object", "properties": {}}))),
    ] {
        assert_eq!(body(&request)["output_config"], Value::Null);
        assert!(body(&request)["system"][0]["text"].as_str().unwrap().contains("JSON"));
        assert_eq!(dropped(&request), ["response-format"]);
    }
    let own = ask(SONNET, Some(ResponseFormat::Other(own(json!({"type": "new"})))));
    assert_eq!(body(&own)["output_config"], json!({"format": {"type": "new"}}));
    let foreign = ResponseFormat::Other(foreign(json!({"type": "grammar"})));
    let failure = refused(ChatRequest { response_format: Some(foreign), ..self::ask(SONNET, "Hi") });
    assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::Unsupported, Some("response-format")));
}

#[test]
fn reasoning_is_thinking_and_effort() {
    let reasoning = Some(Reasoning { enabled: None, effort: Some(Effort::ExtraHigh), budget: None, visible: Some(true) });
    let request = body(&encode(ChatRequest { reasoning, ..ask(SONNET, "Hi") }));
    assert_eq!(request["thinking"], json!({"type": "adaptive", "display": "summarized"}));
    assert_eq!(request["output_config"], json!({"effort": "xhigh"}));
}

#[test]
fn at_most_four_cache_breakpoints_are_sent_and_no_hour_after_five_minutes() {
    let cached = |words: &str, lifetime| Part { cache: Some(CacheBreakpoint { lifetime }), ..text(words) };
    let mut tool = function("f", json!({"type": "object"}));
    tool.cache = Some(CacheBreakpoint { lifetime: None });
    let mut request = talk(
        SONNET,
        vec![
            Message::of(Role::System, vec![cached("a", Some(3600))]),
            Message::of(Role::User, vec![cached("b", Some(7200)), cached("c", None), cached(" ", None), cached("d", Some(3600))]),
        ],
    );
    request.tools = vec![Tool::Function(tool)];
    let request = encode(request);
    let body = body(&request);
    assert_eq!(body["tools"][0]["cache_control"], Value::Null);
    assert_eq!(body["system"][0]["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    assert_eq!(body["messages"][0]["content"][1]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!(body["messages"][0]["content"][2]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!(dropped(&request), ["tools[0].cache", "messages[1].parts[2].cache", "messages[1].parts[3].cache.lifetime"]);
}

#[test]
fn the_callers_own_fields_are_passed_on_and_others_reported() {
    let mut request = ask(SONNET, "Hi");
    request.reasoning = Some(Reasoning { enabled: Some(false), effort: Some(Effort::Low), budget: None, visible: None });
    request.user = Some("u1".into());
    request.extras = vec![
        own(json!({
            "anthropic-beta": ["a-1", "b-2"],
            "anthropic-version": "2026-10-21",
            "model": "another",
            "inference_geo": "us",
            "thinking": {"type": "adaptive", "display": "omitted"},
            "output_config": {"task_budget": {"type": "tokens", "total": 9}},
            "metadata": {"team": "t"}
        })),
        foreign(json!({"service_tier": "default", "verbosity": "low"})),
        Native { dialect: "llm-gateway".into(), value: "{\"later\":1}".into() },
    ];
    let request = encode(request);
    let body = body(&request);
    assert_eq!(request.headers[1], ("anthropic-beta".to_owned(), "a-1,b-2".to_owned()));
    assert_eq!(body["model"], json!(SONNET));
    assert_eq!(body["inference_geo"], json!("us"));
    assert_eq!(body["thinking"], json!({"type": "adaptive", "display": "omitted"}));
    assert_eq!(body["output_config"], json!({"effort": "low", "task_budget": {"type": "tokens", "total": 9}}));
    assert_eq!(body["metadata"], json!({"user_id": "u1", "team": "t"}));
    assert_eq!(body["service_tier"], json!("standard_only"));
    assert_eq!(dropped(&request), ["extras.anthropic-version", "extras.model", "extras.verbosity"]);
}

#[test]
fn the_callers_own_tool_choice_stands_unless_the_model_refuses_it() {
    let ask = |model: &str| {
        let mut request = with_tools(model, vec![weather()], None);
        request.extras = vec![own(json!({"tool_choice": {"type": "tool", "name": "web_search"}}))];
        encode(request)
    };
    assert_eq!(body(&ask("claude-opus-5"))["tool_choice"], json!({"type": "tool", "name": "web_search"}));
    let refused = ask(SONNET);
    assert_eq!(body(&refused)["tool_choice"], Value::Null);
    assert!(body(&refused)["system"][0]["text"].as_str().unwrap().contains("`web_search`"));
    assert_eq!(dropped(&refused), ["extras.tool_choice"]);
}

#[test]
fn citations_of_claudes_own_go_back_with_the_assistants_text() {
    let location = json!({"type": "web_search_result_location", "url": "https://x.test", "encrypted_index": "Eo8"});
    let cite = |native| Citation { url: None, title: None, quote: None, span: None, native };
    let cited = |citations| Part { citations, ..text("It rains.") };
    let request = encode(talk(
        SONNET,
        vec![
            Message::text(Role::User, "Hi"),
            Message::of(Role::Assistant, vec![cited(vec![cite(own(location.clone())), cite(foreign(json!({})))])]),
            Message::text(Role::User, "And?"),
        ],
    ));
    assert_eq!(body(&request)["messages"][1]["content"], json!([{"type": "text", "text": "It rains.", "citations": [location]}]));
    assert_eq!(dropped(&request), ["messages[1].parts[0].citations"]);
}

#[test]
fn a_block_of_the_providers_own_keeps_its_breakpoint_and_fields() {
    let part = Part {
        cache: Some(CacheBreakpoint { lifetime: None }),
        extras: vec![own(json!({"caller": {"type": "direct"}}))],
        ..Part::new(PartBody::Other(own(json!({"type": "search_result", "source": "s"}))))
    };
    let request = encode(talk(SONNET, vec![Message::of(Role::User, vec![part])]));
    assert_eq!(
        body(&request)["messages"][0]["content"],
        json!([{"type": "search_result", "source": "s", "caller": {"type": "direct"}, "cache_control": {"type": "ephemeral"}}])
    );
}

#[test]
fn what_claude_does_not_fetch_itself_is_named() {
    let document = |url: &str, kind: &str| {
        let media = image(MediaSource::Url(url.into()), Some(kind));
        let parts = vec![text("Read:"), Part::new(PartBody::Document(media))];
        Claude::encode(talk(SONNET, vec![Message::of(Role::User, parts)]))
    };
    assert!(document("https://example.com/a.pdf", "application/pdf").is_ok());
    for (url, kind) in [("http://example.com/a.pdf", "application/pdf"), ("https://example.com/a.txt", "text/plain")] {
        let failure = document(url, kind).unwrap_err();
        assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::Unsupported, Some("messages[0].parts[1]")), "{url}");
    }
}

#[test]
fn an_absurd_schema_is_the_callers_mistake() {
    let deep = format!("{}1{}", "{\"properties\":".repeat(10_000), "}".repeat(10_000));
    let tool = FunctionTool { parameters: Some(deep.clone()), ..function("f", json!({})) };
    let failure = refused(with_tools(SONNET, vec![Tool::Function(tool)], None));
    assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::InvalidRequest, Some("tools[0].parameters")));
    let format = ResponseFormat::JsonSchema(JsonSchema { name: "n".into(), description: None, schema: deep, strict: None });
    let failure = refused(ChatRequest { response_format: Some(format), ..ask(SONNET, "a") });
    assert_eq!((failure.kind, failure.parameter.as_deref()), (FailureKind::InvalidRequest, Some("response-format.schema")));
}

#[test]
fn a_tree_is_taken_as_arguments_and_told_where_the_model_can_not_be_held_to_it() {
    let tree = json!({"type": "object", "properties": {"child": {"$ref": "#"}}, "required": ["child"], "additionalProperties": false});
    let tool = |strict| Tool::Function(FunctionTool { strict: Some(strict), ..function("f", tree.clone()) });
    let loose = encode(with_tools(SONNET, vec![tool(false)], None));
    assert_eq!((&body(&loose)["tools"][0]["input_schema"], dropped(&loose)), (&tree, vec![]));
    let strict = encode(with_tools(SONNET, vec![tool(true)], None));
    assert_eq!((&body(&strict)["tools"][0]["input_schema"], dropped(&strict)), (&tree, vec!["tools[0].strict"]));
}
