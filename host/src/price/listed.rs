//! The embedded price list (`genai-prices`), as exact rates.
//!
//! Owns: what the list says of a model on a day, worked out once and kept. The list itself only says what a whole request costs, and that as a binary
//! fraction; so it is asked for requests of one kind of token, at prompts of several lengths to find the borders between which its rates change. Not
//! here: what usage costs by them.
//!
//! A model that the list has, but without a price for its tokens (free ones, speech by the minute), counts as one that it has not.

use super::{ModelPrice, PICOS, PriceSource, Rates, ServiceTier};
use genai_prices::{Calculator, PriceCalculation, PriceRequest, UsageKey};
use moka::sync::Cache;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

/// Models and days that are kept. Names come from callers.
const MAX_KEPT: u64 = 4096;
const DAY_SECONDS: u64 = 86_400;
/// Prompts between which a border is looked for. Between two of them rates must not change and change back.
const LENGTHS: [u64; 9] = [1 << 10, 1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 10_000_000];

static KEPT: LazyLock<Cache<String, Option<Arc<ModelPrice>>>> = LazyLock::new(|| Cache::new(MAX_KEPT));

pub(super) fn load() {
    let _read_once = Calculator::bundled();
}

/// Of a shipped plugin's model, as on the day of the time. The first time on a day takes up to some milliseconds.
pub(super) fn price(plugin: &str, model: &str, at: SystemTime) -> Option<Arc<ModelPrice>> {
    let provider = listed_provider(plugin)?;
    let day = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY_SECONDS;
    let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY_SECONDS);
    KEPT.get_with(format!("{provider}/{model}@{day}"), || {
        let standard = Question { provider, model, at: midnight, tier: None };
        let price = standard.price()?;
        let usual = standard.text_rates(LENGTHS[0])?;
        let tiers = ServiceTier::WORDS.into_iter().filter_map(|(_, tier)| {
            let tiered = Question { tier: Some(tier), ..standard };
            (tiered.text_rates(LENGTHS[0])? != usual).then_some((tier, Arc::new(tiered.price()?)))
        });
        Some(Arc::new(ModelPrice { tiers: tiers.collect(), ..price }))
    })
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

/// What the list is asked for.
#[derive(Clone, Copy)]
struct Question<'a> {
    provider: &'static str,
    model: &'a str,
    at: SystemTime,
    tier: Option<ServiceTier>,
}

/// A length of prompt, with its rates of input and output.
type Sampled = (u64, (u64, u64));

impl Question<'_> {
    fn price(&self) -> Option<ModelPrice> {
        let base = self.rates(LENGTHS[0])?;
        if base.input == 0 && base.output == 0 {
            return None;
        }
        let long = self.borders()?.into_iter().map(|border| Some((border, self.rates(border + 1)?)));
        Some(ModelPrice::new(PriceSource::GenaiPrices, base, long.collect::<Option<_>>()?))
    }

    /// The lengths of prompt above which another rate begins.
    fn borders(&self) -> Option<Vec<u64>> {
        let mut borders = Vec::new();
        let mut below = (LENGTHS[0], self.text_rates(LENGTHS[0])?);
        for length in LENGTHS {
            let above = (length, self.text_rates(length)?);
            self.borders_between(below, above, &mut borders)?;
            below = above;
        }
        Some(borders)
    }

    fn borders_between(&self, below: Sampled, above: Sampled, found: &mut Vec<u64>) -> Option<()> {
        if below.1 == above.1 {
            return Some(());
        }
        if below.0 + 1 == above.0 {
            found.push(below.0);
            return Some(());
        }
        let length = u64::midpoint(below.0, above.0);
        let middle = (length, self.text_rates(length)?);
        self.borders_between(below, middle, found)?;
        self.borders_between(middle, above, found)
    }

    /// Of input and output.
    fn text_rates(&self, prompt: u64) -> Option<(u64, u64)> {
        let cost = self.cost(&[(UsageKey::INPUT_TOKENS, prompt), (UsageKey::OUTPUT_TOKENS, prompt)])?;
        Some((rate(cost.input_price, prompt), rate(cost.output_price, prompt)))
    }

    fn rates(&self, prompt: u64) -> Option<Rates> {
        let input_of = |kinds: &[UsageKey]| {
            let counts: Vec<(UsageKey, u64)> = kinds.iter().map(|kind| (kind.clone(), prompt)).collect();
            Some(rate(self.cost(&[&[(UsageKey::INPUT_TOKENS, prompt)], &counts[..]].concat())?.input_price, prompt))
        };
        let output_of = |kind: UsageKey| {
            let counts = [(UsageKey::INPUT_TOKENS, prompt), (UsageKey::OUTPUT_TOKENS, prompt), (kind, prompt)];
            Some(rate(self.cost(&counts)?.output_price, prompt))
        };
        let (input, output) = self.text_rates(prompt)?;
        Some(Rates {
            input,
            input_audio: input_of(&[UsageKey::INPUT_AUDIO_TOKENS])?,
            input_image: input_of(&[UsageKey::INPUT_IMAGE_TOKENS])?,
            cache_read: input_of(&[UsageKey::CACHE_READ_TOKENS])?,
            cache_read_audio: input_of(&[UsageKey::INPUT_AUDIO_TOKENS, UsageKey::CACHE_READ_TOKENS, UsageKey::CACHE_AUDIO_READ_TOKENS])?,
            cache_read_image: input_of(&[UsageKey::INPUT_IMAGE_TOKENS, UsageKey::CACHE_READ_TOKENS, UsageKey::CACHE_IMAGE_READ_TOKENS])?,
            cache_write: input_of(&[UsageKey::CACHE_WRITE_TOKENS])?,
            cache_write_1h: input_of(&[UsageKey::CACHE_WRITE_TOKENS, UsageKey::CACHE_WRITE_1H_TOKENS])?,
            output,
            output_audio: output_of(UsageKey::OUTPUT_AUDIO_TOKENS)?,
            output_image: output_of(UsageKey::OUTPUT_IMAGE_TOKENS)?,
            web_search: rate(self.cost(&[(UsageKey::WEB_SEARCHES, LENGTHS[0])])?.total_price, LENGTHS[0]),
        })
    }

    fn cost(&self, counts: &[(UsageKey, u64)]) -> Option<PriceCalculation> {
        let usage: genai_prices::Usage = counts.iter().map(|(key, count)| (key.clone(), *count as f64)).collect();
        let request = PriceRequest::new(self.model, &usage).with_provider_id(self.provider).with_timestamp(self.at);
        let request = match self.tier {
            Some(tier) => request.with_price_context("service_tier", tier.word()),
            None => request,
        };
        Calculator::bundled().calculate(&request).ok()
    }
}

/// Of what so many tokens cost together: the nearest whole number, which is what the price was before it became a binary fraction. A cast to an integer
/// stops at its bounds.
fn rate(dollars: f64, count: u64) -> u64 {
    (dollars / count as f64 * PICOS).round() as u64
}
