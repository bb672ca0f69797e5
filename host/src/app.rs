//! The gateway put together: what is shared by all requests, and the order in which it starts and stops.

use crate::access::Access;
use crate::admission::Admission;
use crate::attempt::{Driver, Upstream, install_tls};
use crate::cache::AnswerCache;
use crate::config::{self, Config, ConfigFile, Env, Reloader, Rules, ServerConfig};
use crate::database::Database;
use crate::edge::Turns;
use crate::health::Health;
use crate::ledger::{Ledger, Replayed};
use crate::pipeline::Gateway;
use crate::plugin::{self, CompileLimits, Limits, Registry, Settings};
use crate::provider::Snapshot;
use crate::publish::Publisher;
use crate::quota::{Late, Quota};
use crate::settle::Books;
use crate::shared::Redis;
use crate::simulate;
use crate::state::App;
use crate::{admin, edge, metrics, server, ui};
use anyhow::Context;
use arc_swap::ArcSwap;
use axum::Router;
use jiff::Timestamp;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What one call of a plugin may use. An honest one takes microseconds and a megabyte or two.
pub const PLUGIN_LIMITS: Limits = Limits { memory_bytes: 256 << 20, call_time: Duration::from_millis(200), output_bytes: 64 << 20 };
/// A Python component takes six seconds and some hundred MiB.
pub const COMPILE_LIMITS: CompileLimits = CompileLimits { time: Duration::from_secs(120), memory_bytes: 4 << 30 };

/// How long a stop waits for Redis to take what was settled last.
const CLOSING: Duration = Duration::from_secs(2);

/// A gateway that listens.
pub struct Running {
    pub address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    watcher: JoinHandle<()>,
    metrics: JoinHandle<()>,
    config_watcher: JoinHandle<()>,
    keys: JoinHandle<()>,
    simulator: Option<(CancellationToken, JoinHandle<()>)>,
    books: Closing,
}

/// Starts everything: takes the port, loads the plugins, then answers.
///
/// # Errors
/// One sentence for the operator on what can't be used.
pub async fn start(config: Config, env: impl Env + Send + Sync + 'static) -> anyhow::Result<Running> {
    let listener = server::bind(&config.server).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let metrics = tokio::spawn(metrics::record(stop.clone()));
    // Stopped after the gateway, which asks it until its last request is over.
    let simulator_stop = CancellationToken::new();
    let simulator = if config.demo { Some(start_simulator(simulator_stop.clone()).await?) } else { None };
    let origin = simulator.as_ref().map(|(origin, _)| origin.clone());
    let providers = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
    let health = Arc::new(Health::new(config.retry.budget, config.admission.max_concurrency * 3 / 4));
    let simulated = move |id: &str| simulate::base_url(origin.as_deref()?, id);
    let publisher = Publisher::new(Arc::clone(&providers), Arc::clone(&health), env, Box::new(simulated), Arc::clone(&config.rules));
    let publisher = Arc::new(publisher);
    let registry = Arc::new(registry(&config, Arc::clone(&publisher))?);
    let Storage { database, ledger, access, quota, cache } = Storage::open(&config, &registry).await?;
    tokio::task::spawn_blocking(crate::price::load);
    let reloader = Arc::new(reloader(publisher, Arc::clone(&config.rules), &registry));
    let config_watcher = config::watch(Arc::clone(&reloader), stop.clone()).await;
    let watcher = plugin::watch(Arc::clone(&registry), stop.clone()).await;
    let admission = Arc::new(Admission::new(config.admission));
    let books =
        Books { ledger: Arc::clone(&ledger), quota: Arc::clone(&quota), log_prompts: config.log.prompts, contents: config.ledger.contents };
    let keys = tokio::spawn({
        let (access, stop) = (Arc::clone(&access), stop.clone());
        async move { access.follow(stop).await }
    });
    let app = Arc::new(App {
        gateway: Gateway {
            providers,
            driver: Driver { upstream: Upstream::new(config.answer_bytes), retry: config.retry, health, admission: Arc::clone(&admission) },
            cache,
            books: Arc::new(books),
        },
        access,
        database: database.clone(),
        ledger: Arc::clone(&ledger),
        registry,
        config: reloader,
        turns: Turns::default(),
        limits: config.limits,
        admission,
        admin_key: config.admin_key.clone(),
        demo: config.demo,
        started_at: Timestamp::now(),
        stopping: stop.clone(),
    });
    let router = router(app);
    let server = {
        let (config, stop) = (config.server.clone(), stop.clone());
        tokio::spawn(async move { server::serve(listener, router, &config, stop).await })
    };
    let simulator = simulator.map(|(_, task)| (simulator_stop, task));
    let books = Closing { quota, ledger, database };
    Ok(Running { address, stop, server, watcher, config_watcher, keys, metrics, simulator, books })
}

/// What is closed last: what the last request leaves is written there.
struct Closing {
    quota: Arc<Quota>,
    ledger: Arc<Ledger>,
    database: Database,
}

impl Closing {
    async fn close(self) {
        self.quota.flush(CLOSING).await;
        self.ledger.close().await;
        self.database.close().await;
    }
}

/// What is kept beyond a request.
struct Storage {
    database: Database,
    ledger: Arc<Ledger>,
    access: Arc<Access>,
    quota: Arc<Quota>,
    cache: AnswerCache,
}

impl Storage {
    async fn open(config: &Config, registry: &Registry) -> anyhow::Result<Self> {
        install_tls();
        let database = Database::open(&config.data_dir, config.database_url.as_ref()).await?;
        let ledger = Ledger::open(&config.data_dir, config.ledger, database.clone())?;
        let quota = Arc::new(Quota::new(connect(config)?, Arc::new(ledger.sums())));
        let replayed = {
            let quota = Arc::clone(&quota);
            move |row: Replayed| quota.settle_late(&late(row))
        };
        let ledger = ledger.start(replayed).await;
        let access = Access::start(database.clone(), config.allow_anonymous, Arc::clone(registry.events())).await;
        tracing::info!("{}", access.describe(config.server.host));
        // Answers are large: on a connection of their own they keep no count waiting.
        let cache = AnswerCache::new(config.cache, connect(config)?);
        Ok(Self { database, ledger: Arc::new(ledger), access: Arc::new(access), quota, cache })
    }
}

fn connect(config: &Config) -> anyhow::Result<Option<Redis>> {
    config.redis_url.as_ref().map(Redis::connect).transpose()
}

/// What a process that was killed had not settled with its key's budget.
fn late(row: Replayed) -> Late {
    let time = |microseconds| Timestamp::from_microsecond(microseconds).unwrap_or_else(|_| Timestamp::now());
    Late { key_id: row.key_id.into(), reservation: row.reservation, used: row.cost, at: time(row.at), in_ledger_at: time(row.in_sums_at) }
}

impl Running {
    /// Stops accepting, lets requests finish up to the grace period, then returns.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::join!(self.server, self.watcher, self.config_watcher, self.keys, self.metrics);
        self.books.close().await;
        if let Some((stop, simulator)) = self.simulator {
            stop.cancel();
            let _ = simulator.await;
        }
    }
}

fn registry(config: &Config, publisher: Arc<Publisher<impl Env + Send + Sync + 'static>>) -> anyhow::Result<Registry> {
    let private = |folder: &std::path::Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    private(&config.data_dir).with_context(|| format!("the data folder {} (DATA_DIR) can't be made", config.data_dir.display()))?;
    let settings = Settings { limits: PLUGIN_LIMITS, compile: COMPILE_LIMITS, cache_folder: config.data_dir.join("compiled") };
    let host = plugin::Host::start(settings)?;
    Registry::new(host, &config.plugins_dir, move |active: &plugin::Active| publisher.plugins(active))
        .context("set PLUGINS_DIR to the folder of the adapters")
}

fn reloader(publisher: Arc<Publisher<impl Env + Send + Sync + 'static>>, rules: Arc<Rules>, registry: &Registry) -> Reloader {
    let file = ConfigFile::of(publisher.env());
    let env = {
        let publisher = Arc::clone(&publisher);
        Box::new(move |name: &str| publisher.env().get(name))
    };
    Reloader::new(file, env, rules, move |rules| publisher.rules(rules), Arc::clone(registry.events()))
}

/// The simulator on a port of its own, which only this machine reaches.
async fn start_simulator(stop: CancellationToken) -> anyhow::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the simulator can't listen on a loopback port")?;
    let origin = format!("http://{}", listener.local_addr()?);
    let config = simulator_server(IpAddr::from(Ipv4Addr::LOCALHOST), 0);
    let router = simulate::router(simulate::Settings::default());
    Ok((origin, tokio::spawn(async move { server::serve(listener, router, &config, stop).await })))
}

/// How the simulator listens.
pub fn simulator_server(host: IpAddr, port: u16) -> ServerConfig {
    ServerConfig {
        host,
        port,
        max_connections: 10_000,
        header_read_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(60),
        shutdown_grace: Duration::from_secs(1),
    }
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(edge::router())
        .merge(admin::router(&app))
        .merge(ui::router())
        .fallback(edge::not_found)
        .method_not_allowed_fallback(edge::method_not_allowed)
        .layer(axum::middleware::from_fn(edge::identify))
        .with_state(app)
}
