//! Functions of submits that the hub has not recorded, and which functions the present session has.
//! Owned by `submits`.
//!
//! A function is kept until every task that names it is recorded, so that another session can be
//! given it again. Costs nothing while tasks have none.

use std::collections::BTreeMap;

use phalanx_transport::protocol::function::{
    Define, Digest, Function, FunctionLimits, SentFunctions,
};
use phalanx_transport::protocol::limits::DEFINE_BYTES_UNACCEPTED_MAX;

/// The hub has to accept submits before it can be told of another function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MustWait;

/// Functions of one client.
#[derive(Debug, Default)]
pub(super) struct Functions {
    limits: FunctionLimits,
    /// Each with how many unrecorded submits name it.
    kept: BTreeMap<Digest, (Function, usize)>,
    bytes: u64,
    sent: SentFunctions,
    /// Bytes of definitions that were sent since all submits were recorded.
    unaccepted: u64,
}

impl Functions {
    /// None, and a session may have at most so many.
    pub(super) fn new(limits: FunctionLimits) -> Self {
        Self { limits, sent: SentFunctions::new(limits), ..Self::default() }
    }

    /// None, under the same limits.
    pub(super) fn restarted(&self) -> Self {
        Self::new(self.limits)
    }

    /// How many bytes are kept.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes these would add. One that comes again, but not at once, counts again.
    pub(super) fn new_bytes<'a>(&self, functions: impl Iterator<Item = &'a Function>) -> u64 {
        let mut last = None;
        let mut bytes = 0;
        for function in functions {
            if last.replace(function.digest) != Some(function.digest)
                && !self.kept.contains_key(&function.digest)
            {
                bytes += function.bytes.len() as u64;
            }
        }
        bytes
    }

    /// A submit names it.
    pub(super) fn keep(&mut self, function: &Function) {
        let (_, named) = self.kept.entry(function.digest).or_insert_with(|| {
            self.bytes += function.bytes.len() as u64;
            (function.clone(), 0)
        });
        *named += 1;
    }

    /// A submit that names it is recorded.
    pub(super) fn release(&mut self, digest: Digest) {
        if let Some((function, named)) = self.kept.get_mut(&digest) {
            *named -= 1;
            if *named == 0 {
                self.bytes -= function.bytes.len() as u64;
                self.kept.remove(&digest);
            }
        }
    }

    /// What the hub has to be told before a submit that names it; `is_first` if all submits before
    /// are recorded.
    pub(super) fn define(
        &mut self,
        digest: Digest,
        is_first: bool,
    ) -> Result<Option<Define>, MustWait> {
        if is_first {
            self.unaccepted = 0;
        }
        let Some((function, _)) = self.kept.get(&digest).filter(|_| !self.sent.contains(digest))
        else {
            return Ok(None);
        };
        let unaccepted = self.unaccepted + function.bytes.len() as u64;
        if !is_first && unaccepted > DEFINE_BYTES_UNACCEPTED_MAX {
            return Err(MustWait);
        }
        self.unaccepted = unaccepted;
        Ok(self.sent.define(function))
    }

    /// The next session has none.
    pub(super) fn on_cut(&mut self) {
        self.sent.restart();
        self.unaccepted = 0;
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self, named: impl Iterator<Item = Digest>) {
        let mut count: BTreeMap<Digest, usize> = BTreeMap::new();
        for digest in named {
            *count.entry(digest).or_default() += 1;
        }
        let kept = self.kept.iter().map(|(digest, (_, named))| (*digest, *named));
        assert!(kept.eq(count), "functions that unrecorded submits name");
        let lens = self.kept.values().map(|(function, _)| function.bytes.len() as u64);
        assert_eq!(lens.sum::<u64>(), self.bytes, "bytes of functions");
    }
}
