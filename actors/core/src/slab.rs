//! A table that hands out small indices. For a room's own records; nobody else sees an index.
//!
//! It does not detect an index used after its record was removed and another took the place: the
//! rooms keep no index longer than its record.

use std::ops::{Index, IndexMut};

/// Places that are allocated at a time: so what a large table takes grows with what is in it, and not
/// by doubling, and nothing in it is ever moved. A power of two, so that an index is split by shifts.
const CHUNK_LEN: usize = 256;

/// The end of the list of free places.
const NONE: u32 = u32::MAX;

/// A place in the table.
#[derive(Debug)]
enum Place<T> {
    Taken(T),
    /// And the next free one.
    Free(u32),
}

/// Records by index; places of removed ones are used again, the last freed first. What is empty
/// again keeps no more memory than one chunk.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// All are full but the last.
    chunks: Vec<Vec<Place<T>>>,
    first_free: u32,
    len: usize,
}

impl<T> Slab<T> {
    /// Puts a record in and says where.
    pub(crate) fn insert(&mut self, record: T) -> u32 {
        self.len += 1;
        if self.first_free != NONE {
            let index = self.first_free;
            let place = self.place_mut(index).expect("the list of free places names places");
            let Place::Free(next) = std::mem::replace(place, Place::Taken(record)) else {
                unreachable!("the list of free places names free ones");
            };
            self.first_free = next;
            return index;
        }
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK_LEN) {
            self.chunks.push(Vec::with_capacity(CHUNK_LEN));
        }
        let full = (self.chunks.len() - 1) * CHUNK_LEN;
        let last = self.chunks.last_mut().expect("just made, if there was none");
        let index = u32::try_from(full + last.len()).ok().filter(|index| *index != NONE);
        last.push(Place::Taken(record));
        index.expect("fewer than 2^32 records fit memory")
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, index: u32) -> T {
        let next = self.first_free;
        let place = self.place_mut(index).expect("the index names a place");
        let Place::Taken(record) = std::mem::replace(place, Place::Free(next)) else {
            panic!("the index names a record");
        };
        self.first_free = index;
        self.len -= 1;
        if self.len == 0 && self.chunks.len() > 1 {
            *self = Self::default();
        }
        record
    }

    /// The record there, if there is one.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        match self.chunks.get(index / CHUNK_LEN)?.get(index % CHUNK_LEN)? {
            Place::Taken(record) => Some(record),
            Place::Free(_) => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.place_mut(index)? {
            Place::Taken(record) => Some(record),
            Place::Free(_) => None,
        }
    }

    fn place_mut(&mut self, index: u32) -> Option<&mut Place<T>> {
        let index = index as usize;
        self.chunks.get_mut(index / CHUNK_LEN)?.get_mut(index % CHUNK_LEN)
    }

    /// How many records there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Places that are allocated, used or free.
    #[cfg(test)]
    const fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK_LEN
    }

    /// All records, by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.chunks.iter().flatten()).filter_map(|(index, place)| match place {
            Place::Taken(record) => Some((index, record)),
            Place::Free(_) => None,
        })
    }

    /// The same, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(self.chunks.iter_mut().flatten()).filter_map(|(index, place)| match place {
            Place::Taken(record) => Some((index, record)),
            Place::Free(_) => None,
        })
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), first_free: NONE, len: 0 }
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        self.get(index).expect("the index names a record")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("the index names a record")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_record_is_found_at_its_index_until_it_is_removed(
            steps in vec((any::<bool>(), any::<prop::sample::Index>()), 0..1_000),
        ) {
            let (mut slab, mut model) = (Slab::default(), BTreeMap::new());
            for (number, (is_put, which)) in steps.into_iter().enumerate() {
                if is_put || model.is_empty() {
                    prop_assert_eq!(model.insert(slab.insert(number), number), None);
                } else {
                    let index = *which.get(&model.keys().copied().collect::<Vec<u32>>());
                    prop_assert_eq!(Some(slab.remove(index)), model.remove(&index));
                    prop_assert_eq!(slab.get(index), None);
                }
                prop_assert_eq!((slab.len(), slab.is_empty()), (model.len(), model.is_empty()));
            }
            prop_assert!(slab.iter().eq(model.iter().map(|(index, record)| (*index, record))));
            prop_assert!(model.iter().all(|(index, record)| slab[*index] == *record));
        }
    }

    #[test]
    fn what_it_takes_grows_with_what_is_in_it_and_goes_back_when_it_is_empty() {
        let mut slab = Slab::default();
        for record in 0..10_000 {
            slab.insert(record);
            assert!(slab.capacity() < slab.len() + CHUNK_LEN);
        }
        let all: Vec<u32> = slab.iter().map(|(index, _)| index).collect();
        for index in all {
            slab.remove(index);
        }
        assert!(slab.capacity() <= CHUNK_LEN);
    }

    #[test]
    fn a_place_is_no_larger_than_its_record() {
        assert_eq!(size_of::<Place<(u64, Box<u8>)>>(), size_of::<(u64, Box<u8>)>());
    }
}
