//! The loop: one candidate after the other, until one answers.
//!
//! Owns: turns, leave to ask, retries, other keys, hedging, the end of the caller's time. Not here: who the candidates are (`plan`), what one attempt does
//! (`Exchange`), whether a failure is worth another try (`retry`), who is left alone (`health`).
//!
//! Nothing is held while nothing is asked: a turn is given back before a backoff. All of it runs in the caller's future, so it ends when the caller leaves.

use super::failure::{AttemptError, Late, LeftAlone, UpstreamError};
use super::retry::{self, Advice, Again, Next};
use super::{Allowance, Attempt, Driver, Exchange, Observer, Target, Why};
use crate::admission::Turn;
use crate::config::{RetryPolicy, Rules};
use crate::domain::{CallContext, ErrorKind};
use crate::health::{Pass, Refusal, Subject};
use crate::plan::{Candidate, Plan};
use crate::plugin::Fault;
use crate::provider::{Credential, Ready};
use jiff::Timestamp;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

/// When nobody waits any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    pub(super) at: Instant,
    /// What is said when it has come.
    pub(super) error: Late,
}

impl Until {
    pub(super) fn of(context: &CallContext, limit: Duration) -> Self {
        let began = Instant::from_std(context.started);
        let by_rules = Self { at: began + limit, error: Late::Rules(limit) };
        let by_caller = context.deadline.map(|deadline| {
            let error = Late::Caller(deadline.saturating_duration_since(context.started));
            Self { at: Instant::from_std(deadline), error }
        });
        by_caller.filter(|caller| caller.at < by_rules.at).unwrap_or(by_rules)
    }

    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// Of what the rules and the caller give a request.
pub fn time_left(context: &CallContext, limit: Duration) -> Duration {
    Until::of(context, limit).left()
}

/// An answer, and whom it came from.
pub(super) struct Driven<A> {
    pub(super) answer: A,
    /// To be held as long as the answer is being read.
    pub(super) turn: Turn,
    pub(super) candidate: Candidate,
}

/// One request on its way along its candidates.
struct Course<'a, E, O> {
    driver: &'a Driver,
    rules: &'a Rules,
    policy: RetryPolicy,
    until: Until,
    exchange: E,
    observer: &'a mut O,
    /// The failure that is told if nobody answers.
    failed: Option<AttemptError>,
    left_alone: Vec<LeftAlone>,
    /// Waited before the next attempt.
    backoff: Duration,
    why: Why,
}

/// An attempt that is over.
struct Tried<A> {
    attempt: Attempt,
    turn: Turn,
    result: Result<A, AttemptError>,
}

/// Whether a candidate may be asked now.
enum Leave {
    Given((Turn, Pass)),
    Refused(Refusal),
    /// The gateway has no turn for it.
    Overloaded(AttemptError),
}

/// What became of a candidate.
enum Step<A> {
    Answered(Driven<A>),
    /// Neither it nor another one will answer this.
    Over(AttemptError),
    Next,
}

/// A second candidate to ask beside the first.
#[derive(Clone, Copy)]
struct Hedge<'a> {
    candidate: &'a Candidate,
    after: Duration,
}

/// Who of two came first.
#[allow(clippy::large_enum_variant, reason = "there is one of them for a moment")]
enum Raced<A> {
    First { tried: Tried<A>, hedge_failed: bool },
    Second(Driven<A>),
}

impl Driver {
    pub(super) async fn drive<E: Exchange>(
        &self,
        plan: Plan,
        context: &CallContext,
        exchange: E,
        observer: &mut impl Observer,
    ) -> Result<Driven<E::Answer>, AttemptError> {
        let course = Course {
            driver: self,
            rules: &plan.rules,
            policy: RetryPolicy { max_retries: plan.max_retries.unwrap_or(self.retry.max_retries), ..self.retry },
            until: Until::of(context, plan.request_timeout),
            exchange,
            observer,
            failed: None,
            left_alone: Vec::new(),
            backoff: Duration::ZERO,
            why: Why::First,
        };
        course.run(&plan).await
    }
}

impl<E: Exchange, O: Observer> Course<'_, E, O> {
    async fn run(mut self, plan: &Plan) -> Result<Driven<E::Answer>, AttemptError> {
        let mut waits = 0;
        loop {
            self.left_alone.clear();
            let mut rest = plan.rest.iter();
            let mut next = Some(&plan.first);
            let mut hedge = plan.hedge_after.and_then(|after| Some(Hedge { candidate: plan.rest.first()?, after }));
            while let Some(candidate) = next {
                let (step, hedge_failed) = self.ask(candidate, hedge.take()).await;
                match step {
                    Step::Answered(driven) => return Ok(driven),
                    Step::Over(error) => return Err(error),
                    Step::Next if self.failed.is_some() => self.why = Why::Fallback,
                    Step::Next => {}
                }
                if hedge_failed {
                    rest.next();
                }
                next = rest.next();
            }
            if let Some(error) = self.failed {
                return Err(error);
            }
            let wait = retry::wait_for(&self.policy, self.left_alone.iter().map(LeftAlone::of), waits, self.until.left(), &mut rand::rng());
            // Else all who are refused would wait here, and take the places of those who ask others.
            let wait = wait.filter(|_| self.may_wait());
            let Some(wait) = wait else { return Err(AttemptError::LeftAlone(self.left_alone)) };
            tokio::time::sleep(wait).await;
            (waits, self.backoff) = (waits + 1, self.backoff + wait);
        }
    }

    /// Asks one candidate, until it answers or is given up. Tells too whether its hedge was asked in vain.
    async fn ask(&mut self, candidate: &Candidate, mut hedge: Option<Hedge<'_>>) -> (Step<E::Answer>, bool) {
        let keys = subject(candidate).keys.len();
        let mut hedge_failed = false;
        let (mut retries, mut keys_left) = (0, keys);
        loop {
            // Before the turn: it may take a while, and a turn is others' too.
            let allowance = match self.afford(candidate).await {
                Ok(allowance) => allowance,
                Err(step) => return (step, hedge_failed),
            };
            let leave = match self.leave(candidate).await {
                Leave::Given(leave) => leave,
                Leave::Refused(refusal) => {
                    self.observer.not_asked(candidate);
                    match self.come_back(candidate, refusal, retries) {
                        Some(after) => {
                            tokio::time::sleep(after).await;
                            (retries, self.backoff) = (retries + 1, self.backoff + after);
                            continue;
                        }
                        None => {
                            self.leave_alone(candidate, refusal);
                            return (Step::Next, hedge_failed);
                        }
                    }
                }
                Leave::Overloaded(error) => return (Step::Over(self.failed.take().unwrap_or(error)), hedge_failed),
            };
            let tried = match self.race(candidate, leave, allowance, hedge.take()).await {
                Raced::Second(driven) => return (Step::Answered(driven), hedge_failed),
                Raced::First { tried, hedge_failed: in_vain } => {
                    hedge_failed |= in_vain;
                    tried
                }
            };
            let reset = tried.attempt.limits_reset;
            let is_late = self.until.left().is_zero();
            let error = match self.close(candidate, tried) {
                Ok(driven) => return (Step::Answered(driven), hedge_failed),
                Err(error) => error,
            };
            if is_late {
                return (Step::Over(error), hedge_failed);
            }
            keys_left = keys_left.saturating_sub(1);
            let mut advice = error.advice(Timestamp::now(), reset);
            if keys > 1 && error.is_of_the_key() {
                if keys_left > 0 && self.may_ask_with_another_key(candidate, &error) {
                    (self.why, self.backoff) = (Why::OtherKey, Duration::ZERO);
                    self.note(error);
                    continue;
                }
                advice.again = self.again_with_any_key(candidate, &error, advice.again);
            }
            let next = retry::next(&self.policy, advice, retries, self.until.left(), &mut rand::rng());
            match next {
                Next::Retry { after } if self.may_retry(candidate) => {
                    self.note(error);
                    tokio::time::sleep(after).await;
                    (retries, self.backoff, self.why) = (retries + 1, after, Why::Retry);
                    keys_left = keys;
                }
                Next::GiveUp => return (Step::Over(error), hedge_failed),
                Next::Retry { .. } | Next::Fallback if advice.elsewhere => {
                    self.note(error);
                    return (Step::Next, hedge_failed);
                }
                Next::Retry { .. } | Next::Fallback => return (Step::Over(error), hedge_failed),
            }
        }
    }

    /// What may be spent on a candidate, within the request's time.
    async fn afford(&mut self, candidate: &Candidate) -> Result<Allowance, Step<E::Answer>> {
        match tokio::time::timeout_at(self.until.at, self.observer.afford(candidate)).await {
            Ok(Ok(allowance)) => Ok(allowance),
            Ok(Err(error)) => {
                self.note(AttemptError::Unaffordable(error));
                Err(Step::Next)
            }
            Err(_) => Err(Step::Over(AttemptError::Upstream(UpstreamError::Late(self.until.error)))),
        }
    }

    /// A turn, and leave to ask with it. Nobody waits for a turn to ask whom it is known that it is left alone.
    async fn leave(&self, candidate: &Candidate) -> Leave {
        let (driver, until) = (self.driver, self.until);
        let turn = match driver.admission.try_turn() {
            Some(turn) => turn,
            None => {
                if let Some(refusal) = driver.health.refuses(subject(candidate), Instant::now()) {
                    return Leave::Refused(refusal);
                }
                match turn(driver, until).await {
                    Ok(turn) => turn,
                    Err(error) => return Leave::Overloaded(error),
                }
            }
        };
        match driver.health.admit(subject(candidate), Instant::now()) {
            Ok(pass) => Leave::Given((turn, pass)),
            Err(refusal) => Leave::Refused(refusal),
        }
    }

    /// Whom a request has asked already, and who takes no more for a while, it comes back to like after any other failure.
    fn come_back(&self, candidate: &Candidate, refusal: Refusal, retries: u32) -> Option<Duration> {
        let (Refusal::Limited { until }, Why::Retry | Why::OtherKey) = (refusal, self.why) else { return None };
        let advice = Advice { again: Again::After(until.saturating_duration_since(Instant::now())), elsewhere: true };
        match retry::next(&self.policy, advice, retries, self.until.left(), &mut rand::rng()) {
            Next::Retry { after } => self.may_retry(candidate).then_some(after),
            Next::Fallback | Next::GiveUp => None,
        }
    }

    /// For the first that takes requests again.
    fn may_wait(&self) -> bool {
        let first = self.left_alone.iter().filter(|one| one.is_limited).min_by_key(|one| one.wait);
        first.is_some_and(|one| self.driver.health.may_retry(&one.provider, Instant::now()))
    }

    fn may_retry(&self, candidate: &Candidate) -> bool {
        self.driver.health.may_retry(&candidate.provider.id, Instant::now())
    }

    /// Keys that are limited one after the other are a storm like any; one that is not accepted is found out once.
    fn may_ask_with_another_key(&self, candidate: &Candidate, error: &AttemptError) -> bool {
        error.kind() != ErrorKind::RateLimited || self.may_retry(candidate)
    }

    /// Which of several keys is good again first, the last one's failure does not say.
    fn again_with_any_key(&self, candidate: &Candidate, error: &AttemptError, by_the_last: Again) -> Again {
        let now = Instant::now();
        match self.driver.health.refuses(subject(candidate), now) {
            Some(Refusal::Limited { until }) => Again::After(until.saturating_duration_since(now)),
            None if error.kind() == ErrorKind::RateLimited => Again::AfterBackoff,
            Some(Refusal::Open { .. }) | None => by_the_last,
        }
    }

    fn leave_alone(&mut self, candidate: &Candidate, refusal: Refusal) {
        let (is_limited, until) = match refusal {
            Refusal::Limited { until } => (true, until),
            Refusal::Open { until } => (false, until),
        };
        let wait = until.saturating_duration_since(Instant::now());
        let left = LeftAlone { provider: candidate.provider.id.clone(), model: candidate.model.clone(), is_limited, wait };
        self.observer.left_alone(&left);
        self.left_alone.push(left);
    }

    /// Of several failures, one that may pass says more to who can only come back than one that will not.
    fn note(&mut self, error: AttemptError) {
        let says_less = |kept: &AttemptError| kept.may_pass() && !error.may_pass();
        if !self.failed.as_ref().is_some_and(says_less) {
            self.failed = Some(error);
        }
    }

    fn begin(&mut self, candidate: &Candidate, pass: &Pass, why: Why) -> Attempt {
        let attempt = Attempt::new(candidate, why, pass.key, std::mem::take(&mut self.backoff));
        self.observer.began(&attempt);
        attempt
    }

    /// One attempt; if it has not answered after the hedge's time, a second one beside it.
    async fn race(
        &mut self,
        candidate: &Candidate,
        (turn, pass): (Turn, Pass),
        allowance: Allowance,
        hedge: Option<Hedge<'_>>,
    ) -> Raced<E::Answer> {
        let attempt = self.begin(candidate, &pass, self.why);
        let (driver, rules, until) = (self.driver, self.rules, self.until);
        let asking = Asking { driver, rules, until, allowance };
        let Some(hedge) = hedge else {
            return Raced::First { tried: asking.once(candidate, &mut self.exchange, attempt, (turn, pass)).await, hedge_failed: false };
        };
        let (began, loser) = (Instant::now(), attempt.clone());
        let mut own = self.exchange.clone();
        let mut first = pin!(asking.once(candidate, &mut own, attempt, (turn, pass)));
        tokio::select! {
            tried = first.as_mut() => return Raced::First { tried, hedge_failed: false },
            () = tokio::time::sleep(hedge.after) => {}
        }
        let Some(leave) = self.spare(hedge.candidate) else {
            return Raced::First { tried: first.await, hedge_failed: false };
        };
        let allowance = tokio::select! {
            biased;
            tried = first.as_mut() => return Raced::First { tried, hedge_failed: false },
            allowance = self.observer.afford(hedge.candidate) => allowance,
        };
        let Ok(allowance) = allowance else {
            return Raced::First { tried: first.await, hedge_failed: false };
        };
        let attempt = self.begin(hedge.candidate, &leave.1, Why::Hedge);
        let asking = Asking { allowance, ..asking };
        let hedge_began = Instant::now();
        let hedge_loser = attempt.clone();
        let mut hedging = self.exchange.clone();
        let mut second = pin!(asking.once(hedge.candidate, &mut hedging, attempt, leave));
        tokio::select! {
            tried = first.as_mut() => match &tried.result {
                Ok(_) => {
                    self.observer.ended(hedge_loser.lost(hedge_began.elapsed()));
                    Raced::First { tried, hedge_failed: false }
                }
                // What is wrong with the request is wrong everywhere.
                Err(error) if !error.advice(Timestamp::now(), None).elsewhere => {
                    self.observer.ended(hedge_loser.lost(hedge_began.elapsed()));
                    Raced::First { tried, hedge_failed: true }
                }
                Err(_) => {
                    let later = second.await;
                    match self.close_hedge(hedge.candidate, later, || tried.attempt.clone()) {
                        Some(driven) => Raced::Second(driven),
                        None => Raced::First { tried, hedge_failed: true },
                    }
                }
            },
            tried = second.as_mut() => match self.close_hedge(hedge.candidate, tried, || loser.lost(began.elapsed())) {
                Some(driven) => Raced::Second(driven),
                None => Raced::First { tried: first.await, hedge_failed: true },
            },
        }
    }

    /// What a hedge gave. If it is an answer, `first`, the attempt beside it, is over too, and told before it: the last attempt is the one that answered.
    fn close_hedge(
        &mut self,
        candidate: &Candidate,
        tried: Tried<E::Answer>,
        first: impl FnOnce() -> Attempt,
    ) -> Option<Driven<E::Answer>> {
        if tried.result.is_ok() {
            self.observer.ended(first());
        }
        self.close(candidate, tried).map_err(|error| self.note(error)).ok()
    }

    fn close(&mut self, candidate: &Candidate, tried: Tried<E::Answer>) -> Result<Driven<E::Answer>, AttemptError> {
        self.observer.ended(tried.attempt);
        let turn = tried.turn;
        tried.result.map(|answer| Driven { answer, turn, candidate: candidate.clone() })
    }

    /// Leave to ask somebody beside another, which nobody waits for.
    fn spare(&self, candidate: &Candidate) -> Option<(Turn, Pass)> {
        let now = Instant::now();
        let turn = self.driver.admission.try_turn()?;
        let pass = self.driver.health.admit(subject(candidate), now).ok()?;
        self.driver.health.may_retry(&candidate.provider.id, now).then_some((turn, pass))
    }
}

/// What every attempt of a request is made with.
#[derive(Clone, Copy)]
struct Asking<'a> {
    driver: &'a Driver,
    rules: &'a Rules,
    until: Until,
    allowance: Allowance,
}

impl Asking<'_> {
    /// One attempt, with its account.
    async fn once<E: Exchange>(
        self,
        candidate: &Candidate,
        exchange: &mut E,
        mut attempt: Attempt,
        (turn, pass): (Turn, Pass),
    ) -> Tried<E::Answer> {
        let began = Instant::now();
        let credential = credential(candidate, pass.key);
        let target = Target { driver: self.driver, rules: self.rules, candidate, credential, pass: &pass, until: self.until };
        exchange.address(candidate, self.allowance);
        let result = tokio::time::timeout_at(self.until.at, exchange.run(&target, &mut attempt)).await;
        let result = result.unwrap_or(Err(AttemptError::Upstream(UpstreamError::Late(self.until.error))));
        let result = result.map_err(|error| error.tamed(credential.and_then(Credential::key)));
        attempt.duration = began.elapsed();
        if let Err(error) = &result {
            attempt.status = attempt.status.or(error.status());
            attempt.error = Some((error.kind(), error.message()));
            attempt.used = if attempt.may_be_billed(error) { attempt.used.or_else(|| attempt.meter.used()) } else { None };
        }
        report(pass, &result, &attempt);
        Tried { attempt, turn, result }
    }
}

/// Waits for a turn, within the request's time.
async fn turn(driver: &Driver, until: Until) -> Result<Turn, AttemptError> {
    let turn = tokio::time::timeout_at(until.at, driver.admission.turn()).await;
    turn.map_err(|_| AttemptError::Upstream(UpstreamError::Late(until.error)))?.map_err(AttemptError::Overloaded)
}

/// Says how it went to who keeps count. What is the gateway's own doing, or the caller's, says nothing of a provider.
fn report<A>(pass: Pass, result: &Result<A, AttemptError>, attempt: &Attempt) {
    let now = Instant::now();
    match result {
        // Nobody was asked: an adapter's own estimate.
        Ok(_) if attempt.status.is_none() => drop(pass),
        Ok(_) => pass.succeeded(attempt.first_byte.unwrap_or(attempt.waited), now),
        Err(error) if error.is_the_upstreams(attempt) => {
            let told = error.retry_after(Timestamp::now());
            let reset = attempt.limits_reset.filter(|_| error.kind() == ErrorKind::RateLimited);
            pass.failed(error.kind(), told.or(reset), now);
        }
        Err(_) => drop(pass),
    }
}

/// A candidate, as its health is kept.
pub(super) fn subject(candidate: &Candidate) -> Subject<'_> {
    Subject { provider: &candidate.provider.id, model: &candidate.model, keys: candidate.provider.key_ids(), kind: candidate.kind }
}

fn credential(candidate: &Candidate, key: Option<usize>) -> Option<&Credential> {
    candidate.provider.ready()?.credentials.get(key?)
}

impl<'a> Target<'a> {
    /// What it takes to ask: a plan holds only providers that are ready.
    pub(super) fn ready(&self) -> Result<&'a Ready, AttemptError> {
        self.candidate.provider.ready().ok_or(AttemptError::Plugin(Fault::NoRoom))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Upstream;
    use super::*;
    use crate::admission::Admission;
    use crate::config::{AdmissionConfig, Timeouts};
    use crate::contract::{Failure, FailureKind, Retry};
    use crate::domain::RequestId;
    use crate::health::{Health, Kind};
    use crate::provider::{Provider, State};
    use std::collections::{BTreeMap, VecDeque};
    use std::sync::{Arc, Mutex};

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// After which time, and how.
    type Scene = (Duration, Result<(), AttemptError>);
    type Script = VecDeque<Scene>;

    /// Answers with the provider's name, after the time and in the way that its script says; for ever in the way of the last entry.
    #[derive(Clone)]
    struct Scripted(Arc<Mutex<BTreeMap<String, Script>>>);

    impl Scripted {
        fn new(scripts: &[(&str, &[Scene])]) -> Self {
            let scripts = scripts.iter().map(|(provider, script)| ((*provider).to_owned(), script.iter().cloned().collect()));
            Self(Arc::new(Mutex::new(scripts.collect())))
        }
    }

    impl Exchange for Scripted {
        type Answer = String;

        fn address(&mut self, _candidate: &Candidate, _allowance: Allowance) {}

        async fn run(&mut self, target: &Target<'_>, attempt: &mut Attempt) -> Result<String, AttemptError> {
            let provider = target.candidate.provider.id.clone();
            let (after, result) = {
                let mut scripts = self.0.lock().unwrap();
                let script = scripts.get_mut(&provider).unwrap();
                if script.len() > 1 { script.pop_front().unwrap() } else { script[0].clone() }
            };
            target.pass.sent(Instant::now());
            tokio::time::sleep(after).await;
            attempt.status = Some(200);
            result.map(|()| provider)
        }
    }

    #[derive(Default)]
    struct Seen(Vec<Attempt>);

    impl Observer for Seen {
        fn began(&mut self, _attempt: &Attempt) {}
        fn ended(&mut self, attempt: Attempt) {
            self.0.push(attempt);
        }
        fn left_alone(&mut self, _candidate: &LeftAlone) {}
    }

    impl Seen {
        fn told(&self) -> Vec<(&str, &str, Option<ErrorKind>)> {
            self.0.iter().map(|it| (it.provider.as_str(), it.why.as_str(), it.error.as_ref().map(|(kind, _)| *kind))).collect()
        }
    }

    fn driver() -> Driver {
        let retry =
            RetryPolicy { max_retries: 3, initial_backoff: SECOND, max_backoff: 30 * SECOND, factor: 2.0, jitter: 0.1, budget: 0.2 };
        let admission = AdmissionConfig { max_concurrency: 1, max_queue: 10, queue_timeout: SECOND, body_memory: 1 << 20 };
        Driver {
            upstream: Upstream::new(1 << 20),
            retry,
            health: Arc::new(Health::new(0.2, 1000)),
            admission: Arc::new(Admission::new(admission)),
        }
    }

    fn candidate(provider: &str) -> Candidate {
        let state = State::Unavailable { reason: "a test's".to_owned(), version: None };
        let provider = Arc::new(Provider { id: provider.to_owned(), state });
        Candidate { provider, model: "m".to_owned(), timeouts: Timeouts::default(), kind: Kind::Whole }
    }

    fn plan(providers: &[&str]) -> Plan {
        let mut candidates = providers.iter().map(|provider| candidate(provider));
        Plan {
            first: candidates.next().unwrap(),
            rest: candidates.collect(),
            preferred: None,
            rules: Arc::default(),
            route: None,
            max_retries: None,
            hedge_after: None,
            request_timeout: 600 * SECOND,
        }
    }

    fn context(deadline: Option<Duration>) -> CallContext {
        let started = Instant::now().into_std();
        let deadline = deadline.map(|deadline| started + deadline);
        CallContext { id: RequestId::generate(), route: "/test", started, deadline, session: None }
    }

    fn failure(kind: FailureKind, retry: Retry) -> AttemptError {
        let failure = Failure {
            kind,
            message: "no".to_owned(),
            provider_type: None,
            provider_code: None,
            parameter: None,
            retry,
            extras: Vec::new(),
        };
        AttemptError::Provider { failure: Box::new(failure), status: 500 }
    }

    fn broken() -> Result<(), AttemptError> {
        Err(failure(FailureKind::Provider, Retry::Backoff))
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_is_tried_again_after_growing_waits_and_then_the_next_one_is_asked() {
        let exchange = Scripted::new(&[("a", &[(MS, broken())]), ("b", &[(MS, Ok(()))])]);
        let mut seen = Seen::default();
        let driven = driver().drive(plan(&["a", "b"]), &context(None), exchange, &mut seen).await.map_err(|error| error.message());
        assert_eq!(driven.map(|driven| driven.answer), Ok("b".to_owned()));
        let provider = Some(ErrorKind::Provider);
        assert_eq!(
            seen.told(),
            [
                ("a", "first", provider),
                ("a", "retry", provider),
                ("a", "retry", provider),
                ("a", "retry", provider),
                ("b", "fallback", None)
            ]
        );
        let waits: Vec<f64> = seen.0.iter().map(|attempt| attempt.backoff.as_secs_f64()).collect();
        for (wait, meant) in waits.iter().zip([0.0, 1.0, 2.0, 4.0, 0.0]) {
            assert!((meant * 0.9..=meant * 1.1).contains(wait), "{waits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_succeed_is_not_tried_again() {
        let refused = Err(failure(FailureKind::InvalidRequest, Retry::Never));
        let exchange = Scripted::new(&[("a", &[(MS, refused)]), ("b", &[(MS, Ok(()))])]);
        let mut seen = Seen::default();
        let outcome = driver().drive(plan(&["a", "b"]), &context(None), exchange, &mut seen).await;
        assert_eq!(outcome.err().map(|error| error.kind()), Some(ErrorKind::InvalidRequest));
        assert_eq!(seen.0.len(), 1, "a request that is wrong is wrong everywhere");
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_deadline_ends_a_hanging_attempt_and_is_said() {
        let exchange = Scripted::new(&[("a", &[(3600 * SECOND, Ok(()))])]);
        let began = Instant::now();
        let mut seen = Seen::default();
        let outcome = driver().drive(plan(&["a"]), &context(Some(1500 * MS)), exchange, &mut seen).await;
        let error = outcome.err().unwrap();
        assert_eq!((error.kind(), began.elapsed().as_millis()), (ErrorKind::Timeout, 1500));
        assert!(error.message().contains("x-gateway-timeout-ms"), "{}", error.message());
        assert_eq!(seen.told(), [("a", "first", Some(ErrorKind::Timeout))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_longer_than_the_time_left_means_the_next_candidate_at_once() {
        let limited = Err(failure(FailureKind::RateLimited, Retry::After(20_000)));
        let exchange = Scripted::new(&[("a", &[(MS, limited)]), ("b", &[(MS, Ok(()))])]);
        let began = Instant::now();
        let mut seen = Seen::default();
        let driven = driver().drive(plan(&["a", "b"]), &context(Some(10 * SECOND)), exchange, &mut seen).await;
        assert_eq!(driven.ok().map(|driven| driven.answer), Some("b".to_owned()));
        assert!(began.elapsed() < SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_failures_one_that_may_pass_is_told() {
        let limited = Err(failure(FailureKind::RateLimited, Retry::After(60_000)));
        let no_key = Err(failure(FailureKind::Authentication, Retry::Never));
        let exchange = Scripted::new(&[("a", &[(MS, limited)]), ("b", &[(MS, no_key)])]);
        let outcome = driver().drive(plan(&["a", "b"]), &context(None), exchange, &mut Seen::default()).await;
        assert_eq!(outcome.err().map(|error| error.kind()), Some(ErrorKind::RateLimited));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_limited_is_waited_for_and_everybody_comes_through() {
        let limited = Err(failure(FailureKind::RateLimited, Retry::After(1000)));
        let driver = Arc::new(Driver { admission: wide().admission, ..driver() });
        // The first to come is refused, and with it all who come within the second.
        let script = Scripted::new(&[("a", &[(MS, limited), (MS, Ok(()))])]);
        let requests: Vec<_> = (0..10)
            .map(|_| {
                let (driver, script) = (Arc::clone(&driver), script.clone());
                tokio::spawn(async move { driver.drive(plan(&["a"]), &context(None), script, &mut Seen::default()).await.is_ok() })
            })
            .collect();
        for request in requests {
            assert!(request.await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whom_nobody_answers_for_long_is_asked_after_others() {
        let driver = wide();
        let candidate = candidate("a");
        let well = Scripted::new(&[("a", &[(100 * MS, Ok(()))])]);
        for _ in 0..200 {
            driver.drive(plan(&["a"]), &context(None), well.clone(), &mut Seen::default()).await.ok().unwrap();
        }
        tokio::time::sleep(10 * SECOND).await;
        let hanging = Scripted::new(&[("a", &[(3600 * SECOND, Ok(()))])]);
        for _ in 0..15 {
            let late = driver.drive(plan(&["a"]), &context(Some(750 * MS)), hanging.clone(), &mut Seen::default()).await;
            assert_eq!(late.err().map(|error| error.kind()), Some(ErrorKind::Timeout));
        }
        assert!(driver.health.standing(subject(&candidate), Instant::now()).is_slow);
    }

    fn hedged(providers: &[&str]) -> Plan {
        Plan { hedge_after: Some(100 * MS), ..plan(providers) }
    }

    fn wide() -> Driver {
        let admission = AdmissionConfig { max_concurrency: 2, max_queue: 10, queue_timeout: SECOND, body_memory: 1 << 20 };
        Driver { admission: Arc::new(Admission::new(admission)), ..driver() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_candidate_is_overtaken_by_the_next_one() {
        let exchange = Scripted::new(&[("a", &[(60 * SECOND, Ok(()))]), ("b", &[(50 * MS, Ok(()))])]);
        let began = Instant::now();
        let mut seen = Seen::default();
        let driven = wide().drive(hedged(&["a", "b"]), &context(None), exchange, &mut seen).await;
        assert_eq!(driven.ok().map(|driven| driven.answer), Some("b".to_owned()));
        assert_eq!(began.elapsed().as_millis(), 150);
        assert_eq!(seen.told(), [("a", "first", Some(ErrorKind::Cancelled)), ("b", "hedge", None)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hedge_that_fails_leaves_the_first_to_answer_and_is_not_asked_again() {
        let exchange =
            Scripted::new(&[("a", &[(SECOND, broken()), (MS, broken())]), ("b", &[(50 * MS, broken())]), ("c", &[(MS, Ok(()))])]);
        let mut seen = Seen::default();
        let driven = wide().drive(hedged(&["a", "b", "c"]), &context(None), exchange, &mut seen).await;
        assert_eq!(driven.ok().map(|driven| driven.answer), Some("c".to_owned()));
        let asked: Vec<&str> = seen.0.iter().map(|attempt| attempt.provider.as_str()).collect();
        assert_eq!(asked, ["b", "a", "a", "a", "a", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_hedge_takes_the_last_turn() {
        let exchange = Scripted::new(&[("a", &[(SECOND, Ok(()))]), ("b", &[(MS, Ok(()))])]);
        let mut seen = Seen::default();
        let driven = driver().drive(hedged(&["a", "b"]), &context(None), exchange, &mut seen).await;
        assert_eq!((driven.ok().map(|driven| driven.answer), seen.0.len()), (Some("a".to_owned()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backoff_holds_no_turn_and_ends_when_the_caller_leaves() {
        let driver = Arc::new(driver());
        let script = Scripted::new(&[("a", &[(MS, broken())]), ("b", &[(MS, Ok(()))])]);
        let waiting = {
            let (driver, script) = (Arc::clone(&driver), script.clone());
            tokio::spawn(async move {
                let _ = driver.drive(plan(&["a"]), &context(None), script, &mut Seen::default()).await;
            })
        };
        tokio::time::sleep(10 * MS).await;
        let driven = driver.drive(plan(&["b"]), &context(None), script.clone(), &mut Seen::default()).await;
        assert!(driven.is_ok(), "the one turn is free while the other request waits");
        waiting.abort();
        assert!(waiting.await.is_err());
        drop(driven);
        assert!(driver.admission.try_turn().is_some());
    }
}
