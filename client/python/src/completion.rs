//! The one thread that calls Python when a task has ended.
//!
//! News come from the clients' own threads, which never attach to Python, not even to drop an
//! object: whatever Python they carry is handed over here, and dealt with in bursts, one attach for
//! each. The thread ends before the interpreter does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use phalanx_client::task_batch::{TaskBatch, Until};
use pyo3::prelude::*;

use crate::signals::spawn_masked;

/// Callbacks that are called under one attach, at most: others want the GIL too.
const BURST_MAX: usize = 1_024;

/// How long the interpreter's end waits for callbacks that are being called.
const END_MAX: Duration = Duration::from_secs(1);

/// A callback, and what must live until it was called. `is_due` is false if it never will be.
struct News {
    callback: Py<PyAny>,
    batch: TaskBatch,
    is_due: bool,
}

/// Something for the thread to do.
enum Order {
    Deal(News),
    End,
}

/// Woken, or dropped unwoken, on whatever thread.
struct Notice {
    news: Mutex<Option<News>>,
    thread: Sender<Order>,
}

impl Notice {
    fn tell(&self, is_due: bool) {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(news) = news
            && let Err(unsent) = self.thread.send(Order::Deal(News { is_due, ..news }))
        {
            // The interpreter is ending: there is nobody left who may drop it.
            std::mem::forget(unsent);
        }
    }
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.tell(true);
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.tell(false);
    }
}

/// The thread, and the process it lives in.
struct Completion {
    pid: u32,
    thread: JoinHandle<()>,
    orders: Sender<Order>,
    ended: Receiver<()>,
}

/// Taken only with the GIL held, and never while giving it up: so it is free in a forked child.
static COMPLETION: Mutex<Option<Completion>> = Mutex::new(None);

/// Has `callback()` called by the thread when the batch has come to this.
pub(crate) fn call_when(batch: &TaskBatch, until: Until, callback: Py<PyAny>) -> PyResult<()> {
    let news = News { callback, batch: batch.clone(), is_due: false };
    let notice = Arc::new(Notice { news: Mutex::new(Some(news)), thread: orders()? });
    if batch.wake_when(until, &Waker::from(Arc::clone(&notice))) {
        notice.tell(true);
    }
    Ok(())
}

/// The way to the thread of this process, which is started if there is none.
fn orders() -> PyResult<Sender<Order>> {
    let mut completion = COMPLETION.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    if let Some(completion) = completion.as_ref().filter(|completion| completion.pid == pid) {
        return Ok(completion.orders.clone());
    }
    let (orders, inbox) = channel();
    let (end, ended) = channel();
    let thread = spawn_masked("phalanx-completion", move || {
        // Dropped when it is through.
        let _end = end;
        run(&inbox);
    })?;
    let earlier = completion.replace(Completion { pid, thread, orders: orders.clone(), ended });
    // That of the parent process: its thread is not here.
    std::mem::forget(earlier);
    Ok(orders)
}

/// Forgets the thread of the parent process, after a fork.
pub(crate) fn forget() {
    let mut completion = COMPLETION.lock().unwrap_or_else(PoisonError::into_inner);
    if completion.as_ref().is_some_and(|completion| completion.pid != std::process::id()) {
        std::mem::forget(completion.take());
    }
}

/// Ends the thread; before the interpreter does.
pub(crate) fn end(py: Python<'_>) {
    let completion = COMPLETION.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(completion) = completion else { return };
    if completion.pid != std::process::id() {
        std::mem::forget(completion);
        return;
    }
    let Completion { thread, orders, ended, .. } = completion;
    // One that has panicked takes no orders.
    let _ = orders.send(Order::End);
    py.detach(move || {
        // A callback that goes on for longer is not waited for.
        if ended.recv_timeout(END_MAX) != Err(RecvTimeoutError::Timeout) {
            let _ = thread.join();
        }
    });
}

fn run(inbox: &Receiver<Order>) {
    let mut burst = Vec::new();
    while let Ok(order) = inbox.recv() {
        let rest = inbox.try_iter().take(BURST_MAX - 1);
        let mut is_last = false;
        for order in std::iter::once(order).chain(rest) {
            match order {
                Order::Deal(news) => burst.push(news),
                Order::End => {
                    is_last = true;
                    break;
                }
            }
        }
        if burst.is_empty() && is_last {
            return;
        }
        let attached = Python::try_attach(|py| burst.drain(..).for_each(|news| deal(py, news)));
        if attached.is_none() {
            // No interpreter any more: what is left of Python must not be touched.
            burst.drain(..).for_each(std::mem::forget);
            return;
        }
        if is_last {
            return;
        }
    }
}

fn deal(py: Python<'_>, news: News) {
    let News { callback, batch, is_due } = news;
    if is_due && let Err(error) = callback.call0(py) {
        error.write_unraisable(py, Some(callback.bind(py)));
    }
    drop(callback);
    // The last hold of a client may go with it, which only sends a goodbye.
    drop(batch);
}
