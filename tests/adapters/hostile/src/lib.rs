//! An adapter that misbehaves on demand. What it does in `encode` and later is chosen by the model's name, what it does in `describe` by a switch in its data
//! that a test writes over in the built file (`SWITCH`), so that one build serves all cases.

#![allow(clippy::panic, reason = "to panic is one of its cases")]

use llm_gateway_adapter::body::json_headers;
use llm_gateway_adapter::types::*;
use llm_gateway_adapter::{Chat, GuestDecoder, Level, Manifest, log};
use std::cell::Cell;
use std::hint::black_box;

/// Sixteen bytes that a test finds and replaces: what `describe` does, or the id that it gives.
#[used]
static SWITCH: [u8; 24] = *b"SWITCH:hostile_________;";

fn switch() -> String {
    // Through a pointer that the compiler can't see through: what it was built with is not what stands there.
    String::from_utf8_lossy(&black_box(&SWITCH)[7..23]).trim_end_matches('_').to_owned()
}

/// The adapter.
#[derive(Debug)]
pub struct Hostile;

impl Manifest for Hostile {
    fn describe() -> ProviderInfo {
        let id = match switch().as_str() {
            "trap" => panic!("describe traps"),
            "loop" => endless(),
            other => other.to_owned(),
        };
        // In the place of a shipped adapter it breaks even if nobody names a model.
        let preferred = if id == "openai" { "decode-trap" } else { "fine" };
        ProviderInfo {
            id,
            name: "Hostile".into(),
            version: "1.0.0".into(),
            base_url: "http://127.0.0.1:9/v1".into(),
            credential: Some(Credential { variable: "HOSTILE_API_KEY".into(), header: "authorization".into(), prefix: "Bearer ".into() }),
            fixed_headers: Vec::new(),
            request_id_header: None,
            settings: Vec::new(),
            models: vec![model(preferred)],
            extras: Vec::new(),
        }
    }
}

fn model(id: &str) -> ModelInfo {
    ModelInfo {
        id: id.into(),
        name: None,
        aliases: Vec::new(),
        context_window: None,
        max_output: None,
        capabilities: None,
        price: None,
        suited_to: Vec::new(),
        retires: None,
        extras: Vec::new(),
    }
}

fn endless<T>() -> T {
    let mut count = 0u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

fn allocate<T>() -> T {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

fn huge() -> String {
    "x".repeat(100 << 20)
}

impl Chat for Hostile {
    type Decoder = Decoder;

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        let mut encoded = HttpRequest {
            method: HttpMethod::Post,
            path: "/chat/completions".into(),
            query: Vec::new(),
            headers: json_headers(),
            body: vec![Segment::Text(body(request.stream))],
            framing: if request.stream { Framing::Sse } else { Framing::Whole },
            dropped: Vec::new(),
            context: request.model.clone(),
            extras: Vec::new(),
        };
        match request.model.as_str() {
            "encode-loop" => endless(),
            "encode-allocate" => allocate(),
            "encode-trap" => panic!("encode traps"),
            "encode-huge" => encoded.body = vec![Segment::Text(huge())],
            "encode-deep-stack" => return Err(Failure::invalid(None, deep(&mut [0; 64]).to_string())),
            "other-host" => encoded.path = "//evil.example/v1".into(),
            "other-url" => encoded.path = "http://evil.example/v1".into(),
            "other-path" => encoded.path = "/../../admin".into(),
            "line-break" => encoded.headers.push(("x-a".into(), "b\r\nauthorization: Bearer stolen".into())),
            "own-key" => encoded.headers.push(("authorization".into(), "Bearer own".into())),
            "own-host" => encoded.headers.push(("host".into(), "evil.example".into())),
            "cookie" => encoded.headers.push(("cookie".into(), "a=b".into())),
            "no-such-blob" => encoded.body.push(Segment::BlobBase64(7)),
            "log-flood" => (0..1000).for_each(|_| log(Level::Warn, &"flood ".repeat(1000))),
            _ => {}
        }
        Ok(encoded)
    }

    fn decode(response: HttpResponse, context: String) -> Result<ChatResponse, Failure> {
        match context.as_str() {
            "decode-loop" => endless(),
            "decode-allocate" => allocate(),
            "decode-trap" => panic!("decode traps"),
            "decode-huge" => return Ok(answer(huge())),
            _ => {}
        }
        if response.status == 200 { Ok(answer("fine".into())) } else { Err(Failure::new(FailureKind::Provider, "not fine")) }
    }
}

/// Recurses until the stack is used up.
#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deep(frame: &mut [u8; 64]) -> u64 {
    frame[0] = frame[0].wrapping_add(1);
    let mut next = *black_box(frame);
    deep(&mut next) + u64::from(next[1])
}

/// What the simulator of OpenAI answers.
fn body(stream: bool) -> String {
    format!(r#"{{"model":"gpt-5.4-mini","messages":[{{"role":"user","content":"hello"}}],"stream":{stream}}}"#)
}

fn answer(text: String) -> ChatResponse {
    ChatResponse {
        id: None,
        model: None,
        choices: vec![Choice {
            index: 0,
            parts: vec![Part::new(PartBody::Text(text))],
            finish: Finish { reason: FinishReason::Stop, raw: None, stop_sequence: None, extras: Vec::new() },
            logprobs: None,
        }],
        usage: None,
        extras: Vec::new(),
    }
}

/// Its reader of streams.
pub struct Decoder {
    context: String,
    begun: Cell<bool>,
}

impl GuestDecoder for Decoder {
    fn new(context: String, _headers: Vec<Header>) -> Self {
        Self { context, begun: Cell::new(false) }
    }

    fn push(&self, _frames: Vec<Frame>) -> Vec<ChatEvent> {
        // Says something first, so that the caller is in mid-stream when it goes wrong.
        if !self.begun.replace(true) {
            return begin();
        }
        match self.context.as_str() {
            "stream-loop" => endless(),
            "stream-allocate" => allocate(),
            "stream-trap" => panic!("push traps"),
            "stream-huge" => vec![grew(huge())],
            "stream-million" => vec![grew("x".into()); 1_000_000],
            "stream-disorder" => {
                vec![ChatEvent::PartGrew(PartGrowth { choice: 9, part: 4_000_000_000, text: "x".into(), media: None, logprobs: None })]
            }
            "stream-silent-end" => Vec::new(),
            _ => vec![grew("fine".into()), ChatEvent::Ended],
        }
    }

    fn finish(&self) -> Vec<ChatEvent> {
        Vec::new()
    }
}

fn begin() -> Vec<ChatEvent> {
    vec![
        ChatEvent::Started(StreamStart { id: None, model: None, extras: Vec::new() }),
        ChatEvent::PartOpened(PartOpening { choice: 0, part: 0, kind: PartKind::Text }),
        grew("begun ".into()),
    ]
}

fn grew(text: String) -> ChatEvent {
    ChatEvent::PartGrew(PartGrowth { choice: 0, part: 0, text, media: None, logprobs: None })
}

llm_gateway_adapter::export!(Hostile);
