//! How fast ten million requests are read on SQLite: `make bench-ledger`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use super::fixture::START;
use super::{Filter, Group, Outcome, PageOf, UsageFilter, requests, usage};
use crate::database::Database;
use crate::ledger::HOUR_US;
use crate::money::Usd;
use std::time::{Duration, Instant};

const CALLS: usize = 200;
const DAYS: i64 = 30;
const LIMIT: Duration = Duration::from_millis(200);

/// Rows from $1 to before $2, each $3 microseconds after the one before. Twenty tenants of which few are large, with a key for each half; twelve models of four providers; two in a hundred failed.
const ROWS: &str = "
WITH RECURSIVE numbers(n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $2),
drawn AS MATERIALIZED (SELECT n, $4 + n * $3 AS at, abs(random()) AS a, abs(random()) AS b FROM numbers),
told AS (SELECT *, min(a % 20, (a >> 8) % 20) AS tenant, b % 12 AS model, (b >> 8) % 100 < 2 AS failed FROM drawn)
INSERT INTO requests
SELECT unhex(printf('%012x7%03x8%015x', at / 1000, n % 4096, n)), printf('req-%d-%x', n, a % 65536), at, '/v1/chat/completions', 'tenant-' || tenant,
    'key-' || tenant || '-' || ((a >> 16) % 2), a % 2, CASE WHEN failed THEN 429 + b % 3 * 37 ELSE 200 END,
    CASE WHEN failed THEN 'rate_limited' END,
    CASE WHEN failed THEN 'the provider refused this request for now, as it has too many of them' || CASE WHEN n % 50000 < 50 THEN ': needle' ELSE '' END END,
    'provider-' || (model / 3), 'model-' || model, 'model-' || model, '1.0.0', 0, a % 20000, 0, 0, b % 4000, 0, 0,
    a % 20000 * 2500000 + b % 4000 * 10000000, NULL, CASE WHEN a % 10 = 0 THEN 'hit' ELSE 'miss' END, b % 9000000, b % 8990000, 900, 'stop', 1
FROM told";

async fn fill(database: &Database, count: i64) {
    let Database::Sqlite { writer, .. } = database else { return };
    let step = DAYS * 24 * HOUR_US / count;
    // What is lost when the machine goes down is made again.
    sqlx::query("PRAGMA synchronous = OFF").execute(writer).await.unwrap();
    for first in (0..count).step_by(500_000) {
        let rows = sqlx::query(ROWS).bind(first).bind(count.min(first + 500_000)).bind(step).bind(START);
        rows.execute(writer).await.unwrap();
    }
    for (table, time, unit) in [("usage_by_hour", "hour", HOUR_US), ("usage_by_day", "day", 24 * HOUR_US)] {
        let sums = format!(
            "INSERT INTO {table} ({time}, tenant, key_id, provider, model, requests, failed, attempts, input_tokens, output_tokens, cost, latency_us)
             SELECT at / {unit}, tenant, key_id, provider, model, COUNT(*), SUM(status >= 400), SUM(attempts), SUM(input_tokens), SUM(output_tokens), SUM(cost), SUM(latency_us)
             FROM requests GROUP BY 1, 2, 3, 4, 5"
        );
        sqlx::query(sqlx::AssertSqlSafe(sums)).execute(writer).await.unwrap();
    }
}

/// Prints the median and the 99th percentile, and gives the latter.
async fn measure(name: &str, mut call: impl AsyncFnMut() -> usize) -> Duration {
    let (mut times, mut rows) = (Vec::new(), 0);
    for _ in 0..CALLS {
        let began = Instant::now();
        rows = call().await;
        times.push(began.elapsed());
    }
    times.sort();
    let (median, high) = (times[CALLS / 2], times[CALLS * 99 / 100]);
    println!("{name:<44} {rows:>6} rows   p50 {:>8.2} ms   p99 {:>8.2} ms", median.as_secs_f64() * 1e3, high.as_secs_f64() * 1e3);
    high
}

fn pages() -> Vec<(&'static str, Filter)> {
    let text = |text: &str| Some(text.to_owned());
    let all = Filter::default();
    let usd = |amount: f64| Usd::from_f64(amount);
    vec![
        ("no filter", all.clone()),
        ("a large tenant", Filter { tenant: text("tenant-0"), ..all.clone() }),
        ("a small tenant", Filter { tenant: text("tenant-19"), ..all.clone() }),
        ("a tenant that is none", Filter { tenant: text("nobody"), ..all.clone() }),
        ("provider", Filter { provider: text("provider-1"), ..all.clone() }),
        ("provider and model", Filter { provider: text("provider-1"), model: text("model-4"), ..all.clone() }),
        ("a provider that is none", Filter { provider: text("nobody"), ..all.clone() }),
        ("tenant and model", Filter { tenant: text("tenant-5"), model: text("model-4"), ..all.clone() }),
        ("key", Filter { key_id: text("key-3-1"), ..all.clone() }),
        ("failed", Filter { outcome: Some(Outcome::Failed), ..all.clone() }),
        ("failed, of a tenant", Filter { outcome: Some(Outcome::Failed), tenant: text("tenant-19"), ..all.clone() }),
        ("4xx", Filter { outcome: Some(Outcome::Status(400, 499)), ..all.clone() }),
        ("a status that is none", Filter { outcome: Some(Outcome::Status(504, 504)), ..all.clone() }),
        ("ok", Filter { outcome: Some(Outcome::Ok), ..all.clone() }),
        ("a day in the middle", Filter { from: Some(START + 240 * HOUR_US), to: Some(START + 264 * HOUR_US), ..all.clone() }),
        (
            "a tenant's day",
            Filter { tenant: text("tenant-3"), from: Some(START + 240 * HOUR_US), to: Some(START + 264 * HOUR_US), ..all.clone() },
        ),
        ("error with a common word", Filter { error: text("TOO MANY"), ..all.clone() }),
        ("error with a rare word", Filter { error: text("needle"), ..all.clone() }),
        ("error with a word that is nowhere", Filter { error: text("haystack"), ..all.clone() }),
        ("cost of many", Filter { min_cost: usd(0.05), ..all.clone() }),
        ("cost of one in a thousand", Filter { min_cost: usd(0.0885), ..all.clone() }),
        ("cost of none", Filter { min_cost: usd(5.0), ..all.clone() }),
        ("request id", Filter { request_id: text("req-5000000-0"), ..all }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and gigabytes"]
async fn first_pages_and_daily_sums() {
    let count: i64 = std::env::var("LEDGER_ROWS").map_or(10_000_000, |rows| rows.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path(), None).await.unwrap();
    let began = Instant::now();
    fill(&database, count).await;
    println!("{count} requests written in {} s", began.elapsed().as_secs());
    let mut slow = Vec::new();
    for (name, filter) in pages() {
        let page = PageOf { after: None, limit: 50 };
        let high = measure(name, async || requests(&database, &filter, page).await.unwrap().requests.len()).await;
        slow.extend((high > LIMIT).then_some(name));
    }
    let all = UsageFilter::default();
    let (days, tenants) = ([Group::Day], [Group::Day, Group::Tenant]);
    let part = UsageFilter { from: Some(START / HOUR_US + 30), to: Some(START / HOUR_US + 500), ..all.clone() };
    let sums = [
        ("usage by day", &all, &days[..]),
        ("usage by day and tenant", &all, &tenants[..]),
        ("usage by day, from the middle of a day on", &part, &days[..]),
        (
            "usage by hour of a day",
            &UsageFilter { from: Some(START / HOUR_US + 48), to: Some(START / HOUR_US + 72), ..all.clone() },
            &[Group::Hour],
        ),
    ];
    for (name, filter, groups) in sums {
        let high = measure(name, async || usage(&database, filter, groups).await.unwrap().rows.len()).await;
        slow.extend((high > LIMIT).then_some(name));
    }
    assert!(slow.is_empty(), "slower than {} ms: {slow:?}", LIMIT.as_millis());
}
