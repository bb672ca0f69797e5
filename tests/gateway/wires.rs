//! What holds on every wire that callers speak: errors in its own form, what is dropped is named, private data comes back to its owner, media is fetched
//! only where it may be.

use crate::support::{ADAPTERS, Gateway, PATIENCE, Setup, Simulator, chat_body, header, json};
use axum::Router;
use axum::routing::get;
use reqwest::Response;
use serde_json::{Value, json as object};

const WIRES: [&str; 3] = ["/v1/chat/completions", "/v1/responses", "/v1/messages"];

/// One user message, in the words of a wire.
fn body(wire: &str, model: &str, text: &str, stream: bool) -> Value {
    match wire {
        "/v1/responses" => object!({"model": model, "input": text, "stream": stream}),
        "/v1/messages" => object!({"model": model, "max_tokens": 5000, "messages": [{"role": "user", "content": text}], "stream": stream}),
        _ => chat_body(model, text, stream),
    }
}

async fn post(gateway: &Gateway, wire: &str, body: &Value) -> Response {
    gateway.post(wire).json(body).send().await.unwrap()
}

/// Message and kind of an error, from where the wire has them.
fn error_of(body: &Value) -> (&str, &str) {
    (body["error"]["message"].as_str().unwrap_or_default(), body["error"]["type"].as_str().unwrap_or_default())
}

fn setup(toml: &str, simulator: &Simulator) -> Setup {
    let setup = Setup::simulated(simulator);
    std::fs::write(setup.folder().join("gateway.toml"), toml).unwrap();
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_form_and_the_status_of_the_callers_wire() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("MAX_RETRIES", "0").start();
    for (fault, chat, messages, chat_type, messages_type) in [
        ("status=400", 400, 400, "invalid_request_error", "invalid_request_error"),
        ("status=401", 401, 401, "authentication_error", "authentication_error"),
        ("status=403", 403, 403, "permission_error", "permission_error"),
        ("status=404", 404, 404, "invalid_request_error", "not_found_error"),
        ("status=413", 413, 413, "invalid_request_error", "request_too_large"),
        ("status=500", 500, 500, "server_error", "api_error"),
        ("status=503", 503, 529, "server_error", "overloaded_error"),
        ("html=502", 502, 502, "server_error", "api_error"),
        ("status=504", 504, 504, "server_error", "timeout_error"),
        // The last one: who was limited is left alone from then on.
        ("status=429;retry-after=7", 429, 429, "rate_limit_error", "rate_limit_error"),
    ] {
        for (wire, model) in WIRES.into_iter().zip(["openai/gpt-6-sol", "openai/gpt-6-luna", "openai/gpt-5.6-sol"]) {
            simulator.script("openai", &[fault]).await;
            let response = post(&gateway, wire, &body(wire, model, "Hello", false)).await;
            let (status, kind) = if wire == "/v1/messages" { (messages, messages_type) } else { (chat, chat_type) };
            assert_eq!(
                (response.status().as_u16(), header(&response, "x-gateway-error-origin").as_deref()),
                (status, Some("provider")),
                "{wire} {fault}"
            );
            assert_eq!(header(&response, "retry-after").is_some(), [429, 503, 529].contains(&status), "{wire} {fault}");
            let id = header(&response, "x-request-id").unwrap();
            let told = json(response).await;
            let (message, told_kind) = error_of(&told);
            assert!(!message.is_empty() && !message.contains("secret-openai-key") && !message.contains(&simulator.origin), "{told}");
            assert_eq!(told_kind, kind, "{wire} {fault}");
            if wire == "/v1/messages" {
                assert_eq!((&told["type"], &told["request_id"]), (&object!("error"), &object!(id)));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_refusals_have_the_form_of_the_callers_wire() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for wire in WIRES {
        for (request, status, param) in [
            (
                object!({"model": "no-such-model", "max_tokens": 5, "input": "x", "messages": [{"role": "user", "content": "x"}]}),
                404,
                "model",
            ),
            (
                object!({"model": "openai", "max_tokens": 5, "input": 5, "messages": 5}),
                400,
                if wire == "/v1/responses" { "input" } else { "messages" },
            ),
            (
                object!({"model": "openai", "max_tokens": 5, "input": "x", "messages": [{"role": "user", "content": "x"}], "temperature": 9}),
                400,
                "temperature",
            ),
        ] {
            let response = post(&gateway, wire, &request).await;
            assert_eq!(
                (response.status().as_u16(), header(&response, "x-gateway-error-origin").as_deref()),
                (status, Some("gateway")),
                "{wire}"
            );
            let told = json(response).await;
            assert!(error_of(&told).0.contains(param), "{wire}: {told}");
        }
    }
    for (field, value) in [("previous_response_id", object!("resp_1")), ("conversation", object!("conv_1")), ("background", object!(true))]
    {
        let response = post(&gateway, "/v1/responses", &object!({"model": "openai", "input": "x", field: value})).await;
        assert_eq!(response.status(), 400);
        let told = json(response).await;
        assert!(told["error"]["param"] == field && error_of(&told).0.contains("state"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_mid_stream_is_told_in_the_wires_own_way_and_ends_the_stream() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for provider in ADAPTERS {
        for (wire, sign, end) in [
            ("/v1/chat/completions", "data: {\"error\":", "[DONE]"),
            ("/v1/responses", "event: error\n", "event: response.completed\n"),
            ("/v1/messages", "event: error\n", "event: message_stop\n"),
        ] {
            simulator.script(provider, &["cut-after=4"]).await;
            let response = post(&gateway, wire, &body(wire, provider, "Hello", true)).await;
            let id = header(&response, "x-request-id").unwrap();
            let text = response.text().await.unwrap();
            assert!(text.contains(sign) && !text.contains(end), "{provider} {wire}: {text}");
            let record = gateway.process.wait_for_record("request", |line| line["request_id"] == id);
            assert!(record["error_type"].is_string() && record["status"] != 200, "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_cannot_take_is_named_in_the_callers_words_or_refused() {
    let simulator = Simulator::start();
    let dropping = Setup::simulated(&simulator).start();
    let rejecting = setup("unsupported_params = \"reject\"\n", &simulator).start();
    let mut request = chat_body("claude/claude-sonnet-5-5", "Hello", false);
    request["seed"] = object!(7);
    request["logit_bias"] = object!({"50": 1});
    let response = dropping.chat(request.clone()).await;
    let named = header(&response, "x-gateway-dropped-params").unwrap();
    assert!(response.status() == 200 && named.contains("seed") && named.contains("logit_bias"), "{named}");
    let id = header(&response, "x-request-id").unwrap();
    assert_eq!(dropping.process.wait_for_record("request", |line| line["request_id"] == id)["dropped_params"], named);
    let before = simulator.count("claude", "requests").await;
    let refused = rejecting.chat(request).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "x-gateway-error-origin").as_deref()), (400, Some("gateway")));
    let told = json(refused).await;
    assert!(error_of(&told).0.contains("`seed`") && error_of(&told).0.contains("`logit_bias`"), "{told}");
    assert_eq!(simulator.count("claude", "requests").await, before, "nothing was sent");
}

/// A tool call of gemini's, whose signature it demands back, answered by a client that knows only the fields of OpenAI's own documentation.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_drops_unknown_fields_keeps_its_tool_loop() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let tools = object!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]);
    for model in ["gemini/gemini-3.8-flash", "claude/claude-sonnet-5-5", "openai/gpt-5.6-sol"] {
        for stream in [false, true] {
            let question = object!({"role": "user", "content": format!("Use the tool for Oslo. ({stream})")});
            let ask = object!({"model": model, "messages": [question], "tools": tools, "tool_choice": "auto", "reasoning_effort": "high", "stream": stream});
            let call = first_call(gateway.chat(ask).await, stream).await;
            let again = object!({"model": model, "tools": tools, "reasoning_effort": "high", "messages": [
                question,
                {"role": "assistant", "content": null, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": "4 C"},
            ]});
            let response = gateway.chat(again).await;
            assert_eq!(response.status(), 200, "{model}: {}", response.text().await.unwrap());
            let provider = model.split('/').next().unwrap();
            let sent = simulator.last_request(provider).await.to_string();
            let private = match provider {
                "gemini" => "thoughtSignature",
                "claude" => "signature",
                _ => "encrypted_content",
            };
            assert!(
                sent.contains(private) && !sent.contains("skip_thought_signature_validator") && !sent.contains("gw1;"),
                "{model}: {sent}"
            );
        }
    }
}

/// The first tool call of an answer, with OpenAI's documented fields alone.
async fn first_call(response: Response, stream: bool) -> Value {
    let mut call = object!({"id": "", "type": "function", "function": {"name": "", "arguments": ""}});
    if !stream {
        let answer = json(response).await;
        let told = &answer["choices"][0]["message"]["tool_calls"][0];
        return object!({"id": told["id"], "type": "function", "function": {"name": told["function"]["name"], "arguments": told["function"]["arguments"]}});
    }
    let mut arguments = String::new();
    for data in response.text().await.unwrap().split("\n\n").filter_map(|event| event.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
        let piece = &chunk["choices"][0]["delta"]["tool_calls"][0];
        if piece["index"] != 0 {
            continue;
        }
        if piece["id"].is_string() {
            call["id"] = piece["id"].clone();
            call["function"]["name"] = piece["function"]["name"].clone();
        }
        arguments += piece["function"]["arguments"].as_str().unwrap_or_default();
    }
    call["function"]["arguments"] = object!(arguments);
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn private_data_of_one_provider_is_never_sent_to_another() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let tools = object!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]);
    let question = object!({"role": "user", "content": "Use the tool."});
    let ask = object!({"model": "claude/claude-sonnet-5-5", "messages": [question], "tools": tools, "reasoning_effort": "high"});
    let answer = json(gateway.chat(ask).await).await;
    let message = &answer["choices"][0]["message"];
    assert!(message["reasoning_details"][0]["data"].is_string(), "{answer}");
    for provider in ["openai/gpt-5.6-sol", "gemini/gemini-3.8-flash", "mistral/mistral-medium-3-5"] {
        let id = &message["tool_calls"][0]["id"];
        let again = object!({"model": provider, "tools": tools, "messages": [question, message, {"role": "tool", "tool_call_id": id, "content": "4 C"}]});
        let response = gateway.chat(again).await;
        assert_eq!(response.status(), 200, "{provider}: {}", response.text().await.unwrap());
        let sent = simulator.last_request(provider.split('/').next().unwrap()).await.to_string();
        assert!(!sent.contains("reasoning_details") && !sent.contains("gw1;"), "{provider}: {sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn media_by_url_is_fetched_only_where_the_operator_allows_it() {
    let simulator = Simulator::start();
    let pdf = || async { ([("content-type", "application/pdf")], "%PDF-1.7 test") };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.pdf", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/a.pdf", get(pdf))).await });
    // Claude takes no plain http.
    let request = object!({"model": "claude", "max_tokens": 500, "messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "url", "url": url}}, {"type": "text", "text": "What does it say?"},
    ]}]});
    for (toml, status, said) in [
        ("", 400, "`messages[0].content[0]`"),
        ("[media]\nfetch = true\n", 400, "no public address"),
        ("[media]\nfetch = true\nprivate_addresses = true\nmax_bytes = 5\n", 400, "more than 5 bytes"),
        ("[media]\nfetch = true\nprivate_addresses = true\n", 200, ""),
    ] {
        let gateway = setup(toml, &simulator).start();
        let response = post(&gateway, "/v1/messages", &request).await;
        let got = response.status().as_u16();
        let told = json(response).await;
        assert!(got == status && error_of(&told).0.contains(said), "{toml}: {told}");
    }
    let sent = simulator.last_request("claude").await.to_string();
    assert!(sent.contains("JVBERi0xLjcgdGVzdA=="), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_counted_by_the_provider_or_else_estimated_and_marked() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for provider in ADAPTERS {
        let request =
            object!({"model": provider, "messages": [{"role": "user", "content": "The quick brown fox jumps over the lazy dog."}]});
        let response = post(&gateway, "/v1/messages/count_tokens", &request).await;
        assert_eq!(response.status(), 200, "{provider}: {}", response.text().await.unwrap());
        let counted = json(response).await;
        assert!((5..60).contains(&counted["input_tokens"].as_u64().unwrap()), "{provider}: {counted}");
        assert_eq!(counted["estimated"] == true, provider == "mistral", "{provider}: {counted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_come_as_floats_or_base64_and_claude_has_none() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for model in ["openai/text-embedding-3-small", "gemini/gemini-embedding-001", "mistral/mistral-embed"] {
        let ask = |encoding: &str| object!({"model": model, "input": ["one", "two"], "encoding_format": encoding});
        let floats = json(post(&gateway, "/v1/embeddings", &ask("float")).await).await;
        let encoded = json(post(&gateway, "/v1/embeddings", &ask("base64")).await).await;
        for at in [0, 1] {
            assert_eq!(floats["data"][at]["index"], at, "{floats}");
            let numbers: Vec<f32> =
                floats["data"][at]["embedding"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32).collect();
            assert_eq!(decoded(encoded["data"][at]["embedding"].as_str().unwrap()), numbers, "{model}");
        }
        assert_ne!(floats["data"][0]["embedding"], floats["data"][1]["embedding"], "{model}");
        assert!(floats["usage"]["prompt_tokens"].is_u64(), "{floats}");
    }
    let refused = post(&gateway, "/v1/embeddings", &object!({"model": "claude", "input": "one"})).await;
    assert_eq!(refused.status(), 400);
    assert!(error_of(&json(refused).await).0.contains("Claude"));
    let tokens = object!({"model": "mistral/mistral-embed", "input": [1, 2, 3]});
    assert_eq!(post(&gateway, "/v1/embeddings", &tokens).await.status(), 400);
}

fn decoded(base64: &str) -> Vec<f32> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_with_what_an_application_chooses_by() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let list = json(gateway.get("/v1/models").send().await.unwrap()).await;
    let models = list["data"].as_array().unwrap();
    for provider in ADAPTERS {
        let of_provider: Vec<&Value> = models.iter().filter(|model| model["provider"] == provider).collect();
        assert!(!of_provider.is_empty(), "{provider}");
        let chatting: Vec<&&Value> =
            of_provider.iter().filter(|model| model["capabilities"].as_array().unwrap().contains(&object!("chat"))).collect();
        assert!(chatting.iter().any(|model| model["context_window"].is_u64()), "{provider}");
        assert!(chatting.iter().any(|model| model["price_per_input_token"].as_f64().is_some_and(|price| price > 0.0)), "{provider}");
    }
    let id = models[0]["id"].as_str().unwrap();
    let one = json(gateway.get(&format!("/v1/models/{id}")).send().await.unwrap()).await;
    assert_eq!(one, models[0]);
    let missing = gateway.get("/v1/models/no/such").send().await.unwrap();
    assert_eq!((missing.status().as_u16(), json(missing).await["error"]["code"].as_str()), (404, Some("model_not_found")));
    let request = gateway.get("/v1/models").header("anthropic-version", "2023-06-01").timeout(PATIENCE);
    let list = json(request.send().await.unwrap()).await;
    assert_eq!((&list["has_more"], &list["data"][0]["type"]), (&object!(false), &object!("model")));
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_a_provider_does_not_tell_is_estimated_and_marked() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for provider in ADAPTERS {
        for stream in [false, true] {
            simulator.script(provider, &["no-usage"]).await;
            let response = gateway.chat(chat_body(provider, "Tell me a story.", stream)).await;
            let id = header(&response, "x-request-id").unwrap();
            let text = response.text().await.unwrap();
            assert!(text.contains("\"estimated\":true"), "{provider} {stream}: {text}");
            let record = gateway.process.wait_for_record("request", |line| line["request_id"] == id);
            assert!(
                record["tokens_estimated"] == true
                    && record["input_tokens"].as_u64() > Some(0)
                    && record["output_tokens"].as_u64() > Some(0),
                "{record}"
            );
        }
    }
}
