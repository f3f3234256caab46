//! Which conversation a role leads with the hub.
//!
//! The types of both directions follow from what the peer says, so that a session cannot be made
//! with the halves of two conversations.

use phalanx_protocol::client::{ClientToHub, HubToClient};
use phalanx_protocol::codec::Message;
use phalanx_protocol::engine::{EngineToHub, HubToEngine};
use phalanx_protocol::host::{HostToHub, HubToHost};
use phalanx_protocol::role::{Role, RoleSet};
use phalanx_protocol::scheduling::{HubToScheduling, SchedulingToHub};

use crate::session::Session;

/// What a peer says to the hub: names the hub's answers and the roles that lead it.
pub trait Conversation: Message {
    /// What the hub says.
    type Answer: Message;
    /// The roles that lead this conversation.
    const ROLES: RoleSet;
}

impl Conversation for ClientToHub {
    type Answer = HubToClient;
    const ROLES: RoleSet = RoleSet::of(&[Role::Client, Role::Monitor, Role::Admin]);
}

impl Conversation for EngineToHub {
    type Answer = HubToEngine;
    const ROLES: RoleSet = RoleSet::of(&[Role::Engine]);
}

impl Conversation for HostToHub {
    type Answer = HubToHost;
    const ROLES: RoleSet = RoleSet::of(&[Role::Host]);
}

impl Conversation for SchedulingToHub {
    type Answer = HubToScheduling;
    const ROLES: RoleSet = RoleSet::of(&[Role::Scheduler]);
}

/// A peer's end of a session.
pub type PeerSession<C> = Session<C, <C as Conversation>::Answer>;

/// The hub's end of a session.
pub type HubSession<C> = Session<<C as Conversation>::Answer, C>;

/// An authenticated peer that has come to the hub.
#[derive(Debug)]
#[non_exhaustive]
pub enum Arrival {
    /// A client, a monitor or an admin; its role is in the session's peer.
    Client(HubSession<ClientToHub>),
    /// An engine.
    Engine(HubSession<EngineToHub>),
    /// The host process of a machine.
    Host(HubSession<HostToHub>),
    /// A process that runs the scheduling rooms.
    Scheduler(HubSession<SchedulingToHub>),
}
