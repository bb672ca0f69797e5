//! Faults: chosen by header, model and script, in each provider's form.

use super::{Got, post, request, send, simulator};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tower::ServiceExt;

const PATHS: [(&str, &str); 4] = [
    ("openai", "/openai/v1/chat/completions"),
    ("gemini", "/gemini/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse"),
    ("mistral", "/mistral/v1/chat/completions"),
    ("claude", "/claude/v1/messages"),
];

/// A streamed request for each provider, with a fault in its header.
fn streamed(provider: &str, fault: &str) -> Request<Body> {
    let user = json!([{"role": "user", "content": "Hello"}]);
    let body = match provider {
        "openai" => json!({"model": "gpt-5.4", "messages": user, "stream": true, "stream_options": {"include_usage": true}}),
        "gemini" => json!({"contents": [{"parts": [{"text": "Hello"}]}]}),
        "mistral" => json!({"model": "mistral-large-4", "messages": user, "stream": true}),
        _ => json!({"model": "claude-opus-4-6", "max_tokens": 1000, "messages": user, "stream": true}),
    };
    let path = PATHS.iter().find(|(name, _)| *name == provider).unwrap().1;
    let mut request = request(path, &body);
    request.headers_mut().insert("x-simulate", HeaderValue::from_str(fault).unwrap());
    request
}

fn whole(model: &str) -> Request<Body> {
    request(PATHS[0].1, &json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]}))
}

async fn faulty(provider: &str, fault: &str) -> Got {
    send(&simulator(), streamed(provider, fault)).await
}

/// The body's bytes, and whether it ended cleanly.
async fn read(simulator: &Router, request: Request<Body>) -> (String, bool) {
    let mut body = simulator.clone().oneshot(request).await.unwrap().into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => return (String::from_utf8_lossy(&bytes).into_owned(), false),
        }
    }
    (String::from_utf8_lossy(&bytes).into_owned(), true)
}

#[tokio::test]
async fn a_status_comes_with_the_providers_own_error() {
    for (provider, pointer, kind) in [
        ("openai", "/error/code", "rate_limit_exceeded"),
        ("gemini", "/error/status", "RESOURCE_EXHAUSTED"),
        ("mistral", "/type", "rate_limited"),
        ("claude", "/error/type", "rate_limit_error"),
    ] {
        let got = faulty(provider, "status=429").await;
        assert_eq!((got.status.as_u16(), got.said(pointer)), (429, json!(kind)), "{provider}: {}", got.body);
    }
    let got = faulty("openai", "status=429;code=insufficient_quota").await;
    assert_eq!((got.said("/error/type"), got.header("retry-after")), (json!("insufficient_quota"), ""));
    assert_eq!(faulty("claude", "status=529").await.said("/error/type"), "overloaded_error");
    let daily = faulty("gemini", "status=429;code=GenerateRequestsPerDayPerProjectPerModel-FreeTier").await;
    assert_eq!(daily.said("/error/details/0/violations/0/quotaId"), "GenerateRequestsPerDayPerProjectPerModel-FreeTier");
    assert!(!daily.body.contains("RetryInfo"));
}

#[tokio::test]
async fn the_retry_hint_stands_where_the_provider_puts_it() {
    assert_eq!(faulty("openai", "status=429;retry-after=7").await.header("retry-after"), "7");
    assert_eq!(faulty("claude", "status=429;retry-after=ms:500").await.header("retry-after-ms"), "500");
    assert!(faulty("mistral", "status=429;retry-after=date:3").await.header("retry-after").ends_with(" GMT"));
    assert_eq!(faulty("openai", "status=429;retry-after=none").await.header("retry-after"), "");
    assert_eq!(faulty("claude", "status=503;should-retry=false").await.header("x-should-retry"), "false");
    let gemini = faulty("gemini", "status=429;retry-after=ms:1500").await;
    assert_eq!(gemini.header("retry-after"), "");
    assert_eq!(gemini.said("/error/details/1"), json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}));
    assert!(gemini.said("/error/message").as_str().unwrap().ends_with("Please retry in 1.5s."));
}

#[tokio::test]
async fn what_is_left_of_a_limit_is_told_in_the_providers_own_words() {
    let openai = faulty("openai", "remaining=0;reset-ms=500").await;
    assert_eq!((openai.header("x-ratelimit-remaining-requests"), openai.header("x-ratelimit-reset-requests")), ("0", "500ms"));
    assert_eq!(faulty("openai", "status=429;reset-ms=1500").await.header("x-ratelimit-reset-requests"), "1.5s");
    assert_eq!(faulty("openai", "reset-ms=363000").await.header("x-ratelimit-reset-requests"), "6m3s");
    let mistral = faulty("mistral", "remaining=3;reset-ms=500").await;
    assert_eq!(mistral.header("x-ratelimit-remaining-req-minute"), "3");
    let claude = faulty("claude", "remaining=0;reset-ms=500").await;
    assert_eq!(claude.header("anthropic-ratelimit-requests-remaining"), "0");
    let (now, then) = (crate::simulate::clock::now(), claude.header("anthropic-ratelimit-requests-reset"));
    assert!((now..=now + 2).any(|second| crate::simulate::clock::rfc3339(second) == then), "{then}");
    let gemini = faulty("gemini", "remaining=0;reset-ms=500").await;
    assert!(gemini.headers.keys().all(|name| !name.as_str().contains("ratelimit")), "{:?}", gemini.headers);
}

#[tokio::test]
async fn html_and_garbage_are_no_json() {
    let html = faulty("openai", "html=502").await;
    assert_eq!(
        (html.status.as_u16(), html.header("content-type"), html.body.contains("<h1>502 Bad Gateway</h1>")),
        (502, "text/html; charset=UTF-8", true)
    );
    let garbage = send(&simulator(), whole("gpt-5.4--garbage")).await;
    assert_eq!((garbage.status.as_u16(), garbage.header("content-type")), (200, "application/json"));
    assert!(serde_json::from_str::<Value>(&garbage.body).is_err());
}

#[tokio::test]
async fn a_model_names_a_fault_and_is_itself_the_part_before() {
    let simulator = simulator();
    let model = "gpt-5.4--fault=status=503;times=2";
    for status in [503, 503, 200] {
        assert_eq!(send(&simulator, whole(model)).await.status.as_u16(), status);
    }
    assert_eq!(send(&simulator, whole(model)).await.said("/model"), "gpt-5.4");
    let path = "/gemini/v1beta/models/gemini-3.8-flash--fault=status=429;retry-after=date:3:generateContent";
    assert_eq!(post(path, json!({"contents": [{"parts": [{"text": "x"}]}]})).await.status.as_u16(), 429);
}

#[tokio::test]
async fn a_misspelt_fault_is_a_400_that_names_it() {
    let got = faulty("claude", "stats=429").await;
    assert_eq!((got.status.as_u16(), got.said("/error/message")), (400, json!("simulator: there is no fault `stats`")));
}

#[tokio::test]
async fn a_broken_stream_is_broken_as_asked() {
    for (provider, terminal, finish) in [
        ("openai", "[DONE]", "\"stop\""),
        ("gemini", "finishReason", "finishReason"),
        ("mistral", "[DONE]", "\"stop\""),
        ("claude", "message_stop", "message_delta"),
    ] {
        let simulator = simulator();
        let (good, _) = read(&simulator, streamed(provider, "")).await;
        assert!(good.contains(terminal) && good.contains(finish), "{provider}: {good}");
        let (body, clean) = read(&simulator, streamed(provider, "no-end")).await;
        assert!(clean && !body.contains(terminal) && good.starts_with(&body), "{provider}: {body}");
        let (body, clean) = read(&simulator, streamed(provider, "no-end=finish")).await;
        assert!(clean && !body.contains(finish), "{provider}: {body}");
        let (body, clean) = read(&simulator, streamed(provider, "cut-after=3")).await;
        assert!(!clean && good.starts_with(&body) && body.matches("data: ").count() == 3, "{provider}: {body}");
        let (body, clean) = read(&simulator, streamed(provider, "truncate")).await;
        assert!(clean && body.len() == good.len() / 2, "{provider}");
        let (body, clean) = read(&simulator, streamed(provider, "error-after=2")).await;
        assert!(clean && body.matches("data: ").count() == 3 && body.contains("error") && !body.contains(terminal), "{provider}: {body}");
        let (raw, _) = read(&simulator, streamed(provider, "error-after=raw:2")).await;
        assert!(raw.matches("data: ").count() == 2 && raw.contains("error"), "{provider}: {raw}");
    }
}

#[tokio::test]
async fn a_whole_body_is_broken_as_asked() {
    let simulator = simulator();
    let (good, _) = read(&simulator, whole("gpt-5.4")).await;
    // The time of creation is the only thing that may differ.
    let (body, clean) = read(&simulator, whole("gpt-5.4--truncate")).await;
    assert!(clean && body.len() == good.len() / 2);
    let (body, clean) = read(&simulator, whole("gpt-5.4--cut-after=3")).await;
    assert!(!clean && body.len() == good.len() * 3 / 4);
    assert_eq!(send(&simulator, whole("gpt-5.4--error-after=1")).await.status.as_u16(), 500);
}

#[tokio::test]
async fn pieces_change_the_cut_and_not_the_bytes() {
    for fault in ["chunk-bytes=1", "chunk-bytes=3", "split=seed:7", "split=seed:8"] {
        let simulator = simulator();
        let (good, _) = read(&simulator, streamed("gemini", "")).await;
        let (body, clean) = read(&simulator, streamed("gemini", fault)).await;
        assert!(clean && body == good, "{fault}");
    }
    let mut body = simulator().oneshot(streamed("gemini", "chunk-bytes=3")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().data_ref().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dripping_body_comes_whole_and_slowly() {
    for request in [whole("gpt-5.4--chunk-bytes=10;drip-ms=1000"), streamed("gemini", "chunk-bytes=10;drip-ms=1000")] {
        let began = tokio::time::Instant::now();
        let (body, clean) = read(&simulator(), request).await;
        let pauses = body.len().div_ceil(10) as u64 - 1;
        assert!(clean && pauses > 10);
        assert!(began.elapsed() >= Duration::from_secs(pauses), "{pauses} pauses took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_reset_is_no_answer() {
    for provider in PATHS.map(|(provider, _)| provider) {
        assert_eq!(read(&simulator(), streamed(provider, "reset")).await, (String::new(), false), "{provider}");
    }
}

#[tokio::test]
async fn the_text_has_the_length_and_the_chunks_asked_for() {
    for (provider, pointer) in [
        ("openai", "/choices/0/delta/content"),
        ("gemini", "/candidates/0/content/parts/0/text"),
        ("mistral", "/choices/0/delta/content"),
        ("claude", "/delta/text"),
    ] {
        assert_eq!(faulty(provider, "text-bytes=5000").await.joined(pointer).len(), 5000, "{provider}");
        let got = faulty(provider, "chunks=1000").await;
        let texts =
            got.events().iter().filter_map(|event| event.pointer(pointer)?.as_str().map(str::len)).filter(|length| *length > 0).count();
        assert_eq!(texts, 1000, "{provider}");
    }
}

#[tokio::test]
async fn a_blocked_answer_has_the_providers_form() {
    assert_eq!(send(&simulator(), whole("gpt-5.4--blocked")).await.said("/choices/0/finish_reason"), "content_filter");
    let gemini = faulty("gemini", "blocked").await.events();
    assert_eq!(
        (gemini.len(), &gemini[0]["promptFeedback"]["blockReason"], gemini[0].get("candidates")),
        (1, &json!("PROHIBITED_CONTENT"), None)
    );
    assert_eq!(faulty("mistral", "blocked").await.status.as_u16(), 403);
    assert!(faulty("claude", "blocked").await.body.contains("\"stop_reason\":\"refusal\""));
}

#[tokio::test]
async fn cached_tokens_are_told_and_never_more_than_there_are() {
    for (provider, cached, input) in [
        ("openai", "/usage/prompt_tokens_details/cached_tokens", "/usage/prompt_tokens"),
        ("gemini", "/usageMetadata/cachedContentTokenCount", "/usageMetadata/promptTokenCount"),
        ("mistral", "/usage/prompt_tokens_details/cached_tokens", "/usage/prompt_tokens"),
        ("claude", "/usage/cache_read_input_tokens", "/usage/input_tokens"),
    ] {
        let last = |got: &Got, pointer: &str| got.events().iter().rev().find_map(|event| event.pointer(pointer)?.as_u64()).unwrap();
        let whole = last(&faulty(provider, "").await, input);
        let some = faulty(provider, "cached=2").await;
        assert_eq!(last(&some, cached), 2, "{provider}: {}", some.body);
        // Anthropic alone does not count them as input.
        assert_eq!(last(&some, input), if provider == "claude" { whole - 2 } else { whole }, "{provider}");
        assert_eq!(last(&faulty(provider, "cached=9999").await, cached), whole, "{provider}");
    }
}

#[tokio::test]
async fn an_answer_can_be_silent_on_its_tokens() {
    for provider in PATHS.map(|(provider, _)| provider) {
        let silent = faulty(provider, "no-usage").await;
        assert!(!silent.body.contains("okens\":") && !silent.body.contains("okenCount\":"), "{provider}: {}", silent.body);
        assert!(faulty(provider, "").await.body.to_lowercase().contains("usage"), "{provider}");
    }
    assert_eq!(send(&simulator(), whole("gpt-5.4--no-usage")).await.said("/usage"), Value::Null);
}

#[tokio::test]
async fn header_names_are_echoed_on_request() {
    let text = faulty("openai", "echo-headers").await.joined("/choices/0/delta/content");
    assert!(text.contains("Your request had the headers authorization, content-type, x-simulate."), "{text}");
}

#[tokio::test]
async fn delays_and_stalls_take_their_time() {
    let start = Instant::now();
    assert_eq!(faulty("openai", "delay-ms=60").await.status.as_u16(), 200);
    assert!(start.elapsed() >= Duration::from_millis(60));
    let simulator = simulator();
    let good = send(&simulator, streamed("openai", "")).await.body;
    let start = Instant::now();
    let stalled = send(&simulator, streamed("openai", "stall-after=3;stall-ms=60")).await.body;
    assert!(start.elapsed() >= Duration::from_millis(60) && stalled.len() == good.len());
    let mut body = simulator.clone().oneshot(streamed("openai", "stall-after=1")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(60), body.frame()).await.is_err());
}

#[tokio::test]
async fn a_stream_is_paced_and_a_whole_answer_waits_once() {
    let pacing = super::Pacing { first_token: Duration::from_millis(40), per_chunk: Duration::from_millis(4) };
    let paced = super::router(super::Settings { pacing });
    let start = Instant::now();
    send(&paced, whole("gpt-5.4")).await;
    assert!(start.elapsed() >= Duration::from_millis(40));
    let start = Instant::now();
    let chunks = send(&paced, streamed("openai", "")).await.body.matches("data: ").count() as u32;
    assert!(
        start.elapsed() >= Duration::from_millis(40) + (chunks - 1) * Duration::from_millis(3),
        "{chunks} chunks took {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_script_is_played_in_order_for_its_provider() {
    let simulator = simulator();
    let script =
        |method: &str, body: Value| Request::builder().method(method).uri("/simulator/script").body(Body::from(body.to_string())).unwrap();
    let queued =
        send(&simulator, script("POST", json!({"provider": "openai", "faults": ["status=500", "", "status=429;retry-after=1"]}))).await;
    assert_eq!(queued.said("/queued"), 3);
    assert_eq!(send(&simulator, streamed("gemini", "")).await.status.as_u16(), 200);
    for status in [500, 200, 429, 200] {
        assert_eq!(send(&simulator, whole("gpt-5.4")).await.status.as_u16(), status);
    }
    send(&simulator, script("POST", json!({"provider": "openai", "faults": ["status=500"]}))).await;
    send(&simulator, script("DELETE", Value::Null)).await;
    assert_eq!(send(&simulator, whole("gpt-5.4")).await.status.as_u16(), 200);
    for (body, words) in [
        (json!({"provider": "openai", "faults": ["nonsense"]}), "there is no fault `nonsense`"),
        (json!({"provider": "acme", "faults": []}), "there are openai, gemini, mistral, claude"),
        (json!({"faults": []}), "missing field `provider`"),
        (json!({"provider": "openai", "faults": vec![""; 1001]}), "at most 1000"),
        (json!({"provider": "openai", "faults": [], "chance": 0.5}), "`chance` needs `always`"),
        (json!({"provider": "openai", "faults": [], "always": true, "chance": 2}), "`chance` is from 0 to 1"),
    ] {
        let got = send(&simulator, script("POST", body)).await;
        assert!(got.status.as_u16() == 400 && got.body.contains(words), "{}", got.body);
    }
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_cleared_and_may_be_one_keys_alone() {
    let simulator = simulator();
    let script = |method: &str, body: Value| {
        let request = Request::builder().method(method).uri("/simulator/script").body(Body::from(body.to_string())).unwrap();
        let simulator = simulator.clone();
        async move { send(&simulator, request).await }
    };
    let with_key = |provider: &str, key: &str| {
        let mut request = streamed(provider, "");
        request.headers_mut().remove("x-simulate");
        let (name, value) = match provider {
            "gemini" => ("x-goog-api-key", key.to_owned()),
            "claude" => ("x-api-key", key.to_owned()),
            _ => ("authorization", format!("Bearer {key}")),
        };
        request.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
        let simulator = simulator.clone();
        async move { send(&simulator, request).await.status.as_u16() }
    };
    for provider in PATHS.map(|(provider, _)| provider) {
        let expired = json!({"provider": provider, "key": "secret-a", "always": true, "faults": ["status=401"]});
        assert_eq!(script("POST", expired).await.status.as_u16(), 200);
        for _ in 0..3 {
            assert_eq!((with_key(provider, "secret-a").await, with_key(provider, "secret-b").await), (401, 200), "{provider}");
        }
    }
    script("POST", json!({"provider": "openai", "always": true, "faults": ["status=500"]})).await;
    assert_eq!((with_key("openai", "secret-b").await, with_key("mistral", "secret-b").await), (500, 200));
    script("POST", json!({"provider": "openai", "key": "secret-b", "faults": ["status=503"]})).await;
    assert_eq!((with_key("openai", "secret-b").await, with_key("openai", "secret-b").await), (503, 500));
    script("DELETE", Value::Null).await;
    assert_eq!((with_key("openai", "secret-a").await, with_key("openai", "secret-b").await), (200, 200));
}
