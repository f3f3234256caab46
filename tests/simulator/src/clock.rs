//! A process's own clock: it began long before or after the others, and runs faster or slower. Rooms
//! must not care, since time is an argument to them and never travels.

use std::time::Duration;

use fastrand::Rng;
use phalanx_core::Time;

/// What a process's clock shows while it is some time in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What it shows at the beginning.
    pub offset: Duration,
    /// It counts so many seconds...
    pub counts: u32,
    /// ...while so many pass.
    pub pass: u32,
}

impl Clock {
    /// The world's time.
    pub const EXACT: Self = Self { offset: Duration::ZERO, counts: 1, pass: 1 };

    /// Some clock: up to ten years ahead, and from four times too slow to four times too fast.
    pub fn any(rng: &mut Rng) -> Self {
        const TEN_YEARS_S: u64 = 10 * 365 * 24 * 3_600;
        let offset = Duration::from_secs(rng.u64(0..TEN_YEARS_S));
        let rates = [(1, 1), (101, 100), (100, 101), (4, 1), (1, 4)];
        let (counts, pass) = rates[rng.usize(0..rates.len())];
        Self { offset, counts, pass }
    }

    /// What it shows.
    pub(crate) fn shows(self, now: Time) -> Time {
        let nanos = u128::from(now.as_nanos()) * u128::from(self.counts) / u128::from(self.pass);
        Time::from_nanos(nanos as u64) + self.offset
    }

    /// When it will show at least this.
    pub(crate) fn when(self, shown: Time) -> Time {
        let counted = shown.since(Time::ZERO + self.offset).as_nanos();
        let nanos = (counted * u128::from(self.pass)).div_ceil(u128::from(self.counts));
        Time::from_nanos(nanos as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_was_waited_for_when_it_is_said_to_and_not_long_before() {
        let mut rng = Rng::with_seed(7);
        for _ in 0..1_000 {
            let clock = Clock::any(&mut rng);
            let now = Time::from_nanos(rng.u64(0..1_000_000_000_000));
            let shown = clock.shows(now);
            let when = clock.when(shown);
            assert!(when <= now && clock.shows(when) >= shown, "{clock:?} at {now:?}");
        }
    }
}
