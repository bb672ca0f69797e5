//! What was said of reasoning, compared by meaning: switch, effort and budget are one field on OpenAI's wires, and Anthropic's adapter may have to say one by the
//! other. So only what was asked must be there.

use super::Wire;
use super::reported::Reported;
use llm_gateway::contract::{ChatRequest, Effort, Reasoning};

const NOTHING: Reasoning = Reasoning { enabled: None, effort: None, budget: None, visible: None };

/// What was said and did not arrive. None: all did.
pub fn lost_reasoning(wire: Wire, asked: &ChatRequest, read: &ChatRequest, reported: &Reported) -> Option<String> {
    let wanted = asked.reasoning?;
    let got = read.reasoning.unwrap_or(NOTHING);
    let is_lost = match wire {
        Wire::Chat | Wire::Responses => !is_openais(wanted, got, &asked.model, reported),
        Wire::Messages => !is_anthropics(wanted, got, &asked.model, reported),
    };
    is_lost.then(|| format!("reasoning of {}:\n  asked {wanted:?}\n  read  {got:?}", asked.model))
}

fn is_openais(wanted: Reasoning, got: Reasoning, model: &str, reported: &Reported) -> bool {
    let reasons = model != "gpt-4.1";
    let effort = if wanted.enabled == Some(false) { Some(Effort::None) } else { wanted.effort };
    // A model that does not reason does as it is told.
    let rests = effort == Some(Effort::None) && !reasons;
    let is_changed = ["reasoning.enabled", "reasoning.effort", "reasoning.budget"].iter().any(|field| reported.has(field));
    let tells_effort = is_changed || effort.is_none() || rests || got.effort == effort;
    // Not to show it is the default, there is nothing to show where there is no reasoning, and other servers show it unasked.
    let is_asked_for = wanted.visible == Some(true) && reasons && model != "llama3.3:70b";
    let shows = !is_asked_for || reported.has("reasoning.visible") || got.visible == Some(true);
    tells_effort && shows
}

fn is_anthropics(wanted: Reasoning, got: Reasoning, model: &str, reported: &Reported) -> bool {
    if reported.has("reasoning") {
        return true;
    }
    let on = match (wanted.enabled, wanted.effort, wanted.budget) {
        (Some(enabled), ..) => Some(enabled),
        (None, Some(Effort::None), _) | (None, _, Some(0)) => Some(false),
        (None, None, None) => None,
        _ => Some(true),
    };
    let rests_unless_told = ["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-3-5-haiku-20241022"].contains(&model);
    let is_switched = on.is_none() || got.enabled == on || (on == Some(false) && rests_unless_told && got.enabled.is_none());
    // A model that can't think has no effort, and need not be told to rest.
    let never = model == "claude-3-5-haiku-20241022" && on == Some(false);
    let effort = wanted.effort.filter(|effort| *effort != Effort::None && !never);
    let has_effort = effort.is_none() || got.effort == effort;
    let budget = wanted.budget.filter(|budget| *budget > 0 && on == Some(true));
    let has_budget = budget.is_none() || got.budget == budget;
    // Thinking of a budget is shown as it is, and there is nothing to show where there is none.
    let is_shown = wanted.visible.is_none() || got.enabled != Some(true) || got.budget.is_some() || got.visible == wanted.visible;
    is_switched && has_effort && has_budget && is_shown
}
