//! What differs between Mistral's models, as one table: whether and how finely they think.
//!
//! Sources: wire reference 3.2 (efforts), 3.6 (families), and the aliases as `GET /models` gives them. Not here: what a caller asked
//! for, and what is said to the caller of it (`request`).

use llm_gateway_adapter::types::Effort;

/// How much say a caller has in a model's thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// It has none, and takes none in the history.
    Never,
    /// Off or in full: `none` or `high`; any other effort is a 400.
    Switched,
    /// Thinks by default, in levels.
    Graded,
    /// Always, to its own measure.
    Always,
    /// A model that is not in the table: what the caller says is passed on in the words of the schema.
    Unknown,
}

/// The first prefix that fits counts.
const FAMILIES: &[(&str, Thinking)] = &[
    ("mistral-large-4", Thinking::Graded),
    ("mistral-large", Thinking::Never),
    ("mistral-medium-25", Thinking::Never),
    ("mistral-medium", Thinking::Switched),
    ("mistral-vibe-cli", Thinking::Switched),
    ("mistral-small-2603", Thinking::Switched),
    ("mistral-small-latest", Thinking::Switched),
    ("mistral-small", Thinking::Never),
    // An alias of mistral-small-2603, unlike the other Magistrals.
    ("magistral-small-latest", Thinking::Switched),
    ("magistral", Thinking::Always),
    ("ministral", Thinking::Never),
    ("codestral", Thinking::Never),
    ("devstral", Thinking::Never),
    ("voxtral", Thinking::Never),
    ("pixtral", Thinking::Never),
    ("open-mi", Thinking::Never),
];

impl Thinking {
    pub fn of(model: &str) -> Self {
        FAMILIES.iter().find(|(prefix, _)| model.starts_with(prefix)).map_or(Self::Unknown, |(_, thinking)| *thinking)
    }

    /// The word for `reasoning_effort` that comes nearest to the effort wanted; absent where the model takes no such field.
    pub fn nearest(self, wanted: Effort) -> Option<Effort> {
        match self {
            Self::Never | Self::Always => None,
            Self::Switched => Some(match wanted {
                Effort::None | Effort::Minimal => Effort::None,
                _ => Effort::High,
            }),
            // It has levels above `high` too, but their names are not documented.
            Self::Graded => Some(match wanted {
                Effort::Minimal => Effort::Low,
                Effort::ExtraHigh | Effort::Maximum => Effort::High,
                known => known,
            }),
            Self::Unknown => Some(wanted),
        }
    }
}

/// The schema's word for an effort.
pub fn effort_word(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh => "xhigh",
        Effort::Maximum => "max",
    }
}

/// The effort that comes nearest to a budget of thinking tokens.
pub fn effort_of_budget(tokens: u32) -> Effort {
    match tokens {
        0 => Effort::None,
        1..=2_048 => Effort::Low,
        2_049..=8_192 => Effort::Medium,
        _ => Effort::High,
    }
}
