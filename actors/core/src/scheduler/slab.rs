//! A table whose rows are named by small numbers that are used again. For the scheduler's methods,
//! kinds and classes. It does not notice a number kept longer than its row: callers see to that.

use std::ops::{Index, IndexMut};

/// Rows by number; the number of a removed row is given to a later one.
#[derive(Debug)]
pub(super) struct Slab<T> {
    rows: Vec<Option<T>>,
    vacant: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, row: T) -> u32 {
        if let Some(number) = self.vacant.pop() {
            self.rows[number as usize] = Some(row);
            return number;
        }
        let number = u32::try_from(self.rows.len()).expect("4 billion rows do not fit in memory");
        self.rows.push(Some(row));
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> T {
        let row = self.rows[number as usize].take().expect("the caller names a row that is there");
        self.vacant.push(number);
        row
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.rows.get(number as usize)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.rows).filter_map(|(number, row)| Some((number, row.as_ref()?)))
    }

    pub(super) const fn len(&self) -> usize {
        self.rows.len() - self.vacant.len()
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        self.rows[number as usize].as_ref().expect("the caller names a row that is there")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        self.rows[number as usize].as_mut().expect("the caller names a row that is there")
    }
}
