//! The two ways of asking: as fast as answers come (closed loop: how much can it take), and by the clock, whatever comes back (open loop: how long
//! does one wait). Times of the open loop count from when a request was due, so a server that stalls is charged for all who had to wait.

use crate::client::Connection;
use crate::exchange::Ask;
use anyhow::Context;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Requests that may be due and not yet sent; far more than a run has.
const DUE: usize = 10_000;
/// Connections that an open loop begins with. Further ones are opened when all are in use, and pay for it.
const READY_CONNECTIONS: usize = 8;

/// What a closed loop got done.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub answers: u64,
    pub elapsed: Duration,
}

impl Round {
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}

/// A closed loop's connections, open and each used once.
pub struct Callers {
    connections: Vec<Connection>,
    ask: Ask,
}

impl Callers {
    /// # Errors
    /// When one can't connect, or gets no answer.
    pub async fn connect(address: SocketAddr, ask: Ask, connections: usize) -> anyhow::Result<Self> {
        let mut opening = JoinSet::new();
        for _ in 0..connections {
            opening.spawn(async move {
                let mut connection = Connection::open(address).await?;
                connection.ask(ask, &ask.body()).await?;
                anyhow::Ok(connection)
            });
        }
        Ok(Self { connections: opening.join_all().await.into_iter().collect::<anyhow::Result<_>>()?, ask })
    }

    /// Each connection asks again as soon as it is answered.
    ///
    /// # Errors
    /// The first answer that is none.
    pub async fn ask_for(self, duration: Duration) -> anyhow::Result<Round> {
        let began = Instant::now();
        let mut asking = JoinSet::new();
        for connection in self.connections {
            asking.spawn(ask_until(connection, self.ask, began + duration));
        }
        let answers: anyhow::Result<u64> = asking.join_all().await.into_iter().sum();
        Ok(Round { answers: answers?, elapsed: began.elapsed() })
    }
}

async fn ask_until(mut connection: Connection, ask: Ask, end: Instant) -> anyhow::Result<u64> {
    let body = ask.body();
    let mut answers = 0;
    while Instant::now() < end {
        connection.ask(ask, &body).await?;
        answers += 1;
    }
    Ok(answers)
}

/// How long one waited.
#[derive(Debug, Clone, Copy)]
pub struct Waited {
    /// For the first bytes of the answer.
    pub first: Duration,
    pub last: Duration,
}

/// So many requests a second, for so long.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub per_second: u32,
    pub duration: Duration,
}

/// Asks by the clock.
///
/// # Errors
/// The first answer that is none.
pub async fn open_loop(address: SocketAddr, ask: Ask, pace: Pace) -> anyhow::Result<Vec<Waited>> {
    let idle = Arc::new(Idle::connect(address, ask).await?);
    let (due, mut requests) = mpsc::channel(DUE);
    let clock = std::thread::Builder::new().name("bench-clock".into()).spawn(move || tell_when_due(pace, &due))?;
    let mut asking = JoinSet::new();
    while let Some(due) = requests.recv().await {
        asking.spawn(Arc::clone(&idle).ask(due));
    }
    let waited = asking.join_all().await.into_iter().collect();
    clock.join().ok().context("the clock's thread broke")?;
    waited
}

/// A thread of its own: the async runtime's timers have a resolution of one millisecond, more than what is measured.
fn tell_when_due(pace: Pace, due: &mpsc::Sender<Instant>) {
    let interval = Duration::from_secs(1) / pace.per_second;
    let begin = Instant::now();
    let mut at = begin;
    while at < begin + pace.duration {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if due.blocking_send(at).is_err() {
            return;
        }
        at += interval;
    }
}

/// Connections that wait for the next request.
struct Idle {
    address: SocketAddr,
    ask: Ask,
    connections: Mutex<Vec<Connection>>,
}

impl Idle {
    async fn connect(address: SocketAddr, ask: Ask) -> anyhow::Result<Self> {
        let callers = Callers::connect(address, ask, READY_CONNECTIONS).await?;
        Ok(Self { address, ask, connections: Mutex::new(callers.connections) })
    }

    async fn ask(self: Arc<Self>, due: Instant) -> anyhow::Result<Waited> {
        let idle = self.connections().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let answered = connection.ask(self.ask, &self.ask.body()).await?;
        self.connections().push(connection);
        Ok(Waited { first: answered.first.duration_since(due), last: answered.last.duration_since(due) })
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
