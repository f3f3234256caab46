//! The functions that the hub has defined in this session. All of it ends with the session; an
//! attempt holds its function itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use phalanx_protocol::function::{Define, Digest, Function, FunctionLimits, FunctionTable, Held};
use phalanx_protocol::ids::Ticket;

use super::queue::Needed;
use super::room::RuleBroken;

/// The functions of one session.
#[derive(Debug, Default)]
pub(super) struct Functions {
    limits: FunctionLimits,
    table: FunctionTable,
    /// Those that are on their way, with their lengths; also those that were reset meanwhile, for
    /// attempts may wait for them.
    arriving: BTreeMap<Ticket, (Digest, u64)>,
}

impl Functions {
    /// None, and at most so many.
    pub(super) fn new(limits: FunctionLimits) -> Self {
        Self { limits, table: FunctionTable::new(limits), arriving: BTreeMap::new() }
    }

    /// Takes a definition; answers the stream that its bytes come by.
    pub(super) fn define(&mut self, define: Define) -> Result<Option<Ticket>, RuleBroken> {
        let (digest, len) = (define.digest, define.payload.len());
        let ticket = self.table.take(define).map_err(|_| RuleBroken)?;
        if let Some(ticket) = ticket {
            self.arriving.insert(ticket, (digest, len));
        }
        Ok(ticket)
    }

    /// If this is a function that was on its way: it is here.
    pub(super) fn fill(
        &mut self,
        ticket: Ticket,
        bytes: &Bytes,
    ) -> Result<Option<Function>, RuleBroken> {
        let Some((digest, len)) = self.arriving.remove(&ticket) else {
            return Ok(None);
        };
        if len != bytes.len() as u64 {
            return Err(RuleBroken);
        }
        self.table.fill(digest, ticket, bytes);
        Ok(Some(Function { digest, bytes: bytes.clone() }))
    }

    /// What an assignment needs that names this function. The hub names none that it has not
    /// defined.
    pub(super) fn needed(&self, digest: Digest) -> Result<Needed, RuleBroken> {
        match self.table.get(digest).ok_or(RuleBroken)? {
            Held::Here(bytes) => Ok(Needed::Here(Function { digest, bytes: bytes.clone() })),
            Held::Arriving(ticket) => Ok(Needed::Arriving(*ticket)),
        }
    }

    /// The session is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    /// How many there are, here or on their way.
    pub(super) fn len(&self) -> usize {
        self.table.len() + self.arriving.len()
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self) {
        self.table.check_invariants();
    }
}
