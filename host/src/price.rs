//! What models cost, in US dollars per token.
//!
//! Owns: the embedded price list (`genai-prices`, with the dates from which its prices hold), and an adapter's own prices where the list knows none. Pure but
//! for the list's being read once. Not here: what a request cost.

use crate::contract::ModelInfo;
use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};
use serde::Serialize;
use std::time::SystemTime;

/// Tokens of the made-up request that prices are read from: few enough for no long-context tier, and enough for f64 to be exact in the digits that prices
/// have.
const SAMPLE: f64 = 1000.0;

/// Prices of one model, per token, at its base tier.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Price {
    #[serde(rename = "price_per_input_token")]
    pub input: f64,
    #[serde(rename = "price_per_output_token")]
    pub output: f64,
    #[serde(rename = "price_per_cache_read_token", skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<f64>,
    #[serde(rename = "price_per_cache_write_token", skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

/// Reads the list, which takes some milliseconds, so that no request does.
pub fn load() {
    let _read_once = Calculator::bundled();
}

/// What a model of a provider's plugin costs at a time. Absent: nobody says.
pub fn of_model(plugin: &str, model: &ModelInfo, at: SystemTime) -> Option<Price> {
    of_named(plugin, &model.id, Some(model), at)
}

/// The same of a model that the plugin may not know.
pub fn of_named(plugin: &str, name: &str, known: Option<&ModelInfo>, at: SystemTime) -> Option<Price> {
    listed(plugin, known.map_or(name, |model| &model.id), at).or_else(|| told(known?))
}

/// The list's names of those who run the shipped plugins' models.
fn listed_provider(plugin: &str) -> Option<&'static str> {
    match plugin {
        "openai" => Some("openai"),
        "gemini" => Some("google"),
        "mistral" => Some("mistral"),
        "claude" => Some("anthropic"),
        _ => None,
    }
}

fn listed(plugin: &str, model: &str, at: SystemTime) -> Option<Price> {
    let provider = listed_provider(plugin)?;
    let of = |counts: &[(UsageKey, f64)]| {
        let usage: Usage = counts.iter().cloned().collect();
        let request = PriceRequest::new(model, &usage).with_provider_id(provider).with_timestamp(at);
        let price = Calculator::bundled().calculate(&request).ok()?;
        // A model that the provider is not known to have is priced by another's.
        (price.provider_id == provider).then_some(price.total_price / SAMPLE)
    };
    let input = of(&[(UsageKey::INPUT_TOKENS, SAMPLE)])?;
    let cached = |key: UsageKey| of(&[(UsageKey::INPUT_TOKENS, SAMPLE), (key, SAMPLE)]).filter(|price| *price > 0.0 && *price != input);
    Some(Price {
        input: exact(input),
        output: exact(of(&[(UsageKey::OUTPUT_TOKENS, SAMPLE)])?),
        cache_read: cached(UsageKey::CACHE_READ_TOKENS).map(exact),
        cache_write: cached(UsageKey::CACHE_WRITE_TOKENS).map(exact),
    })
}

fn told(model: &ModelInfo) -> Option<Price> {
    let price = model.price.as_ref()?;
    let per_token = |per_million: &str| {
        per_million.parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0).map(|price| exact(price / 1e6))
    };
    Some(Price {
        input: per_token(&price.input)?,
        output: per_token(&price.output)?,
        cache_read: price.cache_read.as_deref().and_then(per_token),
        cache_write: price.cache_write.as_deref().and_then(per_token),
    })
}

/// Without the noise of binary fractions: no price has more than twelve decimals.
fn exact(price: f64) -> f64 {
    (price * 1e12).round() / 1e12
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::Price as Told;

    fn model(id: &str, price: Option<Told>) -> ModelInfo {
        ModelInfo {
            id: id.to_owned(),
            name: None,
            aliases: Vec::new(),
            context_window: None,
            max_output: None,
            capabilities: None,
            price,
            suited_to: Vec::new(),
            retires: None,
            extras: Vec::new(),
        }
    }

    /// 25 November 2026.
    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_564_800)
    }

    #[test]
    fn a_listed_model_has_the_published_price() {
        // https://openai.com/api/pricing: gpt-4o, 2.50 in, 1.25 cached, 10.00 out for a million.
        let price = of_model("openai", &model("gpt-4o", None), at()).unwrap();
        assert_eq!(price, Price { input: 2.5e-6, output: 1e-5, cache_read: Some(1.25e-6), cache_write: None });
    }

    #[test]
    fn an_unlisted_model_has_its_adapters_price_or_none() {
        let told = Told { input: "0.5".into(), output: "1.5".into(), cache_read: None, cache_write: Some("free".into()) };
        let price = of_model("acme", &model("rocket", Some(told)), at()).unwrap();
        assert_eq!(price, Price { input: 5e-7, output: 1.5e-6, cache_read: None, cache_write: None });
        assert_eq!(of_model("acme", &model("gpt-4o", None), at()), None);
        assert_eq!(of_model("openai", &model("no-such-model", None), at()), None);
    }
}
