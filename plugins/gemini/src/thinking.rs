//! `thinkingConfig`: what the caller said of reasoning, in the words that the model knows.

use crate::families::{Family, Level, Off, Thinking};
use crate::losses::Losses;
use llm_gateway_adapter::types::{Effort, Reasoning};
use serde::Serialize;
use std::ops::RangeInclusive;

/// A budget and a level at once are a 400.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    include_thoughts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<Level>,
}

/// Google's word for "as much as it takes".
const DYNAMIC_BUDGET: i64 = -1;

/// Absent where there is nothing to say.
pub fn config(reasoning: &Reasoning, family: &Family, losses: &mut Losses) -> Option<ThinkingConfig> {
    let off = reasoning.enabled == Some(false) || reasoning.effort == Some(Effort::None) || reasoning.budget == Some(0);
    let (thinking_budget, thinking_level) = match family.thinking {
        Thinking::Absent if off => return None,
        Thinking::Absent => {
            losses.add("reasoning", "this model does not think");
            return None;
        }
        Thinking::Budget { off: Off::Possible, .. } if off => (Some(0), None),
        Thinking::Budget { least, .. } if off => {
            losses.add("reasoning.enabled", "this model can't stop thinking; it gets its smallest budget");
            (Some(i64::from(least)), None)
        }
        Thinking::Budget { least, most, .. } => (budget(reasoning, least..=most, losses), None),
        Thinking::Levels(levels) if off => {
            losses.add("reasoning.enabled", "this model can't be told to stop thinking; it gets its lowest level");
            (None, levels.first().copied())
        }
        Thinking::Levels(levels) => (None, level(reasoning, levels, losses)),
    };
    // With thinking off it is a 400.
    let include_thoughts = reasoning.visible.filter(|_| !off);
    let config = ThinkingConfig { include_thoughts, thinking_budget, thinking_level };
    (config != ThinkingConfig::default()).then_some(config)
}

fn budget(reasoning: &Reasoning, range: RangeInclusive<u32>, losses: &mut Losses) -> Option<i64> {
    let within = |tokens: u32| tokens.clamp(*range.start(), *range.end());
    match (reasoning.budget, reasoning.effort) {
        (Some(wanted), _) => {
            let tokens = within(wanted);
            if tokens != wanted {
                losses.add("reasoning.budget", format!("this model takes {range:?} tokens; it gets {tokens}"));
            }
            Some(i64::from(tokens))
        }
        (None, Some(effort)) => Some(i64::from(within(tokens_of(effort)))),
        (None, None) => reasoning.enabled.map(|_| DYNAMIC_BUDGET),
    }
}

/// Google's own translation of OpenAI's efforts, as its OpenAI-compatible endpoint has it; beyond `high`, all that the model takes.
fn tokens_of(effort: Effort) -> u32 {
    match effort {
        Effort::None => 0,
        Effort::Minimal => 512,
        Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::ExtraHigh | Effort::Maximum => u32::MAX,
    }
}

fn level(reasoning: &Reasoning, levels: &[Level], losses: &mut Losses) -> Option<Level> {
    let (wanted, parameter) = match (reasoning.effort, reasoning.budget) {
        (Some(effort), _) => (level_of(effort), "reasoning.effort"),
        (None, Some(tokens)) => (level_for(tokens), "reasoning.budget"),
        (None, None) => return None,
    };
    let given = levels.iter().rev().find(|level| **level <= wanted).or(levels.first()).copied()?;
    if given != wanted || reasoning.effort.is_none() {
        losses.add(parameter, format!("this model takes one of {levels:?}; it gets {given:?}"));
    }
    Some(given)
}

fn level_of(effort: Effort) -> Level {
    match effort {
        Effort::None | Effort::Minimal => Level::Minimal,
        Effort::Low => Level::Low,
        Effort::Medium => Level::Medium,
        Effort::High => Level::High,
        Effort::ExtraHigh | Effort::Maximum => Level::XHigh,
    }
}

/// The level that a budget would buy: the reverse of [`tokens_of`].
fn level_for(tokens: u32) -> Level {
    match tokens {
        0..=512 => Level::Minimal,
        513..=4096 => Level::Low,
        4097..=16_384 => Level::Medium,
        _ => Level::High,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;
    use llm_gateway_adapter::serde_json::{self, json};

    const SILENT: Reasoning = Reasoning { enabled: None, effort: None, budget: None, visible: None };

    #[test]
    fn each_family_is_told_in_its_own_words() {
        let effort = |effort| Reasoning { effort: Some(effort), ..SILENT };
        let budget = |tokens| Reasoning { budget: Some(tokens), ..SILENT };
        let enabled = |enabled| Reasoning { enabled: Some(enabled), visible: Some(true), ..SILENT };
        for (model, reasoning, expected, lost) in [
            ("gemini-3.8-flash", effort(Effort::Minimal), json!({"thinkingLevel": "MINIMAL"}), None),
            ("gemini-3.8-flash", effort(Effort::Maximum), json!({"thinkingLevel": "HIGH"}), Some("reasoning.effort")),
            ("gemini-3.8-flash", budget(1000), json!({"thinkingLevel": "LOW"}), Some("reasoning.budget")),
            ("gemini-3.8-flash", enabled(true), json!({"includeThoughts": true}), None),
            ("gemini-3.8-flash", enabled(false), json!({"thinkingLevel": "MINIMAL"}), Some("reasoning.enabled")),
            ("gemini-4-argon", effort(Effort::Minimal), json!({"thinkingLevel": "LOW"}), Some("reasoning.effort")),
            ("gemini-4-argon", effort(Effort::None), json!({"thinkingLevel": "LOW"}), Some("reasoning.enabled")),
            ("gemini-2.5-pro", effort(Effort::Medium), json!({"thinkingBudget": 8192}), None),
            ("gemini-2.5-pro", budget(100_000), json!({"thinkingBudget": 32_768}), Some("reasoning.budget")),
            ("gemini-2.5-pro", enabled(false), json!({"thinkingBudget": 128}), Some("reasoning.enabled")),
            ("gemini-2.5-flash", budget(0), json!({"thinkingBudget": 0}), None),
            ("gemini-2.5-flash", enabled(true), json!({"includeThoughts": true, "thinkingBudget": -1}), None),
            ("gemini-2.5-flash-lite", budget(600), json!({"thinkingBudget": 600}), None),
            ("gemini-2.0-flash", effort(Effort::Low), json!(null), Some("reasoning")),
            ("gemini-2.0-flash", enabled(false), json!(null), None),
            ("gemini-3.8-flash", SILENT, json!(null), None),
        ] {
            let mut losses = Losses::default();
            let config = config(&reasoning, families::of(model), &mut losses);
            assert_eq!(serde_json::to_value(config).ok(), Some(expected), "{model} {reasoning:?}");
            let losses = losses.into_list();
            assert_eq!(losses.first().map(|loss| loss.parameter.as_str()), lost, "{model} {reasoning:?}");
        }
    }
}
