//! Which class of queued tasks an engine, or all engines of a kind, should serve next.
//!
//! A board lists the classes that name its readers and keeps those that they can serve in the order
//! of their turns. The order is lazy: a class that advances, because any engine took its head, is
//! not moved on all boards, as that would cost O(its engines) per task. What a board says of a
//! class is a lower bound; it is put right when it comes to the top.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use rustc_hash::FxHashSet;

/// A class of queued tasks, by its number in the table of classes.
pub(super) type ClassId = u32;

/// Stale heads that a board may have beside twice the living ones.
const SLACK: usize = 16;

/// When a queued task is served, among all: the least one is the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) priority: Reverse<i32>,
    /// See `rounds`.
    pub(super) round: u64,
    /// Its number in the order of arrival.
    pub(super) arrival: u64,
}

/// A class that the readers can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    /// The turn of its first task, or of one that was the first at some time before.
    pub(super) turn: Turn,
    pub(super) class: ClassId,
    /// When the class was made: numbers of classes are used again, this is not.
    pub(super) birth: u64,
}

/// What is known now of a class: when it was made and the turn of its first task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vitals {
    pub(super) birth: u64,
    pub(super) turn: Turn,
}

/// The classes that concern one engine or one kind of engines.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// All that name its readers, also while these cannot serve them.
    classes: FxHashSet<ClassId>,
    /// Each of those that can be served, once; and some that are gone.
    heads: BinaryHeap<Reverse<Head>>,
}

impl Board {
    /// Lists a class; with its head, if the readers can serve it.
    pub(super) fn post(&mut self, class: ClassId, head: Option<Head>) {
        self.classes.insert(class);
        self.heads.extend(head.map(Reverse));
    }

    /// Takes a class off that is gone; `vitals` looks up those that are not. Costs O(1) over time.
    pub(super) fn unpost(&mut self, class: ClassId, vitals: impl Fn(ClassId) -> Option<Vitals>) {
        self.classes.remove(&class);
        if self.heads.len() > 2 * self.classes.len() + SLACK {
            self.heads.retain(|Reverse(head)| {
                vitals(head.class).is_some_and(|vitals| vitals.birth == head.birth)
            });
        }
    }

    /// The readers can serve none any more.
    pub(super) fn close(&mut self) {
        self.heads = BinaryHeap::new();
    }

    /// The readers can serve these from now on, and no others.
    pub(super) fn reopen(&mut self, heads: impl Iterator<Item = Head>) {
        self.heads = heads.map(Reverse).collect();
    }

    /// The class whose head is the next of those that can be served, and its turn.
    pub(super) fn first(
        &mut self,
        vitals: impl Fn(ClassId) -> Option<Vitals>,
    ) -> Option<(Turn, ClassId)> {
        while let Some(mut top) = self.heads.peek_mut() {
            let Reverse(head) = *top;
            match vitals(head.class).filter(|vitals| vitals.birth == head.birth) {
                None => drop(PeekMut::pop(top)),
                Some(vitals) if vitals.turn == head.turn => {
                    return Some((head.turn, head.class));
                }
                // Sinks to its true place when `top` is dropped.
                Some(vitals) => top.0.turn = vitals.turn,
            }
        }
        None
    }

    /// All classes that name its readers, in no order.
    pub(super) fn classes(&self) -> impl Iterator<Item = ClassId> {
        self.classes.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Panics unless it lists just these classes, and has the heads of those that can be served.
    pub(super) fn check(
        &self,
        expected: &FxHashSet<ClassId>,
        can_serve: impl Fn(ClassId) -> bool,
        vitals: impl Fn(ClassId) -> Option<Vitals>,
    ) {
        assert_eq!(&self.classes, expected);
        assert!(self.heads.len() <= 2 * self.classes.len() + SLACK, "stale heads pile up");
        let mut living = FxHashSet::default();
        for Reverse(head) in &self.heads {
            let Some(vitals) = vitals(head.class).filter(|vitals| vitals.birth == head.birth)
            else {
                continue;
            };
            assert!(head.turn <= vitals.turn, "not a lower bound");
            assert!(living.insert(head.class), "a class has two heads");
        }
        let served = expected.iter().copied().filter(|&class| can_serve(class)).collect();
        assert_eq!(living, served);
    }
}
