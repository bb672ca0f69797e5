//! Lets callers in, by the heads of their requests: who it is, whether its key has any of its minute left, what it says of the cache and of money.

use super::{ApiError, BadRequest};
use crate::access::Caller;
use crate::cache::Wish;
use crate::config::LedgerMode;
use crate::money::Usd;
use crate::quota::Visit;
use crate::settle::{Account, Entry};
use crate::state::App;
use axum::http::{HeaderMap, HeaderName};
use std::sync::Arc;

/// What a request may cost at most, in US dollars.
const MAX_COST: HeaderName = HeaderName::from_static("x-gateway-max-cost-usd");
/// For whom a request is, of callers whose key is for any tenant.
const TENANT: HeaderName = HeaderName::from_static("x-gateway-tenant");

/// # Errors
/// Why it is not let in.
pub(super) async fn let_in(app: &App, account: &mut Account, headers: &HeaderMap) -> Result<(), ApiError> {
    let caller = identify(app, headers)?;
    let books = Arc::clone(&app.gateway.books);
    let is_ledger_required = app.gateway.providers.load().rules.ledger == LedgerMode::Required;
    let (key, quota, ledger) = (caller.key.clone(), Arc::clone(&books.quota), Arc::clone(&books.ledger));
    // Whoever is known is written down, also where it is refused.
    account.enter(Entry { caller, visit: None, wish: Wish::default(), max_cost: None, is_ledger_required, books });
    let wish = Wish::of_headers(headers).map_err(|(header, wrong)| BadRequest::field(header, wrong))?;
    account.wishes(wish, max_cost(headers)?);
    if is_ledger_required {
        ledger.is_writable().map_err(|error| ApiError::of_ledger(&error))?;
    }
    if let Some(key) = key {
        account.visit(quota.enter(&key).await.map_err(|error| ApiError::of_quota(&error))?);
    }
    Ok(())
}

/// Lets in the further requests that one is made of, which was let in for the first of them. They hold the places that are answered with.
///
/// # Errors
/// When the caller's key has not as many left.
pub(super) async fn let_in_more(app: &App, account: &Account, more: usize) -> Result<Visit, ApiError> {
    let Some(key) = account.caller().key else { return Ok(Visit::default()) };
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    app.gateway.books.quota.enter_many(&key, more).await.map_err(|error| ApiError::of_quota(&error))
}

/// Who it is.
///
/// # Errors
/// Why it is not let in.
pub(super) fn identify(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let caller = app.access.identify(headers).map_err(|error| ApiError::of_access(&error))?;
    match headers.get(&TENANT).map(|tenant| tenant.to_str().unwrap_or_default()) {
        Some(tenant) => caller.acting_for(tenant).map_err(|error| ApiError::of_access(&error)),
        None => Ok(caller),
    }
}

fn max_cost(headers: &HeaderMap) -> Result<Option<Usd>, BadRequest> {
    let Some(value) = headers.get(&MAX_COST) else { return Ok(None) };
    let amount = value.to_str().ok().and_then(|text| text.parse().ok()).and_then(Usd::from_f64).filter(|amount| !amount.is_zero());
    let wrong = || BadRequest::field(MAX_COST.as_str(), "must be an amount of US dollars above 0, such as 0.05");
    amount.map(Some).ok_or_else(wrong)
}
