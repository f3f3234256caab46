//! The only unsafe code of this crate: what is done between fork and exec, and taking over a pipe
//! that was inherited by number.
//!
//! Called by `host::spawn`, `launch` and the process commands. It decides nothing.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};

/// Makes the child die with the thread that spawns it, and lets it inherit one pipe.
///
/// The kernel ties the death signal to the spawning *thread*: call this and spawn from the main
/// thread only. The parent keeps no end of the pipe once `command` is dropped.
pub(crate) fn die_with_parent(command: &mut Command, inherited: OwnedFd) {
    let parent = rustix::process::getpid();
    let setup = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above: then nobody will send the signal.
        if rustix::process::getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        Ok(rustix::io::fcntl_setfd(&inherited, FdFlags::empty())?)
    };
    // SAFETY: the closure runs in the child between fork and exec. It makes three system calls
    // (prctl, getppid, fcntl) through rustix, which are async-signal-safe, and it neither
    // allocates, locks nor panics; the error values are plain numbers.
    unsafe { command.pre_exec(setup) };
}

/// Gives the child a session of its own, so that it outlives the terminal, and one pipe.
pub(crate) fn detach(command: &mut Command, inherited: OwnedFd) {
    let setup = move || {
        rustix::process::setsid()?;
        Ok(rustix::io::fcntl_setfd(&inherited, FdFlags::empty())?)
    };
    // SAFETY: as above; the system calls are setsid and fcntl.
    unsafe { command.pre_exec(setup) };
}

/// Lets the child inherit one pipe and lets it live on when its parent dies.
pub(crate) fn outlive_parent(command: &mut Command, inherited: OwnedFd) {
    let setup = move || Ok(rustix::io::fcntl_setfd(&inherited, FdFlags::empty())?);
    // SAFETY: as above; the system call is fcntl.
    unsafe { command.pre_exec(setup) };
}

/// Takes over a pipe that the parent process named by its number, and keeps it from being
/// inherited further. A number that is no pipe is refused.
///
/// Call it once for a number, before the process opens pipes of its own.
pub(crate) fn inherited_pipe(number: RawFd) -> io::Result<OwnedFd> {
    let is_standard = number <= 2;
    let is_pipe = !is_standard
        && std::fs::metadata(format!("/proc/self/fd/{number}"))
            .is_ok_and(|metadata| metadata.file_type().is_fifo());
    if !is_pipe {
        let text = format!("descriptor {number} is not an inherited pipe");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: the descriptor is open (checked above) and is none of the standard streams. It was
    // inherited under a number that only this call takes over, so nothing else owns it.
    let pipe = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&pipe, FdFlags::CLOEXEC)?;
    Ok(pipe)
}

/// The number under which a child finds an inherited descriptor.
pub(crate) fn number_of(fd: &OwnedFd) -> RawFd {
    fd.as_raw_fd()
}

/// A process id as the kernel's calls take it; `None` for numbers that are none.
pub(crate) fn pid_of(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// A process id as a number for people and files.
pub(crate) fn number_of_pid(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
