//! The adapters' own fixtures, decoded by the built components.

use crate::recorded::{Recording, check, json_files, load};
use crate::support::ADAPTERS;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_means_the_same_to_the_built_component() {
    let (active, _registry, stop) = load().await;
    for adapter in ADAPTERS {
        let files = json_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/{adapter}/fixtures")));
        assert!(files.len() >= 6, "{adapter} has fixtures");
        for file in files {
            let recording = Recording::read(&file).unwrap();
            let context = recording.json["context"].as_str().unwrap_or_default().to_owned();
            check(&active[adapter], &recording, &context).await.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
    stop.cancel();
}
