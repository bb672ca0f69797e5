//! The skeleton of one message of the assistant: what of it Chat has no field for, so that the message can be put together again when it comes back.
//!
//! Owns: the skeleton's text, taking it from a message or from a stream's events, and restoring a message by it. Not here: in which field it
//! travels (`render`, `messages`), and what a replay says (`domain::replay`): both ways it is carried as it is.
//!
//! It is a JSON list of all parts in order. Text, refusals, calls, images and sounds are only referred to, for Chat carries them itself;
//! thinking and blocks of a dialect's own kind are in it.

use crate::contract::{Media, Native, Part, PartBody, PartKind, Replay};
use crate::domain::part;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Parts of one message that are kept account of.
const MAX_PARTS: usize = 100_000;
/// Of all that a skeleton holds itself. One that grows beyond is given up.
const MAX_BYTES: usize = 16 << 20;

/// The skeleton of one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    entries: Vec<Entry>,
    bytes: usize,
    /// The numbers of the text and of the refusal that grew last.
    text_at: usize,
    refusal_at: usize,
    /// It grew too large, or its texts came side by side, which slices of one text can't tell.
    lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Thinking(String),
    /// Characters of the message's content.
    Text(usize),
    /// Characters of the message's refusal.
    Refusal(usize),
    /// A tool call's id.
    Call(String),
    /// One of the message's images, in order.
    Image,
    /// The message's sound: its transcript.
    Audio(String),
    /// What the caller was not shown, and what does not come back: a film.
    Hidden,
    Other {
        dialect: String,
        value: String,
    },
}

/// The skeleton of a message; none if Chat's own fields say all of it.
pub fn turn_of(parts: &[Part]) -> Option<String> {
    Turn::of(parts).to_text()
}

/// Puts a message's parts together as its skeleton says. False if the two do not fit, and then nothing is changed.
///
/// `parts` is what the message itself says. Replays are given as they were when the skeleton was taken, without a model.
pub fn restore(parts: &mut Vec<Part>, turn: &str) -> bool {
    let Ok(entries) = serde_json::from_str::<Vec<Entry>>(turn) else { return false };
    match Told::of(parts).assemble(entries) {
        Some(restored) => {
            *parts = restored;
            true
        }
        None => false,
    }
}

impl Turn {
    /// Of a whole message.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Self {
        let mut turn = Self::default();
        for part in parts {
            let kind = match &part.body {
                PartBody::Text(text) => Kind::Text(text.chars().count()),
                PartBody::Refusal(text) => Kind::Refusal(text.chars().count()),
                PartBody::Thinking(text) => Kind::Thinking(text.clone()),
                PartBody::ToolCall(call) => Kind::Call(call.id.clone()),
                PartBody::Image(_) => Kind::Image,
                PartBody::Audio(media) => Kind::Audio(media.transcript.clone().unwrap_or_default()),
                PartBody::Other(native) => other(native),
                PartBody::Video(_) | PartBody::Document(_) | PartBody::ToolResult(_) => Kind::Hidden,
            };
            turn.push(kind);
            turn.close(turn.entries.len().saturating_sub(1), part.replay.as_ref());
        }
        turn
    }

    /// Adds the next part of a stream.
    pub fn open(&mut self, kind: &PartKind) {
        self.push(match kind {
            PartKind::Text => Kind::Text(0),
            PartKind::Refusal => Kind::Refusal(0),
            PartKind::Thinking => Kind::Thinking(String::new()),
            PartKind::ToolCall(call) => Kind::Call(call.id.clone()),
            PartKind::Image(_) => Kind::Image,
            PartKind::Audio(media) => Kind::Audio(media.transcript.clone().unwrap_or_default()),
            PartKind::Video(_) => Kind::Hidden,
            PartKind::Other(native) => other(native),
        });
    }

    /// Adds the next part of a stream, which the caller is not shown.
    pub fn skip(&mut self) {
        self.push(Kind::Hidden);
    }

    /// Lets the part of a stream with this number grow.
    pub fn grow(&mut self, number: usize, text: &str) {
        let Some(entry) = self.entries.get_mut(number).filter(|_| !text.is_empty()) else { return };
        match &mut entry.kind {
            Kind::Text(chars) => {
                *chars += text.chars().count();
                self.lost |= number < self.text_at;
                self.text_at = number;
            }
            Kind::Refusal(chars) => {
                *chars += text.chars().count();
                self.lost |= number < self.refusal_at;
                self.refusal_at = number;
            }
            Kind::Thinking(grown) | Kind::Audio(grown) => {
                grown.push_str(text);
                self.weigh(text.len());
            }
            Kind::Call(_) | Kind::Image | Kind::Hidden | Kind::Other { .. } => {}
        }
    }

    /// Says what belongs to the part with this number.
    pub fn close(&mut self, number: usize, replay: Option<&Replay>) {
        if let (Some(entry), Some(replay)) = (self.entries.get_mut(number), replay) {
            entry.replay = Some(replay.data.clone());
            self.weigh(replay.data.len());
        }
    }

    /// Its text; none if it carries nothing that Chat's own fields do not, or was lost.
    pub fn to_text(&self) -> Option<String> {
        let carries = |entry: &Entry| entry.replay.is_some() || matches!(entry.kind, Kind::Other { .. });
        if self.lost || !self.entries.iter().any(carries) {
            return None;
        }
        serde_json::to_string(&self.entries).ok()
    }

    /// The ids of its tool calls.
    pub fn call_ids(&self) -> Vec<String> {
        let calls = self.entries.iter().filter_map(|entry| if let Kind::Call(id) = &entry.kind { Some(id.clone()) } else { None });
        calls.collect()
    }

    fn push(&mut self, kind: Kind) {
        self.lost |= self.entries.len() >= MAX_PARTS;
        if self.lost {
            return;
        }
        let bytes = match &kind {
            Kind::Thinking(text) | Kind::Audio(text) | Kind::Call(text) => text.len(),
            Kind::Other { dialect, value } => dialect.len() + value.len(),
            Kind::Text(_) | Kind::Refusal(_) | Kind::Image | Kind::Hidden => 0,
        };
        self.entries.push(Entry { kind, replay: None });
        self.weigh(bytes);
    }

    fn weigh(&mut self, more: usize) {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > MAX_BYTES {
            *self = Self { lost: true, ..Self::default() };
        }
    }
}

fn other(native: &Native) -> Kind {
    Kind::Other { dialect: native.dialect.clone(), value: native.value.clone() }
}

/// What a message itself says, to be taken piece by piece.
struct Told {
    text: String,
    refusal: String,
    /// Taken up to here, in bytes.
    text_taken: usize,
    refusal_taken: usize,
    /// The last part of the text, for what stands beside its body.
    last_text: Option<Part>,
    calls: VecDeque<Part>,
    images: VecDeque<Part>,
    audio: Option<Part>,
}

impl Told {
    fn of(parts: &[Part]) -> Self {
        let mut told = Self {
            text: String::new(),
            refusal: String::new(),
            text_taken: 0,
            refusal_taken: 0,
            last_text: None,
            calls: VecDeque::new(),
            images: VecDeque::new(),
            audio: None,
        };
        for part in parts {
            match &part.body {
                PartBody::Text(text) => {
                    told.text.push_str(text);
                    told.last_text = Some(Part { body: PartBody::Text(String::new()), ..part.clone() });
                }
                PartBody::Refusal(text) => told.refusal.push_str(text),
                PartBody::ToolCall(_) => told.calls.push_back(part.clone()),
                PartBody::Image(_) => told.images.push_back(part.clone()),
                PartBody::Audio(_) => told.audio = Some(part.clone()),
                _ => {}
            }
        }
        told
    }

    fn assemble(mut self, entries: Vec<Entry>) -> Option<Vec<Part>> {
        let has_images = !self.images.is_empty();
        let is_call = |entry: &&Entry| matches!(entry.kind, Kind::Call(_));
        // The legacy form writes its one call without the id.
        let has_lone_call = self.calls.len() == 1 && entries.iter().filter(is_call).count() == 1;
        let mut parts = Vec::with_capacity(entries.len());
        for Entry { kind, replay } in entries {
            let restored = match kind {
                Kind::Thinking(text) => part(PartBody::Thinking(text)),
                Kind::Text(chars) => part(PartBody::Text(slice(&self.text, &mut self.text_taken, chars)?)),
                Kind::Refusal(chars) => part(PartBody::Refusal(slice(&self.refusal, &mut self.refusal_taken, chars)?)),
                Kind::Call(_) if has_lone_call => self.calls.pop_front()?,
                Kind::Call(id) => self.call(&id)?,
                Kind::Image if has_images => self.images.pop_front()?,
                Kind::Audio(transcript) => match self.audio.take() {
                    Some(told) => sound(told, transcript),
                    None => continue,
                },
                Kind::Other { dialect, value } => part(PartBody::Other(valid(Native { dialect, value })?)),
                // A client that keeps no such field has not edited the rest.
                Kind::Image | Kind::Hidden => continue,
            };
            let replay = replay.map(|data| Replay { data, model: None });
            // An empty text is nothing but the place of its replay.
            if replay.is_some() || !matches!(&restored.body, PartBody::Text(text) | PartBody::Refusal(text) if text.is_empty()) {
                parts.push(Part { replay, ..restored });
            }
        }
        let used_up = self.text_taken == self.text.len() && self.refusal_taken == self.refusal.len();
        if !used_up || !self.calls.is_empty() || !self.images.is_empty() || self.audio.is_some() {
            return None;
        }
        self.dress_last_text(&mut parts);
        Some(parts)
    }

    fn call(&mut self, id: &str) -> Option<Part> {
        let is_meant = |part: &Part| matches!(&part.body, PartBody::ToolCall(call) if call.id == id);
        self.calls.remove(self.calls.iter().position(is_meant)?)
    }

    /// A cache breakpoint stands at the end of the content.
    fn dress_last_text(&mut self, parts: &mut [Part]) {
        let last = parts.iter_mut().rev().find(|part| matches!(part.body, PartBody::Text(_)));
        if let (Some(last), Some(told)) = (last, self.last_text.take()) {
            last.cache = told.cache;
            last.extras = told.extras;
        }
    }
}

/// The next characters of a text.
fn slice(text: &str, taken: &mut usize, chars: usize) -> Option<String> {
    let rest = text.get(*taken..)?;
    let bytes = match rest.char_indices().nth(chars) {
        Some((at, _)) => at,
        None if rest.chars().count() == chars => rest.len(),
        None => return None,
    };
    *taken += bytes;
    rest.get(..bytes).map(str::to_owned)
}

/// What comes back of a sound is its id; what was said in it is for a provider that does not have it.
fn sound(told: Part, transcript: String) -> Part {
    match told.body {
        PartBody::Audio(audio) => part(PartBody::Audio(Media { transcript: Some(transcript).filter(|text| !text.is_empty()), ..audio })),
        body => Part { body, ..told },
    }
}

fn valid(native: Native) -> Option<Native> {
    serde_json::from_str::<serde::de::IgnoredAny>(&native.value).is_ok().then_some(native)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{ToolCall, ToolCallOpening};

    fn sealed(body: PartBody, data: &str) -> Part {
        Part { replay: Some(Replay { data: data.into(), model: None }), ..part(body) }
    }

    fn call(id: &str) -> PartBody {
        PartBody::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into(), free_form: false })
    }

    fn message() -> Vec<Part> {
        vec![
            sealed(PartBody::Thinking("hm".into()), "gw1;a"),
            part(PartBody::Text("né ".into())),
            part(PartBody::Other(Native { dialect: "anthropic-messages".into(), value: r#"{"type":"x"}"#.into() })),
            sealed(PartBody::Text("🦀!".into()), "gw1;b"),
            part(call("a")),
            sealed(call("b"), "gw1;c"),
            sealed(PartBody::Text(String::new()), "gw1;d"),
        ]
    }

    /// What Chat's own fields say of the message.
    fn told(content: &str, calls: &[&str]) -> Vec<Part> {
        let mut parts = vec![part(PartBody::Text(content.into()))];
        parts.extend(calls.iter().map(|id| part(call(id))));
        parts
    }

    #[test]
    fn a_message_that_comes_back_unchanged_is_whole_again() {
        let turn = turn_of(&message()).unwrap();
        let mut parts = told("né 🦀!", &["b", "a"]);
        assert!(restore(&mut parts, &turn));
        assert_eq!(parts, message());
    }

    #[test]
    fn a_message_that_was_edited_stays_as_it_came() {
        let turn = turn_of(&message()).unwrap();
        for edited in [
            told("né 🦀", &["a", "b"]),
            told("né 🦀!!", &["a", "b"]),
            told("né 🦀!", &["a"]),
            told("né 🦀!", &["a", "c"]),
            told("né 🦀!", &["a", "b", "c"]),
        ] {
            let mut parts = edited.clone();
            assert!(!restore(&mut parts, &turn));
            assert_eq!(parts, edited);
        }
    }

    #[test]
    fn what_is_no_skeleton_restores_nothing() {
        for turn in ["", "{}", "[1]", r#"[{"poem":1}]"#, r#"[{"text":-1}]"#, r#"[{"text":1},{"other":{"dialect":"x","value":"{"}}]"#] {
            assert!(!restore(&mut told("a", &[]), turn), "{turn}");
        }
    }

    #[test]
    fn what_chat_can_say_itself_needs_no_skeleton() {
        assert_eq!(turn_of(&told("hello", &["a"])), None);
    }

    #[test]
    fn a_stream_gives_the_skeleton_of_the_whole_message() {
        let mut turn = Turn::default();
        for (number, part) in message().iter().enumerate() {
            let (kind, text) = match &part.body {
                PartBody::Thinking(text) => (PartKind::Thinking, text.as_str()),
                PartBody::Text(text) => (PartKind::Text, text.as_str()),
                PartBody::Other(native) => (PartKind::Other(native.clone()), ""),
                PartBody::ToolCall(call) => {
                    (PartKind::ToolCall(ToolCallOpening { id: call.id.clone(), name: call.name.clone(), free_form: false }), "{}")
                }
                _ => continue,
            };
            turn.open(&kind);
            for piece in text.split_inclusive(' ') {
                turn.grow(number, piece);
            }
            turn.close(number, part.replay.as_ref());
        }
        assert_eq!(turn.to_text(), turn_of(&message()));
        assert_eq!(turn.call_ids(), ["a", "b"]);
    }

    #[test]
    fn texts_that_come_side_by_side_have_no_skeleton() {
        let mut turn = Turn::default();
        turn.open(&PartKind::Text);
        turn.open(&PartKind::Text);
        turn.grow(0, "a");
        turn.grow(1, "b");
        turn.close(1, Some(&Replay { data: "gw1;a".into(), model: None }));
        assert!(turn.to_text().is_some());
        turn.grow(0, "c");
        assert_eq!(turn.to_text(), None);
    }

    #[test]
    fn a_skeleton_that_grows_too_large_is_given_up() {
        let mut turn = Turn::default();
        turn.open(&PartKind::Thinking);
        turn.close(0, Some(&Replay { data: "x".repeat(MAX_BYTES), model: None }));
        turn.grow(0, "x");
        assert_eq!((turn.to_text(), turn.bytes), (None, 0));
    }
}
