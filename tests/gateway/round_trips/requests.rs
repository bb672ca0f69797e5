//! Any canonical request that a wire may be given.
//!
//! What the contract rules out is not made: empty texts without a replay, results without their calls, thinking of anyone but the assistant.

use super::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use llm_gateway::contract::{
    CacheBreakpoint, ChatRequest, Citation, CustomTool, Effort, FunctionTool, Grammar, JsonSchema, Media, MediaSource, Message, Native,
    Part, PartBody, Reasoning, Replay, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice, ToolMode, ToolResult, ToolResultPart,
};
use llm_gateway::domain::{Blobs, part};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// A request with its media.
#[derive(Debug, Clone)]
pub struct Asked {
    pub request: ChatRequest,
    pub blobs: Blobs,
}

pub fn any_request(wire: Wire) -> impl Strategy<Value = Asked> {
    let about = (option::of(words()), btree_map("[a-z]{1,3}", words(), 0..3), any::<bool>(), extras_of_request(wire));
    let limits = (option::of(select(vec![9, 300, 4000, 21_333, 30_000])), vec(words(), 0..6), option::of(1..3u32), option::of(0..5u32));
    let how = (option::of(format(wire)), sampling(wire), option::of(reasoning()));
    let tools = (vec(tool(wire), 0..4), option::of((select(vec![ToolMode::Auto, ToolMode::None, ToolMode::Required]), 0..3usize)));
    (select(wire.models()), conversation(wire), tools, option::of(any::<bool>()), how, limits, about).prop_map(
        move |(model, messages, (tools, choice), parallel, (response_format, sampling, reasoning), limits, about)| {
            let (max_output, stop, choices, logprobs) = limits;
            let (user, metadata, stream, extras) = about;
            let tools = numbered(tools);
            let tool_choice = choice.map(|(mode, named)| ToolChoice { mode, only: names(&tools).take(named).collect() });
            stored(ChatRequest {
                model: model.to_owned(),
                messages,
                tools,
                tool_choice,
                parallel_tool_calls: parallel,
                response_format,
                sampling,
                max_output,
                stop,
                choices,
                logprobs,
                reasoning,
                user,
                metadata: metadata.into_iter().collect(),
                stream,
                settings: wire.settings(),
                extras,
            })
        },
    )
}

fn words() -> impl Strategy<Value = String> {
    "[a-zé🙂 \n\"{]{1,12}"
}

// ---- media ----

/// Media is made as base64, and becomes a blob here.
fn stored(mut request: ChatRequest) -> Asked {
    let mut blobs = Blobs::default();
    for media in request.messages.iter_mut().flat_map(|message| &mut message.parts).flat_map(|part| media_in(&mut part.body)) {
        if let MediaSource::Base64(base64) = &media.source {
            media.source = MediaSource::Blob(blobs.add(Bytes::from(STANDARD.decode(base64).unwrap())).unwrap());
        }
    }
    Asked { request, blobs }
}

/// All media of a part, a tool result's included.
pub fn media_in(body: &mut PartBody) -> Vec<&mut Media> {
    match body {
        PartBody::Image(media) | PartBody::Audio(media) | PartBody::Video(media) | PartBody::Document(media) => vec![media],
        PartBody::ToolResult(result) => result.content.iter_mut().filter_map(media_of_result).collect(),
        _ => Vec::new(),
    }
}

fn media_of_result(part: &mut ToolResultPart) -> Option<&mut Media> {
    match part {
        ToolResultPart::Image(media) | ToolResultPart::Audio(media) | ToolResultPart::Video(media) | ToolResultPart::Document(media) => {
            Some(media)
        }
        ToolResultPart::Text(_) | ToolResultPart::Other(_) => None,
    }
}

fn bytes(media_type: &str) -> impl Strategy<Value = Media> + use<> {
    let media_type = Some(media_type.to_owned());
    words().prop_map(move |bytes| medium(MediaSource::Base64(STANDARD.encode(bytes)), media_type.clone()))
}

fn medium(source: MediaSource, media_type: Option<String>) -> Media {
    Media { source, media_type, name: None, detail: None, transcript: None }
}

fn by_url() -> impl Strategy<Value = Media> {
    "[a-z]{1,5}".prop_map(|name| medium(MediaSource::Url(format!("https://files.test/{name}?a=b&c")), None))
}

fn kept(wire: Wire) -> impl Strategy<Value = Media> {
    "[a-z]{1,5}".prop_map(move |id| {
        let file = Native { dialect: wire.dialect().to_owned(), value: json!(format!("file_{id}")).to_string() };
        medium(MediaSource::File(file), None)
    })
}

/// Chat takes no images by id, and no documents by URL.
fn image(wire: Wire) -> BoxedStrategy<Media> {
    let told = prop_oneof![bytes("image/png"), bytes("image/jpeg"), by_url()];
    let source = if wire == Wire::Chat { told.boxed() } else { prop_oneof![3 => told, 1 => kept(wire)].boxed() };
    let detail = option::of(select(vec!["low", "high", "auto"]));
    (source, detail).prop_map(|(media, detail)| Media { detail: detail.map(str::to_owned), ..media }).boxed()
}

fn document(wire: Wire) -> BoxedStrategy<Media> {
    let told = prop_oneof![bytes("application/pdf"), bytes("text/plain"), bytes("text/markdown"), bytes("application/json"), kept(wire)];
    let source = if wire == Wire::Chat { told.boxed() } else { prop_oneof![4 => told, 1 => by_url()].boxed() };
    (source, option::of("[a-z]{1,5}\\.[a-z]{3}")).prop_map(|(media, name)| Media { name, ..media }).boxed()
}

// ---- what is said ----

fn conversation(wire: Wire) -> impl Strategy<Value = Vec<Message>> {
    let turn = prop_oneof![
        1 => instruction(wire, Role::System).prop_map(|message| vec![message]),
        1 => instruction(wire, Role::Developer).prop_map(|message| vec![message]),
        3 => user(wire).prop_map(|message| vec![message]),
        4 => assistant(wire),
    ];
    (vec(instruction(wire, Role::System), 0..2), vec(turn, 0..5), user(wire)).prop_map(|(system, turns, last)| {
        let mut messages: Vec<Message> = system.into_iter().chain(turns.into_iter().flatten()).chain([last]).collect();
        number_calls(&mut messages);
        messages
    })
}

/// Ids that no wire restricts, and ids that Anthropic's does.
fn number_calls(messages: &mut [Message]) {
    let id = |number: u32| if number.is_multiple_of(2) { format!("call_{number}") } else { format!("appels:é{number}") };
    let (mut calls, mut results) = ((0..).map(id), (0..).map(id));
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        match &mut part.body {
            PartBody::ToolCall(call) => call.id.extend(calls.next()),
            PartBody::ToolResult(result) => result.call_id.extend(results.next()),
            _ => {}
        }
    }
}

fn said(role: Role, parts: Vec<Part>) -> Message {
    Message { role, name: None, parts, extras: Vec::new() }
}

fn instruction(wire: Wire, role: Role) -> impl Strategy<Value = Message> {
    vec(dressed(wire, words().prop_map(PartBody::Text)), 1..3).prop_map(move |parts| said(role, parts))
}

fn user(wire: Wire) -> impl Strategy<Value = Message> {
    let named = (option::weighted(0.1, "[a-z]{1,5}"), extras_of_message(wire));
    (vec(user_part(wire), 1..4), named).prop_map(|(parts, (name, extras))| Message { name, extras, ..said(Role::User, parts) })
}

fn user_part(wire: Wire) -> impl Strategy<Value = Part> {
    let text = words().prop_map(PartBody::Text);
    let media = prop_oneof![image(wire).prop_map(PartBody::Image), document(wire).prop_map(PartBody::Document)];
    let body = match wire {
        Wire::Chat => prop_oneof![4 => text, 3 => media, 1 => sound()].boxed(),
        Wire::Responses => prop_oneof![4 => text, 3 => media, 1 => native(wire, json!({"type": "input_hologram", "depth": 3}))].boxed(),
        Wire::Messages => {
            let found = json!({"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]});
            prop_oneof![4 => text, 3 => media, 1 => native(wire, found)].boxed()
        }
    };
    dressed(wire, body)
}

fn sound() -> impl Strategy<Value = PartBody> {
    prop_oneof![bytes("audio/wav"), bytes("audio/mpeg")].prop_map(PartBody::Audio)
}

fn native(wire: Wire, value: Value) -> impl Strategy<Value = PartBody> {
    Just(PartBody::Other(own(wire, &value)))
}

/// A value in the wire's own words.
fn own(wire: Wire, value: &Value) -> Native {
    Native { dialect: wire.dialect().to_owned(), value: value.to_string() }
}

/// A part with what stands beside it. A native part says all itself, but for Anthropic's breakpoints.
fn dressed(wire: Wire, body: impl Strategy<Value = PartBody>) -> impl Strategy<Value = Part> {
    (body, cache(wire), further(wire)).prop_map(move |(body, cache, extras)| {
        let is_native = matches!(body, PartBody::Other(_));
        let cache = cache.filter(|_| !is_native || wire == Wire::Messages);
        let extras = if is_native { Vec::new() } else { extras };
        Part { cache, extras, ..part(body) }
    })
}

/// Lifetimes that the provider has; others become the nearest.
fn cache(wire: Wire) -> impl Strategy<Value = Option<CacheBreakpoint>> {
    let lifetimes = if wire == Wire::Messages { [300, 3600] } else { [1800, 43_200] };
    option::weighted(0.2, option::of(select(lifetimes.to_vec())).prop_map(|lifetime| CacheBreakpoint { lifetime }))
}

/// A field of the wire's own that nobody here knows, or another's.
fn further(wire: Wire) -> impl Strategy<Value = Vec<Native>> {
    let own = own(wire, &json!({"x_note": {"a": [1, null]}}));
    let foreign = Native { dialect: "gemini".to_owned(), value: json!({"videoMetadata": {}}).to_string() };
    option::weighted(0.2, subsequence(vec![own, foreign], 1..=2)).prop_map(Option::unwrap_or_default)
}

/// Anthropic's neighbours are joined, and their fields with them.
fn extras_of_message(wire: Wire) -> BoxedStrategy<Vec<Native>> {
    if wire == Wire::Messages { Just(Vec::new()).boxed() } else { further(wire).boxed() }
}

// ---- the assistant, and its tools ----

/// What it said, and the results of its calls or the user's next words: two turns of the assistant do not follow each other.
fn assistant(wire: Wire) -> impl Strategy<Value = Vec<Message>> {
    let (results, named) = (vec(result(wire), 5), (option::weighted(0.1, "[a-z]{1,5}"), extras_of_message(wire)));
    (vec(assistant_part(wire), 1..5), results, named, words()).prop_map(|(parts, results, (name, extras), words)| {
        let calls: Vec<String> = parts
            .iter()
            .filter_map(|part| if let PartBody::ToolCall(call) = &part.body { Some(call.name.clone()) } else { None })
            .collect();
        let answer = match calls.len() {
            0 => said(Role::User, vec![part(PartBody::Text(words))]),
            _ => said(Role::Tool, calls.into_iter().zip(results).map(|(name, result)| of_tool(name, result)).collect()),
        };
        vec![Message { name, extras, ..said(Role::Assistant, parts) }, answer]
    })
}

fn of_tool(name: String, mut part: Part) -> Part {
    if let PartBody::ToolResult(result) = &mut part.body {
        result.name = name;
    }
    part
}

fn assistant_part(wire: Wire) -> impl Strategy<Value = Part> {
    let text = dressed(wire, words().prop_map(PartBody::Text));
    let refusal = dressed(wire, words().prop_map(PartBody::Refusal));
    let own = match wire {
        // No message of Chat's has such.
        Wire::Chat => call().boxed(),
        Wire::Responses => native(wire, json!({"type": "web_search_call", "id": "ws_1", "status": "completed"})).boxed(),
        Wire::Messages => {
            native(wire, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": null}})).boxed()
        }
    };
    prop_oneof![
        1 => dressed(wire, own),
        3 => (text, option::weighted(0.3, citation(wire)), phase(wire)).prop_map(|(text, citation, replay)| {
            Part { citations: citation.into_iter().flatten().collect(), replay, ..text }
        }),
        1 => refusal,
        2 => thinking(wire),
        3 => dressed(wire, call()),
    ]
}

fn call() -> impl Strategy<Value = PartBody> {
    let arguments = select(vec!["", "{}", "{\"b\": null, \"a\":[1.0,\"é\"]}", "plain {", "[1]", " {\"a\":{}} "]);
    (select(vec!["tool_0", "tool_1", "other"]), arguments, any::<bool>()).prop_map(|(name, arguments, free_form)| {
        PartBody::ToolCall(ToolCall { id: String::new(), name: name.to_owned(), arguments: arguments.to_owned(), free_form })
    })
}

fn result(wire: Wire) -> impl Strategy<Value = Part> {
    let own = match wire {
        Wire::Chat => words().prop_map(ToolResultPart::Text).boxed(),
        Wire::Responses => own_result(wire, json!({"type": "input_hologram", "depth": 3})),
        Wire::Messages => own_result(wire, json!({"type": "tool_reference", "tool_name": "t"})),
    };
    let content = prop_oneof![
        1 => own,
        4 => words().prop_map(ToolResultPart::Text),
        1 => image(wire).prop_map(ToolResultPart::Image),
        1 => document(wire).prop_map(ToolResultPart::Document),
    ];
    let body = (vec(content, 0..3), any::<bool>()).prop_map(|(content, is_error)| {
        PartBody::ToolResult(ToolResult { call_id: String::new(), name: String::new(), content, is_error })
    });
    dressed(wire, body)
}

fn own_result(wire: Wire, value: Value) -> BoxedStrategy<ToolResultPart> {
    Just(ToolResultPart::Other(own(wire, &value))).boxed()
}

/// With nothing to send back, and with what the provider itself made of it.
fn thinking(wire: Wire) -> impl Strategy<Value = Part> {
    let model = option::of(select(wire.models())).prop_map(|model| model.map(str::to_owned));
    (vec(words(), 1..3), option::of(("[A-Za-z0-9]{1,6}", any::<bool>(), model))).prop_map(move |(paragraphs, seal)| {
        let replay = seal.map(|(secret, is_shown, model)| Replay { data: sealed(wire, &paragraphs, &secret, is_shown), model });
        Part { replay, ..part(PartBody::Thinking(paragraphs.join("\n\n"))) }
    })
}

fn sealed(wire: Wire, paragraphs: &[String], secret: &str, is_shown: bool) -> String {
    match (wire, is_shown) {
        (Wire::Messages, true) => format!("signature:{secret}"),
        (Wire::Messages, false) => format!("redacted:{secret}"),
        (Wire::Chat | Wire::Responses, _) => {
            let summary: Vec<Value> = paragraphs.iter().map(|text| json!({"type": "summary_text", "text": text})).collect();
            json!({"id": format!("rs_{secret}"), "encrypted_content": secret, "type": "reasoning", "summary": summary}).to_string()
        }
    }
}

/// OpenAI labels its texts on one endpoint.
fn phase(wire: Wire) -> BoxedStrategy<Option<Replay>> {
    if wire != Wire::Responses {
        return Just(None).boxed();
    }
    let phases = select(vec!["commentary", "final_answer"]);
    option::weighted(0.3, phases.prop_map(|phase| Replay { data: json!({ "phase": phase }).to_string(), model: None })).boxed()
}

/// Of the wire's own kind; no request to Chat has any.
fn citation(wire: Wire) -> impl Strategy<Value = Option<Citation>> {
    let some = |text: &str| Some(text.to_owned());
    Just(match wire {
        Wire::Chat => None,
        Wire::Responses => Some(Citation {
            url: some("https://x.test"),
            title: some("T"),
            quote: None,
            span: Some((0, 1)),
            native: own(wire, &json!({"type": "url_citation", "url": "https://x.test", "title": "T", "start_index": 0, "end_index": 1})),
        }),
        Wire::Messages => Some(Citation {
            url: None,
            title: some("D"),
            quote: some("q"),
            span: None,
            native: own(
                wire,
                &json!({"type": "page_location", "cited_text": "q", "document_index": 0, "document_title": "D", "start_page_number": 1}),
            ),
        }),
    })
}

// ---- what is asked for ----

fn schema() -> impl Strategy<Value = String> {
    select(vec![
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}),
        json!({"type": "object", "properties": {"b": {"type": ["integer", "null"]}, "a": {"$ref": "#/$defs/d"}}, "required": ["b", "a"],
            "$defs": {"d": {"type": "object", "properties": {"x": {"enum": [1, null]}}, "required": ["x"]}}}),
        json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "default": null}),
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
    ])
    .prop_map(|schema| schema.to_string())
}

fn tool(wire: Wire) -> impl Strategy<Value = Tool> {
    let function = (option::of(words()), option::of(schema()), option::of(any::<bool>()), cache(wire), further(wire)).prop_map(
        |(description, parameters, strict, cache, extras)| {
            Tool::Function(FunctionTool { name: String::new(), description, parameters, strict, cache, extras })
        },
    );
    let custom = (option::of(words()), grammar(wire), further(wire))
        .prop_map(|(description, grammar, extras)| Tool::Custom(CustomTool { name: String::new(), description, grammar, extras }));
    let own = match wire {
        Wire::Chat => json!({"type": "web_search_options"}),
        Wire::Responses => json!({"type": "web_search", "filters": {"allowed_domains": ["x.test"]}}),
        Wire::Messages => json!({"type": "web_search_20260209", "name": "web_search", "max_uses": 3}),
    };
    prop_oneof![4 => function, 2 => custom, 1 => Just(Tool::Other(self::own(wire, &own)))]
}

/// Where there are none, one goes into the description.
fn grammar(wire: Wire) -> BoxedStrategy<Option<Grammar>> {
    if wire == Wire::Messages {
        return Just(None).boxed();
    }
    option::of(words().prop_map(|definition| Grammar { syntax: "lark".to_owned(), definition })).boxed()
}

fn numbered(mut tools: Vec<Tool>) -> Vec<Tool> {
    for (number, tool) in tools.iter_mut().enumerate() {
        match tool {
            Tool::Function(tool) => tool.name = format!("tool_{number}"),
            Tool::Custom(tool) => tool.name = format!("tool_{number}"),
            Tool::Other(_) => {}
        }
    }
    tools
}

fn names(tools: &[Tool]) -> impl Iterator<Item = String> {
    tools.iter().filter_map(|tool| match tool {
        Tool::Function(tool) => Some(tool.name.clone()),
        Tool::Custom(tool) => Some(tool.name.clone()),
        Tool::Other(_) => None,
    })
}

fn format(wire: Wire) -> impl Strategy<Value = ResponseFormat> {
    let schema = ("[a-z_]{1,8}", option::of(words()), schema(), option::of(any::<bool>()))
        .prop_map(|(name, description, schema, strict)| ResponseFormat::JsonSchema(JsonSchema { name, description, schema, strict }));
    let own = match wire {
        // All of Chat's have names.
        Wire::Chat => ResponseFormat::Text,
        Wire::Responses | Wire::Messages => ResponseFormat::Other(own(wire, &json!({"type": "grammar", "syntax": "lark"}))),
    };
    prop_oneof![1 => Just(ResponseFormat::Text), 1 => Just(ResponseFormat::JsonObject), 1 => Just(own), 4 => schema]
}

/// Within what the wire's own callers may say: more is reported, and sent as the most, which is the default and need not be said again.
fn sampling(wire: Wire) -> impl Strategy<Value = Sampling> {
    let temperatures = if wire == Wire::Messages { vec![0.0, 0.3, 1.0] } else { vec![0.0, 0.3, 1.0, 2.0] };
    let penalty = || option::weighted(0.3, select(vec![-2.0, 0.0, 0.7]));
    let first = (option::of(select(temperatures)), option::of(select(vec![0.5, 0.97, 1.0])), option::weighted(0.3, 0..50u32));
    let bias = btree_map(0..200_000u32, select(vec![-100.0, 0.5, 7.0]), 0..3);
    (first, penalty(), penalty(), option::weighted(0.3, any::<i64>()), bias).prop_map(
        |((temperature, top_p, top_k), presence_penalty, frequency_penalty, seed, logit_bias)| Sampling {
            temperature,
            top_p,
            top_k,
            presence_penalty,
            frequency_penalty,
            seed,
            logit_bias: logit_bias.into_iter().collect(),
        },
    )
}

fn reasoning() -> impl Strategy<Value = Reasoning> {
    use Effort::{ExtraHigh, High, Low, Maximum, Medium, Minimal};
    let efforts = vec![Effort::None, Minimal, Low, Medium, High, ExtraHigh, Maximum];
    let budgets = select(vec![0, 500, 2000, 9000, 40_000]);
    (option::of(any::<bool>()), option::of(select(efforts)), option::weighted(0.3, budgets), option::of(any::<bool>()))
        .prop_map(|(enabled, effort, budget, visible)| Reasoning { enabled, effort, budget, visible })
}

/// Of the wire's own, of none that it knows, and of the contract's.
fn extras_of_request(wire: Wire) -> impl Strategy<Value = Vec<Native>> {
    let own = match wire {
        Wire::Chat => json!({"service_tier": "flex", "verbosity": "low", "prompt_cache_key": "k", "x": {"y": [null]}}),
        Wire::Responses => {
            json!({"service_tier": "flex", "truncation": "auto", "text": {"verbosity": "low"}, "include": ["x.y"], "x": {"y": [null]}})
        }
        Wire::Messages => json!({"service_tier": "auto", "container": "c", "metadata": {"trace": "t"}, "anthropic-beta": "a-1,b-2"}),
    };
    let native = |dialect: &str, value: Value| Native { dialect: dialect.to_owned(), value: value.to_string() };
    let all = vec![
        native(wire.dialect(), own),
        native("gemini", json!({"cachedContent": "c"})),
        native("llm-gateway", json!({"of_a_later_version": true})),
    ];
    subsequence(all, 0..=3)
}
