//! A UDP relay between one peer and the hub that can swallow everything.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;

/// Longest datagram.
const DATAGRAM_LEN_MAX: usize = 65_535;

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    is_blocked: Arc<AtomicBool>,
    back: Arc<UdpSocket>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn start(hub: SocketAddr) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        back.connect(hub).await.unwrap();
        let address = front.local_addr().unwrap();
        let is_blocked = Arc::new(AtomicBool::new(false));
        let back = Arc::new(back);
        let task = tokio::spawn(run(front, Arc::clone(&back), Arc::clone(&is_blocked)));
        Self { address, is_blocked, back, task }
    }

    /// From now on everything goes to another hub.
    pub(crate) async fn redirect(&self, hub: SocketAddr) {
        self.back.connect(hub).await.unwrap();
    }

    /// From now on nothing gets through in either direction.
    pub(crate) fn block(&self) {
        self.is_blocked.store(true, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(front: UdpSocket, back: Arc<UdpSocket>, is_blocked: Arc<AtomicBool>) {
    let mut from_peer = vec![0; DATAGRAM_LEN_MAX];
    let mut from_hub = vec![0; DATAGRAM_LEN_MAX];
    let mut peer = None;
    loop {
        tokio::select! {
            Ok((len, address)) = front.recv_from(&mut from_peer) => {
                peer = Some(address);
                if !is_blocked.load(Ordering::Relaxed) {
                    let _ = back.send(&from_peer[..len]).await;
                }
            }
            Ok(len) = back.recv(&mut from_hub) => {
                if let Some(peer) = peer.filter(|_| !is_blocked.load(Ordering::Relaxed)) {
                    let _ = front.send_to(&from_hub[..len], peer).await;
                }
            }
        }
    }
}
