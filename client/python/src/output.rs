//! Where what tasks write goes: Python's streams hand it over, and what C code and child processes
//! write to the process's own descriptors 1 and 2 is read from pipes that stand in their places.
//!
//! Used by the engine. What comes by the descriptors goes to the log too, as ever: whoever looks for
//! the last words of a process that died finds them there. It knows nothing of Python, and its thread
//! never attaches to it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use phalanx::executor::OutputSink;
use phalanx_client::protocol::output::OutputKind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::signals::spawn_masked;

/// Longest piece of output: of a text that is longer at least the beginning is kept.
const PIECE_LEN_MAX: usize = 16 << 10;

/// Pieces read from a pipe in one go: as much as a pipe holds, so that all that was written before
/// is read, and who never stops writing is left off.
const PIECES_MAX: usize = 4;

/// What the tasks of an engine write.
#[derive(Debug)]
pub(crate) struct Output {
    /// Where the running task writes. Locked for no longer than that takes.
    sink: Mutex<Option<OutputSink>>,
    taken: OnceLock<[Taken; 2]>,
    pid: u32,
}

/// A descriptor that has a pipe in its place.
#[derive(Debug)]
struct Taken {
    kind: OutputKind,
    /// What stood there before.
    log: File,
    read: OwnedFd,
    /// Open as long as the engine is, so that reading never comes to an end.
    write: OwnedFd,
}

impl Output {
    /// Of no task yet.
    pub(crate) fn new() -> Self {
        Self { sink: Mutex::default(), taken: OnceLock::new(), pid: std::process::id() }
    }

    /// Puts pipes in the place of the descriptors, until [`Self::give_back`], and reads them.
    pub(crate) fn take_descriptors(self: &Arc<Self>) -> io::Result<()> {
        let taken = [
            Taken::new(OutputKind::STDOUT, io::stdout().as_fd())?,
            Taken::new(OutputKind::STDERR, io::stderr().as_fd())?,
        ];
        if self.taken.set(taken).is_err() {
            return Ok(());
        }
        let output = Arc::clone(self);
        spawn_masked("phalanx-output", move || output.read_on())?;
        for taken in self.taken() {
            put_in_place(taken.kind, taken.write.as_fd())?;
        }
        Ok(())
    }

    /// The descriptors are what they were before.
    pub(crate) fn give_back(&self) {
        let sink = self.lock();
        for taken in self.taken() {
            // Both are open: there is nothing that could go wrong.
            let _ = put_in_place(taken.kind, taken.log.as_fd());
        }
        self.pass_on(sink.as_ref());
    }

    /// A task begins, and writes here.
    pub(crate) fn begin(&self, sink: OutputSink) {
        *self.lock() = Some(sink);
    }

    /// It has ended: what was written until now is its own, what comes later is logged.
    pub(crate) fn end(&self) {
        let mut sink = self.lock();
        self.pass_on(sink.as_ref());
        *sink = None;
    }

    /// Output of the running task; without one, what goes to a standard stream is logged.
    pub(crate) fn write(&self, kind: OutputKind, mut bytes: Bytes) {
        if std::process::id() != self.pid {
            // In a child by fork there is no engine, and who held the lock is not there: its parent
            // reads what it writes, as of any child.
            return write_plainly(kind, &bytes);
        }
        let sink = self.lock();
        // What a child wrote before is to be seen before.
        self.pass_on(sink.as_ref());
        let Some(sink) = sink.as_ref() else {
            let taken = self.taken().iter().find(|taken| taken.kind == kind);
            return taken.map_or_else(|| write_plainly(kind, &bytes), |taken| taken.log(&bytes));
        };
        // What is too much is dropped by the piece, so pieces are small.
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_LEN_MAX));
            sink.write(kind, piece);
        }
    }

    /// The thread that reads what is written while the main thread does other things.
    fn read_on(&self) {
        loop {
            match self.wait(None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return tracing::error!(%error, "output of child processes is lost"),
            }
            let sink = self.lock();
            self.pass_on(sink.as_ref());
        }
    }

    /// Passes on what has been written to the descriptors by now.
    fn pass_on(&self, sink: Option<&OutputSink>) {
        if matches!(self.wait(Some(&Timespec::default())), Ok(1..)) {
            for taken in self.taken() {
                taken.pass_on(sink);
            }
        }
    }

    /// Waits until something is written to a descriptor; how many have something.
    fn wait(&self, at_most: Option<&Timespec>) -> rustix::io::Result<usize> {
        let [stdout, stderr] = self.taken() else {
            return Ok(0);
        };
        let ready = |taken| PollFd::new(taken, PollFlags::IN);
        poll(&mut [ready(&stdout.read), ready(&stderr.read)], at_most)
    }

    fn taken(&self) -> &[Taken] {
        self.taken.get().map_or(&[], |taken| taken)
    }

    fn lock(&self) -> MutexGuard<'_, Option<OutputSink>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn new(kind: OutputKind, before: BorrowedFd<'_>) -> io::Result<Self> {
        let log = File::from(before.try_clone_to_owned()?);
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&read, OFlags::NONBLOCK)?;
        Ok(Self { kind, log, read, write })
    }

    fn pass_on(&self, sink: Option<&OutputSink>) {
        let mut piece = [0; PIECE_LEN_MAX];
        for _ in 0..PIECES_MAX {
            let Ok(len @ 1..) = rustix::io::read(&self.read, &mut piece) else {
                return;
            };
            let bytes = piece.get(..len).unwrap_or_default();
            self.log(bytes);
            if let Some(sink) = sink {
                sink.write(self.kind, Bytes::copy_from_slice(bytes));
            }
        }
    }

    fn log(&self, bytes: &[u8]) {
        // A log that cannot be written is no reason for a task to fail.
        let _ = (&self.log).write_all(bytes);
    }
}

/// Has a standard descriptor be the same as another one.
fn put_in_place(kind: OutputKind, other: BorrowedFd<'_>) -> io::Result<()> {
    Ok(if kind == OutputKind::STDOUT { dup2_stdout(other) } else { dup2_stderr(other) }?)
}

/// Writes to whatever the process has for this stream.
fn write_plainly(kind: OutputKind, bytes: &[u8]) {
    // There is nobody to be told that it does not go.
    let _ = match kind {
        OutputKind::STDOUT => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        OutputKind::STDERR => io::stderr().write_all(bytes),
        _ => Ok(()),
    };
}
