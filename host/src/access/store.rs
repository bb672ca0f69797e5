//! Keys in the database.
//!
//! Owns: the table `keys`, reading and writing it. Every change has a `version` of its own, one more than the newest; changes are made one after the other, so who has read up to a version
//! has missed none before it.

use super::GatewayKey;
use super::ring::{Change, Held};
use super::secret::{Hash, ShortId};
use crate::database::Database;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// For anything that is asked of the database.
const PATIENCE: Duration = Duration::from_secs(5);

const NEWEST: &str = "SELECT COALESCE(MAX(version), 0) FROM keys";
const SINCE: &str = "SELECT * FROM keys WHERE version > $1";
const ONE: &str = "SELECT * FROM keys WHERE id = $1";
const PAGE: &str = "SELECT * FROM keys WHERE ($1 IS NULL OR tenant = $1) AND (created_at < $2 OR (created_at = $2 AND id < $3)) \
     ORDER BY created_at DESC, id DESC LIMIT $4";
const WRITE: &str = "INSERT INTO keys (id, hash, former_hash, former_until, tenant, name, models, limits, created_at, expires_at, revoked_at, version) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
     ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, former_hash = excluded.former_hash, former_until = excluded.former_until, \
     name = excluded.name, models = excluded.models, limits = excluded.limits, expires_at = excluded.expires_at, \
     revoked_at = excluded.revoked_at, version = excluded.version";
/// Other writers wait, readers don't.
const ALONE: &str = "LOCK TABLE keys IN SHARE ROW EXCLUSIVE MODE";

/// Why the keys can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database does not answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the gateway key `{id}` can't be read from the database: {reason}")]
    Unreadable { id: String, reason: String },
}

/// Where a list of keys goes on: after this one, from newer to older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCursor {
    /// Microseconds of Unix time.
    created_at: i64,
    id: String,
}

#[derive(Debug)]
pub(super) struct Store {
    database: Database,
}

/// As it is stored. Times are microseconds of Unix time.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    hash: Vec<u8>,
    former_hash: Option<Vec<u8>>,
    former_until: Option<i64>,
    tenant: String,
    name: Option<String>,
    models: String,
    limits: String,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    version: i64,
}

/// Reads a key, has it changed and writes it. The two databases' types have nothing in common by which a function could take both.
macro_rules! change {
    ($transaction:expr, $id:expr, $change:expr) => {{
        let mut transaction = $transaction;
        let stored: Option<Row> = sqlx::query_as(ONE).bind($id).fetch_optional(&mut *transaction).await?;
        let newest: i64 = sqlx::query_scalar(NEWEST).fetch_one(&mut *transaction).await?;
        match $change(stored.map(Held::try_from).transpose()?) {
            Err(refused) => Ok(Err(refused)),
            Ok(held) => {
                let row = Row::of(&held, newest.saturating_add(1));
                sqlx::query(WRITE)
                    .bind(&row.id)
                    .bind(&row.hash)
                    .bind(&row.former_hash)
                    .bind(row.former_until)
                    .bind(&row.tenant)
                    .bind(&row.name)
                    .bind(&row.models)
                    .bind(&row.limits)
                    .bind(row.created_at)
                    .bind(row.expires_at)
                    .bind(row.revoked_at)
                    .bind(row.version)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(Ok(Held::try_from(row)?))
            }
        }
    }};
}

impl Store {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The newest change. 0: there was none.
    pub(super) async fn newest(&self) -> Result<i64, StoreError> {
        within(async {
            Ok(match &self.database {
                Database::Sqlite { readers, .. } => sqlx::query_scalar(NEWEST).fetch_one(readers).await?,
                Database::Postgres(pool) => sqlx::query_scalar(NEWEST).fetch_one(pool).await?,
            })
        })
        .await
    }

    /// The keys that were changed after a version.
    pub(super) async fn since(&self, version: i64) -> Result<Vec<Change>, StoreError> {
        let rows: Vec<Row> = within(async {
            Ok(match &self.database {
                Database::Sqlite { readers, .. } => sqlx::query_as(SINCE).bind(version).fetch_all(readers).await?,
                Database::Postgres(pool) => sqlx::query_as(SINCE).bind(version).fetch_all(pool).await?,
            })
        })
        .await?;
        Ok(rows.into_iter().filter_map(changed).collect())
    }

    pub(super) async fn one(&self, id: &str) -> Result<Option<Held>, StoreError> {
        let row: Option<Row> = within(async {
            Ok(match &self.database {
                Database::Sqlite { readers, .. } => sqlx::query_as(ONE).bind(id).fetch_optional(readers).await?,
                Database::Postgres(pool) => sqlx::query_as(ONE).bind(id).fetch_optional(pool).await?,
            })
        })
        .await?;
        row.map(Held::try_from).transpose()
    }

    /// The newest keys, those of one tenant or all.
    pub(super) async fn page(&self, tenant: Option<&str>, after: Option<&KeyCursor>, limit: u32) -> Result<Vec<Held>, StoreError> {
        let (created_at, id) = after.map_or((i64::MAX, ""), |cursor| (cursor.created_at, cursor.id.as_str()));
        let rows: Vec<Row> = within(async {
            let query = (tenant, created_at, id, i64::from(limit));
            Ok(match &self.database {
                Database::Sqlite { readers, .. } => {
                    sqlx::query_as(PAGE).bind(query.0).bind(query.1).bind(query.2).bind(query.3).fetch_all(readers).await?
                }
                Database::Postgres(pool) => {
                    sqlx::query_as(PAGE).bind(query.0).bind(query.1).bind(query.2).bind(query.3).fetch_all(pool).await?
                }
            })
        })
        .await?;
        rows.into_iter().map(Held::try_from).collect()
    }

    /// Changes a key, or makes one, by what is stored of it then. What comes back is in the database.
    ///
    /// # Errors
    /// Those of the database, outside; why `change` would not, inside. Nothing is changed then.
    pub(super) async fn change<E>(
        &self,
        id: &str,
        change: impl FnOnce(Option<Held>) -> Result<Held, E>,
    ) -> Result<Result<Held, E>, StoreError> {
        within(async {
            match &self.database {
                // Others that write are locked out from the beginning, so what is read still holds when it is written.
                Database::Sqlite { writer, .. } => change!(writer.begin_with("BEGIN IMMEDIATE").await?, id, change),
                Database::Postgres(pool) => {
                    let mut transaction = pool.begin().await?;
                    sqlx::query(ALONE).execute(&mut *transaction).await?;
                    change!(transaction, id, change)
                }
            }
        })
        .await
    }
}

async fn within<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(StoreError::Late))
}

/// A key that can't be read must not go on as it was.
fn changed(row: Row) -> Option<Change> {
    let short = ShortId::of_id(&row.id)?;
    let held = Held::try_from(row).inspect_err(|error| tracing::error!(%error, "a gateway key opens nothing")).ok();
    Some((short, held))
}

impl Row {
    fn of(held: &Held, version: i64) -> Self {
        let key = &*held.key;
        let (former_hash, former_until) =
            held.former.as_ref().map(|(hash, until)| (hash.as_bytes().to_vec(), until.as_microsecond())).unzip();
        Self {
            id: key.id.to_string(),
            hash: held.hash.as_bytes().to_vec(),
            former_hash,
            former_until,
            tenant: key.tenant.to_string(),
            name: key.name.clone(),
            models: serde_json::json!(key.models).to_string(),
            limits: serde_json::json!(key.limits).to_string(),
            created_at: key.created_at.as_microsecond(),
            expires_at: key.expires_at.map(Timestamp::as_microsecond),
            revoked_at: key.revoked_at.map(Timestamp::as_microsecond),
            version,
        }
    }
}

impl TryFrom<Row> for Held {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let unreadable = |what: &str| StoreError::Unreadable { id: row.id.clone(), reason: format!("`{what}` is not what it should be") };
        let time = |name: &str, at: i64| Timestamp::from_microsecond(at).map_err(|_| unreadable(name));
        let hash = |name: &str, bytes: &[u8]| Hash::stored(bytes).ok_or_else(|| unreadable(name));
        let former = match (&row.former_hash, row.former_until) {
            (Some(bytes), Some(until)) => Some((hash("former_hash", bytes)?, time("former_until", until)?)),
            _ => None,
        };
        Ok(Self {
            short: ShortId::of_id(&row.id).ok_or_else(|| unreadable("id"))?,
            hash: hash("hash", &row.hash)?,
            former,
            key: Arc::new(GatewayKey {
                id: row.id.as_str().into(),
                tenant: row.tenant.as_str().into(),
                models: serde_json::from_str(&row.models).map_err(|_| unreadable("models"))?,
                limits: serde_json::from_str(&row.limits).map_err(|_| unreadable("limits"))?,
                created_at: time("created_at", row.created_at)?,
                expires_at: row.expires_at.map(|at| time("expires_at", at)).transpose()?,
                revoked_at: row.revoked_at.map(|at| time("revoked_at", at)).transpose()?,
                name: row.name.clone(),
            }),
        })
    }
}

impl KeyCursor {
    pub(super) fn after(key: &GatewayKey) -> Self {
        Self { created_at: key.created_at.as_microsecond(), id: key.id.to_string() }
    }

    /// As [`Display`](std::fmt::Display) writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (created_at, id) = text.split_once('.')?;
        Some(Self { created_at: created_at.parse().ok()?, id: ShortId::of_id(id)?.id() })
    }
}

impl std::fmt::Display for KeyCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.created_at, self.id)
    }
}
