//! Payloads that came before their assignment, and those that will come although nobody wants
//! them any more. All of it ends with the session.

use bytes::Bytes;
use phalanx_protocol::ids::Ticket;
use phalanx_protocol::limits::{EARLY_PAYLOAD_BYTES_MAX, EARLY_PAYLOADS_MAX};
use rustc_hash::{FxHashMap, FxHashSet};

use super::room::RuleBroken;

/// Loose ends of one session.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    early: FxHashMap<Ticket, Bytes>,
    early_bytes: u64,
    unwanted: FxHashSet<Ticket>,
}

impl Arrivals {
    /// A payload came that no queued attempt waits for.
    pub(super) fn keep(&mut self, ticket: Ticket, bytes: Bytes) -> Result<(), RuleBroken> {
        if self.unwanted.remove(&ticket) {
            return Ok(());
        }
        self.take(ticket);
        self.early_bytes += bytes.len() as u64;
        self.early.insert(ticket, bytes);
        self.check_limits()
    }

    /// The payload, if it has come.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Bytes> {
        let bytes = self.early.remove(&ticket)?;
        self.early_bytes -= bytes.len() as u64;
        Some(bytes)
    }

    /// Nobody wants this payload, now or when it comes.
    pub(super) fn refuse(&mut self, ticket: Ticket) -> Result<(), RuleBroken> {
        if self.take(ticket).is_none() {
            self.unwanted.insert(ticket);
        }
        self.check_limits()
    }

    /// The session is gone: nothing more of it will come.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many loose ends there are.
    pub(super) fn len(&self) -> usize {
        self.early.len() + self.unwanted.len()
    }

    fn check_limits(&self) -> Result<(), RuleBroken> {
        if self.len() > EARLY_PAYLOADS_MAX || self.early_bytes > EARLY_PAYLOAD_BYTES_MAX {
            return Err(RuleBroken);
        }
        Ok(())
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self) {
        let bytes: u64 = self.early.values().map(|bytes| bytes.len() as u64).sum();
        assert_eq!(bytes, self.early_bytes);
        assert!(self.early.keys().all(|ticket| !self.unwanted.contains(ticket)));
    }
}
