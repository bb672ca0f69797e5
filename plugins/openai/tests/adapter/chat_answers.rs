//! Answers of `/chat/completions`, whole and streamed.

use crate::support::*;
use adapter_openai::OpenAi;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::{frames, response, run_stream};
use llm_gateway_adapter::types::{ChatEvent, FailureKind, Finish, FinishReason, MediaSource, Part, PartBody, Retry, Usage};

const HEAD: &str =
    r#""id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-5.4-2026","service_tier":"default","system_fingerprint":"fp""#;

fn chunk(choices: &str) -> String {
    format!(r#"{{{HEAD},"choices":[{choices}],"usage":null,"obfuscation":"x"}}"#)
}

fn delta(delta: &str) -> String {
    chunk(&format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":null}}"#))
}

fn last(reason: &str) -> String {
    chunk(&format!(r#"{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{reason}"}}"#))
}

fn events(chunks: &[String]) -> String {
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).chain(["[DONE]"]).collect();
    sse(&chunks)
}

const USAGE: &str = r#"{"prompt_tokens":61,"completion_tokens":17,"total_tokens":78,"prompt_tokens_details":{"cached_tokens":10,"cache_write_tokens":5,"audio_tokens":2,"text_tokens":59,"image_tokens":0},"completion_tokens_details":{"reasoning_tokens":7,"audio_tokens":3,"accepted_prediction_tokens":1}}"#;

#[test]
fn a_text_with_usage_and_the_fields_beside_it() {
    let whole = decode(
        "",
        &format!(
            r#"{{"id":"c1","object":"chat.completion","created":1,"model":"gpt-5.4-2026","choices":[{{"index":0,"message":{{"role":"assistant","content":"He said \"4\"","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{USAGE},"service_tier":"default","system_fingerprint":"fp"}}"#
        ),
    );
    let usage_chunk = format!(r#"{{{HEAD},"choices":[],"usage":{USAGE}}}"#);
    let cut = streamed(
        "",
        &events(&[
            delta(r#"{"role":"assistant","content":"","refusal":null}"#),
            delta(r#"{"content":"He said"}"#),
            delta(r#"{"content":" \"4\""}"#),
            last("stop"),
            usage_chunk,
        ]),
    );
    assert_eq!(whole, cut);
    assert_eq!((whole.id.as_deref(), whole.model.as_deref()), (Some("c1"), Some("gpt-5.4-2026")));
    assert_eq!(whole.choices[0].parts, [text(r#"He said "4""#)]);
    assert_eq!(
        whole.choices[0].finish,
        Finish { reason: FinishReason::Stop, raw: Some("stop".into()), stop_sequence: None, extras: vec![] }
    );
    assert_eq!(whole.extras, [native("openai-chat", r#"{"service_tier":"default","system_fingerprint":"fp"}"#)]);
    let details = [("input-audio", 2), ("output-audio", 3), ("accepted_prediction_tokens", 1)];
    let details = details.map(|(name, count)| (name.to_owned(), count)).to_vec();
    assert_eq!(
        whole.usage,
        Some(Usage { input: Some(61), cache_read: Some(10), cache_write: Some(5), output: Some(17), reasoning: Some(7), details })
    );
}

#[test]
fn what_was_not_said_of_usage_is_absent() {
    let answer = decode("", r#"{"choices":[{"message":{"content":"4"}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#);
    assert_eq!(
        answer.usage,
        Some(Usage { input: Some(9), cache_read: None, cache_write: None, output: Some(1), reasoning: None, details: vec![] })
    );
    assert_eq!(decode("", r#"{"choices":[{"message":{"content":"4"}}]}"#).usage, None);
}

#[test]
fn the_contracts_streams() {
    let frames_of = |sse: &str| stream("", sse);
    let whole = frames_of(&sse(&[
        r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"4"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]));
    let kinds: Vec<&str> = whole
        .iter()
        .map(|event| match event {
            ChatEvent::Started(_) => "started",
            ChatEvent::PartOpened(_) => "opened",
            ChatEvent::PartGrew(_) => "grew",
            ChatEvent::PartClosed(_) => "closed",
            ChatEvent::Finished(_) => "finished",
            ChatEvent::Ended => "ended",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["started", "opened", "grew", "closed", "finished", "ended"]);
    let cut = frames_of(&sse(&[r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"4"},"finish_reason":"stop"}]}"#]));
    assert!(matches!(cut.last(), Some(ChatEvent::Failed(failure)) if failure.kind == FailureKind::Malformed), "{cut:?}");
}

#[test]
fn parallel_calls_are_known_by_their_index() {
    let whole = decode(
        "",
        r#"{"id":"c1","choices":[{"index":0,"message":{"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","type":"custom","custom":{"name":"g","input":"SELECT"}}]},"finish_reason":"tool_calls"}]}"#,
    );
    let cut = streamed(
        "",
        &sse(&[
            r#"{"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"custom","custom":{"name":"g","input":"SEL"}}]}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}},{"index":1,"custom":{"input":"ECT"}}]}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(whole, cut);
    assert_eq!(whole.choices[0].parts, [call("a", "f", r#"{"x":1}"#), custom_call("b", "g", "SELECT")]);
}

#[test]
fn finish_reasons() {
    for (raw, calls, expected) in [
        (r#""stop""#, false, FinishReason::Stop),
        (r#""stop""#, true, FinishReason::ToolCalls),
        (r#""tool_calls""#, true, FinishReason::ToolCalls),
        (r#""length""#, true, FinishReason::Length),
        (r#""content_filter""#, false, FinishReason::ContentFilter),
        (r#""error""#, false, FinishReason::Error),
        (r#""eos_found""#, false, FinishReason::Other),
        ("null", false, FinishReason::Other),
        ("null", true, FinishReason::ToolCalls),
    ] {
        let calls = if calls { r#","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]"# } else { "" };
        let answer = decode("", &format!(r#"{{"choices":[{{"message":{{"content":"x"{calls}}},"finish_reason":{raw}}}]}}"#));
        assert_eq!(answer.choices[0].finish.reason, expected, "{raw}{calls}");
    }
}

#[test]
fn several_choices_stay_apart_in_a_stream() {
    let answer = streamed(
        "",
        &sse(&[
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}"#,
            r#"{"id":"c1","choices":[{"index":1,"delta":{"content":"B"},"finish_reason":"length"}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"A"},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(answer.choices[0].parts, [text("aA")]);
    assert_eq!((answer.choices[1].parts.as_slice(), answer.choices[1].finish.reason), (&[text("bB")][..], FinishReason::Length));
}

#[test]
fn a_refusal_keeps_its_text() {
    let whole = decode("", r#"{"id":"c1","choices":[{"message":{"content":null,"refusal":"I can't."},"finish_reason":"stop"}]}"#);
    let cut = streamed(
        "",
        &sse(&[
            r#"{"id":"c1","choices":[{"index":0,"delta":{"refusal":"I "}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"refusal":"can't."},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(whole, cut);
    assert_eq!(whole.choices[0].parts, [Part::new(PartBody::Refusal("I can't.".into()))]);
    assert_eq!(whole.choices[0].finish.reason, FinishReason::Stop);
}

#[test]
fn logprobs_are_passed_on() {
    let whole = decode(
        "",
        r#"{"id":"c1","choices":[{"message":{"content":"ab"},"logprobs":{"content":[{"token":"a"},{"token":"b"}]},"finish_reason":"stop"}]}"#,
    );
    let cut = streamed(
        "",
        &sse(&[
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a"}]}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b"}]}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{},"logprobs":{"content":[]},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(whole, cut);
    assert_eq!(whole.choices[0].logprobs.as_deref(), Some(r#"[{"token":"a"},{"token":"b"}]"#));
}

#[test]
fn citations_stand_at_their_text() {
    let annotation = r#"{"type":"url_citation","url_citation":{"url":"https://a.b","title":"A","start_index":1,"end_index":3}}"#;
    let whole = decode(
        "",
        &format!(r#"{{"id":"c1","choices":[{{"message":{{"content":"abc","annotations":[{annotation}]}},"finish_reason":"stop"}}]}}"#),
    );
    let cut = streamed(
        "",
        &sse(&[
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"abc"}}]}"#,
            &format!(r#"{{"id":"c1","choices":[{{"index":0,"delta":{{"annotations":[{annotation}]}},"finish_reason":"stop"}}]}}"#),
            "[DONE]",
        ]),
    );
    assert_eq!(whole, cut);
    let citation = &whole.choices[0].parts[0].citations[0];
    assert_eq!((citation.url.as_deref(), citation.title.as_deref(), citation.span), (Some("https://a.b"), Some("A"), Some((1, 3))));
    assert_eq!(citation.native, native("openai-chat", annotation));
}

#[test]
fn a_sound_has_its_type_transcript_and_id() {
    let whole = decode(
        "audio/mpeg",
        r#"{"id":"c1","choices":[{"message":{"content":null,"audio":{"id":"audio_1","data":"QUJDREVG","transcript":"Hi.","expires_at":5}},"finish_reason":"stop"}]}"#,
    );
    let cut = streamed(
        "audio/mpeg",
        &sse(&[
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":null,"audio":{"id":"audio_1","transcript":"Hi"}}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"audio":{"transcript":".","data":"QUJD"}}}]}"#,
            r#"{"id":"c1","usage":null}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"audio":{"data":"REVG","expires_at":5}}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(whole, cut);
    let part = &whole.choices[0].parts[0];
    let PartBody::Audio(sound) = &part.body else { panic!("{part:?}") };
    assert_eq!((&sound.source, sound.media_type.as_deref()), (&MediaSource::Base64("QUJDREVG".into()), Some("audio/mpeg")));
    assert_eq!(sound.transcript.as_deref(), Some("Hi."));
    assert_eq!(part.replay, replay(r#"{"audio_id":"audio_1"}"#));
    assert_eq!(part.extras, [native("openai-chat", r#"{"audio":{"id":"audio_1","expires_at":5}}"#)]);
}

#[test]
fn nothing_is_told_of_a_choice_after_its_finish() {
    let answer = streamed(
        "",
        &sse(&[
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"4"},"finish_reason":"stop"}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"late","audio":{"expires_at":5}}}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!(answer.choices[0].parts, [text("4")]);
}

#[test]
fn a_first_chunk_without_id_or_model_takes_nothing_from_the_next() {
    let answer = streamed(
        "",
        &sse(&[
            r#"{"id":"","model":"","object":"","choices":[],"prompt_filter_results":[]}"#,
            r#"{"id":"c1","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"4"},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ]),
    );
    assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (Some("c1"), Some("gpt-4o")));
}

#[test]
fn frames_of_an_unknown_kind_are_passed_over() {
    let chunk = r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"4","new":{}},"finish_reason":"stop","new":[]}],"new":1}"#;
    let answer = streamed("", &sse(&[r#"{"type":"ping"}"#, chunk, r#"{"type":"ping"}"#, "[DONE]"]));
    assert_eq!(answer.choices[0].parts, [text("4")]);
}

#[test]
fn an_error_within_a_stream_ends_it() {
    let events = stream(
        "",
        &sse(&[
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"4"}}]}"#,
            r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"late"}}]}"#,
            "[DONE]",
        ]),
    );
    let Some(ChatEvent::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!((failure.kind, &failure.retry), (FailureKind::Provider, &Retry::Backoff));
    assert_eq!((failure.message.as_str(), failure.provider_type.as_deref()), ("The server had an error", Some("server_error")));
}

#[test]
fn a_stream_without_an_answer_fails() {
    for body in ["data: [DONE]\n\n", "", "data: {\"id\":\"c1\",\"choices\":[]}\n\ndata: [DONE]\n\n", "upstream connect error"] {
        let events = run_stream::<OpenAi>("", &frames(body), 1);
        assert!(matches!(events.last(), Some(ChatEvent::Failed(failure)) if failure.kind == FailureKind::Malformed), "{body}: {events:?}");
    }
}

#[test]
fn an_error_or_nonsense_with_status_200_is_a_failure() {
    let failure = |body: &str| <OpenAi as Chat>::decode(response(200, &[], body), String::new()).unwrap_err();
    assert_eq!(failure(r#"{"error":{"message":"no","type":"server_error"}}"#).kind, FailureKind::Provider);
    assert_eq!(failure(r#"{"error":{"message":"no","code":"rate_limit_exceeded"},"choices":[]}"#).kind, FailureKind::RateLimited);
    for body in ["", "<html>hello</html>", "{}", "[]", "null", r#"{"choices":null}"#, r#"{"choices":[]}"#] {
        assert_eq!(failure(body).kind, FailureKind::Malformed, "{body}");
    }
}
