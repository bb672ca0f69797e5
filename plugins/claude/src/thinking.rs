//! Reasoning in Claude's terms: `thinking` and `output_config.effort`.
//!
//! Which model takes what is the table's to say (`families`). What a model can't do is put into the nearest that it can, and reported.

use crate::draft::{CONTRACT, Draft};
use crate::families::{Family, ThinkingKind};
use crate::messages::Conversation;
use crate::serde_json::{self, Value};
use crate::wire::{Display, ThinkingConfig};
use llm_gateway_adapter::types::{ChatRequest, Effort, Native, Reasoning};

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

/// `max_tokens` is what is sent as such; `conversation` is what thinking has to fit into.
pub fn translate(request: &ChatRequest, max_tokens: u32, conversation: &Conversation, draft: &mut Draft) -> Thinking {
    let Some(reasoning) = &request.reasoning else { return Thinking::default() };
    let effort_alone = reasoning.enabled.is_none() && reasoning.budget.is_none() && reasoning.effort != Some(Effort::None);
    let wish = if effort_alone && rules_effort_alone(&request.extras) { Wish::Unsaid } else { Wish::of(reasoning) };
    let room = Room { max_tokens, lacks_thinking: conversation.lacks_thinking() };
    let config = config(reasoning, wish, room, draft);
    let effort = effort(reasoning, wish, config, draft);
    Thinking { config, effort: effort.map(word) }
}

/// In Claude's own words an effort turns no thinking on. The host says by a field of the contract's own that the caller used those.
fn rules_effort_alone(extras: &[Native]) -> bool {
    let mut said = extras.iter().filter(|native| native.dialect == CONTRACT);
    said.any(|native| serde_json::from_str::<Value>(&native.value).is_ok_and(|fields| fields["reasoning"]["effort-enables"] == false))
}

/// What a thinking budget must fit into.
#[derive(Debug, Clone, Copy)]
struct Room {
    max_tokens: u32,
    /// See [`Conversation::lacks_thinking`].
    lacks_thinking: bool,
}

fn config(reasoning: &Reasoning, wish: Wish, room: Room, draft: &mut Draft) -> Option<ThinkingConfig> {
    use ThinkingKind::{AlwaysOn, BetweenTools, Budget, Never, OnByDefault, OptIn, OptInOrBudget};
    let display = reasoning.visible.map(|visible| if visible { Display::Summarized } else { Display::Omitted });
    match (draft.family.thinking, wish) {
        (OptInOrBudget, Wish::On) if asked_budget(reasoning).is_some() => budget(reasoning, room, draft),
        (Budget, Wish::On) => budget(reasoning, room, draft),
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
            lose_thinking(reasoning, "this model does not think", draft);
            None
        }
        (OptIn | OptInOrBudget | Budget | Never, Wish::Off | Wish::Unsaid) => None,
    }
}

/// Whether an effort is all that turns thinking on, and is lost with it.
fn is_effort_alone(reasoning: &Reasoning, family: &Family) -> bool {
    reasoning.enabled.is_none() && reasoning.budget.is_none() && family.efforts.is_empty()
}

/// Reports that the model is not asked to think, by the most exact name of what asked for it.
fn lose_thinking(reasoning: &Reasoning, reason: &str, draft: &mut Draft) {
    draft.drop(if is_effort_alone(reasoning, draft.family) { "reasoning.effort" } else { "reasoning" }, reason);
}

fn asked_budget(reasoning: &Reasoning) -> Option<u32> {
    reasoning.budget.filter(|budget| *budget > 0)
}

/// A budget has at least 1024 tokens and is less than `max_tokens`, of which it is a part.
fn budget(reasoning: &Reasoning, room: Room, draft: &mut Draft) -> Option<ThinkingConfig> {
    let Some(most) = room.max_tokens.checked_sub(1).filter(|most| *most >= MIN_BUDGET) else {
        lose_thinking(reasoning, "max-output leaves no room for the least thinking that this model can do, 1024 tokens", draft);
        return None;
    };
    if room.lacks_thinking {
        let reason = "this model thinks in the middle of tool calls only if the calls come with the thinking that led to them";
        lose_thinking(reasoning, reason, draft);
        return None;
    }
    let Some(asked) = asked_budget(reasoning) else {
        // Half of the output, so that an answer has room.
        let most = (room.max_tokens / 2).max(MIN_BUDGET);
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
    let by_budget = asked_budget(reasoning).filter(|_| matches!(config, Some(ThinkingConfig::Adaptive { .. })));
    let asked = match (reasoning.effort.filter(|effort| *effort != Effort::None), by_budget) {
        (Some(effort), _) => effort,
        (None, _) if always_on => Effort::Low,
        (None, Some(budget)) => nearest_to(budget),
        (None, None) => return None,
    };
    if by_budget.is_some() {
        draft.drop("reasoning.budget", "this model takes an effort, no budget");
    }
    let Some(effort) = highest_up_to(asked, draft.family.efforts) else {
        report_untaken_effort(reasoning, wish, config, draft);
        return None;
    };
    // Without thinking, more than `high` is a 400.
    let effort = if config == Some(ThinkingConfig::Disabled) { at_most_high(effort) } else { effort };
    if reasoning.effort.is_some_and(|asked| asked != effort && asked != Effort::None) {
        draft.drop("reasoning.effort", "this model does not take that effort; the nearest was sent");
    }
    Some(effort)
}

/// An effort that the model has no word for. Where it was to turn thinking on and could not, that was reported.
fn report_untaken_effort(reasoning: &Reasoning, wish: Wish, config: Option<ThinkingConfig>, draft: &mut Draft) {
    let is_reported = wish == Wish::On && config.is_none() && is_effort_alone(reasoning, draft.family);
    let reason = if config.is_some() { "this model takes a budget, no effort" } else { "this model takes no effort" };
    draft.drop_if(reasoning.effort.is_some() && !is_reported, "reasoning.effort", reason);
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
    use llm_gateway_adapter::types::Dropped;

    const NOTHING: Reasoning = Reasoning { enabled: None, effort: None, budget: None, visible: None };
    const OFF: Reasoning = Reasoning { enabled: Some(false), ..NOTHING };
    const ON: Reasoning = Reasoning { enabled: Some(true), ..NOTHING };

    fn ask(model: &str, reasoning: Reasoning, max_tokens: u32) -> (Thinking, Vec<Dropped>) {
        translated(&ChatRequest { reasoning: Some(reasoning), ..ChatRequest::new(model, Vec::new()) }, max_tokens)
    }

    fn translated(request: &ChatRequest, max_tokens: u32) -> (Thinking, Vec<Dropped>) {
        let mut draft = Draft::new(request);
        let thinking = translate(request, max_tokens, &Conversation::default(), &mut draft);
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
    fn an_effort_that_is_not_sent_is_reported_once() {
        let own = Native { dialect: CONTRACT.to_owned(), value: r#"{"reasoning":{"effort-enables":false}}"#.to_owned() };
        for (model, max_tokens) in [("claude-haiku-4-5", 64_000), ("claude-haiku-4-5", 1000), ("claude-3-5-haiku-20241022", 8192)] {
            let request = ChatRequest { reasoning: Some(of(Effort::High)), ..ChatRequest::new(model, Vec::new()) };
            let in_claudes_words = ChatRequest { extras: vec![own.clone()], ..request.clone() };
            for request in [request, in_claudes_words] {
                let (_, dropped) = translated(&request, max_tokens);
                let dropped: Vec<&str> = dropped.iter().map(|dropped| dropped.parameter.as_str()).collect();
                assert_eq!(dropped, ["reasoning.effort"], "{model} {max_tokens}");
            }
        }
        let (_, dropped) = ask("claude-haiku-4-5", budgeted(5000), 1000);
        assert_eq!(dropped.len(), 1, "a budget goes with thinking: {dropped:?}");
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

    #[test]
    fn an_effort_in_claudes_own_words_turns_no_thinking_on() {
        let own = Native { dialect: CONTRACT.to_owned(), value: r#"{"reasoning":{"effort-enables":false}}"#.to_owned() };
        for (model, effort) in [("claude-opus-4-8", Some("high")), ("claude-sonnet-5-5", Some("high")), ("claude-opus-4-5", Some("high"))] {
            let request =
                ChatRequest { reasoning: Some(of(Effort::High)), extras: vec![own.clone()], ..ChatRequest::new(model, Vec::new()) };
            assert_eq!(translated(&request, 64_000), (Thinking { config: None, effort }, Vec::new()), "{model}");
        }
        let adaptive = Some(ThinkingConfig::Adaptive { display: None });
        assert_eq!(ask("claude-opus-4-8", of(Effort::High), 64_000).0.config, adaptive, "in anothers' words it does");
    }
}
