//! The routes, each provider behind each.

use crate::support::{ADAPTERS, Setup, Simulator, Streamed, chat_body, header, json};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_provider_answers_a_query_with_every_field() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for provider in ADAPTERS {
        let response = gateway.query(json!({"query": "What is love?", "model": provider, "max_tokens": 200})).await;
        assert_eq!(response.status(), 200, "{provider}");
        assert_eq!(header(&response, "x-gateway-provider").as_deref(), Some(provider));
        for name in ["x-request-id", "x-gateway-model", "x-gateway-attempts", "x-gateway-overhead-us", "x-gateway-cache"] {
            assert!(header(&response, name).is_some(), "{provider}: {name}");
        }
        let id = header(&response, "x-request-id").unwrap();
        let answer = json(response).await;
        assert!(answer["response"].as_str().unwrap().contains("What is love?"), "{answer}");
        assert_eq!(
            (&answer["model"], &answer["request_id"], &answer["cached"], &answer["num_retries"]),
            (&json!(provider), &json!(id), &json!(false), &json!(0))
        );
        let (input, output) = (answer["input_tokens"].as_u64().unwrap(), answer["output_tokens"].as_u64().unwrap());
        assert!(input > 0 && output > 0, "{answer}");
        assert_eq!((&answer["total_tokens"], &answer["num_tokens"]), (&json!(input + output), &json!(input + output)));
        assert!(
            answer["response_time_ms"].is_u64()
                && answer["timestamp"].as_str().unwrap().ends_with('Z')
                && !answer["model_version"].as_str().unwrap().is_empty()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_gives_the_same_whole_and_streamed() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for provider in ADAPTERS {
        let whole = json(gateway.chat(chat_body(provider, "Tell me of größe 🎉", false)).await).await;
        let response = gateway.chat(chat_body(provider, "Tell me of größe 🎉", true)).await;
        assert_eq!(header(&response, "content-type").as_deref(), Some("text/event-stream; charset=utf-8"));
        let streamed = Streamed::read(response).await;
        let message = &whole["choices"][0]["message"];
        assert_eq!((message["content"].as_str().unwrap(), streamed.done), (streamed.text.as_str(), true), "{provider}");
        assert_eq!(streamed.finish.as_deref(), whole["choices"][0]["finish_reason"].as_str(), "{provider}");
        assert_eq!(streamed.usage.as_ref(), Some(&whole["usage"]), "{provider}");
        assert_eq!(whole["object"], "chat.completion");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_reach_every_provider() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for provider in ADAPTERS {
        let mut body = chat_body(provider, "Count to a hundred", false);
        body["messages"] = json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "Count to a hundred"},
        ]);
        body["max_tokens"] = json!(5);
        let answer = json(gateway.chat(body).await).await;
        assert_eq!(answer["choices"][0]["finish_reason"], "length", "{provider}: {answer}");
        assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() <= 5, "{provider}: {answer}");
        let sent = simulator.last_request(provider).await["body"].to_string();
        for words in ["Be brief.", "Hello", "Hi", "Count to a hundred"] {
            assert!(sent.contains(words), "{provider}: {words} in {sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_cannot_take_is_named() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let mut body = chat_body("claude", "Hello", false);
    body["seed"] = json!(7);
    let response = gateway.chat(body).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-gateway-dropped-params").as_deref()), (200, Some("seed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_make_the_round_trip() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]);
    for provider in ADAPTERS {
        let mut body = chat_body(provider, "Use the tool for Oslo", false);
        body["tools"] = tools.clone();
        let answer = json(gateway.chat(body.clone()).await).await;
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{provider}: {answer}");
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(call["function"]["name"], "weather", "{provider}");
        assert!(
            serde_json::from_str::<Value>(call["function"]["arguments"].as_str().unwrap()).unwrap()["city"].is_string(),
            "{provider}: {call}"
        );
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(choice["message"].clone());
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "4 degrees and rain"}));
        let answer = json(gateway.chat(body).await).await;
        assert!(
            answer["choices"][0]["message"]["content"].as_str().is_some_and(|text| text.contains("4 degrees and rain")),
            "{provider}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parallel_query_answers_per_model_in_the_order_asked() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let body = json!({"query": "Hello", "models": ["mistral", "openai/gpt-5.4", "nobody", "claude"], "request_id": "pq-1"});
    let response = gateway.post("/api/parallel").json(&body).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "x-request-id").as_deref()), (200, Some("pq-1")));
    let answer = json(response).await;
    let results = answer["results"].as_array().unwrap();
    let models: Vec<&str> = results.iter().map(|result| result["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["mistral", "openai", "nobody", "claude"]);
    assert!(results.iter().enumerate().all(|(at, result)| result["response"].as_str().unwrap().contains("Hello") != (at == 2)), "{answer}");
    assert_eq!(results[2]["error_type"], "model_not_found");
    let all = json(gateway.post("/api/parallel").json(&json!({"query": "Hello"})).send().await.unwrap()).await;
    assert_eq!(all["results"].as_array().unwrap().len(), 4, "without models every provider is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_query_tells_its_attempts() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    simulator.script("openai", &["status=503"]).await;
    let body = json!({"query": "Hello", "model": "openai"});
    let answer = json(gateway.post("/v1/gateway/query").json(&body).send().await.unwrap()).await;
    assert_eq!((&answer["tenant"], &answer["dry_run"]), (&json!("default"), &json!(false)));
    assert!(answer["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0), "{answer}");
    let attempts = answer["attempts"].as_array().unwrap();
    assert_eq!(
        (attempts.len(), &attempts[0]["status"], &attempts[0]["error_type"], &attempts[1]["status"]),
        (2, &json!(503), &json!("overloaded"), &json!(200))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_named_in_every_way() {
    let simulator = Simulator::start();
    let file = "[aliases]\nfast = \"mistral/mistral-small-2603\"\n";
    let setup = Setup::simulated(&simulator);
    std::fs::write(setup.folder().join("gateway.toml"), file).unwrap();
    let gateway = setup.start();
    for (model, provider) in [
        ("fast", "mistral"),
        ("gemini", "gemini"),
        ("claude/claude-haiku-5-5", "claude"),
        ("gpt-5.4", "openai"),
        ("openai/gpt-99-new", "openai"),
    ] {
        let response = gateway.chat(chat_body(model, "Hello", false)).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-gateway-provider").as_deref()), (200, Some(provider)), "{model}");
    }
    let listed = json(gateway.get("/v1/models").send().await.unwrap()).await;
    let ids: Vec<&str> = listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"openai/gpt-5.4") && ids.iter().any(|id| id.starts_with("gemini/")), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_the_task_chooses_and_another_provider_steps_in() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("MAX_RETRIES", "0").start();
    for task in ["text_generation", "summarization", "sentiment_analysis", "question_answering", "other"] {
        assert_eq!(gateway.query(json!({"query": "Hello", "task_type": task})).await.status(), 200, "{task}");
    }
    simulator.script("openai", &["status=500"]).await;
    let response = gateway.query(json!({"query": "Hello"})).await;
    assert_eq!(header(&response, "x-gateway-fallback-from").as_deref(), Some("openai"));
    let answer = json(response).await;
    assert_eq!((&answer["original_model"], &answer["num_retries"]), (&json!("openai"), &json!(1)));
    assert_ne!(answer["model"], "openai");
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_mode_answers_without_keys_and_says_so() {
    let setup = Setup::bare().argument("--demo");
    setup.copy_adapter("openai");
    let gateway = setup.start();
    let response = gateway.query(json!({"query": "Hello", "model": "openai"})).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-gateway-simulated").as_deref()), (200, Some("true")));
    let status = json(gateway.get("/api/status").send().await.unwrap()).await;
    assert_eq!((&status["providers"]["openai"]["available"], &status["providers"]["openai"]["simulated"]), (&json!(true), &json!(true)));
    assert_eq!(status["providers"]["claude"]["available"], json!(false), "its plugin is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_a_key_is_unavailable_and_says_what_to_set() {
    let setup = Setup::bare();
    setup.copy_adapter("openai");
    let gateway = setup.start();
    let status = json(gateway.get("/api/status").send().await.unwrap()).await;
    assert!(status["providers"]["openai"]["reason"].as_str().unwrap().contains("OPENAI_API_KEY"), "{status}");
    let response = gateway.query(json!({"query": "Hello", "model": "openai"})).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-gateway-error-origin").as_deref()), (503, Some("gateway")));
    assert!(json(response).await["error"].as_str().unwrap().contains("OPENAI_API_KEY"));
    assert_eq!(gateway.get("/readyz").send().await.unwrap().status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_the_page_answer() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for path in ["/healthz", "/readyz", "/api/health"] {
        assert_eq!(gateway.get(path).send().await.unwrap().status(), 200, "{path}");
    }
    let page = gateway.get("/").send().await.unwrap();
    assert_eq!((page.status().as_u16(), header(&page, "content-type").as_deref()), (200, Some("text/html")));
    assert!(header(&page, "content-security-policy").unwrap().starts_with("default-src 'self'"));
    let html = page.text().await.unwrap();
    let script = html.split('"').find(|piece| piece.starts_with("/assets/") && piece.ends_with(".js")).expect("the page has its script");
    assert_eq!(gateway.get(script).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_counted_and_how_it_went_is_told() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let answer = json(gateway.query(json!({"query": "Hello", "model": "openai"})).await).await;
    let model = answer["model_version"].as_str().unwrap();
    let scrape = gateway.get("/metrics").send().await.unwrap();
    assert_eq!(header(&scrape, "content-type").as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = scrape.text().await.unwrap();
    for series in [
        r#"llm_gateway_requests_total{route="/api/query",status="200"} 1"#.to_owned(),
        format!(r#"llm_gateway_attempts_total{{provider="openai",model="{model}",outcome="ok"}} 1"#),
    ] {
        assert!(text.lines().any(|line| line == series), "{series} in {text}");
    }
    assert!(text.contains("# TYPE llm_gateway_breaker_state gauge"), "{text}");
    let status = json(gateway.get("/api/status").send().await.unwrap()).await;
    assert!(status["providers"]["openai"]["health"].is_array(), "{status}");
    let health = json(gateway.get("/admin/health").send().await.unwrap()).await;
    assert!(health["health"].is_array(), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_request_id_comes_back() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let response = gateway
        .post("/api/query")
        .header("x-request-id", "mine-1")
        .json(&json!({"query": "Hello", "model": "openai"}))
        .send()
        .await
        .unwrap();
    assert_eq!(header(&response, "x-request-id").as_deref(), Some("mine-1"));
    assert_eq!(json(response).await["request_id"], "mine-1");
}
