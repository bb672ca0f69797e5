//! The words of an answer: what is said, how long it is, where it is cut. Pure functions of the prompt.

use super::faults::Shaping;
use super::prompt::{Media, Prompt};
use std::fmt::Write;

/// Bytes of text per token, about what English has with today's vocabularies.
const TOKEN_BYTES: usize = 4;
/// Of the user's text, so that a long prompt does not make a long answer.
const QUOTED_BYTES: usize = 1000;
/// Of a piece: text without spaces is split too.
const PIECE_BYTES: usize = 16;

const REMARKS: [&str; 8] = [
    "No provider was called for this answer.",
    "It was written on this machine and cost nothing.",
    "The same question will always get the same words.",
    "Set an API key to hear from the real model.",
    "Streaming, tools, images and errors work here as they do there.",
    "Token counts follow the length of the text.",
    "Nothing in here should be taken as advice.",
    "You can try limits, stop sequences and JSON schemas as well.",
];

pub(super) fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(TOKEN_BYTES) as u64
}

/// As many bytes as `tokens` hold at most.
pub(super) fn within(text: &str, tokens: u64) -> &str {
    let most = usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(TOKEN_BYTES);
    prefix(text, most)
}

/// The longest prefix of at most `bytes` bytes that ends between characters.
pub(super) fn prefix(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A plain answer. `shaping` may ask for another length.
pub(super) fn answer(provider: &str, prompt: &Prompt, shaping: &Shaping) -> String {
    let mut text = format!("[simulated {provider}/{}] ", prompt.model);
    match prompt.tool_results.as_slice() {
        [] => text.push_str(&echo(&prompt.last_user)),
        results => quote_results(&mut text, results),
    }
    prompt.media.iter().for_each(|media| acknowledge(&mut text, media));
    if !shaping.header_names.is_empty() {
        let _ = write!(text, " Your request had the headers {}.", shaping.header_names.join(", "));
    }
    for remark in remarks(&prompt.last_user) {
        text.push(' ');
        text.push_str(remark);
    }
    shaped(text, shaping)
}

pub(super) fn thinking(prompt: &Prompt) -> String {
    let words = prompt.last_user.split_whitespace().count();
    let subject = prefix(&prompt.last_user, 80);
    format!("The user wrote {words} words: \"{subject}\". I will repeat them and add a remark or two.")
}

fn echo(user: &str) -> String {
    let quoted = prefix(user, QUOTED_BYTES);
    let more = if quoted.len() < user.len() { "…" } else { "" };
    format!("You said: \"{quoted}{more}\".")
}

fn quote_results(text: &mut String, results: &[String]) {
    text.push_str("The tools answered:");
    for result in results {
        let _ = write!(text, " \"{}\".", prefix(result, QUOTED_BYTES));
    }
}

fn acknowledge(text: &mut String, media: &Media) {
    let _ = match media.bytes {
        Some(bytes) => write!(text, " I received {} of {bytes} bytes.", media.kind),
        None => write!(text, " I received {} by reference.", media.kind),
    };
}

/// Three of the remarks, in their order, chosen by the text.
fn remarks(user: &str) -> impl Iterator<Item = &'static str> {
    let hash = user.bytes().fold(17usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
    (0..3).map(move |index| REMARKS[(hash.wrapping_add(index)) % REMARKS.len()])
}

fn shaped(mut text: String, shaping: &Shaping) -> String {
    if let Some(bytes) = shaping.text_bytes {
        lengthen(&mut text, bytes);
        text.truncate(text.floor_char_boundary(bytes));
        // A cut inside a character leaves it short by up to three bytes.
        text.extend(std::iter::repeat_n('.', bytes - text.len()));
    } else if let Some(chunks) = shaping.chunks {
        // Words of the filler are shorter than a piece: so many bytes are so many pieces at least.
        let missing = chunks.saturating_sub(words(&text).count());
        let wanted = text.len() + missing * PIECE_BYTES;
        lengthen(&mut text, wanted);
    }
    text
}

fn lengthen(text: &mut String, bytes: usize) {
    const FILLER: &str = " and so it goes on, word after word, until there are enough of them";
    while text.len() < bytes {
        text.push_str(FILLER);
    }
}

/// The chunks in which a text is streamed: `words_each` words in one, or exactly `wanted` chunks if the text is long enough. Joined they are
/// the text.
pub(super) fn pieces(text: &str, words_each: usize, wanted: Option<usize>) -> Vec<&str> {
    let ends: Vec<usize> = words(text).collect();
    let count = wanted.unwrap_or(ends.len().div_ceil(words_each.max(1))).min(ends.len());
    let mut start = 0;
    (1..=count)
        .map(|chunk| {
            let end = ends[chunk * ends.len() / count - 1];
            let piece = &text[start..end];
            start = end;
            piece
        })
        .collect()
}

/// Where each word ends. A word begins with its space, and a long one is several.
fn words(text: &str) -> impl Iterator<Item = usize> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let mut length = 0;
        for character in rest.chars() {
            let begins_next = length > 0 && (character == ' ' || length + character.len_utf8() > PIECE_BYTES);
            if begins_next {
                break;
            }
            length += character.len_utf8();
        }
        start += length;
        Some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(user: &str) -> Prompt {
        Prompt { model: "m".to_owned(), last_user: user.to_owned(), ..Prompt::default() }
    }

    #[test]
    fn pieces_join_to_the_text_whatever_it_is() {
        for text in ["", "one", "one two  three", " lead", "日本語のテキストには空白がない、とても長い文", "x".repeat(1000).as_str()]
        {
            for (words_each, wanted) in [(1, None), (6, None), (1, Some(1)), (1, Some(3)), (1, Some(10_000))] {
                assert_eq!(pieces(text, words_each, wanted).concat(), text, "{text} {words_each} {wanted:?}");
            }
        }
    }

    #[test]
    fn a_number_of_chunks_is_met_exactly() {
        for chunks in [1, 2, 7, 100, 1000] {
            let text = answer("openai", &prompt("hi"), &Shaping { chunks: Some(chunks), ..Shaping::default() });
            assert_eq!(pieces(&text, 1, Some(chunks)).len(), chunks);
        }
    }

    #[test]
    fn a_length_in_bytes_is_met_exactly_between_characters() {
        for bytes in [0, 1, 60, 61, 62, 63, 100_000] {
            let text =
                answer("openai", &prompt("日本語日本語日本語日本語日本語"), &Shaping { text_bytes: Some(bytes), ..Shaping::default() });
            assert_eq!(text.len(), bytes);
        }
    }

    #[test]
    fn a_long_prompt_is_quoted_in_part() {
        let text = answer("openai", &prompt(&"ä".repeat(5000)), &Shaping::default());
        assert!(text.len() < 2000 && text.contains("…\"."), "{}", text.len());
    }
}
