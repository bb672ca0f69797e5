//! Rows into the database, and out of it again when they are old.
//!
//! Owns: the statements that change the ledger's tables. Not here: when that is, and what follows when it fails (`writer`); reading.
//!
//! A batch is one transaction. A row whose id is there already changes nothing: only new ones count in the sums by the hour, so a batch may be written any number of times.

use super::{AMOUNTS, AttemptRow, HOUR_US, RequestRow, SUMMED, TokenCounts};
use crate::database::Database;
use crate::money::Usd;
use sqlx::{Connection, PgConnection, PgPool, Postgres, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// Of one statement. SQLite takes 32,766 parameters, Postgres 65,535.
const ROWS_AT_ONCE: usize = 1000;
/// That are deleted together: what else is written waits for them.
const DELETED_AT_ONCE: i64 = 500;
/// Of names, in bytes: Postgres takes up to 2,704 of all columns of an index.
const NAME_BYTES: usize = 512;
const ERROR_BYTES: usize = 4096;
/// Stands in the sums for all models of a provider that its adapter does not list: their names are callers' texts.
const OTHER: &str = "other";
/// For which sums are kept.
const PERIODS: [Period; 2] = [
    Period { table: "usage_by_hour", column: "hour", length_us: HOUR_US },
    Period { table: "usage_by_day", column: "day", length_us: 24 * HOUR_US },
];

const REQUESTS: &str = "INSERT INTO requests (id, request_id, at, route, tenant, key_id, stream, status, error_type, error, provider, model, asked_model, plugin_version, simulated, \
    input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, tokens_estimated, cost, saved, cache, latency_us, upstream_us, gateway_us, \
    finish_reason, attempts) ";
const ATTEMPTS: &str = "INSERT INTO attempts (request, number, provider, model, plugin_version, simulated, status, error_type, error, reason, \
    input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, tokens_estimated, cost, duration_us, upstream_us, backoff_us, provider_request_id) ";
const CONTENTS: &str = "INSERT INTO contents (request, prompt, answer) ";
const USAGE_KEYS: &str = "tenant, key_id, provider, model";

/// The ledger's tables, to be written.
#[derive(Debug)]
pub(super) enum Store {
    Sqlite(SqlitePool),
    Postgres {
        pool: PgPool,
        /// One of its own. After an error there is a new one.
        connection: Option<PgConnection>,
    },
}

enum Value<'a> {
    Id(Uuid),
    Text(Option<Cow<'a, str>>),
    Number(Option<i64>),
    Small(Option<i32>),
    Flag(bool),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct UsageKey<'a> {
    /// In periods of Unix time.
    time: i64,
    tenant: Cow<'a, str>,
    key_id: Cow<'a, str>,
    provider: Cow<'a, str>,
    model: Cow<'a, str>,
}

/// Of what the sums of a table are.
#[derive(Clone, Copy)]
struct Period {
    table: &'static str,
    column: &'static str,
    length_us: i64,
}

/// In the order of [`SUMMED`], then of [`AMOUNTS`].
type Sums = [i64; SUMMED.len() + AMOUNTS.len()];

/// What is deleted: all before an id, or sums before an hour of Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purge {
    Everything(Uuid),
    Contents(Uuid),
    Hours(i64),
}

impl Store {
    pub fn new(database: &Database) -> Self {
        match database {
            Database::Sqlite { writer, .. } => Self::Sqlite(writer.clone()),
            Database::Postgres(pool) => Self::Postgres { pool: pool.clone(), connection: None },
        }
    }

    /// Writes rows, all or none. Gives the ids of those that were not there.
    pub async fn write(&mut self, rows: &[RequestRow]) -> sqlx::Result<HashSet<Uuid>> {
        match self {
            Self::Sqlite(pool) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                let new = sqlite::write(&mut transaction, rows).await?;
                transaction.commit().await?;
                Ok(new)
            }
            Self::Postgres { pool, connection } => {
                let mut taken = taken(pool, connection).await?;
                let mut transaction = taken.begin().await?;
                let new = postgres::write(&mut transaction, rows).await?;
                transaction.commit().await?;
                *connection = Some(taken);
                Ok(new)
            }
        }
    }

    /// Deletes some of the oldest. Tells whether there may be more.
    pub async fn purge(&mut self, purge: Purge) -> sqlx::Result<bool> {
        match self {
            Self::Sqlite(pool) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                let more = sqlite::purge(&mut transaction, purge).await?;
                transaction.commit().await?;
                Ok(more)
            }
            Self::Postgres { pool, connection } => {
                let mut taken = taken(pool, connection).await?;
                let mut transaction = taken.begin().await?;
                let more = postgres::purge(&mut transaction, purge).await?;
                transaction.commit().await?;
                *connection = Some(taken);
                Ok(more)
            }
        }
    }
}

/// The connection, which is given back when all went well: what is left of one that was dropped halfway is closed.
async fn taken(pool: &PgPool, connection: &mut Option<PgConnection>) -> sqlx::Result<PgConnection> {
    match connection.take() {
        Some(connection) => Ok(connection),
        None => Ok(pool.acquire().await?.detach()),
    }
}

/// Whether the database will never take what it was given, however well it is.
pub(super) fn is_fault_of_rows(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Encode(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
                // Data exceptions, violated constraints, program limits.
                ["22", "23", "54"].iter().any(|class| code.starts_with(class))
            } else {
                // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH; what is above the lowest byte says more.
                code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 18..=20))
            }
        }
        _ => false,
    }
}

/// The statements, which both databases take as they are but for how a sum is kept from growing too large.
macro_rules! statements {
    ($module:ident, $database:ty, $connection:ty, $bounded_sum:literal) => {
        mod $module {
            use super::*;

            pub async fn write(connection: &mut $connection, rows: &[RequestRow]) -> sqlx::Result<HashSet<Uuid>> {
                let mut new = HashSet::new();
                let mut added = Vec::new();
                for rows in rows.chunks(ROWS_AT_ONCE) {
                    let mut insert = insert(REQUESTS, rows.iter().map(request));
                    insert.push(" ON CONFLICT (id) DO NOTHING RETURNING id");
                    let ids = insert.build_query_scalar::<Uuid>().persistent(false).fetch_all(&mut *connection).await?;
                    added.extend(first_of_each(rows, &ids));
                    new.extend(ids);
                }
                let attempts: Vec<_> = added.iter().flat_map(|row| attempts(row)).collect();
                for attempts in attempts.chunks(ROWS_AT_ONCE) {
                    let mut insert = insert(ATTEMPTS, attempts.iter().map(|(id, number, it)| attempt(*id, *number, it)));
                    insert.build().persistent(false).execute(&mut *connection).await?;
                }
                let with_contents: Vec<_> = added.iter().filter(|row| row.prompt.is_some() || row.answer.is_some()).collect();
                for rows in with_contents.chunks(ROWS_AT_ONCE) {
                    let mut insert = insert(CONTENTS, rows.iter().map(|row| contents(row)));
                    insert.build().persistent(false).execute(&mut *connection).await?;
                }
                for period in PERIODS {
                    add_up(&mut *connection, &added, period).await?;
                }
                Ok(new)
            }

            async fn add_up(connection: &mut $connection, rows: &[&RequestRow], period: Period) -> sqlx::Result<()> {
                let Period { table, column, .. } = period;
                let names = [&SUMMED[..], &AMOUNTS].concat();
                let sums = names.join(", ");
                let sets: Vec<String> = names.iter().map(|sum| format!($bounded_sum, table = table, sum = sum)).collect();
                let sets = sets.join(", ");
                let usage: Vec<_> = usage(rows, period).into_iter().collect();
                for usage in usage.chunks(ROWS_AT_ONCE) {
                    let mut insert = insert(&format!("INSERT INTO {table} ({column}, {USAGE_KEYS}, {sums}) "), usage.iter().map(usage_row));
                    insert.push(format_args!(" ON CONFLICT ({column}, {USAGE_KEYS}) DO UPDATE SET {sets}"));
                    insert.build().persistent(false).execute(&mut *connection).await?;
                }
                Ok(())
            }

            pub async fn purge(connection: &mut $connection, purge: Purge) -> sqlx::Result<bool> {
                let (before, last, deletes): (_, _, &[&'static str]) = match purge {
                    Purge::Everything(before) => (
                        before,
                        "SELECT id FROM requests WHERE id < $1 ORDER BY id LIMIT $2",
                        &[
                            "DELETE FROM contents WHERE request <= $1",
                            "DELETE FROM attempts WHERE request <= $1",
                            "DELETE FROM requests WHERE id <= $1",
                        ],
                    ),
                    Purge::Contents(before) => (
                        before,
                        "SELECT request FROM contents WHERE request < $1 ORDER BY request LIMIT $2",
                        &["DELETE FROM contents WHERE request <= $1"],
                    ),
                    Purge::Hours(before) => {
                        let oldest = "DELETE FROM usage_by_hour WHERE hour < $1 AND hour = (SELECT MIN(hour) FROM usage_by_hour)";
                        return Ok(sqlx::query(oldest).bind(before).execute(connection).await?.rows_affected() > 0);
                    }
                };
                let oldest: Vec<Uuid> = sqlx::query_scalar(last).bind(before).bind(DELETED_AT_ONCE).fetch_all(&mut *connection).await?;
                let Some(last) = oldest.last() else { return Ok(false) };
                for delete in deletes {
                    sqlx::query(*delete).bind(last).execute(&mut *connection).await?;
                }
                Ok(true)
            }

            fn insert<'a>(into: &str, rows: impl Iterator<Item = Vec<Value<'a>>>) -> QueryBuilder<$database> {
                let mut builder = QueryBuilder::new(into);
                builder.push_values(rows, |mut row, values| {
                    for value in values {
                        match value {
                            Value::Id(id) => row.push_bind(id),
                            Value::Text(text) => row.push_bind(text),
                            Value::Number(number) => row.push_bind(number),
                            Value::Small(number) => row.push_bind(number),
                            Value::Flag(flag) => row.push_bind(flag),
                        };
                    }
                });
                builder
            }
        }
    };
}

// In SQLite a sum that is too large for an integer is a float, which is more than the largest integer.
statements!(sqlite, Sqlite, SqliteConnection, "{sum} = MIN({table}.{sum} + excluded.{sum}, 9223372036854775807)");
statements!(
    postgres,
    Postgres,
    PgConnection,
    "{sum} = CAST(LEAST(CAST({table}.{sum} AS NUMERIC) + excluded.{sum}, 9223372036854775807) AS BIGINT)"
);

/// The rows with these ids, each once.
fn first_of_each<'a>(rows: &'a [RequestRow], ids: &[Uuid]) -> Vec<&'a RequestRow> {
    let mut left: HashSet<&Uuid> = ids.iter().collect();
    rows.iter().filter(|row| left.remove(&row.id)).collect()
}

fn request(row: &RequestRow) -> Vec<Value<'_>> {
    let mut values = vec![
        Value::Id(row.id),
        name(&row.request_id),
        Value::Number(Some(row.at)),
        name(&row.route),
        name(&row.tenant),
        optional(row.key_id.as_deref()),
        Value::Flag(row.stream),
        Value::Small(Some(row.status.into())),
        optional(row.error_type.as_deref()),
        error(row.error.as_deref()),
        optional(row.provider.as_deref()),
        optional(row.model.as_deref()),
        optional(row.asked_model.as_deref()),
        optional(row.plugin_version.as_deref()),
        Value::Flag(row.simulated),
    ];
    values.extend(tokens(&row.tokens));
    values.extend([
        Value::Number(cost(row)),
        Value::Number(row.saved.map(Usd::picos)),
        name(&row.cache),
        Value::Number(Some(whole(row.latency_us))),
        Value::Number(Some(whole(row.upstream_us))),
        Value::Number(Some(whole(row.gateway_us))),
        optional(row.finish_reason.as_deref()),
        Value::Small(Some(i32::try_from(row.attempts.len()).unwrap_or(i32::MAX))),
    ]);
    values
}

fn attempts(row: &RequestRow) -> impl Iterator<Item = (Uuid, i32, &AttemptRow)> {
    (1..).zip(&row.attempts).map(|(number, attempt)| (row.id, number, attempt))
}

fn attempt(request: Uuid, number: i32, it: &AttemptRow) -> Vec<Value<'_>> {
    let mut values = vec![
        Value::Id(request),
        Value::Small(Some(number)),
        name(&it.provider),
        name(&it.model),
        name(&it.plugin_version),
        Value::Flag(it.simulated),
        Value::Small(it.status.map(i32::from)),
        optional(it.error_type.as_deref()),
        error(it.error.as_deref()),
        name(&it.reason),
    ];
    values.extend(tokens(&it.tokens));
    values.extend([
        Value::Number(it.cost.map(Usd::picos)),
        Value::Number(Some(whole(it.duration_us))),
        Value::Number(Some(whole(it.upstream_us))),
        Value::Number(Some(whole(it.backoff_us))),
        optional(it.provider_request_id.as_deref()),
    ]);
    values
}

fn contents(row: &RequestRow) -> Vec<Value<'_>> {
    let [prompt, answer] = [&row.prompt, &row.answer].map(|text| Value::Text(text.as_deref().map(without_nul)));
    vec![Value::Id(row.id), prompt, answer]
}

fn tokens(tokens: &TokenCounts) -> [Value<'static>; 6] {
    let number = |count: Option<u64>| Value::Number(count.map(whole));
    [
        number(tokens.input),
        number(tokens.cache_read),
        number(tokens.cache_write),
        number(tokens.output),
        number(tokens.reasoning),
        Value::Flag(tokens.estimated),
    ]
}

fn usage_row<'a>((key, sums): &(UsageKey<'a>, Sums)) -> Vec<Value<'a>> {
    let UsageKey { time, tenant, key_id, provider, model } = key.clone();
    let mut values = vec![Value::Number(Some(time))];
    values.extend([tenant, key_id, provider, model].map(|text| Value::Text(Some(text))));
    values.extend(sums.map(|sum| Value::Number(Some(sum))));
    values
}

/// Whole picodollars: those of the attempts, each rounded up, so that both sums are the same.
fn cost(row: &RequestRow) -> Option<i64> {
    let total = row.cost?.picos();
    let attempts: Option<Vec<i64>> = row.attempts.iter().map(|attempt| attempt.cost.map(Usd::picos)).collect();
    Some(attempts.filter(|costs| !costs.is_empty()).map_or(total, |costs| costs.into_iter().fold(0, i64::saturating_add)))
}

/// In order, so that two gateways that write the same sums don't wait for each other.
fn usage<'a>(rows: &[&'a RequestRow], period: Period) -> BTreeMap<UsageKey<'a>, Sums> {
    let mut usage: BTreeMap<UsageKey<'a>, Sums> = BTreeMap::new();
    let mut add = |key: UsageKey<'a>, counts: Sums| {
        let sums = usage.entry(key).or_insert([0; SUMMED.len() + AMOUNTS.len()]);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum = sum.saturating_add(count);
        }
    };
    for row in rows {
        let key = |provider: &'a str, model: &'a str| UsageKey {
            time: row.at.div_euclid(period.length_us),
            tenant: short(&row.tenant, NAME_BYTES),
            key_id: short(row.key_id.as_deref().unwrap_or_default(), NAME_BYTES),
            provider: short(provider, NAME_BYTES),
            model: short(model, NAME_BYTES),
        };
        // Where its last attempt counts, for the model in the answer may be a build of the one that was asked. A model that nobody was asked for is a caller's text.
        let (provider, model) = match (row.attempts.last(), &row.provider) {
            (Some(last), _) => (last.provider.as_str(), counted_model(last)),
            (None, Some(provider)) => (provider.as_str(), row.model.as_deref().unwrap_or_default()),
            (None, None) => ("", ""),
        };
        let saved = row.saved.map_or(0, Usd::picos);
        // A stream may fail after a 200.
        let failed = i64::from(row.status >= 400 || row.error_type.is_some());
        let hit = i64::from(row.cache == "hit");
        add(key(provider, model), [1, failed, hit, 0, 0, 0, 0, 0, 0, 0, 0, whole(row.latency_us), 0, saved]);
        for attempt in &row.attempts {
            let AttemptRow { tokens, cost, .. } = attempt;
            let count = |count: Option<u64>| count.map_or(0, whole);
            let counts = [
                0,
                0,
                0,
                1,
                count(tokens.input),
                count(tokens.cache_read),
                count(tokens.cache_write),
                count(tokens.output),
                count(tokens.reasoning),
                i64::from(tokens.estimated),
                i64::from(cost.is_none()),
                0,
                cost.map_or(0, Usd::picos),
                0,
            ];
            add(key(&attempt.provider, counted_model(attempt)), counts);
        }
    }
    usage
}

fn counted_model(attempt: &AttemptRow) -> &str {
    if attempt.is_listed { &attempt.model } else { OTHER }
}

fn name(text: &str) -> Value<'_> {
    Value::Text(Some(short(text, NAME_BYTES)))
}

fn optional(text: Option<&str>) -> Value<'_> {
    Value::Text(text.map(|text| short(text, NAME_BYTES)))
}

fn error(text: Option<&str>) -> Value<'_> {
    Value::Text(text.map(|text| short(text, ERROR_BYTES)))
}

fn short(text: &str, bytes: usize) -> Cow<'_, str> {
    without_nul(&text[..text.floor_char_boundary(bytes)])
}

/// Postgres takes no NUL.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
