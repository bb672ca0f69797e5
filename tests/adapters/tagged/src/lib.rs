//! The OpenAI adapter, with a tag in its version and before every piece of text that it decodes, so that a test can tell which build an answer came from. The
//! tag stands in the file's data, where the test writes another over it.

use adapter_openai::OpenAi;
use llm_gateway_adapter::types::*;
use llm_gateway_adapter::{Chat, GuestDecoder, Manifest};
use std::hint::black_box;

/// The four letters after the colon are the tag.
#[used]
static TAG: [u8; 24] = *b"SWITCH:aaaa____________;";

fn tag() -> String {
    // Through a pointer that the compiler can't see through: what it was built with is not what stands there.
    String::from_utf8_lossy(&black_box(&TAG)[7..11]).into_owned()
}

/// The adapter.
#[derive(Debug)]
pub struct Tagged;

impl Manifest for Tagged {
    fn describe() -> ProviderInfo {
        let mut info = OpenAi::describe();
        info.version = format!("{}+{}", info.version, tag());
        info
    }
}

impl Chat for Tagged {
    type Decoder = Decoder;

    fn encode(request: ChatRequest) -> Result<HttpRequest, Failure> {
        OpenAi::encode(request)
    }

    fn decode(response: HttpResponse, context: String) -> Result<ChatResponse, Failure> {
        let mut answer = OpenAi::decode(response, context)?;
        for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            if let PartBody::Text(text) = &mut part.body {
                text.insert_str(0, &format!("<{}>", tag()));
            }
        }
        Ok(answer)
    }
}

/// Its reader of streams.
pub struct Decoder(<OpenAi as Chat>::Decoder);

impl GuestDecoder for Decoder {
    fn new(context: String, headers: Vec<Header>) -> Self {
        Self(GuestDecoder::new(context, headers))
    }

    fn push(&self, frames: Vec<Frame>) -> Vec<ChatEvent> {
        tagged(self.0.push(frames))
    }

    fn finish(&self) -> Vec<ChatEvent> {
        tagged(self.0.finish())
    }
}

fn tagged(mut events: Vec<ChatEvent>) -> Vec<ChatEvent> {
    for event in &mut events {
        if let ChatEvent::PartGrew(growth) = event {
            growth.text.insert_str(0, &format!("<{}>", tag()));
        }
    }
    events
}

llm_gateway_adapter::export!(Tagged);
