//! Answers of `/responses`, whole and streamed.

use crate::support::*;
use adapter_openai::OpenAi;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::{gather, response};
use llm_gateway_adapter::types::{ChatEvent, ChatResponse, Failure, FailureKind, Finish, FinishReason, Part, PartBody, Retry, Usage};

const USAGE: &str = r#"{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":2,"cache_write_tokens_details":{"ttl_30m_tokens":2}},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":8},"total_tokens":30}"#;

fn answer(output: &str) -> String {
    format!(
        r#"{{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"model":"gpt-5.6-sol","output":[{output}],"usage":{USAGE},"tool_usage":{{"web_search":{{"num_requests":1}}}},"service_tier":"default"}}"#
    )
}

fn whole(output: &str) -> ChatResponse {
    decode("responses", &answer(output))
}

/// The stream that ends with this output, with these events before it.
fn cut(lines: &[&str], output: &str) -> ChatResponse {
    gather(&stream("responses", &stream_of(lines, &answer(output)))).unwrap()
}

fn stream_of(lines: &[&str], last: &str) -> String {
    let created = r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress","model":"gpt-5.6-sol","output":[],"service_tier":"auto"},"sequence_number":0}"#;
    let last = format!(r#"{{"type":"response.completed","response":{last}}}"#);
    let lines: Vec<&str> = [created].into_iter().chain(lines.iter().copied()).chain([last.as_str()]).collect();
    sse(&lines)
}

fn failure(body: &str) -> Failure {
    <OpenAi as Chat>::decode(response(200, &[], body), "responses".into()).unwrap_err()
}

#[test]
fn a_message_with_reasoning_before_it() {
    let reasoning = r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"First."},{"type":"summary_text","text":"Then."}],"encrypted_content":"gAAA","status":"completed"}"#;
    let message = r#"{"type":"message","id":"msg_1","role":"assistant","status":"completed","phase":"final_answer","content":[{"type":"output_text","text":"It is 4","annotations":[],"logprobs":[]}]}"#;
    let output = format!("{reasoning},{message}");
    let streamed = cut(
        &[
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}"#,
            r#"{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}"#,
            r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"Fir"}"#,
            r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"st."}"#,
            r#"{"type":"response.reasoning_summary_text.done","output_index":0,"summary_index":0,"text":"First."}"#,
            r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":1,"delta":"Then."}"#,
            &format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{reasoning}}}"#),
            r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"msg_1","role":"assistant","content":[],"phase":"final_answer"}}"#,
            r#"{"type":"response.content_part.added","output_index":1,"content_index":0,"part":{"type":"output_text","text":""}}"#,
            r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"It is","logprobs":[]}"#,
            r#"{"type":"response.brand_new.delta","output_index":1,"delta":{"an":"object"}}"#,
            r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":" 4","logprobs":[]}"#,
            r#"{"type":"response.output_text.done","output_index":1,"content_index":0,"text":"It is 4"}"#,
            &format!(r#"{{"type":"response.output_item.done","output_index":1,"item":{message}}}"#),
        ],
        &output,
    );
    let whole = whole(&output);
    assert_eq!(whole, streamed);
    let sent_back = r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"First."},{"type":"summary_text","text":"Then."}],"encrypted_content":"gAAA"}"#;
    let phase = r#"{"phase":"final_answer"}"#;
    assert_eq!(
        whole.choices[0].parts,
        [
            Part { replay: replay(sent_back), ..Part::new(PartBody::Thinking("First.\n\nThen.".into())) },
            Part { replay: replay(phase), extras: vec![native("openai-responses", phase)], ..text("It is 4") },
        ]
    );
    assert_eq!(
        whole.choices[0].finish,
        Finish { reason: FinishReason::Stop, raw: Some("completed".into()), stop_sequence: None, extras: vec![] }
    );
    let details = vec![("ttl_30m_tokens".to_owned(), 2), ("web-searches".to_owned(), 1)];
    assert_eq!(
        whole.usage,
        Some(Usage { input: Some(10), cache_read: Some(4), cache_write: Some(2), output: Some(20), reasoning: Some(8), details })
    );
    assert_eq!(whole.extras, [native("openai-responses", r#"{"service_tier":"default"}"#)]);
}

#[test]
fn an_answer_goes_back_as_it_came() {
    let reasoning = r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Hm."}],"encrypted_content":"gAAA"}"#;
    let search = r#"{"type":"web_search_call","id":"ws_1","status":"completed"}"#;
    let call = r#"{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}"#;
    let parts = whole(&format!("{reasoning},{search},{call}")).choices.remove(0).parts;
    let next = encode(conversation("gpt-5.6-sol", vec![assistant(parts), result("c1", vec![result_text("1")])]));
    let item = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(body(&next)["input"].as_array().unwrap()[..3], [item(reasoning), item(search), item(call)]);
}

#[test]
fn reasoning_that_is_encrypted_alone_is_kept_and_that_is_nothing_is_not() {
    let output = r#"{"type":"reasoning","id":"rs_1","summary":[],"content":[],"encrypted_content":"gAAA"},{"type":"reasoning","id":"rs_2","summary":[]}"#;
    let parts = whole(output).choices.remove(0).parts;
    let expected = replay(r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}"#);
    assert_eq!(parts, [Part { replay: expected, ..Part::new(PartBody::Thinking(String::new())) }]);
}

#[test]
fn calls_of_both_kinds() {
    let function = r#"{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"x\":1}","status":"completed","caller":{"type":"program","caller_id":"p"}}"#;
    let custom = r#"{"type":"custom_tool_call","id":"ct_1","call_id":"call_2","name":"sql","input":"SELECT 1","status":"completed"}"#;
    let output = format!("{function},{custom}");
    let streamed = cut(
        &[
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":""}}"#,
            r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{\"x\""}"#,
            r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":":1}"}"#,
            r#"{"type":"response.function_call_arguments.done","output_index":0,"arguments":"{\"x\":1}"}"#,
            &format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{function}}}"#),
            r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"custom_tool_call","id":"ct_1","call_id":"call_2","name":"sql","input":""}}"#,
            &format!(r#"{{"type":"response.output_item.done","output_index":1,"item":{custom}}}"#),
        ],
        &output,
    );
    let whole = whole(&output);
    assert_eq!(whole, streamed);
    let mut first = call("call_1", "f", r#"{"x":1}"#);
    first.extras = vec![native("openai-responses", r#"{"caller":{"type":"program","caller_id":"p"}}"#)];
    assert_eq!(whole.choices[0].parts, [first, custom_call("call_2", "sql", "SELECT 1")]);
    assert_eq!(whole.choices[0].finish.reason, FinishReason::ToolCalls);
}

#[test]
fn citations_are_told_once_whether_announced_or_not() {
    let (first, second) = (
        r#"{"type":"url_citation","url":"https://a.b","title":"A","start_index":0,"end_index":2}"#,
        r#"{"type":"file_citation","file_id":"file-1","filename":"b.pdf","index":2}"#,
    );
    let message = format!(
        r#"{{"type":"message","id":"m","content":[{{"type":"output_text","text":"abc","annotations":[{first},{second}],"logprobs":[{{"token":"abc"}}]}}]}}"#
    );
    let streamed = cut(
        &[
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"m","content":[]}}"#,
            r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"abc","logprobs":[{"token":"abc"}]}"#,
            &format!(
                r#"{{"type":"response.output_text.annotation.added","output_index":0,"content_index":0,"annotation_index":0,"annotation":{first}}}"#
            ),
            &format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{message}}}"#),
        ],
        &message,
    );
    let whole = whole(&message);
    assert_eq!(whole, streamed);
    let citations = &whole.choices[0].parts[0].citations;
    let said: Vec<_> = citations.iter().map(|citation| (citation.url.as_deref(), citation.title.as_deref(), citation.span)).collect();
    assert_eq!(said, [(Some("https://a.b"), Some("A"), Some((0, 2))), (None, Some("b.pdf"), None)]);
    assert_eq!(whole.choices[0].logprobs.as_deref(), Some(r#"[{"token":"abc"}]"#));
}

#[test]
fn a_refusal_keeps_its_text() {
    let message = r#"{"type":"message","id":"m","content":[{"type":"refusal","refusal":"I can't."}]}"#;
    let streamed = cut(
        &[
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"m","content":[]}}"#,
            r#"{"type":"response.refusal.delta","output_index":0,"content_index":0,"delta":"I can't."}"#,
            &format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{message}}}"#),
        ],
        message,
    );
    assert_eq!(whole(message), streamed);
    assert_eq!(streamed.choices[0].parts, [Part::new(PartBody::Refusal("I can't.".into()))]);
}

#[test]
fn items_of_other_kinds_are_kept_as_they_came() {
    let item = r#"{"type":"tool_search_call","id":"ts_1","arguments":{"query":"x"},"status":"completed"}"#;
    let streamed = cut(
        &[
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"tool_search_call","id":"ts_1","status":"in_progress"}}"#,
            &format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#),
        ],
        item,
    );
    assert_eq!(whole(item), streamed);
    assert_eq!(streamed.choices[0].parts, [Part::new(PartBody::Other(native("openai-responses", item)))]);
    assert_eq!(streamed.choices[0].finish.reason, FinishReason::Stop);
}

#[test]
fn a_server_that_sends_no_deltas_is_understood_from_its_items() {
    let message = r#"{"type":"message","id":"m","content":[{"type":"output_text","text":"abc"}]}"#;
    let done = format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{message}}}"#);
    assert_eq!(cut(&[&done], message), whole(message));
    assert_eq!(cut(&[], message), whole(message));
}

#[test]
fn finish_reasons() {
    for (status, details, expected, raw) in [
        ("completed", "null", FinishReason::Stop, "completed"),
        ("incomplete", r#"{"reason":"max_output_tokens"}"#, FinishReason::Length, "incomplete:max_output_tokens"),
        ("incomplete", r#"{"reason":"content_filter"}"#, FinishReason::ContentFilter, "incomplete:content_filter"),
        ("incomplete", r#"{"reason":"steered"}"#, FinishReason::Other, "incomplete:steered"),
        ("cancelled", "null", FinishReason::Other, "cancelled"),
    ] {
        let body = format!(r#"{{"id":"resp_1","model":"gpt-5.6-sol","status":"{status}","incomplete_details":{details},"output":[]}}"#);
        let whole = decode("responses", &body);
        assert_eq!((whole.choices[0].finish.reason, whole.choices[0].finish.raw.as_deref()), (expected, Some(raw)));
        let event = format!(r#"{{"type":"response.{status}","response":{body}}}"#);
        assert_eq!(streamed("responses", &sse(&[&event])), whole, "{status}");
    }
}

#[test]
fn a_failed_answer_is_a_failure() {
    let body =
        r#"{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"It broke."},"output":[],"usage":{"input_tokens":3}}"#;
    let whole = failure(body);
    assert_eq!((whole.kind, whole.message.as_str(), &whole.retry), (FailureKind::Provider, "It broke.", &Retry::Backoff));
    let events = stream("responses", &sse(&[&format!(r#"{{"type":"response.failed","response":{body}}}"#)]));
    assert!(matches!(&events[1], ChatEvent::Usage(usage) if usage.input == Some(3)), "{events:?}");
    assert_eq!(gather(&events).unwrap_err(), whole);
    assert_eq!(failure(r#"{"status":"failed","error":null,"output":[]}"#).kind, FailureKind::Provider);
}

#[test]
fn error_events_flat_and_nested() {
    let fail = |event: &str| gather(&stream("responses", &sse(&[event]))).unwrap_err();
    let flat =
        fail(r#"{"type":"error","code":"rate_limit_exceeded","message":"Please try again in 6.57s.","param":null,"sequence_number":2}"#);
    assert_eq!((flat.kind, &flat.retry, flat.provider_type.as_deref()), (FailureKind::RateLimited, &Retry::After(6570), None));
    let nested = fail(
        r#"{"type":"error","sequence_number":2,"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"Pay.","param":null}}"#,
    );
    assert_eq!(
        (nested.kind, &nested.retry, nested.provider_type.as_deref()),
        (FailureKind::QuotaExhausted, &Retry::Never, Some("insufficient_quota"))
    );
    assert_eq!(fail(r#"{"error":{"message":"bare","type":"server_error"}}"#).message, "bare");
}

#[test]
fn a_stream_without_its_terminal_event_fails() {
    let added = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"abc"}"#;
    let events = stream("responses", &sse(&[added, "[DONE]"]));
    assert_eq!(gather(&events).unwrap_err(), Failure::cut_stream());
    assert!(matches!(events[events.len() - 2], ChatEvent::PartClosed(_)), "{events:?}");
}

#[test]
fn the_event_line_names_the_type_where_the_data_does_not() {
    let message = r#"{"type":"message","id":"m","content":[{"type":"output_text","text":"abc"}]}"#;
    let body = format!("event: response.completed\ndata: {{\"response\":{}}}\n\n", answer(message));
    assert_eq!(streamed("responses", &body), whole(message));
}

#[test]
fn nonsense_with_status_200_is_a_failure() {
    for body in ["", "<html>", "{}", "[]", r#"{"output":3}"#] {
        assert_eq!(failure(body).kind, FailureKind::Malformed, "{body}");
    }
}
