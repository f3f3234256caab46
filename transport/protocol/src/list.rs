//! Lists whose items may be tiny on the wire and large in memory.
//!
//! An empty map is one byte, but the struct it stands for may have hundreds: fields that hold such
//! lists name [`bounded`], so that no header allocates out of proportion. Lists of plain numbers
//! need it not; the header's length bounds them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use crate::limits::LIST_ITEMS_MAX;

/// Items that are allocated for before the first one was read.
const TRUSTED_CAPACITY: usize = 64;

/// Reads a list of at most [`LIST_ITEMS_MAX`] items; memory grows only with items that are there.
pub(crate) fn bounded<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Bounded(PhantomData))
}

struct Bounded<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {LIST_ITEMS_MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let announced = sequence.size_hint().unwrap_or(0);
        if announced > LIST_ITEMS_MAX {
            return Err(A::Error::invalid_length(announced, &self));
        }
        let mut items = Vec::with_capacity(announced.min(TRUSTED_CAPACITY));
        while let Some(item) = sequence.next_element()? {
            if items.len() == LIST_ITEMS_MAX {
                return Err(A::Error::invalid_length(items.len() + 1, &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Wrapper(#[serde(deserialize_with = "bounded")] Vec<u8>);

    fn read(len: usize) -> Result<usize, rmp_serde::decode::Error> {
        let encoded = rmp_serde::to_vec(&vec![1_u8; len]).expect("a list of numbers");
        rmp_serde::from_slice::<Wrapper>(&encoded).map(|list| list.0.len())
    }

    #[test]
    fn a_list_at_the_limit_is_read_and_a_longer_one_refused() {
        assert_eq!(read(0).ok(), Some(0));
        assert_eq!(read(LIST_ITEMS_MAX).ok(), Some(LIST_ITEMS_MAX));
        let error = read(LIST_ITEMS_MAX + 1).expect_err("too long");
        assert!(error.to_string().contains("a list of at most 16384 items"), "{error}");
    }

    #[test]
    fn a_list_that_announces_more_than_it_has_is_refused() {
        assert!(rmp_serde::from_slice::<Wrapper>(&[0x93, 1, 2]).is_err());
    }
}
