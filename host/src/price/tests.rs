#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::provider::State;
use genai_prices::{Calculator, PriceRequest, UsageKey};
use proptest::prelude::*;
use std::time::Duration;

/// 25 November 2026.
const TODAY: u64 = 1_795_564_800;
const NEW_YEAR: u64 = 1_798_761_600;

fn on(day: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(day)
}

/// Of the plugin that has its name.
fn provider(id: &str) -> Provider {
    Provider { id: id.to_owned(), state: State::Unavailable { reason: String::new(), version: None } }
}

fn listed(plugin: &str, model: &str) -> Arc<ModelPrice> {
    of_provider(&Rules::default(), &provider(plugin), model, on(TODAY)).unwrap_or_else(|| panic!("{plugin}/{model} has no price"))
}

fn usage(input: u32, output: u32) -> Usage {
    Usage { input: Some(input), cache_read: None, cache_write: None, output: Some(output), reasoning: None, details: Vec::new() }
}

/// Of a million tokens of each kind, as they would cost in a prompt of so many tokens: input, read, written, written for an hour, output.
fn per_million_at(price: &ModelPrice, prompt: u64) -> [f64; 5] {
    let rates = price.rates(prompt);
    [rates.input, rates.cache_read, rates.cache_write, rates.cache_write_1h, rates.output].map(|rate| rate as f64 / 1e6)
}

/// https://developers.openai.com/api/docs/pricing, as it stood in April and May 2026; "standard rates apply to context lengths under 270K", above that
/// twice the input's and one and a half times the output's.
#[test]
fn openai_models_cost_what_the_published_page_says() {
    for (model, input, cached, output) in [
        ("gpt-5.5", 5.0, 0.5, 30.0),
        ("gpt-5.4", 2.5, 0.25, 15.0),
        ("gpt-5.4-mini", 0.75, 0.075, 4.5),
        ("gpt-5.4-nano", 0.2, 0.02, 1.25),
        ("gpt-5.2", 1.75, 0.175, 14.0),
        ("gpt-5.1", 1.25, 0.125, 10.0),
        // Without a price for cached input.
        ("gpt-5.5-pro", 30.0, 30.0, 180.0),
        ("gpt-5-pro", 15.0, 15.0, 120.0),
        // https://openai.com/api/pricing, 2025.
        ("gpt-4o", 2.5, 1.25, 10.0),
        ("gpt-4.1", 2.0, 0.5, 8.0),
    ] {
        assert_eq!(per_million_at(&listed("openai", model), 1000), [input, cached, input, input, output], "{model}");
    }
    for (model, input, cached, output) in [("gpt-5.5", 10.0, 1.0, 45.0), ("gpt-5.4", 5.0, 0.5, 22.5)] {
        assert_eq!(per_million_at(&listed("openai", model), 300_000), [input, cached, input, input, output], "{model}");
    }
}

/// https://platform.claude.com/docs/en/about-claude/pricing, read in October 2026. Of Haiku 5.5 prompts of more than 100,000 tokens cost five times as much.
#[test]
fn claude_models_cost_what_the_published_page_says() {
    for (model, input, written, for_an_hour, read, output) in [
        ("claude-fable-5-1", 10.0, 12.5, 20.0, 0.25, 50.0),
        ("claude-fable-5", 10.0, 12.5, 20.0, 1.0, 50.0),
        ("claude-opus-5-5", 4.0, 5.0, 8.0, 0.2, 20.0),
        ("claude-opus-5", 5.0, 6.25, 10.0, 0.5, 25.0),
        ("claude-opus-4-1", 15.0, 18.75, 30.0, 1.5, 75.0),
        ("claude-sonnet-5-5", 2.0, 2.5, 4.0, 0.1, 10.0),
        ("claude-sonnet-4-6", 3.0, 3.75, 6.0, 0.3, 15.0),
        ("claude-haiku-4-5", 1.0, 1.25, 2.0, 0.1, 5.0),
        ("claude-3-haiku-20240307", 0.25, 0.3, 0.5, 0.03, 1.25),
        ("claude-haiku-5-5", 0.1, 0.125, 0.2, 0.01, 0.5),
    ] {
        assert_eq!(per_million_at(&listed("claude", model), 1000), [input, read, written, for_an_hour, output], "{model}");
    }
    let haiku = listed("claude", "claude-haiku-5-5");
    assert_eq!(per_million_at(&haiku, 100_000)[0], 0.1);
    assert_eq!(per_million_at(&haiku, 100_001), [0.5, 0.05, 0.625, 1.0, 2.5]);
    let mut searched = usage(0, 0);
    searched.details.push(("web-searches".into(), 3));
    assert_eq!(haiku.cost(&searched).other_usd.to_f64(), 0.03);
}

/// https://ai.google.dev/gemini-api/docs/pricing, read on 7 October 2026.
#[test]
fn gemini_models_cost_what_the_published_page_says() {
    for (model, prompt, input, output) in [
        ("gemini-3.5-flash", 1000, 1.5, 9.0),
        ("gemini-3.5-flash-lite", 1000, 0.3, 2.5),
        ("gemini-3.1-pro-preview", 200_000, 2.0, 12.0),
        ("gemini-3.1-pro-preview", 200_001, 4.0, 18.0),
        ("gemini-2.5-pro", 200_000, 1.25, 10.0),
        ("gemini-2.5-pro", 200_001, 2.5, 15.0),
        ("gemini-2.5-flash", 1_000_000, 0.3, 2.5),
        ("gemini-2.5-flash-lite", 1000, 0.1, 0.4),
        ("gemini-embedding-2", 1000, 0.2, 0.0),
    ] {
        let price = per_million_at(&listed("gemini", model), prompt);
        assert_eq!((price[0], price[4]), (input, output), "{model} at {prompt}");
    }
    let audio = Usage { details: vec![("input-audio".into(), 1_000_000)], ..usage(1_000_000, 0) };
    assert_eq!(listed("gemini", "gemini-2.5-flash").cost(&audio).total().to_f64(), 1.0);
    let images = Usage { details: vec![("output-image".into(), 1000)], ..usage(0, 1000) };
    assert_eq!(listed("gemini", "gemini-3-pro-image-preview").cost(&images).total().to_f64(), 0.12);
}

/// "$0.75 through December 31, 2026. $1.50 starting January 1, 2027": the same page.
#[test]
fn a_price_counts_from_its_date() {
    let at = |day| of_provider(&Rules::default(), &provider("gemini"), "gemini-3.8-flash", on(day)).unwrap();
    let prices = [NEW_YEAR - 1, NEW_YEAR].map(|day| per_million_at(&at(day), 1000));
    assert_eq!(prices.map(|price| (price[0], price[4])), [(0.75, 3.75), (1.5, 7.5)]);
}

/// https://mistral.ai/pricing/api, as it stood in June 2026; cached input is a tenth.
#[test]
fn mistral_models_cost_what_the_published_page_says() {
    for (model, input, cached, output) in [
        ("mistral-medium-latest", 1.5, 0.15, 7.5),
        ("mistral-large-2512", 0.5, 0.05, 1.5),
        ("ministral-3b-2512", 0.1, 0.01, 0.1),
        ("ministral-8b-2512", 0.15, 0.015, 0.15),
        ("codestral-2508", 0.3, 0.03, 0.9),
        ("devstral-2512", 0.4, 0.04, 2.0),
    ] {
        assert_eq!(per_million_at(&listed("mistral", model), 1000), [input, cached, input, input, output], "{model}");
    }
}

/// Usage, and the same in the list's own words.
fn same_usage(input: u32, [read, written, hour, audio, image]: [u32; 5], output: u32, spoken: u32) -> (Usage, genai_prices::Usage) {
    let details = [("cache-write-1h", hour), ("input-audio", audio), ("input-image", image), ("output-audio", spoken)];
    let ours = Usage {
        cache_read: Some(read),
        cache_write: Some(written),
        details: details.map(|(name, count)| (name.to_owned(), count)).to_vec(),
        ..usage(input, output)
    };
    let theirs = [
        (UsageKey::INPUT_TOKENS, input),
        (UsageKey::CACHE_READ_TOKENS, read),
        (UsageKey::CACHE_WRITE_TOKENS, written),
        (UsageKey::CACHE_WRITE_1H_TOKENS, hour),
        (UsageKey::INPUT_AUDIO_TOKENS, audio),
        (UsageKey::INPUT_IMAGE_TOKENS, image),
        // Of what is cached, none is a medium while the rest has room for them.
        (UsageKey::CACHE_AUDIO_READ_TOKENS, 0),
        (UsageKey::CACHE_IMAGE_READ_TOKENS, 0),
        (UsageKey::OUTPUT_TOKENS, output),
        (UsageKey::OUTPUT_AUDIO_TOKENS, spoken),
    ];
    (ours, theirs.into_iter().map(|(key, count)| (key, f64::from(count))).collect())
}

#[test]
fn every_listed_model_costs_what_the_list_calculates() {
    let parts = [
        [0; 5],
        [500, 0, 0, 0, 0],
        [100, 300, 0, 0, 0],
        [100, 300, 200, 0, 0],
        [0, 300, 300, 50, 0],
        [300, 0, 0, 100, 200],
        [0, 0, 0, 999, 1],
    ];
    let mut compared = 0;
    for plugin in ["openai", "gemini", "mistral", "claude"] {
        let list = match plugin {
            "gemini" => "google",
            "claude" => "anthropic",
            other => other,
        };
        let models = Calculator::bundled().find_provider(Some(list), None).unwrap().unwrap().models();
        for model in models.map(|model| model.id()) {
            for (day, tier) in [
                (TODAY, None),
                (NEW_YEAR, None),
                (1_735_689_600, None),
                (TODAY, Some(ServiceTier::Priority)),
                (TODAY, Some(ServiceTier::Flex)),
            ] {
                let Some(price) = of_provider(&Rules::default(), &provider(plugin), model, on(day)) else { continue };
                let price = price.in_tier(tier).unwrap();
                for thousands in [1, 99, 100, 127, 129, 200, 201, 271, 273, 900] {
                    for parts in parts {
                        let (ours, theirs) =
                            same_usage(thousands * 1000, parts.map(|part| part * thousands), 777 * thousands, 70 * thousands);
                        let request = PriceRequest::new(model, &theirs).with_provider_id(list).with_timestamp(on(day));
                        let request = match tier {
                            Some(tier) => request.with_price_context("service_tier", tier.word()),
                            None => request,
                        };
                        let calculated = Calculator::bundled().calculate(&request).unwrap().total_price;
                        let cost = price.cost(&ours).total();
                        assert_eq!(i128::from(cost.picos()), (calculated * PICOS).round() as i128, "{list}/{model} on {day}: {theirs:?}");
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 50_000, "{compared}");
}

#[test]
fn a_service_tier_costs_what_it_is_listed_at() {
    let extras = |value: &str| vec![Native { dialect: "openai".into(), value: value.into() }];
    let price = listed("openai", "gpt-5.4");
    let input = |tier| price.in_tier(tier).unwrap().rates(1000).input;
    assert!(input(Some(ServiceTier::Flex)) < input(None) && input(None) < input(Some(ServiceTier::Priority)));
    assert_eq!(ServiceTier::of_extras(&extras(r#"{"service_tier":"flex"}"#)), Some(ServiceTier::Flex));
    assert_eq!(ServiceTier::of_extras(&extras(r#"{"serviceTier":"PRIORITY"}"#)), Some(ServiceTier::Priority));
    for standard in [r#"{"service_tier":"default"}"#, r#"{"service_tier":null}"#, "{}", "service"] {
        assert_eq!(ServiceTier::of_extras(&extras(standard)), None, "{standard}");
    }
    for usual in [r#"{"speed":"standard","inference_geo":"global"}"#, r#"{"service_tier":"standard_only","inference_geo":null}"#] {
        assert_eq!(ServiceTier::of_extras(&extras(usual)), None, "{usual}");
    }
}

#[test]
fn terms_that_no_list_has_have_only_the_operators_price() {
    let own = Arc::new(ModelPrice::new(PriceSource::GatewayToml, Rates::of_text(1, 2), Vec::new()));
    let listed = listed("claude", "claude-opus-5");
    for terms in [r#"{"speed":"fast","service_tier":"standard"}"#, r#"{"inference_geo":"us"}"#, r#"{"service_tier":"ultrafast"}"#] {
        let mut request = crate::domain::chat_request("m".into(), Vec::new());
        request.extras.push(Native { dialect: "d".into(), value: terms.into() });
        assert_eq!(ServiceTier::of_extras(&request.extras), Some(ServiceTier::Other), "{terms}");
        assert!(listed.for_request(&request).is_none() && own.for_request(&request).is_some(), "{terms}");
    }
}

#[test]
fn the_most_that_a_request_can_cost_leaves_out_what_is_not_in_it() {
    let request = crate::domain::chat_request("m".into(), Vec::new());
    let most = |plugin: &str, model: &str, request: &ChatRequest| {
        listed(plugin, model).for_request(request).unwrap().at_most(1_000_000, 0).to_f64()
    };
    assert_eq!(most("gemini", "gemini-2.5-flash", &request), 0.3, "no sound, which costs a dollar");
    assert_eq!(most("claude", "claude-opus-5", &request), 6.25, "it may be written to a cache, but not for an hour");
    assert_eq!(listed("claude", "claude-opus-5").at_most(1_000_000, 0).to_f64(), 10.0);
    let mut priority = request;
    priority.extras.push(Native { dialect: "openai".into(), value: r#"{"service_tier":"priority"}"#.into() });
    assert!(most("openai", "gpt-5.4-mini", &priority) > 0.75, "it asks to be served first");
}

#[test]
fn a_model_without_a_listed_price_for_tokens_has_none() {
    let of = |plugin: &str, model: &str| of_provider(&Rules::default(), &provider(plugin), model, on(TODAY));
    assert_eq!(of("openai", "no-such-model"), None);
    assert_eq!(of("acme", "gpt-4o"), None, "another's model of the same name");
    assert_eq!(of("openai", "whisper-1"), None, "priced by the minute");
}

#[test]
fn an_operators_price_goes_first_also_for_an_answer_of_another_build() {
    let mut rules = Rules::default();
    let own = Arc::new(ModelPrice::new(PriceSource::GatewayToml, Rates::of_text(1, 2), Vec::new()));
    rules.prices.insert("openai/gpt-5.4".into(), Arc::clone(&own));
    let openai = provider("openai");
    let of = |answered: Option<&str>, asked: &str| of_answered(&rules, &openai, answered, asked, on(TODAY)).unwrap();
    assert_eq!(of(None, "gpt-5.4"), own);
    assert_eq!(of(Some("gpt-5.4-2026-08-01"), "gpt-5.4"), own);
    assert_eq!(of(Some("gpt-5.4"), "mine"), own);
    assert_eq!(of(Some("gpt-5.5"), "mine"), listed("openai", "gpt-5.5"), "billed by the answer's");
    assert_eq!(of(Some("my-tuned-one"), "gpt-5.5"), listed("openai", "gpt-5.5"), "else by what was asked");
    assert_eq!(of(Some(&"x".repeat(300)), "gpt-5.5").source, PriceSource::GenaiPrices);
    let second = of_provider(&rules, &provider("openai-eu"), "gpt-5.4", on(TODAY));
    assert_eq!(second, None, "another provider's");
}

#[test]
fn a_price_is_decimal_text_with_at_most_six_decimals() {
    let rates = ["1.25", "0", "0.000001", "1000000", "10.0000000"].map(per_million);
    assert_eq!(rates, [Some(1_250_000), Some(0), Some(1), Some(1_000_000_000_000), Some(10_000_000)]);
    for wrong in ["", "free", "-1", "1000000.01", "0.0000001", "1e3", "NaN"] {
        assert_eq!(per_million(wrong), None, "{wrong}");
    }
}

#[test]
fn counts_that_contradict_each_other_cost_no_more_than_the_whole() {
    let price = ModelPrice::new(PriceSource::Adapter, Rates::of_text(10, 10).with_cached(1, 12, 20), Vec::new());
    let wrong = Usage {
        cache_read: Some(500),
        cache_write: Some(500),
        details: vec![("cache-write-1h".into(), 900), ("input-audio".into(), 900), ("output-image".into(), 900)],
        ..usage(100, 100)
    };
    assert_eq!(price.cost(&wrong).total().picos(), 100 + 1000);
}

#[test]
fn media_in_a_prompt_are_cached_only_as_far_as_nothing_else_can_be() {
    let rates = Rates { input_audio: 100, cache_read_audio: 10, ..Rates::of_text(10, 0).with_cached(1, 0, 0) };
    let price = ModelPrice::new(PriceSource::Adapter, rates, Vec::new());
    let cost =
        |audio| price.cost(&Usage { cache_read: Some(60), details: vec![("input-audio".into(), audio)], ..usage(100, 0) }).total().picos();
    assert_eq!(cost(30), 60 + 10 * 10 + 30 * 100);
    assert_eq!(cost(50), 50 + 10 * 10 + 40 * 100);
}

fn rates() -> impl Strategy<Value = Rates> {
    proptest::array::uniform12(0..1_000_000_000_u64).prop_map(|rates| Rates {
        input: rates[0],
        input_audio: rates[1],
        input_image: rates[2],
        cache_read: rates[3],
        cache_read_audio: rates[4],
        cache_read_image: rates[5],
        cache_write: rates[6],
        cache_write_1h: rates[7],
        output: rates[8],
        output_audio: rates[9],
        output_image: rates[10],
        web_search: rates[11],
    })
}

fn prices() -> impl Strategy<Value = ModelPrice> {
    (rates(), proptest::collection::btree_map(1..1_000_000_u64, rates(), 0..3))
        .prop_map(|(base, long)| ModelPrice::new(PriceSource::Adapter, base, long.into_iter().collect()))
}

fn any_usage() -> impl Strategy<Value = Usage> {
    let count = || proptest::option::of(0..2_000_000_u32);
    let names = ["cache-write-1h", "input-audio", "input-image", "output-audio", "output-image", "estimated"];
    let details = proptest::collection::vec((proptest::sample::select(names.to_vec()), 0..2_000_000_u32), 0..4);
    (count(), count(), count(), count(), details).prop_map(|(input, cache_read, cache_write, output, details)| Usage {
        input,
        cache_read,
        cache_write,
        output,
        reasoning: None,
        details: details.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
    })
}

proptest! {
    #[test]
    fn parts_add_up_to_the_total_and_never_pass_the_most(price in prices(), usage in any_usage()) {
        let cost = price.cost(&usage);
        let parts = [cost.input_usd, cost.cache_read_usd, cost.cache_write_usd, cost.output_usd, cost.other_usd];
        prop_assert_eq!(parts.map(Usd::picos).iter().sum::<i64>(), cost.total().picos());
        let most = price.at_most(usage.input.unwrap_or(0).into(), usage.output.unwrap_or(0).into());
        prop_assert!(cost.total() <= most);
    }

    #[test]
    fn more_tokens_never_cost_less_at_most(price in prices(), input in 0..2_000_000_u64, output in 0..2_000_000_u64, more in 0..1000_u64) {
        let most = price.at_most(input, output);
        prop_assert!(price.at_most(input + more, output) >= most);
        prop_assert!(price.at_most(input, output + more) >= most);
        let flat = ModelPrice::new(price.source, price.base, Vec::new());
        let (input, output, more) = (input as u32, output as u32, more as u32);
        prop_assert!(flat.cost(&usage(input + more, output)).total() >= flat.cost(&usage(input, output)).total());
    }

    #[test]
    fn output_within_a_limit_costs_no_more_and_one_token_more_would(price in prices(), input in 0..2_000_000_u64, limit in 0..10_000_000_000_000_i64) {
        let limit = Usd::from_picos(limit);
        match price.output_within(input, limit) {
            None => prop_assert!(price.at_most(input, 0) > limit),
            Some(u64::MAX) => {}
            Some(output) => {
                prop_assert!(price.at_most(input, output) <= limit);
                prop_assert!(price.at_most(input, output + 1) > limit);
            }
        }
    }
}

#[test]
fn a_limit_of_less_than_a_picodollar_more_buys_nothing_more() {
    let price = ModelPrice::new(PriceSource::Adapter, Rates::of_text(0, 1), Vec::new());
    assert_eq!(price.output_within(0, Usd::from_f64(1.5e-12).unwrap()), Some(1));
}

#[test]
fn what_nobody_can_pay_is_the_most_there_is() {
    let price = ModelPrice::new(PriceSource::Adapter, Rates::of_text(u64::MAX, u64::MAX), Vec::new());
    assert_eq!(price.at_most(u64::MAX, u64::MAX), Usd::MAX);
    assert_eq!(price.cost(&usage(u32::MAX, u32::MAX)).input_usd, Usd::MAX);
}
