//! The host process's conversation with the hub.
//!
//! ```text
//! host                                     hub
//!   | -- Attach ------------------------->  |   first message
//!   | -- EngineExited* ------------------>  |   within a second of the death
//!   | <------------------ StopCluster ----- |   somebody asked for it
//!   | <------------------ RetireEngine* --- |   do not restart this one
//!   | <------------------ KillEngine* ----- |   end this one now, and start it again
//! ```

use crate::macros::{map_encoded, messages};

messages! {
    /// What host processes say to the hub.
    pub enum HostToHub {
        /// Which machine's host it is.
        1 => Attach(Attach), named, Tasks, [Host];
        /// A process that was an engine is gone.
        2 => EngineExited(EngineExited), named, Tasks, [Host];
    }
}

messages! {
    /// What the hub says to host processes.
    pub enum HubToHost {
        /// End everything.
        1 => StopCluster(StopCluster), named, Control, [Hub];
        /// An engine was asked to end and shall not be started again.
        2 => RetireEngine(RetireEngine), named, Control, [Hub];
        /// An engine is to be killed, because somebody asked for it, and started again.
        3 => KillEngine(KillEngine), named, Control, [Hub];
    }
}

map_encoded! {
    /// Which machine's host it is.
    pub struct Attach {
        /// The machine, for people.
        pub host: String,
        /// The host process's id there.
        pub pid: u32,
    }
}

map_encoded! {
    /// A process that was an engine is gone. The engine is known by name and process id, since it
    /// may have died before it registered.
    pub struct EngineExited {
        /// The engine's stable name.
        pub name: String,
        /// The process id it had.
        pub pid: u32,
        /// Why, in words: `killed by signal 9 (SIGKILL)`, `exit code 1`, `out of memory`.
        pub cause: String,
    }
}

map_encoded! {
    /// End everything.
    pub struct StopCluster {
        /// Why, in words.
        pub reason: String,
    }
}

map_encoded! {
    /// An engine that shall not be started again.
    pub struct RetireEngine {
        /// The engine's stable name.
        pub name: String,
    }
}

map_encoded! {
    /// An engine that is to be killed and started again. A host that has no such process does
    /// nothing.
    pub struct KillEngine {
        /// The engine's stable name.
        pub name: String,
        /// The process that is meant; another one under that name lives on.
        pub pid: u32,
        /// Why, in words.
        pub reason: String,
    }
}
