//! What the HTTP faces share while the gateway runs.

use crate::access::Access;
use crate::admission::Admission;
use crate::config::{Reloader, RequestLimits};
use crate::database::Database;
use crate::edge::Turns;
use crate::ledger::Ledger;
use crate::pipeline::Gateway;
use crate::plugin::Registry;
use jiff::Timestamp;
use secrecy::SecretString;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What handlers share.
pub struct App {
    pub gateway: Gateway,
    pub access: Arc<Access>,
    pub registry: Arc<Registry>,
    pub config: Arc<Reloader>,
    pub turns: Turns,
    pub limits: RequestLimits,
    pub admission: Arc<Admission>,
    pub ledger: Arc<Ledger>,
    /// For what operators read.
    pub database: Database,
    pub admin_key: Option<SecretString>,
    pub demo: bool,
    pub started_at: Timestamp,
    /// Cancelled once the gateway is to stop.
    pub stopping: CancellationToken,
}
