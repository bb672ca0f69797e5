//! Keeps the account of one request and closes it exactly once: also when the caller leaves, also after the last event of a stream.
//!
//! Owns: what is known of a request for its books, what it is billed, the lines that are logged of it, its row in the ledger, when it is counted. Not here: what the caller is told (`edge`).
//!
//! The row is written before the last byte goes out: who has an answer in full is in the ledger. Prompts and answers are logged only if `LOG_PROMPTS` asks for them, and kept only if `LEDGER_CONTENTS` does.

mod entry;
mod keeping;
mod purse;
mod quote;
mod row;
mod tariff;

pub use entry::{Books, Entry};
pub use purse::Fit;
pub use quote::Quote;

use crate::access::Caller;
use crate::admission::Place;
use crate::attempt::{self, Allowance, Attempt, LeftAlone, Observer, Unaffordable, Why};
use crate::cache::{Kept, KeptAnswer, Ticket, Wish};
use crate::contract::embeddings::{EmbeddingRequest, EmbeddingResponse};
use crate::contract::{ChatEvent, ChatRequest, ChatResponse, Dropped, FinishReason, PartBody, Usage};
use crate::domain::{CallContext, ErrorKind, RequestId, Target, estimate};
use crate::ledger::{LedgerDown, TokenCounts};
use crate::metrics;
use crate::money::Usd;
use crate::plan::{Candidate, Plan};
use crate::price::ServiceTier;
use crate::quota::{Standing, Visit};
use keeping::Keeping;
use purse::{Asked, Purse};
use std::sync::Arc;
use std::time::Duration;
use tariff::{Bill, Tariff};
use uuid::Uuid;

/// Of a prompt or an answer, in one log line.
const LOGGED_TEXT_BYTES: usize = 64 << 10;
/// What a caller who left would have been told, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The account of one request. Dropped without being closed, the caller has left.
#[derive(Debug)]
pub struct Account {
    /// Of its row.
    id: Uuid,
    context: CallContext,
    /// Absent: it was not let in.
    entry: Option<Entry>,
    place: Option<Place>,
    /// What the caller's `model` says.
    asked_model: Option<String>,
    stream: bool,
    /// Those that are under way.
    open: Vec<(Attempt, std::time::Instant)>,
    attempts: Vec<Attempt>,
    /// Of each of them.
    bills: Vec<Bill>,
    /// The place of the one whose answer the caller gets.
    answering: Option<usize>,
    /// Whether the answer is known, and only told event by event.
    is_whole: bool,
    tariff: Option<Tariff>,
    purse: Option<Purse>,
    /// Whether an answer may be shorter than the caller asked for, so that it can be paid.
    is_shortened: bool,
    cached: Cached,
    /// Who was to answer, where there were several to choose from.
    preferred: Option<(String, String)>,
    /// Candidates that were not asked: the last time that each was come to.
    left_alone: Vec<LeftAlone>,
    /// When the last of them began, if its answer is still being read.
    streaming: Option<std::time::Instant>,
    usage: Option<Usage>,
    answered: tariff::Answered,
    finish: Option<FinishReason>,
    overhead: Option<Duration>,
    waited_for_another: Duration,
    waited_streaming: Duration,
    texts: Option<Texts>,
    /// In the caller's words.
    dropped_params: Option<String>,
    /// Of its key's budget.
    reservation: Option<Uuid>,
    closed: bool,
}

/// What the cache has to do with it.
#[derive(Debug)]
enum Cached {
    Off,
    /// Nothing was there, and what comes may be kept.
    Miss(Option<Box<Keeping>>),
    Hit(Arc<Kept>),
}

/// What is written down where prompts are.
#[derive(Debug, Default)]
struct Texts {
    prompt: String,
    response: String,
}

/// What the accounts of several requests have together that came as one.
#[derive(Debug)]
pub struct Parts(Option<Entry>);

impl Parts {
    pub fn open(&self, context: CallContext) -> Account {
        let mut account = Account::open(context);
        account.entry = self.0.as_ref().map(Entry::part);
        account
    }
}

/// Whose an answer is.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredBy<'a> {
    pub provider: &'a str,
    /// That was asked.
    pub model: &'a str,
    pub simulated: bool,
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
            id: Uuid::now_v7(),
            context,
            entry: None,
            place: None,
            asked_model: None,
            stream: false,
            open: Vec::new(),
            attempts: Vec::new(),
            bills: Vec::new(),
            answering: None,
            is_whole: false,
            tariff: None,
            purse: None,
            is_shortened: false,
            cached: Cached::Off,
            preferred: None,
            left_alone: Vec::new(),
            streaming: None,
            usage: None,
            answered: tariff::Answered::default(),
            finish: None,
            overhead: None,
            waited_for_another: Duration::ZERO,
            waited_streaming: Duration::ZERO,
            texts: None,
            dropped_params: None,
            reservation: None,
            closed: false,
        }
    }

    /// Lets it in.
    pub fn enter(&mut self, entry: Entry) {
        self.entry = Some(entry);
    }

    /// What the request's head says of the cache, and of what it may cost.
    pub fn wishes(&mut self, wish: Wish, max_cost: Option<Usd>) {
        if let Some(entry) = &mut self.entry {
            (entry.wish, entry.max_cost) = (wish, max_cost);
        }
    }

    /// Its place among the requests at once of its caller's key.
    pub fn visit(&mut self, visit: Visit) {
        if let Some(entry) = &mut self.entry {
            entry.visit = Some(visit);
        }
    }

    /// Gives the account up without a line: what it would say is said by the accounts of the requests that it is made of.
    pub fn into_parts(mut self) -> Parts {
        self.closed = true;
        Parts(self.entry.take())
    }

    /// From now on the caller acts for another tenant.
    pub fn act_as(&mut self, caller: Caller) {
        if let Some(entry) = &mut self.entry {
            entry.caller = caller;
        }
    }

    pub fn caller(&self) -> Caller {
        self.entry.as_ref().map(|entry| entry.caller.clone()).unwrap_or_default()
    }

    /// What the caller wants of the cache.
    pub fn wish(&self) -> Wish {
        self.entry.as_ref().map(|entry| entry.wish).unwrap_or_default()
    }

    /// What it may cost at most, if the caller says so.
    pub fn max_cost(&self) -> Option<Usd> {
        self.entry.as_ref()?.max_cost
    }

    /// Of the request's body, which says more than its headers.
    pub fn limit_cost(&mut self, max_cost: Usd) {
        if let Some(entry) = &mut self.entry {
            entry.max_cost = Some(max_cost);
        }
    }

    /// How the caller's key stands. Absent: it has none.
    pub fn standing(&self) -> Option<Standing> {
        let entry = self.entry.as_ref()?;
        Some(entry.books.quota.standing(entry.caller.key.as_ref()?))
    }

    /// Notes who is to answer.
    pub fn planned(&mut self, plan: &Plan) {
        self.preferred.clone_from(&plan.preferred);
        self.tariff = Some(Tariff::of(plan));
    }

    /// From now on attempts have to be affordable, where anything limits the request.
    pub fn limit_chat(&mut self, request: &ChatRequest) {
        self.limit(|| Asked::Chat(Arc::new(request.clone())));
    }

    /// As above.
    pub fn limit_embeddings(&mut self, request: &EmbeddingRequest) {
        self.limit(|| Asked::Embeddings(Arc::new(request.clone())));
    }

    fn limit(&mut self, asked: impl FnOnce() -> Asked) {
        if let Some(entry) = &self.entry {
            self.purse = Purse::of(entry.max_cost, entry.caller.key.as_ref(), &entry.books.quota, asked);
        }
    }

    /// The cache has its answer.
    pub fn hit(&mut self, kept: Arc<Kept>) {
        self.cached = Cached::Hit(kept);
    }

    /// The cache does not have it. With a ticket, what comes is kept.
    pub fn missed(&mut self, ticket: Option<Ticket>) {
        self.cached = Cached::Miss(ticket.map(|ticket| Box::new(Keeping::new(ticket))));
    }

    /// The answer that was given before, if it is one.
    pub fn kept(&self) -> Option<&Arc<Kept>> {
        match &self.cached {
            Cached::Hit(kept) => Some(kept),
            Cached::Off | Cached::Miss(_) => None,
        }
    }

    /// `hit`, `miss` or `off`.
    pub fn cache_word(&self) -> &'static str {
        match self.cached {
            Cached::Off => "off",
            Cached::Miss(_) => "miss",
            Cached::Hit(_) => "hit",
        }
    }

    /// What of the request its provider could not take, for whoever gets the same answer again.
    pub fn left_out(&mut self, dropped: &[Dropped]) {
        if let Cached::Miss(Some(keeping)) = &mut self.cached {
            keeping.dropped(dropped);
        }
    }

    /// What it has cost, if that can be said already: an answer that still comes may cost anything.
    pub fn known_cost(&self) -> Option<Usd> {
        self.cost().filter(|_| !self.stream || self.answering.is_none() || self.is_whole)
    }

    /// What all attempts cost. Absent: of one it is not known.
    pub fn cost(&self) -> Option<Usd> {
        tariff::total(&self.bills)
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

    /// Notes what is asked, and of whom.
    pub fn asked(&mut self, request: &ChatRequest, target: &Target) {
        self.stream = request.stream;
        self.answered.tier = ServiceTier::of_extras(&request.extras);
        self.asked_model = asked_model(target);
        let writes = self.entry.as_ref().is_some_and(|entry| entry.books.log_prompts || entry.books.contents);
        self.texts = writes.then(|| Texts { prompt: prompt_text(request), response: String::new() });
    }

    /// Notes of whom embeddings are asked.
    pub fn asked_embeddings(&mut self, target: &Target) {
        self.asked_model = asked_model(target);
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

    /// What each of them cost.
    pub fn costs(&self) -> impl Iterator<Item = Option<Usd>> {
        self.bills.iter().map(|bill| bill.cost.map(|cost| cost.total()))
    }

    /// Retries and fallbacks: attempts that were made because another one had failed.
    pub fn retries(&self) -> usize {
        self.attempts.iter().filter(|attempt| matches!(attempt.why, Why::Retry | Why::OtherKey | Why::Fallback)).count()
    }

    /// Who answered, or answered before, or was asked last.
    pub fn answered_by(&self) -> Option<AnsweredBy<'_>> {
        let attempt = self.attempts.last().map(|attempt| (&attempt.provider, &attempt.model, attempt.simulated));
        let kept = || self.kept().map(|kept| (&kept.provider, &kept.model, kept.simulated));
        attempt.or_else(kept).map(|(provider, model, simulated)| AnsweredBy { provider, model, simulated })
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

    /// Notes for how long an equal request was waited for.
    pub fn waited_for_another(&mut self, waited: Duration) {
        self.waited_for_another += waited;
    }

    /// Time spent in the gateway itself until now. Said once, when the answer's head goes out.
    pub fn overhead(&mut self) -> Duration {
        let elsewhere: Duration = self.attempts.iter().map(|attempt| attempt.waited + attempt.elsewhere + attempt.backoff).sum();
        *self.overhead.get_or_insert_with(|| self.context.started.elapsed().saturating_sub(elsewhere + self.waited_for_another))
    }

    /// Notes an answer that came whole.
    pub fn answered(&mut self, answer: &ChatResponse) {
        self.is_whole = true;
        if let Cached::Miss(Some(keeping)) = &mut self.cached {
            keeping.whole(|| KeptAnswer::Chat(answer.clone()));
        }
        self.usage.clone_from(&answer.usage);
        self.answered.model = answer.model.as_deref().map(model_name);
        self.answered.tier = ServiceTier::of_extras(&answer.extras).or(self.answered.tier);
        self.finish = answer.choices.first().map(|choice| choice.finish.reason);
        self.bill_answer();
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
        if let Cached::Miss(Some(keeping)) = &mut self.cached {
            keeping.whole(|| KeptAnswer::Embeddings(answer.clone()));
        }
        self.usage.clone_from(&answer.usage);
        self.answered.model = answer.model.as_deref().map(model_name);
        self.bill_answer();
    }

    /// Notes one event of a stream.
    pub fn event(&mut self, event: &ChatEvent) {
        if self.is_whole {
            return;
        }
        if let Cached::Miss(Some(keeping)) = &mut self.cached {
            keeping.event(event);
        }
        match event {
            ChatEvent::Started(start) => {
                self.answered.model = start.model.as_deref().map(model_name).or(self.answered.model.take());
                self.answered.tier = ServiceTier::of_extras(&start.extras).or(self.answered.tier);
            }
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

    /// Closes the account: the request is billed, written down and logged.
    ///
    /// # Errors
    /// When it could not be written down, and nothing may be answered that isn't.
    pub fn close(mut self, ending: Ending<'_>) -> Result<(), LedgerDown> {
        let written = self.finish(ending);
        self.closed = true;
        let is_required = self.entry.as_ref().is_some_and(|entry| entry.is_ledger_required);
        if is_required { written } else { Ok(()) }
    }

    fn finish(&mut self, ending: Ending<'_>) -> Result<(), LedgerDown> {
        self.finish_stream(ending.error);
        if let Some(purse) = self.purse.take() {
            self.reservation = purse.reservation_id();
            purse.settle(&self.bills);
        }
        let written = self.write(ending);
        self.count_used();
        self.log(ending);
        self.give_to_the_cache(ending);
        written
    }

    fn count_used(&self) {
        for (attempt, bill) in self.attempts.iter().zip(&self.bills) {
            let Some(usage) = &bill.usage else { continue };
            metrics::used(&metrics::Used {
                provider: &attempt.provider,
                model: attempt.is_listed.then_some(&attempt.model),
                tokens: TokenCounts::of(usage).by_kind(),
                cost: bill.cost.map(|cost| cost.total().to_f64()),
            });
        }
    }

    /// The answer's own attempt is billed by what the provider said of it.
    fn bill_answer(&mut self) {
        let Some(at) = self.answering else { return };
        if let (Some(tariff), Some(attempt), Some(bill)) = (&self.tariff, self.attempts.get(at), self.bills.get_mut(at)) {
            *bill = tariff.bill(attempt, &self.answered, self.usage.clone());
        }
    }

    fn bill_failed(&self, attempt: &Attempt) -> Bill {
        match &self.tariff {
            Some(tariff) => tariff.bill(attempt, &tariff::Answered { model: None, tier: self.answered.tier }, attempt.used.clone()),
            None => Bill::free(),
        }
    }

    /// Only what came whole and went well.
    fn give_to_the_cache(&mut self, ending: Ending<'_>) {
        let Cached::Miss(keeping) = &mut self.cached else { return };
        let Some(keeping) = keeping.take() else { return };
        let own = self.answering.and_then(|at| Some((self.attempts.get(at)?, self.bills.get(at)?)));
        match (own, ending.error) {
            (Some((attempt, bill)), None) => keeping.keep(attempt, bill.cost.map(|cost| cost.total()), self.is_shortened),
            // What is wrong with the request is wrong for all who ask the same: they need not find out one after the other.
            (_, Some((kind, _))) if !may_pass(kind) => keeping.release(),
            // The next one asks.
            _ => drop(keeping),
        }
    }

    fn log(&mut self, ending: Ending<'_>) {
        metrics::request(self.context.route, ending.status);
        let overhead = self.overhead();
        let upstream = self.upstream();
        let (by, last) = (self.answered_by(), self.attempts.last());
        let usage = self.usage.as_ref();
        tracing::info!(
            target: "llm_gateway::request",
            request_id = %self.context.id,
            route = self.context.route,
            tenant = &*self.caller().tenant,
            key_id = self.key_id(),
            provider = by.map(|by| by.provider),
            model = self.answered.model.as_deref().or(by.map(|by| by.model)),
            plugin_version = last.map(|attempt| attempt.plugin_version.as_str()),
            simulated = by.is_some_and(|by| by.simulated).then_some(true),
            stream = self.stream,
            status = ending.status,
            error_type = ending.error.map(|(kind, _)| kind.as_str()),
            error = ending.error.map(|(_, message)| message),
            finish_reason = self.finish.map(finish_word),
            latency_ms = milliseconds(self.context.started.elapsed()),
            upstream_ms = milliseconds(upstream),
            gateway_us = u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX),
            attempts = self.attempts.len(),
            input_tokens = usage.and_then(|usage| usage.input),
            output_tokens = usage.and_then(|usage| usage.output),
            cache_read_tokens = usage.and_then(|usage| usage.cache_read),
            cache_write_tokens = usage.and_then(|usage| usage.cache_write),
            reasoning_tokens = usage.and_then(|usage| usage.reasoning),
            dropped_params = self.dropped_params.as_deref(),
            tokens_estimated = usage.is_some_and(estimate::is_estimated).then_some(true),
            cost_usd = self.cost().map(Usd::to_f64),
            cache = self.cache_word(),
            prompt = self.logged_texts().map(|texts| texts.prompt.as_str()),
            response = self.logged_texts().map(|texts| texts.response.as_str()),
            "request"
        );
    }

    /// Time spent waiting for providers.
    fn upstream(&self) -> Duration {
        let earlier: Duration = self.attempts.iter().map(|attempt| attempt.waited).sum();
        earlier.max(self.waited_streaming)
    }

    fn logged_texts(&self) -> Option<&Texts> {
        self.texts.as_ref().filter(|_| self.entry.as_ref().is_some_and(|entry| entry.books.log_prompts))
    }

    fn key_id(&self) -> Option<&str> {
        self.entry.as_ref()?.caller.key.as_ref().map(|key| &*key.id)
    }
}

impl Observer for Account {
    async fn afford(&mut self, candidate: &Candidate) -> Result<Allowance, Unaffordable> {
        match (&mut self.purse, &self.tariff) {
            (Some(purse), Some(tariff)) => {
                let allowance = purse.afford(candidate, tariff).await?;
                self.is_shortened |= allowance.max_output.is_some();
                Ok(allowance)
            }
            _ => Ok(Allowance::default()),
        }
    }

    fn not_asked(&mut self, candidate: &Candidate) {
        if let Some(purse) = &mut self.purse {
            purse.not_asked(candidate);
        }
    }

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
        self.book(attempt);
    }

    fn left_alone(&mut self, candidate: &LeftAlone) {
        self.left_alone.retain(|known| (&known.provider, &known.model) != (&candidate.provider, &candidate.model));
        self.left_alone.push(candidate.clone());
    }
}

impl Account {
    fn book(&mut self, attempt: Attempt) {
        let bill = if attempt.error.is_some() { self.bill_failed(&attempt) } else { Bill::free() };
        if attempt.error.is_none() {
            self.answering = Some(self.attempts.len());
        } else if let Some(purse) = &mut self.purse {
            purse.ended(&attempt, &bill);
        }
        self.attempts.push(attempt);
        self.bills.push(bill);
    }

    /// Bills and logs the attempt that streamed, now that it is over.
    fn finish_stream(&mut self, error: Option<(ErrorKind, &str)>) {
        let (Some(began), Some(attempt)) = (self.streaming.take(), self.attempts.last_mut()) else { return };
        attempt.duration = began.elapsed();
        attempt.waited = attempt.waited.max(self.waited_streaming);
        attempt.error = error.map(|(kind, message)| (kind, message.to_owned()));
        let attempt = attempt.clone();
        if error.is_some() {
            self.usage = attempt.meter.used();
        }
        self.bill_answer();
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
            tenant = &*self.caller().tenant,
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
            attempt.used = attempt.meter.used();
            self.log_attempt(&attempt, self.attempts.len() + 1);
            self.book(attempt);
        }
        let _ = self.finish(Ending { status: CLIENT_CLOSED_REQUEST, error: Some((ErrorKind::Cancelled, left)) });
    }
}

impl Texts {
    fn push_response(&mut self, text: &str) {
        let room = LOGGED_TEXT_BYTES.saturating_sub(self.response.len());
        self.response.push_str(&text[..text.floor_char_boundary(room)]);
    }
}

/// Whether an equal request may fare better.
fn may_pass(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ModelNotFound
        | ErrorKind::Unsupported
        | ErrorKind::ContextLength
        | ErrorKind::RequestTooLarge
        | ErrorKind::ContentRefused
        | ErrorKind::Authentication
        | ErrorKind::Permission
        | ErrorKind::NotFound
        | ErrorKind::QuotaExhausted
        | ErrorKind::Plugin => false,
        // Another caller may have more time or money.
        ErrorKind::RateLimited
        | ErrorKind::BudgetExceeded
        | ErrorKind::Overloaded
        | ErrorKind::Timeout
        | ErrorKind::Provider
        | ErrorKind::Malformed
        | ErrorKind::Unreachable
        | ErrorKind::Unavailable
        | ErrorKind::Cancelled => true,
    }
}

/// What a caller wrote as `model`, as long as a name is. Absent: nothing.
fn asked_model(target: &Target) -> Option<String> {
    match target {
        Target::Any(_) => None,
        Target::Name(name) => Some(model_name(name)),
        Target::Provider { provider, model: None, .. } => Some(model_name(provider)),
        Target::Provider { provider, model: Some(model), .. } => Some(model_name(&format!("{provider}/{model}"))),
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
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Rules;
    use crate::contract::{Choice, Finish};
    use crate::domain::estimate::Prompt;
    use crate::domain::{chat_request, events_of, part};
    use crate::metrics::tests::counted;
    use crate::plan::tests::provider;
    use crate::price::{ModelPrice, PriceSource, Rates};

    fn account() -> Account {
        let id = RequestId::generate();
        Account::open(CallContext { id, route: "/api/query", started: std::time::Instant::now(), deadline: None, session: None })
    }

    pub(super) fn attempted(provider: &str, model: &str, error: Option<ErrorKind>) -> Attempt {
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
            meter: Arc::default(),
            used: None,
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
            account.close(Ending { status: 200, error: None }).unwrap();
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

    /// A dollar for a million tokens in, ten for a million out.
    fn billed(account: &mut Account) {
        let price = ModelPrice::new(PriceSource::GatewayToml, Rates::of_text(1_000_000, 10_000_000), Vec::new());
        let rules = Rules { prices: [("acme/m".to_owned(), Arc::new(price))].into(), ..Rules::default() };
        account.tariff = Some(Tariff::new(Arc::new(rules), vec![provider("acme")]));
    }

    fn used(input: u32, output: u32) -> Usage {
        Usage { input: Some(input), cache_read: None, cache_write: None, output: Some(output), reasoning: None, details: Vec::new() }
    }

    #[test]
    fn an_answer_that_came_whole_is_billed_once_also_where_it_is_told_as_a_stream() {
        let finish = Finish { reason: FinishReason::Stop, raw: None, stop_sequence: None, extras: Vec::new() };
        let choice = Choice { index: 0, parts: vec![part(PartBody::Text("Hi".into()))], finish, logprobs: None };
        let answer = ChatResponse { id: None, model: None, choices: vec![choice], usage: Some(used(1000, 100)), extras: Vec::new() };
        let mut account = account();
        account.stream = true;
        billed(&mut account);
        make(&mut account, attempted("acme", "m", None));
        account.answered(&answer);
        events_of(answer).iter().for_each(|event| account.event(event));
        assert_eq!(account.known_cost(), Usd::from_f64(0.002));
        account.close(Ending { status: 200, error: None }).unwrap();
    }

    #[test]
    fn a_failed_attempt_is_billed_for_what_it_used_and_a_refused_one_for_nothing() {
        let mut account = account();
        billed(&mut account);
        make(&mut account, attempted("acme", "m", Some(ErrorKind::RateLimited)));
        make(&mut account, Attempt { used: Some(used(1000, 0)), ..attempted("acme", "m", Some(ErrorKind::Timeout)) });
        assert_eq!(account.costs().collect::<Vec<_>>(), [Some(Usd::ZERO), Usd::from_f64(0.001)]);
        make(&mut account, Attempt { used: Some(used(1, 1)), ..attempted("acme", "unpriced", Some(ErrorKind::Timeout)) });
        assert_eq!(account.cost(), None, "what is not known is not nothing");
        account.close(Ending { status: 504, error: Some((ErrorKind::Timeout, "late")) }).unwrap();
    }

    #[test]
    fn who_leaves_a_request_that_was_sent_pays_for_it() {
        let series = counted(|| {
            let mut account = account();
            billed(&mut account);
            let attempt = attempted("acme", "m", None);
            attempt.meter.begin_for_test(Prompt::of(&chat_request(String::new(), Vec::new())));
            attempt.meter.output(|output| output.add(&ChatEvent::Usage(used(1000, 100))));
            account.began(&attempt);
            drop(account);
        });
        assert_eq!(series[r#"llm_gateway_cost_usd_total{provider="acme",model="m"}"#], 0.002);
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
