//! Whatever Gemini answers, nothing panics and the contract's order is kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    adapter_fuzz::decode::<adapter_gemini::Gemini>(
        bytes,
        &["", r#"{"custom_tools":["weather"]}"#],
        &[
            include_str!("../../../plugins/gemini/fixtures/text-streamed.json"),
            include_str!("../../../plugins/gemini/fixtures/tool-calls-streamed.json"),
            include_str!("../../../plugins/gemini/fixtures/overloaded-in-the-stream.json"),
        ],
    );
});
