//! The gateway's own simple routes: one question to one model, or to several at once.

use super::{Context, own_id};
use crate::attempt::{Answer, Answered};
use crate::cache::Asker;
use crate::contract::{ChatRequest, ChatResponse, Dropped};
use crate::domain::{Blobs, Call, CallContext, ErrorKind, Target};
use crate::edge::answer::{self, Told};
use crate::edge::dialect::Dialect;
use crate::edge::dialect::query::{self, AnswerV0, AnswerV1, AttemptV1, QueryLimits, Question, Spending, Tokens};
use crate::edge::{ApiError, BadRequest, body, entry};
use crate::money::Usd;
use crate::pipeline::{self, CallFailure, Rehearsal};
use crate::settle::{Account, Ending};
use crate::state::App;
use axum::body::Body;
use axum::extract::{Extension, State as Shared};
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

pub(super) async fn query_v0(Shared(app): Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    match ask(&app, context, request).await {
        Ok((account, answer, dropped)) => {
            let body = answer_v0(&account, &answer);
            answer::reply(account, Told::of_query(&dropped), to_json(&body))
        }
        Err((account, error)) => answer::refuse(account, &error, Dialect::Query),
    }
}

async fn ask(app: &App, context: CallContext, request: Request<Body>) -> Asked {
    let (account, question) = open(app, context, request).await?;
    if question.dry_run {
        return Err((account, query::no_dry_run().into()));
    }
    put_question(app, account, question.target, question.request).await
}

pub(super) async fn query_v1(Shared(app): Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    match ask_v1(&app, context, request).await {
        Ok((account, body, dropped)) => answer::reply(account, Told::of_query(&dropped), to_json(&body)),
        Err((account, error)) => answer::refuse(account, &error, Dialect::Query),
    }
}

async fn ask_v1(app: &App, context: CallContext, request: Request<Body>) -> Result<(Account, AnswerV1, Vec<Dropped>), Refused> {
    let (mut account, Question { target, request, dry_run, .. }) = open(app, context, request).await?;
    if !dry_run {
        let (account, answer, dropped) = put_question(app, account, target, request).await?;
        let body = answer_v1(&account, &answer);
        return Ok((account, body, dropped));
    }
    let call = Call { context: account.context().clone(), target, request, blobs: Blobs::default() };
    match pipeline::rehearse(&app.gateway, &mut account, call, Asker::Query).await {
        Ok(rehearsal) => {
            let body = dry_v1(&account, rehearsal);
            Ok((account, body, Vec::new()))
        }
        Err(failure) => Err(refused(account, &failure)),
    }
}

type Refused = (Account, ApiError);
type Asked = Result<(Account, ChatResponse, Vec<Dropped>), Refused>;

fn refused(account: Account, failure: &CallFailure) -> Refused {
    let mut error = ApiError::of_call(failure, Dialect::Query, &|path| Dialect::Query.parameter(path));
    error.attempts = attempts(&account);
    (account, error)
}

/// Reads and parses a question of the simple form.
async fn open(app: &App, context: CallContext, request: Request<Body>) -> Result<(Account, Question), Refused> {
    let mut account = Account::open(context);
    let question = match read_question(app, &mut account, request).await {
        Ok(question) => question,
        Err(error) => return Err((account, error)),
    };
    match take_on(&mut account, &question) {
        Ok(()) => Ok((account, question)),
        Err(error) => Err((account, error)),
    }
}

/// Puts down what a question says of itself: its id, who pays, and how much.
fn take_on(account: &mut Account, question: &Question) -> Result<(), ApiError> {
    if let Some(id) = own_id(question.request_id.as_deref())? {
        account.rename(id);
    }
    spend(account, &question.spending)
}

/// Puts down who pays, and how much.
fn spend(account: &mut Account, spending: &Spending) -> Result<(), ApiError> {
    if let Some(tenant) = &spending.tenant {
        let caller = account.caller().acting_for(tenant).map_err(|error| ApiError::of_access(&error))?;
        account.act_as(caller);
    }
    if let Some(max_cost) = spending.max_cost {
        account.limit_cost(max_cost);
    }
    Ok(())
}

async fn read_question(app: &App, account: &mut Account, request: Request<Body>) -> Result<Question, ApiError> {
    let limits = QueryLimits { query_chars: app.limits.query_chars };
    let body = body::receive(app, account, request).await?;
    body::parse(account, body, move |body| query::parse(body, limits)).await
}

async fn put_question(app: &App, mut account: Account, target: Target, request: ChatRequest) -> Asked {
    let call = Call { context: account.context().clone(), target, request, blobs: Blobs::default() };
    match pipeline::answer(&app.gateway, &mut account, call, Asker::Query).await {
        Ok(Answered { answer: Answer::Whole(answer), dropped }) => {
            account.answered(&answer);
            Ok((account, answer, dropped))
        }
        // Asked without `stream`, nothing comes as one.
        Ok(Answered { answer: Answer::Stream(_), .. }) => Err((account, BadRequest::field("stream", "is not for this route").into())),
        Err(failure) => Err(refused(account, &failure)),
    }
}

pub(super) async fn parallel(Shared(app): Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    let mut account = Account::open(context.clone());
    let read = async {
        let limits = QueryLimits { query_chars: app.limits.query_chars };
        let body = body::receive(&app, &mut account, request).await?;
        let length = body.len();
        Ok((body::parse(&mut account, body, move |body| query::parse_parallel(body, limits)).await?, length))
    };
    let (question, length) = match read.await {
        Ok(read) => read,
        Err(error) => return answer::refuse(account, &error, Dialect::Query),
    };
    let id = match own_id(question.request_id.as_deref()) {
        Ok(own) => own.unwrap_or_else(|| context.id.clone()),
        Err(error) => return answer::refuse(account, &error.into(), Dialect::Query),
    };
    if let Err(error) = spend(&mut account, &question.spending) {
        return answer::refuse(account, &error, Dialect::Query);
    }
    let targets = match question.targets {
        Some(targets) => targets,
        // With none available, the one answer says why.
        None => Some(available(&app)).filter(|targets| !targets.is_empty()).unwrap_or_else(|| vec![Target::Any(None)]),
    };
    // The requests that it is made of count each against the limits of the caller's key; the first is in.
    let _more = match entry::let_in_more(&app, &account, targets.len().saturating_sub(1)).await {
        Ok(more) => more,
        Err(error) => return answer::refuse(account, &error, Dialect::Query),
    };
    // They are booked each for itself, and have one place together.
    let mut place = account.take_place();
    if let Err(error) = place.as_mut().map_or(Ok(()), |place| place.grow_to(length.saturating_mul(targets.len()))) {
        return answer::refuse(account, &ApiError::overloaded(error, Dialect::Query), Dialect::Query);
    }
    // Together they may cost what the caller says.
    if let Some(share) = account.max_cost().map(|max_cost| max_cost.share(targets.len())) {
        account.limit_cost(share);
    }
    let parts = account.into_parts();
    let requests = std::iter::repeat_n(question.request, targets.len());
    let asked = (1..).zip(targets).zip(requests).map(|((number, target), request): ((usize, Target), ChatRequest)| {
        let context = CallContext { id: id.part(number), ..context.clone() };
        one_of_many(&app, parts.open(context), target, request)
    });
    let results = join_all(asked).await;
    let simulated = results.iter().any(|result| result.simulated == Some(true));
    let body = json!({
        "request_id": id.as_str(),
        "response_time_ms": elapsed_ms(&context),
        "timestamp": Timestamp::now().to_string(),
        "results": results,
    });
    let headers = [("x-request-id", id.as_str()), ("content-type", "application/json")];
    let body = answer::holding(place, body.to_string().into_bytes());
    let simulated = simulated.then_some([("x-gateway-simulated", "true")]);
    match simulated {
        Some(simulated) => (headers, simulated, body).into_response(),
        None => (headers, body).into_response(),
    }
}

fn available(app: &App) -> Vec<Target> {
    let snapshot = app.gateway.providers.load();
    let ready = snapshot.providers.iter().filter(|provider| provider.ready().is_some());
    ready.map(|provider| Target::Provider { provider: provider.id.clone(), model: None, task: None }).collect()
}

async fn one_of_many(app: &App, account: Account, target: Target, request: ChatRequest) -> AnswerV0 {
    let named = target_name(&target);
    match put_question(app, account, target, request).await {
        Ok((account, answer, _dropped)) => {
            let body = answer_v0(&account, &answer);
            match account.close(Ending { status: 200, error: None }) {
                Ok(()) => body,
                Err(error) => AnswerV0 {
                    response: String::new(),
                    error: Some(ApiError::of_ledger(&error).message),
                    error_type: Some(ErrorKind::Unavailable.as_str()),
                    ..body
                },
            }
        }
        Err((account, error)) => {
            let body = failed_v0(&account, named, &error);
            let _ = account.close(Ending { status: error.status.as_u16(), error: Some((error.kind, &error.message)) });
            body
        }
    }
}

/// Provider and model as the caller wrote them.
fn target_name(target: &Target) -> (String, String) {
    match target {
        Target::Any(_) => (String::new(), String::new()),
        Target::Provider { provider, model, .. } => (provider.clone(), model.clone().unwrap_or_default()),
        Target::Name(name) => match name.split_once('/') {
            Some((provider, model)) => (provider.to_owned(), model.to_owned()),
            None => (name.clone(), String::new()),
        },
    }
}

fn answer_v0(account: &Account, answer: &ChatResponse) -> AnswerV0 {
    let by = account.answered_by();
    AnswerV0 {
        response: query::text_of(answer),
        model: by.map(|by| by.provider.to_owned()).unwrap_or_default(),
        model_version: answer.model.clone().or_else(|| by.map(|by| by.model.to_owned())).unwrap_or_default(),
        response_time_ms: elapsed_ms(account.context()),
        timestamp: Timestamp::now().to_string(),
        cached: account.kept().is_some(),
        tokens: Tokens::of(answer.usage.as_ref()),
        num_retries: account.retries(),
        request_id: account.context().id.to_string(),
        original_model: account.fallback_from().map(str::to_owned),
        simulated: by.is_some_and(|by| by.simulated).then_some(true),
        error: None,
        error_type: None,
    }
}

fn failed_v0(account: &Account, (provider, model): (String, String), error: &ApiError) -> AnswerV0 {
    let last = account.last();
    AnswerV0 {
        response: String::new(),
        model: last.map_or(provider, |attempt| attempt.provider.clone()),
        model_version: last.map_or(model, |attempt| attempt.model.clone()),
        response_time_ms: elapsed_ms(account.context()),
        timestamp: Timestamp::now().to_string(),
        cached: false,
        tokens: Tokens::default(),
        num_retries: account.retries(),
        request_id: account.context().id.to_string(),
        original_model: account.fallback_from().map(str::to_owned),
        simulated: last.is_some_and(|attempt| attempt.simulated).then_some(true),
        error: Some(error.message.clone()),
        error_type: Some(error.kind.as_str()),
    }
}

fn answer_v1(account: &Account, answer: &ChatResponse) -> AnswerV1 {
    let v0 = answer_v0(account, answer);
    AnswerV1 {
        request_id: v0.request_id,
        response: v0.response,
        model: v0.model,
        model_version: v0.model_version,
        cached: v0.cached,
        response_time_ms: v0.response_time_ms,
        tokens: v0.tokens,
        cost_usd: account.cost(),
        tenant: account.caller().tenant.to_string(),
        attempts: attempts(account),
        dry_run: false,
        rehearsal: None,
    }
}

fn dry_v1(account: &Account, rehearsal: Rehearsal) -> AnswerV1 {
    let first = rehearsal.explanation.places.first();
    AnswerV1 {
        request_id: account.context().id.to_string(),
        response: String::new(),
        model: first.map(|place| place.provider.clone()).unwrap_or_default(),
        model_version: first.and_then(|place| place.model.clone()).unwrap_or_default(),
        cached: false,
        response_time_ms: elapsed_ms(account.context()),
        tokens: Tokens::default(),
        cost_usd: Some(Usd::ZERO),
        tenant: account.caller().tenant.to_string(),
        attempts: Vec::new(),
        dry_run: true,
        rehearsal: Some(rehearsal.into()),
    }
}

fn attempts(account: &Account) -> Vec<AttemptV1> {
    let attempts = account.attempts().iter().zip(account.costs()).map(|(attempt, cost_usd)| AttemptV1 {
        provider: attempt.provider.clone(),
        model: attempt.model.clone(),
        status: attempt.status,
        error_type: attempt.error.as_ref().map(|(kind, _)| kind.as_str()),
        error: attempt.error.as_ref().map(|(_, message)| message.clone()),
        reason: attempt.why.as_str(),
        cost_usd,
        duration_ms: whole_ms(attempt.duration),
        backoff_ms: whole_ms(attempt.backoff),
    });
    attempts.collect()
}

fn elapsed_ms(context: &CallContext) -> u64 {
    whole_ms(context.started.elapsed())
}

fn whole_ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn to_json(body: &impl serde::Serialize) -> Vec<u8> {
    // Strings, numbers and lists in structs: there is nothing in them that JSON can't hold.
    serde_json::to_vec(body).unwrap_or_default()
}
