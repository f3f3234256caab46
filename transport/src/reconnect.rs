//! When to try again after a session was lost: pure arithmetic, no clock, no randomness of its
//! own.
//!
//! Whoever reconnects (engines, hosts, clients) waits for each duration in turn and connects.

use std::time::Duration;

/// The first wait is drawn below this: a hub that restarts is back within a few of these.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// No wait is longer: a peer is back at most this long after its hub.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Waits between attempts: drawn evenly from zero to a ceiling that doubles from
/// [`BACKOFF_FIRST`] to [`BACKOFF_MAX`] ("full jitter": a thousand engines that lost the same hub
/// do not come back at the same moment). Ends when the waits add up to the given total.
///
/// ```
/// use std::time::Duration;
/// use phalanx_transport::reconnect::Backoff;
///
/// let waits: Vec<Duration> = Backoff::new(7, Duration::from_secs(600)).collect();
/// assert!(waits.iter().sum::<Duration>() <= Duration::from_secs(600));
/// assert_eq!(waits, Backoff::new(7, Duration::from_secs(600)).collect::<Vec<_>>());
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    random: fastrand::Rng,
    ceiling: Duration,
    left: Duration,
}

impl Backoff {
    /// Waits from this seed that add up to at most `total`.
    pub fn new(seed: u64, total: Duration) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), ceiling: BACKOFF_FIRST, left: total }
    }

    /// Starts over after a success: the next wait is short again.
    pub fn reset(&mut self, total: Duration) {
        self.ceiling = BACKOFF_FIRST;
        self.left = total;
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // At least a millisecond, so that the sum reaches any total.
        let ceiling_ms = u64::try_from(self.ceiling.as_millis()).unwrap_or(u64::MAX).max(1);
        let wait = Duration::from_millis(self.random.u64(1..=ceiling_ms));
        self.ceiling = (self.ceiling * 2).min(BACKOFF_MAX);
        self.left = self.left.checked_sub(wait)?;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_ceiling_and_end_at_the_total() {
        let total = Duration::from_secs(3_600);
        let waits: Vec<Duration> = Backoff::new(3, total).collect();
        assert!(waits[0] <= BACKOFF_FIRST);
        assert!(waits.iter().all(|wait| *wait <= BACKOFF_MAX));
        assert!(waits.iter().any(|wait| *wait > BACKOFF_MAX / 2));
        assert!(waits.iter().sum::<Duration>() <= total);
        assert!(waits.len() >= 1_800);
    }

    #[test]
    fn after_a_success_waits_are_short_again() {
        let mut backoff = Backoff::new(3, Duration::from_secs(60));
        backoff.by_ref().take(10).for_each(drop);
        backoff.reset(Duration::from_secs(60));
        assert!(backoff.next().is_some_and(|wait| wait <= BACKOFF_FIRST));
    }

    #[test]
    fn seeds_differ() {
        let waits = |seed| Backoff::new(seed, Duration::from_secs(10)).collect::<Vec<_>>();
        assert_ne!(waits(1), waits(2));
    }
}
