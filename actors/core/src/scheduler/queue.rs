//! The ready queue: tasks that no engine has room for, in classes by what they need.
//! It says who is next for an engine; whether that engine has room is not its matter.

use std::collections::VecDeque;
use std::sync::Arc;

use phalanx_protocol::ids::{EngineId, TaskId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Place;
use super::board::{Board, ClassId, Head, Vitals};
use super::fleet::Fleet;
use super::methods::{KindId, MethodId};
use crate::slab::Slab;
use crate::task_map::TaskMap;

/// Where each task is that the room knows.
pub(super) type Tasks = TaskMap<Place>;

/// What a task needs; tasks that need the same are of one class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Needs {
    pub(super) method: MethodId,
    /// The only engines that may have it, ascending; `None` = any.
    pub(super) engines: Option<Vec<EngineId>>,
    /// Whether it cannot wait for `engines` to come back.
    pub(super) follows: bool,
    /// Whether its engine may have no other task meanwhile.
    pub(super) alone: bool,
}

impl Needs {
    /// How many of the named engines are there and offer the method.
    fn engines_able(&self, fleet: &Fleet) -> usize {
        let named = self.engines.iter().flatten();
        named.filter(|engine| fleet.offers(**engine, self.method)).count()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    arrival: u64,
    task: TaskId,
}

/// Queued tasks of the same needs, in order of arrival. Never without a living task.
#[derive(Debug)]
struct Class {
    needs: Arc<Needs>,
    /// The arrival that it was made for.
    birth: u64,
    /// The first is alive. Others may be of tasks that were forgotten since.
    entries: VecDeque<Entry>,
    dead_len: usize,
    /// Engines of its needs that are there and offer the method.
    engines_able: usize,
}

impl Class {
    fn vitals(&self) -> Option<Vitals> {
        let arrival = self.entries.front()?.arrival;
        Some(Vitals { birth: self.birth, arrival })
    }

    /// Drops what is dead at the front, and everywhere if it is more than what is alive.
    fn tidy(&mut self, id: ClassId, tasks: &Tasks) {
        let alive = |entry: &Entry| {
            tasks.get(&entry.task) == Some(&Place::Queued { class: id, arrival: entry.arrival })
        };
        while self.dead_len > 0 && self.entries.front().is_some_and(|entry| !alive(entry)) {
            self.entries.pop_front();
            self.dead_len -= 1;
        }
        if self.dead_len > self.entries.len() / 2 {
            self.entries.retain(alive);
            self.dead_len = 0;
        }
    }
}

/// Whose board it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    /// That of an engine, with the classes that name it.
    Engine(EngineId),
    /// That of all engines of a kind, with the classes for any engine.
    Kind(KindId),
}

/// All queued tasks.
#[derive(Debug, Default)]
pub(super) struct Queue {
    classes: Slab<Class>,
    ids: FxHashMap<Arc<Needs>, ClassId>,
    /// Those that are not empty.
    boards: FxHashMap<Reader, Board>,
    arrivals: u64,
    len: usize,
    /// How many of them must run alone.
    alone_len: usize,
}

impl Queue {
    /// How many tasks are queued.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How many of the queued tasks must run alone.
    pub(super) const fn alone_len(&self) -> usize {
        self.alone_len
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_vacant(&self) -> bool {
        self.len == 0 && self.classes.is_empty() && self.ids.is_empty() && self.boards.is_empty()
    }

    /// Appends a task; says what to note about it.
    pub(super) fn push(&mut self, task: TaskId, needs: Needs, fleet: &mut Fleet) -> Place {
        let entry = Entry { arrival: self.arrivals, task };
        self.arrivals += 1;
        self.len += 1;
        self.alone_len += usize::from(needs.alone);
        let class = if let Some(&class) = self.ids.get(&needs) {
            self.classes[class].entries.push_back(entry);
            class
        } else {
            self.make_class(needs, entry, fleet)
        };
        Place::Queued { class, arrival: entry.arrival }
    }

    /// The class of which this engine is to be given the next task.
    pub(super) fn first_for(&mut self, engine: EngineId, kind: KindId) -> Option<ClassId> {
        let Self { classes, boards, .. } = self;
        let mut first = |reader| {
            boards.get_mut(&reader)?.first(|class| classes.get(class).and_then(Class::vitals))
        };
        let of_kind = first(Reader::Kind(kind));
        let of_engine = first(Reader::Engine(engine));
        of_kind.into_iter().chain(of_engine).min().map(|(_, class)| class)
    }

    /// Whether an engine may have no other task beside one of this class.
    pub(super) fn is_alone(&self, class: ClassId) -> bool {
        self.classes[class].needs.alone
    }

    /// Takes the first task of a class. The caller notes at once where it is now.
    pub(super) fn take(
        &mut self,
        class: ClassId,
        tasks: &Tasks,
        fleet: &mut Fleet,
    ) -> (TaskId, MethodId) {
        let row = &mut self.classes[class];
        let method = row.needs.method;
        let entry = row.entries.pop_front().expect("a class is never empty");
        self.alone_len -= usize::from(row.needs.alone);
        self.len -= 1;
        self.settle(class, tasks, fleet);
        (entry.task, method)
    }

    /// A task of this class is forgotten, in `tasks` already. Says which method it needed.
    pub(super) fn forget(&mut self, class: ClassId, tasks: &Tasks, fleet: &mut Fleet) -> MethodId {
        let row = &mut self.classes[class];
        row.dead_len += 1;
        let method = row.needs.method;
        self.alone_len -= usize::from(row.needs.alone);
        self.len -= 1;
        self.settle(class, tasks, fleet);
        method
    }

    /// An engine is there from now on; with a kind that nobody had before, or not.
    pub(super) fn engine_up(
        &mut self,
        engine: EngineId,
        (kind, is_new): (KindId, bool),
        fleet: &Fleet,
    ) {
        if is_new {
            let methods = fleet.methods_of_kind(kind).iter().copied();
            for method in methods.chain([MethodId::NONE]) {
                for alone in [false, true] {
                    let needs = Needs { method, engines: None, follows: false, alone };
                    if let Some(&class) = self.ids.get(&needs) {
                        let head = self.head(class);
                        self.boards.entry(Reader::Kind(kind)).or_default().post(class, Some(head));
                    }
                }
            }
        }
        let Some(mut board) = self.boards.remove(&Reader::Engine(engine)) else {
            return;
        };
        let mut heads = Vec::new();
        for class in board.classes() {
            let row = &mut self.classes[class];
            if fleet.offers(engine, row.needs.method) {
                row.engines_able += 1;
                heads.push(self.head(class));
            }
        }
        board.reopen(heads.into_iter());
        self.boards.insert(Reader::Engine(engine), board);
    }

    /// An engine is gone; it was the last of its kind, or not.
    pub(super) fn engine_down(&mut self, engine: EngineId, extinct: Option<KindId>, fleet: &Fleet) {
        if let Some(kind) = extinct {
            self.boards.remove(&Reader::Kind(kind));
        }
        let Some(board) = self.boards.get_mut(&Reader::Engine(engine)) else {
            return;
        };
        board.close();
        for class in board.classes() {
            let row = &mut self.classes[class];
            row.engines_able = row.needs.engines_able(fleet);
        }
    }

    /// Takes all tasks that named this engine, cannot wait for it and have no other that may have
    /// them; in order of arrival. The caller forgets them at once.
    pub(super) fn take_stranded(
        &mut self,
        engine: EngineId,
        tasks: &Tasks,
        fleet: &mut Fleet,
    ) -> Vec<TaskId> {
        let Some(board) = self.boards.get(&Reader::Engine(engine)) else {
            return Vec::new();
        };
        let is_stranded = |class: &ClassId| {
            let row = &self.classes[*class];
            row.needs.follows && row.engines_able == 0
        };
        let classes: Vec<_> = board.classes().filter(is_stranded).collect();
        let mut stranded = Vec::new();
        for class in classes {
            let row = &mut self.classes[class];
            let alive = |entry: &Entry| {
                tasks.get(&entry.task) == Some(&Place::Queued { class, arrival: entry.arrival })
            };
            let before = stranded.len();
            stranded.extend(row.entries.drain(..).filter(alive));
            let len = stranded.len() - before;
            self.alone_len -= if row.needs.alone { len } else { 0 };
            self.len -= len;
            self.drop_class(class, fleet);
        }
        stranded.sort_unstable_by_key(|entry| entry.arrival);
        stranded.into_iter().map(|entry| entry.task).collect()
    }

    /// Puts a class right after it lost a task.
    fn settle(&mut self, class: ClassId, tasks: &Tasks, fleet: &mut Fleet) {
        let row = &mut self.classes[class];
        row.tidy(class, tasks);
        if row.entries.is_empty() {
            self.drop_class(class, fleet);
        }
    }

    fn head(&self, class: ClassId) -> Head {
        let vitals = self.classes[class].vitals().expect("a class is never empty");
        Head { arrival: vitals.arrival, class, birth: vitals.birth }
    }

    fn make_class(&mut self, needs: Needs, first: Entry, fleet: &mut Fleet) -> ClassId {
        let needs = Arc::new(needs);
        let class = self.classes.insert(Class {
            needs: needs.clone(),
            birth: first.arrival,
            entries: VecDeque::from([first]),
            dead_len: 0,
            engines_able: needs.engines_able(fleet),
        });
        fleet.methods.hold(needs.method);
        let head = self.head(class);
        match &needs.engines {
            None => {
                for &kind in fleet.methods.kinds(needs.method) {
                    self.boards.entry(Reader::Kind(kind)).or_default().post(class, Some(head));
                }
            }
            Some(engines) => {
                for &engine in engines {
                    let head = fleet.offers(engine, needs.method).then_some(head);
                    self.boards.entry(Reader::Engine(engine)).or_default().post(class, head);
                }
            }
        }
        self.ids.insert(needs, class);
        class
    }

    fn drop_class(&mut self, class: ClassId, fleet: &mut Fleet) {
        let needs = self.classes.remove(class).needs;
        self.ids.remove(&needs);
        let Self { classes, boards, .. } = self;
        let mut unpost = |reader| {
            let board = boards.get_mut(&reader).expect("made when the class was posted");
            board.unpost(class, |class| classes.get(class).and_then(Class::vitals));
            if board.is_empty() {
                boards.remove(&reader);
            }
        };
        match &needs.engines {
            None => {
                let kinds = fleet.methods.kinds(needs.method);
                kinds.iter().for_each(|&kind| unpost(Reader::Kind(kind)));
            }
            Some(engines) => engines.iter().for_each(|&engine| unpost(Reader::Engine(engine))),
        }
        fleet.methods.release(needs.method);
    }

    /// The method of each class, for checks.
    pub(super) fn methods(&self) -> impl Iterator<Item = MethodId> {
        self.classes.iter().map(|(_, class)| class.needs.method)
    }

    /// Panics unless just the tasks of which `tasks` says so are queued, boards say what classes
    /// do, and no engine has room for a queued task.
    pub(super) fn check(&self, tasks: &Tasks, fleet: &Fleet) {
        let (mut alive_len, mut alone_len) = (0, 0);
        assert_eq!(self.ids.len(), self.classes.len());
        for (id, class) in self.classes.iter() {
            assert_eq!(self.ids.get(&class.needs), Some(&id));
            assert!(class.entries.iter().is_sorted_by_key(|entry| entry.arrival));
            let alive = |entry: &&Entry| {
                tasks.get(&entry.task) == Some(&Place::Queued { class: id, arrival: entry.arrival })
            };
            assert!(class.entries.front().as_ref().is_some_and(alive), "class {id} has no head");
            let class_alive_len = class.entries.iter().filter(alive).count();
            assert_eq!(class_alive_len + class.dead_len, class.entries.len());
            assert!(class.dead_len <= class_alive_len, "class {id} keeps what is dead");
            alive_len += class_alive_len;
            alone_len += if class.needs.alone { class_alive_len } else { 0 };
            let listed = class.needs.engines.as_deref();
            let able = class.needs.engines_able(fleet);
            assert_eq!(class.engines_able, able);
            assert!(!class.needs.follows || able > 0, "class {id} waits for nobody");
            // Engines that drain for it are given nothing; others do so when they next end a task.
            for engine in fleet.with_room_for(class.needs.method) {
                if class.needs.alone && fleet.load(engine) != Some(0) {
                    continue;
                }
                let may = listed.is_none_or(|listed| listed.contains(&engine));
                assert!(!may, "{engine} has room for class {id}");
            }
        }
        assert_eq!((alive_len, alone_len), (self.len, self.alone_len));
        let queued = tasks.values().filter(|place| matches!(place, Place::Queued { .. }));
        assert_eq!(queued.count(), self.len);
        self.check_boards(fleet);
    }

    fn check_boards(&self, fleet: &Fleet) {
        let mut expected: FxHashMap<Reader, FxHashSet<ClassId>> = FxHashMap::default();
        for (id, class) in self.classes.iter() {
            let needs = &class.needs;
            let kinds = fleet.methods.kinds(needs.method);
            let readers: Vec<_> = match &needs.engines {
                None => kinds.iter().map(|&kind| Reader::Kind(kind)).collect(),
                Some(engines) => engines.iter().map(|&engine| Reader::Engine(engine)).collect(),
            };
            for reader in readers {
                expected.entry(reader).or_default().insert(id);
            }
        }
        assert_eq!(expected.len(), self.boards.len(), "a board is kept that is empty");
        for (reader, expected) in &expected {
            let can_serve = |class: ClassId| match *reader {
                Reader::Kind(_) => true,
                Reader::Engine(engine) => fleet.offers(engine, self.classes[class].needs.method),
            };
            let vitals = |class| self.classes.get(class).and_then(Class::vitals);
            self.boards[reader].check(expected, can_serve, vitals);
        }
    }
}
