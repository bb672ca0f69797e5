//! Whatever Mistral answers, nothing panics and the contract's order is kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    adapter_fuzz::decode::<adapter_mistral::Mistral>(
        bytes,
        &["", r#"["a","weather"]"#],
        &[
            include_str!("../../../plugins/mistral/fixtures/text-stream.json"),
            include_str!("../../../plugins/mistral/fixtures/thinking-stream.json"),
            include_str!("../../../plugins/mistral/fixtures/parallel-tool-calls-stream.json"),
        ],
    );
});
