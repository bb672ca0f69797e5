//! The database: SQLite in the data folder, or Postgres where `DATABASE_URL` names one.
//!
//! Owns: connections, schema. Not here: what is written and read (`ledger`, `access`).
//!
//! Either may be away, at the start and later: SQLite while its disk is full or read-only, Postgres while it is down. Connections are made when they are asked for. Postgres's first one brings
//! the schema up to date, whoever asked for it; for SQLite that is tried until it is done.

use anyhow::{Context, ensure};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, PgPool, SqliteConnection, SqlitePool};
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const FILE: &str = "gateway.db";
/// Before it, a write-ahead log that is begun anew while a checkpoint runs can corrupt the file (<https://www.sqlite.org/wal.html>).
const SQLITE_AT_LEAST: (u32, u32, u32) = (3, 51, 3);
const SQLITE_READERS: u32 = 6;
/// For another process that writes, and for a connection.
const SQLITE_PATIENCE: Duration = Duration::from_secs(5);
/// Until a disk that did not take the file is tried again.
const SQLITE_PAUSE: Duration = Duration::from_secs(1);
const POSTGRES_CONNECTIONS: u32 = 10;
/// For a connection, and for the first look at a Postgres that may be down.
const POSTGRES_PATIENCE: Duration = Duration::from_secs(3);
/// So that nothing hangs on a lock or a plan gone wrong.
const POSTGRES_TIMEOUTS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'";

static SQLITE_SCHEMA: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_SCHEMA: Migrator = sqlx::migrate!("migrations/postgres");

/// A database with the gateway's schema.
#[derive(Debug, Clone)]
pub enum Database {
    Sqlite {
        /// One connection: SQLite has one writer at a time.
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

impl Database {
    /// Opens Postgres where `url` names one, else the SQLite file in `data_dir`, which is made if it is missing. A Postgres that is down is warned of, and used once it is there; so is a disk
    /// that is full or read-only.
    ///
    /// # Errors
    /// One sentence for the operator: the file can't be used, the URL can't be read, or the schema can't be brought up to date. The URL is not in it.
    pub async fn open(data_dir: &Path, url: Option<&SecretString>) -> anyhow::Result<Self> {
        match url {
            None => open_sqlite(data_dir).await,
            Some(url) => open_postgres(url).await,
        }
    }

    /// Ends all connections, once they are given back.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

async fn open_sqlite(data_dir: &Path) -> anyhow::Result<Database> {
    let file = data_dir.join(FILE);
    let (writer, readers) = sqlite_pools(&file);
    match prepare_sqlite(&file, &writer).await {
        Ok(()) => {}
        Err(error) if may_pass(&error) => {
            tracing::error!(
                "THE DATABASE CAN'T BE USED until the disk of DATA_DIR has room and can be written: gateway keys are not known and rows wait, or are lost where the journal can't be written either: {error:#}"
            );
            tokio::spawn(prepare_sqlite_later(file, writer.clone()));
        }
        Err(error) => return Err(error),
    }
    Ok(Database::Sqlite { writer, readers })
}

/// Until it is done, or the gateway ends.
async fn prepare_sqlite_later(file: PathBuf, writer: SqlitePool) {
    while !writer.is_closed() {
        tokio::time::sleep(SQLITE_PAUSE).await;
        if prepare_sqlite(&file, &writer).await.is_ok() {
            tracing::warn!("the database can be used now");
            return;
        }
    }
}

async fn prepare_sqlite(file: &Path, writer: &SqlitePool) -> anyhow::Result<()> {
    make_private(file).with_context(|| format!("the database {} can't be written (DATA_DIR)", file.display()))?;
    bring_up_to_date(writer).await.with_context(|| format!("the database {} can't be used", file.display()))
}

/// SQLite makes the files beside it as private as this one.
fn make_private(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

async fn bring_up_to_date(writer: &SqlitePool) -> anyhow::Result<()> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(writer).await?;
    ensure!(
        is_safe(&version),
        "SQLite {version} can corrupt its write-ahead log: build the gateway with {}.{}.{} or later",
        SQLITE_AT_LEAST.0,
        SQLITE_AT_LEAST.1,
        SQLITE_AT_LEAST.2
    );
    SQLITE_SCHEMA.run(writer).await.context("its schema can't be brought up to date")
}

/// One that writes, and those that read.
fn sqlite_pools(file: &Path) -> (SqlitePool, SqlitePool) {
    // FULL: what is in the database is deleted from the journal, so it has to outlive a loss of power by then.
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_PATIENCE)
        .foreign_keys(false)
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-16384")
        .disable_statement_logging();
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(SQLITE_PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| Box::pin(is_reusable(connection)))
        .connect_lazy_with(options);
    let reading = SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(SQLITE_PATIENCE)
        .pragma("cache_size", "-16384")
        .disable_statement_logging();
    let readers = SqlitePoolOptions::new().max_connections(SQLITE_READERS).acquire_timeout(SQLITE_PATIENCE).connect_lazy_with(reading);
    (writer, readers)
}

/// Whether it is the disk's fault, which may be mended while the gateway runs.
fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            return is_fault_of_disk(error);
        }
        let Some(sqlx::Error::Database(error)) = cause.downcast_ref() else { return false };
        // SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN; what is above the lowest byte says more.
        error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 8 | 10 | 13 | 14))
    })
}

/// Whether a disk is full or read-only.
pub(crate) fn is_fault_of_disk(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem)
}

/// Where the disk takes no more, SQLite ends a transaction on its own; sqlx then goes on believing in it, and would begin no other on that connection.
async fn is_reusable(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // Answered after the end of the transaction, which may be under way still.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Whether a version of SQLite has the fix. What can't be read has not.
fn is_safe(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= SQLITE_AT_LEAST
}

async fn open_postgres(url: &SecretString) -> anyhow::Result<Database> {
    // What is wrong with it is not told, for it may quote it.
    let Ok(options) = PgConnectOptions::from_str(url.expose_secret()) else {
        anyhow::bail!(
            "DATABASE_URL can't be read: expected postgres://user:password@host:5432/database, with ?sslmode=verify-full where it is to be encrypted"
        );
    };
    let options = options.application_name("llm-gateway").disable_statement_logging();
    let is_ready = Arc::new(AtomicBool::new(false));
    match tokio::time::timeout(POSTGRES_PATIENCE, options.connect()).await {
        Ok(Ok(mut connection)) => {
            prepare(&mut connection, &is_ready)
                .await
                .context("the schema of the Postgres database (DATABASE_URL) can't be brought up to date")?;
            let _ = connection.close().await;
        }
        // That will not pass by itself.
        Ok(Err(sqlx::Error::Database(error))) if is_refusal(&*error) => {
            anyhow::bail!("Postgres (DATABASE_URL) refuses the gateway: {error}")
        }
        Ok(Err(error)) => warn_of_absence(&error.to_string()),
        Err(_) => warn_of_absence("it does not answer"),
    }
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(POSTGRES_PATIENCE)
        .after_connect(move |connection, _| {
            let is_ready = Arc::clone(&is_ready);
            let prepared: BoxFuture<'_, sqlx::Result<()>> = Box::pin(async move { prepare(connection, &is_ready).await });
            prepared
        })
        .connect_lazy_with(options);
    Ok(Database::Postgres(pool))
}

/// Whether it knows no such user, password or database.
fn is_refusal(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code.starts_with("28") || code.starts_with("3D"))
}

fn warn_of_absence(reason: &str) {
    tracing::warn!(reason, "Postgres (DATABASE_URL) can't be used: what is to be written waits in DATA_DIR until it can");
}

/// Makes a connection fit for use. Several gateways may do so at once: sqlx takes an advisory lock for the schema.
async fn prepare(connection: &mut PgConnection, is_ready: &AtomicBool) -> sqlx::Result<()> {
    if !is_ready.load(Ordering::Acquire) {
        POSTGRES_SCHEMA.run_direct(None, connection, false).await?;
        is_ready.store(true, Ordering::Release);
    }
    connection.execute(POSTGRES_TIMEOUTS).await.map(drop)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::servers::Postgres;
    use tempfile::TempDir;

    #[test]
    fn versions_with_the_fix_are_known() {
        for (version, expected) in [("3.51.3", true), ("3.51.2", false), ("3.53.0", true), ("4.0", true), ("3.6.23.1", false), ("", false)]
        {
            assert_eq!(is_safe(version), expected, "{version}");
        }
    }

    #[tokio::test]
    async fn a_file_is_opened_again_with_what_it_holds() {
        let folder = TempDir::new().unwrap();
        let insert = "INSERT INTO usage_by_hour (hour, tenant, key_id, provider, model) VALUES (1, '', '', '', '') ON CONFLICT DO NOTHING";
        for expected in 0..3_i64 {
            let Database::Sqlite { writer, readers } = Database::open(folder.path(), None).await.unwrap() else { unreachable!() };
            let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM usage_by_hour").fetch_one(&readers).await.unwrap();
            assert_eq!(rows, expected.min(1));
            assert!(sqlx::query("DELETE FROM usage_by_hour").execute(&readers).await.is_err(), "readers only read");
            sqlx::query(insert).execute(&writer).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_on_its_own_holds_up_no_other() {
        let folder = TempDir::new().unwrap();
        let Database::Sqlite { writer, .. } = Database::open(folder.path(), None).await.unwrap() else { unreachable!() };
        let insert = "INSERT OR ROLLBACK INTO usage_by_hour (hour, tenant, key_id, provider, model) VALUES (1, '', '', '', '')";
        for _ in 0..3 {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
            sqlx::query(insert).execute(&mut *transaction).await.unwrap();
            assert!(sqlx::query(insert).execute(&mut *transaction).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_url_that_can_not_be_used_is_not_repeated() {
        let folder = TempDir::new().unwrap();
        for url in ["postgres://u:s3cret@[::1", "postgres://u:s3cret@h/d?sslmode=s3cret"] {
            let error = format!("{:#}", Database::open(folder.path(), Some(&url.into())).await.unwrap_err());
            assert!(error.contains("DATABASE_URL") && !error.contains("s3cret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_ends_the_start() {
        let server = Postgres::start();
        let folder = TempDir::new().unwrap();
        let url = server.url().replace("/postgres", "/missing").into();
        let error = format!("{:#}", Database::open(folder.path(), Some(&url)).await.unwrap_err());
        assert!(error.contains("DATABASE_URL") && error.contains("does not exist"), "{error}");
    }

    #[tokio::test]
    async fn gateways_that_start_at_once_agree_on_the_schema() {
        let server = Postgres::start();
        let folder = TempDir::new().unwrap();
        let url = server.url().into();
        let opened = futures_util::future::join_all((0..4).map(|_| Database::open(folder.path(), Some(&url)))).await;
        for database in opened {
            let Database::Postgres(pool) = database.unwrap() else { unreachable!() };
            assert_eq!(sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM requests").fetch_one(&pool).await.unwrap(), 0);
        }
    }
}
