//! `phalanx start` and `phalanx host`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{ClusterArgs, HostArgs, StartArgs};
use super::{CliError, Context, exit, output};
use crate::host::report::engine_words;
use crate::host::{HostEnd, HostOptions, Owner, Program, ReportTo};

/// Starts a cluster; prints the path of its client connection file when it is ready.
pub(super) fn start(context: &Context, args: StartArgs) -> Result<ExitCode, CliError> {
    if args.foreground {
        let options = host_options(context, args.cluster, Owner::Nobody, ReportTo::Terminal)?;
        return run_host(context, options);
    }
    let options = host_options(context, args.cluster, Owner::Nobody, ReportTo::Terminal)?;
    let phalanx = std::env::current_exe().map_err(CliError::io("find its own program"))?;
    let launched = crate::launch::launch(&phalanx, &options, |_| {})?;
    eprintln!(
        "cluster {} is ready: hub at {}, {}, in {:.2} s",
        options.cluster,
        launched.hub_address,
        engine_words(options.engines),
        launched.took.as_secs_f64()
    );
    let client = options.home.cluster(&options.cluster).connection_file("client");
    output::print(&client.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a host until it is told to stop.
pub(super) fn host(context: &Context, args: HostArgs) -> Result<ExitCode, CliError> {
    let report_to = args.status_fd.map_or(ReportTo::Terminal, ReportTo::Pipe);
    let owner = if args.until_stdin_closes { Owner::StandardInput } else { Owner::Nobody };
    run_host(context, host_options(context, args.cluster, owner, report_to)?)
}

fn run_host(context: &Context, options: HostOptions) -> Result<ExitCode, CliError> {
    let _span = context.log("host", None)?;
    match crate::host::run(options)? {
        HostEnd::Stopped => Ok(ExitCode::SUCCESS),
        // The report and the log have said it.
        HostEnd::Failed { .. } => Ok(ExitCode::from(exit::FAILED)),
    }
}

fn host_options(
    context: &Context,
    args: ClusterArgs,
    owner: Owner,
    report_to: ReportTo,
) -> Result<HostOptions, CliError> {
    let settings = &context.settings;
    let program = match args.program {
        Some(path) => Some(Program::new(find_program(&path)?, args.program_args)),
        None => None,
    };
    let mut options = HostOptions::new(context.home.clone(), settings.cluster(args.cluster)?);
    options.engines = settings.engines(args.engines)?;
    options.scheduler_process = settings.scheduler_process(args.scheduler_process);
    options.listen = settings.listen(args.listen);
    options.stop_grace = settings.stop_grace(args.stop_grace_s)?;
    options.program = program;
    options.log = Some(settings.log(context.common.log.clone()));
    options.log_format = Some(settings.log_format(context.common.log_format));
    options.owner = owner;
    options.report_to = report_to;
    Ok(options)
}

/// The absolute path of a program: as given if it names a directory, or else found on PATH. The
/// current directory is searched only if the path says so (`./engine`).
fn find_program(path: &Path) -> Result<PathBuf, CliError> {
    let has_directory = path.components().count() > 1;
    let found =
        if has_directory { std::path::absolute(path).ok() } else { crate::local::on_path(path) };
    found.filter(|path| path.is_file()).ok_or_else(|| CliError::NoProgram { path: path.to_owned() })
}
