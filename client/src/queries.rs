//! Questions about the hub's records: what became of tasks, whoever submitted them; forgetting
//! them; running them again.
//!
//! For users of [`Client`]. The outcomes themselves come by [`Client::watch`].

use phalanx_transport::protocol::ids::TaskId;
use phalanx_transport::protocol::limits::RECORDS_NAMED_MAX;
use phalanx_transport::protocol::payload::Format;
use phalanx_transport::protocol::pieces::Pieces;
use phalanx_transport::protocol::query::{Again, Cursor, Purged, Select, TaskRecord};
use phalanx_transport::protocol::task::{MethodName, Target, TaskOptions};

use crate::client::Client;
use crate::core::{Answer, NewTask, RequestError, SubmitError};
use crate::task_batch::TaskBatch;

/// A task that is to be run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// What the hub's record says of the task.
    pub record: TaskRecord,
    /// What the new task is called, if anything.
    pub label: Option<String>,
}

impl Client {
    /// What is on record of these tasks, of any client, by id. Those that are not are left out.
    ///
    /// # Errors
    /// [`RequestError`] if there is no session, or it is cut before the answer comes.
    pub async fn records_of(&self, tasks: &[TaskId]) -> Result<Vec<TaskRecord>, RequestError> {
        let mut found = Vec::new();
        for some in tasks.chunks(RECORDS_NAMED_MAX) {
            let (records, _) = self.ask_records(Select::Tasks(some.to_vec())).await?;
            found.extend(records);
        }
        found.sort_unstable_by_key(|record| record.task);
        found.dedup_by_key(|record| record.task);
        Ok(found)
    }

    /// A page of all that is on record, and where the next one begins: open tasks by id, then ended
    /// ones in the order of their ends. A task that ends between two pages may come twice.
    ///
    /// # Errors
    /// [`RequestError`] if there is no session, or it is cut before the answer comes.
    pub async fn records(
        &self,
        from: Cursor,
    ) -> Result<(Vec<TaskRecord>, Option<Cursor>), RequestError> {
        self.ask_records(Select::From(from)).await
    }

    /// Has ended tasks forgotten. What their owners have not yet stays until they have it.
    ///
    /// # Errors
    /// [`RequestError::Refused`] if one of the tasks is open, or an engine is not known; others as
    /// for any request.
    pub async fn purge(&self, what: Purged) -> Result<(), RequestError> {
        let answer = self.shared().ask(|room, effects| room.purge(what, effects))?;
        answer.await.unwrap_or(Err(RequestError::Disconnected)).map(drop)
    }

    /// Runs tasks again, under new names, each with what it was given and where it was to run then;
    /// it does not wait for what it waited for. One whose arguments are not kept any more ends as
    /// rejected.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was submitted then.
    pub fn resubmit(&self, tasks: &[Repeat]) -> Result<TaskBatch, SubmitError> {
        let tasks: Vec<NewTask> = tasks.iter().map(new_task).collect();
        self.submit(tasks)
    }

    async fn ask_records(
        &self,
        select: Select,
    ) -> Result<(Vec<TaskRecord>, Option<Cursor>), RequestError> {
        let answer = self.shared().ask(|room, effects| room.records(select, effects))?;
        match answer.await {
            Ok(Ok(Answer::Records(records, next))) => Ok((records, next)),
            Ok(Err(error)) => Err(error),
            // The room checks that answers fit; without a room there is no answer.
            Ok(Ok(_)) | Err(_) => Err(RequestError::Disconnected),
        }
    }
}

fn new_task(repeat: &Repeat) -> NewTask {
    let Repeat { record, label } = repeat;
    let again = Some(Again { task: record.task, number: record.number });
    let options = TaskOptions { label: label.clone(), again, ..TaskOptions::default() };
    // The hub takes all else from its record; a method must have a name all the same.
    let method = MethodName::try_from(&*record.method).unwrap_or_else(|_| unnamed());
    NewTask {
        target: Target::Any,
        method,
        format: Format::Raw,
        arguments: Pieces::new(),
        options: Some(Box::new(options)),
        function: None,
    }
}

/// The method of a task whose record says none: the hub will not take it.
fn unnamed() -> MethodName {
    MethodName::try_from("again").expect("a short name")
}
