//! Requests that are over, for operators: a list, one of them with its attempts, an export.

use super::csv;
use super::parameters::{Parameters, accepts_csv};
use crate::database::Database;
use crate::domain::CallContext;
use crate::edge::dialect::Dialect;
use crate::edge::{ApiError, BadRequest};
use crate::ledger::read::{self, AttemptRecord, Filter, Outcome, Page, PageOf, ReadError, RequestRecord, Whole};
use crate::money::Usd;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use uuid::Uuid;

const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 1_000;
/// Where the next page begins, of a page that is CSV.
const NEXT_CURSOR: &str = "x-gateway-next-cursor";

const FILTERS: [&str; 13] = [
    "from",
    "to",
    "request_id",
    "route",
    "tenant",
    "key_id",
    "provider",
    "model",
    "status",
    "error",
    "cache",
    "min_cost_usd",
    "max_cost_usd",
];

/// A field's name, and how it is made of a row.
pub(super) type Field<R> = (&'static str, fn(&R) -> Value);

/// Fields of a request, in their order.
const FIELDS: [Field<RequestRecord>; 30] = [
    ("request_id", |row| json!(row.request_id)),
    ("id", |row| json!(row.id)),
    ("at", |row| time(row.at)),
    ("route", |row| json!(row.route)),
    ("tenant", |row| json!(row.tenant)),
    ("key_id", |row| json!(row.key_id)),
    ("stream", |row| json!(row.stream)),
    ("status", |row| json!(row.status)),
    ("error_type", |row| json!(row.error_type)),
    ("error", |row| json!(row.error)),
    ("provider", |row| json!(row.provider)),
    ("model", |row| json!(row.model)),
    ("asked_model", |row| json!(row.asked_model)),
    ("plugin_version", |row| json!(row.plugin_version)),
    ("simulated", |row| json!(row.simulated)),
    ("input_tokens", |row| json!(row.input_tokens)),
    ("cache_read_tokens", |row| json!(row.cache_read_tokens)),
    ("cache_write_tokens", |row| json!(row.cache_write_tokens)),
    ("output_tokens", |row| json!(row.output_tokens)),
    ("reasoning_tokens", |row| json!(row.reasoning_tokens)),
    ("total_tokens", |row| total(row.input_tokens, row.output_tokens)),
    ("tokens_estimated", |row| json!(row.tokens_estimated)),
    ("cost_usd", |row| usd(row.cost)),
    ("saved_usd", |row| usd(row.saved)),
    ("cache", |row| json!(row.cache)),
    ("latency_ms", |row| milliseconds(row.latency_us)),
    ("upstream_ms", |row| milliseconds(row.upstream_us)),
    ("gateway_ms", |row| milliseconds(row.gateway_us)),
    ("finish_reason", |row| json!(row.finish_reason)),
    ("attempts", |row| json!(row.attempts)),
];

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    /// One array.
    Json,
    /// One object on each line.
    JsonLines,
}

/// `{"requests": […], "next_cursor": …}`, or CSV with the cursor in a header.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(context): Extension<CallContext>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    app.ledger.flushed().await;
    answer(&context, listed(&app.database, query.as_deref(), accepts_csv(&headers)).await)
}

/// All requests that match, as a file.
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Extension(context): Extension<CallContext>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    app.ledger.flushed().await;
    answer(&context, exported(&app.database, query.as_deref(), accepts_csv(&headers)).await)
}

/// `{"request": {…}}` with its attempts, and prompt and answer where they are kept.
pub(super) async fn one(State(app): State<Arc<App>>, Extension(context): Extension<CallContext>, Path(id): Path<String>) -> Response {
    app.ledger.flushed().await;
    answer(&context, shown(&app.database, &id).await)
}

pub(super) fn answer(context: &CallContext, answer: Result<Response, ApiError>) -> Response {
    answer.unwrap_or_else(|error| error.response(Dialect::Query, &context.id))
}

/// In words.
pub(super) fn time(microseconds: i64) -> Value {
    json!(Timestamp::from_microsecond(microseconds).ok().map(|at| at.to_string()))
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::unavailable(error.to_string())
    }
}

async fn listed(database: &Database, query: Option<&str>, csv_accepted: bool) -> Result<Response, ApiError> {
    let mut parameters = Parameters::of(query, &[&FILTERS[..], &["limit", "cursor", "format"]].concat())?;
    let must = format!("must be a whole number from 1 to {MAX_LIMIT}");
    let limit = parameters.parse("limit", &must, |text| text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)))?;
    let after = parameters.parse("cursor", "must be the `next_cursor` of an earlier answer", |text| Uuid::try_parse(text).ok())?;
    let as_csv = parameters.word("format", &[("json", false), ("csv", true)])?.unwrap_or(csv_accepted);
    let filter = filter(&mut parameters)?;
    let Page { requests, next } = read::requests(database, &filter, PageOf { after, limit: limit.unwrap_or(DEFAULT_LIMIT) }).await?;
    let next = next.map(|id| id.simple().to_string());
    let requests = requests.iter().map(fields);
    if !as_csv {
        return Ok(Json(json!({ "requests": requests.collect::<Vec<_>>(), "next_cursor": next })).into_response());
    }
    let text: String = std::iter::once(csv::header(&names())).chain(requests.map(|fields| csv::record(&fields))).collect();
    let mut response = ([(header::CONTENT_TYPE, csv::CONTENT_TYPE)], text).into_response();
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        response.headers_mut().insert(NEXT_CURSOR, next);
    }
    Ok(response)
}

async fn exported(database: &Database, query: Option<&str>, csv_accepted: bool) -> Result<Response, ApiError> {
    let mut parameters = Parameters::of(query, &[&FILTERS[..], &["format"]].concat())?;
    let format = parameters.word("format", &[("csv", Format::Csv), ("json", Format::Json), ("jsonl", Format::JsonLines)])?;
    let format = format.unwrap_or(if csv_accepted { Format::Csv } else { Format::Json });
    let filter = filter(&mut parameters)?;
    // A database that can't be read is known before the answer begins.
    let first = read::requests(database, &filter, PageOf { after: None, limit: MAX_LIMIT }).await?;
    let body = Body::from_stream(format.write(rows(database.clone(), filter, first)));
    let headers = [(header::CONTENT_TYPE, format.content_type()), (header::CONTENT_DISPOSITION, format.disposition())];
    Ok((headers, body).into_response())
}

async fn shown(database: &Database, id: &str) -> Result<Response, ApiError> {
    let Some(found) = read::request(database, id).await? else {
        let id: String = id.chars().take(100).collect();
        return Err(ApiError::missing(format!("no request `{id}` is in the ledger; GET /admin/requests lists those that are")));
    };
    Ok(Json(json!({ "request": whole(&found) })).into_response())
}

/// All rows from a page on, of which one page at a time is held.
fn rows(database: Database, filter: Filter, first: Page) -> impl Stream<Item = Result<Vec<RequestRecord>, ReadError>> {
    let later = stream::try_unfold((database, filter, first.next), |(database, filter, next)| async move {
        let Some(after) = next else { return Ok(None) };
        let page = read::requests(&database, &filter, PageOf { after: Some(after), limit: MAX_LIMIT }).await?;
        Ok(Some((page.requests, (database, filter, page.next))))
    });
    stream::once(std::future::ready(Ok(first.requests))).chain(later)
}

fn filter(parameters: &mut Parameters) -> Result<Filter, BadRequest> {
    let status = "must be a status (429), a class of them (4xx), ok or failed";
    Ok(Filter {
        from: parameters.time("from")?,
        to: parameters.time("to")?,
        request_id: parameters.text("request_id"),
        route: parameters.text("route"),
        tenant: parameters.text("tenant"),
        key_id: parameters.text("key_id"),
        provider: parameters.text("provider"),
        model: parameters.text("model"),
        outcome: parameters.parse("status", status, outcome)?,
        error: parameters.text("error"),
        cache: parameters.word("cache", &[("hit", "hit"), ("miss", "miss"), ("off", "off")])?.map(str::to_owned),
        min_cost: parameters.usd("min_cost_usd")?,
        max_cost: parameters.usd("max_cost_usd")?,
    })
}

fn outcome(text: &str) -> Option<Outcome> {
    match text {
        "ok" => Some(Outcome::Ok),
        "failed" => Some(Outcome::Failed),
        _ => match text.strip_suffix("xx") {
            Some(class) => {
                let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
                Some(Outcome::Status(class * 100, class * 100 + 99))
            }
            None => text.parse().ok().filter(|status| (100..=599).contains(status)).map(|status| Outcome::Status(status, status)),
        },
    }
}

fn names() -> Vec<&'static str> {
    FIELDS.iter().map(|(name, _)| *name).collect()
}

fn fields(row: &RequestRecord) -> Map<String, Value> {
    FIELDS.iter().map(|(name, value)| ((*name).to_owned(), value(row))).collect()
}

fn whole(found: &Whole) -> Map<String, Value> {
    let mut shown = fields(&found.request);
    shown.insert("attempts".to_owned(), found.attempts.iter().map(attempt).collect());
    shown.insert("prompt".to_owned(), json!(found.contents.prompt));
    shown.insert("answer".to_owned(), json!(found.contents.answer));
    shown.insert("earlier".to_owned(), json!(found.earlier));
    shown
}

fn attempt(row: &AttemptRecord) -> Value {
    json!({
        "number": row.number,
        "provider": row.provider,
        "model": row.model,
        "plugin_version": row.plugin_version,
        "simulated": row.simulated,
        "status": row.status,
        "error_type": row.error_type,
        "error": row.error,
        "reason": row.reason,
        "input_tokens": row.input_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "total_tokens": total(row.input_tokens, row.output_tokens),
        "tokens_estimated": row.tokens_estimated,
        "cost_usd": usd(row.cost),
        "duration_ms": milliseconds(row.duration_us),
        "upstream_ms": milliseconds(row.upstream_us),
        "backoff_ms": milliseconds(row.backoff_us),
        "provider_request_id": row.provider_request_id,
    })
}

fn total(input: Option<i64>, output: Option<i64>) -> Value {
    match (input, output) {
        (None, None) => Value::Null,
        (input, output) => json!(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
    }
}

fn usd(picos: Option<i64>) -> Value {
    json!(picos.map(Usd::from_picos))
}

fn milliseconds(microseconds: i64) -> Value {
    json!(microseconds as f64 / 1e3)
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => csv::CONTENT_TYPE,
            Self::Json => "application/json",
            Self::JsonLines => "application/x-ndjson",
        }
    }

    fn disposition(self) -> &'static str {
        match self {
            Self::Csv => "attachment; filename=\"requests.csv\"",
            Self::Json => "attachment; filename=\"requests.json\"",
            Self::JsonLines => "attachment; filename=\"requests.jsonl\"",
        }
    }

    /// A failure on the way breaks the answer off, so that no part is taken for the whole.
    fn write(self, pages: impl Stream<Item = Result<Vec<RequestRecord>, ReadError>>) -> impl Stream<Item = Result<Bytes, ReadError>> {
        let (open, close) = match self {
            Self::Csv => (csv::header(&names()), ""),
            Self::Json => ("[".to_owned(), "\n]\n"),
            Self::JsonLines => (String::new(), ""),
        };
        let mut before = "\n";
        let written = pages.map_ok(move |rows| {
            let mut text = String::new();
            for fields in rows.iter().map(fields) {
                match self {
                    Self::Csv => text.push_str(&csv::record(&fields)),
                    Self::Json => text.extend([std::mem::replace(&mut before, ",\n"), &json!(fields).to_string()]),
                    Self::JsonLines => text.extend([json!(fields).to_string().as_str(), "\n"]),
                }
            }
            Bytes::from(text)
        });
        let end = |text: String| stream::once(std::future::ready(Ok(Bytes::from(text))));
        end(open).chain(written).chain(end(close.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::read::fixture::{self, Fixture};
    use axum::http::StatusCode;
    use http_body_util::BodyExt;

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    async fn listed_json(fixture: &Fixture, query: &str) -> Value {
        serde_json::from_str(&text(listed(&fixture.database, Some(query), false).await.unwrap()).await).unwrap()
    }

    async fn filled(rows: &[RequestRecord]) -> Fixture {
        let fixture = Fixture::sqlite().await;
        fixture::insert(&fixture.database, rows).await;
        fixture
    }

    #[tokio::test]
    async fn a_list_is_read_by_its_cursor() {
        let rows = fixture::rows(120);
        let fixture = filled(&rows).await;
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        for expected in [50, 50, 20] {
            let page = listed_json(&fixture, &cursor).await;
            let requests = page["requests"].as_array().unwrap();
            assert_eq!((requests.len(), page["next_cursor"].is_null()), (expected, expected == 20));
            ids.extend(requests.iter().map(|request| request["id"].as_str().unwrap().to_owned()));
            cursor = format!("cursor={}", page["next_cursor"].as_str().unwrap_or_default());
        }
        assert_eq!(ids, rows.iter().rev().map(|row| row.id.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_request_is_told_in_the_words_of_the_api() {
        let row = RequestRecord {
            cost: Some(37_500_000),
            saved: None,
            input_tokens: Some(7),
            output_tokens: Some(5),
            ..fixture::rows(1).remove(0)
        };
        let fixture = filled(&[RequestRecord { latency_us: 1_500, ..row }]).await;
        let page = listed_json(&fixture, "limit=1").await;
        let request = &page["requests"][0];
        let told = ["at", "cost_usd", "saved_usd", "total_tokens", "latency_ms"].map(|name| request[name].clone());
        assert_eq!(json!(told), json!(["2026-11-02T00:00:00.0015Z", 3.75e-5, null, 12, 1.5]));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_question_is_named() {
        let fixture = Fixture::sqlite().await;
        for (query, param) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("cursor=x", "cursor"),
            ("status=6xx", "status"),
            ("status=okay", "status"),
            ("cache=warm", "cache"),
            ("from=now", "from"),
            ("min_cost_usd=-1", "min_cost_usd"),
            ("format=xml", "format"),
            ("user=me", "user"),
        ] {
            let error = listed(&fixture.database, Some(query), false).await.unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (StatusCode::BAD_REQUEST, Some(param)), "{query}");
        }
        let error = shown(&fixture.database, "none").await.unwrap_err();
        assert_eq!((error.status, error.code.as_str()), (StatusCode::NOT_FOUND, "not_found"));
    }

    #[tokio::test]
    async fn an_export_has_all_that_match_in_each_form() {
        let rows = fixture::rows(2_300);
        let fixture = filled(&rows).await;
        let expected: Vec<Value> = rows.iter().rev().filter(|row| row.tenant == "acme").map(|row| json!(fields(row))).collect();
        let export = async |format: &str| {
            text(exported(&fixture.database, Some(&format!("tenant=acme&format={format}")), false).await.unwrap()).await
        };
        assert_eq!(serde_json::from_str::<Vec<Value>>(&export("json").await).unwrap(), expected);
        let lines: Vec<Value> = export("jsonl").await.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, expected);
        let records = expected.iter().map(|fields| csv::record(fields.as_object().unwrap()));
        assert_eq!(export("csv").await, std::iter::once(csv::header(&names())).chain(records).collect::<String>());
        let none = exported(&fixture.database, Some("tenant=nobody&format=json"), false).await.unwrap();
        assert_eq!(serde_json::from_str::<Vec<Value>>(&text(none).await).unwrap(), Vec::<Value>::new());
    }

    #[tokio::test]
    async fn a_page_of_csv_says_where_the_next_begins() {
        let fixture = filled(&fixture::rows(3)).await;
        let response = listed(&fixture.database, Some("limit=2"), true).await.unwrap();
        assert!(response.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/csv"));
        let next = response.headers()[NEXT_CURSOR].to_str().unwrap().to_owned();
        assert!(text(response).await.starts_with("request_id,id,at,route,tenant,"));
        let last = listed(&fixture.database, Some(&format!("cursor={next}")), true).await.unwrap();
        assert_eq!((last.headers().contains_key(NEXT_CURSOR), text(last).await.matches("\r\n").count()), (false, 2));
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_a_503() {
        let fixture = Fixture::sqlite().await;
        if let Database::Sqlite { readers, .. } = &fixture.database {
            readers.close().await;
        }
        for error in [
            listed(&fixture.database, None, false).await.unwrap_err(),
            exported(&fixture.database, None, false).await.unwrap_err(),
            shown(&fixture.database, "x").await.unwrap_err(),
        ] {
            assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}
