//! Recorded traffic of OpenAI's, where there is some: the folder that LLM_GATEWAY_RECORDINGS names.

use adapter_openai::OpenAi;
use llm_gateway_adapter::harness::{check_order, frames, gather, response, run_stream};
use llm_gateway_adapter::recording::{Recording, check, check_embeddings};
use llm_gateway_adapter::types::{ChatResponse, Part, PartBody, Replay};
use llm_gateway_adapter::{Chat, Models};
use std::path::PathBuf;

/// Recordings whose expected result is wrong, and why.
const WRONG: &[(&str, &str)] = &[
    ("vercel-openai-shell-tool.1-stream", "two streams one after the other; the second answers another request"),
    ("vercel-openai-reasoning-encrypted-content.1-stream", "four streams one after the other, each answering another request"),
    (
        "responses-stream-gpt-5.6-sol-genstream-maxtokens",
        "the provider began its summary anew in mid-stream: the deltas do not add up to the text of the last event, and can't be taken back",
    ),
];

fn recordings() -> Vec<(String, Recording)> {
    recordings_in("openai")
}

fn recordings_in(folder: &str) -> Vec<(String, Recording)> {
    let Some(root) = std::env::var_os("LLM_GATEWAY_RECORDINGS").map(PathBuf::from) else { return Vec::new() };
    let files = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()));
    texts.filter_map(|(name, text)| Some((name, Recording::parse(&text).ok()?))).collect()
}

fn context(recording: &Recording) -> &'static str {
    if recording.endpoint.starts_with("responses") { "responses" } else { "" }
}

fn is_wrong(name: &str) -> bool {
    WRONG.iter().any(|(wrong, _)| *wrong == name)
}

fn is_chat(recording: &Recording) -> bool {
    recording.endpoint.starts_with("chat") || recording.endpoint.starts_with("responses")
}

#[test]
fn every_recorded_answer_is_understood() {
    let mut differences = Vec::new();
    for (name, recording) in recordings().iter().filter(|(_, recording)| is_chat(recording)) {
        match check::<OpenAi>(recording, context(recording)) {
            Ok(()) => assert!(!is_wrong(name), "{name} passes and need not be listed as wrong"),
            Err(difference) if !is_wrong(name) => differences.push(format!("{name}: {difference}")),
            Err(_) => {}
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_recorded_stream_cut_before_its_end_fails() {
    for (name, recording) in recordings().iter().filter(|(_, recording)| recording.endpoint.ends_with("-stream")) {
        let Ok(body) = str::from_utf8(&recording.response.body) else { continue };
        let frames = frames(body);
        if recording.response.status != 200 || recording.expected["kind"] != "message" || is_wrong(name) {
            continue;
        }
        for kept in [0, 1, frames.len() / 2, frames.len() - 2] {
            let events = run_stream::<OpenAi>(context(recording), &frames[..kept], 1);
            check_order(&events).unwrap();
            assert!(gather(&events).is_err(), "{name} with {kept} of {} frames", frames.len());
        }
    }
}

/// What is encrypted is so anew in each event.
fn without_encrypted(mut part: Part) -> Part {
    part.replay = part.replay.map(|_| Replay { data: String::new(), model: None });
    if let PartBody::Other(native) = &mut part.body {
        let mut item: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&native.value).unwrap();
        item.remove("fingerprint");
        item.remove("encrypted_content");
        native.value = serde_json::to_string(&item).unwrap();
    }
    part
}

#[test]
fn a_stream_and_its_own_last_event_say_the_same() {
    for (name, recording) in recordings().iter().filter(|(name, recording)| recording.endpoint == "responses-stream" && !is_wrong(name)) {
        let Ok(body) = str::from_utf8(&recording.response.body) else { continue };
        let frames = frames(body);
        let last = frames.iter().rev().find_map(|frame| serde_json::from_str::<serde_json::Value>(&frame.data).ok());
        let Some(whole) = last.filter(|event| event["type"] == "response.completed").map(|event| event["response"].to_string()) else {
            continue;
        };
        let whole = <OpenAi as Chat>::decode(response(200, &[], &whole), "responses".into()).unwrap();
        let streamed = gather(&run_stream::<OpenAi>("responses", &frames, 1)).unwrap();
        let parts = |answer: &ChatResponse| -> Vec<Part> { answer.choices[0].parts.iter().cloned().map(without_encrypted).collect() };
        assert_eq!(parts(&streamed), parts(&whole), "{name}");
        assert_eq!((&streamed.usage, &streamed.extras), (&whole.usage, &whole.extras), "{name}");
    }
}

#[test]
fn recordings_that_nobody_can_read_keep_the_contracts_order() {
    for (name, recording) in recordings_in("unparsed").iter().filter(|(name, _)| name.starts_with("openai-")) {
        let frames = frames(&String::from_utf8_lossy(&recording.response.body));
        for context in ["", "responses"] {
            check_order(&run_stream::<OpenAi>(context, &frames, 1)).unwrap_or_else(|breach| panic!("{name}: {breach}"));
        }
    }
}

#[test]
fn recorded_lists_of_models_are_understood() {
    for (name, recording) in recordings().into_iter().filter(|(_, recording)| recording.endpoint == "models") {
        let outcome = <OpenAi as Models>::decode(recording.response, String::new());
        match recording.expected["kind"].as_str().unwrap() {
            "models" => {
                let page = outcome.unwrap();
                let ids: Vec<_> = page.models.iter().map(|model| model.id.as_str()).collect();
                assert_eq!(serde_json::json!(ids), recording.expected["model_ids"], "{name}");
            }
            _ => assert_eq!(outcome.unwrap_err().message, recording.expected["error"]["message"].as_str().unwrap(), "{name}"),
        }
    }
}

#[test]
fn recorded_embeddings_are_understood() {
    for (name, recording) in recordings().iter().filter(|(_, recording)| recording.endpoint == "embeddings") {
        check_embeddings::<OpenAi>(recording, "").unwrap_or_else(|difference| panic!("{name}: {difference}"));
    }
}
