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

use crate::build::{Build, Mismatch, RELEASE};
use crate::identity::{
    CertificateRefused, ClusterId, PeerIdentity, identity_of_chain, role_of_alpn,
};
use crate::quic::{Lanes, code_number};
use crate::segments::{Beacon, PeerMemory};
use crate::session::PeerInfo;
use crate::settings::{GREETING_LEN_MAX, Settings};

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
    /// The messages of the two ends are not the same.
    #[error(transparent)]
    Version(Box<Mismatch>),
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
            Self::Version(_) => ErrorCode::Version,
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
    let (mut control_send, mut control_recv) = connection.accept_bi().await?;
    let greeting = read_greeting(connection, &mut control_recv, identity.role).await?;
    let PeerGreeting::Hello(hello) = greeting else {
        return Err(HandshakeError::malformed("the first message is no hello"));
    };
    let (hub, peer) = (settings.build(), build_of(&hello));
    let Some(version) = hub.common(&peer) else {
        let mismatch = Mismatch { hub, name: cut(hello.name), peer };
        refuse(connection, &mut control_send, &mismatch).await;
        return Err(HandshakeError::Version(Box::new(mismatch)));
    };
    let (memory, answer) = hello.memory.and_then(|offer| answer(&offer, settings)).unzip();
    let welcome =
        Welcome { version, release: RELEASE.to_owned(), memory: answer, dialect: settings.dialect };
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
    let beacon = if settings.shared_memory { Beacon::of_this_process() } else { None };
    let (mut control_send, mut control_recv) = connection.open_bi().await?;
    let hello = Hello {
        versions: settings.versions,
        release: RELEASE.to_owned(),
        name: cut(name.to_owned()),
        memory: beacon.map(Beacon::offer),
        dialect: settings.dialect,
    };
    write_greeting(connection, &mut control_send, &PeerGreeting::from(hello)).await?;
    let (tasks_send, tasks_recv) = open_lane(connection, Lane::Tasks).await?;
    let (events_send, events_recv) = open_lane(connection, Lane::Events).await?;
    let greeting = read_greeting::<HubGreeting>(connection, &mut control_recv, hub.role).await?;
    let welcome = match greeting {
        HubGreeting::Welcome(welcome) => welcome,
        HubGreeting::Refusal(refusal) if refusal.code == Some(ErrorCode::Version) => {
            let hub = Build::new(cut(refusal.release), refusal.versions, refusal.dialect);
            return Err(mismatch(hub, name, settings));
        }
        HubGreeting::Refusal(refusal) => return Err(HandshakeError::Refused(refusal)),
    };
    check_welcome(&welcome, name, settings)?;
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

fn build_of(hello: &Hello) -> Build {
    Build::new(cut(hello.release.clone()), hello.versions, hello.dialect)
}

fn mismatch(hub: Build, name: &str, settings: &Settings) -> HandshakeError {
    let (name, peer) = (name.to_owned(), settings.build());
    HandshakeError::Version(Box::new(Mismatch { hub, name, peer }))
}

/// A hub that is older than dialects welcomes whoever speaks its version: then it is the peer that
/// must refuse.
fn check_welcome(welcome: &Welcome, name: &str, settings: &Settings) -> Result<(), HandshakeError> {
    let Settings { versions, dialect, .. } = settings;
    if !(versions.min..=versions.max).contains(&welcome.version) {
        return Err(HandshakeError::malformed("the hub chose a version that was not offered"));
    }
    if welcome.dialect == *dialect {
        return Ok(());
    }
    let chosen = VersionRange { min: welcome.version, max: welcome.version };
    let hub = Build::new(cut(welcome.release.clone()), chosen, welcome.dialect);
    Err(mismatch(hub, name, settings))
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
async fn refuse(connection: &Connection, control: &mut SendStream, mismatch: &Mismatch) {
    let Build { release, versions, dialect } = mismatch.hub.clone();
    let (code, detail) = (Some(ErrorCode::Version), cut(mismatch.to_string()));
    let refusal = Refusal { code, versions, detail, release, dialect };
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

#[cfg(test)]
mod tests {
    use phalanx_protocol::handshake::{DIALECT, Dialect, VERSIONS};

    use super::*;

    #[test]
    fn a_hub_that_is_older_than_dialects_is_refused_by_its_peer() {
        let settings = Settings::default();
        let version = VERSIONS.max;
        let good = Welcome { version, dialect: DIALECT, ..Welcome::default() };
        assert!(check_welcome(&good, "laptop/2", &settings).is_ok());
        let old = Welcome { version, release: "0.0.9".into(), ..Welcome::default() };
        let error = check_welcome(&old, "laptop/2", &settings).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Version);
        let text = error.to_string();
        assert!(
            text.contains("the hub is phalanx 0.0.9 (messages 1-1, dialect unknown)"),
            "{text}"
        );
        assert!(text.contains(&DIALECT.to_string()), "{text}");
    }

    #[test]
    fn a_version_that_was_not_offered_is_malformed() {
        let version = VERSIONS.max + 1;
        let welcome = Welcome { version, dialect: Dialect(7), ..Welcome::default() };
        let error = check_welcome(&welcome, "", &Settings::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Malformed);
    }
}
