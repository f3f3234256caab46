//! The ready queue: tasks that no engine has room for, in classes by what they need.
//! It says who is next for an engine; whether that engine has room is not its matter.

use std::collections::VecDeque;
use std::sync::Arc;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Place;
use super::board::{Board, ClassId, Head, Turn};
use super::class::{Class, Entry, is_alive};
use super::fleet::Fleet;
use super::methods::{KindId, MethodId};
use super::needs::Needs;
use super::rounds::Rounds;
use super::shapes::{ShapeId, Shapes, first_that_fits};
use crate::slab::Slab;
use crate::task_map::TaskMap;

/// Where each task is that the room knows.
pub(super) type Tasks = TaskMap<Place>;

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
    shapes: Shapes,
    rounds: Rounds,
    /// Those that are not empty.
    boards: FxHashMap<(Reader, ShapeId), Board>,
    arrivals: u64,
    len: usize,
    /// Whether one that must run alone is queued no longer, and engines may drain for it.
    alone_left: bool,
    /// What those needed that needed amounts and are queued no longer: what stood behind them may go
    /// on now.
    left: Vec<Arc<Needs>>,
}

impl Queue {
    /// How many tasks are queued.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether a task that must run alone is queued no longer, since this was last asked.
    pub(super) const fn take_alone_left(&mut self) -> bool {
        std::mem::replace(&mut self.alone_left, false)
    }

    /// What a task needed that others may have stood behind, and that is queued no longer.
    pub(super) fn take_left(&mut self) -> Option<Arc<Needs>> {
        self.left.pop()
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_vacant(&self) -> bool {
        let empty = self.classes.is_empty() && self.ids.is_empty() && self.shapes.is_empty();
        self.len == 0
            && self.left.is_empty()
            && empty
            && self.boards.is_empty()
            && self.rounds.is_vacant()
    }

    /// Appends a task; says what to note about it, and whether it is the only one of its class.
    pub(super) fn push(&mut self, task: TaskId, needs: Needs, fleet: &mut Fleet) -> (Place, bool) {
        let round = match needs.is_back {
            true => self.rounds.enter_again(needs.priority, needs.client),
            false => self.rounds.enter(needs.priority, needs.client),
        };
        let entry = Entry { round, arrival: self.arrivals, task };
        self.arrivals += 1;
        self.len += 1;
        let known = self.ids.get(&needs).copied();
        let class = match known {
            Some(class) => {
                self.classes[class].entries.push_back(entry);
                class
            }
            None => self.make_class(needs, entry, fleet),
        };
        (Place::Queued { class, arrival: entry.arrival }, known.is_none())
    }

    /// The class of which this engine is to be given the next task. Costs O(shapes in use).
    pub(super) fn first_for(
        &mut self,
        engine: EngineId,
        kind: KindId,
        fleet: &Fleet,
    ) -> Option<ClassId> {
        let Self { classes, boards, shapes, .. } = self;
        let mut first_on = |reader, shape| {
            let board = boards.get_mut(&(reader, shape))?;
            board.first(|class| classes.get(class).and_then(Class::vitals))
        };
        let mut first = |shape| {
            let of_kind = first_on(Reader::Kind(kind), shape);
            let of_engine = first_on(Reader::Engine(engine), shape);
            of_kind.into_iter().chain(of_engine).min()
        };
        let plain = first(ShapeId::NONE);
        if shapes.is_empty() {
            return plain.map(|(_, class)| class);
        }
        let shaped = shapes.iter().filter_map(|(shape, amounts)| Some((first(shape)?, amounts)));
        let mut firsts: Vec<_> = shaped.chain(plain.map(|plain| (plain, &[][..]))).collect();
        firsts.sort_unstable_by_key(|((turn, _), _)| *turn);
        let firsts = firsts.into_iter().map(|((_, class), amounts)| (class, amounts));
        first_that_fits(firsts, |name| fleet.free_amount(engine, name))
    }

    /// What a class needs.
    pub(super) fn needs(&self, class: ClassId) -> &Arc<Needs> {
        &self.classes[class].needs
    }

    /// Takes the first task of a class. The caller notes at once where it is now.
    pub(super) fn take(&mut self, class: ClassId, tasks: &Tasks, fleet: &mut Fleet) -> TaskId {
        let row = &mut self.classes[class];
        let entry = row.entries.pop_front().expect("a class is never empty");
        self.rounds.serve(row.needs.priority, row.needs.client, entry.round);
        self.left.extend(row.leaver());
        self.alone_left |= row.needs.alone;
        self.len -= 1;
        self.settle(class, tasks, fleet);
        entry.task
    }

    /// A task of this class is forgotten, in `tasks` already. Says what it needed.
    pub(super) fn forget(
        &mut self,
        class: ClassId,
        tasks: &Tasks,
        fleet: &mut Fleet,
    ) -> Arc<Needs> {
        let row = &mut self.classes[class];
        row.dead_len += 1;
        let needs = row.needs.clone();
        self.left.extend(row.leaver());
        self.rounds.leave(needs.priority, needs.client, 1);
        self.alone_left |= needs.alone;
        self.len -= 1;
        self.settle(class, tasks, fleet);
        needs
    }

    /// An engine is there from now on; with a kind that nobody had before, or not.
    pub(super) fn engine_up(
        &mut self,
        engine: EngineId,
        (kind, is_new): (KindId, bool),
        fleet: &Fleet,
    ) {
        if is_new {
            self.post_for_kind(kind, fleet);
        }
        for shape in self.shapes_of(Reader::Engine(engine)) {
            let reader = (Reader::Engine(engine), shape);
            let Some(mut board) = self.boards.remove(&reader) else { continue };
            let mut heads = Vec::new();
            for class in board.classes() {
                let row = &mut self.classes[class];
                if fleet.can_meet(engine, &row.needs) {
                    row.engines_able += 1;
                    heads.push(self.head(class));
                }
            }
            board.reopen(heads.into_iter());
            self.boards.insert(reader, board);
        }
    }

    /// Puts the classes on the board of a kind that its engines can serve.
    fn post_for_kind(&mut self, kind: KindId, fleet: &Fleet) {
        let Self { classes, boards, .. } = self;
        for (class, row) in classes.iter() {
            if row.needs.engines.is_none()
                && fleet.kind_meets(kind, &row.needs)
                && let Some(vitals) = row.vitals()
            {
                let head = Head { turn: vitals.turn, class, birth: vitals.birth };
                boards.entry((Reader::Kind(kind), row.shape)).or_default().post(class, Some(head));
            }
        }
    }

    /// The shapes of which a reader has a board.
    fn shapes_of(&self, reader: Reader) -> Vec<ShapeId> {
        let all = self.shapes.iter().map(|(shape, _)| shape).chain([ShapeId::NONE]);
        all.filter(|shape| self.boards.contains_key(&(reader, *shape))).collect()
    }

    /// An engine is gone; it was the last of its kind, or not.
    pub(super) fn engine_down(&mut self, engine: EngineId, extinct: Option<KindId>, fleet: &Fleet) {
        if let Some(kind) = extinct {
            for shape in self.shapes_of(Reader::Kind(kind)) {
                self.boards.remove(&(Reader::Kind(kind), shape));
            }
        }
        for shape in self.shapes_of(Reader::Engine(engine)) {
            let Some(board) = self.boards.get_mut(&(Reader::Engine(engine), shape)) else {
                continue;
            };
            board.close();
            for class in board.classes() {
                let row = &mut self.classes[class];
                row.engines_able = fleet.able_len(&row.needs);
            }
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
        let is_stranded = |class: &ClassId| {
            let row = &self.classes[*class];
            row.needs.follows && row.engines_able == 0
        };
        let shapes = self.shapes_of(Reader::Engine(engine)).into_iter();
        let boards = shapes.filter_map(|shape| self.boards.get(&(Reader::Engine(engine), shape)));
        let classes: Vec<_> = boards.flat_map(Board::classes).filter(is_stranded).collect();
        let mut stranded = Vec::new();
        for class in classes {
            let row = &mut self.classes[class];
            let before = stranded.len();
            let entries = row.entries.drain(..);
            stranded.extend(entries.filter(|entry| is_alive(class, entry, tasks)));
            let len = stranded.len() - before;
            self.left.extend(row.leaver());
            self.rounds.leave(row.needs.priority, row.needs.client, len);
            self.alone_left |= row.needs.alone;
            self.len -= len;
            self.drop_class(class, fleet);
        }
        stranded.sort_unstable_by_key(|entry| entry.arrival);
        stranded.into_iter().map(|entry| entry.task).collect()
    }

    /// How many queued tasks have their turn before this one, of those that one of the same engines
    /// may have. Costs O(classes), and O(its class).
    pub(super) fn ahead_len(
        &self,
        class: ClassId,
        arrival: u64,
        is_rival: impl Fn(&Needs) -> bool,
    ) -> u64 {
        let row = &self.classes[class];
        let Some(own) = row.entries.iter().find(|entry| entry.arrival == arrival) else {
            return 0;
        };
        let turn = row.turn(own);
        let rivals = self.classes.iter().filter(|(_, other)| is_rival(&other.needs));
        let before = rivals.map(|(_, other)| {
            // What is dead is counted with the living: a queue's place is for people.
            other.entries.partition_point(|entry| other.turn(entry) < turn) as u64
        });
        before.sum()
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
        Head { turn: vitals.turn, class, birth: vitals.birth }
    }

    fn make_class(&mut self, needs: Needs, first: Entry, fleet: &mut Fleet) -> ClassId {
        let needs = Arc::new(needs);
        let shape = self.shapes.hold(needs.asks.as_deref());
        let class = self.classes.insert(Class {
            needs: needs.clone(),
            shape,
            birth: first.arrival,
            entries: VecDeque::from([first]),
            dead_len: 0,
            engines_able: fleet.able_len(&needs),
        });
        fleet.methods.hold(needs.method);
        let head = self.head(class);
        match &needs.engines {
            None => {
                for kind in fleet.kinds_that_meet(&needs) {
                    let board = self.boards.entry((Reader::Kind(kind), shape)).or_default();
                    board.post(class, Some(head));
                }
            }
            Some(engines) => {
                for &engine in engines {
                    let head = fleet.can_meet(engine, &needs).then_some(head);
                    let board = self.boards.entry((Reader::Engine(engine), shape)).or_default();
                    board.post(class, head);
                }
            }
        }
        self.ids.insert(needs, class);
        class
    }

    fn drop_class(&mut self, class: ClassId, fleet: &mut Fleet) {
        let Class { needs, shape, .. } = self.classes.remove(class);
        self.ids.remove(&needs);
        let Self { classes, boards, .. } = self;
        let mut unpost = |reader| {
            let board = boards.get_mut(&(reader, shape)).expect("made when the class was posted");
            board.unpost(class, |class| classes.get(class).and_then(Class::vitals));
            if board.is_empty() {
                boards.remove(&(reader, shape));
            }
        };
        match &needs.engines {
            None => fleet.kinds_that_meet(&needs).for_each(|kind| unpost(Reader::Kind(kind))),
            Some(engines) => engines.iter().for_each(|&engine| unpost(Reader::Engine(engine))),
        }
        self.shapes.release(shape);
        fleet.methods.release(needs.method);
    }

    /// The method of each class, for checks.
    pub(super) fn methods(&self) -> impl Iterator<Item = MethodId> {
        self.classes.iter().map(|(_, class)| class.needs.method)
    }

    /// Panics unless just the tasks of which `tasks` says so are queued, boards say what classes
    /// do, and no engine has room for a queued task.
    pub(super) fn check(&self, tasks: &Tasks, fleet: &Fleet) {
        let mut alive_len = 0;
        let mut lines: FxHashMap<(i32, ClientId), usize> = FxHashMap::default();
        assert_eq!(self.ids.len(), self.classes.len());
        for (id, class) in self.classes.iter() {
            let needs = &class.needs;
            assert_eq!(self.ids.get(needs), Some(&id));
            class.check(id, tasks);
            let class_alive_len = class.alive(id, tasks).count();
            alive_len += class_alive_len;
            *lines.entry((needs.priority, needs.client)).or_default() += class_alive_len;
            let able = fleet.able_len(needs);
            assert_eq!(class.engines_able, able);
            assert!(!needs.follows || able > 0, "class {id} waits for nobody");
        }
        assert_eq!(alive_len, self.len);
        assert!(self.left.is_empty() && !self.alone_left, "somebody may go on");
        self.rounds.check(&lines);
        self.shapes.check(self.classes.iter().map(|(_, class)| class.shape));
        let queued = tasks.values().filter(|place| matches!(place, Place::Queued { .. }));
        assert_eq!(queued.count(), self.len);
        self.check_work_is_conserved(fleet);
        self.check_boards(fleet);
    }

    /// No engine with room is without a task that it could be given.
    fn check_work_is_conserved(&self, fleet: &Fleet) {
        let mut by_turn: Vec<(Turn, &Class)> = self
            .classes
            .iter()
            .filter_map(|(_, class)| Some((class.vitals()?.turn, class)))
            .collect();
        by_turn.sort_unstable_by_key(|(turn, _)| *turn);
        for engine in fleet.all_with_room() {
            let may = |needs: &Needs| {
                let named = needs.engines.as_ref().is_none_or(|named| named.contains(&engine));
                named && fleet.can_meet(engine, needs)
            };
            let able = by_turn.iter().filter(|(_, class)| may(&class.needs));
            let able = able.map(|(_, class)| (*class, class.needs.amounts()));
            let first = first_that_fits(able, |name| fleet.free_amount(engine, name));
            // For what must run alone it drains when it next ends a task.
            let idles = first.filter(|first| !first.needs.alone || fleet.load(engine) == Some(0));
            assert!(idles.is_none(), "{engine} has room for {idles:?}");
        }
    }

    fn check_boards(&self, fleet: &Fleet) {
        let mut expected: FxHashMap<(Reader, ShapeId), FxHashSet<ClassId>> = FxHashMap::default();
        for (id, class) in self.classes.iter() {
            let needs = &class.needs;
            let readers: Vec<_> = match &needs.engines {
                None => fleet.kinds_that_meet(needs).map(Reader::Kind).collect(),
                Some(engines) => engines.iter().map(|&engine| Reader::Engine(engine)).collect(),
            };
            for reader in readers {
                expected.entry((reader, class.shape)).or_default().insert(id);
            }
        }
        assert_eq!(expected.len(), self.boards.len(), "a board is kept that is empty");
        for (reader, expected) in &expected {
            let can_serve = |class: ClassId| match reader.0 {
                Reader::Kind(_) => true,
                Reader::Engine(engine) => fleet.can_meet(engine, &self.classes[class].needs),
            };
            let vitals = |class| self.classes.get(class).and_then(Class::vitals);
            self.boards[reader].check(expected, can_serve, vitals);
        }
    }
}
