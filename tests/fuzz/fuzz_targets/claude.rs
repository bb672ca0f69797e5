//! Whatever Claude answers, nothing panics and the contract's order is kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    adapter_fuzz::decode::<adapter_claude::Claude>(
        bytes,
        &["", r#"["a","weather"]"#],
        &[
            include_str!("../../../plugins/claude/fixtures/text-stream.json"),
            include_str!("../../../plugins/claude/fixtures/thinking-stream.json"),
            include_str!("../../../plugins/claude/fixtures/tool-calls-stream.json"),
        ],
    );
});
