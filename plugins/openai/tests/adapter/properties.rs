//! Whatever is sent or comes: nothing panics, requests stay JSON, streams keep the contract's order.

use adapter_openai::OpenAi;
use llm_gateway_adapter::generate::{Asked, Source};
use llm_gateway_adapter::harness::{check_encoded, check_stream, frames};
use llm_gateway_adapter::recording::Recording;
use llm_gateway_adapter::types::{Frame, HttpResponse};
use llm_gateway_adapter::{Chat, Embeddings, Tokens};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

const DIALECTS: [&str; 2] = ["openai-chat", "openai-responses"];
const MODELS: &[&str] = &["gpt-5.6-sol", "gpt-6-astra", "gpt-5.1", "gpt-4o", "gpt-audio", "o3", "llama3.3:70b"];
const EMBEDDING_MODELS: &[&str] = &["text-embedding-3-small", "text-embedding-ada-002"];
/// What the decoders may be given.
const CONTEXTS: &[&str] = &["", "responses", "audio/mpeg"];

/// Streams that are right, to be spoiled.
const STREAMS: &[&str] = &[
    include_str!("../../fixtures/chat-stream-text.json"),
    include_str!("../../fixtures/chat-stream-tool-calls.json"),
    include_str!("../../fixtures/responses-stream-reasoning.json"),
];

fn stream(fixture: &str) -> Vec<Frame> {
    let recording = Recording::parse(fixture).unwrap();
    frames(str::from_utf8(&recording.response.body).unwrap())
}

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
        for right in STREAMS {
            let frames = Source::new(&bytes).stream_like(&stream(right));
            for context in CONTEXTS {
                prop_assert_eq!(check_stream::<OpenAi>(context, &frames).map(|_| ()), Ok(()));
            }
        }
    }

    #[test]
    fn any_answer_is_read_or_refused(status in 100_u16..600, body in vec(any::<u8>(), 0..300), words in ".*") {
        for body in [body, words.into_bytes()] {
            let text = String::from_utf8_lossy(&body).into_owned();
            for context in CONTEXTS {
                let response = HttpResponse { status, headers: vec![], body: body.clone() };
                let _ = <OpenAi as Chat>::decode(response, (*context).to_owned());
                prop_assert_eq!(check_stream::<OpenAi>(context, &[Frame { event: None, data: text.clone() }]).map(|_| ()), Ok(()));
            }
        }
    }

    #[test]
    fn any_whole_answer_of_about_the_right_shape_is_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        for right in STREAMS {
            for frame in Source::new(&bytes).stream_like(&stream(right)) {
                for context in CONTEXTS {
                    let response = HttpResponse { status: 200, headers: vec![], body: frame.data.clone().into_bytes() };
                    let _ = <OpenAi as Chat>::decode(response, (*context).to_owned());
                }
            }
        }
    }
}
