//! The process commands: what the host starts, and what may be started by hand on another machine.

use std::io::Read;
use std::process::ExitCode;

use std::time::Duration;

use phalanx_actors::Scheduling;
use phalanx_actors::engine::{Engine, EngineBuilder};
use phalanx_actors::executor::null::Null;
use phalanx_client::protocol::task::MethodName;

use super::args::{ConnectionArgs, EngineArgs, HubArgs, KeeperArgs, SchedulerArgs};
use super::{CliError, Context};
use crate::hub_process::HubProcessOptions;
use crate::{placement, ready, words};

/// Runs a hub until it is told to stop.
pub(super) fn hub(context: &Context, args: HubArgs) -> Result<ExitCode, CliError> {
    let _span = log(context, "hub", &args.connection)?;
    let mut options = HubProcessOptions::new(args.connection.connection);
    options.listen = args.listen.map(|listen| listen.0);
    if args.scheduler_process {
        options.scheduling = Scheduling::Remote;
    }
    options.placement = placement::chosen(args.placement.scheme, args.placement.hwm);
    let end = crate::hub_process::run(&options)?;
    tracing::info!(reason = end.reason, "hub ends");
    Ok(ExitCode::SUCCESS)
}

/// Runs an engine until it is told to stop.
pub(super) fn engine(context: &Context, args: EngineArgs) -> Result<ExitCode, CliError> {
    let name = args.name.clone();
    let _span = log(context, name.as_deref().unwrap_or("engine"), &args.connection)?;
    let mut engine = if args.null.is_empty() { own_methods() } else { null(&args.null)? };
    engine = args.labels.iter().fold(engine.slots(args.slots), EngineBuilder::label);
    for (name, amount) in args.resources {
        engine = engine.resource(name, amount);
    }
    let connection = args.connection.connection;
    let end = crate::engine_process::run_engine_with(engine, &connection, name)?;
    tracing::info!(reason = end.reason, "engine ends");
    Ok(ExitCode::SUCCESS)
}

/// Runs scheduler and DAG until they are told to stop.
pub(super) fn scheduler(context: &Context, args: &SchedulerArgs) -> Result<ExitCode, CliError> {
    let _span = log(context, "scheduler", &args.connection)?;
    let placement = placement::chosen(args.placement.scheme, args.placement.hwm);
    crate::scheduler_process::run(&args.connection.connection, placement)?;
    tracing::info!("scheduler ends");
    Ok(ExitCode::SUCCESS)
}

fn log(
    context: &Context,
    process: &str,
    connection: &ConnectionArgs,
) -> Result<tracing::span::EnteredSpan, CliError> {
    context.log(process, connection.run_id.as_deref())
}

/// What an engine offers that is no program of a user's: enough to try a cluster out.
fn own_methods() -> EngineBuilder {
    Engine::builder()
        .handler("phalanx.echo", |text: String| async move { Ok::<_, std::io::Error>(text) })
        .handler("phalanx.pid", |()| async { Ok::<_, std::io::Error>(std::process::id()) })
        .handler("phalanx.sleep_ms", |ms: u64| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok::<_, std::io::Error>(ms)
        })
}

fn null(methods: &[String]) -> Result<EngineBuilder, CliError> {
    let methods: Vec<MethodName> =
        methods.iter().map(|name| MethodName::try_from(name.as_str())).collect::<Result<_, _>>()?;
    Ok(Engine::builder().executor(move || Null::new(methods)))
}

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
