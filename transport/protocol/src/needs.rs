//! What engines have and tasks need beside a method: labels and amounts of resources.
//!
//! Part of [`crate::peer::EngineProfile`] and of [`crate::task::TaskOptions`]. Which engine a task
//! goes to for it is the scheduler's matter; here is only what is said.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{
    LABELS_PER_ENGINE_MAX, RESOURCE_NAME_LEN_MAX, RESOURCES_PER_ENGINE_MAX, TEXT_LEN_MAX,
};
use crate::macros::map_encoded;

/// So much of a resource, in thousandths: exact, and a half of a GPU can be said.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Amount(pub u64);

impl Amount {
    /// What one unit counts.
    pub const ONE: Self = Self(1_000);

    /// So many whole units; as much as can be said if it is more.
    pub const fn units(units: u64) -> Self {
        Self(units.saturating_mul(Self::ONE.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / Self::ONE.0, self.0 % Self::ONE.0);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// The text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount; write a number from 0.001 up, with at most three decimals")]
pub struct AmountError(String);

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let wrong = || AmountError(text.to_owned());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || decimals.len() > 3 || !plain(whole) || !plain(decimals) {
            return Err(wrong());
        }
        let units: u64 = whole.parse().map_err(|_| wrong())?;
        let rest: u64 = format!("{decimals:0<3}").parse().map_err(|_| wrong())?;
        let amount = units.checked_mul(Self::ONE.0).and_then(|whole| whole.checked_add(rest));
        amount.filter(|amount| *amount > 0).map(Self).ok_or_else(wrong)
    }
}

/// A resource by name, and how much of it.
pub type Resource = (String, Amount);

map_encoded! {
    /// What an engine must have for a task to run there.
    pub struct Needs {
        /// Labels; the engine must carry each.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub labels: Vec<String>,
        /// So much of each must be free on the engine, and is the task's until it has ended.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub amounts: Vec<Resource>,
    }
}

impl Needs {
    /// Whether any engine will do.
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.amounts.is_empty()
    }

    /// Says what is wrong with these, if something is.
    ///
    /// # Errors
    /// [`NeedsError`] if there are too many, or one has no name, no amount or is there twice.
    pub fn check(&self) -> Result<(), NeedsError> {
        if self.labels.len() > LABELS_PER_ENGINE_MAX {
            return Err(NeedsError::Labels);
        }
        if self.labels.iter().any(|label| label.is_empty() || label.len() > TEXT_LEN_MAX) {
            return Err(NeedsError::Label);
        }
        check_resources(&self.amounts)
    }
}

/// Says what is wrong with a list of resources, if something is.
///
/// # Errors
/// As [`Needs::check`].
pub fn check_resources(amounts: &[Resource]) -> Result<(), NeedsError> {
    if amounts.len() > RESOURCES_PER_ENGINE_MAX {
        return Err(NeedsError::Resources);
    }
    for (index, (name, amount)) in amounts.iter().enumerate() {
        if name.is_empty() || name.len() > RESOURCE_NAME_LEN_MAX {
            return Err(NeedsError::Name);
        }
        if *amount == Amount::default() {
            return Err(NeedsError::Nothing(name.clone()));
        }
        if amounts[..index].iter().any(|(other, _)| other == name) {
            return Err(NeedsError::Twice(name.clone()));
        }
    }
    Ok(())
}

/// Labels or resources that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NeedsError {
    /// Too many labels.
    #[error("more than {LABELS_PER_ENGINE_MAX} labels")]
    Labels,
    /// Too many resources.
    #[error("more than {RESOURCES_PER_ENGINE_MAX} resources")]
    Resources,
    /// A label that is empty or too long.
    #[error("a label has 1 to {TEXT_LEN_MAX} bytes")]
    Label,
    /// A resource whose name is empty or too long.
    #[error("a resource has a name of 1 to {RESOURCE_NAME_LEN_MAX} bytes")]
    Name,
    /// Nothing of a resource.
    #[error("of resource {0:?} nothing is named; leave it out, or name at least 0.001")]
    Nothing(String),
    /// A resource twice.
    #[error("resource {0:?} is named twice")]
    Twice(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
        let table: [(&str, u64); 5] = [
            ("1", 1_000),
            ("0.5", 500),
            ("0.001", 1),
            ("12.34", 12_340),
            ("64000000000", 64_000_000_000_000),
        ];
        for (text, thousandths) in table {
            let amount: Amount = text.parse().expect(text);
            assert_eq!(amount, Amount(thousandths));
            assert_eq!(amount.to_string(), text);
        }
        assert_eq!("2.50".parse::<Amount>().map(|it| it.to_string()), Ok("2.5".into()));
    }

    #[test]
    fn what_is_no_amount_is_refused_by_name() {
        for text in ["", "0", "0.0", "-1", "+1", "1.2345", ".5", "x", "1e3", "99999999999999999999"]
        {
            let error = text.parse::<Amount>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("{text:?} is not an amount")));
        }
    }

    #[test]
    fn needs_that_cannot_be_are_refused() {
        let amounts = |list: &[(&str, u64)]| Needs {
            amounts: list.iter().map(|(name, n)| ((*name).into(), Amount(*n))).collect(),
            ..Needs::default()
        };
        assert_eq!(amounts(&[("gpu", 1), ("ram", 2)]).check(), Ok(()));
        assert_eq!(amounts(&[("gpu", 0)]).check(), Err(NeedsError::Nothing("gpu".into())));
        assert_eq!(amounts(&[("a", 1), ("a", 2)]).check(), Err(NeedsError::Twice("a".into())));
        assert_eq!(amounts(&[("", 1)]).check(), Err(NeedsError::Name));
        let labels = |len| Needs { labels: vec!["l".into(); len], ..Needs::default() };
        assert_eq!(labels(LABELS_PER_ENGINE_MAX).check(), Ok(()));
        let empty = Needs { labels: vec![String::new()], ..Needs::default() };
        assert_eq!(empty.check(), Err(NeedsError::Label));
        assert_eq!(labels(LABELS_PER_ENGINE_MAX + 1).check(), Err(NeedsError::Labels));
        let many = (0..=RESOURCES_PER_ENGINE_MAX).map(|n| (n.to_string(), Amount::ONE)).collect();
        let many = Needs { amounts: many, ..Needs::default() };
        assert_eq!(many.check(), Err(NeedsError::Resources));
    }
}
