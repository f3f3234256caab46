//! Where clusters keep their files: the home directory, one private directory for each cluster, and
//! the lock that tells a live cluster from what a crash left behind.
//!
//! Used by the host (which holds the lock), by the commands and by `LocalCluster`. It does not know
//! what the files say, and it never signals a process.
//!
//! The lock is a record lock on `host.lock`, held by the host from before it makes its first file
//! until it has ended. The kernel drops it with the process, however that died, and tells who holds
//! it without taking it: so a reader never gets in the way of a start, and liveness is never guessed
//! from a process id that may belong to somebody else by now.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType, Pid};

use crate::limits;

pub use crate::cluster_name::{ClusterName, ClusterNameError};

const LOCK_FILE: &str = "host.lock";
const STATE_FILE: &str = "state.json";
const LOG_DIR: &str = "logs";
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Why a cluster's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirError {
    /// Neither `PHALANX_HOME` nor a home directory is known.
    #[error("no place for clusters: neither PHALANX_HOME nor HOME is set; set PHALANX_HOME")]
    NoHome,
    /// A relative home would mean a different place in each directory.
    #[error("{} is not an absolute path; PHALANX_HOME must be one", path.display())]
    RelativeHome {
        /// What was given.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried: "create", "read", "remove".
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is a symbolic link, or a file where a directory should be.
    #[error("{} is not a directory of its own; remove it", path.display())]
    NotADirectory {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error(
        "{} belongs to another user (uid {uid}); choose another place by PHALANX_HOME",
        path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Others may enter a directory that holds keys.
    #[error(
        "{} is open to others (mode {mode:03o}); run: chmod {fix} {}",
        path.display(),
        path.display()
    )]
    Loose {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The argument of chmod that mends it.
        fix: &'static str,
    },
    /// Another host holds the lock.
    #[error("cluster {cluster} is already running (host process {pid})")]
    Locked {
        /// The cluster's name.
        cluster: ClusterName,
        /// Who holds the lock.
        pid: u32,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl Fn(io::Error) -> DirError {
    move |source| DirError::Io { what, path: path.to_owned(), source }
}

/// The directory that holds all clusters of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The directory given (by flag or `PHALANX_HOME`), or else `phalanx` in the XDG state directory.
    pub fn resolve(given: Option<PathBuf>) -> Result<Self, DirError> {
        let path = match given.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => path,
            None => {
                let xdg = etcetera::base_strategy::Xdg::new().map_err(|_| DirError::NoHome)?;
                xdg.state_dir().ok_or(DirError::NoHome)?.join("phalanx")
            }
        };
        if path.is_relative() {
            return Err(DirError::RelativeHome { path });
        }
        Ok(Self { path })
    }

    /// The same, for a program that has no command line: `PHALANX_HOME` or the XDG directory.
    pub fn from_env() -> Result<Self, DirError> {
        Self::resolve(std::env::var_os("PHALANX_HOME").map(PathBuf::from))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of a cluster, which need not exist.
    pub fn cluster(&self, name: &ClusterName) -> ClusterDir {
        ClusterDir { path: self.clusters_path().join(name.as_str()), name: name.clone() }
    }

    /// All clusters that have a directory, by name.
    pub fn clusters(&self) -> Result<Vec<ClusterDir>, DirError> {
        let path = self.clusters_path();
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        check_private(&path)?;
        let mut clusters = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("read", &path))?;
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            clusters.extend(name.map(|name: ClusterName| self.cluster(&name)));
        }
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(clusters)
    }

    /// The cluster that commands mean when none is named: the live one that was started last, or
    /// else `default`.
    pub fn newest(&self) -> Result<ClusterDir, DirError> {
        let mut newest: Option<(std::time::SystemTime, ClusterDir)> = None;
        for cluster in self.clusters()? {
            let Ok(Liveness::Running { .. }) = cluster.liveness() else {
                continue;
            };
            let Ok(made) = cluster.lock_path().metadata().and_then(|file| file.modified()) else {
                continue;
            };
            if newest.as_ref().is_none_or(|(latest, _)| made >= *latest) {
                newest = Some((made, cluster));
            }
        }
        Ok(newest.map_or_else(|| self.cluster(&ClusterName::default()), |(_, cluster)| cluster))
    }

    fn clusters_path(&self) -> PathBuf {
        self.path.join("clusters")
    }

    /// Makes the directories that are missing, private from their first moment, and refuses those
    /// that others could enter or exchange.
    fn create(&self) -> Result<(), DirError> {
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent).map_err(io_error("create", parent))?;
        }
        make_dir(&self.path)?;
        check_owned(&self.path, 0o022, "go-w")?;
        make_dir(&self.clusters_path())?;
        check_private(&self.clusters_path())
    }
}

/// What the lock says about a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// There is no such directory.
    Absent,
    /// The directory is there and its host is not: a crash or a failed start left it.
    Stale,
    /// Its host lives.
    Running {
        /// The host's process id, as the kernel tells it from the lock.
        pid: Pid,
    },
}

/// The directory of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDir {
    path: PathBuf,
    name: ClusterName,
}

impl ClusterDir {
    /// The directory that a connection file lies in, if a cluster lives there now; a file may lie
    /// anywhere.
    pub fn running_around(file: &Path) -> Option<Self> {
        let path = std::path::absolute(file).ok()?.parent()?.to_owned();
        let name = path.file_name()?.to_str()?.parse().ok()?;
        let dir = Self { path, name };
        matches!(dir.liveness(), Ok(Liveness::Running { .. })).then_some(dir)
    }

    /// The cluster's name.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connection file of a role: `client`, `engine`, `monitor` and so on.
    pub fn connection_file(&self, role: &str) -> PathBuf {
        self.path.join(format!("{role}.json"))
    }

    /// The directory of the log files.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join(LOG_DIR)
    }

    /// The log file of a process: `host`, `hub`, `engine-0`.
    pub fn log_file(&self, process: &str) -> PathBuf {
        self.log_dir().join(format!("{process}.log"))
    }

    /// Makes the directory and its `logs`, private from their first moment.
    pub fn create(&self, home: &Home) -> Result<(), DirError> {
        home.create()?;
        make_dir(&self.path)?;
        check_private(&self.path)?;
        self.create_logs()
    }

    /// Makes the directory of the log files.
    pub fn create_logs(&self) -> Result<(), DirError> {
        make_dir(&self.log_dir())?;
        check_private(&self.log_dir())
    }

    /// Refuses a directory that others could enter, that is another user's, or that is a link.
    pub fn check(&self) -> Result<(), DirError> {
        check_private(&self.path)
    }

    /// Whether the cluster's host lives. Takes nothing and changes nothing.
    pub fn liveness(&self) -> Result<Liveness, DirError> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(_) => self.check()?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Liveness::Absent),
            Err(error) => return Err(io_error("read", &self.path)(error)),
        }
        let path = self.lock_path();
        let file = match open_lock(&path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Liveness::Stale),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let pid = lock_holder(&file).map_err(io_error("read", &path))?;
        Ok(pid.map_or(Liveness::Stale, |pid| Liveness::Running { pid }))
    }

    /// Takes the lock for as long as the value lives, making the directory if it is missing.
    ///
    /// A process must not call [`ClusterDir::liveness`] for a cluster whose lock it holds itself:
    /// closing any other handle of a record lock's file gives the lock up.
    pub fn lock(&self, home: &Home) -> Result<HostLock, DirError> {
        let path = self.lock_path();
        for _ in 0..limits::LOCK_TRIES_MAX {
            self.create(home)?;
            let file = match open_lock(&path, true) {
                Ok(file) => file,
                // Removed between the two steps by a command that cleans up: make it again.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error("create", &path)(error)),
            };
            match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_same_file(&file, &path) => {
                    return Ok(HostLock { file, dir: self.clone() });
                }
                // The file was removed before it was locked: this lock protects nothing.
                Ok(()) => {}
                Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => {
                    let holder = lock_holder(&file).map_err(io_error("read", &path))?;
                    if let Some(pid) = holder {
                        let pid = pid.as_raw_nonzero().get().unsigned_abs();
                        return Err(DirError::Locked { cluster: self.name.clone(), pid });
                    }
                }
                Err(error) => return Err(io_error("lock", &path)(error.into())),
            }
        }
        Err(io_error("lock", &path)(io::Error::from(ErrorKind::ResourceBusy)))
    }

    /// What the host wrote last about its processes, or `None` without a state file.
    pub fn read_state<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, DirError> {
        let path = self.path.join(STATE_FILE);
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => file
                .take(limits::STATE_LEN_MAX)
                .read_to_string(&mut text)
                .map_err(io_error("read", &path))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let malformed = |error: serde_json::Error| io_error("understand", &path)(error.into());
        serde_json::from_str(&text).map(Some).map_err(malformed)
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join(LOCK_FILE)
    }
}

/// The lock of a live host. Whoever holds it may write and remove the cluster's files.
#[derive(Debug)]
pub struct HostLock {
    file: File,
    dir: ClusterDir,
}

impl HostLock {
    /// The directory that is locked.
    pub fn dir(&self) -> &ClusterDir {
        &self.dir
    }

    /// Writes the state file so that a reader sees the old one or the new one, never half of either.
    pub fn write_state<T: serde::Serialize>(&self, state: &T) -> Result<(), DirError> {
        let path = self.dir.path.join(STATE_FILE);
        let next = self.dir.path.join("state.json.next");
        let mut text = serde_json::to_vec_pretty(state)
            .map_err(|error| io_error("write", &path)(error.into()))?;
        text.push(b'\n');
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&next)
            .map_err(io_error("write", &next))?;
        file.write_all(&text).map_err(io_error("write", &next))?;
        std::fs::rename(&next, &path).map_err(io_error("write", &path))
    }

    /// Removes everything an earlier run left in the directory: its keys, its state, its logs.
    pub fn clear(&self) -> Result<(), DirError> {
        let dir = &self.dir.path;
        for entry in std::fs::read_dir(dir).map_err(io_error("read", dir))? {
            let entry = entry.map_err(io_error("read", dir))?;
            let path = entry.path();
            if entry.file_name() == LOCK_FILE {
                continue;
            }
            let is_dir = entry.file_type().map_err(io_error("read", &path))?.is_dir();
            let removed =
                if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(io_error("remove", &path))?;
        }
        Ok(())
    }

    /// Removes the connection files and leaves the state and the logs for whoever asks.
    pub fn remove_keys(&self) -> Result<(), DirError> {
        let dir = &self.dir.path;
        for entry in std::fs::read_dir(dir).map_err(io_error("read", dir))? {
            let path = entry.map_err(io_error("read", dir))?.path();
            let is_state = path.file_name().is_some_and(|name| name == STATE_FILE);
            if !is_state && path.extension().is_some_and(|extension| extension == "json") {
                std::fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes the whole directory and gives the lock up.
    pub fn remove(self) -> Result<(), DirError> {
        self.clear()?;
        let path = self.dir.lock_path();
        std::fs::remove_file(&path).map_err(io_error("remove", &path))?;
        let removed = std::fs::remove_dir(&self.dir.path);
        drop(self.file);
        match removed {
            // A start that waits for this name has put its own lock file there already.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other.map_err(io_error("remove", &self.dir.path)),
        }
    }
}

fn open_lock(path: &Path, create: bool) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .write(create)
        .create(create)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(no_follow)
        .open(path)
}

fn lock_holder(file: &File) -> io::Result<Option<Pid>> {
    let blocking = rustix::process::fcntl_getlk(file, &Flock::from(FlockType::WriteLock))?;
    Ok(blocking.and_then(|lock| lock.pid))
}

fn is_same_file(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
        return false;
    };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}

fn make_dir(path: &Path) -> Result<(), DirError> {
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(io_error("create", path)),
    }
}

/// Refuses a directory that anybody else may enter: it holds keys.
fn check_private(path: &Path) -> Result<(), DirError> {
    check_owned(path, 0o077, "700")
}

fn check_owned(path: &Path, forbidden: u32, fix: &'static str) -> Result<(), DirError> {
    let metadata = std::fs::symlink_metadata(path).map_err(io_error("read", path))?;
    let path = path.to_owned();
    if !metadata.is_dir() {
        return Err(DirError::NotADirectory { path });
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(DirError::Foreign { path, uid: metadata.uid() });
    }
    let mode = metadata.mode() & 0o777;
    if mode & forbidden != 0 {
        return Err(DirError::Loose { path, mode, fix });
    }
    Ok(())
}

#[cfg(test)]
#[path = "cluster_dir_tests.rs"]
mod tests;
