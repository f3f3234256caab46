//! Several sources that one task waits for: which of them woke it.
//!
//! Whoever polls three streams and an accept queue when any of them wakes him polls three in vain,
//! each under the connection's lock. Here each source has a waker of its own, which notes that it
//! was called and passes it on; a source that has not called since it was pending is not asked.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The sources of one task, by number. At most eight.
pub(crate) struct Sources<const N: usize> {
    shared: Arc<Shared>,
    wakers: [Waker; N],
}

struct Shared {
    /// A bit for each source that is to be polled.
    due: AtomicU8,
    /// The task that waits, until one of the sources has woken it.
    task: Mutex<Option<Waker>>,
}

/// What a source wakes.
struct Source {
    bit: u8,
    shared: Arc<Shared>,
}

impl<const N: usize> Sources<N> {
    /// Each of them is polled at least once.
    pub(crate) fn new() -> Self {
        const { assert!(N <= u8::BITS as usize, "a bit for each") };
        let shared = Arc::new(Shared { due: AtomicU8::new(u8::MAX), task: Mutex::new(None) });
        let source = |number| Source { bit: 1_u8 << number, shared: Arc::clone(&shared) };
        let wakers = std::array::from_fn(|number| Arc::new(source(number)).into());
        Self { shared, wakers }
    }

    /// Polls a source, unless it was pending and has not called its waker since. It is polled with a
    /// waker of its own, and calls that of `cx` through it.
    pub(crate) fn poll<T>(
        &self,
        cx: &Context<'_>,
        number: usize,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // First: whoever calls from here on finds the task, or is found below.
        self.shared.wait(cx.waker());
        let (due, bit) = (&self.shared.due, 1_u8 << number);
        if due.load(Ordering::Acquire) & bit == 0 {
            return Poll::Pending;
        }
        due.fetch_and(!bit, Ordering::AcqRel);
        let polled = poll(&mut Context::from_waker(&self.wakers[number]));
        if polled.is_ready() {
            // It has called nobody, and may have more.
            due.fetch_or(bit, Ordering::AcqRel);
        }
        polled
    }
}

impl Shared {
    fn wait(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *task {
            Some(known) => known.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }
}

impl Wake for Source {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.shared.due.fetch_or(self.bit, Ordering::AcqRel);
        let task = self.shared.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Task {
        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// A source that is pending, keeps the waker that it is polled with, and counts.
    #[derive(Default)]
    struct Silent {
        polled: Cell<usize>,
        waker: RefCell<Option<Waker>>,
    }

    impl Silent {
        fn poll(&self, cx: &Context<'_>) -> Poll<()> {
            self.polled.set(self.polled.get() + 1);
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }

        fn call(&self) {
            self.waker.borrow().as_ref().expect("it was polled").wake_by_ref();
        }
    }

    fn poll_both(sources: &Sources<2>, task: &Arc<Task>, both: &[Silent; 2]) -> [usize; 2] {
        let waker = Waker::from(Arc::clone(task));
        for (number, source) in both.iter().enumerate() {
            let polled = sources.poll(&Context::from_waker(&waker), number, |cx| source.poll(cx));
            assert!(polled.is_pending());
        }
        both.each_ref().map(|source| source.polled.get())
    }

    #[test]
    fn only_sources_that_called_are_polled_again() {
        let (sources, task, both) = (Sources::new(), Arc::default(), Default::default());
        assert_eq!(poll_both(&sources, &task, &both), [1, 1], "each once");
        assert_eq!(poll_both(&sources, &task, &both), [1, 1]);
        both[1].call();
        assert_eq!(task.woken(), 1);
        assert_eq!(poll_both(&sources, &task, &both), [1, 2]);
        both[0].call();
        both[1].call();
        assert_eq!(task.woken(), 2, "it is awake: once is enough");
        assert_eq!(poll_both(&sources, &task, &both), [2, 3]);
    }

    #[test]
    fn the_task_that_polled_last_is_woken() {
        let (sources, both) = (Sources::new(), Default::default());
        let tasks: [Arc<Task>; 2] = Default::default();
        poll_both(&sources, &tasks[0], &both);
        poll_both(&sources, &tasks[1], &both);
        both[0].call();
        assert_eq!(tasks.each_ref().map(|task| task.woken()), [0, 1]);
    }

    #[test]
    fn a_source_that_calls_while_it_is_polled_is_polled_again() {
        let (sources, task) = (Sources::<1>::new(), Arc::<Task>::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut polled = 0;
        for _ in 0..2 {
            let _ = sources.poll(&Context::from_waker(&waker), 0, |cx| {
                polled += 1;
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
        }
        assert_eq!((polled, task.woken()), (2, 2));
    }

    #[test]
    fn a_source_that_was_ready_is_polled_until_it_is_pending() {
        let sources = Sources::<1>::new();
        let mut left = 3;
        let mut polled = || {
            sources.poll(&Context::from_waker(Waker::noop()), 0, |_| {
                left -= 1;
                if left > 0 { Poll::Ready(left) } else { Poll::Pending }
            })
        };
        assert_eq!(
            [polled(), polled(), polled(), polled()],
            [Poll::Ready(2), Poll::Ready(1), Poll::Pending, Poll::Pending]
        );
        assert_eq!(left, 0, "not polled a fourth time");
    }
}
