//! Keeps the account of one request and closes it exactly once: also when the caller leaves, also after the last event of a stream.
//!
//! Owns: what is known of a request for its books, the lines that are logged of it, when it is counted. Not here: what the caller is told (`edge`).
//!
//! Prompts and answers are logged only if `LOG_PROMPTS` asks for them.

use crate::admission::Place;
use crate::attempt::{self, Attempt, LeftAlone, Observer, Why};
use crate::contract::embeddings::EmbeddingResponse;
use crate::contract::{ChatEvent, ChatRequest, ChatResponse, FinishReason, PartBody, Usage};
use crate::domain::{CallContext, ErrorKind, RequestId, estimate};
use crate::metrics;
use crate::plan::Plan;
use std::time::Duration;

/// Of a prompt or an answer, in one log line.
const LOGGED_TEXT_BYTES: usize = 64 << 10;
/// What a caller who left would have been told, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The account of one request. Dropped without being closed, the caller has left.
#[derive(Debug)]
pub struct Account {
    context: CallContext,
    place: Option<Place>,
    stream: bool,
    /// Those that are under way.
    open: Vec<(Attempt, std::time::Instant)>,
    attempts: Vec<Attempt>,
    /// Who was to answer, where there were several to choose from.
    preferred: Option<(String, String)>,
    /// Candidates that were not asked: the last time that each was come to.
    left_alone: Vec<LeftAlone>,
    /// When the last of them began, if its answer is still being read.
    streaming: Option<std::time::Instant>,
    usage: Option<Usage>,
    answered_model: Option<String>,
    finish: Option<FinishReason>,
    overhead: Option<Duration>,
    waited_streaming: Duration,
    texts: Option<Texts>,
    /// In the caller's words.
    dropped_params: Option<String>,
    closed: bool,
}

/// What is logged where prompts are.
#[derive(Debug, Default)]
struct Texts {
    prompt: String,
    response: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// What the caller was sent.
    pub status: u16,
    pub error: Option<(ErrorKind, &'a str)>,
}

impl Account {
    /// Opens the account of a request, before it is read.
    pub fn open(context: CallContext) -> Self {
        Self {
            context,
            place: None,
            stream: false,
            open: Vec::new(),
            attempts: Vec::new(),
            preferred: None,
            left_alone: Vec::new(),
            streaming: None,
            usage: None,
            answered_model: None,
            finish: None,
            overhead: None,
            waited_streaming: Duration::ZERO,
            texts: None,
            dropped_params: None,
            closed: false,
        }
    }

    /// Notes who is to answer.
    pub fn planned(&mut self, plan: &Plan) {
        self.preferred.clone_from(&plan.preferred);
    }

    /// Holds the request's place until the account is closed.
    pub fn admitted(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// The request's place, for what is still to be sent after the account is closed.
    pub fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }

    /// Takes the id that the caller's body gives.
    pub fn rename(&mut self, id: RequestId) {
        self.context.id = id;
    }

    /// Gives the account up without a line: what it would say is said elsewhere.
    pub fn discard(mut self) {
        self.closed = true;
    }

    /// Notes what is asked. `log_prompts`: whether the words are kept for the log.
    pub fn asked(&mut self, request: &ChatRequest, log_prompts: bool) {
        self.stream = request.stream;
        self.texts = log_prompts.then(|| Texts { prompt: prompt_text(request), response: String::new() });
    }

    /// Whether the caller asked for a stream.
    pub fn is_stream(&self) -> bool {
        self.stream
    }

    /// Notes what of the request was left out.
    pub fn dropped(&mut self, params: String) {
        self.dropped_params = Some(params);
    }

    pub fn context(&self) -> &CallContext {
        &self.context
    }

    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// What was tried, in one sentence, where that was more than one attempt.
    pub fn history(&self, told: (ErrorKind, Option<Duration>)) -> Option<String> {
        attempt::history(&self.attempts, &self.left_alone, told)
    }

    /// Retries and fallbacks: attempts that were made because another one had failed.
    pub fn retries(&self) -> usize {
        self.attempts.iter().filter(|attempt| matches!(attempt.why, Why::Retry | Why::OtherKey | Why::Fallback)).count()
    }

    /// The attempt that answered, or the last one.
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The provider that was meant to answer, if another did.
    pub fn fallback_from(&self) -> Option<&str> {
        let (first, last) = (self.attempts.first()?, self.attempts.last()?);
        let meant = self.preferred.as_ref().map_or((&first.provider, &first.model), |(provider, model)| (provider, model));
        (meant != (&last.provider, &last.model)).then_some(meant.0.as_str())
    }

    /// Time spent in the gateway itself until now. Said once, when the answer's head goes out.
    pub fn overhead(&mut self) -> Duration {
        let elsewhere: Duration = self.attempts.iter().map(|attempt| attempt.waited + attempt.elsewhere + attempt.backoff).sum();
        *self.overhead.get_or_insert_with(|| self.context.started.elapsed().saturating_sub(elsewhere))
    }

    /// Notes an answer that came whole.
    pub fn answered(&mut self, answer: &ChatResponse) {
        self.usage.clone_from(&answer.usage);
        self.answered_model = answer.model.as_deref().map(model_name);
        self.finish = answer.choices.first().map(|choice| choice.finish.reason);
        if let Some(texts) = &mut self.texts {
            let parts = answer.choices.first().map(|choice| choice.parts.as_slice()).unwrap_or_default();
            for part in parts {
                if let PartBody::Text(text) = &part.body {
                    texts.push_response(text);
                }
            }
        }
    }

    /// Notes embeddings.
    pub fn embedded(&mut self, answer: &EmbeddingResponse) {
        self.usage.clone_from(&answer.usage);
        self.answered_model = answer.model.as_deref().map(model_name);
    }

    /// Notes one event of a stream.
    pub fn event(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Started(start) => self.answered_model = start.model.as_deref().map(model_name).or(self.answered_model.take()),
            ChatEvent::Usage(usage) => self.usage = Some(usage.clone()),
            ChatEvent::Finished(finished) if finished.choice == 0 => self.finish = Some(finished.finish.reason),
            ChatEvent::PartGrew(growth) => {
                if let Some(texts) = &mut self.texts {
                    texts.push_response(&growth.text);
                }
            }
            _ => {}
        }
    }

    /// Notes how long a stream has waited for its provider in all.
    pub fn streamed(&mut self, waited: Duration) {
        self.waited_streaming = waited;
    }

    /// Closes the account and logs the request.
    pub fn close(mut self, ending: Ending<'_>) {
        self.log(ending);
        self.closed = true;
    }

    fn log(&mut self, ending: Ending<'_>) {
        self.log_streamed(ending.error);
        metrics::request(self.context.route, ending.status);
        let overhead = self.overhead();
        let earlier: Duration = self.attempts.iter().map(|attempt| attempt.waited).sum();
        let upstream = earlier.max(self.waited_streaming);
        let last = self.attempts.last().or(self.open.last().map(|(attempt, _)| attempt));
        let usage = self.usage.as_ref();
        tracing::info!(
            target: "llm_gateway::request",
            request_id = %self.context.id,
            route = self.context.route,
            tenant = "default",
            provider = last.map(|attempt| attempt.provider.as_str()),
            model = self.answered_model.as_deref().or(last.map(|attempt| attempt.model.as_str())),
            plugin_version = last.map(|attempt| attempt.plugin_version.as_str()),
            simulated = last.is_some_and(|attempt| attempt.simulated).then_some(true),
            stream = self.stream,
            status = ending.status,
            error_type = ending.error.map(|(kind, _)| kind.as_str()),
            error = ending.error.map(|(_, message)| message),
            finish_reason = self.finish.map(finish_word),
            latency_ms = milliseconds(self.context.started.elapsed()),
            upstream_ms = milliseconds(upstream),
            gateway_us = u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX),
            attempts = self.attempts.len() + self.open.len(),
            input_tokens = usage.and_then(|usage| usage.input),
            output_tokens = usage.and_then(|usage| usage.output),
            cache_read_tokens = usage.and_then(|usage| usage.cache_read),
            cache_write_tokens = usage.and_then(|usage| usage.cache_write),
            reasoning_tokens = usage.and_then(|usage| usage.reasoning),
            dropped_params = self.dropped_params.as_deref(),
            tokens_estimated = usage.is_some_and(estimate::is_estimated).then_some(true),
            prompt = self.texts.as_ref().map(|texts| texts.prompt.as_str()),
            response = self.texts.as_ref().map(|texts| texts.response.as_str()),
            "request"
        );
    }
}

impl Observer for Account {
    fn began(&mut self, attempt: &Attempt) {
        self.left_alone.retain(|left| (&left.provider, &left.model) != (&attempt.provider, &attempt.model));
        self.open.push((attempt.clone(), std::time::Instant::now()));
    }

    /// An attempt whose answer is still being read is logged with the request, when it is known how it went.
    fn ended(&mut self, attempt: Attempt) {
        let at = self.open.iter().position(|(open, _)| (&open.provider, &open.model) == (&attempt.provider, &attempt.model));
        let began = at.map(|at| self.open.swap_remove(at).1);
        self.streaming = began.filter(|_| attempt.is_streaming);
        if self.streaming.is_none() {
            self.log_attempt(&attempt, self.attempts.len() + 1);
        }
        self.attempts.push(attempt);
    }

    fn left_alone(&mut self, candidate: &LeftAlone) {
        self.left_alone.retain(|known| (&known.provider, &known.model) != (&candidate.provider, &candidate.model));
        self.left_alone.push(candidate.clone());
    }
}

impl Account {
    /// Logs the attempt that streamed, now that it is over.
    fn log_streamed(&mut self, error: Option<(ErrorKind, &str)>) {
        let (Some(began), Some(attempt)) = (self.streaming.take(), self.attempts.last_mut()) else { return };
        attempt.duration = began.elapsed();
        attempt.waited = attempt.waited.max(self.waited_streaming);
        attempt.error = error.map(|(kind, message)| (kind, message.to_owned()));
        let attempt = attempt.clone();
        self.log_attempt(&attempt, self.attempts.len());
    }

    fn count(&self, attempt: &Attempt, number: usize) {
        metrics::attempt(&metrics::Attempted {
            provider: &attempt.provider,
            model: attempt.is_listed.then_some(&attempt.model),
            outcome: attempt.error.as_ref().map_or("ok", |(kind, _)| kind.as_str()),
            duration: attempt.duration,
            first_byte: attempt.first_byte,
        });
        let before = number.checked_sub(2).and_then(|before| self.attempts.get(before));
        match (attempt.why, before) {
            (Why::Retry | Why::OtherKey, _) => metrics::retry(&attempt.provider),
            (Why::Fallback, Some(before)) => metrics::fallback(&before.provider),
            (Why::Hedge, _) => metrics::hedge(&attempt.provider),
            (Why::First | Why::Fallback, _) => {}
        }
    }

    /// Logs and counts one that is over. `number`: its place, from 1.
    fn log_attempt(&self, attempt: &Attempt, number: usize) {
        self.count(attempt, number);
        tracing::info!(
            target: "llm_gateway::attempt",
            request_id = %self.context.id,
            route = self.context.route,
            tenant = "default",
            attempt = number,
            provider = attempt.provider,
            model = attempt.model,
            plugin_version = attempt.plugin_version,
            simulated = attempt.simulated.then_some(true),
            status = attempt.status,
            error_type = attempt.error.as_ref().map(|(kind, _)| kind.as_str()),
            error = attempt.error.as_ref().map(|(_, message)| message.as_str()),
            latency_ms = milliseconds(attempt.duration),
            upstream_ms = milliseconds(attempt.waited),
            backoff_ms = milliseconds(attempt.backoff),
            reason = attempt.why.as_str(),
            key = attempt.key,
            provider_request_id = attempt.provider_request_id,
            "attempt"
        );
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let left = "the caller closed the connection before the answer was complete";
        for (mut attempt, began) in std::mem::take(&mut self.open) {
            attempt.duration = began.elapsed();
            attempt.error = Some((ErrorKind::Cancelled, left.to_owned()));
            self.log_attempt(&attempt, self.attempts.len() + 1);
            self.attempts.push(attempt);
        }
        self.log(Ending { status: CLIENT_CLOSED_REQUEST, error: Some((ErrorKind::Cancelled, left)) });
    }
}

impl Texts {
    fn push_response(&mut self, text: &str) {
        let room = LOGGED_TEXT_BYTES.saturating_sub(self.response.len());
        self.response.push_str(&text[..text.floor_char_boundary(room)]);
    }
}

/// As long as a name is.
fn model_name(model: &str) -> String {
    model.chars().take(200).collect()
}

fn prompt_text(request: &ChatRequest) -> String {
    let mut prompt = String::new();
    for message in &request.messages {
        for part in &message.parts {
            if let PartBody::Text(text) = &part.body {
                let room = LOGGED_TEXT_BYTES.saturating_sub(prompt.len());
                prompt.push_str(&text[..text.floor_char_boundary(room)]);
                prompt.push('\n');
            }
        }
    }
    prompt
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Error => "error",
        FinishReason::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::metrics::tests::counted;

    fn account() -> Account {
        let id = RequestId::generate();
        Account::open(CallContext { id, route: "/api/query", started: std::time::Instant::now(), deadline: None, session: None })
    }

    fn attempted(provider: &str, model: &str, error: Option<ErrorKind>) -> Attempt {
        Attempt {
            provider: provider.to_owned(),
            model: model.to_owned(),
            is_listed: !model.starts_with("made-up"),
            plugin_version: String::new(),
            simulated: false,
            status: None,
            error: error.map(|kind| (kind, String::new())),
            duration: Duration::from_millis(1500),
            waited: Duration::from_millis(200),
            first_byte: error.is_none().then_some(Duration::from_millis(200)),
            elsewhere: Duration::ZERO,
            is_streaming: false,
            backoff: Duration::ZERO,
            why: Why::First,
            key: None,
            limits_reset: None,
            provider_request_id: None,
        }
    }

    fn make(account: &mut Account, attempt: Attempt) {
        account.began(&attempt);
        account.ended(attempt);
    }

    #[test]
    fn a_request_is_counted_with_its_attempts() {
        let series = counted(|| {
            let mut account = account();
            make(&mut account, attempted("openai", "gpt", Some(ErrorKind::Overloaded)));
            make(&mut account, Attempt { why: Why::Retry, ..attempted("openai", "gpt", Some(ErrorKind::Overloaded)) });
            make(&mut account, Attempt { why: Why::Fallback, ..attempted("claude", "opus", None) });
            account.close(Ending { status: 200, error: None });
        });
        for (name, value) in [
            (r#"llm_gateway_requests_total{route="/api/query",status="200"}"#, 1.0),
            (r#"llm_gateway_attempts_total{provider="openai",model="gpt",outcome="overloaded"}"#, 2.0),
            (r#"llm_gateway_attempts_total{provider="claude",model="opus",outcome="ok"}"#, 1.0),
            (r#"llm_gateway_retries_total{provider="openai"}"#, 1.0),
            (r#"llm_gateway_fallbacks_total{provider="openai"}"#, 1.0),
            (r#"llm_gateway_attempt_duration_seconds_count{provider="openai",model="gpt"}"#, 2.0),
            (r#"llm_gateway_attempt_duration_seconds_bucket{provider="openai",model="gpt",le="1"}"#, 0.0),
            (r#"llm_gateway_attempt_duration_seconds_bucket{provider="openai",model="gpt",le="2.5"}"#, 2.0),
            (r#"llm_gateway_first_byte_seconds_sum{provider="claude",model="opus"}"#, 0.2),
        ] {
            assert_eq!(series.get(name), Some(&value), "{name} in {series:#?}");
        }
        assert!(!series.contains_key(r#"llm_gateway_first_byte_seconds_count{provider="openai",model="gpt"}"#));
    }

    #[test]
    fn who_leaves_is_counted_once() {
        let series = counted(|| {
            let mut account = account();
            account.began(&attempted("openai", "gpt", None));
            drop(account);
        });
        assert_eq!(series[r#"llm_gateway_requests_total{route="/api/query",status="499"}"#], 1.0);
        assert_eq!(series[r#"llm_gateway_attempts_total{provider="openai",model="gpt",outcome="cancelled"}"#], 1.0);
    }

    #[test]
    fn models_that_callers_made_up_are_one() {
        let series = counted(|| {
            for i in 0..100 {
                let mut account = account();
                make(&mut account, attempted("openai", &format!("made-up-{i}"), None));
            }
        });
        assert_eq!(series[r#"llm_gateway_attempts_total{provider="openai",model="other",outcome="ok"}"#], 100.0);
    }
}
