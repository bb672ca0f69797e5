//! The most tokens that a text can have, in any vocabulary.
//!
//! Owns: a bound that is a sum over all of the text, so that nothing can be hidden from it. Not here: how many there are likely to be (`domain::estimate`).
//!
//! No vocabulary that falls back to bytes makes more tokens of a text than it has bytes. Below that are only
//! - common words (`words.txt`), which are one token each, or two after a sign that may be joined with their beginning;
//! - other words of ASCII letters: of two neighbouring letters that make a token, one at least is joined with a neighbour. So n letters are at most
//!   (2n + 1 + p) / 3 tokens, where p is the number of their pairs that make none;
//! - a space before a word, which belongs to it, and runs of one blank;
//! - characters that are one token (`characters.txt`), and a quarter of one for bytes that are joined across their borders.
//!
//! The lists have what is whole in the vocabularies of OpenAI, Mistral and Qwen; words also with a capital, and with a space before them.

use std::collections::HashSet;
use std::sync::LazyLock;

const WORDS: &str = include_str!("words.txt");
const LONGEST_WORD: usize = 16;
const CHARACTERS: &str = include_str!("characters.txt");
/// Pairs of small letters that are no token in one of the vocabularies at least.
const APART: &str = "bh bk bq bv bw bz cg cj cw dg dj dq fj fq fv fz gc gf gj gk gq gw gx hb hc hf hg hj hq hx hz jb jc jf jg jh jl jp jr jv jw jx jy jz kf \
    kp kq kx kz lh lq lw lz mf mh mj mw mz nq nv nw nz oq pq pv pw pz qb qc qe qf qg qh qj qk qm qn qo qv qw qx qy qz rj rq sj sx tg tj tq uq vb vf vj vk vq \
    vx vz wf wg wj wk wq wv wz xg xh xj xk xm xn xp xq xr xu xv xw xz yf yh yj yq yv zc zf zg zj zl zp zq zr zv zx";
const LETTERS: usize = 26;
/// Tokens are counted in quarters.
const TOKEN: usize = 4;
const KNOWN_CHARACTER: usize = 5;

static LISTS: LazyLock<Lists> = LazyLock::new(Lists::read);

struct Lists {
    words: HashSet<&'static [u8]>,
    characters: HashSet<char>,
    /// By the first letter and the second.
    apart: [[bool; LETTERS]; LETTERS],
}

/// Takes some tens of nanoseconds for each word.
pub(super) fn of_text(text: &str) -> u64 {
    let lists = &*LISTS;
    let (mut quarters, mut rest, mut before) = (0, text, ' ');
    while let Some(first) = rest.chars().next() {
        let bytes = rest.as_bytes();
        let (length, most) = match first {
            'a'..='z' | 'A'..='Z' => lists.word(bytes, before),
            ' ' | '\t' | '\n' => blanks(bytes),
            other => (other.len_utf8(), lists.character(other)),
        };
        quarters += most as u64;
        before = first;
        rest = rest.get(length..).unwrap_or_default();
    }
    quarters.div_ceil(TOKEN as u64)
}

/// The length of the run of one blank that a text begins with, and its quarters. The last of several stands apart from the others, unless they are lines.
fn blanks(text: &[u8]) -> (usize, usize) {
    let blank = text.first();
    let length = text.iter().take_while(|byte| Some(*byte) == blank).count();
    let begins_word = text.get(length).is_some_and(u8::is_ascii_alphabetic);
    let tokens = match (blank, length) {
        (Some(b'\n'), _) => length.div_ceil(4),
        (Some(b' '), _) if begins_word => (length - 1).div_ceil(8),
        (_, 1) => 1,
        _ => 1 + (length - 1).div_ceil(8),
    };
    (length, TOKEN * tokens)
}

impl Lists {
    fn read() -> Self {
        let mut apart = [[false; LETTERS]; LETTERS];
        for pair in APART.split(' ') {
            if let [first, second] = pair.as_bytes() {
                apart[usize::from(first - b'a')][usize::from(second - b'a')] = true;
            }
        }
        Self {
            words: WORDS.split_ascii_whitespace().map(str::as_bytes).collect(),
            characters: CHARACTERS.chars().filter(|character| *character != '\n').collect(),
            apart,
        }
    }

    /// The length of the word that a text begins with, and its quarters. A capital after a small letter begins another word.
    fn word(&self, text: &[u8], before: char) -> (usize, usize) {
        let capitals = text.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let length = capitals + text.iter().skip(capitals).take_while(|byte| byte.is_ascii_lowercase()).count();
        let (word, after) = text.split_at_checked(length).unwrap_or((text, &[]));
        let ends = after.first().is_none_or(|after| after.is_ascii() && !after.is_ascii_alphabetic());
        // Of what stands after an apostrophe, the beginning may be one token: 's, 're.
        let begins = before.is_ascii() && !before.is_ascii_alphabetic() && before != '\'';
        if begins && ends && capitals <= 1 && self.knows(word) {
            let stands_alone = matches!(before, ' ' | '\n' | '0'..='9');
            return (length, if stands_alone { TOKEN } else { 2 * TOKEN });
        }
        let apart = word.iter().zip(word.iter().skip(1)).filter(|(first, second)| self.are_apart(**first, **second)).count();
        // With the space before it.
        (length, TOKEN * ((2 * (length + 1) + 1 + apart) / 3))
    }

    fn knows(&self, word: &[u8]) -> bool {
        let mut small = [0; LONGEST_WORD];
        let Some(small) = small.get_mut(..word.len()) else { return false };
        small.copy_from_slice(word);
        small.make_ascii_lowercase();
        self.words.contains(&*small)
    }

    /// Of capitals, any pair may be.
    fn are_apart(&self, first: u8, second: u8) -> bool {
        let at = |letter: u8| usize::from(letter.wrapping_sub(b'a'));
        self.apart.get(at(first)).and_then(|row| row.get(at(second))).copied().unwrap_or(true)
    }

    fn character(&self, character: char) -> usize {
        if self.characters.contains(&character) { KNOWN_CHARACTER } else { TOKEN * character.len_utf8() }
    }
}
