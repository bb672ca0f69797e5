//! How many tokens a prompt is likely to be, without asking anyone.
//!
//! Owns what a request's texts are, and the few numbers in which providers' tokenizers differ; how a text is estimated is in `texts`. What a tokenizer adds
//! for each message, for tools and so on was taken from recorded usage. Media count flat: their size in pixels or seconds is not known here.
//!
//! Not here: a tokenizer. One would be megabytes in every adapter, and two of the four providers publish none.

mod texts;

use crate::types::{ChatRequest, Media, MediaSource, Message, PartBody, ResponseFormat, Tool, ToolResultPart};
use texts::Vocabulary;

/// A tokenizer, as far as it differs from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokenizer {
    OpenAi,
    Gemini,
    Mistral,
    /// Claude up to 4.6.
    Claude,
    /// Claude from Opus 4.7 on, which makes more tokens of the same text.
    Claude47,
}

/// Tokens of an image, a sound, a film or a PDF: a picture of about a megapixel.
const MEDIUM: f64 = 1000.0;
const BYTES_PER_TOKEN: f64 = 4.0;

struct Measure {
    /// The nearest that is public.
    vocabulary: Vocabulary,
    /// Tokens for each of its.
    scale: f64,
    per_message: f64,
    per_request: f64,
    per_tool: f64,
    /// What tools cost before the first.
    tools: f64,
}

impl Tokenizer {
    fn measure(self) -> Measure {
        let measure = Measure { vocabulary: Vocabulary::O200k, scale: 1.0, per_message: 4.0, per_request: 3.0, per_tool: 8.0, tools: 12.0 };
        match self {
            Self::OpenAi => measure,
            Self::Gemini => Measure { vocabulary: Vocabulary::Gemma, per_message: 1.0, per_request: 0.0, tools: 0.0, ..measure },
            Self::Mistral => Measure { vocabulary: Vocabulary::Tekken, per_message: 2.0, per_request: 1.0, ..measure },
            Self::Claude => Measure { scale: 1.1, per_request: 4.0, tools: 330.0, ..measure },
            Self::Claude47 => Measure { scale: 1.35, per_request: 4.0, tools: 330.0, ..measure },
        }
    }
}

/// The prompt's tokens, about.
pub fn tokens(request: &ChatRequest, tokenizer: Tokenizer) -> u32 {
    let measure = tokenizer.measure();
    let mut prompt = Prompt { vocabulary: measure.vocabulary, text: 0.0, media: 0.0 };
    request.messages.iter().for_each(|message| prompt.message(message));
    request.tools.iter().for_each(|tool| prompt.tool(tool));
    if let Some(ResponseFormat::JsonSchema(format)) = &request.response_format {
        prompt.text(&format.schema);
    }
    let tools = if request.tools.is_empty() { 0.0 } else { measure.tools + measure.per_tool * request.tools.len() as f64 };
    let messages = measure.per_request + measure.per_message * request.messages.len() as f64;
    // A cast to an integer stops at its bounds.
    (prompt.text * measure.scale + prompt.media + tools + messages).round() as u32
}

/// What was met of a prompt so far.
struct Prompt {
    vocabulary: Vocabulary,
    /// Tokens of the vocabulary.
    text: f64,
    /// Tokens.
    media: f64,
}

impl Prompt {
    fn text(&mut self, text: &str) {
        self.text += texts::tokens(text, self.vocabulary);
    }

    fn message(&mut self, message: &Message) {
        self.text(message.name.as_deref().unwrap_or_default());
        for part in &message.parts {
            match &part.body {
                PartBody::Text(text) | PartBody::Refusal(text) => self.text(text),
                // Another's is not sent.
                PartBody::Thinking(text) if part.replay.is_some() => self.text(text),
                PartBody::Thinking(_) => {}
                PartBody::Image(media) | PartBody::Audio(media) | PartBody::Video(media) | PartBody::Document(media) => self.medium(media),
                PartBody::ToolCall(call) => {
                    self.text(&call.name);
                    self.text(&call.arguments);
                }
                PartBody::ToolResult(result) => result.content.iter().for_each(|content| self.result(content)),
                PartBody::Other(native) => self.text(&native.value),
            }
        }
    }

    fn result(&mut self, content: &ToolResultPart) {
        match content {
            ToolResultPart::Text(text) => self.text(text),
            ToolResultPart::Image(media)
            | ToolResultPart::Audio(media)
            | ToolResultPart::Video(media)
            | ToolResultPart::Document(media) => {
                self.medium(media);
            }
            ToolResultPart::Other(native) => self.text(&native.value),
        }
    }

    fn medium(&mut self, media: &Media) {
        let is_text = media.media_type.as_deref().is_some_and(|kind| kind.starts_with("text/") || kind.starts_with("application/json"));
        self.media += match &media.source {
            MediaSource::Blob(blob) if is_text => f64::from(blob.size) / BYTES_PER_TOKEN,
            _ => MEDIUM,
        };
    }

    fn tool(&mut self, tool: &Tool) {
        match tool {
            Tool::Function(tool) => {
                self.text(&tool.name);
                self.text(tool.description.as_deref().unwrap_or_default());
                self.text(tool.parameters.as_deref().unwrap_or_default());
            }
            Tool::Custom(tool) => {
                self.text(&tool.name);
                self.text(tool.description.as_deref().unwrap_or_default());
                self.text(tool.grammar.as_ref().map(|grammar| grammar.definition.as_str()).unwrap_or_default());
            }
            Tool::Other(native) => self.text(&native.value),
        }
    }
}

#[cfg(test)]
mod counted;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FunctionTool, Role};

    fn ask(text: &str) -> ChatRequest {
        ChatRequest::new("m", vec![Message::text(Role::User, text)])
    }

    #[test]
    fn english_code_and_east_asian_texts_are_counted_within_a_tenth() {
        for (vocabulary, at) in [(Vocabulary::O200k, 0), (Vocabulary::Tekken, 1), (Vocabulary::Gemma, 2)] {
            for (text, counted) in counted::TEXTS {
                let ratio = texts::tokens(text, vocabulary) / counted[at];
                assert!((0.9..1.1).contains(&ratio), "{ratio:.2} of {} by {vocabulary:?}: {text}", counted[at]);
            }
        }
    }

    #[test]
    fn what_providers_add_is_counted_too() {
        let mut request = ask("Hello there");
        assert_eq!(tokens(&request, Tokenizer::OpenAi), 9);
        assert_eq!(tokens(&request, Tokenizer::Gemini), 3);
        assert!(tokens(&request, Tokenizer::Claude47) > tokens(&request, Tokenizer::OpenAi));
        let parameters = r#"{"type":"object","properties":{"city":{"type":"string"}}}"#;
        request.tools.push(Tool::Function(FunctionTool {
            name: "weather".into(),
            description: None,
            parameters: Some(parameters.into()),
            strict: None,
            cache: None,
            extras: Vec::new(),
        }));
        assert!(tokens(&request, Tokenizer::OpenAi) > 9 + 15);
        assert!(tokens(&request, Tokenizer::Claude) > 330);
    }

    #[test]
    fn a_long_run_of_anything_is_counted_without_overflow() {
        for character in ['a', '7', ' ', '\n', '#', '漢', '😀'] {
            let text = character.to_string().repeat(300_000);
            assert!(tokens(&ask(&text), Tokenizer::Claude47) < 1_000_000, "{character}");
        }
    }
}
