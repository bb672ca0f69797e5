//! How many tokens a text is likely to have, by what it consists of: words, digits, punctuation, line breaks, characters of East Asia and so on, each with
//! its usual share of tokens. Nothing here but the standard library: the gateway compiles this file too, so that both estimate alike.
//!
//! The shares were fitted to three public vocabularies over English prose and documentation, Rust, Python, JavaScript and JSON, and prose and manuals in
//! Chinese, Japanese and Korean; those of further alphabets over texts in ten languages. A text of a paragraph is within a tenth as a rule; very short or
//! odd ones (hexadecimal, rare scripts) can be further off.
//!
//! In East Asian texts common pairs of characters are one token and rare ones two or more, so the commonest 1600 of them are listed (`pairs.txt`: those that
//! OpenAI's and Google's vocabularies both have, sorted, six bytes each).

const PAIRS: &str = include_str!("pairs.txt");

/// A public vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// OpenAI's, from GPT-4o on.
    O200k,
    /// Mistral's.
    Tekken,
    /// Google's, of the open models.
    Gemma,
}

/// A longer text is sampled, so that none takes long.
const LONGEST_READ: usize = 64 << 10;
const SAMPLES: usize = 8;

/// Of one text, or about: of a long one only pieces are read, evenly spread.
pub fn tokens(text: &str, vocabulary: Vocabulary) -> f64 {
    let mut texts = Texts::default();
    if text.len() <= LONGEST_READ {
        texts.read(text);
        return texts.tokens(vocabulary);
    }
    let mut read = 0;
    for sample in 0..SAMPLES {
        let from = text.floor_char_boundary(text.len() / SAMPLES * sample);
        let to = text.floor_char_boundary(from + LONGEST_READ / SAMPLES);
        let piece = text.get(from..to).unwrap_or_default();
        texts.read(piece);
        read += piece.len();
    }
    texts.tokens(vocabulary) * (text.len() as f64 / read.max(1) as f64)
}

/// What was met of a text so far. Read in pieces, it comes to the same as in one.
#[derive(Debug, Clone, Copy)]
pub struct Texts {
    met: [u64; SHARES.len()],
    run: Run,
    /// The last character, if it is one of East Asia and not yet of a pair.
    single: Option<char>,
}

/// What takes a share of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    /// A letter of a word beyond the seventh.
    LongLetter,
    /// A word of another alphabet.
    FurtherWord,
    /// A letter with an accent, or any but the first of another alphabet.
    FurtherLetter,
    /// Up to three digits in a row.
    Digits,
    Digit,
    /// Several spaces in a row.
    Spaces,
    /// Several at a line's beginning.
    Indent,
    Break,
    BreakAfterPunctuation,
    Punctuation,
    PunctuationAfterWord,
    MorePunctuation,
    Han,
    HanPair,
    Kana,
    KanaPair,
    Hangul,
    HangulPair,
    /// Punctuation of East Asia.
    Wide,
    /// An emoji, a box, a control character.
    Symbol,
}

/// Tokens of each kind, in the order of [`Kind`], by the vocabularies in the order of [`Vocabulary`].
const SHARES: [(Kind, [f64; 3]); 21] = [
    (Kind::Word, [1.0, 1.0, 0.97]),
    (Kind::LongLetter, [0.15, 0.21, 0.12]),
    (Kind::FurtherWord, [1.4, 1.54, 1.4]),
    (Kind::FurtherLetter, [0.2, 0.22, 0.2]),
    (Kind::Digits, [1.36, 0.84, 0.18]),
    (Kind::Digit, [0.0, 0.79, 0.98]),
    (Kind::Spaces, [0.84, 1.0, 0.99]),
    (Kind::Indent, [0.73, 0.6, 0.62]),
    (Kind::Break, [1.25, 1.74, 1.4]),
    (Kind::BreakAfterPunctuation, [0.23, 0.52, 1.3]),
    (Kind::Punctuation, [1.16, 1.06, 1.12]),
    (Kind::PunctuationAfterWord, [0.62, 0.65, 1.04]),
    (Kind::MorePunctuation, [0.15, 0.22, 0.08]),
    (Kind::Han, [0.9, 1.2, 0.81]),
    (Kind::HanPair, [0.68, 1.58, 0.76]),
    (Kind::Kana, [0.91, 0.76, 0.63]),
    (Kind::KanaPair, [0.74, 0.98, 0.35]),
    (Kind::Hangul, [1.01, 0.75, 0.9]),
    (Kind::HangulPair, [0.63, 1.11, 0.66]),
    (Kind::Wide, [1.72, 0.0, 0.93]),
    (Kind::Symbol, [1.33, 1.75, 0.88]),
];

/// What a character is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    FurtherLetter,
    Digit,
    Space,
    /// A line break or a tab.
    Break,
    Punctuation,
    Han,
    Kana,
    Hangul,
    Wide,
    Symbol,
}

/// A run of characters of one class: where the count stands in it.
#[derive(Debug, Clone, Copy)]
struct Run {
    class: Class,
    /// 0 before the first character.
    length: u64,
    capital: bool,
    indents: bool,
}

/// Letters of a word that come without a further token.
const SHORT_WORD: u64 = 7;
const DIGITS: u64 = 3;

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

    /// Of East Asia: as a single character, and in a pair.
    fn alone_and_paired(self) -> Option<(Kind, Kind)> {
        match self {
            Self::Han => Some((Kind::Han, Kind::HanPair)),
            Self::Kana => Some((Kind::Kana, Kind::KanaPair)),
            Self::Hangul => Some((Kind::Hangul, Kind::HangulPair)),
            _ => None,
        }
    }
}

impl Default for Texts {
    fn default() -> Self {
        let run = Run { class: Class::Symbol, length: 0, capital: false, indents: false };
        Self { met: [0; SHARES.len()], run, single: None }
    }
}

impl Texts {
    /// Goes on with a text.
    pub fn read(&mut self, text: &str) {
        text.chars().for_each(|character| self.next(character));
    }

    pub fn tokens(&self, vocabulary: Vocabulary) -> f64 {
        let share = |shares: &[f64; 3]| match vocabulary {
            Vocabulary::O200k => shares[0],
            Vocabulary::Tekken => shares[1],
            Vocabulary::Gemma => shares[2],
        };
        self.met.iter().zip(&SHARES).map(|(met, (_, shares))| *met as f64 * share(shares)).sum()
    }

    fn next(&mut self, character: char) {
        let (class, run) = (Class::of(character), self.run);
        let begins = class != run.class || run.length == 0;
        let capital = character.is_ascii_uppercase();
        // Words in camel case are words.
        let new_word = begins || capital && !run.capital;
        let length = if begins || class == Class::Letter && new_word { 1 } else { run.length + 1 };
        let indents = class == Class::Space && if begins { run.class == Class::Break } else { run.indents };
        match class {
            Class::Letter if new_word => self.met(Kind::Word),
            Class::Letter if length > SHORT_WORD => self.met(Kind::LongLetter),
            Class::Letter => {}
            Class::FurtherLetter if begins && run.class != Class::Letter => self.met(Kind::FurtherWord),
            Class::FurtherLetter => self.met(Kind::FurtherLetter),
            Class::Digit => {
                self.met(Kind::Digit);
                if (length - 1).is_multiple_of(DIGITS) {
                    self.met(Kind::Digits);
                }
            }
            // One space belongs to the word after it.
            Class::Space if length == 2 => self.met(if indents { Kind::Indent } else { Kind::Spaces }),
            Class::Space => {}
            Class::Break if begins && run.class == Class::Punctuation => self.met(Kind::BreakAfterPunctuation),
            Class::Break if begins => self.met(Kind::Break),
            Class::Break => {}
            Class::Punctuation if !begins => self.met(Kind::MorePunctuation),
            Class::Punctuation if matches!(run.class, Class::Letter | Class::Digit) => self.met(Kind::PunctuationAfterWord),
            Class::Punctuation => self.met(Kind::Punctuation),
            Class::Han | Class::Kana | Class::Hangul => {}
            Class::Wide => self.met(Kind::Wide),
            Class::Symbol => self.met(Kind::Symbol),
        }
        self.pair(character, class);
        self.run = Run { class, length, capital, indents };
    }

    /// Characters of East Asia count alone until the next one makes a pair with them.
    fn pair(&mut self, character: char, class: Class) {
        let before = self.single.take();
        let Some((alone, paired)) = class.alone_and_paired() else { return };
        match before.filter(|before| is_pair(*before, character)) {
            Some(_) => {
                self.unmeet(alone);
                self.met(paired);
            }
            None => {
                self.met(alone);
                self.single = Some(character);
            }
        }
    }

    fn met(&mut self, kind: Kind) {
        self.met[kind as usize] += 1;
    }

    fn unmeet(&mut self, kind: Kind) {
        self.met[kind as usize] = self.met[kind as usize].saturating_sub(1);
    }
}

/// Whether the two are common together. Both of a listed pair are of one class.
fn is_pair(one: char, other: char) -> bool {
    let mut pair = [0; 8];
    let length = one.encode_utf8(&mut pair).len();
    if length != 3 || other.len_utf8() != 3 {
        return false;
    }
    other.encode_utf8(&mut pair[3..]);
    PAIRS.as_bytes().as_chunks::<6>().0.binary_search_by(|known| known[..].cmp(&pair[..6])).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_whole() {
        let pairs: Vec<char> = PAIRS.chars().collect();
        assert_eq!((pairs.len(), PAIRS.len()), (3200, 9600));
        assert!(pairs.chunks(2).is_sorted());
        assert!(is_pair('我', '们') && !is_pair('们', '我') && !is_pair('a', '我') && !is_pair('我', 'a'));
    }

    #[test]
    fn shares_stand_in_the_order_of_their_kinds() {
        assert!(SHARES.iter().enumerate().all(|(at, (kind, _))| *kind as usize == at));
    }

    #[test]
    fn a_long_text_counts_about_as_its_parts() {
        let text = "The harbour was quiet. 我们的设置很好。\n";
        let ratio = tokens(&text.repeat(10_000), Vocabulary::Gemma) / (tokens(text, Vocabulary::Gemma) * 10_000.0);
        assert!((0.99..1.01).contains(&ratio), "{ratio}");
    }

    #[test]
    fn a_text_in_pieces_counts_like_a_whole_one() {
        let text = "The URL of getUserName is  12345:\n    我们的设置 これは 했습니다 (ok)…";
        let mut whole = Texts::default();
        whole.read(text);
        for piece in 1..5 {
            let mut texts = Texts::default();
            let characters: Vec<char> = text.chars().collect();
            characters.chunks(piece).for_each(|piece| texts.read(&piece.iter().collect::<String>()));
            assert_eq!(texts.met, whole.met);
        }
    }
}
