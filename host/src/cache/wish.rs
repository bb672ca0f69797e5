//! What a caller says of the cache, in its request's headers.
//!
//! Owns: `x-gateway-cache`, `x-gateway-cache-ttl`, and what of `cache-control` (RFC 9111) is for a cache like this one. Pure.

use super::Kept;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use std::time::Duration;

const CACHE: &str = "x-gateway-cache";
const CACHE_TTL: &str = "x-gateway-cache-ttl";
/// A day: what callers have kept takes others' room.
const MAX_TTL_SECONDS: u64 = 86_400;

/// What a caller says of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// Whether it wants its answer kept and given again, or not. Absent: it says nothing of that.
    pub use_cache: Option<bool>,
    /// Whether it wants none that was given before (`no-cache`).
    pub refresh: bool,
    /// Whether it wants nobody to be asked.
    pub only_if_cached: bool,
    /// How old one may be.
    pub max_age: Option<Duration>,
    /// How long its own may be kept.
    pub ttl: Option<Duration>,
}

impl Wish {
    /// Of `x-gateway-cache`, `x-gateway-cache-ttl` and `cache-control`, of which what makes no sense is ignored, as by other caches.
    ///
    /// # Errors
    /// The header at fault, and what it must be.
    pub fn of_headers(headers: &HeaderMap) -> Result<Self, (&'static str, String)> {
        let mut wish = Self::default();
        if let Some(word) = headers.get(CACHE) {
            match word.as_bytes() {
                b"on" => wish.use_cache = Some(true),
                b"off" => wish.use_cache = Some(false),
                b"refresh" => (wish.use_cache, wish.refresh) = (Some(true), true),
                _ => return Err((CACHE, "must be `on`, `off` or `refresh`".to_owned())),
            }
        }
        if let Some(seconds) = headers.get(CACHE_TTL) {
            let seconds = seconds.to_str().ok().and_then(whole).filter(|seconds| (1..=MAX_TTL_SECONDS).contains(seconds));
            let Some(seconds) = seconds else {
                return Err((CACHE_TTL, format!("must be a whole number of seconds from 1 to {MAX_TTL_SECONDS}")));
            };
            wish.ttl = Some(Duration::from_secs(seconds));
        }
        let lists = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        lists.flat_map(|list| list.split(',')).for_each(|directive| wish.control(directive.trim()));
        Ok(wish)
    }

    fn control(&mut self, directive: &str) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match (name.trim().to_ascii_lowercase().as_str(), whole(value.trim().trim_matches('"'))) {
            ("no-store", _) => self.use_cache = Some(false),
            // As old as nothing is: none that was given before.
            ("no-cache", _) | ("max-age", Some(0)) => self.refresh = true,
            ("max-age", Some(seconds)) => self.max_age = Some(Duration::from_secs(seconds)),
            ("only-if-cached", _) => self.only_if_cached = true,
            _ => {}
        }
    }

    /// Whether an answer that was given before will do.
    pub(super) fn takes(&self, kept: &Kept, now: Timestamp) -> bool {
        self.use_cache != Some(false) && !self.refresh && self.max_age.is_none_or(|max| kept.age(now) <= max)
    }
}

/// Digits alone; more than fit are the most that there can be.
fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::kept;
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn wish(lines: &[(&'static str, &str)]) -> Result<Wish, (&'static str, String)> {
        let lines = lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        Wish::of_headers(&lines.collect())
    }

    #[test]
    fn what_is_not_said_is_not_wished() {
        assert_eq!(wish(&[]).unwrap(), Wish::default());
        for ignored in ["", "no-transform, max-stale=3", "max-age=soon", "max-age=-1, max-age", "min-fresh=4, ,=,"] {
            assert_eq!(wish(&[("cache-control", ignored)]).unwrap(), Wish::default(), "{ignored}");
        }
    }

    #[test]
    fn headers_say_what_they_say() {
        let with = |name, value| wish(&[(name, value)]).unwrap();
        assert_eq!(with(CACHE, "on").use_cache, Some(true));
        assert_eq!(with(CACHE, "off").use_cache, Some(false));
        assert_eq!(with(CACHE, "refresh"), Wish { use_cache: Some(true), refresh: true, ..Wish::default() });
        assert_eq!(with(CACHE_TTL, "60").ttl, Some(Duration::from_secs(60)));
        assert_eq!(with("cache-control", "No-Store").use_cache, Some(false));
        assert_eq!(with("cache-control", "no-cache"), Wish { refresh: true, ..Wish::default() });
        assert_eq!(with("cache-control", "private, max-age=\"60\"").max_age, Some(Duration::from_secs(60)));
        assert_eq!(with("cache-control", "max-age=99999999999999999999").max_age, Some(Duration::from_secs(u64::MAX)));
        assert!(with("cache-control", "max-age=0").refresh);
        assert!(with("cache-control", "only-if-cached").only_if_cached);
        // Who wants nothing kept gets that.
        assert_eq!(wish(&[(CACHE, "on"), ("cache-control", "no-store")]).unwrap().use_cache, Some(false));
    }

    #[test]
    fn nonsense_of_our_own_is_refused_by_name() {
        for (name, value) in [(CACHE, ""), (CACHE, "yes"), (CACHE_TTL, "0"), (CACHE_TTL, "31536001"), (CACHE_TTL, "+5"), (CACHE_TTL, "1.5")]
        {
            assert_eq!(wish(&[(name, value)]).unwrap_err().0, name, "{value}");
        }
    }

    #[test]
    fn an_answer_that_is_too_old_or_not_wanted_is_not_taken() {
        let kept = kept("a");
        let after = |seconds| kept.stored_at + Duration::from_secs(seconds);
        let wish = Wish { max_age: Some(Duration::from_secs(60)), ..Wish::default() };
        assert!(wish.takes(&kept, after(60)) && !wish.takes(&kept, after(61)));
        assert!(Wish::default().takes(&kept, after(1_000_000)));
        let no = |wish: Wish| !wish.takes(&kept, kept.stored_at);
        assert!(no(Wish { refresh: true, ..Wish::default() }) && no(Wish { use_cache: Some(false), ..Wish::default() }));
        // Stored by a clock that is ahead.
        assert!(wish.takes(&kept, kept.stored_at - Duration::from_secs(5)));
    }
}
