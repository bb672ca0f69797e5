//! Gateway keys for operators: made, listed, changed, rotated, revoked.
//!
//! A secret is in one answer only, that to who had it made. What is wrong with a request is found before anything is changed.

use crate::access::{ANY_TENANT, GatewayKey, KeyChanges, KeyCursor, KeyError, NewKey, Set, is_tenant};
use crate::domain::CallContext;
use crate::edge::dialect::Dialect;
use crate::edge::json::{Fields, MAX_MODEL_BYTES};
use crate::edge::{ApiError, BadRequest, receive_for_operator};
use crate::money::Usd;
use crate::quota::{Seeds, Spent};
use crate::state::App;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const MAX_NAME_CHARS: usize = 200;
const MAX_MODELS: usize = 200;
const MAX_RPM: u32 = 10_000_000;
const MAX_CONCURRENCY: u32 = 1_000_000;
/// A week.
const MAX_GRACE_S: u32 = 604_800;
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/keys", get(list).post(create))
        .route("/admin/keys/{id}", get(one).patch(update).delete(revoke))
        .route("/admin/keys/{id}/rotate", post(rotate))
        // A secret stays in no cache, and a list in none where it would be read for the truth.
        .layer(axum::middleware::map_response(no_store))
}

async fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

type Told = Result<(StatusCode, Value), ApiError>;

fn tell(told: Told, context: &CallContext) -> Response {
    match told {
        Ok((status, body)) => (status, Json(body)).into_response(),
        Err(error) => error.response(Dialect::Query, &context.id),
    }
}

async fn create(State(app): State<Arc<App>>, Extension(context): Extension<CallContext>, request: Request<Body>) -> Response {
    let created = async {
        let (tenant, settings) = parse_new(fields(&app, request).await?, Timestamp::now())?;
        let new = app.access.create(&tenant, settings).await?;
        Ok((StatusCode::CREATED, shown_once(&new)))
    };
    tell(created.await, &context)
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(context): Extension<CallContext>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Response {
    let listed = async {
        let Query(query) = query.map_err(|rejection| bad_query(rejection.body_text()))?;
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(BadRequest::field("limit", format!("must be a whole number from 1 to {MAX_LIMIT}")).into());
        }
        let wrong = || BadRequest::field("cursor", "is not valid: take `next_cursor` of the page before");
        let after = query.cursor.map(|text| KeyCursor::parse(&text).ok_or_else(wrong)).transpose()?;
        let (keys, next) = app.access.list(query.tenant.as_deref(), after.as_ref(), limit).await?;
        let keys: Vec<Value> = keys.iter().map(|key| Value::Object(shown(key))).collect();
        Ok((StatusCode::OK, json!({"keys": keys, "next_cursor": next.map(|next| next.to_string())})))
    };
    tell(listed.await, &context)
}

async fn one(State(app): State<Arc<App>>, Extension(context): Extension<CallContext>, Path(id): Path<String>) -> Response {
    let found = async {
        let key = app.access.get(&id).await?;
        let mut fields = shown(&key);
        fields.insert("spent_usd".to_owned(), spent(&app, &key.id).await);
        Ok((StatusCode::OK, Value::Object(fields)))
    };
    tell(found.await, &context)
}

/// With a key, as far as it is written down. Null: that can't be read now.
async fn spent(app: &App, id: &str) -> Value {
    match app.ledger.sums().spent(id).await {
        Ok(Spent { day, month, total }) => json!({"day": day, "month": month, "total": total}),
        Err(error) => {
            tracing::warn!(%error, key_id = id, "what was spent with a gateway key can't be read");
            Value::Null
        }
    }
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(context): Extension<CallContext>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response {
    let updated = async {
        let changes = parse_changes(fields(&app, request).await?, Timestamp::now())?;
        told(app.access.update(&id, changes).await)
    };
    tell(updated.await, &context)
}

async fn rotate(
    State(app): State<Arc<App>>,
    Extension(context): Extension<CallContext>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response {
    let rotated = async {
        let grace = parse_grace(fields(&app, request).await?)?;
        let new = app.access.rotate(&id, grace).await?;
        let mut shown = shown_once(&new);
        shown["former_key_until"] = json!(new.former_until.map(|until| until.to_string()));
        Ok((StatusCode::OK, shown))
    };
    tell(rotated.await, &context)
}

async fn revoke(State(app): State<Arc<App>>, Extension(context): Extension<CallContext>, Path(id): Path<String>) -> Response {
    tell(told(app.access.revoke(&id).await), &context)
}

fn told(key: Result<Arc<GatewayKey>, KeyError>) -> Told {
    Ok((StatusCode::OK, Value::Object(shown(&*key?))))
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        Self::of_keys(&error)
    }
}

/// A key without its secret.
fn shown(key: &GatewayKey) -> Map<String, Value> {
    let fields = [
        ("id", json!(key.id)),
        ("tenant", json!(key.tenant)),
        ("name", json!(key.name)),
        ("models", json!(key.models)),
        ("budget_usd", json!(key.limits.budget)),
        ("rpm", json!(key.limits.rpm)),
        ("tpm", json!(key.limits.tpm)),
        ("concurrency", json!(key.limits.concurrency)),
        ("created_at", json!(key.created_at.to_string())),
        ("expires_at", json!(key.expires_at.map(|at| at.to_string()))),
        ("revoked_at", json!(key.revoked_at.map(|at| at.to_string()))),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A key with its secret.
fn shown_once(new: &NewKey) -> Value {
    let mut fields = shown(&new.key);
    fields.shift_insert(1, "key".to_owned(), json!(new.secret.expose_secret()));
    Value::Object(fields)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    tenant: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

fn bad_query(message: String) -> BadRequest {
    BadRequest { status: StatusCode::BAD_REQUEST, code: "invalid_request", param: None, message }
}

/// A body that may be left out.
async fn fields(app: &App, request: Request<Body>) -> Result<Fields, ApiError> {
    let body = receive_for_operator(app, request).await?;
    Ok(Fields::of_body(if body.is_empty() { b"{}" } else { &body })?)
}

fn parse_new(mut fields: Fields, now: Timestamp) -> Result<(String, KeyChanges), BadRequest> {
    let tenant = fields.required_string("tenant")?;
    if tenant != ANY_TENANT && !is_tenant(&tenant) {
        let expected = "must have 1 to 64 characters of a-z, 0-9, `.`, `_` and `-` and begin with a letter or a digit, or be `*` for a key that acts for any tenant";
        return Err(fields.wrong("tenant", expected));
    }
    Ok((tenant, parse_changes(fields, now)?))
}

fn parse_changes(mut fields: Fields, now: Timestamp) -> Result<KeyChanges, BadRequest> {
    if fields.has("tenant") {
        return Err(fields.wrong("tenant", "can't be changed; make another key"));
    }
    let [budget_day, budget_month, budget_total] = budgets(&mut fields)?;
    let changes = KeyChanges {
        name: set(&mut fields, "name", name)?,
        models: set(&mut fields, "models", models)?.map(Option::unwrap_or_default),
        rpm: set(&mut fields, "rpm", |fields, name| fields.integer(name, 1, MAX_RPM))?,
        tpm: set(&mut fields, "tpm", |fields, name| Ok(fields.integer(name, 1, u32::MAX)?.map(u64::from)))?,
        concurrency: set(&mut fields, "concurrency", |fields, name| fields.integer(name, 1, MAX_CONCURRENCY))?,
        budget_day,
        budget_month,
        budget_total,
        expires_at: set(&mut fields, "expires_at", |fields, name| expiry(fields, name, now))?,
    };
    nothing_else(fields, "name, models, budget_usd, rpm, tpm, concurrency and expires_at")?;
    Ok(changes)
}

fn parse_grace(mut fields: Fields) -> Result<Duration, BadRequest> {
    let grace = fields.integer("grace_seconds", 0, MAX_GRACE_S)?.unwrap_or(0);
    nothing_else(fields, "grace_seconds")?;
    Ok(Duration::from_secs(grace.into()))
}

fn nothing_else(fields: Fields, known: &str) -> Result<(), BadRequest> {
    let path = |name: &String| fields.path(name);
    let unknown = fields.names().next().map(path);
    unknown.map_or(Ok(()), |name| Err(BadRequest::field(name, format!("is not known here; there is {known}"))))
}

/// A field that is absent stays as it is, one that is null is removed.
fn set<T>(
    fields: &mut Fields,
    name: &str,
    read: impl FnOnce(&mut Fields, &str) -> Result<Option<T>, BadRequest>,
) -> Result<Set<T>, BadRequest> {
    if fields.has(name) { read(fields, name).map(Some) } else { Ok(None) }
}

fn name(fields: &mut Fields, field: &str) -> Result<Option<String>, BadRequest> {
    let name = fields.string(field)?;
    let is_good = |name: &String| !name.is_empty() && name.chars().count() <= MAX_NAME_CHARS && !name.contains(char::is_control);
    if name.as_ref().is_none_or(is_good) {
        return Ok(name);
    }
    Err(fields.wrong(field, format!("must have 1 to {MAX_NAME_CHARS} characters and no control characters")))
}

fn models(fields: &mut Fields, field: &str) -> Result<Option<Vec<String>>, BadRequest> {
    let Some(list) = fields.list(field)? else { return Ok(None) };
    if list.len() > MAX_MODELS {
        return Err(fields.wrong(field, format!("must have at most {MAX_MODELS} entries")));
    }
    let pattern = |(at, value): (usize, &Value)| {
        let pattern = value.as_str().filter(|pattern| is_pattern(pattern)).map(str::to_owned);
        let expected = "must be `provider/model`, a provider, a model, a route or an alias, with `*` nowhere but at its end";
        pattern.ok_or_else(|| fields.wrong(&format!("{field}[{at}]"), expected))
    };
    list.iter().enumerate().map(pattern).collect::<Result<_, _>>().map(Some)
}

fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty() && text.len() <= MAX_MODEL_BYTES && !name.contains(|c: char| c == '*' || c.is_control() || c.is_whitespace())
}

/// For a day, a month and in all. A number is the last of them, and null removes all.
fn budgets(fields: &mut Fields) -> Result<[Set<Usd>; 3], BadRequest> {
    const FIELD: &str = "budget_usd";
    match fields.peek(FIELD) {
        None if !fields.has(FIELD) => return Ok([None; 3]),
        None => {
            fields.value(FIELD);
            return Ok([Some(None); 3]);
        }
        Some(Value::Number(_)) => return Ok([None, None, Some(usd(fields, FIELD)?)]),
        Some(Value::Object(_)) => {}
        Some(_) => return Err(fields.wrong(FIELD, "must be a number of US dollars in all, or an object with day, month and total")),
    }
    let Some(mut budget) = fields.object(FIELD)? else { return Ok([None; 3]) };
    let budgets = [set(&mut budget, "day", usd)?, set(&mut budget, "month", usd)?, set(&mut budget, "total", usd)?];
    nothing_else(budget, "day, month and total")?;
    Ok(budgets)
}

fn usd(fields: &mut Fields, name: &str) -> Result<Option<Usd>, BadRequest> {
    let Some(value) = fields.value(name) else { return Ok(None) };
    let usd = value.as_f64().and_then(Usd::from_f64);
    usd.map(Some).ok_or_else(|| fields.wrong(name, format!("must be a number of US dollars from 0 to {}", Usd::MAX)))
}

fn expiry(fields: &mut Fields, name: &str, now: Timestamp) -> Result<Option<Timestamp>, BadRequest> {
    let Some(text) = fields.string(name)? else { return Ok(None) };
    let Ok(at) = text.parse::<Timestamp>() else {
        return Err(fields.wrong(name, "must be a time with its offset, such as 2030-01-31T12:00:00Z (RFC 3339)"));
    };
    if at <= now {
        return Err(fields.wrong(name, "must be in the future; DELETE /admin/keys/{id} revokes a key at once"));
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn new(body: &Value) -> Result<(String, KeyChanges), BadRequest> {
        parse_new(Fields::of_body(body.to_string().as_bytes()).unwrap(), now())
    }

    fn changes(body: &Value) -> Result<KeyChanges, BadRequest> {
        parse_changes(Fields::of_body(body.to_string().as_bytes()).unwrap(), now())
    }

    fn dollars(amount: f64) -> Set<Usd> {
        Some(Usd::from_f64(amount))
    }

    #[test]
    fn a_key_is_made_of_all_its_fields() {
        let body = json!({
            "tenant": "acme", "name": "CI", "models": ["openai", "claude/*"], "budget_usd": {"day": 1.5, "total": 100},
            "rpm": 60, "tpm": 100_000, "concurrency": 4, "expires_at": "2027-01-01T01:00:00+01:00",
        });
        let (tenant, settings) = new(&body).unwrap();
        assert_eq!(tenant, "acme");
        let expected = KeyChanges {
            name: Some(Some("CI".into())),
            models: Some(vec!["openai".into(), "claude/*".into()]),
            rpm: Some(Some(60)),
            tpm: Some(Some(100_000)),
            concurrency: Some(Some(4)),
            budget_day: dollars(1.5),
            budget_month: None,
            budget_total: dollars(100.0),
            expires_at: Some(Some("2027-01-01T00:00:00Z".parse().unwrap())),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_budget_that_is_a_number_is_of_the_whole() {
        let changed = changes(&json!({"budget_usd": 0.1})).unwrap();
        assert_eq!(changed, KeyChanges { budget_total: dollars(0.1), ..KeyChanges::default() });
    }

    #[test]
    fn null_removes_and_what_is_absent_stays() {
        let changed =
            changes(&json!({"name": null, "models": null, "budget_usd": {"day": null}, "rpm": null, "expires_at": null})).unwrap();
        let expected = KeyChanges {
            name: Some(None),
            models: Some(vec![]),
            rpm: Some(None),
            budget_day: Some(None),
            expires_at: Some(None),
            ..KeyChanges::default()
        };
        assert_eq!(changed, expected);
        let none = Some(None);
        let expected = KeyChanges { budget_day: none, budget_month: none, budget_total: none, ..KeyChanges::default() };
        assert_eq!(changes(&json!({"budget_usd": null})).unwrap(), expected);
        assert_eq!(changes(&json!({})).unwrap(), KeyChanges::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, param) in [
            (json!({}), "tenant"),
            (json!({"tenant": 5}), "tenant"),
            (json!({"tenant": "Acme Inc"}), "tenant"),
            (json!({"tenant": "a", "nmae": "x"}), "nmae"),
            (json!({"tenant": "a", "id": null}), "id"),
            (json!({"tenant": "a", "name": ""}), "name"),
            (json!({"tenant": "a", "name": "a\nb"}), "name"),
            (json!({"tenant": "a", "name": "x".repeat(201)}), "name"),
            (json!({"tenant": "a", "models": "openai"}), "models"),
            (json!({"tenant": "a", "models": ["openai", 5]}), "models[1]"),
            (json!({"tenant": "a", "models": ["a*b"]}), "models[0]"),
            (json!({"tenant": "a", "models": [""]}), "models[0]"),
            (json!({"tenant": "a", "models": vec!["a"; 201]}), "models"),
            (json!({"tenant": "a", "budget_usd": -1}), "budget_usd"),
            (json!({"tenant": "a", "budget_usd": "5"}), "budget_usd"),
            (json!({"tenant": "a", "budget_usd": 1e300}), "budget_usd"),
            (json!({"tenant": "a", "budget_usd": [1]}), "budget_usd"),
            (json!({"tenant": "a", "budget_usd": {"day": -0.1}}), "budget_usd.day"),
            (json!({"tenant": "a", "budget_usd": {"week": 1}}), "budget_usd.week"),
            (json!({"tenant": "a", "rpm": 0}), "rpm"),
            (json!({"tenant": "a", "rpm": 1.5}), "rpm"),
            (json!({"tenant": "a", "rpm": 4_000_000_000_u32}), "rpm"),
            (json!({"tenant": "a", "tpm": -5}), "tpm"),
            (json!({"tenant": "a", "concurrency": true}), "concurrency"),
            (json!({"tenant": "a", "expires_at": "2026-05-31T23:59:59Z"}), "expires_at"),
            (json!({"tenant": "a", "expires_at": "2027-01-01"}), "expires_at"),
            (json!({"tenant": "a", "expires_at": 1_900_000_000}), "expires_at"),
        ] {
            let bad = new(&body).unwrap_err();
            assert_eq!((bad.status.as_u16(), bad.param.as_deref()), (400, Some(param)), "{body}: {}", bad.message);
            assert!(bad.message.contains(param), "{}", bad.message);
        }
    }

    #[test]
    fn a_keys_tenant_stays() {
        assert_eq!(changes(&json!({"tenant": "b"})).unwrap_err().param.as_deref(), Some("tenant"));
    }

    #[test]
    fn an_old_secret_stays_for_a_week_at_most() {
        let grace = |body: Value| parse_grace(Fields::of_body(body.to_string().as_bytes()).unwrap());
        assert_eq!(grace(json!({})), Ok(Duration::ZERO));
        assert_eq!(grace(json!({"grace_seconds": 604_800})), Ok(Duration::from_secs(604_800)));
        for wrong in [json!({"grace_seconds": 604_801}), json!({"grace_seconds": -1}), json!({"grace_seconds": "5"})] {
            assert_eq!(grace(wrong).unwrap_err().param.as_deref(), Some("grace_seconds"));
        }
        assert_eq!(grace(json!({"grace": 5})).unwrap_err().param.as_deref(), Some("grace"));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(name: String, value: String, number: f64, whole: i64) {
            for field in ["tenant", "name", "models", "budget_usd", "rpm", "tpm", "concurrency", "expires_at", &name] {
                for value in [json!(value), json!(number), json!(whole), json!([value]), json!({"day": number}), json!({&name: whole})] {
                    let _ = new(&json!({"tenant": "a", field: value}));
                    let _ = changes(&json!({field: value}));
                }
            }
        }
    }
}
