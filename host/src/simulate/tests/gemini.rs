//! Gemini's wire format.

use super::{post, refused, send, simulator, with};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

const WHOLE: &str = "/gemini/v1beta/models/gemini-3.8-flash:generateContent";
const SSE: &str = "/gemini/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse";
const ARRAY: &str = "/gemini/v1beta/models/gemini-3.8-flash:streamGenerateContent";

fn ask(user: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": user}]}]})
}

fn with_tools(user: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let functions = json!([{"name": "weather", "parametersJsonSchema": schema}, {"name": "clock"}]);
    with(&ask(user), json!({"tools": [{"functionDeclarations": functions}]}))
}

#[tokio::test]
async fn a_whole_answer_has_candidates_usage_and_origin() {
    let got = post(WHOLE, ask("Hello")).await;
    let text = got.said("/candidates/0/content/parts/0/text");
    let text = text.as_str().unwrap();
    assert!(text.starts_with("[simulated gemini/gemini-3.8-flash] You said: \"Hello\"."), "{text}");
    assert_eq!((got.said("/candidates/0/finishReason"), got.said("/modelVersion")), (json!("STOP"), json!("gemini-3.8-flash")));
    let usage = got.said("/usageMetadata");
    assert_eq!(usage["candidatesTokenCount"], text.len().div_ceil(4));
    assert_eq!(
        usage["totalTokenCount"].as_u64(),
        Some(usage["promptTokenCount"].as_u64().unwrap() + usage["candidatesTokenCount"].as_u64().unwrap())
    );
    assert!(got.headers.get("x-request-id").is_none());
}

#[tokio::test]
async fn a_stream_has_crlf_cumulative_usage_and_no_terminator() {
    let got = post(SSE, ask("Hello")).await;
    assert!(got.body.ends_with("}\r\n\r\n") && !got.body.replace("\r\n", "").contains('\n'));
    let events = got.events();
    let counts: Vec<u64> = events.iter().map(|event| event["usageMetadata"]["candidatesTokenCount"].as_u64().unwrap()).collect();
    assert!(events.len() > 3 && counts.is_sorted(), "{counts:?}");
    let finishes = events.iter().filter(|event| event["candidates"][0].get("finishReason").is_some()).count();
    assert_eq!((finishes, &events.last().unwrap()["candidates"][0]["finishReason"]), (1, &json!("STOP")));
    let whole = post(WHOLE, ask("Hello")).await;
    assert_eq!(got.joined("/candidates/0/content/parts/0/text"), whole.said("/candidates/0/content/parts/0/text").as_str().unwrap());
    assert_eq!(events.last().unwrap()["usageMetadata"], whole.said("/usageMetadata"));
}

#[tokio::test]
async fn without_sse_the_stream_is_one_json_array() {
    let got = post(ARRAY, ask("Hello")).await;
    assert!(got.header("content-type").starts_with("application/json"));
    let chunks = got.json();
    let text: String =
        chunks.as_array().unwrap().iter().filter_map(|chunk| chunk.pointer("/candidates/0/content/parts/0/text")?.as_str()).collect();
    assert_eq!(text, post(SSE, ask("Hello")).await.joined("/candidates/0/content/parts/0/text"));
}

#[tokio::test]
async fn thoughts_are_shown_on_request_counted_apart_and_share_the_limit() {
    let thinking = json!({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": true}}});
    let body = post(WHOLE, with(&ask("Hello"), thinking)).await.json();
    let parts = body["candidates"][0]["content"]["parts"].as_array().unwrap();
    assert_eq!((&parts[0]["thought"], parts[1].get("thoughtSignature").is_some()), (&json!(true), true));
    assert!(body["usageMetadata"]["thoughtsTokenCount"].as_u64().unwrap() > 0);
    let hidden = json!({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}, "maxOutputTokens": 2}});
    let body = post(WHOLE, with(&ask("Hello"), hidden)).await.json();
    assert_eq!(body["candidates"][0], json!({"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}));
    assert_eq!(body["usageMetadata"]["thoughtsTokenCount"], 2);
}

#[tokio::test]
async fn calls_are_signed_and_the_signature_must_come_back() {
    let first = post(WHOLE, with_tools("use two tools")).await.json();
    let parts = first["candidates"][0]["content"]["parts"].as_array().unwrap().clone();
    assert_eq!(parts[0]["functionCall"]["args"], json!({"city": "Oslo"}));
    assert!(parts[0].get("thoughtSignature").is_some() && parts[1].get("thoughtSignature").is_none());
    assert_eq!(first["candidates"][0]["finishReason"], "STOP");
    let streamed = post(SSE, with_tools("use two tools")).await.events();
    assert_eq!(streamed[0]["candidates"][0]["content"]["parts"], json!(parts));

    let continued = |parts: &[Value]| {
        let mut next = with_tools("use two tools");
        let contents = next["contents"].as_array_mut().unwrap();
        contents.push(json!({"role": "model", "parts": parts}));
        let response = |name: &str| json!({"functionResponse": {"name": name, "response": {"output": format!("{name} says so")}}});
        contents.push(json!({"role": "user", "parts": [response("weather"), response("clock")]}));
        next
    };
    let text = post(WHOLE, continued(&parts)).await.said("/candidates/0/content/parts/0/text");
    assert!(text.as_str().unwrap().contains("\"weather says so\". \"clock says so\"."), "{text}");
    let mut other = parts.clone();
    other[0]["thoughtSignature"] = json!("skip_thought_signature_validator");
    assert_eq!(post(WHOLE, continued(&other)).await.status, 200);
    other[0]["thoughtSignature"] = json!("AAAA");
    refused(WHOLE, continued(&other), 400, "Corrupted thought signature.").await;
    other[0].as_object_mut().unwrap().remove("thoughtSignature");
    refused(WHOLE, continued(&other), 400, "Function call is missing a thought_signature in functionCall parts.").await;
    let old = "/gemini/v1beta/models/gemini-2.5-flash:generateContent";
    assert_eq!(post(old, continued(&other)).await.status, 200);
}

#[tokio::test]
async fn a_schema_gives_json_of_that_schema() {
    let config = json!({"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT", "properties": {"is_fruit": {"type": "BOOLEAN"}}}});
    let text = post(WHOLE, with(&ask("banana"), json!({"generationConfig": config}))).await.said("/candidates/0/content/parts/0/text");
    assert_eq!(text, "{\"is_fruit\":true}");
}

#[tokio::test]
async fn gemini_refuses_what_gemini_refuses() {
    let part = |part: Value| json!({"contents": [{"role": "user", "parts": [part]}]});
    for (body, words) in [
        (json!({}), "contents is not specified"),
        (with(&ask("x"), json!({"max_tokens": 3})), "Unknown name \\\"max_tokens\\\": Cannot find field."),
        (with(&ask("x"), json!({"generationConfig": {"n": 3}})), "at 'generation_config'"),
        (json!({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}), "Please use a valid role: user, model."),
        (json!({"contents": [{"role": "user", "parts": []}]}), "contents[0].parts: contents.parts must not be empty."),
        (part(json!({"thought": true})), "required oneof field 'data' must have one initialized field"),
        (part(json!({"functionResponse": {"name": "f", "response": {}}})), "number of function response parts is equal"),
        (
            with(&ask("x"), json!({"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}})),
            "only one of thinking budget and thinking level",
        ),
        (
            with(&ask("x"), json!({"generationConfig": {"responseSchema": {"type": "OBJECT"}}})),
            "requires response_mime_type application/json",
        ),
        (with(&ask("x"), json!({"generationConfig": {"presencePenalty": 1}})), "Penalty is not enabled for models/gemini-3.8-flash"),
        (with(&ask("x"), json!({"tools": [{"functionDeclarations": [{"name": "1 bad"}]}]})), "Invalid function name."),
    ] {
        refused(WHOLE, body, 400, words).await;
    }
    refused("/gemini/v1beta/models/llama:generateContent", ask("x"), 404, "models/llama is not found for API version v1beta").await;
    refused("/gemini/v1beta/models/bad%20model:generateContent", ask("x"), 400, "unexpected model name format").await;
    let got = post("/gemini/v1beta/models/gemini-3.8-flash:shout", ask("x")).await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (404, "text/html; charset=UTF-8"));
}

#[tokio::test]
async fn snake_case_is_taken_as_well() {
    let body = json!({"contents": [{"parts": [{"text": "x"}]}], "system_instruction": {"parts": [{"text": "y"}]}, "generation_config": {"max_output_tokens": 2}});
    assert_eq!(post(WHOLE, body).await.said("/candidates/0/finishReason"), "MAX_TOKENS");
}

#[tokio::test]
async fn keys_are_checked_as_gemini_does() {
    let simulator = simulator();
    let bare = |path: &str| Request::post(path).body(Body::from(ask("x").to_string())).unwrap();
    assert_eq!(send(&simulator, bare(WHOLE)).await.said("/error/status"), "PERMISSION_DENIED");
    let bad = send(&simulator, bare(&format!("{WHOLE}?key=invalid"))).await;
    assert_eq!((bad.status.as_u16(), bad.said("/error/details/0/reason")), (400, json!("API_KEY_INVALID")));
    assert_eq!(send(&simulator, bare(&format!("{WHOLE}?key=k"))).await.status, 200);
}

#[tokio::test]
async fn tokens_are_counted_as_they_are_billed() {
    let model = "/gemini/v1beta/models/gemini-3.8-flash:countTokens";
    let inner = with(&with_tools("Hello"), json!({"model": "models/gemini-3.8-flash"}));
    let counted = post(model, json!({"generateContentRequest": inner})).await.said("/totalTokens");
    assert_eq!(counted, post(WHOLE, with_tools("Hello")).await.said("/usageMetadata/promptTokenCount"));
    assert!(post(model, ask("Hello")).await.said("/totalTokens").as_u64() < counted.as_u64());
}

#[tokio::test]
async fn log_probabilities_are_told_of_whole_answers() {
    let asked = with(&ask("Hello"), json!({"generationConfig": {"responseLogprobs": true, "logprobs": 2}}));
    let candidate = post(WHOLE, asked.clone()).await.said("/candidates/0");
    let result = &candidate["logprobsResult"];
    let tokens = result["chosenCandidates"].as_array().unwrap().iter().map(|chosen| chosen["token"].as_str().unwrap());
    assert_eq!(tokens.collect::<String>(), candidate["content"]["parts"][0]["text"].as_str().unwrap());
    assert_eq!(result["topCandidates"][0]["candidates"][0], result["chosenCandidates"][0]);
    refused(SSE, asked.clone(), 400, "LogProbs is not supported in streaming mode").await;
    refused("/gemini/v1beta/models/gemini-3.1-pro-preview:generateContent", asked, 400, "Logprobs is not enabled for this model").await;
}

#[tokio::test]
async fn embeddings_and_models_are_there() {
    let base = "/gemini/v1beta/models/gemini-embedding-001";
    let content = json!({"content": {"parts": [{"text": "x"}]}, "outputDimensionality": 8});
    let one = post(&format!("{base}:embedContent"), content.clone()).await.said("/embedding/values");
    assert_eq!(one.as_array().unwrap().len(), 8);
    let length: f64 = one.as_array().unwrap().iter().map(|value| value.as_f64().unwrap().powi(2)).sum();
    assert!(length < 0.5, "a part of a vector of length one is shorter");
    let named = with(&content, json!({"model": "models/gemini-embedding-001"}));
    let batch = post(&format!("{base}:batchEmbedContents"), json!({"requests": [named, named]})).await;
    assert_eq!(batch.said("/embeddings/1/values"), one);
    refused(&format!("{base}:batchEmbedContents"), json!({"requests": [content]}), 400, "model is required").await;

    let simulator = simulator();
    let page =
        |query: &str| Request::get(format!("/gemini/v1beta/models?{query}")).header("x-goog-api-key", "k").body(Body::empty()).unwrap();
    let first = send(&simulator, page("pageSize=4")).await.json();
    assert_eq!((first["models"].as_array().unwrap().len(), &first["nextPageToken"]), (4, &json!("4")));
    let rest = send(&simulator, page("pageSize=1000&pageToken=4")).await.json();
    assert!(rest.get("nextPageToken").is_none() && rest["models"][0]["name"].as_str().unwrap().starts_with("models/"));
}
