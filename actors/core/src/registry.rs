//! The registry: which engines there are, and who is alive. The hub owns it.
//!
//! An engine is known by its stable name, or by the process that it is. It is `Up` while it has a
//! session, `Silent` while the session is cut and its lease runs, `Lost` after that. Each time it
//! comes back from being lost it is a new incarnation, and nothing of the old one counts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::function::{FunctionLimits, SentFunctions};
use phalanx_protocol::ids::{EngineId, Epoch, Incarnation, SessionId, TaskId};
use phalanx_protocol::limits::{
    DIRECT_WINDOW_MAX, ENGINES_MAX, LABELS_PER_ENGINE_MAX, METHODS_PER_ENGINE_MAX,
    SLOTS_PER_ENGINE_MAX, TEXT_LEN_MAX,
};
use phalanx_protocol::needs::check_resources;
use phalanx_protocol::peer::{EngineInfo, EngineProfile, EngineState, Registration};
use phalanx_protocol::task::MethodName;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::Time;
use crate::hub::confirmations::Owed;

/// An engine.
#[derive(Debug)]
pub struct Engine {
    profile: EngineProfile,
    incarnation: Incarnation,
    session: Option<SessionId>,
    state: EngineState,
    lease_end: Option<Time>,
    /// Tasks whose last attempt it has.
    pub(crate) assigned: FxHashSet<TaskId>,
    /// How many of them are direct.
    pub(crate) direct: usize,
    /// Direct tasks that it gets when it has ended some.
    pub(crate) backlog: VecDeque<TaskId>,
    /// Tasks that it said it has been running for some time.
    pub(crate) running: u64,
    /// Attempts that it ended.
    pub(crate) ended: u64,
    losses: u32,
    /// Reports of its session below this number have been dealt with, or wait for their payload.
    pub(crate) reports_end: u64,
    /// Reports that wait for their payload.
    pub(crate) reports_arriving: BTreeSet<u64>,
    /// What it was told was recorded.
    pub(crate) confirmed: u64,
    /// The functions that its session has.
    pub(crate) functions: SentFunctions,
    /// What it is to be told of its reports.
    pub(crate) owed: Owed,
    /// Why its process is to be killed, if somebody asked for it; and whether it, or a host, could be
    /// told so.
    pub(crate) condemned: Option<(String, bool)>,
}

impl Engine {
    /// Its session, if it has one.
    pub const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Whether it takes tasks.
    pub const fn state(&self) -> EngineState {
        self.state
    }

    /// The tasks whose last attempt it has, in no order.
    pub fn assigned(&self) -> impl Iterator<Item = TaskId> {
        self.assigned.iter().copied()
    }

    /// What it told of itself.
    pub const fn profile(&self) -> &EngineProfile {
        &self.profile
    }

    /// How often it was lost.
    pub const fn losses(&self) -> u32 {
        self.losses
    }

    /// Below which number all its reports are recorded.
    pub(crate) fn confirmable(&self) -> u64 {
        self.reports_arriving.first().copied().unwrap_or(self.reports_end)
    }

    /// It as clients see it.
    pub fn info(&self, id: EngineId) -> EngineInfo {
        let profile = &self.profile;
        EngineInfo {
            id,
            name: profile.name.clone(),
            kind: profile.kind.clone(),
            host: profile.host.clone(),
            pid: profile.pid,
            slots: profile.slots,
            methods: profile.methods.clone(),
            labels: profile.labels.clone(),
            resources: profile.resources.clone(),
            state: self.state,
        }
    }
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Its place.
    pub registration: Registration,
    /// A session that it had and that must be closed.
    pub replaced: Option<SessionId>,
    /// Whether it takes the place of a process that was not known to be lost, and whose attempts
    /// are lost now.
    pub displaced: bool,
}

/// Every engine, past and present.
#[derive(Debug)]
pub struct Registry {
    epoch: Epoch,
    lost_after: Duration,
    engines: BTreeMap<EngineId, Engine>,
    by_name: FxHashMap<String, EngineId>,
    by_instance: FxHashMap<u64, EngineId>,
    leases: BTreeSet<(Time, EngineId)>,
    methods: FxHashSet<MethodName>,
    next_engine: u32,
    function_limits: FunctionLimits,
}

impl Registry {
    /// An empty registry whose engines are lost after this long a silence.
    pub fn new(epoch: Epoch, lost_after: Duration) -> Self {
        Self {
            epoch,
            lost_after,
            engines: BTreeMap::new(),
            by_name: FxHashMap::default(),
            by_instance: FxHashMap::default(),
            leases: BTreeSet::new(),
            methods: FxHashSet::default(),
            next_engine: 0,
            function_limits: FunctionLimits::default(),
        }
    }

    /// The same, for engines whose sessions may define so many functions.
    #[must_use]
    pub fn with_function_limits(self, function_limits: FunctionLimits) -> Self {
        Self { function_limits, ..self }
    }

    /// Takes an engine in. A process that the registry knows keeps its place, and what it was
    /// assigned, unless it was lost meanwhile; a new process under the name of another takes that
    /// one's place.
    ///
    /// # Errors
    /// A profile beyond the limits, or too many engines.
    pub fn register(
        &mut self,
        session: SessionId,
        profile: EngineProfile,
    ) -> Result<Admission, (ErrorCode, String)> {
        check_profile(&profile)?;
        if let Some(id) = self.by_instance.get(&profile.instance).copied() {
            return Ok(self.readmit(session, profile, id));
        }
        let named = profile.name.as_ref().and_then(|name| self.by_name.get(name)).copied();
        match named {
            Some(id) => Ok(self.admit_in_place(session, profile, id)),
            None if self.engines.len() < ENGINES_MAX => Ok(self.admit_new(session, profile)),
            None => Err((ErrorCode::TooLarge, format!("the cluster has {ENGINES_MAX} engines"))),
        }
    }

    fn readmit(&mut self, session: SessionId, profile: EngineProfile, id: EngineId) -> Admission {
        self.learn(&profile, id);
        // `by_instance` only names engines that are there.
        let engine = self.engines.get_mut(&id).expect("a known engine");
        if engine.state == EngineState::Lost {
            engine.incarnation.0 += 1;
        }
        let replaced = Self::seat(&mut self.leases, id, engine, session, profile);
        Admission { registration: self.registration(id), replaced, displaced: false }
    }

    fn admit_in_place(
        &mut self,
        session: SessionId,
        profile: EngineProfile,
        id: EngineId,
    ) -> Admission {
        self.learn(&profile, id);
        // `by_name` only names engines that are there.
        let engine = self.engines.get_mut(&id).expect("a named engine");
        let displaced = engine.state != EngineState::Lost;
        engine.losses += u32::from(displaced);
        engine.incarnation.0 += 1;
        let replaced = Self::seat(&mut self.leases, id, engine, session, profile);
        Admission { registration: self.registration(id), replaced, displaced }
    }

    fn admit_new(&mut self, session: SessionId, profile: EngineProfile) -> Admission {
        let id = EngineId(self.next_engine);
        self.next_engine += 1;
        self.learn(&profile, id);
        if let Some(name) = &profile.name {
            self.by_name.insert(name.clone(), id);
        }
        let engine = Engine {
            profile,
            incarnation: Incarnation(1),
            session: Some(session),
            state: EngineState::Up,
            lease_end: None,
            assigned: FxHashSet::default(),
            direct: 0,
            backlog: VecDeque::new(),
            running: 0,
            ended: 0,
            losses: 0,
            reports_end: 0,
            reports_arriving: BTreeSet::new(),
            confirmed: 0,
            functions: SentFunctions::new(self.function_limits),
            owed: Owed::default(),
            condemned: None,
        };
        self.engines.insert(id, engine);
        Admission { registration: self.registration(id), replaced: None, displaced: false }
    }

    fn learn(&mut self, profile: &EngineProfile, id: EngineId) {
        self.methods.extend(profile.methods.iter().cloned());
        if let Some(earlier) = self.engines.get(&id) {
            self.by_instance.remove(&earlier.profile.instance);
        }
        self.by_instance.insert(profile.instance, id);
    }

    /// Gives the engine a session; answers the one it had.
    fn seat(
        leases: &mut BTreeSet<(Time, EngineId)>,
        id: EngineId,
        engine: &mut Engine,
        session: SessionId,
        profile: EngineProfile,
    ) -> Option<SessionId> {
        if let Some(end) = engine.lease_end.take() {
            leases.remove(&(end, id));
        }
        engine.profile = profile;
        engine.state = EngineState::Up;
        engine.reports_arriving.clear();
        engine.functions.restart();
        engine.session.replace(session).filter(|earlier| *earlier != session)
    }

    fn registration(&self, engine: EngineId) -> Registration {
        let incarnation = self.engines.get(&engine).map_or(Incarnation(0), |e| e.incarnation);
        Registration { epoch: self.epoch, engine, incarnation }
    }

    /// The engine's session is cut: its lease begins to run.
    pub fn silence(&mut self, now: Time, id: EngineId) {
        if let Some(engine) = self.engines.get_mut(&id)
            && engine.state == EngineState::Up
        {
            let end = now + self.lost_after;
            engine.session = None;
            engine.state = EngineState::Silent;
            engine.reports_arriving.clear();
            engine.lease_end = Some(end);
            self.leases.insert((end, id));
        }
    }

    /// The engine is dead. Answers the session it still had; `None` in the outer option if it was
    /// lost before.
    pub fn lose(&mut self, id: EngineId) -> Option<Option<SessionId>> {
        let engine = self.engines.get_mut(&id)?;
        if engine.state == EngineState::Lost {
            return None;
        }
        if let Some(end) = engine.lease_end.take() {
            self.leases.remove(&(end, id));
        }
        engine.state = EngineState::Lost;
        engine.losses += 1;
        engine.reports_arriving.clear();
        Some(engine.session.take())
    }

    /// The engines whose lease has ended by now.
    pub fn overdue(&self, now: Time) -> Vec<EngineId> {
        self.leases.iter().take_while(|(end, _)| *end <= now).map(|(_, id)| *id).collect()
    }

    /// When the next lease ends.
    pub fn next_deadline(&self) -> Option<Time> {
        self.leases.first().map(|(end, _)| *end)
    }

    /// The engine that a process was, by its stable name and process id.
    pub fn find_process(&self, name: &str, pid: u32) -> Option<EngineId> {
        let id = *self.by_name.get(name)?;
        self.engines.get(&id).filter(|engine| engine.profile.pid == pid).map(|_| id)
    }

    /// An engine, if there ever was one of this id.
    pub fn get(&self, id: EngineId) -> Option<&Engine> {
        self.engines.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: EngineId) -> Option<&mut Engine> {
        self.engines.get_mut(&id)
    }

    /// Whether any engine, past or present, offered this method; true while there was none at all.
    pub fn may_offer(&self, method: &MethodName) -> bool {
        self.engines.is_empty() || self.methods.contains(method)
    }

    /// The methods that were ever offered, sorted.
    pub fn methods(&self) -> Vec<&MethodName> {
        let mut methods: Vec<_> = self.methods.iter().collect();
        methods.sort_unstable();
        methods
    }

    /// Every engine, by id.
    pub fn iter(&self) -> impl Iterator<Item = (EngineId, &Engine)> {
        self.engines.iter().map(|(id, engine)| (*id, engine))
    }

    /// Panics if a fact contradicts another.
    pub fn check_invariants(&self) {
        for (id, engine) in self.iter() {
            assert_eq!(engine.session.is_some(), engine.state == EngineState::Up, "{id} session");
            assert_eq!(
                engine.lease_end.is_some(),
                engine.state == EngineState::Silent,
                "{id} lease"
            );
            assert!(engine.lease_end.is_none_or(|end| self.leases.contains(&(end, id))), "{id}");
            assert!(
                engine.state != EngineState::Lost
                    || (engine.assigned.is_empty() && engine.backlog.is_empty()),
                "{id} is lost and has tasks"
            );
            assert!(engine.direct <= DIRECT_WINDOW_MAX.min(engine.assigned.len()), "{id} direct");
            assert!(
                engine.confirmed <= engine.reports_end,
                "{id} confirmed what it did not report"
            );
        }
        let silent = self.engines.values().filter(|e| e.state == EngineState::Silent).count();
        assert_eq!(silent, self.leases.len(), "leases");
    }
}

fn check_profile(profile: &EngineProfile) -> Result<(), (ErrorCode, String)> {
    let refuse = |detail: String| Err((ErrorCode::InvalidTask, detail));
    if profile.slots == 0 || profile.slots > SLOTS_PER_ENGINE_MAX {
        return refuse(format!(
            "{} slots; an engine has 1 to {SLOTS_PER_ENGINE_MAX}",
            profile.slots
        ));
    }
    if profile.methods.len() > METHODS_PER_ENGINE_MAX {
        return refuse(format!("more than {METHODS_PER_ENGINE_MAX} methods"));
    }
    if profile.labels.len() > LABELS_PER_ENGINE_MAX {
        return refuse(format!("more than {LABELS_PER_ENGINE_MAX} labels"));
    }
    if let Err(error) = check_resources(&profile.resources) {
        return refuse(error.to_string());
    }
    let texts = [Some(&profile.kind), Some(&profile.host), profile.name.as_ref()];
    if texts.into_iter().flatten().chain(&profile.labels).any(|text| text.len() > TEXT_LEN_MAX) {
        return refuse(format!("a name or label of more than {TEXT_LEN_MAX} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        Registry::new(Epoch::default(), Duration::from_secs(1))
    }

    fn profile(instance: u64, name: Option<&str>) -> EngineProfile {
        let name = name.map(str::to_owned);
        EngineProfile { instance, name, slots: 1, ..EngineProfile::default() }
    }

    #[test]
    fn each_process_that_takes_a_place_and_each_loss_of_one_is_counted() {
        let mut registry = registry();
        let register = |registry: &mut Registry, instance| {
            let admission = registry.register(SessionId(instance), profile(instance, Some("a")));
            let Admission { registration, displaced, .. } = admission.expect("there is room");
            registry.check_invariants();
            let losses = registry.get(registration.engine).map(Engine::losses);
            (registration.incarnation, displaced, losses)
        };
        assert_eq!(register(&mut registry, 1), (Incarnation(1), false, Some(0)));
        assert_eq!(register(&mut registry, 2), (Incarnation(2), true, Some(1)));
        assert_eq!(register(&mut registry, 3), (Incarnation(3), true, Some(2)));
        registry.lose(EngineId(0));
        assert_eq!(register(&mut registry, 4), (Incarnation(4), false, Some(3)));
    }

    #[test]
    fn a_cluster_has_so_many_places_and_no_more() {
        let mut registry = registry();
        let mut register = |instance, name| {
            registry.register(SessionId(instance), profile(instance, name)).map_err(|it| it.0)
        };
        assert!(register(0, Some("a")).is_ok());
        for instance in 1..ENGINES_MAX as u64 {
            assert!(register(instance, None).is_ok(), "{instance}");
        }
        assert_eq!(register(u64::MAX, None), Err(ErrorCode::TooLarge));
        assert!(register(u64::MAX, Some("a")).is_ok());
    }
}
