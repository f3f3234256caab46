//! Which Python runs the engines of a started cluster.
//!
//! `phalanx start` asks: a Python that was named must be fit, one beside the command is taken if it
//! is. Nothing else is searched, PATH least of all: what runs beside a hub is what was installed
//! with it. No engine is started here.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::host::{Program, sweep};
use crate::{limits, os};

/// What an interpreter is called that lies beside the command, the better name first.
const NAMES: [&str; 2] = ["python3", "python"];

/// Ends well where engines can run. `-P` of the command line keeps the current directory out, and
/// is refused by a Python that is too old; a folder that is only called phalanx has no origin.
const CHECK: &str = "\
import importlib.util
found = importlib.util.find_spec('phalanx')
raise SystemExit(None if found and found.origin else 'it does not have the package phalanx')
";

/// Why a Python cannot run engines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PythonError {
    /// It could not be started.
    #[error("cannot start the Python {}", path.display())]
    Exec {
        /// The interpreter.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is too old, or the package is not there.
    #[error(
        "{} cannot run engines: {said}; install the phalanx wheel for it, or name another by --python",
        path.display()
    )]
    Unfit {
        /// The interpreter.
        path: PathBuf,
        /// Its last line.
        said: String,
    },
    /// It did not answer.
    #[error("the Python {} did not answer within {} s", path.display(), limits::PYTHON_CHECK_MAX.as_secs())]
    Silent {
        /// The interpreter.
        path: PathBuf,
    },
}

/// Engines that run Python, in this interpreter; `args` are those of `python -m phalanx.engine`.
pub(crate) fn engines(python: PathBuf, args: Vec<OsString>) -> Program {
    // `-P`: nothing is imported from the current directory.
    let module = ["-P", "-m", "phalanx.engine"].map(OsString::from);
    Program::new(python, module.into_iter().chain(args).collect())
}

/// The Python beside a program that can run engines, if there is one.
pub(crate) fn beside(program: &Path) -> Option<PathBuf> {
    let directory = program.parent()?;
    let mut found = NAMES.iter().map(|name| directory.join(name)).filter(|path| path.is_file());
    found.find(|path| check(path).is_ok())
}

/// Whether engines can run in this interpreter. Takes as long as it takes to start: some 20 ms.
pub(crate) fn check(python: &Path) -> Result<(), PythonError> {
    let path = || python.to_owned();
    let exec = |source| PythonError::Exec { path: path(), source };
    let mut child = Command::new(python)
        .args(["-P", "-c", CHECK])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(exec)?;
    let has_ended = os::pid_of(child.id())
        .and_then(sweep::pin)
        .is_some_and(|process| sweep::wait_for(&process, limits::PYTHON_CHECK_MAX));
    if !has_ended {
        // It may just have ended.
        let _ = child.kill();
        let _ = child.wait();
        return Err(PythonError::Silent { path: path() });
    }
    let output = child.wait_with_output().map_err(exec)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let said = last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned());
    Err(PythonError::Unfit { path: path(), said })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program of that name that does as the script says.
    fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_python_beside_the_command_is_taken_if_it_is_fit() {
        let dir = tempfile::tempdir().unwrap();
        let phalanx = dir.path().join("phalanx");
        assert_eq!(beside(&phalanx), None);
        script(dir.path(), "python3", "exit 1");
        assert_eq!(beside(&phalanx), None);
        let python = script(dir.path(), "python", "exit 0");
        assert_eq!(beside(&phalanx), Some(python));
        let better = script(dir.path(), "python3", "exit 0");
        assert_eq!(beside(&phalanx), Some(better));
    }

    #[test]
    fn an_unfit_python_is_refused_with_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let old = script(dir.path(), "old", "echo usage >&2; echo 'unknown option -P' >&2; exit 2");
        let error = check(&old).unwrap_err().to_string();
        assert!(error.contains("old cannot run engines: unknown option -P; install"), "{error}");
        let dumb = script(dir.path(), "dumb", "exit 7");
        let error = check(&dumb).unwrap_err().to_string();
        assert!(error.contains("exit status: 7"), "{error}");
        let absent = check(&dir.path().join("absent")).unwrap_err();
        assert!(matches!(absent, PythonError::Exec { .. }), "{absent}");
    }

    #[test]
    fn python_engines_import_nothing_from_where_they_run() {
        let program = engines("/opt/python3".into(), vec!["--label".into(), "gpu".into()]);
        assert_eq!(program.path, Path::new("/opt/python3"));
        assert_eq!(program.args, ["-P", "-m", "phalanx.engine", "--label", "gpu"]);
    }
}
