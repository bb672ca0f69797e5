//! Of equal requests at the same time, one goes upstream.
//!
//! Owns: who leads, who waits, what those who wait are given. Not here: the answers that are kept (`store`).
//!
//! A flight is there while somebody leads or waits. A leader that gives up hands it to the next who waits; one that gives an answer, or has none for others, ends it for all.

use super::{Fingerprint, Kept};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The flights of this process.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Fingerprint, Boarding>>);

/// A flight that can be boarded.
struct Boarding {
    flight: Arc<Flight>,
    /// Who leads and who waits.
    seats: usize,
}

struct Flight {
    /// Has one permit, the leader's. Closed when the flight is over.
    lead: Arc<Semaphore>,
    answer: OnceLock<Arc<Kept>>,
}

pub(super) enum Boarded {
    Lead(Lead),
    /// What the leader was answered meanwhile.
    Given(Arc<Kept>),
    /// Nobody waits for this one, and it for nobody: it took too long, or what the others were answered is not for it.
    Alone,
}

/// Leads a flight. Dropped, the next who waits does.
pub(super) struct Lead {
    _permit: OwnedSemaphorePermit,
    seat: Seat,
}

/// Holds a flight in the map.
struct Seat {
    flights: Arc<Flights>,
    fingerprint: Fingerprint,
    flight: Arc<Flight>,
}

impl Flights {
    /// Waits, up to `patience`, until the flight has an answer or wants a leader.
    pub(super) async fn board(self: &Arc<Self>, fingerprint: Fingerprint, patience: Duration) -> Boarded {
        let seat = self.seat(fingerprint);
        let lead = Arc::clone(&seat.flight.lead);
        match timeout(patience, lead.acquire_owned()).await {
            Ok(Ok(permit)) => Boarded::Lead(Lead { _permit: permit, seat }),
            Ok(Err(_)) | Err(_) => seat.flight.answer.get().map_or(Boarded::Alone, |kept| Boarded::Given(Arc::clone(kept))),
        }
    }

    fn seat(self: &Arc<Self>, fingerprint: Fingerprint) -> Seat {
        let mut flights = self.locked();
        let new = || Boarding { flight: Arc::new(Flight { lead: Arc::new(Semaphore::new(1)), answer: OnceLock::new() }), seats: 0 };
        let boarding = flights.entry(fingerprint).or_insert_with(new);
        boarding.seats = boarding.seats.saturating_add(1);
        Seat { flights: Arc::clone(self), fingerprint, flight: Arc::clone(&boarding.flight) }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Fingerprint, Boarding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Gives the answer to all who wait.
    pub(super) fn give(self, kept: Arc<Kept>) {
        // Set once, for a flight is over then.
        let _ = self.seat.flight.answer.set(kept);
        self.call_off();
    }

    /// Sends all who wait on their own ways.
    pub(super) fn call_off(self) {
        let seat = &self.seat;
        let mut flights = seat.flights.locked();
        if flights.get(&seat.fingerprint).is_some_and(|boarding| Arc::ptr_eq(&boarding.flight, &seat.flight)) {
            flights.remove(&seat.fingerprint);
        }
        drop(flights);
        seat.flight.lead.close();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut flights = self.flights.locked();
        // Of a flight that is over, nothing is left; another may have its place.
        let Some(boarding) = flights.get_mut(&self.fingerprint).filter(|boarding| Arc::ptr_eq(&boarding.flight, &self.flight)) else {
            return;
        };
        boarding.seats = boarding.seats.saturating_sub(1);
        if boarding.seats == 0 {
            flights.remove(&self.fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::tests::{fingerprint, kept};
    use super::*;
    use futures_util::future::{join_all, poll_immediate};
    use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};

    const LONG: Duration = Duration::from_secs(3600);

    fn boarding(flights: &Arc<Flights>) -> impl Future<Output = Boarded> + Send + 'static {
        let flights = Arc::clone(flights);
        async move { flights.board(fingerprint("a"), LONG).await }
    }

    async fn lead(flights: &Arc<Flights>) -> Lead {
        match boarding(flights).await {
            Boarded::Lead(lead) => lead,
            Boarded::Given(_) | Boarded::Alone => panic!("no lead"),
        }
    }

    fn is_empty(flights: &Flights) -> bool {
        flights.locked().is_empty()
    }

    #[tokio::test]
    async fn one_leads_and_the_others_are_given_its_answer() {
        let flights = Arc::<Flights>::default();
        let first = lead(&flights).await;
        let mut others: Vec<_> = (0..99).map(|_| boarding(&flights).boxed()).collect();
        for other in &mut others {
            assert!(poll_immediate(other).await.is_none());
        }
        first.give(kept("answer"));
        let given = join_all(others).await;
        assert!(given.iter().all(|boarded| matches!(boarded, Boarded::Given(answer) if *answer == kept("answer"))));
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn a_leader_that_gives_up_is_followed_by_one_at_a_time() {
        let flights = Arc::<Flights>::default();
        let mut leading = vec![lead(&flights).await];
        let mut others: FuturesUnordered<_> = (0..9).map(|_| boarding(&flights)).collect();
        for left in (0..9).rev() {
            assert!(poll_immediate(others.next()).await.is_none());
            drop(leading.pop());
            match others.next().await.unwrap() {
                Boarded::Lead(lead) => leading.push(lead),
                Boarded::Given(_) | Boarded::Alone => panic!("nobody leads"),
            }
            assert_eq!(others.len(), left);
        }
        drop(leading);
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn where_the_answer_is_not_for_others_they_go_side_by_side() {
        let flights = Arc::<Flights>::default();
        let first = lead(&flights).await;
        let mut others: Vec<_> = (0..9).map(|_| boarding(&flights).boxed()).collect();
        for other in &mut others {
            assert!(poll_immediate(other).await.is_none());
        }
        first.call_off();
        assert!(join_all(others).await.iter().all(|boarded| matches!(boarded, Boarded::Alone)));
        assert!(is_empty(&flights));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let flights = Arc::<Flights>::default();
        let first = lead(&flights).await;
        assert!(matches!(boarding(&flights).await, Boarded::Alone));
        drop(first);
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn those_who_leave_leave_nothing_behind() {
        let flights = Arc::<Flights>::default();
        let first = lead(&flights).await;
        {
            let mut gone = boarding(&flights).boxed();
            assert!(poll_immediate(&mut gone).await.is_none());
        }
        drop(first);
        assert!(is_empty(&flights));
        drop(lead(&flights).await);
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn the_end_of_a_flight_does_not_touch_the_next_one() {
        let flights = Arc::<Flights>::default();
        let first = lead(&flights).await;
        let mut other = boarding(&flights).boxed();
        assert!(poll_immediate(&mut other).await.is_none());
        first.call_off();
        let next = lead(&flights).await;
        assert!(matches!(other.await, Boarded::Alone));
        assert!(poll_immediate(boarding(&flights).boxed()).await.is_none());
        drop(next);
        assert!(is_empty(&flights));
    }
}
