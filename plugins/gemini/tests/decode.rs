//! What Gemini's answers mean, whole and streamed.
#![allow(clippy::unwrap_used, clippy::panic)]

use adapter_gemini::Gemini;
use llm_gateway_adapter::harness::{check_order, gather, response, run_stream};
use llm_gateway_adapter::serde_json::{Value, from_str, json};
use llm_gateway_adapter::types::*;
use llm_gateway_adapter::{Chat, GuestDecoder};

const CUSTOM_SQL: &str = r#"{"custom_tools":["sql"]}"#;

fn whole(body: &Value) -> Result<ChatResponse, Failure> {
    Gemini::decode(response(200, &[], &format!("{body:#}")), String::new())
}

fn frame(data: impl ToString) -> Frame {
    Frame { event: None, data: data.to_string() }
}

/// Decodes the chunks, all at once and one at a time, holds the events against the contract's order, and gives them.
fn stream(context: &str, chunks: &[Value]) -> Vec<ChatEvent> {
    let frames: Vec<Frame> = chunks.iter().map(frame).collect();
    let events = run_stream::<Gemini>(context, &frames, usize::MAX);
    check_order(&events).unwrap();
    assert_eq!(run_stream::<Gemini>(context, &frames, 1), events);
    events
}

fn streamed(chunks: &[Value]) -> Result<ChatResponse, Failure> {
    gather(&stream("", chunks))
}

fn chunk(parts: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}], "modelVersion": "gemini-3.8-flash", "responseId": "r1"})
}

fn last(parts: Value, word: &str) -> Value {
    let mut chunk = chunk(parts);
    chunk["candidates"][0]["finishReason"] = word.into();
    chunk
}

fn with_usage(mut chunk: Value, usage: Value) -> Value {
    chunk["usageMetadata"] = usage;
    chunk
}

fn bodies(answer: &ChatResponse) -> Vec<PartBody> {
    answer.choices[0].parts.iter().map(|part| part.body.clone()).collect()
}

fn text(text: &str) -> PartBody {
    PartBody::Text(text.into())
}

fn call(id: &str, name: &str, arguments: &str) -> PartBody {
    PartBody::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), free_form: false })
}

fn signature(part: &Part) -> Option<&str> {
    part.replay.as_ref().map(|replay| replay.data.as_str())
}

#[test]
fn a_whole_answer_has_its_text_usage_and_reason() {
    let usage = json!({"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10, "serviceTier": "standard"});
    let answer = whole(&with_usage(last(json!([{"text": "4"}]), "STOP"), usage)).unwrap();
    assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (Some("r1"), Some("gemini-3.8-flash")));
    assert_eq!(bodies(&answer), [text("4")]);
    let finish = &answer.choices[0].finish;
    assert_eq!((finish.reason, finish.raw.as_deref()), (FinishReason::Stop, Some("STOP")));
    let usage = answer.usage.unwrap();
    assert_eq!((usage.input, usage.output, usage.reasoning, usage.cache_read), (Some(9), Some(1), None, None));
    assert_eq!(answer.extras[0].value, r#"{"serviceTier":"standard"}"#);
}

#[test]
fn a_streamed_answer_is_the_whole_one_in_pieces() {
    let usage = json!({"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 21});
    let call = json!({"functionCall": {"id": "a", "name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "s1"});
    let parts = json!([{"text": "hm, hm", "thought": true}, {"text": "It is 4.", "thoughtSignature": "sT"}, call]);
    let whole = whole(&with_usage(last(parts, "STOP"), usage.clone())).unwrap();
    let streamed = streamed(&[
        with_usage(chunk(json!([{"text": ""}])), json!({"promptTokenCount": 9, "totalTokenCount": 9})),
        chunk(json!([{"text": "hm, ", "thought": true}])),
        chunk(json!([{"text": "hm", "thought": true}])),
        chunk(json!([{"text": "It "}])),
        chunk(json!([{"text": "is 4."}])),
        chunk(json!([{"text": "", "thoughtSignature": "sT"}])),
        chunk(json!([call])),
        with_usage(last(json!([{"text": ""}]), "STOP"), usage),
    ])
    .unwrap();
    assert_eq!(streamed, whole);
    assert_eq!(whole.choices[0].finish.reason, FinishReason::ToolCalls);
    assert_eq!(whole.choices[0].parts.iter().map(signature).collect::<Vec<_>>(), [None, Some("sT"), Some("s1")]);
}

#[test]
fn events_come_in_the_contracts_order() {
    let events = stream("", &[chunk(json!([{"text": "4"}])), with_usage(last(json!([]), "STOP"), json!({"promptTokenCount": 9}))]);
    let names: Vec<&str> = events
        .iter()
        .map(|event| match event {
            ChatEvent::Started(_) => "started",
            ChatEvent::PartOpened(_) => "opened",
            ChatEvent::PartGrew(_) => "grew",
            ChatEvent::PartCited(_) => "cited",
            ChatEvent::PartClosed(_) => "closed",
            ChatEvent::Finished(_) => "finished",
            ChatEvent::Usage(_) => "usage",
            ChatEvent::Ended => "ended",
            ChatEvent::Failed(_) => "failed",
        })
        .collect();
    assert_eq!(names, ["started", "opened", "grew", "closed", "usage", "finished", "ended"]);
}

#[test]
fn a_stream_without_any_finish_reason_was_cut() {
    for chunks in [&[][..], &[chunk(json!([{"text": "4"}]))], &[json!({"usageMetadata": {"promptTokenCount": 9}})]] {
        let failure = streamed(chunks).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (FailureKind::Malformed, Retry::Backoff));
    }
}

#[test]
fn a_stream_with_one_choice_unfinished_was_cut() {
    let mut other = chunk(json!([{"text": "5"}]));
    other["candidates"][0]["index"] = 1.into();
    assert_eq!(streamed(&[last(json!([{"text": "4"}]), "STOP"), other]).unwrap_err().kind, FailureKind::Malformed);
}

#[test]
fn a_call_after_the_finish_reason_still_counts() {
    let call = json!([{"functionCall": {"name": "now"}}]);
    let answer = streamed(&[last(json!([{"text": "a"}]), "STOP"), last(call, "STOP")]).unwrap();
    assert_eq!(bodies(&answer), [text("a"), self::call("", "now", "{}")]);
    assert_eq!(answer.choices[0].finish.reason, FinishReason::ToolCalls);
}

#[test]
fn parallel_calls_keep_their_order_and_only_their_own_signatures() {
    let answer = streamed(&[
        chunk(json!([{"functionCall": {"name": "a", "args": {"x": 1}}, "thoughtSignature": "s"}])),
        last(json!([{"functionCall": {"name": "b", "id": "2", "args": null}}]), "STOP"),
    ])
    .unwrap();
    assert_eq!(bodies(&answer), [call("", "a", r#"{"x":1}"#), call("2", "b", "{}")]);
    assert_eq!(answer.choices[0].parts.iter().map(signature).collect::<Vec<_>>(), [Some("s"), None]);
}

#[test]
fn a_signature_without_text_is_kept() {
    let answer =
        streamed(&[chunk(json!([{"text": "hm", "thought": true}])), last(json!([{"text": "", "thoughtSignature": "s"}]), "STOP")]).unwrap();
    assert_eq!(bodies(&answer), [PartBody::Thinking("hm".into()), text("")]);
    assert_eq!(answer.choices[0].parts.iter().map(signature).collect::<Vec<_>>(), [None, Some("s")]);
}

#[test]
fn text_after_a_signature_is_another_part() {
    let parts = json!([{"text": "a", "thoughtSignature": "1"}, {"text": "b"}, {"text": "c", "thoughtSignature": "2"}]);
    let answer = whole(&last(parts, "STOP")).unwrap();
    assert_eq!(bodies(&answer), [text("a"), text("bc")]);
    assert_eq!(answer.choices[0].parts.iter().map(signature).collect::<Vec<_>>(), [Some("1"), Some("2")]);
}

#[test]
fn finish_reasons_have_their_canonical_words() {
    for (word, expected) in [
        ("STOP", FinishReason::Stop),
        ("MAX_TOKENS", FinishReason::Length),
        ("CONTINUATION", FinishReason::Length),
        ("SAFETY", FinishReason::ContentFilter),
        ("RECITATION", FinishReason::ContentFilter),
        ("IMAGE_SAFETY", FinishReason::ContentFilter),
        ("MALFORMED_FUNCTION_CALL", FinishReason::Error),
        ("LANGUAGE", FinishReason::Other),
        ("WORD_OF_2027", FinishReason::Other),
    ] {
        let finish = whole(&last(json!([{"text": "a"}]), word)).unwrap().choices[0].finish.clone();
        assert_eq!((finish.reason, finish.raw.as_deref()), (expected, Some(word)));
    }
    let cut = whole(&last(json!([{"functionCall": {"name": "f"}}]), "MAX_TOKENS")).unwrap();
    assert_eq!(cut.choices[0].finish.reason, FinishReason::Length);
    let silent = whole(&chunk(json!([{"text": "a"}]))).unwrap();
    assert_eq!((silent.choices[0].finish.reason, silent.choices[0].finish.raw.as_deref()), (FinishReason::Other, None));
}

#[test]
fn thinking_that_used_up_the_limit_leaves_no_content() {
    let body = json!({"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "thoughtsTokenCount": 20, "totalTokenCount": 29}});
    for answer in [whole(&body).unwrap(), streamed(&[body]).unwrap()] {
        assert_eq!((answer.choices[0].finish.reason, answer.choices[0].parts.len()), (FinishReason::Length, 0));
        assert_eq!(answer.usage.unwrap().output, Some(20));
    }
}

#[test]
fn a_refused_prompt_is_an_answer_without_parts() {
    let body =
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}, "responseId": "r"});
    for answer in [whole(&body).unwrap(), streamed(&[body]).unwrap()] {
        let choice = &answer.choices[0];
        assert_eq!((choice.finish.reason, choice.finish.raw.as_deref()), (FinishReason::ContentFilter, Some("PROHIBITED_CONTENT")));
        assert!(choice.parts.is_empty());
        assert_eq!(choice.finish.extras[0].value, r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}"#);
        assert_eq!(answer.usage.unwrap().input, Some(9));
    }
}

#[test]
fn usage_is_the_last_that_was_told() {
    let answer = streamed(&[
        with_usage(chunk(json!([{"text": "a"}])), json!({"promptTokenCount": 9, "candidatesTokenCount": 16})),
        with_usage(chunk(json!([{"text": "b"}])), json!({"promptTokenCount": 9, "candidatesTokenCount": 20})),
        with_usage(chunk(json!([{"text": "c"}])), json!({"trafficType": "ON_DEMAND"})),
        last(json!([]), "STOP"),
    ]);
    let usage = answer.unwrap().usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(9), Some(20)));
}

#[test]
fn an_error_in_the_stream_fails_it_and_keeps_the_usage() {
    let error = json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}});
    let begun = with_usage(chunk(json!([{"text": "a"}])), json!({"promptTokenCount": 9}));
    for tail in [error.to_string(), format!("{error:#}"), format!("[{error:#}]")] {
        let events = run_stream::<Gemini>("", &[frame(&begun), frame(&tail), frame(&begun)], 1);
        check_order(&events).unwrap();
        assert!(events.iter().any(|event| matches!(event, ChatEvent::Usage(Usage { input: Some(9), .. }))));
        let failure = gather(&events).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (FailureKind::Overloaded, Retry::Backoff));
        assert_eq!((failure.message.as_str(), failure.provider_type.as_deref()), ("The model is overloaded.", Some("UNAVAILABLE")));
    }
}

#[test]
fn a_custom_tools_call_is_free_text_again() {
    let chunks = [last(json!([{"functionCall": {"name": "sql", "args": {"input": "SELECT \"1\""}}}]), "STOP")];
    let expected =
        PartBody::ToolCall(ToolCall { id: String::new(), name: "sql".into(), arguments: "SELECT \"1\"".into(), free_form: true });
    assert_eq!(bodies(&gather(&stream(CUSTOM_SQL, &chunks)).unwrap()), [expected]);
}

#[test]
fn parts_of_an_unknown_kind_are_kept_as_they_came() {
    let parts = json!([{"executableCode": {"code": "1"}}, {"text": "a"}, {"hologram": {"x": 1}, "thoughtSignature": "s"}]);
    let answer = whole(&last(parts, "STOP")).unwrap();
    let other = |value: &str| PartBody::Other(Native { dialect: "gemini".into(), value: value.into() });
    let expected = [other(r#"{"executableCode":{"code":"1"}}"#), text("a"), other(r#"{"hologram":{"x":1},"thoughtSignature":"s"}"#)];
    assert_eq!(bodies(&answer), expected);
}

#[test]
fn pictures_and_sounds_are_parts() {
    let data = |kind: &str, data: &str| json!([{"inlineData": {"mimeType": kind, "data": data}}]);
    let answer = streamed(&[
        chunk(data("image/png", "AAAA")),
        chunk(data("audio/L16", "BBBB")),
        chunk(data("audio/L16", "CCCC")),
        last(data("application/zip", "DDDD"), "STOP"),
    ])
    .unwrap();
    let media = |kind: &str, data: &str| Media {
        source: MediaSource::Base64(data.into()),
        media_type: Some(kind.into()),
        name: None,
        detail: None,
        transcript: None,
    };
    let zip = Native { dialect: "gemini".into(), value: r#"{"inlineData":{"mimeType":"application/zip","data":"DDDD"}}"#.into() };
    let expected = [PartBody::Image(media("image/png", "AAAA")), PartBody::Audio(media("audio/L16", "BBBBCCCC")), PartBody::Other(zip)];
    assert_eq!(bodies(&answer), expected);
}

#[test]
fn several_candidates_are_several_choices() {
    let candidate = |index: u32, text: &str| json!({"content": {"parts": [{"text": text}]}, "index": index, "finishReason": "STOP"});
    let answer = whole(&json!({"candidates": [candidate(1, "b"), candidate(0, "a")]})).unwrap();
    assert_eq!(answer.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(bodies(&answer), [text("a")]);
}

#[test]
fn citations_point_into_the_text() {
    let grounding = json!({"groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
        "groundingSupports": [{"segment": {"endIndex": 6, "text": "Carney"}, "groundingChunkIndices": [0]}], "webSearchQueries": ["q"]});
    let end = |parts: Value| {
        let mut chunk = last(parts, "STOP");
        chunk["candidates"][0]["groundingMetadata"] = grounding.clone();
        chunk
    };
    let whole = whole(&end(json!([{"text": "Carney.", "thoughtSignature": "s"}]))).unwrap();
    let streamed =
        streamed(&[chunk(json!([{"text": "Carn"}])), chunk(json!([{"text": "ey."}])), end(json!([{"text": "", "thoughtSignature": "s"}]))]);
    assert_eq!(streamed.unwrap(), whole);
    let citation = &whole.choices[0].parts[0].citations[0];
    assert_eq!((citation.url.as_deref(), citation.title.as_deref(), citation.span), (Some("https://a"), Some("A"), Some((0, 6))));
    let extras: Value = from_str(&whole.choices[0].finish.extras[0].value).unwrap();
    assert_eq!(extras, json!({ "groundingMetadata": grounding }));
}

#[test]
fn logprobs_come_with_their_choice() {
    let mut body = last(json!([{"text": "4"}]), "STOP");
    body["candidates"][0]["logprobsResult"] = json!({"chosenCandidates": [{"token": "4", "logProbability": -0.25}]});
    body["candidates"][0]["avgLogprobs"] = json!(-0.25);
    let choice = whole(&body).unwrap().choices.remove(0);
    let expected = json!([{"token": "4", "logprob": -0.25, "bytes": [52], "top_logprobs": []}]);
    assert_eq!(from_str::<Value>(&choice.logprobs.unwrap()).unwrap(), expected);
}

#[test]
fn a_stream_that_came_as_one_array_is_read_whole() {
    let array = json!([chunk(json!([{"text": "a"}])), last(json!([{"text": "b"}]), "STOP")]);
    assert_eq!(bodies(&whole(&array).unwrap()), [text("ab")]);
}

#[test]
fn an_answer_that_makes_no_sense_is_malformed() {
    for body in
        ["", "null", "{}", "[]", "7", "[7]", "<html>", r#"{"candidates":[]}"#, r#"{"candidates":[{"content":{"parts":[{"text":7}]}}]}"#]
    {
        let failure = Gemini::decode(response(200, &[], body), String::new()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed, "{body}");
    }
}

#[test]
fn arguments_in_pieces_are_not_taken_for_a_call() {
    for call in [json!({"name": "f", "willContinue": true}), json!({"partialArgs": []}), json!({})] {
        let failure = streamed(&[last(json!([{ "functionCall": call }]), "STOP")]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
    }
}

/// Bytes and JSON from a fixed pseudo-random sequence, and every cut and small damage of a real chunk.
#[test]
fn no_bytes_make_the_decoder_panic() {
    let good = with_usage(
        last(json!([{"text": "né", "thoughtSignature": "s"}, {"functionCall": {"name": "f", "args": {"a": [1]}}}]), "STOP"),
        json!({"promptTokenCount": 9, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}]}),
    )
    .to_string()
    .into_bytes();
    let mut inputs: Vec<Vec<u8>> = (0..good.len()).map(|end| good[..end].to_vec()).collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2000 {
        let mut damaged = good.clone();
        for _ in 0..=next() % 3 {
            let at = usize::try_from(next() % damaged.len() as u64).unwrap();
            damaged[at] = b"{}[]\",:0-9antf\\\xff\x00e"[usize::try_from(next() % 18).unwrap()];
        }
        inputs.push(damaged);
    }
    for input in inputs {
        let _ = Gemini::decode(HttpResponse { status: 200, headers: vec![], body: input.clone() }, CUSTOM_SQL.into());
        let _ = Gemini::decode(HttpResponse { status: 429, headers: vec![], body: input.clone() }, String::new());
        let text = String::from_utf8_lossy(&input);
        check_order(&run_stream::<Gemini>(CUSTOM_SQL, &[frame(&text), frame(&text)], 1)).unwrap();
    }
}

#[test]
fn nothing_is_said_after_the_end() {
    let decoder = <Gemini as Chat>::Decoder::new(String::new(), vec![]);
    decoder.push(vec![frame("garbage")]);
    assert!(decoder.push(vec![frame(last(json!([{"text": "a"}]), "STOP"))]).is_empty());
    assert!(decoder.finish().is_empty());
}
