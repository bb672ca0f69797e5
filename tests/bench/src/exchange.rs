//! The one conversation that everything here is measured on: what is asked, what the upstream answers.
//!
//! Both are small, as chats are: the smaller the work of the provider, the more a gateway's own share shows. The answer has every field that OpenAI's
//! has, for an adapter reads them all.

use bytes::Bytes;
use serde_json::{Value, json};

/// The gateway reads the provider from it, the upstream does not look at it. Plain text to this model goes to `/chat/completions`.
pub const MODEL: &str = "openai/gpt-5.4-mini";
/// What the adapter is asked for, the provider's name off.
pub const UPSTREAM_MODEL: &str = "gpt-5.4-mini";
pub const PATH: &str = "/v1/chat/completions";
pub const SYSTEM: &str = "You answer briefly.";
pub const QUESTION: &str = "What is a reverse proxy, and when would one use it?";
/// Pieces of text in one stream; its role, finish, usage and `[DONE]` frames come on top and are not counted.
pub const CHUNKS: usize = 100;

/// In a prompt: the upstream begins a stream and never goes on.
pub const HOLD: &str = "(hold the stream open)";
/// The last bytes of every complete stream.
pub const STREAM_END: &[u8] = b"data: [DONE]\n\n";

const ANSWER: &str = "A reverse proxy stands in front of servers and takes requests for them. One uses it to spread load, to end TLS in one place, \
    to cache, and to keep the servers themselves out of sight.";
const CREATED: u64 = 1_795_478_400;

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Whole,
    Stream,
    /// A stream that begins and stays open.
    Held,
}

impl Ask {
    /// The request's body.
    pub fn body(self) -> Bytes {
        let mut body = json!({
            "model": MODEL,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
            "max_completion_tokens": 200,
        });
        if self != Self::Whole {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        if self == Self::Held {
            body["messages"][1]["content"] = json!(format!("{QUESTION} {HOLD}"));
        }
        Bytes::from(body.to_string())
    }

    /// What a request's body asks for; the other way round than [`Self::body`], for any client's.
    pub fn of_body(body: &str) -> Self {
        match (body.contains("\"stream\":true"), body.contains(HOLD)) {
            (false, _) => Self::Whole,
            (true, false) => Self::Stream,
            (true, true) => Self::Held,
        }
    }
}

/// The answer that comes whole.
pub fn whole_answer() -> String {
    json!({
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": CREATED,
        "model": UPSTREAM_MODEL,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": ANSWER, "refusal": null, "annotations": []},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(),
        "service_tier": "default",
        "system_fingerprint": null,
    })
    .to_string()
}

/// The data of each frame of a stream, in order.
pub fn stream_data() -> Vec<String> {
    let mut frames = vec![chunk(&json!([delta(&json!({"role": "assistant", "content": "", "refusal": null}), None)]), &Value::Null)];
    frames.extend((0..CHUNKS).map(|n| chunk(&json!([delta(&json!({"content": piece(n)}), None)]), &Value::Null)));
    frames.push(chunk(&json!([delta(&json!({}), Some("stop"))]), &Value::Null));
    frames.push(chunk(&json!([]), &usage()));
    frames.push("[DONE]".to_owned());
    frames
}

/// The text that a stream adds up to.
fn streamed_text() -> String {
    (0..CHUNKS).map(piece).collect()
}

fn piece(n: usize) -> String {
    format!(" piece {n:02}")
}

fn delta(delta: &Value, finish_reason: Option<&str>) -> Value {
    json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason})
}

fn chunk(choices: &Value, usage: &Value) -> String {
    json!({
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": UPSTREAM_MODEL,
        "service_tier": "default",
        "system_fingerprint": null,
        "choices": choices,
        "usage": usage,
    })
    .to_string()
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 28,
        "completion_tokens": 42,
        "total_tokens": 70,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    })
}

/// Holds an answer's body against what the upstream said, in all that a caller reads.
///
/// # Errors
/// What differs.
pub fn check(ask: Ask, body: &str) -> Result<(), String> {
    let (text, total_tokens) = match ask {
        Ask::Whole => {
            let answer: Value = serde_json::from_str(body).map_err(|error| format!("the answer is not JSON ({error}): {body}"))?;
            (text_of(&answer["choices"][0]["message"]), answer["usage"]["total_tokens"].as_u64())
        }
        Ask::Stream | Ask::Held => read_stream(body)?,
    };
    let expected = if ask == Ask::Whole { ANSWER.to_owned() } else { streamed_text() };
    if text != expected {
        return Err(format!("the answer says {text:?} instead of {expected:?}"));
    }
    match total_tokens {
        Some(70) => Ok(()),
        other => Err(format!("the answer's usage.total_tokens is {other:?} instead of 70")),
    }
}

fn read_stream(body: &str) -> Result<(String, Option<u64>), String> {
    let (mut text, mut total_tokens) = (String::new(), None);
    let events = body.strip_suffix("data: [DONE]\n\n").ok_or_else(|| format!("the stream does not end with [DONE]: {body}"))?;
    for data in events.split("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
        let chunk: Value = serde_json::from_str(data).map_err(|error| format!("a chunk is not JSON ({error}): {data}"))?;
        text.push_str(&text_of(&chunk["choices"][0]["delta"]));
        total_tokens = chunk["usage"]["total_tokens"].as_u64().or(total_tokens);
    }
    Ok((text, total_tokens))
}

fn text_of(message: &Value) -> String {
    message["content"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stream(frames: &[String]) -> String {
        frames.iter().map(|data| format!("data: {data}\n\n")).collect()
    }

    #[test]
    fn the_upstreams_own_answers_pass_the_check() {
        check(Ask::Whole, &whole_answer()).unwrap();
        check(Ask::Stream, &stream(&stream_data())).unwrap();
    }

    #[test]
    fn a_stream_that_lost_a_chunk_or_its_end_is_found_out() {
        let mut lost = stream_data();
        lost.remove(CHUNKS / 2);
        assert!(check(Ask::Stream, &stream(&lost)).unwrap_err().contains("instead of"));
        let cut = &stream_data()[..CHUNKS];
        assert!(check(Ask::Stream, &stream(cut)).unwrap_err().contains("[DONE]"));
    }

    #[test]
    fn an_answer_without_usage_is_found_out() {
        let answer = whole_answer().replace("total_tokens", "tokens");
        assert!(check(Ask::Whole, &answer).unwrap_err().contains("total_tokens"));
    }

    #[test]
    fn a_request_says_what_it_asks_for() {
        for ask in [Ask::Whole, Ask::Stream, Ask::Held] {
            assert_eq!(Ask::of_body(std::str::from_utf8(&ask.body()).unwrap()), ask);
        }
    }
}
