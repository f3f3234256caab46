//! What a caller may want of the room: one method per wish.

use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::protocol::client::{Leave, Ping, Scope, Shutdown, StatusRequest};
use phalanx_transport::protocol::explain::ExplainRequest;
use phalanx_transport::protocol::ids::{RequestId, TaskId};
use phalanx_transport::protocol::query::{Purge, Purged, RecordsRequest, Select};
use phalanx_transport::protocol::role::Role;

use super::questions::Question;
use super::room::{ClientRoom, KillAfter, Leaving, Session};
use super::{Effect, NewTask, RequestError, SubmitError};

impl<K> ClientRoom<K> {
    /// Names tasks, all or none, and sends what the grant allows; the rest waits here. `key` makes
    /// the key of each id in turn (one per engine of a direct call to many).
    ///
    /// # Errors
    /// [`SubmitError`]; no task was named then.
    pub fn submit<T>(
        &mut self,
        tasks: T,
        mut key: impl FnMut(TaskId) -> K,
        effects: &mut Vec<Effect<K>>,
    ) -> Result<(), SubmitError>
    where
        T: AsRef<[NewTask]> + IntoIterator<Item = NewTask>,
    {
        self.may_submit()?;
        for task in tasks.as_ref() {
            task.check()?;
        }
        let bytes = tasks.as_ref().iter().map(NewTask::bytes);
        let bytes = bytes.sum::<u64>() + self.submits.new_function_bytes(tasks.as_ref());
        if !self.submits.admit(tasks.as_ref().len(), bytes) {
            return Err(SubmitError::QueueFull);
        }
        for task in tasks {
            let ids = task.target.ids_len();
            let first = self.submits.push(task);
            for seq in first.seq..first.seq + ids {
                self.open.insert(seq, key(TaskId::new(first.client, seq)));
            }
        }
        self.pump(effects);
        Ok(())
    }

    /// Wants tasks to end. Ended ones are left as they are; open ones of this client are
    /// remembered, so that the wish outlives the session. It is sent at the next
    /// [`ClientRoom::on_deadline`], which is due at once.
    pub fn abort(&mut self, tasks: impl IntoIterator<Item = TaskId>) {
        self.want_end(tasks, None);
    }

    /// The same, and the engine of a task that has not ended so long after the hub has heard it is
    /// killed.
    pub fn abort_or_kill(&mut self, tasks: impl IntoIterator<Item = TaskId>, kill_after: Duration) {
        self.want_end(tasks, Some(kill_after));
    }

    fn want_end(&mut self, tasks: impl IntoIterator<Item = TaskId>, kill_after: KillAfter) {
        for task in tasks {
            if task.client != self.submits.client() {
                self.aborts_due.push((task, kill_after));
            } else if self.open.contains_key(&task.seq) && self.note_abort(task.seq, kill_after) {
                // The others follow when they are sent: a hub remembers few ids it has not seen.
                if self.submits.was_sent(task.seq) {
                    self.aborts_due.push((task, kill_after));
                }
            }
        }
        if self.session != Session::Open {
            // Ours are remembered; of another's we can only speak while there is a session.
            self.aborts_due.clear();
        }
    }

    /// Whether this wish says more than earlier ones.
    fn note_abort(&mut self, seq: u64, kill_after: KillAfter) -> bool {
        match self.aborting.entry(seq) {
            Entry::Vacant(place) => {
                place.insert(kill_after);
                true
            }
            Entry::Occupied(mut earlier) => {
                let is_sooner = match (*earlier.get(), kill_after) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(earlier), Some(kill_after)) => kill_after < earlier,
                };
                if is_sooner {
                    earlier.insert(kill_after);
                }
                is_sooner
            }
        }
    }

    /// Wants all own tasks to end that have not.
    pub fn abort_all(&mut self) {
        self.abort(self.open_ids());
    }

    /// The same, and the engine of one that has not ended so long after is killed.
    pub fn abort_all_or_kill(&mut self, kill_after: Duration) {
        self.abort_or_kill(self.open_ids(), kill_after);
    }

    /// All own tasks that have not ended, in the order of their submits.
    pub fn open_ids(&self) -> Vec<TaskId> {
        let client = self.submits.client();
        // The order of a map is no order.
        let mut open: Vec<u64> = self.open.keys().copied().collect();
        open.sort_unstable();
        open.into_iter().map(|seq| TaskId::new(client, seq)).collect()
    }

    /// Asks for the cluster's status.
    ///
    /// # Errors
    /// [`RequestError`] if it cannot be asked.
    pub fn status(&mut self, effects: &mut Vec<Effect<K>>) -> Result<RequestId, RequestError> {
        let request = self.ask(Question::Status)?;
        effects.push(Effect::Send(StatusRequest { request }.into()));
        Ok(request)
    }

    /// Asks why a task is where it is, also another client's.
    ///
    /// # Errors
    /// [`RequestError`] if it cannot be asked.
    pub fn explain(
        &mut self,
        task: TaskId,
        effects: &mut Vec<Effect<K>>,
    ) -> Result<RequestId, RequestError> {
        let request = self.ask(Question::Explain)?;
        effects.push(Effect::Send(ExplainRequest { request, task }.into()));
        Ok(request)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// [`RequestError`] if it cannot be asked.
    pub fn ping(&mut self, effects: &mut Vec<Effect<K>>) -> Result<RequestId, RequestError> {
        let request = self.ask(Question::Alive)?;
        effects.push(Effect::Send(Ping { request }.into()));
        Ok(request)
    }

    /// Asks for engines, or the whole cluster, to end.
    ///
    /// # Errors
    /// [`RequestError`] if it cannot be asked.
    pub fn shutdown(
        &mut self,
        scope: Scope,
        effects: &mut Vec<Effect<K>>,
    ) -> Result<RequestId, RequestError> {
        let request = self.ask(Question::Alive)?;
        effects.push(Effect::Send(Shutdown { request, scope }.into()));
        Ok(request)
    }

    /// Asks what is on record.
    ///
    /// # Errors
    /// [`RequestError`] if it cannot be asked.
    pub fn records(
        &mut self,
        select: Select,
        effects: &mut Vec<Effect<K>>,
    ) -> Result<RequestId, RequestError> {
        let request = self.ask(Question::Records)?;
        effects.push(Effect::Send(RecordsRequest { request, select }.into()));
        Ok(request)
    }

    /// Asks for ended tasks to be forgotten.
    ///
    /// # Errors
    /// [`RequestError`] if it cannot be asked.
    pub fn purge(
        &mut self,
        what: Purged,
        effects: &mut Vec<Effect<K>>,
    ) -> Result<RequestId, RequestError> {
        let request = self.ask(Question::Alive)?;
        effects.push(Effect::Send(Purge { request, what }.into()));
        Ok(request)
    }

    /// Wants the outcomes of tasks, whoever submitted them: each comes with its key, at once if the
    /// task has ended. The wish outlives the session. A task that is not on record comes as
    /// rejected.
    ///
    /// # Errors
    /// [`RequestError`]; nothing is wanted then.
    pub fn watch(
        &mut self,
        tasks: &[TaskId],
        mut key: impl FnMut(usize) -> K,
        effects: &mut Vec<Effect<K>>,
    ) -> Result<(), RequestError> {
        if self.closed.is_some() {
            return Err(RequestError::Disconnected);
        }
        if !matches!(self.role, Role::Client | Role::Admin) {
            return Err(RequestError::WrongRole(self.role));
        }
        if !self.watches.admits(tasks.len()) {
            return Err(RequestError::TooManyWatched);
        }
        let mut news = Vec::new();
        for (index, task) in tasks.iter().enumerate() {
            if self.watches.add(*task, key(index)) {
                news.push(*task);
            }
        }
        self.send_watches(&news, effects);
        Ok(())
    }

    /// Takes no more tasks, and says goodbye as soon as the hub has recorded those submitted (at
    /// once if they are to be aborted).
    pub fn leave(&mut self, abort_open: bool, effects: &mut Vec<Effect<K>>) {
        self.leaving = Leaving::Wanted(Leave { abort_open });
        self.leave_if_recorded(effects);
    }

    fn may_submit(&self) -> Result<(), SubmitError> {
        if let Some(cause) = &self.closed {
            return Err(SubmitError::Closed(Arc::clone(cause)));
        }
        if self.leaving != Leaving::No {
            return Err(SubmitError::Closed("it is leaving".into()));
        }
        if !matches!(self.role, Role::Client | Role::Admin) {
            return Err(SubmitError::WrongRole(self.role));
        }
        if self.identity.is_none() {
            return Err(SubmitError::NotOpened);
        }
        Ok(())
    }

    fn ask(&mut self, question: Question) -> Result<RequestId, RequestError> {
        match self.session {
            Session::Open => self.questions.ask(question),
            _ => Err(RequestError::Disconnected),
        }
    }
}
