//! Bytes in one run or in several: what is put together of others' bytes need not be copied for it.
//!
//! Most payloads are one run. Several come about where somebody passes on what lies elsewhere: a
//! result that holds an array as it came, a task's arguments with the results of others beside them.
//! Where the pieces begin and end means nothing; the bytes are what counts.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// Bytes in order. Cheap to clone, and no larger than one run; no piece is empty, unless there are no
/// bytes at all.
#[derive(Clone)]
pub struct Pieces(Runs);

#[derive(Clone)]
enum Runs {
    One(Bytes),
    /// Two at least.
    Several(Arc<[Bytes]>),
}

impl Pieces {
    /// No bytes.
    pub const fn new() -> Self {
        Self::of(Bytes::new())
    }

    /// One run.
    pub const fn of(bytes: Bytes) -> Self {
        Self(Runs::One(bytes))
    }

    /// How many bytes there are in all.
    pub fn len(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        match &self.0 {
            Runs::One(bytes) => bytes.is_empty(),
            Runs::Several(_) => false,
        }
    }

    /// The pieces, in order; one at least.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> + Clone {
        match &self.0 {
            Runs::One(bytes) => std::slice::from_ref(bytes).iter(),
            Runs::Several(pieces) => pieces.iter(),
        }
    }

    /// All bytes in one run: copied together only if they are in several.
    pub fn contiguous(&self) -> Bytes {
        if let Runs::One(bytes) = &self.0 {
            return bytes.clone();
        }
        let mut run = Vec::with_capacity(self.len());
        for piece in self.iter() {
            run.extend_from_slice(piece);
        }
        run.into()
    }

    /// A part of the bytes, not copied; `None` if it is not in them.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let mut left = range.end.checked_sub(range.start)?;
        let mut skipped = range.start;
        let mut taken = Vec::new();
        for piece in self.iter() {
            if left == 0 {
                break;
            }
            let start = skipped.min(piece.len());
            let end = piece.len().min(start.saturating_add(left));
            skipped -= start;
            left -= end - start;
            if start == 0 && end == piece.len() {
                taken.push(piece.clone());
            } else {
                taken.push(piece.slice(start..end));
            }
        }
        (left == 0 && skipped == 0 || range.start == range.end && range.end <= self.len())
            .then(|| taken.into_iter().collect())
    }

    /// The same bytes, each piece put in a place of its own.
    #[must_use]
    pub fn map(self, mut keep: impl FnMut(Bytes) -> Bytes) -> Self {
        Self(match self.0 {
            Runs::One(bytes) => Runs::One(keep(bytes)),
            Runs::Several(pieces) => Runs::Several(pieces.iter().cloned().map(keep).collect()),
        })
    }
}

impl Default for Pieces {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        Self::of(bytes)
    }
}

impl FromIterator<Bytes> for Pieces {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        let first = pieces.next().unwrap_or_default();
        Self(match pieces.next() {
            None => Runs::One(first),
            Some(second) => Runs::Several([first, second].into_iter().chain(pieces).collect()),
        })
    }
}

/// The same bytes, wherever the pieces end.
impl PartialEq for Pieces {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.contiguous() == other.contiguous()
    }
}

impl Eq for Pieces {}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_their_bytes_wherever_they_are_cut(
            cut in vec(vec(any::<u8>(), 0..5), 0..6), start in 0usize..32, end in 0usize..32,
        ) {
            let all = cut.concat();
            let pieces: Pieces = cut.iter().cloned().map(Bytes::from).collect();
            prop_assert_eq!(pieces.len(), all.len());
            prop_assert_eq!(pieces.is_empty(), all.is_empty());
            prop_assert_eq!(&pieces.contiguous()[..], &all[..]);
            prop_assert_eq!(&pieces, &Pieces::from(Bytes::from(all.clone())));
            prop_assert_eq!(&pieces, &pieces.clone().map(|piece| Bytes::from(piece.to_vec())));
            let slice = pieces.slice(start..end).map(|slice| slice.contiguous().to_vec());
            prop_assert_eq!(slice, all.get(start..end).map(<[u8]>::to_vec));
        }
    }

    #[test]
    fn nothing_is_copied_but_to_make_one_run_of_several() {
        let bytes = Bytes::from_static(b"0123456789");
        let pieces: Pieces =
            [bytes.slice(..4), Bytes::new(), bytes.slice(6..)].into_iter().collect();
        let at = |pieces: &Pieces| pieces.iter().map(|piece| piece.as_ptr()).collect::<Vec<_>>();
        assert_eq!(at(&pieces), [bytes.as_ptr(), bytes[6..].as_ptr()]);
        let within = pieces.slice(5..7).unwrap();
        assert_eq!(at(&within), [bytes[7..].as_ptr()]);
        assert_eq!(within.contiguous().as_ptr(), bytes[7..].as_ptr());
        assert_ne!(pieces, Pieces::from(bytes));
    }
}
