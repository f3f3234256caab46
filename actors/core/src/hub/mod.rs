//! The hub room: the life of each task, and who waits for it.

mod event;

pub use event::{
    ClientReply, ClientRequest, EngineNews, EngineOrder, HostNews, HostOrder, HubEffect, HubEvent,
};
