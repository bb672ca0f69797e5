//! SQL with its values, and a connection on which it runs within a time.
//!
//! Whatever a caller wrote is a bound value, never a part of the text.

use super::{ReadError, TIME_LIMIT};
use crate::database::Database;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Error, FromRow, Postgres, Sqlite, Transaction};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use uuid::Uuid;

/// SQLite asks whether to go on after so many steps of its machine, which take about a millisecond.
const STEPS: i32 = 20_000;
/// In which the database ends a statement by itself, before nobody waits for it any more.
const GRACE: Duration = Duration::from_secs(1);

/// Fewer than the database has connections: however many ask, those who look up keys and budgets need not wait for them.
static READINGS: Semaphore = Semaphore::const_new(4);

/// A value that is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Number(i64),
    Text(String),
    Id(Uuid),
}

/// SQL that both databases understand, with its values.
#[derive(Debug, Default)]
pub struct Statement {
    sql: String,
    values: Vec<Value>,
}

/// One connection, for one answer.
pub struct Reading {
    connection: Connection,
    deadline: Instant,
    _turn: Option<SemaphorePermit<'static>>,
}

enum Connection {
    Sqlite { connection: PoolConnection<Sqlite>, is_closed: bool },
    Postgres(Transaction<'static, Postgres>),
}

/// What both databases' rows can be read as.
pub trait Record: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Record for T {}

impl Statement {
    pub fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    pub fn push(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Text in which each `?` stands for the value.
    pub fn bind(mut self, sql: &str, value: Value) -> Self {
        self.values.push(value);
        for (i, part) in sql.split('?').enumerate() {
            if i > 0 {
                let _ = write!(self.sql, "${}", self.values.len());
            }
            self.sql.push_str(part);
        }
        self
    }
}

impl Reading {
    /// Takes a connection for at most [`TIME_LIMIT`].
    pub async fn open(database: &Database) -> Result<Self, ReadError> {
        Self::open_until(database, Instant::now() + TIME_LIMIT).await
    }

    async fn open_until(database: &Database, deadline: Instant) -> Result<Self, ReadError> {
        let connecting = async {
            // Absent if it were closed, which it never is.
            let turn = READINGS.acquire().await.ok();
            let connection = match database {
                Database::Sqlite { readers, .. } => {
                    let mut connection = readers.acquire().await?;
                    connection.lock_handle().await?.set_progress_handler(STEPS, move || Instant::now() < deadline);
                    Connection::Sqlite { connection, is_closed: false }
                }
                Database::Postgres(pool) => {
                    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", TIME_LIMIT.as_millis());
                    Connection::Postgres(pool.begin_with(AssertSqlSafe(begin)).await?)
                }
            };
            Ok::<_, Error>((connection, turn))
        };
        match timeout(TIME_LIMIT, connecting).await {
            Ok(Ok((connection, turn))) => Ok(Self { connection, deadline, _turn: turn }),
            Ok(Err(error)) => Err(told(&error)),
            Err(_) => Err(told(&Error::PoolTimedOut)),
        }
    }

    pub fn is_sqlite(&self) -> bool {
        matches!(self.connection, Connection::Sqlite { .. })
    }

    /// All rows that a statement gives.
    pub async fn rows<T: Record>(&mut self, statement: Statement) -> Result<Vec<T>, ReadError> {
        let left = self.deadline.saturating_duration_since(Instant::now()) + GRACE;
        let Statement { sql, values } = statement;
        // The text is made of constants alone.
        let sql = AssertSqlSafe(sql);
        let rows = match &mut self.connection {
            Connection::Sqlite { connection, .. } => {
                let query = values.into_iter().fold(sqlx::query_as(sql), |query, value| match value {
                    Value::Number(number) => query.bind(number),
                    Value::Text(text) => query.bind(text),
                    Value::Id(id) => query.bind(id),
                });
                timeout(left, query.fetch_all(&mut **connection)).await
            }
            Connection::Postgres(transaction) => {
                let query = values.into_iter().fold(sqlx::query_as(sql), |query, value| match value {
                    Value::Number(number) => query.bind(number),
                    Value::Text(text) => query.bind(text),
                    Value::Id(id) => query.bind(id),
                });
                timeout(left, query.fetch_all(&mut **transaction)).await
            }
        };
        rows.map_err(|_| ReadError::TimedOut)?.map_err(|error| told(&error))
    }

    /// Gives the connection back. One that is only dropped is closed, as its statement may still run.
    pub async fn close(mut self) -> Result<(), ReadError> {
        if let Connection::Sqlite { connection, is_closed } = &mut self.connection {
            connection.lock_handle().await.map_err(|error| told(&error))?.remove_progress_handler();
            *is_closed = true;
        }
        Ok(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Connection::Sqlite { connection, is_closed: false } = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

/// An error as callers are told it; the log has the rest.
fn told(error: &Error) -> ReadError {
    let code = error.as_database_error().and_then(|error| error.code());
    // SQLite's SQLITE_INTERRUPT, Postgres' query_canceled.
    if code.is_some_and(|code| matches!(&*code, "9" | "57014")) {
        return ReadError::TimedOut;
    }
    tracing::warn!(%error, "the ledger can't be read from the database");
    ReadError::Down
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::Fixture;
    use super::*;

    #[derive(Debug, FromRow)]
    struct Number {
        #[expect(dead_code, reason = "only that there is one")]
        n: i64,
    }

    const ONE: &str = "SELECT CAST(1 AS BIGINT) AS n";
    const ENDLESS: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT CAST(COUNT(*) AS BIGINT) AS n FROM c";

    #[tokio::test]
    async fn what_takes_too_long_is_ended_and_its_connection_not_used_again() {
        let fixture = Fixture::sqlite().await;
        let Database::Sqlite { writer, .. } = &fixture.database else { return };
        // Its one connection is all that there is.
        let database = Database::Sqlite { writer: writer.clone(), readers: writer.clone() };
        let mut reading = Reading::open_until(&database, Instant::now() + Duration::from_millis(50)).await.unwrap();
        assert_eq!(reading.rows::<Number>(Statement::new(ENDLESS)).await.unwrap_err(), ReadError::TimedOut);
        drop(reading);
        let mut reading = Reading::open(&database).await.unwrap();
        assert_eq!(reading.rows::<Number>(Statement::new(ONE)).await.unwrap().len(), 1);
        reading.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_was_given_back_has_no_time_limit() {
        let fixture = Fixture::sqlite().await;
        let Database::Sqlite { writer, .. } = &fixture.database else { return };
        let database = Database::Sqlite { writer: writer.clone(), readers: writer.clone() };
        let reading = Reading::open_until(&database, Instant::now()).await.unwrap();
        reading.close().await.unwrap();
        let count = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT COUNT(*) FROM c";
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(writer).await.unwrap(), 100_000);
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_no_wait() {
        for fixture in Fixture::all().await {
            match &fixture.database {
                Database::Sqlite { readers, .. } => readers.close().await,
                Database::Postgres(pool) => pool.close().await,
            }
            assert_eq!(Reading::open(&fixture.database).await.err(), Some(ReadError::Down));
        }
    }
}
