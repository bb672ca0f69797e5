//! What is known of one connection by its requests: whether there was one, how many are open, and whether one of them has the connection cut.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The requests of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    /// `None` before the first.
    open: Arc<watch::Sender<Option<usize>>>,
    cut: CancellationToken,
}

/// A request, open until this is dropped.
#[derive(Debug)]
pub(super) struct Open(Requests);

impl Requests {
    /// Notes a request that counts as open for ever: of HTTP/1, whose pauses hyper bounds itself.
    pub(super) fn has_spoken(&self) {
        self.open.send_if_modified(|open| open.is_none() && open.replace(1).is_none());
    }

    pub(super) fn begin(&self) -> Open {
        self.open.send_modify(|open| *open = Some(open.unwrap_or(0) + 1));
        Open(self.clone())
    }

    /// Waits for the first request.
    pub(super) async fn first(&self) {
        let _ = self.open.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until none was open for that long.
    pub(super) async fn none_for(&self, pause: Duration) {
        let mut open = self.open.subscribe();
        loop {
            let is_idle = open.borrow_and_update().unwrap_or(0) == 0;
            tokio::select! {
                _ = open.changed() => {}
                () = tokio::time::sleep(pause), if is_idle => return,
            }
        }
    }

    /// Waits until a request has the connection cut.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Open {
    pub(super) fn cut_connection(&self) {
        self.0.cut.cancel();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open = open.map(|open| open.saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_pause_begins_when_the_last_request_is_over() {
        let requests = Requests::default();
        let began = Instant::now();
        requests.none_for(SECOND).await;
        assert_eq!(began.elapsed(), SECOND, "before the first request too");
        let open = [requests.begin(), requests.begin()];
        tokio::spawn(async move {
            for request in open {
                sleep(5 * SECOND).await;
                drop(request);
            }
        });
        requests.none_for(SECOND).await;
        assert_eq!(began.elapsed(), 12 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_spoken_stays_so() {
        let requests = Requests::default();
        assert!(tokio::time::timeout(SECOND, requests.first()).await.is_err());
        drop(requests.begin());
        requests.first().await;
        requests.has_spoken();
        requests.none_for(SECOND).await;
    }
}
