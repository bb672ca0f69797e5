//! The line that every request goes along, from a parsed call to an answer. Read this first.
//!
//! The HTTP edge lets a caller in and parses a dialect into a [`Call`] before, and renders the answer in the same dialect after. Each step is a module with a narrow type
//! in and out; they meet only here.

use crate::access::{Caller, GatewayKey};
use crate::attempt::{Answer, Answered, AttemptError, Counted, Driver, Embedded, Preview, time_left};
use crate::cache::{AnswerCache, Asker, Fingerprint, Kept, KeptAnswer, Looked, Use};
use crate::contract::ChatRequest;
use crate::contract::embeddings::EmbeddingRequest;
use crate::domain::{Call, Target};
use crate::metrics::{self, CacheOutcome};
use crate::plan::{self, Conditions, Explanation, Needs, Plan, PlanError, Priced};
use crate::provider::Snapshot;
use crate::settle::{Account, Books, Quote};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How long a request waits for what becomes of an equal one.
const PATIENCE: Duration = Duration::from_secs(60);

/// What requests are answered with.
pub struct Gateway {
    /// Replaced whole when a plugin comes, goes or is replaced.
    pub providers: Arc<ArcSwap<Snapshot>>,
    pub driver: Driver,
    pub cache: AnswerCache,
    pub books: Arc<Books>,
}

/// Why a call was not answered.
#[derive(Debug, Clone)]
pub enum CallFailure {
    Plan(PlanError),
    /// The caller wants only what the cache has.
    NotCached,
    /// With what was tried, in one sentence, where that was more than one attempt.
    Attempt(AttemptError, Option<String>),
}

/// Answers one call. The account says what happened on the way; who renders the answer closes it. `asker`: on which kind of route it came.
///
/// # Errors
/// Why nobody answered.
pub async fn answer(gateway: &Gateway, account: &mut Account, call: Call, asker: Asker) -> Result<Answered, CallFailure> {
    account.asked(&call.request, &call.target);
    let needs = Needs::of_chat(&call.request, call.context.session.as_deref());
    let plan = permitted(gateway, &account.caller(), &call.target, &needs)?;
    let used = gateway.cache.policy(&plan.rules.cache).of_chat(&account.wish(), asker, &call.request);
    if used == Use::NONE {
        metrics::cache_request(CacheOutcome::Off);
    } else {
        let fingerprint = Fingerprint::of_chat(plan.rules.cache.scope, &account.caller().tenant, &plan, &call.request, &call.blobs);
        if let Some(kept) = look(gateway, account, (fingerprint, used), plan.request_timeout).await?
            && let KeptAnswer::Chat(answer) = &kept.answer
        {
            return Ok(Answered { answer: Answer::Whole(answer.clone()), dropped: kept.dropped.clone() });
        }
    }
    account.planned(&plan);
    account.limit_chat(&call.request);
    let answered = gateway.driver.chat(plan, call, account).await.map_err(|error| failed(error, account))?;
    account.left_out(&answered.dropped);
    Ok(answered)
}

/// How a call would go, as far as that can be said without asking anybody.
pub struct Rehearsal {
    pub explanation: Explanation,
    pub quote: Quote,
    /// `hit`, `miss` or `off`.
    pub cache: &'static str,
    /// What would be sent first. Absent: the call would be refused.
    pub request: Option<Preview>,
}

/// Says how a call would go, and asks nobody.
///
/// # Errors
/// Why nobody would be asked.
pub async fn rehearse(gateway: &Gateway, account: &mut Account, call: Call, asker: Asker) -> Result<Rehearsal, CallFailure> {
    account.asked(&call.request, &call.target);
    let needs = Needs::of_chat(&call.request, call.context.session.as_deref());
    let caller = account.caller();
    let (mut plan, mut explanation) = decide(gateway, plan::explain, &call.target, &needs)?;
    if let Some(permission) = Permission::of(&caller, &call.target, &plan) {
        plan = permission.applied(plan)?;
        explanation.places.retain(|place| place.model.as_ref().is_some_and(|model| permission.allows(&place.provider, model)));
    }
    let used = gateway.cache.policy(&plan.rules.cache).of_chat(&account.wish(), asker, &call.request);
    let fingerprint = || Fingerprint::of_chat(plan.rules.cache.scope, &caller.tenant, &plan, &call.request, &call.blobs);
    let cache = match used {
        Use::NONE => "off",
        used if used.read && gateway.cache.has(fingerprint(), &account.wish()).await => "hit",
        _ => "miss",
    };
    let quote = Quote::of(&plan, &Arc::new(call.request.clone()), account).await;
    let request = match quote.allowance {
        Some(allowance) => Some(gateway.driver.preview(&plan, call, allowance).await.map_err(|error| failed(error, account))?),
        None => None,
    };
    Ok(Rehearsal { explanation, quote, cache, request })
}

/// Counts the tokens of a prompt, as the model that it is meant for counts them.
///
/// # Errors
/// Why nobody counted.
pub async fn count(gateway: &Gateway, account: &mut Account, call: Call) -> Result<Counted, CallFailure> {
    let needs = Needs::of_count(&call.request, call.context.session.as_deref());
    let plan = permitted(gateway, &account.caller(), &call.target, &needs)?;
    account.planned(&plan);
    gateway.driver.count(plan, call, account).await.map_err(|error| failed(error, account))
}

/// Embeds texts.
///
/// # Errors
/// Why nobody answered.
pub async fn embed(gateway: &Gateway, account: &mut Account, target: &Target, request: EmbeddingRequest) -> Result<Embedded, CallFailure> {
    account.asked_embeddings(target);
    let context = account.context().clone();
    let needs = Needs::of_embeddings(&request, context.session.as_deref());
    let plan = permitted(gateway, &account.caller(), target, &needs)?;
    let used = gateway.cache.policy(&plan.rules.cache).of_embeddings(&account.wish());
    if used == Use::NONE {
        metrics::cache_request(CacheOutcome::Off);
    } else {
        let fingerprint = Fingerprint::of_embeddings(plan.rules.cache.scope, &account.caller().tenant, &plan, &request);
        if let Some(kept) = look(gateway, account, (fingerprint, used), plan.request_timeout).await?
            && let KeptAnswer::Embeddings(answer) = &kept.answer
        {
            account.embedded(answer);
            return Ok(Embedded { answer: answer.clone(), dropped: kept.dropped.clone() });
        }
    }
    account.planned(&plan);
    account.limit_embeddings(&request);
    let embedded = gateway.driver.embed(plan, &context, request, account).await.map_err(|error| failed(error, account))?;
    account.left_out(&embedded.dropped);
    account.embedded(&embedded.answer);
    Ok(embedded)
}

/// The answer that was given before, if there is one that fits. If there is none and the request's own may be kept, the account has the ticket for it.
async fn look(
    gateway: &Gateway,
    account: &mut Account,
    (fingerprint, used): (Fingerprint, Use),
    request_timeout: Duration,
) -> Result<Option<Arc<Kept>>, CallFailure> {
    let wish = account.wish();
    let patience = PATIENCE.min(time_left(account.context(), request_timeout));
    let (looked, waited) = gateway.cache.look(fingerprint, &wish, used, patience).await;
    account.waited_for_another(waited);
    match looked {
        Looked::Hit(kept) => {
            account.hit(Arc::clone(&kept));
            Ok(Some(kept))
        }
        Looked::Miss(_) if wish.only_if_cached => {
            account.missed(None);
            Err(CallFailure::NotCached)
        }
        Looked::Miss(ticket) => {
            account.missed(ticket);
            Ok(None)
        }
    }
}

/// A plan of what holds now, with those that the caller may ask.
fn permitted(gateway: &Gateway, caller: &Caller, target: &Target, needs: &Needs<'_>) -> Result<Plan, CallFailure> {
    let plan = decide(gateway, plan::choose, target, needs)?;
    match Permission::of(caller, target, &plan) {
        Some(permission) => permission.applied(plan),
        None => Ok(plan),
    }
}

/// What a key that is not for every model allows.
struct Permission<'a> {
    key: &'a GatewayKey,
    /// What the caller wrote as `model`, where it named something.
    named: Option<&'a str>,
    /// The same, if it is a route or an alias: only what is the operator's own says whom it stands for.
    listed: Option<&'a str>,
}

impl<'a> Permission<'a> {
    fn of(caller: &'a Caller, target: &'a Target, plan: &Plan) -> Option<Self> {
        let key = caller.key.as_deref().filter(|key| !key.models.is_empty())?;
        let named = match target {
            Target::Name(name) | Target::Provider { provider: name, model: None, .. } => Some(name.as_str()),
            Target::Provider { .. } | Target::Any(_) => None,
        };
        let listed = named.filter(|name| plan.rules.routes.contains_key(*name) || plan.rules.aliases.contains_key(*name));
        Some(Self { key, named, listed })
    }

    fn allows(&self, provider: &str, model: &str) -> bool {
        self.key.may_ask(provider, model, self.listed)
    }

    fn applied(&self, plan: Plan) -> Result<Plan, CallFailure> {
        let asked = self.named.map_or_else(|| format!("{}/{}", plan.first.provider.id, plan.first.model), str::to_owned);
        let permitted = plan.permitted(|candidate| self.allows(&candidate.provider.id, &candidate.model));
        let (key, models) = (self.key.id.to_string(), self.key.models.join(", "));
        permitted.ok_or(CallFailure::Plan(PlanError::NotAllowed { key, asked, models }))
    }
}

/// The model whose price is asked for. Asks nobody.
///
/// # Errors
/// When the target names nothing that could be asked.
pub fn priced(gateway: &Gateway, target: &Target, request: &ChatRequest) -> Result<Priced, CallFailure> {
    decide(gateway, plan::priced, target, &Needs::of_chat(request, None))
}

type Decide<T> = fn(&Snapshot, &Target, &Needs<'_>, &mut Conditions<'_>) -> Result<T, PlanError>;

/// Has a plan made by what holds now.
fn decide<T>(gateway: &Gateway, decide: Decide<T>, target: &Target, needs: &Needs<'_>) -> Result<T, CallFailure> {
    let mut rng = rand::rng();
    let mut conditions = Conditions { health: &gateway.driver.health, now: Instant::now(), wall: SystemTime::now(), rng: &mut rng };
    decide(&gateway.providers.load(), target, needs, &mut conditions).map_err(CallFailure::Plan)
}

fn failed(error: AttemptError, account: &Account) -> CallFailure {
    let told = account.history((error.kind(), error.retry_after(Timestamp::now())));
    CallFailure::Attempt(error, told)
}
