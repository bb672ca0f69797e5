//! Keeps what is loaded as the plugins folder says.

use super::Registry;
use super::registry::QUIET;
use crate::watching::{LOOK_ANYWAY, Watching};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the start waits for the plugins that are there. A slower one activates later, like any that is dropped in.
const START_WAIT: Duration = Duration::from_secs(30);

/// Loads what is in the folder, then keeps watching it until `stop`. Returns once the first look is over; the watching goes on in a task.
pub async fn watch(registry: Arc<Registry>, stop: CancellationToken) -> tokio::task::JoinHandle<()> {
    // Watched before the first look, so that nothing falls between.
    let watching = Watching::start(registry.folder());
    let all_loaded = tokio::time::timeout(START_WAIT, load_all(&registry)).await.is_ok();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = look_again(registry, watching, !all_loaded) => {}
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

async fn look_again(registry: Arc<Registry>, mut watching: Watching, mut soon: bool) {
    loop {
        if watching.changed(if soon { QUIET } else { LOOK_ANYWAY }).await {
            // A change is followed by others, and the file is not read before it is quiet.
            tokio::time::sleep(QUIET / 3).await;
        }
        let scan = registry.scan();
        // A file that changed again while it was being loaded is looked at once that is over.
        soon = scan.still_moving || !scan.loads.is_empty();
    }
}
