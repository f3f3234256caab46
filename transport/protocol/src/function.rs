//! Functions that are sent once for each session and then named by their digest.
//!
//! Code that a task needs beside its arguments, such as a pickled function: bytes that only who
//! calls and who runs it understand. Who sends it keeps a [`SentFunctions`] for each session, who
//! receives it a [`FunctionTable`]. Both follow one rule, so that the sender always knows what the
//! receiver has: definitions are numbered, nothing is forgotten but by a definition that says
//! `reset`, and a new session begins with nothing. Hub and engine never look into the bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::Ticket;
use crate::limits::{
    COPIED_PAYLOAD_LEN_MAX, FUNCTION_BYTES_PER_SESSION_MAX, FUNCTIONS_PER_SESSION_MAX,
};
use crate::payload::{Body, Format, Payload};

/// The name of a function: 16 bytes that no other function shares, such as the BLAKE2b digest of
/// its bytes. Nobody on the way checks it: two functions of one name are the sender's fault, and
/// tasks may run with either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 16]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::ByteArray::<16>::deserialize(deserializer)
            .map(|bytes| Self(bytes.into_array()))
    }
}

/// A function with its bytes. Cloning it copies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub digest: Digest,
    /// What it is.
    pub bytes: Bytes,
}

/// Gives the receiver a function that later messages of this session name. Travels array-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Define {
    /// Its place among this session's definitions in this direction, from 0.
    pub number: u64,
    /// The name of the function.
    pub digest: Digest,
    /// Whether the receiver forgets all functions of this session before it takes this one.
    pub reset: bool,
    /// The function.
    pub payload: Payload,
}

/// How many functions a session may have, and how many bytes of them. Both ends must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionLimits {
    /// At most so many.
    pub count: usize,
    /// At most so many bytes.
    pub bytes: u64,
}

impl Default for FunctionLimits {
    fn default() -> Self {
        Self { count: FUNCTIONS_PER_SESSION_MAX, bytes: FUNCTION_BYTES_PER_SESSION_MAX }
    }
}

impl FunctionLimits {
    const fn fit(&self, count: usize, bytes: u64) -> bool {
        count <= self.count && bytes <= self.bytes
    }
}

/// What the receiver of one session has, as its sender knows it.
#[derive(Debug, Clone, Default)]
pub struct SentFunctions {
    limits: FunctionLimits,
    known: BTreeSet<Digest>,
    bytes: u64,
    next_number: u64,
}

impl SentFunctions {
    /// The receiver of a new session has nothing.
    pub const fn new(limits: FunctionLimits) -> Self {
        Self { limits, known: BTreeSet::new(), bytes: 0, next_number: 0 }
    }

    /// How many were sent in this session, those that were forgotten since among them.
    pub const fn sent(&self) -> u64 {
        self.next_number
    }

    /// A new session: its receiver has nothing.
    pub fn restart(&mut self) {
        *self = Self::new(self.limits);
    }

    /// Whether the receiver has it, or will have it when what was sent has arrived.
    pub fn contains(&self, digest: Digest) -> bool {
        self.known.contains(&digest)
    }

    /// What to send before the first message that names this function; `None` if the receiver
    /// has it. One that does not fit beside the others makes the receiver forget those; it must
    /// not be longer than all may be together.
    pub fn define(&mut self, function: &Function) -> Option<Define> {
        if self.contains(function.digest) {
            return None;
        }
        let len = function.bytes.len() as u64;
        let reset = !self.limits.fit(self.known.len() + 1, self.bytes + len);
        if reset {
            self.known.clear();
            self.bytes = 0;
        }
        self.known.insert(function.digest);
        self.bytes += len;
        let number = self.next_number;
        self.next_number += 1;
        let payload = Payload::inline(Format::Raw, function.bytes.clone());
        Some(Define { number, digest: function.digest, reset, payload })
    }
}

/// Bytes to be kept: short ones are slices of a whole receive buffer, which would be kept with them.
fn compact(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPIED_PAYLOAD_LEN_MAX { Bytes::copy_from_slice(&bytes) } else { bytes }
}

/// A definition that does not fit what was said before, or is over the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DefineError {
    /// One was left out.
    #[error("a definition of a function was left out")]
    OutOfOrder,
    /// Its bytes are neither here nor on a stream: who reads a session puts those of a segment in
    /// their place.
    #[error("the bytes of a function are not here")]
    NotHere,
    /// The sender should have said `reset`.
    #[error("more functions than a session may have; the sender has to reset them")]
    TooMany,
}

/// Where a function of a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Here.
    Here(Bytes),
    /// On its way.
    Arriving(Ticket),
}

/// What the receiver of one session has.
#[derive(Debug, Clone, Default)]
pub struct FunctionTable {
    limits: FunctionLimits,
    held: BTreeMap<Digest, (Held, u64)>,
    bytes: u64,
    next_number: u64,
}

impl FunctionTable {
    /// A new session has nothing.
    pub const fn new(limits: FunctionLimits) -> Self {
        Self { limits, held: BTreeMap::new(), bytes: 0, next_number: 0 }
    }

    /// Takes a definition. Answers the ticket that its bytes come by, if they are not here; a
    /// repeated definition changes nothing, and answers none.
    ///
    /// # Errors
    /// [`DefineError`] if the sender broke the rule.
    pub fn take(&mut self, define: Define) -> Result<Option<Ticket>, DefineError> {
        let Define { number, digest, reset, payload } = define;
        if number < self.next_number {
            return Ok(None);
        }
        if number > self.next_number {
            return Err(DefineError::OutOfOrder);
        }
        if reset {
            self.held.clear();
            self.bytes = 0;
        }
        let len = payload.len();
        let fits = self.limits.fit(self.held.len() + 1, self.bytes.saturating_add(len));
        if !fits || self.held.contains_key(&digest) {
            return Err(DefineError::TooMany);
        }
        let (held, ticket) = match payload.body {
            Body::Inline(bytes) => (Held::Here(compact(bytes.contiguous())), None),
            Body::Ticket { ticket, .. } => (Held::Arriving(ticket), Some(ticket)),
            Body::Shared(_) => return Err(DefineError::NotHere),
        };
        self.next_number += 1;
        self.bytes += len;
        self.held.insert(digest, (held, len));
        Ok(ticket)
    }

    /// The bytes of a function came, unless it was forgotten meanwhile.
    pub fn fill(&mut self, digest: Digest, ticket: Ticket, bytes: &Bytes) {
        if let Some((held, _)) = self.held.get_mut(&digest)
            && *held == Held::Arriving(ticket)
        {
            *held = Held::Here(bytes.clone());
        }
    }

    /// Where a function is; `None` if it was never defined, or forgotten.
    pub fn get(&self, digest: Digest) -> Option<&Held> {
        self.held.get(&digest).map(|(held, _)| held)
    }

    /// How many came in this session, those that were forgotten since among them.
    pub const fn received(&self) -> u64 {
        self.next_number
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Panics if a fact contradicts another.
    pub fn check_invariants(&self) {
        let lens = self.held.values().map(|(_, len)| len);
        assert_eq!(lens.sum::<u64>(), self.bytes, "bytes of functions");
        assert!(self.limits.fit(self.held.len(), self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FunctionLimits = FunctionLimits { count: 2, bytes: 10 };

    fn function(name: u8, len: usize) -> Function {
        Function { digest: Digest([name; 16]), bytes: Bytes::from(vec![name; len]) }
    }

    #[test]
    fn both_ends_agree_on_what_the_receiver_has_whatever_is_sent() {
        let (mut sent, mut table) = (SentFunctions::new(LIMITS), FunctionTable::new(LIMITS));
        let mut resets = 0;
        for step in 0..1_000_usize {
            let function = function((step * step % 7) as u8, step % 11);
            if let Some(define) = sent.define(&function) {
                resets += usize::from(define.reset);
                // Repeating it, now or later, does no harm.
                for _ in 0..2 {
                    assert_eq!(table.take(define.clone()), Ok(None));
                }
            }
            table.check_invariants();
            assert!(matches!(table.get(function.digest), Some(Held::Here(_))));
            assert_eq!(table.len(), sent.known.len());
            assert_eq!(table.received(), sent.sent());
            assert!(sent.known.iter().all(|digest| table.get(*digest).is_some()));
        }
        assert!(resets > 10);
    }

    #[test]
    fn a_definition_left_out_or_one_too_many_breaks_the_rule() {
        let define = |number, name| Define {
            number,
            digest: Digest([name; 16]),
            reset: false,
            payload: Payload::empty(),
        };
        let mut table = FunctionTable::new(LIMITS);
        assert_eq!(table.take(define(1, 1)), Err(DefineError::OutOfOrder));
        assert_eq!(table.take(define(0, 1)), Ok(None));
        assert_eq!(table.take(define(1, 2)), Ok(None));
        assert_eq!(table.take(define(2, 3)), Err(DefineError::TooMany));
        assert_eq!(table.take(Define { reset: true, ..define(2, 3) }), Ok(None));
        assert_eq!((table.len(), table.get(Digest([1; 16]))), (1, None));
    }

    #[test]
    fn a_function_that_was_forgotten_is_not_filled_by_its_late_bytes() {
        let by_ticket = |number, ticket, reset| Define {
            number,
            digest: Digest([7; 16]),
            reset,
            payload: Payload {
                format: Format::Raw,
                body: Body::Ticket { ticket: Ticket(ticket), len: 3 },
            },
        };
        let mut table = FunctionTable::new(LIMITS);
        assert_eq!(table.take(by_ticket(0, 4, false)), Ok(Some(Ticket(4))));
        assert_eq!(table.take(by_ticket(1, 5, true)), Ok(Some(Ticket(5))));
        let late = Bytes::from_static(b"old");
        table.fill(Digest([7; 16]), Ticket(4), &late);
        assert_eq!(table.get(Digest([7; 16])), Some(&Held::Arriving(Ticket(5))));
        table.fill(Digest([7; 16]), Ticket(5), &late);
        assert_eq!(table.get(Digest([7; 16])), Some(&Held::Here(late)));
    }
}
