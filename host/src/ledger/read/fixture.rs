//! Databases with rows in them, for the tests of what reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{AttemptRecord, Contents, Filter, Outcome, RequestRecord};
use crate::database::Database;
use crate::ledger::{AMOUNTS, HOUR_US, SUMMED};
use crate::money::Usd;
use crate::servers::Postgres;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;
use uuid::Uuid;

/// 2026-11-02T00:00:00Z, a day's begin.
pub(crate) const START: i64 = 1_793_577_600_000_000;

/// A database that ends with the test.
pub(crate) struct Fixture {
    pub database: Database,
    _postgres: Option<Postgres>,
    _folder: TempDir,
}

impl Fixture {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { database: Database::open(folder.path(), None).await.unwrap(), _postgres: None, _folder: folder }
    }

    pub async fn postgres() -> Self {
        let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start());
        let database = Database::open(folder.path(), Some(&postgres.url().into())).await.unwrap();
        Self { database, _postgres: Some(postgres), _folder: folder }
    }

    /// One of each kind that there is.
    pub async fn all() -> [Self; 2] {
        [Self::sqlite().await, Self::postgres().await]
    }
}

/// Does the same with the pool, whichever it is.
macro_rules! on {
    ($database:expr, $pool:ident => $do:expr) => {
        match $database {
            Database::Sqlite { writer: $pool, .. } => {
                $do;
            }
            Database::Postgres($pool) => {
                $do;
            }
        }
    };
}

fn placeholders(count: usize) -> String {
    (1..=count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// Puts rows in, with the sums that are kept of them.
pub(crate) async fn insert(database: &Database, rows: &[RequestRecord]) {
    let request = format!("INSERT INTO requests VALUES ({})", placeholders(29));
    let sums = [&SUMMED[..], &AMOUNTS].concat();
    let usage = |table: &str, time: &str| {
        let added: Vec<String> = sums.iter().map(|name| format!("{name} = {table}.{name} + excluded.{name}")).collect();
        let (names, added, values) = (sums.join(", "), added.join(", "), placeholders(5 + sums.len()));
        let keys = format!("{time}, tenant, key_id, provider, model");
        format!("INSERT INTO {table} ({keys}, {names}) VALUES ({values}) ON CONFLICT ({keys}) DO UPDATE SET {added}")
    };
    let tables = [(usage("usage_by_hour", "hour"), HOUR_US), (usage("usage_by_day", "day"), 24 * HOUR_US)];
    on!(database, pool => {
        let mut transaction = pool.begin().await.unwrap();
        for row in rows {
            let row = row.clone();
            let query = sqlx::query(sqlx::AssertSqlSafe(request.clone())).bind(row.id).bind(row.request_id).bind(row.at).bind(row.route);
            let query = query.bind(row.tenant.clone()).bind(row.key_id.clone()).bind(row.stream).bind(row.status).bind(row.error_type);
            let query = query.bind(row.error).bind(row.provider.clone()).bind(row.model.clone()).bind(row.asked_model);
            let query = query.bind(row.plugin_version).bind(row.simulated).bind(row.input_tokens).bind(row.cache_read_tokens);
            let query = query.bind(row.cache_write_tokens).bind(row.output_tokens).bind(row.reasoning_tokens).bind(row.tokens_estimated);
            let query = query.bind(row.cost).bind(row.saved).bind(row.cache).bind(row.latency_us).bind(row.upstream_us);
            query.bind(row.gateway_us).bind(row.finish_reason).bind(row.attempts).execute(&mut *transaction).await.unwrap();
        }
        for (sql, unit) in &tables {
            for row in rows {
                let query = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).bind(row.at / unit).bind(&row.tenant);
                let query = [&row.key_id, &row.provider, &row.model].into_iter().fold(query, |query, name| query.bind(name.as_deref().unwrap_or_default()));
                used(row).into_iter().fold(query, |query, sum| query.bind(sum)).execute(&mut *transaction).await.unwrap();
            }
        }
        transaction.commit().await.unwrap();
    });
}

pub(crate) async fn insert_details(database: &Database, id: Uuid, attempts: &[AttemptRecord], contents: &Contents) {
    on!(database, pool => {
        for row in attempts.iter().cloned() {
            let query = sqlx::query(sqlx::AssertSqlSafe(format!("INSERT INTO attempts VALUES ({})", placeholders(21)))).bind(id).bind(row.number);
            let query = query.bind(row.provider).bind(row.model).bind(row.plugin_version).bind(row.simulated).bind(row.status).bind(row.error_type);
            let query = query.bind(row.error).bind(row.reason).bind(row.input_tokens).bind(row.cache_read_tokens).bind(row.cache_write_tokens);
            let query = query.bind(row.output_tokens).bind(row.reasoning_tokens).bind(row.tokens_estimated).bind(row.cost);
            let query = query.bind(row.duration_us).bind(row.upstream_us).bind(row.backoff_us).bind(row.provider_request_id);
            query.execute(pool).await.unwrap();
        }
        let query = sqlx::query("INSERT INTO contents VALUES ($1, $2, $3)").bind(id).bind(&contents.prompt).bind(&contents.answer);
        query.execute(pool).await.unwrap();
    });
}

/// What a row adds to the sums, in the order of their columns.
pub(crate) fn used(row: &RequestRecord) -> [i64; 14] {
    [
        1,
        i64::from(is_failed(row)),
        i64::from(row.cache == "hit"),
        row.attempts.into(),
        row.input_tokens.unwrap_or(0),
        row.cache_read_tokens.unwrap_or(0),
        row.cache_write_tokens.unwrap_or(0),
        row.output_tokens.unwrap_or(0),
        row.reasoning_tokens.unwrap_or(0),
        row.tokens_estimated.into(),
        row.cost.is_none().into(),
        row.latency_us,
        row.cost.unwrap_or(0),
        row.saved.unwrap_or(0),
    ]
}

pub(crate) fn is_failed(row: &RequestRecord) -> bool {
    row.status >= 400 || row.error_type.is_some()
}

/// The same rows every time, oldest first, over three days.
pub(crate) fn rows(count: usize) -> Vec<RequestRecord> {
    let rows = proptest::collection::vec(row(), count).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let step = 72 * HOUR_US / i64::try_from(count).unwrap();
    (0..).zip(rows).map(|(i, row)| at(row, START + i * step + 1_500, i.unsigned_abs())).collect()
}

/// The row as if it had begun then.
pub(crate) fn at(row: RequestRecord, at: i64, number: u64) -> RequestRecord {
    let milliseconds = u128::from((at / 1000).unsigned_abs());
    let id = Uuid::from_u128((milliseconds << 80) | (7 << 76) | (2 << 62) | u128::from(number));
    RequestRecord { id, at, request_id: format!("r-{}", number % 1_000), ..row }
}

fn some_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

const ROUTES: [&str; 2] = ["/v1/chat/completions", "/api/query"];
const TENANTS: [&str; 3] = ["default", "acme", "it's"];
const KEYS: [&str; 2] = ["k1", "k2"];
const PROVIDERS: [&str; 2] = ["openai", "claude"];
const MODELS: [&str; 3] = ["gpt-6", "opus", "haiku"];
const ERRORS: [&str; 4] = ["Overloaded: 100% busy", "the 'model' is un_known", "ÜBERLAST \\ \"now\",\nagain", "=cmd"];
const CACHE: [&str; 3] = ["hit", "miss", "off"];

prop_compose! {
    fn row()(
        (route, tenant, key_id) in (some_of(&ROUTES), some_of(&TENANTS), proptest::option::of(some_of(&KEYS))),
        (provider, model) in (proptest::option::of(some_of(&PROVIDERS)), proptest::option::of(some_of(&MODELS))),
        error in proptest::option::weighted(0.2, (some_of(&ERRORS), proptest::sample::select(vec![200, 400, 429, 499, 503]))),
        (cost, saved) in (proptest::option::of(0..3_000_000_000_000_i64), proptest::option::of(0..9_000_000_i64)),
        tokens in proptest::array::uniform5(proptest::option::of(0..100_000_i64)),
        (cache, stream, estimated) in (some_of(&CACHE), any::<bool>(), any::<bool>()),
        times in proptest::array::uniform3(0..60_000_000_i64),
        attempts in 0..4_i32,
    ) -> RequestRecord {
        RequestRecord {
            id: Uuid::nil(), request_id: String::new(), at: 0, route, tenant, key_id, stream, provider, cost, saved, cache, attempts,
            status: error.as_ref().map_or(200, |(_, status)| *status),
            error_type: error.as_ref().map(|_| "overloaded".to_owned()),
            error: error.map(|(message, _)| message),
            asked_model: model.clone(), model, plugin_version: Some("1.0.0".to_owned()), simulated: false,
            input_tokens: tokens[0], cache_read_tokens: tokens[1], cache_write_tokens: tokens[2], output_tokens: tokens[3], reasoning_tokens: tokens[4],
            tokens_estimated: estimated, latency_us: times[0], upstream_us: times[1], gateway_us: times[2], finish_reason: Some("stop".to_owned()),
        }
    }
}

prop_compose! {
    /// A filter of at most a few conditions.
    pub(crate) fn filter()(
        (from, to) in (proptest::option::weighted(0.2, 0..72 * HOUR_US), proptest::option::weighted(0.2, 0..72 * HOUR_US)),
        (route, cache) in (proptest::option::weighted(0.1, some_of(&ROUTES)), proptest::option::weighted(0.1, some_of(&CACHE))),
        (tenant, key_id) in (proptest::option::weighted(0.3, some_of(&TENANTS)), proptest::option::weighted(0.1, some_of(&KEYS))),
        (provider, model) in (proptest::option::weighted(0.3, some_of(&PROVIDERS)), proptest::option::weighted(0.3, some_of(&MODELS))),
        outcome in proptest::option::weighted(0.4, proptest::sample::select(vec![
            Outcome::Ok, Outcome::Failed, Outcome::Status(200, 200), Outcome::Status(400, 499), Outcome::Status(503, 503),
        ])),
        error in proptest::option::weighted(0.2, some_of(&["100%", "OVER", "_", "'", "Überlast", "\\", "e"])),
        request_id in proptest::option::weighted(0.05, (0..1_000_u32).prop_map(|n| format!("r-{n}"))),
        (min_cost, max_cost) in (proptest::option::weighted(0.2, 0..3_000_000_000_000_i64), proptest::option::weighted(0.2, 0..3_000_000_000_000_i64)),
    ) -> Filter {
        Filter {
            from: from.map(|from| START + from), to: to.map(|to| START + to),
            request_id, route, tenant, key_id, provider, model, outcome, error, cache,
            min_cost: min_cost.map(Usd::from_picos), max_cost: max_cost.map(Usd::from_picos),
        }
    }
}

/// What a filter means.
pub(crate) fn meets(filter: &Filter, row: &RequestRecord) -> bool {
    let is = |asked: &Option<String>, value: Option<&str>| asked.is_none() || asked.as_deref() == value;
    let outcome = match filter.outcome {
        None => true,
        Some(Outcome::Ok) => !is_failed(row),
        Some(Outcome::Failed) => is_failed(row),
        Some(Outcome::Status(first, last)) => (i32::from(first)..=i32::from(last)).contains(&row.status),
    };
    let error = filter
        .error
        .as_ref()
        .is_none_or(|part| row.error.as_ref().is_some_and(|error| error.to_ascii_lowercase().contains(&part.to_ascii_lowercase())));
    let cost = row.cost.map(Usd::from_picos);
    outcome
        && error
        && filter.from.is_none_or(|from| row.at >= from)
        && filter.to.is_none_or(|to| row.at < to)
        && filter.min_cost.is_none_or(|min| cost.is_some_and(|cost| cost >= min))
        && filter.max_cost.is_none_or(|max| cost.is_some_and(|cost| cost <= max))
        && is(&filter.request_id, Some(&row.request_id))
        && is(&filter.route, Some(&row.route))
        && is(&filter.tenant, Some(&row.tenant))
        && is(&filter.cache, Some(&row.cache))
        && is(&filter.key_id, row.key_id.as_deref())
        && is(&filter.provider, row.provider.as_deref())
        && is(&filter.model, row.model.as_deref())
}
