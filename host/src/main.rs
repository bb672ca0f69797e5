//! The command line: arguments, configuration, run until a signal.

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use llm_gateway::app::{self, Running};
use llm_gateway::config::Config;
use llm_gateway::simulate::{self, Pacing};
use llm_gateway::{plugin, server, telemetry};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// For work on blocking threads that is left at the end: a read that hangs may not keep the process.
const AFTER_STOP: Duration = Duration::from_secs(1);

/// One HTTP gateway in front of OpenAI, Gemini, Mistral and Claude, with hot-swappable WebAssembly adapters.
#[derive(Debug, Parser)]
#[command(name = "llm-gateway", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the gateway (the default). Settings come from environment variables, a .env file and gateway.toml; .env.example lists them.
    Serve(ServeArguments),
    /// Serve the provider simulator alone: all four wire formats, with faults on request.
    Simulate(SimulateArguments),
    /// Compiles a component from stdin to stdout, within limits. The gateway runs it for itself.
    #[command(name = plugin::CHILD_COMMAND, hide = true)]
    CompileComponent { memory_bytes: u64, time_s: u64 },
}

#[derive(Debug, Args, Default)]
struct ServeArguments {
    /// Let the embedded simulator answer for each provider that has no key.
    #[arg(long)]
    demo: bool,
}

#[derive(Debug, Args)]
struct SimulateArguments {
    #[arg(long, default_value_t = 8081)]
    port: u16,
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Milliseconds before the first piece of an answer.
    #[arg(long)]
    first_token_ms: Option<u64>,
    /// Milliseconds between the pieces of a stream.
    #[arg(long)]
    per_chunk_ms: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command.unwrap_or(Command::Serve(ServeArguments::default())) {
        Command::CompileComponent { memory_bytes, time_s } => {
            return ExitCode::from(u8::try_from(plugin::compile_child(memory_bytes, time_s)).unwrap_or(1));
        }
        Command::Serve(arguments) => serve(&arguments),
        Command::Simulate(arguments) => simulate(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain in one line: what could not be done, and why.
            eprintln!("llm-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &ServeArguments) -> anyhow::Result<()> {
    read_dotenv()?;
    let env = |name: &str| std::env::var(name).ok();
    let config = Config::load(&env, arguments.demo)?;
    let _guard = telemetry::start(&config.log)?;
    raise_file_limit();
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let running = app::start(config, env).await?;
        tracing::info!(address = %running.address, demo = arguments.demo, "llm-gateway listens on http://{}", running.address);
        until_told_to_stop(running).await
    });
    runtime.shutdown_timeout(AFTER_STOP);
    outcome
}

/// A `.env` in this folder or one above; a variable that is set already counts more.
fn read_dotenv() -> anyhow::Result<()> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(dotenvy::Error::LineParse(_, position)) => {
            anyhow::bail!(".env has a line that is not NAME=value (near character {position} of it)")
        }
        Err(error) => Err(error).context(".env can't be read"),
    }
}

/// Each connection is a file. The usual soft limit, 1024, is for programs that still use select(2).
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files can't be raised; it bounds the connections");
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the async runtime can't start")
}

/// A first signal stops gently, a second one cuts the wait.
async fn until_told_to_stop(running: Running) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new connections; what is under way may finish");
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        _ = terminate.recv() => tracing::warn!("stopped at once by a second signal"),
        _ = interrupt.recv() => tracing::warn!("stopped at once by a second signal"),
    }
    Ok(())
}

fn simulate(arguments: &SimulateArguments) -> anyhow::Result<()> {
    let default = Pacing::default();
    let pacing = Pacing {
        first_token: arguments.first_token_ms.map_or(default.first_token, Duration::from_millis),
        per_chunk: arguments.per_chunk_ms.map_or(default.per_chunk, Duration::from_millis),
    };
    let config = app::simulator_server(arguments.host, arguments.port);
    runtime()?.block_on(async {
        let listener = server::bind(&config).await?;
        println!("simulator on http://{}: /openai/v1 /gemini/v1beta /mistral/v1 /claude/v1", listener.local_addr()?);
        let stop = CancellationToken::new();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let served = server::serve(listener, simulate::router(simulate::Settings { pacing }), &config, stop.clone());
        let signals = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.cancel();
        };
        tokio::join!(served, signals);
        Ok(())
    })
}
