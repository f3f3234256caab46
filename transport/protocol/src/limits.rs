//! Every limit of the system in one place: what it is, why, and what happens at it.
//!
//! Units stand last in each name. Limits that depend on each other are asserted below.

use std::time::Duration;

/// Length of a frame's prefix.
pub const FRAME_PREFIX_LEN: usize = 12;

/// Longest header of one message. Room for a task with 20,000 dependencies of each kind; a longer
/// one is an error at the sender and closes the session at the receiver.
pub const HEADER_LEN_MAX: usize = 1 << 20;

/// Most items of a list of structs or texts in a header. No honest header reaches it: a struct with
/// its field names takes 64 bytes and more. A longer list is malformed.
pub const LIST_ITEMS_MAX: usize = 16_384;

/// Deepest nesting in a header. Our types need 9; deeper input is malformed.
pub const HEADER_DEPTH_MAX: usize = 32;

/// Longest payload that travels in its message's frame. Longer ones take a stream of their own:
/// a frame of this size holds up the tasks behind it by about 50 us at 1.3 GB/s.
pub const INLINE_LEN_MAX: usize = 64 << 10;

/// Longest payload of one task or result. Longer ones are refused by the sender with an error.
pub const TASK_PAYLOAD_LEN_MAX: u64 = 1 << 30;

/// Longest method name.
pub const METHOD_LEN_MAX: usize = 255;

/// Longest free text in a message (names, reasons, host names). Cut by the sender.
pub const TEXT_LEN_MAX: usize = 4 << 10;

/// Longest error text (message and traceback each). Cut by the engine, with a mark.
pub const ERROR_TEXT_LEN_MAX: usize = 256 << 10;

/// Most dependencies of one task (after and follow each). More is rejected at submit.
pub const DEPENDENCIES_PER_TASK_MAX: usize = 20_000;

/// Most engines named by one target. More is rejected at submit.
pub const TARGET_ENGINES_MAX: usize = 10_000;

/// Most typed handlers of one engine. More is refused at registration.
pub const METHODS_PER_ENGINE_MAX: usize = 1_024;

/// Most slots of one engine. More is refused at registration.
pub const SLOTS_PER_ENGINE_MAX: u32 = 1_024;

/// Most engines of a cluster. More are refused at registration.
pub const ENGINES_MAX: usize = 10_000;

/// Most clients (of all roles that use the client conversation) with a session at once.
pub const CLIENT_SESSIONS_MAX: usize = 1_024;

/// Open tasks one client may have: the window of its grant. A submit beyond it waits at the
/// client; one sent all the same is recorded as rejected.
pub const OPEN_TASKS_PER_CLIENT_MAX: u64 = 1_000_000;

/// Payload bytes of open tasks one client may have: the other window of its grant.
pub const OPEN_BYTES_PER_CLIENT_MAX: u64 = 2 << 30;

/// Ended tasks whose outcome the hub keeps. Beyond it delivered outcomes are evicted, oldest
/// first; if there are none, grants are no longer raised.
pub const RESULTS_MAX: usize = 1_000_000;

/// Result bytes the hub keeps in memory; same behaviour at the limit as [`RESULTS_MAX`].
pub const RESULT_BYTES_MAX: u64 = 4 << 30;

/// Outcomes on their way to one client that it has not confirmed. More wait in the hub.
pub const DELIVERIES_IN_FLIGHT_MAX: usize = 16_384;

/// Bytes of outcomes on their way to one client that it has not confirmed. More wait in the hub.
pub const DELIVERY_BYTES_IN_FLIGHT_MAX: u64 = 256 << 20;

/// Tombstones for aborts that overtook their task, per client at the hub and per engine. Beyond
/// it the oldest is forgotten: that task then runs.
pub const TOMBSTONES_MAX: usize = 4_096;

/// Clients whose last direct task an engine remembers. Beyond it the one longest silent is
/// forgotten.
pub const DIRECT_MARKS_MAX: usize = 4_096;

/// Attempts assigned to one engine and not ended, in all. Also the most that its inventory lists.
pub const ATTEMPTS_PER_ENGINE_MAX: usize = 20_000;

/// Engine deaths while a task ran, after which it ends as poison.
pub const CRASHES_PER_TASK_MAX: u32 = 3;

/// Panics of a rebuilt room at one task's event, after which that task ends as failed.
pub const PANICS_PER_TASK_MAX: u32 = 2;

/// Restarts of one control room within [`ROOM_RESTART_WINDOW`] after which the hub stops loudly.
pub const ROOM_RESTARTS_MAX: usize = 10;

/// The window of [`ROOM_RESTARTS_MAX`].
pub const ROOM_RESTART_WINDOW: Duration = Duration::from_secs(60);

/// Silence after which a peer is lost. QUIC's idle timeout has the same value.
pub const LOST_AFTER: Duration = Duration::from_secs(15);

/// How often an idle session says that it is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// How long a handshake may take, from the first packet to the welcome.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a closing session may take to flush what is queued.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// How long an engine goes on without its hub before it ends.
pub const HUB_LOST_MAX: Duration = Duration::from_secs(600);

/// How long the hub keeps a client without a session: its running tasks go on, its outcomes wait.
pub const CLIENT_GONE_TTL: Duration = Duration::from_secs(3_600);

/// How long a task runs before the engine says that it has started. Shorter ones are over before
/// the news would arrive; measured saving: one message in three.
pub const STARTED_AFTER: Duration = Duration::from_millis(50);

/// Frames waiting in a session's send queue. Beyond it `send` answers overloaded.
pub const SEND_QUEUE_FRAMES_MAX: usize = 262_144;

/// Bytes waiting in a session's send queue, payload streams included.
pub const SEND_QUEUE_BYTES_MAX: u64 = 4 << 30;

/// Payload streams of one session and direction under way at once. More wait their turn.
pub const PAYLOAD_STREAMS_MAX: u32 = 64;

/// Tasks an engine may hold per slot beyond the running one: the ceiling of the adaptive window.
pub const PREFETCH_PER_SLOT_MAX: u32 = 1_024;

const _: () = {
    assert!(INLINE_LEN_MAX + HEADER_LEN_MAX < u32::MAX as usize);
    assert!((INLINE_LEN_MAX as u64) < TASK_PAYLOAD_LEN_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= OPEN_BYTES_PER_CLIENT_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= RESULT_BYTES_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= SEND_QUEUE_BYTES_MAX);
    // Each dependency takes at most 15 bytes: [u32, u64] with its array mark; two lists a task.
    assert!(2 * DEPENDENCIES_PER_TASK_MAX * 15 < HEADER_LEN_MAX);
    // An inventory entry takes at most 22 bytes.
    assert!(2 * ATTEMPTS_PER_ENGINE_MAX * 22 < HEADER_LEN_MAX);
    assert!(3 * KEEP_ALIVE.as_secs() <= LOST_AFTER.as_secs());
    assert!(HANDSHAKE_DEADLINE.as_secs() < LOST_AFTER.as_secs());
    assert!(2 * ERROR_TEXT_LEN_MAX < HEADER_LEN_MAX);
    assert!(LIST_ITEMS_MAX * 64 <= HEADER_LEN_MAX);
    assert!(ENGINES_MAX <= LIST_ITEMS_MAX);
    assert!(METHODS_PER_ENGINE_MAX <= LIST_ITEMS_MAX);
};
