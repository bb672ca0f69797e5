//! What each gateway key has spent, from the sums by the day: what budgets begin with.
//!
//! A sum that lacks what was spent would let it be spent again. So there is none while rows of an earlier process wait, or others wait for long.

use super::Way;
use crate::database::Database;
use crate::money::Usd;
use crate::quota::{Seeds, Spent};
use anyhow::{Context, ensure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::time::Duration;
use tokio::time::timeout;

/// What was recorded before is in the sums: the promise of [`Seeds`].
const RECENT: Duration = Duration::from_secs(5);
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// SQLite takes no sum that is larger than an integer, and Postgres gives one that is: neither is a budget's.
const SPENT: &str = "SELECT \
    CAST(COALESCE(SUM(CASE WHEN day >= $2 THEN cost ELSE 0 END), 0) AS BIGINT), \
    CAST(COALESCE(SUM(CASE WHEN day >= $3 THEN cost ELSE 0 END), 0) AS BIGINT), \
    CAST(COALESCE(SUM(cost), 0) AS BIGINT) \
    FROM usage_by_day WHERE key_id = $1";

/// What is written down, for who counts on from there.
#[derive(Debug)]
pub struct LedgerSums {
    pub(super) way: Way,
    pub(super) database: Database,
}

impl LedgerSums {
    async fn of_key(&self, key_id: &str) -> anyhow::Result<Spent> {
        self.way.flushed().await;
        ensure!(self.way.lacks_only(RECENT), "requests that are over wait to be written into the database");
        let spent = timeout(TIME_LIMIT, of_key(&self.database, key_id, Timestamp::now())).await;
        Ok(spent.with_context(|| format!("the database needed longer than {} s", TIME_LIMIT.as_secs()))??)
    }
}

impl Seeds for LedgerSums {
    fn spent<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, anyhow::Result<Spent>> {
        self.of_key(key_id).boxed()
    }
}

pub(super) async fn of_key(database: &Database, key_id: &str, now: Timestamp) -> sqlx::Result<Spent> {
    let (day, month) = beginnings(now);
    let (day, month, total): (i64, i64, i64) = match database {
        Database::Sqlite { readers, .. } => sqlx::query_as(SPENT).bind(key_id).bind(day).bind(month).fetch_one(readers).await?,
        Database::Postgres(pool) => sqlx::query_as(SPENT).bind(key_id).bind(day).bind(month).fetch_one(pool).await?,
    };
    Ok(Spent { day: Usd::from_picos(day), month: Usd::from_picos(month), total: Usd::from_picos(total) })
}

/// The day, and the first of its month, in days of Unix time.
fn beginnings(now: Timestamp) -> (i64, i64) {
    let today = TimeZone::UTC.to_datetime(now).date();
    let day = |date: Date| TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_or(0, |time| time.as_second() / 86_400);
    (day(today), day(today.first_of_month()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        for (now, day, month) in [
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-02-28T23:59:59Z", "2026-02-28T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("2026-12-31T12:00:00+14:00", "2026-12-30T00:00:00Z", "2026-12-01T00:00:00Z"),
        ] {
            let number = |time: &str| time.parse::<Timestamp>().unwrap().as_second() / 86_400;
            assert_eq!(beginnings(now.parse().unwrap()), (number(day), number(month)), "{now}");
        }
    }
}
