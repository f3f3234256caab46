//! Log files: opened for appending, cut at a length, read from their end.
//!
//! Children write to their log directly, so a killed host loses no line. The host cuts a file that
//! has grown too long under its writer: appended lines then begin at its new end. A few lines that
//! are written during the cut may be lost; the file never grows without bound.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::limits;

/// Opens a log for appending, private to its owner.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)
}

/// Cuts a log that is longer than its limit; its latest half moves to `<name>.log.1`.
pub(crate) fn bound(path: &Path) -> io::Result<()> {
    bound_to(path, limits::LOG_LEN_MAX)
}

/// Cuts every log of a directory that is longer than its limit.
pub(crate) fn bound_all(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "log")
            && let Err(error) = bound(&path)
        {
            tracing::warn!(log = %path.display(), %error, "cannot cut a log");
        }
    }
}

fn bound_to(path: &Path, len_max: u64) -> io::Result<()> {
    let len = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if len <= len_max {
        return Ok(());
    }
    let mut old = OpenOptions::new().read(true).write(true).open(path)?;
    old.seek(SeekFrom::Start(len - len_max / 2))?;
    let mut kept = OpenOptions::new();
    let mut kept =
        kept.write(true).create(true).truncate(true).mode(0o600).open(kept_path(path))?;
    io::copy(&mut (&mut old).take(len_max / 2), &mut kept)?;
    old.set_len(0)
}

fn kept_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// The last lines of a log, as far as they lie in its last `len_max` bytes; empty without one.
pub(crate) fn tail(path: &Path, lines: usize, len_max: u64) -> String {
    let text = read_end(path, len_max).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn read_end(path: &Path, len_max: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(len_max)))?;
    let mut bytes = Vec::new();
    file.take(len_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_is_cut_under_its_writer_and_keeps_its_latest_half() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine-0.log");
        let mut writer = open(&path).unwrap();
        writer.write_all(b"aaaabbbbccccdddd").unwrap();
        bound_to(&path, 16).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"aaaabbbbccccdddd");
        writer.write_all(b"eeee").unwrap();
        bound_to(&path, 16).unwrap();
        writer.write_all(b"ffff").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ffff");
        assert_eq!(std::fs::read(dir.path().join("engine-0.log.1")).unwrap(), b"ddddeeee"[..]);
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.log");
        assert_eq!(tail(&path, 2, 64), "");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&path, 2, 64), "two\nthree");
        assert_eq!(tail(&path, 9, 64), "one\ntwo\nthree");
        assert_eq!(tail(&path, 9, 6), "three");
    }
}
