//! From a component's bytes to code that can run, through a cache on disk.
//!
//! wasmtime makes no promise about how long a compile takes or how much memory it needs, so an unknown component is compiled in a child
//! process of this same binary, with a limit on both. Code is loaded only from the cache folder, which only this user can write, and only
//! if it is whole: its checksum stands before it.

use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The hidden subcommand that [`child`] answers to.
pub const CHILD_COMMAND: &str = "compile-component";

const CHECKSUM_BYTES: usize = 32;
/// Compiled components kept on disk; the oldest go first.
const KEPT: usize = 64;
/// What the child may write: far above a Python component's 60 MB.
const MAX_CODE_BYTES: u64 = 512 << 20;
const MAX_ERROR_BYTES: u64 = 4096;

/// Limits on compiling one component.
#[derive(Debug, Clone, Copy)]
pub struct CompileLimits {
    pub time: Duration,
    pub memory_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("{0}")]
    Invalid(String),
    #[error("compiling it took longer than {} s and was stopped", .0.as_secs())]
    OutOfTime(Duration),
    #[error("the compiler died ({status}), most likely over its memory limit of {limit_mib} MiB")]
    Died { status: std::process::ExitStatus, limit_mib: u64 },
    #[error("the compiler can't be run: {0}")]
    Io(#[from] std::io::Error),
}

/// Compiles components and remembers what came of it.
#[derive(Debug)]
pub(super) struct Compiler {
    folder: PathBuf,
    limits: CompileLimits,
    /// A compile uses every processor, and requests need them too; a second one, so that a slow component does not hold up the next.
    turn: Semaphore,
}

impl Compiler {
    /// # Errors
    /// When the cache folder can't be made.
    pub(super) fn new(folder: PathBuf, limits: CompileLimits) -> std::io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
        Ok(Self { folder, limits, turn: Semaphore::new(2) })
    }

    /// The component, from the cache or from the child.
    pub(super) async fn component(&self, engine: &Engine, wasm: &[u8], sha256: &str) -> Result<Component, CompileError> {
        let file = self.folder.join(format!("{sha256}-{:016x}.cwasm", engine_hash(engine)));
        if let Some(code) = read_checked(&file)
            && let Ok(component) = load(engine, &code)
        {
            return Ok(component);
        }
        let turn = self.turn.acquire().await;
        let code = compile_in_child(wasm, self.limits).await?;
        drop(turn);
        // A cache that can't be written costs the next start a compile, nothing more.
        if let Err(error) = self.store(&file, &code) {
            tracing::warn!(file = %file.display(), %error, "the compiled plugin could not be cached");
        }
        load(engine, &code).map_err(|error| CompileError::Invalid(format!("the compiled code does not load: {error}")))
    }

    fn store(&self, file: &Path, code: &[u8]) -> std::io::Result<()> {
        let mut whole = tempfile::NamedTempFile::new_in(&self.folder)?;
        whole.write_all(&Sha256::digest(code))?;
        whole.write_all(code)?;
        whole.persist(file)?;
        self.prune()
    }

    fn prune(&self) -> std::io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(&self.folder)?
            .filter_map(Result::ok)
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "cwasm"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort_by(|a, b| b.cmp(a));
        for (_, file) in files.into_iter().skip(KEPT) {
            std::fs::remove_file(file)?;
        }
        Ok(())
    }
}

/// Stands for everything that code depends on beside its source: wasmtime's version, its settings, the processor's features.
fn engine_hash(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn read_checked(file: &Path) -> Option<Vec<u8>> {
    let whole = std::fs::read(file).ok()?;
    let (checksum, code) = whole.split_at_checked(CHECKSUM_BYTES)?;
    (Sha256::digest(code).as_slice() == checksum).then(|| code.to_vec())
}

#[expect(unsafe_code, reason = "wasmtime can't check compiled code; this is ours, from the child or from our private folder, and whole")]
fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` came from `compile_in_child`, or from the private cache folder with a matching checksum, written by `store`.
    unsafe { Component::deserialize(engine, code) }
}

async fn compile_in_child(wasm: &[u8], limits: CompileLimits) -> Result<Vec<u8>, CompileError> {
    let mut child = Command::new(this_binary()?)
        .arg(CHILD_COMMAND)
        .arg(limits.memory_bytes.to_string())
        .arg(limits.time.as_secs().to_string())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
        return Err(CompileError::Invalid("the compiler has no pipes".into()));
    };
    let work = async {
        let (mut code, mut error) = (Vec::new(), Vec::new());
        let send = async {
            // A child that stopped reading has something to say on its stderr.
            let _ = stdin.write_all(wasm).await;
            drop(stdin);
        };
        let (mut stdout, mut stderr) = (stdout.take(MAX_CODE_BYTES), stderr.take(MAX_ERROR_BYTES));
        let ((), code_read, error_read) = tokio::join!(send, stdout.read_to_end(&mut code), stderr.read_to_end(&mut error));
        code_read?;
        error_read?;
        Ok::<_, std::io::Error>((child.wait().await?, code, error))
    };
    match tokio::time::timeout(limits.time, work).await {
        Err(_elapsed) => Err(CompileError::OutOfTime(limits.time)),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok((status, code, _))) if status.success() => Ok(code),
        Ok(Ok((status, _, error))) => Err(match (status.code(), String::from_utf8_lossy(&error).trim()) {
            (Some(REFUSED), reason) if !reason.is_empty() => CompileError::Invalid(reason.to_owned()),
            _ => CompileError::Died { status, limit_mib: limits.memory_bytes >> 20 },
        }),
    }
}

/// The running binary, even if the file that it was started from has been replaced.
fn this_binary() -> std::io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

/// The child's exit code for a component that does not compile, as against dying of its limits.
const REFUSED: i32 = 3;

/// The child: limits itself, reads a component from stdin, writes its code to stdout. Gives the exit code.
pub fn child(memory_bytes: u64, time_s: u64) -> i32 {
    match limit_this_process(memory_bytes, time_s).and_then(|()| compile_stdin()) {
        Ok(()) => 0,
        Err(reason) => {
            eprintln!("{reason}");
            REFUSED
        }
    }
}

fn limit_this_process(memory_bytes: u64, time_s: u64) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    // Requests come first.
    let _ = nice(5);
    // Processor time is counted over all the compiler's threads, the wall clock by the parent.
    for (resource, limit) in [(Resource::As, memory_bytes), (Resource::Cpu, time_s.saturating_mul(4)), (Resource::Core, 0)] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .map_err(|error| format!("no limit can be set: {error}"))?;
    }
    Ok(())
}

fn compile_stdin() -> Result<(), String> {
    let mut wasm = Vec::new();
    std::io::stdin().read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    let code = super::engine::compiler()
        .and_then(|engine| engine.precompile_component(&wasm))
        .map_err(|error| format!("it does not compile: {}", error.root_cause()))?;
    std::io::stdout().write_all(&code).map_err(|error| error.to_string())
}
