//! A request as its row in the ledger says it.

use super::{Account, Ending, Texts, finish_word, tariff};
use crate::attempt::Attempt;
use crate::ledger::{AttemptRow, LedgerDown, RequestRow, TokenCounts};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

impl Account {
    /// Writes the request down. That it can't be is told by the ledger itself.
    ///
    /// # Errors
    /// When it can't be.
    pub(super) fn write(&mut self, ending: Ending<'_>) -> Result<(), LedgerDown> {
        let Some(books) = self.entry.as_ref().map(|entry| Arc::clone(&entry.books)) else { return Ok(()) };
        let row = self.row(ending);
        books.ledger.record(&row)
    }

    fn row(&mut self, ending: Ending<'_>) -> RequestRow {
        let overhead = self.overhead();
        let elapsed = self.context.started.elapsed();
        let caller = self.caller();
        let last = self.attempts.last();
        let (prompt, answer) = self.kept_texts();
        let kept = self.kept();
        let provider = last.map(|attempt| &attempt.provider).or(kept.map(|kept| &kept.provider));
        // A cached answer counts where it was asked for: it has no attempt that says so.
        let model = kept.map(|kept| &kept.model).or(self.answered.model.as_ref()).or(last.map(|attempt| &attempt.model));
        RequestRow {
            id: self.id,
            request_id: self.context.id.to_string(),
            at: began_at(elapsed),
            route: self.context.route.to_owned(),
            tenant: caller.tenant.to_string(),
            key_id: caller.key.as_ref().map(|key| key.id.to_string()),
            reservation: self.reservation,
            stream: self.stream,
            status: ending.status,
            error_type: ending.error.map(|(kind, _)| kind.as_str().to_owned()),
            error: ending.error.map(|(_, message)| message.to_owned()),
            provider: provider.cloned(),
            model: model.cloned(),
            asked_model: self.asked_model.clone(),
            plugin_version: last.map(|attempt| &attempt.plugin_version).or(kept.map(|kept| &kept.plugin_version)).cloned(),
            simulated: last.map_or(kept.is_some_and(|kept| kept.simulated), |attempt| attempt.simulated),
            tokens: tariff::tokens(&self.bills),
            cost: tariff::total(&self.bills),
            saved: kept.and_then(|kept| kept.cost),
            cache: self.cache_word().to_owned(),
            latency_us: microseconds(elapsed),
            upstream_us: microseconds(self.upstream()),
            gateway_us: microseconds(overhead),
            finish_reason: self.finish.map(|finish| finish_word(finish).to_owned()),
            attempts: self.attempts.iter().zip(&self.bills).map(|(attempt, bill)| attempt_row(attempt, bill)).collect(),
            prompt,
            answer,
        }
    }

    fn kept_texts(&self) -> (Option<String>, Option<String>) {
        let texts = self.texts.as_ref().filter(|_| self.entry.as_ref().is_some_and(|entry| entry.books.contents));
        let Some(Texts { prompt, response }) = texts else { return (None, None) };
        (Some(prompt.clone()), Some(response.clone()))
    }
}

fn attempt_row(attempt: &Attempt, bill: &tariff::Bill) -> AttemptRow {
    AttemptRow {
        provider: attempt.provider.clone(),
        model: attempt.model.clone(),
        is_listed: attempt.is_listed,
        plugin_version: attempt.plugin_version.clone(),
        simulated: attempt.simulated,
        status: attempt.status,
        error_type: attempt.error.as_ref().map(|(kind, _)| kind.as_str().to_owned()),
        error: attempt.error.as_ref().map(|(_, message)| message.clone()),
        reason: attempt.why.as_str().to_owned(),
        tokens: bill.usage.as_ref().map(TokenCounts::of).unwrap_or_default(),
        cost: bill.cost.map(|cost| cost.total()),
        duration_us: microseconds(attempt.duration),
        upstream_us: microseconds(attempt.waited),
        backoff_us: microseconds(attempt.backoff),
        provider_request_id: attempt.provider_request_id.clone(),
    }
}

/// In microseconds of Unix time.
fn began_at(elapsed: Duration) -> i64 {
    Timestamp::now().as_microsecond().saturating_sub(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
