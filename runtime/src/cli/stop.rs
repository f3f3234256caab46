//! `phalanx stop` and `phalanx clean`.

use std::process::ExitCode;

use super::args::StopArgs;
use super::{CliError, Context};
use crate::cluster_dir::{ClusterDir, Liveness};
use crate::stop::Stopped;
use crate::words;

/// Stops one cluster or all of them. One that is not running is no error: it is stopped.
pub(super) fn stop(context: &Context, args: &StopArgs) -> Result<ExitCode, CliError> {
    if !args.all {
        stop_one(context, &context.chosen(args.which.cluster.clone())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(stop_each(context, &context.home.clusters()?))
}

/// Removes what clusters have left whose host is dead: processes, files, credentials. Those that
/// run are left alone.
pub(super) fn clean(context: &Context) -> Result<ExitCode, CliError> {
    let mut clusters = context.home.clusters()?;
    // One whose state cannot be told is not known to be dead; stopping it says what is wrong.
    clusters.retain(|cluster| !matches!(cluster.liveness(), Ok(Liveness::Running { .. })));
    Ok(stop_each(context, &clusters))
}

/// Goes on after a failure, and says so at the end.
fn stop_each(context: &Context, clusters: &[ClusterDir]) -> ExitCode {
    let mut failure = None;
    for cluster in clusters {
        if let Err(error) = stop_one(context, cluster) {
            eprintln!("phalanx: {}", words::chain(&error));
            failure = Some(error.exit_code());
        }
    }
    failure.unwrap_or(ExitCode::SUCCESS)
}

fn stop_one(context: &Context, cluster: &ClusterDir) -> Result<(), CliError> {
    let name = cluster.name();
    match crate::stop::stop(&context.home, cluster)? {
        Stopped::WasAbsent => eprintln!("cluster {name} is not running"),
        Stopped::Ended => eprintln!("cluster {name} is stopped"),
        Stopped::CleanedUp { killed: 0 } => {
            eprintln!("cluster {name} had ended already; its files are removed");
        }
        Stopped::CleanedUp { killed } => {
            eprintln!(
                "the host of cluster {name} was dead; {killed} of its processes were killed \
                 and its files are removed"
            );
        }
        Stopped::Forced { killed } => {
            eprintln!(
                "the host of cluster {name} did not answer and was killed, with {killed} more \
                 processes"
            );
        }
    }
    Ok(())
}
