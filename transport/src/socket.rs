//! The UDP socket under quinn: woken by what arrives, and by nothing else.
//!
//! Tokio's own socket also wants to know when it can be written to. Linux tells that anew each time
//! a datagram has left, so each datagram sent wakes its sender, for nothing: a UDP socket is writable
//! nearly always. Here that is asked for only after a send that found no room. Tasks of which 1,000
//! are in flight cost 5 % less processor time so, and one at a time on one processor takes 10 % less
//! (`apply`, 2026-11-23). [`crate::endpoint`] hands it to quinn; nothing else uses it.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Tokio, with our socket.
#[derive(Debug)]
pub(crate) struct QuinnRuntime;

impl Runtime for QuinnRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(task);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// Has tokio tell of this much of a socket.
#[allow(unsafe_code)]
fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: what is made owns the socket, which is open until then and has one descriptor always.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}

#[derive(Debug)]
struct Socket {
    inner: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    /// The last send found no room.
    is_full: AtomicBool,
}

impl Socket {
    fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let inner = watch(socket, Interest::READABLE)?;
        Ok(Self { inner, state, is_full: AtomicBool::new(false) })
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room { socket: self, coming: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.inner.get_ref().into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            self.is_full.store(true, Ordering::Relaxed);
        }
        sent
    }

    /// Fewer datagrams than there is space for were all: the next one wakes us, and the read that
    /// would find nothing is saved.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut readable = ready!(self.inner.poll_read_ready(cx))?;
            match self.state.recv(self.inner.get_ref().into(), buffers, meta) {
                Ok(len) => {
                    if len < buffers.len() {
                        readable.clear_ready();
                    }
                    return Poll::Ready(Ok(len));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => readable.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

type Coming = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits for room to send, each task that sends with its own.
struct Room {
    socket: Arc<Socket>,
    coming: Option<Coming>,
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.coming.is_none() {
            if !self.socket.is_full.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            // A second name for the socket: the first is watched for what arrives.
            let socket = self.socket.inner.get_ref().try_clone()?;
            let writable = watch(socket, Interest::WRITABLE)?;
            self.coming = Some(Box::pin(async move { writable.writable().await.map(drop) }));
        }
        let coming = self.coming.as_mut().map(|coming| coming.as_mut().poll(cx));
        let room = ready!(coming.unwrap_or(Poll::Ready(Ok(()))));
        self.coming = None;
        self.socket.is_full.store(false, Ordering::Relaxed);
        Poll::Ready(room)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("waits", &self.coming.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::os::fd::{AsRawFd, RawFd};
    use std::task::Waker;

    use super::*;

    const LEN: usize = 1_000;

    /// A socket of ours, and a plain one to talk to.
    fn pair() -> (Arc<Socket>, UdpSocket) {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        (Arc::new(Socket::new(bind()).unwrap()), bind())
    }

    fn send(socket: &Socket, peer: SocketAddr) -> io::Result<()> {
        let (ecn, segment_size, src_ip) = (None, None, None);
        let contents = &[7; LEN];
        socket.try_send(&Transmit { destination: peer, ecn, contents, segment_size, src_ip })
    }

    async fn receive(socket: &Socket, most: usize) -> usize {
        let mut space = vec![[0; LEN]; most];
        let mut buffers: Vec<_> = space.iter_mut().map(|it| IoSliceMut::new(it)).collect();
        let mut meta = vec![RecvMeta::default(); most];
        poll_fn(|cx| socket.poll_recv(cx, &mut buffers, &mut meta)).await.unwrap()
    }

    #[tokio::test]
    async fn all_that_arrives_is_read_whether_space_was_left_or_not() {
        let (socket, peer) = pair();
        let own = socket.local_addr().unwrap();
        for sent in [1, 3, 4, 9] {
            for _ in 0..sent {
                peer.send_to(&[7; LEN], own).unwrap();
            }
            let mut received = 0;
            while received < sent {
                received += receive(&socket, 4).await;
            }
            assert_eq!(received, sent);
        }
    }

    /// What epoll tells of this descriptor, as the system lists it for each name of the epoll.
    fn watched_for(descriptor: RawFd) -> Vec<u32> {
        let mut masks = Vec::new();
        for entry in fs::read_dir("/proc/self/fdinfo").unwrap() {
            // Tests beside this one close theirs.
            let info = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            for line in info.lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                if let ["tfd:", number, "events:", mask, ..] = words[..]
                    && number.parse() == Ok(descriptor)
                {
                    masks.push(u32::from_str_radix(mask, 16).unwrap());
                }
            }
        }
        masks
    }

    #[tokio::test]
    async fn only_what_arrives_wakes_and_room_after_a_send_that_found_none() {
        const EPOLLIN: u32 = 1;
        const EPOLLOUT: u32 = 4;
        let (socket, peer) = pair();
        let wakes = watched_for(socket.inner.get_ref().as_raw_fd());
        let is_right = |mask: &u32| mask & EPOLLIN != 0 && mask & EPOLLOUT == 0;
        assert!(!wakes.is_empty() && wakes.iter().all(is_right), "{wakes:x?}");

        let mut room = Arc::clone(&socket).create_io_poller();
        poll_fn(|cx| room.as_mut().poll_writable(cx)).await.unwrap();
        // A loopback interface never lacks room by itself.
        socket.is_full.store(true, Ordering::Relaxed);
        let mut now = Context::from_waker(Waker::noop());
        assert!(room.as_mut().poll_writable(&mut now).is_pending(), "the system was not asked");
        poll_fn(|cx| room.as_mut().poll_writable(cx)).await.unwrap();
        assert!(!socket.is_full.load(Ordering::Relaxed));
        send(&socket, peer.local_addr().unwrap()).unwrap();
        assert_eq!(peer.recv(&mut [0; LEN]).unwrap(), LEN);
    }
}
