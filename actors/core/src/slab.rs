//! A table that hands out small indices. For a room's own records; nobody else sees an index.
//!
//! It does not detect an index used after its record was removed and another took the place: the
//! rooms keep no index longer than its record.

use std::ops::{Index, IndexMut};

/// Records by index; places of removed ones are used again, the last freed first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// Puts a record in and says where.
    pub(crate) fn insert(&mut self, record: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = Some(record);
            return index;
        }
        let index = u32::try_from(self.places.len()).expect("fewer than 2^32 records fit memory");
        self.places.push(Some(record));
        index
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, index: u32) -> T {
        let record = self.places[index as usize].take().expect("the index names a record");
        self.free.push(index);
        record
    }

    /// The record there, if there is one.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)?.as_ref()
    }

    /// How many records there are.
    pub(crate) const fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Places that are allocated, used or free.
    pub(crate) const fn capacity(&self) -> usize {
        self.places.capacity()
    }

    /// All records, by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.places).filter_map(|(index, place)| Some((index, place.as_ref()?)))
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        self.places[index as usize].as_ref().expect("the index names a record")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.places[index as usize].as_mut().expect("the index names a record")
    }
}
