//! The gateway itself, as people run it: the real binary, in a process of its own, with nothing of this machine's settings.

use crate::client::Connection;
use crate::process::terminate;
use anyhow::{Context, bail};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::task::AbortOnDropHandle;

/// The first start compiles the adapters.
const READY_WAIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);

/// What is started.
#[derive(Debug, Clone)]
pub struct Installation {
    pub binary: PathBuf,
    pub plugins: PathBuf,
}

impl Installation {
    /// # Errors
    /// When the binary is not there, or the folder has no adapters: says what to build.
    pub fn new(binary: &Path, plugins: &Path) -> anyhow::Result<Self> {
        let built = |path: &Path| {
            path.canonicalize().with_context(|| format!("{} is not there: build the gateway and its adapters first", path.display()))
        };
        let installation = Self { binary: built(binary)?, plugins: built(plugins)? };
        if installation.plugin_count()? == 0 {
            bail!("{} holds no .wasm file: build the adapters first", plugins.display());
        }
        Ok(installation)
    }

    fn plugin_count(&self) -> anyhow::Result<usize> {
        let entries = std::fs::read_dir(&self.plugins)?;
        Ok(entries.filter_map(Result::ok).filter(|entry| entry.path().extension().is_some_and(|extension| extension == "wasm")).count())
    }
}

/// How much is logged. Each request writes two lines at `Info`.
#[derive(Debug, Clone, Copy)]
pub enum LogLevel {
    Warn,
    Info,
}

/// A running gateway. Dropped, it is killed.
pub struct Gateway {
    pub address: SocketAddr,
    pub pid: u32,
    child: Child,
    data: TempDir,
    /// Reads the log, as a log collector would: a full pipe would stop the gateway.
    _log: AbortOnDropHandle<()>,
}

impl Gateway {
    /// Starts it in front of `upstream` and waits until every adapter in the folder serves.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn start(installation: &Installation, upstream: SocketAddr, level: LogLevel) -> anyhow::Result<Self> {
        let data = tempfile::Builder::new().prefix("llm-gateway-bench-").tempdir()?;
        let address = free_address()?;
        let mut child = Command::new(&installation.binary)
            .arg("serve")
            // Away from any `.env` and `gateway.toml`.
            .current_dir(data.path())
            .env_clear()
            .env("HOST", address.ip().to_string())
            .env("PORT", address.port().to_string())
            .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"))
            .env("OPENAI_API_KEY", "bench")
            .env("PLUGINS_DIR", &installation.plugins)
            .env("DATA_DIR", data.path())
            // The same question again and again: what is measured is asking, not remembering.
            .env("CACHE_ENABLED", "false")
            .env(
                "LOG_LEVEL",
                match level {
                    LogLevel::Warn => "warn",
                    LogLevel::Info => "info",
                },
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} can't be started", installation.binary.display()))?;
        let (Some(stdout), Some(pid)) = (child.stdout.take(), child.id()) else { bail!("the gateway has no pipes") };
        let log = AbortOnDropHandle::new(tokio::spawn(drain(stdout)));
        let mut gateway = Self { address, pid, child, data, _log: log };
        gateway.wait_until_ready(installation.plugin_count()?).await?;
        Ok(gateway)
    }

    async fn wait_until_ready(&mut self, plugins: usize) -> anyhow::Result<()> {
        let end = Instant::now() + READY_WAIT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended at its start ({status})");
            }
            let loaded = match Connection::open(self.address).await {
                Ok(mut connection) => loaded(&connection.get("/api/status").await?)?,
                Err(_) => 0,
            };
            if loaded >= plugins {
                return Ok(());
            }
            if Instant::now() > end {
                bail!(
                    "only {loaded} of {plugins} adapters were loaded after {} s: GET /admin/plugins of a gateway says why",
                    READY_WAIT.as_secs()
                );
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Where it keeps what it has compiled.
    pub fn compiled(&self) -> PathBuf {
        self.data.path().join("compiled")
    }

    /// Stops it; its data folder is given back, to be deleted when it is dropped.
    ///
    /// # Errors
    /// When it has to be killed.
    pub async fn stop(mut self) -> anyhow::Result<TempDir> {
        terminate(&mut self.child).await?;
        Ok(self.data)
    }
}

/// The gateway takes 0 for its port as well, but says only at level `info` which one it got.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// How many providers have an adapter.
fn loaded(status: &str) -> anyhow::Result<usize> {
    let status: Value = serde_json::from_str(status)?;
    let providers = status["providers"].as_object().context("/api/status names no providers")?;
    Ok(providers.values().filter(|provider| provider["plugin_version"].is_string()).count())
}

async fn drain(mut stdout: ChildStdout) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(1..) = stdout.read(&mut buffer).await {}
}
