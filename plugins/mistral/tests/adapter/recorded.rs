//! Traffic: this crate's own fixtures, and real recordings where `LLM_GATEWAY_RECORDINGS` names a folder of them.

use adapter_mistral::Mistral;
use llm_gateway_adapter::Models;
use llm_gateway_adapter::recording::{Recording, check, check_embeddings};
use std::path::{Path, PathBuf};

/// Recordings whose expected result is not the contract's, and why.
const NOT_AS_EXPECTED: [(&str, &str); 2] = [
    (
        "chat-ministral-3b-2512-gensync-tools-websearch",
        "expects the list of validation errors as Python writes JSON; the contract wants a message, and gets a sentence of each",
    ),
    ("chat-stream-mistral-large-2512-genstream-tools-websearch", "the same"),
];

fn recordings(folder: &Path) -> Vec<(String, Recording)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let recording = Recording::parse(&text).unwrap_or_else(|lack| panic!("{name}: {lack}"));
            (name, recording)
        })
        .collect()
}

fn real_recordings() -> Vec<(String, Recording)> {
    std::env::var_os("LLM_GATEWAY_RECORDINGS").map(|folder| recordings(&Path::new(&folder).join("mistral"))).unwrap_or_default()
}

#[test]
fn fixtures_decode_as_they_say() {
    let fixtures = recordings(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"));
    assert!(fixtures.len() >= 6);
    for (name, fixture) in fixtures {
        let context = fixture.json["context"].as_str().unwrap_or_default();
        check::<Mistral>(&fixture, context).unwrap_or_else(|difference| panic!("{name}: {difference}"));
    }
}

#[test]
fn recorded_chats_decode_as_the_oracle_says() {
    let mut wrong = Vec::new();
    for (name, recording) in real_recordings() {
        let excused = NOT_AS_EXPECTED.iter().any(|(excused, _)| *excused == name);
        if recording.endpoint.starts_with("chat") && check::<Mistral>(&recording, "").is_err() != excused {
            wrong.push((name, check::<Mistral>(&recording, "")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn recorded_model_lists_name_every_model() {
    for (name, recording) in real_recordings() {
        if recording.endpoint != "models" {
            continue;
        }
        let expected: Option<Vec<&str>> =
            recording.expected["model_ids"].as_array().map(|ids| ids.iter().filter_map(|id| id.as_str()).collect());
        let page = <Mistral as Models>::decode(recording.response.clone(), String::new());
        assert_eq!(page.is_ok(), expected.is_some(), "{name}");
        let models = page.map(|page| page.models).unwrap_or_default();
        let named = |id: &&str| models.iter().filter(|model| model.id == *id || model.aliases.iter().any(|alias| alias == id)).count();
        for id in expected.unwrap_or_default() {
            assert_eq!(named(&id), 1, "{name}: {id}");
        }
    }
}

#[test]
fn recorded_embeddings_decode_as_the_oracle_says() {
    for (name, recording) in real_recordings().iter().filter(|(_, recording)| recording.endpoint == "embeddings") {
        check_embeddings::<Mistral>(recording, "").unwrap_or_else(|difference| panic!("{name}: {difference}"));
    }
}
