//! Tokens where the provider does not count them: an estimate from the text alone, always marked as one.
//!
//! Owns: how texts are estimated, the mark. Not here: the adapters' own estimates (`plugin`), prices.
//!
//! Most tokenizers make a token of some four letters of English, and of one or two characters of most other scripts (OpenAI, "What are tokens and how to
//! count them").

use crate::contract::embeddings::EmbeddingInput;
use crate::contract::{ChatEvent, ChatRequest, ChatResponse, PartBody, PartKind, Tool, ToolResultPart, Usage};

/// Name of the entry in a usage's `details` that says that it is estimated.
const MARK: &str = "estimated";
/// For each message: its role and borders.
const TOKENS_PER_MESSAGE: u64 = 4;
/// For a picture, a sound or a file, whose size in tokens only the provider knows.
const TOKENS_PER_MEDIUM: u64 = 800;

/// Whether a usage is an estimate.
pub fn is_estimated(usage: &Usage) -> bool {
    usage.details.iter().any(|(name, _)| name == MARK)
}

/// Whether a provider has told what its answer used.
pub fn is_told(usage: Option<&Usage>) -> bool {
    usage.is_some_and(|usage| usage.input.is_some() || usage.output.is_some())
}

/// A text's length in quarters of a token, so that many short ones add up right.
fn quarters(text: &str) -> u64 {
    // Of a character beyond ASCII, only the first byte is counted.
    text.bytes()
        .map(|byte| {
            if byte.is_ascii() {
                1
            } else if byte >= 0xC0 {
                3
            } else {
                0
            }
        })
        .sum()
}

/// What a prompt is estimated at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prompt {
    quarters: u64,
}

impl Prompt {
    pub fn of(request: &ChatRequest) -> Self {
        let messages = request.messages.iter().map(|message| {
            let parts: u64 = message.parts.iter().map(|part| of_part(&part.body)).sum();
            parts + 4 * TOKENS_PER_MESSAGE
        });
        Self { quarters: messages.sum::<u64>() + request.tools.iter().map(of_tool).sum::<u64>() }
    }

    pub fn tokens(self) -> u32 {
        tokens(self.quarters)
    }

    /// Usage of an answer that came whole.
    pub fn usage_of(self, answer: &ChatResponse) -> Usage {
        let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
        let output = Output { quarters: parts.map(|part| of_part(&part.body)).sum(), told: false };
        self.usage_with(&output)
    }

    /// Usage of an answer that came in pieces.
    pub fn usage_with(self, output: &Output) -> Usage {
        Usage {
            input: Some(self.tokens()),
            cache_read: None,
            cache_write: None,
            output: Some(tokens(output.quarters)),
            reasoning: None,
            details: vec![(MARK.to_owned(), 1)],
        }
    }
}

/// What an answer is estimated at while it comes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Output {
    quarters: u64,
    told: bool,
}

impl Output {
    pub fn add(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::PartGrew(growth) => self.quarters += quarters(&growth.text),
            ChatEvent::PartOpened(opening) => {
                if let PartKind::ToolCall(call) = &opening.kind {
                    self.quarters += quarters(&call.name);
                }
            }
            ChatEvent::Usage(usage) => self.told |= is_told(Some(usage)),
            _ => {}
        }
    }

    pub fn usage_was_told(&self) -> bool {
        self.told
    }
}

/// Usage of an embedding of these inputs.
pub fn of_inputs(inputs: &[EmbeddingInput]) -> Usage {
    let of_input = |input: &EmbeddingInput| match input {
        EmbeddingInput::Text(text) => quarters(text),
        EmbeddingInput::Tokens(tokens) => 4 * tokens.len() as u64,
        EmbeddingInput::Media(_) => 4 * TOKENS_PER_MEDIUM,
        EmbeddingInput::Other(native) => quarters(&native.value),
    };
    let prompt = Prompt { quarters: inputs.iter().map(of_input).sum() };
    Usage { output: None, ..prompt.usage_with(&Output::default()) }
}

fn tokens(quarters: u64) -> u32 {
    u32::try_from(quarters.div_ceil(4)).unwrap_or(u32::MAX)
}

fn of_part(body: &PartBody) -> u64 {
    match body {
        PartBody::Text(text) | PartBody::Refusal(text) | PartBody::Thinking(text) => quarters(text),
        PartBody::ToolCall(call) => quarters(&call.name) + quarters(&call.arguments),
        PartBody::ToolResult(result) => result.content.iter().map(of_result_part).sum(),
        PartBody::Other(native) => quarters(&native.value),
        PartBody::Image(_) | PartBody::Audio(_) | PartBody::Video(_) | PartBody::Document(_) => 4 * TOKENS_PER_MEDIUM,
    }
}

fn of_result_part(part: &ToolResultPart) -> u64 {
    match part {
        ToolResultPart::Text(text) => quarters(text),
        ToolResultPart::Other(native) => quarters(&native.value),
        ToolResultPart::Image(_) | ToolResultPart::Audio(_) | ToolResultPart::Video(_) | ToolResultPart::Document(_) => {
            4 * TOKENS_PER_MEDIUM
        }
    }
}

fn of_tool(tool: &Tool) -> u64 {
    let optional = |text: &Option<String>| text.as_deref().map_or(0, quarters);
    match tool {
        Tool::Function(function) => quarters(&function.name) + optional(&function.description) + optional(&function.parameters),
        Tool::Custom(custom) => quarters(&custom.name) + optional(&custom.description),
        Tool::Other(native) => quarters(&native.value),
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
    fn four_letters_are_a_token_and_other_scripts_take_more() {
        assert_eq!(prompt(""), 4);
        assert_eq!(prompt("abcdefgh"), 6);
        assert_eq!(prompt("日本語文"), 7);
    }

    #[test]
    fn an_answer_in_pieces_is_estimated_like_a_whole_one_and_marked() {
        let mut output = Output::default();
        for text in ["ab", "cd", "e"] {
            output.add(&ChatEvent::PartGrew(PartGrowth { choice: 0, part: 0, text: text.into(), media: None, logprobs: None }));
        }
        let usage = Prompt { quarters: 16 }.usage_with(&output);
        assert_eq!((usage.input, usage.output, is_estimated(&usage)), (Some(4), Some(2), true));
        assert!(!output.usage_was_told());
    }
}
