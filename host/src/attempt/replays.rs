//! Gives every candidate back what it alone wants back, and seals what its answer gives.
//!
//! Owns: the way between sealed replays, as callers carry them, and the open ones that adapters see. Not here: the sealed form
//! (`domain::replay`).

use crate::contract::{ChatEvent, ChatRequest, ChatResponse, Native, Replay};
use crate::domain::replay::{History, HistoryReader, Origin, open};

/// Fields that a later version of the contract names.
const LATER_FIELDS: &str = "llm-gateway";
/// On a part whose replay was said after another conversation than the one before it now.
const HISTORY_CHANGED: &str = r#"{"history_changed":true}"#;

/// The replays of one request, taken out of it, and the conversation that its answer is given in.
#[derive(Debug, Clone)]
pub(super) struct Replays {
    taken: Vec<Taken>,
    history: History,
}

#[derive(Debug, Clone)]
struct Taken {
    message: usize,
    part: usize,
    provider: String,
    replay: Replay,
    /// Whether it was said after another conversation than the one before it now.
    history_changed: bool,
}

impl Replays {
    /// Takes the replays out of a request as it came. What does not open is gone: it was not made here.
    pub(super) fn take(request: &mut ChatRequest) -> Self {
        let mut taken = Vec::new();
        let mut before = HistoryReader::default();
        for (at, message) in request.messages.iter_mut().enumerate() {
            let history = message.parts.iter().any(|part| part.replay.is_some()).then(|| before.so_far());
            for (number, part) in message.parts.iter_mut().enumerate() {
                let Some(sealed) = part.replay.take() else { continue };
                let Some((origin, data)) = open(&sealed.data) else { continue };
                let history_changed = history.is_some_and(|history| history != origin.history);
                let replay = Replay { data: data.to_owned(), model: Some(origin.model) };
                taken.push(Taken { message: at, part: number, provider: origin.provider, replay, history_changed });
            }
            before.read(message);
        }
        Self { taken, history: before.so_far() }
    }

    /// Puts in those of one provider instance, and no other's.
    pub(super) fn give(&self, provider: &str, request: &mut ChatRequest) {
        for taken in &self.taken {
            let Some(message) = request.messages.get_mut(taken.message) else { continue };
            let Some(part) = message.parts.get_mut(taken.part) else { continue };
            let its_own = taken.provider == provider;
            part.replay = its_own.then(|| taken.replay.clone());
            part.extras.retain(|native| native.value != HISTORY_CHANGED);
            if its_own && taken.history_changed {
                part.extras.push(Native { dialect: LATER_FIELDS.to_owned(), value: HISTORY_CHANGED.to_owned() });
            }
        }
    }

    /// What seals the replays of an answer by this provider instance and model.
    pub(super) fn sealer(&self, provider: &str, model: &str) -> Sealer {
        Sealer(Origin { provider: provider.to_owned(), model: model.to_owned(), history: self.history })
    }
}

/// Seals the replays of one answer.
#[derive(Debug)]
pub(super) struct Sealer(Origin);

impl Sealer {
    pub(super) fn seal_event(&self, event: &mut ChatEvent) {
        if let ChatEvent::PartClosed(closing) = event {
            self.seal(&mut closing.replay);
        }
    }

    pub(super) fn seal_answer(&self, answer: &mut ChatResponse) {
        answer.choices.iter_mut().flat_map(|choice| &mut choice.parts).for_each(|part| self.seal(&mut part.replay));
    }

    fn seal(&self, replay: &mut Option<Replay>) {
        if let Some(replay) = replay {
            replay.data = self.0.seal(&replay.data);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{Choice, Finish, FinishReason, Message, Part, PartBody, Role};
    use crate::domain::{chat_request, part};

    fn message(role: Role, parts: Vec<Part>) -> Message {
        Message { role, name: None, parts, extras: Vec::new() }
    }

    fn user(text: &str) -> Message {
        message(Role::User, vec![part(PartBody::Text(text.into()))])
    }

    /// What a caller sends after an answer with one thought of claude's.
    fn next_turn(first: &str, first_again: &str) -> ChatRequest {
        let mut asked = chat_request("opus".into(), vec![user(first)]);
        let thought = Part { replay: Some(Replay { data: "sig".into(), model: None }), ..part(PartBody::Thinking("hm".into())) };
        let finish = Finish { reason: FinishReason::Stop, raw: None, stop_sequence: None, extras: Vec::new() };
        let choice = Choice { index: 0, parts: vec![thought], finish, logprobs: None };
        let mut answer = ChatResponse { id: None, model: None, choices: vec![choice], usage: None, extras: Vec::new() };
        Replays::take(&mut asked).sealer("claude", "opus").seal_answer(&mut answer);
        let parts = answer.choices.remove(0).parts;
        chat_request("opus".into(), vec![user(first_again), message(Role::Assistant, parts), user("more")])
    }

    #[test]
    fn a_replay_comes_back_to_the_provider_that_gave_it_and_to_no_other() {
        let mut request = next_turn("hello", "hello");
        let replays = Replays::take(&mut request);
        replays.give("gemini", &mut request);
        assert_eq!(request.messages[1].parts[0].replay, None);
        replays.give("claude", &mut request);
        let thought = &request.messages[1].parts[0];
        assert_eq!(thought.replay, Some(Replay { data: "sig".into(), model: Some("opus".into()) }));
        assert!(thought.extras.is_empty());
    }

    #[test]
    fn a_replay_after_an_edited_history_says_so() {
        let mut request = next_turn("hello", "hullo");
        Replays::take(&mut request).give("claude", &mut request);
        let thought = &request.messages[1].parts[0];
        assert!(thought.replay.is_some());
        assert_eq!(thought.extras, [Native { dialect: "llm-gateway".into(), value: "{\"history_changed\":true}".into() }]);
    }

    #[test]
    fn what_was_not_sealed_here_goes_to_nobody() {
        let mut request = next_turn("hello", "hello");
        request.messages[1].parts[0].replay = Some(Replay { data: "forged".into(), model: None });
        Replays::take(&mut request).give("claude", &mut request);
        assert_eq!(request.messages[1].parts[0].replay, None);
    }
}
