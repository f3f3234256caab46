//! `phalanx start` and `phalanx host`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{ClusterArgs, HostArgs, StartArgs};
use super::{CliError, Context, exit, output};
use crate::host::report::engine_words;
use crate::host::{HostEnd, HostOptions, Owner, Program, ReportTo};
use crate::python;

/// Starts a cluster; prints the path of its client connection file when it is ready.
pub(super) fn start(context: &Context, args: StartArgs) -> Result<ExitCode, CliError> {
    let (kind, options) = host_options(context, args.cluster)?;
    let engines = engine_words(options.engines);
    if args.foreground {
        eprintln!("cluster {} gets {engines} ({kind})", options.cluster);
        return run_host(context, options);
    }
    let launched = crate::launch::launch(&own_program()?, &options, |_| {})?;
    eprintln!(
        "cluster {} is ready: hub at {}, {engines} ({kind}), in {:.2} s",
        options.cluster,
        launched.hub_address,
        launched.took.as_secs_f64()
    );
    let client = options.home.cluster(&options.cluster).connection_file("client");
    output::print(&client.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a host until it is told to stop.
pub(super) fn host(context: &Context, args: HostArgs) -> Result<ExitCode, CliError> {
    let (_, mut options) = host_options(context, args.cluster)?;
    options.report_to = args.status_fd.map_or(ReportTo::Terminal, ReportTo::Pipe);
    options.owner = if args.until_stdin_closes { Owner::StandardInput } else { Owner::Nobody };
    run_host(context, options)
}

fn run_host(context: &Context, options: HostOptions) -> Result<ExitCode, CliError> {
    let _span = context.log("host", None)?;
    match crate::host::run(options)? {
        HostEnd::Stopped => Ok(ExitCode::SUCCESS),
        // The report and the log have said it.
        HostEnd::Failed { .. } => Ok(ExitCode::from(exit::FAILED)),
    }
}

/// What the engines are, and all else that the host is to know. It lives until it is stopped, and
/// tells the terminal.
fn host_options(
    context: &Context,
    args: ClusterArgs,
) -> Result<(EngineKind, HostOptions), CliError> {
    let settings = &context.settings;
    let mut options =
        HostOptions::new(context.home.clone(), settings.cluster(args.cluster.clone())?);
    options.engines = settings.engines(args.engines)?;
    options.scheduler_process = settings.scheduler_process(args.scheduler_process);
    options.placement = settings.placement(args.placement.scheme, args.placement.hwm)?;
    options.listen = settings.listen(args.listen);
    options.stop_grace = settings.stop_grace(args.stop_grace_s)?;
    options.log = Some(settings.log(context.common.log.clone()));
    options.log_format = Some(settings.log_format(context.common.log_format));
    let (kind, program) = engines(context, args)?;
    options.program = Some(program);
    Ok((kind, options))
}

/// What the engines of a cluster are, for people.
enum EngineKind {
    Python(PathBuf),
    Program(PathBuf),
    /// Somebody wanted it so.
    Native,
    /// There is no Python beside this program.
    NativeFor(PathBuf),
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python(python) => write!(f, "Python: {}", python.display()),
            Self::Program(program) => write!(f, "{}", program.display()),
            Self::Native => f.write_str("native: phalanx engine"),
            Self::NativeFor(phalanx) => write!(
                f,
                "native: no python with the package phalanx is beside {}; --python names one",
                phalanx.display()
            ),
        }
    }
}

/// A program that was named, a Python that was named, the Python beside this program, or else
/// `phalanx engine`.
fn engines(context: &Context, args: ClusterArgs) -> Result<(EngineKind, Program), CliError> {
    let rest = args.engine_args;
    if let Some(path) = args.program {
        let path = find_program(&path)?;
        return Ok((EngineKind::Program(path.clone()), Program::new(path, rest)));
    }
    let phalanx = own_program()?;
    if args.native {
        return Ok((EngineKind::Native, Program::native(phalanx, rest)));
    }
    let named = context.settings.python(args.python).map(|path| find_program(&path)).transpose()?;
    if let Some(python) = &named {
        python::check(python)?;
    }
    Ok(match named.or_else(|| python::beside(&phalanx)) {
        Some(python) => (EngineKind::Python(python.clone()), python::engines(python, rest)),
        None => (EngineKind::NativeFor(phalanx.clone()), Program::native(phalanx, rest)),
    })
}

fn own_program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(CliError::io("find its own program"))
}

/// The absolute path of a program: as given if it names a directory, or else found on PATH. The
/// current directory is searched only if the path says so (`./engine`).
fn find_program(path: &Path) -> Result<PathBuf, CliError> {
    let has_directory = path.components().count() > 1;
    let found =
        if has_directory { std::path::absolute(path).ok() } else { crate::local::on_path(path) };
    found.filter(|path| path.is_file()).ok_or_else(|| CliError::NoProgram { path: path.to_owned() })
}
