//! Requests by filter, newest first, a page at a time; one request with all that is kept of it.
//!
//! A page goes on where the one before ended, by id, so that what is written meanwhile moves nothing. One condition is looked up in an index; of the rows that it leaves, the others are checked
//! a stretch at a time. After a tenth of a second a page ends with what it has, and its `next` says how far it came: a rare thing is found over several pages, each of them quick.

use super::ReadError;
use super::statement::{Reading, Statement, Value};
use crate::database::Database;
use crate::money::Usd;
use sqlx::FromRow;
use std::time::{Duration, Instant};
use uuid::Uuid;

const PACE: Pace = Pace { first_stretch: 1_000, page_time: Duration::from_millis(80) };
const LONGEST_STRETCH: i64 = 64_000;
/// A stretch that took no longer is followed by one twice as long.
const QUICK: Duration = Duration::from_millis(15);
/// An id says when it was made, which may lie this far from the request's beginning.
const ID_SLACK_MS: i64 = 5_000;
/// Requests of one caller's id that are told of.
const MAX_SAME: i64 = 101;

const COLUMNS: &str = "id, request_id, at, route, tenant, key_id, stream, status, error_type, error, provider, model, asked_model, plugin_version, simulated, input_tokens, cache_read_tokens, \
                       cache_write_tokens, output_tokens, reasoning_tokens, tokens_estimated, cost, saved, cache, latency_us, upstream_us, gateway_us, finish_reason, attempts";
/// In the words of the index on it.
const FAILED: &str = "(status >= 400 OR error_type IS NOT NULL)";

/// Which requests are asked for: those that meet every condition which is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Began then or later, in microseconds of Unix time.
    pub from: Option<i64>,
    /// Began before.
    pub to: Option<i64>,
    pub request_id: Option<String>,
    pub route: Option<String>,
    pub tenant: Option<String>,
    pub key_id: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub outcome: Option<Outcome>,
    /// A part of the error's text; ASCII letters in either case.
    pub error: Option<String>,
    pub cache: Option<String>,
    /// A cost that is not known is neither more nor less.
    pub min_cost: Option<Usd>,
    pub max_cost: Option<Usd>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// With an error, be it in the middle of a stream that began as a 200.
    Failed,
    /// First and last status.
    Status(u16, u16),
}

/// Which page.
#[derive(Debug, Clone, Copy)]
pub struct PageOf {
    /// Where the page before ended: its `next`. Absent: the first page.
    pub after: Option<Uuid>,
    /// Rows at most; at least 1.
    pub limit: u16,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Newest first; may be none although there are more.
    pub requests: Vec<RequestRecord>,
    /// Where the next page goes on. Absent: this was the last.
    pub next: Option<Uuid>,
}

/// A row of a request, as it is kept: see [`RequestRow`](crate::ledger::RequestRow). Amounts are picodollars.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct RequestRecord {
    pub id: Uuid,
    pub request_id: String,
    pub at: i64,
    pub route: String,
    pub tenant: String,
    pub key_id: Option<String>,
    pub stream: bool,
    pub status: i32,
    pub error_type: Option<String>,
    pub error: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub asked_model: Option<String>,
    pub plugin_version: Option<String>,
    pub simulated: bool,
    pub input_tokens: Option<i64>,
    pub cache_read_tokens: Option<i64>,
    pub cache_write_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    pub tokens_estimated: bool,
    pub cost: Option<i64>,
    pub saved: Option<i64>,
    pub cache: String,
    pub latency_us: i64,
    pub upstream_us: i64,
    pub gateway_us: i64,
    pub finish_reason: Option<String>,
    pub attempts: i32,
}

/// A row of an attempt, as it is kept: see [`AttemptRow`](crate::ledger::AttemptRow).
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct AttemptRecord {
    pub number: i32,
    pub provider: String,
    pub model: String,
    pub plugin_version: String,
    pub simulated: bool,
    pub status: Option<i32>,
    pub error_type: Option<String>,
    pub error: Option<String>,
    pub reason: String,
    pub input_tokens: Option<i64>,
    pub cache_read_tokens: Option<i64>,
    pub cache_write_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    pub tokens_estimated: bool,
    pub cost: Option<i64>,
    pub duration_us: i64,
    pub upstream_us: i64,
    pub backoff_us: i64,
    pub provider_request_id: Option<String>,
}

/// Prompt and answer, where they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct Contents {
    pub prompt: Option<String>,
    pub answer: Option<String>,
}

/// One request with all that is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    pub request: RequestRecord,
    /// In their order.
    pub attempts: Vec<AttemptRecord>,
    pub contents: Contents,
    /// Older requests for which the caller gave the same id, newest first, a hundred at most.
    pub earlier: Vec<Uuid>,
}

/// What finds rows without looking at others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Index {
    RequestId,
    Failed,
    Tenant,
    Model,
}

/// A part of the question.
struct Condition {
    /// In which `?` stands for the value.
    sql: &'static str,
    value: Option<Value>,
    index: Option<Index>,
}

/// How a filter is answered: by one index, or by the table's own order if none serves.
struct Plan {
    /// Which index that is, for SQLite: it knows nothing of how rows are spread, and might take another.
    hint: &'static str,
    /// Those that the index answers.
    sought: Vec<Condition>,
    /// Those for which rows have to be looked at.
    checked: Vec<Condition>,
    /// First and last instant.
    time: [Option<i64>; 2],
}

/// How far a page looks.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// In rows.
    first_stretch: i64,
    /// After which no other stretch is begun.
    page_time: Duration,
}

#[derive(FromRow)]
struct Id {
    id: Uuid,
}

/// One page of requests.
///
/// # Errors
/// When the database can't be read, or not in time.
pub async fn requests(database: &Database, filter: &Filter, page: PageOf) -> Result<Page, ReadError> {
    paced(database, filter, page, PACE).await
}

/// The newest request of a caller's id, or the one of a row's id.
///
/// # Errors
/// When the database can't be read, or not in time.
pub async fn request(database: &Database, id: &str) -> Result<Option<Whole>, ReadError> {
    let mut reading = Reading::open(database).await?;
    let whole = whole(&mut reading, id).await?;
    reading.close().await?;
    Ok(whole)
}

async fn paced(database: &Database, filter: &Filter, page: PageOf, pace: Pace) -> Result<Page, ReadError> {
    let mut reading = Reading::open(database).await?;
    let found = find(&mut reading, filter, page, pace).await?;
    reading.close().await?;
    Ok(found)
}

async fn find(reading: &mut Reading, filter: &Filter, page: PageOf, pace: Pace) -> Result<Page, ReadError> {
    let plan = Plan::of(filter, reading.is_sqlite());
    let limit = usize::from(page.limit.max(1));
    let (started, mut stretch) = (Instant::now(), pace.first_stretch);
    let mut next = page.after;
    let mut requests: Vec<RequestRecord> = Vec::new();
    loop {
        let began = Instant::now();
        let end = if plan.checked.is_empty() { None } else { end_of_stretch(reading, &plan, next, stretch).await? };
        // One more than is wanted tells whether there is more.
        let wanted = (limit - requests.len()) as i64 + 1;
        requests.extend(reading.rows::<RequestRecord>(plan.rows(next, end, wanted)).await?);
        if requests.len() > limit {
            requests.truncate(limit);
            let next = requests.last().map(|last| last.id);
            return Ok(Page { requests, next });
        }
        if end.is_none() || started.elapsed() > pace.page_time {
            return Ok(Page { requests, next: end });
        }
        next = end;
        if began.elapsed() < QUICK {
            stretch = (stretch * 2).min(LONGEST_STRETCH);
        }
    }
}

/// The last id of so many candidates. Absent: there are fewer.
async fn end_of_stretch(reading: &mut Reading, plan: &Plan, after: Option<Uuid>, rows: i64) -> Result<Option<Uuid>, ReadError> {
    let ids: Vec<Id> = reading.rows(plan.end(after, rows)).await?;
    Ok(ids.first().map(|end| end.id))
}

async fn whole(reading: &mut Reading, id: &str) -> Result<Option<Whole>, ReadError> {
    let by_request_id = Statement::new("SELECT ").push(COLUMNS).push(" FROM requests WHERE ");
    let by_request_id =
        by_request_id.bind("request_id = ?", Value::Text(id.to_owned())).bind(" ORDER BY id DESC LIMIT ?", Value::Number(MAX_SAME));
    let mut found: Vec<RequestRecord> = reading.rows(by_request_id).await?;
    if found.is_empty()
        && let Ok(id) = Uuid::try_parse(id)
    {
        let by_id = Statement::new("SELECT ").push(COLUMNS).push(" FROM requests WHERE ").bind("id = ?", Value::Id(id));
        found = reading.rows(by_id).await?;
    }
    let mut found = found.into_iter();
    let Some(request) = found.next() else { return Ok(None) };
    let attempts = "SELECT number, provider, model, plugin_version, simulated, status, error_type, error, reason, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, \
                    reasoning_tokens, tokens_estimated, cost, duration_us, upstream_us, backoff_us, provider_request_id FROM attempts WHERE request = ? ORDER BY number";
    let attempts = reading.rows(Statement::default().bind(attempts, Value::Id(request.id))).await?;
    let contents = Statement::default().bind("SELECT prompt, answer FROM contents WHERE request = ?", Value::Id(request.id));
    let contents = reading.rows(contents).await?.pop().unwrap_or_default();
    Ok(Some(Whole { request, attempts, contents, earlier: found.map(|earlier| earlier.id).collect() }))
}

impl Filter {
    fn conditions(&self, is_sqlite: bool) -> Vec<Condition> {
        let text = |value: &Option<String>| value.clone().map(Value::Text);
        let cost = |value: Option<Usd>| value.map(|cost| Value::Number(cost.picos()));
        let (first, last) = match self.outcome {
            Some(Outcome::Status(first, last)) => (Some(first), Some(last)),
            Some(Outcome::Ok | Outcome::Failed) | None => (None, None),
        };
        let status = |value: Option<u16>| value.map(|status| Value::Number(status.into()));
        let contains = if is_sqlite { "instr(lower(error), ?) > 0" } else { "strpos(lower(error COLLATE \"C\"), ?) > 0" };
        let conditions = [
            ("request_id = ?", text(&self.request_id), Some(Index::RequestId)),
            ("tenant = ?", text(&self.tenant), Some(Index::Tenant)),
            ("model = ?", text(&self.model), Some(Index::Model)),
            ("provider = ?", text(&self.provider), None),
            ("key_id = ?", text(&self.key_id), None),
            ("route = ?", text(&self.route), None),
            ("cache = ?", text(&self.cache), None),
            ("status >= ?", status(first), None),
            ("status <= ?", status(last), None),
            (contains, self.error.as_ref().map(|text| Value::Text(text.to_ascii_lowercase())), None),
            ("cost >= ?", cost(self.min_cost), None),
            ("cost <= ?", cost(self.max_cost), None),
        ];
        let mut conditions: Vec<Condition> = conditions
            .into_iter()
            .filter(|(_, value, _)| value.is_some())
            .map(|(sql, value, index)| Condition { sql, value, index })
            .collect();
        if self.failed_only() {
            conditions.push(Condition { sql: FAILED, value: None, index: Some(Index::Failed) });
        }
        if self.outcome == Some(Outcome::Ok) {
            conditions.push(Condition { sql: "status < 400 AND error_type IS NULL", value: None, index: None });
        }
        conditions
    }

    fn failed_only(&self) -> bool {
        let by_outcome = match self.outcome {
            Some(Outcome::Failed) => true,
            Some(Outcome::Status(first, _)) => first >= 400,
            Some(Outcome::Ok) | None => false,
        };
        by_outcome || self.error.is_some()
    }
}

impl Plan {
    fn of(filter: &Filter, is_sqlite: bool) -> Self {
        let conditions = filter.conditions(is_sqlite);
        let index = conditions.iter().filter_map(|condition| condition.index).min();
        let (sought, checked) = conditions.into_iter().partition(|condition| index.is_some() && condition.index == index);
        let hint = index.filter(|_| is_sqlite).map_or("", Index::hint);
        Self { hint, sought, checked, time: [filter.from, filter.to] }
    }

    /// The rows of a stretch that meet every condition.
    fn rows(&self, after: Option<Uuid>, end: Option<Uuid>, limit: i64) -> Statement {
        let mut statement = self.candidates(&format!("SELECT {COLUMNS}"), after);
        if let Some(end) = end {
            statement = statement.bind(" AND id >= ?", Value::Id(end));
        }
        let [from, to] = self.time;
        for (sql, instant) in [(" AND at >= ?", from), (" AND at < ?", to)] {
            if let Some(instant) = instant {
                statement = statement.bind(sql, Value::Number(instant));
            }
        }
        statement = self.checked.iter().fold(statement, Condition::push);
        statement.bind(" ORDER BY id DESC LIMIT ?", Value::Number(limit))
    }

    /// The id of the candidate that is so many rows away.
    fn end(&self, after: Option<Uuid>, rows: i64) -> Statement {
        let statement = self.candidates("SELECT id", after);
        statement.bind(" ORDER BY id DESC LIMIT 1 OFFSET ?", Value::Number(rows - 1))
    }

    /// Up to the conditions that the index answers.
    fn candidates(&self, select: &str, after: Option<Uuid>) -> Statement {
        let statement = Statement::new(select).push(" FROM requests").push(self.hint).push(" WHERE TRUE");
        let mut statement = self.sought.iter().fold(statement, Condition::push);
        let [from, to] = self.time;
        let before = to.map(|to| first_id(to, ID_SLACK_MS));
        let bounds =
            [(" AND id >= ?", from.map(|from| first_id(from, -ID_SLACK_MS))), (" AND id < ?", before.into_iter().chain(after).min())];
        for (sql, bound) in bounds {
            if let Some(bound) = bound {
                statement = statement.bind(sql, Value::Id(bound));
            }
        }
        statement
    }
}

impl Index {
    fn hint(self) -> &'static str {
        match self {
            Self::RequestId => " INDEXED BY requests_request_id",
            Self::Failed => " INDEXED BY requests_failed",
            Self::Tenant => " INDEXED BY requests_tenant",
            Self::Model => " INDEXED BY requests_model",
        }
    }
}

impl Condition {
    fn push(statement: Statement, condition: &Self) -> Statement {
        let statement = statement.push(" AND ");
        match &condition.value {
            Some(value) => statement.bind(condition.sql, value.clone()),
            None => statement.push(condition.sql),
        }
    }
}

/// The lowest id of an instant.
fn first_id(microseconds: i64, shift_ms: i64) -> Uuid {
    let milliseconds = microseconds.div_euclid(1000).saturating_add(shift_ms).clamp(0, (1 << 48) - 1);
    Uuid::from_u128(u128::from(milliseconds.unsigned_abs()) << 80)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{self, Fixture, START, meets, rows};
    use super::*;
    use crate::ledger::HOUR_US;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    /// All pages, one after another.
    async fn all(database: &Database, filter: &Filter, limit: u16, pace: Pace) -> Vec<RequestRecord> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = paced(database, filter, PageOf { after, limit }, pace).await.unwrap();
            assert!(page.requests.len() <= usize::from(limit));
            all.extend(page.requests);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    #[test]
    fn a_filter_finds_what_meets_it_and_nothing_else() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        for fixture in runtime.block_on(Fixture::all()) {
            let rows = rows(2_500);
            runtime.block_on(fixture::insert(&fixture.database, &rows));
            let hasty = Pace { first_stretch: 100, page_time: Duration::ZERO };
            let strategy = (fixture::filter(), 1..=1_000_u16, proptest::sample::select(vec![PACE, hasty]));
            TestRunner::new(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })
                .run(&strategy, |(filter, limit, pace)| {
                    let found = runtime.block_on(all(&fixture.database, &filter, limit.max(30), pace));
                    let expected: Vec<_> = rows.iter().rev().filter(|row| meets(&filter, row)).cloned().collect();
                    prop_assert_eq!(found, expected);
                    Ok(())
                })
                .unwrap();
            runtime.block_on(async move { drop(fixture) });
        }
    }

    #[tokio::test]
    async fn each_row_is_on_one_page_while_others_are_written() {
        for fixture in Fixture::all().await {
            let before = rows(300);
            fixture::insert(&fixture.database, &before).await;
            let (first, database) = (before[0].clone(), fixture.database.clone());
            let writing = tokio::spawn(async move {
                for i in 0..60_i64 {
                    // Newer ones, and late ones among those that are there.
                    let at = if i % 2 == 0 { START + 80 * HOUR_US + i } else { START + i * HOUR_US + 7 };
                    let row = fixture::at(first.clone(), at, 5_000 + i.unsigned_abs());
                    fixture::insert(&database, &[row]).await;
                }
            });
            let filter = Filter { outcome: Some(Outcome::Ok), ..Filter::default() };
            let expected: Vec<Uuid> = before.iter().rev().filter(|row| meets(&filter, row)).map(|row| row.id).collect();
            let paged = all(&fixture.database, &filter, 7, Pace { first_stretch: 20, page_time: Duration::ZERO }).await;
            writing.await.unwrap();
            let found: Vec<Uuid> = paged.iter().map(|row| row.id).filter(|id| before.iter().any(|row| row.id == *id)).collect();
            assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn a_page_that_was_long_in_looking_says_how_far_it_came() {
        let fixture = Fixture::sqlite().await;
        let rows = rows(300);
        fixture::insert(&fixture.database, &rows).await;
        let filter = Filter { route: Some("/nowhere".to_owned()), ..Filter::default() };
        let pace = Pace { first_stretch: 100, page_time: Duration::ZERO };
        let page = paced(&fixture.database, &filter, PageOf { after: None, limit: 10 }, pace).await.unwrap();
        assert_eq!((page.requests, page.next), (Vec::new(), Some(rows[200].id)));
    }

    #[tokio::test]
    async fn a_request_is_shown_with_its_attempts() {
        for fixture in Fixture::all().await {
            let rows = rows(1_001);
            fixture::insert(&fixture.database, &rows).await;
            let attempt = AttemptRecord {
                number: 1,
                provider: "openai".to_owned(),
                model: "gpt-6".to_owned(),
                plugin_version: "1.0.0".to_owned(),
                simulated: false,
                status: Some(429),
                error_type: Some("rate_limited".to_owned()),
                error: None,
                reason: "first".to_owned(),
                input_tokens: Some(3),
                cache_read_tokens: None,
                cache_write_tokens: None,
                output_tokens: None,
                reasoning_tokens: None,
                tokens_estimated: true,
                cost: Some(7),
                duration_us: 1,
                upstream_us: 2,
                backoff_us: 3,
                provider_request_id: None,
            };
            let attempts = [attempt.clone(), AttemptRecord { number: 2, ..attempt }];
            let contents = Contents { prompt: Some("Why?".to_owned()), answer: None };
            fixture::insert_details(&fixture.database, rows[1_000].id, &attempts, &contents).await;
            let expected = Whole { request: rows[1_000].clone(), attempts: attempts.into(), contents, earlier: vec![rows[0].id] };
            assert_eq!(request(&fixture.database, "r-0").await.unwrap().unwrap(), expected);
            let by_id = request(&fixture.database, &rows[0].id.to_string()).await.unwrap().unwrap();
            assert_eq!((by_id.request, by_id.attempts, by_id.contents), (rows[0].clone(), Vec::new(), Contents::default()));
            assert_eq!(request(&fixture.database, "' OR 1 = 1 --").await.unwrap(), None);
        }
    }
}
