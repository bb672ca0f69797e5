//! The effort to ask for, made of what the caller said of reasoning and of what the model takes.

use crate::encoding::Encoding;
use crate::endpoint::Endpoint;
use crate::families::Reasons;
use llm_gateway_adapter::types::{Effort, Reasoning};

pub fn word(effort: Effort) -> &'static str {
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

/// The effort to send, if any; what had to be changed is reported.
pub fn effort(encoding: &mut Encoding<'_>) -> Option<Effort> {
    let reasoning = encoding.request.reasoning.as_ref()?;
    let (wanted, parameter) = wanted(reasoning, &encoding.model.family.reasons)?;
    let sent = match &encoding.model.family.reasons {
        Reasons::No => {
            if wanted != Effort::None {
                encoding.dropped.report(parameter, "the model does not reason");
            }
            return None;
        }
        Reasons::Unknown => wanted,
        Reasons::Yes { efforts, .. } => nearest(wanted, efforts, encoding.endpoint),
    };
    if sent != wanted || parameter == "reasoning.budget" {
        encoding.dropped.report(parameter, format!("sent as effort `{}`", word(sent)));
    }
    Some(sent)
}

/// What the caller wants, and the field that says so.
fn wanted(reasoning: &Reasoning, model: &Reasons) -> Option<(Effort, &'static str)> {
    match (reasoning.enabled, reasoning.effort, reasoning.budget) {
        (Some(false), ..) => Some((Effort::None, "reasoning.enabled")),
        (_, Some(effort), _) => Some((effort, "reasoning.effort")),
        (_, None, Some(budget)) => Some((of_budget(budget), "reasoning.budget")),
        // A model that does not reason unless told to is told to; the others choose for themselves.
        (Some(true), None, None) if matches!(model, Reasons::Yes { default: Effort::None, .. }) => {
            Some((Effort::Medium, "reasoning.enabled"))
        }
        (Some(true) | None, None, None) => None,
    }
}

/// Tokens to effort. There is no official table; these are the bounds that callers' libraries commonly use.
fn of_budget(tokens: u32) -> Effort {
    match tokens {
        0 => Effort::None,
        1..=2_048 => Effort::Low,
        2_049..=8_192 => Effort::Medium,
        8_193..=24_576 => Effort::High,
        _ => Effort::ExtraHigh,
    }
}

/// The model's effort that is nearest, the lower of two. `max` is refused on the chat endpoint.
fn nearest(wanted: Effort, efforts: &[Effort], endpoint: Endpoint) -> Effort {
    let taken = efforts.iter().copied().filter(|effort| endpoint == Endpoint::Responses || *effort != Effort::Maximum);
    // A model that can't reason less than a little must not be told not to; one that can must not be told not to when a little is wanted.
    let fitting = taken.filter(|effort| wanted == Effort::None || *effort != Effort::None);
    fitting.min_by_key(|effort| (*effort as u8).abs_diff(wanted as u8)).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effort_that_a_model_lacks_becomes_its_nearest() {
        let gpt_5 = [Effort::Minimal, Effort::Low, Effort::Medium, Effort::High];
        let gpt_5_6 = [Effort::None, Effort::Low, Effort::Medium, Effort::High, Effort::ExtraHigh, Effort::Maximum];
        for (wanted, efforts, endpoint, expected) in [
            (Effort::None, &gpt_5[..], Endpoint::Chat, Effort::Minimal),
            (Effort::ExtraHigh, &gpt_5[..], Endpoint::Chat, Effort::High),
            (Effort::Minimal, &gpt_5_6[..], Endpoint::Chat, Effort::Low),
            (Effort::None, &gpt_5_6[..], Endpoint::Chat, Effort::None),
            (Effort::Maximum, &gpt_5_6[..], Endpoint::Chat, Effort::ExtraHigh),
            (Effort::Maximum, &gpt_5_6[..], Endpoint::Responses, Effort::Maximum),
        ] {
            assert_eq!(nearest(wanted, efforts, endpoint), expected, "{wanted:?} of {efforts:?} on {endpoint:?}");
        }
    }
}
