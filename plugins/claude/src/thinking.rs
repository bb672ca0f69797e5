//! Reasoning in Claude's terms: `thinking` and `output_config.effort`.
//!
//! Which model takes what is the table's to say (`families`). What a model can't do is put into the nearest that it can, and reported.

use crate::draft::Draft;
use crate::families::ThinkingKind;
use crate::wire::{Display, ThinkingConfig};
use llm_gateway_adapter::types::{Effort, Reasoning};

const MIN_BUDGET: u32 = 1024;

/// What an effort stands for in tokens, where one has to be told by the other.
const BUDGETS: [(Effort, u32); 6] = [
    (Effort::Minimal, MIN_BUDGET),
    (Effort::Low, 2048),
    (Effort::Medium, 8192),
    (Effort::High, 16_384),
    (Effort::ExtraHigh, 32_768),
    (Effort::Maximum, u32::MAX),
];

/// What the request says of thinking.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    pub config: Option<ThinkingConfig>,
    pub effort: Option<&'static str>,
}

/// How the request turns thinking on. Being on by default does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    NotAsked,
    Adaptive,
    Budget,
}

impl Thinking {
    pub fn mode(&self) -> Mode {
        match self.config {
            Some(ThinkingConfig::Adaptive { .. }) => Mode::Adaptive,
            Some(ThinkingConfig::Enabled { .. }) => Mode::Budget,
            Some(ThinkingConfig::BetweenTools | ThinkingConfig::Disabled) | None => Mode::NotAsked,
        }
    }
}

/// Whether the caller wants the model to think at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Unsaid,
    On,
    Off,
}

impl Wish {
    fn of(reasoning: &Reasoning) -> Self {
        match (reasoning.enabled, reasoning.effort, reasoning.budget) {
            (Some(true), ..) => Self::On,
            (Some(false), ..) | (None, Some(Effort::None), _) | (None, _, Some(0)) => Self::Off,
            (None, Some(_), _) | (None, _, Some(_)) => Self::On,
            (None, None, None) => Self::Unsaid,
        }
    }
}

pub fn translate(reasoning: Option<&Reasoning>, max_tokens: u32, draft: &mut Draft) -> Thinking {
    let Some(reasoning) = reasoning else { return Thinking::default() };
    let wish = Wish::of(reasoning);
    let config = config(reasoning, wish, max_tokens, draft);
    let effort = effort(reasoning, wish, config, draft);
    Thinking { config, effort: effort.map(word) }
}

fn config(reasoning: &Reasoning, wish: Wish, max_tokens: u32, draft: &mut Draft) -> Option<ThinkingConfig> {
    use ThinkingKind::{AlwaysOn, BetweenTools, Budget, Never, OnByDefault, OptIn, OptInOrBudget};
    let display = reasoning.visible.map(|visible| if visible { Display::Summarized } else { Display::Omitted });
    match (draft.family.thinking, wish) {
        (OptInOrBudget, Wish::On) if asked_budget(reasoning).is_some() => budget(reasoning, max_tokens, draft),
        (Budget, Wish::On) => budget(reasoning, max_tokens, draft),
        (AlwaysOn | BetweenTools | OnByDefault | OptIn | OptInOrBudget, Wish::On) => Some(ThinkingConfig::Adaptive { display }),
        // Said for `display` alone.
        (AlwaysOn | BetweenTools | OnByDefault, Wish::Unsaid) => display.map(|_| ThinkingConfig::Adaptive { display }),
        (BetweenTools, Wish::Off) => Some(ThinkingConfig::BetweenTools),
        (OnByDefault, Wish::Off) => Some(ThinkingConfig::Disabled),
        (AlwaysOn, Wish::Off) => {
            draft.drop("reasoning.enabled", "this model always thinks; it was asked to think little");
            None
        }
        (Never, Wish::On) => {
            draft.drop("reasoning", "this model does not think");
            None
        }
        (OptIn | OptInOrBudget | Budget | Never, Wish::Off | Wish::Unsaid) => None,
    }
}

fn asked_budget(reasoning: &Reasoning) -> Option<u32> {
    reasoning.budget.filter(|budget| *budget > 0)
}

/// A budget has at least 1024 tokens and is less than `max_tokens`, of which it is a part.
fn budget(reasoning: &Reasoning, max_tokens: u32, draft: &mut Draft) -> Option<ThinkingConfig> {
    let Some(most) = max_tokens.checked_sub(1).filter(|most| *most >= MIN_BUDGET) else {
        draft.drop("reasoning", "max-output leaves no room for the least thinking that this model can do, 1024 tokens");
        return None;
    };
    let Some(asked) = asked_budget(reasoning) else {
        // Half of the output, so that an answer has room.
        let most = (max_tokens / 2).max(MIN_BUDGET);
        return Some(ThinkingConfig::Enabled { budget_tokens: tokens(reasoning.effort.unwrap_or(Effort::Medium)).min(most) });
    };
    let budget_tokens = asked.clamp(MIN_BUDGET, most);
    if budget_tokens != asked {
        draft.drop("reasoning.budget", "a budget has at least 1024 tokens and less than max-output");
    }
    Some(ThinkingConfig::Enabled { budget_tokens })
}

fn effort(reasoning: &Reasoning, wish: Wish, config: Option<ThinkingConfig>, draft: &mut Draft) -> Option<Effort> {
    let kind = draft.family.thinking;
    let always_on = kind == ThinkingKind::AlwaysOn && wish == Wish::Off;
    let by_budget = asked_budget(reasoning).filter(|_| wish == Wish::On && !matches!(config, Some(ThinkingConfig::Enabled { .. })));
    let asked = match (reasoning.effort.filter(|effort| *effort != Effort::None), by_budget) {
        (Some(effort), _) => effort,
        (None, _) if always_on => Effort::Low,
        (None, Some(budget)) => nearest_to(budget),
        (None, None) => return None,
    };
    if by_budget.is_some() && kind != ThinkingKind::Never {
        draft.drop("reasoning.budget", "this model takes an effort, no budget");
    }
    let Some(effort) = highest_up_to(asked, draft.family.efforts) else {
        if reasoning.effort.is_some() && kind != ThinkingKind::Never {
            draft.drop("reasoning.effort", "this model takes a budget, no effort");
        }
        return None;
    };
    // Without thinking, more than `high` is a 400.
    let effort = if config == Some(ThinkingConfig::Disabled) { at_most_high(effort) } else { effort };
    if reasoning.effort.is_some_and(|asked| asked != effort && asked != Effort::None) {
        draft.drop("reasoning.effort", "this model does not take that effort; the nearest was sent");
    }
    Some(effort)
}

fn at_most_high(effort: Effort) -> Effort {
    if rank(effort) > rank(Effort::High) { Effort::High } else { effort }
}

fn rank(effort: Effort) -> usize {
    BUDGETS.iter().position(|(each, _)| *each == effort).unwrap_or_default()
}

fn tokens(effort: Effort) -> u32 {
    BUDGETS.iter().find(|(each, _)| *each == effort).map_or(MIN_BUDGET, |(_, tokens)| *tokens)
}

fn nearest_to(budget: u32) -> Effort {
    BUDGETS.iter().find(|(_, tokens)| budget <= *tokens).map_or(Effort::Maximum, |(effort, _)| *effort)
}

/// The highest effort on offer that is not above what was asked, else the lowest.
fn highest_up_to(asked: Effort, offered: &[Effort]) -> Option<Effort> {
    offered.iter().rev().find(|effort| rank(**effort) <= rank(asked)).or(offered.first()).copied()
}

fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh => "xhigh",
        Effort::Maximum => "max",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_gateway_adapter::types::{ChatRequest, Dropped};

    const NOTHING: Reasoning = Reasoning { enabled: None, effort: None, budget: None, visible: None };
    const OFF: Reasoning = Reasoning { enabled: Some(false), ..NOTHING };
    const ON: Reasoning = Reasoning { enabled: Some(true), ..NOTHING };

    fn ask(model: &str, reasoning: Reasoning, max_tokens: u32) -> (Thinking, Vec<Dropped>) {
        let mut draft = Draft::new(&ChatRequest::new(model, Vec::new()));
        let thinking = translate(Some(&reasoning), max_tokens, &mut draft);
        (thinking, draft.dropped)
    }

    fn of(effort: Effort) -> Reasoning {
        Reasoning { effort: Some(effort), ..NOTHING }
    }

    fn budgeted(budget: u32) -> Reasoning {
        Reasoning { budget: Some(budget), ..NOTHING }
    }

    #[test]
    fn each_family_thinks_and_rests_in_its_own_words() {
        use ThinkingConfig::{BetweenTools, Disabled, Enabled};
        const ADAPTIVE: Option<ThinkingConfig> = Some(ThinkingConfig::Adaptive { display: None });
        for (model, on, off, reported) in [
            ("claude-fable-5-1", ADAPTIVE, None, true),
            ("claude-opus-5-5", ADAPTIVE, None, true),
            ("claude-sonnet-5-5", ADAPTIVE, Some(BetweenTools), false),
            ("claude-haiku-5-5", ADAPTIVE, Some(Disabled), false),
            ("claude-opus-5", ADAPTIVE, Some(Disabled), false),
            ("claude-opus-4-8", ADAPTIVE, None, false),
            ("claude-sonnet-4-6", ADAPTIVE, None, false),
            ("claude-haiku-4-5", Some(Enabled { budget_tokens: 8192 }), None, false),
            ("claude-3-5-haiku-20241022", None, None, false),
        ] {
            assert_eq!(ask(model, ON, 64_000).0.config, on, "{model} on");
            let (thinking, dropped) = ask(model, OFF, 64_000);
            assert_eq!((thinking.config, !dropped.is_empty()), (off, reported), "{model} off");
            assert_eq!(ask(model, NOTHING, 64_000), (Thinking::default(), Vec::new()), "{model} unsaid");
        }
    }

    #[test]
    fn an_effort_is_sent_as_the_nearest_that_the_model_has() {
        for (model, asked, sent, reported) in [
            ("claude-opus-5", Effort::ExtraHigh, Some("xhigh"), false),
            ("claude-opus-5", Effort::Minimal, Some("low"), true),
            ("claude-opus-4-6", Effort::ExtraHigh, Some("high"), true),
            ("claude-opus-4-6", Effort::Maximum, Some("max"), false),
            ("claude-opus-5-5", Effort::None, Some("low"), true),
            ("claude-haiku-4-5", Effort::High, None, true),
        ] {
            let (thinking, dropped) = ask(model, of(asked), 64_000);
            assert_eq!((thinking.effort, !dropped.is_empty()), (sent, reported), "{model} {asked:?}");
        }
    }

    #[test]
    fn without_thinking_effort_is_at_most_high() {
        let (thinking, dropped) = ask("claude-opus-5", Reasoning { enabled: Some(false), ..of(Effort::Maximum) }, 64_000);
        assert_eq!(thinking, Thinking { config: Some(ThinkingConfig::Disabled), effort: Some("high") });
        assert_eq!(dropped[0].parameter, "reasoning.effort");
    }

    #[test]
    fn a_budget_is_kept_within_its_bounds_or_told_as_an_effort() {
        for (model, budget, max_tokens, config, effort, reported) in [
            ("claude-haiku-4-5", 5000, 64_000, Some(5000), None, None),
            ("claude-haiku-4-5", 9000, 4096, Some(4095), None, Some("reasoning.budget")),
            ("claude-haiku-4-5", 100, 4096, Some(1024), None, Some("reasoning.budget")),
            ("claude-haiku-4-5", 5000, 1024, None, None, Some("reasoning")),
            ("claude-sonnet-4-6", 5000, 64_000, Some(5000), None, None),
        ] {
            let (thinking, dropped) = ask(model, budgeted(budget), max_tokens);
            let sent = match thinking.config {
                Some(ThinkingConfig::Enabled { budget_tokens }) => Some(budget_tokens),
                _ => None,
            };
            let dropped = dropped.first().map(|dropped| dropped.parameter.as_str());
            assert_eq!((sent, thinking.effort, dropped), (config, effort, reported), "{model} {budget} of {max_tokens}");
        }
        let (thinking, dropped) = ask("claude-opus-5", budgeted(5000), 64_000);
        assert_eq!(thinking, Thinking { config: Some(ThinkingConfig::Adaptive { display: None }), effort: Some("medium") });
        assert_eq!(dropped[0].parameter, "reasoning.budget");
    }

    #[test]
    fn showing_thinking_alone_does_not_turn_it_on() {
        let shown = Reasoning { visible: Some(true), ..NOTHING };
        let summarized = Some(ThinkingConfig::Adaptive { display: Some(Display::Summarized) });
        assert_eq!(ask("claude-sonnet-5-5", shown, 64_000).0.config, summarized);
        assert_eq!(ask("claude-opus-4-8", shown, 64_000).0.config, None);
    }
}
