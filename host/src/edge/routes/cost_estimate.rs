//! What a prompt would cost, by one model or several. Asks nobody.

use super::{Context, own_id};
use crate::domain::Target;
use crate::edge::answer::{self, Told};
use crate::edge::dialect::Dialect;
use crate::edge::dialect::cost_estimate::{self, CostQuestion, EstimateV1, NoEstimateV1};
use crate::edge::dialect::query::QueryLimits;
use crate::edge::{ApiError, body};
use crate::pipeline;
use crate::plan::Priced;
use crate::price;
use crate::settle::Account;
use crate::state::App;
use crate::tokens;
use axum::body::Body;
use axum::extract::{Extension, State as Shared};
use axum::http::Request;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// Tokens that an answer is taken to have where the caller says nothing, if the model can write so many.
const USUAL_OUTPUT: u32 = 1000;

pub(super) async fn cost_estimate(Shared(app): Shared<Arc<App>>, Extension(context): Context, request: Request<Body>) -> Response {
    let mut account = Account::open(context);
    match answered(&app, &mut account, request).await {
        Ok(mut body) => {
            body["request_id"] = json!(account.context().id.as_str());
            answer::reply(account, Told::of_query(&[]), body.to_string().into_bytes())
        }
        Err(error) => answer::refuse(account, &error, Dialect::Query),
    }
}

async fn answered(app: &App, account: &mut Account, request: Request<Body>) -> Result<Value, ApiError> {
    let limits = QueryLimits { query_chars: app.limits.query_chars };
    let body = body::receive(app, account, request).await?;
    let question = body::parse(account, body, move |body| cost_estimate::parse(body, limits)).await?;
    if let Some(id) = own_id(question.request_id.as_deref())? {
        account.rename(id);
    }
    if question.is_list {
        let mut estimates = Vec::with_capacity(question.targets.len());
        for target in &question.targets {
            estimates.push(match estimate(app, target, &question).await {
                Ok(estimate) => json!(estimate),
                Err(error) => json!(NoEstimateV1 { model: name(target), error: error.message, code: error.code.to_string() }),
            });
        }
        return Ok(json!({ "estimates": estimates }));
    }
    // There is always one.
    let target = question.targets.first().unwrap_or(&Target::Any(None));
    Ok(json!(estimate(app, target, &question).await?))
}

async fn estimate(app: &App, target: &Target, question: &CostQuestion) -> Result<EstimateV1, ApiError> {
    let Priced { provider, model, rules } = pipeline::priced(&app.gateway, target, &question.request)
        .map_err(|failure| ApiError::of_call(&failure, Dialect::Query, &|path| Dialect::Query.parameter(path)))?;
    let input = match question.input_tokens {
        Some(tokens) => tokens.into(),
        None => tokens::of_chat(&provider, &model, &Arc::new(question.request.clone())).await.tokens,
    };
    let said = question.output_tokens.or(question.request.max_output);
    let most = provider.model(&model).and_then(|known| known.max_output).unwrap_or(u32::MAX);
    let output = said.unwrap_or(USUAL_OUTPUT.min(most)).into();
    let now = SystemTime::now();
    let price = price::of_provider(&rules, &provider, &model, now);
    let per_token = price.as_ref().map(|price| price.per_token(input));
    let cost = price.as_ref().map(|price| price.cost_of_text(input, output));
    Ok(EstimateV1 {
        reason: price.is_none().then(|| price::unknown(&provider, &model)),
        model: provider.id.clone(),
        model_version: model,
        input_tokens: input,
        output_tokens: output,
        output_tokens_assumed: said.is_none(),
        estimated_cost_usd: cost.map(|cost| cost.total()),
        price_per_input_token: per_token.map(|price| price.input),
        price_per_output_token: per_token.map(|price| price.output),
        breakdown: cost,
        price_source: price.as_ref().map(|price| price.source),
        price_date: price.and_then(|_| Some(Timestamp::try_from(now).ok()?.strftime("%Y-%m-%d").to_string())),
        estimated: true,
    })
}

/// As the caller wrote it.
fn name(target: &Target) -> String {
    match target {
        Target::Name(name) => name.clone(),
        Target::Provider { provider, .. } => provider.clone(),
        Target::Any(_) => String::new(),
    }
}
