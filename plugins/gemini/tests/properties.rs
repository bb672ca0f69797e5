//! Whatever is sent or comes: nothing panics, requests stay JSON, streams keep the contract's order.

use adapter_gemini::Gemini;
use llm_gateway_adapter::generate::{Asked, Source};
use llm_gateway_adapter::harness::check_encoded;
use llm_gateway_adapter::samples::Samples;
use llm_gateway_adapter::{Chat, Embeddings, Tokens};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

const DIALECT: &str = "gemini";
const MODELS: &[&str] = &["gemini-3.8-flash", "gemini-4-argon", "gemini-2.5-flash", "gemini-2.0-flash", "gemma-4-31b-it", "tunedModels/x"];
const EMBEDDING_MODELS: &[&str] = &["gemini-embedding-001", "gemini-embedding-2"];
const SAMPLES: Samples = Samples {
    contexts: &["", r#"{"custom_tools":["weather"]}"#],
    streams: &[
        include_str!("../fixtures/text-streamed.json"),
        include_str!("../fixtures/tool-calls-streamed.json"),
        include_str!("../fixtures/overloaded-in-the-stream.json"),
    ],
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_gives_sound_json_or_a_failure_of_its_own(bytes in vec(any::<u8>(), 0..600)) {
        let request = || Source::new(&bytes).request(Asked { models: MODELS, dialect: DIALECT });
        prop_assert_eq!(check_encoded(&<Gemini as Chat>::encode(request())), Ok(()));
        prop_assert_eq!(check_encoded(&<Gemini as Tokens>::encode(request())), Ok(()));
        <Gemini as Tokens>::estimate(request());
        let embedding = Source::new(&bytes).embedding_request(Asked { models: EMBEDDING_MODELS, dialect: DIALECT });
        prop_assert_eq!(check_encoded(&<Gemini as Embeddings>::encode(embedding)), Ok(()));
    }

    #[test]
    fn any_stream_keeps_the_contracts_order_in_however_many_pieces_it_comes(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(SAMPLES.spoil_streams::<Gemini>(&bytes), Ok(()));
    }

    #[test]
    fn any_answer_is_read_or_refused(status in 100_u16..600, body in vec(any::<u8>(), 0..300), words in ".*") {
        prop_assert_eq!(SAMPLES.read_anything::<Gemini>(status, &body), Ok(()));
        prop_assert_eq!(SAMPLES.read_anything::<Gemini>(status, words.as_bytes()), Ok(()));
    }

    #[test]
    fn any_whole_answer_of_about_the_right_shape_is_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(SAMPLES.spoil_answers::<Gemini>(&bytes), Ok(()));
    }
}
