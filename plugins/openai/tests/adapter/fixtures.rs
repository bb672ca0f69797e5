//! The fixtures beside this crate: the same files that the gateway's own tests run through the built component.

use adapter_openai::OpenAi;
use llm_gateway_adapter::recording::{Recording, check};
use std::path::Path;

#[test]
fn every_fixture_decodes_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let recording = Recording::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let context = recording.json["context"].as_str().unwrap_or_default().to_owned();
        check::<OpenAi>(&recording, &context).unwrap_or_else(|difference| panic!("{}: {difference}", path.display()));
        checked += 1;
    }
    assert!(checked >= 6, "only {checked} fixtures");
}
