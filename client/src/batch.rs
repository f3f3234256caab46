//! Where outcomes wait for whoever asked for them: one allocation for the tasks of one call.
//!
//! The driver completes cells, results poll them. Deliberately without channels or spawned tasks:
//! a cell is an option under a lock, a waiter is a waker with a condition.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use phalanx_transport::protocol::ids::TaskId;
use phalanx_transport::protocol::output::Output;

use crate::core::End;
use crate::live::{LiveOutput, Unread};

/// How a task ended, and when the client heard of it.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) end: End,
    pub(crate) received: SystemTime,
}

/// The outcomes of tasks that were submitted together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) submitted: SystemTime,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    cells: Cells,
    /// Which cells are filled, in the order of their filling; kept only for more than one.
    order: Vec<u32>,
    filled: usize,
    waiters: Waiters,
    /// What was not read of the output of tasks that run, and of those that somebody follows.
    output: BTreeMap<u32, Unread>,
}

#[derive(Debug)]
enum Cells {
    One(Option<Ending>),
    Many(Box<[Option<Ending>]>),
}

impl Cells {
    fn as_slice(&self) -> &[Option<Ending>] {
        match self {
            Self::One(cell) => std::slice::from_ref(cell),
            Self::Many(cells) => cells,
        }
    }

    fn cell(&mut self, index: u32) -> Option<&mut Option<Ending>> {
        match self {
            Self::One(cell) => (index == 0).then_some(cell),
            Self::Many(cells) => cells.get_mut(index as usize),
        }
    }
}

/// What a wait for tasks that were submitted together is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// This one has ended.
    Filled(u32),
    /// At least so many have ended.
    Count(usize),
    /// There is output of this task to read, or its cell is filled.
    Wrote(u32),
}

/// Names a waiter of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaiterId(u64);

#[derive(Debug)]
struct Waiter {
    id: WaiterId,
    until: Until,
    waker: Waker,
}

/// Nearly always one; more when several tasks wait for the same result.
#[derive(Debug, Default)]
struct Waiters {
    first: Option<Waiter>,
    more: Vec<Waiter>,
    next_id: u64,
}

impl Waiters {
    /// Registers a waiter, or what a known one waits for now. Gives back a waker that is not
    /// needed any more: dropping it may run code of any executor, so not under the lock.
    fn register(
        &mut self,
        known: &mut Option<WaiterId>,
        until: Until,
        waker: &Waker,
    ) -> Option<Waker> {
        let waiters = self.first.iter_mut().chain(&mut self.more);
        if let Some(waiter) = waiters.into_iter().find(|waiter| Some(waiter.id) == *known) {
            waiter.until = until;
            let is_same = waiter.waker.will_wake(waker);
            return (!is_same).then(|| std::mem::replace(&mut waiter.waker, waker.clone()));
        }
        let id = WaiterId(self.next_id);
        self.next_id += 1;
        *known = Some(id);
        let waiter = Waiter { id, until, waker: waker.clone() };
        match &mut self.first {
            first @ None => *first = Some(waiter),
            Some(_) => self.more.push(waiter),
        }
        None
    }

    fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        if self.first.as_ref().is_some_and(|waiter| waiter.id == id) {
            return self.first.take();
        }
        let at = self.more.iter().position(|waiter| waiter.id == id)?;
        Some(self.more.swap_remove(at))
    }

    fn take(&mut self, mut met: impl FnMut(Until) -> bool, woken: &mut Vec<Waker>) {
        if self.first.as_ref().is_some_and(|waiter| met(waiter.until)) {
            woken.extend(self.first.take().map(|waiter| waiter.waker));
        }
        if !self.more.is_empty() {
            let met = self.more.extract_if(.., |waiter| met(waiter.until));
            woken.extend(met.map(|waiter| waiter.waker));
        }
    }
}

impl Batch {
    /// A batch of `len` tasks, none of which has ended.
    pub(crate) fn new(len: usize) -> Self {
        let cells = match len {
            1 => Cells::One(None),
            _ => Cells::Many((0..len).map(|_| None).collect()),
        };
        let state = State {
            cells,
            order: Vec::new(),
            filled: 0,
            waiters: Waiters::default(),
            output: BTreeMap::new(),
        };
        Self { submitted: SystemTime::now(), state: Mutex::new(state) }
    }

    /// Fills a cell and collects the wakers of who waited for it; to be woken without locks held.
    pub(crate) fn fill(&self, index: u32, ending: Ending, woken: &mut Vec<Waker>) {
        let mut state = self.lock();
        let State { cells, order, filled, waiters, output } = &mut *state;
        let Some(cell @ None) = cells.cell(index) else {
            return;
        };
        *cell = Some(ending);
        if output.get(&index).is_some_and(|unread| !unread.has_reader) {
            output.remove(&index);
        }
        *filled += 1;
        if let Cells::Many(_) = cells {
            order.push(index);
        }
        waiters.take(
            |until| match until {
                Until::Filled(wanted) | Until::Wrote(wanted) => wanted == index,
                Until::Count(wanted) => *filled >= wanted,
            },
            woken,
        );
    }

    /// Somebody reads what this task writes, and what is held of it; false if somebody does already.
    pub(crate) fn follow(&self, index: u32) -> bool {
        let mut state = self.lock();
        let unread = state.output.entry(index).or_default();
        !std::mem::replace(&mut unread.has_reader, true)
    }

    /// Nobody reads it any more.
    pub(crate) fn unfollow(&self, index: u32) {
        let unread = self.lock().output.remove(&index);
        drop(unread);
    }

    /// A task wrote something: held for its reader, also for one that comes while it runs.
    pub(crate) fn wrote(&self, index: u32, output: Output, woken: &mut Vec<Waker>) {
        let mut state = self.lock();
        if state.is_filled(index) && !state.output.contains_key(&index) {
            return;
        }
        let State { waiters, output: unread, .. } = &mut *state;
        unread.entry(index).or_default().push(output);
        waiters.take(|until| until == Until::Wrote(index), woken);
    }

    /// The next piece that was not read of what a followed task wrote.
    pub(crate) fn take_output(&self, index: u32) -> Option<LiveOutput> {
        self.lock().output.get_mut(&index)?.take()
    }

    /// Whether the condition is met; if not, `waker` will be woken when it is.
    pub(crate) fn poll(
        &self,
        until: Until,
        waiter: &mut Option<WaiterId>,
        context: &Context<'_>,
    ) -> Poll<()> {
        let mut state = self.lock();
        if state.meets(until) {
            *waiter = None;
            return Poll::Ready(());
        }
        let unneeded = state.waiters.register(waiter, until, context.waker());
        drop(state);
        drop(unneeded);
        Poll::Pending
    }

    /// Whether the condition is met now.
    pub(crate) fn meets(&self, until: Until) -> bool {
        self.lock().meets(until)
    }

    /// Nobody waits under this name any more.
    pub(crate) fn forget(&self, waiter: WaiterId) {
        let unneeded = self.lock().waiters.remove(waiter);
        drop(unneeded);
    }

    /// How many tasks have ended.
    pub(crate) fn filled(&self) -> usize {
        self.lock().filled
    }

    /// Which cell was the `nth` to be filled, if so many are.
    pub(crate) fn nth_filled(&self, nth: usize) -> Option<u32> {
        let state = self.lock();
        match &state.cells {
            Cells::One(cell) => (nth == 0 && cell.is_some()).then_some(0),
            Cells::Many(_) => state.order.get(nth).copied(),
        }
    }

    /// What `read` makes of a cell's ending, if it is filled.
    pub(crate) fn read<T>(&self, index: u32, read: impl FnOnce(&Ending) -> T) -> Option<T> {
        let state = self.lock();
        let ending = state.cells.as_slice().get(index as usize)?.as_ref()?;
        Some(read(ending))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn meets(&self, until: Until) -> bool {
        match until {
            Until::Filled(index) => self.is_filled(index),
            Until::Count(count) => self.filled >= count,
            Until::Wrote(index) => {
                let unread = self.output.get(&index);
                self.is_filled(index) || unread.is_some_and(|unread| !unread.is_empty())
            }
        }
    }

    fn is_filled(&self, index: u32) -> bool {
        self.cells.as_slice().get(index as usize).is_some_and(Option::is_some)
    }
}

/// A wait for a batch that takes its waker back when it is dropped.
#[derive(Debug)]
pub(crate) struct Wait<'batch> {
    pub(crate) batch: &'batch Batch,
    pub(crate) until: Until,
    pub(crate) waiter: Option<WaiterId>,
}

impl<'batch> Wait<'batch> {
    pub(crate) const fn new(batch: &'batch Batch, until: Until) -> Self {
        Self { batch, until, waiter: None }
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { batch, until, waiter } = &mut *self;
        batch.poll(*until, waiter, context)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.batch.forget(waiter);
        }
    }
}

/// The place of one task's outcome: what the room carries as its key.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) batch: std::sync::Arc<Batch>,
    pub(crate) index: u32,
}

impl Place {
    /// Fills the place, unless nobody holds the result any more.
    pub(crate) fn fill(self, ending: Ending, woken: &mut Vec<Waker>) {
        if self.is_held() {
            self.batch.fill(self.index, ending, woken);
        }
    }

    /// Whether somebody holds the result, or other tasks of the batch are open.
    fn is_held(&self) -> bool {
        std::sync::Arc::strong_count(&self.batch) > 1
    }

    /// Tells what its task wrote, unless nobody holds the result any more.
    pub(crate) fn wrote(&self, output: Output, woken: &mut Vec<Waker>) {
        if self.is_held() {
            self.batch.wrote(self.index, output, woken);
        }
    }
}

/// The id of the task `index` places after `first`.
pub(crate) const fn nth_task(first: TaskId, index: u32) -> TaskId {
    TaskId::new(first.client, first.seq + index as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn ending() -> Ending {
        Ending { end: End::Disconnected("test".into()), received: SystemTime::UNIX_EPOCH }
    }

    fn fill(batch: &Batch, index: u32) {
        let mut woken = Vec::new();
        batch.fill(index, ending(), &mut woken);
        woken.into_iter().for_each(Waker::wake);
    }

    #[test]
    fn a_waiter_is_woken_when_its_condition_is_met_and_not_before() {
        let batch = Batch::new(3);
        let (all, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (all_waker, second_waker) = (Waker::from(all.clone()), Waker::from(second.clone()));
        let (mut first_id, mut second_id) = (None, None);
        let poll = |until, id: &mut _, waker| batch.poll(until, id, &Context::from_waker(waker));
        assert!(poll(Until::Count(3), &mut first_id, &all_waker).is_pending());
        assert!(poll(Until::Filled(1), &mut second_id, &second_waker).is_pending());
        let woken = || (all.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed));
        fill(&batch, 2);
        assert_eq!(woken(), (0, 0));
        fill(&batch, 1);
        assert_eq!(woken(), (0, 1));
        fill(&batch, 1);
        assert_eq!(batch.filled(), 2, "a cell is filled once");
        fill(&batch, 0);
        assert_eq!(woken(), (1, 1));
        assert_eq!(batch.nth_filled(0), Some(2));
        assert_eq!(batch.nth_filled(2), Some(0));
        assert!(poll(Until::Count(3), &mut first_id, &all_waker).is_ready());
    }

    #[test]
    fn a_dropped_wait_leaves_no_waker_behind() {
        let batch = Batch::new(1);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        for _ in 0..100 {
            let mut wait = Wait::new(&batch, Until::Filled(0));
            let pinned = std::pin::Pin::new(&mut wait);
            assert!(pinned.poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert!(batch.lock().waiters.first.is_none() && batch.lock().waiters.more.is_empty());
        fill(&batch, 0);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }
}
