//! Where a plugin's call runs: on the caller's own thread as long as it is quick, on a thread of its own once it is not.
//!
//! An honest call takes microseconds and never yields, so it costs no hop to another thread. One that is interrupted by the epoch has been
//! running for a millisecond or more; its rest is moved to the slow lane, whose threads share the machine with the others by the
//! operating system's scheduler. Thus a plugin that loops takes neither the async runtime's workers nor its I/O polling from other requests.

use super::Fault;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

pub(super) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The slow lane.
pub(crate) struct Lane {
    slow: Option<Runtime>,
}

impl Lane {
    /// # Errors
    /// When the machine does not give the threads.
    pub(super) fn start() -> std::io::Result<Self> {
        let slow = Builder::new_multi_thread().worker_threads(1).thread_name("plugin-slow").enable_time().build()?;
        Ok(Self { slow: Some(slow) })
    }

    /// Runs a call to its end, or for `wall` at most if it gets into the slow lane, for which it needs a permit of its plugin's. Dropped, it stops the
    /// call.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        wall: Duration,
        slow_calls: Arc<Semaphore>,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut call = Box::pin(call);
        if let Poll::Ready(value) = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
            return Ok(value);
        }
        // A plugin that loops on every request fills its own few places, not the lane. An honest call that was only held up by a busy machine soon gets
        // one.
        let Ok(Ok(_permit)) = tokio::time::timeout(wall, slow_calls.acquire_owned()).await else { return Err(Fault::TooManySlow) };
        let Some(slow) = &self.slow else { return Err(Fault::lost_instance()) };
        let rest = AbortOnDropHandle::new(slow.spawn(tokio::time::timeout(wall, call)));
        match rest.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_elapsed)) => Err(Fault::OutOfTime { limit: wall }),
            Err(error) => Err(Fault::Trap(format!("the call broke off: {error}"))),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // A runtime may not be dropped by waiting inside another one.
        if let Some(slow) = self.slow.take() {
            slow.shutdown_background();
        }
    }
}
