//! Which outcomes of this session arrived, with their payloads, and which were confirmed. Owned by
//! the room.
//!
//! Deliberately knows nothing of tasks: what it lets through may be a task that ended long ago.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::ids::Ticket;
use phalanx_transport::protocol::limits::{
    EARLY_PAYLOADS_MAX, RECEIVED_BYTES_MAX, RECEIVED_DELAY, RECEIVED_DELIVERIES_MAX,
};
use phalanx_transport::protocol::outcome::Delivery;
use phalanx_transport::protocol::payload::Payload;
use rustc_hash::FxHashMap;

/// How the hub broke the protocol.
pub(super) type Violation = (ErrorCode, &'static str);

/// The deliveries of one session.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// The number that the next delivery must have.
    next_number: u64,
    /// All below arrived with their payloads.
    arrived: u64,
    /// All below were confirmed.
    confirmed: u64,
    unconfirmed_bytes: u64,
    /// When the rest is to be confirmed at the latest.
    deadline: Option<Duration>,
    /// Of the deliveries from `arrived` on: whether their payloads are there.
    beyond: VecDeque<bool>,
    /// Deliveries whose payloads are on their way.
    waiting: FxHashMap<Ticket, Delivery>,
    /// Payloads whose deliveries are on their way.
    early: FxHashMap<Ticket, Bytes>,
    /// The highest ticket a delivery named: tickets ascend.
    last_ticket: Option<Ticket>,
}

impl Deliveries {
    /// Takes a delivery; gives it back if its payload is there.
    pub(super) fn on_delivery(
        &mut self,
        now: Duration,
        mut delivery: Delivery,
    ) -> Result<Option<Delivery>, Violation> {
        if delivery.number < self.next_number {
            return Ok(None);
        }
        if delivery.number > self.next_number {
            return Err((ErrorCode::OutOfOrder, "a delivery was left out"));
        }
        if let Some(ticket) = delivery.payload.ticket() {
            if self.last_ticket.is_some_and(|last| ticket <= last) {
                return Err((ErrorCode::OutOfOrder, "a payload ticket came twice"));
            }
            self.last_ticket = Some(ticket);
            match self.early.remove(&ticket) {
                Some(bytes) => fill(&mut delivery, bytes)?,
                None => {
                    self.next_number += 1;
                    self.beyond.push_back(false);
                    self.waiting.insert(ticket, delivery);
                    return Ok(None);
                }
            }
        }
        self.next_number += 1;
        self.unconfirmed_bytes += delivery.carried_bytes();
        self.beyond.push_back(true);
        self.advance(now);
        Ok(Some(delivery))
    }

    /// Takes a payload; gives back the delivery that waited for it.
    pub(super) fn on_payload(
        &mut self,
        now: Duration,
        ticket: Ticket,
        bytes: Bytes,
    ) -> Result<Option<Delivery>, Violation> {
        let Some(mut delivery) = self.waiting.remove(&ticket) else {
            let repeated = self.last_ticket.is_some_and(|last| ticket <= last);
            if repeated {
                return Ok(None);
            }
            if self.early.len() >= EARLY_PAYLOADS_MAX {
                return Err((ErrorCode::TooLarge, "too many payloads that no delivery names"));
            }
            self.early.insert(ticket, bytes);
            return Ok(None);
        };
        fill(&mut delivery, bytes)?;
        self.unconfirmed_bytes += delivery.carried_bytes();
        // It was put there with the delivery, and stays until this payload has come.
        if let Some(arrived) = self.beyond.get_mut((delivery.number - self.arrived) as usize) {
            *arrived = true;
        }
        self.advance(now);
        Ok(Some(delivery))
    }

    fn advance(&mut self, now: Duration) {
        while self.beyond.front() == Some(&true) {
            self.beyond.pop_front();
            self.arrived += 1;
        }
        if self.arrived > self.confirmed && self.deadline.is_none() {
            self.deadline = Some(now + RECEIVED_DELAY);
        }
    }

    /// What to confirm now, if so much has arrived that it should not wait.
    pub(super) fn confirm_if_many(&mut self) -> Option<u64> {
        let many = self.arrived - self.confirmed >= RECEIVED_DELIVERIES_MAX
            || self.unconfirmed_bytes >= RECEIVED_BYTES_MAX;
        if many { self.confirm() } else { None }
    }

    /// What to confirm now, if anything.
    pub(super) fn confirm(&mut self) -> Option<u64> {
        if self.arrived == self.confirmed {
            return None;
        }
        self.confirmed = self.arrived;
        self.unconfirmed_bytes = 0;
        self.deadline = None;
        Some(self.confirmed)
    }

    pub(super) const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.confirmed <= self.arrived && self.arrived <= self.next_number);
        assert_eq!(self.arrived + self.beyond.len() as u64, self.next_number);
        assert_ne!(self.beyond.front(), Some(&true), "the prefix is as long as can be");
        let missing = self.beyond.iter().filter(|arrived| !**arrived).count();
        assert_eq!(missing, self.waiting.len());
        assert_eq!(self.deadline.is_some(), self.arrived > self.confirmed);
    }
}

/// Puts the bytes that came by stream in their place.
fn fill(delivery: &mut Delivery, bytes: Bytes) -> Result<(), Violation> {
    if delivery.payload.len() != bytes.len() as u64 {
        return Err((ErrorCode::Malformed, "a payload is not as long as was said"));
    }
    delivery.payload = Payload::inline(delivery.payload.format, bytes);
    Ok(())
}
