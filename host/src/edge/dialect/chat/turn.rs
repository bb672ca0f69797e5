//! The skeleton of one message of the assistant: what of it Chat has no field for, so that the message can be put together again when it comes back.
//!
//! Owns: the skeleton's text, taking it from a message or from a stream's events, and restoring a message by it. Not here: in which field it
//! travels (`render`, `messages`), and what a replay says (`domain::replay`): both ways it is carried as it is.
//!
//! It is a JSON list of all parts in order. Text, refusals, calls, images and sounds are only referred to, for Chat carries them itself;
//! thinking and blocks of a dialect's own kind are in it.

use crate::contract::{Media, Native, Part, PartBody, PartKind, Replay};
use crate::domain::part;
use crate::domain::replay::{self, History};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

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

/// After which conversation a skeleton's message was said; none if it has no replay.
pub fn history_of(turn: &str) -> Option<History> {
    let entries: Vec<Entry> = serde_json::from_str(turn).ok()?;
    entries.iter().find_map(|entry| Some(replay::open(entry.replay.as_deref()?)?.0.history))
}

/// Puts a message's parts together as its skeleton says. False if their calls differ, and then nothing is changed.
///
/// `parts` is what the message itself says. Texts that a client trimmed or left out stay as they came, without their replays; all else
/// is put back. Replays are given as they were when the skeleton was taken, without a model.
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
    texts: Texts,
    refusals: Texts,
    /// By id, those with the same one in order.
    calls: HashMap<String, VecDeque<Part>>,
    images: VecDeque<Part>,
    audio: Option<Part>,
}

impl Told {
    fn of(parts: &[Part]) -> Self {
        let mut told = Self {
            texts: Texts::of(PartBody::Text),
            refusals: Texts::of(PartBody::Refusal),
            calls: HashMap::new(),
            images: VecDeque::new(),
            audio: None,
        };
        for part in parts {
            match &part.body {
                PartBody::Text(text) => told.texts.add(text, part),
                PartBody::Refusal(text) => told.refusals.add(text, part),
                PartBody::ToolCall(call) => told.calls.entry(call.id.clone()).or_default().push_back(part.clone()),
                PartBody::Image(_) => told.images.push_back(part.clone()),
                PartBody::Audio(_) => told.audio = Some(part.clone()),
                _ => {}
            }
        }
        told
    }

    /// None if the calls are others than the skeleton's, or if it is none of ours.
    fn assemble(mut self, entries: Vec<Entry>) -> Option<Vec<Part>> {
        let sizes = |size: fn(&Kind) -> Option<usize>| entries.iter().filter_map(move |entry| size(&entry.kind));
        self.texts.compare(sizes(|kind| if let Kind::Text(chars) = kind { Some(*chars) } else { None }));
        self.refusals.compare(sizes(|kind| if let Kind::Refusal(chars) = kind { Some(*chars) } else { None }));
        // The legacy form writes its one call without the id.
        let calls = sizes(|kind| matches!(kind, Kind::Call(_)).then_some(1)).count();
        let has_lone_call = calls == 1 && self.calls.values().map(VecDeque::len).sum::<usize>() == 1;
        let has_all_images = sizes(|kind| matches!(kind, Kind::Image).then_some(1)).count() == self.images.len();
        let mut parts = Vec::with_capacity(entries.len());
        for Entry { kind, replay } in entries {
            let replay = replay.map(|data| Replay { data, model: None });
            let restored = match kind {
                Kind::Text(chars) => {
                    parts.extend(self.texts.take(chars, replay));
                    continue;
                }
                Kind::Refusal(chars) => {
                    parts.extend(self.refusals.take(chars, replay));
                    continue;
                }
                Kind::Thinking(text) => part(PartBody::Thinking(text)),
                Kind::Call(_) if has_lone_call => self.calls.drain().find_map(|(_, mut calls)| calls.pop_front())?,
                Kind::Call(id) => self.calls.get_mut(&id)?.pop_front()?,
                Kind::Image if has_all_images => self.images.pop_front()?,
                Kind::Audio(transcript) => match self.audio.take() {
                    Some(told) => sound(told, transcript),
                    None => continue,
                },
                Kind::Other { dialect, value } => part(PartBody::Other(valid(Native { dialect, value })?)),
                // A client that keeps no such field has not edited the rest.
                Kind::Image | Kind::Hidden => continue,
            };
            parts.push(Part { replay, ..restored });
        }
        if self.calls.values().any(|calls| !calls.is_empty()) {
            return None;
        }
        // What has no place of its own is said before anything is called.
        let first_call = parts.iter().position(|part| matches!(part.body, PartBody::ToolCall(_))).unwrap_or(parts.len());
        let placeless = self.texts.rest().into_iter().chain(self.refusals.rest()).chain(self.images).chain(self.audio);
        parts.splice(first_call..first_call, placeless);
        Some(parts)
    }
}

/// All that a message says in one kind of parts.
struct Texts {
    body: fn(String) -> PartBody,
    /// As they came, until they are taken.
    parts: Vec<Part>,
    whole: String,
    /// Whether they are as long as the skeleton says. Else a client trimmed them or left them out, and nobody knows what belongs where.
    fit: bool,
    /// In bytes.
    taken: usize,
}

impl Texts {
    fn of(body: fn(String) -> PartBody) -> Self {
        Self { body, parts: Vec::new(), whole: String::new(), fit: false, taken: 0 }
    }

    fn add(&mut self, text: &str, part: &Part) {
        if !text.is_empty() {
            self.whole.push_str(text);
            self.parts.push(part.clone());
        }
    }

    /// `sizes`: of the skeleton's parts, in characters.
    fn compare(&mut self, sizes: impl Iterator<Item = usize>) {
        self.fit = sizes.fold(0, usize::saturating_add) == self.whole.chars().count();
    }

    /// What stands at the next place, which the skeleton says is of so many characters. Texts that do not fit all stand at the first.
    fn take(&mut self, chars: usize, replay: Option<Replay>) -> Vec<Part> {
        match (self.fit, chars) {
            (true, _) => self.slice(chars, replay).into_iter().collect(),
            // Nothing but the place of a replay.
            (false, 0) => Vec::new(),
            (false, _) => std::mem::take(&mut self.parts),
        }
    }

    fn slice(&mut self, chars: usize, replay: Option<Replay>) -> Option<Part> {
        let text = slice(&self.whole, &mut self.taken, chars)?;
        // A cache breakpoint stands at the end of the content.
        let dress = if chars > 0 && self.taken == self.whole.len() { self.parts.pop() } else { None };
        (chars > 0 || replay.is_some()).then(|| {
            let restored = part((self.body)(text));
            let (cache, extras) = dress.map_or_else(Default::default, |last| (last.cache, last.extras));
            Part { replay, cache, extras, ..restored }
        })
    }

    /// What no place was found for.
    fn rest(&mut self) -> Vec<Part> {
        if self.fit { Vec::new() } else { std::mem::take(&mut self.parts) }
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
    fn a_message_with_other_calls_stays_as_it_came() {
        let turn = turn_of(&message()).unwrap();
        for calls in [["a"].as_slice(), &["a", "c"], &["a", "b", "c"], &["a", "a"]] {
            let edited = told("né 🦀!", calls);
            let mut parts = edited.clone();
            assert!(!restore(&mut parts, &turn));
            assert_eq!(parts, edited);
        }
    }

    /// The message of which the caller says another text, at the place of the first.
    fn message_saying(text: &str) -> Vec<Part> {
        let [thinking, _, other, _, a, b, _] = <[Part; 7]>::try_from(message()).unwrap();
        let text = (!text.is_empty()).then(|| part(PartBody::Text(text.into())));
        [thinking].into_iter().chain(text).chain([other, a, b]).collect()
    }

    #[test]
    fn a_text_that_was_trimmed_left_out_or_added_to_costs_its_own_replays_alone() {
        let turn = turn_of(&message()).unwrap();
        for text in ["né 🦀", "né", "né 🦀!!", ""] {
            let mut parts = told(text, &["a", "b"]);
            parts.retain(|part| part.body != PartBody::Text(String::new()));
            assert!(restore(&mut parts, &turn), "{text}");
            assert_eq!(parts, message_saying(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_was_added_to_a_mere_call_is_said_before_it() {
        let turn = turn_of(&[sealed(PartBody::Thinking("hm".into()), "gw1;a"), sealed(call("a"), "gw1;b")]).unwrap();
        let mut parts = told("so", &["a"]);
        assert!(restore(&mut parts, &turn));
        assert_eq!(
            parts,
            [sealed(PartBody::Thinking("hm".into()), "gw1;a"), part(PartBody::Text("so".into())), sealed(call("a"), "gw1;b")]
        );
    }

    #[test]
    fn calls_with_one_id_keep_their_order() {
        let turn = turn_of(&[sealed(call("a"), "gw1;1"), sealed(call("a"), "gw1;2")]).unwrap();
        let mut parts = told("", &["a", "a"]);
        assert!(restore(&mut parts, &turn));
        assert_eq!(parts, [sealed(call("a"), "gw1;1"), sealed(call("a"), "gw1;2")]);
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
