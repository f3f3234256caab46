//! Finds the Rust source that cargo has unpacked, in an order that never changes.
//!
//! May call it: whoever wants a census. It deliberately opens no file and follows no symbolic link.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CensusError;

/// Directories below a crate's own that are searched. Crates nest about ten; the limit stops a loop
/// made of mounts.
const DIR_DEPTH_MAX: usize = 64;

/// One file of one unpacked crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// The crate's name, `serde`.
    pub crate_name: String,
    /// The crate's version, `1.0.229`.
    pub version: String,
    /// The file's full path.
    pub path: PathBuf,
    /// The file's path inside its crate, with `/` between its parts.
    pub file: String,
    /// The file's length in bytes.
    pub bytes: u64,
}

/// The directory where cargo unpacks dependencies: `$CARGO_HOME/registry/src`, by default
/// `~/.cargo/registry/src`.
pub fn registry_sources() -> Result<PathBuf, CensusError> {
    let cargo_home = match env::var_os("CARGO_HOME").filter(|value| !value.is_empty()) {
        Some(home) => PathBuf::from(home),
        None => env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .ok_or(CensusError::NoCargoHome)?
            .join(".cargo"),
    };
    Ok(cargo_home.join("registry").join("src"))
}

/// Every Rust source file below `root`, which is laid out as cargo does it:
/// `<root>/<registry>/<crate>-<version>/**/*.rs`.
///
/// Ordered by registry, crate directory and path. A crate that two registries have unpacked in the same
/// version is the same source and counts once. Symbolic links are skipped, as are names that are not
/// UTF-8 (cargo does not package those).
pub fn find_sources(root: &Path) -> Result<Vec<SourceFile>, CensusError> {
    if !root.is_dir() {
        return Err(CensusError::NoSources { root: root.to_owned() });
    }
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for registry in sorted_dirs(root)? {
        for (name, crate_dir) in named_dirs(&registry)? {
            let Some((crate_name, version)) = split_crate_dir(&name) else {
                continue;
            };
            if seen.insert((crate_name.to_owned(), version.to_owned())) {
                find_in_crate(&crate_dir, crate_name, version, &mut files)?;
            }
        }
    }
    if files.is_empty() {
        return Err(CensusError::NoSources { root: root.to_owned() });
    }
    Ok(files)
}

/// `wasi-0.11.1+wasi-snapshot-preview1` is `wasi` and the rest: the version begins at the first hyphen
/// that three numbers follow.
fn split_crate_dir(name: &str) -> Option<(&str, &str)> {
    name.match_indices('-')
        .map(|(at, _)| (&name[..at], &name[at + 1..]))
        .find(|(crate_name, version)| !crate_name.is_empty() && starts_with_version(version))
}

fn starts_with_version(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    is_number(parts.next())
        && is_number(parts.next())
        && parts.next().is_some_and(|patch| patch.starts_with(|c: char| c.is_ascii_digit()))
}

fn find_in_crate(
    crate_dir: &Path,
    crate_name: &str,
    version: &str,
    files: &mut Vec<SourceFile>,
) -> Result<(), CensusError> {
    let first = files.len();
    let mut pending = vec![(crate_dir.to_owned(), String::new(), 0)];
    while let Some((dir, prefix, depth)) = pending.pop() {
        if depth > DIR_DEPTH_MAX {
            return Err(CensusError::TooDeep { path: dir });
        }
        for entry in list(&dir)? {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = entry.path();
            // `DirEntry::metadata` does not follow links: what it calls a file is one.
            let metadata = entry
                .metadata()
                .map_err(|source| CensusError::List { path: path.clone(), source })?;
            let file = format!("{prefix}{name}");
            if metadata.is_dir() {
                pending.push((path, file + "/", depth + 1));
            } else if metadata.is_file() && name.ends_with(".rs") {
                files.push(SourceFile {
                    crate_name: crate_name.to_owned(),
                    version: version.to_owned(),
                    path,
                    file,
                    bytes: metadata.len(),
                });
            }
        }
    }
    files[first..].sort_by(|a, b| a.file.cmp(&b.file));
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<DirEntry>, CensusError> {
    fs::read_dir(dir)
        .and_then(Iterator::collect)
        .map_err(|source| CensusError::List { path: dir.to_owned(), source })
}

fn named_dirs(dir: &Path) -> Result<Vec<(String, PathBuf)>, CensusError> {
    let mut dirs = Vec::new();
    for entry in list(dir)? {
        let is_dir = entry
            .file_type()
            .map_err(|source| CensusError::List { path: entry.path(), source })?
            .is_dir();
        if let (true, Ok(name)) = (is_dir, entry.file_name().into_string()) {
            dirs.push((name, entry.path()));
        }
    }
    dirs.sort();
    Ok(dirs)
}

fn sorted_dirs(dir: &Path) -> Result<Vec<PathBuf>, CensusError> {
    Ok(named_dirs(dir)?.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("the path has a directory")).expect("mkdir");
        fs::write(path, text).expect("write");
    }

    #[test]
    fn a_crate_directory_splits_into_name_and_version() {
        let check = |dir, expected| assert_eq!(split_crate_dir(dir), expected, "{dir}");
        check("serde-1.0.229", Some(("serde", "1.0.229")));
        check("actix-rt-2.15.0", Some(("actix-rt", "2.15.0")));
        check("wasi-0.11.1+wasi-snapshot-preview1", {
            Some(("wasi", "0.11.1+wasi-snapshot-preview1"))
        });
        check("rustls-0.24.0-dev.2", Some(("rustls", "0.24.0-dev.2")));
        check("box-2d-0.1.0", Some(("box-2d", "0.1.0")));
        check("no_version", None);
        check("half-1.2", None);
        check("-1.2.3", None);
    }

    #[test]
    fn files_come_in_order_without_links_other_files_and_duplicates() {
        let root = tempfile::tempdir().expect("tempdir");
        let root = root.path();
        write(root, "b/zeta-1.0.0/src/lib.rs", "");
        write(root, "a/beta-0.1.0/src/lib.rs", "x");
        write(root, "a/beta-0.1.0/src/a/deep.rs", "xy");
        write(root, "a/beta-0.1.0/build.rs", "xyz");
        write(root, "a/beta-0.1.0/README.md", "not source");
        write(root, "a/alpha-2.0.0/src/lib.rs", "");
        write(root, "a/not-a-crate/src/lib.rs", "");
        write(root, "b/beta-0.1.0/src/lib.rs", "the same crate from another registry");
        symlink("lib.rs", root.join("a/beta-0.1.0/src/link.rs")).expect("symlink");
        symlink(".", root.join("a/beta-0.1.0/loop")).expect("symlink");

        let found = find_sources(root).expect("found");
        let names: Vec<_> =
            found.iter().map(|f| (f.crate_name.as_str(), f.file.as_str(), f.bytes)).collect();
        assert_eq!(
            names,
            [
                ("alpha", "src/lib.rs", 0),
                ("beta", "build.rs", 3),
                ("beta", "src/a/deep.rs", 2),
                ("beta", "src/lib.rs", 1),
                ("zeta", "src/lib.rs", 0),
            ]
        );
        assert_eq!(found, find_sources(root).expect("found"));
    }

    #[test]
    fn an_empty_registry_says_what_to_do() {
        let root = tempfile::tempdir().expect("tempdir");
        let error = find_sources(root.path()).expect_err("nothing there");
        assert!(error.to_string().contains("cargo fetch"), "{error}");
        let missing = find_sources(&root.path().join("absent")).expect_err("not there");
        assert!(matches!(missing, CensusError::NoSources { .. }), "{missing}");
    }
}
