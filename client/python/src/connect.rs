//! Connecting a client, and closing those that are left when the interpreter ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use phalanx::cluster_dir::{ClusterDir, Liveness};
use phalanx_client::blocking::{Client, ClientBuilder};
use phalanx_client::{ConnectError, ConnectionFile};
use pyo3::prelude::*;

use crate::client::NativeClient;
use crate::errors;
use crate::signals::{masked, spawn_masked};
use crate::wait::{Deadline, SLICE};

/// Pause between two attempts to connect: the hub may be starting.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// The clients of this process, to be closed when the interpreter ends. Taken only with the GIL
/// held, and never while giving it up: so it is free in a forked child.
static CLIENTS: Mutex<Vec<(u32, Weak<Client>)>> = Mutex::new(Vec::new());

/// How long the interpreter's end waits, in all, until hubs have recorded what was submitted.
const END_MAX: Duration = Duration::from_secs(2);

fn register(client: Client) -> NativeClient {
    let client = Arc::new(client);
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    // Of another process even a weak one must not be dropped last.
    clients.retain(|(owner, client)| *owner != pid || client.strong_count() > 0);
    clients.push((pid, Arc::downgrade(&client)));
    NativeClient::new(client)
}

/// Has what was submitted sent before the interpreter ends: its open tasks go on.
pub(crate) fn end(py: Python<'_>) {
    let clients = std::mem::take(&mut *CLIENTS.lock().unwrap_or_else(PoisonError::into_inner));
    let pid = std::process::id();
    let own = clients.iter().filter(|(owner, _)| *owner == pid);
    let open: Vec<Arc<Client>> = own.filter_map(|(_, client)| client.upgrade()).collect();
    std::mem::forget(clients);
    py.detach(|| {
        let until = Instant::now() + END_MAX;
        for client in &open {
            let left = until.saturating_duration_since(Instant::now());
            // Whatever is not recorded by then is lost with the process.
            let client = client.as_async();
            let _ = client.waiter().wait_at_most(client.close(), left);
        }
    });
}

/// Connects with a client's connection file.
#[pyfunction]
pub(crate) fn connect(
    py: Python<'_>,
    path: PathBuf,
    name: String,
    timeout: f64,
) -> PyResult<NativeClient> {
    let deadline = Deadline::after(Some(timeout))?;
    let until = Instant::now() + Duration::try_from_secs_f64(timeout.max(0.0)).unwrap_or_default();
    let file = ConnectionFile::load(&path).map_err(|error| errors::file_error(&error))?;
    let timed_out = |why: &str| {
        let path = path.display();
        errors::timed_out(format!("no session with the hub of {path} in {timeout} s: {why}"))
    };
    let is_wanted = Arc::new(AtomicBool::new(true));
    let (sender, mut receiver) = sync_channel(1);
    let attempts =
        Attempts { path: path.clone(), file, name, until, is_wanted: Arc::clone(&is_wanted) };
    // A thread of its own, so that Ctrl-C need not wait for the network.
    spawn_masked("phalanx-connect", move || attempts.run(&sender))?;
    loop {
        let received = py.detach(|| {
            // By a unique reference: a receiver is not for two threads.
            let receiver = &mut receiver;
            receiver.recv_timeout(SLICE)
        });
        match received {
            Ok(Ok(client)) => return Ok(register(client)),
            Ok(Err(error)) if deadline.slice().is_none() && error.is_retryable() => {
                return Err(timed_out(&errors::chain(&error)));
            }
            Ok(Err(error)) => return Err(errors::connect_error(&error)),
            // The attempt that goes on ends by itself, and is for nobody.
            Err(RecvTimeoutError::Timeout) if deadline.slice().is_none() => {
                is_wanted.store(false, Ordering::Relaxed);
                return Err(timed_out("it has not answered"));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(errors::ConnectError::new_err("the connecting thread panicked"));
            }
        }
        if let Err(interrupted) = py.check_signals() {
            is_wanted.store(false, Ordering::Relaxed);
            return Err(interrupted);
        }
    }
}

/// Attempts to connect, until one works, none can, or nobody wants any more.
struct Attempts {
    path: PathBuf,
    file: ConnectionFile,
    name: String,
    until: Instant,
    is_wanted: Arc<AtomicBool>,
}

impl Attempts {
    /// A client of a cluster of this machine need not wait for a hub that nobody will start again.
    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder().name(self.name.clone());
        let Some(dir) = ClusterDir::running_around(&self.path) else { return builder };
        builder
            .as_long_as(move || !matches!(dir.liveness(), Ok(Liveness::Absent | Liveness::Stale)))
    }

    fn run(self, result: &SyncSender<Result<Client, ConnectError>>) {
        loop {
            let builder = self.builder();
            // The client's own thread inherits the mask of this one.
            let connected = masked(|| builder.connect(&self.file));
            let is_over = match &connected {
                Ok(_) => true,
                Err(error) => !error.is_retryable() || Instant::now() >= self.until,
            };
            if is_over {
                // Who is not wanted any more is dropped, and leaves.
                let _ = result.send(connected);
                return;
            }
            if !self.is_wanted.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
    }
}
