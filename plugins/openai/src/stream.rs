//! A stream of either endpoint.

use crate::chat_stream::ChatStream;
use crate::endpoint::Context;
use crate::responses_stream::ResponsesStream;
use llm_gateway_adapter::stream::{Events, StreamDecoder};
use llm_gateway_adapter::types::{Failure, Frame, Header};

#[derive(Debug)]
pub enum Stream {
    Chat(ChatStream),
    Responses(ResponsesStream),
}

impl StreamDecoder for Stream {
    fn new(context: String, _headers: Vec<Header>) -> Self {
        match Context::parse(&context) {
            Context::Chat { audio_type } => Self::Chat(ChatStream::new(audio_type)),
            Context::Responses => Self::Responses(ResponsesStream::default()),
        }
    }

    fn frame(&mut self, frame: Frame, events: &mut Events) {
        match self {
            Self::Chat(stream) => stream.frame(&frame, events),
            Self::Responses(stream) => stream.frame(&frame, events),
        }
    }

    fn connection_ended(&mut self, events: &mut Events) {
        events.fail(Failure::cut_stream());
    }
}
