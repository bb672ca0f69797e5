//! How many tokens a prompt is likely to be, without asking anyone.
//!
//! Owns one heuristic for all providers, and the few numbers in which their tokenizers differ. Texts are counted by what they consist of: words,
//! digits, punctuation, line breaks, Chinese and Japanese characters and so on, each with its usual share of tokens. The shares were fitted to
//! OpenAI's `o200k_base` over English prose and documentation, Rust, Python, TypeScript, JSON, and texts in ten further languages, where the whole is
//! within about a tenth; of very short or odd texts (hexadecimal, long numbers, rare scripts) it can be further off. What a tokenizer adds for
//! each message, for tools and so on was taken from recorded usage. Media count flat: their size in pixels or seconds is not known here.
//!
//! Not here: a tokenizer. One would be megabytes in every adapter, and two of the four providers publish none.

use crate::types::{ChatRequest, Media, MediaSource, Message, PartBody, ResponseFormat, Tool, ToolResultPart};

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
    /// Tokens for each of `o200k_base`.
    scale: f64,
    per_message: f64,
    per_request: f64,
    per_tool: f64,
    /// What tools cost before the first.
    tools: f64,
}

impl Tokenizer {
    fn measure(self) -> Measure {
        let measure = Measure { scale: 1.0, per_message: 4.0, per_request: 3.0, per_tool: 8.0, tools: 12.0 };
        match self {
            Self::OpenAi => measure,
            Self::Gemini => Measure { per_message: 1.0, per_request: 0.0, tools: 0.0, ..measure },
            Self::Mistral => Measure { scale: 1.1, per_message: 2.0, per_request: 1.0, ..measure },
            Self::Claude => Measure { scale: 1.1, per_request: 4.0, tools: 330.0, ..measure },
            Self::Claude47 => Measure { scale: 1.35, per_request: 4.0, tools: 330.0, ..measure },
        }
    }
}

/// The prompt's tokens, about.
pub fn tokens(request: &ChatRequest, tokenizer: Tokenizer) -> u32 {
    let measure = tokenizer.measure();
    let mut prompt = Prompt::default();
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
#[derive(Default)]
struct Prompt {
    /// Tokens of `o200k_base`.
    text: f64,
    /// Tokens.
    media: f64,
}

impl Prompt {
    fn text(&mut self, text: &str) {
        self.text += text_tokens(text);
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

/// What a character counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A letter of ASCII.
    Letter,
    /// A letter of another alphabet, or with an accent.
    FurtherLetter,
    Digit,
    Space,
    /// A line break or a tab.
    Break,
    Punctuation,
    Han,
    Kana,
    Hangul,
    /// Punctuation of East Asia.
    Wide,
    /// An emoji, a box, a control character.
    Symbol,
}

impl Class {
    fn of(character: char) -> Self {
        match character {
            'a'..='z' | 'A'..='Z' => Self::Letter,
            '0'..='9' => Self::Digit,
            ' ' => Self::Space,
            '\n' | '\r' | '\t' => Self::Break,
            '!'..='~' => Self::Punctuation,
            '\u{3040}'..='\u{30ff}' => Self::Kana,
            '\u{ac00}'..='\u{d7af}' => Self::Hangul,
            '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}' => Self::Han,
            '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ffef}' => Self::Wide,
            other if other.is_alphabetic() => Self::FurtherLetter,
            _ => Self::Symbol,
        }
    }
}

/// Letters of a word that come without a further token.
const SHORT_WORD: u32 = 7;
/// Digits of one token.
const DIGITS: u32 = 3;

/// A run of characters of one class: where the count stands in it.
struct Run {
    class: Class,
    length: u32,
    capital: bool,
    indents: bool,
}

/// Tokens of `o200k_base`, about.
fn text_tokens(text: &str) -> f64 {
    let mut tokens = 0.0;
    let mut run = Run { class: Class::Symbol, length: 0, capital: false, indents: false };
    for character in text.chars() {
        let class = Class::of(character);
        let begins = class != run.class || run.length == 0;
        let capital = character.is_ascii_uppercase();
        // Words in camel case are words.
        let new_word = begins || capital && !run.capital;
        let length = if begins || class == Class::Letter && new_word { 1 } else { run.length.saturating_add(1) };
        let indents = class == Class::Space && if begins { run.class == Class::Break } else { run.indents };
        tokens += match class {
            Class::Letter if new_word => 1.06,
            Class::Letter if length > SHORT_WORD => 0.12,
            Class::Letter => 0.0,
            Class::FurtherLetter if begins && run.class != Class::Letter => 1.4,
            Class::FurtherLetter => 0.2,
            Class::Digit if (length - 1).is_multiple_of(DIGITS) => 1.2,
            Class::Digit => 0.0,
            // One space belongs to the word after it, an indentation to the line break before it; any others are a token.
            Class::Space if length == 2 && !indents => 1.1,
            Class::Space => 0.0,
            Class::Break if begins => 1.1,
            Class::Break => 0.0,
            Class::Punctuation if begins => 0.6,
            Class::Punctuation => 0.3,
            Class::Han => 0.85,
            Class::Kana => 0.7,
            Class::Hangul => 0.8,
            Class::Wide => 0.3,
            Class::Symbol => 0.6,
        };
        run = Run { class, length, capital, indents };
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FunctionTool, Role};

    fn ask(text: &str) -> ChatRequest {
        ChatRequest::new("m", vec![Message::text(Role::User, text)])
    }

    /// Counts of `o200k_base`.
    const COUNTED: &[(&str, f64)] = &[
        (
            "The harbour was quiet when the first boats came in. Nobody had expected them before noon, so the market stood half empty, and the boy who sold ice had not yet opened his stall. By ten o'clock there were fish in every crate, and people were arguing about the price of mackerel as if it were the only thing that mattered in the world.",
            73.0,
        ),
        (
            "To change the port, set `PORT` in the environment or pass `--port 8080`. The server reads its configuration once, at the start; a value that it does not understand is an error that names the variable. Logs go to standard output as JSON, one line for each request.",
            61.0,
        ),
        (
            "fn largest(values: &[u32]) -> Option<u32> {\n    let mut best = None;\n    for value in values {\n        if best.is_none_or(|best| *value > best) {\n            best = Some(*value);\n        }\n    }\n    best\n}\n",
            57.0,
        ),
        (
            "def read_rows(path):\n    with open(path, encoding=\"utf-8\") as file:\n        for number, line in enumerate(file, start=1):\n            fields = line.rstrip(\"\\n\").split(\"\\t\")\n            if len(fields) != 3:\n                raise ValueError(f\"line {number}: expected 3 fields, got {len(fields)}\")\n            yield fields\n",
            78.0,
        ),
        (
            "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"Name of the city\"},\"unit\":{\"type\":\"string\",\"enum\":[\"celsius\",\"fahrenheit\"]},\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14}},\"required\":[\"city\"]}",
            56.0,
        ),
        (
            "今天早上我去市场买了一些水果和蔬菜。天气很好，街上有很多人，孩子们在公园里玩耍。回家以后，我给朋友写了一封信，告诉他我最近的生活情况。",
            53.0,
        ),
        (
            "昨日は友達と一緒に映画を見に行きました。とても面白い話だったので、帰りの電車の中でもずっとその話をしていました。来週はみんなで山に登る予定です。",
            54.0,
        ),
        (
            "오늘 아침에는 비가 많이 와서 버스를 타고 회사에 갔습니다. 점심에는 동료들과 함께 식당에서 김치찌개를 먹었고, 저녁에는 집에서 책을 읽었습니다.",
            48.0,
        ),
        (
            "Gestern sind wir mit dem Zug nach Hamburg gefahren, weil das Wetter endlich besser geworden war. Am Hafen haben wir lange auf einer Bank gesessen und den großen Schiffen zugesehen.",
            37.0,
        ),
    ];

    #[test]
    fn english_code_and_east_asian_texts_are_counted_within_a_tenth_or_so() {
        for (text, counted) in COUNTED {
            let ratio = text_tokens(text) / counted;
            assert!((0.88..1.12).contains(&ratio), "{ratio:.2} of {counted}: {text}");
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
