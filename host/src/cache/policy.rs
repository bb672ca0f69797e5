//! Which requests may be answered from the cache, and which answers are kept.
//!
//! Owns: the rules of `CachePolicy`, and what a caller's wish makes of them. Pure.

use super::{KeptAnswer, Wish};
use crate::config::CachePolicy;
use crate::contract::{ChatRequest, FinishReason};
use crate::domain::looks_elsewhere;

/// On which kind of route a request came, by which is meant what it says nothing of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The gateway's own, where a question is asked: any answer to it will do.
    Query,
    /// OpenAI's or Anthropic's: without a temperature, an answer is one of chance.
    Compatible,
}

/// What is done with the cache for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// An answer that was given before will do.
    pub read: bool,
    /// Its answer is kept.
    pub keep: bool,
}

impl Use {
    pub const NONE: Self = Self { read: false, keep: false };
}

/// Which requests may use the cache. `AnswerCache::policy` gives it.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub(super) by: CachePolicy,
    /// Where it is not, no wish changes that.
    pub(super) enabled: bool,
}

impl Policy {
    pub fn of_chat(self, wish: &Wish, asker: Asker, request: &ChatRequest) -> Use {
        self.decided(wish, || is_settled(asker, request))
    }

    pub fn of_embeddings(self, wish: &Wish) -> Use {
        self.decided(wish, || true)
    }

    fn decided(self, wish: &Wish, is_settled: impl FnOnce() -> bool) -> Use {
        if wish.only_if_cached {
            // Else it would be asked upstream, which is what its caller does not want.
            return Use { read: true, keep: false };
        }
        let by_policy = || match self.by {
            CachePolicy::All => true,
            CachePolicy::Deterministic => is_settled(),
            CachePolicy::OptIn => false,
        };
        let used = self.enabled && wish.use_cache.unwrap_or_else(by_policy);
        Use { read: used && !wish.refresh, keep: used }
    }
}

/// Whether nothing but the request decides on the answer, as far as that can be seen.
fn is_settled(asker: Asker, request: &ChatRequest) -> bool {
    let by_chance = match request.sampling.temperature {
        Some(temperature) => temperature != 0.0,
        None => asker == Asker::Compatible || request.choices.is_some_and(|choices| choices > 1),
    };
    !by_chance && !looks_elsewhere(request)
}

/// Whether an answer is worth being given again: of a chat, each choice came to its end, or to the limit that the request set.
pub fn is_keepable(answer: &KeptAnswer) -> bool {
    let KeptAnswer::Chat(answer) = answer else { return true };
    let is_whole = |reason| match reason {
        FinishReason::Stop | FinishReason::Length | FinishReason::ToolCalls => true,
        FinishReason::ContentFilter | FinishReason::Error | FinishReason::Other => false,
    };
    !answer.choices.is_empty() && answer.choices.iter().all(|choice| is_whole(choice.finish.reason))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::answer;
    use super::*;
    use crate::contract::{ChatResponse, Native, Tool};
    use crate::domain::chat_request;

    const OFF: Use = Use::NONE;
    const BOTH: Use = Use { read: true, keep: true };

    fn policy(by: CachePolicy) -> Policy {
        Policy { by, enabled: true }
    }

    fn request(temperature: Option<f64>) -> ChatRequest {
        let mut request = chat_request(String::new(), Vec::new());
        request.sampling.temperature = temperature;
        request
    }

    fn used(by: CachePolicy, asker: Asker, request: &ChatRequest) -> Use {
        policy(by).of_chat(&Wish::default(), asker, request)
    }

    #[test]
    fn without_a_wish_the_policy_decides() {
        for (temperature, asker, settled) in [
            (Some(0.0), Asker::Compatible, BOTH),
            (Some(0.1), Asker::Query, OFF),
            (None, Asker::Query, BOTH),
            (None, Asker::Compatible, OFF),
        ] {
            let request = request(temperature);
            assert_eq!(used(CachePolicy::All, asker, &request), BOTH);
            assert_eq!(used(CachePolicy::Deterministic, asker, &request), settled, "{temperature:?} {asker:?}");
            assert_eq!(used(CachePolicy::OptIn, asker, &request), OFF);
        }
        assert_eq!(policy(CachePolicy::Deterministic).of_embeddings(&Wish::default()), BOTH);
        assert_eq!(policy(CachePolicy::OptIn).of_embeddings(&Wish::default()), OFF);
    }

    #[test]
    fn several_answers_and_the_world_are_left_to_chance() {
        let native = |value: &str| Native { dialect: "openai-chat".into(), value: value.into() };
        let settled = |change: &dyn Fn(&mut ChatRequest)| {
            let mut request = request(Some(0.0));
            change(&mut request);
            used(CachePolicy::Deterministic, Asker::Compatible, &request)
        };
        assert_eq!(settled(&|it| it.choices = Some(2)), BOTH);
        assert_eq!(settled(&|it| (it.choices, it.sampling.temperature) = (Some(2), None)), OFF);
        assert_eq!(settled(&|it| it.tools.push(Tool::Other(native(r#"{"type":"web_search"}"#)))), OFF);
        assert_eq!(settled(&|it| it.extras.push(native(r#"{"web_search_options":{}}"#))), OFF);
        assert_eq!(settled(&|it| it.extras.push(native(r#"{"service_tier":"auto","a\"":1}"#))), BOTH);
    }

    #[test]
    fn a_wish_goes_before_the_policy_and_after_the_switch() {
        let used = |by: Policy, wish: Wish| by.of_chat(&wish, Asker::Compatible, &request(None));
        let on = Wish { use_cache: Some(true), ..Wish::default() };
        let refresh = Wish { refresh: true, ..on };
        assert_eq!(used(policy(CachePolicy::OptIn), on), BOTH);
        assert_eq!(used(policy(CachePolicy::All), Wish { use_cache: Some(false), ..Wish::default() }), OFF);
        assert_eq!(used(policy(CachePolicy::OptIn), refresh), Use { read: false, keep: true });
        assert_eq!(used(policy(CachePolicy::OptIn), Wish { refresh: true, ..Wish::default() }), OFF);
        assert_eq!(used(Policy { enabled: false, ..policy(CachePolicy::All) }, on), OFF);
        for by in [CachePolicy::All, CachePolicy::OptIn] {
            assert_eq!(used(policy(by), Wish { only_if_cached: true, ..Wish::default() }), Use { read: true, keep: false });
        }
    }

    #[test]
    fn only_answers_that_came_to_their_end_are_kept() {
        for (reason, keepable) in [
            (FinishReason::Stop, true),
            (FinishReason::Length, true),
            (FinishReason::ToolCalls, true),
            (FinishReason::ContentFilter, false),
            (FinishReason::Error, false),
            (FinishReason::Other, false),
        ] {
            let mut answer = answer("a");
            answer.choices[0].finish.reason = reason;
            assert_eq!(is_keepable(&KeptAnswer::Chat(answer)), keepable, "{reason:?}");
        }
        assert!(!is_keepable(&KeptAnswer::Chat(ChatResponse { choices: Vec::new(), ..answer("a") })));
    }
}
