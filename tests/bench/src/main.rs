//! Measures what the gateway adds to a call, on this machine, against the least that any proxy would add. `make bench` runs it.
//!
//! One run asks the same small question of four: the upstream itself, a minimal reverse proxy, the gateway, and the gateway with its request log on.
//! It tells
//! - how many whole answers and streamed chunks each gives per second, and at what processor time;
//! - how long one waits at a modest rate, at the median and at the 99th percentile;
//! - what it costs that an adapter is a sandboxed component rather than native code;
//! - the gateway's memory: idle, with open streams, after the load.
//!
//! Callers, upstream, proxy and gateway share one machine, and so its cores. The absolute numbers are those of this machine; what carries over is how
//! the rows of one run compare. Processor time per request is the steadiest of them: it does not depend on how many cores the others leave. Where the
//! slowest and the fastest round of a row lie far apart, something else was busy: run it again.
//!
//! The run fails if any answer is wrong or missing, and never for being slow. `--quick` does everything once and briefly.
//!
//! - `run`: the order of things · `report`: what was found · `exchange`: what is asked and answered · `load`, `client`: asking
//! - `upstream`, `proxy` (on `serve`), `gateway`: who is asked, each a process of its own (`process`) · `component`, `push`: the sandbox alone

mod client;
mod component;
mod exchange;
mod gateway;
mod load;
mod process;
mod proxy;
mod push;
mod report;
mod run;
mod serve;
mod stats;
mod upstream;

use anyhow::Context;
use clap::{Parser, Subcommand};
use gateway::Installation;
use report::Report;
use run::Schedule;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures what the LLM gateway adds to a call.
#[derive(Debug, Parser)]
#[command(name = "llm-gateway-bench", version)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The gateway's binary, a release build if the numbers are to mean something.
    #[arg(long, default_value = "target/release/llm-gateway")]
    gateway: PathBuf,
    /// The folder of the adapters.
    #[arg(long, default_value = "plugins")]
    plugins: PathBuf,
    /// Where the numbers are written for machines.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Do everything once and briefly: a test that it works.
    #[arg(long)]
    quick: bool,
}

/// What this program is when it starts itself.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Upstream,
    #[command(hide = true)]
    Proxy { upstream: SocketAddr },
    /// What the plugin runtime asks of the binary that it is in.
    #[command(name = llm_gateway::plugin::CHILD_COMMAND, hide = true)]
    CompileComponent { memory_bytes: u64, time_s: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.role {
        Some(Role::CompileComponent { memory_bytes, time_s }) => {
            return ExitCode::from(u8::try_from(llm_gateway::plugin::compile_child(memory_bytes, time_s)).unwrap_or(1));
        }
        Some(Role::Upstream) => block_on(upstream::run()),
        Some(Role::Proxy { upstream }) => block_on(proxy::run(upstream)),
        None => bench(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llm-gateway-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    process::raise_open_files();
    let installation = Installation::new(&arguments.gateway, &arguments.plugins)?;
    let schedule = if arguments.quick { Schedule::quick() } else { Schedule::full() };
    let report = block_on(run::run(&installation, &schedule))?;
    write(&report, &arguments.json)?;
    std::io::stdout().write_all(report.to_string().as_bytes()).context("the table can't be printed")
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the async runtime can't start")?;
    runtime.block_on(work)
}

fn write(report: &Report, file: &Path) -> anyhow::Result<()> {
    let context = || format!("{} can't be written", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    std::fs::write(file, serde_json::to_vec_pretty(report)?).with_context(context)
}
