//! Busy polling: while its mail comes thick and fast, the hub's thread looks for more instead of
//! going to sleep in between, because waking a processor up costs more than what is waited for.
//!
//! On a virtual machine of two processors a wake-up takes 30 to 150 us, and a call one at a time has
//! four of them; a hub that polls saves two (p50 of a no-op from Python: 540-800 us without, 410-660
//! with, in alternation, on a slow day). As the kernel's halt polling does
//! (`Documentation/virt/kvm/halt-polling.rst`), it learns from the waits before: it polls only while
//! they are short in the mean. What the kernel does not look at is looked at here: a thread that had
//! to wait for its processor takes it from somebody; and if what it polls for does not come, whoever
//! is to send it may be waiting for this processor. Either way it stops polling for a while. So an
//! idle hub sleeps, and so does one beside tasks that need every processor.
//!
//! For the hub, which is at the end of each hop. Peers do not poll: there may be as many of them as
//! processors, and tasks run in them.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a wait is polled through, unless the hub's owner says otherwise: more than a no-op takes
/// from the hub to an engine and back, or to a client and back, also where everything sleeps.
pub(crate) const BUSY_POLL_MAX: Duration = Duration::from_micros(500);

/// What is over sooner was no wait: mail between rooms.
const WAIT_MIN: Duration = Duration::from_micros(5);

/// A wait counts in the mean as at most so many times what is polled through: so that a pause is
/// forgotten soon, and a few messages round a task that takes long do not hide how long that took.
const WAIT_COUNTED_MAX: u32 = 4;

/// One part in so many of the mean is the last wait.
const MEAN_OVER: u32 = 16;

/// How often a polling thread asks how long it waited for its processor.
const CONTENTION_CHECKED_AFTER: Duration = Duration::from_millis(20);

/// It is in somebody's way if it waited for more than one part in so many of that time.
const CONTENTION_SHARE: u32 = 4;

/// A wait that was polled through in vain counts as much as so many that were not.
const MISS_WEIGHT: u32 = 4;

/// So many misses in a row are too many, and so is one in less than five waits for long.
const MISSES_MAX: u32 = 3;

/// How long it stays out of the way then: it may have been chance.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Each time in a row it stays away for twice as long, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Counts the hub's turns for whoever waits for one. On the hub's thread.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    count: Cell<u64>,
    more: Notify,
    /// How many waits ended while they were polled through.
    #[cfg(test)]
    polled: Cell<u64>,
}

impl Turns {
    /// A turn begins.
    pub(crate) fn note(&self) {
        self.count.set(self.count.get() + 1);
        self.more.notify_one();
    }

    /// Polls between turns where that pays, for as long as this is run.
    pub(crate) async fn busy_poll(&self, at_most: Duration) {
        if at_most.is_zero() {
            return;
        }
        let Some(mut delay) = RunDelay::open() else {
            tracing::debug!("no account of waits for the processor: no busy polling");
            return;
        };
        let mut policy = Policy::new(at_most);
        loop {
            let (seen, began) = (self.count.get(), Instant::now());
            if let Some(pause) = policy.pause_left(began) {
                // Nor does it look at each turn meanwhile: that would take a twentieth of the time
                // that a call takes here.
                tokio::time::sleep(pause).await;
                continue;
            }
            if policy.polls(began) && delay.is_due(began) {
                policy.note_delay(began, delay.since_last(began));
            }
            if policy.polls(began) {
                while self.count.get() == seen && began.elapsed() < at_most {
                    tokio::task::yield_now().await;
                }
                let has_come = self.count.get() != seen;
                policy.note_poll(Instant::now(), has_come);
                #[cfg(test)]
                self.polled.set(self.polled.get() + u64::from(has_come));
            }
            while self.count.get() == seen {
                self.more.notified().await;
            }
            policy.note_wait(began.elapsed());
        }
    }
}

/// Whether to poll, from what was seen before.
#[derive(Debug)]
struct Policy {
    at_most: Duration,
    /// Of the waits before, the later ones counting more.
    mean_wait: Duration,
    /// Somebody else needs the processor until then.
    paused_until: Option<Instant>,
    /// How long the next pause is.
    pause: Duration,
    /// Waits that were polled through in vain, weighed against those that were not.
    misses: u32,
}

impl Policy {
    fn new(at_most: Duration) -> Self {
        let mean_wait = at_most * WAIT_COUNTED_MAX;
        Self { at_most, mean_wait, paused_until: None, pause: PAUSE_MIN, misses: 0 }
    }

    /// How long it is to stay out of the way from now on, if at all.
    fn pause_left(&self, now: Instant) -> Option<Duration> {
        let left = self.paused_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Whether to poll through the wait that begins now.
    fn polls(&self, now: Instant) -> bool {
        self.mean_wait < self.at_most && self.pause_left(now).is_none()
    }

    /// A wait is over.
    fn note_wait(&mut self, waited: Duration) {
        if waited >= WAIT_MIN {
            let counted = waited.min(self.at_most * WAIT_COUNTED_MAX);
            self.mean_wait = (self.mean_wait * (MEAN_OVER - 1) + counted) / MEAN_OVER;
        }
    }

    /// Of so much time the thread spent so much waiting for its processor.
    fn note_delay(&mut self, now: Instant, Delay { passed, delayed }: Delay) {
        if passed >= PAUSE_MIN {
            // It has not polled all the time, and was not in anybody's way for the rest of it.
        } else if delayed * CONTENTION_SHARE > passed {
            self.stay_away(now);
        } else {
            self.pause = PAUSE_MIN;
        }
    }

    /// A wait was polled through: until what it was for came, or in vain.
    fn note_poll(&mut self, now: Instant, has_come: bool) {
        if has_come {
            self.misses = self.misses.saturating_sub(1);
            return;
        }
        self.misses += MISS_WEIGHT;
        if self.misses > (MISSES_MAX - 1) * MISS_WEIGHT {
            self.misses = 0;
            self.stay_away(now);
        }
    }

    fn stay_away(&mut self, now: Instant) {
        self.paused_until = Some(now + self.pause);
        self.pause = PAUSE_MAX.min(2 * self.pause);
    }
}

/// How long a thread was ready to run while its processor was with others.
#[derive(Debug, Clone, Copy)]
struct Delay {
    passed: Duration,
    delayed: Duration,
}

/// The kernel's account of that for the thread that opened it.
#[derive(Debug)]
struct RunDelay {
    file: File,
    last: Option<(Instant, Duration)>,
}

impl RunDelay {
    /// `None` where the kernel keeps no such account.
    fn open() -> Option<Self> {
        let file = File::open("/proc/thread-self/schedstat").ok()?;
        let delay = Self { file, last: None };
        delay.read().is_some().then_some(delay)
    }

    /// Whether it is time to ask again.
    fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|(at, _)| now.duration_since(at) >= CONTENTION_CHECKED_AFTER)
    }

    /// Since it was asked last. What cannot be read any more counts as no delay.
    fn since_last(&mut self, now: Instant) -> Delay {
        let delayed = self.read().unwrap_or_default();
        let (at, before) = self.last.replace((now, delayed)).unwrap_or((now, delayed));
        Delay { passed: now.duration_since(at), delayed: delayed.saturating_sub(before) }
    }

    /// The second number: nanoseconds on a run queue (`Documentation/scheduler/sched-stats.rst`).
    fn read(&self) -> Option<Duration> {
        let mut text = [0; 64];
        let len = self.file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..len]).ok()?;
        text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::rc::Rc;

    use super::*;

    const SHORT: Duration = Duration::from_micros(50);
    const LONG: Duration = Duration::from_millis(10);

    fn after(waits: impl IntoIterator<Item = Duration>) -> Policy {
        let mut policy = Policy::new(BUSY_POLL_MAX);
        waits.into_iter().for_each(|wait| policy.note_wait(wait));
        policy
    }

    fn times(waits: &[Duration], count: usize) -> impl Iterator<Item = Duration> {
        waits.iter().copied().cycle().take(count * waits.len())
    }

    #[test]
    fn it_polls_once_waits_are_short() {
        let now = Instant::now();
        assert!(!after([]).polls(now));
        assert!(!after(times(&[SHORT], 10)).polls(now));
        assert!(after(times(&[SHORT], 30)).polls(now));
        assert!(!after(times(&[BUSY_POLL_MAX], 1_000)).polls(now), "no shorter than it polls");
        assert!(after(times(&[SHORT, BUSY_POLL_MAX], 100)).polls(now), "short in the mean");
    }

    #[test]
    fn it_stops_soon_after_waits_are_long() {
        let now = Instant::now();
        assert!(after(times(&[SHORT], 100).chain([LONG])).polls(now), "one may be chance");
        assert!(!after(times(&[SHORT], 100).chain(times(&[LONG], 5))).polls(now));
        let much_later = after(times(&[SHORT], 100).chain([1_000 * LONG]));
        assert_eq!(much_later.mean_wait, after(times(&[SHORT], 100).chain([LONG])).mean_wait);
    }

    #[test]
    fn a_long_task_counts_for_more_than_the_few_messages_that_it_brings() {
        let now = Instant::now();
        assert!(!after(times(&[LONG, SHORT, SHORT], 1_000)).polls(now));
    }

    #[test]
    fn mail_between_rooms_is_no_wait() {
        let instant = Duration::from_micros(1);
        let now = Instant::now();
        assert!(!after(times(&[instant], 1_000)).polls(now));
        assert!(!after(times(&[LONG], 100).chain(times(&[instant], 1_000))).polls(now));
    }

    #[test]
    fn who_has_to_wait_for_the_processor_leaves_it_to_others_for_a_while() {
        let now = Instant::now();
        let passed = Duration::from_millis(10);
        let mut policy = after(times(&[SHORT], 100));
        policy.note_delay(now, Delay { passed, delayed: passed / CONTENTION_SHARE });
        assert!(policy.polls(now));
        let delayed = passed / CONTENTION_SHARE + Duration::from_micros(1);
        policy.note_delay(now, Delay { passed, delayed });
        assert!(!policy.polls(now));
        assert!(!policy.polls(now + PAUSE_MIN - SHORT));
        assert_eq!(policy.pause_left(now + PAUSE_MIN - SHORT), Some(SHORT));
        assert!(policy.polls(now + PAUSE_MIN));
        assert_eq!(policy.pause_left(now + PAUSE_MIN), None);
    }

    #[test]
    fn whoever_is_in_the_way_again_and_again_stays_away_for_longer() {
        let (mut policy, mut now) = (after(times(&[SHORT], 100)), Instant::now());
        let passed = Duration::from_millis(20);
        let pauses = (0..6).map(|_| {
            policy.note_delay(now, Delay { passed, delayed: passed });
            let before = std::mem::replace(&mut now, policy.paused_until.expect("it is paused"));
            now.duration_since(before).as_millis()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [100, 200, 400, 800, 1_600, 2_000]);
        policy.note_delay(now, Delay { passed: PAUSE_MAX, delayed: Duration::ZERO });
        assert_eq!(policy.pause, PAUSE_MAX, "a pause in between says nothing");
        policy.note_delay(now, Delay { passed, delayed: Duration::ZERO });
        policy.note_delay(now, Delay { passed, delayed: passed });
        assert_eq!(policy.paused_until, Some(now + PAUSE_MIN), "it was alone in between");
    }

    #[test]
    fn who_polls_in_vain_too_often_stops_for_a_while() {
        let (now, fresh) = (Instant::now(), || after(times(&[SHORT], 100)));
        let polled = |hits: &[bool]| {
            let mut policy = fresh();
            hits.iter().for_each(|hit| policy.note_poll(now, *hit));
            policy
        };
        assert!(polled(&[false, false]).polls(now));
        let stopped = polled(&[false, false, false]);
        assert!(!stopped.polls(now) && stopped.polls(now + PAUSE_MIN));
        assert_eq!(stopped.misses, 0, "then it begins anew");
        assert!(!polled(&[true, false, false].repeat(5)).polls(now));
        let rarely = [true, true, true, true, true, false].repeat(100);
        assert!(polled(&rarely).polls(now));
        assert!(!polled(&[rarely, vec![false; 3]].concat()).polls(now));
    }

    #[test]
    fn the_kernel_says_how_long_a_thread_waited_for_its_processor() {
        let mut delay = RunDelay::open().expect("Linux keeps it");
        let now = Instant::now();
        assert!(delay.is_due(now));
        let Delay { passed, delayed } = delay.since_last(now);
        assert_eq!((passed, delayed), (Duration::ZERO, Duration::ZERO), "nothing was asked before");
        assert!(!delay.is_due(now) && delay.is_due(now + CONTENTION_CHECKED_AFTER));
        let Delay { passed, .. } = delay.since_last(now + SHORT);
        assert_eq!(passed, SHORT);
    }

    /// Whoever polls lets everything else on its thread run, and hears of what comes from outside.
    #[test]
    fn what_comes_soon_is_polled_for() {
        crate::rt::block_on(async {
            let turns = Rc::new(Turns::default());
            let polled = Rc::clone(&turns);
            // Long, so that a slow machine does not matter.
            let at_most = Duration::from_secs(1);
            let polling = crate::rt::spawn(async move { polled.busy_poll(at_most).await });
            let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
            let echo = std::thread::spawn(move || {
                let mut byte = [0];
                while theirs.recv(&mut byte).is_ok_and(|len| len > 0) {
                    std::thread::sleep(10 * WAIT_MIN);
                    theirs.send(&byte).expect("the other end is there");
                }
            });
            ours.set_nonblocking(true).expect("a socket can");
            let ours = tokio::net::UnixDatagram::from_std(ours).expect("inside a runtime");
            for _ in 0..10 * MEAN_OVER {
                ours.send(&[1]).await.expect("the other end is there");
                ours.recv(&mut [0]).await.expect("it answers");
                turns.note();
            }
            // Polling may have been stopped by others who need this processor, but not before it began.
            assert!(turns.polled.get() > 0);
            polling.abort();
            assert!(polling.await.expect_err("it never ends by itself").is_cancelled());
            ours.send(&[]).await.expect("the other end is there");
            echo.join().expect("it ends when it is told");
        });
    }
}
