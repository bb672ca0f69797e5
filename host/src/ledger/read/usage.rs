//! Sums of usage, by hour or day and by who used what.
//!
//! Read from the sums that are kept, never from the rows of requests. Days are UTC's.

use super::ReadError;
use super::statement::{Reading, Statement, Value};
use crate::database::Database;
use crate::ledger::{AMOUNTS, SUMMED};
use crate::money::Usd;
use sqlx::FromRow;
use std::ops::{AddAssign, Range};

/// Rows of one answer, at most.
const MAX_ROWS: usize = 10_000;
const HOURS: i64 = 24;
/// In the year 29345.
const LAST_HOUR: i64 = 10_000_000 * HOURS;

/// Amounts are summed in two parts, for 64 bits of picodollars end at nine million dollars.
const PART: i64 = 1_000_000;

const BY_DAY: Kept = Kept { table: "usage_by_day", column: "day", time: "day" };
const BY_HOUR: Kept = Kept { table: "usage_by_hour", column: "hour", time: "hour" };
const DAYS_OF_HOURS: Kept = Kept { time: "hour / 24", ..BY_HOUR };

/// Which usage is asked for: what meets every condition that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// In hours of Unix time.
    pub from: Option<i64>,
    /// Before this hour.
    pub to: Option<i64>,
    pub tenant: Option<String>,
    pub key_id: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
}

/// By what sums are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Day,
    Hour,
    Tenant,
    Key,
    Provider,
    Model,
}

/// Sums, and the sum of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// Latest first, then in the order of the groups.
    pub rows: Vec<UsageRow>,
    /// Of all that was asked for, also of rows that are left out.
    pub totals: Sums,
    /// Whether rows are left out, as there are too many.
    pub truncated: bool,
}

/// What belongs together. What is not grouped by is absent; an empty text stands for none.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct UsageRow {
    /// In hours of Unix time where hours are asked for, else in days.
    pub time: Option<i64>,
    pub tenant: Option<String>,
    pub key_id: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
    #[sqlx(flatten)]
    pub sums: Sums,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Sums {
    pub requests: i64,
    pub failed: i64,
    pub cache_hits: i64,
    pub attempts: i64,
    pub input_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
    pub output_tokens: i64,
    pub reasoning_tokens: i64,
    pub estimated: i64,
    pub unpriced: i64,
    pub latency_us: i64,
    cost_parts: i64,
    cost_rest: i64,
    saved_parts: i64,
    saved_rest: i64,
}

/// Where sums are kept.
struct Kept {
    table: &'static str,
    column: &'static str,
    /// What is made of the column.
    time: &'static str,
}

/// Sums by group. Without a group they are one row, or none.
///
/// # Errors
/// When the database can't be read, or not in time.
pub async fn usage(database: &Database, filter: &UsageFilter, groups: &[Group]) -> Result<Usage, ReadError> {
    let mut reading = Reading::open(database).await?;
    let mut rows: Vec<UsageRow> = reading.rows(filter.statement(groups)).await?;
    let truncated = rows.len() > MAX_ROWS;
    let totals = if truncated {
        rows.truncate(MAX_ROWS);
        sum(&reading.rows(filter.statement(&[])).await?)
    } else {
        sum(&rows)
    };
    reading.close().await?;
    Ok(Usage { rows, totals, truncated })
}

fn sum(rows: &[UsageRow]) -> Sums {
    rows.iter().fold(Sums::default(), |mut all, row| {
        all += row.sums;
        all
    })
}

impl Group {
    /// Its column, where it is no time.
    fn column(self) -> Option<&'static str> {
        match self {
            Self::Day | Self::Hour => None,
            Self::Tenant => Some("tenant"),
            Self::Key => Some("key_id"),
            Self::Provider => Some("provider"),
            Self::Model => Some("model"),
        }
    }
}

impl UsageFilter {
    fn statement(&self, groups: &[Group]) -> Statement {
        let by_hour = groups.contains(&Group::Hour);
        let by_time = by_hour || groups.contains(&Group::Day);
        let grouped: Vec<&str> = groups.iter().filter_map(|group| group.column()).collect();
        let mut columns = vec![if by_time { "time".to_owned() } else { "CAST(NULL AS BIGINT) AS time".to_owned() }];
        let names = ["tenant", "key_id", "provider", "model"];
        columns.extend(names.map(|name| if grouped.contains(&name) { name.to_owned() } else { format!("CAST(NULL AS TEXT) AS {name}") }));
        columns.extend(SUMMED.map(|name| format!("CAST(SUM({name}) AS BIGINT) AS {name}")));
        for name in AMOUNTS {
            columns.push(format!("CAST(SUM({name} / {PART}) AS BIGINT) AS {name}_parts"));
            columns.push(format!("CAST(SUM({name} % {PART}) AS BIGINT) AS {name}_rest"));
        }
        let statement = self.sources(Statement::new("SELECT ").push(&columns.join(", ")).push(" FROM ("), by_hour);
        let time = by_time.then_some("time");
        let keys: Vec<&str> = time.into_iter().chain(grouped).collect();
        if keys.is_empty() {
            // Of nothing there is no row.
            return statement.push(") AS used HAVING COUNT(*) > 0");
        }
        let keys = keys.join(", ");
        let order = keys.replacen("time", "time DESC", usize::from(by_time));
        let statement = statement.push(") AS used GROUP BY ").push(&keys).push(" ORDER BY ").push(&order);
        statement.bind(" LIMIT ?", Value::Number(MAX_ROWS as i64 + 1))
    }

    /// The kept sums that lie in the time: whole days by the day, unless hours are asked for.
    fn sources(&self, statement: Statement, by_hour: bool) -> Statement {
        let hours = self.from.unwrap_or(0).clamp(0, LAST_HOUR)..self.to.unwrap_or(LAST_HOUR).clamp(0, LAST_HOUR);
        let days = (hours.start + HOURS - 1) / HOURS..hours.end / HOURS;
        if by_hour {
            return self.source(statement, &BY_HOUR, &hours);
        }
        if days.is_empty() {
            return self.source(statement, &DAYS_OF_HOURS, &hours);
        }
        let mut statement = self.source(statement, &BY_DAY, &days);
        for edge in [hours.start..days.start * HOURS, days.end * HOURS..hours.end] {
            if !edge.is_empty() {
                statement = self.source(statement.push(" UNION ALL "), &DAYS_OF_HOURS, &edge);
            }
        }
        statement
    }

    fn source(&self, statement: Statement, kept: &Kept, within: &Range<i64>) -> Statement {
        let Kept { table, column, time } = kept;
        let sums = [&SUMMED[..], &AMOUNTS].concat().join(", ");
        let statement =
            statement.push(&format!("SELECT {time} AS time, tenant, key_id, provider, model, {sums} FROM {table} WHERE {column}"));
        let statement = statement.bind(" >= ?", Value::Number(within.start)).push(" AND ").push(column);
        let statement = statement.bind(" < ?", Value::Number(within.end));
        let conditions = [
            (" AND tenant = ?", &self.tenant),
            (" AND key_id = ?", &self.key_id),
            (" AND provider = ?", &self.provider),
            (" AND model = ?", &self.model),
        ];
        conditions.into_iter().fold(statement, |statement, (sql, value)| match value {
            Some(value) => statement.bind(sql, Value::Text(value.clone())),
            None => statement,
        })
    }
}

impl Sums {
    pub fn cost(&self) -> Usd {
        amount(self.cost_parts, self.cost_rest)
    }

    pub fn saved(&self) -> Usd {
        amount(self.saved_parts, self.saved_rest)
    }

    /// Absent: there was no request.
    pub fn average_latency_us(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.latency_us as f64 / self.requests as f64)
    }
}

fn amount(parts: i64, rest: i64) -> Usd {
    Usd::from_total_picos(i128::from(parts) * i128::from(PART) + i128::from(rest))
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        let pairs = [
            (&mut self.requests, other.requests),
            (&mut self.failed, other.failed),
            (&mut self.cache_hits, other.cache_hits),
            (&mut self.attempts, other.attempts),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.cache_read_tokens, other.cache_read_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.estimated, other.estimated),
            (&mut self.unpriced, other.unpriced),
            (&mut self.latency_us, other.latency_us),
            (&mut self.cost_parts, other.cost_parts),
            (&mut self.cost_rest, other.cost_rest),
            (&mut self.saved_parts, other.saved_parts),
            (&mut self.saved_rest, other.saved_rest),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::RequestRecord;
    use super::super::fixture::{self, Fixture, START, rows, used};
    use super::*;
    use crate::ledger::HOUR_US;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use std::collections::BTreeMap;

    fn filter() -> impl Strategy<Value = UsageFilter> {
        let time = || proptest::option::of((-30..100_i64).prop_map(|hour| START / HOUR_US + hour));
        let name =
            |names: &'static [&'static str]| proptest::option::weighted(0.2, proptest::sample::select(names).prop_map(str::to_owned));
        (time(), time(), name(&["acme", "it's", "?"]), name(&["k1"]), name(&["openai"]), name(&["opus", "haiku"]))
            .prop_map(|(from, to, tenant, key_id, provider, model)| UsageFilter { from, to, tenant, key_id, provider, model })
    }

    fn groups() -> impl Strategy<Value = Vec<Group>> {
        let all = vec![Group::Day, Group::Hour, Group::Tenant, Group::Key, Group::Provider, Group::Model];
        proptest::sample::subsequence(all, 0..=6).prop_shuffle()
    }

    fn meets(filter: &UsageFilter, row: &RequestRecord) -> bool {
        let is = |asked: &Option<String>, value: Option<&str>| asked.is_none() || asked.as_deref() == value;
        let hour = row.at / HOUR_US;
        filter.from.is_none_or(|from| hour >= from)
            && filter.to.is_none_or(|to| hour < to)
            && is(&filter.tenant, Some(&row.tenant))
            && is(&filter.key_id, row.key_id.as_deref())
            && is(&filter.provider, row.provider.as_deref())
            && is(&filter.model, row.model.as_deref())
    }

    fn sums_of(row: &RequestRecord) -> Sums {
        let [
            requests,
            failed,
            cache_hits,
            attempts,
            input_tokens,
            cache_read_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            estimated,
            unpriced,
            latency_us,
            cost,
            saved,
        ] = used(row);
        let [(cost_parts, cost_rest), (saved_parts, saved_rest)] = [cost, saved].map(|amount| (amount / PART, amount % PART));
        Sums {
            requests,
            failed,
            cache_hits,
            attempts,
            input_tokens,
            cache_read_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            estimated,
            unpriced,
            latency_us,
            cost_parts,
            cost_rest,
            saved_parts,
            saved_rest,
        }
    }

    /// What a row comes under.
    type Key = (Option<i64>, [Option<String>; 4]);

    fn key(row: &RequestRecord, groups: &[Group]) -> Key {
        let hours = groups.contains(&Group::Hour).then_some(HOUR_US).or(groups.contains(&Group::Day).then_some(24 * HOUR_US));
        let names = [
            (Group::Tenant, Some(&row.tenant)),
            (Group::Key, row.key_id.as_ref()),
            (Group::Provider, row.provider.as_ref()),
            (Group::Model, row.model.as_ref()),
        ];
        let names = names.map(|(group, name)| groups.contains(&group).then(|| name.cloned().unwrap_or_default()));
        (hours.map(|hours| row.at / hours), names)
    }

    /// Amounts are told as what they are, for a sum has many parts.
    fn told(sums: Sums) -> (Sums, Usd, Usd) {
        (Sums { cost_parts: 0, cost_rest: 0, saved_parts: 0, saved_rest: 0, ..sums }, sums.cost(), sums.saved())
    }

    #[test]
    fn usage_is_the_sum_over_the_rows() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        for fixture in runtime.block_on(Fixture::all()) {
            let rows = rows(1_500);
            runtime.block_on(fixture::insert(&fixture.database, &rows));
            TestRunner::new(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })
                .run(&(filter(), groups()), |(filter, groups)| {
                    let found = runtime.block_on(usage(&fixture.database, &filter, &groups)).unwrap();
                    let mut expected: BTreeMap<Key, Sums> = BTreeMap::new();
                    for row in rows.iter().filter(|row| meets(&filter, row)) {
                        *expected.entry(key(row, &groups)).or_default() += sums_of(row);
                    }
                    let mut totals = Sums::default();
                    expected.values().for_each(|sums| totals += *sums);
                    prop_assert!(found.rows.is_sorted_by_key(|row| std::cmp::Reverse(row.time)));
                    let rows =
                        found.rows.into_iter().map(|row| ((row.time, [row.tenant, row.key_id, row.provider, row.model]), told(row.sums)));
                    prop_assert_eq!(rows.collect::<BTreeMap<_, _>>(), expected.into_iter().map(|(key, sums)| (key, told(sums))).collect());
                    prop_assert_eq!((told(found.totals), found.truncated), (told(totals), false));
                    Ok(())
                })
                .unwrap();
            runtime.block_on(async move { drop(fixture) });
        }
    }

    #[tokio::test]
    async fn sums_are_exact_beyond_what_one_amount_can_be() {
        for fixture in Fixture::all().await {
            let rows: Vec<RequestRecord> =
                rows(3).into_iter().map(|row| RequestRecord { cost: Some(9_000_000_000_000_000_001), ..row }).collect();
            for row in &rows {
                fixture::insert(&fixture.database, std::slice::from_ref(row)).await;
            }
            let found = usage(&fixture.database, &UsageFilter::default(), &[]).await.unwrap();
            assert_eq!(found.totals.cost().to_string(), "27000000.000000000003");
        }
    }

    #[tokio::test]
    async fn totals_include_rows_that_are_left_out() {
        let fixture = Fixture::sqlite().await;
        let rows: Vec<RequestRecord> =
            (0..).zip(rows(10_050)).map(|(i, row)| RequestRecord { model: Some(format!("m{i}")), ..row }).collect();
        fixture::insert(&fixture.database, &rows).await;
        let found = usage(&fixture.database, &UsageFilter::default(), &[Group::Model]).await.unwrap();
        assert_eq!((found.rows.len(), found.truncated, found.totals.requests), (10_000, true, 10_050));
    }
}
