//! Real servers for tests: Redis and Postgres on loopback, each with a port and a temporary folder of its own, ended when dropped.
//!
//! Nothing of them outlives a test, and no server that runs on the machine already is touched.

use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For a start or a stop, which take some hundred milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Below those that the system gives to clients: a port must still be free when its server comes back.
const PORTS: std::ops::Range<u16> = 12_000..30_000;
/// `nobody`: Postgres does not run as root.
const NOBODY: u32 = 65_534;

/// A Redis that keeps nothing over a restart.
pub struct Redis(Server);

/// A Postgres with one empty database, and nothing that could be lost over a crash.
pub struct Postgres(Server);

/// A server's process, which comes and goes; its folder and port stay.
struct Server {
    folder: TempDir,
    port: u16,
    kind: Kind,
    child: Option<Child>,
}

/// How one kind of server is spoken to.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    command: fn(&Path, u16) -> Command,
    /// Sent to a new connection, and how the answer begins once the server serves.
    greeting: &'static [u8],
    answer: &'static [u8],
    stop: Signal,
    crash: Signal,
}

const REDIS: Kind =
    Kind { name: "redis-server", command: redis, greeting: b"PING\r\n", answer: b"+PONG", stop: Signal::TERM, crash: Signal::KILL };

/// The greeting is a startup message of protocol 3.0 for user and database `postgres`; `R` is the answer to one that is let in. A crash is an immediate
/// shutdown: were its postmaster killed, the other processes would keep its memory for a while.
const POSTGRES: Kind = Kind {
    name: "postgres",
    command: postgres,
    greeting: b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0",
    answer: b"R",
    stop: Signal::INT,
    crash: Signal::QUIT,
};

impl Redis {
    pub fn start() -> Self {
        Self(Server::start(REDIS, tempfile::tempdir().unwrap()))
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.0.port)
    }

    /// How many keys it holds.
    pub fn size(&self) -> u64 {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.0.port)).unwrap();
        connection.write_all(b"DBSIZE\r\nQUIT\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer.lines().next().and_then(|line| line.strip_prefix(':')?.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    pub fn kill(&mut self) {
        self.0.end(REDIS.crash);
    }

    /// Starts it again, on the same port, empty.
    pub fn restart(&mut self) {
        self.0.run();
    }
}

impl Postgres {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut initdb = unprivileged(folder.path(), &postgres_program("initdb"));
        initdb
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(data(folder.path()));
        let output = initdb.output().expect("initdb starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(Server::start(POSTGRES, folder))
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.0.port)
    }

    /// Ends it in good order, whoever is connected.
    pub fn stop(&mut self) {
        self.0.end(POSTGRES.stop);
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.0.end(POSTGRES.crash);
    }

    /// Starts it again, on the same port, with what it had.
    pub fn restart(&mut self) {
        self.0.run();
    }
}

impl Server {
    fn start(kind: Kind, folder: TempDir) -> Self {
        let mut server = Self { folder, port: free_port(), kind, child: None };
        server.run();
        server
    }

    /// Starts the process and waits until it serves.
    fn run(&mut self) {
        let mut command = (self.kind.command)(self.folder.path(), self.port);
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.kind.name));
        let end = Instant::now() + PATIENCE;
        while !self.serves() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{} does not serve:\n{}", self.kind.name, self.said());
            std::thread::sleep(POLL);
        }
        self.child = Some(child);
    }

    fn serves(&self) -> bool {
        let ask = || {
            let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            connection.set_read_timeout(Some(Duration::from_secs(1)))?;
            connection.write_all(self.kind.greeting)?;
            let mut answer = vec![0; self.kind.answer.len()];
            connection.read_exact(&mut answer)?;
            std::io::Result::Ok(answer == self.kind.answer)
        };
        ask().unwrap_or(false)
    }

    /// Does nothing when it has ended already.
    fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let _ = kill_process(Pid::from_child(&child), signal);
        let end = Instant::now() + PATIENCE;
        while child.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > end {
                let _ = child.kill();
            }
            std::thread::sleep(POLL);
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(self.kind.crash);
    }
}

fn redis(folder: &Path, port: u16) -> Command {
    let program = on_path("redis-server").unwrap_or_else(|| panic!("there is no redis-server: `apt-get install redis-server` installs it"));
    let mut command = Command::new(program);
    command.current_dir(folder).args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    command
}

fn postgres(folder: &Path, port: u16) -> Command {
    let mut command = unprivileged(folder, &postgres_program("postgres"));
    command.args(["-F", "-p", &port.to_string(), "-D"]).arg(data(folder));
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    command
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn unprivileged(folder: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Of the PATH, or of the newest version where Debian installs them.
fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let installed = versions.map(|version| version.path().join("bin").join(name)).filter(|program| program.is_file());
    on_path(name).or_else(|| installed.max()).unwrap_or_else(|| panic!("there is no {name}: `apt-get install postgresql` installs it"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    // Test processes that run at the same time begin at different places.
    let begin = (std::process::id() % u32::from(count)) as u16;
    let mut ports = (0..count).map(|_| PORTS.start + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % count);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("there is a free port")
}
