//! The first words of a session, on its control stream: versions, names, and then the lanes.
//!
//! ```text
//! peer                                              hub
//!   | == TLS 1.3, both certificates =============== |
//!   |                                               | cluster, role, ALPN: or close
//!   | -- control: Hello; tasks: 1; events: 2 --->   |
//!   | <-------- Welcome, or Refusal and close ----- |
//!   | -- control: Proof -------------------------> |   if the Welcome offers memory
//! ```
//!
//! The endpoints call it under their deadline. Nothing of the peer is read before its certificate
//! was verified and its role was found to be the one its ALPN names. The two single bytes tell the
//! hub which stream is which lane.

use phalanx_protocol::codec::{
    DecodeError, Lane, Message, Prefix, decode_parts, encode_frame, message_info,
};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::handshake::{
    Hello, HubGreeting, MemoryAnswer, MemoryOffer, PeerGreeting, Proof, Refusal, VersionRange,
    Welcome,
};
use phalanx_protocol::limits::{FRAME_PREFIX_LEN, TEXT_LEN_MAX};
use phalanx_protocol::role::Role;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, ReadExactError, RecvStream, SendStream};

use bytes::{Bytes, BytesMut};

use crate::identity::{
    CertificateRefused, ClusterId, PeerIdentity, identity_of_chain, role_of_alpn,
};
use crate::quic::{Lanes, code_number};
use crate::segments::{Beacon, PeerMemory};
use crate::session::PeerInfo;
use crate::settings::{GREETING_LEN_MAX, Settings};

/// What this build calls itself to others.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Why a handshake did not end in a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The connection ended.
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    /// The certificate does not name a role.
    #[error("{0}")]
    Certificate(#[from] CertificateRefused),
    /// The certificate is of another cluster.
    #[error("the certificate is of cluster {theirs}, not of {ours}")]
    Cluster { theirs: ClusterId, ours: ClusterId },
    /// The certificate's role may not do this.
    #[error("the certificate's role is {certificate}, the conversation is for {wanted}")]
    Role { certificate: Role, wanted: String },
    /// No common version.
    #[error("the peer speaks versions {theirs}, the hub {ours}; update the older one")]
    Version { theirs: VersionRange, ours: VersionRange },
    /// The other end broke the rules of the handshake.
    #[error("malformed greeting: {detail}")]
    Malformed { detail: String },
    /// The hub said no.
    #[error("{}", .0.detail)]
    Refused(Refusal),
}

impl HandshakeError {
    fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed { detail: detail.into() }
    }

    /// The code that the session is closed with.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Connection(_) => ErrorCode::Closed,
            Self::Certificate(_) | Self::Role { .. } => ErrorCode::WrongRole,
            Self::Cluster { .. } => ErrorCode::WrongCluster,
            Self::Version { .. } => ErrorCode::Version,
            Self::Malformed { .. } => ErrorCode::Malformed,
            Self::Refused(refusal) => refusal.code.unwrap_or(ErrorCode::Closed),
        }
    }
}

impl From<DecodeError> for HandshakeError {
    fn from(error: DecodeError) -> Self {
        Self::malformed(error.to_string())
    }
}

/// Who is at the other end of a connection whose certificates TLS has verified.
pub(crate) fn identify(
    connection: &Connection,
    cluster: &ClusterId,
) -> Result<PeerIdentity, HandshakeError> {
    let identity = identity_of_chain(connection.peer_identity())?;
    if identity.cluster != *cluster {
        return Err(HandshakeError::Cluster { theirs: identity.cluster, ours: cluster.clone() });
    }
    Ok(identity)
}

/// The hub's check before it reads anything: the role in the certificate is the one whose
/// conversation the peer asked for, and it is not the hub's.
pub(crate) fn check_conversation(
    connection: &Connection,
    identity: &PeerIdentity,
) -> Result<(), HandshakeError> {
    let protocol = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol);
    let wanted = protocol.as_deref().and_then(role_of_alpn);
    if identity.role != Role::Hub && wanted == Some(identity.role) {
        return Ok(());
    }
    Err(HandshakeError::Role {
        certificate: identity.role,
        wanted: wanted.map_or_else(|| "no role".to_owned(), |role| format!("role {role}")),
    })
}

/// The hub's half, after [`check_conversation`].
pub(crate) async fn welcome(
    connection: &Connection,
    identity: PeerIdentity,
    settings: &Settings,
) -> Result<(Lanes, PeerInfo), HandshakeError> {
    let ours = settings.versions;
    let (mut control_send, mut control_recv) = connection.accept_bi().await?;
    let greeting = read_greeting(connection, &mut control_recv, identity.role).await?;
    let PeerGreeting::Hello(hello) = greeting else {
        return Err(HandshakeError::malformed("the first message is no hello"));
    };
    let Some(version) = hello.versions.common(ours) else {
        let error = HandshakeError::Version { theirs: hello.versions, ours };
        refuse(connection, &mut control_send, &error, ours).await;
        return Err(error);
    };
    let (memory, answer) = hello.memory.and_then(|offer| answer(&offer, settings)).unzip();
    let welcome = Welcome { version, release: RELEASE.to_owned(), memory: answer };
    write_greeting(connection, &mut control_send, &HubGreeting::from(welcome)).await?;
    let (tasks_send, tasks_recv) = accept_lane(connection, Lane::Tasks).await?;
    let (events_send, events_recv) = accept_lane(connection, Lane::Events).await?;
    let memory = match memory {
        Some(memory) => proven(connection, &mut control_recv, identity.role, memory).await?,
        None => None,
    };
    let shares_memory = memory.is_some();
    let lanes = Lanes {
        send: [control_send, tasks_send, events_send],
        recv: [control_recv, tasks_recv, events_recv],
        memory,
    };
    let peer = PeerInfo {
        role: identity.role,
        serial: identity.serial,
        address: Some(connection.remote_address()),
        name: cut(hello.name),
        release: cut(hello.release),
        version,
        shares_memory,
    };
    Ok((lanes, peer))
}

/// The peer's half.
pub(crate) async fn greet(
    connection: &Connection,
    hub: PeerIdentity,
    name: &str,
    settings: &Settings,
) -> Result<(Lanes, PeerInfo), HandshakeError> {
    if hub.role != Role::Hub {
        return Err(HandshakeError::Role { certificate: hub.role, wanted: "role hub".to_owned() });
    }
    let versions = settings.versions;
    let beacon = if settings.shared_memory { Beacon::of_this_process() } else { None };
    let (mut control_send, mut control_recv) = connection.open_bi().await?;
    let hello = Hello {
        versions,
        release: RELEASE.to_owned(),
        name: cut(name.to_owned()),
        memory: beacon.map(Beacon::offer),
    };
    write_greeting(connection, &mut control_send, &PeerGreeting::from(hello)).await?;
    let (tasks_send, tasks_recv) = open_lane(connection, Lane::Tasks).await?;
    let (events_send, events_recv) = open_lane(connection, Lane::Events).await?;
    let greeting = read_greeting::<HubGreeting>(connection, &mut control_recv, hub.role).await?;
    let welcome = match greeting {
        HubGreeting::Welcome(welcome) => welcome,
        HubGreeting::Refusal(refusal) => return Err(HandshakeError::Refused(refusal)),
    };
    if !(versions.min..=versions.max).contains(&welcome.version) {
        return Err(HandshakeError::malformed("the hub chose a version that was not offered"));
    }
    let memory = match welcome.memory {
        None => None,
        Some(answer) => {
            let (memory, proof) = prove(beacon, &answer);
            write_greeting(connection, &mut control_send, &PeerGreeting::from(proof)).await?;
            memory
        }
    };
    let shares_memory = memory.is_some();
    let lanes = Lanes {
        send: [control_send, tasks_send, events_send],
        recv: [control_recv, tasks_recv, events_recv],
        memory,
    };
    let peer = PeerInfo {
        role: hub.role,
        serial: hub.serial,
        address: Some(connection.remote_address()),
        name: "hub".to_owned(),
        release: cut(welcome.release),
        version: welcome.version,
        shares_memory,
    };
    Ok((lanes, peer))
}

/// The hub's answer to a peer that would share memory, if it can find it and has some itself.
fn answer(offer: &MemoryOffer, settings: &Settings) -> Option<(PeerMemory, MemoryAnswer)> {
    if !settings.shared_memory {
        return None;
    }
    let (memory, secret) = PeerMemory::find(offer)?;
    let offer = Beacon::of_this_process()?.offer();
    Some((memory, MemoryAnswer { secret, offer }))
}

/// The peer's turn: the hub must have read our secret, and we read the hub's. Both or neither end
/// may name memory afterwards.
fn prove(beacon: Option<&Beacon>, answer: &MemoryAnswer) -> (Option<PeerMemory>, Proof) {
    let found = beacon
        .filter(|beacon| beacon.secret() == answer.secret)
        .and_then(|_| PeerMemory::find(&answer.offer));
    let (memory, secret) = found.unzip();
    (memory.map(PeerMemory::agreed), Proof { secret })
}

/// Whether a peer that was answered has found the hub's memory.
async fn proven(
    connection: &Connection,
    control: &mut RecvStream,
    sender: Role,
    memory: PeerMemory,
) -> Result<Option<PeerMemory>, HandshakeError> {
    let PeerGreeting::Proof(proof) = read_greeting(connection, control, sender).await? else {
        return Err(HandshakeError::malformed("a second hello in the place of a proof"));
    };
    let ours = Beacon::of_this_process().map(Beacon::secret);
    match proof.secret {
        None => Ok(None),
        secret if secret == ours => Ok(Some(memory.agreed())),
        Some(_) => Err(HandshakeError::malformed("the proof of shared memory is wrong")),
    }
}

/// Tells the peer why not, and waits until it has heard it. The caller's deadline bounds the wait.
async fn refuse(
    connection: &Connection,
    control: &mut SendStream,
    error: &HandshakeError,
    versions: VersionRange,
) {
    let refusal = Refusal { code: Some(error.code()), versions, detail: error.to_string() };
    let written = write_greeting(connection, control, &HubGreeting::from(refusal)).await;
    if written.is_ok() && control.finish().is_ok() {
        // Either it has read the refusal or it is gone: both are good enough.
        let _ = control.stopped().await;
    }
}

/// Closes a connection whose handshake failed.
pub(crate) fn close(connection: &Connection, error: &HandshakeError) {
    connection.close(code_number(error.code()), error.to_string().as_bytes());
}

async fn open_lane(
    connection: &Connection,
    lane: Lane,
) -> Result<(SendStream, RecvStream), HandshakeError> {
    let (mut send, recv) = connection.open_bi().await?;
    send.write_all(&[lane as u8]).await.map_err(|error| broken(connection, &error))?;
    Ok((send, recv))
}

async fn accept_lane(
    connection: &Connection,
    lane: Lane,
) -> Result<(SendStream, RecvStream), HandshakeError> {
    let (send, mut recv) = connection.accept_bi().await?;
    let mut mark = [0];
    recv.read_exact(&mut mark).await.map_err(|error| broken_read(connection, &error))?;
    if mark[0] != lane as u8 {
        return Err(HandshakeError::malformed("a stream names another lane"));
    }
    Ok((send, recv))
}

async fn write_greeting<M: Message>(
    connection: &Connection,
    stream: &mut SendStream,
    greeting: &M,
) -> Result<(), HandshakeError> {
    let mut frame = BytesMut::new();
    encode_frame(greeting, &mut frame)
        .map_err(|error| HandshakeError::malformed(error.to_string()))?;
    stream.write_all(&frame).await.map_err(|error| broken(connection, &error))
}

/// Reads exactly one frame, so that what follows it stays in the stream for the session.
async fn read_greeting<M: Message>(
    connection: &Connection,
    stream: &mut RecvStream,
    sender: Role,
) -> Result<M, HandshakeError> {
    let mut prefix = [0; FRAME_PREFIX_LEN];
    stream.read_exact(&mut prefix).await.map_err(|error| broken_read(connection, &error))?;
    let prefix = Prefix::parse(&prefix)?;
    let body_len = prefix.body_len as usize;
    if body_len > GREETING_LEN_MAX {
        return Err(HandshakeError::malformed(format!(
            "{body_len} bytes are more than {GREETING_LEN_MAX}"
        )));
    }
    let is_allowed =
        message_info::<M>(prefix.number).is_some_and(|info| info.senders.contains(sender));
    if !is_allowed {
        return Err(HandshakeError::malformed("the first message is no greeting"));
    }
    let mut body = vec![0; body_len];
    stream.read_exact(&mut body).await.map_err(|error| broken_read(connection, &error))?;
    let body = Bytes::from(body);
    let header_len = prefix.header_len as usize;
    Ok(decode_parts(prefix.number, &body[..header_len], body.slice(header_len..))?)
}

/// A stream failed: the connection's own reason says more, if it has one.
fn broken(connection: &Connection, error: &dyn std::error::Error) -> HandshakeError {
    match connection.close_reason() {
        Some(reason) => HandshakeError::Connection(reason),
        None => HandshakeError::malformed(error.to_string()),
    }
}

fn broken_read(connection: &Connection, error: &ReadExactError) -> HandshakeError {
    broken(connection, error)
}

/// A text that fits a message.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_LEN_MAX {
        let mut end = TEXT_LEN_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
