//! Who gets a handshake: caps and rates for peers that have not shown a certificate yet.
//!
//! Pure: the acceptor asks it with the time and does what it says.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::settings::{CONNECTIONS_MAX, FAILING_ADDRESSES_MAX, Settings};

/// The time over which failures of one address are counted.
const FAILURE_WINDOW: Duration = Duration::from_secs(1);

/// The part of an IPv6 address that a machine chooses by itself.
const HOST_BITS: u32 = 64;

/// What to do with a connection attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Begin the handshake.
    Accept,
    /// Have it prove its address first; costs no memory.
    Retry,
    /// Say no.
    Refuse,
    /// Say nothing.
    Ignore,
}

/// A connection attempt, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) address: IpAddr,
    pub(crate) is_address_proven: bool,
    pub(crate) handshakes_pending: usize,
    pub(crate) connections: usize,
}

/// The address that failures are counted for. A machine with IPv6 has a network of 64 bits to itself
/// and a new address for each attempt if it likes, so the network is what counts.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() >> HOST_BITS << HOST_BITS).into()
        }
        address => address,
    }
}

/// Counts failures by address and weighs attempts.
#[derive(Debug)]
pub(crate) struct Gate {
    handshakes_pending_max: usize,
    retry_above: usize,
    failures_per_address_max: u32,
    failures: HashMap<IpAddr, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
}

impl Gate {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            handshakes_pending_max: settings.handshakes_pending_max,
            retry_above: settings.retry_above,
            failures_per_address_max: settings.failures_per_address_max,
            failures: HashMap::new(),
        }
    }

    /// Weighs an attempt.
    pub(crate) fn weigh(&self, now: Instant, attempt: Attempt) -> Admission {
        if self.is_failing(now, attempt.address) {
            return Admission::Ignore;
        }
        if attempt.handshakes_pending >= self.handshakes_pending_max
            || attempt.connections >= CONNECTIONS_MAX
        {
            return Admission::Refuse;
        }
        if attempt.handshakes_pending >= self.retry_above && !attempt.is_address_proven {
            return Admission::Retry;
        }
        Admission::Accept
    }

    /// A peer at this address, which it has proven, failed to show who it is.
    pub(crate) fn on_failure(&mut self, now: Instant, address: IpAddr) {
        if self.failures.len() >= FAILING_ADDRESSES_MAX {
            self.failures.retain(|_, failures| now.duration_since(failures.since) < FAILURE_WINDOW);
            if self.failures.len() >= FAILING_ADDRESSES_MAX {
                self.failures.clear();
            }
        }
        let failures =
            self.failures.entry(counted(address)).or_insert(Failures { since: now, count: 0 });
        if now.duration_since(failures.since) >= FAILURE_WINDOW {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count += 1;
    }

    fn is_failing(&self, now: Instant, address: IpAddr) -> bool {
        self.failures.get(&counted(address)).is_some_and(|failures| {
            failures.count >= self.failures_per_address_max
                && now.duration_since(failures.since) < FAILURE_WINDOW
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::settings::{FAILURES_PER_ADDRESS_MAX, HANDSHAKES_PENDING_MAX, RETRY_ABOVE};

    const QUIET: Attempt = Attempt {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        is_address_proven: false,
        handshakes_pending: 0,
        connections: 0,
    };

    #[test]
    fn a_quiet_hub_accepts_at_once() {
        let gate = Gate::new(&Settings::default());
        assert_eq!(gate.weigh(Instant::now(), QUIET), Admission::Accept);
    }

    #[test]
    fn a_busy_hub_asks_for_proof_and_a_full_one_refuses() {
        let gate = Gate::new(&Settings::default());
        let now = Instant::now();
        let weigh = |handshakes_pending, is_address_proven| {
            gate.weigh(now, Attempt { handshakes_pending, is_address_proven, ..QUIET })
        };
        assert_eq!(weigh(RETRY_ABOVE - 1, false), Admission::Accept);
        assert_eq!(weigh(RETRY_ABOVE, false), Admission::Retry);
        assert_eq!(weigh(RETRY_ABOVE, true), Admission::Accept);
        assert_eq!(weigh(HANDSHAKES_PENDING_MAX - 1, true), Admission::Accept);
        assert_eq!(weigh(HANDSHAKES_PENDING_MAX, true), Admission::Refuse);
        let full = Attempt { connections: CONNECTIONS_MAX, ..QUIET };
        assert_eq!(gate.weigh(now, full), Admission::Refuse);
    }

    #[test]
    fn an_address_that_keeps_failing_is_ignored_for_a_second() {
        let mut gate = Gate::new(&Settings::default());
        let start = Instant::now();
        for _ in 1..FAILURES_PER_ADDRESS_MAX {
            gate.on_failure(start, QUIET.address);
        }
        assert_eq!(gate.weigh(start, QUIET), Admission::Accept);
        gate.on_failure(start, QUIET.address);
        assert_eq!(gate.weigh(start, QUIET), Admission::Ignore);
        let other = Attempt { address: Ipv4Addr::new(10, 0, 0, 1).into(), ..QUIET };
        assert_eq!(gate.weigh(start, other), Admission::Accept);
        assert_eq!(gate.weigh(start + FAILURE_WINDOW, QUIET), Admission::Accept);
    }

    #[test]
    fn a_network_of_ipv6_addresses_counts_as_one_and_ipv4_in_ipv6_as_ipv4() {
        let mut gate = Gate::new(&Settings::default());
        let now = Instant::now();
        let weigh = |gate: &Gate, address: &str| {
            gate.weigh(now, Attempt { address: address.parse().unwrap(), ..QUIET })
        };
        for host in 0..FAILURES_PER_ADDRESS_MAX {
            gate.on_failure(now, format!("2001:db8::{host:x}").parse().unwrap());
            gate.on_failure(now, "::ffff:10.0.0.1".parse().unwrap());
        }
        assert_eq!(weigh(&gate, "2001:db8::ffff:1"), Admission::Ignore);
        assert_eq!(weigh(&gate, "2001:db8:0:1::1"), Admission::Accept);
        assert_eq!(weigh(&gate, "10.0.0.1"), Admission::Ignore);
        assert_eq!(weigh(&gate, "::ffff:10.0.0.2"), Admission::Accept);
    }

    #[test]
    fn the_table_of_failing_addresses_is_bounded() {
        let mut gate = Gate::new(&Settings::default());
        let now = Instant::now();
        for address in 0..2 * FAILING_ADDRESSES_MAX as u32 {
            gate.on_failure(now, IpAddr::V4(Ipv4Addr::from_bits(address)));
            assert!(gate.failures.len() <= FAILING_ADDRESSES_MAX);
        }
    }
}
