//! What Gemini models differ in, as one table.
//!
//! Source: the Gemini API guide, chapters "Thinking", "Thought signatures" and "Models"; Google's Enterprise guide for the limit of whole
//! answers; recorded refusals for penalties and logprobs.

use serde::Serialize;

/// Models whose ids begin alike and which behave alike.
#[derive(Debug)]
pub struct Family {
    prefix: &'static str,
    generation: Generation,
    pub thinking: Thinking,
    pub logprobs: Logprobs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Generation {
    Two,
    TwoFive,
    Three,
    Four,
}

/// How a model is told how much to think.
#[derive(Debug, Clone, Copy)]
pub enum Thinking {
    Absent,
    /// `thinkingBudget`, in tokens; `least` is the smallest beside 0.
    Budget {
        least: u32,
        most: u32,
        off: Off,
    },
    /// `thinkingLevel`, one of these, the lowest first. None of them is surely no thinking at all.
    Levels(&'static [Level]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    Possible,
    Impossible,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logprobs {
    Possible,
    /// `Logprobs is not enabled for this model`.
    Refused,
}

impl Family {
    /// A function call of the current turn without its `thoughtSignature` is a 400.
    pub fn checks_signatures(&self) -> bool {
        self.generation >= Generation::Three
    }

    /// `functionResponse.parts`.
    pub fn takes_media_in_results(&self) -> bool {
        self.generation >= Generation::Three
    }

    /// `mediaResolution` on a single part.
    pub fn takes_media_resolution(&self) -> bool {
        self.generation >= Generation::Three
    }

    /// Later ones answer `Penalty is not enabled for this model`.
    pub fn takes_penalties(&self) -> bool {
        self.generation == Generation::Two
    }

    /// A plain call stops at 32,768 tokens with `CONTINUATION`, a streamed one goes on to 65,536.
    pub fn cuts_whole_answers(&self) -> bool {
        self.generation >= Generation::Four
    }
}

/// The family of a model. One that is not known is taken for a new Gemini if it is called so, and else for a plain old model (Gemma, a tuned
/// one).
pub fn of(model: &str) -> &'static Family {
    FAMILIES.iter().find(|family| model.starts_with(family.prefix)).unwrap_or(&PLAIN)
}

const FROM_MINIMAL: Thinking = Thinking::Levels(&[Level::Minimal, Level::Low, Level::Medium, Level::High]);
const FROM_LOW: Thinking = Thinking::Levels(&[Level::Low, Level::Medium, Level::High]);
const LOW_OR_HIGH: Thinking = Thinking::Levels(&[Level::Low, Level::High]);

const PLAIN: Family = family("", Generation::Two, Thinking::Absent);

/// The first prefix that fits counts.
const FAMILIES: &[Family] = &[
    family("gemini-4", Generation::Four, FROM_LOW),
    family("gemini-3.1-pro", Generation::Three, FROM_LOW).without_logprobs(),
    family("gemini-pro-latest", Generation::Three, FROM_LOW).without_logprobs(),
    family("gemini-3-pro", Generation::Three, LOW_OR_HIGH).without_logprobs(),
    family("gemini-3", Generation::Three, FROM_MINIMAL),
    family("gemini-flash", Generation::Three, FROM_MINIMAL),
    family("gemini-2.5-pro", Generation::TwoFive, Thinking::Budget { least: 128, most: 32_768, off: Off::Impossible }),
    family("gemini-2.5-flash-lite", Generation::TwoFive, Thinking::Budget { least: 512, most: 24_576, off: Off::Possible }),
    family("gemini-2.5-flash-image", Generation::TwoFive, Thinking::Absent),
    family("gemini-2.5", Generation::TwoFive, Thinking::Budget { least: 1, most: 24_576, off: Off::Possible }),
    family("gemini-2", Generation::Two, Thinking::Absent),
    family("gemini-1", Generation::Two, Thinking::Absent),
    family("gemini-", Generation::Four, FROM_LOW),
];

const fn family(prefix: &'static str, generation: Generation, thinking: Thinking) -> Family {
    Family { prefix, generation, thinking, logprobs: Logprobs::Possible }
}

impl Family {
    const fn without_logprobs(mut self) -> Self {
        self.logprobs = Logprobs::Refused;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_find_their_family() {
        for (model, prefix) in [
            ("gemini-4-argon", "gemini-4"),
            ("gemini-3.8-flash", "gemini-3"),
            ("gemini-3.1-pro-preview-customtools", "gemini-3.1-pro"),
            ("gemini-flash-lite-latest", "gemini-flash"),
            ("gemini-2.5-flash-lite", "gemini-2.5-flash-lite"),
            ("gemini-2.5-flash", "gemini-2.5"),
            ("gemini-2.0-flash", "gemini-2"),
            ("gemini-7-xenon", "gemini-"),
            ("gemma-4-31b-it", ""),
        ] {
            assert_eq!(of(model).prefix, prefix, "{model}");
        }
    }
}
