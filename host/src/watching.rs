//! Says that something in a folder may have changed: when the operating system says so, and every few seconds besides, for the file systems
//! that never do (network mounts, some container volumes).
//!
//! Not here: what changed, and whether it counts. Whoever watches looks for itself.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a change that nobody tells of may stay unseen.
pub const LOOK_ANYWAY: Duration = Duration::from_secs(2);

/// A folder that is watched, without those in it.
pub struct Watching {
    changes: mpsc::Receiver<()>,
    _watcher: Option<RecommendedWatcher>,
}

impl Watching {
    /// From now on. Where the folder can't be watched, the looks every few seconds remain.
    pub fn start(folder: &Path) -> Self {
        let (changed, changes) = mpsc::channel(1);
        let handler = move |event: notify::Result<notify::Event>| {
            // Looking at the folder is itself an access to it.
            if !matches!(&event, Ok(event) if event.kind.is_access()) {
                // Full: a look is due anyway.
                let _ = changed.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let failed = |error: notify::Error| {
            tracing::warn!(folder = %folder.display(), %error, "a folder can't be watched; it is looked at every 2 s instead");
        };
        Self { changes, _watcher: watcher.map_err(failed).ok() }
    }

    /// Until something changes, or the time is over. Whether something did.
    pub async fn changed(&mut self, within: Duration) -> bool {
        let change = async {
            // Without a watcher there is nobody to say so.
            if self.changes.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        tokio::time::timeout(within, change).await.is_ok()
    }
}
