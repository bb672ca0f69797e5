//! What Claude's answers mean, whole and streamed.

#![allow(clippy::unwrap_used, clippy::panic)]

use adapter_claude::Claude;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::{check_order, frames, gather, response, run_stream};
use llm_gateway_adapter::types::{ChatEvent, ChatResponse, FailureKind, FinishReason, Frame, Native, Part, PartBody, Retry, ToolCall};
use serde_json::{Value, json};

fn message(content: Value, stop_reason: Value, usage: Value) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "content": content,
        "stop_reason": stop_reason, "stop_sequence": null, "usage": usage})
}

fn decode(message: &Value, context: &str) -> ChatResponse {
    Claude::decode(response(200, &[], &message.to_string()), context.to_owned()).unwrap()
}

fn parts(content: Value) -> Vec<Part> {
    let mut answer = decode(&message(content, json!("end_turn"), json!({})), "");
    answer.choices.remove(0).parts
}

fn sse(events: &[Value]) -> Vec<Frame> {
    events.iter().map(|event| Frame { event: event["type"].as_str().map(str::to_owned), data: event.to_string() }).collect()
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5",
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}}})
}

fn begin(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn end(stop_reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": null}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ]
}

fn events(frames: &[Frame], context: &str) -> Vec<ChatEvent> {
    let events = run_stream::<Claude>(context, frames, 1);
    assert_eq!(check_order(&events), Ok(()));
    assert_eq!(run_stream::<Claude>(context, frames, usize::MAX), events);
    events
}

fn own(value: Value) -> Native {
    Native { dialect: "anthropic-messages".into(), value: value.to_string() }
}

/// `extras` compare by value: the order of an object's fields is nobody's business.
fn fields(extras: &[Native]) -> Value {
    extras.first().map_or(Value::Null, |native| serde_json::from_str(&native.value).unwrap())
}

#[test]
fn a_stream_gives_what_the_whole_answer_gives() {
    let code = json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "bash_code_execution", "input": {"command": "ls"}});
    let cited = json!({"type": "char_location", "cited_text": "It rains.", "document_index": 0, "document_title": "Diary",
        "start_char_index": 0, "end_char_index": 9});
    let mut whole = message(
        json!([
            {"type": "thinking", "thinking": "Hm. So.", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "EuYB"},
            {"type": "text", "text": ""},
            {"type": "text", "text": "It rains.", "citations": [cited]},
            code,
            {"type": "compaction", "content": "short"},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city":"Oslo"}, "caller": {"type": "direct"}},
            {"type": "tool_use", "id": "toolu_2", "name": "shell", "input": {"input":"ls \"x\""}},
            {"type": "tool_use", "id": "toolu_3", "name": "now", "input": {}}
        ]),
        json!("tool_use"),
        json!({"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 9, "service_tier": "standard"}),
    );
    whole["container"] = json!({"id": "container_1"});
    let mut streamed = vec![
        start(),
        begin(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "ping"}),
        delta(0, json!({"type": "thinking_delta", "thinking": "Hm. "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "So."})),
        delta(0, json!({"type": "signature_delta", "signature": "EqQB"})),
        stop(0),
        begin(1, json!({"type": "redacted_thinking", "data": "EuYB"})),
        stop(1),
        begin(2, json!({"type": "text", "text": ""})),
        stop(2),
        begin(3, json!({"type": "text", "text": "", "citations": []})),
        delta(3, json!({"type": "citations_delta", "citation": cited})),
        delta(3, json!({"type": "text_delta", "text": "It "})),
        delta(3, json!({"type": "text_delta", "text": "rains."})),
        delta(3, json!({"type": "added_later_delta", "anything": 1})),
        stop(3),
        begin(4, json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "bash_code_execution", "input": {}})),
        delta(4, json!({"type": "input_json_delta", "partial_json": "{\"comma"})),
        delta(4, json!({"type": "input_json_delta", "partial_json": "nd\":\"ls\"}"})),
        stop(4),
        begin(5, json!({"type": "compaction", "content": null})),
        delta(5, json!({"type": "compaction_delta", "content": "short"})),
        stop(5),
        begin(6, json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}, "caller": {"type": "direct"}})),
        delta(6, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(6, json!({"type": "input_json_delta", "partial_json": "{\"city\":\"Oslo\"}"})),
        stop(6),
        begin(7, json!({"type": "tool_use", "id": "toolu_2", "name": "shell", "input": {}})),
        delta(7, json!({"type": "input_json_delta", "partial_json": "{\"input\":\"ls \\\"x\\\"\"}"})),
        stop(7),
        begin(8, json!({"type": "tool_use", "id": "toolu_3", "name": "now", "input": {}})),
        stop(8),
    ];
    let [mut last, over] = end("tool_use");
    last["delta"]["container"] = json!({"id": "container_1"});
    streamed.extend([last, over]);

    let mut expected = decode(&whole, "[\"shell\"]");
    let mut gathered = gather(&events(&sse(&streamed), "[\"shell\"]")).unwrap();
    assert_eq!(fields(&gathered.extras), fields(&expected.extras));
    (gathered.extras, expected.extras) = (Vec::new(), Vec::new());
    assert_eq!(gathered, expected);
    assert_eq!(expected.choices[0].parts[0].extras, []);
    assert_eq!(fields(&expected.choices[0].parts[1].extras), json!({"type": "redacted_thinking"}));
    let kinds: Vec<&PartBody> = expected.choices[0].parts.iter().map(|part| &part.body).collect();
    assert!(matches!(
        kinds.as_slice(),
        [
            PartBody::Thinking(_),
            PartBody::Thinking(_),
            PartBody::Text(_),
            PartBody::Other(_),
            PartBody::Other(_),
            PartBody::ToolCall(_),
            PartBody::ToolCall(ToolCall { free_form: true, .. }),
            PartBody::ToolCall(_)
        ]
    ));
}

#[test]
fn parts_keep_what_must_come_back() {
    let parts = parts(json!([
        {"type": "thinking", "thinking": "", "signature": "Omit"},
        {"type": "redacted_thinking", "data": "EuYB"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.0}, "caller": {"type": "direct"}},
        {"type": "mcp_tool_use", "id": "m", "new": [1]}
    ]));
    let data = |part: &Part| part.replay.as_ref().map(|replay| replay.data.clone());
    assert_eq!(data(&parts[0]).as_deref(), Some("signature:Omit"));
    assert_eq!(data(&parts[1]).as_deref(), Some("redacted:EuYB"));
    assert_eq!(parts[2].extras, [own(json!({"caller": {"type": "direct"}}))]);
    assert!(matches!(&parts[2].body, PartBody::ToolCall(call) if call.arguments == "{\"a\":1.0}"));
    assert_eq!(parts[3].body, PartBody::Other(own(json!({"type": "mcp_tool_use", "id": "m", "new": [1]}))));
}

#[test]
fn what_came_goes_back_as_it_was() {
    use llm_gateway_adapter::types::{ChatRequest, Message, Role};
    let content = json!([
        {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "EuYB"},
        {"type": "text", "text": "It rains.", "citations": [{"type": "web_search_result_location", "url": "https://x.test",
            "title": "X", "encrypted_index": "Eo8", "cited_text": "Rain."}]},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}, "caller": {"type": "direct"}}
    ]);
    let turn = Message::of(Role::Assistant, parts(content.clone()));
    let request = ChatRequest::new("claude-sonnet-5-5", vec![Message::text(Role::User, "Hi"), turn]);
    let sent = Claude::encode(request).unwrap();
    let body: Value = serde_json::from_str(&llm_gateway_adapter::harness::body_text(&sent)).unwrap();
    assert_eq!(body["messages"][1]["content"], content);
    assert!(sent.dropped.is_empty());
}

#[test]
fn citations_tell_other_callers_where_the_words_are_from() {
    let parts = parts(json!([{"type": "text", "text": "It rains.", "citations": [
        {"type": "web_search_result_location", "url": "https://x.test", "title": "X", "encrypted_index": "Eo8", "cited_text": "Rain."},
        {"type": "page_location", "document_title": "Diary", "cited_text": "Rain again.", "start_page_number": 1}
    ]}]));
    let told: Vec<_> = parts[0]
        .citations
        .iter()
        .map(|citation| (citation.url.as_deref(), citation.title.as_deref(), citation.quote.as_deref(), citation.span))
        .collect();
    assert_eq!(told, [(Some("https://x.test"), Some("X"), Some("Rain."), None), (None, Some("Diary"), Some("Rain again."), None)]);
}

#[test]
fn each_stop_reason_has_its_meaning() {
    for (raw, with_call, reason) in [
        (json!("end_turn"), false, FinishReason::Stop),
        (json!("end_turn"), true, FinishReason::ToolCalls),
        (json!("stop_sequence"), false, FinishReason::Stop),
        (json!("max_tokens"), true, FinishReason::Length),
        (json!("model_context_window_exceeded"), false, FinishReason::Length),
        (json!("tool_use"), true, FinishReason::ToolCalls),
        (json!("refusal"), false, FinishReason::ContentFilter),
        (json!("pause_turn"), false, FinishReason::Other),
        (json!("added_later"), false, FinishReason::Other),
        (json!(null), false, FinishReason::Other),
    ] {
        let content = if with_call { json!([{"type": "tool_use", "id": "t", "name": "f", "input": {}}]) } else { json!([]) };
        let answer = decode(&message(content, raw.clone(), json!({})), "");
        assert_eq!(answer.choices[0].finish.reason, reason, "{raw} {with_call}");
        assert_eq!(json!(answer.choices[0].finish.raw), raw);
    }
}

#[test]
fn a_refusal_keeps_its_details_and_a_stop_its_sequence() {
    let mut refused = message(json!(null), json!("refusal"), json!({}));
    refused["stop_details"] = json!({"type": "refusal", "category": "cyber"});
    let finish = decode(&refused, "").choices.remove(0).finish;
    assert_eq!(finish.extras, [own(json!({"stop_details": {"type": "refusal", "category": "cyber"}}))]);
    let mut stopped = message(json!([]), json!("stop_sequence"), json!({}));
    stopped["stop_sequence"] = json!("END");
    assert_eq!(decode(&stopped, "").choices[0].finish.stop_sequence.as_deref(), Some("END"));
}

#[test]
fn usage_counts_the_cache_into_the_input_and_says_only_what_was_said() {
    let usage = |usage: Value| decode(&message(json!([]), json!("end_turn"), usage), "").usage.unwrap();
    let full = usage(json!({"input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10}, "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1, "code_execution_requests": 0}}));
    assert_eq!((full.input, full.cache_read, full.cache_write), (Some(140), Some(100), Some(30)));
    assert_eq!((full.output, full.reasoning), (Some(50), Some(40)));
    let details = [("cache-write-1h", 10), ("web-searches", 2), ("web_fetch_requests", 1)];
    assert_eq!(full.details, details.map(|(name, count)| (name.to_owned(), count)));
    let bare = usage(json!({"input_tokens": 10, "output_tokens": 5}));
    assert_eq!((bare.input, bare.cache_read, bare.cache_write, bare.reasoning), (Some(10), None, None, None));
    assert_eq!(usage(json!({"output_tokens": 5})).input, None);
    assert_eq!(usage(json!({"input_tokens": u32::MAX, "cache_read_input_tokens": 5})).input, Some(u32::MAX));
}

#[test]
fn usage_in_a_stream_is_overwritten_never_added() {
    let more = |usage: Value| json!({"type": "message_delta", "delta": {}, "usage": usage});
    let frames = sse(&[
        start(),
        more(json!({"output_tokens": 3})),
        more(json!({"input_tokens": 12, "output_tokens": 4})),
        end("end_turn")[1].clone(),
    ]);
    let told: Vec<_> = events(&frames, "")
        .into_iter()
        .filter_map(|event| if let ChatEvent::Usage(usage) = event { Some((usage.input, usage.cache_read, usage.output)) } else { None })
        .collect();
    assert_eq!(told, [(Some(15), Some(5), Some(1)), (Some(15), Some(5), Some(3)), (Some(17), Some(5), Some(4))]);
}

#[test]
fn a_fallback_tells_the_model_that_goes_on() {
    let block = json!({"type": "fallback", "from": {"model": "claude-sonnet-5-5"}, "to": {"model": "claude-opus-4-8"}});
    let [last, over] = end("end_turn");
    let answer = gather(&events(&sse(&[start(), begin(0, block), stop(0), last, over]), "")).unwrap();
    assert_eq!(answer.model.as_deref(), Some("claude-opus-4-8"));
}

#[test]
fn a_stream_without_a_block_is_an_empty_answer() {
    let [last, over] = end("refusal");
    let answer = gather(&events(&sse(&[start(), last, over]), "")).unwrap();
    assert_eq!((answer.choices[0].parts.len(), answer.choices[0].finish.reason), (0, FinishReason::ContentFilter));
}

#[test]
fn a_repeated_start_changes_nothing_and_another_message_is_a_failure() {
    let [last, over] = end("end_turn");
    let again = events(&sse(&[start(), start(), last, over]), "");
    assert_eq!(again.iter().filter(|event| matches!(event, ChatEvent::Started(_))).count(), 1);
    let mut another = start();
    another["message"]["id"] = json!("msg_2");
    let spliced = events(&sse(&[start(), begin(0, json!({"type": "text", "text": "a"})), another]), "");
    assert!(matches!(spliced.last(), Some(ChatEvent::Failed(failure)) if failure.kind == FailureKind::Malformed));
}

#[test]
fn a_stream_without_its_end_was_cut() {
    let [last, over] = end("end_turn");
    let whole = [start(), begin(0, json!({"type": "text", "text": "Hi"})), stop(0), last, over];
    for kept in 0..whole.len() {
        let events = events(&sse(&whole[..kept]), "");
        assert!(matches!(events.last(), Some(ChatEvent::Failed(failure)) if failure.kind == FailureKind::Malformed), "{kept}");
    }
    assert_eq!(events(&sse(&whole), "").last(), Some(&ChatEvent::Ended));
}

#[test]
fn an_error_in_a_stream_is_told_as_one() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"});
    for frame in [
        Frame { event: Some("error".into()), data: error.to_string() },
        Frame { event: None, data: json!({"error": {"type": "overloaded_error", "message": "Overloaded"}}).to_string() },
    ] {
        let events = events(&[sse(&[start()]), vec![frame]].concat(), "");
        let Some(ChatEvent::Failed(failure)) = events.last() else { panic!("{events:?}") };
        assert_eq!((failure.kind, failure.message.as_str(), &failure.retry), (FailureKind::Overloaded, "Overloaded", &Retry::Backoff));
    }
}

#[test]
fn a_delta_for_a_part_that_was_not_begun_fails_the_stream() {
    let events = events(&sse(&[start(), delta(3, json!({"type": "text_delta", "text": "lost"}))]), "");
    assert!(matches!(events.last(), Some(ChatEvent::Failed(failure)) if failure.kind == FailureKind::Malformed));
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let [last, over] = end("tool_use");
    let seeds = [
        start(),
        begin(0, json!({"type": "tool_use", "id": "t", "name": "f", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "{\"a\":\"\u{e9}\"}"})),
        begin(1, json!({"type": "text", "text": "x", "citations": [{"type": "x"}]})),
        delta(1, json!({"type": "text_delta", "text": "words"})),
        last,
        over,
        json!({"type": "error", "error": {"type": "api_error", "message": "m: n", "details": {"error_code": "c"}}}),
    ];
    // A small xorshift: the same bytes on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap_or_default()
    };
    for _ in 0..3000 {
        let mut spoiled = Vec::new();
        for _ in 0..6 {
            let mut bytes = seeds[next(seeds.len())].to_string().into_bytes();
            for _ in 0..next(4) {
                let at = next(bytes.len());
                bytes[at] = u8::try_from(next(256)).unwrap_or_default();
            }
            bytes.truncate(bytes.len() - next(3) * next(20).min(bytes.len() / 3));
            let _ = Claude::decode(response(200, &[], &String::from_utf8_lossy(&bytes)), "[".into());
            spoiled.push(Frame { event: None, data: String::from_utf8_lossy(&bytes).into_owned() });
        }
        let events = run_stream::<Claude>("", &spoiled, 2);
        assert_eq!(check_order(&events), Ok(()), "{spoiled:?}");
    }
    assert!(matches!(run_stream::<Claude>("", &frames("junk\n"), 1).last(), Some(ChatEvent::Failed(_))));
}
