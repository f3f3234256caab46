//! Who came to the hub: every peer that was admitted or refused is told to an audit.
//!
//! Written by the acceptor; whoever runs a hub brings the audit, by default [`LogAudit`]. Nothing is
//! decided here, and no answer to a peer depends on it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::session::PeerInfo;
use crate::settings::{REFUSALS_LOGGED_MAX, REFUSALS_LOGGED_WINDOW};
use crate::tls_failure::TlsFailure;

/// What kind of refusal it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// TLS refused the peer, or the peer refused our certificate.
    Tls(TlsFailure),
    /// The certificate names no role, or another than the conversation is for.
    WrongRole,
    /// The certificate is of another cluster.
    WrongCluster,
    /// Its messages are not the hub's: another version, or another build.
    Version,
    /// The handshake took longer than its deadline.
    TimedOut,
    /// The peer broke the rules of the handshake.
    Malformed,
    /// The peer went away.
    Gone,
    /// Too many handshakes or connections, or too many failures of this address.
    Overloaded,
}

/// A peer that did not become a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedPeer {
    /// Where it came from.
    pub address: SocketAddr,
    /// What kind of refusal it was.
    pub kind: RefusalKind,
    /// Why, in words.
    pub reason: String,
}

/// Hears of every peer that was admitted or refused. Called on the endpoint's executor: it must
/// not block.
pub trait Audit: Send + Sync + 'static {
    /// A peer has a session.
    fn admitted(&self, peer: &PeerInfo);
    /// A peer was refused.
    fn refused(&self, peer: &RefusedPeer);
}

/// Writes the audit to the log. What a peer calls itself is written quoted: it may hold anything.
///
/// Whoever can reach the port can be refused as often as it likes, so refusals are written one by
/// one only up to [`REFUSALS_LOGGED_MAX`] in a [`REFUSALS_LOGGED_WINDOW`]; how many more there were
/// is written when the window is over.
#[derive(Debug, Clone, Default)]
pub struct LogAudit {
    refusals: Arc<Mutex<Quota>>,
}

impl LogAudit {
    fn quota(&self) -> MutexGuard<'_, Quota> {
        // Counts are right or slightly wrong, whatever panicked.
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell_suppressed(self, at: Instant) {
        tokio::time::sleep_until(at).await;
        let suppressed = self.quota().take_suppressed();
        let window_s = REFUSALS_LOGGED_WINDOW.as_secs();
        tracing::warn!(suppressed, window_s, "more peers were refused than are logged one by one");
    }
}

impl Audit for LogAudit {
    fn admitted(&self, peer: &PeerInfo) {
        tracing::info!(
            role = %peer.role,
            address = ?peer.address,
            name = peer.name,
            serial = %peer.serial,
            shares_memory = peer.shares_memory,
            "peer admitted"
        );
    }

    fn refused(&self, peer: &RefusedPeer) {
        let verdict = self.quota().weigh(Instant::now());
        match verdict {
            Verdict::Write => tracing::warn!(
                address = %peer.address,
                kind = ?peer.kind,
                reason = peer.reason,
                "peer refused"
            ),
            Verdict::Suppress => {}
            Verdict::SuppressAndTell(at) => {
                // Ends by itself within a window.
                drop(tokio::spawn(self.clone().tell_suppressed(at)));
            }
        }
    }
}

/// What is to be done with one line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Write,
    /// Not written, only counted.
    Suppress,
    /// The same, and the count is to be told at this time.
    SuppressAndTell(Instant),
}

/// Counts lines by windows. Pure: time is an argument.
#[derive(Debug, Default)]
struct Quota {
    began: Option<Instant>,
    written: u32,
    suppressed: u64,
    is_to_be_told: bool,
}

impl Quota {
    fn weigh(&mut self, now: Instant) -> Verdict {
        let running =
            self.began.filter(|began| now.duration_since(*began) < REFUSALS_LOGGED_WINDOW);
        let began = running.unwrap_or_else(|| {
            self.written = 0;
            now
        });
        self.began = Some(began);
        if self.written < REFUSALS_LOGGED_MAX {
            self.written += 1;
            return Verdict::Write;
        }
        self.suppressed += 1;
        if std::mem::replace(&mut self.is_to_be_told, true) {
            return Verdict::Suppress;
        }
        Verdict::SuppressAndTell(began + REFUSALS_LOGGED_WINDOW)
    }

    fn take_suppressed(&mut self) -> u64 {
        self.is_to_be_told = false;
        std::mem::take(&mut self.suppressed)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn lines(&self, said: &str) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().filter(|line| line.contains(said)).map(str::to_owned).collect()
        }
    }

    fn refuse(audit: &LogAudit, times: u32) {
        let peer = RefusedPeer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 7)),
            kind: RefusalKind::Malformed,
            reason: "test".to_owned(),
        };
        (0..times).for_each(|_| audit.refused(&peer));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_a_few_lines_and_a_count() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let audit = LogAudit::default();
        for round in 1..=2_usize {
            refuse(&audit, REFUSALS_LOGGED_MAX + 30);
            refuse(&audit, 12);
            let written = log.lines("peer refused").len();
            assert_eq!(written, round * REFUSALS_LOGGED_MAX as usize);
            assert_eq!(log.lines("suppressed").len(), round - 1);
            tokio::time::sleep(REFUSALS_LOGGED_WINDOW + Duration::from_millis(1)).await;
            assert_eq!(log.lines("suppressed=42").len(), round);
        }
    }

    #[test]
    fn a_quiet_audit_suppresses_nothing() {
        let mut quota = Quota::default();
        let start = Instant::now();
        for step in 0..10 * REFUSALS_LOGGED_MAX {
            let now = start + step * (REFUSALS_LOGGED_WINDOW / REFUSALS_LOGGED_MAX);
            assert_eq!(quota.weigh(now), Verdict::Write);
        }
        assert_eq!(quota.take_suppressed(), 0);
    }

    #[test]
    fn a_window_that_is_full_tells_once_when_it_ends() {
        let mut quota = Quota::default();
        let start = Instant::now();
        (0..REFUSALS_LOGGED_MAX).for_each(|_| assert_eq!(quota.weigh(start), Verdict::Write));
        let later = start + Duration::from_secs(1);
        let end = start + REFUSALS_LOGGED_WINDOW;
        assert_eq!(quota.weigh(later), Verdict::SuppressAndTell(end));
        assert_eq!(quota.weigh(later), Verdict::Suppress);
        assert_eq!(quota.weigh(end), Verdict::Write);
        assert_eq!(quota.take_suppressed(), 2);
    }
}
