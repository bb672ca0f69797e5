//! The grammar of faults, and what each means. Pure: chooses nothing, sends nothing.
//!
//! A fault text is a list of `name=value` or `name`, separated by `;`. It stands in the header `x-simulate`, behind `--` in the model's name
//! (`gpt-5.4--fault=status=429;times=2`), or in a script. The empty text is no fault. In the order in which they act:
//!
//! | fault | what happens |
//! |---|---|
//! | `times=2` | the faults beside it hit the first two requests with this text only |
//! | `label=any` | nothing: makes a text of its own, for `times` |
//! | `delay-ms=500` | that wait before the first byte of the answer |
//! | `reset` | the connection is closed before any byte of an answer |
//! | `html=502` | that status with a CDN's HTML page |
//! | `status=429` | that status with the provider's own error; `code=insufficient_quota` chooses its code |
//! | `garbage` | status 200, the right content type, and a body that means nothing |
//! | `retry-after=2`, `date:3`, `ms:500`, `none` | the hint when to come back, in the provider's own place; a 429 says 1 s by itself |
//! | `should-retry=false` | the header `x-should-retry` |
//! | `remaining=0`, `reset-ms=500` | what the headers say is left of the request limit, and when it is full again; Gemini has no such header, Mistral no reset |
//! | `blocked` | the provider's content filter stops the answer |
//! | `redacted` | Anthropic hides its thinking in a `redacted_thinking` block |
//! | `cached=100` | that many tokens of the prompt came from the provider's cache (or all, if it has fewer) |
//! | `no-usage` | the answer does not say how many tokens it took |
//! | `echo-headers` | the text lists the names of the request's headers |
//! | `text-bytes=100000` | the text has that length, whatever the request's limit |
//! | `chunks=1000` | the text is streamed in that many chunks, likewise |
//! | `no-end`, `no-end=finish` | the stream lacks its terminal sign, or also its finish reason, and ends cleanly |
//! | `error-after=2`, `error-after=raw:2` | after two frames an error in the provider's form, or without SSE framing; a whole answer is a 500 |
//! | `truncate` | half of the body's bytes, and a clean end |
//! | `cut-after=3` | the connection breaks after three frames (of a whole body: after three of four parts) |
//! | `stall-after=3`, `stall-ms=5000` | after three frames nothing for that long (10 minutes if not said, and at most), then the rest |
//! | `chunk-bytes=3`, `split=seed:7` | the body goes out in pieces of that size, or of random sizes, each flushed |
//! | `drip-ms=50` | that pause before every such piece but the first |
//!
//! A script is `{"provider": "openai", "faults": ["status=429", ""]}`, posted to `/simulator/script`: the next requests are hit by one text each. With
//! `"key": "secret-a"` only requests with that key are (an expired key is `status=401`). With `"always": true` every request is, by one of the texts at
//! random, until the script is deleted; with `"chance": 0.2` beside it, only that share.

use std::time::Duration;

pub(super) const MAX_TEXT_BYTES: usize = 4096;
const MAX_PAUSE: Duration = Duration::from_secs(600);
const MAX_CHUNKS: usize = 100_000;
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Sleepy servers wait for days, tests do not.
const MAX_RETRY_AFTER_SECONDS: u64 = 7 * 24 * 3600;

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Faults {
    pub times: Option<u32>,
    pub delay: Duration,
    pub replacement: Option<Replacement>,
    pub retry: Option<RetryHint>,
    pub should_retry: Option<bool>,
    pub limits: ToldLimits,
    pub shaping: Shaping,
    pub delivery: Delivery,
}

/// Stands in place of the answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Replacement {
    /// No answer at all: the connection is closed.
    Reset,
    Html(u16),
    Status {
        status: u16,
        code: Option<String>,
    },
    Garbage,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RetryHint {
    None,
    Seconds(u64),
    /// As an HTTP date that many seconds from now.
    Date(u64),
    Milliseconds(u64),
}

/// What the headers say of the limit on requests, in place of what they usually do.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ToldLimits {
    pub remaining: Option<u64>,
    pub reset: Option<Duration>,
}

/// Changes what is said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shaping {
    pub text_bytes: Option<usize>,
    pub chunks: Option<usize>,
    pub blocked: bool,
    pub redacted: bool,
    /// Tokens of the prompt.
    pub cached: Option<u64>,
    pub no_usage: bool,
    pub echo_headers: bool,
    /// Filled in by `serve` if the headers are to be listed.
    pub header_names: Vec<String>,
}

/// Changes how the answer's bytes go out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Delivery {
    pub no_end: Option<NoEnd>,
    pub error_after: Option<ErrorAfter>,
    pub truncate: bool,
    pub cut_after: Option<usize>,
    pub stall: Option<Stall>,
    pub split: Option<Split>,
    /// Between two pieces of a split body.
    pub drip: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum NoEnd {
    Terminal,
    Finish,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ErrorAfter {
    Framed(usize),
    Raw(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stall {
    pub after: usize,
    pub pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Split {
    Every(usize),
    Random { seed: u64 },
}

/// Why a fault text means nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Mistake {
    #[error("simulator: there is no fault `{name}`")]
    Unknown { name: String },
    #[error("simulator: fault `{name}` takes {wants}, not `{value}`")]
    Value { name: String, value: String, wants: &'static str },
    #[error("simulator: fault `{name}` needs `{needs}` beside it")]
    Alone { name: &'static str, needs: &'static str },
    #[error("simulator: a fault text has at most {MAX_TEXT_BYTES} bytes")]
    TooLong,
}

impl Faults {
    /// # Errors
    /// Names the first part that is not of the grammar.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Mistake::TooLong);
        }
        let mut draft = Draft::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            draft.take(Part { name: name.trim(), value: value.trim() })?;
        }
        draft.finish()
    }
}

/// Faults while they are read: some need another one, in any order.
#[derive(Default)]
struct Draft {
    faults: Faults,
    status: Option<u16>,
    code: Option<String>,
    stall_after: Option<usize>,
    stall_pause: Option<Duration>,
    drip: Option<Duration>,
}

impl Draft {
    fn take(&mut self, part: Part<'_>) -> Result<(), Mistake> {
        let faults = &mut self.faults;
        match part.name {
            "times" => faults.times = Some(part.number("a number up to 1000000", 0, 1_000_000)? as u32),
            "label" => {}
            "delay-ms" => faults.delay = part.pause()?,
            "reset" => faults.replacement = Some(part.flag(Replacement::Reset)?),
            "html" => faults.replacement = Some(Replacement::Html(part.status()?)),
            "status" => self.status = Some(part.status()?),
            "code" => self.code = Some(part.word()?),
            "garbage" => faults.replacement = Some(part.flag(Replacement::Garbage)?),
            "retry-after" => faults.retry = Some(part.retry_hint()?),
            "should-retry" => faults.should_retry = Some(part.truth()?),
            "remaining" => faults.limits.remaining = Some(part.number("a number of requests", 0, u64::from(u32::MAX))?),
            "reset-ms" => faults.limits.reset = Some(part.pause()?),
            "blocked" => faults.shaping.blocked = part.flag(true)?,
            "redacted" => faults.shaping.redacted = part.flag(true)?,
            "cached" => faults.shaping.cached = Some(part.number("a number of tokens", 0, u64::from(u32::MAX))?),
            "no-usage" => faults.shaping.no_usage = part.flag(true)?,
            "echo-headers" => faults.shaping.echo_headers = part.flag(true)?,
            "text-bytes" => faults.shaping.text_bytes = Some(part.number("0 to 16777216 bytes", 0, MAX_ANSWER_BYTES as u64)? as usize),
            "chunks" => faults.shaping.chunks = Some(part.number("1 to 100000 chunks", 1, MAX_CHUNKS as u64)? as usize),
            "no-end" => faults.delivery.no_end = Some(part.no_end()?),
            "error-after" => faults.delivery.error_after = Some(part.error_after()?),
            "truncate" => faults.delivery.truncate = part.flag(true)?,
            "cut-after" => faults.delivery.cut_after = Some(part.frames()?),
            "stall-after" => self.stall_after = Some(part.frames()?),
            "stall-ms" => self.stall_pause = Some(part.pause()?),
            "chunk-bytes" => {
                faults.delivery.split = Some(Split::Every(part.number("1 byte or more", 1, MAX_ANSWER_BYTES as u64)? as usize))
            }
            "split" => faults.delivery.split = Some(Split::Random { seed: part.seed()? }),
            "drip-ms" => self.drip = Some(part.pause()?),
            name => return Err(Mistake::Unknown { name: name.chars().take(40).collect() }),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Faults, Mistake> {
        match (self.status, self.code) {
            (Some(status), code) => self.faults.replacement = Some(Replacement::Status { status, code }),
            (None, Some(_)) => return Err(Mistake::Alone { name: "code", needs: "status" }),
            (None, None) => {}
        }
        match (self.stall_after, self.stall_pause) {
            (Some(after), pause) => self.faults.delivery.stall = Some(Stall { after, pause: pause.unwrap_or(MAX_PAUSE) }),
            (None, Some(_)) => return Err(Mistake::Alone { name: "stall-ms", needs: "stall-after" }),
            (None, None) => {}
        }
        match (self.faults.delivery.split, self.drip) {
            (Some(_), drip) => self.faults.delivery.drip = drip.unwrap_or_default(),
            (None, Some(_)) => return Err(Mistake::Alone { name: "drip-ms", needs: "chunk-bytes" }),
            (None, None) => {}
        }
        Ok(self.faults)
    }
}

/// One `name=value`.
#[derive(Clone, Copy)]
struct Part<'a> {
    name: &'a str,
    value: &'a str,
}

impl Part<'_> {
    fn wants(&self, wants: &'static str) -> Mistake {
        Mistake::Value { name: self.name.to_owned(), value: self.value.chars().take(80).collect(), wants }
    }

    fn number(&self, wants: &'static str, least: u64, most: u64) -> Result<u64, Mistake> {
        number(self.value, least, most).ok_or_else(|| self.wants(wants))
    }

    fn frames(&self) -> Result<usize, Mistake> {
        Ok(self.number("a number of chunks", 0, u64::from(u32::MAX))? as usize)
    }

    fn status(&self) -> Result<u16, Mistake> {
        Ok(self.number("an HTTP error status from 400 to 599", 400, 599)? as u16)
    }

    fn pause(&self) -> Result<Duration, Mistake> {
        let most = MAX_PAUSE.as_secs() * 1000;
        self.number("milliseconds up to 600000", 0, most).map(Duration::from_millis)
    }

    fn word(&self) -> Result<String, Mistake> {
        if self.value.is_empty() { Err(self.wants("a provider's error code")) } else { Ok(self.value.to_owned()) }
    }

    fn flag<T>(&self, meaning: T) -> Result<T, Mistake> {
        if self.value.is_empty() { Ok(meaning) } else { Err(self.wants("no value")) }
    }

    fn truth(&self) -> Result<bool, Mistake> {
        self.value.parse().map_err(|_| self.wants("`true` or `false`"))
    }

    fn retry_hint(&self) -> Result<RetryHint, Mistake> {
        let count = |text| number(text, 0, MAX_RETRY_AFTER_SECONDS * 1000);
        let hint = match self.value.split_once(':') {
            None if self.value == "none" => Some(RetryHint::None),
            None => count(self.value).map(RetryHint::Seconds),
            Some(("date", seconds)) => count(seconds).map(RetryHint::Date),
            Some(("ms", milliseconds)) => count(milliseconds).map(RetryHint::Milliseconds),
            Some(_) => None,
        };
        hint.ok_or_else(|| self.wants("seconds, `date:` and seconds, `ms:` and milliseconds, or `none`"))
    }

    fn no_end(&self) -> Result<NoEnd, Mistake> {
        match self.value {
            "" => Ok(NoEnd::Terminal),
            "finish" => Ok(NoEnd::Finish),
            _ => Err(self.wants("no value or `finish`")),
        }
    }

    fn error_after(&self) -> Result<ErrorAfter, Mistake> {
        let count = |text| number(text, 0, u64::from(u32::MAX)).map(|count| count as usize);
        let after = match self.value.strip_prefix("raw:") {
            Some(frames) => count(frames).map(ErrorAfter::Raw),
            None => count(self.value).map(ErrorAfter::Framed),
        };
        after.ok_or_else(|| self.wants("a number of chunks, perhaps with `raw:` before it"))
    }

    fn seed(&self) -> Result<u64, Mistake> {
        let seed = self.value.strip_prefix("seed:").and_then(|seed| seed.parse().ok());
        seed.ok_or_else(|| self.wants("`seed:` and a number"))
    }
}

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn faults_are_read_in_any_order_and_with_spaces() {
        let faults = Faults::parse(" code = insufficient_quota;; status=429 ;retry-after=ms:500; times=2").unwrap();
        assert_eq!(faults.replacement, Some(Replacement::Status { status: 429, code: Some("insufficient_quota".to_owned()) }));
        assert_eq!((faults.retry, faults.times), (Some(RetryHint::Milliseconds(500)), Some(2)));
        assert_eq!(Faults::parse(""), Ok(Faults::default()));
        let stall = Faults::parse("stall-after=3").unwrap().delivery.stall;
        assert_eq!(stall, Some(Stall { after: 3, pause: Duration::from_secs(600) }));
        let dripping = Faults::parse("drip-ms=50;chunk-bytes=3").unwrap().delivery;
        assert_eq!((dripping.split, dripping.drip), (Some(Split::Every(3)), Duration::from_millis(50)));
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, said) in [
            ("stats=429", "simulator: there is no fault `stats`"),
            ("status=200", "simulator: fault `status` takes an HTTP error status from 400 to 599, not `200`"),
            ("code=x", "simulator: fault `code` needs `status` beside it"),
            ("stall-ms=1", "simulator: fault `stall-ms` needs `stall-after` beside it"),
            ("drip-ms=1", "simulator: fault `drip-ms` needs `chunk-bytes` beside it"),
            ("truncate=1", "simulator: fault `truncate` takes no value, not `1`"),
            (
                "retry-after=soon",
                "simulator: fault `retry-after` takes seconds, `date:` and seconds, `ms:` and milliseconds, or `none`, not `soon`",
            ),
            ("chunk-bytes=0", "simulator: fault `chunk-bytes` takes 1 byte or more, not `0`"),
            ("delay-ms=600001", "simulator: fault `delay-ms` takes milliseconds up to 600000, not `600001`"),
            ("split=7", "simulator: fault `split` takes `seed:` and a number, not `7`"),
            ("error-after=raw", "simulator: fault `error-after` takes a number of chunks, perhaps with `raw:` before it, not `raw`"),
        ] {
            assert_eq!(Faults::parse(text).unwrap_err().to_string(), said);
        }
        assert_eq!(Faults::parse(&"x".repeat(MAX_TEXT_BYTES + 1)), Err(Mistake::TooLong));
    }
}
