//! Files that only their owner may read: written with mode 0600 from their first byte, refused
//! when looser.
//!
//! Credentials and authorities use it; whoever keeps another secret on disk may. It only knows
//! the path it is given, and never looks into the current directory by itself.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Longest private file. Ours have about 3 KiB; a longer one is refused before it is read.
pub const PRIVATE_FILE_LEN_MAX: u64 = 64 << 10;

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// Why a private file was not read or written. Each text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileError {
    /// The system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others may read or change the file.
    #[error("{path} is open to others (mode {mode:04o}); run: {command}")]
    LooseFile {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The line that mends it.
        command: String,
    },
    /// Others may enter the directory, or put another file in this one's place.
    #[error("the directory {path} is open to others (mode {mode:04o}); run: {command}")]
    LooseDirectory {
        /// Which directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The line that mends it.
        command: String,
    },
    /// Somebody else owns the file or its directory.
    #[error("{path} belongs to user {owner}, not to you; if you trust it, run: {command}")]
    ForeignOwner {
        /// Which file or directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// The line that mends it.
        command: String,
    },
    /// The path names a symbolic link.
    #[error("{path} is a symbolic link; name the file itself, as printed by: {command}")]
    Symlink {
        /// Which path.
        path: PathBuf,
        /// The line that prints where it leads.
        command: String,
    },
    /// The path names no regular file.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// Which path.
        path: PathBuf,
    },
    /// The file is longer than any of ours.
    #[error("{path} has {len} bytes, more than {PRIVATE_FILE_LEN_MAX}")]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
}

/// Writes `content` to `path` so that no other user can read it at any moment, and so that
/// readers see the old file or the new one, whole. Makes the directory (0700) if it is missing.
///
/// # Errors
/// [`PrivateFileError`]; an existing file is then as it was.
pub fn write(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let directory = directory_of(path);
    make_directory(directory)?;
    check_directory(directory, OTHERS)?;
    let file_name =
        path.file_name().ok_or_else(|| PrivateFileError::NotAFile { path: path.into() })?;
    let temporary =
        directory.join(format!(".{}.{:016x}.new", file_name.to_string_lossy(), fastrand::u64(..)));
    write_temporary(&temporary, content)
        .and_then(|()| {
            fs::rename(&temporary, path).map_err(|source| io_error("replace", path, source))
        })
        .inspect_err(|_| {
            // Ours alone, by its random name; a failure to remove it changes nothing.
            let _ = fs::remove_file(&temporary);
        })?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| io_error("sync", directory, source))
}

/// Reads `path` if nobody but its owner, who is us, can read or replace it.
///
/// # Errors
/// [`PrivateFileError`], with the command that mends it where there is one.
pub fn read(path: &Path) -> Result<Vec<u8>, PrivateFileError> {
    check_directory(directory_of(path), OTHERS_WRITE)?;
    // Opened once, then judged by the open file: a swap between check and read changes nothing.
    // NONBLOCK: a pipe put in the file's place must not hold us up.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path).map_err(
        |source| {
            if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
                PrivateFileError::Symlink {
                    path: path.into(),
                    command: format!("readlink -f {}", quoted(path)),
                }
            } else {
                io_error("open", path, source)
            }
        },
    )?;
    check_file(&file, path)?;
    let mut content = Vec::new();
    file.take(PRIVATE_FILE_LEN_MAX)
        .read_to_end(&mut content)
        .map_err(|source| io_error("read", path, source))?;
    Ok(content)
}

/// Makes `directory` with mode 0700, and its missing parents too. An existing one is left alone.
///
/// # Errors
/// [`PrivateFileError::Io`] if the system refuses.
pub fn make_directory(directory: &Path) -> Result<(), PrivateFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|source| io_error("make directory", directory, source))
}

fn write_temporary(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let failed = |source| io_error("write", path, source);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(failed)?;
    // A strict umask may have taken our own bits away.
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE)).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn check_file(file: &File, path: &Path) -> Result<(), PrivateFileError> {
    let metadata = file.metadata().map_err(|source| io_error("inspect", path, source))?;
    if !metadata.is_file() {
        return Err(PrivateFileError::NotAFile { path: path.into() });
    }
    check_owner(metadata.uid(), path)?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(PrivateFileError::LooseFile {
            path: path.into(),
            mode,
            command: format!("chmod 600 {}", quoted(path)),
        });
    }
    if metadata.len() > PRIVATE_FILE_LEN_MAX {
        return Err(PrivateFileError::TooLong { path: path.into(), len: metadata.len() });
    }
    Ok(())
}

fn check_directory(directory: &Path, forbidden: u32) -> Result<(), PrivateFileError> {
    let metadata =
        fs::metadata(directory).map_err(|source| io_error("inspect", directory, source))?;
    check_owner(metadata.uid(), directory)?;
    let mode = metadata.mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(PrivateFileError::LooseDirectory {
            path: directory.into(),
            mode,
            command: format!("chmod 700 {}", quoted(directory)),
        });
    }
    Ok(())
}

fn check_owner(owner: u32, path: &Path) -> Result<(), PrivateFileError> {
    let me = rustix::process::geteuid().as_raw();
    if owner == me {
        return Ok(());
    }
    Err(PrivateFileError::ForeignOwner {
        path: path.into(),
        owner,
        command: format!("chown {me} {}", quoted(path)),
    })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> PrivateFileError {
    PrivateFileError::Io { action, path: path.into(), source }
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,=:@%".contains(&byte);
    if text.bytes().all(is_plain) && !text.starts_with('-') {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
