//! Every limit of the processes of a cluster, with its reason.
//!
//! Read by the host, by `phalanx start` and `phalanx stop`. Limits of what peers say to each other
//! are not here: they live in `phalanx_protocol::limits`.

use std::time::Duration;

/// Restarts of one process within [`RESTART_WINDOW`]; one death more and the host gives up on it.
/// Five covers a poison task that is tried three times and an unlucky pair of kills beside it.
pub const RESTARTS_MAX: usize = 5;

/// The time over which restarts are counted.
pub const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// Pause before the second restart in a window; it doubles with each further one. The first restart
/// is immediate: one kill must not cost an engine its place for longer than its start takes.
pub const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause before a restart.
pub const RESTART_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long the hub (or the scheduler) may take from exec to ready. It takes tens of milliseconds;
/// a loaded two-core machine with a cold disk has taken seconds.
pub const HUB_READY_MAX: Duration = Duration::from_secs(15);

/// How long all engines together may take from exec to registered, when a cluster starts.
pub const ENGINES_READY_MAX: Duration = Duration::from_secs(60);

/// From being told to stop until being killed, for each of the two stages of a stop
/// (engines and scheduler, then the hub).
pub const STOP_GRACE: Duration = Duration::from_secs(3);

/// Longest grace that can be asked for: beyond it a stop looks like a hang.
pub const STOP_GRACE_MAX: Duration = Duration::from_secs(300);

/// What a host needs beyond its two stages of grace to sweep, write and exit. `phalanx stop` waits
/// this much longer and then kills the host.
pub const STOP_MARGIN: Duration = Duration::from_secs(4);

/// How long a sweep waits for killed processes to be gone. SIGKILL takes microseconds; only a
/// process in uninterruptible sleep (a dead network disk) needs longer, and then says so.
pub const SWEEP_MAX: Duration = Duration::from_secs(4);

/// Passes of a sweep over `/proc`: a process that forks while it is being swept is found by the next.
pub const SWEEP_PASSES_MAX: usize = 100;

/// Engines one host may run. A process each: the pids limit of a batch job ends sooner.
pub const ENGINES_MAX: u32 = 1024;

/// Length at which a log file is cut: its latest half moves to `<name>.log.1`.
pub const LOG_LEN_MAX: u64 = 16 * 1024 * 1024;

/// How often log files are measured. At 100 MB/s of output a file overshoots its limit by 200 MB.
pub const LOG_CHECK_EVERY: Duration = Duration::from_secs(2);

/// Lines of a log that are shown when a start fails.
pub const LOG_TAIL_LINES: usize = 12;

/// Bytes read from the end of a log to find these lines.
pub const LOG_TAIL_LEN_MAX: u64 = 16 * 1024;

/// How long a Python may take to say whether engines can run in it: tens of milliseconds, seconds
/// from a cold network disk. Beyond it, it is killed and counts as unfit.
pub const PYTHON_CHECK_MAX: Duration = Duration::from_secs(10);

/// Longest line a child may write to say that it is ready: a name and an address.
pub const READY_LINE_LEN_MAX: usize = 1024;

/// Longest line of a host's start report: a step, a reason and a path.
pub const REPORT_LINE_LEN_MAX: usize = 64 * 1024;

/// Longest state file or settings file that is read: 1024 engines take about 200 kB.
pub const STATE_LEN_MAX: u64 = 4 * 1024 * 1024;

/// Longest cluster name: it is a directory name and a column of a table.
pub const CLUSTER_NAME_LEN_MAX: usize = 64;

/// Tries to take the lock of a directory that another command is just removing.
pub const LOCK_TRIES_MAX: usize = 50;

/// Deaths of engines that are kept to be told to a hub that was away. It was away for seconds; a
/// cluster that loses more engines meanwhile is told of by their absence.
pub const DEATHS_KEPT_MAX: usize = 256;

/// Requests at the control socket that are served at once; further ones wait to be accepted.
pub const CONTROL_CONNECTIONS_MAX: usize = 8;

/// Longest request at the control socket: the names of all engines fit.
pub const CONTROL_LINE_LEN_MAX: usize = 256 * 1024;

/// How long a request at the control socket may take to be written, decided and answered: a peer
/// that stalls gives its place back.
pub const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after the control socket could not accept, as when file descriptors are short.
pub const CONTROL_PAUSE: Duration = Duration::from_millis(100);

/// Messages from helper tasks that may wait for the host's main loop. Each child sends one, the
/// hub session and the owner's pipe a few.
pub const HOST_INBOX_LEN_MAX: usize = ENGINES_MAX as usize + 64;

const _: () = assert!(RESTART_PAUSE.as_millis() <= RESTART_PAUSE_MAX.as_millis());
const _: () = assert!(STOP_GRACE.as_millis() <= STOP_GRACE_MAX.as_millis());
const _: () = assert!(LOG_TAIL_LEN_MAX < LOG_LEN_MAX);
