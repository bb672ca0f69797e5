//! Processes that are measured: started here, ended here, and what they use of the machine, as Linux's `/proc` tells it.

use anyhow::{Context, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde::Serialize;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// How long a process may take to end once it was told to.
const END_WAIT: Duration = Duration::from_secs(5);

/// Lets this process and those that it starts open as many connections as the machine allows: held streams need one each, at every one of them.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it can't be raised, what needs it will say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// This program in another role. Dropped, it is killed.
pub struct Helper {
    pub address: SocketAddr,
    pub pid: u32,
    child: Child,
    stdin: ChildStdin,
}

impl Helper {
    /// # Errors
    /// When it does not start and say where it listens.
    pub async fn start(role: &[&str]) -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        let mut child = Command::new(this).args(role).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let (Some(stdin), Some(stdout), Some(pid)) = (child.stdin.take(), child.stdout.take(), child.id()) else {
            bail!("{role:?} has no pipes");
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let address = line.trim().parse().with_context(|| format!("{role:?} did not say where it listens, but {line:?}"))?;
        Ok(Self { address, pid, child, stdin })
    }

    /// # Errors
    /// When it does not end.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        end(&mut child).await
    }
}

/// Asks a process to stop, and waits for it.
///
/// # Errors
/// When it has to be killed.
pub async fn terminate(child: &mut Child) -> anyhow::Result<()> {
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid {
        kill_process(pid, Signal::TERM)?;
    }
    end(child).await
}

async fn end(child: &mut Child) -> anyhow::Result<()> {
    if tokio::time::timeout(END_WAIT, child.wait()).await.is_err() {
        child.kill().await?;
        bail!("a process did not end within {} s and was killed", END_WAIT.as_secs());
    }
    Ok(())
}

/// Processor time that a process has used, over all its threads.
///
/// # Errors
/// When it is gone, or this is not Linux.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = read_proc(pid, "stat")?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("/proc/{pid}/stat is not understood: {stat}"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Fields 14 and 15. Counted from the last bracket: the program's name stands before it and may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident, what is shared with other processes included.
    pub rss_kib: u64,
    /// Resident, its share of what is shared: the two gateways map the same program.
    pub pss_kib: u64,
}

/// # Errors
/// When the process is gone, or this is not Linux.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let rollup = read_proc(pid, "smaps_rollup")?;
    let field = |name: &str| kib(&rollup, name).with_context(|| format!("/proc/{pid}/smaps_rollup has no {name}"));
    Ok(Memory { rss_kib: field("Rss:")?, pss_kib: field("Pss:")? })
}

fn kib(rollup: &str, name: &str) -> Option<u64> {
    rollup.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?.parse().ok()
}

fn read_proc(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("{path} can't be read (the benchmark needs Linux)"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cpu_time_is_read_past_a_name_with_brackets_and_spaces() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 95 0 0 0 120 30 0 0 20 0 4 0 100";
        assert_eq!(cpu_ticks(stat), Some(150));
    }

    #[test]
    fn memory_is_read_from_the_rollup() {
        let rollup = "55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:               5120 kB\nPss:               4096 kB\nPss_Dirty:            8 kB\n";
        assert_eq!((kib(rollup, "Rss:"), kib(rollup, "Pss:")), (Some(5120), Some(4096)));
        assert_eq!(kib(rollup, "Swap:"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.rss_kib > 100 && memory.pss_kib <= memory.rss_kib, "{memory:?}");
    }
}
