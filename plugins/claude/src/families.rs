//! What one Claude model takes and another refuses.
//!
//! Owns: the table of families and finding a model's row. From the provider's guides, as of November 2026: thinking and effort, sampling,
//! forced tools, prefill, context and output sizes. The rules are applied elsewhere (`thinking`, `tools`, `request`, `messages`).
//!
//! A model that no row names is taken for the newest and strictest: what is sent to it then is valid on every one.

use llm_gateway_adapter::estimate::Tokenizer;
use llm_gateway_adapter::types::Effort;

/// How a family thinks when it is asked to, and when it is asked not to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingKind {
    /// Adaptive by default; `disabled` and `enabled` are a 400.
    AlwaysOn,
    /// Adaptive by default; `between_tools` stands for off.
    BetweenTools,
    /// Adaptive by default; `disabled` only up to effort `high`.
    OnByDefault,
    /// Off by default; `adaptive` turns it on.
    OptIn,
    /// Off by default; `adaptive`, or `enabled` with a budget.
    OptInOrBudget,
    /// Off by default; only `enabled` with a budget.
    Budget,
    Never,
}

/// Which of `temperature`, `top_p` and `top_k` are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplingRule {
    All,
    /// `temperature` and `top_p` are a 400 together.
    TemperatureOrTopP,
    /// Any value that is not the default is a 400.
    Nothing,
}

/// Whether `tool_choice` may be `any` or `tool`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForcedTools {
    Taken,
    NotWithThinkingBudget,
    Refused,
}

/// The model's name for its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Fable,
    Mythos,
    Opus,
    Sonnet,
    Haiku,
}

#[derive(Debug)]
pub struct Family {
    pub line: Line,
    /// Major and minor version; the row holds up to the next one of its line.
    pub since: (u8, u8),
    /// Tokens.
    pub context_window: u32,
    /// Tokens. Absent: not known.
    pub max_output: Option<u32>,
    pub thinking: ThinkingKind,
    /// What `output_config.effort` takes, in rising order; empty where there is none.
    pub efforts: &'static [Effort],
    pub sampling: SamplingRule,
    pub forced_tools: ForcedTools,
    /// A last message of the assistant is gone on with.
    pub prefill: bool,
    /// Thinking blocks of another model, or before another transcript, are a 400.
    pub binds_thinking: bool,
    /// `output_config.format`, and strict tools.
    pub structured_outputs: bool,
    pub tokenizer: Tokenizer,
}

const UP_TO_HIGH: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High];
const NO_EXTRA_HIGH: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High, Effort::Maximum];
const ALL: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High, Effort::ExtraHigh, Effort::Maximum];

const STRICTEST: Family = Family {
    line: Line::Fable,
    since: (5, 1),
    context_window: 1_000_000,
    max_output: Some(128_000),
    thinking: ThinkingKind::AlwaysOn,
    efforts: ALL,
    sampling: SamplingRule::Nothing,
    forced_tools: ForcedTools::Refused,
    prefill: false,
    binds_thinking: true,
    structured_outputs: true,
    tokenizer: Tokenizer::Claude47,
};

/// 5.0: thinks unless told not to, and takes forced tools.
const FIVE: Family = Family { thinking: ThinkingKind::OnByDefault, forced_tools: ForcedTools::Taken, binds_thinking: false, ..STRICTEST };

/// 4.6: the last to take sampling, and a thinking budget.
const FOUR_SIX: Family = Family {
    thinking: ThinkingKind::OptInOrBudget,
    efforts: NO_EXTRA_HIGH,
    sampling: SamplingRule::TemperatureOrTopP,
    forced_tools: ForcedTools::NotWithThinkingBudget,
    tokenizer: Tokenizer::Claude,
    ..FIVE
};

/// 4.5 and older: thinking only with a budget; prefill.
const FOUR_FIVE: Family =
    Family { context_window: 200_000, max_output: Some(64_000), thinking: ThinkingKind::Budget, efforts: &[], prefill: true, ..FOUR_SIX };

const FOUR: Family = Family { structured_outputs: false, ..FOUR_FIVE };

const THREE: Family = Family { thinking: ThinkingKind::Never, sampling: SamplingRule::All, max_output: Some(4096), ..FOUR };

/// The newest of each line first.
static FAMILIES: &[Family] = &[
    Family { line: Line::Fable, since: (5, 1), ..STRICTEST },
    Family { line: Line::Fable, since: (0, 0), thinking: ThinkingKind::AlwaysOn, ..FIVE },
    Family { line: Line::Mythos, since: (0, 0), ..STRICTEST },
    Family { line: Line::Opus, since: (5, 5), ..STRICTEST },
    Family { line: Line::Opus, since: (5, 0), ..FIVE },
    Family { line: Line::Opus, since: (4, 7), thinking: ThinkingKind::OptIn, ..FIVE },
    Family { line: Line::Opus, since: (4, 6), ..FOUR_SIX },
    Family { line: Line::Opus, since: (4, 5), efforts: UP_TO_HIGH, ..FOUR_FIVE },
    Family { line: Line::Opus, since: (4, 1), max_output: Some(32_000), ..FOUR_FIVE },
    Family { line: Line::Opus, since: (4, 0), max_output: Some(32_000), ..FOUR },
    Family { line: Line::Opus, since: (0, 0), ..THREE },
    Family { line: Line::Sonnet, since: (5, 5), thinking: ThinkingKind::BetweenTools, ..STRICTEST },
    Family { line: Line::Sonnet, since: (5, 0), ..FIVE },
    Family { line: Line::Sonnet, since: (4, 6), ..FOUR_SIX },
    Family { line: Line::Sonnet, since: (4, 5), ..FOUR_FIVE },
    Family { line: Line::Sonnet, since: (4, 0), ..FOUR },
    Family { line: Line::Sonnet, since: (3, 7), thinking: ThinkingKind::Budget, max_output: Some(64_000), ..THREE },
    Family { line: Line::Sonnet, since: (3, 5), max_output: Some(8192), ..THREE },
    Family { line: Line::Sonnet, since: (0, 0), ..THREE },
    Family { line: Line::Haiku, since: (5, 5), thinking: ThinkingKind::OnByDefault, forced_tools: ForcedTools::Taken, ..STRICTEST },
    Family { line: Line::Haiku, since: (4, 5), ..FOUR_FIVE },
    Family { line: Line::Haiku, since: (3, 5), max_output: Some(8192), ..THREE },
    Family { line: Line::Haiku, since: (0, 0), ..THREE },
];

/// What an unknown model is taken for. Its own maximum of output is anybody's guess.
static UNKNOWN: Family = Family { max_output: None, ..STRICTEST };

/// The row of a model. Other clouds' ids (`anthropic.claude-opus-4-6-v1:0`, `anthropic/claude-sonnet-4.5`) are read as well.
pub fn of(model: &str) -> &'static Family {
    let Some((line, version)) = line_and_version(model) else { return &UNKNOWN };
    FAMILIES.iter().find(|family| family.line == line && family.since <= version).unwrap_or(&UNKNOWN)
}

/// `claude-opus-4-5-20251101` is Opus 4.5, `claude-3-5-haiku-20241022` is Haiku 3.5; a line without a number is its newest.
fn line_and_version(model: &str) -> Option<(Line, (u8, u8))> {
    let mut line = None;
    let mut numbers = Vec::with_capacity(2);
    for word in model.split(|c: char| !c.is_ascii_alphanumeric()) {
        match word {
            "fable" => line = Some(Line::Fable),
            "mythos" => line = Some(Line::Mythos),
            "opus" => line = Some(Line::Opus),
            "sonnet" => line = Some(Line::Sonnet),
            "haiku" => line = Some(Line::Haiku),
            // A date ends the version: what follows counts something else.
            date if date.len() >= 6 && date.bytes().all(|b| b.is_ascii_digit()) => break,
            number => numbers.extend(number.parse::<u8>().ok()),
        }
    }
    let version = match numbers.as_slice() {
        [] => (u8::MAX, 0),
        [major] => (*major, 0),
        [major, minor, ..] => (*major, *minor),
    };
    Some((line?, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_under_each_way_of_writing_its_id() {
        for (model, line, since) in [
            ("claude-opus-5-5", Line::Opus, (5, 5)),
            ("claude-opus-6", Line::Opus, (5, 5)),
            ("claude-opus-latest", Line::Opus, (5, 5)),
            ("claude-opus-4-8", Line::Opus, (4, 7)),
            ("claude-opus-4-5-20251101", Line::Opus, (4, 5)),
            ("claude-opus-4-20250514", Line::Opus, (4, 0)),
            ("anthropic.claude-opus-4-6-v1:0", Line::Opus, (4, 6)),
            ("anthropic/claude-sonnet-4.5", Line::Sonnet, (4, 5)),
            ("claude-3-7-sonnet-20250219", Line::Sonnet, (3, 7)),
            ("claude-haiku-4-5@20251001", Line::Haiku, (4, 5)),
            ("claude-fable-5-2", Line::Fable, (5, 1)),
            ("claude-fable-5", Line::Fable, (0, 0)),
        ] {
            let family = of(model);
            assert_eq!((family.line, family.since), (line, since), "{model}");
        }
    }

    #[test]
    fn an_unknown_model_is_taken_for_the_strictest_without_a_known_maximum() {
        let family = of("my-deployment");
        assert_eq!(family.max_output, None);
        assert_eq!((family.thinking, family.sampling, family.prefill), (ThinkingKind::AlwaysOn, SamplingRule::Nothing, false));
    }

    #[test]
    fn every_line_has_a_row_for_any_version_newest_first() {
        for pair in FAMILIES.windows(2) {
            let newer_first = pair[0].line != pair[1].line || pair[0].since > pair[1].since;
            assert!(newer_first, "{:?} {:?}", pair[0].line, pair[0].since);
        }
        for line in [Line::Fable, Line::Mythos, Line::Opus, Line::Sonnet, Line::Haiku] {
            assert!(FAMILIES.iter().any(|family| family.line == line && family.since == (0, 0)), "{line:?}");
        }
    }
}
