//! Wire messages <-> events and effects, one to one, both directions, no decision anywhere.
//!
//! The actors and the simulator translate with these very functions, so that what the simulator
//! proves of the rooms holds for what travels. A message that a conversation gains does not compile
//! until it is translated here.
//!
//! | conversation | the hub's end | the other end |
//! |---|---|---|
//! | client | [`client_request`], [`client_message`] | `phalanx-client` |
//! | engine | [`engine_news`], [`engine_message`] | [`engine_event`], [`engine_statement`] |
//! | host | [`host_news`], [`host_message`] | the host process |
//! | scheduling | [`scheduling_event`], [`room_message`] | [`room_order`], [`room_statement`] |

mod client;
mod engine;
mod host;
mod scheduling;

pub use client::{client_message, client_request};
pub use engine::{EngineStatement, engine_event, engine_message, engine_news, engine_statement};
pub use host::{host_message, host_news};
pub use scheduling::{
    RoomOrder, RoomStatement, room_message, room_order, room_statement, scheduling_event,
};
