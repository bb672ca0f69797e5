//! Every recorded answer to a chat, decoded by the built component: whole, and cut at random places.

use crate::recorded::{Recording, check, decode_stream, decode_whole, load};
use crate::{PROVIDERS, Provider, chats, recordings, wrong};
use futures_util::future::join_all;
use llm_gateway::plugin::Version;
use std::sync::Arc;

/// What the OpenAI adapter tells its decoder of the endpoint that it chose.
fn context(recording: &Recording) -> &'static str {
    if recording.endpoint().starts_with("responses") { "responses" } else { "" }
}

async fn check_all(provider: Provider, version: Arc<Version>) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, recording) in chats(provider).unwrap_or_default() {
        let context = context(&recording);
        let result = match wrong::listed(&[wrong::WRONG], provider, &name) {
            None => check(&version, &recording, context).await,
            Some(listed) => match listed.still_differs(check(&version, &recording, context).await) {
                Ok(()) => check(&version, &listed.excused(&recording), context).await,
                met => met,
            },
        };
        differences.extend(result.err().map(|difference| format!("{}/{name}: {difference}", provider.folder)));
    }
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_answer_is_decoded_as_expected_however_it_is_cut() {
    if crate::RECORDINGS.is_none() {
        return;
    }
    let (active, _registry, stop) = load().await;
    let tasks = PROVIDERS.map(|provider| tokio::spawn(check_all(provider, Arc::clone(&active[provider.adapter]))));
    let all: Vec<String> = join_all(tasks).await.into_iter().flat_map(|differences| differences.unwrap()).collect();
    stop.cancel();
    assert!(all.is_empty(), "{} differ:\n{}", all.len(), all.join("\n"));
}

/// Of these it is not known what they mean.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_no_sdk_could_read_break_no_component() {
    let Some(unparsed) = recordings("unparsed") else { return };
    let (active, _registry, stop) = load().await;
    for (name, recording) in unparsed {
        let provider =
            PROVIDERS.into_iter().find(|provider| name.starts_with(provider.folder)).unwrap_or_else(|| panic!("whose is {name}?"));
        let version = &active[provider.adapter];
        // Either an answer or a failure, and no fault, which is a panic.
        let _ = decode_whole(version, &recording, context(&recording)).await;
        let _ = decode_stream(version, &recording, context(&recording), &[]).await;
    }
    stop.cancel();
}
