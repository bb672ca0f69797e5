//! Answers as bytes, for a place that several gateways share.
//!
//! Owns: the form, and that what is not of it, or is another request's, is no answer. JSON, but for the numbers of embeddings: there are many, and each is to come back as it was.

use super::{Fingerprint, Kept};
use serde::{Deserialize, Serialize};

/// Another number where a field changes its meaning: what it does not know, a gateway does not read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<K> {
    format: u32,
    fingerprint: String,
    kept: K,
}

/// Absent: it can't be written.
pub(super) fn written(fingerprint: Fingerprint, kept: &Kept) -> Option<Vec<u8>> {
    serde_json::to_vec(&Envelope { format: FORMAT, fingerprint: fingerprint.to_string(), kept }).ok()
}

/// Absent: it is none, or not this request's.
pub(super) fn read(fingerprint: Fingerprint, bytes: &[u8]) -> Option<Kept> {
    let envelope: Envelope<Kept> = serde_json::from_slice(bytes).ok()?;
    (envelope.format == FORMAT && envelope.fingerprint == fingerprint.to_string()).then_some(envelope.kept)
}

/// In milliseconds.
pub(super) mod timestamp {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(it: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(it.as_millisecond())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::from_millisecond(i64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Vectors as base64 of their numbers' bytes.
pub(super) mod embeddings {
    use crate::contract::embeddings::EmbeddingResponse;
    use crate::contract::{Native, Usage};
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::borrow::Cow;

    #[derive(Serialize, Deserialize)]
    struct Packed<'a> {
        model: Cow<'a, Option<String>>,
        vectors: Vec<String>,
        usage: Cow<'a, Option<Usage>>,
        extras: Cow<'a, [Native]>,
    }

    pub(crate) fn serialize<S: Serializer>(it: &EmbeddingResponse, serializer: S) -> Result<S::Ok, S::Error> {
        let EmbeddingResponse { model, vectors, usage, extras } = it;
        let packed = |vector: &Vec<f32>| BASE64_STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>());
        let vectors = vectors.iter().map(packed).collect();
        let packed = Packed { model: Cow::Borrowed(model), vectors, usage: Cow::Borrowed(usage), extras: Cow::Borrowed(extras) };
        packed.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EmbeddingResponse, D::Error> {
        let Packed { model, vectors, usage, extras } = Packed::deserialize(deserializer)?;
        let vectors: Option<_> = vectors.iter().map(|vector| unpacked(vector)).collect();
        let vectors = vectors.ok_or_else(|| D::Error::custom("a vector is not base64 of whole numbers of 32 bits"))?;
        Ok(EmbeddingResponse { model: model.into_owned(), vectors, usage: usage.into_owned(), extras: extras.into_owned() })
    }

    fn unpacked(vector: &str) -> Option<Vec<f32>> {
        let bytes = BASE64_STANDARD.decode(vector).ok()?;
        let (numbers, rest) = bytes.as_chunks();
        rest.is_empty().then(|| numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::KeptAnswer;
    use super::super::tests::{answer, fingerprint, kept};
    use super::*;
    use crate::contract::embeddings::EmbeddingResponse;
    use crate::contract::{
        ChatResponse, Choice, Citation, Finish, FinishReason, Media, MediaSource, Native, Part, PartBody, Replay, ToolCall, ToolResult,
        ToolResultPart, Usage,
    };
    use crate::domain::{Gathered, events_of, part};

    fn native() -> Native {
        Native { dialect: "d".into(), value: "{\"a\":[1.50,\"ü\\u0000\"]}".into() }
    }

    fn media(source: MediaSource) -> Media {
        Media {
            source,
            media_type: Some("audio/wav".into()),
            name: Some("a".into()),
            detail: Some("low".into()),
            transcript: Some("hi".into()),
        }
    }

    /// One of every kind that an answer may have, with all that may be on it.
    fn full_parts() -> Vec<Part> {
        let call = ToolCall { id: "c1".into(), name: "weather".into(), arguments: "{\"q\": 1}".into(), free_form: true };
        let base64 = || MediaSource::Base64("AAAA".into());
        let bodies = [
            PartBody::Text("héllo \"\n\u{0}".into()),
            PartBody::Refusal("no".into()),
            PartBody::Thinking("hm".into()),
            PartBody::ToolCall(call),
            PartBody::Image(media(base64())),
            PartBody::Audio(media(base64())),
            PartBody::Video(media(base64())),
            PartBody::Other(native()),
        ];
        let mut parts: Vec<Part> = bodies.into_iter().map(part).collect();
        parts[0].citations.push(Citation {
            url: Some("u".into()),
            title: Some("t".into()),
            quote: Some("q".into()),
            span: Some((1, 2)),
            native: native(),
        });
        parts[2].replay = Some(Replay { data: "gw1;x".into(), model: Some("m".into()) });
        parts[2].extras.push(native());
        parts
    }

    fn full() -> ChatResponse {
        let finish = |reason| Finish { reason, raw: Some("end_turn".into()), stop_sequence: Some("\n".into()), extras: vec![native()] };
        let usage = Usage {
            input: Some(u32::MAX),
            cache_read: Some(0),
            cache_write: None,
            output: Some(4),
            reasoning: Some(1),
            details: vec![("web-searches".into(), 2)],
        };
        let first =
            Choice { index: 0, parts: full_parts(), finish: finish(FinishReason::ToolCalls), logprobs: Some("[{\"token\":\"a\"}]".into()) };
        let second = Choice { index: 1, parts: Vec::new(), finish: finish(FinishReason::Stop), logprobs: None };
        let (id, model) = (Some("a1".into()), Some("m-2026".into()));
        ChatResponse { id, model, choices: vec![first, second], usage: Some(usage), extras: vec![native()] }
    }

    fn with(answer: KeptAnswer) -> Kept {
        Kept { answer, ..(*kept("a")).clone() }
    }

    fn round_trip(kept: &Kept) -> Kept {
        read(fingerprint("a"), &written(fingerprint("a"), kept).unwrap()).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let kept = with(KeptAnswer::Chat(full()));
        assert_eq!(round_trip(&kept), kept);
        // No answer has these; a part has.
        let result = ToolResult { call_id: "c".into(), name: "f".into(), content: vec![ToolResultPart::Other(native())], is_error: true };
        for body in [PartBody::ToolResult(result), PartBody::Document(media(MediaSource::Url("u".into())))] {
            let mut answer = answer("a");
            answer.choices[0].parts.push(part(body));
            let kept = with(KeptAnswer::Chat(answer));
            assert_eq!(round_trip(&kept), kept);
        }
    }

    #[test]
    fn the_numbers_of_embeddings_come_back_as_they_were() {
        let vectors = vec![vec![0.1, -0.0, f32::MIN_POSITIVE, f32::MAX, 1.0 / 3.0], Vec::new()];
        let embeddings = EmbeddingResponse { model: Some("m".into()), vectors, usage: None, extras: vec![native()] };
        let kept = with(KeptAnswer::Embeddings(embeddings));
        assert_eq!(round_trip(&kept), kept);
    }

    #[test]
    fn an_answer_told_again_as_a_stream_is_the_same() {
        let KeptAnswer::Chat(answer) = round_trip(&with(KeptAnswer::Chat(full()))).answer else { panic!("no chat") };
        let mut gathered = Gathered::default();
        for event in events_of(answer) {
            assert_eq!(gathered.add(event), Ok(None));
        }
        assert_eq!(gathered.complete().unwrap(), full());
    }

    #[test]
    fn what_is_of_another_form_or_request_is_no_answer() {
        let bytes = written(fingerprint("a"), &kept("a")).unwrap();
        assert_eq!(read(fingerprint("b"), &bytes), None);
        let text = String::from_utf8(bytes).unwrap();
        for wrong in
            [text.replace("\"format\":1", "\"format\":2"), text.replace("\"provider\"", "\"p\""), text[1..].to_owned(), String::new()]
        {
            assert_eq!(read(fingerprint("a"), wrong.as_bytes()), None, "{wrong}");
        }
    }
}
