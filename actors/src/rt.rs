//! The one module that touches actix's API: arbiter, actor, mailbox, timer, and the clock.
//!
//! A `Shell` is what a room's actor does apart from being an actor: it takes mail, and wants to
//! be woken at a deadline. Everything else here is what it means to be an actor, so that actix,
//! which is in passive maintenance, could be replaced by rewriting this file.
//!
//! What it deliberately does not do: restart anything. A shell that panics is dropped and its
//! death is announced once; what follows is decided by [`crate::supervise`] and the hub.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use actix::prelude::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, SpawnHandle};
use phalanx_core::Time;
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::Instant;

/// The monotonic clock of one process: [`Time::ZERO`] is when it was started. Under tokio's paused
/// clock it stands still too.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts a clock.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time now.
    pub fn now(self) -> Time {
        let nanos = self.start.elapsed().as_nanos();
        // 584 years fit.
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// What [`Time::ZERO`] is to people: microseconds since 1970-01-01 UTC. For records only.
    pub(crate) fn zero_us(self) -> u64 {
        // A clock that stands before 1970 counts as there.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let zero = now.saturating_sub(self.start.elapsed());
        u64::try_from(zero.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Runs `future` to its end on this thread, with an arbiter round it: actors can be opened and
/// local tasks spawned inside.
///
/// The arbiter is a runtime of this thread alone, not actix's `System`. That keeps actors in a set
/// of their own beside the runtime's tasks, and where a message goes from the one to the other the
/// system is asked for news in between, for nothing: twice for each message, not once.
///
/// # Panics
/// If the thread already is inside an arbiter or another asynchronous runtime, or the system gives
/// no descriptors for one.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("the system gives descriptors for an arbiter").block_on(future)
}

/// Runs `future` on this arbiter beside everything else; it need not be `Send`.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> tokio::task::JoinHandle<()> {
    actix_rt::spawn(future)
}

/// Whether an actor goes on after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Flow {
    /// It goes on.
    Continue,
    /// It has done all it had to do.
    End,
}

/// What one actor does. None of its functions may block or await: a turn is over when they return.
pub(crate) trait Shell: Sized + 'static {
    /// What one mailbox message is: a burst, never a single event where bursts occur.
    type Mail: Send + 'static;

    /// A message came.
    fn on_mail(&mut self, now: Time, mail: Self::Mail) -> Flow;

    /// When it wants [`Shell::on_deadline`] called at the latest.
    fn next_deadline(&self) -> Option<Time>;

    /// That time has come.
    fn on_deadline(&mut self, now: Time) -> Flow;
}

/// What is done when a shell panicked, with what the panic said.
pub(crate) type OnDeath = Box<dyn FnOnce(String)>;

/// Opens an actor on this arbiter. `make` gets the actor's own post.
pub(crate) fn open<S: Shell>(
    clock: Clock,
    on_death: OnDeath,
    make: impl FnOnce(Post<S>) -> S,
) -> Post<S> {
    Post(RoomActor::create(|context| RoomActor {
        shell: Some(make(Post(context.address()))),
        on_death: Some(on_death),
        clock,
        armed: None,
    }))
}

/// The way into an actor's mailbox. The actor lives as long as a post to it does, or until it ends.
#[derive(Debug)]
pub(crate) struct Post<S: Shell>(Addr<RoomActor<S>>);

impl<S: Shell> Clone for Post<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Ends an actor when it is dropped, together with the local tasks that serve it: an owner that is
/// itself dropped in the middle leaves nothing behind.
pub(crate) struct Owner<S: Shell> {
    post: Post<S>,
    tasks: Vec<Task>,
}

/// A local task that ends when this is dropped.
pub(crate) struct Task(tokio::task::JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) -> Self {
        Self(spawn(task))
    }

    /// Gives it so much time to end by itself.
    pub(crate) async fn finish(mut self, at_most: std::time::Duration) {
        // One that takes longer, or panicked, is not waited for.
        let _ = tokio::time::timeout(at_most, &mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<S: Shell> Owner<S> {
    pub(crate) const fn new(post: Post<S>) -> Self {
        Self { post, tasks: Vec::new() }
    }

    /// Runs a task that serves the actor.
    pub(crate) fn serve(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.push(Task::spawn(task));
    }
}

impl<S: Shell> Drop for Owner<S> {
    fn drop(&mut self) {
        // One that has ended already takes no mail.
        let _ = self.post.put(Envelope::EndNow);
    }
}

/// The actor has ended or died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl<S: Shell> Post<S> {
    /// Puts mail in the box without waiting, past its bound.
    ///
    /// Only for what admission bounds already: between rooms, and for single notices. At borders
    /// use [`Post::deliver`].
    pub(crate) fn push(&self, mail: S::Mail) -> Result<(), Gone> {
        self.put(Envelope::Mail(mail))
    }

    fn put(&self, message: Envelope<S::Mail>) -> Result<(), Gone> {
        if !self.0.connected() {
            return Err(Gone);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place: between rooms admission bounds the count, and the check \
                      above reports a dead actor, on whose arbiter we are"
        )]
        self.0.do_send(message);
        Ok(())
    }

    /// Puts mail in the box, waiting while that is full, and returns after the turn that took it.
    pub(crate) async fn deliver(&self, mail: S::Mail) -> Result<(), Gone> {
        self.0.send(Envelope::Mail(mail)).await.map_err(|_| Gone)
    }
}

/// The actix message round a shell's mail.
enum Envelope<M> {
    Mail(M),
    /// From the [`Owner`].
    EndNow,
}

impl<M: Send + 'static> actix::Message for Envelope<M> {
    type Result = ();
}

/// The actix actor round a shell.
struct RoomActor<S: Shell> {
    /// Gone after it panicked or ended.
    shell: Option<S>,
    /// Taken when it is called.
    on_death: Option<OnDeath>,
    clock: Clock,
    /// The timer that is set, and for when. It may be earlier than the shell's deadline: moving a
    /// timer costs more than one idle wake-up.
    armed: Option<(Time, SpawnHandle)>,
}

// Nothing here is pinned.
impl<S: Shell> Unpin for RoomActor<S> {}

impl<S: Shell> Actor for RoomActor<S> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.arm(context);
    }
}

impl<S: Shell> Handler<Envelope<S::Mail>> for RoomActor<S> {
    type Result = ();

    fn handle(&mut self, message: Envelope<S::Mail>, context: &mut Context<Self>) {
        let now = self.clock.now();
        match message {
            Envelope::Mail(mail) => self.turn(context, |shell| shell.on_mail(now, mail)),
            Envelope::EndNow => self.end(context),
        }
    }
}

impl<S: Shell> RoomActor<S> {
    /// One turn of the shell, and what follows from how it went.
    fn turn(&mut self, context: &mut Context<Self>, work: impl FnOnce(&mut S) -> Flow) {
        let Some(shell) = &mut self.shell else { return };
        // A shell that panicked is dropped, so nobody sees what it was in the middle of.
        match catch_unwind(AssertUnwindSafe(|| work(shell))) {
            Ok(Flow::Continue) => self.arm(context),
            Ok(Flow::End) => self.end(context),
            Err(panic) => {
                self.end(context);
                if let Some(on_death) = self.on_death.take() {
                    on_death(panic_text(panic.as_ref()));
                }
            }
        }
    }

    fn end(&mut self, context: &mut Context<Self>) {
        self.shell = None;
        context.stop();
    }

    fn arm(&mut self, context: &mut Context<Self>) {
        let Some(deadline) = self.shell.as_ref().and_then(S::next_deadline) else { return };
        if self.armed.is_some_and(|(at, _)| at <= deadline) {
            return;
        }
        if let Some((_, timer)) = self.armed.take() {
            context.cancel_future(timer);
        }
        let delay = deadline.since(self.clock.now());
        let timer = context.run_later(delay, Self::on_timer);
        self.armed = Some((deadline, timer));
    }

    fn on_timer(&mut self, context: &mut Context<Self>) {
        self.armed = None;
        let now = self.clock.now();
        self.turn(context, |shell| match shell.next_deadline() {
            Some(deadline) if deadline <= now => shell.on_deadline(now),
            _ => Flow::Continue,
        });
    }
}

/// This machine's name, for people.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;

    /// Writes down what happens to it.
    struct Diary {
        entries: Rc<RefCell<Vec<(Time, String)>>>,
        wake_at: Option<Time>,
    }

    impl Shell for Diary {
        type Mail = &'static str;

        fn on_mail(&mut self, now: Time, mail: &'static str) -> Flow {
            match mail {
                "panic" => panic!("asked to"),
                "end" => return Flow::End,
                "wake" => self.wake_at = Some(now + Duration::from_millis(5)),
                _ => {}
            }
            self.entries.borrow_mut().push((now, mail.to_owned()));
            Flow::Continue
        }

        fn next_deadline(&self) -> Option<Time> {
            self.wake_at
        }

        fn on_deadline(&mut self, now: Time) -> Flow {
            self.wake_at = None;
            self.entries.borrow_mut().push((now, "deadline".to_owned()));
            Flow::Continue
        }
    }

    type Entries = Rc<RefCell<Vec<(Time, String)>>>;

    /// A diary's post, its entries, and what its death said.
    fn diary() -> (Post<Diary>, Entries, Rc<RefCell<Option<String>>>) {
        let entries = Entries::default();
        let death = Rc::new(RefCell::new(None));
        let on_death = {
            let death = Rc::clone(&death);
            Box::new(move |text| *death.borrow_mut() = Some(text))
        };
        let shell = Diary { entries: Rc::clone(&entries), wake_at: None };
        (open(Clock::start(), on_death, |_| shell), entries, death)
    }

    fn paused<F: Future<Output = ()>>(future: F) {
        block_on(async {
            tokio::time::pause();
            future.await;
        });
    }

    fn texts(entries: &Entries) -> Vec<String> {
        entries.borrow().iter().map(|(_, text)| text.clone()).collect()
    }

    #[test]
    fn mail_is_taken_in_order_and_delivery_returns_after_its_turn() {
        paused(async {
            let (post, entries, _) = diary();
            post.push("a").unwrap();
            post.push("b").unwrap();
            post.deliver("c").await.unwrap();
            assert_eq!(texts(&entries), ["a", "b", "c"]);
        });
    }

    #[test]
    fn a_shell_is_woken_at_its_deadline_and_not_before() {
        paused(async {
            let (post, entries, _) = diary();
            post.deliver("wake").await.unwrap();
            tokio::time::sleep(Duration::from_millis(4)).await;
            post.deliver("early").await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
            post.deliver("late").await.unwrap();
            assert_eq!(texts(&entries), ["wake", "early", "deadline", "late"]);
        });
    }

    #[test]
    fn a_panic_is_announced_once_and_closes_the_box() {
        paused(async {
            let (post, entries, death) = diary();
            post.push("panic").unwrap();
            post.push("unread").unwrap();
            assert_eq!(post.deliver("unread").await, Err(Gone));
            assert_eq!(post.push("unread"), Err(Gone));
            assert_eq!(death.borrow_mut().take().as_deref(), Some("asked to"));
            assert!(entries.borrow().is_empty());
        });
    }

    #[test]
    fn an_actor_ends_with_its_owner_and_so_do_the_tasks_that_serve_it() {
        paused(async {
            let (post, _, death) = diary();
            let mut owner = Owner::new(post.clone());
            let held = Rc::new(());
            let served = Rc::downgrade(&held);
            owner.serve(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            post.push("a").unwrap();
            drop(owner);
            assert_eq!(post.deliver("unread").await, Err(Gone));
            tokio::task::yield_now().await;
            assert_eq!(served.strong_count(), 0);
            assert_eq!(*death.borrow(), None);
        });
    }

    #[test]
    fn a_shell_that_ends_is_not_announced_as_dead() {
        paused(async {
            let (post, _, death) = diary();
            post.deliver("end").await.unwrap();
            assert_eq!(post.deliver("unread").await, Err(Gone));
            assert_eq!(*death.borrow(), None);
        });
    }
}
