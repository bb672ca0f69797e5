//! Whatever is sent or comes: nothing panics, requests stay JSON, streams keep the contract's order.
#![allow(clippy::unwrap_used)]

use adapter_claude::Claude;
use llm_gateway_adapter::generate::{Asked, Source};
use llm_gateway_adapter::harness::{check_encoded, check_stream, frames};
use llm_gateway_adapter::recording::Recording;
use llm_gateway_adapter::types::{Frame, HttpResponse};
use llm_gateway_adapter::{Chat, Tokens};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

const DIALECT: &str = "anthropic-messages";
const MODELS: &[&str] = &[
    "claude-sonnet-5-5",
    "claude-fable-5-1",
    "claude-opus-5",
    "claude-opus-4-8",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-3-5-haiku-20241022",
    "other",
];
/// What the decoders may be given.
const CONTEXTS: &[&str] = &["", r#"["a","weather"]"#];

/// Streams that are right, to be spoiled.
const STREAMS: &[&str] = &[
    include_str!("../fixtures/text-stream.json"),
    include_str!("../fixtures/thinking-stream.json"),
    include_str!("../fixtures/tool-calls-stream.json"),
    include_str!("../fixtures/custom-tool-stream.json"),
];

fn stream(fixture: &str) -> Vec<Frame> {
    let recording = Recording::parse(fixture).unwrap();
    frames(str::from_utf8(&recording.response.body).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_gives_sound_json_or_a_failure_of_its_own(bytes in vec(any::<u8>(), 0..600)) {
        let request = || Source::new(&bytes).request(Asked { models: MODELS, dialect: DIALECT });
        prop_assert_eq!(check_encoded(&<Claude as Chat>::encode(request())), Ok(()));
        prop_assert_eq!(check_encoded(&<Claude as Tokens>::encode(request())), Ok(()));
        <Claude as Tokens>::estimate(request());
    }

    #[test]
    fn any_stream_keeps_the_contracts_order_in_however_many_pieces_it_comes(bytes in vec(any::<u8>(), 0..300)) {
        for right in STREAMS {
            let frames = Source::new(&bytes).stream_like(&stream(right));
            for context in CONTEXTS {
                prop_assert_eq!(check_stream::<Claude>(context, &frames).map(|_| ()), Ok(()));
            }
        }
    }

    #[test]
    fn any_answer_is_read_or_refused(status in 100_u16..600, body in vec(any::<u8>(), 0..300), words in ".*") {
        for body in [body, words.into_bytes()] {
            let text = String::from_utf8_lossy(&body).into_owned();
            for context in CONTEXTS {
                let response = HttpResponse { status, headers: vec![], body: body.clone() };
                let _ = <Claude as Chat>::decode(response, (*context).to_owned());
                prop_assert_eq!(check_stream::<Claude>(context, &[Frame { event: None, data: text.clone() }]).map(|_| ()), Ok(()));
            }
        }
    }

    #[test]
    fn any_whole_answer_of_about_the_right_shape_is_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        for right in STREAMS {
            for frame in Source::new(&bytes).stream_like(&stream(right)) {
                for context in CONTEXTS {
                    let response = HttpResponse { status: 200, headers: vec![], body: frame.data.clone().into_bytes() };
                    let _ = <Claude as Chat>::decode(response, (*context).to_owned());
                }
            }
        }
    }
}
