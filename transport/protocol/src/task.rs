//! A task as it travels: what to call, where, after what.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::function::Digest;
use crate::ids::{AttemptId, EngineId, TaskId};
use crate::limits::METHOD_LEN_MAX;
use crate::macros::map_encoded;
use crate::needs::Needs;
use crate::payload::Payload;
use crate::query::Again;

/// The wire name of a typed handler. At most [`METHOD_LEN_MAX`] bytes, not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodName(Arc<str>);

impl MethodName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A method name that is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a method name has 1 to {METHOD_LEN_MAX} bytes, not {len}")]
pub struct MethodNameError {
    len: usize,
}

impl TryFrom<Arc<str>> for MethodName {
    type Error = MethodNameError;

    fn try_from(name: Arc<str>) -> Result<Self, MethodNameError> {
        match name.len() {
            1..=METHOD_LEN_MAX => Ok(Self(name)),
            len => Err(MethodNameError { len }),
        }
    }
}

impl TryFrom<&str> for MethodName {
    type Error = MethodNameError;

    fn try_from(name: &str) -> Result<Self, MethodNameError> {
        Self::try_from(Arc::<str>::from(name))
    }
}

impl Serialize for MethodName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Names repeat from task to task: each thread remembers the last few that it read, so that
/// reading one of them allocates nothing.
impl<'de> Deserialize<'de> for MethodName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = MethodName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a method name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<MethodName, E> {
                RECENT_NAMES.with_borrow_mut(|recent| recent.find_or_make(name)).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Name)
    }
}

thread_local! {
    static RECENT_NAMES: RefCell<RecentNames> = const { RefCell::new(RecentNames::new()) };
}

/// The names that a thread read last.
struct RecentNames {
    names: [Option<MethodName>; Self::LEN],
    oldest: usize,
}

impl RecentNames {
    /// Enough for the methods of one program's burst; more would cost more to look through.
    const LEN: usize = 8;

    const fn new() -> Self {
        Self { names: [const { None }; Self::LEN], oldest: 0 }
    }

    fn find_or_make(&mut self, name: &str) -> Result<MethodName, MethodNameError> {
        let known = self.names.iter().flatten().find(|known| known.as_str() == name);
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let name = MethodName::try_from(name)?;
        self.names[self.oldest] = Some(name.clone());
        self.oldest = (self.oldest + 1) % Self::LEN;
        Ok(name)
    }
}

/// The engines a task is addressed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Balanced: any engine that offers the method.
    Any,
    /// Balanced: one of these.
    Subset(Vec<EngineId>),
    /// Direct: this engine, in the order sent, at most once.
    Engine(EngineId),
    /// Direct, to each of these: stands for as many tasks as there are engines, with consecutive
    /// ids from the spec's id in the order listed. The payload travels to the hub once.
    Engines(Vec<EngineId>),
}

impl Target {
    /// Whether the task is bound to its engine: never moved, never run again.
    pub const fn is_direct(&self) -> bool {
        matches!(self, Self::Engine(_) | Self::Engines(_))
    }

    /// How many task ids a spec with this target takes: at least one, also for an empty list,
    /// which is recorded as rejected.
    pub const fn ids_len(&self) -> u64 {
        match self {
            Self::Engines(engines) if !engines.is_empty() => engines.len() as u64,
            _ => 1,
        }
    }
}

/// How many of a dependency's tasks must be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Quorum {
    /// Every one.
    #[default]
    All,
    /// At least one.
    Any,
}

/// Which way of ending meets a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Accept {
    /// Only [`crate::outcome::Outcome::Done`].
    #[default]
    Success,
    /// Any outcome but done.
    Failure,
    /// Any outcome.
    Either,
}

impl Accept {
    /// Whether a task that ended so meets the dependency.
    pub const fn is_met_by(self, success: bool) -> bool {
        match self {
            Self::Success => success,
            Self::Failure => !success,
            Self::Either => true,
        }
    }
}

map_encoded! {
    /// Tasks that must have ended before another may start.
    pub struct Dependency {
        /// Which tasks; each must have been submitted before, by any client.
        pub tasks: Vec<TaskId>,
        /// How many of them.
        pub quorum: Quorum,
        /// In which way ended.
        pub accept: Accept,
    }
}

impl Dependency {
    /// Met when all of `tasks` are done.
    pub fn all(tasks: impl IntoIterator<Item = TaskId>) -> Self {
        Self { tasks: tasks.into_iter().collect(), ..Self::default() }
    }

    /// Met when one of `tasks` is done.
    pub fn any(tasks: impl IntoIterator<Item = TaskId>) -> Self {
        Self { quorum: Quorum::Any, ..Self::all(tasks) }
    }

    /// The same tasks, but met by these ways of ending.
    #[must_use]
    pub fn accepting(self, accept: Accept) -> Self {
        Self { accept, ..self }
    }
}

map_encoded! {
    /// Whether a task whose code raised is tried again. Without it, it is not.
    pub struct Retry {
        /// How many times at most; at most [`crate::limits::RETRIES_MAX`].
        pub count: u32,
        /// Only after errors of these kinds, or of kinds that derive from them; empty: of any. At
        /// most [`crate::limits::RETRY_KINDS_MAX`].
        #[serde(deserialize_with = "crate::list::bounded")]
        pub kinds: Vec<String>,
        /// How long to wait before the first time, in milliseconds; doubled for each one after, up
        /// to [`crate::limits::RETRY_BACKOFF_MAX`].
        pub backoff_ms: u64,
    }
}

map_encoded! {
    /// What most tasks do without. Only balanced tasks may have dependencies, a timeout or retries.
    pub struct TaskOptions {
        /// Order only: start after these.
        pub after: Option<Dependency>,
        /// Place too: start after these, on an engine where one of those that met it ran (with
        /// [`Quorum::All`]: where all of them ran).
        pub follow: Option<Dependency>,
        /// How long dependencies may stay unmet, in milliseconds; then the task ends as
        /// dependency timeout. Without it they may stay so for ever.
        pub timeout_ms: Option<u64>,
        /// Whether it is tried again when its code raised: on another engine, as long as one is left
        /// where it has not been tried, then on any.
        pub retry: Option<Retry>,
        /// How long an attempt may run, in milliseconds; then it is aborted and the task fails.
        /// Watched from [`crate::limits::STARTED_AFTER`] on.
        pub run_limit_ms: Option<u64>,
        /// What its client calls it: kept in its record. At most
        /// [`crate::limits::LABEL_LEN_MAX`] bytes.
        pub label: Option<String>,
        /// The task that it runs again: method, arguments, function and engines are taken from its
        /// record, whatever the spec says of them; priority and needs if it says none.
        pub again: Option<Again>,
        /// Of tasks that wait for an engine those with a higher one go first.
        pub priority: i32,
        /// What its engine must have.
        pub needs: Option<Needs>,
        /// Tasks whose results stand among the arguments: it starts when all of them are done, and
        /// has their results with it. At most [`crate::limits::INPUTS_PER_TASK_MAX`]; an `after` beside
        /// them must wait for the success of all its tasks, as they do.
        pub inputs: Vec<TaskId>,
        /// Which graph it is part of: then it may name tasks of the graph that are yet to come.
        pub graph: Option<GraphPart>,
        /// Whether what it returns stays with the hub, for tasks that take it as an argument and for who
        /// asks for it by name: its client is told how it ended, without the bytes.
        pub stays: bool,
        /// Whether the outcomes of a spec for several engines are told together, when the last of its
        /// tasks has ended. Only direct tasks may have it.
        pub coalesce: bool,
    }
}

map_encoded! {
    /// A graph: tasks that are submitted one after the other, and go together or not at all.
    pub struct GraphPart {
        /// The number of its first task.
        pub first: u64,
        /// How many tasks it has; at most [`crate::limits::GRAPH_TASKS_MAX`].
        pub len: u32,
    }
}

impl TaskOptions {
    /// Whether only a balanced task may have these.
    pub const fn is_for_balanced(&self) -> bool {
        let Self { after, follow, timeout_ms, retry, priority, needs, inputs, graph, .. } = self;
        let waits = after.is_some() || follow.is_some() || timeout_ms.is_some();
        let is_part = !inputs.is_empty() || graph.is_some();
        waits || is_part || retry.is_some() || *priority != 0 || needs.is_some()
    }
}

/// A task as a client submits it. Travels array-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Its name, made by the client.
    pub id: TaskId,
    /// The engines it is for.
    pub target: Target,
    /// What to call.
    pub method: MethodName,
    /// The arguments.
    pub payload: Payload,
    /// Dependencies and other rare wishes.
    pub options: Option<Box<TaskOptions>>,
    /// A function that goes with it, defined before in the same session.
    pub function: Option<Digest>,
}

/// One attempt as the hub sends it to an engine. Travels array-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which attempt at which task.
    pub attempt: AttemptId,
    /// Whether the task is direct: ordered by client, at most once.
    pub direct: bool,
    /// What to call.
    pub method: MethodName,
    /// The arguments.
    pub payload: Payload,
    /// Tasks assigned to this engine before that must be done there first. If one of them will not
    /// be, the engine gives the attempt back.
    pub gates: Vec<TaskId>,
    /// A function that goes with it, defined before in the same session.
    pub function: Option<Digest>,
}
