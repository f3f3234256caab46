//! The amounts that queued tasks need, by small numbers. Tasks of one shape fit an engine or do not,
//! whatever else they need; so boards are kept by shape, and of each only the first is looked at.

use std::sync::Arc;

use phalanx_protocol::needs::Resource;
use rustc_hash::FxHashMap;

use super::needs::Asks;
use crate::slab::Slab;

/// Amounts; [`ShapeId::NONE`] stands for no amounts, which fit always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ShapeId(u32);

impl ShapeId {
    pub(super) const NONE: Self = Self(u32::MAX);
}

#[derive(Debug)]
struct Shape {
    amounts: Arc<[Resource]>,
    /// Classes that have it.
    uses: usize,
}

/// All shapes in use, but for [`ShapeId::NONE`].
#[derive(Debug, Default)]
pub(super) struct Shapes {
    rows: Slab<Shape>,
    ids: FxHashMap<Arc<[Resource]>, u32>,
}

impl Shapes {
    /// A class that asks for this is there from now on.
    pub(super) fn hold(&mut self, asks: Option<&Asks>) -> ShapeId {
        let Some(asks) = asks.filter(|asks| !asks.amounts.is_empty()) else {
            return ShapeId::NONE;
        };
        let id = self.ids.get(asks.amounts.as_slice()).copied().unwrap_or_else(|| {
            let amounts: Arc<[Resource]> = asks.amounts.clone().into();
            let id = self.rows.insert(Shape { amounts: amounts.clone(), uses: 0 });
            self.ids.insert(amounts, id);
            id
        });
        self.rows[id].uses += 1;
        ShapeId(id)
    }

    /// A class of this shape is gone.
    pub(super) fn release(&mut self, shape: ShapeId) {
        if shape == ShapeId::NONE {
            return;
        }
        self.rows[shape.0].uses -= 1;
        if self.rows[shape.0].uses == 0 {
            let row = self.rows.remove(shape.0);
            self.ids.remove(&row.amounts);
        }
    }

    /// Whether there is none but [`ShapeId::NONE`].
    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All shapes but [`ShapeId::NONE`], with their amounts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ShapeId, &[Resource])> {
        self.rows.iter().map(|(id, row)| (ShapeId(id), &*row.amounts))
    }

    /// Panics unless each is used by as many classes as these.
    pub(super) fn check(&self, used: impl Iterator<Item = ShapeId>) {
        let mut uses: FxHashMap<ShapeId, usize> = FxHashMap::default();
        for shape in used.filter(|shape| *shape != ShapeId::NONE) {
            *uses.entry(shape).or_default() += 1;
        }
        let kept = self.rows.iter().map(|(id, row)| (ShapeId(id), row.uses));
        assert_eq!(kept.collect::<FxHashMap<_, _>>(), uses, "shapes in use");
        assert_eq!(self.ids.len(), self.rows.len());
    }
}

/// Picks the first of these, which are in order of turns, whose amounts are free, and on which none
/// waits for that comes before it: a large task is not overtaken for ever by small ones.
///
/// `free` says how much of a resource an engine has to give.
pub(super) fn first_that_fits<'a, T>(
    candidates: impl IntoIterator<Item = (T, &'a [Resource])>,
    free: impl Fn(&str) -> u64,
) -> Option<T> {
    let mut awaited: Vec<&str> = Vec::new();
    for (candidate, amounts) in candidates {
        let lacks = |(name, amount): &&Resource| free(name) < amount.0;
        if !amounts
            .iter()
            .any(|resource| lacks(&resource) || awaited.contains(&resource.0.as_str()))
        {
            return Some(candidate);
        }
        awaited.extend(amounts.iter().filter(lacks).map(|(name, _)| name.as_str()));
    }
    None
}
