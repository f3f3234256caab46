//! How tasks ended, for those of which nothing else is kept. The result store owns it.
//!
//! A client numbers its tasks without gaps and they end more or less in order, so endings lie in
//! blocks of neighbours: no hashing and no allocation for most of them, five bytes each.

use std::collections::VecDeque;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::Ending;
use rustc_hash::FxHashMap;

/// Endings in a block.
const BLOCK_LEN: u64 = 64;

/// Names a block: a client, and the number of its tasks over [`BLOCK_LEN`].
type BlockId = (ClientId, u64);

/// The endings of neighbours.
#[derive(Debug)]
struct Block {
    /// Which are known.
    known: u64,
    /// Which of them were successes.
    success: u64,
    /// Which of them have an engine.
    placed: u64,
    engines: [EngineId; BLOCK_LEN as usize],
}

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    blocks: FxHashMap<BlockId, Box<Block>>,
    /// The blocks, oldest first.
    order: VecDeque<BlockId>,
}

const fn place(task: TaskId) -> (BlockId, u64) {
    ((task.client, task.seq / BLOCK_LEN), 1 << (task.seq % BLOCK_LEN))
}

impl Endings {
    /// Notes how a task ended. At more blocks than `len_max` endings fill, the oldest is forgotten:
    /// so memory is bounded also when blocks are not full.
    pub(crate) fn insert(&mut self, task: TaskId, ending: Ending, len_max: usize) {
        let (id, bit) = place(task);
        let block = self.blocks.entry(id).or_insert_with(|| {
            self.order.push_back(id);
            let engines = [EngineId::default(); BLOCK_LEN as usize];
            Box::new(Block { known: 0, success: 0, placed: 0, engines })
        });
        block.known |= bit;
        if ending.success {
            block.success |= bit;
        }
        if let Some(engine) = ending.engine {
            block.placed |= bit;
            block.engines[(task.seq % BLOCK_LEN) as usize] = engine;
        }
        while self.blocks.len() > Self::blocks_max(len_max)
            && let Some(oldest) = self.order.pop_front()
        {
            self.blocks.remove(&oldest);
        }
    }

    /// How many blocks are kept of so many endings: one at least.
    const fn blocks_max(len_max: usize) -> usize {
        let blocks = len_max.div_ceil(BLOCK_LEN as usize);
        if blocks == 0 { 1 } else { blocks }
    }

    /// How a task ended, if that is still known.
    pub(crate) fn get(&self, task: TaskId) -> Option<Ending> {
        let (id, bit) = place(task);
        let block = self.blocks.get(&id).filter(|block| block.known & bit != 0)?;
        let engine = block.engines[(task.seq % BLOCK_LEN) as usize];
        let engine = (block.placed & bit != 0).then_some(engine);
        Some(Ending { success: block.success & bit != 0, engine })
    }

    /// Panics if a fact contradicts another.
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.blocks.len(), self.order.len(), "blocks of endings");
        assert!(self.blocks.values().all(|block| block.known != 0), "a block without endings");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(client: u32, seq: u64) -> TaskId {
        TaskId::new(ClientId(client), seq)
    }

    fn ending(n: u64) -> Ending {
        let engine = (!n.is_multiple_of(3)).then_some(EngineId(n as u32));
        Ending { success: n.is_multiple_of(2), engine }
    }

    #[test]
    fn each_task_has_its_own_ending_whatever_its_neighbours_and_whoever_its_client() {
        let mut endings = Endings::default();
        for n in (0..500).step_by(3) {
            endings.insert(id(1, n), ending(n), 1_000);
            endings.insert(id(2, n), ending(n + 1), 1_000);
        }
        endings.check_invariants();
        for n in 0..500 {
            let known = n % 3 == 0;
            assert_eq!(endings.get(id(1, n)), known.then(|| ending(n)));
            assert_eq!(endings.get(id(2, n)), known.then(|| ending(n + 1)));
        }
        assert_eq!(endings.get(id(3, 0)), None);
    }

    #[test]
    fn beyond_the_bound_the_oldest_block_goes_and_later_ones_stay() {
        let mut endings = Endings::default();
        for n in 0..5 * BLOCK_LEN {
            endings.insert(id(1, n), ending(n), 200);
            endings.check_invariants();
        }
        assert_eq!(endings.get(id(1, BLOCK_LEN - 1)), None);
        for n in BLOCK_LEN..5 * BLOCK_LEN {
            assert_eq!(endings.get(id(1, n)), Some(ending(n)));
        }
    }
}
