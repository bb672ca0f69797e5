//! The routes that OpenAI's and Anthropic's clients call.

use super::Context;
use crate::cache::Asker;
use crate::domain::{Call, CallContext};

use crate::edge::answer::{self, Told};
use crate::edge::dialect::embeddings;
use crate::edge::dialect::{Dialect, Parsed, chat, messages, responses};
use crate::edge::models::{self, Shape};
use crate::edge::{ApiError, BadRequest, body, entry};
use crate::pipeline::{self, CallFailure};
use crate::plan::PlanError;
use crate::settle::Account;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State as Shared};
use axum::http::{HeaderMap, Request};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

type Parser = Box<dyn FnOnce(&[u8]) -> Result<Parsed, BadRequest> + Send>;

pub(super) async fn chat_completions(app: Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    answer_chat(&app, context, request, Dialect::Chat, Box::new(chat::parse)).await
}

pub(super) async fn responses(app: Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    answer_chat(&app, context, request, Dialect::Responses, Box::new(responses::parse)).await
}

pub(super) async fn messages(app: Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    let beta = beta(request.headers());
    answer_chat(&app, context, request, Dialect::Messages, Box::new(move |body| messages::parse(body, beta.as_deref()))).await
}

/// Anthropic's features that a client asks for by name.
fn beta(headers: &HeaderMap) -> Option<String> {
    let named: Vec<&str> = headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok()).collect();
    (!named.is_empty()).then(|| named.join(","))
}

async fn answer_chat(app: &App, context: CallContext, request: Request<Body>, dialect: Dialect, parser: Parser) -> Response {
    let mut account = Account::open(context);
    let Parsed { target, mut request, blobs, form } = match read(app, &mut account, request, parser).await {
        Ok(parsed) => parsed,
        Err(error) => return answer::refuse(account, &error, dialect),
    };
    if dialect == Dialect::Chat {
        app.turns.restore(&account.caller().tenant, &mut request.messages);
    }
    let call = Call { context: account.context().clone(), target, request, blobs };
    match pipeline::answer(&app.gateway, &mut account, call, Asker::Compatible).await {
        Ok(answered) => answer::chat(account, answered, form, &app.turns),
        Err(failure) => answer::refuse(account, &ApiError::of_call(&failure, dialect, &|path| form.parameter(path)), dialect),
    }
}

async fn read(app: &App, account: &mut Account, request: Request<Body>, parser: Parser) -> Result<Parsed, ApiError> {
    let body = body::receive(app, account, request).await?;
    body::parse(account, body, parser).await
}

pub(super) async fn count_tokens(app: Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    let dialect = Dialect::Messages;
    let mut account = Account::open(context);
    let beta = beta(request.headers());
    let parsed = match read(&app, &mut account, request, Box::new(move |body| messages::parse_count(body, beta.as_deref()))).await {
        Ok(parsed) => parsed,
        Err(error) => return answer::refuse(account, &error, dialect),
    };
    let Parsed { target, request, blobs, form } = parsed;
    let call = Call { context: account.context().clone(), target, request, blobs };
    match pipeline::count(&app.gateway, &mut account, call).await {
        Ok(counted) => {
            let mut body = json!({"input_tokens": counted.tokens});
            if counted.estimated {
                body["estimated"] = json!(true);
            }
            answer::reply(account, Told::all(dialect), body.to_string().into_bytes())
        }
        Err(failure) => answer::refuse(account, &ApiError::of_call(&failure, dialect, &|path| form.parameter(path)), dialect),
    }
}

pub(super) async fn embed(app: Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    let mut account = Account::open(context);
    let read = async {
        let body = body::receive(&app, &mut account, request).await?;
        body::parse(&mut account, body, embeddings::parse).await
    };
    let call = match read.await {
        Ok(call) => call,
        Err(error) => return answer::refuse(account, &error, Dialect::Chat),
    };
    match pipeline::embed(&app.gateway, &mut account, &call.target, call.request).await {
        Ok(answer) => answer::embeddings(account, &answer, call.encoding),
        Err(failure) => {
            answer::refuse(account, &ApiError::of_call(&failure, Dialect::Chat, &|path| embeddings::caller_parameter(path)), Dialect::Chat)
        }
    }
}

pub(super) async fn list_models(Shared(app): Shared<Arc<App>>, Extension(context): Context, headers: HeaderMap) -> Response {
    if let Err(error) = entry::identify(&app, &headers) {
        return answer::refuse(Account::open(context), &error, dialect(&headers));
    }
    Json(models::list(&app.gateway.providers.load(), shape(&headers), app.started_at)).into_response()
}

pub(super) async fn model(
    Shared(app): Shared<Arc<App>>,
    Extension(context): Context,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(error) = entry::identify(&app, &headers) {
        return answer::refuse(Account::open(context), &error, dialect(&headers));
    }
    let shape = shape(&headers);
    match models::find(&app.gateway.providers.load(), &name, shape, app.started_at) {
        Some(model) => Json(model).into_response(),
        None => {
            let hint = "GET /v1/models lists those that are known".to_owned();
            let name = name.chars().take(crate::edge::json::MAX_MODEL_BYTES).collect();
            let failure = CallFailure::Plan(PlanError::UnknownModel { name, hint });
            let dialect = dialect(&headers);
            answer::refuse(Account::open(context), &ApiError::of_call(&failure, dialect, &|path| path.to_owned()), dialect)
        }
    }
}

/// In which they are told what is wrong.
fn dialect(headers: &HeaderMap) -> Dialect {
    if shape(headers) == Shape::Anthropic { Dialect::Messages } else { Dialect::Chat }
}

/// Both kinds of clients list models by the same route.
fn shape(headers: &HeaderMap) -> Shape {
    if headers.contains_key("anthropic-version") { Shape::Anthropic } else { Shape::OpenAi }
}
