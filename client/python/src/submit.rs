//! What a submit says beside its parts: where it goes, and after what.
//!
//! Read by the client. What the client can know to be wrong is refused by the client crate; here
//! only what cannot be expressed is.

use phalanx_client::core::NewTask;
use phalanx_client::protocol::function::Function;
use phalanx_client::protocol::ids::EngineId;
use phalanx_client::protocol::needs::{Amount, Needs};
use phalanx_client::protocol::payload::Format;
use phalanx_client::protocol::pieces::Pieces;
use phalanx_client::protocol::task::{MethodName, Retry, Target, TaskOptions};
use phalanx_client::{Accept, Dependency, Quorum, TaskId};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::parts::FunctionRef;
use crate::wait::duration;

/// `(ids, all, success, failure)`.
#[derive(Debug, FromPyObject)]
pub(crate) struct DependencyRef(Vec<(u32, u64)>, bool, bool, bool);

impl DependencyRef {
    fn read(self) -> PyResult<Dependency> {
        let Self(ids, all, success, failure) = self;
        let accept = match (success, failure) {
            (true, true) => Accept::Either,
            (true, false) => Accept::Success,
            (false, true) => Accept::Failure,
            (false, false) => {
                let text = "a dependency must accept success, failure or both";
                return Err(PyValueError::new_err(text));
            }
        };
        Ok(Dependency {
            tasks: ids.into_iter().map(TaskId::from).collect(),
            quorum: if all { Quorum::All } else { Quorum::Any },
            accept,
        })
    }
}

/// `(retries, kinds, backoff, run_limit)`: how often at most after errors of which kinds, with which
/// first pause, and how long each time; the last two in seconds.
#[derive(Debug, FromPyObject)]
pub(crate) struct AttemptsRef(u32, Vec<String>, f64, Option<f64>);

impl AttemptsRef {
    fn read(self) -> PyResult<(Option<Retry>, Option<u64>)> {
        let Self(count, kinds, backoff, run_limit) = self;
        let backoff_ms = milliseconds(backoff)?;
        let retry = (count > 0).then_some(Retry { count, kinds, backoff_ms });
        Ok((retry, run_limit.map(milliseconds).transpose()?))
    }
}

/// `(priority, labels, amounts)`.
#[derive(Debug, FromPyObject)]
pub(crate) struct PlacingRef(i32, Vec<String>, Vec<(String, f64)>);

impl PlacingRef {
    fn read(self) -> PyResult<(i32, Option<Needs>)> {
        let Self(priority, labels, amounts) = self;
        let read = |(name, amount): (String, f64)| {
            // As it is printed: so 0.1 is a tenth, and what has four decimals is refused.
            let amount = amount.to_string().parse::<Amount>();
            Ok((name, amount.map_err(|error| PyValueError::new_err(error.to_string()))?))
        };
        let amounts = amounts.into_iter().map(read).collect::<PyResult<_>>()?;
        let needs = Needs { labels, amounts };
        needs.check().map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok((priority, (!needs.is_empty()).then_some(needs)))
    }
}

/// Where tasks go and after what, as keywords say it.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    engine: Option<u32>,
    engines: Option<Vec<u32>>,
    subset: Option<Vec<u32>>,
    after: Option<DependencyRef>,
    follow: Option<DependencyRef>,
    timeout: Option<f64>,
    attempts: Option<AttemptsRef>,
    label: Option<String>,
    placing: Option<PlacingRef>,
    /// Tasks whose results stand among the arguments.
    inputs: Vec<(u32, u64)>,
    /// Whether what they return stays with the hub.
    stays: bool,
    /// Whether the outcomes of several engines come together.
    coalesce: bool,
}

impl Wishes {
    /// What these keywords say. `None` as a value says nothing.
    pub(crate) fn read(keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut wishes = Self::default();
        for (name, value) in keywords.into_iter().flatten() {
            if value.is_none() {
                continue;
            }
            match name.cast::<PyString>()?.to_cow()?.as_ref() {
                "engine" => wishes.engine = value.extract()?,
                "engines" => wishes.engines = value.extract()?,
                "subset" => wishes.subset = value.extract()?,
                "after" => wishes.after = value.extract()?,
                "follow" => wishes.follow = value.extract()?,
                "timeout" => wishes.timeout = value.extract()?,
                "attempts" => wishes.attempts = value.extract()?,
                "label" => wishes.label = value.extract()?,
                "placing" => wishes.placing = value.extract()?,
                "inputs" => wishes.inputs = value.extract()?,
                "stays" => wishes.stays = value.extract()?,
                "coalesce" => wishes.coalesce = value.extract()?,
                other => {
                    let text = format!("a task has no option {other:?}");
                    return Err(PyTypeError::new_err(text));
                }
            }
        }
        Ok(wishes)
    }
}

/// The engines of tasks that are submitted together.
#[derive(Debug, Clone)]
enum Targets {
    /// The same for each.
    Same(Target),
    /// One for each, in turn.
    Each(Vec<u32>),
}

/// All that tasks which are submitted together have in common.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    method: MethodName,
    targets: Targets,
    options: Option<Box<TaskOptions>>,
    function: Option<Function>,
}

fn engine_ids(ids: Vec<u32>) -> Vec<EngineId> {
    ids.into_iter().map(EngineId).collect()
}

impl Template {
    /// For one task, or one for each of `engines`.
    pub(crate) fn one(method: &str, wishes: Wishes) -> PyResult<Self> {
        Self::new(method, wishes, |engines| Targets::Same(Target::Engines(engine_ids(engines))))
    }

    /// For many tasks, with `engines` one for each.
    pub(crate) fn many(method: &str, wishes: Wishes) -> PyResult<Self> {
        Self::new(method, wishes, Targets::Each)
    }

    fn new(
        method: &str,
        wishes: Wishes,
        of_engines: impl FnOnce(Vec<u32>) -> Targets,
    ) -> PyResult<Self> {
        let Wishes {
            engine,
            engines,
            subset,
            after,
            follow,
            timeout,
            attempts,
            label,
            placing,
            inputs,
            stays,
            coalesce,
        } = wishes;
        let method = MethodName::try_from(method);
        let method = method.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let targets = match (engine, engines, subset) {
            (None, None, None) => Targets::Same(Target::Any),
            (Some(engine), None, None) => Targets::Same(Target::Engine(EngineId(engine))),
            (None, Some(engines), None) => of_engines(engines),
            (None, None, Some(subset)) => Targets::Same(Target::Subset(engine_ids(subset))),
            _ => {
                let text = "a task has one of engine, engines and subset, not several";
                return Err(PyValueError::new_err(text));
            }
        };
        let timeout_ms = timeout.map(milliseconds).transpose()?;
        let after = after.map(DependencyRef::read).transpose()?;
        let follow = follow.map(DependencyRef::read).transpose()?;
        let attempts = attempts.map(AttemptsRef::read).transpose()?;
        let (retry, run_limit_ms) = attempts.unwrap_or_default();
        let (priority, needs) = placing.map_or(Ok((0, None)), PlacingRef::read)?;
        let inputs = inputs.into_iter().map(TaskId::from).collect();
        let options = TaskOptions {
            after,
            follow,
            timeout_ms,
            retry,
            run_limit_ms,
            label,
            priority,
            needs,
            inputs,
            stays,
            coalesce,
            ..TaskOptions::default()
        };
        let options = (options != TaskOptions::default()).then(|| Box::new(options));
        Ok(Self { method, targets, options, function: None })
    }

    /// The same tasks, with a function: it is sent once for each session.
    pub(crate) fn with(self, function: Option<FunctionRef>) -> Self {
        Self { function: function.map(|FunctionRef(function)| function), ..self }
    }

    /// One task of these arguments.
    pub(crate) fn task(&self, format: Format, arguments: Pieces) -> NewTask {
        let target = match &self.targets {
            Targets::Same(target) => target.clone(),
            Targets::Each(engines) => Target::Engines(engine_ids(engines.clone())),
        };
        self.new_task(target, format, arguments)
    }

    /// A task for each of these arguments.
    pub(crate) fn tasks(&self, arguments: Vec<Pieces>) -> PyResult<Vec<NewTask>> {
        let len = arguments.len();
        if let Targets::Each(engines) = &self.targets
            && engines.len() != len
        {
            let engines = engines.len();
            let text = format!("{engines} engines for {len} tasks; name one engine for each task");
            return Err(PyValueError::new_err(text));
        }
        let target = |index: usize| match &self.targets {
            Targets::Same(target) => target.clone(),
            Targets::Each(engines) => Target::Engine(EngineId(engines[index])),
        };
        let task = |(index, arguments)| self.new_task(target(index), Format::Pickle5, arguments);
        Ok(arguments.into_iter().enumerate().map(task).collect())
    }

    fn new_task(&self, target: Target, format: Format, arguments: Pieces) -> NewTask {
        let (method, options) = (self.method.clone(), self.options.clone());
        NewTask { target, method, format, arguments, options, function: self.function.clone() }
    }
}

fn milliseconds(seconds: f64) -> PyResult<u64> {
    // Half a billion years are for ever.
    Ok(u64::try_from(duration(seconds)?.as_millis()).unwrap_or(u64::MAX))
}
