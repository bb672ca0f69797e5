//! What a prompt would cost: said without asking anybody, also of providers that could not be asked.

use crate::support::{ADAPTERS, Gateway, Setup, Simulator, json};
use serde_json::{Value, json as object};

const PATH: &str = "/v1/gateway/cost-estimate";

/// With the shipped adapters, and no key for any.
fn without_keys() -> Gateway {
    let setup = Setup::bare();
    ADAPTERS.iter().for_each(|adapter| setup.copy_adapter(adapter));
    setup.start()
}

async fn estimated(gateway: &Gateway, body: Value) -> (u16, Value) {
    let response = gateway.post(PATH).json(&body).send().await.unwrap();
    (response.status().as_u16(), json(response).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_is_that_of_the_prompt_and_the_output_with_its_parts() {
    let gateway = without_keys();
    let (status, told) = estimated(&gateway, object!({"model": "openai/gpt-4o", "query": "Hello there", "max_tokens": 100})).await;
    assert_eq!(status, 200, "{told}");
    let tokens = told["input_tokens"].as_u64().unwrap();
    assert!((2..20).contains(&tokens), "{told}");
    let input = tokens as f64 * 25.0 / 1e7;
    assert_eq!(told["breakdown"]["input_usd"], input, "{told}");
    assert_eq!(told["breakdown"]["output_usd"], 0.001, "{told}");
    assert!((told["estimated_cost_usd"].as_f64().unwrap() - input - 0.001).abs() < 1e-12, "{told}");
    assert_eq!((&told["price_per_input_token"], &told["price_per_output_token"]), (&object!(2.5e-6), &object!(1e-5)), "{told}");
    assert_eq!((&told["model"], &told["model_version"]), (&object!("openai"), &object!("gpt-4o")), "{told}");
    assert_eq!((&told["price_source"], &told["estimated"]), (&object!("genai_prices"), &object!(true)), "{told}");
    assert_eq!((&told["output_tokens"], &told["output_tokens_assumed"]), (&object!(100), &object!(false)), "{told}");
    assert!(told["price_date"].as_str().is_some_and(|date| date.len() == 10) && told["request_id"].is_string(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_models_are_estimated_at_once_each_for_itself() {
    let gateway = without_keys();
    let models = ["claude/claude-opus-5", "openai", "openai/my-own-model", "nobody/nothing"];
    let (status, told) = estimated(&gateway, object!({"model": models, "input_tokens": 1_000_000, "request_id": "mine"})).await;
    assert_eq!((status, &told["request_id"]), (200, &object!("mine")), "{told}");
    let estimates = told["estimates"].as_array().unwrap();
    assert_eq!(estimates.len(), 4, "{told}");
    assert_eq!(estimates[0]["estimated_cost_usd"], 5.025, "{told}");
    assert_eq!((&estimates[0]["output_tokens"], &estimates[0]["output_tokens_assumed"]), (&object!(1000), &object!(true)), "{told}");
    assert!(estimates[1]["model_version"].is_string() && estimates[1]["estimated_cost_usd"].is_number(), "{told}");
    assert!(estimates[2]["estimated_cost_usd"].is_null() && estimates[2]["price_per_input_token"].is_null(), "{told}");
    assert!(estimates[2]["reason"].as_str().unwrap().contains("gateway.toml"), "{told}");
    assert!(estimates[3]["error"].as_str().unwrap().contains("nobody/nothing"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_price_counts_and_long_prompts_have_their_own() {
    let simulator = Simulator::start();
    let toml = "[routes.mine]\ntargets = [\"openai/own\"]\n[prices.\"openai/own\"]\ninput = 1\noutput = \"2\"\nabove = [{ input_tokens = 1000, input = 10 }]\n";
    let gateway = Setup::simulated(&simulator).config(toml).start();
    for (tokens, cost) in [(1000, 0.001_02), (1001, 0.010_03)] {
        let (_, told) = estimated(&gateway, object!({"model": "mine", "input_tokens": tokens, "output_tokens": 10})).await;
        assert_eq!((&told["estimated_cost_usd"], &told["price_source"]), (&object!(cost), &object!("gateway_toml")), "{told}");
    }
    let shown = json(gateway.get("/admin/config").send().await.unwrap()).await;
    assert_eq!(shown["prices"]["openai/own"][1]["input"], 10.0, "{shown}");
    for provider in ADAPTERS {
        assert_eq!(simulator.count(provider, "requests").await, 0, "{provider}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_question_is_refused_with_the_field() {
    let gateway = without_keys();
    for (body, status, said) in [
        (object!({"model": "openai"}), 400, "`query`"),
        (object!({"model": "openai", "input_tokens": -1}), 400, "`input_tokens`"),
        (object!({"model": "nobody/nothing", "input_tokens": 1}), 404, "nobody/nothing"),
    ] {
        let (got, told) = estimated(&gateway, body).await;
        assert!(got == status && told["error"].as_str().unwrap().contains(said), "{got} {told}");
        assert!(told["code"].is_string() && told["request_id"].is_string(), "{told}");
    }
}
