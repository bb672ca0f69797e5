//! One request on its way to the provider's form: what both endpoints ask of it, and what had to be left out.

use crate::endpoint::{Context, Endpoint};
use crate::extras;
use crate::families::{Model, Reasons};
use crate::settings::Settings;
use llm_gateway_adapter::body::{self, json_headers};
use llm_gateway_adapter::dropped;
use llm_gateway_adapter::types::{
    self, CacheBreakpoint, ChatRequest, Effort, Failure, Framing, Header, HttpMethod, HttpRequest, Native, Part, PartBody, Role,
};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// OpenAI writes at most this many cache entries for a request.
const BREAKPOINTS: usize = 4;
/// Half-way between the two lifetimes that there are, 30 minutes and 12 hours.
const LONG_LIFETIME_SECONDS: u32 = 22_500;

/// What could not be sent as it was.
#[derive(Debug, Default)]
pub struct Dropped(Vec<types::Dropped>);

impl Dropped {
    pub fn report(&mut self, parameter: impl Into<String>, reason: impl Into<String>) {
        self.0.push(types::Dropped { parameter: parameter.into(), reason: reason.into() });
    }

    pub fn into_list(self) -> Vec<types::Dropped> {
        dropped::once(self.0)
    }
}

#[derive(Debug)]
pub struct Encoding<'a> {
    pub request: &'a ChatRequest,
    pub model: Model,
    pub settings: Settings,
    pub endpoint: Endpoint,
    pub media: body::Media,
    pub dropped: Dropped,
    /// Cache breakpoints that are still too many to be sent: the last ones count.
    surplus_breakpoints: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PromptCacheBreakpoint {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl<'a> Encoding<'a> {
    /// # Errors
    /// A setting that makes no sense.
    pub fn new(request: &'a ChatRequest) -> Result<Self, Failure> {
        let settings = Settings::read(&request.settings)?;
        let model = Model::of(&request.model);
        let inputs = request.messages.iter().filter(|message| message.role != Role::Assistant);
        let breakpoints = inputs.flat_map(|message| &message.parts).filter(|part| part.cache.is_some()).count();
        Ok(Self {
            request,
            model,
            settings,
            endpoint: Endpoint::choose(request, model, &settings),
            media: body::Media::default(),
            dropped: Dropped::default(),
            surplus_breakpoints: breakpoints.saturating_sub(BREAKPOINTS),
        })
    }

    /// The value, unless there is a reason why it is refused; then it is reported.
    pub fn unless<T>(&mut self, refused: Option<&'static str>, parameter: &str, value: Option<T>) -> Option<T> {
        match (value, refused) {
            (Some(_), Some(reason)) => {
                self.dropped.report(parameter, reason);
                None
            }
            (value, _) => value,
        }
    }

    /// Why `temperature`, `top_p` and `logprobs` are refused, if they are: reasoning models take them only when they do not reason.
    pub fn sampling_refused(&self, effort: Option<Effort>) -> Option<&'static str> {
        match self.model.family.reasons {
            Reasons::Yes { default, .. } if effort.unwrap_or(default) != Effort::None => Some("the model reasons and takes no sampling"),
            _ => None,
        }
    }

    /// Why penalties and biases are refused, if they are: reasoning models never take them.
    pub fn penalties_refused(&self) -> Option<&'static str> {
        self.model.is_known_to_reason().then_some("the model is a reasoning model and takes none")
    }

    pub fn own_fields(&mut self, path: &str, natives: &[Native]) -> Result<Map<String, Value>, Failure> {
        if natives.is_empty() {
            return Ok(Map::new());
        }
        extras::own_fields(path, natives, self.endpoint, &mut self.dropped)
    }

    /// The breakpoint of a part of the input.
    pub fn breakpoint(&mut self, path: &str, cache: Option<CacheBreakpoint>) -> Option<PromptCacheBreakpoint> {
        let cache = cache?;
        if !self.model.family.breakpoints {
            self.dropped.report(format!("{path}.cache"), "the model caches by itself and takes no breakpoints");
            return None;
        }
        if self.surplus_breakpoints > 0 {
            self.surplus_breakpoints -= 1;
            self.dropped.report(format!("{path}.cache"), "the provider takes four breakpoints; later ones were sent");
            return None;
        }
        let ttl = cache.lifetime.map(|seconds| if seconds < LONG_LIFETIME_SECONDS { "30m" } else { "12h" });
        Some(PromptCacheBreakpoint { mode: "explicit", ttl })
    }

    /// A breakpoint where the provider has no place for one.
    pub fn no_breakpoint(&mut self, path: &str, cache: Option<CacheBreakpoint>) {
        if cache.is_some() {
            self.dropped.report(format!("{path}.cache"), "the provider takes breakpoints only in the input's texts, images and files");
        }
    }

    /// Reports a part of the assistant's that can't be sent, if it may be left out.
    ///
    /// # Errors
    /// The failure, if it may not.
    pub fn leave_out(&mut self, path: String, part: &Part, failure: Failure) -> Result<(), Failure> {
        let reason = dropped::left_out(Role::Assistant, part, failure)?;
        self.dropped.report(path, reason);
        Ok(())
    }

    /// Says that a last message of the assistant is not gone on with.
    pub fn report_prefill(&mut self) {
        if let [.., last] = self.request.messages.as_slice()
            && last.role == Role::Assistant
        {
            let path = format!("messages[{}]", self.request.messages.len() - 1);
            self.dropped.report(path, "the provider answers after it, and does not go on with it");
        }
    }

    /// In JSON mode the provider demands the word JSON somewhere in the messages, and refuses the request without it.
    pub fn lacks_the_word_json(&self) -> bool {
        let texts = self.request.messages.iter().flat_map(|message| &message.parts).filter_map(text_of);
        !texts.into_iter().any(|text| text.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"json")))
    }

    /// The finished request.
    ///
    /// # Errors
    /// The caller's text has a mark that stands for media.
    pub fn finish(self, body: &impl Serialize, context: Context, headers: Vec<Header>) -> Result<HttpRequest, Failure> {
        Ok(HttpRequest {
            method: HttpMethod::Post,
            path: self.endpoint.path().to_owned(),
            query: Vec::new(),
            headers: json_headers().into_iter().chain(headers).collect(),
            body: self.media.segments(body)?,
            framing: if self.request.stream { Framing::Sse } else { Framing::Whole },
            dropped: self.dropped.into_list(),
            context: context.into_text(),
            extras: Vec::new(),
        })
    }
}

fn text_of(part: &Part) -> Option<&str> {
    match &part.body {
        PartBody::Text(text) => Some(text),
        _ => None,
    }
}

/// What is written as we know it, or as the caller gave it in the endpoint's own form.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Entry<'a, T> {
    Known(T),
    Native(&'a RawValue),
}

/// JSON of the caller's, to be written as it is.
///
/// # Errors
/// It is no JSON.
pub fn json<'a>(parameter: &str, text: &'a str) -> Result<&'a RawValue, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::invalid(Some(parameter), format!("`{parameter}` is not JSON: {error}")))
}
