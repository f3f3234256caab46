//! The placement rules, and the lots that some of them draw. Which engines there are to choose from
//! is the fleet's matter.

use std::fmt;
use std::str::FromStr;

/// Which of the engines with room gets a task that arrives.
///
/// A task that finds no engine with room waits, whatever the scheme; an engine that has room again
/// takes the next of those that wait. So schemes differ while engines have room. The names are
/// those of ipyparallel's schemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scheme {
    /// The engine with the fewest tasks per slot; of several the one that was given a task longest
    /// ago.
    #[default]
    LeastLoad,
    /// The engine that was given a task longest ago ("least recently used"), whatever it has:
    /// round-robin, fair in the number of tasks.
    Lru,
    /// Any, with equal chances.
    PlainRandom,
    /// Two are drawn with equal chances, and of these the one with fewer tasks per slot: the power
    /// of two choices (Mitzenmacher 2001). Nearly as even as `leastload`, and no two schedulers
    /// that see the same loads choose the same engine.
    TwoBin,
    /// Two are drawn, each with a chance in inverse proportion to one more than its tasks per slot,
    /// and of these the one with fewer. Costs O(engines with room) for each task.
    Weighted,
    /// Round-robin like `lru`, and nothing but independent tasks for any engine: the hub rejects
    /// dependencies, targets, needs and timeouts.
    Pure,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::LeastLoad, Self::Lru, Self::PlainRandom, Self::TwoBin, Self::Weighted, Self::Pure];

    /// Its name, as settings give it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeastLoad => "leastload",
            Self::Lru => "lru",
            Self::PlainRandom => "plainrandom",
            Self::TwoBin => "twobin",
            Self::Weighted => "weighted",
            Self::Pure => "pure",
        }
    }

    /// Whether it draws lots.
    pub const fn is_random(self) -> bool {
        matches!(self, Self::PlainRandom | Self::TwoBin | Self::Weighted)
    }

    /// Whether engines are ordered by how long ago they were given a task, and not by load.
    pub(super) const fn is_in_turn(self) -> bool {
        matches!(self, Self::Lru | Self::Pure)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scheme; choose leastload, lru, plainrandom, twobin, weighted or pure")]
pub struct SchemeError(String);

impl FromStr for Scheme {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        let named = Self::ALL.into_iter().find(|scheme| scheme.as_str() == text);
        named.ok_or_else(|| SchemeError(text.to_owned()))
    }
}

/// Lots, drawn from a seed: `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Debug, Default)]
pub(super) struct Lots(u64);

impl Lots {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is not 0. Each is as likely as the others, but for one in
    /// 2^64 / `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        ((u128::from(word) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_read_by_name_and_others_refused() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.to_string().parse(), Ok(scheme));
        }
        let error = "round-robin".parse::<Scheme>().expect_err("no scheme");
        assert!(error.to_string().starts_with("\"round-robin\" is not a scheme; choose leastload"));
    }

    #[test]
    fn lots_are_the_words_of_split_mix_64() {
        // Its first words from this seed, as its authors' code has them; scaled to one less.
        let words: [u64; 3] =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        let mut lots = Lots::new(1_234_567);
        assert_eq!(words.map(|_| lots.below(u64::MAX)), words.map(|word| word - 1));
    }

    #[test]
    fn lots_depend_on_the_seed_alone_and_are_even() {
        let draw = |seed| {
            let mut lots = Lots::new(seed);
            (0..8_000).map(|_| lots.below(8)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for face in 0..8 {
            let count = draw(7).into_iter().filter(|drawn| *drawn == face).count();
            assert!((900..1_100).contains(&count), "{face} was drawn {count} times of 8,000");
        }
    }
}
