//! How the hub keeps payloads: not as slices of receive buffers, which would be kept with them.

use bytes::{Bytes, BytesMut};
use phalanx_protocol::limits::COPIED_PAYLOAD_LEN_MAX;

/// Short payloads are copied side by side into chunks of this length, so that most cost no
/// allocation. It is the most that one short payload can hold in memory when its neighbours are
/// gone; tasks come and go in order, so mostly the whole chunk goes.
const CHUNK_LEN: usize = 1 << 10;

/// Longer payloads are copied into an allocation of their own.
const SHORT_LEN_MAX: usize = CHUNK_LEN / 8;

/// Copies payloads that are kept.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    chunk: BytesMut,
}

impl Keeper {
    /// The same bytes, to be kept.
    pub(super) fn keep(&mut self, bytes: Bytes) -> Bytes {
        match bytes.len() {
            len @ 1..=SHORT_LEN_MAX => {
                if self.chunk.capacity() < len {
                    self.chunk = BytesMut::with_capacity(CHUNK_LEN);
                }
                self.chunk.extend_from_slice(&bytes);
                self.chunk.split().freeze()
            }
            len if len <= COPIED_PAYLOAD_LEN_MAX => Bytes::copy_from_slice(&bytes),
            _ => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_came_whatever_its_length() {
        let mut keeper = Keeper::default();
        let lens = [0, 1, 31, SHORT_LEN_MAX, SHORT_LEN_MAX + 1, COPIED_PAYLOAD_LEN_MAX + 1];
        let came: Vec<Bytes> =
            (0..60usize).map(|n| Bytes::from(vec![n as u8; lens[n % lens.len()]])).collect();
        let kept: Vec<Bytes> = came.iter().map(|bytes| keeper.keep(bytes.clone())).collect();
        assert_eq!(kept, came);
    }

    #[test]
    fn short_payloads_share_an_allocation_but_never_the_receive_buffer() {
        let buffer = Bytes::from(vec![7; 64 << 10]);
        let mut keeper = Keeper::default();
        let kept: Vec<Bytes> = (0..16).map(|n| keeper.keep(buffer.slice(n..n + 32))).collect();
        assert!(buffer.is_unique(), "nothing holds the buffer");
        let longer = keeper.keep(buffer.slice(..COPIED_PAYLOAD_LEN_MAX));
        assert!(buffer.is_unique() && longer.len() == COPIED_PAYLOAD_LEN_MAX);
        let long = keeper.keep(buffer.clone());
        assert_eq!(long.as_ptr(), buffer.as_ptr(), "it is most of its buffer: not copied");
        let first = kept[0].as_ptr() as usize;
        assert!(kept.iter().all(|bytes| (bytes.as_ptr() as usize) < first + CHUNK_LEN));
    }
}
