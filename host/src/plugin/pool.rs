//! Instances of one version, made ahead of the requests that will use them, and thrown away after them.
//!
//! A request takes a ready instance and hands the used one back; making the next ones and dropping the used ones happen in the pool's own task. It is woken
//! for several at a time, because waking it costs a request more than a queue's worth of waiting costs memory. No instance is used twice. When the pool is empty
//! (a burst), the request makes its own.

use super::Fault;
use super::exports::Exports;
use super::instance::{Guest, Instance, Shared};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::InstancePre;

/// Ready instances per version. Each holds some hundred KiB.
const READY: usize = 16;
/// With fewer than this the pool is filled up.
const LOW: usize = 8;
/// Used instances after which the pool's task is woken to drop them.
const USED: usize = 8;
/// Used instances that wait at most. With more, requests drop their own.
const MAX_USED: usize = 256;

pub(super) struct Pool {
    pre: InstancePre<Guest>,
    shared: Shared,
    stock: Arc<Stock>,
    _task: AbortOnDropHandle<()>,
}

/// What is ready, and what is used.
#[derive(Default)]
struct Stock {
    instances: Mutex<Instances>,
    due: Notify,
}

#[derive(Default)]
struct Instances {
    ready: Vec<Instance>,
    used: Vec<Instance>,
    /// How many should be ready: none of a version that is no longer asked.
    wanted: usize,
}

impl Stock {
    fn with<T>(&self, change: impl FnOnce(&mut Instances) -> T) -> T {
        change(&mut self.instances.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pool {
    /// A pool with no instance in it yet. Its task ends when the pool is dropped.
    pub(super) fn new(pre: InstancePre<Guest>, shared: Shared) -> Self {
        let stock = Arc::new(Stock::default());
        let task = tokio::spawn(keep_stocked(pre.clone(), shared.clone(), Arc::clone(&stock)));
        Self { pre, shared, stock, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn exports(&self) -> &Exports {
        &self.shared.exports
    }

    /// Fills the pool, off the request path.
    pub(super) fn warm(&self) {
        self.stock.with(|instances| instances.wanted = READY);
        self.stock.due.notify_one();
    }

    /// Drops the ready instances of a version that is no longer asked.
    pub(super) fn cool(&self) {
        let dropped = self.stock.with(|instances| {
            instances.wanted = 0;
            (std::mem::take(&mut instances.ready), std::mem::take(&mut instances.used))
        });
        drop(dropped);
    }

    pub(super) async fn take(&self) -> Result<Instance, Fault> {
        match self.stock.with(|instances| instances.ready.pop()) {
            Some(instance) => Ok(instance),
            None => Instance::new(self.shared.clone(), self.pre.clone()).await,
        }
    }

    /// Says that an instance was used, and hands it over to be dropped if it is still there.
    pub(super) fn retire(&self, used: Option<Instance>) {
        let (too_many, due) = self.stock.with(|instances| {
            let too_many = match used {
                Some(used) if instances.used.len() < MAX_USED => {
                    instances.used.push(used);
                    None
                }
                other => other,
            };
            (too_many, instances.used.len() >= USED || instances.ready.len() < LOW.min(instances.wanted))
        });
        drop(too_many);
        if due {
            self.stock.due.notify_one();
        }
    }
}

async fn keep_stocked(pre: InstancePre<Guest>, shared: Shared, stock: Arc<Stock>) {
    loop {
        stock.due.notified().await;
        drop(stock.with(|instances| std::mem::take(&mut instances.used)));
        while stock.with(|instances| instances.ready.len() < instances.wanted) {
            match Instance::new(shared.clone(), pre.clone()).await {
                Ok(instance) => stock.with(|instances| instances.ready.push(instance)),
                // The request that needs one will meet the same fault and report it.
                Err(_) => break,
            }
            tokio::task::yield_now().await;
        }
    }
}
