//! Which tasks were named, which were sent, which the hub has recorded. Owned by the room.
//!
//! Deliberately knows nothing of outcomes: a task that ended may still be here until the hub has
//! accepted it.

use std::collections::VecDeque;

use phalanx_transport::protocol::client::Grant;
use phalanx_transport::protocol::function::{Define, FunctionLimits};
use phalanx_transport::protocol::ids::{ClientId, TaskId};
use phalanx_transport::protocol::limits::{
    CLIENT_QUEUE_BYTES_MAX, CLIENT_QUEUE_TASKS_MAX, SUBMIT_BYTES_UNACCEPTED_MAX,
    SUBMITS_UNACCEPTED_MAX,
};
use phalanx_transport::protocol::task::TaskSpec;

use super::functions::Functions;
use super::{BURST_KEPT_MAX, NewTask};

/// The hub confirmed what was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsent;

/// All submits that the hub has not recorded, and how far it lets us go.
#[derive(Debug, Default)]
pub(super) struct Submits {
    client: ClientId,
    /// The number of the next task to be named.
    next_seq: u64,
    /// By number; the first `sent` of them went over this session.
    unrecorded: VecDeque<TaskSpec>,
    sent: usize,
    grant: Grant,
    /// Payload bytes of all tasks ever: recorded <= sent <= named.
    bytes_recorded: u64,
    bytes_sent: u64,
    bytes_named: u64,
    /// Functions of what is unrecorded, and which of them the hub has.
    functions: Functions,
    /// Whether somebody was told that the queue is full, and not yet that it no longer is.
    was_full: bool,
}

impl Submits {
    /// A new name: nothing of before counts any more.
    pub(super) fn restart(&mut self, client: ClientId, next_seq: u64) {
        let functions = self.functions.restarted();
        *self = Self { client, next_seq, functions, was_full: self.was_full, ..Self::default() };
    }

    pub(super) const fn client(&self) -> ClientId {
        self.client
    }

    pub(super) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Whether so much more may be queued; remembers that somebody was refused.
    pub(super) fn admit(&mut self, specs: usize, bytes: u64) -> bool {
        let (queued, queued_bytes) = self.queued();
        let fits = queued.saturating_add(specs) <= CLIENT_QUEUE_TASKS_MAX
            && queued_bytes.saturating_add(bytes) <= CLIENT_QUEUE_BYTES_MAX;
        self.was_full |= !fits;
        fits
    }

    /// Whether the queue is below half of its limits.
    pub(super) fn has_room(&mut self) -> bool {
        let (queued, queued_bytes) = self.queued();
        let room = queued < CLIENT_QUEUE_TASKS_MAX / 2 && queued_bytes < CLIENT_QUEUE_BYTES_MAX / 2;
        self.was_full |= !room;
        room
    }

    /// Whether the queue, once full, has just become roomy.
    pub(super) fn became_roomy(&mut self) -> bool {
        if !self.was_full {
            return false;
        }
        self.was_full = false;
        self.has_room()
    }

    fn queued(&self) -> (usize, u64) {
        let bytes = self.bytes_named - self.bytes_sent + self.functions.bytes();
        (self.unrecorded.len() - self.sent, bytes)
    }

    /// Sessions that may define so many functions; the hub must agree.
    pub(super) fn limit_functions(&mut self, limits: FunctionLimits) {
        self.functions = Functions::new(limits);
    }

    /// Bytes of functions that these tasks bring and that are not kept yet.
    pub(super) fn new_function_bytes(&self, tasks: &[NewTask]) -> u64 {
        self.functions.new_bytes(tasks.iter().filter_map(|task| task.function.as_ref()))
    }

    /// Names a task and queues it.
    pub(super) fn push(&mut self, task: NewTask) -> TaskId {
        let id = TaskId::new(self.client, self.next_seq);
        if let Some(function) = &task.function {
            self.functions.keep(function);
        }
        let spec = task.into_spec(id);
        self.next_seq += spec.target.ids_len();
        self.bytes_named += bytes(&spec);
        self.unrecorded.push_back(spec);
        id
    }

    /// The next spec that the grant and the limits of a session let through, and what the hub has
    /// to be told before.
    pub(super) fn next_to_send(&mut self) -> Option<(&TaskSpec, Option<Define>)> {
        let spec = self.unrecorded.get(self.sent)?;
        let bytes_end = self.bytes_sent + bytes(spec);
        let granted = end(spec) <= self.grant.seq_end && bytes_end <= self.grant.bytes_end;
        // One for many engines may count more than the limit, though it travels once: alone.
        let session_has_room = self.sent == 0
            || (self.sent < SUBMITS_UNACCEPTED_MAX
                && bytes_end - self.bytes_recorded <= SUBMIT_BYTES_UNACCEPTED_MAX);
        if !(granted && session_has_room) {
            return None;
        }
        let define = match spec.function {
            None => None,
            Some(digest) => self.functions.define(digest, self.sent == 0).ok()?,
        };
        self.sent += 1;
        self.bytes_sent = bytes_end;
        Some((spec, define))
    }

    /// Whether the hub has this task, or will have it if the session lasts.
    pub(super) fn was_sent(&self, seq: u64) -> bool {
        match self.unrecorded.get(self.sent) {
            Some(first_unsent) => seq < first_unsent.id.seq,
            None => seq < self.next_seq,
        }
    }

    /// All tasks below this number are recorded; `None` once nothing is named.
    pub(super) fn recorded_below(&self) -> u64 {
        self.unrecorded.front().map_or(self.next_seq, |spec| spec.id.seq)
    }

    pub(super) fn all_recorded(&self) -> bool {
        self.unrecorded.is_empty()
    }

    /// The hub has recorded all below `next_seq`, in this session.
    pub(super) fn on_accepted(&mut self, next_seq: u64, grant: Grant) -> Result<(), Unsent> {
        if next_seq > self.next_seq || (next_seq > 0 && !self.was_sent(next_seq - 1)) {
            return Err(Unsent);
        }
        self.drop_recorded(next_seq);
        self.raise(grant);
        Ok(())
    }

    /// A new session of the same client: what was sent over the old one is sent again, but for
    /// what the hub has.
    pub(super) fn on_reopened(&mut self, next_seq: u64, grant: Grant) -> Result<(), Unsent> {
        if next_seq > self.next_seq {
            return Err(Unsent);
        }
        self.on_cut();
        self.drop_recorded(next_seq);
        self.raise(grant);
        Ok(())
    }

    /// Nothing is known to have arrived any more, but for what was accepted.
    pub(super) fn on_cut(&mut self) {
        self.sent = 0;
        self.bytes_sent = self.bytes_recorded;
        self.functions.on_cut();
    }

    fn drop_recorded(&mut self, next_seq: u64) {
        while let Some(spec) = self.unrecorded.front().filter(|spec| end(spec) <= next_seq) {
            self.bytes_recorded += bytes(spec);
            if let Some(digest) = spec.function {
                self.functions.release(digest);
            }
            self.unrecorded.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
        if self.unrecorded.is_empty() {
            self.unrecorded.shrink_to(BURST_KEPT_MAX);
        }
        self.bytes_sent = self.bytes_sent.max(self.bytes_recorded);
    }

    fn raise(&mut self, grant: Grant) {
        self.grant.seq_end = self.grant.seq_end.max(grant.seq_end);
        self.grant.bytes_end = self.grant.bytes_end.max(grant.bytes_end);
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.sent <= self.unrecorded.len());
        self.functions.check_invariants(self.unrecorded.iter().filter_map(|spec| spec.function));
        let mut seq = self.recorded_below();
        let mut bytes = self.bytes_recorded;
        for (index, spec) in self.unrecorded.iter().enumerate() {
            if index == self.sent {
                assert_eq!(bytes, self.bytes_sent, "bytes of what was sent");
            }
            assert_eq!(spec.id, TaskId::new(self.client, seq), "numbers without gaps");
            seq = end(spec);
            bytes += self::bytes(spec);
        }
        assert_eq!(seq, self.next_seq, "the last one named");
        assert_eq!(bytes, self.bytes_named, "bytes of what was named");
        if self.sent > 0 {
            let last = &self.unrecorded[self.sent - 1];
            assert!(end(last) <= self.grant.seq_end, "tasks beyond the grant");
            assert!(self.bytes_sent <= self.grant.bytes_end, "bytes beyond the grant");
        }
    }
}

/// The number after the last task that `spec` stands for.
fn end(spec: &TaskSpec) -> u64 {
    spec.id.seq + spec.target.ids_len()
}

/// What the grant counts: the payload bytes of all tasks that `spec` stands for.
fn bytes(spec: &TaskSpec) -> u64 {
    spec.payload.len().saturating_mul(spec.target.ids_len())
}
