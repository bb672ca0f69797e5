//! One choice of a stream: what each of its events adds to the message that the caller is putting together.

use crate::contract::{Media, MediaSource, PartCitation, PartClosing, PartGrowth, PartKind, PartOpening};
use crate::edge::dialect::chat::body::{AudioBody, CallBody, Delta, FunctionBody};
use crate::edge::dialect::chat::extras;
use crate::edge::dialect::chat::render::CallForm;
use crate::edge::dialect::chat::turn::Turn;
use serde_json::Value;

/// Parts of one choice that are shown.
const MAX_PARTS: usize = 100_000;

#[derive(Debug)]
pub struct ChoiceState {
    index: u32,
    /// By the part's number.
    parts: Vec<Shown>,
    turn: Turn,
    calls: usize,
    images: usize,
    annotations: usize,
    has_audio: bool,
    /// Characters of the content.
    chars: usize,
    finished: bool,
}

/// How a part's growth is shown.
#[derive(Debug)]
enum Shown {
    Text {
        /// Where it begins in the content, in characters.
        from: usize,
    },
    Refusal,
    Thinking,
    Call(Call),
    /// Held until it is whole.
    Image(Media),
    Audio,
    Not,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    index: usize,
    free_form: bool,
    form: CallForm,
    empty: bool,
}

impl ChoiceState {
    pub fn new(index: u32) -> Self {
        Self {
            index,
            parts: Vec::new(),
            turn: Turn::default(),
            calls: 0,
            images: 0,
            annotations: 0,
            has_audio: false,
            chars: 0,
            finished: false,
        }
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    pub fn is_finished(&self) -> bool {
        self.finished
    }

    pub fn open<'e>(&mut self, opening: &'e PartOpening, form: CallForm) -> Option<Delta<'e>> {
        let is_next = usize::try_from(opening.part).is_ok_and(|number| number == self.parts.len() && number < MAX_PARTS);
        if self.finished || !is_next {
            return None;
        }
        let shown = self.showing(&opening.kind, form);
        match (&opening.kind, &shown) {
            (PartKind::ToolCall(_), Shown::Not) => self.turn.skip(),
            (kind, _) => self.turn.open(kind),
        }
        let delta = match (&opening.kind, &shown) {
            (PartKind::ToolCall(told), Shown::Call(call)) => Some(match form {
                CallForm::ToolCalls => of_call(CallBody::opening(call.index, &told.id, Some(&told.name), told.free_form)),
                CallForm::FunctionCall => of_function(FunctionBody { name: Some(&told.name), arguments: "" }),
            }),
            (PartKind::Audio(Media { source: MediaSource::Base64(beginning), transcript, .. }), Shown::Audio) => {
                audio(beginning, transcript.as_deref().unwrap_or_default())
            }
            _ => None,
        };
        self.parts.push(shown);
        delta
    }

    fn showing(&mut self, kind: &PartKind, form: CallForm) -> Shown {
        match kind {
            PartKind::Text => Shown::Text { from: self.chars },
            PartKind::Refusal => Shown::Refusal,
            PartKind::Thinking => Shown::Thinking,
            PartKind::ToolCall(call) if form.has_room_for(self.calls) => {
                self.calls += 1;
                Shown::Call(Call { index: self.calls - 1, free_form: call.free_form, form, empty: true })
            }
            PartKind::Image(media) => Shown::Image(media.clone()),
            // A message has one.
            PartKind::Audio(_) if !std::mem::replace(&mut self.has_audio, true) => Shown::Audio,
            PartKind::ToolCall(_) | PartKind::Audio(_) | PartKind::Video(_) | PartKind::Other(_) => Shown::Not,
        }
    }

    pub fn grow<'e>(&mut self, growth: &'e PartGrowth) -> Option<Delta<'e>> {
        let number = usize::try_from(growth.part).ok()?;
        let shown = self.parts.get_mut(number)?;
        let text = growth.text.as_str();
        self.turn.grow(number, text);
        match shown {
            Shown::Text { .. } => {
                self.chars += text.chars().count();
                Some(Delta { content: Some(text), ..Delta::default() })
            }
            Shown::Refusal => Some(Delta { refusal: Some(text), ..Delta::default() }),
            Shown::Thinking => Some(Delta { reasoning_content: Some(text), ..Delta::default() }),
            Shown::Call(call) => {
                call.empty &= text.is_empty();
                Some(call.piece(text))
            }
            Shown::Image(Media { source: MediaSource::Base64(base64), .. }) => {
                base64.push_str(growth.media.as_deref().unwrap_or_default());
                None
            }
            Shown::Audio => audio(growth.media.as_deref().unwrap_or_default(), text),
            Shown::Image(_) | Shown::Not => None,
        }
    }

    /// Gives up an image that is too large to hold.
    pub fn let_image_go(&mut self, part: u32) {
        if let Some(shown @ Shown::Image(_)) = usize::try_from(part).ok().and_then(|number| self.parts.get_mut(number)) {
            *shown = Shown::Not;
        }
    }

    pub fn cite(&mut self, cited: &PartCitation) -> Option<Delta<'static>> {
        let Shown::Text { from } = self.parts.get(usize::try_from(cited.part).ok()?)? else { return None };
        let mut annotation = extras::annotation(&cited.citation, (*from, self.chars))?;
        // Without it, the SDKs' helpers take a second entry for an error.
        annotation.insert("index".to_owned(), Value::from(self.annotations));
        self.annotations += 1;
        Some(Delta { annotations: Some([Value::Object(annotation)]), ..Delta::default() })
    }

    pub fn close(&mut self, closing: &PartClosing) -> Option<Delta<'static>> {
        let number = usize::try_from(closing.part).ok()?;
        let shown = std::mem::replace(self.parts.get_mut(number)?, Shown::Not);
        self.turn.close(number, closing.replay.as_ref());
        match shown {
            Shown::Call(call) if call.empty && !call.free_form => Some(call.piece("{}")),
            Shown::Image(media) => {
                let image = extras::owned_image(media, self.images)?;
                self.images += 1;
                Some(Delta { images: Some([image]), ..Delta::default() })
            }
            Shown::Audio => Some(Delta { audio: Some(extras::audio_ending(&closing.extras, number)), ..Delta::default() }),
            _ => None,
        }
    }

    /// The message's skeleton, when it is finished for the first time.
    pub fn finish(&mut self) -> Option<Turn> {
        self.parts = Vec::new();
        (!std::mem::replace(&mut self.finished, true)).then(|| std::mem::take(&mut self.turn))
    }
}

impl Call {
    fn piece(self, text: &str) -> Delta<'_> {
        match self.form {
            CallForm::ToolCalls => of_call(CallBody::piece(self.index, self.free_form, text)),
            CallForm::FunctionCall => of_function(FunctionBody { name: None, arguments: text }),
        }
    }
}

fn of_call(call: CallBody<'_>) -> Delta<'_> {
    Delta { tool_calls: Some([call]), ..Delta::default() }
}

fn of_function(function: FunctionBody<'_>) -> Delta<'_> {
    Delta { function_call: Some(function), ..Delta::default() }
}

fn audio<'a>(base64: &'a str, transcript: &'a str) -> Option<Delta<'a>> {
    let said = |text: &'a str| Some(text).filter(|text| !text.is_empty());
    let audio = AudioBody { data: said(base64), transcript: said(transcript), ..AudioBody::default() };
    (audio.data.is_some() || audio.transcript.is_some()).then(|| Delta { audio: Some(audio), ..Delta::default() })
}
