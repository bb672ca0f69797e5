//! Tokens where the provider does not count them: an estimate from the text alone, always marked as one.
//!
//! Owns: what of a request and an answer is text, the mark. How a text is estimated is in `texts`, the same file that adapters are built with. Not here: the
//! adapters' own estimates (`plugin`), tokenizers (`tokens`), prices.

#[path = "../../../plugins/sdk/src/estimate/texts.rs"]
#[allow(dead_code, reason = "adapters know further vocabularies")]
mod texts;

use crate::contract::embeddings::EmbeddingInput;
use crate::contract::{ChatEvent, ChatRequest, ChatResponse, PartBody, PartKind, Tool, ToolResultPart, Usage};
use texts::{Texts, Vocabulary};

/// Name of the entry in a usage's `details` that says that it is estimated.
const MARK: &str = "estimated";
/// For each message: its role and borders.
const TOKENS_PER_MESSAGE: f64 = 4.0;
/// For a picture, a sound or a file, whose size in tokens only the provider knows.
const TOKENS_PER_MEDIUM: f64 = 800.0;
/// What texts are counted by where a model's own vocabulary is not known.
const VOCABULARY: Vocabulary = Vocabulary::O200k;

/// Whether a usage is an estimate.
pub fn is_estimated(usage: &Usage) -> bool {
    usage.details.iter().any(|(name, _)| name == MARK)
}

/// Whether a provider has told what its answer used.
pub fn is_told(usage: Option<&Usage>) -> bool {
    usage.is_some_and(|usage| usage.input.is_some() || usage.output.is_some())
}

/// What a prompt is estimated at.
#[derive(Debug, Clone, Copy)]
pub struct Prompt {
    tokens: f64,
}

impl Prompt {
    pub fn of(request: &ChatRequest) -> Self {
        let messages = request.messages.iter().map(|message| {
            let parts: f64 = message.parts.iter().map(|part| of_part(&part.body)).sum();
            parts + TOKENS_PER_MESSAGE
        });
        Self { tokens: messages.sum::<f64>() + request.tools.iter().map(of_tool).sum::<f64>() }
    }

    /// Of inputs to be embedded.
    pub fn of_inputs(inputs: &[EmbeddingInput]) -> Self {
        let of_input = |input: &EmbeddingInput| match input {
            EmbeddingInput::Text(text) => of_text(text),
            EmbeddingInput::Tokens(tokens) => tokens.len() as f64,
            EmbeddingInput::Media(_) => TOKENS_PER_MEDIUM,
            EmbeddingInput::Other(native) => of_text(&native.value),
        };
        Self { tokens: inputs.iter().map(of_input).sum() }
    }

    pub fn tokens(self) -> u32 {
        rounded(self.tokens)
    }

    /// Usage of an answer that came whole.
    pub fn usage_of(self, answer: &ChatResponse) -> Usage {
        let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
        self.usage(parts.map(|part| of_part(&part.body)).sum())
    }

    /// Usage of an answer that came in pieces.
    pub fn usage_with(self, output: &Output) -> Usage {
        self.usage(output.texts.tokens(VOCABULARY))
    }

    /// With an answer of so many tokens.
    pub fn usage(self, output: f64) -> Usage {
        Usage {
            input: Some(self.tokens()),
            cache_read: None,
            cache_write: None,
            output: Some(rounded(output)),
            reasoning: None,
            details: vec![(MARK.to_owned(), 1)],
        }
    }
}

/// What an answer is estimated at while it comes.
#[derive(Debug, Default, Clone)]
pub struct Output {
    texts: Texts,
    told: bool,
    /// What the provider said last.
    usage: Option<Usage>,
}

impl Output {
    pub fn add(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::PartGrew(growth) => self.texts.read(&growth.text),
            ChatEvent::PartOpened(opening) => {
                if let PartKind::ToolCall(call) = &opening.kind {
                    self.texts.read(&call.name);
                }
            }
            ChatEvent::Usage(usage) => {
                self.told |= is_told(Some(usage));
                self.usage = Some(usage.clone());
            }
            _ => {}
        }
    }

    /// Whether nothing has come of it, and nothing was said of it.
    pub fn is_empty(&self) -> bool {
        self.usage.is_none() && self.texts.tokens(VOCABULARY) == 0.0
    }

    pub fn usage_was_told(&self) -> bool {
        self.told
    }

    /// What an answer used that broke off here: what the provider said, and of the rest an estimate. Providers tell the output at the end, so a lower figure than what came is none.
    pub fn broken_off(&self, prompt: Prompt) -> Usage {
        let estimate = prompt.usage_with(self);
        let Some(told) = self.usage.clone().filter(|_| self.told) else { return estimate };
        let is_whole = told.input.is_some() && told.output >= estimate.output;
        let details = if is_whole { told.details } else { told.details.into_iter().chain(estimate.details).collect() };
        Usage { input: told.input.or(estimate.input), output: told.output.max(estimate.output), details, ..told }
    }
}

/// Usage of an embedding of these inputs.
pub fn of_inputs(inputs: &[EmbeddingInput]) -> Usage {
    Usage { output: None, ..Prompt::of_inputs(inputs).usage(0.0) }
}

/// Of one text.
pub fn of_text(text: &str) -> f64 {
    texts::tokens(text, VOCABULARY)
}

/// A cast to an integer stops at its bounds.
fn rounded(tokens: f64) -> u32 {
    tokens.round() as u32
}

fn of_part(body: &PartBody) -> f64 {
    match body {
        PartBody::Text(text) | PartBody::Refusal(text) | PartBody::Thinking(text) => of_text(text),
        PartBody::ToolCall(call) => of_text(&call.name) + of_text(&call.arguments),
        PartBody::ToolResult(result) => result.content.iter().map(of_result_part).sum(),
        PartBody::Other(native) => of_text(&native.value),
        PartBody::Image(_) | PartBody::Audio(_) | PartBody::Video(_) | PartBody::Document(_) => TOKENS_PER_MEDIUM,
    }
}

fn of_result_part(part: &ToolResultPart) -> f64 {
    match part {
        ToolResultPart::Text(text) => of_text(text),
        ToolResultPart::Other(native) => of_text(&native.value),
        ToolResultPart::Image(_) | ToolResultPart::Audio(_) | ToolResultPart::Video(_) | ToolResultPart::Document(_) => TOKENS_PER_MEDIUM,
    }
}

fn of_tool(tool: &Tool) -> f64 {
    let optional = |text: &Option<String>| text.as_deref().map_or(0.0, of_text);
    match tool {
        Tool::Function(function) => of_text(&function.name) + optional(&function.description) + optional(&function.parameters),
        Tool::Custom(custom) => of_text(&custom.name) + optional(&custom.description),
        Tool::Other(native) => of_text(&native.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Message, PartGrowth, Role};
    use crate::domain::{chat_request, part};

    fn prompt(text: &str) -> u32 {
        let message = Message { role: Role::User, name: None, parts: vec![part(PartBody::Text(text.to_owned()))], extras: Vec::new() };
        Prompt::of(&chat_request("m".into(), vec![message])).tokens()
    }

    #[test]
    fn a_word_is_about_a_token_and_so_is_a_character_of_east_asia() {
        assert_eq!(prompt(""), 4);
        assert_eq!(prompt("Hello there"), 6);
        assert_eq!(prompt("日本語文"), 6);
    }

    #[test]
    fn an_answer_in_pieces_is_estimated_like_a_whole_one_and_marked() {
        let mut output = Output::default();
        for text in ["Hel", "lo", " there"] {
            output.add(&ChatEvent::PartGrew(PartGrowth { choice: 0, part: 0, text: text.into(), media: None, logprobs: None }));
        }
        let usage = Prompt { tokens: 4.0 }.usage_with(&output);
        assert_eq!((usage.input, usage.output, is_estimated(&usage)), (Some(4), Some(2), true));
        assert!(!output.usage_was_told());
    }
}
