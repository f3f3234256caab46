//! What clients may ask of the hub's records: reading them, forgetting them, running a task again.
//!
//! Deliberately without a language of queries: a page costs what it carries, and whoever asks
//! chooses for himself.

use std::collections::BTreeSet;
use std::sync::Arc;

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{EngineId, RequestId, SessionId, TaskId};
use phalanx_protocol::limits::{RECORDS_IN_MESSAGE_BYTES_MAX, RECORDS_NAMED_MAX};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::query::{Again, Cursor, Purged, RECORD_BYTES, Select, TaskRecord};
use phalanx_protocol::task::{MethodName, Target, TaskOptions, TaskSpec};

use super::functions::Needed;
use super::ledger::{Place, Placing, Tag, Task, TaskState};
use super::records::{Arguments, Record};
use super::submit::Refusal;
use super::{ClientReply, Hub, HubEffect};
use crate::Time;
use crate::results::Ended;

/// The records of one answer, and where the next page begins.
type Page = (Vec<TaskRecord>, Option<Cursor>);

impl Hub {
    pub(super) fn on_records_request(
        &self,
        session: SessionId,
        request: RequestId,
        select: Select,
        effects: &mut Vec<HubEffect>,
    ) {
        let (records, next) = match select {
            Select::Tasks(tasks) if tasks.len() > RECORDS_NAMED_MAX => {
                let detail = format!("a request names at most {RECORDS_NAMED_MAX} tasks");
                let refused = ClientReply::Refused(request, ErrorCode::TooLarge, detail);
                return effects.push(HubEffect::ToClient(session, refused));
            }
            Select::Tasks(tasks) => (self.records_of(&tasks), None),
            Select::From(cursor) => self.page(cursor),
        };
        let reply = ClientReply::Records(request, records, next);
        effects.push(HubEffect::ToClient(session, reply));
    }

    fn records_of(&self, tasks: &[TaskId]) -> Vec<TaskRecord> {
        let asked: BTreeSet<TaskId> = tasks.iter().copied().collect();
        let ended = self.records.of(&asked);
        let one = |id: &TaskId| {
            if let Some(task) = self.ledger.get(*id) {
                return Some(self.open_record(*id, task));
            }
            match ended.get(id) {
                Some((number, record)) => Some(self.ended_record(*number, record)),
                // The record is gone, the outcome waits for its owner still.
                None => self.results.on_record(*id).map(|ended| bare_record(*id, ended)),
            }
        };
        asked.iter().filter_map(one).collect()
    }

    /// As many records from there on as surely fit into one message.
    fn page(&self, cursor: Cursor) -> Page {
        let mut page = Vec::new();
        let mut room = RECORDS_IN_MESSAGE_BYTES_MAX;
        let mut take = |record: TaskRecord| match room.checked_sub(record.weight()) {
            Some(left) => {
                room = left;
                page.push(record);
                true
            }
            None => false,
        };
        if cursor.ended_from.is_none() {
            let count = RECORDS_IN_MESSAGE_BYTES_MAX / RECORD_BYTES;
            let mut last = cursor.open_after;
            for id in self.ledger.next_ids(last, count) {
                let task = self.ledger.get(id).expect("the ledger has what it listed");
                if !take(self.open_record(id, task)) {
                    let next = Cursor { open_after: last, ended_from: None };
                    return (page, Some(next));
                }
                last = Some(id);
            }
        }
        for (number, record) in self.records.from(cursor.ended_from.unwrap_or(0)) {
            if !take(self.ended_record(number, record)) {
                let next = Cursor { open_after: None, ended_from: Some(number) };
                return (page, Some(next));
            }
        }
        (page, None)
    }

    fn open_record(&self, task: TaskId, open: &Task) -> TaskRecord {
        let status = match open.state() {
            TaskState::Arriving
            | TaskState::Gathering
            | TaskState::Held
            | TaskState::Waiting
            | TaskState::Pausing => "waiting",
            TaskState::Ready => "ready",
            TaskState::Assigned(_) => "assigned",
            TaskState::Running(_) => "running",
        };
        let bound = match open.place {
            Place::Direct(engine) => Some(engine),
            Place::Balanced(_) => open.state().engine(),
        };
        TaskRecord {
            task,
            status: status.into(),
            method: open.method.as_str().into(),
            label: label(open.tag.as_deref()),
            direct: open.is_direct(),
            engine: bound,
            attempts: open.attempts,
            submitted_us: self.wall_us(open.submitted),
            again: open.tag.as_ref().and_then(|tag| tag.again),
            repeatable: open.payload.pieces().is_some(),
            ..TaskRecord::default()
        }
    }

    fn ended_record(&self, number: u64, record: &Record) -> TaskRecord {
        TaskRecord {
            task: record.task,
            number: Some(number),
            status: record.status.into(),
            method: record.method.as_str().into(),
            label: label(record.tag.as_deref()),
            direct: matches!(record.place, Place::Direct(_)),
            engine: record.engine,
            attempts: record.attempts,
            submitted_us: self.wall_us(record.submitted),
            times: record.times,
            ended_us: self.wall_us(record.ended),
            again: record.tag.as_ref().and_then(|tag| tag.again),
            repeatable: record.arguments.is_some(),
            whole: self.results.on_record(record.task).is_some(),
            result_bytes: record.result_bytes,
        }
    }

    /// A point in time as people count it.
    fn wall_us(&self, time: Time) -> u64 {
        self.settings.zero_us.saturating_add(time.as_nanos() / 1_000)
    }

    pub(super) fn on_purge(
        &mut self,
        session: SessionId,
        request: RequestId,
        what: &Purged,
        effects: &mut Vec<HubEffect>,
    ) {
        let reply = match self.purge(what) {
            Ok(()) => ClientReply::Pong(request),
            Err((code, detail)) => ClientReply::Refused(request, code, detail),
        };
        effects.push(HubEffect::ToClient(session, reply));
    }

    fn purge(&mut self, what: &Purged) -> Result<(), Refusal> {
        match what {
            Purged::Tasks(tasks) => {
                if let Some(open) = tasks.iter().find(|task| self.ledger.get(**task).is_some()) {
                    let detail =
                        format!("task {open} has not ended; abort it, or wait for its end");
                    return Err((ErrorCode::InvalidTask, detail));
                }
                let tasks: BTreeSet<TaskId> = tasks.iter().copied().collect();
                self.records.purge(|record| tasks.contains(&record.task));
                self.results.purge(|task, _| tasks.contains(&task));
            }
            Purged::Engines(engines) => {
                let unknown = engines.iter().find(|id| self.registry.get(**id).is_none());
                if let Some(unknown) = unknown {
                    let detail = format!("there is no engine {}", unknown.0);
                    return Err((ErrorCode::NoSuchEngine, detail));
                }
                let ran_there = |id: Option<EngineId>| id.is_some_and(|id| engines.contains(&id));
                self.records.purge(|record| ran_there(record.engine));
                self.results.purge(|_, ended| ran_there(ended.engine));
            }
            Purged::All => {
                self.records.purge(|_| true);
                self.results.purge(|_, _| true);
            }
        }
        Ok(())
    }

    /// Fills a spec that runs a task again with what is on record of that task.
    pub(super) fn recall(&self, spec: &mut TaskSpec) -> Result<Needed, Refusal> {
        let again = spec.options.as_ref().and_then(|options| options.again.as_ref());
        let Some(again) = again else {
            return self.needed(spec.id.client, spec.function);
        };
        if spec.target.ids_len() != 1 {
            let detail = "a task that is run again goes where it went, not to several engines";
            return Err((ErrorCode::InvalidTask, detail.into()));
        }
        let Known { method, place, placing, payload, function } = self.known(again)?;
        if let (Some(options), Some(placing)) = (&mut spec.options, placing) {
            inherit(options, *placing);
        }
        spec.method = method;
        spec.target = target(place);
        spec.payload = payload;
        Ok(function.map_or(Needed::Nothing, Needed::Here))
    }

    fn known(&self, again: &Again) -> Result<Known, Refusal> {
        let Again { task, number } = *again;
        if let Some(open) = self.ledger.get(task) {
            if open.state() == TaskState::Arriving {
                let detail = format!("the arguments of task {task} are still on their way");
                return Err((ErrorCode::InvalidTask, detail));
            }
            return Ok(Known {
                method: open.method.clone(),
                place: open.place.clone(),
                placing: open.placing.clone(),
                payload: open.payload.clone(),
                function: open.function.clone(),
            });
        }
        let record = number.and_then(|number| self.records.get(number, task));
        let Some(record) = record.or_else(|| self.records.find(task)) else {
            return Err((ErrorCode::Purged, format!("task {task} is not on record")));
        };
        let Some(Arguments { payload, function, .. }) = &record.arguments else {
            let limit = self.settings.records.argument_bytes;
            let detail = format!(
                "the arguments of task {task} are not kept any more: \
                 the hub keeps {limit} bytes of the latest; submit it anew"
            );
            return Err((ErrorCode::Purged, detail));
        };
        Ok(Known {
            method: record.method.clone(),
            place: record.place.clone(),
            placing: record.placing.clone(),
            payload: payload.clone(),
            function: function.clone(),
        })
    }
}

/// What is needed to run a task again.
struct Known {
    method: MethodName,
    place: Place,
    placing: Option<Box<Placing>>,
    payload: Payload,
    function: Option<Arc<phalanx_protocol::function::Function>>,
}

/// What a task that runs another again does not say of its place is as it was.
fn inherit(options: &mut TaskOptions, placing: Placing) {
    if options.priority == 0 {
        options.priority = placing.priority;
    }
    if options.needs.is_none() {
        options.needs = placing.needs;
    }
}

fn target(place: Place) -> Target {
    match place {
        Place::Direct(engine) => Target::Engine(engine),
        Place::Balanced(None) => Target::Any,
        Place::Balanced(Some(engines)) => Target::Subset(engines.into_vec()),
    }
}

fn label(tag: Option<&Tag>) -> Option<String> {
    tag.and_then(|tag| tag.label.clone())
}

/// What an outcome alone tells of its task.
fn bare_record(task: TaskId, ended: &Ended) -> TaskRecord {
    TaskRecord {
        task,
        status: ended.outcome.name().into(),
        engine: ended.engine,
        attempts: ended.attempts,
        times: ended.times,
        whole: true,
        result_bytes: ended.carried_bytes(),
        ..TaskRecord::default()
    }
}
