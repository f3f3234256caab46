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

/// Deepest nesting in a header. Our types need 7; deeper input is malformed.
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

/// Bytes kept of what one attempt writes: its beginning. How many more there were is counted. Each
/// piece counts [`OUTPUT_CHUNK_OVERHEAD`] more, so that many small ones fit into a header too.
pub const OUTPUT_KEPT_LEN_MAX: usize = 256 << 10;

/// What a piece of output counts beside its bytes: more than its marks take in a header.
pub const OUTPUT_CHUNK_OVERHEAD: usize = 16;

/// Most bytes of output, counted likewise, in one piece of live news: short beside a window, so
/// that control never waits long behind it. The rest follows after [`OUTPUT_INTERVAL`].
pub const OUTPUT_MESSAGE_LEN_MAX: usize = 8 << 10;

/// Live news of one attempt's output comes at most this often: quick to the eye, and a task that
/// prints in a loop costs hub and client 20 messages a second.
pub const OUTPUT_INTERVAL: Duration = Duration::from_millis(50);

/// Output, counted likewise, that waits to be told live at the engine, or to be read at the client.
/// Beyond it the oldest is dropped, and missed; the delivery has it if it is kept.
pub const OUTPUT_LIVE_LEN_MAX: usize = 64 << 10;

/// Bytes in a session's send queue above which live output is dropped instead of queued behind
/// them.
pub const OUTPUT_BACKLOG_BYTES_MAX: u64 = 4 << 20;

/// Functions that one session may define. A definition beyond it makes its receiver forget all
/// others of the session; they are defined again as needed.
pub const FUNCTIONS_PER_SESSION_MAX: usize = 1_024;

/// Bytes of the functions that one session may define; same behaviour as
/// [`FUNCTIONS_PER_SESSION_MAX`]. Also the longest function: a longer one is an error at the
/// caller.
pub const FUNCTION_BYTES_PER_SESSION_MAX: u64 = 256 << 20;

/// Bytes of functions, each counted once, that the open tasks of one client may hold in the hub.
/// Beyond it tasks with a function are recorded as rejected.
pub const FUNCTION_BYTES_HELD_MAX: u64 = 2 << 30;

/// Bytes of definitions that a client has sent while submits are not accepted: further ones wait
/// until all are, so that the session's send queue always has room for them.
pub const DEFINE_BYTES_UNACCEPTED_MAX: u64 = 512 << 20;

/// Most dependencies of one task (after and follow each). More is rejected at submit.
pub const DEPENDENCIES_PER_TASK_MAX: usize = 20_000;

/// Most results that stand among the arguments of one task. More is rejected at submit.
pub const INPUTS_PER_TASK_MAX: usize = 10_000;

/// Most tasks of one graph, and not more than a client may have open: a graph waits until all of it
/// is here. More is rejected at submit.
pub const GRAPH_TASKS_MAX: usize = 500_000;

/// Tasks that an explanation names of those that a task waits for. Of more, it says how many.
pub const EXPLAINED_TASKS_MAX: usize = 20;

/// Engines that an explanation speaks of one by one.
pub const EXPLAINED_ENGINES_MAX: usize = 8;

/// Most engines named by one target. More is rejected at submit.
pub const TARGET_ENGINES_MAX: usize = 10_000;

/// Most typed handlers of one engine. More is refused at registration.
pub const METHODS_PER_ENGINE_MAX: usize = 1_024;

/// Most slots of one engine. More is refused at registration.
pub const SLOTS_PER_ENGINE_MAX: u32 = 1_024;

/// Most engines of a cluster. More are refused at registration.
pub const ENGINES_MAX: usize = 10_000;

/// Most labels of one engine. More is refused at registration.
pub const LABELS_PER_ENGINE_MAX: usize = 64;

/// Most kinds of resources of one engine, and of one task's needs. More is refused at registration,
/// or rejected at submit.
pub const RESOURCES_PER_ENGINE_MAX: usize = 32;

/// Bytes of a resource's name; same behaviour as [`RESOURCES_PER_ENGINE_MAX`].
pub const RESOURCE_NAME_LEN_MAX: usize = 128;

/// Bytes of engines that one message lists. `Opened` is followed by those that do not fit, one by
/// one; a status counts them.
pub const ENGINES_IN_MESSAGE_BYTES_MAX: usize = 640 << 10;

/// Bytes of clients that a status lists; it counts those that do not fit.
pub const CLIENTS_IN_STATUS_BYTES_MAX: usize = 256 << 10;

/// Payloads up to this length are copied by the hub when it keeps them: a slice would keep a
/// receive buffer of 64 KiB with it. Copying 4 KiB takes about 0.1 us.
pub const COPIED_PAYLOAD_LEN_MAX: usize = 4 << 10;

/// Most clients (of all roles that use the client conversation) with a session at once.
pub const CLIENT_SESSIONS_MAX: usize = 1_024;

/// Open tasks one client may have: the window of its grant. A submit beyond it waits at the
/// client; one sent all the same is recorded as rejected.
pub const OPEN_TASKS_PER_CLIENT_MAX: u64 = 1_000_000;

/// Payload bytes of open tasks one client may have: the other window of its grant.
pub const OPEN_BYTES_PER_CLIENT_MAX: u64 = 2 << 30;

/// How long the hub lets a confirmation wait for another message to the same peer. The next task or
/// outcome is nearly always sooner; a client that closes waits no longer than this.
pub const CONFIRM_AFTER: Duration = Duration::from_millis(5);

/// Ended tasks whose outcome its owner has not fetched. At this many grants are no longer raised.
pub const UNDELIVERED_RESULTS_MAX: usize = 2_000_000;

/// Ended tasks kept whole after their owner has the outcome. Beyond it the oldest are cut down to
/// how they ended.
pub const DELIVERED_RESULTS_MAX: usize = 16_384;

/// Ended tasks of which only the way they ended is kept, for tasks that depend on them: about six
/// bytes each. Beyond it the oldest are forgotten; depending on them is then refused as purged.
pub const ENDINGS_MAX: usize = 1_000_000;

/// Result bytes the hub keeps in memory. Beyond it delivered results are cut down, oldest first;
/// if there are none, grants are no longer raised.
pub const RESULT_BYTES_MAX: u64 = 4 << 30;

/// Payload bytes of ended tasks kept whole after their owner has the outcome. Beyond it the oldest
/// are cut down: memory, also shared memory, is not kept for what nobody asks for.
pub const DELIVERED_BYTES_MAX: u64 = 64 << 20;

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

/// Direct tasks sent to one engine and not ended. More wait in the hub.
pub const DIRECT_WINDOW_MAX: usize = 8_192;

/// Balanced tasks assigned to one engine and not ended, whatever its slots. More wait in the
/// scheduler.
pub const BALANCED_WINDOW_MAX: usize = 8_192;

/// Engine deaths while a task ran, after which it ends as poison.
pub const CRASHES_PER_TASK_MAX: u32 = 3;

/// Most retries of one task. More is rejected at submit: a task that fails so often does not need
/// another chance but another pair of eyes.
pub const RETRIES_MAX: u32 = 1_000;

/// Most kinds of errors after which one task is retried. More is rejected at submit.
pub const RETRY_KINDS_MAX: usize = 64;

/// Longest pause before a task is tried again. Longer ones are cut to it.
pub const RETRY_BACKOFF_MAX: Duration = Duration::from_secs(3_600);

/// Engines named in a delivery where attempts failed before. Of more, the latest are.
pub const TRIED_ENGINES_MAX: usize = 64;

/// Names of base classes that travel with an error. Of more, the first are.
pub const ERROR_BASES_MAX: usize = 32;

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

/// How long a session may stay silent about who it is after its handshake.
pub const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a closing session may take to flush what is queued.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// How long an engine goes on without its hub before it ends.
pub const HUB_LOST_MAX: Duration = Duration::from_secs(600);

/// How long the hub keeps a client without a session: its running tasks go on, its outcomes wait.
pub const CLIENT_GONE_TTL: Duration = Duration::from_secs(3_600);

/// How long a task runs before the engine says that it has started. Shorter ones are over before
/// the news would arrive; measured saving: one message in three.
pub const STARTED_AFTER: Duration = Duration::from_millis(50);

/// Shortest time from an abort to the death of the engine that has the task. Shorter ones count as
/// this: an attempt that only waits in its engine's queue, or heeds the abort, is over sooner, and
/// nothing else is lost with it.
pub const KILL_AFTER_MIN: Duration = Duration::from_millis(100);

/// Frames waiting in a session's send queue. Beyond it `send` answers overloaded.
pub const SEND_QUEUE_FRAMES_MAX: usize = 262_144;

/// Bytes waiting in a session's send queue, payload streams included.
pub const SEND_QUEUE_BYTES_MAX: u64 = 4 << 30;

/// Payload streams of one session and direction under way at once: enough to fill any link, few
/// enough that a receiver can hold the window of each. More wait their turn.
pub const PAYLOAD_STREAMS_MAX: u32 = 16;

/// Shortest payload that is handed over in shared memory, where both ends can. Shorter ones are as
/// fast on a stream: a segment costs about 50 us of system calls, a stream 0.5 us for each KiB.
pub const SEGMENT_LEN_MIN: usize = 1 << 20;

/// Pieces of one payload in shared memory that a message names. One of more takes a stream.
pub const PAYLOAD_PIECES_MAX: usize = 1_024;

/// Bytes of the segments that one process has made and still holds, or a quarter of the machine's
/// memory if that is less. A payload that would exceed it takes a stream.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// Bytes of its segments that a process keeps when nobody uses them any more, to use them again:
/// memory that was touched before takes half the time to fill. Two payloads of 100 MB in turns.
pub const SEGMENT_POOL_BYTES_MAX: u64 = 256 << 20;

/// How long such segments are kept at most: a process at rest holds no memory that it does not use.
pub const SEGMENT_POOL_AGE_MAX: Duration = Duration::from_secs(10);

/// Segments that one process holds a descriptor of, its own and others', or a quarter of the files
/// it may open if that is less. Beyond it payloads that it makes take a stream, and those that it
/// receives are copied.
pub const SEGMENTS_HELD_MAX: usize = 4_096;

/// Tasks that are asked back at once for one idle engine, or from one where no task has ended for a
/// second. More are asked for when these have come, or a second later.
pub const TAKE_BACK_TASKS_MAX: usize = 256;

/// Engines and tasks that the scheduler looks at each time it takes tasks back, for idle engines at
/// most once per millisecond: some 20 us. What it did not come to has its turn the next time.
pub const TAKE_BACK_LOOKS_MAX: usize = 1_024;

/// Attempts given back in a session that an engine remembers, so that a repeated assignment does not
/// start one of them. More than a hub asks for in a round trip.
pub const GIVEN_BACK_MAX: usize = 4_096;

/// Tasks an engine may hold per slot beyond the running one: the ceiling of the adaptive window.
pub const PREFETCH_PER_SLOT_MAX: u32 = 1_024;

/// Submits a client has sent and the hub has not accepted. More wait at the client: the session's
/// send queue then always has room for control beside them.
pub const SUBMITS_UNACCEPTED_MAX: usize = 65_536;

/// Payload bytes of submits sent and not accepted; same behaviour as [`SUBMITS_UNACCEPTED_MAX`].
/// Room for one payload of the greatest length.
pub const SUBMIT_BYTES_UNACCEPTED_MAX: u64 = 1 << 30;

/// Submits waiting at the client for the hub's grant. Beyond it a submit is refused with an error
/// at the caller, who can wait for room first.
pub const CLIENT_QUEUE_TASKS_MAX: usize = 1_000_000;

/// Payload bytes waiting at the client; same behaviour as [`CLIENT_QUEUE_TASKS_MAX`].
pub const CLIENT_QUEUE_BYTES_MAX: u64 = 2 << 30;

/// Deliveries after which a client confirms them at the latest: a sixteenth of what the hub lets
/// be under way, so that confirming never holds it up.
pub const RECEIVED_DELIVERIES_MAX: u64 = 1_024;

/// Bytes of deliveries after which a client confirms them at the latest.
pub const RECEIVED_BYTES_MAX: u64 = 16 << 20;

/// How long a client waits for a submit that the confirmation of a delivery can travel with.
pub const RECEIVED_DELAY: Duration = Duration::from_millis(10);

/// Payload streams that may arrive before the message that names them. More break the protocol.
pub const EARLY_PAYLOADS_MAX: usize = DELIVERIES_IN_FLIGHT_MAX;

/// Bytes of such payloads at an engine, which may have to hold several of the greatest length. More
/// break the protocol: the engine reconnects and is sent them again.
pub const EARLY_PAYLOAD_BYTES_MAX: u64 = 4 << 30;

/// Bytes of results at an engine that the hub has not confirmed. At this many the engine starts
/// nothing more until some are.
pub const UNCONFIRMED_BYTES_MAX: u64 = 2 << 30;

/// Ended attempts an engine knows again after the hub has confirmed them, so that a repeated
/// assignment does not run twice. Beyond it the oldest is forgotten.
pub const SETTLED_ATTEMPTS_MAX: usize = 4_096;

/// Questions (status, ping, shutdown) a client has open at once. More are refused at the caller.
pub const REQUESTS_OPEN_MAX: usize = 1_024;

/// Tasks named by one abort message; more go into further messages.
pub const ABORTS_PER_MESSAGE_MAX: usize = 20_000;

/// Longest label of a task: a word or two for people. A longer one is rejected at submit.
pub const LABEL_LEN_MAX: usize = 255;

/// Ended tasks of which a record is kept for whoever asks (times, engine, label, how it ended):
/// about 200 bytes each. Beyond it the oldest are forgotten; outcomes are bounded by themselves.
pub const RECORDS_MAX: usize = 32_768;

/// Bytes of arguments and functions of ended tasks that are kept so that they can be run again.
/// Beyond it the oldest are dropped, and running them again is refused; longer ones never are kept.
pub const RECORD_ARGUMENT_BYTES_MAX: u64 = 32 << 20;

/// Bytes of records in one answer. The rest is the next page.
pub const RECORDS_IN_MESSAGE_BYTES_MAX: usize = 512 << 10;

/// Tasks whose records one request names: their answer always fits. More are refused.
pub const RECORDS_NAMED_MAX: usize = 512;

/// Tasks of which one client waits for the outcome beside its own open ones. A further one is an error at
/// the caller; one sent all the same closes the session.
pub const WATCHES_PER_CLIENT_MAX: usize = 65_536;

/// Tasks named by one watch or purge; more go into further messages.
pub const WATCHES_PER_MESSAGE_MAX: usize = 20_000;

const _: () = {
    assert!(WATCHES_PER_MESSAGE_MAX * 15 < HEADER_LEN_MAX);
    assert!(RECORDS_NAMED_MAX * 15 < HEADER_LEN_MAX && RECORDS_NAMED_MAX <= LIST_ITEMS_MAX);
    assert!(
        RECORDS_NAMED_MAX * (crate::query::RECORD_BYTES + METHOD_LEN_MAX + LABEL_LEN_MAX + 20)
            <= RECORDS_IN_MESSAGE_BYTES_MAX
    );
    assert!(RECORDS_IN_MESSAGE_BYTES_MAX + 1_024 < HEADER_LEN_MAX);
    assert!(RECORDS_IN_MESSAGE_BYTES_MAX / crate::query::RECORD_BYTES <= LIST_ITEMS_MAX);
    assert!(INLINE_LEN_MAX + HEADER_LEN_MAX < u32::MAX as usize);
    assert!((INLINE_LEN_MAX as u64) < TASK_PAYLOAD_LEN_MAX);
    assert!(INLINE_LEN_MAX < SEGMENT_LEN_MIN && (SEGMENT_LEN_MIN as u64) < TASK_PAYLOAD_LEN_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= SEGMENT_BYTES_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= OPEN_BYTES_PER_CLIENT_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= RESULT_BYTES_MAX && DELIVERED_BYTES_MAX <= RESULT_BYTES_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= SEND_QUEUE_BYTES_MAX);
    // A piece takes at most 42 bytes: five numbers with their marks. A submit's options ride beside.
    assert!(PAYLOAD_PIECES_MAX * 42 < HEADER_LEN_MAX / 16);
    // Each dependency takes at most 15 bytes: [u32, u64] with its array mark; two lists a task.
    // A task's needs ride beside them.
    assert!(
        2 * DEPENDENCIES_PER_TASK_MAX * 15
            + LABELS_PER_ENGINE_MAX * (TEXT_LEN_MAX + 5)
            + RESOURCES_PER_ENGINE_MAX * (RESOURCE_NAME_LEN_MAX + 15)
            < HEADER_LEN_MAX
    );
    // An inventory entry takes at most 22 bytes.
    assert!(2 * ATTEMPTS_PER_ENGINE_MAX * 22 < HEADER_LEN_MAX);
    assert!(DIRECT_WINDOW_MAX + BALANCED_WINDOW_MAX <= ATTEMPTS_PER_ENGINE_MAX);
    assert!(3 * KEEP_ALIVE.as_secs() <= LOST_AFTER.as_secs());
    assert!(HANDSHAKE_DEADLINE.as_secs() < LOST_AFTER.as_secs());
    assert!(2 * ERROR_TEXT_LEN_MAX + OUTPUT_KEPT_LEN_MAX + 2 * TEXT_LEN_MAX < HEADER_LEN_MAX);
    assert!(OUTPUT_KEPT_LEN_MAX / (OUTPUT_CHUNK_OVERHEAD + 1) <= LIST_ITEMS_MAX);
    assert!(OUTPUT_MESSAGE_LEN_MAX <= OUTPUT_LIVE_LEN_MAX);
    assert!(OUTPUT_BACKLOG_BYTES_MAX < SEND_QUEUE_BYTES_MAX);
    assert!(ENGINES_IN_MESSAGE_BYTES_MAX + CLIENTS_IN_STATUS_BYTES_MAX < HEADER_LEN_MAX);
    // An engine by itself fits: methods with their marks, labels, name, kind and host.
    assert!(
        METHODS_PER_ENGINE_MAX * (METHOD_LEN_MAX + 5)
            + (LABELS_PER_ENGINE_MAX + 3) * (TEXT_LEN_MAX + 5)
            + RESOURCES_PER_ENGINE_MAX * (RESOURCE_NAME_LEN_MAX + 15)
            < ENGINES_IN_MESSAGE_BYTES_MAX
    );
    assert!(2 * SUBMITS_UNACCEPTED_MAX < SEND_QUEUE_FRAMES_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= SUBMIT_BYTES_UNACCEPTED_MAX);
    assert!(2 * SUBMIT_BYTES_UNACCEPTED_MAX <= SEND_QUEUE_BYTES_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= CLIENT_QUEUE_BYTES_MAX);
    assert!(FUNCTION_BYTES_PER_SESSION_MAX <= TASK_PAYLOAD_LEN_MAX);
    assert!(FUNCTION_BYTES_PER_SESSION_MAX <= FUNCTION_BYTES_HELD_MAX);
    assert!(FUNCTION_BYTES_PER_SESSION_MAX <= DEFINE_BYTES_UNACCEPTED_MAX);
    assert!(DEFINE_BYTES_UNACCEPTED_MAX + 2 * SUBMIT_BYTES_UNACCEPTED_MAX <= SEND_QUEUE_BYTES_MAX);
    assert!(8 * RECEIVED_DELIVERIES_MAX <= DELIVERIES_IN_FLIGHT_MAX as u64);
    assert!(8 * RECEIVED_BYTES_MAX <= DELIVERY_BYTES_IN_FLIGHT_MAX);
    // A task id in an abort takes at most 15 bytes.
    assert!(ABORTS_PER_MESSAGE_MAX * 15 < HEADER_LEN_MAX);
    assert!(LIST_ITEMS_MAX * 64 <= HEADER_LEN_MAX);
    assert!(ENGINES_MAX <= LIST_ITEMS_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= EARLY_PAYLOAD_BYTES_MAX);
    assert!(TASK_PAYLOAD_LEN_MAX <= UNCONFIRMED_BYTES_MAX);
    assert!(SLOTS_PER_ENGINE_MAX as usize <= ATTEMPTS_PER_ENGINE_MAX);
    assert!(METHODS_PER_ENGINE_MAX <= LIST_ITEMS_MAX);
};
