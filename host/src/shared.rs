//! Redis, which several gateways share.
//!
//! Owns: the connection; how long it is waited for; that it is left alone for a moment after it failed, so that a Redis that is down costs requests next to nothing. Not here: what is
//! kept there (`cache`, `quota`).
//!
//! A command that is not answered soon says little of Redis: this process may be the one that is slow, and what is counted by itself then is counted wrong. So it is waited for, and beside it
//! Redis is asked for a sign of life; only one that gives none is down. Who has no use for a late answer need not wait for it.
//!
//! No request finds out whether Redis is back: a task of its own does, and until then every request is told at once that it is down.

use crate::attempt::install_tls;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, ScriptInvocation};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What a command takes at most, to the last byte of its answer, where nothing is wrong.
const ANSWER_TIME: Duration = Duration::from_millis(if cfg!(test) { 2000 } else { 150 });
/// For a sign of life of a Redis that took longer. Far above what a process takes that has too much to do.
const SIGN_TIME: Duration = Duration::from_secs(3);
/// What it may take to connect, and to be let in.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// For how long Redis is left alone after it failed.
const REST: Duration = Duration::from_secs(1);
/// How often a refusal of a command is worth a line in the log.
const REFUSAL_TOLD_EVERY: Duration = Duration::from_secs(60);

/// A connection that comes back by itself. Clones share it.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

/// Redis did not answer in time, is left alone because it did not a moment ago, or refused the command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Redis (REDIS_URL) does not answer: {0}")]
pub struct RedisDown(pub String);

struct Shared {
    client: Client,
    /// Host and port.
    place: String,
    link: Mutex<Link>,
}

struct Link {
    /// Absent: it is down, and a task tries to connect.
    connection: Option<Connection>,
    refusal_told: Option<Instant>,
}

#[derive(Clone)]
struct Connection {
    commands: MultiplexedConnection,
    /// An answer is overdue, and a task waits for a sign of life.
    is_doubted: bool,
    /// Cancelled: there will be no more answers. Ends those that wait, and tells one connection from the next.
    given_up: CancellationToken,
}

/// Whether a late answer is of use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Late {
    Awaited,
    Useless,
}

/// What becomes of a connection that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It was closed: a restart, or an idle connection that was cut.
    Connect,
    /// It is slow, or nobody is there.
    Rest,
}

impl Redis {
    /// Begins to connect, and does not wait for it. Needs the runtime.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn connect(url: &SecretString) -> anyhow::Result<Self> {
        install_tls();
        // Without the cause, which may show what is in the URL.
        let client = Client::open(url.expose_secret()).map_err(|_| {
            anyhow::anyhow!("REDIS_URL is no URL of a Redis: write redis://[[user]:password@]host[:port][/database], or rediss://… for TLS")
        })?;
        let place = client.get_connection_info().addr().to_string();
        let link = Mutex::new(Link { connection: None, refusal_told: None });
        let shared = Arc::new(Shared { client, place, link });
        tokio::spawn(reconnect(Arc::downgrade(&shared), Next::Connect, Told::Nothing));
        Ok(Self(shared))
    }

    /// # Errors
    /// When Redis does not answer.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisDown> {
        self.ask(Late::Awaited, |mut commands| async move { command.query_async(&mut commands).await }).await
    }

    /// Runs a script, which is sent along where Redis does not know it yet.
    ///
    /// # Errors
    /// As `query`.
    pub async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisDown> {
        self.ask(Late::Awaited, |mut commands| async move { script.invoke_async(&mut commands).await }).await
    }

    /// As `invoke`, for what is worth no wait.
    ///
    /// # Errors
    /// When Redis does not answer soon.
    pub async fn invoke_soon<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisDown> {
        self.ask(Late::Useless, |mut commands| async move { script.invoke_async(&mut commands).await }).await
    }

    /// Whether it answers, as far as is known.
    pub fn is_up(&self) -> bool {
        self.0.link().connection.as_ref().is_some_and(|connection| !connection.is_doubted)
    }

    async fn ask<T, F>(&self, late: Late, command: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, RedisDown>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let Some(connection) = self.0.link().connection.clone().filter(|it| late == Late::Awaited || !it.is_doubted) else {
            return Err(self.0.down("it failed a moment ago"));
        };
        let mut answering = pin!(command(connection.commands));
        let answer = match timeout(ANSWER_TIME, &mut answering).await {
            Ok(answer) => answer,
            Err(_) => {
                self.0.doubt(&connection.given_up);
                if late == Late::Useless {
                    return Err(self.0.down(&format!("no answer within {} ms", ANSWER_TIME.as_millis())));
                }
                tokio::select! {
                    biased;
                    answer = answering => answer,
                    () = connection.given_up.cancelled() => return Err(self.0.down("no answer")),
                }
            }
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) if is_of_connection(&error) => {
                self.0.give_up(&connection.given_up, &error.to_string(), Next::Connect);
                Err(self.0.down(&error.to_string()))
            }
            Err(refusal) => Err(self.0.refused(&refusal)),
        }
    }
}

impl Shared {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn down(&self, why: &str) -> RedisDown {
        RedisDown(format!("{}: {why}", self.place))
    }

    /// Looks whether a connection is still good for anything, unless that is done already.
    fn doubt(self: &Arc<Self>, given_up: &CancellationToken) {
        let mut link = self.link();
        let Some(connection) = link.connection.as_mut().filter(|it| it.given_up == *given_up && !it.is_doubted) else { return };
        connection.is_doubted = true;
        tokio::spawn(await_sign(Arc::clone(self), connection.clone()));
    }

    /// Nothing happens where somebody else did it.
    fn give_up(self: &Arc<Self>, given_up: &CancellationToken, why: &str, next: Next) {
        let taken = self.link().connection.take_if(|it| it.given_up == *given_up);
        if taken.is_some() {
            given_up.cancel();
            tracing::warn!(redis = self.place, "{}; this gateway goes on by itself until it does", self.down(why));
            tokio::spawn(reconnect(Arc::downgrade(self), next, Told::Down));
        }
    }

    /// Redis is there, and does not do what it was asked: it is full, or read-only.
    fn refused(&self, refusal: &RedisError) -> RedisDown {
        let down = self.down(&refusal.to_string());
        let mut link = self.link();
        let now = Instant::now();
        if link.refusal_told.is_none_or(|told| now.saturating_duration_since(told) >= REFUSAL_TOLD_EVERY) {
            link.refusal_told = Some(now);
            tracing::warn!(redis = self.place, "Redis refuses a command: {refusal}");
        }
        down
    }

    async fn try_to_connect(&self) -> Result<(), String> {
        // The time limit is around the whole of it.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = async {
            let mut commands = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            // One that is loading its data lets callers in and answers nothing.
            let (): () = redis::cmd("PING").query_async(&mut commands).await?;
            Ok::<_, RedisError>(commands)
        };
        match timeout(CONNECT_TIME, connecting).await {
            Ok(Ok(commands)) => {
                self.link().connection = Some(Connection { commands, is_doubted: false, given_up: CancellationToken::new() });
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no connection within {} s", CONNECT_TIME.as_secs())),
        }
    }
}

/// Whether a connection is of no more use. Of all other errors Redis itself tells.
fn is_of_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

/// Answers come in order: one to this says that all before it were given.
async fn await_sign(shared: Arc<Shared>, mut connection: Connection) {
    let sign = redis::cmd("PING");
    match timeout(SIGN_TIME, sign.query_async::<()>(&mut connection.commands)).await {
        Err(_) => shared.give_up(&connection.given_up, &format!("no sign of life within {} s", SIGN_TIME.as_secs()), Next::Rest),
        Ok(Err(error)) if is_of_connection(&error) => shared.give_up(&connection.given_up, &error.to_string(), Next::Connect),
        Ok(_) => {
            if let Some(trusted) = shared.link().connection.as_mut().filter(|it| it.given_up == connection.given_up) {
                trusted.is_doubted = false;
            }
        }
    }
}

/// What the log was told of a Redis that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Down,
}

/// Tries until there is a connection, or nobody who wants one.
async fn reconnect(shared: Weak<Shared>, mut next: Next, mut told: Told) {
    loop {
        if next == Next::Rest {
            sleep(REST).await;
        }
        next = Next::Rest;
        let Some(shared) = shared.upgrade() else { return };
        match shared.try_to_connect().await {
            Ok(()) => {
                tracing::info!(redis = shared.place, "Redis answers");
                return;
            }
            Err(why) if told == Told::Nothing => {
                told = Told::Down;
                tracing::warn!(redis = shared.place, "{}; this gateway goes on by itself until it does", shared.down(&why));
            }
            Err(_) => {}
        }
    }
}

/// Without the URL: a password may stand in it.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("place", &self.0.place).field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::process::{Child, ChildStdout, Command, Stdio};

    /// A real Redis on loopback, which ends with the test.
    pub(crate) struct Server {
        port: u16,
        process: Option<(Child, BufReader<ChildStdout>)>,
        folder: tempfile::TempDir,
    }

    impl Server {
        pub(crate) fn start() -> Self {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut server = Self { port, process: None, folder: tempfile::tempdir().unwrap() };
            server.start_again();
            server
        }

        pub(crate) fn start_again(&mut self) {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--requirepass", "very-secret", "--port"]);
            command.arg(self.port.to_string()).arg("--dir").arg(self.folder.path());
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            while !line.contains("Ready to accept connections") {
                line.clear();
                assert_ne!(lines.read_line(&mut line).unwrap(), 0, "redis-server does not start");
            }
            self.process = Some((child, lines));
        }

        pub(crate) fn url(&self) -> SecretString {
            format!("redis://:very-secret@127.0.0.1:{}/", self.port).into()
        }

        pub(crate) fn stop(&mut self) {
            if let Some((mut child, _)) = self.process.take() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }

        /// It is there, and does not answer.
        pub(crate) fn pause(&self) {
            self.signal(Signal::STOP);
        }

        pub(crate) fn go_on(&self) {
            self.signal(Signal::CONT);
        }

        fn signal(&self, signal: Signal) {
            let (child, _) = self.process.as_ref().unwrap();
            kill_process(Pid::from_child(child), signal).unwrap();
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.stop();
        }
    }

    /// Waits until Redis is taken to be there.
    pub(crate) async fn up(redis: &Redis) {
        let waiting = async {
            while !redis.is_up() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.unwrap();
    }

    fn set(value: &str) -> Cmd {
        let mut command = redis::cmd("SET");
        command.arg("k").arg(value);
        command
    }

    async fn told(redis: &Redis) -> Result<(), RedisDown> {
        redis.query(&set("v")).await
    }

    #[tokio::test]
    async fn commands_and_scripts_are_answered() {
        let server = Server::start();
        let redis = Redis::connect(&server.url()).unwrap();
        up(&redis).await;
        let (): () = redis.query(&set("v")).await.unwrap();
        let script = redis::Script::new("return redis.call('GET', KEYS[1]) .. ARGV[1]");
        for _ in 0..2 {
            let answer: String = redis.invoke(script.key("k").arg("w")).await.unwrap();
            assert_eq!(answer, "vw");
        }
        // A refusal is no outage.
        assert!(redis.query::<()>(redis::cmd("LPUSH").arg("k").arg(1)).await.is_err());
        assert!(redis.is_up());
    }

    #[tokio::test]
    async fn an_outage_costs_one_wait_and_ends_by_itself() {
        let mut server = Server::start();
        let redis = Redis::connect(&server.url()).unwrap();
        up(&redis).await;

        server.pause();
        let before = Instant::now();
        assert!(join_all((0..50).map(|_| told(&redis))).await.iter().all(Result::is_err));
        // One wait for all of them, on a machine that may be slow.
        assert!(before.elapsed() < (ANSWER_TIME + SIGN_TIME) * 10);
        assert!(!redis.is_up());
        told(&redis).now_or_never().unwrap().unwrap_err();
        server.go_on();
        up(&redis).await;
        told(&redis).await.unwrap();

        server.stop();
        told(&redis).await.unwrap_err();
        assert!(!redis.is_up());
        server.start_again();
        up(&redis).await;
        told(&redis).await.unwrap();
    }

    #[tokio::test]
    async fn who_needs_an_answer_waits_for_one_that_is_late() {
        let server = Server::start();
        let redis = Redis::connect(&server.url()).unwrap();
        up(&redis).await;
        server.pause();
        let waiting = tokio::spawn({
            let redis = redis.clone();
            async move { told(&redis).await }
        });
        while redis.is_up() {
            sleep(Duration::from_millis(5)).await;
        }
        let script = redis::Script::new("return 1");
        redis.invoke_soon::<i64>(&script.prepare_invoke()).now_or_never().unwrap().unwrap_err();
        server.go_on();
        waiting.await.unwrap().unwrap();
        up(&redis).await;
        assert_eq!(redis.invoke_soon::<i64>(&script.prepare_invoke()).await, Ok(1));
    }

    #[tokio::test]
    async fn a_restart_that_nobody_noticed_costs_one_command() {
        let mut server = Server::start();
        let redis = Redis::connect(&server.url()).unwrap();
        up(&redis).await;
        server.stop();
        server.start_again();
        let _ = told(&redis).await;
        up(&redis).await;
        told(&redis).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_is_there_at_first() {
        let mut server = Server::start();
        server.stop();
        let redis = Redis::connect(&server.url()).unwrap();
        assert!(told(&redis).await.is_err());
        server.start_again();
        up(&redis).await;
        told(&redis).await.unwrap();
    }

    #[tokio::test]
    async fn the_password_is_not_shown() {
        let redis = Redis::connect(&"rediss://u:very-secret@127.0.0.1:1/".into()).unwrap();
        let down = told(&redis).await.unwrap_err();
        let wrong = Redis::connect(&"nonsense://u:very-secret@h/".into()).unwrap_err();
        let told = format!("{redis:?} {down:?} {down} {wrong:?}");
        assert!(told.contains("127.0.0.1:1") && !told.contains("very-secret"), "{told}");
    }
}
