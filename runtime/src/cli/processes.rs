//! The process commands: what the host starts, and what may be started by hand on another machine.

use std::io::Read;
use std::process::ExitCode;

use super::CliError;
use super::args::KeeperArgs;
use crate::{ready, words};

/// Waits for the host's end, which is the end of standard input, and then ends what is left.
///
/// The kernel kills hub and engines with their host, but not what tasks have started.
pub(super) fn keeper(args: &KeeperArgs) -> Result<ExitCode, CliError> {
    ready::tell("").map_err(CliError::io("say that it is ready"))?;
    let mut ignored = [0; 64];
    let mut host = std::io::stdin().lock();
    while matches!(host.read(&mut ignored), Ok(1..)) {}
    match crate::host::sweep::sweep(&args.run_id, || {}) {
        Ok(killed) => eprintln!("the host is gone; {killed} processes were ended"),
        Err(error) => {
            eprintln!("the host is gone; {}", words::chain(&error));
            return Ok(ExitCode::from(super::exit::TIMED_OUT));
        }
    }
    Ok(ExitCode::SUCCESS)
}
