//! The host's control socket: whoever may enter the cluster's directory asks it here for more
//! engines, or to stop, restart or signal some.
//!
//! One line of JSON in, one line out, then the connection is over. Tasks here only read, and hand
//! the wish to the main loop; what becomes of it is decided there. It carries no secret and no
//! credential: the directory is private, and the kernel tells who is at the other end.
//!
//! ```text
//! {"add": {"count": 2}}                                   {"engines": ["host/4", "host/5"]}
//! {"stop": {"engines": ["host/4"]}}                       {"engines": ["host/4"]}
//! {"restart": {"engines": ["host/5"]}}                    {"engines": ["host/5"]}
//! {"signal": {"engines": ["host/5"], "signal": 2}}        {"engines": ["host/5"]}
//! anything else                                           {"error": "why"}
//! ```

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;

use crate::limits;

/// The socket's name in the cluster's directory.
pub const SOCKET_FILE: &str = "host.sock";

/// As all files of a cluster; the directory has kept others out before this was said.
const SOCKET_MODE: u32 = 0o600;

/// What somebody wants of the host. Engines are named by their stable names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum ControlWish {
    /// More engines, as those of the start.
    Add { count: u32 },
    /// These shall end and not come back.
    Stop { engines: Vec<String> },
    /// These shall end and be started again.
    Restart { engines: Vec<String> },
    /// These shall get a signal.
    Signal { engines: Vec<String>, signal: i32 },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ControlAnswer {
    /// It is being done, to these engines.
    Engines(Vec<String>),
    /// Nothing was done, and why.
    Error(String),
}

/// A wish, and who waits for its answer.
pub(super) type Asked = (ControlWish, oneshot::Sender<ControlAnswer>);

/// The socket, as long as the host lives.
#[derive(Debug)]
pub(super) struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens in the cluster's directory, with tasks on the current runtime; `ask` hands a wish to
    /// the main loop, if that has room.
    pub(super) fn start(
        dir: &Path,
        ask: impl Fn(Asked) -> bool + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let path = dir.join(SOCKET_FILE);
        // An address of a socket is short; by way of an open directory it names any path.
        let open = File::open(dir)?;
        let address = format!("/proc/self/fd/{}/{SOCKET_FILE}", open.as_raw_fd());
        let listener = UnixListener::bind(address)?;
        std::fs::set_permissions(&path, Permissions::from_mode(SOCKET_MODE))?;
        tokio::spawn(listen(listener, Arc::new(ask)).in_current_span());
        Ok(Self { path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may have gone with its directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn listen<F>(listener: UnixListener, ask: Arc<F>)
where
    F: Fn(Asked) -> bool + Send + Sync + 'static,
{
    let places = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket does not accept");
                tokio::time::sleep(limits::CONTROL_PAUSE).await;
                continue;
            }
        };
        let ask = Arc::clone(&ask);
        let serve = async move {
            let served = tokio::time::timeout(limits::CONTROL_TIMEOUT, serve(stream, &*ask)).await;
            if !matches!(served, Ok(Ok(()))) {
                tracing::info!(?served, "a request at the control socket came to nothing");
            }
            drop(place);
        };
        tokio::spawn(serve.in_current_span());
    }
}

async fn serve(mut stream: UnixStream, ask: &(impl Fn(Asked) -> bool + Sync)) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("asked by another user (uid {uid})")));
    }
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let most = limits::CONTROL_LINE_LEN_MAX as u64;
    BufReader::new(reader.take(most)).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<ControlWish>(&line) {
        Ok(wish) => asked(wish, ask).await,
        Err(error) => ControlAnswer::Error(format!("the host does not understand this: {error}")),
    };
    let mut text = serde_json::to_vec(&answer).map_err(io::Error::from)?;
    text.push(b'\n');
    writer.write_all(&text).await
}

async fn asked(wish: ControlWish, ask: &(impl Fn(Asked) -> bool + Sync)) -> ControlAnswer {
    let (answer, answered) = oneshot::channel();
    if !ask((wish, answer)) {
        return ControlAnswer::Error("the host has too much to do; try again".to_owned());
    }
    let gone = || ControlAnswer::Error("the host is ending".to_owned());
    answered.await.unwrap_or_else(|_| gone())
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
