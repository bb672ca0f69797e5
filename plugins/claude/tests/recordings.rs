//! Recorded traffic: the project's own fixtures always, a folder of real recordings if `LLM_GATEWAY_RECORDINGS` names one.

#![allow(clippy::unwrap_used, clippy::panic)]

use adapter_claude::Claude;
use llm_gateway_adapter::harness::{frames, gather, run_stream};
use llm_gateway_adapter::recording::{Recording, check, check_count};
use llm_gateway_adapter::types::{ChatEvent, PartBody};
use llm_gateway_adapter::{Chat, Models};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Recordings whose expectation is not that of one answer, with the reason.
const NOT_ONE_ANSWER: [(&str, &str); 6] = [
    ("vercel-anthropic-programmatic-tool-calling.1", "put together of 15 answers by hand: it has tool calls, but ends in `end_turn`"),
    ("vercel-anthropic-programmatic-tool-calling.1-stream", SEVERAL),
    ("vercel-anthropic-tool-search-bm25.1-stream", SEVERAL),
    ("vercel-anthropic-tool-search-deferred-bm25-stream", SEVERAL),
    ("vercel-anthropic-tool-search-deferred-regex-stream", SEVERAL),
    ("vercel-anthropic-tool-search-regex.1-stream", SEVERAL),
];
const SEVERAL: &str = "several streams one after the other, read as one by the oracle; a stream ends with its first `message_stop`";

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn recordings(folder: &str) -> Vec<(String, Recording)> {
    let Ok(root) = std::env::var("LLM_GATEWAY_RECORDINGS") else { return Vec::new() };
    let read = |file: &PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        Recording::parse(&fs::read_to_string(file).unwrap()).ok().map(|recording| (name, recording))
    };
    files(&Path::new(&root).join(folder)).iter().filter_map(read).collect()
}

#[test]
fn every_fixture_is_read_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let files = files(&folder);
    assert!(files.len() >= 6);
    for file in files {
        let recording = Recording::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        let context = recording.json["context"].as_str().unwrap_or_default();
        assert_eq!(check::<Claude>(&recording, context), Ok(()), "{}", file.display());
    }
}

/// Blocks of kinds that the contract has no name for are kept: `opaque` lists them.
fn check_own_blocks(recording: &Recording) -> Result<(), String> {
    let body = std::str::from_utf8(&recording.response.body).unwrap();
    let outcome = if recording.endpoint == "chat-stream" {
        gather(&run_stream::<Claude>("", &frames(body), 1))
    } else {
        <Claude as Chat>::decode(recording.response.clone(), String::new())
    };
    let Ok(answer) = outcome else { return Ok(()) };
    let kinds: BTreeSet<String> = answer.choices[0]
        .parts
        .iter()
        .filter_map(|part| if let PartBody::Other(native) = &part.body { Some(&native.value) } else { None })
        .map(|block| serde_json::from_str::<serde_json::Value>(block).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    let expected: BTreeSet<String> =
        recording.expected["opaque"].as_array().into_iter().flatten().map(|kind| kind.as_str().unwrap().to_owned()).collect();
    if kinds == expected { Ok(()) } else { Err(format!("own blocks: expected {expected:?}, got {kinds:?}")) }
}

#[test]
fn every_recorded_chat_is_read_as_the_official_sdk_reads_it() {
    let mut wrong = Vec::new();
    for (name, recording) in recordings("anthropic") {
        let is_chat = recording.endpoint.starts_with("chat");
        if !is_chat || NOT_ONE_ANSWER.iter().any(|(excepted, _)| *excepted == name) {
            continue;
        }
        if let Err(difference) = check::<Claude>(&recording, "").and_then(|()| check_own_blocks(&recording)) {
            wrong.push(format!("{name}: {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn recorded_lists_of_models_name_every_model_once() {
    for (name, recording) in recordings("anthropic") {
        if recording.endpoint != "models" {
            continue;
        }
        let outcome = <Claude as Models>::decode(recording.response, String::new());
        match recording.expected["kind"].as_str() {
            Some("error") => assert!(outcome.is_err(), "{name}"),
            _ => {
                let ids: Vec<String> = outcome.unwrap().models.into_iter().map(|model| model.id).collect();
                assert_eq!(serde_json::json!(ids), recording.expected["model_ids"], "{name}");
            }
        }
    }
}

#[test]
fn recorded_counts_are_read() {
    for (name, recording) in recordings("anthropic").iter().filter(|(_, recording)| recording.endpoint == "count-tokens") {
        assert_eq!(check_count::<Claude>(recording), Ok(()), "{name}");
    }
}

#[test]
fn recordings_that_no_sdk_could_read_do_no_harm() {
    for (name, recording) in recordings("unparsed") {
        let Ok(body) = std::str::from_utf8(&recording.response.body) else { continue };
        let events = run_stream::<Claude>("", &frames(body), 1);
        assert!(matches!(events.last(), Some(ChatEvent::Ended | ChatEvent::Failed(_))), "{name}");
    }
}
