//! Who is not let in: each refused before a byte of theirs is read, with a reason on both sides.

mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, SystemTime};

use phalanx_transport::identity::{ClusterAuthority, Credential, IdentityError, Validity};
use phalanx_transport::protocol::client::ClientToHub;
use phalanx_transport::protocol::engine::EngineToHub;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::handshake::{DIALECT, Dialect, VersionRange};
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{
    ConnectError, Connector, EndpointError, HubEndpoint, LogAudit, RefusalKind, Settings,
    TlsFailure,
};
use quinn::ConnectionError;
use support::{Cluster, raw, within};

const HOUR: Duration = Duration::from_secs(3_600);

fn past() -> Validity {
    let now = SystemTime::now();
    Validity { not_before: now - 2 * HOUR, not_after: now - HOUR }
}

fn future() -> Validity {
    let now = SystemTime::now();
    Validity { not_before: now + HOUR, not_after: now + 2 * HOUR }
}

async fn refused(cluster: &Cluster, credential: Credential) -> ConnectError {
    let connector = Connector::new(&cluster.file_of(credential), &cluster.settings).unwrap();
    within(connector.connect::<EngineToHub>("unwanted")).await.unwrap_err()
}

#[tokio::test]
async fn a_peer_without_a_certificate() {
    let mut cluster = Cluster::start();
    let alpn = b"phalanx-client/1";
    let authority = cluster.authority.certificate_pem().to_owned();
    let outcome = raw::connect(cluster.address, &authority, None, alpn).await;
    let error = match outcome {
        Ok((_endpoint, connection)) => {
            // All that a client could send at once, before it knows.
            if let Ok((mut send, _)) = connection.open_bi().await {
                let _ = send.write_all(&raw::hello()).await;
            }
            within(connection.closed()).await
        }
        Err(error) => error,
    };
    assert!(
        matches!(&error, ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == 0x100 + 116),
        "{error}"
    );
    let refusal = cluster.refusal().await;
    assert_eq!(refusal.kind, RefusalKind::Tls(TlsFailure::NoCertificate));
    assert_eq!(refusal.reason, "the peer showed no certificate");
}

#[tokio::test]
async fn a_certificate_of_a_foreign_authority() {
    let mut cluster = Cluster::start();
    let mut foreign = ClusterAuthority::create().unwrap().issue(Role::Engine).unwrap();
    foreign.authority_pem = cluster.authority.certificate_pem().to_owned();
    foreign.cluster = cluster.authority.cluster().clone();
    let error = refused(&cluster, foreign).await;
    assert!(
        matches!(error, ConnectError::ForeignCertificate { role: Role::Engine, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("take the current file"), "{error}");
    let refusal = cluster.refusal().await;
    assert_eq!(refusal.kind, RefusalKind::Tls(TlsFailure::ForeignAuthority));
}

#[tokio::test]
async fn a_peer_of_another_cluster_refuses_the_hub() {
    let mut cluster = Cluster::start();
    let foreign = ClusterAuthority::create().unwrap().issue(Role::Engine).unwrap();
    let error = refused(&cluster, foreign).await;
    assert!(matches!(error, ConnectError::ForeignHub { .. }), "{error}");
    assert!(!error.is_retryable());
    let refusal = cluster.refusal().await;
    assert_eq!(refusal.kind, RefusalKind::Tls(TlsFailure::ForeignAuthority));
}

#[tokio::test]
async fn an_expired_certificate_and_one_that_is_not_valid_yet() {
    let mut cluster = Cluster::start();
    for (validity, expected) in [(past(), TlsFailure::Expired), (future(), TlsFailure::Expired)] {
        let credential = cluster.authority.issue_with(Role::Engine, validity).unwrap();
        let error = refused(&cluster, credential).await;
        let is_named = matches!(
            error,
            ConnectError::Expired { role: Role::Engine, .. } | ConnectError::BadCertificate { .. }
        );
        assert!(is_named, "{error}");
        let refusal = cluster.refusal().await;
        assert_eq!(refusal.kind, RefusalKind::Tls(expected), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_expires_by_the_clock() {
    let mut cluster = Cluster::start();
    let lifetime = Validity::lasting(Duration::from_secs(1));
    let credential = cluster.authority.issue_with(Role::Engine, lifetime).unwrap();
    let connector = Connector::new(&cluster.file_of(credential), &cluster.settings).unwrap();
    let mut sessions = Vec::new();
    let error = within(async {
        loop {
            match connector.connect::<EngineToHub>("short-lived").await {
                Ok(session) => sessions.push((session, cluster.hub.accept().await)),
                Err(error) => break error,
            }
        }
    })
    .await;
    assert!(matches!(error, ConnectError::Expired { .. }), "{error}");
    // What was admitted while it was valid goes on.
    let (session, _) = sessions.first().expect("it was valid at first");
    assert_eq!(session.sender.close_reason(), None);
}

#[tokio::test]
async fn an_expired_hub() {
    let authority = ClusterAuthority::create().unwrap();
    let hub = authority.issue_with(Role::Hub, past()).unwrap();
    let cluster = Cluster::with_hub(authority, &hub, Settings::default());
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    let error = refused(&cluster, credential).await;
    assert!(matches!(error, ConnectError::HubExpired { .. }), "{error}");
}

#[tokio::test]
async fn a_role_that_asks_for_anothers_conversation() {
    let mut settings = Settings::default();
    settings.failures_per_address_max = u32::MAX;
    let mut cluster = Cluster::with(settings);
    let authority = cluster.authority.certificate_pem().to_owned();
    for role in Role::ALL {
        for asked in Role::ALL {
            if role == asked || role == Role::Hub || asked == Role::Hub {
                continue;
            }
            let credential = cluster.authority.issue(role).unwrap();
            let alpn = format!("phalanx-{asked}/1");
            let connected =
                raw::connect(cluster.address, &authority, Some(&credential), alpn.as_bytes());
            let (_endpoint, connection) = within(connected).await.unwrap();
            if let Ok((mut send, _)) = connection.open_bi().await {
                let _ = send.write_all(&raw::hello()).await;
            }
            let error = within(connection.closed()).await;
            let ConnectionError::ApplicationClosed(close) = &error else {
                panic!("{role} as {asked}: {error}");
            };
            let code = u64::from(ErrorCode::WrongRole.number());
            assert_eq!(close.error_code.into_inner(), code);
            let reason = String::from_utf8_lossy(&close.reason);
            assert!(reason.contains(role.as_str()), "{reason}");
            let refusal = cluster.refusal().await;
            assert_eq!(refusal.kind, RefusalKind::WrongRole);
        }
    }
}

#[tokio::test]
async fn an_unknown_protocol() {
    let mut cluster = Cluster::start();
    let credential = cluster.authority.issue(Role::Client).unwrap();
    for alpn in [&b"h3"[..], b"phalanx-client/9", b"phalanx-root/1"] {
        let connected =
            raw::connect(cluster.address, &credential.authority_pem, Some(&credential), alpn);
        let error = within(connected).await.map(drop).unwrap_err();
        assert!(
            matches!(&error, ConnectionError::ConnectionClosed(close)
                if u64::from(close.error_code) == 0x100 + 120),
            "{error}"
        );
        let refusal = cluster.refusal().await;
        assert_eq!(refusal.kind, RefusalKind::Tls(TlsFailure::NoProtocol), "{}", refusal.reason);
    }
}

#[tokio::test]
async fn nobody_else_can_pose_as_the_hub() {
    let authority = ClusterAuthority::create().unwrap();
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Hub) {
        let credential = authority.issue(role).unwrap();
        let bound = HubEndpoint::bind(
            &credential,
            (Ipv4Addr::LOCALHOST, 0).into(),
            &Settings::default(),
            std::sync::Arc::new(LogAudit::default()),
        );
        assert!(matches!(
            bound.map(drop),
            Err(EndpointError::Identity(IdentityError::WrongEnd { .. }))
        ));
        let impostor = raw::serve(&credential, b"phalanx-engine/1");
        let accepting = impostor.clone();
        let serving = tokio::spawn(async move {
            if let Some(incoming) = accepting.accept().await {
                let _ = incoming.await;
            }
        });
        let file = phalanx_transport::identity::ConnectionFile::new(
            "test",
            vec![impostor.local_addr().unwrap()],
            authority.issue(Role::Engine).unwrap(),
        );
        let connector = Connector::new(&file, &Settings::default()).unwrap();
        let error = within(connector.connect::<EngineToHub>("an engine")).await.unwrap_err();
        assert!(matches!(error, ConnectError::ForeignHub { .. }), "{role}: {error}");
        serving.abort();
    }
}

#[tokio::test]
async fn the_hubs_credential_does_not_connect() {
    let mut cluster = Cluster::start();
    let credential = cluster.authority.issue(Role::Hub).unwrap();
    let made = Connector::new(&cluster.file_of(credential.clone()), &cluster.settings);
    assert!(made.is_err());
    let connected = raw::connect(
        cluster.address,
        &credential.authority_pem,
        Some(&credential),
        b"phalanx-client/1",
    );
    if let Ok((_endpoint, connection)) = within(connected).await {
        within(connection.closed()).await;
    }
    let refusal = cluster.refusal().await;
    assert_eq!(refusal.kind, RefusalKind::Tls(TlsFailure::BadCertificate));
}

#[tokio::test]
async fn versions_without_a_common_one_name_both_ranges() {
    let mut cluster = Cluster::start();
    let mut settings = Settings::default();
    settings.versions = VersionRange { min: 7, max: 9 };
    let connector = Connector::new(&cluster.file(Role::Client), &settings).unwrap();
    let error = within(connector.connect::<ClientToHub>("from the future")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Version { .. }), "{error}");
    for text in [error.to_string(), cluster.refusal().await.reason] {
        assert!(text.contains("7-9") && text.contains("1-1"), "{text}");
    }
}

#[tokio::test]
async fn builds_whose_messages_differ_are_told_apart_for_good_at_both_ends() {
    let mut cluster = Cluster::start();
    let mut settings = Settings::default();
    settings.dialect = Dialect(7);
    let connector = Connector::new(&cluster.file(Role::Engine), &settings).unwrap();
    let error = within(connector.connect::<EngineToHub>("laptop/2")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Version { .. }), "{error}");
    assert!(!error.is_retryable());
    let refusal = cluster.refusal().await;
    assert_eq!(refusal.kind, RefusalKind::Version);
    let (own, other) = (DIALECT.to_string(), Dialect(7).to_string());
    for text in [error.to_string(), refusal.reason] {
        assert!(!text.contains('\n'), "{text}");
        let words = [
            "laptop/2",
            concat!("phalanx ", env!("CARGO_PKG_VERSION")),
            &own,
            &other,
            "install the same build",
        ];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[tokio::test]
async fn a_conversation_that_is_not_the_roles_is_refused_before_the_network() {
    let cluster = Cluster::start();
    let connector = cluster.connector(Role::Monitor);
    let error = connector.connect::<EngineToHub>("").await.unwrap_err();
    assert!(matches!(error, ConnectError::WrongConversation { role: Role::Monitor }));
}

#[tokio::test]
async fn silence_is_told_as_udp_that_may_be_blocked() {
    let cluster = Cluster::start();
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut file = cluster.file(Role::Client);
    file.hub_addresses = vec![silent.local_addr().unwrap()];
    let mut settings = Settings::default();
    settings.handshake_deadline = Duration::from_millis(200);
    let connector = Connector::new(&file, &settings).unwrap();
    let error = within(connector.connect::<ClientToHub>("")).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error}");
    assert!(error.is_retryable());
    let text = error.to_string();
    let port = silent.local_addr().unwrap().port().to_string();
    assert!(text.contains("UDP") && text.contains(&port), "{text}");
}

#[tokio::test]
async fn the_second_address_is_tried_when_the_first_is_silent() {
    let mut cluster = Cluster::start();
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut file = cluster.file(Role::Client);
    file.hub_addresses.insert(0, silent.local_addr().unwrap());
    let mut settings = Settings::default();
    settings.handshake_deadline = Duration::from_millis(600);
    let connector = Connector::new(&file, &settings).unwrap();
    let session = within(connector.connect::<ClientToHub>("")).await.unwrap();
    assert_eq!(session.peer.address, Some(cluster.address));
    assert!(within(cluster.hub.accept()).await.is_some());
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up() {
    let mut settings = Settings::default();
    settings.handshake_deadline = Duration::from_millis(200);
    let mut cluster = Cluster::with(settings);
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    let connected = raw::connect(
        cluster.address,
        &credential.authority_pem,
        Some(&credential),
        b"phalanx-engine/1",
    );
    let (_endpoint, connection) = within(connected).await.unwrap();
    let error = within(connection.closed()).await;
    assert!(
        matches!(&error, ConnectionError::ApplicationClosed(close)
            if close.error_code.into_inner() == u64::from(ErrorCode::TimedOut.number())),
        "{error}"
    );
    assert_eq!(cluster.refusal().await.kind, RefusalKind::TimedOut);
}

#[tokio::test]
async fn a_busy_hub_has_addresses_proven_and_a_full_one_says_so() {
    let mut settings = Settings::default();
    settings.retry_above = 0;
    let mut cluster = Cluster::with(settings.clone());
    let (_client, _hub) = cluster.client().await;

    settings.handshakes_pending_max = 0;
    let cluster = Cluster::with(settings);
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    let error = refused(&cluster, credential).await;
    assert!(matches!(error, ConnectError::Busy { .. }), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn an_address_that_keeps_failing_is_not_answered_for_a_second() {
    let mut settings = Settings::default();
    settings.failures_per_address_max = 2;
    settings.handshake_deadline = Duration::from_millis(300);
    let mut cluster = Cluster::with(settings);
    for _ in 0..2 {
        let foreign = ClusterAuthority::create().unwrap().issue(Role::Engine).unwrap();
        refused(&cluster, foreign).await;
        cluster.refusal().await;
    }
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    let error = refused(&cluster, credential.clone()).await;
    assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error}");
    assert_eq!(cluster.refusal().await.kind, RefusalKind::Overloaded);
    // The second is over in the end, and the honest peer gets in.
    let connector = Connector::new(&cluster.file_of(credential), &cluster.settings).unwrap();
    within(async { while connector.connect::<EngineToHub>("honest").await.is_err() {} }).await;
}
