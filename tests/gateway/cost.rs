//! What requests cost: estimated before, told after, and held below a cap; and a dry run, which shows what would be sent and sends nothing.

use crate::support::{ADAPTERS, Gateway, Setup, Simulator, header, json, number};
use serde_json::{Value, json as object};

const MODELS: [(&str, &str); 4] = [
    ("openai", "openai/gpt-4.1"),
    ("gemini", "gemini/gemini-3.8-flash"),
    ("mistral", "mistral/mistral-medium-3-5"),
    ("claude", "claude/claude-sonnet-5-5"),
];
/// Words of a token each, of which the simulator, which counts by their length, sees no more.
const TEXT: &str = "a b c d e f g h i j k l m n o p q r s t u v w x y z";

fn question(model: &str, max_tokens: u32) -> Value {
    object!({"model": model, "query": TEXT, "max_tokens": max_tokens})
}

fn with(mut body: Value, field: &str, value: impl Into<Value>) -> Value {
    body[field] = value.into();
    body
}

async fn estimate(gateway: &Gateway, body: Value) -> Value {
    let response = gateway.post("/v1/gateway/cost-estimate").json(&body).send().await.unwrap();
    let (status, answer) = (response.status(), json(response).await);
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn dry_run(gateway: &Gateway, body: Value) -> Value {
    let response = gateway.gateway_query(with(body, "dry_run", true)).await;
    let (status, answer) = (response.status(), json(response).await);
    assert_eq!(status, 200, "{answer}");
    answer
}

fn dollars(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no amount: {value}"))
}

/// Equal to a picodollar.
fn same(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-12
}

/// What a provider was told to write at most, whatever it calls that.
fn output_cap(body: &Value) -> u64 {
    let places = ["/max_tokens", "/max_completion_tokens", "/max_output_tokens", "/generationConfig/maxOutputTokens"];
    places.iter().find_map(|place| body.pointer(place)?.as_u64()).unwrap_or_else(|| panic!("{body}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_costs_what_the_estimate_says_everywhere_it_is_told() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for (provider, model) in MODELS {
        let response = gateway.gateway_query(question(model, 100)).await;
        let (told, id) = (number(&response, "x-gateway-cost-usd"), header(&response, "x-request-id").unwrap());
        let answer = json(response).await;
        let counts = object!({"model": model, "input_tokens": answer["input_tokens"], "output_tokens": answer["output_tokens"]});
        let estimated = estimate(&gateway, counts).await;
        let row = gateway.row(&id).await;
        let (input, output) = (dollars(&estimated["price_per_input_token"]), dollars(&estimated["price_per_output_token"]));
        let by_hand = answer["input_tokens"].as_f64().unwrap() * input + answer["output_tokens"].as_f64().unwrap() * output;
        assert!(told > 0.0 && input > 0.0 && output > 0.0, "{provider}: {estimated}");
        for cost in [&answer["cost_usd"], &estimated["estimated_cost_usd"], &row["cost_usd"], &answer["attempts"][0]["cost_usd"]] {
            assert!(same(dollars(cost), told), "{provider}: {cost} is not {told}");
        }
        assert!(same(by_hand, told), "{provider}: {by_hand} is not {told}");
        assert!(estimated["price_source"].is_string() && estimated["price_date"].is_string(), "{provider}: {estimated}");
    }
    let usage = gateway.usage("").await;
    let rows: f64 = gateway.rows("").await.iter().map(|row| dollars(&row["cost_usd"])).sum();
    assert!(same(dollars(&usage["cost_usd"]), rows), "{usage}: {rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_is_for_text_too_for_several_models_and_null_where_no_price_is_known() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let one = estimate(&gateway, question("openai/gpt-5.4", 50)).await;
    assert_eq!((&one["output_tokens"], &one["estimated"]), (&object!(50), &object!(true)), "{one}");
    assert!(one["input_tokens"].as_u64().is_some_and(|tokens| (26..50).contains(&tokens)), "{one}");
    let named = object!(["openai/gpt-5.4", "claude/claude-sonnet-5-5", "openai/gpt-99-new"]);
    let several = estimate(&gateway, with(question("", 50), "model", named)).await;
    let list = several["estimates"].as_array().unwrap_or_else(|| panic!("{several}"));
    assert_eq!((list.len(), &list[0]["estimated_cost_usd"]), (3, &one["estimated_cost_usd"]), "{several}");
    assert!(list[2]["estimated_cost_usd"].is_null() && list[2]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{several}");
    for provider in ADAPTERS {
        assert_eq!(simulator.count(provider, "requests").await, 0, "{provider}");
    }
    let unknown = json(gateway.gateway_query(question("openai/gpt-99-new", 50)).await).await;
    assert!(unknown["cost_usd"].is_null() && unknown["response"].is_string(), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_own_price_counts() {
    let simulator = Simulator::start();
    let toml = "[prices.\"openai/gpt-99-new\"]\ninput = 2\noutput = \"4.5\"\n";
    let gateway = Setup::simulated(&simulator).config(toml).start();
    let counts = object!({"model": "openai/gpt-99-new", "input_tokens": 1000, "output_tokens": 100});
    let estimated = estimate(&gateway, counts).await;
    assert!(same(dollars(&estimated["estimated_cost_usd"]), 0.002 + 0.00045), "{estimated}");
    assert_eq!(estimated["price_source"], "gateway_toml");
    assert!(number(&gateway.gateway_query(question("openai/gpt-99-new", 50)).await, "x-gateway-cost-usd") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_lowers_what_may_be_written_until_it_fits() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for (provider, model) in MODELS {
        let body = question(model, 4000);
        let uncapped = dry_run(&gateway, body.clone()).await;
        assert_eq!(uncapped["cap"], Value::Null, "{provider}");
        let worst = dollars(&uncapped["estimate"]["max_cost_usd"]);
        let fits = dry_run(&gateway, with(body.clone(), "max_cost_usd", worst * 1.01)).await;
        assert_eq!(fits["cap"]["verdict"], "fits", "{provider}: {fits}");

        let cap = worst / 2.0;
        let capped = with(body.clone(), "max_cost_usd", cap);
        let lowered = dry_run(&gateway, capped.clone()).await;
        assert_eq!(lowered["cap"]["verdict"], "lowered", "{provider}: {lowered}");
        let allowed = lowered["cap"]["max_output_tokens"].as_u64().unwrap();
        assert!((1..4000).contains(&allowed), "{provider}: {allowed}");
        let response = gateway.gateway_query(capped).await;
        assert_eq!(response.status(), 200, "{provider}");
        assert!(number(&response, "x-gateway-cost-usd") <= cap, "{provider}");
        assert_eq!(output_cap(&simulator.last_request(provider).await["body"]), allowed, "{provider}");

        let asked = simulator.count(provider, "requests").await;
        let never = with(body, "max_cost_usd", 1e-9);
        assert_eq!(dry_run(&gateway, never.clone()).await["cap"]["verdict"], "refused", "{provider}");
        let refused = gateway.gateway_query(never).await;
        assert_eq!(
            (refused.status().as_u16(), header(&refused, "x-gateway-error-origin").as_deref()),
            (402, Some("gateway")),
            "{provider}"
        );
        let error = json(refused).await;
        assert!(error["error"].as_str().unwrap().contains("0.000000001"), "{provider}: {error}");
        assert_eq!(simulator.count(provider, "requests").await, asked, "{provider}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_limit_of_its_own_gets_one_from_its_cap() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    for (provider, model) in MODELS {
        let body = object!({"model": model, "query": TEXT, "max_cost_usd": 0.01});
        assert_eq!(gateway.gateway_query(body).await.status(), 200, "{provider}");
        let cap = output_cap(&simulator.last_request(provider).await["body"]);
        let prices = estimate(&gateway, object!({"model": model, "input_tokens": 0, "output_tokens": cap})).await;
        assert!(dollars(&prices["estimated_cost_usd"]) <= 0.01, "{provider}: {cap}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_on_a_model_without_a_price_is_refused() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).start();
    let refused = gateway.gateway_query(with(question("openai/gpt-99-new", 100), "max_cost_usd", 1)).await;
    assert_eq!(refused.status(), 402);
    assert!(json(refused).await["error"].as_str().unwrap().contains("price"));
    for wrong in [object!(-1), object!(0), object!("cheap"), object!(1e300)] {
        let refused = gateway.gateway_query(with(question("openai/gpt-5.4", 100), "max_cost_usd", wrong.clone())).await;
        assert_eq!(refused.status(), 400, "{wrong}");
    }
    assert_eq!(simulator.count("openai", "requests").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_and_fallbacks_count_against_one_cap() {
    let simulator = Simulator::start();
    let toml = "[routes.main]\ntargets = [\"openai/gpt-5.4\", \"mistral/mistral-medium-3-5\"]\n[breaker]\nmin_requests = 1000\n";
    let gateway = Setup::simulated(&simulator).config(toml).env("RETRY_BUDGET", "1").start();
    let body = question("main", 400);
    let worst = dollars(&dry_run(&gateway, question("openai/gpt-5.4", 400)).await["estimate"]["max_cost_usd"]);
    for share in [0.5, 1.0, 1.5, 2.5, 4.0, 8.0] {
        // Answers that were paid for, and came to nothing.
        simulator.script("openai", &["truncate;text-bytes=4000"; 4]).await;
        let cap = worst * share;
        let response = gateway.gateway_query(with(body.clone(), "max_cost_usd", cap)).await;
        let (status, id) = (response.status().as_u16(), header(&response, "x-request-id").unwrap());
        simulator.recover().await;
        let request = json(gateway.get(&format!("/admin/requests/{id}")).send().await.unwrap()).await["request"].clone();
        let attempts = request["attempts"].as_array().unwrap();
        let sum: f64 = attempts.iter().map(|attempt| dollars(&attempt["cost_usd"])).sum();
        let total = dollars(&request["cost_usd"]);
        println!("cap {cap}: {status} after {} attempts for {total}", attempts.len());
        assert!(!attempts.is_empty() && total > 0.0 && same(total, sum), "{request}");
        assert!(total <= cap, "{total} of {cap}: {request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_exactly_what_would_be_sent() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("CACHE_ENABLED", "true").start();
    for (provider, model) in MODELS {
        let body = with(with(question(model, 77), "system", "Be brief."), "temperature", 0.5);
        let shown = dry_run(&gateway, body.clone()).await;
        assert_eq!(simulator.count(provider, "requests").await, 0, "{provider}");
        assert_eq!((&shown["dry_run"], &shown["cached"], &shown["cap"]), (&object!(true), &object!(false), &Value::Null), "{shown}");
        assert!(shown["plan"].as_array().is_some_and(|plan| plan.len() == 1), "{shown}");
        let estimate = &shown["estimate"];
        assert!(dollars(&estimate["cost_usd"]) <= dollars(&estimate["max_cost_usd"]), "{provider}: {estimate}");
        assert!(estimate["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{provider}: {estimate}");

        assert_eq!(gateway.gateway_query(body).await.status(), 200, "{provider}");
        let (sent, would_be) = (simulator.last_request(provider).await, &shown["upstream_request"]);
        assert_eq!((&would_be["body"], &would_be["method"]), (&sent["body"], &sent["method"]), "{provider}");
        let path = sent["path"].as_str().unwrap();
        assert!(would_be["url"].as_str().is_some_and(|url| url.starts_with(&simulator.origin) && url.contains(path)), "{shown}");
        let headers = would_be["headers"].as_object().unwrap_or_else(|| panic!("{shown}"));
        assert!(headers.values().any(|value| value.as_str().is_some_and(|value| value.contains("redacted"))), "{provider}: {headers:?}");
        for name in headers.keys() {
            assert!(sent["headers"].get(name.to_lowercase()).is_some(), "{provider}: {name} is not sent");
        }
        assert!(!shown.to_string().contains(&format!("secret-{provider}-key")), "{shown}");
        assert!(shown["dropped"].is_array(), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_knows_the_cache_and_what_is_left_out() {
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("CACHE_ENABLED", "true").start();
    let body = question("openai/gpt-5.4", 77);
    assert_eq!(dry_run(&gateway, body.clone()).await["cache"]["outcome"], "miss");
    assert_eq!(gateway.gateway_query(body.clone()).await.status(), 200);
    assert_eq!(dry_run(&gateway, body.clone()).await["cache"]["outcome"], "hit");
    let chance = with(body, "temperature", 1);
    assert_eq!(dry_run(&gateway, chance.clone()).await["cache"]["outcome"], "off");
    // This one thinks on its own, and takes no temperature.
    let shown = dry_run(&gateway, with(chance, "model", "openai/gpt-5.6-sol")).await;
    let dropped = shown["dropped"].as_array().unwrap_or_else(|| panic!("{shown}"));
    assert!(dropped.iter().any(|one| one["parameter"] == "temperature" && one["reason"].is_string()), "{shown}");
    assert!(shown["upstream_request"]["body"].get("temperature").is_none(), "{shown}");
    let rows = gateway.rows("").await;
    assert!(rows.iter().all(|row| row["cost_usd"].as_f64().is_some()) && simulator.count("openai", "requests").await == 1, "{rows:?}");
}
