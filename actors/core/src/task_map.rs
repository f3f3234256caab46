//! A hash map by task for the rooms' largest tables, with a hash that keeps neighbours together.
//! Any room may use it; it is no place for other keys.

use std::hash::{BuildHasher, Hasher};

use phalanx_protocol::ids::TaskId;

/// Tasks with consecutive numbers of a client that lie side by side: with a slot of 32 bytes they
/// share 8 cache lines. A client submits in order, and its tasks end more or less in that order, so
/// a table of a million tasks costs a cache miss per few tasks instead of several per task.
const NEIGHBOURS_LOG2: u32 = 4;

/// 2^64 over the golden ratio, odd: spreads blocks of neighbours.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// How far apart clients begin, in blocks: odd and without pattern, so that they mix.
const CLIENTS_APART: u64 = 0xd1b5_4a32_d192_ed03;

/// A map by task. Its order means nothing.
#[expect(clippy::disallowed_types, reason = "not with the random hasher")]
pub(crate) type TaskMap<V> = std::collections::HashMap<TaskId, V, TaskHash>;

/// How [`TaskMap`] hashes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TaskHash;

impl BuildHasher for TaskHash {
    type Hasher = TaskHasher;

    fn build_hasher(&self) -> TaskHasher {
        TaskHasher { client: 0, seq: 0 }
    }
}

/// Takes a [`TaskId`]: its client, then its number.
#[derive(Debug)]
pub(crate) struct TaskHasher {
    client: u32,
    seq: u64,
}

impl Hasher for TaskHasher {
    fn write_u32(&mut self, client: u32) {
        self.client = client;
    }

    fn write_u64(&mut self, seq: u64) {
        self.seq = seq;
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a task id is hashed as a u32 and a u64");
    }

    fn finish(&self) -> u64 {
        let within = self.seq & ((1 << NEIGHBOURS_LOG2) - 1);
        let client = u64::from(self.client).wrapping_mul(CLIENTS_APART);
        let block = (self.seq >> NEIGHBOURS_LOG2).wrapping_add(client).wrapping_mul(SPREAD);
        // The table takes the lowest bits as the place, and the highest seven to tell apart what
        // is near that place: neighbours differ in both. The lowest bits of a product with an odd
        // number do not repeat: consecutive blocks never meet before the table is full of them.
        let high = block ^ (within << (64 - NEIGHBOURS_LOG2));
        (high & !0xffff_ffff) | ((block << NEIGHBOURS_LOG2) & 0xffff_ffff) | within
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use phalanx_protocol::ids::ClientId;

    use super::*;

    fn hash(client: u32, seq: u64) -> u64 {
        TaskHash.hash_one(TaskId::new(ClientId(client), seq))
    }

    #[test]
    fn neighbours_lie_side_by_side_and_blocks_lie_apart() {
        let first = hash(7, 1_000 << NEIGHBOURS_LOG2);
        for within in 0..1 << NEIGHBOURS_LOG2 {
            let next = hash(7, (1_000 << NEIGHBOURS_LOG2) + within);
            assert_eq!(next & 0xffff_ffff, (first & 0xffff_ffff) + within);
            assert!(within == 0 || next >> 57 != first >> 57, "{within}: not told apart");
        }
        let places = |hashes: &mut dyn Iterator<Item = u64>| {
            // As in a table of 2^20 places.
            hashes.map(|hash| hash & 0xf_ffff).collect::<BTreeSet<_>>().len()
        };
        let blocks = &mut (0..1 << 16).map(|block| hash(7, block << NEIGHBOURS_LOG2));
        assert_eq!(places(blocks), 1 << 16);
        // By chance 2^16 blocks in 2^16 places would take 41,400 of them.
        let clients = &mut (0..1 << 16).map(|client| hash(client, 3));
        assert!(places(clients) > 41_000);
        let both = &mut (0..1 << 16).map(|n| hash(n >> 8, u64::from(n & 0xff) << NEIGHBOURS_LOG2));
        assert!(places(both) > 38_000);
    }
}
