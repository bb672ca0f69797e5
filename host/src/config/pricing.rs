//! Prices as `gateway.toml` writes them, in US dollars per million tokens, and their way into checked values.

use super::ConfigError;
use super::document::{Document, Place};
use super::routing::names_model;
use crate::price::{ModelPrice, PriceSource, Rates, per_million};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

const MAX_PRICES: usize = 10_000;
const MAX_LENGTHS: usize = 8;

/// What one model costs. What is left out of a price costs as any other input.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { input = 1.25, output = 10 }")]
pub(super) struct FilePrice {
    input: Dollars,
    output: Dollars,
    cache_read: Option<Dollars>,
    cache_write: Option<Dollars>,
    cache_write_1h: Option<Dollars>,
    #[serde(default)]
    above: Vec<FileLongPrice>,
}

/// Of prompts with more than so many tokens. What is left out is as in shorter ones.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { input_tokens = 200000, input = 2.5 }")]
struct FileLongPrice {
    input_tokens: i64,
    input: Option<Dollars>,
    output: Option<Dollars>,
    cache_read: Option<Dollars>,
    cache_write: Option<Dollars>,
    cache_write_1h: Option<Dollars>,
}

/// A number, or a number as text, as it is written.
#[derive(Debug)]
struct Dollars(String);

/// What is said of prompts of a length and of shorter ones, as rates.
#[derive(Clone, Copy)]
struct Said {
    input: u64,
    output: u64,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DollarsVisitor)
    }
}

struct DollarsVisitor;

impl Visitor<'_> for DollarsVisitor {
    type Value = Dollars;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("US dollars per million tokens, such as 1.25")
    }

    fn visit_i64<E: Error>(self, dollars: i64) -> Result<Dollars, E> {
        Ok(Dollars(dollars.to_string()))
    }

    /// By its shortest text, which is what was written.
    fn visit_f64<E: Error>(self, dollars: f64) -> Result<Dollars, E> {
        Ok(Dollars(dollars.to_string()))
    }

    fn visit_str<E: Error>(self, dollars: &str) -> Result<Dollars, E> {
        Ok(Dollars(dollars.to_owned()))
    }
}

impl Dollars {
    fn rate(&self, place: &Place<'_>) -> Result<u64, ConfigError> {
        let expected = "expected US dollars per million tokens, from 0 to 1000000 with at most six decimals";
        per_million(&self.0).ok_or_else(|| place.wrong(format_args!("`{}`: {expected}", self.0)))
    }
}

/// # Errors
/// The first model whose name or prices can't be used.
pub(super) fn prices(
    document: &Document<'_>,
    prices: BTreeMap<String, FilePrice>,
) -> Result<BTreeMap<String, Arc<ModelPrice>>, ConfigError> {
    let section = document.place("prices");
    if prices.len() > MAX_PRICES {
        return Err(section.wrong(format_args!("there are {}: at most {MAX_PRICES} are allowed", prices.len())));
    }
    let checked = |(name, price): (String, FilePrice)| {
        let place = section.key(&name);
        if !names_model(&name) {
            return Err(place.wrong("expected `provider/model`"));
        }
        let price = price.checked(&place)?;
        Ok((name, Arc::new(price)))
    };
    prices.into_iter().map(checked).collect()
}

impl FilePrice {
    fn checked(self, place: &Place<'_>) -> Result<ModelPrice, ConfigError> {
        let mut said = Said {
            input: self.input.rate(&place.key("input"))?,
            output: self.output.rate(&place.key("output"))?,
            cache_read: optional(place, "cache_read", self.cache_read.as_ref())?,
            cache_write: optional(place, "cache_write", self.cache_write.as_ref())?,
            cache_write_1h: optional(place, "cache_write_1h", self.cache_write_1h.as_ref())?,
        };
        let (base, all) = (said.rates(), place.key("above"));
        if self.above.len() > MAX_LENGTHS {
            return Err(all.wrong(format_args!("it has {} entries: at most {MAX_LENGTHS} are allowed", self.above.len())));
        }
        let mut long: Vec<(u64, Rates)> = Vec::with_capacity(self.above.len());
        for (index, price) in self.above.iter().enumerate() {
            let place = all.item(index);
            let tokens = u64::from(place.key("input_tokens").within(price.input_tokens, 1..=u32::MAX)?);
            if long.last().is_some_and(|(shorter, _)| *shorter >= tokens) {
                return Err(place.key("input_tokens").wrong(format_args!("`{tokens}`: expected more than in the entry before")));
            }
            said = said.with(price, &place)?;
            long.push((tokens, said.rates()));
        }
        Ok(ModelPrice::new(PriceSource::GatewayToml, base, long))
    }
}

impl Said {
    fn with(self, price: &FileLongPrice, place: &Place<'_>) -> Result<Self, ConfigError> {
        let read = |field: &str, dollars: &Option<Dollars>| optional(place, field, dollars.as_ref());
        Ok(Self {
            input: read("input", &price.input)?.unwrap_or(self.input),
            output: read("output", &price.output)?.unwrap_or(self.output),
            cache_read: read("cache_read", &price.cache_read)?.or(self.cache_read),
            cache_write: read("cache_write", &price.cache_write)?.or(self.cache_write),
            cache_write_1h: read("cache_write_1h", &price.cache_write_1h)?.or(self.cache_write_1h),
        })
    }

    fn rates(&self) -> Rates {
        let write = self.cache_write.unwrap_or(self.input);
        Rates::of_text(self.input, self.output).with_cached(
            self.cache_read.unwrap_or(self.input),
            write,
            self.cache_write_1h.unwrap_or(write),
        )
    }
}

fn optional(place: &Place<'_>, field: &str, dollars: Option<&Dollars>) -> Result<Option<u64>, ConfigError> {
    dollars.map(|dollars| dollars.rate(&place.key(field))).transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Deserialize)]
    struct File {
        prices: BTreeMap<String, FilePrice>,
    }

    fn read(text: &str) -> Result<BTreeMap<String, Arc<ModelPrice>>, ConfigError> {
        let document = Document::parse("gateway.toml", text)?;
        let file: File = document.read()?;
        prices(&document, file.prices)
    }

    /// Input, output, read, written, written for an hour, in millionths of a dollar per million tokens.
    fn rates(rates: &Rates) -> [u64; 5] {
        [rates.input, rates.output, rates.cache_read, rates.cache_write, rates.cache_write_1h]
    }

    #[test]
    fn a_price_is_a_number_or_text_and_what_is_left_out_costs_as_input() {
        let prices = read("[prices.\"acme/rocket\"]\ninput = 1.25\noutput = \"10\"\n[prices.\"acme/a/b\"]\ninput = 0.1\noutput = 0\ncache_read = 0.000001\ncache_write = 2\n").unwrap();
        let of = |name: &str| prices[name].all_rates().map(|(above, all)| (above, rates(all))).collect::<Vec<_>>();
        assert_eq!(of("acme/rocket"), [(None, [1_250_000, 10_000_000, 1_250_000, 1_250_000, 1_250_000])]);
        assert_eq!(of("acme/a/b"), [(None, [100_000, 0, 1, 2_000_000, 2_000_000])]);
        assert_eq!(prices["acme/rocket"].source, PriceSource::GatewayToml);
    }

    #[test]
    fn what_is_left_out_of_a_longer_prompts_price_is_as_in_shorter_ones() {
        let prices = read(
            "[prices.\"acme/rocket\"]\ninput = 1\noutput = 2\ncache_write = 3\nabove = [{ input_tokens = 10, input = 4 }, { input_tokens = 20, cache_read = 5, cache_write_1h = 6 }]\n",
        )
        .unwrap();
        let all = prices["acme/rocket"].all_rates().map(|(above, all)| (above, rates(all).map(|rate| rate / 1_000_000)));
        assert_eq!(all.collect::<Vec<_>>(), [(None, [1, 2, 1, 3, 3]), (Some(10), [4, 2, 4, 3, 3]), (Some(20), [4, 2, 5, 3, 6])]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("[prices.\"acme\"]\ninput = 1\noutput = 1\n", "line 1: prices.acme: expected `provider/model`"),
            ("[prices.\"a/b\"]\ninput = 1\n", "prices.a/b: missing field `output`"),
            ("[prices.\"a/b\"]\ninput = -1\noutput = 1\n", "line 2: prices.\"a/b\".input: `-1`: expected US dollars per million tokens"),
            ("[prices.\"a/b\"]\ninput = 1\noutput = 1000001\n", "line 3: prices.\"a/b\".output: `1000001`"),
            ("[prices.\"a/b\"]\ninput = 1\noutput = nan\n", "line 3: prices.\"a/b\".output: `NaN`"),
            ("[prices.\"a/b\"]\ninput = 1\noutput = 0.0000001\n", "line 3: prices.\"a/b\".output: `0.0000001`"),
            ("[prices.\"a/b\"]\ninput = 1\noutput = \"1e3\"\n", "line 3: prices.\"a/b\".output: `1e3`"),
            ("[prices.\"a/b\"]\ninput = true\noutput = 1\n", "line 2"),
            (
                "[prices.\"a/b\"]\ninput = 1\noutput = 1\nabove = [{ input_tokens = 2 }, { input_tokens = 2 }]\n",
                "line 4: prices.\"a/b\".above[1].input_tokens: `2`: expected more than in the entry before",
            ),
            ("[prices.\"a/b\"]\ninput = 1\noutput = 1\nabove = [{ input_tokens = 0 }]\n", "prices.\"a/b\".above[0].input_tokens: `0`"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
