//! Recorded answers: the adapter's own few, and all of Gemini's in the folder that `LLM_GATEWAY_RECORDINGS` names, where it is set.
#![allow(clippy::unwrap_used, clippy::panic)]

use adapter_gemini::Gemini;
use llm_gateway_adapter::recording::{Recording, check, check_embeddings};
use llm_gateway_adapter::serde_json::{Value, json};
use llm_gateway_adapter::{Models, harness};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the recorded expectation is not the contract's: the recording's id, the field that is not compared, and why.
const NOT_COMPARED: &[(&str, &str, &str)] = &[
    ("chat-gemini-2.0-flash-lite-error-bad-apikey-gensync", "/error/code", BY_REASON),
    ("chat-stream-gemini-2.0-flash-lite-error-bad-apikey-genstream", "/error/code", BY_REASON),
];
const BY_REASON: &str = "it repeats the status; the contract wants the narrower `ErrorInfo.reason`";

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn read(file: &Path) -> Recording {
    Recording::parse(&fs::read_to_string(file).unwrap()).unwrap()
}

fn recorded() -> Option<Vec<Recording>> {
    let folder = PathBuf::from(std::env::var_os("LLM_GATEWAY_RECORDINGS")?);
    Some(files(&folder.join("gemini")).iter().map(|file| read(file)).collect())
}

#[test]
fn the_adapters_own_fixtures_decode_as_expected() {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"));
    assert!(!files.is_empty());
    for file in files {
        let recording = read(&file);
        let context = recording.json["context"].as_str().unwrap_or_default();
        check::<Gemini>(&recording, context).unwrap_or_else(|difference| panic!("{}: {difference}", file.display()));
    }
}

#[test]
fn every_recorded_chat_decodes_as_expected() {
    let Some(recordings) = recorded() else { return };
    let mut checked = 0;
    let mut differences = Vec::new();
    for mut recording in recordings.into_iter().filter(|recording| recording.endpoint.starts_with("chat")) {
        let id = recording.json["id"].as_str().unwrap_or_default().to_owned();
        for (_, field, _) in NOT_COMPARED.iter().filter(|(excepted, ..)| *excepted == id) {
            *recording.expected.pointer_mut(field).unwrap() = Value::Null;
        }
        differences.extend(check::<Gemini>(&recording, "").err().map(|difference| format!("{id}: {difference}")));
        checked += 1;
    }
    assert!(differences.is_empty(), "{} of {checked} differ:\n{}", differences.len(), differences.join("\n"));
    assert!(checked > 0);
}

#[test]
fn every_recorded_embedding_decodes_as_expected() {
    for recording in recorded().unwrap_or_default().iter().filter(|recording| recording.endpoint == "embeddings") {
        check_embeddings::<Gemini>(recording, "").unwrap_or_else(|difference| panic!("{}: {difference}", recording.json["id"]));
    }
}

#[test]
fn every_recorded_list_of_models_is_read() {
    let Some(recordings) = recorded() else { return };
    for recording in recordings.into_iter().filter(|recording| recording.endpoint == "models") {
        match <Gemini as Models>::decode(recording.response.clone(), String::new()) {
            Ok(page) => {
                let ids: Vec<Value> = page.models.iter().map(|model| json!(format!("models/{}", model.id))).collect();
                assert_eq!(json!(ids), recording.expected["model_ids"]);
            }
            Err(failure) => assert_eq!(json!(failure.message), recording.expected["error"]["message"]),
        }
    }
}

#[test]
fn recordings_without_a_verdict_make_no_decoder_panic() {
    let Some(folder) = std::env::var_os("LLM_GATEWAY_RECORDINGS") else { return };
    for file in files(&PathBuf::from(folder).join("unparsed")) {
        let recording = read(&file);
        let body = String::from_utf8_lossy(&recording.response.body).into_owned();
        harness::check_order(&harness::run_stream::<Gemini>("", &harness::frames(&body), 1)).unwrap();
        let _ = <Gemini as llm_gateway_adapter::Chat>::decode(recording.response, String::new());
    }
}
