//! Whatever OpenAI answers, nothing panics and the contract's order is kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    adapter_fuzz::decode::<adapter_openai::OpenAi>(
        bytes,
        &["", "responses", "audio/mpeg"],
        &[
            include_str!("../../../plugins/openai/fixtures/chat-stream-text.json"),
            include_str!("../../../plugins/openai/fixtures/chat-stream-tool-calls.json"),
            include_str!("../../../plugins/openai/fixtures/responses-stream-reasoning.json"),
        ],
    );
});
