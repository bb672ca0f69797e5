//! An answer on its way into the cache, while the caller gets it.
//!
//! Owns: gathering it. Not here: whether it may be kept, and where (`cache`).

use crate::attempt::Attempt;
use crate::cache::{Kept, KeptAnswer, Ticket, is_keepable};
use crate::contract::{ChatEvent, Dropped, FinishReason};
use crate::domain::{Gathered, size};
use crate::money::Usd;
use jiff::Timestamp;

#[derive(Debug)]
pub(super) struct Keeping {
    ticket: Ticket,
    dropped: Vec<Dropped>,
    answer: Coming,
    /// Bytes that it may still grow by.
    room: u64,
}

#[derive(Debug)]
enum Coming {
    /// Event by event; nothing yet, at first.
    Pieces(Box<Gathered>),
    Whole(Box<KeptAnswer>),
    /// It can't be gathered, or is larger than what is kept.
    Lost,
}

impl Keeping {
    pub(super) fn new(ticket: Ticket) -> Self {
        let room = ticket.largest();
        Self { ticket, dropped: Vec::new(), answer: Coming::Pieces(Box::default()), room }
    }

    pub(super) fn dropped(&mut self, dropped: &[Dropped]) {
        self.dropped = dropped.to_vec();
    }

    pub(super) fn whole(&mut self, answer: impl FnOnce() -> KeptAnswer) {
        self.answer = Coming::Whole(Box::new(answer()));
    }

    pub(super) fn event(&mut self, event: &ChatEvent) {
        let Coming::Pieces(gathered) = &mut self.answer else { return };
        self.room = self.room.saturating_sub(size(event) as u64);
        if self.room == 0 || gathered.add(event.clone()).is_err() {
            self.answer = Coming::Lost;
        }
    }

    /// It is not for others.
    pub(super) fn release(self) {
        self.ticket.release();
    }

    /// Gives it to the cache, if it is whole and may be given again. `is_shortened`: whether it had less room than its caller asked for.
    pub(super) fn keep(self, attempt: &Attempt, cost: Option<Usd>, is_shortened: bool) {
        let Self { ticket, dropped, answer, .. } = self;
        let answer = match answer {
            Coming::Whole(answer) => Some(*answer),
            Coming::Pieces(gathered) => gathered.complete().map(KeptAnswer::Chat),
            Coming::Lost => None,
        };
        // Who has more to spend is not to be given what was cut for this one.
        let Some(answer) = answer.filter(is_keepable).filter(|answer| !(is_shortened && is_cut(answer))) else { return ticket.release() };
        ticket.keep(Kept {
            answer,
            provider: attempt.provider.clone(),
            model: attempt.model.clone(),
            plugin_version: attempt.plugin_version.clone(),
            simulated: attempt.simulated,
            dropped,
            cost,
            stored_at: Timestamp::now(),
        });
    }
}

fn is_cut(answer: &KeptAnswer) -> bool {
    match answer {
        KeptAnswer::Chat(answer) => answer.choices.iter().any(|choice| choice.finish.reason == FinishReason::Length),
        KeptAnswer::Embeddings(_) => false,
    }
}
