//! OpenAI's wire format.

use super::{post, refused, request, send, simulator, with};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

const CHAT: &str = "/openai/v1/chat/completions";
const RESPONSES: &str = "/openai/v1/responses";

fn chat(user: &str) -> Value {
    json!({"model": "gpt-5.4", "messages": [{"role": "user", "content": user}]})
}

fn weather() -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false});
    json!([
        {"type": "function", "function": {"name": "weather", "parameters": schema}},
        {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
    ])
}

#[tokio::test]
async fn a_whole_answer_has_the_shape_of_a_completion() {
    let got = post(CHAT, chat("Hello")).await;
    let body = got.json();
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"]);
    let text = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.starts_with("[simulated openai/gpt-5.4] You said: \"Hello\"."), "{text}");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["completion_tokens"], text.len().div_ceil(4));
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(got.header("x-request-id").starts_with("req_"));
    assert_eq!(got.header("x-ratelimit-limit-requests"), "500");
    assert_eq!(got.header("x-simulated"), "true");
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_streamed_or_whole() {
    let whole = post(CHAT, chat("Hello, wörld 日本")).await.json();
    let again = post(CHAT, chat("Hello, wörld 日本")).await.json();
    assert_eq!((&whole["id"], &whole["choices"]), (&again["id"], &again["choices"]));
    let streamed = post(CHAT, with(&chat("Hello, wörld 日本"), json!({"stream": true}))).await;
    assert_eq!(streamed.joined("/choices/0/delta/content"), whole["choices"][0]["message"]["content"].as_str().unwrap());
}

#[tokio::test]
async fn a_stream_gives_usage_only_when_asked() {
    let plain = post(CHAT, with(&chat("Hello"), json!({"stream": true}))).await;
    assert_eq!(plain.header("content-type"), "text/event-stream; charset=utf-8");
    assert!(plain.body.ends_with("data: [DONE]\n\n"));
    assert!(plain.events().iter().all(|chunk| chunk.get("usage").is_none() && chunk["choices"].as_array().unwrap().len() == 1));
    let asked = post(CHAT, with(&chat("Hello"), json!({"stream": true, "stream_options": {"include_usage": true}}))).await;
    let events = asked.events();
    let (last, earlier) = events.split_last().unwrap();
    assert!(earlier.iter().all(|chunk| chunk["usage"].is_null() && chunk.as_object().unwrap().contains_key("usage")));
    assert_eq!((last["choices"].as_array().unwrap().len(), last["usage"]["completion_tokens"].is_u64()), (0, true));
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(earlier.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(events.iter().all(|chunk| chunk["id"] == events[0]["id"]));
}

#[tokio::test]
async fn a_limit_and_a_stop_sequence_end_the_answer() {
    let body = post(CHAT, with(&chat("Hello"), json!({"max_completion_tokens": 3}))).await.json();
    assert_eq!(body["choices"][0]["message"]["content"], "[simulated o");
    assert_eq!((&body["choices"][0]["finish_reason"], &body["usage"]["completion_tokens"]), (&json!("length"), &json!(3)));
    let stop = json!({"model": "gpt-4.1", "stop": ["You"], "messages": [{"role": "user", "content": "Hello"}]});
    let body = post(CHAT, stop).await.json();
    assert_eq!(
        (&body["choices"][0]["message"]["content"], &body["choices"][0]["finish_reason"]),
        (&json!("[simulated openai/gpt-4.1] "), &json!("stop"))
    );
}

#[tokio::test]
async fn tools_are_called_streamed_and_whole_alike_and_their_results_are_quoted() {
    let base = with(&chat("use two tools"), json!({"tools": weather()}));
    let whole = post(CHAT, base.clone()).await.json();
    let calls = whole["choices"][0]["message"]["tool_calls"].as_array().unwrap().clone();
    assert_eq!(calls.iter().map(|call| call["function"]["name"].as_str().unwrap()).collect::<Vec<_>>(), ["weather", "clock"]);
    assert_eq!(calls[0]["function"]["arguments"], "{\"city\":\"Oslo\"}");
    assert_eq!((&whole["choices"][0]["finish_reason"], &whole["choices"][0]["message"]["content"]), (&json!("tool_calls"), &Value::Null));

    let streamed = post(CHAT, with(&base, json!({"stream": true}))).await;
    let deltas: Vec<Value> = streamed.events().iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0").cloned()).collect();
    let arguments = |index: u64| -> String {
        let own = deltas.iter().filter(|delta| delta["index"] == index);
        own.filter_map(|delta| delta["function"]["arguments"].as_str()).collect()
    };
    assert_eq!((arguments(0).as_str(), arguments(1).as_str()), ("{\"city\":\"Oslo\"}", "{}"));
    assert_eq!(deltas.iter().filter(|delta| delta.get("id").is_some()).count(), 2);

    let mut answered = base.clone();
    let messages = answered["messages"].as_array_mut().unwrap();
    messages.push(whole["choices"][0]["message"].clone());
    for (call, result) in calls.iter().zip(["4 C", "noon"]) {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": result}));
    }
    let text = post(CHAT, answered).await.said("/choices/0/message/content");
    assert!(text.as_str().unwrap().contains("The tools answered: \"4 C\". \"noon\"."), "{text}");
}

#[tokio::test]
async fn a_format_gives_json_of_that_schema() {
    let schema =
        json!({"type": "object", "properties": {"is_fruit": {"type": "boolean"}}, "required": ["is_fruit"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "fruit", "strict": true, "schema": schema}});
    let content = post(CHAT, with(&chat("banana"), json!({"response_format": format}))).await.said("/choices/0/message/content");
    assert_eq!(content, "{\"is_fruit\":true}");
    let content =
        post(CHAT, with(&chat("some json"), json!({"response_format": {"type": "json_object"}}))).await.said("/choices/0/message/content");
    assert!(serde_json::from_str::<Value>(content.as_str().unwrap()).unwrap().is_object());
}

#[tokio::test]
async fn media_are_acknowledged_with_their_size() {
    let content = json!([
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAA="}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]);
    let body = json!({"model": "gpt-5.4", "messages": [{"role": "user", "content": content}]});
    let text = post(CHAT, body).await.said("/choices/0/message/content");
    let expected = "I received an image of 5 bytes. I received a document of 3 bytes. I received an image by reference.";
    assert!(text.as_str().unwrap().contains(expected), "{text}");
}

#[tokio::test]
async fn chat_refuses_what_openai_refuses() {
    let user = json!([{"role": "user", "content": "hi"}]);
    let call = json!([{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    for (more, status, words) in [
        (json!({"model": "llama-3"}), 404, "The model `llama-3` does not exist or you do not have access to it."),
        (json!({"model": "bad model"}), 400, "invalid model ID"),
        (json!({"model": null}), 400, "you must provide a model parameter"),
        (json!({"messages": null}), 400, "Missing required parameter: 'messages'."),
        (json!({"messages": []}), 400, "empty_array"),
        (json!({"top_k": 3}), 400, "Unrecognized request argument supplied: top_k"),
        (json!({"max_tokens": 5}), 400, "Use 'max_completion_tokens' instead."),
        (json!({"stop": "x"}), 400, "Unsupported parameter: 'stop' is not supported with this model."),
        (json!({"temperature": 0.5}), 400, "\"param\": \"temperature\""),
        (json!({"model": "gpt-4.1", "temperature": 3}), 400, "decimal_above_max_value"),
        (json!({"reasoning_effort": "max"}), 400, "Supported values are: 'none', 'low', 'medium', 'high', 'xhigh'."),
        (json!({"stream_options": {"include_usage": true}}), 400, "only allowed when 'stream' is enabled"),
        (json!({"tools": weather(), "reasoning_effort": "low"}), 400, "Function tools with reasoning_effort are not supported for gpt-5.4"),
        (json!({"tools": []}), 400, "Invalid 'tools': empty array"),
        (json!({"tool_choice": "auto"}), 400, "is only allowed when 'tools' are specified"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:audio/aac;base64,AA=="}}]}]}),
            400,
            "but got unsupported MIME type 'audio/aac'",
        ),
        (json!({"response_format": {"type": "json_object"}}), 400, "must contain the word 'json'"),
        (json!({"messages": [{"role": "robot", "content": "x"}]}), 400, "Invalid value: 'robot'"),
        (json!({"messages": [user[0], {"role": "assistant", "tool_calls": call}]}), 400, "did not have response messages: call_1"),
        (
            json!({"messages": [user[0], {"role": "tool", "tool_call_id": "call_1", "content": "x"}]}),
            400,
            "must be a response to a preceeding message",
        ),
    ] {
        refused(CHAT, with(&chat("hi"), more), status, words).await;
    }
    assert_eq!(post(CHAT, with(&chat("hi"), json!({"temperature": 0.5, "reasoning_effort": "none"}))).await.status, 200);
}

#[tokio::test]
async fn keys_paths_and_broken_json_are_refused() {
    let simulator = simulator();
    for (key, code) in [(None, Value::Null), (Some("Bearer invalid"), json!("invalid_api_key"))] {
        let mut builder = Request::post(CHAT);
        if let Some(key) = key {
            builder = builder.header("authorization", key);
        }
        let got = send(&simulator, builder.body(Body::from(chat("hi").to_string())).unwrap()).await;
        assert_eq!((got.status.as_u16(), got.said("/error/code")), (401, code));
    }
    let broken = Request::post(CHAT).header("authorization", "Bearer k").body(Body::from("{\"model\":")).unwrap();
    assert!(send(&simulator, broken).await.body.contains("We could not parse the JSON body of your request."));
    let got = post("/openai/v1/nothing", json!({})).await;
    assert_eq!((got.status.as_u16(), got.said("/error/message")), (404, json!("Invalid URL (POST /v1/nothing)")));
    assert_eq!(send(&simulator, Request::get("/elsewhere").body(Body::empty()).unwrap()).await.status, 404);
}

fn response(input: Value) -> Value {
    json!({
        "model": "gpt-5.6-sol", "store": false, "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"}, "input": input,
    })
}

#[tokio::test]
async fn a_streamed_response_tells_its_whole_story_in_order() {
    let got = post(RESPONSES, with(&response(json!("Hello")), json!({"stream": true}))).await;
    let events = got.events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let named: Vec<&str> = got.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(named, types);
    let mut story = types.clone();
    story.dedup();
    assert_eq!(
        story,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert!(!got.body.contains("[DONE]"));
    let whole = post(RESPONSES, response(json!("Hello"))).await.json();
    let last = events.last().unwrap();
    assert_eq!(last["response"]["usage"], whole["usage"]);
    assert_eq!(last["response"]["output"][1]["content"], whole["output"][1]["content"]);
    let deltas: String =
        events.iter().filter(|event| event["type"] == "response.output_text.delta").filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, whole["output"][1]["content"][0]["text"].as_str().unwrap());
    assert!(events[2]["item"].get("encrypted_content").is_none() && events[0]["response"]["output"] == json!([]));
    assert!(whole["usage"]["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_response_with_calls_is_continued_with_its_reasoning() {
    let tools = json!([{"type": "function", "name": "weather", "strict": false, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]);
    let base = with(&response(json!([{"role": "user", "content": "use a tool"}])), json!({"tools": tools}));
    let first = post(RESPONSES, base.clone()).await.json();
    let output = first["output"].as_array().unwrap();
    assert_eq!(
        (&output[0]["type"], &output[1]["type"], &output[1]["name"]),
        (&json!("reasoning"), &json!("function_call"), &json!("weather"))
    );
    let streamed = post(RESPONSES, with(&base, json!({"stream": true}))).await;
    let done = streamed.events().into_iter().find(|event| event["type"] == "response.function_call_arguments.done").unwrap();
    assert_eq!(done["arguments"], "{\"city\":\"Oslo\"}");

    let mut next = base.clone();
    let input = next["input"].as_array_mut().unwrap();
    input.extend(output.iter().cloned());
    input.push(json!({"type": "function_call_output", "call_id": output[1]["call_id"], "output": "4 C"}));
    let text = post(RESPONSES, next.clone()).await.said("/output/1/content/0/text");
    assert!(text.as_str().unwrap().contains("\"4 C\""), "{text}");

    next["input"][1]["encrypted_content"] = json!("gAAAAABforeign");
    refused(RESPONSES, next.clone(), 400, "invalid_encrypted_content").await;
    next["input"][1].as_object_mut().unwrap().remove("encrypted_content");
    refused(RESPONSES, next, 404, "Items are not persisted when `store` is set to false").await;
}

#[tokio::test]
async fn a_response_stops_at_its_limit_with_the_reason() {
    let body = post(RESPONSES, json!({"model": "gpt-5.4", "input": "Hello", "max_output_tokens": 16})).await.json();
    assert_eq!((&body["status"], &body["incomplete_details"]["reason"]), (&json!("incomplete"), &json!("max_output_tokens")));
    assert_eq!(body["usage"]["output_tokens"], 16);
}

/// The tokens of a list of log probabilities, joined.
fn joined(logprobs: &Value) -> String {
    logprobs.as_array().unwrap().iter().map(|entry| entry["token"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn log_probabilities_are_told_of_each_token() {
    let base = json!({"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello"}], "logprobs": true, "top_logprobs": 2});
    let choice = post(CHAT, base.clone()).await.said("/choices/0");
    assert_eq!(joined(&choice["logprobs"]["content"]), choice["message"]["content"].as_str().unwrap());
    assert_eq!(choice["logprobs"]["content"][0]["top_logprobs"].as_array().unwrap().len(), 2);
    let streamed = post(CHAT, with(&base, json!({"stream": true}))).await.events();
    let pieces = streamed.iter().filter_map(|event| event.pointer("/choices/0/logprobs/content"));
    assert_eq!(pieces.map(joined).collect::<String>(), choice["message"]["content"].as_str().unwrap());

    let base = json!({"model": "gpt-4.1", "input": "Hello", "include": ["message.output_text.logprobs"], "top_logprobs": 1});
    let part = post(RESPONSES, base.clone()).await.said("/output/0/content/0");
    assert_eq!(joined(&part["logprobs"]), part["text"].as_str().unwrap());
    let streamed = post(RESPONSES, with(&base, json!({"stream": true}))).await.events();
    let deltas = streamed.iter().filter(|event| event["type"] == "response.output_text.delta");
    assert_eq!(deltas.map(|event| joined(&event["logprobs"])).collect::<String>(), part["text"].as_str().unwrap());
}

#[tokio::test]
async fn responses_refuses_what_openai_refuses() {
    for (more, status, words) in [
        (json!({"model": "llama"}), 400, "The requested model 'llama' does not exist."),
        (json!({"stop": ["x"]}), 400, "Unknown parameter: 'stop'."),
        (json!({"max_output_tokens": 5}), 400, "integer_below_min_value"),
        (json!({"top_logprobs": 2}), 400, "logprobs are not supported with reasoning models."),
        (json!({"input": null}), 400, "Missing required parameter: 'input'."),
        (json!({"previous_response_id": "resp_1"}), 400, "previous_response_not_found"),
        (json!({"tools": [{"type": "function", "name": "f"}]}), 400, "Missing required parameter: 'tools[0].parameters'."),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "call_1", "output": "x"}]}),
            400,
            "No tool call found for function call output",
        ),
        (
            json!({"input": [{"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}]}),
            400,
            "No tool output found for function call call_1.",
        ),
    ] {
        refused(RESPONSES, with(&response(json!("hi")), more), status, words).await;
    }
}

#[tokio::test]
async fn embeddings_come_as_floats_or_base64_in_order() {
    let body = json!({"model": "text-embedding-3-small", "input": ["one", "two"], "dimensions": 8});
    let floats = post("/openai/v1/embeddings", body.clone()).await.json();
    assert_eq!((floats["data"][1]["index"].as_u64(), floats["data"][1]["embedding"].as_array().unwrap().len()), (Some(1), 8));
    let encoded = post("/openai/v1/embeddings", with(&body, json!({"encoding_format": "base64"}))).await.json();
    let bytes =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let first = f32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(f64::from(first), f64::from(floats["data"][0]["embedding"][0].as_f64().unwrap() as f32));
    refused("/openai/v1/embeddings", json!({"model": "text-embedding-3-small", "input": ""}), 400, "'$.input' is invalid").await;
    refused("/openai/v1/embeddings", json!({"model": "no-such", "input": "x"}), 404, "model_not_found").await;
}

#[tokio::test]
async fn models_are_listed_and_input_is_counted_as_it_is_billed() {
    let simulator = simulator();
    let list =
        send(&simulator, Request::get("/openai/v1/models").header("authorization", "Bearer k").body(Body::empty()).unwrap()).await.json();
    assert!(list["data"].as_array().unwrap().iter().any(|model| model["id"] == "gpt-5.4"));
    let body = json!({"model": "gpt-5.4", "input": "Hello there", "instructions": "Be brief."});
    let counted = send(&simulator, request("/openai/v1/responses/input_tokens", &body)).await.said("/input_tokens");
    assert_eq!(counted, send(&simulator, request(RESPONSES, &body)).await.said("/usage/input_tokens"));
}
