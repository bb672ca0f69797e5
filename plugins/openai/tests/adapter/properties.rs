//! Whatever is sent or comes: nothing panics, requests stay JSON, streams keep the contract's order.

use adapter_openai::OpenAi;
use llm_gateway_adapter::generate::{Asked, Source};
use llm_gateway_adapter::harness::check_encoded;
use llm_gateway_adapter::samples::Samples;
use llm_gateway_adapter::{Chat, Embeddings, Tokens};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

const DIALECTS: [&str; 2] = ["openai-chat", "openai-responses"];
const MODELS: &[&str] = &["gpt-5.6-sol", "gpt-6-astra", "gpt-5.1", "gpt-4o", "gpt-audio", "o3", "llama3.3:70b"];
const EMBEDDING_MODELS: &[&str] = &["text-embedding-3-small", "text-embedding-ada-002"];
const SAMPLES: Samples = Samples {
    contexts: &["", "responses", "audio/mpeg"],
    streams: &[
        include_str!("../../fixtures/chat-stream-text.json"),
        include_str!("../../fixtures/chat-stream-tool-calls.json"),
        include_str!("../../fixtures/responses-stream-reasoning.json"),
    ],
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_gives_sound_json_or_a_failure_of_its_own(bytes in vec(any::<u8>(), 0..600)) {
        for dialect in DIALECTS {
            let request = || Source::new(&bytes).request(Asked { models: MODELS, dialect });
            prop_assert_eq!(check_encoded(&<OpenAi as Chat>::encode(request())), Ok(()));
            prop_assert_eq!(check_encoded(&<OpenAi as Tokens>::encode(request())), Ok(()));
            <OpenAi as Tokens>::estimate(request());
            let embedding = Source::new(&bytes).embedding_request(Asked { models: EMBEDDING_MODELS, dialect });
            prop_assert_eq!(check_encoded(&<OpenAi as Embeddings>::encode(embedding)), Ok(()));
        }
    }

    #[test]
    fn any_stream_keeps_the_contracts_order_in_however_many_pieces_it_comes(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(SAMPLES.spoil_streams::<OpenAi>(&bytes), Ok(()));
    }

    #[test]
    fn any_answer_is_read_or_refused(status in 100_u16..600, body in vec(any::<u8>(), 0..300), words in ".*") {
        prop_assert_eq!(SAMPLES.read_anything::<OpenAi>(status, &body), Ok(()));
        prop_assert_eq!(SAMPLES.read_anything::<OpenAi>(status, words.as_bytes()), Ok(()));
    }

    #[test]
    fn any_whole_answer_of_about_the_right_shape_is_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(SAMPLES.spoil_answers::<OpenAi>(&bytes), Ok(()));
    }
}
