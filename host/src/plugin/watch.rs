//! Watches the plugins folder: looks at it when the operating system says that something changed, and every few seconds besides, for
//! the file systems that never say so (network mounts, some container volumes).

use super::Registry;
use super::registry::QUIET;
use notify::{RecursiveMode, Watcher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const LOOK_ANYWAY: Duration = Duration::from_secs(2);
/// How long the start waits for the plugins that are there. A slower one activates later, like any that is dropped in.
const START_WAIT: Duration = Duration::from_secs(30);

/// Loads what is in the folder, then keeps watching it until `stop`. Returns once the first look is over; the watching goes on in a task.
pub async fn watch(registry: Arc<Registry>, stop: CancellationToken) -> tokio::task::JoinHandle<()> {
    let (changed, changes) = mpsc::channel(1);
    // Watched before the first look, so that nothing falls between.
    let watcher = notifier(&registry, changed);
    let all_loaded = tokio::time::timeout(START_WAIT, load_all(&registry)).await.is_ok();
    tokio::spawn(async move {
        let _watcher = watcher;
        tokio::select! {
            () = stop.cancelled() => {}
            () = look_again(registry, changes, !all_loaded) => {}
        }
    })
}

/// Loads what is there, also what was only just put there.
async fn load_all(registry: &Arc<Registry>) {
    loop {
        let scan = registry.scan();
        futures_util::future::join_all(scan.loads).await;
        if !scan.still_moving {
            return;
        }
        tokio::time::sleep(QUIET).await;
    }
}

async fn look_again(registry: Arc<Registry>, mut changes: mpsc::Receiver<()>, mut soon: bool) {
    loop {
        let wait = if soon { QUIET } else { LOOK_ANYWAY };
        let change = async {
            // Without a watcher there is nobody to say so.
            if changes.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        let woken = tokio::time::timeout(wait, change).await.is_ok();
        if woken {
            // A change is followed by others, and the file is not read before it is quiet.
            tokio::time::sleep(QUIET / 3).await;
        }
        let scan = registry.scan();
        // A file that changed again while it was being loaded is looked at once that is over.
        soon = scan.still_moving || !scan.loads.is_empty();
    }
}

fn notifier(registry: &Registry, changed: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        // Looking at the folder is itself an access to it.
        if !matches!(&event, Ok(event) if event.kind.is_access()) {
            // Full: a look is due anyway.
            let _ = changed.try_send(());
        }
    };
    let watching = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(registry.folder(), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching.map_err(|error| tracing::warn!(%error, "the plugins folder can't be watched; it is looked at every 2 s instead")).ok()
}
