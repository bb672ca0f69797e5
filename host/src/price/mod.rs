//! What models cost, in US dollars, exactly.
//!
//! Owns: a model's rates by kind of token and by the prompt's length, what usage costs by them, the most that it can cost, and whose price counts: the
//! operator's (`gateway.toml`), else the embedded list's (`listed`), else the adapter's own. Not here: amounts (`money`), how overrides are written
//! (`config::pricing`), what becomes of requests that nobody has a price for.
//!
//! A rate is a whole number of picodollars, for no price per million tokens has more than six decimals. So every sum is one of whole numbers, and exact.

mod asked;
mod listed;

use crate::config::Rules;
use crate::contract::{ChatRequest, ModelInfo, Native, Usage};
use crate::money::Usd;
use crate::provider::Provider;
use asked::Asked;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Serialize;
use std::sync::Arc;
use std::time::SystemTime;

/// Of a model's id in an answer: longer ones are no names.
const MAX_MODEL_BYTES: usize = 256;
const PICOS: f64 = 1e12;
/// Picodollars per token that are a dollar per million tokens.
const PER_MILLION: u32 = 1_000_000;
const MAX_DOLLARS_PER_MILLION: u32 = 1_000_000;

/// What a model's tokens cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrice {
    pub source: PriceSource,
    base: Rates,
    /// Of longer prompts: each counts from more than so many tokens on. Ascending.
    long: Vec<(u64, Rates)>,
    /// In the service tiers that cost something else.
    tiers: Vec<(ServiceTier, Arc<ModelPrice>)>,
}

/// Who says what a model costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    GatewayToml,
    /// The embedded list, as it stands on the day that is asked for.
    GenaiPrices,
    Adapter,
}

/// What callers may ask a provider to be served as, where it is not the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceTier {
    Flex,
    Priority,
    Fast,
    /// With other terms, of which no list says what they cost.
    Other,
}

/// Picodollars for each token of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of text that is neither read from a cache nor written to one.
    pub input: u64,
    pub input_audio: u64,
    pub input_image: u64,
    pub cache_read: u64,
    pub cache_read_audio: u64,
    pub cache_read_image: u64,
    /// For the shortest time that the provider keeps it (Anthropic: five minutes).
    pub cache_write: u64,
    pub cache_write_1h: u64,
    /// Of text, reasoning included.
    pub output: u64,
    pub output_audio: u64,
    pub output_image: u64,
    /// For each search.
    pub web_search: u64,
}

/// What an answer cost, by what was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Of tokens that are neither read from a cache nor written to one.
    pub input_usd: Usd,
    pub cache_read_usd: Usd,
    pub cache_write_usd: Usd,
    /// Reasoning included.
    pub output_usd: Usd,
    /// Searches and the like.
    pub other_usd: Usd,
}

/// Prices in US dollars per token, as they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PerToken {
    #[serde(rename = "price_per_input_token")]
    pub input: f64,
    #[serde(rename = "price_per_output_token")]
    pub output: f64,
    /// Absent: as any other input.
    #[serde(rename = "price_per_cache_read_token", skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<f64>,
    #[serde(rename = "price_per_cache_write_token", skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

/// Usage in tokens that cost the same, none counted twice.
struct Counts {
    prompt: u64,
    text: u64,
    audio: u64,
    image: u64,
    cache_read: u64,
    cache_read_audio: u64,
    cache_read_image: u64,
    cache_write: u64,
    cache_write_1h: u64,
    output: u64,
    output_audio: u64,
    output_image: u64,
    web_searches: u64,
}

/// What a model of a provider costs by a standard request. Absent: nobody says.
pub fn of_provider(rules: &Rules, provider: &Provider, model: &str, at: SystemTime) -> Option<Arc<ModelPrice>> {
    of_answered(rules, provider, None, model, at)
}

/// The same of the model that an answer names, which may be a dated build of the one that was asked; where nobody has a price for that, of the one that was
/// asked. An operator's price for either goes before the list's.
pub fn of_answered(rules: &Rules, provider: &Provider, answered: Option<&str>, asked: &str, at: SystemTime) -> Option<Arc<ModelPrice>> {
    let answered = answered.filter(|answered| *answered != asked && answered.len() <= MAX_MODEL_BYTES);
    let names = || answered.into_iter().chain([asked]);
    let plugin = provider.version().map_or(provider.id.as_str(), |version| version.info.id.as_str());
    names()
        .find_map(|name| overridden(rules, provider, name))
        .or_else(|| names().find_map(|name| listed::price(plugin, provider.model(name).map_or(name, |known| &known.id), at)))
        .or_else(|| names().find_map(|name| told(provider.model(name)?)))
}

/// Why a model has no price and what to do, for people.
pub fn unknown(provider: &Provider, model: &str) -> String {
    format!("the price of `{0}/{model}` is not known: set it in gateway.toml, under [prices.\"{0}/{model}\"]", provider.id)
}

/// Reads the list, which takes some milliseconds, so that no request does.
pub fn load() {
    listed::load();
}

fn overridden(rules: &Rules, provider: &Provider, name: &str) -> Option<Arc<ModelPrice>> {
    if rules.prices.is_empty() {
        return None;
    }
    let of = |name: &str| rules.prices.get(&format!("{}/{name}", provider.id)).cloned();
    of(name).or_else(|| of(&provider.model(name)?.id))
}

fn told(model: &ModelInfo) -> Option<Arc<ModelPrice>> {
    let price = model.price.as_ref()?;
    let rates = Rates::of_text(per_million(&price.input)?, per_million(&price.output)?);
    let optional = |text: &Option<String>| text.as_deref().and_then(per_million).unwrap_or(rates.input);
    let base = rates.with_cached(optional(&price.cache_read), optional(&price.cache_write), optional(&price.cache_write));
    Some(Arc::new(ModelPrice::new(PriceSource::Adapter, base, Vec::new())))
}

/// The rate of a price in US dollars per million tokens, as decimal text. Absent: it is none, or not from 0 to 1,000,000 with at most six decimals.
pub fn per_million(dollars: &str) -> Option<u64> {
    let dollars = Decimal::from_str_exact(dollars).ok()?;
    if !(Decimal::ZERO..=MAX_DOLLARS_PER_MILLION.into()).contains(&dollars) {
        return None;
    }
    let rate = dollars.checked_mul(PER_MILLION.into())?;
    rate.is_integer().then_some(rate)?.to_u64()
}

impl ServiceTier {
    const WORDS: [(&str, Self); 3] = [("flex", Self::Flex), ("priority", Self::Priority), ("fast", Self::Fast)];

    /// What a request asks for, or an answer was served as, among the fields without a name of our own. Absent: the standard, or not said.
    pub fn of_extras(extras: &[Native]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Terms {
            #[serde(alias = "serviceTier")]
            service_tier: Option<String>,
            speed: Option<String>,
            inference_geo: Option<String>,
        }
        let tells = |native: &&Native| ["ervice", "speed", "inference_geo"].iter().any(|word| native.value.contains(word));
        let terms = extras.iter().filter(tells).filter_map(|native| serde_json::from_str::<Terms>(&native.value).ok());
        let tiers = terms.flat_map(|terms| {
            let other = |word: Option<String>, usual: &[&str]| word.filter(|word| !is_among(word, usual)).map(|_| Self::Other);
            let geo = other(terms.inference_geo, &["global", "not_available"]);
            [terms.service_tier.and_then(|word| Self::of_word(&word)), other(terms.speed, &["standard"]), geo]
        });
        tiers.flatten().reduce(|one, other| if one == Self::Other { one } else { other })
    }

    fn of_word(word: &str) -> Option<Self> {
        const STANDARD: [&str; 6] = ["auto", "default", "standard", "standard_only", "unspecified", "SERVICE_TIER_UNSPECIFIED"];
        if is_among(word, &STANDARD) {
            return None;
        }
        let known = Self::WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known));
        Some(known.map_or(Self::Other, |(_, tier)| *tier))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Other => "other",
        }
    }
}

fn is_among(word: &str, known: &[&str]) -> bool {
    known.iter().any(|known| word.eq_ignore_ascii_case(known))
}

impl Rates {
    /// All input costs the same, and all output; searches cost nothing.
    pub fn of_text(input: u64, output: u64) -> Self {
        Self {
            input,
            input_audio: input,
            input_image: input,
            cache_read: input,
            cache_read_audio: input,
            cache_read_image: input,
            cache_write: input,
            cache_write_1h: input,
            output,
            output_audio: output,
            output_image: output,
            web_search: 0,
        }
    }

    /// What is cached costs something else.
    pub fn with_cached(self, read: u64, write: u64, write_1h: u64) -> Self {
        Self { cache_read: read, cache_read_audio: read, cache_read_image: read, cache_write: write, cache_write_1h: write_1h, ..self }
    }

    fn met_by(&self, asked: Asked) -> Self {
        let mut rates = *self;
        if !asked.media {
            (rates.input_audio, rates.input_image) = (rates.input, rates.input);
            (rates.cache_read_audio, rates.cache_read_image) = (rates.cache_read, rates.cache_read);
        }
        if !asked.cache_for_an_hour {
            rates.cache_write_1h = rates.cache_write;
        }
        rates
    }

    fn dearest_input(&self) -> u64 {
        let cached = self.cache_read.max(self.cache_read_audio).max(self.cache_read_image).max(self.cache_write).max(self.cache_write_1h);
        self.input.max(self.input_audio).max(self.input_image).max(cached)
    }

    fn dearest_output(&self) -> u64 {
        self.output.max(self.output_audio).max(self.output_image)
    }
}

impl ModelPrice {
    /// `long`: the rates of prompts of more than so many tokens, ascending.
    pub fn new(source: PriceSource, base: Rates, long: Vec<(u64, Rates)>) -> Self {
        Self { source, base, long, tiers: Vec::new() }
    }

    /// The price of a service tier, where it is another. Absent: nobody says what it costs. An operator's price is one for all.
    pub fn in_tier(self: &Arc<Self>, tier: Option<ServiceTier>) -> Option<Arc<Self>> {
        if tier == Some(ServiceTier::Other) && self.source != PriceSource::GatewayToml {
            return None;
        }
        let found = self.tiers.iter().find(|(known, _)| Some(*known) == tier);
        Some(Arc::clone(found.map_or(self, |(_, price)| price)))
    }

    /// The price with only those rates that a request can meet: in its service tier, of media if it has any, of writing to a cache for an hour if it asks for
    /// that. For `at_most` and `output_within`. Absent: nobody says what its tier costs.
    pub fn for_request(self: &Arc<Self>, request: &ChatRequest) -> Option<Arc<Self>> {
        let price = self.in_tier(ServiceTier::of_extras(&request.extras))?;
        let asked = Asked::of(request);
        if asked == Asked::EVERYTHING {
            return Some(price);
        }
        let long = price.long.iter().map(|(above, rates)| (*above, rates.met_by(asked)));
        Some(Arc::new(Self::new(price.source, price.base.met_by(asked), long.collect())))
    }

    /// What so much usage costs. A prompt's length decides on the rate of all of it, of the output too. Counts that contradict each other cost no more than
    /// the whole that they are parts of.
    pub fn cost(&self, usage: &Usage) -> Cost {
        let counts = Counts::of(usage);
        let rates = self.rates(counts.prompt);
        Cost {
            input_usd: amount(&[(counts.text, rates.input), (counts.audio, rates.input_audio), (counts.image, rates.input_image)]),
            cache_read_usd: amount(&[
                (counts.cache_read, rates.cache_read),
                (counts.cache_read_audio, rates.cache_read_audio),
                (counts.cache_read_image, rates.cache_read_image),
            ]),
            cache_write_usd: amount(&[(counts.cache_write, rates.cache_write), (counts.cache_write_1h, rates.cache_write_1h)]),
            output_usd: amount(&[
                (counts.output, rates.output),
                (counts.output_audio, rates.output_audio),
                (counts.output_image, rates.output_image),
            ]),
            other_usd: amount(&[(counts.web_searches, rates.web_search)]),
        }
    }

    /// What so many tokens cost if nothing of them is cached.
    pub fn cost_of_text(&self, input: u64, output: u64) -> Cost {
        let rates = self.rates(input);
        let (input_usd, output_usd) = (amount(&[(input, rates.input)]), amount(&[(output, rates.output)]));
        Cost { input_usd, output_usd, ..Cost::default() }
    }

    /// The most that up to so many tokens can cost, of whichever kind they are (`for_request` leaves out those that a request has none of). Searches are not in it: nobody knows how many there will be.
    pub fn at_most(&self, input: u64, output: u64) -> Usd {
        let worst = self.rates_up_to(input).map(|rates| worst_picos(rates, input, output)).max();
        usd(worst.unwrap_or(0))
    }

    /// The most output for which `at_most` stays within the limit. Absent: the input alone may cost more.
    pub fn output_within(&self, input: u64, limit: Usd) -> Option<u64> {
        let limit = whole_picos(limit);
        let within = |rates: &Rates| {
            let rest = limit.checked_sub(worst_picos(rates, input, 0))?;
            let tokens = rest.checked_div(rates.dearest_output().into()).unwrap_or(u128::MAX);
            Some(u64::try_from(tokens).unwrap_or(u64::MAX))
        };
        self.rates_up_to(input).map(within).min().flatten()
    }

    /// As it is shown for a prompt of so many tokens.
    pub fn per_token(&self, prompt: u64) -> PerToken {
        let rates = self.rates(prompt);
        let dollars = |rate: u64| rate as f64 / PICOS;
        let other = |rate: u64| (rate != rates.input).then(|| dollars(rate));
        PerToken {
            input: dollars(rates.input),
            output: dollars(rates.output),
            cache_read: other(rates.cache_read),
            cache_write: other(rates.cache_write),
        }
    }

    /// All rates: first the base, then each with the prompt's tokens above which it counts.
    pub fn all_rates(&self) -> impl Iterator<Item = (Option<u64>, &Rates)> {
        std::iter::once((None, &self.base)).chain(self.long.iter().map(|(above, rates)| (Some(*above), rates)))
    }

    fn rates(&self, prompt: u64) -> &Rates {
        self.long.iter().rev().find(|(above, _)| prompt > *above).map_or(&self.base, |(_, rates)| rates)
    }

    /// Of prompts of up to so many tokens.
    fn rates_up_to(&self, prompt: u64) -> impl Iterator<Item = &Rates> {
        self.all_rates().filter(move |(above, _)| above.is_none_or(|above| prompt > above)).map(|(_, rates)| rates)
    }
}

impl Cost {
    pub fn total(&self) -> Usd {
        self.input_usd + self.cache_read_usd + self.cache_write_usd + self.output_usd + self.other_usd
    }
}

impl Counts {
    /// Media are taken to be what was not cached, as far as there is so much.
    fn of(usage: &Usage) -> Self {
        let count = |count: Option<u32>| u64::from(count.unwrap_or(0));
        let detail = |name: &str| {
            let named = usage.details.iter().filter(|(detail, _)| detail == name);
            named.map(|(_, count)| u64::from(*count)).sum::<u64>()
        };
        let prompt = count(usage.input);
        let all_read = count(usage.cache_read).min(prompt);
        let all_written = count(usage.cache_write).min(prompt - all_read);
        let fresh = prompt - all_read - all_written;
        let all_audio = detail("input-audio").min(prompt);
        let all_images = detail("input-image").min(prompt - all_audio);
        let audio = all_audio.min(fresh);
        let image = all_images.min(fresh - audio);
        let cache_read_audio = (all_audio - audio).min(all_read);
        let cache_read_image = (all_images - image).min(all_read - cache_read_audio);
        let cache_write_1h = detail("cache-write-1h").min(all_written);
        let all_output = count(usage.output);
        let output_audio = detail("output-audio").min(all_output);
        let output_image = detail("output-image").min(all_output - output_audio);
        Self {
            prompt,
            text: fresh - audio - image,
            audio,
            image,
            cache_read: all_read - cache_read_audio - cache_read_image,
            cache_read_audio,
            cache_read_image,
            cache_write: all_written - cache_write_1h,
            cache_write_1h,
            output: all_output - output_audio - output_image,
            output_audio,
            output_image,
            web_searches: detail("web-searches"),
        }
    }
}

/// Of tokens and their rates.
fn amount(parts: &[(u64, u64)]) -> Usd {
    usd(parts.iter().fold(0, |sum: u128, (count, rate)| sum.saturating_add(u128::from(*count) * u128::from(*rate))))
}

fn worst_picos(rates: &Rates, input: u64, output: u64) -> u128 {
    let (input, output) = (u128::from(input), u128::from(output));
    (input * u128::from(rates.dearest_input())).saturating_add(output * u128::from(rates.dearest_output()))
}

/// No more than [`Usd::MAX`].
fn usd(picos: u128) -> Usd {
    i64::try_from(picos).map_or(Usd::MAX, |picos| Usd::from_picos(picos).min(Usd::MAX))
}

/// Rounded down: what is not there can't be spent.
fn whole_picos(limit: Usd) -> u128 {
    let rounded_up = limit.picos();
    let picos = rounded_up - i64::from(Usd::from_picos(rounded_up) > limit);
    u128::try_from(picos).unwrap_or(0)
}

#[cfg(test)]
mod tests;
