//! Instances of one version, made ahead of the requests that will use them, and thrown away after them.
//!
//! A request takes a ready instance and hands the used one back; making the next and dropping the used one happen in the pool's own task.
//! No instance is used twice. When the pool is empty (a burst), the request makes its own and pays the microseconds.

use super::Fault;
use super::instance::{Guest, Instance, Shared};
use crate::contract::guest::AdapterPre;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Ready instances per version. Each holds some hundred KiB.
const READY: usize = 16;
/// Used instances that wait to be dropped. Full: the request drops its own.
const RETIRED: usize = 256;

pub(super) struct Pool {
    pre: AdapterPre<Guest>,
    shared: Shared,
    ready: Arc<Ready>,
    retire: mpsc::Sender<Option<Instance>>,
}

/// The instances that are ready, and how many there should be: none of a version that is no longer asked.
#[derive(Default)]
struct Ready {
    instances: Mutex<Vec<Instance>>,
    wanted: AtomicUsize,
}

impl Ready {
    fn pop(&self) -> Option<Instance> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn push(&self, instance: Instance) {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
    }

    fn lacks(&self) -> bool {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).len() < self.wanted.load(Ordering::Relaxed)
    }
}

impl Pool {
    /// A pool with no instance in it yet. Its task ends when the pool is dropped.
    pub(super) fn new(pre: AdapterPre<Guest>, shared: Shared) -> Self {
        let ready = Arc::new(Ready::default());
        let (retire, retired) = mpsc::channel(RETIRED);
        tokio::spawn(refill(pre.clone(), shared.clone(), Arc::clone(&ready), retired));
        Self { pre, shared, ready, retire }
    }

    /// Fills the pool, off the request path.
    pub(super) fn warm(&self) {
        self.ready.wanted.store(READY, Ordering::Relaxed);
        let _ = self.retire.try_send(None);
    }

    /// Drops the ready instances of a version that is no longer asked.
    pub(super) fn cool(&self) {
        self.ready.wanted.store(0, Ordering::Relaxed);
        while let Some(instance) = self.ready.pop() {
            drop(instance);
        }
    }

    pub(super) async fn take(&self) -> Result<Instance, Fault> {
        match self.ready.pop() {
            Some(instance) => Ok(instance),
            None => Instance::new(self.shared.clone(), self.pre.clone()).await,
        }
    }

    /// Says that an instance was used, and hands it over to be dropped if it is still there.
    pub(super) fn retire(&self, used: Option<Instance>) {
        let _ = self.retire.try_send(used);
    }
}

async fn refill(pre: AdapterPre<Guest>, shared: Shared, ready: Arc<Ready>, mut retired: mpsc::Receiver<Option<Instance>>) {
    while let Some(used) = retired.recv().await {
        drop(used);
        // Whoever is behind in the queue is served by the same filling.
        while let Ok(used) = retired.try_recv() {
            drop(used);
        }
        while ready.lacks() {
            match Instance::new(shared.clone(), pre.clone()).await {
                Ok(instance) => ready.push(instance),
                // The request that needs one will meet the same fault and report it.
                Err(_) => break,
            }
            tokio::task::yield_now().await;
        }
    }
}
