//! What the parts of a request share while it is translated.
//!
//! Owns: the list of what was dropped, cache breakpoints and their limits, fields that the caller gave in a dialect's own words, instructions
//! that stand for what the model does not take, the operator's settings.

use crate::DIALECT;
use crate::families::{self, Family};
use crate::wire::{CacheControl, Fields, Ttl};
use llm_gateway_adapter::body::Media;
use llm_gateway_adapter::serde_json::{self, Value};
use llm_gateway_adapter::settings;
use llm_gateway_adapter::types::{CacheBreakpoint, ChatRequest, Dropped, Native, Part, PartBody, Setting, Tool};
use std::fmt::Display;

/// More are a 400.
const MAX_BREAKPOINTS: usize = 4;
/// Half-way between the two lifetimes that there are, in seconds.
const NEARER_TO_AN_HOUR: u32 = (300 + 3600) / 2;

/// Fields of a later contract: "each side ignores what it does not know".
pub const CONTRACT: &str = "llm-gateway";

pub struct Draft {
    pub family: &'static Family,
    pub api: ApiVersion,
    pub media: Media,
    pub dropped: Vec<Dropped>,
    /// Sentences for the system prompt.
    pub instructions: Vec<String>,
    breakpoints: Breakpoints,
}

impl Draft {
    pub fn new(request: &ChatRequest) -> Self {
        Self {
            family: families::of(&request.model),
            api: ApiVersion::of(&request.settings),
            media: Media::default(),
            dropped: Vec::new(),
            instructions: Vec::new(),
            breakpoints: Breakpoints { over: count_breakpoints(request).saturating_sub(MAX_BREAKPOINTS), shortened: false },
        }
    }

    /// Reports what was left out, or stands in another form. `parameter` is a path in `chat-request`.
    pub fn drop(&mut self, parameter: impl Display, reason: &str) {
        self.dropped.push(Dropped { parameter: parameter.to_string(), reason: reason.to_owned() });
    }

    /// Reports a parameter if the caller `set` it.
    pub fn drop_if(&mut self, set: bool, parameter: &str, reason: &str) {
        if set {
            self.drop(parameter, reason);
        }
    }

    /// The provider's word for a breakpoint at `path`, if it takes this one.
    pub fn cache_control(&mut self, cache: Option<&CacheBreakpoint>, path: impl Display) -> Option<CacheControl> {
        let cache = cache?;
        if self.breakpoints.over > 0 {
            // The later a breakpoint, the longer the prefix that it caches: the first ones go.
            self.breakpoints.over -= 1;
            self.drop(format_args!("{path}.cache"), "Claude takes 4 cache breakpoints; the last 4 are kept");
            return None;
        }
        let ttl = cache.lifetime.map(|seconds| if seconds < NEARER_TO_AN_HOUR { Ttl::FiveMinutes } else { Ttl::OneHour });
        if ttl == Some(Ttl::OneHour) && self.breakpoints.shortened {
            self.drop(format_args!("{path}.cache.lifetime"), "Claude takes no longer lifetime after a shorter one");
            return Some(CacheControl { ttl: None });
        }
        self.breakpoints.shortened |= ttl != Some(Ttl::OneHour);
        Some(CacheControl { ttl })
    }

    /// Reports a breakpoint that can't be set where it stands.
    pub fn lose_cache_control(&mut self, cache: Option<&CacheBreakpoint>, path: impl Display, reason: &str) {
        if cache.is_some() {
            self.drop(format_args!("{path}.cache"), reason);
        }
    }

    /// The fields of the provider's own dialect, but for those of `taken`, which the adapter writes itself. Other dialects' are reported.
    pub fn own_fields(&mut self, extras: &[Native], taken: &[&str], path: impl Display) -> Fields {
        let mut own = Fields::new();
        for native in extras.iter().filter(|native| native.dialect != CONTRACT) {
            let fields: Fields = serde_json::from_str(&native.value).unwrap_or_default();
            for (name, value) in fields {
                if native.dialect != DIALECT {
                    match translated(&name, &value) {
                        Some(value) => _ = own.entry(name).or_insert(value),
                        None => self.drop(format_args!("{path}.{name}"), "Claude has no such field"),
                    }
                } else if taken.contains(&name.as_str()) {
                    self.drop(format_args!("{path}.{name}"), "the request says this in its own fields");
                } else {
                    own.insert(name, value);
                }
            }
        }
        own
    }
}

/// A field of another dialect whose meaning is known here: its value in Claude's words.
fn translated(name: &str, value: &Value) -> Option<Value> {
    match (name, value.as_str()?) {
        ("service_tier", "auto") => Some(Value::from("auto")),
        ("service_tier", "default" | "standard") => Some(Value::from("standard_only")),
        _ => None,
    }
}

/// Breakpoints still to be given up, and whether one with the short lifetime has been set.
struct Breakpoints {
    over: usize,
    shortened: bool,
}

fn count_breakpoints(request: &ChatRequest) -> usize {
    let tools = request.tools.iter().filter(|tool| matches!(tool, Tool::Function(function) if function.cache.is_some())).count();
    let parts =
        request.messages.iter().flat_map(|message| &message.parts).filter(|part| part.cache.is_some() && takes_breakpoint(part)).count();
    tools + parts
}

/// Blank text is not sent, and thinking takes none.
fn takes_breakpoint(part: &Part) -> bool {
    match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => !text.trim().is_empty(),
        PartBody::Thinking(_) => false,
        _ => true,
    }
}

/// The versions of the API that differ in what they take (chapter 4.1 of the wire reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// `2023-06-01`, the default.
    Classic,
    /// `2026-10-21` and later: no sampling on any model, no documents in the assistant's messages.
    Autumn2026,
}

impl ApiVersion {
    pub const SETTING: &str = "anthropic-version";

    fn of(settings: &[Setting]) -> Self {
        match settings::get(settings, Self::SETTING) {
            // Versions are dates, so they sort as text.
            Some(version) if version >= "2026-10-21" => Self::Autumn2026,
            _ => Self::Classic,
        }
    }
}
