//! A ledger that can't be written: by default requests are answered on, loudly, and where it is required they are refused until there is room again.

use crate::support::{Gateway, Setup, Simulator, header, json, until};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json as object;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// How a disk is made full. The limit works for everybody, the file system only where a test may mount one.
enum Disk {
    /// The process may write into no file.
    Limit,
    /// A file system in memory has no room.
    Small(Tmpfs),
}

impl Disk {
    fn fill(&self, gateway: &Gateway) {
        match self {
            Self::Limit => may_write(gateway, Some(0)),
            Self::Small(disk) => {
                let mut filler = File::create(disk.filler()).unwrap();
                while filler.write_all(&[0; 512]).is_ok() {}
            }
        }
    }

    fn free(&self, gateway: &Gateway) {
        match self {
            Self::Limit => may_write(gateway, None),
            Self::Small(disk) => std::fs::remove_file(disk.filler()).unwrap(),
        }
    }
}

fn may_write(gateway: &Gateway, bytes: Option<u64>) {
    let pid = Pid::from_child(&gateway.process.child);
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

struct Tmpfs(TempDir);

impl Tmpfs {
    /// Absent: this user, or this container, may mount nothing.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("no file system can be mounted here, so that none is filled up");
        None
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// A gateway whose disk can be made full, in each way that is to be had here. The first of a pair is dropped first.
fn gateways(simulator: &Simulator, toml: &str) -> Vec<(Gateway, Disk)> {
    let limited = Setup::simulated(simulator).config(toml);
    let command = deaf_to_the_limit(&limited.command());
    let mut gateways = vec![(limited.start_as(command), Disk::Limit)];
    if let Some(disk) = Tmpfs::mount() {
        let setup = Setup::simulated(simulator).config(toml);
        let compiled = std::fs::canonicalize(setup.folder().join("data/compiled")).unwrap();
        std::os::unix::fs::symlink(compiled, disk.0.path().join("compiled")).unwrap();
        let gateway = setup.env("DATA_DIR", disk.0.path().to_str().unwrap()).start();
        gateways.push((gateway, Disk::Small(disk)));
    }
    gateways
}

/// Who writes more than it may is sent a signal, which ends a process that does not ignore it.
fn deaf_to_the_limit(gateway: &Command) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#]).arg(gateway.get_program()).args(gateway.get_args());
    command.env_clear().envs(gateway.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(gateway.get_current_dir().unwrap_or(Path::new("/")));
    command
}

/// Status, id, and what is said.
async fn ask(gateway: &Gateway) -> (u16, String, String) {
    let response = gateway.gateway_query(object!({"model": "openai", "query": "Hello"})).await;
    let (status, id) = (response.status().as_u16(), header(&response, "x-request-id").unwrap());
    (status, id, response.text().await.unwrap())
}

async fn lost(gateway: &Gateway) -> f64 {
    gateway.counted("llm_gateway_ledger_lost_total").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_loudly_and_keeps_nobody_waiting() {
    let simulator = Simulator::start();
    for (gateway, disk) in gateways(&simulator, "") {
        assert_eq!(ask(&gateway).await.0, 200);
        assert_eq!(gateway.rows("").await.len(), 1);
        disk.fill(&gateway);
        let mut asked = 1;
        until("nothing is lost", async || {
            asked += 1;
            assert_eq!(ask(&gateway).await.0, 200);
            lost(&gateway).await > 0.0
        })
        .await;
        gateway.process.wait_for("warning", |line| (line.contains("ERROR") && line.contains("LEDGER")).then_some(()));
        disk.free(&gateway);
        until("rows are not kept again", async || {
            asked += 1;
            let (status, id, _) = ask(&gateway).await;
            assert_eq!(status, 200);
            !gateway.rows(&format!("request_id={id}")).await.is_empty()
        })
        .await;
        let (rows, lost) = (gateway.rows("").await.len(), lost(&gateway).await as usize);
        assert_eq!(rows + lost, asked, "each is a row, or counted as lost");
        assert_eq!(gateway.usage("").await["requests"], rows);
        assert!(gateway.process.errors().is_empty(), "nothing panicked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_ledger_is_required_a_full_disk_refuses_until_there_is_room() {
    let simulator = Simulator::start();
    for (gateway, disk) in gateways(&simulator, "ledger = \"required\"\n") {
        assert_eq!(ask(&gateway).await.0, 200);
        disk.fill(&gateway);
        until("requests are answered on", async || ask(&gateway).await.0 == 503).await;
        until("who is refused is asked for", async || {
            let before = simulator.count("openai", "requests").await;
            let (status, _, said) = ask(&gateway).await;
            status == 503 && said.contains("ledger") && simulator.count("openai", "requests").await == before
        })
        .await;
        disk.free(&gateway);
        until("requests are refused on", async || ask(&gateway).await.0 == 200).await;
        let (_, id, _) = ask(&gateway).await;
        until("it is not in the database", async || !gateway.rows(&format!("request_id={id}&status=200")).await.is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_wait_for_the_database_have_a_bound_and_the_database_is_not_waited_for() {
    let simulator = Simulator::start();
    let nowhere = "postgres://nobody@127.0.0.1:1/none";
    let setup = Setup::simulated(&simulator).env("DATABASE_URL", nowhere).env("LEDGER_JOURNAL_BYTES", &(1 << 20).to_string());
    let gateway = setup.config("ledger = \"required\"\n").start();
    let refused = gateway.get("/admin/requests").send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(json(refused).await["error"].as_str().unwrap().contains("database"));
    let mut answered = 0;
    loop {
        let (status, _, said) = ask(&gateway).await;
        if status == 503 {
            assert!(said.contains("ledger"), "{said}");
            break;
        }
        assert!(status == 200 && answered < 10_000, "{status} after {answered}: {said}");
        answered += 1;
    }
    assert!(answered > 100, "{answered}");
    assert!(gateway.process.lines().iter().all(|line| !line.contains(nowhere)), "the URL is logged");
}
