//! The routes for callers.

use super::answer::{self, Told};
use super::dialect::query::{self, AnswerV0, AnswerV1, AttemptV1, QueryLimits, Question, Tokens};
use super::dialect::{Dialect, Parsed, chat};
use super::{ApiError, BadRequest, body};
use crate::attempt::{Answer, Answered};
use crate::contract::{ChatRequest, ChatResponse, Dropped};
use crate::domain::{Blobs, Call, CallContext, RequestId, Target};
use crate::pipeline;
use crate::provider::{Provider, State};
use crate::settle::{Account, Ending};
use crate::state::App;
use axum::body::Body;
use axum::extract::{Extension, State as Shared};
use axum::http::{Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Context = Extension<CallContext>;

/// Every route for callers.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/query", post(query_v0))
        .route("/api/parallel", post(parallel))
        .route("/api/status", get(status))
        .route("/api/health", get(health))
        .route("/v1/gateway/query", post(query_v1))
        .route("/v1/chat/completions", post(chat_completions))
        .route("/v1/models", get(models))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
}

/// What no route takes.
pub async fn not_found(Extension(context): Context, uri: Uri) -> Response {
    answer::refuse(Account::open(context), &ApiError::not_found(uri.path()), Dialect::of_path(uri.path()))
}

/// A route that is there, but not for this method.
pub async fn method_not_allowed(Extension(context): Context, method: Method, uri: Uri) -> Response {
    answer::refuse(Account::open(context), &ApiError::method_not_allowed(method.as_str(), uri.path()), Dialect::of_path(uri.path()))
}

// ---- query ----

async fn query_v0(Shared(app): Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    match ask(&app, context, request).await {
        Ok((account, answer, dropped)) => {
            let body = answer_v0(&account, &answer);
            answer::reply(account, Told { dialect: Dialect::Query, dropped: &dropped }, to_json(&body))
        }
        Err((account, error)) => answer::refuse(account, &error, Dialect::Query),
    }
}

async fn query_v1(Shared(app): Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    match ask(&app, context, request).await {
        Ok((account, answer, dropped)) => {
            let body = answer_v1(&account, &answer);
            answer::reply(account, Told { dialect: Dialect::Query, dropped: &dropped }, to_json(&body))
        }
        Err((account, error)) => answer::refuse(account, &error, Dialect::Query),
    }
}

type Asked = Result<(Account, ChatResponse, Vec<Dropped>), (Account, ApiError)>;

/// Reads, parses and asks a question of the simple form.
async fn ask(app: &App, context: CallContext, request: Request<Body>) -> Asked {
    let mut account = Account::open(context);
    let question = match read_question(app, request).await {
        Ok(question) => question,
        Err(bad) => return Err((account, bad.into())),
    };
    if let Some(id) = question.request_id.as_deref() {
        match RequestId::parse(id) {
            Ok(id) => account.rename(id),
            Err(error) => return Err((account, BadRequest::field("request_id", format!("is not valid: {error}")).into())),
        }
    }
    put_question(app, account, question.target, question.request).await
}

async fn read_question(app: &App, request: Request<Body>) -> Result<Question, BadRequest> {
    let limits = QueryLimits { query_chars: app.limits.query_chars };
    let body = body::read_json(request, &app.limits).await?;
    body::parse(body, move |body| query::parse(body, limits)).await
}

async fn put_question(app: &App, mut account: Account, target: Target, request: ChatRequest) -> Asked {
    let call = Call { context: account.context().clone(), target, request, blobs: Blobs::default() };
    match pipeline::answer(&app.gateway, &mut account, call).await {
        Ok(Answered { answer: Answer::Whole(answer), dropped }) => {
            account.answered(&answer);
            Ok((account, answer, dropped))
        }
        // Asked without `stream`, nothing comes as one.
        Ok(Answered { answer: Answer::Stream(_), .. }) => Err((account, BadRequest::field("stream", "is not for this route").into())),
        Err(failure) => Err((account, ApiError::from(&failure))),
    }
}

async fn parallel(Shared(app): Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    let account = Account::open(context.clone());
    let read = async {
        let limits = QueryLimits { query_chars: app.limits.query_chars };
        let body = body::read_json(request, &app.limits).await?;
        body::parse(body, move |body| query::parse_parallel(body, limits)).await
    };
    let question = match read.await {
        Ok(question) => question,
        Err(bad) => return answer::refuse(account, &bad.into(), Dialect::Query),
    };
    let id = match question.request_id.as_deref().map(RequestId::parse).transpose() {
        Ok(own) => own.unwrap_or_else(|| context.id.clone()),
        Err(error) => {
            return answer::refuse(account, &BadRequest::field("request_id", format!("is not valid: {error}")).into(), Dialect::Query);
        }
    };
    // The requests that it is made of are booked each for itself.
    account.discard();
    let targets = match question.targets {
        Some(targets) => targets,
        // With none available, the one answer says why.
        None => Some(available(&app)).filter(|targets| !targets.is_empty()).unwrap_or_else(|| vec![Target::Any(None)]),
    };
    let asked = (1..).zip(targets).map(|(number, target): (usize, Target)| {
        let context = CallContext { id: id.part(number), ..context.clone() };
        one_of_many(&app, context, target, question.request.clone())
    });
    let results = join_all(asked).await;
    let simulated = results.iter().any(|result| result.simulated == Some(true));
    let body = json!({
        "request_id": id.as_str(),
        "response_time_ms": elapsed_ms(&context),
        "timestamp": Timestamp::now().to_string(),
        "results": results,
    });
    let headers = [("x-request-id", id.as_str().to_owned())];
    let simulated = simulated.then_some([("x-gateway-simulated", "true")]);
    match simulated {
        Some(simulated) => (headers, simulated, Json(body)).into_response(),
        None => (headers, Json(body)).into_response(),
    }
}

fn available(app: &App) -> Vec<Target> {
    let snapshot = app.gateway.providers.load();
    let ready = snapshot.providers.iter().filter(|provider| provider.ready().is_some());
    ready.map(|provider| Target::Provider { provider: provider.id.clone(), model: None, task: None }).collect()
}

async fn one_of_many(app: &App, context: CallContext, target: Target, request: ChatRequest) -> AnswerV0 {
    let named = target_name(&target);
    match put_question(app, Account::open(context), target, request).await {
        Ok((account, answer, _dropped)) => {
            let body = answer_v0(&account, &answer);
            account.close(Ending { status: 200, error: None });
            body
        }
        Err((account, error)) => {
            let body = failed_v0(&account, named, &error);
            account.close(Ending { status: error.status.as_u16(), error: Some((error.kind, &error.message)) });
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
    let last = account.last();
    AnswerV0 {
        response: query::text_of(answer),
        model: last.map(|attempt| attempt.provider.clone()).unwrap_or_default(),
        model_version: answer.model.clone().or_else(|| last.map(|attempt| attempt.model.clone())).unwrap_or_default(),
        response_time_ms: elapsed_ms(account.context()),
        timestamp: Timestamp::now().to_string(),
        cached: false,
        tokens: Tokens::of(answer.usage.as_ref()),
        num_retries: account.retries(),
        request_id: account.context().id.to_string(),
        original_model: account.fallback_from().map(str::to_owned),
        simulated: last.is_some_and(|attempt| attempt.simulated).then_some(true),
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
    let attempts = account.attempts().iter().map(|attempt| AttemptV1 {
        provider: attempt.provider.clone(),
        model: attempt.model.clone(),
        status: attempt.status,
        error_type: attempt.error.as_ref().map(|(kind, _)| kind.as_str()),
        error: attempt.error.as_ref().map(|(_, message)| message.clone()),
        duration_ms: whole_ms(attempt.duration),
        backoff_ms: whole_ms(attempt.backoff),
    });
    AnswerV1 {
        request_id: v0.request_id,
        response: v0.response,
        model: v0.model,
        model_version: v0.model_version,
        cached: false,
        response_time_ms: v0.response_time_ms,
        tokens: v0.tokens,
        cost_usd: None,
        tenant: "default".to_owned(),
        attempts: attempts.collect(),
        dry_run: false,
    }
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

// ---- OpenAI ----

async fn chat_completions(Shared(app): Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    let account = Account::open(context);
    let read = async { body::parse(body::read_json(request, &app.limits).await?, chat::parse).await };
    let parsed = match read.await {
        Ok(parsed) => parsed,
        Err(bad) => return answer::refuse(account, &bad.into(), Dialect::Chat),
    };
    answer_chat(&app, account, parsed).await
}

async fn answer_chat(app: &App, mut account: Account, parsed: Parsed) -> Response {
    let Parsed { target, request, blobs, form } = parsed;
    let call = Call { context: account.context().clone(), target, request, blobs };
    match pipeline::answer(&app.gateway, &mut account, call).await {
        Ok(answered) => answer::chat(account, answered, form),
        Err(failure) => answer::refuse(account, &ApiError::from(&failure), form.dialect()),
    }
}

async fn models(Shared(app): Shared<Arc<App>>) -> Response {
    let snapshot = app.gateway.providers.load();
    let started = app.started_at.as_second();
    let mut data = Vec::new();
    for provider in snapshot.providers.iter().filter(|provider| provider.ready().is_some()) {
        for model in provider.models() {
            data.push(json!({
                "id": format!("{}/{}", provider.id, model.id),
                "object": "model",
                // No provider says for all of its models when they were made; the field is required.
                "created": started,
                "owned_by": provider.id,
            }));
        }
    }
    Json(json!({"object": "list", "data": data})).into_response()
}

// ---- state ----

async fn status(Shared(app): Shared<Arc<App>>) -> Response {
    let snapshot = app.gateway.providers.load();
    let providers: Map<String, Value> =
        snapshot.providers.iter().map(|provider| (provider.id.clone(), provider_status(provider))).collect();
    let available = snapshot.providers.iter().any(|provider| provider.ready().is_some());
    Json(json!({
        "status": if available { "ok" } else { "unavailable" },
        "version": env!("CARGO_PKG_VERSION"),
        "demo": app.demo,
        "providers": providers,
    }))
    .into_response()
}

fn provider_status(provider: &Provider) -> Value {
    let reason = match &provider.state {
        State::Ready(_) => None,
        State::Unavailable { reason, .. } => Some(reason),
    };
    let models: Vec<&str> = provider.models().iter().map(|model| model.id.as_str()).collect();
    json!({
        "available": reason.is_none(),
        "reason": reason,
        "simulated": provider.ready().is_some_and(|ready| ready.simulated),
        "name": provider.version().map(|version| version.info.name.as_str()),
        "plugin_version": provider.version().map(|version| version.info.version.as_str()),
        "models": models,
        "default_model": provider.default_model(None),
    })
}

async fn health(Shared(app): Shared<Arc<App>>) -> Response {
    let uptime = Timestamp::now().duration_since(app.started_at).as_secs();
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "uptime_seconds": uptime, "demo": app.demo})).into_response()
}

async fn readyz(Shared(app): Shared<Arc<App>>) -> Response {
    if app.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    if app.gateway.providers.load().providers.iter().all(|provider| provider.ready().is_none()) {
        return (StatusCode::SERVICE_UNAVAILABLE, "no provider is available; GET /api/status says why").into_response();
    }
    "ready".into_response()
}
