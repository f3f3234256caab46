//! The shell of the engine room: turns mail into events, effects into sends, and starts what is to
//! run. What runs when, and what the hub is told, is decided by [`phalanx_core::engine`].

use std::collections::VecDeque;
use std::time::Duration;

use phalanx_core::engine::{EngineEffect, EngineEvent, EngineRoom};
use phalanx_core::{Room, Time};
use phalanx_protocol::engine::{EngineLeave, EngineToHub, HubToEngine};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::limits::STARTED_AFTER;
use phalanx_protocol::peer::EngineProfile;
use phalanx_transport::{CloseReason, Incoming, SessionSender};
use tokio::sync::mpsc;

use super::serve::OnRegistered;
use super::{EngineEnd, EngineError};
use crate::executor::native::wall_clock_us;
use crate::executor::{Executor, Finished, Finisher, Start, Written};
use crate::link::{Linked, shut_down};
use crate::peer::{EngineStatement, engine_event, engine_statement};
use crate::rt::{self, Clock, Flow, Post, Shell};
use crate::sessions::{send, send_if_idle};
use crate::task_span::attempt_span;

/// How long a turn may go on starting what is over at once, before the session is looked at again:
/// an abort waits no longer. A few hundred no-op tasks fit.
const TURN_MAX: Duration = Duration::from_millis(1);

/// What the engine's actor is told.
#[derive(Debug)]
pub(super) enum EngineMail {
    Opened(SessionSender<EngineToHub>),
    Batch(Vec<Incoming<HubToEngine>>),
    /// The session is over; what the hub said, if it was asked to stop.
    Closed {
        shut_down: Option<String>,
    },
    CutOff(String),
    /// Running attempts wrote something.
    Wrote,
    Finished(Vec<Finished>),
    End(String),
    /// A turn that had become too long goes on.
    Continue,
}

/// What is left when the engine has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) why: Result<EngineEnd, EngineError>,
    /// Whether there is a session, which is closing.
    pub(super) says_goodbye: bool,
}

/// The engine's actor.
pub(super) struct EngineShell {
    post: Post<Self>,
    clock: Clock,
    room: EngineRoom,
    executor: Box<dyn Executor>,
    finisher: Finisher,
    session: Option<SessionSender<EngineToHub>>,
    /// What the room said at once; emptied at once.
    effects: Vec<EngineEffect>,
    /// What is to be done, in order.
    pending: VecDeque<EngineEffect>,
    /// Whether [`EngineMail::Continue`] is on its way.
    paused: bool,
    ended: mpsc::Sender<Ended>,
    /// Who is still to be told that the engine takes tasks.
    on_registered: Option<OnRegistered>,
    /// Whether it ends with a hub that was asked to stop.
    ends_with_hub: bool,
}

impl EngineShell {
    pub(super) fn new(
        post: Post<Self>,
        clock: Clock,
        profile: EngineProfile,
        executor: Box<dyn Executor>,
        finisher: Finisher,
        ended: mpsc::Sender<Ended>,
    ) -> Self {
        Self {
            post,
            clock,
            room: EngineRoom::new(profile).starting_ahead(executor.ahead()),
            executor,
            finisher,
            session: None,
            effects: Vec::new(),
            pending: VecDeque::new(),
            paused: false,
            ended,
            on_registered: None,
            ends_with_hub: true,
        }
    }

    /// Has this told once, when the hub has registered the engine.
    pub(super) fn telling(mut self, on_registered: Option<OnRegistered>) -> Self {
        self.on_registered = on_registered;
        self
    }

    /// Has it wait for another hub also after one that was asked to stop.
    pub(super) fn kept_by_host(mut self, kept: bool) -> Self {
        self.ends_with_hub = !kept;
        self
    }

    fn on_event(&mut self, now: Time, event: EngineEvent) {
        self.room.handle(now, event, &mut self.effects);
        self.pending.extend(self.effects.drain(..));
    }

    fn on_finished(&mut self, now: Time, finished: Finished) {
        // What it wrote came before its end.
        self.collect_output(now);
        let Finished { attempt, outcome, times, payload } = finished;
        let span = attempt_span(attempt);
        span.in_scope(|| tracing::debug!(ran_ns = times.ran_ns, ?outcome, "ended"));
        self.on_event(now, EngineEvent::Ran { attempt, outcome, times, payload });
    }

    /// Takes what running attempts have written since.
    fn collect_output(&mut self, now: Time) {
        if !self.finisher.has_output() {
            return;
        }
        for (attempt, Written { chunks, lost, .. }) in self.finisher.take_output() {
            self.on_event(now, EngineEvent::Wrote { attempt, chunks, lost });
        }
    }

    fn on_batch(&mut self, now: Time, batch: Vec<Incoming<HubToEngine>>) {
        for item in batch {
            let event = match item {
                Incoming::Message(message) => engine_event(message),
                Incoming::Payload { ticket, bytes } => EngineEvent::PayloadArrived(ticket, bytes),
            };
            self.on_event(now, event);
        }
        if self.on_registered.is_some()
            && let Some(place) = self.room.registration()
            && let Some(tell) = self.on_registered.take()
        {
            tell(place);
        }
    }

    /// Does what is to be done, and what follows from it, for as long as a turn may last.
    fn finish_turn(&mut self, started: Time) -> Flow {
        self.room.settle(started, &mut self.effects);
        self.pending.extend(self.effects.drain(..));
        while let Some(effect) = self.pending.pop_front() {
            match engine_statement(effect, |_| started_us()) {
                EngineStatement::Say(message @ EngineToHub::Output(_)) => {
                    if let Some(session) = &self.session {
                        send_if_idle(session, message);
                    }
                }
                EngineStatement::Say(message) => self.say(message),
                EngineStatement::Start { attempt, method, payload, function } => {
                    let engine = self.room.registration().map(|place| place.engine);
                    let engine = engine.unwrap_or_default();
                    let finished = attempt_span(attempt).in_scope(|| {
                        tracing::debug!(%engine, %method, "started");
                        let start = Start { attempt, engine, method, payload, function };
                        self.executor.start(start, &self.finisher)
                    });
                    if let Some(finished) = finished {
                        let now = self.clock.now();
                        self.on_finished(now, finished);
                        if now.since(started) > TURN_MAX {
                            return self.pause();
                        }
                    }
                }
                EngineStatement::Interrupt(attempt) => {
                    self.executor.interrupt(attempt, &self.finisher);
                }
                EngineStatement::Withdraw(attempt) => {
                    let withdrew = self.executor.withdraw(attempt);
                    let now = self.clock.now();
                    self.on_event(now, EngineEvent::Withdrew(attempt, withdrew));
                }
                EngineStatement::Reconnect => {
                    if let Some(session) = &self.session {
                        session.close(ErrorCode::Malformed, "the hub broke the conversation");
                    }
                }
                EngineStatement::End(goodbye) => return self.end(goodbye),
            }
        }
        Flow::Continue
    }

    fn say(&self, message: EngineToHub) {
        // Without a session it is said again when there is one: the room keeps what matters.
        if let Some(session) = &self.session {
            send(session, message);
        }
    }

    /// Lets everybody else on the arbiter have their turn first.
    fn pause(&mut self) -> Flow {
        if std::mem::replace(&mut self.paused, true) {
            return Flow::Continue;
        }
        let post = self.post.clone();
        drop(rt::spawn(async move {
            // An engine that has ended has nothing left to do.
            let _ = post.push(EngineMail::Continue);
        }));
        Flow::Continue
    }

    fn end(&mut self, goodbye: EngineToHub) -> Flow {
        let reason = match &goodbye {
            EngineToHub::Leave(EngineLeave { reason }) => reason.clone(),
            _ => String::new(),
        };
        self.say(goodbye);
        if let Some(session) = &self.session {
            session.close(ErrorCode::Closed, "the engine ends");
        }
        self.tell_end(Ok(EngineEnd { reason }))
    }

    fn tell_end(&mut self, why: Result<EngineEnd, EngineError>) -> Flow {
        // Full: it has ended before.
        let _ = self.ended.try_send(Ended { why, says_goodbye: self.session.is_some() });
        Flow::End
    }
}

impl Shell for EngineShell {
    type Mail = EngineMail;

    fn on_mail(&mut self, now: Time, mail: EngineMail) -> Flow {
        match mail {
            EngineMail::Batch(batch) => self.on_batch(now, batch),
            EngineMail::Finished(batch) => {
                for finished in batch {
                    self.executor.on_finished(finished.attempt);
                    self.on_finished(now, finished);
                }
            }
            EngineMail::Wrote => self.collect_output(now),
            EngineMail::Continue => self.paused = false,
            EngineMail::Opened(session) => {
                self.session = Some(session);
                self.on_event(now, EngineEvent::SessionOpened);
            }
            EngineMail::Closed { shut_down } => {
                self.session = None;
                self.on_event(now, EngineEvent::SessionClosed);
                if let Some(reason) = shut_down.filter(|_| self.ends_with_hub) {
                    self.on_event(now, EngineEvent::EndRequested(reason));
                }
            }
            EngineMail::CutOff(message) => {
                return self.tell_end(Err(EngineError::CutOff { message }));
            }
            EngineMail::End(reason) => self.on_event(now, EngineEvent::EndRequested(reason)),
        }
        self.finish_turn(now)
    }

    fn next_deadline(&self) -> Option<Time> {
        self.room.next_deadline()
    }

    fn on_deadline(&mut self, now: Time) -> Flow {
        self.room.on_deadline(now, &mut self.effects);
        self.pending.extend(self.effects.drain(..));
        self.finish_turn(now)
    }
}

impl Linked<EngineToHub> for EngineShell {
    fn opened(sender: SessionSender<EngineToHub>) -> EngineMail {
        EngineMail::Opened(sender)
    }

    fn batch(batch: Vec<Incoming<HubToEngine>>) -> EngineMail {
        EngineMail::Batch(batch)
    }

    fn closed(reason: &CloseReason) -> EngineMail {
        let shut_down = shut_down(reason).map(|detail| format!("the hub has stopped: {detail}"));
        EngineMail::Closed { shut_down }
    }

    fn cut_off(message: String) -> EngineMail {
        EngineMail::CutOff(message)
    }
}

/// When an attempt started of which the room says just now that it has been running for
/// [`STARTED_AFTER`].
fn started_us() -> u64 {
    wall_clock_us().saturating_sub(STARTED_AFTER.as_micros() as u64)
}
