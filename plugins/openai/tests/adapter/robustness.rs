//! Whatever a provider sends, the adapter answers: no bytes make it panic, and no stream breaks the contract's order.

use adapter_openai::OpenAi;
use llm_gateway_adapter::Chat;
use llm_gateway_adapter::harness::{check_order, frames, run_stream};
use llm_gateway_adapter::types::{Frame, HttpResponse};
use serde_json::{Value, json};

/// A small generator of numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

const CHAT: &str = include_str!("../../fixtures/chat-stream-tool-calls.json");
const RESPONSES: &str = include_str!("../../fixtures/responses-stream-reasoning.json");

fn body(fixture: &str) -> String {
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    fixture["response"]["body"].as_str().unwrap().to_owned()
}

fn decode_and_read(bytes: &[u8]) {
    for context in ["", "responses", "audio/mpeg", "nonsense"] {
        for status in [200, 500] {
            let response = HttpResponse { status, headers: vec![], body: bytes.to_vec() };
            let _ = OpenAi::decode(response, context.to_owned());
        }
        let text = String::from_utf8_lossy(bytes);
        let frames: Vec<Frame> = frames(&text);
        check_order(&run_stream::<OpenAi>(context, &frames, 2)).unwrap_or_else(|breach| panic!("{breach}\n{text}"));
    }
}

#[test]
fn broken_bytes_never_panic() {
    let mut numbers = Numbers(7);
    for body in [body(CHAT), body(RESPONSES)] {
        for _ in 0..300 {
            let mut bytes = body.clone().into_bytes();
            for _ in 0..=numbers.below(8) {
                let at = numbers.below(bytes.len());
                bytes[at] = u8::try_from(numbers.below(256)).unwrap();
            }
            bytes.truncate(bytes.len() - numbers.below(bytes.len() / 2));
            decode_and_read(&bytes);
        }
    }
}

#[test]
fn events_in_any_order_with_any_values_keep_the_contracts_order() {
    let mut numbers = Numbers(11);
    for body in [body(CHAT), body(RESPONSES)] {
        let events: Vec<Value> = frames(&body).iter().filter_map(|frame| serde_json::from_str(&frame.data).ok()).collect();
        for _ in 0..500 {
            let mut stream = String::new();
            for _ in 0..numbers.below(12) {
                let mut event = events[numbers.below(events.len())].clone();
                disturb(&mut event, &mut numbers);
                stream.push_str(&format!("data: {event}\n\n"));
            }
            decode_and_read(stream.as_bytes());
        }
    }
}

/// Replaces one value somewhere, or none.
fn disturb(value: &mut Value, numbers: &mut Numbers) {
    let replacements = [json!(null), json!(0), json!(-1.5), json!("x"), json!([]), json!({}), json!(4_000_000_000_u32), json!(true)];
    match value {
        Value::Object(fields) if numbers.below(4) > 0 => {
            let at = numbers.below(fields.len());
            if let Some((_, inner)) = fields.iter_mut().nth(at) {
                disturb(inner, numbers);
            }
        }
        Value::Array(items) if !items.is_empty() && numbers.below(4) > 0 => {
            let at = numbers.below(items.len());
            disturb(&mut items[at], numbers);
        }
        other if numbers.below(2) == 0 => *other = replacements[numbers.below(replacements.len())].clone(),
        _ => {}
    }
}
