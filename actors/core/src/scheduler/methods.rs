//! Methods by small numbers, so that the scheduler compares and stores numbers instead of names.
//! A method is kept as long as an engine offers it or a queued task needs it.

use phalanx_protocol::task::MethodName;
use rustc_hash::FxHashMap;

use crate::slab::Slab;

/// A method; [`MethodId::NONE`] is what tasks need that name no method: every engine has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MethodId(u32);

impl MethodId {
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// The engines that offer exactly the same methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KindId(pub(super) u32);

#[derive(Debug)]
struct Method {
    name: MethodName,
    /// Classes and kinds that name it.
    uses: usize,
    kinds: Vec<KindId>,
}

/// All methods in use, and the kinds that offer them.
#[derive(Debug, Default)]
pub(super) struct Methods {
    rows: Slab<Method>,
    ids: FxHashMap<MethodName, u32>,
    all_kinds: Vec<KindId>,
}

impl Methods {
    /// The number of a method in use.
    pub(super) fn find(&self, name: Option<&MethodName>) -> Option<MethodId> {
        name.map_or(Some(MethodId::NONE), |name| self.ids.get(name).copied().map(MethodId))
    }

    /// The number of a method, which the caller will [`Methods::hold`] if it was not in use.
    pub(super) fn intern(&mut self, name: Option<&MethodName>) -> MethodId {
        let Some(name) = name else {
            return MethodId::NONE;
        };
        let rows = &mut self.rows;
        // Looked up before cloned: almost always it is there.
        if let Some(id) = self.ids.get(name) {
            return MethodId(*id);
        }
        let id = rows.insert(Method { name: name.clone(), uses: 0, kinds: Vec::new() });
        self.ids.insert(name.clone(), id);
        MethodId(id)
    }

    /// The name of a method in use.
    pub(super) fn name(&self, method: MethodId) -> Option<&MethodName> {
        self.rows.get(method.0).map(|row| &row.name)
    }

    /// Somebody names it from now on.
    pub(super) fn hold(&mut self, method: MethodId) {
        if method != MethodId::NONE {
            self.rows[method.0].uses += 1;
        }
    }

    /// Somebody names these from now on, whether they were in use or not.
    pub(super) fn hold_all(&mut self, names: &[MethodName]) -> Vec<MethodId> {
        let hold = |name| {
            let method = self.intern(Some(name));
            self.hold(method);
            method
        };
        names.iter().map(hold).collect()
    }

    /// Somebody names it no longer.
    pub(super) fn release(&mut self, method: MethodId) {
        if method == MethodId::NONE {
            return;
        }
        let row = &mut self.rows[method.0];
        row.uses -= 1;
        if row.uses == 0 {
            let row = self.rows.remove(method.0);
            self.ids.remove(&row.name);
        }
    }

    /// The kinds whose engines may have tasks of this method.
    pub(super) fn kinds(&self, method: MethodId) -> &[KindId] {
        if method == MethodId::NONE {
            return &self.all_kinds;
        }
        self.rows.get(method.0).map_or(&[], |row| &row.kinds)
    }

    /// A kind that offers these is there from now on.
    pub(super) fn add_kind(&mut self, kind: KindId, methods: &[MethodId]) {
        self.all_kinds.push(kind);
        for &method in methods {
            self.hold(method);
            self.rows[method.0].kinds.push(kind);
        }
    }

    /// A kind that offered these is gone.
    pub(super) fn remove_kind(&mut self, kind: KindId, methods: &[MethodId]) {
        self.all_kinds.retain(|&other| other != kind);
        for &method in methods {
            self.rows[method.0].kinds.retain(|&other| other != kind);
            self.release(method);
        }
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_vacant(&self) -> bool {
        self.ids.is_empty() && self.rows.is_empty() && self.all_kinds.is_empty()
    }

    /// Panics unless those named are kept, each named as often as is noted, and no others.
    pub(super) fn check(&self, named: impl Iterator<Item = MethodId>) {
        let mut uses: FxHashMap<u32, usize> = FxHashMap::default();
        for method in named.filter(|&method| method != MethodId::NONE) {
            *uses.entry(method.0).or_default() += 1;
        }
        assert_eq!(self.ids.len(), self.rows.len());
        assert_eq!(uses.len(), self.rows.len(), "a method is kept that nobody names");
        for (id, row) in self.rows.iter() {
            assert_eq!(self.ids.get(&row.name), Some(&id));
            assert_eq!(uses.get(&id), Some(&row.uses), "uses of {}", row.name);
        }
    }
}
