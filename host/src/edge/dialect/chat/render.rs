//! The canonical answer as its Chat caller sees it: whole, or its events as chunks.
//!
//! Order and keys are what OpenAI's SDKs insist on: the role once and first, tool calls counted from 0 without gaps, `id`, `type` and `name` only
//! on a call's first piece, `index` on every entry of a list, a finish reason for every choice, usage only if asked for, `[DONE]` only after a
//! complete answer.

use crate::contract::{
    ChatEvent, ChatResponse, FinishReason, Media, MediaSource, PartCitation, PartClosing, PartGrowth, PartKind, PartOpening, Usage,
};
use crate::edge::dialect::chat::body::{ChunkChoice, Delta, DetailBody, LogprobsBody, UsageBody};
use crate::edge::dialect::chat::choice::ChoiceState;
use crate::edge::dialect::chat::extras;
use crate::edge::dialect::chat::whole::{KeptTurn, completion, finish_word, kept};
use crate::edge::dialect::{Head, Render, sse};
use serde::Serialize;
use serde_json::{Map, Value};

/// `n` is at most this.
const MAX_CHOICES: u32 = 128;
/// What stands at the head of every chunk.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Of an answer's media: an image is held until it is whole.
const MAX_MEDIA_BYTES: usize = 64 << 20;

/// What the caller said of the form of the answer.
#[derive(Debug, Clone, Copy)]
pub struct ChatForm {
    /// Whether the stream ends with a chunk of usage.
    pub include_usage: bool,
    pub calls: CallForm,
}

/// How tool calls are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallForm {
    ToolCalls,
    /// The form before it, for callers who sent `functions`: one call, without an id. It has no room for further ones.
    FunctionCall,
}

impl CallForm {
    /// Whether a call can be shown, `number` being counted from 0 within its message.
    pub fn has_room_for(self, number: usize) -> bool {
        self == Self::ToolCalls || number == 0
    }
}

/// Renders one answer, whole or its events as chunks.
#[derive(Debug)]
pub struct ChatRenderer {
    head: Head,
    form: ChatForm,
    extras: Map<String, Value>,
    /// A chunk up to its choices.
    opening: Vec<u8>,
    choices: Vec<ChoiceState>,
    usage: Option<Usage>,
    turns: Vec<KeptTurn>,
    media_bytes: usize,
}

impl Render for ChatRenderer {
    fn whole(&mut self, answer: &ChatResponse) -> Vec<u8> {
        let (body, turns) = completion(&self.head, self.form.calls, answer);
        self.turns = turns;
        body
    }

    fn event(&mut self, event: &ChatEvent, out: &mut Vec<u8>) {
        match event {
            ChatEvent::Started(start) => self.start(extras::of_answer(&start.extras)),
            ChatEvent::PartOpened(opening) => self.open(opening, out),
            ChatEvent::PartGrew(growth) => self.grow(growth, out),
            ChatEvent::PartCited(cited) => self.cite(cited, out),
            ChatEvent::PartClosed(closing) => self.close(closing, out),
            ChatEvent::Finished(finished) => {
                self.finish(finished.choice, finished.finish.reason, extras::of_choice(&finished.finish.extras), out);
            }
            ChatEvent::Usage(usage) => self.usage = Some(usage.clone()),
            ChatEvent::Ended => self.end(out),
            ChatEvent::Failed(_) => {}
        }
    }

    /// No `[DONE]` follows.
    fn failure(&mut self, body: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("data: {body}\n\n").as_bytes());
    }

    fn ping(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": ping\n\n");
    }

    fn turns(&mut self) -> Vec<KeptTurn> {
        std::mem::take(&mut self.turns)
    }
}

impl ChatRenderer {
    pub fn new(head: Head, form: ChatForm) -> Self {
        let opening = chunk_opening(&head, &Map::new());
        Self { head, form, extras: Map::new(), opening, choices: Vec::new(), usage: None, turns: Vec::new(), media_bytes: 0 }
    }

    /// Fields that are said again replace those before, in all chunks from now on.
    fn start(&mut self, fields: Map<String, Value>) {
        if fields.is_empty() {
            return;
        }
        let mut extras = self.extras.clone();
        extras.extend(fields);
        let opening = chunk_opening(&self.head, &extras);
        if opening.len() <= MAX_HEAD_BYTES {
            (self.extras, self.opening) = (extras, opening);
        }
    }

    fn open(&mut self, opening: &PartOpening, out: &mut Vec<u8>) {
        if let PartKind::Image(image) = &opening.kind {
            self.media_bytes = self.media_bytes.saturating_add(media_size(image));
        }
        let (calls, is_full) = (self.form.calls, self.media_bytes > MAX_MEDIA_BYTES);
        let Some(choice) = self.choice(opening.choice, out) else { return };
        let delta = choice.open(opening, calls);
        if is_full {
            choice.let_image_go(opening.part);
        }
        self.say(opening.choice, delta, None, out);
    }

    fn grow(&mut self, growth: &PartGrowth, out: &mut Vec<u8>) {
        self.media_bytes = self.media_bytes.saturating_add(growth.media.as_ref().map_or(0, String::len));
        let is_full = self.media_bytes > MAX_MEDIA_BYTES;
        let Some(choice) = self.known(growth.choice) else { return };
        if is_full {
            choice.let_image_go(growth.part);
        }
        let delta = choice.grow(growth);
        self.say(growth.choice, delta, LogprobsBody::of(growth.logprobs.as_deref()), out);
    }

    fn cite(&mut self, cited: &PartCitation, out: &mut Vec<u8>) {
        let delta = self.known(cited.choice).and_then(|choice| choice.cite(cited));
        self.say(cited.choice, delta, None, out);
    }

    fn close(&mut self, closing: &PartClosing, out: &mut Vec<u8>) {
        let delta = self.known(closing.choice).and_then(|choice| choice.close(closing));
        self.say(closing.choice, delta, None, out);
    }

    fn finish(&mut self, index: u32, reason: FinishReason, extras: Map<String, Value>, out: &mut Vec<u8>) {
        let Some(turn) = self.choice(index, out).and_then(ChoiceState::finish) else { return };
        if let Some(text) = turn.to_text() {
            self.say(index, Some(Delta { reasoning_details: Some([DetailBody::of(&text)]), ..Delta::default() }), None, out);
            self.turns.extend(kept(&turn, text));
        }
        let finish_reason = Some(finish_word(reason, self.form.calls));
        self.write(out, &[ChunkChoice { index, delta: Delta::default(), logprobs: None, finish_reason, extras }], None);
    }

    fn known(&mut self, index: u32) -> Option<&mut ChoiceState> {
        self.choices.iter_mut().find(|choice| choice.index() == index)
    }

    /// The choice's state; its role is told when it is new.
    fn choice(&mut self, index: u32, out: &mut Vec<u8>) -> Option<&mut ChoiceState> {
        if self.known(index).is_none() {
            if index >= MAX_CHOICES {
                return None;
            }
            self.choices.push(ChoiceState::new(index));
            self.say(index, Some(Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }), None, out);
        }
        self.known(index)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let open: Vec<u32> = self.choices.iter().filter(|choice| !choice.is_finished()).map(ChoiceState::index).collect();
        for index in open {
            self.finish(index, FinishReason::Other, Map::new(), out);
        }
        if let Some(usage) = self.usage.as_ref().filter(|_| self.form.include_usage) {
            self.write(out, &[], Some(UsageBody::of(usage)));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn say(&self, index: u32, delta: Option<Delta<'_>>, logprobs: Option<LogprobsBody<'_>>, out: &mut Vec<u8>) {
        if let Some(delta) = delta {
            self.write(out, &[ChunkChoice { index, delta, logprobs, finish_reason: None, extras: Map::new() }], None);
        }
    }

    fn write(&self, out: &mut Vec<u8>, choices: &[ChunkChoice<'_>], usage: Option<UsageBody>) {
        out.extend_from_slice(&self.opening);
        sse::append(out, &choices);
        if self.form.include_usage {
            out.extend_from_slice(b",\"usage\":");
            sse::append(out, &usage);
        }
        out.extend_from_slice(b"}\n\n");
    }
}

/// A chunk is written for every few characters, and all up to its choices is the same in each: `data: {"id":…,"choices":`.
fn chunk_opening(head: &Head, extras: &Map<String, Value>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Opening<'a> {
        id: &'a str,
        object: &'static str,
        created: i64,
        model: &'a str,
        #[serde(flatten)]
        extras: &'a Map<String, Value>,
    }
    let mut opening = b"data: ".to_vec();
    sse::append(
        &mut opening,
        &Opening { id: &head.id, object: "chat.completion.chunk", created: head.created, model: &head.model, extras },
    );
    opening.pop();
    opening.extend_from_slice(b",\"choices\":");
    opening
}

fn media_size(media: &Media) -> usize {
    match &media.source {
        MediaSource::Base64(text) | MediaSource::Url(text) => text.len(),
        MediaSource::Blob(_) | MediaSource::File(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{Choice, Citation, Finish, Native, Part, PartBody, Replay, ToolCall};
    use crate::domain::{events_of, part};
    use serde_json::json;

    fn head() -> Head {
        Head { id: "chatcmpl-1".into(), created: 7, model: "m".into() }
    }

    fn answer(parts: Vec<PartBody>, reason: FinishReason) -> ChatResponse {
        ChatResponse {
            id: None,
            model: None,
            choices: vec![Choice {
                index: 0,
                parts: parts.into_iter().map(part).collect(),
                finish: Finish { reason, raw: None, stop_sequence: None, extras: Vec::new() },
                logprobs: None,
            }],
            usage: Some(Usage {
                input: Some(9),
                cache_read: Some(2),
                cache_write: None,
                output: Some(3),
                reasoning: None,
                details: Vec::new(),
            }),
            extras: Vec::new(),
        }
    }

    fn call(id: &str, arguments: &str) -> PartBody {
        PartBody::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), free_form: false })
    }

    fn chunks(answer: ChatResponse, include_usage: bool) -> Vec<Value> {
        chunks_of(answer, ChatForm { include_usage, calls: CallForm::ToolCalls })
    }

    fn chunks_of(answer: ChatResponse, form: ChatForm) -> Vec<Value> {
        let mut renderer = ChatRenderer::new(head(), form);
        let mut out = Vec::new();
        events_of(answer).iter().for_each(|event| renderer.event(event, &mut out));
        let text = String::from_utf8(out).unwrap();
        let datas = text.split("\n\n").filter(|data| !data.is_empty()).map(|data| data.strip_prefix("data: ").unwrap());
        let datas = datas.inspect(|data| assert!(!data.contains(['\n', '\r']), "{data}"));
        datas.map(|data| if data == "[DONE]" { json!("[DONE]") } else { serde_json::from_str(data).unwrap() }).collect()
    }

    fn whole(answer: &ChatResponse) -> Value {
        let mut renderer = ChatRenderer::new(head(), ChatForm { include_usage: false, calls: CallForm::ToolCalls });
        serde_json::from_slice(&renderer.whole(answer)).unwrap()
    }

    #[test]
    fn a_whole_answer_has_every_key() {
        assert_eq!(
            whole(&answer(vec![PartBody::Thinking("hm".into()), call("c1", "")], FinishReason::ToolCalls)),
            json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "refusal": null, "reasoning_content": "hm",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, "logprobs": null, "finish_reason": "tool_calls"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 2},
                    "completion_tokens_details": {"reasoning_tokens": 0}}})
        );
    }

    #[test]
    fn a_stream_tells_the_role_once_and_ends_with_done() {
        let chunks = chunks(answer(vec![PartBody::Text("hello".into())], FinishReason::Stop), false);
        let deltas: Vec<&Value> = chunks.iter().filter(|chunk| chunk.is_object()).map(|chunk| &chunk["choices"][0]["delta"]).collect();
        assert_eq!(deltas, [&json!({"role": "assistant", "content": ""}), &json!({"content": "hello"}), &json!({})]);
        assert_eq!(chunks[2]["choices"][0]["finish_reason"], "stop");
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
        assert_eq!(chunks.last().unwrap(), "[DONE]");
    }

    #[test]
    fn logprobs_that_came_on_many_lines_stay_on_one() {
        let mut answer = answer(vec![PartBody::Text("hello".into())], FinishReason::Stop);
        answer.choices[0].logprobs = Some("[\n  {\"token\": \"hello\"}\r\n]".into());
        let chunks = chunks(answer, false);
        let contents = chunks.iter().map(|chunk| &chunk["choices"][0]["logprobs"]["content"]);
        let told: Vec<&Value> = contents.filter(|told| !told.is_null()).collect();
        assert_eq!(told, [&json!([{"token": "hello"}])]);
    }

    #[test]
    fn usage_comes_last_and_only_if_asked_for() {
        let chunks = chunks(answer(vec![PartBody::Text("hello".into())], FinishReason::Stop), true);
        let usage = &chunks[chunks.len() - 2];
        assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(12)));
        assert!(
            chunks[..chunks.len() - 2].iter().all(|chunk| chunk["usage"].is_null() && chunk.as_object().unwrap().contains_key("usage"))
        );
    }

    #[test]
    fn tool_calls_are_counted_and_name_themselves_once() {
        let chunks = chunks(answer(vec![call("a", "{\"x\":1}"), call("b", "")], FinishReason::ToolCalls), false);
        let pieces: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0)).collect();
        assert_eq!(
            pieces,
            [
                &json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
                &json!({"index": 0, "function": {"arguments": "{\"x\":1}"}}),
                &json!({"index": 1, "id": "b", "type": "function", "function": {"name": "f", "arguments": ""}}),
                &json!({"index": 1, "function": {"arguments": "{}"}}),
            ]
        );
    }

    fn deltas<'a>(chunks: &'a [Value], field: &str) -> Vec<&'a Value> {
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"].get(field)).collect()
    }

    /// An answer of everything that this dialect has a place for.
    fn rich() -> ChatResponse {
        let own = |value: Value| Native { dialect: "openai-chat".into(), value: value.to_string() };
        let media = |transcript: Option<&str>| Media {
            source: MediaSource::Base64("AAAA".into()),
            media_type: Some("image/webp".into()),
            name: None,
            detail: None,
            transcript: transcript.map(str::to_owned),
        };
        let citation = |dialect: &str, value: Value| Citation {
            url: Some("https://a".into()),
            title: Some("A".into()),
            quote: None,
            span: Some((0, 2)),
            native: Native { dialect: dialect.into(), value: value.to_string() },
        };
        let mut answer = answer(vec![], FinishReason::Stop);
        answer.extras =
            vec![own(json!({"system_fingerprint": "fp", "id": "no"})), Native { dialect: "gemini".into(), value: "{\"x\":1}".into() }];
        answer.choices[0].finish.extras = vec![own(json!({"content_filter_results": {}}))];
        answer.choices[0].parts = vec![
            Part { replay: Some(Replay { data: "gw1;a".into(), model: None }), ..part(PartBody::Thinking(String::new())) },
            part(PartBody::Text("né ".into())),
            Part {
                citations: vec![citation("gemini", json!({})), citation("openai-chat", json!({"type": "url_citation", "own": 1}))],
                ..part(PartBody::Text("cat".into()))
            },
            part(PartBody::Image(media(None))),
            Part { extras: vec![own(json!({"audio": {"id": "au", "expires_at": 5}}))], ..part(PartBody::Audio(media(Some("hi")))) },
        ];
        answer
    }

    const SKELETON: &str = r#"[{"thinking":"","replay":"gw1;a"},{"text":3},{"text":3},{"image":null},{"audio":"hi"}]"#;

    #[test]
    fn everything_that_has_a_place_is_shown_there() {
        let body = whole(&rich());
        assert_eq!((&body["system_fingerprint"], &body["id"], body.get("x")), (&json!("fp"), &json!("chatcmpl-1"), None));
        assert_eq!(body["choices"][0]["content_filter_results"], json!({}));
        assert_eq!(
            body["choices"][0]["message"],
            json!({"role": "assistant", "content": "né cat", "refusal": null,
                "reasoning_details": [{"type": "reasoning.encrypted", "format": "llm-gateway-v1", "index": 0, "data": SKELETON}],
                "annotations": [
                    {"type": "url_citation", "url_citation": {"start_index": 3, "end_index": 5, "title": "A", "url": "https://a"}},
                    {"type": "url_citation", "own": 1}],
                "images": [{"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}, "index": 0}],
                "audio": {"id": "au", "data": "AAAA", "expires_at": 5, "transcript": "hi"}})
        );
    }

    #[test]
    fn a_stream_shows_the_same_in_pieces() {
        let chunks = chunks(rich(), false);
        assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["system_fingerprint"] == "fp"));
        assert_eq!(
            deltas(&chunks, "annotations"),
            [
                &json!([{"type": "url_citation", "url_citation": {"start_index": 3, "end_index": 5, "title": "A", "url": "https://a"}, "index": 0}]),
                &json!([{"type": "url_citation", "own": 1, "index": 1}]),
            ]
        );
        assert_eq!(
            deltas(&chunks, "images"),
            [&json!([{"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}, "index": 0}])]
        );
        assert_eq!(deltas(&chunks, "audio"), [&json!({"data": "AAAA", "transcript": "hi"}), &json!({"id": "au", "expires_at": 5})]);
        let finish = &chunks[chunks.len() - 2]["choices"][0];
        assert_eq!((&finish["finish_reason"], &finish["content_filter_results"]), (&json!("stop"), &json!({})));
        assert_eq!(chunks[chunks.len() - 3]["choices"][0]["delta"]["reasoning_details"][0]["data"], SKELETON);
    }

    #[test]
    fn the_old_form_shows_one_call_without_an_id() {
        let form = ChatForm { include_usage: false, calls: CallForm::FunctionCall };
        let answer = answer(vec![call("a", ""), call("b", "{}")], FinishReason::ToolCalls);
        let body: Value = serde_json::from_slice(&ChatRenderer::new(head(), form).whole(&answer)).unwrap();
        let choice = &body["choices"][0];
        assert_eq!(choice["message"]["function_call"], json!({"name": "f", "arguments": "{}"}));
        assert_eq!((&choice["finish_reason"], choice["message"].get("tool_calls")), (&json!("function_call"), None));
        let chunks = chunks_of(answer, form);
        assert_eq!(deltas(&chunks, "function_call"), [&json!({"name": "f", "arguments": ""}), &json!({"arguments": "{}"})]);
        assert_eq!(deltas(&chunks, "tool_calls"), [&json!(null); 0]);
        assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "function_call");
    }

    #[test]
    fn turns_are_told_by_their_calls_whole_and_streamed() {
        let mut answer = answer(vec![call("a", "{}"), call("b", "{}")], FinishReason::ToolCalls);
        let mut renderer = ChatRenderer::new(head(), ChatForm { include_usage: false, calls: CallForm::ToolCalls });
        renderer.whole(&answer);
        assert_eq!(renderer.turns(), []);
        answer.choices[0].parts[0].replay = Some(Replay { data: "gw1;a".into(), model: None });
        let expected = [(vec!["a".to_owned(), "b".to_owned()], r#"[{"call":"a","replay":"gw1;a"},{"call":"b"}]"#.to_owned())];
        renderer.whole(&answer);
        assert_eq!(renderer.turns(), expected);
        events_of(answer).iter().for_each(|event| renderer.event(event, &mut Vec::new()));
        assert_eq!((renderer.turns(), renderer.turns()), (expected.to_vec(), Vec::new()));
    }

    #[test]
    fn usage_tells_details_and_whether_it_was_estimated() {
        let mut answer = answer(vec![], FinishReason::Stop);
        if let Some(usage) = &mut answer.usage {
            usage.cache_write = Some(4);
            usage.details = vec![("input-audio".into(), 1), ("output-audio".into(), 2), ("estimated".into(), 1)];
        }
        assert_eq!(
            whole(&answer)["usage"],
            json!({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "estimated": true,
                "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 4, "audio_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 2}})
        );
    }
}
