//! Recorded traffic of the four providers, from the folder that LLM_GATEWAY_RECORDINGS names: decoded by the built components, and sent through the gateway to a
//! client that speaks OpenAI's dialect. The folder's README says how a recording is written. Without the variable nothing is tested.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod client;
mod embeddings;
mod expected;
mod openai_form;
mod playback;
#[path = "../support/recorded.rs"]
mod recorded;
mod replay;
#[path = "../gateway/support.rs"]
#[allow(dead_code, reason = "shared with the other tests, which use all of it")]
mod support;
mod through;
mod wrong;

use recorded::{Recording, json_files};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;

const VARIABLE: &str = "LLM_GATEWAY_RECORDINGS";

/// One that was recorded.
#[derive(Debug, Clone, Copy)]
struct Provider {
    /// Its folder among the recordings.
    folder: &'static str,
    /// The adapter that speaks to it.
    adapter: &'static str,
}

const PROVIDERS: [Provider; 4] = [
    Provider { folder: "openai", adapter: "openai" },
    Provider { folder: "gemini", adapter: "gemini" },
    Provider { folder: "mistral", adapter: "mistral" },
    Provider { folder: "anthropic", adapter: "claude" },
];

/// The folder of recordings, if it is at hand. That it is not is said once, past the test harness, which shows nothing of a test that passes.
static RECORDINGS: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    if folder.is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: recorded traffic, since {VARIABLE} names no folder of it");
    }
    folder
});

/// The recordings of a folder with their names. None if there are no recordings at all.
fn recordings(folder: &str) -> Option<Vec<(String, Recording)>> {
    let files = json_files(&RECORDINGS.as_ref()?.join(folder));
    assert!(!files.is_empty(), "{VARIABLE} has no recordings of {folder}");
    let read = |file: &PathBuf| {
        let recording = Recording::read(file).unwrap_or_else(|| panic!("{} has no answer", file.display()));
        (file.file_stem().unwrap().to_str().unwrap().to_owned(), recording)
    };
    Some(files.iter().map(read).collect())
}

/// The recordings of a provider's chats.
fn chats(provider: Provider) -> Option<Vec<(String, Recording)>> {
    let mut chats = recordings(provider.folder)?;
    chats.retain(|(_, recording)| ["chat", "responses"].iter().any(|endpoint| recording.endpoint().starts_with(endpoint)));
    assert!(!chats.is_empty(), "{VARIABLE} has no chats of {}", provider.folder);
    Some(chats)
}
