//! The census cut into tasks: what each is told, what it does, what it answers.
//!
//! ```text
//! measure (each file) ──file──> reduce (each crate) ──file──> report
//! ```
//!
//! A task cannot yet take another task's result as an argument, so the bulk of what one hands to the next
//! goes through files in a directory of the run ([`RunDir`]), written whole or not at all: a task that
//! runs twice, as a balanced task may, leaves the same file twice.
//!
//! May call it: the handlers of the census engine. It deliberately does not know who runs it, or when:
//! the order is the graph's business.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::{Builder, NamedTempFile, TempDir};

use super::{
    CensusError, CrateId, CrateMeasure, FileMeasure, Measurer, Reading, Report, SourceFile,
    build_report, reduce_crate,
};

/// What a measure task is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureTask {
    /// The file to measure.
    pub source: SourceFile,
    /// Where its measure goes.
    pub measure_path: PathBuf,
}

/// What a measure task answers: enough to show progress. The measure is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How far the file could be read.
    pub reading: Reading,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its lines.
    pub lines: u64,
}

/// What a reduce task is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReduceTask {
    /// The crate.
    pub id: CrateId,
    /// Where the measures of its files are.
    pub measures: Measures,
    /// Where its own measure goes.
    pub measure_path: PathBuf,
}

/// What the report task is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportTask {
    /// Where the measures of the crates are.
    pub measures: Measures,
}

/// The files `0.mp`, `1.mp`, ... of one directory, each with one measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// The directory.
    pub dir: PathBuf,
    /// How many there are.
    pub count: u64,
}

impl Measures {
    /// Where the measure `index` is.
    pub fn path(&self, index: u64) -> PathBuf {
        self.dir.join(format!("{index}.mp"))
    }

    fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, CensusError> {
        (0..self.count).map(|index| read(&self.path(index))).collect()
    }
}

/// Measures a file.
pub fn measure(measurer: &Measurer, task: &MeasureTask) -> Result<Measured, CensusError> {
    let measure = measurer.measure(&task.source)?;
    write(&task.measure_path, &measure)?;
    let FileMeasure { reading, bytes, lines, .. } = measure;
    Ok(Measured { reading, bytes, lines: lines.total })
}

/// Adds up the files of a crate.
pub fn reduce(task: ReduceTask) -> Result<CrateMeasure, CensusError> {
    let measure = reduce_crate(task.id, task.measures.read()?);
    write(&task.measure_path, &measure)?;
    Ok(measure)
}

/// Makes the report over all crates.
pub fn report(task: &ReportTask) -> Result<Report, CensusError> {
    Ok(build_report(task.measures.read()?))
}

/// The directory of one run, only for its user, removed with its contents.
#[derive(Debug)]
pub struct RunDir {
    dir: TempDir,
}

impl RunDir {
    /// Makes the directory, and in it one for each of `crates`.
    pub fn create(crates: usize) -> io::Result<Self> {
        let private = Permissions::from_mode(0o700);
        let dir = Builder::new().prefix("phalanx-census-").permissions(private).tempdir()?;
        for index in 0..crates {
            fs::create_dir(dir.path().join(index.to_string()))?;
        }
        Ok(Self { dir })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where the measures of the files of a crate go.
    pub fn of_crate(&self, index: usize, files: usize) -> Measures {
        Measures { dir: self.path().join(index.to_string()), count: files as u64 }
    }

    /// Where the measures of the crates go.
    pub fn of_crates(&self, crates: usize) -> Measures {
        Measures { dir: self.path().to_owned(), count: crates as u64 }
    }

    /// Removes it. Dropping it does too, but then nobody hears of an error.
    pub fn remove(self) -> io::Result<()> {
        self.dir.close()
    }
}

fn write(path: &Path, measure: &impl Serialize) -> Result<(), CensusError> {
    let failed = |source: io::Error| CensusError::Write { path: path.to_owned(), source };
    let bytes = rmp_serde::to_vec(measure).map_err(|error| failed(io::Error::other(error)))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(dir).map_err(failed)?;
    file.write_all(&bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, CensusError> {
    let failed = |source: io::Error| CensusError::Read { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(failed)?;
    rmp_serde::from_slice(&bytes)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
mod tests {
    use super::super::{by_crate, find_sources, run_serial, tests::registry};
    use super::*;

    #[test]
    fn the_tasks_give_the_serial_answer_also_when_one_runs_twice() {
        let registry = registry();
        let files = find_sources(registry.path()).expect("found");
        let serial = run_serial(&files, |_| {}).expect("measured");
        let crates: Vec<_> = by_crate(&files).collect();
        let run = RunDir::create(crates.len()).expect("made");
        let measurer = Measurer::start().expect("started");
        let of_crates = run.of_crates(crates.len());

        for (at, (id, files)) in crates.iter().enumerate() {
            let measures = run.of_crate(at, files.len());
            for (index, source) in files.iter().enumerate() {
                let measure_path = measures.path(index as u64);
                let task = MeasureTask { source: source.clone(), measure_path };
                let once = measure(&measurer, &task).expect("once");
                assert_eq!(once, measure(&measurer, &task).expect("twice"));
            }
            let measure_path = of_crates.path(at as u64);
            let task = ReduceTask { id: id.clone(), measures, measure_path };
            assert_eq!(reduce(task).expect("reduced"), serial.crates[at]);
        }
        let report = report(&ReportTask { measures: of_crates }).expect("reported");
        assert_eq!(report, serial.report);

        let path = run.path().to_owned();
        run.remove().expect("removed");
        assert!(!path.exists());
    }

    #[test]
    fn a_measure_that_is_missing_or_broken_is_named() {
        let run = RunDir::create(0).expect("made");
        let task = ReportTask { measures: run.of_crates(1) };
        let path = task.measures.path(0);
        let error = report(&task).expect_err("missing");
        assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
        fs::write(&path, b"\xc1").expect("written");
        assert!(matches!(report(&task), Err(CensusError::Read { .. })));
    }
}
