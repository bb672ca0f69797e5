//! What stands after the `?` of a URL, taken apart and checked.

use crate::edge::BadRequest;
use crate::money::Usd;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use url::form_urlencoded;

/// A name or a part of a text.
const MAX_BYTES: usize = 1_000;

/// Parameters that nobody read yet.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// # Errors
    /// When one is none of `known`, is there twice, or has no text or one that can't be meant.
    pub fn of(query: Option<&str>, known: &[&str]) -> Result<Self, BadRequest> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let shown: String = name.chars().take(100).collect();
            if !known.contains(&&*name) {
                return Err(BadRequest::field(shown, format!("is no parameter of this route; it takes {}", known.join(", "))));
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(BadRequest::field(shown, "is there twice; give it once"));
            }
            if value.is_empty() || value.len() > MAX_BYTES || value.contains('\0') {
                return Err(BadRequest::field(
                    shown,
                    format!("must be a text of 1 to {MAX_BYTES} bytes without NUL; leave it out to ask for all"),
                ));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// What a text means. `must`: the complaint if it means nothing.
    ///
    /// # Errors
    /// When it means nothing.
    pub fn parse<T>(&mut self, name: &str, must: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, BadRequest> {
        self.text(name).map(|text| parse(&text).ok_or_else(|| BadRequest::field(name, must))).transpose()
    }

    /// In microseconds of Unix time.
    ///
    /// # Errors
    /// When it is no time.
    pub fn time(&mut self, name: &str) -> Result<Option<i64>, BadRequest> {
        let must = "must be a time like 2026-11-25T08:00:00Z (with + written as %2B) or whole seconds of Unix time";
        self.parse(name, must, |text| match text.parse::<i64>() {
            Ok(seconds) => Timestamp::from_second(seconds).ok().map(Timestamp::as_microsecond),
            Err(_) => text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond),
        })
    }

    /// # Errors
    /// When it is no amount.
    pub fn usd(&mut self, name: &str) -> Result<Option<Usd>, BadRequest> {
        self.parse(name, "must be an amount of US dollars from 0 to 9000000, like 0.05", |text| Usd::from_f64(text.parse().ok()?))
    }

    /// One of some words.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, BadRequest> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let meaning = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        self.parse(name, &format!("must be one of {}", known.join(", ")), meaning)
    }
}

/// Whether the caller would rather have CSV, by its `Accept`.
pub(super) fn accepts_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').next().and_then(|first| first.split(';').next()).is_some_and(|first| first.trim().eq_ignore_ascii_case("text/csv"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn one(query: &str) -> Parameters {
        Parameters::of(Some(query), &["a", "b"]).unwrap()
    }

    #[test]
    fn times_are_written_in_two_ways() {
        let micros = Some(1_764_057_600_000_000);
        for text in ["1764057600", "2025-11-25T08:00:00Z", "2025-11-25T09:00:00%2B01:00"] {
            assert_eq!(one(&format!("a={text}")).time("a").unwrap(), micros, "{text}");
        }
        for text in ["yesterday", "2025-11-25T09:00:00+01:00", "99999999999999999", "1e9"] {
            assert!(one(&format!("a={text}")).time("a").is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, message) in [
            ("c=1", "`c` is no parameter of this route; it takes a, b"),
            ("a=1&a=2", "`a` is there twice; give it once"),
            ("a=", "`a` must be a text of 1 to 1000 bytes without NUL; leave it out to ask for all"),
        ] {
            assert_eq!(Parameters::of(Some(query), &["a", "b"]).unwrap_err().message, message);
        }
        assert_eq!(one("a=x").word("a", &[("y", 1), ("z", 2)]).unwrap_err().message, "`a` must be one of y, z");
        assert_eq!(one("a=-1").usd("a").unwrap_err().param.as_deref(), Some("a"));
    }

    #[test]
    fn a_browser_is_not_given_csv() {
        for (accept, csv) in [("text/csv", true), ("text/csv;q=0.9, */*", true), ("*/*", false), ("text/html,text/csv", false)] {
            assert_eq!(accepts_csv(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())])), csv, "{accept}");
        }
    }
}
