//! What every target that fuzzes a decoder does.

use llm_gateway_adapter::Chat;
use llm_gateway_adapter::generate::Source;
use llm_gateway_adapter::harness::{check_stream, frames};
use llm_gateway_adapter::recording::Recording;
use llm_gateway_adapter::types::{Frame, HttpResponse};
use std::sync::OnceLock;

/// The streams that are right, of the one target that runs.
static RIGHT: OnceLock<Vec<Vec<Frame>>> = OnceLock::new();

/// The bytes as a whole answer, as a stream, and as what spoils a stream that is right (`fixtures`).
///
/// # Panics
/// When a decoder breaks the contract.
pub fn decode<A: Chat>(bytes: &[u8], contexts: &[&str], fixtures: &[&str]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let context = contexts[usize::from(*first) % contexts.len()];
    for status in [200, 429] {
        let _ = A::decode(HttpResponse { status, headers: Vec::new(), body: rest.to_vec() }, context.to_owned());
    }
    check_stream::<A>(context, &frames(&String::from_utf8_lossy(rest))).unwrap();
    let right = RIGHT.get_or_init(|| fixtures.iter().map(|fixture| stream(fixture)).collect());
    let spoiled = Source::new(rest).stream_like(&right[usize::from(first / 8) % right.len()]);
    check_stream::<A>(context, &spoiled).unwrap();
    for frame in spoiled {
        let _ = A::decode(HttpResponse { status: 200, headers: Vec::new(), body: frame.data.into_bytes() }, context.to_owned());
    }
}

fn stream(fixture: &str) -> Vec<Frame> {
    let fixture = Recording::parse(fixture).unwrap();
    frames(str::from_utf8(&fixture.response.body).unwrap())
}
