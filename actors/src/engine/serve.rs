//! Runs one engine on the current arbiter: opens its actor, keeps its link, passes on what its
//! executor finishes, and waits for the end.

use phalanx_protocol::engine::EngineToHub;
use phalanx_protocol::limits::{CLOSE_DEADLINE, SLOTS_PER_ENGINE_MAX};
use phalanx_protocol::needs::Resource;
use phalanx_protocol::peer::{EngineProfile, Registration};
use tokio::sync::mpsc;

use super::shell::{Ended, EngineMail, EngineShell};
use super::{EngineEnd, EngineError};
use crate::executor::{Executor, Finished, Finisher};
use crate::link::{Connect, keep_linked};
use crate::rt::{self, Clock, Owner, Post, Task};

/// Makes the executor on the engine's own thread.
pub(super) type MakeExecutor = Box<dyn FnOnce() -> Box<dyn Executor> + Send>;

/// Is told once that the engine takes tasks.
pub(super) type OnRegistered = Box<dyn FnOnce(Registration) + Send>;

/// All that an engine needs before it has a thread.
pub(super) struct Ready {
    pub(super) name: Option<String>,
    pub(super) slots: u32,
    pub(super) labels: Vec<String>,
    pub(super) resources: Vec<Resource>,
    pub(super) executor: MakeExecutor,
    pub(super) on_registered: Option<OnRegistered>,
    pub(super) kept_by_host: bool,
}

/// Runs the engine until it has ended.
pub(super) async fn serve(
    ready: Ready,
    connect: impl Connect<EngineToHub>,
    stop: mpsc::Receiver<String>,
) -> Result<EngineEnd, EngineError> {
    let Ready { name, slots, labels, resources, executor, on_registered, kept_by_host } = ready;
    let executor = executor();
    let profile = EngineProfile {
        name,
        kind: executor.kind().to_owned(),
        host: rt::host_name(),
        pid: std::process::id(),
        instance: fastrand::u64(..),
        slots,
        methods: executor.methods(),
        labels,
        resources,
    };
    let clock = Clock::start();
    // Two reasons to end at most: its own decision, and a panic on the way there.
    let (ended, mut end) = mpsc::channel(2);
    let (finisher, finished) = Finisher::new();
    let on_death = {
        let ended = ended.clone();
        Box::new(move |message| {
            let why = Err(EngineError::Panicked { message });
            // Full: it has ended before.
            let _ = ended.try_send(Ended { why, says_goodbye: false });
        })
    };
    let written = finisher.clone();
    let post = rt::open(clock, on_death, |post| {
        EngineShell::new(post, clock, profile, executor, finisher, ended)
            .telling(on_registered)
            .kept_by_host(kept_by_host)
    });
    let mut owner = Owner::new(post.clone());
    let link = Task::spawn(keep_linked(post.clone(), connect));
    owner.serve(pass_answers(post.clone(), finished));
    owner.serve(pass_output(post.clone(), written));
    owner.serve(pass_stop(post, stop));
    // The shell holds a sender until it has told its end.
    let ended = end.recv().await;
    drop(owner);
    let Some(Ended { why, says_goodbye }) = ended else {
        return Err(EngineError::Panicked { message: "it ended without a word".to_owned() });
    };
    if says_goodbye {
        // The goodbye has its own deadlines; this one is for when they are missed.
        link.finish(3 * CLOSE_DEADLINE).await;
    }
    why
}

/// Posts what the executor finishes, as much at a time as there is.
async fn pass_answers(post: Post<EngineShell>, mut finished: mpsc::UnboundedReceiver<Finished>) {
    let mut batch: Vec<Finished> = Vec::new();
    while finished.recv_many(&mut batch, SLOTS_PER_ENGINE_MAX as usize).await > 0 {
        let mail = EngineMail::Finished(std::mem::take(&mut batch));
        if post.deliver(mail).await.is_err() {
            return;
        }
    }
}

/// Tells the engine when attempts have written something: once for all of it.
async fn pass_output(post: Post<EngineShell>, finisher: Finisher) {
    loop {
        finisher.output_written().await;
        if post.deliver(EngineMail::Wrote).await.is_err() {
            return;
        }
    }
}

/// Passes on that the owner wants the engine to end.
async fn pass_stop(post: Post<EngineShell>, mut stop: mpsc::Receiver<String>) {
    if let Some(reason) = stop.recv().await {
        // One that has ended needs no telling.
        let _ = post.deliver(EngineMail::End(reason)).await;
    }
}
