//! A peer without manners: QUIC by hand, with any certificate and any bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use phalanx_transport::identity::{Credential, HUB_SERVER_NAME};
use phalanx_transport::protocol::codec::{Message, decode_parts, encode_frame};
use phalanx_transport::protocol::handshake::{
    DIALECT, Hello, HubGreeting, PeerGreeting, VERSIONS, Welcome,
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn builder_provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn key(credential: &Credential) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(credential.key.expose_pem().as_bytes()).unwrap()
}

/// Connects with this certificate, or none, and this ALPN.
pub(crate) async fn connect(
    hub: SocketAddr,
    authority_pem: &str,
    credential: Option<&Credential>,
    alpn: &[u8],
) -> Result<(Endpoint, Connection), ConnectionError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate(authority_pem)).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(builder_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match credential {
        None => builder.with_no_client_auth(),
        Some(credential) => builder
            .with_client_auth_cert(vec![certificate(&credential.certificate_pem)], key(credential))
            .unwrap(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let connection = endpoint.connect_with(config, hub, HUB_SERVER_NAME).unwrap().await?;
    Ok((endpoint, connection))
}

/// Serves with this certificate, whatever its role, and asks for none.
pub(crate) fn serve(credential: &Credential, alpn: &[u8]) -> Endpoint {
    let mut config = rustls::ServerConfig::builder_with_provider(builder_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate(&credential.certificate_pem)], key(credential))
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// A peer that is past its handshake and may now say anything.
pub(crate) struct RawPeer {
    pub(crate) connection: Connection,
    pub(crate) send: [SendStream; 3],
    pub(crate) recv: [RecvStream; 3],
    _endpoint: Endpoint,
}

impl RawPeer {
    /// Says hello by the book.
    pub(crate) async fn greet(hub: SocketAddr, credential: &Credential) -> Self {
        Self::greet_with(hub, credential, &hello()).await.0
    }

    /// Says this hello; the hub's welcome comes with the peer.
    pub(crate) async fn greet_with(
        hub: SocketAddr,
        credential: &Credential,
        hello: &[u8],
    ) -> (Self, Welcome) {
        let alpn = format!("phalanx-{}/1", credential.role);
        let (endpoint, connection) =
            connect(hub, &credential.authority_pem, Some(credential), alpn.as_bytes())
                .await
                .unwrap();
        let mut lanes = Vec::new();
        for lane in 0..3_u8 {
            let (mut send, recv) = connection.open_bi().await.unwrap();
            let first = if lane == 0 { hello.to_vec() } else { vec![lane] };
            send.write_all(&first).await.unwrap();
            lanes.push((send, recv));
        }
        let (send, recv): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
        let mut peer = Self {
            connection,
            send: send.try_into().unwrap(),
            recv: recv.try_into().unwrap(),
            _endpoint: endpoint,
        };
        let mut prefix = [0; 12];
        peer.recv[0].read_exact(&mut prefix).await.unwrap();
        assert_eq!(prefix[4], 1, "a welcome, not a refusal");
        let mut header = vec![0; prefix[0].into()];
        peer.recv[0].read_exact(&mut header).await.unwrap();
        match decode_parts(1, &header, Bytes::new()).unwrap() {
            HubGreeting::Welcome(welcome) => (peer, welcome),
            HubGreeting::Refusal(refusal) => panic!("{refusal:?}"),
        }
    }

    pub(crate) async fn write(&mut self, lane: usize, bytes: &[u8]) {
        self.send[lane].write_all(bytes).await.unwrap();
    }
}

/// A hello as it travels.
pub(crate) fn hello() -> Vec<u8> {
    frame(&PeerGreeting::from(Hello {
        versions: VERSIONS,
        release: "raw".to_owned(),
        name: "raw".to_owned(),
        memory: None,
        dialect: DIALECT,
    }))
}

/// A message as it travels.
pub(crate) fn frame(message: &impl Message) -> Vec<u8> {
    let mut frame = BytesMut::new();
    encode_frame(message, &mut frame).unwrap();
    frame.to_vec()
}

/// A frame's prefix that says what it likes.
pub(crate) fn prefix(body_len: u32, number: u16, reserved: u16, header_len: u32) -> Vec<u8> {
    let mut prefix = Vec::new();
    prefix.extend(body_len.to_le_bytes());
    prefix.extend(number.to_le_bytes());
    prefix.extend(reserved.to_le_bytes());
    prefix.extend(header_len.to_le_bytes());
    prefix
}
