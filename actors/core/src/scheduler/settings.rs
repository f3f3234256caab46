//! How the scheduler places: what can be chosen, and the constants behind the defaults.

use std::time::Duration;

use phalanx_protocol::limits::PREFETCH_PER_SLOT_MAX;

use super::scheme::Scheme;

/// How much expected work per slot an engine may have before it is full: several short tasks are
/// sent ahead only while those it has are expected to be over sooner than this. Of longer ones, up
/// to [`FOLLOWED_MAX`], one waits behind those that run.
///
/// The next task must be there when a slot falls free, or the slot idles for a round trip to the
/// hub: 85 us between idle processes (11 us of work, the rest wake-ups), some hundreds when the hub
/// is busy with a batch. 1 ms hides that several times over. It is also the price: at the end of
/// a batch an engine may idle this long while another works off what it was sent ahead.
pub const PREFETCH_AHEAD: Duration = Duration::from_millis(1);

/// Tasks that are expected to take longer than this have nothing sent behind them: a round trip
/// of 0.1 to 0.6 ms is less than 1 % of it, so there is nothing to gain.
pub const FOLLOWED_MAX: Duration = Duration::from_millis(100);

/// If an engine ends no task for so long, what waits there is taken back. Ten times the most that
/// tasks which others wait behind may take on average, so that what varies as much as most work
/// does (of exponentially distributed run times one in 22,000 is longer) keeps what is behind it.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(1);

/// The weight of the newest run time in the moving average is 1 / 2^this: a change of load shows
/// after about 8 tasks, and a single long task among short ones shuts the window at once.
pub(super) const AVERAGE_SHIFT: u32 = 3;

/// [`PREFETCH_AHEAD`] as the scheduler counts.
pub(super) const AHEAD_NANOS: u64 = PREFETCH_AHEAD.as_nanos() as u64;

/// [`FOLLOWED_MAX`] as the scheduler counts.
pub(super) const FOLLOWED_NANOS_MAX: u64 = FOLLOWED_MAX.as_nanos() as u64;

/// What the shortest task counts as, so that [`PREFETCH_PER_SLOT_MAX`] tasks beyond the running
/// one fill a slot.
pub(super) const COST_NANOS_MIN: u64 = AHEAD_NANOS.div_ceil(PREFETCH_PER_SLOT_MAX as u64 + 1);

/// How many tasks an engine may have at once ("high water mark").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hwm {
    /// By measured run time: as many as are expected to be over within [`PREFETCH_AHEAD`], at
    /// least one per slot, at most [`PREFETCH_PER_SLOT_MAX`] more. Tasks expected to take longer,
    /// but not longer than [`FOLLOWED_MAX`], fill the slots, and one more waits.
    ///
    /// A task of a method not yet measured on that engine, and one that takes longer than
    /// [`FOLLOWED_MAX`], fills its slot alone: it may be long, what waits behind it must be taken
    /// back, and an unhidden round trip costs only 0.1 to 0.6 ms.
    #[default]
    Adaptive,
    /// So many per slot; 0 = no limit but that of the engine
    /// ([`phalanx_protocol::limits::BALANCED_WINDOW_MAX`]). 1 = never ahead.
    Fixed(u32),
}

/// How the scheduler places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Settings {
    /// How many tasks an engine may have at once.
    pub hwm: Hwm,
    /// Which of the engines with room gets a task that arrives.
    pub scheme: Scheme,
    /// What the lots are drawn from, if the scheme draws lots.
    pub seed: u64,
}

impl Settings {
    /// The same with another high water mark.
    #[must_use]
    pub const fn with_hwm(self, hwm: Hwm) -> Self {
        Self { hwm, ..self }
    }

    /// The same with another scheme.
    #[must_use]
    pub const fn with_scheme(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// The same with lots of another seed.
    #[must_use]
    pub const fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

const _: () = assert!(COST_NANOS_MIN > 0 && COST_NANOS_MIN <= AHEAD_NANOS);
