//! Which endpoint a request goes to, and that the decoder learns of it.

use crate::support::*;
use llm_gateway_adapter::types::{ChatRequest, Effort, MediaSource, PartBody, Reasoning, Tool, ToolResultPart};

/// Path and context.
fn sent(request: ChatRequest) -> (String, String) {
    let request = encode(request);
    (request.path, request.context)
}

fn chat() -> (String, String) {
    ("/chat/completions".into(), String::new())
}

fn responses() -> (String, String) {
    ("/responses".into(), "responses".into())
}

#[test]
fn plain_requests_go_to_chat() {
    for model in ["gpt-4o", "gpt-5", "gpt-5.4", "gpt-5.6-terra", "gpt-6-astra", "llama3.3:70b"] {
        assert_eq!(sent(asking(model)), chat(), "{model}");
    }
}

#[test]
fn tools_of_reasoning_models_need_responses() {
    for (model, expected) in [
        ("gpt-4.1", chat()),
        ("o3", chat()),
        ("qwen3", chat()),
        ("gpt-5", responses()),
        ("gpt-5.4", responses()),
        ("gpt-5.6-sol", responses()),
        ("gpt-6-astra", responses()),
        ("gpt-6.1-sol", responses()),
    ] {
        assert_eq!(sent(ChatRequest { tools: vec![weather_tool()], ..asking(model) }), expected, "{model}");
    }
}

#[test]
fn what_only_one_endpoint_takes_goes_there() {
    let document = |source| conversation("gpt-4o", vec![user(vec![text("?"), part(PartBody::Document(media(source, "application/pdf")))])]);
    let answered = |content| conversation("gpt-4o", vec![assistant(vec![call("c1", "weather", "{}")]), result("c1", content)]);
    let part_of = |body| conversation("gpt-4o", vec![user(vec![part(body)])]);
    for (what, request, expected) in [
        ("a document by url", document(MediaSource::Url("https://a.b/c.pdf".into())), responses()),
        ("a document by file id", document(MediaSource::File(native("openai-chat", "\"file-1\""))), chat()),
        ("an image in a tool result", answered(vec![ToolResultPart::Image(blob(1, "image/png"))]), responses()),
        ("a text in a tool result", answered(vec![result_text("Sunny")]), chat()),
        ("a spreadsheet", part_of(PartBody::Document(blob(1, "application/vnd.ms-excel"))), responses()),
        ("a text document", part_of(PartBody::Document(blob(1, "text/markdown"))), chat()),
        ("an item of the endpoint's own", part_of(PartBody::Other(native("openai-responses", r#"{"type":"input_x"}"#))), responses()),
        ("a sound", part_of(PartBody::Audio(blob(1, "audio/wav"))), chat()),
        (
            "a tool of the provider's",
            ChatRequest { tools: vec![Tool::Other(native("openai-responses", r#"{"type":"web_search"}"#))], ..asking("gpt-4o") },
            responses(),
        ),
    ] {
        assert_eq!(sent(request), expected, "{what}");
    }
}

fn part(body: PartBody) -> llm_gateway_adapter::types::Part {
    llm_gateway_adapter::types::Part::new(body)
}

#[test]
fn earlier_encrypted_reasoning_stays_with_responses() {
    let mut thinking = part(PartBody::Thinking("hm".into()));
    thinking.replay = replay(r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}"#);
    let messages = vec![assistant(vec![thinking, text("4")]), user(vec![text("And 3+3?")])];
    assert_eq!(sent(conversation("gpt-5.4", messages)), responses());
}

#[test]
fn reasoning_that_is_to_be_seen_goes_to_responses_unless_several_answers_are_wanted() {
    let visible = Some(Reasoning { visible: Some(true), ..no_reasoning_wish() });
    let maximum = Some(Reasoning { effort: Some(Effort::Maximum), ..no_reasoning_wish() });
    assert_eq!(sent(ChatRequest { reasoning: visible, ..asking("gpt-5.6-sol") }), responses());
    assert_eq!(sent(ChatRequest { reasoning: maximum, ..asking("gpt-5.6-sol") }), responses());
    assert_eq!(sent(ChatRequest { reasoning: visible, ..asking("gpt-4o") }), chat());
    assert_eq!(sent(ChatRequest { reasoning: visible, choices: Some(2), ..asking("gpt-5.6-sol") }), chat());
}

#[test]
fn a_responses_callers_own_fields_go_to_responses() {
    let with = |extras| ChatRequest { extras: vec![native("openai-responses", extras)], ..asking("gpt-4o") };
    assert_eq!(sent(with(r#"{"truncation":"auto"}"#)), responses());
    assert_eq!(sent(with(r#"{"service_tier":"flex"}"#)), chat());
}

#[test]
fn the_setting_and_the_models_kind_come_before_all() {
    let set = |value: &str| vec![("endpoint".to_owned(), value.to_owned())];
    assert_eq!(sent(ChatRequest { settings: set("responses"), ..asking("gpt-4o") }), responses());
    assert_eq!(sent(ChatRequest { settings: set("chat"), tools: vec![weather_tool()], ..asking("gpt-5.4") }), chat());
    assert_eq!(sent(asking("gpt-5.2-codex")), responses());
    assert_eq!(sent(ChatRequest { tools: vec![weather_tool()], ..asking("gpt-audio") }), chat());
    let failure = refusal(ChatRequest { settings: set("both"), ..asking("gpt-4o") });
    assert_eq!(failure.parameter.as_deref(), Some("settings.endpoint"));
}
